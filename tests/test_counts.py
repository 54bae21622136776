"""Numbers as people and models write them: with units, in words, and those that say nothing."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import comfyui_tool as tool


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (20, 20),
        ("20", 20),
        ("20.0", 20.0),
        ("7,5", 7.5),
        ("-3", -3),
        ("20 steps", 20),
        ("steps: 20", 20),
        ("cfg 7.5", 7.5),
        ("about 20", 20),
        ("4 variants", 4),
        ("4 Varianten", 4),
        ("4x", 4),
        ("x4", 4),
        ("2 times", 2),
        ("50 %", 0.5),
        ("200%", 2),
        ("50 Prozent", 0.5),
        ("30fps", 30),
        ("４枚", 4),
        ("4장", 4),
        ("two", 2),
        ("Two pictures", 2),
        ("a couple of them", 2),
        ("zwei Bilder", 2),
        ("dos", 2),
        ("deux images", 2),
        ("duas", 2),
        ("due", 2),
        ("二枚", 2),
        ("두 장", 2),
        ("两张", 2),
        ("a dozen", 12),
        ("twenty", 20),
        ("dreißig Schritte", 30),
        ("double", 2),
        ("half", 0.5),
        ("three and a half", 3.5),
        ([20], 20),
        ({"value": "20 steps"}, 20),
        (str(2**64 - 1), 2**64 - 1),
    ],
)
def test_a_number_is_read_with_its_unit_its_name_or_in_words(value: Any, number: float) -> None:
    assert tool.read_number(value) == number


@pytest.mark.parametrize(
    "value",
    [
        *("many", "", "nan", "1e999", "9" * 400, "2 0", "1,000", "3 or 4", "20-30", "16:9", "5 minutes", "2k", "5m"),
        *(None, True, [20, 30], {"a": 1}, math.inf, math.nan, "x" * 100_000, "1" * 100_000),
    ],
)
def test_what_is_not_one_number_is_none(value: Any) -> None:
    assert tool.read_number(value) is None


@pytest.mark.parametrize(
    ("value", "strength"),
    [
        (0.4, 0.4),
        ("0.4", 0.4),
        (1, 1),
        (50, 0.5),
        ("50 %", 0.5),
        ("70", 0.7),
        (7, 0.7),
        (10, 1.0),
        ("low", 0.3),
        ("a little", 0.2),
        ("medium", 0.5),
        ("high", 0.8),
        ("very strong", 0.9),
        ("stark", 0.8),
        ("alto", 0.8),
        ("弱", 0.3),
        ("red", None),
        (500, 500),
    ],
)
def test_a_strength_goes_from_0_to_1_in_numbers_percent_and_words(value: Any, strength: float | None) -> None:
    assert tool.read_strength(value) == strength


@pytest.mark.parametrize("value", [-1, "-1", "random", "Random", "zufällig", "a new one", "随机", -7])
def test_a_seed_may_be_left_to_chance(value: Any) -> None:
    assert tool.says_random(value)
    assert not tool.says_same_seed(value)


@pytest.mark.parametrize(
    "value", ["last", "same", "the same", "same as before", "dieselbe letzte", "même", "同じ", "一样"]
)
def test_a_seed_may_be_that_of_the_result_before(value: Any) -> None:
    assert tool.says_same_seed(value)
    assert not tool.says_random(value)


@pytest.mark.parametrize("value", [0, 7, "7", "seed 7", "", None, [], "plenty"])
def test_any_other_seed_is_neither(value: Any) -> None:
    assert not tool.says_random(value)
    assert not tool.says_same_seed(value)


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()))
def test_any_value_is_a_finite_number_or_none(value: Any) -> None:
    for number in (tool.read_number(value), tool.read_strength(value)):
        assert number is None or math.isfinite(number)
    assert tool.says_random(value) in (True, False)
    assert tool.says_no_number("steps", value) in (True, False)
