"""From what somebody wants to a workflow and model files that this server has.

`choose` takes a `Request` and answers with a `FittedWorkflow`. A workflow that is named is found in
the catalogue. Where none is named, the first bundled one is taken that does one of the request's
tasks, has room for its pictures, and whose model files are installed (`_choose_for`).
catalogue/fitted.py makes it fit the server. A name that nothing has is taken for what is meant by
its words (catalogue/naming.py), with a note. The templates that came with a server
(catalogue/gallery.py) are taken by their names, and for a task that nothing else here can do.

When a model and a workflow do not go together, their levels decide which gives way
(`Argument.level`: 0 argument, 1 the user's valve, 2 the administrator's valve, 3 Open WebUI's image
settings): the higher one has less right, and what the image settings name gives way to whatever
else can run. Prompt, seed and the like are left to `run/planning.py`, input files to `run/inputs.py`.
"""

import contextlib
import functools
import itertools
import re
import time
from collections.abc import Collection, Sequence
from dataclasses import replace

from ..errors import (
    BadArgument,
    ComfyUIError,
    ModelNotInstalled,
    UnknownWorkflow,
    WorkflowRefused,
)
from ..graph.facts import guess_task
from ..graph.prices import price_of
from ..names import find_name, names_with_words, quoted, shortened
from ..server.client import ComfyUIServer
from ..threads import FILES
from ..values import Argument
from .entries import Catalogue, Entry, Listing, bundled_for
from .fitted import MISSING_FILES_HINT, fit_entry, fit_saved, model_missing
from .gallery import first_fitting, in_name, running, templates_meant, why_none_runs
from .missing import files_in_short
from .naming import entry_meant, files_of_loader, meant_by, names_model, several_meant, taken_for
from .request import CHANGING, IMAGE_SETTINGS, TEXT_TO_IMAGE, FittedWorkflow, Request
from .small_files import small_files
from .task_words import WITH_PICTURES, done_elsewhere, means, task_named

MOST_LOOKED_INTO = 24  # workflows of the user's own that are read to see which does a task


async def choose(
    server: ComfyUIServer, request: Request, catalogue: Catalogue = Catalogue()
) -> FittedWorkflow:
    """The workflow that is asked for by name, else the first bundled one that fits the request's
    tasks, its pictures, the model asked for and what is installed. The name of a task, where no
    workflow has that name, stands for any bundled workflow that does the task.

    When a model and a workflow do not go together, the one asked for with less right (a valve
    against an argument) gives way. Raises `UnknownWorkflow`, `ModelNotInstalled`,
    `NodeNotInstalled`, `BadArgument`, and as the server does.
    """
    try:
        fitted = await _choose(server, request, catalogue)
        _check_image_settings(request, fitted)
        return fitted
    except WorkflowRefused as refused:
        plainer = request.without_image_settings()
        if plainer is None:
            raise
        without, left_out = plainer
        try:
            fitted = await choose(server, without, catalogue)
        except ComfyUIError:
            raise refused from None
        note = f'{left_out.name} is "{shortened(left_out.value)}", which cannot be used and was left out'
        return fitted.noting(f"{note}: {refused.message}")


def _check_image_settings(request: Request, fitted: FittedWorkflow) -> None:
    """Raise `ModelNotInstalled` where the workflow of Open WebUI's image settings lacks files."""
    named = request.workflow
    is_theirs = named and named.level == IMAGE_SETTINGS and named.value == fitted.workflow.name
    if is_theirs and fitted.absent:
        raise ModelNotInstalled(f"It {files_in_short(fitted.absent.values())}.")


async def _choose(server: ComfyUIServer, request: Request, catalogue: Catalogue) -> FittedWorkflow:
    """`choose`, where nothing gives way. Raises in the same way."""
    if request.instead_of_workflow:
        return await _choose_unless_called(server, request, catalogue, request.instead_of_workflow)
    workflow = request.workflow
    if workflow is None:
        return await _choose_for_model(server, request, catalogue)
    try:
        entry = await catalogue.find(server, workflow)
    except UnknownWorkflow as unknown:
        return await _choose_by_meaning(server, request, catalogue, workflow, unknown)
    return await _choose_named(server, request, workflow, entry)


