"""Binds a request to its workflow: prompts, ready to post, within all ranges and limits.

`prepare` makes the `BoundPrompts`. A `_Binding` gathers the values, each over those before it: the
defaults of the model's family, the size or scale, the arguments that every workflow may have
(prompt, steps, guidance...), and what is named in `inputs`. Then they are spread over the prompts
that the call takes (one with a batch, or several with seeds in a row), the LoRAs are put in, and
texts and file names are changed as ComfyUI's front end changes them before a run.

Three rules for a value that does not fit. A number outside the range of its node is moved into it,
with a note. A name that does not exist is refused, with those most like it. What the administrator
does not allow is refused with the limit: `find_out` (run/findings.py) reads it off the finished
graph, whoever put the number there.

Nothing here does any I/O: the node definitions come with the `FittedWorkflow`, the seed and the
time as arguments.
"""

import contextlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ..catalogue.missing import absent_named, file_size
from ..catalogue.naming import several_meant
from ..catalogue.request import FittedWorkflow, Request
from ..counts import read_number
from ..errors import (
    BadArgument,
    LimitExceeded,
    ModelNotInstalled,
    NodeNotInstalled,
    ValueOutOfRange,
)
from ..graph.definitions import InputSpec
from ..graph.discovery import parameter_name
from ..graph.fitting import fit_number, fit_value
from ..graph.input_names import PRESETS
from ..graph.loras import LORA_LOADERS, Lora, read_loras, with_loras
from ..graph.nodes import Graph, Target
from ..graph.own_workflows import check_own
from ..graph.paths import check_paths, lists_users_files
from ..graph.prices import Price
from ..graph.prompts import as_sent
from ..graph.workflow import Workflow
from ..names import (
    close_names,
    closest,
    find_name,
    names_with_words,
    quoted,
    shortened,
    whole_characters,
)
from ..values import Argument, as_number
from .asked_inputs import with_own_names
from .duration import timed
from .estimates import work_of
from .findings import Finding, find_out
from .fleet import Limits
from .limits import raise_all
from .sizing import Sizing, names_of, over_limit
from .used import loras_used

MAX_SEED = 2**32 - 1  # of random seeds: they stay short enough for a person, or a model, to repeat


@dataclass(frozen=True)
class BoundPrompts:
    """The prompts that make up a call, bound and ready to post."""

    workflows: tuple[Workflow, ...]
    seed: int | None  # of the first one; None where the workflow has none
    model: str
    notes: tuple[str, ...]  # on what was changed or left out, for the model that called
    # what the first one is made with, as `used_values` tells it
    used: Mapping[str, Any] = field(default_factory=dict)
    loras: tuple[str, ...] = ()  # the files that the call asked for
    saved_loras: tuple[str, ...] = ()  # those that somebody's workflow has besides
    prices: tuple[Price | None, ...] = ()  # of each; None for one that costs nothing

    @property
    def works(self) -> list[float]:
        """How much work each of them is (run/estimates)."""
        batches = [as_number(workflow.value("batch_size")) for workflow in self.workflows]
        return [work_of(self.used, batch or 1.0) for batch in batches]


