"""Workflows as ComfyUI's editor saves them become what its page would send for a run, or are refused by name."""

import copy
import random
import time
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.conversion import RELEASES, classes, converted, definitions, digest, digests, parsed, template
from tests.support.graphs import ui_node, ui_workflow

# Of all 338 templates these are not what the front end made of them, and why.
OTHERWISE = {
    "api_hunyuan3d_model2uv": "Load3D's picture is drawn by ComfyUI's page while it sends; refused, naming the node",
    "templates_graphic_design_recomposer": "the front end sent a model's name as aspect ratio; ours is the saved value",
}


@pytest.mark.parametrize("release", RELEASES)
def test_official_templates_become_what_the_front_end_sends(release: str) -> None:
    known, differing = definitions(release), []
    for name, right in digests(release).items():
        try:
            same = digest(converted(release, name), known) == right
        except tool.WorkflowRefused:
            same = False
        if not same:
            differing.append(name)
    assert differing == (list(OTHERWISE) if release == "0.33.0" else [])


# --- small workflows that show a rule each ---

KNOWN = parsed(
    {
        "Source": {"input": {"required": {}}, "display_name": "A Source"},
        "Number": {"input": {"required": {"seed": ["INT", {}], "n": ["INT", {"default": 7}]}}},
        "Text": {"input": {"required": {"text": ["STRING", {"dynamicPrompts": True}], "pick": [["x", "y"]]}}},
        "Use": {"input": {"required": {"image": ["IMAGE"], "v": ["INT", {"default": 5}]}}},
    }
)


def inputs_of(ui: Any, node_id: str = "5") -> Any:
    return tool.convert(ui, KNOWN)[node_id]["inputs"]


def test_values_stand_by_the_order_of_the_widgets_and_the_hidden_slot_is_passed_over() -> None:
    ui = ui_workflow(
        ui_node(1, "Number", values=[1, "randomize", 2]),
        ui_node(2, "Number", values=[1, True, 2]),
        ui_node(3, "Number", values={"n": 4}),
        ui_node(4, "Number", values=[1]),
    )
    graph = tool.convert(ui, KNOWN)
    assert [graph[key]["inputs"] for key in "1234"] == [
        {"seed": 1, "n": 2},
        {"seed": 1, "n": 2},
        {"seed": 0, "n": 4},
        {"seed": 1, "n": 7},
    ]


def test_set_get_and_reroute_are_followed_and_not_sent() -> None:
    ui = ui_workflow(
        ui_node(1, "Source"),
        ui_node(2, "SetNode", ("IMAGE", "IMAGE", 1), values=["k"]),
        ui_node(3, "GetNode", values=["k"]),
        ui_node(4, "Reroute", ("", "*", 2)),
        ui_node(5, "Use", ("image", "IMAGE", 3), values=[9]),
        ui_node(6, "Note", values=["hello"]),
        links=[
            [1, 1, 0, 2, 0, "IMAGE"],
            [2, 3, 0, 4, 0, "IMAGE"],
            {"id": 3, "origin_id": 4, "origin_slot": 0, "target_id": 5, "target_slot": 0, "type": "IMAGE"},
        ],
    )
    assert inputs_of(ui) == {"image": ["1", 0], "v": 9}
    assert set(tool.convert(ui, KNOWN)) == {"1", "5"}


def test_a_title_that_nobody_gave_is_the_classs_own() -> None:
    graph = tool.convert(ui_workflow(ui_node(1, "Source"), ui_node(2, "Source", title="Mine")), KNOWN)
    assert [graph[key]["_meta"]["title"] for key in "12"] == ["A Source", "Mine"]


def test_what_hangs_on_a_muted_node_is_not_sent_and_a_primitive_gives_its_value() -> None:
    ui = ui_workflow(
        ui_node(1, "Source", mode=2),
        ui_node(2, "PrimitiveNode", values=[3, "fixed"]),
        ui_node(5, "Use", ("image", "IMAGE", 1), ("v", "INT", 2, True), values=[9]),
        links=[[1, 1, 0, 5, 0, "IMAGE"], [2, 2, 0, 5, 1, "INT"]],
    )
    assert inputs_of(ui) == {"v": 3}


@pytest.mark.parametrize("dangling", [None, [2, 1, 0, None, None, "IMAGE"], [2, None, None, 5, 0, "IMAGE"]])
def test_a_link_without_a_node_is_none(dangling: Any) -> None:
    ui = ui_workflow(
        ui_node(1, "Source"),
        ui_node(5, "Use", ("image", "IMAGE", 1), values=[9]),
        links=[[1, 1, 0, 5, 0, "IMAGE"], dangling],
    )
    assert inputs_of(ui) == {"image": ["1", 0], "v": 9}


