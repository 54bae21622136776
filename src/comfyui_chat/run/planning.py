"""Binds a request to its workflow: prompts, ready to post, within all ranges and limits.

`prepare` makes the `BoundPrompts`. Values are gathered, each over those before it: the defaults of the model's family,
the size or scale, the arguments that every workflow may have (prompt, steps, guidance...), and what is named in
`inputs`. Then they are spread over the prompts that the call takes (one with a batch, or several with seeds in a row),
the LoRAs are put in, and texts and file names are changed as ComfyUI's front end changes them before a run.

Three rules for a value that does not fit. A number outside the range of its node is moved into it, with a note. A name
that does not exist is refused, with those most like it. What the administrator does not allow is refused with the
limit: `check_limits` reads it off the finished graph, whoever put the number there.

Nothing here does any I/O: the node definitions come with the `FittedWorkflow`, the seed and the time as arguments.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ..catalogue.choosing import FittedWorkflow, Request
from ..errors import BadArgument, LimitExceeded, ModelNotInstalled, NodeNotInstalled
from ..graph.definitions import Definitions, InputSpec
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
    workflow, definitions, notes = choice.workflow, choice.definitions, [*choice.notes]
    if choice.task == "upscale":
        limits = replace(limits, megapixels=limits.upscaled_megapixels)
    extras: dict[str, Any] = {
        name: wanted for name, wanted in request.inputs.items() if name in EXTRAS and not workflow.find(name)
    }
    request = replace(request, **extras)
    values = {name: value for name, value in choice.family.defaults.items() if name in workflow.parameters}
    if not choice.saved and "steps" in workflow.parameters:
        values["steps"] = min(values.get("steps", workflow.value("steps")), limits.steps)
    values |= _plan_scale(choice, request, limits, notes) or _plan_size(choice, request.size, limits, notes)
    values |= _plan_arguments(choice, request, limits, notes)
    values |= _plan_inputs(choice, {name: request.inputs[name] for name in request.inputs if name not in extras}, notes)
    prompted = any(workflow.find(name) == workflow.parameters.get("prompt") for name in values)
    if "prompt" in (workflow.open if choice.saved else workflow.parameters) and not prompted:
        raise BadArgument(f'The workflow "{workflow.name}" needs a prompt.', 'Give {"prompt": "…"} in `inputs`.')
    touched = {target.widget for name in values for target in workflow.find(name) or ()}
    _check_absent(choice, touched)
    count = _plan_count(request.count, limits, notes)
    runs = _plan_runs(choice, values, count if request.count else None, random_seed, notes)
    loras = read_loras(request.loras, definitions, notes) if request.loras else []
    ready = []
    for seed, run in runs:
        rng = random.Random(seed)
        bound = workflow.chosen(rng).bind(run)
        filled = replace(bound, graph=with_loras(bound.graph, loras, definitions)).filled(definitions)
        texts = workflow.dynamic - touched - workflow.templates.keys()
        ready.append(replace(filled, graph=as_sent(filled.graph, texts, rng, now)))
    makes = {kind for _, kind in outputs(ready[0].graph, definitions)}
    for one in ready:
        check_limits(one, limits, touched, makes)
    return BoundPrompts(tuple(ready), runs[0][0], str(ready[0].value("model") or choice.model), tuple(notes))


# The size: so many times that of a picture, as asked for, like that of the picture, or as it was saved.


SCALE = InputSpec("FLOAT", 1.0, 8.0)  # how many times as wide and high a picture may become
FOLLOWED = (0.2, 1.5)  # parts of a model's usual number of pixels; between them a picture keeps its very size
GRAIN, FILM_GRAIN = 16, 64  # pixels; sides in multiples of these suit every model, and every one for video


def _plan_scale(choice: FittedWorkflow, request: Request, limits: Limits, notes: list[str]) -> dict[str, int]:
    """The width and height of an enlarged picture, exactly so many times its own: as `scale` says, or twice where an
    upscale workflow is told nothing else. Empty when the size is asked for otherwise. Raises `LimitExceeded`."""
    workflow, picture = choice.workflow, choice.picture
    sized = {"width", "height"} <= set(workflow.parameters) and picture is not None
    if request.scale is None and (choice.task != "upscale" or request.size or not sized):
        return {}
    if not sized or picture is None:
        notes.append(f'the workflow "{workflow.name}" has a scale of its own; scale was left out')
        return {}
    if request.scale is None and (sides := _sides_named(choice, request)):
        if len(sides) == 2:
            return {}
        ((name, length),) = sides.items()
        scale = length / getattr(picture, name)
        return {"width": max(round(picture.width * scale), 1), "height": max(round(picture.height * scale), 1)}
    wanted = request.scale or Argument(2, "scale")
    if isinstance(wanted.value, str):  # "4x"
        wanted = replace(wanted, value=wanted.value.strip().lower().strip("x×"))
    scale, note = fit_number(wanted, SCALE)
    notes += [note] if note else []
    notes += ["scale was followed, and size left out"] if request.size else []
    size = Size(round(picture.width * scale), round(picture.height * scale))
    longest, side = (max(one.width, one.height) for one in (size, picture))
    bound = workflow.spec("width" if picture.width > picture.height else "height", choice.definitions).maximum
    if bound and longest > bound:
        raise LimitExceeded(
            f"The picture would have {size} pixels, and ComfyUI makes at most {bound:g} a side.",
            f"Ask for a scale of at most {math.floor(10 * bound / side) / 10:g}.",
        )
    if size.megapixels > limits.megapixels:
        most = math.floor(10 * math.sqrt(limits.megapixels / picture.megapixels)) / 10
        raise LimitExceeded(
            f"The picture would have {size}, {size.megapixels:.1f} megapixels, and the administrator allows "
            f"{limits.megapixels:g}.",
            f"Ask for a scale of at most {most:g}." if most > 1 else "It is as large as it may become.",
        )
    return {"width": size.width, "height": size.height}


def _sides_named(choice: FittedWorkflow, request: Request) -> dict[str, float]:
    """The width and height that the `inputs` of a call name, without those of 0, which stands for "in proportion"."""
    workflow, sides = choice.workflow, dict[str, float]()
    for name, wanted in request.inputs.items():
        for side in ("width", "height"):
            if workflow.find(name) == workflow.parameters[side]:
                length, _ = fit_number(wanted, workflow.spec(side, choice.definitions))
                sides |= {side: length} if length else {}
    return sides


def _plan_size(choice: FittedWorkflow, size: Argument | None, limits: Limits, notes: list[str]) -> dict[str, int]:
    """The width and height in which the workflow works: what is asked for, else a size for the picture that it works
    on, else its own. Empty where the workflow has none, or where what its author saved stays. Raises `LimitExceeded`
    for more pixels than allowed, but only where just so many were asked for; else the size is made smaller."""
    workflow = choice.workflow
    if not {"width", "height"} <= set(workflow.parameters):
        notes += [f'the workflow "{workflow.name}" has no size of its own; size was left out'] if size else []
        return {}
    sides = [workflow.value(name) for name in ("width", "height")]
    saved = Size(*sides) if all(isinstance(side, int) and side > 0 for side in sides) else Size(1024, 1024)
    megapixels = choice.family.megapixels or saved.megapixels
    if size is None and choice.saved:
        return {}
    width, height = (workflow.spec(name, choice.definitions) for name in ("width", "height"))
    if (width.type, height.type) != ("INT", "INT") and choice.saved:
        notes.append(f'the workflow "{workflow.name}" has no size in pixels; size was left out')
        return {}
    asked = read_size(size) if size else (float(saved.width), float(saved.height))
    if size is None and choice.picture:
        grain = FILM_GRAIN if "length" in workflow.parameters else GRAIN
        grain = max(grain, int(width.step or 1), int(height.step or 1))
        own = followed(choice.picture, megapixels, limits.megapixels, grain)
        return {"width": on_step(own.width, width), "height": on_step(own.height, height)}
    fitted = fit_size(asked, megapixels, width, height)
    if size is None and 0.9 <= saved.megapixels / megapixels <= 1.1:
        fitted = saved
    if size and isinstance(asked, Size):
        if asked.megapixels > limits.megapixels:
            raise _over_limit(size, asked, f"at most {limits.megapixels:g} megapixels")
        notes += [f"size {asked} was changed to {fitted}, which the node takes"] if fitted != asked else []
    while fitted.megapixels > limits.megapixels and megapixels > 0.01:  # nobody asked for just this many
        megapixels *= 0.95
        fitted = fit_size(asked, megapixels, width, height)
    return {"width": fitted.width, "height": fitted.height}


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


# What is asked for by an argument or by the name of an input.


def _plan_arguments(choice: FittedWorkflow, request: Request, limits: Limits, notes: list[str]) -> dict[str, Any]:
    """The values of the arguments that every workflow may have. What this one does not have is left out, with a note.
    Raises `BadArgument` for a prompt that it does not take, and `LimitExceeded` for too many steps."""
    workflow, values = choice.workflow, dict[str, Any]()
    prompt = None if request.prompt is None else Argument(request.prompt, "The argument prompt")
    if prompt and "prompt" not in workflow.parameters:
        raise BadArgument(
            f'The workflow "{workflow.name}" takes no prompt.',
            "describe_workflow tells what it takes, and run_workflow runs it.",
        )
    asked = {"prompt": prompt, "negative_prompt": request.negative_prompt}
    asked |= {"steps": request.steps, "guidance": request.guidance, "seed": request.seed, "strength": request.strength}
    for name, wanted in asked.items():
        if wanted is None:
            continue
        own = "denoise" if name == "strength" else name
        if own in workflow.parameters and (name != "strength" or choice.picture):
            values[own], note = fit_value(wanted, workflow.spec(own, choice.definitions))
            notes += [note] if note else []
        elif name != "negative_prompt":
            notes.append(f'the workflow "{workflow.name}" has no {name}; it was left out')
        elif wanted.level == 0:
            notes.append(f'the workflow "{workflow.name}" takes no negative prompt; it was left out')
    if request.steps and (as_number(values.get("steps")) or 0) > limits.steps:
        raise _over_limit(request.steps, values["steps"], f"at most {limits.steps} steps")
    return values


def _plan_inputs(choice: FittedWorkflow, inputs: Mapping[str, Argument], notes: list[str]) -> dict[str, Any]:
    """The values of what is asked for by name, made to fit. Files are given as files and never by a name: the server's
    folders hold everybody's. Raises `BadArgument` for a name that the workflow does not have."""
    workflow, definitions, values = choice.workflow, choice.definitions, dict[str, Any]()
    files = {item.target for item in file_inputs(workflow.graph, definitions)}
    for name, wanted in inputs.items():
        targets = workflow.find(name)
        if targets is None:
            like = closest(name, [*workflow.names, *EXTRAS], 5)
            raise BadArgument(
                f'The workflow "{workflow.name}" has no input "{shortened(name)}".', f"It has, like it: {quoted(like)}."
            )
        if not files.isdisjoint(target.widget for target in targets):
            raise BadArgument(f"{wanted.name} is a file.", "Give the file itself in `images`: its number, id or URL.")
        values[name], note = fit_value(wanted, workflow.spec(name, definitions))
        notes += [note] if note else []
    return values


