"""Those who watch a run: an audience that remembers everything, the page of a browser, and patience."""

import asyncio
from collections.abc import Callable
from typing import Any


class Watcher:
    """An audience that remembers everything."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.fractions: list[float] = []
        self.pictures: list[bytes] = []

    def status(self, phase: str, text: str, fraction: float | None = None) -> None:
        self.seen.append((phase, text))
        if fraction is not None:
            self.fractions.append(fraction)

    def preview(self, data: bytes) -> None:
        self.pictures.append(data)

    @property
    def phases(self) -> list[str]:
        """The phases in order, each once."""
        return list(dict.fromkeys(phase for phase, _ in self.seen))

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.seen]


class Page:
    """Takes events as a browser would, each after a moment, and remembers when it had them."""

    def __init__(self, slow: float = 0.0) -> None:
        self.events: list[tuple[float, str, dict[str, Any]]] = []
        self.slow = slow

    async def __call__(self, event: dict[str, Any]) -> None:
        await asyncio.sleep(self.slow)
        self.events.append((asyncio.get_running_loop().time(), event["type"], event["data"]))

    @property
    def texts(self) -> list[str]:
        """The texts of the status lines."""
        return [data["description"] for _, kind, data in self.events if kind == "status"]

    @property
    def previews(self) -> list[tuple[float, list[dict[str, Any]]]]:
        """When files were shown, and which."""
        return [(at, data["files"]) for at, kind, data in self.events if kind == "chat:message:files"]


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
