"""Row 1, storing: a picture from the call until it is stored, written into the message and sent to the page.

In the process of a real Open WebUI, its own ComfyUI engine and this tool make pictures in turns. CPU is that of the
whole process meanwhile. Each round is a message of its own.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence

from tests.support.model_server import ToolCall
from tests.support.open_webui import OpenWebUI

from .contenders import UNITS, middle
from .floor import SIZE
from .in_webui import both_installed, some_open_webui
from .servers import PICTURE_KB, first_server
from .table import Line, Measured, lines_of

GOALS = {("this tool, storing", "overhead"): 0.8}


def lines(
    rounds: int, pictures: int = 10, kilobytes: int = PICTURE_KB, webui: OpenWebUI | None = None
) -> Iterator[Line]:
    """The lines of row 1 that need an Open WebUI. The first round is not counted: everything is new then."""
    with first_server(kilobytes) as url, some_open_webui(webui) as running:
        results = asyncio.run(measured(running, url, pictures, rounds + 1))
    counted = {name: values[1:] for name, values in results.items()}
    yield from lines_of("1", counted, UNITS, GOALS)


async def measured(webui: OpenWebUI, url: str, pictures: int, rounds: int) -> Mapping[str, Sequence[Measured]]:
    """What both measured in each round: the medians of its pictures."""
    results: dict[str, list[Measured]] = {"Open WebUI's engine": [], "this tool, storing": []}
    async with both_installed(webui, url) as model:
        for _ in range(rounds):
            seed = time.time_ns() % 10**12
            wanted = {"url": url, "pictures": pictures, "size": f"{SIZE}x{SIZE}", "steps": 2, "seed": seed}
            model.script([ToolCall("measure", wanted)], then="Done.")
            turn = await webui.turn("Please", tools=["comfyui", "probe"], timeout=300)
            (answer,) = turn.tool_results
            if "tool" not in answer:
                raise SystemExit(f"The probe in Open WebUI failed: {answer}")
            for name, inside in zip(results, ("own engine", "tool"), strict=True):
                each: Sequence[Measured] = answer[inside]
                results[name].append({what: middle([one[what] for one in each]) for what in each[0]})
    return results