def _check_absent(choice: FittedWorkflow, touched: set[Target]) -> None:
    """Raises `BadArgument` for pictures and the like, and `ModelNotInstalled` for model files, that the workflow names,
    the server does not have, and the call did not replace."""
    name = f'The workflow "{choice.workflow.name}" needs'
    if choice.wanting:
        raise BadArgument(
            f"{name} {' and '.join(choice.wanting.values())}.", "Give them in `images` of edit_image or run_workflow."
        )
    if absent := [what for target, what in choice.absent.items() if target not in touched]:
        raise ModelNotInstalled(
            f"{name} model files that are not installed: {'; '.join(absent[:5])}.",
            "They have to be put into ComfyUI's models folder, or others named in `inputs`.",
        )


# How many pictures, and with which seeds and LoRAs.


def _plan_count(count: Argument | None, limits: Limits, notes: list[str]) -> int:
    """How many pictures are asked for, 1 where that is not said. Raises `LimitExceeded`."""
    if count is None:
        return 1
    fitted, note = fit_number(count, InputSpec("INT", 1))
    if fitted > limits.count:
        raise _over_limit(count, fitted, f"at most {limits.count} pictures in one call")
    notes += [note] if note else []
    return int(fitted)


def _plan_runs(
    choice: FittedWorkflow, values: Mapping[str, Any], count: int | None, random_seed: int, notes: list[str]
) -> list[tuple[int | None, dict[str, Any]]]:
    """The seed and the values of each prompt that the call takes: one prompt with a batch, or one for each picture,
    with seeds in a row. `count` is None where it was not asked for.

        a batch size, count 3:  [(7, {"seed": 7, "batch_size": 3})]
        only a seed, count 3:   [(7, {"seed": 7}), (8, {"seed": 8}), (9, {"seed": 9})]

    Without either a second picture would be the same, so the count is left out, with a note.
    """
    workflow, values, seed, span = choice.workflow, dict(values), None, MAX_SEED + 1
    if "seed" in workflow.parameters:
        spec = workflow.spec("seed", choice.definitions)
        low = max(int(spec.minimum or 0), 0)
        span = max(int(min(spec.maximum if spec.maximum is not None else MAX_SEED, 2**64 - 1)) - low + 1, 1)
        asked = [name for name in values if workflow.find(name) == workflow.parameters["seed"]]
        seed = values.pop(asked[-1]) if asked else low + random_seed % span
        if not isinstance(seed, int):  # it only stands in a text
            return [(None, {"seed": seed, **values})]
    # A seed of one sampler alone, given by its own name, comes after the seed of all.
    first = values if seed is None else {"seed": seed, **values}
    if "batch_size" in workflow.parameters:
        return [(seed, {**first, "batch_size": count} if count else first)]
    if seed is None:  # the same prompt again would only give the same picture
        notes += [f'the workflow "{workflow.name}" cannot make several; count was left out'] if (count or 1) > 1 else []
        return [(None, first)]
    seeds = [low + (seed - low + index) % span for index in range(count or 1)]
    return [(one, {**first, "seed": one, **values}) for one in seeds]


