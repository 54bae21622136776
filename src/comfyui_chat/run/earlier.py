"""Finds jobs of earlier calls on the servers, and brings what they made.

A job may outlive its call: the longest wait was over, or Open WebUI was restarted. `find_job` looks
for one by its id, `own_jobs` for all of a user's, by the marks in their prompts (run/owner.py), in
ComfyUI's queues and in the newest part of its histories. `bring` follows one to its end and fetches
its files, and `job_line` tells in a line how one stands.

Nothing is kept of jobs on this side. So a job is gone for good once ComfyUI, which forgets its
history when it restarts, no longer knows it. Comfy Cloud does not show whose its jobs are: there a
job is found by its id only, which is signed for that.
"""

import hmac
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..bounds import MOST_WORD_CHARACTERS
from ..errors import BadArgument, ComfyUIError, ServerUnreachable, StillRunning, UnknownJob
from ..graph.facts import picture_nodes
from ..media.delivery import Format
from ..names import quoted, shortened
from ..phrases import Phrase
from ..server.client import LOOK_UP_SECONDS, ComfyUIServer
from ..server.endpoint import Endpoint
from ..server.pool import Pool, open_server
from ..server.protocol import Prompt, Recent, Recorded, Waiting
from ..tasks import T
from .collecting import Allowance, collect, later_note
from .fleet import Fleet, ask_each
from .follow import ProgressListener, ignore_preview, watch
from .job import Job, advance, judge, missed_pictures
from .options import RunResult
from .owner import JOBS, mark_of, marked_time
from .used import read_used

CHECK_SECONDS = 20.0  # how long check_job waits for a job that is still at work
COLLECT_SECONDS = 24 * 3600.0  # since a job's end, after which it is only brought when it is named
PROMPT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def find_job(fleet: Fleet, job_id: str) -> tuple[Endpoint, Prompt]:
    """The user's job with this id (`Owner.job_id`), on whichever server knows it.

    Raises `BadArgument` for what is not an id, `UnknownJob` where no server knows it or it is
    somebody else's, and `ServerUnreachable` where one that does not answer may know it.
    """
    prompt_id, _, signature = job_id.strip().lower().partition(".")
    if not PROMPT_ID.fullmatch(prompt_id):
        raise BadArgument(
            f'The argument job_id is "{shortened(job_id)}", which is not the id of a job.',
            'Results that are "still running" tell theirs; or leave it out.',
        )

    async def ask(server: ComfyUIServer) -> Prompt | None:
        return await server.find(prompt_id)

    answers, silent = await _ask_all(fleet, ask)
    signed = hmac.compare_digest(
        signature.encode(errors="replace"), fleet.owner.mark(prompt_id)[:16].encode()
    )
    for endpoint, prompt in answers:
        if prompt is None:
            continue
        is_theirs = signed
        if endpoint.shows_marks:
            is_theirs = fleet.owner.owns(prompt)
        if is_theirs:
            return endpoint, prompt
    if silent:
        do_not = "does not" if len(silent) == 1 else "do not"
        raise ServerUnreachable(
            f"No server that answers knows this job, and {quoted(silent)} {do_not}.",
            "Try again later.",
        )
    raise UnknownJob(
        "No server knows such a job of this user. ComfyUI forgets its history when it is restarted."
    )


@dataclass(frozen=True)
class OwnJobs:
    """The user's jobs on all servers, as far as these remember, the oldest first; the names of the
    servers that do not answer, and of those that have more than was read; and how long the queue of
    each server is, with everybody's jobs.
    """

    jobs: list[tuple[Endpoint, Prompt]]
    silent: list[str]
    in_part: list[str]
    queues: Mapping[str, str] = field(
        default_factory=dict, compare=False
    )  # name -> "1 running, 2 waiting", "" for an empty one
    # the names of servers whose history is empty
    forgetful: tuple[str, ...] = field(default=(), compare=False)

    @property
    def queue(self) -> str:
        """All queues that are not empty in words: "1 running, 2 waiting", with the names where
        there are several.
        """
        busy = {name: queue for name, queue in self.queues.items() if queue}
        if len(self.queues) == 1:
            return "".join(busy.values())
        return "; ".join(f"{name}: {queue}" for name, queue in busy.items())

    @property
    def at_work(self) -> list[tuple[Endpoint, Prompt]]:
        """Those that have not ended."""
        return [
            (endpoint, prompt)
            for endpoint, prompt in self.jobs
            if not isinstance(prompt.state, Recorded)
        ]


