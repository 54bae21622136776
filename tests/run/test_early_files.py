"""Files that a run has made while it is still under way are fetched at once."""

import asyncio
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.runs import endpoint, make, order, pasted
from tests.support.stand_in import StandIn
from tests.support.watching import until

pytestmark = pytest.mark.usefixtures("closed_servers")


def two_savers(comfy: StandIn) -> dict[str, Any]:
    """A graph that saves its picture, and then does something else before it saves it again."""
    graph = comfy.example_graph(steps=2, width=64, height=64)
    graph["20"] = {"class_type": "ImageInvert", "inputs": {"image": ["8", 0]}}
    graph["21"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "later", "images": ["20", 0]}}
    return graph


def viewed(comfy: StandIn) -> int:
    return sum(request.path.startswith("/view") for request in comfy.requests)


async def run_two(comfy: StandIn) -> tool.RunResult:
    return await make(comfy, wish=order("two"), catalogue=pasted(two=two_savers(comfy)), previews=False)


async def test_the_first_file_comes_before_the_run_has_ended(quick_comfy: StandIn) -> None:
    quick_comfy.misbehave.hold_before = "ImageInvert"
    run = asyncio.create_task(run_two(quick_comfy))
    await until(lambda: viewed(quick_comfy) == 1)
    assert not run.done()
    quick_comfy.release()
    made = await run
    assert len(made.products) == 2
    assert viewed(quick_comfy) == 2, "each file is fetched once"


async def test_one_that_failed_while_the_run_went_on_is_fetched_again_at_its_end(quick_comfy: StandIn) -> None:
    quick_comfy.misbehave.hold_before = "ImageInvert"
    quick_comfy.misbehave.view_answers = [(404, "text/html", "")] * 4
    run = asyncio.create_task(run_two(quick_comfy))
    await until(lambda: viewed(quick_comfy) == 4)
    quick_comfy.release()
    assert len((await run).products) == 2


async def test_what_came_of_a_run_that_is_stopped_is_let_go_of(quick_comfy: StandIn) -> None:
    held = tool.MEMORY._left
    quick_comfy.misbehave.hold_before = "ImageInvert"
    run = asyncio.create_task(run_two(quick_comfy))
    await until(lambda: viewed(quick_comfy) == 1)
    run.cancel()
    await asyncio.wait({run})
    assert tool.MEMORY._left == held


async def test_no_more_files_are_begun_than_are_fetched_at_the_same_time(quick_comfy: StandIn) -> None:
    outputs = [tool.Output("9", f"{number}.png", "", "output") for number in range(30)]
    shown = tool.Output("9", "shown.png", "", "temp")
    room = tool.Room(10**9)
    async with (
        tool.open_server(endpoint(quick_comfy)) as server,
        tool.EarlyFiles(server, tool.Timing(), room) as early,
    ):
        early.announced([shown, *outputs, *outputs])
        assert len(early._coming) == tool.PARALLEL_FILES
        assert await early.take(shown) is None
