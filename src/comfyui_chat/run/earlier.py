"""run/earlier."""

import asyncio
import functools
import hmac
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from ..errors import BadArgument, ServerError, ServerUnreachable, StillRunning, UnknownJob
from ..media.delivery import Format
from ..names import quoted, shortened
from ..server.client import LOOK_UP_SECONDS, ComfyUIServer
from ..server.endpoint import Endpoint
from ..server.pool import open_server
from ..server.protocol import Prompt, Recorded, Waiting
from ..tasks import T, gather
from .fleet import Fleet
from .follow import Audience, ignore_preview, picture_nodes, watch
from .job import Job, advance, judge, missed_pictures
from .make import Made, collect
from .owner import ATTENDED, attend, leave, mark_of, marked_time

CHECK_SECONDS = 20.0  # that check_job waits for a job which is still at work
COLLECT_SECONDS = 24 * 3600.0  # how old a finished job may be that is brought without being named
PROMPT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def find_job(fleet: Fleet, job_id: str) -> tuple[Endpoint, Prompt]:
    """The user's job of an id, on whichever server knows it.

    Raises `BadArgument` for what is no id, `UnknownJob` where no server knows it or it is somebody else's, and
    `ServerUnreachable` where one that does not answer may know it.
    """
    prompt_id, _, signature = job_id.strip().lower().partition(".")
    if not PROMPT_ID.fullmatch(prompt_id):
        raise BadArgument(
            f'The argument job_id is "{shortened(job_id)}".', 'It is told by a result "still running"; or leave it out.'
        )

    async def ask(server: ComfyUIServer) -> Prompt | None:
        return await server.find(prompt_id)

    found, silent = await _ask_all(fleet, ask)
    signed = hmac.compare_digest(signature.encode(errors="replace"), fleet.owner.mark(prompt_id)[:16].encode())
    for endpoint, prompt in found:
        if prompt and (signed if endpoint.cloud else fleet.owner.owns(prompt)):
            return endpoint, prompt
    if silent:
        raise ServerUnreachable(
            f"No server that answers knows this job, and {quoted(silent)} {'do' if len(silent) > 1 else 'does'} not.",
            "Try again later.",
        )
    raise UnknownJob("No ComfyUI server knows such a job of this user.")


async def own_jobs(fleet: Fleet) -> tuple[list[tuple[Endpoint, Prompt]], list[str]]:
    """The user's jobs on all servers, as far as these remember, the oldest first; and the names of the servers that do
    not answer. Jobs on Comfy Cloud are not among them: it keeps no marks."""

    async def ask(server: ComfyUIServer) -> list[Prompt]:
        return [prompt for prompt in await server.recent() if fleet.owner.owns(prompt)]

    found, silent = await _ask_all(fleet, ask)
    jobs = [(endpoint, prompt) for endpoint, prompts in found for prompt in prompts]
    return sorted(jobs, key=lambda job: marked_time(job[1], "at")), silent


async def _ask_all(
    fleet: Fleet, ask: Callable[[ComfyUIServer], Awaitable[T]]
) -> tuple[list[tuple[Endpoint, T]], list[str]]:
    """What each server answers, and the names of those that do not, a look-up's time given."""
    found: list[tuple[Endpoint, T]] = []
    silent: list[str] = []

    async def one(endpoint: Endpoint) -> None:
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS), open_server(endpoint) as server:
                found.append((endpoint, await ask(server)))
        except (ServerError, TimeoutError):
            silent.append(endpoint.name)

    await gather(len(fleet.known), [functools.partial(one, endpoint) for endpoint in fleet.known])
    return found, silent


async def bring(
    fleet: Fleet,
    endpoint: Endpoint,
    prompt: Prompt,
    audience: Audience,
    *,
    previews: bool = True,
    wanted: Format = Format(),
    wait: float = CHECK_SECONDS,
) -> Made:
    """What a job made that an earlier call started, waited for a while if need be; a Stop ends only the waiting.

    Raises `StillRunning` after `wait` seconds, and for a job that another call is following, and the job's own errors.
    """
    job_id = fleet.owner.job_id(endpoint, prompt.prompt_id)
    if ATTENDED.get(prompt.prompt_id):
        raise StillRunning("Another call is following this job and brings it.", job_id)
    graph, about = prompt.graph, mark_of(prompt)
    job = replace(Job.posted(prompt.prompt_id, graph), complete=False, away=True)
    job = advance(job, prompt.state, time.monotonic())
    on_preview = audience.preview if previews else ignore_preview
    attend(prompt.prompt_id)
    try:
        async with open_server(endpoint) as server:
            if not job.ended:
                async with server.connection.listen(prompt.prompt_id, picture_nodes(graph), on_preview) as subscription:
                    job = await watch(server, job, subscription, audience, "", wait, fleet)
            job = judge(job, graph)
            audience.status("saving", "Saving")
            collected = await collect(server, job, graph, wanted, fleet.patience)
    except BaseException:
        leave(prompt.prompt_id)
        raise
    seed = about.get("seed") if isinstance(about.get("seed"), int) else None
    model, workflow = (str(about.get(name) or "") for name in ("model", "workflow"))
    notes = (*collected.notes, *missed_pictures(job, graph))
    return Made(collected.products, seed, model, workflow, 0.0, notes, collected.texts)


def job_line(fleet: Fleet, endpoint: Endpoint, prompt: Prompt) -> dict[str, str]:
    """How a job stands, in a line for the model."""
    about = mark_of(prompt)
    line = {"job_id": fleet.owner.job_id(endpoint, prompt.prompt_id), "state": "running"}
    if isinstance(prompt.state, Waiting):
        line["state"] = f"waiting, {prompt.state.ahead} ahead"
    if isinstance(prompt.state, Recorded):
        line["state"] = "done, its own call is bringing it" if prompt.state.success else "failed"
    line |= {"workflow": shortened(about.get("workflow") or ""), "name": shortened(about.get("name") or "")}
    return {key: value for key, value in line.items() if value}
