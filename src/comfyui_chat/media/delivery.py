"""media/delivery."""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, PngImagePlugin

from ..names import shortened
from .kinds import PICTURE_TYPES, Product, content_type_of, open_picture
from .metadata import without_metadata
from .pictures import encode, orientation_of, over_white, plain_picture, rgb_profile, turn_upright


@dataclass(frozen=True)
class Format:
    """How a finished file is handed over."""

    kind: str = ""  # "" as made, "PNG", "WebP" or "JPEG"; of still pictures
    quality: int = 90  # 1 to 100, of WebP and JPEG
    metadata: bool = True  # whether it may tell its prompt and workflow


LONGEST_SIDE = {"PNG": 2**31 - 1, "WEBP": 16_383, "JPEG": 65_535}  # in pixels, of what is made
MAX_JPEG_EXIF = 65_000  # bytes; the length of a segment has 16 bits
TEXT_KEY = re.compile(r"[^\0:]{1,79}")
PROMPT_TAG = 0x0110  # of EXIF, where ComfyUI writes the prompt


# Where it writes the other texts, and where nothing stands when there are more of them.
TEXT_TAGS = (*range(0x010F, 0x010A, -1), *range(0x00FD, 0x0080, -1))


def delivered(data: bytes, content_type: str, wanted: Format) -> tuple[bytes, str, tuple[str, ...]]:
    """A finished file as it is wanted: its bytes, its content type, and what could not be done. Blocks."""
    notes: tuple[str, ...] = ()
    kind = wanted.kind.upper()
    own, size, moves = content_type_of(data, "")
    picture = size is not None or (content_type.startswith("image/") and "image/svg+xml" not in (own, content_type))
    if kind in LONGEST_SIDE and picture and not moves and own != PICTURE_TYPES[kind]:
        if size and max(size.width, size.height) > LONGEST_SIDE[kind]:
            notes = (f"a picture of {size} cannot be a {wanted.kind} and stays as it was made",)
        else:
            try:
                encoded, notes = _converted(data, kind, wanted)
                return encoded, PICTURE_TYPES[kind], notes
            except Exception:
                notes = (f"the picture could not be made a {wanted.kind} and stays as it was made",)
    if not wanted.metadata:
        try:
            data = without_metadata(data, content_type)
        except (ValueError, LookupError, RecursionError):
            notes += ("its metadata could not be removed",)
    return data, content_type, notes


def _converted(data: bytes, kind: str, wanted: Format) -> tuple[bytes, tuple[str, ...]]:
    """A picture in another format, and what was lost. Raises anything."""
    with open_picture(data) as image:
        image.load()
        texts = _texts(image) if wanted.metadata else {}
        turn_upright(image)
        options: dict[str, Any] = {"icc_profile": rgb_profile(image)}
        picture = plain_picture(image)
    if kind == "PNG":
        chunks = PngImagePlugin.PngInfo()
        for key, text in texts.items():
            chunks.add_text(key, text)
        return encode(picture, kind, compress_level=4, pnginfo=chunks, **options), ()
    options |= {"quality": min(max(wanted.quality, 1), 100)}
    if kind == "WEBP":
        return encode(picture, kind, method=4, exif=_exif(texts), **options), ()
    lost: list[str] = []
    while len(_exif(texts)) > MAX_JPEG_EXIF:
        lost.append(next(key for key in ("workflow", "prompt", *texts) if key in texts))
        del texts[lost[-1]]
    notes = tuple(f"the {shortened(key)} was too long to be kept in a JPEG" for key in lost)
    return encode(over_white(picture), kind, exif=_exif(texts), **options), notes


def _texts(image: Image.Image) -> dict[str, str]:
    """The texts in a picture, where ComfyUI puts them: PNG text, or "key:text" in EXIF data."""
    if isinstance(image, PngImagePlugin.PngImageFile):
        held = {key: str(text) for key, text in image.text.items()}
    else:
        exif = image.getexif() if orientation_of(image) else Image.Exif()
        values = [exif[tag] for tag in (PROMPT_TAG, *TEXT_TAGS) if isinstance(exif.get(tag), str)]
        parts = (value.partition(":") for value in values)
        held = {key.strip(): text.strip("\0 ") for key, colon, text in parts if colon}
    return {key: text for key, text in held.items() if TEXT_KEY.fullmatch(key)}


def _exif(texts: Mapping[str, str]) -> bytes:
    """Texts as ComfyUI writes them into EXIF data, which holds ASCII only: other characters as JSON escapes them."""
    exif = Image.Exif()
    rest = iter(TEXT_TAGS)
    for key, text in texts.items():
        if tag := PROMPT_TAG if key == "prompt" else next(rest, None):
            exif[tag] = re.sub(r"[^\0-\x7f]", lambda found: json.dumps(found[0])[1:-1], f"{key}:{text}")
    return exif.tobytes() if texts else b""


def deliver(data: bytes, source: str, wanted: Format) -> tuple[Product, tuple[str, ...]]:
    """A file in the format that is wanted, and notes where that could not be. Blocks: call it in a thread."""
    product = read_product(data, source)
    changed, content_type, notes = delivered(data, product.content_type, wanted)
    size = product.size if content_type == product.content_type else content_type_of(changed, "")[1]
    return replace(product, data=changed, content_type=content_type, size=size), notes


def text_product(text: str) -> Product:
    """A text that a node showed, as a file."""
    kind = "text/plain"
    if text.lstrip()[:1] in ("{", "["):
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(text)
            kind = "application/json"
    return Product(text.encode("utf-8", "replace"), kind, None, "")


def read_product(data: bytes, source: str) -> Product:
    """A finished file with what it is, told by its bytes or its name. Blocks: call it in a thread."""
    content_type, size, _ = content_type_of(data, source)
    return Product(data, content_type, size, source)
