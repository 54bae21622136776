"""The message that a call belongs to: how the call ends there, and the chat's files.

A `Chat` is made for each call of what Open WebUI hands to a tool. Every call runs inside `answer`, which leaves the
message in order whatever happens. `keep` stores what was made as the user's own files and shows it; `kept` finds it
again. `media` lists what stands in the chat; `input_files`, `mask`, `offers` and `attached_workflow` give out of it
what a call works on. The rest reads Open WebUI's own settings. A file in a message looks like this:

    {"type": "image", "id": "5f0c...", "url": "/api/v1/files/5f0c.../content", "name": "a-red-fox-7.png",
     "content_type": "image/png"}

There are three kinds of chats. A saved one is in the database, with all its messages and their files. A temporary one
("local:...", since Open WebUI 0.11 "temporary:...") is not, and the messages of a channel ("channel:...") are not read:
what was made in these two, this process remembers in `ELSEWHERE`. A preview could not be taken away again in channels,
and since 0.12 in temporary chats, so there is none. Facts are those of Open WebUI 0.9.6 to 0.12.4.
"""

import asyncio
import contextlib
import functools
import hmac
import io
import math
import mimetypes
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from ..catalogue.choosing import Offer
from ..catalogue.entries import ATTACHED, Entry
from ..errors import BadArgument, ComfyUIError, InternalError, LimitExceeded, StorageRefused, UnknownWorkflow
from ..graph.reading import read_workflow_file
from ..logs import log
from ..media.kinds import MAX_INPUT_BYTES, MAX_INPUT_FILES, OutputFile
from ..media.pictures import InputFile, mask_of, read_input, read_mask, read_picture_workflow
from ..names import quoted, shortened
from ..run.follow import GOES_ON
from ..run.owner import Owner
from ..tasks import ANSWER_SECONDS, CLEAN_UP_SECONDS, finish
from .display import Display, Emit
from .ollama import Ollama
from .references import DATA_URI, FILE_REFERENCE, OF_AUTHOR, OF_IMAGE, pick_pictures, read_data_uri, read_references

# A picture in a text, in Markdown. Between its brackets are none, so that no text is gone through again and again.
SHOWN_FILE = re.compile(r"!\[[^\[\]]*\]\(\s*[^\s()]*?/api/v1/files/([0-9a-fA-F-]{36})/content")
TOOL_PICTURES = "Here are the images from the tool results above"  # how Open WebUI shows a model what tools return
ATTACHMENTS = 20  # files of a user that are looked into for a workflow


@dataclass(frozen=True)
class ChatFile:
    """A picture, video or sound that stands in a chat."""

    kind: str  # "image", "video" or "audio"
    reference: str  # its id in Open WebUI, or a data URI

    @classmethod
    def of(cls, item: Any) -> "ChatFile | None":
        """What an item of a message's files is, or None for anything else."""
        if not isinstance(item, Mapping):
            return None
        inner = item.get("file")
        meta = inner.get("meta") if isinstance(inner, Mapping) else None
        named = item.get("content_type") or (meta.get("content_type") if isinstance(meta, Mapping) else None)
        kind = str(named or mimetypes.guess_type(str(item.get("name") or ""))[0] or "").partition("/")[0]
        kind = "image" if item.get("type") == "image" else kind
        for place in (item.get("id"), item.get("url")):
            found = FILE_REFERENCE.fullmatch(str(place or ""))
            if kind in ("image", "video", "audio") and (found or DATA_URI.match(str(place or ""))):
                return cls(kind, found[1] if found else str(place))
        return None


REMEMBERED_CHATS = 200  # that are not in the database
REMEMBERED_MESSAGES = 200  # of each; a channel has no end
# Chat id -> message id -> what was made for it, in chats that are not in the database.
ELSEWHERE: dict[str, dict[str, "UnsavedMessage"]] = {}


@dataclass(frozen=True)
class UnsavedMessage:
    """What was made for a message in a chat that is not in the database."""

    turn: int  # of the user's messages, from 1; 0 where none is known
    files: tuple[Mapping[str, Any], ...]  # as a message holds them


JOB_KEY = "comfyui_job"  # under which a stored file tells of the run that made it
STORED_AT_ONCE = 4  # files
KEPT_PAGE, KEPT_PAGES = 100, 20  # of a user's newest files, that are looked through for those of a job
# What the page's browser draws as a picture; others are offered for download.
DRAWN = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/avif", "image/bmp", "image/svg+xml")


