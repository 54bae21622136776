"""What ComfyUI's answers and frames say, as values, and how they are read.

In reading order: what happens to one prompt (`Event` and its kinds); the frames of the websocket
that tell it; look-ups in the queue, the history and Comfy Cloud's jobs, which tell the same with
authority; an answer over HTTP. A look-up's answer and a frame are both
an `Event`, so that one reducer (`run/job.py`) can follow a job by either.

Nothing here does any I/O. What a server means for people is cut to `MOST_MESSAGE_CHARACTERS`. The
functions trust the shape of what they read, and raise whatever Python raises for another one; their
callers (`Connection._take`, `HttpServer._reading`) deal with that.

The shapes are those recorded from ComfyUI 0.3.64 and 0.33.0, and of Comfy Cloud those that its
documentation shows.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..bounds import (
    FIRST_PIECE_BYTES,
    MOST_ARGUMENT_CHARACTERS,
    MOST_MESSAGE_CHARACTERS,
    MOST_NAME_CHARACTERS,
    MOST_NODES_IN_FRAME,
    MOST_OUTPUTS_READ,
)
from ..graph.nodes import Graph
from ..json_pieces import JsonText, read_json_text
from ..media.file_bytes import FileBytes
from ..names import without_paths
from ..values import list_of, object_of


@dataclass(frozen=True)
class Output:
    """A file that a run made, with the three names that `/view` wants; `type` is "output", or
    "temp" for a file of a node that only previews. A text that a node only shows has no file name
    and the type "text".
    """

    node_id: str
    filename: str
    subfolder: str
    type: str
    text: str = ""


# What happens to one prompt, in the order of a run's life. Frames tell everything from Started to
# Ended, look-ups tell Waiting, Started, Recorded and Absent. QueueMoved and Gap say that it is time
# for a look-up. Silence stands for one that failed, and LookedUp wraps the answer of any, so that
# it waits its turn among the frames.


@dataclass(frozen=True)
class Event:
    """Something that happened to one prompt, told by the websocket or by a look-up."""


@dataclass(frozen=True)
class QueueMoved(Event):
    """The server's queue changed: it is time to look up where our prompt stands."""


@dataclass(frozen=True)
class Waiting(Event):
    """The prompt is in the queue, with `ahead` prompts before it, the running one counted; or at
    least so many, where the queue is longer than what is read of it.
    """

    ahead: int
    at_least: bool = False

    def __str__(self) -> str:
        return f"at least {self.ahead} ahead" if self.at_least else f"{self.ahead} ahead"


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
    """How far nodes are: node id -> (value, max, finished). Nodes not named are as far as they
    were.
    """

    nodes: Mapping[str, tuple[float, float, bool]]


@dataclass(frozen=True)
class Executed(Event):
    """A node reported these files."""

    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class SentPicture(Event):
    """A picture that came over the websocket itself, and is saved nowhere; None for one that had no
    room.
    """

    data: FileBytes | None = field(repr=False)


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
    cached: frozenset[str] = frozenset()  # nodes that were not run, where that is told


@dataclass(frozen=True)
class Absent(Event):
    """The prompt is neither in the queue nor in the history."""


@dataclass(frozen=True)
class Silence(Event):
    """The server does not answer look-ups; `reason` says why, `refused` that no connection could be
    made.
    """

    reason: str
    refused: bool = False


@dataclass(frozen=True)
class Gap(Event):
    """Frames may have been missed, as while the websocket is down: it is time to look up where the
    prompt stands.
    """


@dataclass(frozen=True)
class LookedUp(Event):
    """What a look-up found, in its place among the frames."""

    answer: Event


# The frames of the websocket. Text frames are JSON, {"type": "progress", "data": {"prompt_id":
# "...", ...}}, binary ones carry a picture. Nodes that others made while the graph ran have ids of
# their own; `display_node` is then the node of our graph that they stand for.


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
        if data["node"] is None:
            return Ended()
        return Executing(str(data.get("display_node") or data["node"]))
    if kind == "progress":
        node_id = str(data.get("node"))
        return Progress({node_id: (float(data["value"]), float(data["max"]), False)})
    if kind == "progress_state":
        return _parse_progress_state(data["nodes"])
    if kind == "executed":
        return Executed(parse_outputs({str(data["node"]): data.get("output")}))
    if kind == "execution_error":
        return parse_failure(data)
    if kind == "execution_interrupted":
        return Interrupted()
    if kind == "execution_success":
        return Succeeded()
    return None


