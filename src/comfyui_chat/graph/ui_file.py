"""The file that ComfyUI's editor saves, as typed values.

The editor saves its page, the UI format: values by position, lines between numbered sockets,
subgraphs, and nodes that are never sent. A link is [id, from node, its output, to node, its input,
type]:

    {"nodes": [{"id": 3, "type": "KSampler", "mode": 0, "widgets_values": [7, "randomize", 20, ...],
                "inputs": [{"name": "model", "type": "MODEL", "link": 1}, ...], "outputs": [...]}, ...],
     "links": [[1, 4, 0, 3, 0, "MODEL"], ...], "definitions": {"subgraphs": [...]}}

`parse_ui` reads it. Lists, ids and links of a wrong shape are refused here, so that
graph/ui_values, graph/ui_links and graph/editor can rely on them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..bounds import MOST_TITLE_CHARACTERS
from ..errors import WorkflowRefused
from ..names import shortened, shown_value
from ..values import is_number, list_of, object_of, text_of
from .group_nodes import with_subgraphs
from .nodes import check_names, is_ui_format

# what stands for a subgraph's own sockets in its links
SUBGRAPH_INPUT, SUBGRAPH_OUTPUT = "-10", "-20"
# The type of a subgraph's instance is the id of its definition.
SUBGRAPH_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
MUTED, BYPASSED = 2, 4  # as a node's `mode`
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
    """An input or output of a node in the UI format; `widget` tells whether the input has a widget
    too.
    """

    name: str
    type: str
    link: str | None = None
    widget: bool = False


@dataclass(frozen=True)
class UILink:
    """A line from an output of the node `origin` to an input of the node `target`; slots count
    these from 0.
    """

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

    @property
    def first_value(self) -> Any:
        """The value of its first widget, or None."""
        values = self.values
        if isinstance(values, Mapping):
            values = list(values.values())
        return next(iter(values), None)

    def __str__(self) -> str:
        """The node in a message: "Sampler" (KSampler), node 3."""
        kind = shortened(self.type)
        node_id = shortened(self.id)
        if self.title in ("", self.type):
            return f'"{kind}", node {node_id}'
        return f'"{shortened(self.title)}" ({kind}), node {node_id}'


@dataclass(frozen=True)
class Port:
    """An input or output of a subgraph, with the ids of the links inside that belong to it."""

    name: str
    links: tuple[str, ...]


@dataclass(frozen=True)
class Promoted:
    """The first widget inside a subgraph that is linked to one of its inputs; `place` counts such
    inputs from 0.
    """

    place: int
    node: UINode
    socket: Socket


@dataclass(frozen=True)
class UIGraph:
    """The nodes and links of a workflow, or of one subgraph definition."""

    nodes: Mapping[str, UINode]
    links: Mapping[str, UILink]  # by id
    inputs: tuple[Port, ...]  # of a subgraph, as the next two
    promoted: Mapping[int, Promoted]  # by the number of the input
    exits: Mapping[int, str]  # by the number of the output: the link that ends there
    setters: Mapping[str, UINode]  # the SetNodes, by the name that they set
    everywhere: bool  # whether the file tells where "Anything Everywhere" nodes send what they get


def parse_ui(ui: Any) -> tuple[UIGraph, Mapping[str, UIGraph]]:
    """The workflow's own graph, and those of its subgraphs by id. Raises `WorkflowRefused`."""
    if not is_ui_format(ui):
        raise WorkflowRefused("This is not a workflow in the format in which ComfyUI saves it.")
    ui = with_subgraphs(ui)
    root = parse_graph(ui)
    definitions = object_of(ui.get("definitions"))
    subgraphs: dict[str, UIGraph] = {}
    for raw in _objects(definitions.get("subgraphs"), "subgraphs"):
        subgraph_id = _id(raw.get("id"), "A subgraph")
        subgraphs[subgraph_id] = parse_graph(raw)
    return root, subgraphs


