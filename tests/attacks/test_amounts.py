"""How much a hostile server makes: outputs without number, files without end.

What comes within the bounds is stored. What is beyond them is not fetched, and the result and the user's message say
how much that is. Large files do not go through memory, and whatever happens none is left behind. The bounds are smaller
here, so that the rows are fast.
"""

import asyncio
import contextlib
import gc
import gzip
import tempfile
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

import comfyui_tool as tool
from tests.attacks.hostile import Answer, HostileServer, status
from tests.attacks.house import House, valves
from tests.attacks.table import told
from tests.support.pictures import png
from tests.support.watching import until

pytestmark = pytest.mark.real_clock  # the hostile server has an event loop of its own

FILM = b"\0\0\0\x18ftypmp42"  # how it begins
MEMORY, DISK = 256 * tool.KB, 64 * tool.MB


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Smaller bounds; and after each row nothing is held any more, nor lies about."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tool, "MOST_FILE_BYTES_IN_MEMORY", 64 * tool.KB)
    monkeypatch.setattr(tool, "MOST_FILE_BYTES", 32 * tool.MB)
    monkeypatch.setattr(tool, "MOST_BYTES_OF_CALL", 10 * tool.MB)
    monkeypatch.setattr(tool, "MEMORY", tool.Room(MEMORY))
    monkeypatch.setattr(tool, "DISK", tool.Room(DISK))
    yield
    gc.collect()
    assert tool.MEMORY.has(MEMORY)
    assert tool.DISK.has(DISK)
    assert list(tmp_path.iterdir()) == []