def _parse_progress_state(nodes: Mapping[str, Mapping[str, Any]]) -> Progress:
    progress = {}
    for node in itertools.islice(nodes.values(), MOST_NODES_IN_FRAME):
        if node.get("state") != "pending":
            node_id = str(node.get("display_node_id") or node["node_id"])
            is_finished = node["state"] == "finished"
            progress[node_id] = (float(node["value"]), float(node["max"]), is_finished)
    return Progress(progress)


TEXT_KEYS = ("text", "string")  # under which nodes that show a text put it
MODEL_PATH = re.compile(
    r"(?!/)[^:\\]{1,300}\.(?:glb|gltf|obj|stl|fbx|ply|spz|splat|ksplat)", re.IGNORECASE
)


def parse_outputs(outputs: Any) -> tuple[Output, ...]:
    """The files in `outputs` (node id -> key -> list), under whatever key a node puts them, and the
    texts it shows.

    {"9": {"images": [{"filename": "cat_00001_.png", "subfolder": "", "type": "output"}]},
     "12": {"text": ["a cat"]},
     "15": {"result": ["mesh/cat_00001_.glb", {...}]}}
    """
    found: list[Output] = []
    for node_id, output in (outputs or {}).items():
        for key, items in (output or {}).items():
            if isinstance(items, str):
                items = [items]
            for item in _whole_texts(key, list_of(items))[:MOST_OUTPUTS_READ]:
                parsed = _parse_output(str(node_id), key, item)
                if parsed and len(found) < MOST_OUTPUTS_READ:
                    found.append(parsed)
    return tuple(found)


def _whole_texts(key: str, items: list[Any]) -> list[Any]:
    """What a node reports under a key. Where it gives one text instead of a list of texts, ComfyUI
    takes it apart into its characters: these are one text again.
    """
    letters = key in TEXT_KEYS and len(items) > 1
    if letters and all(isinstance(item, str) and len(item) == 1 for item in items):
        return ["".join(items[:MOST_ARGUMENT_CHARACTERS])]
    return items


def _parse_output(node_id: str, key: str, item: Any) -> Output | None:
    """One item that a node reports under a key; None when it is neither a file nor a text for
    people.
    """
    if isinstance(item, dict) and isinstance(item.get("filename"), str):
        subfolder = str(item.get("subfolder") or "")
        return Output(node_id, item["filename"], subfolder, str(item.get("type") or "output"))
    if not isinstance(item, str):
        return None
    if key in TEXT_KEYS and item.strip():
        return Output(node_id, "", "", "text", item)
    # nodes for 3D tell the path of what they saved
    if key == "result" and MODEL_PATH.fullmatch(item):
        subfolder, _, filename = item.rpartition("/")
        return Output(node_id, filename, subfolder, "output")
    return None


def parse_failure(data: Mapping[str, Any]) -> Failed:
    """An `execution_error`, from a frame or from the history, without the inputs and the traceback
    that it carries.
    """
    message = without_paths(
        str(data.get("exception_message") or "")[:MOST_MESSAGE_CHARACTERS]
    ).strip()
    exception_type = str(data.get("exception_type") or "")[:MOST_NAME_CHARACTERS]
    return Failed(str(data.get("node_id"))[:MOST_NAME_CHARACTERS], exception_type, message)


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
    event = int.from_bytes(frame[:4], "big")
    if event == 1:
        return Frame(frame[8:])
    if event == 4:
        picture_at = 8 + int.from_bytes(frame[4:8], "big")
        if picture_at > FIRST_PIECE_BYTES:  # real ones have 200 bytes
            return None
        metadata = read_json_text(JsonText(frame[8:picture_at]))
        node_id = metadata.get("display_node_id") or metadata.get("node_id")
        return Frame(frame[picture_at:], str(metadata["prompt_id"]), str(node_id))
    return None


# Look-ups. `/queue` and `/history` tell of a prompt by the same row, [number, prompt id, graph,
# extra_data, outputs]; Comfy Cloud tells of its jobs, and shows the graph but no extra_data in its
# queue's rows.


@dataclass(frozen=True)
class Prompt:
    """A prompt as its server knows it: `state` is `Started`, `Waiting` or `Recorded`. `number` is
    its place in the order of all posts; `ended` when it ended, in seconds since 1970 by the
    server's clock, None as long as it has not or nobody says.
    """

    prompt_id: str
    state: Event
    number: float = 0.0
    graph: Graph = field(default_factory=dict, repr=False)
    extra_data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    ended: float | None = None


