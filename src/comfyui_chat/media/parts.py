"""Count what a picture is made of, before a library reads it.

A file of a few megabytes may have a million parts that say nothing, and may bring each of them again and again. Pillow
takes a while over each, and for some a time that grows with the square of their number. So `check_parts` counts them
first, in a time that grows with the length of the file only, and refuses a picture that has more than any program
writes:

    PNG           chunks
    JPEG          segments up to the first scan, what programs wrote there, and scans
    GIF           pictures and extensions, blocks, and what the extensions hold
    WebP          chunks
    ICO, ICNS     the same of each PNG inside, and the pixels of that, which their own heads do not tell
    TIFF          directories (pages), what each lists, and strips; the same for the EXIF data in the others
    PSD           what programs wrote
    PPM           the length of the head, and the numbers in one that is written as text
    BMP           the bytes of one that is packed
    JPEG 2000     bytes

AVIF is read by a library with bounds of its own, and TGA has no parts. What is damaged is not
refused here, but by whoever reads it.
"""

import contextlib
import re
import struct
from collections.abc import Callable
from typing import Literal

from ..bounds import (
    MOST_ENTRIES_IN_DIRECTORY,
    MOST_GIF_BLOCKS,
    MOST_GIF_TEXT_BYTES,
    MOST_JPEG2000_BYTES,
    MOST_JPEG_EXIF_BYTES,
    MOST_JPEG_SCANS,
    MOST_JPEG_TEXT_BYTES,
    MOST_MEGAPIXELS,
    MOST_PAGES,
    MOST_PICTURE_PARTS,
    MOST_PICTURES_INSIDE,
    MOST_PPM_HEAD_BYTES,
    MOST_SLOW_BYTES,
    MOST_STRIPS,
)
from .file_bytes import Buffer

# What reading beyond the end of a file raises.
ENDS_TOO_EARLY = (IndexError, OverflowError, struct.error)


class TooManyParts(ValueError):
    """A file is made of more parts than any program writes."""


def number_at(data: Buffer, at: int, length: int, order: Literal["big", "little"] = "big") -> int:
    """The number in `length` bytes at a place. Raises `ValueError` where the file ends before."""
    end = at + length
    if at < 0 or end > len(data):
        raise ValueError("the file ends too early")
    return int.from_bytes(data[at:end], order)


class Count:
    """How many parts were met. Raises `TooManyParts` beyond the `most`."""

    def __init__(self, most: int) -> None:
        self._left = most

    def add(self, number: int = 1) -> None:
        """Count a part, or several, or as many bytes."""
        self._left -= number
        if self._left < 0:
            raise TooManyParts("too many parts")


def check_parts(data: Buffer) -> None:
    """Raise `TooManyParts` for a picture that is made of too many parts to be read."""
    with contextlib.suppress(*ENDS_TOO_EARLY):
        for start, check in CHECKS.items():
            if data[: len(start)] == start:
                check(data)
                return


def _check_png(data: Buffer, start: int = 0) -> None:
    count = Count(MOST_PICTURE_PARTS)
    at = start + 8
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        count.add()
        if kind == b"eXIf":
            check_directory(data[at + 8 : at + 8 + length])
        at += 12 + length


# Codes of JPEG that stand alone, without a length and content: cuts, start and end, and one that
# means nothing.
JPEG_BARE = (0x01, *range(0xD0, 0xDA))
JPEG_SCAN, JPEG_END = 0xDA, 0xD9


def _check_jpeg(data: Buffer) -> None:
    """Segments of 0xFF, code, length (2) and content; bytes between them are skipped, one by one.
    Behind a scan its compressed data goes on to the next marker.
    """
    count, scans, texts = (
        Count(MOST_PICTURE_PARTS),
        Count(MOST_JPEG_SCANS),
        Count(MOST_JPEG_TEXT_BYTES),
    )
    exif = b""
    at = 2
    code = 0
    while code != JPEG_END:
        count.add()
        if data[at] != 0xFF or data[at + 1] in (0x00, 0xFF):
            at += 1
            continue
        code = data[at + 1]
        start = at + 4  # of the content
        at += 2
        if code in JPEG_BARE:
            continue
        (length,) = struct.unpack_from(">H", data, at)
        at += length
        if code >= 0xE0:
            texts.add(length)
        if code == JPEG_SCAN:
            scans.add()
            at = next_jpeg_marker(data, at)
        elif code == 0xE1 and data[start : start + 6] == b"Exif\0\0":
            exif += data[start + 6 : at]  # Pillow joins them
            Count(MOST_JPEG_EXIF_BYTES).add(len(exif))
        elif code == 0xE2 and data[start : start + 4] == b"MPF\0":
            check_directory(data[start + 4 : at])
    check_directory(exif)


