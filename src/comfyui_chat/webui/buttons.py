"""Buttons under a result, which write the message that a person would.

`buttons_page` makes a small page of constant text and the numbers of the pictures. Open WebUI shows
it in a frame below them, which may run scripts and nothing else: it has no cookies and asks no
server for anything. A button hands a sentence to Open WebUI's own page, "Make picture 3 twice as
large.", and that page asks the user before it sends it; "Change picture 3: " only begins a message.
So every model understands a button as it understands its user, and nothing is sent that nobody has
read.

A button is there if a bundled workflow can do its task with what is installed (`possible_tasks`).
Only the newest result of a chat has buttons; `Chat.show_buttons` takes earlier ones away.

Open WebUI's page takes sentences from such a frame since 0.11.4 (read in its bundle; 0.10.2 does
not), and keeps frames in the chats that are in its database.
"""

import asyncio
import contextlib
import json
import time
import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..catalogue.entries import bundled_entries
from ..catalogue.workflow_list import CANNOT_RUN, look_into
from ..errors import ComfyUIError
from ..phrases import Phrase
from ..server.client import ComfyUIServer
from ..server.endpoint import Endpoint
from ..server.pool import open_server
from ..status_texts import ENGLISH

BUTTONS_MARK = "comfyui-tool-buttons"  # in the page, by which it is known again
MOST_PICTURES_CHOSEN = 12  # of a result, that the buttons can be about
# to find out what the servers can do; a button of which that is unknown is not shown
LOOK_SECONDS = 3.0
LOOK_AFTER = 0.2  # seconds after the beginning of a call: its job is posted then
REMEMBERED_SECONDS = 60.0  # for which it is not found out again what a server can do
# what servers can do of `BUTTON_TASKS`, and until when that counts, by `time.monotonic`
_FOUND = weakref.WeakKeyDictionary[ComfyUIServer, tuple[float, frozenset[str]]]()


@dataclass(frozen=True)
class Button:
    """A button: the names of what stands on it, and of the message that it writes, in which "#" is
    the number of the picture.
    """

    label: str
    message: str
    tasks: tuple[str, ...] = ()  # of which one has to be possible; none for what is always so
    sends: bool = True  # else the user writes the rest of the message


PICTURE_BUTTONS = (
    Button("button_again", "ask_again"),
    Button("button_vary", "ask_vary", ("image_to_image", "image_edit")),
    Button("button_larger", "ask_larger", ("upscale",)),
    Button("button_change", "ask_change", ("image_edit", "image_to_image"), sends=False),
    Button("button_video", "ask_video", ("image_to_video",)),
)
OTHER_BUTTONS = (Button("button_again", "ask_once_more"),)
BUTTON_TASKS = tuple({task: None for button in PICTURE_BUTTONS for task in button.tasks})


async def possible_tasks(endpoints: Sequence[Endpoint]) -> set[str]:
    """Those of `BUTTON_TASKS` that bundled workflows can do on one of the servers, as far as that
    is known within `LOOK_SECONDS`.
    """
    tasks: set[str] = set()
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            for endpoint in endpoints:
                async with open_server(endpoint) as server:
                    tasks |= await _tasks_of(server)
    except (ComfyUIError, TimeoutError):
        return tasks  # the result is there, whatever else could be done with it
    return tasks