async def _choose_unless_called(
    server: ComfyUIServer, request: Request, catalogue: Catalogue, word: Argument
) -> FittedWorkflow:
    """The workflow that is called by a word which otherwise leaves the workflow out: "default". A
    template of that name, which nobody here chose, has to be able to run.
    """
    request = replace(request, instead_of_workflow=None)
    entry = await catalogue.find_exactly(server, str(word.value))
    if entry is None:
        return await choose(server, request, catalogue)
    named = replace(request, workflow=word)
    if entry.own:
        return await _choose_named(server, named, word, entry)
    try:
        fitted = await _choose_named(server, named, word, entry)
    except WorkflowRefused:
        lacks_something = True
    else:
        lacks_something = bool(fitted.absent)
    if not lacks_something:
        return fitted
    fitted = await choose(server, request, catalogue)
    return fitted.noting(
        f'the template "{entry.name}" cannot run here, and "{fitted.workflow.name}" was taken'
    )


async def _choose_for_model(
    server: ComfyUIServer, request: Request, catalogue: Catalogue
) -> FittedWorkflow:
    """The workflow for a request that names none; if its model is really the name of a workflow,
    that workflow.
    """
    try:
        return await _choose_for(server, request)
    except ModelNotInstalled:
        model = request.model
        if model is None or model.level:
            raise
        listing = await catalogue.entries(server)
        entry = await FILES.run(listing.find, str(model.value))
        if entry is None:
            raise
    fitted = await _choose_named(server, replace(request, model=None), model, entry)
    return fitted.noting(taken_for(model, f'the workflow "{entry.name}"'))


async def _entries_with_words(server: ComfyUIServer, listing: Listing, name: str) -> list[Entry]:
    """The workflows, but no templates, that have all words of a name, or are about it; of several,
    those that can run here, if any can.
    """
    entries = {entry.name: entry for entry in listing.entries if not entry.template}
    names = list(entries)
    worded = await FILES.run_unless_short([name, names], names_with_words, name, names)
    if not worded and done_elsewhere(name):
        worded = [
            entry.name for entry in entries.values() if not entry.bundled and _is_about(entry, name)
        ]
    if len(worded) > 1:
        worded = await _runnable(server, [entries[each] for each in worded]) or worded
    return [entries[each] for each in worded]


async def _choose_by_meaning(
    server: ComfyUIServer,
    request: Request,
    catalogue: Catalogue,
    workflow: Argument,
    unknown: UnknownWorkflow,
) -> FittedWorkflow:
    """The workflow that is meant by a name that none has: that of a task, of the one workflow that
    has all words of it, of a model, or of the one template that came with the server and has all
    words. Raises `unknown` where nothing is meant, and `BadArgument` where it could be several.
    """
    name = str(workflow.value)
    task = task_named(name, request.pictures)
    if request.pictures:
        task = WITH_PICTURES.get(task, task)
    if task:
        fitted = await _choose_for_task(server, request, catalogue, task, unknown)
        is_its_name = re.sub(r"[\s-]+", "_", name.strip().lower()) == task
        return fitted if is_its_name else fitted.noting(taken_for(workflow, f"the task {task}"))
    listing = await catalogue.entries(server)
    worded = await _entries_with_words(server, listing, name)
    if len(worded) == 1:
        fitted = await _choose_named(server, request, workflow, worded[0])
        return fitted.noting(taken_for(workflow, f'"{worded[0].name}"'))
    if worded:
        raise several_meant(workflow.name, name, [entry.name for entry in worded])
    if request.model is None and await _means_model_first(server, request, listing, name):
        with contextlib.suppress(ModelNotInstalled):
            return await _choose_for(server, replace(request, workflow=None, model=workflow))
    given = {file.kind for file in request.files if file}
    template = await _template_meant(server, listing, workflow, given, request.offers.keys())
    if template is None:
        raise unknown
    fitted = await _choose_named(server, request, workflow, template)
    return fitted.noting(taken_for(workflow, f'the template "{template.name}"'))


async def _means_model_first(
    server: ComfyUIServer, request: Request, listing: Listing, name: str
) -> bool:
    """Whether a name of a workflow that none has is rather that of a model than of a template:
    where no template is called so, or a file or a family of models is.
    """
    if not await FILES.run(in_name, listing.entries, name):
        return True
    entries = [entry for task in request.tasks for entry in _entries_for(server, task)]
    return await names_model(server, entries, name)


