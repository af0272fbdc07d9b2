import io
import struct
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from store_samples import encoded, pixels

from synthgap.core.errors import InputError
from synthgap.store import images
from synthgap.store.images import BrokenImage, decode_image, encode_jpeg, encode_png


def reason(data: bytes) -> str:
    with pytest.raises(BrokenImage) as caught:
        decode_image(data)
    assert str(caught.value) == caught.value.reason
    assert "\n" not in caught.value.reason
    return caught.value.reason


def grey(array: np.ndarray) -> np.ndarray:
    return np.repeat(array[..., None], 3, axis=2)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "PPM"])
def test_lossless_formats_give_their_very_pixels(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(decode_image(encoded(Image.fromarray(pixels(0)), kind, **options)), pixels(0))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (30, 20)])
def test_any_size_from_one_pixel(size: tuple[int, int]) -> None:
    image = pixels(1, *size)
    assert np.array_equal(decode_image(encode_png(image)), image)
    assert decode_image(encode_jpeg(image)).shape == (*size, 3)


def test_greyscale_and_one_bit() -> None:
    values = pixels(2)[..., 0]
    assert np.array_equal(decode_image(encoded(Image.fromarray(values), "PNG")), grey(values))
    bits = Image.fromarray(values > 127)
    assert np.array_equal(decode_image(encoded(bits, "PNG")), grey(np.where(values > 127, 255, 0)))


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    expected = grey(np.array([[0, 0, 1, 1, 128, 255]], dtype=np.uint8))
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(decode_image(encoded(Image.fromarray(values), kind)), expected), kind


def test_sixteen_bit_big_endian_tiff() -> None:
    """A TIFF written by hand: Pillow cannot write big-endian 16 bit."""
    values = np.array([[0, 257, 32768, 65535]], dtype=">u2")
    entries = [(256, 3, 4), (257, 3, 1), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 8), (278, 3, 1), (279, 4, 8)]
    body = b"".join(
        struct.pack(">HHI", tag, kind, 1) + (struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value))
        for tag, kind, value in entries
    )
    data = b"MM\0*" + struct.pack(">I", 16) + values.tobytes() + struct.pack(">H", len(entries)) + body + b"\0" * 4
    assert np.array_equal(decode_image(data), grey(np.array([[0, 1, 128, 255]], dtype=np.uint8)))


def test_sixteen_bit_colour_png() -> None:
    values = np.array([[[0, 32768, 65535], [65535, 257, 514]]], dtype=">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in values)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    assert np.abs(decode_image(data).astype(int) - [[[0, 128, 255], [255, 1, 2]]]).max() <= 1


def test_floating_point_tiff() -> None:
    values = np.array([[0, 0.5, 1]], dtype=np.float32)
    assert decode_image(encoded(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == [0, 128, 255]
    assert reason(encoded(Image.fromarray(values * 300), "TIFF")).startswith("floating-point pixels from 0 to 300")
    assert "nan" in reason(encoded(Image.fromarray(values * np.nan), "TIFF"))


def test_thirty_two_bits_are_refused_rather_than_clipped() -> None:
    deep = Image.fromarray(np.array([[0, 70_000]], dtype=np.int32))
    assert reason(encoded(deep, "TIFF")) == "integer pixels from 0 to 70000; expected 16 bits, [0, 65535]"


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind: str) -> None:
    """White, black and pure cyan come out as such: Adobe's inverted CMYK in JPEG would swap them."""
    inks = np.zeros((16, 48, 4), dtype=np.uint8)
    inks[:, 16:32, 3] = 255
    inks[:, 32:, 0] = 255
    options = {"quality": 100} if kind == "JPEG" else {}
    found = decode_image(encoded(Image.fromarray(inks, "CMYK"), kind, **options))
    assert np.abs(found[8, [8, 24, 40]].astype(int) - [[255, 255, 255], [0, 0, 0], [0, 255, 255]]).max() <= 3


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 128))
    data = encoded(image.convert(mode), "PNG")
    assert decode_image(data)[0, :, 0].tolist() == [0, 255, 127]


def test_palettes_with_and_without_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert decode_image(encoded(image, "PNG"))[0].tolist() == [[10, 20, 30], [200, 100, 50]]
    assert decode_image(encoded(image, "PNG", transparency=1))[0].tolist() == [[10, 20, 30], [255, 255, 255]]
    assert decode_image(encoded(image, "GIF"))[0].tolist() == [[10, 20, 30], [200, 100, 50]]