async def own_jobs(fleet: Fleet) -> OwnJobs:
    """The user's jobs on all servers. Those on Comfy Cloud are not among them: it does not show
    whose they are.
    """

    async def ask(server: ComfyUIServer) -> Recent:
        return await server.recent()

    answers, silent = await _ask_all(fleet, ask)
    jobs: dict[str, tuple[Endpoint, Prompt]] = {}  # each id once, whoever else posts copies
    for endpoint, recent in answers:
        for prompt in recent.prompts:
            if fleet.owner.owns(prompt):
                jobs.setdefault(prompt.prompt_id, (endpoint, prompt))
    in_part = [endpoint.name for endpoint, recent in answers if not recent.is_whole]
    queues = {endpoint.name: _queue_in_words(recent) for endpoint, recent in answers}
    forgetful = tuple(endpoint.name for endpoint, recent in answers if not _remembers(recent))
    ordered = sorted(jobs.values(), key=lambda job: marked_time(job[1], "at"))
    return OwnJobs(ordered, silent, in_part, queues, forgetful)


def _remembers(recent: Recent) -> bool:
    """Whether a server has anything in its history; where it was not read whole, it has."""
    return not recent.is_whole or any(
        isinstance(prompt.state, Recorded) for prompt in recent.prompts
    )


def _queue_in_words(recent: Recent) -> str:
    """How many prompts run on a server and how many wait: "1 running, 2 waiting"; "" where none
    does.
    """
    waiting = sum(isinstance(prompt.state, Waiting) for prompt in recent.prompts)
    running = sum(not isinstance(prompt.state, (Waiting, Recorded)) for prompt in recent.prompts)
    if not waiting and not running:
        return ""
    at_least = "" if recent.is_whole else "at least "
    return f"{running} running, {at_least}{waiting} waiting"


ALL_JOBS = frozenset(
    {"all", "any", "mine", "my", "jobs", "job", "*", "current", "running", "queue"}
)
LAST_JOB = frozenset({"last", "latest", "newest", "previous", "recent", "it"})
SHORT_ID = re.compile(r"[0-9a-f]{4,36}|[0-9a-f]{8}[0-9a-f-]{1,27}")  # the beginning of a prompt id
MOST_JOBS_NAMED = 20  # jobs of one call


def job_words(text: str) -> list[str]:
    """The ids and words in the argument of a call; none where all jobs are meant.

    '["0c6d7a1e", "last"]'  ->  ["0c6d7a1e", "last"]
    """
    words = [
        word.strip("\"'`#…")
        for word in re.split(r"[\s,;\[\]]+", text[:MOST_WORD_CHARACTERS].lower())
    ]
    return [word for word in dict.fromkeys(words) if word and word not in ALL_JOBS][
        :MOST_JOBS_NAMED
    ]


async def jobs_named(
    fleet: Fleet, words: Sequence[str], own: OwnJobs
) -> list[tuple[Endpoint, Prompt]]:
    """The user's jobs that these words mean, the oldest first: by an id, as `find_job` finds it,
    the beginning of one, "last", or a word of their name or workflow. Raises as `find_job` does for
    an id.
    """
    named: dict[str, tuple[Endpoint, Prompt]] = {}
    for word in words:
        if PROMPT_ID.fullmatch(word.partition(".")[0]):
            found = [await find_job(fleet, word)]
        elif word in LAST_JOB:
            found = own.jobs[-1:]
        else:
            found = [job for job in own.jobs if _is_called(job[1], word)]
        named |= {prompt.prompt_id: (endpoint, prompt) for endpoint, prompt in found}
    return list(named.values())


def _is_called(prompt: Prompt, word: str) -> bool:
    """Whether a word means a job: as the beginning of its id, or a word of its name or workflow."""
    if SHORT_ID.fullmatch(word) and prompt.prompt_id.startswith(word):
        return True
    about = mark_of(prompt)
    names = [str(about.get(key) or "").lower() for key in ("name", "workflow")]
    return word in names or any(word in re.split(r"[\W_]+", name) for name in names)


