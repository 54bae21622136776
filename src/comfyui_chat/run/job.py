"""One prompt's life from post to end: a `Job`, and what each event makes of it.

`Job.posted` begins one, and `advance` makes its next state out of every event that the websocket or
a look-up brings (server/protocol.py). Nothing here does any I/O or looks at a clock:

    job = Job.posted("0c6d...", graph)
    for event in (Waiting(2), Started(), Executing("3"), Progress({"3": (4.0, 20.0, False)})):
        job = advance(job, event, now)
    describe(job, now)  ->  ("running", "18%")

`describe` is where the queue position is told ("Waiting, 2 ahead"), and the percentage and the time
left after it, as phrases; webui/display.py shows them in the chat, in the user's language.

`Job.lost` decides that a job is lost: two look-ups in a row found it neither in the queue nor in
the history. Where the server may have been restarted meanwhile (`Job.away`) that is `JobLost`, and
it is run again unless it was its turn; else somebody took it out of the queue. `judge` says how a
job ended: it gives back one that ended well, and for any other raises the error: `JobLost`,
`RunInterrupted`, or what the node that failed reported.

Frames may be missing, and the history entry (`Recorded`) overrules them all. A node's error is only
remembered until then: a node that blocks its own branch reports one too, and the run goes on.
Events and their order are those recorded from ComfyUI 0.3.64 and 0.33.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..bounds import MB, MOST_OUTPUTS_READ, MOST_SENT_BYTES, MOST_SENT_PICTURES
from ..errors import JobLost, RunFailed, RunInterrupted
from ..graph.definitions import SEED_INPUTS
from ..graph.nodes import Graph
from ..media.file_bytes import FileBytes
from ..phrases import Phrase, Share, Span, joined
from ..server.protocol import (
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
from .failures import run_error
from .owner import JOBS

JobChanges = dict[str, Any]  # of a `Job`: its fields by their names


@dataclass(frozen=True)
class Job:
    """One prompt's life, as far as it is known. `advance` makes the next state."""

    prompt_id: str
    weights: Mapping[str, float]  # node id -> its share of the work (`_weight`)
    complete: bool = True  # whether no frame can have been missed
    # whether the server may have been restarted since it was last known to have the prompt
    away: bool = False
    seen: float = 0.0  # when that was
    taken: bool = True  # whether the server is known to have had the prompt
    # how many prompts are before it, while it waits; None when that is not known
    ahead: Waiting | None = None
    started: bool = False
    sampling: bool = False  # whether some node has counted steps
    succeeded: bool = False  # whether all nodes are done
    ended: bool = False  # whether the server is done with it, in whatever way
    # nodes that are not run, since their results are there from before
    cached: frozenset[str] = frozenset()
    # id -> (value, most, finished)
    nodes: Mapping[str, tuple[float, float, bool]] = field(default_factory=dict)
    current: str | None = None  # the node that runs
    fraction: float = 0.0  # of the work that is done, 0 to 1; it never falls
    first_step: tuple[float, float] | None = None  # (time, fraction) of the first sampling step
    began: float | None = None  # when it was first seen to run
    outputs: tuple[Output, ...] = ()
    sent: tuple[FileBytes, ...] = ()  # pictures that came over the websocket alone
    left_out: int = 0  # such pictures for which there was no room
    failure: Failed | None = None  # the last error that a node reported
    interrupted: bool = False
    recorded: bool = False  # whether outputs and end are those of the history entry
    absent: int = 0  # look-ups in a row that found it nowhere
    silent_since: float | None = None  # when look-ups began to fail
    refused_since: float | None = None  # when they began to find no connection

    @classmethod
    def posted(cls, prompt_id: str, graph: Graph) -> "Job":
        """The job of a prompt that was just posted."""
        weights = {node_id: _weight(node.get("inputs") or {}) for node_id, node in graph.items()}
        return cls(prompt_id, weights)

    def changed(self, changes: JobChanges) -> "Job":
        """The same job with these fields changed: what `dataclasses.replace` does, but without
        going through all the other fields one by one. A busy server sends thousands of frames a
        second, and each makes a new state.
        """
        job = object.__new__(Job)
        vars(job).update(vars(self))
        vars(job).update(changes)
        return job

    @property
    def good(self) -> bool:
        """Whether all nodes are done and there is something to show, whatever look-ups say
        afterwards.
        """
        return self.succeeded and bool(self.outputs or self.sent)

    @property
    def ran(self) -> frozenset[str] | None:
        """The nodes that began to run; None where a frame may have been missed that tells of
        others.
        """
        if not self.complete:
            return None
        failed = self.failure.node_id if self.failure else ""
        return frozenset((*self.nodes, self.current or "", failed)) - self.cached

    @property
    def lost(self) -> bool:
        """Whether the job is lost: two look-ups in a row found it neither in the queue nor in the
        history.
        """
        return self.absent >= 2

    def seconds_left(self, now: float) -> float | None:
        """Seconds that it will still take at the pace since the first sampling step; None while
        that is not known.
        """
        if self.first_step is None:
            return None
        begun, fraction = self.first_step
        if self.fraction <= fraction or now <= begun:
            return None
        return (1 - self.fraction) * (now - begun) / (self.fraction - fraction)


