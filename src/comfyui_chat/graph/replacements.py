"""Node classes that a server no longer has, and what takes their place there.

A current ComfyUI tells at /node_replacements what became of classes that were renamed or joined
with others. It makes the exchange itself when a prompt arrives; here it is made before, since
nobody can say what an unknown node takes:

    {"ImageScaleBy": [{"new_node_id": "ResizeImageMaskNode", "old_widget_ids": ["upscale_method", "scale_by"],
                       "input_mapping": [{"new_id": "input", "old_id": "image"},
                                         {"new_id": "resize_type", "set_value": "scale by multiplier"},
                                         {"new_id": "resize_type.multiplier", "old_id": "scale_by"}],
                       "output_mapping": null}]}

`read_replacements` reads that, `old_definitions` stand in for the definitions of such classes while
a file of the editor is converted, and `with_replacements` makes the exchange. Without a mapping
inputs and outputs stay as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..bounds import MOST_NODE_INPUTS, MOST_NODE_NAME_CHARACTERS, MOST_REPLACEMENTS
from ..json_pieces import JsonText
from ..values import list_of, object_of
from .definitions import SEED_INPUTS, Definitions, NodeDefinition, Widget
from .nodes import Graph, is_link, node_inputs


@dataclass(frozen=True)
class InputChange:
    """An input of the new class: the old one whose value it gets, or a value of its own."""

    new: str
    old: str = ""
    value: Any = None


@dataclass(frozen=True)
class Replacement:
    """What takes the place of a class."""

    new: str
    widgets: tuple[str, ...] = ()  # of the old class, in the order in which files hold their values
    inputs: tuple[InputChange, ...] | None = None  # None where they keep their names
    outputs: Mapping[int, int] | None = None  # old number -> new one


def read_replacements(text: JsonText) -> dict[str, Replacement]:
    """What takes the place of each old class, by an answer of `/node_replacements`; of several, the
    first. Blocks.
    """
    found: dict[str, Replacement] = {}
    for old in text.each_key():
        items = list_of(text.value())
        replacement = _replacement(object_of(items[0])) if items else None
        if replacement and _name(old) and len(found) < MOST_REPLACEMENTS:
            found[old] = replacement
    return found


def _replacement(raw: Mapping[str, Any]) -> Replacement | None:
    """One entry of that answer; None for what has no class in it."""
    new = _name(raw.get("new_node_id"))
    if not new:
        return None
    changes = raw.get("input_mapping")
    inputs = (
        None
        if changes is None
        else tuple(filter(None, map(_input_change, list_of(changes)[:MOST_NODE_INPUTS])))
    )
    moves = map(object_of, list_of(raw.get("output_mapping")))
    numbers = [(move.get("old_idx"), move.get("new_idx")) for move in moves]
    outputs = {old: to for old, to in numbers if type(old) is int and type(to) is int and to >= 0}
    widgets = [
        name for name in map(_name, list_of(raw.get("old_widget_ids"))[:MOST_NODE_INPUTS]) if name
    ]
    if not widgets:
        widgets = [change.old for change in inputs or () if change.old]
    return Replacement(new, tuple(widgets), inputs, outputs or None)


def _input_change(raw: Any) -> InputChange | None:
    change = object_of(raw)
    new, old, value = (
        _name(change.get("new_id")),
        _name(change.get("old_id")),
        change.get("set_value"),
    )
    if not new:
        return None
    if isinstance(value, (str, int, float)):  # anything else could be taken for a link
        return InputChange(new, value=value)
    return InputChange(new, old) if old else None


def _name(value: Any) -> str:
    """The name of a class or an input; "" for what is none."""
    return value if isinstance(value, str) and len(value) <= MOST_NODE_NAME_CHARACTERS else ""


def old_definitions(
    replacements: Mapping[str, Replacement], definitions: Definitions
) -> dict[str, NodeDefinition]:
    """What stands in for the definitions of old classes while a file of the editor is read: that of
    the new class where only the name has changed, else one that knows the names of the widgets.
    """
    old: dict[str, NodeDefinition] = {}
    for class_type, replacement in replacements.items():
        widgets = [
            Widget(name, page_slots=int(name in SEED_INPUTS)) for name in replacement.widgets
        ]
        own = NodeDefinition(class_type, {}, class_type, widgets=tuple(widgets))
        old[class_type] = definitions[replacement.new] if replacement.inputs is None else own
    return old


def with_replacements(graph: Graph, replacements: Mapping[str, Replacement]) -> dict[str, Any]:
    """The graph with what takes the place of its old classes, links to these included."""
    result = dict(graph)
    if not replacements:
        return result
    moved: dict[str, Mapping[int, int]] = {}  # old numbers of outputs -> new ones, by node
    for node_id, node in graph.items():
        replacement = replacements.get(node["class_type"])
        if replacement is None:
            continue
        inputs = dict(node_inputs(node))
        if replacement.inputs is not None:
            inputs = _changed(inputs, replacement.inputs)
        result[node_id] = {**node, "class_type": replacement.new, "inputs": inputs}
        if replacement.outputs:
            moved[node_id] = replacement.outputs
    if moved:
        result = {node_id: _links_moved(node, moved) for node_id, node in result.items()}
    return result


def _changed(inputs: Mapping[str, Any], changes: Sequence[InputChange]) -> dict[str, Any]:
    """The inputs of the new class, out of those of the old one."""
    changed: dict[str, Any] = {}
    for change in changes:
        value = inputs.get(change.old) if change.old else change.value
        if value is not None:
            changed[change.new] = value
    return changed


def _links_moved(node: Mapping[str, Any], moved: Mapping[str, Mapping[int, int]]) -> dict[str, Any]:
    """A node whose links lead to where the outputs of other nodes have moved."""
    inputs = dict(node_inputs(node))
    for name, value in inputs.items():
        if is_link(value) and value[0] in moved:
            inputs[name] = [value[0], moved[value[0]].get(value[1], value[1])]
    return {**node, "inputs": inputs}
