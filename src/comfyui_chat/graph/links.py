"""A graph's links by both their ends, each with its types: what feeds what.

In the API format a link stands only where it ends, and without a type. `Wiring.of` reads

    {"3": {"class_type": "KSampler", "inputs": {"model": ["4", 0], ...}},
     "4": {"class_type": "CheckpointLoaderSimple", ...}}

as a `TypedLink` from output 0 of node "4" to the input "model" of node "3", of the type "MODEL": in
`into` under "3", and in `out_of` under "4". `before` and `behind` follow such links in either
direction, if wanted over those of given types only; `is_output`, `uses_diffusion_model` and
`keeps_nothing` tell what a node is. All that reads a graph rests on this: the search for its
parameters, LoRAs, facts, pruning and drawings.

Types come from the server's definitions: from the output, else from the input. Where both ends take
anything, as at reroutes and switches, the type of what comes in is passed on. Where a class is
unknown, the name of the input has to do. Graphs come from anybody: what does not have the right
shape is passed over here, and the server refuses it.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self, TypeVar

from .definitions import Definitions, InputSpec, NodeDefinition
from .link_types import ANY_TYPE, KNOWN_TYPES, OPEN_TYPES, guessed_type
from .nodes import Graph, graph_nodes, is_link, node_inputs

# Names of classes that run for their own sake, and of classes that sample, for where no definition
# tells.
OUTPUT_CLASS = re.compile(
    r"^(Save|Preview|Display|Show)|VideoCombine|SaveImage|ImageCompare|MaskPreview|^(Checkpoint|CLIP|VAE|Model|Lora)Save$",
    re.IGNORECASE,
)
SAMPLER_CLASS = re.compile(r"sampler|guider|detailer|UltimateSDUpscale", re.IGNORECASE)

# Inputs that may hold the position of a switch.
SELECTORS = ("switch", "boolean", "condition", "select", "index", "Input", "input")

# Names of output nodes that only show what they are given, or only pass it on.
KEEPS_NOTHING = re.compile(
    r"preview|compare|compositor|^(show|display)|CreateBoundingBoxes", re.IGNORECASE
)

# Names that rank output nodes by what they do with what they are given: see `output_rank`.
SAVES = re.compile(r"save|export|VideoCombine|websocket|send", re.IGNORECASE)
SHOWS = re.compile(r"preview|show|display|view|compare", re.IGNORECASE)
TAKES_TEXT = re.compile(r"(save|show|preview|display).*(text|string|any)", re.IGNORECASE)

# an output of a node in a graph: the node's id, and the number of the output
Origin = tuple[str, int]


class TypedLink(NamedTuple):
    """A link of a graph, from output number `slot` of the node `source` to the input `input` of the
    node `node`.

    `type` is the one type that it carries ("MODEL", "IMAGE"), or "" where nothing tells it: where
    both its ends take anything, it is passed on from the links before. `declared` are the types
    that its ends allow: ("IMAGE", "MASK") for an output "IMAGE,MASK", and ("",) where nothing
    tells.
    """

    source: str
    slot: int
    node: str
    input: str
    type: str
    declared: tuple[str, ...]

    @property
    def origin(self) -> Origin:
        """The output that it comes from."""
        return self.source, self.slot

    @property
    def is_strange(self) -> bool:
        """Whether none of its declared types is one of ComfyUI's common ones, so that it may carry
        anything.
        """
        return KNOWN_TYPES.isdisjoint(self.declared)

    def may_carry(self, *types: str) -> bool:
        """Whether it is declared as one of these types, or may carry them since it is strange."""
        return self.is_strange or self.surely_carries(*types)

    def surely_carries(self, *types: str) -> bool:
        """Whether it is declared as one of these types."""
        return not set(types).isdisjoint(self.declared)


Known = TypeVar("Known")


def once(method: Callable[[Any, str], Known]) -> Callable[[Any, str], Known]:
    """Decorate a method so that it works out its answer about a node only once for each object:
    many paths of a graph lead over the same nodes.
    """

    place = f"known {method.__name__}"

    def answer(self: Any, node_id: str) -> Known:
        known: dict[str, Known] | None = self.__dict__.get(place)
        if known is None:
            known = self.__dict__[place] = {}
        if node_id not in known:
            known[node_id] = method(self, node_id)
        return known[node_id]

    return functools.wraps(method)(answer)


@dataclass(frozen=True)
class Wiring:
    """The nodes of a graph, and its links by both their ends: `into` has those that end at a node,
    `out_of` those that start there, each under the node's id. `links` has those of `into` that
    count in a run.
    """

    nodes: Mapping[str, Mapping[str, Any]]
    definitions: Definitions
    into: Mapping[str, Sequence[TypedLink]]
    out_of: Mapping[str, Sequence[TypedLink]]

    @classmethod
    def of(cls, graph: Graph, definitions: Definitions) -> Self:
        """Read the links of a graph, without those from nodes that do not exist."""
        nodes = graph_nodes(graph)
        into: dict[str, list[TypedLink]] = {node_id: [] for node_id in nodes}
        out_of: dict[str, list[TypedLink]] = {node_id: [] for node_id in nodes}
        for link in typed_links(nodes, definitions):
            into[link.node].append(link)
            out_of[link.source].append(link)
        return cls(nodes, definitions, into, out_of)

    def with_nodes(self, graph: Graph) -> Self:
        """The same for a graph with other values and the same links."""
        return replace(self, nodes=graph_nodes(graph))

    # A node and its links.

    def class_type(self, node_id: str) -> str:
        """A node's class."""
        return str(self.nodes[node_id]["class_type"])

    def definition(self, node_id: str) -> NodeDefinition | None:
        """What the server says of a node's class, or None when it does not know it or was not
        asked.
        """
        return self.definitions.get(self.class_type(node_id))

    def inputs(self, node_id: str) -> Mapping[str, Any]:
        """The inputs of a node, by name; none for a node that is not there."""
        return self._inputs.get(node_id, {})

    @functools.cached_property
    def _inputs(self) -> Mapping[str, Mapping[str, Any]]:
        """The inputs of each node."""
        return {node_id: node_inputs(node) for node_id, node in self.nodes.items()}

    def spec(self, node_id: str, name: str) -> InputSpec | None:
        """What the server says of an input, or None when it does not know it or was not asked."""
        definition = self.definition(node_id)
        if definition is None:
            return None
        return definition.spec(name, self.inputs(node_id))

    def reads(self, node_id: str, name: str) -> bool:
        """Whether the server reads an input of a node, as far as is known."""
        definition = self.definition(node_id)
        return definition is None or definition.reads(name, self.inputs(node_id))

    def without_unread(self) -> Self:
        """The same without the values, other than links, that the server does not read."""
        changed: dict[str, Mapping[str, Any]] = {}
        for node_id, node in self.nodes.items():
            inputs = self.inputs(node_id)
            read = {
                name: value
                for name, value in inputs.items()
                if is_link(value) or self.reads(node_id, name)
            }
            if len(read) < len(inputs):
                changed[node_id] = {**node, "inputs": read}
        return replace(self, nodes={**self.nodes, **changed}) if changed else self

    def fed_by(self, origin: Origin, kind: str) -> list[TypedLink]:
        """The links of the type `kind` that start at an output."""
        node_id, slot = origin
        return [link for link in self.out_of[node_id] if link.slot == slot and link.type == kind]

    def takes(self, node_id: str, kind: str) -> bool:
        """Whether a link of the type `kind` ends at a node."""
        return any(link.type == kind for link in self.into[node_id])

    # The links that count in a run.

    @once
    def links(self, node_id: str) -> tuple[TypedLink, ...]:
        """The links that a node reads, without those that lead nowhere or that a switch does not
        let through.
        """
        return tuple(self._links_by_input(node_id).values())

    def link(self, node_id: str, name: str) -> TypedLink | None:
        """The link that one input reads, or None when it reads none."""
        return self._links_by_input(node_id).get(name)

    @once
    def _links_by_input(self, node_id: str) -> dict[str, TypedLink]:
        """The links that a node reads, by the inputs that they feed."""
        chosen = self.chosen_input(node_id)
        links: dict[str, TypedLink] = {}
        for link in self.into.get(node_id, ()):
            is_let_through = chosen is None or chosen == link.input
            if is_let_through and self._has_output(link.source, link.slot):
                links[link.input] = link
        return links

    def _has_output(self, node_id: str, slot: int) -> bool:
        """Whether a node has an output of that number, as far as is known."""
        definition = self.definition(node_id)
        if definition is None or not definition.outputs:
            return slot >= 0
        return 0 <= slot < len(definition.outputs)

    @once
    def chosen_input(self, node_id: str) -> str | None:
        """The input that a switch lets through, or None for a node that is not a switch or whose
        position is unknown.

        With the position true it is "on_true" or "true", say, with the position 2 "input2",
        "image_2" or the like.
        """
        inputs = self.inputs(node_id)
        for selector in SELECTORS:
            if selector not in inputs or not self.reads(node_id, selector):
                continue
            position = self._constant(node_id, selector)
            if isinstance(position, bool):
                pattern = rf"((on|if|when)_?)?{position}(_value)?"
            elif isinstance(position, int):
                pattern = rf"[a-z]+_?0*{position}"
            else:
                continue
            for name in inputs:
                if re.fullmatch(pattern, name, re.IGNORECASE):
                    return name
            return None
        return None

    def _constant(self, node_id: str, name: str) -> Any:
        """What an input holds, looked up over at most 8 links to nodes that hold it as their
        `value` and give it on as it is.
        """
        value: Any = self.inputs(node_id).get(name)
        for _ in range(8):
            if not is_link(value) or value[0] not in self.nodes:
                break
            source, slot = value
            value = None
            if self._gives_on(source, slot):
                value = self.inputs(source).get("value")
        return value

    def _gives_on(self, node_id: str, slot: int) -> bool:
        """Whether an output of a node is just its `value`: of the same type, as far as is known. A
        node for "not" takes anything and gives yes or no.
        """
        definition = self.definition(node_id)
        if definition is None:
            return True
        spec = self.spec(node_id, "value")
        return spec is not None and spec.type in definition.outputs[slot : slot + 1]

    # What a node is.

    def is_output(self, node_id: str) -> bool:
        """Whether a node runs for its own sake: it saves or shows something."""
        known = self.definition(node_id)
        if known:
            return known.is_output
        return bool(OUTPUT_CLASS.search(self.class_type(node_id)))

    def keeps_nothing(self, node_id: str) -> bool:
        """Whether an output node keeps nothing: it only shows what it is given, or is set not to
        save it.
        """
        if KEEPS_NOTHING.search(self.class_type(node_id)):
            return True
        return self.inputs(node_id).get("save_output") is False

    def output_rank(self, node_id: str) -> int | None:
        """The rank of an output node by the name of its class: 0 saves media, 1 saves texts, 2
        shows media, 3 shows texts; None where the name says neither.
        """
        class_type = self.class_type(node_id)
        takes_text = 1 if TAKES_TEXT.search(class_type) else 0
        if SAVES.search(class_type):
            return takes_text
        if SHOWS.search(class_type):
            return 2 + takes_text
        return None

    def uses_diffusion_model(self, node_id: str) -> bool:
        """Whether a node makes something with the diffusion model that it is given, itself or, as a
        guider or a pipe, for a sampler behind it.
        """
        if not self.takes(node_id, "MODEL"):
            return False
        known = self.definition(node_id)
        if known is None:
            inputs = {link.input for link in self.into[node_id]}
            return "positive" in inputs or bool(SAMPLER_CLASS.search(self.class_type(node_id)))
        for kind in known.outputs:
            if kind in ("LATENT", "GUIDER") or "PIPE" in kind:
                return True
        return "IMAGE" in known.outputs and self.takes(node_id, "CONDITIONING")

    # What lies before and behind nodes.

    def fed_first(self, nodes: Iterable[str]) -> list[str]:
        """These nodes, each after those of them that feed it; in a circle, which servers refuse,
        any comes first.
        """
        wanted = dict.fromkeys(nodes)
        order: dict[str, None] = {}
        opened: set[str] = set()
        for start in wanted:
            waiting = [start]
            while waiting:
                node_id = waiting[-1]
                if node_id in opened:
                    order.setdefault(waiting.pop())
                    continue
                opened.add(node_id)
                for link in self.into[node_id]:
                    if link.source in wanted and link.source not in opened:
                        waiting.append(link.source)
        return list(order)

    def before(
        self, nodes: Iterable[str], kinds: Sequence[str] = (), barred: Iterable[str] = ()
    ) -> dict[str, None]:
        """These nodes and all that feed them, over links of the types `kinds`, or of any type when
        there are none. What feeds `barred` nodes is not looked for, unless they are among the
        first.
        """
        reached = dict.fromkeys(nodes)
        waiting = list(reached)
        closed = frozenset(barred)
        while waiting:
            for link in self.into[waiting.pop()]:
                if link.source in reached or (kinds and link.type not in kinds):
                    continue
                reached[link.source] = None
                if link.source not in closed:
                    waiting.append(link.source)
        return reached

    def behind(self, nodes: Iterable[str], kinds: Sequence[str] = ()) -> dict[str, None]:
        """These nodes and all that they feed, over links of the types `kinds`, or of any type when
        there are none.
        """
        reached = dict.fromkeys(nodes)
        waiting = list(reached)
        while waiting:
            for link in self.out_of[waiting.pop()]:
                if link.node in reached or (kinds and link.type not in kinds):
                    continue
                reached[link.node] = None
                waiting.append(link.node)
        return reached

    def needed(self) -> dict[str, None]:
        """The nodes that run: output nodes and all that feed them."""
        outputs = filter(self.is_output, self.nodes)
        return self.before(outputs)


