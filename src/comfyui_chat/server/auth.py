"""What lets a caller in at a protected ComfyUI, as people paste it into the valve for the key.

ComfyUI has no login of its own. What stands before it wants one of these, and `read_auth` tells
them apart:

    sk-1234, Bearer sk-1234                  a key, sent as `Authorization: Bearer`; to Comfy Cloud as `X-API-Key`
    user:password, Basic dXNlcjpwYXNz...     a user name and a password, sent as `Authorization: Basic`
    X-Auth: secret                           a header of any name; several behind semicolons, one a line, or as JSON
    token=secret, ?token=secret              a part of every address
    login user:password                      the form of ComfyUI-Login, filled in once for its cookie
    For direct API calls, use token=$2b$...  the line that ComfyUI-Login prints, sent as `Authorization: Bearer`

An `Auth` is the same for HTTP and for the websocket. It belongs to one endpoint, and is in no repr.
`Auth.hide` takes it out of what a server sends back. How ComfyUI-Login works was read in its
source, at commit 6910925.
"""

import base64
import binascii
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from ..bounds import LEAST_KEY_CHARACTERS
from ..errors import BadArgument
from ..json_pieces import JsonText, read_json_text
from .pasted import UNSEEN, bare, plain

HIDDEN_KEY = b"[API key]"  # what is shown in its place
CLOUD_HEADER = "X-API-Key"
MOST_SECRETS = 10  # headers, or parts of a query: every answer is searched for each of them

CONSOLE_LINE = re.compile(r"\buse token=(\S+)")
SCHEME = re.compile(r"(bearer|basic|token|login):?\s+([^\s=].*)", re.IGNORECASE)
HEADER = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,60}):\s+(\S.*)")
# Of these names also without a space behind the colon; any other one is a user's name.
KNOWN_HEADER = re.compile(
    r"(x-[\w-]{1,60}|cf-[\w-]{1,60}|authorization|cookie|api-key|apikey):\s*(\S.*)", re.IGNORECASE
)
QUERY = re.compile(
    r"[?&]?[\w-]*(?:token|key|auth|secret|password)[\w-]*=[^\s=].*|\?[\w.-]+=\S+", re.IGNORECASE
)
HEADER_NAME = re.compile(r"(?:X|CF)-[\w-]+", re.IGNORECASE)
# One header ends where a line does, at a semicolon, or at a comma before the name of another.
BETWEEN_HEADERS = re.compile(r"[;\n]|,(?=\s*(?:X|CF)-[\w-]+:)", re.IGNORECASE)
# A name with a value, or the rest of an address; keys in base64 may end with such signs.
NOT_A_KEY = re.compile(r"[A-Za-z][\w.-]{0,60}=+[^=]|[#?&]")
PRINTABLE = re.compile(r"[\x20-\x7e]*")
# Headers that are the connection's own.
RESERVED = re.compile(
    r"connection|upgrade|transfer-encoding|te|trailer|content-.*|sec-websocket-.*", re.IGNORECASE
)


@dataclass(frozen=True, repr=False)
class Auth:
    """What every request to a server carries, and the websocket's handshake."""

    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()  # in every address
    key: str = ""  # the account's at Comfy Cloud, which goes with prompts as well
    login: tuple[str, str] | None = None  # user name and password for a form

    def __repr__(self) -> str:
        return "Auth()" if self else "Auth(nothing)"

    def __bool__(self) -> bool:
        return bool(self.headers or self.query or self.login)

    def joined(self, other: "Auth") -> "Auth":
        """Both together. Raises `BadArgument` where both have a header of one name."""
        names = {name.lower() for name, _ in self.headers}
        if any(name.lower() in names for name, _ in other.headers):
            raise BadArgument(
                "An address contains a user name and password, and the API key that belongs to it takes their place.",
                "Leave one of them out, or write the key as token=...",
            )
        return Auth(
            (*self.headers, *other.headers),
            (*self.query, *other.query),
            self.key or other.key,
            self.login or other.login,
        )

    def hide(self, data: bytes, also: Iterable[str] = ()) -> bytes:
        """What a server sent, without what is secret here, or is in `also`. What has less than
        `LEAST_KEY_CHARACTERS` is left, since it may be part of any word.
        """
        for written in (*self._as_written, *_as_written(also)):
            data = data.replace(written, HIDDEN_KEY)
        return data

    @functools.cached_property
    def _as_written(self) -> tuple[bytes, ...]:
        return _as_written(self._secrets())

    def _secrets(self) -> Iterator[str]:
        yield self.key
        for _, value in self.query:
            yield value
        if self.login:
            yield self.login[1]
        for name, value in self.headers:
            scheme, _, rest = value.partition(" ")
            if name.lower() == "cookie":
                yield from (cookie.partition("=")[2] for cookie in value.split("; "))
            elif len(rest) >= LEAST_KEY_CHARACTERS:
                yield rest
            else:
                yield value
            if scheme.lower() == "basic":
                yield _decoded(rest).partition(":")[2]


def _as_written(secrets: Iterable[str]) -> tuple[bytes, ...]:
    """Secrets as they may stand in an answer: as they are, in JSON, and in an address; the longest
    first.
    """
    written: set[str] = set()
    for secret in secrets:
        if len(secret) >= LEAST_KEY_CHARACTERS:
            in_json = json.dumps(secret)[1:-1]
            written |= {
                secret,
                in_json,
                in_json.replace("/", "\\/"),
                quote(secret, safe=""),
                quote(secret),
            }
    return tuple(one.encode() for one in sorted(written, key=len, reverse=True))


