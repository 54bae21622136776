"""graph/definitions."""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SEED_INPUTS = ("seed", "noise_seed")


@dataclass(frozen=True)
class InputSpec:
    """What a node accepts at one input: `type` is ComfyUI's (INT, FLOAT, STRING, BOOLEAN, COMBO, MODEL, …)."""

    type: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[Any, ...] = ()  # nearly always texts
    default: Any = None
    required: bool = True
    file: str = ""  # what kind of file it names: "image", "video", "audio", or "" when it names none
    options: Mapping[str, Mapping[str, "InputSpec"]] = field(default_factory=dict)  # of a dynamic combo: by choice
    least: int = 0  # so many of the inputs that an autogrowing one stands for must be there

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The choices that are texts: names of files, mostly."""
        return tuple(choice for choice in self.choices if isinstance(choice, str))

    @classmethod
    def parse(cls, kind: Any, options: Mapping[str, Any], required: bool = True) -> "InputSpec":
        """Read the type and the options that `/object_info` lists for an input."""
        branches = {key: parse_inputs(inputs) for key, inputs in combo_branches(kind, options).items()}
        choices = list(branches) or combo_choices(kind, options)
        numbers = (options.get(key) for key in ("min", "max", "step"))
        low, high, step = (value if isinstance(value, (int, float)) else None for value in numbers)
        file = next((kind for kind in ("image", "video", "audio") if options.get(f"{kind}_upload")), "")
        name = "COMBO" if isinstance(kind, list) else str(kind)
        default = options.get("default", choices[0] if choices else None)
        least = autogrow_least(kind, options)
        return cls(name, low, high, step, tuple(choices), default, required, file, branches, least)


DYNAMIC_COMBO, AUTOGROW = "COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3"


def combo_choices(kind: Any, options: Mapping[str, Any]) -> list[Any]:
    """What a combo offers, in both its shapes: the older one has the list where the type's name would stand."""
    listed = kind if isinstance(kind, list) else options.get("options") if kind == "COMBO" else None
    return listed if isinstance(listed, list) else []


