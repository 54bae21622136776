"""check_job: jobs of earlier calls brought into the chat, cancelled, or told of.

With an id `check_jobs` brings that job, or cancels it. Without one it looks at all jobs of the user that the servers
still know (run/earlier.py) and at what is stored of them already, and brings those that are done and not stored whole.

No result is to be stored twice, and none is to be missed. So a job that its own call is about to bring is only told of
(`is_attended`), what is stored already is shown again instead, and after the files were fetched it is looked once more
whether another worker stored them meanwhile.
"""

import time
from dataclasses import replace
from typing import Any

from ..errors import BadArgument, ComfyUIError, RunInterrupted
from ..names import file_stem, quoted
from ..run.earlier import COLLECT_SECONDS, bring, find_job, job_line, own_jobs
from ..run.fleet import Fleet
from ..run.job import Job, advance, judge
from ..run.owner import ATTENDED, CANCELLED, TOLD, attending, is_attended, mark_of, marked_time, remember
from ..server.client import LOOK_UP_SECONDS
from ..server.endpoint import Endpoint
from ..server.pool import open_server
from ..server.protocol import Prompt, Recorded
from .chat import Chat, StoredOutputs
from .display import Display
from .reports import keep_and_report
from .settings import Settings

MOST_BROUGHT = 8  # jobs that one call brings, or whose failures it tells


async def check_jobs(
    chat: Chat, display: Display, settings: Settings, job_id: str, cancel: bool
) -> tuple[dict[str, Any], str]:
    """The job of an earlier call with this id brought or, with `cancel`, cancelled; returns what the model gets, and
    the last status.

    Without an id all of the user's jobs: those that are done and not stored yet are brought, `MOST_BROUGHT` at a time
    and only of the last 24 hours (`COLLECT_SECONDS`); of the others it tells how they stand. Where one is at work and
    no other waits to be brought, it is waited for a while. `cancel` takes the one job that is at work.

        {"status": "running", "brought": [<as `report` tells it>], "jobs": [<as `job_line` does>], "failed": [...],
         "no answer from": ["old"], "more": "2 older ones are done; call again"}

    Raises `BadArgument` when there is not just one to cancel, and as `find_job`, `bring` and `keep_and_report` do.
    """
    fleet = await settings.fleet.found()
    if job_id:
        endpoint, prompt = await find_job(fleet, job_id)
        return await (_cancel(fleet, endpoint, prompt) if cancel else _bring(chat, display, settings, endpoint, prompt))
    jobs, silent = await own_jobs(fleet)
    at_work = [job for job in jobs if not isinstance(job[1].state, Recorded)]
    if cancel and len(at_work) != 1:
        ids = quoted(fleet.owner.job_id(endpoint, prompt.prompt_id) for endpoint, prompt in at_work)
        raise BadArgument(f"{len(at_work) or 'No'} jobs of the user are at work.", f"Name one: {ids}." if ids else "")
    if cancel:
        return await _cancel(fleet, *at_work[0])
    recent = time.time() - COLLECT_SECONDS
    ended = [job for job in jobs if job not in at_work and (job[1].ended or time.time()) >= recent]
    done = [job for job in ended if isinstance(job[1].state, Recorded) and job[1].state.success]
    kept = await chat.kept({prompt.prompt_id: marked_time(prompt, "at") for _, prompt in done}) if done else {}
    waiting = [job for job in done if not (held := kept.get(job[1].prompt_id)) or not held.whole]
    ready = [job for job in waiting if not is_attended(fleet.owner, job[1])]
    if len(at_work) == 1 and not waiting:  # there is only one that can be meant
        return await _bring(chat, display, settings, *at_work[0])
    failed = [line for job in ended if job not in done and (line := _failure(fleet, *job))][-MOST_BROUGHT:]
    brought = []
    for endpoint, prompt in ready[-MOST_BROUGHT:]:
        try:
            brought.append((await _bring(chat, display, settings, endpoint, prompt))[0])
        except ComfyUIError as error:
            failed.append({**job_line(fleet, endpoint, prompt), "state": "failed", "error": error.message})
    lines = [job_line(fleet, *job) for job in [*at_work, *(job for job in waiting if job not in ready)]]
    parts = {"brought": brought, "jobs": lines, "failed": failed, "no answer from": silent}
    result: dict[str, Any] = {"status": "running" if at_work else "done"}
    result |= {name: value for name, value in parts.items() if value}
    if len(ready) > MOST_BROUGHT:
        result["more"] = f"{len(ready) - MOST_BROUGHT} older ones are done; call again"
    if len(result) == 1:
        result["note"] = "No job of the user is at work or waits to be brought, among the newest of each server."
    counts = ((brought, "brought"), (at_work, "at work"), (failed, "failed"))
    text = ", ".join(f"{len(items)} {what}" for items, what in counts if items)
    return result, f"Jobs: {text}" if text else "No jobs"


