"""Hostile texts: whatever reads a text takes a time that grows with its length only.

`re` holds the interpreter's lock, so a pattern that is quadratic on 100 kB stops Open WebUI for everybody. Each reader
here gets texts that are known to lead patterns back and forth; ten times the length may cost at most fifteen times the
CPU time.
"""

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.graphs import text_to_image
from tests.support.growth import grows_with_length_only

# What is repeated, and what stands at the end so that nothing matches after all.
UNITS = [
    *("a", "1", "_", " ", "-", "/", "\\", ".", ",", ":", ";", "=", "%", "|", "(", "[", "{", "<", '"', "`", "\n"),
    *("a/", "a.", "a_", "1.", "1x", "1:1 ", "0_", "a b ", "..", "//", "/*", "\\{", "{a|", "%a", "%%a", "{{"),
    *("int", "text", "save", "show", "prompt_", "param: ", "conditioning", "model", "ctx_", "embedding:", "<lora:"),
    *("![](", "data:a/a;", "http://", "/api/v1/files/", "the picture ", "node ", "e\u0301", "\ud800", "0123abcd-"),
]
ENDS = ["", "!"]


def argument(text: Any) -> tool.Argument:
    return tool.Argument(text, "size")


def named(text: str) -> Mapping[str, Any]:
    """A graph in which the text stands wherever a name may: of a class, of an input, as a title, as a value."""
    graph = json.loads(json.dumps(text_to_image()))
    node_id = next(iter(graph))
    graph[node_id]["_meta"] = {"title": text}
    graph["900"] = {"class_type": text, "inputs": {text: text, "text": text}}
    return tool.clean(graph)


def drawn(text: str) -> tuple[Any, ...]:
    """The same in the format of ComfyUI's editor."""
    node = {"id": 1, "type": text, "title": text, "inputs": [{"name": text, "type": text, "link": None}], "outputs": []}
    return tuple(tool.class_types(tool.live_nodes({"nodes": [node], "links": [], "version": 0.4})))


# The patterns of bundled workflows that look for one thing somewhere behind another.
PATTERNS = {need.match for entry in tool.bundled_entries() for need in entry.needs if ".*" in need.match}
PATTERNS |= {family.match for entry in tool.bundled_entries() for family in entry.families if ".*" in family.match}

LOADER = {"1": {"class_type": "Loader", "inputs": {"name": "a.safetensors"}}}

READERS: dict[str, Callable[[str], object]] = {
    "a size": lambda text: tool.read_size(argument(text)),
    "a number": tool.as_number,
    "a number in words": tool.read_number,
    "a time": tool.read_seconds,
    "a strength": tool.read_strength,
    "a seed": lambda text: tool.read_arguments({"seed": text, "strength": text}),
    "yes or no": lambda text: tool.as_yes(text, "free"),
    "a LoRA": tool.parse_lora,
    "a wish for transparency": tool.asks_for_transparency,
    "pictures": lambda text: tool.pick_pictures(text, [tool.ChatFile("image", "x", text)]),
    "several pictures": lambda text: tool.split_words(text, [tool.ChatFile("image", "x", "x")]),
    "files by themselves": tool.file_references,
    "references": tool.read_references,
    "a data URI": tool.read_data_uri,
    "LoRAs": lambda text: tool.read_loras(argument(text)),
    "tags in a prompt": tool.read_tags,
    "a name by its words": lambda text: tool.names_with_words(text, ["a.safetensors", text]),
    "a model's name": lambda text: tool.find_name(text, ["a.safetensors", text + "b"]),
    "a model for a bundled workflow": lambda text: [tool.matches(pattern, text) for pattern in PATTERNS],
    "a name among others": lambda text: tool.closest(text, ["a", text + "b"]),
    "a name without its number": tool.without_number,
    "a type of link": lambda text: tool.guessed_type(f"{random.random()}.{text}"),
    "a path in what a server says": tool.without_paths,
    "half an emoji": tool.whole_characters,
    "what a node reported": lambda text: tool.run_error(tool.Failed("1", text, text), LOADER),
    "where a proxy sends on": lambda text: tool.sent_on(tool.Endpoint("http://host:8188"), text),
    "the folder of a widget": lambda text: tool.model_folder("Loader", text),
    "a parameter": tool.parameter_name,
    "a title": tool.bare_name,
    "a prompt with choices": tool.dynamic_prompt,
    "the name of a file": lambda text: tool.file_stem(text, 1),
    "a text in a drawing": tool.drawn_text,
    "a text that tells addresses": lambda text: tool.hide_address(text, tool.Endpoint("http://10.0.0.5:8188/path")),
    "what an input holds": lambda text: tool.holds_secret("target", "Service", text),
    "a workflow as JSON": tool.read_json,
    "names in a graph": lambda text: tool.discover(named(text)),
    "names in a saved workflow": drawn,
    "a note in a workflow": lambda text: tool.told_notes([text]),
    "a link in a note": lambda text: tool.read_remarks({"nodes": [{"type": "Note", "widgets_values": [text]}]}),
    "a link to a model": tool.plain_link,
    "a chat's message": lambda text: tool.media_in([{"role": "assistant", "content": text}]),
    "addresses of servers": lambda text: tool.read_endpoints(text, ""),
}


@pytest.mark.parametrize("name", READERS)
def test_reading_a_text_takes_a_time_that_grows_with_its_length_only(name: str) -> None:
    hostile = [
        (unit, end) for unit in UNITS for end in ENDS if not grows_with_length_only(READERS[name], unit, end=end)
    ]
    assert hostile == []
