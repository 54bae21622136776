"""Masks that the user paints: what a call makes of them, and how it ends when nobody paints.

The page is played by `PaintingPage`; tests/webui/test_painting_in_browser.py has the real one.
"""

import asyncio
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

import comfyui_tool as tool
from tests.attacks.house import House
from tests.attacks.table import each
from tests.support.painting import PaintingPage, mask_uri, painted
from tests.support.stand_in import StandIn

INPAINT = "checkpoint-inpaint"


def photo(colour: str = "teal", size: tuple[int, int] = (512, 384)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return stream.getvalue()


async def edit(home: House, comfy: StandIn, page: Any, picture: str = "", **more: Any) -> Any:
    """What a call answers that has the user paint, unless `more` says otherwise."""
    arguments = {"images": [picture or home.put(photo())], "mask": "paint", "workflow": INPAINT, **more}
    return await home.call(
        "edit_image", prompt="a red door", valves={"endpoint": comfy.url}, __event_call__=page, **arguments
    )


def made(home: House) -> Image.Image:
    """The newest picture that was made."""
    return Image.open(io.BytesIO(home.stored[-1].data)).convert("RGB")


TEAL = (0, 128, 128)


async def test_only_what_the_user_paints_changes(home: House, quick_comfy: StandIn) -> None:
    page = PaintingPage(painted())
    answer = await edit(home, quick_comfy, page)
    assert answer["status"] == "done"
    assert 'mask="same"' in str(answer["adjusted"])
    assert (made(home).getpixel((500, 20)), made(home).getpixel((100, 100)) == TEAL) == (TEAL, False)
    assert "Waiting for you to paint" in home.page.texts[0]


async def test_the_page_is_told_which_file_and_nothing_else(home: House, quick_comfy: StandIn) -> None:
    page, picture = PaintingPage(painted()), home.put(photo(), name='a".png')
    await edit(home, quick_comfy, page, picture)
    (request,) = page.requests
    assert request.keys() == {"url", "side", "id", "chat", "patience", "language", "words"}
    assert request["url"] == f"/api/v1/files/{picture}/content"
    assert 'a".png' not in "".join(page.scripts)


async def test_a_smaller_mask_is_scaled_up(home: House, quick_comfy: StandIn) -> None:
    page = PaintingPage(painted(mask_uri((64, 48), (4, 4, 30, 30))))
    await edit(home, quick_comfy, page)
    assert (made(home).getpixel((500, 20)), made(home).getpixel((100, 100)) == TEAL) == (TEAL, False)


async def test_what_the_page_cannot_show_is_sent_to_it_as_a_small_copy(home: House, quick_comfy: StandIn) -> None:
    page = PaintingPage({"state": "failed"}, painted())
    assert (await edit(home, quick_comfy, page))["status"] == "done"
    _, second = page.requests
    assert second["url"].startswith("data:image/jpeg;base64,")


async def test_the_same_mask_serves_again_also_after_a_restart(home: House, quick_comfy: StandIn) -> None:
    page = PaintingPage(painted())
    first = await edit(home, quick_comfy, page)
    for word in ("same", "the same mask", "painted-mask.png", "previous mask"):
        tool._NEWEST.clear()
        again = await edit(home, quick_comfy, page, mask=word)
        assert (again["status"], again["from"][1]) == ("done", first["from"][1])
    assert len(page.requests) == 1


async def test_what_check_job_brings_has_its_mask_also_after_a_restart(home: House, quick_comfy: StandIn) -> None:
    page = PaintingPage(painted())
    quick_comfy.misbehave.status_for["/view"] = 500
    assert (await edit(home, quick_comfy, page))["status"] == "error"
    quick_comfy.misbehave.status_for.clear()
    tool._NEWEST.clear()
    brought = await home.call("check_job", valves={"endpoint": quick_comfy.url})
    assert brought["status"] == "done"
    again = await edit(home, quick_comfy, page, mask="same")
    assert (again["status"], again["from"][1]) == ("done", "painted-mask.png")
    assert len(page.requests) == 1


def masking(kind: str) -> dict[str, Any]:
    """A workflow that brings its mask back as a picture, in which another program or the picture's own transparency
    has it."""
    loader = {"image": "example.png", **({"channel": "red"} if kind == "LoadImageMask" else {})}
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "1": ("LoadImage", {"image": "example.png"}),
        "2": (kind, loader),
        "3": ("MaskToImage", {"mask": ["2", 0 if kind == "LoadImageMask" else 1]}),
        "4": ("SaveImage", {"images": ["3", 0], "filename_prefix": "x"}),
        "5": ("PreviewImage", {"images": ["1", 0]}),
    }
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


TOLD: dict[str, dict[str, Any]] = {
    "an input": {"inputs": {"mask": "paint"}},
    "an input in words": {"inputs": {"mask_image": "I'll show you where"}},
    "an input beside the picture": {"images": None, "inputs": {"image": "1", "mask": "paint"}},
    "the last of the pictures": {"images": ["1", "paint"]},
    "in one text": {"images": "1, painted by the user"},
    "without a picture": {"images": None, "inputs": {"mask": "paint"}},
    "the last, without a picture": {"images": ["paint"]},
}