async def _ask_all(
    fleet: Fleet, ask: Callable[[ComfyUIServer], Awaitable[T]]
) -> tuple[list[tuple[Endpoint, T]], list[str]]:
    """What each server answers, and the names of those that do not within the time of a look-up."""
    answers: list[tuple[Endpoint, T]] = []
    silent: list[str] = []
    for endpoint, answer in await ask_each(fleet.known, ask, LOOK_UP_SECONDS):
        if isinstance(answer, ComfyUIError):
            silent.append(endpoint.name)
        else:
            answers.append((endpoint, answer))
    return answers, silent


async def bring(
    fleet: Fleet,
    endpoint: Endpoint,
    prompt: Prompt,
    listener: ProgressListener,
    *,
    previews: bool = True,
    wanted: Format = Format(),
    wait: float = CHECK_SECONDS,
    stored: Sequence[str] = (),
    allowance: Allowance | None = None,
) -> RunResult:
    """What a job made that an earlier call started, after a while of waiting if need be; but for
    the files that are `stored` already, by their sources, as far as the `allowance` goes. A Stop
    ends only the waiting.

    Raises `StillRunning` after `wait` seconds, and at once for a job that another call is
    following; and the job's own errors, as `judge` and `collect` do.
    """
    job_id = fleet.owner.job_id(endpoint, prompt.prompt_id)
    if JOBS.attended(prompt.prompt_id):
        standing = JOBS.standing(prompt.prompt_id)
        message = "Another call is following this job and brings it"
        raise StillRunning(f"{message}: {standing}." if standing else f"{message}.", job_id)
    graph = prompt.graph
    job = replace(Job.posted(prompt.prompt_id, graph), complete=False, away=True)
    job = advance(job, prompt.state, time.monotonic())
    on_preview = listener.preview if previews else ignore_preview
    JOBS.attend(prompt.prompt_id)
    try:
        async with open_server(endpoint) as server:
            if not job.ended:
                async with server.connection.listen(
                    prompt.prompt_id, picture_nodes(graph), on_preview
                ) as subscription:
                    job = await watch(server, fleet, job, subscription, listener, wait=wait)
            job = judge(job, graph)
            listener.status("saving", Phrase("saving"))
            collected = await collect(server, job, graph, wanted, fleet.timing, stored, allowance)
    except BaseException:
        JOBS.leave(prompt.prompt_id)
        raise
    about = mark_of(prompt)
    seed = about.get("seed")
    if not isinstance(seed, int):
        seed = None
    mask = str(about.get("mask") or "")
    return RunResult(
        products=tuple(replace(product, seed=seed, mask=mask) for product in collected.products),
        seed=seed,
        model=str(about.get("model") or ""),
        workflow=str(about.get("workflow") or ""),
        seconds=0.0,
        notes=(*collected.notes, *later_note(collected.left, job_id), *missed_pictures(job, graph)),
        texts=collected.texts,
        left_out=collected.left_out,
        used=read_used(about.get("used")),
        whole=() if collected.left else ((endpoint, prompt.prompt_id),),
    )


def job_line(fleet: Fleet, endpoint: Endpoint, prompt: Prompt) -> dict[str, str]:
    """How a job stands, for the model. What is not known is left out.

        {"job_id": "0c6d...", "state": "waiting, 2 ahead, done in about 3 min", "workflow": "sdxl",
         "name": "a-red-fox-7"}

    The states are "running", with the percentage and the time left where a call of this process
    follows it, "waiting, 2 ahead", with the time where this process has seen the server's pace,
    "failed", and "done, its own call is bringing it".
    """
    about = mark_of(prompt)
    state = "running"
    standing = JOBS.standing(prompt.prompt_id)
    if standing:
        state = f"running, {standing}"
    if isinstance(prompt.state, Waiting):
        record = Pool.here().server(endpoint).record
        state = f"waiting, {prompt.state}{record.done_in(prompt.state.ahead, str(about.get('workflow')))}"
    elif isinstance(prompt.state, Recorded):
        state = "failed"
        if prompt.state.success:
            state = "done, its own call is bringing it"
    line = {
        "job_id": fleet.owner.job_id(endpoint, prompt.prompt_id),
        "state": state,
        "workflow": shortened(about.get("workflow") or ""),
        "name": shortened(about.get("name") or ""),
    }
    return {key: value for key, value in line.items() if value}
