"""Open WebUI's own page in a real browser: what a person sees of a picture on its way.

::

    async with Browser(owui.url, user.token) as browser:
        await browser.chat("a fox in the snow")
        await browser.wait_for_status("50%")
        pictures = await browser.wait_for_pictures()
        await browser.screenshot("fox.png")

The browser reaches loopback addresses only; whatever else the page asks for fails and is listed in ``refused``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import urlsplit

from playwright.async_api import Browser as Chromium
from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, Playwright, Request, async_playwright

from tests.support import older_pages

CANDIDATES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = (
    "No Chromium found. Install one (Debian, Ubuntu: sudo apt-get install chromium), "
    "or set CHROMIUM to the path of one."
)
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
OPEN_SECONDS = 60.0  # the page is some megabytes of script, and a cold machine takes its time
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.05

# The page has few names to hold on to; these are of 0.12, and what 0.10 has in their place is in older_pages.
INPUT = "#chat-input"
ATTACHMENT = "input[type=file][multiple]"
ANSWER = ".chat-assistant"
STATUS_TOGGLE = 'button[aria-label="Toggle status history"]'
STATUS = ".status-description"
PICTURE = 'img[data-cy="image"]'
FILE = f"button.h-8.rounded-xl:has(.truncate.pr-1), {older_pages.FILE}"
FILE_NAME = f".truncate.pr-1, {older_pages.FILE_NAME}"
ATTACHED = '#message-input-container button[aria-label="Remove file" i]'
DIALOG = '[role="dialog"]'
SPINNER = ".animate-spin, .spinner_ajPY"
STOP = f'button[aria-label="Stop"], {older_pages.STOP}'
WHATS_NEW_CLOSE = "Okay, Let's Go!"

# The players of the last answer, then those of an open dialog.
PLAYERS = """(answer) => [
    ...[...document.querySelectorAll(answer)].slice(-1).map(place => ["message", place]),
    ...[...document.querySelectorAll('[role="dialog"]')].map(place => ["dialog", place]),
].flatMap(([where, place]) => [...place.querySelectorAll("video, audio")].map(element => ({where, element})))"""
PLAYED_SECONDS = 0.25  # what a player has to come forward to be one that plays
PLAY = """async ({answer, index, enough, patience}) => {
    const {element} = players(answer)[index];
    const pause = new Promise(resolve => setTimeout(resolve, patience));
    let refused = null;
    element.muted = true;
    await Promise.race([element.play().catch(error => { refused = String(error); }), pause]);
    const end = Date.now() + patience;
    while (!refused && element.currentTime < enough && !element.ended && Date.now() < end)
        await new Promise(resolve => setTimeout(resolve, 50));
    element.pause();
    return [element.currentTime, refused || (element.error && element.error.message) || ""];
}"""

T = TypeVar("T")


class BrowserError(Exception):
    """There is no browser, or the page did not show what was awaited."""


@dataclass(frozen=True)
class Picture:
    """One picture in the answer, as loaded."""

    address: str = field(repr=False)
    width: int
    height: int
    name: str

    @property
    def stored(self) -> bool:
        """Whether it is a file, and not a preview that came within an event."""
        return not self.address.startswith(("data:", "blob:"))


@dataclass(frozen=True)
class Player:
    """One video or sound that the page can play."""

    tag: str  # "video" or "audio"
    src: str
    where: str  # "message" or "dialog"
    ready_state: int  # from 1 on the duration and the size are known
    duration: float  # 0 as long as it is not known
    video_width: int
    error: str


def find_chromium() -> str | None:
    """The path of a Chromium, or None (then show ``MISSING``)."""
    if chosen := os.environ.get("CHROMIUM"):
        return shutil.which(chosen)
    return next((path for name in CANDIDATES if (path := shutil.which(name))), None)


class Browser:
    """A browser with one page, signed in; use it with ``async with``."""

    def __init__(self, url: str, token: str, *, width: int = 1280, height: int = 900, path: str = "/") -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.refused: list[str] = []
        self.errors: list[str] = []
        self._size = (width, height)
        self._path = path
        self._page: Page | None = None
        self._exits = contextlib.AsyncExitStack()

    @property
    def page(self) -> Page:
        """Playwright's page, for what has no method here."""
        if self._page is None:
            raise BrowserError("Open the browser with 'async with' first.")
        return self._page

    async def __aenter__(self) -> Self:
        executable = find_chromium()
        if not executable:
            raise BrowserError(MISSING)
        async with contextlib.AsyncExitStack() as exits:
            playwright = await exits.enter_async_context(async_playwright())
            chromium = await self._launch(playwright, executable)
            exits.push_async_callback(_bounded, chromium.close)
            context = await self._sign_in(chromium)
            self._page = await context.new_page()
            self._page.on("request", self._watch_request)
            self._page.on("console", self._watch_console)
            self._page.on("pageerror", lambda error: self.errors.append(str(error)))
            # An administrator's first visit opens what is new in this release; the dialog lies over everything.
            close = self._page.get_by_role("button", name=WHATS_NEW_CLOSE)
            await self._page.add_locator_handler(close, lambda button: button.click(timeout=5000))
            await self.open(self._path)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    # Going somewhere

    async def open(self, path: str = "/") -> None:
        """Open a page of Open WebUI, and wait until one can write into it."""
        await self.page.goto(self.url + path, timeout=OPEN_SECONDS * 1000)
        await self._settle()

    async def reload(self) -> None:
        """Load the page anew, as F5 does."""
        await self.page.reload(timeout=OPEN_SECONDS * 1000)
        await self._settle()

    # Talking

    async def chat(self, text: str, *, attach: Path | str | Sequence[Path | str] | None = None) -> None:
        """Write a message, with files if wanted, and send it; returns when it stands in the chat."""
        before = await self.page.locator(ANSWER).count()
        if attach:
            paths = [attach] if isinstance(attach, (Path, str)) else attach
            await self.page.locator(ATTACHMENT).first.set_input_files([str(path) for path in paths])

            async def attached() -> bool:
                """Whether all stand above the input, uploaded."""
                waiting = await self.page.locator("#message-input-container").locator(SPINNER).count()
                return not waiting and await self.page.locator(ATTACHED).count() == len(paths)

            await self._until(attached, "the attached files did not arrive", WAIT_SECONDS)
        await self.page.locator(INPUT).click(timeout=WAIT_SECONDS * 1000)
        await self.page.keyboard.insert_text(text)
        await self.page.keyboard.press("Enter")

        async def answered() -> bool:
            return await self.page.locator(ANSWER).count() > before

        await self._until(answered, "the message was not sent", WAIT_SECONDS)

    async def stop(self) -> None:
        """Press the Stop button."""
        await self.page.locator(STOP).click(timeout=WAIT_SECONDS * 1000)

    async def wait_until_done(self, timeout: float = WAIT_SECONDS) -> None:
        """Wait until the answer is complete: the Stop button has gone."""

        async def idle() -> bool:
            return await self.page.locator(STOP).count() == 0 and await self.page.locator(ANSWER).count() > 0

        # The button appears a moment after the message was sent.
        with contextlib.suppress(Exception):
            await self.page.locator(STOP).wait_for(state="visible", timeout=1000)
        await self._until(idle, "the answer did not end", timeout)

    # Looking

    async def text(self) -> str:
        """All that stands in the last answer."""
        return (await self._answer().inner_text(timeout=5000)).strip()

    async def status(self) -> str:
        """The status line over the last answer, or nothing."""
        line = self._answer().locator(STATUS_TOGGLE).locator(STATUS)
        return (await line.first.inner_text(timeout=5000)).strip() if await line.count() else ""

    async def status_list(self) -> list[str]:
        """All status lines of the last answer, oldest first, as they stand there when one unfolds them."""
        toggle = self._answer().locator(STATUS_TOGGLE)
        if not await toggle.count():
            return []
        folded = await toggle.get_attribute("aria-expanded") != "true"
        if folded:
            await toggle.click(timeout=5000)
        lines = [line.strip() for line in await self._answer().locator(STATUS).all_inner_texts()]
        if folded:
            await toggle.click(timeout=5000)
        # The first is the heading, which repeats the last; a single one is not listed again below it.
        return lines[1:] or lines

    async def wait_for_status(self, text: str | re.Pattern[str], timeout: float = WAIT_SECONDS) -> str:
        """Wait for a status line that contains the text (or in which the pattern is found); returns that line."""
        pattern = re.compile(re.escape(text)) if isinstance(text, str) else text

        async def shown() -> str:
            line = await self.status()
            return line if pattern.search(line) else ""

        return await self._until(shown, f"no status like {pattern.pattern!r}", timeout)

    async def pictures(self) -> list[Picture]:
        """The pictures in the last answer that are loaded, in order."""
        return [picture for picture in await self._all_pictures() if picture.width]

    async def count_pictures(self) -> int:
        """How many pictures the last answer has, loaded or not."""
        return await self._answer().locator(PICTURE).count() if await self.page.locator(ANSWER).count() else 0

    async def wait_for_preview(self, timeout: float = WAIT_SECONDS) -> Picture:
        """Wait for a preview on the page."""

        async def preview() -> Picture | None:
            return next((picture for picture in await self.pictures() if not picture.stored), None)

        return await self._until(preview, "no preview", timeout)

    async def wait_for_pictures(self, count: int = 1, timeout: float = WAIT_SECONDS) -> list[Picture]:
        """Wait until the last answer shows exactly so many pictures, all of them files, all loaded."""

        async def complete() -> list[Picture]:
            pictures = await self._all_pictures()
            ready = len(pictures) == count and all(picture.stored and picture.width for picture in pictures)
            return pictures if ready else []

        return await self._until(complete, f"not exactly {count} loaded picture(s)", timeout)

    # Files and players

    async def files(self) -> list[str]:
        """The names of the files in the last answer that are no pictures, in order."""
        names = self._answer().locator(FILE).locator(FILE_NAME)
        return [name.strip() for name in await names.all_inner_texts()]

    async def open_file(self, name: str, *, preview: bool = False) -> str:
        """Open the dialog of a file in the last answer, on its other tab if wanted; returns what it says."""
        label = self.page.locator(FILE_NAME).get_by_text(name, exact=True)
        await self._answer().locator(FILE).filter(has=label).first.click(timeout=WAIT_SECONDS * 1000)
        dialog = self.page.locator(DIALOG)

        async def loaded() -> bool:
            return name in await dialog.inner_text(timeout=5000) and not await dialog.locator(SPINNER).count()

        await dialog.wait_for(state="visible", timeout=WAIT_SECONDS * 1000)
        await self._until(loaded, f"the file {name} was not loaded", WAIT_SECONDS)
        if preview:
            await dialog.get_by_role("button", name="Preview", exact=True).click(timeout=5000)
        return (await dialog.inner_text(timeout=5000)).strip()

    async def close_file(self) -> None:
        """Close the dialog by its key; its button has no name before 0.12."""
        await self.page.keyboard.press("Escape")
        await self.page.locator(DIALOG).wait_for(state="detached", timeout=5000)

    async def players(self) -> list[Player]:
        """The players of the last answer and then those of an open dialog, in order."""
        found = await self.page.evaluate(
            f"""answer => ({PLAYERS})(answer).map(({{where, element}}) => ({{
                tag: element.localName, src: element.getAttribute("src") || "", where,
                ready_state: element.readyState, duration: element.duration || 0,
                video_width: element.videoWidth || 0, error: element.error ? element.error.message : ""}}))""",
            ANSWER,
        )
        return [Player(**player) for player in found]

    async def wait_for_players(self, count: int = 1, timeout: float = WAIT_SECONDS) -> list[Player]:
        """Wait until there are exactly so many players, all of which know how long they last."""

        async def complete() -> list[Player]:
            players = await self.players()
            return players if len(players) == count and all(player.duration for player in players) else []

        return await self._until(complete, f"not exactly {count} player(s) with something to play", timeout)

    async def play(self, index: int = 0, timeout: float = 5.0) -> float:
        """Play one of `players` for a moment, muted; returns how many seconds it came, and raises if none."""
        player = (await self.players())[index]
        script = f"options => {{ const players = {PLAYERS}; return ({PLAY})(options); }}"
        options = {"answer": ANSWER, "index": index, "enough": PLAYED_SECONDS, "patience": timeout * 1000}
        seconds, error = await self.page.evaluate(script, options)
        if not seconds or error:
            raise BrowserError(f"The player {player} did not move. {error}")
        return float(seconds)

    async def wait_for_diagram(self, timeout: float = WAIT_SECONDS) -> str:
        """Wait until the last answer shows a drawn diagram; the texts in it."""

        async def drawn() -> str:
            diagram = self._answer().locator("svg[aria-roledescription^=flowchart]")
            return await diagram.first.text_content() or "" if await diagram.count() else ""

        return await self._until(drawn, "no diagram", timeout)

    async def screenshot(self, path: Path | str) -> Path:
        """Save what the window shows."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=str(path), timeout=30_000)
        return path

    # How it is done

    async def _launch(self, playwright: Playwright, executable: str) -> Chromium:
        return await playwright.chromium.launch(
            executable_path=executable, headless=True, chromium_sandbox=False, args=list(FLAGS), timeout=60_000
        )

    async def _sign_in(self, chromium: Chromium) -> BrowserContext:
        width, height = self._size
        context = await chromium.new_context(viewport={"width": width, "height": height}, locale="en-US")
        # The page reads its token from the local storage; pictures are fetched with the cookie.
        await context.add_cookies([{"name": "token", "value": self.token, "url": self.url}])
        await context.add_init_script(f"localStorage.token = {self.token!r}; localStorage.locale = 'en-US';")
        return context

    async def _settle(self) -> None:
        await self.page.locator(INPUT).wait_for(state="visible", timeout=OPEN_SECONDS * 1000)
        answer = await self.page.request.get(f"{self.url}/api/version", timeout=WAIT_SECONDS * 1000)
        if older_pages.shows_its_input_early(older_pages.parsed((await answer.json())["version"])):
            await self.page.wait_for_load_state("networkidle", timeout=WAIT_SECONDS * 1000)

    def _answer(self) -> Locator:
        return self.page.locator(ANSWER).last

    async def _all_pictures(self) -> list[Picture]:
        if not await self.page.locator(ANSWER).count():
            return []
        found = await self._answer().evaluate(
            """(answer, selector) => [...answer.querySelectorAll(selector)].map(image => (
                {address: image.getAttribute('src') || '', width: image.complete ? image.naturalWidth : 0,
                 height: image.complete ? image.naturalHeight : 0, name: image.alt}))""",
            PICTURE,
        )
        return [Picture(**picture) for picture in found]

    async def _until(self, look: Callable[[], Awaitable[T | None]], complaint: str, timeout: float) -> T:
        """Look again and again until there is something; the page itself offers no event for most of this."""
        try:
            async with asyncio.timeout(timeout):
                while not (found := await look()):
                    await asyncio.sleep(POLL_SECONDS)
                return found
        except TimeoutError:
            shown = "nothing"
            with contextlib.suppress(Exception):
                shown = await self.text()
            raise BrowserError(f"Within {timeout:g} s {complaint}. The last answer shows:\n{shown}") from None

    def _watch_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.hostname not in ("127.0.0.1", "localhost"):
            self.refused.append(request.url)

    def _watch_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)


async def _bounded(close: Callable[[], Awaitable[None]]) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(close(), 20)
