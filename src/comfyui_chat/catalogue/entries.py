"""The workflows that can be asked for by name, from all the places where they may be.

An `Entry` is one of them. They come from the chat (an attached file), from valves (`read_pasted`),
from what is saved on the server, from the templates that came with it (`template_entry`), and from
the manifest (`bundled_entries`). A `Catalogue` holds the first two, and with a server in hand puts
all of them into one `Listing`; `Catalogue.find` looks a name up in it.

Bundled entries know more than a graph tells: each `ModelNeed` says by regular expressions which
installed files will do, and each `Family` how models of a kind are best run. Their data is the
manifest's:

    {"name": "flux2", "task": "text_to_image", "description": "Flux 2 dev: the finest detail ...",
     "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "source": "Comfy-Org/...",
                 "file": "flux2_dev_fp8mixed.safetensors", "match": "flux[-_. ]?2[-_. ]?dev", "avoid": "lora|klein"}],
     "families": [{"name": "Flux 2 dev, few steps", "match": "turbo|lightning", "megapixels": 1.05,
                   "defaults": {"steps": 8}}]}
"""

import functools
import json
import re
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..bounds import MOST_COMPARED_CHARACTERS, MOST_MATCHED_CHARACTERS
from ..bundled import BUNDLED, MANIFEST
from ..errors import ServerError, ServerGone, ServerUnreachable, UnknownWorkflow, WorkflowRefused
from ..extents import extent_of
from ..graph.facts import FileInput
from ..graph.nodes import Graph, Target, is_api_format, is_ui_format
from ..graph.reading import EXPECTED, WRAPPERS, read_json, unwrap
from ..graph.remarks import FileSource
from ..graph.workflow import Workflow
from ..names import base_name, find_name, first_names, plain_name, shortened
from ..server.allowed import Allowed
from ..server.client import DOUBT_SECONDS, ComfyUIServer
from ..server.endpoint import Endpoint
from ..server.templates import Template
from ..threads import FILES
from ..values import Argument, text_of
from .task_words import task_of_tags

TEMPLATE = "template"  # the source of what came with a server
SOURCES = (
    "attached",
    "user",
    "administrator",
    "server",
    TEMPLATE,
    "bundled",
)  # in the order in which they are searched
USERS_SOURCES = ("attached", "user")  # those that a user chooses freely
# the name, and the source, of the workflow in a file that is attached to the chat
ATTACHED = "attached"


@dataclass(frozen=True)
class Family:
    """How models whose names match are best run."""

    name: str
    # regular expression over path, name and what the file says of itself, any case; "" matches all
    match: str
    # how large its pictures are best; None where the size in the graph is right
    megapixels: float | None
    defaults: Mapping[str, Any]  # parameter -> value, instead of the graph's own


def matches(pattern: str, text: str) -> bool:
    """Whether one of the manifest's patterns fits a text. Many of them say "this, and somewhere
    behind it that", which takes a time that grows with the square of the length, so only the
    beginning is looked at.
    """
    return re.search(pattern, text[:MOST_MATCHED_CHARACTERS], re.IGNORECASE) is not None


