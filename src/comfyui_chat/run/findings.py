"""What is found out about a prompt once it is bound: that it is within the limits, what the model
is told of it, what it costs.

`find_out` takes longer than all else that is done to bind a call, and nearly all calls of a
workflow differ in nothing but their words and their seed, which change none of it. So a `Finding`
is remembered for all prompts that come from one workflow and otherwise hold the same. It is kept
with that workflow, which never changes, and forgotten with it; what exceeds a limit is not
remembered, and neither is what costs something.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from ..bounded import BoundedDict
from ..catalogue.request import FittedWorkflow
from ..graph.definitions import SEED_INPUTS, last_part
from ..graph.facts import outputs
from ..graph.links import TypedLink
from ..graph.nodes import Target, node_inputs
from ..graph.prices import Price, price_of
from ..graph.workflow import Workflow
from .amounts import NUMBER_TYPES
from .fleet import Limits
from .limits import check_limits
from .used import saved_prompt, used_values

REMEMBERED_FINDINGS = 32  # of one workflow
MOST_KEPT_CHARACTERS = 200  # of a text by which prompts are told apart
PLACE = "findings"  # where they are kept with a workflow
COUNTED_TYPES = (*NUMBER_TYPES, "SIGMAS")  # of links that may carry numbers
WORD_TYPES = ("STRING", "")  # of those that may carry a text, which may become a number behind them


@dataclass(frozen=True)
class Finding:
    """What was found out about a prompt that is within all limits."""

    used: Mapping[str, Any]  # what it is made with, as `used_values` tells it
    price: Price | None  # None for one that costs nothing


def find_out(
    choice: FittedWorkflow, bound: Workflow, limits: Limits, touched: frozenset[Target]
) -> Finding:
    """What a prompt comes to that was bound from the workflow of `choice`; `touched` are the
    widgets that the call set. Raises `LimitExceeded`. Blocks.
    """
    base = choice.workflow
    key = _key(choice, bound, limits, touched)
    known: BoundedDict[Hashable, Finding] = base.kept.setdefault(
        PLACE, BoundedDict(REMEMBERED_FINDINGS)
    )
    finding = known.get(key) if key else None
    if finding:
        return finding
    makes = {kind for _, kind in outputs(bound.flow)}
    as_saved = base if choice.saved and not choice.from_user else None
    check_limits(bound, limits, touched, makes, sizes=choice.sizes, saved=as_saved)
    used = used_values(bound, touched, paints_over=choice.picture is not None)
    finding = Finding(used, price_of(bound.graph, bound.definitions, choice.lengths))
    if key and finding.price is None:
        known[key] = finding
    return finding


def _key(
    choice: FittedWorkflow, bound: Workflow, limits: Limits, touched: frozenset[Target]
) -> Hashable:
    """What a finding rests on besides the workflow; None for what is not worth remembering."""
    differences = _differences(choice.workflow, bound)
    if differences is None:
        return None
    sizes = tuple(choice.sizes.items())
    is_painted_over = choice.picture is not None
    # of which one of several texts may have been chosen: "a {red|blue} fox"
    told_prompt = saved_prompt(bound, touched)
    rights = choice.saved, choice.from_user
    return differences, limits, touched, sizes, is_painted_over, told_prompt, rights


Difference = tuple[str, str, type, Any]  # the id of a node, an input, and what that holds


def _differences(base: Workflow, bound: Workflow) -> tuple[Difference, ...] | None:
    """Where a bound graph holds other values than its workflow, but for words and seeds; None where
    more is different, or a value is too long to be kept.
    """
    if base.graph.keys() != bound.graph.keys():
        return None
    idle = base.kept.get("idle")
    if idle is None:
        idle = base.kept["idle"] = _words_and_seeds(base)
    differences: list[Difference] = []
    for node_id, node in bound.graph.items():
        before = base.graph[node_id]
        if node is before:
            continue
        inputs, inputs_before = node_inputs(node), node_inputs(before)
        if node["class_type"] != before["class_type"] or inputs.keys() != inputs_before.keys():
            return None
        for name, value in inputs.items():
            if value is inputs_before[name] or (node_id, name) in idle:
                continue
            if not isinstance(value, (str, int, float)) or _is_long(value):
                return None
            differences.append((node_id, name, type(value), value))
    return tuple(differences)


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and len(value) > MOST_KEPT_CHARACTERS


def _words_and_seeds(workflow: Workflow) -> frozenset[tuple[str, str]]:
    """The inputs for the prompts and the seed whose values change nothing that is found out: no
    number comes of them anywhere behind, but another seed.
    """
    idle: set[tuple[str, str]] = set()
    for name in ("prompt", "negative_prompt", "seed"):
        for target in workflow.parameters.get(name, ()):
            reached = workflow.flow.behind([target.node_id], WORD_TYPES)
            links = [link for node_id in reached for link in workflow.flow.out_of[node_id]]
            if not any(map(_may_count, links)):
                idle.add((target.node_id, target.input))
    return frozenset(idle)


def _may_count(link: TypedLink) -> bool:
    """Whether a number may come over a link that is no seed."""
    return link.may_carry(*COUNTED_TYPES) and last_part(link.input) not in SEED_INPUTS