# A marker in a JPEG is 0xFF and a code. In the compressed data 0xFF may stand too, followed by
# 0x00, by a code that only cuts the data into parts (0xD0 to 0xD7), or by another 0xFF.
JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
SEARCHED_AT_ONCE = 2**20  # bytes: a search holds the interpreter's lock


def next_jpeg_marker(data: Buffer, at: int) -> int:
    """The place of the next marker behind compressed data, or the length of the file where there is
    none.
    """
    while at < len(data):
        marker = JPEG_MARKER.search(data, at, at + SEARCHED_AT_ONCE + 1)
        if marker:
            return marker.start()
        at += SEARCHED_AT_ONCE
    return len(data)


def _check_gif(data: Buffer) -> None:
    """A head with a table of colours, then pictures (0x2C) and extensions (0x21), each with blocks
    of length (1) and content, up to an empty one.
    """
    count, blocks, texts = (
        Count(MOST_PICTURE_PARTS),
        Count(MOST_GIF_BLOCKS),
        Count(MOST_GIF_TEXT_BYTES),
    )
    at = 13 + gif_table_length(data[10])
    while data[at] != 0x3B:
        count.add()
        is_picture = data[at] == 0x2C
        if is_picture:
            at += 11 + gif_table_length(data[at + 9])
        elif data[at] == 0x21:
            at += 2
        else:
            at += 1
            continue
        start = at
        at = behind_gif_blocks(data, at, blocks)
        if not is_picture:
            texts.add(at - start)


def gif_table_length(flags: int) -> int:
    """How many bytes the table of colours of a GIF has: 0 when the flags say that there is none."""
    if not flags & 0x80:
        return 0
    colours = 2 << (flags & 7)
    return 3 * colours


def behind_gif_blocks(data: Buffer, at: int, count: Count) -> int:
    """The place behind the blocks of a GIF that begin at a place, and behind the empty one that
    ends them.
    """
    blocks = 0
    while data[at]:
        at += data[at] + 1
        blocks += 1
        if blocks == 1000:
            count.add(blocks)
            blocks = 0
    count.add(blocks)
    return at + 1


