"""The address of a ComfyUI as people write it, with the credential that belongs to it.

`Endpoint.parse` reads what stands in a valve or on the command line:

    gpu-box:8188/                  http://gpu-box:8188
    wss://example.org/comfy/ws     https://example.org/comfy
    cloud.comfy.org                https://cloud.comfy.org, as Comfy Cloud
    cloud+http://proxy:8189        http://proxy:8189, spoken to as if it were Comfy Cloud

The key stays with its address: it is not part of the repr, and only `Endpoint.headers` hands it out. Endpoints serve as
keys of dictionaries; two that differ only in what people call them are the same.
"""

import json
import re
import unicodedata
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..bounds import LEAST_KEY_CHARACTERS, MOST_ADDRESS_CHARACTERS
from ..errors import BadArgument

CLOUD_HOST = "cloud.comfy.org"
ADDRESS_BEGINNING = re.compile(r"\s*(?:[a-zA-Z!+.-]{1,20}://)?[\w.-]{1,60}")
HIDDEN_KEY = b"[API key]"  # what is shown in its place
CLOUD_PREFIX = "cloud+"  # before the address of anything else that speaks as Comfy Cloud does


@dataclass(frozen=True)
class Endpoint:
    """The address of one ComfyUI and the credential that belongs to it, and to no other address."""

    url: str  # without a slash at its end
    api_key: str = field(default="", repr=False)
    label: str = field(default="", compare=False)  # what people call it
    cloud: bool = False  # Comfy Cloud, or what speaks as it does
    guessed: bool = field(default=False, compare=False)  # one of several places where the one server may be
    # Where a person has set the address, and where the key belongs, as a sentence calls them.
    setting: str = field(default='the valve "ComfyUI address"', compare=False)
    key_setting: str = field(default='the valve "ComfyUI API key"', compare=False)

    @classmethod
    def parse(cls, text: str, api_key: str = "", name: str = "The ComfyUI address", label: str = "") -> "Endpoint":
        """An address as people write it: the scheme may be missing, and a slash, `/api` or `/ws` may follow. Comfy
        Cloud is known by its host, and anything that speaks as it does by `cloud+` before the address.

        Raises `BadArgument` for what is not an http address, for one that holds a user name or a password, and for a
        key that cannot stand in a header. `name` is what messages call the address, or the valve that holds it.
        """
        if len(text) > MOST_ADDRESS_CHARACTERS:
            raise BadArgument(f"{name} is too long: {len(text)} characters.", "It looks like http://host:8188.")
        address = text.strip()
        is_cloud = address.lower().startswith(CLOUD_PREFIX)
        if is_cloud:
            address = address[len(CLOUD_PREFIX) :]
        if not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", address):
            address = f"http://{address}"
        url, has_login = _read_url(address)
        if not url:
            refused = BadArgument(f"{name} is not an http address.", "It looks like http://host:8188.")
            raise refused.at(_shown(text))
        key = api_key.strip()
        if re.search(r"[^\x21-\x7e]", key):
            message = "The API key that belongs to an address contains a space, a line break or the like."
            raise BadArgument(message, "Enter it again.").at(f"It is the key for {url}.")
        if has_login:
            raise BadArgument(f"{name} contains a user name or password.", "Put the credential into the API key valve.")
        is_cloud = is_cloud or urlsplit(url).hostname == CLOUD_HOST
        return cls(url, key, label.strip(), is_cloud, setting=name[:1].lower() + name[1:])

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
        """Whether its queue shows the marks that prompts carry, so that it can be told whose they are."""
        return not self.cloud

    @property
    def shares_card(self) -> bool:
        """Whether its graphics card may also have a language model to serve."""
        return not self.cloud

    @property
    def written(self) -> str:
        """The address as `parse` reads it back."""
        return CLOUD_PREFIX + self.url if self.cloud else self.url

    def hide_key(self, data: bytes) -> bytes:
        """What the server sent, without the key where it repeats it: as it is, and as JSON writes it. A key of less
        than `LEAST_KEY_CHARACTERS` is left, since it may be part of any word."""
        if len(self.api_key) < LEAST_KEY_CHARACTERS:
            return data
        in_json = json.dumps(self.api_key)[1:-1]
        for written in {self.api_key, in_json, in_json.replace("/", "\\/")}:
            data = data.replace(written.encode(), HIDDEN_KEY)
        return data

    def headers(self) -> dict[str, str]:
        """What every request and the websocket's handshake carry; nothing without a key."""
        if not self.api_key:
            return {}
        if self.cloud:
            return {"X-API-Key": self.api_key}
        return {"Authorization": f"Bearer {self.api_key}"}


def _shown(text: str) -> str:
    """The beginning of an address that is refused, for administrators: its scheme and host. What follows them may be a
    token, and what stands before an @ a password."""
    beginning = ADDRESS_BEGINNING.match(text)
    if not beginning or "@" in text:
        return ""
    cut = "" if beginning[0] == text else "…"
    return f'It begins with "{beginning[0]}{cut}".'


def _read_url(address: str) -> tuple[str, bool]:
    """An address without what may follow the path of ComfyUI, and whether a user name or a password stands in it. It is
    "" for what is not an http address."""
    if re.search(r"\s", address):
        return "", False
    try:
        parts = urlsplit(address)
        # As the request will be sent: in its letters' plain forms, and a dot at its end makes no difference.
        host = unicodedata.normalize("NFKC", parts.hostname or "").lower().rstrip(".")
        port = parts.port
    except ValueError:
        return "", False
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    if not host or scheme not in ("http", "https") or not re.fullmatch(r"[\w.:-]+", host):
        return "", False
    if host == CLOUD_HOST:
        scheme = "https"  # the key must not go there unencrypted
    url = f"{scheme}://[{host}]" if ":" in host else f"{scheme}://{host}"
    if port:
        url += f":{port}"
    path = parts.path.rstrip("/")
    for route in ("/api", "/ws"):
        if path.endswith(route):
            path = path.removesuffix(route)
            break
    return url + path, "@" in parts.netloc
