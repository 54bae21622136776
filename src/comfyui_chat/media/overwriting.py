"""Overwrite places of a file in their length: in a copy, or on disk, where a film has no room for a
copy in memory.

changes = [(36, b"free"), *zeros(40, 2040)]
overwritten(data, changes)  ->  the file with these places changed
overwrite(file, changes)    changes the temporary file itself
"""

import mmap

# What is overwritten: where, and by what of the same length, in the order of the file.
Changes = list[tuple[int, bytes]]
ZEROS = bytes(2**20)


def zeros(start: int, end: int) -> Changes:
    """Zeros between two places, which take no memory."""
    return [(at, ZEROS[: end - at]) for at in range(start, end, len(ZEROS))]


def overwritten(data: bytes, changes: Changes) -> bytes:
    """A file with these places overwritten."""
    view = memoryview(data)
    parts: list[memoryview | bytes] = []
    at = 0
    for start, content in changes:
        parts += [view[at:start], content]
        at = start + len(content)
    return b"".join([*parts, view[at:]])


def overwrite(file: mmap.mmap, changes: Changes) -> None:
    """Overwrite these places of a file on disk."""
    for start, content in changes:
        file[start : start + len(content)] = content
