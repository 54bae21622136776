"""What a call leaves in the message of a saved chat: written at its end in one change of the chat, with nothing of it
lost, and told to the model where it could not be written."""

import asyncio
import copy
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.watching import Page

FOX, OWL = "5f0c0000-0000-4000-8000-000000000001", "5f0c0000-0000-4000-8000-000000000002"
OF_OTHERS = "<p>of another tool</p>"


def item(file_id: str) -> dict[str, Any]:
    return {"type": "image", "id": file_id, "url": f"/api/v1/files/{file_id}/content", "name": "a.png"}


class Database:
    """The chat "c" of an Open WebUI with its message "m", to which reading and writing take a moment."""

    def __init__(self) -> None:
        self.message: dict[str, Any] = {"id": "m", "role": "assistant", "content": ""}
        self.changes: list[dict[str, Any]] = []
        self.linked: list[str] = []
        self.broken = False

    async def get_message_by_id_and_message_id(self, _chat_id: str, _message_id: str) -> dict[str, Any]:
        message = copy.deepcopy(self.message)
        await asyncio.sleep(0.01)
        return message

    async def get_messages_map_by_chat_id(self, _chat_id: str) -> dict[str, Any]:
        return {"m": copy.deepcopy(self.message)}

    async def upsert_message_to_chat_by_id_and_message_id(self, _chat: str, _message: str, changes: Any) -> Any:
        await asyncio.sleep(0.01)
        if self.broken:
            return None
        self.changes.append(changes)
        self.message |= changes
        return self

    async def insert_chat_files(self, _chat: str, _message: str, ids: list[str], _user: str) -> None:
        self.linked += ids


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, page: Page) -> Iterator[Database]:
    made = Database()

    async def emitter(_about: Any, update_db: bool = True) -> Page:
        assert not update_db
        return page

    about = {"Chats": made, "env": types.SimpleNamespace(VERSION="0.12.4"), "get_event_emitter": emitter}
    for name in ("open_webui", "open_webui.models", "open_webui.models.chats", "open_webui.socket.main"):
        module = types.ModuleType(name)
        module.__dict__.update(about)
        monkeypatch.setitem(sys.modules, name, module)
    yield made


def chat_of(page: Page) -> tool.Chat:
    return tool.Chat(user={"id": "bob"}, chat_id="c", message_id="m", emit=page)


async def showing(chat: tool.Chat, file_id: str) -> dict[str, Any]:
    """A call that shows a file and buttons."""

    async def work(_: tool.Display) -> tuple[dict[str, Any], str]:
        await chat.show_again([item(file_id)])
        await chat.show_buttons(f"<p {tool.BUTTONS_MARK}>{file_id}</p>")
        return {"status": "done", "note": "The user sees it already."}, f"Done {file_id}"

    return await chat.answer(work)


async def test_files_buttons_and_status_are_one_change_of_the_chat(database: Database, page: Page) -> None:
    database.message |= {"embeds": [OF_OTHERS], "statusHistory": [{"description": "Searched", "done": True}]}
    await showing(chat_of(page), FOX)
    (changes,) = database.changes
    assert changes["files"] == [item(FOX)]
    assert changes["embeds"] == [OF_OTHERS, f"<p {tool.BUTTONS_MARK}>{FOX}</p>"]
    assert [status["description"] for status in changes["statusHistory"]] == ["Searched", f"Done {FOX}"]
    assert database.linked == [FOX]
    assert [kind for _, kind, _ in page.events] == ["chat:message:files", "embeds", "status"]


async def test_calls_of_one_message_at_the_same_time_keep_what_the_others_wrote(database: Database, page: Page) -> None:
    await asyncio.gather(showing(chat_of(page), FOX), showing(chat_of(page), OWL))
    assert {file["id"] for file in database.message["files"]} == {FOX, OWL}
    assert {status["description"] for status in database.message["statusHistory"]} == {f"Done {FOX}", f"Done {OWL}"}


async def test_what_was_shown_before_a_stop_is_written_with_the_last_status(database: Database, page: Page) -> None:
    chat = chat_of(page)

    async def work(_: tool.Display) -> tuple[dict[str, Any], str]:
        await chat.show_again([item(FOX)])
        await asyncio.sleep(3600)
        return {}, ""

    call = asyncio.create_task(chat.answer(work))
    await asyncio.sleep(0.5)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert database.message["files"] == [item(FOX)]
    assert database.message["statusHistory"] == [{"description": "Stopped", "done": True}]


async def test_a_file_that_the_message_shows_already_is_in_it_once(database: Database, page: Page) -> None:
    await showing(chat_of(page), FOX)
    await showing(chat_of(page), FOX)
    assert database.message["files"] == [item(FOX)]


async def test_where_the_message_could_not_be_written_the_model_gets_the_addresses(
    database: Database, page: Page
) -> None:
    database.broken = True
    answer = await showing(chat_of(page), FOX)
    assert answer == {"status": "done", "note": tool.NOT_WRITTEN, "addresses": [item(FOX)["url"]]}


async def test_a_message_that_is_gone_is_not_made_anew(database: Database, page: Page) -> None:
    database.message = {}
    answer = await showing(chat_of(page), FOX)
    assert database.changes == []
    assert answer["addresses"] == [item(FOX)["url"]]
