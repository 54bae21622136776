"""What ComfyUI's answers and frames say, as values, and how they are read.

In reading order: what happens to one prompt (`Event` and its kinds); the frames of the websocket that tell it; look-ups
in the queue, the history and Comfy Cloud's jobs, which tell the same with authority; the answer to a post, and a
refusal as an error; what a server tells of itself. A look-up's answer and a frame are both an `Event`, so that one
reducer (`run/job.py`) can follow a job by either.

Nothing here does any I/O. The functions trust the shape of what they read, and raise whatever Python raises for another
one; their callers (`Connection._take`, `ComfyUIServer._reading`) deal with that.

The shapes are those recorded from ComfyUI 0.3.64 and 0.33.0, and of Comfy Cloud those that its documentation shows.
"""

import contextlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from ..errors import ModelNotInstalled, NodeNotInstalled, ValueOutOfRange, WorkflowRefused
from ..graph.definitions import Definitions
from ..graph.nodes import Graph, node_title
from ..names import MODEL_FILE, closest, quoted, shortened


@dataclass(frozen=True)
class Output:
    """A file that a run made, with the three names that `/view` wants; `type` is "output", or "temp" for a file of a
    node that only previews. A text that a node only shows has no file name and the type "text"."""

    node_id: str
    filename: str
    subfolder: str
    type: str
    text: str = ""


# What happens to one prompt, in the order of a run's life. Frames tell everything from Started to Ended, look-ups tell
# Waiting, Started, Recorded and Absent. QueueMoved and Gap say that it is time for a look-up. Silence stands for one
# that failed, and LookedUp wraps the answer of any, so that it waits its turn among the frames.


@dataclass(frozen=True)
class Event:
    """Something that happened to one prompt, told by the websocket or by a look-up."""


@dataclass(frozen=True)
class QueueMoved(Event):
    """The server's queue changed; where our prompt stands now has to be looked up."""


@dataclass(frozen=True)
class Waiting(Event):
    """The prompt is in the queue, with `ahead` prompts before it, the running one counted."""

    ahead: int


@dataclass(frozen=True)
class Started(Event):
    """The prompt is running."""


@dataclass(frozen=True)
class Cached(Event):
    """These nodes are not run again, since their inputs are the same as before."""

    nodes: frozenset[str]


@dataclass(frozen=True)
class Executing(Event):
    """A node begins."""

    node_id: str


@dataclass(frozen=True)
class Progress(Event):
    """How far nodes are: node id -> (value, max, finished). Nodes not named are as far as they were."""

    nodes: Mapping[str, tuple[float, float, bool]]


@dataclass(frozen=True)
class Executed(Event):
    """A node reported these files."""

    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class SentPicture(Event):
    """A picture that came over the websocket itself, from a node that saves it nowhere."""

    node_id: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Failed(Event):
    """A node raised an error. The run may still go on, when the node only blocked its branch."""

    node_id: str
    exception_type: str
    message: str


@dataclass(frozen=True)
class Interrupted(Event):
    """Somebody stopped the run."""


@dataclass(frozen=True)
class Succeeded(Event):
    """All nodes are done; the history entry may not be written yet."""


@dataclass(frozen=True)
class Ended(Event):
    """The last frame of a run, however it ended; the history entry is written."""


@dataclass(frozen=True)
class Recorded(Event):
    """The history entry: the truth about how the run ended."""

    success: bool
    outputs: tuple[Output, ...]
    failure: Failed | None
    interrupted: bool


@dataclass(frozen=True)
class Absent(Event):
    """The prompt is neither in the queue nor in the history."""


@dataclass(frozen=True)
class Silence(Event):
    """The server does not answer look-ups; `reason` says why, `refused` that no connection could be made."""

    reason: str
    refused: bool = False


@dataclass(frozen=True)
class Gap(Event):
    """Frames may have been missed, as while the websocket is down; where the prompt stands has to be looked up."""


@dataclass(frozen=True)
class LookedUp(Event):
    """What a look-up found, in its place among the frames."""

    answer: Event


# The frames of the websocket. Text frames are JSON, {"type": "progress", "data": {"prompt_id": "...", ...}}, binary
# ones carry a picture. Nodes that others made while the graph ran have ids of their own; `display_node` is then the
# node of our graph that they stand for.


