"""Posts one prompt and follows it to its end.

`follow` is the way of a call's own prompt: listen to the websocket, post, have `Fleet.admit` count
the user's jobs, `watch`, and `judge` how it ended (run/job.py). Jobs that an earlier call posted
are only watched (run/earlier.py).

`watch` feeds a `Job` out of one line of events in which frames and look-ups take turns. The
websocket tells early, and may drop, hang or be refused by a proxy; ComfyUI's queue and history are
the truth, and `LookUps` asks them. So everything works, only later, without a websocket. When
frames come and the history entry is written is recorded from ComfyUI 0.3.64 and 0.33.0.

A job that is found nowhere was lost in a restart, and is run again unless it was its turn, since it
may have brought the server down; or somebody took it out of the queue, and it is not. There was no
restart where the websocket has been open all the time, since the post or since before a look-up
that found the job; nor where the server still knows another prompt that it had when the job was
last seen (`has_run_since`). A job that waits has another one before it, so that is mostly known.

A call ends in exactly one of these ways: the ended job, a named error, a cancellation, or
`StillRunning` with its id. After an error or a Stop nobody would collect the result, so the job is
withdrawn from its server, with patience where that does not answer. The end of the longest wait,
and of Open WebUI itself, leave it at work for check_job to bring.
"""

import asyncio
import contextlib
import math
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from ..errors import (
    ComfyUIError,
    JobLost,
    RunFailed,
    ServerError,
    ServerGone,
    ServerUnreachable,
    StillRunning,
    WorkflowRefused,
)
from ..graph.facts import picture_nodes
from ..graph.nodes import Graph
from ..logs import log
from ..names import duration
from ..phrases import Phrase, joined
from ..server.client import ComfyUIServer
from ..server.connection import Subscription
from ..server.endpoint import ACCOUNT_KEY
from ..server.pool import Pool
from ..server.posting import Accepted
from ..server.protocol import (
    Absent,
    Event,
    Executed,
    Failed,
    Gap,
    Interrupted,
    LookedUp,
    Output,
    QueueMoved,
    Recorded,
    Silence,
    Started,
    Succeeded,
    Waiting,
)
from ..tasks import ANSWER_SECONDS, CLEAN_UP_SECONDS, finish
from .fleet import SHARED_SECONDS, Fleet, Timing
from .job import Job, advance, describe, judge
from .monitor import JobClock
from .owner import JOBS, MARK


class ProgressListener(Protocol):
    """Whoever watches a run: a message in a chat, or a terminal. Both methods return at once and
    never raise.
    """

    def status(self, phase: str, text: str, fraction: float | None = None) -> None:
        """What happens now: the phase (of `describe`, or another word), its text, and the share of
        the work that is done, 0 to 1.
        """

    def preview(self, data: bytes) -> None:
        """The picture so far: the bytes of a JPEG or PNG."""


# seconds before each try; an hour in all
WITHDRAW_PAUSES = (0.0, 2.0, 5.0, 10.0, 20.0, 30.0, *(60.0,) * 58)
# a note of an error or a Stop
STILL_AT_WORK = "ComfyUI could not be told and may still be at work."
GOES_ON = "Open WebUI was shut down; the job goes on in ComfyUI, and check_job brings it: job "


def _note_job(error: BaseException, job_id: str) -> None:
    """Note on an error of a job that may go on how it is brought later."""
    if isinstance(error, ServerGone) and error.executing:
        error.add_note(f"Should ComfyUI come back with it, check_job brings it: job_id {job_id}.")
    if _shutting_down(error):
        error.add_note(f"{GOES_ON}{job_id}")


