"""Why a server cannot be used, in words that lead to whoever can mend it and to what would help.

- `no_answer` tells of a request that failed: each kind of broken connection has a hint of its own
  (`connection_hint`), since a certificate that is not trusted is no reason to start ComfyUI.
- `forbidden` and `sent_on` tell of a proxy: that it wants a key, shows a page to log in, or leads
  elsewhere.
- `web_page` tells of a page where there should be data, `has_many_users` why a server does not list
  what is saved, and `too_large` whose limit a file is over.

No hint names the server's own address, also not where a hint names another one; the valve that
holds it is named.
"""

import re
import ssl
from urllib.parse import urljoin, urlsplit

import aiohttp

from ..errors import AccessRefused, LimitExceeded, ServerUnreachable, UnexpectedAnswer
from ..names import shortened
from .endpoint import Endpoint
from .protocol import Answer

OWN_COMPUTER = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # nosec B104 # names that are compared, not listened to
DOCKERS_HOST = "host.docker.internal"  # the computer on which Docker runs, as containers call it
USUAL_PORT = 8188  # ComfyUI's own, unless it is started with --port
# Numbers of OpenSSL for what is wrong with a certificate.
EXPIRED, OTHER_NAMES = 10, (62, 64)
# What stands in the address or on the page of a login. Only the beginning of a page is looked at.
LOGIN_ADDRESS = re.compile(
    r"log-?[io]n|sign-?[io]n|oauth|openid|saml|authelia|authentik|keycloak|cloudflareaccess|cdn-cgi/access"
    r"|(?:^|[./])(?:sso|auth|idp|accounts)\b",
    re.IGNORECASE,
)
LOGIN_PAGE = re.compile(rb"""type=["']?password|log ?in\b|sign ?in\b|anmelden""", re.IGNORECASE)
MOST_OF_PAGE = 20_000  # bytes of a page that are looked at


def no_answer(endpoint: Endpoint, error: Exception, seconds: float) -> ServerUnreachable:
    """The error for a request that failed, or that took longer than these seconds."""
    failed = unanswered(endpoint.name, error, seconds, connection_hint(error, endpoint))
    failed.at(endpoint.place)
    return failed


def unanswered(server: str, error: Exception, seconds: float, hint: str) -> ServerUnreachable:
    """The same for any server, by what people call it."""
    no_connection = isinstance(
        error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
    )
    if isinstance(error, TimeoutError) and not no_connection:
        return ServerUnreachable(f"{server} did not answer within {seconds:g} s.", hint)
    return ServerUnreachable(
        f"{server} does not answer ({connection_fault(error)}).", hint, no_connection
    )


def connection_fault(error: BaseException) -> str:
    """A connection error in a few words; the library's own text would repeat the address, or name
    internals.
    """
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name is not known"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _certificate_fault(error.certificate_error)
    if isinstance(error, aiohttp.ClientSSLError):
        return "it does not speak https"
    if _is_refused(error):
        return "connection refused"
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return "no connection"
    return "the connection broke off"


def _certificate_fault(error: Exception) -> str:
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else 0
    if code == EXPIRED:
        return "its certificate has expired"
    if code in OTHER_NAMES:
        return "its certificate is for another host name"
    return "its certificate is not trusted"


def _is_refused(error: BaseException) -> bool:
    return isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, ConnectionRefusedError
    )


def connection_hint(error: BaseException, endpoint: Endpoint) -> str:
    """What would help against a connection error."""
    host = urlsplit(endpoint.url).hostname or ""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _unknown_host_hint(host, endpoint.setting)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return (
            "A server runs there, and needs a certificate that the computer of Open WebUI trusts, for the host name "
            "by which it is called. For one that nobody else vouches for, the administrator's valve \"Certificate "
            'authority file" tells where it is.'
        )
    if isinstance(error, aiohttp.ClientSSLError):
        return f"The address in {endpoint.setting} probably has to begin with http:// instead of https://."
    if _is_refused(error):
        return _refused_hint(endpoint.url, endpoint.setting)
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return (
            "The computer of ComfyUI may be off or out of reach, or a firewall is in between; else "
            f"{endpoint.setting} has to be corrected."
        )
    if isinstance(error, TimeoutError):
        return "ComfyUI may be busy, or hang. Try once more in a minute; if it stays so, a person has to look at it."
    return (
        "Try once more in a minute. If it stays so, a person has to look: ComfyUI may have crashed, or the address in "
        f"{endpoint.setting} belongs to another program, or has to begin with https://."
    )


def _unknown_host_hint(host: str, setting: str) -> str:
    if host == DOCKERS_HOST:
        return (
            "Only Docker knows this name, and on Linux only for containers that were started with it (--add-host, or "
            f"extra_hosts in a compose file, with host-gateway). Else {setting} has to be corrected."
        )
    return (
        f"The host name in {setting} is misspelt, or not known where Open WebUI runs. In Docker, another container of "
        "the same network is known by the name of its service."
    )


