"""What each class of nodes takes and makes, read from ComfyUI's `/object_info`.

`NodeDefinition.parse` reads one entry of the answer, and leaves out what is not of a known shape.
No other module knows these shapes:

    "KSampler": {"input": {"required": {"model": ["MODEL", {}],
                                        "steps": ["INT", {"default": 20, "min": 1, "max": 10000}],
                                        "sampler_name": [["euler", "dpm_2"], {}]}},
                 "input_order": {"required": ["model", "steps", "sampler_name"]},
                 "display_name": "KSampler", "output": ["LATENT"], "output_node": false}

Every input becomes an `InputSpec`: what the server accepts there. One that shows a value on
ComfyUI's page becomes a `Widget` as well, which tells which of a saved node's `widgets_values`
belong to it; only graph/ui_values needs that.

Inputs of two types stand for others. Each choice of a dynamic combo brings inputs of its own: where
"format" is "mp4" there is "format.codec". An autogrow input opens a group of inputs of one kind:
"images.image0", "images.image1".

The shapes are those of ComfyUI 0.3.64 and 0.33.0, the slots of widgets those of its front ends
1.27.10 and 1.49.6. "Golden files" marks what is known only from the prompts that these made of 338
official templates.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..bounds import MOST_NAMES_IN_LIST
from ..extents import extent_of
from ..values import is_number, list_of, object_of, text_of

MOST_OUTPUT_NAME = 200  # characters


def last_part(name: str) -> str:
    """The name of an input without that of the group that it is in: "width" of
    "resize_type.width".
    """
    return name.rsplit(".", 1)[-1]


@dataclass(frozen=True)
class InputSpec:
    """What a node accepts at one input; `type` is ComfyUI's: INT, FLOAT, STRING, BOOLEAN, COMBO,
    MODEL, ...
    """

    type: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[Any, ...] = ()  # of a combo; nearly always texts
    default: Any = None
    required: bool = True
    # the kind of file that it names: "image", "video" or "audio"; "" when it names none
    file: str = ""
    # of a dynamic combo, by choice
    options: Mapping[str, Mapping[str, "InputSpec"]] = field(default_factory=dict)
    least: int = 0  # minimum number of inputs in the group that an autogrow input opens

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The choices that are texts: names of files, mostly."""
        return tuple(choice for choice in self.choices if isinstance(choice, str))

    @functools.cached_property
    def kept(self) -> dict[Any, Any]:
        """Room for what others found out about its choices, which is forgotten with it."""
        return {}

    @functools.cached_property
    def extent(self) -> int:
        """How much there is to work through in its choices, as extents.py counts."""
        of_options = sum(spec.extent for specs in self.options.values() for spec in specs.values())
        return extent_of(self.choices) + of_options

    @classmethod
    def parse(cls, kind: Any, options: Mapping[str, Any], required: bool = True) -> "InputSpec":
        """Read what `/object_info` lists for an input: its type and its options."""
        branches = {
            choice: parse_inputs(inputs) for choice, inputs in combo_branches(kind, options).items()
        }
        choices = list(branches) or combo_choices(kind, options)
        first_choice = next(iter(choices), None)
        numbers = {
            key: options[key] for key in ("min", "max", "step") if is_number(options.get(key))
        }
        return cls(
            type="COMBO" if isinstance(kind, list) else str(kind),
            minimum=numbers.get("min"),
            maximum=numbers.get("max"),
            step=numbers.get("step"),
            choices=tuple(choices),
            default=options.get("default", first_choice),
            required=required,
            file=uploaded_kind(options),
            options=branches,
            least=autogrow_least(kind, options),
        )


@dataclass(frozen=True)
class PriceTag:
    """What a partner node says of its price: it runs on a company's service, and spends the credits
    of a Comfy account.

    A badge names the widgets, inputs and groups of inputs that its expression reads
    (graph/price_expressions works it out):

        {"engine": "jsonata", "expr": "...", "depends_on": {"widgets": [{"name": "mode", "type": "COMBO"}],
                                                            "inputs": ["image"], "input_groups": ["model.images"]}}
    """

    expression: str = ""  # "" where the node says nothing
    widgets: Mapping[str, str] = field(default_factory=dict)  # name -> type
    inputs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    keeps_keys: bool = False  # whether the server is new enough to show keys to nobody

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> "PriceTag | None":
        """Read it from one entry of `/object_info`; None for a node that costs nothing.

        Servers that know of badges at all keep the keys that come with a prompt to themselves.
        Older ones (0.3.64) show them in their queue.
        """
        if not raw.get("api_node"):
            return None
        badge = object_of(raw.get("price_badge"))
        depends = object_of(badge.get("depends_on"))
        widgets = [object_of(widget) for widget in list_of(depends.get("widgets"))]
        return cls(
            expression=text_of(badge.get("expr")) if badge.get("engine") == "jsonata" else "",
            widgets={
                text_of(widget.get("name")): text_of(widget.get("type")) for widget in widgets
            },
            inputs=tuple(map(str, list_of(depends.get("inputs")))),
            groups=tuple(map(str, list_of(depends.get("input_groups")))),
            keeps_keys="price_badge" in raw,
        )


