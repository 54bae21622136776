"""What a call may spend, in Open WebUI's terms: the question in the chat, and the record of a day.

`credits_of` makes the `Credits` of a call (run/credits.py). The question is a dialog, by Open
WebUI's `__event_call__`, which answers true for yes. Whatever else comes back is a no: false, an
error where the page was closed, or what another release has in its place. A call without
`__event_call__`, as programs make them by the API, is asked nothing, and so spends nothing that has
to be asked for.

After a no, nobody is asked again in the same message: a model that tries again, or is talked into
that by a text, would have the user click until it is a yes.
"""

import sys

from ..bounded import BoundedDict
from ..logs import log
from ..phrases import Phrase, in_language
from ..run.credits import Asking, Credits, nobody_to_ask
from .chat import Chat
from .chat_files import MessagePlace
from .display import EventCall
from .page_dialog import page_turn
from .settings import Settings
from .spending_record import StoredSpending

_DECLINED = BoundedDict[MessagePlace, bool](1000)  # where a user said no


def credits_of(chat: Chat, settings: Settings) -> Credits:
    """What a call may spend, whom to ask, and where it is recorded."""
    secret = str(getattr(sys.modules.get("open_webui.env"), "WEBUI_SECRET_KEY", "") or "")
    user_id = str(chat.user.get("id") or "")
    record = StoredSpending(user_id, secret.encode()) if secret and user_id else None
    return Credits(settings.purses, _asking(chat.event_call, chat.place, chat.language), record)


def _asking(event_call: EventCall | None, message: MessagePlace, language: str) -> Asking:
    if event_call is None:
        return nobody_to_ask

    async def ask(question: str) -> bool:
        async with page_turn(message):
            if message in _DECLINED:
                return False
            says_yes = False
            try:
                dialog = {
                    "type": "confirmation",
                    "data": {
                        "title": Phrase("spend_credits").said_in(language),
                        "message": in_language(question, language),
                    },
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