def read_loras(wanted: Argument, definitions: Definitions, notes: list[str]) -> list[Lora]:
    """LoRAs given as "name" or "name:0.8", several in a list or behind commas, as files that are installed. Strengths
    are made to fit, with a note.

    Raises `BadArgument`, `ModelNotInstalled`, `NodeNotInstalled`.
    """
    value = wanted.value
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BadArgument(f"{wanted.name} is {shortened(value)}.", 'Give names such as ["name", "other:0.8"].')
    loader = next((definitions[name] for name in LORA_LOADERS if name in definitions), None)
    if loader is None:
        raise NodeNotInstalled('This ComfyUI has no node "LoraLoader".')
    choices, strength = loader.inputs["lora_name"].names, loader.inputs["strength_model"]
    loras = []
    for text in (text.strip() for text in texts):
        if not is_given("loras", text):
            continue
        name, asked = parse_lora(text)
        file = find_name(name, choices)
        if file is None:
            like = closest(name, choices)
            hint = f"Installed are, among others: {quoted(like)}." if like else "No LoRA is installed."
            raise ModelNotInstalled(f'{wanted.name} has "{shortened(name)}", and no such LoRA is installed.', hint)
        fitted, note = fit_number(Argument(asked, f'the strength of the LoRA "{file}"', wanted.level), strength)
        notes += [note] if note else []
        loras.append(Lora(file, fitted))
    return loras


