"""HTTP with one ComfyUI: its routes' answers, within bounds of time and size, and its websocket's handshake.

`HttpServer` knows an endpoint and nothing of what its routes mean; `ComfyUIServer` in `client` adds that. All HTTP goes
through `call`, which turns what fails into a `ServerError` and hides the key where a server repeats it. `read` and
`understand` make a value of an answer's JSON, off the event loop where it is long, `get` and `_json` an object. Within
`_reading` an answer of the wrong shape becomes an error. The credential goes to the endpoint's address and nowhere
else.
"""

import asyncio
import contextlib
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from yarl import URL

from ..bounds import FIRST_PIECE_BYTES, KB, MB, MOST_FRAME_BYTES, MOST_JSON_BYTES, MOST_SHORT_ANSWER_BYTES
from ..errors import ServerBusy, ServerUnreachable, TookTooLong, UnexpectedAnswer
from ..json_pieces import JsonText, read_json_text
from ..names import shortened, shown_value
from ..tasks import ANSWER_SECONDS, T
from ..threads import FILES
from .connection import CONNECT_SECONDS
from .endpoint import Endpoint
from .faults import forbidden, no_answer, sent_on, web_page
from .incoming import IncomingFile
from .protocol import Answer

STALL_SECONDS = 30.0  # without a byte in the middle of an answer, before it counts as broken off
HEARTBEAT_SECONDS = 30.0  # between two pings: the server sends none, and they show when a connection is dead
# The HTTP statuses that send a client elsewhere.
REDIRECTS = (301, 302, 303, 307, 308)
# Those by which a proxy says that it got no answer from what is behind it; from 520 on they are Cloudflare's.
NOTHING_BEHIND = (502, 503, 504, *range(520, 531))


