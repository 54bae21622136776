"""The proxy fails as it is told, and no more than that."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.support.proxy import Proxy
from tests.support.stand_in import StandIn
from tests.support.watching import until


@pytest.fixture
async def comfy() -> AsyncIterator[StandIn]:
    async with StandIn() as server:
        yield server


@pytest.fixture
async def proxy(comfy: StandIn) -> AsyncIterator[Proxy]:
    async with Proxy("127.0.0.1", int(comfy.url.rpartition(":")[2])) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(proxy.url, timeout=aiohttp.ClientTimeout(5)) as session:
        yield session


async def status(client: aiohttp.ClientSession, path: str = "/queue") -> int:
    async with client.post("/queue", json={}) if path == "POST" else client.get(path) as answer:
        await answer.read()
        return answer.status


async def test_requests_and_websockets_pass(client: aiohttp.ClientSession, proxy: Proxy) -> None:
    assert [await status(client), await status(client, "POST"), await status(client, "/nowhere")] == [200, 200, 404]
    async with client.ws_connect("/ws") as socket:
        assert (await socket.receive_json())["type"] == "status"
        assert "websocket" in proxy.open
    assert proxy.requests == ["GET /queue", "POST /queue", "GET /nowhere", "GET /ws"]


async def test_a_cut_ends_what_is_open_and_lets_in_what_is_new(client: aiohttp.ClientSession, proxy: Proxy) -> None:
    async with client.ws_connect("/ws") as socket:
        await socket.receive()
        proxy.cut()
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSED
    assert await status(client) == 200


async def test_a_stall_holds_everything_and_loses_nothing(
    client: aiohttp.ClientSession, proxy: Proxy, comfy: StandIn
) -> None:
    async with client.ws_connect("/ws") as socket:
        await socket.receive()
        proxy.stall()
        comfy.room.send("status", {})
        waiting = [asyncio.create_task(socket.receive()), asyncio.create_task(status(client))]
        done, _ = await asyncio.wait(waiting, timeout=0.1)
        assert not done
        proxy.flow()
        frame, code = await asyncio.gather(*waiting)
        assert (frame.json()["type"], code) == ("status", 200)


async def test_what_is_sent_in_a_stall_by_somebody_who_leaves_never_arrives(
    client: aiohttp.ClientSession, proxy: Proxy, comfy: StandIn
) -> None:
    proxy.stall()
    leaving = asyncio.create_task(status(client))
    await until(lambda: proxy.requests)
    leaving.cancel()
    await asyncio.wait({leaving})
    proxy.flow()
    await until(lambda: not proxy.open)
    assert not comfy.requests


async def test_refused_connections_are_refused_until_somebody_listens_again(
    client: aiohttp.ClientSession, proxy: Proxy
) -> None:
    proxy.refuse()
    with pytest.raises(aiohttp.ClientConnectorError) as refused:
        await status(client)
    assert isinstance(refused.value.os_error, ConnectionRefusedError)
    proxy.listen()
    assert await status(client) == 200


async def test_a_status_answers_everything_but_a_kind_only_its_own(client: aiohttp.ClientSession, proxy: Proxy) -> None:
    proxy.answer(502)
    assert await status(client) == 502
    proxy.flow()
    proxy.answer(502, "websocket")
    assert await status(client) == 200
    with pytest.raises(aiohttp.WSServerHandshakeError, match="502"):
        await client.ws_connect("/ws")


async def test_a_held_request_arrives_when_it_is_released(
    client: aiohttp.ClientSession, proxy: Proxy, comfy: StandIn
) -> None:
    hold = proxy.hold("POST /queue")
    held = asyncio.create_task(status(client, "POST"))
    await hold.reached.wait()
    assert await status(client) == 200
    assert [request.method for request in comfy.requests] == ["GET"]
    hold.release()
    assert await held == 200


async def test_an_answer_that_is_cut_while_it_is_held_breaks_off(client: aiohttp.ClientSession, proxy: Proxy) -> None:
    hold = proxy.hold("GET /object_info", after=2000)
    async with client.get("/object_info") as answer:
        await hold.reached.wait()
        proxy.cut("http")
        with pytest.raises(aiohttp.ClientError):
            await answer.read()


async def test_a_websocket_that_is_cut_near_stays_open_on_the_far_side(
    client: aiohttp.ClientSession, proxy: Proxy, comfy: StandIn
) -> None:
    async with client.ws_connect("/ws?clientId=mine") as socket:
        await socket.receive()
        proxy.cut_near("websocket")
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSED
    await asyncio.sleep(0.05)
    assert comfy.sockets == ["mine"]
    proxy.close_late()
    await until(lambda: not comfy.sockets)
