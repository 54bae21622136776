"""The words with which a model names pictures of the chat: how they are read, and which pictures they mean."""

import base64
import time
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import comfyui_tool as tool

# Not random: they stand in the names of tests, which have to be the same in every process.
FOX, OWL, CAT = (str(uuid.UUID(int=number)) for number in (1, 2, 3))

PIXEL = "data:image/png;base64," + base64.b64encode(b"not read here").decode()


def chat_of(*names: str) -> list[tool.ChatFile]:
    """The pictures of a chat: each name is one that the user sent with a message, a name with a star one of an
    answer."""
    pictures = []
    turn = 0
    for name in names:
        attached = not name.endswith("*")
        turn += attached
        pictures.append(tool.ChatFile("image", FOX, name.rstrip("*"), turn, attached))
    return pictures


THREE = chat_of("fox.png", "an owl, at night.png", "a-cat-7.png*")


# --- which pictures words mean ---


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("1", [1]),
        ("3", [3]),
        ("#2", [2]),
        ("2.0", [2]),
        ("picture 2", [2]),
        ("Image 2", [2]),
        ("the image 2", [2]),
        ("image two", [2]),
        ("image #2", [2]),
        ("image2", [2]),
        ("img_2", [2]),
        ("picture-2.png", [2]),
        ("'2'", [2]),
        ("２", [2]),
        ("first", [1]),
        ("the first one", [1]),
        ("second picture", [2]),
        ("the 3rd image", [3]),
        ("last", [3]),
        ("Latest", [3]),
        ("the newest", [3]),
        ("the most recent image", [3]),
        ("the last one", [3]),
        ("last image", [3]),
        ("previous", [3]),
        ("-1", [3]),
        ("the picture", [3]),
        ("it", [3]),
        ("second to last", [2]),
        ("last 2", [2, 3]),
        ("the last 2 pictures", [2, 3]),
        ("the last two", [2, 3]),
        ("last 3", [1, 2, 3]),
        ("all", [1, 2, 3]),
        ("all of them", [1, 2, 3]),
        ("every picture", [1, 2, 3]),
        ("both", [2, 3]),
        ("both images", [2, 3]),
        ("1-3", [1, 2, 3]),
        ("2 to 3", [2, 3]),
        ("the attached image", [2]),
        ("original", [2]),
        ("my photo", [2]),
        ("user_upload", [2]),
        ("mein Bild", [2]),
        ("the oldest", [1]),
        ("fox.png", [1]),
        ("Fox.PNG", [1]),
        ("fox", [1]),
        ("/mnt/data/fox.png", [1]),
        ("an owl, at night.png", [2]),
        ("a-cat-7", [3]),
        ("das zweite Bild", [2]),
        ("die letzten zwei Bilder", [2, 3]),
        ("la última imagen", [3]),
        ("les deux dernières", [2, 3]),
        ("la troisième image", [3]),
        ("a segunda imagem", [2]),
        ("tutte", [1, 2, 3]),
        ("最後の画像", [3]),
        ("2枚目の写真", [2]),
        ("最後の2枚", [2, 3]),
        ("第2张图片", [2]),
        ("全部", [1, 2, 3]),
        ("두 번째 이미지", [2]),
        ("마지막 사진", [3]),
    ],
)
def test_words_numbers_and_names_mean_pictures_of_the_chat(words: str, meant: list[int]) -> None:
    assert tool.pick_pictures(words, THREE) == meant


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1", ["1"]),
        ("1, 2", ["1", "2"]),
        ("1 and 3", ["1", "3"]),
        ("1, 2, and 3", ["1", "2", "3"]),
        ("1 & 3", ["1", "3"]),
        ("1 und 3", ["1", "3"]),
        ("1 3", ["1", "3"]),
        ("1と3", ["1", "3"]),
        ("the first and the last", ["the first", "the last"]),
        ("fox.png, 3", ["fox.png", "3"]),
        ("an owl, at night.png", ["an owl, at night.png"]),
        ("last two", ["last two"]),
        (f"{FOX},{OWL}", [FOX, OWL]),
    ],
)
def test_a_text_with_several_is_parted_and_a_name_with_a_comma_is_not(text: str, parts: list[str]) -> None:
    assert tool.split_words(text, THREE) == parts


