"""Answers about what a server has: its workflows, one of them in detail, its models.

Three functions answer, for one server, the methods of the same names in `webui/tools.py`, and `one_list` merges the
answers of several servers. Answers are cut to a length that a model can read, and say how much was left out.

    list_workflows     {"workflows": [{"name": "flux2", "task": "text_to_image", "source": "bundled", "about": "...",
                                       "cannot run": "lacks diffusion_models/..."}], "more": "..."}
    describe_workflow  {"name": ..., "inputs": {"steps": "INT, 1 to 10000, now 20"}, "files": [...], "makes": [...],
                        "models": {"vae/ae.safetensors": "installed"}, "diagram": "```mermaid ...", ...}
    list_models        {"installed": {"checkpoints": 3, "loras": 12}}, or {"loras": ["a.safetensors", ...]} for a kind
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from ..bounds import MOST_FOLDERS
from ..errors import BadArgument, ComfyUIError, NodeNotInstalled, ServerGone, ServerUnreachable
from ..graph.facts import FileInput, ModelFile, file_inputs, guess_task, missing_nodes, model_files, outputs
from ..graph.mermaid import mermaid
from ..graph.nodes import given_title
from ..graph.paths import lists_users_files
from ..graph.pruning import without_files
from ..graph.search import Flow
from ..graph.workflow import Workflow
from ..media.kinds import MAX_INPUT_FILES
from ..names import closest, find_name, quoted, shortened, simplified
from ..server.client import DOUBT_SECONDS, ComfyUIServer
from ..tasks import gather
from ..threads import FILES
from .entries import Catalogue, Entry
from .fitted import fit_entry, fit_saved, read_entry
from .secret_inputs import holds_secret

MAX_WORKFLOWS = 40  # how many workflows one answer describes
MAX_NAMES = 60  # how many models of a kind, or other inputs of a workflow, one answer names
MAX_CHOICES = 8  # how many choices of an input are named


async def list_workflows(server: ComfyUIServer, catalogue: Catalogue, search: str) -> dict[str, Any]:
    """The workflows whose names or descriptions hold all words of `search`, and whether this server can run them. When
    none does, the most similar names."""
    listing = await catalogue.entries(server)
    words = search.lower().split()
    matching = [entry for entry in listing.entries if _has_words(f"{entry.name} {entry.description}", words)]
    described, more = matching[:MAX_WORKFLOWS], matching[MAX_WORKFLOWS:]
    checks = [functools.partial(look_into, server, entry) for entry in described]
    answer: dict[str, Any] = {"workflows": await gather(4, checks)}
    if more:
        next_names = quoted(entry.name for entry in more[:MAX_WORKFLOWS])
        answer["more"] = f"{len(more)} more: {next_names}"
    if not matching:
        answer["closest"] = closest(search, [entry.name for entry in listing.entries], 5)
    if listing.problems:
        answer["problems"] = list(listing.problems)
    return answer


def _has_words(text: str, words: Sequence[str]) -> bool:
    """Whether a text holds all of these words, which are in lower case."""
    lower = text.lower()
    return all(word in lower for word in words)


async def look_into(server: ComfyUIServer, entry: Entry) -> dict[str, str]:
    """A few words about a workflow: name, task, source, description, and if this server cannot run it, why. Raises
    `ServerUnreachable` and `ServerGone`; any other error is the reason."""
    task, about = entry.task, entry.description
    problem = ""
    try:
        if entry.bundled:
            await fit_entry(server, entry, None)
        else:
            fitted = await fit_saved(server, entry, None)
            task = task or guess_task(fitted.workflow.flow)
            about = about or _in_words(task, fitted.model)
            absent = list(fitted.absent.values())
            if absent:
                problem = "needs " + "; ".join(absent[:3])
    except (ServerUnreachable, ServerGone):
        raise
    except ComfyUIError as error:
        problem = error.message.removeprefix(f'The workflow "{entry.name}" ')
    line = {
        "name": entry.name,
        "task": task,
        "source": entry.source,
        "about": shortened(about, 200),
    }
    if problem:
        line["cannot run"] = shortened(problem, 160)
    return line


def _in_words(task: str, model: str) -> str:
    """What a workflow is about that nobody has described: "text to image with sdxl.safetensors"."""
    words = task.replace("_", " ")
    if not model:
        return words
    return f"{words} with {model}"


async def describe_workflow(server: ComfyUIServer, entry: Entry) -> dict[str, Any]:
    """Everything that a caller has to know about a workflow, as far as this server knows its nodes. Raises as
    `read_entry` does, except for nodes that are missing."""
    try:
        workflow = await read_entry(server, entry)
    except NodeNotInstalled as refused:  # there is no more to tell about a graph that cannot be converted
        return {"name": entry.name, "source": entry.source, "cannot run": refused.message}
    flow = workflow.flow
    files = file_inputs(flow)
    answer = {
        "name": entry.name,
        "source": entry.source,
        "task": entry.task or guess_task(flow),
        "about": entry.description,
        "inputs": {name: _input_line(workflow, name) for name in workflow.parameters},
        "other inputs": _other_input_lines(workflow, files),
        "files": await FILES.run(_file_lines, flow, files),
        "makes": _first([f'{kind} ("{title}")' for title, kind in outputs(flow)]),
        "models": await _model_lines(server, entry, workflow),
        "missing nodes": _first(missing_nodes(workflow.graph, workflow.definitions)),
    }
    answer = {name: value for name, value in answer.items() if value}  # nothing is said of what it does not have
    answer["diagram"] = f"```mermaid\n{mermaid(flow)}\n```"
    answer["note"] = "To show the user the graph, copy `diagram` into the answer as it is."
    return answer


def _first(lines: Sequence[str]) -> list[str]:
    """The first lines of a list, and how many more there are."""
    first = list(lines[:MAX_NAMES])
    if len(lines) > MAX_NAMES:
        first.append(f"… {len(lines) - MAX_NAMES} more")
    return first


def _other_input_lines(workflow: Workflow, files: Sequence[FileInput]) -> dict[str, str]:
    """The lines of the first inputs that neither a parameter sets nor a file goes into, and how many more there are."""
    taken = {file.target for file in files}
    for targets in workflow.parameters.values():
        taken.update(target.widget for target in targets)
    names = [name for name, target in workflow.widgets.items() if target not in taken]
    lines = {name: _input_line(workflow, name) for name in names[:MAX_NAMES]}
    more = len(names) - MAX_NAMES
    if more > 0:
        lines["…"] = f"{more} more"
    return lines


def _input_line(workflow: Workflow, name: str) -> str:
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
        shown = [shortened(choice, 60) for choice in spec.choices[:MAX_CHOICES]]
        choices = f"one of {quoted(shown)}"
        more = len(spec.choices) - MAX_CHOICES
        if more > 0:
            choices += f" and {more} more"
        parts.append(choices)
    elif spec.minimum is not None and spec.maximum is not None:
        parts.append(f"{spec.minimum:g} to {spec.maximum:g}")
    parts.append(_value_now(workflow, name))
    return ", ".join(parts)


def _value_now(workflow: Workflow, name: str) -> str:
    """What an input holds, as far as anybody may know: "now 20", 'now "a red fox"', "is set"."""
    value = workflow.value(name)
    nodes = [workflow.graph[target.node_id] for target in workflow.find(name) or ()]
    if any(holds_secret(name, given_title(node) or node["class_type"], value) for node in nodes):
        return "is set" if value else "is not set"
    if value is None:
        return "has to be given"
    if isinstance(value, str):
        return f'now "{shortened(value, 120)}"'
    return f"now {shortened(value, 40)}"


def _file_lines(flow: Flow, files: Sequence[FileInput]) -> list[str]:
    """The files that a graph takes, and which of them it can do without: 'image and mask for "Photo", optional'."""
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


async def _model_lines(server: ComfyUIServer, entry: Entry, workflow: Workflow) -> dict[str, str]:
    """Model file -> whether it is installed: "installed", 'installed as "other.safetensors"', "not installed" or "not
    known". For a bundled workflow any file will do that its need matches."""
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
            fitting = await FILES.run(needs[file.target].rank, choices)
            installed = fitting[0] if fitting else installed
        lines[f"{file.folder}/{file.file}"] = _model_state(file, installed)
    return lines


