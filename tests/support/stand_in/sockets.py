"""Who is connected, and one loop that sends: a client that stops reading holds up everybody, as on the real server."""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from .misbehaviour import Misbehaviour

JPEG, PNG = 1, 2
PREVIEW, TEXT, PREVIEW_WITH_METADATA = 1, 3, 4

GARBAGE: tuple[str | bytes, ...] = (
    '{"type": "progress", "data": {',
    '{"type": "crystools.monitor", "data": {"cpu_utilization": 3.1, "gpus": []}}',
    b"\x00\x00",
    "null",
    struct.pack(">I", 99) + b"an event of tomorrow",
    '{"type": "executing", "data": null}',
    struct.pack(">II", PREVIEW_WITH_METADATA, 4000) + b"{}",
    "[1, 2, 3]",
    struct.pack(">II", PREVIEW_WITH_METADATA, 9) + b"not json!",
    struct.pack(">II", PREVIEW, JPEG) + b"not a picture",
    '{"type": "progress", "data": {"value": "x", "max": null, "prompt_id": 7, "node": []}}',
    '{"data": {}}',
)


@dataclass
class Sockets:
    misbehave: Misbehaviour
    by_client: dict[str, web.WebSocketResponse] = field(default_factory=dict)
    flags: dict[str, dict[str, Any]] = field(default_factory=dict)
    open: list[tuple[str, web.WebSocketResponse, asyncio.Transport]] = field(default_factory=list)
    _frames: asyncio.Queue[tuple[str | bytes, str | None]] = field(default_factory=asyncio.Queue)

    def send(self, kind: str, data: dict[str, Any], client: str | None = None) -> None:
        """Queue a text frame for one client, or for all."""
        if kind not in self.misbehave.mute_frames:
            self._frames.put_nowait((json.dumps({"type": kind, "data": data}), client))

    def send_bytes(self, event: int, payload: bytes, client: str | None = None) -> None:
        if "binary" not in self.misbehave.mute_frames:
            self._frames.put_nowait((struct.pack(">I", event) + payload, client))

    def send_image(self, image: bytes, image_type: str, client: str | None, metadata: dict[str, Any]) -> None:
        """In the layout that the client asked for; everybody can only be sent the older one."""
        if self.wants_metadata(client):
            head = json.dumps({**metadata, "image_type": image_type}).encode()
            self.send_bytes(PREVIEW_WITH_METADATA, struct.pack(">I", len(head)) + head + image, client)
        else:
            self.send_bytes(PREVIEW, struct.pack(">I", PNG if image_type == "image/png" else JPEG) + image, client)

    def wants_metadata(self, client: str | None) -> bool:
        return client is not None and bool(self.flags.get(client, {}).get("supports_preview_metadata"))

    async def publish(self) -> None:
        garbage = itertools.cycle(GARBAGE)
        while True:
            frame, client = await self._frames.get()
            for name, socket in list(self.by_client.items()):
                if client is None or client == name:
                    if self.misbehave.garbage_frames:
                        await deliver(socket, next(garbage))
                    await deliver(socket, frame)

    def abort(self) -> None:
        """Cut every connection: the clients see a close code of 1006."""
        for _, _, transport in self.open:
            transport.abort()


async def deliver(socket: web.WebSocketResponse, frame: str | bytes) -> None:
    try:
        if isinstance(frame, str):
            await socket.send_str(frame)
        else:
            await socket.send_bytes(frame)
    except (ConnectionError, RuntimeError):
        pass  # its own handler notices the closed connection