def parse_frame(kind: str, data: Mapping[str, Any]) -> Event | None:
    """A text frame's meaning for the prompt that it names; None for types that mean nothing here.

    execution_cached  {"nodes": ["4", "5"]}
    executing         {"node": "3", "display_node": "3"}, and with node null when the run has ended
    progress          {"node": "3", "value": 1, "max": 20}
    progress_state    {"nodes": {"3": {"value": 1, "max": 20, "state": "running", "node_id": "3", ...}, ...}}
    executed          {"node": "9", "output": {"images": [...]}}, of nodes that report something
    """
    if kind == "execution_start":
        return Started()
    if kind == "execution_cached":
        return Cached(frozenset(map(str, data["nodes"])))
    if kind == "executing":
        return Ended() if data["node"] is None else Executing(str(data.get("display_node") or data["node"]))
    if kind == "progress":
        return Progress({str(data.get("node")): (float(data["value"]), float(data["max"]), False)})
    if kind == "progress_state":
        nodes = (node for node in data["nodes"].values() if node.get("state") != "pending")
        return Progress(
            {
                str(node.get("display_node_id") or node["node_id"]): (
                    float(node["value"]),
                    float(node["max"]),
                    node["state"] == "finished",
                )
                for node in nodes
            }
        )
    if kind == "executed":
        return Executed(parse_outputs({str(data["node"]): data.get("output")}))
    if kind == "execution_error":
        return parse_failure(data)
    if kind == "execution_interrupted":
        return Interrupted()
    if kind == "execution_success":
        return Succeeded()
    return None


TEXT_KEYS = ("text", "string")  # under which nodes that show a text put it
MODEL_PATH = re.compile(r"(?!/)[^:\\]{1,300}\.(?:glb|gltf|obj|stl|fbx|ply|spz|splat|ksplat)", re.IGNORECASE)


def parse_outputs(outputs: Any) -> tuple[Output, ...]:
    """The files in `outputs` (node id -> key -> list), under whatever key a node puts them, and the texts it shows.

    {"9": {"images": [{"filename": "cat_00001_.png", "subfolder": "", "type": "output"}]},
     "12": {"text": ["a cat"]},
     "15": {"result": ["mesh/cat_00001_.glb", {...}]}}
    """
    found = []
    for node_id, output in (outputs or {}).items():
        for key, items in (output or {}).items():
            for item in items if isinstance(items, list) else [items] if isinstance(items, str) else ():
                if isinstance(item, dict) and isinstance(item.get("filename"), str):
                    place = str(item.get("subfolder") or ""), str(item.get("type") or "output")
                    found.append(Output(str(node_id), item["filename"], *place))
                elif isinstance(item, str) and item.strip() and key in TEXT_KEYS:
                    found.append(Output(str(node_id), "", "", "text", item))
                elif isinstance(item, str) and key == "result" and MODEL_PATH.fullmatch(item):
                    folder, _, name = item.rpartition("/")  # nodes for 3D tell the path of what they saved
                    found.append(Output(str(node_id), name, folder, "output"))
    return tuple(found)


def parse_failure(data: Mapping[str, Any]) -> Failed:
    """An `execution_error`, from a frame or from the history, without the inputs and the traceback that it carries."""
    message = str(data.get("exception_message") or "").strip()
    return Failed(str(data.get("node_id")), str(data.get("exception_type") or ""), message)


@dataclass(frozen=True)
class Frame:
    """A picture that came as a binary frame; the old layout names neither prompt nor node."""

    data: bytes = field(repr=False)
    prompt_id: str | None = None
    node_id: str | None = None


def parse_binary(frame: bytes) -> Frame | None:
    """A binary frame's picture; None for events that are not pictures. All numbers are big-endian:

    4 bytes: 1   4 bytes: format             the picture
    4 bytes: 4   4 bytes: length of the JSON {"prompt_id": "...", "node_id": "3", ...}   the picture
    """
    event, second = int.from_bytes(frame[:4], "big"), int.from_bytes(frame[4:8], "big")
    if event == 1:
        return Frame(frame[8:])
    if event == 4:
        about = json.loads(frame[8 : 8 + second])
        node = about.get("display_node_id") or about.get("node_id")
        return Frame(frame[8 + second :], str(about["prompt_id"]), str(node))
    return None


