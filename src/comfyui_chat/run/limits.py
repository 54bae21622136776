"""What the administrator allows, checked on a finished graph, whoever put the number there.

`check_limits` holds the highest numbers that a graph can come to (see run/amounts) against the
limits: of each node its steps, the size of its pictures and how many it makes; of all nodes
together the steps that are sampled; and of films their seconds. What makes frames counts there, and
not what cuts some out of those that there are. A batch that becomes a film is its frames, also
where one of them is saved as a picture.

A node is not known by its class but by its inputs: one with `width`, `height` and `batch_size`
makes pictures, say. In

    {"5": {"class_type": "EmptyLatentImage", "inputs": {"width": ["7", 0], "height": 1024, "batch_size": 1}},
     "7": {"class_type": "PrimitiveInt", "inputs": {"value": 8192}}}

it makes 8.39 megapixels, and is refused where 4.2 are allowed. A number that nothing bounds is
refused as well.

What a workflow of the administrator's has from its author stays allowed: of it only what the call
made more is refused.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import LimitExceeded, NotPermitted
from ..graph.definitions import last_part
from ..graph.facts import FILMS, made_by
from ..graph.input_names import PARAMETERS
from ..graph.nodes import Graph, Target, node_title
from ..graph.workflow import Workflow
from ..names import quoted, shortened
from ..server.allowed import Allowed
from ..sizes import Size
from .amounts import Amounts, makes_frames
from .fleet import Limits

# Inputs beside width and height that show a node to make pixels of them, and not only to tell a
# model or a text.
MAKES_PIXELS = {"batch_size", "length", "upscale_method", "scale_method", "resize_type"}
# inputs beside a batch size that show it to count pictures
PICTURE_MAKER = {"width", "height", "seconds"}
SIDES = ("width", "height")
FRAME_TYPES = ("IMAGE", "LATENT", "VIDEO", "MASK", "")  # the types by which frames come to a film
PICTURE_TYPES_MADE = ("IMAGE", "LATENT")
USUAL_FPS = 24.0  # where a graph does not say
MOST_FPS = 30.0  # a higher rate does not let more frames pass as a shorter video
# how often all pictures of a call may be sampled with all steps: base, refiner, a larger one, its
# details
PASSES = 4
# how many times as many pictures as may be made in a call may be put together to a batch
GATHERED = 16
# how many times as many pixels as may be kept a picture may have before it is made smaller
ON_THE_WAY = 16
MOST_LIMITS_TOLD = 6  # of all limits that one call exceeds
# What amounts are called that are no input's.
PIXELS = "width x height in megapixels"
SAMPLED = "steps of all samplers together"
SECONDS = "seconds of video"
LARGEST = "megapixels of a picture"
NUMBER_OF_PICTURES = "the number of pictures"
# What is not told beside a number in a node that comes to the same.
TOLD_BY = {
    LARGEST: {PIXELS, "megapixels", "scale_by in megapixels"},
    NUMBER_OF_PICTURES: {"batch_size", "amount"},
}


def check_own_nodes(workflow: Workflow, patterns: Iterable[str]) -> None:
    """Raise `NotPermitted` for nodes that a workflow which the caller brings may not have, by
    patterns of their classes.
    """
    allowed = Allowed(workflows=tuple(patterns))
    classes = dict.fromkeys(str(node["class_type"]) for node in workflow.graph.values())
    others = [shortened(name, 60) for name in classes if not allowed.workflow(name)]
    if others:
        raise NotPermitted(
            f"The administrator does not allow these nodes in users' own workflows: {quoted(others[:10])}.",
            "Name a workflow that list_workflows lists, or tell the user to ask an administrator.",
        )


@dataclass(frozen=True)
class Amount:
    """What a graph comes to at one place, and what is allowed there."""

    node_id: str  # "" for all nodes together
    name: str  # of the input, or of what is counted: "width x height in megapixels"
    value: float  # `math.inf` where nothing bounds it
    allowed: float

    @property
    def place(self) -> tuple[str, str]:
        """Where it is, for the same place of another graph."""
        return self.node_id, self.name

    @property
    def is_over(self) -> bool:
        """Whether it is more than is allowed."""
        return self.value > self.allowed

    def error(self, graph: Graph) -> LimitExceeded:
        """The error for it."""
        allowed = f"the administrator allows {self.allowed:g}"
        if self.name == SECONDS:
            value = "any number of" if self.value == math.inf else f"{self.value:.1f}"
            message = f"The video would have {value} seconds, and {allowed}."
            return LimitExceeded(
                message, f"Ask for at most {self.allowed:g} seconds, or for fewer frames."
            )
        title = node_title(graph, self.node_id) if self.node_id else "The workflow"
        if self.value == math.inf:
            message = (
                f"{title} is given {self.name} by a node whose result is not known before the run, "
                f"and {allowed}."
            )
            return LimitExceeded(
                message, f"Write a number of at most {self.allowed:g} into the node itself."
            )
        message = f"{title} has {round(self.value, 2):g} as {self.name}, and {allowed}."
        return LimitExceeded(message, f"Ask for at most {self.allowed:g}.")


def check_limits(
    workflow: Workflow,
    limits: Limits,
    touched: Collection[Target],
    makes: set[str],
    *,
    sizes: Mapping[Target, Size] | None = None,
    saved: Workflow | None = None,
) -> None:
    """Raise `LimitExceeded` when a prompt would do more than the administrator allows, whoever put
    it there: steps, pixels, pictures and seconds of video. One error names all of it. Blocks.

    `touched` are the widgets that the call set, `makes` the kinds of what the graph saves, `sizes`
    those of the pictures that it is given, by the inputs that name them. `saved` is the workflow as
    its author left it, where that was the administrator: what it comes to by itself is allowed.
    """
    counting = _Counting(workflow, limits, touched, makes, sizes)
    over = [amount for amount in counting.amounts() if amount.is_over]
    if over and saved:
        usual = {
            amount.place: amount
            for amount in _Counting(saved, limits, touched, makes, sizes).amounts()
        }
        over = [amount for amount in over if counting.is_more(amount, usual.get(amount.place))]
    names = {amount.name for amount in over}
    told = [amount for amount in over if names.isdisjoint(TOLD_BY.get(amount.name, ()))]
    raise_all([amount.error(workflow.graph) for amount in told])


def raise_all(exceeded: Sequence[LimitExceeded]) -> None:
    """Raise one error for all limits that a call exceeds, so that the next call keeps to all of
    them; none for none.
    """
    if not exceeded:
        return
    told = exceeded[:MOST_LIMITS_TOLD]
    messages = dict.fromkeys(error.message for error in told)
    hints = dict.fromkeys(error.hint for error in told)
    raise LimitExceeded(" ".join(messages), " ".join(hints))


class _Counting:
    """What one graph comes to, at each of its nodes and in all."""

    def __init__(
        self,
        workflow: Workflow,
        limits: Limits,
        touched: Collection[Target],
        makes: set[str],
        sizes: Mapping[Target, Size] | None,
    ) -> None:
        self._graph = workflow.graph
        self._flow = workflow.flow
        self._limits = limits
        self._touched = touched
        self._makes_film = bool(makes & FILMS)
        self._most = Amounts(workflow.flow, sizes)
        films = [node_id for node_id, kind in made_by(self._flow) if kind in FILMS]
        # whose pictures become the frames of a film
        self._filmed = self._flow.before(films, FRAME_TYPES) if self._makes_film else {}

    def amounts(self) -> list[Amount]:
        """All that is limited, whether it is over its limit or not."""
        amounts: list[Amount] = []
        for node_id in self._graph:
            amounts += self._steps_of(node_id)
            amounts += self._pixels_of(node_id)
            amounts += self._pictures_of(node_id)
        amounts += self._grown()
        amounts.append(self._sampled())
        amounts.append(Amount("", SECONDS, self._seconds(), self._limits.video_seconds))
        return amounts

    def is_more(self, amount: Amount, usual: Amount | None) -> bool:
        """Whether an amount is more than the author's own, so that the call is what made it more.
        Where neither has a bound, it is the call's if that set something before the node.
        """
        if usual is None:
            return True
        if amount.value == math.inf == usual.value:
            before = self._flow.before([amount.node_id] if amount.node_id else self._graph)
            return any(target.node_id in before for target in self._touched)
        # several of what the author makes one of
        times = self._limits.count if amount.name == SAMPLED else 1
        return amount.value > usual.value * times

    # What each node has by its own inputs.

    def _steps_of(self, node_id: str) -> Iterator[Amount]:
        """The steps of a node, also those that it has as a list of sigmas."""
        numbers = self._most.numbers(node_id)
        steps = numbers.get("steps", 0.0) * max(numbers.get("grad_accumulation_steps", 1.0), 1.0)
        yield Amount(node_id, "steps", max(steps, self._most.sigmas(node_id)), self._limits.steps)

    def _pixels_of(self, node_id: str) -> Iterator[Amount]:
        """The megapixels that a node makes of a width and a height. What scales pictures counts
        against the same limit where the call chose how far.
        """
        numbers, allowed = self._most.numbers(node_id), self._limits.megapixels
        takes = self._takes(node_id)
        width, height = numbers.get("width", 0.0), numbers.get("height", 0.0)
        if (
            not MAKES_PIXELS.isdisjoint(takes)
            and numbers.keys() >= set(SIDES)
            and (width or height)
        ):
            # A side of 0 is for "in proportion".
            yield Amount(node_id, PIXELS, (width or height) * (height or width) / 1e6, allowed)
        if Target(node_id, "megapixels") in self._touched:
            yield Amount(node_id, "megapixels", numbers.get("megapixels", 0.0), allowed)
        if Target(node_id, "scale_by") in self._touched:
            yield Amount(
                node_id, "scale_by in megapixels", self._most.pictures(node_id).megapixels, allowed
            )

    def _pictures_of(self, node_id: str) -> Iterator[Amount]:
        """How many pictures a node makes by its own number, unless they are the frames of a film."""
        takes = self._takes(node_id)
        repeats = self._flow.class_type(node_id).startswith("Repeat")
        if not repeats and PICTURE_MAKER.isdisjoint(takes):
            return
        numbers = self._most.numbers(node_id)
        for name in ("batch_size", "amount"):
            number = numbers.get(name, 1.0)
            if number <= 1:
                continue
            has_length = not takes.isdisjoint(PARAMETERS["length"])
            if has_length or node_id not in self._filmed:
                yield Amount(node_id, name, number, self._limits.count)

    def _takes(self, node_id: str) -> set[str]:
        return {last_part(name) for name in self._flow.inputs(node_id)}

    # What comes together along the links.

    def _grown(self) -> Iterator[Amount]:
        """The pictures that are too large or too many because several nodes add up, at the first of
        these nodes.
        """
        for node_id in self._graph:
            if not self._made_types(node_id) and not self._flow.is_output(node_id):
                continue
            before = [
                link.source
                for link in self._flow.links_surely_carrying(node_id, *PICTURE_TYPES_MADE)
            ]
            for amount_of in (self._largest, self._number):
                if not any(amount_of(source).is_over for source in before):
                    yield amount_of(node_id)

    def _largest(self, node_id: str) -> Amount:
        """The size of a node's largest picture. One that is only enlarged may be larger than one
        that is made, and on its way larger than it is kept: an upscaling model always makes it four
        times as wide, say.
        """
        allowed = self._limits.megapixels
        if "LATENT" not in self._made_types(node_id):
            allowed = max(allowed, self._limits.upscaled_megapixels)
            if not self._flow.is_output(node_id):
                allowed *= ON_THE_WAY
        return Amount(node_id, LARGEST, self._most.pictures(node_id).megapixels, allowed)

    def _number(self, node_id: str) -> Amount:
        """How many pictures come out of a node; of a film, none that count. More may be put
        together than made, and beside a film as many as it may have frames.
        """
        number = 0.0 if node_id in self._filmed else self._most.whole(node_id)
        allowed: float = self._limits.count
        if not self._flow.is_maker(node_id):
            allowed *= GATHERED
            if self._makes_film:
                allowed = max(allowed, self._limits.video_seconds * MOST_FPS)
        return Amount(node_id, NUMBER_OF_PICTURES, number, allowed)

    def _made_types(self, node_id: str) -> set[str]:
        """The types of pictures that other nodes get from a node."""
        return {link.type for link in self._flow.out_of[node_id]} & set(PICTURE_TYPES_MADE)

    def _sampled(self) -> Amount:
        """The steps of all samplers together, each as often as it makes pictures."""
        total = 0.0
        for node_id in self._graph:
            if self._flow.is_sampler(node_id):
                number = 1.0
                if node_id not in self._filmed:
                    number = max(self._most.pictures(node_id).number, 1.0)
                total += self._steps_sampled(node_id) * number * self._most.runs(node_id)
        return Amount("", SAMPLED, total, self._limits.steps * self._limits.count * PASSES)

    def _steps_sampled(self, node_id: str) -> float:
        """The steps of one sampler: its own, or those of its parts together; of a schedule that it
        shares, its part.
        """
        steps = 0.0
        for part in self._flow.parts(node_id):
            sigmas = self._flow.links_surely_carrying(part, "SIGMAS")
            if not self._most.sigmas(part):
                steps += self._most.numbers(part).get("steps", 0.0)
                steps += sum(self._most.sigmas(link.source) for link in sigmas)
        numbers = self._most.numbers(node_id)
        end = min(numbers.get("end_at_step", steps), steps)
        return max(end - max(numbers.get("start_at_step", 0.0), 0.0), 0.0)

    def _seconds(self) -> float:
        """How long the longest video is, in seconds: by its frames and their rate, or as it says.
        Frames that are saved as pictures count as well.
        """
        fps = min(max(frame_rate(self._most), 1.0), MOST_FPS)
        frames = [self._frames_of(node_id) for node_id in self._graph]
        seconds: list[float] = []
        if self._makes_film:
            making = [node_id for node_id in self._graph if makes_frames(self._flow, node_id)]
            frames += self._numbers_of("length", making)
            seconds += self._numbers_of("seconds", making)
        return max([*seconds, *(number / fps for number in frames)], default=0.0)

    def _frames_of(self, node_id: str) -> float:
        """How many frames come out of a node: of a film made in one piece, and of pictures that
        become one.
        """
        pictures = self._most.pictures(node_id)
        if pictures.frames > 1:
            return pictures.frames * pictures.number
        return self._most.made(node_id) if node_id in self._filmed else 0.0

    def _numbers_of(self, parameter: str, node_ids: Iterable[str]) -> Iterator[float]:
        """The numbers in all inputs of these nodes whose names are those of the parameter."""
        for node_id in node_ids:
            for name, number in self._most.numbers(node_id).items():
                if name in PARAMETERS[parameter]:
                    yield number


def frame_rate(amounts: Amounts) -> float:
    """The frames a second of the videos that a graph makes, the lowest of several."""
    return amounts.lowest(PARAMETERS["fps"]) or USUAL_FPS
