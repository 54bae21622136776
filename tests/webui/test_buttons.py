"""Buttons under a result: which there are, what they say, and how they behave on Open WebUI's own page."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import FrameLocator, expect

from comfyui_tool import BUTTON_TASKS, LOOK_AFTER, Endpoint, LookAhead, buttons_page, possible_tasks
from tests.support.browser import ANSWER, DIALOG, INPUT, MISSING, Browser, find_chromium
from tests.support.chats import installed
from tests.support.model_server import ModelServer, ToolCall
from tests.support.older_pages import takes_sentences_from_frames
from tests.support.open_webui import OpenWebUI
from tests.support.stand_in import StandIn

FRAME = f'{ANSWER} iframe[title="Embedded Content"]'
in_a_browser = [
    pytest.mark.open_webui,
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason=MISSING),
]


@pytest.mark.parametrize(
    ("numbers", "tasks", "labels"),
    [
        pytest.param([3], set(), ["Again"], id="nothing but what made it is installed"),
        pytest.param([3], {"upscale"}, ["Again", "Larger"], id="an upscale model"),
        pytest.param([3], {"image_edit"}, ["Again", "Vary", "Change"], id="an edit model"),
        pytest.param([3], set(BUTTON_TASKS), ["Again", "Vary", "Larger", "Change", "To video"], id="everything"),
        pytest.param([], set(BUTTON_TASKS), ["Again"], id="a video or a sound"),
    ],
)
def test_there_is_a_button_for_what_can_be_done(numbers: list[int], tasks: set[str], labels: list[str]) -> None:
    page = buttons_page(numbers, tasks)
    assert [
        label for label in ("Again", "Vary", "Larger", "Change", "To video") if f'"label": "{label}' in page
    ] == labels


def test_buttons_speak_the_users_language() -> None:
    page = buttons_page([3], {"image_edit"}, "de")
    assert '"label": "Noch einmal", "message": "Mach Bild # noch einmal, mit einem anderen Seed."' in page
    assert '<html lang="de"' in page
    assert '"which": "Bild"' in page
    assert json.dumps({"label": "Ändern …", "message": "Ändere Bild #: ", "sends": False}) in page


async def test_what_the_servers_can_do_is_known_from_their_files(comfy: StandIn) -> None:
    tasks = await possible_tasks([Endpoint(comfy.url)])
    assert tasks
    assert tasks <= set(BUTTON_TASKS)


async def test_what_a_server_can_do_is_not_found_out_with_every_result(comfy: StandIn) -> None:
    first = await possible_tasks([Endpoint(comfy.url)])
    asked = len(comfy.requests)
    comfy.models = {}
    assert await possible_tasks([Endpoint(comfy.url)]) == first
    assert len(comfy.requests) == asked


async def test_what_a_server_can_do_is_looked_up_while_a_run_goes_on(comfy: StandIn) -> None:
    ahead = LookAhead([Endpoint(comfy.url)])
    assert not ahead.is_done
    await asyncio.sleep(3)
    assert ahead.is_done
    assert "image_to_image" in await ahead.tasks()


async def test_at_the_end_of_a_short_run_it_is_looked_up_at_once(comfy: StandIn) -> None:
    ahead = LookAhead([Endpoint(comfy.url)])
    begun = asyncio.get_running_loop().time()
    assert "image_to_image" in await ahead.tasks()
    assert asyncio.get_running_loop().time() - begun < LOOK_AFTER


async def test_a_server_that_does_not_answer_only_takes_buttons_away() -> None:
    assert await possible_tasks([Endpoint("http://127.0.0.1:9")]) == set()


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    # A page that was just opened drops what comes before it knows its new chat. So pictures take a moment, as real do.
    async with StandIn(step_seconds=0.03) as server:
        yield server


@pytest.fixture
async def model(webui: OpenWebUI, comfy: StandIn) -> AsyncIterator[ModelServer]:
    async with installed(webui, comfy, switched_on=True) as server:
        yield server


def last_frame(browser: Browser) -> FrameLocator:
    return browser.page.frame_locator(FRAME).last


class TestOnThePage:
    pytestmark = in_a_browser

    async def test_a_button_sends_what_a_person_would_write_once_the_user_agrees(
        self, webui: OpenWebUI, model: ModelServer
    ) -> None:
        if not takes_sentences_from_frames(webui.version):
            pytest.skip("Pages before 0.11.4 take no sentences from a frame, so that there are no buttons.")
        model.script([ToolCall("generate_image", {"prompt": "a fox", "count": 2})], then="Here.")
        async with Browser(webui.url, (await webui.user("bob")).token) as browser:
            await browser.chat("Draw two foxes")
            await browser.wait_for_pictures(2)
            await browser.wait_until_done()
            buttons = last_frame(browser)
            await buttons.get_by_role("button", name="2", exact=True).click()
            await buttons.get_by_role("button", name="Again").click()
            dialog = browser.page.locator(DIALOG)
            await expect(dialog).to_contain_text("Make picture 2 again, with another seed.")
            model.script([ToolCall("generate_image", {"prompt": "a fox", "seed": 2})], then="Here.")
            await dialog.get_by_role("button", name="Confirm").click()
            await expect(browser.page.locator(".chat-user").last).to_contain_text("Make picture 2 again")
            await browser.wait_until_done()
            # only the newest result has them, also after a reload
            await expect(browser.page.locator(FRAME)).to_have_count(1)
            await browser.reload()
            await expect(browser.page.locator(FRAME)).to_have_count(1)
            await last_frame(browser).get_by_role("button", name="Change").click()
            await expect(browser.page.locator(INPUT)).to_contain_text("Change picture 3:")
            assert browser.refused == []

    async def test_each_answer_to_a_question_keeps_its_own(self, webui: OpenWebUI, model: ModelServer) -> None:
        if not takes_sentences_from_frames(webui.version):
            pytest.skip("Pages before 0.11.4 take no sentences from a frame, so that there are no buttons.")
        model.script([ToolCall("generate_image", {"prompt": "a fox"})], then="Here.")
        async with Browser(webui.url, (await webui.user("bob")).token) as browser:
            page = browser.page
            await browser.chat("Draw a fox")
            await browser.wait_for_pictures(1)
            await browser.wait_until_done()
            model.script([ToolCall("generate_image", {"prompt": "a fox"})], then="Here again.")
            await page.locator("button[aria-label=Regenerate]").last.click()
            await page.get_by_text("Try Again").first.click()
            await expect(page.locator(".chat-assistant").last).to_contain_text("Here again.", timeout=30_000)
            await browser.wait_until_done()
            await expect(page.locator(FRAME)).to_have_count(1)
            await page.locator("button[aria-label='Previous message']").last.click()
            await expect(page.locator(".chat-assistant").last).not_to_contain_text("again")
            await expect(page.locator(FRAME)).to_have_count(1)
            await expect(last_frame(browser).get_by_role("button", name="Again")).to_be_visible()

    async def test_a_user_who_wants_none_has_none(self, webui: OpenWebUI, model: ModelServer) -> None:
        model.script([ToolCall("generate_image", {"prompt": "a fox"})], then="Here.")
        carol = await webui.user("carol")
        await webui.set_user_valves("comfyui", carol, buttons=False)
        async with Browser(webui.url, carol.token) as browser:
            await browser.chat("Draw a fox")
            await browser.wait_for_pictures(1)
            await browser.wait_until_done()
            assert await browser.page.locator(FRAME).count() == 0

    async def test_a_page_that_takes_no_sentences_from_frames_shows_no_trace_of_them(
        self, webui: OpenWebUI, model: ModelServer
    ) -> None:
        model.script([ToolCall("generate_image", {"prompt": "a fox"})], then="Here.")
        bob = await webui.user("bob")
        shown = 1 if takes_sentences_from_frames(webui.version) else 0
        async with Browser(webui.url, bob.token) as browser:
            await browser.chat("Draw a fox")
            await browser.wait_for_pictures(1)
            await browser.wait_until_done()
            await expect(browser.page.locator("iframe")).to_have_count(shown)
            chat_id = browser.page.url.rpartition("/")[2]
        messages = (await webui.chat(chat_id, user=bob))["history"]["messages"].values()
        assert sum(len(message.get("embeds") or []) for message in messages) == shown
