"""Answers about what a server has: its workflows, one of them in detail, its models.

Three functions answer for one server what the methods of the same names in `webui/tools.py` are asked, and `one_list`
makes one answer of those of several servers. They are cut to a length that a model can read, and say how much was left
out.

    list_workflows     {"workflows": [{"name": "flux2", "task": "text_to_image", "source": "bundled", "about": "...",
                                       "cannot run": "lacks diffusion_models/..."}], "more": "..."}
    describe_workflow  {"name": ..., "inputs": {"steps": "INT, 1 to 10000, now 20"}, "files": [...], "makes": [...],
                        "models": {"vae/ae.safetensors": "installed"}, "diagram": "```mermaid ...", ...}
    list_models        {"installed": {"checkpoints": 3, "loras": 12}}, or {"loras": ["a.safetensors", ...]} for a kind
"""

import asyncio
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ..errors import BadArgument, ComfyUIError, NodeNotInstalled, ServerGone, ServerUnreachable
from ..graph.definitions import Definitions
from ..graph.facts import FileInput, file_inputs, guess_task, missing_nodes, model_files, outputs
from ..graph.mermaid import mermaid
from ..graph.nodes import Graph
from ..graph.pruning import without_files
from ..graph.workflow import Workflow
from ..media.kinds import MAX_INPUT_FILES
from ..names import closest, find_name, quoted, shortened, simplified
from ..server.client import DOUBT_SECONDS, ComfyUIServer
from ..tasks import gather
from .choosing import fit_entry, fit_saved, read_entry
from .entries import Catalogue, Entry

LISTED = 40  # how many workflows are looked into for one list
NAMED = 60  # how many models of a kind, or other inputs of a workflow, one answer names
SHOWN_CHOICES = 8  # how many choices of an input are named


async def list_workflows(server: ComfyUIServer, catalogue: Catalogue, search: str) -> dict[str, Any]:
    """The workflows whose names or descriptions hold all words of `search`, and whether this server can run them. When
    none does, the most similar names."""
    listing = await catalogue.entries(server)
    entries = listing.entries
    words = search.lower().split()
    found = [entry for entry in entries if all(word in f"{entry.name} {entry.description}".lower() for word in words)]
    looked_at = await gather(4, [functools.partial(look_into, server, entry) for entry in found[:LISTED]])
    answer: dict[str, Any] = {"workflows": looked_at}
    if len(found) > LISTED:
        answer["more"] = f"{len(found) - LISTED} more: {quoted(entry.name for entry in found[LISTED : 2 * LISTED])}"
    if not found:
        answer["closest"] = closest(search, [entry.name for entry in entries], 5)
    if listing.problems:
        answer["problems"] = list(listing.problems)
    return answer


async def look_into(server: ComfyUIServer, entry: Entry) -> dict[str, str]:
    """A few words about a workflow: name, task, source, description, and where this server cannot run it, why. Raises
    `ServerUnreachable` and `ServerGone`; any other error is the reason."""
    task, about, problem = entry.task, entry.description, ""
    try:
        if entry.needs:
            await fit_entry(server, entry, None)
        else:
            choice = await fit_saved(server, entry, None)
            graph = choice.workflow.graph
            task = task or guess_task(graph, choice.definitions)
            about = about or " with ".join(filter(None, [task.replace("_", " "), choice.model]))
            missing = list(choice.absent.values())
            problem = f"needs {'; '.join(missing[:3])}" if missing else ""
    except (ServerUnreachable, ServerGone):
        raise
    except ComfyUIError as error:
        problem = error.message.removeprefix(f'The workflow "{entry.name}" ')
    line = {"name": entry.name, "task": task, "source": entry.source, "about": shortened(about, 200)}
    return line | ({"cannot run": shortened(problem, 160)} if problem else {})


async def describe_workflow(server: ComfyUIServer, entry: Entry) -> dict[str, Any]:
    """Everything that a caller has to know about a workflow, as far as this server knows its nodes. Raises as
    `read_entry` does, except for nodes that are missing."""
    try:
        workflow, definitions = await read_entry(server, entry)
    except NodeNotInstalled as refused:  # there is no more to tell about a graph that cannot be converted
        return {"name": entry.name, "source": entry.source, "cannot run": refused.message}
    graph = workflow.graph
    inputs = {name: _input_line(workflow, name, definitions) for name in workflow.parameters}
    taken = {target.widget for targets in workflow.parameters.values() for target in targets}
    files = file_inputs(graph, definitions)
    taken |= {file.target for file in files}
    others = [name for name, target in workflow.widgets.items() if target not in taken]
    other_lines = {name: _input_line(workflow, name, definitions) for name in others[:NAMED]}
    if len(others) > NAMED:
        other_lines["…"] = f"{len(others) - NAMED} more"
    answer = {
        "name": entry.name,
        "source": entry.source,
        "task": entry.task or guess_task(graph, definitions),
        "about": entry.description,
        "inputs": inputs,
        "other inputs": other_lines,
        "files": await asyncio.to_thread(_file_lines, graph, files, definitions),
        "makes": [f'{kind} ("{title}")' for title, kind in outputs(graph, definitions)],
        "models": await _model_lines(server, entry, workflow),
        "missing nodes": list(missing_nodes(graph, definitions)),
    }
    answer = {name: value for name, value in answer.items() if value}
    note = "To show the user the graph, copy `diagram` into the answer as it is."
    return answer | {"diagram": f"```mermaid\n{mermaid(graph, definitions)}\n```", "note": note}


# Names of inputs whose values are not told to anybody.
SECRET_INPUT = re.compile(r"(^|[._ ])(api_?)?(key|token|secret|password)$", re.IGNORECASE)


