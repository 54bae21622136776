"""The addresses of ComfyUI: the administrator's and a user's own, each with the key that belongs to
it.

    addresses: "fast = http://10.0.0.5:8188, http://10.0.0.6:8188"        keys: "first, second", or one for both

A key goes to its own address only: the administrator's never to one that a user typed in, nor the
other way round. How they are connected to (server/transport.py) follows the administrator's valves,
and where those say nothing the environment of Open WebUI. A user's own address obeys the
administrator's rule, and where it is a server of the administrator's (`same_server`), the rules for
that as well.
"""

import asyncio
import contextlib
import os
import re
import socket
import ssl
import sys
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from ..errors import BadArgument, EndpointRefused, NotPermitted
from ..names import quoted, shortened
from ..server.allowed import ALL_ALLOWED
from ..server.endpoint import Endpoint
from ..server.transport import ANY, PUBLIC, Reach, Transport, read_reach, tls_context, version_4
from .image_settings import NO_IMAGE_SETTINGS, PAGE, ImageSettings
from .rights import EVERY_RIGHT, Rights
from .valves import UserValves, Valves

NAME_SECONDS = 5.0  # to look up where a user's own address leads
THIS_MACHINE = "this machine"  # in the place of all its addresses


def usual_tls() -> ssl.SSLContext | bool:
    """How Open WebUI itself checks certificates: by the environment variable
    `AIOHTTP_CLIENT_SESSION_SSL`. True outside of Open WebUI.
    """
    usual = getattr(sys.modules.get("open_webui.env"), "AIOHTTP_CLIENT_SESSION_SSL", True)
    return usual if isinstance(usual, (bool, ssl.SSLContext)) else True


def reach_of(valves: Valves) -> Reach:
    """Which addresses others than the administrator may name; public ones where the valve cannot be
    read.
    """
    return read_reach(valves.reachable) or PUBLIC


def transport_of(valves: Valves) -> Transport:
    """How the administrator's servers are connected to. Blocks. Raises `BadArgument`."""
    tls = tls_context(valves.ca_file.strip(), usual_tls())
    if valves.unchecked_certificates:
        tls = False
    return Transport(None, reach_of(valves), tls, valves.use_proxy)


def permitted(endpoints: Sequence[Endpoint], rights: Rights) -> list[Endpoint]:
    """Those of the administrator's servers that a user may use, each with what they may use of it.
    Raises `NotPermitted` where there is none.
    """
    found = [replace(one, allowed=rights.allowed) for one in endpoints if rights.server(one)]
    if not found:
        raise NotPermitted("The administrator's rules let the user use no ComfyUI server.")
    return found


def own_endpoint(
    valves: Valves,
    mine: UserValves,
    is_admin: bool,
    rights: Rights = EVERY_RIGHT,
    copied: Endpoint | None = None,
) -> Endpoint:
    """The server of the user's own valve; `copied` is the administrator's that it leads to. Blocks.
    Raises `EndpointRefused` where that is not allowed, and `BadArgument`.
    """
    empty = 'Tell the user to empty the valve "Your ComfyUI address" of this tool.'
    is_allowed = valves.allow_user_endpoints if rights.own_address is None else rights.own_address
    if not is_allowed and not is_admin:
        raise EndpointRefused(
            "You set a ComfyUI address of your own, and the administrator does not allow that.",
            empty,
        )
    reach = ANY if is_admin else reach_of(valves)
    endpoint = Endpoint.parse(
        mine.endpoint, mine.api_key, 'The user\'s valve "Your ComfyUI address"'
    )
    if not reach.allows_url(endpoint.url):
        raise EndpointRefused(
            "Your ComfyUI address is not one of those that the administrator allows.", empty
        )
    if copied and not rights.server(copied):
        raise EndpointRefused(
            "Your ComfyUI address is that of a server which the user may not use.", empty
        )
    tls = tls_context(valves.ca_file.strip(), usual_tls())
    allowed = rights.allowed if copied else ALL_ALLOWED
    key_setting = 'the user\'s valve "API key for your address"'
    return replace(
        endpoint, key_setting=key_setting, transport=Transport(reach, reach, tls), allowed=allowed
    )


async def same_server(own: Endpoint, others: Sequence[Endpoint]) -> Endpoint | None:
    """Which of these servers a user's own address leads to, None for none: by its host or by what
    that stands for, and by its port. Of several the one with the same path comes first.
    """
    wanted, *places = await asyncio.gather(*map(_hosts_and_ports, (own, *others)))
    found = [other for other, its_places in zip(others, places, strict=True) if wanted & its_places]
    found.sort(key=lambda other: other.url.removesuffix("/api") != own.url.removesuffix("/api"))
    return found[0] if found else None


