"""From what somebody wants to a workflow and model files that this server has.

`choose` takes a `Request` and answers with a `FittedWorkflow`. A workflow that is named is found in the catalogue.
Where none is named, the first bundled one is taken that does one of the request's tasks, has room for its pictures, and
whose model files are installed (`_choose_for`). Two functions then make a workflow fit the server:

- `fit_entry` a bundled one, for each of whose needs a `FileSearch` picks the best file that is installed;
- `fit_saved` any other, which stays as its author saved it, apart from the names of model files.

When a model and a workflow do not go together, their levels decide which gives way (`Argument.level`: 0 argument, 1 the
user's valve, 2 the administrator's valve): the higher one has less right. Prompt, seed and the like are left to
`run/planning.py`, input files to `run/inputs.py`.

Lists of files come from the server's node definitions, which may be minutes old. When a file is not in them, they are
asked for once more before anybody hears that it is missing.
"""

import itertools
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from PIL import Image

from ..errors import BadArgument, ModelNotInstalled, NodeNotInstalled, UnknownWorkflow, WorkflowRefused
from ..graph.editor import class_types, live_nodes, read_ui, strange_types
from ..graph.facts import FileInput, file_inputs, missing_nodes, model_files
from ..graph.nodes import Target, is_ui_format
from ..graph.reading import check_links, clean
from ..graph.workflow import Workflow
from ..media.pictures import InputFile
from ..names import closest, find_name, quoted, shortened
from ..server.client import DEFINITION_SECONDS, DOUBT_SECONDS, ComfyUIServer
from ..sizes import Size
from ..threads import FILES
from ..values import Argument
from .entries import Catalogue, Entry, Family, ModelNeed, bundled_entries, matches

TEXT_TO_IMAGE = ("text_to_image",)  # the tasks of a request for a new picture
CHANGING = ("image_edit", "image_to_image")  # those of a request to change pictures, the preferred one first
MAX_METADATA_FILES = 24  # how many files, whose names say nothing, have their metadata read
AS_SAVED = Family("", "", None, {})  # the family of a workflow that is not bundled: nothing of its own to set
MISSING_FILES_HINT = (  # after a list of missing model files
    "Files go into ComfyUI's models folder, and others with similar names will do; "
    "the repository on Hugging Face is in brackets."
)
Offer = Callable[[], Awaitable[InputFile]]  # reads a file that may be used; it is not read until it is needed


@dataclass(frozen=True)
class Request:
    """What somebody wants, not yet understood. None leaves a value to what is best, or to what the workflow's author
    saved."""

    prompt: str | None = None
    tasks: tuple[str, ...] = TEXT_TO_IMAGE  # when no workflow is named, one for the first of these that can be done
    negative_prompt: Argument | None = None
    size: Argument | None = None
    count: Argument | None = None
    seed: Argument | None = None
    steps: Argument | None = None
    guidance: Argument | None = None
    model: Argument | None = None
    workflow: Argument | None = None
    loras: Argument | None = None
    strength: Argument | None = None  # how much of a picture is painted anew, 0 to 1
    scale: Argument | None = None  # how many times as wide and high a picture becomes
    inputs: Mapping[str, Argument] = field(default_factory=dict)  # any other input of the workflow, by name
    files: tuple[InputFile | None, ...] = ()  # for its file inputs, in order; None keeps the author's
    mask: Image.Image | None = field(default=None, repr=False)  # of mode "L": white is painted anew
    offers: Mapping[str, Offer] = field(default_factory=dict)  # kind -> the chat's newest file, for when none is given
    notes: tuple[str, ...] = ()  # on how the call was understood, for the model that called

    @property
    def pictures(self) -> int:
        """How many pictures are given to work on; the last one may be the mask."""
        kinds = [file.kind for file in self.files if file]
        return kinds.count("image")

    def room_in(self, inputs: Sequence[FileInput]) -> int:
        """How many pictures these inputs have room for. Where they take a mask and none is given by itself, there is
        room for one more: the last picture may be the mask."""
        room = sum(item.kind == "image" for item in inputs)
        if self.mask is None and any(item.takes_mask for item in inputs):
            room += 1
        return room

    @property
    def called(self) -> str:
        """What the files that come of it are named after: the prompt, wherever it was given, or the workflow."""
        if self.prompt:
            return self.prompt
        named = self.inputs.get("prompt") or self.workflow
        return str(named.value) if named else ""

    def insisting(self) -> "Request":
        """The same request, insisting on the model or the workflow of a valve as if it were an argument, so that a
        server that has it is found first."""
        model, workflow = self.model, self.workflow
        if model and not workflow:
            return replace(self, model=replace(model, level=0))
        if workflow and not model:
            return replace(self, workflow=replace(workflow, level=0))
        return self

    def against_author(self) -> "Request":
        """The same request for a workflow that stays as its author saved it: size and negative prompt of a valve with
        less right than what named the workflow are dropped."""
        level = self.workflow.level if self.workflow else 0
        size = self.size
        if size and size.level > level:
            size = None
        negative_prompt = self.negative_prompt
        if negative_prompt and negative_prompt.level > level:
            negative_prompt = None
        return replace(self, size=size, negative_prompt=negative_prompt)


