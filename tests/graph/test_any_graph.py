"""Whatever reads a graph before a run takes any graph, however odd or large, and leaves it as it was."""

import copy
import random
import time
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given

import comfyui_tool as tool
from tests.support.graphs import DRAWN_LINE, SWITCH, defined
from tests.support.odd_graphs import ALMOST_GRAPHS

KNOWN = defined(Switch=SWITCH)
NOW = datetime(2026, 3, 7, 16, 5, 9)


def sent(nodes: dict[str, Any], *dynamic: tool.Target) -> dict[str, Any]:
    return tool.as_sent(nodes, frozenset(dynamic), random.Random(1), NOW)


@given(ALMOST_GRAPHS)
def test_no_graph_is_too_odd(nodes: dict[str, Any]) -> None:
    before = copy.deepcopy(nodes)
    for known in (KNOWN, {}):
        flow = tool.Flow.of(nodes, known)
        tool.file_inputs(flow)
        tool.outputs(flow)
        tool.model_files(nodes, known)
        tool.missing_nodes(nodes, known)
        tool.guess_task(flow)
        assert all(DRAWN_LINE.fullmatch(line) for line in tool.mermaid(flow).split("\n"))
    sent(nodes, *(tool.Target(node_id, "text") for node_id in [*nodes, "nobody"]))
    assert repr(nodes) == repr(before)


@pytest.mark.parametrize("width", [1, 10])
def test_a_huge_graph_takes_no_time(width: int) -> None:
    nodes = {
        str(n): {"class_type": "KSampler", "inputs": {f"i{k}": [str(n - k), 0] for k in range(1, width + 1)}}
        for n in range(5000)
    }
    nodes["save"] = {"class_type": "SaveImage", "inputs": {"images": ["4999", 0], "filename_prefix": "%KSampler.i1%"}}
    start = time.process_time()
    for ask in (tool.file_inputs, tool.outputs, tool.guess_task, tool.mermaid):
        ask(tool.Flow.of(nodes, KNOWN))
    for ask in (tool.model_files, tool.missing_nodes):
        ask(nodes, KNOWN)
    sent(nodes)
    assert time.process_time() - start < 20  # some two; what is not linear takes minutes
