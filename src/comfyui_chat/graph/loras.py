"""Put LoRAs into a graph, right behind the model that its samplers use.

`parse_lora` reads what people write, "detail:0.8" or "<lora:detail:0.8>". `with_loras` adds a node for each `Lora`,
and what used the model then uses the last of them:

    {"4": {"class_type": "CheckpointLoaderSimple", ...},
     "3": {"class_type": "KSampler", "inputs": {"model": ["11", 0], ...}},                    # was ["4", 0]
     "11": {"class_type": "LoraLoader", "inputs": {"lora_name": "detail.safetensors", "strength_model": 0.8,
                                                   "strength_clip": 0.8, "model": ["4", 0], "clip": ["4", 1]}}}

Where they go is told by the graph's links (see graph/links). `main_models` finds the models that feed samplers, each
with its text encoder. Of two models that share the steps (Wan 2.2: high and low noise) a LoRA goes into the one that
its file's name speaks of, else into both. `behind_loras` finds the place behind the LoRAs that are there already and
before everything else that changes the model.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import BadArgument, WorkflowRefused
from ..names import MODEL_FILE, base_name, shortened
from .definitions import Definitions
from .links import Origin, Wiring
from .nodes import Graph, is_link, node_inputs

LORA_LOADERS = ("LoraLoader", "LoraLoaderModelOnly")  # their definitions list the LoRAs that are installed


@dataclass(frozen=True)
class Lora:
    """A LoRA to put into a graph: its exact name in the server's list, and its strength, 1.0 as it was trained."""

    file: str
    strength: float = 1.0


# What people write for a LoRA.
MAX_STRENGTH = 100.0  # up or down, as LoraLoader itself takes it; more is a typing error
LORA_TAG = re.compile(r"<\s*lora\s*:(?P<inside>[^<>]*)>", re.IGNORECASE)
STRENGTH = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)


def parse_lora(text: str) -> tuple[str, float]:
    """The name and strength in "name", "name:0.8" or "<lora:name:0.8>"; a name may hold colons itself.

    The strength is 1 when it is left out. Raises `BadArgument` for "nan" or one beyond `MAX_STRENGTH`, and where no
    name is left.
    """
    tag = LORA_TAG.fullmatch(text.strip())
    name = (tag["inside"] if tag else text).strip()
    strength = 1.0
    # Some programs write a second strength behind the first, for the text encoder; the first one counts.
    for _ in range(2):
        front, colon, last = name.rpartition(":")
        if not colon or not STRENGTH.fullmatch(last.strip()):
            break
        name = front.strip()
        strength = float(last)
        if not abs(strength) <= MAX_STRENGTH:
            raise BadArgument(
                f'"{shortened(last.strip())}" is not a strength for the LoRA "{shortened(name)}".',
                "Give a number such as 0.8; most LoRAs work between 0.5 and 1.",
            )
    if not name:
        raise BadArgument(f'"{shortened(text)}" does not name a LoRA.', 'Write "name" or "name:0.8".')
    return name, strength


def with_loras(graph: Graph, loras: Sequence[Lora], definitions: Definitions) -> dict[str, Any]:
    """The graph with these LoRAs in every main diffusion model, in this order, right behind the loader and the LoRAs
    that are there already.

    Of two models that share a text encoder only one takes it along, or it would have each LoRA twice. Raises
    `WorkflowRefused` when the graph has no model that takes a LoRA, or more than `MAX_MODELS`.
    """
    if not loras:
        return dict(graph)
    wiring = Wiring.of(graph, definitions)
    models = main_models(wiring)
    new_ids = unused_ids(graph)
    result = dict(graph)
    clips_done: set[Origin] = set()  # text encoders that have the LoRAs already
    for model in sorted(models, key=lambda model: model.clip is None or model.clip[0] != model.loader[0]):
        own_loras = [lora for lora in loras if belongs(lora, model, models)]
        if not own_loras:
            continue
        clip = None if model.clip in clips_done else model.clip
        if clip:
            clips_done.add(clip)
        _insert(own_loras, result, wiring, replace(model, clip=clip), new_ids)
    return result


