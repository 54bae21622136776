"""A dialog of ours over the chat, in which the user points at something: opened, followed, closed.

Open WebUI's event "execute" runs a script in the page that the message was sent from, as the user,
and hands back what it returns (seen in 0.9.6 to 0.12.4). All of the script is constant text: a
dialog's own (webui/mask_editor.py, webui/picture_choice.py) behind `DIALOG`, which all have in
common. Only JSON goes into it.

A script that ran until the user is done would hold up nothing, but when it ends the page puts the
message back as it was when the script began, and what came meanwhile is gone. So opening returns at
once, and then the page is asked once a second how far the user is. That is a sign of life in both
directions: the dialog closes when nobody asks any more, and the call ends when nobody answers.

    {"state": "open"}    {"state": "done", "answer": ...}    {"state": "cancelled"}    {"state": "failed"}

A page that has lost its connection, as on a phone that sleeps, keeps the dialog open and says so.
It has `LOST_SECONDS` to come back: then it is found again among the user's pages
(webui/user_pages.py), and the dialog goes on. One that comes back too late says that the chat went
on.

Nobody answers where the page was closed, shows another chat, forbids scripts made of text, or is of
a release that does not know the event; and a program that calls by the API has no page at all.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from ..bounded import BoundedDict
from ..errors import NotAnswered
from ..logs import log
from ..tasks import CLEAN_UP_SECONDS, finish
from .chat import Chat
from .chat_files import MessagePlace
from .dialog_texts import dialog_words
from .display import EventCall
from .user_pages import other_pages

ANSWER_MINUTES = 10  # that a user has for one question
OPEN_SECONDS = 15.0  # in which a page that is there has opened the dialog
POLL_SECONDS = 1.0
SILENT_SECONDS = 45.0  # for one answer, which may be megabytes on a slow line
# A phone holds a page still while another is in front; then Open WebUI closes the connection.
LOST_SECONDS = 180.0  # in which a page may come back
ELSEWHERE_SECONDS = 5.0  # for a page that may show another chat, and then does not answer

# `ask` opens a dialog with a title and gives back its parts. The dialog lives in a shadow root, so
# that neither the page's styles nor its shortcuts reach into it.
DIALOG = r"""
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

const button = (text, action, properties = {}) =>
  make("button", { type: "button", textContent: text, onclick: action, ...properties });

const DIALOG_STYLE = `
  :host { --ground: #fff; --ink: #171717; --soft: #ececec; --strong: #171717; --on-strong: #fff;
          --hint: #676767; --chosen: #2563eb; }
  :host(.dark) { --ground: #171717; --ink: #ececec; --soft: #333; --strong: #ececec; --on-strong: #171717;
          --hint: #a3a3a3; --chosen: #60a5fa; }
  dialog { box-sizing: border-box; position: fixed; inset: 0; margin: auto; padding: 0; border: 0;
           flex-direction: column; background: var(--ground); color: var(--ink); overflow: hidden;
           width: 100vw; height: 100vh; height: 100dvh; max-width: none; max-height: none;
           font: 14px/1.4 system-ui, sans-serif; overscroll-behavior: contain; user-select: none;
           -webkit-user-select: none; -webkit-touch-callout: none; }
  dialog[open] { display: flex; }
  dialog::backdrop { background: #0009; }
  @media (min-width: 768px) {
    dialog { width: calc(100vw - 64px); height: calc(100vh - 64px); border-radius: 16px; }
  }
  header { padding: 12px 16px 8px; }
  h1 { margin: 0; font-size: 16px; font-weight: 600; }
  p { margin: 2px 0 0; min-height: 1.4em; color: var(--hint); }
  main { flex: 1; min-height: 0; position: relative; overflow: hidden; }
  footer { display: flex; flex-wrap: wrap; gap: 8px; align-items: center;
           padding: 10px 16px calc(10px + env(safe-area-inset-bottom)); }
  button { font: inherit; color: inherit; border: 0; border-radius: 10px; background: var(--soft);
           padding: 0 14px; min-height: 40px; cursor: pointer; }
  button[aria-pressed=true] { background: var(--chosen); color: #fff; }
  :host(.dark) button[aria-pressed=true] { color: #171717; }
  button.main { background: var(--strong); color: var(--on-strong); }
  button:disabled { opacity: .4; cursor: default; }
  button:focus-visible, input:focus-visible { outline: 2px solid var(--chosen); outline-offset: 2px; }
  @media (max-width: 480px) { footer { gap: 6px; padding: 8px 10px; } button { padding: 0 9px; } }
  .end { margin-left: auto; display: flex; gap: 8px; }
  header, footer { flex: none; }
  header { max-height: 40%; overflow-y: auto; }
  /* A phone on its side, or a page that is zoomed: every line counts. */
  @media (max-height: 480px) {
    dialog { width: 100vw; height: 100dvh; max-height: none; border-radius: 0; }
    header { padding: 4px 10px; display: flex; gap: 0 10px; flex-wrap: wrap; align-items: baseline; }
    h1 { font-size: 14px; }
    footer { padding: 4px 10px; flex-wrap: nowrap; overflow-x: auto; scroll-padding-right: 160px; }
    footer button { flex: none; min-height: 34px; }
    .end { position: sticky; right: -10px; margin-right: -10px; padding: 0 10px; flex: none;
           background: var(--ground); }
  }
`;