# Look-ups. `/queue` and `/history` tell of a prompt by the same row, [number, prompt id, graph, extra_data, outputs];
# Comfy Cloud tells of its jobs, and shows the graph but no extra_data in its queue's rows.


@dataclass(frozen=True)
class Prompt:
    """A prompt as its server knows it: `state` is `Started`, `Waiting` or `Recorded`. `number` is its place in the
    order of all posts; `ended` when it ended, in seconds since 1970 by the server's clock, None as long as it has not
    or nobody says."""

    prompt_id: str
    state: Event
    number: float = 0.0
    graph: Graph = field(default_factory=dict, repr=False)
    extra_data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    ended: float | None = None


@dataclass(frozen=True)
class Queue:
    """The server's queue: ids of the running prompts and of the pending ones, in the order they will run; and what it
    tells of each of them, in the same order."""

    running: tuple[str, ...]
    pending: tuple[str, ...]
    prompts: tuple[Prompt, ...] = ()

    def __len__(self) -> int:
        return len(self.running) + len(self.pending)

    def find(self, prompt_id: str) -> Event | None:
        """`Started`, `Waiting` or, when the prompt is not in the queue, None."""
        if prompt_id in self.running:
            return Started()
        if prompt_id in self.pending:
            return Waiting(len(self.running) + self.pending.index(prompt_id))
        return None


def parse_prompt(item: Sequence[Any], state: Event, entry: Mapping[str, Any] | None = None) -> Prompt:
    """A row of the queue, or that of a history `entry`, whose messages tell when the run ended."""
    graph, extra_data = (item[index] if len(item) > index and isinstance(item[index], dict) else {} for index in (2, 3))
    messages = ((entry or {}).get("status") or {}).get("messages") or ()
    times = [message[1].get("timestamp") for message in messages if isinstance(message[1], dict)]
    ended = max((float(at) / 1000 for at in times if isinstance(at, (int, float))), default=None)
    number = float(item[0]) if isinstance(item[0], (int, float)) else 0.0
    return Prompt(str(item[1]), state, number, graph, extra_data, ended)


def parse_history(entry: Mapping[str, Any]) -> Recorded:
    """One entry of `/history`. Interrupted runs are recorded as errors, too; their messages tell them apart.

    {"prompt": [4, "<prompt id>", {<graph>}, {<extra_data>}, ["9"]],
     "outputs": {"9": {"images": [...]}},
     "status": {"status_str": "error", "completed": false,
                "messages": [["execution_start", {"timestamp": 1795334496974, ...}],
                             ["execution_interrupted", {...}]]}}
    """
    status = entry.get("status") or {}
    messages = dict(status.get("messages") or ())
    failure = parse_failure(messages["execution_error"]) if "execution_error" in messages else None
    success = status.get("status_str", "success") == "success"
    return Recorded(success, parse_outputs(entry.get("outputs")), failure, "execution_interrupted" in messages)


def parse_job(job: Mapping[str, Any]) -> Event:
    """One of Comfy Cloud's jobs as a look-up's answer: `Waiting`, `Started` or `Recorded`. Raises `ValueError` for a
    status that is not known."""
    status = job["status"]
    if status == "pending":
        return Waiting(int(job.get("queue_position") or 0))
    if status == "in_progress":
        return Started()
    if status in ("completed", "failed", "cancelled"):
        error = job.get("execution_error")
        failure = parse_failure(error) if error else None
        return Recorded(status == "completed", parse_outputs(job.get("outputs")), failure, status == "cancelled")
    raise ValueError(status)


# Answers over HTTP, above all those to a post.


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read to its end; `length` is its header's Content-Length, None where that says nothing."""

    status: int
    content_type: str
    body: bytes = field(repr=False)
    length: int | None = None
    location: str = ""  # of a redirect


