"""Node definitions as `/object_info` lists them are read in both shapes that ComfyUI gives them."""

from typing import Any

import pytest

import comfyui_tool as tool


@pytest.mark.parametrize("shape", [[["a", "b"], {"default": "a"}], ["COMBO", {"options": ["a", "b"]}], [["a", "b"]]])
def test_both_shapes_of_a_choice_are_read(shape: list[Any]) -> None:
    definition = tool.NodeDefinition.parse("X", {"input": {"required": {"pick": shape}}})
    assert definition.inputs["pick"] == tool.InputSpec("COMBO", choices=("a", "b"), default="a")


def test_ranges_are_read_and_hidden_inputs_are_not() -> None:
    raw = {
        "input": {
            "required": {"steps": ["INT", {"min": 1, "max": 9, "step": 2}], "model": ["MODEL"]},
            "optional": {"odd": "?"},
            "hidden": {"prompt": "PROMPT"},
        }
    }
    assert dict(tool.NodeDefinition.parse("X", raw).inputs) == {
        "steps": tool.InputSpec("INT", 1, 9, 2),
        "model": tool.InputSpec("MODEL"),
    }
