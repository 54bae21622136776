"""A workflow made to fit a server: which of its installed files it runs with.

- `fit_entry` fits a bundled one, for each of whose needs a `FileSearch` picks the best file that is
  installed; where the files for a node are there only as nodes of other packages read them, such a
  node takes its place;
- `fit_saved` fits any other, which stays as its author saved it, apart from the names of model
  files.

Lists of files come from the server's node definitions, which may be minutes old. When a file is not
in them, they are asked for once more before anybody hears that it is missing.
"""

import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..bounded import BoundedDict
from ..errors import ModelNotInstalled, NodeNotInstalled
from ..graph.definitions import Definitions, NodeDefinition
from ..graph.facts import missing_nodes, model_files
from ..graph.nodes import Target
from ..graph.reading import check_links
from ..graph.workflow import Workflow
from ..names import closest, find_name, names_with_words, quoted, shortened
from ..server.client import DEFINITION_SECONDS, DOUBT_SECONDS, ComfyUIServer
from ..threads import FILES
from ..values import Argument
from .entries import MADE_SMALL, USERS_SOURCES, Entry, Family, ModelNeed
from .entry_reading import read_entry
from .missing import AbsentFile, file_path, nodes_missing
from .naming import family_by_name, several_meant, taken_for
from .request import AS_SAVED, ChosenFile, FittedWorkflow
from .small_files import (
    SCALED,
    SmallLoader,
    for_this_card,
    names_of_input,
    small_loaders,
    small_ones,
    with_sight,
)