def read_retry_after(text: str | None) -> float | None:
    """Seconds from now, as a `Retry-After` header gives them or by the date in it; None where it holds neither."""
    text = (text or "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    return None


@dataclass(frozen=True)
class Accepted:
    """A prompt that was posted, with notes on outputs that the server dropped. It is not `certain` when the answer was
    lost: whether the server took it has to be looked up."""

    prompt_id: str
    notes: tuple[str, ...] = ()
    certain: bool = True


def parse_refusal(body: Mapping[str, Any], graph: Graph, definitions: Definitions) -> WorkflowRefused:
    """The answer 400 of `POST /prompt` as an error: the first reason that a person can act on.

        {"error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", ...},
         "node_errors": {"4": {"class_type": "CheckpointLoaderSimple", "errors": [
            {"type": "value_not_in_list", "message": "Value not in list", "details": "...",
             "extra_info": {"input_name": "ckpt_name", "received_value": "x.safetensors",
                            "input_config": [["a.safetensors", "b.safetensors"], {}]}}]}}}

    An unknown node stands in `error` itself, by its class (0.33.0) or in the message's words (0.3.64).
    """
    error = body.get("error") or {}
    error = error if isinstance(error, dict) else {"message": str(error)}
    kind, message = error.get("type"), shortened(error.get("message") or "no reason given", 300)
    if kind in ("invalid_prompt", "missing_node_type"):
        missing = re.search(r"node (\S+) does not exist", message)
        class_type = (error.get("extra_info") or {}).get("class_type") or (missing[1] if missing else None)
        if class_type:
            return NodeNotInstalled(f'This ComfyUI has no node "{class_type}".')
    for node_id, refused in (body.get("node_errors") or {}).items():
        for reason in refused.get("errors") or ():
            return _refused_value(node_id, reason, graph, definitions)
    return WorkflowRefused(f"ComfyUI refused the workflow: {message}")


def _refused_value(node_id: str, reason: Mapping[str, Any], graph: Graph, definitions: Definitions) -> WorkflowRefused:
    extra = reason.get("extra_info") or {}
    name, value = str(extra.get("input_name") or ""), extra.get("received_value")
    where = f"{name} of node {node_title(graph, node_id)}"
    definition = definitions.get(graph[node_id]["class_type"]) if node_id in graph else None
    spec = definition.inputs.get(name) if definition else None
    kind = reason.get("type")
    if kind == "value_not_in_list":
        listed = (extra.get("input_config") or [None])[0]  # left out by the server when it is long
        known = closest(str(value), listed if isinstance(listed, list) else spec.choices if spec else ())
        hint = f"Installed are, among others: {quoted(known)}." if known else ""
        if MODEL_FILE.search(str(value)):
            return ModelNotInstalled(f'The model "{value}" is not installed ({where}).', hint)
        return ValueOutOfRange(
            f'"{shortened(value)}" is not a choice for {where}.', hint.replace("Installed", "Choices")
        )
    if kind in ("value_smaller_than_min", "value_bigger_than_max"):
        low, high = (spec.minimum, spec.maximum) if spec else (None, None)
        hint = f"Give a value from {low:g} to {high:g}." if low is not None and high is not None else ""
        return ValueOutOfRange(f"{shortened(value)} is out of range for {where}.", hint)
    if kind == "invalid_input_type":
        return ValueOutOfRange(f'"{shortened(value)}" has the wrong type for {where}.')
    details = shortened(reason.get("details") or "", 200)
    return WorkflowRefused(f"ComfyUI refused {where}: {reason.get('message')}" + (f" ({details})" if details else ""))


# What a server tells of itself, in `/system_stats`.


@dataclass(frozen=True)
class Device:
    """What a server computes on, and its memory in bytes, None where the server does not tell it."""

    name: str
    memory_total: int | None
    memory_free: int | None


@dataclass(frozen=True)
class Stats:
    """What a server tells of itself; a version that it does not tell is empty."""

    version: str
    devices: tuple[Device, ...]


def parse_stats(raw: Mapping[str, Any]) -> Stats:
    """An answer of `/system_stats`."""
    devices = raw.get("devices")
    found = [parse_device(item) for item in (devices if isinstance(devices, list) else ()) if isinstance(item, dict)]
    return Stats(shortened(raw["system"].get("comfyui_version") or "", 40), tuple(found))


def parse_device(raw: Mapping[str, Any]) -> Device:
    """One of its devices; of "cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync" the middle is the name."""

    def amount(key: str) -> int | None:
        value = raw.get(key)
        return int(value) if isinstance(value, (int, float)) and 0 <= value < 2**63 else None  # nor is NaN in range

    name = re.sub(r"^\w+:\d+ | : \w+$", "", str(raw.get("name") or raw.get("type") or "device"))
    return Device(shortened(name), amount("vram_total"), amount("vram_free"))