@dataclass(frozen=True)
class FittedWorkflow:
    """A workflow that this server can run, with its definitions of the nodes, and with its model files set.
    `run/inputs.py` adds `wanting` and `picture`."""

    workflow: Workflow
    family: Family
    model: str  # the main model's file
    notes: tuple[str, ...] = ()
    absent: Mapping[Target, str] = field(default_factory=dict)  # model files that it names and the server does not have
    wanting: Mapping[Target, str] = field(default_factory=dict)  # input files that it still has to be given
    task: str = ""  # of a bundled one
    picture: Size | None = None  # of the first picture that it works on

    @property
    def saved(self) -> bool:
        """Whether it is to run as somebody saved it: what its author chose stays unless the call says otherwise."""
        return self.family.megapixels is None

    def noting(self, note: str) -> "FittedWorkflow":
        """The same with one more note."""
        return replace(self, notes=(*self.notes, note))


async def choose(server: ComfyUIServer, request: Request, catalogue: Catalogue = Catalogue()) -> FittedWorkflow:
    """The workflow that is asked for by name, else the first bundled one that fits the request's tasks, its pictures,
    the model asked for and what is installed. The name of a task, where no workflow has that name, stands for any
    bundled workflow that does the task.

    When a model and a workflow do not go together, the one asked for with less right (a valve against an argument)
    gives way. Raises `UnknownWorkflow`, `ModelNotInstalled`, `NodeNotInstalled`, `BadArgument`, and as the server does.
    """
    workflow = request.workflow
    if workflow is None:
        return await _choose_for(server, request)
    try:
        entry = await catalogue.find(server, workflow)
    except UnknownWorkflow:
        asked_name = str(workflow.value).strip().lower()
        task = re.sub(r"[\s-]+", "_", asked_name)
        if task not in {entry.task for entry in bundled_entries()}:
            raise
        return await _choose_for(server, replace(request, tasks=(task,)))
    return await _choose_named(server, request, workflow, entry)


async def _choose_named(server: ComfyUIServer, request: Request, workflow: Argument, entry: Entry) -> FittedWorkflow:
    """The entry that the argument `workflow` names, with the model that is named. Where the two do not go together, the
    one with less right is left out. A workflow of a valve is also left out when it does not take the files that were
    given."""
    fit = fit_entry if entry.bundled else fit_saved
    model = request.model
    if model and not entry.bundled and model.level > workflow.level:
        model = None  # a valve does not change what somebody saved
    try:
        fitted = await fit(server, entry, model)
    except ModelNotInstalled:
        if model is None or model.level == workflow.level:
            raise
        if model.level < workflow.level:
            return await _choose_for(server, request)
        fitted = await fit(server, entry, None)
        model_name = f'{model.name} "{shortened(model.value)}"'
        fitted = fitted.noting(f'{model_name} does not go with the workflow "{entry.name}" and was left out')
    if workflow.level == 0 or _has_room(fitted, request):
        return fitted
    fitted = await _choose_for(server, request)  # the files that were given go before a valve
    return fitted.noting(f'{workflow.name} names "{entry.name}", which does not take what was given, and was left out')


def _has_room(fitted: FittedWorkflow, request: Request) -> bool:
    """Whether a workflow has room for the request's pictures and a place for its mask."""
    inputs = file_inputs(fitted.workflow.flow)
    if request.mask and not any(item.takes_mask for item in inputs):
        return False
    return request.pictures <= request.room_in(inputs)


