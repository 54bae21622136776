"""Which of the templates that came with a ComfyUI can run there.

There may be hundreds, so no file of one is read to list them. Their list says what people call the
models, and `outlooks` compares that with the names of what is installed: a template whose models
nobody has is known at a glance, one whose family is there may still lack a file. What is searched
for, described or chosen is read, and `Needs` are what is remembered of it: whether it can run is
then told by `lacking`, without reading it again.

Where one is chosen, those come first that are known to run, then those that seem to, the most used
first; what costs money is chosen by nobody but who names it.
"""

import functools
import re
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from ..bounded import BoundedDict
from ..bounds import MOST_COMPARED_CHARACTERS, MOST_TEMPLATES
from ..errors import ComfyUIError, ServerError, ServerGone, ServerUnreachable
from ..graph.definitions import Definitions
from ..graph.facts import guess_task, model_files
from ..graph.prices import price_of
from ..logs import log
from ..names import MODEL_FILE, find_name, first_names, name_words, names_with_words, quoted
from ..server.client import DEFINITION_SECONDS, DOUBT_SECONDS, ComfyUIServer
from ..server.templates import Template
from ..tasks import gather
from ..threads import FILES
from .entries import Entry
from .entry_reading import bare_reason
from .fitted import fit_saved
from .missing import file_path, nodes_missing, paths_in_short
from .model_list import installed_files
from .request import FittedWorkflow
from .task_words import has_word, search_words

MOST_TEMPLATES_READ = 24  # in one call
# names that people call models, with the names of files; the gallery of 506 has 217
MOST_LABELS_COMPARED = 500
READ_SECONDS = 3600.0  # that what was read of a template is believed
# how it looks before it is read, the best first
SEEMS_TO_RUN, NOBODY_KNOWS, SEEMS_TO_LACK = range(3)


@dataclass(frozen=True)
class ModelPlace:
    """A model file that a template loads, and the widget that names it."""

    class_type: str
    widget: str
    file: str
    path: str  # as a message names it


@dataclass(frozen=True)
class Needs:
    """What is remembered of a template that was read."""

    read_at: float  # of `time.monotonic`
    refusal: str = ""  # why it cannot be used at all
    task: str = ""
    model: str = ""
    price: str = ""  # of a run, in words; "" where it costs nothing
    class_types: frozenset[str] = frozenset()
    files: tuple[ModelPlace, ...] = ()

    @property
    def is_believed(self) -> bool:
        """Whether it need not be read again."""
        return time.monotonic() - self.read_at < (
            DEFINITION_SECONDS if self.refusal else READ_SECONDS
        )


_READ: WeakKeyDictionary[ComfyUIServer, BoundedDict[str, Needs]] = WeakKeyDictionary()


def read_before(server: ComfyUIServer) -> dict[str, Needs]:
    """What is remembered of the templates of a server, by their names."""
    return {name: needs for name, needs in _READ.get(server, {}).items() if needs.is_believed}


async def fit_template(server: ComfyUIServer, entry: Entry) -> FittedWorkflow:
    """A template as its author made it, as far as this server has what it needs, which is
    remembered. Raises as `fit_saved` does.
    """
    remembered = _READ.setdefault(server, BoundedDict(MOST_TEMPLATES))
    remembered.pop(entry.name, None)  # so that it is the newest
    try:
        fitted = await fit_saved(server, entry, None)
    except (ServerUnreachable, ServerGone):
        raise
    except ComfyUIError as error:
        remembered[entry.name] = Needs(time.monotonic(), refusal=bare_reason(entry, error))
        raise
    remembered[entry.name] = await FILES.run(_needs_of, fitted)
    return fitted


def _needs_of(fitted: FittedWorkflow) -> Needs:
    """What a template needs. Blocks."""
    workflow = fitted.workflow
    graph = workflow.graph
    needed = workflow.flow.needed()
    places: dict[ModelPlace, None] = {}
    for file in model_files(graph, workflow.definitions):
        if file.target.node_id in needed and file.installed is not None:
            path = file_path(file, workflow.remarks.source(file.file, file.folder))
            class_type = graph[file.target.node_id]["class_type"]
            places[ModelPlace(class_type, file.target.input, file.file, path)] = None
    classes = frozenset(node["class_type"] for node in graph.values())
    price = price_of(graph, workflow.definitions)
    told_price = price.words if price else ""
    return Needs(
        time.monotonic(),
        "",
        guess_task(workflow.flow),
        fitted.model,
        told_price,
        classes,
        tuple(places),
    )