@dataclass(frozen=True)
class NodeDefinition:
    """A class of nodes as the server describes it."""

    class_type: str
    inputs: Mapping[str, InputSpec]
    title: str = ""  # the name that ComfyUI's page shows for it
    outputs: tuple[str, ...] = ()  # their types
    output_names: tuple[str, ...] = ()  # what the page calls them: "width", "MODEL"
    is_output: bool = False  # runs for its own sake: saves or shows something
    widgets: tuple["Widget", ...] = ()  # in the order of their slots, for graph/ui_values
    price: PriceTag | None = None  # of a partner node; None for one that costs nothing
    makes_lists: bool = False  # what comes after it may run several times
    takes_lists: bool = False  # it runs once for all items of a list

    @classmethod
    def parse(cls, class_type: str, raw: Mapping[str, Any]) -> "NodeDefinition":
        """Read one entry of `/object_info`."""
        return cls(
            class_type=class_type,
            inputs=parse_inputs(raw.get("input")),
            title=str(raw.get("display_name") or class_type),
            outputs=tuple(
                "COMBO" if isinstance(kind, list) else str(kind)
                for kind in list_of(raw.get("output"))
            ),
            output_names=tuple(
                str(name)[:MOST_OUTPUT_NAME] for name in list_of(raw.get("output_name"))
            ),
            is_output=bool(raw.get("output_node")),
            widgets=parse_widgets(raw.get("input"), raw.get("input_order")),
            price=PriceTag.parse(raw),
            makes_lists=any(list_of(raw.get("output_is_list"))),
            takes_lists=raw.get("is_input_list") is True,
        )

    @functools.cached_property
    def extent(self) -> int:
        """How much there is to work through in what it lists, as extents.py counts."""
        return sum(spec.extent for spec in self.inputs.values())

    def spec(self, name: str, held: Mapping[str, Any]) -> InputSpec | None:
        """What an input accepts; None when the class has none of that name.

        "format.codec" is the input "codec" that the choice of the dynamic combo "format" brings;
        `held` is what the node's inputs hold, and so tells the choice.
        """
        *outer, last = name.split(".")
        specs = self.inputs
        path = ""
        for part in outer:
            combo = specs.get(part)
            if combo is None:
                return self.inputs.get(name)
            path += part
            choice = str(held.get(path))
            specs = combo.options.get(choice, {})
            path += "."
        return specs.get(last)

    def reads(self, name: str, held: Mapping[str, Any]) -> bool:
        """Whether a node reads an input of that name, by what its inputs hold. ComfyUI passes over
        others: "b.width" where there is no group "b", or where its choice brings no width.
        """
        if self.spec(name, held):
            return True
        parts = name.split(".")
        groups = [self.spec(".".join(parts[:end]), held) for end in range(1, len(parts))]
        return any(group and group.type == AUTOGROW for group in groups)


Definitions = Mapping[str, NodeDefinition]  # by class_type


# What a definition has under `input`. `InputSpec.parse` and `parse_widgets` both read it with these
# functions, and both call themselves for the inputs that a dynamic combo brings.


def input_sections(sections: Any) -> Iterator[tuple[str, str, Any, Mapping[str, Any]]]:
    """(section, name, type, options) of every input that a definition has under `input`.

    Hidden inputs, which the server fills itself, are left out, and so is what is not of a known
    shape.
    """
    for section in ("required", "optional"):
        specs = object_of(object_of(sections).get(section))
        for name, spec in specs.items():
            if not isinstance(spec, list) or not spec:
                continue
            options = spec[1] if len(spec) > 1 else None
            yield section, name, spec[0], object_of(options)


def parse_inputs(sections: Any) -> dict[str, InputSpec]:
    """The inputs that a definition has under `input`, by name."""
    specs: dict[str, InputSpec] = {}
    for section, name, kind, options in input_sections(sections):
        specs[name] = InputSpec.parse(kind, options, section == "required")
    return specs


def uploaded_kind(options: Mapping[str, Any]) -> str:
    """The kind of file that people upload for an input: "image", "video" or "audio"; "" for other
    inputs.
    """
    for media in ("image", "video", "audio"):
        if options.get(f"{media}_upload"):
            return media
    return ""


def combo_choices(kind: Any, options: Mapping[str, Any]) -> list[Any]:
    """What a combo offers, in both its shapes: ["COMBO", {"options": ["a", "b"]}] and the older
    [["a", "b"], {}]. Of more than `MOST_NAMES_IN_LIST` the first.
    """
    choices = options.get("options") if kind == "COMBO" else kind
    return list_of(choices)[:MOST_NAMES_IN_LIST]


