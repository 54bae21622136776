"""Sizes as people and models write them, before anything is known of the workflow that takes them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import comfyui_tool as tool


def read(value: Any) -> tool.AskedSize:
    return tool.read_size(tool.Argument(value, "The argument size"))


@pytest.mark.parametrize(
    ("value", "width", "height"),
    [
        ("1216x832", 1216, 832),
        ("1216 × 832", 1216, 832),
        ("640 by 480 px", 640, 480),
        ("2048x2048px", 2048, 2048),
        ("1024px x 768px", 1024, 768),
        ("1024*768", 1024, 768),
        ("1024,768", 1024, 768),
        ("1024, 768", 1024, 768),
        ("1024 768", 1024, 768),
        ("１０２４ｘ７６８", 1024, 768),
        ('"1024x768"', 1024, 768),
        ("768", 768, 768),
        (768, 768, 768),
        (768.0, 768, 768),
        ([1024, 768], 1024, 768),
        (["1024", "768"], 1024, 768),
        ("[1024, 768]", 1024, 768),
        ([512], 512, 512),
        ({"width": 1024, "height": 768}, 1024, 768),
        ({"w": "1024px", "h": "768px"}, 1024, 768),
        ({"Width": 1024.0, "Height": 768.0}, 1024, 768),
        ('{"width": 1024, "height": 768}', 1024, 768),
        ({"size": "1024x768"}, 1024, 768),
        ("width 1024, height 768", 1024, 768),
        ("width=1024 height=768", 1024, 768),
        ("1024 wide 768 high", 1024, 768),
        ("Breite 1024 Höhe 768", 1024, 768),
        ("가로 1024 세로 768", 1024, 768),
        ("16:9 1920x1080", 1920, 1080),
        ("landscape 1024x768", 1024, 768),
        ("4k (3840x2160)", 3840, 2160),
        ("1080p portrait", 1080, 1920),
        ("720p 16:9", 1280, 720),
        ("1080p square", 1080, 1080),
        ("縦長 1080p", 1080, 1920),
    ],
)
def test_pixels_are_exactly_those_that_were_said(value: Any, width: int, height: int) -> None:
    assert read(value) == tool.AskedSize(tool.Size(width, height))


@pytest.mark.parametrize(
    ("value", "pixels"),
    [
        ("1080p", "1920x1080"),
        ("720P", "1280x720"),
        ("480p", "854x480"),
        ("HD", "1280x720"),
        ("Full HD", "1920x1080"),
        ("4k", "3840x2160"),
        ("in 4k resolution", "3840x2160"),
        ({"resolution": "1080p"}, "1920x1080"),
    ],
)
def test_a_screen_names_pixels_that_a_picture_may_have_in_its_own_proportions(value: Any, pixels: str) -> None:
    asked = read(value)
    assert (str(asked.pixels), asked.named) == (pixels, True)


@pytest.mark.parametrize(
    ("value", "ratio", "megapixels"),
    [
        ("16:9", (16, 9), None),
        ("16：9", (16, 9), None),
        ("16∶9", (16, 9), None),
        ("9/16", (9, 16), None),
        ("16x9", (16, 9), None),
        ("2.35:1", (2.35, 1), None),
        ("16対9", (16, 9), None),
        ("16比9", (16, 9), None),
        ("16 zu 9", (16, 9), None),
        ([16, 9], (16, 9), None),
        ("1.78", (1.78, 1), None),
        ({"aspect_ratio": "16:9"}, (16, 9), None),
        ("aspect ratio 16:9", (16, 9), None),
        ("portrait 3:4", (3, 4), None),
        ("2 megapixels", None, 2),
        ("2MP", None, 2),
        ("0,5 MP", None, 0.5),
        ("16:9 2MP", (16, 9), 2),
        ("2 megapixels, 16:9", (16, 9), 2),
        ("portrait 2 MP", (2, 3), 2),
        ({"aspect_ratio": "16:9", "megapixels": 2}, (16, 9), 2),
    ],
)
def test_proportions_and_megapixels_go_alone_or_together(
    value: Any, ratio: tuple[float, float] | None, megapixels: float | None
) -> None:
    assert read(value) == tool.AskedSize(None, ratio, megapixels)


@pytest.mark.parametrize(
    ("words", "ratio"),
    [
        (["square", "quadratisch", "cuadrado", "carré", "quadrado", "quadrato", "正方形", "정사각형", "方形"], (1, 1)),
        (
            ["portrait", "Hochformat", "vertical", "retrato", "verticale", "縦長", "縦", "세로형", "세로", "竖版"],
            (2, 3),
        ),
        (["landscape", "Querformat", "paisaje", "paysage", "paisagem", "orizzontale", "横長", "가로", "横版"], (3, 2)),
        (
            ["horizontal", "en horizontal", "im Querformat", "landscape mode", "formato horizontal", "横長の画像"],
            (3, 2),
        ),
        (["wide", "widescreen", "Breitbild", "panorámico", "ワイド", "와이드", "宽屏"], (16, 9)),
        (["tall", "phone", "Instagram story"], (9, 16)),
        (["wallpaper", "Größe 16:9"], (16, 9)),
        (["A4", "a4 format"], (210, 297)),
    ],
)
def test_words_for_formats_are_known_in_nine_languages(words: list[str], ratio: tuple[float, float]) -> None:
    assert {word: read(word).ratio for word in words} == dict.fromkeys(words, ratio)


@pytest.mark.parametrize("value", ["auto", "", "none", "Default", None])
def test_what_leaves_it_open_says_nothing(value: Any) -> None:
    wanted = None if value is None else tool.Argument(value, "size")
    assert tool.read_size(wanted) == tool.AskedSize()


@pytest.mark.parametrize(
    "value",
    [
        *("big", "12:", "0:5", "0x0", "0", "1", "1:100", "x512", "-5x5", "1024x", "16:9:4", "large landscape"),
        *("1:1 1920x1080", "portrait 16:9", "4k 1080p", "2MP 4096x4096", "0 MP", "9999 megapixels"),
        *(True, [], {}, {"a": 1}, {"width": 512}, [1, 2, 3], [[512, 512]], [None, 512], {"width": [1], "height": 2}),
    ],
    ids=str,
)
def test_what_is_not_a_size_is_refused_with_what_would_do(value: Any) -> None:
    with pytest.raises(tool.BadArgument) as error:
        read(value)
    assert str(value) in error.value.message
    assert ":" in error.value.hint


@pytest.mark.parametrize(
    ("asked", "choice", "same"),
    [
        ("16:9", "16:9", True),
        ("wide", "16:9", True),
        ("16:9", "16:9 (landscape)", True),
        ("square", "1:1", True),
        ("16:9", "9:16", False),
        ("16:9", "auto", False),
        ("720p", "720p", True),
        ("720p", "1280x720", True),
        ("1080p", "720p", False),
        ("16:9", "1280x720", False),
        ("16:9", 7, False),
    ],
)
def test_a_nodes_choice_may_say_the_same_size(asked: str, choice: Any, same: bool) -> None:
    assert tool.says_same_size(read(asked), choice) == same


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["width", "height", "size", "megapixels", "x"]), inner)
    ),
    max_leaves=6,
)
WORDS = st.lists(st.sampled_from(["16", ":", "9", "x", "1080p", "4k", "2", "mp", "wide", "縦", ",", "0", "."]))


@given(JSON | WORDS.map("".join) | WORDS.map(" ".join))
def test_any_value_is_a_size_or_refused(value: Any) -> None:
    try:
        asked = read(value)
    except tool.BadArgument as refused:
        assert refused.hint
    else:
        assert asked.pixels is None or min(asked.pixels.width, asked.pixels.height) > 0
        assert asked.ratio is None or min(asked.ratio) > 0
