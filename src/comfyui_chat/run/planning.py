"""Binds a request to its workflow: prompts, ready to post, within all ranges and limits.

`prepare` makes the `BoundPrompts`. A `_Binding` gathers the values, each over those before it: the defaults of the
model's family, the size or scale, the arguments that every workflow may have (prompt, steps, guidance...), and what is
named in `inputs`. Then they are spread over the prompts that the call takes (one with a batch, or several with seeds in
a row), the LoRAs are put in, and texts and file names are changed as ComfyUI's front end changes them before a run.

Three rules for a value that does not fit. A number outside the range of its node is moved into it, with a note. A name
that does not exist is refused, with those most like it. What the administrator does not allow is refused with the
limit: `check_limits` reads it off the finished graph, whoever put the number there.

Nothing here does any I/O: the node definitions come with the `FittedWorkflow`, the seed and the time as arguments.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ..catalogue.choosing import FittedWorkflow, Request
from ..errors import BadArgument, LimitExceeded, ModelNotInstalled, NodeNotInstalled
from ..graph.definitions import InputSpec
from ..graph.facts import file_inputs, outputs
from ..graph.fitting import fit_number, fit_size, fit_value, on_step
from ..graph.loras import LORA_LOADERS, Lora, parse_lora, with_loras
from ..graph.nodes import Graph, Target, is_link, node_inputs, node_title
from ..graph.prompts import as_sent
from ..graph.search import PARAMETERS
from ..graph.workflow import Workflow
from ..names import closest, find_name, quoted, shortened
from ..values import Argument, Size, as_number, is_given, read_size
from .fleet import Limits

MAX_SEED = 2**32 - 1  # of random seeds: they stay short enough for a person, or a model, to repeat
EXTRAS = ("size", "count", "loras", "strength", "scale")  # what `inputs` may name beside the workflow's own inputs


@dataclass(frozen=True)
class BoundPrompts:
    """The prompts that make up a call, bound and ready to post."""

    workflows: tuple[Workflow, ...]
    seed: int | None  # of the first one; None where the workflow has none
    model: str
    notes: tuple[str, ...]  # on what was changed or left out, for the model that called


def prepare(choice: FittedWorkflow, request: Request, limits: Limits, random_seed: int, now: datetime) -> BoundPrompts:
    """Turn a request into bound graphs, by the ranges of the server's own nodes and within the limits. `random_seed` is
    used where none is asked for, `now` for the dates in file names. Blocks: call it in a thread.

    Raises `BadArgument` and `ValueOutOfRange` for what cannot be understood, `ModelNotInstalled` for files that are not
    there, and `LimitExceeded` for what the administrator does not allow.
    """
    workflow = choice.workflow
    if choice.task == "upscale":
        limits = replace(limits, megapixels=limits.upscaled_megapixels)
    binding = _Binding(choice, _with_extras(request, workflow), limits)
    values = binding.values()
    touched = {target.widget for name in values for target in workflow.find(name) or ()}
    _check_absent(choice, touched)
    runs = binding.runs(values, random_seed)
    loras = binding.loras()

    texts = workflow.dynamic - touched - workflow.templates.keys()
    ready = []
    for seed, run in runs:
        rng = random.Random(seed)
        bound = workflow.chosen(rng).bind(run)
        filled = replace(bound, graph=with_loras(bound.graph, loras, workflow.definitions)).filled()
        ready.append(replace(filled, graph=as_sent(filled.graph, texts, rng, now)))
    makes = {kind for _, kind in outputs(ready[0].flow)}
    for one in ready:
        check_limits(one, limits, touched, makes)
    first_seed, _ = runs[0]
    model = str(ready[0].value("model") or choice.model)
    return BoundPrompts(tuple(ready), first_seed, model, (*choice.notes, *binding.notes))


def _with_extras(request: Request, workflow: Workflow) -> Request:
    """The request with those `EXTRAS` as arguments that its `inputs` name and that are not inputs of the workflow."""
    extras: dict[str, Any] = {}
    inputs = {}
    for name, wanted in request.inputs.items():
        if name in EXTRAS and not workflow.find(name):
            extras[name] = wanted
        else:
            inputs[name] = wanted
    return replace(request, inputs=inputs, **extras)


def _check_absent(choice: FittedWorkflow, touched: set[Target]) -> None:
    """Raises `BadArgument` for pictures and the like, and `ModelNotInstalled` for model files, that the workflow names,
    the server does not have, and the call did not replace."""
    name = f'The workflow "{choice.workflow.name}" needs'
    if choice.wanting:
        raise BadArgument(
            f"{name} {' and '.join(choice.wanting.values())}.", "Give them in `images` of edit_image or run_workflow."
        )
    absent = [what for target, what in choice.absent.items() if target not in touched]
    if absent:
        raise ModelNotInstalled(
            f"{name} model files that are not installed: {'; '.join(absent[:5])}.",
            "They have to be put into ComfyUI's models folder, or others named in `inputs`.",
        )


SCALE = InputSpec("FLOAT", 1.0, 8.0)  # how many times as wide and high a picture may become
FOLLOWED = (0.2, 1.5)  # parts of a model's usual number of pixels; between them a picture keeps its very size
GRAIN, FILM_GRAIN = 16, 64  # pixels; sides in multiples of these suit every model, and every one for video
SIDES = ("width", "height")


class _Binding:
    """A request on its way into its workflow: `values`, `runs` and `loras` say what goes in, and `notes` what had to be
    changed or left out for it."""

    def __init__(self, choice: FittedWorkflow, request: Request, limits: Limits) -> None:
        self._choice = choice
        self._workflow = choice.workflow
        self._request = request
        self._limits = limits
        self.notes: list[str] = []

    def _spec(self, name: str) -> InputSpec:
        return self._workflow.spec(name)

    @property
    def _has_sides(self) -> bool:
        return all(side in self._workflow.parameters for side in SIDES)

    def _fit(self, wanted: Argument, spec: InputSpec) -> Any:
        """The value as the input takes it, with a note where it had to be changed."""
        value, note = fit_value(wanted, spec)
        self._note(note)
        return value

    def _note(self, note: str) -> None:
        if note:
            self.notes.append(note)

    def values(self) -> dict[str, Any]:
        """The values that go into every prompt, by the names of parameters and inputs. Raises `BadArgument` where the
        workflow needs a prompt and none is given."""
        choice, workflow = self._choice, self._workflow
        parameters = workflow.parameters
        values = {name: value for name, value in choice.family.defaults.items() if name in parameters}
        if not choice.saved and "steps" in parameters:
            values["steps"] = min(values.get("steps", workflow.value("steps")), self._limits.steps)
        values |= self._scaled_size() or self._size()
        values |= self._arguments()
        values |= self._named_inputs()
        needs_prompt = "prompt" in (workflow.open if choice.saved else parameters)
        if needs_prompt and not any(workflow.find(name) == parameters.get("prompt") for name in values):
            raise BadArgument(f'The workflow "{workflow.name}" needs a prompt.', 'Give {"prompt": "…"} in `inputs`.')
        return values

    # The size: so many times that of a picture, as asked for, like that of the picture, or as it was saved.

    def _scaled_size(self) -> dict[str, int]:
        """The width and height of an enlarged picture, exactly so many times its own: as `scale` says, or twice where
        an upscale workflow is told nothing else. Empty when the size is asked for otherwise. Raises `LimitExceeded`."""
        request, picture = self._request, self._choice.picture
        if not self._has_sides:
            picture = None
        enlarges = self._choice.task == "upscale" and picture is not None and not request.size
        if request.scale is None and not enlarges:
            return {}
        if picture is None:
            self.notes.append(f'the workflow "{self._workflow.name}" has a scale of its own; scale was left out')
            return {}
        sides = {} if request.scale else self._sides_named()
        if len(sides) == 2:
            return {}
        if sides:  # the other one follows
            ((side, length),) = sides.items()
            scale = length / getattr(picture, side)
            width, height = round(picture.width * scale), round(picture.height * scale)
            return {"width": max(width, 1), "height": max(height, 1)}
        scale = self._scale()
        size = Size(round(picture.width * scale), round(picture.height * scale))
        self._check_scaled(picture, size)
        return {"width": size.width, "height": size.height}

    def _scale(self) -> float:
        """How many times as wide and high the picture becomes."""
        wanted = self._request.scale or Argument(2, "scale")
        if isinstance(wanted.value, str):  # "4x"
            wanted = replace(wanted, value=wanted.value.strip().lower().strip("x×"))
        scale: float = self._fit(wanted, SCALE)
        if self._request.size:
            self.notes.append("scale was followed, and size left out")
        return scale

    def _check_scaled(self, picture: Size, size: Size) -> None:
        """Raises `LimitExceeded`, with the largest scale that is left, for a size beyond the node or the limits."""
        longest, side = max(size.width, size.height), max(picture.width, picture.height)
        maximum = self._spec("width" if picture.width > picture.height else "height").maximum
        if maximum and longest > maximum:
            raise LimitExceeded(
                f"The picture would have {size} pixels, and ComfyUI makes at most {maximum:g} a side.",
                f"Ask for a scale of at most {math.floor(10 * maximum / side) / 10:g}.",
            )
        allowed = self._limits.megapixels
        if size.megapixels > allowed:
            scale = math.floor(10 * math.sqrt(allowed / picture.megapixels)) / 10
            raise LimitExceeded(
                f"The picture would have {size}, {size.megapixels:.1f} megapixels, and the administrator allows "
                f"{allowed:g}.",
                f"Ask for a scale of at most {scale:g}." if scale > 1 else "It is as large as it may become.",
            )

    def _sides_named(self) -> dict[str, float]:
        """The width and height that the `inputs` of the call name, without those of 0, which stands for "in
        proportion": {"width": 1500.0}."""
        sides: dict[str, float] = {}
        for name, wanted in self._request.inputs.items():
            for side in SIDES:
                if self._workflow.find(name) == self._workflow.parameters[side]:
                    length, _ = fit_number(wanted, self._spec(side))
                    if length:
                        sides[side] = length
        return sides

    def _size(self) -> dict[str, int]:
        """The width and height in which the workflow works: what is asked for, else a size for the picture that it
        works on, else its own. Empty where the workflow has none, or where what its author saved stays.

            asked for 1000x600           {"width": 1000, "height": 600}, or what the node takes that is nearest
            asked for 16:9               of the model's usual megapixels, or fewer if the limit is lower
            a picture of 800x600         {"width": 800, "height": 608}, in multiples of `GRAIN`
            nothing, saved as 1024x1024  {"width": 1024, "height": 1024}

        Raises `LimitExceeded` for more pixels than allowed, but only where just so many were asked for.
        """
        choice, workflow, wanted = self._choice, self._workflow, self._request.size
        if not self._has_sides:
            if wanted:
                self.notes.append(f'the workflow "{workflow.name}" has no size of its own; size was left out')
            return {}
        if choice.saved and wanted is None:
            return {}
        if choice.saved and not all(self._spec(side).type == "INT" for side in SIDES):
            self.notes.append(f'the workflow "{workflow.name}" has no size in pixels; size was left out')
            return {}
        if wanted:
            size = self._asked_size(wanted)
        elif choice.picture:
            size = self._size_for(choice.picture)
        else:
            size = self._usual_size()
        return {"width": size.width, "height": size.height}

    def _own_size(self) -> Size:
        """The size that the workflow was saved with."""
        width, height = (self._workflow.value(side) for side in SIDES)
        if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
            return Size(width, height)
        return Size(1024, 1024)

    def _usual_megapixels(self) -> float:
        """Those that the model makes best."""
        return self._choice.family.megapixels or self._own_size().megapixels

    def _asked_size(self, wanted: Argument) -> Size:
        """The size that is asked for, in pixels or as an aspect ratio. Raises `LimitExceeded`."""
        asked = read_size(wanted)
        megapixels = self._usual_megapixels()
        size = fit_size(asked, megapixels, self._spec("width"), self._spec("height"))
        if not isinstance(asked, Size):
            return self._within_limit(size, asked, megapixels)
        if asked.megapixels > self._limits.megapixels:
            raise _over_limit(wanted, asked, f"at most {self._limits.megapixels:g} megapixels")
        if size != asked:
            self.notes.append(f"size {asked} was changed to {size}, which the node takes")
        return size

    def _size_for(self, picture: Size) -> Size:
        """The size in which the model works on a picture."""
        width, height = self._spec("width"), self._spec("height")
        grain = FILM_GRAIN if "length" in self._workflow.parameters else GRAIN
        grain = max(grain, int(width.step or 1), int(height.step or 1))
        own = followed(picture, self._usual_megapixels(), self._limits.megapixels, grain)
        return Size(on_step(own.width, width), on_step(own.height, height))

    def _usual_size(self) -> Size:
        """The workflow's own size where the model is good at it, else one of its proportions."""
        own, megapixels = self._own_size(), self._usual_megapixels()
        ratio = float(own.width), float(own.height)
        size = own
        if not 0.9 <= own.megapixels / megapixels <= 1.1:
            size = fit_size(ratio, megapixels, self._spec("width"), self._spec("height"))
        return self._within_limit(size, ratio, megapixels)

    def _within_limit(self, size: Size, ratio: tuple[float, float], megapixels: float) -> Size:
        """The size, or a smaller one of the same proportions where it is over the limit: nobody asked for just so many
        pixels."""
        width, height = self._spec("width"), self._spec("height")
        while size.megapixels > self._limits.megapixels and megapixels > 0.01:
            megapixels *= 0.95
            size = fit_size(ratio, megapixels, width, height)
        return size

    # What is asked for by an argument or by the name of an input.

    def _arguments(self) -> dict[str, Any]:
        """The values of the arguments that every workflow may have. What this one does not have is left out, with a
        note. Raises `BadArgument` for a prompt that it does not take, and `LimitExceeded` for too many steps."""
        request, parameters = self._request, self._workflow.parameters
        prompt = None
        if request.prompt is not None:
            prompt = Argument(request.prompt, "The argument prompt")
        if prompt and "prompt" not in parameters:
            raise BadArgument(
                f'The workflow "{self._workflow.name}" takes no prompt.',
                "describe_workflow tells what it takes, and run_workflow runs it.",
            )
        asked = {
            "prompt": prompt,
            "negative_prompt": request.negative_prompt,
            "steps": request.steps,
            "guidance": request.guidance,
            "seed": request.seed,
            "strength": request.strength,
        }
        values: dict[str, Any] = {}
        for name, wanted in asked.items():
            if wanted is None:
                continue
            parameter = "denoise" if name == "strength" else name
            if parameter in parameters and (name != "strength" or self._choice.picture):
                values[parameter] = self._fit(wanted, self._spec(parameter))
            else:
                self._leave_out(name, wanted)
        if request.steps and (as_number(values.get("steps")) or 0) > self._limits.steps:
            raise _over_limit(request.steps, values["steps"], f"at most {self._limits.steps} steps")
        return values

    def _leave_out(self, name: str, wanted: Argument) -> None:
        """Note that the workflow does not have what an argument asks for. A valve may name a negative prompt for all
        workflows, also for those that take none."""
        if name != "negative_prompt":
            self.notes.append(f'the workflow "{self._workflow.name}" has no {name}; it was left out')
        elif wanted.level == 0:
            self.notes.append(f'the workflow "{self._workflow.name}" takes no negative prompt; it was left out')

    def _named_inputs(self) -> dict[str, Any]:
        """The values of what is asked for by name, made to fit. Files are given as files and never by a name: the
        server's folders hold everybody's. Raises `BadArgument` for a name that the workflow does not have."""
        workflow = self._workflow
        if not self._request.inputs:
            return {}
        files = {item.target for item in file_inputs(workflow.flow)}
        values: dict[str, Any] = {}
        for name, wanted in self._request.inputs.items():
            targets = workflow.find(name)
            if targets is None:
                like = closest(name, [*workflow.names, *EXTRAS], 5)
                raise BadArgument(
                    f'The workflow "{workflow.name}" has no input "{shortened(name)}".',
                    f"It has, like it: {quoted(like)}.",
                )
            if not files.isdisjoint(target.widget for target in targets):
                raise BadArgument(
                    f"{wanted.name} is a file.", "Give the file itself in `images`: its number, id or URL."
                )
            values[name] = self._fit(wanted, self._spec(name))
        return values

    # How many pictures, and with which seeds and LoRAs.

    def _count(self) -> int | None:
        """How many pictures are asked for; None where that is not said. Raises `LimitExceeded`."""
        wanted = self._request.count
        if wanted is None:
            return None
        count, note = fit_number(wanted, InputSpec("INT", 1))
        if count > self._limits.count:
            raise _over_limit(wanted, count, f"at most {self._limits.count} pictures in one call")
        self._note(note)
        return int(count)

    def runs(self, values: Mapping[str, Any], random_seed: int) -> list[tuple[int | None, dict[str, Any]]]:
        """The seed and the values of each prompt that the call takes: one prompt with a batch, or one for each picture,
        with seeds in a row.

            a batch size, count 3:  [(7, {"seed": 7, "batch_size": 3})]
            only a seed, count 3:   [(7, {"seed": 7}), (8, {"seed": 8}), (9, {"seed": 9})]

        Without either a second picture would be the same, so the count is left out, with a note.
        """
        workflow, values = self._workflow, dict(values)
        count = self._count()
        has_batch = "batch_size" in workflow.parameters
        batch = {"batch_size": count} if has_batch and count else {}
        if "seed" not in workflow.parameters:
            if not has_batch and count and count > 1:
                self.notes.append(f'the workflow "{workflow.name}" cannot make several; count was left out')
            return [(None, {**values, **batch})]
        low, span = self._seed_range()
        seed = low + random_seed % span
        asked = [name for name in values if workflow.find(name) == workflow.parameters["seed"]]
        if asked:
            seed = values.pop(asked[-1])
        # A seed of one sampler alone, given by its own name, comes after the seed of all.
        if not isinstance(seed, int):  # it only stands in a text
            return [(None, {"seed": seed, **values})]
        if has_batch:
            return [(seed, {"seed": seed, **values, **batch})]
        seeds = [low + (seed - low + index) % span for index in range(count or 1)]
        return [(one, {"seed": one, **values}) for one in seeds]

    def _seed_range(self) -> tuple[int, int]:
        """The lowest seed that the workflow takes, and how many there are."""
        spec = self._spec("seed")
        low = max(int(spec.minimum or 0), 0)
        high = MAX_SEED if spec.maximum is None else int(min(spec.maximum, 2**64 - 1))
        return low, max(high - low + 1, 1)

    def loras(self) -> list[Lora]:
        """LoRAs given as "name" or "name:0.8", several in a list or behind commas, as files that are installed.
        Strengths are made to fit, with a note. Raises `BadArgument`, `ModelNotInstalled`, `NodeNotInstalled`."""
        wanted, definitions = self._request.loras, self._workflow.definitions
        if wanted is None:
            return []
        texts = _lora_texts(wanted)
        loader = next((definitions[name] for name in LORA_LOADERS if name in definitions), None)
        if loader is None:
            raise NodeNotInstalled('This ComfyUI has no node "LoraLoader".')
        choices, strength = loader.inputs["lora_name"].names, loader.inputs["strength_model"]
        loras = []
        for text in texts:
            name, asked = parse_lora(text)
            file = find_name(name, choices)
            if file is None:
                raise _no_such_lora(wanted, name, choices)
            fitted, note = fit_number(Argument(asked, f'the strength of the LoRA "{file}"', wanted.level), strength)
            self._note(note)
            loras.append(Lora(file, fitted))
        return loras


