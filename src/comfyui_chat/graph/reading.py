"""Workflows read from JSON as people paste it, unwrapped and checked.

`read_workflow_file` takes a file's bytes, `read_json` a text: also one in a Markdown code block, with comments, with a
comma behind the last item, or with bare placeholders. `unwrap` takes a workflow out of what may stand around it:

    {"prompt": {"3": {"class_type": "KSampler", ...}}, "client_id": "..."}

What comes out is in either of ComfyUI's formats; the one of its editor goes through graph/editor. One in the API
format is made ready to send by `clean`, and `check_links` finds what the server would refuse without telling where.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import WorkflowRefused
from ..names import quoted, shortened, shown_value
from .definitions import Definitions
from .nodes import Graph, is_api_format, is_link, is_ui_format, node_title


def read_workflow_file(data: bytes) -> Graph:
    """The workflow in a JSON file, in any Unicode encoding. Raises `WorkflowRefused`. Blocks: call it in a thread."""
    return unwrap(read_json(data.decode(json.detect_encoding(data), "replace")))


def read_json(text: str) -> Any:
    """JSON as people paste it.

    Raises `WorkflowRefused` for what is not JSON, and for an object that has a node or a workflow twice under one name:
    one of the two would be lost.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            for name, value in pairs:
                if name in seen and isinstance(value, dict) and "class_type" in value:
                    raise WorkflowRefused(f'Two nodes of the workflow have the id "{shortened(name)}".')
                if name in seen and (is_ui_format(value) or is_api_format(value)):
                    raise WorkflowRefused(f'Two workflows have the name "{shortened(name)}".', "Rename one of them.")
                seen.add(name)
        return found

    plain = re.sub(r"\A\s*```\w*|```\s*\Z", "", text.strip().removeprefix("\ufeff"))
    try:
        try:
            return json.loads(plain, object_pairs_hook=unique)
        except json.JSONDecodeError:
            return json.loads(tidied(plain), object_pairs_hook=unique)
    except RecursionError:
        raise WorkflowRefused("This JSON is nested too deep to be a workflow.", EXPECTED) from None
    except ValueError as error:
        place = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise WorkflowRefused(f"This is no JSON: it breaks off or goes wrong{place}.", EXPECTED) from None


# Of JSON that a person wrote these are told apart: the beginning of a string or a comment, a placeholder, a comma, a
# closing bracket, and everything else. None of these patterns looks beyond its own end, so the time to read a text is
# linear in its length, whatever it holds.
JSON_PART = re.compile(r'"|/\*|//[^\n]*|%\w+%|[,}\]]|[^\s"/%,}\]]+|[/%]')
REST_OF_STRING = re.compile(r'(?:[^"\\]++|\\.)*+"', re.DOTALL)


def tidied(text: str) -> str:
    """Text without what people write into JSON by hand: comments, a comma behind the last item, bare placeholders.

    `{"steps": %steps%, /* few */}` becomes `{"steps": "%steps%" }`. Where a string or a comment never ends, the rest of
    the text stays as it is: it is not JSON in any case.
    """
    kept: list[str] = []
    comma: int | None = None  # its place in `kept`, while only white space and comments have followed it
    place = 0
    while part := JSON_PART.search(text, place):
        kept.append(text[place : part.start()])
        place, token = part.end(), part[0]
        if token.startswith("//"):
            continue
        if token == "/*":
            close = text.find("*/", place)
            if close < 0:
                return "".join(kept) + text[part.start() :]
            place = close + 2
            continue
        if token == '"':
            rest = REST_OF_STRING.match(text, place)
            if rest is None:
                return "".join(kept) + text[part.start() :]
            place, token = rest.end(), token + rest[0]
        elif token[0] == "%" and len(token) > 1:
            token = f'"{token}"'
        elif token in ("}", "]") and comma is not None:
            kept[comma] = ""
        comma = len(kept) if token == "," else None
        kept.append(token)
    return "".join(kept) + text[place:]


# A hint for whatever is given as a workflow and is not one.
EXPECTED = "Expected is a workflow as ComfyUI saves it, or as it exports it for its API."

# The keys of what people put a workflow into: a body for /prompt, a template's envelope, the result of the front end's
# graphToPrompt, the input of a job at RunPod.
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
            inner = next((inner[key] for key in WRAPPERS if isinstance(inner.get(key), (Mapping, str))), None)
    raise WorkflowRefused(f"This is {_what_it_is(value)}, and no workflow of ComfyUI.", EXPECTED)


def _what_it_is(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"an object with {quoted(shortened(key, 20) for key in [*value][:4])}" if value else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"the text {shown_value(value)}" if isinstance(value, str) else shortened(json.dumps(value), 40)


def clean(graph: Graph) -> dict[str, Any]:
    """A graph in the API format, with the class, inputs and title of each node and nothing else.

    Remarks beside the nodes, and what a server noted in them, are left out. Raises `WorkflowRefused`, naming the node,
    for one that cannot be sent.
    """
    nodes: dict[str, Any] = {}
    for node_id, node in graph.items():
        if not isinstance(node, Mapping) or not {"class_type", "inputs"} & node.keys():
            continue
        where = f"Node {shortened(node_id, 30)} of the workflow"
        kind, inputs, meta = node.get("class_type"), node.get("inputs", {}), node.get("_meta")
        if not isinstance(kind, str) or not isinstance(inputs, Mapping):
            raise WorkflowRefused(f"{where} has no {'inputs' if isinstance(kind, str) else 'class_type'}.", EXPECTED)
        for name, value in inputs.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise WorkflowRefused(f'{where}: "{shortened(name)}" is {value}, which cannot be sent.')
        title = meta.get("title") if isinstance(meta, Mapping) else None
        about = {"title": title} if isinstance(title, str) else {}
        held = {str(name): _as_link(value, graph) for name, value in inputs.items()}
        nodes[str(node_id)] = {"class_type": kind, "inputs": held, "_meta": about}
    return nodes


def _as_link(value: Any, graph: Graph) -> Any:
    """The value, with the node id of a link as text: some programs write a number, which the server does not find."""
    if isinstance(value, list) and len(value) == 2 and type(value[0]) is int and str(value[0]) in graph:
        return [str(value[0]), value[1]]
    return value


def check_links(graph: Graph, definitions: Definitions) -> None:
    """Raise `WorkflowRefused`, naming a node, for a link to a node that is not there, and for links in a circle.

    The server refuses both without a reason that helps. Like it, this only looks at what leads to an output node.
    """
    state: dict[str, bool] = {}  # nodes already reached: False while on the way, True once all before them are done
    ends = [node_id for node_id, node in graph.items() if _is_end(node["class_type"], definitions)]
    for end in ends:
        way = [(end, iter(_links(graph[end])))] if end not in state else []
        state.setdefault(end, False)
        while way:
            node_id, links = way[-1]
            source = next(links, None)
            if source is None:
                state[node_id] = True
                way.pop()
            elif source not in graph:
                where = node_title(graph, node_id)
                raise WorkflowRefused(f'{where} is linked to a node "{shortened(source)}", which is not there.')
            elif source not in state:
                state[source] = False
                way.append((source, iter(_links(graph[source]))))
            elif not state[source]:
                raise WorkflowRefused(f"The links of the workflow run in a circle through {node_title(graph, source)}.")


def _links(node: Mapping[str, Any]) -> Iterator[str]:
    return (value[0] for value in node["inputs"].values() if is_link(value))


def _is_end(class_type: str, definitions: Definitions) -> bool:
    return class_type not in definitions or definitions[class_type].is_output
