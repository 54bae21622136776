"""What leaves a call for the chat: how its failure is told, how much, and what ordinary users and
their models are not told.

Where the servers are is for administrators only. Messages of this tool never say it
(`ComfyUIError.at`), but a node, a server or a workflow may: so every text that leaves a call goes
through `Hiding`, which puts the server's name there.
"""

import asyncio
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..bounds import MOST_TOLD_CHARACTERS
from ..errors import ComfyUIError, InternalError
from ..logs import log
from ..names import whole_characters
from ..phrases import FailurePhrase, Phrase
from ..run.follow import GOES_ON
from ..server.auth import Auth
from ..server.endpoint import CLOUD_HOST, Endpoint


def told_failure(error: Exception, is_admin: bool) -> tuple[dict[str, Any], str]:
    """What the model is told of a call that failed, and the last status: to an administrator also
    where.
    """
    if not isinstance(error, ComfyUIError):
        log.error("a mistake in the ComfyUI tool", exc_info=error)
        mistake = InternalError(f"The tool failed ({type(error).__name__}).")
        return mistake.as_result(), Phrase("internal_error")
    log.info("%s: %s", error.code, error.message)
    result, text = error.as_result(), error.message
    if is_admin and "error" in result:
        result["error"] = text = error.with_place
    return result, FailurePhrase(text, error.code)


def stop_text(stop: asyncio.CancelledError) -> str:
    """The last status of a call that was stopped. A note of the cancellation tells what became of
    the job.
    """
    notes = getattr(stop, "__notes__", ())
    note = str(notes[0]) if notes else ""
    if note.startswith(GOES_ON):
        return Phrase("goes_on", job=note.removeprefix(GOES_ON))
    return Phrase("still_at_work" if note else "stopped")


# of pictures, for the model to look at: they have a bound of their own, and are not read as text
COPIES = "copies"


def brief(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer for a model that is no longer than `MOST_TOLD_CHARACTERS`: what is more than that
    is cut, and said to be. Lists are cut between their items, and texts between words, so that no
    half of an address is left.
    """
    copies = {COPIES: answer[COPIES]} if COPIES in answer else {}
    texts = {name: value for name, value in answer.items() if name != COPIES}
    told: dict[str, Any] = _Room(MOST_TOLD_CHARACTERS).take(texts)
    return told | copies


class _Room:
    """So many characters, and what of a value has room in them."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, value: Any) -> Any:
        """A value, or as much of it as there is room for."""
        if isinstance(value, dict):
            taken: dict[str, Any] = {}
            for key, item in value.items():
                if self.left <= 0:
                    taken["…"] = f"{len(value) - len(taken)} more"
                    break
                name = self.take(key)
                taken[name] = self.take(item)
            return taken
        if isinstance(value, (list, tuple)):
            items: list[Any] = []
            for item in value:
                if self.left <= 0:
                    items.append(f"… {len(value) - len(items)} more")
                    break
                items.append(self.take(item))
            return items
        if not isinstance(value, str):
            value = value if isinstance(value, (int, float, type(None))) else str(value)
            self.left -= 8
            return value
        text = value
        if len(text) > self.left:
            whole_words = text[: self.left].rpartition(" ")[0]
            text = f"{whole_words} … (cut)"
        self.left -= len(text)
        return text


@dataclass(frozen=True)
class Hiding:
    """Puts the names of servers in the place of their addresses, and leaves secrets out."""

    endpoints: tuple[Endpoint, ...] = ()
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def of(self, value: Any) -> Any:
        """A text, or all texts in a value of JSON, without these servers' addresses and the
        secrets, and in whole characters.
        """
        if isinstance(value, str):
            value = whole_characters(value)
            if self.secrets:
                value = Auth().hide(value.encode(), self.secrets).decode()
            for endpoint in self.endpoints:
                value = hide_address(value, endpoint)
        elif isinstance(value, dict):
            value = {self.of(key): self.of(item) for key, item in value.items()}
        elif isinstance(value, list):
            value = [self.of(item) for item in value]
        return value


def hide_address(text: str, endpoint: Endpoint) -> str:
    """A text in which a server's name stands wherever its address does: with or without its scheme,
    port and path, and in the words of libraries, such as "host='gpu', port=8188" and "('10.0.0.5',
    8188)".
    """
    pattern = _address_pattern(endpoint.url)
    return pattern.sub(_naming(endpoint.name), text) if pattern else text


def _naming(name: str) -> Callable[[re.Match[str]], str]:
    def named(match: re.Match[str]) -> str:
        rest = match[0][len(match[0].rstrip(".,:;!?")) :]  # a sentence may end behind the address
        return name + rest

    return named


# An address by numbers, of version 4, or of version 6 in brackets.
ADDRESS_IN_NUMBERS = r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]{2,45}\])"
NUMBERS_IN_QUOTES = r"[0-9a-f:.]{2,45}"
LEAST_PATH = 5  # characters; a shorter path may be part of anything


@functools.lru_cache(maxsize=256)
def _address_pattern(url: str) -> re.Pattern[str] | None:
    """Finds a server's address in a text; None for Comfy Cloud's, which everybody knows.

    A host of a single word, such as "flux", may mean anything: it counts only behind a scheme or
    before the port. So does an address by numbers, which the host's name may stand for, before the
    port.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in ("", CLOUD_HOST):
        return None
    name = rf"\[?{re.escape(host)}\]?"
    port = parts.port or (443 if parts.scheme == "https" else 80)
    end = r"(?![\w-]|\.\w)"
    places = [
        rf"[a-z][a-z0-9+.-]{{0,20}}://(?:[^\s/@]{{1,100}}@)?{name}(?::\d{{1,5}})?{end}",
        rf"{name}(?::|%3a){port}{end}",
        rf"""["']{name}["'],\s?(?:port=)?{port}{end}""",
    ]
    if "." in host or ":" in host:
        places.append(rf"{name}(?::\d{{1,5}})?{end}")
    if parts.port:
        places.append(rf"{ADDRESS_IN_NUMBERS}(?::|%3a){port}{end}")
        places.append(rf"""["']{NUMBERS_IN_QUOTES}["'],\s?(?:port=)?{port}{end}""")
    # as files of Open WebUI do
    if len(parts.path) >= LEAST_PATH and not parts.path.startswith("/api/"):
        places.append(re.escape(parts.path) + end)
    path = r"""(?:[/?#][^\s"'<>()]*)?"""
    return re.compile(rf"(?:(?<![\w.-])|(?<=%2f))(?:{'|'.join(places)}){path}", re.IGNORECASE)
