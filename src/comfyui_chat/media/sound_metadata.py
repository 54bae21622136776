"""Strip sounds of the texts that tell how they were made: MP3, FLAC and Opus.

ComfyUI's savers write the prompt and the workflow into the comments of these files.
`without_metadata` (media/metadata) calls the function of a file's type, and says what is raised for
a damaged one. The sound itself stays as it is, bit by bit.
"""

import io
import zlib
from collections.abc import Iterator

from ..bounds import MOST_COMMENT_BYTES, MOST_FILE_PARTS
from .kinds import behind_id3
from .overwriting import Changes, overwritten, zeros
from .parts import Count, number_at

APE_HAS_HEAD = 1 << 31  # in the flags of an APE tag: 32 more bytes in front of it


def strip_mp3(data: bytes) -> bytes:
    """An MP3: ID3 tags in front, and behind the sound tags of ID3v1 (128 bytes) and of APE (told by
    their last 32).
    """
    start = behind_id3(data)
    end = len(data)
    if start > end:
        raise ValueError("a tag ends where it cannot")
    count = Count(MOST_FILE_PARTS)
    while True:
        count.add()
        if data[max(start, end - 128) : end].startswith(b"TAG"):
            end -= 128
        elif data[max(start, end - 32) : end].startswith(b"APETAGEX"):
            length = number_at(data, end - 20, 4, "little")
            flags = number_at(data, end - 12, 4, "little")
            end -= max(length, 32)
            if flags & APE_HAS_HEAD:
                end -= 32
        else:
            return data[start:end]
        if end < start:
            raise ValueError("a tag begins where it cannot")


FLAC_PADDING = 1  # kinds of blocks
FLAC_COMMENTS = 4


def strip_flac(data: bytes) -> bytes:
    """A FLAC: "fLaC", then blocks of kind (1, its highest bit marks the last), length (3) and
    content, then the sound. The block of comments becomes padding.
    """
    data = data[behind_id3(data) :]
    if data[:4] != b"fLaC":
        raise ValueError("not a FLAC")
    changes: Changes = []
    count = Count(MOST_FILE_PARTS)
    at = 4
    is_last = False
    while not is_last:
        count.add()
        is_last = data[at] > 0x7F
        end = at + 4 + number_at(data, at + 1, 3)
        if end > len(data):
            raise ValueError("the file ends too early")
        kind = data[at] & 0x7F
        if kind == FLAC_COMMENTS:
            last_bit = data[at] & 0x80
            changes += [(at, bytes([last_bit | FLAC_PADDING])), *zeros(at + 4, end)]
        at = end
    return overwritten(data, changes)


OPUS_NO_COMMENTS = b"OpusTags" + bytes(8)  # a name of no length, and no comments

# For each byte the one with its bits in the opposite order.
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def strip_opus(data: bytes) -> bytes:
    """An Opus file: a stream of packets in the pages of Ogg. The second packet holds the comments,
    over as many pages as they need. They are overwritten in place, filled up with zeros.
    """
    pieces = _ogg_pieces(data, packet=1)
    comments = b"".join(data[start:end] for _, start, end in pieces)
    if not comments.startswith(b"OpusTags") or len(comments) < len(OPUS_NO_COMMENTS):
        raise ValueError("no comments of Opus")
    stripped = OPUS_NO_COMMENTS.ljust(len(comments), b"\0")
    stream = io.BytesIO(stripped)
    pages = {page: bytearray(data[page : _ogg_page_end(data, page)]) for page, _, _ in pieces}
    for page, start, end in pieces:
        pages[page][start - page : end - page] = stream.read(end - start)
    for content in pages.values():
        _set_ogg_check_sum(content)
    return overwritten(data, [(page, bytes(content)) for page, content in pages.items()])


def _ogg_pieces(data: bytes, packet: int) -> list[tuple[int, int, int]]:
    """The pieces of a packet of an Ogg file, counted from 0: where the page of each begins, and
    where it itself begins and ends. Raises `ValueError` where the file ends within it.
    """
    pieces: list[tuple[int, int, int]] = []
    size = Count(MOST_COMMENT_BYTES)
    ended = 0  # packets
    for page, lengths in _ogg_pages(data):
        start = page + 27 + len(lengths)
        for length in lengths:
            end = start + length
            if ended == packet:
                pieces.append((page, start, end))
                size.add(length)
            if length < 255:
                ended += 1
            start = end
    if ended <= packet:
        raise ValueError("the file ends too early")
    return pieces


def _ogg_pages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Where each page of an Ogg file with a single stream begins, and the lengths of its pieces.

    A page is a head (27 bytes, with the stream's number and a check sum), the lengths of its pieces
    (1 byte each), and the pieces. A piece of 255 bytes goes on in the next one, also over pages;
    together they are a packet.
    """
    count = Count(MOST_FILE_PARTS)
    at = 0
    while at < len(data):
        count.add()
        content = at + 27 + data[at + 26]
        head = data[at:content]
        lengths = head[27:]
        end = _ogg_page_end(data, at)
        if not head.startswith(b"OggS") or end > len(data):
            raise ValueError("not a page")
        is_other_stream = head[14:18] != data[14:18]
        begins_stream = head[5] & 2
        if is_other_stream or (begins_stream and at > 0):
            raise ValueError("more than one stream")
        yield at, lengths
        at = end


def _ogg_page_end(data: bytes, page: int) -> int:
    """The place behind a page of Ogg."""
    content = page + 27 + data[page + 26]
    return content + sum(data[page + 27 : content])


def _set_ogg_check_sum(page: bytearray) -> None:
    """Put the check sum of a page right. It is zlib's with the bits of all bytes mirrored, and
    without its inversions.
    """
    place = slice(22, 26)  # of the check sum, which is 0 while it is calculated
    page[place] = bytes(4)
    check_sum = zlib.crc32(page.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    page[place] = check_sum.to_bytes(4).translate(MIRRORED)
