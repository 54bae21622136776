"""Strip files of the texts that tell how they were made, without decoding them.

ComfyUI writes the prompt and the workflow into nearly every file that it saves. `without_metadata` takes them out: by
the file's type it calls one of the `_bare_...` functions, of which each knows the layout of one format (see `STRIPPERS`
at the end). Pixels, sound and film stay as they are, bit by bit, and so do colour profiles and how a picture is turned.

Some formats are rows of pieces, and are written anew without some of them (PNG, JPEG, GIF, RIFF, SVG, GLB). In others
something refers to places in the file, and so what is removed is overwritten in its length (MP4, Matroska, FLAC, Ogg,
safetensors). A file that is not as its format demands raises `ValueError` or `LookupError`, or `RecursionError` where
it is nested without end: rather an error than a file that may still tell.
"""

import itertools
import json
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Literal

from PIL import Image

from .kinds import ORIENTATION, TURNED, behind_id3, content_type_of


def without_metadata(data: bytes, content_type: str) -> bytes:
    """A file without the texts that tell how it was made; all else stays, bit by bit.

    Its own bytes tell its type; `content_type` counts where they do not. Raises `ValueError`, `LookupError` or
    `RecursionError` for a damaged file, and for a picture, video or sound of an unknown format. Other files of unknown
    formats come back as they are.
    """
    own = content_type_of(data, "")[0]
    kind = own if own in STRIPPERS else content_type
    if kind in STRIPPERS:
        return STRIPPERS[kind](data)
    if SAFETENSORS.match(data):
        return _bare_safetensors(data)
    if kind.partition("/")[0] in ("image", "video", "audio") and kind != "image/bmp":  # which has no place for texts
        raise ValueError(kind)
    return data


# Helpers for several formats.


def _number(data: bytes | bytearray, at: int, length: int, order: Literal["big", "little"] = "big") -> int:
    """The number in `length` bytes at a place. Raises `ValueError` where the file ends before."""
    if at < 0 or at + length > len(data):
        raise ValueError("the file ends too early")
    return int.from_bytes(data[at : at + length], order)


def _only_orientation(exif: bytes) -> bytes:
    """EXIF data (as in TIFF) that tells nothing but how a picture is turned; empty when that is upright or unknown."""
    held, only = Image.Exif(), Image.Exif()
    try:
        held.load(exif)
        turned = held.get(ORIENTATION)
    except Exception:
        return b""
    if turned not in TURNED:
        return b""
    only[ORIENTATION] = turned
    return only.tobytes().removeprefix(b"Exif\0\0")


# Pictures.


def _bare_png(data: bytes) -> bytes:
    """A PNG: a signature of 8 bytes, then chunks of length (4), kind (4), content and check sum (4)."""
    parts, at = [data[:8]], 8
    while at < len(data):
        end = at + 12 + _number(data, at, 4)
        if end > len(data):
            raise ValueError("the file ends too early")
        chunk, kind = data[at:end], data[at + 4 : at + 8]
        if kind == b"eXIf":
            exif = _only_orientation(chunk[8:-4])
            chunk = len(exif).to_bytes(4) + kind + exif + zlib.crc32(kind + exif).to_bytes(4) if exif else b""
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"comf"):  # the last is ComfyUI's own, in animations
            parts.append(chunk)
        at = end
        if kind == b"IEND":
            parts.append(data[at:])
            break
    return b"".join(parts)


# A marker in a JPEG is 0xFF and a code. In the compressed data 0xFF may stand too, followed by 0x00, by a code that
# only cuts the data into parts (0xD0 to 0xD7), or by another 0xFF.
JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

JPEG_KEPT = (0xE0, 0xE2, 0xEE)  # of the segments for programs: JFIF, colour profile, Adobe's colour transform


def _bare_jpeg(data: bytes) -> bytes:
    """A JPEG: segments of marker (2), length (2, itself included) and content; behind each start of a scan (0xDA)
    compressed data up to the next marker."""
    parts, at = [data[:2]], 2
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
        segment = data[at:end]
        if code == 0xDA:
            following = JPEG_MARKER.search(data, end)
            end = following.start() if following else len(data)
            parts.append(data[at:end])
            if not following:
                return b"".join(parts)
        elif code == 0xE1 and segment[4:10] == b"Exif\0\0":
            if exif := _only_orientation(segment[10:]):
                parts.append(b"\xff\xe1" + (len(exif) + 8).to_bytes(2) + b"Exif\0\0" + exif)
        elif code != 0xFE and (code in JPEG_KEPT or not 0xE0 <= code <= 0xEF):
            parts.append(segment)
        at = end
    raise ValueError("no JPEG marker")


