"""Old node classes: what a server says takes their place is put into workflows that name them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.runs import order, pasted, run_wish, sent
from tests.support.stand_in import StandIn

# As ComfyUI 0.33.0 tells it, under old names that no release has.
SCALED = {
    "new_node_id": "ResizeImageMaskNode",
    "old_node_id": "OldScaleBy",
    "old_widget_ids": ["upscale_method", "scale_by"],
    "input_mapping": [
        {"new_id": "input", "old_id": "image"},
        {"new_id": "resize_type", "set_value": "scale by multiplier"},
        {"new_id": "resize_type.multiplier", "old_id": "scale_by"},
        {"new_id": "scale_method", "old_id": "upscale_method"},
    ],
    "output_mapping": None,
}
RENAMED = {
    "new_node_id": "LoadImage",
    "old_node_id": "OldLoadImage",
    "old_widget_ids": None,
    "input_mapping": None,
    "output_mapping": None,
}
REPLACED = {"OldScaleBy": [SCALED], "OldLoadImage": [RENAMED]}
API = {
    "1": {"class_type": "OldLoadImage", "inputs": {"image": "example.png"}},
    "2": {
        "class_type": "OldScaleBy",
        "inputs": {"image": ["1", 0], "upscale_method": "lanczos", "scale_by": 1.5},
    },
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
}
PAGE = {
    "nodes": [
        {
            "id": 1,
            "type": "OldLoadImage",
            "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}],
            "widgets_values": ["example.png", "image"],
        },
        {
            "id": 2,
            "type": "OldScaleBy",
            "inputs": [{"name": "image", "type": "IMAGE", "link": 1}],
            "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [2]}],
            "widgets_values": ["lanczos", 1.5],
        },
        {
            "id": 3,
            "type": "SaveImage",
            "inputs": [{"name": "images", "type": "IMAGE", "link": 2}],
            "widgets_values": ["x"],
        },
    ],
    "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]],
    "version": 0.4,
}


@pytest.fixture
async def newer() -> AsyncIterator[StandIn]:
    """A server that knows what became of two old classes."""
    async with StandIn("0.33.0", step_seconds=0.0) as server:
        server.node_replacements = REPLACED
        yield server
        await tool.close_servers()


@pytest.mark.parametrize("workflow", [API, PAGE], ids=["for the API", "of the editor"])
async def test_a_workflow_with_old_nodes_runs_with_what_takes_their_place(newer: StandIn, workflow: Any) -> None:
    result = await run_wish(newer, order("x"), pasted(x=workflow))
    assert str(result.products[0].size) == "96x96"
    assert sent(newer, "ResizeImageMaskNode") == {
        "input": ["1", 0],
        "resize_type": "scale by multiplier",
        "resize_type.multiplier": 1.5,
        "scale_method": "lanczos",
    }
    assert sent(newer, "LoadImage") == {"image": "example.png"}


async def test_such_a_workflow_is_described_as_one_that_can_run(newer: StandIn) -> None:
    async with tool.open_server(tool.Endpoint(newer.url)) as server:
        about = await tool.describe_workflow(server, tool.Entry("x", "user", PAGE))
    assert "cannot run" not in about
    assert about["files"] == ['image for "Load Image"']


async def test_nothing_is_asked_where_nothing_is_missing(newer: StandIn) -> None:
    graph = {**API, "1": {**API["1"], "class_type": "LoadImage"}}
    graph["3"] = {**API["3"], "inputs": {"images": ["1", 0], "filename_prefix": "x"}}
    del graph["2"]
    await run_wish(newer, order("x"), pasted(x=graph))
    assert not [request for request in newer.requests if "node_replacements" in request.path]


@pytest.mark.parametrize("release", ["0.3.64", "0.33.0"])
async def test_a_server_without_the_route_or_without_an_answer_misses_the_nodes(release: str) -> None:
    async with StandIn(release, step_seconds=0.0) as server:
        for status in (None, 500, 403):
            if status:
                server.misbehave.status_for["/node_replacements"] = status
            with pytest.raises(tool.NodeNotInstalled, match='"OldLoadImage", "OldScaleBy"'):
                await run_wish(server, order("x"), pasted(x=API))
            tool.Pool.here().server(tool.Endpoint(server.url)).forget()
        await tool.close_servers()


async def test_what_is_replaced_by_a_class_that_is_not_there_either_is_missing(newer: StandIn) -> None:
    newer.node_replacements = {"OldScaleBy": [{**SCALED, "new_node_id": "Nowhere"}], "OldLoadImage": [RENAMED]}
    with pytest.raises(tool.NodeNotInstalled, match='"OldScaleBy"'):
        await run_wish(newer, order("x"), pasted(x=API))


# --- the exchange itself ---


def read(raw: Any) -> dict[str, tool.Replacement]:
    return tool.read_replacements(tool.JsonText(json.dumps(raw)))


def test_outputs_move_to_their_new_places() -> None:
    moved = {"Old": [{"new_node_id": "New", "output_mapping": [{"old_idx": 0, "new_idx": 2}]}]}
    graph = {
        "1": {"class_type": "Old", "inputs": {}},
        "2": {"class_type": "Use", "inputs": {"a": ["1", 0], "b": ["1", 1], "c": [0, 1]}},
    }
    after = tool.with_replacements(graph, read(moved))
    assert after["2"]["inputs"] == {"a": ["1", 2], "b": ["1", 1], "c": [0, 1]}
    assert graph["2"]["inputs"]["a"] == ["1", 0]


def test_what_the_old_node_does_not_hold_is_left_to_the_new_one() -> None:
    graph = {"1": {"class_type": "OldScaleBy", "inputs": {"scale_by": 2.0, "more": 7}}}
    after = tool.with_replacements(graph, read(REPLACED))
    assert after["1"]["inputs"] == {"resize_type": "scale by multiplier", "resize_type.multiplier": 2.0}


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"Old": None},
        {"Old": []},
        {"Old": [None]},
        {"Old": [{"new_node_id": 7}]},
        {"Old": [{"new_node_id": "x" * 1000}]},
        {"x" * 1000: [RENAMED]},
        {"": [RENAMED]},
    ],
)
def test_what_is_no_replacement_replaces_nothing(raw: Any) -> None:
    assert read(raw) == {}


def test_no_value_is_set_that_could_be_a_link_and_no_name_that_is_none() -> None:
    mapping = [
        {"new_id": "a", "set_value": ["9", 0]},
        {"new_id": 3, "old_id": "b"},
        None,
        {"new_id": "c", "old_id": []},
    ]
    hostile = {"Old": [{"new_node_id": "New", "input_mapping": mapping, "output_mapping": [{"old_idx": "0"}, 7]}]}
    after = tool.with_replacements({"1": {"class_type": "Old", "inputs": {"b": 1}}}, read(hostile))
    assert after == {"1": {"class_type": "New", "inputs": {}}}


def test_no_more_are_read_than_the_bound_allows() -> None:
    assert len(read({f"Old{number}": [RENAMED] for number in range(tool.MOST_REPLACEMENTS + 100)})) == 5000