def test_a_transparent_colour_of_rgb_and_grey() -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [9, 9, 9]]], dtype=np.uint8))
    assert decode_image(encoded(image, "PNG", transparency=(1, 2, 3)))[0].tolist() == [[255, 255, 255], [9, 9, 9]]
    assert decode_image(encoded(image.convert("L"), "PNG", transparency=9))[0, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (1, lambda a: a), (2, np.fliplr), (3, lambda a: np.rot90(a, 2)), (4, np.flipud),
        (5, lambda a: a.transpose(1, 0, 2)), (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a.transpose(1, 0, 2), 2)), (8, np.rot90),
    ],
)  # fmt: skip
def test_exif_orientation(orientation: int, undo: Callable[[np.ndarray], np.ndarray]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(pixels(3)), "PNG", exif=exif)
    assert np.array_equal(decode_image(data), undo(pixels(3)))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_cost_the_image() -> None:
    data = encoded(Image.fromarray(pixels(3)), "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert np.array_equal(decode_image(data), pixels(3))


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert decode_image(data)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_file_is_broken(kind: str, share: float) -> None:
    data = encoded(Image.fromarray(pixels(4, 64, 64)), kind)
    assert reason(data[: int(len(data) * share)]).startswith(("truncated ", "damaged ", "not an image"))


def test_reasons_are_those_a_user_understands() -> None:
    photo = encode_jpeg(pixels(4, 64, 64))
    assert reason(photo[: len(photo) // 2]).startswith("truncated JPEG (")
    assert reason(b"") == "empty file"
    assert reason(b"This is a note, not a picture.\n") == "not an image (text)"
    assert reason("Größe ".encode() * 200) == "not an image (text)"
    assert reason(b"<!DOCTYPE html><html>404") == "not an image (an HTML page)"
    assert reason(b"\0\1\2\xff" * 100) == "not an image (unknown bytes)"


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 79)
    assert reason(encode_png(pixels(0))) == "10x8 pixels, more than 79: a decompression bomb?"
    monkeypatch.setattr(images, "MAX_PIXELS", 80)
    assert decode_image(encode_png(pixels(0))).shape == (8, 10, 3)


def test_a_real_bomb_is_refused_without_its_memory() -> None:
    """60,000 x 60,000 one-bit pixels claim 10 GB of RGB in a file of a few hundred bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        assert "decompression bomb" in reason(data)


def test_a_text_bomb_in_a_png_is_refused() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("x", "y" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    assert reason(encoded(Image.fromarray(pixels(0)), "PNG", pnginfo=info)).startswith("damaged ")


@given(st.binary(max_size=200), st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"]), st.integers(0, 400))
def test_hostile_bytes_never_raise_anything_else(noise: bytes, kind: str, at: int) -> None:
    data = encoded(Image.fromarray(pixels(5)), kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for hostile in (noise, data[:at] + noise + data[at + len(noise) :]):
            try:
                found = decode_image(hostile)
            except BrokenImage as error:
                assert error.reason
            else:
                assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3


def test_a_square_is_resized_by_the_shorter_side_and_cut_in_the_middle() -> None:
    image = np.zeros((20, 60, 3), dtype=np.uint8)
    image[:, 20:40] = 255
    found = decode_image(encode_png(image), size=10)
    assert found.shape == (10, 10, 3)
    assert found[:, 1:-1].min() == 255  # the outer columns lie on the edges
    assert decode_image(encode_png(pixels(1, 1, 1)), size=5).shape == (5, 5, 3)
    assert decode_image(encode_png(pixels(1, 1, 300)), size=5).shape == (5, 5, 3)


def test_shrinking_is_antialiased() -> None:
    """A fine chessboard becomes grey; nearest neighbours would leave black or white."""
    board = grey(((np.indices((64, 64)).sum(axis=0) % 2) * 255).astype(np.uint8))
    found = decode_image(encode_png(board), size=8).astype(int)
    assert np.abs(found - 127).max() <= 2


def test_encoders_are_deterministic_lossless_or_close_and_say_nothing_else() -> None:
    ramp = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    assert encode_jpeg(ramp) == encode_jpeg(ramp.copy())
    assert encode_png(ramp) == encode_png(ramp.copy())
    assert np.array_equal(decode_image(encode_png(ramp)), ramp)
    assert np.abs(decode_image(encode_jpeg(ramp)).astype(int) - ramp).mean() < 2
    jpeg = Image.open(io.BytesIO(encode_jpeg(ramp)))
    assert set(jpeg.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    red = np.zeros((16, 16, 3), dtype=np.uint8)
    red[:, ::2, 0] = 255  # full chroma: columns of colour survive
    found = decode_image(encode_jpeg(red)).astype(int)
    assert found[:, ::2, 0].min() > 220 and found[:, 1::2, 0].max() < 35
    assert len(encode_jpeg(pixels(0, 64, 64), quality=50)) < len(encode_jpeg(pixels(0, 64, 64)))


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)])
def test_encoders_refuse_other_arrays(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(height, width, 3\)"):
        encode_png(wrong)
    with pytest.raises(ValueError, match=r"expected uint8 \(height, width, 3\)"):
        encode_jpeg(wrong)


def test_a_broken_image_is_an_input_error() -> None:
    assert issubclass(BrokenImage, InputError)
