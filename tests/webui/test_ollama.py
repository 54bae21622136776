"""One graphics card for a language model and ComfyUI: when ComfyUI's memory is freed and when Ollama's models are
unloaded, and for whose runs."""

import asyncio
import gc
import logging
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support.ollama import Ollama
from tests.support.runs import make
from tests.support.stand_in import OUT_OF_MEMORY, StandIn
from tests.support.watching import until

FREED = {"unload_models": True, "free_memory": True}
NOW, SOON = tool.Memory(free_seconds=0.0), tool.Memory(free_seconds=0.3)

pytestmark = pytest.mark.usefixtures("closed_servers")


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again after seconds is tried again in a moment."""
    monkeypatch.setattr(tool, "FREE_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(tool, "UNLOAD_PAUSE_SECONDS", 0.02)


@pytest.fixture
def comfy(quick_comfy: StandIn) -> StandIn:
    """One release will do: they do not differ in what is tested here."""
    return quick_comfy


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that nobody uses are closed at once."""
    monkeypatch.setattr(tool, "IDLE_SECONDS", 0.1)


def chores() -> list[asyncio.Task[Any]]:
    """The tool's own tasks, those of the test and the stand-in left out."""
    return [task for task in asyncio.all_tasks() if task.get_coro().cr_code.co_filename == tool.__file__]


def chat(*connections: Ollama | str, configs: Any = None, enabled: bool = True) -> tool.Chat:
    """A chat in an Open WebUI of before 0.10 with these connections, where the settings hang on the application."""
    urls = [one if isinstance(one, str) else one.url for one in connections]
    config = SimpleNamespace(ENABLE_OLLAMA_API=enabled, OLLAMA_BASE_URLS=urls, OLLAMA_API_CONFIGS=configs or {})
    return tool.Chat(SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(config=config))))


