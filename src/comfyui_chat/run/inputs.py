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
    workflow, definitions = choice.workflow, choice.definitions
    stale = set(LORA_LOADERS) if request.loras or "loras" in request.inputs else set()
    for name, wanted in request.inputs.items():
        names = workflow.spec(name, definitions).names if workflow.find(name) else ()
        if names and find_name(str(wanted.value), names) is None:
            stale.update(workflow.graph[target.node_id]["class_type"] for target in workflow.find(name) or ())
    return replace(choice, definitions=await server.define_anew(definitions, stale, DOUBT_SECONDS))


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
    inputs = file_inputs(choice.workflow.graph, choice.definitions)
    files, mask = await _with_offers(request, inputs), request.mask
    pictures = [item for item in inputs if item.kind == "image"]
    masks = [item for item in inputs if item.takes_mask]
    given = [file for file in files if file is None or file.kind == "image"]
    if mask is None and masks and len(given) == len(pictures) + 1 and given[-1]:
        del files[max(index for index, file in enumerate(files) if file is given[-1])]  # the last one is the mask
        mask = await asyncio.to_thread(read_mask, given[-1].data, "the mask")
    placed, waiting = _placed(choice, inputs, files)
    notes = [note for file in files if file for note in file.notes]
    if choice.saved:
        kinds = [file.kind for file in files[len(request.files) :] if file]
        kept = '"saved" in `images` keeps the workflow\'s own'
        notes += [f"no {kind} was given and the newest of the chat was taken; {kept}" for kind in kinds]
    if mask:
        if not masks:
            raise BadArgument(f'The workflow "{choice.workflow.name}" takes no mask.', "Leave the mask out.")
        carried = await asyncio.to_thread(_masked, mask, masks, placed)
        if not carried:
            raise BadArgument(
                f'The mask for the workflow "{choice.workflow.name}" goes with a picture, and none was given.',
                "Give the picture too, in place of the workflow's own, or leave the mask out.",
            )
        placed |= carried
        waiting = [item for item in waiting if item.target not in placed]
    notes += [note for file in placed.values() for note in file.notes]
    if mask is None:
        notes += _check_unmasked(choice, masks, placed)
    names = dict(zip(placed, await asyncio.to_thread(_stored_names, placed.values()), strict=True))
    choice = replace(choice, workflow=choice.workflow.set(names), picture=_first_size(pictures, placed))
    choice = await _without_absent(server, choice, waiting, bool(placed), notes)
    uploads = {file.stored_name: file for file in placed.values()}
    return replace(choice, notes=(*choice.notes, *dict.fromkeys(notes))), list(uploads.values())


async def _with_offers(request: Request, inputs: Sequence[FileInput]) -> list[InputFile | None]:
    """The request's files and, of each kind that an input needs and of which none is given, what the chat offers."""
    files = list(request.files)
    for kind, offer in request.offers.items():
        wanted = any(item.kind == kind and item.needed for item in inputs)
        if wanted and not any(file is None or file.kind == kind for file in files):
            files.append(await offer())
    return files


def _placed(
    choice: FittedWorkflow, inputs: Sequence[FileInput], files: Sequence[InputFile | None]
) -> tuple[dict[Target, InputFile], list[FileInput]]:
    """Which input gets which file, and the inputs that get none though something needs them. A file that is None keeps
    the author's in its input."""
    free, placed = list(inputs), dict[Target, InputFile]()
    for file in files:
        kind = file.kind if file else "image"
        place = next((item for item in free if item.kind == kind), None)
        if place is None and file is None and free:  # what is kept is a film, a sound or a mask
            place = free[0]
        if place is None:
            taken = sum(item.kind == kind for item in inputs)
            count = sum((other.kind if other else "image") == kind for other in files)
            raise BadArgument(
                f'The workflow "{choice.workflow.name}" takes {taken or "no"} {kind}{"s" * (taken != 1)}, and '
                f"{count} {'was' if count == 1 else 'were'} given.",
                "describe_workflow tells what it takes.",
            )
        free.remove(place)
        if file:
            placed[place.target] = file
    return placed, [item for item in inputs if item.needed and item.target not in placed]


def _masked(
    mask: Image.Image, masks: Sequence[FileInput], placed: Mapping[Target, InputFile]
) -> dict[Target, InputFile]:
    """The files that carry the mask, by input: files of its own, as large as the first picture, and pictures that have
    it as their transparency. Blocks."""
    sizes = [file.size for file in placed.values() if file.size]
    return {
        item.target: with_mask(placed[item.target], mask)
        if item.masked
        else mask_file(mask, sizes[0] if sizes else Size(*mask.size))
        for item in masks
        if not item.masked or item.target in placed
    }


def _check_unmasked(
    choice: FittedWorkflow, masks: Sequence[FileInput], placed: Mapping[Target, InputFile]
) -> list[str]:
    """Notes on pictures that should bring a mask and have no transparent part. Raises `BadArgument` for those of a
    bundled workflow, which would paint nothing."""
    bare = [item for item in masks if item.masked and item.target in placed and not placed[item.target].transparent]
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
    server: ComfyUIServer, choice: FittedWorkflow, waiting: Sequence[FileInput], some: bool, notes: list[str]
) -> FittedWorkflow:
    """The choice without the inputs that got no file (`waiting`) and whose author's file the server does not have. What
    cannot be left out is wanting; nothing is left out of a saved workflow that got no file at all (`some` is false)."""
    workflow, definitions = choice.workflow, choice.definitions
    absent: list[FileInput] = []
    for item in waiting:
        spec = workflow.widget_spec(item.target, definitions)
        if choice.saved and spec.choices and item.held not in spec.choices:
            definitions = await server.define_anew(
                definitions, [workflow.graph[item.target.node_id]["class_type"]], 0.0
            )
            spec = workflow.widget_spec(item.target, definitions)
        # A name with a folder, or with "[output]" behind it, stands in no list though the file may be there. The file
        # that a bundled workflow names is nobody's.
        unknown = spec.choices and item.held not in spec.choices and not re.search(r"[/\\\[]", item.held)
        if unknown or not choice.saved:
            absent.append(item)
    graph, wanting = workflow.graph, dict[Target, str]()
    for item in reversed(absent):
        fewer = without_files(graph, [item.target], definitions) if some or not choice.saved else None
        if fewer is None:
            wanting[item.target] = f'the {item.kind} for "{item.title}"'
            continue
        graph = fewer
        notes += [f'the workflow was run without the {item.kind} for "{item.title}"'] if choice.saved else []
    if graph is not workflow.graph:
        workflow = await asyncio.to_thread(Workflow.parse, workflow.name, graph, definitions, workflow.dynamic)
    wanting = dict(reversed(wanting.items()))
    return replace(choice, workflow=workflow, definitions=definitions, wanting=wanting)
