"""Follow links upstream to the widget that holds a prompt, a seed, a size or a model.

Parameters are found, not mapped by hand. In this graph the sampler reads its seed from node "4" and its prompt from
node "6"; what a person would change are the widgets `value` and `text` there:

    {"3": {"class_type": "KSampler", "inputs": {"seed": ["4", 0], "positive": ["6", 0], "steps": 20, ...}},
     "4": {"class_type": "PrimitiveInt", "inputs": {"value": 7}},
     "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["1", 1]}}, ...}

`PARAMETERS` lists what inputs are called that hold a parameter. A `Flow` is a graph read against its links (see
graph/links). `Flow.target("seed", "3")` answers `Target("4", "value")`,
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
from .definitions import SEED_INPUTS
from .link_types import ANY_TYPE, MEDIA, VALUE_TYPES
from .links import TypedLink, Wiring
from .nodes import Target, given_title, is_link

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
    def over(cls, link: "TypedLink", sought: str) -> "Step":
        """The step over a link. Its output only matters for conditioning, since there it tells the side."""
        return cls(link.source, link.slot if sought in CONDITIONING_SOUGHT else 0, sought)


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


class Flow(Wiring):
    """The links of a graph, and searches against their direction.

    What one search learned about a `Step` is kept for all later ones.
    """

    @functools.cached_property
    def _looked(self) -> dict[Step, tuple[Finds, Onward]]:
        """What the node of each step offers, and where the search goes on."""
        return {}

    @functools.cached_property
    def _settled(self) -> dict[Step, tuple[int, Target] | None]:
        """The best find of each step."""
        return {}

    # What stands in the inputs of nodes, and whether it could be a parameter's value.

    def value(self, target: Target) -> Any:
        """The value that a widget holds, or None for one that is not there."""
        return self.inputs(target.node_id).get(target.input)

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

    # The links that count.

    @once
    def links(self, node_id: str) -> tuple[TypedLink, ...]:
        """The links that a node reads, without those that lead nowhere or that a switch does not let through."""
        return tuple(self._links_by_input(node_id).values())

    def link(self, node_id: str, name: str) -> TypedLink | None:
        """The link that one input reads, or None when it reads none."""
        return self._links_by_input(node_id).get(name)

    @once
    def _links_by_input(self, node_id: str) -> dict[str, TypedLink]:
        """The links that a node reads, by the inputs that they feed."""
        let_through = self._let_through(node_id)
        return {
            link.input: link
            for link in self.into.get(node_id, ())
            if let_through in (None, link.input) and self._has_output(link.source, link.slot)
        }

    def _has_output(self, node_id: str, slot: int) -> bool:
        """Whether a node has an output of that number, as far as is known."""
        definition = self.definition(node_id)
        return slot >= 0 and (definition is None or not definition.outputs or slot < len(definition.outputs))

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
            for link in self.links(part):
                if link.surely_carries(*SAMPLING) and link.source not in found and len(found) < PARTS:
                    found.append(link.source)
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
        link = self.link(node_id, name)
        return link is not None and link.may_carry("STRING")

    def size_inputs(self, node_id: str) -> tuple[str, str] | None:
        """The names of a node's inputs for width and height, or None when it has not both, or one of them is 0, by
        which such nodes mean "as it comes"."""
        inputs = self.inputs(node_id)
        for pair in zip(PARAMETERS["width"], PARAMETERS["height"], strict=True):
            if all(self.holds("width", node_id, key) or self.link(node_id, key) for key in pair):
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
                link = self.link(node_id, key)
                if link and not link.surely_carries(*SAMPLING) and (found := self.best(link, name)):
                    return replace(found, reader=Target(node_id, key))
        return None

    def words(self, node_id: str, side: str) -> list[Target]:
        """The widgets that a person types the words of a node's side into, also over links; those that are not empty
        come first."""
        found = []
        for name in self.texts(node_id, side):
            if isinstance(self.inputs(node_id)[name], str):
                found.append(Target(node_id, name))
            elif target := self.best(self.link(node_id, name), f"{side} text"):
                found.append(target)
        return sorted(dict.fromkeys(found), key=lambda target: not self.value(target))

    def best(self, link: TypedLink | None, sought: str) -> Target | None:
        """The best find upstream of a link, or None; of equal ones, the first.

        The steps wait on a stack of its own instead of Python's, as a graph may be thousands of links deep. Each is
        first looked at, then, after all that it leads to, settled. A way that runs in a circle adds nothing.
        """
        if link is None:
            return None
        start = Step.over(link, sought)
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

    def _on(self, step: Step, links: Sequence[TypedLink], *types: str, sought: str = "") -> Onward:
        """The steps over those links that carry one of the types, or any link when no types are given. Where one surely
        carries them, the strange ones cost `UNKNOWN_TYPE_PENALTY`. `sought` is what to look for from there, if it
        changes."""
        sure = any(link.surely_carries(*types) for link in links)
        return [
            (UNKNOWN_TYPE_PENALTY * (sure and not link.surely_carries(*types)), Step.over(link, sought or step.sought))
            for link in links
            if not types or link.may_carry(*types)
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
            link = self.link(node_id, side)
            return here, self._on(step, [link] if link else [], sought=sought)
        if (
            side == "negative"
            and "GUIDER" in (self._output(step), "")
            and "conditioning" in inputs
            and "model" in inputs
        ):
            return here, []  # a guider without a negative side
        links = [link for link in self.links(node_id) if (words_in(link.input) == "negative") == (side == "negative")]
        links = links or [link for link in self.links(node_id) if words_in(link.input) == ""]
        links.sort(key=lambda link: link.input not in ("conditioning_to", "cond1"))
        onward = self._on(step, links, "CONDITIONING", "GUIDER", sought=sought)
        if any(link.surely_carries("CONDITIONING") for link in links):
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
            both = self.link(step.node_id, "positive") and self.link(step.node_id, "negative")
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
        links = [
            link
            for link in self.links(node_id)
            if link.may_carry("STRING")
            and not OTHER_STRING.fullmatch(link.input.rsplit(".", 1)[-1].lower())
            and words_in(link.input) in ("", step.sought.removesuffix(" text"))
        ]
        let_through = self._let_through(node_id)
        own = [name for name in inputs if isinstance(inputs[name], str) and self._takes_words(node_id, name)]
        likely = [
            name
            for name in own
            if name in sided or name == let_through or STRING_INPUT.fullmatch(name.rsplit(".", 1)[-1].lower())
        ]
        if not likely and len(own) == 1 and not links and not OTHER_STRING.fullmatch(own[0].lower()):
            likely = own
        title = given_title(self.nodes[node_id])
        wording = 2 * bool(USERS_WORDS.search(title)) + bool(PROMPT_WORDS.search(title))
        replaces = any("find" in name or "pattern" in name for name in inputs)
        wording -= BESIDE_PENALTY * (replaces or bool(OTHERS_WORDS.search(title))) + bool(links)
        finds: Finds = [
            (wording - (2 if not inputs[name].strip() else 0), Target(node_id, name))
            for name in likely
            if let_through in (None, name)
        ]
        words = [link for link in links if replaces and link.input == "replace"]
        frames = [link for link in links if link not in words]
        around = BESIDE_PENALTY * replaces  # a text that something is put into is not what a person types
        onward = [(cost + around, after) for cost, after in self._on(step, frames, "STRING")]
        return finds, self._on(step, words, "STRING") + onward

    def _look_for_value(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a number or a choice to the widget that holds it. Arithmetic on the way ends the search, since the
        result is not what the widget holds."""
        node_id, name = step.node_id, step.sought
        inputs, links = self.inputs(node_id), self.links(node_id)
        if "expression" in inputs and name not in CHOICES:  # "a" alone only turns one kind of number into another
            same = len(links) == 1 and inputs["expression"] == links[0].input.rsplit(".", 1)[-1]
            return [], self._on(step, links) if same else []
        for key in (*PARAMETERS[name], *(key for key in inputs if key.lower() in VALUE_INPUTS)):
            if self.holds(name, node_id, key):
                return [(0, Target(node_id, key))], []
            if link := self.link(node_id, key):
                return [], self._on(step, [link])
        values = [link for link in links if not OTHER_STRING.fullmatch(link.input.lower())]
        if contexts := [link for link in links if CONTEXT_INPUT.fullmatch(link.input)]:
            return [], self._on(step, contexts)
        if self._let_through(node_id):
            return [], self._on(step, values, *VALUE_TYPES)
        if name in ("width", "height") and len(links) == 1 and links[0].may_carry("IMAGE", "LATENT"):
            return [], self._on(step, links, sought=f"image {name}")
        only = next(iter(inputs)) if len(inputs) == 1 else ""
        if name not in CHOICES and self.holds(name, node_id, only):
            return [(0, Target(node_id, only))], []
        passes = len(links) == 1 and not any(map(is_number, inputs.values()))
        return [], self._on(step, values, *VALUE_TYPES) if passes else []

    def _look_for_image_size(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a picture to the number that it gets its width or height by."""
        node_id = step.node_id
        name = step.sought.removeprefix("image ")
        if pair := self.size_inputs(node_id):
            key = pair[name == "height"]
            if self.holds(name, node_id, key):
                return [(0, Target(node_id, key))], []
            link = self.link(node_id, key)
            return [], self._on(step, [link] if link else [], sought=name)
        if SETS_SIZE.search(self.class_type(node_id)) or self.is_maker(node_id):
            return [], []
        pictures = [link for link in self.links(node_id) if link.may_carry("IMAGE", "LATENT")]
        return [], self._on(step, pictures[:1], "IMAGE", "LATENT")

    def _look_for_model(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a model over LoRAs and patches to the widget that names its file."""
        node_id = step.node_id
        links = sorted(self.links(node_id), key=lambda link: link.input != "model")
        if any(link.surely_carries("MODEL") for link in links):
            return [], self._on(step, [link for link in links if link.surely_carries("MODEL")])
        for key in PARAMETERS["model"]:
            if isinstance(self.inputs(node_id).get(key), str):
                return [(0, Target(node_id, key))], []
        return [], self._on(step, links, "MODEL")

    def _look_for_latent(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a latent to the node that makes it, empty or from a picture or sound."""
        node_id = step.node_id
        if self.is_sampler(node_id):
            return [], []
        links = [link for link in self.links(node_id) if link.surely_carries("LATENT")]
        if links:
            links.sort(key=lambda link: "audio" in link.input)
            return [], [(cost + index, after) for index, (cost, after) in enumerate(self._on(step, links))]
        inputs = self.inputs(node_id)
        if any(key in inputs for name in ("width", "length", "seconds", "batch_size") for key in PARAMETERS[name]):
            return [(1, Target(node_id, ""))], []
        if any(link.surely_carries("IMAGE", "AUDIO") for link in self.links(node_id)):
            return [(1, Target(node_id, ""))], []
        return [], self._on(step, self.links(node_id), "LATENT")

    def _look_for_maker(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a picture, film or sound to the sampler or service that makes it."""
        node_id = step.node_id
        if self.is_maker(node_id):
            return [(0, Target(node_id, ""))], []
        links = self.links(node_id)
        if step.sought == "maker" and self.size_inputs(node_id) and any(link.surely_carries("VAE") for link in links):
            return [], []  # it begins a new latent, whatever picture it begins with
        media = [link for link in links if link.may_carry("LATENT", *MEDIA)]
        return [], self._on(step, media, "LATENT", *MEDIA)


@functools.lru_cache(4096)
def words_in(name: str) -> str:
    """The side whose words an input takes, told by its name: "positive", "negative", or "" when it takes none."""
    last = name.rsplit(".", 1)[-1].lower()
    return "negative" if NEGATIVE_INPUT.search(last) else "positive" if PROMPT_INPUT.fullmatch(last) else ""
