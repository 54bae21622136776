"""What a file is: its content type, its size in pixels and whether it moves, told by its bytes and then by its name."""

import io
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

import comfyui_tool as tool
from tests.support.pictures import png
from tests.support.samples import KINDS, recorded


@pytest.mark.parametrize(("data", "name", "kind"), KINDS, ids=[f"{name} {kind[0]}" for _, name, kind in KINDS])
def test_a_file_is_what_its_bytes_say_and_then_its_name(data: bytes, name: str, kind: Any) -> None:
    assert tool.content_type_of(data, name) == kind


PAGE = b"\n<!DOCTYPE html><html>Please log in</html>"
JSON = b'{"error": "unauthorized"}'


@pytest.mark.parametrize(
    ("name", "content_type", "start", "is_another"),
    [
        ("w.png", "text/html", PAGE, True),
        ("w.png", "image/png", PAGE, True),  # a proxy that goes by the name
        ("w.png", "application/json", JSON, True),
        ("w.png", "application/octet-stream", png(), False),
        ("w.png", "image/png", b"\xff\xd8\xff\xe0", False),  # some nodes name their files so
        ("w.bmp", "image/bmp", b"BM\0\0", False),
        ("w.bmp", "image/bmp", JSON, True),
        ("w.mp4", "video/mp4", PAGE, True),
        ("w.mp4", "video/mp4", recorded("clip.mp4"), False),
        ("w.mp3", "text/plain", b"Unauthorized", True),
        ("w.mp3", "audio/mpeg", b"\0\0\0", False),
        ("w.glb", "application/octet-stream", PAGE, True),
        ("w.svg", "image/svg+xml", b"<svg/>", False),
        ("w.json", "application/json", JSON, False),
        ("w.txt", "text/plain", b"<a note>", False),
        ("w.txt", "text/html", PAGE, True),
        ("w.html", "text/html", PAGE, False),
        ("w", "application/octet-stream", PAGE, False),
    ],
)
def test_something_else_in_the_place_of_a_file_is_known(
    name: str, content_type: str, start: bytes, is_another: bool
) -> None:
    assert tool.is_another_file(name, content_type, start) is is_another


def with_texts(side: int = 8, **chunks: Any) -> bytes:
    """A PNG with such texts."""
    texts = PngImagePlugin.PngInfo()
    for key, text in chunks.items():
        texts.add_text(key, text, zip=key == "packed")
    stream = io.BytesIO()
    Image.new("RGB", (side, 2 * side)).save(stream, "PNG", pnginfo=texts)
    return stream.getvalue()


def test_a_png_as_comfyui_writes_it_is_told_at_a_glance() -> None:
    picture = with_texts(prompt="{}" * 5000, workflow="{}")
    assert tool.plain_png_size(picture) == tool.Size(8, 16)
    assert tool.content_type_of(picture, "") == ("image/png", tool.Size(8, 16), False)


@pytest.mark.parametrize(
    "data",
    [
        with_texts(packed="x" * 1000),
        with_texts()[:30],
        with_texts()[:16] + (0).to_bytes(4, "big") + with_texts()[20:],
        with_texts()[:16] + (7).to_bytes(4, "big") + with_texts()[20:],
        b"RIFF    WEBP",
        b"",
    ],
    ids=["something packed", "cut off", "no width", "a width that its checksum denies", "another kind", "nothing"],
)
def test_any_other_file_is_not(data: bytes) -> None:
    assert tool.plain_png_size(data) is None
