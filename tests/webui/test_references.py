"""The words with which a model names pictures of the chat: how they are read, and which pictures they mean."""

import base64
import time
import uuid
from typing import Any

import pytest

import comfyui_tool as tool

# Not random: they stand in the names of tests, which have to be the same in every process.
FOX, OWL, CAT = (str(uuid.UUID(int=number)) for number in (1, 2, 3))

PICTURES = [FOX, OWL, CAT]
PIXEL = "data:image/png;base64," + base64.b64encode(b"not read here").decode()


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
    assert "is not a picture of this chat" in refused.value.message
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
    began = time.process_time()
    tool.read_references(text)
    tool.ChatFile.of({"type": "image", "url": text})
    tool.SHOWN_FILE.findall(text)
    assert time.process_time() - began < 1