const ask = (request, title, hint, style) => {
  window.comfyuiDialog?.close();
  const host = make("div", { lang: request.language });
  host.classList.toggle("dark", document.documentElement.classList.contains("dark"));
  const shadow = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(DIALOG_STYLE + style);
  shadow.adoptedStyleSheets = [sheet];

  const note = make("p", { textContent: hint });
  note.setAttribute("role", "status");
  const content = make("main");
  const tools = make("footer");
  const dialog = make("dialog", {}, make("header", {}, make("h1", { textContent: title }), note), content, tools);
  dialog.setAttribute("aria-label", title);
  shadow.append(dialog);
  document.body.append(host);
  dialog.showModal();

  let told = { state: "open" };
  let line = hint;
  let silent = 0; // seconds in which nobody has asked
  const close = () => {
    clearInterval(clock);
    dialog.remove();
    host.remove();
    if (window.comfyuiDialog === open) delete window.comfyuiDialog;
    // What a dialog keeps for the next one of its kind is no longer needed.
    if (told.state === "done" || told.state === "cancelled") delete window.comfyuiUnsent;
  };
  // A screen reader says whatever is put there, also what stood there before.
  const write = (text) => {
    if (note.textContent !== text) note.textContent = text;
  };
  const disable = () => {
    for (const control of shadow.querySelectorAll("button, input")) control.disabled = true;
  };
  // The call has ended, and its message could not reach this page.
  const lose = () => {
    clearInterval(clock);
    told = { state: "gone" };
    write(request.words.lost);
    disable();
    const leave = button(request.words.close, close, { className: "main" });
    tools.replaceChildren(make("div", { className: "end" }, leave));
    leave.focus();
  };
  const path = location.pathname;
  const hasLeft = () => location.pathname !== path && !location.pathname.endsWith(`/${request.chat}`);
  const clock = setInterval(() => {
    silent += 1;
    if (hasLeft()) close();
    else if (silent > request.patience) lose();
    else write(silent > 5 ? request.words.silent : line);
  }, 1000);
  const open = {
    id: request.id,
    close,
    poll: () => {
      silent = 0;
      return told;
    },
  };
  const say = (text) => {
    line = text;
    write(text);
  };
  const settle = (state, answer = null) => {
    if (told.state !== "open") return;
    told = { state, answer };
    if (state === "done") {
      say(request.words.sending);
      disable();
    } else {
      dialog.close();
    }
  };
  const cancel = () => settle("cancelled");
  dialog.addEventListener("cancel", cancel); // Esc, or a phone's gesture for going back
  dialog.addEventListener("close", () => (told.state === "gone" ? close() : cancel()));
  // Open WebUI has keys of its own, opens its sidebar when a finger goes to the right, and takes what is pasted.
  for (const kind of "keydown keyup keypress paste wheel touchstart touchmove touchend dragover drop".split(" ")) {
    dialog.addEventListener(kind, (event) => event.stopPropagation());
  }
  window.comfyuiDialog = open;
  sessionStorage.comfyuiDialog = request.id; // outlives loading the page anew, which a dialog does not
  const isOpen = () => told.state === "open";
  const focused = () => shadow.activeElement;
  return { dialog, content, tools, say, settle, cancel, isOpen, focused };
};

