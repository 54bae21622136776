"""Tags of other programs in a prompt: what they say, and what is left of the prompt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import comfyui_tool as tool


@pytest.mark.parametrize(
    ("prompt", "tagged"),
    [
        ("a fox", tool.Tagged("a fox")),
        ("a  fox,\nin snow", tool.Tagged("a  fox,\nin snow")),
        ("a girl <lora:anime_style:0.6>", tool.Tagged("a girl", loras=("anime_style:0.6",))),
        ("<lora:a:1>, <LORA:b>, a girl", tool.Tagged("a girl", loras=("a:1", "b"))),
        ("a dragon --ar 16:9 --v 6", tool.Tagged("a dragon", size="16:9", left_out=("--v 6",))),
        ("a dragon —ar 16:9", tool.Tagged("a dragon", size="16:9")),
        ("a dragon --aspect=2:3, at night", tool.Tagged("a dragon, at night", size="2:3")),
        ("a dragon --no text, people --seed 7", tool.Tagged("a dragon", negative_prompt="text, people", seed="7")),
        ("a dragon --style raw --tile --s 250", tool.Tagged("a dragon", left_out=("--style raw", "--tile", "--s 250"))),
        ("use --force here", tool.Tagged("use --force here")),
        ("well--known, and (red:1.2) -- really", tool.Tagged("well--known, and (red:1.2) -- really")),
        ("<b>bold</b> <lora:>", tool.Tagged("<b>bold</b> <lora:>")),
        ("a street. Negative prompt: cars", tool.Tagged("a street.", negative_prompt="cars")),
        (
            "a street\nNegative prompt: cars, people\nSteps: 12, Sampler: Euler a, CFG scale: 6, Seed: 9, Size: 64x64",
            tool.Tagged(
                "a street",
                negative_prompt="cars, people",
                steps="12",
                guidance="6",
                seed="9",
                size="64x64",
                left_out=("Sampler: Euler a",),
            ),
        ),
        ("a recipe card\nSteps: 1. Mix", tool.Tagged("a recipe card\nSteps: 1. Mix")),
    ],
)
def test_tags_are_taken_out_and_all_else_stays(prompt: str, tagged: tool.Tagged) -> None:
    assert tool.read_tags(prompt) == tagged


@given(
    st.text() | st.lists(st.sampled_from(["--ar", "16:9", "<lora:", "a:1>", "--no", "fox", "—v", " "])).map(" ".join)
)
def test_any_prompt_is_read(prompt: str) -> None:
    tagged = tool.read_tags(prompt)
    assert tagged == tool.Tagged(prompt) or len(tagged.text) < len(prompt)