def combo_branches(kind: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The `input` sections that each choice of a dynamic combo brings."""
    listed = options.get("options") if kind == DYNAMIC_COMBO else None
    entries = [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []
    return {str(entry.get("key")): entry.get("inputs") for entry in entries}


def autogrow_least(kind: Any, options: Mapping[str, Any]) -> int:
    """How many inputs an autogrowing one has to have; 0 for any other input."""
    template = options.get("template") if kind == AUTOGROW else None
    inner = template.get("input") if isinstance(template, Mapping) else None
    least = template.get("min") if isinstance(template, Mapping) else None
    return least if isinstance(inner, Mapping) and inner.get("required") and isinstance(least, int) else 0


def input_sections(sections: Any) -> Iterator[tuple[str, str, Any, Mapping[str, Any]]]:
    """(section, name, type, options) of every input in `input` of a node definition; hidden inputs are left out, and
    so is what has no known shape."""
    for section in ("required", "optional"):
        specs = sections.get(section) if isinstance(sections, Mapping) else None
        for name, spec in specs.items() if isinstance(specs, Mapping) else ():
            if isinstance(spec, list) and spec:
                yield section, name, spec[0], spec[1] if len(spec) > 1 and isinstance(spec[1], Mapping) else {}


def parse_inputs(sections: Any) -> dict[str, InputSpec]:
    """The inputs in `input` of a node definition, by name."""
    return {
        name: InputSpec.parse(kind, options, section == "required")
        for section, name, kind, options in input_sections(sections)
    }


@dataclass(frozen=True)
class NodeDefinition:
    """One node class as the server describes it. The only place that knows the shapes of `/object_info`."""

    class_type: str
    inputs: Mapping[str, InputSpec]
    title: str = ""  # the name that ComfyUI's page shows
    outputs: tuple[str, ...] = ()  # their types
    is_output: bool = False  # runs for its own sake: saves or shows something
    widgets: tuple["Widget", ...] = ()  # as the page draws them, for `convert`

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
        """What an input accepts, or None when the class has none of that name. "format.codec" is the input that the
        choice of the dynamic combo "format" brings; `held` tells the choices."""
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


# What a link carries where no definition tells, by the name of the input that it feeds, without its number.
GUESSED_TYPES: Mapping[str, str] = {
    name: kind
    for kind, names in {
        "MODEL": "model model_negative base_model",
        "CLIP": "clip",
        "VAE": "vae audio_vae",
        "CONDITIONING": "positive negative conditioning cond conditioning_to conditioning_from",
        "LATENT": "latent latent_image samples video_latent audio_latent av_latent image_embeds",
        "IMAGE": "image images pixels start_image end_image control_image reference_image input_image",
        "MASK": "mask masks",
        "NOISE": "noise",
        "GUIDER": "guider",
        "SAMPLER": "sampler",
        "SIGMAS": "sigmas",
        "AUDIO": "audio",
        "VIDEO": "video",
        "CONTROL_NET": "control_net",
        "CLIP_VISION": "clip_vision",
        "CLIP_VISION_OUTPUT": "clip_vision_output",
        "STYLE_MODEL": "style_model",
        "UPSCALE_MODEL": "upscale_model",
        "MODEL_PATCH": "model_patch",
    }.items()
    for name in names.split()
}


ANY_TYPE = ("", "*", "COMFY_MATCHTYPE_V3", AUTOGROW, DYNAMIC_COMBO)
KNOWN_TYPES = {*GUESSED_TYPES.values(), "STRING", "INT", "FLOAT", "BOOLEAN", "COMBO", "MESH", "SVG"}
MEDIA = ("IMAGE", "VIDEO", "AUDIO", "MESH", "SVG")
VALUE_TYPES = ("INT", "FLOAT", "COMBO")


@functools.lru_cache(4096)
def guessed_type(name: str) -> str:
    """What an input takes by its name, or ""."""
    return GUESSED_TYPES.get(re.sub(r"[\d_]+$", "", name.rsplit(".", 1)[-1].lower()), "")


MAX_DEPTH = 32  # subgraphs in subgraphs; people nest three deep
PLAIN_WIDGETS: Mapping[str, Any] = {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}  # and the first value


# Widgets that only the front end knows, and what it sends for them when the file holds nothing.
FRONT_END_WIDGETS: Mapping[str, Any] = {
    "AUDIO_RECORD": "",
    "AUDIO_UI": "",
    "BOUNDING_BOX": {"x": 0, "y": 0, "width": 512, "height": 512},
    "BOUNDING_BOXES": [],
    "COLOR": "#000000",
    "COLORS": [],
    "COMPOSITOR": {},
    "CURVE": {"points": [[0, 0], [1, 1]], "interpolation": "monotone_cubic"},
    "IMAGECOMPARE": ["", ""],  # two pictures that do not exist yet; saved ones are not kept (golden files)
    "LOAD_3D": "",
    "LOAD_3D_ANIMATION": "",
    "MARKDOWN": "",
    "PREVIEW_3D": "",
    "WEBCAM": "",
}


@dataclass(frozen=True)
class Widget:
    """One input of a node class that has a value of its own in the UI, and the slots of `widgets_values` it takes.

    `after` counts the slots behind it that exist only in the UI (buttons, control_after_generate); when `loose`, they
    are there only if they hold what such slots hold. `options` are those of a dynamic combo: each choice brings inputs
    of its own. `grows` is what each input of an autogrowing one is like. `made_anew` values are never read from the
    file. `drawn` ones are made in the browser, and only there.
    """

    name: str
    default: Any = None
    after: int = 0
    loose: bool = False
    options: Mapping[str, tuple["Widget", ...]] | None = None
    grows: "Widget | None" = None
    dynamic_prompts: bool = False
    made_anew: bool = False
    drawn: bool = False


def parse_widgets(sections: Any, order: Any = None, depth: int = 0) -> tuple[Widget, ...]:
    """The widgets of `input` of a node definition, in the order in which the front end makes them.

    `input_order` tells it where the server gives it: JSON objects keep no order on their way through every program.
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
        if buttons and section == "required":  # the front end adds its upload buttons behind the required inputs
            widgets.append(Widget("", after=buttons))
    return tuple(widgets)


def _buttons(kind: Any, options: Mapping[str, Any]) -> int:
    if not isinstance(kind, list) and kind != "COMBO":  # a Painter's picture is uploaded as well, without a button
        return 0
    if options.get("audio_upload"):
        return 2  # the player and the button
    return 1 if options.get("image_upload") or options.get("video_upload") else 0


def _widget(name: str, kind: Any, options: Mapping[str, Any], depth: int) -> Iterator[Widget]:
    """The widget of one input, or none when it takes links only."""
    if options.get("forceInput") or options.get("defaultInput"):
        return
    kind = options.get("widgetType") or kind
    dynamic = bool(options.get("dynamicPrompts"))
    control = options.get("control_after_generate")
    if isinstance(kind, list) or kind == "COMBO":
        first = next(iter(combo_choices(kind, options)), None)
        remote = options.get("remote")
        # A list that is fetched has a switch and a button of its own (corpus: LoadImageOutput).
        fetched = len({"control_after_refresh", "refresh_button"} & remote.keys()) if isinstance(remote, Mapping) else 0
        yield Widget(name, options.get("default", first), after=(2 if control else 0) + fetched)
    elif kind == DYNAMIC_COMBO:
        inner_sections = combo_branches(kind, options).items()
        branches = {key: parse_widgets(inputs, None, depth + 1) for key, inputs in inner_sections}
        yield Widget(name, options.get("default", next(iter(branches), None)), options=branches)
    elif kind == AUTOGROW:
        template = options.get("template")
        inner = parse_widgets(template.get("input"), None, depth + 1) if isinstance(template, Mapping) else ()
        if inner:  # most of them grow links only
            yield Widget(name, grows=inner[0])
    elif not isinstance(kind, str):
        return
    elif kind in PLAIN_WIDGETS:
        # A seed inside a dynamic combo has no control of its own: its full name is "mode.seed" (golden files).
        seed = kind == "INT" and name in SEED_INPUTS and control is not False and depth == 0
        default = options.get("default", PLAIN_WIDGETS[kind])
        yield Widget(name, default, after=int(bool(control) or seed), loose=depth > 0, dynamic_prompts=dynamic)
    elif kind in FRONT_END_WIDGETS or options.get("socketless"):
        # Load3D's picture comes behind three buttons (golden files); every other one stands alone.
        default = options.get("default", FRONT_END_WIDGETS.get(kind))
        drawn = name == "image" and kind in ("LOAD_3D", "LOAD_3D_ANIMATION", "WEBCAM")
        yield Widget(name, default, made_anew=kind == "IMAGECOMPARE", drawn=drawn)


# What a graph needs and makes, the LoRAs that somebody wants in it, how it looks as a drawing, and what the front end
# replaces in its texts. Graphs come from anybody: what has not the right shape is passed over here, and the server
# refuses it.

OPEN_TYPES = tuple(kind for kind in ANY_TYPE if kind)  # of inputs and outputs that carry what they are given
