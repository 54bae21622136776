"""What stands in the chat of a call, and what the call takes from there.

`media` lists the pictures, videos and sounds of the chat (webui/messages.py says how it is read).
`input_files`, `newest_pictures`, `offers` and `attached_workflow` take from it what a call works
on.

There are three kinds of chats. A saved one is in the database, with all its messages and their
files. A temporary one is not, and the messages of a channel ("channel:...") are not read: what was
made in these two is remembered by this process, in `ELSEWHERE`. Facts are those of Open WebUI 0.9.6
to 0.12.4.
"""

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ..catalogue.entries import ATTACHED, Entry
from ..catalogue.request import Offer
from ..errors import BadArgument, ComfyUIError, LimitExceeded, UnknownWorkflow
from ..graph.reading import read_workflow_file
from ..logs import log
from ..media.kinds import MAX_INPUT_BYTES, MAX_INPUT_FILES
from ..media.pictures import InputFile, read_input, read_picture_page, read_picture_workflow
from ..names import shortened
from ..phrases import Phrase
from ..threads import FILES, PICTURES
from ..values import list_of
from .messages import (
    ELSEWHERE,
    Attachment,
    ChatFile,
    Message,
    attachments_called,
    made_on_branch,
    media_in,
    saved_branch,
    unsaved_branch,
)
from .picking import NO_PICTURE, left_open, pick_others, pick_pictures, split_words
from .references import OF_AUTHOR, file_references, read_references
from .releases import CHANNEL, UNSAVED_CHATS, files_of_message, tells_what_was_just_stored
from .stored_files import file_id, read_stored_file, stored_mask, stored_seed

MOST_MASKS_SOUGHT = 50  # of the newest pictures, that are asked for their mask
MessagePlace = tuple[str, str, str]  # user, chat and message, by their ids
# Has the user point at one of the chat's pictures, by a question and their numbers; None where
# nobody does.
Pointing = Callable[[str, Sequence[int]], Awaitable[int | None]]
ATTACHMENTS = 20  # files of a user that are looked into for a workflow


async def nobody_points(_question: str, _numbers: Sequence[int]) -> int | None:
    """The answer where nobody can be asked."""
    return None


