"""Prompts taken out of ComfyUI's history, where their users want no trace of them there.

ComfyUI shows its history, with every prompt in it, to whoever may open its page. `remove_prompts`
deletes the entries of jobs whose files have been stored whole; one of which files are still to be
fetched stays, since check_job finds it there. The files stay in ComfyUI's output folder in any
case: no release up to 0.33.0 has a route that deletes them (that for its assets only forgets their
names). Comfy Cloud has neither route.
"""

from collections.abc import Iterable

from ..errors import ServerError
from ..server.endpoint import Endpoint
from ..server.pool import open_server


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
