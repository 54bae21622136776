"""Whose jobs they are, and what this process remembers of jobs.

Every prompt that is posted carries a mark in its `extra_data`, which ComfyUI keeps in its queue and
its history and shows to everybody who may look there:

    {"comfyui_tool": {"mark": "9f2c41d07be85a36c1f0d2e4b7a89356", "at": 1767225600.123456, "until": 1767229200.123,
                      "workflow": "sdxl", "model": "sd_xl_base_1.0.safetensors", "seed": 7, "name": "a-red-fox-7",
                      "used": {"steps": 20, "guidance": 7.0}}}

By it an `Owner` knows their jobs again, in every worker of Open WebUI and after a restart, without
a database of its own; the other keys tell a later call what was run. Comfy Cloud shows no marks in
its queue: a job's id is signed there instead (`Owner.job_id`).

`JOBS` is memory of this process only: which jobs a call is about to bring, so that check_job does
not store the same files a second time, which ones check_job took out, and whose failure it has
told.
"""

import contextlib
import hmac
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from ..bounded import BoundedDict, forget_oldest
from ..server.endpoint import Endpoint
from ..server.protocol import Prompt, Queue
from ..values import object_of

MARK = "comfyui_tool"  # the key in `extra_data` under which our prompts carry their mark
MARK_LENGTH = 32  # hexadecimal digits


@dataclass(frozen=True)
class Owner:
    """Whose jobs they are. The mark of a prompt is a keyed digest of the user and the prompt id: it
    says nothing to others, and copied to another prompt it no longer fits.
    """

    user: str = ""
    key: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)
    alone: bool = False  # whether this is the only process that has calls

    def mark(self, prompt_id: str) -> str:
        """The mark of a prompt of this user: 32 hexadecimal digits."""
        return hmac.digest(
            self.key, f"{self.user}\n{prompt_id}".encode(errors="replace"), "sha256"
        ).hex()[:MARK_LENGTH]

    def owns(self, prompt: Prompt) -> bool:
        """Whether the prompt is this user's, by its mark."""
        mark = mark_of(prompt).get("mark")
        if not isinstance(mark, str) or len(mark) != MARK_LENGTH:  # most prompts have none
            return False
        return hmac.compare_digest(
            mark.encode(errors="replace"), self.mark(prompt.prompt_id).encode()
        )

    def among(self, endpoint: Endpoint, queue: Queue) -> list[Prompt]:
        """This user's prompts in a queue, each id once: whoever posts a copy, with its id and its
        mark, adds none. Comfy Cloud's queue shows no marks, but only the account's own prompts, so
        there it is all of them.
        """
        if not endpoint.shows_marks:
            return list(queue.prompts)
        own: dict[str, Prompt] = {}
        for prompt in queue.prompts:
            if self.owns(prompt):
                own.setdefault(prompt.prompt_id, prompt)
        return list(own.values())

    def job_id(self, endpoint: Endpoint, prompt_id: str) -> str:
        """The name by which the user can ask for the job later: the prompt id, and where the server
        shows no mark, half of the mark as its signature: "<prompt id>.<16 hexadecimal digits>".
        """
        if endpoint.shows_marks:
            return prompt_id
        return f"{prompt_id}.{self.mark(prompt_id)[:16]}"


def mark_of(prompt: Prompt) -> Mapping[str, Any]:
    """What a prompt's mark says, with all its keys; empty for a prompt that is not ours."""
    return object_of(prompt.extra_data.get(MARK))


def marked_time(prompt: Prompt, what: str) -> float:
    """A time in a prompt's mark, in seconds since 1970: when it was posted ("at"), or when its call
    stops waiting for it ("until"). 0 where the mark does not tell.
    """
    at = mark_of(prompt).get(what)
    if isinstance(at, (int, float)) and abs(at) < 1e12:
        return float(at)
    return 0.0


# What this process remembers of jobs.


REMEMBERED_JOBS = 1000  # in each of the memories below
OTHERS_SECONDS = 60.0  # after a job's end, when no other process can still be about to bring it


