"""Puts the files of a call into the inputs of a workflow that take files.

`place_files` goes by kinds: the first picture into the first picture input, the first film into the
first input for films, and so on. A mask goes into the mask inputs, or becomes the transparency of
the picture that it belongs to, which ComfyUI's LoadImage gives out as a mask. Where nothing is
given for a kind, what the chat offers of it is taken.

The workflow then names each file by its `stored_name`, which is made from its content. So the files
need not be sent before all else about the call is known to be right: `place_files` returns them,
and run/make.py uploads them.

An input that gets nothing keeps its author's file where the server has that. Else it is cut out of
the graph, or, where the workflow cannot do without it, written down in `FittedWorkflow.wanting` for
run/planning.py to refuse.

`freshen` comes before all that: it asks anew for the definitions of nodes whose lists lack what the
call names.
"""

import base64
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from PIL import Image

from ..catalogue.request import FittedWorkflow, Offer, Request
from ..errors import BadArgument
from ..graph.facts import FileInput
from ..graph.loras import LORA_LOADERS, NUNCHAKU_LORA_LOADERS
from ..graph.nodes import Target
from ..graph.pruning import without_files
from ..graph.workflow import Workflow
from ..media.kinds import content_type_of
from ..media.pictures import InputFile, mask_file, read_mask, with_mask
from ..media.running_times import running_time
from ..names import find_name
from ..server.client import DOUBT_SECONDS, ComfyUIServer
from ..sizes import Size
from ..threads import FILES, PICTURES
from .asked_inputs import with_own_names


async def freshen(
    server: ComfyUIServer, choice: FittedWorkflow, request: Request
) -> FittedWorkflow:
    """The choice with the definitions of the nodes that load LoRAs, if the request has any, and
    with new definitions of nodes that do not offer what the request names: files are added all the
    time.
    """
    workflow = choice.workflow
    request = with_own_names(workflow, request)
    stale = set[str]()
    if request.loras:
        stale.update(LORA_LOADERS)
        classes = {node["class_type"] for node in workflow.graph.values()}
        stale.update(own for loader, own in NUNCHAKU_LORA_LOADERS.items() if loader in classes)
    for name, wanted in request.inputs.items():
        targets = workflow.find(name)
        if not targets:
            continue
        names = workflow.spec(name).names
        if names and find_name(str(wanted.value), names) is None:
            loaders = [workflow.graph[target.node_id] for target in targets]
            stale.update(loader["class_type"] for loader in loaders)
    if not stale:
        return choice
    definitions = await server.define_anew(workflow.definitions, stale, DOUBT_SECONDS)
    return replace(choice, workflow=replace(workflow, definitions=definitions))


async def place_files(
    server: ComfyUIServer, choice: FittedWorkflow, request: Request
) -> tuple[FittedWorkflow, list[InputFile]]:
    """The choice with the request's files named in the workflow's inputs of their kinds, in order,
    and the files that have to be uploaded for it. Where nothing is given for a kind, what the chat
    offers is taken. Where the workflow takes a mask and none is given, but one picture more than it
    has inputs for pictures, the last picture is the mask.

    An input that gets nothing keeps its author's file; where the server does not have that, the
    input is left out if the workflow can do without it, and else noted as wanting.

    Raises `BadArgument` for more files of a kind than the workflow takes, for a mask without a
    place, and for a missing mask without which a bundled workflow would paint nothing.
    """
    workflow = choice.workflow
    inputs = workflow.file_inputs
    placed, notes = await _placed_with_mask(choice, request, inputs)
    as_text = {item.target for item in inputs if item.as_text}
    files_data = [file.data for file in placed.values()]
    names = await FILES.run_unless_short(files_data, _stored_names, placed, as_text)
    sizes = {target: file.size for target, file in placed.items() if file.size}
    picture = _first_size(inputs, placed)
    choice = replace(choice, workflow=workflow.set(names), picture=picture, sizes=sizes)
    unfilled = [item for item in inputs if item.needed and item.target not in placed]
    choice, left_out = await _without_absent(server, choice, unfilled, some_placed=bool(placed))
    notes += left_out
    uploads = {names[target]: file for target, file in placed.items() if target not in as_text}
    given = frozenset(target.widget for target in names)
    lengths = await PICTURES.run(_lengths, placed) if _is_priced(workflow) else {}
    notes = [*choice.notes, *dict.fromkeys(notes)]
    choice = replace(choice, given=given, lengths=lengths, notes=tuple(notes))
    return choice, list(uploads.values())