async def run_masking(
    home: House, comfy: StandIn, page: PaintingPage, picture: str, kind: str, told: dict[str, Any]
) -> None:
    """Run a workflow that shows the mask it was given, which is the one that the user painted."""
    answer = await home.call(
        "run_workflow",
        workflow="mine",
        valves={"endpoint": comfy.url, "workflows": json.dumps({"mine": masking(kind)})},
        attached=[{"type": "image", "id": picture, "name": "photo.png"}],
        __event_call__=page,
        **{"images": ["1"], **told},
    )
    assert (answer["status"], answer["from"]) == ("done", [1, "painted-mask.png"])
    assert (made(home).getpixel((500, 20)), made(home).getpixel((100, 100))) == ((0, 0, 0), (255, 255, 255))


@pytest.mark.parametrize("told", each(TOLD))
@pytest.mark.parametrize("kind", ["LoadImageMask", "LoadImage"])
async def test_a_workflow_that_takes_a_mask_gets_what_the_user_paints(
    home: House, quick_comfy: StandIn, kind: str, told: dict[str, Any]
) -> None:
    page = PaintingPage(painted())
    picture = home.put(photo())
    await run_masking(home, quick_comfy, page, picture, kind, told)
    assert len(page.requests) == 1


@pytest.mark.parametrize("told", [{"inputs": {"mask": "same"}}, {"images": ["1", "same mask"]}])
@pytest.mark.parametrize("kind", ["LoadImageMask", "LoadImage"])
async def test_a_workflow_takes_the_same_mask_again(
    home: House, quick_comfy: StandIn, kind: str, told: dict[str, Any]
) -> None:
    page, picture = PaintingPage(painted()), home.put(photo())
    await edit(home, quick_comfy, page, picture)
    tool._NEWEST.clear()
    await run_masking(home, quick_comfy, page, picture, kind, told)


async def test_a_workflow_that_takes_no_mask_says_so_and_keeps_the_painted_one(
    home: House, quick_comfy: StandIn
) -> None:
    page, picture = PaintingPage(painted()), home.put(photo())
    for workflow, code in (("checkpoint-image-to-image", "bad_argument"), (INPAINT, None)):
        answer = await home.call(
            "run_workflow",
            workflow=workflow,
            prompt="a door",
            images=["1"],
            inputs={"mask": "paint"},
            valves={"endpoint": quick_comfy.url},
            attached=[{"type": "image", "id": picture, "name": "photo.png"}],
            __event_call__=page,
        )
        assert answer.get("code") == code
    assert len(page.requests) == 1


async def test_without_an_earlier_one_there_is_no_same_mask(home: House, quick_comfy: StandIn) -> None:
    answer = await edit(home, quick_comfy, PaintingPage(painted()), mask="same")
    assert answer["code"] == "bad_argument"
    assert '"paint"' in answer["hint"]


async def test_calls_of_one_message_share_what_was_painted_on_a_picture(home: House, quick_comfy: StandIn) -> None:
    page, picture = PaintingPage(painted()), home.put(photo())
    answers = await asyncio.gather(*[edit(home, quick_comfy, page, picture) for _ in range(3)])
    assert [answer["status"] for answer in answers] == ["done"] * 3
    assert len(page.requests) == 1
    await edit(home, quick_comfy, page)
    assert len(page.requests) == 2, "another picture is painted on by itself"


async def test_a_painted_mask_outlives_a_run_that_fails(home: House, quick_comfy: StandIn) -> None:
    page, picture = PaintingPage(painted()), home.put(photo())
    assert (await edit(home, quick_comfy, page, picture, model="no-such-model"))["code"] == "model_not_installed"
    assert (await edit(home, quick_comfy, page, picture))["status"] == "done"
    assert len(page.requests) == 1


DISCONNECTED = {"error": "Client session disconnected."}


async def test_a_server_that_is_gone_when_the_user_is_done_loses_no_mask(home: House) -> None:
    page, picture = PaintingPage(painted()), home.put(photo())
    async with StandIn(step_seconds=0.0) as comfy:

        async def goes() -> Any:
            comfy.misbehave.status_for["/prompt"] = 500
            return painted()

        answer = await edit(home, comfy, PaintingPage(goes), picture)
        assert answer["status"] == "error"
        assert 'What the user painted is kept: mask="same" takes it again.' in answer["hint"]
        comfy.misbehave.status_for.clear()
        again = await edit(home, comfy, page, picture, mask="same")
    assert (again["status"], page.requests) == ("done", [])


