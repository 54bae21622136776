"""What each class of nodes takes and makes, read from ComfyUI's `/object_info`.

`NodeDefinition.parse` reads one entry of the answer, and leaves out what is not of a known shape. No other module knows
these shapes:

    "KSampler": {"input": {"required": {"model": ["MODEL", {}],
                                        "steps": ["INT", {"default": 20, "min": 1, "max": 10000}],
                                        "sampler_name": [["euler", "dpm_2"], {}]}},
                 "input_order": {"required": ["model", "steps", "sampler_name"]},
                 "display_name": "KSampler", "output": ["LATENT"], "output_node": false}

Every input becomes an `InputSpec`: what the server accepts there. One that shows a value on ComfyUI's page becomes a
`Widget` as well, which tells which of a saved node's `widgets_values` belong to it; only graph/editor needs that.

Two types of inputs stand for others. A dynamic combo brings inputs of its own with each of its choices: where "format"
is "mp4" there is "format.codec". An autogrow input opens a group of like ones: "images.image0", "images.image1".

The shapes are those of ComfyUI 0.3.64 and 0.33.0, the slots of widgets those of its front ends 1.27.10 and 1.49.6.
"Golden files" marks what is known only from the prompts that these made of 338 official templates.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class InputSpec:
    """What a node accepts at one input; `type` is ComfyUI's: INT, FLOAT, STRING, BOOLEAN, COMBO, MODEL, ..."""

    type: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[Any, ...] = ()  # of a combo; nearly always texts
    default: Any = None
    required: bool = True
    file: str = ""  # the kind of file that it names: "image", "video" or "audio"; "" when it names none
    options: Mapping[str, Mapping[str, "InputSpec"]] = field(default_factory=dict)  # of a dynamic combo, by choice
    least: int = 0  # minimum number of inputs in the group that an autogrow input opens

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The choices that are texts: names of files, mostly."""
        return tuple(choice for choice in self.choices if isinstance(choice, str))

    @classmethod
    def parse(cls, kind: Any, options: Mapping[str, Any], required: bool = True) -> "InputSpec":
        """Read what `/object_info` lists for an input: its type and its options."""
        branches = {key: parse_inputs(inputs) for key, inputs in combo_branches(kind, options).items()}
        choices = list(branches) or combo_choices(kind, options)
        numbers = (options.get(key) for key in ("min", "max", "step"))
        low, high, step = (value if isinstance(value, (int, float)) else None for value in numbers)
        file = next((kind for kind in ("image", "video", "audio") if options.get(f"{kind}_upload")), "")
        name = "COMBO" if isinstance(kind, list) else str(kind)
        default = options.get("default", choices[0] if choices else None)
        least = autogrow_least(kind, options)
        return cls(name, low, high, step, tuple(choices), default, required, file, branches, least)


@dataclass(frozen=True)
class NodeDefinition:
    """A class of nodes as the server describes it."""

    class_type: str
    inputs: Mapping[str, InputSpec]
    title: str = ""  # the name that ComfyUI's page shows for it
    outputs: tuple[str, ...] = ()  # their types
    is_output: bool = False  # runs for its own sake: saves or shows something
    widgets: tuple["Widget", ...] = ()  # in the order of their slots, for graph/editor

    @classmethod
    def parse(cls, class_type: str, raw: Mapping[str, Any]) -> "NodeDefinition":
        """Read one entry of `/object_info`."""
        outputs = raw.get("output")
        return cls(
            class_type,
            parse_inputs(raw.get("input")),
            str(raw.get("display_name") or class_type),
            tuple(str(kind) for kind in outputs) if isinstance(outputs, list) else (),
            bool(raw.get("output_node")),
            parse_widgets(raw.get("input"), raw.get("input_order")),
        )

    def spec(self, name: str, held: Mapping[str, Any]) -> InputSpec | None:
        """What an input accepts; None when the class has none of that name.

        "format.codec" is the input "codec" that the choice of the dynamic combo "format" brings; `held` is what the
        node's inputs hold, and so tells the choice.
        """
        specs, path = self.inputs, ""
        *outer, last = name.split(".")
        for part in outer:
            path += part
            found = specs.get(part)
            if found is None:
                return self.inputs.get(name)
            specs = found.options.get(str(held.get(path)), {})
            path += "."
        return specs.get(last)


Definitions = Mapping[str, NodeDefinition]  # by class_type


# What stands under `input` in a definition. `InputSpec.parse` and `parse_widgets` both read it with these functions,
# and both come back for the inputs that a dynamic combo brings.


def input_sections(sections: Any) -> Iterator[tuple[str, str, Any, Mapping[str, Any]]]:
    """(section, name, type, options) of every input that a definition has under `input`.

    Hidden inputs, which the server fills itself, are left out, and so is what is not of a known shape.
    """
    for section in ("required", "optional"):
        specs = sections.get(section) if isinstance(sections, Mapping) else None
        for name, spec in specs.items() if isinstance(specs, Mapping) else ():
            if isinstance(spec, list) and spec:
                yield section, name, spec[0], spec[1] if len(spec) > 1 and isinstance(spec[1], Mapping) else {}


def parse_inputs(sections: Any) -> dict[str, InputSpec]:
    """The inputs that a definition has under `input`, by name."""
    return {
        name: InputSpec.parse(kind, options, section == "required")
        for section, name, kind, options in input_sections(sections)
    }


def combo_choices(kind: Any, options: Mapping[str, Any]) -> list[Any]:
    """What a combo offers, in both its shapes: ["COMBO", {"options": ["a", "b"]}] and the older [["a", "b"], {}]."""
    listed = kind if isinstance(kind, list) else options.get("options") if kind == "COMBO" else None
    return listed if isinstance(listed, list) else []


DYNAMIC_COMBO, AUTOGROW = "COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3"


def combo_branches(kind: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The choices of a dynamic combo, each with the sections of inputs that it brings; nothing for other types.

    ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "mp4", "inputs": {"required": {"codec": [...]}}}, ...]}]
    """
    listed = options.get("options") if kind == DYNAMIC_COMBO else None
    entries = [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []
    return {str(entry.get("key")): entry.get("inputs") for entry in entries}


def autogrow_least(kind: Any, options: Mapping[str, Any]) -> int:
    """The minimum number of inputs in the group that an autogrow input opens; 0 for other types.

    ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 1}}]
    """
    template = options.get("template") if kind == AUTOGROW else None
    inner = template.get("input") if isinstance(template, Mapping) else None
    least = template.get("min") if isinstance(template, Mapping) else None
    return least if isinstance(inner, Mapping) and inner.get("required") and isinstance(least, int) else 0


# Widgets, in the order of their slots. A saved node lists its values by position alone, and the page puts slots of its
# own between them, so that a rule missed here shifts every value that follows.


@dataclass(frozen=True)
class Widget:
    """An input that shows a value on ComfyUI's page, and the slots that it takes in a node's `widgets_values`.

    A KSampler saves [7, "randomize", 20, 8.0, "euler", "simple", 1.0]. The slot behind the seed, "randomize", exists on
    the page only.
    """

    name: str  # "" for slots behind the required inputs that belong to no input
    default: Any = None  # where the file holds no value
    after: int = 0  # how many slots behind it exist on the page only: buttons, control_after_generate
    loose: bool = False  # those slots are there only if they hold what such a control can hold
    options: Mapping[str, tuple["Widget", ...]] | None = None  # of a dynamic combo: the widgets that each choice brings
    grows: "Widget | None" = None  # of an autogrow input: the widget of each input in its group
    dynamic_prompts: bool = False  # a text that goes through `dynamic_prompt` before every run
    made_anew: bool = False  # the default is sent, whatever the file holds
    drawn: bool = False  # a picture that the page draws when it sends, and only there


# Integers of these names have a slot for control_after_generate behind them, unless their options set that to false.
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
    "IMAGECOMPARE": ["", ""],  # two pictures that do not exist yet, whatever was saved (golden files)
    "LOAD_3D": "",
    "LOAD_3D_ANIMATION": "",
    "MARKDOWN": "",
    "PREVIEW_3D": "",
    "WEBCAM": "",
}
# How deep dynamic combos, and in graph/editor subgraphs, may be nested; people nest subgraphs three deep.
MAX_DEPTH = 32