async def _choose_for(server: ComfyUIServer, request: Request) -> FittedWorkflow:
    """The first bundled workflow of the first task for which everything is installed. A file that the server itself
    cannot read counts as installed only when nothing else is."""
    entries: list[Entry] = []
    for task in request.tasks:
        entries += _entries_for(task)
    with_room = [entry for entry in entries if request.room_in(entry.files) >= request.pictures]
    if not with_room:
        raise _too_many_pictures(request, entries)
    began = time.monotonic()
    candidates = _candidates(request, with_room)
    refusals: dict[str, None] = {}  # of workflows for which any model would have done
    for readable in (True, False):  # a file that the server cannot read is still better than none
        for model, entry in candidates:
            try:
                return await fit_entry(server, entry, model, strict=True, readable=readable, began=began)
            except WorkflowRefused as refused:
                if model is None:
                    refusals[refused.message] = None
    if request.model and not refusals:
        raise await _no_such_model(server, request, request.model, entries)
    purpose = "a picture could be made with" if request.tasks == TEXT_TO_IMAGE else "could do this"
    raise ModelNotInstalled(
        f"No model is installed that {purpose}.",
        f"One set of files is enough. {MISSING_FILES_HINT} {' '.join(refusals)}",
    )


def _entries_for(task: str) -> list[Entry]:
    """The bundled workflows that do a task."""
    return [entry for entry in bundled_entries() if entry.task == task]


def _candidates(request: Request, entries: Sequence[Entry]) -> list[tuple[Argument | None, Entry]]:
    """The models and workflows to try, the preferred ones first; the model None stands for any that is installed."""
    models = [request.model]
    if request.model and request.model.level and request.tasks != TEXT_TO_IMAGE:
        models.append(None)  # to work on pictures, since the model of the valve may be made for something else
    candidates: list[tuple[Argument | None, Entry]] = []
    for task in request.tasks:
        doing_task = [entry for entry in entries if entry.task == task]
        candidates += itertools.product(models, doing_task)
    return candidates


def _too_many_pictures(request: Request, entries: Sequence[Entry]) -> BadArgument:
    """The error if none of the workflows has room for the pictures that were given."""
    most = max((request.room_in(entry.files) for entry in entries), default=0)
    given = "A picture was"
    if request.pictures > 1:
        given = f"{request.pictures} pictures were"
    hint = "Leave it out, or name a workflow that takes pictures."
    if most:
        hint = f"Give at most {most}."
    return BadArgument(f"{given} given, which no workflow takes.", hint)


async def _no_such_model(
    server: ComfyUIServer, request: Request, model: Argument, entries: Sequence[Entry]
) -> ModelNotInstalled:
    """The error if no workflow takes the model: it is not installed, or not of a kind that any of them runs with."""
    installed: list[str] = []
    for entry in entries:
        target = entry.needs[0].target
        loader = entry.workflow.graph[target.node_id]
        definition = await server.define(loader["class_type"])
        if definition:
            installed += definition.inputs[target.input].names
    name = find_name(str(model.value), installed)
    if not name:
        return _model_missing(model, list(dict.fromkeys(installed)))
    workflow = "workflow"
    if request.pictures > 1:
        workflow = f"workflow that takes {request.pictures} pictures"
    return ModelNotInstalled(
        f'The model "{name}" is installed, but no {workflow} is made for it, or another file that it needs is missing.',
        f"Name one of the workflows {quoted(entry.name for entry in entries)} with it to try it anyway.",
    )


# Bundled workflows: which of the installed files they run with.


async def fit_entry(
    server: ComfyUIServer,
    entry: Entry,
    model: Argument | None,
    *,
    strict: bool = False,
    readable: bool = False,
    began: float | None = None,
) -> FittedWorkflow:
    """A bundled workflow with model files that this server has, and the family that its main model belongs to.

    `strict` takes a named model only when its name or its metadata say that it belongs to the workflow; `readable`
    passes over files that the server cannot read. Lists of files that lack a named model are asked for again unless
    that was done after `began` (of `time.monotonic`; None is now). Raises `NodeNotInstalled`, `ModelNotInstalled`.
    """
    if began is None:
        began = time.monotonic()
    graph = entry.workflow.graph
    definitions = dict(await server.define_all(node["class_type"] for node in graph.values()))
    missing_classes = missing_nodes(graph, definitions)
    if missing_classes:
        raise NodeNotInstalled(f'The workflow "{entry.name}" needs the node "{missing_classes[0]}".')
    main_need = entry.needs[0]
    files: dict[str, str] = {}  # a need as a text -> its file: several nodes may read the same one
    missing: dict[str, None] = {}
    for need in entry.needs:
        wanted_file = str(need)
        if wanted_file in files:
            continue
        loader = graph[need.target.node_id]["class_type"]
        search = FileSearch(server, need, loader, main=need is main_need)
        if model and need is main_need:
            files[wanted_file] = await search.named(model, strict, began)
        elif name := await search.best(readable and not missing):
            files[wanted_file] = name
        else:
            missing[wanted_file] = None
    if missing:
        lacks = ", ".join(missing)
        raise ModelNotInstalled(f'The workflow "{entry.name}" lacks {lacks}.', MISSING_FILES_HINT)
    model_file = files[str(main_need)]
    family = await _family(server, entry, model_file)
    workflow = replace(entry.workflow, definitions=definitions)
    workflow = workflow.set({need.target: files[str(need)] for need in entry.needs})
    return FittedWorkflow(workflow, family, model_file, task=entry.task)


