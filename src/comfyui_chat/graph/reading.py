"""Workflows read from JSON as people paste it, unwrapped and checked.

`read_workflow_file` takes a file's bytes, `read_json` a text: also one in a Markdown code block,
with comments, with a comma after the last item, or with bare placeholders. `unwrap` takes a
workflow out of its envelope:

    {"prompt": {"3": {"class_type": "KSampler", ...}}, "client_id": "..."}

What comes out is in either of ComfyUI's formats; graph/editor converts that of its editor. `clean`
makes a graph in the API format ready to send, and `check_links` finds what the server would refuse
without telling where.
"""

import codecs
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..bounds import (
    MB,
    MOST_HAND_WRITTEN_CHARACTERS,
    MOST_NODES,
    MOST_PIECE_BYTES,
    MOST_TITLE_CHARACTERS,
    MOST_WORKFLOW_BYTES,
)
from ..errors import WorkflowRefused
from ..json_pieces import BeyondBound, JsonText, read_json_text
from ..names import quoted, shortened, shown_value
from ..values import object_of
from .definitions import Definitions
from .nodes import (
    Graph,
    check_names,
    is_api_format,
    is_link,
    is_ui_format,
    node_title,
    page_only_nodes,
    too_many_nodes,
)


def read_workflow_file(data: bytes) -> Graph:
    """The workflow in a JSON file, in any Unicode encoding. Raises `WorkflowRefused`. Blocks: call
    it in a thread.
    """
    if len(data) > MOST_WORKFLOW_BYTES:
        raise _too_long()
    decoder = codecs.getincrementaldecoder(json.detect_encoding(data))("replace")
    pieces = [
        data[start : start + MOST_PIECE_BYTES] for start in range(0, len(data), MOST_PIECE_BYTES)
    ]
    return unwrap(read_json("".join(map(decoder.decode, pieces))))


def read_json(text: str) -> Any:
    """JSON as people paste it. Blocks: call it in a thread, where it may be long.

    Raises `WorkflowRefused` for what is not JSON, for what is beyond a bound, and for an object
    that has a node or a workflow twice under one name: one of the two would be lost.
    """
    if len(text) > MOST_WORKFLOW_BYTES:
        raise _too_long()
    plain = text.strip().removeprefix("\ufeff").lstrip()
    if plain.startswith("```"):
        plain = re.sub(r"\A```\w{0,20}", "", plain)
    plain = plain.removesuffix("```")
    try:
        return _read_strictly(plain)
    except WorkflowRefused:
        if len(plain) > MOST_HAND_WRITTEN_CHARACTERS:
            raise
    return _read_strictly(tidied(plain))


def _read_strictly(text: str) -> Any:
    """JSON as programs write it. Raises `WorkflowRefused`."""
    pieces = JsonText(text, _without_twins)
    try:
        return read_json_text(pieces)
    except BeyondBound as beyond:
        raise WorkflowRefused(f"This JSON {beyond} to be a workflow.", EXPECTED) from None
    except ValueError:
        before = text[: pieces.fault_at]
        line = before.count("\n") + 1
        column = len(before) - before.rfind("\n")
        message = (
            f"This is not valid JSON: it breaks off or goes wrong at line {line}, column {column}."
        )
        raise WorkflowRefused(message, EXPECTED) from None


