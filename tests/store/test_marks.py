"""Marks of drawn images, read back by ours and by readers that know nothing of us."""

import io
import struct
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from store_samples import encoded, pixels

from synthgap.store.images import decode_image, encode_jpeg, encode_png
from synthgap.store.marks import DRAWN, MAX_NAME, Mark, read_mark, xmp_packet

ENCODERS = pytest.mark.parametrize("encode", [encode_jpeg, encode_png])
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
EXT = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
XMP = "{http://ns.adobe.com/xap/1.0/}"
HOSTILE = ["", 'a"/><x>', "&amp;<!--]]>", "é 🐸", "\0\x1f\ufffe", "caf\udce9", "new\nline\ttab", "'", "x" * 5000, "{0}"]


def packet_of(data: bytes) -> bytes:
    """The XMP packet of a file, found in its own structure by hand."""
    if data.startswith(b"\xff\xd8"):
        place = 2
        while data[place + 1] == 0xE0 or data[place + 1] == 0xE1:
            (size,) = struct.unpack_from(">H", data, place + 2)
            body = data[place + 4 : place + 2 + size]
            if body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
                return body.split(b"\0", 1)[1]
            place += 2 + size
        raise AssertionError("no XMP in the JPEG")
    place = 8
    while place < len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        body = data[place + 8 : place + 8 + size]
        assert struct.unpack_from(">I", data, place + 8 + size)[0] == zlib.crc32(kind + body)
        if kind == b"iTXt" and body.startswith(b"XML:com.adobe.xmp\0"):
            return body.removeprefix(b"XML:com.adobe.xmp\0\0\0\0\0")
        place += 12 + size
    raise AssertionError("no XMP in the PNG")


def description(data: bytes) -> dict[str, str]:
    """Properties of a file's XMP, by a real XML parser."""
    root = ET.fromstring(packet_of(data))
    return dict(next(root.iter(f"{RDF}Description")).attrib)


@ENCODERS
def test_a_mark_is_what_strangers_read(encode: Callable[..., bytes]) -> None:
    data = encode(pixels(0), mark=Mark(generator="runwayml/stable-diffusion-v1-5"))
    found = description(data)
    assert found[f"{EXT}DigitalSourceType"] == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    assert found[f"{XMP}CreatorTool"] == "runwayml/stable-diffusion-v1-5"
    assert Image.open(io.BytesIO(data)).getexif()[0x0131] == "synthgap"


@ENCODERS
def test_a_mark_changes_no_pixel_and_no_second_run(encode: Callable[..., bytes]) -> None:
    plain, mark = encode(pixels(1, 32, 32)), Mark(generator="g")
    marked = encode(pixels(1, 32, 32), mark=mark)
    assert np.array_equal(decode_image(plain), decode_image(marked))
    assert marked == encode(pixels(1, 32, 32), mark=Mark(generator="g"))
    assert 300 < len(marked) - len(plain) < 600
    assert read_mark(plain) is None
    assert read_mark(marked) == mark


@ENCODERS
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_generator_names(encode: Callable[..., bytes], name: str) -> None:
    data = encode(pixels(2), mark=Mark(generator=name))
    shown = description(data).get(f"{XMP}CreatorTool")
    found = read_mark(data)
    assert found is not None and found.generator == shown
    assert set(description(data)) <= {f"{RDF}about", f"{EXT}DigitalSourceType", f"{XMP}CreatorTool"}
    assert len(shown or "") <= MAX_NAME
    if name.isprintable() and 0 < len(name) <= MAX_NAME:
        assert shown == name


@given(st.text(max_size=50))
def test_any_name_is_xml_and_comes_back(name: str) -> None:
    packet = xmp_packet(Mark(generator=name))
    attributes = next(ET.fromstring(packet).iter(f"{RDF}Description")).attrib
    data = encode_jpeg(pixels(0, 1, 1), mark=Mark(generator=name))
    found = read_mark(data)
    assert found is not None and found.generator == attributes.get(f"{XMP}CreatorTool")


def other_file(xmp: str, kind: str = "JPEG") -> bytes:
    return encoded(Image.fromarray(pixels(3)), kind, xmp=xmp.encode())


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize("source", [DRAWN, "compositeWithTrainedAlgorithmicMedia"])
def test_marks_of_other_tools(kind: str, source: str) -> None:
    uri = f"http://cv.iptc.org/newscodes/digitalsourcetype/{source}"
    body = f"<Iptc4xmpExt:DigitalSourceType>{uri}</Iptc4xmpExt:DigitalSourceType><xmp:CreatorTool>A &amp; B</xmp:CreatorTool>"
    assert read_mark(other_file(body, kind)) == Mark("A & B", None, source)


def test_photographs_and_damage_are_no_mark() -> None:
    camera = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    assert read_mark(other_file(f'Iptc4xmpExt:DigitalSourceType="{camera}"')) is None
    marked = encode_png(pixels(0), mark=Mark())
    for data in (
        b"",
        b"text",
        b"\xff\xd8\xffdigitalsourcetype/trainedAlgorithmicMedia",
        marked[:60],
        encode_jpeg(pixels(0)),
    ):
        assert read_mark(data) is None


def test_encoders_without_a_mark_write_no_metadata() -> None:
    for data in (encode_jpeg(pixels(0)), encode_png(pixels(0))):
        assert not {"exif", "xmp", "XML:com.adobe.xmp"} & set(Image.open(io.BytesIO(data)).info)
