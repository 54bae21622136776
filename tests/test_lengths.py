"""How long something is to be, as people and models write it."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import comfyui_tool as tool


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (5, 5),
        ("5", 5),
        (2.5, 2.5),
        ("2,5 s", 2.5),
        ("5s", 5),
        ("5 sec", 5),
        (["5 sec"], 5),
        ("5 seconds", 5),
        ("about 5 seconds", 5),
        ("5-second", 5),
        ("a 5 second video", 5),
        ("five seconds", 5),
        ("1 minute", 60),
        ("one minute", 60),
        ("a minute", 60),
        ("half a minute", 30),
        ("one and a half minutes", 90),
        ("1.5 min", 90),
        ("1 min 30 s", 90),
        ("1m30s", 90),
        ("1 minute 30", 90),
        ("1:30", 90),
        ("00:01:30", 90),
        ("500 ms", 0.5),
        ("90 Sekunden", 90),
        ("eine Minute", 60),
        ("eine halbe Minute", 30),
        ("une minute et 20 secondes", 80),
        ("dos minutos", 120),
        ("deux minutes", 120),
        ("cinco segundos", 5),
        ("cinque secondi", 5),
        ("1分30秒", 90),
        ("３０秒", 30),
        ("30초", 30),
        ("2 분", 120),
        ("两 分钟", 120),
    ],
)
def test_a_time_is_read_with_its_units_or_in_words(value: Any, seconds: float) -> None:
    assert tool.read_seconds(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "120 frames",
            "long",
            "",
            "5 apples",
            "5 6",
            "5x",
            "a minute and a half",
            "1,000 seconds",
            "1:2:3:4",
            "nan",
            "x" * 10_000,
        ),
        *(None, True, [5, 6], {"seconds": 5}, math.inf),
    ],
)
def test_what_is_no_time_is_none(value: Any) -> None:
    assert tool.read_seconds(value) is None


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()))
def test_any_value_is_a_finite_time_or_none(value: Any) -> None:
    seconds = tool.read_seconds(value)
    assert seconds is None or math.isfinite(seconds)


WAN = tool.InputSpec("INT", 1, 16384, 4)
LTX = tool.InputSpec("INT", 9, 16384, 8)


@pytest.mark.parametrize(
    ("seconds", "rate", "spec", "frames"),
    [
        (5, 16, WAN, 81),
        (5, 24, WAN, 121),
        (3, 16, WAN, 49),
        (0.1, 16, WAN, 1),
        (5, 25, LTX, 129),
        (4, 24, LTX, 97),
        (5, 24, tool.InputSpec("INT", 1, 100), 100),
        (9999, 24, tool.InputSpec("INT", 1, 80, 4), 77),
        (5, 24, tool.InputSpec("INT"), 120),
        (1e308, 24, WAN, 16381),
    ],
)
def test_seconds_are_as_many_frames_as_the_model_makes(
    seconds: float, rate: float, spec: tool.InputSpec, frames: int
) -> None:
    assert tool.frames_in(seconds, rate, spec) == frames