async def read_templates(server: ComfyUIServer, entries: Sequence[Entry]) -> None:
    """Read those of these templates that were not read before. Raises `ServerUnreachable` and
    `ServerGone`; why one cannot be used is remembered.
    """

    async def read(entry: Entry) -> None:
        try:
            await fit_template(server, entry)
        except (ServerUnreachable, ServerGone):
            raise
        except ComfyUIError:
            pass

    known = read_before(server)
    await gather(
        4, [functools.partial(read, entry) for entry in entries if entry.name not in known]
    )


async def lacking(server: ComfyUIServer, known: Mapping[str, Needs]) -> dict[str, str]:
    """What this server lacks for the templates that were read, by their names; "" for nothing. What
    seems to be missing is asked for again, since files are added all the time.
    """
    definitions = await server.define_all(
        {name for needs in known.values() for name in needs.class_types}
    )
    absent = await FILES.run(_files_absent, known.values(), definitions)
    if absent:
        definitions = await server.define_anew(
            definitions, {place.class_type for place in absent}, DOUBT_SECONDS
        )
        absent = await FILES.run(_files_absent, known.values(), definitions)
    return {
        name: needs.refusal or _lack(needs, definitions, absent) for name, needs in known.items()
    }


def _files_absent(known: Iterable[Needs], definitions: Definitions) -> frozenset[ModelPlace]:
    """The model files that the lists of their loaders do not hold. Blocks."""
    places = {place for needs in known for place in needs.files}
    absent: list[ModelPlace] = []
    # each list is looked at once
    for place in sorted(places, key=lambda place: (place.class_type, place.widget)):
        definition = definitions.get(place.class_type)
        spec = definition.inputs.get(place.widget) if definition else None
        if spec is not None and find_name(place.file, spec.names) is None:
            absent.append(place)
    return frozenset(absent)


def _lack(needs: Needs, definitions: Definitions, absent: frozenset[ModelPlace]) -> str:
    """What is missing: nodes, or model files."""
    nodes = sorted(needs.class_types - definitions.keys())
    if nodes:
        return nodes_missing(nodes, {}).message
    paths = [place.path for place in needs.files if place in absent]
    return paths_in_short(paths) if paths else ""


async def outlooks(server: ComfyUIServer, entries: Sequence[Entry]) -> dict[str, int]:
    """How it looks for each of these templates before it is read, by its name: `SEEMS_TO_RUN`,
    `NOBODY_KNOWS` or `SEEMS_TO_LACK`.
    """
    files: list[str] | None = None
    try:
        files = await installed_files(server)
    except (ServerUnreachable, ServerGone):
        raise
    except ServerError as error:  # it is only a first look
        log.info("%s: what is installed cannot be listed: %s", server.endpoint.name, error.message)
    labels = {label: None for entry in entries if entry.template for label in entry.template.models}
    there: frozenset[str] = frozenset()
    if files is not None:
        there = await FILES.run(
            _labels_of_files, frozenset([*labels][:MOST_LABELS_COMPARED]), tuple(files)
        )
    return {entry.name: _outlook(entry, None if files is None else there) for entry in entries}


def _outlook(entry: Entry, there: frozenset[str] | None) -> int:
    template = entry.template
    if template is None or template.bytes is None or there is None:
        return NOBODY_KNOWS
    if not template.bytes or not there.isdisjoint(template.models):
        return SEEMS_TO_RUN
    return SEEMS_TO_LACK if template.models else NOBODY_KNOWS


@functools.lru_cache(maxsize=4)
def _labels_of_files(labels: frozenset[str], files: tuple[str, ...]) -> frozenset[str]:
    """Those of the names that people call models which stand in the name of a file: "Z-Image-Turbo"
    in "z_image_turbo_bf16.safetensors". Cached, since files are many and seldom change. Blocks.
    """
    some = first_names(files, MOST_COMPARED_CHARACTERS)
    plain = {re.sub(r"[\W_]+", "", MODEL_FILE.sub("", name).casefold()) for name in some}
    every = "\n".join(plain)
    found: list[str] = []
    for label in labels:
        words = sorted(set(name_words(label)), key=len, reverse=True)
        if not words or any(word not in every for word in words):
            continue
        if any(all(word in name for word in words) for name in plain):
            found.append(label)
    return frozenset(found)


async def worth_reading(server: ComfyUIServer, entries: Iterable[Entry]) -> list[Entry]:
    """Those of these templates that are read to tell more of them, the most promising first: they
    cost nothing, and seem to run here. What seems to lack its models is read only where it is one
    of few.
    """
    free = _free(entries)
    looks = await outlooks(server, free)
    if len(free) > MOST_TEMPLATES_READ / 2:
        free = [entry for entry in free if looks[entry.name] != SEEMS_TO_LACK]
    return sorted(free, key=lambda entry: looks[entry.name])[:MOST_TEMPLATES_READ]


