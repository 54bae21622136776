"""HTTP with one ComfyUI: its routes' answers, within bounds of time and size, and its websocket's
handshake.

`HttpServer` knows an endpoint and nothing of what its routes mean; `ComfyUIServer` in `client` adds
that. All HTTP goes through `call`, which turns what fails into a `ServerError` and hides the key
where a server repeats it. `read` and `understand` make a value of an answer's JSON, off the event
loop where it is long, `get` and `_json` an object. Within `_reading` an answer of the wrong shape
becomes an error. What lets a caller in (`_headers`, `_query`) goes to the endpoint's address and
nowhere else, alike for HTTP and for the websocket.
"""

import asyncio
import contextlib
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from yarl import URL

from ..bounded import BoundedDict
from ..bounds import (
    FIRST_PIECE_BYTES,
    KB,
    MB,
    MOST_FRAME_BYTES,
    MOST_JSON_BYTES,
    MOST_SHORT_ANSWER_BYTES,
)
from ..errors import (
    AccessRefused,
    EndpointRefused,
    ServerBusy,
    ServerUnreachable,
    TookTooLong,
    UnexpectedAnswer,
)
from ..json_pieces import JsonText, read_json_text
from ..names import shortened, shown_value
from ..tasks import ANSWER_SECONDS, T
from ..threads import FILES
from .connection import CONNECT_SECONDS
from .endpoint import Endpoint
from .faults import forbidden, no_answer, sent_on, web_page
from .incoming import IncomingFile
from .login import LoginForm
from .protocol import Answer
from .transport import NOT_ALLOWED, Reach, check_reach, guarded_sockets, origin_of

STALL_SECONDS = 30.0  # without a byte in the middle of an answer, before it counts as broken off
# between two pings: the server sends none, and they show when a connection is dead
HEARTBEAT_SECONDS = 30.0
REMEMBERED_KEYS = 20  # of Comfy accounts, the newest, which are hidden in what a server says
ASK_OR_EMPTY = 'Tell the user to empty the valve "Your ComfyUI address" of this tool, or to ask an administrator.'
# The HTTP statuses that send a client elsewhere.
REDIRECTS = (301, 302, 303, 307, 308)
# Those by which a proxy says that it got no answer from what is behind it; from 520 on they are
# Cloudflare's.
NOTHING_BEHIND = (502, 503, 504, *range(520, 531))


@dataclass(frozen=True)
class Asked:
    """A request, and how much of its answer is taken; `HttpServer.call` says what each means."""

    method: str
    path: str | URL
    body: Any
    form: Callable[[], aiohttp.FormData] | None
    params: Mapping[str, str] | None
    seconds: float
    first_byte_seconds: float
    max_bytes: int
    cut: bool
    redirects: bool
    file: IncomingFile | None


