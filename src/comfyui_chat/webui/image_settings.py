"""What Open WebUI's own image settings say of ComfyUI (Admin Panel > Settings > Images), taken over.

An administrator who has set up ComfyUI there has to set nothing here. `read_image_settings` reads
both halves of that page, for new pictures and for edits; `take_over` makes of each what a valve
would hold:

- the address and the key count whatever engine is chosen there; of the half for edits only where
  its engine is ComfyUI, as does all that follows;
- the workflow becomes an `Entry` of the catalogue, "open-webui" or "open-webui-edit", and the node
  mapping its parameters;
- model, size and steps count where the mapping says where they go, as they do in Open WebUI. The
  steps go with that workflow alone.

Where that workflow is the one that Open WebUI ships and nobody mapped its nodes, or cannot be read,
there is none, and the model and a size other than Open WebUI's default count for whatever is chosen
instead. A valve goes before each of them. What is read stands in rows of the database since Open
WebUI 0.10, and hung on the application before.
"""

import asyncio
import functools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..catalogue.entries import Entry
from ..catalogue.request import IMAGE_SETTINGS
from ..counts import read_number
from ..errors import WorkflowRefused
from ..graph.nodes import Graph, Target, is_api_format, is_link, node_inputs
from ..graph.reading import read_json, unwrap
from ..logs import log
from ..names import quoted, shortened
from ..server.allowed import Allowed
from ..tasks import ANSWER_SECONDS
from ..values import Argument, is_given, text_of
from .menus import TAKEN_OVER
from .releases import stored_settings
from .valves import UserValves, Valves

PAGE = "Open WebUI's image settings"
ENGINE = "comfyui"  # what the settings call it
USUAL_SIZE = "512x512"  # what the settings hold where nobody has set a size


@dataclass(frozen=True)
class PictureSettings:
    """One half of the page: for new pictures, or for edits. Everything as a text, "" for nothing."""

    engine: str = ""
    url: str = ""
    api_key: str = field(default="", repr=False)
    workflow: str = field(default="", repr=False)  # JSON
    nodes: str = field(default="", repr=False)  # the node mapping, as JSON
    model: str = ""
    size: str = ""
    steps: str = ""

    @property
    def is_chosen(self) -> bool:
        """Whether ComfyUI is the engine."""
        return self.engine.lower() == ENGINE


@dataclass(frozen=True)
class ImageSettings:
    """Both halves of the page."""

    generation: PictureSettings = PictureSettings()
    editing: PictureSettings = PictureSettings()

    @property
    def servers(self) -> dict[str, str]:
        """The addresses of ComfyUI, each with its key."""
        found: dict[str, str] = {}
        edits_there = self.editing.is_chosen
        for half in (self.generation, *([self.editing] if edits_there else ())):
            if half.url.strip():
                found.setdefault(half.url.strip(), half.api_key.strip())
        return found

    @property
    def texts(self) -> list[str]:
        """What may be long in them."""
        halves = (self.generation, self.editing)
        return [text for half in halves for text in (half.workflow, half.nodes)]


NO_IMAGE_SETTINGS = ImageSettings()

# Each field by its key in the database, and by its name at the application before 0.10.
GENERATION_FIELDS: Mapping[str, tuple[str, str]] = {
    "engine": ("image_generation.engine", "IMAGE_GENERATION_ENGINE"),
    "url": ("image_generation.comfyui.base_url", "COMFYUI_BASE_URL"),
    "api_key": ("image_generation.comfyui.api_key", "COMFYUI_API_KEY"),
    "workflow": ("image_generation.comfyui.workflow", "COMFYUI_WORKFLOW"),
    "nodes": ("image_generation.comfyui.nodes", "COMFYUI_WORKFLOW_NODES"),
    "model": ("image_generation.model", "IMAGE_GENERATION_MODEL"),
    "size": ("image_generation.size", "IMAGE_SIZE"),
    "steps": ("image_generation.steps", "IMAGE_STEPS"),
}
EDITING_FIELDS: Mapping[str, tuple[str, str]] = {
    "engine": ("images.edit.engine", "IMAGE_EDIT_ENGINE"),
    "url": ("images.edit.comfyui.base_url", "IMAGES_EDIT_COMFYUI_BASE_URL"),
    "api_key": ("images.edit.comfyui.api_key", "IMAGES_EDIT_COMFYUI_API_KEY"),
    "workflow": ("images.edit.comfyui.workflow", "IMAGES_EDIT_COMFYUI_WORKFLOW"),
    "nodes": ("images.edit.comfyui.nodes", "IMAGES_EDIT_COMFYUI_WORKFLOW_NODES"),
    "model": ("images.edit.model", "IMAGE_EDIT_MODEL"),
    "size": ("images.edit.size", "IMAGE_EDIT_SIZE"),
}

# The same for both halves: key -> name at the application.
PLACES = (*GENERATION_FIELDS.values(), *EDITING_FIELDS.values())


