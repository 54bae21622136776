"""Everything in which Comfy Cloud differs from a ComfyUI of one's own.

`ComfyCloud` is a `ComfyUIServer` with other answers to the same questions, and `CloudConnection` a
`Connection` to a websocket that brings the frames of the whole account. `pool` makes them for an
endpoint that is marked as `cloud`. To the floors above it is a server like any other, except that
its queue does not tell whose jobs it holds, and that its memory is not theirs to free.

The facts are those of version 1 of its API, as its makers document it; the class lists them. No
recording of the real service stands behind them.
"""

import contextlib
import functools
import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from ..bounded import BoundedDict
from ..bounds import (
    MOST_LIST_BYTES,
    MOST_REFUSAL_BYTES,
    MOST_RUNNING_PROMPTS,
    MOST_STATUS_BYTES,
    MOST_WORKFLOW_BYTES,
)
from ..errors import (
    AccessRefused,
    LimitExceeded,
    PaymentRequired,
    ServerBusy,
    ServerUnreachable,
    UnexpectedAnswer,
    WorkflowRefused,
)
from ..graph.definitions import Definitions, NodeDefinition
from ..graph.nodes import Graph
from ..json_pieces import JsonText, read_json_text
from ..media.pictures import InputFile
from ..names import shortened
from ..tasks import ANSWER_SECONDS, CLEAN_UP_SECONDS
from .client import (
    DEFINITION_SECONDS,
    DOUBT_SECONDS,
    LOOK_UP_SECONDS,
    PROBE_SECONDS,
    ComfyUIServer,
)
from .connection import Connection
from .endpoint import ACCOUNT_KEY, Endpoint
from .faults import forbidden, sent_on
from .files import DOWNLOAD_SECONDS
from .http import REDIRECTS, STALL_SECONDS, read_retry_after
from .incoming import IncomingFile
from .long_answers import read_definitions, read_left_out
from .model_files import ModelFiles
from .posting import Accepted
from .protocol import Absent, Answer, Event, Frame, Gap, Prompt, Recent, Waiting, parse_job
from .replaced_nodes import ReplacedNodes
from .templates import Templates

# how long definitions are believed, which come all at once, and uploads relied on
CLOUD_DEFINITION_SECONDS = 3600.0
# exception types: why Cloud ended a run
UNPAID = frozenset({"InsufficientFundsError", "InactiveSubscriptionError"})

BILLING = re.compile(r"PAYMENT_REQUIRED|SUBSCRIPTION_REQUIRED|FREE_TIER_(EXHAUSTED|NOT_ALLOWED)")
REMEMBERED_UPLOADS = 1000
# its path, and the name under which it is noted when all definitions were asked for
WHOLE = "/object_info"


