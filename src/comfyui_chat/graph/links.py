"""A graph's links by both their ends, each with its type: what feeds what.

In the API format a link stands only where it ends, and without a type. `Wiring.of` reads

    {"3": {"class_type": "KSampler", "inputs": {"model": ["4", 0], ...}},
     "4": {"class_type": "CheckpointLoaderSimple", ...}}

as `Edge("4", 0, "3", "model", "MODEL")`, listed under "3" in `into` and under "4" in `out_of`. `before` and `behind`
follow such links in either direction, if wanted over those of given types only; `is_output`, `is_sampler` and
`keeps_nothing` tell what a node is. LoRAs, facts and drawings rest on this.

Types come from the server's definitions: from the output, else from the input. Where both ends take anything, as at
reroutes and switches, the type of what comes in is passed on. Where a class is unknown, the name of the input has to
do. Graphs come from anybody: what has not the right shape is passed over here, and the server refuses it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .definitions import Definitions, NodeDefinition
from .link_types import OPEN_TYPES, guessed_type
from .nodes import Graph, graph_nodes, is_link, node_inputs

# Names of classes that run for their own sake, and of classes that sample, for where no definition tells.
OUTPUT_CLASS = re.compile(
    r"^(Save|Preview|Display|Show)|VideoCombine|SaveImage|ImageCompare|MaskPreview|^(Checkpoint|CLIP|VAE|Model|Lora)Save$",
    re.IGNORECASE,
)
SAMPLER_CLASS = re.compile(r"sampler|guider|detailer|UltimateSDUpscale", re.IGNORECASE)

# Names of output nodes that only show what comes in, or only pass it on.
PASSING = re.compile(r"preview|compare|compositor|^(show|display)|CreateBoundingBoxes", re.IGNORECASE)


@dataclass(frozen=True)
class Edge:
    """A link of a graph, from output number `slot` of the node `source` to the input `input` of the node `node`.

    `type` is one of ComfyUI's ("MODEL", "IMAGE"), or "" where nothing tells it.
    """

    source: str
    slot: int
    node: str
    input: str
    type: str = ""

    @property
    def origin(self) -> tuple[str, int]:
        """The output that it comes from."""
        return self.source, self.slot


@dataclass(frozen=True)
class Wiring:
    """The nodes of a graph, and its links by both their ends: `into` has those that end at a node, `out_of` those that
    start there, each under the node's id."""

    nodes: Mapping[str, Mapping[str, Any]]
    definitions: Definitions
    into: Mapping[str, Sequence[Edge]]
    out_of: Mapping[str, Sequence[Edge]]

    @classmethod
    def of(cls, graph: Graph, definitions: Definitions) -> "Wiring":
        """Read the links of a graph, without those from nodes that do not exist."""
        nodes = graph_nodes(graph)
        into: dict[str, list[Edge]] = {node_id: [] for node_id in nodes}
        out_of: dict[str, list[Edge]] = {node_id: [] for node_id in nodes}
        for edge in typed_edges(nodes, definitions):
            into[edge.node].append(edge)
            out_of[edge.source].append(edge)
        return cls(nodes, definitions, into, out_of)

    def class_type(self, node_id: str) -> str:
        """A node's class."""
        return str(self.nodes[node_id]["class_type"])

    def definition(self, node_id: str) -> NodeDefinition | None:
        """A node's class as the server describes it, or None when it does not."""
        return self.definitions.get(self.class_type(node_id))

    def inputs(self, node_id: str) -> Mapping[str, Any]:
        """A node's inputs."""
        return node_inputs(self.nodes[node_id])

    def fed_by(self, origin: tuple[str, int], kind: str) -> list[Edge]:
        """The links of the type `kind` that start at an output."""
        return [edge for edge in self.out_of[origin[0]] if edge.slot == origin[1] and edge.type == kind]

    def takes(self, node_id: str, kind: str) -> bool:
        """Whether a link of the type `kind` ends at a node."""
        return any(edge.type == kind for edge in self.into[node_id])

    def is_output(self, node_id: str) -> bool:
        """Whether a node runs for its own sake: it saves or shows something."""
        known = self.definition(node_id)
        return known.is_output if known else bool(OUTPUT_CLASS.search(self.class_type(node_id)))

    def is_sampler(self, node_id: str) -> bool:
        """Whether a node makes something with the diffusion model that it is given, itself or, as a guider or a pipe,
        for a sampler behind it."""
        if not self.takes(node_id, "MODEL"):
            return False
        known, name = self.definition(node_id), self.class_type(node_id)
        if known is None:
            return bool(SAMPLER_CLASS.search(name)) or any(edge.input == "positive" for edge in self.into[node_id])
        if {"LATENT", "GUIDER"} & set(known.outputs) or any("PIPE" in kind for kind in known.outputs):
            return True
        return "IMAGE" in known.outputs and self.takes(node_id, "CONDITIONING")

    def before(self, nodes: Iterable[str], kinds: Sequence[str] = (), barred: Iterable[str] = ()) -> dict[str, None]:
        """These nodes and all that feed them, over links of the types `kinds`, or of any type when there are none. What
        feeds `barred` nodes is not looked for, unless they are among the first."""
        found = dict.fromkeys(nodes)
        waiting, closed = list(found), frozenset(barred)
        while waiting:
            for edge in self.into[waiting.pop()]:
                if edge.source not in found and (not kinds or edge.type in kinds):
                    found[edge.source] = None
                    if edge.source not in closed:
                        waiting.append(edge.source)
        return found

    def behind(self, nodes: Iterable[str], kinds: Sequence[str] = ()) -> dict[str, None]:
        """These nodes and all that they feed, over links of the types `kinds`, or of any type when there are none."""
        found = dict.fromkeys(nodes)
        waiting = list(found)
        while waiting:
            for edge in self.out_of[waiting.pop()]:
                if edge.node not in found and (not kinds or edge.type in kinds):
                    found[edge.node] = None
                    waiting.append(edge.node)
        return found

    def needed(self) -> dict[str, None]:
        """The nodes that run: output nodes and all that feed them."""
        return self.before(node_id for node_id in self.nodes if self.is_output(node_id))


