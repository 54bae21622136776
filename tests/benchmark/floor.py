"""The floor: the shortest client of ComfyUI that can be written, for what the network and the server cost alone.

One websocket for each server, one POST for each picture, one GET that starts when the output is announced. It checks
nothing, looks nothing up, and knows nothing of users, queues and failures.
"""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from tests.support import ROOT

WORKFLOW = ROOT / "workflows" / "checkpoint.json"
SMALL_MODEL = "tiny.safetensors"  # which real servers of the tests have; else their first
SIZE = 64  # pixels of a side; what a stand-in of the benchmark gives out is as large as it was told


class StraightLine:
    """A connection to one server."""

    def __init__(self, url: str, session: aiohttp.ClientSession, graph: Mapping[str, Any]) -> None:
        self._url = url
        self._session = session
        self._graph = graph
        self._client_id = uuid.uuid4().hex
        self._announced: dict[str, asyncio.Future[Mapping[str, str]]] = {}

    async def listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Hand each announced output to whoever waits for it."""
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            frame = json.loads(message.data)
            if frame["type"] not in ("executed", "execution_error"):
                continue
            waiting = self._announced.get(frame["data"]["prompt_id"])
            if frame["type"] == "execution_error" and waiting:
                waiting.set_exception(RuntimeError(frame["data"]["exception_message"]))
                continue
            images = (frame["data"].get("output") or {}).get("images")
            if waiting and images and not waiting.done():
                waiting.set_result(images[0])

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Keep the websocket open."""
        async with self._session.ws_connect(f"{self._url}/ws", params={"clientId": self._client_id}) as socket:
            listening = asyncio.create_task(self.listen(socket))
            try:
                yield
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    async def make(self, seed: int) -> bytes:
        """One picture."""
        prompt_id = str(uuid.uuid4())
        announced = self._announced[prompt_id] = asyncio.get_running_loop().create_future()
        body = {
            "prompt": seeded(self._graph, seed),
            "prompt_id": prompt_id,
            "client_id": self._client_id,
            "extra_data": {"preview_method": "none"},  # as the others, which show none either
        }
        async with self._session.post(f"{self._url}/prompt", json=body) as response:
            response.raise_for_status()
            await response.read()
        image = await announced
        del self._announced[prompt_id]
        params = {name: image[name] for name in ("filename", "subfolder", "type")}
        async with self._session.get(f"{self._url}/view", params=params) as response:
            return await response.read()


async def graph_for(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """The bundled workflow for checkpoints with a model of this server, small and in two steps."""
    async with session.get(f"{url}/object_info/CheckpointLoaderSimple") as response:
        info = await response.json()
    names = info["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"]
    graph: dict[str, Any] = json.loads(WORKFLOW.read_text("utf-8"))
    for node in graph.values():
        inputs = node["inputs"]
        if "ckpt_name" in inputs:
            files = names[0] if isinstance(names[0], list) else names[1]["options"]
            inputs["ckpt_name"] = SMALL_MODEL if SMALL_MODEL in files else files[0]
        if "width" in inputs:
            inputs.update(width=SIZE, height=SIZE)
        if "steps" in inputs:
            inputs["steps"] = 2
    return graph


def seeded(graph: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The graph with this seed."""
    return {
        node_id: {**node, "inputs": {**node["inputs"], "seed": seed}} if "seed" in node["inputs"] else node
        for node_id, node in graph.items()
    }
