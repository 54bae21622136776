"""Trace a graph back from its outputs to what made them, and read what can be set there.

`Tracing` begins at the nodes that save or show something and goes back to what made it. A "maker"
is a sampler, or a "service": a node that makes something all by itself, such as one that calls
somebody's API. Samplers of which each takes up the result of the one before form a "line": base and
refiner, or a second pass at a larger size. From the makers of a line, `Flow` in graph/search
follows each input to the widget that holds it. In

    {"3": {"class_type": "KSampler", "inputs": {"seed": 7, "positive": ["6", 0], ...}},
     "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", ...}},
     "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], ...}},
     "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], ...}}}

it goes from "9" over "8" to the only line, ["3"], and `parameters` answers

    {"prompt": {Target("6", "text"): None}, "seed": {Target("3", "seed"): None}, ...}
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ..values import is_number, same_value
from .definitions import last_part
from .facts import FILMS, outputs
from .following import ParameterWidgets, add_followers, add_targets, first_value
from .input_names import PARAMETERS, PRESETS, words_in
from .link_types import MEDIA
from .links import TypedLink, once
from .nodes import Target, is_link
from .roles import PARTS, SAMPLING
from .search import Flow

Line = list[str]  # makers of which each goes on with the result of the one before, first to last

# The inputs of a sampler, or of its guider, that take the conditioning of a side.
CONDITIONING_INPUTS = {
    "positive": ("positive", "cond1", "conditioning"),
    "negative": ("negative", "neg_conditioning"),
}
# how a sampler calls the guidance of a distilled model
DISTILLED = ("guidance", "embedded_guidance_scale")
# in the name of a class: it samples once more by itself
DETAILER = re.compile(r"detailer", re.IGNORECASE)


def id_numbers(node_id: str) -> list[int]:
    """The numbers in a node's id, to sort by: [12, 3] for "12:3"."""
    return [int(number) for number in re.findall(r"\d{1,18}", node_id)]