async def follow(
    server: ComfyUIServer,
    fleet: Fleet,
    graph: Graph,
    listener: ProgressListener,
    *,
    wait: float,
    part: str = "",
    previews: bool = True,
    about: Mapping[str, Any] | None = None,
    posted: Callable[[], None] | None = None,
    account_key: str = "",
    work: float = 0.0,
    announced: Callable[[Sequence[Output]], None] | None = None,
) -> tuple[Job, tuple[str, ...]]:
    """Post a prompt and follow it to its end; returns the ended job, and notes on outputs that the
    server left out.

    `wait` is in seconds, `part` stands before every text ("2 of 4 · "), `about` is what the mark
    tells a later call of the run, and `posted` is called once the server's queue shows the prompt.
    `account_key` is that of the Comfy account which pays for partner nodes, `work` how much work the
    run is (run/estimates), and `announced` is told of files as soon as they are there.

    Raises `ServerError`, `WorkflowRefused`, `RunFailed` and their kin, `LimitExceeded`, and
    `StillRunning` when the wait is over. When it is cancelled, or fails, the job is first withdrawn
    from the server; the error carries a note when that failed. Only the end of the wait, or of Open
    WebUI itself, leaves the job at work.
    """
    about = about or {}
    prompt_id = str(uuid.uuid4())
    at = round(time.time(), 6)  # as the mark tells it, so that all compare the same
    mark = {"mark": fleet.owner.mark(prompt_id), "at": at, "until": round(at + wait, 3), **about}
    extra_data: dict[str, Any] = {"preview_method": "auto" if previews else "none", MARK: mark}
    if account_key:
        extra_data[ACCOUNT_KEY] = account_key
    on_preview = listener.preview if previews else ignore_preview
    job = Job.posted(prompt_id, graph)
    clock = JobClock()
    async with server.connection.listen(
        prompt_id, picture_nodes(graph), on_preview
    ) as subscription:
        JOBS.attend(prompt_id)
        posting = asyncio.create_task(server.submit(prompt_id, graph, extra_data))
        try:
            accepted = await asyncio.shield(posting)
            server.record.runs += 1
            server.connection.rename(prompt_id, accepted.prompt_id)
            JOBS.leave(prompt_id)
            JOBS.attend(accepted.prompt_id)
            prompt_id = accepted.prompt_id
            is_heard = subscription.connected
            job = replace(
                job,
                prompt_id=prompt_id,
                complete=is_heard,
                away=not is_heard,
                taken=accepted.certain,
                seen=time.monotonic(),
            )
            await fleet.admit(server.endpoint, prompt_id, at)
            if posted:
                posted()
            if not accepted.certain:
                subscription.events.put_nowait(Gap())
            job = await watch(
                server,
                fleet,
                job,
                subscription,
                listener,
                wait=wait,
                part=part,
                announced=announced,
            )
            if accepted.doubt and job.lost and not job.taken:
                raise _unfound(accepted.doubt)
            job = judge(job, graph)
        except BaseException as error:
            JOBS.leave(prompt_id)
            report = clock.failed(error, job.began, _shutting_down(error))
            fleet.monitor.job(server.endpoint, report)
            if isinstance(error, RunFailed):
                error.ran = job.ran
                error.prompt_id = prompt_id
            if _is_failure(error):
                server.record.failed += 1
            _note_job(error, fleet.owner.job_id(server.endpoint, prompt_id))
            if not _shutting_down(error) and not _leaves_it(
                error
            ):  # a Stop, or a failure after which nobody would collect the result
                await _clean_up(server, prompt_id, posting, error)
            raise
    fleet.monitor.job(server.endpoint, clock.done(job.began))
    was_cached = job.cached >= set(graph)
    if job.began is not None and not was_cached:
        server.record.ran(str(about.get("workflow") or ""), time.monotonic() - job.began, work)
    if not JOBS.stored_by_call:
        JOBS.leave(prompt_id)
    return job, accepted.notes


def ignore_preview(_data: bytes) -> None:
    """What is done with previews when they are switched off."""


# What an error means for the job on its server.


def _unfound(doubt: ComfyUIError) -> ComfyUIError:
    """What a strange answer to the post meant, now that the job is not found on the server."""
    if isinstance(doubt, ServerError):
        doubt.unfound = True
    return doubt


def _is_failure(error: BaseException) -> bool:
    """Whether it is the workflow that failed, and not its server."""
    return isinstance(error, (RunFailed, WorkflowRefused)) and not isinstance(error, JobLost)


def _leaves_it(error: BaseException) -> bool:
    """Whether there is nothing to withdraw after an error: the job goes on, was never taken, or has
    ended.
    """
    if isinstance(error, ServerGone) and error.executing:
        return True  # it is run nowhere else
    is_not_there = isinstance(error, ServerError) and (error.untaken or error.unfound)
    return is_not_there or _is_failure(error) or isinstance(error, StillRunning)


def _shutting_down(error: BaseException) -> bool:
    """Whether this is a cancellation that comes from the end of Open WebUI and not from a Stop: its
    event loop ends, or uvicorn cuts off requests that take too long to end, and says so in words.
    """
    if not isinstance(error, asyncio.CancelledError):
        return False
    if Pool.here().ending:
        return True
    return any("shutdown" in str(argument) for argument in error.args)


# Withdrawing: within the few seconds that a Stop has, and after that in the background.


async def _clean_up(
    server: ComfyUIServer, prompt_id: str, posting: "asyncio.Task[Accepted]", error: BaseException
) -> None:
    """Withdraw a prompt after an error, which gets a note where the server could not be told in
    time.
    """
    if not await finish(_withdraw(server, prompt_id, posting), CLEAN_UP_SECONDS):
        server.background.later(_withdraw_late(server, prompt_id, posting))
        error.add_note(STILL_AT_WORK)