def _input_line(workflow: Workflow, name: str, definitions: Definitions) -> str:
    """An input's type, its range or choices, and its present value: "INT, 1 to 10000, now 20"."""
    spec = workflow.spec(name, definitions)
    if name == "seed":
        return f"{spec.type}, random unless given"
    parts = [spec.type]
    if spec.choices:
        more = f" and {len(spec.choices) - SHOWN_CHOICES} more" if len(spec.choices) > SHOWN_CHOICES else ""
        parts.append(f"one of {quoted(shortened(choice, 60) for choice in spec.choices[:SHOWN_CHOICES])}{more}")
    elif spec.minimum is not None and spec.maximum is not None:
        parts.append(f"{spec.minimum:g} to {spec.maximum:g}")
    value = workflow.value(name)
    if SECRET_INPUT.search(name):
        parts.append("is set" if value else "is not set")
    elif value is None:
        parts.append("has to be given")
    else:
        parts.append(f'now "{shortened(value, 120)}"' if isinstance(value, str) else f"now {shortened(value, 40)}")
    return ", ".join(parts)


def _file_lines(graph: Graph, files: Sequence[FileInput], definitions: Definitions) -> list[str]:
    """The files that a graph takes, and which of them it can do without: 'image and mask for "Photo", optional'."""
    lines = []
    for file in files[:MAX_INPUT_FILES]:
        optional = without_files(graph, [file.target], definitions) is not None
        lines.append(f'{file.kind}{" and mask" * file.masked} for "{file.title}"{", optional" * optional}')
    return lines


async def _model_lines(server: ComfyUIServer, entry: Entry, workflow: Workflow) -> dict[str, str]:
    """Model file -> whether it is installed: "installed", 'installed as "other.safetensors"', "not installed" or "not
    known". For a bundled workflow any file will do that its need matches."""
    lines = {}
    needs = {need.target: need for need in entry.needs}
    loaders = {workflow.graph[file.target.node_id]["class_type"] for file in model_files(workflow.graph, {})}
    definitions = await server.define_anew({}, loaders, DOUBT_SECONDS)
    for file in model_files(workflow.graph, definitions):
        choices = workflow.widget_spec(file.target, definitions).names
        like = needs[file.target].rank(choices) if file.target in needs else []
        name = next(iter(like), None) or find_name(file.file, choices)
        state = "not known" if file.installed is None else "not installed"
        if name:
            state = "installed" if name == file.file else f'installed as "{name}"'
        lines[f"{file.folder}/{file.file}"] = state
    return lines


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
    folders = await server.names("/models") or list(USUAL_KINDS)
    kinds = [*USUAL_KINDS, "embeddings", *SAMPLING_KINDS]
    kinds += [name for name in folders if name not in kinds and name not in ("configs", "custom_nodes")]
    plain = {simplified(name.replace("-", "_")): name for name in [*MODEL_KINDS, *kinds]}
    asked = plain.get(simplified(kind.replace("-", "_")), kind.strip())
    asked = MODEL_KINDS.get(asked, asked)
    if asked and asked not in kinds:
        raise BadArgument(f'There is no kind of model "{shortened(kind)}".', f"There are: {quoted(kinds)}.")
    words = search.lower().split()
    found: dict[str, list[str]] = {}
    for name in [asked] if asked else kinds:
        names = await _models_of(server, name)
        found[name] = [model for model in names if all(word in model.lower() for word in words)]
        if asked and words and not found[name] and names:
            return {"kind": name, "found": 0, "closest": closest(search, names, 5), "installed": len(names)}
    if not asked and not words:
        return {"installed": {name: len(names) for name, names in found.items() if names}}
    if not asked:
        found = {name: names for name, names in found.items() if names}
    answer: dict[str, Any] = {name: names[:NAMED] for name, names in found.items()}
    cut = {name: len(names) - NAMED for name, names in found.items() if len(names) > NAMED}
    return answer | ({"more": cut} if cut else {})


async def _models_of(server: ComfyUIServer, kind: str) -> list[str]:
    """All names of a kind; none where the server does not have the kind."""
    if kind in SAMPLING_KINDS:
        sampler = await server.define("KSampler")
        spec = sampler.inputs.get(SAMPLING_KINDS[kind]) if sampler else None
        return [str(choice) for choice in spec.choices] if spec else []
    return await server.names("/embeddings" if kind == "embeddings" else f"/models/{quote(kind, safe='')}") or []


def one_list(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What several servers list, as one answer.

        {"workflows": [{"name": "mine", "cannot run": "..."}]}  and  {"workflows": [{"name": "mine"}]}  ->  the latter
        {"loras": ["a", "b"]}                                   and  {"loras": ["b", "c"]}              ->  a, b and c
        {"installed": {"loras": 3}}                             and  {"installed": {"loras": 5}}        ->  5

    Of a workflow the line of the first server that can run it is taken. An answer that found nothing ("found": 0) only
    fills in what no other has.
    """
    merged: dict[str, Any] = {}
    for answer in sorted(answers, key=lambda one: one.get("found") == 0):
        for key, value in answer.items():
            held = merged.get(key)
            if key == "workflows":
                lines = {line["name"]: line for line in held or ()}
                for line in value:
                    if "cannot run" in lines.get(line["name"], {"cannot run": ""}):
                        lines[line["name"]] = line
                merged[key] = list(lines.values())
            elif isinstance(held, list) and isinstance(value, list):
                merged[key] = list(dict.fromkeys([*held, *value]))
            elif isinstance(held, dict) and isinstance(value, dict):
                merged[key] = {name: max(held.get(name, 0), value.get(name, 0)) for name in {**held, **value}}
            elif key != "found" or not merged:
                merged.setdefault(key, value)
    return merged