async def _family(server: ComfyUIServer, entry: Entry, model_file: str) -> Family:
    """The family that the main model belongs to, by its name and what it says of itself."""
    about = await architecture(server, entry.needs[0].folder, model_file)
    known = f"{model_file} {about or ''}"
    fitting = [family for family in entry.families if matches(family.match, known)]
    return fitting[0]  # the last one of each workflow fits all


@dataclass(frozen=True)
class FileSearch:
    """The search for one model file of a bundled workflow, among those that its loader node lists on this server."""

    server: ComfyUIServer
    need: ModelNeed
    loader: str  # the loader's class
    main: bool  # whether it is the workflow's main model

    async def named(self, model: Argument, strict: bool, began: float) -> str:
        """The file of the name that somebody asked for; `strict` and `began` are those of `fit_entry`. Raises
        `ModelNotInstalled`."""
        names: tuple[str, ...] = ()
        for believe in (DEFINITION_SECONDS, time.monotonic() - began):
            names = await self._names(believe)
            name = find_name(str(model.value), names)
            if name and not strict:
                return name
            if name:
                about = await self._architecture(name)
                if self.need.fits(name, about or ""):
                    return name
        raise _model_missing(model, names)

    async def best(self, readable: bool) -> str | None:
        """The best installed file, or None. A main model may also be found by what it says of itself. `readable` passes
        over files that the server cannot read, which would only fail in the middle of the run."""
        for believe in (DEFINITION_SECONDS, DOUBT_SECONDS):
            names = await self._names(believe)
            name = await self._best_of(names, readable)
            if name:
                return name
        return None

    async def _best_of(self, names: Sequence[str], readable: bool) -> str | None:
        """The best of these files: first by name, then, for a main model, by the metadata of files whose names tell
        nothing."""
        by_name = await FILES.run(self.need.rank, names)
        for name in by_name:
            if not readable and not self.main:
                return name
            about = await self._architecture(name)
            if readable and about is None:
                continue
            if self.need.fits(name, about or ""):
                return name
        if self.main and self.need.match:
            known = set(by_name)
            others = [name for name in names if name not in known]
            return await self._by_metadata(others)
        return None

    async def _by_metadata(self, names: Sequence[str]) -> str | None:
        """The first file that will do by what it says of itself."""
        for name in names[:MAX_METADATA_FILES]:
            about = await self._architecture(name)
            if about and self.need.fits(name, about):
                return name
        return None

    async def _names(self, believe: float) -> tuple[str, ...]:
        definition = await self.server.define(self.loader, believe)
        widget = self.need.target.input
        if definition is None or widget not in definition.inputs:
            return ()
        return definition.inputs[widget].names

    async def _architecture(self, name: str) -> str | None:
        return await architecture(self.server, self.need.folder, name)


async def architecture(server: ComfyUIServer, folder: str, name: str) -> str | None:
    """The kind of model that a file says it is, such as "stable-diffusion-xl-v1-base"; "" when it does not say, None
    when the server itself cannot read the file."""
    about = await server.model_metadata(folder, name)
    if about is None:
        return None
    kind = about.get("modelspec.architecture") or about.get("ss_base_model_version")
    return str(kind or "")


def _model_missing(model: Argument, choices: Sequence[str]) -> ModelNotInstalled:
    similar = closest(str(model.value), choices)
    hint = "No model is installed for this workflow."
    if similar:
        hint = f"Installed are: {quoted(similar)}."
    return ModelNotInstalled(f'{model.name} is "{shortened(model.value)}", and no such model is installed.', hint)


# All other workflows, read and left as their authors saved them.


