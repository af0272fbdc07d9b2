"""Bytes to pixels and back: one decoder for natural and synthetic images alike.

Pixels are HWC uint8 RGB in [0, 255] everywhere in synthgap.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from synthgap.core.errors import InputError
from synthgap.store.marks import Mark, save_options

Pixels = NDArray[np.uint8]
Used = TypeVar("Used")

MAX_PIXELS = 89_478_485
"""More pixels than this is taken for a decompression bomb (Pillow's own limit of 256 MiB at 3 bytes)."""


_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"RIFF": "WEBP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
"""First bytes of image files, to name what is broken."""


class BrokenImage(InputError):
    """One image that cannot be used, with the reason; a set with such images is still usable without them."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode_image(data: bytes, *, size: int | None = None) -> Pixels:
    """Decode an image file's bytes to (height, width, 3) uint8 RGB in [0, 255].

    EXIF orientation is applied; transparency is laid on white; 16-bit greyscale is scaled by 1/257; CMYK, palette and
    one-bit images become RGB; of an animation the first frame counts. Nothing is clipped and no colour profile applied.

    Args:
        data: the whole file.
        size: side of a square to return: the shorter side is resized to it (bicubic, antialiased) and the middle cut.

    Raises:
        BrokenImage: not an image, truncated, damaged, or larger than ``MAX_PIXELS``.
    """
    image = _load(data)
    rgb = _to_rgb(_upright(image))
    if size is not None:
        rgb = ImageOps.fit(rgb, (size, size), method=Image.Resampling.BICUBIC)
    return np.asarray(rgb, dtype=np.uint8)


def decoded_or_why(read: Callable[[], bytes], use: Callable[[Pixels], Used]) -> Used | str:
    """What ``use`` makes of an image, or the reason why it cannot be read; for threads that must not stop at one."""
    try:
        return use(decode_image(read()))
    except BrokenImage as broken:
        return broken.reason


def _load(data: bytes) -> Image.Image:
    if not data:
        raise BrokenImage("empty file")
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise BrokenImage(f"not an image ({_looks_like(data)})") from None
    except Exception as error:  # a decoder answers hostile bytes with nearly any exception
        raise BrokenImage(_reason(error, data)) from None
    if image.width * image.height > MAX_PIXELS:
        raise BrokenImage(f"{image.width}x{image.height} pixels, more than {MAX_PIXELS:,}: a decompression bomb?")
    try:
        image.load()
    except Exception as error:  # as above
        raise BrokenImage(_reason(error, data)) from None
    return image


def _reason(error: Exception, data: bytes) -> str:
    kind = next((name for magic, name in _MAGIC.items() if data.startswith(magic)), "image")
    text = " ".join(str(error).split())
    cut_short = isinstance(error, EOFError) or any(word in text.lower() for word in ("truncated", "premature end"))
    return f"{'truncated' if cut_short else 'damaged'} {kind} ({text or type(error).__name__})"


def _looks_like(data: bytes) -> str:
    """What a file that is no image may be, for the message."""
    head = data[:512]
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # a character cut at the end of the head is still text
            return "unknown bytes"
    return "unknown bytes" if b"\0" in head else "text"


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF beside sound pixels is common; the pixels count
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_deep_to_uint8(image), "L").convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _deep_to_uint8(image: Image.Image) -> Pixels:
    """Greyscale of more than 8 bits to 8: 65535 is white, or 1.0 for floating point."""
    values = np.asarray(image).astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("F"):
        if not (low >= 0 and high <= 1):
            raise BrokenImage(f"floating-point pixels from {low:g} to {high:g}; expected [0, 1]")
        return np.rint(values * 255).astype(np.uint8)
    if low < 0 or high > 65535:
        raise BrokenImage(f"integer pixels from {low:g} to {high:g}; expected 16 bits, [0, 65535]")
    return np.rint(values / 257).astype(np.uint8)


def encode_jpeg(pixels: Pixels, *, quality: int = 95, subsampling: str = "4:4:4", mark: Mark | None = None) -> bytes:
    """JPEG bytes of (h, w, 3) uint8 pixels: the same bytes for the same pixels and mark.

    ``subsampling`` of the colours: ``4:4:4`` keeps them whole, ``4:2:0`` is what most photographs have. ``mark`` is
    written as metadata and changes no pixel; without one there is no metadata.
    """
    return _encode(pixels, mark, format="JPEG", quality=quality, subsampling=subsampling)


def encode_png(pixels: Pixels, *, mark: Mark | None = None) -> bytes:
    """PNG bytes of (h, w, 3) uint8 pixels: lossless, quick, the same bytes for the same pixels and mark."""
    return _encode(pixels, mark, format="PNG", compress_level=1)


def _encode(pixels: Pixels, mark: Mark | None, **options: Any) -> bytes:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}; expected uint8 (height, width, 3)")
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGB").save(buffer, **options, **save_options(mark, options["format"]))
    return buffer.getvalue()
