"""Any value in any place: whatever comes in is read, or refused with an error of the tool.

What a server sends may also fail as `HttpServer._reading` and `Connection._take` expect, which make an error of it or
pass over it. Nothing else is raised, by no reader and no parser.
"""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import comfyui_tool as tool

# The keys that the readers know, so that values get into their depths.
KEYS = st.sampled_from(
    [
        *("nodes", "links", "type", "id", "inputs", "outputs", "name", "link", "widgets_values", "mode", "properties"),
        *("class_type", "_meta", "title", "prompt", "status", "messages", "node_errors", "errors", "error", "message"),
        *("extra_info", "input_config", "input_name", "system", "devices", "vram_total", "images", "filename", "text"),
        *("input", "required", "optional", "options", "min", "max", "default", "extra", "definitions", "subgraphs"),
        *("queue_running", "queue_pending", "node", "value", "display_node", "completed", "in_progress", "linkIds"),
        *("data", "prompt_id", "comfyui_tool", "mark", "at", "until", "role", "user", "content", "files", "url", "1"),
        *("COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3", "template", "key", "proxyWidgets", "origin_id", "target_slot"),
    ]
)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-5, 2**70)
    | st.floats()
    | KEYS
    | st.text(max_size=12)
    | st.sampled_from(["INT", "COMBO", "Reroute", "SetNode", "a.png", "\ud800", "1e999", "9" * 400])
)
JSON = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=6),
    max_leaves=16,
)
OBJECT = st.dictionaries(KEYS, JSON, max_size=6)
NODE = st.fixed_dictionaries(
    {"id": st.integers(1, 4), "type": KEYS | st.sampled_from(["Maker", "Reroute", "s"])},
    optional={
        "inputs": st.lists(st.fixed_dictionaries({"name": KEYS}, optional={"link": st.integers(1, 6), "type": JSON})),
        "outputs": JSON,
        "widgets_values": JSON,
        "mode": st.sampled_from([0, 2, 4, 7]),
        "properties": JSON,
    },
)
LINK = st.tuples(st.integers(1, 6), st.integers(-20, 4), st.integers(0, 3), st.integers(-20, 4), st.integers(0, 3))
DRAWN = st.fixed_dictionaries(
    {"nodes": st.lists(NODE, max_size=5), "links": st.lists(LINK.map(list), max_size=6)},
    optional={"definitions": JSON, "extra": JSON, "version": JSON},
)
MAKER = tool.NodeDefinition.parse("Maker", {"input": {"required": {"text": ["STRING", {}]}}, "output": ["IMAGE"]})
DEFINITIONS = {"Maker": MAKER}
UNREADABLE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError)


def read_as(read: Callable[[tool.JsonText], Any]) -> Callable[[Any], object]:
    """A reader of JSON texts, as a reader of values."""
    return lambda value: read(tool.JsonText(json.dumps(value).encode()))


# What reads what a server sends.
OF_SERVERS: dict[str, Callable[[Any], object]] = {
    "a queue": read_as(tool.read_queue),
    "a history": read_as(tool.read_history),
    "an entry of it": read_as(lambda text: tool.read_history_entry(text, "1")),
    "a record": read_as(lambda text: tool.read_record(text, "1")),
    "definitions": read_as(lambda text: tool.read_definitions(text, {"1", "node"})),
    "names": read_as(lambda text: tool.read_names(text, str)),
    "a model file": read_as(tool.read_model_facts),
    "old node classes": read_as(tool.read_replacements),
    "remarks in a workflow": tool.read_remarks,
    "a package": lambda value: tool.package_of(value if isinstance(value, dict) else {"cnr_id": value, "ver": value}),
    "a table of tags": lambda value: tool.read_model_facts(
        tool.JsonText(json.dumps({tool.TAGS: json.dumps(value), tool.FOLDERS: json.dumps(value)}))
    ),
    "outputs that were left out": lambda value: tool.read_left_out({}, value),
    "a definition": lambda value: tool.NodeDefinition.parse("x", value),
    "outputs": tool.parse_outputs,
    "a history entry": tool.parse_history,
    "a job of Comfy Cloud": tool.parse_job,
    "a refusal": lambda value: tool.parse_refusal(value, {"1": {"class_type": "Maker", "inputs": {}}}, DEFINITIONS),
    "what it says of itself": tool.parse_stats,
    "a row": lambda value: tool.parse_prompt(value, tool.Started()),
}


