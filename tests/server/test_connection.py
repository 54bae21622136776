"""What the tool keeps for a server from one call to the next: its connections, which end when nobody uses them, with
their event loop and with their process, and answers, which many calls ask for only once."""

import asyncio
import contextlib
import importlib.util
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web

import comfyui_tool as tool
from tests.support.runs import NOBODY, OTHER_PROCESS, draw
from tests.support.serving import serving
from tests.support.stand_in import StandIn
from tests.support.watching import Watcher, until


@pytest.fixture
def comfy(quick_comfy: StandIn) -> StandIn:
    """One release will do: they do not differ in what is tested here."""
    return quick_comfy


# --- one pool of connections for each event loop ---


@contextlib.asynccontextmanager
async def counting() -> AsyncIterator[tuple[str, set[Any], list[str]]]:
    """A server that has nothing of what is asked for: its address, who connected, and the paths asked for."""
    peers: set[Any] = set()
    paths: list[str] = []

    async def give(request: web.Request) -> web.Response:
        peers.add(request.transport.get_extra_info("peername") if request.transport else None)
        paths.append(request.path)
        await asyncio.sleep(0.05)
        return web.json_response([] if request.path == "/models" else {})

    async with serving("/{path:.*}", give) as url:
        yield url, peers, paths
        await tool.close_servers()


async def test_calls_one_after_the_other_use_one_connection() -> None:
    async with counting() as (url, peers, paths):
        for _ in range(5):
            async with tool.open_server(tool.Endpoint(url)) as server:
                await server.get("/system_stats")
    assert (len(peers), len(paths)) == (1, 5)