async def _template_meant(
    server: ComfyUIServer,
    listing: Listing,
    wanted: Argument,
    given: Collection[str] = (),
    offered: Collection[str] = ("image", "video", "audio"),
) -> Entry | None:
    """The one template that has all words of a name and takes the files that are `given`, or might
    be; of several the one that can run here, and costs nothing. None for nothing; raises
    `BadArgument` where it could be several.
    """
    meant = await FILES.run(templates_meant, listing.entries, str(wanted.value), given, offered)
    if len(meant) > 1:
        meant = await running(server, meant) or meant
    if len(meant) > 1:
        raise several_meant(wanted.name, str(wanted.value), [entry.name for entry in meant])
    return meant[0] if meant else None


def _is_about(entry: Entry, name: str) -> bool:
    """Whether a workflow is about what a name says that no bundled one does: "text_to_speech"."""
    text = f"{entry.name} {entry.description} {entry.tags}".lower()
    return all(means(word, text, entry.task) for word in done_elsewhere(name))


async def _choose_named(
    server: ComfyUIServer, request: Request, workflow: Argument, entry: Entry
) -> FittedWorkflow:
    """The entry that the argument `workflow` names, with the model that is named. Where the two do
    not go together, the one with less right is left out. A workflow of a valve is also left out
    when it does not take the files that were given.
    """
    fit = fit_entry if entry.bundled else fit_saved
    model = request.model
    if model and not entry.bundled and model.level > workflow.level:
        model = None  # a valve does not change what somebody saved
    try:
        fitted = await _fit_meant(server, entry, model)
    except ModelNotInstalled:
        if model is None or model.level == workflow.level:
            raise
        if model.level < workflow.level:
            return await _choose_for(server, request)
        fitted = await fit(server, entry, None)
        model_name = f'{model.name} "{shortened(model.value)}"'
        fitted = fitted.noting(
            f'{model_name} does not go with the workflow "{entry.name}" and was left out'
        )
    if workflow.level == 0 or _has_room(fitted, request):
        return fitted
    fitted = await _choose_for(server, request)  # the files that were given go before a valve
    return fitted.noting(
        f'{workflow.name} names "{entry.name}", which does not take what was given, and was left out'
    )


async def _fit_meant(server: ComfyUIServer, entry: Entry, model: Argument | None) -> FittedWorkflow:
    """A workflow with the model that is named, or with the one that is meant by its words. Raises
    as `fit_entry` and `fit_saved` do.
    """
    if not entry.bundled:
        return await fit_saved(server, entry, model)
    try:
        return await fit_entry(server, entry, model)
    except ModelNotInstalled:
        if model is None:
            raise
        meant = await meant_by(server, [entry], model)
        if meant is None or meant.file == model.value:
            raise
        named = replace(model, value=meant.file) if meant.file else None
        fitted = await fit_entry(server, entry, named)
    return fitted.noting(taken_for(model, f'"{fitted.model}"'))


async def _runnable(server: ComfyUIServer, entries: Sequence[Entry]) -> list[str]:
    """The names of the workflows whose models are installed. One that somebody saved is taken to
    have its models.
    """
    names: list[str] = []
    for entry in entries[:MOST_LOOKED_INTO]:
        with contextlib.suppress(WorkflowRefused):
            if entry.bundled:
                await fit_entry(server, entry, None)
            names.append(entry.name)
    return names


async def find_meant(server: ComfyUIServer, catalogue: Catalogue, wanted: Argument) -> Entry:
    """The workflow that a name means, to be described, as `choose` finds it. Raises
    `UnknownWorkflow`, and `BadArgument` where it could be several.
    """
    try:
        return await catalogue.find(server, wanted)
    except UnknownWorkflow:
        name = str(wanted.value)
        task = task_named(name)
        for_task = _entries_for(server, task) if task else []
        for entry in for_task:
            with contextlib.suppress(WorkflowRefused):
                await fit_entry(server, entry, None)
                return entry
        if for_task:
            return for_task[0]
        listing = await catalogue.entries(server)
        doing_task = [
            entry for entry in listing.entries if entry.template and task and entry.task == task
        ]
        if doing_task:
            return [*await running(server, doing_task), *doing_task][0]
        entries = {entry.name: entry for entry in listing.entries if not entry.template}
        worded = await FILES.run_unless_short(
            [name, list(entries)], names_with_words, name, list(entries)
        )
        if len(worded) > 1:
            raise several_meant(wanted.name, name, worded) from None
        if not worded:
            by_model = await entry_meant(server, bundled_for(server.endpoint), wanted)
            meant = by_model or await _template_meant(server, listing, wanted)
            if meant is None:
                raise
            return meant
        return entries[worded[0]]


