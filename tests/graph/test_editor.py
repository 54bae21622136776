"""Room 3, the UI format: workflows as ComfyUI's editor saves them become what its front end would send."""

import copy
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.conversion import definitions, digest, digests, parsed, template
from tests.support.stand_in import StandIn
from tests.test_command_line import command

RELEASES = ("0.3.64", "0.33.0")
# Of all 338 templates these are not what the front end made of them, and why.
OTHERWISE = {
    "api_hunyuan3d_model2uv": "Load3D's picture is drawn by ComfyUI's page while it sends; refused, naming the node",
    "templates_graphic_design_recomposer": "the front end sent a model's name as aspect ratio; ours is the saved value",
}


@pytest.mark.parametrize("release", RELEASES)
def test_official_templates_become_what_the_front_end_sends(release: str) -> None:
    known, differing = definitions(release), []
    classes = parsed(known)
    for name, right in digests(release).items():
        try:
            same = digest(tool.convert(template(release, name), classes), known) == right
        except tool.WorkflowRefused:
            same = False
        if not same:
            differing.append(name)
    assert differing == (list(OTHERWISE) if release == "0.33.0" else [])


def test_a_digest_notices_any_change_and_no_renaming() -> None:
    known = definitions("0.3.64")
    graph = tool.convert(template("0.3.64", "image2image"), parsed(known))
    right = digest(graph, known)
    text = json.dumps(graph)
    for node_id in graph:
        text = text.replace(f'"{node_id}"', f'"n{node_id}"')
    assert digest(json.loads(text), known) == right
    for node_id, node in graph.items():
        for key in node["inputs"]:
            changed = copy.deepcopy(graph)
            changed[node_id]["inputs"][key] = "something else"
            assert digest(changed, known) != right, (node_id, key)


# --- small workflows that show a rule each ---

KNOWN = {
    "Source": {"input": {"required": {}}, "display_name": "A Source"},
    "Number": {"input": {"required": {"seed": ["INT", {}], "n": ["INT", {"default": 7}]}}},
    "Text": {"input": {"required": {"text": ["STRING", {"dynamicPrompts": True}], "pick": [["x", "y"]]}}},
    "Use": {"input": {"required": {"image": ["IMAGE"], "v": ["INT", {"default": 5}]}}},
}


def node(node_id: int, kind: str, *inputs: tuple[Any, ...], values: Any = (), mode: int = 0, **more: Any) -> Any:
    """A node; its inputs as (name, type, link) or, with a widget, (name, type, link, True)."""
    sockets = [
        {"name": name, "type": type_, "link": link, **({"widget": {"name": name}} if widget else {})}
        for name, type_, link, *widget in inputs
    ]
    held = values if isinstance(values, dict) else list(values)
    outputs = [{"name": "IMAGE", "type": "IMAGE"}]
    return {
        "id": node_id,
        "type": kind,
        "mode": mode,
        "inputs": sockets,
        "outputs": outputs,
        "widgets_values": held,
        **more,
    }


def workflow(*nodes: Any, links: Any = (), **more: Any) -> Any:
    return {"version": 0.4, "nodes": list(nodes), "links": list(links), **more}


def inputs_of(ui: Any, node_id: str = "5") -> Any:
    return tool.convert(ui, parsed(KNOWN))[node_id]["inputs"]


def test_values_stand_by_the_order_of_the_widgets_and_the_hidden_slot_is_passed_over() -> None:
    ui = workflow(
        node(1, "Number", values=[1, "randomize", 2]),
        node(2, "Number", values=[1, True, 2]),
        node(3, "Number", values={"n": 4}),
        node(4, "Number", values=[1]),
    )
    graph = tool.convert(ui, parsed(KNOWN))
    assert [graph[key]["inputs"] for key in "1234"] == [
        {"seed": 1, "n": 2},
        {"seed": 1, "n": 2},
        {"seed": 0, "n": 4},
        {"seed": 1, "n": 7},
    ]


def test_set_get_and_reroute_are_followed_and_not_sent() -> None:
    ui = workflow(
        node(1, "Source"),
        node(2, "SetNode", ("IMAGE", "IMAGE", 1), values=["k"]),
        node(3, "GetNode", values=["k"]),
        node(4, "Reroute", ("", "*", 2)),
        node(5, "Use", ("image", "IMAGE", 3), values=[9]),
        node(6, "Note", values=["hello"]),
        links=[
            [1, 1, 0, 2, 0, "IMAGE"],
            [2, 3, 0, 4, 0, "IMAGE"],
            {"id": 3, "origin_id": 4, "origin_slot": 0, "target_id": 5, "target_slot": 0, "type": "IMAGE"},
        ],
    )
    assert inputs_of(ui) == {"image": ["1", 0], "v": 9}
    assert set(tool.convert(ui, parsed(KNOWN))) == {"1", "5"}


def test_a_title_that_nobody_gave_is_the_classs_own() -> None:
    graph = tool.convert(workflow(node(1, "Source"), node(2, "Source", title="Mine")), parsed(KNOWN))
    assert [graph[key]["_meta"]["title"] for key in "12"] == ["A Source", "Mine"]


def test_what_hangs_on_a_muted_node_is_not_sent_and_a_primitive_gives_its_value() -> None:
    ui = workflow(
        node(1, "Source", mode=2),
        node(2, "PrimitiveNode", values=[3, "fixed"]),
        node(5, "Use", ("image", "IMAGE", 1), ("v", "INT", 2, True), values=[9]),
        links=[[1, 1, 0, 5, 0, "IMAGE"], [2, 2, 0, 5, 1, "INT"]],
    )
    assert inputs_of(ui) == {"v": 3}


