"""Somebody who watches a run, and patience."""

import asyncio
from collections.abc import Callable


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


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