@dataclass
class StoredOutputs:
    """What is stored of a job that made `of` files."""

    of: int
    files: list[dict[str, Any]] = field(default_factory=list)  # as a message holds them
    sources: list[str] = field(default_factory=list)  # what each is called on its server, in the order of storing

    @property
    def whole(self) -> bool:
        """Whether nothing is missing; what is, the user may have deleted."""
        return len(self.files) >= self.of


class Chat:
    """The message that a call belongs to, in Open WebUI's terms. One object for each call."""

    def __init__(
        self,
        request: Any = None,
        user: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        emit: Emit | None = None,
        chat_id: str | None = None,
        message_id: str | None = None,
        messages: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """What Open WebUI hands to a tool; all of it may be missing."""
        metadata = metadata or {}
        self.request = request
        self.user = user or {}
        self.chat_id = chat_id or metadata.get("chat_id") or ""
        self.message_id = message_id or metadata.get("message_id") or ""
        self._metadata = metadata
        self._messages = messages or ()
        self._emit = emit
        self._files: list[dict[str, Any]] = []  # what the message really holds
        self._media: list[ChatFile] | None = None  # what the chat holds, once that is known
        self._display: Display | None = None
        self.shown = bool(self.message_id)  # whether the user sees what is kept

    @property
    def saved(self) -> bool:
        """Whether the chat is in the database."""
        passing = self.chat_id.startswith(("local:", "temporary:", "channel:"))
        return bool(self.chat_id and self.message_id and not passing)

    @property
    def channel(self) -> bool:
        """Whether the message stands in a channel: no status is shown there, and every picture sent there stays."""
        return self.chat_id.startswith("channel:")

    # A call from its beginning to its end.

    async def answer(self, work: Callable[[Display], Awaitable[tuple[dict[str, Any], str]]]) -> dict[str, Any]:
        """Do a call's work and see that the message is left in order whatever happens: the last status is written, no
        preview stays, and the model gets a dictionary, of an error too. `work` returns that dictionary and the last
        status.

        A cancellation is raised again after the clean-up.
        """
        try:
            result, text = await work(await self._begin())
        except asyncio.CancelledError as stop:
            notes = getattr(stop, "__notes__", ())
            text = f"Stopped. {notes[0]}" if notes else "Stopped"
            text = notes[0] if notes and notes[0].startswith(GOES_ON) else text
            await finish(self._close(text), CLEAN_UP_SECONDS)
            raise
        except ComfyUIError as error:
            log.info("%s: %s", error.code, error.message)
            result, text = error.as_result(), error.message
        except Exception as error:
            log.exception("a mistake in the ComfyUI tool")
            result, text = InternalError(f"The tool failed ({type(error).__name__}).").as_result(), "The tool failed"
        await finish(self._close(text), ANSWER_SECONDS)
        return result

    async def _begin(self) -> Display:
        """Begin to show the run. Previews only go where they can be taken away again."""
        self._files = await self._real_files()
        shown = bool(self.message_id) and not self.channel
        self._display = Display(await self._live() if shown else None, self._files, shown and not self._adds())
        self._display.start()
        return self._display

    async def _close(self, text: str) -> None:
        """Take the preview away and write the last status, the one whether or not the other succeeds."""
        try:
            if self._display:
                await self._display.stop()
            if self._display and self._display.preview_shown and (emit := await self._live()):
                files = [dict(item) for item in self._files]
                async with asyncio.timeout(CLEAN_UP_SECONDS / 2):
                    await emit({"type": "chat:message:files", "data": {"files": files}})
        except Exception as error:
            log.warning("the preview could not be taken away: %s", type(error).__name__)
        await self._say("status", {"description": text, "done": True})

    async def _live(self) -> Emit | None:
        """An emitter that reaches the user's browser and writes nothing to the database."""
        if self._emit is None:
            return None
        from open_webui.socket.main import get_event_emitter

        about = {"chat_id": self.chat_id, "message_id": self.message_id, "user_id": self.user.get("id")}
        emit: Emit = await get_event_emitter({**about, "internal": self._metadata.get("internal")}, update_db=False)
        return emit

    async def _real_files(self) -> list[dict[str, Any]]:
        """The files that the message holds already, of an earlier call in the same answer."""
        if not self.saved:
            made = ELSEWHERE.get(self.chat_id, {}).get(self.message_id)
            return [dict(item) for item in made.files] if made else []
        from open_webui.models.chats import Chats

        message = await Chats.get_message_by_id_and_message_id(self.chat_id, self.message_id)
        return list((message or {}).get("files") or ())

    def _adds(self) -> bool:
        """Whether files that are sent are added to what the message shows, instead of replacing it: in channels, and in
        temporary chats since 0.12.0."""
        if self.channel or self.saved or not self.message_id:
            return self.channel
        from open_webui import env

        return tuple(int(part) for part in re.findall(r"\d+", str(env.VERSION))[:2]) >= (0, 12)

    async def _say(self, kind: str, data: dict[str, Any]) -> None:
        """Send an event by the emitter of the call, which also writes some kinds to the database."""
        if self._emit:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._emit({"type": kind, "data": data})

    # What was made: stored as the user's files, and shown in the message.

    async def keep(self, products: Sequence[OutputFile], stem: str) -> list[dict[str, Any]]:
        """Store files as the user's own, under telling names, and show them in the message, in their order.

        Returns what a message holds of each. What was stored before a failure is shown all the same; raises
        `StorageRefused` for it, naming what is still on the ComfyUI server.
        """
        gate = asyncio.Semaphore(STORED_AT_ONCE)

        async def store(index: int, product: OutputFile) -> dict[str, Any]:
            name = f"{stem}-{index + 1}" if len(products) > 1 else stem
            async with gate:
                return await self._upload(f"{name}.{product.ending}", product)

        tasks = [asyncio.create_task(store(*item)) for item in enumerate(products)]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            failures = [None if task.cancelled() else task.exception() for task in tasks]
            fine = [not task.cancelled() and failure is None for task, failure in zip(tasks, failures, strict=True)]
            stored = [task.result() for task, good in zip(tasks, fine, strict=True) if good]
            if stored:
                self.shown = await finish(self._attach(stored), ANSWER_SECONDS) and self.shown
        error = next((failure for failure in failures if failure), None)
        if error is None:
            return stored
        reason = getattr(error, "detail", None) or type(error).__name__  # an HTTPException, or the storage's own
        left = quoted(item.source for item, good in zip(products, fine, strict=True) if item.source and not good)
        hint = f"In ComfyUI's output folder: {left}." if left else "Nothing is left of it on the ComfyUI server."
        hint += f" The other {len(stored)} are stored{' and shown' * self.shown}." if stored else ""
        raise StorageRefused(f"Open WebUI did not store the file: {shortened(reason, 200)}", hint)

    async def _upload(self, name: str, product: OutputFile) -> dict[str, Any]:
        """Store one file; returns what a message holds of it. Its metadata tells which job made it, for `kept`."""
        from fastapi import UploadFile
        from open_webui.models.files import Files
        from open_webui.models.users import Users
        from open_webui.routers.files import upload_file_handler
        from starlette.datastructures import Headers

        if self.saved:
            about = {"chat_id": self.chat_id, "message_id": self.message_id}
        elif self.channel:
            about = {"channel_id": self.chat_id.removeprefix("channel:"), "message_id": self.message_id}
        else:
            about = {}
        if product.prompt_id:
            about[JOB_KEY] = {"prompt_id": product.prompt_id, "source": product.source, "of": product.of}
        upload = UploadFile(
            file=io.BytesIO(product.data), filename=name, headers=Headers({"content-type": product.content_type})
        )
        user = await Users.get_user_by_id(str(self.user.get("id")))
        # without process=False Open WebUI would try to read text out of the picture
        item = await upload_file_handler(self.request, file=upload, metadata=about, process=False, user=user)
        kept = message_file(item, bool(product.size) and product.content_type in DRAWN)
        if kept["type"] == "file":
            await Files.update_file_data_by_id(item.id, {"content": file_page(product, kept["url"])})
        return kept

    async def _attach(self, stored: list[dict[str, Any]]) -> None:
        """Add files to the message, in the database or the memory of this process, and in the browser."""
        if self._display:  # no preview may come after the pictures
            await self._display.stop()
        shown = [*self._files, *stored]
        if self.saved:
            from open_webui.models.chats import Chats

            ids = [item["id"] for item in stored]
            await Chats.insert_chat_files(self.chat_id, self.message_id, ids, str(self.user.get("id")))
            shown = await Chats.add_message_files_by_id_and_message_id(self.chat_id, self.message_id, stored) or shown
        elif self.chat_id:
            made = ELSEWHERE.setdefault(self.chat_id, {})
            made[self.message_id] = UnsavedMessage(len(self._said()), tuple(map(dict, shown)))
            for remembered, most in ((made, REMEMBERED_MESSAGES), (ELSEWHERE, REMEMBERED_CHATS)):
                for oldest in list(remembered)[:-most]:
                    del remembered[oldest]
            shown = stored if self._adds() else shown
        self._files, self._media = shown, None
        await self._say("chat:message:files", {"files": [dict(item) for item in shown]})
        if self._display:
            self._display.preview_shown = False

    async def kept(self, jobs: Mapping[str, float]) -> "dict[str, StoredOutputs]":
        """What is stored already of the user's jobs, by prompt id. `jobs` tells for each when it was posted, in seconds
        since 1970: no older files are looked at. A job of which the user has deleted everything is not in it."""
        from open_webui.models.files import Files

        found: dict[str, StoredOutputs] = {}
        since = min(jobs.values(), default=math.inf)
        for page in range(KEPT_PAGES):
            files = await Files.search_files(str(self.user.get("id")), skip=page * KEPT_PAGE, limit=KEPT_PAGE)
            for item in files:
                told = ((item.meta or {}).get("data") or {}).get(JOB_KEY) or {}
                job = str(told.get("prompt_id"))
                if job in jobs:
                    kept = found.setdefault(job, StoredOutputs(int(told["of"])))
                    kept.sources.append(str(told["source"]))
                    kept.files.append(message_file(item, "content" not in (item.data or {})))
            if len(files) < KEPT_PAGE or (files[-1].created_at or 0) < since:
                break
        for kept in found.values():
            kept.files.sort(key=lambda file: (len(file["name"]), file["name"]))  # "-2" before "-10"
        return found

    async def show_again(self, items: list[dict[str, Any]]) -> None:
        """Show files in the message that are stored already."""
        self.shown = await finish(self._attach(items), ANSWER_SECONDS) and self.shown

    # What stands in the chat, and what is said of it by number.

    async def media(self) -> list[ChatFile]:
        """The pictures, videos and sounds of the chat up to this message, oldest first; their place among the pictures
        is the number that a model gives."""
        if self._media is not None:
            return self._media
        found: list[ChatFile] = []
        for message in await self._branch():
            here = [ChatFile.of(item) for item in message.get("files") or ()]
            known: set[str] = set()
            if message.get("role") == "assistant":
                known = {file.reference for file in found}
                if isinstance(text := message.get("content"), str):
                    here += [ChatFile("image", shown) for shown in SHOWN_FILE.findall(text)]
            for file in here:
                if file and file.reference not in known:  # a text may show a video as if it were a picture
                    known.add(file.reference)
                    found.append(file)
        self._media = found
        return found

    async def numbers(self, files: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """The numbers that these files have in the chat if they are pictures, by id; none when the chat cannot be
        read."""
        try:
            pictures = [file.reference for file in await self.media() if file.kind == "image"] if self.shown else []
        except Exception as error:  # the pictures themselves are stored and shown
            log.warning("the pictures of the chat could not be counted: %s", type(error).__name__)
            return {}
        return {item["id"]: pictures.index(item["id"]) + 1 for item in files if item["id"] in pictures}

    async def _branch(self) -> list[Mapping[str, Any]]:
        """The messages up to this one, oldest first: of a saved chat as they are, of any other put together from what
        is known."""
        asked = {"role": "user", "files": (self._metadata.get("user_message") or {}).get("files")}
        if self.saved:
            from open_webui.models.chats import Chats

            messages = await Chats.get_messages_map_by_chat_id(self.chat_id) or {}
            at = self.message_id if self.message_id in messages else str(self._metadata.get("user_message_id") or "")
            branch, seen = list[Mapping[str, Any]](), set[str]()
            while (message := messages.get(at)) and at not in seen:
                seen.add(at)
                branch.insert(0, message)
                at = message.get("parentId") or ""
            own: list[Mapping[str, Any]] = []
            if self.message_id in seen:  # before 0.12 the map lacks what was just stored with it
                own = [{**branch.pop(), "files": await self._real_files()}]
            if branch and branch[-1].get("role") == "user":
                asked["files"] = [*(branch.pop().get("files") or ()), *(asked["files"] or ())]
            return [*branch, asked, *own]
        made, said = self._made(), self._said()
        branch = [{"role": "assistant", "files": one.files} for one in made if one.turn == 0]
        for turn, files in enumerate(said, 1):
            # A model without vision is sent no pictures.
            branch.append({"role": "user", "files": files or (asked["files"] if turn == len(said) else ())})
            branch += [{"role": "assistant", "files": one.files} for one in made if one.turn == turn]
        return branch if said else [asked, *branch]

    def _made(self) -> list[UnsavedMessage]:
        """What was made on this branch of a chat that is not in the database. Which of several answers to one message
        the user went on with, the results in the messages tell."""
        made = ELSEWHERE.get(self.chat_id, {})
        if self.channel:
            return list(made.values())
        told = " ".join(str(message.get("content")) for message in self._messages if message.get("role") != "user")
        on = {key for key, one in made.items() if any(str(item.get("id")) in told for item in one.files)}
        settled, now = {made[key].turn for key in on}, len(self._said())
        on |= {
            key for key, one in made.items() if key == self.message_id or (one.turn < now and one.turn not in settled)
        }
        return [one for key, one in made.items() if key in on]

    def _said(self) -> list[list[dict[str, str]]]:
        """The pictures of each of the user's messages, as they are sent to the model."""
        turns: list[list[dict[str, str]]] = []
        for message in self._messages:
            parts = message.get("content")
            parts = [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
            shown_to_model = any(str(part.get("text", "")).startswith(TOOL_PICTURES) for part in parts)
            if message.get("role") == "user" and not shown_to_model:
                urls = [part.get("image_url") for part in parts]
                urls = [url.get("url") if isinstance(url, Mapping) else url for url in urls]
                turns.append([{"type": "image", "url": url} for url in urls if isinstance(url, str)])
        return turns

    # What a call works on.

    async def input_files(self, references: Any, keep: bool = False, name: str = "images") -> list[InputFile | None]:
        """Files of the chat as a workflow's inputs, given by the argument called `name`: a list, one text, or a list in
        a text, of numbers, "last", "last 2", ids or addresses. With `keep` the word "saved" stands for the workflow's
        own file, as None.

        Raises `BadArgument`, and `LimitExceeded` for more, or larger ones, than a workflow could take.
        """
        wanted: list[str | None] = []
        for words in read_references(references, name):
            wanted += [None] if keep and words.lower() in OF_AUTHOR else await self._meant(words)
        if len(wanted) > MAX_INPUT_FILES:
            raise LimitExceeded(f"{len(wanted)} files were given.", f"Give at most {MAX_INPUT_FILES}.")
        files: list[InputFile | None] = []
        for one in wanted:
            files.append(await self._input_file(one) if one is not None else None)
            if sum(len(file.data) for file in files if file) > MAX_INPUT_BYTES:
                raise LimitExceeded(f"The files have more than {MAX_INPUT_BYTES // 2**20} MB.", "Give smaller ones.")
        return files

    async def _meant(self, words: str) -> list[str]:
        """The ids, addresses or data URIs that one word of a call means. Raises `BadArgument`."""
        if FILE_REFERENCE.fullmatch(words) or DATA_URI.match(words):
            return [words]
        return pick_pictures(words, [file.reference for file in await self.media() if file.kind == "image"])

    async def _input_file(self, reference: str) -> InputFile:
        """A file as a workflow's input. Raises as `read_file` does, and `BadArgument` for a kind that none takes."""
        name, data = await self.read_file(reference)
        return await asyncio.to_thread(read_input, data, name)

    async def newest(self) -> InputFile:
        """The newest picture of the chat, whoever made it. Raises `BadArgument` when there is none."""
        offer = (await self.offers()).get("image")
        if offer is None:
            raise BadArgument(
                "There is no picture in this chat.", "Ask the user to attach one, or make one with generate_image."
            )
        return await offer()

    async def offers(self) -> dict[str, Offer]:
        """The chat's newest file of each kind, to be read when it is needed."""
        return {file.kind: functools.partial(self._input_file, file.reference) for file in await self.media()}

    async def mask(self, value: Any, picture: InputFile) -> Image.Image | None:
        """A mask for a picture (mode L, white is painted anew), given as one of the chat's pictures, or by the word
        "transparency" for the see-through part of the picture itself; None when none is given. Raises `BadArgument`."""
        words = read_references(value, "mask")
        if not words:
            return None
        if words[0].lower() in OF_IMAGE:
            own = await asyncio.to_thread(mask_of, picture)
            if own is None:
                raise BadArgument("The picture has no transparent part.", "Give a mask of its own, or none.")
            return own
        references = [reference for word in words for reference in await self._meant(word)]
        if len(references) != 1:
            raise BadArgument("The argument mask names several pictures.", "Give one.")
        name, data = await self.read_file(references[0])
        return await asyncio.to_thread(read_mask, data, name)

    async def read_file(self, reference: str) -> tuple[str, bytes]:
        """Name and content of a file that the user may read, by its id or its address in this Open WebUI, or of a data
        URI.

        Raises `BadArgument` for any other: one that the user may not read cannot be told from one that is not there.
        Raises `LimitExceeded` for one that is too large.
        """
        if DATA_URI.match(reference):
            return await asyncio.to_thread(read_data_uri, reference)
        from open_webui.models.files import Files
        from open_webui.models.users import Users
        from open_webui.storage.provider import Storage
        from open_webui.utils.access_control.files import has_access_to_file

        found = FILE_REFERENCE.fullmatch(reference.strip())
        user = await Users.get_user_by_id(str(self.user.get("id")))
        item = await Files.get_file_by_id(found[1]) if found and user else None
        mine = item is not None and (item.user_id == user.id or user.role == "admin")  # as for Open WebUI itself
        if item is None or not (mine or await has_access_to_file(item.id, "read", user)):
            raise BadArgument(
                f'There is no file "{shortened(reference)}".',
                'Give a picture\'s number in this chat, "last", or the id or URL of one of its files.',
            )

        def content() -> bytes:
            path = Path(Storage.get_file(item.path))
            if path.stat().st_size > MAX_INPUT_BYTES:
                raise LimitExceeded(f'The file "{item.filename}" is larger than {MAX_INPUT_BYTES // 2**20} MB.')
            return path.read_bytes()

        try:
            return str(item.filename), await asyncio.to_thread(content)
        except ComfyUIError:
            raise
        except Exception:  # whatever the storage provider raises
            raise BadArgument(f'The file "{item.filename}" is not in the storage of Open WebUI any more.') from None

    async def attached_workflow(self) -> Entry:
        """The newest workflow among the files that the user attached to this chat: inside a picture that ComfyUI made,
        or as a JSON file.

        Raises `UnknownWorkflow` when nothing is attached, and `WorkflowRefused` or its kin when none is in what is
        attached.
        """
        refusal: ComfyUIError | None = None
        for reference in (await self._attachments())[:ATTACHMENTS]:
            try:
                name, data = await self.read_file(reference)
                if name.lower().endswith(".json"):
                    graph = await asyncio.to_thread(read_workflow_file, data)
                else:
                    graph = await asyncio.to_thread(read_picture_workflow, data, shortened(name))
                return Entry(ATTACHED, ATTACHED, graph)
            except ComfyUIError as error:
                refusal = refusal or error
        raise refusal or UnknownWorkflow(
            "No file is attached to this chat.", "Ask the user to attach a picture that ComfyUI made, or its JSON file."
        )

    async def _attachments(self) -> list[str]:
        """The ids or addresses of the files that the user attached, newest first: of this turn, then of the earlier
        ones."""
        turns = [message.get("files") or () for message in await self._branch() if message.get("role") == "user"]
        items = [item for turn in turns for item in turn if isinstance(item, Mapping)]
        items += [item for item in self._metadata.get("files") or () if isinstance(item, Mapping)]
        references = [str(item.get("id") or item.get("url") or "") for item in reversed(items)]
        return list(dict.fromkeys(filter(None, references)))

    # What Open WebUI's settings, and the model, say about the call.

    @property
    def owner(self) -> Owner:
        """Whose jobs this call's are. The key comes from Open WebUI's own secret, so that all of its workers agree, and
        still do after a restart."""
        env = sys.modules.get("open_webui.env")
        secret = str(getattr(env, "WEBUI_SECRET_KEY", "") or "")
        user = str(self.user.get("id") or "")
        if not secret:
            return Owner(user)
        # Several processes, or machines, need Redis to tell one another of their chats.
        shared = getattr(env, "REDIS_URL", "") or getattr(env, "WEBSOCKET_MANAGER", "")
        alone = getattr(env, "UVICORN_WORKERS", None) == 1 and not shared
        return Owner(user, hmac.new(secret.encode(), b"comfyui_tool: whose job", "sha256").digest(), alone)

    @property
    def seen_by_model(self) -> bool:
        """Whether the model gets to see pictures in a result. It has to have vision and to call natively, and Open
        WebUI has to take pictures out of a result's text (since 0.11.4)."""
        model = self._metadata.get("model") or {}
        about = ((model.get("info") or {}).get("meta") or {}).get("capabilities") or {}
        native = (self._metadata.get("params") or {}).get("function_calling") != "legacy"
        takes = hasattr(sys.modules.get("open_webui.utils.middleware"), "extract_base64_images")
        return takes and native and about.get("vision") is not False

    async def comfyui_address(self) -> str:
        """The address of ComfyUI in Open WebUI's own image settings, or ""."""
        with contextlib.suppress(ImportError, AttributeError):
            from open_webui.models.config import Config

            return str(await Config.get("image_generation.comfyui.base_url") or "")
        with contextlib.suppress(AttributeError):  # before 0.10 the settings hang on the application
            return str(self.request.app.state.config.COMFYUI_BASE_URL or "")
        return ""

    async def ollamas(self) -> list[Ollama]:
        """The Ollamas in Open WebUI's own settings."""
        with contextlib.suppress(ImportError, AttributeError):
            from open_webui.models.config import Config

            keys = ("ollama.enable", "ollama.base_urls", "ollama.api_configs")
            return Ollama.all_of(*[await Config.get(key) for key in keys])
        with contextlib.suppress(AttributeError):  # before 0.10 the settings hang on the application
            config = self.request.app.state.config
            return Ollama.all_of(config.ENABLE_OLLAMA_API, config.OLLAMA_BASE_URLS, config.OLLAMA_API_CONFIGS)
        return []

    async def unload_ollama(self) -> None:
        """Have every Ollama unload its models, all at the same time. Like `Ollama.unload` it never raises."""
        try:
            await asyncio.gather(*(ollama.unload() for ollama in await self.ollamas()))
        except Exception as error:
            log.info("Open WebUI does not tell of its Ollamas: %s", type(error).__name__)


def message_file(item: Any, drawn: bool) -> dict[str, Any]:
    """What a message holds of a stored file (`item` as Open WebUI's `Files` gives it): a picture that is `drawn`, or a
    file that is offered for download."""
    meta = item.meta or {}
    name, content_type = str(meta.get("name") or item.filename), str(meta.get("content_type") or "")
    url = f"/api/v1/files/{item.id}/content"
    kept = {"id": item.id, "url": url, "name": name, "content_type": content_type}
    if drawn:
        return {"type": "image", **kept}
    return {"type": "file", **kept, "size": int(meta.get("size") or 0)}


TEXT_SHOWN = 100_000  # characters of a text that its dialog shows


def file_page(product: OutputFile, url: str) -> str:
    """What Open WebUI's dialog shows of a file that is no picture, in Markdown: a player, the text, or a way to
    download it. It is stored with the file."""
    kind, _, detail = product.content_type.partition("/")
    if kind in ("video", "audio"):
        return player(kind, url, ' style="max-width:100%;max-height:20rem"')  # the dialog is not high
    if kind == "text" or detail == "json":
        text = product.data[: 4 * TEXT_SHOWN].decode("utf-8", "replace")[:TEXT_SHOWN]
        return f"```json\n{text}\n```" if detail == "json" else text
    return f"[Download]({url})"


def player(kind: str, url: str, style: str = "") -> str:
    """A player in the one form that the page draws in an answer's text, where the inner text counts, as well as in a
    file's dialog, where the attribute does: a block of HTML of its own."""
    return f'<p><{kind} src="{url}" controls{style}>{url}</{kind}></p>'