def typed_edges(nodes: Mapping[str, Mapping[str, Any]], definitions: Definitions) -> Iterator[Edge]:
    """The links of a graph with their types.

    A type is that of the output, else of an input that reads it, else, by its name, of an input of an unknown class.
    What is known then spreads over the nodes that pass on what they are given.
    """
    links: list[tuple[tuple[str, int], str, str]] = []
    types: dict[tuple[str, int], str] = {}
    by_name: dict[tuple[str, int], str] = {}
    passing: dict[str, list[tuple[str, int]]] = {}  # by node: its outputs that carry what it is given
    onward: dict[tuple[str, int], list[str]] = {}  # by output: the nodes that pass it on
    for node_id, node in nodes.items():
        inputs, taker = node_inputs(node), definitions.get(node["class_type"])
        for name, value in inputs.items():
            if not isinstance(name, str) or not is_link(value) or value[0] not in nodes:
                continue
            origin = (value[0], value[1])
            links.append((origin, node_id, name))
            if origin not in types:
                made = output_type(nodes[origin[0]], origin[1], definitions)
                if made in OPEN_TYPES and origin not in passing.setdefault(origin[0], []):
                    passing[origin[0]].append(origin)
                types[origin] = told_type(made)
            spec = taker.spec(name, inputs) if taker else None
            types[origin] = types[origin] or (told_type(spec.type) if spec else "")
            if spec and spec.type in OPEN_TYPES:
                onward.setdefault(origin, []).append(node_id)
            if taker is None and (kind := guessed_type(name)):
                by_name.setdefault(origin, kind)
    for origin, kind in by_name.items():
        types[origin] = types[origin] or kind
    waiting = [origin for origin, kind in types.items() if kind]
    while waiting:
        origin = waiting.pop()
        for node_id in onward.pop(origin, ()):
            for output in passing.pop(node_id, ()):
                if not types[output]:
                    types[output] = types[origin]
                    waiting.append(output)
    return (Edge(*origin, node_id, name, types[origin]) for origin, node_id, name in links)


def output_type(node: Mapping[str, Any], slot: int, definitions: Definitions) -> str:
    """The type of a node's output by its definition, or "" when that is unknown or has no such output."""
    known = definitions.get(node["class_type"])
    return known.outputs[slot] if known and 0 <= slot < len(known.outputs) else ""


def told_type(kind: str) -> str:
    """A type, or "" for one that does not tell what a link carries: one that stands for anything or for several."""
    return "" if kind in OPEN_TYPES or "," in kind else kind


def keeps_nothing(wiring: Wiring, node_id: str) -> bool:
    """Whether an output node keeps nothing: it only shows what it is given, or is set not to save it."""
    return bool(PASSING.search(wiring.class_type(node_id))) or wiring.inputs(node_id).get("save_output") is False
