"""The bytes of finished files: a few in memory, many on disk, and never more than there is room for."""

import asyncio
import errno
import hashlib
import io
import tempfile
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import comfyui_tool as tool
from tests.support.pictures import encoded, opened
from tests.support.samples import recorded

SMALL, LARGE = b"s" * 100, b"l" * 3000
MEMORY, DISK = 2000, 10_000


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Where temporary files go. There is little room, and after each test all of it is free again."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tool, "MOST_FILE_BYTES_IN_MEMORY", 1000)
    monkeypatch.setattr(tool, "MOST_FILE_BYTES", 8000)
    monkeypatch.setattr(tool, "PIECE_BYTES", 500)
    monkeypatch.setattr(tool, "MEMORY", tool.Room(MEMORY))
    monkeypatch.setattr(tool, "DISK", tool.Room(DISK))
    yield tmp_path
    assert all_is_free()


def all_is_free() -> bool:
    return bool(tool.MEMORY.has(MEMORY) and tool.DISK.has(DISK))


def room(size: int = 100_000) -> tool.Room:
    return tool.Room(size)


async def received(data: bytes, of_call: tool.Room | None = None, piece: int = 300) -> tool.FileBytes:
    """A file that came in pieces."""
    async with tool.IncomingFile(of_call or room()) as file:
        for at in range(0, len(data), piece):
            await file.write(data[at : at + piece])
        return await file.finish()


# --- coming in ---


@pytest.mark.parametrize("data", [b"", b"a", SMALL, b"x" * 1000, b"x" * 1001, LARGE])
async def test_what_comes_in_pieces_is_what_was_sent(data: bytes) -> None:
    file = await received(data)
    assert (len(file), file.whole(), file.start(5), file.on_disk) == (len(data), data, data[:5], len(data) > 1000)
    file.close()


async def test_a_file_on_disk_has_no_name_and_is_gone_when_it_is_closed(folder: Path) -> None:
    file = await received(LARGE)
    assert file.on_disk
    assert list(folder.iterdir()) == []
    file.close()
    assert len(file) == 0


async def test_small_files_go_to_disk_when_the_memory_has_no_room_for_them() -> None:
    files = [await received(b"x" * 900) for _ in range(4)]
    assert [file.on_disk for file in files] == [False, False, True, True]
    for file in files:
        file.close()


async def test_beyond_what_the_process_holds_nothing_is_taken_until_there_is_room_again() -> None:
    files = [await received(LARGE) for _ in range(3)]
    with pytest.raises(tool.StorageRefused, match="on their way at the moment"):
        await received(LARGE)
    with pytest.raises(tool.StorageRefused, match="on their way at the moment"):
        tool.hold(LARGE)
    files.pop().close()
    files.append(await received(LARGE))
    for file in files:
        file.close()


async def test_a_file_that_is_too_large_is_refused_at_its_end_or_when_it_is_announced() -> None:
    with pytest.raises(tool.LimitExceeded, match="A file of more than"):
        await received(b"x" * 8001)
    with pytest.raises(tool.LimitExceeded, match="A file of more than"):
        async with tool.IncomingFile(room()) as file:
            file.expect(8001)


async def test_a_call_takes_no_more_than_its_room_and_what_fails_gives_back_what_it_took() -> None:
    of_call = room(5000)
    first = await received(LARGE, of_call)
    with pytest.raises(tool.StorageRefused, match="One call brings at most"):
        await received(LARGE, of_call)
    second = await received(b"x" * 2000, of_call)
    first.close()
    second.close()
    assert not of_call.has(1), "what was brought counts, though it is stored by now"


async def test_a_file_that_is_given_up_leaves_nothing() -> None:
    with pytest.raises(KeyError):
        async with tool.IncomingFile(room()) as file:
            await file.write(LARGE)
            raise KeyError
    assert all_is_free()
    hung = asyncio.Event()

    async def receive() -> None:
        async with tool.IncomingFile(room()) as file:
            await file.write(LARGE)
            hung.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(receive())
    await hung.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_file_that_nobody_closes_is_given_back_when_it_is_forgotten() -> None:
    file = await received(LARGE)
    held = tool.hold(SMALL)
    assert not all_is_free()
    del file, held


async def test_a_disk_that_takes_nothing_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    for fails in (lambda: received(LARGE), lambda: asyncio.to_thread(tool.hold, LARGE)):
        with pytest.raises(tool.StorageRefused, match=r"does not take the file \(No space left on device\)") as refused:
            await fails()
        assert "secret" not in str(refused.value.as_result())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
async def test_a_disk_that_fills_up_while_a_file_comes_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: io.FileIO("/dev/full", "w"))
    for fails in (lambda: received(LARGE), lambda: asyncio.to_thread(tool.hold, LARGE)):
        with pytest.raises(tool.StorageRefused, match="No space left on device"):
            await fails()


