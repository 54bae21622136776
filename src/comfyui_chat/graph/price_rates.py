"""How many times a run pays the rate of a price badge: "$0.05/second" for the seconds of its video.

A badge tells a rate where the price is not in the node's own values. `times_paid` finds what it is
for, where that is certain enough to tell a person:

    "/second", "/s", "/minute"        what a widget of the node says of its length ("duration"), or all
                                      that its choices allow where it is left to the service ("auto");
                                      else how long the videos and sounds play that it is given
    "/Image", " x images/Run"         as many as a widget counts; one where a node has none for "/Image"

A length is rounded up to whole seconds. Anything else, and what depends on a text, is not known.
Facts are those of the 229 partner nodes with a badge in ComfyUI 0.33.0.
"""

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from ..values import as_number
from .definitions import InputSpec, NodeDefinition, last_part
from .nodes import Graph, is_link, node_inputs

SECONDS_OF_UNIT = (
    (re.compile(r"\s*/\s*s(?:ecs?|econds?)?", re.IGNORECASE), 1.0),
    (re.compile(r"\s*/\s*min(?:utes?)?", re.IGNORECASE), 60.0),
)
AN_IMAGE = re.compile(r"\s*/\s*image\b.*", re.IGNORECASE)  # "/Image (1K)"
IMAGES_OF_RUN = re.compile(r"\s*x\s*images\s*/\s*run", re.IGNORECASE)
LENGTH_WIDGETS = frozenset({"duration", "seconds", "duration_seconds", "video_length"})
COUNT_WIDGETS = frozenset({"n", "num_images", "number_of_images", "image_count", "max_images"})
PLAYS = ("VIDEO", "AUDIO")  # types of what has a length

Times = tuple[float, float]  # the least and the most


def times_paid(
    unit: str,
    nodes: Graph,
    node_id: str,
    definition: NodeDefinition,
    lengths: Mapping[str, float],
) -> Times | None:
    """How many times a node pays what is for one such unit; None where that is not known. `lengths`
    are the seconds of the files that nodes load, by the ids of these.
    """
    inputs = node_inputs(nodes[node_id])
    for pattern, seconds in SECONDS_OF_UNIT:
        if pattern.fullmatch(unit):
            played = _seconds_told(inputs, definition) or _seconds_given(
                inputs, definition, lengths
            )
            if played is None:
                return None
            least, most = played
            return math.ceil(least) / seconds, math.ceil(most) / seconds
    if AN_IMAGE.fullmatch(unit):
        return _images_counted(inputs, definition) or (1.0, 1.0)
    if IMAGES_OF_RUN.fullmatch(unit):
        return _images_counted(inputs, definition)
    return None


def _seconds_told(inputs: Mapping[str, Any], definition: NodeDefinition) -> Times | None:
    """The seconds that a widget of the node says, or may say."""
    for _, value, spec in _widgets_called(LENGTH_WIDGETS, inputs, definition):
        number = _positive(value)
        if number is not None:
            return number, number
        choices = [each for each in map(_positive, spec.choices if spec else ()) if each]
        if choices and not is_link(value):
            return min(choices), max(choices)
    return None


def _seconds_given(
    inputs: Mapping[str, Any], definition: NodeDefinition, lengths: Mapping[str, float]
) -> Times | None:
    """The seconds of the longest video or sound that the node is given; None where that of any is
    not known, since it may have been cut or put together on the way.
    """
    sources: list[str] = []
    for name, value in inputs.items():
        spec = definition.spec(name, inputs)
        if is_link(value) and spec and spec.type in PLAYS:
            sources.append(value[0])
    if not sources or any(source not in lengths for source in sources):
        return None
    longest = max(lengths[source] for source in sources)
    return longest, longest


def _images_counted(inputs: Mapping[str, Any], definition: NodeDefinition) -> Times | None:
    """How many pictures a widget of the node counts, or allows at most."""
    for name, value, _ in _widgets_called(COUNT_WIDGETS, inputs, definition):
        count = _positive(value)
        if count is not None:
            return (1.0 if last_part(name).startswith("max") else count), count
    return None


def _widgets_called(
    names: Collection[str], inputs: Mapping[str, Any], definition: NodeDefinition
) -> list[tuple[str, Any, InputSpec | None]]:
    """The inputs of a node that are called so, in whatever group, with what they hold, or would by
    default.
    """
    found: list[tuple[str, Any, InputSpec | None]] = []
    for name in [*inputs, *(name for name in definition.inputs if name not in inputs)]:
        if last_part(name) in names:
            spec = definition.spec(name, inputs)
            default = spec.default if spec else None
            found.append((name, inputs.get(name, default), spec))
    return found


def _positive(value: Any) -> float | None:
    """A number above 0, also one that is written as a text: "5"."""
    number = as_number(value)
    return float(number) if number is not None and number > 0 else None
