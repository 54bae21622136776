"""graph/editor."""

import contextlib
import math
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import NodeNotInstalled, WorkflowRefused
from ..names import shortened
from .definitions import MAX_DEPTH, Definitions, NodeDefinition, Widget
from .nodes import Target
from .prompts import dynamic_prompt

# What follows reads the format in which ComfyUI's own editor saves workflows, and sends what its front end would send.
# Where a rule is known only by what the front end made of official templates, it says "golden files".

MUTED, BYPASSED = 2, 4  # a node's `mode`; every other one runs


SUBGRAPH_INPUT, SUBGRAPH_OUTPUT = "-10", "-20"  # what stands for a subgraph's own sockets in its links


NOTES = ("Note", "MarkdownNote")


# Switches and remarks of common packages that exist on the page only; what they switched is in the nodes' modes.
PAGE_ONLY = re.compile(
    r"(Label|Bookmark|Node Combiner|Node Collector|Random Unmuter|Fast Actions Button"
    r"|Fast (Groups )?(Muter|Bypasser)|Mute / Bypass (Repeater|Relay)) \(rgthree\)|Note Plus \(mtb\)"
)


VIRTUAL = (*NOTES, "PrimitiveNode", "Reroute", "GetNode", "SetNode")  # resolved before anything is sent
EVERYWHERE = re.compile(r"(Anything|Prompts|Seed) Everywhere")  # links without lines, of a common package


# Classes that were renamed long ago; the front end corrects them when it opens a file, and so do we.
RENAMED: Mapping[str, str] = {
    "T2IAdapterLoader": "ControlNetLoader",
    "ConditioningAverage ": "ConditioningAverage",
    "SDV_img2vid_Conditioning": "SVD_img2vid_Conditioning",
    # Nodes of common packages that exist on the page only and do what the usual ones do.
    "Reroute (rgthree)": "Reroute",
    "easy setNode": "SetNode",
    "easy getNode": "GetNode",
}


SUBGRAPH_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
MAX_CONVERTED_NODES = 20_000  # of subgraphs that hold each other twice, 20 levels would make a million
BUTTONS_3D = ("upload3dmodel", "uploadExtraResources", "clear")  # Load3D's buttons; they come before its picture
CONTROL_VALUES = ("fixed", "increment", "decrement", "randomize")


@dataclass(frozen=True)
class Socket:
    """An input or output of a node in the UI format."""

    name: str
    type: str
    link: str | None = None
    widget: bool = False


@dataclass(frozen=True)
class Link:
    """A line between two nodes, `slot` counting the outputs of `origin` and the inputs of `target`."""

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
    mode: int
    inputs: tuple[Socket, ...]
    outputs: tuple[Socket, ...]
    values: list[Any] | Mapping[str, Any]
    properties: Mapping[str, Any]

    def __str__(self) -> str:
        kind = shortened(self.type)
        name = f'"{shortened(self.title)}" ({kind})' if self.title not in ("", self.type) else f'"{kind}"'
        return f"{name}, node {shortened(self.id)}"


@dataclass(frozen=True)
class Port:
    """An input or output of a subgraph, with the links inside that belong to it."""

    name: str
    links: tuple[str, ...]


@dataclass(frozen=True)
class Promoted:
    """The first widget inside a subgraph that hangs on one of its inputs, and its place among all such inputs."""

    place: int
    node: UINode
    socket: Socket


@dataclass(frozen=True)
class UIGraph:
    """The nodes and links of a workflow, or of one subgraph definition."""

    nodes: Mapping[str, UINode]
    links: Mapping[str, Link]
    inputs: tuple[Port, ...]
    promoted: Mapping[int, Promoted]  # by input
    exits: Mapping[int, str]  # by output: the link that ends there
    setters: Mapping[str, UINode]  # the SetNodes by the name that they set
    everywhere: bool  # whether the file tells where "Anything Everywhere" nodes send what they get


def is_ui_format(value: Any) -> bool:
    """Whether a value is a workflow as ComfyUI's editor saves it."""
    return isinstance(value, Mapping) and isinstance(value.get("nodes"), list) and "links" in value