def prepare(
    choice: FittedWorkflow, request: Request, limits: Limits, random_seed: int, now: datetime
) -> BoundPrompts:
    """Turn a request into bound graphs, by the ranges of the server's own nodes and within the
    limits. `random_seed` is used where none is asked for, `now` for the dates in file names.
    Blocks: call it in a thread.

    Raises `BadArgument` and `ValueOutOfRange` for what cannot be understood, `ModelNotInstalled`
    for files that are not there, and `LimitExceeded` for what the administrator does not allow.
    """
    workflow = choice.workflow
    if choice.task == "upscale":
        limits = replace(limits, megapixels=limits.upscaled_megapixels)
    request = with_own_names(workflow, request)
    binding = _Binding(choice, request, limits)
    values = binding.values()
    touched: set[Target] = set()
    for name in values:
        touched.update(target.widget for target in workflow.find(name) or ())
    _check_absent(choice, touched)
    check_paths(workflow, values, {name: wanted.name for name, wanted in request.inputs.items()})
    runs = binding.runs(values, random_seed)
    loras = binding.loras()

    texts = workflow.dynamic - touched - workflow.templates.keys()
    ready: list[Workflow] = []
    left_empty: list[str] = []
    for seed, run in runs:
        rng = random.Random(seed)  # nosec B311 # the same seed has to choose the same words
        bound = workflow.chosen(rng).bind(run)
        if loras:
            bound = replace(bound, graph=with_loras(bound.graph, loras, workflow.definitions))
        left_empty = bound.left_empty
        filled = bound.filled()
        sent = as_sent(filled.graph, texts, rng, now)
        ready.append(filled.with_graph(_in_whole_characters(workflow, sent)))
        if choice.from_user:
            check_own(ready[-1], choice.given)
    exceeded = binding.exceeded
    if binding.size_exceeded:  # the graph holds another size than the one that was asked for
        limits = replace(limits, megapixels=math.inf)
    findings: list[Finding] = []
    for one in ready:
        try:
            findings.append(find_out(choice, one, limits, frozenset(touched)))
        except LimitExceeded as error:
            exceeded.append(error)
    raise_all(exceeded)
    first_seed, _ = runs[0]
    model = ready[0].value("model") or choice.model
    if left_empty:
        binding.notes.append(f"nothing was given for {quoted(left_empty[:8])}, which stayed empty")
    notes = (*request.notes, *choice.notes, *binding.notes)
    files = tuple(lora.file for lora in loras)
    saved_files: tuple[str, ...] = ()
    if choice.saved:
        saved_files = tuple(file for file in loras_used(findings[0].used) if file not in files)
    prices = tuple(finding.price for finding in findings)
    return BoundPrompts(
        workflows=tuple(ready),
        seed=first_seed,
        model=str(model),
        notes=notes,
        used=findings[0].used,
        loras=files,
        saved_loras=saved_files,
        prices=prices,
    )


def _in_whole_characters(saved: Workflow, graph: Graph) -> Graph:
    """The graph without halves of characters. Of nodes that stand as they were saved it is known
    whether they have any.
    """
    if "is_whole" not in saved.kept:
        saved.kept["is_whole"] = whole_characters(saved.graph) is saved.graph
    if not saved.kept["is_whole"]:
        whole: Graph = whole_characters(graph)
        return whole
    before = saved.graph
    return {
        node_id: node if before.get(node_id) is node else whole_characters(node)
        for node_id, node in graph.items()
    }


def _check_absent(choice: FittedWorkflow, touched: set[Target]) -> None:
    """Raises `BadArgument` for pictures and the like, and `ModelNotInstalled` for model files, that
    the workflow names, the server does not have, and the call did not replace.
    """
    needs = f'The workflow "{choice.workflow.name}" needs'
    if choice.wanting:
        files = " and ".join(choice.wanting.values())
        raise BadArgument(
            f"{needs} {files}.",
            "Give them in `images` of edit_image or run_workflow; the user can attach them.",
        )
    absent = [file for target, file in choice.absent.items() if target not in touched]
    if absent:
        hint = "They have to be put into ComfyUI's models folder, or others named in `inputs`."
        if any(file.place for file in absent):
            hint += " The links are those of the workflow's author: the user decides whether to follow them."
        if choice.models_size:
            hint += f" All model files of this template have {file_size(choice.models_size)}."
        raise ModelNotInstalled(
            f"{needs} model files that are not installed: {absent_named(absent)}.", hint
        )


Run = tuple[int | None, dict[str, Any]]  # the seed of one prompt, and all its values by their names


