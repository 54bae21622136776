"""How long a video, an animation or a sound plays, and how many frames it has, read from the file
itself.

A result tells the seconds that came out, whatever the graph was asked for. `running_time` reads MP4
and QuickTime, WebM and Matroska, animated pictures, WAV, FLAC, MP3 and Ogg (Vorbis, Opus):

    RunningTime(seconds=5.04, frames=121)

None stands for what a file does not tell, and for a file that is none of these or is broken.
Nothing is decoded, and every loop ends after `MOST_PARTS` parts of a file.
"""

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .file_bytes import Buffer
from .kinds import behind_id3, open_picture
from .metadata import matroska_element

MOST_PARTS = 20_000  # boxes, blocks or pages that are looked at
MOST_FRAMES = 100_000  # a file that tells of more is not believed
MOST_SECONDS = 1_000_000.0


@dataclass(frozen=True)
class RunningTime:
    """How long a file plays, in seconds, and its number of pictures; None for what it does not
    tell.
    """

    seconds: float | None = None
    frames: int | None = None


def running_time(data: Buffer, content_type: str) -> RunningTime:
    """How long a file of this content type plays. Blocks: call it in a thread."""
    reader = TIME_READERS.get(content_type)
    if reader is None:
        return RunningTime()
    told = RunningTime()
    with contextlib.suppress(Exception):  # whatever a broken file leads to
        told = reader(data)
    seconds = told.seconds if told.seconds and 0 < told.seconds < MOST_SECONDS else None
    frames = told.frames if told.frames and 1 < told.frames < MOST_FRAMES else None
    return RunningTime(seconds, frames)


# MP4 and QuickTime: boxes of a length (4 bytes), a kind (4) and a content, which for some is boxes
# again.

BOXES_ENTERED = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def _of_mp4(data: Buffer) -> RunningTime:
    seconds: float | None = None
    frames: int | None = None
    is_video = False
    for kind, start, _ in _boxes(data, 0, len(data)):
        if kind == b"mvhd":
            seconds = _of_movie_head(data, start)
        elif kind == b"hdlr":
            is_video = data[start + 8 : start + 12] == b"vide"
        elif kind == b"stsz" and is_video:
            frames = _whole(data, start + 8, 4)
    return RunningTime(seconds, frames)


def _of_movie_head(data: Buffer, start: int) -> float:
    """The seconds that a movie head ("mvhd") tells: units a second, and the length in units."""
    if data[start] == 1:  # times of 8 bytes
        units, length = struct.unpack_from(">IQ", data, start + 20)
    else:
        units, length = struct.unpack_from(">II", data, start + 12)
    return float(length / units)


