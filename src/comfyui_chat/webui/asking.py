"""What a call may spend, in Open WebUI's terms: the question in the chat, and the record of a day.

`credits_of` makes the `Credits` of a call (run/credits.py). The question is a dialog, by Open WebUI's `__event_call__`,
which answers true for yes. Whatever else comes back is a no: false, an error where the page was closed, or what another
release has in its place. A call without `__event_call__`, as programs make them by the
API, is asked nothing, and so spends nothing that has to be asked for.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from ..logs import log
from ..run.credits import Asking, Credits, nobody_to_ask
from .chat import Chat
from .settings import Settings
from .spending_record import StoredSpending

EventCall = Callable[[dict[str, Any]], Awaitable[Any]]  # Open WebUI's `__event_call__`
QUESTION_TITLE = "Spend credits?"


def credits_of(chat: Chat, settings: Settings, event_call: EventCall | None) -> Credits:
    """What a call may spend, whom to ask, and where it is recorded."""
    secret = str(getattr(sys.modules.get("open_webui.env"), "WEBUI_SECRET_KEY", "") or "")
    user_id = str(chat.user.get("id") or "")
    record = StoredSpending(user_id, secret.encode()) if secret and user_id else None
    return Credits(settings.purses, _asking(event_call), record)


def _asking(event_call: EventCall | None) -> Asking:
    if event_call is None:
        return nobody_to_ask

    async def ask(question: str) -> bool:
        dialog = {"type": "confirmation", "data": {"title": QUESTION_TITLE, "message": question}}
        try:
            answer = await event_call(dialog)
        except TimeoutError:
            raise
        except Exception as error:  # no page is there to answer
            log.info("nobody could be asked: %s", type(error).__name__)
            return False
        return answer is True

    return ask
