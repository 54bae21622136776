"""ComfyUI's API format: what a graph looks like, and how to read its nodes.

A graph maps node ids to nodes; this is what the server runs. An input holds a value, or a link to
another node's output as [node id, number of the output from 0]:

    {"4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
     "3": {"class_type": "KSampler", "inputs": {"seed": 7, "model": ["4", 0]}, "_meta": {"title": "Sampler"}}}

The other format is that of ComfyUI's editor, which graph/editor reads; `is_api_format` and
`is_ui_format` tell the two apart. Graphs come from anybody, so most functions here take whatever
stands in a node's place; `plain_title` and `node_title` want the nodes that `graph_nodes` lets
through. A `Target` is a place where a value can be set.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..bounds import MOST_NODE_INPUTS, MOST_NODE_NAME_CHARACTERS, MOST_NODES
from ..errors import WorkflowRefused
from ..names import shortened
from ..values import object_of, text_of
from .definitions import Definitions

Graph = Mapping[str, Any]  # node id -> {"class_type", "inputs", "_meta"}
NO_DEFINITIONS: Definitions = {}  # for what is done to a graph without asking a server


@dataclass(frozen=True)
class Target:
    """A place in a graph for a value: a widget (an input of a node without a link), or a
    placeholder in its text.
    """

    node_id: str
    input: str
    # The share of the value that is set here: 0.5 where one sampler hands over to the next half-way
    # through the steps.
    part: float = 1.0
    # the placeholder that the value replaces, such as "{{style}}"; "" where it is the whole widget
    token: str = ""
    # The input that links carry the value to, where it is another one: its range counts first.
    reader: "Target | None" = field(default=None, compare=False)

    @property
    def widget(self) -> "Target":
        """The whole widget that it is in."""
        return Target(self.node_id, self.input)


def check_names(where: str, *names: str) -> None:
    """Raise `WorkflowRefused` for a name that is too long to be one, and for too many names of a
    node and its inputs; `where` says whose they are.
    """
    if len(names) > MOST_NODE_INPUTS:
        raise WorkflowRefused(f"{where} has more than {MOST_NODE_INPUTS} inputs.")
    for name in names:
        if len(name) > MOST_NODE_NAME_CHARACTERS:
            raise WorkflowRefused(
                f'{where} has a name of {len(name)} characters: "{shortened(name, 40)}".',
                f"Names of nodes and of their inputs may have {MOST_NODE_NAME_CHARACTERS}.",
            )


def too_many_nodes() -> WorkflowRefused:
    """The error for a workflow that is larger than any that people make."""
    return WorkflowRefused(f"The workflow has more than {MOST_NODES} nodes.")


def is_ui_format(value: Any) -> bool:
    """Whether a value is a workflow as ComfyUI's editor saves it, by its outermost keys."""
    if not isinstance(value, Mapping):
        return False
    return isinstance(value.get("nodes"), list) and "links" in value


def is_api_format(value: Any) -> bool:
    """Whether a value is a graph in the API format; its author may have put remarks beside the
    nodes.
    """
    if not isinstance(value, Mapping):
        return False
    return any(_has_class(node) for node in value.values())


def _has_class(node: Any) -> bool:
    class_type = object_of(node).get("class_type")
    return isinstance(class_type, str)


def graph_nodes(graph: Graph) -> dict[str, Mapping[str, Any]]:
    """The entries of a graph that are nodes: those with a text as id and a `class_type`."""
    nodes: dict[str, Mapping[str, Any]] = {}
    for node_id, node in graph.items():
        if isinstance(node_id, str) and _has_class(node):
            nodes[node_id] = node
    return nodes


def node_inputs(node: Any) -> Mapping[str, Any]:
    """The inputs of a node; none where something else stands in the node's or in their place."""
    inputs = object_of(node).get("inputs")
    return object_of(inputs)


def is_link(value: Any) -> bool:
    """Whether an input holds a link to another node's output instead of a value."""
    if not isinstance(value, list) or len(value) != 2:
        return False
    node_id, slot = value
    return isinstance(node_id, str) and isinstance(slot, int)


def has_same_links(graph: Graph, other: Graph) -> bool:
    """Whether another graph has the same nodes with the same links. No, where that is not told
    quickly: where what an input takes depends on the values of others ("format.codec").
    """
    if graph.keys() != other.keys():
        return False
    for node_id, node in other.items():
        before = graph[node_id]
        if before is node:
            continue
        links = _links_of(node)
        if before["class_type"] != node["class_type"] or links != _links_of(before):
            return False
        if any("." in name for name in links):
            return False
    return True


def _links_of(node: Any) -> dict[str, Any]:
    """The links that a node reads, by its inputs."""
    return {str(name): value for name, value in node_inputs(node).items() if is_link(value)}


def input_value(value: Any) -> Any:
    """A value as an input holds it: a list is wrapped, since ComfyUI would take it for a link."""
    if isinstance(value, list):
        return {"__value__": value}
    return value


def given_title(node: Any) -> str:
    """The title that a workflow gives a node, on one line, or ""."""
    meta = object_of(object_of(node).get("_meta"))
    words = text_of(meta.get("title")).split()
    return " ".join(words)


def plain_title(node: Any) -> str:
    """A node's title, or else its class, without double quotes: it can stand between them in a
    message.
    """
    title = given_title(node) or str(node["class_type"])
    return title.replace('"', "'")


def node_title(graph: Graph, node_id: str) -> str:
    """A node in a message: "Sampler" (KSampler); its id alone where the graph does not have it."""
    node = graph.get(node_id)
    if not node:
        return f"node {node_id}"
    title = given_title(node)
    class_type = node["class_type"]
    if title in ("", class_type):
        return f'"{class_type}"'
    return f'"{title}" ({class_type})'


# Nodes that exist on the page only.

NOTES = ("Note", "MarkdownNote")
# Switches and remarks of common packages that exist on the page only. What they switched is in the
# modes of the nodes.
PAGE_ONLY = re.compile(
    r"(Label|Bookmark|Node Combiner|Node Collector|Random Unmuter|Fast Actions Button"
    r"|Fast (Groups )?(Muter|Bypasser)|Mute / Bypass (Repeater|Relay)) \(rgthree\)|Note Plus \(mtb\)"
)


def page_only_nodes(graph: Graph) -> set[str]:
    """The remarks and switches of a graph that no server has and nothing reads: some programs write
    them into files in the API format, too.
    """
    nodes = graph_nodes(graph)
    read = {
        value[0]
        for node in nodes.values()
        for value in node_inputs(node).values()
        if is_link(value)
    }
    idle: set[str] = set()
    for node_id, node in nodes.items():
        class_type = node["class_type"]
        if node_id not in read and (class_type in NOTES or PAGE_ONLY.fullmatch(class_type)):
            idle.add(node_id)
    return idle
