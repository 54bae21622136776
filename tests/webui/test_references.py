"""Which pictures of a chat a call means, and in what size they are worked on; room 9's words and room 8's numbers."""

import base64
import sys
import time
import types
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

import comfyui_tool as tool

FOX, OWL, CAT = (str(uuid.uuid4()) for _ in range(3))
PICTURES = [FOX, OWL, CAT]
PIXEL = "data:image/png;base64," + base64.b64encode(b"not read here").decode()


# --- words for pictures ---


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("1", [FOX]),
        ("3", [CAT]),
        ("#2", [OWL]),
        ("2.0", [OWL]),
        ("picture 2", [OWL]),
        ("Image 2", [OWL]),
        ("the image 2", [OWL]),
        ("first", [FOX]),
        ("the first one", [FOX]),
        ("second picture", [OWL]),
        ("last", [CAT]),
        ("Latest", [CAT]),
        ("the newest", [CAT]),
        ("the last one", [CAT]),
        ("last image", [CAT]),
        ("last 2", [OWL, CAT]),
        ("the last 2 pictures", [OWL, CAT]),
        ("the last two", [OWL, CAT]),
        ("last 3", PICTURES),
    ],
)
def test_words_and_numbers_mean_pictures_in_the_order_of_the_chat(words: str, meant: list[str]) -> None:
    assert tool.pick_pictures(words, PICTURES) == meant


@pytest.mark.parametrize("words", ["0", "4", "last 4", "last 0", "fourth", "99999"])
def test_a_number_that_the_chat_does_not_have_is_refused_with_those_that_it_has(words: str) -> None:
    with pytest.raises(tool.BadArgument) as refused:
        tool.pick_pictures(words, PICTURES)
    assert refused.value.message == f'There is no "{words}" in this chat: it has 3 pictures.'
    assert refused.value.hint == "Give a number from 1 to 3."


@pytest.mark.parametrize("words", ["fox.png", "https://example.com/fox.png", "../../etc/passwd", "the red one", "-1"])
def test_what_is_no_picture_of_the_chat_is_refused_with_what_would_be(words: str) -> None:
    with pytest.raises(tool.BadArgument) as refused:
        tool.pick_pictures(words, PICTURES)
    assert "is no picture of this chat" in refused.value.message
    assert '"last 2"' in refused.value.hint


def test_in_a_chat_without_pictures_none_is_invented() -> None:
    with pytest.raises(tool.BadArgument, match="There is no picture in this chat"):
        tool.pick_pictures("last", [])


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, []),
        ("", []),
        ([], []),
        (["auto", ""], []),
        ("last", ["last"]),
        (["1", "2"], ["1", "2"]),
        ([1, 2], ["1", "2"]),
        (2, ["2"]),
        (2.0, ["2.0"]),
        ("1, 2", ["1", "2"]),
        ('["1", 2]', ["1", "2"]),
        (f"{FOX},{OWL}", [FOX, OWL]),
        (["last 2"], ["last 2"]),
        (PIXEL, [PIXEL]),
    ],
)
def test_pictures_are_given_as_a_list_a_text_or_a_list_in_a_text(value: Any, read: list[str]) -> None:
    assert tool.read_references(value) == read


@pytest.mark.parametrize("value", [{"id": FOX}, [{"id": FOX}], [None], True, [["1"]]])
def test_anything_else_names_no_pictures(value: Any) -> None:
    with pytest.raises(tool.BadArgument, match="The argument images is"):
        tool.read_references(value)