async def _hosts_and_ports(endpoint: Endpoint) -> set[tuple[str, int]]:
    """The hosts and ports at which a server is: by name, and as they are looked up now."""
    parts = urlsplit(endpoint.url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    places = {(host, port)}
    with contextlib.suppress(OSError, ValueError):  # what is not found is not connected to, either
        async with asyncio.timeout(NAME_SECONDS):
            look_up = asyncio.get_running_loop().getaddrinfo
            for *_, place in await look_up(host, port, type=socket.SOCK_STREAM):
                address = version_4(str(place[0]))
                places.add((THIS_MACHINE if _is_this_machine(address) else address, port))
    return places


def _is_this_machine(address: str) -> bool:
    """Whether an address is one of this machine's own, such as 127.0.0.2 or 0.0.0.0: a socket can
    be bound to it.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError, ValueError), socket.socket(family, socket.SOCK_DGRAM) as one:
        one.bind((address, 0))
        return True
    return False


# looked at where nobody set one
USUAL_ADDRESSES = ("http://127.0.0.1:8188", "http://host.docker.internal:8188")


def administrators_endpoints(
    valves: Valves, image_settings: ImageSettings = NO_IMAGE_SETTINGS
) -> list[Endpoint]:
    """The servers for everybody, by the administrator's valve. If that is empty, those of Open
    WebUI's image settings where it has one for new pictures and another for edits, else guesses at
    where the one server may be; the valve's key goes to those that an administrator set elsewhere,
    but not to the usual addresses.

    Raises `BadArgument`.
    """
    transport = transport_of(valves)
    in_settings = image_endpoints(valves, image_settings)
    if valves.endpoint.strip():
        read = read_endpoints(valves.endpoint, valves.api_key)
        read = [_with_key_of(endpoint, in_settings) for endpoint in read]
        return [replace(endpoint, transport=transport) for endpoint in numbered(read)]
    if len(in_settings) > 1:
        return [replace(endpoint, transport=transport) for endpoint in numbered(in_settings)]
    endpoints = list(in_settings)
    variable = os.environ.get("COMFYUI_BASE_URL", "").strip()
    if variable:
        name = "The environment variable COMFYUI_BASE_URL"
        endpoint = Endpoint.parse(variable, valves.api_key, name)
        if endpoint.url not in [other.url for other in endpoints]:
            endpoints.insert(0, endpoint)
    known = {endpoint.url for endpoint in endpoints}
    endpoints += [Endpoint(url, unset=True) for url in USUAL_ADDRESSES if url not in known]
    return [replace(endpoint, guessed=True, transport=transport) for endpoint in endpoints]


def image_endpoints(valves: Valves, image_settings: ImageSettings) -> list[Endpoint]:
    """The servers of Open WebUI's image settings, each with its key there, if the valve holds none.
    Raises `BadArgument`.
    """
    endpoints: dict[str, Endpoint] = {}
    for url, key in image_settings.servers.items():
        endpoint = Endpoint.parse(url, valves.api_key, f"The ComfyUI address in {PAGE}")
        if key and not valves.api_key.strip():
            bearer = key if key.lower().startswith("bearer ") else f"Bearer {key}"
            endpoint = Endpoint.parse(url, bearer, f"The ComfyUI address in {PAGE}")
            endpoint = replace(endpoint, key_setting=f"the key in {PAGE}")
        endpoints.setdefault(endpoint.url, endpoint)
    return list(endpoints.values())


def _with_key_of(endpoint: Endpoint, others: Sequence[Endpoint]) -> Endpoint:
    """A server without a key with the one that Open WebUI's image settings have for it."""
    for other in others:
        if other.url == endpoint.url and not endpoint.auth:
            return replace(endpoint, auth=other.auth, key_setting=other.key_setting)
    return endpoint


# An address with or without a name before it: "fast = http://10.0.0.5:8188".
NAMED_ADDRESS = re.compile(r"(?:([^=:/]{1,60}?)\s*=\s*)?(.*)", re.DOTALL)


def read_endpoints(addresses: str, keys: str) -> list[Endpoint]:
    """The administrator's servers: addresses behind commas or one a line, each with a name before
    it ("fast = http://...") or not, and one key for all or one each in the same order, where an
    empty place is a server without a key.

    Raises `BadArgument`.
    """
    texts = [text.strip() for text in re.split(r"[,;\n]+", addresses) if text.strip()]
    if not texts:
        raise BadArgument(
            'The valve "ComfyUI address" holds no address.', "It looks like http://host:8188."
        )
    keys_in_order = _read_keys(keys, len(texts))
    endpoints = []
    for text, key in zip(texts, keys_in_order, strict=True):
        label, address = NAMED_ADDRESS.findall(text)[0]
        endpoint = Endpoint.parse(address, key, 'The valve "ComfyUI address"', label.strip())
        endpoints.append(endpoint)
    return list(dict.fromkeys(endpoints))


def numbered(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Several servers, each with a name: "ComfyUI 2" for the second one if it has none."""
    if len(endpoints) == 1:
        return list(endpoints)
    return [
        replace(endpoint, label=endpoint.label or f"{endpoint.name} {number}")
        for number, endpoint in enumerate(endpoints, 1)
    ]


# A key of several, with what separates it from the next one; an object of JSON is one, with all
# that is in it.
ONE_KEY = re.compile(r"((?:\{[^{}]*\}|[^,;\n])*)(?:[,;\n]|$)")


def _read_keys(keys: str, count: int) -> list[str]:
    """The keys of so many servers, in their order: "first,,third", or "one" for all. Raises
    `BadArgument`.
    """
    if count == 1:
        return [keys.strip()]
    text = keys.rstrip()
    read = [key[1].strip() for key in ONE_KEY.finditer(text)]
    if text and text[-1] not in ",;\n":
        read.pop()  # the end of the text is found once more
    if len(read) == 1:
        return read * count
    while len(read) > count and not read[-1]:
        read.pop()
    if len(read) != count:
        raise BadArgument(
            f'The valve "ComfyUI API key" holds {len(read)} keys for {count} addresses.',
            "Give one for all, or one each behind commas, in the order of the addresses.",
        )
    return read


def pinned(endpoints: list[Endpoint], name: str) -> list[Endpoint]:
    """The server of this name or address, as the user's valve names it, or all of them when it is
    empty. Raises `BadArgument`.
    """
    wanted = name.strip().lower()
    if not wanted:
        return endpoints
    for endpoint in endpoints:
        if wanted in (endpoint.name.lower(), urlsplit(endpoint.url).netloc, endpoint.url):
            return [endpoint]
    names = quoted(endpoint.name for endpoint in endpoints)
    raise BadArgument(
        f'Your valve "Server" is "{shortened(name)}", and no server has that name.',
        f"Tell the user to empty it, or to name one of: {names}.",
    )
