"""Chats in a real Open WebUI in which a scripted model calls the tool."""

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from tests.support import SOURCE
from tests.support.model_server import ModelServer, ToolCall
from tests.support.older_pages import marks_failed_calls
from tests.support.open_webui import OpenWebUI, Turn, User
from tests.support.stand_in import StandIn


@contextlib.asynccontextmanager
async def installed(webui: OpenWebUI, comfy: StandIn, *, switched_on: bool = False) -> AsyncIterator[ModelServer]:
    """The tool, freshly created for all users with the address of `comfy` in its valve, and a model to call it. Nobody
    has set any of their own valves. On the page it is in every new chat where it is `switched_on`."""
    async with ModelServer() as model:
        await webui.use_model(model)
        await webui.delete_tool("comfyui", missing_ok=True)
        await webui.create_tool("comfyui", "ComfyUI", SOURCE, public=True)
        await webui.set_valves("comfyui", endpoint=comfy.url)
        for user in webui.known_users:
            await webui.set_user_valves("comfyui", user)
        if switched_on:
            await webui.set_default_tools(["comfyui"])
        yield model


async def ask(
    webui: OpenWebUI, model: ModelServer, *calls: ToolCall, tools: Sequence[str] = ("comfyui",), **about: Any
) -> Turn:
    """One turn in which the model makes these calls in one answer; `about` says more of it, see `OpenWebUI.begin`."""
    model.script(calls, then="Here it is.")
    return await webui.turn("Please", tools=tools, **about)


async def attach(
    webui: OpenWebUI, user: User, data: bytes, name: str = "photo.png", kind: str = "image/png"
) -> dict[str, Any]:
    """A file as the page sends it along with a message."""
    item = await webui.upload(name, data, kind, user)
    return {**item, "type": "image"} if kind.startswith("image/") else item


def failed(turn: Turn) -> dict[str, Any]:
    """What the model was told of a failure, once it is sure that the message was left in order."""
    (result,) = turn.tool_results
    assert result["status"] == "error"
    assert turn.status_history[-1] == {"description": result["error"], "done": True}
    assert turn.files == []
    assert "data:" not in json.dumps(turn.shown_files)
    outputs = [item for item in turn.message["output"] if item["type"] == "function_call_output"]
    if marks_failed_calls(turn.owui.version):
        assert outputs[0]["status"] == "failed"
    assert "Traceback" not in json.dumps(turn.message)
    return dict(result)