def _failure(fleet: Fleet, endpoint: Endpoint, prompt: Prompt) -> dict[str, str] | None:
    """A job that failed, in a line; None when somebody stopped it, or its failure was told already: by its own call, or
    here."""
    own_call_told = (prompt.ended or 0.0) <= marked_time(prompt, "until") and prompt.prompt_id in ATTENDED
    if prompt.prompt_id in TOLD or own_call_told or is_attended(fleet.owner, prompt):
        return None
    remember(TOLD, prompt.prompt_id)
    try:
        judge(advance(Job.posted(prompt.prompt_id, prompt.graph), prompt.state, 0.0), prompt.graph)
    except RunInterrupted:
        return None
    except ComfyUIError as error:
        return {**job_line(fleet, endpoint, prompt), "error": error.message}
    return None


async def _bring(
    chat: Chat, display: Display, settings: Settings, endpoint: Endpoint, prompt: Prompt
) -> tuple[dict[str, Any], str]:
    """A job's files in the chat: stored now, or shown again when they are stored already. What the user deleted of it
    meanwhile is stored anew."""
    job = {prompt.prompt_id: marked_time(prompt, "at")}
    stored = (await chat.kept(job)).get(prompt.prompt_id) if isinstance(prompt.state, Recorded) else None
    if stored and stored.whole:
        return await _show_again(chat, stored)
    previews = settings.previews and display.previews
    with attending():
        made = await bring(settings.fleet, endpoint, prompt, display, previews=previews, wanted=settings.format)
        held = (await chat.kept(job)).get(prompt.prompt_id) or StoredOutputs(0)  # another worker may have been quicker
        new = tuple(one for one in made.products if not one.source or one.source not in held.sources)
        if not new:
            return await _show_again(chat, held)
        if held.files:
            await chat.show_again(held.files)
        name = str(mark_of(prompt).get("name") or made.workflow)
        return await keep_and_report(chat, settings, replace(made, products=new), file_stem(name, None))


async def _show_again(chat: Chat, kept: StoredOutputs) -> tuple[dict[str, Any], str]:
    """What is stored of a job already, in this message as well."""
    await chat.show_again(kept.files)
    links = [{"id": item["id"], "url": item["url"]} for item in kept.files]
    return {"status": "done", "files": links, "note": "It was brought before, and is shown again."}, "Shown again"


async def _cancel(fleet: Fleet, endpoint: Endpoint, prompt: Prompt) -> tuple[dict[str, Any], str]:
    """A job taken out of its queue, or interrupted."""
    job_id = fleet.owner.job_id(endpoint, prompt.prompt_id)
    if isinstance(prompt.state, Recorded):
        return {"status": "done", "job_id": job_id, "note": "It had ended already."}, "The job had ended already"
    remember(CANCELLED, prompt.prompt_id)  # before it is told: the job's own call has to know
    async with open_server(endpoint) as server:
        await server.cancel(prompt.prompt_id, LOOK_UP_SECONDS)
    return {"status": "cancelled", "job_id": job_id}, "Job cancelled"