def sending(size: int, announced: bool = True, stops_at: int | None = None) -> Answer:
    """A film of so many bytes, which may stop coming in the middle."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if announced:
            response.content_length = size
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            await response.write(FILM)
            sent = len(FILM)
            while sent < size:
                piece = bytes(min(256 * tool.KB, size - sent))
                await response.write(piece)
                sent += len(piece)
                if stops_at is not None and sent >= stops_at:
                    await asyncio.sleep(60)
        return response

    return answer


async def packed(_: web.Request) -> web.StreamResponse:
    """A little that becomes much when it is unpacked."""
    body = gzip.compress(bytes(40 * tool.MB), 1)
    return web.Response(body=body, headers={"Content-Encoding": "gzip"})


def makes(server: HostileServer, *names: str) -> None:
    """What the run made."""
    server.outputs = {"1": {"images": [{"filename": name, "subfolder": "", "type": "output"} for name in names]}}


# --- outputs without number ---


async def test_of_twenty_thousand_outputs_a_hundred_are_fetched(home: House, server: HostileServer) -> None:
    makes(server, *[f"{number}.png" for number in range(20_000)])
    server.files["*"] = png()
    answer = await home.call("run_workflow", workflow="w", valves=valves(server))
    assert server.views == len(home.stored) == tool.MOST_FILES_OF_CALL == 100
    notes = answer["adjusted"]
    assert "900 more files were left out, since one call brings 100" in notes
    assert "19000 more files stay in ComfyUI's output folder: of a run 1000 are brought" in notes
    assert home.page.texts[-1].endswith("19900 files left out")
    assert len(told(answer)) < 30_000


async def test_of_twenty_thousand_texts_a_hundred_are_stored(home: House, server: HostileServer) -> None:
    server.outputs = {"1": {"text": [f"a fox {n}" for n in range(20_000)]}}
    answer = await home.call("run_workflow", workflow="w", valves=valves(server))
    assert len(home.stored) == 100
    assert "900 more files were left out, since one call brings 100" in answer["adjusted"]
    assert len(told(answer)) < 40_000


# --- files without end ---


@pytest.mark.parametrize(
    "film",
    [sending(2 * 2**30), sending(2 * 2**30, stops_at=1), sending(2 * 2**30, announced=False), packed],
    ids=["two gigabytes", "two gigabytes that do not come", "a file without an end", "a file that unpacks to more"],
)
async def test_a_file_that_is_too_large_is_left_where_it_is(
    home: House, server: HostileServer, film: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "MOST_BYTES_OF_CALL", DISK)
    server.files["film.mp4"] = film
    makes(server, "film.mp4")
    answer = await home.call("run_workflow", workflow="w", valves=valves(server))
    assert (answer["code"], answer["error"]) == ("limit_exceeded", "A file of more than 32 MB is not fetched.")
    assert "It stays in ComfyUI's output folder." in answer["hint"]
    assert server.views == 1

    server.files["fox.png"] = png()
    makes(server, "film.mp4", "fox.png")
    answer = await home.call("run_workflow", workflow="w", valves=valves(server))
    assert len(answer["images"]) == 1
    note = '1 of 2 files is missing ("film.mp4"): A file of more than 32 MB is not fetched'
    assert answer["adjusted"] == [note], "and check_job, which does not bring it either, is not spoken of"


@pytest.mark.parametrize("announced", [True, False])
async def test_of_forty_large_files_as_many_come_as_one_call_brings(
    home: House, server: HostileServer, announced: bool
) -> None:
    server.files["*"] = sending(tool.MB, announced)
    makes(server, *[f"{number}.mp4" for number in range(40)])
    answer = await home.call("run_workflow", workflow="w", valves=valves(server))
    assert 5 <= len(answer["files"]) == len(home.stored) <= 10
    left = 40 - len(home.stored)
    assert f"{left} of 40 files are missing" in told(answer["adjusted"][0])
    assert "One call brings at most 10 MB" in answer["adjusted"][0]
    assert f"check_job tries once more to bring the {left} files that are missing" in answer["adjusted"][1]
    assert home.page.texts[-1].endswith(f"{left} files left out")


async def test_beyond_what_all_calls_hold_together_a_file_stays_on_its_server(
    home: House, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "MOST_BYTES_OF_CALL", DISK)
    assert tool.DISK.take(60 * tool.MB), "as other calls do"
    server.files["*"] = sending(8 * tool.MB)
    makes(server, "film.mp4")
    answer = await home.call("run_workflow", workflow="w", valves=valves(server))
    assert answer["code"] == "storage_refused"
    assert "in ComfyUI's output folder" in answer["hint"]
    tool.DISK.give_back(60 * tool.MB)
    await home.call("run_workflow", workflow="w", valves=valves(server))
    assert [stored.size for stored in home.stored] == [8 * tool.MB]


async def test_a_large_file_does_not_go_through_memory(home: House, server: HostileServer) -> None:
    size = 9 * tool.MB
    server.files["*"] = sending(size)
    makes(server, "film.mp4")
    tracemalloc.start()
    try:
        await home.call("run_workflow", workflow="w", valves=valves(server))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    (stored,) = home.stored
    assert (stored.size, stored.content_type, stored.data[: len(FILM)]) == (size, "video/mp4", FILM)
    assert peak < size


async def test_what_is_stopped_while_it_comes_leaves_nothing(home: House, server: HostileServer) -> None:
    server.files["*"] = sending(9 * tool.MB, stops_at=5 * tool.MB)
    makes(server, "film.mp4")
    call = asyncio.create_task(home.call("run_workflow", workflow="w", valves=valves(server)))
    await until(lambda: not tool.DISK.has(DISK - 4 * tool.MB))
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert not home.stored


@pytest.fixture
async def refusing(home: House) -> AsyncIterator[None]:
    """An Open WebUI that stores nothing."""

    async def refuse(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    import open_webui.routers.files

    open_webui.routers.files.upload_file_handler = refuse
    yield


@pytest.mark.usefixtures("refusing")
async def test_what_open_webui_does_not_store_is_not_held_either(home: House, server: HostileServer) -> None:
    server.files["*"] = sending(tool.MB)
    makes(server, "film.mp4", "film-2.mp4")
    answer = await home.call("run_workflow", workflow="w", valves=valves(server))
    assert answer["code"] == "storage_refused"


async def test_one_file_that_is_missing_is_named_and_the_others_come(
    home: House, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "REFUSALS_BORNE", 0)
    server.files |= {"a.png": png(), "b.png": status(404), "c.png": png()}
    makes(server, "a.png", "b.png", "c.png")
    answer = await home.call("run_workflow", workflow="w", valves=valves(server))
    assert len(answer["images"]) == 2
    reason = 'ComfyUI does not give out its file "b.png" (HTTP 404)'
    assert answer["adjusted"][0] == f'1 of 3 files is missing ("b.png"): {reason}'
    assert home.page.texts[-1].endswith("1 file left out")
