"""What a call may spend, in Open WebUI's terms: the question in the chat, and the record of a day.

`credits_of` makes the `Credits` of a call (run/credits.py). The question is a dialog, by Open
WebUI's `__event_call__`, which answers true for yes. Whatever else comes back is a no: false, an
error where the page was closed, or what another release has in its place. A call without
`__event_call__`, as programs make them by the API, is asked nothing, and so spends nothing that has
to be asked for.

After a no, nobody is asked again in the same message: a model that tries again, or is talked into
that by a text, would have the user click until it is a yes.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

from ..bounded import BoundedDict
from ..logs import log
from ..run.credits import Asking, Credits, nobody_to_ask
from .chat import Chat
from .settings import Settings
from .spending_record import StoredSpending

EventCall = Callable[[dict[str, Any]], Awaitable[Any]]  # Open WebUI's `__event_call__`
QUESTION_TITLE = "Spend credits?"
MessagePlace = tuple[str, str, str]  # user, chat and message, by their ids
_DECLINED = BoundedDict[MessagePlace, bool](1000)  # where a user said no
# The page shows one dialog at a time, so one question waits for the answer to another.
_TURNS: WeakValueDictionary[MessagePlace, asyncio.Lock] = WeakValueDictionary()


def credits_of(chat: Chat, settings: Settings, event_call: EventCall | None) -> Credits:
    """What a call may spend, whom to ask, and where it is recorded."""
    secret = str(getattr(sys.modules.get("open_webui.env"), "WEBUI_SECRET_KEY", "") or "")
    user_id = str(chat.user.get("id") or "")
    record = StoredSpending(user_id, secret.encode()) if secret and user_id else None
    return Credits(
        settings.purses, _asking(event_call, (user_id, chat.chat_id, chat.message_id)), record
    )


def _asking(event_call: EventCall | None, message: MessagePlace) -> Asking:
    if event_call is None:
        return nobody_to_ask

    async def ask(question: str) -> bool:
        turn = _TURNS.setdefault(message, asyncio.Lock())
        async with turn:
            if message in _DECLINED:
                return False
            says_yes = False
            try:
                dialog = {
                    "type": "confirmation",
                    "data": {"title": QUESTION_TITLE, "message": question},
                }
                says_yes = await event_call(dialog) is True
            except TimeoutError:
                raise
            except Exception as error:  # no page is there to answer
                log.info("nobody could be asked: %s", type(error).__name__)
            finally:
                if not says_yes:
                    _DECLINED[message] = True
            return says_yes

    return ask