class ComfyCloud(ComfyUIServer):
    """Comfy Cloud. What is different from a ComfyUI of one's own:

    - The key is sent as `X-API-Key`, and in the websocket's address as `token`; all routes but the
      websocket's are below `/api`. Only `/user` shows whether a key is good.
    - The service chooses a prompt's id. Frames that come before the id is known are lost, and a
      look-up makes up for them. A post whose answer is lost can neither be looked up nor repeated.
    - The key goes with the prompt, too: partners' nodes are paid with it.
    - 402 means that money or a plan is missing, 429 and 503 that the service is busy; but some 429
      are really about money, as the error's type shows (`BILLING`).
    - A job is looked up as a job, not in queue and history. The queue is that of the account and
      shows no extra_data, so that it cannot be told what one user has in it; a single job shows its
      own.
    - A run may also fail for want of money (`UNPAID`), and running out of memory has a name of its
      own (`OOMError`).
    - No frame says that a run is recorded, so every end is looked up. Frames and pictures of the
      whole account come over every websocket.
    - Files are kept by their content, under names that the service chooses. So before an upload
      nobody asks whether the file is there; the name of one sent within the last hour is
      remembered. A download is a redirect to a signed address elsewhere. It is followed without the
      key, to http only where the service itself is spoken to by http, and only where
      `Transport.downloads` allows it.
    - Definitions come only all at once, and are believed for an hour. Model files say nothing of
      themselves, and it is not asked for templates.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.connection = CloudConnection(self)
        self.templates = Templates(self, exist=False)
        self.model_files = ModelFiles(self, exist=False)
        self.replaced_nodes = ReplacedNodes(self, exist=False)
        # class -> {class: its definition} as JSON: parsed, they take much memory
        self._texts: dict[str, bytes] = {}
        # Our name of a file -> when it was sent, and its name there.
        self._uploads = BoundedDict[str, tuple[float, str]](REMEMBERED_UPLOADS)

    def _address(self, path: str) -> str:
        if not path.startswith("/api/"):
            path = f"/api{path}"
        return super()._address(path)

    def _websocket_query(self, client_id: str) -> dict[str, str]:
        return {**super()._websocket_query(client_id), "token": self.endpoint.auth.key}

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status not in (402, 403, 429, 503):
            return await super()._check(response)
        body = await response.content.read(MOST_REFUSAL_BYTES)
        error_type, message = self._reason_in(self.hide_key(body))
        reason = f" (HTTP {response.status})."
        if message:
            reason = f": {message}"
        if response.status == 402 or BILLING.search(error_type):
            raise PaymentRequired(f"Comfy Cloud requires payment{reason}")
        if response.status == 403 and error_type and response.method == "POST":
            raise WorkflowRefused(f"Comfy Cloud does not allow this{reason}")
        if response.status == 403:
            raise forbidden(self.endpoint, response.status)
        seconds = read_retry_after(response.headers.get("Retry-After"))
        raise ServerBusy(f"Comfy Cloud is busy{reason}", seconds=seconds)

    def _reason_in(self, body: bytes) -> tuple[str, str]:
        """The type and the message in an error's body, {"error": {"type": "...", "message": "..."}}
        or the inner object alone; "" for what is missing.
        """
        with contextlib.suppress(ValueError, AttributeError):
            error = read_json_text(JsonText(body[:MOST_REFUSAL_BYTES]))
            if isinstance(error.get("error"), dict):
                error = error["error"]
            return str(error.get("type") or ""), shortened(error.get("message") or "", 200)
        return "", ""

    async def probe(self) -> None:
        """Find out whether the service answers and accepts the key. Raises a `ServerError` when
        not.
        """
        user = await self.get("/user", PROBE_SECONDS, MOST_STATUS_BYTES)
        if "status" not in user:
            raise self._another_program()

    async def define(
        self, class_type: str, believe: float = DEFINITION_SECONDS, doubt: float = 0.0
    ) -> NodeDefinition | None:
        """The definition of a node class, or None when there is no such node. Whatever `believe`
        and `doubt` say, all definitions are asked for again once they are an hour old.
        """
        if self._known.age(WHOLE) >= CLOUD_DEFINITION_SECONDS:
            await self.background.together("all definitions", self._learn)
        text = self._texts.get(class_type)
        if text and class_type not in self.definitions:
            take = functools.partial(
                read_definitions, wanted={class_type}, allowed=self.endpoint.allowed
            )
            self._take_definitions([class_type], await self._taken(WHOLE, text, take))
        return self.definitions.get(class_type)

    async def _learn(self) -> None:
        def to_texts(text: JsonText) -> dict[str, bytes]:
            return {name: json.dumps({name: text.value()}).encode() for name in text.each_key()}

        texts = await self.read(f"{WHOLE}?include_user_models=true", to_texts)
        self.forget()
        self._texts = texts
        self._known.note_asked([WHOLE])

    @property
    def bytes_kept(self) -> int:
        """How much the service sent of what is remembered of it, about."""
        return super().bytes_kept + sum(map(len, self._texts.values()))

    def forget(self) -> None:
        """Forget what can be asked for again."""
        super().forget()
        self._texts = {}

    async def define_all(self, class_types: Iterable[str]) -> Definitions:
        """The definitions of those of these classes that the service has."""
        return await self.define_anew({}, class_types, DEFINITION_SECONDS)

    async def names(
        self, path: str, believe: float = DOUBT_SECONDS, read: Callable[[Any], str] = str
    ) -> list[str] | None:
        """The list of names that a ComfyUI of one's own has under this path."""
        if path == "/embeddings":
            files = await self.names("/models/embeddings", believe)
            return [_without_extension(file) for file in files or ()]
        if path.startswith("/models"):
            return await super().names(
                f"/experiment{path}", believe, lambda item: str(item["name"])
            )
        return await super().names(path, believe, read)

    async def submit(self, prompt_id: str, graph: Graph, extra_data: Mapping[str, Any]) -> Accepted:
        """Post a prompt once; its id is the one in the answer, not `prompt_id`. Raises
        `WorkflowRefused` and its kin, `PaymentRequired`, `ServerBusy`, and as `call` does. After
        `ServerUnreachable` it may have been taken, unless that is `refused`.
        """
        extra_data = dict(extra_data)
        if self.endpoint.auth.key:
            extra_data[ACCOUNT_KEY] = self.endpoint.auth.key
        body = {"prompt": graph, "client_id": self.connection.client_id, "extra_data": extra_data}
        try:
            answer = await self.call("POST", "/prompt", body=body, max_bytes=MOST_LIST_BYTES)
            said = await self._said_of_post(graph, answer)
        except (AccessRefused, PaymentRequired, ServerBusy) as error:
            error.untaken = True
            raise
        except (ServerUnreachable, UnexpectedAnswer) as error:
            if isinstance(error, ServerUnreachable) and error.refused:
                error.untaken = True
                raise
            raise ServerUnreachable(
                "The answer of Comfy Cloud to the job was lost, so it is not known whether the job runs there.",
                "Check the account's jobs before you run it again: it may be running, and you would pay for it twice.",
            ) from None
        if isinstance(said, WorkflowRefused):
            raise said
        with self._reading("/prompt"):
            return Accepted(said["prompt_id"], read_left_out(graph, said))

    async def _said_of_post(
        self, graph: Graph, answer: Answer
    ) -> Mapping[str, Any] | WorkflowRefused:
        if answer.status == 413:
            return WorkflowRefused("The workflow is larger than Comfy Cloud accepts.")
        try:
            return await super()._said_of_post(graph, answer)
        except UnexpectedAnswer:
            _, message = self._reason_in(answer.body)
            if message and answer.status != 200:
                return WorkflowRefused(f"Comfy Cloud refused the workflow: {message}")
            raise

    async def _job(self, prompt_id: str, seconds: float) -> dict[str, Any] | None:
        """The service's own description of a job, or None when it does not know the id."""
        path = f"/jobs/{quote(prompt_id, safe='')}"
        answer = await self.call("GET", path, seconds=seconds, max_bytes=MOST_WORKFLOW_BYTES)
        if answer.status == 404:
            return None
        return await self._json(path, answer)

    async def look_up(self, prompt_id: str, since: float) -> Event:
        """Where a prompt stands: `Started`, `Waiting`, `Recorded` or `Absent`."""
        job = await self._job(prompt_id, LOOK_UP_SECONDS)
        if job is None:
            return Absent()
        with self._reading("/jobs"):
            event = parse_job(job)
        if isinstance(event, Waiting) and job.get("queue_position") is None:
            queue = await self.queue(since)
            return queue.find(prompt_id) or event
        return event

    async def find(self, prompt_id: str) -> Prompt | None:
        """A prompt with its graph and `extra_data`, wherever it stands, or None when the account
        has no such job.
        """
        job = await self._job(prompt_id, ANSWER_SECONDS)
        if job is None:
            return None
        with self._reading("/jobs"):
            return self._prompt(job)

    def _prompt(self, job: Mapping[str, Any]) -> Prompt:
        workflow = job.get("workflow") or {}
        ended = job.get("execution_end_time")
        if ended is not None:
            ended = float(ended) / 1000  # it is in milliseconds
        return Prompt(
            prompt_id=str(job["id"]),
            state=parse_job(job),
            number=float(job.get("create_time") or 0.0),
            graph=workflow.get("prompt") or {},
            extra_data=workflow.get("extra_data") or {},
            ended=ended,
        )

    async def recent(self) -> Recent:
        """No prompts at all, since it cannot be told whose the account's jobs are."""
        return Recent()

    async def has_run_since(self, moment: float) -> bool:
        """Always: its jobs do not end with one of its machines."""
        return True

    async def remove_from_history(self, prompt_ids: Sequence[str]) -> bool:
        """Never: the service has no such route."""
        return False

    async def cancel(self, prompt_id: str, seconds: float = CLEAN_UP_SECONDS) -> None:
        """Cancel a prompt, waiting or running. Raises a `ServerError` when the service could not be
        told.
        """
        path = f"/jobs/{quote(prompt_id, safe='')}/cancel"
        answer = await self.call("POST", path, seconds=seconds)
        if answer.status not in (200, 404):  # 404: it never took a prompt of this id
            raise UnexpectedAnswer(f"Comfy Cloud did not cancel the job (HTTP {answer.status}).")

    async def upload(self, file: InputFile) -> str:
        """Send a file, unless that was done within the last hour. Returns the name that it has
        there.
        """
        sent, name = self._uploads.get(file.stored_name, (-math.inf, ""))
        age = time.monotonic() - sent
        if age >= CLOUD_DEFINITION_SECONDS:
            name = await self._send(file, type="input", overwrite="true")
            self._uploads[file.stored_name] = time.monotonic(), name
        return name

    def _check_upload(self, file: InputFile, answer: Answer) -> None:
        if answer.status == 400:
            _, message = self._reason_in(answer.body)
            reason = message or "it gives no reason"
            raise LimitExceeded(
                f"Comfy Cloud did not accept the file: {reason}", "Give a smaller one."
            )
        super()._check_upload(file, answer)

    async def _download(self, params: Mapping[str, str], file: IncomingFile) -> Answer:
        download = functools.partial(
            self.call, "GET", seconds=DOWNLOAD_SECONDS, first_byte_seconds=STALL_SECONDS, file=file
        )
        answer = await download("/view", params=params, redirects=True)
        if answer.status not in REDIRECTS:
            return answer
        with self._reading("/view"):
            asked = URL(self._address("/view"))
            signed = asked.join(URL(answer.location, encoded=True))
            is_safe = signed.scheme in ("https", URL(self.endpoint.url).scheme)
            is_allowed = (
                self.endpoint.transport.downloads.allows_url(str(signed))
                or signed.origin() == asked.origin()
            )
            if not is_safe or not signed.host or not is_allowed:
                raise sent_on(self.endpoint, answer.location)
        return await download(signed)