def test_of_several_with_one_name_the_newest_is_meant_unless_they_came_together() -> None:
    assert tool.pick_pictures("image.png", chat_of("image.png", "fox.png", "image.png")) == [3]
    together = [tool.ChatFile("image", file_id, "image.png", 1, True) for file_id in (FOX, OWL)]
    with pytest.raises(tool.BadArgument) as refused:
        tool.pick_pictures("image.png", together)
    assert refused.value.hint == "There are 2 pictures: 1 image.png, 2 image.png."


@pytest.mark.parametrize("words", ["0", "4", "last 4", "last 0", "fourth", "99999", "3-5"])
def test_a_number_that_the_chat_does_not_have_is_refused_with_what_there_is(words: str) -> None:
    with pytest.raises(tool.BadArgument) as refused:
        tool.pick_pictures(words, THREE)
    assert refused.value.message == f'There is no picture "{words}" in this chat.'
    assert refused.value.hint == "There are 3 pictures: 1 fox.png, 2 an owl, at night.png, 3 a-cat-7.png."


@pytest.mark.parametrize("words", ["dog.png", "../../etc/passwd", "the red one", "1 or 2", "last 2 3"])
def test_what_is_no_picture_of_the_chat_is_refused_with_what_there_is(words: str) -> None:
    with pytest.raises(tool.BadArgument) as refused:
        tool.pick_pictures(words, THREE)
    assert "is not a picture of this chat" in refused.value.message
    assert "3 pictures: 1 fox.png" in refused.value.hint
    assert '"last 2"' in refused.value.hint


def test_a_picture_of_another_address_has_to_be_attached() -> None:
    with pytest.raises(tool.BadArgument) as refused:
        tool.pick_pictures("https://example.com/cat.jpg", chat_of("fox.png"))
    assert "ask the user to attach it" in refused.value.hint
    assert "There is 1 picture: 1 fox.png." in refused.value.hint


def test_of_a_long_chat_the_newest_pictures_are_listed() -> None:
    with pytest.raises(tool.BadArgument) as refused:
        tool.pick_pictures("99", chat_of(*("x.png*" for _ in range(30))))
    assert refused.value.hint.startswith("There are 30 pictures, the newest: 19 x.png, 20 x.png")


def test_in_a_chat_without_pictures_none_is_invented() -> None:
    for words in ("last", "1", "all", "the picture"):
        with pytest.raises(tool.BadArgument, match="There is no picture in this chat"):
            tool.pick_pictures(words, [])


# --- what an argument says ---


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, []),
        ("", []),
        ([], []),
        (["auto", ""], []),
        ("last", ["last"]),
        (["1", "2"], ["1", "2"]),
        (['["1", "2"]', "3"], ["1", "2", "3"]),
        (['[{"id": "x"}]'], ["x"]),
        ([1, 2], ["1", "2"]),
        ([["1"], 2], ["1", "2"]),
        (2, ["2"]),
        (2.0, ["2.0"]),
        ("1 and 2", ["1 and 2"]),
        ('["1", 2]', ["1", "2"]),
        ("['1', '2']", ["1", "2"]),
        (["last 2"], ["last 2"]),
        (PIXEL, [PIXEL]),
        ({"id": FOX}, [FOX]),
        ({"number": 3, "id": FOX, "url": f"/api/v1/files/{FOX}/content"}, [FOX]),
        ({"number": 3}, ["3"]),
        ({"person": "1", "place": 2}, ["1", "2"]),
        ([{"name": "fox.png"}, 2], ["fox.png", "2"]),
        ({"status": "done", "images": [{"number": 1, "id": FOX}, {"number": 2, "id": OWL}]}, [FOX, OWL]),
        ([{"type": "image_url", "image_url": {"url": PIXEL}}], [PIXEL]),
        (f'{{"id": "{FOX}"}}', [FOX]),
        (f"![a fox, red](/api/v1/files/{FOX}/content)", [f"/api/v1/files/{FOX}/content"]),
        (
            f"[fox](http://webui.lan/api/v1/files/{FOX}/content 'a fox')",
            [f"http://webui.lan/api/v1/files/{FOX}/content"],
        ),
        ("![fox](fox.png) and 2", ["fox.png", "and 2"]),
        (f'<file type="image" id="{FOX}" url="/x" name="fox.png"/>', [FOX]),
        (f'<img src="/api/v1/files/{FOX}/content">', [f"/api/v1/files/{FOX}/content"]),
    ],
)
def test_an_argument_names_files_in_any_shape(value: Any, read: list[str]) -> None:
    assert tool.read_references(value) == read


