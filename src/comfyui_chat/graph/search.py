"""Follow links upstream to the widget that holds a prompt, a seed, a size or a model.

Parameters are found, not mapped by hand. In this graph the sampler reads its seed from node "4" and
its prompt from node "6"; what a person would change are the widgets `value` and `text` there:

    {"3": {"class_type": "KSampler", "inputs": {"seed": ["4", 0], "positive": ["6", 0], "steps": 20, ...}},
     "4": {"class_type": "PrimitiveInt", "inputs": {"value": 7}},
     "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", ...}}, ...}

A `Flow` is a graph read against its links (see graph/links). `Flow.target("seed", "3")` answers
`Target("4", "value")`, and `Flow.words` finds the widgets of a prompt. Both rest on `Flow.best`,
which walks upstream in `Step`s. For each thing that can be sought, a `_look_for_...` method says
what a node offers (`Finds`) and where the search goes on (`Onward`). Finds have scores, ways have
costs, and the best balance wins. All searches share what they learned about a node, so that dense
graphs are read in linear time.

Types come from the server's node definitions; without them, the names of inputs and classes have to
do.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..values import is_number
from .definitions import last_part
from .input_names import (
    ANYTHING,
    CHOICES,
    CONTEXT_INPUT,
    LATENT_INPUTS,
    OTHER_STRING,
    PARAMETERS,
    STRING_INPUT,
    VALUE_INPUTS,
    words_in,
)
from .link_types import MEDIA, VALUE_TYPES, guessed_type
from .links import TypedLink
from .nodes import Target, given_title, is_link
from .roles import SAMPLING, Roles

# Words in a node's title that tell whose text the node holds.
OTHERS_WORDS = re.compile(
    r"system|template|instruction|rewrite|prefix|suffix|trigger|style", re.IGNORECASE
)
USERS_WORDS = re.compile(r"\buser\b|\bdescri", re.IGNORECASE)
INSTRUCTION = re.compile(r"\s*you are an? ", re.IGNORECASE)  # how texts for a language model begin
PROMPT_WORDS = re.compile(r"prompt|positive|negative", re.IGNORECASE)

# Types that stand out on the way upstream.
CONDITIONING_SOUGHT = ("positive", "negative", "embedded guidance")

# Parts of class names by which nodes are told. Of a custom node its class name is often all that a
# graph tells.
ZEROED = re.compile(r"zero_?out", re.IGNORECASE)
SETS_SIZE = re.compile(
    r"TotalPixels|LongerEdge|MaxDimension|KontextImageScale|Megapixels", re.IGNORECASE
)

# Bounds, and what is taken off a find's score. For what stands beside the main thing: the text for
# a part of the picture, a template around a text.
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
    - "maker", "earlier maker": the sampler or service that makes what comes over the link, as
      `Target(node_id, "")`. An "earlier maker" is also looked for behind a node that begins a new
      latent with the picture it is given.
    """

    node_id: str
    slot: int
    sought: str

    @classmethod
    def over(cls, link: TypedLink, sought: str) -> "Step":
        """The step over a link. Its output only matters for conditioning, since there it tells the
        side.
        """
        return cls(link.source, link.slot if sought in CONDITIONING_SOUGHT else 0, sought)


Find = tuple[int, Target]  # with its score: higher is better
Finds = list[Find]  # what a node offers a search
# where the search goes on, each with the cost, which is taken off the scores there
Onward = list[tuple[int, Step]]
Look = tuple[Finds, Onward]  # what a step comes to


def dearer(onward: Onward, cost: int) -> Onward:
    """The same steps, each at a higher cost."""
    return [(old + cost, step) for old, step in onward]


