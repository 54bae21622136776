"""What a person sees: Open WebUI's own page in Chromium, the tool, and a stand-in for ComfyUI.

With SCREENSHOTS set to a folder, each test leaves there what it saw.
"""

import ast
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.browser import MISSING, Browser, find_chromium
from tests.conftest import SOURCE, installed
from tests.model_server import ModelServer, ToolCall
from tests.open_webui import OpenWebUI
from tests.stand_in import StandIn
from tests.test_tool_file import METHODS

pytestmark = [
    pytest.mark.open_webui,
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason=MISSING),
]

PROMPT = "a lighthouse at dusk"


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn(step_seconds=0.25) as server:
        yield server


@pytest.fixture
async def model(webui: OpenWebUI, comfy: StandIn) -> AsyncIterator[ModelServer]:
    async with installed(webui, comfy) as server:
        await webui.set_default_tools(["comfyui"])
        yield server


def script(model: ModelServer, *calls: dict[str, object]) -> None:
    model.script(
        [ToolCall("generate_image", {"prompt": PROMPT, "size": "512x384", **call}) for call in calls], then="Here."
    )


async def shoot(browser: Browser, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        await browser.screenshot(Path(folder) / f"{name}.png")


async def test_the_picture_comes_up_in_the_message_and_is_there_after_a_reload(
    webui: OpenWebUI, model: ModelServer
) -> None:
    script(model, {"seed": 7, "steps": 20})
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        await browser.chat("Draw a lighthouse at dusk")
        preview = await browser.wait_for_preview()
        assert not preview.stored
        await browser.wait_for_status(re.compile(r"\d+ % · \d+ s left"))
        await shoot(browser, "half-way")
        (picture,) = await browser.wait_for_pictures(1)
        await browser.wait_until_done()
        assert (picture.stored, picture.width, picture.height) == (True, 512, 384)
        assert await browser.count_pictures() == 1
        assert (await browser.status()).endswith("· seed 7")
        await shoot(browser, "done")
        await browser.reload()
        (again,) = await browser.wait_for_pictures(1)
        assert again == picture
        assert await browser.status_list() == [await browser.status()]
        await shoot(browser, "reloaded")
        assert browser.refused == []


async def test_two_calls_leave_their_pictures_and_no_preview(webui: OpenWebUI, model: ModelServer) -> None:
    script(model, {"seed": 1, "steps": 4}, {"seed": 2, "steps": 4, "count": 2})
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        await browser.chat("Draw three")
        await browser.wait_until_done()
        assert [picture.stored for picture in await browser.wait_for_pictures(3)] == [True] * 3
        await shoot(browser, "three")


async def test_stop_takes_the_preview_away(webui: OpenWebUI, model: ModelServer, comfy: StandIn) -> None:
    script(model, {"steps": 100})
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        await browser.chat("Draw")
        await browser.wait_for_preview()
        await browser.stop()
        await browser.wait_for_status("Stopped")
        assert await browser.count_pictures() == 0
        await shoot(browser, "stopped")
        await browser.reload()
        assert await browser.count_pictures() == 0


async def test_a_failure_says_what_is_wrong(webui: OpenWebUI, model: ModelServer) -> None:
    script(model, {"model": "<b>gone</b>"})
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        await browser.chat("Draw")
        await browser.wait_until_done()
        assert "<b>gone</b>" in await browser.status()
        await shoot(browser, "failed")


async def test_the_graph_of_a_workflow_is_drawn_where_the_model_repeats_it(
    webui: OpenWebUI, model: ModelServer
) -> None:
    call = ToolCall("describe_workflow", {"workflow": "checkpoint"})
    model.script([call], then=lambda results: f"The graph:\n\n{json.loads(results[0])['diagram']}\n\nThat is it.")
    async with Browser(webui.url, (await webui.user("bob")).token) as browser:
        await browser.chat("Show me the workflow")
        texts = await browser.wait_for_diagram()
        await shoot(browser, "diagram")
    assert all(text in texts for text in ("KSampler", "CheckpointLoaderSimple", "LATENT"))
    assert (browser.errors, browser.refused) == ([], [])


async def test_the_workflow_in_a_picture_dropped_into_the_chat_is_run(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn, tmp_path: Path
) -> None:
    await webui.set_valves("comfyui", endpoint=comfy.url, allow_user_workflows=True)
    bob = await webui.user("bob")
    script(model, {"seed": 7, "steps": 4, "workflow": "checkpoint"})
    first = await webui.turn("Draw", tools=["comfyui"], user=bob)
    picture = tmp_path / "from-comfyui.png"
    picture.write_bytes(await webui.download(first.files[0]["id"], user=bob))
    model.script([ToolCall("run_workflow", {"workflow": "attached", "inputs": {"seed": 8}})], then="Here.")
    async with Browser(webui.url, bob.token) as browser:
        await browser.chat("Run the workflow in this picture", attach=picture)
        await browser.wait_for_pictures(1)
        await browser.wait_until_done()
        assert (await browser.status()).endswith("seed 8")
        await shoot(browser, "attached")
    texts = [node["inputs"].get("text") for node in comfy.prompts[-1]["prompt"].values()]
    assert PROMPT in texts


async def test_a_temporary_chat_shows_the_picture_once(webui: OpenWebUI, model: ModelServer) -> None:
    script(model, {"steps": 8})
    async with Browser(webui.url, (await webui.user("bob")).token, path="/?temporary-chat=true") as browser:
        await browser.chat("Draw")
        await browser.wait_until_done()
        assert [picture.stored for picture in await browser.wait_for_pictures(1)] == [True]


PASTE = """text => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", text);
    const paste = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
    document.querySelector(".cm-content").dispatchEvent(paste);
}"""


def program(source: str) -> str:
    """What a source does. The editor formats what it saves, docstrings and all."""
    return re.sub(r"\\n|\s", "", ast.dump(ast.parse(source)))


async def test_the_file_pasted_into_the_editor_is_saved(webui: OpenWebUI, model: ModelServer) -> None:
    await webui.delete_tool("comfyui")
    async with Browser(webui.url, (await webui.admin()).token) as browser:
        page = browser.page
        await page.goto(f"{webui.url}/workspace/tools/create")
        await page.locator(".cm-content").click()
        await page.keyboard.press("Control+A")
        await page.evaluate(PASTE, SOURCE)
        await page.get_by_role("button", name="Save").click()
        await shoot(browser, "editor")
        await page.get_by_role("button", name="Confirm").click()
        await page.wait_for_url(re.compile("/workspace/tools$"), timeout=60_000)
        await page.get_by_text("ComfyUI", exact=True).first.wait_for()
        await shoot(browser, "pasted")
    assert program((await webui.tool("comfyui"))["content"]) == program(SOURCE)
    assert sorted(method["name"] for method in await webui.specification("comfyui")) == sorted(METHODS)
