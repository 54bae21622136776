"""Whatever a server sends, it is read within bounds, in pieces, and with an error of ours."""

import asyncio
import contextlib
import functools
import gc
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

import comfyui_tool as tool
from tests.support.serving import serving
from tests.support.stand_in import StandIn

KEY = "sk-0123456789/abc"


@contextlib.asynccontextmanager
async def answering(
    body: bytes | str, status: int = 200, key: str = "", history: str | None = None
) -> AsyncIterator[tool.ComfyUIServer]:
    """A server that answers everything with the same JSON, but for its history where that is given."""
    data = body.encode() if isinstance(body, str) else body

    async def give(request: web.Request) -> web.Response:
        if history is not None and request.path.startswith("/history"):
            return web.Response(text=history, content_type="application/json")
        return web.Response(body=data, status=status, content_type="application/json")

    async with serving("/{path:.*}", give) as url, tool.open_server(tool.Endpoint.parse(url, key)) as server:
        yield server
    await tool.close_servers()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)


@given(JSON, st.integers(1, 40), st.booleans())
@settings(max_examples=150)
def test_json_in_pieces_of_any_size_means_the_same(value: Any, piece: int, plain: bool) -> None:
    data = json.dumps(value, ensure_ascii=plain, indent=None if plain else 1).encode("utf-8", "replace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tool, "FIRST_PIECE_BYTES", piece)
        patch.setattr(tool, "MOST_PIECE_BYTES", 2 * piece)
        patch.setattr(tool, "MOST_LIGHT_PIECE_BYTES", 2 * piece)
        with contextlib.suppress(ValueError):  # many small retries may be more than the bound allows
            assert tool.read_json_text(tool.JsonText(data)) == json.loads(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        tool.read_json_text(tool.JsonText(data))


@pytest.mark.parametrize(("count", "length"), [(40_000, 250), (100_000, 80)])
def test_a_long_list_deep_in_a_definition_is_read(count: int, length: int) -> None:
    names = [f"{number:0{length}}" for number in range(count)]
    data = json.dumps({"Maker": {"input": {"required": {"name": [names, {}]}}, "output": []}}).encode()
    (definition, _), *_ = tool.read_definitions(tool.JsonText(data), {"Maker"}).values()
    assert definition.inputs["name"].choices == tuple(names[: tool.MOST_NAMES_IN_LIST])


HOSTILE_JSON = {
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deeper than the bound": b"[" * 102 + b"]" * 102,
    "many lists": b"[" + b"[]," * 2_000_000 + b"[]]",
    "many texts": b"[" + b'"a",' * 1_000_000 + b"1]",
    "a long number": b"1" * 5000,
    "a text that never ends": b'"' + b"a" * 1_000_000,
    "white space": b" " * 1_000_000,
    "two values": b"{} {}",
    "a key that is no text": b"{1: 2}",
    "half a character": b'"\xc3"',
    "chains of long lists": b"[" + (b"[" * 90 + b"1," * 200_000 + b"1" + b"]" * 90 + b",") * 5 + b"1]",
}


@pytest.mark.parametrize("name", HOSTILE_JSON)
def test_hostile_json_is_a_value_error_and_no_call_of_the_decoder_takes_long(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = 0.0

    class Timed(json.JSONDecoder):
        def raw_decode(self, text: str, place: int = 0) -> tuple[Any, int]:
            nonlocal longest
            begin = time.thread_time()
            try:
                return super().raw_decode(text, place)
            finally:
                longest = max(longest, time.thread_time() - begin)

    monkeypatch.setattr(tool, "JSON_DECODER", Timed())
    gc.disable()  # its rounds go through all that pytest holds
    try:
        with pytest.raises(ValueError):
            tool.read_json_text(tool.JsonText(HOSTILE_JSON[name]))
    finally:
        gc.enable()
    assert longest < 0.1


@pytest.mark.parametrize("name", ["deep lists", "many lists", "half a character"])
async def test_every_question_gets_an_error_of_ours_for_hostile_json(name: str) -> None:
    async with answering(b'{"queue_running": ' + HOSTILE_JSON[name] + b"}") as server:
        for ask in (
            server.stats,
            lambda: server.define("X"),
            lambda: server.queue(time.monotonic()),
            lambda: server.look_up("x", time.monotonic()),
            server.recent,
            lambda: server.names("/models"),
        ):
            with pytest.raises(tool.ServerError):
                await ask()
        accepted = await server.submit("x", {}, {})
        assert not accepted.certain and isinstance(accepted.doubt, tool.ServerError)


@pytest.mark.parametrize("text", ['{"error": "try again"}', '{"error": {"message": "log in"}}'])
async def test_an_error_of_a_proxy_is_not_an_empty_answer(text: str) -> None:
    async with answering(text) as server:
        for ask in (
            server.stats,
            lambda: server.define("X"),
            lambda: server.define_all([f"X{number}" for number in range(150)]),
            server.everything,
            lambda: server.queue(time.monotonic()),
            lambda: server.look_up("x", time.monotonic()),
            lambda: server.find("x"),
            server.recent,
            lambda: server.read("/history/x", functools.partial(tool.read_record, prompt_id="x")),
            lambda: server.read("/history", tool.read_history),
            lambda: server.names("/models"),
            server.saved_workflows,
            lambda: server.upload(tool.InputFile(b"x", "x.png")),
            server.free,
        ):
            with pytest.raises(tool.UnexpectedAnswer):
                await ask()
        with pytest.raises(tool.ComfyUIError):
            await server.saved_workflow("x.json")
        accepted = await server.submit("x", {}, {})
        assert not accepted.certain


async def test_a_prompt_that_stays_in_the_queue_was_not_cancelled(quick_comfy: StandIn) -> None:
    quick_comfy.misbehave.hang = True
    quick_comfy.misbehave.status_for = {"/api/jobs": 404}
    graph = quick_comfy.example_graph()
    running, waiting = [await quick_comfy.post(graph) for _ in range(2)]
    async with tool.open_server(tool.Endpoint(quick_comfy.url)) as server:
        quick_comfy.misbehave.status_for |= {"/interrupt": 500}
        with pytest.raises(tool.UnexpectedAnswer, match="HTTP 500"):
            await server.cancel(running)
        await server.cancel(waiting)
        assert quick_comfy.pending == []


async def test_a_queue_beyond_the_bound_is_read_as_far_as_that_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "MOST_QUEUE_ROWS", 50)
    rows = [[number, f"id{number}", {}, {}, []] for number in range(100)]
    async with answering(json.dumps({"queue_running": [], "queue_pending": rows}), history="{}") as server:
        queue = await server.queue(time.monotonic())
        assert (len(queue), queue.is_whole) == (50, False)
        assert await server.look_up("id99", time.monotonic()) == tool.Waiting(50, at_least=True)
        assert await server.look_up("id7", time.monotonic()) == tool.Waiting(7, at_least=True)
        with pytest.raises(tool.UnexpectedAnswer, match="too long to be read"):
            await server.find("id99")


async def test_of_a_queue_or_a_history_that_was_read_in_part_it_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[number, f"id{number}", {}, {}, []] for number in range(100)]
    async with answering(json.dumps({"queue_running": [], "queue_pending": rows}), history="{}") as server:
        assert (await server.recent()).is_whole
        monkeypatch.setattr(tool, "MOST_QUEUE_ROWS", 50)
        assert not (await server.recent()).is_whole
        monkeypatch.setattr(tool, "MOST_QUEUE_ROWS", 100)
        monkeypatch.setattr(tool, "MOST_JSON_BYTES", 1000)
        assert not (await server.recent()).is_whole


async def test_a_queue_of_too_many_bytes_is_read_as_far_as_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "MOST_JSON_BYTES", 2000)
    rows = [[number, f"id{number}", {}, {}, []] for number in range(1000)]
    async with answering(json.dumps({"queue_running": [], "queue_pending": rows})) as server:
        queue = await server.queue(time.monotonic())
        assert 0 < len(queue) < 1000
        assert not queue.is_whole