def advance(job: Job, event: Event, now: float) -> Job:
    """The job after an event; `now` is in seconds of any clock that never goes back.

    Whatever is heard of the job ends a silence, and whatever but `Absent` shows that the server has
    it. `away` is set by whatever may hide a restart; only whoever knows of the websocket can tell
    that there was none (run/follow.py).
    """
    if isinstance(event, (Recorded, Absent, Silence, Gap)):
        changes = _by_look_up(job, event, now)
    else:
        changes = _by_frame(job, event, now)
    if not isinstance(event, (Silence, QueueMoved, Gap)):
        changes |= {"silent_since": None, "refused_since": None}
        if not isinstance(event, Absent):
            changes |= {"absent": 0, "taken": True, "seen": now}
    if job.began is None and changes.get("started", job.started):
        changes["began"] = now
    return job.changed(changes) if changes else job


def _by_frame(job: Job, event: Event, now: float) -> JobChanges:
    """What the websocket tells; a look-up may tell of `Waiting` and `Started` as well."""
    if isinstance(event, Waiting) and not job.started:
        return {"ahead": event}
    if isinstance(event, Started):
        return {"started": True, "ahead": None}
    if isinstance(event, Cached):
        return {"started": True, "ahead": None, "cached": event.nodes}
    if isinstance(event, Executing):
        return _executing(job, event.node_id, now)
    if isinstance(event, Progress):
        return _moved(job, event.nodes, now)
    if isinstance(event, Executed):
        return {"outputs": (*job.outputs, *event.outputs)[:MOST_OUTPUTS_READ]}
    if isinstance(event, SentPicture):
        if event.data is None:
            return {"left_out": job.left_out + 1}
        return {"sent": (*job.sent, event.data)}
    if isinstance(event, Failed):
        return {"failure": event}
    if isinstance(event, Interrupted):
        return {"interrupted": True}
    if isinstance(event, Succeeded):
        return {"succeeded": True}
    if isinstance(event, Ended):
        return {"ended": True}
    return {}


def _by_look_up(job: Job, event: Event, now: float) -> JobChanges:
    """What a look-up found, or that frames may have been missed."""
    if isinstance(event, Recorded):
        return {
            "ended": True,
            "recorded": True,
            "succeeded": event.success,
            "outputs": event.outputs,
            "cached": event.cached or job.cached,
            "failure": event.failure or job.failure,
            "interrupted": event.interrupted,
        }
    if isinstance(event, Absent):
        return {"absent": job.absent + 1}
    if isinstance(event, Silence):
        return _silent(job, event.refused, now)
    return {"complete": False, "away": True}


def _silent(job: Job, refused: bool, now: float) -> JobChanges:
    """That a look-up failed; `refused` where no connection could be made."""
    silent_since, refused_since = job.silent_since, job.refused_since
    if silent_since is None:
        silent_since = now
    if not refused:
        refused_since = None
    elif refused_since is None:
        refused_since = now
    return {"away": True, "silent_since": silent_since, "refused_since": refused_since}


# the value, the most and the end of a node of which nothing was heard
NOT_BEGUN = (0.0, 1.0, False)


def _executing(job: Job, node_id: str, now: float) -> JobChanges:
    """That a node begins, which ends the one before it."""
    finished = {}
    if job.current is not None and job.current != node_id:
        _, most, _ = job.nodes.get(job.current, NOT_BEGUN)
        finished[job.current] = (most, most, True)
    return {"current": node_id, **_moved(job, finished, now)}


def _moved(job: Job, news: Mapping[str, tuple[float, float, bool]], now: float) -> JobChanges:
    """News of the nodes, in the form of `Progress`. The job's fraction is the share of the work
    that is done, of the nodes that are not cached, and never falls.
    """
    nodes = {**job.nodes, **news}
    fraction = max(job.fraction, _work_done(job, nodes))
    sampling = job.sampling or any(value and most > 1 for value, most, _ in nodes.values())
    first_step = job.first_step
    if sampling and first_step is None:
        first_step = (now, fraction)
    return {
        "started": True,
        "ahead": None,
        "nodes": nodes,
        "fraction": fraction,
        "sampling": sampling,
        "first_step": first_step,
    }