@pytest.fixture
def before_010(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings in the database."""
    monkeypatch.setitem(sys.modules, "open_webui.models.config", None)


# --- ComfyUI's memory ---


async def test_by_default_nothing_is_freed(comfy: StandIn) -> None:
    await make(comfy, steps=2, memory=tool.Memory())
    await tool.close_servers()
    assert not [request for request in comfy.requests if "free" in request.path]


async def test_after_a_run_comfyuis_memory_is_freed(comfy: StandIn) -> None:
    await make(comfy, steps=2, memory=NOW)
    await until(lambda: comfy.freed == [FREED])


@pytest.mark.usefixtures("no_batch_size")
async def test_it_is_freed_once_for_all_the_prompts_of_a_call(comfy: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    post, freed_before = comfy.submit, []
    monkeypatch.setattr(comfy, "submit", lambda body: freed_before.append(len(comfy.freed)) or post(body))
    await make(comfy, steps=2, memory=NOW, count=3)
    await until(lambda: comfy.freed)
    assert freed_before == [0, 0, 0]


async def test_a_failed_run_leaves_the_memory_free_as_well(comfy: StandIn) -> None:
    comfy.misbehave.fail_node = {"KSampler": OUT_OF_MEMORY}
    with pytest.raises(tool.OutOfMemory):
        await make(comfy, steps=2, memory=NOW)
    await until(lambda: comfy.freed == [FREED])


@pytest.mark.usefixtures("brief")
async def test_after_a_stop_it_is_freed_once_the_job_is_gone(comfy: StandIn) -> None:
    comfy.misbehave.hold_at_step = 1
    run = asyncio.create_task(make(comfy, memory=NOW, steps=50))
    await comfy.until_held()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert not comfy.freed
    comfy.release()
    await until(lambda: comfy.freed == [FREED])


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("memory", [NOW, SOON], ids=["after each run", "when idle"])
async def test_it_is_not_freed_while_somebody_elses_job_is_in_the_queue(comfy: StandIn, memory: tool.Memory) -> None:
    comfy.misbehave.hold_at_step = 1
    run = asyncio.create_task(make(comfy, steps=2, memory=memory))
    await comfy.until_held()
    await comfy.post(comfy.example_graph(steps=3))
    comfy.release()
    comfy.misbehave.hold_at_step = 3  # ours has two
    await run
    await comfy.until_held()
    await asyncio.sleep(0.6)
    assert not comfy.freed
    comfy.release()
    await until(lambda: comfy.freed == [FREED])


@pytest.mark.usefixtures("brief")
async def test_when_idle_the_memory_is_freed_though_all_connections_are_closed_meanwhile(comfy: StandIn) -> None:
    await make(comfy, steps=2, memory=tool.Memory(free_seconds=1.2))
    async with tool.open_server(tool.Endpoint(comfy.url)) as server:
        pass
    await until(lambda: not server.is_open)
    await until(lambda: not comfy.sockets)
    assert not comfy.freed
    await until(lambda: comfy.freed == [FREED])
    await until(lambda: not server.is_open)
    await until(lambda: not chores())


@pytest.mark.usefixtures("brief")
async def test_a_new_run_begins_the_time_anew_and_many_runs_free_it_once(comfy: StandIn) -> None:
    memory = tool.Memory(free_seconds=0.9)
    for _ in range(3):
        await make(comfy, steps=2, memory=memory)
        await asyncio.sleep(0.3)
        assert not comfy.freed
    await until(lambda: comfy.freed)
    await asyncio.sleep(0.3)
    assert comfy.freed == [FREED]


@pytest.mark.usefixtures("brief")
async def test_it_is_not_freed_while_a_call_of_ours_prepares_its_run(comfy: StandIn) -> None:
    await make(comfy, steps=2, memory=SOON)
    async with tool.open_server(tool.Endpoint(comfy.url)):
        await asyncio.sleep(0.6)
        assert not comfy.freed
    await until(lambda: comfy.freed == [FREED])


async def test_nothing_is_left_behind_when_the_servers_are_closed_before_their_time(comfy: StandIn) -> None:
    await make(comfy, steps=2, memory=tool.Memory(free_seconds=600))
    assert chores()
    await tool.close_servers()
    assert not chores()


@pytest.mark.real_clock
@pytest.mark.parametrize("memory", [NOW, tool.Memory(free_seconds=600)], ids=["after each run", "when idle"])
def test_the_end_of_the_event_loop_ends_it_in_silence(memory: tool.Memory, caplog: pytest.LogCaptureFixture) -> None:
    async def run(comfy: StandIn) -> None:
        async with tool.open_server(tool.Endpoint(comfy.url)) as server, memory.shared(server):
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.3)  # the servers are closed by then

    async def once() -> None:
        async with StandIn(step_seconds=0.0) as comfy:
            await make(comfy, steps=2, memory=memory)
            runs.append(asyncio.create_task(run(comfy)))
            await asyncio.sleep(0.1)

    async def forget() -> None:
        tool.Pool.here()  # which drops the pools of loops that have ended

    runs: list[asyncio.Task[None]] = []
    asyncio.run(once())
    runs.clear()
    asyncio.run(forget())
    gc.collect()  # what nobody ended or closed says so when it is collected
    assert caplog.messages == []


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("memory", [NOW, SOON], ids=["after each run", "when idle"])
@pytest.mark.parametrize("status", [401, 404, 500, 502])
async def test_a_server_that_does_not_free_its_memory_is_left_alone(
    comfy: StandIn, memory: tool.Memory, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "comfyui_tool")
    comfy.misbehave.status_for = {"/free": status}
    assert (await make(comfy, steps=2, memory=memory)).products
    await until(lambda: "chore failed" in caplog.text)
    await until(lambda: not chores())
    assert sum(request.path.endswith("/free") for request in comfy.requests) == 1


@pytest.mark.parametrize("memory", [NOW, SOON], ids=["after each run", "when idle"])
async def test_comfy_cloud_shares_nothing(comfy: StandIn, memory: tool.Memory) -> None:
    called: list[int] = []

    async def unload() -> None:
        called.append(1)

    async with tool.open_server(tool.Endpoint(comfy.url, cloud=True)) as server:
        async with tool.Memory(unload, memory.free_seconds).shared(server):
            pass
        await asyncio.sleep(0.2)
        assert (called, comfy.freed, server.free_at) == ([], [], None)


# --- Ollama ---


async def test_ollamas_models_are_gone_before_the_job_is_posted(
    comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Ollama("llama3:latest", "qwen3:8b", after=0.2) as ollama:
        post, loaded = comfy.submit, []
        monkeypatch.setattr(comfy, "submit", lambda body: loaded.append(list(ollama.loaded)) or post(body))
        await make(comfy, steps=2, memory=tool.Memory(tool.Ollama(ollama.url).unload))
        assert loaded == [[]]
        assert sorted(ollama.bodies, key=str) == [
            {"model": "llama3:latest", "keep_alive": 0},
            {"model": "qwen3:8b", "keep_alive": 0},
        ]


async def test_where_no_model_is_loaded_it_costs_one_question() -> None:
    async with Ollama() as ollama:
        await tool.Ollama(ollama.url).unload()
        assert [path for _, path, _, _ in ollama.asked] == ["/api/ps"]


@pytest.mark.usefixtures("before_010")
async def test_each_ollama_is_asked_with_its_own_key() -> None:
    async with Ollama("a") as first, Ollama("b") as second, Ollama("c") as off:
        configs = {"0": {"key": "one"}, second.url: {"key": "two"}, "2": {"enable": False, "key": "three"}}
        await chat(first, second, off, configs=configs).unload_ollama()
        assert {key for _, _, key, _ in first.asked} == {"Bearer one"}
        assert {key for _, _, key, _ in second.asked} == {"Bearer two"}
        assert (first.loaded, second.loaded, off.asked) == ([], [], [])


@pytest.mark.usefixtures("before_010")
async def test_where_ollama_is_switched_off_in_open_webui_it_is_left_alone() -> None:
    async with Ollama("a") as ollama:
        await chat(ollama, enabled=False).unload_ollama()
        assert not ollama.asked


@pytest.mark.parametrize(
    ("urls", "configs"), [(None, None), ("http://x", {}), (["", None, 7], None), (["http://x"], {"0": "key"})]
)
def test_settings_of_any_shape_are_taken(urls: Any, configs: Any) -> None:
    assert all(found.url == "http://x" for found in tool.Ollama.all_of(True, urls, configs))


async def failing(kind: str, ollama: Ollama) -> str:
    """The address of an Ollama that fails in some way."""
    if kind == "not there":
        return "http://me:hunter2@127.0.0.1:9"
    if kind == "something else":
        return f"{ollama.url}/nowhere"
    ollama.status = 401 if kind == "refuses" else 200
    ollama.slow = 5.0 if kind == "hangs" else 0.0
    ollama.stubborn = ("a",) if kind == "keeps one" else ()
    return ollama.url


@pytest.mark.usefixtures("before_010")
@pytest.mark.parametrize("kind", ["not there", "something else", "refuses", "hangs", "keeps one"])
async def test_an_ollama_that_fails_does_not_hold_up_the_run_or_the_others(
    kind: str, comfy: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "comfyui_tool")
    monkeypatch.setattr(tool, "UNLOAD_SECONDS", 0.5)
    async with Ollama("a", "b") as bad, Ollama("c") as good:
        url = await failing(kind, bad)
        both = chat(url, good, configs={"0": {} if "@" in url else {"key": "s3cret"}})
        began = time.monotonic()
        assert (await make(comfy, steps=2, memory=tool.Memory(both.unload_ollama))).products
        assert time.monotonic() - began < 3
        assert good.loaded == []
        if kind == "keeps one":
            assert bad.loaded == ["a"]
    assert "did not unload its models" in caplog.text
    assert "hunter2" not in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.usefixtures("before_010")
async def test_a_stop_while_ollama_is_asked_stops_the_call_and_posts_nothing(comfy: StandIn) -> None:
    async with Ollama("a") as ollama:
        ollama.slow = 5.0
        run = asyncio.create_task(make(comfy, steps=2, memory=tool.Memory(chat(ollama).unload_ollama, 0.0)))
        await until(lambda: ollama.asked)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    assert not comfy.prompts


# --- whose runs ---


@pytest.mark.parametrize(
    ("valves", "seconds"),
    [
        ({}, None),
        ({"free_memory": "after each run"}, 0.0),
        ({"free_memory": "When idle"}, 600.0),
        ({"free_memory": ""}, None),
        ({"free_memory": "sometimes"}, None),
    ],
)
def test_the_valves_say_when_the_memory_is_freed(valves: dict[str, Any], seconds: float | None) -> None:
    assert tool.resolve(tool.Valves(**valves), None).free_seconds == seconds


def test_a_users_own_server_shares_nothing() -> None:
    valves = tool.Valves(unload_ollama=True, free_memory="after each run", allow_user_endpoints=True)
    users = [{"valves": {"endpoint": endpoint}} for endpoint in ("", "http://mine:8188")]
    found = [tool.resolve(valves, user) for user in users]
    assert [(one.unload_ollama, one.free_seconds) for one in found] == [(True, 0.0), (False, None)]