# Words in the names of files that ComfyUI's own loaders cannot read: catalogue/small_files.py has
# the nodes that can.
MADE_SMALL = re.compile(r"(?<![a-z])(gguf|svdq|nf4|int4|awq)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class ModelNeed:
    """A model file that a workflow loads: where it is named in the graph, and which files will
    do.
    """

    target: Target
    folder: str
    file: str  # the one to download, and the best one to have
    # regular expression over a file's name, any case, that finds what will do; "" finds all
    match: str
    avoid: str  # the same for what will not do, although `match` finds it; "" is for nothing
    source: str = ""  # the repository on Hugging Face that has `file`

    def fits(self, name: str, about: str = "", *, small: bool = False) -> bool:
        """Whether a file will do, by its name or by what it says of itself (`about`): one that
        ComfyUI's own loaders can read, or with `small` one that they cannot.
        """
        if bool(MADE_SMALL.search(base_name(name)[:MOST_MATCHED_CHARACTERS])) != small:
            return False
        texts = [base_name(name)]
        if about:
            texts.append(about)
        if self.avoid and any(matches(self.avoid, text) for text in texts):
            return False
        return any(matches(self.match, text) for text in texts)

    def rank(self, choices: Iterable[str], *, small: bool = False) -> list[str]:
        """Those of the installed files that will do by their names, best first. Blocks, where there
        are many.
        """
        fitting = [
            name
            for name in first_names(choices, MOST_COMPARED_CHARACTERS)
            if self.fits(name, small=small)
        ]
        best = plain_name(self.file)
        return sorted(fitting, key=lambda name: (plain_name(name) != best, name.lower()))

    @property
    def on_hugging_face(self) -> FileSource | None:
        """The repository that has `file`."""
        return (
            FileSource(f"https://huggingface.co/{self.source}", self.folder)
            if self.source
            else None
        )

    def __str__(self) -> str:
        path = f"{self.folder}/{self.file}"
        if self.source:
            path += f" ({self.source})"
        return path


@dataclass(frozen=True)
class Entry:
    """One workflow of the catalogue, in either of ComfyUI's formats.

    Bundled ones say which models they run with; the first need is the main model, the one that
    `model` names. Where `graph` is None, the workflow is still to be fetched from the server, by
    its `path` or as its `template`.
    """

    name: str
    source: str  # one of `SOURCES`
    graph: Graph | None = None
    task: str = ""
    description: str = ""
    tags: str = ""  # words by which it is found as well
    page: Graph | None = None  # the same in the editor's format, where a picture holds both
    path: str = ""  # of one that is saved on the server, below its folder for workflows
    template: Template | None = None  # what the server tells of one that came with it
    families: tuple[Family, ...] = ()
    needs: tuple[ModelNeed, ...] = ()
    # where somebody said that parameters stand, in the API format
    mapped: Mapping[str, tuple[Target, ...]] = field(default_factory=dict)

    @property
    def brought(self) -> bool:
        """Whether the caller brings it: whether that is allowed is another question."""
        return self.source in USERS_SOURCES

    @property
    def bundled(self) -> bool:
        """Whether it is one of the tool's own."""
        return self.source == "bundled"

    @property
    def own(self) -> bool:
        """Whether somebody here made it, or chose it."""
        return not self.bundled and self.template is None

    @functools.cached_property
    def needs_by_node(self) -> Mapping[str, Sequence[ModelNeed]]:
        """The needs by the nodes that load them; the main model's node comes first."""
        by_node: dict[str, list[ModelNeed]] = {}
        for need in self.needs:
            by_node.setdefault(need.target.node_id, []).append(need)
        return by_node

    @functools.cached_property
    def workflow(self) -> Workflow:
        """A bundled workflow's graph with its parameters, as they are on any server."""
        return Workflow.parse(self.name, self.graph)

    @functools.cached_property
    def files(self) -> tuple[FileInput, ...]:
        """The files that a bundled workflow takes, on any server."""
        return self.workflow.file_inputs


@functools.cache
def bundled_entries() -> tuple[Entry, ...]:
    """The bundled workflows, in the manifest's order of preference. Those that run with the same
    models share the families of the one that the manifest names as `families_of`.
    """
    items = json.loads(MANIFEST)["workflows"]
    families = {item["name"]: item["families"] for item in items if "families" in item}
    entries: list[Entry] = []
    for item in items:
        families_of = item.get("families_of", item["name"])
        entries.append(_bundled_entry(item, families[families_of]))
    return tuple(entries)


def _bundled_entry(item: Mapping[str, Any], families: Sequence[Mapping[str, Any]]) -> Entry:
    """One workflow of the manifest, in the form that the top of this module shows."""
    needs = [
        ModelNeed(
            target=Target(need["node"], need["input"]),
            folder=need["folder"],
            file=need["file"],
            match=need["match"],
            avoid=need.get("avoid", ""),
            source=need.get("source", ""),
        )
        for need in item["models"]
    ]
    return Entry(
        name=item["name"],
        source="bundled",
        graph=json.loads(BUNDLED[item["name"]]),
        task=item["task"],
        description=item["description"],
        families=tuple(Family(**family) for family in families),
        needs=tuple(needs),
    )


# Workflows that somebody pasted into a valve. What cannot be read is reported, and the call goes
# on: the valve may have been saved long ago, and by somebody else.


@dataclass(frozen=True)
class Pasted:
    """The workflows that somebody pasted into a valve, and what is wrong with the others."""

    entries: tuple[Entry, ...] = ()
    problems: tuple[str, ...] = ()


@functools.lru_cache(maxsize=32)
def read_pasted(text: str, source: str, valve: str) -> Pasted:
    """What the valve of that title holds: one workflow, an object of name -> workflow, or a list of
    them; each as ComfyUI saves or exports it, or in an envelope that tells more about it:

        {"name": "portrait", "description": "A face in studio light", "task": "text_to_image", "tags": ["face"],
         "workflow": {...}}

    One without a name is called after its `source`: "user", or "user-2" where there are several.
    Cached, since every call reads the valves.
    """
    try:
        items = _pasted_items(text)
    except WorkflowRefused as refused:
        return Pasted(problems=(f"{valve}: {refused.message}",))
    if items is None:
        return Pasted(problems=(f"{valve} holds no workflow. {EXPECTED}",))
    entries: list[Entry] = []
    problems: list[str] = []
    for place, (key, item) in enumerate(items, 1):
        about: dict[str, Any] = {}
        if isinstance(item, dict) and not is_workflow(item):
            about = item
        name = without_json(shortened(text_of(about.get("name"), key)))
        if not name:
            name = source
            if len(items) > 1:
                name += f"-{place}"
        try:
            graph = unwrap(item)
        except WorkflowRefused as refused:
            problems.append(f'{valve}, "{shortened(name)}": {refused.message}')
            continue
        task = shortened(text_of(about.get("task")), 200)
        description = shortened(text_of(about.get("description")), 200)
        tags = about.get("tags")
        tags = (
            " ".join(text_of(tag) for tag in tags[:20]) if isinstance(tags, list) else text_of(tags)
        )
        entries.append(Entry(name, source, graph, task, description, shortened(tags, 200)))
    return Pasted(tuple(entries), tuple(problems))


def _pasted_items(text: str) -> list[tuple[str, Any]] | None:
    """The workflows in a text, each with the key that it has in an object, or with ""; None where
    the text can hold none. Raises `WorkflowRefused` for what is not JSON.
    """
    if not text.strip():
        return []
    value = read_json(text)
    if is_workflow(value) or (isinstance(value, dict) and is_envelope(value)):
        return [("", value)]
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list):
        return [("", item) for item in value]
    return None