def _work_done(job: Job, nodes: Mapping[str, tuple[float, float, bool]]) -> float:
    """The share of the work that is done, 0 to 1, with these nodes as far as they are."""
    done = total = 0.0
    for node_id, weight in job.weights.items():
        if node_id in job.cached:
            continue
        value, most, finished = nodes.get(node_id, NOT_BEGUN)
        done += weight * _part_done(value, most, finished)
        total += weight
    return done / (total or 1.0)


def _part_done(value: float, most: float, finished: bool) -> float:
    """How much of a node's work is done, 0 to 1."""
    if finished:
        return 1.0
    if most <= 0:
        return 0.0
    return min(value / most, 1.0)


def _weight(inputs: Mapping[str, Any]) -> float:
    """A node's share of the work: a sampler counts as many as it has steps, any other node 1."""
    steps = inputs.get("steps")
    sampler = any(name in inputs for name in SEED_INPUTS)
    if sampler and isinstance(steps, (int, float)) and steps > 1:
        return float(steps)
    return 1.0


# What is said of a job: while it is under way to the user, and at its end to whoever waits for it.


def describe(job: Job, now: float) -> tuple[str, str]:
    """The job's phase, and what the user reads about it. This is where the queue position is told.

        ("connecting", "Sent to ComfyUI")       its place in the queue is not known yet
        ("waiting", "Waiting, 2 ahead")         so many prompts come before it, the running one counted
        ("waiting", "Waiting, next in line")
        ("loading", "Loading the model")        it runs, and no node has counted a step yet
        ("running", "18% · 40 s left")

    The percentage stops at 99 until the job has ended.
    """
    if not job.started:
        if job.ahead is None:
            return "connecting", Phrase("sent")
        if job.ahead == Waiting(0):
            return "waiting", Phrase("next")
        name = "ahead_at_least" if job.ahead.at_least else "ahead"
        return "waiting", Phrase(name, count=job.ahead.ahead)
    if not job.sampling:
        if job.complete or job.nodes:
            return "loading", Phrase("loading")
        return "loading", Phrase("running")  # without a websocket nobody can tell the two apart
    text = Phrase("share", share=Share(min(job.fraction, 0.99)))
    left = job.seconds_left(now)
    if left is None:
        return "running", text
    return "running", joined(text, Phrase("left", time=Span(max(left, 1))))


def judge(job: Job, graph: Graph) -> Job:
    """The job, when it ended well; for any other this raises the error.

    Of a lost job: `RunInterrupted` when somebody took it out of the queue, that is when its server
    had it and cannot have been restarted since, or check_job cancelled it; else `JobLost`, which
    also tells whether the post ever arrived. Of one that ended badly: `RunInterrupted`, the error
    of the node that failed (`run_error`), or `RunFailed` without a reason.
    """
    if job.lost and not job.good:
        raise _lost_error(job)
    if job.interrupted:
        raise RunInterrupted("The run was stopped on the ComfyUI server.")
    # A node that only blocks its branch reports an error too, and the run goes on to a good end.
    if job.failure and not job.good:
        raise run_error(job.failure, graph)
    if job.recorded and not job.succeeded:
        raise RunFailed("ComfyUI says that the run failed, and gives no reason; its log has one.")
    return job


def _lost_error(job: Job) -> JobLost | RunInterrupted:
    if not job.taken:
        return JobLost("ComfyUI never received the job.", arrived=False)
    if not job.away or JOBS.cancelled(job.prompt_id):
        return RunInterrupted("The job was taken out of the queue on the ComfyUI server.")
    if job.started:
        return JobLost(
            "ComfyUI went down while it ran the job, and no longer knows it.", executing=True
        )
    return JobLost(
        "ComfyUI no longer knows the job: it was restarted, or the job was deleted there."
    )


def missed_pictures(job: Job, graph: Graph) -> tuple[str, ...]:
    """Notes, or none: how many of the pictures that are sent over the websocket alone did not
    arrive. The nodes' own progress told how many there would be; those for which there was no room
    are counted.
    """
    sent = 0
    for node_id, node in graph.items():
        if node["class_type"] == "SaveImageWebsocket":
            _, pictures, _ = job.nodes.get(node_id, (0.0, 0.0, False))
            if 0 < pictures < 10_000:
                sent += int(pictures)
    missing = sent - len(job.sent) - job.left_out
    notes: tuple[str, ...] = ()
    if missing > 0:
        notes += (
            f"{missing} of {sent} pictures were missed: the connection was down when they were sent",
        )
    if job.left_out:
        most = f"{MOST_SENT_PICTURES} pictures and {MOST_SENT_BYTES // MB} MB"
        notes += (
            f"{job.left_out} pictures were left out, and are gone: over the websocket come at most {most} of one run",
        )
    return notes
