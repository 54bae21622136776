"""What describe_workflow answers: everything that a caller has to know about one workflow.

    {"name": ..., "inputs": {"steps": "INT, 1 to 10000, now 20"}, "files": [...], "makes": [...],
     "models": {"vae/ae.safetensors": "installed"}, "diagram": "```mermaid ...", ...}

It is cut to a length that a model can read, and says how much was left out. `one_list` merges what
several servers list, of workflows (catalogue/workflow_list.py) and of models
(catalogue/model_list.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import NodeNotInstalled, WorkflowRefused
from ..graph.facts import (
    FileInput,
    ModelFile,
    file_inputs,
    guess_task,
    missing_nodes,
    model_files,
    outputs,
)
from ..graph.mermaid import mermaid
from ..graph.nodes import given_title
from ..graph.paths import lists_users_files
from ..graph.prices import MOST_PARTNERS_TOLD, price_of
from ..graph.pruning import without_files
from ..graph.remarks import FileSource
from ..graph.search import Flow
from ..graph.workflow import Workflow
from ..media.kinds import MAX_INPUT_FILES
from ..names import find_name, quoted, shortened
from ..server.client import DOUBT_SECONDS, ComfyUIServer
from ..server.endpoint import Endpoint
from ..threads import FILES
from ..values import is_number
from .entries import Entry
from .entry_reading import bare_reason, read_entry
from .fitted import fit_entry, fit_workflow
from .missing import (
    file_path,
    file_size,
    files_in_short,
    node_with_package,
    told_notes,
    told_source,
)
from .searching import WorkflowLine
from .secret_inputs import holds_secret
from .workflow_list import CANNOT_RUN, can_run, characters_of

MAX_NAMES = 60  # lines of what a workflow makes, or of nodes that are missing
PAID_NOTE = "it calls a service that costs credits of a Comfy account"
# characters of a description without its diagram: less than 2,500 tokens of a model
MOST_DESCRIBED = 7500


@dataclass(frozen=True)
class Detail:
    """In how much detail inputs are described."""

    names: int  # of other inputs than parameters
    choices: int  # of an input
    characters: int  # of the text that one holds


# The first with which a description is short enough is taken.
DETAILS = (
    Detail(60, 8, 120),
    Detail(40, 6, 80),
    Detail(25, 4, 60),
    Detail(12, 3, 40),
    Detail(5, 2, 30),
    Detail(0, 2, 20),
)


async def describe_workflow(
    server: ComfyUIServer, entry: Entry, diagram: bool = False
) -> dict[str, Any]:
    """Everything that a caller has to know about a workflow, as far as this server knows its nodes,
    and with `diagram` its graph. Raises as `read_entry` does, except for nodes that are missing.
    """
    try:
        workflow = await read_entry(server, entry, to_describe=True)
    except (
        NodeNotInstalled
    ) as refused:  # there is no more to tell about a graph that cannot be converted
        return {"name": entry.name, "source": entry.source, CANNOT_RUN: refused.message}
    flow = workflow.flow
    files = file_inputs(flow)
    lacking, taken = await _lacking(server, entry, workflow)
    missing = missing_nodes(workflow.graph, workflow.definitions)
    answer = {
        "name": entry.name,
        "source": entry.source,
        "task": entry.task or guess_task(flow),
        "about": entry.description,
        "author's notes, quoted": await FILES.run(told_notes, workflow.remarks.notes),
        CANNOT_RUN: lacking,
        "inputs": {},
        "other inputs": {},
        "files": await FILES.run(_file_lines, flow, files),
        "makes": _first([f'{kind} ("{title}")' for title, kind in outputs(flow)]),
        "models": await _model_lines(server, entry, workflow, taken),
        "size of all models": file_size(entry.template.bytes)
        if entry.template and entry.template.bytes
        else "",
        "paid": await FILES.run(_price_line, server.endpoint, entry, workflow),
        "missing nodes": _first([node_with_package(name, workflow.remarks) for name in missing]),
    }
    answer |= await FILES.run(
        _inputs_within, workflow, files, MOST_DESCRIBED - characters_of(answer)
    )
    # nothing is said of what it does not have
    answer = {name: value for name, value in answer.items() if value}
    if diagram:
        answer["diagram"] = f"```mermaid\n{mermaid(flow)}\n```"
        answer["note"] = "To show the user the graph, copy `diagram` into the answer as it is."
    return answer


async def _lacking(
    server: ComfyUIServer, entry: Entry, workflow: Workflow
) -> tuple[str, Mapping[str, str]]:
    """What this server lacks to run a workflow, at a glance, "" when it can; and of a bundled one
    that it can run the files, by the needs as texts.
    """
    try:
        if entry.bundled:
            fitted = await fit_entry(server, entry, None)
        else:
            fitted = await fit_workflow(server, workflow, None)
    except WorkflowRefused as refused:
        return bare_reason(entry, refused), {}
    return (files_in_short(fitted.absent.values()) if fitted.absent else ""), fitted.files


def _price_line(endpoint: Endpoint, entry: Entry, workflow: Workflow) -> str:
    """What a run costs as the workflow is saved: "$0.7 a run, for "Kling" (KlingNode)"; "" for
    nothing.
    """
    price = price_of(workflow.graph, workflow.definitions)
    if endpoint.cloud:
        return "amount unknown, as of all that runs on Comfy Cloud"
    if price is None:
        return PAID_NOTE if entry.template and entry.template.is_paid else ""
    words = price.words if price.most is None else f"{price.words} a run"
    return f"{words}, for {', '.join(price.partners[:MOST_PARTNERS_TOLD])}"


def _first(lines: Sequence[str]) -> list[str]:
    """The first lines of a list, and how many more there are."""
    first = list(lines[:MAX_NAMES])
    if len(lines) > MAX_NAMES:
        first.append(f"… {len(lines) - MAX_NAMES} more")
    return first


def _inputs_within(workflow: Workflow, files: Sequence[FileInput], room: int) -> dict[str, Any]:
    """The inputs in so many characters, if they fit at all: as many of them and in as much detail
    as there is room for. Blocks.
    """
    told: dict[str, Any] = {}
    for detail in DETAILS:
        told = {
            "inputs": {name: _input_line(workflow, name, detail) for name in workflow.parameters},
            "other inputs": _other_input_lines(workflow, files, detail),
        }
        if characters_of(told) <= room:
            break
    return told


def _other_input_lines(
    workflow: Workflow, files: Sequence[FileInput], detail: Detail
) -> dict[str, str]:
    """The lines of the first inputs that neither a parameter sets nor a file goes into, and how
    many more there are.
    """
    taken = {file.target for file in files}
    for targets in workflow.parameters.values():
        taken.update(target.widget for target in targets)
    names = [name for name, target in workflow.widgets.items() if target not in taken]
    lines = {name: _input_line(workflow, name, detail) for name in names[: detail.names]}
    more = len(names) - detail.names
    if more > 0:
        lines["…"] = f"{more} more"
    return lines


def _input_line(workflow: Workflow, name: str, detail: Detail) -> str:
    """An input's type, its range or choices, and its present value: "INT, 1 to 10000, now 20"."""
    spec = workflow.spec(name)
    if name == "seed":
        return f"{spec.type}, random unless given"
    if any(lists_users_files(workflow, target) for target in workflow.find(name) or ()):
        return "a file on the server, as it was saved"
    parts = [spec.type]
    if name == "length":
        parts.append("in frames (or give seconds)")
    if spec.choices:
        shown = [shortened(choice, 60) for choice in spec.choices[: detail.choices]]
        choices = f"one of {quoted(shown)}"
        more = len(spec.choices) - detail.choices
        if more > 0:
            choices += f" and {more} more"
        parts.append(choices)
    elif spec.minimum is not None and spec.maximum is not None:
        parts.append(f"{spec.minimum:g} to {spec.maximum:g}")
    parts.append(_value_now(workflow, name, detail.characters))
    return ", ".join(parts)


