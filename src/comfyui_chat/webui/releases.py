"""What differs between the releases of Open WebUI, 0.9.6 to 0.12.4; everything else is alike in them.

- Settings stand in rows of the database since 0.10, and hung on the application before.
- A temporary chat is called "local:..." before 0.11 and "temporary:..." since; files sent to it
  replace those that its message shows before 0.12 and are added to them since.
- Files that were just added to a message are in the messages of its chat since 0.12. Before, they
  are only in the chat as a whole, until the next status of that message is stored.
- A channel's message takes files that are sent to it since 0.11.4. Before, they are dropped, and
  have to be written into it.
- Pictures in a tool's result reach the model as pictures since 0.11.4.
- A frame below a message may hand a sentence to the page since 0.11.4 (read in the bundles of that
  release and of 0.10.2, which drops it).
"""

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

# How the id of a chat begins that is not in the database.
UNSAVED_CHATS = ("local:", "temporary:", "channel:")
CHANNEL = "channel:"


async def stored_settings(request: Any, names: Mapping[str, str]) -> Mapping[str, Any]:
    """Open WebUI's own settings by their keys in the database, None for one that it does not have.
    `names` has for each key its name at the application. Raises `AttributeError` where there is no
    application.
    """
    try:
        from open_webui.models.config import Config
    except ImportError:  # before 0.10
        held = request.app.state.config
        return {key: getattr(held, name, None) for key, name in names.items()}
    values: Mapping[str, Any] = await Config.get_many(*names)
    return {key: values.get(key) for key in names}


def adds_to_temporary_chats() -> bool:
    """Whether files that are sent to a temporary chat are added to what its message shows."""
    return _release() >= (0, 12)


def tells_what_was_just_stored() -> bool:
    """Whether the messages of a chat hold files that were just added to one of them."""
    return _release() >= (0, 12)


async def files_of_message(chat_id: str, message_id: str) -> list[dict[str, Any]]:
    """The files that a message of a saved chat holds, with those that were just added to it."""
    from open_webui.models.chats import Chats

    if tells_what_was_just_stored():
        message = await Chats.get_message_by_id_and_message_id(chat_id, message_id)
    else:
        chat = await Chats.get_chat_by_id(chat_id)
        held: Mapping[str, Any] = chat.chat if chat else {}
        messages = held.get("history", {}).get("messages", {})
        message = messages.get(message_id)
    return list((message or {}).get("files") or ())


def takes_sentences_from_frames() -> bool:
    """Whether the page takes a message for the chat from a frame without cookies."""
    return _release() >= (0, 11, 4)


def _release() -> tuple[int, ...]:
    """The release that runs: (0, 12, 4)."""
    from open_webui import env

    return tuple(int(number) for number in re.findall(r"\d{1,9}", str(env.VERSION))[:3])


def takes_pictures_from_results() -> bool:
    """Whether pictures in a tool's result reach the model as pictures."""
    return hasattr(sys.modules.get("open_webui.utils.middleware"), "extract_base64_images")


async def write_into_channel(
    chat_id: str, message_id: str, files: Sequence[Mapping[str, Any]]
) -> None:
    """See that a channel's message holds these files, each with its id, after they were sent to it.
    They are seen there with the next words of the answer.
    """
    from open_webui.models.messages import MessageForm, Messages

    message = await Messages.get_message_by_id(message_id)
    if message is None or message.channel_id != chat_id.removeprefix(CHANNEL):
        return
    held = list((message.data or {}).get("files") or ())
    ids = {item.get("id") for item in held}
    lacking = [dict(file, url=file["id"]) for file in files if file["id"] not in ids]
    if lacking:
        form = MessageForm(content=message.content, data={"files": [*held, *lacking]})
        await Messages.update_message_by_id(message_id, form)
