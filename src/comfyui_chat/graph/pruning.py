"""Make a graph do with the files that there are: renamed by the server, or never given.

`with_files_named` writes in the names under which a server stored what was uploaded. `without_files` cuts out the nodes
that load files which nobody gave, with whatever cannot run without them, or says that the graph needs them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .definitions import AUTOGROW, Definitions
from .link_types import VALUE_TYPES
from .links import TypedLink, Wiring
from .nodes import Graph, Target
from .search import Flow


def with_files_named(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The same graph with every value in `names` replaced: a server may store an upload under another name than the one
    that was sent."""

    def named(value: Any) -> Any:
        return names.get(value, value) if isinstance(value, str) else value

    return {
        node_id: {**node, "inputs": {key: named(value) for key, value in node["inputs"].items()}}
        for node_id, node in graph.items()
    }


PLAIN_TYPES = ("", "STRING", "BOOLEAN", *VALUE_TYPES)  # what a node works out, so that nothing can stand in for it


def without_files(graph: Graph, targets: Iterable[Target], definitions: Definitions) -> Graph | None:
    """The graph without the nodes that load these files, or None when it cannot do without one of them.

    An optional input that is fed by such a node only loses its link. A node that needs its input goes as well, and
    what used it is given, if there is one, another of the node's inputs of the same type: without a second picture to
    stitch to it, the first goes on alone. So goes what then leads to no output any more. The graph cannot do without
    a file if a sampler, a service or an output that keeps something would have to go for it.
    """
    wiring = Flow.of(graph, definitions)
    needed = wiring.needed()
    ends = [node_id for node_id in wiring.nodes if wiring.is_output(node_id)]
    kept = [node_id for node_id in ends if not wiring.keeps_nothing(node_id)] or ends
    gone = dict.fromkeys(target.node_id for target in targets if target.node_id in wiring.nodes)
    passed: dict[tuple[str, int], tuple[str, int]] = {}  # for outputs of nodes that went: what stands in for them
    changed: dict[str, dict[str, Any]] = {}
    for node_id in _in_order(wiring, wiring.behind(gone)):
        lost = [link for link in wiring.into[node_id] if link.source in gone and link.origin not in passed]
        if node_id not in gone and not _needs(wiring, node_id, lost):
            changed[node_id] = _relinked(wiring, node_id, lost, passed)
            continue
        if node_id in kept or (
            node_id in needed and (wiring.uses_diffusion_model(node_id) or wiring.is_maker(node_id))
        ):
            return None
        if node_id not in gone:
            gone[node_id] = None
            for link in wiring.out_of[node_id]:
                if instead := _passed_on(wiring, link, lost):
                    passed[link.origin] = passed.get(instead.origin, instead.origin)
    left = {
        node_id: {**node, "inputs": changed[node_id]} if node_id in changed else node
        for node_id, node in graph.items()
        if node_id not in gone
    }
    after = Wiring.of(left, definitions)
    still = after.needed()
    useless = after.behind(node_id for node_id in needed if node_id in left and node_id not in still)
    return {node_id: node for node_id, node in left.items() if node_id not in useless} if still else None


def _in_order(wiring: Wiring, nodes: Iterable[str]) -> list[str]:
    """These nodes, each after those of them that feed it; in a circle, which the server refuses, any comes first."""
    wanted, order, opened = dict.fromkeys(nodes), dict[str, None](), set[str]()
    for start in wanted:
        waiting = [start]
        while waiting:
            node_id = waiting[-1]
            if node_id in opened:
                order.setdefault(waiting.pop())
                continue
            opened.add(node_id)
            sources = (link.source for link in wiring.into[node_id])
            waiting += [source for source in sources if source in wanted and source not in opened]
    return list(order)


def _needs(wiring: Wiring, node_id: str, lost: Sequence[TypedLink]) -> bool:
    """Whether a node cannot do without these links. A node of an unknown class needs all, and one that computes with a
    group of numbers or texts needs each of them."""
    known = wiring.definition(node_id)
    for link in lost:
        if known and (grown := _grown(wiring, link)):
            others = [one for one in wiring.into[node_id] if one not in lost and _grown(wiring, one) == grown]
            if len(others) < grown[1] or link.type in PLAIN_TYPES:
                return True
        elif known is None or ((spec := known.spec(link.input, wiring.inputs(node_id))) and spec.required):
            return True
    return False


def _grown(wiring: Wiring, link: TypedLink) -> tuple[str, int] | None:
    """The autogrow input whose group a link's input belongs to ("images" for "images.image2"), and the minimum number
    of inputs in it; None for any other input."""
    known, (group, _, _) = wiring.definition(link.node), link.input.rpartition(".")
    spec = known.spec(group, wiring.inputs(link.node)) if known and group else None
    return (group, spec.least) if spec and spec.type == AUTOGROW else None


def _relinked(
    wiring: Wiring, node_id: str, lost: Sequence[TypedLink], passed: Mapping[tuple[str, int], tuple[str, int]]
) -> dict[str, Any]:
    """The inputs of a node without these links, and with those that stand in for others. In the group of an autogrow
    input the rest moves up, since its first inputs must be there."""
    inputs = {name: value for name, value in wiring.inputs(node_id).items() if name not in {at.input for at in lost}}
    inputs |= {link.input: [*passed[link.origin]] for link in wiring.into[node_id] if link.origin in passed}
    for grown in dict.fromkeys(_grown(wiring, link) for link in lost):
        names = [link.input for link in wiring.into[node_id] if grown and _grown(wiring, link) == grown]
        values = [inputs.pop(name) for name in names if name in inputs]
        inputs |= dict(zip(names, values, strict=False))
    return inputs


def _passed_on(wiring: Wiring, link: TypedLink, lost: Sequence[TypedLink]) -> TypedLink | None:
    """The link into a node that can stand in for `link`, a link out of it, when the node has lost the links `lost`.

    It has the same type and, where the node has several outputs of that type, the same place among them. Nothing stands
    in for a number or a text, which the node works out, nor one of two latents for both: one may be film, one sound.
    """
    known = wiring.definition(link.source)
    if known is None or link.type in PLAIN_TYPES or (link.type == "LATENT" and "LATENT" in {at.type for at in lost}):
        return None
    order = list(known.inputs)
    alike = [one for one in wiring.into[link.source] if one.type == link.type]
    alike.sort(key=lambda one: order.index(one.input) if one.input in order else len(order))
    sides = [slot for slot, kind in enumerate(known.outputs) if kind == link.type]
    if len(sides) > 1:
        place = sides.index(link.slot) if link.slot in sides else len(alike)
        alike = alike[place : place + 1]
    return next((one for one in alike if one not in lost), None)
