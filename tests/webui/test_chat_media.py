"""Which pictures, videos and sounds a chat holds, and in which order: a chat in the database, a temporary one, a
channel, and what a program sends without a chat."""

import base64
import sys
import types
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

import comfyui_tool as tool

FOX, OWL, CAT = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
PIXEL = "data:image/png;base64," + base64.b64encode(b"not read here").decode()


# --- one item of a message ---


@pytest.mark.parametrize(
    ("item", "found"),
    [
        ({"type": "image", "url": FOX}, ("image", FOX)),
        ({"type": "image", "id": FOX, "url": f"/api/v1/files/{FOX}/content"}, ("image", FOX)),
        ({"type": "image", "url": f"/api/v1/files/{FOX}/content"}, ("image", FOX)),
        ({"type": "image", "url": f"http://webui.lan/api/v1/files/{FOX}/content"}, ("image", FOX)),
        ({"type": "image", "url": PIXEL}, ("image", PIXEL)),
        ({"type": "file", "id": FOX, "content_type": "image/png"}, ("image", FOX)),
        ({"type": "file", "id": FOX, "file": {"meta": {"content_type": "video/mp4"}}}, ("video", FOX)),
        ({"type": "file", "id": FOX, "name": "song.mp3"}, ("audio", FOX)),
        ({"type": "file", "id": FOX, "name": "report.pdf"}, None),
        ({"type": "image", "url": "https://example.com/fox.png"}, None),
        ({"type": "image"}, None),
        ({"type": "collection", "id": FOX}, None),
        ("fox", None),
        (None, None),
    ],
)
def test_an_item_of_a_message_is_told_by_what_it_says_of_itself(item: Any, found: tuple[str, str] | None) -> None:
    file = tool.ChatFile.of(item)
    assert (file and (file.kind, file.reference)) == found


# --- chats that are in no database ---


def user(*urls: str, text: str = "Look") -> dict[str, Any]:
    parts = [{"type": "text", "text": text}, *({"type": "image_url", "image_url": {"url": url}} for url in urls)]
    return {"role": "user", "content": parts}


def file_item(name: str) -> dict[str, Any]:
    return {"type": "image", "id": name, "url": f"/api/v1/files/{name}/content"}


async def references(*messages: dict[str, Any], chat_id: str = "", **about: Any) -> list[str]:
    chat = tool.Chat(chat_id=chat_id, message_id="m", messages=messages, metadata=about)
    return [file.reference for file in await chat.media()]


async def test_a_program_without_a_chat_has_the_pictures_that_it_sends() -> None:
    said = [user(PIXEL), {"role": "assistant", "content": "A fox"}, user(FOX), {"role": "user", "content": "Edit it"}]
    assert await references(*said) == [PIXEL, FOX]


async def test_what_open_webui_shows_the_model_of_a_tool_is_not_a_picture_of_the_user() -> None:
    shown = user(PIXEL, text="Here are the images from the tool results above. Please analyze them.")
    assert await references(user(FOX), shown) == [FOX]


async def test_in_a_temporary_chat_what_was_made_stands_between_what_was_attached() -> None:
    tool.ELSEWHERE["temporary:t"] = {
        "a": tool.UnsavedMessage(1, (file_item(OWL),)),
        "m": tool.UnsavedMessage(2, (file_item(CAT),)),
    }
    try:
        said = [user(FOX), {"role": "assistant", "content": "An owl"}, user(PIXEL)]
        assert await references(*said, chat_id="temporary:t") == [FOX, OWL, PIXEL, CAT]
        assert await references(*said, chat_id="temporary:other") == [FOX, PIXEL]
    finally:
        del tool.ELSEWHERE["temporary:t"]


async def test_in_a_temporary_chat_an_answer_that_was_made_anew_has_only_its_own_pictures() -> None:
    tool.ELSEWHERE["temporary:t"] = {
        "discarded": tool.UnsavedMessage(1, (file_item(OWL),)),
        "kept": tool.UnsavedMessage(1, (file_item(CAT),)),
    }
    try:
        assert await references(user(FOX), chat_id="temporary:t") == [FOX], "an answer of its own, that has nothing yet"
        result = {"role": "tool", "content": f'{{"images": [{{"number": 2, "id": "{CAT}"}}]}}'}
        assert await references(user(FOX), result, user(), chat_id="temporary:t") == [FOX, CAT]
        legacy = [user(FOX), {"role": "assistant", "content": "A cat"}, user()]
        assert await references(*legacy, chat_id="temporary:t") == [FOX, OWL, CAT], "nothing tells which it was"
    finally:
        del tool.ELSEWHERE["temporary:t"]