HOSTILE = {
    "spaces": " " * 300_000 + "x",
    "addresses": f"/api/v1/files/{uuid.uuid4()}/content/" * 10_000 + " ",
    "brackets": "![" * 300_000,
    "links": "![](a" * 100_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_takes_long_to_be_read(text: str) -> None:
    began = time.perf_counter()
    tool.read_references(text)
    tool.ChatFile.of({"type": "image", "url": text})
    tool.SHOWN_FILE.findall(text)
    assert time.perf_counter() - began < 1


async def test_what_is_no_picture_is_told_by_the_name_of_its_argument() -> None:
    with pytest.raises(tool.BadArgument, match="The argument image is"):
        await tool.Chat().input_files(True, name="image")


# --- what of a message is a picture ---


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


def picture(name: str) -> dict[str, Any]:
    return {"type": "image", "id": name, "url": f"/api/v1/files/{name}/content"}


async def references(*messages: dict[str, Any], chat_id: str = "", **about: Any) -> list[str]:
    chat = tool.Chat(chat_id=chat_id, message_id="m", messages=messages, metadata=about)
    return [file.reference for file in await chat.media()]


async def test_a_program_without_a_chat_has_the_pictures_that_it_sends() -> None:
    said = [user(PIXEL), {"role": "assistant", "content": "A fox"}, user(FOX), {"role": "user", "content": "Edit it"}]
    assert await references(*said) == [PIXEL, FOX]


async def test_what_open_webui_shows_the_model_of_a_tool_is_no_picture_of_the_user() -> None:
    shown = user(PIXEL, text="Here are the images from the tool results above. Please analyze them.")
    assert await references(user(FOX), shown) == [FOX]


async def test_in_a_temporary_chat_what_was_made_stands_between_what_was_attached() -> None:
    tool.ELSEWHERE["temporary:t"] = {
        "a": tool.Passing(1, (picture(OWL),)),
        "m": tool.Passing(2, (picture(CAT),)),
    }
    try:
        said = [user(FOX), {"role": "assistant", "content": "An owl"}, user(PIXEL)]
        assert await references(*said, chat_id="temporary:t") == [FOX, OWL, PIXEL, CAT]
        assert await references(*said, chat_id="temporary:other") == [FOX, PIXEL]
    finally:
        del tool.ELSEWHERE["temporary:t"]


async def test_in_a_temporary_chat_an_answer_that_was_made_anew_has_only_its_own_pictures() -> None:
    tool.ELSEWHERE["temporary:t"] = {
        "discarded": tool.Passing(1, (picture(OWL),)),
        "kept": tool.Passing(1, (picture(CAT),)),
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
            await chat._attach([picture(str(uuid.uuid4()))])
        assert list(tool.ELSEWHERE["channel:c"]) == ["m6", "m7", "m8"]
    finally:
        del tool.ELSEWHERE["channel:c"]


async def test_a_message_whose_pictures_the_model_cannot_see_has_them_in_its_files() -> None:
    hidden = {"files": [{"type": "image", "url": FOX}]}
    assert await references({"role": "user", "content": "Edit it"}, user_message=hidden) == [FOX]


# --- chats that are in the database ---


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, dict[str, Any]]]:
    """The messages of a saved chat as Open WebUI 0.9.6 tells them: files that were just added to a message are in the
    chat, and not yet in the map of its messages."""
    told: dict[str, dict[str, Any]] = {}

    class Chats:
        @staticmethod
        async def get_messages_map_by_chat_id(_chat_id: str) -> dict[str, Any]:
            return {key: {**row, "files": row.get("told", row.get("files"))} for key, row in told.items()}

        @staticmethod
        async def get_message_by_id_and_message_id(_chat_id: str, message_id: str) -> dict[str, Any]:
            return told.get(message_id, {})

    for name in ("open_webui", "open_webui.models", "open_webui.models.chats"):
        module = types.ModuleType(name)
        module.__dict__["Chats"] = Chats
        monkeypatch.setitem(sys.modules, name, module)
    yield told


async def test_what_was_just_stored_with_a_message_is_in_the_chat(rows: dict[str, dict[str, Any]]) -> None:
    rows["q"] = {"role": "user", "files": [picture(FOX)]}
    rows["m"] = {"role": "assistant", "parentId": "q", "files": [picture(OWL)], "told": []}
    asked = {"user_message": {"files": [{"type": "image", "url": FOX}]}}
    assert await references(chat_id="saved", **asked) == [FOX, OWL]
    chat = tool.Chat(chat_id="saved", message_id="m", metadata=asked)
    assert await chat.numbers([picture(OWL)]) == {OWL: 2}


