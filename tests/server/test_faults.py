"""What is said of a server that cannot be used leads to what would help, and nowhere else: real connections that fail
in each way, and a proxy that answers as nginx, Cloudflare and pages to log in do."""

import asyncio
import contextlib
import datetime
import errno
import ipaddress
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import comfyui_tool as tool
from tests.support.ports import kept_port
from tests.support.serving import serving

START, LISTEN, DOCKER = "has to be started", "--listen", "host.docker.internal"


async def failure(url: str, **about: str) -> tool.ComfyUIError:
    """How a question to a server at this address fails."""
    endpoint = tool.Endpoint.parse(url, about.get("key", ""), 'The valve "ComfyUI address"')
    async with tool.open_server(endpoint) as server:
        with pytest.raises(tool.ComfyUIError) as raised:
            await server.stats()
    await tool.close_servers()
    return raised.value


# --- connections that cannot be made ---


@dataclass(frozen=True)
class Told:
    """What an error has to say, and what would lead the wrong way."""

    message: str
    hints: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_refused_connection_to_the_own_computer_tells_of_docker(host: str) -> None:
    with kept_port() as kept:
        port = kept.getsockname()[1]
        error = await failure(f"http://{host}:{port}/comfy")
    assert error.message == "ComfyUI does not answer (connection refused)."
    outside = f"http://{DOCKER}:{port}/comfy"
    assert all(words in error.hint for words in (START, LISTEN, outside, 'the valve "ComfyUI address"'))


@pytest.mark.parametrize(
    ("url", "is_told"),
    [("http://gpu", True), ("http://127.0.0.1", True), ("http://gpu:8000", False), ("https://gpu", False)],
)
def test_an_address_without_a_port_is_told_comfyuis_own(url: str, is_told: bool) -> None:
    reason = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    refused = aiohttp.ClientConnectorError(SimpleNamespace(), reason)  # type: ignore[arg-type]
    assert ("names no port" in tool.connection_hint(refused, tool.Endpoint.parse(url))) == is_told


async def test_a_refused_connection_to_another_computer_tells_how_comfyui_is_reached() -> None:
    with kept_port("127.0.0.2") as kept:
        error = await failure(f"http://127.0.0.2:{kept.getsockname()[1]}")
    assert error.message == "ComfyUI does not answer (connection refused)."
    assert START in error.hint
    assert LISTEN in error.hint
    assert DOCKER not in error.hint


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://no-such-host.invalid:8188", "misspelt"),
        ("http://host.docker.internal:8188", "extra_hosts"),
    ],
)
async def test_a_host_that_nobody_knows_is_a_matter_of_its_name(url: str, words: str) -> None:
    error = await failure(url)
    assert error.message == "ComfyUI does not answer (the host name is not known)."
    assert words in error.hint
    assert START not in error.hint


def certificate(folder: Path, name: str, days: int) -> ssl.SSLContext:
    """A certificate that was signed by itself, for a name and from today on so many days."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    alternative = x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=90))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(serialization.Encoding.PEM)
    (folder / "cert.pem").write_bytes(pem)
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@contextlib.asynccontextmanager
async def https(context: ssl.SSLContext) -> AsyncIterator[str]:
    """A server that speaks https with this certificate; its address."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


CERTIFICATES = {
    "nobody vouches for it": ("127.0.0.1", 30, False, "its certificate is not trusted"),
    "it has expired": ("127.0.0.1", -30, True, "its certificate has expired"),
    "it is for another host": ("comfy.example", 30, True, "its certificate is for another host name"),
}


@pytest.mark.parametrize("case", CERTIFICATES)
async def test_a_certificate_that_is_refused_is_no_reason_to_start_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    name, days, trusted, fault = CERTIFICATES[case]
    context = certificate(tmp_path, name, days)
    if trusted:
        trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
    async with https(context) as url:
        error = await failure(url)
    assert error.message == f"ComfyUI does not answer ({fault})."
    assert "certificate" in error.hint
    assert START not in error.hint


async def test_https_where_http_is_spoken_is_a_matter_of_the_address() -> None:
    async def anything(_: web.Request) -> web.Response:
        return web.Response()

    async with serving("/{path:.*}", anything) as url:
        error = await failure(url.replace("http:", "https:"))
    assert error.message == "ComfyUI does not answer (it does not speak https)."
    assert "http:// instead of https://" in error.hint


async def test_a_connection_that_breaks_off_may_be_of_another_program() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        error = await failure(f"http://127.0.0.1:{port}")
    assert error.message == "ComfyUI does not answer (the connection broke off)."
    assert "https://" in error.hint


# --- what a proxy answers in the place of ComfyUI ---

NGINX = (
    "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr><center>nginx</center></body></html>"
)
AUTHELIA = '<!DOCTYPE html><html><body><form><input name="user"><input type="password"></form></body></html>'
PARKED = "<!DOCTYPE html><html><body>It works!</body></html>"


@dataclass(frozen=True)
class Proxy:
    """How a proxy answers everything, and what is to be said of it."""

    status: int
    told: Told
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    key: str = ""


