"""How the tool gets into Open WebUI by its page, step by step as the README says it, up to the first picture. What is
pasted into the editor: test_browser.py; the command: tests/test_command_line.py."""

import os
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from playwright.async_api import Page

from tests.support import ROOT, SOURCE
from tests.support.browser import MISSING, OPEN_SECONDS, Browser, find_chromium
from tests.support.chats import ask
from tests.support.model_server import ModelServer, ToolCall
from tests.support.open_webui import OpenWebUI
from tests.support.serving import serving
from tests.support.stand_in import StandIn

pytestmark = [
    pytest.mark.open_webui,
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason=MISSING),
]

SMALL = ToolCall("generate_image", {"prompt": "a lighthouse", "size": "64x64", "steps": 2})
NAMES_SINCE = (0, 12)  # what the buttons are called here
BY_FILE, BY_URL = "comfyui", "comfyui_tool"  # the ids that Open WebUI gives


@pytest.fixture
def comfy(quick_comfy: StandIn) -> StandIn:
    """One release will do: what is tested is Open WebUI's page."""
    return quick_comfy


@pytest.fixture
async def model(webui: OpenWebUI) -> AsyncIterator[ModelServer]:
    """A model to call the tool, in an Open WebUI that has none."""
    if webui.version < NAMES_SINCE:
        pytest.skip("its page calls the steps otherwise")
    await webui.set_default_tools([])
    async with ModelServer() as server:
        await webui.use_model(server)
        for tool_id in (BY_FILE, BY_URL, "harness"):  # what other tests left
            await webui.delete_tool(tool_id, missing_ok=True)
        yield server
        await webui.delete_tool(BY_URL, missing_ok=True)


async def choose_to_import(page: Page, url: str, way: str) -> None:
    """Workspace → Tools → the arrow beside Create, and this way of importing."""
    page.set_default_timeout(OPEN_SECONDS * 1000)
    await page.goto(f"{url}/workspace/tools")
    await page.get_by_label("Open create menu").click()
    await page.get_by_text(way, exact=True).click()


async def share_with_everybody(page: Page) -> None:
    """The tool itself → Access → Public."""
    await page.get_by_text("ComfyUI", exact=True).first.click()
    await page.get_by_role("button", name="Access").click()
    await page.get_by_role("button", name="Visibility").click()
    async with page.expect_response("**/access/update"):
        await page.get_by_text("Public", exact=True).last.click()


async def set_address(page: Page, url: str, address: str) -> None:
    """The gear beside the tool → ComfyUI address."""
    await page.goto(f"{url}/workspace/tools")
    await page.get_by_role("button", name="Valves").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_text("Default", exact=True).first.click()
    await dialog.get_by_placeholder("ComfyUI address").fill(address)
    async with page.expect_response("**/valves/update"):
        await dialog.get_by_role("button", name="Save").click()


async def switch_on(browser: Browser) -> None:
    """Integrations, below the message box → Tools → ComfyUI."""
    page = browser.page
    await browser.open("/")
    await page.get_by_label("Integrations").click()
    await page.locator("button", has_text="Tools").last.click()
    await page.get_by_text("ComfyUI", exact=True).click()
    await page.keyboard.press("Escape")


async def test_the_file_that_is_imported_shared_and_switched_on_makes_a_picture(
    webui: OpenWebUI, comfy: StandIn, model: ModelServer
) -> None:
    async with Browser(webui.url, (await webui.admin()).token) as browser:
        page = browser.page
        async with page.expect_file_chooser() as choosing:
            await choose_to_import(page, webui.url, "Import JSON")
        await (await choosing.value).set_files(ROOT / "comfyui_tool.json")
        await page.get_by_role("button", name="Confirm").click()
        await share_with_everybody(page)
        assert BY_FILE in [tool["id"] for tool in await webui.tools(user=await webui.user("bob"))]
        await set_address(page, webui.url, comfy.url)
        await switch_on(browser)
        model.script([SMALL], then="Here.")
        await browser.chat("Draw a lighthouse")
        (picture,) = await browser.wait_for_pictures(1)
        assert picture.stored
    assert (await webui.tool(BY_FILE))["content"] == SOURCE


@pytest.mark.skipif("COMFYUI_TEST_SLOW" not in os.environ, reason="a quarter of a minute: set COMFYUI_TEST_SLOW")
async def test_the_raw_file_imported_from_its_address_makes_a_picture(
    webui: OpenWebUI, comfy: StandIn, model: ModelServer
) -> None:
    async def raw_file(_: web.Request) -> web.Response:
        return web.Response(text=SOURCE)

    admin = await webui.admin()
    async with serving("/main/comfyui_tool.py", raw_file) as address, Browser(webui.url, admin.token) as browser:
        page = browser.page
        await choose_to_import(page, webui.url, "Import from URL")
        await page.locator("input[type=url]").fill(f"{address}/main/comfyui_tool.py")
        await page.get_by_role("button", name="Import", exact=True).click()
        await page.wait_for_url(re.compile("/workspace/tools/create$"))
        await page.get_by_role("button", name="Save & Create").click()
        await page.get_by_role("button", name="Confirm").click()
        await page.wait_for_url(re.compile("/workspace/tools$"))
    assert (await webui.tool(BY_URL))["content"] == SOURCE
    await webui.set_valves(BY_URL, endpoint=comfy.url)
    assert len((await ask(webui, model, SMALL, tools=[BY_URL])).files) == 1
