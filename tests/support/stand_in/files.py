"""The server's folders, in memory: nothing is written to a disk."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal, get_args

Kind = Literal["input", "output", "temp"]
KINDS: tuple[str, ...] = get_args(Kind)
ANNOTATED = re.compile(r"(?P<name>.*) \[(?P<kind>input|output|temp)\]")

TYPES_BY_SUFFIX = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".wav": "audio/x-wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".opus": "audio/ogg",
    ".ogg": "audio/ogg",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".csv": "text/csv",
    ".md": "text/markdown",
    ".json": "application/json",
    ".xml": "application/xml",
    ".js": "application/javascript",
    ".glb": "model/gltf-binary",
    ".gltf": "model/gltf+json",
    ".obj": "model/obj",
    ".stl": "model/stl",
}


@dataclass(frozen=True)
class File:
    content: bytes
    modified_ns: int = field(default_factory=time.time_ns)

    @property
    def modified(self) -> float:
        return self.modified_ns / 1e9

    @property
    def etag(self) -> str:
        return f'"{self.modified_ns:x}-{len(self.content):x}"'


@dataclass(frozen=True)
class Place:
    """Where a file lies."""

    kind: str
    subfolder: str
    name: str

    @property
    def as_output(self) -> dict[str, str]:
        return {"filename": self.name, "subfolder": self.subfolder, "type": self.kind}


class OutsideFolder(Exception):
    """A subfolder that leads out of the server's folders."""


def inside(subfolder: str) -> str:
    """The subfolder in its normal form; refused when it climbs out."""
    parts: list[str] = []
    if subfolder.startswith("/"):
        raise OutsideFolder(subfolder)
    for part in PurePosixPath(subfolder).parts:
        if part != "..":
            parts.append(part)
        elif not parts:
            raise OutsideFolder(subfolder)
        else:
            parts.pop()
    return "/".join(parts)


def content_type(name: str) -> str:
    return TYPES_BY_SUFFIX.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")


class Files:
    """Every file of input/, output/ and temp/."""

    def __init__(self) -> None:
        self._files: dict[Place, File] = {}

    def put(self, place: Place, content: bytes) -> Place:
        self._files[place] = File(content)
        return place

    def get(self, place: Place) -> File | None:
        return self._files.get(place)

    def find(self, name: str, subfolder: str = "", kind: str = "output") -> Place:
        """The place that a name means: `sub/x.png` and `x.png [temp]` are names too."""
        annotation = ANNOTATED.fullmatch(name)
        if annotation:
            name, kind = annotation["name"], annotation["kind"]
        path = PurePosixPath(subfolder) / name
        folder = "" if str(path.parent) == "." else str(path.parent)
        return Place(kind, folder, path.name)

    def names(self, kind: str, subfolder: str = "") -> list[str]:
        return sorted(place.name for place in self._files if (place.kind, place.subfolder) == (kind, subfolder))

    def next_number(self, kind: str, subfolder: str, prefix: str) -> int:
        """One more than the highest number that a file of this prefix has, whatever its suffix."""
        numbered = re.compile(re.escape(prefix) + r"_(\d+)_?\..*")
        numbers = [int(match[1]) for name in self.names(kind, subfolder) if (match := numbered.match(name))]
        return max(numbers, default=0) + 1

    def empty(self, kind: str) -> None:
        self._files = {place: file for place, file in self._files.items() if place.kind != kind}
