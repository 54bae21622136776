"""A tool for Open WebUI with which the benchmark measures inside its process.

It calls this project's tool and Open WebUI's own `generate_image` in turns, each with what Open WebUI itself would hand
to it in this chat, so that both store the picture, write it into the message and send it to the page. What it imports
of the benchmark is put in front of it when it is installed: Open WebUI knows nothing of this folder.
"""

import inspect
import time
from typing import Any

import aiohttp
from open_webui.tools import builtin
from open_webui.utils.plugin import get_tool_module_from_cache

from .history import newest, own_seconds


class Tools:
    """What the scripted model calls."""

    async def measure(
        self,
        url: str,
        pictures: int,
        size: str,
        steps: int,
        seed: int,
        __user__: Any = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: Any = None,
        __chat_id__: Any = None,
        __message_id__: Any = None,
        __messages__: Any = None,
    ) -> dict[str, Any]:
        """Make pictures with each of both in turns.

        :param url: Of the ComfyUI
        :param pictures: With each
        :param size: Of a picture
        :param steps: Of a picture
        :param seed: The first
        """
        context = {
            "__user__": __user__,
            "__request__": __request__,
            "__event_emitter__": __event_emitter__,
            "__chat_id__": __chat_id__,
            "__message_id__": __message_id__,
        }
        ours, _ = await get_tool_module_from_cache(__request__, "comfyui")
        more = {"__metadata__": __metadata__, "__messages__": __messages__}

        # Before 0.12 it has the size from the settings alone, which are of the same size.
        own_size = {"size": size} if "size" in inspect.signature(builtin.generate_image).parameters else {}

        async def own_engine(_number: int) -> Any:
            return await builtin.generate_image("a fox", **own_size, **context)

        async def tool(number: int) -> Any:
            wanted = {"size": size, "steps": steps, "seed": seed + number, "workflow": "checkpoint"}
            return await ours.generate_image("a fox", **wanted, **context, **more)

        measured: dict[str, list[dict[str, float]]] = {"own engine": [], "tool": []}
        async with aiohttp.ClientSession() as session:
            for number in range(pictures):
                for name, make in (("own engine", own_engine), ("tool", tool)):
                    before = await newest(session, url)
                    begun, cpu = time.perf_counter(), time.process_time()
                    answer = await make(number)
                    used, seconds = time.process_time() - cpu, time.perf_counter() - begun
                    if '"images"' not in str(answer):
                        raise RuntimeError(f"{name}: {answer}")
                    overhead = seconds - await own_seconds(session, url, before)
                    measured[name].append({"time": seconds, "overhead": overhead, "CPU": used})
        return measured