MAX_METADATA_FILES = 24  # how many files, whose names say nothing, have their metadata read
MISSING_FILES_HINT = (  # after a list of missing model files
    "Files go into ComfyUI's models folder, and others with similar names will do; "
    "the repository on Hugging Face is in brackets."
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
    """A bundled workflow with model files that this server has, and the family that its main model
    belongs to.

    `strict` takes a named model only when its name or its metadata say that it belongs to the
    workflow; `readable` passes over files that the server cannot read, or lately could not load.
    Lists of files that lack a named model are asked for again unless that was done after `began`
    (of `time.monotonic`; None is now). Raises `NodeNotInstalled`, `ModelNotInstalled`.
    """
    if began is None:
        began = time.monotonic()
    graph = entry.workflow.graph
    definitions = dict(await server.define_all(node["class_type"] for node in graph.values()))
    missing_classes = missing_nodes(graph, definitions)
    if missing_classes:
        raise NodeNotInstalled(
            f'The workflow "{entry.name}" needs the node "{missing_classes[0]}".'
        )
    main_need = entry.needs[0]
    wanted = Wanted(model, strict, readable, began)
    files: dict[str, str] = {}  # a need as a text -> its file: several nodes may read the same one
    missing: dict[str, None] = {}
    loaders: dict[str, NodeFiles] = {}
    for node_id, needs in entry.needs_by_node.items():
        unmet = [need for need in needs if str(need) not in files]
        found = await _node_files(
            server, entry, unmet, replace(wanted, readable=readable and not missing)
        )
        missing |= dict.fromkeys(map(str, found.missing))
        files |= {
            str(need): found.files[need.target] for need in unmet if need.target in found.files
        }
        loaders[node_id] = found
    if missing:
        lacks = ", ".join(missing)
        raise ModelNotInstalled(f'The workflow "{entry.name}" lacks {lacks}.', MISSING_FILES_HINT)
    model_file = files[str(main_need)]
    family = await _family(server, entry, model_file)
    places = _places(entry, loaders)
    named = {places[need.target]: files[str(need)] for need in entry.needs}
    workflow = await _with_files(server, entry, loaders, definitions, named)
    chosen: dict[Target, ChosenFile] = {}
    for need in entry.needs:
        if model is None or need is not main_need:
            chosen[places[need.target]] = ChosenFile(need.folder, files[str(need)])
    return FittedWorkflow(workflow, family, model_file, task=entry.task, chosen=chosen, files=files)


def _places(entry: Entry, loaders: Mapping[str, "NodeFiles"]) -> dict[Target, Target]:
    """The widget for each need's file, which in another loader may be called otherwise."""
    places: dict[Target, Target] = {}
    for need in entry.needs:
        small = loaders[need.target.node_id].small
        name = small.inputs[need.target.input] if small else need.target.input
        places[need.target] = Target(need.target.node_id, name)
    return places


def _loading(
    entry: Entry, loaders: Mapping[str, "NodeFiles"], definitions: Definitions
) -> Workflow:
    """A bundled workflow with other nodes in the place of loaders that cannot load its files.
    Blocks.
    """
    graph = dict(entry.workflow.graph)
    known = dict(definitions)
    for node_id, loader in loaders.items():
        if loader.small and loader.definition:
            graph[node_id] = loader.small.node(graph[node_id], loader.definition)
            known[loader.small.class_type] = loader.definition
    workflow = entry.workflow
    if any(loader.small for loader in loaders.values()):
        workflow = Workflow.parse(entry.name, graph)
    return replace(workflow, definitions=known)


@dataclass(frozen=True)
class _Fitted:
    """A bundled workflow with its files, and what it was made of."""

    workflow: Workflow
    loaders: Mapping[str, "NodeFiles"]
    definitions: Definitions
    files: Mapping[Target, str]

    def is_of(
        self,
        loaders: Mapping[str, "NodeFiles"],
        definitions: Definitions,
        files: Mapping[Target, str],
    ) -> bool:
        """Whether it was made of these very definitions, and names these files."""
        if self.files != files or self.definitions.keys() != definitions.keys():
            return False
        if any(
            self.definitions[name] is not definition for name, definition in definitions.items()
        ):
            return False
        return all(
            self.loaders[node_id].small is loader.small
            and self.loaders[node_id].definition is loader.definition
            for node_id, loader in loaders.items()
        )


REMEMBERED_FITTED = 8  # bundled workflows of each server, with their files
_FITTED: "weakref.WeakKeyDictionary[ComfyUIServer, BoundedDict[str, _Fitted]]" = (
    weakref.WeakKeyDictionary()
)


async def _with_files(
    server: ComfyUIServer,
    entry: Entry,
    loaders: Mapping[str, "NodeFiles"],
    definitions: Definitions,
    files: Mapping[Target, str],
) -> Workflow:
    """A bundled workflow with these files. The same as the last time where nothing has changed
    since: it knows much of itself by then, which otherwise each call would find anew.
    """
    remembered = _FITTED.setdefault(server, BoundedDict(REMEMBERED_FITTED))
    known = remembered.get(entry.name)
    if known is not None and known.is_of(loaders, definitions, files):
        return known.workflow
    loading = await FILES.run_unless_short([entry.graph], _loading, entry, loaders, definitions)
    workflow = loading.set(files)
    remembered.pop(entry.name, None)  # so that it is the newest
    remembered[entry.name] = _Fitted(workflow, loaders, definitions, files)
    return workflow


async def _family(server: ComfyUIServer, entry: Entry, model_file: str) -> Family:
    """The family that the main model belongs to, by its name and what it says of itself."""
    about = await server.model_kind(entry.needs[0].folder, model_file)
    known = f"{model_file} {about or ''}"
    return family_by_name(entry, known)


@dataclass(frozen=True)
class Wanted:
    """What `fit_entry` was asked for."""

    model: Argument | None
    strict: bool
    readable: bool
    began: float


@dataclass
class NodeFiles:
    """The files that a loader node of a bundled workflow reads on a server, and the node that takes
    its place.
    """

    small: SmallLoader | None = None  # that can read them, where the plain one cannot
    definition: NodeDefinition | None = None  # of that
    files: dict[Target, str] = field(default_factory=dict)  # by the plain node's inputs
    missing: list[ModelNeed] = field(default_factory=list)


async def _node_files(
    server: ComfyUIServer, entry: Entry, needs: Sequence[ModelNeed], wanted: Wanted
) -> NodeFiles:
    """The files for these needs of one node, which the node itself reads, or else one that can read
    those made small. Raises `ModelNotInstalled` where the model that was asked for is not there.
    """
    if not needs:
        return NodeFiles()
    plain = entry.workflow.graph[needs[0].target.node_id]["class_type"]
    main = entry.needs[0]
    searches = [FileSearch(server, need, plain, main=need is main) for need in needs]
    lacking = await _files_found(searches, NodeFiles(), wanted)
    if not lacking.missing:
        return lacking
    for small, definition in await small_loaders(server, plain):
        small_searches = [
            replace(search, small=small, sees=bool(entry.files)) for search in searches
        ]
        found = await _files_found(small_searches, NodeFiles(small, definition), wanted)
        if not found.missing:
            return found
    if wanted.model and main in lacking.missing:
        names = await searches[0].names(DEFINITION_SECONDS)
        listed = find_name(str(wanted.model.value), names)
        if listed and MADE_SMALL.search(listed):
            raise NodeNotInstalled(
                f'This ComfyUI has no node that loads the model "{listed}" here.',
                "The packages ComfyUI-GGUF and ComfyUI-nunchaku have such nodes; or name another model.",
            )
        raise model_missing(wanted.model, names)
    return lacking


async def _files_found(
    searches: Sequence["FileSearch"], found: NodeFiles, wanted: Wanted
) -> NodeFiles:
    """What these searches find, put into `found`."""
    for search in searches:
        if wanted.model and search.main:
            name = await search.named(wanted.model, wanted.strict, wanted.began)
        else:
            name = await search.best(wanted.readable and not found.missing)
        if name:
            found.files[search.need.target] = name
        else:
            found.missing.append(search.need)
    return found


@dataclass(frozen=True)
class FileSearch:
    """The search for one model file of a bundled workflow, among those that a loader node lists on
    this server.
    """

    server: ComfyUIServer
    need: ModelNeed
    loader: str  # the plain loader's class
    main: bool  # whether it is the workflow's main model
    small: SmallLoader | None = None  # that takes the plain loader's place
    sees: bool = False  # whether a text encoder is shown pictures

    async def named(self, model: Argument, strict: bool, began: float) -> str | None:
        """The file of the name that somebody asked for; `strict` and `began` are those of
        `fit_entry`.
        """
        for believe in (DEFINITION_SECONDS, time.monotonic() - began):
            names = await self.names(believe)
            name = find_name(str(model.value), names)
            if name and self.small:
                return (
                    name
                    if name in await FILES.run(small_ones, self.small, self.need, names)
                    else None
                )
            if name and not strict and not MADE_SMALL.search(name):
                return name
            if name:
                about = await self._architecture(name)
                if self.need.fits(name, about or ""):
                    return name
        return None

    async def best(self, readable: bool) -> str | None:
        """The best installed file, or None. A main model may also be found by what it says of
        itself. `readable` passes over files that the server cannot read, or lately could not load,
        which would only fail in the middle of the run; else they come last.
        """
        for believe in (DEFINITION_SECONDS, DOUBT_SECONDS):
            names = await self.names(believe)
            name = await (self._best_small(names) if self.small else self._best_of(names, readable))
            if name:
                return name
        return None

    async def _best_small(self, names: Sequence[str]) -> str | None:
        """The best of these files for a loader of files made small: one of those, or a plain text
        encoder beside it.
        """
        fitting: list[str] = []
        if self.small:
            fitting = await FILES.run(small_ones, self.small, self.need, names)
        if self.sees:
            fitting = with_sight(fitting, names)
        if not fitting and not self.main:
            plain = await FILES.run(self.need.rank, names)
            fitting = [name for name in plain if not SCALED.search(name)]
        fitting = await for_this_card(self.server, fitting)
        fitting.sort(key=self._is_aside)
        return next(iter(fitting), None)

    async def _ranked(self, names: Sequence[str]) -> list[str]:
        """Those of the files that will do by their names, best first. What came of comparing them is
        kept with the definition that lists them, and forgotten with it.
        """
        definition = self.server.definitions.get(self.loader)
        spec = definition.inputs.get(self.need.target.input) if definition else None
        kept = spec.kept if spec and spec.names is names else {}
        if self.need not in kept:
            kept[self.need] = await FILES.run_unless_short([names], self.need.rank, names)
        return list(kept[self.need])

    async def _best_of(self, names: Sequence[str], readable: bool) -> str | None:
        """The best of these files: first by name, then, for a main model, by the metadata of files
        whose names tell nothing.
        """
        by_name = await self._ranked(names)
        if self.server.record.aside:  # there may be thousands to sort
            by_name = sorted(by_name, key=self._is_aside)
        for name in by_name:
            if readable and self._is_aside(name):
                break
            if not readable and not self.main:
                return name
            about = await self._architecture(name)
            if readable and about is None:
                continue
            if self.need.fits(name, about or ""):
                return name
        if self.main and self.need.match:
            known = set(by_name)
            others = [name for name in names if name not in known and not self._is_aside(name)]
            return await self._by_metadata(others)
        return None

    async def _by_metadata(self, names: Sequence[str]) -> str | None:
        """The first file that will do by what it says of itself."""
        for name in names[:MAX_METADATA_FILES]:
            about = await self._architecture(name)
            if about and self.need.fits(name, about):
                return name
        return None

    def _is_aside(self, name: str) -> bool:
        """Whether the server lately could not load a file."""
        return self.server.record.is_aside(self.need.folder, name)

    async def names(self, believe: float) -> tuple[str, ...]:
        """The files that the loader lists, in a definition at most so many seconds old."""
        widget = self.need.target.input
        if self.small is None:
            return names_of_input(await self.server.define(self.loader, believe), widget)
        definition = await self.server.define(self.small.class_type, believe, DOUBT_SECONDS)
        return names_of_input(definition, self.small.inputs.get(widget, ""))

    async def _architecture(self, name: str) -> str | None:
        return await self.server.model_kind(self.need.folder, name)


def model_missing(model: Argument, choices: Sequence[str]) -> ModelNotInstalled:
    """The error for a model that is not among the choices of its loader, with those that are most
    like it.
    """
    similar = closest(str(model.value), choices)
    hint = "No model is installed for this workflow."
    if similar:
        hint = f"Installed are: {quoted(similar)}."
    return ModelNotInstalled(
        f'{model.name} is "{shortened(model.value)}", and no such model is installed.', hint
    )


# All other workflows, read and left as their authors saved them.


async def fit_saved(server: ComfyUIServer, entry: Entry, model: Argument | None) -> FittedWorkflow:
    """A workflow that is not bundled, as its author saved it, with the model that was asked for,
    and with its other model files under the names that they have on this server. Files that are not
    there are noted as `absent`. Raises `NodeNotInstalled`, `ModelNotInstalled`, `WorkflowRefused`,
    and as the server does.
    """
    fitted = await fit_workflow(server, await read_entry(server, entry), model)
    size = (entry.template.bytes or 0) if entry.template else 0
    return replace(fitted, from_user=entry.source in USERS_SOURCES, models_size=size)


async def fit_workflow(
    server: ComfyUIServer, workflow: Workflow, model: Argument | None
) -> FittedWorkflow:
    """`fit_saved` for a workflow that was read already. Raises in the same way. Where all of its
    files are installed, what comes of the last model that was asked for is kept with it.
    """
    asked_for, kept = workflow.kept.get("fitted", (None, None))
    if kept is not None and asked_for == model:
        fitted_before: FittedWorkflow = kept
        return fitted_before
    await FILES.run_unless_short([workflow], _check_nodes, workflow)
    try:
        fitted = await FILES.run_unless_short([workflow], _fit_files, workflow, model)
        doubtful = list(fitted.absent)
    except ModelNotInstalled:
        doubtful = list(workflow.parameters["model"])
        doubtful += [target.reader for target in doubtful if target.reader]
    stale = {workflow.graph[target.node_id]["class_type"] for target in doubtful}
    if not stale:
        workflow.kept["fitted"] = model, fitted
    else:
        definitions = await server.define_anew(workflow.definitions, stale, DOUBT_SECONDS)
        workflow = replace(workflow, definitions=definitions)
        fitted = await FILES.run_unless_short([workflow], _fit_files, workflow, model)
    return fitted


def _check_nodes(workflow: Workflow) -> None:
    """Raise `NodeNotInstalled` or `WorkflowRefused` for what the server would refuse. Blocks."""
    missing = missing_nodes(workflow.graph, workflow.definitions)
    if missing:
        reason = nodes_missing(missing, workflow.remarks.packages)
        raise NodeNotInstalled(
            f'The workflow "{workflow.name}" cannot be used. {reason.message}', reason.hint
        )
    check_links(workflow.graph, workflow.definitions)


def _fit_files(workflow: Workflow, model: Argument | None) -> FittedWorkflow:
    """The workflow with the files that are installed, by its definitions. A file that no output
    needs may be missing without a word. Raises `ModelNotInstalled` when the model that was asked
    for is not there.
    """
    notes: tuple[str, ...] = ()
    chosen: dict[Target, str] = {}
    if model and "model" in workflow.parameters:
        choices = workflow.spec("model").names
        name = find_name(str(model.value), choices)
        if name is None:
            name = _by_words(model, choices)
            notes = (taken_for(model, f'"{name}"'),)
        chosen = {target.widget: name for target in workflow.parameters["model"]}
    elif model:
        notes = (
            f'the workflow "{workflow.name}" has no model to choose; {model.name} was left out',
        )
    renamed, absent = _other_files(workflow, chosen)
    workflow = workflow.set(renamed | chosen)
    model_file = str(workflow.value("model") or "")
    return FittedWorkflow(workflow, AS_SAVED, model_file, notes, absent)


def _by_words(model: Argument, choices: Sequence[str]) -> str:
    """The one choice that has all words of a model's name. Raises `ModelNotInstalled` for none, and
    `BadArgument` for several.
    """
    worded = names_with_words(str(model.value), choices)
    if not worded:
        raise model_missing(model, choices)
    if len(worded) > 1:
        raise several_meant(model.name, str(model.value), worded)
    return worded[0]


def _other_files(
    workflow: Workflow, chosen: Mapping[Target, str]
) -> tuple[dict[Target, str], dict[Target, AbsentFile]]:
    """The model files that were not `chosen`: those which are installed under another name, by
    their names on this server, and those which are not installed.

        {Target("4", "ckpt_name"): "SDXL/base.safetensors"}
        {Target("7", "vae_name"): AbsentFile("vae/ae.safetensors", ("flux-ae.safetensors",))}
    """
    renamed: dict[Target, str] = {}
    absent: dict[Target, AbsentFile] = {}
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
            similar: list[str] = []
            if len(absent) < 5:
                similar = closest(file.file, choices)
            source = workflow.remarks.source(file.file, file.folder)
            absent[file.target] = AbsentFile(file_path(file, source), tuple(similar), source)
    return renamed, absent