@pytest.mark.parametrize(("kind", "passed"), [("IMAGE", True), ("MODEL", False)])
def test_a_bypassed_node_passes_on_what_fits_and_nothing_else(kind: str, passed: bool) -> None:
    ui = workflow(
        node(1, "Source"),
        node(2, "Any", ("in", kind, 1), mode=4),
        node(5, "Use", ("image", "IMAGE", 2), values=[9]),
        links=[[1, 1, 0, 2, 0, kind], [2, 2, 0, 5, 0, "IMAGE"]],
    )
    assert inputs_of(ui) == ({"image": ["1", 0], "v": 9} if passed else {"v": 9})


def test_comments_and_choices_in_saved_texts_are_resolved_as_the_front_end_does() -> None:
    text = "a {b|{c|d}} /* x */e// f\ng"
    assert inputs_of(workflow(node(5, "Text", values=[text, "y"]))) == {"text": "a b e\ng", "pick": "y"}
    assert tool.dynamic_prompt(r"\{a|b\} {a") == "{a|b} {a"
    assert {tool.dynamic_prompt("{a|b|{c|d}}", random.Random(seed)) for seed in range(40)} == set("abcd")


# --- what cannot be converted is refused by name ---

SUBGRAPH = "11111111-1111-1111-1111-111111111111"
ITSELF = {"subgraphs": [{"id": SUBGRAPH, "nodes": [node(1, SUBGRAPH), node(2, SUBGRAPH)], "links": []}]}


@pytest.mark.parametrize(
    ("ui", "words"),
    [
        (workflow(node(1, "workflow>Mine")), "workflow>Mine"),
        (workflow(node(1, "Nope", title="T", properties={"cnr_id": "pack-x"})), '"T" (Nope), node 1'),
        (workflow(node(1, "Nope", properties={"cnr_id": "pack-x"})), "pack-x"),
        (workflow(node(1, "Source"), node(1, "Source")), "id 1"),
        (workflow(node(1, "Number", values=[float("nan")])), '"seed"'),
        (workflow(node(1, SUBGRAPH)), "subgraph"),
        (workflow(node(1, SUBGRAPH), definitions=ITSELF), ""),
        (
            workflow(node(3, "GetNode"), node(5, "Use", ("image", "IMAGE", 3)), links=[[3, 3, 0, 5, 0, "IMAGE"]]),
            "SetNode",
        ),
        (
            workflow(
                node(1, "Reroute", ("", "*", 1)),
                node(2, "Use", ("image", "IMAGE", 2)),
                links=[[1, 1, 0, 1, 0, "*"], [2, 1, 0, 2, 0, "*"]],
            ),
            "circle",
        ),
        ({"1": {"class_type": "Source", "inputs": {}}}, "no workflow"),
    ],
)
def test_what_cannot_be_converted_is_refused_naming_it(ui: Any, words: str) -> None:
    with pytest.raises(tool.WorkflowRefused) as refused:
        tool.convert(ui, parsed(KNOWN))
    assert words in refused.value.message


def spoilt(value: Any, rng: random.Random) -> Any:
    """A workflow with something in it that does not belong there."""
    copied = copy.deepcopy(value)
    for _ in range(rng.choice((1, 2, 8))):
        at: Any = copied
        for _ in range(rng.randrange(1, 8)):
            keys = list(at) if isinstance(at, dict) else range(len(at)) if isinstance(at, list) else ()
            if not keys:
                break
            key = rng.choice(keys)
            if rng.random() < 0.3 or not isinstance(at[key], (dict, list)):
                at[key] = rng.choice([None, True, -1, 3.5, 2**70, "", "x", [], {}, [[]], {"a": 1}, [1, 2, 3, 4, 5, 6]])
                break
            at = at[key]
    return copied


def test_a_spoilt_workflow_is_converted_or_refused_and_quickly() -> None:
    rng, known = random.Random(7), parsed(definitions("0.33.0"))
    names = list(digests("0.33.0"))
    for _ in range(300):
        ui = spoilt(template("0.33.0", rng.choice(names)), rng)
        began = time.monotonic()
        try:
            tool.convert(ui, known)
        except tool.WorkflowRefused as refused:
            assert 0 < len(refused.message) < 600
        assert time.monotonic() - began < 5


# --- as a command ---


async def test_convert_writes_one_file_for_each_and_names_what_it_could_not(tmp_path: Path) -> None:
    good, bad = tmp_path / "image2image.ui.json", tmp_path / "not.json"
    good.write_text(json.dumps(template("0.3.64", "image2image")))
    bad.write_text("{")
    known = tmp_path / "object_info.json"
    known.write_text(json.dumps(definitions("0.3.64")))
    (tmp_path / "out").mkdir()
    status, out, err = await command(
        "convert", str(good), str(bad), "--definitions", str(known), "--out", "out", cwd=tmp_path
    )
    assert (status, out) == (1, "out/image2image.api.json\n")
    assert str(bad) in err
    assert "Traceback" not in err
    graph = json.loads((tmp_path / "out/image2image.api.json").read_text())
    assert digest(graph, definitions("0.3.64")) == digests("0.3.64")["image2image"]


async def test_convert_asks_a_comfyui_for_its_definitions(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(template("0.3.64", "image2image")))
    async with StandIn(release="0.3.64") as comfy:
        status, out, err = await command("convert", "x.json", "--endpoint", comfy.url, cwd=tmp_path)
    assert (status, out, err) == (0, "x.api.json\n", "")