KEY_VALVE = 'the valve "ComfyUI API key"'
PROXIES = {
    "401 without a key": Proxy(401, Told("ComfyUI needs an API key, and none is set (HTTP 401).", (KEY_VALVE,))),
    "401 with a key": Proxy(401, Told("ComfyUI refused the API key (HTTP 401).", (KEY_VALVE,)), key="abc"),
    "nginx forbids it": Proxy(
        403,
        Told(
            "ComfyUI, or a proxy in front of it, forbids this (HTTP 403).",
            ("addresses, paths or keys", KEY_VALVE),
            ("missing or wrong",),
        ),
        NGINX.format("403 Forbidden"),
    ),
    "nginx has nothing behind it": Proxy(
        502,
        Told("The proxy in front of ComfyUI answers 502: it reaches nothing behind it.", (START, "the proxy told")),
        NGINX.format("502 Bad Gateway"),
    ),
    "a login on another host": Proxy(
        302,
        Told("A login page stands in front of ComfyUI.", ("cannot", KEY_VALVE), ("redirects",)),
        headers=(("Location", "https://auth.example.org/?rd=https://comfy.example.org/system_stats"),),
    ),
    "a login on the same host": Proxy(
        303,
        Told("A login page stands in front of ComfyUI.", (KEY_VALVE,), ("redirects",)),
        headers=(("Location", "/login?next=/system_stats"),),
    ),
    "a login page with status 200": Proxy(
        200,
        Told("A login page stands in front of ComfyUI.", (KEY_VALVE,)),
        AUTHELIA,
        (("Content-Type", "text/html"),),
    ),
    "a page of something else": Proxy(
        200,
        Told(
            "A web page answers at the address of ComfyUI, where ComfyUI sends data.",
            ('the valve "ComfyUI address"',),
        ),
        PARKED,
        (("Content-Type", "text/html"),),
    ),
    "another path": Proxy(
        301,
        Told("ComfyUI redirects to another address, which is not followed.", ('the valve "ComfyUI address"',)),
        headers=(("Location", "/comfy/system_stats"),),
    ),
}


@pytest.mark.parametrize("proxy", PROXIES.values(), ids=PROXIES)
async def test_what_a_proxy_does_is_told_as_the_proxys(proxy: Proxy) -> None:
    async def answer(_: web.Request) -> web.Response:
        headers = {"Content-Type": "text/html", **dict(proxy.headers)}
        return web.Response(status=proxy.status, text=proxy.body, headers=headers)

    async with serving("/{path:.*}", answer) as url:
        error = await failure(url, key=proxy.key)
    assert error.message == proxy.told.message
    assert all(words in error.hint for words in proxy.told.hints)
    assert not any(words in f"{error.message} {error.hint}" for words in proxy.told.never)
    assert url not in f"{error.message} {error.hint}"


async def test_a_server_that_wants_https_is_told_as_one() -> None:
    async def to_https(request: web.Request) -> web.Response:
        raise web.HTTPMovedPermanently(f"https://{request.host}{request.path_qs}")

    async with serving("/{path:.*}", to_https) as url:
        error = await failure(url)
    assert error.message == "ComfyUI wants to be called over https."
    assert "https://" in error.hint


async def test_a_server_of_many_users_is_told_as_one() -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/users":
            return web.json_response({"storage": "server", "users": {}})
        if request.headers.get("comfy-user") == "ann_1":
            return web.json_response([{"path": "fox.json"}])
        return web.Response(status=500, text="500 Internal Server Error\n\nServer got itself in trouble")

    async with serving("/{path:.*}", answer) as url:
        for key, names in (("", []), ("comfy-user: ann_1", ["fox"])):
            async with tool.open_server(tool.Endpoint.parse(url, key)) as server:
                listing = await tool.Catalogue().entries(server)
            assert [entry.name for entry in listing.entries if entry.source == "server"] == names
            told = [problem for problem in listing.problems if "--multi-user" in problem]
            assert len(told) == (0 if names else 1)
    await tool.close_servers()


TOO_LARGE = {
    "ComfyUI": ("Maximum request body size 104857600 exceeded.", "ComfyUI takes", "--max-upload-size"),
    "nginx": (
        NGINX.format("413 Request Entity Too Large"),
        "the proxy in front of ComfyUI takes",
        "client_max_body_size",
    ),
    "Cloudflare": (
        "<html><title>413 Payload Too Large</title></html>",
        "the proxy in front of ComfyUI takes",
        "the proxy's",
    ),
}


@pytest.mark.parametrize("who", TOO_LARGE)
async def test_a_file_that_is_too_large_is_over_the_limit_of_whoever_refused_it(who: str) -> None:
    body, whose, setting = TOO_LARGE[who]

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=404 if request.method == "HEAD" else 413, text=body)

    file = tool.InputFile(b"x" * 3_000_000, "png")
    async with serving("/{path:.*}", refuse) as url, tool.open_server(tool.Endpoint(url)) as server:
        with pytest.raises(tool.LimitExceeded) as raised:
            await server.upload(file)
    await tool.close_servers()
    assert raised.value.message == f"The file has 3 MB, which is more than {whose}."
    assert setting in raised.value.hint


# --- whose valve it is ---


def test_an_error_names_the_valve_that_the_address_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_BASE_URL", "http://comfy:8188")
    guessed = tool.administrators_endpoints(
        tool.Valves(), tool.ImageSettings(tool.PictureSettings(url="http://images:8188"))
    )
    named = tool.administrators_endpoints(tool.Valves(endpoint="http://gpu:8188"))
    own = tool.resolve(
        tool.Valves(allow_user_endpoints=True), {"role": "user", "valves": {"endpoint": "http://mine:8188"}}
    )
    assert [endpoint.setting for endpoint in [*guessed[:3], *named, *own.endpoints]] == [
        "the environment variable COMFYUI_BASE_URL",
        "the ComfyUI address in Open WebUI's image settings",
        'the valve "ComfyUI address"',
        'the valve "ComfyUI address"',
        'the user\'s valve "Your ComfyUI address"',
    ]
    assert own.endpoints[0].key_setting == 'the user\'s valve "API key for your address"'
