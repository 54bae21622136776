"""The message that a call belongs to: how the call ends there, and what is stored in it.

A `Chat` is made for each call of what Open WebUI hands to a tool. Every call runs inside `answer`,
which leaves the message in order whatever happens. `keep` stores what was made as the user's own
files and shows it; `kept` finds it again. It is written into the message at the end, together with
the buttons and the last status (webui/message_writes.py). What stands in the chat already, and what
a call takes from there, its `ChatFiles` (webui/chat_files.py) know. The rest reads Open WebUI's own
settings.

A preview could not be taken away again in channels, and since 0.12 in temporary chats, so there is
none. Facts are those of Open WebUI 0.9.6 to 0.12.4.
"""

import asyncio
import hmac
import math
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ..logs import log
from ..media.kinds import OutputFile
from ..names import shortened
from ..phrases import in_language
from ..run.owner import Owner
from ..server.endpoint import Endpoint
from ..tasks import ANSWER_SECONDS, CLEAN_UP_SECONDS, finish
from ..values import list_of
from .buttons import BUTTONS_MARK
from .chat_files import ChatFiles
from .display import Display, Emit, EventCall
from .language import language_of
from .message_writes import Unwritten, link_new_files, with_new_files, write_message
from .messages import Message, UnsavedMessage, remember_unsaved, sent_pictures
from .ollama import configured_ollamas
from .releases import (
    CHANNEL,
    adds_to_temporary_chats,
    takes_pictures_from_results,
    takes_sentences_from_frames,
    tells_what_was_just_stored,
    write_into_channel,
)
from .stored_before import ids_of_name, note_run, remember_stored, stored_before
from .stored_files import (
    DRAWN,
    JOB_KEY,
    StoredOutputs,
    file_page,
    message_file,
    ready_to_store,
    run_record,
    runs_of,
    storage_refused,
)
from .telling import Hiding, brief, stop_text, told_failure

STORED_AT_ONCE = 4  # files
NOT_WRITTEN = (
    "The files are stored, but the message could not be: show the user `addresses` as pictures."
)
LONGEST_STATUS = 1000  # characters
# of a user's newest files, that are looked through for those of a job
KEPT_PAGE, KEPT_PAGES = 100, 20


def _pages_of_others(message: Mapping[str, Any] | None) -> list[Any]:
    """The pages that a message shows in frames, without our buttons."""
    pages = list_of((message or {}).get("embeds"))
    return [page for page in pages if BUTTONS_MARK not in str(page)]


