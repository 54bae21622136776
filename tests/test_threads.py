"""The tool's own threads: few, of the process, shared fairly, bounded in time."""

import asyncio
import contextvars
import importlib.util
import itertools
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import comfyui_tool as tool

pytestmark = pytest.mark.real_clock  # what is tested is how long threads take

ROOT = Path(__file__).resolve().parents[1]


def few(count: int = 2, most_for_one: int = 1, seconds: float = 30.0) -> tool.Threads:
    return tool.Threads("test", count, most_for_one, seconds)


@pytest.mark.parametrize("module", sorted((ROOT / "src").rglob("*.py")), ids=lambda path: path.stem)
def test_no_other_module_uses_threads(module: Path) -> None:
    used = re.findall(r"to_thread|run_in_executor|threading\.Thread|ThreadPoolExecutor", module.read_text("utf-8"))
    assert module.stem == "threads" or used == []


async def test_what_a_function_returns_or_raises_comes_back() -> None:
    assert await few().run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await few().run(divmod, 7, 0)


async def test_a_function_knows_the_context_of_its_caller() -> None:
    asked: contextvars.ContextVar[str] = contextvars.ContextVar("asked")
    asked.set("here")
    assert await few().run(asked.get) == "here"


async def test_one_users_work_leaves_a_thread_to_the_others() -> None:
    threads = few(count=2, most_for_one=1)
    release = threading.Event()

    async def works_for(user: str, function: Callable[[], object]) -> object:
        tool.WORKS_FOR.set(user)
        return await threads.run(function)

    busy = [asyncio.create_task(works_for("busy", release.wait)) for _ in range(20)]
    try:
        async with asyncio.timeout(10):
            for _ in range(5):
                assert await asyncio.create_task(works_for("other", lambda: "done")) == "done"
    finally:
        release.set()
        await asyncio.gather(*busy)


async def test_what_takes_too_long_ends_with_an_error_and_counts_until_its_thread_is_done() -> None:
    threads = few(seconds=0.1)
    release, ran = threading.Event(), threading.Event()
    try:
        with pytest.raises(tool.TookTooLong):
            await threads.run(release.wait)
        with pytest.raises(tool.TookTooLong):  # its turn does not come
            await threads.run(ran.set)
    finally:
        release.set()
    await few().run(int)
    assert not ran.is_set()


async def test_what_is_stopped_before_its_turn_comes_is_not_begun() -> None:
    release, ran = threading.Event(), threading.Event()
    blocking = [asyncio.create_task(few(count=2, most_for_one=2).run(release.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    stopped = asyncio.create_task(tool.Threads("test", 2, 3, 30.0).run(ran.set))
    await asyncio.sleep(0.05)
    stopped.cancel()
    await asyncio.wait({stopped})
    release.set()
    await asyncio.gather(*blocking)
    await few().run(int)
    assert stopped.cancelled()
    assert not ran.is_set()


async def test_what_is_short_is_done_on_the_event_loop_and_what_is_long_in_a_thread() -> None:
    here = threading.get_ident()
    assert await few().run_unless_short(["short"], threading.get_ident) == here
    assert await few().run_unless_short(["a" * (tool.SHORT + 1)], threading.get_ident) != here
    with pytest.raises(ZeroDivisionError):
        await few().run_unless_short(["short"], divmod, 7, 0)


async def test_much_short_work_at_the_same_moment_lets_the_loop_turn() -> None:
    done: list[int] = []
    seen: list[int] = []

    def work(number: int) -> int:
        end = time.perf_counter() + tool.TURN_SECONDS / 2
        while time.perf_counter() < end:
            pass
        done.append(number)
        return number

    async def look() -> None:
        while len(done) < 20:
            seen.append(len(done))
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    results = await asyncio.gather(*[few().run_unless_short([], work, number) for number in range(20)])
    await looking
    assert results == done == list(range(20))
    assert max(after - before for before, after in itertools.pairwise([*seen, 20])) <= 3


async def test_short_work_that_waits_knows_its_context_and_is_left_undone_when_it_is_stopped() -> None:
    asked: contextvars.ContextVar[str] = contextvars.ContextVar("asked", default="nothing")
    done: list[str] = []

    def work() -> None:
        time.sleep(tool.TURN_SECONDS)
        done.append(asked.get())

    async def ask(what: str) -> None:
        asked.set(what)
        await few().run_unless_short([], work)

    tasks = [asyncio.create_task(ask(what)) for what in ("first", "stopped", "last")]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.wait(tasks)
    assert done == ["first", "last"]
    assert tasks[1].cancelled()


async def test_every_load_of_the_file_uses_the_same_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(threads: tool.Threads) -> None:
        await asyncio.gather(*[threads.run(threading.Event().wait, 0.01) for _ in range(threads.count)])

    for _ in range(3):
        spec = importlib.util.spec_from_file_location("loaded_anew", ROOT / "comfyui_tool.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        await use(module.FILES)
    names = [thread.name for thread in threading.enumerate()]
    assert 0 < sum(name.startswith(f"{tool.HOME}_files") for name in names) <= tool.FILES.count