class Flow(Roles):
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

    # The three questions that a flow answers: which widget holds a parameter of these nodes, which
    # widgets hold the words of an encoder, and, for both, what is the best find upstream of a link.

    def target(self, name: str, *node_ids: str) -> Target | None:
        """The widget that holds a parameter of the first of these nodes that has it, or None. Of
        one that is found over a link, `reader` is the input of the node itself, whose range counts.
        """
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
        """The widgets that a person types the words of a node's side into, also over links; those
        that are not empty come first.
        """
        widgets: dict[Target, None] = {}
        inputs = self.inputs(node_id)
        for name in self.texts(node_id, side):
            if isinstance(inputs[name], str):
                widgets[Target(node_id, name)] = None
                continue
            link = self.link(node_id, name)
            typed = self.best(link, f"{side} text")
            if typed:
                widgets[typed] = None
        return sorted(widgets, key=lambda target: not self.value(target))

    def best(self, link: TypedLink | None, sought: str) -> Target | None:
        """The best find upstream of a link, or None; of equal ones, the first.

        The steps wait on a stack of its own instead of Python's, as a graph may be thousands of
        links deep. Each is first looked at, then, after all that it leads to, given its best find.
        A way that runs in a circle adds nothing.
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
        if best is None:
            return None
        _, target = best
        return target

    def _best_find(self, step: Step) -> Find | None:
        """The best of what the node of a step offers and what was found where the search went
        on.
        """
        here, onward = self._looks[step]
        finds = list(here)
        for cost, after in onward:
            best = self._best_finds.get(after)
            if best:
                score, target = best
                finds.append((score - cost, target))
        return max(finds, key=lambda find: find[0], default=None)

    def _look(self, step: Step) -> Look:
        """What the node of a step offers, and where the search goes on, by the rule for what is
        sought.
        """
        sought = step.sought
        if sought in CONDITIONING_SOUGHT:
            return self._look_for_encoder(step)
        if sought.endswith(" text"):
            return self._look_for_text(step)
        if sought.startswith("image "):
            return self._look_for_image_size(step)
        if sought.endswith("maker"):
            return self._look_for_maker(step)
        if sought == "model":
            return self._look_for_model(step)
        if sought == "latent":
            return self._look_for_latent(step)
        return self._look_for_value(step)

    def _on(self, step: Step, links: Sequence[TypedLink], *types: str, sought: str = "") -> Onward:
        """The steps over those links that carry one of the types, or any link when no types are
        given. Where one surely carries them, the strange ones cost `UNKNOWN_TYPE_PENALTY`. `sought`
        is what to look for from there, if it changes.
        """
        is_sure = any(link.surely_carries(*types) for link in links)
        onward: Onward = []
        for link in links:
            if types and not link.may_carry(*types):
                continue
            is_doubtful = is_sure and not link.surely_carries(*types)
            cost = UNKNOWN_TYPE_PENALTY if is_doubtful else 0
            onward.append((cost, Step.over(link, sought or step.sought)))
        return onward

    # One rule for each thing that can be sought: what the node of a step offers, and over which of
    # its links the search goes on.

    def _look_for_encoder(self, step: Step) -> Look:
        """Follow conditioning to the node that turns the main text into it, or gives it a guidance.
        What comes out of ConditioningZeroOut is not a text any more. A find names the encoder and
        the side of its texts.
        """
        node_id = step.node_id
        inputs = self.inputs(node_id)
        if ZEROED.search(self.class_type(node_id)):
            return [], []
        seeks_guidance = step.sought == "embedded guidance"
        if seeks_guidance and "guidance" in inputs:
            return [(0, Target(node_id, "guidance"))], []
        side = self._side(step)
        sought = side
        if seeks_guidance and side == "positive":
            sought = step.sought
        finds: Finds = []
        if not seeks_guidance and self.texts(node_id, side):
            finds = [(0, Target(node_id, side))]
        beside = BESIDE_PENALTY if self._is_for_a_part(node_id) else 0
        if side in inputs:
            return finds, dearer(self._on_over(step, side, sought), beside)
        if side == "negative" and self._is_one_sided_guider(step):
            return finds, []
        links = self._conditioning_links(node_id, side)
        sure = [link for link in links if link.surely_carries("CONDITIONING", "GUIDER")]
        # to which the node adds its text
        if any(link.surely_carries("CONDITIONING") for link in sure):
            finds = [(score - BESIDE_PENALTY, target) for score, target in finds]
            links = sure
        onward = self._on(step, links, "CONDITIONING", "GUIDER", sought=sought)
        if "conditioning_to" not in inputs:
            onward = dearer(onward, beside)
        return finds, onward

    def _is_for_a_part(self, node_id: str) -> bool:
        """Whether a node has its conditioning count in a part of the picture only: inside a mask or
        a box.
        """
        if {"x", "y"} <= self.inputs(node_id).keys():
            return True
        linked = [name for name, value in self.inputs(node_id).items() if is_link(value)]
        return "MASK" in map(guessed_type, linked) or bool(
            self.links_surely_carrying(node_id, "MASK")
        )

    def _on_over(self, step: Step, name: str, sought: str) -> Onward:
        """The step over the link that an input of the node reads, if it reads one."""
        link = self.link(step.node_id, name)
        if link is None:
            return []
        return [(0, Step.over(link, sought))]

    def _conditioning_links(self, node_id: str, side: str) -> list[TypedLink]:
        """The links of a node that may carry the conditioning of a side, those of the main text
        first: those that are called so, else those whose names tell no side.
        """
        negative: list[TypedLink] = []
        others: list[TypedLink] = []
        for link in self.links(node_id):
            if words_in(link.input) == "negative":
                negative.append(link)
            else:
                others.append(link)
        links = negative if side == "negative" else others
        if not links:
            links = [link for link in others if words_in(link.input) == ""]
        return sorted(links, key=lambda link: link.input not in ("conditioning_to", "cond1"))

    def _is_one_sided_guider(self, step: Step) -> bool:
        """Whether a step stands at a guider without a negative side."""
        is_guider = self._output_type(step) in ("GUIDER", "")
        return is_guider and {"conditioning", "model"} <= self.inputs(step.node_id).keys()

    def _output_type(self, step: Step) -> str:
        """The type of the output that a step stands at, or "" when nothing tells."""
        definition = self.definition(step.node_id)
        if definition is None or step.slot >= len(definition.outputs):
            return ""
        return definition.outputs[step.slot]

    def _side(self, step: Step) -> str:
        """The side that a step looks for inside its node: that of the output, where the node has
        two sides.
        """
        slots = self._side_slots(step.node_id)
        is_negative = step.sought == "negative"
        if step.slot in slots:
            is_negative = step.slot != slots[0]
        return "negative" if is_negative else "positive"

    def _side_slots(self, node_id: str) -> list[int]:
        """The outputs for the positive and the negative side, of a node that has two sides; else
        nothing.
        """
        names = self.inputs(node_id).keys()
        if not any(words_in(name) == "negative" for name in names):
            return []
        definition = self.definition(node_id)
        if definition and definition.outputs:
            slots = [slot for slot, kind in enumerate(definition.outputs) if kind == "CONDITIONING"]
            return slots[:2] if len(slots) > 1 else []
        # ControlNets and their like put the two sides first; what takes a model too does not.
        if (
            "model" in names
            or not self.link(node_id, "positive")
            or not self.link(node_id, "negative")
        ):
            return []
        return [0, 1]

    def _look_for_text(self, step: Step) -> Look:
        """Follow a text to the widget that a person would type it into: neither the template around
        it nor the system prompt of a language model that rewrites it.
        """
        node_id = step.node_id
        inputs = self.inputs(node_id)
        side = step.sought.removesuffix(" text")
        links = self._text_links(node_id, side)
        # it puts a text into another one
        replaces = any("find" in name or "pattern" in name for name in inputs)
        score = self._title_score(node_id, replaces)
        if links:
            score -= 1
        finds: Finds = []
        for name in self._likely_texts(node_id, side, links):
            if self.chosen_input(node_id) not in (None, name):
                continue
            is_empty = not inputs[name].strip()
            penalty = EMPTY_PENALTY if is_empty else 0
            if INSTRUCTION.match(inputs[name]):
                penalty = BESIDE_PENALTY
            finds.append((score - penalty, Target(node_id, name)))
        if not replaces:
            return finds, self._on(step, links, "STRING")
        words = [link for link in links if link.input == "replace"]
        frames = [link for link in links if link.input != "replace"]  # not what a person types
        to_words = self._on(step, words, "STRING")
        to_frames = self._on(step, frames, "STRING")
        return finds, to_words + dearer(to_frames, BESIDE_PENALTY)

    def _text_links(self, node_id: str, side: str) -> list[TypedLink]:
        """The links of a node that may carry a text of that side."""
        links = []
        for link in self.links_carrying(node_id, "STRING"):
            is_other = OTHER_STRING.fullmatch(last_part(link.input).lower())
            if not is_other and words_in(link.input) in ("", side):
                links.append(link)
        return links

    def _likely_texts(self, node_id: str, side: str, links: Sequence[TypedLink]) -> list[str]:
        """The inputs of a node that hold a text which may be a part of a prompt: by their names, or
        its only text.
        """
        held = [name for name, value in self.inputs(node_id).items() if isinstance(value, str)]
        own = [name for name in held if self._takes_words(node_id, name)]
        expected = (*self.texts(node_id, side), self.chosen_input(node_id))
        likely = [
            name
            for name in own
            if name in expected or STRING_INPUT.fullmatch(last_part(name).lower())
        ]
        if likely or links or len(own) != 1:
            return likely
        (only,) = own
        return [] if OTHER_STRING.fullmatch(only.lower()) else own

    def _title_score(self, node_id: str, replaces: bool) -> int:
        """How likely the texts in a node are a person's own, by its title; less so in one that
        `replaces` texts.
        """
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
        """Follow a number or a choice to the widget that holds it. Arithmetic on the way ends the
        search, since the result is not what the widget holds.
        """
        node_id, name = step.node_id, step.sought
        inputs = self.inputs(node_id)
        if "expression" in inputs and name not in CHOICES:
            return [], self._on_through_expression(step)
        if name in ("width", "height") and self.has_size_preset(node_id):
            return [], []
        value_inputs = [key for key in inputs if key.lower() in VALUE_INPUTS]
        if any(ANYTHING.fullmatch(link.input) for link in self.links(node_id)):
            value_inputs = []  # it only shows what it is given, and passes that on
        for key in (*PARAMETERS[name], *value_inputs):
            if self.holds(name, node_id, key):
                return [(0, Target(node_id, key))], []
            if self.link(node_id, key):
                return [], self._on_over(step, key, name)
        if len(inputs) == 1 and name not in CHOICES:
            (only,) = inputs
            if self.holds(name, node_id, only):
                return [(0, Target(node_id, only))], []
        return [], self._on_to_value(step)

    def _on_through_expression(self, step: Step) -> Onward:
        """Where the search for a number goes on over a formula. "a" alone only turns one kind of
        number into another; any other is arithmetic.
        """
        links = self.links(step.node_id)
        if len(links) != 1:
            return []
        *_, variable = links[0].input.split(".")
        if self.inputs(step.node_id)["expression"] != variable:
            return []
        return self._on(step, links)

    def _on_to_value(self, step: Step) -> Onward:
        """Where the search for a value goes on, over a node that has no input for it: a context, a
        switch, a picture with that size, or a node that passes on the one thing that it is given.
        """
        node_id, name = step.node_id, step.sought
        links = self.links(node_id)
        contexts = [link for link in links if CONTEXT_INPUT.fullmatch(link.input)]
        pipes = [link for link in links if link.is_strange and "" not in link.declared]
        if contexts or pipes:
            return self._on(step, contexts or pipes)
        values = [link for link in links if not OTHER_STRING.fullmatch(link.input.lower())]
        if self.chosen_input(node_id):
            return self._on(step, values, *VALUE_TYPES)
        if len(links) != 1:
            return []
        (link,) = links
        if name in ("width", "height") and link.may_carry("IMAGE", "LATENT"):
            return self._on(step, links, sought=f"image {name}")
        if any(is_number(value) for value in self.inputs(node_id).values()):
            return []
        return self._on(step, values, *VALUE_TYPES)

    def _look_for_image_size(self, step: Step) -> Look:
        """Follow a picture to the number that it gets its width or height by."""
        node_id = step.node_id
        name = step.sought.removeprefix("image ")
        size = self.size_inputs(node_id)
        if size:
            key = size[name]
            if self.holds(name, node_id, key):
                return [(0, Target(node_id, key))], []
            return [], self._on_over(step, key, name)
        if SETS_SIZE.search(self.class_type(node_id)) or self.is_maker(node_id):
            return [], []
        pictures = self.links_carrying(node_id, "IMAGE", "LATENT")
        pictures.sort(key=lambda link: not link.surely_carries("IMAGE", "LATENT"))
        return [], self._on(step, pictures[:1])

    def _look_for_model(self, step: Step) -> Look:
        """Follow a model over LoRAs and patches to the widget that names its file."""
        node_id = step.node_id
        models = self.links_surely_carrying(node_id, "MODEL")
        if not models:
            for key in PARAMETERS["model"]:
                if self.holds("model", node_id, key):
                    return [(0, Target(node_id, key))], []
            models = self.links_carrying(node_id, "MODEL")
        models.sort(key=lambda link: link.input != "model")
        return [], self._on(step, models)

    def _look_for_latent(self, step: Step) -> Look:
        """Follow a latent to the node that makes it, empty or from a picture or sound."""
        node_id = step.node_id
        if self.is_sampler(node_id):
            return [], []
        latents = self.links_surely_carrying(node_id, "LATENT")
        if latents:
            latents.sort(key=lambda link: "audio" in link.input)
            return [], [(place, Step.over(link, "latent")) for place, link in enumerate(latents)]
        makes_empty = not LATENT_INPUTS.isdisjoint(self.inputs(node_id))
        if makes_empty or self.links_surely_carrying(node_id, "IMAGE", "AUDIO"):
            return [(1, Target(node_id, ""))], []
        return [], self._on(step, self.links_carrying(node_id, "LATENT"))

    def _look_for_maker(self, step: Step) -> Look:
        """Follow a picture, film or sound to the sampler or service that makes it."""
        node_id = step.node_id
        if self.is_maker(node_id):
            return [(0, Target(node_id, ""))], []
        begins_latent = self.size_inputs(node_id) and self.links_surely_carrying(node_id, "VAE")
        if begins_latent and step.sought == "maker":
            return [], []  # whatever picture the latent begins with
        return [], self._on(step, self.links(node_id), "LATENT", *MEDIA)