class _Binding:
    """A request on its way into its workflow: `values`, `runs` and `loras` say what goes in, and
    `notes` what had to be changed or left out for it.
    """

    def __init__(self, choice: FittedWorkflow, request: Request, limits: Limits) -> None:
        self._choice = choice
        self._workflow = choice.workflow
        self._parameters = choice.workflow.parameters
        self._request = request
        self._limits = limits
        self._title = f'the workflow "{self._workflow.name}"'  # in notes
        self._sizing = Sizing(choice, request, limits)
        self.notes: list[str] = []
        self.size_exceeded = False
        # by arguments, which are left out until all limits are known
        self.exceeded: list[LimitExceeded] = []

    def _spec(self, name: str) -> InputSpec:
        return self._workflow.spec(name)

    def _fit(self, wanted: Argument, spec: InputSpec) -> Any:
        """The value as the input takes it, with a note where it had to be changed."""
        value, note = fit_value(wanted, spec)
        self._note(note)
        return value

    def _note(self, note: str) -> None:
        if note:
            self.notes.append(note)

    def values(self) -> dict[str, Any]:
        """The values that go into every prompt, by the names of parameters and inputs. Raises
        `BadArgument` where the workflow needs a prompt and none is given.
        """
        choice, workflow, parameters = self._choice, self._workflow, self._parameters
        values = {
            name: value for name, value in choice.family.defaults.items() if name in parameters
        }
        if not choice.saved and "steps" in parameters:
            usual_steps = values.get("steps", workflow.value("steps"))
            values["steps"] = min(usual_steps, self._limits.steps)
        try:
            values |= self._sizing.values()
        except LimitExceeded as error:
            self.exceeded.append(error)
            self.size_exceeded = True
        values |= self._arguments()
        values |= self._named_inputs()
        self.notes = [*self._sizing.notes, *self.notes]
        needs_prompt = "prompt" in parameters
        if choice.saved:
            needs_prompt = "prompt" in workflow.open
        if needs_prompt and not names_of(workflow, "prompt", values):
            raise BadArgument(
                f'The workflow "{workflow.name}" needs a prompt.',
                "Call again with `prompt`, which says what to make.",
            )
        return values

    # What is asked for by an argument or by the name of an input.

    def _arguments(self) -> dict[str, Any]:
        """The values of the arguments that every workflow may have. What this one does not have is
        left out, with a note. Raises `BadArgument` for a prompt that it does not take.
        """
        request = self._request
        asked = {
            "prompt": self._prompt(),
            "negative_prompt": request.negative_prompt,
            "steps": request.steps,
            "guidance": request.guidance,
            "seed": request.seed,
            "denoise": request.strength,
        }
        values: dict[str, Any] = {}
        for name, wanted in asked.items():
            if wanted is None:
                continue
            has_no_use = name == "denoise" and self._choice.picture is None
            if has_no_use or name not in self._parameters:
                self._leave_out(name, wanted)
            else:
                spec = self._spec(name)
                # what its error offers is also allowed
                if name == "steps" and read_number(wanted.value) is None:
                    spec = replace(spec, maximum=self._limits.steps)
                values[name] = self._fit(wanted, spec)
            if name == "negative_prompt" and wanted.level and name in values:
                told = wanted.name[:1].lower() + wanted.name[1:]
                self.notes.append(f'{told} was used: "{shortened(values[name])}"')
        steps, allowed = as_number(values.get("steps")) or 0, self._limits.steps
        if request.steps and steps > allowed:
            self.exceeded.append(
                over_limit(request.steps, values.pop("steps"), f"at most {allowed} steps")
            )
        return values

    def _prompt(self) -> Argument | None:
        """The prompt as an argument. Where the workflow takes none it is left out, with a note, if
        a valve or Open WebUI's image settings name the workflow. Raises `BadArgument` if the call
        does.
        """
        if self._request.prompt is None:
            return None
        if "prompt" not in self._parameters:
            named = self._request.workflow
            if named and named.level:
                self.notes.append(f"{self._title} takes no prompt; it was left out")
                return None
            raise BadArgument(
                f'The workflow "{self._workflow.name}" takes no prompt.',
                "describe_workflow tells what it takes, and run_workflow runs it.",
            )
        return Argument(self._request.prompt, "The argument prompt")

    def _leave_out(self, name: str, wanted: Argument) -> None:
        """Note that the workflow does not have what an argument asks for. A valve may name a
        negative prompt for all workflows, also for those that take none.
        """
        if name == "denoise":
            name = "strength"
        if name != "negative_prompt":
            self.notes.append(f"{self._title} has no {name}; it was left out")
        elif wanted.level == 0:
            self.notes.append(f"{self._title} takes no negative prompt; it was left out")

    def _named_inputs(self) -> dict[str, Any]:
        """The values of what is asked for by name, made to fit. Files are given as files and never
        by a name: the server's folders hold everybody's. Raises `BadArgument` for a name that the
        workflow does not have.
        """
        workflow = self._workflow
        if not self._request.inputs:
            return {}
        files = {item.target for item in workflow.file_inputs}
        values: dict[str, Any] = {}
        time = timed(workflow, self._request.inputs)
        self.notes += time.notes
        for name, wanted in time.inputs.items():
            targets = workflow.find(name)
            if targets is None:
                raise _no_such_input(workflow, name)
            if not files.isdisjoint(target.widget for target in targets):
                hint = "Give the file itself in `images`: its number, id or URL."
                raise BadArgument(f"{wanted.name} is a file.", hint)
            if any(lists_users_files(workflow, target) for target in targets):
                raise BadArgument(
                    f"{wanted.name} is a file on the server, which cannot be chosen by name.",
                    "Leave it out: the workflow uses the file that it was saved with.",
                )
            values[name] = self._fit_named(name, wanted)
        return values

    def _fit_named(self, name: str, wanted: Argument) -> Any:
        """The value of an input that is asked for by name. Of several sizes the nearest is taken.
        Raises as `fit_value` and `Sizing.nearest` do.
        """
        spec = self._spec(name)
        if parameter_name(name) not in PRESETS or not spec.choices:
            return self._fit(wanted, spec)
        try:
            return self._fit(wanted, spec)
        except ValueOutOfRange:
            with contextlib.suppress(BadArgument):
                nearest = self._sizing.nearest(name, wanted)
                if nearest is not None:
                    return nearest
            raise

    # How many pictures, and with which seeds and LoRAs.

    def _count(self) -> int | None:
        """How many pictures are asked for; None where that is not said, or more than is allowed."""
        wanted = self._request.count
        if wanted is None:
            return None
        allowed = self._limits.count
        count, note = fit_number(wanted, InputSpec("INT", 1))
        if count > allowed:
            self.exceeded.append(
                over_limit(wanted, count, f"at most {allowed} pictures in one call")
            )
            return None
        self._note(note)
        return int(count)

    def runs(self, values: Mapping[str, Any], random_seed: int) -> list[Run]:
        """The seed and the values of each prompt that the call takes: one prompt with a batch, or
        one for each picture, with seeds in a row.

            a batch size, count 3:  [(7, {"seed": 7, "batch_size": 3})]
            only a seed, count 3:   [(7, {"seed": 7}), (8, {"seed": 8}), (9, {"seed": 9})]

        Without either a second picture would be the same, so the count is left out, with a note.
        """
        values = dict(values)
        count = self._count()
        has_batch = "batch_size" in self._parameters
        batch: dict[str, Any] = {}
        if has_batch and count:
            batch["batch_size"] = count
        if "seed" not in self._parameters:
            if not has_batch and count and count > 1:
                self.notes.append(f"{self._title} cannot make several; count was left out")
            return [(None, {**values, **batch})]
        low, span = self._seed_range()
        seed = low + random_seed % span
        seed_names = names_of(self._workflow, "seed", values)
        if seed_names:
            seed = values.pop(seed_names[-1])
        # A seed of one sampler alone, given by its own name, comes after the seed of all.
        if not isinstance(seed, int):  # it only stands in a text
            return [(None, {"seed": seed, **values})]
        if has_batch:
            return [(seed, {"seed": seed, **values, **batch})]
        runs: list[Run] = []
        for index in range(count or 1):
            own_seed = low + (seed - low + index) % span
            runs.append((own_seed, {"seed": own_seed, **values}))
        return runs

    def _seed_range(self) -> tuple[int, int]:
        """The lowest seed that the workflow takes, and how many there are."""
        spec = self._spec("seed")
        low = max(int(spec.minimum or 0), 0)
        high = MAX_SEED
        if spec.maximum is not None:
            high = int(min(spec.maximum, 2**64 - 1))
        return low, max(high - low + 1, 1)

    def loras(self) -> list[Lora]:
        """LoRAs given as "name" or "name:0.8", several in a list or behind commas, as files that
        are installed. Strengths are made to fit, with a note. Raises `BadArgument`,
        `ModelNotInstalled`, `NodeNotInstalled`.
        """
        wanted, definitions = self._request.loras, self._workflow.definitions
        if wanted is None:
            return []
        asked_for = read_loras(wanted)
        loaders = [definitions[name] for name in LORA_LOADERS if name in definitions]
        if not loaders:
            raise NodeNotInstalled('This ComfyUI has no node "LoraLoader".')
        widgets = loaders[0].inputs
        installed = widgets["lora_name"].names
        loras: list[Lora] = []
        for name, asked in asked_for:
            file = find_name(name, installed) or self._lora_by_words(wanted, name, installed)
            strength = Argument(asked, f'the strength of the LoRA "{file}"', wanted.level)
            fitted, note = fit_number(strength, widgets["strength_model"])
            self._note(note)
            loras.append(Lora(file, fitted))
        return loras

    def _lora_by_words(self, wanted: Argument, name: str, installed: Sequence[str]) -> str:
        """The one LoRA that has all words of a name. Raises `ModelNotInstalled` for none, and
        `BadArgument` for several.
        """
        worded = names_with_words(name, installed)
        if not worded:
            raise _no_such_lora(wanted, name, installed)
        if len(worded) > 1:
            raise several_meant(wanted.name, name, worded)
        self.notes.append(f'the LoRA "{shortened(name)}" was taken for "{worded[0]}"')
        return worded[0]