async def _choose_for_task(
    server: ComfyUIServer,
    request: Request,
    catalogue: Catalogue,
    task: str,
    unknown: UnknownWorkflow,
) -> FittedWorkflow:
    """The first bundled workflow for a task, or where its models are missing, one that somebody
    saved or pasted, or a template that came with the server. The two tasks that change pictures
    stand in for one another, with a note. Raises `unknown` for a task that nothing here is for.
    """
    tasks: tuple[str, ...] = (task,)
    if task in CHANGING:
        tasks = (task, *[other for other in CHANGING if other != task])
    refused: ModelNotInstalled | None = None
    if _entries_for(server, task):
        try:
            fitted = await _choose_for(server, replace(request, workflow=None, tasks=tasks))
        except ModelNotInstalled as error:
            refused = error
        else:
            if fitted.task == task:
                return fitted
            return fitted.noting(
                f"no model is installed for the task {task}, and a workflow for {fitted.task} was taken"
            )
    own = await _saved_for_task(server, request, catalogue, task)
    if own is not None and await _is_free(own):
        return own
    listing = await catalogue.entries(server)
    templates = [entry for entry in listing.entries if entry.template and entry.task == task]
    fitting = await _template_for_task(server, request, templates, task)
    if fitting is not None:
        return fitting.noting(
            f'the template "{fitting.workflow.name}" of the ComfyUI server was taken'
        )
    if own is not None:
        return own
    if refused is not None:
        raise refused
    if not templates:
        raise unknown
    why = await why_none_runs(server, templates)
    raise ModelNotInstalled(f"Nothing that can run here does the task {task}.", why)


async def _template_for_task(
    server: ComfyUIServer, request: Request, templates: Sequence[Entry], task: str
) -> FittedWorkflow | None:
    """The first of these templates that does the task with what is given, runs here and costs
    nothing.
    """

    async def suits(fitted: FittedWorkflow) -> bool:
        if not _has_room(fitted, request) or not await _is_free(fitted):
            return False
        return (
            await FILES.run_unless_short([fitted.workflow], guess_task, fitted.workflow.flow)
            == task
        )

    return await first_fitting(server, templates, suits)


async def _saved_for_task(
    server: ComfyUIServer, request: Request, catalogue: Catalogue, task: str
) -> FittedWorkflow | None:
    """The first workflow that somebody saved or pasted which does a task and can run here, one that
    costs nothing before all that do; None where none does.
    """
    listing = await catalogue.entries(server)
    own = [entry for entry in listing.entries if entry.own and entry.task in ("", task)]
    paid: FittedWorkflow | None = None
    for entry in own[:MOST_LOOKED_INTO]:
        try:
            fitted = await fit_saved(server, entry, None)
        except WorkflowRefused:
            continue
        does = entry.task or await FILES.run_unless_short(
            [fitted.workflow], guess_task, fitted.workflow.flow
        )
        if does != task or fitted.absent or not _has_room(fitted, request):
            continue
        if await _is_free(fitted):
            return fitted
        paid = paid or fitted
    return paid


async def _is_free(fitted: FittedWorkflow) -> bool:
    """Whether a workflow costs nothing."""
    workflow = fitted.workflow
    return (
        await FILES.run_unless_short([workflow], price_of, workflow.graph, workflow.definitions)
        is None
    )


def _has_room(fitted: FittedWorkflow, request: Request) -> bool:
    """Whether a workflow has room for the request's pictures and a place for its mask."""
    inputs = fitted.workflow.file_inputs
    if request.mask and not any(item.takes_mask for item in inputs):
        return False
    return request.pictures <= request.room_in(inputs)


async def _choose_for(server: ComfyUIServer, request: Request) -> FittedWorkflow:
    """The first bundled workflow of the first task for which everything is installed. A file that
    the server itself cannot read counts as installed only when nothing else is.
    """
    entries: list[Entry] = []
    for task in request.tasks:
        entries += _entries_for(server, task)
    if not entries:
        raise UnknownWorkflow("No workflow for this may be used here.")
    with_room = [entry for entry in entries if request.room_in(entry.files) >= request.pictures]
    if not with_room:
        raise _too_many_pictures(request, entries)
    began = time.monotonic()
    candidates = _candidates(request, with_room)
    refusals: dict[str, None] = {}  # of workflows for which any model would have done
    for readable in (True, False):  # a file that the server cannot read is still better than none
        for model, entry in candidates:
            try:
                return await fit_entry(
                    server, entry, model, strict=True, readable=readable, began=began
                )
            except WorkflowRefused as refused:
                if model is None:
                    refusals[refused.message] = None
    if request.model and not refusals:
        return await _choose_meant(server, request, request.model, entries)
    purpose = "a picture could be made with" if request.tasks == TEXT_TO_IMAGE else "could do this"
    hint = f"One set of files is enough. {MISSING_FILES_HINT} {' '.join(refusals)}"
    if request.pictures > 1 and await _can_do_one(server, request):
        purpose = f"takes {request.pictures} pictures"
        hint = f"One takes one picture: give it in `images`. For several: {hint}"
    raise ModelNotInstalled(f"No model is installed that {purpose}.", hint)