def test_a_file_that_is_closed_while_a_thread_writes_is_closed_by_that_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    class Slow(io.BytesIO):
        def write(self, data: Any) -> int:
            begun.set()
            assert goes_on.wait(10)
            return super().write(data)

    disk = Slow()
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: disk)
    file = tool.TemporaryFile()
    thread = threading.Thread(target=file.write, args=(LARGE,))
    thread.start()
    assert begun.wait(10)
    file.close()
    assert not disk.closed
    goes_on.set()
    thread.join(10)
    assert disk.closed


async def test_a_key_is_taken_out_of_a_small_file() -> None:
    async with tool.IncomingFile(room(), lambda data: data.replace(b"k3y", b"")) as file:
        await file.write(b"the k3")
        await file.write(b"y!")
        clean = await file.finish()
    assert clean.whole() == b"the !"
    clean.close()


# --- going out ---


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["in memory", "on disk"])
async def test_open_webui_stores_it_as_it_stores_any_file(data: bytes, tmp_path: Path) -> None:
    file = tool.hold(data)
    reader = file.reader()
    for _ in range(2):  # a name too long for the disk has it read a second time
        contents = reader.read()
        assert contents
        with open(tmp_path / "stored", "wb") as stored:
            stored.write(contents)
        assert (tmp_path / "stored").read_bytes() == data
        assert (len(contents), hashlib.sha256(contents).digest()) == (len(data), hashlib.sha256(data).digest())
        reader.seek(0)
    assert [reader.read(60), reader.read(1), reader.read()] == [data[:60], data[60:61], data[61:]]
    file.close()


async def test_who_reads_a_file_may_go_on_after_it_is_closed() -> None:
    file = tool.hold(LARGE)
    contents = file.reader().read()
    file.close()
    assert contents[:] == LARGE


@pytest.mark.parametrize("wanted", ["", "JPEG"])
async def test_a_picture_on_disk_is_a_picture(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    monkeypatch.setattr(tool, "MOST_FILE_BYTES_IN_MEMORY", 10)
    data = encoded(Image.new("RGB", (64, 48), "red"))
    made, notes = tool.deliver(tool.hold(data), "a.bin", tool.Format(wanted))
    assert (made.content_type, made.size, notes) == (f"image/{wanted.lower() or 'png'}", tool.Size(64, 48), ())
    assert made.data.on_disk
    assert opened(made).getpixel((9, 9))[0] > 250
    assert (made.data.whole() == data) == (not wanted)
    made.data.close()


async def test_a_film_on_disk_is_a_film(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "DISK", tool.Room(10**6))
    data = recorded("clip.mp4")
    made, notes = tool.deliver(tool.hold(data), "a.bin", tool.Format("WebP"))
    assert (made.content_type, made.size, made.data.on_disk, notes) == ("video/mp4", None, True, ())
    made.data.close()
    monkeypatch.setattr(tool, "DISK", tool.Room(DISK))


BARE = tool.Format(metadata=False)


@pytest.mark.parametrize("name", ["clip.mp4", "sound.m4a", "clip.webm", "clip.mkv"])
async def test_the_texts_of_a_film_on_disk_are_overwritten_where_it_is(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(tool, "MOST_FILE_BYTES_IN_MEMORY", 10)
    monkeypatch.setattr(tool, "DISK", tool.Room(tool.MB))
    monkeypatch.setattr(tool, "MOST_CHANGED_BYTES", 10)
    data = recorded(name)
    film = tool.hold(data)
    made, notes = tool.deliver(film, name, BARE)
    assert made.data is film
    assert notes == ()
    assert film.whole() == tool.without_metadata(data, made.content_type) != data
    film.close()
    assert tool.DISK.has(tool.MB)
    monkeypatch.setattr(tool, "DISK", tool.Room(DISK))


async def test_a_damaged_film_on_disk_stays_as_it_was_made_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "MOST_FILE_BYTES_IN_MEMORY", 10)
    data = recorded("clip.webm")[:-5]
    film = tool.hold(data)
    assert tool.deliver(film, "a.webm", BARE)[1] == ("its metadata could not be removed",)
    assert film.whole() == data
    film.close()


async def test_a_large_film_is_stripped_without_a_copy_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "DISK", tool.Room(64 * tool.MB))
    film = tool.hold(recorded("clip.mp4") + (32 * tool.MB + 8).to_bytes(4) + b"mdat" + bytes(32 * tool.MB))
    tracemalloc.start()
    try:
        made, notes = tool.deliver(film, "a.mp4", BARE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (made.data, notes, peak < 4 * tool.MB) == (film, (), True)
    film.close()
    monkeypatch.setattr(tool, "DISK", tool.Room(DISK))


async def test_what_is_too_large_to_be_changed_stays_as_it_was_made_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tool, "MOST_CHANGED_BYTES", 10)
    data = encoded(Image.new("RGB", (8, 8)))
    made, notes = tool.deliver(tool.hold(data), "a.png", tool.Format("WebP", metadata=False))
    assert made.data.whole() == data
    assert notes == (
        "the picture is too large to be made a WebP and stays as it was made",
        "its metadata could not be removed",
    )
    made.data.close()
