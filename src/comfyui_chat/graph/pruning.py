"""Make a graph do with the files that there are: renamed by the server, never given, or deleted
since.

`with_files_named` writes in the names under which a server stored what was uploaded. `saving_anew`
has results saved again that ComfyUI has in its memory. `without_files` cuts out the nodes that load
files which nobody gave, with whatever cannot run without them, or says that the graph needs them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from .definitions import AUTOGROW, Definitions
from .link_types import VALUE_TYPES
from .links import Origin, TypedLink, Wiring
from .nodes import Graph, Target
from .search import Flow

FILE_NAME_INPUT = "filename_prefix"


def with_files_named(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The same graph with every value in `names` replaced: a server may store an upload under
    another name than the one that was sent.
    """

    def stored(value: Any) -> Any:
        if isinstance(value, str):
            return names.get(value, value)
        return value

    renamed: dict[str, Any] = {}
    for node_id, node in graph.items():
        inputs = {key: stored(value) for key, value in node["inputs"].items()}
        renamed[node_id] = {**node, "inputs": inputs}
    return renamed


def saving_anew(graph: Graph, node_ids: Collection[str], ending: str) -> Graph | None:
    """The same graph with another file name in those of these nodes that save under one that the
    graph gives: ComfyUI does not run a node again whose inputs are the same as before. None where
    there is no such node.
    """
    changed: dict[str, Any] = {}
    for node_id in node_ids:
        node = graph.get(node_id) or {}
        inputs = node.get("inputs") or {}
        prefix = inputs.get(FILE_NAME_INPUT)
        if isinstance(prefix, str):
            changed[node_id] = {**node, "inputs": {**inputs, FILE_NAME_INPUT: f"{prefix}_{ending}"}}
    if not changed:
        return None
    return {node_id: changed.get(node_id, node) for node_id, node in graph.items()}


# what a node works out, so that nothing can stand in for it
PLAIN_TYPES = ("", "STRING", "BOOLEAN", *VALUE_TYPES)


def without_files(flow: Flow, targets: Iterable[Target]) -> Graph | None:
    """The graph without the nodes that load these files, or None when it cannot do without one of
    them.

    An optional input that is fed by such a node only loses its link. A node that needs its input
    goes as well, and what used it is given, if there is one, another of the node's inputs of the
    same type: without a second picture to stitch to it, the first goes on alone. What then leads to
    no output any more goes as well. The graph cannot do without a file if a sampler, a service or
    an output that keeps something would have to go for it.
    """
    loaders = [target.node_id for target in targets if target.node_id in flow.nodes]
    pruning = Pruning(flow, dict.fromkeys(loaders))
    if not pruning.run():
        return None
    left: dict[str, Any] = {}
    for node_id, node in flow.nodes.items():
        if node_id in pruning.changed:
            left[node_id] = {**node, "inputs": pruning.changed[node_id]}
        elif node_id not in pruning.gone:
            left[node_id] = node
    return without_useless(left, pruning.needed, flow.definitions)


def without_useless(graph: Graph, needed: Iterable[str], definitions: Definitions) -> Graph | None:
    """The graph without the nodes that lead to no output any more, of those that were `needed`
    before, and without what uses them; None when no output is left.
    """
    wiring = Wiring.of(graph, definitions)
    still_needed = wiring.needed()
    if not still_needed:
        return None
    idle = [node_id for node_id in needed if node_id in graph and node_id not in still_needed]
    useless = wiring.behind(idle)
    return {node_id: node for node_id, node in graph.items() if node_id not in useless}


