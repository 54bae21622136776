"""Strip files of the texts that tell how they were made, without decoding them.

ComfyUI writes the prompt and the workflow into nearly every file that it saves. `without_metadata`
takes them out: by the file's type it calls one of the `_strip_...` functions, each of which knows
the layout of one format (see `STRIPPERS` at the end). Those are the formats that the savers of
ComfyUI and of widespread custom nodes write. Pixels, sound and film stay as they are, bit by bit,
and so do colour profiles and how a picture is turned.

Some formats are rows of pieces, and are rewritten without some of them (PNG, JPEG, WebP, GIF, SVG,
GLB). In others something refers to places in the file, and so what is removed is overwritten in its
length (MP4, Matroska, FLAC, Opus, safetensors). A file that is not as its format demands raises
`ValueError` or `LookupError`, or `RecursionError` where it is nested without end: rather an error
than a file that may still tell. So does one of more parts than any program writes. Everything takes
a time that grows with the length of the file only, and no more memory than the file again.
"""

import json
import mmap
import re
import zlib
from collections.abc import Callable
from typing import Any

from PIL import Image

from ..bounds import MOST_FILE_PARTS, MOST_GIF_BLOCKS, MOST_HEAD_BYTES
from .file_bytes import Buffer
from .kinds import ORIENTATION, TURNED, content_type_of
from .overwriting import Changes, overwrite, overwritten, zeros
from .parts import (
    JPEG_END,
    JPEG_SCAN,
    Count,
    behind_gif_blocks,
    check_directory,
    gif_table_length,
    next_jpeg_marker,
    number_at,
)
from .sound_metadata import strip_flac, strip_mp3, strip_opus


def without_metadata(data: bytes, content_type: str) -> bytes:
    """A file without the texts that tell how it was made; all else stays, bit by bit.

    Its own bytes tell its type; `content_type` counts where they do not. Raises `ValueError`,
    `LookupError` or `RecursionError` for a damaged file, and for a picture, video or sound of a
    format that cannot be stripped. Other files of such formats come back as they are.
    """
    file_type, _, _ = content_type_of(data, "")
    if file_type not in STRIPPERS and file_type not in FILM_CHANGES:
        file_type = content_type
    if file_type in FILM_CHANGES:
        return overwritten(data, FILM_CHANGES[file_type](data))
    if file_type in STRIPPERS:
        return STRIPPERS[file_type](data)
    if SAFETENSORS.match(data):
        return _strip_safetensors(data)
    has_place_for_texts = (
        file_type.startswith(("image/", "video/", "audio/")) and file_type != "image/bmp"
    )
    if has_place_for_texts:
        raise ValueError(file_type)
    return data


def strip_film(film: mmap.mmap, content_type: str) -> None:
    """Take the texts out of a film on disk, of one of the types in `FILM_CHANGES`, where it is.
    Raises as `without_metadata` does.
    """
    overwrite(film, FILM_CHANGES[content_type](film))


def _only_orientation(exif: bytes) -> bytes:
    """EXIF data (as in TIFF) that tells nothing but how a picture is turned; empty when that is
    upright or unknown.
    """
    full = Image.Exif()
    try:
        check_directory(exif)
        full.load(exif)
        orientation = full.get(ORIENTATION)
    except Exception:
        return b""
    if orientation not in TURNED:
        return b""
    stripped = Image.Exif()
    stripped[ORIENTATION] = orientation
    return stripped.tobytes().removeprefix(b"Exif\0\0")


# Pictures.


# kinds of chunks; the last is ComfyUI's own, in animations
PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"comf")


def _strip_png(data: bytes) -> bytes:
    """A PNG: a signature of 8 bytes, then chunks of length (4), kind (4), content and check sum
    (4).

    89504e470d0a1a0a  0000000d IHDR ...  0000002f tEXt prompt\\0{"3": ...} <check sum>  ...  00000000 IEND ae426082
    """
    parts = [data[:8]]
    count = Count(MOST_FILE_PARTS)
    at = 8
    kind = b""
    while at < len(data) and kind != b"IEND":
        count.add()
        length = number_at(data, at, 4)
        kind = data[at + 4 : at + 8]
        content = at + 8
        content_end = content + length
        end = content_end + 4
        if end > len(data):
            raise ValueError("the file ends too early")
        if kind == b"eXIf":
            exif = data[content:content_end]
            parts.append(_png_exif(exif))
        elif kind not in PNG_TEXTS:
            parts.append(data[at:end])
        at = end
    parts.append(data[at:])
    return b"".join(parts)