def _lora_texts(wanted: Argument) -> list[str]:
    """What is asked for, one LoRA a text: ["name", "other:0.8"]. Raises `BadArgument`."""
    value = wanted.value
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BadArgument(f"{wanted.name} is {shortened(value)}.", 'Give names such as ["name", "other:0.8"].')
    stripped = [text.strip() for text in texts]
    return [text for text in stripped if is_given("loras", text)]


def _no_such_lora(wanted: Argument, name: str, choices: Sequence[str]) -> ModelNotInstalled:
    like = closest(name, choices)
    hint = f"Installed are, among others: {quoted(like)}." if like else "No LoRA is installed."
    return ModelNotInstalled(f'{wanted.name} has "{shortened(name)}", and no such LoRA is installed.', hint)


def followed(picture: Size, megapixels: float, most: float, grain: int = GRAIN) -> Size:
    """The size in which a model that is best at `megapixels` works on a picture: the picture's own where the model can,
    else one of its proportions, of at most `most` megapixels; in multiples of `grain` pixels."""
    usual = FOLLOWED[0] <= picture.megapixels / megapixels <= FOLLOWED[1]
    factor = 1.0 if usual else math.sqrt(megapixels / picture.megapixels)
    allowed = math.sqrt(most / picture.megapixels)
    sides = [side * min(factor, allowed) / grain for side in (picture.width, picture.height)]
    rounded = Size(*(max(round(side), 1) * grain for side in sides))
    if rounded.megapixels <= most:
        return rounded
    return Size(*(max(math.floor(side), 1) * grain for side in sides))