@pytest.mark.parametrize(
    ("text", "files"),
    [
        (FOX, [FOX]),
        (f"/api/v1/files/{FOX}/content", [f"/api/v1/files/{FOX}/content"]),
        (PIXEL, [PIXEL]),
        (f"id: {FOX}", [FOX]),
        (f"image 2 ({FOX})", [FOX]),
        ("image 2", []),
    ],
)
def test_a_text_with_an_id_names_its_file_by_itself(text: str, files: list[str]) -> None:
    assert tool.file_references(text) == files


def test_a_mask_may_be_described() -> None:
    own = ("transparency", "alpha channel", "the transparent part", "Transparenz", "transparent area")
    assert all(tool.OF_IMAGE.fullmatch(tool.plain_words(text)) for text in own)
    assert all(map(tool.SOME_MASK.fullmatch, ("mask", "the mask", "white area", "masked region", "マスク")))
    assert not any(map(tool.SOME_MASK.fullmatch, ("mask.png", "white house", "2")))


@pytest.mark.parametrize("value", [{"a": 1}, [{"colour": "red"}], [None], True, [[[[[[[["1"]]]]]]]], {"id": True}])
def test_anything_else_names_no_pictures(value: Any) -> None:
    with pytest.raises(tool.BadArgument, match="The argument images is"):
        tool.read_references(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "images", "x"]), inner),
    max_leaves=8,
)


@given(JSON)
def test_any_value_names_pictures_or_is_refused(value: Any) -> None:
    try:
        for text in tool.read_references(value):
            for words in tool.split_words(text, THREE):
                assert all(1 <= number <= 3 for number in tool.pick_pictures(words, THREE))
    except tool.BadArgument as refused:
        assert refused.hint


HOSTILE = {
    "spaces": " " * 300_000 + "x",
    "addresses": f"/api/v1/files/{uuid.uuid4()}/content/" * 10_000 + " ",
    "brackets": "![" * 300_000,
    "links": "![](a" * 100_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_takes_long_to_be_read(text: str) -> None:
    began = time.process_time()
    for words in tool.read_references(text[: tool.MOST_ARGUMENT_CHARACTERS]):  # a longer one is refused
        tool.file_references(words)
        tool.split_words(words, [])
    tool.ChatFile.of({"type": "image", "url": text})
    tool.SHOWN_FILE.findall(text)
    assert time.process_time() - began < 1


FILM, SONG = tool.ChatFile("video", FOX, "clip.mp4", 1, True), tool.ChatFile("audio", FOX, "tune.mp3", 2, True)


@pytest.mark.parametrize(
    ("words", "media", "meant"),
    [
        ("last", [FILM], [FILM]),
        ("last", [FILM, SONG], [SONG]),
        ("the last video", [FILM, SONG], [FILM]),
        ("this clip", [*THREE, FILM], [FILM]),
        ("song", [*THREE, SONG, FILM], [SONG]),
        ("video 2", [FILM], []),
        ("the video", [SONG, *THREE], []),
        ("something", [FILM], []),
        ("last", [*THREE, FILM], []),  # where there are pictures, it is one of them
    ],
)
def test_videos_and_sounds_are_meant_by_their_kind_and_where_there_are_no_pictures(
    words: str, media: list[tool.ChatFile], meant: list[tool.ChatFile]
) -> None:
    assert tool.pick_others(words, media) == meant
