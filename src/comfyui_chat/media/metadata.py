"""Strip files of the texts that tell how they were made, without decoding them.

ComfyUI writes the prompt and the workflow into nearly every file that it saves. `without_metadata` takes them out: by
the file's type it calls one of the `_strip_...` functions, each of which knows the layout of one format (see
`STRIPPERS` at the end). Those are the formats that the savers of ComfyUI and of widespread custom nodes write. Pixels,
sound and film stay as they are, bit by bit, and so do colour profiles and how a picture is turned.

Some formats are rows of pieces, and are rewritten without some of them (PNG, JPEG, WebP, GIF, SVG, GLB). In others
something refers to places in the file, and so what is removed is overwritten in its length (MP4, Matroska, FLAC, Opus,
safetensors). A file that is not as its format demands raises `ValueError` or `LookupError`, or `RecursionError` where
it is nested without end: rather an error than a file that may still tell.
"""

import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Literal

from PIL import Image

from .kinds import ORIENTATION, TURNED, behind_id3, content_type_of


def without_metadata(data: bytes, content_type: str) -> bytes:
    """A file without the texts that tell how it was made; all else stays, bit by bit.

    Its own bytes tell its type; `content_type` counts where they do not. Raises `ValueError`, `LookupError` or
    `RecursionError` for a damaged file, and for a picture, video or sound of a format that cannot be stripped. Other
    files of such formats come back as they are.
    """
    file_type = content_type_of(data, "")[0]
    if file_type not in STRIPPERS:
        file_type = content_type
    if file_type in STRIPPERS:
        return STRIPPERS[file_type](data)
    if SAFETENSORS.match(data):
        return _strip_safetensors(data)
    has_place_for_texts = file_type.startswith(("image/", "video/", "audio/")) and file_type != "image/bmp"
    if has_place_for_texts:
        raise ValueError(file_type)
    return data


# Helpers for several formats.


def _number(data: bytes | bytearray, at: int, length: int, order: Literal["big", "little"] = "big") -> int:
    """The number in `length` bytes at a place. Raises `ValueError` where the file ends before."""
    if at < 0 or at + length > len(data):
        raise ValueError("the file ends too early")
    return int.from_bytes(data[at : at + length], order)


def _only_orientation(exif: bytes) -> bytes:
    """EXIF data (as in TIFF) that tells nothing but how a picture is turned; empty when that is upright or unknown."""
    full = Image.Exif()
    try:
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


PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"comf")  # kinds of chunks; the last is ComfyUI's own, in animations


def _strip_png(data: bytes) -> bytes:
    """A PNG: a signature of 8 bytes, then chunks of length (4), kind (4), content and check sum (4)."""
    parts = [data[:8]]
    at = 8
    while at < len(data):
        end = at + 12 + _number(data, at, 4)
        if end > len(data):
            raise ValueError("the file ends too early")
        kind = data[at + 4 : at + 8]
        if kind == b"eXIf":
            parts.append(_png_exif(data[at + 8 : end - 4]))
        elif kind not in PNG_TEXTS:
            parts.append(data[at:end])
        at = end
        if kind == b"IEND":
            parts.append(data[at:])
            break
    return b"".join(parts)


def _png_exif(exif: bytes) -> bytes:
    """The chunk of EXIF data that only tells how the picture is turned; empty when that is upright."""
    stripped = _only_orientation(exif)
    if not stripped:
        return b""
    content = b"eXIf" + stripped
    return len(stripped).to_bytes(4) + content + zlib.crc32(content).to_bytes(4)


# A marker in a JPEG is 0xFF and a code. In the compressed data 0xFF may stand too, followed by 0x00, by a code that
# only cuts the data into parts (0xD0 to 0xD7), or by another 0xFF.
JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

JPEG_PROGRAMS = range(0xE0, 0xF0)  # codes of the segments in which programs write what they like
JPEG_KEPT = (0xE0, 0xE2, 0xEE)  # of these: JFIF, colour profile, Adobe's colour transform