def _too_long() -> WorkflowRefused:
    return WorkflowRefused(
        f"This has more than {MOST_WORKFLOW_BYTES // MB} MB, and is too long to be a workflow."
    )


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a JSON text. Raises `WorkflowRefused` for two nodes, or two workflows, of one
    name.
    """
    merged = dict(pairs)
    if len(merged) == len(pairs):
        return merged
    seen: set[str] = set()
    for name, value in pairs:
        if name not in seen:
            seen.add(name)
            continue
        if isinstance(value, dict) and "class_type" in value:
            raise WorkflowRefused(f'Two nodes of the workflow have the id "{shortened(name)}".')
        if is_ui_format(value) or is_api_format(value):
            raise WorkflowRefused(
                f'Two workflows have the name "{shortened(name)}".', "Rename one of them."
            )
    return merged


# The parts of JSON that a person wrote: the beginning of a string or a comment, a placeholder, a
# comma, a closing bracket, and everything else. None of these patterns looks beyond its own end, so
# the time to read a text is linear in its length, whatever it holds.
JSON_PART = re.compile(r'"|/\*|//[^\n]*|%\w+%|[,}\]]|[^\s"/%,}\]]+|[/%]')
# What follows the beginning of a string and of a comment, to its end.
RESTS = {
    '"': re.compile(r'(?:[^"\\]++|\\.)*+"', re.DOTALL),
    "/*": re.compile(r".*?\*/", re.DOTALL),
}


def tidied(text: str) -> str:
    """Text without what people write into JSON by hand: comments, a comma after the last item, bare
    placeholders.

    `{"steps": %steps%, /* few */}` becomes `{"steps": "%steps%" }`. Where a string or a comment
    never ends, the rest of the text stays as it is: it is not JSON in any case.
    """
    parts: list[str] = []
    # its place in `parts`, while only white space and comments have followed it
    comma: int | None = None
    place = 0
    while True:
        part = JSON_PART.search(text, place)
        if part is None:
            break
        symbol = part[0]
        end = part.end()
        if symbol in RESTS:
            rest = RESTS[symbol].match(text, end)
            if rest is None:
                break
            symbol += rest[0]
            end = rest.end()
        parts.append(text[place : part.start()])
        place = end
        if symbol.startswith(("/*", "//")):
            continue
        if symbol in ("}", "]") and comma is not None:
            parts[comma] = ""
        comma = len(parts) if symbol == "," else None
        is_placeholder = symbol.startswith("%") and symbol != "%"
        parts.append(f'"{symbol}"' if is_placeholder else symbol)
    parts.append(text[place:])
    return "".join(parts)


# A hint for whatever is given as a workflow and is not one.
EXPECTED = "Expected is a workflow as ComfyUI saves it, or as it exports it for its API."

# The keys of what people put a workflow into: a body for /prompt, a template's envelope, the result
# of the front end's graphToPrompt, the input of a job at RunPod.
WRAPPERS = ("prompt", "workflow", "output", "input", "workflow_api", "workflow_json")


def unwrap(value: Any) -> Graph:
    """A workflow in either format, without what stands around it, to a depth of four.

    Raises `WorkflowRefused` for anything else, saying what it is.
    """
    inner = value
    for _ in range(4):
        if is_ui_format(inner) or is_api_format(inner):
            return dict(inner)
        if isinstance(inner, str) and inner.lstrip().startswith("{"):
            inner = read_json(inner)
        elif isinstance(inner, Mapping):
            inner = _wrapped(inner)
    raise WorkflowRefused(f"This is {_what_it_is(value)}, and not a workflow of ComfyUI.", EXPECTED)


def _wrapped(envelope: Mapping[str, Any]) -> Any:
    """What an object holds under the first of `WRAPPERS` that may be a workflow, or None."""
    for key in WRAPPERS:
        inner = envelope.get(key)
        if isinstance(inner, (Mapping, str)):
            return inner
    return None


def _what_it_is(value: Any) -> str:
    if isinstance(value, Mapping):
        if not value:
            return "an empty object"
        first_keys = [*value][:4]
        return "an object with " + quoted(shortened(key, 20) for key in first_keys)
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return f"the text {shown_value(value)}"
    return shortened(json.dumps(value), 40)


def clean(graph: Graph) -> dict[str, Any]:
    """A graph in the API format, with the class, inputs and title of each node and nothing else.

    Remarks beside the nodes or as nodes, and what a server noted in them, are left out. Raises
    `WorkflowRefused`, naming the node, for one that cannot be sent.
    """
    nodes: dict[str, Any] = {}
    if len(graph) > MOST_NODES:
        raise too_many_nodes()
    idle = page_only_nodes(graph)
    for node_id, node in graph.items():
        if node_id in idle:
            continue
        if isinstance(node, Mapping) and ("class_type" in node or "inputs" in node):
            nodes[str(node_id)] = _clean_node(node_id, node, graph)
    return nodes


def _clean_node(node_id: Any, node: Mapping[str, Any], graph: Graph) -> dict[str, Any]:
    where = f"Node {shortened(node_id, 30)} of the workflow"
    class_type = node.get("class_type")
    if not isinstance(class_type, str):
        raise WorkflowRefused(f"{where} has no class_type.", EXPECTED)
    inputs = node.get("inputs", {})
    if not isinstance(inputs, Mapping):
        raise WorkflowRefused(f"{where} has no inputs.", EXPECTED)
    check_names(where, class_type, *map(str, inputs))
    clean_inputs: dict[str, Any] = {}
    for name, value in inputs.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise WorkflowRefused(f'{where}: "{shortened(name)}" is {value}, which cannot be sent.')
        clean_inputs[str(name)] = _with_text_id(value, graph)
    meta: dict[str, str] = {}
    title = object_of(node.get("_meta")).get("title")
    if isinstance(title, str):
        meta["title"] = title[:MOST_TITLE_CHARACTERS]
    return {"class_type": class_type, "inputs": clean_inputs, "_meta": meta}


def _with_text_id(value: Any, graph: Graph) -> Any:
    """The value, with the node id of a link as text: some programs write a number, which the server
    does not find.
    """
    if not isinstance(value, list) or len(value) != 2:
        return value
    node_id, slot = value
    if type(node_id) is not int or str(node_id) not in graph:
        return value
    return [str(node_id), slot]


def check_links(graph: Graph, definitions: Definitions) -> None:
    """Raise `WorkflowRefused`, naming a node, for a link to a node that is not there, and for links
    in a circle.

    The server refuses both without a reason that helps. Like it, this only looks at what leads to
    an output node.
    """
    # by the id of every node that was reached: whether all before it were too
    done: dict[str, bool] = {}
    for node_id, node in graph.items():
        class_type = node["class_type"]
        if class_type not in definitions or definitions[class_type].is_output:
            _follow_back(node_id, graph, done)


def _follow_back(start: str, graph: Graph, done: dict[str, bool]) -> None:
    """Follow all links that lead to a node, depth first, and note in `done` what was reached."""
    if start in done:
        return
    done[start] = False
    path = [(start, _linked_ids(graph[start]))]
    while path:
        node_id, sources = path[-1]
        source = next(sources, None)
        if source is None:
            done[node_id] = True
            path.pop()
        elif source not in graph:
            where = node_title(graph, node_id)
            raise WorkflowRefused(
                f'{where} is linked to a node "{shortened(source)}", which is not there.'
            )
        elif source not in done:
            done[source] = False
            path.append((source, _linked_ids(graph[source])))
        elif not done[source]:
            raise WorkflowRefused(
                f"The links of the workflow run in a circle through {node_title(graph, source)}."
            )


def _linked_ids(node: Mapping[str, Any]) -> Iterator[str]:
    """The ids of the nodes that a node is linked to."""
    for value in node["inputs"].values():
        if is_link(value):
            yield value[0]
