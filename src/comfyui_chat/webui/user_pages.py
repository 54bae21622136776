"""The pages that a user has open besides the one which a message was sent from.

Open WebUI ties `__event_call__` to the connection of that one page. A page that loses its
connection, as on a phone that sleeps, comes back with another one, and everything on it is still
there; but the event call reaches it no more (seen in 0.9.6 to 0.12.4, which finds only a page with
one of its own dialogs again). `other_pages` makes the event calls for all connections of the user
that this process holds; one of a page that came back to another worker is not among them.
"""

import sys
from typing import Any

from ..logs import log
from .chat import Chat
from .display import EventCall

MOST_PAGES_ASKED = 12  # of a user that are asked


async def other_pages(chat: Chat, known: str) -> dict[str, EventCall]:
    """What asks each page of the user that is connected here, by its session, but for the one that
    is `known`.
    """
    sockets: Any = sys.modules.get("open_webui.socket.main")
    user_id = str(chat.user.get("id") or "")
    if sockets is None or not user_id:
        return {}
    calls: dict[str, EventCall] = {}
    try:
        sessions = sockets.get_session_ids_from_room(f"user:{user_id}")
        for session in [one for one in sessions if one != known][-MOST_PAGES_ASKED:]:
            about = {
                "chat_id": chat.chat_id,
                "message_id": chat.message_id,
                "user_id": user_id,
                "session_id": session,
            }
            call = await sockets.get_event_call(about)
            if call:
                calls[session] = call
    except Exception as error:  # of a release that keeps its connections in another way
        log.warning("the user's other pages could not be found: %s", type(error).__name__)
    return calls