# Which models of a graph LoRAs go into.
MAX_MODELS = 16  # in one graph; people use two

# Which of two models a file belongs to that share the steps between them (Wan 2.2), if its name says so.
NOISE_SIDE = re.compile(
    r"(?<![a-z])(?P<side>high|low)"
    r"(?:[-_. ]?noise|(?![a-z])(?![-_. ]?(?:quality|res|detail|poly|key|angle|contrast|def|fps|speed|rank|vram)))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class DiffusionModel:
    """A model of a graph that samplers use."""

    loader: Origin  # the output that it comes out of
    way: frozenset[str]  # all nodes between the loader and the samplers, these included
    clip: Origin | None  # the output of the one text encoder behind their conditioning; None for several
    side: str = ""  # "high" or "low" when the name of its file says so


def main_models(wiring: Wiring) -> list[DiffusionModel]:
    """The models that LoRAs go into: all that feed samplers. Raises `WorkflowRefused` for none, and for more than
    `MAX_MODELS`."""
    samplers = [node_id for node_id in wiring.nodes if wiring.uses_diffusion_model(node_id)]
    useful = wiring.before(samplers, ("MODEL",))
    loaders: dict[Origin, None] = {}
    for node_id in wiring.nodes:
        if node_id in useful and not wiring.takes(node_id, "MODEL"):
            made = [link for link in wiring.out_of[node_id] if link.type == "MODEL"]
            loaders |= dict.fromkeys(link.origin for link in made if link.node in useful)
    if not loaders:
        raise WorkflowRefused(
            "The workflow has no model that takes a LoRA.",
            "Call again without LoRAs, or with a workflow that loads a diffusion model.",
        )
    if len(loaders) > MAX_MODELS:
        raise WorkflowRefused(f"The workflow has {len(loaders)} models; LoRAs go into at most {MAX_MODELS} of them.")
    return [_model(wiring, loader, samplers, useful) for loader in loaders]


def _model(wiring: Wiring, loader: Origin, samplers: Sequence[str], useful: Mapping[str, None]) -> DiffusionModel:
    """The model that comes out of a loader. `useful` are all nodes that bring models to samplers."""
    starts = [link.node for link in wiring.fed_by(loader, "MODEL") if link.node in useful]
    way = frozenset(node_id for node_id in wiring.behind(starts, ("MODEL",)) if node_id in useful)
    side = noise_side(" ".join(model_names(wiring, loader[0])))
    return DiffusionModel(loader, way, _clip(wiring, loader, way, samplers), side)


def model_names(wiring: Wiring, node_id: str) -> list[str]:
    """The model files that a node names in its widgets."""
    return [value for value in wiring.inputs(node_id).values() if isinstance(value, str) and MODEL_FILE.search(value)]


def noise_side(name: str) -> str:
    """The part of the steps that a file is for if its name says so: "high" or "low" noise, else ""."""
    match = NOISE_SIDE.search(name)
    return match["side"].lower() if match else ""


def belongs(lora: Lora, model: DiffusionModel, models: Sequence[DiffusionModel]) -> bool:
    """Whether a LoRA goes into a model: one for a part of the steps goes into that part's model, if there is one."""
    side = noise_side(base_name(lora.file))
    return side in ("", model.side) or all(other.side != side for other in models)


def _clip(wiring: Wiring, loader: Origin, way: frozenset[str], samplers: Sequence[str]) -> Origin | None:
    """The output of a model's text encoder: the loader's own when it is used, else the only one behind the conditioning
    of its samplers, or None."""
    for link in wiring.out_of[loader[0]]:
        if link.type == "CLIP":
            return link.origin
    own_samplers = [node_id for node_id in samplers if node_id in way]
    clips: set[Origin] = set()
    for node_id in wiring.before(own_samplers, ("CONDITIONING", "CLIP", ""), barred=samplers):
        read = [link for link in wiring.into[node_id] if link.type == "CLIP"]
        clips.update(link.origin for link in read if not wiring.takes(link.source, "CLIP"))
    return clips.pop() if len(clips) == 1 else None


# Where behind such a model the new nodes go, and how they are written.


def _insert(
    loras: Sequence[Lora], result: dict[str, Any], wiring: Wiring, model: DiffusionModel, new_ids: Iterator[str]
) -> None:
    """Write a chain of LoRA nodes behind one model into `result`, and lead what used the model, and its text encoder if
    there is one, to the end of the chain."""
    start, start_clip = behind_loras(wiring, model)
    end, end_clip = start, start_clip
    for lora in loras:
        node_id = next(new_ids)
        result[node_id] = lora_node(lora, end, end_clip)
        end = (node_id, 0)
        end_clip = (node_id, 1) if end_clip else None
    # Links to what no sampler needs stay: such a node may read from the LoRA before it (GetICLoRAParameters).
    led_on = [(link, end) for link in wiring.fed_by(start, "MODEL") if link.node in model.way]
    if start_clip and end_clip:
        led_on += [(link, end_clip) for link in wiring.fed_by(start_clip, "CLIP")]
    for link, origin in led_on:
        node = result[link.node]
        result[link.node] = {**node, "inputs": {**node_inputs(node), link.input: [*origin]}}


def lora_node(lora: Lora, model: Origin, clip: Origin | None) -> dict[str, Any]:
    """The node that puts a LoRA into a model, and into a text encoder if there is one."""
    title = "LoRA: " + MODEL_FILE.sub("", base_name(lora.file))
    inputs: dict[str, Any] = {"lora_name": lora.file, "strength_model": lora.strength, "model": [*model]}
    if clip:
        inputs |= {"strength_clip": lora.strength, "clip": [*clip]}
    class_type = "LoraLoader" if clip else "LoraLoaderModelOnly"
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}


