"""A name that several installed models fit: the user chooses, where one is there to be asked."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import expect

import comfyui_tool as tool
from tests.attacks.house import House
from tests.attacks.table import each
from tests.support.browser import MISSING, Browser, find_chromium
from tests.support.chats import ask, installed
from tests.support.model_server import ModelServer, ToolCall
from tests.support.open_webui import OpenWebUI
from tests.support.painting import PaintingPage
from tests.support.stand_in import StandIn
from tests.webui.test_browser import shoot

LARGE, SMALL, OTHER = "SDXL/dreamshaperXL_v21.safetensors", "dreamshaper_8.safetensors", "sd15_base.safetensors"
LORAS = ["detail_tweaker.safetensors", "detail_eyes.safetensors", "film.safetensors"]
MODELS = {"checkpoints": [LARGE, OTHER, SMALL], "loras": LORAS}


@pytest.fixture
async def dreams() -> AsyncIterator[StandIn]:
    """A server with two models whose names have "dream" in them."""
    async with StandIn(step_seconds=0.0, models=MODELS) as server:
        yield server


def chosen(number: Any) -> PaintingPage:
    """A page on which the user chooses a name by its place in the list."""
    return PaintingPage({"state": "done", "answer": number})


async def draw(home: House, comfy: StandIn, page: Any, method: str = "generate_image", **more: Any) -> Any:
    arguments = {"prompt": "a fox", "model": "dream", **more}
    return await home.call(method, valves={"endpoint": comfy.url}, __event_call__=page, **arguments)


async def test_the_model_that_the_user_chooses_is_taken(home: House, dreams: StandIn) -> None:
    page = chosen(1)
    answer = await draw(home, dreams, page)
    assert (answer["status"], answer["model"]) == ("done", LARGE)
    assert f'The argument model "dream" fits 2 names, and the user chose "{LARGE}"' in answer["adjusted"]
    (request,) = page.requests
    assert request["question"] == 'Which one is "dream"?'
    assert (request["names"], request["left"]) == ([SMALL, LARGE], 0)
    assert 'Waiting for you to choose: Which one is "dream"?' in home.page.texts


async def test_without_an_answer_the_likeliest_is_taken_and_the_result_says_so(
    home: House, dreams: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "POLL_SECONDS", 20.0)  # fewer jumps of the clock
    began = asyncio.get_running_loop().time()
    answer = await draw(home, dreams, PaintingPage({"state": "open"}))
    assert asyncio.get_running_loop().time() - began == pytest.approx(120, abs=30)
    assert (answer["status"], answer["model"]) == ("done", SMALL)
    assert f'the user was asked which, did not answer, and "{SMALL}" was taken, not "{LARGE}"' in str(
        answer["adjusted"]
    ).replace('\\"', '"')


async def test_calls_of_one_message_share_the_answer(home: House, dreams: StandIn) -> None:
    page = chosen(1)
    answers = await asyncio.gather(*[draw(home, dreams, page, seed=seed) for seed in range(3)])
    assert [answer["model"] for answer in answers] == [LARGE] * 3
    assert len(page.requests) == 1


async def test_who_closes_the_question_wants_none_of_them(home: House, dreams: StandIn) -> None:
    answer = await draw(home, dreams, PaintingPage({"state": "cancelled"}))
    assert (answer["code"], dreams.prompts) == ("bad_argument", [])
    assert "could be any of" in answer["error"]
    assert "closed the question" in answer["hint"]


NOBODY: dict[str, Any] = {
    "a call by the API": None,
    "a page that knows no scripts": PaintingPage(opens=None),
    "a page that cannot show it": PaintingPage({"state": "failed"}),
    "a number that was not shown": chosen(2),
    "below it": chosen(-1),
    "true": chosen(True),
    "a name": chosen(SMALL),
    "a list": chosen([0]),
    "nothing": chosen(None),
}


@pytest.mark.parametrize("page", each(NOBODY))
async def test_where_nobody_can_be_asked_the_language_model_is_told_the_names(
    home: House, dreams: StandIn, page: Any
) -> None:
    answer = await draw(home, dreams, page)
    assert (answer["code"], dreams.prompts) == ("bad_argument", [])
    assert answer["error"] == f'The argument model is "dream", which could be any of: "{LARGE}", "{SMALL}".'
    assert answer["hint"] == "Give one of these names."


CLEAR: dict[str, Any] = {
    "the whole name": {"model": "dreamshaper_8"},
    "words that one alone has": {"model": "dreamshaper xl"},
    "another model": {"model": "sd15"},
    "none": {"model": None},
    "a LoRA by its words": {"model": SMALL, "loras": ["tweaker:0.5"]},
}


@pytest.mark.parametrize("arguments", each(CLEAR))
async def test_where_one_fits_best_nobody_is_asked(home: House, dreams: StandIn, arguments: dict[str, Any]) -> None:
    page = chosen(1)
    assert (await draw(home, dreams, page, **arguments))["status"] == "done"
    assert page.scripts == []


async def test_a_valve_is_no_question(home: House, dreams: StandIn) -> None:
    page = chosen(1)
    answer = await home.call(
        "generate_image",
        prompt="a fox",
        valves={"endpoint": dreams.url},
        mine={"model": "dream"},
        __event_call__=page,
    )
    assert (answer["code"], page.scripts) == ("bad_argument", [])


async def test_a_lora_is_chosen_and_keeps_its_strength(home: House, dreams: StandIn) -> None:
    answer = await draw(home, dreams, chosen(0), model=SMALL, loras=["film:0.3", "detail:0.7"])
    assert answer["loras"] == ["film.safetensors:0.3", "detail_eyes.safetensors:0.7"]


async def test_a_model_and_a_lora_are_two_questions(home: House, dreams: StandIn) -> None:
    page = PaintingPage({"state": "done", "answer": 1}, {"state": "done", "answer": 0})
    answer = await draw(home, dreams, page, loras=["detail:0.7"])
    assert (answer["model"], len(page.requests)) == (LARGE, 2)


async def test_a_model_among_the_inputs_of_a_saved_workflow_is_chosen(home: House, dreams: StandIn) -> None:
    answer = await home.call(
        "run_workflow",
        workflow="mine",
        inputs={"prompt": "a fox", "model": "dream"},
        valves={"endpoint": dreams.url, "workflows": json.dumps({"mine": dreams.example_graph()})},
        __event_call__=chosen(1),
    )
    assert answer["model"] == LARGE


async def test_of_many_the_likeliest_are_shown(home: House) -> None:
    names = [f"dream_{'x' * (number % 20)}{number}.safetensors" for number in range(40)]
    page = chosen(11)
    async with StandIn(step_seconds=0.0, models={"checkpoints": names}) as comfy:
        answer = await draw(home, comfy, page)
    (request,) = page.requests
    assert (len(request["names"]), request["left"]) == (12, 28)
    assert answer["model"] == request["names"][11]


async def test_names_that_a_server_makes_up_are_bounded(home: House) -> None:
    names = [f"dream{'<b>' * 200}{number}.safetensors" for number in range(300)]
    page = chosen(1)
    async with StandIn(step_seconds=0.0, models={"checkpoints": names}) as comfy:
        answer = await draw(home, comfy, page)
    (request,) = page.requests
    assert len(request["names"]) == 12
    assert max(map(len, request["names"])) == 120
    assert len(json.dumps(answer)) < 3000
    assert len(json.dumps(home.shown)) < 30_000


@pytest.fixture
async def model(webui: OpenWebUI, dreams: StandIn) -> AsyncIterator[ModelServer]:
    async with installed(webui, dreams, switched_on=True) as server:
        yield server


@pytest.mark.open_webui
@pytest.mark.parametrize(
    ("answers", "status", "words"),
    [({}, "error", "which could be any of"), ({"execute": "open"}, "done", "did not answer")],
    ids=["a page that runs no scripts", "a page that goes away"],
)
async def test_in_a_chat_without_an_answer(
    webui: OpenWebUI, model: ModelServer, answers: dict[str, Any], status: str, words: str
) -> None:
    call = ToolCall("generate_image", {"prompt": "a fox", "model": "dream"})
    turn = await ask(webui, model, call, user=await webui.user("bob"), answers=answers)
    (result,) = turn.tool_results
    assert result["status"] == status
    assert words in str(result)


@pytest.mark.open_webui
@pytest.mark.browser
@pytest.mark.skipif(find_chromium() is None, reason=MISSING)
async def test_the_dialog_on_the_page_is_answered_by_keys_and_by_a_click(
    webui: OpenWebUI, model: ModelServer, dreams: StandIn
) -> None:
    dora = await webui.user("dora")
    async with Browser(webui.url, dora.token) as browser:
        dialog = browser.page.locator("dialog[open]")
        for choose, name in (("keys", LARGE), ("click", SMALL)):
            model.script([ToolCall("generate_image", {"prompt": "a fox", "model": "dream"})], then="Here.")
            await browser.chat("A fox with dream")
            await expect(dialog).to_contain_text('Which one is "dream"?', timeout=30_000)
            await expect(dialog).to_contain_text(f"Without an answer within 2 minutes: {SMALL}")
            await expect(dialog.get_by_role("button", name=SMALL)).to_be_focused()
            await shoot(browser, "model-choice")
            if choose == "keys":
                await browser.page.keyboard.press("ArrowDown")
                await browser.page.keyboard.press("Enter")
            else:
                await dialog.get_by_role("button", name=name).click()
            await browser.wait_until_done()
            assert f'"{name}"' in json.dumps(dreams.prompts[-1]["prompt"])
