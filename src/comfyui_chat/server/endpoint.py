"""The address of a ComfyUI as people write it, with the credential that belongs to it.

`Endpoint.parse` reads what stands in a valve or on the command line:

    gpu-box:8188/                  http://gpu-box:8188
    wss://example.org/comfy/ws     https://example.org/comfy
    cloud.comfy.org                https://cloud.comfy.org, as Comfy Cloud
    cloud+http://proxy:8189        http://proxy:8189, spoken to as if it were Comfy Cloud

The key stays with its address: it is no part of the repr, and only `Endpoint.headers` hands it out. Endpoints serve as
keys of dictionaries; two that differ only in what people call them are the same.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..errors import BadArgument
from ..names import shortened

CLOUD_HOST = "cloud.comfy.org"
CLOUD_PREFIX = "cloud+"  # before the address of anything else that speaks as Comfy Cloud does


@dataclass(frozen=True)
class Endpoint:
    """The address of one ComfyUI and the credential that belongs to it, and to no other address."""

    url: str  # without a slash at its end
    api_key: str = field(default="", repr=False)
    label: str = field(default="", compare=False)  # what people call it
    cloud: bool = False  # Comfy Cloud, or what speaks as it does
    guessed: bool = field(default=False, compare=False)  # one of several places where the one server may be

    @classmethod
    def parse(cls, text: str, api_key: str = "", name: str = "The ComfyUI address", label: str = "") -> "Endpoint":
        """An address as people write it: the scheme may be missing, and a slash, `/api` or `/ws` may follow. Comfy
        Cloud is known by its host, and anything that speaks as it does by `cloud+` before the address.

        Raises `BadArgument` for what is not an http address, for one that holds a user name or a password, and for a
        key that cannot stand in a header. `name` is what the message calls the address.
        """
        url = text.strip()
        cloud = url.lower().startswith(CLOUD_PREFIX)
        url = url[len(CLOUD_PREFIX) :] if cloud else url
        if not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", url):
            url = f"http://{url}"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urlsplit("")
        scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
        if not host or scheme not in ("http", "https") or not re.fullmatch(r"[\w.:-]+", host):
            shown = "" if "@" in text else f': "{shortened(text)}"'  # what stands before an @ may be a password
            raise BadArgument(f"{name} is not an http address{shown}.", "It looks like http://host:8188.")
        if re.search(r"[^\x21-\x7e]", api_key.strip()):
            raise BadArgument(f"The API key for {url} holds a space, a line break or the like.", "Enter it once more.")
        if parts.username or parts.password:
            raise BadArgument(f"{name} holds a user name or password.", "Put the credential into the API key valve.")
        scheme = "https" if host == CLOUD_HOST else scheme  # the key must not go there unencrypted
        host = f"[{host}]" if ":" in host else host
        path = re.sub(r"/(api|ws)?/*$", "", parts.path)
        url = f"{scheme}://{host}" + (f":{port}" if port else "") + path
        return cls(url, api_key.strip(), label.strip(), cloud or host == CLOUD_HOST)

    @property
    def name(self) -> str:
        """What people call it, or its host and port."""
        return self.label or urlsplit(self.url).netloc

    def headers(self) -> dict[str, str]:
        """What every request and the websocket's handshake carry; nothing without a key."""
        if not self.api_key:
            return {}
        return {"X-API-Key": self.api_key} if self.cloud else {"Authorization": f"Bearer {self.api_key}"}