def _png_exif(exif: bytes) -> bytes:
    """The chunk of EXIF data that only tells how the picture is turned; empty when that is
    upright.
    """
    stripped = _only_orientation(exif)
    if not stripped:
        return b""
    length = len(stripped).to_bytes(4)
    content = b"eXIf" + stripped
    check_sum = zlib.crc32(content).to_bytes(4)
    return length + content + check_sum


JPEG_PROGRAMS = range(0xE0, 0xF0)  # codes of the segments in which programs write what they like
JPEG_KEPT = (0xE0, 0xE2, 0xEE)  # of these: JFIF, colour profile, Adobe's colour transform


def _strip_jpeg(data: bytes) -> bytes:
    """A JPEG: segments of marker (2), length (2, itself included) and content; behind each start of
    a scan (0xDA) compressed data up to the next marker; 0xD9 is the end.
    """
    parts = [data[:2]]
    count = Count(MOST_FILE_PARTS)
    at = 2
    while data[at] == 0xFF:
        count.add()
        code = data[at + 1]
        if code == 0xFF:  # a byte that fills up
            at += 1
            continue
        if code == JPEG_END:
            parts.append(data[at:])
            return b"".join(parts)
        length = number_at(data, at + 2, 2)
        end = at + 2 + length
        if length < 2 or end > len(data):
            break
        if code == JPEG_SCAN:
            end = next_jpeg_marker(data, end)
            parts.append(data[at:end])
            if end == len(data):  # the file is cut short
                return b"".join(parts)
        else:
            segment = data[at:end]
            parts.append(_jpeg_segment(code, segment))
        at = end
    raise ValueError("no JPEG marker")


def _jpeg_segment(code: int, segment: bytes) -> bytes:
    """What stays of a segment, which is empty when it only holds texts."""
    if code == 0xE1 and segment[4:10] == b"Exif\0\0":
        exif = _only_orientation(segment[10:])
        if not exif:
            return b""
        content = b"Exif\0\0" + exif
        length = (2 + len(content)).to_bytes(2)
        return b"\xff\xe1" + length + content
    is_comment = code == 0xFE
    is_of_program = code in JPEG_PROGRAMS and code not in JPEG_KEPT
    if is_comment or is_of_program:
        return b""
    return segment


WEBP_HAS_EXIF = 0x08  # in the flags of a WebP
WEBP_HAS_XMP = 0x04


def _strip_webp(data: bytes) -> bytes:
    """A WebP: "RIFF", length of the rest (4, little-endian), "WEBP", then chunks: kind (4), length
    (4), content, and a byte that fills up to an even length; the last one may be cut short. Texts
    are in the chunks "EXIF" and "XMP ", and the flags in "VP8X" say whether there are any.
    """
    riff_length = number_at(data, 4, 4, "little")
    if data[:4] != b"RIFF" or riff_length < 4:
        raise ValueError("not a WebP")
    stop = min(8 + riff_length, len(data))
    removed = WEBP_HAS_XMP  # flags
    chunks = []
    count = Count(MOST_FILE_PARTS)
    at = 12
    while at < stop:
        count.add()
        content_length = 0
        if at + 8 <= stop:
            content_length = number_at(data, at + 4, 4, "little")
        filling = content_length % 2
        end = at + 8 + content_length + filling
        chunk = data[at : min(end, stop)]
        kind = chunk[:4]
        if kind == b"EXIF":
            exif = _only_orientation(chunk[8:])
            if exif:
                chunks.append(_webp_exif(exif))
            else:
                removed |= WEBP_HAS_EXIF
        elif kind != b"XMP ":
            chunks.append(chunk)
        at = end
    if chunks and chunks[0].startswith(b"VP8X"):
        head = bytearray(chunks[0])
        head[8] &= ~removed
        chunks[0] = bytes(head)
    new_length = (4 + sum(map(len, chunks))).to_bytes(4, "little")
    return b"".join([b"RIFF", new_length, data[8:12], *chunks, data[stop:]])


def _webp_exif(exif: bytes) -> bytes:
    """A chunk of EXIF data."""
    length = len(exif).to_bytes(4, "little")
    filling = bytes(len(exif) % 2)
    return b"EXIF" + length + exif + filling


