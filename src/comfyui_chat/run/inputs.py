"""Puts the files of a call into the inputs of a workflow that take files.

`place_files` goes by kinds: the first picture into the first picture input, the first film into the first input for
films, and so on. A mask goes into the mask inputs, or becomes the transparency of the picture that it belongs to, which
ComfyUI's LoadImage gives out as a mask. Where nothing is given for a kind, what the chat offers of it is taken.

The workflow then names each file by its `stored_name`, which is made from its content. So the files need not be sent
before all else about the call is known to be right: `place_files` returns them, and run/make.py uploads them.

An input that gets nothing keeps its author's file where the server has that. Else it is cut out of the graph, or, where
the workflow cannot do without it, written down in `FittedWorkflow.wanting` for run/planning.py to refuse.

`freshen` comes before all that: it asks anew for the definitions of nodes whose lists lack what the call names.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from PIL import Image

from ..catalogue.choosing import FittedWorkflow, Request
from ..errors import BadArgument
from ..graph.facts import FileInput, file_inputs
from ..graph.loras import LORA_LOADERS
from ..graph.nodes import Target
from ..graph.pruning import without_files
from ..graph.workflow import Workflow
from ..media.pictures import InputFile, mask_file, read_mask, with_mask
from ..names import find_name
from ..server.client import DOUBT_SECONDS, ComfyUIServer
from ..values import Size


async def freshen(server: ComfyUIServer, choice: FittedWorkflow, request: Request) -> FittedWorkflow:
    """The choice with the definitions of the nodes that load LoRAs, if the request has any, and with new definitions of
    nodes that do not offer what the request names: files are added all the time."""
    workflow = choice.workflow
    stale = set[str]()
    if request.loras or "loras" in request.inputs:
        stale.update(LORA_LOADERS)
    for name, wanted in request.inputs.items():
        targets = workflow.find(name)
        if not targets:
            continue
        names = workflow.spec(name).names
        if names and find_name(str(wanted.value), names) is None:
            stale.update(workflow.graph[target.node_id]["class_type"] for target in targets)
    if not stale:
        return choice
    definitions = await server.define_anew(workflow.definitions, stale, DOUBT_SECONDS)
    return replace(choice, workflow=replace(workflow, definitions=definitions))


async def place_files(
    server: ComfyUIServer, choice: FittedWorkflow, request: Request
) -> tuple[FittedWorkflow, list[InputFile]]:
    """The choice with the request's files named in the workflow's inputs of their kinds, in order, and the files that
    have to be uploaded for it. Where nothing is given for a kind, what the chat offers is taken. Where the workflow
    takes a mask and none is given, but one picture more than it has inputs for pictures, the last picture is the mask.

    An input that gets nothing keeps its author's file; where the server does not have that, the input is left out if
    the workflow can do without it, and else noted as wanting.

    Raises `BadArgument` for more files of a kind than the workflow takes, for a mask without a place, and for a missing
    mask without which a bundled workflow would paint nothing.
    """
    inputs = file_inputs(choice.workflow.flow)
    pictures = [item for item in inputs if item.kind == "image"]
    mask_inputs = [item for item in inputs if item.takes_mask]
    offered = await _offered(request, inputs)
    files = [*request.files, *offered]
    mask = request.mask
    if mask is None and mask_inputs:
        mask = await _take_mask(files, len(pictures))

    placed = _placed(choice.workflow.name, inputs, files)
    notes = _notes_of(files)
    if choice.saved:
        kept = '"saved" in `images` keeps the workflow\'s own'
        notes += [f"no {file.kind} was given and the newest of the chat was taken; {kept}" for file in offered]
    if mask:
        placed |= await _carry_mask(choice, mask, mask_inputs, placed)
    notes += _notes_of(placed.values())
    if mask is None:
        notes += _check_unmasked(choice, mask_inputs, placed)

    names = dict(zip(placed, await asyncio.to_thread(_stored_names, placed.values()), strict=True))
    choice = replace(choice, workflow=choice.workflow.set(names), picture=_first_size(pictures, placed))
    unfilled = [item for item in inputs if item.needed and item.target not in placed]
    choice, left_out = await _without_absent(server, choice, unfilled, some_placed=bool(placed))
    notes += left_out
    uploads = {file.stored_name: file for file in placed.values()}
    return replace(choice, notes=(*choice.notes, *dict.fromkeys(notes))), list(uploads.values())


def _notes_of(files: Iterable[InputFile | None]) -> list[str]:
    return [note for file in files if file for note in file.notes]


def _kind(file: InputFile | None) -> str:
    """The kind of inputs that a file is for. None, which keeps the author's file, counts as a picture."""
    return file.kind if file else "image"