def parse_graph(raw: Mapping[str, Any]) -> UIGraph:
    """Read the nodes and links of a workflow, or of the definition of a subgraph. Raises
    `WorkflowRefused`.
    """
    nodes = _nodes_by_id(raw.get("nodes"))
    links = _links_by_id(raw.get("links"))
    noted = _noted_links(raw.get("extra"), nodes, links)
    for link_id, link in noted.items():
        node = nodes[link.target]
        sockets = list(node.inputs)
        sockets[link.target_slot] = replace(sockets[link.target_slot], link=link_id)
        nodes[node.id] = replace(node, inputs=tuple(sockets))
    links.update(noted)
    inputs = _ports(raw.get("inputs"))
    setters: dict[str, UINode] = {}
    for node in nodes.values():
        if node.type == "SetNode":
            setters.setdefault(text_of(node.first_value), node)
    return UIGraph(
        nodes=nodes,
        links=links,
        inputs=inputs,
        promoted=_promoted_widgets(nodes, links, inputs),
        exits=_exits(links, _ports(raw.get("outputs"))),
        setters=setters,
        everywhere=bool(noted),
    )


def _exits(links: Mapping[str, UILink], outputs: Sequence[Port]) -> dict[int, str]:
    """The link that ends at each output of a subgraph: the one that the output names, else one that
    names it.
    """
    exits = {
        link.target_slot: link_id
        for link_id, link in links.items()
        if link.target == SUBGRAPH_OUTPUT
    }
    for slot, port in enumerate(outputs):
        if port.links:
            exits[slot] = port.links[0]
    return exits


def _nodes_by_id(raw: Any) -> dict[str, UINode]:
    nodes: dict[str, UINode] = {}
    for item in _objects(raw, "nodes"):
        node = _node(item)
        if node.id in nodes:
            raise WorkflowRefused(
                f"Two nodes of the workflow have the id {node.id}: {nodes[node.id]} and {node}."
            )
        nodes[node.id] = node
    return nodes


def _links_by_id(raw: Any) -> dict[str, UILink]:
    """The links by id, each in either of its shapes, a list or an object; a deleted one may be
    there as null, or with null for a node that is no more.
    """
    links: dict[str, UILink] = {}
    for item in _items(raw, "links"):
        if item is None:
            continue
        if isinstance(item, Mapping):
            item = [
                item.get(key)
                for key in ("id", "origin_id", "origin_slot", "target_id", "target_slot")
            ]
        if not isinstance(item, list) or len(item) < 5:
            raise WorkflowRefused("One of the workflow's links has no origin and target.")
        if item[1] is None or item[3] is None:
            continue
        link = UILink(
            origin=_id(item[1], "The origin of a link"),
            target=_id(item[3], "The target of a link"),
            slot=_count(item[2], "A link's slot"),
            target_slot=_count(item[4], "A link's slot"),
        )
        links[_id(item[0], "A link")] = link
    return links


def _noted_links(
    extra: Any, nodes: Mapping[str, UINode], lines: Mapping[str, UILink]
) -> dict[str, UILink]:
    """The links that "Anything Everywhere" nodes stand for, as their package notes them in the
    file.

    {"ue_links": [{"upstream": "4", "upstream_slot": 2, "downstream": 8, "downstream_slot": 1, "type": "VAE"}, ...]}
    """
    links: dict[str, UILink] = {}
    for item in list_of(object_of(extra).get("ue_links")):
        link = _noted_link(item)
        if link is None or link.origin not in nodes or link.target not in nodes:
            continue
        sockets = nodes[link.target].inputs
        # A socket may name a line that the package added while the page was open, and that the file
        # does not have.
        if link.target_slot < len(sockets) and sockets[link.target_slot].link not in lines:
            links[f"everywhere-{len(links)}"] = link
    return links


def _noted_link(raw: Any) -> UILink | None:
    if not isinstance(raw, Mapping):
        return None
    try:
        return UILink(
            origin=_id(raw.get("upstream"), ""),
            slot=_count(raw.get("upstream_slot"), ""),
            target=_id(raw.get("downstream"), ""),
            target_slot=_count(raw.get("downstream_slot"), ""),
        )
    except WorkflowRefused:
        return None


