"""Put LoRAs into a graph, right behind the model that its samplers use.

`parse_lora` reads what people write, "detail:0.8" or "<lora:detail:0.8>". `with_loras` adds a node for each `Lora`,
and what used the model then uses the last of them:

    {"4": {"class_type": "CheckpointLoaderSimple", ...},
     "3": {"class_type": "KSampler", "inputs": {"model": ["11", 0], ...}},                    # was ["4", 0]
     "11": {"class_type": "LoraLoader", "inputs": {"lora_name": "detail.safetensors", "strength_model": 0.8,
                                                   "strength_clip": 0.8, "model": ["4", 0], "clip": ["4", 1]}}}

Where they go is told by the graph's links (see graph/links). `main_models` finds the models that feed samplers, each
with its text encoder. A refiner takes no LoRA; of two models that share the steps (Wan 2.2: high and low noise) a
LoRA goes into the one that its file's name speaks of, else into both. `behind_loras` finds the place behind the LoRAs
that are there already and before everything else that changes the model.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import BadArgument, WorkflowRefused
from ..names import MODEL_FILE, base_name, shortened
from .definitions import Definitions
from .links import Wiring
from .nodes import Graph, is_link, node_inputs

LORA_LOADERS = ("LoraLoader", "LoraLoaderModelOnly")  # their definitions list the LoRAs that are installed


@dataclass(frozen=True)
class Lora:
    """A LoRA to put into a graph: its exact name in the server's list, and its strength, 1.0 as it was trained."""

    file: str
    strength: float = 1.0


# What people write for a LoRA.
MAX_STRENGTH = 100.0  # up or down, as LoraLoader itself takes it; more is a slip
LORA_TAG = re.compile(r"<\s*lora\s*:(?P<inside>[^<>]*)>", re.IGNORECASE)
STRENGTH = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)


def parse_lora(text: str) -> tuple[str, float]:
    """The name and strength in "name", "name:0.8" or "<lora:name:0.8>"; a name may hold colons itself.

    The strength is 1 when it is left out. Raises `BadArgument` for "nan" or one beyond `MAX_STRENGTH`, and where no
    name is left.
    """
    tag = LORA_TAG.fullmatch(text.strip())
    name, strength = (tag["inside"] if tag else text).strip(), 1.0
    # Some programs write a second strength behind the first, for the text encoder; the first one counts.
    for _ in range(2):
        front, colon, last = name.rpartition(":")
        if not colon or not STRENGTH.fullmatch(last.strip()):
            break
        name, strength = front.strip(), float(last)
        if not abs(strength) <= MAX_STRENGTH:
            raise BadArgument(
                f'"{shortened(last.strip())}" is no strength for the LoRA "{shortened(name)}".',
                "Give a number such as 0.8; most LoRAs work between 0.5 and 1.",
            )
    if not name:
        raise BadArgument(f'"{shortened(text)}" names no LoRA.', 'Write "name" or "name:0.8".')
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
    names = node_numbers(graph)
    result = dict(graph)
    taken: set[tuple[str, int]] = set()  # text encoders that have the LoRAs already
    for model in sorted(models, key=lambda model: model.clip is None or model.clip[0] != model.loader[0]):
        chosen = [lora for lora in loras if belongs(lora, model, models)]
        clip = None if model.clip in taken else model.clip
        if not chosen:
            continue
        if clip:
            taken.add(clip)
        _put(result, wiring, model, clip, chosen, names)
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

    loader: tuple[str, int]  # the output that it comes out of: node id and slot
    samplers: tuple[str, ...]
    way: frozenset[str]  # all nodes between the loader and the samplers, these included
    clip: tuple[str, int] | None  # the output of the one text encoder behind their conditioning; None for several
    side: str = ""  # "high" or "low" when the name of its file says so
    refiner: bool = False  # it only finishes what another model began


