"""What the widgets of a saved node hold, and the definition of its class.

The file has the values of widgets by position, with slots between them that exist on the page only: a KSampler saves
[7, "randomize", 20, 8.0, "euler", "simple", 1.0]. `known_class` finds what the server says of a node's class, and with
it `read_values` tells which value belongs to which widget:

    {"seed": SavedValue(7), "steps": SavedValue(20), "cfg": SavedValue(8.0), ...}

Like graph/definitions, this keeps to the rules of the front ends 1.27.10 and 1.49.6.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import NodeNotInstalled, WorkflowRefused
from ..names import MODEL_FILE, shortened, shown_value
from ..values import list_of
from .definitions import BY_SCRIPT, SEED_INPUTS, WAS_WIDGET, Definitions, NodeDefinition, Widget
from .old_files import value_now, values_now
from .remarks import package_of
from .ui_file import SUBGRAPH_ID, UINode


def class_names(node: UINode) -> list[str]:
    """The names under which a server may know a node's class, the likeliest first."""
    # the class's name, in files of programs that set another type
    other = node.properties.get("Node name for S&R")
    if isinstance(other, str) and other != node.type:
        return [node.type, other]
    return [node.type]


def known_class(node: UINode, definitions: Definitions) -> NodeDefinition:
    """The definition of a node's class.

    Raises `NodeNotInstalled` where the server has none, and `WorkflowRefused` for a node that no
    server could have.
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
        raise WorkflowRefused(
            f"{node} is a subgraph that the file does not contain.", "Save the whole workflow."
        )
    package = package_of(node.properties)
    where = f" ({package})" if package else ""
    raise NodeNotInstalled(f"This ComfyUI does not have the node {node}{where}.")


def stand_in(node: UINode) -> NodeDefinition:
    """What a node's own file tells of a class that the server does not have: enough to read the
    node for a description. Widgets whose names the file does not tell are called "value 1", "value
    2" and so on.
    """
    names = [socket.name for socket in node.inputs if socket.widget]
    widgets = [Widget(name, page_slots=int(name in SEED_INPUTS)) for name in names]
    if isinstance(node.values, list) and len(node.values) != sum(
        1 + widget.page_slots for widget in widgets
    ):
        widgets = [Widget(f"value {number}") for number in range(1, len(node.values) + 1)]
    return NodeDefinition(node.type, {}, node.type, widgets=tuple(widgets))


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
    """A node's `widgets_values`, taken one by one from the front, or by name where the file has
    names.
    """

    def __init__(self, values: list[Any] | Mapping[str, Any]) -> None:
        self.by_name = values if isinstance(values, Mapping) else None
        self.left = deque(list_of(values))
        self.lacking = False  # there were fewer values than widgets

    def take(self, name: str, widget: Widget) -> Any:
        """The value of the next widget; the slots around it that exist on the page only are passed
        over.
        """
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
        self.lacking = self.lacking or bool(widget.name)
        return widget.default


def read_values(node: UINode, known: NodeDefinition) -> dict[str, SavedValue]:
    """What a node's widgets hold, by name. Raises `WorkflowRefused` where a model file would be
    lost.

    The widgets that the choice of a dynamic combo brings have their slots right after it: ["mp4", "h264"] are
    {"format": SavedValue("mp4"), "format.codec": SavedValue("h264")}.
    """
    values = values_now(node)
    if isinstance(values, Mapping):
        slots = Slots(values)
        saved = _read_slots(node, _widgets_by_name(known, values), slots)
        saved.update(_unknown_by_name(node, known, values))
    else:
        slots, saved = _read_positions(node, known, values)
        saved.update(_lora_rows(slots))
    if known.class_type == "CustomCombo":
        saved.update(_custom_combo_values(slots))
    _check_files_kept(node, values, saved)
    return {
        name: replace(held, value=value_now(node, name, held.value)) for name, held in saved.items()
    }


def _widgets_by_name(known: NodeDefinition, values: Mapping[str, Any]) -> list[Widget]:
    """The widgets of a node whose file has their values by name."""
    widgets = []
    for widget in known.widgets:
        is_drawn = widget.doubt == BY_SCRIPT and widget.default is not None
        if not widget.doubt or widget.name in values or is_drawn:
            widgets.append(widget)
    return widgets


def _unknown_by_name(
    node: UINode, known: NodeDefinition, values: Mapping[str, Any]
) -> dict[str, SavedValue]:
    """What the file holds under names that the definition does not have: the settings that a format
    brings, say. The page's own state, a preview for one, is an object and stays there.
    """
    sockets = {socket.name for socket in node.inputs if not socket.widget}
    saved: dict[str, SavedValue] = {}
    for name, value in values.items():
        if name in known.inputs or name in sockets or value is None:
            continue
        if not isinstance(value, Mapping) or any(files_named(value)):
            saved[name] = SavedValue(value)
    return saved


def _read_positions(
    node: UINode, known: NodeDefinition, values: list[Any]
) -> tuple[Slots, dict[str, SavedValue]]:
    """What a list of values holds, and the slots that are left.

    Some inputs are widgets in some files only (see `Widget.doubt`). The first reading counts that
    needs just as many values as there are, else the one without such inputs.
    """
    readings: list[tuple[list[Widget], Slots, dict[str, SavedValue]]] = []
    for doubtful in ((), (WAS_WIDGET,), (BY_SCRIPT,), (WAS_WIDGET, BY_SCRIPT)):
        widgets = [
            widget
            for widget in known.widgets
            if not widget.doubt or _has_slot(node, widget, doubtful)
        ]
        if readings and len(widgets) == len(readings[0][0]):
            continue
        slots = Slots(values)
        saved = _read_slots(node, widgets, slots)
        readings.append((widgets, slots, saved))
        if not slots.left and not slots.lacking:
            break
    else:
        del readings[1:]
        _check_placed(node, known, readings[0][1])
    _, slots, saved = readings[-1]
    return slots, {name: held for name, held in saved.items() if _is_sent(node, name, held)}


def _check_placed(node: UINode, known: NodeDefinition, slots: Slots) -> None:
    """Raise `WorkflowRefused` where values are left and a script draws an input that the server
    needs: one of them is its own, and nothing tells which.
    """
    if not any(slots.left):
        return
    for widget in known.widgets:
        if _has_slot(node, widget, (BY_SCRIPT,)) and known.inputs[widget.name].required:
            raise WorkflowRefused(
                f'{node}: only the script of its package knows which of its values is "{widget.name}".',
                "Open the workflow in ComfyUI, export it in the API format, and use that file.",
            )


def _is_sent(node: UINode, name: str, held: SavedValue) -> bool:
    """Whether what a slot holds is sent. That of an input which is a socket now is not, nor an
    empty text where the file tells nothing of a widget: it may as well be a socket of the package's
    own type.
    """
    if held.widget.doubt == BY_SCRIPT and held.value == "":
        return any(socket.name == name for socket in node.inputs)
    return held.widget.doubt != WAS_WIDGET


def _has_slot(node: UINode, widget: Widget, doubtful: Collection[str]) -> bool:
    """Whether a widget of doubt has a slot, if those in `doubtful` have. One that a script draws
    has no socket in the file, or one that is marked with a widget.
    """
    if widget.doubt not in doubtful:
        return False
    if widget.doubt == WAS_WIDGET:
        return True
    return all(socket.widget for socket in node.inputs if socket.name == widget.name)


def _read_slots(node: UINode, widgets: Iterable[Widget], slots: Slots) -> dict[str, SavedValue]:
    """What these widgets hold, taken from the slots one by one."""
    saved: dict[str, SavedValue] = {}
    waiting = deque(("", widget) for widget in widgets)  # each with what its name begins with
    while waiting:
        prefix, widget = waiting.popleft()
        name = prefix + widget.name
        if widget.group:
            members = _group_widgets(node, name, widget.group)
            waiting.extendleft(("", member) for member in reversed(members))
            continue
        value = slots.take(name, widget)
        # A text that is not on offer any more is sent as it is, as the page does, where no later
        # value could shift.
        is_offered = str(value) in (widget.options or ())
        if widget.options is not None and (is_offered or slots.left or not isinstance(value, str)):
            brought = _chosen_widgets(node, name, widget.options, value)
            waiting.extendleft((f"{name}.", inner) for inner in reversed(brought))
        is_empty = value is None and widget.default is None
        if not widget.name or is_empty:
            continue
        if widget.ignores_saved:
            value = widget.default
        saved[name] = SavedValue(value, widget)
    return saved


def _lora_rows(slots: Slots) -> dict[str, SavedValue]:
    """The rows of a list of LoRAs that a package's script draws, {"on": true, "lora":
    "a.safetensors", "strength": 1}, under the names that the script sends them by: "lora_1",
    "lora_2" and so on.
    """
    rows = [
        value
        for value in slots.left
        if isinstance(value, Mapping) and isinstance(value.get("lora"), str)
    ]
    saved: dict[str, SavedValue] = {}
    for number, row in enumerate(rows, 1):
        said = {key: value for key, value in row.items() if value is not None}
        saved[f"lora_{number}"] = SavedValue(said)
    return saved


def files_named(value: Any) -> Iterator[str]:
    """The model files that a value names, however deep inside."""
    waiting = [value]
    while waiting:
        held = waiting.pop()
        if isinstance(held, str) and MODEL_FILE.search(held):
            yield held
        elif isinstance(held, Mapping):
            waiting += held.values()
        elif isinstance(held, list):
            waiting += held


def _check_files_kept(node: UINode, values: Any, saved: Mapping[str, SavedValue]) -> None:
    """Raise `WorkflowRefused` where an object or a list among a node's values names a model file,
    and nothing that is sent does: only the package's script knows where it belongs, and without it
    a LoRA, say, would vanish in silence.
    """
    held = list(values.values()) if isinstance(values, Mapping) else values
    drawn = [value for value in held if isinstance(value, (Mapping, list))]
    sent = set(files_named([value.value for value in saved.values()]))
    for file in files_named(drawn):
        if file not in sent:
            raise WorkflowRefused(
                f'{node} names the file "{shortened(file)}" where only the script of its package can read it.',
                "Open the workflow in ComfyUI, export it in the API format, and use that file.",
            )


def _custom_combo_values(slots: Slots) -> dict[str, SavedValue]:
    """What a CustomCombo holds after its choice: "index", "option1", "option2" and so on, which no
    definition lists.

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
    """The widgets that a choice of a dynamic combo brings. Raises `WorkflowRefused` for one that is
    not on offer.

    Without them every later value would be read wrongly.
    """
    if isinstance(choice, (str, int, float)) and str(choice) in options:
        return options[str(choice)]
    offered = shortened(", ".join(options), 300)
    raise WorkflowRefused(
        f'{node}: "{name}" is {shown_value(choice)}, which its class does not offer.',
        f"Open the workflow in ComfyUI, choose again and save it; on offer: {offered}",
    )