def _bare_webp(data: bytes) -> bytes:
    """A WebP: RIFF with the chunks "EXIF" and "XMP ", and flags in "VP8X" that say whether they are there."""
    gone = 0x04  # flags to clear: 0x04 for XMP, 0x08 for EXIF

    def bare(chunk: bytes) -> bytes:
        nonlocal gone
        if chunk[:4] == b"EXIF":
            exif = _only_orientation(chunk[8:])
            gone |= 0 if exif else 0x08
            return chunk[:4] + len(exif).to_bytes(4, "little") + exif + bytes(len(exif) % 2) if exif else b""
        return b"" if chunk[:4] == b"XMP " else chunk

    file = bytearray(_riff(data, bare))
    if file[12:16] == b"VP8X":
        file[20] &= ~gone
    return bytes(file)


def _riff(data: bytes, bare: Callable[[bytes], bytes]) -> bytes:
    """A RIFF file with each of its chunks replaced by what `bare` makes of it.

    "RIFF", length (4, little-endian), form (4), then chunks: kind (4), length (4), content, and a byte that fills up to
    an even length. A chunk is given with all of that; the last one may be cut short.
    """
    own, at, chunks = _number(data, 4, 4, "little"), 12, list[bytes]()
    told = own not in (0, 0xFFFFFFFF)  # a program that writes to a pipe never fills it in
    stop = min(8 + own, len(data)) if told else len(data)
    while at < stop:
        length = _number(data, at + 4, 4, "little") if at + 8 <= stop else 0
        end = at + 8 + length + length % 2
        chunks.append(bare(data[at : min(end, stop)]))
        at = end
    body = b"".join(chunks)
    length = 4 + len(body) if told else own
    return data[:4] + length.to_bytes(4, "little") + data[8:12] + body + data[stop:]


def _bare_gif(data: bytes) -> bytes:
    """A GIF: a head with a table of colours, then pictures (0x2C) and extensions (0x21), all in blocks of length (1)
    and content, up to an empty block; 0x3B is the end."""

    def behind_table(at: int) -> int:  # of colours, if the byte of flags at `at` says that there is one
        return (3 << (data[at] & 7) + 1) if data[at] & 0x80 else 0

    def behind_blocks(at: int) -> int:
        while data[at]:
            at += data[at] + 1
        return at + 1

    at = 13 + behind_table(10)
    parts = [data[:at]]
    while data[at] != 0x3B:
        kind, start = data[at : at + 2], at
        if kind[0] == 0x2C:
            at = behind_blocks(at + 11 + behind_table(at + 9))
        elif kind[0] == 0x21:
            at = behind_blocks(at + 2)
        else:
            raise ValueError("no block of a GIF")
        xmp = kind == b"\x21\xff" and data[start + 3 : start + 14] == b"XMP DataXMP"
        if kind != b"\x21\xfe" and not xmp:  # 0xFE is a comment
            parts.append(data[start:at])
    return b"".join([*parts, data[at:]])


def _bare_svg(data: bytes) -> bytes:
    """An SVG: text, in which the elements <metadata> are cut out."""
    parts, at = [], 0
    while (start := data.find(b"<metadata", at)) >= 0:
        end = data.index(b"</metadata", start)
        inside = data.find(b"<![CDATA[", start, end)
        if inside >= 0:  # where "</metadata" may stand as a text
            end = data.index(b"</metadata", data.index(b"]]>", inside))
        parts.append(data[at:start])
        at = data.index(b">", end) + 1
    return b"".join([*parts, data[at:]])


# Film and sound.


def _bare_mp4(data: bytes) -> bytes:
    """An MP4, M4A or MOV: boxes in boxes."""
    file = bytearray(data)
    _free_boxes(file, 0, len(file))
    return bytes(file)


def _free_boxes(file: bytearray, at: int, end: int) -> None:
    """Make "free" boxes, full of zeros, of the boxes for texts between two places, and so in those for the film and its
    tracks.

    A box is length (4, all of it; 1 when 8 more bytes hold it, 0 when it goes on to the end), kind (4) and content.
    """
    while at < end:
        length, kind, head = _number(file, at, 4), bytes(file[at + 4 : at + 8]), 8
        if length == 1:
            length, head = _number(file, at + 8, 8), 16
        stop = at + length if length else end
        if stop > end or stop < at + head:
            raise ValueError("a box ends where it cannot")
        if kind in (b"udta", b"meta", b"uuid"):
            file[at + 4 : at + 8] = b"free"
            file[at + head : stop] = bytes(stop - at - head)
        elif kind in (b"moov", b"trak"):
            _free_boxes(file, at + head, stop)
        at = stop


