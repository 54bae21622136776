"""What a call leaves in a message of a saved chat, written at once.

Open WebUI keeps a chat as one row, which every change of one of its messages reads and writes as a
whole, and by its own ways a call changes it three times: its files, its buttons, its last status.
So these are collected in `Unwritten`; at the end of the call `write_message` brings them into the
message with one change of the chat, and events that write nothing show them.

That works since 0.12, where a message that is asked for is as it was last changed (`releases`).
"""

import asyncio
import time
import uuid
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..logs import log
from ..values import list_of

_Locks = weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock]
# For each message that is being written: two calls may belong to one, and each keeps what the other
# wrote.
_LOCKS: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Locks]" = weakref.WeakKeyDictionary()


@dataclass
class Unwritten:
    """What a message is to show, and the database does not have yet."""

    files: list[dict[str, Any]] = field(default_factory=list)
    page: str | None = None  # in a frame below it
    status: dict[str, Any] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self.files and self.page is None and self.status is None


async def write_message(
    chat_id: str,
    message_id: str,
    unwritten: Unwritten,
    others: Callable[[Any], list[Any]],
) -> dict[str, Any]:
    """Write what is new into a message; returns what it has now of that. `others` tells which of
    its pages stay besides the new one. Raises `LookupError` where there is no such message, or Open
    WebUI does not write it.
    """
    from open_webui.models.chats import Chats

    locks = _LOCKS.setdefault(asyncio.get_running_loop(), weakref.WeakValueDictionary())
    async with locks.setdefault((chat_id, message_id), asyncio.Lock()):
        message = await Chats.get_message_by_id_and_message_id(chat_id, message_id)
        if not message:
            raise LookupError("the message is not there")
        changes: dict[str, Any] = {}
        if unwritten.files:
            changes["files"] = with_new_files(list_of(message.get("files")), unwritten.files)
        if unwritten.page is not None:
            changes["embeds"] = [*others(message), unwritten.page]
        if unwritten.status is not None:
            changes["statusHistory"] = [*list_of(message.get("statusHistory")), unwritten.status]
        written = await Chats.upsert_message_to_chat_by_id_and_message_id(
            chat_id, message_id, dict(changes)
        )
    if written is None:
        raise LookupError("the message was not written")
    return changes


def with_new_files(
    files: Sequence[dict[str, Any]], more: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The files of a message and more of them, each once."""
    shown = {item.get("id") for item in files if isinstance(item, dict)}
    together = [*files]
    for item in more:
        if item["id"] not in shown:
            shown.add(item["id"])
            together.append(dict(item))
    return together


async def link_new_files(
    chat_id: str, message_id: str, user_id: str, file_ids: Sequence[str]
) -> None:
    """Note that these files of the user, which were just stored, belong to a message: whoever the
    chat is shared with may see them. As `Chats.insert_chat_files` does, without asking again
    whether they are there, and whose they are.
    """
    from open_webui.internal.db import get_async_db_context
    from open_webui.models.chats import ChatFile, Chats

    now = int(time.time())
    about = {"user_id": user_id, "chat_id": chat_id, "message_id": message_id}
    times = {"created_at": now, "updated_at": now}
    rows = [{"id": str(uuid.uuid4()), "file_id": one, **about, **times} for one in file_ids]
    try:
        async with get_async_db_context() as session:
            await session.execute(ChatFile.__table__.insert(), rows)
            await session.commit()
    except Exception as error:  # whatever another release, or the database, has in its place
        log.info("files are linked by Open WebUI itself: %s", type(error).__name__)
        await Chats.insert_chat_files(chat_id, message_id, [*file_ids], user_id)
