"""A network that fails as it is told: a TCP proxy between the tool and a stand-in, changed at any time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from typing import Literal, Self

from tests.support.ports import kept_port, listen_at

Kind = Literal["http", "websocket"]
BOTH: tuple[Kind, ...] = ("http", "websocket")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close becomes a reset, what is not sent yet is dropped
HEAD_ENDS = b"\r\n\r\n"


@dataclass(eq=False)
class Hold:
    """A request that is held before it is passed on or, with `after`, its answer after so many bytes. The first one
    that fits is held, later ones pass."""

    request: str
    after: int | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Let it go on; before one was held, let all pass."""
        self.reached.set()
        self.released.set()

    def holds(self, request: str) -> bool:
        return not self.reached.is_set() and request.startswith(self.request)

    async def wait(self) -> None:
        self.reached.set()
        await self.released.wait()


class Proxy:
    """Passes everything on at first. A kind, "http" or "websocket", limits a fault to such connections.

    A connection is of the kind of its newest request. Requests are told apart by their heads, bodies need a length.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self.target = target_host, target_port
        self.holds: list[Hold] = []
        self.stalled: set[Kind] = set()
        self.flows = asyncio.Event()  # set whenever something may pass that could not
        self.statuses: dict[Kind, int | None] = {}  # what requests are answered; None cuts them
        self.requests: list[str] = []  # as they came: "POST /prompt"
        self._lines: dict[Line, None] = {}  # in the order in which they came
        self._serving: set[asyncio.Task[None]] = set()
        self._late: list[asyncio.StreamWriter] = []
        self._listening: socket.socket | None = None
        self._kept: socket.socket | None = None
        self._port = 0

    async def __aenter__(self) -> Self:
        self._kept = kept_port()
        self._port = self._kept.getsockname()[1]
        self.listen()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.refuse()
        self.close_late()
        await asyncio.gather(*self._serving)
        if self._kept:
            self._kept.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def open(self) -> list[Kind]:
        """The kinds of the connections that are open now."""
        return [line.kind for line in self._lines]

    # --- faults ---

    def cut(self, *kinds: Kind) -> None:
        """Reset all open connections, towards both sides."""
        for line in self._chosen(kinds):
            line.cut()

    def cut_near(self, *kinds: Kind) -> None:
        """Reset them towards the tool only; towards the server they stay open until `close_late`."""
        for line in self._chosen(kinds):
            self._late.append(line.leave_far_side())
            line.cut()

    def close_late(self) -> None:
        """Close what `cut_near` left open towards the server."""
        for writer in self._late:
            reset(writer)
        self._late.clear()

    def stall(self, *kinds: Kind) -> None:
        """Half-open: connections are accepted and stay, but no byte, and no close, comes through either way."""
        self.stalled |= set(kinds or BOTH)
        self.flows.clear()

    def refuse(self, *kinds: Kind) -> None:
        """Reset what is open and let nothing in. Without a kind nobody listens, until `listen`; else `flow` ends it."""
        if kinds:
            self.statuses |= dict.fromkeys(kinds)
        elif self._listening:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        self.cut(*kinds)

    def listen(self) -> None:
        """Accept connections, at the same port as ever."""
        # Not by asyncio.start_server: a connection that comes while it closes would stay open, and be served by nobody.
        assert self._kept
        self._listening = listen_at(self._kept)
        self._listening.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listening, self._accept, self._listening)

    def answer(self, status: int, *kinds: Kind) -> None:
        """Cut what is open, and answer every new request with a status of the proxy's own, until `flow`."""
        self.statuses |= dict.fromkeys(kinds or BOTH, status)
        self.cut(*kinds)

    def flow(self) -> None:
        """Pass everything on again, also what a stall kept."""
        self.stalled.clear()
        self.statuses.clear()
        self.flows.set()

    def hold(self, request: str, after: int | None = None) -> Hold:
        """Hold the next request that begins so ("GET /view"), or its answer after that many bytes."""
        hold = Hold(request, after)
        self.holds.append(hold)
        return hold

    # --- inside ---

    def _chosen(self, kinds: tuple[Kind, ...]) -> list[Line]:
        return [line for line in self._lines if not kinds or line.kind in kinds]

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):  # who came has left again
            task = asyncio.create_task(self._serve(listening.accept()[0]))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _serve(self, accepted: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=accepted)
        if self._listening is None:
            reset(writer)
            return
        line = Line(self, reader, writer)
        self._lines[line] = None
        await asyncio.wait({line.task})  # a cut cancels that one, not this one
        del self._lines[line]
        if not line.task.cancelled():
            line.task.result()


