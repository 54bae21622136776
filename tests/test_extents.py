"""How much there is to work through in a value, and what of it is short."""

from typing import Any

import pytest

import comfyui_tool as tool


class Listed:
    """An object that tells its own extent."""

    extent = 1000


def nested(levels: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", ["a text", b"bytes", 7, None, True, [], {}, ["a", "b"], {"seed": 7, "model": ["4", 0]}, Listed()]
)
def test_what_says_little_is_short(value: Any) -> None:
    assert tool.is_short(value)


@pytest.mark.parametrize(
    "value",
    [
        "a" * (tool.SHORT + 1),
        b"a" * (tool.SHORT + 1),
        {"a" * (tool.SHORT + 1): 1},
        {"text": ["a" * tool.SHORT]},
        [0] * tool.SHORT,
        ["name"] * 1000,
        nested(tool.SHORT),
        [Listed()] * 10,
    ],
    ids=["a text", "bytes", "a key", "a text inside", "numbers", "names", "levels", "objects"],
)
def test_what_says_much_is_long(value: Any) -> None:
    assert not tool.is_short(value)


def test_an_object_that_tells_no_extent_is_long() -> None:
    assert not tool.is_short(object())


def test_values_together_are_long_though_each_is_short() -> None:
    half = "a" * (tool.SHORT // 2)
    assert tool.is_short(half)
    assert not tool.is_short(half, half)


def test_the_bundled_workflows_for_pictures_are_short() -> None:
    entries = [entry for entry in tool.bundled_entries() if "image" in entry.task and "video" not in entry.task]
    assert entries
    assert [entry.name for entry in entries if not tool.is_short(entry.graph)] == []


def test_what_a_definition_lists_counts() -> None:
    few = tool.NodeDefinition.parse("Loader", {"input": {"required": {"name": [["a.safetensors"], {}]}}})
    many = tool.NodeDefinition.parse("Loader", {"input": {"required": {"name": [["a.safetensors"] * 1000, {}]}}})
    graph = {"1": {"class_type": "Loader", "inputs": {"name": "a.safetensors"}}}
    assert tool.is_short(tool.Workflow.parse("few", graph, {"Loader": few}))
    assert not tool.is_short(tool.Workflow.parse("many", graph, {"Loader": many}))


def test_what_was_asked_for_counts_and_the_files_do_not() -> None:
    long = tool.Argument("a" * (tool.SHORT + 1), "The argument")
    assert tool.is_short(tool.Request("a fox"))
    assert not tool.is_short(tool.Request(str(long.value)))
    assert not tool.is_short(tool.Request("a fox", negative_prompt=long))
    assert not tool.is_short(tool.Request("a fox", inputs={"lyrics": long}))