class HttpServer:
    """What answers at an endpoint, over HTTP."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        # that may have come with prompts
        self._account_keys = BoundedDict[str, bool](REMEMBERED_KEYS)
        self._session: aiohttp.ClientSession | None = None
        # for downloads that a server sends on to
        self._elsewhere: aiohttp.ClientSession | None = None
        self._login: LoginForm | None = None
        if endpoint.auth.login:
            self._login = LoginForm(endpoint.url, *endpoint.auth.login)

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP session, made at first use. It keeps no cookies and no credential, and follows
        no redirect: the credential belongs to this address alone, and is given with each request.
        """
        if self._session is None or self._session.closed:
            self._session = self._new_session(self.endpoint.transport.reach)
        return self._session

    def _session_for(self, address: str | URL) -> aiohttp.ClientSession:
        """The session for a path of this server, or for an address elsewhere: to it, other rules
        apply.
        """
        if isinstance(address, str) or origin_of(str(address)) == origin_of(self.endpoint.url):
            return self.session
        if self._elsewhere is None or self._elsewhere.closed:
            self._elsewhere = self._new_session(self.endpoint.transport.downloads)
        return self._elsewhere

    def _new_session(self, reach: Reach | None) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_request_redirect.append(self._refuse_redirect)
        tls = self.endpoint.transport.tls
        if reach:
            connector = aiohttp.TCPConnector(ssl=tls, socket_factory=guarded_sockets(reach))
        else:
            connector = aiohttp.TCPConnector(ssl=tls)
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            # `call` bounds the whole
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS / 2),
        )
        # Where Open WebUI exports to OpenTelemetry, it has every new session traced, and the whole
        # address of each request becomes a span: keys, names of workflows and of files. Only what
        # is added here may look on.
        trace.freeze()
        session.trace_configs[:] = [trace]
        return session

    async def close_sessions(self) -> None:
        """Close all connections."""
        sessions = (self._session, self._elsewhere)
        self._session = self._elsewhere = None
        for session in sessions:
            if session:
                await session.close()

    async def _proxy(self, url: str | URL) -> str | None:
        """The proxy for a request, None for none. What a proxy connects to elsewhere is judged
        here. Raises `ForbiddenAddress`, and `OSError` where a name is not known.
        """
        proxy = self.endpoint.transport.proxy_for(str(url))
        if proxy and isinstance(url, URL):
            await check_reach(url, self.endpoint.transport.downloads)
        return proxy

    async def _refuse_redirect(
        self, _session: Any, _context: Any, params: aiohttp.TraceRequestRedirectParams
    ) -> None:
        raise sent_on(self.endpoint, params.response.headers.get("Location", ""))

    @contextlib.asynccontextmanager
    async def websocket(self, client_id: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A new websocket of the client with this id. A frame of more than `MOST_FRAME_BYTES`
        closes it. Its pings are for the caller to answer: aiohttp would do so without end, and
        without a pause for others. Raises `AccessRefused`, and what aiohttp raises otherwise.
        """
        socket = await self._admitted(lambda: self._connect(client_id))
        try:
            yield socket
        finally:
            await socket.close()

    async def _connect(self, client_id: str) -> aiohttp.ClientWebSocketResponse:
        try:
            return await self.session.ws_connect(
                f"{self.endpoint.url}/ws",
                params={**self._query, **self._websocket_query(client_id)},
                headers=self._headers,
                max_msg_size=MOST_FRAME_BYTES,
                autoping=False,
                heartbeat=HEARTBEAT_SECONDS,
                proxy=await self._proxy(self.endpoint.url),
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403, 407):
                raise forbidden(self.endpoint, error.status) from None
            raise

    def _websocket_query(self, client_id: str) -> dict[str, str]:
        return {"clientId": client_id}

    # What lets a caller in.

    @property
    def _headers(self) -> dict[str, str]:
        headers = dict(self.endpoint.auth.headers)
        if self._login and self._login.header:
            headers["Cookie"] = self._login.header
        return headers

    @property
    def _query(self) -> dict[str, str]:
        return dict(self.endpoint.auth.query)

    @property
    def hides_keys(self) -> bool:
        """Whether there is anything to hide in what the server sends."""
        return bool(self.endpoint.auth or self._account_keys or self._login)

    def hide_key(self, data: bytes) -> bytes:
        """What the server sent, without what lets a caller in and the keys of Comfy accounts, where
        it repeats them.
        """
        if not self.hides_keys:
            return data
        auth = self.endpoint.auth
        secrets = [*self._account_keys]
        if self._login:
            secrets += self._login.secrets
        return auth.hide(data, secrets)

    async def _admitted(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `ask` returns, after the login where the server has a form for that; once more after
        another login where the first one counts no longer.
        """
        if self._login is None:
            return await ask()
        await self._log_in(self._login)
        header = self._login.header
        try:
            return await ask()
        except AccessRefused:
            await self._log_in(self._login, header)
            return await ask()

    async def _log_in(self, login: LoginForm, refused: str = "") -> None:
        """Get the form's cookie. Raises `AccessRefused` and `ServerUnreachable`."""
        try:
            await login.enter(self.session, refused, await self._proxy(self.endpoint.url))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._check_reach(error, "/login")
            raise no_answer(self.endpoint, error, ANSWER_SECONDS).at(self.endpoint.place) from None
        except AccessRefused as error:
            raise error.at(self.endpoint.place) from None

    def _address(self, path: str) -> str:
        """Where a route of ComfyUI is."""
        if self.endpoint.url.endswith("/api"):
            path = path.removeprefix("/api")
        return self.endpoint.url + path

    async def call(
        self,
        method: str,
        path: str | URL,
        *,
        body: Any = None,
        form: Callable[[], aiohttp.FormData] | None = None,
        params: Mapping[str, str] | None = None,
        seconds: float = ANSWER_SECONDS,
        first_byte_seconds: float = math.inf,
        max_bytes: int = MOST_SHORT_ANSWER_BYTES,
        cut: bool = False,
        redirects: bool = False,
        file: IncomingFile | None = None,
    ) -> Answer:
        """One HTTP exchange within `seconds`. The answer's first byte has to come within
        `first_byte_seconds`, and it may have at most `max_bytes`: with `cut`, what is beyond them
        is left out. `body` is sent as JSON, what `form` makes as it is. A `URL` in place of a path
        is an address elsewhere: it gets no credential, and what its statuses mean is for the caller
        to judge. A `file` takes the body of an answer whose status is 200, and bounds it itself.

        Raises `ServerUnreachable`, `AccessRefused`, `ServerBusy`, and `UnexpectedAnswer` for an
        answer that is too large or, unless the caller takes `redirects`, a redirect. Any other
        status is for the caller to judge.
        """
        asked = Asked(
            method,
            path,
            body,
            form,
            params,
            seconds,
            first_byte_seconds,
            max_bytes,
            cut,
            redirects,
            file,
        )
        if isinstance(path, URL):
            return await self._exchange(asked)
        return await self._admitted(lambda: self._exchange(asked))

    async def _exchange(self, asked: "Asked") -> Answer:
        """The same, with what lets a caller in as it stands now."""
        path = asked.path
        params = dict(asked.params or {})
        place = self.endpoint.place
        address: str | URL
        if isinstance(path, str):
            address = self._address(path)
            headers = self._headers
            params |= self._query
        else:
            address = path
            headers = {}
            # what else stands in it may be a credential, too
            place = f"Its address is {path.origin()}."
        content = {"data": asked.form()} if asked.form else {"json": asked.body}
        try:
            loop = asyncio.get_running_loop()
            end = loop.time() + asked.seconds
            async with asyncio.timeout_at(
                min(end, loop.time() + asked.first_byte_seconds)
            ) as limit:
                proxy = await self._proxy(address)
                request = self._session_for(path).request(
                    asked.method,
                    address,
                    params=params,
                    headers=headers,
                    allow_redirects=False,
                    proxy=proxy,
                    **content,
                )
                async with request as response:
                    if isinstance(path, str):
                        await self._check(response)
                    if response.status in REDIRECTS and not asked.redirects:
                        raise sent_on(self.endpoint, response.headers.get("Location", ""))
                    data = await self._body(
                        asked,
                        response,
                        lambda: limit.reschedule(min(end, loop.time() + STALL_SECONDS)),
                    )
                    is_whole = len(data) <= asked.max_bytes
                    del data[asked.max_bytes :]
                    return Answer(
                        status=response.status,
                        content_type=response.content_type,
                        body=self._without_key(data),
                        length=response.content_length,
                        location=response.headers.get("Location", ""),
                        is_whole=is_whole,
                    )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._check_reach(error, path)
            raise no_answer(self.endpoint, error, min(asked.seconds, asked.first_byte_seconds)).at(
                place
            ) from None

    def _check_reach(self, error: Exception, path: str | URL) -> None:
        """Raise an error of its own where a connection was not allowed."""
        if NOT_ALLOWED not in str(getattr(error, "os_error", error)):
            return
        if isinstance(path, URL):
            raise sent_on(self.endpoint, str(path)) from None
        raise EndpointRefused(
            f"The address of {self.endpoint.name} leads to a place that the administrator does not allow.",
            ASK_OR_EMPTY,
        ) from None

    async def _body(
        self, asked: "Asked", response: aiohttp.ClientResponse, goes_on: Callable[[], None]
    ) -> bytearray:
        """What an answer holds, as far as it is taken; nothing where a file takes it. `goes_on` is
        told of each piece. Raises `UnexpectedAnswer` for one that is too large, and as
        `IncomingFile.write` does.
        """
        file = asked.file if response.status == 200 else None
        if file:
            file.expect(response.content_length or 0)
        data = bytearray()
        async for chunk in response.content.iter_any():
            if file:
                await file.write(chunk)
            else:
                data += chunk
            goes_on()
            if len(data) <= asked.max_bytes:
                continue
            if asked.cut:
                break
            what = shortened(asked.path) if isinstance(asked.path, str) else "a download"
            raise UnexpectedAnswer(
                f"{self.endpoint.name} answers {what} with more than {_amount(asked.max_bytes)}."
            ).at(self.endpoint.place)
        return data

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        """Raise an error for the statuses that mean the same on every route."""
        if response.status in (401, 403, 407):
            raise forbidden(self.endpoint, response.status)
        if response.status in NOTHING_BEHIND:
            raise ServerUnreachable(
                f"The proxy in front of {self.endpoint.name} answers {response.status}: it reaches nothing behind it.",
                "ComfyUI has to be started, or the proxy told where it is.",
            ).at(self.endpoint.place)
        if response.status == 429:
            after = read_retry_after(response.headers.get("Retry-After"))
            busy = ServerBusy(
                f"The proxy in front of {self.endpoint.name} gets too many requests.", seconds=after
            )
            raise busy.at(self.endpoint.place)

    def _without_key(self, data: bytearray) -> bytes:
        """An answer without the key, should the server repeat it. What is longer than all JSON is a
        file.
        """
        if len(data) > MOST_JSON_BYTES:
            return bytes(data)
        return self.hide_key(bytes(data))

    def note_key(self, key: str) -> None:
        """Note the key of a Comfy account that came, or may have come, with a prompt, to hide it
        from now on.
        """
        if key:
            self._account_keys.pop(key, None)
            self._account_keys[key] = True

    async def get(
        self, path: str, seconds: float = ANSWER_SECONDS, max_bytes: int = MOST_SHORT_ANSWER_BYTES
    ) -> dict[str, Any]:
        """The JSON object that a route answers which every ComfyUI has. Raises as `call` does, and
        `UnexpectedAnswer` for anything else.
        """
        answer = await self.call("GET", path, seconds=seconds, max_bytes=max_bytes)
        return await self._json(path, answer)

    async def read(
        self,
        path: str,
        take: Callable[[JsonText], T],
        seconds: float = ANSWER_SECONDS,
        max_bytes: int = MOST_JSON_BYTES,
    ) -> T:
        """What `take` makes of the JSON that a route answers which every ComfyUI has. Raises as
        `get` does.
        """
        answer = await self.call("GET", path, seconds=seconds, max_bytes=max_bytes)
        return await self.understand(path, answer, take)

    async def understand(self, path: str, answer: Answer, take: Callable[[JsonText], T]) -> T:
        """What `take` makes of the JSON in an answer; of a long one, in a thread. Raises
        `UnexpectedAnswer` when it holds none, or not what `take` expects.
        """
        if page := web_page(self.endpoint, answer):
            raise page
        if answer.status != 200 or "json" not in answer.content_type:
            raise self._strange_answer(
                path, f"HTTP {answer.status}, {shortened(answer.content_type)}"
            )
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
        """Raise `UnexpectedAnswer` where the code inside fails because an answer does not have the
        expected shape.
        """
        try:
            yield
        except (
            LookupError,
            TypeError,
            AttributeError,
            ValueError,
            ArithmeticError,
            RecursionError,
        ):
            raise self._strange_answer(path, "it cannot be read") from None

    def _another_program(self) -> UnexpectedAnswer:
        """The error for something else that answers where the server should."""
        message = f"Something other than ComfyUI answers at the address of {self.endpoint.name}."
        return UnexpectedAnswer(message).at(self.endpoint.place)

    def _strange_answer(self, path: str, what: str) -> UnexpectedAnswer:
        """The error for an answer of a route that no ComfyUI gives, and what it is."""
        message = f"{self.endpoint.name} answers {shortened(path)} as no ComfyUI does: {what}."
        return UnexpectedAnswer(message).at(self.endpoint.place)


def _amount(size: int) -> str:
    """A number of bytes as people say it."""
    return f"{size // MB} MB" if size >= MB else f"{size // KB} kB"


def read_retry_after(text: str | None) -> float | None:
    """Seconds from now, as a `Retry-After` header gives them or by the date in it; None where it
    holds neither.
    """
    text = (text or "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    return None