@pytest.mark.parametrize("name", OF_SERVERS)
@given(value=JSON | OBJECT)
@settings(max_examples=30)
def test_what_a_server_sends_is_read_or_unreadable(name: str, value: Any) -> None:
    with contextlib.suppress(UNREADABLE):
        OF_SERVERS[name](value)


FRAMES = ["execution_start", "execution_cached", "executing", "progress", "progress_state", "executed"]
FRAMES += ["execution_error", "execution_interrupted", "execution_success", "status", "feature_flags"]


@given(kind=st.sampled_from(FRAMES) | st.text(max_size=5), data=OBJECT)
@settings(max_examples=60)
def test_a_frame_is_read_or_unreadable(kind: str, data: dict[str, Any]) -> None:
    with contextlib.suppress(UNREADABLE):
        tool.parse_frame(kind, data)


# What reads what people and models send.
OF_PEOPLE: dict[str, Callable[[Any], object]] = {
    "a workflow": tool.unwrap,
    "a graph": lambda value: tool.clean(value if isinstance(value, dict) else {"1": value}),
    "a workflow as JSON": lambda value: tool.read_workflow_file(json.dumps(value).encode()),
    "a drawn workflow": lambda value: tool.convert(value, DEFINITIONS),
    "arguments": lambda value: tool.check_arguments(value if isinstance(value, dict) else {"x": value}),
    "inputs": tool.read_inputs,
    "words": lambda value: tool.words_of(value, "search"),
    "a switch": lambda value: tool.as_yes(value, "cancel"),
    "an address": lambda value: tool.Endpoint.parse(str(value)),
    "addresses": lambda value: tool.read_endpoints(str(value), str(value)),
    "a message": lambda value: tool.media_in([value] if isinstance(value, dict) else []),
    "a mark": lambda value: tool.Owner("ann", b"k").owns(
        tool.Prompt("1", tool.Started(), extra_data={tool.MARK: value})
    ),
    "a time in a mark": lambda value: tool.marked_time(
        tool.Prompt("1", tool.Started(), extra_data={tool.MARK: value}), "at"
    ),
    "a name": lambda value: (tool.find_name(str(value), [str(value), "a"]), tool.closest(str(value), ["a", "b"])),
}


@pytest.mark.parametrize("name", OF_PEOPLE)
@given(value=JSON | OBJECT | DRAWN)
@settings(max_examples=30)
def test_what_people_send_is_read_or_refused_with_an_error_of_the_tool(name: str, value: Any) -> None:
    try:
        OF_PEOPLE[name](value)
    except tool.ComfyUIError as refused:
        assert refused.message


@given(DRAWN)
@settings(max_examples=60)
def test_a_drawn_workflow_becomes_a_graph_or_is_refused(ui: Any) -> None:
    try:
        graph = tool.convert(ui, DEFINITIONS)
    except tool.WorkflowRefused:
        return
    assert tool.clean(graph).keys() == graph.keys()


@given(st.text() | st.text(alphabet='{}[]",:/*%\\ \n1a`'))
@settings(max_examples=60)
def test_any_text_is_json_or_refused_with_its_place(text: str) -> None:
    try:
        value = tool.read_json(text)
    except tool.WorkflowRefused as refused:
        assert "line" in refused.message or "nested" in refused.message or "Two" in refused.message
        return
    plain = tool.tidied(text.strip().removeprefix("\ufeff"))
    if "`" not in text:
        assert repr(value) == repr(json.loads(plain))  # NaN is not equal to itself


@given(st.binary(max_size=60), st.sampled_from(["utf-8", "utf-16", "utf-32", "utf-8-sig", "utf-16-be"]), JSON)
@settings(max_examples=40)
def test_any_file_is_a_workflow_or_refused(data: bytes, encoding: str, value: Any) -> None:
    for content in (data, json.dumps(value).encode(encoding)):
        with contextlib.suppress(tool.WorkflowRefused):
            tool.read_workflow_file(content)


@given(st.text(max_size=30), st.lists(st.text(max_size=30), max_size=8))
@settings(max_examples=50)
def test_a_name_that_is_there_is_found_and_no_other_is_made_up(wanted: str, choices: list[str]) -> None:
    found = tool.find_name(wanted, choices)
    assert found in (*choices, None)
    assert wanted not in choices or found == wanted
    assert set(tool.closest(wanted, choices)) <= set(choices)