async def test_a_video_that_an_answer_shows_as_a_picture_is_none(rows: dict[str, dict[str, Any]]) -> None:
    video = {"type": "file", "id": OWL, "content_type": "video/mp4"}
    shown = f"Here it is: ![clip](/api/v1/files/{OWL}/content) from ![photo](/api/v1/files/{FOX}/content)"
    rows["q"] = {"role": "user", "files": [picture(FOX)]}
    rows["a"] = {"role": "assistant", "parentId": "q", "files": [video], "content": shown}
    rows["m"] = {"role": "assistant", "parentId": "a", "files": []}
    media = await tool.Chat(chat_id="saved", message_id="m").media()
    assert [(file.kind, file.reference) for file in media] == [("image", FOX), ("video", OWL)]


async def test_a_mask_is_one_picture() -> None:
    chat = tool.Chat(messages=[user(FOX, OWL)])
    with pytest.raises(tool.BadArgument, match="The argument mask names several pictures"):
        await chat.mask(["1", "2"], tool.InputFile(b"", "png"))


# --- what a model can see ---


@pytest.mark.parametrize(
    ("metadata", "seen"),
    [
        ({}, True),
        ({"model": {"info": {"meta": {"capabilities": {"vision": True}}}}}, True),
        ({"model": {"info": {"meta": {"capabilities": {"vision": False}}}}}, False),
        ({"model": {"info": None}, "params": {"function_calling": "native"}}, True),
        ({"params": {"function_calling": "legacy"}}, False),
    ],
)
def test_a_model_sees_pictures_only_with_vision_and_native_calls_where_open_webui_takes_them(
    metadata: dict[str, Any], seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = types.ModuleType("middleware")
    monkeypatch.setitem(sys.modules, "open_webui.utils.middleware", older)
    assert not tool.Chat(metadata=metadata).seen_by_model
    monkeypatch.setattr(older, "extract_base64_images", lambda: None, raising=False)
    assert tool.Chat(metadata=metadata).seen_by_model == seen


# --- sizes ---


@pytest.mark.parametrize(
    ("picture", "megapixels", "most", "worked_in"),
    [
        ((1024, 1024), 1.05, 4.2, (1024, 1024)),
        ((1216, 832), 1.05, 4.2, (1216, 832)),
        ((512, 512), 1.05, 4.2, (512, 512)),
        ((640, 480), 1.05, 4.2, (640, 480)),
        ((1000, 750), 1.05, 4.2, (992, 752)),
        ((1920, 1080), 1.05, 4.2, (1360, 768)),
        ((4032, 3024), 1.05, 4.2, (1184, 880)),
        ((256, 256), 1.05, 4.2, (1024, 1024)),
        ((512, 512), 0.26, 4.2, (512, 512)),
        ((1024, 1024), 1.05, 0.5, (704, 704)),
        ((4000, 20), 1.05, 4.2, (14496, 80)),
    ],
)
def test_a_picture_keeps_its_size_where_the_model_can_and_its_proportions_elsewhere(
    picture: tuple[int, int], megapixels: float, most: float, worked_in: tuple[int, int]
) -> None:
    fitted = tool.followed(tool.Size(*picture), megapixels, most)
    assert (fitted.width, fitted.height) == worked_in
    assert fitted.megapixels <= most


@pytest.mark.parametrize(("picture", "most"), [((2159, 859), 1.05), ((6961, 7793), 1.05), ((1000, 1048), 1.05)])
def test_a_followed_size_is_never_rounded_above_what_is_allowed(picture: tuple[int, int], most: float) -> None:
    assert tool.followed(tool.Size(*picture), 1.05, most).megapixels <= most
