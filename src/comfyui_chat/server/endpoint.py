"""The address of a ComfyUI as people write it, with the credential that belongs to it.

`Endpoint.parse` reads what stands in a valve or on the command line:

    gpu-box:8188/                  http://gpu-box:8188
    wss://example.org/comfy/ws     https://example.org/comfy
    cloud.comfy.org                https://cloud.comfy.org, as Comfy Cloud
    cloud+http://proxy:8189        http://proxy:8189, spoken to as if it were Comfy Cloud
    http://user:password@host      http://host, and what lets a caller in there
    http://host/?token=secret      http://host, the same
    https://host/comfy/api/        https://host/comfy/api, below which every ComfyUI has all its routes, too

What lets a caller in (server/auth.py) stays with its address: it is not part of the repr, of `url`
or of `written`. Endpoints serve as keys of dictionaries; two that differ only in what people call
them are the same.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from ..bounds import MOST_ADDRESS_CHARACTERS
from ..errors import BadArgument
from .allowed import ALL_ALLOWED, Allowed
from .auth import Auth, basic, in_query, read_auth
from .pasted import ROUND_PASTED
from .transport import Transport

CLOUD_HOST = "cloud.comfy.org"
# One of ComfyUI's own, which people copy along with the address.
ROUTE_AT_END = re.compile(r"/(?:ws|prompt|queue|history|object_info|system_stats)/*$")
ADDRESS_BEGINNING = re.compile(r"\s*(?:[a-zA-Z!+.-]{1,20}://)?[\w.-]{1,60}")
# An address in the line of a console: "To see the GUI go to: http://127.0.0.1:8188".
IN_LINE = re.compile(r"[A-Za-z][^/@]{0,100}\s(https?://[^\s@]+)")
# in the `extra_data` of a prompt: the key of the Comfy account that pays for it
ACCOUNT_KEY = "api_key_comfy_org"
CLOUD_PREFIX = "cloud+"  # before the address of anything else that speaks as Comfy Cloud does


@dataclass(frozen=True)
class Endpoint:
    """The address of one ComfyUI and the credential that belongs to it, and to no other address."""

    url: str  # without a slash at its end
    auth: Auth = field(default=Auth(), repr=False)
    label: str = field(default="", compare=False)  # what people call it
    cloud: bool = False  # Comfy Cloud, or what speaks as it does
    # one of several places where the one server may be
    guessed: bool = field(default=False, compare=False)
    # Where a person has set the address, and where the key belongs, as a sentence calls them.
    setting: str = field(default='the valve "ComfyUI address"', compare=False)
    key_setting: str = field(default='the valve "ComfyUI API key"', compare=False)
    # a usual address that nobody has set: it gets no key
    unset: bool = field(default=False, compare=False)
    transport: Transport = field(default=Transport(), repr=False)
    allowed: Allowed = field(default=ALL_ALLOWED, repr=False)  # what of it the caller may use

    def __hash__(self) -> int:
        """By the address alone: what belongs to it takes long to be hashed, and two that differ in
        nothing else are rare.
        """
        return hash(self.url)

    @classmethod
    def parse(
        cls, text: str, api_key: str = "", name: str = "The ComfyUI address", label: str = ""
    ) -> "Endpoint":
        """An address as people write it: the scheme may be missing, a slash or `/ws` may follow,
        quotes stand around it, and it may hold what lets a caller in. Comfy Cloud is known by its
        host, and anything that speaks as it does by `cloud+` before the address. `api_key` is what
        stands in the valve beside it.

        Raises `BadArgument` for what is not an http address, and for a key that cannot be sent.
        `name` is what messages call the address, or the valve that holds it.
        """
        if len(text) > MOST_ADDRESS_CHARACTERS:
            raise BadArgument(
                f"{name} is too long: {len(text)} characters.", "It looks like http://host:8188."
            )
        address = text.strip(ROUND_PASTED)
        in_line = IN_LINE.fullmatch(address)
        if in_line:
            address = in_line[1]
        is_cloud = address.lower().startswith(CLOUD_PREFIX)
        if is_cloud:
            address = address[len(CLOUD_PREFIX) :]
        if not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", address):
            address = f"http://{address}"
        parts = _split(address)
        url = _read_url(parts) if parts else ""
        if parts is None or not url:
            refused = BadArgument(
                f"{name} is not an http address.", "It looks like http://host:8188."
            )
            raise refused.at(_shown(text))
        is_cloud = is_cloud or urlsplit(url).hostname == CLOUD_HOST
        if is_cloud:
            url = url.removesuffix("/api")  # which stands before all its routes anyway
        try:
            auth = _auth_in(parts).joined(read_auth(api_key, is_cloud))
        except BadArgument as refused:
            raise refused.at(f"It is the key for {url}.") from None
        return cls(url, auth, label.strip(), is_cloud, setting=name[:1].lower() + name[1:])

    @property
    def name(self) -> str:
        """What people call it; without a name "ComfyUI", or "Comfy Cloud"."""
        return self.label or ("Comfy Cloud" if self.cloud else "ComfyUI")

    @property
    def place(self) -> str:
        """Where it is, as a sentence for administrators."""
        return f"Its address is {self.url}."

    @property
    def shows_marks(self) -> bool:
        """Whether its queue shows the marks that prompts carry, so that it can be told whose they
        are.
        """
        return not self.cloud

    @property
    def shares_card(self) -> bool:
        """Whether its graphics card may also have a language model to serve."""
        return not self.cloud

    @property
    def written(self) -> str:
        """The address as `parse` reads it back."""
        return CLOUD_PREFIX + self.url if self.cloud else self.url


def _shown(text: str) -> str:
    """The beginning of an address that is refused, for administrators: its scheme and host. What
    follows them may be a token, and what stands before an @ a password.
    """
    beginning = ADDRESS_BEGINNING.match(text)
    if not beginning or "@" in text:
        return ""
    cut = "" if beginning[0] == text else "…"
    return f'It begins with "{beginning[0]}{cut}".'


def _split(address: str) -> SplitResult | None:
    """The parts of an address, None for what is none."""
    if re.search(r"\s", address):
        return None
    try:
        return urlsplit(address)
    except ValueError:
        return None


def _auth_in(parts: SplitResult) -> Auth:
    """What an address holds that lets a caller in: a user name and a password, and what follows its
    question mark. Raises `BadArgument`.
    """
    try:
        auth = in_query(parts.query)
    except ValueError:
        raise BadArgument(
            "What follows the question mark of an address is too much.", "Leave it out."
        ) from None
    if parts.username is None:
        return auth
    return basic(unquote(parts.username), unquote(parts.password or "")).joined(auth)


def _read_url(parts: SplitResult) -> str:
    """An address without what it holds that lets a caller in, and without what may follow the path
    of ComfyUI. It is "" for what is not an http address.
    """
    try:
        # As the request will be sent: in its letters' plain forms, and a dot at its end makes no
        # difference.
        host = unicodedata.normalize("NFKC", parts.hostname or "").lower().rstrip(".")
        port = parts.port
    except ValueError:
        return ""
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    if not host or scheme not in ("http", "https") or not re.fullmatch(r"[\w.:-]+", host):
        return ""
    if host == CLOUD_HOST:
        scheme = "https"  # the key must not go there unencrypted
    url = f"{scheme}://[{host}]" if ":" in host else f"{scheme}://{host}"
    if port:
        url += f":{port}"
    return url + ROUTE_AT_END.sub("", parts.path).rstrip("/")