def _strip_gif(data: bytes) -> bytes:
    """A GIF: a head (13 bytes) with a table of colours, then pictures (0x2C, 10 bytes, a table of
    colours, 1 byte) and extensions (0x21, 2 bytes), each followed by blocks of length (1) and
    content, up to an empty one; 0x3B is the end.
    """
    at = 13 + gif_table_length(data[10])
    parts = [data[:at]]
    count, blocks = Count(MOST_FILE_PARTS), Count(MOST_GIF_BLOCKS)
    while data[at] != 0x3B:
        count.add()
        if data[at] == 0x2C:
            start = at + 11 + gif_table_length(data[at + 9])
        elif data[at] == 0x21:
            start = at + 2
        else:
            raise ValueError("not a part of a GIF")
        end = behind_gif_blocks(data, start, blocks)
        part = data[at:end]
        is_comment = part.startswith(b"\x21\xfe")
        is_xmp = part.startswith(b"\x21\xff") and part[3:14] == b"XMP DataXMP"
        if not is_comment and not is_xmp:
            parts.append(part)
        at = end
    parts.append(data[at:])
    return b"".join(parts)


def _strip_svg(data: bytes) -> bytes:
    """An SVG: text, in which the elements <metadata> are cut out.

    <svg><metadata><![CDATA[{"prompt": {"3": ...}}]]></metadata><path .../></svg>  ->  <svg><path .../></svg>
    """
    parts = []
    count = Count(MOST_FILE_PARTS)
    at = 0
    start = data.find(b"<metadata")
    while start >= 0:
        count.add()
        end = data.index(b"</metadata", start)
        quoted = data.find(b"<![CDATA[", start, end)
        if quoted >= 0:  # where "</metadata" may stand as a text
            quote_end = data.index(b"]]>", quoted)
            end = data.index(b"</metadata", quote_end)
        parts.append(data[at:start])
        at = data.index(b">", end) + 1
        start = data.find(b"<metadata", at)
    parts.append(data[at:])
    return b"".join(parts)


# Films.


def _mp4_changes(data: Buffer) -> Changes:
    """An MP4, M4A or MOV: boxes in boxes."""
    changes: Changes = []
    _free_boxes(data, 0, len(data), changes, Count(MOST_FILE_PARTS))
    return changes


MP4_TEXTS = (b"udta", b"meta", b"uuid")  # kinds of boxes for texts
MP4_ENTERED = (b"moov", b"trak")  # the boxes of the film and of its tracks, which may hold such


def _free_boxes(file: Buffer, at: int, end: int, changes: Changes, count: Count) -> None:
    """Make "free" boxes, full of zeros, of the boxes for texts between two places: these are the
    `changes`.

    A box is length (4, all of it; 1 when 8 more bytes hold it, 0 when it goes on to the end), kind
    (4) and content.
    """
    while at < end:
        count.add()
        length = number_at(file, at, 4)
        kind = file[at + 4 : at + 8]
        content = at + 8
        if length == 1:
            length = number_at(file, at + 8, 8)
            content = at + 16
        stop = end
        if length:
            stop = at + length
        if stop > end or stop < content:
            raise ValueError("a box ends where it cannot")
        if kind in MP4_TEXTS:
            changes += [(at + 4, b"free"), *zeros(content, stop)]
        elif kind in MP4_ENTERED:
            _free_boxes(file, content, stop, changes, count)
        at = stop


# Ids of Matroska's elements.
MATROSKA_ENTERED = (b"\x18\x53\x80\x67", b"\x15\x49\xa9\x66")  # Segment, Info
MATROSKA_CLUSTER = b"\x1f\x43\xb6\x75"
# Tags, Title, and the check sum over that
MATROSKA_TEXTS = (b"\x12\x54\xc3\x67", b"\x7b\xa9", b"\xbf")


def _matroska_changes(data: Buffer) -> Changes:
    """A Matroska or WebM file: elements of id, length and content, in elements. The texts become
    void elements.
    """
    changes: Changes = []
    count = Count(MOST_FILE_PARTS)
    at = 0
    while at < len(data):
        count.add()
        kind, length, content = matroska_element(data, at)
        if kind in MATROSKA_ENTERED or (length is None and kind == MATROSKA_CLUSTER):
            at = content
            continue
        if length is None or content + length > len(data):
            raise ValueError("an element ends where it cannot")
        end = content + length
        if kind in MATROSKA_TEXTS:
            head = _matroska_void(end - at)
            changes += [(at, head), *zeros(at + len(head), end)]
        at = end
    return changes