async def test_a_picture_that_is_sent_again_is_the_newest_again() -> None:
    said = [user(PIXEL), {"role": "assistant", "content": "An owl"}, user(FOX), user(PIXEL)]
    assert await references(*said) == [PIXEL, FOX, PIXEL]


async def test_what_is_remembered_of_a_channel_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "REMEMBERED_MESSAGES", 3)
    try:
        for number in range(9):
            chat = tool.Chat(chat_id="channel:c", message_id=f"m{number}")
            await chat._attach([file_item(str(uuid.uuid4()))])
        assert list(tool.ELSEWHERE["channel:c"]) == ["m6", "m7", "m8"]
    finally:
        del tool.ELSEWHERE["channel:c"]


async def test_a_message_whose_pictures_the_model_cannot_see_has_them_in_its_files() -> None:
    hidden = {"files": [{"type": "image", "url": FOX}]}
    assert await references({"role": "user", "content": "Edit it"}, user_message=hidden) == [FOX]


# --- chats that are in the database ---


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, dict[str, Any]]]:
    """The messages of a saved chat as Open WebUI 0.11.4 tells them: files that were just added to a message are in the
    chat as a whole, and not yet in its messages."""
    told: dict[str, dict[str, Any]] = {}

    class Chats:
        @staticmethod
        async def get_messages_map_by_chat_id(_chat_id: str) -> dict[str, Any]:
            return {key: {**row, "files": row.get("told", row.get("files"))} for key, row in told.items()}

        @staticmethod
        async def get_chat_by_id(_chat_id: str) -> Any:
            return types.SimpleNamespace(chat={"history": {"messages": told}})

    for name in ("open_webui", "open_webui.models", "open_webui.models.chats"):
        module = types.ModuleType(name)
        module.__dict__.update(Chats=Chats, env=types.SimpleNamespace(VERSION="0.11.4"))
        monkeypatch.setitem(sys.modules, name, module)
    yield told


async def test_what_was_just_stored_with_a_message_is_in_the_chat(rows: dict[str, dict[str, Any]]) -> None:
    rows["q"] = {"role": "user", "files": [file_item(FOX)]}
    rows["m"] = {"role": "assistant", "parentId": "q", "files": [file_item(OWL)], "told": []}
    asked = {"user_message": {"files": [{"type": "image", "url": FOX}]}}
    assert await references(chat_id="saved", **asked) == [FOX, OWL]
    chat = tool.Chat(chat_id="saved", message_id="m", metadata=asked)
    assert await chat.numbers([file_item(OWL)]) == {OWL: 2}


async def test_a_video_that_an_answer_shows_as_a_picture_is_still_a_video(rows: dict[str, dict[str, Any]]) -> None:
    video = {"type": "file", "id": OWL, "content_type": "video/mp4"}
    shown = f"Here it is: ![clip](/api/v1/files/{OWL}/content) from ![photo](/api/v1/files/{FOX}/content)"
    rows["q"] = {"role": "user", "files": [file_item(FOX)]}
    rows["a"] = {"role": "assistant", "parentId": "q", "files": [video], "content": shown}
    rows["m"] = {"role": "assistant", "parentId": "a", "files": []}
    media = await tool.Chat(chat_id="saved", message_id="m").media()
    assert [(file.kind, file.reference) for file in media] == [("image", FOX), ("video", OWL)]


# --- what a call makes of them ---


async def test_a_mask_is_one_picture() -> None:
    chat = tool.Chat(messages=[user(FOX, OWL)])
    with pytest.raises(tool.BadArgument, match="The argument mask names several pictures"):
        await tool.given_pictures(chat, None, ["1", "2"])


async def test_what_does_not_name_a_picture_is_refused_by_the_name_of_its_argument() -> None:
    for images, mask, name in ((True, None, "images"), (None, {"id": True}, "mask")):
        with pytest.raises(tool.BadArgument, match=f"The argument {name} is"):
            await tool.given_pictures(tool.Chat(), images, mask)
