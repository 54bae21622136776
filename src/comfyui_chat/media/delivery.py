"""Hand a finished file over as it is wanted: in which format, with or without metadata.

`deliver` makes an `OutputFile` of the bytes that a server gave, in the `Format` that somebody
chose, and notes what could not be done; the file then stays as it was made. Only still pictures are
converted. The prompt and the workflow that ComfyUI wrote into them move to where it would write
them in the new format, so that a picture can still be dropped into its editor:

    PNG         text chunks: "prompt", "workflow" and others
    WebP, JPEG  EXIF data: "prompt:{...}" in tag 0x0110, "workflow:{...}" and others in 0x010F, 0x010E and so on down

Without metadata a converted picture tells nothing, and any other file is stripped by
media/metadata. `text_product` makes a file of a text that a node showed.
"""

import contextlib
import json
import mmap
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image, PngImagePlugin

from ..bounds import MOST_CHANGED_BYTES, MOST_PICTURE_TEXT_CHARACTERS, MOST_PIECE_BYTES
from ..names import shortened
from ..sizes import Size
from .file_bytes import FileBytes, hold
from .kinds import PICTURE_TYPES, OutputFile, content_type_of, open_picture, plain_png_size
from .metadata import FILM_CHANGES, strip_film, without_metadata
from .pictures import (
    encode,
    is_too_large,
    orientation_of,
    over_white,
    plain_picture,
    rgb_profile,
    room_for,
    turn_upright,
)

NOT_STRIPPED = "its metadata could not be removed"


@dataclass(frozen=True)
class Format:
    """How a finished file is wanted."""

    kind: str = ""  # of still pictures: "PNG", "WebP", "JPEG", or "" for as they were made
    quality: int = 90  # 1 to 100, of a WebP or JPEG that is made
    metadata: bool = True  # whether the file may tell its prompt and workflow


def deliver(data: FileBytes, source: str, wanted: Format) -> tuple[OutputFile, tuple[str, ...]]:
    """A finished file as it is wanted, and notes of what could not be done. `source` is its name on
    the server. Blocks: call it in a thread. Raises `StorageRefused` where there is no room for what
    it becomes.
    """
    product, notes = _as_wanted(read_product(data, source), wanted)
    if product.size is None and product.content_type in PICTURE_TYPES.values() and not notes:
        notes = ("a picture could not be read, and is handed over as a file",)
    return product, notes


def delivered_as_made(data: FileBytes, source: str, wanted: Format) -> OutputFile | None:
    """What `deliver` makes of a file that stays as it was made, where that is told at a glance, so
    that it needs no thread; None for any other.
    """
    if not wanted.metadata or wanted.kind.upper() in LONGEST_SIDE:
        return None
    if data.on_disk:
        return None
    size = plain_png_size(data.buffer)
    return OutputFile(data, "image/png", size, source) if size else None


def _as_wanted(product: OutputFile, wanted: Format) -> tuple[OutputFile, tuple[str, ...]]:
    data = product.data
    converts = wanted.kind.upper() in LONGEST_SIDE and product.content_type.startswith("image/")
    if wanted.metadata and not converts:
        return product, ()
    if isinstance(data.buffer, mmap.mmap) and product.content_type in FILM_CHANGES:
        return product, _strip_on_disk(data.buffer, product.content_type)
    if len(data) > MOST_CHANGED_BYTES:
        return product, _unchanged_notes(wanted, converts)
    whole = data.whole()
    changed, content_type, notes = delivered(whole, product.content_type, wanted)
    if changed == whole:
        return product, notes
    size = product.size
    if content_type != product.content_type:
        _, size, _ = content_type_of(changed, "")
    product = replace(product, data=hold(changed), content_type=content_type, size=size)
    data.close()
    return product, notes


def _strip_on_disk(film: mmap.mmap, content_type: str) -> tuple[str, ...]:
    """Take the texts out of a film, with a note where that cannot be."""
    try:
        strip_film(film, content_type)
    except (ValueError, LookupError, RecursionError):
        return (NOT_STRIPPED,)
    return ()