// A file of the chat as the user may read it.
const readPicture = async (url) => {
  const headers = url.startsWith("/") ? { Authorization: `Bearer ${localStorage.token}` } : {};
  const answer = await fetch(url, { headers });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return createImageBitmap(await answer.blob());
};
"""
ASK_DIALOG = r"""
const open = window.comfyuiDialog;
if (open?.id === ID) return open.poll();
return { state: sessionStorage.comfyuiDialog === ID ? "gone" : "elsewhere" };
"""
CLOSE_DIALOG = "if (window.comfyuiDialog?.id === ID) window.comfyuiDialog.close();"

NOT_THERE = "The user cannot be asked here: that takes an open page of this chat in Open WebUI."
# The page shows one dialog at a time, so one question waits for the answer to another.
_TURNS: WeakValueDictionary[MessagePlace, asyncio.Lock] = WeakValueDictionary()
_UNANSWERED = BoundedDict[MessagePlace, bool](1000)  # where the user did not answer


def page_turn(message: MessagePlace) -> asyncio.Lock:
    """Held by whoever asks the user something for a message."""
    return _TURNS.setdefault(message, asyncio.Lock())


class DialogFailed(Exception):
    """The page could not show the dialog, such as for a picture that it cannot read."""


async def ask_in_page(
    chat: Chat,
    script: str,
    request: Mapping[str, Any],
    otherwise: str,
    minutes: int = ANSWER_MINUTES,
) -> Any:
    """What the user answers in a dialog over the chat, exactly as the page hands it back.

    `script` is a dialog's own text, which is called with `request`; `otherwise` tells the model
    what to do without an answer. A user who has not answered is not asked again for the same
    message. Raises `NotAnswered`, and `DialogFailed`.
    """
    if chat.event_call is None or chat.channel:
        raise NotAnswered(NOT_THERE, otherwise)
    if chat.place in _UNANSWERED:
        raise NotAnswered(
            "The user was asked in this message already, and did not answer.", otherwise
        )
    dialog_id = json.dumps(uuid.uuid4().hex)
    try:
        return await _answer_in_page(chat, script, request, dialog_id, minutes)
    except NotAnswered as error:
        _UNANSWERED[chat.place] = True
        error.hint = otherwise
        raise
    finally:
        close = CLOSE_DIALOG.replace("ID", dialog_id)
        await finish(_close_dialog(chat, close), CLEAN_UP_SECONDS / 2)


async def _answer_in_page(
    chat: Chat, script: str, request: Mapping[str, Any], dialog_id: str, minutes: int
) -> Any:
    """Open the dialog, and ask again and again what the user answers in it."""
    patience = int(LOST_SECONDS + SILENT_SECONDS) + 15
    about = {
        **request,
        "id": json.loads(dialog_id),
        "chat": chat.chat_id,
        "patience": patience,
        "language": chat.language,
        "words": dialog_words(chat.language),
    }
    opening = f"{DIALOG}{script}\nreturn start({json.dumps(about)});"
    if await _in_page(chat.event_call, opening, OPEN_SECONDS) != "open":
        raise NotAnswered(NOT_THERE)
    page = _Page(chat, ASK_DIALOG.replace("ID", dialog_id))
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        await asyncio.sleep(POLL_SECONDS)
        told = await page.poll()
        state = told.get("state") if isinstance(told, Mapping) else ""
        if state == "open" or (state == LOST and page.may_come_back()):
            continue
        if state == "done":
            return told.get("answer")
        if state == "failed":
            raise DialogFailed
        if state == "cancelled":
            raise _unanswered("The user closed the dialog without an answer.", declined=True)
        if state == LOST:
            raise _unanswered("The page was closed or lost its connection, and did not come back.")
        raise _unanswered("The page was closed, or left the chat, before the user answered.")
    raise _unanswered(f"The user did not answer within {minutes} minutes.")


LOST = "lost"  # the state of a dialog of which no page tells anything


class _Page:
    """The page that shows a dialog, wherever it is connected."""

    def __init__(self, chat: Chat, question: str) -> None:
        self._chat = chat
        self._question = question
        self._call = chat.event_call
        self._session = chat.session
        self._heard = time.monotonic()  # when it last told anything

    async def poll(self) -> Any:
        """What the page tells of the dialog, or that it is lost. Older releases do not notice that
        a page is gone while they ask it, so the others are asked beside it.
        """
        asking = asyncio.create_task(_in_page(self._call, self._question, SILENT_SECONDS))
        try:
            await asyncio.wait({asking}, timeout=ELSEWHERE_SECONDS)
            told = asking.result() if asking.done() else None
            if _is_lost(told):
                told = await self._found_again()
            if _is_lost(told) and not asking.done():
                told = await asking
        finally:
            asking.cancel()
        if not _is_lost(told):
            self._heard = time.monotonic()
        return {"state": LOST} if _is_lost(told) else told

    def may_come_back(self) -> bool:
        """Whether a page that is lost still has time."""
        return time.monotonic() - self._heard < LOST_SECONDS

    async def _found_again(self) -> Any:
        """What one of the user's pages tells that has the dialog, which is asked from now on."""
        pages = await other_pages(self._chat, self._session)
        asked = [_in_page(page, self._question, ELSEWHERE_SECONDS) for page in pages.values()]
        for session, told in zip(pages, await asyncio.gather(*asked), strict=True):
            if not _is_lost(told):
                self._session, self._call = session, pages[session]
                return told
        return None


def _is_lost(told: Any) -> bool:
    """Whether no page has answered, or one that never had the dialog."""
    if isinstance(told, Mapping):
        return "error" in told or told.get("state") in ("elsewhere", LOST)
    return told is None


def _unanswered(message: str, *, declined: bool = False) -> NotAnswered:
    """The error for a question that was shown."""
    error = NotAnswered(message)
    error.was_asked, error.was_declined = True, declined
    return error


async def _in_page(event_call: EventCall | None, code: str, seconds: float) -> Any:
    """What a script returns in a page of the user's; None where none runs it."""
    if event_call is None:
        return None
    try:
        async with asyncio.timeout(seconds):
            return await event_call({"type": "execute", "data": {"code": code}})
    except Exception as error:  # no page is there, or none that answers
        log.info("a script was not run in the page: %s", type(error).__name__)
        return None


async def _close_dialog(chat: Chat, close: str) -> None:
    """Close the dialog, wherever the user has the chat open: a page that connected again has lost
    the call.
    """
    await chat.send_live({"type": "execute", "data": {"code": close}})