class ChatFiles:
    """The files of a chat up to one of its messages, as its user may read them."""

    def __init__(
        self,
        user: Mapping[str, Any] | None,
        metadata: Mapping[str, Any],
        chat_id: str | None,
        message_id: str | None,
        messages: Sequence[Mapping[str, Any]],
    ) -> None:
        """The chat, as Open WebUI tells a tool of it; all of it may be missing."""
        self.user = user or {}
        self._user_id = str(self.user.get("id"))
        self.chat_id = chat_id or metadata.get("chat_id") or ""
        self.message_id = message_id or metadata.get("message_id") or ""
        self._metadata = metadata
        self._messages = messages
        self._media: list[ChatFile] | None = None  # what the chat holds, once that is known
        # of a saved chat, once they are read: the messages before this one, and this one
        self._read: tuple[list[Message], Message] | None = None
        self._whole: Mapping[str, Message] = {}  # and all that it has, by their ids
        # reference -> name of each file that was read for the workflow
        self.worked_on: dict[str, str] = {}
        self.pointing: Pointing = nobody_points
        self.mask = ""  # the reference of the one among these that is the mask
        self.shown = bool(self.message_id)  # whether the user sees what is stored

    @property
    def place(self) -> MessagePlace:
        """Which message of which user it is."""
        return str(self.user.get("id") or ""), self.chat_id, self.message_id

    @property
    def mask_id(self) -> str:
        """The id of the call's mask, if it is a stored file."""
        return file_id(self.mask)

    @property
    def saved(self) -> bool:
        """Whether the chat is in the database."""
        unsaved = self.chat_id.startswith(UNSAVED_CHATS)
        return bool(self.chat_id and self.message_id and not unsaved)

    @property
    def channel(self) -> bool:
        """Whether the message stands in a channel: no status is shown there, and every picture sent
        there stays.
        """
        return self.chat_id.startswith(CHANNEL)

    # What stands in the chat, and what is said of it by number.

    async def real_files(self) -> list[dict[str, Any]]:
        """The files that the message holds already, of an earlier call in the same answer."""
        if not self.saved:
            remembered = ELSEWHERE.get(self.chat_id, {})
            if self.message_id not in remembered:
                return []
            return [dict(item) for item in remembered[self.message_id].files]
        if tells_what_was_just_stored():
            await self._branch()  # which is needed later, too
            if self._read:
                return list_of(self._read[1].get("files"))
        return await files_of_message(self.chat_id, self.message_id)

    async def media(self) -> list[ChatFile]:
        """The pictures, videos and sounds of the chat up to this message, oldest first; their place
        among the pictures is the number that a model gives.
        """
        if self._media is None:
            branch = await self._branch()
            self._media = await FILES.run_unless_short([branch], media_in, branch)
        return self._media

    async def pictures(self) -> list[ChatFile]:
        """The chat's pictures, oldest first."""
        return [file for file in await self.media() if file.kind == "image"]

    async def numbers(self, files: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """The numbers that these files have in the chat if they are pictures, by id; none when the
        chat cannot be read.
        """
        if not self.shown:
            return {}
        try:
            pictures = [file.reference for file in await self.pictures()]
        except Exception as error:  # the pictures themselves are stored and shown
            log.warning("the pictures of the chat could not be counted: %s", type(error).__name__)
            return {}
        ids = [item["id"] for item in files]
        return {one: pictures.index(one) + 1 for one in ids if one in pictures}

    def now_shows(self, files: list[dict[str, Any]]) -> None:
        """These are the message's files from now on. The messages before it stay as they are."""
        self._media = None
        if self._read:
            earlier, own = self._read
            self._read = earlier, {**own, "files": files}

    async def _branch(self) -> list[Message]:
        """The messages up to this one, oldest first: of a saved chat as they are, of any other put
        together from what is known.
        """
        attached = (self._metadata.get("user_message") or {}).get("files") or ()
        if self._read:
            earlier, message = self._read
            return [*earlier, message]
        if self.saved:
            return await self._saved_branch(attached)
        remembered = ELSEWHERE.get(self.chat_id, {})
        made = list(remembered.values())
        if not self.channel:
            made = made_on_branch(remembered, self._messages, self.message_id)
        return unsaved_branch(self._messages, made, {"role": "user", "files": attached})

    async def _saved_branch(self, attached: Sequence[Any]) -> list[Message]:
        """The messages of a saved chat up to this one. `attached` are the files of the user's
        newest message; the database may not have that one yet, or not with all of its files.
        """
        from open_webui.models.chats import Chats

        messages = await Chats.get_messages_map_by_chat_id(self.chat_id) or {}
        self._whole = messages
        ids = self.branch_ids(messages)
        branch = [messages[message_id] for message_id in ids]
        newest = ids[-1] if ids else ""
        own: list[Message] = []
        if branch and newest == self.message_id:
            message = branch.pop()
            if not tells_what_was_just_stored():
                message = {**message, "files": await self.real_files()}
            own.append(message)
        if branch and branch[-1].get("role") == "user":
            question = branch.pop()
            attached = [*(question.get("files") or ()), *attached]
        branch.append({"role": "user", "files": attached})
        if own:
            self._read = branch, own[0]
        return branch + own

    def branch_ids(self, messages: Mapping[str, Message]) -> list[str]:
        """Of all messages of a saved chat the ids of those up to this one, oldest first."""
        newest = self.message_id
        if newest not in messages:
            newest = str(self._metadata.get("user_message_id") or "")
        return saved_branch(messages, newest)

    # What a call works on.

    async def input_files(
        self, references: Any, allow_saved: bool = False
    ) -> list[InputFile | None]:
        """Files of the chat as a workflow's inputs, given by the argument images, as
        webui/references.py reads it. With `allow_saved` the word "saved" stands for the workflow's
        own file, as None.

        Raises `BadArgument`, and `LimitExceeded` for more, or larger ones, than a workflow could
        take.
        """
        wanted: list[str | None] = []
        for words in await self._words(references, "images"):
            if allow_saved and words.lower() in OF_AUTHOR:
                wanted.append(None)
            else:
                wanted += await self._meant(words, may_ask=True, any_kind=allow_saved)
        return await self.read_inputs(wanted)

    async def meant_files(self, references: Any, name: str) -> list[str]:
        """The ids, addresses or data URIs of the files that the argument called `name` means.
        Raises `BadArgument`.
        """
        meant: list[str] = []
        for words in await self._words(references, name):
            meant += await self._meant(words, may_ask=name == "images")
        return meant

    async def read_inputs(self, wanted: Sequence[str | None]) -> list[InputFile | None]:
        """Files of the chat as a workflow's inputs, by their ids, addresses or data URIs; None
        stays None. Raises as `input_files` does.
        """
        if len(wanted) > MAX_INPUT_FILES:
            raise LimitExceeded(
                f"{len(wanted)} files were given.", f"Give at most {MAX_INPUT_FILES}."
            )
        files: list[InputFile | None] = []
        size = 0
        for reference in wanted:
            if reference is None:
                files.append(None)
                continue
            file = await self._input_file(reference)
            files.append(file)
            size += len(file.data)
            if size > MAX_INPUT_BYTES:
                raise LimitExceeded(
                    f"The files have more than {MAX_INPUT_BYTES // 2**20} MB.", "Give smaller ones."
                )
        return files

    async def _words(self, references: Any, name: str) -> list[str]:
        """The argument called `name`, taken apart: an id, an address or words for each file or
        few.
        """
        texts = read_references(references, name)
        if not texts:
            return []
        pictures = await self.pictures()
        words: list[str] = []
        for text in texts:
            words += [text] if text in file_references(text) else split_words(text, pictures)
        return words

    async def _meant(self, words: str, may_ask: bool, any_kind: bool = False) -> list[str]:
        """The ids, addresses or data URIs that one word of a call means: of pictures, and with
        `any_kind` of videos and sounds. Where it leaves open which picture is meant, the user is
        asked, if that may be. Raises `BadArgument`.
        """
        named = file_references(words)
        if named:
            return named
        pictures = await self.pictures()
        try:
            numbers = pick_pictures(words, pictures)
        except BadArgument:
            others = pick_others(words, await self.media()) if any_kind else []
            if others:
                return [file.reference for file in others]
            candidates = left_open(words, pictures) if may_ask else []
            question = Phrase("which_picture", words=shortened(words, 60))
            number = await self.pointing(question, candidates) if candidates else None
            if number is None:
                raise
            numbers = [number]
        return [pictures[number - 1].reference for number in numbers]

    async def _input_file(self, reference: str) -> InputFile:
        """A file as a workflow's input. Raises as `read_file` does, and `BadArgument` for a kind
        that none takes.
        """
        name, data = await self.read_file(reference)
        self.worked_on[reference] = name
        return await PICTURES.run(read_input, data, name)

    async def newest_pictures(self) -> list[ChatFile]:
        """The pictures that are meant where none is named: all of the user's last message where one
        of these is the newest of the chat, else the newest one, whoever made it. Raises
        `BadArgument` when there is none.
        """
        pictures = await self.pictures()
        if not pictures:
            raise BadArgument(*NO_PICTURE)
        newest = pictures[-1]
        if not newest.attached:
            return [newest]
        return [file for file in pictures if file.attached and file.turn == newest.turn]

    async def newest_one(self, question: str) -> list[str]:
        """The references of `newest_pictures`; of several only that of the one at which the user
        points, if they answer the question. Raises `BadArgument` when there is none.
        """
        newest = [file.reference for file in await self.newest_pictures()]
        if len(newest) == 1:
            return newest
        pictures = [file.reference for file in await self.pictures()]
        number = await self.pointing(question, [pictures.index(one) + 1 for one in newest])
        return newest if number is None else [pictures[number - 1]]

    async def sent_offers(self) -> tuple[Offer, ...]:
        """The pictures that `newest_pictures` tells, to be read when they are needed; not the call's
        mask.
        """
        pictures = await self.newest_pictures() if await self.pictures() else []
        return tuple(
            functools.partial(self._input_file, file.reference)
            for file in pictures
            if file.reference != self.mask
        )

    async def offers(self) -> dict[str, Offer]:
        """The chat's newest file of each kind, to be read when it is needed; not the call's mask."""
        offers: dict[str, Offer] = {}
        for file in await self.media():
            if file.reference == self.mask:
                continue
            offers[file.kind] = functools.partial(self._input_file, file.reference)
        return offers

    async def read_file(self, reference: str) -> tuple[str, bytes]:
        """Name and content of a file that the user may read, or of a data URI. Raises as
        `read_stored_file` does.
        """
        return await read_stored_file(reference, self._user_id)

    async def earlier_seed(self) -> int | None:
        """The seed of the newest picture, video or sound of this chat that this tool made; None
        where there is none.
        """
        for file in reversed(await self.media()):
            seed = None if file.attached else await stored_seed(file.reference)
            if seed is not None:
                return seed
        return None

    async def earlier_mask(self) -> str:
        """The id of the mask with which the newest masked picture of this chat was made; "" where
        there is none.
        """
        pictures = await self.pictures()
        for file in pictures[: -MOST_MASKS_SOUGHT - 1 : -1]:
            mask = "" if file.attached else await stored_mask(file.reference)
            if mask:
                return mask
        return ""

    async def attached_workflow(self, called: str = ATTACHED) -> Entry | None:
        """The newest workflow among the files that the user attached to this chat, in a picture
        that ComfyUI made or as a JSON file. What it is `called` is "attached", or the name or id of
        one of these files; None for anything else.

        Raises `UnknownWorkflow` when nothing is attached; when none of what is attached holds a
        workflow, the error of the newest file.
        """
        files, surely = attachments_called(await self.attachments(), called)
        refusal: ComfyUIError | None = None
        for file in files[:ATTACHMENTS]:
            try:
                name, data = await self.read_file(file.reference)
                page = None
                if name.lower().endswith(".json"):
                    graph = await FILES.run_unless_short([data], read_workflow_file, data)
                else:
                    graph = await PICTURES.run(read_picture_workflow, data, shortened(name))
                    page = await PICTURES.run(read_picture_page, data)
                return Entry(called.strip(), ATTACHED, graph, page=page)
            except ComfyUIError as error:
                refusal = refusal or error
        if not surely:
            return None
        raise refusal or UnknownWorkflow(
            "No file is attached to this chat.",
            "Ask the user to attach a picture that ComfyUI made, or its JSON file.",
        )

    async def attachments(self) -> list[Attachment]:
        """The files that the user attached, newest first: of this turn, then of the earlier
        ones.
        """
        items: list[Any] = []
        for message in await self._branch():
            if message.get("role") == "user":
                items += message.get("files") or ()
        items += self._metadata.get("files") or ()
        attachments: dict[str, Attachment] = {}
        for item in reversed(items):
            if isinstance(item, Mapping):
                file = Attachment.of(item)
                attachments.setdefault(file.reference, file)
        attachments.pop("", None)
        return list(attachments.values())
