"""Group nodes, which old front ends had in place of subgraphs.

A file keeps what a group holds under `extra.groupNodes`, and of each instance only a row of values
and its sockets:

    {"nodes": [{"id": 28, "type": "workflow/Mine", "widgets_values": [7, "randomize", "euler"], "inputs": [...]}],
     "extra": {"groupNodes": {"Mine": {"nodes": [{"index": 0, "type": "RandomNoise", "widgets_values": [1, "fixed"]},
                                                 {"index": 1, "type": "KSamplerSelect", "widgets_values": ["lcm"]}],
                                       "links": [[0, 0, 1, 0, 12, "NOISE"], [null, 0, 1, 1, 5, "MODEL"]],
                                       "external": [[1, 0, "LATENT"]]}}}}

`with_subgraphs` turns each instance into a subgraph of its own, as newer front ends do when they
open such a file. The values are those of the nodes inside, one after the other; the sockets are
those that no link inside uses. Where their numbers do not agree, the instance stays what it is, and
is refused like any class that no server has.
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
    raw_groups = object_of(object_of(ui.get("extra")).get("groupNodes"))
    if not raw_groups:
        return ui
    groups = {name: _read_group(object_of(raw)) for name, raw in raw_groups.items()}
    definitions = object_of(ui.get("definitions"))
    subgraphs = [*list_of(definitions.get("subgraphs"))]
    nodes: list[Any] = []
    inside = 0
    for node in list_of(ui.get("nodes")):
        instance = object_of(node)
        group = _group_behind(instance, groups)
        if group is None:
            nodes.append(node)
            continue
        inside += len(group.nodes)
        subgraph = _as_subgraph(instance, group, len(subgraphs)) if inside <= MOST_INSIDE else None
        if subgraph is None:
            nodes.append(node)
            continue
        subgraphs.append(subgraph)
        nodes.append({**instance, "type": subgraph["id"], "widgets_values": []})
    return {**ui, "nodes": nodes, "definitions": {**definitions, "subgraphs": subgraphs}}


# a socket inside a group: the number of the node, and that of its input or output
Slot = tuple[int, int]


@dataclass(frozen=True)
class GroupNode:
    """What a group holds."""

    nodes: Sequence[Mapping[str, Any]]
    inner: Mapping[Slot, Slot]  # by an input, the output that feeds it inside
    entries: Sequence[Slot]  # the inputs that are fed from outside
    exits: Sequence[Slot]  # the outputs that are there outside


def _group_behind(
    instance: Mapping[str, Any], groups: Mapping[str, GroupNode | None]
) -> GroupNode | None:
    """The group that a node is an instance of; None for any other node."""
    kind = text_of(instance.get("type"))
    if not kind.startswith(PREFIXES):
        return None
    name = kind[len(PREFIXES[0]) :]
    return groups.get(name)


def _read_group(raw: Mapping[str, Any]) -> GroupNode | None:
    """What a group holds; None for a shape that is not known."""
    inner = _inner_links(raw)
    if inner is None:
        return None
    nodes = [object_of(node) for node in list_of(raw.get("nodes"))]
    return GroupNode(nodes, inner, _outer_inputs(nodes, inner), _outer_outputs(raw, nodes, inner))


def _inner_links(raw: Mapping[str, Any]) -> dict[Slot, Slot] | None:
    """By an input, the output that feeds it inside the group; None where a link has a shape that is
    not known.
    """
    inner: dict[Slot, Slot] = {}
    for link in list_of(raw.get("links")):
        ends = list_of(link)[:4]
        if len(ends) != 4:
            return None
        source, output, target, place = ends
        if source is None:  # from outside
            continue
        if not all(isinstance(end, int) for end in ends):
            return None
        inner[target, place] = (source, output)
    return inner


def _outer_inputs(nodes: Sequence[Mapping[str, Any]], inner: Mapping[Slot, Slot]) -> list[Slot]:
    """The inputs that no link inside feeds."""
    return [slot for slot in _slots_inside(nodes, "inputs") if slot not in inner]


def _outer_outputs(
    raw: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]], inner: Mapping[Slot, Slot]
) -> list[Slot]:
    """The outputs that are there outside: those that nothing inside uses or that the author shows,
    but no hidden ones.

    `config` is `{"<node>": {"output": {"<slot>": {"visible": false}}}}`.
    """
    config = object_of(raw.get("config"))
    used = set(inner.values())
    shown = _shown_outputs(raw)
    exits: list[Slot] = []
    for node, place in _slots_inside(nodes, "outputs"):
        choices = object_of(object_of(config.get(str(node))).get("output"))
        is_hidden = object_of(choices.get(str(place))).get("visible") is False
        is_free = (node, place) not in used or (node, place) in shown
        if is_free and not is_hidden:
            exits.append((node, place))
    return exits


def _shown_outputs(raw: Mapping[str, Any]) -> set[Slot]:
    """The outputs that the author shows outside although a link inside uses them.

    An entry of `external` is `[node, slot, type]`, in which the node is a number or an object with
    its `index`.
    """
    shown: set[Slot] = set()
    for item in list_of(raw.get("external")):
        node, slot = [*list_of(item), None, None][:2]
        index = node.get("index") if isinstance(node, Mapping) else node
        if isinstance(index, int) and isinstance(slot, int):
            shown.add((index, slot))
    return shown


def _slots_inside(nodes: Sequence[Mapping[str, Any]], key: str) -> list[Slot]:
    """All `inputs`, or all `outputs`, of a group's nodes, in order."""
    slots: list[Slot] = []
    for number, node in enumerate(nodes):
        for place in range(len(list_of(node.get(key)))):
            slots.append((number, place))
    return slots


def _as_subgraph(
    instance: Mapping[str, Any], group: GroupNode, number: int
) -> dict[str, Any] | None:
    """An instance as a subgraph; None where its values or sockets are not as many as those of the
    nodes inside.
    """
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
        "inputs": [
            {"name": text_of(socket.get("name")), "linkIds": [place]}
            for place, socket in enumerate(sockets)
        ],
        "outputs": [{"name": "", "linkIds": []} for _ in outputs],
    }


def _nodes_inside(
    group: GroupNode, values: Sequence[Any], links: Mapping[Slot, int]
) -> list[dict[str, Any]]:
    """The nodes of an instance, each with its part of the instance's values, and its inputs with
    their links.
    """
    nodes: list[dict[str, Any]] = []
    begin = 0
    for number, node in enumerate(group.nodes):
        end = begin + len(list_of(node.get("widgets_values")))
        sockets = list_of(node.get("inputs"))
        inputs = [
            {**object_of(socket), "link": links.get((number, place))}
            for place, socket in enumerate(sockets)
        ]
        nodes.append(
            {**node, "id": number, "widgets_values": list(values[begin:end]), "inputs": inputs}
        )
        begin = end
    return nodes