# How links get their types.


class UntypedLink(NamedTuple):
    """A link as it stands in a graph, and what the definitions say of its ends."""

    origin: Origin
    node: str
    input: str
    output_type: str  # "" when no definition tells it
    input_type: str | None  # None when no definition has the input
    is_reader_known: bool  # the server defines the class of `node`, though perhaps not this input


def typed_links(
    nodes: Mapping[str, Mapping[str, Any]], definitions: Definitions
) -> Iterator[TypedLink]:
    """The links of a graph with their types."""
    links = list(untyped_links(nodes, definitions))
    types = carried_types(links)
    for link in links:
        declared = declared_types(link.output_type, link.input_type, link.input)
        yield TypedLink(*link.origin, link.node, link.input, types[link.origin], declared)


def untyped_links(
    nodes: Mapping[str, Mapping[str, Any]], definitions: Definitions
) -> Iterator[UntypedLink]:
    """The links of a graph, without those from nodes that do not exist."""
    output_types: dict[Origin, str] = {}
    for node_id, node in nodes.items():
        inputs = node_inputs(node)
        reader = definitions.get(node["class_type"])
        for name, value in inputs.items():
            if not isinstance(name, str) or not is_link(value):
                continue
            source, slot = value
            if source not in nodes:
                continue
            origin = (source, slot)
            if origin not in output_types:
                output_types[origin] = output_type(nodes[source], slot, definitions)
            spec = reader.spec(name, inputs) if reader else None
            input_type = spec.type if spec else None
            yield UntypedLink(
                origin, node_id, name, output_types[origin], input_type, reader is not None
            )


