"""Workflows as ComfyUI's editor saves them, turned into what its front end would send.

The server takes the API format only (graph/nodes). `live_nodes` reads the file (graph/ui_file) and
finds the nodes that are sent, with those inside subgraphs; `class_types` tells whose definitions to
ask the server for. With these, `read_ui` gives each widget its value (graph/ui_values), follows
each link back to a node that is sent (graph/ui_links), and puts the graph together. `convert` does
it all at once. What cannot be converted faithfully is refused, naming the node.
"""

import math
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..bounds import MOST_NODES
from ..errors import NodeNotInstalled, WorkflowRefused
from .definitions import Definitions, NodeDefinition
from .nodes import NOTES, PAGE_ONLY, Target, input_value, too_many_nodes
from .prompts import dynamic_prompt, file_prefix
from .ui_file import BYPASSED, MUTED, UIGraph, UINode, parse_ui
from .ui_links import Constant, Scope, Source, Tracer
from .ui_values import SavedValue, class_names, known_class, read_values, stand_in


def convert(ui: Any, definitions: Definitions) -> dict[str, Any]:
    """The workflow in the API format, with the first of the choices in its texts taken.

    `definitions` holds those of `class_types` that the server has. Raises `WorkflowRefused`,
    `NodeNotInstalled`.
    """
    graph, dynamic = read_ui(live_nodes(ui), definitions)
    for target in dynamic:
        inputs = graph[target.node_id]["inputs"]
        inputs[target.input] = dynamic_prompt(inputs[target.input])
    return graph


# A node is sent if it is neither muted nor bypassed and exists on the server, not only on the page.
# In place of each instance of a subgraph the nodes inside it are sent; their ids begin with that of
# the instance: "12:3".

# followed or dropped, never sent
VIRTUAL = (*NOTES, "PrimitiveNode", "Reroute", "GetNode", "SetNode")
# links without lines, from a common package
EVERYWHERE = re.compile(r"(Anything|Prompts|Seed) Everywhere")


@dataclass(frozen=True)
class Live:
    """Every scope of a workflow by its path, and every node that is sent, with its scope."""

    scopes: Mapping[str, Scope]
    nodes: Sequence[tuple[Scope, UINode]]


def live_nodes(ui: Any) -> Live:
    """What is sent of a workflow in the UI format, found without any definition. Raises
    `WorkflowRefused`.
    """
    root, subgraphs = parse_ui(ui)
    scopes: dict[str, Scope] = {}
    sent: list[tuple[Scope, UINode]] = []
    waiting = deque([Scope("", root)])
    count = 0
    while waiting:
        scope = waiting.popleft()
        scopes[scope.path] = scope
        nodes = scope.graph.nodes
        count += len(nodes) + 1
        # 20 levels of subgraphs that each contain the next one twice make a million
        if count > MOST_NODES:
            raise too_many_nodes()
        for node in nodes.values():
            if _is_left_out(node):
                continue
            if EVERYWHERE.match(node.type):
                _check_everywhere(node, scope.graph)
            elif node.type in subgraphs:
                inside = scope.enter(node, subgraphs[node.type])
                waiting.append(inside)
            else:
                sent.append((scope, node))
    return Live(scopes, sent)


def _is_left_out(node: UINode) -> bool:
    """Whether a node is switched off, or one that exists on the page only."""
    if node.mode in (MUTED, BYPASSED) or node.type in VIRTUAL:
        return True
    return PAGE_ONLY.fullmatch(node.type) is not None


def _check_everywhere(node: UINode, graph: UIGraph) -> None:
    """Raise `WorkflowRefused` for a node with links that have no lines, where the file does not
    note these links.
    """
    if not graph.everywhere and any(socket.link for socket in node.inputs):
        raise WorkflowRefused(
            f"{node} sends what it gets to other nodes without a line, and the file does not say to which.",
            "Open the workflow in ComfyUI, turn these into real links in the node's menu, and save it.",
        )


def class_types(live: Live) -> set[str]:
    """The names of the node classes whose definitions `read_ui` needs, inside subgraphs too."""
    names: set[str] = set()
    for _, node in live.nodes:
        names.update(class_names(node))
    return names