def _unchanged_notes(wanted: Format, converts: bool) -> tuple[str, ...]:
    """Notes on a file that is too large to be changed."""
    notes: tuple[str, ...] = ()
    if converts:
        notes += (f"the picture is too large to be made a {wanted.kind} and stays as it was made",)
    if not wanted.metadata:
        notes += (NOT_STRIPPED,)
    return notes


def read_product(data: FileBytes, source: str) -> OutputFile:
    """A finished file with its type and size, told by its bytes, else by its name. Blocks: call it
    in a thread.
    """
    content_type, size, _ = content_type_of(data.buffer, source)
    return OutputFile(data, content_type, size, source)


# The longest side, in pixels, that a picture of each format may have.
LONGEST_SIDE = {"PNG": 2**31 - 1, "WEBP": 16_383, "JPEG": 65_535}


def delivered(data: bytes, content_type: str, wanted: Format) -> tuple[bytes, str, tuple[str, ...]]:
    """A finished file as it is wanted: its bytes, its content type, and notes of what could not be
    done. Blocks.

    `content_type` is what is known of the file; its own bytes count more.
    """
    pillow_format = wanted.kind.upper()
    notes: tuple[str, ...] = ()
    if pillow_format in LONGEST_SIDE:
        wanted_type = PICTURE_TYPES[pillow_format]
        own_type, size, moves = content_type_of(data, "")
        is_still = not moves and (size is not None or _is_called_picture(own_type, content_type))
        if is_still and own_type != wanted_type:
            converted, notes = _try_to_convert(data, size, wanted)
            if converted is not None:
                return converted, wanted_type, notes
    if not wanted.metadata:
        try:
            data = without_metadata(data, content_type)
        except (ValueError, LookupError, RecursionError):
            notes += (NOT_STRIPPED,)
    return data, content_type, notes


def _is_called_picture(own_type: str, content_type: str) -> bool:
    """Whether a file that could not be opened is called a picture: one that is damaged, or that
    Pillow does not know. It cannot be converted, which is noted.
    """
    is_drawing = "image/svg+xml" in (own_type, content_type)
    return content_type.startswith("image/") and not is_drawing


def _try_to_convert(
    data: bytes, size: Size | None, wanted: Format
) -> tuple[bytes | None, tuple[str, ...]]:
    """A picture in the format that is wanted, or None if that cannot be, with notes either way."""
    pillow_format = wanted.kind.upper()
    if size and max(size.width, size.height) > LONGEST_SIDE[pillow_format]:
        note = f"a picture of {size} cannot be a {wanted.kind} and stays as it was made"
        return None, (note,)
    if size and is_too_large(size):
        note = (
            f"a picture of {size} is too large to be made a {wanted.kind} and stays as it was made"
        )
        return None, (note,)
    try:
        return _converted(data, pillow_format, wanted)
    except Exception:
        note = f"the picture could not be made a {wanted.kind} and stays as it was made"
        return None, (note,)


# Texts in pictures: what their keys look like, and the tags of EXIF data that they stand in. That
# is one for the prompt; the others go first where ComfyUI writes them, then, if there are more,
# where nothing else stands.
TEXT_KEY = re.compile(r"[^\0:]{1,79}")
PROMPT_TAG = 0x0110
TEXT_TAGS = (*range(0x010F, 0x010A, -1), *range(0x00FD, 0x0080, -1))

MAX_JPEG_EXIF = 65_000  # bytes; the length of its segment has 16 bits


def _converted(data: bytes, pillow_format: str, wanted: Format) -> tuple[bytes, tuple[str, ...]]:
    """A picture as a file of another format, and notes of what was lost. May raise any
    exception.
    """
    with open_picture(data) as image, room_for(image):
        image.load()
        if is_too_large(Size(*image.size)):  # some formats tell it only now
            raise ValueError("too large")
        return _encoded(image, pillow_format, wanted)