@pytest.mark.parametrize(("kind", "passed"), [("IMAGE", True), ("MODEL", False)])
def test_a_bypassed_node_passes_on_what_fits_and_nothing_else(kind: str, passed: bool) -> None:
    ui = ui_workflow(
        ui_node(1, "Source"),
        ui_node(2, "Any", ("in", kind, 1), mode=4),
        ui_node(5, "Use", ("image", "IMAGE", 2), values=[9]),
        links=[[1, 1, 0, 2, 0, kind], [2, 2, 0, 5, 0, "IMAGE"]],
    )
    assert inputs_of(ui) == ({"image": ["1", 0], "v": 9} if passed else {"v": 9})


def test_comments_and_choices_in_saved_texts_are_resolved_as_the_front_end_does() -> None:
    text = "a {b|{c|d}} /* x */e// f\ng"
    assert inputs_of(ui_workflow(ui_node(5, "Text", values=[text, "y"]))) == {"text": "a b e\ng", "pick": "y"}
    assert tool.dynamic_prompt(r"\{a|b\} {a") == "{a|b} {a"
    assert {tool.dynamic_prompt("{a|b|{c|d}}", random.Random(seed)) for seed in range(40)} == set("abcd")


# --- what cannot be converted is refused by name ---

SUBGRAPH = "11111111-1111-1111-1111-111111111111"
ITSELF = {"subgraphs": [{"id": SUBGRAPH, "nodes": [ui_node(1, SUBGRAPH), ui_node(2, SUBGRAPH)], "links": []}]}


@pytest.mark.parametrize(
    ("ui", "words"),
    [
        (ui_workflow(ui_node(1, "workflow>Mine")), "workflow>Mine"),
        (ui_workflow(ui_node(1, "Nope", title="T", properties={"cnr_id": "pack-x"})), '"T" (Nope), node 1'),
        (ui_workflow(ui_node(1, "Nope", properties={"cnr_id": "pack-x"})), "pack-x"),
        (ui_workflow(ui_node(1, "Source"), ui_node(1, "Source")), "id 1"),
        (ui_workflow(ui_node(1, "Number", values=[float("nan")])), '"seed"'),
        (ui_workflow(ui_node(1, SUBGRAPH)), "subgraph"),
        (ui_workflow(ui_node(1, SUBGRAPH), definitions=ITSELF), ""),
        (
            ui_workflow(
                ui_node(3, "GetNode"), ui_node(5, "Use", ("image", "IMAGE", 3)), links=[[3, 3, 0, 5, 0, "IMAGE"]]
            ),
            "SetNode",
        ),
        (
            ui_workflow(
                ui_node(1, "Reroute", ("", "*", 1)),
                ui_node(2, "Use", ("image", "IMAGE", 2)),
                links=[[1, 1, 0, 1, 0, "*"], [2, 1, 0, 2, 0, "*"]],
            ),
            "circle",
        ),
        ({"1": {"class_type": "Source", "inputs": {}}}, "not a workflow"),
    ],
)
def test_what_cannot_be_converted_is_refused_naming_it(ui: Any, words: str) -> None:
    with pytest.raises(tool.WorkflowRefused) as refused:
        tool.convert(ui, KNOWN)
    assert words in refused.value.message


def spoilt(value: Any, rng: random.Random) -> Any:
    """A workflow with something in it that does not belong there."""
    copied = copy.deepcopy(value)
    for _ in range(rng.choice((1, 2, 8))):
        at: Any = copied
        for _ in range(rng.randrange(1, 8)):
            if not isinstance(at, (dict, list)) or not at:
                break
            keys = list(at) if isinstance(at, dict) else range(len(at))
            key = rng.choice(keys)
            if rng.random() < 0.3 or not isinstance(at[key], (dict, list)):
                at[key] = rng.choice([None, True, -1, 3.5, 2**70, "", "x", [], {}, [[]], {"a": 1}, [1, 2, 3, 4, 5, 6]])
                break
            at = at[key]
    return copied


def test_a_spoilt_workflow_is_converted_or_refused_and_quickly() -> None:
    rng, known = random.Random(7), classes("0.33.0")
    names = list(digests("0.33.0"))
    for _ in range(300):
        ui = spoilt(template("0.33.0", rng.choice(names)), rng)
        began = time.process_time()
        try:
            tool.convert(ui, known)
        except tool.WorkflowRefused as refused:
            assert 0 < len(refused.message) < 600
        assert time.process_time() - began < 5