def _strip_jpeg(data: bytes) -> bytes:
    """A JPEG: segments of marker (2), length (2, itself included) and content; behind each start of a scan (0xDA)
    compressed data up to the next marker; 0xD9 is the end."""
    parts = [data[:2]]
    at = 2
    while data[at] == 0xFF:
        code = data[at + 1]
        if code == 0xFF:  # a byte that fills up
            at += 1
            continue
        if code == 0xD9:
            return b"".join([*parts, data[at:]])
        length = _number(data, at + 2, 2)
        end = at + 2 + length
        if length < 2 or end > len(data):
            break
        if code == 0xDA:
            marker = JPEG_MARKER.search(data, end)
            if not marker:
                return b"".join([*parts, data[at:]])
            end = marker.start()
            parts.append(data[at:end])
        else:
            parts.append(_jpeg_segment(code, data[at:end]))
        at = end
    raise ValueError("no JPEG marker")


def _jpeg_segment(code: int, segment: bytes) -> bytes:
    """What stays of a segment, which is empty when it only holds texts."""
    if code == 0xE1 and segment[4:10] == b"Exif\0\0":
        exif = _only_orientation(segment[10:])
        if not exif:
            return b""
        return b"\xff\xe1" + (len(exif) + 8).to_bytes(2) + b"Exif\0\0" + exif
    is_comment = code == 0xFE
    if is_comment or (code in JPEG_PROGRAMS and code not in JPEG_KEPT):
        return b""
    return segment


WEBP_HAS_EXIF = 0x08  # in the flags of a WebP
WEBP_HAS_XMP = 0x04


def _strip_webp(data: bytes) -> bytes:
    """A WebP: "RIFF", length of the rest (4, little-endian), "WEBP", then chunks: kind (4), length (4), content, and a
    byte that fills up to an even length; the last one may be cut short. Texts are in the chunks "EXIF" and "XMP ", and
    the flags in "VP8X" say whether there are any."""
    riff_length = _number(data, 4, 4, "little")
    if data[:4] != b"RIFF" or riff_length < 4:
        raise ValueError("not a WebP")
    stop = min(8 + riff_length, len(data))
    removed = WEBP_HAS_XMP
    chunks = []
    at = 12
    while at < stop:
        content_length = _number(data, at + 4, 4, "little") if at + 8 <= stop else 0
        end = at + 8 + content_length + content_length % 2
        chunk = data[at : min(end, stop)]
        if chunk[:4] == b"EXIF":
            exif = _only_orientation(chunk[8:])
            if exif:
                length = len(exif).to_bytes(4, "little")
                chunks.append(b"EXIF" + length + exif + bytes(len(exif) % 2))
            else:
                removed |= WEBP_HAS_EXIF
        elif chunk[:4] != b"XMP ":
            chunks.append(chunk)
        at = end
    body = bytearray(b"".join(chunks))
    if body[:4] == b"VP8X":
        body[8] &= ~removed
    new_length = (4 + len(body)).to_bytes(4, "little")
    return b"RIFF" + new_length + data[8:12] + body + data[stop:]


def _strip_gif(data: bytes) -> bytes:
    """A GIF: a head (13 bytes) with a table of colours, then pictures (0x2C, 10 bytes, a table of colours, 1 byte) and
    extensions (0x21, 2 bytes), each followed by blocks of length (1) and content, up to an empty one; 0x3B is the
    end."""
    at = 13 + _gif_table_length(data[10])
    parts = [data[:at]]
    while data[at] != 0x3B:
        if data[at] == 0x2C:
            end = _behind_gif_blocks(data, at + 11 + _gif_table_length(data[at + 9]))
        elif data[at] == 0x21:
            end = _behind_gif_blocks(data, at + 2)
        else:
            raise ValueError("not a part of a GIF")
        part = data[at:end]
        is_comment = part.startswith(b"\x21\xfe")
        is_xmp = part.startswith(b"\x21\xff") and part[3:14] == b"XMP DataXMP"
        if not is_comment and not is_xmp:
            parts.append(part)
        at = end
    return b"".join([*parts, data[at:]])


