"""What a server tells of itself, in `/system_stats`: its version, what it computes on, and the
memory of that.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..bounds import MOST_DEVICES, MOST_NAME_CHARACTERS
from ..names import shortened
from ..values import list_of

MOST_ARGUMENTS = 200  # of the command that started it, that are looked through


@dataclass(frozen=True)
class Device:
    """What a server computes on, and its memory in bytes, None where the server does not tell
    it.
    """

    name: str
    memory_total: int | None
    memory_free: int | None


@dataclass(frozen=True)
class Stats:
    """What a server tells of itself; a version that it does not tell is empty."""

    version: str
    devices: tuple[Device, ...]
    previews: str = ""  # how it was started to send them: "auto"; "" where it was not told


def parse_stats(raw: Mapping[str, Any]) -> Stats:
    """An answer of `/system_stats`: {"system": {"comfyui_version": "0.33.0"}, "devices":
    [{...}]}.
    """
    version = raw["system"].get("comfyui_version") or ""
    devices = [
        device for device in list_of(raw.get("devices"))[:MOST_DEVICES] if isinstance(device, dict)
    ]
    arguments = list_of(raw["system"].get("argv"))
    return Stats(
        shortened(version, 40), tuple(map(parse_device, devices)), _preview_method(arguments)
    )


def _preview_method(arguments: Sequence[Any]) -> str:
    """What follows `--preview-method` in the command that started the server."""
    words = [str(argument) for argument in arguments[:MOST_ARGUMENTS]]
    for word, following in itertools.pairwise([*words, ""]):
        if word == "--preview-method":
            return shortened(following, 20)
        if word.startswith("--preview-method="):
            return shortened(word.partition("=")[2], 20)
    return ""


def parse_device(raw: Mapping[str, Any]) -> Device:
    """One of its devices; of "cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync" the middle is the
    name.
    """
    full_name = str(raw.get("name") or raw.get("type") or "device")[:MOST_NAME_CHARACTERS]
    return Device(
        name=shortened(re.sub(r"^\w+:\d+ | : \w+$", "", full_name)),
        memory_total=_memory_in(raw.get("vram_total")),
        memory_free=_memory_in(raw.get("vram_free")),
    )


def _memory_in(value: Any) -> int | None:
    if isinstance(value, (int, float)) and 0 <= value < 2**63:  # NaN is not in this range either
        return int(value)
    return None