class Pruning:
    """Which nodes of a graph go when some of them have to, and what the others are given
    instead.
    """

    def __init__(self, flow: Flow, gone: dict[str, None]) -> None:
        self.flow = flow
        self.gone = gone
        self.changed: dict[str, dict[str, Any]] = {}  # new inputs of nodes that stay
        self.needed = flow.needed()
        outputs = [node_id for node_id in flow.nodes if flow.is_output(node_id)]
        keeping = [node_id for node_id in outputs if not flow.keeps_nothing(node_id)]
        self._results = keeping or outputs
        self._stand_ins: dict[Origin, Origin] = {}  # for outputs of nodes that went

    def run(self) -> bool:
        """Decide about all nodes behind those that go first. Whether the graph can do without
        them.
        """
        flow = self.flow
        for node_id in flow.fed_first(flow.behind(self.gone)):
            lost = self._lost(node_id)
            goes_first = node_id in self.gone
            if not goes_first and not _needs(flow, node_id, lost):
                self.changed[node_id] = _relinked(flow, node_id, lost, self._stand_ins)
                continue
            if self._is_indispensable(node_id):
                return False
            if not goes_first:
                self._remove(node_id, lost)
        return True

    def _lost(self, node_id: str) -> list[TypedLink]:
        """The links into a node from nodes that went, without those that another link stands in
        for.
        """
        links = [link for link in self.flow.into[node_id] if link.source in self.gone]
        return [link for link in links if link.origin not in self._stand_ins]

    def _is_indispensable(self, node_id: str) -> bool:
        """Whether a node is a sampler or service that an output needs, or an output that keeps
        something, or any output when none does.
        """
        if node_id in self._results:
            return True
        if node_id not in self.needed:
            return False
        return self.flow.uses_diffusion_model(node_id) or self.flow.is_maker(node_id)

    def _remove(self, node_id: str, lost: Sequence[TypedLink]) -> None:
        """Let a node go that has lost these links, with other links into it in place of those out
        of it.
        """
        self.gone[node_id] = None
        for link in self.flow.out_of[node_id]:
            instead = _passed_on(self.flow, link, lost)
            if instead:
                self._stand_ins[link.origin] = self._stand_ins.get(instead.origin, instead.origin)


def _needs(wiring: Wiring, node_id: str, lost: Sequence[TypedLink]) -> bool:
    """Whether a node cannot do without these links. A node of an unknown class needs all, and one
    that computes with a group of numbers or texts needs each of them.
    """
    if wiring.definition(node_id) is None:
        return bool(lost)
    left = [link for link in wiring.into[node_id] if link not in lost]
    for link in lost:
        group = _group(wiring, link)
        if group is None:
            spec = wiring.spec(node_id, link.input)
            if spec and spec.required:
                return True
            continue
        _, minimum = group
        others = [other for other in left if _group(wiring, other) == group]
        if len(others) < minimum or link.type in PLAIN_TYPES:
            return True
    return False


def _group(wiring: Wiring, link: TypedLink) -> tuple[str, int] | None:
    """The autogrow input whose group a link's input belongs to ("images" for "images.image2"), and
    the minimum number of inputs in it; None for any other input.
    """
    name, _, _ = link.input.rpartition(".")
    if not name:
        return None
    spec = wiring.spec(link.node, name)
    if spec is None or spec.type != AUTOGROW:
        return None
    return name, spec.least


def _relinked(
    wiring: Wiring, node_id: str, lost: Sequence[TypedLink], stand_ins: Mapping[Origin, Origin]
) -> dict[str, Any]:
    """The inputs of a node without these links, and with those that stand in for others. In the
    group of an autogrow input the rest moves up, since its first inputs must be there.
    """
    links = wiring.into[node_id]
    inputs = dict(wiring.inputs(node_id))
    for link in lost:
        del inputs[link.input]
    for link in links:
        if link.origin in stand_ins:
            inputs[link.input] = [*stand_ins[link.origin]]
    groups = dict.fromkeys(_group(wiring, link) for link in lost)
    for group in groups:
        if group is None:
            continue
        names = [link.input for link in links if _group(wiring, link) == group]
        _move_up(inputs, names)
    return inputs


def _move_up(inputs: dict[str, Any], names: Sequence[str]) -> None:
    """Put the values that are left under these names to the first of them: those of "image1" and
    "image3", to "image1" and "image2".
    """
    values = [inputs.pop(name) for name in names if name in inputs]
    first = zip(names, values, strict=False)
    inputs.update(first)


def _passed_on(wiring: Wiring, link: TypedLink, lost: Sequence[TypedLink]) -> TypedLink | None:
    """The link into a node that can stand in for `link`, a link out of it, when the node has lost
    the links `lost`.

    It has the same type and, where the node has several outputs of that type, the same place among
    them. Nothing stands in for a number or a text, which the node works out, nor one of two latents
    for both: one may be film, one sound.
    """
    known = wiring.definition(link.source)
    if known is None or link.type in PLAIN_TYPES:
        return None
    if link.type == "LATENT" and any(other.type == "LATENT" for other in lost):
        return None
    order = {name: place for place, name in enumerate(known.inputs)}
    candidates = [other for other in wiring.into[link.source] if other.type == link.type]
    candidates.sort(key=lambda other: order.get(other.input, len(order)))
    slots = [slot for slot, kind in enumerate(known.outputs) if kind == link.type]
    for place, other in enumerate(candidates):
        if other in lost:
            continue
        is_same_place = place < len(slots) and slots[place] == link.slot
        if len(slots) < 2 or is_same_place:
            return other
    return None