def matroska_element(file: Buffer, at: int) -> tuple[bytes, int | None, int]:
    """An element's id, the length of its content, and where that begins. The length is None in a
    file that was written to a pipe: the element ends where the next one begins.

    Ids and lengths have 1 to 8 bytes, told by the number of zeros at the start of the first: the
    length 0x4005 is 5, 0xFF is unknown.
    """
    length_at = at + 9 - file[at].bit_length()
    content = length_at + 9 - file[length_at].bit_length()
    if not file[at] or not file[length_at]:
        raise ValueError("not an element")
    kind = file[at:length_at]
    width = content - length_at
    unknown = (1 << 7 * width) - 1
    length = number_at(file, length_at, width) & unknown
    if length == unknown:
        return kind, None, content
    return kind, length, content


def _matroska_void(total: int) -> bytes:
    """The id and the length of a void element of `total` bytes, these included."""
    width = 8 if total > 8 else 1  # of its length
    length = total - 1 - width
    marked_length = length | 1 << 7 * width
    return b"\xec" + marked_length.to_bytes(width)


# Models in 3D, saved latents and models.


def _strip_glb(data: bytes) -> bytes:
    """A GLB: a head (12, with the length of all), then JSON (length, "JSON", and the text, filled up to a multiple of
    4), where ComfyUI writes into "extras", and the rest.

    {"asset": {"version": "2.0", "extras": {"prompt": {...}}}, "extras": {"workflow": {...}}, "nodes": [...]}
    """
    length = number_at(data, 12, 4, "little")
    text_end = 20 + length
    if data[16:20] != b"JSON" or text_end > len(data):
        raise ValueError("no JSON")
    Count(MOST_HEAD_BYTES).add(length)
    model = json.loads(data[20:text_end])
    if not isinstance(model, dict):
        raise ValueError("not an object")
    has_extras = False
    for part in (model, model.get("asset")):
        if isinstance(part, dict) and "extras" in part:
            del part["extras"]
            has_extras = True
    if not has_extras:
        return data
    text = _short_json(model)
    filling = -len(text) % 4
    text = text.ljust(max(length, len(text) + filling))
    rest = memoryview(data)[text_end:]
    total_length = (20 + len(text) + len(rest)).to_bytes(4, "little")
    text_length = len(text).to_bytes(4, "little")
    return b"".join([data[:8], total_length, text_length, b"JSON", text, rest])


def _short_json(value: Any) -> bytes:
    """A value as JSON without spaces."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


# How such a file begins: with the length of its head, less than 4 GB, and the JSON in that.
SAFETENSORS = re.compile(rb".{4}\0{4}\{\s*\"", re.DOTALL)


def _strip_safetensors(data: bytes) -> bytes:
    """A safetensors file: the length (8, little-endian) of a head in JSON, the head, and the
    numbers. The head keeps its length, filled up with spaces.

    {"__metadata__": {"prompt": "..."}, "latent_tensor": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    """
    length = number_at(data, 0, 8, "little")
    Count(MOST_HEAD_BYTES).add(length)
    end = 8 + length
    head = json.loads(data[8:end])
    if head.pop("__metadata__", None) is None:
        return data
    text = _short_json(head).ljust(length)
    if len(text) > length:
        raise ValueError("it grew")
    return overwritten(data, [(8, text)])


# What strips the files of each content type. What is not here is told by its beginning
# (safetensors) or cannot be stripped.
STRIPPERS: dict[str, Callable[[bytes], bytes]] = {
    "image/png": _strip_png,
    "image/jpeg": _strip_jpeg,
    "image/webp": _strip_webp,
    "image/gif": _strip_gif,
    "image/svg+xml": _strip_svg,
    "audio/flac": strip_flac,
    "audio/mpeg": strip_mp3,
    "audio/ogg": strip_opus,
    "model/gltf-binary": _strip_glb,
}
# What is overwritten in films and their like, which may be too large for a copy.
FILM_CHANGES: dict[str, Callable[[Buffer], Changes]] = {
    "video/mp4": _mp4_changes,
    "video/quicktime": _mp4_changes,
    "audio/mp4": _mp4_changes,
    "video/webm": _matroska_changes,
    "video/x-matroska": _matroska_changes,
}