async def read_image_settings(request: Any) -> ImageSettings:
    """The page as it is stored now; empty where Open WebUI does not tell."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            stored = await stored_settings(request, dict(PLACES))
    except Exception as error:  # whatever another release has in its place
        log.info("Open WebUI does not tell its image settings: %s", type(error).__name__)
        return NO_IMAGE_SETTINGS
    return ImageSettings(_half(stored, GENERATION_FIELDS), _half(stored, EDITING_FIELDS))


def image_settings_of_page(page: Mapping[str, Any]) -> ImageSettings:
    """The page as Open WebUI's REST interface gives it out, by the names from before 0.10."""
    stored = {
        key: page.get(name)
        for fields in (GENERATION_FIELDS, EDITING_FIELDS)
        for key, name in fields.values()
    }
    return ImageSettings(_half(stored, GENERATION_FIELDS), _half(stored, EDITING_FIELDS))


def _half(stored: Mapping[str, Any], fields: Mapping[str, tuple[str, str]]) -> PictureSettings:
    return PictureSettings(**{name: _as_text(stored.get(key)) for name, (key, _) in fields.items()})


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True)
class TakenOver:
    """What one half of the page amounts to."""

    entry: Entry | None = None
    # "model", "size" and "steps", as far as the node mapping says where they go in the workflow
    with_workflow: Mapping[str, str] = field(default_factory=dict)
    # what of them counts where another workflow is run
    without: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@functools.lru_cache(maxsize=8)
def take_over(half: PictureSettings, name: str) -> TakenOver:
    """What one half of the page amounts to, its workflow under this name. Blocks, where that is
    long. Cached, since every call reads the page.
    """
    if not half.is_chosen:
        return TakenOver()
    held = {"model": half.model, "size": half.size, "steps": half.steps}
    without = {"model": half.model}
    if half.size != USUAL_SIZE:
        without["size"] = half.size
    without = {key: value for key, value in without.items() if value.strip()}
    mapping = list(_read_mapping(half.nodes))
    if not half.workflow.strip() or (not mapping and _is_shipped(half.workflow)):
        return TakenOver(without=without)
    try:
        graph = unwrap(read_json(half.workflow))
    except WorkflowRefused as refused:
        return TakenOver(without=without, problems=(f"The workflow there: {refused.message}",))
    graph, mapped, problems = _with_mapping(graph, mapping, half)
    has_size = not mapped.keys().isdisjoint(("width", "height"))
    placed = {*mapped, "size"} if has_size else {*mapped}
    with_workflow = {key: value for key, value in held.items() if key in placed and value.strip()}
    entry = Entry(
        name,
        "administrator",
        graph,
        description=f"The workflow of {PAGE}",
        mapped=mapped,
    )
    return TakenOver(entry, with_workflow, without, tuple(problems))


@dataclass(frozen=True)
class MappedInput:
    """A row of the node mapping: what goes into an input of some nodes."""

    kind: str  # "prompt", "model", ...; "" for the fixed `value`
    input: str
    node_ids: Sequence[str]
    value: Any


# What the inputs are called where a row names none, if otherwise than the row's kind; and what the
# kinds are called here, if otherwise.
USUAL_INPUTS = {"prompt": "text", "negative_prompt": "text", "n": "batch_size", "": "text"}
PARAMETER_OF_KIND = {"n": "batch_size"}


def _read_mapping(text: str) -> Iterator[MappedInput]:
    """The rows of a node mapping that name nodes. What is no such row says nothing."""
    rows: Any = None
    if text.strip():
        try:
            rows = read_json(text)
        except WorkflowRefused:
            return
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, Mapping):
            continue
        ids = row.get("node_ids")
        if isinstance(ids, str):
            ids = ids.split(",")
        ids = [str(one).strip() for one in ids] if isinstance(ids, list) else []
        ids = [one for one in ids if one]
        kind = text_of(row.get("type")).strip()
        name = text_of(row.get("key")).strip() or USUAL_INPUTS.get(kind, kind)
        if ids:
            yield MappedInput(kind, name, ids, row.get("value"))


def _is_shipped(workflow: str) -> bool:
    """Whether a workflow is the example that Open WebUI ships."""
    shipped = getattr(sys.modules.get("open_webui.config"), "COMFYUI_DEFAULT_WORKFLOW", "")
    return "".join(workflow.split()) == "".join(str(shipped).split())


def _with_mapping(
    graph: Graph, mapping: Sequence[MappedInput], half: PictureSettings
) -> tuple[Graph, dict[str, tuple[Target, ...]], list[str]]:
    """The graph with what the mapping puts into it once and for all, the parameters that it names
    with their widgets, and what is wrong with it.

    Open WebUI replaces what stands in a mapped input, a link too. So what is not a plain value gives
    way to one here. Nodes that take the pictures come in the order of the mapping.
    """
    if not is_api_format(graph):
        return graph, {}, _page_problems(mapping)
    nodes = dict(graph)
    mapped: dict[str, list[Target]] = {}
    problems: list[str] = []
    pictures: list[str] = []
    for row in mapping:
        unknown = [one for one in row.node_ids if one not in graph]
        if unknown:
            what = row.kind or row.input
            problems.append(
                f"The node mapping there puts {what} into {quoted(unknown)}, and the workflow has no such node."
            )
        for node_id in (one for one in row.node_ids if one in graph):
            inputs = node_inputs(nodes[node_id])
            held = inputs.get(row.input)
            value = held
            if not row.kind:
                value = row.value
            elif held is None or is_link(held):
                value = _placed_value(row.kind, half)
            nodes[node_id] = {**nodes[node_id], "inputs": {**inputs, row.input: value}}
            if row.kind == "image":
                pictures.append(node_id)
            elif row.kind:
                parameter = PARAMETER_OF_KIND.get(row.kind, row.kind)
                mapped.setdefault(parameter, []).append(Target(node_id, row.input))
    nodes = {**{one: nodes[one] for one in pictures}, **nodes}
    return nodes, {name: tuple(targets) for name, targets in mapped.items()}, problems


