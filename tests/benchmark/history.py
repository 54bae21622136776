"""What the history of a ComfyUI says of its newest prompt."""

from typing import Any

import aiohttp


async def newest(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """The newest entry of a server's history."""
    async with session.get(f"{url}/history", params={"max_items": "1"}) as response:
        history: dict[str, Any] = await response.json()
    return history


async def own_seconds(session: aiohttp.ClientSession, url: str, before: dict[str, Any]) -> float:
    """How long the server itself took for its newest prompt, as soon as its history has more than `before`: a client
    may have the picture earlier than that."""
    history = await newest(session, url)
    while history.keys() == before.keys():
        history = await newest(session, url)
    (entry,) = history.values()
    times = {kind: data["timestamp"] for kind, data in entry["status"]["messages"] if "timestamp" in data}
    return float(times["execution_success"] - times["execution_start"]) / 1000