def shown_value(value: Any) -> str:
    """A value in a message; of a list or an object only that it is one, for it may be endless."""
    if isinstance(value, (list, Mapping)):
        return "a list" if isinstance(value, list) else "an object"
    return f'"{shortened(value)}"'


def _items(value: Any, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise WorkflowRefused(f"The workflow's {what} are no list.")
    return value


def _objects(value: Any, what: str) -> list[Mapping[str, Any]]:
    for item in _items(value, what):
        if not isinstance(item, Mapping):
            raise WorkflowRefused(f"One of the workflow's {what} is {shown_value(item)} instead of an object.")
    return _items(value, what)


def text_of(value: Any, default: str = "") -> str:
    """A text from a file that may hold anything in its place; the default for what is no text, and for an empty one."""
    return value if isinstance(value, str) and value else default


def _count(value: Any, what: str) -> int:
    """A number that counts from 0: a slot, a mode."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0 or value != value // 1:
        raise WorkflowRefused(f"{what} of the workflow is {shown_value(value)}, which is no number of that kind.")
    return int(value)


def _id(value: Any, what: str) -> str:
    """Ids are numbers in most files and texts in some; a whole number may have come as 3.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)) or (isinstance(value, int) and abs(value) > 2**63):
        raise WorkflowRefused(
            f"{what} of the workflow has the id {shown_value(value)}, which is neither number nor text."
        )
    return str(value)


def _socket(raw: Mapping[str, Any]) -> Socket:
    link = raw.get("link")
    kind = text_of(raw.get("type"), "*")  # LiteGraph also writes 0 and -1 for "anything"
    return Socket(
        text_of(raw.get("name")), kind, None if link is None else _id(link, "A link"), bool(raw.get("widget"))
    )


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


def _link(raw: Any) -> tuple[str, Link] | None:
    """A link in either of its shapes; `None` in the list is a link that was deleted."""
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


def parse_graph(raw: Mapping[str, Any]) -> UIGraph:
    """Read the nodes and links of a workflow or of a subgraph definition."""
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
    """The links that "Anything Everywhere" nodes stand for, which their page notes in `extra`."""
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
    found: dict[int, Promoted] = {}
    for slot, port in enumerate(ports):
        for link in (links[key] for key in port.links if key in links):
            node = nodes.get(link.target)
            if node and link.target_slot < len(node.inputs) and node.inputs[link.target_slot].widget:
                found[slot] = Promoted(len(found), node, node.inputs[link.target_slot])
                break
    return found


def _first(values: list[Any] | Mapping[str, Any]) -> Any:
    return next(iter(values.values() if isinstance(values, Mapping) else values), None)


def parse_ui(ui: Any) -> tuple[UIGraph, Mapping[str, UIGraph]]:
    """The workflow's own graph and its subgraph definitions by id."""
    if not is_ui_format(ui):
        raise WorkflowRefused("This is no workflow in the format in which ComfyUI saves it.")
    definitions = ui.get("definitions")
    raws = _objects(definitions.get("subgraphs") if isinstance(definitions, Mapping) else None, "subgraphs")
    return parse_graph(ui), {_id(raw.get("id"), "A subgraph"): parse_graph(raw) for raw in raws}


@dataclass(frozen=True)
class Held:
    """What a widget holds in the file."""

    value: Any
    widget: Widget = Widget("")

    def sent(self) -> Any:
        """The value as it stands in the API format, where a bare list would be a link."""
        return {"__value__": self.value} if isinstance(self.value, list) else self.value


