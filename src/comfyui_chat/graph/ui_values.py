"""What the widgets of a saved node hold, and the definition of its class.

The file has the values of widgets by position, with slots between them that exist on the page only: a KSampler saves
[7, "randomize", 20, 8.0, "euler", "simple", 1.0]. `known_class` finds what the server says of a node's class, and with
it `read_values` tells which value belongs to which widget:

    {"seed": SavedValue(7), "steps": SavedValue(20), "cfg": SavedValue(8.0), ...}

Like graph/definitions, this keeps to the rules of the front ends 1.27.10 and 1.49.6.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import NodeNotInstalled, WorkflowRefused
from ..names import shortened, shown_value
from ..values import list_of, text_of
from .definitions import Definitions, NodeDefinition, Widget
from .ui_file import SUBGRAPH_ID, UINode


def class_names(node: UINode) -> list[str]:
    """The names under which a server may know a node's class, the likeliest first."""
    other = node.properties.get("Node name for S&R")  # the class's name, in files of programs that set another type
    if isinstance(other, str) and other != node.type:
        return [node.type, other]
    return [node.type]


def known_class(node: UINode, definitions: Definitions) -> NodeDefinition:
    """The definition of a node's class.

    Raises `NodeNotInstalled` where the server has none, and `WorkflowRefused` for a node that no server could have.
    """
    for name in class_names(node):
        if name in definitions:
            return definitions[name]
    if node.type.startswith(("workflow/", "workflow>")):
        raise WorkflowRefused(
            f"{node} is a group node of an old kind, which cannot be converted.",
            "Open the workflow in ComfyUI, turn the group node into a subgraph, and save it.",
        )
    if SUBGRAPH_ID.fullmatch(node.type):
        raise WorkflowRefused(f"{node} is a subgraph that the file does not contain.", "Save the whole workflow.")
    package = text_of(node.properties.get("cnr_id"))
    where = f' It belongs to the package "{shortened(package)}".' if package else ""
    raise NodeNotInstalled(f"This ComfyUI does not have the node {node}.{where}")


@dataclass(frozen=True)
class SavedValue:
    """What a widget holds in the file, and what kind of widget it is."""

    value: Any
    widget: Widget = Widget("")


# Load3D saves its three buttons by name, before its picture.
BUTTONS_3D = ("upload3dmodel", "uploadExtraResources", "clear")
# What a control_after_generate can hold.
CONTROL_VALUES = ("fixed", "increment", "decrement", "randomize")


class Slots:
    """A node's `widgets_values`, taken one by one from the front, or by name where the file has names."""

    def __init__(self, values: list[Any] | Mapping[str, Any]) -> None:
        self.by_name = values if isinstance(values, Mapping) else None
        self.left = deque(list_of(values))

    def take(self, name: str, widget: Widget) -> Any:
        """The value of the next widget; the slots around it that exist on the page only are passed over."""
        while self.left and self.left[0] in BUTTONS_3D:
            self.left.popleft()
        value = self._take_value(name, widget)
        for _ in range(min(widget.page_slots, len(self.left))):
            if not widget.may_lack_slots or self.left[0] in CONTROL_VALUES:
                self.left.popleft()
        return value

    def _take_value(self, name: str, widget: Widget) -> Any:
        if self.by_name is not None:
            return self.by_name.get(name, widget.default)
        if widget.name and self.left:
            return self.left.popleft()
        return widget.default


def read_values(node: UINode, known: NodeDefinition) -> dict[str, SavedValue]:
    """What a node's widgets hold, by name.

    The widgets that the choice of a dynamic combo brings have their slots right after it: ["mp4", "h264"] are
    {"format": SavedValue("mp4"), "format.codec": SavedValue("h264")}.
    """
    slots = Slots(node.values)
    saved: dict[str, SavedValue] = {}
    waiting = deque(("", widget) for widget in known.widgets)  # each with what its name begins with
    while waiting:
        prefix, widget = waiting.popleft()
        name = prefix + widget.name
        if widget.group:
            members = _group_widgets(node, name, widget.group)
            waiting.extendleft(("", member) for member in reversed(members))
            continue
        value = slots.take(name, widget)
        if widget.options is not None:
            brought = _chosen_widgets(node, name, widget.options, value)
            waiting.extendleft((f"{name}.", inner) for inner in reversed(brought))
        is_empty = value is None and widget.default is None
        if not widget.name or is_empty:
            continue
        if widget.ignores_saved:
            value = widget.default
        saved[name] = SavedValue(value, widget)
    if known.class_type == "CustomCombo":
        saved.update(_custom_combo_values(slots))
    return saved


def _custom_combo_values(slots: Slots) -> dict[str, SavedValue]:
    """What a CustomCombo holds after its choice: "index", "option1", "option2" and so on, which no definition lists.

    Its second output needs them.
    """
    saved: dict[str, SavedValue] = {}
    for number, value in enumerate(slots.left):
        name = f"option{number}" if number else "index"
        saved[name] = SavedValue(value)
    return saved


def _group_widgets(node: UINode, name: str, widget: Widget) -> list[Widget]:
    """The widgets of an autogrow input: as many as the node has inputs of its group."""
    members = [socket for socket in node.inputs if socket.name.startswith(f"{name}.")]
    return [replace(widget, name=socket.name) for socket in members if socket.widget]


def _chosen_widgets(
    node: UINode, name: str, options: Mapping[str, tuple[Widget, ...]], choice: Any
) -> tuple[Widget, ...]:
    """The widgets that a choice of a dynamic combo brings. Raises `WorkflowRefused` for one that is not on offer.

    Without them every later value would be read wrongly.
    """
    if isinstance(choice, (str, int, float)) and str(choice) in options:
        return options[str(choice)]
    offered = shortened(", ".join(options), 300)
    raise WorkflowRefused(
        f'{node}: "{name}" is {shown_value(choice)}, which its class does not offer.',
        f"Open the workflow in ComfyUI, choose again and save it; on offer: {offered}",
    )