@dataclass(frozen=True)
class Queue:
    """The server's queue: ids of the running prompts and of the pending ones, in the order they
    will run; and what it tells of each of them, in the same order. Where it is longer than what is
    read of an answer, `is_whole` is False.
    """

    running: tuple[str, ...]
    pending: tuple[str, ...]
    prompts: tuple[Prompt, ...] = ()
    is_whole: bool = True

    def __len__(self) -> int:
        return len(self.running) + len(self.pending)

    def prompt(self, prompt_id: str) -> Prompt | None:
        """What is told of a prompt, None when it is not in the queue."""
        for prompt in self.prompts:
            if prompt.prompt_id == prompt_id:
                return prompt
        return None

    def find(self, prompt_id: str) -> Event | None:
        """`Started`, `Waiting` or, when the prompt is not in the queue, None."""
        if prompt_id in self.running:
            return Started()
        if prompt_id in self.pending:
            return Waiting(len(self.running) + self.pending.index(prompt_id), not self.is_whole)
        return None


@dataclass(frozen=True)
class Recent:
    """The newest prompts of a server, the oldest first; `is_whole` is False where it has more than
    is read of its queue and its history.
    """

    prompts: tuple[Prompt, ...] = ()
    is_whole: bool = True


# Where ComfyUI keeps the workflow as its editor saved it, the largest part of most rows. Nothing
# here needs it.
EXTRA_PNGINFO = "extra_pnginfo"


def parse_prompt(
    item: Sequence[Any], state: Event, entry: Mapping[str, Any] | None = None
) -> Prompt:
    """A row of the queue, or that of a history `entry`, whose messages tell when the run ended."""
    number, prompt_id = item[:2]
    if not isinstance(number, (int, float)):
        number = 0.0
    return Prompt(
        prompt_id=str(prompt_id),
        state=state,
        number=float(number),
        graph=dictionary_at(item, 2),
        extra_data={
            key: value for key, value in dictionary_at(item, 3).items() if key != EXTRA_PNGINFO
        },
        ended=_last_timestamp(entry or {}),
    )


def dictionary_at(row: Sequence[Any], index: int) -> dict[str, Any]:
    """The object that stands in a row at this index; an empty one for anything else, and where the
    row is shorter.
    """
    if len(row) > index and isinstance(row[index], dict):
        found: dict[str, Any] = row[index]
        return found
    return {}


def _last_timestamp(entry: Mapping[str, Any]) -> float | None:
    """The time of a history entry's last message in seconds, None when no message has one."""
    seconds = []
    status = entry.get("status") or {}
    for _, content in status.get("messages") or ():
        milliseconds = object_of(content).get("timestamp")
        if isinstance(milliseconds, (int, float)):
            seconds.append(float(milliseconds) / 1000)
    return max(seconds, default=None)


def parse_history(entry: Mapping[str, Any]) -> Recorded:
    """One entry of `/history`. Interrupted runs are recorded as errors, too; their messages tell
    them apart.

    {"prompt": [4, "<prompt id>", {<graph>}, {<extra_data>}, ["9"]],
     "outputs": {"9": {"images": [...]}},
     "status": {"status_str": "error", "completed": false,
                "messages": [["execution_start", {"timestamp": 1795334496974, ...}],
                             ["execution_interrupted", {...}]]}}
    """
    status = entry.get("status") or {}
    messages = dict(status.get("messages") or ())
    failure = None
    if "execution_error" in messages:
        failure = parse_failure(messages["execution_error"])
    return Recorded(
        success=status.get("status_str", "success") == "success",
        outputs=parse_outputs(entry.get("outputs")),
        failure=failure,
        interrupted="execution_interrupted" in messages,
        cached=frozenset(
            map(str, list_of(object_of(messages.get("execution_cached")).get("nodes")))
        ),
    )


def parse_job(job: Mapping[str, Any]) -> Event:
    """One of Comfy Cloud's jobs as a look-up's answer: `Waiting`, `Started` or `Recorded`. Raises
    `ValueError` for a status that is not known.
    """
    status = job["status"]
    if status == "pending":
        return Waiting(int(job.get("queue_position") or 0))
    if status == "in_progress":
        return Started()
    if status in ("completed", "failed", "cancelled"):
        error = job.get("execution_error")
        failure = None
        if error:
            failure = parse_failure(error)
        return Recorded(
            success=status == "completed",
            outputs=parse_outputs(job.get("outputs")),
            failure=failure,
            interrupted=status == "cancelled",
        )
    raise ValueError(status)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read to its end; `length` is its header's Content-Length, None where that
    says nothing.
    """

    status: int
    content_type: str
    body: bytes = field(repr=False)
    length: int | None = None
    location: str = ""  # of a redirect
    is_whole: bool = True  # whether nothing was left out because it is too long
