"""Numbers and sizes are made to fit what a node takes, or refused."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import comfyui_tool as tool

STEPS = tool.InputSpec("INT", 1, 10000)
CFG = tool.InputSpec("FLOAT", 0.0, 100.0, 0.1)
EIGHT = tool.InputSpec("INT", 16, 16384, 8)


# --- numbers ---


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [
        (20, STEPS, 20),
        ("20", STEPS, 20),
        (" 20.0 ", STEPS, 20),
        (["20"], STEPS, 20),
        ({"value": 20.0}, STEPS, 20),
        (19.6, STEPS, 20),
        (0, STEPS, 1),
        (99999, STEPS, 10000),
        ("7,5", CFG, 7.5),
        (-3, CFG, 0.0),
    ],
)
def test_numbers_are_made_to_fit(value: Any, spec: tool.InputSpec, expected: float) -> None:
    fitted, note = tool.fit_number(tool.Argument(value, "steps"), spec)
    assert (fitted, type(fitted)) == (expected, type(expected))
    assert bool(note) == (str(value).strip() not in {"20", "20.0", "7,5", "['20']", "{'value': 20.0}"})


@pytest.mark.parametrize(
    ("asked", "sampler"),
    [("Euler a", "euler_ancestral"), ("euler", "euler"), ("DPM++ 2M", "dpmpp_2m"), ("DPM2 a", "dpm_2_ancestral")],
)
def test_samplers_are_known_by_the_names_of_other_programs(asked: str, sampler: str) -> None:
    names = ("euler", "euler_ancestral", "dpmpp_2m", "dpm_2_ancestral")
    assert tool.fit_value(tool.Argument(asked, "sampler"), tool.InputSpec("COMBO", choices=names)) == (sampler, "")


def test_a_large_seed_stays_exact() -> None:
    seed = 2**64 - 1
    assert tool.fit_number(tool.Argument(str(seed), "seed"), tool.InputSpec("INT", 0, seed)) == (seed, "")


@pytest.mark.parametrize(
    "value", ["many", "", True, None, [20, 30], {"a": 1}, "nan", math.inf, "1e999", "9" * 400, "2 0", "1,000"]
)
def test_what_is_not_a_number_is_refused_naming_it_and_the_range(value: Any) -> None:
    with pytest.raises(tool.BadArgument) as error:
        tool.fit_number(tool.Argument(value, "The argument steps"), STEPS)
    assert "The argument steps" in error.value.message
    assert "1 to 10000" in error.value.hint


@given(
    st.one_of(
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.from_regex(r"-?[0-9]{1,30}([.][0-9]+)?", fullmatch=True),
    )
)
def test_a_number_always_ends_in_the_nodes_range(value: Any) -> None:
    for spec in (STEPS, CFG):
        fitted, _ = tool.fit_number(tool.Argument(value, "x"), spec)
        assert spec.minimum <= fitted <= spec.maximum


# --- sizes ---


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((1.0, 1.0), "1024x1024"),
        ((16.0, 9.0), "1344x768"),
        ((9.0, 16.0), "768x1344"),
        ((2.35, 1.0), "1600x640"),
        ((2.0, 3.0), "832x1280"),
        (tool.Size(1216, 832), "1216x832"),
        (tool.Size(768, 768), "768x768"),
    ],
)
def test_proportions_become_a_size_of_the_usual_megapixels_and_pixels_stay(asked: Any, expected: str) -> None:
    assert str(tool.fit_size(asked, 1.05, EIGHT, EIGHT)) == expected


def test_pixels_are_taken_to_the_nodes_step_and_range() -> None:
    assert str(tool.fit_size(tool.Size(1001, 4), 1.0, EIGHT, EIGHT)) == "1000x16"


@given(st.floats(0.126, 7.9), st.floats(0.07, 16))
def test_an_aspect_ratio_keeps_to_the_megapixels(ratio: float, megapixels: float) -> None:
    size = tool.fit_size((ratio, 1.0), megapixels, EIGHT, EIGHT)
    assert size.width % 64 == 0
    assert size.height % 64 == 0
    assert 0.4 * megapixels <= size.megapixels <= 1.8 * megapixels
