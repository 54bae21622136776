"""Workflows as ComfyUI's editor saves them, turned into what its front end would send.

The editor saves its page, the UI format: values by position, lines between numbered sockets, subgraphs, and nodes that
are never sent. A link is [id, from node, its output, to node, its input, type]:

    {"nodes": [{"id": 3, "type": "KSampler", "mode": 0, "widgets_values": [7, "randomize", 20, ...],
                "inputs": [{"name": "model", "type": "MODEL", "link": 1}, ...], "outputs": [...]}, ...],
     "links": [[1, 4, 0, 3, 0, "MODEL"], ...], "definitions": {"subgraphs": [...]}}

The server takes the API format only (graph/nodes). `live_nodes` reads the file and finds the nodes that are sent, those
inside subgraphs with them; `class_types` tells whose definitions to ask the server for. With these, `read_ui` gives
each widget its value (`read_values`), follows each link back to a node that is sent (`Tracer`), and puts the graph
together. `convert` does it all at once. What cannot be converted faithfully is refused, naming the node.

The rules are those of the front ends 1.27.10 and 1.49.6. "Golden files" marks what is known only from the prompts that
these made of official templates.
"""

import contextlib
import math
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import NodeNotInstalled, WorkflowRefused
from ..names import shortened, shown_value
from ..values import text_of
from .definitions import MAX_DEPTH, Definitions, NodeDefinition, Widget
from .nodes import Target, is_ui_format
from .prompts import dynamic_prompt


def convert(ui: Any, definitions: Definitions) -> dict[str, Any]:
    """The workflow in the API format, with the first of the choices in its texts taken.

    `definitions` holds those of `class_types` that the server has. Raises `WorkflowRefused`, `NodeNotInstalled`.
    """
    graph, dynamic = read_ui(live_nodes(ui), definitions)
    for target in dynamic:
        inputs = graph[target.node_id]["inputs"]
        inputs[target.input] = dynamic_prompt(inputs[target.input])
    return graph


# The file as typed values. Lists, ids and links of a wrong shape are refused here, so that all that follows can rely on
# them.

SUBGRAPH_INPUT, SUBGRAPH_OUTPUT = "-10", "-20"  # what stands for a subgraph's own sockets in its links
RENAMED: Mapping[str, str] = {
    # Classes that were renamed long ago; the front end corrects them when it opens a file.
    "T2IAdapterLoader": "ControlNetLoader",
    "ConditioningAverage ": "ConditioningAverage",
    "SDV_img2vid_Conditioning": "SVD_img2vid_Conditioning",
    # Nodes of common packages that exist on the page only and do what the usual ones do.
    "Reroute (rgthree)": "Reroute",
    "easy setNode": "SetNode",
    "easy getNode": "GetNode",
}


@dataclass(frozen=True)
class Socket:
    """An input or output of a node in the UI format; `widget` tells whether the input has a widget too."""

    name: str
    type: str
    link: str | None = None
    widget: bool = False


@dataclass(frozen=True)
class Link:
    """A line from an output of the node `origin` to an input of the node `target`; slots count these from 0."""

    origin: str
    slot: int
    target: str
    target_slot: int


@dataclass(frozen=True)
class UINode:
    """A node as the UI format holds it."""

    id: str
    type: str
    title: str
    mode: int  # `MUTED`, `BYPASSED`, or any other, which runs
    inputs: tuple[Socket, ...]
    outputs: tuple[Socket, ...]
    values: list[Any] | Mapping[str, Any]  # `widgets_values`; some packages save them by name
    properties: Mapping[str, Any]

    def __str__(self) -> str:
        """The node in a message: "Sampler" (KSampler), node 3."""
        kind = shortened(self.type)
        name = f'"{shortened(self.title)}" ({kind})' if self.title not in ("", self.type) else f'"{kind}"'
        return f"{name}, node {shortened(self.id)}"


@dataclass(frozen=True)
class Port:
    """An input or output of a subgraph, with the ids of the links inside that belong to it."""

    name: str
    links: tuple[str, ...]


@dataclass(frozen=True)
class Promoted:
    """The first widget inside a subgraph that hangs on one of its inputs; `place` counts, from 0, such inputs."""

    place: int
    node: UINode
    socket: Socket