def _without_extension(file: str) -> str:
    stem, _, _ = file.rpartition(".")
    return stem or file


class CloudConnection(Connection):
    """The websocket of an account: every frame comes here, whoever posted the prompt, and none says
    that a run is recorded. The client's id makes no difference.
    """

    def __init__(self, server: "ComfyCloud") -> None:
        super().__init__(server)
        self._running: set[str] = set()  # prompts of the account, as far as the frames tell

    def _tell_all(self, event: Event) -> None:
        if isinstance(event, Gap):
            self._running.clear()
        super()._tell_all(event)

    def _take_text(self, kind: str, data: Mapping[str, Any]) -> None:
        super()._take_text(kind, data)
        prompt_id = data.get("prompt_id")
        if kind in ("execution_success", "execution_error", "execution_interrupted"):
            self._running.discard(str(prompt_id))
            subscription = self._subscriptions.get(str(prompt_id))
            if subscription:
                subscription.tell(Gap())  # look it up at once: no further frame will come
        elif prompt_id is not None and len(self._running) < MOST_RUNNING_PROMPTS:
            self._running.add(str(prompt_id))

    def _take_picture(self, picture: Frame) -> None:
        current_prompt, _ = self._current
        if picture.prompt_id is None and self._running != {current_prompt}:
            return  # it does not say whose it is, and many people may share the account
        super()._take_picture(picture)
