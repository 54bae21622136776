"""run/job."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import JobLost, NodeFailed, OutOfMemory, PaymentRequired, RunFailed, RunInterrupted
from ..graph.definitions import SEED_INPUTS
from ..graph.nodes import Graph, node_title
from ..names import shortened
from ..server.protocol import (
    UNPAID,
    Absent,
    Cached,
    Ended,
    Event,
    Executed,
    Executing,
    Failed,
    Gap,
    Interrupted,
    Output,
    Progress,
    QueueMoved,
    Recorded,
    SentPicture,
    Silence,
    Started,
    Succeeded,
    Waiting,
)
from .owner import CANCELLED


@dataclass(frozen=True)
class Job:
    """One prompt's life. `advance` makes the next state of it from what happened; nothing here does any I/O."""

    prompt_id: str
    weights: Mapping[str, float]  # node id -> share of the work; a sampler counts as many as it has steps
    complete: bool = True  # whether no frame can have been missed
    away: bool = False  # whether the server may have ended and come back since the post
    taken: bool = True  # whether the server is known to have had it
    ahead: int | None = None  # prompts before ours in the queue, while it waits
    started: bool = False
    sampling: bool = False
    succeeded: bool = False
    ended: bool = False  # the server is done with it
    cached: frozenset[str] = frozenset()
    nodes: Mapping[str, tuple[float, float, bool]] = field(default_factory=dict)
    current: str | None = None
    fraction: float = 0.0  # 0 to 1, never falling
    mark: tuple[float, float] | None = None  # (time, fraction) of the first sampling step
    began: float | None = None  # when it was first seen to run
    outputs: tuple[Output, ...] = ()
    sent: tuple[SentPicture, ...] = ()
    failure: Failed | None = None
    interrupted: bool = False
    recorded: bool = False  # outputs and end are those of the history
    absent: int = 0  # look-ups in a row that found it nowhere
    silent_since: float | None = None  # when look-ups began to fail
    refused_since: float | None = None  # when they began to find no connection

    @classmethod
    def posted(cls, prompt_id: str, graph: Graph) -> "Job":
        """The job of a prompt that was just posted."""
        return cls(prompt_id, {node_id: _weight(node.get("inputs") or {}) for node_id, node in graph.items()})

    @property
    def good(self) -> bool:
        """Whether all nodes are done and there is something to show, whatever the look-ups say."""
        return self.succeeded and bool(self.outputs or self.sent)

    @property
    def lost(self) -> bool:
        """Whether two look-ups in a row found it neither in the queue nor in the history."""
        return self.absent >= 2

    def seconds_left(self, now: float) -> float | None:
        """How long it will take at the speed of the steps so far, or None while that is not known."""
        if self.mark is None or self.fraction <= self.mark[1] or now <= self.mark[0]:
            return None
        return (1 - self.fraction) * (now - self.mark[0]) / (self.fraction - self.mark[1])


def _weight(inputs: Mapping[str, Any]) -> float:
    steps = inputs.get("steps")
    sampler = any(key in inputs for key in SEED_INPUTS)
    return float(steps) if sampler and isinstance(steps, (int, float)) and steps > 1 else 1.0


def _advanced(job: Job, event: Event, now: float) -> Job:
    if not isinstance(event, (Silence, QueueMoved, Gap)):
        found = not isinstance(event, Absent)
        job = replace(job, silent_since=None, refused_since=None, absent=0 if found else job.absent)
        job = replace(job, taken=job.taken or found)
    if isinstance(event, Waiting):
        return job if job.started else replace(job, ahead=event.ahead)
    if isinstance(event, Started):
        return replace(job, started=True, ahead=None)
    if isinstance(event, Cached):
        return replace(job, started=True, ahead=None, cached=event.nodes)
    if isinstance(event, Executing):
        before = job.nodes.get(job.current or "", (0.0, 1.0, False))
        done = {job.current: (before[1], before[1], True)} if job.current not in (None, event.node_id) else {}
        return _moved(replace(job, current=event.node_id), done, now)
    if isinstance(event, Progress):
        return _moved(job, event.nodes, now)
    if isinstance(event, Executed):
        return replace(job, outputs=(*job.outputs, *event.outputs))
    if isinstance(event, SentPicture):
        return replace(job, sent=(*job.sent, event))
    if isinstance(event, Failed):
        return replace(job, failure=event)
    if isinstance(event, Interrupted):
        return replace(job, interrupted=True)
    if isinstance(event, Succeeded):
        return replace(job, succeeded=True)
    if isinstance(event, Ended):
        return replace(job, ended=True)
    if isinstance(event, Recorded):
        return replace(
            job,
            ended=True,
            recorded=True,
            succeeded=event.success,
            outputs=event.outputs,
            failure=event.failure or job.failure,
            interrupted=event.interrupted,
        )
    if isinstance(event, Absent):
        return replace(job, absent=job.absent + 1)
    if isinstance(event, Silence):
        silent_since = now if job.silent_since is None else job.silent_since
        refused_since = (now if job.refused_since is None else job.refused_since) if event.refused else None
        return replace(job, away=True, silent_since=silent_since, refused_since=refused_since)
    if isinstance(event, Gap):
        return replace(job, complete=False, away=True)
    return job