def _refused_hint(url: str, setting: str) -> str:
    parts = urlsplit(url)
    no_port = ""
    if parts.port is None and parts.scheme == "http":
        no_port = f"The address names no port; ComfyUI's own is {USUAL_PORT}. "
    if parts.hostname in OWN_COMPUTER:
        outside = parts._replace(netloc=f"{DOCKERS_HOST}:{parts.port or USUAL_PORT}").geturl()
        return (
            f"{no_port}ComfyUI has to be started. Where Open WebUI runs in Docker, this address is its own container: "
            f"put {outside} into {setting}, and start ComfyUI with --listen."
        )
    if parts.hostname == DOCKERS_HOST:
        return (
            f"{no_port}ComfyUI has to be started, with --listen, so that Docker can reach it; "
            f"or {setting} has to be corrected."
        )
    return (
        f"{no_port}ComfyUI has to be started there, with --listen where it is another computer or container than Open "
        f"WebUI's; else {setting} has to be corrected."
    )


# What a proxy does in the place of ComfyUI.


def forbidden(endpoint: Endpoint, status: int) -> AccessRefused:
    """The error for a status 401, 403 or 407."""
    if status == 403 and not endpoint.cloud:
        refused = AccessRefused(
            f"{endpoint.name}, or a proxy in front of it, forbids this (HTTP 403).",
            f"A proxy may let only some addresses, paths or keys through; a key goes into {endpoint.key_setting}. "
            "Only a person can settle this.",
        )
    else:
        sent = "refused the API key" if endpoint.auth else "needs an API key, and none is set"
        hint = f"It goes into {endpoint.key_setting}; only a person can correct it."
        refused = AccessRefused(f"{endpoint.name} {sent} (HTTP {status}).", hint)
    refused.at(endpoint.place)
    return refused


def sent_on(endpoint: Endpoint, location: str) -> UnexpectedAnswer:
    """The error for an answer that leads elsewhere, which is not followed."""
    try:
        target = urlsplit(urljoin(f"{endpoint.url}/", location))
        origin = f"{target.scheme}://{target.netloc.rpartition('@')[2]}"  # without a password
    except ValueError:
        target = urlsplit("")
        origin = "an address that cannot be read"
    own = urlsplit(endpoint.url)
    path = ""
    if target.netloc == own.netloc:
        path = target.path  # a query may hold a token
    place = f"{endpoint.url} redirects to {shortened(origin + path, 200)}."
    if LOGIN_ADDRESS.search(f"{target.netloc}{target.path}"):
        return _login_page(endpoint, place)
    is_same = target.hostname == own.hostname
    if is_same and (own.scheme, target.scheme) == ("http", "https"):
        error = UnexpectedAnswer(
            f"{endpoint.name} wants to be called over https.",
            f"The address in {endpoint.setting} has to begin with https://.",
        )
    else:
        error = UnexpectedAnswer(
            f"{endpoint.name} redirects to another address, which is not followed.",
            f"If ComfyUI is really there, {endpoint.setting} has to name that address.",
        )
    error.at(place)
    return error


def _login_page(endpoint: Endpoint, place: str) -> UnexpectedAnswer:
    error = UnexpectedAnswer(
        f"A login page stands in front of {endpoint.name}.",
        "This tool cannot log in on a page. The proxy that shows it has to let Open WebUI through, by a key in "
        f'{endpoint.key_setting} or by its IP address; for ComfyUI-Login, write "login user:password" there. Only a '
        "person can settle this.",
    )
    error.at(place)
    return error


def web_page(endpoint: Endpoint, answer: Answer) -> UnexpectedAnswer | None:
    """The error for an answer that is a page for people, where there should be data; None for any
    other answer.
    """
    if answer.status != 200 or answer.content_type != "text/html":
        return None
    if LOGIN_PAGE.search(answer.body[:MOST_OF_PAGE]):
        return _login_page(endpoint, endpoint.place)
    error = UnexpectedAnswer(
        f"A web page answers at the address of {endpoint.name}, where ComfyUI sends data.",
        f"The address in {endpoint.setting} belongs to something else, or a proxy shows a page of its own there; a "
        "person has to look.",
    )
    error.at(endpoint.place)
    return error


def has_many_users(endpoint: Endpoint) -> UnexpectedAnswer:
    """The error of a server that keeps saved workflows for each of its own users, and was not told
    for whom to look.
    """
    error = UnexpectedAnswer(
        f"{endpoint.name} runs with --multi-user, so it has to be told for which of its users to look. Put the header "
        f'"comfy-user: ID" of one into {endpoint.key_setting}, or paste workflows into the valve "Workflows".'
    )
    error.at(endpoint.place)
    return error


def too_large(endpoint: Endpoint, answer: Answer, size: int) -> LimitExceeded:
    """The error for a file of this size that was refused with status 413. ComfyUI says so in a
    sentence of its own; a proxy, such as nginx, with a page.
    """
    megabytes = f"{size / 2**20:.0f} MB" if size >= 2**20 else f"{size / 2**10:.0f} kB"
    if b"Maximum request body size" in answer.body:
        whose, setting = endpoint.name, "ComfyUI's option --max-upload-size"
    else:
        whose = f"the proxy in front of {endpoint.name}"
        setting = "the proxy's own limit (in nginx, client_max_body_size)"
    return LimitExceeded(
        f"The file has {megabytes}, which is more than {whose} takes.",
        f"Give a smaller one. An administrator can raise {setting}.",
    )