# Ids of Matroska's elements.
MATROSKA_ENTERED = (b"\x18\x53\x80\x67", b"\x15\x49\xa9\x66")  # Segment, Info
MATROSKA_CLUSTER = b"\x1f\x43\xb6\x75"
MATROSKA_TEXTS = (b"\x12\x54\xc3\x67", b"\x7b\xa9", b"\xbf")  # Tags, Title, and the check sum over that


def _bare_matroska(data: bytes) -> bytes:
    """A Matroska or WebM file: elements of id, length and content, in elements. The texts become void elements.

    Ids and lengths have 1 to 8 bytes, told by the number of zeros at the start of the first.
    """
    file, at = bytearray(data), 0
    while at < len(file):
        sizes = at + 9 - file[at].bit_length()
        body = sizes + 9 - file[sizes].bit_length()
        if not file[at] or not file[sizes]:
            raise ValueError("no element")
        kind, bits = bytes(file[at:sizes]), 7 * (body - sizes)
        length = _number(file, sizes, body - sizes) & ((1 << bits) - 1)
        unknown = length == (1 << bits) - 1  # as of one written to a pipe: it ends where the next begins
        end = body + length
        if kind in MATROSKA_ENTERED or (unknown and kind == MATROSKA_CLUSTER):
            at = body
            continue
        if unknown or end > len(file):
            raise ValueError("an element ends where it cannot")
        if kind in MATROSKA_TEXTS:  # a void element of the same length
            rest, width = (end - at - 9, 8) if end - at > 8 else (end - at - 2, 1)
            file[at:end] = b"\xec" + (rest | 1 << 7 * width).to_bytes(width) + bytes(rest)
        at = end
    return bytes(file)


def _bare_wav(data: bytes) -> bytes:
    """A WAV: RIFF with chunks for ID3 tags, XMP, iXML, and lists ("LIST") of information ("INFO")."""

    def tells(chunk: bytes) -> bool:
        return chunk[:4].lower() in (b"id3 ", b"_pmx", b"ixml") or (chunk[:4] == b"LIST" and chunk[8:12] == b"INFO")

    return _riff(data, lambda chunk: b"" if tells(chunk) else chunk)


def _bare_mp3(data: bytes) -> bytes:
    """An MP3: ID3 tags in front, and behind the sound tags of ID3v1 (128 bytes) and of APE (told by their last 32)."""
    start, end = behind_id3(data), len(data)
    if start > end:
        raise ValueError("a tag ends where it cannot")
    while True:
        if data[max(start, end - 128) : end].startswith(b"TAG"):
            end -= 128
        elif data[max(start, end - 32) : end].startswith(b"APETAGEX"):
            head = 32 if _number(data, end - 12, 4, "little") & 1 << 31 else 0
            end -= max(_number(data, end - 20, 4, "little"), 32) + head
        else:
            return data[start:end]
        if end < start:
            raise ValueError("a tag begins where it cannot")


def _bare_flac(data: bytes) -> bytes:
    """A FLAC: "fLaC", then blocks of kind (1, its highest bit marks the last), length (3) and content, then the
    sound. The block of comments becomes padding."""
    file, at, last = bytearray(data[behind_id3(data) :]), 4, False
    if file[:4] != b"fLaC":
        raise ValueError("no FLAC")
    while not last:
        last, end = file[at] > 0x7F, at + 4 + _number(file, at + 1, 3)
        if end > len(file):
            raise ValueError("the file ends too early")
        if file[at] & 0x7F == 4:  # the comments; 1 is padding
            file[at] = file[at] & 0x80 | 1
            file[at + 4 : end] = bytes(end - at - 4)
        at = end
    return bytes(file)


# How the packet of comments begins in each codec, and what follows when there are none: two counts of 0, and a bit.
OGG_COMMENTS = (b"OpusTags" + bytes(8), b"\x03vorbis" + bytes(8) + b"\x01", b"\x81theora" + bytes(8))