# The administrator's limits, as far as they can be read off a graph.


# Inputs beside width and height that show a node to make pixels of them, and not only to tell a model or a text.
MAKES_PIXELS = {"batch_size", "length", "upscale_method", "scale_method", "resize_type"}
PICTURE_MAKER = {"width", "height", "seconds"}  # inputs beside a batch size that show it to count pictures
USUAL_FPS = 24.0  # where a graph does not say
MOST_FPS = 30.0  # a higher rate does not let more frames pass as a shorter video


def check_limits(workflow: Workflow, limits: Limits, touched: set[Target], makes: set[str]) -> None:
    """Raise `LimitExceeded` when a prompt would do more than the administrator allows, whoever put it there: steps,
    pixels, pictures and seconds of video.

    `touched` are the widgets that the call set, `makes` the kinds of what the graph saves. Where these are films alone,
    a batch is their frames, and counts by its seconds. "megapixels" and "scale_by" count only where the call set them.
    """
    graph = workflow.graph
    moving = bool(makes) and makes <= {"video", "animation"}  # then a batch is its frames
    base = None  # megapixels of the first size in the graph
    seconds = video_seconds(graph) if makes & {"video", "animation"} else 0.0
    if seconds > limits.video_seconds:
        raise LimitExceeded(
            f"The video would have {seconds:.1f} seconds, and the administrator allows {limits.video_seconds:g}.",
            f"Ask for at most {limits.video_seconds:g} seconds, or for fewer frames.",
        )
    for node_id, node in graph.items():
        inputs = {
            name: number for name, value in node["inputs"].items() if (number := number_in(graph, value)) is not None
        }
        last = {name.rsplit(".", 1)[-1]: number for name, number in inputs.items()}
        takes = {name.rsplit(".", 1)[-1] for name in node["inputs"]}
        asked: list[tuple[str, float, float]] = [("steps", last.get("steps", 0), limits.steps)]
        if {"width", "height"} <= last.keys() and MAKES_PIXELS & takes:
            sides = [last["width"] or last["height"], last["height"] or last["width"]]  # 0 is for "in proportion"
            pixels = sides[0] * sides[1] / 1e6
            base = base or pixels
            asked.append(("width x height in megapixels", round(pixels, 2), limits.megapixels))
        if not moving and (PICTURE_MAKER & takes or node["class_type"].startswith("Repeat")):
            asked += [(name, last.get(name, 1), limits.count) for name in ("batch_size", "amount")]
        if Target(node_id, "megapixels") in touched:
            asked.append(("megapixels", last.get("megapixels", 0), limits.megapixels))
        if Target(node_id, "scale_by") in touched:
            asked.append(
                ("scale_by in megapixels", round((base or 1.05) * last.get("scale_by", 1) ** 2, 2), limits.megapixels)
            )
        for name, value, allowed in asked:
            if value > allowed:
                raise LimitExceeded(
                    f"{node_title(graph, node_id)} has {value:g} as {name}, and the administrator allows {allowed:g}.",
                    f"Ask for at most {allowed:g}.",
                )


