"""Which messages a chat has up to now, and which pictures, videos and sounds they hold.

Nothing here asks Open WebUI: webui/chat.py reads the messages out of it, and these functions say
what follows from them. `saved_branch` picks the messages of a chat that is in the database;
`unsaved_branch` puts together those of any other chat, out of what was sent to the model and what
this process remembers of its own answers (`ELSEWHERE`). `media_in` lists the files of such a
branch. As far as they are read here, a message and its files look like this:

    {"role": "assistant", "parentId": "9b1d...", "content": "Here it is.", "files": [
        {"type": "image", "id": "5f0c...", "url": "/api/v1/files/5f0c.../content", "content_type": "image/png"}]}
"""

import mimetypes
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..bounded import BoundedDict
from ..bounds import MOST_NAME_CHARACTERS
from ..names import base_name, simplified
from ..spelling import plain_words
from .references import DATA_URI, FILE_REFERENCE, OF_CHAT, OF_PICTURE, file_references

# A picture in a text, in Markdown. Between its brackets are none, so that no text is gone through
# again and again.
SHOWN_FILE = re.compile(r"!\[[^\[\]]*\]\(\s*[^\s()]*?/api/v1/files/([0-9a-fA-F-]{36})/content")
# how Open WebUI shows a model what tools return
TOOL_PICTURES = "Here are the images from the tool results above"
Message = Mapping[str, Any]


# The files of messages.


@dataclass(frozen=True)
class ChatFile:
    """A picture, video or sound that stands in a chat."""

    kind: str  # "image", "video" or "audio"
    reference: str  # its id in Open WebUI, or a data URI
    name: str = ""  # of the file, as Open WebUI shows it to the model in `<attached_files>`
    turn: int = 0  # of the user's messages the one that it stands in or below, from 1
    attached: bool = False  # whether it came with the user's message, and not with an answer

    @classmethod
    def of(cls, item: Any) -> "ChatFile | None":
        """What an item of a message's files is, or None for anything else."""
        if not isinstance(item, Mapping):
            return None
        kind = _kind_of(item)
        if kind not in ("image", "video", "audio"):
            return None
        for place in (item.get("id"), item.get("url")):
            text = str(place or "")
            stored = FILE_REFERENCE.fullmatch(text)
            if stored:
                return cls(kind, stored[1], _name_of(item))
            if DATA_URI.match(text):
                return cls(kind, text, _name_of(item))
        return None


@dataclass(frozen=True)
class Attachment:
    """A file of any kind that the user attached: its id or address, and its name."""

    reference: str
    name: str

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> "Attachment":
        """What an item of a message's files is. The reference is empty where it tells none."""
        return cls(str(item.get("id") or item.get("url") or ""), _name_of(item))

    def is_called(self, name: str) -> bool:
        """Whether somebody means this file by its name, with or without its folder, or by its id or
        address.
        """
        named = [self.reference, *file_references(self.reference)]
        if not set(file_references(name.strip())).isdisjoint(named) or name.strip() in named:
            return True
        return bool(self.name) and plain_words(self.name) == base_name(plain_words(name))

    def may_be_called(self, name: str) -> bool:
        """Whether a name is that of this file without its ending: of "my_flow.json" also "my
        flow".
        """
        stem, _, _ = plain_words(self.name).rpartition(".")
        return bool(stem) and simplified(stem) == simplified(plain_words(name))


def attachments_called(files: Sequence[Attachment], name: str) -> tuple[list[Attachment], bool]:
    """Those of the attached files that a workflow's name may mean, and whether it surely means one
    of them.
    """
    words = plain_words(name)
    if OF_CHAT.fullmatch(words):
        return list(files), True
    named = [file for file in files if file.is_called(name)]
    if named:
        return named, True
    return [
        file for file in files if file.may_be_called(name) or OF_PICTURE.fullmatch(words)
    ], False


def _name_of(item: Mapping[str, Any]) -> str:
    """A file's name, as far as its item tells it."""
    name = item.get("name")
    record = item.get("file")
    if not name and isinstance(record, Mapping):
        name = record.get("filename")
    return name[:MOST_NAME_CHARACTERS] if isinstance(name, str) else ""


def _kind_of(item: Mapping[str, Any]) -> str:
    """The first half of a file's content type, as far as its item tells: "video"."""
    if item.get("type") == "image":
        return "image"
    content_type = item.get("content_type")
    record = item.get("file")
    if not content_type and isinstance(record, Mapping):
        meta = record.get("meta")
        if isinstance(meta, Mapping):
            content_type = meta.get("content_type")
    if not content_type:
        name = str(item.get("name") or "")
        content_type, _ = mimetypes.guess_type(name)
    kind, _, _ = str(content_type or "").partition("/")
    return kind