async def _placed_with_mask(
    choice: FittedWorkflow, request: Request, inputs: Sequence[FileInput]
) -> tuple[dict[Target, InputFile], list[str]]:
    """Which input gets which of the request's files, the mask among them, and notes on that. Raises
    as `place_files` does.
    """
    name = choice.workflow.name
    mask_inputs = [item for item in inputs if item.takes_mask]
    offered = await _offered(request, inputs)
    files = [*request.files, *offered]
    mask = request.mask
    if mask is None and mask_inputs:
        pictures = [item for item in inputs if item.kind == "image"]
        mask = await _take_mask(files, len(pictures))
    placed = _placed(name, inputs, files)
    notes = [*_notes_of(files), *_taken_notes(choice, request, offered)]
    if mask:
        placed |= await _carry_mask(name, mask, mask_inputs, placed)
    notes += _notes_of(placed.values())
    if mask is None:
        notes += _check_unmasked(choice, mask_inputs, placed)
    return placed, notes


def _is_priced(workflow: Workflow) -> bool:
    """Whether any node of a workflow may cost something."""
    return any(definition.price for definition in workflow.definitions.values())


def _lengths(placed: Mapping[Target, InputFile]) -> dict[str, float]:
    """The seconds of the videos and sounds, by the nodes that load them. Blocks."""
    lengths: dict[str, float] = {}
    for target, file in placed.items():
        if file.kind in ("video", "audio"):
            content_type, _, _ = content_type_of(file.data, file.stored_name)
            seconds = running_time(file.data, content_type).seconds
            if seconds:
                lengths[target.node_id] = seconds
    return lengths


def _notes_of(files: Iterable[InputFile | None]) -> list[str]:
    notes: list[str] = []
    for file in files:
        if file:
            notes += file.notes
    return notes


def unnamed_note(taken: int, sent: int) -> str:
    """What a result says of pictures that the call did not name: how many were `taken` of those
    that the user `sent` with the last message. Nothing of one alone.
    """
    if sent < 2:
        return ""
    if taken == sent:
        return (
            f"no `images` was given, and all {sent} pictures of the user's last message were taken"
        )
    which = "the newest was taken" if taken == 1 else f"the newest {taken} were taken"
    return f"no `images` was given, and of the {sent} pictures of the user's last message {which}"


def _taken_notes(
    choice: FittedWorkflow, request: Request, offered: Sequence[InputFile]
) -> list[str]:
    """Notes on the files that were taken without being named. Those of a saved workflow tell how it
    keeps its own.
    """
    kinds = [file.kind for file in offered]
    note = (
        unnamed_note(kinds.count("image"), len(request.sent_pictures)) if "image" in kinds else ""
    )
    if not choice.saved:
        return [note] if note else []
    kept = '"saved" in `images` keeps the workflow\'s own'
    notes: list[str] = []
    for kind in dict.fromkeys(kinds):
        what = f"no {kind} was given and the newest of the chat was taken"
        notes.append(f"{note if note and kind == 'image' else what}; {kept}")
    return notes


def _kind(file: InputFile | None) -> str:
    """The kind of inputs that a file is for. None, which keeps the author's file, counts as a
    picture.
    """
    if file is None:
        return "image"
    return file.kind


async def _offered(request: Request, inputs: Sequence[FileInput]) -> list[InputFile]:
    """What the chat offers, of each kind that an input needs and of which no file is given: the
    newest file, or of the pictures of the user's last message as many as there is room for.
    """
    if None in request.files:  # what the author chose is to be kept
        return []
    given = set(map(_kind, request.files))
    wanted = {item.kind for item in inputs if item.needed} - given
    offers: list[Offer] = []
    for kind, newest in request.offers.items():
        if kind == "image" and len(request.sent_pictures) > 1:
            wanted_offers = list(request.sent_pictures[-request.room_in(inputs) :])
        else:
            wanted_offers = [newest]
        if kind in wanted:
            offers += wanted_offers
    return [await offer() for offer in offers]


async def _take_mask(files: list[InputFile | None], pictures: int) -> Image.Image | None:
    """The mask, whose picture is taken out of the files: the last one, where there is just one more
    than the workflow has inputs for pictures. Else None.
    """
    places = [index for index, file in enumerate(files) if _kind(file) == "image"]
    if len(places) != pictures + 1:
        return None
    last = files[places[-1]]
    if last is None:
        return None
    del files[places[-1]]
    return await PICTURES.run(read_mask, last.data, "the mask")


def _placed(
    workflow: str, inputs: Sequence[FileInput], files: Sequence[InputFile | None]
) -> dict[Target, InputFile]:
    """Which input gets which file. A file that is None keeps the author's in its input. `workflow`
    is the name for messages. Raises `BadArgument` for more files of a kind than there are inputs.
    """
    free = list(inputs)
    placed = dict[Target, InputFile]()
    for file in files:
        kind = _kind(file)
        places = [item for item in free if item.kind == kind]
        if file is None and not places:
            places = free  # what is kept is a film, a sound or a mask
        if not places:
            raise _too_many_files(workflow, inputs, files, kind)
        place = places[0]
        free.remove(place)
        if file:
            placed[place.target] = file
    return placed


