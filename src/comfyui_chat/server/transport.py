"""How connections to a server are made: which addresses they may lead to, whose certificates count,
by which proxy.

A `Transport` belongs to an endpoint. Where users may enter an address of their own, its `reach`
says which addresses that may be, and `downloads` which ones a server may send a download on to.
What is judged is the address that is connected to, at the moment a socket is made for it
(`guarded_sockets`): after names were resolved, however the address was written, and without a
second look-up in between that could say something else.

Link-local addresses, and those at which clouds tell machines their secrets, are never connected to
where a `Reach` judges. An administrator's own addresses are not judged.
"""

import asyncio
import functools
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from ..errors import BadArgument

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# At which clouds tell a machine its secrets, besides link-local addresses: AWS, Alibaba, Azure,
# Oracle.
METADATA = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)
# Networks of version 6 that carry an address of version 4 in their last bits.
LAST_BITS = tuple(
    map(
        ipaddress.IPv6Network,
        ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"),
    )
)
NOT_ALLOWED = "this address may not be connected to"


class ForbiddenAddress(OSError):
    """The address that would be connected to is not allowed."""

    def __init__(self) -> None:
        super().__init__(NOT_ALLOWED)


@dataclass(frozen=True)
class Reach:
    """Which addresses may be connected to: `kind` is "any", "public", or "listed", which means
    these `origins` only.
    """

    kind: str
    origins: frozenset[str] = frozenset()

    def allows_url(self, url: str) -> bool:
        """Whether an address may be, as far as its text tells."""
        return self.kind != "listed" or origin_of(url) in self.origins

    def allows(self, address: str) -> bool:
        """Whether a socket may be made for an address by numbers."""
        try:
            ip = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        if ip.is_link_local or ip.is_multicast or ip in METADATA:
            return False
        if self.kind != "public":
            return True
        is_site_local = isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local
        return ip.is_global and not is_site_local


ANY = Reach("any")
PUBLIC = Reach("public")


def _unwrapped(ip: Address) -> Address:
    """The address of version 4 that one of version 6 stands for, or the address itself."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip.sixtofour:
        return ip.sixtofour
    if ip.teredo:
        return ip.teredo[1]
    is_none_or_itself = int(ip) < 2  # "::" and "::1"
    if not is_none_or_itself and any(ip in network for network in LAST_BITS):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


def version_4(address: str) -> str:
    """An address by numbers, of version 4 where one of version 6 stands for such a one."""
    return str(_unwrapped(ipaddress.ip_address(address.partition("%")[0])))


def origin_of(url: str) -> str:
    """An address's scheme, host and port."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{parts.hostname}:{port}"


@dataclass(frozen=True)
class Transport:
    """How connections to one server are made. `reach` is None where any address will do; `tls` is
    the context by which certificates are checked, True for the usual one and False for no check;
    `by_proxy` has the environment's proxy used where it names one.
    """

    reach: Reach | None = None
    downloads: Reach = PUBLIC
    tls: ssl.SSLContext | bool = True
    by_proxy: bool = False

    def proxy_for(self, url: str) -> str | None:
        """The proxy of the environment for an address, None where there is none, or none is
        wanted.
        """
        parts = urlsplit(url)
        if not self.by_proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
            return None
        proxies = getproxies()
        return proxies.get(parts.scheme) or proxies.get("all")


def guarded_sockets(reach: Reach) -> Callable[[Any], socket.socket]:
    """What aiohttp asks for each socket. Raises `ForbiddenAddress` where the address is not within
    reach.
    """

    def make(address: Any) -> socket.socket:
        family, kind, protocol, _, place = address
        if not reach.allows(str(place[0])):
            raise ForbiddenAddress
        return socket.socket(family, kind, protocol)

    return make


async def check_reach(url: URL, reach: Reach) -> None:
    """Judge where an address leads that a proxy is going to connect to. Raises `ForbiddenAddress`,
    and `OSError` where its name is not known.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    if not all(reach.allows(str(place[0])) for *_, place in found):
        raise ForbiddenAddress


def read_reach(text: str) -> Reach | None:
    """What the administrator's valve says: "public", "any", or origins behind commas or spaces;
    None where it is none of them.
    """
    word = text.strip().lower()
    if word in ("any", "public"):
        return Reach(word)
    origins = [part for part in re.split(r"[\s,;]+", word) if part]
    if not origins or not all(re.match(r"https?://[^/@]+/?$", origin) for origin in origins):
        return None
    try:
        return Reach("listed", frozenset(map(origin_of, origins)))
    except ValueError:
        return None


def tls_context(ca_file: str, usual: ssl.SSLContext | bool = True) -> ssl.SSLContext | bool:
    """The context in which the certificates of a file count besides the system's; without one, the
    `usual` one. Blocks. Raises `BadArgument`.
    """
    if not ca_file:
        return usual
    try:
        changed = os.stat(ca_file).st_mtime_ns
        return _context_of(ca_file, changed)
    except (OSError, ValueError):  # ssl's own errors are of the first kind
        raise BadArgument(
            'The valve "Certificate authority file" names no file with certificates.',
            "It is the path of a PEM file on Open WebUI's machine.",
        ) from None


@functools.lru_cache(maxsize=8)
def _context_of(path: str, changed: int) -> ssl.SSLContext:
    """One context for each state of a file, so that connections are kept from one call to the
    next.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(path)
    return context