def _page_problems(mapping: Sequence[MappedInput]) -> list[str]:
    if not mapping:
        return []
    return [
        "The workflow there is in the format of ComfyUI's editor, which Open WebUI itself does not "
        "run: its node mapping is not used."
    ]


def _placed_value(kind: str, half: PictureSettings) -> Any:
    """A plain value for a mapped input that holds none."""
    width, _, height = (half.size if "x" in half.size else USUAL_SIZE).partition("x")
    numbers = {"width": width, "height": height, "steps": half.steps or "20", "n": "1", "seed": "0"}
    if kind in numbers:
        text = numbers[kind].strip()
        return int(text) if text.isdecimal() else 0
    return half.model if kind == "model" else ""


def image_settings_lines(valves: Valves, settings: ImageSettings) -> tuple[str, ...]:
    """What was taken over of Open WebUI's image settings, for administrators, a sentence each."""
    left_out = _valves_before(valves)
    lines: list[str] = []
    for half, name, purpose in halves(settings):
        if not half.is_chosen:
            continue
        taken = take_over(half, name)
        values = taken.without
        if name in left_out:
            lines.append(f"{purpose}: the valve {left_out[name]} goes before the workflow there.")
        elif taken.entry:
            values = taken.with_workflow
            found = quoted(taken.entry.mapped) or "nothing"
            lines.append(f'{purpose}: the workflow there is "{name}"; mapped in it: {found}.')
        else:
            lines.append(f"{purpose}: no workflow of one's own is there; one is chosen by models.")
        said = [f"{key} {shortened(value, 80)}" for key, value in values.items()]
        if said:
            lines.append(f"{purpose}: {', '.join(said)}.")
        lines += [f"{purpose}: {problem}" for problem in taken.problems]
    return tuple(lines)


def halves(settings: ImageSettings) -> tuple[tuple[PictureSettings, str, str], ...]:
    """Each half of the page with the name of its workflow, and what it is for."""
    return (
        (settings.generation, TAKEN_OVER["workflow"], "New pictures"),
        (settings.editing, TAKEN_OVER["edit_workflow"], "Edits"),
    )


# Open WebUI's image settings: what stands there counts where no valve says otherwise.


def image_preferences(
    both_valves: tuple[Valves, UserValves], image_settings: ImageSettings, allowed: Allowed
) -> dict[str, Argument]:
    """What Open WebUI's image settings prefer, by the names of `_preferences`: "steps" besides, and
    "edit_model" and "edit_size" for edits.
    """
    preferences: dict[str, Argument] = {}
    valves, mine = both_valves
    left_out = _valves_before(valves)
    for valve, name in TAKEN_OVER.items():
        if is_given(getattr(mine, valve)):
            left_out[name] = "the user's"
    for half, name, _ in halves(image_settings):
        taken = take_over(half, name)
        is_edit = half is image_settings.editing
        before = "edit_" if is_edit else ""
        values: Mapping[str, str] = taken.without
        if taken.entry and name not in left_out and allowed.workflow(name):
            preferences[f"{before}workflow"] = Argument(
                name, f"The workflow of {PAGE}", IMAGE_SETTINGS
            )
            values = taken.with_workflow
        for key, value in values.items():
            if key == "model" and not allowed.model(value):
                continue
            if key == "size" and is_edit and values is taken.without:
                continue  # without that workflow an edit has the size of its picture
            if key == "steps":
                value = str(min(read_number(value) or 0, valves.number("max_steps")))
            preferences[before + key] = Argument(value, f"The {key} in {PAGE}", IMAGE_SETTINGS)
    return preferences


def _valves_before(valves: Valves) -> dict[str, str]:
    """The names of workflows of Open WebUI's image settings that a valve goes before, each with the
    title of the valve. "auto" does so as well: it has one chosen by installed models.
    """
    found: dict[str, str] = {}
    for valve, name in TAKEN_OVER.items():
        if getattr(valves, valve).strip():
            found[name] = f'"{Valves.model_fields[valve].title}"'
    return found


def taken_over_entries(image_settings: ImageSettings) -> tuple[Entry, ...]:
    """The workflows of Open WebUI's image settings."""
    taken = [take_over(half, name).entry for half, name, _ in halves(image_settings)]
    return tuple(entry for entry in taken if entry)