async def _offered(request: Request, inputs: Sequence[FileInput]) -> list[InputFile]:
    """What the chat offers, of each kind that an input needs and of which no file is given."""
    if None in request.files:  # what the author chose is to be kept
        return []
    given = {_kind(file) for file in request.files}
    wanted = {item.kind for item in inputs if item.needed} - given
    return [await offer() for kind, offer in request.offers.items() if kind in wanted]


async def _take_mask(files: list[InputFile | None], pictures: int) -> Image.Image | None:
    """The mask, whose picture is taken out of the files: the last one, where there is just one more than the workflow
    has inputs for pictures. Else None."""
    places = [index for index, file in enumerate(files) if _kind(file) == "image"]
    if len(places) != pictures + 1:
        return None
    last = files[places[-1]]
    if last is None:
        return None
    del files[places[-1]]
    return await asyncio.to_thread(read_mask, last.data, "the mask")


def _placed(workflow: str, inputs: Sequence[FileInput], files: Sequence[InputFile | None]) -> dict[Target, InputFile]:
    """Which input gets which file. A file that is None keeps the author's in its input. `workflow` is the name for
    messages. Raises `BadArgument` for more files of a kind than there are inputs."""
    free = list(inputs)
    placed = dict[Target, InputFile]()
    for file in files:
        place = next((item for item in free if item.kind == _kind(file)), None)
        if place is None and file is None and free:  # what is kept is a film, a sound or a mask
            place = free[0]
        if place is None:
            raise _too_many_files(workflow, inputs, files, _kind(file))
        free.remove(place)
        if file:
            placed[place.target] = file
    return placed


def _too_many_files(
    workflow: str, inputs: Sequence[FileInput], files: Sequence[InputFile | None], kind: str
) -> BadArgument:
    taken = sum(item.kind == kind for item in inputs)
    given = sum(_kind(file) == kind for file in files)
    kinds = kind if taken == 1 else f"{kind}s"
    were = "was" if given == 1 else "were"
    return BadArgument(
        f'The workflow "{workflow}" takes {taken or "no"} {kinds}, and {given} {were} given.',
        "describe_workflow tells what it takes.",
    )


async def _carry_mask(
    choice: FittedWorkflow, mask: Image.Image, mask_inputs: Sequence[FileInput], placed: Mapping[Target, InputFile]
) -> dict[Target, InputFile]:
    """The files that carry the mask, by input. Raises `BadArgument` where there is no place for it."""
    name = choice.workflow.name
    if not mask_inputs:
        raise BadArgument(f'The workflow "{name}" takes no mask.', "Leave the mask out.")
    carried = await asyncio.to_thread(_masked, mask, mask_inputs, placed)
    if not carried:
        raise BadArgument(
            f'The mask for the workflow "{name}" goes with a picture, and none was given.',
            "Give the picture too, in place of the workflow's own, or leave the mask out.",
        )
    return carried


