"""Every kind of chat in a real Open WebUI: how a model calls, whether its answer is streamed, in a folder, shared with
others, and requests of programs that have no page."""

import html
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.chats import ask
from tests.support.model_server import MODEL_ID, ModelServer, ToolCall
from tests.support.open_webui import OpenWebUI, User
from tests.support.pictures import opened
from tests.support.stand_in import StandIn

pytestmark = pytest.mark.open_webui

SMALL = {"size": "64x64", "steps": 1, "workflow": "checkpoint", "seed": 7}
LEGACY = {"function_calling": "legacy"}


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn(step_seconds=0.0) as server:
        yield server


def call(prompt: str = "a lighthouse") -> ToolCall:
    return ToolCall("generate_image", {"prompt": prompt, **SMALL})


async def complete(webui: OpenWebUI, user: User, **about: Any) -> Any:
    """The request of a program: no chat, no message, no session of a page."""
    body = {"model": MODEL_ID, "messages": [{"role": "user", "content": "Draw"}], "tool_ids": ["comfyui"], **about}
    return await webui.request("POST", "/api/chat/completions", user=user, json=body)


async def test_an_answer_that_is_not_streamed_has_its_picture(webui: OpenWebUI, model: ModelServer) -> None:
    turn = await ask(webui, model, call(), params={**LEGACY, "stream_response": False})
    assert [file["name"] for file in turn.files] == ["a-lighthouse-7.png"]
    assert turn.status_history[-1]["description"].endswith("seed 7")
    assert turn.text == "Here it is."


async def test_a_program_without_a_page_gets_a_picture_that_it_can_fetch(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn
) -> None:
    bob = await webui.user("bob")
    model.script([call()], then="Here it is.")
    answer = await complete(webui, bob, stream=False, params=LEGACY)
    assert answer["choices"][0]["message"]["content"] == "Here it is."
    (newest, *_) = await webui.files(bob)
    told = html.unescape(str(model.requests[-1].messages))
    assert f'"id":"{newest["id"]}"' in told
    assert "The user sees it already" not in told
    assert opened(await webui.download(newest["id"], user=bob)).size == (64, 64)


async def test_a_chat_in_a_folder_has_its_picture_and_stays_there(webui: OpenWebUI, model: ModelServer) -> None:
    bob = await webui.user("bob")
    folder = await webui.request("POST", "/api/v1/folders/", user=bob, json={"name": "Lighthouses"})
    turn = await ask(webui, model, call(), user=bob, folder=folder["id"])
    stored = await webui.request("GET", f"/api/v1/chats/{turn.chat_id}", user=bob)
    assert stored["folder_id"] == folder["id"]
    assert [file["name"] for file in turn.files] == ["a-lighthouse-7.png"]
    await webui.request("DELETE", f"/api/v1/folders/{folder['id']}", user=bob)


async def test_whoever_a_chat_is_shared_with_sees_its_picture_and_nobody_else(
    webui: OpenWebUI, model: ModelServer
) -> None:
    bob, ann, carol = [await webui.user(name) for name in ("bob", "ann", "carol")]
    permissions = await webui.request("GET", "/api/v1/users/default/permissions")
    sharing = {**permissions, "chat": {**permissions["chat"], "share": True}}
    await webui.request("POST", "/api/v1/users/default/permissions", json=sharing)
    turn = await ask(webui, model, call(), user=bob)
    shared = await webui.request("POST", f"/api/v1/chats/{turn.chat_id}/share", user=bob, json={})
    grants = [{"principal_type": "user", "principal_id": ann.id, "permission": "read"}]
    await webui.request(
        "POST", f"/api/v1/chats/shared/{turn.chat_id}/access/update", user=bob, json={"access_grants": grants}
    )
    await webui.request("POST", "/api/v1/users/default/permissions", json=permissions)
    seen = await webui.request("GET", f"/api/v1/chats/share/{shared['share_id']}", user=ann)
    (file,) = seen["chat"]["history"]["messages"][turn.message_id]["files"]
    assert opened(await webui.download(file["id"], user=ann)).size == (64, 64)
    assert (await webui.fetch("GET", file["url"], user=carol))[0] == 404
