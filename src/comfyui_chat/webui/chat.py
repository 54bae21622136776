"""The message that a call belongs to: how the call ends there, and the chat's files.

A `Chat` is made for each call of what Open WebUI hands to a tool. Every call runs inside `answer`,
which leaves the message in order whatever happens. `keep` stores what was made as the user's own
files and shows it; `kept` finds it again. `media` lists what stands in the chat (webui/messages.py
says how it is read); `input_files`, `mask`, `offers` and `attached_workflow` take from it what a
call works on. The rest reads Open WebUI's own settings.

There are three kinds of chats. A saved one is in the database, with all its messages and their
files. A temporary one ("local:...", since Open WebUI 0.11 "temporary:...") is not, and the messages
of a channel ("channel:...") are not read: what was made in these two is remembered by this process,
in `ELSEWHERE`. A preview could not be taken away again in channels, and since 0.12 in temporary
chats, so there is none. Facts are those of Open WebUI 0.9.6 to 0.12.4.
"""

import asyncio
import contextlib
import functools
import hmac
import math
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ..catalogue.entries import ATTACHED, Entry
from ..catalogue.request import Offer
from ..errors import BadArgument, ComfyUIError, LimitExceeded, UnknownWorkflow
from ..graph.reading import read_workflow_file
from ..logs import log
from ..media.kinds import MAX_INPUT_BYTES, MAX_INPUT_FILES, OutputFile
from ..media.pictures import InputFile, read_input, read_picture_page, read_picture_workflow
from ..names import shortened
from ..run.owner import Owner
from ..server.endpoint import Endpoint
from ..tasks import ANSWER_SECONDS, CLEAN_UP_SECONDS, finish
from ..threads import FILES, PICTURES
from .display import Display, Emit
from .messages import (
    ELSEWHERE,
    Attachment,
    ChatFile,
    Message,
    UnsavedMessage,
    attachments_called,
    made_on_branch,
    media_in,
    remember_unsaved,
    saved_branch,
    sent_pictures,
    unsaved_branch,
)
from .ollama import configured_ollamas
from .picking import NO_PICTURE, pick_pictures, split_words
from .references import OF_AUTHOR, file_references, read_references
from .stored_files import (
    DRAWN,
    JOB_KEY,
    StoredOutputs,
    as_served,
    file_page,
    message_file,
    read_stored_file,
    run_of,
    run_record,
    storage_refused,
    stored_seed,
)
from .telling import Hiding, brief, stop_text, told_failure