# For each byte the one with its bits in the opposite order.
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _bare_ogg(data: bytes) -> bytes:
    """An Ogg file: pages, each of a head (27 bytes, with the stream's number and a check sum), the lengths of its
    pieces (1 byte each), and the pieces. A piece of 255 bytes goes on in the next one, also over pages; together they
    are a packet.

    The second packet of each stream holds the comments, over as many pages as they need. They are overwritten in place.
    """
    file, at = bytearray(data), 0
    # For each stream how many packets it has had, and where the parts of its second one lie: page, start, end.
    open_streams: dict[bytes, tuple[int, list[tuple[int, int, int]]]] = {}
    while at < len(data):
        serial, lengths = data[at + 14 : at + 18], data[at + 27 : at + 27 + data[at + 26]]
        place = at + 27 + data[at + 26]
        end = place + sum(lengths)
        if data[at : at + 4] != b"OggS" or end > len(data):
            raise ValueError("no page")
        if data[at + 5] & 2:  # the first page of a stream
            open_streams[serial] = 0, []
        if serial in open_streams:
            packets, spans = open_streams.pop(serial)
            starts = [place]  # where the packets in the page start, and where the last whole one ends
            for length in lengths:
                place += length
                if length < 255:
                    starts.append(place)
            pieces = itertools.pairwise([*starts, end] if place > starts[-1] else starts)
            spans += [(at, *piece) for count, piece in enumerate(pieces, packets) if count == 1]
            packets += len(starts) - 1
            if packets < 2:
                open_streams[serial] = packets, spans
            else:
                _empty_comments(file, spans)
        at = end
    if open_streams or file[:4] != b"OggS":
        raise ValueError("a stream without comments")
    return bytes(file)


def _empty_comments(file: bytearray, spans: Sequence[tuple[int, int, int]]) -> None:
    """Overwrite a packet of comments with an empty one, filled up with zeros, and put its pages' check sums right. Its
    parts lie in `spans`: the start of their page, their own start and end."""
    packet = b"".join(file[start:end] for _, start, end in spans)
    empty = next((empty for empty in OGG_COMMENTS if packet.startswith(empty[:7])), packet[:4] + bytes(8))
    if len(packet) < len(empty) or (empty not in OGG_COMMENTS and packet[0] & 0x7F != 4):  # FLAC's block of comments
        raise ValueError("no comments")
    filled, done = empty.ljust(len(packet), b"\0"), 0
    for page, start, end in spans:
        file[start:end] = filled[done : done + end - start]
        done += end - start
        head = page + 27 + file[page + 26]
        file[page + 22 : page + 26] = bytes(4)
        whole = file[page : head + sum(file[page + 27 : head])]
        # Ogg's check sum is zlib's with the bits of all bytes mirrored, and without its inversions.
        found = zlib.crc32(whole.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
        file[page + 22 : page + 26] = found.to_bytes(4).translate(MIRRORED)


# Models in 3D, saved latents and models.


def _bare_glb(data: bytes) -> bytes:
    """A GLB: a head (12, with the length of all), then JSON (length, "JSON", and the text, filled up to a multiple of
    4), where ComfyUI writes into "extras", and the rest."""
    length = _number(data, 12, 4, "little")
    if data[16:20] != b"JSON" or 20 + length > len(data):
        raise ValueError("no JSON")
    model = json.loads(data[20 : 20 + length])
    if not isinstance(model, dict):
        raise ValueError("no object")
    asset = model.get("asset")
    held = [part for part in (model, asset) if isinstance(part, dict) and "extras" in part]
    if not held:
        return data
    for part in held:
        del part["extras"]
    text = json.dumps(model, ensure_ascii=False, separators=(",", ":")).encode()
    text = text.ljust(max(length, -(-len(text) // 4) * 4))
    rest = data[20 + length :]
    total = (20 + len(text) + len(rest)).to_bytes(4, "little")
    return data[:8] + total + len(text).to_bytes(4, "little") + b"JSON" + text + rest


# How such a file begins: with the length of its head, less than 4 GB, and the JSON in that.
SAFETENSORS = re.compile(rb".{4}\0{4}\{\s*\"", re.DOTALL)


def _bare_safetensors(data: bytes) -> bytes:
    """A safetensors file: the length (8, little-endian) of a head in JSON, which may have "__metadata__", the head, and
    the numbers. The head keeps its length, filled up with spaces."""
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
    "image/png": _bare_png,
    "image/jpeg": _bare_jpeg,
    "image/webp": _bare_webp,
    "image/gif": _bare_gif,
    "image/svg+xml": _bare_svg,
    "video/mp4": _bare_mp4,
    "video/quicktime": _bare_mp4,
    "audio/mp4": _bare_mp4,
    "video/webm": _bare_matroska,
    "video/x-matroska": _bare_matroska,
    "audio/flac": _bare_flac,
    "audio/mpeg": _bare_mp3,
    "audio/ogg": _bare_ogg,
    "video/ogg": _bare_ogg,
    "audio/wav": _bare_wav,
    "model/gltf-binary": _bare_glb,
}