class Slots:
    """`widgets_values`, read from the front."""

    def __init__(self, values: list[Any] | Mapping[str, Any]) -> None:
        self.by_name = values if isinstance(values, Mapping) else None
        self.left = deque(values if isinstance(values, list) else ())

    def take(self, name: str, widget: Widget) -> Any:
        """The widget's value, past the slots that exist only in the UI."""
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
    """What a node's widgets hold, by name; a dynamic combo's choice brings widgets that follow at once."""
    slots = Slots(node.values)
    held: dict[str, Held] = {}
    waiting = [("", widget) for widget in reversed(known.widgets)]
    while waiting:
        prefix, widget = waiting.pop()
        name = prefix + widget.name
        if widget.grows:  # as many as the node has grown
            grown = [key.name for key in node.inputs if key.widget and key.name.startswith(name + ".")]
            waiting.extend(("", replace(widget.grows, name=key)) for key in reversed(grown))
            continue
        value = slots.take(name, widget)
        if widget.options is not None:
            waiting.extend((name + ".", inner) for inner in reversed(_branch(node, name, widget.options, value)))
        if widget.name and not (value is None and widget.default is None):
            held[name] = Held(widget.default if widget.made_anew else value, widget)
    if known.class_type == "CustomCombo":  # its second output needs these, which no definition lists
        for count, value in enumerate(slots.left):
            held[f"option{count}" if count else "index"] = Held(value)
    return held


def _branch(node: UINode, name: str, options: Mapping[str, tuple[Widget, ...]], choice: Any) -> tuple[Widget, ...]:
    """The widgets that a choice of a dynamic combo brings; without them every later value would be read wrongly."""
    found = options.get(str(choice)) if isinstance(choice, (str, int, float)) else None
    if found is not None:
        return found
    raise WorkflowRefused(
        f'{node}: "{name}" is {shown_value(choice)}, which its class does not offer.',
        "Open the workflow in ComfyUI, choose again and save it; on offer: " + shortened(", ".join(options), 300),
    )


@dataclass(frozen=True)
class Scope:
    """One graph at work: the workflow itself, or one instance of a subgraph inside it. `path` begins its nodes' ids."""

    path: str
    graph: UIGraph
    outer: "Scope | None" = None
    instance: UINode | None = None
    entries: Mapping[str, Socket] = field(default_factory=dict)  # the instance's own inputs; it may list only some

    def enter(self, node: UINode, graph: UIGraph) -> "Scope":
        """The scope of an instance in this one."""
        entries = {socket.name: socket for socket in reversed(node.inputs)}
        return Scope(f"{self.path}{node.id}:", graph, self, node, entries)

    @property
    def depth(self) -> int:
        """How many instances this one stands in."""
        return 0 if self.outer is None else self.outer.depth + 1


@dataclass(frozen=True)
class Source:
    """Where an input gets its value from: an output of a node that is sent."""

    node: str
    slot: int


@dataclass(frozen=True)
class Constant:
    """A value that comes over a link: from a PrimitiveNode or a promoted widget."""

    value: Any


@dataclass(frozen=True)
class Nothing:
    """A link that ends in a muted node: the input is not sent at all, not even with its widget's value."""


@dataclass(frozen=True)
class Live:
    """Every scope of a workflow by its path, and every node that is sent: neither muted, bypassed nor virtual."""

    scopes: Mapping[str, Scope]
    nodes: Sequence[tuple[Scope, UINode]]


def live_nodes(ui: Any) -> Live:
    """What of a workflow in the UI format is sent. Raises `WorkflowRefused`."""
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
    """The node classes whose definitions `read_ui` needs, those inside subgraphs with them."""
    return {name for _, node in live.nodes for name in class_names(node)}


def strange_types(live: Live, definitions: Definitions) -> list[str]:
    """The classes of nodes that the server does not have, without what is refused for other reasons."""
    found = set()
    for _, node in live.nodes:
        try:
            known_class(node, definitions)
        except NodeNotInstalled:
            found.add(node.type)
        except WorkflowRefused:  # a group node, say: it is named when it is read
            pass
    return sorted(found)


def class_names(node: UINode) -> list[str]:
    """The names under which a server may know a node's class, likeliest first."""
    other = node.properties.get("Node name for S&R")  # the class's name, in files of programs that set another type
    return [node.type, other] if isinstance(other, str) and other != node.type else [node.type]


def fits(one: str, other: str) -> bool:
    """Whether two socket types can be joined, as LiteGraph decides it: `*` fits all, and commas list alternatives."""
    if "*" in (one, other):
        return True
    return bool(set(one.lower().split(",")) & set(other.lower().split(",")))