async def fit_saved(server: ComfyUIServer, entry: Entry, model: Argument | None) -> FittedWorkflow:
    """A workflow that is not bundled, as its author saved it, with the model that was asked for, and with its other
    model files under the names that they have on this server. Files that are not there are noted as `absent`. Raises
    `NodeNotInstalled`, `ModelNotInstalled`, `WorkflowRefused`, and as the server does."""
    workflow = await read_entry(server, entry)
    await FILES.run(_check_nodes, workflow)
    try:
        fitted = await FILES.run(_fit_files, workflow, model)
        doubtful = list(fitted.absent)
    except ModelNotInstalled:
        doubtful = list(workflow.parameters["model"])
        doubtful += [target.reader for target in doubtful if target.reader]
    stale = {workflow.graph[target.node_id]["class_type"] for target in doubtful}
    if stale:
        definitions = await server.define_anew(workflow.definitions, stale, DOUBT_SECONDS)
        fitted = await FILES.run(_fit_files, replace(workflow, definitions=definitions), model)
    return fitted


def _check_nodes(workflow: Workflow) -> None:
    """Raise `NodeNotInstalled` or `WorkflowRefused` for what the server would refuse. Blocks."""
    missing = missing_nodes(workflow.graph, workflow.definitions)
    if missing:
        reason = _nodes_missing(missing).message
        raise NodeNotInstalled(f'The workflow "{workflow.name}" cannot be used. {reason}')
    check_links(workflow.graph, workflow.definitions)


async def read_entry(server: ComfyUIServer, entry: Entry) -> Workflow:
    """A workflow of the catalogue with its parameters, converted to the API format where it is not in it, and with the
    definitions of its nodes, as far as the server has them. Raises `WorkflowRefused` and its kin, naming the workflow,
    and as the server does."""
    try:
        raw = entry.graph
        if raw is None:
            raw = await server.saved_workflow(entry.path)
        if is_ui_format(raw):
            live = await FILES.run(live_nodes, raw)
            definitions = await server.define_all(class_types(live))
            missing = await FILES.run(strange_types, live, definitions)
            if missing:
                raise _nodes_missing(missing)
            graph, dynamic = await FILES.run(read_ui, live, definitions)
        else:
            graph = await FILES.run(clean, raw)
            dynamic = frozenset()
            definitions = await server.define_all(node["class_type"] for node in graph.values())
        return await FILES.run(Workflow.parse, entry.name, graph, definitions, dynamic)
    except WorkflowRefused as refused:
        message = f'The workflow "{entry.name}" cannot be used. {refused.message}'
        raise type(refused)(message, refused.hint) from None


def _nodes_missing(names: Sequence[str]) -> NodeNotInstalled:
    listed = quoted(shortened(name) for name in names[:5])
    if len(names) > 5:
        listed += f" and {len(names) - 5} more"
    return NodeNotInstalled(f"It needs nodes that this ComfyUI does not have: {listed}.")


def _fit_files(workflow: Workflow, model: Argument | None) -> FittedWorkflow:
    """The workflow with the files that are installed, by its definitions. A file that no output needs may be missing
    without a word. Raises `ModelNotInstalled` when the model that was asked for is not there."""
    notes: tuple[str, ...] = ()
    chosen: dict[Target, str] = {}
    if model and "model" in workflow.parameters:
        choices = workflow.spec("model").names
        name = find_name(str(model.value), choices)
        if name is None:
            raise _model_missing(model, choices)
        chosen = {target.widget: name for target in workflow.parameters["model"]}
    elif model:
        notes = (f'the workflow "{workflow.name}" has no model to choose; {model.name} was left out',)
    renamed, absent = _other_files(workflow, chosen)
    workflow = workflow.set(renamed | chosen)
    model_file = str(workflow.value("model") or "")
    return FittedWorkflow(workflow, AS_SAVED, model_file, notes, absent)


def _other_files(workflow: Workflow, chosen: Mapping[Target, str]) -> tuple[dict[Target, str], dict[Target, str]]:
    """The model files that were not `chosen`: those which are installed under another name, by their names on this
    server, and those which are not installed, as a message names them.

        {Target("4", "ckpt_name"): "SDXL/base.safetensors"}
        {Target("7", "vae_name"): 'vae/ae.safetensors (installed: "flux-ae.safetensors")'}
    """
    renamed: dict[Target, str] = {}
    absent: dict[Target, str] = {}
    needed = workflow.flow.needed()
    for file in model_files(workflow.graph, workflow.definitions):
        if file.target in chosen or file.installed is None or file.target in workflow.templates:
            continue
        choices = workflow.widget_spec(file.target).names
        name = find_name(file.file, choices)
        if name == file.file:
            continue
        if name is not None:
            renamed[file.target] = name
        elif file.target.node_id in needed:
            path = f"{file.folder}/{file.file}"
            similar: list[str] = []
            if len(absent) < 5:
                similar = closest(file.file, choices)
            if similar:
                path += f" (installed: {quoted(similar)})"
            absent[file.target] = path
    return renamed, absent
