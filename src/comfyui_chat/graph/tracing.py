"""Read from a graph what can be set in it, and where, by following its links.

`Tracing` takes each line of makers that `Makers` (graph/makers) finds behind the outputs. From
there `Flow` in graph/search follows each input to the widget that holds it. In

    {"3": {"class_type": "KSampler", "inputs": {"seed": 7, "positive": ["6", 0], ...}},
     "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", ...}},
     "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], ...}},
     "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], ...}}}

the only line is ["3"], and `parameters` answers

    {"prompt": {Target("6", "text"): None}, "seed": {Target("3", "seed"): None}, ...}
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..values import is_number, same_value
from .definitions import last_part
from .facts import FILMS, outputs
from .following import ParameterWidgets, add_followers, add_targets, first_value
from .input_names import PARAMETERS, PRESETS, words_in
from .links import TypedLink, once
from .makers import Line, Makers
from .nodes import Target
from .search import Flow

# how a sampler calls the guidance of a distilled model
DISTILLED = ("guidance", "embedded_guidance_scale")
# in the name of a class: it samples once more by itself
DETAILER = re.compile(r"detailer", re.IGNORECASE)


class Tracing:
    """The parameters of a graph as its links tell them."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.makers = Makers(flow)

    def parameters(self) -> ParameterWidgets:
        """All parameters with their widgets: those of the first line, and of others where they hold
        the same.
        """
        if not self.makers.lines:
            return self._scaled()
        parameters, *others = [self._read(line) for line in self.makers.lines]
        self._add_other_lines(parameters, others)
        add_followers(self.flow, self.makers.live, self._all_makers(), parameters)
        self._frames_of_a_batch(parameters)
        for name in ("negative_prompt", "lyrics"):
            widgets = parameters.get(name, {})
            for prompt in parameters.get("prompt", {}):
                widgets.pop(prompt, None)
        return {name: widgets for name, widgets in parameters.items() if widgets}

    def _all_makers(self) -> list[str]:
        """The makers of all lines."""
        return [
            node_id
            for line in self.makers.lines
            for node_id in (*line, *self.makers.stages.get(line[0], ()))
        ]

    def _frames_of_a_batch(self, parameters: ParameterWidgets) -> None:
        """Where films alone are made, a batch of latents that have no length of their own is their
        frames.
        """
        made = {kind for _, kind in outputs(self.flow)}
        batch = parameters.get("batch_size", {})
        lengths = [
            key
            for target in batch
            for key in self.flow.inputs(target.node_id)
            if key in PARAMETERS["length"]
        ]
        if batch and made and made <= FILMS and not lengths and not parameters.get("length"):
            parameters["length"] = parameters.pop("batch_size")

    def _add_other_lines(
        self, parameters: ParameterWidgets, others: list[ParameterWidgets]
    ) -> None:
        """Add the widgets that other lines have for a parameter, if all of them hold the same."""
        for name, widgets in parameters.items():
            added = [other[name] for other in others if other.get(name)]
            if widgets and all(self._first_alike(widgets, more) for more in added):
                for more in added:
                    widgets.update(more)

    def _first_alike(self, widgets: Iterable[Target], others: Iterable[Target]) -> bool:
        """Whether the first widgets of both hold the same."""
        return same_value(first_value(self.flow, others), first_value(self.flow, widgets))

    # What can be set of one line.

    def _read(self, line: Line) -> ParameterWidgets:
        """The parameters of one line."""
        parameters = (
            self._read_samplers(line)
            if self.flow.is_sampler(line[0])
            else self._read_service(line[-1])
        )
        for stage in self.makers.stages.get(line[0], ()):
            self._read_stage(stage, parameters)
        for inverter in self.makers.inverters.get(line[0], ()):
            add_targets(parameters, "seed", self._own("seed", inverter))
            self._add_alike(parameters, "steps", self._own("steps", inverter))
        return parameters

    def _read_stage(self, node_id: str, parameters: ParameterWidgets) -> None:
        """Add to `parameters` what can be set of a sampler that goes on with a line's result, as
        with a film that begins with its picture: its seed, its words where they are the same, and
        how long the film is.
        """
        if not self.flow.is_sampler(node_id):
            return
        for name, side in (("prompt", "positive"), ("negative_prompt", "negative")):
            words = self.makers.words(node_id, side)
            if parameters.get(name) and self._shares_text(node_id, words, parameters[name]):
                add_targets(parameters, name, *words)
        add_targets(parameters, "seed", self._own("seed", node_id))
        latent = self._latent(node_id) or node_id
        for name in ("length", "seconds"):
            if not parameters.get(name):
                add_targets(parameters, name, self.flow.target(name, latent))

    def _read_service(self, node_id: str) -> ParameterWidgets:
        """What can be set of a service: all its inputs that are called as a parameter is."""
        flow = self.flow
        parameters: ParameterWidgets = {"prompt": {}, "negative_prompt": {}}
        add_targets(parameters, "prompt", *flow.words(node_id, "positive"))
        if any(words_in(name) == "negative" for name in flow.texts(node_id, "negative")):
            add_targets(parameters, "negative_prompt", *flow.words(node_id, "negative"))
        # the inputs by their names without their group's: "width" -> "model.width"
        keys: dict[str, str] = {}
        for key in flow.inputs(node_id):
            keys.setdefault(last_part(key).lower(), key)
        passed_over = {"prompt", "negative_prompt"}
        if self.flow.has_size_preset(node_id):
            passed_over |= {"width", "height"}
        for name, spellings in PARAMETERS.items():
            if name in passed_over:
                continue
            named = [keys[spelling] for spelling in spellings if spelling in keys]
            target = self._first_widget(name, node_id, named)
            if target:
                parameters[name] = {target: None}
        return self._without_its_pieces(node_id, parameters)

    def _first_widget(self, name: str, node_id: str, keys: Iterable[str]) -> Target | None:
        """The widget that holds a parameter under the first of these inputs that has it, in the
        node or over a link.
        """
        for key in keys:
            if self.flow.holds(name, node_id, key):
                return Target(node_id, key)
            link = self.flow.link(node_id, key)
            target = self.flow.best(link, name)
            if target:
                return target
        return None

    def _read_samplers(self, line: Line) -> ParameterWidgets:
        """What can be set of a line of samplers: by its first one, and in the later ones what they
        share with it.
        """
        head = line[0]
        parameters: ParameterWidgets = {name: {} for name in ("prompt", "negative_prompt", "seed")}
        for node_id in line:
            self._read_sampler(node_id, head, parameters)
        steps = parameters.setdefault("steps", {})
        model_link = self._model_link(head)
        add_targets(parameters, "denoise", self._own("denoise", head))
        add_targets(parameters, "steps", *self._hand_overs(line, steps))
        add_targets(parameters, "model", self.flow.best(model_link, "model"))
        encoder = self.makers.encoder(head, "positive")
        if encoder:
            for name in ("lyrics", "seed"):
                add_targets(parameters, name, self.flow.target(name, encoder.node_id))
        latent = self._latent(head)
        if self.flow.size_inputs(head) or latent is None:
            latent = head
        self._read_latent(latent, parameters)
        if latent != head:
            for name in ("batch_size", "length"):
                add_targets(parameters, name, self.flow.target(name, head))
        return self._without_its_pieces(head, parameters)

    def _without_its_pieces(self, maker: str, parameters: ParameterWidgets) -> ParameterWidgets:
        """The parameters of a maker without its batch, where it makes as many pictures as it is
        given: then it has no size of its own, and its batch is how many pieces of them, or frames,
        it works on at once.
        """
        is_given = bool(self.flow.links_surely_carrying(maker, "IMAGE"))
        if is_given and not self.flow.size_inputs(maker):
            parameters.get("batch_size", {}).pop(Target(maker, "batch_size"), None)
        return parameters

    def _read_sampler(self, node_id: str, head: str, parameters: ParameterWidgets) -> None:
        """Add to `parameters` what can be set of a sampler: of the first of its line, `head`,
        everything, and of a later one what it shares with that.
        """
        is_same_schedule = node_id == head or self._goes_on(node_id, head)
        for name, side in (("prompt", "positive"), ("negative_prompt", "negative")):
            words = self.makers.words(node_id, side)
            if is_same_schedule or self._shares_text(node_id, words, parameters[name]):
                add_targets(parameters, name, *words)
        add_targets(parameters, "seed", self._own("seed", node_id))
        for name in ("sampler", "scheduler"):
            self._add_alike(parameters, name, self._own(name, node_id))
        guidance = self._guidance(node_id)
        self._add_alike(parameters, "guidance", guidance)
        if guidance and guidance.input.endswith("_start"):
            end = guidance.input.removesuffix("_start") + "_end"
            if self.flow.holds("guidance", guidance.node_id, end):
                add_targets(parameters, "guidance", Target(guidance.node_id, end))
        if is_same_schedule:
            add_targets(parameters, "steps", self._own("steps", node_id))

    def _read_latent(self, latent: str, parameters: ParameterWidgets) -> None:
        """Add to `parameters` what can be set of the latent that a line of samplers starts from."""
        width = self._size("width", latent)
        height = self._size("height", latent)
        if width and height:
            add_targets(parameters, "width", width)
            add_targets(parameters, "height", height)
        else:
            for name in PRESETS:
                add_targets(parameters, name, self._preset(name, latent))
        for name in ("batch_size", "length", "seconds"):
            add_targets(parameters, name, self.flow.target(name, latent))

    def _shares_text(self, node_id: str, words: list[Target], first: Iterable[Target]) -> bool:
        """Whether a sampler's text is set together with that of the first one, as it holds the
        same, or none. But a detailer's empty text stays empty.
        """
        texts = [self.flow.value(target) for target in words]
        first_texts = [self.flow.value(target) for target in first]
        if texts[:1] == first_texts[:1]:
            return True
        is_detailer = bool(DETAILER.search(self.flow.class_type(node_id)))
        return bool(first_texts) and not any(texts) and not is_detailer

    # The sampling: a parameter of a sampler or its parts, guidance, model, and how one sampler
    # hands over to the next.

    def _own(self, name: str, node_id: str) -> Target | None:
        """The widget that holds a parameter of a sampler, in the sampler itself or in its parts."""
        parts = self.flow.parts(node_id)
        if name in ("steps", "denoise"):  # what only splits a schedule does not make it
            parts = [
                part for part in parts if part == node_id or not self.flow.link(part, "sigmas")
            ]
        return self.flow.target(name, *parts)

    @once
    def _guidance(self, node_id: str) -> Target | None:
        """The widget of a sampler's guidance. A distilled model takes it with the text and runs at
        cfg 1, which must stay.
        """
        flow = self.flow
        own = self._own("guidance", node_id)
        if own and own.input in DISTILLED:
            return own
        for part in flow.parts(node_id):
            for name in ("positive", "conditioning", "cond1"):
                embedded = flow.best(flow.link(part, name), "embedded guidance")
                if embedded is None:
                    continue
                target = flow.target("guidance", embedded.node_id)
                if target:
                    return target
        return own

    def _add_alike(self, parameters: ParameterWidgets, name: str, target: Target | None) -> None:
        """Add a widget to a parameter if it is the first or holds the same as the first."""
        widgets = parameters.setdefault(name, {})
        if target and (not widgets or self._first_alike(widgets, [target])):
            widgets[target] = None

    def _model_link(self, node_id: str) -> TypedLink | None:
        """The link that brings a sampler's model, also that of its guider or a pipe."""
        parts = self.flow.parts(node_id)
        for part in parts:
            link = self.flow.link(part, "model")
            if link:
                return link
        for part in parts:
            for link in self.flow.links(part):
                if link.is_strange:
                    return link
        return None

    def _goes_on(self, node_id: str, head: str) -> bool:
        """Whether a sampler goes on with the schedule of the first one, `head`, instead of having
        its own.
        """
        start = self._own_step("start_at_step", node_id)
        if start is None:
            steps = self._own("steps", node_id)
            return steps is not None and steps == self._own("steps", head)
        noise = self.flow.inputs(node_id).get("add_noise")
        adds_noise = noise not in ("disable", False, None)
        return bool(self.flow.value(start)) and not adds_noise

    def _hand_overs(self, line: Line, steps: Iterable[Target]) -> Iterator[Target]:
        """The widgets of the steps at which one sampler hands over to the next. They move with the
        number of steps: the `part` of each is its share of all steps, 0.8 for step 16 of 20.
        """
        values = [self.flow.value(target) for target in steps]
        numbers = [value for value in values if is_number(value)]
        if not numbers:
            return
        all_steps = float(numbers[0])
        for target in self._step_widgets(line):
            step = self.flow.value(target)
            if is_number(step) and 0 < step < all_steps:
                yield replace(target, part=step / all_steps)

    def _step_widgets(self, line: Line) -> Iterator[Target]:
        """The widgets that tell where a sampler of a line begins or ends within the schedule of the
        first one.
        """
        head = line[0]
        for node_id in line:
            if node_id != head and not self._goes_on(node_id, head):
                continue
            for part in self.flow.parts(node_id):
                for key in ("start_at_step", "end_at_step", "step"):
                    target = self._own_step(key, part)
                    if target:
                        yield target

    def _own_step(self, key: str, node_id: str) -> Target | None:
        """The widget of a step in the schedule, "start_at_step", say, also over a link."""
        if is_number(self.flow.inputs(node_id).get(key)):
            return Target(node_id, key)
        return self.flow.best(self.flow.link(node_id, key), "steps")

    # The latent that sampling starts from, and the size of it.

    @once
    def _latent(self, node_id: str) -> str | None:
        """The node that makes the latent which a sampler starts from, or None."""
        links = self.flow.links_carrying(node_id, "LATENT", "IMAGE")
        links.sort(
            key=lambda link: (link.input != "latent_image", not link.surely_carries("LATENT"))
        )
        latent = self.makers.first_found(links, "latent")
        return latent.node_id if latent else None

    def _size(self, name: str, latent: str) -> Target | None:
        """The widget that holds a latent's width or height, also that of the picture that it is
        made from.
        """
        flow = self.flow
        if flow.has_size_preset(latent):
            return None
        size = flow.size_inputs(latent)
        if not size:
            pictures = flow.links_surely_carrying(latent, "IMAGE")
            return flow.best(pictures[0], f"image {name}") if pictures else None
        if size["width"] == "width":
            return flow.target(name, latent)
        return self._first_widget(name, latent, [size[name]])

    def _preset(self, name: str, latent: str) -> Target | None:
        """The widget that chooses a latent's size where no numbers do, in its node or in one that
        gives it a width.
        """
        width_link = self.flow.link(latent, "width")
        target = self.flow.target(name, latent) or self.flow.best(width_link, name)
        if target and (name == "aspect_ratio" or self.flow.has_size_preset(target.node_id)):
            return target
        return None

    # What is added to the first line, and what there is to set where nothing is made.

    def _scaled(self) -> ParameterWidgets:
        """What can be set where nothing is made: of pictures that are only changed, the size of
        what is saved.
        """
        for rank in self.makers.output_ranks():
            for output in rank:
                for link in self.flow.links(output):
                    if not link.surely_carries("IMAGE"):
                        continue
                    width = self.flow.best(link, "image width")
                    height = self.flow.best(link, "image height")
                    if width and height:
                        return {"width": {width: None}, "height": {height: None}}
        return {}