def is_workflow(value: Any) -> bool:
    """Whether a value is a workflow, in either of ComfyUI's formats."""
    return is_ui_format(value) or is_api_format(value)


def is_envelope(value: Mapping[str, Any]) -> bool:
    """Whether an object is the envelope of one workflow, and not several workflows by their names:
    one of its keys is a usual one for a workflow (`WRAPPERS`), and under no other key there is one.
    """
    if value.keys().isdisjoint(WRAPPERS):
        return False
    others = [item for key, item in value.items() if key not in WRAPPERS]
    return not any(map(is_workflow, others))


def without_json(name: str) -> str:
    """A workflow's name without the ending ".json" of its file."""
    return re.sub(r"\.json$", "", name.strip(), flags=re.IGNORECASE)


@dataclass(frozen=True)
class Catalogue:
    """Where workflows are looked for by name: those attached and pasted, then those saved on the
    server, those that came with it, and the bundled ones (`Listing.find`).
    """

    given: tuple[Entry, ...] = ()  # attached and pasted
    # whether those on the ComfyUI server may be used: saved there, or come with it
    saved: bool = True
    problems: tuple[str, ...] = ()  # why some that were pasted are not there

    async def entries(self, server: ComfyUIServer, believe: float = DOUBT_SECONDS) -> "Listing":
        """All of them, in the order in which they are searched. Of two with one name the later one
        carries its source in its name: "portrait (server)". The list of what is saved on the server
        is at most `believe` seconds old. Raises `ServerUnreachable` and `ServerGone`; any other
        failure to list that, and any to list what came with the server, becomes a problem of the
        listing.
        """
        paths: list[str] = []
        templates: tuple[Template, ...] = ()
        problems = list(self.problems)
        if self.saved:
            try:
                paths = await server.saved_workflows(believe)
            except (ServerUnreachable, ServerGone):
                raise
            except ServerError as error:  # a proxy that lets only the other routes through, or a server of many users
                problems.append(
                    f"What is saved on the ComfyUI server cannot be listed. {error.message}"
                )
            try:
                templates = await server.templates.all()
            except ServerError as error:  # whatever it is: nothing else needs them
                problems.append(
                    f"The templates of the ComfyUI server cannot be listed. {error.message}"
                )
        listing = await self._listed(server, paths, templates)
        return replace(listing, problems=tuple(problems)) if problems else listing

    async def _listed(
        self, server: ComfyUIServer, paths: Sequence[str], templates: tuple[Template, ...]
    ) -> "Listing":
        """The listing of these and what is given. One that was made before is taken again: hundreds
        of templates came with some servers, and every call that names a workflow asks for it.
        """
        known = _LISTED.setdefault(server, [])
        for listing in known:
            if listing.is_of(self.given, paths, templates, server.endpoint.allowed):
                return listing
        names = [entry.name for entry in self.given]
        what = [names, paths, templates]
        allowed = server.endpoint.allowed
        listing = await FILES.run_unless_short(
            what, Listing.of, self.given, paths, templates, allowed
        )
        known[:] = [listing, *known[: REMEMBERED_LISTINGS - 1]]
        return listing

    async def find(self, server: ComfyUIServer, wanted: Argument) -> Entry:
        """The workflow of a name, whatever its case, folder or extension. Raises
        `UnknownWorkflow`.
        """
        name = str(wanted.value).strip()
        for believe in (DOUBT_SECONDS, 0.0):  # it may have been saved a moment ago
            listing = await self.entries(server, believe)
            entry = await FILES.run_unless_short([name, listing], listing.find_chosen, name)
            if entry is None:
                entry = await FILES.run_unless_short(
                    [name, listing.templates], listing.find_template, name
                )
            if entry:
                return entry
        message = f'{wanted.name} is "{shortened(wanted.value)}", and no workflow has that name.'
        raise UnknownWorkflow(message, " ".join(listing.problems), name)

    async def find_exactly(self, server: ComfyUIServer, name: str) -> Entry | None:
        """The workflow of exactly that name, or None."""
        return (await self.entries(server)).find_exactly(name)