ENDS: dict[str, tuple[Callable[[], Any], str, float]] = {
    "the user cancels": (lambda: PaintingPage({"state": "cancelled"}), "closed the dialog", 5),
    "the page is loaded anew": (lambda: PaintingPage({"state": "gone"}), "page was closed", 5),
    "the connection is lost": (lambda: PaintingPage(DISCONNECTED), "did not come back", 190),
    "the page fails": (lambda: PaintingPage(RuntimeError("no")), "did not come back", 190),
    "the page is silent": (lambda: PaintingPage(lambda: asyncio.sleep(10_000)), "did not come back", 240),
    "the user thinks on": (lambda: PaintingPage({"state": "open"}), "within 10 minutes", 661),
    "no page at all": (lambda: None, "cannot be asked here", 1),
    "a page that knows no scripts": (lambda: PaintingPage(opens=None), "cannot be asked here", 1),
    "a page that shows another chat": (lambda: lambda _event: asyncio.sleep(10_000), "cannot be asked here", 20),
    "an older Open WebUI": (
        lambda: PaintingPage(opens=DISCONNECTED),
        "cannot be asked",
        1,
    ),
}


@pytest.mark.parametrize("name", ENDS)
async def test_without_a_painting_the_call_ends_in_time(
    home: House, quick_comfy: StandIn, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, words, seconds = ENDS[name]
    if seconds > 600:
        monkeypatch.setattr(tool, "POLL_SECONDS", 60.0)  # fewer jumps of the clock
    began = asyncio.get_running_loop().time()
    answer = await edit(home, quick_comfy, page())
    assert asyncio.get_running_loop().time() - began < seconds
    assert (answer["code"], quick_comfy.prompts) == ("not_answered", [])
    assert words in answer["error"]
    assert '"transparency"' in answer["hint"], "what else serves as a mask"


async def test_a_page_that_comes_back_by_another_connection_goes_on(home: House, quick_comfy: StandIn) -> None:
    """The first connection is lost while the user paints; another tab, and another user's, are there all the time."""
    home.connected["tab"] = "owner", PaintingPage({"state": "elsewhere"}, after=0)
    home.connected["theirs"] = "stranger", PaintingPage(painted(mask_uri(box=(0, 0, 511, 383))), after=0)
    back = PaintingPage({"state": "open"}, {"state": "open"}, painted(), after=0)

    async def lost() -> Any:
        await asyncio.sleep(1)
        if len(page.scripts) > 60:
            home.connected["back"] = "owner", back
        return DISCONNECTED

    page = PaintingPage(lost)
    answer = await edit(home, quick_comfy, page)
    assert answer["status"] == "done"
    assert (made(home).getpixel((500, 20)), made(home).getpixel((100, 100)) == TEAL) == (TEAL, False)
    assert len(back.scripts) == 3


async def test_a_page_is_found_again_while_its_old_connection_hangs(home: House, quick_comfy: StandIn) -> None:
    home.connected["back"] = "owner", PaintingPage(painted(), after=0)
    began = asyncio.get_running_loop().time()
    answer = await edit(home, quick_comfy, PaintingPage(lambda: asyncio.sleep(10_000)))
    assert answer["status"] == "done"
    assert asyncio.get_running_loop().time() - began < 15


async def test_a_page_that_was_loaded_anew_meanwhile_ends_the_call(home: House, quick_comfy: StandIn) -> None:
    home.connected["anew"] = "owner", PaintingPage({"state": "gone"}, after=0)
    began = asyncio.get_running_loop().time()
    answer = await edit(home, quick_comfy, PaintingPage(DISCONNECTED))
    assert "page was closed, or left the chat" in answer["error"]
    assert asyncio.get_running_loop().time() - began < 10


async def test_who_did_not_paint_is_not_asked_again_in_the_same_message(home: House, quick_comfy: StandIn) -> None:
    page = PaintingPage({"state": "cancelled"}, painted())
    answers = [await edit(home, quick_comfy, page) for _ in range(2)]
    assert [answer["code"] for answer in answers] == ["not_answered"] * 2
    assert len(page.requests) == 1


async def test_stop_closes_the_editor(home: House, quick_comfy: StandIn) -> None:
    page = PaintingPage({"state": "open"})
    call = asyncio.create_task(edit(home, quick_comfy, page))
    while not page.requests:
        await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    closing = [data["code"] for _, kind, data in home.page.events if kind == "execute"]
    assert len(closing) == 1
    assert page.requests[0]["id"] in closing[0]
    assert home.page.texts[-1].startswith("Stopped")


@pytest.mark.parametrize(
    ("words", "paints", "same"),
    [
        ("paint", True, False),
        ("I'll show you where", True, False),
        ("let the user paint it", True, False),
        ("interactive", True, False),
        ("ich zeige es dir", True, False),
        ("yo lo pinto", True, False),
        ("涂抹", True, False),
        ("painting.png", False, False),
        ("painted image 2", False, False),
        ("last", False, False),
        ("image 2", False, False),
        ("same", False, True),
        ("the same mask as before", False, True),
        ("die gleiche Maske", False, True),
        ("last mask", False, True),
        ("同じマスク", False, True),
        ("the last image", False, False),
    ],
)
def test_words_for_a_mask_to_paint_and_for_the_same_again(words: str, paints: bool, same: bool) -> None:
    plain = tool.plain_words(words)
    assert bool(tool.SAME_MASK.fullmatch(plain)) == same
    assert bool(tool.TO_BE_PAINTED.fullmatch(plain) and not same) == paints