def _check_webp(data: Buffer) -> None:
    count = Count(MOST_PICTURE_PARTS)
    (length,) = struct.unpack_from("<I", data, 4)
    end = 8 + length
    at = 12
    while at < end:
        kind, length = struct.unpack_from("<4sI", data, at)
        count.add()
        if kind == b"EXIF":
            check_directory(data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2


def _check_bmp(data: Buffer) -> None:
    (packing,) = struct.unpack_from("<I", data, 30)
    if packing in (1, 2):  # run lengths, which Pillow unpacks one by one
        Count(MOST_SLOW_BYTES).add(len(data))


PPM_HEAD = re.compile(rb"P\w(?:[\s\d]|#[^\r\n]*[\r\n])*")  # numbers and comments


def _check_ppm(data: Buffer) -> None:
    head = PPM_HEAD.match(data[:MOST_PPM_HEAD_BYTES])
    if data[1:2] in b"123":  # all of it is numbers as text, which Pillow reads one by one
        Count(MOST_SLOW_BYTES).add(len(data))
    elif (
        head is None
        or head.end() == MOST_PPM_HEAD_BYTES
        or data[head.end() : head.end() + 1] == b"#"
    ):
        raise TooManyParts("a head that does not end")


def _check_psd(data: Buffer) -> None:
    """A head (26), the colours with their length (4), then the length (4) of what programs wrote:
    mark (4), kind (2), name with its length (1), content with its length (4), the last two filled
    up to an even length.
    """
    count = Count(MOST_PICTURE_PARTS)
    (length,) = struct.unpack_from(">I", data, 26)
    at = 30 + length
    (length,) = struct.unpack_from(">I", data, at)
    at += 4
    end = at + length
    while at < end:
        count.add()
        at += 7 + (data[at + 6] | 1)
        (length,) = struct.unpack_from(">I", data, at)
        at += 4 + length + length % 2


def _check_jpeg2000(data: Buffer) -> None:
    Count(MOST_JPEG2000_BYTES).add(len(data))
    at = 12
    kind = b""
    count = Count(MOST_PICTURES_INSIDE)  # of boxes before the head
    while data[:1] == b"\0" and kind != b"jp2h":
        count.add()
        length, kind = struct.unpack_from(">I4s", data, at)
        at += max(length, 8)
        if kind == b"jp2h":
            Count(MOST_SLOW_BYTES).add(length)


# Icons are pictures of other formats in several sizes. Pillow looks at how large they really are
# when it decodes them.
PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG2000_START = b"\xff\x4f\xff\x51"  # then length (2), abilities (2), width (4) and height (4)


def _check_icon(data: Buffer) -> None:
    """An icon of Apple's or of Windows' systems."""
    Count(MOST_SLOW_BYTES).add(len(data))
    count = Count(MOST_PICTURES_INSIDE)
    for start, size_at in ((PNG_START, 16), (JPEG2000_START, 8)):
        at = data.find(start)
        while at >= 0:
            count.add()
            _check_pixels(*struct.unpack_from(">II", data, at + size_at))
            if start == PNG_START:
                _check_png(data, at)
            at = data.find(start, at + 1)
    if data[:4] == b"icns":
        return
    for entry in range(struct.unpack_from("<H", data, 4)[0]):
        count.add()
        (at,) = struct.unpack_from("<I", data, 6 + 16 * entry + 12)
        if data[at : at + len(PNG_START)] != PNG_START:
            width, height = struct.unpack_from("<II", data, at + 4)
            _check_pixels(width, height // 2)  # it is said to be twice as high


def _check_pixels(width: int, height: int) -> None:
    """Raise `TooManyParts` for a picture of too many pixels."""
    Count(int(MOST_MEGAPIXELS * 1e6)).add(width * height)


# Directories, of a TIFF and of EXIF data: "II" or "MM" for the order of bytes, 42 (2), and where
# the first directory is (4). It has the number of entries (2), entries of tag (2), type (2), number
# of values (4), and the value or where it is (4), and then where the next directory is (4). With 43
# instead of 42 most of them are twice as long.
_TYPES_BY_BYTES = {1: (1, 2, 6, 7), 2: (3, 8), 4: (4, 9, 11, 13), 8: (5, 10, 12, 16, 17, 18)}
VALUE_BYTES = {kind: size for size, kinds in _TYPES_BY_BYTES.items() for kind in kinds}
STRIPS = (273, 324)  # the tags for where strips and tiles are


def _check_tiff(data: Buffer) -> None:
    _check_directories(data, MOST_PAGES)


def check_directory(exif: bytes) -> None:
    """Raise `TooManyParts` for EXIF data that lists too much in its first directory; no other is
    read.
    """
    with contextlib.suppress(*ENDS_TOO_EARLY):
        _check_directories(exif.removeprefix(b"Exif\0\0"), 1)


def _check_directories(data: Buffer, most: int) -> None:
    """Check the first directories. Those beyond the `most` are too many, unless that is one."""
    order: Literal["<", ">"] = "<" if data[:2] == b"II" else ">"
    is_big = data[2:4] in (b"\x2b\0", b"\0\x2b")
    head, counted, entry = ("Q", "Q", "HHQQ") if is_big else ("I", "H", "HHII")
    (at,) = struct.unpack_from(order + head, data, 8 if is_big else 4)
    count = Count(most)
    seen: set[int] = set()
    taken = Count(len(data) + MOST_SLOW_BYTES)
    while at and at not in seen:
        count.add()
        seen.add(at)
        (entries,) = struct.unpack_from(order + counted, data, at)
        Count(MOST_ENTRIES_IN_DIRECTORY).add(entries)
        at += struct.calcsize(order + counted)
        for tag, kind, number, _ in struct.iter_unpack(
            order + entry, _entries(data, at, entries, order + entry)
        ):
            taken.add(min(number * VALUE_BYTES.get(kind, 0), len(data)))
            if tag in STRIPS:
                Count(MOST_STRIPS).add(number)
        if most == 1:
            return
        (at,) = struct.unpack_from(
            order + head, data, at + entries * struct.calcsize(order + entry)
        )


def _entries(data: Buffer, at: int, number: int, entry: str) -> bytes:
    """The entries of a directory, as many as there are whole ones."""
    size = struct.calcsize(entry)
    rows = data[at : at + number * size]
    return rows[: len(rows) // size * size]


# What counts the parts of files that begin so.
CHECKS: dict[bytes, Callable[[Buffer], None]] = {
    b"\x89PNG": _check_png,
    b"\xff\xd8\xff": _check_jpeg,
    b"GIF8": _check_gif,
    b"RIFF": _check_webp,
    b"BM": _check_bmp,
    b"P": _check_ppm,
    b"8BPS": _check_psd,
    b"icns": _check_icon,
    b"\0\0\1\0": _check_icon,
    JPEG2000_START: _check_jpeg2000,
    b"\0\0\0\x0cjP  ": _check_jpeg2000,
    b"II\x2a\0": _check_tiff,
    b"MM\0\x2a": _check_tiff,
    b"II\x2b\0": _check_tiff,
    b"MM\0\x2b": _check_tiff,
}
