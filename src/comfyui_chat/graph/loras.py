"""Put LoRAs into a graph, right behind the model that its samplers use.

`read_loras` reads what people write, `parse_lora` one of them, "detail:0.8" or "<lora:detail:0.8>".
`with_loras` adds a node for each `Lora`, and what used the model then uses the last of them:

    {"4": {"class_type": "CheckpointLoaderSimple", ...},
     "3": {"class_type": "KSampler", "inputs": {"model": ["11", 0], ...}},                    # was ["4", 0]
     "11": {"class_type": "LoraLoader", "inputs": {"lora_name": "detail.safetensors", "strength_model": 0.8,
                                                   "strength_clip": 0.8, "model": ["4", 0], "clip": ["4", 1]}}}

Where they go is told by the graph's links (see graph/links). `main_models` finds the models that
feed samplers, each with its text encoder. Of two models that share the steps (Wan 2.2: high and low
noise) a LoRA goes into the one that its file's name speaks of, else into both. `behind_loras` finds
the place behind the LoRAs that are there already and before everything else that changes the model.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ..bounds import MOST_ARGUMENT_DEPTH, MOST_ARGUMENT_ITEMS
from ..counts import read_number
from ..errors import BadArgument, NodeNotInstalled, WorkflowRefused
from ..names import MODEL_FILE, base_name, shortened
from ..prompt_tags import LORA_TAG
from ..spelling import parsed_json
from ..values import Argument, is_given, is_number
from .definitions import Definitions
from .links import Origin, TypedLink, Wiring
from .nodes import Graph, is_link, node_inputs

# their definitions list the LoRAs that are installed
LORA_LOADERS = ("LoraLoader", "LoraLoaderModelOnly")
# Models of Nunchaku pass over what these put into them, without a word. What loads one -> what puts
# a LoRA into it.
NUNCHAKU = re.compile(r"^Nunchaku\w*Loader", re.IGNORECASE)
NUNCHAKU_LORA_LOADERS: Mapping[str, str] = {
    "NunchakuFluxDiTLoader": "NunchakuFluxLoraLoader",
    "NunchakuQwenImageDiTLoader": "NunchakuQwenImageLoraLoader",
}


@dataclass(frozen=True)
class Lora:
    """A LoRA to put into a graph: its exact name in the server's list, and its strength, 1.0 as it
    was trained.
    """

    file: str
    strength: float = 1.0


# What people write for a LoRA: a name, perhaps with a strength, perhaps as the tag that other
# programs use.
MAX_STRENGTH = 100.0  # up or down, as LoraLoader itself takes it; more is a typing error
# A strength behind a name without a colon: "detail 0.8", "detail (0.8)", "detail=1".
BEHIND_NAME = re.compile(
    r"(?P<name>[^@=()]*[^@=()\s])\s?(?:\s(?P<part>0?\.\d{1,3})|[@=(]\s?(?P<number>\d?\.?\d{1,3})\)?)"
)
PERCENT_STRENGTH = re.compile(r"(\d{1,3})\s?%")
STRENGTH = re.compile(
    r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE
)


def parse_lora(text: str) -> tuple[str, float]:
    """The name and strength in "name", "name:0.8" or "<lora:name:0.8>"; a name may hold colons
    itself.

    The strength is 1 when it is left out. Raises `BadArgument` for "nan" or one beyond
    `MAX_STRENGTH`, and where no name is left.
    """
    name = text.strip()
    tag = LORA_TAG.fullmatch(name)
    if tag:
        name = tag["inside"].strip()
    strength = 1.0
    # Some programs write a second strength behind the first, for the text encoder; the first one
    # counts.
    for _ in range(2):
        front, colon, last = name.rpartition(":")
        percent = PERCENT_STRENGTH.fullmatch(last.strip())
        if not colon or not (percent or STRENGTH.fullmatch(last.strip())):
            break
        name = front.strip()
        strength = float(percent[1]) / 100 if percent else float(last)
        if not abs(strength) <= MAX_STRENGTH:
            raise BadArgument(
                f'"{shortened(last.strip())}" is not a strength for the LoRA "{shortened(name)}".',
                "Give a number such as 0.8; most LoRAs work between 0.5 and 1.",
            )
    behind = BEHIND_NAME.fullmatch(name)
    if behind and name == text.strip():
        name, strength = behind["name"].strip(), float(behind["part"] or behind["number"])
    if not name:
        raise BadArgument(
            f'"{shortened(text)}" does not name a LoRA.', 'Write "name" or "name:0.8".'
        )
    return name, strength


# Under which keys an object says a LoRA's name and strength.
NAME_KEYS = ("name", "lora", "lora_name", "file", "filename", "path", "model", "id")
STRENGTH_KEYS = ("strength", "weight", "strength_model", "scale", "multiplier", "value")


def read_loras(wanted: Argument) -> list[tuple[str, float]]:
    """The names and strengths of the LoRAs that an argument asks for, in any shape:

        "a, b:0.8"      ["a", "b:80%"]      ["a", 0.8]      ["a", "b", 0.5, 0.8]      [["a", 0.8]]      {"a": 0.8}
        '{"a": 0.8}'      [{"name": "a", "strength": 0.8}]      {"loras": ["a", "b"], "strength": 0.8}

    Raises `BadArgument`.
    """
    found: list[tuple[str, float]] = []
    _collect_loras(wanted, wanted.value, found, 0)
    if len(found) > MOST_ARGUMENT_ITEMS:
        raise _no_loras(wanted)
    return found


def _collect_loras(
    wanted: Argument, value: Any, found: list[tuple[str, float]], depth: int
) -> None:
    """Add the LoRAs that a value names to those that were `found` before it. A number is the
    strength of the last.
    """
    if depth > MOST_ARGUMENT_DEPTH or len(found) > MOST_ARGUMENT_ITEMS:
        raise _no_loras(wanted)
    value = parsed_json(value)
    if isinstance(value, str):
        for text in re.split(r"[,;\n]", value):
            if found and STRENGTH.fullmatch(text.strip()):
                found[-1] = parse_lora(f"{found[-1][0]}:{text.strip()}")
            elif is_given(text):
                found.append(parse_lora(text))
    elif isinstance(value, (list, tuple)):
        for item in _strengths_beside_names(list(value)):
            _collect_loras(wanted, item, found, depth + 1)
    elif isinstance(value, Mapping):
        _collect_from_object(wanted, value, found, depth)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and found:
        found[-1] = parse_lora(f"{found[-1][0]}:{value}")
    elif value is not None:
        raise _no_loras(wanted)


def _strengths_beside_names(items: list[Any]) -> list[Any]:
    """The items of a list, of which several names with as many numbers behind them become pairs."""
    half = len(items) // 2
    names, numbers = items[:half], items[half:]
    are_apart = all(isinstance(name, str) for name in names) and all(map(is_number, numbers))
    if half < 2 or len(names) != len(numbers) or not are_apart:
        return items
    return [item for pair in zip(names, numbers, strict=True) for item in pair]


def _collect_from_object(
    wanted: Argument, value: Mapping[str, Any], found: list[tuple[str, float]], depth: int
) -> None:
    """Add the LoRA that an object names, or those of which it gives the strengths by their
    names.
    """
    if value.get("on") is False or value.get("enabled") is False:
        return
    names = [value[key] for key in NAME_KEYS if isinstance(value.get(key), str)]
    strengths = [value[key] for key in STRENGTH_KEYS if value.get(key) is not None]
    strength = strengths[0] if strengths else None
    if names:
        found.append(_lora_with_strength(wanted, names[0], strength))
    elif isinstance(value.get("loras"), (list, str, dict)):
        known = len(found)
        _collect_loras(wanted, value["loras"], found, depth + 1)
        # of those that have none of their own
        common = None if strength is None else read_number(strength)
        if common is not None:
            found[known:] = [
                parse_lora(f"{name}:{common}") if own == 1 else (name, own)
                for name, own in found[known:]
            ]
    else:
        found += [_lora_with_strength(wanted, str(name), own) for name, own in value.items()]


def _lora_with_strength(wanted: Argument, name: str, strength: Any) -> tuple[str, float]:
    """A LoRA with the strength that stands beside its name: a number, an object that holds one,
    True, or None.
    """
    if isinstance(strength, Mapping):
        strength = next((strength[key] for key in STRENGTH_KEYS if key in strength), None)
    if strength is None:
        return parse_lora(name)
    number = 1.0 if strength is True else read_number(strength)
    if number is None:
        raise _no_loras(wanted)
    return parse_lora(f"{name}:{number}")


def _no_loras(wanted: Argument) -> BadArgument:
    hint = 'Give names such as ["name", "other:0.8"].'
    return BadArgument(f"{wanted.name} is {shortened(wanted.value)}, which names no LoRA.", hint)


def with_loras(graph: Graph, loras: Sequence[Lora], definitions: Definitions) -> dict[str, Any]:
    """The graph with these LoRAs in every main diffusion model, in this order, right behind the
    loader and the LoRAs that are there already.

    Raises `WorkflowRefused` when the graph has no model that takes a LoRA, or more than
    `MAX_MODELS`, and `NodeNotInstalled` for a model of Nunchaku without the node that puts a LoRA
    into it.
    """
    if not loras:
        return dict(graph)
    wiring = Wiring.of(graph, definitions)
    models = main_models(wiring)
    new_ids = unused_ids(graph)
    result = dict(graph)
    # Of models that share a text encoder only one takes it along, or it would have each LoRA twice.
    clips_done: set[Origin] = set()
    for model in sorted(models, key=lambda model: not model.has_own_clip):
        own_loras = [lora for lora in loras if belongs(lora, model, models)]
        if not own_loras:
            continue
        if model.clip in clips_done:
            model = replace(model, clip=None)
        if model.clip:
            clips_done.add(model.clip)
        _insert(own_loras, result, wiring, model, new_ids)
    return result


# Which models of a graph LoRAs go into: those that samplers use, or the one of two that the LoRA
# was made for.
MAX_MODELS = 16  # in one graph; people use two

# Which of two models a file belongs to that share the steps between them (Wan 2.2), if its name
# says so.
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
    # the output of the one text encoder behind their conditioning; None for several
    clip: Origin | None
    side: str = ""  # "high" or "low" when the name of its file says so

    @property
    def has_own_clip(self) -> bool:
        """Whether its text encoder comes out of the same loader."""
        return self.clip is not None and self.clip[0] == self.loader[0]


def main_models(wiring: Wiring) -> list[DiffusionModel]:
    """The models that LoRAs go into: all that feed samplers. Raises `WorkflowRefused` for none, and
    for more than `MAX_MODELS`.
    """
    samplers = [node_id for node_id in wiring.nodes if wiring.uses_diffusion_model(node_id)]
    useful = wiring.before(samplers, ("MODEL",))
    loaders = _loaders(wiring, useful)
    if not loaders:
        raise WorkflowRefused(
            "The workflow has no model that takes a LoRA.",
            "Call again without LoRAs, or with a workflow that loads a diffusion model.",
        )
    if len(loaders) > MAX_MODELS:
        raise WorkflowRefused(
            f"The workflow has {len(loaders)} models; LoRAs go into at most {MAX_MODELS} of them."
        )
    return [_model(wiring, loader, samplers, useful) for loader in loaders]


def _loaders(wiring: Wiring, useful: Mapping[str, None]) -> list[Origin]:
    """The outputs where models begin. `useful` are all nodes that bring models to samplers."""
    loaders: dict[Origin, None] = {}
    for node_id in wiring.nodes:
        if node_id not in useful or wiring.takes(node_id, "MODEL"):
            continue
        for link in wiring.out_of[node_id]:
            if link.type == "MODEL" and link.node in useful:
                loaders[link.origin] = None
    return list(loaders)


def _model(
    wiring: Wiring, loader: Origin, samplers: Sequence[str], useful: Mapping[str, None]
) -> DiffusionModel:
    """The model that comes out of a loader. `useful` are all nodes that bring models to
    samplers.
    """
    starts = [link.node for link in wiring.fed_by(loader, "MODEL") if link.node in useful]
    reached = wiring.behind(starts, ("MODEL",))
    way = frozenset(node_id for node_id in reached if node_id in useful)
    clip = _clip(wiring, loader, way, samplers)
    file_names = model_names(wiring, loader[0])
    return DiffusionModel(loader, way, clip, noise_side(" ".join(file_names)))


def model_names(wiring: Wiring, node_id: str) -> list[str]:
    """The model files that a node names in its widgets."""
    texts = [value for value in wiring.inputs(node_id).values() if isinstance(value, str)]
    return [text for text in texts if MODEL_FILE.search(text)]


def noise_side(name: str) -> str:
    """The part of the steps that a file is for if its name says so: "high" or "low" noise, else
    "".
    """
    match = NOISE_SIDE.search(name)
    if match is None:
        return ""
    return match["side"].lower()


def belongs(lora: Lora, model: DiffusionModel, models: Sequence[DiffusionModel]) -> bool:
    """Whether a LoRA goes into a model: one for a part of the steps goes into that part's model, if
    there is one.
    """
    side = noise_side(base_name(lora.file))
    sides = {other.side for other in models}
    return side in ("", model.side) or side not in sides


def _clip(
    wiring: Wiring, loader: Origin, way: frozenset[str], samplers: Sequence[str]
) -> Origin | None:
    """The output of a model's text encoder: the loader's own when it is used, else the only one
    behind the conditioning of its samplers, or None.
    """
    for link in wiring.out_of[loader[0]]:
        if link.type == "CLIP":
            return link.origin
    own_samplers = [node_id for node_id in samplers if node_id in way]
    conditioning = wiring.before(own_samplers, ("CONDITIONING", "CLIP", ""), barred=samplers)
    clips: set[Origin] = set()
    for node_id in conditioning:
        for link in wiring.into[node_id]:
            if link.type == "CLIP" and not wiring.takes(link.source, "CLIP"):
                clips.add(link.origin)
    return single(clips)


# Where behind such a model the new nodes go, and how they are written.

# the outputs of a model and of its text encoder, if it has one
ModelAndClip = tuple[Origin, Origin | None]
Item = TypeVar("Item")


def _insert(
    loras: Sequence[Lora],
    result: dict[str, Any],
    wiring: Wiring,
    model: DiffusionModel,
    new_ids: Iterator[str],
) -> None:
    """Write a chain of LoRA nodes behind one model into `result`, and lead what used the model, and
    its text encoder if there is one, to the end of the chain.
    """
    start, start_clip = behind_loras(wiring, model)
    own_loader = own_lora_loader(wiring, model)
    if own_loader:
        start_clip = None
    end, end_clip = start, start_clip
    for lora in loras:
        node_id = next(new_ids)
        result[node_id] = (
            nunchaku_node(own_loader, lora, end) if own_loader else lora_node(lora, end, end_clip)
        )
        end = (node_id, 0)
        if end_clip:
            end_clip = (node_id, 1)
    for link in wiring.fed_by(start, "MODEL"):
        # Links to what no sampler needs stay: such a node may read from the LoRA before it
        # (GetICLoRAParameters).
        if link.node in model.way:
            _lead(result, link, end)
    if start_clip and end_clip:
        for link in wiring.fed_by(start_clip, "CLIP"):
            _lead(result, link, end_clip)


def _lead(result: dict[str, Any], link: TypedLink, origin: Origin) -> None:
    """Have the input that a link feeds read from another output."""
    node = result[link.node]
    inputs = {**node_inputs(node), link.input: [*origin]}
    result[link.node] = {**node, "inputs": inputs}


def lora_node(lora: Lora, model: Origin, clip: Origin | None) -> dict[str, Any]:
    """The node that puts a LoRA into a model, and into a text encoder if there is one."""
    class_type = "LoraLoaderModelOnly"
    inputs: dict[str, Any] = {
        "lora_name": lora.file,
        "strength_model": lora.strength,
        "model": [*model],
    }
    if clip:
        class_type = "LoraLoader"
        inputs["strength_clip"] = lora.strength
        inputs["clip"] = [*clip]
    name = MODEL_FILE.sub("", base_name(lora.file))
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": f"LoRA: {name}"}}


def own_lora_loader(wiring: Wiring, model: DiffusionModel) -> str:
    """The class that puts LoRAs into a model of Nunchaku; "" for any other model. Raises
    `NodeNotInstalled`.
    """
    loader = wiring.class_type(model.loader[0])
    if not NUNCHAKU.search(loader):
        return ""
    own = NUNCHAKU_LORA_LOADERS.get(loader, "")
    if own not in wiring.definitions:
        files = " ".join(model_names(wiring, model.loader[0])) or loader
        raise NodeNotInstalled(
            f'This ComfyUI has no node that puts a LoRA into "{shortened(files)}", which Nunchaku loads.',
            "Call again without LoRAs, or with another model.",
        )
    return own


def nunchaku_node(class_type: str, lora: Lora, model: Origin) -> dict[str, Any]:
    """The node that puts a LoRA into a model of Nunchaku; its text encoder stays as it is."""
    inputs = {"lora_name": lora.file, "lora_strength": lora.strength, "model": [*model]}
    name = MODEL_FILE.sub("", base_name(lora.file))
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": f"LoRA: {name}"}}


def behind_loras(wiring: Wiring, model: DiffusionModel) -> ModelAndClip:
    """Where LoRAs go in: the outputs of the model and of its text encoder, moved on behind those
    LoRA nodes that all samplers of the model have before them. Both move together, or the new nodes
    could close a circle.
    """
    place: ModelAndClip = (model.loader, model.clip)
    passed: set[str] = set()
    while True:
        model_output, clip = place
        users = {
            link.node for link in wiring.fed_by(model_output, "MODEL") if link.node in model.way
        }
        node_id = single(users)
        if node_id is None or node_id in passed or not is_lora(wiring, node_id):
            return place
        passed.add(node_id)
        next_place = _behind_lora(wiring, model, node_id, clip)
        if next_place is None:
            return place
        place = next_place


def _behind_lora(
    wiring: Wiring, model: DiffusionModel, node_id: str, clip: Origin | None
) -> ModelAndClip | None:
    """The outputs of the model and of its text encoder `clip` behind a LoRA node that the model
    passes through, or None when it is not clear that both pass through it.
    """
    slots = {
        link.slot
        for link in wiring.out_of[node_id]
        if link.type == "MODEL" and link.node in model.way
    }
    slot = single(slots)
    if slot is None:
        return None
    if not clip or not wiring.takes(node_id, "CLIP"):
        return (node_id, slot), clip
    clip_behind = _clip_behind_lora(wiring, node_id, clip)
    if clip_behind is None:
        return None
    return (node_id, slot), clip_behind


def _clip_behind_lora(wiring: Wiring, node_id: str, clip: Origin) -> Origin | None:
    """The output of a LoRA node that passes on the text encoder `clip`; None unless this node alone
    reads it.
    """
    clips_read = {link.origin for link in wiring.into[node_id] if link.type == "CLIP"}
    readers = {link.node for link in wiring.fed_by(clip, "CLIP")}
    if clips_read != {clip} or readers != {node_id}:
        return None
    return single({link.origin for link in wiring.out_of[node_id] if link.type == "CLIP"})


def single(values: set[Item]) -> Item | None:
    """The one value of a set; None where there is none, or several."""
    if len(values) != 1:
        return None
    return next(iter(values))


def is_lora(wiring: Wiring, node_id: str) -> bool:
    """Whether a node puts LoRAs into a model that passes through it."""
    is_called_so = "lora" in wiring.class_type(node_id).lower()
    return is_called_so and not wiring.uses_diffusion_model(node_id)


def unused_ids(graph: Graph) -> Iterator[str]:
    """Ids for new nodes, without end: the numbers above the largest one that a node has or a link
    names.
    """
    used = {key for key in graph if isinstance(key, str)}
    for node in graph.values():
        used.update(value[0] for value in node_inputs(node).values() if is_link(value))
    # Longer numbers follow somebody's own scheme; a new id only must not be one of them.
    numbers = [int(key) for key in used if re.fullmatch(r"[0-9]{1,12}", key)]
    highest = max(numbers, default=0)
    for number in itertools.count(highest + 1):
        if str(number) not in used:
            yield str(number)