def main_models(wiring: Wiring) -> list[DiffusionModel]:
    """The models that LoRAs go into: all that feed samplers, but a refiner only when there is no other. Raises
    `WorkflowRefused` for none, and for more than `MAX_MODELS`."""
    samplers = [node_id for node_id in wiring.nodes if wiring.uses_diffusion_model(node_id)]
    useful = wiring.before(samplers, ("MODEL",))
    loaders = dict.fromkeys(
        link.origin
        for node_id in wiring.nodes
        if node_id in useful and not wiring.takes(node_id, "MODEL")
        for link in wiring.out_of[node_id]
        if link.type == "MODEL" and link.node in useful
    )
    if not loaders:
        raise WorkflowRefused(
            "The workflow has no model that takes a LoRA.",
            "Call again without LoRAs, or with a workflow that loads a diffusion model.",
        )
    if len(loaders) > MAX_MODELS:
        raise WorkflowRefused(f"The workflow has {len(loaders)} models; LoRAs go into at most {MAX_MODELS} of them.")
    models = [_model(wiring, loader, samplers, useful) for loader in loaders]
    return [model for model in models if not model.refiner] or models


def _model(
    wiring: Wiring, loader: tuple[str, int], samplers: Sequence[str], useful: Mapping[str, None]
) -> DiffusionModel:
    """The model that comes out of a loader. `useful` are all nodes that bring models to samplers."""
    starts = [link.node for link in wiring.fed_by(loader, "MODEL") if link.node in useful]
    way = frozenset(node_id for node_id in wiring.behind(starts, ("MODEL",)) if node_id in useful)
    own = tuple(node_id for node_id in samplers if node_id in way)
    side = noise_side(" ".join(model_names(wiring, loader[0])))
    return DiffusionModel(
        loader, own, way, _clip(wiring, loader, own, samplers), side, not side and _refines(wiring, loader, own)
    )


def model_names(wiring: Wiring, node_id: str) -> list[str]:
    """The model files that a node names in its widgets."""
    return [value for value in wiring.inputs(node_id).values() if isinstance(value, str) and MODEL_FILE.search(value)]


def noise_side(name: str) -> str:
    """The part of the steps that a file is for if its name says so: "high" or "low" noise, else ""."""
    found = NOISE_SIDE.search(name)
    return found["side"].lower() if found else ""


def belongs(lora: Lora, model: DiffusionModel, models: Sequence[DiffusionModel]) -> bool:
    """Whether a LoRA goes into a model: one for a part of the steps goes into that part's model, if there is one."""
    side = noise_side(base_name(lora.file))
    return not side or side == model.side or all(other.side != side for other in models)


def _clip(
    wiring: Wiring, loader: tuple[str, int], own: Sequence[str], samplers: Sequence[str]
) -> tuple[str, int] | None:
    """The output of a model's text encoder: the loader's own when it is used, else the only one behind the samplers'
    conditioning, or None."""
    beside = [link.origin for link in wiring.out_of[loader[0]] if link.type == "CLIP"]
    if beside:
        return beside[0]
    before = wiring.before(own, ("CONDITIONING", "CLIP", ""), barred=samplers)
    found = {
        link.origin
        for node_id in before
        for link in wiring.into[node_id]
        if link.type == "CLIP" and not wiring.takes(link.source, "CLIP")
    }
    return found.pop() if len(found) == 1 else None


def _refines(wiring: Wiring, loader: tuple[str, int], own: Sequence[str]) -> bool:
    """Whether a model only finishes what another one began, as SDXL's refiner does. Its file's name, its text encoder
    or its samplers say so."""
    values = wiring.inputs(loader[0]).values()
    if any("refiner" in value.lower() for value in values if isinstance(value, str)):
        return True
    encoders = wiring.behind([loader[0]], ("CLIP",))
    if any(wiring.class_type(node_id) == "CLIPTextEncodeSDXLRefiner" for node_id in encoders):
        return True
    return any(link.type == "CLIP" for link in wiring.out_of[loader[0]]) and all(
        wiring.inputs(node_id).get("add_noise") == "disable" and _continues(wiring, node_id, own) for node_id in own
    )


def _continues(wiring: Wiring, node_id: str, own: Sequence[str]) -> bool:
    """Whether a sampler starts from the noise that a sampler of another model leaves over."""
    return any(
        link.type == "LATENT"
        and link.source not in own
        and wiring.inputs(link.source).get("return_with_leftover_noise") == "enable"
        for link in wiring.into[node_id]
    )


# Where in front of such a model the new nodes go, and how they are written.


def _put(
    result: dict[str, Any],
    wiring: Wiring,
    model: "DiffusionModel",
    clip: tuple[str, int] | None,
    loras: Sequence[Lora],
    names: Iterator[str],
) -> None:
    """Write a chain of LoRA nodes behind one model into `result`, and lead what used the model, and the text encoder
    `clip` if there is one, to the end of the chain."""
    start, clip = behind_loras(wiring, model, clip)
    last, last_clip = start, clip
    for lora in loras:
        node_id = next(names)
        inputs: dict[str, Any] = {"lora_name": lora.file, "strength_model": lora.strength, "model": [*last]}
        last = (node_id, 0)
        if last_clip:
            inputs |= {"strength_clip": lora.strength, "clip": [*last_clip]}
            last_clip = (node_id, 1)
        kind = "LoraLoader" if last_clip else "LoraLoaderModelOnly"
        name = MODEL_FILE.sub("", base_name(lora.file))
        result[node_id] = {"class_type": kind, "inputs": inputs, "_meta": {"title": f"LoRA: {name}"}}
    # Links to what no sampler needs stay: such a node may read from the LoRA before it (GetICLoRAParameters).
    moved: dict[str, dict[str, Any]] = {}
    for link in wiring.fed_by(start, "MODEL"):
        if link.node in model.way:
            moved.setdefault(link.node, {})[link.input] = [*last]
    if clip and last_clip:
        for link in wiring.fed_by(clip, "CLIP"):
            moved.setdefault(link.node, {})[link.input] = [*last_clip]
    for node_id, inputs in moved.items():
        result[node_id] = {**result[node_id], "inputs": {**node_inputs(result[node_id]), **inputs}}


def behind_loras(
    wiring: Wiring, model: DiffusionModel, clip: tuple[str, int] | None
) -> tuple[tuple[str, int], tuple[str, int] | None]:
    """Where LoRAs go in: the outputs of the model and of its text encoder, moved on behind those LoRA nodes that all
    samplers of the model have before them. Both move together, or the new nodes could close a circle."""
    point, seen = model.loader, set()
    while True:
        users = {link.node for link in wiring.fed_by(point, "MODEL") if link.node in model.way}
        node_id = users.pop() if len(users) == 1 else ""
        if not node_id or node_id in seen or not is_lora(wiring, node_id):
            return point, clip
        seen.add(node_id)
        made = {link.slot for link in wiring.out_of[node_id] if link.type == "MODEL" and link.node in model.way}
        texts = {link.origin for link in wiring.into[node_id] if link.type == "CLIP"}
        if len(made) != 1:
            return point, clip
        if clip and texts:
            slots = {link.slot for link in wiring.out_of[node_id] if link.type == "CLIP"}
            if texts != {clip} or len(slots) != 1 or {link.node for link in wiring.fed_by(clip, "CLIP")} != {node_id}:
                return point, clip
            clip = (node_id, slots.pop())
        point = (node_id, made.pop())


def is_lora(wiring: Wiring, node_id: str) -> bool:
    """Whether a node puts LoRAs into a model that passes through it."""
    return "lora" in wiring.class_type(node_id).lower() and not wiring.uses_diffusion_model(node_id)


def node_numbers(graph: Graph) -> Iterator[str]:
    """Ids for new nodes, without end: the numbers above the largest one that a node has or a link names."""
    taken = {link[0] for node in graph.values() for link in node_inputs(node).values() if is_link(link)}
    taken.update(key for key in graph if isinstance(key, str))
    # Longer numbers follow somebody's own scheme; a new id only must not be one of them.
    used = [int(key) for key in taken if re.fullmatch(r"[0-9]{1,12}", key)]
    return (str(number) for number in itertools.count(max(used, default=0) + 1) if str(number) not in taken)
