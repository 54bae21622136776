"""What is read out of the places in which people keep workflows: JSON with something around it, pictures that ComfyUI
made, and valves with one workflow or several. What cannot be sent to a server is refused and named."""

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import comfyui_tool as tool
from tests.support.pictures import encoded, saved

GRAPH: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64}, "_meta": {"title": "Canvas"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}, "_meta": {}},
}
UI = {"version": 0.4, "nodes": [{"id": 1, "type": "Note"}], "links": []}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


def picture(kind: str = "PNG", **texts: str) -> bytes:
    """A picture with texts in it, as ComfyUI keeps them in files of that kind."""
    image = Image.new("RGB", (8, 8), "red")
    if kind == "PNG":
        return encoded(image, **texts)
    exif = image.getexif()
    for place, (key, text) in enumerate(texts.items()):
        exif[0x0110 - place] = f"{key}:{text}"
    return saved(image, kind, exif=exif)


# --- JSON ---


@pytest.mark.parametrize("text", ["\ufeff" + json.dumps(GRAPH), f"\n {json.dumps(GRAPH)} \n"])
def test_json_is_read_with_what_editors_put_around_it(text: str) -> None:
    assert tool.unwrap(tool.read_json(text)) == GRAPH


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1"),
        ('{"1": ', "line 1, column 6"),
        ("<html>", "not valid JSON"),
        ("[" * 100_000, "nested too deep"),
        ('{"1": {"class_type": "A"}, "1": {"class_type": "B"}}', 'have the id "1"'),
    ],
)
def test_what_is_no_json_is_refused_with_the_place(text: str, says: str) -> None:
    with pytest.raises(tool.WorkflowRefused, match=says):
        tool.read_json(text)


def test_a_million_characters_are_read_in_a_moment() -> None:
    text = json.dumps({**GRAPH, "3": {"class_type": "X", "inputs": {"text": "y" * 1_000_000}}})
    began = time.process_time()
    assert tool.unwrap(tool.read_json(text))["3"]
    assert time.process_time() - began < 1


# --- what stands around a workflow ---


@pytest.mark.parametrize(
    "value",
    [GRAPH, {"prompt": GRAPH, "client_id": "x"}, {"workflow": GRAPH}, {"prompt": json.dumps(GRAPH)}, {"output": GRAPH}],
    ids=["bare", "a body for the API", "a template's envelope", "a text in it", "graphToPrompt"],
)
def test_a_workflow_is_found_in_its_envelope(value: Any) -> None:
    assert tool.unwrap(value) == GRAPH


def test_both_formats_are_told_apart() -> None:
    assert tool.unwrap({"workflow": UI}) == UI
    assert tool.is_ui_format(UI)
    assert not tool.is_ui_format(GRAPH)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([1, 2], "a list of 2"),
        ({}, "an empty object"),
        ({"name": "x", "valves": {}}, 'an object with "name", "valves"'),
        ("a fox", 'the text "a fox"'),
        (3, "3"),
        (None, "null"),
    ],
)
def test_what_is_no_workflow_is_told_what_it_is_and_what_was_expected(value: Any, says: str) -> None:
    with pytest.raises(tool.WorkflowRefused, match=says) as refused:
        tool.unwrap(value)
    assert "Expected is a workflow" in refused.value.hint


@given(JSON)
def test_anything_is_read_or_refused(value: Any) -> None:
    try:
        graph = tool.clean(tool.unwrap(value))
    except tool.WorkflowRefused:
        return
    assert all(isinstance(node["class_type"], str) for node in graph.values())


# --- a graph as it is sent ---


def test_remarks_beside_the_nodes_and_what_the_server_noted_in_them_are_left_out() -> None:
    noted = {**GRAPH["1"], "is_changed": [math.nan]}
    assert tool.clean({"_comment": "by me", "about": {"author": "me"}, "1": noted, "2": GRAPH["2"]}) == GRAPH


def test_a_link_whose_node_id_is_a_number_is_mended() -> None:
    graph = {**GRAPH, "2": {"class_type": "SaveImage", "inputs": {"images": [1, 0], "sizes": [3, 4]}}}
    assert tool.clean(graph)["2"]["inputs"] == {"images": ["1", 0], "sizes": [3, 4]}


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ({"inputs": {}}, "no class_type"),
        ({"class_type": "X", "inputs": [1]}, "no inputs"),
        ({"class_type": "X", "inputs": {"cfg": math.nan}}, '"cfg" is nan'),
    ],
)
def test_a_node_that_cannot_be_sent_is_named(node: Any, says: str) -> None:
    with pytest.raises(tool.WorkflowRefused, match=f"Node 7 .*{says}"):
        tool.clean({**GRAPH, "7": node})


def chain(length: int) -> dict[str, Any]:
    """A graph of so many nodes, each of which is linked to the one before it."""
    nodes = {str(n): {"class_type": "P", "inputs": {"image": [str(n - 1), 0]}} for n in range(1, length)}
    return {"0": {"class_type": "P", "inputs": {}}, **nodes}


ENDS = {
    "P": tool.NodeDefinition("P", {}),
    "Save": tool.NodeDefinition("Save", {}, is_output=True),
}