def basic(user_name: str, password: str) -> Auth:
    """A user name and a password, as a header."""
    encoded = base64.b64encode(f"{user_name}:{password}".encode()).decode()
    return Auth((("Authorization", f"Basic {encoded}"),))


def in_query(query: str) -> Auth:
    """What stands behind the question mark of an address."""
    return Auth(query=tuple(parse_qsl(query.lstrip("?&"), max_num_fields=MOST_SECRETS)))


def read_auth(text: str, is_cloud: bool = False) -> Auth:
    """What people paste for a key, as the top of this module lists it. Raises `BadArgument`, which
    does not show it.
    """
    if not text.strip():
        return Auth()
    printed = CONSOLE_LINE.search(UNSEEN.sub("", text))
    if printed:
        return _bearer(bare(printed[1]), is_cloud)
    text = plain(text)
    if not text:
        return Auth()
    if text.startswith("{"):
        return _headers(_json_headers(text), is_cloud)
    lines = [bare(line) for line in BETWEEN_HEADERS.split(text) if line.strip()]
    headers = [HEADER.fullmatch(line) or KNOWN_HEADER.fullmatch(line) for line in lines]
    scheme = SCHEME.fullmatch(text)
    if scheme:
        return _of_scheme(scheme[1].lower(), scheme[2], is_cloud)
    if all(headers):
        return _headers([(header[1], header[2]) for header in headers if header], is_cloud)
    one_header = KNOWN_HEADER.fullmatch(text)  # with semicolons in it, such as a cookie
    if one_header:
        return _headers([(one_header[1], one_header[2])], is_cloud)
    query = re.sub(r"\s*=\s*", "=", text, count=1)
    if QUERY.fullmatch(query) and not re.search(r"\s", query):
        return _in_query(query, is_cloud)
    if re.search(r"\s", text):
        raise _not_sendable()
    if NOT_A_KEY.match(text):
        raise BadArgument(
            "The API key that belongs to an address may be a cookie, a part of an address or something else.",
            "Write Cookie: name=value for a cookie, ?name=value for a part of the address, or the key alone.",
        )
    if ":" in text:
        user_name, _, password = text.partition(":")
        return basic(bare(user_name), bare(password))
    return _bearer(text, is_cloud)


def _in_query(text: str, is_cloud: bool) -> Auth:
    """A part of every address; Comfy Cloud has only its key."""
    auth = in_query(text)
    if is_cloud and len(auth.query) == 1:
        return _bearer(auth.query[0][1], is_cloud)
    name, value = auth.query[0] if len(auth.query) == 1 else ("", "")
    if HEADER_NAME.fullmatch(name):
        return _headers([(name, value)], is_cloud)
    return Auth(query=tuple((name, bare(value)) for name, value in auth.query))


def _not_sendable() -> BadArgument:
    return BadArgument(
        "The API key that belongs to an address contains a space, a line break or the like.",
        "Enter it again.",
    )


def _of_scheme(scheme: str, rest: str, is_cloud: bool) -> Auth:
    """What follows one of the words "Bearer", "Basic", "Token" and "login". Raises
    `BadArgument`.
    """
    rest = plain(rest).removeprefix("Basic ")
    user_name, colon, password = (bare(part) for part in rest.partition(":"))
    if scheme == "login":
        if not colon:
            raise BadArgument(
                "The API key for a login form is not complete.", "Write it as login user:password."
            )
        return Auth(login=(user_name, password))
    if scheme == "basic":
        if colon:
            return basic(user_name, password)
        if re.search(r"\s", rest):
            raise BadArgument(
                "The API key with a user name and a password is not complete.",
                "Write it as Basic user:password.",
            )
        return _headers([("Authorization", f"Basic {rest}")], is_cloud)
    if scheme == "token":
        return _headers([("Authorization", f"Token {rest}")], is_cloud)
    return _bearer(rest, is_cloud)


def _bearer(key: str, is_cloud: bool) -> Auth:
    key = key.rstrip(",;")
    if re.search(r"[^\x21-\x7e]", key):
        raise _not_sendable()
    if is_cloud:
        return Auth(((CLOUD_HEADER, key),), key=key)
    return Auth((("Authorization", f"Bearer {key}"),))


def _headers(headers: Iterable[tuple[str, str]], is_cloud: bool) -> Auth:
    """These headers. One that holds Comfy Cloud's key is that. Raises `BadArgument`."""
    found: dict[str, str] = {}
    key = ""
    headers = list(headers)
    if len(headers) > MOST_SECRETS:
        raise _not_sendable()
    for name, pasted in headers:
        value = bare(pasted).rstrip(",;")
        if is_cloud and name.lower() == "authorization" and len(headers) == 1:
            return _bearer(re.sub(r"^bearer\s+", "", value, flags=re.IGNORECASE), is_cloud)
        if not PRINTABLE.fullmatch(value) or RESERVED.fullmatch(name):
            raise _not_sendable()
        found[name] = value
        if is_cloud and name.lower() == CLOUD_HEADER.lower():
            key = value
    return Auth(tuple(found.items()), key=key)


def _json_headers(text: str) -> list[tuple[str, str]]:
    """The headers in an object of JSON, {"X-Auth": "secret"}. Raises `BadArgument`."""
    try:
        headers = read_json_text(JsonText(text.encode()))
    except (ValueError, RecursionError):
        raise _not_sendable() from None
    if not isinstance(headers, Mapping):
        raise _not_sendable()
    pairs = [(str(name), str(value)) for name, value in headers.items()]
    if not all(re.fullmatch(r"[A-Za-z][\w-]{0,60}", name) for name, _ in pairs):
        raise _not_sendable()
    return pairs


def _decoded(text: str) -> str:
    """What stands in a header for a user name and a password; "" where that cannot be read."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
