"""The clock of a test's own: what passes at once, and what takes no time."""

import asyncio
import time

from tests.support.own_clock import run_on_own_clock


def test_an_hour_of_waiting_passes_at_once() -> None:
    async def wait() -> None:
        before = time.monotonic()
        await asyncio.sleep(3600)
        assert 3600 <= time.monotonic() - before < 3601

    began = time.perf_counter()
    run_on_own_clock(wait())
    assert time.perf_counter() - began < 60


def test_work_in_a_thread_takes_no_time() -> None:
    async def work() -> None:
        before = time.monotonic()
        async with asyncio.timeout(0.01):
            await asyncio.to_thread(time.sleep, 0.2)
        assert 0 < time.monotonic() - before < 0.001

    run_on_own_clock(work())


def test_what_a_server_of_this_process_answers_comes_before_any_timer() -> None:
    async def ask() -> None:
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

    run_on_own_clock(ask())
