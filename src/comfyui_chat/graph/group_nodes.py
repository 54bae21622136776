"""Group nodes, which old front ends had in place of subgraphs.

A file keeps what a group holds under `extra.groupNodes`, and of each instance only a row of values and its sockets:

    {"nodes": [{"id": 28, "type": "workflow/Mine", "widgets_values": [7, "randomize", "euler"], "inputs": [...]}],
     "extra": {"groupNodes": {"Mine": {"nodes": [{"index": 0, "type": "RandomNoise", "widgets_values": [1, "fixed"]},
                                                 {"index": 1, "type": "KSamplerSelect", "widgets_values": ["lcm"]}],
                                       "links": [[0, 0, 1, 0, 12, "NOISE"], [null, 0, 1, 1, 5, "MODEL"]],
                                       "external": [[1, 0, "LATENT"]]}}}}

`with_subgraphs` turns each instance into a subgraph of its own, as newer front ends do when they open such a file. The
values are those of the nodes inside, one after the other; the sockets are those that no link inside uses. Where their
numbers do not agree, the instance stays what it is, and is refused like any class that no server has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..values import list_of, object_of, text_of

PREFIXES = ("workflow/", "workflow>")
MOST_INSIDE = 20_000  # nodes in all groups of a workflow together
FROM_OUTSIDE, TO_OUTSIDE = -10, -20  # as a subgraph's links call its own sockets


def with_subgraphs(ui: Mapping[str, Any]) -> Mapping[str, Any]:
    """The workflow with its group nodes as subgraphs, as far as they can be read."""
    groups = object_of(object_of(ui.get("extra")).get("groupNodes"))
    if not groups:
        return ui
    definitions = object_of(ui.get("definitions"))
    subgraphs = [*list_of(definitions.get("subgraphs"))]
    read = {name: _read_group(raw) for name, raw in groups.items()}
    nodes: list[Any] = []
    inside = 0
    for node in list_of(ui.get("nodes")):
        instance = object_of(node)
        kind = text_of(instance.get("type"))
        group = read.get(kind[len(PREFIXES[0]) :]) if kind.startswith(PREFIXES) else None
        inside += len(group.nodes) if group else 0
        subgraph = _as_subgraph(instance, group, len(subgraphs)) if group and inside <= MOST_INSIDE else None
        if subgraph is None:
            nodes.append(node)
            continue
        subgraphs.append(subgraph)
        nodes.append({**instance, "type": subgraph["id"], "widgets_values": []})
    return {**ui, "nodes": nodes, "definitions": {**definitions, "subgraphs": subgraphs}}


Slot = tuple[int, int]  # a socket inside a group: the number of the node, and that of its input or output


@dataclass(frozen=True)
class GroupNode:
    """What a group holds."""

    nodes: Sequence[Mapping[str, Any]]
    inner: Mapping[Slot, Slot]  # by an input, the output that feeds it inside
    entries: Sequence[Slot]  # the inputs that are fed from outside
    exits: Sequence[Slot]  # the outputs that are there outside


def _read_group(raw: Any) -> GroupNode | None:
    """What a group holds; None for a shape that is not known."""
    nodes = [object_of(node) for node in list_of(object_of(raw).get("nodes"))]
    inner: dict[Slot, Slot] = {}
    for link in list_of(object_of(raw).get("links")):
        ends = list_of(link)[:4]
        if len(ends) != 4:
            return None
        if ends[0] is None:  # from outside
            continue
        if not all(isinstance(end, int) for end in ends):
            return None
        source, output, target, place = ends
        inner[target, place] = (source, output)
    shown: set[Slot] = set()
    for item in list_of(object_of(raw).get("external")):
        node, slot = [*list_of(item), None, None][:2]
        index = node.get("index") if isinstance(node, Mapping) else node
        if isinstance(index, int) and isinstance(slot, int):
            shown.add((index, slot))
    used = set(inner.values())
    config = object_of(object_of(raw).get("config"))
    entries: list[Slot] = []
    exits: list[Slot] = []
    for number, node in enumerate(nodes):
        hidden = object_of(object_of(config.get(str(number))).get("output"))
        entries += [(number, place) for place in range(_sockets_of(node, "inputs")) if (number, place) not in inner]
        for place in range(_sockets_of(node, "outputs")):
            is_visible = object_of(hidden.get(str(place))).get("visible") is not False
            if is_visible and ((number, place) not in used or (number, place) in shown):
                exits.append((number, place))
    return GroupNode(nodes, inner, entries, exits)


def _sockets_of(node: Mapping[str, Any], key: str) -> int:
    return len(list_of(node.get(key)))


def _as_subgraph(instance: Mapping[str, Any], group: GroupNode, number: int) -> dict[str, Any] | None:
    """An instance as a subgraph; None where its values or sockets are not as many as those of the nodes inside."""
    sockets = [object_of(socket) for socket in list_of(instance.get("inputs"))]
    outputs = list_of(instance.get("outputs"))
    values = list_of(instance.get("widgets_values"))
    rows = [list_of(node.get("widgets_values")) for node in group.nodes]
    is_known = sum(map(len, rows)) == len(values) and len(sockets) == len(group.entries)
    if not is_known or len(outputs) != len(group.exits):
        return None
    links: list[list[Any]] = []
    for place, (node, slot) in enumerate(group.entries):
        links.append([len(links), FROM_OUTSIDE, place, node, slot, "*"])
    for (node, slot), (source, output) in group.inner.items():
        links.append([len(links), source, output, node, slot, "*"])
    for place, (node, slot) in enumerate(group.exits):
        links.append([len(links), node, slot, TO_OUTSIDE, place, "*"])
    return {
        "id": f"group node {number}",
        "nodes": _nodes_inside(group, values, {(link[3], link[4]): link[0] for link in links}),
        "links": links,
        "inputs": [{"name": text_of(socket.get("name")), "linkIds": [place]} for place, socket in enumerate(sockets)],
        "outputs": [{"name": "", "linkIds": []} for _ in outputs],
    }


def _nodes_inside(group: GroupNode, values: Sequence[Any], links: Mapping[Slot, int]) -> list[dict[str, Any]]:
    """The nodes of an instance, each with its part of the instance's values, and its inputs with their links."""
    nodes: list[dict[str, Any]] = []
    begin = 0
    for number, node in enumerate(group.nodes):
        end = begin + len(list_of(node.get("widgets_values")))
        sockets = list_of(node.get("inputs"))
        inputs = [{**object_of(socket), "link": links.get((number, place))} for place, socket in enumerate(sockets)]
        nodes.append({**node, "id": number, "widgets_values": list(values[begin:end]), "inputs": inputs})
        begin = end
    return nodes