def test_links_that_end_nowhere_are_found_on_the_way_to_an_output() -> None:
    graph = {"1": {"class_type": "P", "inputs": {"image": ["9", 0]}}}
    tool.check_links(graph, ENDS)
    with pytest.raises(tool.WorkflowRefused, match='"P" is linked to a node "9"'):
        tool.check_links({**graph, "2": {"class_type": "Save", "inputs": {"image": ["1", 0]}}}, ENDS)


def test_links_in_a_circle_are_found() -> None:
    graph = chain(50) | {"0": {"class_type": "P", "inputs": {"image": ["49", 0]}, "_meta": {"title": "Loop"}}}
    graph["end"] = {"class_type": "Save", "inputs": {"image": ["30", 0]}}
    with pytest.raises(tool.WorkflowRefused, match="in a circle"):
        tool.check_links(graph, ENDS)


def test_five_thousand_nodes_are_checked_in_a_moment() -> None:
    graph = chain(5000) | {"end": {"class_type": "Save", "inputs": {"image": ["4999", 0]}}}
    began = time.process_time()
    tool.check_links(tool.clean(graph), ENDS)
    assert time.process_time() - began < 1


# --- pictures ---


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_a_picture_that_comfyui_made_gives_its_workflow(kind: str) -> None:
    data = picture(kind, workflow=json.dumps(UI), prompt=json.dumps(GRAPH))
    assert tool.read_picture_workflow(data, "a.png") == GRAPH
    assert tool.read_picture_workflow(picture(kind, workflow=json.dumps(UI)), "a.png") == UI


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_a_picture_also_gives_the_page_of_its_workflow_if_it_has_it(kind: str) -> None:
    assert tool.read_picture_page(picture(kind, workflow=json.dumps(UI), prompt=json.dumps(GRAPH))) == UI
    assert tool.read_picture_page(picture(kind, workflow=json.dumps(GRAPH))) is None
    assert tool.read_picture_page(picture(kind, workflow="{", prompt=json.dumps(GRAPH))) is None
    assert tool.read_picture_page(b"GIF89a") is None


def test_a_prompt_that_is_broken_gives_way_to_the_workflow_beside_it() -> None:
    assert tool.read_picture_workflow(picture(prompt="{", workflow=json.dumps(UI)), "a.png") == UI


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (picture(), "holds no workflow"),
        (picture(parameters="a fox\nSteps: 20"), "holds no workflow"),
        (b"GIF89a", "no picture"),
        (b"", "no picture"),
        (picture()[:40], "no picture|holds no workflow"),
    ],
)
def test_a_picture_without_a_workflow_is_named(data: bytes, says: str) -> None:
    with pytest.raises(tool.WorkflowRefused, match=says) as refused:
        tool.read_picture_workflow(data, "a.png")
    assert '"a.png"' in refused.value.message


# --- valves ---


def names(text: str) -> list[str]:
    """What the workflows in a valve are called, none of which is a problem."""
    pasted = tool.read_pasted(text, "user", "The valve")
    assert pasted.problems == ()
    return [entry.name for entry in pasted.entries]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (GRAPH, ["user"]),
        (UI, ["user"]),
        ({"prompt": GRAPH}, ["user"]),
        ({"portrait": GRAPH, "sub/banner": UI}, ["portrait", "sub/banner"]),
        ([GRAPH, UI], ["user-1", "user-2"]),
        ([{"name": "portrait", "workflow": GRAPH}, UI], ["portrait", "user-2"]),
        ({"portrait": {"workflow": GRAPH, "description": "Faces"}}, ["portrait"]),
        ({"portrait": json.dumps(GRAPH)}, ["portrait"]),
        ([], []),
    ],
)
def test_a_valve_holds_one_workflow_or_several(value: Any, expected: list[str]) -> None:
    assert names(json.dumps(value)) == expected


def test_an_empty_valve_holds_none() -> None:
    assert names("") == names("  \n") == []


def test_what_is_said_of_a_workflow_in_a_valve_is_kept() -> None:
    about = {"name": "faces", "description": "Portraits in oil", "task": "text_to_image", "workflow": GRAPH}
    entry = tool.read_pasted(json.dumps([about]), "administrator", "The valve").entries[0]
    assert (entry.name, entry.description, entry.task) == ("faces", "Portraits in oil", "text_to_image")
    assert (entry.source, entry.graph) == ("administrator", GRAPH)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "The valve: This is not valid JSON"),
        ('"a fox"', "The valve holds no workflow"),
        ('{"good": ' + json.dumps(GRAPH) + ', "bad": {"x": 1}}', 'The valve, "bad": This is an object with "x"'),
    ],
)
def test_what_cannot_be_read_is_named_and_the_rest_is_kept(text: str, says: str) -> None:
    pasted = tool.read_pasted(text, "user", "The valve")
    assert pasted.problems[0].startswith(says)
    assert len(pasted.entries) == ("good" in text)


@given(st.one_of(st.text(), JSON.map(lambda value: json.dumps(value, default=str))))
def test_any_text_in_a_valve_is_read_without_an_error(text: str) -> None:
    tool.read_pasted(text, "user", "The valve")