class Tracing:
    """The parameters of a graph as its links tell them.

    `live` numbers the nodes that feed the outputs which count, each after all that feeds it.
    `lines` are the rows of makers among them, each from its first to its last: [["3", "10"]] for a
    base and a refiner.
    """

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        # by the first maker of a line: what goes on with its result
        self.stages: dict[str, list[str]] = {}
        # the same: what goes back from a picture to the noise for it
        self.inverters: dict[str, list[str]] = {}
        self.live, self.lines = self._lines()

    def parameters(self) -> ParameterWidgets:
        """All parameters with their widgets: those of the first line, and of others where they hold
        the same.
        """
        if not self.lines:
            return self._scaled()
        parameters, *others = [self._read(line) for line in self.lines]
        self._add_other_lines(parameters, others)
        add_followers(self.flow, self.live, self._makers(), parameters)
        self._frames_of_a_batch(parameters)
        for name in ("negative_prompt", "lyrics"):
            widgets = parameters.get(name, {})
            for prompt in parameters.get("prompt", {}):
                widgets.pop(prompt, None)
        return {name: widgets for name, widgets in parameters.items() if widgets}

    def _makers(self) -> list[str]:
        """The makers of all lines."""
        return [
            node_id for line in self.lines for node_id in (*line, *self.stages.get(line[0], ()))
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

    # From the outputs to the makers, and to the lines that they form.

    def _lines(self) -> tuple[dict[str, int], list[Line]]:
        """`live` and `lines`, read from the best rank of outputs that something is made for.

        `live` also holds what feeds the better ranks. A row whose last maker feeds another row is
        part of that one.
        """
        order: dict[str, int] = {}
        for rank in self._outputs():
            for output in rank:
                self._number(output, order)
            ends = self._nearest_makers(rank)
            if ends:
                ends.sort(key=lambda node_id: -order[node_id])
                lines = self._lines_to(ends)
                lines.sort(key=lambda line: order[line[0]])
                return order, lines
        return order, []

    def _lines_to(self, ends: Iterable[str]) -> list[Line]:
        """The lines that end with these makers, without those that are only the beginning of
        another one.
        """
        lines: list[Line] = []
        inner: set[str] = set()  # makers whose result another one goes on with
        for end in ends:
            if end not in inner:
                line = self._line(end)
                chain = self._chain(end)
                if line[-1] in chain:
                    self.stages[line[0]] = chain[: chain.index(line[-1])]
                lines.append(line)
                inner.update(line[:-1])
        return [line for line in lines if line[-1] not in inner]

    def _outputs(self) -> list[list[str]]:
        """The nodes that a run is for, in ranks: those that save media, save texts, show media,
        show texts. What the server calls an output node and whose name says neither counts as
        saving media.

        Where definitions are missing, nodes count whose outputs nothing reads, by the names of
        their classes; if no name says anything, all of them make up one rank. In a rank the lowest
        id comes first, as the order in the file depends on the program that wrote it.
        """
        flow = self.flow
        node_ids = sorted(flow.nodes, key=id_numbers)
        read = {link.source for node_id in node_ids for link in flow.links(node_id)}
        unread = [node_id for node_id in node_ids if node_id not in read]
        ranks: list[list[str]] = [[], [], [], []]
        unnamed = []
        for node_id in node_ids:
            definition = flow.definition(node_id)
            is_end = node_id not in read
            if definition:
                is_end = definition.is_output
            if not is_end:
                continue
            rank = flow.output_rank(node_id)
            if rank is not None:
                ranks[rank].append(node_id)
            elif definition:
                makes_text = flow.links(node_id) and self._only_text(definition.outputs)
                ranks[1 if makes_text else 0].append(node_id)
            else:
                unnamed.append(node_id)
        if any(ranks):
            return ranks
        return [unnamed or unread]

    def _only_text(self, outputs: Sequence[str]) -> bool:
        """Whether outputs of these types are texts and nothing else, as those of a node that
        improves a prompt.
        """
        return bool(outputs) and all(kind == "STRING" for kind in outputs)

    def _number(self, output: str, order: dict[str, int]) -> None:
        """Number an output and all that feeds it, each node after those that feed it."""
        waiting = [output]
        opened: set[str] = set()
        while waiting:
            node_id = waiting[-1]
            if node_id in order or node_id in opened:
                waiting.pop()
                order.setdefault(node_id, len(order))
                continue
            opened.add(node_id)
            for link in self.flow.links(node_id):
                if link.source not in order:
                    waiting.append(link.source)

    def _nearest_makers(self, outputs: list[str]) -> list[str]:
        """The makers that the outputs' media come from, not those before them; else the makers of
        their texts.
        """
        makers = self._makers_over(outputs, "LATENT", *MEDIA)
        if makers:
            return makers
        return self._makers_over(outputs, "LATENT", "STRING", *MEDIA)

    def _makers_over(self, outputs: list[str], *types: str) -> list[str]:
        """The first makers that are met on the ways back from these outputs, over links of these
        types.
        """
        makers: list[str] = []
        waiting = list(outputs)
        seen = set(outputs)
        for node_id in waiting:
            if self.flow.is_maker(node_id):
                makers.append(node_id)
                continue
            links = self.flow.links_carrying(node_id, *types)
            if node_id in outputs:  # a saver's settings may come over links of any type
                links = self.flow.links_surely_carrying(node_id, *types) or links
            for link in links:
                if link.source not in seen:
                    seen.add(link.source)
                    waiting.append(link.source)
        return makers

    def _line(self, end: str) -> Line:
        """The makers of one result that share its settings, first to last: a sampler and those that
        it takes its latent from, or, alone, the last service whose prompt says something.
        """
        maker = self._asked(end)
        row = self._makers_up_to(maker)
        last = len(row) - 1
        asked = [index for index, node_id in enumerate(row) if self._prompt_text(node_id)]
        if asked:
            last = asked[-1]
        if self.flow.is_service(row[last]):
            return [row[last]]
        first = last
        while first > 0 and self.flow.is_sampler(row[first - 1]):
            first -= 1
        beginning = first
        while first < last and not self._words(row[first], "positive"):
            first += 1  # it only prepares the picture, as a depth map, say
        before = self.flow.before([row[first]], ("LATENT",))
        self.inverters[row[first]] = [
            node_id for node_id in row[beginning:first] if node_id in before
        ]
        return [node_id for node_id in row[first:] if self.flow.is_sampler(node_id)]

    def _makers_up_to(self, end: str) -> Line:
        """The makers of which each goes on with the result of the one before, first to last;
        `PARTS` at most.
        """
        row = [end]
        while len(row) < PARTS:
            before = self._before(row[0])
            if before is None or before in row:
                break
            row.insert(0, before)
        return row

    def _asked(self, end: str) -> str:
        """The maker itself if it is asked for something, else the nearest one before it that is, as
        where a video is made of a picture that was made of words. Where all texts are empty, the
        last sampler of the row that comes first; the maker itself when none takes words.
        """
        if self.flow.is_service(end) and self._words(end, "positive"):
            return end
        takes_words = [maker for maker in self._chain(end) if self._words(maker, "positive")]
        for maker in takes_words:
            if self._prompt_text(maker):
                return maker
        takes_words = [maker for maker in takes_words if self.flow.is_sampler(maker)]
        if not takes_words:
            return end
        place = len(takes_words) - 1
        while place and self._before(takes_words[place - 1]) == takes_words[place]:
            place -= 1
        return takes_words[place]

    @once
    def _chain(self, end: str) -> list[str]:
        """A maker and those before it, last to first, each of which makes what the next begins
        with.
        """
        chain = [end]
        while len(chain) <= PARTS:
            before = self._before(chain[-1]) or self._earlier(chain[-1])
            if before is None or before in chain:
                break
            chain.append(before)
        return chain

    @once
    def _before(self, node_id: str) -> str | None:
        """The maker whose result a maker goes on with, in its latent or as a picture, or None."""
        return self._maker_before(node_id, "maker")

    @once
    def _earlier(self, node_id: str) -> str | None:
        """The same, also where the maker begins a new latent with that result: a film that starts
        from a picture.
        """
        return self._maker_before(node_id, "earlier maker")

    def _maker_before(self, node_id: str, sought: str) -> str | None:
        """The maker behind a node's links, latents first; `sought` is "maker" or "earlier
        maker".
        """
        links = self.flow.links_carrying(node_id, "LATENT", *MEDIA)
        media = [link for link in links if not link.surely_carries(*SAMPLING)]
        media.sort(
            key=lambda link: (not link.surely_carries("LATENT"), not link.surely_carries(*MEDIA))
        )
        maker = self._first_found(media, sought)
        return maker.node_id if maker else None

    def _first_found(self, links: Iterable[TypedLink], sought: str) -> Target | None:
        """The best find upstream of the first of these links that leads to one."""
        for link in links:
            target = self.flow.best(link, sought)
            if target:
                return target
        return None

    # What can be set of one line.

    def _read(self, line: Line) -> ParameterWidgets:
        """The parameters of one line."""
        parameters = (
            self._read_samplers(line)
            if self.flow.is_sampler(line[0])
            else self._read_service(line[-1])
        )
        for stage in self.stages.get(line[0], ()):
            self._read_stage(stage, parameters)
        for inverter in self.inverters.get(line[0], ()):
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
            words = self._words(node_id, side)
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
        return parameters

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
        encoder = self._encoder(head, "positive")
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
        return parameters

    def _read_sampler(self, node_id: str, head: str, parameters: ParameterWidgets) -> None:
        """Add to `parameters` what can be set of a sampler: of the first of its line, `head`,
        everything, and of a later one what it shares with that.
        """
        is_same_schedule = node_id == head or self._goes_on(node_id, head)
        for name, side in (("prompt", "positive"), ("negative_prompt", "negative")):
            words = self._words(node_id, side)
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

    # The words of a maker, and which samplers of a line share them.

    def _words(self, node_id: str, side: str) -> list[Target]:
        """The widgets of a maker's prompt ("positive") or negative prompt ("negative")."""
        if not self.flow.is_sampler(node_id):
            return self.flow.words(node_id, side)
        encoder = self._encoder(node_id, side)
        if encoder is None:
            return []
        return self.flow.words(encoder.node_id, encoder.input)

    def _encoder(self, node_id: str, side: str) -> Target | None:
        """The encoder of a sampler's main text of a side, as `Target(encoder, side of its texts)`,
        whether the sampler, its guider or a pipe brings the conditioning.
        """
        for part in self.flow.parts(node_id):
            encoder = self._first_found(self._side_links(part, side), side)
            if encoder:
                return encoder
        return None

    def _side_links(self, part: str, side: str) -> list[TypedLink]:
        """The links that bring a part of a sampler the conditioning of a side; those that may,
        where it has no inputs of the usual names.
        """
        flow = self.flow
        names = CONDITIONING_INPUTS[side]
        links = [flow.link(part, name) for name in names]
        named = [link for link in links if link]
        usual = {"positive", "negative", "guider", *names}
        linked = {name for name, value in flow.inputs(part).items() if is_link(value)}
        if named or not usual.isdisjoint(linked):
            return named
        return [link for link in flow.links(part) if link.is_strange or "embeds" in link.input]

    @once
    def _prompt_text(self, node_id: str) -> str:
        """What a maker is asked for, or "" when its prompt is empty or it has none."""
        words = self._words(node_id, "positive")
        if not words:
            return ""
        return str(first_value(self.flow, words)).strip()

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
        latent = self._first_found(links, "latent")
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
        for rank in self._outputs():
            for output in rank:
                for link in self.flow.links(output):
                    if not link.surely_carries("IMAGE"):
                        continue
                    width = self.flow.best(link, "image width")
                    height = self.flow.best(link, "image height")
                    if width and height:
                        return {"width": {width: None}, "height": {height: None}}
        return {}