def behind_loras(wiring: Wiring, model: DiffusionModel) -> tuple[Origin, Origin | None]:
    """Where LoRAs go in: the outputs of the model and of its text encoder, moved on behind those LoRA nodes that all
    samplers of the model have before them. Both move together, or the new nodes could close a circle."""
    place = (model.loader, model.clip)
    passed: set[str] = set()
    while True:
        users = {link.node for link in wiring.fed_by(place[0], "MODEL") if link.node in model.way}
        node_id = users.pop() if len(users) == 1 else ""
        if not node_id or node_id in passed or not is_lora(wiring, node_id):
            return place
        passed.add(node_id)
        next_place = _behind_lora(wiring, model, node_id, place[1])
        if next_place is None:
            return place
        place = next_place


def _behind_lora(
    wiring: Wiring, model: DiffusionModel, node_id: str, clip: Origin | None
) -> tuple[Origin, Origin | None] | None:
    """The outputs of the model and of its text encoder `clip` behind a LoRA node that the model passes through, or None
    when it is not clear that both pass through it."""
    links_out = wiring.out_of[node_id]
    slots = {link.slot for link in links_out if link.type == "MODEL" and link.node in model.way}
    if len(slots) != 1:
        return None
    behind = (node_id, slots.pop())
    clips_in = {link.origin for link in wiring.into[node_id] if link.type == "CLIP"}
    if not clip or not clips_in:
        return behind, clip
    clip_slots = {link.slot for link in links_out if link.type == "CLIP"}
    clip_users = {link.node for link in wiring.fed_by(clip, "CLIP")}
    if clips_in != {clip} or len(clip_slots) != 1 or clip_users != {node_id}:
        return None
    return behind, (node_id, clip_slots.pop())


def is_lora(wiring: Wiring, node_id: str) -> bool:
    """Whether a node puts LoRAs into a model that passes through it."""
    return "lora" in wiring.class_type(node_id).lower() and not wiring.uses_diffusion_model(node_id)


def unused_ids(graph: Graph) -> Iterator[str]:
    """Ids for new nodes, without end: the numbers above the largest one that a node has or a link names."""
    used = {key for key in graph if isinstance(key, str)}
    for node in graph.values():
        used.update(value[0] for value in node_inputs(node).values() if is_link(value))
    # Longer numbers follow somebody's own scheme; a new id only must not be one of them.
    numbers = [int(key) for key in used if re.fullmatch(r"[0-9]{1,12}", key)]
    first = max(numbers, default=0) + 1
    return (str(number) for number in itertools.count(first) if str(number) not in used)
