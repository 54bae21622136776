"""Words that leave open which picture is meant: the user points at it, where one is there to be asked."""

from typing import Any

import pytest

import comfyui_tool as tool
from tests.attacks.house import House
from tests.attacks.table import each
from tests.support.painting import PaintingPage, painted, uri
from tests.support.stand_in import StandIn
from tests.webui.test_painting import photo


def pointed(number: Any) -> PaintingPage:
    """A page on which the user points at a picture by its number."""
    return PaintingPage({"state": "done", "answer": number})


async def call(home: House, comfy: StandIn, page: Any, method: str = "edit_image", **more: Any) -> Any:
    """What a call answers in a chat where the user has just sent three pictures, unless `names` says others."""
    names = more.pop("names", ("car.png", "fox.png", "fox.png"))
    ids = [home.put(photo(size=(96, 64)), name) for name in names]
    attached = [{"type": "image", "id": its_id, "name": name} for its_id, name in zip(ids, names, strict=True)]
    if method == "edit_image":
        more = {"prompt": "blue", **more}
    return await home.call(method, valves={"endpoint": comfy.url}, attached=attached, __event_call__=page, **more)


async def test_the_picture_at_which_the_user_points_is_edited(home: House, quick_comfy: StandIn) -> None:
    page = pointed(2)
    answer = await call(home, quick_comfy, page, images=["the red one"])
    assert (answer["status"], answer["from"]) == ("done", [2])
    (request,) = page.requests
    assert request["question"] == 'Which picture is "the red one"?'
    assert [(shown["number"], shown["name"]) for shown in request["pictures"]] == [
        (1, "car.png"),
        (2, "fox.png"),
        (3, "fox.png"),
    ]
    assert all(shown["url"].startswith("/api/v1/files/") for shown in request["pictures"])


async def test_of_pictures_with_one_name_only_these_are_shown(home: House, quick_comfy: StandIn) -> None:
    page = pointed(3)
    assert (await call(home, quick_comfy, page, images=["fox.png"]))["from"] == [3]
    assert [shown["number"] for shown in page.requests[0]["pictures"]] == [2, 3]


async def test_one_of_several_is_pointed_at_to_be_enlarged(home: House, quick_comfy: StandIn) -> None:
    answer = await call(home, quick_comfy, pointed(2), "upscale_image")
    assert (answer["status"], answer["from"]) == ("done", [2])


async def test_the_one_to_paint_on_is_pointed_at_first(home: House, quick_comfy: StandIn) -> None:
    page = PaintingPage({"state": "done", "answer": 2}, painted())
    await call(home, quick_comfy, page, names=("car.png", "fox.png"), mask="paint")
    choice, editor = page.requests
    assert choice["question"] == "Which picture do you want to paint on?"
    assert list(home.files)[1] in editor["url"]


async def test_a_picture_without_an_address_goes_along_as_a_small_copy(home: House, quick_comfy: StandIn) -> None:
    parts = [{"type": "image_url", "image_url": {"url": uri(photo(colour))}} for colour in ("red", "lime")]
    page = pointed(2)
    await home.call(
        "edit_image",
        prompt="blue",
        images=["the left one"],
        valves={"endpoint": quick_comfy.url},
        messages=[{"role": "user", "content": parts}],
        __event_call__=page,
    )
    assert all(shown["url"].startswith("data:image/jpeg;base64,") for shown in page.requests[0]["pictures"])


# What the page may send in the place of a number, and what a user may do instead of answering.
NO_CHOICE: dict[str, Any] = {
    "a number that was not shown": {"state": "done", "answer": 4},
    "zero": {"state": "done", "answer": 0},
    "below it": {"state": "done", "answer": -1},
    "true": {"state": "done", "answer": True},
    "a text": {"state": "done", "answer": "2"},
    "half a number": {"state": "done", "answer": 1.5},
    "not a number": {"state": "done", "answer": float("nan")},
    "a list": {"state": "done", "answer": [2]},
    "nothing": {"state": "done"},
    "the dialog is closed": {"state": "cancelled"},
    "the page fails": {"state": "failed"},
    "the page is gone": {"error": "Client session disconnected."},
}


@pytest.mark.parametrize("state", each(NO_CHOICE))
async def test_without_a_choice_the_model_is_told_what_there_is(home: House, quick_comfy: StandIn, state: Any) -> None:
    answer = await call(home, quick_comfy, PaintingPage(state), images=["the red one"])
    assert (answer["code"], quick_comfy.prompts) == ("bad_argument", [])
    assert answer["error"] == '"the red one" is not a picture of this chat.'
    assert "3 pictures: 1 car.png" in answer["hint"]


NOT_ASKED: dict[str, dict[str, Any]] = {
    "a number that there is not": {"images": ["7"]},
    "a name that there is not": {"images": ["dog.png"]},
    "an address elsewhere": {"images": ["https://example.org/fox.png"]},
    "a word for a mask": {"images": ["1", "paint"]},
    "a text of its own": {"images": ["a fox " * 50]},
    "a mask that is described": {"images": ["1"], "mask": "the sky"},
    "the only picture": {"images": ["the red one"], "names": ("fox.png",)},
    "no picture": {"images": ["the red one"], "names": ()},
}


@pytest.mark.parametrize("arguments", each(NOT_ASKED))
async def test_a_slip_of_the_model_is_no_question_for_the_user(
    home: House, quick_comfy: StandIn, arguments: dict[str, Any]
) -> None:
    page = pointed(1)
    answer = await call(home, quick_comfy, page, **arguments)
    assert (answer["code"], page.scripts) == ("bad_argument", [])


async def test_a_user_who_thinks_on_holds_the_call_for_two_minutes(
    home: House, quick_comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "POLL_SECONDS", 20.0)  # fewer jumps of the clock
    answer = await call(home, quick_comfy, PaintingPage({"state": "open"}), "upscale_image")
    assert "one is enlarged at a time" in answer["error"]
