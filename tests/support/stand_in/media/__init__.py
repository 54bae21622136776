"""Video and sound that play: clips that were encoded once, see README.md, and a WAV."""

from __future__ import annotations

import io
import math
import struct
import wave
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
RATE = 8000
LONGEST = 10.0  # seconds of a WAV
# How a file of a kind begins: at which byte, and with what.
BEGINNINGS: dict[str, tuple[int, tuple[bytes, ...]]] = {
    "mp4": (4, (b"ftyp",)),
    "mkv": (0, (b"\x1a\x45\xdf\xa3",)),
    "webm": (0, (b"\x1a\x45\xdf\xa3",)),
    "flac": (0, (b"fLaC",)),
    "mp3": (0, (b"ID3", b"\xff\xfb")),
    "opus": (0, (b"OggS",)),
}


@cache
def clip(name: str) -> bytes:
    return (HERE / name).read_bytes()


def video(suffix: str, sound: bool = False, content: bytes = b"") -> bytes:
    """A video of this kind: `content` when it is one, else a clip."""
    return content if is_a(suffix, content) else clip(f"{'clip' if sound or suffix == 'webm' else 'silent'}.{suffix}")


def sound(suffix: str, content: bytes = b"") -> bytes:
    """A sound of this kind: `content` when it is one, else a tone."""
    return content if is_a(suffix, content) else clip(f"tone.{suffix}")


def is_a(suffix: str, content: bytes) -> bool:
    at, beginnings = BEGINNINGS[suffix]
    return content[at:].startswith(beginnings)


def wave_file(seconds: float = 1.0, pitch: float = 440.0) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        count = int(RATE * min(seconds, LONGEST))
        tone = (int(12000 * math.sin(math.tau * pitch * n / RATE)) for n in range(count))
        writer.writeframes(b"".join(struct.pack("<h", sample) for sample in tone))
    return stream.getvalue()


def glb_file() -> bytes:
    """A 3D model of one triangle."""
    corners = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)
    json = (
        b'{"asset":{"version":"2.0"},"scene":0,"scenes":[{"nodes":[0]}],"nodes":[{"mesh":0}],'
        b'"meshes":[{"primitives":[{"attributes":{"POSITION":0}}]}],"buffers":[{"byteLength":36}],'
        b'"bufferViews":[{"buffer":0,"byteLength":36}],"accessors":[{"bufferView":0,"componentType":5126,'
        b'"count":3,"type":"VEC3","min":[0,0,0],"max":[1,1,0]}]}'
    )
    json += b" " * (-len(json) % 4)
    chunks = b"".join(
        struct.pack("<I", len(data)) + kind + data for kind, data in ((b"JSON", json), (b"BIN\0", corners))
    )
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks
