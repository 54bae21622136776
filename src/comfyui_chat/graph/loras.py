"""graph/loras."""

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

MAX_STRENGTH = 100.0  # what LoraLoader itself takes; more is a slip
MAX_MODELS = 16  # of one graph that LoRAs go into; people use two
LORA_TAG = re.compile(r"<\s*lora\s*:(?P<inside>[^<>]*)>", re.IGNORECASE)
STRENGTH = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)


# Which of two models a file belongs to that share the steps between them (Wan 2.2), if its name says so.
NOISE_SIDE = re.compile(
    r"(?<![a-z])(?P<side>high|low)"
    r"(?:[-_. ]?noise|(?![a-z])(?![-_. ]?(?:quality|res|detail|poly|key|angle|contrast|def|fps|speed|rank|vram)))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Lora:
    """A LoRA to put into a graph: its exact name in the server's list, and how strongly it works."""

    file: str
    strength: float = 1.0


def parse_lora(text: str) -> tuple[str, float]:
    """Name and strength of "name", "name:0.8" or "<lora:name:0.8>"; a name may hold colons itself."""
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
    that are there already. Raises `WorkflowRefused` when it has no model that takes one."""
    if not loras:
        return dict(graph)
    wiring = Wiring.of(graph, definitions)
    models = main_models(wiring)
    names = node_numbers(graph)
    result = dict(graph)
    taken: set[tuple[str, int]] = set()  # text encoders that have them; of two models that share one, one brings it
    for model in sorted(models, key=lambda model: model.clip is None or model.clip[0] != model.loader[0]):
        chosen = [lora for lora in loras if belongs(lora, model, models)]
        clip = None if model.clip in taken else model.clip
        if not chosen:
            continue
        if clip:
            taken.add(clip)
        _put(result, wiring, model, clip, chosen, names)
    return result


def _put(
    result: dict[str, Any],
    wiring: Wiring,
    model: "DiffusionModel",
    clip: tuple[str, int] | None,
    loras: Sequence[Lora],
    names: Iterator[str],
) -> None:
    """Write a chain of LoRA nodes behind one model into `result`."""
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
    for edge in wiring.fed_by(start, "MODEL"):
        if edge.node in model.way:
            moved.setdefault(edge.node, {})[edge.input] = [*last]
    if clip and last_clip:
        for edge in wiring.fed_by(clip, "CLIP"):
            moved.setdefault(edge.node, {})[edge.input] = [*last_clip]
    for node_id, inputs in moved.items():
        result[node_id] = {**result[node_id], "inputs": {**node_inputs(result[node_id]), **inputs}}


@dataclass(frozen=True)
class DiffusionModel:
    """A model of a graph: the output that it is loaded by, the samplers that use it, all nodes on the way to them, and
    the output of the one text encoder that writes their conditioning, if it is one."""

    loader: tuple[str, int]
    samplers: tuple[str, ...]
    way: frozenset[str]
    clip: tuple[str, int] | None
    side: str = ""  # "high" or "low" when the name of its file says so
    refiner: bool = False


def main_models(wiring: Wiring) -> list[DiffusionModel]:
    """The models that a LoRA goes to: all that feed samplers, but a refiner only when nothing else does."""
    samplers = [node_id for node_id in wiring.nodes if wiring.is_sampler(node_id)]
    useful = wiring.before(samplers, ("MODEL",))
    loaders = dict.fromkeys(
        edge.origin
        for node_id in wiring.nodes
        if node_id in useful and not wiring.takes(node_id, "MODEL")
        for edge in wiring.out_of[node_id]
        if edge.type == "MODEL" and edge.node in useful
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
    starts = [edge.node for edge in wiring.fed_by(loader, "MODEL") if edge.node in useful]
    way = frozenset(node_id for node_id in wiring.behind(starts, ("MODEL",)) if node_id in useful)
    own = tuple(node_id for node_id in samplers if node_id in way)
    side = noise_side(" ".join(model_names(wiring, loader[0])))
    return DiffusionModel(
        loader, own, way, _clip(wiring, loader, own, samplers), side, not side and _refines(wiring, loader, own)
    )


def model_names(wiring: Wiring, node_id: str) -> list[str]:
    """The model files that a node names."""
    return [value for value in wiring.inputs(node_id).values() if isinstance(value, str) and MODEL_FILE.search(value)]


def noise_side(name: str) -> str:
    """ "high" or "low" when a file's name says for which part of the steps it is, else ""."""
    found = NOISE_SIDE.search(name)
    return found["side"].lower() if found else ""


def belongs(lora: Lora, model: DiffusionModel, models: Sequence[DiffusionModel]) -> bool:
    """Whether a LoRA goes to a model: one for a side of the steps goes to the model of that side, if there is one."""
    side = noise_side(base_name(lora.file))
    return not side or side == model.side or all(other.side != side for other in models)


def _clip(
    wiring: Wiring, loader: tuple[str, int], own: Sequence[str], samplers: Sequence[str]
) -> tuple[str, int] | None:
    """The text encoder of a model: the loader's own when it is used, else the only one behind its conditioning."""
    beside = [edge.origin for edge in wiring.out_of[loader[0]] if edge.type == "CLIP"]
    if beside:
        return beside[0]
    before = wiring.before(own, ("CONDITIONING", "CLIP", ""), barred=samplers)
    found = {
        edge.origin
        for node_id in before
        for edge in wiring.into[node_id]
        if edge.type == "CLIP" and not wiring.takes(edge.source, "CLIP")
    }
    return found.pop() if len(found) == 1 else None


def _refines(wiring: Wiring, loader: tuple[str, int], own: Sequence[str]) -> bool:
    """Whether a model only finishes what another one began, as SDXL's refiner does: its name, its text encoder or its
    samplers say so."""
    values = wiring.inputs(loader[0]).values()
    if any("refiner" in value.lower() for value in values if isinstance(value, str)):
        return True
    encoders = wiring.behind([loader[0]], ("CLIP",))
    if any(wiring.class_type(node_id) == "CLIPTextEncodeSDXLRefiner" for node_id in encoders):
        return True
    return any(edge.type == "CLIP" for edge in wiring.out_of[loader[0]]) and all(
        wiring.inputs(node_id).get("add_noise") == "disable" and _continues(wiring, node_id, own) for node_id in own
    )


def _continues(wiring: Wiring, node_id: str, own: Sequence[str]) -> bool:
    """Whether a sampler starts from the noise that a sampler of another model leaves over."""
    return any(
        edge.type == "LATENT"
        and edge.source not in own
        and wiring.inputs(edge.source).get("return_with_leftover_noise") == "enable"
        for edge in wiring.into[node_id]
    )


def behind_loras(
    wiring: Wiring, model: DiffusionModel, clip: tuple[str, int] | None
) -> tuple[tuple[str, int], tuple[str, int] | None]:
    """Where LoRAs go in: the model's output and the text encoder's, moved behind those LoRA nodes that all samplers of
    the model have before them. Both move together, or the new nodes would stand in a circle."""
    point, seen = model.loader, set()
    while True:
        users = {edge.node for edge in wiring.fed_by(point, "MODEL") if edge.node in model.way}
        node_id = users.pop() if len(users) == 1 else ""
        if not node_id or node_id in seen or not is_lora(wiring, node_id):
            return point, clip
        seen.add(node_id)
        made = {edge.slot for edge in wiring.out_of[node_id] if edge.type == "MODEL" and edge.node in model.way}
        texts = {edge.origin for edge in wiring.into[node_id] if edge.type == "CLIP"}
        if len(made) != 1:
            return point, clip
        if clip and texts:
            slots = {edge.slot for edge in wiring.out_of[node_id] if edge.type == "CLIP"}
            if texts != {clip} or len(slots) != 1 or {edge.node for edge in wiring.fed_by(clip, "CLIP")} != {node_id}:
                return point, clip
            clip = (node_id, slots.pop())
        point = (node_id, made.pop())


def is_lora(wiring: Wiring, node_id: str) -> bool:
    """Whether a node puts LoRAs into a model that passes through it."""
    return "lora" in wiring.class_type(node_id).lower() and not wiring.is_sampler(node_id)


def node_numbers(graph: Graph) -> Iterator[str]:
    """Ids for new nodes: the numbers above the largest that the graph uses, or that a link to nothing names."""
    taken = {link[0] for node in graph.values() for link in node_inputs(node).values() if is_link(link)}
    taken.update(key for key in graph if isinstance(key, str))
    # Longer numbers are somebody's own scheme; they only must not be met again.
    used = [int(key) for key in taken if re.fullmatch(r"[0-9]{1,12}", key)]
    return (str(number) for number in itertools.count(max(used, default=0) + 1) if str(number) not in taken)
