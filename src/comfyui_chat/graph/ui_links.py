"""Where an input of a saved node gets its value from: links followed back to nodes that are sent.

In the file a link may lead through a Reroute, a pair of SetNode and GetNode, a bypassed node, or
into and out of subgraphs, none of which is sent. `Tracer.source` goes back over all of them, to a
`Source`, a `Constant` or `Nothing`. Where the way leads to none of them, the value of the input's
own widget stays.

The rules are those of the front ends 1.27.10 and 1.49.6. "Golden files" marks what is known only
from the prompts that these made of official templates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import WorkflowRefused
from ..names import shortened
from ..values import text_of
from .definitions import MAX_DEPTH
from .ui_file import BYPASSED, MUTED, SUBGRAPH_INPUT, Socket, UIGraph, UILink, UINode
from .ui_values import SavedValue


@dataclass(frozen=True)
class Scope:
    """A graph at work: the workflow itself, or one instance of a subgraph; `path` begins its nodes'
    full ids: "12:".
    """

    path: str
    graph: UIGraph
    outer: "Scope | None" = None
    instance: UINode | None = None
    # the instance's inputs, maybe not all
    entries: Mapping[str, Socket] = field(default_factory=dict)
    depth: int = 0  # how many subgraphs are around its nodes

    def full_id(self, node: UINode) -> str:
        """The id of a node in this scope in the graph that is sent, such as "12:3"."""
        return self.path + node.id

    def inner_path(self, node: UINode) -> str:
        """The path of the scope of a subgraph, whose instance in this scope is `node`."""
        return f"{self.path}{node.id}:"

    def enter(self, node: UINode, graph: UIGraph) -> "Scope":
        """The scope of a subgraph, whose instance in this scope is `node`. Raises `WorkflowRefused`
        if too deep.
        """
        if self.depth >= MAX_DEPTH:
            raise WorkflowRefused(
                f"The subgraph {node} contains itself, or subgraphs are nested too deep."
            )
        entries = {socket.name: socket for socket in reversed(node.inputs)}
        return Scope(self.inner_path(node), graph, self, node, entries, self.depth + 1)


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
    """A link that ends at a muted node: the input is not sent at all, not even with its widget's
    value.
    """


Outcome = Source | Constant | Nothing | None
# One step back: the scope and the id of the link that leads on, or where the way ends.
StepBack = tuple[Scope, str | None] | Outcome


@dataclass(frozen=True)
class Tracer:
    """Follows links back, through everything that is not sent, to what is."""

    scopes: Mapping[str, Scope]
    values: Mapping[str, Mapping[str, SavedValue]]  # of every node that is sent, by its full id
    # Long chains are walked once, and wide bypassed nodes searched once.
    # by scope, link, and type of the input
    known: dict[tuple[str, str, str], Outcome] = field(default_factory=dict)
    # by scope, node, and type
    passing: dict[tuple[str, str, str], Socket | None] = field(default_factory=dict)

    def source(self, scope: Scope, socket: Socket) -> Outcome:
        """What an input gets over its link; None where nothing comes, so that the value of its own
        widget stays.

        Raises `WorkflowRefused` for a circle.
        """
        followed: dict[tuple[str, str, str], None] = {}  # in order; the keys of `known`
        crossed: tuple[Scope, int] | None = None  # the outermost input of a subgraph on the way
        inside = 0  # the number of links followed up to it
        outcome: Outcome = None
        link_id = socket.link
        while link_id is not None and link_id in scope.graph.links:
            link = scope.graph.links[link_id]
            key = (scope.path, link_id, socket.type)
            if key in self.known:
                outcome = self.known[key]
                break
            if key in followed:
                raise WorkflowRefused(
                    f"The links of the workflow run in a circle at link {shortened(link_id)}."
                )
            followed[key] = None
            step = self._step(scope, link, socket.type)
            if not isinstance(step, tuple):
                outcome = step
                break
            if link.origin == SUBGRAPH_INPUT:
                crossed = (scope, link.slot)
                inside = len(followed)
            scope, link_id = step
        result = outcome
        if outcome is None and crossed:
            # Inside that subgraph its promoted value counts; the links outside, if any, lead to
            # nothing.
            result = self._promoted_value(*crossed)
        for place, key in enumerate(followed):
            self.known[key] = result if place < inside else outcome
        return result

    def _step(self, scope: Scope, link: UILink, wanted: str) -> StepBack:
        """One step back over a link, for an input of the type `wanted`."""
        if link.origin != SUBGRAPH_INPUT:
            return self._through(scope, link, wanted)
        ports = scope.graph.inputs
        if scope.outer is None or link.slot >= len(ports):
            return None
        entry = scope.entries.get(ports[link.slot].name)
        return scope.outer, _link_of(entry)

    def _through(self, scope: Scope, link: UILink, wanted: str) -> StepBack:
        """One step back through the node that a link comes from."""
        node = scope.graph.nodes.get(link.origin)
        if node is None:
            return None
        # whatever its mode: the front end resolves it, not the server
        if node.type == "PrimitiveNode":
            return Constant(node.first_value) if node.values else None
        if node.mode == MUTED:
            return Nothing()
        if node.type in ("Reroute", "SetNode"):
            if not node.inputs:
                return scope, None
            last = len(node.inputs) - 1
            return scope, node.inputs[min(link.slot, last)].link
        if node.mode == BYPASSED:
            passed_on = self._passed_on(scope, node, link.slot, wanted)
            return scope, _link_of(passed_on)
        if node.type == "GetNode":
            return _setter_link(scope, node)
        inner = self.scopes.get(scope.inner_path(node))
        if inner:
            return inner, inner.graph.exits.get(link.slot)
        return Source(scope.full_id(node), link.slot)

    def _passed_on(self, scope: Scope, node: UINode, slot: int, wanted: str) -> Socket | None:
        """The input that a bypassed node passes on to one of its outputs, if any."""
        socket = same_slot(node, slot, wanted)
        if socket:
            return socket
        key = (scope.path, node.id, wanted)
        if key not in self.passing:
            self.passing[key] = any_slot(node, wanted)
        return self.passing[key]

    def _promoted_value(self, scope: Scope, slot: int) -> Constant | None:
        """The value of a subgraph's input that nothing is linked to; all inputs inside that are
        linked to it get it.

        It is the value that the instance holds, or else that of the first widget inside, also where
        the other inputs hold another value or have no widget (golden files). A text comes as it is:
        no choice is made in its `{a|b}`.
        """
        while True:
            own = _instance_value(scope, slot)
            promoted = scope.graph.promoted.get(slot)
            if own is not None or promoted is None:
                return own
            inner = self.scopes.get(scope.inner_path(promoted.node))
            if inner is None:
                saved = self.values.get(scope.full_id(promoted.node), {}).get(promoted.socket.name)
                return Constant(saved.value) if saved else None
            names = [port.name for port in inner.graph.inputs]
            if promoted.socket.name not in names:
                return None
            scope, slot = inner, names.index(promoted.socket.name)


def _link_of(socket: Socket | None) -> str | None:
    """The link that ends at a socket, if there are both."""
    if socket is None:
        return None
    return socket.link


def _instance_value(scope: Scope, slot: int) -> Constant | None:
    """The value that an instance of a subgraph holds for one of its inputs, in place of the widget
    inside.

    Where the instance has `proxyWidgets`, the values are kept inside. Otherwise it lists them in
    the order of those inputs that lead to a widget.
    """
    if scope.instance is None or scope.instance.properties.get("proxyWidgets"):
        return None
    values = scope.instance.values
    promoted = scope.graph.promoted.get(slot)
    value = None
    if isinstance(values, Mapping):
        value = values.get(scope.graph.inputs[slot].name)
    elif promoted and promoted.place < len(values):
        value = values[promoted.place]
    if value is None:
        return None
    return Constant(value)


def _setter_link(scope: Scope, getter: UINode) -> tuple[Scope, str | None]:
    """The scope and link of what the SetNode of the same name gets: in the same graph, else in one
    around it.
    """
    name = text_of(getter.first_value)
    around: Scope | None = scope
    while around is not None:
        setter = around.graph.setters.get(name)
        if setter:
            first_input = next(iter(setter.inputs), None)
            return around, _link_of(first_input)
        around = around.outer
    raise WorkflowRefused(f'{getter}: the workflow has no SetNode of the name "{shortened(name)}".')


def same_slot(node: UINode, slot: int, wanted: str) -> Socket | None:
    """The input of a bypassed node with the number of the output, if its type may pass through;
    else None.
    """
    if slot >= len(node.inputs):
        return None
    socket = node.inputs[slot]
    if wanted == "*":
        return socket
    if not can_join(socket.type, wanted):
        return None
    if slot < len(node.outputs) and not can_join(socket.type, node.outputs[slot].type):
        return None
    return socket


def any_slot(node: UINode, wanted: str) -> Socket | None:
    """The first input of a bypassed node that may pass through, of exactly this type or else one
    that fits; or None.
    """
    for inlet in node.inputs:
        if wanted in ("*", inlet.type):
            return inlet
    for inlet in node.inputs:
        if can_join(inlet.type, wanted):
            return inlet
    return None


def can_join(one: str, other: str) -> bool:
    """Whether sockets of two types can be joined, as LiteGraph decides it: "*" fits all, commas
    list alternatives.
    """
    if "*" in (one, other):
        return True
    alternatives = set(one.lower().split(","))
    return not alternatives.isdisjoint(other.lower().split(","))
