"""How long videos, animations and sounds play, read from the files themselves."""

import io
import wave

import pytest
from hypothesis import given

import comfyui_tool as tool
from tests.support.samples import frames, mutated, recorded


def told(name: str, data: bytes) -> tuple[float | None, int | None]:
    """The seconds and frames of a file of that name."""
    content_type, _, _ = tool.content_type_of(data, name)
    time = tool.running_time(data, content_type)
    return time.seconds and round(time.seconds, 2), time.frames


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm", "clip.mkv"])
def test_a_video_tells_its_seconds_and_frames(name: str) -> None:
    assert told(name, recorded(name)) == (0.5, 4)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_tells_its_seconds_and_frames(kind: str) -> None:
    assert told("", frames(kind, count=3, duration=200)) == (0.6, 3)


@pytest.mark.parametrize(
    ("name", "seconds"),
    # a lossy sound is filled up to whole frames
    [("wav", 0.12), ("flac", 0.12), ("m4a", 0.12), ("opus", 0.12), ("ogg", 0.13), ("mp3", 0.22)],
)
def test_a_sound_tells_its_seconds(name: str, seconds: float) -> None:
    assert told(f"sound.{name}", recorded(f"sound.{name}")) == (seconds, None)


def test_a_sound_that_was_written_as_a_stream_is_measured_by_its_bytes() -> None:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(2 * 8000))
    data = bytearray(stream.getvalue())
    data[40:44] = b"\xff" * 4
    assert told("a.wav", bytes(data)) == (1.0, None)


def test_a_still_picture_and_a_text_tell_nothing() -> None:
    for data in (frames("PNG", count=1), b"a fox", b""):
        assert told("", data) == (None, None)


@given(mutated())
def test_whatever_a_file_holds_there_is_an_answer(data: bytes) -> None:
    for content_type in tool.TIME_READERS:
        time = tool.running_time(data, content_type)
        assert time.seconds is None or time.seconds > 0
        assert time.frames is None or time.frames > 1