async def test_a_short_answer_has_a_bound_in_kilobytes() -> None:
    async with answering(json.dumps({"system": "x" * 300_000})) as server:
        with pytest.raises(tool.UnexpectedAnswer, match="more than 256 kB"):
            await server.stats()


async def test_a_server_that_repeats_the_key_does_not_have_it_shown() -> None:
    refusal = {"error": {"type": "x", "message": f"Authorization: Bearer {KEY}"}, "node_errors": {}}
    async with answering(json.dumps(refusal).replace("/", "\\/"), 400, KEY) as server:
        with pytest.raises(tool.WorkflowRefused) as error:
            await server.submit("x", {}, {})
    assert "[API key]" in error.value.message
    assert "0123456789" not in str(error.value.as_result())


@pytest.mark.parametrize(
    "text",
    ["ftp://host/hunter2", "ftp://host?token=hunter2", "http://host:hunter2", "http://me:hunter2@h:x", "::hunter2"],
)
def test_an_address_that_is_refused_does_not_show_what_may_be_a_credential(text: str) -> None:
    with pytest.raises(tool.BadArgument) as error:
        tool.Endpoint.parse(text)
    assert "hunter2" not in str(error.value.as_result())


def test_the_key_of_comfy_cloud_goes_by_https_however_its_host_is_written() -> None:
    for text in ("http://cloud.comfy.org.", "cloud.comfy.org./", "ws://CLOUD.comfy.org./ws"):
        endpoint = tool.Endpoint.parse(text, "k")
        assert (endpoint.url, endpoint.cloud) == ("https://cloud.comfy.org", True)