def _masked(
    mask: Image.Image, mask_inputs: Sequence[FileInput], placed: Mapping[Target, InputFile]
) -> dict[Target, InputFile]:
    """The files that carry the mask, by input: files of its own, as large as the first picture, and pictures that have
    it as their transparency. Blocks."""
    size = next((file.size for file in placed.values() if file.size), Size(*mask.size))
    carried = dict[Target, InputFile]()
    for item in mask_inputs:
        if not item.masked:
            carried[item.target] = mask_file(mask, size)
        elif item.target in placed:
            carried[item.target] = with_mask(placed[item.target], mask)
    return carried


def _check_unmasked(
    choice: FittedWorkflow, mask_inputs: Sequence[FileInput], placed: Mapping[Target, InputFile]
) -> list[str]:
    """Notes on pictures that should bring a mask and have no transparent part. Raises `BadArgument` for those of a
    bundled workflow, which would paint nothing."""
    with_picture = [item for item in mask_inputs if item.masked and item.target in placed]
    bare = [item for item in with_picture if not placed[item.target].transparent]
    if bare and not choice.saved:
        raise BadArgument(
            f'The workflow "{choice.workflow.name}" needs a mask.',
            "Give a picture that is white where it is to be painted anew: as `mask` of edit_image, or as the last of "
            "`images` of run_workflow.",
        )
    return [f'no mask was given for "{item.title}", and the picture has no transparent part' for item in bare]


def _stored_names(files: Iterable[InputFile]) -> list[str]:
    """The names that the files will have on the server. Blocks: they are digests of what may be large."""
    return [file.stored_name for file in files]


def _first_size(pictures: Sequence[FileInput], placed: Mapping[Target, InputFile]) -> Size | None:
    """The size of the first picture that the workflow gets to work on."""
    return next((placed[item.target].size for item in pictures if item.target in placed), None)


async def _without_absent(
    server: ComfyUIServer, choice: FittedWorkflow, unfilled: Sequence[FileInput], *, some_placed: bool
) -> tuple[FittedWorkflow, list[str]]:
    """The choice without the inputs that got no file (`unfilled`) and whose author's file the server does not have, and
    notes on them. What cannot be left out is wanting; nothing is left out of a saved workflow that got no file at
    all."""
    whole, absent = await _absent(server, choice, unfilled)
    can_leave_out = some_placed or not choice.saved
    workflow = whole
    notes: list[str] = []
    wanting: dict[Target, str] = {}
    for item in reversed(absent):
        called = f'the {item.kind} for "{item.title}"'
        fewer = None
        if can_leave_out:
            fewer = without_files(workflow.flow, [item.target])
        if fewer is None:
            wanting[item.target] = called
            continue
        workflow = replace(workflow, graph=fewer)
        if choice.saved:
            notes.append(f"the workflow was run without {called}")
    if workflow is not whole:
        name, graph, definitions, dynamic = workflow.name, workflow.graph, workflow.definitions, workflow.dynamic
        workflow = await asyncio.to_thread(Workflow.parse, name, graph, definitions, dynamic)
    wanting = dict(reversed(wanting.items()))
    return replace(choice, workflow=workflow, wanting=wanting), notes


async def _absent(
    server: ComfyUIServer, choice: FittedWorkflow, unfilled: Sequence[FileInput]
) -> tuple[Workflow, list[FileInput]]:
    """The workflow with the definitions that were asked for anew, and its inputs whose author's file the server does
    not have by them."""
    workflow = choice.workflow
    if not choice.saved:  # the file that a bundled workflow names is nobody's
        return workflow, list(unfilled)
    absent: list[FileInput] = []
    for item in unfilled:
        files = workflow.widget_spec(item.target).choices
        if files and item.held not in files:
            class_type = workflow.graph[item.target.node_id]["class_type"]
            definitions = await server.define_anew(workflow.definitions, [class_type], 0.0)
            workflow = replace(workflow, definitions=definitions)
            files = workflow.widget_spec(item.target).choices
        # A name with a folder, or with "[output]" behind it, stands in no list though the file may be there.
        is_elsewhere = re.search(r"[/\\\[]", item.held)
        if files and item.held not in files and not is_elsewhere:
            absent.append(item)
    return workflow, absent