async def test_each_credential_has_a_websocket_of_its_own(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    where = [tool.Endpoint.parse(comfy.url, key) for key in ("one", "two") for _ in range(3)]
    runs = [asyncio.create_task(draw(endpoint, seed=seed)) for seed, endpoint in enumerate(where)]
    await until(lambda: len(comfy.prompts) == 6)
    assert len(comfy.sockets) == 2
    assert len({prompt["client_id"] for prompt in comfy.prompts}) == 2
    comfy.release()
    await asyncio.gather(*runs)


async def test_nothing_is_opened_before_it_is_needed(comfy: StandIn) -> None:
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        assert not comfy.requests
        await server.names("/models")
        assert not comfy.sockets


async def test_what_is_idle_is_closed_down_to_the_last_task_and_opened_again_with_what_it_knew(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "IDLE_SECONDS", 0.1)
    before = asyncio.all_tasks()
    await draw(comfy)
    server = tool.Pool.here().server(tool.Endpoint(comfy.url))
    await until(lambda: not server.is_open and not comfy.sockets)
    await until(lambda: not comfy._runner.server.connections if comfy._runner.server else True)
    ours = {task for task in asyncio.all_tasks() - before if "comfyui_tool" in str(task.get_coro())}
    await until(lambda: all(task.done() for task in ours))
    known = sum(request.path.startswith("/object_info") for request in comfy.requests)
    assert (await draw(comfy, seed=1)).products
    assert sum(request.path.startswith("/object_info") for request in comfy.requests) == known
    assert server.record.sockets == 2


async def test_a_server_in_use_is_not_closed_however_long_it_takes(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "IDLE_SECONDS", 0.1)
    comfy.misbehave.hold_at_step = 1
    run = asyncio.create_task(draw(comfy))
    await comfy.until_held()
    await asyncio.sleep(0.5)
    assert len(comfy.sockets) == 1
    comfy.release()
    assert (await run).products
    assert sum(request.path == "/ws" for request in comfy.requests) == 1


def loaded_anew() -> ModuleType:
    """The tool as Open WebUI loads it once more: the same file under another name."""
    spec = importlib.util.spec_from_file_location("tool_comfyui_anew", tool.__file__)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


async def test_a_reload_in_the_middle_of_a_job_leaves_the_job_alone_and_nothing_behind(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    anew = loaded_anew()
    for module in (tool, anew):
        monkeypatch.setattr(module, "IDLE_SECONDS", 0.1)
    comfy.misbehave.hold_at_step = 1
    old = asyncio.create_task(draw(comfy))
    await comfy.until_held()
    wish = anew.Request("a fox", size=anew.Argument("64x64", "size"), seed=anew.Argument(3, "seed"))
    new = asyncio.create_task(anew.make(wish, anew.Fleet((anew.Endpoint(comfy.url),)), Watcher()))
    await until(lambda: len(comfy.prompts) == 2)
    assert len(comfy.sockets) == 2
    comfy.release()
    assert (await old).products
    assert (await new).products
    await until(lambda: not comfy.sockets)
    await until(lambda: not [task for task in asyncio.all_tasks() if "comfyui_tool" in str(task.get_coro())])
    del sys.modules[anew.__name__]


def test_a_job_that_a_call_attends_to_is_known_to_the_tool_that_was_loaded_since() -> None:
    tool.JOBS.attend("a job")
    try:
        anew = loaded_anew()
        assert anew.JOBS.attended("a job")
        tool.JOBS.leave("a job")
        assert anew.JOBS.attended("a job") is False
    finally:
        tool.JOBS._attended.pop("a job", None)
        sys.modules.pop("tool_comfyui_anew", None)


# --- processes, threads and event loops that end ---

DRAW = """
def draw(seed=0):
    fleet = tool.Fleet((tool.Endpoint(sys.argv[1]),), owner=tool.Owner("u", b"key"))
    return tool.make(small_wish(seed), fleet, Nobody())
"""


async def ended(comfy: StandIn, script: str, when: Callable[[], Awaitable[None]] | None = None) -> list[str]:
    """A process that runs this on a server, with every warning an error, and ends without a word on stderr; the lines
    that it printed. It gets a line on its stdin after `when`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", "-c", OTHER_PROCESS + DRAW + script, comfy.url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(tool.__file__).parent,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        if when:
            await when()
        out, errors = await asyncio.wait_for(process.communicate(b"go\n"), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert errors.decode() == ""
    assert process.returncode == 0
    return out.decode().splitlines()


@pytest.mark.real_clock
async def test_a_process_that_closes_nothing_ends_without_a_word(comfy: StandIn) -> None:
    assert await ended(comfy, "print(len(asyncio.run(draw()).products))") == ["1"]


@pytest.mark.real_clock
async def test_a_loop_that_ends_in_the_middle_of_a_job_leaves_the_job_running_and_says_no_word(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    script = """
async def watched():
    try:
        await draw()
    except asyncio.CancelledError as end:
        print(*end.__notes__)
        raise

async def main():
    running = asyncio.create_task(watched())
    await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""
    (note,) = await ended(comfy, script, comfy.until_held)
    (prompt,) = comfy.prompts
    assert note == f"{tool.GOES_ON}{prompt['prompt_id']}"
    assert comfy.running == [prompt["prompt_id"]]
    assert comfy.interrupts == comfy.deleted == []
    comfy.release()
    await until(lambda: comfy.history)
    assert comfy.history[prompt["prompt_id"]]["status"]["status_str"] == "success"


async def test_a_request_that_is_cut_off_by_a_shutdown_leaves_its_job_running(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    run = asyncio.create_task(draw(comfy))
    await comfy.until_held()
    run.cancel("Task cancelled, timeout graceful shutdown exceeded")  # as uvicorn says it
    with pytest.raises(asyncio.CancelledError) as end:
        await run
    assert end.value.__notes__[0].startswith(tool.GOES_ON)
    assert (len(comfy.running), comfy.interrupts, comfy.deleted) == (1, [], [])
    comfy.release()


def test_an_event_loop_that_was_closed_with_everything_open_is_forgotten() -> None:
    async def use() -> None:
        async with tool.open_server(tool.Endpoint(NOBODY)):
            pass

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    assert loop in tool._POOLS
    loop.close()
    asyncio.run(use())
    assert loop not in tool._POOLS


@pytest.mark.real_clock
async def test_event_loops_one_after_the_other_each_have_connections_of_their_own(comfy: StandIn) -> None:
    assert await ended(comfy, "for seed in range(3): print(len(asyncio.run(draw(seed)).products))") == ["1", "1", "1"]
    assert len({prompt["client_id"] for prompt in comfy.prompts}) == 3
    assert not comfy.sockets


@pytest.mark.real_clock
async def test_event_loops_in_two_threads_do_not_meet(comfy: StandIn) -> None:
    script = """
def work(first):
    for seed in range(first, first + 3):
        sys.stdout.write(f"{len(asyncio.run(draw(seed)).products)}" + chr(10))  # in one piece, as print does not
threads = [threading.Thread(target=work, args=(10 * number,)) for number in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    assert await ended(comfy, script) == ["1"] * 6
    assert len({prompt["client_id"] for prompt in comfy.prompts}) == 6


@pytest.mark.real_clock
def test_threads_with_event_loops_that_come_and_go_do_not_trip_over_each_other() -> None:
    failures: list[BaseException] = []
    interval = sys.getswitchinterval()

    async def open_and_close(number: int) -> None:
        async with tool.open_server(tool.Endpoint(NOBODY)):
            tool.JOBS.attend(str(number))
            tool.JOBS.leave(str(number))

    def work(first: int) -> None:
        try:
            for number in range(first, first + 150):
                asyncio.run(open_and_close(number))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(1000 * number,)) for number in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
        for number in range(4000):
            tool.JOBS._attended.pop(str(number), None)
    assert failures == []


# --- what is asked for only once, and believed for a while ---


ASK: dict[str, Callable[[tool.ComfyUIServer], Awaitable[Any]]] = {
    "a definition": lambda server: server.define("KSampler", 0.0),
    "all definitions": lambda server: server.everything(),
    "a list of models": lambda server: server.names("/models/loras", 0.0),
    "the saved workflows": lambda server: server.saved_workflows(0.0),
    "what a model file says": lambda server: server.model_kind("loras", "detail.safetensors"),
}


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
async def test_a_question_of_many_callers_is_asked_once(
    comfy: StandIn, ask: Callable[[tool.ComfyUIServer], Awaitable[Any]]
) -> None:
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        answers = await asyncio.gather(*(ask(server) for _ in range(50)))
    assert len(comfy.requests) == 1
    assert all(answer == answers[0] for answer in answers)


async def test_a_caller_that_is_stopped_leaves_the_answer_to_the_others() -> None:
    async with counting() as (url, _, paths), tool.open_server(tool.Endpoint(url)) as server:
        first = asyncio.create_task(server.names("/models"))
        other = asyncio.create_task(server.names("/models"))
        await until(lambda: paths)
        first.cancel()
        assert await other == []
        assert len(paths) == 1


async def test_a_question_that_failed_is_asked_again_by_the_next_caller(comfy: StandIn) -> None:
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        comfy.misbehave.status_for = {"/models": 502}
        failures = await asyncio.gather(*(server.names("/models/vae") for _ in range(5)), return_exceptions=True)
        assert {type(failure) for failure in failures} == {tool.ServerUnreachable}
        comfy.misbehave.status_for = {}
        assert await server.names("/models/vae") == comfy.models["vae"]
        assert len(comfy.requests) == 2


async def test_what_is_known_is_believed_for_a_while_and_then_asked_for_again(comfy: StandIn) -> None:
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        for believe, requests in ((60.0, 1), (60.0, 1), (0.0, 2), (60.0, 2)):
            await server.define("KSampler", believe)
            assert len(comfy.requests) == requests
        for believe, requests in ((60.0, 3), (60.0, 3), (0.0, 4), (60.0, 4)):
            await server.names("/models/loras", believe)
            assert len(comfy.requests) == requests


async def test_each_server_is_known_by_itself(pair: tuple[StandIn, StandIn]) -> None:
    pair[1].models = {**pair[1].models, "vae": ["only_here.safetensors"]}
    for server in pair:
        async with tool.open_server(tool.Endpoint(server.url)) as opened:
            assert await opened.names("/models/vae") == server.models["vae"]


async def test_a_model_that_was_just_added_is_found_though_the_list_is_known(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "DOUBT_SECONDS", 0.0)
    await draw(comfy)
    comfy.models["checkpoints"].append("just_added.safetensors")
    try:
        made = await draw(comfy, model="just_added.safetensors")
    finally:
        comfy.models["checkpoints"].remove("just_added.safetensors")
    assert made.model == "just_added.safetensors"


async def test_a_name_that_is_not_found_costs_each_call_one_small_question(comfy: StandIn) -> None:
    for _ in range(2):
        comfy.requests.clear()
        with pytest.raises(tool.ModelNotInstalled):
            await draw(comfy, model="no_such_model.safetensors")
    assert [request.path for request in comfy.requests] == ["/object_info/CheckpointLoaderSimple"]


# --- what a busy server tells of its queue ---


def test_that_the_queue_moves_is_told_once_until_that_is_awaited_again() -> None:
    subscription = tool.Subscription(frozenset(), lambda _: None)
    for _ in range(50):
        subscription.queue_moved()
    assert [subscription.events.get_nowait() for _ in range(subscription.events.qsize())] == [tool.QueueMoved()]
    subscription.awaits_move = True
    subscription.queue_moved()
    assert subscription.events.qsize() == 1
