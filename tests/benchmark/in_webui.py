"""A real Open WebUI for the rows that need one: both this tool and its own engine make pictures on one ComfyUI.

``OpenWebUI`` is that of the tests; what is measured inside its process is in `probe`.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp

from tests.support import SOURCE
from tests.support.model_server import ModelServer
from tests.support.open_webui import OpenWebUI, running_open_webui

from .floor import SIZE, graph_for

HERE = Path(__file__).parent
PROBE = "\n".join((HERE / name).read_text("utf-8") for name in ("history.py", "probe.py")).replace(
    "from .history import newest, own_seconds\n", ""
)


@contextlib.contextmanager
def some_open_webui(running: OpenWebUI | None) -> Iterator[OpenWebUI]:
    """The one that runs already, else one of our own."""
    if running:
        yield running
        return
    with running_open_webui() as own:
        yield own


@contextlib.asynccontextmanager
async def both_installed(webui: OpenWebUI, url: str, steps: int = 2) -> AsyncIterator[ModelServer]:
    """This tool, the probe and Open WebUI's own engine, all set to this ComfyUI, and the model that calls them."""
    before = await webui.request("GET", "/api/v1/images/config")
    async with ModelServer() as model:
        await webui.use_model(model)
        await use_own_engine(webui, url, steps)
        for name, source in (("comfyui", SOURCE), ("probe", PROBE)):
            await webui.delete_tool(name, missing_ok=True)
            await webui.create_tool(name, name, source)
        await webui.set_valves("comfyui", endpoint=url, max_steps=1000)
        try:
            yield model
        finally:
            await webui.delete_tool("probe")
            await webui.request("POST", "/api/v1/images/config/update", json=before)


async def use_own_engine(webui: OpenWebUI, url: str, steps: int) -> None:
    """Have Open WebUI's own engine run the graph of the floor."""
    async with aiohttp.ClientSession() as session:
        graph = await graph_for(session, url)
    kinds = {"text": "prompt", "width": "width", "height": "height", "seed": "seed", "steps": "steps"}
    negative = next(node["inputs"]["negative"][0] for node in graph.values() if "negative" in node["inputs"])
    nodes = [
        {"type": kinds[key], "key": key, "node_ids": [node_id]}
        for node_id, node in graph.items()
        for key in node["inputs"].keys() & kinds.keys()
        if node_id != negative
    ]
    config = await webui.request("GET", "/api/v1/images/config")
    config |= {
        "ENABLE_IMAGE_GENERATION": True,
        "ENABLE_IMAGE_PROMPT_GENERATION": False,
        "IMAGE_GENERATION_ENGINE": "comfyui",
        "IMAGE_SIZE": f"{SIZE}x{SIZE}",
        "IMAGE_STEPS": steps,
        "COMFYUI_BASE_URL": url,
        "COMFYUI_WORKFLOW": json.dumps(graph),
        "COMFYUI_WORKFLOW_NODES": nodes,
    }
    await webui.request("POST", "/api/v1/images/config/update", json=config)
