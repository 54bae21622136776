"""Whose jobs they are, and what this process remembers of jobs.

Every prompt that is posted carries a mark in its `extra_data`, which ComfyUI keeps in its queue and its history and
shows to everybody who may look there:

    {"comfyui_tool": {"mark": "9f2c41d07be85a36c1f0d2e4b7a89356", "at": 1767225600.123456, "until": 1767229200.123,
                      "workflow": "sdxl", "model": "sd_xl_base_1.0.safetensors", "seed": 7, "name": "a-red-fox-7"}}

By it an `Owner` knows their jobs again, in every worker of Open WebUI and after a restart, without a database of its
own; the other keys tell a later call what was run. Comfy Cloud shows no marks in its queue: a job's id is signed there
instead (`Owner.job_id`).

The second part is memory of this process only: which jobs a call is about to bring (`ATTENDED`), so that check_job does
not store the same files a second time, which ones check_job took out, and whose failure it has told.
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

from ..server.endpoint import Endpoint
from ..server.protocol import Prompt, Queue

MARK = "comfyui_tool"  # the key in `extra_data` under which our prompts carry their mark


@dataclass(frozen=True)
class Owner:
    """Whose jobs they are. The mark of a prompt is a keyed digest of the user and the prompt id: it says nothing to
    others, and copied to another prompt it fits no more."""

    user: str = ""
    key: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)
    alone: bool = False  # whether this is the only process that has calls

    def mark(self, prompt_id: str) -> str:
        """The mark of a prompt of this user: 32 hexadecimal digits."""
        return hmac.new(self.key, f"{self.user}\n{prompt_id}".encode(errors="replace"), "sha256").hexdigest()[:32]

    def owns(self, prompt: Prompt) -> bool:
        """Whether the prompt is this user's, by its mark."""
        mark = str(mark_of(prompt).get("mark") or "")
        return hmac.compare_digest(mark.encode(errors="replace"), self.mark(prompt.prompt_id).encode())

    def among(self, endpoint: Endpoint, queue: Queue) -> list[Prompt]:
        """This user's prompts in a queue. Comfy Cloud's queue shows no marks, but only the account's own prompts, so
        there it is all of them."""
        return [prompt for prompt in queue.prompts if endpoint.cloud or self.owns(prompt)]

    def job_id(self, endpoint: Endpoint, prompt_id: str) -> str:
        """The name by which the user can ask for the job later: the prompt id, and where the server shows no mark, half
        of the mark as its signature: "<prompt id>.<16 hexadecimal digits>"."""
        return f"{prompt_id}.{self.mark(prompt_id)[:16]}" if endpoint.cloud else prompt_id


def mark_of(prompt: Prompt) -> Mapping[str, Any]:
    """What a prompt's mark says, with all its keys; empty for a prompt that is not ours."""
    held = prompt.extra_data.get(MARK)
    return held if isinstance(held, Mapping) else {}


def marked_time(prompt: Prompt, what: str) -> float:
    """A time in a prompt's mark, in seconds since 1970: when it was posted ("at"), or when its call stops waiting for
    it ("until"). 0 where the mark does not tell."""
    at = mark_of(prompt).get(what)
    return float(at) if isinstance(at, (int, float)) and abs(at) < 1e12 else 0.0


# What this process remembers. A call that makes or brings files runs inside `attending`: `attend` says that it brings a
# job's files, `leave` that nobody does any more, and `is_attended` is asked before anybody else takes them.


REMEMBERED_JOBS = 1000  # in each of the memories below
OTHERS_SECONDS = 60.0  # after a job's end, when no other process can still be about to bring it


# Prompt id -> True while a call of this process is going to bring its files, False once none is. It hangs on a module
# of its own, for it has to outlive the tool's being loaded anew, as the calls under way do.
ATTENDED: dict[str, bool] = vars(
    sys.modules.setdefault("comfyui_tool_jobs", ModuleType("comfyui_tool_jobs"))
).setdefault("attended", {})


OWN_CALL: ContextVar[set[str] | None] = ContextVar("OWN_CALL", default=None)  # prompts that this call attends to
CANCELLED: dict[str, None] = {}  # prompts that check_job took out of a queue: they are not run again
TOLD: dict[str, None] = {}  # prompts whose failure check_job has told already


@contextlib.contextmanager
def attending() -> Iterator[None]:
    """A call that makes or brings files and stores them. Until it ends its jobs are attended to, so that nobody else
    stores the same files."""
    prompts: set[str] = set()
    token = OWN_CALL.set(prompts)
    try:
        yield
    finally:
        OWN_CALL.reset(token)
        for prompt_id in prompts:
            leave(prompt_id)


def attend(prompt_id: str) -> None:
    """This call brings the job's files, until it ends or leaves the job."""
    ATTENDED[prompt_id] = True
    if (prompts := OWN_CALL.get()) is not None:
        prompts.add(prompt_id)


def leave(prompt_id: str) -> None:
    """No call of this process brings the job's files any more. That it once did is remembered."""
    ATTENDED.pop(prompt_id, None)
    remember(ATTENDED, prompt_id, False)


def is_attended(owner: Owner, prompt: Prompt) -> bool:
    """Whether a call may still be about to bring what the job made.

    Of calls in this process `ATTENDED` tells. Of those in others the mark and the clocks do, roughly: such a call has
    left when its wait is over, and is done at most `OTHERS_SECONDS` after the job's end.
    """
    if (attended := ATTENDED.get(prompt.prompt_id)) is not None:
        return attended
    if owner.alone or marked_time(prompt, "until") < time.time():
        return False
    return prompt.ended is None or abs(time.time() - prompt.ended) < OTHERS_SECONDS


def remember(held: dict[str, Any], prompt_id: str, value: Any = None) -> None:
    """Keep something about a prompt in one of the memories above. The oldest go beyond `REMEMBERED_JOBS`, but no job
    that is still attended to."""
    held[prompt_id] = value
    for oldest in list(held)[:-REMEMBERED_JOBS]:  # a copy, made in one go: other threads may have jobs too
        if not held.get(oldest):
            held.pop(oldest, None)