class Chat(ChatFiles):
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
        event_call: EventCall | None = None,
    ) -> None:
        """What Open WebUI hands to a tool; all of it may be missing."""
        super().__init__(user, metadata or {}, chat_id, message_id, messages or ())
        self.request = request
        self._emit = emit
        self.event_call = event_call  # asks the page that the message was sent from
        self._files: list[dict[str, Any]] = []  # what the message really holds
        self._unwritten = Unwritten()  # of which the database does not have this yet
        self._just_stored: set[str] = set()  # the ids of files that this call stored
        # those that were stored before and hold what it made, and whether the chat had them
        self.repeated: dict[str, bool] = {}
        self._display: Display | None = None
        self._hiding = Hiding()
        self.language = language_of(metadata or {}, request)

    @property
    def session(self) -> str:
        """The connection of the page that the message was sent from; "" where there is none."""
        return str(self._metadata.get("session_id") or "")

    @property
    def is_admin(self) -> bool:
        """Whether an administrator asks."""
        return self.user.get("role") == "admin"

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
            seconds = ANSWER_SECONDS if self._unwritten.files else CLEAN_UP_SECONDS
            await finish(self._close(stop_text(stop)), seconds)
            raise
        except Exception as error:
            result, text = told_failure(error, self.is_admin)
        await finish(self._close(text), ANSWER_SECONDS)
        if self._unwritten.files:
            addresses = [item["url"] for item in self._unwritten.files]
            result = {**result, "note": NOT_WRITTEN, "addresses": addresses}
        answer: dict[str, Any] = self._hiding.of(brief(result))
        return answer

    def hide(self, endpoints: Sequence[Endpoint], secrets: Sequence[str] = ()) -> None:
        """Tell nobody but administrators where these servers are, and nobody these secrets, from
        now on.
        """
        self._hiding = Hiding(() if self.is_admin else tuple(endpoints), tuple(secrets))

    async def _begin(self) -> Display:
        """Begin to show the run. Previews only go where they can be taken away again."""
        self._files = await self.real_files()
        emit = None
        previews = False
        if self.message_id and not self.channel:
            emit = await self._live()
            previews = not self._adds()
        self._display = Display(emit, self._files, previews, self._told)
        self._display.start()
        return self._display

    async def _close(self, text: str) -> None:
        """Write what is not written yet with the last status, show it, and take the preview away,
        each whether or not the others succeed.
        """
        status = {"description": self._told(text), "done": True}
        if self._writes_at_end and self._emit:
            self._unwritten.status = status
        try:
            await self._write()
        finally:
            try:
                await self._remove_preview()
            except Exception as error:
                log.warning("the preview could not be taken away: %s", type(error).__name__)
            await self._say("status", dict(status))

    async def write(self) -> None:
        """Write, and show, what the message does not have yet. Never raises but for a Stop."""
        await finish(self._write(), ANSWER_SECONDS)

    async def _write(self) -> None:
        """Write into a saved chat what is not written yet, and show it: whoever reads the chat
        meanwhile has it one way or the other. Raises what the database does.
        """
        unwritten = self._unwritten
        if unwritten.is_empty:
            return
        ids = [item["id"] for item in unwritten.files]
        new = [file_id for file_id in ids if file_id in self._just_stored]
        others = [file_id for file_id in ids if file_id not in self._just_stored]
        if new:
            await link_new_files(self.chat_id, self.message_id, self._user_id, new)
        if others:
            await self._link(others)
        message = await write_message(self.chat_id, self.message_id, unwritten, _pages_of_others)
        self._unwritten = Unwritten()
        if unwritten.files:
            await self._show_files(message["files"])
        if unwritten.page is not None:
            await self._say("embeds", {"embeds": message["embeds"], "replace": True})

    async def _show_files(self, files: Sequence[Mapping[str, Any]]) -> None:
        """Have the message show these files, and no preview."""
        await self._say("chat:message:files", {"files": [dict(item) for item in files]})
        if self._display:
            self._display.preview_shown = False

    async def _link(self, file_ids: list[str]) -> None:
        """Note that files belong to the message: whoever the chat is shared with may see them."""
        from open_webui.models.chats import Chats

        await Chats.insert_chat_files(self.chat_id, self.message_id, file_ids, self._user_id)

    def _told(self, text: str) -> str:
        """A status text as the user reads it: in their language, and without what is hidden."""
        said = shortened(in_language(text, self.language), LONGEST_STATUS)
        return str(self._hiding.of(said))

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
            "session_id": self._metadata.get("session_id"),
            "internal": self._metadata.get("internal"),
        }
        emit: Emit = await get_event_emitter(about, update_db=False)
        return emit

    def _adds(self) -> bool:
        """Whether files that are sent are added to what the message shows, instead of replacing it:
        in channels, and in temporary chats of some releases.
        """
        if self.channel:
            return True
        if self.saved or not self.message_id:
            return False
        return adds_to_temporary_chats()

    def show_status(self, text: str) -> None:
        """Say in the message what goes on before anything runs."""
        if self._display:
            self._display.status(text, text)

    async def send_live(self, event: dict[str, Any]) -> None:
        """Send an event to every page in which the user has the chat open."""
        emit = await self._live()
        if emit:
            async with asyncio.timeout(ANSWER_SECONDS):
                await emit(event)

    @property
    def _writes_at_end(self) -> bool:
        """Whether what the call leaves in its message is written at the end, all at once."""
        return self.saved and tells_what_was_just_stored()

    async def _say(self, kind: str, data: dict[str, Any]) -> None:
        """Send an event by the emitter of the call, which also writes some kinds to the database;
        by one that does not where that is done at the end.
        """
        emit = await self._live() if self._writes_at_end else self._emit
        if emit:
            async with asyncio.timeout(ANSWER_SECONDS):
                await emit({"type": kind, "data": data})

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
                served, ending = await ready_to_store(product)
                called = f"{name}.{ending}"
                return await self._found(called, served) or await self._upload(called, served)

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

    async def _found(self, name: str, product: OutputFile) -> dict[str, Any] | None:
        """What a message holds of a file that is stored already, of this name and with these bytes;
        None where none is found. It then tells of this run, too.
        """
        of_name = ids_of_name(self._whole.values(), name)
        channel = self.chat_id.removeprefix(CHANNEL) if self.channel else ""
        try:
            file = self._user_id, name, product.digest
            item = await stored_before(file, of_name, channel)
            if item is None or item.id in self._just_stored:  # a run may make the same twice
                return None
            in_chat = item.id in [file.reference for file in await self.media()]
        except Exception as error:  # it is stored once more
            log.warning("what is stored could not be looked up: %s", type(error).__name__)
            return None
        await note_run(item, run_record(product))
        self.repeated[item.id] = in_chat
        return message_file(item, drawn="content" not in (item.data or {}))

    async def _upload(self, name: str, product: OutputFile) -> dict[str, Any]:
        """Store one file; returns what a message holds of it. Its metadata tells which job made it,
        for `kept`.
        """
        from fastapi import UploadFile
        from open_webui.models.files import Files
        from open_webui.models.users import UserModel, Users
        from open_webui.routers.files import upload_file_handler
        from starlette.datastructures import Headers

        about: dict[str, Any] = {}
        if self.saved:
            about = {"chat_id": self.chat_id, "message_id": self.message_id}
        elif self.channel:
            about = {
                "channel_id": self.chat_id.removeprefix(CHANNEL),
                "message_id": self.message_id,
            }
        if product.prompt_id:
            about[JOB_KEY] = run_record(product, self.mask)
        if product.digest:
            about["file_hash"] = product.digest  # which Open WebUI then need not find out
        headers = Headers({"content-type": product.content_type})
        upload = UploadFile(file=product.data.reader(), filename=name, headers=headers)
        try:
            user = UserModel(**self.user)
        except (TypeError, ValueError):  # a caller that does not tell all of it
            user = await Users.get_user_by_id(self._user_id)
        # without process=False Open WebUI would try to read text out of the picture
        item = await upload_file_handler(
            self.request, file=upload, metadata=about, process=False, user=user
        )
        drawn = product.size is not None and product.content_type in DRAWN
        stored = message_file(item, drawn)
        self._just_stored.add(item.id)
        if product.digest:
            remember_stored((self._user_id, name, product.digest), item.id)
        if not drawn:
            page = self._hiding.of(file_page(product, stored["url"]))
            await Files.update_file_data_by_id(item.id, {"content": page})
        return stored

    async def keep_unshown(self, product: OutputFile, name: str) -> str:
        """Store a file as the user's own that no message shows; its id. Raises `StorageRefused`."""
        try:
            stored = await self._upload(name, product)
        except Exception as error:
            raise storage_refused(error, (), 0, shown=False) from None
        return str(stored["id"])

    async def _attach(self, stored: list[dict[str, Any]]) -> None:
        """Add files to the message, in the database or the memory of this process, and in the
        browser; where all is written at the end, then.
        """
        if self._display:  # no preview may come after the pictures
            await self._display.stop()
        shown = with_new_files(self._files, stored)
        stored = shown[len(self._files) :]
        if not stored:
            return
        if self._writes_at_end:
            self._unwritten.files += stored
        elif self.saved:
            from open_webui.models.chats import Chats

            await self._link([item["id"] for item in stored])
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
        self.now_shows(shown)
        if self._writes_at_end:
            return
        await self._show_files(shown)
        if self.channel and self.message_id and self._emit:
            await write_into_channel(self.chat_id, self.message_id, stored)

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
            runs = [(item, run) for item in files for run in runs_of(item)]
            for item, run in runs:
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

    async def show_page(self, page: str) -> None:
        """Show a page of ours below the message, and no earlier one there. Those of other tools
        stay.
        """
        if not self.message_id or self.channel:
            return
        await self._show_below(page)

    async def _show_below(self, page: str) -> Mapping[str, Message]:
        """Show a page below the message in the place of any earlier one of ours. Returns the
        messages of the chat as they were before, by id; none where it is not saved.
        """
        if self._writes_at_end:
            self._unwritten.page = page
            return self._whole
        messages: Mapping[str, Message] = {}
        if self.saved:
            from open_webui.models.chats import Chats

            messages = await Chats.get_messages_map_by_chat_id(self.chat_id) or {}
        pages = _pages_of_others(messages.get(self.message_id))
        await self._say("embeds", {"embeds": [*pages, page], "replace": True})
        return messages

    async def show_buttons(self, page: str) -> None:
        """Show a page of buttons below what the message shows, and no earlier one on its branch of
        the chat: another answer to the same question keeps its own. Pages of other tools stay.
        """
        if not self.saved or self._emit is None or not takes_sentences_from_frames():
            return
        from open_webui.socket.main import get_event_emitter

        messages = await self._show_below(page)
        for message_id in self.branch_ids(messages):
            message = messages[message_id]
            shown = list_of(message.get("embeds"))
            pages = _pages_of_others(message)
            if message_id == self.message_id or len(pages) == len(shown):
                continue
            about = {"chat_id": self.chat_id, "message_id": message_id, "user_id": self._user_id}
            emit: Emit = await get_event_emitter(about)
            async with asyncio.timeout(ANSWER_SECONDS):
                await emit({"type": "embeds", "data": {"embeds": pages, "replace": True}})

    async def show_again(self, items: list[dict[str, Any]]) -> None:
        """Show files in the message that are stored already."""
        attached = await finish(self._attach(items), ANSWER_SECONDS)
        self.shown = self.shown and attached

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
        natively, and Open WebUI has to take pictures out of a result's text.
        """
        model = self._metadata.get("model") or {}
        meta = (model.get("info") or {}).get("meta") or {}
        capabilities = meta.get("capabilities") or {}
        if capabilities.get("vision") is False:
            return False
        params = self._metadata.get("params") or {}
        if params.get("function_calling") == "legacy":
            return False
        return takes_pictures_from_results()

    async def unload_ollama(self) -> None:
        """Have every Ollama in Open WebUI's own settings unload its models, all at the same time.
        Like `Ollama.unload` it never raises.
        """
        try:
            ollamas = await configured_ollamas(self.request)
            await asyncio.gather(*[ollama.unload() for ollama in ollamas])
        except Exception as error:
            log.info("Open WebUI does not tell of its Ollamas: %s", type(error).__name__)