def _no_such_input(workflow: Workflow, name: str) -> BadArgument:
    """The error of a name that the workflow does not have, with the inputs that it has and what
    they take.
    """
    parameters = workflow.parameters
    has = [_input_in_words(workflow, own) for own in parameters]
    if "length" in parameters and "seconds" not in parameters:
        has.append("seconds")
    # each with what a workflow for it has
    extras = {"size": "width", "count": "seed", "loras": "model"}
    has += [
        extra
        for extra, needed in extras.items()
        if extra not in parameters and needed in parameters
    ]
    if len(has) < FEW_INPUTS:
        known = {target for targets in parameters.values() for target in targets}
        others = [own for own, target in workflow.widgets.items() if target.widget not in known]
        has += [_input_in_words(workflow, own) for own in others[:FEW_INPUTS]]
    hint = f"It has: {', '.join(has)}."
    like = close_names(name, list(workflow.widgets), 4)
    if like:
        hint += f" Names like it: {quoted(like)}."
    return BadArgument(f'The workflow "{workflow.name}" has no input "{shortened(name)}".', hint)


FEW_INPUTS = 8  # so few parameters leave room for what else there is
# What a number counts, where its name does not say it.
UNITS_OF = {
    "length": "frames",
    "seconds": "seconds",
    "fps": "frames a second",
    "width": "pixels",
    "height": "pixels",
}


def _input_in_words(workflow: Workflow, name: str) -> str:
    """A parameter with its unit and its range: "length (frames, 1 to 16384)"."""
    spec = workflow.spec(name)
    said = [UNITS_OF[name]] if name in UNITS_OF else []
    if spec.minimum is not None and spec.maximum is not None and name != "seed":
        said.append(f"{spec.minimum:g} to {spec.maximum:g}")
    return f"{name} ({', '.join(said)})" if said else name


def _no_such_lora(wanted: Argument, name: str, choices: Sequence[str]) -> ModelNotInstalled:
    like = closest(name, choices)
    hint = "No LoRA is installed."
    if like:
        hint = f"Installed are, among others: {quoted(like)}."
    return ModelNotInstalled(
        f'{wanted.name} has "{shortened(name)}", and no such LoRA is installed.', hint
    )