def _model_state(file: ModelFile, installed: str | None) -> str:
    """Whether a model file is installed, and under which name."""
    if installed == file.file:
        return "installed"
    if installed:
        return f'installed as "{installed}"'
    return "not known" if file.installed is None else "not installed"


# What people call a kind of model -> ComfyUI's folder for it, or one of `SAMPLING_KINDS`.
MODEL_KINDS: Mapping[str, str] = {
    "checkpoint": "checkpoints",
    "unet": "diffusion_models",
    "diffusion_model": "diffusion_models",
    "lora": "loras",
    "clip": "text_encoders",
    "text_encoder": "text_encoders",
    "upscaler": "upscale_models",
    "upscale_model": "upscale_models",
    "controlnets": "controlnet",
    "vaes": "vae",
    "embedding": "embeddings",
    "sampler": "samplers",
    "scheduler": "schedulers",
}
USUAL_KINDS = ("checkpoints", "diffusion_models", "loras", "vae", "text_encoders", "upscale_models", "controlnet")
SAMPLING_KINDS = {"samplers": "sampler_name", "schedulers": "scheduler"}  # the input of KSampler that lists them


async def list_models(server: ComfyUIServer, kind: str, search: str) -> dict[str, Any]:
    """The installed models of a kind whose names hold all words of `search`. Without a kind: how many there are of
    each, or those that `search` finds in all of them. Raises `BadArgument` for a kind that does not exist."""
    kinds = await _model_kinds(server)
    words = search.lower().split()
    asked_kind = _read_kind(kind, kinds)
    if asked_kind:
        names = await _models_of(server, asked_kind)
        return _models_of_one_kind(asked_kind, names, search)
    models: dict[str, list[str]] = {}
    for each_kind in kinds:
        names = await _models_of(server, each_kind)
        matching = [name for name in names if _has_words(name, words)]
        if matching:
            models[each_kind] = matching
    if not words:
        counts = {each_kind: len(names) for each_kind, names in models.items()}
        return {"installed": counts}
    return _first_models(models)