def media_in(branch: Iterable[Message]) -> list[ChatFile]:
    """The pictures, videos and sounds of these messages, in their order. What the user sends again
    is listed again; what an answer shows again is not.
    """
    media: list[ChatFile] = []
    turn = 0
    for message in branch:
        attached = message.get("role") == "user"
        turn += attached
        files = [ChatFile.of(item) for item in message.get("files") or ()]
        known: set[str] = set()
        if message.get("role") == "assistant":
            known = {file.reference for file in media}
            text = message.get("content")
            if isinstance(text, str):
                files += [ChatFile("image", file_id) for file_id in SHOWN_FILE.findall(text)]
        for file in files:
            # a text may show a video as if it were a picture
            if file and file.reference not in known:
                known.add(file.reference)
                media.append(replace(file, turn=turn, attached=attached))
    return media


# The messages up to the one that a call belongs to.


def saved_branch(messages: Mapping[str, Message], newest: str) -> list[str]:
    """The ids of the messages of a saved chat from the first to the `newest`, each the parent of the
    next.
    """
    branch: dict[str, None] = {}
    message_id = newest
    while message_id not in branch and messages.get(message_id):  # parents may go round in a circle
        branch[message_id] = None
        message_id = messages[message_id].get("parentId") or ""
    return [*reversed(branch)]


@dataclass(frozen=True)
class UnsavedMessage:
    """What was made for a message in a chat that is not in the database."""

    turn: int  # of the user's messages, from 1; 0 where none is known
    files: tuple[Mapping[str, Any], ...]  # as a message holds them


REMEMBERED_CHATS = 200  # that are not in the database
REMEMBERED_MESSAGES = 200  # of each; a channel has no end
# Chat id -> message id -> what was made for it, in chats that are not in the database.
ELSEWHERE = BoundedDict[str, dict[str, UnsavedMessage]](REMEMBERED_CHATS)


def remember_unsaved(chat_id: str, message_id: str, message: UnsavedMessage) -> None:
    """Remember what a message of a chat that is not in the database holds now; the oldest are
    forgotten.
    """
    if chat_id not in ELSEWHERE:
        ELSEWHERE[chat_id] = BoundedDict(REMEMBERED_MESSAGES)
    ELSEWHERE[chat_id][message_id] = message


def unsaved_branch(
    sent: Sequence[Message], made: Iterable[UnsavedMessage], asked: Message
) -> list[Message]:
    """The messages of a chat that is not in the database: those that were `sent` to the model, with
    what was `made` in the answers between them. `asked` is the user's newest message, with the
    files that it really has.
    """
    answers: dict[int, list[Message]] = {}
    for one in made:
        answers.setdefault(one.turn, []).append({"role": "assistant", "files": one.files})
    branch = answers.get(0, [])
    turns = sent_pictures(sent)
    if not turns:
        return [asked, *branch]
    for turn, pictures in enumerate(turns, 1):
        if pictures or turn < len(turns):
            branch.append({"role": "user", "files": pictures})
        else:  # a model without vision is sent no pictures
            branch.append(asked)
        branch += answers.get(turn, [])
    return branch


def made_on_branch(
    remembered: Mapping[str, UnsavedMessage], sent: Sequence[Message], message_id: str
) -> list[UnsavedMessage]:
    """What was made on this branch of a chat that is not in the database, of all that is
    `remembered` of it. With which of several answers to one message the user went on, the results
    in the messages tell: these hold the ids.
    """
    results = [str(message.get("content")) for message in sent if message.get("role") != "user"]
    told = " ".join(results)
    mentioned = set()
    for key, message in remembered.items():
        ids = [str(item.get("id")) for item in message.files]
        if any(file_id in told for file_id in ids):
            mentioned.add(key)
    decided_turns = {remembered[key].turn for key in mentioned}
    turns = len(sent_pictures(sent))
    branch = []
    for key, message in remembered.items():
        undecided = message.turn < turns and message.turn not in decided_turns
        if undecided or key in mentioned or key == message_id:
            branch.append(message)
    return branch


def sent_pictures(sent: Sequence[Message]) -> list[list[dict[str, str]]]:
    """The pictures of each of the user's messages, as they are sent to the model:

    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}}]}
    """
    turns: list[list[dict[str, str]]] = []
    for message in sent:
        if message.get("role") != "user":
            continue
        content = message.get("content")
        if not isinstance(content, list):
            content = []
        parts = [part for part in content if isinstance(part, Mapping)]
        if not any(str(part.get("text", "")).startswith(TOOL_PICTURES) for part in parts):
            turns.append(_pictures_in(parts))
    return turns


def _pictures_in(parts: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The pictures among the parts of a message's content, as items of a message's files."""
    pictures = []
    for part in parts:
        url = part.get("image_url")
        if isinstance(url, Mapping):
            url = url.get("url")
        if isinstance(url, str):
            pictures.append({"type": "image", "url": url})
    return pictures
