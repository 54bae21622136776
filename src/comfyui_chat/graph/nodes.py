"""graph/nodes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .definitions import Definitions

Graph = Mapping[str, Any]  # ComfyUI's API format: node id -> {"class_type", "inputs", "_meta"}
NO_DEFINITIONS: Definitions = {}


@dataclass(frozen=True)
class Target:
    """One widget of a graph: the input of a node, or one placeholder in the text that the input holds."""

    node_id: str
    input: str
    part: float = 1.0  # the widget holds this much of the value: the step at which one sampler hands over to the next
    token: str = ""  # the placeholder that the value takes the place of
    reader: "Target | None" = field(default=None, compare=False)  # where the value goes over links: its range counts

    @property
    def widget(self) -> "Target":
        """The whole widget."""
        return Target(self.node_id, self.input)


def node_inputs(node: Any) -> Mapping[str, Any]:
    """The inputs of a node, whatever stands in their place."""
    inputs = node.get("inputs") if isinstance(node, Mapping) else None
    return inputs if isinstance(inputs, Mapping) else {}


def given_title(node: Any) -> str:
    """The title that the file holds for a node, or nothing."""
    meta = node.get("_meta") if isinstance(node, Mapping) else None
    title = meta.get("title") if isinstance(meta, Mapping) else None
    return " ".join(title.split()) if isinstance(title, str) else ""


def plain_title(node: Any) -> str:
    """A node's title, or its class, as it can stand between quotes in a message."""
    return (given_title(node) or str(node["class_type"])).replace('"', "'")


def node_title(graph: Graph, node_id: str) -> str:
    """How a person knows a node: its title and class, or only its id when the graph does not hold it."""
    node = graph.get(node_id)
    if not node:
        return f"node {node_id}"
    title, class_type = given_title(node), node["class_type"]
    return f'"{title}" ({class_type})' if title and title != class_type else f'"{class_type}"'


def is_link(value: Any) -> bool:
    """Whether an input holds a link to another node's output instead of a value."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


# What people keep workflows in: files, valves, pictures.

EXPECTED = "Expected is a workflow as ComfyUI saves it, or as it exports it for its API."


def graph_nodes(graph: Graph) -> dict[str, Mapping[str, Any]]:
    """The nodes of a graph, without what is none."""
    return {
        node_id: node
        for node_id, node in graph.items()
        if isinstance(node_id, str) and isinstance(node, Mapping) and isinstance(node.get("class_type"), str)
    }
