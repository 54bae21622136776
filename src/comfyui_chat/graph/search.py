"""graph/search."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ..values import is_number
from .definitions import (
    ANY_TYPE,
    KNOWN_TYPES,
    MEDIA,
    SEED_INPUTS,
    VALUE_TYPES,
    Definitions,
    NodeDefinition,
    guessed_type,
)
from .nodes import Graph, Target, given_title, is_link, node_inputs

# Parameters are found, not mapped by hand: first what the author said in titles and placeholders, then what tracing the
# graph back from its outputs over the samplers tells.

# parameter -> the inputs that hold it, likeliest first
PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt", "positive", "positive_prompt"),
    "negative_prompt": ("negative_prompt", "negative"),
    "lyrics": ("lyrics",),
    "seed": SEED_INPUTS,
    "steps": ("steps", "num_steps", "num_inference_steps"),
    "guidance": ("guidance", "cfg", "guidance_scale", "cfg_scale", "cfg_conds", "true_gs"),
    "sampler": ("sampler_name", "sampler"),
    "scheduler": ("scheduler", "scheduler_name"),
    "denoise": ("denoise", "denoise_strength"),
    "width": ("width", "empty_latent_width", "resize_type.width", "target_width"),
    "height": ("height", "empty_latent_height", "resize_type.height", "target_height"),
    "aspect_ratio": ("aspect_ratio", "ratio"),
    "resolution": ("resolution",),
    "size": ("size", "size_preset"),
    "batch_size": ("batch_size", "num_images", "number_of_images", "n"),
    "length": ("length", "num_frames", "video_frames", "frames", "frames_number", "frame_count", "video_length"),
    "fps": ("fps", "frame_rate"),
    "seconds": ("seconds", "duration", "duration_seconds", "max_duration", "seconds_total"),
    "model": ("ckpt_name", "unet_name", "model_name", "base_ckpt_name", "model_path", "model", "checkpoint"),
}


TEXTS = ("prompt", "negative_prompt", "lyrics")
CHOICES = ("sampler", "scheduler", "aspect_ratio", "resolution", "size", "model")  # texts, but nobody's own words


# other names of a parameter -> its name
ALIASES: Mapping[str, str] = {
    "positive": "prompt",
    "positive_prompt": "prompt",
    "user_prompt": "prompt",
    "negative": "negative_prompt",
    "noise_seed": "seed",
    "cfg": "guidance",
    "cfg_scale": "guidance",
    "guidance_scale": "guidance",
    "sampler_name": "sampler",
    "scheduler_name": "scheduler",
    "denoising_strength": "denoise",
    "batch": "batch_size",
    "count": "batch_size",
    "frames": "length",
    "num_frames": "length",
    "frame_count": "length",
    "video_length": "length",
    "frame_rate": "fps",
    "duration": "seconds",
    "ckpt": "model",
    "ckpt_name": "model",
    "unet_name": "model",
    "checkpoint": "model",
}


# `%name%` is common text, so only these names count; "scale" is what SillyTavern calls guidance.
PLACEHOLDER_NAMES = {**ALIASES, **{name: name for name in (*PARAMETERS, "clip_skip", "vae")}, "scale": "guidance"}
PLACEHOLDER = re.compile(r"\{\{\s*([^\W\d]\w*)\s*\}\}|%%([^\W\d]\w*)%%|%([^\W\d]\w*)%")
NO_PLACEHOLDER = ("find", "search", "pattern", "regex_pattern", "old")  # they name what the graph itself replaces
PARAM_TITLE = re.compile(r"param\s*:\s*(.*\S)", re.IGNORECASE)
KIND_IN_TITLE = re.compile(  # "Int (Steps)", "Text String (Prompt)", "Frame Rate(int)"
    r"(?:int|float|number|text|string|multiline|value|\s)+\((?P<a>[^()]+)\)"
    r"|(?P<b>[^()]+)\((?:int|float|number|text|string)\)",
    re.IGNORECASE,
)


SHOWN_ONCE = re.compile(r"text_\d+")  # what a node showed last, in files of its page; the server does not read it
CONTEXT_INPUT = re.compile(r"base_ctx|ctx_\d+")  # rgthree's bundles of everything
VALUE_INPUTS = ("value", "text", "string", "int", "float", "number")  # of a node that only holds a value
MAIN_INPUTS = (*VALUE_INPUTS, "seed", "prompt", "tags")  # of a node that is about one thing


# What inputs are called that hold somebody's words.
PROMPT_INPUT = re.compile(
    r"(?!(system|structured|style|extra|texture)_)([a-z0-9]+_)?prompts?(_(text|positive|[gl]|[0-9]+))?"
    r"|(positive_|user_|main_)?(text|caption|tags|string)(_?([gl]|[0-9]+|positive))?"
    r"|positive|clip_[lg]|t5xxl|llama|bert|mt5xl|wildcard_text|populated_text|description"
)


NEGATIVE_INPUT = re.compile(r"(^|_)neg(ative)?(_|$)")
STRING_INPUT = re.compile(r"value|string_?[a-z0-9]?|text_?[a-z0-9]?|str|input|replace|content|[a-d]")
OTHER_STRING = re.compile(
    r"find|.*pattern.*|delimiter|separator|.*json.*|(.*_)?key|mode|system.*|.*file.*|.*path|option\d+|.*url"
    r"|(.*_)?model(_name)?|language|device"
)


OTHERS_WORDS = re.compile(r"system|template|instruction|rewrite|prefix|suffix|trigger|style", re.IGNORECASE)
USERS_WORDS = re.compile(r"\buser\b|\bdescri", re.IGNORECASE)
PROMPT_WORDS = re.compile(r"prompt|positive|negative", re.IGNORECASE)
SELECTORS = ("switch", "boolean", "condition", "select", "index", "Input", "input")  # say what a switch lets through
CONDITIONING_SOUGHT = ("positive", "negative", "embedded guidance")
SAMPLING = ("NOISE", "GUIDER", "SAMPLER", "SIGMAS")  # what a sampler in parts is made of


# What classes are called that do something to be known of. Class names are all that a graph tells of custom nodes.
ZEROED = re.compile(r"zero_?out", re.IGNORECASE)
REGIONAL = re.compile(r"conditioning.*(area|mask)|regional|gligen", re.IGNORECASE)
SETS_SIZE = re.compile(r"TotalPixels|LongerEdge|MaxDimension|KontextImageScale|Megapixels", re.IGNORECASE)
DETAILER = re.compile(r"detailer", re.IGNORECASE)
GENERATES = re.compile(r"generate", re.IGNORECASE)
SAVES = re.compile(r"save|export|VideoCombine|websocket|send", re.IGNORECASE)
SHOWS = re.compile(r"preview|show|display|view|compare", re.IGNORECASE)
SHOWS_TEXT = re.compile(r"(save|show|preview|display).*(text|string|any)", re.IGNORECASE)
PARTS = 24  # so many nodes at most make up one sampler
ASIDE = 3  # what a part of the picture counts less than the whole of it
STRANGE = 2  # what a link of unknown type counts less
Known = TypeVar("Known")


def once(method: Callable[[Any, str], Known]) -> Callable[[Any, str], Known]:
    """A method that works out its answer about a node only once; many paths of a graph lead over the same nodes."""

    def answer(self: Any, node_id: str) -> Known:
        known: dict[str, Known] = self.__dict__.setdefault(f"known {method.__name__}", {})
        if node_id not in known:
            known[node_id] = method(self, node_id)
        return known[node_id]

    return functools.wraps(method)(answer)


@functools.lru_cache(4096)
def words_in(name: str) -> str:
    """Whose words an input takes by its name: those of the "positive" or "negative" side, or "" for none."""
    last = name.rsplit(".", 1)[-1].lower()
    return "negative" if NEGATIVE_INPUT.search(last) else "positive" if PROMPT_INPUT.fullmatch(last) else ""


@dataclass(frozen=True, slots=True)
class Wire:
    """A link as its reader sees it."""

    name: str  # the input that it feeds
    node_id: str  # where it comes from
    slot: int
    types: tuple[str, ...]  # what it may carry
    is_strange: bool  # it may carry anything, for all that is known

    def carries(self, *types: str) -> bool:
        """Whether it carries one of these types, or one that only custom nodes know."""
        return self.is_strange or not set(types).isdisjoint(self.types)

    def fits(self, *types: str) -> bool:
        """Whether it surely carries one of these types."""
        return not set(types).isdisjoint(self.types)


@dataclass(frozen=True, slots=True)
class Step:
    """Where a search stands: at the output of a node, looking for something upstream."""

    node_id: str
    slot: int
    sought: str

    @classmethod
    def over(cls, wire: "Wire", sought: str) -> "Step":
        """The step over a link. Only conditioning comes in sides, so only there the output matters."""
        return cls(wire.node_id, wire.slot if sought in CONDITIONING_SOUGHT else 0, sought)


Finds = list[tuple[int, Target]]  # what a node offers a search, with how good it is
Onward = list[tuple[int, Step]]  # where a search goes on, with what that costs


class Flow:
    """A graph read against its links. Every search goes over a node and purpose once, however many ask."""

    def __init__(self, graph: Graph, definitions: Definitions) -> None:
        self.nodes = {node_id: node for node_id, node in graph.items() if isinstance(node, Mapping)}
        self._inputs = {node_id: node_inputs(node) for node_id, node in self.nodes.items()}
        self._definitions = {
            node_id: definitions.get(str(node.get("class_type"))) for node_id, node in self.nodes.items()
        }
        self._looked: dict[Step, tuple[Finds, Onward]] = {}
        self._settled: dict[Step, tuple[int, Target] | None] = {}

    # --- what stands in the graph ---

    def inputs(self, node_id: str) -> Mapping[str, Any]:
        """The inputs of a node; of one that is not there none."""
        return self._inputs.get(node_id, {})

    def class_type(self, node_id: str) -> str:
        """The class of a node."""
        return str(self.nodes[node_id].get("class_type"))

    def definition(self, node_id: str) -> NodeDefinition | None:
        """What the server says of a node's class, if it was asked."""
        return self._definitions[node_id]

    @once
    def _named_wires(self, node_id: str) -> dict[str, Wire]:
        named = {}
        let_through = self._let_through(node_id)
        for name, value in self.inputs(node_id).items():
            reads = let_through is None or name == let_through
            if reads and is_link(value) and self._is_there(value[0], value[1]):
                types = tuple(self._type(node_id, name, value[0], value[1]).split(","))
                named[name] = Wire(name, value[0], value[1], types, KNOWN_TYPES.isdisjoint(types))
        return named

    @once
    def wires(self, node_id: str) -> tuple[Wire, ...]:
        """The links that a node reads, without those that lead nowhere or that a switch holds back."""
        return tuple(self._named_wires(node_id).values())

    def wire(self, node_id: str, name: str) -> Wire | None:
        """The link that one input reads."""
        return self._named_wires(node_id).get(name)

    def _is_there(self, node_id: str, slot: int) -> bool:
        if node_id not in self.nodes:
            return False
        definition = self.definition(node_id)
        return slot >= 0 and (definition is None or not definition.outputs or slot < len(definition.outputs))

    def _type(self, node_id: str, name: str, source: str, slot: int) -> str:
        """What a link carries, as the definition of either end says, else as the input's name lets guess."""
        giver, taker = self.definition(source), self.definition(node_id)
        if giver and slot < len(giver.outputs) and giver.outputs[slot] not in ANY_TYPE:
            return giver.outputs[slot]
        spec = taker.spec(name, self.inputs(node_id)) if taker else None
        if spec and spec.type not in ANY_TYPE:
            return spec.type
        return "" if taker and spec else guessed_type(name)

    def holds(self, name: str, node_id: str, key: str) -> bool:
        """Whether an input holds a value that the parameter could have."""
        value = self.inputs(node_id).get(key)
        if name in TEXTS or name in CHOICES:
            return isinstance(value, str)
        return is_number(value) or (isinstance(value, str) and self._takes_number(node_id, key, value))

    def _takes_number(self, node_id: str, key: str, text: str) -> bool:
        """Whether a text stands where a number belongs: "7", or a mark that somebody's program puts one in for."""
        definition = self.definition(node_id)
        spec = definition.spec(key, self.inputs(node_id)) if definition else None
        return spec.type in ("INT", "FLOAT") if spec else key in SEED_INPUTS and text.strip().isdigit()

    def held(self, target: Target) -> Any:
        """What a widget holds."""
        return self.inputs(target.node_id).get(target.input)

    # --- searching upstream ---

    def best(self, wire: Wire | None, sought: str) -> Target | None:
        """The best find upstream of a link; of equals, the one that comes first."""
        if wire is None:
            return None
        start = Step.over(wire, sought)
        waiting = [start]
        while waiting:
            step = waiting[-1]
            if step not in self._looked:
                self._looked[step] = self._look(step)
                waiting += [after for _, after in self._looked[step][1] if after not in self._looked]
                continue
            waiting.pop()
            if step not in self._settled:
                finds, onward = self._looked[step]
                far = [(found[0] - cost, found[1]) for cost, after in onward if (found := self._settled.get(after))]
                self._settled[step] = max(finds + far, key=lambda found: found[0], default=None)
        found = self._settled[start]
        return found[1] if found else None

    def _look(self, step: Step) -> tuple[Finds, Onward]:
        """What a node offers a search and where it goes on."""
        kinds = {
            **dict.fromkeys(CONDITIONING_SOUGHT, self._look_for_encoder),
            "positive text": self._look_for_text,
            "negative text": self._look_for_text,
            "image width": self._look_for_image_size,
            "image height": self._look_for_image_size,
            "model": self._look_for_model,
            "latent": self._look_for_latent,
            "maker": self._look_for_maker,
            "earlier maker": self._look_for_maker,
        }
        return kinds.get(step.sought, self._look_for_value)(step)

    def _on(self, step: Step, wires: Sequence[Wire], *types: str, sought: str = "") -> Onward:
        """The steps over those links that carry one of the types; what surely carries them comes first."""
        sure = any(wire.fits(*types) for wire in wires)
        return [
            (STRANGE * (sure and not wire.fits(*types)), Step.over(wire, sought or step.sought))
            for wire in wires
            if not types or wire.carries(*types)
        ]

    @once
    def _let_through(self, node_id: str) -> str | None:
        """Of a switch whose position is known, the input that it lets through."""
        inputs = self.inputs(node_id)
        for selector in SELECTORS:
            position = self._constant(node_id, selector)
            if isinstance(position, bool):
                pattern = rf"((on|if|when)_?)?{position}(_value)?"
            elif isinstance(position, int):
                pattern = rf"[a-z]+_?0*{position}"
            else:
                continue
            return next((name for name in inputs if re.fullmatch(pattern, name, re.IGNORECASE)), None)
        return None

    def _constant(self, node_id: str, name: str) -> Any:
        """What an input holds, also over links from nodes that only hold a value."""
        value: Any = self.inputs(node_id).get(name)
        for _ in range(8):
            if not is_link(value) or value[0] not in self.nodes:
                break
            value = self.inputs(value[0]).get("value")
        return value

    def _look_for_encoder(self, step: Step) -> tuple[Finds, Onward]:
        """Follow conditioning to the node that turns the main text into it; what follows ConditioningZeroOut is none
        any more. A find names the encoder and the side of its texts."""
        node_id, class_type = step.node_id, self.class_type(step.node_id)
        if ZEROED.search(class_type):
            return [], []
        side = self._side(step)
        inputs = self.inputs(node_id)
        sought = step.sought if side == "positive" and step.sought != "negative" else side
        here: Finds = []
        if step.sought != "embedded guidance":
            here = [(0, Target(node_id, side))] if self.texts(node_id, side) else []
        elif "guidance" in inputs:
            return [(0, Target(node_id, "guidance"))], []
        if side in inputs:
            wire = self.wire(node_id, side)
            return here, self._on(step, [wire] if wire else [], sought=sought)
        if (
            side == "negative"
            and "GUIDER" in (self._output(step), "")
            and "conditioning" in inputs
            and "model" in inputs
        ):
            return here, []  # a guider without a negative side
        wires = [wire for wire in self.wires(node_id) if (words_in(wire.name) == "negative") == (side == "negative")]
        wires = wires or [wire for wire in self.wires(node_id) if words_in(wire.name) == ""]
        wires.sort(key=lambda wire: wire.name not in ("conditioning_to", "cond1"))
        onward = self._on(step, wires, "CONDITIONING", "GUIDER", sought=sought)
        if any(wire.fits("CONDITIONING") for wire in wires):
            here = [(score - ASIDE, found) for score, found in here]
            onward = [(cost, after) for cost, after in onward if cost < STRANGE]
        aside = ASIDE if REGIONAL.search(class_type) and "conditioning_to" not in inputs else 0
        return here, [(cost + aside, after) for cost, after in onward]

    def _output(self, step: Step) -> str:
        definition = self.definition(step.node_id)
        return definition.outputs[step.slot] if definition and step.slot < len(definition.outputs) else ""

    def _side(self, step: Step) -> str:
        """Which side of a node with two sides an output is."""
        side = "negative" if step.sought.startswith("negative") else "positive"
        names = self.inputs(step.node_id).keys()
        if not any(words_in(name) == "negative" for name in names):
            return side
        definition = self.definition(step.node_id)
        if definition and definition.outputs:
            ends = [slot for slot, kind in enumerate(definition.outputs) if kind == "CONDITIONING"]
        else:  # ControlNets and their like put the two sides first; what takes a model too does not
            both = self.wire(step.node_id, "positive") and self.wire(step.node_id, "negative")
            ends = [0, 1] if both and "model" not in names else []
        if len(ends) < 2 or step.slot not in ends[:2]:
            return side
        return "positive" if step.slot == ends[0] else "negative"

    def texts(self, node_id: str, side: str) -> list[str]:
        """The inputs that hold the words of one side."""
        positive: list[str] = []
        negative: list[str] = []
        for name in self.inputs(node_id):
            whose = words_in(name)
            if whose and self._takes_words(node_id, name):
                (negative if whose == "negative" else positive).append(name)
        numbered = [name for name in positive if name[-1].isdigit()]  # of a row of texts only the first
        positive = [name for name in positive if name not in numbered[1:]]
        return negative if side == "negative" and negative else positive if side == "positive" or not negative else []

    def _takes_words(self, node_id: str, name: str) -> bool:
        """Whether an input takes any text: no number, no choice, no conditioning."""
        definition, value = self.definition(node_id), self.inputs(node_id)[name]
        spec = definition.spec(name, self.inputs(node_id)) if definition else None
        if spec and spec.type not in ("STRING", *ANY_TYPE):
            return False
        if definition and not spec and SHOWN_ONCE.fullmatch(name):
            return False
        if isinstance(value, str):
            return True
        wire = self.wire(node_id, name)
        return wire is not None and wire.carries("STRING")

    def words(self, node_id: str, side: str) -> list[Target]:
        """The widgets where a person types the words of an encoder's side, also over links; the filled ones first."""
        found = []
        for name in self.texts(node_id, side):
            if isinstance(self.inputs(node_id)[name], str):
                found.append(Target(node_id, name))
            elif target := self.best(self.wire(node_id, name), f"{side} text"):
                found.append(target)
        return sorted(dict.fromkeys(found), key=lambda target: not self.held(target))

    def _look_for_text(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a text to the widget that a person would type it into: not the template around it, not the system
        prompt of a model that rewrites it."""
        node_id = step.node_id
        inputs = self.inputs(node_id)
        sided = self.texts(node_id, step.sought.removesuffix(" text"))
        wires = [
            wire
            for wire in self.wires(node_id)
            if wire.carries("STRING")
            and not OTHER_STRING.fullmatch(wire.name.rsplit(".", 1)[-1].lower())
            and words_in(wire.name) in ("", step.sought.removesuffix(" text"))
        ]
        let_through = self._let_through(node_id)
        own = [name for name in inputs if isinstance(inputs[name], str) and self._takes_words(node_id, name)]
        likely = [
            name
            for name in own
            if name in sided or name == let_through or STRING_INPUT.fullmatch(name.rsplit(".", 1)[-1].lower())
        ]
        if not likely and len(own) == 1 and not wires and not OTHER_STRING.fullmatch(own[0].lower()):
            likely = own
        title = given_title(self.nodes[node_id])
        wording = 2 * bool(USERS_WORDS.search(title)) + bool(PROMPT_WORDS.search(title))
        replaces = any("find" in name or "pattern" in name for name in inputs)
        wording -= ASIDE * (replaces or bool(OTHERS_WORDS.search(title))) + bool(wires)
        finds: Finds = [
            (wording - (2 if not inputs[name].strip() else 0), Target(node_id, name))
            for name in likely
            if let_through in (None, name)
        ]
        words = [wire for wire in wires if replaces and wire.name == "replace"]
        frames = [wire for wire in wires if wire not in words]
        around = ASIDE * replaces  # a text that something is put into is not what a person types
        onward = [(cost + around, after) for cost, after in self._on(step, frames, "STRING")]
        return finds, self._on(step, words, "STRING") + onward

    def _look_for_value(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a number or choice to the node that holds it. Arithmetic on the way ends the search."""
        node_id, name = step.node_id, step.sought
        inputs, wires = self.inputs(node_id), self.wires(node_id)
        if "expression" in inputs and name not in CHOICES:  # "a" alone only turns one kind of number into another
            same = len(wires) == 1 and inputs["expression"] == wires[0].name.rsplit(".", 1)[-1]
            return [], self._on(step, wires) if same else []
        for key in (*PARAMETERS[name], *(key for key in inputs if key.lower() in VALUE_INPUTS)):
            if self.holds(name, node_id, key):
                return [(0, Target(node_id, key))], []
            if wire := self.wire(node_id, key):
                return [], self._on(step, [wire])
        values = [wire for wire in wires if not OTHER_STRING.fullmatch(wire.name.lower())]
        if contexts := [wire for wire in wires if CONTEXT_INPUT.fullmatch(wire.name)]:
            return [], self._on(step, contexts)
        if self._let_through(node_id):
            return [], self._on(step, values, *VALUE_TYPES)
        if name in ("width", "height") and len(wires) == 1 and wires[0].carries("IMAGE", "LATENT"):
            return [], self._on(step, wires, sought=f"image {name}")
        only = next(iter(inputs)) if len(inputs) == 1 else ""
        if name not in CHOICES and self.holds(name, node_id, only):
            return [(0, Target(node_id, only))], []
        passes = len(wires) == 1 and not any(map(is_number, inputs.values()))
        return [], self._on(step, values, *VALUE_TYPES) if passes else []

    def _look_for_image_size(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a picture to the node that gives it its size."""
        node_id = step.node_id
        name = step.sought.removeprefix("image ")
        if pair := self.size_inputs(node_id):
            key = pair[name == "height"]
            if self.holds(name, node_id, key):
                return [(0, Target(node_id, key))], []
            wire = self.wire(node_id, key)
            return [], self._on(step, [wire] if wire else [], sought=name)
        if SETS_SIZE.search(self.class_type(node_id)) or self.is_maker(node_id):
            return [], []
        pictures = [wire for wire in self.wires(node_id) if wire.carries("IMAGE", "LATENT")]
        return [], self._on(step, pictures[:1], "IMAGE", "LATENT")

    def size_inputs(self, node_id: str) -> tuple[str, str] | None:
        """The inputs of a node's width and height, if it has both and neither is 0: "as it comes"."""
        inputs = self.inputs(node_id)
        for pair in zip(PARAMETERS["width"], PARAMETERS["height"], strict=True):
            if all(self.holds("width", node_id, key) or self.wire(node_id, key) for key in pair):
                return None if any(inputs.get(key) == 0 for key in pair) else pair
        return None

    def _look_for_model(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a model over LoRAs and patches to the node that loads it."""
        node_id = step.node_id
        wires = sorted(self.wires(node_id), key=lambda wire: wire.name != "model")
        if any(wire.fits("MODEL") for wire in wires):
            return [], self._on(step, [wire for wire in wires if wire.fits("MODEL")])
        for key in PARAMETERS["model"]:
            if isinstance(self.inputs(node_id).get(key), str):
                return [(0, Target(node_id, key))], []
        return [], self._on(step, wires, "MODEL")

    def _look_for_latent(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a latent to the node that makes it, empty or of a picture."""
        node_id = step.node_id
        if self.is_sampler(node_id):
            return [], []
        wires = [wire for wire in self.wires(node_id) if wire.fits("LATENT")]
        if wires:
            wires.sort(key=lambda wire: "audio" in wire.name)
            return [], [(cost + index, after) for index, (cost, after) in enumerate(self._on(step, wires))]
        inputs = self.inputs(node_id)
        if any(key in inputs for name in ("width", "length", "seconds", "batch_size") for key in PARAMETERS[name]):
            return [(1, Target(node_id, ""))], []
        if any(wire.fits("IMAGE", "AUDIO") for wire in self.wires(node_id)):
            return [(1, Target(node_id, ""))], []
        return [], self._on(step, self.wires(node_id), "LATENT")

    def _look_for_maker(self, step: Step) -> tuple[Finds, Onward]:
        """Follow what is made to the node that makes it: a sampler or a service."""
        node_id = step.node_id
        if self.is_maker(node_id):
            return [(0, Target(node_id, ""))], []
        wires = self.wires(node_id)
        if step.sought == "maker" and self.size_inputs(node_id) and any(wire.fits("VAE") for wire in wires):
            return [], []  # it begins a new latent, whatever picture it begins with
        media = [wire for wire in wires if wire.carries("LATENT", *MEDIA)]
        return [], self._on(step, media, "LATENT", *MEDIA)

    # --- what makes pictures, and what of it is set ---

    @once
    def is_sampler(self, node_id: str) -> bool:
        """Whether a node samples, by its inputs."""
        names = self.inputs(node_id).keys()
        if {"guider", "sigmas"} <= names:
            return True
        seeded = not names.isdisjoint(SEED_INPUTS)
        if {"positive", "negative"} <= names:
            return seeded or "steps" in names or "sigmas" in names
        definition = self.definition(node_id)
        samples = "latent_image" in names or (definition is not None and "LATENT" in definition.outputs)
        usual = not names.isdisjoint(("cfg", "sampler_name", "scheduler", "denoise"))
        return seeded and "steps" in names and (usual or samples)

    @once
    def is_service(self, node_id: str) -> bool:
        """Whether a node makes something of a prompt or seed all by itself."""
        if self.is_sampler(node_id):
            return False
        names = self.inputs(node_id)
        definition = self.definition(node_id)
        if definition and definition.outputs:
            if not any(kind.startswith((*MEDIA, "STRING", "FILE_3D")) for kind in definition.outputs):
                return False
        elif "clip" in names and not GENERATES.search(self.class_type(node_id)):
            return False  # an encoder
        asked = any("prompt" in name for name in self.texts(node_id, "positive"))
        seeded = any(key.lower() == "seed" and self.holds("seed", node_id, key) for key in names)
        return asked or (seeded and len(names) > 1)

    @once
    def is_maker(self, node_id: str) -> bool:
        """Whether a node makes what the workflow is for."""
        return self.is_sampler(node_id) or self.is_service(node_id)

    @once
    def parts(self, node_id: str) -> list[str]:
        """A sampler and the nodes that hold its noise, guider, sampler and sigmas, nearest first."""
        found = [node_id]
        for part in found:
            for wire in self.wires(part):
                if wire.fits(*SAMPLING) and wire.node_id not in found and len(found) < PARTS:
                    found.append(wire.node_id)
        return found

    def target(self, name: str, *node_ids: str) -> Target | None:
        """The widget of a parameter in the first of these nodes that has it, also over links."""
        for node_id in node_ids:
            for key in PARAMETERS[name]:
                if self.holds(name, node_id, key):
                    return Target(node_id, key)
                wire = self.wire(node_id, key)
                if wire and not wire.fits(*SAMPLING) and (found := self.best(wire, name)):
                    return replace(found, reader=Target(node_id, key))
        return None