async def _can_do_one(server: ComfyUIServer, request: Request) -> bool:
    """Whether a request could be done with the first of its pictures alone."""
    try:
        await _choose_for(server, replace(request, files=request.files[:1]))
    except (WorkflowRefused, BadArgument):
        return False
    return True


async def _choose_meant(
    server: ComfyUIServer, request: Request, model: Argument, entries: Sequence[Entry]
) -> FittedWorkflow:
    """The workflow for a model that no file is called: what is meant by its words. Raises
    `ModelNotInstalled` for nothing, and `BadArgument` where it could be several.
    """
    with_room = [entry for entry in entries if request.room_in(entry.files) >= request.pictures]
    can_run = functools.partial(_can_run, server, model=None)
    meant = await meant_by(server, with_room, model, can_run)
    named = meant.entry if meant else None
    if named:
        try:
            fitted = await fit_entry(server, named, None)
            return fitted.noting(taken_for(model, f'the workflow "{named.name}"'))
        except WorkflowRefused:  # its own models are not there, but others may be meant
            meant = await meant_by(
                server, [entry for entry in with_room if entry is not named], model, can_run
            )
    if meant is None or not meant.file or meant.file == model.value:
        raise await _no_such_model(server, request, model, entries)
    fitted = await _choose_for(server, replace(request, model=replace(model, value=meant.file)))
    return fitted.noting(taken_for(model, f'"{meant.file}"'))


def _entries_for(server: ComfyUIServer, task: str) -> list[Entry]:
    """The bundled workflows that do a task, as far as the caller may use them."""
    return [entry for entry in bundled_for(server.endpoint) if entry.task == task]


def _candidates(request: Request, entries: Sequence[Entry]) -> list[tuple[Argument | None, Entry]]:
    """The models and workflows to try, the preferred ones first; the model None stands for any that
    is installed.
    """
    models = [request.model]
    if request.model and request.model.level and request.tasks != TEXT_TO_IMAGE:
        # to work on pictures, since the model of the valve may be made for something else
        models.append(None)
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
    hint = "Leave it out, or name a workflow or a task that takes pictures, such as image_edit."
    if most:
        hint = f"Give at most {most}."
    return BadArgument(f"{given} given, which no workflow takes.", hint)


async def _no_such_model(
    server: ComfyUIServer, request: Request, model: Argument, entries: Sequence[Entry]
) -> ModelNotInstalled:
    """The error if no workflow takes the model: it is not installed, or not of a kind that any of
    them runs with. Its hint names only models and workflows that would be taken.
    """
    installed: list[str] = []
    suitable: list[str] = []  # for workflows of which all other files are there
    for entry in entries:
        names = await files_of_loader(server, entry)
        installed += names
        if await _can_run(server, entry, None):
            suitable += [
                *await FILES.run_unless_short([names], entry.needs[0].rank, names),
                *await small_files(server, entry),
            ]
    name = find_name(str(model.value), installed)
    if not name:
        return model_missing(model, list(dict.fromkeys(suitable)))
    workflow = "workflow"
    if request.pictures > 1:
        workflow = f"workflow that takes {request.pictures} pictures"
    hint = ""
    trying = [entry.name for entry in entries if await _can_run(server, entry, model)]
    if trying:
        hint = f"Name one of the workflows {quoted(trying)} with it to try it anyway."
    return ModelNotInstalled(
        f'The model "{name}" is installed, but no {workflow} is made for it, or another file that it needs is missing.',
        hint,
    )


async def _can_run(server: ComfyUIServer, entry: Entry, model: Argument | None) -> bool:
    """Whether a bundled workflow can run here, with this model or any."""
    try:
        await fit_entry(server, entry, model)
    except WorkflowRefused:
        return False
    return True