def strange_types(live: Live, definitions: Definitions) -> list[str]:
    """The classes that the server does not have, sorted; without what `read_ui` refuses for other
    reasons.
    """
    strange: set[str] = set()
    for _, node in live.nodes:
        try:
            known_class(node, definitions)
        except NodeNotInstalled:
            strange.add(node.type)
        except WorkflowRefused:  # such as a group node: `read_ui` names it
            pass
    return sorted(strange)


def with_stand_ins(live: Live, definitions: Definitions) -> Definitions:
    """The definitions, and for the classes that the server does not have what the file itself tells
    of them: enough to describe such a workflow, not to run it.
    """
    strange = set(strange_types(live, definitions))
    stand_ins: dict[str, NodeDefinition] = {}
    for _, node in live.nodes:
        if node.type in strange:
            known, of_this = stand_ins.get(node.type), stand_in(node)
            if known is None or len(known.widgets) < len(of_this.widgets):
                stand_ins[node.type] = of_this
    return {**definitions, **stand_ins}


def read_ui(live: Live, definitions: Definitions) -> tuple[dict[str, Any], frozenset[Target]]:
    """The workflow in the API format, with its texts as they were saved.

    Also returns which of these the front end passes through `dynamic_prompt` before every run.
    Raises `WorkflowRefused`, `NodeNotInstalled`.
    """
    saved: dict[str, dict[str, SavedValue]] = {}  # by the full id of the node
    for scope, node in live.nodes:
        saved[scope.full_id(node)] = read_values(node, known_class(node, definitions))
    tracer = Tracer(live.scopes, saved)
    graph: dict[str, Any] = {}
    dynamic: set[Target] = set()
    for scope, node in live.nodes:
        node_id = scope.full_id(node)
        values = saved[node_id]
        inputs, linked = _sent_inputs(scope, node, values, tracer)
        _check_inputs(node, inputs, values)
        known = known_class(node, definitions)
        title = node.title or known.title
        graph[node_id] = {
            "class_type": known.class_type,
            "inputs": inputs,
            "_meta": {"title": title},
        }
        for name, held in values.items():
            is_text = isinstance(held.value, str) and name not in linked
            if is_text and held.widget.dynamic_prompts:
                dynamic.add(Target(node_id, name))
    _name_in_file_names(live, graph)
    return graph, frozenset(dynamic)


def _name_in_file_names(live: Live, graph: Mapping[str, Any]) -> None:
    """Write the values of nodes into file names that call them by a name of their own
    ("%SavePrefix.text%"). It stands in a property that the API format does not have; classes and
    titles are left for `as_sent`.
    """
    named: dict[str, Mapping[str, Any]] = {}
    for scope, node in live.nodes:
        sent = graph[scope.full_id(node)]
        for name in class_names(node)[1:]:
            if name != sent["class_type"]:
                named.setdefault(name, sent)
    if not named:
        return
    for node in graph.values():
        prefix = node["inputs"].get("filename_prefix")
        if isinstance(prefix, str) and "%" in prefix:
            node["inputs"]["filename_prefix"] = file_prefix(prefix, named)


def _sent_inputs(
    scope: Scope, node: UINode, saved: Mapping[str, SavedValue], tracer: Tracer
) -> tuple[dict[str, Any], set[str]]:
    """The inputs of a node as they are sent, and the names of those whose links override what their
    widgets hold.
    """
    inputs = {name: input_value(held.value) for name, held in saved.items()}
    linked: set[str] = set()
    for inlet in node.inputs:
        name = inlet.name
        source = tracer.source(scope, inlet)
        if source is None:
            continue
        linked.add(name)
        if isinstance(source, Source):
            inputs[name] = [source.node, source.slot]
        elif isinstance(source, Constant):
            inputs[name] = input_value(source.value)
        else:
            inputs.pop(name, None)
    return inputs, linked


def _check_inputs(node: UINode, inputs: Mapping[str, Any], saved: Mapping[str, SavedValue]) -> None:
    """Raise `WorkflowRefused` for a value that cannot be sent as it is."""
    for name, value in inputs.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise WorkflowRefused(f'{node}: "{name}" is {value}, which cannot be sent.')
        held = saved.get(name)
        if held and held.widget.drawn and not value:
            raise WorkflowRefused(
                f'{node}: "{name}" is a picture that ComfyUI\'s page makes in the browser at the moment of sending.',
                "Put a Load Image node in its place.",
            )
