"""Clean-up is finished within a bounded time, whatever is cancelled meanwhile."""

import asyncio
import itertools

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


# --- one answer for all who ask at the same moment ---


async def test_all_who_ask_at_the_same_moment_get_one_answer_and_whoever_asks_later_a_new_one() -> None:
    answers = itertools.count()

    async def ask() -> int:
        answer = next(answers)
        await asyncio.sleep(0)
        return answer

    async def later() -> int:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return await tool.together("what", ask)

    assert await asyncio.gather(tool.together("what", ask), tool.together("what", ask), later()) == [0, 0, 1]
    assert await tool.together("something else", ask) == 2


async def test_one_who_stops_waiting_leaves_the_answer_to_the_others() -> None:
    release = asyncio.Event()

    async def ask() -> str:
        await release.wait()
        return "done"

    first, second = (asyncio.create_task(tool.together("what", ask)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    release.set()
    assert await second == "done"
    assert first.cancelled()


async def test_a_failure_reaches_all_who_asked() -> None:
    async def ask() -> str:
        raise ValueError("no")

    outcomes = await asyncio.gather(*(tool.together("what", ask) for _ in range(2)), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["no", "no"]


async def test_what_many_begin_at_once_is_begun_a_few_at_a_time_and_in_order() -> None:
    begun: list[int] = []
    seen: list[int] = []

    async def call(number: int) -> None:
        await tool.Turns.here().come()
        begun.append(number)

    calls = [asyncio.create_task(call(number)) for number in range(45)]
    while len(begun) < 45:
        await asyncio.sleep(0)
        seen.append(len(begun))
    await asyncio.gather(*calls)
    assert begun == list(range(45))
    assert max(after - before for before, after in itertools.pairwise([0, *seen])) == tool.BEGUN_IN_A_TURN


async def test_one_that_is_stopped_while_it_waits_takes_no_turn_from_the_others() -> None:
    calls = [asyncio.create_task(tool.Turns.here().come()) for _ in range(30)]
    await asyncio.sleep(0)
    calls[-1].cancel()
    done, _ = await asyncio.wait(calls, timeout=5)
    assert len(done) == 30
    assert [call.cancelled() for call in calls] == [False] * 29 + [True]
