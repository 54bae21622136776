"""What the administrator allows, checked on a finished graph, whoever put the number there.

`check_limits` looks at every node for more steps, pixels or pictures than are allowed, and at what films are made of
for their seconds: what makes frames counts, and not what cuts some out of those that there are. A batch that becomes a
film is its frames, also where one of them is saved as a picture.

A node is not known by its class but by its inputs: one with `width`, `height` and `batch_size` makes pictures, say. A
number may also come over a link, from a node that only holds it (`number_in`):

    {"5": {"class_type": "EmptyLatentImage", "inputs": {"width": ["7", 0], "height": 1024, "batch_size": 1}},
     "7": {"class_type": "PrimitiveInt", "inputs": {"value": 8192}}}

has 8192 x 1024 pixels, 8.39 megapixels, and is refused where 4.2 are allowed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import LimitExceeded
from ..graph.definitions import last_part
from ..graph.facts import FILMS, made_by
from ..graph.input_names import PARAMETERS
from ..graph.nodes import Graph, Target, is_link, node_inputs, node_title
from ..graph.search import Flow
from ..graph.workflow import Workflow
from ..values import as_number
from .fleet import Limits

# Inputs beside width and height that show a node to make pixels of them, and not only to tell a model or a text.
MAKES_PIXELS = {"batch_size", "length", "upscale_method", "scale_method", "resize_type"}
PICTURE_MAKER = {"width", "height", "seconds"}  # inputs beside a batch size that show it to count pictures
SIDES = ("width", "height")
FRAME_TYPES = ("IMAGE", "LATENT", "VIDEO", "MASK", "")  # the types by which frames come to a film
MADE = ("IMAGE", "LATENT", "VIDEO", "AUDIO", "MASK")
USUAL_FPS = 24.0  # where a graph does not say
MOST_FPS = 30.0  # a higher rate does not let more frames pass as a shorter video


def check_limits(workflow: Workflow, limits: Limits, touched: set[Target], makes: set[str]) -> None:
    """Raise `LimitExceeded` when a prompt would do more than the administrator allows, whoever put it there: steps,
    pixels, pictures and seconds of video. One error names all of it.

    `touched` are the widgets that the call set, `makes` the kinds of what the graph saves. "megapixels" and "scale_by"
    count only where the call set them.
    """
    graph = workflow.graph
    frames: dict[str, float] = {}  # of the batches that a film is made of, by node
    first_megapixels = 0.0  # of the first size in the graph
    exceeded: list[LimitExceeded] = []
    for node_id, node in graph.items():
        takes = {last_part(name) for name in node["inputs"]}
        numbers = _numbers_in(graph, node)
        megapixels = _megapixels_made(takes, numbers)
        first_megapixels = first_megapixels or megapixels
        title = node_title(graph, node_id)
        exceeded += _over(title, "steps", numbers.get("steps", 0), limits.steps)
        exceeded += _over(title, "width x height in megapixels", round(megapixels, 2), limits.megapixels)
        counts_pictures = PICTURE_MAKER & takes or node["class_type"].startswith("Repeat")
        for name in ("batch_size", "amount"):
            number = numbers.get(name, 1)
            if not counts_pictures or number <= 1:
                continue
            are_frames = makes & FILMS and takes.isdisjoint(PARAMETERS["length"])
            if are_frames and _leads_to_film(workflow.flow, node_id):
                frames[node_id] = number
            else:
                exceeded += _over(title, name, number, limits.count)
        if Target(node_id, "megapixels") in touched:
            exceeded += _over(title, "megapixels", numbers.get("megapixels", 0), limits.megapixels)
        if Target(node_id, "scale_by") in touched:
            scaled = (first_megapixels or 1.05) * numbers.get("scale_by", 1) ** 2
            exceeded += _over(title, "scale_by in megapixels", round(scaled, 2), limits.megapixels)
    if makes & FILMS:
        exceeded += _over_video(workflow, limits, frames)
    raise_all(exceeded)


MOST_LIMITS_TOLD = 6  # of all limits that one call exceeds


def raise_all(exceeded: Sequence[LimitExceeded]) -> None:
    """Raise one error for all limits that a call exceeds, so that the next call keeps to all of them; none for none."""
    if not exceeded:
        return
    told = exceeded[:MOST_LIMITS_TOLD]
    messages = dict.fromkeys(error.message for error in told)
    hints = dict.fromkeys(error.hint for error in told)
    raise LimitExceeded(" ".join(messages), " ".join(hints))


def _leads_to_film(flow: Flow, node_id: str) -> bool:
    """Whether what a node makes becomes a film."""
    behind = flow.behind([node_id], FRAME_TYPES)
    return any(kind in FILMS for node, kind in made_by(flow) if node in behind)


def _over(title: str, name: str, value: float, allowed: float) -> list[LimitExceeded]:
    """An error, or none: a node has a higher value under a name than is allowed."""
    if value <= allowed:
        return []
    message = f"{title} has {value:g} as {name}, and the administrator allows {allowed:g}."
    return [LimitExceeded(message, f"Ask for at most {allowed:g}.")]


def _megapixels_made(takes: set[str], numbers: Mapping[str, float]) -> float:
    """How many megapixels a node makes that takes these inputs, by the numbers in them; 0 for one that makes none."""
    if MAKES_PIXELS.isdisjoint(takes) or not numbers.keys() >= set(SIDES):
        return 0.0
    width, height = numbers["width"], numbers["height"]
    return (width or height) * (height or width) / 1e6  # a side of 0 is for "in proportion"


def _numbers_in(graph: Graph, node: Mapping[str, Any]) -> dict[str, float]:
    """The inputs of a node that get a number, by the last part of their names: {"width": 1024.0, "steps": 20.0}."""
    numbers = {}
    for name, value in node["inputs"].items():
        number = number_in(graph, value)
        if number is not None:
            numbers[last_part(name)] = number
    return numbers


def _over_video(workflow: Workflow, limits: Limits, frames: Mapping[str, float]) -> list[LimitExceeded]:
    """An error, or none: a video would be longer than is allowed."""
    seconds, allowed = video_seconds(workflow, frames), limits.video_seconds
    if seconds <= allowed:
        return []
    message = f"The video would have {seconds:.1f} seconds, and the administrator allows {allowed:g}."
    return [LimitExceeded(message, f"Ask for at most {allowed:g} seconds, or for fewer frames.")]


def frame_rate(graph: Graph) -> float:
    """The frames a second of the videos that a graph makes, the lowest of several."""
    return min(_numbers_of("fps", graph, graph), default=USUAL_FPS)


def video_seconds(workflow: Workflow, frames: Mapping[str, float]) -> float:
    """How long the longest video is that a graph makes, in seconds: by its frames and their rate, or as it says.
    `frames` are those of batches, by node."""
    graph, flow = workflow.graph, workflow.flow
    fps = min(max(frame_rate(graph), 1.0), MOST_FPS)
    making = [node_id for node_id in graph if _makes_frames(flow, node_id)]
    lengths = [*_numbers_of("length", graph, making), *frames.values()]
    by_frames = [length / fps for length in lengths]
    return max([*_numbers_of("seconds", graph, making), *by_frames], default=0.0)


def _makes_frames(flow: Flow, node_id: str) -> bool:
    """Whether a node may make frames, or says how many are made. One that makes nothing but sound does not, and one
    that is given a film, pictures or sound, and has neither a size nor a model for more, can only cut."""
    definition = flow.definition(node_id)
    if definition and set(definition.outputs) == {"AUDIO"}:
        return False
    if not flow.links_surely_carrying(node_id, *MADE) or flow.is_maker(node_id) or flow.size_inputs(node_id):
        return True
    return bool(flow.links_surely_carrying(node_id, "MODEL", "VAE"))


def _numbers_of(parameter: str, graph: Graph, node_ids: Iterable[str]) -> list[float]:
    """The numbers, without zeros, in all inputs of these nodes whose names are those of the parameter."""
    numbers: list[float] = []
    for node_id in node_ids:
        for name, value in graph[node_id]["inputs"].items():
            number = None
            if last_part(name) in PARAMETERS[parameter]:
                number = number_in(graph, value)
            if number:
                numbers.append(number)
    return numbers


def number_in(graph: Graph, value: Any) -> float | None:
    """The number that an input gets, or None: its own, also written as text or wrapped in `__value__`, or that of the
    node it is linked to, if that only holds one."""
    for _ in range(8):
        if isinstance(value, Mapping):
            value = value.get("__value__")
        if not is_link(value):
            break
        inputs = node_inputs(graph.get(value[0]))
        if "value" in inputs:
            value = inputs["value"]
        elif len(inputs) == 1:
            (value,) = inputs.values()
        else:
            value = None
    return as_number(value)