@functools.lru_cache(maxsize=4)
def template_entries(templates: tuple[Template, ...]) -> tuple[Entry, ...]:
    """The entries of a server's templates. Cached, since every call looks through all of them.
    Blocks.
    """
    return tuple(map(template_entry, templates))


def bundled_for(endpoint: Endpoint) -> tuple[Entry, ...]:
    """The bundled workflows that the caller may use."""
    return tuple(entry for entry in bundled_entries() if endpoint.allowed.workflow(entry.name))


def template_entry(template: Template) -> Entry:
    """The entry of a template: what its list tells of it, as far as that goes."""
    about = ": ".join(text for text in (template.title, template.description) if text)
    tags = shortened(" ".join([*template.tags, *template.models]), 300)
    task = task_of_tags(template.tags, template.takes)
    return Entry(
        template.name, TEMPLATE, task=task, description=about, tags=tags, template=template
    )


def _with_different_names(found: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries in their order, those after the first of a name renamed: "mine", "mine (user)",
    "mine 2", "mine 3". Blocks.
    """
    entries: dict[str, Entry] = {}
    # how often a name was counted up, so that thousands of one name do not count anew
    counts: dict[str, int] = {}
    for entry in found:
        name = entry.name
        if name in entries:
            name = f"{entry.name} ({entry.source})"
        while name in entries:
            counts[entry.name] = counts.get(entry.name, 1) + 1
            name = f"{entry.name} {counts[entry.name]}"
        if name != entry.name:
            entry = replace(entry, name=name)
        entries[name] = entry
    return tuple(entries.values())


@dataclass(frozen=True)
class Listing:
    """What a catalogue holds on a server, and why some may not be there."""

    entries: tuple[Entry, ...]
    by_source: Mapping[str, Mapping[str, Entry]]  # the same by their sources and names
    given: tuple[Entry, ...]  # what it was made of
    paths: Sequence[str]
    templates: tuple[Template, ...]
    allowed: Allowed
    extent: int  # of the names that `find_chosen` looks through, without those of the bundled ones
    problems: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        given: tuple[Entry, ...],
        paths: Sequence[str],
        templates: tuple[Template, ...],
        allowed: Allowed,
    ) -> "Listing":
        """Those given, those saved on the server at these paths, those that came with it, and the
        bundled ones, as far as the caller may use them. Blocks.
        """
        saved = [Entry(without_json(path), "server", path=path) for path in paths]
        every = [*given, *saved, *template_entries(templates), *bundled_entries()]
        entries = _with_different_names(
            [entry for entry in every if entry.brought or allowed.workflow(entry.name)]
        )
        by_source: dict[str, dict[str, Entry]] = {source: {} for source in SOURCES}
        for entry in entries:
            by_source[entry.source][entry.name] = entry
        extent = extent_of([entry.name for entry in given], paths)
        return cls(entries, by_source, given, paths, templates, allowed, extent)

    def is_of(
        self,
        given: Sequence[Entry],
        paths: Sequence[str],
        templates: tuple[Template, ...],
        allowed: Allowed,
    ) -> bool:
        """Whether it was made of these, for callers who may use the same."""
        if len(self.given) != len(given) or self.templates is not templates:
            return False
        if self.paths != paths or self.allowed != allowed:
            return False
        return all(one is other for one, other in zip(self.given, given, strict=True))

    def find(self, name: str) -> Entry | None:
        """The workflow of that name, or None: as `find_chosen`, else as `find_template` finds it.
        Blocks, where there are many.
        """
        return self.find_chosen(name) or self.find_template(name)

    def find_chosen(self, name: str) -> Entry | None:
        """The workflow of that name from the first source that has one, or None; in each source an
        exact match comes before one without regard to case, folder or extension. A template has to
        be exactly of that name.
        """
        for source, entries in self.by_source.items():
            if not entries:
                continue
            full_name = _exact_name(name, entries)
            if full_name is None and source != TEMPLATE:
                full_name = _find_entry_name(name, list(entries))
            if full_name is not None:
                return entries[full_name]
        return None

    def find_exactly(self, name: str) -> Entry | None:
        """The workflow of exactly that name from the first source that has one, or None."""
        for entries in self.by_source.values():
            full_name = _exact_name(name, entries)
            if full_name is not None:
                return entries[full_name]
        return None

    def find_template(self, name: str) -> Entry | None:
        """The template that is not exactly of that name, or has it as its title; None for none. It
        comes after all others: nobody here chose what it is called.
        """
        templates = self.by_source[TEMPLATE]
        titles = {
            entry.template.title: entry
            for entry in reversed([*templates.values()])
            if entry.template
        }
        for named in (templates, titles):
            full_name = _find_entry_name(name, list(named))
            if full_name:
                return named[full_name]
        return None


REMEMBERED_LISTINGS = 4  # of each server
_LISTED: "weakref.WeakKeyDictionary[ComfyUIServer, list[Listing]]" = weakref.WeakKeyDictionary()


def last_listing(server: ComfyUIServer) -> Listing | None:
    """What was last listed of a server, for whomever; None where nothing was."""
    return next(iter(_LISTED.get(server, ())), None)


def _exact_name(name: str, entries: Mapping[str, Entry]) -> str | None:
    """The name itself, or without the ending of its file, if one of the workflows has it."""
    return next((each for each in (name, without_json(name)) if each in entries), None)


def _find_entry_name(name: str, names: Sequence[str]) -> str | None:
    """The one of these names of workflows that somebody means by `name`, or None."""
    return find_name(name, names) or find_name(without_json(name), names)
