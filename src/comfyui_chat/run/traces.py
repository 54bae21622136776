"""Prompts taken out of ComfyUI's history, where their users want no trace of them there.

ComfyUI shows its history, with every prompt in it, to whoever may open its page. `remove_prompts`
deletes the entries of jobs whose files have been stored whole; one of which files are still to be
fetched stays, since check_job finds it there. The files stay in ComfyUI's output folder in any
case: no release up to 0.33.0 has a route that deletes them (that for its assets only forgets their
names). Comfy Cloud has neither route. `remove_failed` deletes the entry of a run that failed, which
ComfyUI writes a moment after it has told of the failure.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable

from ..errors import JobLost, RunFailed, ServerError
from ..server.client import ComfyUIServer
from ..server.endpoint import Endpoint
from ..server.pool import open_server
from ..server.protocol import Recorded

ENTRY_LOOKS, ENTRY_SECONDS = 8, 0.5  # how often, and how far apart, an entry is looked for


async def remove_prompts(jobs: Iterable[tuple[Endpoint, str]]) -> str:
    """Delete these prompts from their servers' histories. Returns what there is to say where that
    fails, else "".
    """
    ids: dict[Endpoint, list[str]] = {}
    for endpoint, prompt_id in jobs:
        ids.setdefault(endpoint, []).append(prompt_id)
    failed: list[str] = []
    for endpoint, prompt_ids in ids.items():
        try:
            async with open_server(endpoint) as server:
                is_removed = await server.remove_from_history(prompt_ids)
        except ServerError:
            is_removed = False
        if not is_removed:
            failed.append(endpoint.name)
    if not failed:
        return ""
    return f"the prompt could not be removed from the history of {' and '.join(failed)}"


async def remove_failed(server: ComfyUIServer, failure: RunFailed) -> str:
    """Delete the prompt of a run that failed from its server's history. Returns what there is to
    say where that fails, else "".
    """
    if isinstance(failure, JobLost):  # which is in no history
        return ""
    with contextlib.suppress(ServerError):
        for _ in range(ENTRY_LOOKS):
            found = await server.look_up(failure.prompt_id, time.monotonic())
            if isinstance(found, Recorded):
                break
            await asyncio.sleep(ENTRY_SECONDS)
        if await server.remove_from_history([failure.prompt_id]):
            return ""
    return f"The prompt could not be removed from the history of {server.endpoint.name}."