ATTACHMENTS = 20  # files of a user that are looked into for a workflow
STORED_AT_ONCE = 4  # files
LONGEST_STATUS = 1000  # characters
# of a user's newest files, that are looked through for those of a job
KEPT_PAGE, KEPT_PAGES = 100, 20


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
        self._user_id = str(self.user.get("id"))
        self.chat_id = chat_id or metadata.get("chat_id") or ""
        self.message_id = message_id or metadata.get("message_id") or ""
        self._metadata = metadata
        self._messages = messages or ()
        self._emit = emit
        self._files: list[dict[str, Any]] = []  # what the message really holds
        self._media: list[ChatFile] | None = None  # what the chat holds, once that is known
        # reference -> name of each file that was read for the workflow
        self.worked_on: dict[str, str] = {}
        self._display: Display | None = None
        self._hiding = Hiding()
        self.shown = bool(self.message_id)  # whether the user sees what is stored

    @property
    def is_admin(self) -> bool:
        """Whether an administrator asks."""
        return self.user.get("role") == "admin"

    @property
    def saved(self) -> bool:
        """Whether the chat is in the database."""
        unsaved = self.chat_id.startswith(("local:", "temporary:", "channel:"))
        return bool(self.chat_id and self.message_id and not unsaved)

    @property
    def channel(self) -> bool:
        """Whether the message stands in a channel: no status is shown there, and every picture sent
        there stays.
        """
        return self.chat_id.startswith("channel:")

    # A call from its beginning to its end.

    async def answer(
        self, work: Callable[[Display], Awaitable[tuple[dict[str, Any], str]]]
    ) -> dict[str, Any]:
        """Do a call's work and see that the message is left in order whatever happens: the last
        status is written, no preview stays, and the model gets a dictionary, of an error too.
        `work` returns that dictionary and the last status.

        A cancellation is raised again after the clean-up.
        """
        try:
            result, text = await work(await self._begin())
        except asyncio.CancelledError as stop:
            await finish(self._close(stop_text(stop)), CLEAN_UP_SECONDS)
            raise
        except Exception as error:
            result, text = told_failure(error, self.is_admin)
        await finish(self._close(shortened(text, LONGEST_STATUS)), ANSWER_SECONDS)
        answer: dict[str, Any] = self._hiding.of(brief(result))
        return answer

    def hide(self, endpoints: Sequence[Endpoint], secrets: Sequence[str] = ()) -> None:
        """Tell nobody but administrators where these servers are, and nobody these secrets, from
        now on.
        """
        self._hiding = Hiding(() if self.is_admin else tuple(endpoints), tuple(secrets))

    async def _begin(self) -> Display:
        """Begin to show the run. Previews only go where they can be taken away again."""
        self._files = await self._real_files()
        emit = None
        previews = False
        if self.message_id and not self.channel:
            emit = await self._live()
            previews = not self._adds()
        self._display = Display(
            emit, self._files, previews, lambda text: str(self._hiding.of(text))
        )
        self._display.start()
        return self._display

    async def _close(self, text: str) -> None:
        """Take the preview away and write the last status, the one whether or not the other
        succeeds.
        """
        try:
            await self._remove_preview()
        except Exception as error:
            log.warning("the preview could not be taken away: %s", type(error).__name__)
        await self._say("status", {"description": self._hiding.of(text), "done": True})

    async def _remove_preview(self) -> None:
        """Show the message's own files alone again, if a preview is among them."""
        if self._display is None:
            return
        await self._display.stop()
        if not self._display.preview_shown:
            return
        emit = await self._live()
        if emit:
            files = [dict(item) for item in self._files]
            async with asyncio.timeout(CLEAN_UP_SECONDS / 2):
                await emit({"type": "chat:message:files", "data": {"files": files}})

    async def _live(self) -> Emit | None:
        """An emitter that reaches the user's browser and writes nothing to the database."""
        if self._emit is None:
            return None
        from open_webui.socket.main import get_event_emitter

        about = {
            "chat_id": self.chat_id,
            "message_id": self.message_id,
            "user_id": self.user.get("id"),
            "internal": self._metadata.get("internal"),
        }
        emit: Emit = await get_event_emitter(about, update_db=False)
        return emit

    async def _real_files(self) -> list[dict[str, Any]]:
        """The files that the message holds already, of an earlier call in the same answer."""
        if not self.saved:
            remembered = ELSEWHERE.get(self.chat_id, {})
            if self.message_id not in remembered:
                return []
            return [dict(item) for item in remembered[self.message_id].files]
        from open_webui.models.chats import Chats

        message = await Chats.get_message_by_id_and_message_id(self.chat_id, self.message_id)
        if not message:
            return []
        return list(message.get("files") or ())

    def _adds(self) -> bool:
        """Whether files that are sent are added to what the message shows, instead of replacing it:
        in channels, and in temporary chats since 0.12.0.
        """
        if self.channel:
            return True
        if self.saved or not self.message_id:
            return False
        from open_webui import env

        numbers = re.findall(r"\d+", str(env.VERSION))
        return tuple(int(number) for number in numbers[:2]) >= (0, 12)

    async def _say(self, kind: str, data: dict[str, Any]) -> None:
        """Send an event by the emitter of the call, which also writes some kinds to the
        database.
        """
        if self._emit:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._emit({"type": kind, "data": data})

    # What was made: stored as the user's files, and shown in the message.

    async def keep(self, products: Sequence[OutputFile], stem: str) -> list[dict[str, Any]]:
        """Store files as the user's own, in names that begin with `stem`, and show them in the
        message in their order.

        Returns what a message holds of each. What was stored before a failure is shown all the
        same; raises `StorageRefused` for it, naming what is still on the ComfyUI server.
        """
        gate = asyncio.Semaphore(STORED_AT_ONCE)

        async def store(product: OutputFile, name: str) -> dict[str, Any]:
            async with gate:
                served, ending = await PICTURES.run(as_served, product)
                return await self._upload(f"{name}.{ending}", served)

        names = [stem]
        if len(products) > 1:
            names = [f"{stem}-{number}" for number in range(1, len(products) + 1)]
        tasks = [asyncio.create_task(store(*pair)) for pair in zip(products, names, strict=True)]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            stored = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
            if stored:
                await self.show_again(stored)
        failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if failures:
            pairs = zip(products, outcomes, strict=True)
            left = [
                product.source for product, outcome in pairs if isinstance(outcome, BaseException)
            ]
            raise storage_refused(failures[0], left, len(stored), shown=self.shown)
        return stored

    async def _upload(self, name: str, product: OutputFile) -> dict[str, Any]:
        """Store one file; returns what a message holds of it. Its metadata tells which job made it,
        for `kept`.
        """
        from fastapi import UploadFile
        from open_webui.models.files import Files
        from open_webui.models.users import Users
        from open_webui.routers.files import upload_file_handler
        from starlette.datastructures import Headers

        about: dict[str, Any] = {}
        if self.saved:
            about = {"chat_id": self.chat_id, "message_id": self.message_id}
        elif self.channel:
            about = {
                "channel_id": self.chat_id.removeprefix("channel:"),
                "message_id": self.message_id,
            }
        if product.prompt_id:
            about[JOB_KEY] = run_record(product)
        headers = Headers({"content-type": product.content_type})
        upload = UploadFile(file=product.data.reader(), filename=name, headers=headers)
        user = await Users.get_user_by_id(self._user_id)
        # without process=False Open WebUI would try to read text out of the picture
        item = await upload_file_handler(
            self.request, file=upload, metadata=about, process=False, user=user
        )
        drawn = product.size is not None and product.content_type in DRAWN
        stored = message_file(item, drawn)
        if not drawn:
            page = self._hiding.of(file_page(product, stored["url"]))
            await Files.update_file_data_by_id(item.id, {"content": page})
        return stored

    async def _attach(self, stored: list[dict[str, Any]]) -> None:
        """Add files to the message, in the database or the memory of this process, and in the
        browser.
        """
        if self._display:  # no preview may come after the pictures
            await self._display.stop()
        shown = [*self._files, *stored]
        if self.saved:
            from open_webui.models.chats import Chats

            ids = [item["id"] for item in stored]
            await Chats.insert_chat_files(self.chat_id, self.message_id, ids, self._user_id)
            shown = (
                await Chats.add_message_files_by_id_and_message_id(
                    self.chat_id, self.message_id, stored
                )
                or shown
            )
        elif self.chat_id:
            message = UnsavedMessage(len(sent_pictures(self._messages)), tuple(map(dict, shown)))
            remember_unsaved(self.chat_id, self.message_id, message)
            if self._adds():
                shown = stored
        self._files = shown
        self._media = None
        await self._say("chat:message:files", {"files": [dict(item) for item in shown]})
        if self._display:
            self._display.preview_shown = False

    async def kept(self, jobs: Mapping[str, float]) -> "dict[str, StoredOutputs]":
        """What is stored already of the user's jobs, by prompt id. `jobs` tells for each when it
        was posted, in seconds since 1970: no older files are looked at. A job of which the user has
        deleted everything is not in it.
        """
        from open_webui.models.files import Files

        outputs: dict[str, StoredOutputs] = {}
        since = min(jobs.values(), default=math.inf)
        for page in range(KEPT_PAGES):
            files = await Files.search_files(self._user_id, skip=page * KEPT_PAGE, limit=KEPT_PAGE)
            for item in files:
                run = run_of(item)
                prompt_id = str(run.get("prompt_id"))
                if prompt_id not in jobs:
                    continue
                if prompt_id not in outputs:
                    outputs[prompt_id] = StoredOutputs(int(run["of"]))
                outputs[prompt_id].add(item, str(run["source"]))
            if len(files) < KEPT_PAGE:
                break
            oldest = files[-1].created_at or 0
            if oldest < since:
                break
        for job in outputs.values():
            job.files.sort(key=lambda file: (len(file["name"]), file["name"]))  # "-2" before "-10"
        return outputs

    async def show_again(self, items: list[dict[str, Any]]) -> None:
        """Show files in the message that are stored already."""
        attached = await finish(self._attach(items), ANSWER_SECONDS)
        self.shown = self.shown and attached

    # What stands in the chat, and what is said of it by number.

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
        return {file_id: pictures.index(file_id) + 1 for file_id in ids if file_id in pictures}

    async def _branch(self) -> list[Message]:
        """The messages up to this one, oldest first: of a saved chat as they are, of any other put
        together from what is known.
        """
        attached = (self._metadata.get("user_message") or {}).get("files") or ()
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
        newest = self.message_id
        if newest not in messages:
            newest = str(self._metadata.get("user_message_id") or "")
        branch = saved_branch(messages, newest)
        own: list[Message] = []
        if branch and newest == self.message_id:
            message = branch.pop()
            # before 0.12 the map lacks what was just stored with the message
            files = await self._real_files()
            own.append({**message, "files": files})
        if branch and branch[-1].get("role") == "user":
            question = branch.pop()
            attached = [*(question.get("files") or ()), *attached]
        branch.append({"role": "user", "files": attached})
        return branch + own

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
                wanted += await self._meant(words)
        return await self.read_inputs(wanted)

    async def meant_files(self, references: Any, name: str) -> list[str]:
        """The ids, addresses or data URIs of the files that the argument called `name` means.
        Raises `BadArgument`.
        """
        meant: list[str] = []
        for words in await self._words(references, name):
            meant += await self._meant(words)
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

    async def _meant(self, words: str) -> list[str]:
        """The ids, addresses or data URIs that one word of a call means. Raises `BadArgument`."""
        named = file_references(words)
        if named:
            return named
        pictures = await self.pictures()
        return [pictures[number - 1].reference for number in pick_pictures(words, pictures)]

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

    async def sent_offers(self) -> tuple[Offer, ...]:
        """The pictures that `newest_pictures` tells, to be read when they are needed."""
        pictures = await self.newest_pictures() if await self.pictures() else []
        return tuple(functools.partial(self._input_file, file.reference) for file in pictures)

    async def offers(self) -> dict[str, Offer]:
        """The chat's newest file of each kind, to be read when it is needed."""
        offers: dict[str, Offer] = {}
        for file in await self.media():
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

    # What Open WebUI's settings, and the model, say about the call.

    @property
    def owner(self) -> Owner:
        """Whose jobs this call's are. The key comes from Open WebUI's own secret, so that all of
        its workers agree, and still do after a restart.
        """
        env = sys.modules.get("open_webui.env")
        secret = str(getattr(env, "WEBUI_SECRET_KEY", "") or "")
        user = str(self.user.get("id") or "")
        if not secret:
            return Owner(user)
        # Several processes, or machines, need Redis to tell one another of their chats.
        shared = getattr(env, "REDIS_URL", "") or getattr(env, "WEBSOCKET_MANAGER", "")
        alone = getattr(env, "UVICORN_WORKERS", None) == 1 and not shared
        key = hmac.digest(secret.encode(), b"comfyui_tool: whose job", "sha256")
        return Owner(user, key, alone)

    @property
    def seen_by_model(self) -> bool:
        """Whether the model gets to see pictures in a result. It has to have vision and to call
        natively, and Open WebUI has to take pictures out of a result's text (since 0.11.4).
        """
        model = self._metadata.get("model") or {}
        meta = (model.get("info") or {}).get("meta") or {}
        capabilities = meta.get("capabilities") or {}
        if capabilities.get("vision") is False:
            return False
        params = self._metadata.get("params") or {}
        if params.get("function_calling") == "legacy":
            return False
        return hasattr(sys.modules.get("open_webui.utils.middleware"), "extract_base64_images")

    async def comfyui_address(self) -> str:
        """The address of ComfyUI in Open WebUI's own image settings, or ""."""
        with contextlib.suppress(ImportError, AttributeError):
            from open_webui.models.config import Config

            return str(await Config.get("image_generation.comfyui.base_url") or "")
        # before 0.10 the settings hang on the application
        with contextlib.suppress(AttributeError):
            return str(self.request.app.state.config.COMFYUI_BASE_URL or "")
        return ""

    async def unload_ollama(self) -> None:
        """Have every Ollama in Open WebUI's own settings unload its models, all at the same time.
        Like `Ollama.unload` it never raises.
        """
        try:
            ollamas = await configured_ollamas(self.request)
            await asyncio.gather(*[ollama.unload() for ollama in ollamas])
        except Exception as error:
            log.info("Open WebUI does not tell of its Ollamas: %s", type(error).__name__)