def _too_many_files(
    workflow: str, inputs: Sequence[FileInput], files: Sequence[InputFile | None], kind: str
) -> BadArgument:
    taken = sum(item.kind == kind for item in inputs)
    given = sum(_kind(file) == kind for file in files)
    takes = f"{taken} {kind}s"
    if taken == 1:
        takes = f"1 {kind}"
    elif taken == 0:
        takes = f"no {kind}s"
    were = "was" if given == 1 else "were"
    message = f'The workflow "{workflow}" takes {takes}, and {given} {were} given.'
    return BadArgument(message, "describe_workflow tells what it takes.")


async def _carry_mask(
    workflow: str,
    mask: Image.Image,
    mask_inputs: Sequence[FileInput],
    placed: Mapping[Target, InputFile],
) -> dict[Target, InputFile]:
    """The files that carry the mask, by input. `workflow` is the name for messages. Raises
    `BadArgument` where there is no place for the mask.
    """
    if not mask_inputs:
        raise BadArgument(f'The workflow "{workflow}" takes no mask.', "Leave the mask out.")
    carried = await PICTURES.run(_masked, mask, mask_inputs, placed)
    if not carried:
        raise BadArgument(
            f'The mask for the workflow "{workflow}" goes with a picture, and none was given.',
            "Give the picture too, in place of the workflow's own, or leave the mask out.",
        )
    return carried


def _masked(
    mask: Image.Image, mask_inputs: Sequence[FileInput], placed: Mapping[Target, InputFile]
) -> dict[Target, InputFile]:
    """The files that carry the mask, by input: files of its own, as large as the first picture, and
    pictures that have it as their transparency. Blocks.
    """
    sizes = [file.size for file in placed.values() if file.size]
    size = sizes[0] if sizes else Size(*mask.size)
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
    """Notes on pictures that should bring a mask and have no transparent part. Raises `BadArgument`
    for those of a bundled workflow, which would paint nothing.
    """
    with_picture = [item for item in mask_inputs if item.masked and item.target in placed]
    bare = [item for item in with_picture if not placed[item.target].transparent]
    if bare and not choice.saved:
        raise BadArgument(
            f'The workflow "{choice.workflow.name}" needs a mask.',
            "Give a picture that is white where it is to be painted anew: as `mask` of edit_image, or as the last of "
            "`images` of run_workflow.",
        )
    return [
        f'no mask was given for "{item.title}", and the picture has no transparent part'
        for item in bare
    ]


def _stored_names(
    placed: Mapping[Target, InputFile], as_text: Collection[Target]
) -> dict[Target, str]:
    """What is written into each input: the name that its file will have on the server, or, for
    those `as_text`, the file itself in base64. Blocks: names are digests of what may be large.
    """
    names: dict[Target, str] = {}
    for target, file in placed.items():
        names[target] = (
            base64.b64encode(file.data).decode() if target in as_text else file.stored_name
        )
    return names


def _first_size(inputs: Sequence[FileInput], placed: Mapping[Target, InputFile]) -> Size | None:
    """The size of the first picture that the workflow gets to work on."""
    for item in inputs:
        if item.kind == "image" and item.target in placed:
            return placed[item.target].size
    return None


async def _without_absent(
    server: ComfyUIServer,
    choice: FittedWorkflow,
    unfilled: Sequence[FileInput],
    *,
    some_placed: bool,
) -> tuple[FittedWorkflow, list[str]]:
    """The choice without the inputs that got no file (`unfilled`) and whose author's file the
    server does not have, and notes on them. What cannot be left out is wanting; nothing is left out
    of a saved workflow that got no file at all.
    """
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
        workflow = await FILES.run_unless_short(
            [workflow],
            Workflow.parse,
            workflow.name,
            workflow.graph,
            workflow.definitions,
            workflow.dynamic,
        )
    wanting = dict(reversed(wanting.items()))
    return replace(choice, workflow=workflow, wanting=wanting), notes


async def _absent(
    server: ComfyUIServer, choice: FittedWorkflow, unfilled: Sequence[FileInput]
) -> tuple[Workflow, list[FileInput]]:
    """The workflow with the definitions that were asked for anew, and its inputs whose author's
    file the server does not have by them.
    """
    workflow = choice.workflow
    # what a bundled workflow names is nobody's, what a caller's does anybody's
    if not choice.saved or choice.from_user:
        return workflow, list(unfilled)
    absent: list[FileInput] = []
    for item in unfilled:
        if _is_listed(workflow, item):
            continue
        loader = workflow.graph[item.target.node_id]
        definitions = await server.define_anew(workflow.definitions, [loader["class_type"]], 0.0)
        workflow = replace(workflow, definitions=definitions)
        # A name with a folder, or with "[output]" behind it, stands in no list though the file may
        # be there.
        is_elsewhere = re.search(r"[/\\\[]", item.held)
        if not is_elsewhere and not _is_listed(workflow, item):
            absent.append(item)
    return workflow, absent


def _is_listed(workflow: Workflow, item: FileInput) -> bool:
    """Whether the server lists the file that an input names, or lists none at all."""
    files = workflow.widget_spec(item.target).choices
    return not files or item.held in files