def _encoded(
    image: Image.Image, pillow_format: str, wanted: Format
) -> tuple[bytes, tuple[str, ...]]:
    """A decoded picture as a file of another format, and notes of what was lost."""
    texts = _texts(image) if wanted.metadata else {}
    notes = _notes_on(_cut_to_bounds(texts), "")
    turn_upright(image)
    profile = rgb_profile(image)
    picture = plain_picture(image)
    if pillow_format == "PNG":
        chunks = PngImagePlugin.PngInfo()
        for key, text in texts.items():
            chunks.add_text(key, text)
        return encode(picture, "PNG", compress_level=4, pnginfo=chunks, icc_profile=profile), notes
    quality = min(max(wanted.quality, 1), 100)
    if pillow_format == "WEBP":
        exif = _exif(texts)
        return encode(
            picture, "WEBP", method=4, quality=quality, exif=exif, icc_profile=profile
        ), notes
    removed = _cut_for_jpeg(texts)
    exif = _exif(texts)
    encoded = encode(over_white(picture), "JPEG", quality=quality, exif=exif, icc_profile=profile)
    return encoded, notes + _notes_on(removed, " in a JPEG")


MOST_NOTES_ON_TEXTS = 5


def _notes_on(removed: Sequence[str], where: str) -> tuple[str, ...]:
    """Notes on the texts, by their keys, that were taken out of a picture."""
    notes = [
        f"the {shortened(key)} was too long to be kept{where}"
        for key in removed[:MOST_NOTES_ON_TEXTS]
    ]
    if more := len(removed) - len(notes):
        notes.append(f"{more} more texts were too many to be kept{where}")
    return tuple(notes)


def _cut_to_bounds(texts: dict[str, str]) -> list[str]:
    """Take texts out until the rest is within the bounds, in the same order. Returns the keys of
    those taken out.
    """
    removed: list[str] = []
    length = sum(map(len, texts.values()))
    for key in ("workflow", "prompt", *texts):
        if length <= MOST_PICTURE_TEXT_CHARACTERS and len(texts) <= len(TEXT_TAGS):
            break
        if key in texts:
            length -= len(texts.pop(key))
            removed.append(key)
    return removed


def _cut_for_jpeg(texts: dict[str, str]) -> list[str]:
    """Take texts out until the rest fits into a JPEG: first the workflow, then the prompt, then the
    others. Returns the keys of those taken out.
    """
    removed: list[str] = []
    for key in ("workflow", "prompt", *texts):
        if len(_exif(texts)) <= MAX_JPEG_EXIF:
            break
        if key in texts:
            del texts[key]
            removed.append(key)
    return removed


def _texts(image: Image.Image) -> dict[str, str]:
    """The texts in a picture by their keys, from where ComfyUI puts them: PNG texts, or "key:text"
    in EXIF data.
    """
    texts: dict[str, str] = {}
    if isinstance(image, PngImagePlugin.PngImageFile):
        texts = {key: str(text) for key, text in image.text.items()}
    elif orientation_of(image):  # 0 where the EXIF data cannot be read
        exif = image.getexif()
        for tag in (PROMPT_TAG, *TEXT_TAGS):
            value = exif.get(tag)
            if isinstance(value, str) and ":" in value:
                key, _, text = value.partition(":")
                texts[key.strip()] = text.strip("\0 ")
    return {key: text for key, text in texts.items() if TEXT_KEY.fullmatch(key)}


def _exif(texts: Mapping[str, str]) -> bytes:
    """Texts as ComfyUI writes them into EXIF data, which holds ASCII only: other characters become
    JSON escapes.
    """
    if not texts:
        return b""
    exif = Image.Exif()
    free_tags = iter(TEXT_TAGS)
    for key, text in texts.items():
        tag: int | None = PROMPT_TAG
        if key != "prompt":
            tag = next(free_tags, None)
        if tag:
            exif[tag] = re.sub(r"[^\0-\x7f]+", _json_escape, f"{key}:{text}")
    return exif.tobytes()


def _json_escape(character: re.Match[str]) -> str:
    """Characters as JSON writes them in ASCII: "\\u65e5"."""
    literal = json.dumps(character[0])
    return literal.strip('"')


def text_product(text: str) -> OutputFile:
    """A text that a node showed, as a file: JSON if it is that and not long, else plain text.
    Blocks: call it in a thread. Raises `StorageRefused` where there is no room for it.
    """
    content_type = "text/plain"
    if len(text) <= MOST_PIECE_BYTES and text.lstrip()[:1] in ("{", "["):
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(text)
            content_type = "application/json"
    return OutputFile(hold(text.encode("utf-8", "replace")), content_type, None, "")
