"""The same run made twice in a real Open WebUI: the file that is there is shown again, nothing new is stored, and the
model is told so."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.chats import ask, installed
from tests.support.model_server import ModelServer, ToolCall
from tests.support.older_pages import writes_a_message_at_once
from tests.support.open_webui import ApiError, OpenWebUI, Turn, User
from tests.support.stand_in import StandIn

pytestmark = pytest.mark.open_webui

SAME = "the same as picture 1 of this chat: shown again, not stored anew"


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn() as server:
        yield server


def fox(**arguments: Any) -> ToolCall:
    wanted = {"prompt": "a fox", "size": "128x128", "steps": 2, "workflow": "checkpoint", "seed": 7}
    return ToolCall("generate_image", {**wanted, **arguments})


async def someone(webui: OpenWebUI, request: pytest.FixtureRequest) -> User:
    """A user who has made nothing yet."""
    return await webui.user(request.node.name.replace("_", "")[-40:])


async def ids(webui: OpenWebUI, user: User) -> set[str]:
    return {item["id"] for item in await webui.files(user)}


def told(turn: Turn) -> dict[str, Any]:
    return dict(turn.tool_results[-1])


async def test_in_the_same_chat_the_picture_is_shown_again_under_its_number(
    webui: OpenWebUI, model: ModelServer, request: pytest.FixtureRequest
) -> None:
    user = await someone(webui, request)
    first = await ask(webui, model, fox(), user=user)
    again = await ask(webui, model, fox(), user=user, after=first)
    (file,) = first.files
    assert again.files == again.shown_files == first.files
    assert await ids(webui, user) == {file["id"]}
    assert told(again)["images"] == [{"number": 1, "id": file["id"]}]
    assert SAME in told(again)["adjusted"]
    assert told(again)["note"] == "The user sees it already; do not show or link it again."
    assert again.status_texts[-1].endswith(" · seed 7 · Shown again")


async def test_in_another_chat_it_is_that_chats_picture_and_no_second_file(
    webui: OpenWebUI, model: ModelServer, request: pytest.FixtureRequest
) -> None:
    user = await someone(webui, request)
    await ask(webui, model, fox(), ToolCall("generate_image", {"prompt": "an owl"}), user=user)
    stored = await ids(webui, user)
    again = await ask(webui, model, fox(seed=8), fox(), user=user)
    assert len(await ids(webui, user) - stored) == 1
    assert [result["images"][0]["number"] for result in again.tool_results] == [1, 2]
    assert "the same file was stored before: shown again, not stored anew" in told(again)["adjusted"]


async def test_twice_in_one_answer_the_message_shows_it_once(
    webui: OpenWebUI, model: ModelServer, request: pytest.FixtureRequest
) -> None:
    user = await someone(webui, request)
    turn = await ask(webui, model, fox(), fox(), user=user)
    assert len(turn.files) == 1
    assert turn.shown_files == turn.files
    assert told(turn)["images"][0]["number"] == 1
    assert len(await ids(webui, user)) == 1


async def test_what_was_deleted_is_stored_anew(
    webui: OpenWebUI, model: ModelServer, request: pytest.FixtureRequest
) -> None:
    user = await someone(webui, request)
    first = await ask(webui, model, fox(), user=user)
    with contextlib.suppress(ApiError):  # its text index is not there to be deleted; the file itself is
        await webui.request("DELETE", f"/api/v1/files/{first.files[0]['id']}", user=user)
    again = await ask(webui, model, fox(), user=user, after=first)
    assert again.files[0]["id"] != first.files[0]["id"]
    assert await ids(webui, user) == {again.files[0]["id"]}


async def test_a_picture_that_is_stored_in_another_format_is_known_as_well(
    webui: OpenWebUI, model: ModelServer, request: pytest.FixtureRequest
) -> None:
    user = await someone(webui, request)
    await webui.set_user_valves("comfyui", user, picture_format="WebP")
    first = await ask(webui, model, fox(), user=user)
    again = await ask(webui, model, fox(), user=user, after=first)
    assert first.files[0]["content_type"] == "image/webp"
    assert again.files == first.files
    await webui.set_user_valves("comfyui", user, picture_format="PNG")
    other = await ask(webui, model, fox(), user=user, after=again)
    assert other.files[0]["content_type"] == "image/png", "another file, and not the same"


async def test_a_process_that_remembers_nothing_finds_it_in_the_chat(
    webui: OpenWebUI, model: ModelServer, comfy: StandIn, request: pytest.FixtureRequest
) -> None:
    if not writes_a_message_at_once(webui.version):
        pytest.skip("The messages of this release do not tell of files that were added to them.")
    user = await someone(webui, request)
    first = await ask(webui, model, fox(), user=user)
    await webui.delete_tool("comfyui")
    async with installed(webui, comfy) as anew:
        again = await ask(webui, anew, fox(), user=user, after=first)
    assert again.files == first.files
    assert SAME in told(again)["adjusted"]


async def test_another_user_has_a_file_of_their_own(
    webui: OpenWebUI, model: ModelServer, request: pytest.FixtureRequest
) -> None:
    user = await someone(webui, request)
    first = await ask(webui, model, fox(), user=user)
    others = await ask(webui, model, fox(), user=await webui.user("twin"))
    assert others.files[0]["id"] != first.files[0]["id"]


async def test_of_several_pictures_each_is_known(
    webui: OpenWebUI, model: ModelServer, request: pytest.FixtureRequest
) -> None:
    user = await someone(webui, request)
    first = await ask(webui, model, fox(count=2), user=user)
    again = await ask(webui, model, fox(count=2), user=user, after=first)
    assert again.files == first.files
    assert "the same as pictures 1 and 2 of this chat: shown again, not stored anew" in told(again)["adjusted"]


async def test_check_job_does_not_bring_what_was_shown_again(
    webui: OpenWebUI, model: ModelServer, request: pytest.FixtureRequest
) -> None:
    user = await someone(webui, request)
    first = await ask(webui, model, fox(), user=user)
    again = await ask(webui, model, fox(), user=user, after=first)
    asked = await ask(webui, model, ToolCall("check_job", {}), user=user, after=again)
    assert "brought" not in told(asked)
    assert asked.files == []


async def test_what_is_shown_again_is_seen_by_whoever_that_chat_is_shared_with(
    webui: OpenWebUI, model: ModelServer, request: pytest.FixtureRequest
) -> None:
    user = await someone(webui, request)
    await ask(webui, model, fox(), user=user)
    again = await ask(webui, model, fox(), user=user)
    assert await linked_files(webui, again.chat_id) == [again.files[0]["id"]]


async def linked_files(webui: OpenWebUI, chat_id: str) -> list[str]:
    """The files that a chat gives those access to whom it is shared with."""

    def ask_database() -> list[str]:
        with contextlib.closing(sqlite3.connect(webui.data_dir / "webui.db")) as database:
            rows = database.execute("SELECT file_id FROM chat_file WHERE chat_id = ?", (chat_id,))
            return [file_id for (file_id,) in rows]

    return await asyncio.to_thread(ask_database)
