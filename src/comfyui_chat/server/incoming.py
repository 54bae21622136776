"""A file on its way from a server, piece by piece: into memory, and to disk as soon as it is not
small.

    async with IncomingFile(room) as incoming:
        await incoming.write(piece)
        file = await incoming.finish()

It is bounded by its own size (`MOST_FILE_BYTES`), by the room that its call has, and by what the
process holds of all files together (media/file_bytes.py). What is not finished, after an error or a
Stop, is given back and leaves nothing.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from ..bounds import MB, MOST_BYTES_OF_CALL, MOST_FILE_BYTES, MOST_FILE_BYTES_IN_MEMORY
from ..errors import LimitExceeded, StorageRefused
from ..media.file_bytes import DISK, MEMORY, FileBytes, Room, TemporaryFile, no_room
from ..threads import FILES

PIECE_BYTES = MB  # that are written to disk at once
STARTING_BYTES = 512  # by which it is told what a file is


class IncomingFile:
    """A file on its way in. What it takes of `room`, which its call has, is given back unless it is
    finished; `clean` takes a key out of a file that is small enough for that.
    """

    def __init__(self, room: Room, clean: Callable[[bytes], bytes] = bytes) -> None:
        self.start = b""  # the first bytes, at most `STARTING_BYTES`
        self._room = room
        self._clean = clean
        self._size = 0
        self._in_memory = 0  # bytes that are counted there
        self._on_disk = 0
        self._pieces = bytearray()  # that are not written
        self._file = TemporaryFile()
        self._is_finished = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        if not self._is_finished:
            self._room.give_back(self._size)
            MEMORY.give_back(self._in_memory)
            DISK.give_back(self._on_disk)

    def expect(self, size: int) -> None:
        """Refuse a file that is going to have so many bytes more. Raises `LimitExceeded` for one
        that is too large, and `StorageRefused` where there is no room for it now.
        """
        if self._size + size > MOST_FILE_BYTES:
            most = MOST_FILE_BYTES // MB
            raise LimitExceeded(
                f"A file of more than {most} MB is not fetched.",
                "It stays in ComfyUI's output folder.",
            )
        if not self._room.has(size):
            raise StorageRefused(f"One call brings at most {MOST_BYTES_OF_CALL // MB} MB.")

    async def write(self, piece: bytes) -> None:
        """Take the next bytes. Raises as `expect` does."""
        self.expect(len(piece))
        self._room.take(len(piece))
        self._size += len(piece)
        self._pieces += piece
        self.start += piece[: STARTING_BYTES - len(self.start)]
        stays_small = not self._on_disk and self._size <= MOST_FILE_BYTES_IN_MEMORY
        if stays_small and MEMORY.take(len(piece)):
            self._in_memory += len(piece)
            return
        self._count_on_disk()
        if len(self._pieces) >= PIECE_BYTES:
            await self._flush()

    def _count_on_disk(self) -> None:
        """Count all bytes as being on disk."""
        if not DISK.take(self._size - self._on_disk):
            raise no_room()
        self._on_disk = self._size
        MEMORY.give_back(self._in_memory)
        self._in_memory = 0

    async def _flush(self) -> None:
        """Write what has come."""
        pieces = self._pieces
        self._pieces = bytearray()
        await FILES.run(self._file.write, pieces)

    async def finish(self) -> FileBytes:
        """The whole file. Raises `StorageRefused`."""
        if self._on_disk:
            await self._flush()
            file = FileBytes(self._file.map(), DISK, self._on_disk)
        else:
            file = FileBytes(self._clean(bytes(self._pieces)), MEMORY, self._in_memory)
        self._is_finished = True
        return file