DYNAMIC_COMBO, AUTOGROW = "COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3"
OPEN_KINDS = (
    "*",
    "COMFY_MATCHTYPE_V3",
    "IMAGE",
    "MASK",
    "LATENT",
    "MODEL",
    "CLIP",
    "VAE",
    "CONDITIONING",
)  # only links


def combo_branches(kind: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The choices of a dynamic combo, each with the sections of inputs that it brings; nothing for
    other types.

    ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "mp4", "inputs": {"required": {"codec": [...]}}}, ...]}]
    """
    if kind != DYNAMIC_COMBO:
        return {}
    entries = [entry for entry in list_of(options.get("options")) if isinstance(entry, Mapping)]
    return {str(entry.get("key")): entry.get("inputs") for entry in entries}


def autogrow_least(kind: Any, options: Mapping[str, Any]) -> int:
    """The minimum number of inputs in the group that an autogrow input opens; 0 for other types.

    ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 1}}]
    """
    template = object_of(options.get("template"))
    least = template.get("min")
    required = object_of(template.get("input")).get("required")
    if kind != AUTOGROW or not required or not isinstance(least, int):
        return 0
    return least


# Widgets, in the order of their slots. A saved node lists its values by position alone, and the
# page puts slots of its own between them: a rule that is missing here shifts every value that
# follows.


@dataclass(frozen=True)
class Widget:
    """An input that shows a value on ComfyUI's page, and the slots that it takes in a node's
    `widgets_values`.

    A KSampler saves [7, "randomize", 20, 8.0, "euler", "simple", 1.0]. The slot after the seed,
    "randomize", exists on the page only.
    """

    name: str  # "" for slots after the required inputs that belong to no input
    default: Any = None  # where the file holds no value
    # how many slots after it exist on the page only: buttons, control_after_generate
    page_slots: int = 0
    # those slots are there only where they hold what such a control can hold
    may_lack_slots: bool = False
    # of a dynamic combo: the widgets that each choice brings
    options: Mapping[str, tuple["Widget", ...]] | None = None
    group: "Widget | None" = None  # of an autogrow input: the widget of each input in its group
    dynamic_prompts: bool = False  # a text that goes through `dynamic_prompt` before every run
    ignores_saved: bool = False  # the default is sent, whatever the file holds
    doubt: str = ""  # `WAS_WIDGET` or `BY_SCRIPT` for what is a widget in some files only
    drawn: bool = False  # a picture that the page draws when it sends, and only there


# Why an input may be a widget in one file and none in another: it became a socket in a later
# version of its package (`forceInput`), or it is of a type that only a package's own script knows
# how to draw, if it is no type of links.
WAS_WIDGET, BY_SCRIPT = "was a widget", "by a script"
# Integers of these names have a slot for control_after_generate after them, unless their options
# set that to false.
SEED_INPUTS = ("seed", "noise_seed")
# Types that always have a widget, with its first value.
PLAIN_WIDGETS: Mapping[str, Any] = {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}
# Types of widgets that only the front end knows, with what it sends where the file holds nothing.
FRONT_END_WIDGETS: Mapping[str, Any] = {
    "AUDIO_RECORD": "",
    "AUDIO_UI": "",
    "BOUNDING_BOX": {"x": 0, "y": 0, "width": 512, "height": 512},
    "BOUNDING_BOXES": [],
    "COLOR": "#000000",
    "COLORS": [],
    "COMPOSITOR": {},
    "CURVE": {"points": [[0, 0], [1, 1]], "interpolation": "monotone_cubic"},
    # two pictures that do not exist yet, whatever was saved (golden files)
    "IMAGECOMPARE": ["", ""],
    "LOAD_3D": "",
    "LOAD_3D_ANIMATION": "",
    "MARKDOWN": "",
    "PREVIEW_3D": "",
    "WEBCAM": "",
}
# How deep dynamic combos, and in graph/editor subgraphs, may be nested; people nest subgraphs three
# deep.
MAX_DEPTH = 32


def parse_widgets(sections: Any, order: Any = None, depth: int = 0) -> tuple[Widget, ...]:
    """The widgets of what a definition has under `input`, in the order in which the front end makes
    them.

    `order` is the definition's `input_order`, where the server gives one: not every program keeps
    the order of JSON objects. `depth` counts the dynamic combos around these inputs.
    """
    if depth > MAX_DEPTH:
        return ()
    inputs = list(input_sections(sections))
    widgets: list[Widget] = []
    for section in ("required", "optional"):
        specs = {name: (kind, options) for where, name, kind, options in inputs if where == section}
        upload_slots = 0
        for name in _names_in_order(specs, object_of(order).get(section)):
            kind, options = specs[name]
            widget = _widget(name, kind, options, depth)
            if widget and (depth == 0 or not widget.doubt):
                widgets.append(widget)
            upload_slots += _upload_slots(kind, options)
        # the front end puts all upload buttons after the required inputs
        if upload_slots and section == "required":
            widgets.append(Widget("", page_slots=upload_slots))
    return tuple(widgets)


def _names_in_order(specs: Mapping[str, Any], order: Any) -> list[str]:
    """The names of inputs, those first that `order` lists."""
    listed = [name for name in list_of(order) if name in specs]
    return list(dict.fromkeys([*listed, *specs]))


def _upload_slots(kind: Any, options: Mapping[str, Any]) -> int:
    """How many slots the upload buttons of an input take."""
    # a Painter uploads its picture too, without a button
    if not isinstance(kind, list) and kind != "COMBO":
        return 0
    if options.get("audio_upload"):
        return 2  # the player and the button
    if options.get("image_upload") or options.get("video_upload"):
        return 1
    return 0


def _widget(name: str, kind: Any, options: Mapping[str, Any], depth: int) -> Widget | None:
    """The widget of an input; None where it takes links only."""
    if options.get("forceInput") or options.get("defaultInput"):
        return Widget(name, doubt=WAS_WIDGET)
    kind = options.get("widgetType") or kind
    if isinstance(kind, list) or kind == "COMBO":
        return _combo_widget(name, kind, options)
    if not isinstance(kind, str):
        return None
    if kind == DYNAMIC_COMBO:
        return _dynamic_combo_widget(name, options, depth)
    if kind == AUTOGROW:
        return _autogrow_widget(name, options, depth)
    if kind in PLAIN_WIDGETS:
        return _plain_widget(name, kind, options, depth)
    if kind in FRONT_END_WIDGETS or options.get("socketless"):
        return _front_end_widget(name, kind, options)
    if kind in OPEN_KINDS:
        return None
    return Widget(name, options.get("default"), doubt=BY_SCRIPT)


# The first choice of a list that only helps to write the text beside it, and goes back to that
# choice by itself.
PICKER = re.compile(r"^\W*Select the .+ add to the text$")


def _combo_widget(name: str, kind: Any, options: Mapping[str, Any]) -> Widget:
    first_choice = next(iter(combo_choices(kind, options)), None)
    if isinstance(first_choice, str) and PICKER.search(first_choice):
        return Widget(name, first_choice, ignores_saved=True)
    # A list that is fetched has a switch and a button of its own, as LoadImageOutput has in public
    # workflows.
    remote = object_of(options.get("remote"))
    page_slots = len({"control_after_refresh", "refresh_button"} & remote.keys())
    if options.get("control_after_generate"):
        page_slots += 2
    return Widget(name, options.get("default", first_choice), page_slots)


def _dynamic_combo_widget(name: str, options: Mapping[str, Any], depth: int) -> Widget:
    widgets: dict[str, tuple[Widget, ...]] = {}
    for choice, sections in combo_branches(DYNAMIC_COMBO, options).items():
        widgets[choice] = parse_widgets(sections, None, depth + 1)
    first_choice = next(iter(widgets), None)
    return Widget(name, options.get("default", first_choice), options=widgets)


def _autogrow_widget(name: str, options: Mapping[str, Any], depth: int) -> Widget | None:
    """The widget of an input that opens a group of inputs; None where they take links only, as most
    do.
    """
    template = object_of(options.get("template"))
    widgets = parse_widgets(template.get("input"), None, depth + 1)
    if not widgets:
        return None
    return Widget(name, group=widgets[0])


def _plain_widget(name: str, kind: str, options: Mapping[str, Any], depth: int) -> Widget:
    control = options.get("control_after_generate")
    # A seed inside a dynamic combo has no control of its own: its full name is "mode.seed" (golden
    # files).
    is_seed = kind == "INT" and name in SEED_INPUTS and depth == 0
    has_control = bool(control) or (is_seed and control is not False)
    return Widget(
        name,
        options.get("default", PLAIN_WIDGETS[kind]),
        page_slots=int(has_control),
        may_lack_slots=depth > 0,
        dynamic_prompts=bool(options.get("dynamicPrompts")),
    )


def _front_end_widget(name: str, kind: str, options: Mapping[str, Any]) -> Widget:
    return Widget(
        name,
        options.get("default", FRONT_END_WIDGETS.get(kind)),
        ignores_saved=kind == "IMAGECOMPARE",
        # Load3D's picture comes behind three buttons, which reading skips (golden files); the
        # others stand alone.
        drawn=name == "image" and kind in ("LOAD_3D", "LOAD_3D_ANIMATION", "WEBCAM"),
    )