def _gif_table_length(flags: int) -> int:
    """How many bytes the table of colours has: 0 when the flags say that there is none."""
    if not flags & 0x80:
        return 0
    return 3 << (flags & 7) + 1


def _behind_gif_blocks(data: bytes, at: int) -> int:
    while data[at]:
        at += data[at] + 1
    return at + 1


def _strip_svg(data: bytes) -> bytes:
    """An SVG: text, in which the elements <metadata> are cut out."""
    parts = []
    at = 0
    while (start := data.find(b"<metadata", at)) >= 0:
        end = data.index(b"</metadata", start)
        quoted = data.find(b"<![CDATA[", start, end)
        if quoted >= 0:  # where "</metadata" may stand as a text
            end = data.index(b"</metadata", data.index(b"]]>", quoted))
        parts.append(data[at:start])
        at = data.index(b">", end) + 1
    return b"".join([*parts, data[at:]])


# Film and sound.


def _strip_mp4(data: bytes) -> bytes:
    """An MP4, M4A or MOV: boxes in boxes."""
    file = bytearray(data)
    _free_boxes(file, 0, len(file))
    return bytes(file)


MP4_TEXTS = (b"udta", b"meta", b"uuid")  # kinds of boxes for texts
MP4_ENTERED = (b"moov", b"trak")  # the boxes of the film and of its tracks, which may hold such


def _free_boxes(file: bytearray, at: int, end: int) -> None:
    """Make "free" boxes, full of zeros, of the boxes for texts between two places.

    A box is length (4, all of it; 1 when 8 more bytes hold it, 0 when it goes on to the end), kind (4) and content.
    """
    while at < end:
        length = _number(file, at, 4)
        kind = bytes(file[at + 4 : at + 8])
        content = at + 8
        if length == 1:
            length = _number(file, at + 8, 8)
            content = at + 16
        stop = at + length if length else end
        if stop > end or stop < content:
            raise ValueError("a box ends where it cannot")
        if kind in MP4_TEXTS:
            file[at + 4 : at + 8] = b"free"
            file[content:stop] = bytes(stop - content)
        elif kind in MP4_ENTERED:
            _free_boxes(file, content, stop)
        at = stop


# Ids of Matroska's elements.
MATROSKA_ENTERED = (b"\x18\x53\x80\x67", b"\x15\x49\xa9\x66")  # Segment, Info
MATROSKA_CLUSTER = b"\x1f\x43\xb6\x75"
MATROSKA_TEXTS = (b"\x12\x54\xc3\x67", b"\x7b\xa9", b"\xbf")  # Tags, Title, and the check sum over that


def _strip_matroska(data: bytes) -> bytes:
    """A Matroska or WebM file: elements of id, length and content, in elements. The texts become void elements."""
    file = bytearray(data)
    at = 0
    while at < len(file):
        kind, length, content = _matroska_element(file, at)
        if kind in MATROSKA_ENTERED or (length is None and kind == MATROSKA_CLUSTER):
            at = content
            continue
        if length is None or content + length > len(file):
            raise ValueError("an element ends where it cannot")
        end = content + length
        if kind in MATROSKA_TEXTS:
            file[at:end] = _matroska_void(end - at)
        at = end
    return bytes(file)