def same_slot(node: UINode, slot: int, wanted: str) -> Socket | None:
    """The input of a bypassed node that stands beside an output, when it may pass through to it."""
    if slot >= len(node.inputs):
        return None
    made = node.outputs[slot].type if slot < len(node.outputs) else "*"
    socket = node.inputs[slot]
    return socket if wanted == "*" or (fits(socket.type, made) and fits(socket.type, wanted)) else None


def any_slot(node: UINode, wanted: str) -> Socket | None:
    """The first input of a bypassed node that may pass through to any output: never one whose type does not fit."""
    if wanted == "*":
        return node.inputs[0] if node.inputs else None
    exact = next((socket for socket in node.inputs if socket.type == wanted), None)
    return exact or next((socket for socket in node.inputs if fits(socket.type, wanted)), None)


Outcome = Source | Constant | Nothing | None


@dataclass(frozen=True)
class Tracer:
    """Follows links back to what is sent, through everything that is not."""

    scopes: Mapping[str, Scope]
    values: Mapping[str, Mapping[str, Held]]  # of every node that is sent, by its full id: what its widgets hold
    known: dict[tuple[str, str, str], Outcome] = field(default_factory=dict)  # long chains are walked once
    passing: dict[tuple[str, str, str], Socket | None] = field(default_factory=dict)  # and wide nodes searched once

    def source(self, scope: Scope, socket: Socket) -> Outcome:
        """What an input gets over its link; None when nothing comes, so that its widget's own value stays."""
        steps: dict[tuple[str, str, str], None] = {}
        crossed: tuple[Scope, int] | None = None  # the outermost subgraph input on the way, and the steps up to it
        inside = 0
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
        found = self._promoted(*crossed) if outcome is None and crossed else outcome
        self.known.update({key: found if place < inside else outcome for place, key in enumerate(steps)})
        return found

    def _through(self, scope: Scope, node: UINode, slot: int, wanted: str) -> tuple[Scope, str | None] | Outcome:
        """One step back from an output: to the link that it passes through, or to the end."""
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
        """The value of a subgraph input that nothing is linked to: all inputs inside that hang on it get the same.

        It is the value that the instance holds, or else that of the first widget inside (golden files: also where
        the others hold another value or have no widget). Texts come as they are: `{a|b}` is left alone in them.
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

        With `proxyWidgets` the values are kept inside; without, they stand in the order of those inputs that end in
        a widget.
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
        """The input of the SetNode of the same name: in the same graph, else in one around it."""
        name = text_of(_first(getter.values))
        around: Scope | None = scope
        while around is not None:
            if setter := around.graph.setters.get(name):
                return around, setter.inputs[0].link if setter.inputs else None
            around = around.outer
        raise WorkflowRefused(f'{getter}: the workflow has no SetNode of the name "{shortened(name)}".')


def convert(ui: Any, definitions: Definitions) -> dict[str, Any]:
    """The workflow in ComfyUI's API format; `definitions` holds those of `class_types` that the server has."""
    graph, dynamic = read_ui(live_nodes(ui), definitions)
    for target in dynamic:
        inputs = graph[target.node_id]["inputs"]
        inputs[target.input] = dynamic_prompt(inputs[target.input])
    return graph


def read_ui(live: Live, definitions: Definitions) -> tuple[dict[str, Any], frozenset[Target]]:
    """The workflow in ComfyUI's API format with its texts as they were saved, and which of them the front end passes
    through `dynamic_prompt` before every run."""
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
    """Refuse what cannot be sent as it is."""
    for name, value in inputs.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise WorkflowRefused(f'{node}: "{name}" is {value}, which is no number that can be sent.')
        if name in held and held[name].widget.drawn and not value:
            raise WorkflowRefused(
                f'{node}: "{name}" is a picture that ComfyUI\'s page makes in the browser at the moment of sending.',
                "Put a Load Image node in its place.",
            )


def known_class(node: UINode, definitions: Definitions) -> NodeDefinition:
    """The node's class as the server knows it; raises `NodeNotInstalled` when it knows none."""
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