def test_slashes_after_an_address_cost_a_time_that_grows_with_their_number_only() -> None:
    assert tool.Endpoint.parse("http://host" + "/" * 1900).url == "http://host"
    with pytest.raises(tool.BadArgument, match="too long"):
        tool.Endpoint.parse("http://host" + "/" * 100_000)


async def test_frames_too_large_are_missed_and_the_next_ones_are_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tool, "MOST_FRAME_BYTES", 100_000)
    good = json.dumps({"type": "executing", "data": {"node": "3", "prompt_id": "p"}})
    hostile = ["x" * 200_000, "[" * 50_000]

    async def give(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if hostile:
            await socket.send_str(hostile.pop(0))
        with contextlib.suppress(ConnectionError):
            await socket.send_str(good)
        async for _ in socket:
            pass
        return socket

    async with (
        serving("/ws", give) as url,
        tool.open_server(tool.Endpoint(url)) as server,
        server.connection.listen("p", frozenset(), lambda data: None) as heard,
        asyncio.timeout(20),
    ):
        while await heard.events.get() != tool.Executing("3"):
            pass
        await tool.close_servers()  # the server waits for its websockets
    assert server.record.sockets >= 2


async def test_events_that_nobody_takes_do_not_pile_up() -> None:
    subscription = tool.Subscription(frozenset({"3"}), lambda data: None)
    for _ in range(5000):
        subscription.tell(tool.Started())
    events = [subscription.events.get_nowait() for _ in range(subscription.events.qsize())]
    assert len(events) == tool.MOST_WAITING_EVENTS + 1
    assert events[-1] == tool.Gap()


@pytest.mark.parametrize(
    ("bound", "size"), [("MOST_SENT_BYTES", 10), ("MOST_SENT_PICTURES", 1), ("SENT_ROOM", tool.Room(10))]
)
def test_pictures_beyond_the_bounds_are_told_as_left_out(
    monkeypatch: pytest.MonkeyPatch, bound: str, size: Any
) -> None:
    monkeypatch.setattr(tool, bound, size)
    subscription = tool.Subscription(frozenset({"3"}), lambda data: None)
    subscription.picture("3", b"12345678")
    subscription.picture("3", b"12345678")
    first, second = subscription.events.get_nowait(), subscription.events.get_nowait()
    assert isinstance(first, tool.SentPicture) and isinstance(second, tool.SentPicture)
    assert first.data is not None
    assert (first.data.whole(), second.data) == (b"12345678", None)
    first.data.close()


def test_what_is_known_of_idle_servers_has_a_bound_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "MOST_IDLE_BYTES_KEPT", 100)
    pool = tool.Pool()
    servers = [pool.server(tool.Endpoint(f"http://host{number}")) for number in range(3)]
    for server in servers:
        server._take_definitions(["A"], {"A": (tool.NodeDefinition("A", {}), 60)})
    pool._forget_idle()
    assert [bool(server.definitions) for server in servers] == [False, False, True]


async def test_of_what_a_model_file_says_only_its_kind_is_kept() -> None:
    said = {f"ss_note_{number}": "x" * 900 for number in range(5000)}
    said |= {"ss_base_model_version": "sdxl_base_v1-0", "modelspec.architecture": "x" * 2000}
    async with answering(json.dumps(said)) as server:
        assert await server.model_kind("loras", "a.safetensors") == "sdxl_base_v1-0"
    async with answering(json.dumps([said])) as server:
        assert await server.model_kind("loras", "a.safetensors") == ""
