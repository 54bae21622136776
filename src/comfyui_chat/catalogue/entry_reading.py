"""A workflow of the catalogue read: from its file to a `Workflow` with its parameters, by what a
server says of its nodes.

`read_entry` fetches the file where it is on the server, converts it where it is in the editor's
format, and has its parameters found. Most of that depends on the file and on the definitions of its
nodes alone, and takes up to a tenth of a second for a large one. So what was read is remembered for
each server, by the file's digest, and taken again as long as the server's definitions are the very
same: a file that was changed, or a definition that was asked for anew, has it read anew.
"""

import hashlib
import json
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..bounded import BoundedDict
from ..errors import ComfyUIError, WorkflowRefused
from ..extents import extent_of
from ..graph.definitions import Definitions
from ..graph.editor import class_types, live_nodes, read_ui, strange_types, with_stand_ins
from ..graph.nodes import Graph, Target, is_ui_format
from ..graph.reading import clean
from ..graph.remarks import read_remarks
from ..graph.replacements import Replacement, old_definitions, with_replacements
from ..graph.workflow import Workflow
from ..server.client import ComfyUIServer
from ..threads import FILES
from .entries import Entry
from .missing import nodes_missing

REMEMBERED_READ = 16  # workflows of one server
MOST_READ_CHARACTERS = 300_000  # of the JSON of one that is remembered


@dataclass(frozen=True)
class _Read:
    """A workflow that was read, and what it was read by."""

    workflow: Workflow
    mapped: Mapping[str, tuple[Target, ...]]  # of its entry
    classes: frozenset[str]
    definitions: Definitions

    async def is_still_so(self, server: ComfyUIServer, entry: Entry) -> bool:
        """Whether it would be read alike: the server has the very same definitions. Raises as the
        server does.
        """
        known = await server.define_all(self.classes)
        is_same = known.keys() == self.definitions.keys() and all(
            self.definitions[name] is definition for name, definition in known.items()
        )
        return is_same and self.mapped == entry.mapped


_READ_BEFORE: "weakref.WeakKeyDictionary[ComfyUIServer, BoundedDict[tuple[str, str], _Read]]" = (
    weakref.WeakKeyDictionary()
)


def _digest(raw: Graph, page: Graph | None) -> str:
    """By what a file is known again; "" for one that is too long to be remembered. Blocks.

    The length is counted first: `json` holds up the event loop, also from a thread.
    """
    if extent_of(raw, page, most=MOST_READ_CHARACTERS) > MOST_READ_CHARACTERS:
        return ""
    return hashlib.sha256(json.dumps([raw, page]).encode()).hexdigest()


async def read_entry(server: ComfyUIServer, entry: Entry, *, to_describe: bool = False) -> Workflow:
    """A workflow of the catalogue with its parameters, converted to the API format where it is not
    in it, and with the definitions of its nodes, as far as the server has them. Raises
    `WorkflowRefused` and its kin, naming the workflow, and as the server does.

    `to_describe` also reads a file of the editor of which the server lacks nodes, by what the file
    itself tells of them: what comes of it is not to be run.
    """
    try:
        raw = entry.graph
        if raw is None and entry.template:
            raw = await server.templates.read(entry.template)
        elif raw is None:
            raw = await server.saved_workflow(entry.path)
        files = [raw, entry.page]
        key = entry.name, await FILES.run_unless_short(files, _digest, raw, entry.page)
        remembered = _READ_BEFORE.setdefault(server, BoundedDict(REMEMBERED_READ))
        known = remembered.pop(key, None)
        if known is None or not await known.is_still_so(server, entry):
            known = await _read(server, entry, raw, to_describe)
        _, digest = key
        if digest and known.classes == known.definitions.keys():
            remembered[key] = known  # as the newest
        return known.workflow
    except WorkflowRefused as refused:
        message = f'The workflow "{entry.name}" cannot be used. {refused.message}'
        raise type(refused)(message, refused.hint) from None


async def _read(server: ComfyUIServer, entry: Entry, raw: Graph, to_describe: bool) -> _Read:
    """`read_entry` for what stands in its file."""
    if is_ui_format(raw):
        return await _read_page(server, entry, raw, to_describe)
    graph = await FILES.run_unless_short([raw], clean, raw)
    classes = frozenset(node["class_type"] for node in graph.values())
    definitions, replacements = await _defined(server, classes)
    what = [graph, *definitions.values()]
    graph = await FILES.run_unless_short(what, with_replacements, graph, replacements)
    remarks = await FILES.run_unless_short([entry.page], read_remarks, entry.page)
    workflow = await FILES.run_unless_short(
        what,
        Workflow.parse,
        entry.name,
        graph,
        definitions,
        frozenset(),
        remarks,
        entry.mapped,
    )
    return _Read(workflow, entry.mapped, classes, definitions)


def bare_reason(entry: Entry, error: ComfyUIError) -> str:
    """Why a workflow cannot be used, without its name."""
    return error.message.removeprefix(f'The workflow "{entry.name}" ').removeprefix(
        "cannot be used. "
    )


async def _defined(
    server: ComfyUIServer, class_types: Iterable[str]
) -> tuple[Definitions, Mapping[str, Replacement]]:
    """The definitions of those of these classes that the server has, and of those that take the
    place of others, with what takes it. Raises as the server does.
    """
    names = set(class_types)
    definitions = await server.define_all(names)
    lacking = names - definitions.keys()
    if not lacking:
        return definitions, {}
    known = await server.replaced_nodes.all()
    meant = {name: known[name] for name in lacking if name in known}
    new = await server.define_all(replacement.new for replacement in meant.values())
    replacements = {
        name: replacement for name, replacement in meant.items() if replacement.new in new
    }
    return {**definitions, **new}, replacements


async def _read_page(server: ComfyUIServer, entry: Entry, raw: Graph, to_describe: bool) -> _Read:
    """`_read` for a file of ComfyUI's editor."""
    live = await FILES.run_unless_short([raw], live_nodes, raw)
    classes = frozenset(class_types(live))
    definitions, replacements = await _defined(server, classes)
    known: Definitions = {**definitions, **old_definitions(replacements, definitions)}
    what = [raw, *definitions.values()]
    remarks = await FILES.run_unless_short([raw], read_remarks, raw)
    missing = await FILES.run_unless_short(what, strange_types, live, known)
    if missing:
        refusal = nodes_missing(missing, remarks.packages)
        if not to_describe:
            raise refusal
        known = await FILES.run_unless_short(what, with_stand_ins, live, known)
    try:
        graph, dynamic = await FILES.run_unless_short(what, read_ui, live, known)
    except WorkflowRefused:
        if missing:
            raise refusal from None
        raise
    graph = await FILES.run_unless_short(what, with_replacements, graph, replacements)
    workflow = await FILES.run_unless_short(
        what, Workflow.parse, entry.name, graph, definitions, dynamic, remarks
    )
    return _Read(workflow, entry.mapped, classes, definitions)
