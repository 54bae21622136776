"""What a page may send in the place of a painted mask: anything, since whoever owns it can change what it runs."""

import io
import resource
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

import comfyui_tool as tool
from tests.attacks.house import House
from tests.attacks.table import each, told
from tests.support.painting import PaintingPage, mask_uri, painted, uri
from tests.support.stand_in import StandIn


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that says it has this size, with hardly any pixels in it."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def deflated(size: int) -> bytes:
    """So many bytes of nothing, in a thousandth of the space."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(size // 2**20)) + packer.flush()


def png_with(*chunks: bytes, side: int = 64) -> bytes:
    """A small grey PNG with these chunks behind its head."""
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\xff" * side) * side)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def nested(depth: int) -> Any:
    """Lists in one another."""
    value: Any = mask_uri()
    for _ in range(depth):
        value = [value]
    return value


WHITE = Image.new("L", (64, 64), 255)
SENT: dict[str, Any] = {
    "nothing": None,
    "a number": 7,
    "a list": [mask_uri()],
    "an object": {"toString": mask_uri()},
    "an empty text": "",
    "a page": "<script>alert(1)</script>",
    "an address": "http://169.254.169.254/latest/meta-data",
    "a file of another user": "/api/v1/files/5f0c0000-0000-0000-0000-000000000000/content",
    "no base64": "data:image/png;base64,%%%%",
    "base64 of nothing": uri(b""),
    "a JPEG that is called a PNG": uri(saved(WHITE, "JPEG")),
    "a TIFF that is called a PNG": uri(saved(WHITE, "TIFF")),
    "a drawing": uri(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "a JPEG": uri(saved(WHITE, "JPEG"), "image/jpeg"),
    "a PNG that ends too early": uri(saved(Image.effect_noise((300, 300), 90), "PNG")[:400]),
    "only the signature": uri(b"\x89PNG\r\n\x1a\n"),
    "a bomb": uri(png_of_size(60_000, 60_000)),
    "a bomb on its side": uri(png_of_size(2_000_000_000, 1)),
    "more pixels than the editor has": uri(png_of_size(2049, 16)),
    "no pixels": uri(png_of_size(0, 0)),
    "a thousand chunks of text": uri(
        b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", b"prompt\0{}") * 40_000 + saved(WHITE, "PNG")[8:]
    ),
    "too long a text": "data:image/png;base64," + "A" * 8_100_000,
    "nothing painted": mask_uri(box=None),
    "lists in one another": nested(50_000),
    "half a character": "data:image/png;base64,\ud800" + mask_uri().partition(",")[2],
    "digits of another script": mask_uri().replace("A", "\uff21"),
    "two data URIs": mask_uri() + mask_uri(),
    "line breaks in it": mask_uri()[:60] + "\r\n" + mask_uri()[60:],
    "a checksum that is wrong": uri(png_with().replace(b"IDAT", b"IDAU")),
    "no picture between head and end": uri(
        png_of_size(64, 64).replace(chunk(b"IDAT", zlib.compress(b"\0" * 100)), b"")
    ),
    "a gigabyte of text": uri(png_with(chunk(b"zTXt", b"a\0\0" + deflated(2**30)))),
}


@pytest.mark.parametrize("answer", each(SENT))
async def test_what_is_no_mask_is_refused_and_nothing_runs(home: House, quick_comfy: StandIn, answer: Any) -> None:
    page = PaintingPage({"state": "done", "answer": answer}, after=1)
    picture = home.put(saved(Image.new("RGB", (64, 48)), "PNG"))
    result = await home.call(
        "edit_image",
        prompt="x",
        images=[picture],
        mask="paint",
        valves={"endpoint": quick_comfy.url},
        __event_call__=page,
    )
    assert (result["code"], quick_comfy.prompts, home.stored) == ("bad_argument", [], [])
    assert len(told(result)) < 700


STATES: dict[str, Any] = {
    "a text": "done",
    "a list": ["done"],
    "a number": 1,
    "true": True,
    "no state": {"answer": mask_uri()},
    "a state that there is not": {"state": "paid", "answer": mask_uri()},
    "a list as the state": {"state": ["done"], "answer": mask_uri()},
}


@pytest.mark.parametrize("state", each(STATES))
async def test_what_is_no_state_of_the_dialog_ends_the_call(home: House, quick_comfy: StandIn, state: Any) -> None:
    picture = home.put(saved(Image.new("RGB", (64, 48)), "PNG"))
    result = await home.call(
        "edit_image",
        prompt="x",
        images=[picture],
        mask="paint",
        valves={"endpoint": quick_comfy.url},
        __event_call__=PaintingPage(state),
    )
    assert (result["code"], quick_comfy.prompts) == ("not_answered", [])


async def test_of_what_was_sent_only_the_pixels_are_stored(home: House, quick_comfy: StandIn) -> None:
    png = saved(WHITE, "PNG")
    laden = png[:33] + chunk(b"tEXt", b"secret\0<script>") + png[33:] + b"<html>behind the end"
    picture = home.put(saved(Image.new("RGB", (64, 64)), "PNG"))
    await home.call(
        "edit_image",
        prompt="x",
        images=[picture],
        mask="paint",
        valves={"endpoint": quick_comfy.url},
        __event_call__=PaintingPage(painted(uri(laden))),
    )
    mask = home.stored[0]
    assert (mask.filename, mask.content_type) == ("painted-mask.png", "image/png")
    assert b"script" not in mask.data
    assert b"html" not in mask.data


HARMLESS = {
    "a colour profile of a gigabyte": png_with(chunk(b"iCCP", b"a\0\0" + deflated(2**30))),
    "a gigabyte behind its pixels": png_with(chunk(b"IDAT", b"")).replace(
        chunk(b"IDAT", b""), chunk(b"prVt", deflated(2**30))
    ),
    "frames of an animation": png_with(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
    "the orientation of a camera": png_with(chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")),
    "a colour that is see-through": png_with(chunk(b"tRNS", b"\0\xff")),
}


@pytest.mark.parametrize("png", each(HARMLESS))
async def test_a_mask_with_more_in_it_costs_neither_memory_nor_time(png: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        mask = tool.read_painted(uri(png))
    except tool.BadArgument:
        pass
    else:
        assert (mask.size, mask.mode) == ((64, 64), "L")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024, "kilobytes"


async def test_a_picture_of_another_user_is_not_shown_for_painting(home: House, quick_comfy: StandIn) -> None:
    page = PaintingPage(painted())
    picture = home.put(saved(WHITE, "PNG"), owner="stranger")
    result = await home.call(
        "edit_image",
        prompt="x",
        images=[picture],
        mask="paint",
        valves={"endpoint": quick_comfy.url},
        __event_call__=page,
    )
    assert (result["code"], page.scripts) == ("bad_argument", [])


async def test_a_mask_of_another_user_is_not_taken_again(home: House, quick_comfy: StandIn) -> None:
    """A file that a user uploads may say of itself that it was made with any mask."""
    theirs = home.put(saved(WHITE, "PNG"), owner="stranger")
    mine = home.put(saved(Image.new("RGB", (64, 64)), "PNG"))
    home.files[mine].meta["data"] = {"comfyui_job": {"mask": theirs}}
    chat = tool.Chat(None, {"id": "owner"}, {"user_message": {}}, None, "temporary:x", "m")
    chat._media = [tool.ChatFile("image", mine)]
    assert await tool.same_mask(chat) == theirs
    with pytest.raises(tool.BadArgument, match="There is no file"):
        await chat.read_file(theirs)