# The administrator's limits, as far as they can be read off a graph.


# Inputs beside width and height that show a node to make pixels of them, and not only to tell a model or a text.
MAKES_PIXELS = {"batch_size", "length", "upscale_method", "scale_method", "resize_type"}
PICTURE_MAKER = {"width", "height", "seconds"}  # inputs beside a batch size that show it to count pictures
FILMS = {"video", "animation"}  # kinds of outputs
USUAL_FPS = 24.0  # where a graph does not say
MOST_FPS = 30.0  # a higher rate does not let more frames pass as a shorter video


def check_limits(workflow: Workflow, limits: Limits, touched: set[Target], makes: set[str]) -> None:
    """Raise `LimitExceeded` when a prompt would do more than the administrator allows, whoever put it there: steps,
    pixels, pictures and seconds of video.

    `touched` are the widgets that the call set, `makes` the kinds of what the graph saves. Where these are films alone,
    a batch is their frames, and counts by its seconds. "megapixels" and "scale_by" count only where the call set them.
    """
    graph = workflow.graph
    if makes & FILMS:
        _check_video(graph, limits)
    only_films = bool(makes) and makes <= FILMS
    first_megapixels = None  # of the first size in the graph
    for node_id, node in graph.items():
        takes = {_last_part(name) for name in node["inputs"]}
        numbers = _numbers_in(graph, node)
        asked: list[tuple[str, float, float]] = [("steps", numbers.get("steps", 0), limits.steps)]
        if MAKES_PIXELS & takes and "width" in numbers and "height" in numbers:
            width, height = numbers["width"], numbers["height"]
            megapixels = (width or height) * (height or width) / 1e6  # 0 is for "in proportion"
            first_megapixels = first_megapixels or megapixels
            asked.append(("width x height in megapixels", round(megapixels, 2), limits.megapixels))
        counts_pictures = PICTURE_MAKER & takes or node["class_type"].startswith("Repeat")
        if counts_pictures and not only_films:
            asked.append(("batch_size", numbers.get("batch_size", 1), limits.count))
            asked.append(("amount", numbers.get("amount", 1), limits.count))
        if Target(node_id, "megapixels") in touched:
            asked.append(("megapixels", numbers.get("megapixels", 0), limits.megapixels))
        if Target(node_id, "scale_by") in touched:
            scaled = (first_megapixels or 1.05) * numbers.get("scale_by", 1) ** 2
            asked.append(("scale_by in megapixels", round(scaled, 2), limits.megapixels))
        for name, value, allowed in asked:
            if value > allowed:
                raise LimitExceeded(
                    f"{node_title(graph, node_id)} has {value:g} as {name}, and the administrator allows {allowed:g}.",
                    f"Ask for at most {allowed:g}.",
                )