async def _withdraw(
    server: ComfyUIServer, prompt_id: str, posting: "asyncio.Task[Accepted]"
) -> None:
    """Cancel a prompt on the server, also one whose post is still under way, which the server may
    yet take in. Raises a `ServerError` when the server could not be told.
    """
    await asyncio.wait({posting}, timeout=CLEAN_UP_SECONDS / 2)
    if not posting.done():
        server.background.later(_withdraw_late(server, prompt_id, posting))
    await server.cancel(_posted_as(prompt_id, posting))


async def _withdraw_late(
    server: ComfyUIServer, prompt_id: str, posting: "asyncio.Task[Accepted]"
) -> None:
    """The same with more patience, when nobody waits for it any more: a server that was away may
    come back with its queue, and would run a job that nobody collects, or that was run elsewhere.
    """
    await asyncio.gather(posting, return_exceptions=True)
    for pause in WITHDRAW_PAUSES:
        await asyncio.sleep(pause)
        with contextlib.suppress(ServerError):
            await server.cancel(_posted_as(prompt_id, posting), ANSWER_SECONDS)
            return


def _posted_as(prompt_id: str, posting: "asyncio.Task[Accepted]") -> str:
    """The id that a prompt has on its server: Comfy Cloud gives it one of its own."""
    was_answered = posting.done() and not posting.cancelled()
    if was_answered and not posting.exception():
        return posting.result().prompt_id
    return prompt_id


# Watching: frames and look-ups in one line, until the job has ended, is lost, or its server is
# gone.


async def watch(
    server: ComfyUIServer,
    fleet: Fleet,
    job: Job,
    subscription: Subscription,
    listener: ProgressListener,
    *,
    wait: float,
    part: str = "",
    announced: Callable[[Sequence[Output]], None] | None = None,
) -> Job:
    """Feed the job with frames and look-ups until it has ended or is lost; then with its history
    entry, where that may know more. A job of which all nodes are done, by the frames, ends well
    though look-ups find nothing more.

    Raises `StillRunning` after `wait` seconds, and `ServerGone`.
    """
    deadline = time.monotonic() + wait
    look_ups = LookUps(server, job.prompt_id, subscription, fleet.timing)
    try:
        while not job.ended and not job.lost:
            now = time.monotonic()
            if now >= deadline:
                raise _still_running(
                    job, server, fleet.owner.job_id(server.endpoint, job.prompt_id), wait
                )
            look_ups.begin_if_due(now)
            event = await _next_event(subscription, min(look_ups.next_at, deadline) - now)
            if event is None:
                continue
            now = time.monotonic()
            if isinstance(event, LookedUp):
                event = event.answer
                look_ups.answered(event, now)
                if isinstance(event, (Waiting, Started)):  # it is there, whatever happened before
                    job = replace(job, away=not look_ups.heard_throughout)
            else:
                look_ups.heard(event, job.started, now)
            job = advance(job, event, now)
            if announced and isinstance(event, Executed):
                announced(event.outputs)
            if job.good and isinstance(event, (Absent, Silence)):
                break  # the last frame was missed, and nobody can say more
            # Of frames that came together only the last one is shown.
            if subscription.events.empty() or isinstance(event, Silence):
                _tell(job, event, listener, part, fleet.timing)
    finally:
        await look_ups.end()
    if job.ended and _entry_may_know_more(job):
        job = advance(job, await _recorded(server, job.prompt_id, fleet.timing), time.monotonic())
    if job.lost and await _was_taken_out(server, job):
        job = replace(job, away=False)
    return job


async def _next_event(subscription: Subscription, seconds: float) -> Event | None:
    """What is told next, None when nothing is within so many seconds."""
    if not subscription.events.empty():
        return subscription.events.get_nowait()
    try:
        async with asyncio.timeout(seconds):
            return await subscription.events.get()
    except TimeoutError:
        return None


async def _was_taken_out(server: ComfyUIServer, job: Job) -> bool:
    """Whether a lost job certainly did not go with a restart of its server."""
    if not job.taken:
        return False
    if not job.away:
        return True
    with contextlib.suppress(ServerError):
        return await server.has_run_since(job.seen)
    return False


def _still_running(job: Job, server: ComfyUIServer, job_id: str, wait: float) -> StillRunning:
    _, standing = describe(job, time.monotonic())
    if job.ahead and not job.started:
        standing += server.record.done_in(job.ahead.ahead)
    at_work = f"is still at work: {standing}"
    if job.silent_since is not None:
        at_work = "does not answer at the moment"
    return StillRunning(
        f"The longest wait ({duration(wait)}) is over and ComfyUI {at_work}.", job_id
    )


def _entry_may_know_more(job: Job) -> bool:
    """Whether the history entry may know more of a job than its frames told."""
    if job.recorded:
        return False
    has_made = job.outputs or job.sent
    return not job.complete or not has_made or job.failure is not None


