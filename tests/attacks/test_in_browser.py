"""Files of a hostile server in the browser of an administrator: whichever route of a real Open WebUI serves them, no
script of theirs runs.

A script would ask an address that is not there for the session's token; the browser notes whatever it refuses.
"""

import contextlib
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Error

import comfyui_tool as tool
from tests.attacks.hostile import HostileServer
from tests.attacks.house import valves
from tests.attacks.test_outputs import RUNS, SCRIPT
from tests.support.browser import MISSING, Browser, find_chromium
from tests.support.chats import ask, installed
from tests.support.model_server import ModelServer, ToolCall
from tests.support.open_webui import OpenWebUI

pytestmark = [
    pytest.mark.open_webui,
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason=MISSING),
]
ROUTES = ("content", "content/html")


@pytest.fixture
async def hostile() -> AsyncIterator[HostileServer]:
    """A server whose run makes every file that a browser might run."""
    server = HostileServer()
    outputs = []
    for number, (name, data) in enumerate(RUNS.values()):
        outputs.append({"subfolder": str(number), "filename": name, "type": "output"})
        server.files[f"{number}/{name}"] = data
    server.outputs = {"1": {"images": outputs}}
    with server:
        yield server


@pytest.fixture
async def model(webui: OpenWebUI, hostile: HostileServer) -> AsyncIterator[ModelServer]:
    async with installed(webui, hostile) as server:
        await webui.set_valves("comfyui", **valves(hostile))
        yield server


async def opened(webui: OpenWebUI, file_id: str, browser: Browser) -> None:
    """Open a file by every route, as an address that somebody is sent; a download is none."""
    for route in ROUTES:
        with contextlib.suppress(Error):
            await browser.page.goto(f"{webui.url}/api/v1/files/{file_id}/{route}", wait_until="load", timeout=10_000)


async def test_no_file_of_a_server_runs_in_an_administrators_browser(webui: OpenWebUI, model: ModelServer) -> None:
    turn = await ask(webui, model, ToolCall("run_workflow", {"workflow": "w"}))
    brought = [row for row in RUNS.values() if not tool.is_another_file(row[0], "", row[1])]
    assert len(turn.files) == len(brought) >= 20
    async with Browser(webui.url, (await webui.admin()).token) as browser:
        for file in turn.files:
            await opened(webui, file["id"], browser)
        assert browser.refused == []


async def test_a_page_that_an_administrator_uploads_does_run(webui: OpenWebUI, model: ModelServer) -> None:
    """Which shows that the test above would see it."""
    admin = await webui.admin()
    page = await webui.upload("a.html", f"<!doctype html>{SCRIPT}".encode(), "text/html", admin)
    async with Browser(webui.url, admin.token) as browser:
        await opened(webui, page["id"], browser)
        assert browser.refused