def parse_widgets(sections: Any, order: Any = None, depth: int = 0) -> tuple[Widget, ...]:
    """The widgets of what a definition has under `input`, in the order in which the front end makes them.

    `order` is the definition's `input_order`, where the server gives one: not every program keeps the order of JSON
    objects. `depth` counts the dynamic combos around these inputs.
    """
    if depth > MAX_DEPTH:
        return ()
    widgets: list[Widget] = []
    for section in ("required", "optional"):
        specs = {name: (kind, options) for where, name, kind, options in input_sections(sections) if where == section}
        named = order.get(section) if isinstance(order, Mapping) else None
        names = [name for name in named if name in specs] if isinstance(named, list) else []
        buttons = 0
        for name in dict.fromkeys([*names, *specs]):
            widgets.extend(_widget(name, *specs[name], depth))
            buttons += _buttons(*specs[name])
        if buttons and section == "required":  # the front end puts all upload buttons behind the required inputs
            widgets.append(Widget("", after=buttons))
    return tuple(widgets)


def _buttons(kind: Any, options: Mapping[str, Any]) -> int:
    """How many slots the upload buttons of an input take."""
    if not isinstance(kind, list) and kind != "COMBO":  # a Painter uploads its picture too, without a button
        return 0
    if options.get("audio_upload"):
        return 2  # the player and the button
    return 1 if options.get("image_upload") or options.get("video_upload") else 0