class LookAhead:
    """What servers can do, looked up while a run goes on: soon after its beginning, which it does
    not hold up, and at the latest when somebody asks.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._asked = asyncio.Event()
        self._task = asyncio.create_task(self._look(endpoints))
        # nobody may ask
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _look(self, endpoints: Sequence[Endpoint]) -> set[str]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AFTER):
                await self._asked.wait()
        return await possible_tasks(endpoints)

    def begin(self) -> None:
        """Look now, if that is not done yet."""
        self._asked.set()

    @property
    def is_done(self) -> bool:
        """Whether it is known."""
        return self._task.done()

    async def tasks(self) -> set[str]:
        """Those of `BUTTON_TASKS` that can be done, as `possible_tasks` tells them."""
        self.begin()
        return await self._task

    def close(self) -> None:
        """Look no longer."""
        self._task.cancel()


async def _tasks_of(server: ComfyUIServer) -> frozenset[str]:
    """What one server can do, as it was found out within the last `REMEMBERED_SECONDS`."""
    until, found = _FOUND.get(server, (0.0, frozenset[str]()))
    if time.monotonic() < until:
        return found
    found = frozenset([task for task in BUTTON_TASKS if await _can_do(server, task)])
    _FOUND[server] = time.monotonic() + REMEMBERED_SECONDS, found
    return found


async def _can_do(server: ComfyUIServer, task: str) -> bool:
    """Whether a bundled workflow for a task can run on a server."""
    for entry in bundled_entries():
        if entry.task == task and CANNOT_RUN not in await look_into(server, entry):
            return True
    return False


def buttons_page(numbers: Sequence[int], tasks: Collection[str], language: str = ENGLISH) -> str:
    """The page of buttons for a result: the pictures that have these numbers in the chat, or, where
    there is none, a video, a sound or anything else. `tasks` are those that can be done, `language`
    is the user's.
    """
    buttons = PICTURE_BUTTONS if numbers else OTHER_BUTTONS
    shown = [
        {
            "label": Phrase(button.label).said_in(language),
            # behind one that is only begun the user writes on
            "message": Phrase(button.message).said_in(language) + ("" if button.sends else " "),
            "sends": button.sends,
        }
        for button in buttons
        if not button.tasks or not set(button.tasks).isdisjoint(tasks)
    ]
    data = {
        "pictures": list(numbers[:MOST_PICTURES_CHOSEN]),
        "buttons": shown,
        "which": Phrase("button_picture").said_in(language),
    }
    page = BUTTONS_PAGE.replace("{mark}", BUTTONS_MARK).replace("{height}", TELL_HEIGHT)
    page = page.replace("{lang}", language)
    return page.replace("{data}", json.dumps(data))


# What stands in the script of each page below a message: nobody else can measure how high it is.
TELL_HEIGHT = """
  function tellHeight() {
    parent.postMessage({ type: "iframe:height", height: document.documentElement.offsetHeight }, "*");
  }
  new ResizeObserver(tellHeight).observe(document.body);
  tellHeight();
"""
# The frame is not told whether Open WebUI is dark or light, so the buttons have a ground of their
# own.
BUTTONS_PAGE = """<!doctype html>
<html lang="{lang}" data-by="{mark}">
<meta charset="utf-8">
<style>
  body { margin: 0; font: 13px/1.5 system-ui, sans-serif; background: transparent; }
  p { margin: 0; padding: 2px; display: flex; flex-wrap: wrap; gap: 6px; align-items: center; }
  button { font: inherit; padding: 3px 11px; border: 1px solid #8a8a8a; border-radius: 999px;
           background: #ececec; color: #1c1c1c; cursor: pointer; }
  button:hover { background: #fff; }
  button:focus-visible { outline: 2px solid #3b82f6; outline-offset: 1px; }
  button[aria-pressed="true"] { background: #3b3b3b; color: #fff; }
</style>
<p id="pictures" role="group"></p>
<p id="buttons"></p>
<script>
  const data = {data};
  let picture = data.pictures[0];
  document.getElementById("pictures").setAttribute("aria-label", data.which);

  function button(parent, text, press) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", () => press(made));
    document.getElementById(parent).append(made);
    return made;
  }

  function choose(number) {
    picture = number;
    for (const chip of document.getElementById("pictures").children) {
      chip.setAttribute("aria-pressed", String(chip.textContent === String(number)));
    }
  }

  if (data.pictures.length > 1) {
    for (const number of data.pictures) button("pictures", String(number), () => choose(number));
    choose(picture);
  }
  for (const { label, message, sends } of data.buttons) {
    button("buttons", label, () => {
      const text = message.replace("#", picture);
      parent.postMessage({ type: sends ? "input:prompt:submit" : "input:prompt", text }, "*");
    });
  }
{height}</script>
</html>
"""