async def _by_promise(server: ComfyUIServer, entries: Iterable[Entry]) -> list[Entry]:
    """Those of these templates that cost nothing, in the order in which they are tried: known to
    run, seeming to run, not known to lack anything, and of each the most used first.
    """
    free = _free(entries)
    known = read_before(server)
    lacks = await lacking(
        server, {entry.name: known[entry.name] for entry in free if entry.name in known}
    )
    looks = await outlooks(server, free)

    def rank(entry: Entry) -> int:
        lack = lacks.get(entry.name)
        if lack is None:
            return looks[entry.name]
        return SEEMS_TO_LACK + 1 if lack else SEEMS_TO_RUN - 1

    return sorted(free, key=rank)


def _free(entries: Iterable[Entry]) -> list[Entry]:
    """Those of these templates that cost nothing."""
    return [entry for entry in entries if entry.template and not entry.template.is_paid]


def in_name(entries: Iterable[Entry], wanted: str) -> list[Entry]:
    """Those of these templates in whose names, or else in whose titles, all words of a name are.
    Blocks.
    """
    templates = [(entry, entry.template) for entry in entries if entry.template]
    names = {entry.name: entry for entry, _ in templates}
    named = [names[name] for name in names_with_words(wanted, names)]
    return named or _with_all_words(
        wanted, [(entry, f"{entry.name} {template.title}") for entry, template in templates]
    )


def in_tags(entries: Iterable[Entry], wanted: str) -> list[Entry]:
    """The same, with tags and models. Blocks."""
    templates = [(entry, entry.template) for entry in entries if entry.template]
    texts = [
        (entry, f"{entry.name} {template.title} {entry.tags}") for entry, template in templates
    ]
    return _with_all_words(wanted, texts)


def _with_all_words(wanted: str, texts: Iterable[tuple[Entry, str]]) -> list[Entry]:
    """The templates in whose texts all words of a name are, each as it is written there."""
    words = search_words(wanted)
    return [
        entry
        for entry, text in texts
        if words and all(has_word(text.lower(), word) for word in words)
    ]


def templates_meant(
    entries: Sequence[Entry], wanted: str, given: Collection[str], offered: Collection[str]
) -> list[Entry]:
    """Those of these templates that somebody may mean by a name who gives files of these kinds, and
    might give those `offered`: free ones before others, those that take what is given before
    others, and by their names before their tags. Blocks.
    """
    free = _free(entries)
    taking = [entry for entry in free if entry.template and _takes(entry.template, given, offered)]
    for among in (taking, free, entries):
        for find in (in_name, in_tags):
            found = find(among, wanted)
            if found:
                return found
    return []


def _takes(template: Template, given: Collection[str], offered: Collection[str]) -> bool:
    """Whether a template takes files of these kinds, and no others than might be given."""
    return set(given) <= set(template.takes) <= {*given, *offered}


async def running(server: ComfyUIServer, entries: Iterable[Entry]) -> list[Entry]:
    """Those of these templates that can run here and cost nothing, the best first. At most
    `MOST_TEMPLATES_READ` are read.
    """
    first = (await _by_promise(server, entries))[:MOST_TEMPLATES_READ]
    await read_templates(server, first)
    known = read_before(server)
    lacks = await lacking(
        server, {entry.name: known[entry.name] for entry in first if entry.name in known}
    )
    return [entry for entry in first if lacks.get(entry.name) == "" and not known[entry.name].price]


async def why_none_runs(server: ComfyUIServer, entries: Sequence[Entry]) -> str:
    """What the first of these templates lack, and which would cost money, in a few words."""
    lacks = await lacking(server, read_before(server))
    said = [
        f'"{entry.name}": {lacks[entry.name].rstrip(".")}.'
        for entry in entries
        if lacks.get(entry.name)
    ][:2]
    paid = [entry.name for entry in entries if entry.template and entry.template.is_paid]
    if paid:
        said.append(f"For money, with credits of a Comfy account, these do it: {quoted(paid[:3])}.")
    return " ".join(said)


async def first_fitting(
    server: ComfyUIServer,
    entries: Iterable[Entry],
    suits: Callable[[FittedWorkflow], Awaitable[bool]],
) -> FittedWorkflow | None:
    """The first of these templates that can run here, costs nothing and suits; None where none
    does. At most `MOST_TEMPLATES_READ` are read.
    """
    for entry in (await _by_promise(server, entries))[:MOST_TEMPLATES_READ]:
        try:
            fitted = await fit_template(server, entry)
        except (ServerUnreachable, ServerGone):
            raise
        except ComfyUIError:
            continue
        if not fitted.absent and await suits(fitted):
            return fitted
    return None
