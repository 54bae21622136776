"""The one websocket to a server, shared by all prompts in flight.

Whoever follows a prompt enters `Connection.listen` before it is posted and gets a `Subscription`: a
queue of events, a callback for previews, and whether the socket is open. A reader task opens the
socket (`_read_on`) and hands every frame to the subscription of the prompt that it names (`_take`).
A frame is JSON such as

    {"type": "progress", "data": {"value": 3, "max": 20, "prompt_id": "d15c525b-...", "node": "3"}}

or a picture in bytes; `protocol` reads both. The socket stays open between prompts until `close`.
When it breaks, it is reopened as long as anybody listens, and every subscription gets a `Gap`.
Frames only make things known earlier: what they leave out, look-ups find.

Order and scope of frames, feature flags and what becomes of sockets with one client id were recorded from ComfyUI
0.3.64 and 0.33.0.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

import aiohttp

from ..bounds import (
    FIRST_PIECE_BYTES,
    MOST_FRAMES_A_SECOND,
    MOST_PREVIEW_BYTES,
    MOST_SENT_BYTES,
    MOST_SENT_BYTES_HELD,
    MOST_SENT_PICTURES,
    MOST_TEXT_FRAME_BYTES,
    MOST_WAITING_EVENTS,
)
from ..errors import AccessRefused, ComfyUIError
from ..json_pieces import JsonText, read_json_text
from ..logs import log
from ..media.file_bytes import FileBytes, Room
from ..threads import FILES, WORKS_FOR
from .background import Background
from .endpoint import Endpoint
from .protocol import Event, Frame, Gap, QueueMoved, SentPicture, parse_binary, parse_frame
from .record import Record

CONNECT_SECONDS = 10.0  # to open a connection or the websocket
READING_SECONDS = 0.005  # how long frames are read at a stretch
SHORTEST_PAUSE = 0.5  # seconds before a websocket that broke is opened again
DEAF_SECONDS = 20.0  # how long no frame comes while a job runs, before the websocket is reopened


SENT_ROOM = Room(MOST_SENT_BYTES_HELD)  # for the pictures of all prompts that are results


class Subscription:
    """What the websocket tells about one prompt: `events` in the order in which they came, previews
    to `on_preview`.

    Pictures of `picture_nodes`, which send their results over the websocket and save them nowhere,
    are events as well.
    """

    def __init__(self, picture_nodes: frozenset[str], on_preview: Callable[[bytes], None]) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.picture_nodes = picture_nodes
        self.on_preview = on_preview
        self.connected = False  # whether frames arrive at the moment
        self.awaits_move = True  # whether it is of use to hear that the queue moves; once is enough
        self._room = Room(MOST_SENT_BYTES)  # for pictures that are results
        self._sent = 0  # how many there were

    def tell(self, event: Event) -> None:
        """Hand over an event. When too many wait to be taken, frames are missed, and a `Gap` says
        so.
        """
        waiting = self.events.qsize()
        if waiting < MOST_WAITING_EVENTS:
            self.events.put_nowait(event)
        elif waiting == MOST_WAITING_EVENTS:
            self.events.put_nowait(Gap())

    def queue_moved(self) -> None:
        """Hand over that the queue moves, if that is awaited. A busy server says so for each prompt
        to all of them.
        """
        if self.awaits_move:
            self.awaits_move = False
            self.tell(QueueMoved())

    def picture(self, node_id: str, data: bytes) -> None:
        """Hand over a binary frame: a result when the node saves its picture nowhere else, a
        preview otherwise. Results beyond the bounds are told as left out.
        """
        if node_id not in self.picture_nodes:
            if len(data) <= MOST_PREVIEW_BYTES:
                self.on_preview(data)
            return
        size = len(data)
        self._sent += 1
        has_room = self._sent <= MOST_SENT_PICTURES and self._room.take(size)
        if has_room and SENT_ROOM.take(size):
            self.tell(SentPicture(FileBytes(data, SENT_ROOM, size)))
        else:
            self.tell(SentPicture(None))


class Flood:
    """Counts frames, to tell when a server sends more than anybody needs: they come faster than
    they can be read.
    """

    def __init__(self) -> None:
        self._count = 0
        self._since = time.monotonic()
        self._paused = self._since

    def rises(self) -> bool:
        """Count a frame. Whether that is one more than `MOST_FRAMES_A_SECOND`."""
        now = time.monotonic()
        if now - self._since >= 1:
            self._count = 0
            self._since = now
        self._count += 1
        return self._count > MOST_FRAMES_A_SECOND

    def lasts(self) -> bool:
        """Whether frames have been read for so long that it is time for a pause."""
        return time.monotonic() - self._paused >= READING_SECONDS

    def goes_on(self) -> None:
        """Note that a pause is over."""
        self._paused = time.monotonic()


class Host(Protocol):
    """What a connection needs of the server that it belongs to; `ComfyUIServer` has it."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it is."""

    @property
    def record(self) -> Record:
        """What has been seen of it."""

    @property
    def background(self) -> Background:
        """What is done beside the calls, for as long as the server is open."""

    @property
    def hides_keys(self) -> bool:
        """Whether there is anything to hide in what it sends."""

    def hide_key(self, data: bytes) -> bytes:
        """What it sent, without what lets a caller in."""

    def websocket(
        self, client_id: str
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
        """A new websocket of the client with this id."""


class Connection:
    """The one websocket of a server and credential, shared by all prompts in flight and owned by
    none of them.

    The reader only parses and hands over, since a client that stops reading stalls every other
    client of the server. It reconnects with the same client id, under which the prompts were
    posted, and never before the old socket is closed: when the older of two sockets with one id
    closes, the server forgets the newer one.
    """

    def __init__(self, server: Host) -> None:
        self.client_id = uuid.uuid4().hex
        self._server = server
        self._subscriptions: dict[str, Subscription] = {}
        self._listeners = 0
        self._reader: asyncio.Task[None] | None = None
        self._attempted = asyncio.Event()  # set when an attempt to open the socket is over
        self._hurry = asyncio.Event()  # set when somebody waits for the socket: try again now
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._pause = SHORTEST_PAUSE  # before the next attempt
        self._heard = 0.0  # of `time.monotonic`: when the last frame came
        self._refusal: AccessRefused | None = None
        # whether the server says of a preview which prompt it belongs to
        self._previews_have_ids = False
        # ids of the prompt and of the node that run, as far as our frames tell
        self._current = ("", "")
        self.is_open = False

    @contextlib.asynccontextmanager
    async def listen(
        self, prompt_id: str, picture_nodes: frozenset[str], on_preview: Callable[[bytes], None]
    ) -> AsyncIterator[Subscription]:
        """Listen to a prompt, from before it is posted. Where no websocket can be opened (a proxy
        may refuse it) the subscription stays silent and look-ups have to do. Raises
        `AccessRefused`.
        """
        self._listeners += 1
        subscription: Subscription | None = None
        try:
            if not self.is_open:
                self._attempted.clear()
                self._hurry.set()
                if self._reader is None or self._reader.done():
                    self._reader = asyncio.create_task(self._read_on())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CONNECT_SECONDS):
                        await self._attempted.wait()
            if self._refusal:
                self._refusal.untaken = True
                raise self._refusal
            subscription = self._subscriptions[prompt_id] = Subscription(picture_nodes, on_preview)
            subscription.connected = self.is_open
            yield subscription
        finally:
            # It may have another id by now, and another subscription its first one.
            for its_id in [
                its_id for its_id, other in self._subscriptions.items() if other is subscription
            ]:
                del self._subscriptions[its_id]
            self._listeners -= 1

    def rename(self, prompt_id: str, accepted_id: str) -> None:
        """Note that a prompt that is listened to got another id from its server; what was told
        under that id until now has been missed.
        """
        if prompt_id == accepted_id:
            return
        if subscription := self._subscriptions.pop(prompt_id, None):
            self._subscriptions[accepted_id] = subscription
            subscription.tell(Gap())

    def renew(self) -> bool:
        """Close the socket, so that the reader opens a new one, when no frame at all came for
        `DEAF_SECONDS`: a server that believes that the client with this id has left sends to
        nobody, and a connection may be cut without a word. Returns whether it does so.
        """
        if self._socket is None or time.monotonic() - self._heard < DEAF_SECONDS:
            return False
        self._heard = time.monotonic()
        self._server.background.later(self._hang_up(self._socket))
        return True

    async def _hang_up(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            await socket.close()

    async def close(self) -> None:
        """Close the socket and end the reader; `listen` opens it again."""
        if reader := self._reader:
            self._reader = None
            reader.cancel()
            await asyncio.wait({reader})

    async def _read_on(self) -> None:
        """The reader: opens the socket and reads it, again and again as long as anybody listens.
        The pause between two attempts doubles from 0.5 to 10 seconds. It works for all who listen,
        whoever came first.
        """
        WORKS_FOR.set("")
        self._pause = SHORTEST_PAUSE
        while self._listeners:
            self._refusal = None
            try:
                self._hurry.clear()
                async with (
                    asyncio.timeout(CONNECT_SECONDS) as limit,
                    self._server.websocket(self.client_id) as socket,
                ):
                    limit.reschedule(None)
                    await self._greet(socket)
                    await self._read_frames(socket)
            except AccessRefused as refused:
                self._refusal = refused
            except (aiohttp.ClientError, OSError, ValueError, ComfyUIError) as error:
                log.debug("websocket of %s: %s", self._server.endpoint.name, type(error).__name__)
            finally:
                was_open = self.is_open
                self.is_open = False
                self._socket = None
                if was_open:
                    self._tell_all(Gap())
                self._attempted.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause):
                    await self._hurry.wait()
            self._pause = min(self._pause * 2, 10.0)

    async def _read_frames(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Take every frame until the socket ends. A server that floods us is cut off."""
        flood = Flood()
        async for message in socket:
            if message.type is aiohttp.WSMsgType.ERROR:
                return
            if flood.rises():
                _cut(socket)
                return
            # only now: a proxy may open the socket and close it at once
            self._pause = SHORTEST_PAUSE
            self._heard = time.monotonic()
            if message.type is aiohttp.WSMsgType.PING:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await socket.pong(message.data)
            await self._take(message)
            if flood.lasts():
                await asyncio.sleep(0)  # aiohttp gives out what is there without a pause for others
                flood.goes_on()

    async def _greet(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Begin with a socket that was just opened. Feature flags count only in the first message
        that is sent, and each socket has its own.
        """
        await socket.send_json(
            {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
        )
        self._previews_have_ids = False
        self._current = ("", "")
        self._socket = socket
        self._heard = time.monotonic()
        self._server.record.sockets += 1
        self.is_open = True
        self._attempted.set()
        self._tell_all(Gap())

    def _tell_all(self, event: Event) -> None:
        """Hand an event to all subscriptions, and whether the socket is open."""
        for subscription in self._subscriptions.values():
            subscription.connected = self.is_open
            subscription.tell(event)

    async def _take(self, message: aiohttp.WSMessage) -> None:
        """Read a frame and hand it on; whatever cannot be read is passed over. What a text too long
        would have told is to be looked up.
        """
        try:
            if message.type is aiohttp.WSMsgType.TEXT:
                if len(message.data) > MOST_TEXT_FRAME_BYTES:
                    self._tell_all(Gap())
                    return
                text = self._json_of(message.data)
                if len(message.data) <= FIRST_PIECE_BYTES:
                    frame = read_json_text(text)
                else:
                    frame = await FILES.run(read_json_text, text)
                self._take_text(frame["type"], frame.get("data") or {})
            elif message.type is aiohttp.WSMsgType.BINARY:
                picture = parse_binary(message.data)
                if picture:
                    self._take_picture(picture)
        except (
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            # custom nodes send whatever they like
            log.debug("unreadable frame: %s", type(error).__name__)

    def _json_of(self, text: str) -> JsonText:
        """The JSON in a frame, without the key, should the server repeat it."""
        if self._server.hides_keys:
            return JsonText(self._server.hide_key(text.encode()))
        return JsonText(text)

    def _take_text(self, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "feature_flags":
            self._previews_have_ids = bool(data.get("supports_preview_metadata"))
        elif kind == "status":
            for each in self._subscriptions.values():
                each.queue_moved()
        else:
            prompt_id = str(data.get("prompt_id"))
            subscription = self._subscriptions.get(prompt_id)
            if subscription is None:
                return
            if kind == "executing":
                self._current = (prompt_id, str(data.get("display_node") or data["node"]))
            if event := parse_frame(kind, data):
                subscription.tell(event)

    def _take_picture(self, picture: Frame) -> None:
        if picture.prompt_id is not None:
            if subscription := self._subscriptions.get(picture.prompt_id):
                subscription.picture(str(picture.node_id), picture.data)
            return
        # In the old layout a picture belongs to the node that runs. Once the server has accepted
        # the flags, one of that layout is somebody else's preview, broadcast to all, unless one of
        # our nodes is just sending its result.
        prompt_id, node_id = self._current
        running = self._subscriptions.get(prompt_id)
        if running and (not self._previews_have_ids or node_id in running.picture_nodes):
            running.picture(node_id, picture.data)


def _cut(socket: aiohttp.ClientWebSocketResponse) -> None:
    """End a socket at once, with all that came and is not read yet. A polite close would read on
    until the server agrees, which one that floods us never does.
    """
    socket._response.close()