def _last_part(name: str) -> str:
    """The name of an input that stands in a group: "width" of "resize_type.width"."""
    return name.rsplit(".", 1)[-1]


def _numbers_in(graph: Graph, node: Mapping[str, Any]) -> dict[str, float]:
    """The inputs of a node that get a number, by the last part of their names: {"width": 1024.0, "steps": 20.0}."""
    numbers = {}
    for name, value in node["inputs"].items():
        number = number_in(graph, value)
        if number is not None:
            numbers[_last_part(name)] = number
    return numbers


def _check_video(graph: Graph, limits: Limits) -> None:
    seconds = video_seconds(graph)
    if seconds > limits.video_seconds:
        raise LimitExceeded(
            f"The video would have {seconds:.1f} seconds, and the administrator allows {limits.video_seconds:g}.",
            f"Ask for at most {limits.video_seconds:g} seconds, or for fewer frames.",
        )


def video_seconds(graph: Graph) -> float:
    """How long the longest video is that a graph makes, in seconds: by its frames and their rate, or as it says."""
    found: dict[str, list[float]] = {"length": [], "fps": [], "seconds": []}
    for node in graph.values():
        for name, value in node["inputs"].items():
            kind = next((kind for kind in found if _last_part(name) in PARAMETERS[kind]), "")
            number = number_in(graph, value) if kind else None
            if number:
                found[kind].append(number)
    fps = min(found["fps"], default=USUAL_FPS)
    fps = min(max(fps, 1.0), MOST_FPS)
    by_frames = [frames / fps for frames in found["length"]]
    return max([*found["seconds"], *by_frames], default=0.0)


def number_in(graph: Graph, value: Any) -> float | None:
    """The number that an input gets, or None: its own, also written as text or wrapped in `__value__`, or that of the
    node it is linked to, if that only holds one."""
    for _ in range(8):
        if isinstance(value, Mapping):
            value = value.get("__value__")
        if not is_link(value):
            break
        inputs = node_inputs(graph.get(value[0]))
        if "value" in inputs:
            value = inputs["value"]
        elif len(inputs) == 1:
            (value,) = inputs.values()
        else:
            value = None
    return as_number(value)


def _over_limit(wanted: Argument, value: Any, limit: str) -> LimitExceeded:
    """The error of an argument that asks for more than is allowed."""
    return LimitExceeded(
        f"{wanted.name} is {shortened(value, 20)}, and the administrator allows {limit}.", f"Ask for {limit}."
    )
