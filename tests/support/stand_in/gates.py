"""What people put before a ComfyUI so that not everybody may use it. A `Gate` looks at each request first: what it
answers is the answer, and None lets the request pass."""

import base64
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

Gate = Callable[[web.Request], Awaitable[web.Response | None]]


def header_gate(name: str, value: str) -> Gate:
    """Who sends this header may pass, as at a proxy."""

    async def gate(request: web.Request) -> web.Response | None:
        return None if request.headers.get(name) == value else web.Response(status=401, text="401: Unauthorized")

    return gate


def basic_gate(user_name: str, password: str) -> Gate:
    """nginx with `auth_basic`."""
    return header_gate("Authorization", "Basic " + base64.b64encode(f"{user_name}:{password}".encode()).decode())


def query_gate(name: str, value: str) -> Gate:
    """A proxy that wants a token in every address."""

    async def gate(request: web.Request) -> web.Response | None:
        return None if request.query.get(name) == value else web.Response(status=403)

    return gate


def path_gate(prefix: str) -> Gate:
    """A proxy that forwards only what is below this path."""

    async def gate(request: web.Request) -> web.Response | None:
        return None if request.path.startswith(prefix) else web.Response(status=404, text="no such location")

    return gate


class LoginGate:
    """ComfyUI-Login, as its source at commit 6910925 has it: a form that sets a cookie, or its token as a bearer or in
    the address. `logins` are the passwords that were entered."""

    def __init__(self, password: str, token: str) -> None:
        self._password = password
        self._token = token
        self.logins: list[str] = []
        self.cookie = ""

    def renew(self) -> None:
        """Forget who has logged in, as it does when its key is renewed."""
        self.cookie = ""

    async def __call__(self, request: web.Request) -> web.Response | None:
        if request.path == "/login" and request.method == "POST":
            return await self._log_in(request)
        authorization = request.headers.get("Authorization")
        if self.cookie and request.cookies.get("AIOHTTP_SESSION") == self.cookie:
            return None
        if authorization:
            scheme, token = authorization.split()
            if (scheme, token) == ("Bearer", self._token):
                return None
        if request.query.get("token") == self._token:
            return None
        if "text/html" in request.headers.get("Accept", ""):
            return web.Response(status=302, headers={"Location": "/login"})
        return web.json_response({"error": "Authentication required."}, status=401)

    async def _log_in(self, request: web.Request) -> web.Response:
        password = str((await request.post()).get("password"))
        self.logins.append(password)
        if password != self._password:
            return web.Response(status=302, headers={"Location": "/login?wrong_password=1"})
        self.cookie = secrets.token_urlsafe(60)
        answer = web.Response(status=302, headers={"Location": "/"})
        answer.set_cookie("AIOHTTP_SESSION", self.cookie, httponly=True)
        return answer