class HttpServer:
    """What answers at an endpoint, over HTTP."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP session, made at first use. It keeps no cookies and no credential, and follows no redirect: the
        credential belongs to this address alone, and is given with each request."""
        if self._session is None or self._session.closed:
            trace = aiohttp.TraceConfig()
            trace.on_request_redirect.append(self._refuse_redirect)
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[trace],
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS / 2),  # `call` bounds the whole
            )
        return self._session

    async def _refuse_redirect(self, _session: Any, _context: Any, params: aiohttp.TraceRequestRedirectParams) -> None:
        raise sent_on(self.endpoint, params.response.headers.get("Location", ""))

    @contextlib.asynccontextmanager
    async def websocket(self, client_id: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A new websocket of the client with this id. A frame of more than `MOST_FRAME_BYTES` closes it. Its pings are
        for the caller to answer: aiohttp would do so without end, and without a pause for others. Raises
        `AccessRefused`, and what aiohttp raises otherwise."""
        try:
            socket = await self.session.ws_connect(
                f"{self.endpoint.url}/ws",
                params=self._websocket_query(client_id),
                headers=self.endpoint.headers(),
                max_msg_size=MOST_FRAME_BYTES,
                autoping=False,
                heartbeat=HEARTBEAT_SECONDS,
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403, 407):
                raise forbidden(self.endpoint, error.status) from None
            raise
        try:
            yield socket
        finally:
            await socket.close()

    def _websocket_query(self, client_id: str) -> dict[str, str]:
        return {"clientId": client_id}

    def _address(self, path: str) -> str:
        """Where a route of ComfyUI is."""
        return self.endpoint.url + path

    async def call(
        self,
        method: str,
        path: str | URL,
        *,
        body: Any = None,
        form: aiohttp.FormData | None = None,
        params: Mapping[str, str] | None = None,
        seconds: float = ANSWER_SECONDS,
        first_byte_seconds: float = math.inf,
        max_bytes: int = MOST_SHORT_ANSWER_BYTES,
        cut: bool = False,
        redirects: bool = False,
        file: IncomingFile | None = None,
    ) -> Answer:
        """One HTTP exchange within `seconds`. The answer's first byte has to come within `first_byte_seconds`, and it
        may have at most `max_bytes`: with `cut`, what is beyond them is left out. `body` is sent as JSON, `form` as it
        is. A `URL` in place of a path is an address elsewhere: it gets no credential, and what its statuses mean is for
        the caller to judge. A `file` takes the body of an answer whose status is 200, and bounds it itself.

        Raises `ServerUnreachable`, `AccessRefused`, `ServerBusy`, and `UnexpectedAnswer` for an answer that is too
        large or, unless the caller takes `redirects`, a redirect. Any other status is for the caller to judge.
        """
        address: str | URL
        if isinstance(path, str):
            asked, place = path, self.endpoint.place
            address = self._address(path)
            headers = self.endpoint.headers()
        else:
            asked = "a download"
            place = f"Its address is {path.origin()}."  # what else stands in it may be a credential, too
            address = path
            headers = {}
        content = {"data": form} if form else {"json": body}
        try:
            loop = asyncio.get_running_loop()
            end = loop.time() + seconds
            async with asyncio.timeout_at(min(end, loop.time() + first_byte_seconds)) as limit:
                request = self.session.request(
                    method, address, params=params, headers=headers, allow_redirects=False, **content
                )
                async with request as response:
                    if isinstance(path, str):
                        await self._check(response)
                    location = response.headers.get("Location", "")
                    if response.status in REDIRECTS and not redirects:
                        raise sent_on(self.endpoint, location)
                    if response.status != 200:
                        file = None
                    if file:
                        file.expect(response.content_length or 0)
                    data = bytearray()
                    async for chunk in response.content.iter_any():
                        if file:
                            await file.write(chunk)
                        else:
                            data += chunk
                        limit.reschedule(min(end, loop.time() + STALL_SECONDS))
                        if len(data) <= max_bytes:
                            continue
                        if cut:
                            break
                        raise UnexpectedAnswer(
                            f"{self.endpoint.name} answers {shortened(asked)} with more than {_amount(max_bytes)}."
                        ).at(place)
                    is_whole = len(data) <= max_bytes
                    del data[max_bytes:]
                    return Answer(
                        status=response.status,
                        content_type=response.content_type,
                        body=self._without_key(data),
                        length=response.content_length,
                        location=location,
                        is_whole=is_whole,
                    )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise no_answer(self.endpoint, error, min(seconds, first_byte_seconds)).at(place) from None

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        """Raise an error for the statuses that mean the same on every route."""
        if response.status in (401, 403, 407):
            raise forbidden(self.endpoint, response.status)
        if response.status in NOTHING_BEHIND:
            raise ServerUnreachable(
                f"The proxy before {self.endpoint.name} answers {response.status}: it reaches nothing behind it.",
                "ComfyUI has to be started, or the proxy told where it is.",
            ).at(self.endpoint.place)
        if response.status == 429:
            after = read_retry_after(response.headers.get("Retry-After"))
            busy = ServerBusy(f"The proxy before {self.endpoint.name} gets too many requests.", seconds=after)
            raise busy.at(self.endpoint.place)

    def _without_key(self, data: bytearray) -> bytes:
        """An answer without the key, should the server repeat it. What is longer than all JSON is a file."""
        if len(data) > MOST_JSON_BYTES:
            return bytes(data)
        return self.endpoint.hide_key(bytes(data))

    async def get(
        self, path: str, seconds: float = ANSWER_SECONDS, max_bytes: int = MOST_SHORT_ANSWER_BYTES
    ) -> dict[str, Any]:
        """The JSON object that a route answers which every ComfyUI has. Raises as `call` does, and `UnexpectedAnswer`
        for anything else."""
        answer = await self.call("GET", path, seconds=seconds, max_bytes=max_bytes)
        return await self._json(path, answer)

    async def read(
        self,
        path: str,
        take: Callable[[JsonText], T],
        seconds: float = ANSWER_SECONDS,
        max_bytes: int = MOST_JSON_BYTES,
    ) -> T:
        """What `take` makes of the JSON that a route answers which every ComfyUI has. Raises as `get` does."""
        answer = await self.call("GET", path, seconds=seconds, max_bytes=max_bytes)
        return await self.understand(path, answer, take)

    async def understand(self, path: str, answer: Answer, take: Callable[[JsonText], T]) -> T:
        """What `take` makes of the JSON in an answer; of a long one, in a thread. Raises `UnexpectedAnswer` when it
        holds none, or not what `take` expects."""
        if page := web_page(self.endpoint, answer):
            raise page
        if answer.status != 200 or "json" not in answer.content_type:
            raise self._strange_answer(path, f"HTTP {answer.status}, {shortened(answer.content_type)}")
        return await self._taken(path, answer.body, take)

    async def _taken(self, path: str, body: bytes, take: Callable[[JsonText], T]) -> T:
        """What `take` makes of a text of JSON. Raises `UnexpectedAnswer`, naming the path."""
        with self._reading(path):
            if len(body) <= FIRST_PIECE_BYTES:
                return take(JsonText(body))
            try:
                return await FILES.run(take, JsonText(body))
            except TookTooLong:
                raise self._strange_answer(path, "it takes too long to read") from None

    async def _json(self, path: str, answer: Answer) -> dict[str, Any]:
        """The JSON object in an answer. Raises `UnexpectedAnswer` when it holds none."""
        value = await self.understand(path, answer, read_json_text)
        if isinstance(value, dict):
            return value
        raise self._strange_answer(path, shown_value(value))

    @contextlib.contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        """Raise `UnexpectedAnswer` where the code inside fails because an answer does not have the expected shape."""
        try:
            yield
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError):
            raise self._strange_answer(path, "it cannot be read") from None

    def _another_program(self) -> UnexpectedAnswer:
        """The error for something else that answers where the server should."""
        message = f"What answers at the address of {self.endpoint.name} is something else."
        return UnexpectedAnswer(message).at(self.endpoint.place)

    def _strange_answer(self, path: str, what: str) -> UnexpectedAnswer:
        """The error for an answer of a route that no ComfyUI gives, and what it is."""
        message = f"{self.endpoint.name} gives an answer to {shortened(path)} that is not known: {what}."
        return UnexpectedAnswer(message).at(self.endpoint.place)


def _amount(size: int) -> str:
    """A number of bytes as people say it."""
    return f"{size // MB} MB" if size >= MB else f"{size // KB} kB"


def read_retry_after(text: str | None) -> float | None:
    """Seconds from now, as a `Retry-After` header gives them or by the date in it; None where it holds neither."""
    text = (text or "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    return None
