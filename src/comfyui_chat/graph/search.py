"""Follow links upstream to the widget that holds a prompt, a seed, a size or a model.

Parameters are found, not mapped by hand. In this graph the sampler reads its seed from node "4" and its prompt from
node "6"; what a person would change are the widgets `value` and `text` there:

    {"3": {"class_type": "KSampler", "inputs": {"seed": ["4", 0], "positive": ["6", 0], "steps": 20, ...}},
     "4": {"class_type": "PrimitiveInt", "inputs": {"value": 7}},
     "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["1", 1]}}, ...}

`PARAMETERS` lists what inputs are called that hold a parameter. A `Flow` is a graph read against its links: each
link becomes a `Wire`, with the types that it may carry. `Flow.target("seed", "3")` answers `Target("4", "value")`,
and `Flow.words` finds the widgets of a prompt. Both rest on `Flow.best`, which walks upstream in `Step`s. For each
thing that can be sought, a `_look_for_...` method says what a node offers (`Finds`) and where the search goes on
(`Onward`). Finds have scores, ways have costs, and the best balance wins. All searches share what they learned about
a node, so that dense graphs are read in linear time.

Types come from the server's node definitions. Where there are none, the names of inputs and classes have to do, and so
this module begins with patterns for the names in ComfyUI's own and in common custom nodes.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ..values import is_number
from .definitions import SEED_INPUTS, Definitions, NodeDefinition
from .link_types import ANY_TYPE, KNOWN_TYPES, MEDIA, VALUE_TYPES, guessed_type
from .nodes import Graph, Target, given_title, is_link, node_inputs

# For each parameter the names of the inputs that hold it, likeliest first.
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

# Parameters that hold somebody's words, and those that hold a text but one out of a list.
TEXTS = ("prompt", "negative_prompt", "lyrics")
CHOICES = ("sampler", "scheduler", "aspect_ratio", "resolution", "size", "model")

# Other names of parameters, as people and nodes write them, and the parameter that each means.
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


# What inputs are called that hold somebody's words, and those of the negative side.
PROMPT_INPUT = re.compile(
    r"(?!(system|structured|style|extra|texture)_)([a-z0-9]+_)?prompts?(_(text|positive|[gl]|[0-9]+))?"
    r"|(positive_|user_|main_)?(text|caption|tags|string)(_?([gl]|[0-9]+|positive))?"
    r"|positive|clip_[lg]|t5xxl|llama|bert|mt5xl|wildcard_text|populated_text|description"
)
NEGATIVE_INPUT = re.compile(r"(^|_)neg(ative)?(_|$)")

# Other inputs that hold texts: those that may be part of a prompt, and those that never are.
STRING_INPUT = re.compile(r"value|string_?[a-z0-9]?|text_?[a-z0-9]?|str|input|replace|content|[a-d]")
OTHER_STRING = re.compile(
    r"find|.*pattern.*|delimiter|separator|.*json.*|(.*_)?key|mode|system.*|.*file.*|.*path|option\d+|.*url"
    r"|(.*_)?model(_name)?|language|device"
)
SHOWN_ONCE = re.compile(r"text_\d+")  # what a node showed last, kept in files; the server does not read it

# Words in a node's title that tell whose text the node holds.
OTHERS_WORDS = re.compile(r"system|template|instruction|rewrite|prefix|suffix|trigger|style", re.IGNORECASE)
USERS_WORDS = re.compile(r"\buser\b|\bdescri", re.IGNORECASE)
PROMPT_WORDS = re.compile(r"prompt|positive|negative", re.IGNORECASE)

# Inputs and types that stand out on the way upstream.
VALUE_INPUTS = ("value", "text", "string", "int", "float", "number")  # of a node that only holds a value
CONTEXT_INPUT = re.compile(r"base_ctx|ctx_\d+")  # rgthree's contexts, which carry everything at once
SELECTORS = ("switch", "boolean", "condition", "select", "index", "Input", "input")  # a switch's position
SAMPLING = ("NOISE", "GUIDER", "SAMPLER", "SIGMAS")  # types that SamplerCustomAdvanced and its like are fed with
CONDITIONING_SOUGHT = ("positive", "negative", "embedded guidance")

# Parts of class names by which nodes are told. Of a custom node its class name is often all that a graph tells.
ZEROED = re.compile(r"zero_?out", re.IGNORECASE)
REGIONAL = re.compile(r"conditioning.*(area|mask)|regional|gligen", re.IGNORECASE)
SETS_SIZE = re.compile(r"TotalPixels|LongerEdge|MaxDimension|KontextImageScale|Megapixels", re.IGNORECASE)
GENERATES = re.compile(r"generate", re.IGNORECASE)

# Bounds, and what is taken off a find's score.
PARTS = 24  # the most nodes that make up one sampler, or makers in a row
BESIDE_PENALTY = (
    3  # for what stands beside the main thing: the text for a part of the picture, a template around a text
)
UNKNOWN_TYPE_PENALTY = 2  # for a link of unknown type, where another surely carries what is sought


@dataclass(frozen=True, slots=True)
class Wire:
    """A link that a node reads, seen at the end where it is read."""

    name: str  # of the input that it feeds
    node_id: str  # of the node that it comes from,
    slot: int  # and which of its outputs
    types: tuple[str, ...]  # what it may carry: ("IMAGE",), or ("",) when nothing tells
    is_strange: bool  # none of these types is one of ComfyUI's common ones, so it may carry anything

    def carries(self, *types: str) -> bool:
        """Whether it carries one of these types, or may do so since it is strange."""
        return self.is_strange or not set(types).isdisjoint(self.types)

    def fits(self, *types: str) -> bool:
        """Whether it surely carries one of these types."""
        return not set(types).isdisjoint(self.types)


@dataclass(frozen=True, slots=True)
class Step:
    """Where a search stands: at an output of a node, looking for something there or upstream.

    `sought` is one of

    - a name in `PARAMETERS`: the widget that holds its value;
    - "positive", "negative": the encoder of the main text of that side, as `Target(encoder, side)`;
    - "embedded guidance": the guidance that a distilled model takes with its text (FluxGuidance);
    - "positive text", "negative text": the widget that a person types the text into;
    - "image width", "image height": the number that a picture gets its size by;
    - "latent": the node that makes the latent, as `Target(node_id, "")`;
    - "maker", "earlier maker": the sampler or service that makes what comes over the link, as `Target(node_id, "")`.
      An "earlier maker" is also looked for behind a node that begins a new latent with the picture it is given.
    """

    node_id: str
    slot: int
    sought: str

    @classmethod
    def over(cls, wire: "Wire", sought: str) -> "Step":
        """The step over a link. Its output only matters for conditioning, since there it tells the side."""
        return cls(wire.node_id, wire.slot if sought in CONDITIONING_SOUGHT else 0, sought)


Finds = list[tuple[int, Target]]  # what a node offers a search, each with its score: higher is better
Onward = list[tuple[int, Step]]  # where the search goes on, each with the cost, which is taken off the scores there

Known = TypeVar("Known")


def once(method: Callable[[Any, str], Known]) -> Callable[[Any, str], Known]:
    """Decorate a method so that it works out its answer about a node only once for each object: many paths of a graph
    lead over the same nodes."""

    def answer(self: Any, node_id: str) -> Known:
        known: dict[str, Known] = self.__dict__.setdefault(f"known {method.__name__}", {})
        if node_id not in known:
            known[node_id] = method(self, node_id)
        return known[node_id]

    return functools.wraps(method)(answer)


class Flow:
    """A graph that can be read against the direction of its links.

    What one search learned about a `Step` is kept for all later ones. Nodes without the shape of a node are left out.
    """

    def __init__(self, graph: Graph, definitions: Definitions) -> None:
        self.nodes = {node_id: node for node_id, node in graph.items() if isinstance(node, Mapping)}
        self._inputs = {node_id: node_inputs(node) for node_id, node in self.nodes.items()}
        self._definitions = {
            node_id: definitions.get(str(node.get("class_type"))) for node_id, node in self.nodes.items()
        }
        self._looked: dict[Step, tuple[Finds, Onward]] = {}
        self._settled: dict[Step, tuple[int, Target] | None] = {}

    # The nodes themselves: what stands in their inputs, and whether it could be a parameter's value.

    def inputs(self, node_id: str) -> Mapping[str, Any]:
        """The inputs of a node, by name; none for a node that is not there."""
        return self._inputs.get(node_id, {})

    def held(self, target: Target) -> Any:
        """The value that a widget holds, or None for one that is not there."""
        return self.inputs(target.node_id).get(target.input)

    def class_type(self, node_id: str) -> str:
        """The class of a node."""
        return str(self.nodes[node_id].get("class_type"))

    def definition(self, node_id: str) -> NodeDefinition | None:
        """What the server says of a node's class, or None when it does not know it or was not asked."""
        return self._definitions[node_id]

    def holds(self, name: str, node_id: str, key: str) -> bool:
        """Whether an input holds a value, not a link, of the kind that the parameter `name` has."""
        value = self.inputs(node_id).get(key)
        if name in TEXTS or name in CHOICES:
            return isinstance(value, str)
        return is_number(value) or (isinstance(value, str) and self._takes_number(node_id, key, value))

    def _takes_number(self, node_id: str, key: str, text: str) -> bool:
        """Whether a text stands where a number belongs: "7", or a placeholder such as "%seed%"."""
        definition = self.definition(node_id)
        spec = definition.spec(key, self.inputs(node_id)) if definition else None
        return spec.type in ("INT", "FLOAT") if spec else key in SEED_INPUTS and text.strip().isdigit()

    # The links between them.

    @once
    def wires(self, node_id: str) -> tuple[Wire, ...]:
        """The links that a node reads, without those that lead nowhere or that a switch does not let through."""
        return tuple(self._named_wires(node_id).values())

    def wire(self, node_id: str, name: str) -> Wire | None:
        """The link that one input reads, or None when it reads none."""
        return self._named_wires(node_id).get(name)

    @once
    def _named_wires(self, node_id: str) -> dict[str, Wire]:
        """The links that a node reads, by the inputs that they feed."""
        named = {}
        let_through = self._let_through(node_id)
        for name, value in self.inputs(node_id).items():
            reads = let_through is None or name == let_through
            if reads and is_link(value) and self._is_there(value[0], value[1]):
                types = tuple(self._type(node_id, name, value[0], value[1]).split(","))
                named[name] = Wire(name, value[0], value[1], types, KNOWN_TYPES.isdisjoint(types))
        return named

    def _is_there(self, node_id: str, slot: int) -> bool:
        """Whether there is such an output, as far as is known."""
        if node_id not in self.nodes:
            return False
        definition = self.definition(node_id)
        return slot >= 0 and (definition is None or not definition.outputs or slot < len(definition.outputs))

    def _type(self, node_id: str, name: str, source: str, slot: int) -> str:
        """The type of a link: as the definition of either end says, else as the input's name suggests, else ""; several
        types stand in one text with commas between them."""
        giver, taker = self.definition(source), self.definition(node_id)
        if giver and slot < len(giver.outputs) and giver.outputs[slot] not in ANY_TYPE:
            return giver.outputs[slot]
        spec = taker.spec(name, self.inputs(node_id)) if taker else None
        if spec and spec.type not in ANY_TYPE:
            return spec.type
        return "" if taker and spec else guessed_type(name)

    @once
    def _let_through(self, node_id: str) -> str | None:
        """The input that a switch lets through, or None for a node that is not a switch or whose position is unknown.

        With the position true it is "on_true" or "true", say, with the position 2 "input2", "image_2" or the like.
        """
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
        """What an input holds, looked up over at most 8 links to nodes that hold it as their `value`."""
        value: Any = self.inputs(node_id).get(name)
        for _ in range(8):
            if not is_link(value) or value[0] not in self.nodes:
                break
            value = self.inputs(value[0]).get("value")
        return value

    # What a node is in its graph, as far as its inputs and outputs tell.

    @once
    def is_maker(self, node_id: str) -> bool:
        """Whether a node makes what the workflow is for: it samples, or it is a service."""
        return self.is_sampler(node_id) or self.is_service(node_id)

    @once
    def is_sampler(self, node_id: str) -> bool:
        """Whether a node samples with a diffusion model, told by its inputs."""
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
        """Whether a node makes a picture, a video, sound or a text all by itself, from a prompt or a seed: a node that
        calls somebody's service, or a language model."""
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
    def parts(self, node_id: str) -> list[str]:
        """A sampler and the nodes that give it noise, guider, sampler and sigmas, nearest first; `PARTS` at most."""
        found = [node_id]
        for part in found:
            for wire in self.wires(part):
                if wire.fits(*SAMPLING) and wire.node_id not in found and len(found) < PARTS:
                    found.append(wire.node_id)
        return found

    def texts(self, node_id: str, side: str) -> list[str]:
        """The inputs of a node that take the words of a side, "positive" or "negative". A node that has none for
        the negative side names those of the positive one."""
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
        """Whether an input takes free text and not a number, a choice or conditioning."""
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

    def size_inputs(self, node_id: str) -> tuple[str, str] | None:
        """The names of a node's inputs for width and height, or None when it has not both, or one of them is 0, by
        which such nodes mean "as it comes"."""
        inputs = self.inputs(node_id)
        for pair in zip(PARAMETERS["width"], PARAMETERS["height"], strict=True):
            if all(self.holds("width", node_id, key) or self.wire(node_id, key) for key in pair):
                return None if any(inputs.get(key) == 0 for key in pair) else pair
        return None

    # The three questions that a flow answers: which widget holds a parameter of these nodes, which widgets hold the
    # words of an encoder, and, for both, what is the best find upstream of a link.

    def target(self, name: str, *node_ids: str) -> Target | None:
        """The widget that holds a parameter of the first of these nodes that has it, or None. Of one that is found over
        a link, `reader` is the input of the node itself, whose range counts."""
        for node_id in node_ids:
            for key in PARAMETERS[name]:
                if self.holds(name, node_id, key):
                    return Target(node_id, key)
                wire = self.wire(node_id, key)
                if wire and not wire.fits(*SAMPLING) and (found := self.best(wire, name)):
                    return replace(found, reader=Target(node_id, key))
        return None

    def words(self, node_id: str, side: str) -> list[Target]:
        """The widgets that a person types the words of a node's side into, also over links; those that are not empty
        come first."""
        found = []
        for name in self.texts(node_id, side):
            if isinstance(self.inputs(node_id)[name], str):
                found.append(Target(node_id, name))
            elif target := self.best(self.wire(node_id, name), f"{side} text"):
                found.append(target)
        return sorted(dict.fromkeys(found), key=lambda target: not self.held(target))

    def best(self, wire: Wire | None, sought: str) -> Target | None:
        """The best find upstream of a link, or None; of equal ones, the first.

        The steps wait on a stack of its own instead of Python's, as a graph may be thousands of links deep. Each is
        first looked at, then, after all that it leads to, settled. A way that runs in a circle adds nothing.
        """
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
        """What the node of a step offers, and where the search goes on, by the rule for what is sought."""
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
        """The steps over those links that carry one of the types, or any link when no types are given. Where one surely
        carries them, the strange ones cost `UNKNOWN_TYPE_PENALTY`. `sought` is what to look for from there, if it
        changes."""
        sure = any(wire.fits(*types) for wire in wires)
        return [
            (UNKNOWN_TYPE_PENALTY * (sure and not wire.fits(*types)), Step.over(wire, sought or step.sought))
            for wire in wires
            if not types or wire.carries(*types)
        ]

    # One rule for each thing that can be sought: what the node of a step offers, and over which of its links the search
    # goes on.

    def _look_for_encoder(self, step: Step) -> tuple[Finds, Onward]:
        """Follow conditioning to the node that turns the main text into it, or gives it a guidance. What comes out of
        ConditioningZeroOut is no text any more. A find names the encoder and the side of its texts."""
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
            here = [(score - BESIDE_PENALTY, found) for score, found in here]
            onward = [(cost, after) for cost, after in onward if cost < UNKNOWN_TYPE_PENALTY]
        aside = BESIDE_PENALTY if REGIONAL.search(class_type) and "conditioning_to" not in inputs else 0
        return here, [(cost + aside, after) for cost, after in onward]

    def _side(self, step: Step) -> str:
        """The side that a step looks for inside its node: that of the output, where the node has two sides."""
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

    def _output(self, step: Step) -> str:
        """The type of the output that a step stands at, or "" when nothing tells."""
        definition = self.definition(step.node_id)
        return definition.outputs[step.slot] if definition and step.slot < len(definition.outputs) else ""

    def _look_for_text(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a text to the widget that a person would type it into: neither the template around it nor the system
        prompt of a language model that rewrites it."""
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
        wording -= BESIDE_PENALTY * (replaces or bool(OTHERS_WORDS.search(title))) + bool(wires)
        finds: Finds = [
            (wording - (2 if not inputs[name].strip() else 0), Target(node_id, name))
            for name in likely
            if let_through in (None, name)
        ]
        words = [wire for wire in wires if replaces and wire.name == "replace"]
        frames = [wire for wire in wires if wire not in words]
        around = BESIDE_PENALTY * replaces  # a text that something is put into is not what a person types
        onward = [(cost + around, after) for cost, after in self._on(step, frames, "STRING")]
        return finds, self._on(step, words, "STRING") + onward

    def _look_for_value(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a number or a choice to the widget that holds it. Arithmetic on the way ends the search, since the
        result is not what the widget holds."""
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
        """Follow a picture to the number that it gets its width or height by."""
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

    def _look_for_model(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a model over LoRAs and patches to the widget that names its file."""
        node_id = step.node_id
        wires = sorted(self.wires(node_id), key=lambda wire: wire.name != "model")
        if any(wire.fits("MODEL") for wire in wires):
            return [], self._on(step, [wire for wire in wires if wire.fits("MODEL")])
        for key in PARAMETERS["model"]:
            if isinstance(self.inputs(node_id).get(key), str):
                return [(0, Target(node_id, key))], []
        return [], self._on(step, wires, "MODEL")

    def _look_for_latent(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a latent to the node that makes it, empty or from a picture or sound."""
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
        """Follow a picture, film or sound to the sampler or service that makes it."""
        node_id = step.node_id
        if self.is_maker(node_id):
            return [(0, Target(node_id, ""))], []
        wires = self.wires(node_id)
        if step.sought == "maker" and self.size_inputs(node_id) and any(wire.fits("VAE") for wire in wires):
            return [], []  # it begins a new latent, whatever picture it begins with
        media = [wire for wire in wires if wire.carries("LATENT", *MEDIA)]
        return [], self._on(step, media, "LATENT", *MEDIA)


@functools.lru_cache(4096)
def words_in(name: str) -> str:
    """The side whose words an input takes, told by its name: "positive", "negative", or "" when it takes none."""
    last = name.rsplit(".", 1)[-1].lower()
    return "negative" if NEGATIVE_INPUT.search(last) else "positive" if PROMPT_INPUT.fullmatch(last) else ""