def video_seconds(graph: Graph) -> float:
    """How long the longest video is that a graph makes, in seconds: by its frames and their rate, or as it says."""
    found: dict[str, list[float]] = {"length": [], "fps": [], "seconds": []}
    for node in graph.values():
        for key, value in node["inputs"].items():
            kind = next((kind for kind in found if key.rsplit(".", 1)[-1] in PARAMETERS[kind]), "")
            number = number_in(graph, value) if kind else None
            if number:
                found[kind].append(number)
    rate = min(found["fps"], default=USUAL_FPS)
    return max(
        [*found["seconds"], *(frames / min(max(rate, 1.0), MOST_FPS) for frames in found["length"])], default=0.0
    )


def number_in(graph: Graph, value: Any) -> float | None:
    """The number that an input gets, or None: its own, also written as text or wrapped in `__value__`, or that of the
    node it is linked to, if that only holds one."""
    for _ in range(8):
        if isinstance(value, Mapping):
            value = value.get("__value__")
        if not is_link(value):
            break
        inputs = node_inputs(graph.get(value[0]))
        held = [inputs["value"]] if "value" in inputs else list(inputs.values())
        value = held[0] if len(held) == 1 else None
    return as_number(value)


def _over_limit(wanted: Argument, value: Any, limit: str) -> LimitExceeded:
    """The error of an argument that asks for more than is allowed."""
    return LimitExceeded(
        f"{wanted.name} is {shortened(value, 20)}, and the administrator allows {limit}.", f"Ask for {limit}."
    )