def _value_now(workflow: Workflow, name: str, length: int) -> str:
    """What an input holds, as far as anybody may know, in so many characters: "now 20", 'now "a red
    fox"', "is set".
    """
    value = workflow.value(name)
    nodes = [workflow.graph[target.node_id] for target in workflow.find(name) or ()]
    if any(holds_secret(name, given_title(node) or node["class_type"], value) for node in nodes):
        return "is set" if value else "is not set"
    if value is None:
        return "has to be given"
    if isinstance(value, str):
        return f'now "{shortened(value, length)}"'
    return f"now {shortened(value, 40)}"


def _file_lines(flow: Flow, files: Sequence[FileInput]) -> list[str]:
    """The files that a graph takes, and which of them it can do without: 'image and mask for
    "Photo", optional'.
    """
    lines = []
    for file in files[:MAX_INPUT_FILES]:
        line = file.kind
        if file.masked:
            line += " and mask"
        line += f' for "{file.title}"'
        if without_files(flow, [file.target]) is not None:
            line += ", optional"
        lines.append(line)
    return lines


async def _model_lines(
    server: ComfyUIServer, entry: Entry, workflow: Workflow, taken: Mapping[str, str]
) -> dict[str, str]:
    """Model file -> whether it is installed: "installed", 'installed as "other.safetensors"', "not
    installed" or "not known". For a bundled workflow any file will do that its need matches; those
    that it would run with are `taken`.
    """
    graph = workflow.graph
    loaders = [graph[file.target.node_id] for file in model_files(graph, {})]
    class_types = [loader["class_type"] for loader in loaders]
    definitions = await server.define_anew({}, class_types, DOUBT_SECONDS)
    workflow = replace(workflow, definitions=definitions)
    needs = {need.target: need for need in entry.needs}
    lines: dict[str, str] = {}
    for file in model_files(graph, definitions):
        choices = workflow.widget_spec(file.target).names
        installed = find_name(file.file, choices)
        if file.target in needs:
            need = needs[file.target]
            fitting = await FILES.run_unless_short([choices], need.rank, choices)
            installed = taken.get(str(need)) or next(iter(fitting), installed)
        source = workflow.remarks.source(file.file, file.folder)
        if source is None and needs.get(file.target):
            source = needs[file.target].on_hugging_face
        lines[file_path(file, source)] = _model_state(file, installed, source)
    return lines