@dataclass(frozen=True)
class UIGraph:
    """The nodes and links of a workflow, or of one subgraph definition."""

    nodes: Mapping[str, UINode]
    links: Mapping[str, Link]  # by id
    inputs: tuple[Port, ...]  # of a subgraph, as the next two
    promoted: Mapping[int, Promoted]  # by the number of the input
    exits: Mapping[int, str]  # by the number of the output: the link that ends there
    setters: Mapping[str, UINode]  # the SetNodes, by the name that they set
    everywhere: bool  # whether the file tells where "Anything Everywhere" nodes send what they get


def parse_ui(ui: Any) -> tuple[UIGraph, Mapping[str, UIGraph]]:
    """The workflow's own graph, and those of its subgraphs by id. Raises `WorkflowRefused`."""
    if not is_ui_format(ui):
        raise WorkflowRefused("This is no workflow in the format in which ComfyUI saves it.")
    definitions = ui.get("definitions")
    raws = _objects(definitions.get("subgraphs") if isinstance(definitions, Mapping) else None, "subgraphs")
    return parse_graph(ui), {_id(raw.get("id"), "A subgraph"): parse_graph(raw) for raw in raws}


def parse_graph(raw: Mapping[str, Any]) -> UIGraph:
    """Read the nodes and links of a workflow, or of the definition of a subgraph. Raises `WorkflowRefused`."""
    nodes: dict[str, UINode] = {}
    for item in _objects(raw.get("nodes"), "nodes"):
        node = _node(item)
        if node.id in nodes:
            raise WorkflowRefused(f"Two nodes of the workflow have the id {node.id}: {nodes[node.id]} and {node}.")
        nodes[node.id] = node
    links = dict(pair for item in _items(raw.get("links"), "links") if (pair := _link(item)))
    unseen = _unseen_links(raw, nodes)
    for key, link in unseen.items():
        node, sockets = nodes[link.target], list(nodes[link.target].inputs)
        sockets[link.target_slot] = replace(sockets[link.target_slot], link=key)
        nodes[node.id] = replace(node, inputs=tuple(sockets))
    links.update(unseen)
    ports = _ports(raw.get("inputs"))
    exits = {link.target_slot: key for key, link in links.items() if link.target == SUBGRAPH_OUTPUT}
    exits.update((slot, port.links[0]) for slot, port in enumerate(_ports(raw.get("outputs"))) if port.links)
    setters = {text_of(_first(node.values)): node for node in reversed(nodes.values()) if node.type == "SetNode"}
    return UIGraph(nodes, links, ports, _promotions(nodes, links, ports), exits, setters, bool(unseen))


def _unseen_links(raw: Mapping[str, Any], nodes: Mapping[str, UINode]) -> dict[str, Link]:
    """The links that "Anything Everywhere" nodes stand for, which their package notes in `extra.ue_links`."""
    extra = raw.get("extra")
    told = extra.get("ue_links") if isinstance(extra, Mapping) else None
    found: dict[str, Link] = {}
    for item in told if isinstance(told, list) else ():
        if not isinstance(item, Mapping):
            continue
        ends = [item.get(key) for key in ("upstream", "upstream_slot", "downstream", "downstream_slot")]
        with contextlib.suppress(WorkflowRefused):
            link = Link(_id(ends[0], ""), _count(ends[1], ""), _id(ends[2], ""), _count(ends[3], ""))
            sockets = nodes[link.target].inputs if link.target in nodes else ()
            free = link.target_slot < len(sockets) and sockets[link.target_slot].link is None
            if free and link.origin in nodes:
                found[f"everywhere-{len(found)}"] = link
    return found


def _promotions(nodes: Mapping[str, UINode], links: Mapping[str, Link], ports: tuple[Port, ...]) -> dict[int, Promoted]:
    """For each input of a subgraph, by number, the first widget inside that hangs on it, if any."""
    found: dict[int, Promoted] = {}
    for slot, port in enumerate(ports):
        for link in (links[key] for key in port.links if key in links):
            node = nodes.get(link.target)
            if node and link.target_slot < len(node.inputs) and node.inputs[link.target_slot].widget:
                found[slot] = Promoted(len(found), node, node.inputs[link.target_slot])
                break
    return found


