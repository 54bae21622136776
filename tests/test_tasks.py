"""Clean-up is finished within a bounded time, whatever is cancelled meanwhile."""

import asyncio

import comfyui_tool as tool


async def test_a_clean_up_is_finished_though_it_is_cancelled_again() -> None:
    done = []

    async def clean_up() -> None:
        await asyncio.sleep(0.1)
        done.append(True)

    task = asyncio.create_task(tool.finish(clean_up(), 5))
    for _ in range(3):
        await asyncio.sleep(0.01)
        task.cancel()
    await asyncio.wait({task})
    assert done
    assert task.cancelled(), "the cancellation is raised again afterwards"


async def test_a_clean_up_that_hangs_ends_with_its_time_and_says_that_it_failed() -> None:
    async with asyncio.timeout(2):
        assert await tool.finish(asyncio.sleep(60), 0.1) is False
        assert await tool.finish(asyncio.sleep(0), 1) is True