def _models_of_one_kind(kind: str, names: Sequence[str], search: str) -> dict[str, Any]:
    """The answer that names the models of one kind; if none holds all words of `search`, the most similar ones."""
    words = search.lower().split()
    matching = [name for name in names if _has_words(name, words)]
    if names and not matching:
        return {
            "kind": kind,
            "found": 0,
            "closest": closest(search, names, 5),
            "installed": len(names),
        }
    return _first_models({kind: matching})


async def _model_kinds(server: ComfyUIServer) -> list[str]:
    """All kinds that can be asked for: ComfyUI's usual ones, then the other folders of this server."""
    folders = await server.names("/models") or USUAL_KINDS
    kinds = dict.fromkeys([*USUAL_KINDS, "embeddings", *SAMPLING_KINDS, *folders[:MOST_FOLDERS]])
    return [kind for kind in kinds if kind not in ("configs", "custom_nodes")]


def _read_kind(kind: str, kinds: Sequence[str]) -> str:
    """The one of `kinds` that somebody means by "LoRA" or "text-encoder"; "" for all. Raises `BadArgument`."""
    known = {_plain_kind(name): name for name in [*MODEL_KINDS, *kinds]}
    name = known.get(_plain_kind(kind), kind.strip())
    name = MODEL_KINDS.get(name, name)
    if name and name not in kinds:
        message = f'There is no kind of model "{shortened(kind)}".'
        raise BadArgument(message, f"There are: {quoted(shortened(kind, 60) for kind in kinds)}.")
    return name


def _plain_kind(kind: str) -> str:
    """A kind for comparing, without case, spaces, dashes and underscores."""
    return simplified(kind.replace("-", "_"))


async def _models_of(server: ComfyUIServer, kind: str) -> list[str]:
    """All names of a kind; none where the server does not have the kind."""
    if kind in SAMPLING_KINDS:
        sampler = await server.define("KSampler")
        name = SAMPLING_KINDS[kind]
        if sampler is None or name not in sampler.inputs:
            return []
        return [str(choice) for choice in sampler.inputs[name].choices]
    if kind == "embeddings":
        return await server.names("/embeddings") or []
    folder = quote(kind, safe="")
    return await server.names(f"/models/{folder}") or []


def _first_models(models: Mapping[str, list[str]]) -> dict[str, Any]:
    """The answer that names models by their kinds, `MAX_NAMES` of each; "more" tells how many were cut off."""
    answer: dict[str, Any] = {}
    cut: dict[str, int] = {}
    for kind, names in models.items():
        answer[kind] = names[:MAX_NAMES]
        more = len(names) - MAX_NAMES
        if more > 0:
            cut[kind] = more
    if cut:
        answer["more"] = cut
    return answer


Lines = list[dict[str, str]]  # of workflows, as `look_into` gives them


def one_list(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What several servers list, as one answer.

        {"workflows": [{"name": "mine", "cannot run": "..."}]}  and  {"workflows": [{"name": "mine"}]}  ->  the latter
        {"loras": ["a", "b"]}                                   and  {"loras": ["b", "c"]}              ->  a, b and c
        {"installed": {"loras": 3}}                             and  {"installed": {"loras": 5}}        ->  5

    Of a workflow the line of the first server that can run it is taken. An answer that found nothing ("found": 0) only
    fills in what no other has, and that nothing was found is only said where no server found anything.
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
    """Two lists of names without duplicates, or the higher one of two counts for each name; of all else the first."""
    if isinstance(earlier, list) and isinstance(value, list):
        return list(dict.fromkeys([*earlier, *value]))
    if isinstance(earlier, dict) and isinstance(value, dict):
        highest = dict(earlier)
        for name, count in value.items():
            highest[name] = max(count, earlier.get(name, 0))
        return highest
    return earlier


def _merged_lines(lines: Lines, others: Lines) -> Lines:
    """The lines of two lists of workflows, one for each name: the first by which it can run, or the last."""
    by_name = {line["name"]: line for line in lines}
    for line in others:
        name = line["name"]
        if name not in by_name or "cannot run" in by_name[name]:
            by_name[name] = line
    return list(by_name.values())
