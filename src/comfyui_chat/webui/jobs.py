"""check_job: jobs of earlier calls brought into the chat, cancelled, or told of.

With an id `check_jobs` brings that job, or cancels it. Without one it looks at all jobs of the user
that the servers still know (run/earlier.py) and at what is stored of them already (`Chat.kept`),
and brings those that are done and not stored whole.

No result is to be stored twice, and none is to be missed. So a job that its own call is about to
bring is only told of (`is_attended`), what is stored already is shown again instead, and after the
files were fetched it is looked once more whether another worker stored them meanwhile.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import (
    BadArgument,
    ComfyUIError,
    RunInterrupted,
    ServerError,
    StillRunning,
    UnknownJob,
)
from ..media.kinds import OutputFile
from ..names import file_stem, quoted, shortened
from ..phrases import Phrase, joined
from ..run.collecting import Allowance
from ..run.earlier import (
    COLLECT_SECONDS,
    PROMPT_ID,
    OwnJobs,
    bring,
    find_job,
    job_line,
    job_words,
    jobs_named,
    own_jobs,
)
from ..run.fleet import Fleet, ServerStatus
from ..run.job import Job, advance, judge
from ..run.options import RunResult
from ..run.owner import JOBS, is_attended, mark_of, marked_time
from ..server.client import LOOK_UP_SECONDS
from ..server.endpoint import Endpoint
from ..server.pool import open_server
from ..server.protocol import Prompt, Recorded
from .chat import Chat
from .display import Display
from .reports import files_told, keep_and_report
from .settings import Settings
from .stored_files import StoredOutputs

REMOVED = "Jobs whose files were brought are removed from ComfyUI's history here, and are not found any more."
EVERY_JOB = ("all", "*", "everything")  # as which all are cancelled; without a word only one is
MOST_BROUGHT = 8  # jobs that one call brings, or whose failures it tells
OwnJob = tuple[Endpoint, Prompt]  # a job of the user, and the server that has it


async def check_jobs(
    chat: Chat, display: Display, settings: Settings, job_id: str, cancel: bool
) -> tuple[dict[str, Any], str]:
    """The jobs of earlier calls that `job_id` names brought or, with `cancel`, cancelled; without
    it all of the user's jobs, and so where it names none. Returns what the model gets, and the last
    status.

    Raises as `_check_all`, `jobs_named`, `bring` and `keep_and_report` do.
    """
    fleet = await settings.fleet.found()
    words = job_words(job_id)
    if len(words) == 1 and PROMPT_ID.fullmatch(words[0].partition(".")[0]):
        try:
            job = await find_job(fleet, words[0])
        except UnknownJob as unknown:
            return await _removed_job(chat, settings, words[0], unknown)
        return await _check_one(chat, display, settings, fleet, job, cancel)
    own = await own_jobs(fleet)
    jobs = await jobs_named(fleet, words, own)
    if len(jobs) == 1:
        return await _check_one(chat, display, settings, fleet, jobs[0], cancel)
    if cancel and job_id.strip().lower() in EVERY_JOB:
        jobs = own.at_work
    if jobs and cancel:
        return await _cancel_each(fleet, jobs)
    if words and cancel:
        raise UnknownJob(_no_such_job(job_id), _jobs_in_words(fleet, own))
    if jobs:
        own = replace(own, jobs=jobs)
    result, text = await _check_all(chat, display, settings, fleet, own, cancel)
    if words and not jobs:
        result["note"] = " ".join(
            [_no_such_job(job_id), result.get("note", "These are all of the user's jobs.")]
        )
    return result, text


async def _removed_job(
    chat: Chat, settings: Settings, job_id: str, unknown: UnknownJob
) -> tuple[dict[str, Any], str]:
    """What is stored of a job that no server knows. Raises `unknown` where nothing is."""
    prompt_id, _, _ = job_id.partition(".")
    stored = (await chat.kept({prompt_id: 0.0})).get(prompt_id)
    if stored and stored.files:
        return await _show_again(chat, stored, " ComfyUI no longer knows the job.")
    if settings.leaves_no_prompts:
        unknown.hint = f"{REMOVED} {unknown.hint}"
    raise unknown


def _no_such_job(job_id: str) -> str:
    return f'No job of the user is called "{shortened(job_id)}".'


def _jobs_in_words(fleet: Fleet, own: OwnJobs) -> str:
    """The jobs that are at work, as a hint: "At work: 0c6d... (running, a-red-fox-7)."."""
    said = []
    for job in own.at_work[-MOST_BROUGHT:]:
        line = job_line(fleet, *job)
        said.append(f"{line['job_id']} ({line['state']}, {line.get('name', '')})")
    return f"At work: {'; '.join(said)}." if said else "None is at work."


async def _check_one(
    chat: Chat, display: Display, settings: Settings, fleet: Fleet, job: OwnJob, cancel: bool
) -> tuple[dict[str, Any], str]:
    """One job brought, or cancelled. What is stored of it is shown where the rest cannot be
    brought.
    """
    if cancel:
        return await _cancel(fleet, *job)
    try:
        return await _bring(chat, display, settings, *job)
    except ServerError as error:
        _, prompt = job
        stored = await _stored_of(chat, prompt)
        if not stored.files:
            raise
        return await _show_again(chat, stored, f" The rest could not be brought: {error.message}")


async def _check_all(
    chat: Chat, display: Display, settings: Settings, fleet: Fleet, own: OwnJobs, cancel: bool
) -> tuple[dict[str, Any], str]:
    """All of these jobs: those that are done and not stored yet are brought, `MOST_BROUGHT` at a
    time and only of the last 24 hours (`COLLECT_SECONDS`); of the others it tells how they stand.
    Where one is at work and no other waits to be brought, it is waited for a while. `cancel` takes
    the one job that is at work.

        {"status": "running", "queue": "1 running, 2 waiting", "brought": [<as `report` tells it>],
         "jobs": [<as `job_line` does>], "failed": [...], "no answer from": ["old"],
         "more jobs than were read on": ["busy"], "more": "2 more are done; call again"}

    Raises `BadArgument` when there is not just one to cancel.
    """
    at_work = own.at_work
    if cancel:
        job = _only_one(fleet, at_work)
        return await _cancel(fleet, *job)
    succeeded, unsuccessful = _lately_ended(own.jobs)
    unstored = await _not_stored_whole(chat, succeeded)
    if len(at_work) == 1 and not unstored:  # there is only one that can be meant
        try:
            return await _bring(chat, display, settings, *at_work[0])
        except StillRunning as still:
            return {**still.as_result(), "queue": own.queue}, still.message
    # those of calls that still wait for them are left to these
    attended = [job for job in unstored if is_attended(fleet.owner, job[1])]
    ready = [job for job in unstored if not is_attended(fleet.owner, job[1])]
    failed = _untold_failures(fleet, unsuccessful)
    brought, not_brought = await _bring_each(chat, display, settings, fleet, ready[-MOST_BROUGHT:])
    failed += not_brought
    told = {
        "brought": brought,
        "jobs": [job_line(fleet, *job) for job in at_work + attended],
        "failed": failed,
        "no answer from": own.silent,
        "more jobs than were read on": own.in_part,
        "note": _notes_taken_from(brought),
        "more": _more_told(len(ready) - len(brought) - len(not_brought)),
    }
    answer: dict[str, Any] = {name: part for name, part in told.items() if part}
    if not answer:
        answer["note"] = _nothing_told(own, settings)
    if own.queue:
        answer["queue"] = own.queue
    status = "running" if at_work else "done"
    text = _overview_text(brought=len(brought), at_work=len(at_work), failed=len(failed))
    return {"status": status, **answer}, text


def _notes_taken_from(brought: Sequence[dict[str, Any]]) -> str:
    """The notes of several results, each once; they are taken out of these."""
    notes = dict.fromkeys(result.pop("note", "") for result in brought)
    return " ".join(filter(None, notes))


def _more_told(more: int) -> str:
    """What is said of jobs that are done and were not brought yet."""
    if more <= 0:
        return ""
    return f"{more} more {'is' if more == 1 else 'are'} done; call again"


def _nothing_told(own: OwnJobs, settings: Settings) -> str:
    """What is said where there is nothing to bring and nothing at work."""
    nothing = _nothing_known(own)
    if own.jobs:
        nothing = "None of the user's jobs is at work or waits to be brought."
    queue = "" if own.queue else "The queue is empty."
    removed = REMOVED if settings.leaves_no_prompts else ""
    return " ".join(filter(None, [nothing, queue, last_job_told(own), removed]))


def _nothing_known(own: OwnJobs) -> str:
    """What is told where no server knows any job of the user: a restart of ComfyUI may be why."""
    said = "No server knows a job of the user."
    if own.forgetful:
        names = " and ".join(own.forgetful)
        said += f" The history of {names} is empty: since a restart, or since somebody cleared it, earlier jobs are not"
        said += " known there any more. What they had saved by then is in ComfyUI's output folder."
    return said


async def _cancel_each(fleet: Fleet, jobs: Sequence[OwnJob]) -> tuple[dict[str, Any], str]:
    """Several jobs cancelled: what `_cancel` tells of each."""
    results = [(await _cancel(fleet, *job))[0] for job in jobs]
    return {"status": "done", "jobs": results}, Phrase("cancelled", count=len(jobs))


async def jobs_told(fleet: Fleet, statuses: Sequence[ServerStatus]) -> dict[str, Any]:
    """The user's jobs for comfyui_status, on those servers that answer: the ones at work, and how
    the last one ended where none is.
    """
    answering = tuple(status.endpoint for status in statuses if not status.error)
    own = await own_jobs(replace(fleet, endpoints=answering, others=()))
    lines = [job_line(fleet, *job) for job in own.at_work]
    if lines:
        return {"your jobs": lines}
    return {"last job": last_job_told(own)}


def last_job_told(own: OwnJobs) -> str:
    """How the user's last job of these hours ended, in a sentence; "" where there is none.

    'The last one is done: "a-red-fox-7", workflow sdxl, seed 7.' or 'The last one failed:
    "a-fox-7": VAEDecode ...'
    """
    succeeded, unsuccessful = _lately_ended(own.jobs)
    ended = {prompt.prompt_id for _, prompt in [*succeeded, *unsuccessful]}
    last = [prompt for _, prompt in own.jobs if prompt.prompt_id in ended][-1:]
    if not last:
        return ""
    about = mark_of(last[0])
    name = f'"{shortened(about.get("name") or about.get("workflow") or last[0].prompt_id)}"'
    failure = _failure_of(last[0])
    if failure:
        how = "was stopped" if isinstance(failure, RunInterrupted) else "failed"
        return f"The last one {how}: {name}: {failure.message}"
    facts = [
        f"{key} {shortened(about[key])}"
        for key in ("workflow", "seed")
        if about.get(key) is not None
    ]
    return f"The last one is done: {', '.join([name, *facts])}."


def _overview_text(*, brought: int, at_work: int, failed: int) -> str:
    counts = {"brought": brought, "at_work": at_work, "failed": failed}
    said = [Phrase(name, count=count) for name, count in counts.items() if count]
    return Phrase("jobs", told=joined(*said)) if said else Phrase("no_jobs")


def _only_one(fleet: Fleet, at_work: Sequence[OwnJob]) -> OwnJob:
    """The one job that is at work. Raises `BadArgument` where there are several, naming them, or
    none.
    """
    if not at_work:
        raise BadArgument("No jobs of the user are at work.")
    if len(at_work) > 1:
        ids = [fleet.owner.job_id(endpoint, prompt.prompt_id) for endpoint, prompt in at_work]
        raise BadArgument(
            f"{len(at_work)} jobs of the user are at work.", f"Name one: {quoted(ids)}."
        )
    return at_work[0]


def _lately_ended(jobs: Sequence[OwnJob]) -> tuple[list[OwnJob], list[OwnJob]]:
    """The jobs that ended within `COLLECT_SECONDS`: those that succeeded, and all others."""
    succeeded: list[OwnJob] = []
    unsuccessful: list[OwnJob] = []
    now = time.time()
    for job in jobs:
        _, prompt = job
        if not isinstance(prompt.state, Recorded):
            continue
        ended = prompt.ended or now
        if ended < now - COLLECT_SECONDS:
            continue
        if prompt.state.success:
            succeeded.append(job)
        else:
            unsuccessful.append(job)
    return succeeded, unsuccessful


async def _not_stored_whole(chat: Chat, succeeded: Sequence[OwnJob]) -> list[OwnJob]:
    """Those of which files are missing in Open WebUI."""
    if not succeeded:
        return []
    posted = {prompt.prompt_id: marked_time(prompt, "at") for _, prompt in succeeded}
    stored = await chat.kept(posted)
    missing: list[OwnJob] = []
    for endpoint, prompt in succeeded:
        outputs = stored.get(prompt.prompt_id)
        if outputs is None or not outputs.whole:
            missing.append((endpoint, prompt))
    return missing


def _untold_failures(fleet: Fleet, unsuccessful: Sequence[OwnJob]) -> list[dict[str, str]]:
    """The newest `MOST_BROUGHT` failures that nobody was told of yet, each in a line, the oldest
    first. Those beyond them are left for the next call.
    """
    lines: list[dict[str, str]] = []
    for endpoint, prompt in reversed(unsuccessful):
        if len(lines) == MOST_BROUGHT:
            break
        error = _untold_failure(fleet, prompt)
        if error:
            JOBS.tell(prompt.prompt_id)
            line = job_line(fleet, endpoint, prompt)
            lines.append({**line, "error": error.message})
    lines.reverse()
    return lines


def _untold_failure(fleet: Fleet, prompt: Prompt) -> ComfyUIError | None:
    """Why a job failed; None when somebody stopped it, or its failure was told already: by its own
    call, or here.
    """
    if JOBS.told(prompt.prompt_id) or is_attended(fleet.owner, prompt):
        return None
    once_attended = JOBS.attended(prompt.prompt_id) is not None
    call_ended = marked_time(prompt, "until")
    if once_attended and (prompt.ended or 0.0) <= call_ended:
        return None
    failure = _failure_of(prompt)
    return None if isinstance(failure, RunInterrupted) else failure


def _failure_of(prompt: Prompt) -> ComfyUIError | None:
    """Why a job did not succeed; None for one that did."""
    posted = Job.posted(prompt.prompt_id, prompt.graph)
    ended = advance(posted, prompt.state, 0.0)
    try:
        judge(ended, prompt.graph)
    except ComfyUIError as error:
        return error
    return None


async def _bring(
    chat: Chat,
    display: Display,
    settings: Settings,
    endpoint: Endpoint,
    prompt: Prompt,
    allowance: Allowance | None = None,
) -> tuple[dict[str, Any], str]:
    """A job's files in the chat: stored now, or shown again when they are stored already. What the
    user deleted of it meanwhile is stored anew. Raises as `bring` and `keep_and_report` do.
    """
    stored = StoredOutputs(0)
    if isinstance(prompt.state, Recorded):
        stored = await _stored_of(chat, prompt)
        if stored.files and stored.whole:
            return await _show_again(chat, stored)
    previews = settings.previews and display.previews
    with JOBS.attending():
        made = await bring(
            settings.fleet,
            endpoint,
            prompt,
            display,
            previews=previews,
            wanted=settings.format,
            stored=stored.sources,
            allowance=allowance,
        )
        with contextlib.closing(made):
            return await _keep_new(chat, settings, prompt, made)


async def _keep_new(
    chat: Chat, settings: Settings, prompt: Prompt, made: RunResult
) -> tuple[dict[str, Any], str]:
    """Those files of a job stored that are not stored yet, and all of them shown."""
    stored = await _stored_of(chat, prompt)  # another worker may have been quicker
    missing = tuple(product for product in made.products if not _is_stored(product, stored))
    if not missing:
        return await _show_again(chat, stored)
    if stored.files:
        await chat.show_again(stored.files)
    rest = replace(made, products=missing)
    name = mark_of(prompt).get("name") or made.workflow
    stem = file_stem(str(name), None)
    with contextlib.closing(settings.look_ahead()) as ahead:
        return await keep_and_report(chat, settings, rest, stem, ahead)


def _is_stored(product: OutputFile, stored: StoredOutputs) -> bool:
    """Whether a file is stored already. One that has no name on the server cannot be recognized."""
    return product.source != "" and product.source in stored.sources


async def _stored_of(chat: Chat, prompt: Prompt) -> StoredOutputs:
    """What Open WebUI holds of a job already."""
    posted = {prompt.prompt_id: marked_time(prompt, "at")}
    stored = await chat.kept(posted)
    return stored.get(prompt.prompt_id, StoredOutputs(0))


async def _bring_each(
    chat: Chat, display: Display, settings: Settings, fleet: Fleet, jobs: Sequence[OwnJob]
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """These jobs brought one after the other, as far as one call goes: what `_bring` tells of each,
    and a line for each that failed.
    """
    allowance = Allowance()
    brought: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for endpoint, prompt in jobs:
        if allowance.is_used_up:
            break
        try:
            result, _ = await _bring(chat, display, settings, endpoint, prompt, allowance)
            brought.append(result)
        except ComfyUIError as error:
            line = job_line(fleet, endpoint, prompt)
            failed.append({**line, "state": "failed", "error": error.message})
    return brought, failed


async def _show_again(
    chat: Chat, stored: StoredOutputs, more: str = ""
) -> tuple[dict[str, Any], str]:
    """What is stored of a job already, in this message as well; `more` is what else there is to
    say.
    """
    await chat.show_again(stored.files)
    told = files_told(stored.files, await chat.numbers(stored.files), chat.shown)
    note = f"It was brought before, and is shown again.{more} {told['note']}"
    return {"status": "done", **told, "note": note}, Phrase("shown_again")


async def _cancel(fleet: Fleet, endpoint: Endpoint, prompt: Prompt) -> tuple[dict[str, Any], str]:
    """A job taken out of its queue, or interrupted."""
    job_id = fleet.owner.job_id(endpoint, prompt.prompt_id)
    if isinstance(prompt.state, Recorded):
        answer = {"status": "done", "job_id": job_id, "note": "It had ended already."}
        return answer, Phrase("ended_already")
    JOBS.cancel(prompt.prompt_id)  # before it is told: the job's own call has to know
    async with open_server(endpoint) as server:
        await server.cancel(prompt.prompt_id, LOOK_UP_SECONDS)
    return {"status": "cancelled", "job_id": job_id}, Phrase("cancelled", count=1)