def _node(raw: Mapping[str, Any]) -> UINode:
    kind = raw.get("type")
    if not isinstance(kind, str):
        raise WorkflowRefused(f"Node {shown_value(raw.get('id'))} of the workflow has no type.")
    kind = RENAMED.get(kind, kind)
    values = raw.get("widgets_values")
    properties = raw.get("properties")
    return UINode(
        _id(raw.get("id"), f'A node "{shortened(kind)}"'),
        kind,
        text_of(raw.get("title")),
        _count(raw.get("mode"), f'The mode of a node "{shortened(kind)}"'),
        tuple(_socket(item) for item in _objects(raw.get("inputs"), "inputs")),
        tuple(_socket(item) for item in _objects(raw.get("outputs"), "outputs")),
        values if isinstance(values, (list, Mapping)) else [],
        properties if isinstance(properties, Mapping) else {},
    )


def _socket(raw: Mapping[str, Any]) -> Socket:
    link = raw.get("link")
    kind = text_of(raw.get("type"), "*")  # LiteGraph also writes 0 and -1 for "anything"
    return Socket(
        text_of(raw.get("name")), kind, None if link is None else _id(link, "A link"), bool(raw.get("widget"))
    )


def _link(raw: Any) -> tuple[str, Link] | None:
    """A link with its id, in either of its shapes, a list or an object; None, as the file has it, for a deleted one."""
    if raw is None:
        return None
    if isinstance(raw, Mapping):
        raw = [raw.get(key) for key in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
    if not isinstance(raw, list) or len(raw) < 5:
        raise WorkflowRefused("One of the workflow's links has no origin and target.")
    origin, target = _id(raw[1], "The origin of a link"), _id(raw[3], "The target of a link")
    return _id(raw[0], "A link"), Link(origin, _count(raw[2], "A link's slot"), target, _count(raw[4], "A link's slot"))


def _ports(raw: Any) -> tuple[Port, ...]:
    return tuple(
        Port(
            text_of(port.get("name")),
            tuple(_id(link, "A link") for link in _items(port.get("linkIds"), "subgraph links")),
        )
        for port in _objects(raw, "subgraph inputs and outputs")
    )


def _items(value: Any, what: str) -> list[Any]:
    """A list from the file, called `what` in the error; None counts as an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise WorkflowRefused(f"The workflow's {what} are no list.")
    return value


def _objects(value: Any, what: str) -> list[Mapping[str, Any]]:
    """A list of objects from the file; as `_items` else."""
    for item in _items(value, what):
        if not isinstance(item, Mapping):
            raise WorkflowRefused(f"One of the workflow's {what} is {shown_value(item)} instead of an object.")
    return _items(value, what)


def _count(value: Any, what: str) -> int:
    """A number that counts from 0, such as a slot or a mode; None counts as 0."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0 or value != value // 1:
        raise WorkflowRefused(f"{what} of the workflow is {shown_value(value)}, which is no number of that kind.")
    return int(value)


def _id(value: Any, what: str) -> str:
    """An id as text: in most files they are numbers, in some texts, and a whole number may have become 3.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)) or (isinstance(value, int) and abs(value) > 2**63):
        raise WorkflowRefused(
            f"{what} of the workflow has the id {shown_value(value)}, which is neither number nor text."
        )
    return str(value)


def _first(values: list[Any] | Mapping[str, Any]) -> Any:
    return next(iter(values.values() if isinstance(values, Mapping) else values), None)


# What of it is sent: every node that is neither muted nor bypassed and exists on the server, not only on the page. An
# instance of a subgraph gives way to the nodes inside it, whose ids then begin with its own: "12:3".

MUTED, BYPASSED = 2, 4  # as a node's `mode`
NOTES = ("Note", "MarkdownNote")
VIRTUAL = (*NOTES, "PrimitiveNode", "Reroute", "GetNode", "SetNode")  # followed or dropped, never sent
# Switches and remarks of common packages that exist on the page only. What they switched is in the modes of the nodes.
PAGE_ONLY = re.compile(
    r"(Label|Bookmark|Node Combiner|Node Collector|Random Unmuter|Fast Actions Button"
    r"|Fast (Groups )?(Muter|Bypasser)|Mute / Bypass (Repeater|Relay)) \(rgthree\)|Note Plus \(mtb\)"
)
EVERYWHERE = re.compile(r"(Anything|Prompts|Seed) Everywhere")  # links without lines, from a common package
# The type of a subgraph's instance is the id of its definition.
SUBGRAPH_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
MAX_CONVERTED_NODES = 20_000  # 20 levels of subgraphs that each hold the next one twice make a million


@dataclass(frozen=True)
class Scope:
    """A graph at work: the workflow itself, or one instance of a subgraph; `path` begins its nodes' full ids: "12:"."""

    path: str
    graph: UIGraph
    outer: "Scope | None" = None
    instance: UINode | None = None
    entries: Mapping[str, Socket] = field(default_factory=dict)  # the instance's inputs, maybe not all

    def enter(self, node: UINode, graph: UIGraph) -> "Scope":
        """The scope of a subgraph, whose instance in this scope is `node`."""
        entries = {socket.name: socket for socket in reversed(node.inputs)}
        return Scope(f"{self.path}{node.id}:", graph, self, node, entries)

    @property
    def depth(self) -> int:
        """How many subgraphs this scope is inside of, itself with them."""
        return 0 if self.outer is None else self.outer.depth + 1


@dataclass(frozen=True)
class Live:
    """Every scope of a workflow by its path, and every node that is sent, with its scope."""

    scopes: Mapping[str, Scope]
    nodes: Sequence[tuple[Scope, UINode]]


def live_nodes(ui: Any) -> Live:
    """What is sent of a workflow in the UI format, found without any definition. Raises `WorkflowRefused`."""
    root, subgraphs = parse_ui(ui)
    scopes: dict[str, Scope] = {}
    found: list[tuple[Scope, UINode]] = []
    waiting = deque([Scope("", root)])
    count = 0
    while waiting:
        scope = waiting.popleft()
        scopes[scope.path] = scope
        count += len(scope.graph.nodes) + 1
        if count > MAX_CONVERTED_NODES:
            raise WorkflowRefused(f"The workflow has more than {MAX_CONVERTED_NODES} nodes.")
        for node in scope.graph.nodes.values():
            if node.mode in (MUTED, BYPASSED) or node.type in VIRTUAL or PAGE_ONLY.fullmatch(node.type):
                continue
            if EVERYWHERE.match(node.type):
                if not scope.graph.everywhere and any(socket.link for socket in node.inputs):
                    raise WorkflowRefused(
                        f"{node} sends what it gets to other nodes without a line, and the file does not say to which.",
                        "Open the workflow in ComfyUI, turn these into real links in the node's menu, and save it.",
                    )
                continue
            if node.type not in subgraphs:
                found.append((scope, node))
                continue
            if scope.depth >= MAX_DEPTH:
                raise WorkflowRefused(f"The subgraph {node} holds itself, or subgraphs are nested too deep.")
            waiting.append(scope.enter(node, subgraphs[node.type]))
    return Live(scopes, found)


def class_types(live: Live) -> set[str]:
    """The names of the node classes whose definitions `read_ui` needs, inside subgraphs too."""
    return {name for _, node in live.nodes for name in class_names(node)}


def strange_types(live: Live, definitions: Definitions) -> list[str]:
    """The classes that the server does not have, sorted; without what `read_ui` refuses for other reasons."""
    found = set()
    for _, node in live.nodes:
        try:
            known_class(node, definitions)
        except NodeNotInstalled:
            found.add(node.type)
        except WorkflowRefused:  # such as a group node: `read_ui` names it
            pass
    return sorted(found)


def class_names(node: UINode) -> list[str]:
    """The names under which a server may know a node's class, the likeliest first."""
    other = node.properties.get("Node name for S&R")  # the class's name, in files of programs that set another type
    return [node.type, other] if isinstance(other, str) and other != node.type else [node.type]


def known_class(node: UINode, definitions: Definitions) -> NodeDefinition:
    """The definition of a node's class.

    Raises `NodeNotInstalled` where the server has none, and `WorkflowRefused` for a node that no server could have.
    """
    for name in class_names(node):
        if name in definitions:
            return definitions[name]
    if node.type.startswith(("workflow/", "workflow>")):
        raise WorkflowRefused(
            f"{node} is a group node of an old kind, which cannot be converted.",
            "Open the workflow in ComfyUI, turn the group node into a subgraph, and save it.",
        )
    if SUBGRAPH_ID.fullmatch(node.type):
        raise WorkflowRefused(f"{node} is a subgraph that the file does not hold.", "Save the whole workflow.")
    pack = text_of(node.properties.get("cnr_id"))
    where = f' It belongs to the package "{shortened(pack)}".' if pack else ""
    raise NodeNotInstalled(f"This ComfyUI does not have the node {node}.{where}")


# The values of widgets. The file has them by position, with slots between them that exist on the page only.

# Load3D saves its three buttons by name, before its picture.
BUTTONS_3D = ("upload3dmodel", "uploadExtraResources", "clear")
# What a control_after_generate can hold.
CONTROL_VALUES = ("fixed", "increment", "decrement", "randomize")


@dataclass(frozen=True)
class Held:
    """What a widget holds in the file, and what kind of widget it is."""

    value: Any
    widget: Widget = Widget("")

    def sent(self) -> Any:
        """The value as the API format has it, where a bare list would be read as a link."""
        return {"__value__": self.value} if isinstance(self.value, list) else self.value


class Slots:
    """A node's `widgets_values`, taken one by one from the front, or by name where the file has names."""

    def __init__(self, values: list[Any] | Mapping[str, Any]) -> None:
        self.by_name = values if isinstance(values, Mapping) else None
        self.left = deque(values if isinstance(values, list) else ())

    def take(self, name: str, widget: Widget) -> Any:
        """The value of the next widget; the slots around it that exist on the page only are passed over."""
        while self.left and self.left[0] in BUTTONS_3D:
            self.left.popleft()
        if not widget.name or self.by_name is not None:
            value = (self.by_name or {}).get(name, widget.default)
        else:
            value = self.left.popleft() if self.left else widget.default
        for _ in range(min(widget.after, len(self.left))):
            if not widget.loose or self.left[0] in CONTROL_VALUES:
                self.left.popleft()
        return value


def read_values(node: UINode, known: NodeDefinition) -> dict[str, Held]:
    """What a node's widgets hold, by name: {"seed": Held(7), "format": Held("mp4"), "format.codec": Held("h264")}.

    The widgets that the choice of a dynamic combo brings have their slots right behind it.
    """
    slots = Slots(node.values)
    held: dict[str, Held] = {}
    waiting = [("", widget) for widget in reversed(known.widgets)]
    while waiting:
        prefix, widget = waiting.pop()
        name = prefix + widget.name
        if widget.grows:  # as many widgets as the node has inputs of the group
            grown = [key.name for key in node.inputs if key.widget and key.name.startswith(name + ".")]
            waiting.extend(("", replace(widget.grows, name=key)) for key in reversed(grown))
            continue
        value = slots.take(name, widget)
        if widget.options is not None:
            waiting.extend((name + ".", inner) for inner in reversed(_branch(node, name, widget.options, value)))
        if widget.name and not (value is None and widget.default is None):
            held[name] = Held(widget.default if widget.made_anew else value, widget)
    if known.class_type == "CustomCombo":  # its second output needs these values, which no definition lists
        for count, value in enumerate(slots.left):
            held[f"option{count}" if count else "index"] = Held(value)
    return held


def _branch(node: UINode, name: str, options: Mapping[str, tuple[Widget, ...]], choice: Any) -> tuple[Widget, ...]:
    """The widgets that a choice of a dynamic combo brings. Raises `WorkflowRefused` for one that is not on offer.

    Without them every later value would be read wrongly.
    """
    found = options.get(str(choice)) if isinstance(choice, (str, int, float)) else None
    if found is not None:
        return found
    raise WorkflowRefused(
        f'{node}: "{name}" is {shown_value(choice)}, which its class does not offer.',
        "Open the workflow in ComfyUI, choose again and save it; on offer: " + shortened(", ".join(options), 300),
    )


# Links. What an input gets is found by going back over its link, through everything that is not sent, to a `Source`,
# a `Constant` or `Nothing`. Where it leads to none of them, the value of the input's own widget stays.


@dataclass(frozen=True)
class Source:
    """An input gets its value from an output of a node that is sent; `node` is its full id."""

    node: str
    slot: int


@dataclass(frozen=True)
class Constant:
    """An input gets this value over its link, from a PrimitiveNode or a promoted widget."""

    value: Any


@dataclass(frozen=True)
class Nothing:
    """A link that ends at a muted node: the input is not sent at all, not even with its widget's value."""


Outcome = Source | Constant | Nothing | None


@dataclass(frozen=True)
class Tracer:
    """Follows links back, through everything that is not sent, to what is."""

    scopes: Mapping[str, Scope]
    values: Mapping[str, Mapping[str, Held]]  # of every node that is sent, by its full id: what its widgets hold
    # Long chains are walked once, and wide bypassed nodes searched once.
    known: dict[tuple[str, str, str], Outcome] = field(default_factory=dict)  # by scope, link, and type of the input
    passing: dict[tuple[str, str, str], Socket | None] = field(default_factory=dict)  # by scope, node, and type

    def source(self, scope: Scope, socket: Socket) -> Outcome:
        """What an input gets over its link; None where nothing comes, so that the value of its own widget stays.

        Raises `WorkflowRefused` for a circle.
        """
        steps: dict[tuple[str, str, str], None] = {}
        crossed: tuple[Scope, int] | None = None  # the outermost input of a subgraph on the way
        inside = 0  # the number of steps up to it
        link_id, outcome = socket.link, None
        while link_id is not None and link_id in scope.graph.links:
            link, key = scope.graph.links[link_id], (scope.path, link_id, socket.type)
            if key in self.known:
                outcome = self.known[key]
                break
            if key in steps:
                raise WorkflowRefused(f"The links of the workflow run in a circle at link {shortened(link_id)}.")
            steps[key] = None
            if link.origin == SUBGRAPH_INPUT:
                if scope.outer is None or link.slot >= len(scope.graph.inputs):
                    break
                crossed, inside = (scope, link.slot), len(steps)
                entry = scope.entries.get(scope.graph.inputs[link.slot].name)
                scope, link_id = scope.outer, entry.link if entry else None
                continue
            node = scope.graph.nodes.get(link.origin)
            step = self._through(scope, node, link.slot, socket.type) if node else None
            if not isinstance(step, tuple):
                outcome = step
                break
            scope, link_id = step
        # Inside that subgraph its promoted value counts; the links outside, if any, lead to nothing.
        found = self._promoted(*crossed) if outcome is None and crossed else outcome
        self.known.update({key: found if place < inside else outcome for place, key in enumerate(steps)})
        return found

    def _through(self, scope: Scope, node: UINode, slot: int, wanted: str) -> tuple[Scope, str | None] | Outcome:
        """One step back from an output: the scope and id of the link that it passes on, or the end of the way."""
        if node.type == "PrimitiveNode":  # whatever its mode: the front end resolves it, not the server
            return Constant(_first(node.values)) if node.values else None
        if node.mode == MUTED:
            return Nothing()
        if node.type in ("Reroute", "SetNode"):
            through = node.inputs[min(slot, len(node.inputs) - 1)] if node.inputs else None
            return scope, through.link if through else None
        if node.mode == BYPASSED:
            key = (scope.path, node.id, wanted)
            passed = same_slot(node, slot, wanted)
            if passed is None:
                passed = self.passing[key] = self.passing[key] if key in self.passing else any_slot(node, wanted)
            return scope, passed.link if passed else None
        if node.type == "GetNode":
            return self._setter(scope, node)
        inner = self.scopes.get(f"{scope.path}{node.id}:")
        return (inner, inner.graph.exits.get(slot)) if inner else Source(scope.path + node.id, slot)

    def _promoted(self, scope: Scope, slot: int) -> Constant | None:
        """The value of a subgraph's input that nothing is linked to; all inputs inside that hang on it get it.

        It is the value that the instance holds, or else that of the first widget inside, also where the other inputs
        hold another value or have no widget (golden files). A text comes as it is: no choice is made in its `{a|b}`.
        """
        while True:
            held, promoted = self._held(scope, slot), scope.graph.promoted.get(slot)
            if held is not None or promoted is None:
                return held
            inner = self.scopes.get(f"{scope.path}{promoted.node.id}:")
            if inner is None:
                value = self.values.get(scope.path + promoted.node.id, {}).get(promoted.socket.name)
                return Constant(value.value) if value else None
            names = [port.name for port in inner.graph.inputs]
            if promoted.socket.name not in names:
                return None
            scope, slot = inner, names.index(promoted.socket.name)

    @staticmethod
    def _held(scope: Scope, slot: int) -> Constant | None:
        """The value that an instance holds for one of its inputs, in place of the widget inside.

        Where the instance has `proxyWidgets`, the values are kept inside; else it lists them in the order of those
        inputs that lead to a widget.
        """
        if scope.instance is None or scope.instance.properties.get("proxyWidgets"):
            return None
        values, promoted = scope.instance.values, scope.graph.promoted.get(slot)
        if isinstance(values, Mapping):
            value = values.get(scope.graph.inputs[slot].name)
        else:
            value = values[promoted.place] if promoted and promoted.place < len(values) else None
        return None if value is None else Constant(value)

    @staticmethod
    def _setter(scope: Scope, getter: UINode) -> tuple[Scope, str | None]:
        """The scope and link of what the SetNode of the same name gets: in the same graph, else in one around it."""
        name = text_of(_first(getter.values))
        around: Scope | None = scope
        while around is not None:
            if setter := around.graph.setters.get(name):
                return around, setter.inputs[0].link if setter.inputs else None
            around = around.outer
        raise WorkflowRefused(f'{getter}: the workflow has no SetNode of the name "{shortened(name)}".')


def same_slot(node: UINode, slot: int, wanted: str) -> Socket | None:
    """The input of a bypassed node with the number of the output, if its type may pass through; else None."""
    if slot >= len(node.inputs):
        return None
    made = node.outputs[slot].type if slot < len(node.outputs) else "*"
    socket = node.inputs[slot]
    return socket if wanted == "*" or (fits(socket.type, made) and fits(socket.type, wanted)) else None


def any_slot(node: UINode, wanted: str) -> Socket | None:
    """The first input of a bypassed node that may pass through, of exactly this type or else one that fits; or None."""
    if wanted == "*":
        return node.inputs[0] if node.inputs else None
    exact = next((socket for socket in node.inputs if socket.type == wanted), None)
    return exact or next((socket for socket in node.inputs if fits(socket.type, wanted)), None)


def fits(one: str, other: str) -> bool:
    """Whether sockets of two types can be joined, as LiteGraph decides it: "*" fits all, commas list alternatives."""
    if "*" in (one, other):
        return True
    return bool(set(one.lower().split(",")) & set(other.lower().split(",")))


# Last, the graph is put together from all of this.


def read_ui(live: Live, definitions: Definitions) -> tuple[dict[str, Any], frozenset[Target]]:
    """The workflow in the API format, with its texts as they were saved.

    Also returns which of these the front end passes through `dynamic_prompt` before every run. Raises
    `WorkflowRefused`, `NodeNotInstalled`.
    """
    values: dict[str, dict[str, Held]] = {}
    for scope, node in live.nodes:
        values[scope.path + node.id] = read_values(node, known_class(node, definitions))
    tracer = Tracer(live.scopes, values)
    graph: dict[str, Any] = {}
    dynamic: set[Target] = set()
    for scope, node in live.nodes:
        node_id = scope.path + node.id
        known = known_class(node, definitions)
        held = values[node_id]
        inputs = {name: value.sent() for name, value in held.items()}
        rewritten = {name for name in held if held[name].widget.dynamic_prompts and isinstance(inputs[name], str)}
        for socket in node.inputs:
            source = tracer.source(scope, socket)
            if source is not None:
                rewritten.discard(socket.name)
            if isinstance(source, Source):
                inputs[socket.name] = [source.node, source.slot]
            elif isinstance(source, Constant):
                inputs[socket.name] = Held(source.value).sent()
            elif isinstance(source, Nothing):
                inputs.pop(socket.name, None)
        _check(node, inputs, held)
        title = node.title or known.title
        graph[node_id] = {"class_type": known.class_type, "inputs": inputs, "_meta": {"title": title}}
        dynamic.update(Target(node_id, name) for name in rewritten)
    return graph, frozenset(dynamic)


def _check(node: UINode, inputs: Mapping[str, Any], held: Mapping[str, Held]) -> None:
    """Raise `WorkflowRefused` for a value that cannot be sent as it is."""
    for name, value in inputs.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise WorkflowRefused(f'{node}: "{name}" is {value}, which is no number that can be sent.')
        if name in held and held[name].widget.drawn and not value:
            raise WorkflowRefused(
                f'{node}: "{name}" is a picture that ComfyUI\'s page makes in the browser at the moment of sending.',
                "Put a Load Image node in its place.",
            )