class LookUps:
    """The look-ups of a job, one at a time: soon after the post for its place in the queue, after
    silence, after every gap, and when the queue moves while it waits. Those that bring nothing new
    grow apart. Their answers come as `LookedUp`, in line with the frames. Times are those of
    `time.monotonic`.
    """

    def __init__(
        self, server: ComfyUIServer, prompt_id: str, subscription: Subscription, timing: Timing
    ) -> None:
        now = time.monotonic()
        self._server = server
        self._prompt_id = prompt_id
        self._subscription = subscription
        self._timing = timing
        self._interval = timing.look_up if subscription.connected else timing.polling
        self._due = now + timing.first
        self._begun = now  # when the last one began
        self.heard_throughout = False  # whether the websocket has been open ever since
        # a look at the queue from before the post, or the last answer, tells nothing new
        self._known_since = now
        self._task: asyncio.Task[None] | None = None
        self._renewed = False  # whether the websocket was opened anew

    @property
    def next_at(self) -> float:
        """When the next look-up is due; infinite while one is under way."""
        if self._task and not self._task.done():
            return math.inf
        return self._due

    def begin_if_due(self, now: float) -> None:
        """Begin a look-up if one is due. Its answer will say when the next one is."""
        if now < self.next_at:
            return
        self._begun, self._due = now, math.inf
        self.heard_throughout = self._subscription.connected
        since = max(self._known_since, now - SHARED_SECONDS)
        self._task = asyncio.create_task(
            _look(self._server, self._prompt_id, self._subscription, since)
        )

    def answered(self, answer: Event, now: float) -> None:
        """A look-up found this."""
        timing = self._timing
        self._subscription.awaits_move = not isinstance(answer, Started)
        self._known_since = now
        if isinstance(answer, Absent):
            self._interval = timing.settle
        else:
            longest = timing.longest if self._subscription.connected else timing.look_up
            self._interval = min(self._interval * 1.5, longest)
        self._due = now + self._interval * random.uniform(0.8, 1.2)  # nosec B311 # not all jobs at the same moment
        if isinstance(answer, Started) and not self._renewed:
            self._renewed = self._server.connection.renew()

    def heard(self, event: Event, started: bool, now: float) -> None:
        """The websocket told this of a job that has `started` or waits still."""
        timing = self._timing
        if isinstance(event, QueueMoved):
            if not started:
                self._due = min(self._due, self._begun + timing.settle)
        elif isinstance(event, Gap):
            self._interval, self._due = timing.polling, now
            self.heard_throughout = False
        elif isinstance(event, (Succeeded, Failed, Interrupted)):
            self._due = now + timing.settle
        else:
            self._interval = timing.look_up
            self._due = now + self._interval

    async def end(self) -> None:
        """Cancel the look-up that is under way."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _tell(job: Job, event: Event, listener: ProgressListener, part: str, timing: Timing) -> None:
    """Show how the job stands. Raises `ServerGone` when for `timing.gone` seconds no connection
    could be made, or, of a job that the server may never have got, nothing was heard.
    """
    now = time.monotonic()
    if not isinstance(event, Silence) or job.silent_since is None:
        phase, text = describe(job, now)
        told = joined(part, text)
        JOBS.stands(job.prompt_id, told)
        listener.status(phase, told, job.fraction)
        return
    too_long_ago = now - timing.gone
    refused = job.refused_since is not None and job.refused_since <= too_long_ago
    never_heard = not job.taken and job.silent_since <= too_long_ago
    if refused or never_heard:
        message = f"ComfyUI stopped answering in the middle of the run. {event.reason}"
        raise ServerGone(message, refused=refused, executing=job.started)
    listener.status("silent", joined(part, Phrase("silent")))


async def _look(
    server: ComfyUIServer, prompt_id: str, subscription: Subscription, since: float
) -> None:
    """Look a job up and put the answer in line behind the frames that came meanwhile."""
    answer: Event = Silence("The look-up failed.")
    try:
        answer = await _look_up(server, prompt_id, since)
    except Exception:
        log.exception("a mistake in the ComfyUI tool")
    subscription.events.put_nowait(LookedUp(answer))


async def _look_up(server: ComfyUIServer, prompt_id: str, since: float) -> Event:
    """What a look-up found; `Silence` where the server gives no answer."""
    try:
        return await server.look_up(prompt_id, since)
    except ServerError as error:  # also a proxy that answers for a server that restarts
        return Silence(error.message, isinstance(error, ServerUnreachable) and error.refused)


async def _recorded(server: ComfyUIServer, prompt_id: str, timing: Timing) -> Event:
    """The history entry of a run that has ended, which may take a moment to appear; `Gap` when it
    does not.
    """
    for pause in (0.0, 0.1, 0.2, 0.4, timing.settle):
        await asyncio.sleep(pause)
        event = await _look_up(server, prompt_id, time.monotonic())
        if isinstance(event, Recorded):
            return event
    return Gap()