class Line:
    """One connection, with its two sides: near is the tool's, far is the server's."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.kind: Kind = "http"
        self._proxy = proxy
        self._near_reader, self._near = reader, writer
        self._far: asyncio.StreamWriter | None = None
        self._left: asyncio.StreamWriter | None = None
        self._hold: Hold | None = None  # of the answer that comes now
        self._answered = 0  # bytes of it that were passed on
        self._pumps: list[asyncio.Task[None]] = []
        self.task = asyncio.create_task(self._live())

    def cut(self) -> None:
        """End it before another byte passes, be it one that a stall has just let go."""
        for task in (*self._pumps, self.task):
            task.cancel()
        self._end(True)

    def leave_far_side(self) -> asyncio.StreamWriter:
        """Keep the far side open when the line is cut."""
        assert self._far, "the line was never connected"
        self._left = self._far
        return self._far

    async def _live(self) -> None:
        broken = True
        try:
            far_reader, self._far = await asyncio.open_connection(*self._proxy.target)
            pumps = (self._requests(self._far), self._answers(far_reader))
            self._pumps = [asyncio.create_task(pump) for pump in pumps]
            ended, _ = await asyncio.wait(self._pumps, return_when=asyncio.FIRST_COMPLETED)
            errors = [error for pump in ended if (error := pump.exception())]
            broken = bool(errors)
            for error in errors:
                if not isinstance(error, OSError):
                    raise error  # a mistake of the proxy's own
            await self._passing()  # a stall keeps the close, too
        except OSError:
            pass  # nobody listens there
        finally:
            for pump in self._pumps:
                pump.cancel()
            self._end(broken)
            await asyncio.gather(*self._pumps, return_exceptions=True)

    def _end(self, broken: bool) -> None:
        for side in (self._near, self._far):
            if side and side is not self._left:
                reset(side) if broken else side.close()

    async def _passing(self) -> None:
        while self.kind in self._proxy.stalled:
            await self._proxy.flows.wait()

    async def _requests(self, far: asyncio.StreamWriter) -> None:
        reader, proxy = self._near_reader, self._proxy
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(HEAD_ENDS)
                request, *lines = head.decode("latin-1").split("\r\n")
                method, path, _ = request.split(" ")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                self.kind = "websocket" if headers.get("upgrade", "").lower() == "websocket" else "http"
                proxy.requests.append(f"{method} {path}")
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                await self._passing()
                if self.kind in proxy.statuses:
                    return self._refused(proxy.statuses[self.kind])
                hold = next((hold for hold in proxy.holds if hold.holds(f"{method} {path}")), None)
                self._hold, self._answered = (hold if hold and hold.after is not None else None), 0
                if hold and hold.after is None:
                    await hold.wait()
                if reader.at_eof():
                    return None  # who sent it has left, so it never arrives
                far.write(head + body)
                await far.drain()
                if self.kind == "websocket":
                    return await self._frames(far)

    def _refused(self, status: int | None) -> None:
        if status is None:
            raise ConnectionResetError
        self._near.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    async def _frames(self, far: asyncio.StreamWriter) -> None:
        while data := await self._near_reader.read(2**16):
            await self._passing()
            far.write(data)
            await far.drain()

    async def _answers(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(2**16):
            await self._passing()
            hold = self._hold
            if hold and hold.after is not None and self._answered + len(data) > hold.after:
                first = max(hold.after - self._answered, 0)
                self._near.write(data[:first])
                data, self._hold = data[first:], None
                await hold.wait()
                await self._passing()
            self._answered += len(data)
            self._near.write(data)
            await self._near.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close at once and so that the other side sees a reset."""
    with contextlib.suppress(OSError):  # it is closed already
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
