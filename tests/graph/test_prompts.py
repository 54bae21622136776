"""What ComfyUI's page replaces in a graph before a run: choices in prompts, dates and values in the names of files."""

import json
import random
from datetime import datetime
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.graphs import graph

NOW = datetime(2026, 3, 7, 16, 5, 9)


def sent(nodes: dict[str, Any], *dynamic: tuple[str, str], seed: int = 1) -> dict[str, Any]:
    targets = frozenset(tool.Target(*target) for target in dynamic)
    return tool.as_sent(nodes, targets, random.Random(seed), NOW)


def prefix(text: str, **more: tuple[Any, ...]) -> str:
    nodes = graph(save=("SaveImage", {"filename_prefix": text}, "Save Image"), **more)
    return str(sent(nodes)["save"]["inputs"]["filename_prefix"])


def test_only_dynamic_texts_are_chosen_from() -> None:
    nodes = graph(a=("CLIPTextEncode", {"text": "{fox|cat} // x"}), b=("CLIPTextEncode", {"text": "{fox|cat}"}))
    after = sent(nodes, ("a", "text"))
    assert after["a"]["inputs"]["text"].strip() in ("fox", "cat")
    assert after["b"] == nodes["b"]


def test_one_seed_gives_one_text() -> None:
    nodes = graph(**{f"n{n}": ("CLIPTextEncode", {"text": "{a|b|c|d|e}"}) for n in range(30)})
    dynamic = [(node_id, "text") for node_id in nodes]
    assert sent(nodes, *dynamic) == sent(nodes, *reversed(dynamic))
    assert len({json.dumps(sent(nodes, *dynamic, seed=seed)) for seed in range(5)}) == 5


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("%date:yyyy-MM-dd%/x", "2026-03-07/x"),
        ("%date:yy M d hh-h mm-m ss-s%", "26 3 7 16-16 05-5 09-9"),
        ("%date:yyy of Q%", "yyy of Q"),
        ("%date:dd.MM.yyyy%", "07.03.2026"),
        ("%year%-%month% %width%x%height%", "%year%-%month% %width%x%height%"),
        ("100% sure", "100% sure"),
        ("%Nobody.seed% %Sampler.nothing% %Sampler.model%", "%Nobody.seed% %Sampler.nothing% %Sampler.model%"),
        ("%Sampler.seed%_%KSampler.cfg%", "42_8"),
        ("%Sampler.name%", "a_b_c_d_"),
        ("%Sampler.on%", "true"),
    ],
)
def test_dates_and_values_of_other_nodes_go_into_file_names(text: str, name: str) -> None:
    values = {"seed": 42, "cfg": 8.0, "name": 'a/b:c"d\n', "on": True, "model": "save.0"}
    assert prefix(text, a=("KSampler", values, "Sampler")) == name


def test_a_node_is_found_by_its_class_before_a_title() -> None:
    more: dict[str, Any] = {"a": ("Other", {"x": 1}, "Wanted"), "b": ("Wanted", {"x": 2})}
    assert prefix("%Wanted.x%", **more) == "2"


def test_only_names_of_files_are_filled_in() -> None:
    nodes = graph(a=("CLIPTextEncode", {"text": "%date:yyyy%"}))
    assert sent(nodes) == nodes
