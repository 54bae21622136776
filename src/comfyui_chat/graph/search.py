"""Follow links upstream to the widget that holds a prompt, a seed, a size or a model.

Parameters are found, not mapped by hand. In this graph the sampler reads its seed from node "4" and its prompt from
node "6"; what a person would change are the widgets `value` and `text` there:

    {"3": {"class_type": "KSampler", "inputs": {"seed": ["4", 0], "positive": ["6", 0], "steps": 20, ...}},
     "4": {"class_type": "PrimitiveInt", "inputs": {"value": 7}},
     "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["1", 1]}}, ...}

`PARAMETERS` lists what inputs are called that hold a parameter. A `Flow` is a graph read against its links (see
graph/links). `Flow.target("seed", "3")` answers `Target("4", "value")`, and `Flow.words` finds the widgets of a prompt.
Both rest on `Flow.best`, which walks upstream in `Step`s. For each thing that can be sought, a `_look_for_...` method
says what a node offers (`Finds`) and where the search goes on (`Onward`). Finds have scores, ways have costs, and the
best balance wins. All searches share what they learned about a node, so that dense graphs are read in linear time.

Types come from the server's node definitions. Where there are none, the names of inputs and classes have to do, and so
this module begins with patterns for the names in ComfyUI's own and in common custom nodes.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..values import is_number
from .definitions import SEED_INPUTS
from .link_types import ANY_TYPE, MEDIA, VALUE_TYPES
from .links import TypedLink, Wiring, once
from .nodes import Target, given_title

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
SAMPLING = ("NOISE", "GUIDER", "SAMPLER", "SIGMAS")  # types that SamplerCustomAdvanced and its like are fed with
CONDITIONING_SOUGHT = ("positive", "negative", "embedded guidance")

# Parts of class names by which nodes are told. Of a custom node its class name is often all that a graph tells.
ZEROED = re.compile(r"zero_?out", re.IGNORECASE)
REGIONAL = re.compile(r"conditioning.*(area|mask)|regional|gligen", re.IGNORECASE)
SETS_SIZE = re.compile(r"TotalPixels|LongerEdge|MaxDimension|KontextImageScale|Megapixels", re.IGNORECASE)
GENERATES = re.compile(r"generate", re.IGNORECASE)

# Bounds, and what is taken off a find's score.
PARTS = 24  # the most nodes that make up one sampler, or makers in a row
# For what stands beside the main thing: the text for a part of the picture, a template around a text.
BESIDE_PENALTY = 3
EMPTY_PENALTY = 2  # for an empty text
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
    def over(cls, link: TypedLink, sought: str) -> "Step":
        """The step over a link. Its output only matters for conditioning, since there it tells the side."""
        return cls(link.source, link.slot if sought in CONDITIONING_SOUGHT else 0, sought)


Find = tuple[int, Target]  # with its score: higher is better
Finds = list[Find]  # what a node offers a search
Onward = list[tuple[int, Step]]  # where the search goes on, each with the cost, which is taken off the scores there
Look = tuple[Finds, Onward]  # what a step comes to


def dearer(onward: Onward, cost: int) -> Onward:
    """The same steps, each at a higher cost."""
    return [(old + cost, step) for old, step in onward]


class Flow(Wiring):
    """The links of a graph, and searches against their direction.

    What one search learned about a `Step` is kept for all later ones.
    """

    @functools.cached_property
    def _looks(self) -> dict[Step, Look]:
        """What the node of each step offers, and where the search goes on."""
        return {}

    @functools.cached_property
    def _best_finds(self) -> dict[Step, Find | None]:
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
        if isinstance(value, str):
            return self._takes_number(node_id, key, value)
        return is_number(value)

    def _takes_number(self, node_id: str, key: str, text: str) -> bool:
        """Whether a text stands where a number belongs: "7", or a placeholder such as "%seed%"."""
        spec = self.spec(node_id, key)
        if spec:
            return spec.type in ("INT", "FLOAT")
        return key in SEED_INPUTS and text.strip().isdigit()

    # What a node is in its graph, as far as its inputs and outputs tell.

    @once
    def is_maker(self, node_id: str) -> bool:
        """Whether a node makes what the workflow is for: it samples, or it is a service."""
        return self.is_sampler(node_id) or self.is_service(node_id)

    @once
    def is_sampler(self, node_id: str) -> bool:
        """Whether a node samples and has the settings for it, or is given them: told by its inputs. It may be without a
        diffusion model of its own, unlike a node that `uses_diffusion_model`."""
        names = self.inputs(node_id).keys()
        if {"guider", "sigmas"} <= names:
            return True
        is_seeded = not names.isdisjoint(SEED_INPUTS)
        if {"positive", "negative"} <= names:
            return is_seeded or "steps" in names or "sigmas" in names
        if not is_seeded or "steps" not in names:
            return False
        if "latent_image" in names or not names.isdisjoint(("cfg", "sampler_name", "scheduler", "denoise")):
            return True
        definition = self.definition(node_id)
        return definition is not None and "LATENT" in definition.outputs

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
        if any("prompt" in name for name in self.texts(node_id, "positive")):
            return True
        seeds = [key for key in names if key.lower() == "seed" and self.holds("seed", node_id, key)]
        return bool(seeds) and len(names) > 1

    @once
    def parts(self, node_id: str) -> list[str]:
        """A sampler and the nodes that give it noise, guider, sampler and sigmas, nearest first; `PARTS` at most."""
        parts = [node_id]
        for part in parts:
            for link in self.links(part):
                if link.surely_carries(*SAMPLING) and link.source not in parts and len(parts) < PARTS:
                    parts.append(link.source)
        return parts

    def texts(self, node_id: str, side: str) -> list[str]:
        """The inputs of a node that take the words of a side, "positive" or "negative". A node that has none for
        the negative side names those of the positive one."""
        texts: dict[str, list[str]] = {"positive": [], "negative": []}
        for name in self.inputs(node_id):
            if words_in(name) and self._takes_words(node_id, name):
                texts[words_in(name)].append(name)
        if side == "negative" and texts["negative"]:
            return texts["negative"]
        numbered = [name for name in texts["positive"] if name[-1].isdigit()]  # of a row of texts only the first
        return [name for name in texts["positive"] if name not in numbered[1:]]

    def _takes_words(self, node_id: str, name: str) -> bool:
        """Whether an input takes free text and not a number, a choice or conditioning."""
        spec = self.spec(node_id, name)
        if spec and spec.type not in ("STRING", *ANY_TYPE):
            return False
        if spec is None and SHOWN_ONCE.fullmatch(name) and self.definition(node_id):
            return False
        if isinstance(self.inputs(node_id)[name], str):
            return True
        link = self.link(node_id, name)
        return link is not None and link.may_carry("STRING")

    def size_inputs(self, node_id: str) -> tuple[str, str] | None:
        """The names of a node's inputs for width and height, or None when it does not have both, or one of them is 0,
        by which such nodes mean "as it comes"."""
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
                if link is None or link.surely_carries(*SAMPLING):
                    continue
                widget = self.best(link, name)
                if widget:
                    return replace(widget, reader=Target(node_id, key))
        return None

    def words(self, node_id: str, side: str) -> list[Target]:
        """The widgets that a person types the words of a node's side into, also over links; those that are not empty
        come first."""
        widgets: dict[Target, None] = {}
        for name in self.texts(node_id, side):
            if isinstance(self.inputs(node_id)[name], str):
                widgets[Target(node_id, name)] = None
            elif target := self.best(self.link(node_id, name), f"{side} text"):
                widgets[target] = None
        return sorted(widgets, key=lambda target: not self.value(target))

    def best(self, link: TypedLink | None, sought: str) -> Target | None:
        """The best find upstream of a link, or None; of equal ones, the first.

        The steps wait on a stack of its own instead of Python's, as a graph may be thousands of links deep. Each is
        first looked at, then, after all that it leads to, given its best find. A way that runs in a circle adds
        nothing.
        """
        if link is None:
            return None
        start = Step.over(link, sought)
        waiting = [start]
        while waiting:
            step = waiting[-1]
            if step not in self._looks:
                self._looks[step] = self._look(step)
                _, onward = self._looks[step]
                waiting += [after for _, after in onward if after not in self._looks]
                continue
            waiting.pop()
            if step not in self._best_finds:
                self._best_finds[step] = self._best_find(step)
        best = self._best_finds[start]
        return best[1] if best else None

    def _best_find(self, step: Step) -> Find | None:
        """The best of what the node of a step offers and what was found where the search went on."""
        here, onward = self._looks[step]
        finds = list(here)
        for cost, after in onward:
            best = self._best_finds.get(after)
            if best:
                score, target = best
                finds.append((score - cost, target))
        return max(finds, key=lambda find: find[0], default=None)

    def _look(self, step: Step) -> Look:
        """What the node of a step offers, and where the search goes on, by the rule for what is sought."""
        rules = {
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
        rule = rules.get(step.sought, self._look_for_value)
        return rule(step)

    def _on(self, step: Step, links: Sequence[TypedLink], *types: str, sought: str = "") -> Onward:
        """The steps over those links that carry one of the types, or any link when no types are given. Where one surely
        carries them, the strange ones cost `UNKNOWN_TYPE_PENALTY`. `sought` is what to look for from there, if it
        changes."""
        is_sure = any(link.surely_carries(*types) for link in links)
        onward: Onward = []
        for link in links:
            if types and not link.may_carry(*types):
                continue
            is_doubtful = is_sure and not link.surely_carries(*types)
            cost = UNKNOWN_TYPE_PENALTY if is_doubtful else 0
            onward.append((cost, Step.over(link, sought or step.sought)))
        return onward

    # One rule for each thing that can be sought: what the node of a step offers, and over which of its links the search
    # goes on.

    def _look_for_encoder(self, step: Step) -> Look:
        """Follow conditioning to the node that turns the main text into it, or gives it a guidance. What comes out of
        ConditioningZeroOut is not a text any more. A find names the encoder and the side of its texts."""
        node_id = step.node_id
        inputs = self.inputs(node_id)
        if ZEROED.search(self.class_type(node_id)):
            return [], []
        if step.sought == "embedded guidance" and "guidance" in inputs:
            return [(0, Target(node_id, "guidance"))], []
        side = self._side(step)
        finds: Finds = []
        if step.sought != "embedded guidance" and self.texts(node_id, side):
            finds = [(0, Target(node_id, side))]
        sought = step.sought if side == "positive" and step.sought != "negative" else side
        if side in inputs:
            return finds, self._on(step, self._links_named(node_id, side), sought=sought)
        if side == "negative" and self._is_one_sided_guider(step):
            return finds, []
        links = self._conditioning_links(node_id, side)
        onward = self._on(step, links, "CONDITIONING", "GUIDER", sought=sought)
        if any(link.surely_carries("CONDITIONING") for link in links):
            finds = [(score - BESIDE_PENALTY, target) for score, target in finds]
            onward = [(cost, after) for cost, after in onward if cost < UNKNOWN_TYPE_PENALTY]
        if REGIONAL.search(self.class_type(node_id)) and "conditioning_to" not in inputs:
            onward = dearer(onward, BESIDE_PENALTY)
        return finds, onward

    def _links_named(self, node_id: str, *names: str) -> list[TypedLink]:
        """The links that inputs of these names read."""
        return [link for link in self.links(node_id) if link.input in names]

    def _conditioning_links(self, node_id: str, side: str) -> list[TypedLink]:
        """The links of a node that may carry the conditioning of a side, those of the main text first: those that are
        called so, else those whose names tell no side."""
        is_negative = side == "negative"
        links = [link for link in self.links(node_id) if (words_in(link.input) == "negative") == is_negative]
        if not links:
            links = [link for link in self.links(node_id) if words_in(link.input) == ""]
        return sorted(links, key=lambda link: link.input not in ("conditioning_to", "cond1"))

    def _is_one_sided_guider(self, step: Step) -> bool:
        """Whether a step stands at a guider without a negative side."""
        is_guider = self._output_type(step) in ("GUIDER", "")
        return is_guider and {"conditioning", "model"} <= self.inputs(step.node_id).keys()

    def _output_type(self, step: Step) -> str:
        """The type of the output that a step stands at, or "" when nothing tells."""
        definition = self.definition(step.node_id)
        return definition.outputs[step.slot] if definition and step.slot < len(definition.outputs) else ""

    def _side(self, step: Step) -> str:
        """The side that a step looks for inside its node: that of the output, where the node has two sides."""
        slots = self._side_slots(step.node_id)
        if step.slot in slots:
            return "positive" if step.slot == slots[0] else "negative"
        return "negative" if step.sought.startswith("negative") else "positive"

    def _side_slots(self, node_id: str) -> list[int]:
        """The outputs for the positive and the negative side, of a node that has two sides; else nothing."""
        names = self.inputs(node_id).keys()
        if not any(words_in(name) == "negative" for name in names):
            return []
        definition = self.definition(node_id)
        if definition and definition.outputs:
            slots = [slot for slot, kind in enumerate(definition.outputs) if kind == "CONDITIONING"]
            return slots[:2] if len(slots) > 1 else []
        # ControlNets and their like put the two sides first; what takes a model too does not.
        has_both = self.link(node_id, "positive") and self.link(node_id, "negative")
        return [0, 1] if has_both and "model" not in names else []

    def _look_for_text(self, step: Step) -> Look:
        """Follow a text to the widget that a person would type it into: neither the template around it nor the system
        prompt of a language model that rewrites it."""
        node_id = step.node_id
        inputs = self.inputs(node_id)
        side = step.sought.removesuffix(" text")
        links = self._text_links(node_id, side)
        replaces = any("find" in name or "pattern" in name for name in inputs)  # it puts a text into another one
        score = self._title_score(node_id, replaces)
        if links:
            score -= 1
        finds: Finds = []
        for name in self._likely_texts(node_id, side, links):
            if self.chosen_input(node_id) in (None, name):
                is_empty = not inputs[name].strip()
                finds.append((score - EMPTY_PENALTY if is_empty else score, Target(node_id, name)))
        if not replaces:
            return finds, self._on(step, links, "STRING")
        words = [link for link in links if link.input == "replace"]
        frames = [link for link in links if link.input != "replace"]  # not what a person types
        return finds, self._on(step, words, "STRING") + dearer(self._on(step, frames, "STRING"), BESIDE_PENALTY)

    def _text_links(self, node_id: str, side: str) -> list[TypedLink]:
        """The links of a node that may carry a text of that side."""
        links = []
        for link in self.links(node_id):
            is_other = OTHER_STRING.fullmatch(last_part(link.input))
            if link.may_carry("STRING") and not is_other and words_in(link.input) in ("", side):
                links.append(link)
        return links

    def _likely_texts(self, node_id: str, side: str, links: Sequence[TypedLink]) -> list[str]:
        """The inputs of a node that hold a text which may be a part of a prompt: by their names, or its only text."""
        inputs = self.inputs(node_id)
        own = [name for name in inputs if isinstance(inputs[name], str) and self._takes_words(node_id, name)]
        expected = (*self.texts(node_id, side), self.chosen_input(node_id))
        likely = [name for name in own if name in expected or STRING_INPUT.fullmatch(last_part(name))]
        if not likely and not links and len(own) == 1 and not OTHER_STRING.fullmatch(own[0].lower()):
            return own
        return likely

    def _title_score(self, node_id: str, replaces: bool) -> int:
        """How likely the texts in a node are a person's own, by its title; less so in one that `replaces` texts."""
        title = given_title(self.nodes[node_id])
        score = 0
        if USERS_WORDS.search(title):
            score += 2
        if PROMPT_WORDS.search(title):
            score += 1
        if replaces or OTHERS_WORDS.search(title):
            score -= BESIDE_PENALTY
        return score

    def _look_for_value(self, step: Step) -> Look:
        """Follow a number or a choice to the widget that holds it. Arithmetic on the way ends the search, since the
        result is not what the widget holds."""
        node_id, name = step.node_id, step.sought
        inputs, links = self.inputs(node_id), self.links(node_id)
        if "expression" in inputs and name not in CHOICES:
            # "a" alone only turns one kind of number into another.
            is_same = len(links) == 1 and inputs["expression"] == links[0].input.rsplit(".", 1)[-1]
            return [], self._on(step, links) if is_same else []
        for key in (*PARAMETERS[name], *(key for key in inputs if key.lower() in VALUE_INPUTS)):
            if self.holds(name, node_id, key):
                return [(0, Target(node_id, key))], []
            link = self.link(node_id, key)
            if link:
                return [], self._on(step, [link])
        only = next(iter(inputs)) if len(inputs) == 1 else ""
        if name not in CHOICES and self.holds(name, node_id, only):
            return [(0, Target(node_id, only))], []
        return [], self._on_to_value(step)

    def _on_to_value(self, step: Step) -> Onward:
        """Where the search for a value goes on, over a node that has no input for it: a context, a switch, a picture
        with that size, or a node that passes on the one thing that it is given."""
        node_id, name = step.node_id, step.sought
        links = self.links(node_id)
        contexts = [link for link in links if CONTEXT_INPUT.fullmatch(link.input)]
        if contexts:
            return self._on(step, contexts)
        values = [link for link in links if not OTHER_STRING.fullmatch(link.input.lower())]
        if self.chosen_input(node_id):
            return self._on(step, values, *VALUE_TYPES)
        if len(links) != 1:
            return []
        if name in ("width", "height") and links[0].may_carry("IMAGE", "LATENT"):
            return self._on(step, links, sought=f"image {name}")
        if any(map(is_number, self.inputs(node_id).values())):
            return []
        return self._on(step, values, *VALUE_TYPES)

    def _look_for_image_size(self, step: Step) -> Look:
        """Follow a picture to the number that it gets its width or height by."""
        node_id = step.node_id
        name = step.sought.removeprefix("image ")
        pair = self.size_inputs(node_id)
        if pair:
            width, height = pair
            key = height if name == "height" else width
            if self.holds(name, node_id, key):
                return [(0, Target(node_id, key))], []
            return [], self._on(step, self._links_named(node_id, key), sought=name)
        if SETS_SIZE.search(self.class_type(node_id)) or self.is_maker(node_id):
            return [], []
        pictures = [link for link in self.links(node_id) if link.may_carry("IMAGE", "LATENT")]
        return [], self._on(step, pictures[:1], "IMAGE", "LATENT")

    def _look_for_model(self, step: Step) -> Look:
        """Follow a model over LoRAs and patches to the widget that names its file."""
        node_id = step.node_id
        links = sorted(self.links(node_id), key=lambda link: link.input != "model")
        models = [link for link in links if link.surely_carries("MODEL")]
        if models:
            return [], self._on(step, models)
        for key in PARAMETERS["model"]:
            if isinstance(self.inputs(node_id).get(key), str):
                return [(0, Target(node_id, key))], []
        return [], self._on(step, links, "MODEL")

    def _look_for_latent(self, step: Step) -> Look:
        """Follow a latent to the node that makes it, empty or from a picture or sound."""
        node_id = step.node_id
        if self.is_sampler(node_id):
            return [], []
        links = self.links(node_id)
        latents = [link for link in links if link.surely_carries("LATENT")]
        if latents:
            latents.sort(key=lambda link: "audio" in link.input)
            return [], [(cost + place, after) for place, (cost, after) in enumerate(self._on(step, latents))]
        sizes = {key for name in ("width", "length", "seconds", "batch_size") for key in PARAMETERS[name]}
        makes_latent = not sizes.isdisjoint(self.inputs(node_id))
        if makes_latent or any(link.surely_carries("IMAGE", "AUDIO") for link in links):
            return [(1, Target(node_id, ""))], []
        return [], self._on(step, links, "LATENT")

    def _look_for_maker(self, step: Step) -> Look:
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
    last = last_part(name)
    if NEGATIVE_INPUT.search(last):
        return "negative"
    return "positive" if PROMPT_INPUT.fullmatch(last) else ""


def last_part(name: str) -> str:
    """The name of an input without that of the group that it is in: "text" of "model.Text"."""
    return name.rsplit(".", 1)[-1].lower()
