"""The question about a run that will take long: as a page plays it, and on Open WebUI's own page in Chromium."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import expect

import comfyui_tool as tool
from tests.attacks.house import House
from tests.support.browser import MISSING, Browser, find_chromium
from tests.support.chats import installed
from tests.support.model_server import ModelServer, ToolCall
from tests.support.open_webui import OpenWebUI
from tests.support.painting import PaintingPage
from tests.support.stand_in import StandIn
from tests.webui.test_browser import shoot

SOONEST = 0.0001  # minutes: everything takes longer


async def draw(home: House, comfy: StandIn, seed: int, page: Any = None, **mine: Any) -> Any:
    return await home.call(
        "generate_image",
        prompt="a fox",
        size="512x384",
        seed=seed,
        valves={"endpoint": comfy.url},
        mine={"ask_minutes": SOONEST, **mine},
        __event_call__=page,
    )


async def ran_for_minutes(home: House, comfy: StandIn) -> None:
    """A first run, remembered as one that took minutes."""
    answer = await draw(home, comfy, 1)
    for server in tool.Pool.here()._servers.values():
        server.record.rates[answer["workflow"]] = 60.0  # seconds


ANSWERS = [
    pytest.param({"state": "done", "answer": "run"}, "512x384", "chose to run it", id="run"),
    pytest.param({"state": "done", "answer": "smaller"}, "368x272", "chose 368x272 instead", id="smaller"),
    pytest.param({"state": "done", "answer": {"a": ["lot"]}}, "512x384", "did not answer", id="nonsense"),
    pytest.param({"state": "gone"}, "512x384", "did not answer", id="the page was closed"),
    pytest.param({"state": "failed"}, "512x384", "could not be asked", id="the page cannot show it"),
]


@pytest.mark.parametrize(("told", "size", "note"), ANSWERS)
async def test_what_the_user_says_is_done_and_told(
    home: House, comfy: StandIn, told: Any, size: str, note: str
) -> None:
    await ran_for_minutes(home, comfy)
    answer = await draw(home, comfy, 2, PaintingPage(told))
    assert answer["size"] == size
    assert note in str(answer["adjusted"])
    assert any("Waiting for you to choose" in text for text in home.page.texts)


@pytest.mark.parametrize("page", [None, PaintingPage(opens=None)], ids=["a call by the API", "no page"])
async def test_where_nobody_is_asked_the_result_does_not_say_that_the_user_was(
    home: House, comfy: StandIn, page: Any
) -> None:
    await ran_for_minutes(home, comfy)
    answer = await draw(home, comfy, 2, page)
    assert answer["status"] == "done"
    assert "the user could not be asked, and so it ran" in str(answer["adjusted"])


async def test_cancelled_by_the_user_it_is_not_run(home: House, comfy: StandIn) -> None:
    await ran_for_minutes(home, comfy)
    page = PaintingPage({"state": "done", "answer": "cancel"})
    answer = await draw(home, comfy, 2, page)
    assert answer["code"] == "run_declined"
    (request,) = page.requests
    assert request["title"].startswith("This will take about")
    assert [choice["answer"] for choice in request["choices"]] == ["cancel", "smaller", "run"]


async def test_a_user_who_wants_no_question_has_none(home: House, comfy: StandIn) -> None:
    await ran_for_minutes(home, comfy)
    page = PaintingPage({"state": "done", "answer": "cancel"})
    assert (await draw(home, comfy, 2, page, ask_minutes=0))["status"] == "done"
    assert page.requests == []


@pytest.fixture
async def model(webui: OpenWebUI, quick_comfy: StandIn) -> AsyncIterator[ModelServer]:
    async with installed(webui, quick_comfy, switched_on=True) as server:
        yield server


@pytest.mark.open_webui
@pytest.mark.browser
@pytest.mark.skipif(find_chromium() is None, reason=MISSING)
async def test_the_dialog_on_the_page_offers_a_smaller_picture(webui: OpenWebUI, model: ModelServer) -> None:
    dora = await webui.user("dora")
    await webui.set_user_valves("comfyui", dora, ask_minutes=SOONEST, buttons=False)
    calls = [ToolCall("generate_image", {"prompt": "a fox", "size": "512x384", "seed": seed}) for seed in (1, 2)]
    model.script(calls, then="Here.")
    async with Browser(webui.url, dora.token) as browser:
        await browser.chat("Draw two foxes")
        dialog = browser.page.locator("dialog[open]")
        await expect(dialog).to_contain_text("This will take about", timeout=30_000)
        await shoot(browser, "long-run")
        await dialog.get_by_role("button", name="Smaller: 368x272").click()
        await browser.wait_until_done()
        pictures = await browser.wait_for_pictures(2)
        assert sorted((picture.width, picture.height) for picture in pictures) == [(368, 272), (512, 384)]