def _matroska_element(file: bytearray, at: int) -> tuple[bytes, int | None, int]:
    """An element's id, the length of its content, and where that begins. The length is None in a file that was written
    to a pipe: the element ends where the next one begins.

    Ids and lengths have 1 to 8 bytes, told by the number of zeros at the start of the first: the length 0x4005 is 5,
    0xFF is unknown.
    """
    length_at = at + 9 - file[at].bit_length()
    content = length_at + 9 - file[length_at].bit_length()
    if not file[at] or not file[length_at]:
        raise ValueError("not an element")
    width = content - length_at
    unknown = (1 << 7 * width) - 1
    length = _number(file, length_at, width) & unknown
    return bytes(file[at:length_at]), None if length == unknown else length, content


def _matroska_void(total: int) -> bytes:
    """A void element of `total` bytes, id and length included."""
    width = 8 if total > 8 else 1  # of its length
    length = total - 1 - width
    return b"\xec" + (length | 1 << 7 * width).to_bytes(width) + bytes(length)


def _strip_mp3(data: bytes) -> bytes:
    """An MP3: ID3 tags in front, and behind the sound tags of ID3v1 (128 bytes) and of APE (told by their last 32)."""
    start = behind_id3(data)
    end = len(data)
    if start > end:
        raise ValueError("a tag ends where it cannot")
    while True:
        if data[max(start, end - 128) : end].startswith(b"TAG"):
            end -= 128
        elif data[max(start, end - 32) : end].startswith(b"APETAGEX"):
            has_head = _number(data, end - 12, 4, "little") & 1 << 31
            end -= max(_number(data, end - 20, 4, "little"), 32)
            if has_head:
                end -= 32
        else:
            return data[start:end]
        if end < start:
            raise ValueError("a tag begins where it cannot")


FLAC_PADDING = 1  # kinds of blocks
FLAC_COMMENTS = 4


def _strip_flac(data: bytes) -> bytes:
    """A FLAC: "fLaC", then blocks of kind (1, its highest bit marks the last), length (3) and content, then the
    sound. The block of comments becomes padding."""
    file = bytearray(data[behind_id3(data) :])
    if file[:4] != b"fLaC":
        raise ValueError("not a FLAC")
    at = 4
    is_last = False
    while not is_last:
        is_last = file[at] > 0x7F
        end = at + 4 + _number(file, at + 1, 3)
        if end > len(file):
            raise ValueError("the file ends too early")
        if file[at] & 0x7F == FLAC_COMMENTS:
            file[at] = file[at] & 0x80 | FLAC_PADDING
            file[at + 4 : end] = bytes(end - at - 4)
        at = end
    return bytes(file)


OPUS_NO_COMMENTS = b"OpusTags" + bytes(8)  # a name of no length, and no comments

# For each byte the one with its bits in the opposite order.
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _strip_opus(data: bytes) -> bytes:
    """An Opus file: a stream of packets in the pages of Ogg. The second packet holds the comments, over as many pages
    as they need. They are overwritten in place, filled up with zeros."""
    packets = 0  # that have ended
    pieces: list[slice] = []  # of the packet of comments
    pages: set[int] = set()  # where those pages begin that hold any of it
    for page, lengths in _ogg_pages(data):
        place = page + 27 + len(lengths)
        for length in lengths:
            if packets == 1:
                pieces.append(slice(place, place + length))
                pages.add(page)
            if length < 255:
                packets += 1
            place += length
    comments = b"".join(data[piece] for piece in pieces)
    if packets < 2 or not comments.startswith(b"OpusTags") or len(comments) < len(OPUS_NO_COMMENTS):
        raise ValueError("no comments of Opus")
    stripped = io.BytesIO(OPUS_NO_COMMENTS.ljust(len(comments), b"\0"))
    file = bytearray(data)
    for piece in pieces:
        file[piece] = stripped.read(piece.stop - piece.start)
    for page in pages:
        _set_ogg_check_sum(file, page)
    return bytes(file)