def _widget(name: str, kind: Any, options: Mapping[str, Any], depth: int) -> Iterator[Widget]:
    """The widget of an input; none where it takes links only."""
    if options.get("forceInput") or options.get("defaultInput"):
        return
    kind = options.get("widgetType") or kind
    dynamic = bool(options.get("dynamicPrompts"))
    control = options.get("control_after_generate")
    if isinstance(kind, list) or kind == "COMBO":
        first = next(iter(combo_choices(kind, options)), None)
        remote = options.get("remote")
        # A list that is fetched has a switch and a button of its own, as LoadImageOutput has in public workflows.
        fetched = len({"control_after_refresh", "refresh_button"} & remote.keys()) if isinstance(remote, Mapping) else 0
        # The control_after_generate of a combo takes two slots.
        yield Widget(name, options.get("default", first), after=(2 if control else 0) + fetched)
    elif kind == DYNAMIC_COMBO:
        inner_sections = combo_branches(kind, options).items()
        branches = {key: parse_widgets(inputs, None, depth + 1) for key, inputs in inner_sections}
        yield Widget(name, options.get("default", next(iter(branches), None)), options=branches)
    elif kind == AUTOGROW:
        template = options.get("template")
        inner = parse_widgets(template.get("input"), None, depth + 1) if isinstance(template, Mapping) else ()
        if inner:  # most groups are of links only
            yield Widget(name, grows=inner[0])
    elif not isinstance(kind, str):
        return
    elif kind in PLAIN_WIDGETS:
        # A seed inside a dynamic combo has no control of its own: its full name is "mode.seed" (golden files).
        seed = kind == "INT" and name in SEED_INPUTS and control is not False and depth == 0
        default = options.get("default", PLAIN_WIDGETS[kind])
        yield Widget(name, default, after=int(bool(control) or seed), loose=depth > 0, dynamic_prompts=dynamic)
    elif kind in FRONT_END_WIDGETS or options.get("socketless"):
        # Load3D's picture comes behind three buttons, which reading skips (golden files); the others stand alone.
        default = options.get("default", FRONT_END_WIDGETS.get(kind))
        drawn = name == "image" and kind in ("LOAD_3D", "LOAD_3D_ANIMATION", "WEBCAM")
        yield Widget(name, default, made_anew=kind == "IMAGECOMPARE", drawn=drawn)