def advance(job: Job, event: Event, now: float) -> Job:
    """The job after an event; `now` is in seconds of any steady clock."""
    job = _advanced(job, event, now)
    return replace(job, began=now) if job.started and job.began is None else job


def _moved(job: Job, news: Mapping[Any, tuple[float, float, bool]], now: float) -> Job:
    nodes = {**job.nodes, **news}
    planned = {node_id: weight for node_id, weight in job.weights.items() if node_id not in job.cached}
    done = sum(
        weight * (1.0 if finished else min(value / most, 1.0) if most > 0 else 0.0)
        for node_id, weight in planned.items()
        for value, most, finished in [nodes.get(node_id, (0.0, 1.0, False))]
    )
    fraction = max(job.fraction, done / (sum(planned.values()) or 1.0))
    sampling = job.sampling or any(value and most > 1 for value, most, _ in nodes.values())
    mark = job.mark or ((now, fraction) if sampling else None)
    return replace(job, started=True, ahead=None, nodes=nodes, fraction=fraction, sampling=sampling, mark=mark)


def describe(job: Job, now: float) -> tuple[str, str]:
    """The job's phase and what the user reads about it."""
    if not job.started:
        if job.ahead is None:
            return "connecting", "Sent to ComfyUI"
        return "waiting", f"Waiting, {job.ahead} ahead" if job.ahead else "Waiting, next in line"
    if not job.sampling:
        # Without a websocket there are no steps to count, and no way to tell loading from running.
        return "loading", "Loading the model" if job.complete or job.nodes else "Running"
    left = job.seconds_left(now)
    text = f"{min(job.fraction, 0.99):.0%}".replace("%", " %")
    return "running", text if left is None else f"{text} · {duration(max(left, 1))} left"


def duration(seconds: float) -> str:
    """A time span as people say it: "12 s", "3 min", "1 h 20 min"."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def judge(job: Job, graph: Graph) -> Job:
    """The job when it ended well, else its error."""
    if job.lost and not job.good and job.taken and (not job.away or job.prompt_id in CANCELLED):
        raise RunInterrupted("The job was taken out of the queue on the ComfyUI server.")
    if job.lost and not job.good:
        message = "ComfyUI no longer knows the job: it was restarted, or the job was deleted there."
        raise JobLost(message if job.taken else "ComfyUI does not know the job: its post never arrived.", job.taken)
    if job.interrupted:
        raise RunInterrupted("The run was stopped on the ComfyUI server.")
    # A node that only blocks its branch reports an error, too, and the run goes on to a good end.
    if job.failure and not job.good:
        raise run_error(job.failure, graph)
    if job.recorded and not job.succeeded:
        raise RunFailed("ComfyUI says that the run failed, and gives no reason; its log has one.")
    return job


def run_error(failure: Failed, graph: Graph) -> RunFailed | PaymentRequired:
    """A node's own error, by its title and reason; its inputs and stack trace stay on the server."""
    text = failure.message.splitlines()[0] if failure.message else ""
    kind = failure.exception_type.rsplit(".", 1)[-1]
    where = node_title(graph, failure.node_id)
    if kind in UNPAID:
        return PaymentRequired(f"Comfy Cloud stopped the run: {shortened(text or kind, 300)}")
    if "OutOfMemory" in kind or kind == "OOMError" or "out of memory" in failure.message.lower():
        return OutOfMemory(f"The graphics card ran out of memory in {where}.")
    return NodeFailed(f"{where} failed: {shortened(text or kind or 'no reason given', 300)}")


def missed_pictures(job: Job, graph: Graph) -> tuple[str, ...]:
    """A note when some of the pictures that are only sent over the websocket did not arrive."""
    senders = [node_id for node_id, node in graph.items() if node["class_type"] == "SaveImageWebsocket"]
    told = [job.nodes[node_id][1] for node_id in senders if node_id in job.nodes]
    sent = sum(int(number) for number in told if 0 < number < 10_000)
    missing = sent - len(job.sent)
    return (f"{missing} of {sent} pictures were missed: the connection was down when they were sent",) * (missing > 0)