def _promoted_widgets(
    nodes: Mapping[str, UINode], links: Mapping[str, UILink], inputs: tuple[Port, ...]
) -> dict[int, Promoted]:
    """For each input of a subgraph, by number, the first widget inside that is linked to it, if
    any.
    """
    promoted: dict[int, Promoted] = {}
    for slot, port in enumerate(inputs):
        for link_id in port.links:
            link = links.get(link_id)
            node = nodes.get(link.target) if link else None
            if link is None or node is None or link.target_slot >= len(node.inputs):
                continue
            socket = node.inputs[link.target_slot]
            if socket.widget:
                promoted[slot] = Promoted(len(promoted), node, socket)
                break
    return promoted


def _node(raw: Mapping[str, Any]) -> UINode:
    kind = raw.get("type")
    if not isinstance(kind, str):
        raise WorkflowRefused(f"Node {shown_value(raw.get('id'))} of the workflow has no type.")
    check_names("A node of the workflow", kind)
    kind = RENAMED.get(kind, kind)
    name = f'node "{shortened(kind)}"'
    values = raw.get("widgets_values")
    return UINode(
        id=_id(raw.get("id"), f"A {name}"),
        type=kind,
        title=text_of(raw.get("title"))[:MOST_TITLE_CHARACTERS],
        mode=_count(raw.get("mode"), f"The mode of a {name}"),
        inputs=_sockets(raw.get("inputs"), "inputs"),
        outputs=_sockets(raw.get("outputs"), "outputs"),
        values=values if isinstance(values, (list, Mapping)) else [],
        properties=object_of(raw.get("properties")),
    )


def _sockets(raw: Any, what: str) -> tuple[Socket, ...]:
    sockets = tuple(_socket(item) for item in _objects(raw, what))
    check_names("A node of the workflow", *(socket.name for socket in sockets))
    return sockets


def _socket(raw: Mapping[str, Any]) -> Socket:
    link = raw.get("link")
    if link is not None:
        link = _id(link, "A link")
    name = text_of(raw.get("name"))
    kind = text_of(raw.get("type"), "*")  # LiteGraph also writes 0 and -1 for "anything"
    check_names("A node of the workflow", kind)
    return Socket(
        name=name,
        type=kind,
        link=link,
        widget=bool(raw.get("widget")),
    )


def _ports(raw: Any) -> tuple[Port, ...]:
    ports: list[Port] = []
    for item in _objects(raw, "subgraph inputs and outputs"):
        name = text_of(item.get("name"))
        check_names("A subgraph of the workflow", name)
        link_ids = _items(item.get("linkIds"), "subgraph links")
        ports.append(Port(name, tuple(_id(link_id, "A link") for link_id in link_ids)))
    return tuple(ports)


# Parts of the file, checked. `what` names the part in the error.


def _items(value: Any, what: str) -> list[Any]:
    """A list from the file; None counts as an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise WorkflowRefused(f"The workflow's {what} are not a list.")
    return value


def _objects(value: Any, what: str) -> list[Mapping[str, Any]]:
    """A list of objects from the file; None counts as an empty one."""
    items = _items(value, what)
    for item in items:
        if not isinstance(item, Mapping):
            raise WorkflowRefused(
                f"One of the workflow's {what} is {shown_value(item)} instead of an object."
            )
    return items


def _count(value: Any, what: str) -> int:
    """A number that counts from 0, such as a slot or a mode; None counts as 0."""
    if value is None:
        return 0
    if not is_number(value) or value < 0 or value != value // 1:
        raise WorkflowRefused(
            f"{what} of the workflow is {shown_value(value)}, which is not a whole number from 0 up."
        )
    return int(value)


def _id(value: Any, what: str) -> str:
    """An id as text: in most files they are numbers, in some texts, and a whole number may have
    become 3.0.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        return value
    if isinstance(value, int) and is_number(value) and abs(value) <= 2**63:
        return str(value)
    raise WorkflowRefused(
        f"{what} of the workflow has the id {shown_value(value)}, which is neither a number nor a text."
    )
