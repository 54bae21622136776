"""Find what can be set in a graph, and in which widgets: prompt, seed, size and so on.

`discover` takes a graph in the API format and answers, for a plain text-to-image workflow,

    {"prompt": (Target("6", "text"),), "negative_prompt": (Target("7", "text"),), "seed": (Target("3", "seed"),),
     "width": (Target("5", "width"),), "model": (Target("4", "ckpt_name"),), ...}

A parameter that stands in several widgets is set in all of them, and the first tells its value. What the author
named counts before what is traced: `titled` reads the titles of nodes ("param: style", "Prompt", "Int (Steps)"), and
`placeholders` the marks in texts (`{{style}}`, `%%STEPS%%`, `%prompt%`).

All else is found by `Tracing`. It begins at the nodes that save or show something and goes back to what made it. A
"maker" is a sampler, or a "service": a node that makes something all by itself, such as one that calls somebody's
API. Samplers of which each takes up the result of the one before form a "line": base and refiner, or a second pass
at a larger size. From the makers of a line, `Flow` in graph/search follows each input to the widget that holds it.
The tests read the official templates of ComfyUI 0.3.64 and 0.33.0 so, with node definitions and by names alone.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ..values import is_number, same_value
from .definitions import Definitions
from .link_types import MEDIA
from .links import TypedLink, once
from .nodes import NO_DEFINITIONS, Graph, Target, given_title, is_link
from .search import ALIASES, PARAMETERS, PARTS, SAMPLING, TEXTS, VALUE_INPUTS, Flow, words_in


def discover(graph: Graph, definitions: Definitions = NO_DEFINITIONS) -> dict[str, tuple[Target, ...]]:
    """The parameters of a graph, in the order of `PARAMETERS` and others last, each with the widgets that hold it.

    What the author named comes before what tracing finds: nodes titled "param: <name>" or by nothing but a parameter's
    name, and placeholders {{name}}, %%name%% or %name%. A placeholder for a number or a choice inside a longer text
    ("a photo, %steps% steps") takes nothing away: it is set besides the widget itself. The more definitions
    there are, the better is the answer.
    """
    flow = Flow.of(graph, definitions)
    traced = Tracing(flow)
    found = {name: tuple(targets) for name, targets in traced.found().items()}
    named = titled(flow, found, traced.live)
    mentioned: dict[str, list[Target]] = {}  # numbers and choices inside texts, set besides their own widgets
    for name, target in placeholders(flow, found):
        inside = flow.value(target) != target.token and name in PARAMETERS and name not in TEXTS
        (mentioned if inside else named).setdefault(name, []).append(target)
    names = sorted(
        {**found, **named, **mentioned}, key=lambda name: list(PARAMETERS).index(name) if name in PARAMETERS else 99
    )
    return {name: (*(named.get(name) or found.get(name, ())), *mentioned.get(name, ())) for name in names}


def parameter_name(text: str) -> str:
    """The parameter that a spelling means: "CFG scale" is "guidance". An unknown one keeps its name, in lower case with
    underscores."""
    plain = re.sub(r"[\s_-]+", "_", text.strip().casefold()).strip("_")
    return ALIASES.get(plain, plain)


# What the author named, in titles and in placeholders: `{{seed}}`, `%%SEED%%` or `%seed%` in a text, and the titles
# "param: seed", "Int (Steps)", "Text String (Prompt)" or "Frame Rate(int)". `%name%` is common text, so only the names
# here count in it; "scale" is what SillyTavern calls guidance.
PLACEHOLDER_NAMES = {**ALIASES, **{name: name for name in (*PARAMETERS, "clip_skip", "vae")}, "scale": "guidance"}
PLACEHOLDER = re.compile(r"\{\{\s*([^\W\d]\w*)\s*\}\}|%%([^\W\d]\w*)%%|%([^\W\d]\w*)%")
NO_PLACEHOLDER = ("find", "search", "pattern", "regex_pattern", "old")  # inputs: the graph itself replaces these texts
PARAM_TITLE = re.compile(r"param\s*:\s*(.*\S)", re.IGNORECASE)
KIND_IN_TITLE = re.compile(
    r"(?:int|float|number|text|string|multiline|value|\s)+\((?P<a>[^()]+)\)"
    r"|(?P<b>[^()]+)\((?:int|float|number|text|string)\)",
    re.IGNORECASE,
)
MAIN_INPUTS = (*VALUE_INPUTS, "seed", "prompt", "tags")  # of a node that is about one thing


def titled(flow: Flow, traced: Mapping[str, tuple[Target, ...]], live: Iterable[str]) -> dict[str, list[Target]]:
    """The parameters that node titles name, with their widgets.

    "param: <name>" counts everywhere. A bare title, "Steps" or "Int (Steps)", counts on `live` nodes and for names in
    `PARAMETERS` only. Where bare titles contradict one another (two nodes "Steps" before a switch), those count that
    tracing reaches too.
    """
    explicit: dict[str, dict[Target, None]] = {}
    bare: dict[str, dict[Target, None]] = {}
    live = set(live)
    for node_id, node in flow.nodes.items():
        title = given_title(node)
        kind, asked = KIND_IN_TITLE.fullmatch(title), PARAM_TITLE.fullmatch(title)
        name = parameter_name((kind["a"] or kind["b"]) if kind else title)
        definition = flow.definition(node_id)
        unnamed = title in (flow.class_type(node_id), definition.title if definition else "")
        if asked:
            name = parameter_name(asked[1])
            explicit.setdefault(name, {}).update(dict.fromkeys(titled_widgets(flow, node_id, name)))
        elif name in PARAMETERS and node_id in live and not unnamed:
            bare.setdefault(name, {}).update(dict.fromkeys(titled_widgets(flow, node_id, name)))
    for name, targets in bare.items():
        differ = any(not same_value(flow.value(target), flow.value(next(iter(targets)))) for target in targets)
        reached = [target for target in traced.get(name, ()) if target in targets]
        explicit.setdefault(name, dict.fromkeys(reached if differ and reached else [*reached, *targets]))
    for name, targets in explicit.items():
        if not targets.keys().isdisjoint(traced.get(name, ())):  # with them, the steps at which samplers hand over
            targets.update(dict.fromkeys(target for target in traced[name] if target.part != 1.0))
    return {name: list(targets) for name, targets in explicit.items() if targets}


def titled_widgets(flow: Flow, node_id: str, name: str) -> list[Target]:
    """The widgets of a node that its title means: those of that name, else its only or its main one, or what these
    read over a link."""
    inputs = flow.inputs(node_id)
    side = "negative" if name == "negative_prompt" else "positive"
    if name in ("prompt", "negative_prompt") and (words := flow.words(node_id, side)):
        return words
    spellings = [key for key in inputs if parameter_name(key) == name or key in PARAMETERS.get(name, ())]
    plain = [key for key in inputs if not is_link(inputs[key])]
    main = [key for wanted in MAIN_INPUTS for key in inputs if key.lower() == wanted]
    for key in [*spellings, *(plain if len(plain) == 1 else []), *main]:
        if key in plain and (name not in PARAMETERS or flow.holds(name, node_id, key)):
            return [Target(node_id, key)]
        link = flow.link(node_id, key)
        sought = f"{side} text" if name in TEXTS or name not in PARAMETERS else name
        if link and not link.surely_carries(*SAMPLING) and (found := flow.best(link, sought)):
            return [found]
    return []


def placeholders(flow: Flow, traced: Mapping[str, tuple[Target, ...]]) -> Iterator[tuple[str, Target]]:
    """Every placeholder as a `Target` with its `token`, and the parameter that it names.

    `%name%` is common text, above all in file names ("%year%-%month%"). It counts for the names in `PLACEHOLDER_NAMES`,
    and inside a longer text only where somebody's words stand. What nodes of the graph replace themselves is left out.
    """
    words = {target.widget for name in TEXTS for target in traced.get(name, ())}
    texts = [
        (Target(node_id, key), value)
        for node_id in flow.nodes
        for key, value in flow.inputs(node_id).items()
        if isinstance(value, str) and ("{{" in value or "%" in value)
    ]
    replaced = {value for at, value in texts if at.input in NO_PLACEHOLDER}  # by nodes of the graph itself
    for at, text in texts:
        for found in PLACEHOLDER.finditer(text):
            token, common = found[0], found[3]
            spoken = text == token or at in words or words_in(at.input)
            if common and (common.lower() not in PLACEHOLDER_NAMES or at.input == "filename_prefix" or not spoken):
                continue
            if token not in replaced:
                name = (found[1] or found[2] or common).lower()
                yield PLACEHOLDER_NAMES.get(name, name), replace(at, token=token)


# What nobody named, found by tracing the graph back from its outputs.

# Parts of class names: nodes that sample once more by themselves, that keep files, and that show something.
DETAILER = re.compile(r"detailer", re.IGNORECASE)
SAVES = re.compile(r"save|export|VideoCombine|websocket|send", re.IGNORECASE)
SHOWS = re.compile(r"preview|show|display|view|compare", re.IGNORECASE)
SHOWS_TEXT = re.compile(r"(save|show|preview|display).*(text|string|any)", re.IGNORECASE)

Found = dict[str, dict[Target, None]]  # for each parameter its widgets, in order; the first tells the value


class Tracing:
    """The parameters of a graph as its links tell them.

    `live` numbers the nodes that feed the outputs which count, each after all that feeds it. `lines` are the rows of
    makers among them, each from its first to its last: [["3", "10"]] for a base and a refiner.
    """

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.live, self.lines = self._lines()

    def found(self) -> Found:
        """All parameters with their widgets. Those of other lines than the first are added where they hold the same."""
        read = [self._read(line) for line in self.lines]
        if not read:
            return self._scaled()
        first, *others = read
        for name, targets in first.items():
            values = [self.flow.value(next(iter(found[name]))) for found in others if found.get(name)]
            if targets and all(same_value(value, self.flow.value(next(iter(targets)))) for value in values):
                for found in others:
                    targets.update(found.get(name, {}))
        self._follow(first)
        for name in ("negative_prompt", "lyrics"):
            for target in first.get("prompt", {}):
                first.get(name, {}).pop(target, None)
        return {name: targets for name, targets in first.items() if targets}

    # From the outputs to the makers, and to the lines that they form.

    def _lines(self) -> tuple[dict[str, int], list[list[str]]]:
        """`live` and `lines`, read from the best rank of outputs that something is made for.

        `live` also holds what feeds the better ranks. A row whose last maker feeds another row is part of that one.
        """
        order: dict[str, int] = {}
        for outputs in self._outputs():
            for output in outputs:
                self._number(output, order)
            rows: list[list[str]] = []
            inner: set[str] = set()
            for end in sorted(self._nearest_makers(outputs), key=lambda node_id: -order[node_id]):
                if end not in inner:
                    rows.append(self._line(end))
                    inner.update(rows[-1][:-1])
            if rows:
                return order, sorted((row for row in rows if row[-1] not in inner), key=lambda row: order[row[0]])
        return order, []

    def _outputs(self) -> list[list[str]]:
        """The nodes that a run is for, in ranks: those that save media, save texts, show media, show
        texts. What the server calls an output node and whose name says neither counts as saving media.

        Where definitions are missing, nodes count whose outputs nothing reads, by the names of their classes; if no
        name says anything, all of them make up one rank. In a rank the lowest id comes first, as the order in the file
        depends on the program that wrote it.
        """
        flow = self.flow
        read = {link.source for node_id in flow.nodes for link in flow.links(node_id)}
        ranks: list[list[str]] = [[], [], [], []]
        others = []
        in_order = sorted(flow.nodes, key=lambda node_id: [int(number) for number in re.findall(r"\d{1,18}", node_id)])
        for node_id in in_order:
            class_type, definition = flow.class_type(node_id), flow.definition(node_id)
            if definition and not definition.is_output:
                continue
            if definition is None and node_id in read:
                continue
            text = 1 if SHOWS_TEXT.search(class_type) else 0
            if SAVES.search(class_type):
                ranks[text].append(node_id)
            elif SHOWS.search(class_type):
                ranks[2 + text].append(node_id)
            else:
                others.append(node_id)
                if definition:
                    ranks[0].append(node_id)
        return ranks if any(ranks) else [others or [node_id for node_id in in_order if node_id not in read]]

    def _number(self, output: str, order: dict[str, int]) -> None:
        """Number an output and all that feeds it, each node after those that feed it."""
        waiting, opened = [output], set()
        while waiting:
            node_id = waiting[-1]
            if node_id in order or node_id in opened:
                order.setdefault(waiting.pop(), len(order))
                continue
            opened.add(node_id)
            waiting += [link.source for link in self.flow.links(node_id) if link.source not in order]

    def _nearest_makers(self, outputs: list[str]) -> list[str]:
        """The makers that the outputs' media come from, not those before them; else the makers of their texts."""
        found: list[str] = []
        for types in ((*MEDIA, "LATENT"), (*MEDIA, "LATENT", "STRING")):
            waiting, seen = list(outputs), set(outputs)
            for node_id in waiting:
                if self.flow.is_maker(node_id):
                    found.append(node_id)
                    continue
                links = [link for link in self.flow.links(node_id) if link.may_carry(*types)]
                waiting += dict.fromkeys(link.source for link in links if link.source not in seen)
                seen.update(link.source for link in links)
            if found:
                break
        return found

    def _line(self, end: str) -> list[str]:
        """The makers of one result that share its settings, first to last: a sampler and those that it takes its latent
        from, or, alone, the last service whose prompt says something."""
        row, flow = [self._asked(end)], self.flow
        while (before := self._before(row[0])) and before not in row and len(row) < PARTS:
            row.insert(0, before)
        asked = [index for index, node_id in enumerate(row) if self._prompt_text(node_id)]
        last = asked[-1] if asked else len(row) - 1
        first = last
        while flow.is_sampler(row[last]) and first > 0 and flow.is_sampler(row[first - 1]):
            first -= 1
        while first < last and not flow.is_service(row[first]) and not self._words(row[first], "positive"):
            first += 1  # it only prepares the picture, as a depth map, say
        return [row[last]] if flow.is_service(row[last]) else [part for part in row[first:] if flow.is_sampler(part)]

    def _asked(self, end: str) -> str:
        """The maker itself if it takes words, else the nearest one before it that does, as where a video is made of a
        picture that was made of words; the maker itself when there is none."""
        at = end
        for _ in range(PARTS):
            before = self._before(at) or self._earlier(at)
            if self._words(at, "positive") or before is None:
                break
            at = before
        return at if self._words(at, "positive") else end

    @once
    def _before(self, node_id: str) -> str | None:
        """The maker whose result a maker goes on with, in its latent or as a picture, or None."""
        return self._maker_before(node_id, "maker")

    @once
    def _earlier(self, node_id: str) -> str | None:
        """The same, also where the maker begins a new latent with that result: a film that starts from a picture."""
        return self._maker_before(node_id, "earlier maker")

    def _maker_before(self, node_id: str, sought: str) -> str | None:
        """The maker that is found behind a node's links, latents first: "maker" or "earlier maker" is `sought`."""
        flow = self.flow
        media = [
            link
            for link in flow.links(node_id)
            if link.may_carry("LATENT", *MEDIA) and not link.surely_carries(*SAMPLING)
        ]
        media.sort(key=lambda link: (not link.surely_carries("LATENT"), not link.surely_carries(*MEDIA)))
        return next((found.node_id for link in media if (found := flow.best(link, sought))), None)

    # What can be set of one line.

    def _read(self, line: list[str]) -> Found:
        """The parameters of one line."""
        return self._read_samplers(line) if self.flow.is_sampler(line[0]) else self._read_service(line[-1])

    def _read_service(self, node_id: str) -> Found:
        """What can be set of a service: all its inputs that are called as a parameter is."""
        flow = self.flow
        found: Found = {
            "prompt": dict.fromkeys(flow.words(node_id, "positive")),
            "negative_prompt": dict.fromkeys(flow.words(node_id, "negative") if self._has_negative(node_id) else []),
        }
        keys = {key.rsplit(".", 1)[-1].lower(): key for key in reversed(list(flow.inputs(node_id)))}
        presets = [str(flow.inputs(node_id)[keys[key]]) for key in PARAMETERS["size"] if key in keys]
        preset = any("custom" not in size.lower() for size in presets)  # then width and height do not count
        for name, spellings in PARAMETERS.items():
            if name in found or (preset and name in ("width", "height")):
                continue
            for key in (keys[spelling] for spelling in spellings if spelling in keys):
                if flow.holds(name, node_id, key):
                    found[name] = {Target(node_id, key): None}
                elif target := flow.best(flow.link(node_id, key), name):
                    found[name] = {target: None}
                else:
                    continue
                break
        return found

    def _has_negative(self, node_id: str) -> bool:
        """Whether a service has a negative prompt of its own."""
        return any(words_in(name) == "negative" for name in self.flow.texts(node_id, "negative"))

    def _read_samplers(self, line: list[str]) -> Found:
        """What can be set of a line of samplers: by its first one, and in the later ones what they share with it."""
        flow, head = self.flow, line[0]
        found: Found = {}

        def note(name: str, *targets: Target | None) -> None:
            found.setdefault(name, {}).update(dict.fromkeys(target for target in targets if target))

        for node_id in line:
            goes_on = node_id != head and self._goes_on(node_id, head)
            for name, side in (("prompt", "positive"), ("negative_prompt", "negative")):
                words = self._words(node_id, side)
                if self._shares(words, found.get(name, {}), node_id, goes_on or node_id == head):
                    note(name, *words)
            note("seed", flow.target("seed", *flow.parts(node_id)))
            for name in ("sampler", "scheduler", "guidance"):
                self._note_alike(
                    found, name, self._guidance(node_id) if name == "guidance" else self._own(name, node_id)
                )
            if node_id == head or goes_on:
                note("steps", self._own("steps", node_id))
        note("denoise", self._own("denoise", head))
        note("steps", *self._hand_overs(line, found["steps"]))
        note("model", flow.best(self._model_link(head), "model"))
        if encoder := self._encoder(head, "positive"):
            note("lyrics", flow.target("lyrics", encoder.node_id))
            note("seed", flow.target("seed", encoder.node_id))
        if latent := self._latent(head):
            size = {name: self._size(name, latent) for name in ("width", "height")}
            if all(size.values()):
                for name, target in size.items():
                    note(name, target)
            else:
                note("aspect_ratio", self._aspect_ratio(latent))
            for name in ("batch_size", "length", "seconds"):
                note(name, flow.target(name, latent))
        return found

    # The words of a maker, and which samplers of a line share them.

    def _words(self, node_id: str, side: str) -> list[Target]:
        """The widgets of a maker's prompt ("positive") or negative prompt ("negative")."""
        if not self.flow.is_sampler(node_id):
            return self.flow.words(node_id, side)
        found = self._encoder(node_id, side)
        return self.flow.words(found.node_id, found.input) if found else []

    def _encoder(self, node_id: str, side: str) -> Target | None:
        """The encoder of a sampler's main text of a side, as `Target(encoder, side of its texts)`, whether the sampler,
        its guider or a pipe brings the conditioning."""
        flow = self.flow
        for part in flow.parts(node_id):
            links = flow.links(part)
            names = (side, "neg_conditioning") if side == "negative" else (side, "cond1", "conditioning")
            named = [link for name in names if (link := flow.link(part, name))]
            if not named and not {"positive", "negative", "guider", *names} & flow.inputs(part).keys():
                named = [link for link in links if link.is_strange or "embeds" in link.input]
            if found := next((found for link in named if (found := flow.best(link, side))), None):
                return found
        return None

    @once
    def _prompt_text(self, node_id: str) -> str:
        """What a maker is asked for, or "" when its prompt is empty or it has none."""
        words = self._words(node_id, "positive")
        return str(self.flow.value(words[0])).strip() if words else ""

    def _shares(self, words: list[Target], first: Iterable[Target], node_id: str, same_schedule: bool) -> bool:
        """Whether a sampler's text is set together with that of the first one: it goes on with the first one's
        schedule, holds the same text, or holds none. But a detailer's empty text stays empty."""
        texts = [self.flow.value(target) for target in words]
        firsts = [self.flow.value(target) for target in first]
        if same_schedule or not firsts or texts[:1] == firsts[:1]:
            return same_schedule or texts[:1] == firsts[:1]
        return not any(texts) and not DETAILER.search(self.flow.class_type(node_id))

    # The sampling: a parameter of a sampler or its parts, guidance, model, and how one sampler hands over to the next.

    def _own(self, name: str, node_id: str) -> Target | None:
        """The widget that holds a parameter of a sampler, in the sampler itself or in its parts."""
        parts = self.flow.parts(node_id)
        if name in ("steps", "denoise"):  # what only splits a schedule does not make it
            parts = [part for part in parts if part == node_id or not self.flow.link(part, "sigmas")]
        return self.flow.target(name, *parts)

    @once
    def _guidance(self, node_id: str) -> Target | None:
        """The widget of a sampler's guidance. A distilled model takes it with the text and runs at cfg 1, which must
        stay."""
        flow = self.flow
        for part in flow.parts(node_id):
            for name in ("positive", "conditioning", "cond1"):
                embedded = flow.best(flow.link(part, name), "embedded guidance")
                if embedded and (target := flow.target("guidance", embedded.node_id)):
                    return target
        return self._own("guidance", node_id)

    def _note_alike(self, found: Found, name: str, target: Target | None) -> None:
        """Add a widget to a parameter if it is the first or holds the same as the first."""
        held = found.setdefault(name, {})
        if target and (not held or same_value(self.flow.value(target), self.flow.value(next(iter(held))))):
            held[target] = None

    def _model_link(self, node_id: str) -> TypedLink | None:
        """The link that brings a sampler's model, also that of its guider or a pipe."""
        parts = self.flow.parts(node_id)
        named = [link for part in parts if (link := self.flow.link(part, "model"))]
        strange = [link for part in parts for link in self.flow.links(part) if link.is_strange]
        return next(iter(named + strange), None)

    def _goes_on(self, node_id: str, head: str) -> bool:
        """Whether a sampler goes on with the schedule of the first one, `head`, instead of having its own."""
        start = self._own_step("start_at_step", node_id)
        noise = self.flow.inputs(node_id).get("add_noise")
        if start and self.flow.value(start) and noise in ("disable", False, None):
            return True
        steps = self._own("steps", node_id)
        return steps is not None and steps == self._own("steps", head) and start is None

    def _hand_overs(self, line: list[str], steps: Iterable[Target]) -> Iterator[Target]:
        """The widgets of the steps at which one sampler hands over to the next. They move with the number of steps: the
        `part` of each is its share of all steps, 0.8 for step 16 of 20."""
        whole = next((float(held) for target in steps if is_number(held := self.flow.value(target))), 0.0)
        for node_id in line:
            if node_id != line[0] and not self._goes_on(node_id, line[0]):
                continue
            for part in self.flow.parts(node_id):
                for key in ("start_at_step", "end_at_step", "step"):
                    target = self._own_step(key, part)
                    held = self.flow.value(target) if target else 0
                    if target and is_number(held) and 0 < held < whole:
                        yield replace(target, part=held / whole)

    def _own_step(self, key: str, node_id: str) -> Target | None:
        """The widget of a step in the schedule, "start_at_step", say, also over a link."""
        if is_number(self.flow.inputs(node_id).get(key)):
            return Target(node_id, key)
        return self.flow.best(self.flow.link(node_id, key), "steps")

    # The latent that sampling starts from, and the size of it.

    @once
    def _latent(self, node_id: str) -> str | None:
        """The node that makes the latent which a sampler starts from, or None."""
        flow = self.flow
        links = [link for link in flow.links(node_id) if link.may_carry("LATENT", "IMAGE")]
        links.sort(key=lambda link: (link.input != "latent_image", not link.surely_carries("LATENT")))
        return next((found.node_id for link in links if (found := flow.best(link, "latent"))), None)

    def _size(self, name: str, latent: str) -> Target | None:
        """The widget that holds a latent's width or height, also that of the picture that it is made from."""
        if pair := self.flow.size_inputs(latent):
            return self.flow.target(name, latent) if pair[0] == "width" else self._pair(name, latent, pair)
        pictures = [link for link in self.flow.links(latent) if link.surely_carries("IMAGE")]
        return self.flow.best(pictures[0], f"image {name}") if pictures else None

    def _pair(self, name: str, node_id: str, pair: tuple[str, str]) -> Target | None:
        """The same where the inputs have unusual names: those in `pair`."""
        key = pair[name == "height"]
        if self.flow.holds(name, node_id, key):
            return Target(node_id, key)
        return self.flow.best(self.flow.link(node_id, key), name)

    def _aspect_ratio(self, latent: str) -> Target | None:
        """The widget that chooses a latent's size where no numbers do."""
        flow = self.flow
        return flow.target("aspect_ratio", latent) or flow.best(flow.link(latent, "width"), "aspect_ratio")

    # What is added to the first line, and what there is to set where nothing is made.

    def _follow(self, found: Found) -> None:
        """Add the widgets on the way that must hold the same as a parameter: the size given to a scheduler or encoder,
        the frames of the sound beside the frames of the picture, a model file that is loaded twice. Add all frame
        rates."""
        flow = self.flow
        held = {name: flow.value(next(iter(targets))) for name, targets in found.items() if targets}
        live = sorted(self.live, key=lambda node_id: -self.live[node_id])
        rates = (flow.target("fps", node_id) for node_id in live)
        found.setdefault("fps", {}).update(dict.fromkeys(target for target in rates if target))
        for node_id in live:
            inputs = flow.inputs(node_id)
            for pair in zip(PARAMETERS["width"], PARAMETERS["height"], strict=True):
                sizes = [inputs.get(key) for key in pair]
                if "width" in held and "height" in held and sizes == [held["width"], held["height"]]:
                    found["width"][Target(node_id, pair[0])] = None
                    found["height"][Target(node_id, pair[1])] = None
            for name in ("length", "seconds", "model"):
                for key in PARAMETERS[name]:
                    alike = name in held and flow.holds(name, node_id, key) and same_value(inputs[key], held[name])
                    if alike and held[name] not in (0, 1):
                        found[name][Target(node_id, key)] = None

    def _scaled(self) -> Found:
        """What can be set where nothing is made: of pictures that are only changed, the size of what is saved."""
        for output in itertools.chain(*self._outputs()):
            for link in self.flow.links(output):
                size = {name: self.flow.best(link, f"image {name}") for name in ("width", "height")}
                if link.surely_carries("IMAGE") and all(size.values()):
                    return {name: {target: None} for name, target in size.items() if target}
        return {}
