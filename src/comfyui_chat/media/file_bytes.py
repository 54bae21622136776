"""The bytes of a finished file: a few in memory, many on disk.

A picture has a megabyte or two; a film has hundreds, and several people may make one at the same
time. So a file of more than `MOST_FILE_BYTES_IN_MEMORY`, or one for which the memory that all of
them share has no room, goes to a temporary file, while it comes (server/incoming.py) or from memory
(`hold`).

    file = hold(data)
    file.start(8)  ->  b"\\x89PNG\\r\\n\\x1a\\n"
    file.close()

A temporary file has no name: the system takes it away as soon as nobody has it open any more, also
when the process is killed. It is read by way of a memory map, which takes no memory of the process:
the system reads what is looked at, and forgets it again. Open WebUI (0.9.6 to 0.12.4) reads what it
stores whole, and then only writes, measures and hashes it; of a large file it gets the map for that
(`WholeMapReader`).

What this process holds is counted, in `MEMORY` and `DISK`. Whoever is done with a file closes it;
one that is lost on the way, after a Stop, is given back when Python forgets it.
"""

import contextlib
import io
import mmap
import tempfile
import threading
import weakref
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from ..bounds import MB, MOST_BYTES_IN_MEMORY, MOST_BYTES_ON_DISK, MOST_FILE_BYTES_IN_MEMORY
from ..errors import StorageRefused

Buffer = bytes | mmap.mmap  # what can be looked at in slices, each of them bytes


class Room:
    """How many bytes may still be held, of so many."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()  # Python forgets objects in any thread

    def take(self, size: int) -> bool:
        """Take so many bytes, if there are as many left."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def has(self, size: int) -> bool:
        """Whether there are so many bytes left."""
        return size <= self._left

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._left += size


MEMORY = Room(MOST_BYTES_IN_MEMORY)
DISK = Room(MOST_BYTES_ON_DISK)


class FileBytes:
    """All bytes of a file. `room` has counted so many of them, and gets these back when the file is
    closed.
    """

    def __init__(self, buffer: Buffer, room: Room | None = None, counted: int = 0) -> None:
        self.buffer = buffer
        self._give_back: Callable[[], Any] | None = None
        if room:
            self._give_back = weakref.finalize(self, room.give_back, counted)

    def __len__(self) -> int:
        return len(self.buffer)

    @property
    def on_disk(self) -> bool:
        """Whether they are in a temporary file, of which `buffer` is the map."""
        return isinstance(self.buffer, mmap.mmap)

    def start(self, length: int) -> bytes:
        """The first bytes, so many."""
        return self.buffer[:length]

    def whole(self) -> bytes:
        """All of them, in memory."""
        return self.buffer[:]

    def reader(self) -> BinaryIO:
        """A file object for Open WebUI's storage."""
        if isinstance(self.buffer, mmap.mmap):
            return cast(BinaryIO, WholeMapReader(self.buffer))
        return io.BytesIO(self.buffer)

    def close(self) -> None:
        """Forget the bytes. The temporary file goes when nobody else reads it, which a thread may
        still do.
        """
        self.buffer = b""
        if self._give_back:
            self._give_back()


class MapReader(io.RawIOBase):
    """A file object over a memory map."""

    def __init__(self, buffer: mmap.mmap) -> None:
        super().__init__()
        self._map = buffer
        self._at = 0

    def readinto(self, target: Any) -> int:
        """Fill a buffer with the next bytes; returns how many there are."""
        data = self._map[self._at : self._at + len(target)]
        target[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, counted from the beginning, from here, or from the end; returns where it
        is.
        """
        places = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._map)}
        self._at = max(places[whence] + offset, 0)
        return self._at

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True


class WholeMapReader(MapReader):
    """One that gives out the map itself where it is asked for all bytes."""

    def readall(self) -> Any:
        """The map, which does in place of bytes for whoever only writes, measures or hashes
        them.
        """
        if self._at:
            return super().readall()
        self._at = len(self._map)
        return self._map


def open_buffer(buffer: Buffer) -> BinaryIO:
    """A file object for Pillow, which wants nothing but bytes."""
    if isinstance(buffer, mmap.mmap):
        return io.BufferedReader(MapReader(buffer))
    return io.BytesIO(buffer)


def hold(data: bytes) -> FileBytes:
    """A file whose bytes are there, held in memory where that has room, else on disk. Blocks.
    Raises `StorageRefused` where the disk has none either.
    """
    size = len(data)
    if size <= MOST_FILE_BYTES_IN_MEMORY and MEMORY.take(size):
        return FileBytes(data, MEMORY, size)
    if not DISK.take(size):
        raise no_room()
    file = TemporaryFile()
    try:
        file.write(data)
        return FileBytes(file.map(), DISK, size)
    except StorageRefused:
        DISK.give_back(size)
        raise
    finally:
        file.close()


def no_room() -> StorageRefused:
    """The error for what goes beyond what this process holds."""
    return StorageRefused(
        f"More than {MOST_BYTES_ON_DISK // MB} MB of files are on their way at the moment."
    )


def _disk_refused(error: OSError) -> StorageRefused:
    reason = error.strerror or type(error).__name__
    return StorageRefused(f"The disk for temporary files does not take the file ({reason}).")


class TemporaryFile:
    """A file on disk that has no name. It may be closed while a thread still writes, which then
    does it.
    """

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._is_written = False  # at the moment
        self._is_over = False

    def write(self, data: bytes | bytearray) -> None:
        """Write bytes behind what there is. Blocks. Raises `StorageRefused`."""
        self._is_written = True
        try:
            if self._file is None:
                # Without a buffer: one that the disk did not take would be written again when it is
                # closed.
                self._file = cast(BinaryIO, tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 - `close` closes it
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise _disk_refused(error) from None
        finally:
            self._is_written = False
            if self._is_over:
                self.close()

    def map(self) -> mmap.mmap:
        """A map of the whole file, which keeps it when this one is closed. Raises `StorageRefused`,
        and `ValueError` before anything is written.
        """
        if self._file is None:
            raise ValueError("nothing was written")
        try:
            return mmap.mmap(self._file.fileno(), 0)
        except OSError as error:
            raise _disk_refused(error) from None

    def close(self) -> None:
        """Close it: without a map it is gone."""
        self._is_over = True
        if self._file and not self._is_written:
            with contextlib.suppress(OSError):
                self._file.close()
