"""Several ComfyUI servers used as one: which takes a run, and how much a user may post.

A `Fleet` is the servers of one call with the rules for them: the administrator's `Limits`, the
`Owner` of the jobs, and `Timing`, which says how long to wait for what. In the order of a call:

- `admission` lets a call in, before any file of the user is read, if they may have one more.
- `found` settles, where the address was only guessed, which of the guesses answers.
- `in_order` asks all queues at once (`survey`, which makes a `QueueSnapshot` of each server) and
  sorts the servers by when the run would be done there. It refuses what is over a limit already.
- `admit` counts once more after the post: somebody may have posted elsewhere at the same moment.

`statuses` is what comfyui_status tells. `everywhere` asks every server the same, for lists.
Whatever one server sends, or does not send, spoils no other's answer: all are asked through
`ask_one`.

All that several workers have to agree on is read from the servers' own queues: there is no other
record of who has how many jobs. A server's pace and faults (server/record.py) are what this process
alone has seen of it.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from ..errors import (
    AccessRefused,
    ComfyUIError,
    LimitExceeded,
    ServerError,
    ServerUnreachable,
    UnexpectedAnswer,
)
from ..logs import log
from ..names import duration
from ..server.client import PROBE_SECONDS, ComfyUIServer
from ..server.endpoint import Endpoint
from ..server.faults import no_answer
from ..server.pool import Pool, open_server
from ..server.protocol import Prompt, Queue, Recent, Recorded, Waiting
from ..server.record import Record
from ..server.stats import Stats
from ..tasks import ANSWER_SECONDS, T, Turns, gather, together
from .monitor import NOBODY, Monitor
from .owner import JOBS, Owner, marked_time

SHARED_SECONDS = 0.1  # how old a look at a queue may be that jobs share with one another
USUAL_PACE = 10.0  # seconds of a run, where no server has a measured pace


@dataclass(frozen=True)
class Timing:
    """How long to wait for what, in seconds."""

    first: float = 0.3  # from the post to the first look-up, for the place in the queue
    look_up: float = 5.0  # without a frame of the job, until it is looked up
    longest: float = 30.0  # between two look-ups at most; they grow apart up to this
    polling: float = 1.0  # between look-ups while there is no websocket; grows to `look_up`
    # from the last good frame to the history entry, and between two look-ups that find nothing
    settle: float = 1.0
    gone: float = 60.0  # without a connection, until the server is given up and its job with it


@dataclass(frozen=True)
class Limits:
    """What the administrator allows for one call."""

    count: int = 4  # pictures in one call
    steps: int = 100
    megapixels: float = 4.2  # of a picture
    upscaled_megapixels: float = 34.0  # of an enlarged one
    video_seconds: float = 30.0
    wait_seconds: float = 3600.0  # then the call ends, and the job goes on
    jobs: int = 0  # of one user at once, on all servers together; 0 for any number
    queue: int = 0  # prompts; a queue of so many is not joined; 0 for any number
    # whether workflows that the caller brings may name no files and paths on the server
    guards_own: bool = False
    own_nodes: tuple[str, ...] = ("*",)  # patterns of the classes of nodes that these may have

    @property
    def need_queues(self) -> bool:
        """Whether it takes a look at the queues to keep them."""
        return bool(self.jobs or self.queue)


@dataclass(frozen=True)
class QueueSnapshot:
    """What was seen of a server when the queues were asked: its queue, or why it cannot be used."""

    endpoint: Endpoint
    record: Record
    queue: Queue = Queue((), ())
    ended: frozenset[str] = frozenset()  # ids of jobs that have ended, where that was asked
    error: ComfyUIError | None = None

    def seconds_until_done(self, workflow: str, usual: float) -> float:
        """In how many seconds a run of the workflow would be done here, its wait in the queue
        counted, at the pace that was measured; `usual` is the pace where none was.
        """
        runs_before = len(self.queue) + self.record.coming
        seconds = self.record.seconds_behind(runs_before, workflow)
        return (runs_before + 1) * usual if seconds is None else seconds


@dataclass(frozen=True)
class ServerStatus:
    """How a server stands at the moment, for comfyui_status. `error` says why it could not be
    asked.
    """

    endpoint: Endpoint
    record: Record
    stats: Stats | None = None
    queue: Queue | None = None
    mine: int = 0  # jobs in its queue that are the caller's
    error: ComfyUIError | None = None

    @property
    def health(self) -> str:
        """In a word or two: "ready", "busy", "unreachable", the code of another error ("access
        refused"), or "resting" while no runs are sent there since it failed.
        """
        if isinstance(self.error, ServerUnreachable):
            return "unreachable"
        if self.error:
            return self.error.code.replace("_", " ")
        if self.record.resting:
            return "resting"
        return "busy" if self.queue else "ready"

    @property
    def usable(self) -> bool:
        """Whether a run can be sent there."""
        return self.health in ("ready", "busy")


@dataclass(frozen=True)
class Fleet:
    """The servers of a call, used as one, and the rules for them."""

    endpoints: tuple[Endpoint, ...]  # in the administrator's order
    limits: Limits = Limits()
    owner: Owner = field(default_factory=Owner)
    timing: Timing = Timing()
    # get no runs now, but the user's jobs there count and are found
    others: tuple[Endpoint, ...] = ()
    monitor: Monitor = NOBODY

    @property
    def known(self) -> tuple[Endpoint, ...]:
        """All servers on which the user may have jobs, those included that take none now."""
        return (*self.endpoints, *self.others)

    async def found(self) -> "Fleet":
        """The fleet with its address settled: of guesses at where the one server may be, only the
        first stays at which a ComfyUI answers. Any other fleet is the same as before.

        Raises `ServerUnreachable` naming all that were tried, or the `AccessRefused` of one that
        does answer.
        """
        if len(self.endpoints) < 2 or not all(endpoint.guessed for endpoint in self.endpoints):
            return self
        failures: list[ServerError] = []
        for endpoint in self.endpoints:
            async with open_server(endpoint) as server:
                try:
                    await server.probe()
                    return replace(self, endpoints=(endpoint,))
                except ServerError as error:
                    failures.append(error)
        raise self.none_answers(failures)

    @contextlib.asynccontextmanager
    async def admission(self) -> AsyncIterator["Fleet"]:
        """A call that makes something, from before anything of it is read until what it made is
        stored; gives out the fleet as it is `found`. Raises `LimitExceeded` when the user has as
        many jobs as allowed, and as `found` does.

        The calls that they have under way in this process count, whether or not their jobs are
        posted yet, and the jobs in the queues that are none of theirs. Of calls at the same moment
        those that began first are let in.
        """
        with JOBS.attending(self.owner):
            fleet = self
            if self.limits.jobs:
                fleet = await self._with_room_for_call()
            yield fleet

    async def _with_room_for_call(self) -> "Fleet":
        """The fleet as it is `found`, with room for this call. Raises `LimitExceeded`."""
        calls = JOBS.calls_before(self.owner)
        if len(calls) >= self.limits.jobs:
            raise self._too_many([], len(calls))
        fleet = await self.found()
        snapshots = await fleet.survey()
        posted_here = set[str]().union(*calls)  # also by calls that have ended meanwhile
        calls = JOBS.calls_before(self.owner)
        posted_here = posted_here.union(*calls)
        jobs = [job for job in self._marked_jobs(snapshots) if job[1].prompt_id not in posted_here]
        if len(calls) + len(jobs) >= self.limits.jobs:
            raise self._too_many(jobs, len(calls))
        return fleet

    async def in_order(self, workflow: str, gone: Collection[Endpoint] = ()) -> list[Endpoint]:
        """The servers to try for a run of the workflow of this name ("" for any): the one that will
        be done soonest first, those that rest last, none of those that are `gone`. One server
        without limits is not asked anything.

        Raises `LimitExceeded` when the user has as many jobs as allowed, or all queues are as long
        as allowed, and `ServerError` when none can be asked.
        """
        endpoints = [endpoint for endpoint in self.endpoints if endpoint not in gone]
        if len(self.endpoints) == 1 and not self.limits.need_queues:
            return endpoints
        snapshots = await self.survey()
        # All who waited for the same look go on at the same moment. From here to where the call is
        # counted on its server nothing may be awaited, or all of them would choose the same one.
        await Turns.here().come()
        able, resting = _able_and_resting(endpoints, snapshots)
        if not able and not resting:
            raise self.none_answers([snapshot.error for snapshot in snapshots if snapshot.error])
        if self.limits.jobs:
            able = self._with_room(snapshots, able)
        usual = self._usual_pace(able)
        joined = self._short_enough(able, usual)
        # a tie keeps the administrator's order
        joined.sort(key=lambda one: one.seconds_until_done(workflow, usual))
        return [*(snapshot.endpoint for snapshot in joined), *resting]

    async def survey(self, also: Endpoint | None = None) -> list[QueueSnapshot]:
        """The queues of all servers, asked at the same time; those of `others` only where the
        number of jobs is limited.

        A server that rests because it did not answer is left out, unless it is `also`, or there
        would be none left of the call's own.
        """
        asked: list[Endpoint] = []
        wanted = self.known if self.limits.jobs else self.endpoints
        for endpoint in wanted:
            record = Pool.here().server(endpoint).record
            is_silent = record.resting and record.silent
            if endpoint == also or not is_silent:
                asked.append(endpoint)
        if not set(asked) & set(self.endpoints):
            asked = [*self.endpoints, *asked]
        seen = await together(("queues", *asked), functools.partial(self._look_at, asked))
        # Another call may have asked, whose endpoints are equal and may have other names.
        snapshots = [
            replace(one, endpoint=endpoint) for one, endpoint in zip(seen, asked, strict=True)
        ]
        for snapshot in snapshots:
            self.monitor.server(snapshot.endpoint, snapshot.record)
        if self.limits.jobs and len(self._marked_jobs(snapshots)) >= self.limits.jobs:
            return await self._without_replays(snapshots)
        return snapshots

    async def _without_replays(self, snapshots: Sequence[QueueSnapshot]) -> list[QueueSnapshot]:
        """The same with the jobs in them that have ended, by the newest part of a server's history:
        somebody else may have posted a job of this user anew, with its id and its mark.
        """
        answers = await ask_each(
            [snapshot.endpoint for snapshot in snapshots if snapshot.error is None],
            lambda server: server.background.together("recent prompts", server.recent),
            PROBE_SECONDS,
        )
        ended = {
            prompt.prompt_id
            for _, recent in answers
            if isinstance(recent, Recent)
            for prompt in recent.prompts
            if isinstance(prompt.state, Recorded)
        }
        return [replace(snapshot, ended=frozenset(ended)) for snapshot in snapshots]

    @classmethod
    async def _look_at(cls, endpoints: Sequence[Endpoint]) -> list[QueueSnapshot]:
        """The queues of these servers as they are now."""
        since = time.monotonic()
        return await gather(
            len(endpoints),
            [functools.partial(cls._look, endpoint, since) for endpoint in endpoints],
        )

    @staticmethod
    async def _look(endpoint: Endpoint, since: float) -> QueueSnapshot:
        """The server's queue as it was at `since` or later. One that does not answer is left to
        rest.
        """
        record = Pool.here().server(endpoint).record
        queue = await ask_one(endpoint, lambda server: server.queue_soon(since))
        if isinstance(queue, ComfyUIError):
            record.rest(queue.message, silent=True)
            return QueueSnapshot(endpoint, record, error=queue)
        if record.silent:
            record.recover()
        return QueueSnapshot(endpoint, record, queue)

    def _with_room(
        self, snapshots: Sequence[QueueSnapshot], able: Sequence[QueueSnapshot]
    ) -> list[QueueSnapshot]:
        """The servers of `able` on which the user may have one job more. An account of Comfy Cloud
        is full by itself: whose jobs it has is not told, so all of them count there and none
        elsewhere. Raises `LimitExceeded`.
        """
        jobs = self._marked_jobs(snapshots)
        full: list[QueueSnapshot] = []
        for snapshot in able:
            if (
                not snapshot.endpoint.shows_marks
                and len(jobs) + len(snapshot.queue) >= self.limits.jobs
            ):
                full.append(snapshot)
        none_left = bool(full) and len(full) == len(able)
        if len(jobs) >= self.limits.jobs or none_left:
            for snapshot in full[:1]:
                jobs += [(snapshot, prompt) for prompt in snapshot.queue.prompts]
            raise self._too_many(jobs)
        return [snapshot for snapshot in able if snapshot not in full]

    def _marked_jobs(
        self, snapshots: Sequence[QueueSnapshot]
    ) -> list[tuple[QueueSnapshot, Prompt]]:
        """The user's jobs in all queues that show whose they are, each id once."""
        jobs: dict[str, tuple[QueueSnapshot, Prompt]] = {}
        for snapshot in snapshots:
            if snapshot.endpoint.shows_marks:
                for prompt in self._own(snapshot):
                    jobs.setdefault(prompt.prompt_id, (snapshot, prompt))
        return list(jobs.values())

    def _short_enough(self, able: Sequence[QueueSnapshot], usual: float) -> list[QueueSnapshot]:
        """The servers whose queues are short enough to be joined. Raises `LimitExceeded` where none
        is.
        """
        if not self.limits.queue:
            return list(able)
        short = [snapshot for snapshot in able if len(snapshot.queue) < self.limits.queue]
        if able and not short:
            shortest = min(able, key=lambda snapshot: len(snapshot.queue))
            raise self._too_long(shortest, len(shortest.queue), usual)
        return short

    def _own(self, snapshot: QueueSnapshot) -> list[Prompt]:
        """The user's jobs in the queue that was seen."""
        own = self.owner.among(snapshot.endpoint, snapshot.queue)
        return [prompt for prompt in own if prompt.prompt_id not in snapshot.ended]

    async def admit(self, endpoint: Endpoint, prompt_id: str, posted: float) -> None:
        """Count again after a post, since others may have posted at the same time. The later one
        over a limit raises `LimitExceeded`, and its prompt has to be withdrawn. Without a limit
        nothing is asked.

        `posted` is when the prompt was posted, in seconds since 1970, as its mark tells. On one
        server the order of posts is that of the server's own numbers, between servers that of the
        times in the marks. It has to be one or the other for all jobs, else each of three might
        find another one before it.

        On one server the limit holds exactly. Of two jobs posted on different servers at the same
        moment, the one with the earlier mark may come into sight only after the other one has
        looked; then both go on. One job too many is no harm, and nobody looks again.
        """
        if not self.limits.need_queues:
            return
        snapshots = {
            snapshot.endpoint: snapshot
            for snapshot in await self.survey(endpoint)
            if not snapshot.error
        }
        here = snapshots.get(endpoint)
        if here is None:  # nobody can say
            return
        posted_job = here.queue.prompt(prompt_id)
        if posted_job is None:  # done already
            return
        ahead = _ahead(posted_job)
        if self.limits.queue and ahead >= self.limits.queue:
            raise self._too_long(here, ahead, self._usual_pace(snapshots.values()))
        if self.limits.jobs:
            earlier = self._earlier(posted_job, posted, here, snapshots.values())
            if len(earlier) >= self.limits.jobs:
                raise self._too_many(earlier)

    def _earlier(
        self, job: Prompt, posted: float, here: QueueSnapshot, snapshots: Iterable[QueueSnapshot]
    ) -> list[tuple[QueueSnapshot, Prompt]]:
        """The user's jobs that come before one that was `posted` at this time and is in the queue
        of `here`.
        """
        by_number = len(self.known) == 1 or not here.endpoint.shows_marks
        earlier: dict[str, tuple[QueueSnapshot, Prompt]] = {}
        for snapshot in snapshots:
            if not snapshot.endpoint.shows_marks and snapshot is not here:
                continue
            for other in self._own(snapshot):
                if by_number and snapshot is here:
                    comes_before = other.number < job.number
                else:
                    comes_before = (marked_time(other, "at"), other.prompt_id) < (
                        posted,
                        job.prompt_id,
                    )
                if comes_before and other.prompt_id != job.prompt_id:
                    earlier.setdefault(other.prompt_id, (snapshot, other))
        return list(earlier.values())

    def none_answers(self, errors: Sequence[ComfyUIError]) -> ComfyUIError:
        """The error of a fleet of which no server can be used: the only one there is, else that of
        a server which wants other credentials, else one that names all that were tried.
        """
        for failure in errors:
            if len(errors) == 1 or isinstance(failure, AccessRefused):
                return failure
        tried = ", ".join(endpoint.url for endpoint in self.endpoints)
        error = ServerUnreachable(
            "No ComfyUI answers.",
            "ComfyUI has to be started, with --listen where Open WebUI runs in Docker or on another computer. Where it "
            'is elsewhere than was tried, an administrator has to set the valve "ComfyUI address" of this tool.',
        ).at(f"Tried: {tried}.")
        error.nothing_set = all(endpoint.guessed for endpoint in self.endpoints)
        return error

    def _too_many(
        self, jobs: Sequence[tuple[QueueSnapshot, Prompt]], calls: int = 0
    ) -> LimitExceeded:
        """The error of a user who has these jobs and calls already, and when the first of the jobs
        will be done.
        """
        seconds_left = []
        for snapshot, prompt in jobs:
            pace = snapshot.record.pace()
            if pace:
                runs = _ahead(prompt) + 1
                seconds_left.append(runs * pace)
        when = "later"
        if seconds_left:
            when = f"in about {duration(max(min(seconds_left), 1))}"
        count = len(jobs) + calls
        has = "1 job" if count == 1 else f"{count} jobs"
        where = "under way" if calls else "in the queue"
        return LimitExceeded(
            f"The user has {has} {where} already, and the administrator allows {self.limits.jobs} at once.",
            f"Try again {when}, when one is done; check_job tells how they stand.",
        )

    def _too_long(self, snapshot: QueueSnapshot, count: int, usual: float) -> LimitExceeded:
        """The error of a queue that already has `count` jobs, and when there will be room in it."""
        runs = count - self.limits.queue + 1
        seconds = runs * (snapshot.record.pace() or usual)
        jobs = f"{count} jobs" if snapshot.queue.is_whole else f"At least {count} jobs"
        return LimitExceeded(
            f"{jobs} wait in the queue, and the administrator allows joining one of fewer than {self.limits.queue}.",
            f"Try again in about {duration(max(seconds, 1))}.",
        )

    @staticmethod
    def _usual_pace(snapshots: Iterable[QueueSnapshot]) -> float:
        """Seconds of a run on average over the servers where that was measured, else
        `USUAL_PACE`.
        """
        paces = [snapshot.record.pace() for snapshot in snapshots]
        measured = [pace for pace in paces if pace]
        if not measured:
            return USUAL_PACE
        return sum(measured) / len(measured)

    async def statuses(self) -> list[ServerStatus]:
        """How all servers stand, also those that rest, in the administrator's order; asked at the
        same time and each within `PROBE_SECONDS`. Of guesses at where the one server may be, only
        the first at which a ComfyUI answers, if any does.
        """
        looks = [functools.partial(self._status_of, endpoint) for endpoint in self.endpoints]
        statuses = await gather(len(looks), looks)
        answering = [status for status in statuses if not status.error]
        if answering and all(endpoint.guessed for endpoint in self.endpoints):
            return answering[:1]
        return statuses

    async def _status_of(self, endpoint: Endpoint) -> ServerStatus:
        status = ServerStatus(endpoint, Pool.here().server(endpoint).record)

        async def look(server: ComfyUIServer) -> None:
            nonlocal status
            status = replace(status, stats=await server.stats())
            queue = await server.queue(time.monotonic())
            status = replace(status, queue=queue, mine=len(self.owner.among(endpoint, queue)))

        error = await ask_one(endpoint, look, PROBE_SECONDS)
        return replace(status, error=error)


def _able_and_resting(
    endpoints: Sequence[Endpoint], snapshots: Sequence[QueueSnapshot]
) -> tuple[list[QueueSnapshot], list[Endpoint]]:
    """Those of the servers that answered and can take a run, and those that rest; one that was not
    asked rests, too.
    """
    asked = {snapshot.endpoint: snapshot for snapshot in snapshots}
    able: list[QueueSnapshot] = []
    resting: list[Endpoint] = []
    for endpoint in endpoints:
        snapshot = asked.get(endpoint)
        if snapshot is None:
            resting.append(endpoint)
        elif snapshot.error is None:
            if snapshot.record.resting:
                resting.append(endpoint)
            else:
                able.append(snapshot)
    return able, resting


def _ahead(prompt: Prompt) -> int:
    """How many prompts come before it in its queue."""
    if isinstance(prompt.state, Waiting):
        return prompt.state.ahead
    return 0


async def ask_one(
    endpoint: Endpoint,
    ask: Callable[[ComfyUIServer], Awaitable[T]],
    seconds: float = ANSWER_SECONDS,
) -> T | ComfyUIError:
    """What one server of several answers within so many seconds, or why it does not. What nobody
    foresaw in its answer is an error of this server alone.
    """
    try:
        async with open_server(endpoint) as server, asyncio.timeout(seconds):
            return await ask(server)
    except ComfyUIError as error:
        return error
    except TimeoutError as error:
        return no_answer(endpoint, error, seconds)
    except Exception:
        log.exception("an answer of %s cannot be read", endpoint.name)
        return UnexpectedAnswer(f"An answer of {endpoint.name} cannot be read.").at(endpoint.place)


async def ask_each(
    endpoints: Sequence[Endpoint],
    ask: Callable[[ComfyUIServer], Awaitable[T]],
    seconds: float = ANSWER_SECONDS,
) -> list[tuple[Endpoint, T | ComfyUIError]]:
    """What each of several servers answers within so many seconds, all asked at once, or why it
    does not.
    """
    questions = [functools.partial(ask_one, endpoint, ask, seconds) for endpoint in endpoints]
    return list(zip(endpoints, await gather(len(questions), questions), strict=True))


async def everywhere(
    endpoints: Sequence[Endpoint], ask: Callable[[ComfyUIServer], Awaitable[T]]
) -> tuple[list[T], list[str]]:
    """The answers of all servers that can give one, in the administrator's order, and the names of
    those that do not answer as a ComfyUI does. When none can, raises the first refusal that is
    about the question itself, else as `Fleet.none_answers`.
    """
    fleet = await Fleet(tuple(endpoints)).found()

    async def ask_soon(server: ComfyUIServer) -> T:
        if len(fleet.endpoints) > 1:
            # one that hangs holds nobody up
            await server.queue_soon(time.monotonic() - SHARED_SECONDS)
        return await ask(server)

    answers: list[T] = []
    left_out: list[str] = []
    refusals: list[ComfyUIError] = []
    server_errors: list[ServerError] = []
    for endpoint, result in await ask_each(fleet.endpoints, ask_soon):
        if isinstance(result, ServerError):
            server_errors.append(result)
            left_out.append(endpoint.name)
        elif isinstance(result, ComfyUIError):
            refusals.append(result)
        else:
            answers.append(result)
    if answers:
        return answers, left_out
    if refusals:
        raise refusals[0]
    raise fleet.none_answers(server_errors)
