"""What the harness reports of a turn is what happened in the real Open WebUI."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.model_server import ModelServer, ToolCall
from tests.support.older_pages import adds_files
from tests.support.open_webui import ApiError, OpenWebUI, OpenWebUIError, running_open_webui

PREVIEW = "data:image/gif;base64," + base64.b64encode(b"GIF89a").decode()

TOOL = f'''"""
title: Harness
"""
import asyncio

class Tools:
    async def wave(self, times: int = 1, __event_emitter__=None) -> str:
        """Wave.
        :param times: how often"""
        for index in range(times):
            status = {{"description": f"wave {{index + 1}}", "done": False}}
            await __event_emitter__({{"type": "status", "data": status}})
            file = {{"type": "image", "url": {PREVIEW!r}}}
            await __event_emitter__({{"type": "chat:message:files", "data": {{"files": [file]}}}})
            await asyncio.sleep(0.05)
        return f"waved {{times}} times"
'''


pytestmark = pytest.mark.open_webui


@pytest.fixture
async def model(webui: OpenWebUI) -> AsyncIterator[ModelServer]:
    async with ModelServer() as model:
        await webui.use_model(model)
        await webui.delete_tool("harness", missing_ok=True)
        await webui.create_tool("harness", "Harness", TOOL, public=True)
        yield model


@pytest.mark.usefixtures("webui")
def test_one_worker_runs_all_that_share_one_open_webui(request: pytest.FixtureRequest) -> None:
    assert request.node.nodeid.endswith("@open_webui") or not request.config.getoption("loadgroup", False)


async def test_a_turn_has_its_events_its_stored_message_and_what_the_model_was_told(
    webui: OpenWebUI, model: ModelServer
) -> None:
    bob = await webui.user("bob")
    model.script([ToolCall("wave", {"times": 2})], then="Hello.")
    turn = await webui.turn("wave", user=bob, tools=["harness"])
    assert turn.status_texts == ["wave 1", "wave 2"] == [status["description"] for status in turn.status_history]
    assert [url for _, url in turn.previews] == [PREVIEW, PREVIEW]
    assert turn.shown_files and not turn.files, "a live event is shown but not stored"
    assert turn.tool_results == ["waved 2 times"]
    assert turn.text == "Hello."
    model.script([], then="Again.")
    later = await webui.turn("and?", user=bob, after=turn)
    assert [message["content"] for message in later.requests[0].messages if message["role"] == "user"] == [
        "wave",
        "and?",
    ]


async def test_every_write_of_the_chat_is_counted(webui: OpenWebUI, model: ModelServer) -> None:
    async def writes(times: int) -> int:
        model.script([ToolCall("wave", {"times": times})])
        return len((await webui.turn("wave", tools=["harness"])).writes)

    assert await writes(7) - await writes(2) == 5, "each stored status line is one write"


async def test_stop_ends_an_answer_half_way(webui: OpenWebUI, model: ModelServer) -> None:
    model.script([ToolCall("wave", {"times": 1000})])
    async with webui.begin("wave", tools=["harness"]) as turn:
        await turn.wait_for(lambda event: event.type == "status" and event.data["description"] == "wave 3")
        await turn.stop()
    assert turn.message["done"] and not turn.text
    assert len(turn.statuses) < 100


async def test_a_temporary_chat_keeps_what_events_bring(webui: OpenWebUI, model: ModelServer) -> None:
    model.script([ToolCall("wave", {"times": 2})], then="Hello.")
    turn = await webui.turn("wave", tools=["harness"], temporary=True)
    assert turn.text == "Hello."
    adds = adds_files(webui.version, temporary=True)
    assert len(turn.shown_files) == (2 if adds else 1), "the page adds to the files of a temporary chat"
    assert not turn.writes


async def test_people_see_their_own_files_only(webui: OpenWebUI) -> None:
    ann, bob = await webui.user("ann"), await webui.user("bob")
    item = await webui.upload("a.gif", b"GIF89a", "image/gif", ann)
    assert [file["id"] for file in await webui.files(ann)] == [item["id"]]
    assert await webui.download(item["id"], user=ann) == b"GIF89a"
    with pytest.raises(ApiError) as refused:
        await webui.download(item["id"], user=bob)
    assert refused.value.status == 404


def test_a_start_that_fails_shows_the_end_of_the_log(tmp_path: Path) -> None:
    with (
        pytest.raises(OpenWebUIError, match="Could not parse SQLAlchemy URL"),
        running_open_webui(tmp_path, DATABASE_URL="nonsense"),
    ):
        pass