class JobMemory:
    """What this process remembers of jobs, by their prompt ids.

    A call that makes or brings files runs inside `attending`: `attend` says that it brings a job's
    files, `leave` that nobody does any more, and `attended` is asked before anybody else takes
    them. The oldest jobs are forgotten beyond `REMEMBERED_JOBS`, but none that is still attended
    to.
    """

    def __init__(self) -> None:
        # True while a call is going to bring the job's files, False once none is. It hangs on a
        # module of its own, for it has to outlive the tool's being loaded anew, as the calls under
        # way do; and it is a plain dictionary, since an object of a class would keep all of the
        # older tool in memory.
        shared = sys.modules.setdefault("comfyui_tool_jobs", ModuleType("comfyui_tool_jobs"))
        self._attended: dict[str, bool] = vars(shared).setdefault("attended", {})
        # what this call attends to
        self._own_call: ContextVar[set[str] | None] = ContextVar("own_call", default=None)
        # what each call under way attends to, in the order they began
        self._calls: dict[Owner, list[set[str]]] = {}
        self._cancelled = BoundedDict[str, bool](REMEMBERED_JOBS)  # by the ids of the jobs
        self._told = BoundedDict[str, bool](REMEMBERED_JOBS)
        self._standing = BoundedDict[str, str](REMEMBERED_JOBS)

    @contextlib.contextmanager
    def attending(self, owner: Owner | None = None) -> Iterator[None]:
        """A call that makes or brings files and stores them. Until it ends its jobs are attended
        to, so that nobody else stores the same files; and with an `owner` it is one of the calls
        that they have under way.
        """
        prompts: set[str] = set()
        token = self._own_call.set(prompts)
        calls: list[set[str]] = []
        if owner:
            calls = self._calls.setdefault(owner, calls)
        calls.append(prompts)
        try:
            yield
        finally:
            calls[:] = [call for call in calls if call is not prompts]
            if owner and not calls:
                self._calls.pop(owner, None)
            self._own_call.reset(token)
            for prompt_id in prompts:
                self.leave(prompt_id)

    def calls_before(self, owner: Owner) -> list[set[str]]:
        """The calls that this user had under way in this process when the one that asks began: what
        each attends to.
        """
        before: list[set[str]] = []
        for call in self._calls.get(owner, ()):
            if call is self._own_call.get():
                break
            before.append(call)
        return before

    @property
    def stored_by_call(self) -> bool:
        """Whether the call that asks runs inside `attending`, and stores what its jobs make."""
        return self._own_call.get() is not None

    def attend(self, prompt_id: str) -> None:
        """This call brings the job's files, until it ends or leaves the job."""
        self._attended[prompt_id] = True
        prompts = self._own_call.get()
        if prompts is not None:
            prompts.add(prompt_id)

    def leave(self, prompt_id: str) -> None:
        """No call of this process brings the job's files any more. That it once did is
        remembered.
        """
        self._attended.pop(prompt_id, None)  # so that it is the newest when it is set again
        self._attended[prompt_id] = False
        forget_oldest(self._attended, REMEMBERED_JOBS, is_needed=bool)

    def attended(self, prompt_id: str) -> bool | None:
        """Whether a call of this process is going to bring the job's files; None where none ever
        was.
        """
        return self._attended.get(prompt_id)

    def stands(self, prompt_id: str, text: str) -> None:
        """A call that follows the job was told that it stands so: "18 % · 40 s left"."""
        self._standing[prompt_id] = text

    def standing(self, prompt_id: str) -> str:
        """How a job stands that a call of this process follows; "" for any other."""
        if not self.attended(prompt_id):
            return ""
        return self._standing.get(prompt_id, "")

    def cancel(self, prompt_id: str) -> None:
        """check_job takes the job out of its queue: it is not to be run again."""
        self._cancelled[prompt_id] = True

    def cancelled(self, prompt_id: str) -> bool:
        """Whether check_job took the job out of its queue."""
        return prompt_id in self._cancelled

    def tell(self, prompt_id: str) -> None:
        """check_job tells of the job's failure."""
        self._told[prompt_id] = True

    def told(self, prompt_id: str) -> bool:
        """Whether check_job has told of the job's failure already."""
        return prompt_id in self._told


JOBS = JobMemory()


def is_attended(owner: Owner, prompt: Prompt) -> bool:
    """Whether a call may still be about to bring what the job made.

    Of calls in this process `JOBS` tells. Of those in others the mark and the clocks do, roughly:
    such a call has left when its wait is over, and is done at most `OTHERS_SECONDS` after the job's
    end.
    """
    attended = JOBS.attended(prompt.prompt_id)
    if attended is not None:
        return attended
    if owner.alone or marked_time(prompt, "until") < time.time():
        return False
    return prompt.ended is None or abs(time.time() - prompt.ended) < OTHERS_SECONDS