def _ogg_pages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Where each page of an Ogg file with a single stream begins, and the lengths of its pieces.

    A page is a head (27 bytes, with the stream's number and a check sum), the lengths of its pieces (1 byte each), and
    the pieces. A piece of 255 bytes goes on in the next one, also over pages; together they are a packet.
    """
    at = 0
    while at < len(data):
        content = at + 27 + data[at + 26]
        lengths = data[at + 27 : content]
        end = content + sum(lengths)
        if data[at : at + 4] != b"OggS" or end > len(data):
            raise ValueError("not a page")
        is_other_stream = data[at + 14 : at + 18] != data[14:18]
        begins_stream = data[at + 5] & 2
        if is_other_stream or (begins_stream and at > 0):
            raise ValueError("more than one stream")
        yield at, lengths
        at = end


def _set_ogg_check_sum(file: bytearray, page: int) -> None:
    """Put the check sum of a page right. It is zlib's with the bits of all bytes mirrored, and without its
    inversions."""
    content = page + 27 + file[page + 26]
    end = content + sum(file[page + 27 : content])
    file[page + 22 : page + 26] = bytes(4)
    check_sum = zlib.crc32(file[page:end].translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    file[page + 22 : page + 26] = check_sum.to_bytes(4).translate(MIRRORED)


# Models in 3D, saved latents and models.


def _strip_glb(data: bytes) -> bytes:
    """A GLB: a head (12, with the length of all), then JSON (length, "JSON", and the text, filled up to a multiple of
    4), where ComfyUI writes into "extras", and the rest.

    {"asset": {"version": "2.0", "extras": {"prompt": {...}}}, "extras": {"workflow": {...}}, "nodes": [...]}
    """
    length = _number(data, 12, 4, "little")
    if data[16:20] != b"JSON" or 20 + length > len(data):
        raise ValueError("no JSON")
    model = json.loads(data[20 : 20 + length])
    if not isinstance(model, dict):
        raise ValueError("not an object")
    has_extras = False
    for part in (model, model.get("asset")):
        if isinstance(part, dict) and "extras" in part:
            del part["extras"]
            has_extras = True
    if not has_extras:
        return data
    text = json.dumps(model, ensure_ascii=False, separators=(",", ":")).encode()
    whole_words = -(-len(text) // 4) * 4
    text = text.ljust(max(length, whole_words))
    rest = data[20 + length :]
    total_length = (20 + len(text) + len(rest)).to_bytes(4, "little")
    text_length = len(text).to_bytes(4, "little")
    return data[:8] + total_length + text_length + b"JSON" + text + rest


# How such a file begins: with the length of its head, less than 4 GB, and the JSON in that.
SAFETENSORS = re.compile(rb".{4}\0{4}\{\s*\"", re.DOTALL)


def _strip_safetensors(data: bytes) -> bytes:
    """A safetensors file: the length (8, little-endian) of a head in JSON, the head, and the numbers. The head keeps
    its length, filled up with spaces.

    {"__metadata__": {"prompt": "..."}, "latent_tensor": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    """
    length = _number(data, 0, 8, "little")
    head = json.loads(data[8 : 8 + length])
    if head.pop("__metadata__", None) is None:
        return data
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode().ljust(length)
    if len(text) > length:
        raise ValueError("it grew")
    return data[:8] + text + data[8 + length :]


# What strips the files of each content type. What is not here is told by its beginning (safetensors) or cannot be
# stripped.
STRIPPERS: dict[str, Callable[[bytes], bytes]] = {
    "image/png": _strip_png,
    "image/jpeg": _strip_jpeg,
    "image/webp": _strip_webp,
    "image/gif": _strip_gif,
    "image/svg+xml": _strip_svg,
    "video/mp4": _strip_mp4,
    "video/quicktime": _strip_mp4,
    "audio/mp4": _strip_mp4,
    "video/webm": _strip_matroska,
    "video/x-matroska": _strip_matroska,
    "audio/flac": _strip_flac,
    "audio/mpeg": _strip_mp3,
    "audio/ogg": _strip_opus,
    "model/gltf-binary": _strip_glb,
}