@functools.lru_cache(4096)
def declared_types(output_type: str, input_type: str | None, name: str) -> tuple[str, ...]:
    """The types that the ends of a link allow; several stand in one text, with commas between them.
    Where no definition has the input, its `name` has to do.
    """
    if output_type not in ANY_TYPE:
        return tuple(output_type.split(","))
    if input_type is None:
        return (guessed_type(name),)
    if input_type in ANY_TYPE:
        return ("",)
    return tuple(input_type.split(","))


def carried_types(links: Sequence[UntypedLink]) -> dict[Origin, str]:
    """The type of what comes out of each output that a link reads.

    It is that of the output, else of an input that reads it, else, by its name, of an input of an
    unknown class. What is known then spreads over the nodes that pass on what they are given.
    """
    types: dict[Origin, str] = {}
    for link in links:
        if not types.get(link.origin):
            types[link.origin] = told_type(link.output_type) or told_type(link.input_type or "")
    for link in links:
        if not types[link.origin] and not link.is_reader_known:
            types[link.origin] = guessed_type(link.input)
    spread_types(types, links)
    return types


def spread_types(types: dict[Origin, str], links: Sequence[UntypedLink]) -> None:
    """Fill in, in `types`, what reroutes, switches and their like pass on: an output that carries
    anything has the type of what comes into its node by an input that takes anything.
    """
    open_outputs: dict[str, dict[Origin, None]] = {}  # by node
    passing_nodes: dict[Origin, list[str]] = {}  # by output: the nodes that pass it on
    for link in links:
        if link.output_type in OPEN_TYPES:
            open_outputs.setdefault(link.origin[0], {})[link.origin] = None
        if link.input_type in OPEN_TYPES:
            passing_nodes.setdefault(link.origin, []).append(link.node)
    waiting = [output for output, kind in types.items() if kind]
    while waiting:
        known = waiting.pop()
        for node_id in passing_nodes.pop(known, ()):
            for output in open_outputs.pop(node_id, ()):
                if not types[output]:
                    types[output] = types[known]
                    waiting.append(output)


def output_type(node: Mapping[str, Any], slot: int, definitions: Definitions) -> str:
    """The type of a node's output by its definition, or "" when that is unknown or has no such
    output.
    """
    known = definitions.get(node["class_type"])
    if known is None or not 0 <= slot < len(known.outputs):
        return ""
    return known.outputs[slot]


def told_type(kind: str) -> str:
    """A type, or "" for one that does not tell what a link carries: one that stands for anything or
    for several.
    """
    if kind in OPEN_TYPES or "," in kind:
        return ""
    return kind