def _boxes(data: Buffer, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two places and those in the ones that are entered: the kind, and where the
    content is.
    """
    ends = [end]
    for _ in range(MOST_PARTS):
        while ends and at + 8 > ends[-1]:
            at = max(at, ends.pop())
        if not ends:
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if length == 1:
            length = _whole(data, start, 8)
            start += 8
        box_end = min(at + length, ends[-1]) if length else ends[-1]
        if box_end < start:
            return
        if kind in BOXES_ENTERED:
            ends.append(box_end)
            at = start
            continue
        yield kind, start, box_end
        at = box_end


# WebM and Matroska: elements of an id, a length (both of variable length) and a content.

SEGMENT, INFO, TRACKS, TRACK = (
    b"\x18\x53\x80\x67",
    b"\x15\x49\xa9\x66",
    b"\x16\x54\xae\x6b",
    b"\xae",
)
TIME_SCALE, LENGTH, FRAME_TIME = b"\x2a\xd7\xb1", b"\x44\x89", b"\x23\xe3\x83"
TRACK_KIND, VIDEO_TRACK = b"\x83", 1


def _of_matroska(data: Buffer) -> RunningTime:
    scale = 1_000_000  # nanoseconds of a unit
    length: float | None = None  # in units
    frame_time: float | None = None  # nanoseconds
    is_video = False
    for kind, start, end in _elements(data):
        if kind == TIME_SCALE:
            scale = _whole(data, start, end - start)
        elif kind == LENGTH:
            (length,) = struct.unpack(">d" if end - start == 8 else ">f", data[start:end])
        elif kind == TRACK_KIND:
            is_video = _whole(data, start, end - start) == VIDEO_TRACK
        elif kind == FRAME_TIME and is_video:
            frame_time = _whole(data, start, end - start)
    if length is None:
        return RunningTime()
    seconds = length * scale / 1e9
    return RunningTime(seconds, round(seconds * 1e9 / frame_time) if frame_time else None)


def _elements(data: Buffer) -> Iterator[tuple[bytes, int, int]]:
    """The elements of a file and those in the ones that tell of time: the id, and where the content
    is.
    """
    at = 0
    for _ in range(MOST_PARTS):
        if at >= len(data):
            return
        kind, length, start = matroska_element(data, at)
        if kind in (SEGMENT, INFO, TRACKS, TRACK):
            at = start
            continue
        if length is None:
            return
        yield kind, start, start + length
        at = start + length


# Pictures that move. Only the first one's time is read: the others nearly always last as long.


def _of_picture(data: Buffer) -> RunningTime:
    with open_picture(data) as image:
        frames = int(getattr(image, "n_frames", 1))
        milliseconds = image.info.get("duration") or _of_webp_frame(data)
    if frames < 2 or not milliseconds:
        return RunningTime(None, frames)
    return RunningTime(frames * float(milliseconds) / 1000, frames)


def _of_webp_frame(data: Buffer) -> int:
    """The milliseconds of a WebP's first frame, a chunk "ANMF"; 0 where there is none near the
    beginning.
    """
    at = data.find(b"ANMF", 0, 4096)
    if at < 0:
        return 0
    return int.from_bytes(data[at + 20 : at + 23], "little")


# Sounds.


def _of_wav(data: Buffer) -> RunningTime:
    bytes_a_second = 0
    at = 12
    for _ in range(MOST_PARTS):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"fmt ":
            (bytes_a_second,) = struct.unpack_from("<I", data, at + 16)
        if kind == b"data":
            # a stream that was written without going back tells no length
            length = min(length, len(data) - at - 8)
            return RunningTime(length / bytes_a_second)
        at += 8 + length + length % 2
    return RunningTime()


def _of_flac(data: Buffer) -> RunningTime:
    """By the first block: the rate in 20 bits, 8 bits of other things, the number of samples in
    36.
    """
    at = behind_id3(data) + 8
    rate = _whole(data, at + 10, 3) >> 4
    samples = _whole(data, at + 13, 5) & (1 << 36) - 1
    return RunningTime(samples / rate)


def _of_ogg(data: Buffer) -> RunningTime:
    """By the last page, which tells how many samples there are up to it, and the rate in the first
    packet.
    """
    last = data.rfind(b"OggS")
    (samples,) = struct.unpack_from("<q", data, last + 6)
    head = data[28:80]
    if head.startswith(b"OpusHead"):
        (skipped,) = struct.unpack_from("<H", head, 10)
        return RunningTime((samples - skipped) / 48_000)
    if head.startswith(b"\x01vorbis"):
        (rate,) = struct.unpack_from("<I", head, 12)
        return RunningTime(samples / rate)
    return RunningTime()


# Of an MP3's frames: kilobits a second of layer 3, by the four bits of the head, and samples a
# second.
MP3_KILOBITS = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
MP3_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def _of_mp3(data: Buffer) -> RunningTime:
    """By the first frame: as many frames as its own table ("Xing", "Info") counts, else as its bit
    rate tells.
    """
    at = behind_id3(data)
    head = _whole(data, at, 4)
    version = head >> 19 & 3  # 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5
    rate = MP3_RATES[version][head >> 10 & 3]
    samples = 1152 if version == 3 else 576
    for name in (b"Xing", b"Info"):
        table = data.find(name, at, at + 64)
        if table >= 0 and data[table + 7] & 1:
            frames = _whole(data, table + 8, 4)
            return RunningTime(frames * samples / rate)
    kilobits = MP3_KILOBITS[3 if version == 3 else 2][head >> 12 & 15]
    return RunningTime((len(data) - at) / (kilobits * 125))


def _whole(data: Buffer, at: int, length: int) -> int:
    """A whole number, the highest byte first."""
    return int.from_bytes(data[at : at + length], "big")


TIME_READERS = {
    "video/mp4": _of_mp4,
    "video/quicktime": _of_mp4,
    "audio/mp4": _of_mp4,
    "video/webm": _of_matroska,
    "video/x-matroska": _of_matroska,
    "image/gif": _of_picture,
    "image/webp": _of_picture,
    "image/png": _of_picture,
    "image/avif": _of_picture,
    "audio/wav": _of_wav,
    "audio/flac": _of_flac,
    "audio/ogg": _of_ogg,
    "audio/mpeg": _of_mp3,
}
