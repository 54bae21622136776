"""What a run was really made with, as the model is told it, read from the finished graph.

A model cannot see what became of an argument: Open WebUI drops those that a method does not have,
and a workflow keeps its author's values. So `used_values` tells what the graph holds, whoever put
it there, under the names of arguments:

    {"steps": 20, "guidance": 7.0, "strength": 0.6, "size": "1024x1024", "loras": ["anime_style:0.6"]}
    {"steps": 20, "guidance": 3.5, "size": "832x480", "seconds": 5.06, "frames": 81}

A "prompt" is told only where it is not the call's own. `read_used` takes the values out of a job's
mark again.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from ..graph.facts import model_files
from ..graph.input_names import PRESETS
from ..graph.loras import parse_lora
from ..graph.nodes import Target, node_inputs
from ..graph.workflow import Workflow
from ..names import shortened
from ..sizes import size_of_choice
from ..values import as_number, list_of, object_of
from .limits import SIDES

LORA_STRENGTHS = ("strength_model", "strength", "lora_strength")  # inputs beside a LoRA's name
MOST_LORAS_TOLD = 8
SAVED_PROMPT = "ran with its saved prompt "
PROMPT_TOLD = 200  # characters of a saved prompt
SIZE_TOLD = re.compile(r"[\d.]{1,8}[x:][\d.]{1,8}")
USED_NUMBERS = ("steps", "guidance", "strength", "seconds", "frames")


def used_values(
    workflow: Workflow, touched: Collection[Target], *, paints_over: bool
) -> dict[str, Any]:
    """The steps, guidance, size and LoRAs of a finished graph, the strength where it paints over a
    picture, and the seconds and frames of a video or a sound. `touched` are the widgets that the
    call set.
    """
    values: dict[str, Any] = {"prompt": saved_prompt(workflow, touched)}
    for name in ("steps", "guidance"):
        values[name] = as_number(workflow.value(name))
    if paints_over:
        values["strength"] = as_number(workflow.value("denoise"))
    width, height = (workflow.value(side) for side in SIDES)
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        values["size"] = f"{width}x{height}"
    else:
        values["size"] = _chosen_size(workflow)
    values |= _length_of(workflow)
    values["loras"] = _loras_in(workflow)
    return {name: value for name, value in values.items() if value not in (None, "", [])}


def _chosen_size(workflow: Workflow) -> str:
    """The size of a graph that chooses it out of a list, "1344x768" or "16:9"; "" for none."""
    for name in PRESETS:
        if name not in workflow.parameters or not workflow.spec(name).choices:
            continue
        size = size_of_choice(workflow.value(name))
        if size.pixels:
            return str(size.pixels)
        if size.ratio:
            return "{:g}:{:g}".format(*size.ratio)
    return ""


def _length_of(workflow: Workflow) -> dict[str, float]:
    """The seconds and the frames for which a graph asks, as far as it tells; nothing of one that
    makes pictures.
    """
    told: dict[str, float] = {}
    frames = as_number(workflow.value("length"))
    seconds = as_number(workflow.value("seconds"))
    rate = as_number(workflow.value("fps"))
    if seconds is None and frames and rate:
        seconds = frames / rate
    if seconds:
        told["seconds"] = round(seconds, 2)
    if frames:
        told["frames"] = int(frames)
    return told


def _loras_in(workflow: Workflow) -> list[str]:
    """The LoRAs that the outputs of a graph depend on, each as "name:0.8"."""
    files = model_files(workflow.graph, workflow.definitions)
    loras = [file for file in files if file.folder == "loras"]
    if not loras:
        return []
    needed = workflow.flow.needed()
    told: dict[str, None] = {}
    for file in loras:
        if file.target.node_id in needed:
            told[_with_strength(workflow, file.target, file.file)] = None
    return list(told)[:MOST_LORAS_TOLD]


def loras_used(used: Mapping[str, Any]) -> list[str]:
    """The files of the LoRAs that do anything, among what a graph is made with."""
    loras = [parse_lora(lora) for lora in used.get("loras", ())]
    return list(dict.fromkeys(file for file, strength in loras if strength))


def _with_strength(workflow: Workflow, target: Target, file: str) -> str:
    """A LoRA with the strength that stands in its row, or beside its name."""
    inputs = node_inputs(workflow.graph[target.node_id])
    row = object_of(inputs.get(target.input))
    for name in LORA_STRENGTHS:
        strength = as_number(row.get(name) if row else inputs.get(name))
        if strength is not None:
            return f"{file}:{strength:g}"
    return file


def saved_prompt(workflow: Workflow, touched: Collection[Target]) -> str:
    """That the prompt is the one which the workflow was saved with; "" where the call gave one, or
    there is none.
    """
    targets = workflow.parameters.get("prompt") or ()
    if not targets or any(target.widget in touched for target in targets):
        return ""
    prompt = workflow.value("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        return ""
    return f'{SAVED_PROMPT}"{shortened(prompt, PROMPT_TOLD)}"'


def read_used(marked: Any) -> dict[str, Any]:
    """The values out of a job's mark, which a server may have changed: those of the kinds that
    `used_values` tells.
    """
    told: dict[str, Any] = {}
    values: Mapping[str, Any] = object_of(marked)
    for name in USED_NUMBERS:
        number = as_number(values.get(name))
        if number is not None:
            told[name] = number
    prompt = values.get("prompt")
    if isinstance(prompt, str) and prompt.startswith(SAVED_PROMPT):
        told["prompt"] = shortened(prompt, PROMPT_TOLD + len(SAVED_PROMPT))
    if SIZE_TOLD.fullmatch(str(values.get("size"))):
        told["size"] = values["size"]
    loras = [
        shortened(lora)
        for lora in list_of(values.get("loras"))[:MOST_LORAS_TOLD]
        if isinstance(lora, str)
    ]
    if loras:
        told["loras"] = loras
    return told
