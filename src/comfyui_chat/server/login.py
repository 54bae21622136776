"""The form of ComfyUI-Login, filled in for its cookie.

A browser that logs in at `/login` gets a cookie, which opens all routes and the websocket until the
server's key is renewed. `LoginForm` holds that cookie for one server. `enter` gets it before the
first request, and again when a request was refused with it; those who need it at the same time
share one attempt.

ComfyUI-Login answers a form with 302 whether or not the password is right: to "/" with a cookie, or
to "/login?wrong_password=1" without one.
"""

import asyncio
from http.cookies import Morsel

import aiohttp

from ..errors import AccessRefused
from ..tasks import ANSWER_SECONDS

MOST_COOKIES = 20
MOST_COOKIE_CHARACTERS = 8000


class LoginForm:
    """The login of one user name and password at one server."""

    def __init__(self, url: str, user_name: str, password: str) -> None:
        self._url = url
        self._fields = {"username": user_name, "password": password}
        self._cookies: dict[str, str] = {}
        self._entering = asyncio.Lock()

    @property
    def header(self) -> str:
        """The header "Cookie" of every request; "" before the login."""
        return "; ".join(f"{name}={value}" for name, value in self._cookies.items())

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nobody may be shown."""
        return tuple(self._cookies.values())

    async def enter(
        self, session: aiohttp.ClientSession, refused: str = "", proxy: str | None = None
    ) -> None:
        """Log in, unless that is done; with the header that was `refused`, unless another one is
        there by now. Raises `AccessRefused` when the server does not take the user name and
        password, and what aiohttp raises.
        """
        async with self._entering:
            if self._cookies and self.header != refused:
                return
            self._cookies = {}
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await session.post(
                    f"{self._url}/login", data=self._fields, allow_redirects=False, proxy=proxy
                )
                async with answer:
                    cookies = [*answer.cookies.values()][:MOST_COOKIES]
            if answer.status >= 400 or not any(map(_is_set, cookies)):
                raise AccessRefused(
                    "The login form of the server does not take the user name and password."
                )
            self._cookies = {cookie.key: cookie.value for cookie in cookies if _is_set(cookie)}


def _is_set(cookie: "Morsel[str]") -> bool:
    """Whether a cookie is one to send back, and not one that is taken away."""
    return bool(cookie.value) and len(cookie.value) <= MOST_COOKIE_CHARACTERS
