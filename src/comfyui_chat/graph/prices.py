"""What a graph costs: the price of its partner nodes, which run on companies' services for the
credits of an account.

`price_of` tells it of any graph with the definitions of its nodes, and `Price.words` says it:

    None                                   nothing in it costs anything
    Price(0.7, 0.7)                        "$0.7"
    Price(0.033, 0.6, rough=True)          "about $0.033 to $0.6"
    Price(most=None, rate="$0.05/second")  "amount unknown ($0.05/second)"

A node's price is what its badge says (graph/price_expressions) for the values that the graph holds,
as ComfyUI's own page works it out. It is unknown where the server gives no badge, as 0.3.64 does
for all nodes; where the badge tells a rate, such as dollars a second, and it is not known how often
that is paid (graph/price_rates); where a value comes over a link from a node that may hold
anything; and where the node may run several times, behind a node that makes a list, or in a graph
with loops. One such node makes the price of the whole graph unknown. Of the 277 templates of 0.33.0
with partner nodes that can be read, 206 have a known price, and 22 more once they are given videos
and sounds.
Facts are those of ComfyUI 0.33.0 and its front end 1.49.6.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from ..names import shortened
from ..phrases import Phrase
from ..values import as_number, is_number, object_of, text_of
from .definitions import Definitions, NodeDefinition, PriceTag
from .nodes import Graph, graph_nodes, is_link, node_inputs, node_title
from .price_expressions import NotWorkedOut, work_out
from .price_rates import times_paid

MOST_PRICED = 50  # partner nodes of one graph, whose prices are worked out
MOST_PARTNERS_TOLD = 5
# in the class of a node that may run others several times
LOOPS = re.compile(r"(?i)loop|while|for.?each")
NO_LENGTHS: Mapping[str, float] = MappingProxyType({})
PER_RUN = ("", "/run")  # what the amount of a badge is for; anything else is a rate


@dataclass(frozen=True)
class Price:
    """What a graph, or several, cost in US dollars."""

    least: float = 0.0
    most: float | None = 0.0  # None where the amount is unknown
    rough: bool = False  # whether the badges call it approximate
    rate: str = ""  # what a badge tells instead of an amount
    partners: tuple[str, ...] = ()  # the nodes that cost something, as messages name them
    nodes: frozenset[str] = frozenset()  # their ids
    keeps_keys: bool = True  # whether the server keeps the key of an account to itself

    @property
    def words(self) -> str:
        """The price as people say it."""
        if self.most is None:
            return Phrase("price_rate", rate=self.rate) if self.rate else Phrase("price_unknown")
        words = _dollars(self.most)
        if _dollars(self.least) != words:
            words = Phrase("price_range", least=_dollars(self.least), most=words)
        return Phrase("price_about", price=words) if self.rough else words


def price_of_all(prices: Iterable[Price | None]) -> Price | None:
    """What several graphs cost together; None where none costs anything."""
    paid = [price for price in prices if price]
    if not paid:
        return None
    amounts = [price.most for price in paid if price.most is not None]
    return Price(
        least=math.fsum(price.least for price in paid),
        most=math.fsum(amounts) if len(amounts) == len(paid) else None,
        rough=any(price.rough for price in paid),
        rate=next((price.rate for price in paid if price.rate), ""),
        partners=tuple(dict.fromkeys(name for price in paid for name in price.partners)),
        nodes=frozenset[str]().union(*(price.nodes for price in paid)),
        keeps_keys=all(price.keeps_keys for price in paid),
    )


def price_of(
    graph: Graph, definitions: Definitions, lengths: Mapping[str, float] = NO_LENGTHS
) -> Price | None:
    """What a graph costs each time that it runs; None where none of its nodes costs anything.
    `lengths` are the seconds of the videos and sounds that it is given, by the nodes that load
    them. The work is in proportion to the graph's size; it may take a tenth of a second, so call it
    in a thread.
    """
    nodes = graph_nodes(graph)
    paid = {node_id: tag for node_id, node in nodes.items() if (tag := _tag_of(node, definitions))}
    if not paid:
        return None
    repeated = _run_repeatedly(nodes, definitions)
    prices: list[Price] = []
    for node_id, tag in paid.items():
        price = Price(most=None)
        if node_id not in repeated and len(prices) < MOST_PRICED:
            price = _price_of_node(nodes, node_id, tag, definitions, lengths)
        title = node_title(graph, node_id)
        prices.append(
            replace(price, partners=(title,), nodes=frozenset({node_id}), keeps_keys=tag.keeps_keys)
        )
    return price_of_all(prices)


def _tag_of(node: Any, definitions: Definitions) -> PriceTag | None:
    definition = definitions.get(node["class_type"])
    return definition.price if definition else None


def _run_repeatedly(nodes: Graph, definitions: Definitions) -> set[str]:
    """The nodes that may run more than once in a run: all behind a node that makes a list, or all
    where there are loops.
    """
    if any(LOOPS.search(node["class_type"]) for node in nodes.values()):
        return set(nodes)
    readers: dict[str, list[str]] = {}
    for node_id, node in nodes.items():
        for value in node_inputs(node).values():
            if is_link(value):
                readers.setdefault(value[0], []).append(node_id)
    waiting = [node_id for node_id, node in nodes.items() if _makes_lists(node, definitions)]
    repeated: set[str] = set()
    while waiting:
        new = [reader for reader in readers.get(waiting.pop(), ()) if reader not in repeated]
        repeated.update(new)
        waiting += new
    return repeated


def _makes_lists(node: Any, definitions: Definitions) -> bool:
    definition = definitions.get(node["class_type"])
    return definition is not None and definition.makes_lists


# The price of one node.


def _price_of_node(
    nodes: Graph,
    node_id: str,
    tag: PriceTag,
    definitions: Definitions,
    lengths: Mapping[str, float],
) -> Price:
    inputs = node_inputs(nodes[node_id])
    definition = definitions[nodes[node_id]["class_type"]]
    linked = [name for name, value in inputs.items() if is_link(value)]
    try:
        fields = {
            "widgets": {
                name: _value_shown(nodes, definition, inputs, name, kind)
                for name, kind in tag.widgets.items()
            },
            "inputs": {name: {"connected": name in linked} for name in tag.inputs},
            "inputGroups": {
                group: float(sum(name.startswith(f"{group}.") for name in linked))
                for group in tag.groups
            },
        }
        price, unit = _price_told(work_out(tag.expression, fields))
    except NotWorkedOut:
        return Price(most=None)
    if price.most is None or unit.strip().lower() in PER_RUN:
        return price
    times = times_paid(unit, nodes, node_id, definition, lengths)
    if times is None:
        space = " " if unit.startswith(" ") else ""
        return Price(most=None, rate=f"{price.words}{space}{shortened(unit, 30)}")
    least, most = times
    return Price(price.least * least, price.most * most, rough=True)


def _value_shown(
    nodes: Graph, definition: NodeDefinition, inputs: Mapping[str, Any], name: str, kind: str
) -> Any:
    """What a widget holds, as ComfyUI's page hands it to an expression: texts in small letters, and
    null for one that there is not. Raises `NotWorkedOut` where it cannot be told.
    """
    value: Any = inputs.get(name)
    if name not in inputs:
        spec = definition.spec(name, inputs)
        value = spec.default if spec else None
    if is_link(value):
        value = _value_handed_on(nodes, value[0])
    if value is None:
        return None
    kind = kind.upper()
    if kind in ("INT", "FLOAT"):
        return as_number(value)
    if kind == "BOOLEAN":
        return {"true": True, "false": False}.get(str(value).strip().lower())
    if isinstance(value, (list, Mapping)):
        raise NotWorkedOut
    if kind == "COMBO" and not isinstance(value, str):
        return value
    return str(value).strip().lower()


def _value_handed_on(nodes: Graph, node_id: str) -> Any:
    """The value that a node of ComfyUI's own hands on as it is. Raises `NotWorkedOut` for any other
    node.
    """
    node = nodes.get(node_id)
    inputs = node_inputs(node)
    is_plain = text_of(object_of(node).get("class_type")).startswith("Primitive") and set(
        inputs
    ) == {"value"}
    if not is_plain or is_link(inputs["value"]):
        raise NotWorkedOut
    return inputs["value"]


def _price_told(result: Any) -> tuple[Price, str]:
    """What a badge's expression gave: {"type": "usd", "usd": 0.7}, or "range_usd" with "min_usd"
    and "max_usd"; and what the amount is for.
    """
    result = object_of(result)
    form = object_of(result.get("format"))
    suffix = text_of(form.get("suffix"))
    kind = result.get("type", "usd")
    low, high = result.get("usd"), result.get("usd")
    if kind == "range_usd":
        low, high = result.get("min_usd"), result.get("max_usd")
    elif kind != "usd":
        return Price(most=None), ""
    if not is_number(low) or not is_number(high) or min(low, high) < 0:
        return Price(most=None), ""
    low, high = sorted((float(low), float(high)))
    return Price(low, high, bool(form.get("approximate"))), suffix


def _dollars(amount: float) -> str:
    return f"${amount:.0f}" if amount >= 100 else f"${amount:.3g}"
