"""The mark of a drawn image: metadata in the file that says a model made it. Pixels stay as they are.

EXIF ``Software`` names synthgap; XMP holds IPTC's ``DigitalSourceType`` (``trainedAlgorithmicMedia``: made by a model
that was trained on sampled content) and, as ``xmp:CreatorTool``, the generator. No time, no random id: the same image
gives the same bytes. See https://cv.iptc.org/newscodes/digitalsourcetype and the IPTC Photo Metadata Standard.
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr, unescape

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from synthgap.store.keys import printable

SOFTWARE = "synthgap"
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
DRAWN = "trainedAlgorithmicMedia"
MAX_NAME = 200
"""Characters of a generator's name that are kept: a mark is not to outgrow a small image."""

_SYNTHETIC = (DRAWN, "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia")
_SOFTWARE_TAG = 0x0131
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PACKET = (
    # The wrapper is what scanners look for; end="r" allows no edit in place, so that no padding is needed.
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"{tool_space}'
    ' Iptc4xmpExt:DigitalSourceType="{source}"{tool}/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
_SOURCE_TYPE = re.compile(r"digitalsourcetype/(\w+)")
_TOOL = re.compile(r"""\bxmp:CreatorTool(?:=(?:"([^"]*)"|'([^']*)')|>([^<]*)<)""")


@dataclass(frozen=True, slots=True)
class Mark:
    """What a file says about its making."""

    generator: str | None = None
    """The model that drew it, where the file names one."""
    software: str | None = SOFTWARE
    """EXIF ``Software``; ``synthgap`` in files of ours."""
    source_type: str = DRAWN
    """The last part of IPTC's DigitalSourceType."""


def xmp_packet(mark: Mark) -> bytes:
    """The XMP packet of a mark: about 400 bytes of UTF-8 and the name, without padding.

    Characters that XML cannot hold become U+FFFD, and a name longer than ``MAX_NAME`` is cut.
    """
    tool = tool_space = ""
    if mark.generator:
        name = _NOT_XML.sub("\ufffd", printable(mark.generator))[:MAX_NAME]
        tool, tool_space = f" xmp:CreatorTool={quoteattr(name)}", ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    packet = _PACKET.format(source=SOURCE_TYPES + mark.source_type, tool=tool, tool_space=tool_space)
    return packet.encode()


def save_options(mark: Mark | None, kind: str) -> dict[str, Any]:
    """Pillow's options that write a mark into a ``JPEG`` or ``PNG``; none for None."""
    if mark is None:
        return {}
    exif = Image.Exif()
    exif[_SOFTWARE_TAG] = mark.software or SOFTWARE
    if kind == "JPEG":
        return {"exif": exif, "xmp": xmp_packet(mark)}
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp_packet(mark).decode())
    return {"exif": exif, "pnginfo": info}


def read_mark(data: bytes) -> Mark | None:
    """The mark in an image file, whoever wrote it, or None where the file does not say that a model made it.

    Only metadata is read, never the pixels; damaged metadata is no mark. JPEG, PNG and WebP carry one.
    """
    if data.startswith(b"\xff\xd8") and b"digitalsourcetype" not in data:
        return None  # XMP in a JPEG is plain text: most photographs need no parsing
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
            packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
            software = image.getexif().get(_SOFTWARE_TAG)
    except Exception:  # a decoder answers hostile bytes with nearly any exception
        return None
    text = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else str(packet)
    source = _SOURCE_TYPE.search(text)
    if source is None or source.group(1) not in _SYNTHETIC:
        return None
    return Mark(_tool(text), software.strip("\0 ") if isinstance(software, str) else None, source.group(1))


def _tool(text: str) -> str | None:
    """``xmp:CreatorTool`` of a packet. A pattern and no XML parser: the packet is a stranger's."""
    if (found := _TOOL.search(text)) is None:
        return None
    value = next(group for group in found.groups() if group is not None)
    return unescape(value, {"&quot;": '"', "&apos;": "'", "&#10;": "\n", "&#13;": "\r", "&#9;": "\t"}) or None
