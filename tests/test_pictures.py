"""Which pictures of a chat a call means, and in what size they are worked on; room 9's words and room 8's numbers."""

import base64
import uuid
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
        "b": tool.Passing(2, (picture(CAT),)),
    }
    try:
        said = [user(FOX), {"role": "assistant", "content": "An owl"}, user(PIXEL)]
        assert await references(*said, chat_id="temporary:t") == [FOX, OWL, PIXEL, CAT]
        assert await references(*said, chat_id="temporary:other") == [FOX, PIXEL]
    finally:
        del tool.ELSEWHERE["temporary:t"]


async def test_a_message_whose_pictures_the_model_cannot_see_has_them_in_its_files() -> None:
    hidden = {"files": [{"type": "image", "url": FOX}]}
    assert await references({"role": "user", "content": "Edit it"}, user_message=hidden) == [FOX]


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
