"""The clock of a test's own: what passes at once, and what takes no time."""

import asyncio
import time


async def test_an_hour_of_waiting_passes_at_once() -> None:
    really_began = time.perf_counter()
    began = time.monotonic()
    await asyncio.sleep(3600)
    assert 3600 <= time.monotonic() - began < 3601
    assert time.perf_counter() - really_began < 60


async def test_work_in_a_thread_takes_no_time() -> None:
    began = time.monotonic()
    async with asyncio.timeout(0.01):
        await asyncio.to_thread(time.sleep, 0.2)
    assert 0 < time.monotonic() - began < 0.001


async def test_what_a_server_of_this_process_answers_comes_before_any_timer() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"here\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1")
    async with server, asyncio.timeout(1):
        for _ in range(100):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.readline() == b"here\n"
            writer.close()