def _model_state(file: ModelFile, installed: str | None, source: FileSource | None) -> str:
    """Whether a model file is installed, and under which name; of one that is not, where it is to
    be had.
    """
    if installed == file.file:
        return "installed"
    if installed:
        return f'installed as "{installed}"'
    state = "not known" if file.installed is None else "not installed"
    return ", ".join(part for part in (state, told_source(source)) if part)


def one_list(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What several servers list, as one answer.

        {"workflows": [{"name": "mine", "cannot run": "..."}]}  and  {"workflows": [{"name": "mine"}]}  ->  the latter
        {"loras": ["a", "b"]}                                   and  {"loras": ["b", "c"]}              ->  a, b and c
        {"installed": {"loras": 3}}                             and  {"installed": {"loras": 5}}        ->  5

    Of a workflow the line of the first server that can run it is taken. An answer that found
    nothing ("found": 0) only fills in what no other has, and that nothing was found is only said
    where no server found anything.
    """
    found_nothing = [answer for answer in answers if answer.get("found") == 0]
    found_some = [answer for answer in answers if answer not in found_nothing]
    merged: dict[str, Any] = {}
    for answer in [*found_some, *found_nothing]:
        for key, value in answer.items():
            if key == "workflows":
                merged[key] = _merged_lines(merged.get(key, []), value)
            elif key in merged:
                merged[key] = _merged_values(merged[key], value)
            else:
                merged[key] = value
    if found_some and merged.get("found") == 0:
        del merged["found"]
    return merged


def _merged_values(earlier: Any, value: Any) -> Any:
    """Two lists of names without duplicates, or for each name the higher one of two counts, or the
    first of two texts; of all else the first.
    """
    if isinstance(earlier, list) and isinstance(value, list):
        return list(dict.fromkeys([*earlier, *value]))
    if isinstance(earlier, dict) and isinstance(value, dict):
        highest = dict(earlier)
        for name, count in value.items():
            if is_number(count):
                highest[name] = max(count, earlier.get(name, 0))
            else:
                highest.setdefault(name, count)
        return highest
    return earlier


def _merged_lines(lines: list[WorkflowLine], others: list[WorkflowLine]) -> list[WorkflowLine]:
    """The lines of two lists of workflows, one for each name: the first by which it can run, or the
    last.
    """
    by_name = {line["name"]: line for line in lines}
    for line in others:
        name = line["name"]
        if name not in by_name or not can_run(by_name[name]):
            by_name[name] = line
    return list(by_name.values())
