"""Widgets on the way that have to change together with a parameter.

A size also stands in a scheduler or an encoder, the number of frames also in the sound beside the
picture, a model file is loaded twice: where such a widget holds the same as a parameter, it is set
together with it. `add_followers` adds them, and the frame rates of what saves a film: of two savers
one may have half the rate of the other, and keeps its half.

    {"fps": (Target("9", "frame_rate"), Target("11", "frame_rate", part=0.5))}
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..values import is_number, same_value
from .input_names import PARAMETERS, SIZE_INPUTS
from .link_types import MEDIA
from .nodes import Target
from .search import Flow

# for each parameter its widgets, in order; the first tells the value
ParameterWidgets = dict[str, dict[Target, None]]


def add_targets(parameters: ParameterWidgets, name: str, *targets: Target | None) -> None:
    """Add widgets to a parameter, those that are not None."""
    widgets = parameters.setdefault(name, {})
    for target in targets:
        if target:
            widgets[target] = None


def first_value(flow: Flow, widgets: Iterable[Target]) -> Any:
    """What the first of these widgets holds."""
    first = next(iter(widgets))
    return flow.value(first)


def add_followers(
    flow: Flow, live: Mapping[str, int], makers: Iterable[str], parameters: ParameterWidgets
) -> None:
    """Add the widgets of `live` nodes, which are numbered from the first to the last of the way,
    that have to change together with a parameter. Those on the way alone count: what feeds
    `makers`, and what is given pictures.
    """
    values = {name: first_value(flow, widgets) for name, widgets in parameters.items() if widgets}
    followed = [
        name for name in ("length", "seconds", "model") if values.get(name, 0) not in (0, 1)
    ]
    feeding = flow.before(makers)
    in_order = sorted(live, key=lambda node_id: -live[node_id])
    for node_id in in_order:
        if node_id not in feeding and not flow.links_surely_carrying(node_id, "LATENT", *MEDIA):
            continue
        if "width" in values and "height" in values:
            _follow_size(flow, node_id, values["width"], values["height"], parameters)
        for name in followed:
            _follow_value(flow, node_id, name, values[name], parameters)
    _add_rates(flow, in_order, parameters)


def _follow_size(
    flow: Flow, node_id: str, width: Any, height: Any, parameters: ParameterWidgets
) -> None:
    """Add the widgets of a node that hold just this width and height."""
    inputs = flow.inputs(node_id)
    for width_key, height_key in SIZE_INPUTS:
        if inputs.get(width_key) == width and inputs.get(height_key) == height:
            add_targets(parameters, "width", Target(node_id, width_key))
            add_targets(parameters, "height", Target(node_id, height_key))


def _follow_value(
    flow: Flow, node_id: str, name: str, value: Any, parameters: ParameterWidgets
) -> None:
    """Add the widgets of a node that hold this value of a parameter."""
    inputs = flow.inputs(node_id)
    for key in PARAMETERS[name]:
        if flow.holds(name, node_id, key) and same_value(inputs[key], value):
            add_targets(parameters, name, Target(node_id, key))


def _add_rates(flow: Flow, node_ids: Iterable[str], parameters: ParameterWidgets) -> None:
    """Add the frame rates of these nodes: that of a film which is kept first, those of other films
    with their share of it.
    """
    rates: dict[Target, str] = {}
    for node_id in sorted(
        node_ids, key=lambda node_id: (not _makes_film(flow, node_id), flow.keeps_nothing(node_id))
    ):
        target = flow.target("fps", node_id)
        if target:
            rates.setdefault(target, node_id)
    if not rates:
        return
    main = first_value(flow, rates)
    for target, node_id in rates.items():
        rate = flow.value(target)
        if _makes_film(flow, node_id) and is_number(rate) and is_number(main) and rate and main:
            target = replace(target, part=rate / main)
        add_targets(parameters, "fps", target)


def _makes_film(flow: Flow, node_id: str) -> bool:
    """Whether a node puts pictures together to a film."""
    if not flow.links_surely_carrying(node_id, "IMAGE"):
        return False
    definition = flow.definition(node_id)
    return flow.is_output(node_id) or (definition is not None and "VIDEO" in definition.outputs)
