"""Sizes as people and models write them, before anything is known of the workflow that takes them."""

import math
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
    ("value", "pixels"),
    [
        ("1200 wide", "1200x800"),
        ("1200px wide", "1200x800"),
        ("width 1200", "1200x800"),
        ("1200w", "1200x800"),
        ("1200x", "1200x800"),
        ({"width": 1200}, "1200x800"),
        ("Breite 1200 px", "1200x800"),
        ("800 px high", "1200x800"),
        ("x800", "1200x800"),
        ({"height": "800"}, "1200x800"),
        ("height 800, width 640", "640x800"),
    ],
)
def test_of_one_side_alone_the_proportions_say_the_other(value: Any, pixels: str) -> None:
    assert str(read(value).pixels_in((3.0, 2.0))) == pixels


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
        ("4:3 portrait", (3, 4), None),
        ("portrait 16:9", (9, 16), None),
        ("1,91:1", (1.91, 1), None),
        (["16:9"], (16, 9), None),
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
        (["A4", "a4 format", "A5"], (1, math.sqrt(2))),
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
        *("big", "12:", "0:5", "0x0", "0", "1", "1:100", "x5", "-5x5", "4x", "16:9:4", "large landscape"),
        *("1:1 1920x1080", "portrait 1:1", "4k 1080p", "2MP 4096x4096", "0 MP", "9999 megapixels", "512 wide 2MP"),
        *(True, [], {}, {"a": 1}, {"width": 5}, [1, 2, 3], [[512, 512], 512], [None, 512], {"width": [1], "height": 2}),
    ],
    ids=str,
)
def test_what_is_not_a_size_is_refused_with_what_would_do(value: Any) -> None:
    with pytest.raises(tool.BadArgument) as error:
        read(value)
    assert str(value) in error.value.message
    assert ":" in error.value.hint


PIXELS = ["704x1408 (0.5)", "832x1216 (0.68)", "1024x1024 (1.0)", "1344x768 (1.75)", "1536x640 (2.4)", "custom"]
RATIOS = ["1:1", "16:9 - Wide", "9:16", "4:3 (Golden)", "auto"]


@pytest.mark.parametrize(
    ("asked", "choices", "nearest", "is_just_that"),
    [
        ("16:9", RATIOS, "16:9 - Wide", True),
        ("wide", RATIOS, "16:9 - Wide", True),
        ("square", RATIOS, "1:1", True),
        ("portrait", RATIOS, "9:16", False),
        ("21:9", RATIOS, "16:9 - Wide", False),
        ("1344x768", RATIOS, "16:9 - Wide", False),
        ("1080p", RATIOS, "16:9 - Wide", True),
        ("1344x768", PIXELS, "1344x768 (1.75)", True),
        ("1340 x 770", PIXELS, "1344x768 (1.75)", False),
        ("16:9", PIXELS, "1344x768 (1.75)", False),
        ("1:1", PIXELS, "1024x1024 (1.0)", True),
        ("9:16", PIXELS, "704x1408 (0.5)", False),
        ("720p", ["480p", "720p", "1080p"], "720p", True),
        ("720p", ["1280x720", "1920x1080"], "1280x720", True),
        ("1300x700", ["1920x1080", "1280x720"], "1280x720", False),
        ("4k", ["1K", "2K", "4K"], "4K", True),
        ("16:9", ["square_hd", "landscape_16_9"], "landscape_16_9", True),
    ],
)
def test_the_choice_of_a_node_nearest_to_a_size_is_found(
    asked: str, choices: list[str], nearest: str, is_just_that: bool
) -> None:
    found = tool.nearest_choice(read(asked), choices)
    assert found
    assert (found[0], found[1] < 0.01) == (nearest, is_just_that)


def test_choices_that_are_no_sizes_are_none() -> None:
    assert tool.nearest_choice(read("16:9"), ["auto", "custom", "small", 7, None, True]) is None
    assert tool.nearest_choice(tool.AskedSize(), RATIOS) is None
    assert tool.nearest_choice(read("2 megapixels"), PIXELS) is None  # of which proportions?


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
