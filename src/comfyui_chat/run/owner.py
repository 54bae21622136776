"""run/owner."""

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

MARK = "comfyui_tool"  # under which our prompts carry their mark in `extra_data`
REMEMBERED_JOBS = 1000


# Prompt id -> whether a call of this process brings its files still. It outlives the tool's being loaded anew, as the
# calls under way then do.
ATTENDED: dict[str, bool] = vars(
    sys.modules.setdefault("comfyui_tool_jobs", ModuleType("comfyui_tool_jobs"))
).setdefault("attended", {})


OWN_CALL: ContextVar[set[str] | None] = ContextVar("OWN_CALL", default=None)  # the prompts that this call attends to
CANCELLED: dict[str, None] = {}  # prompts that check_job took out, so that they are not run again
TOLD: dict[str, None] = {}  # prompts whose failure check_job has told


def mark_of(prompt: Prompt) -> Mapping[str, Any]:
    """What a prompt says of itself where ours carry their mark; nothing where it is somebody else's thing."""
    held = prompt.extra_data.get(MARK)
    return held if isinstance(held, Mapping) else {}


@dataclass(frozen=True)
class Owner:
    """Whose jobs they are. Each prompt carries a mark by which its user's later calls know it, in any worker, after any
    restart: a keyed digest of the user and the prompt id, which says nothing to others and fits no other prompt."""

    user: str = ""
    key: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)
    alone: bool = False  # whether no other process than this one has calls

    def mark(self, prompt_id: str) -> str:
        """The mark of a prompt of this user, 32 hexadecimal digits."""
        return hmac.new(self.key, f"{self.user}\n{prompt_id}".encode(errors="replace"), "sha256").hexdigest()[:32]

    def owns(self, prompt: Prompt) -> bool:
        """Whether the prompt is this user's, by its mark."""
        mark = str(mark_of(prompt).get("mark") or "")
        return hmac.compare_digest(mark.encode(errors="replace"), self.mark(prompt.prompt_id).encode())

    def among(self, endpoint: Endpoint, queue: Queue) -> list[Prompt]:
        """This user's prompts in a queue. Comfy Cloud's shows no marks, and the account's own prompts only."""
        return [prompt for prompt in queue.prompts if endpoint.cloud or self.owns(prompt)]

    def job_id(self, endpoint: Endpoint, prompt_id: str) -> str:
        """By what name the user can ask for the job later: the prompt id, signed where the server keeps no mark."""
        return f"{prompt_id}.{self.mark(prompt_id)[:16]}" if endpoint.cloud else prompt_id


def marked_time(prompt: Prompt, what: str) -> float:
    """When one of our prompts was posted ("at"), or its call stops to wait for it ("until"), in seconds since 1970, by
    its mark."""
    at = mark_of(prompt).get(what)
    return float(at) if isinstance(at, (int, float)) and abs(at) < 1e12 else 0.0


OTHERS_SECONDS = 60.0  # since its end, after which nobody else can be about to bring a job


def is_attended(owner: Owner, prompt: Prompt) -> bool:
    """Whether a call may be about to bring what the job made: one of this process or, as far as the mark and the clocks
    tell, one of another. That one has left when its wait is over, and is done a short while after the end."""
    if (attended := ATTENDED.get(prompt.prompt_id)) is not None:
        return attended
    if owner.alone or marked_time(prompt, "until") < time.time():
        return False
    return prompt.ended is None or abs(time.time() - prompt.ended) < OTHERS_SECONDS


@contextlib.contextmanager
def attending() -> Iterator[None]:
    """A call that makes or brings files and stores them: until its end its jobs are attended to, so that nobody stores
    the same a second time."""
    prompts: set[str] = set()
    token = OWN_CALL.set(prompts)
    try:
        yield
    finally:
        OWN_CALL.reset(token)
        for prompt_id in prompts:
            leave(prompt_id)


def attend(prompt_id: str) -> None:
    """This call brings the job's files, from now on until it ends or leaves the job."""
    ATTENDED[prompt_id] = True
    if (prompts := OWN_CALL.get()) is not None:
        prompts.add(prompt_id)


def leave(prompt_id: str) -> None:
    """No call of this process brings the job's files any more."""
    ATTENDED.pop(prompt_id, None)
    remember(ATTENDED, prompt_id, False)


def remember(held: dict[str, Any], prompt_id: str, value: Any = None) -> None:
    """Keep something of a prompt, for as long as there are not too many newer ones."""
    held[prompt_id] = value
    for oldest in list(held)[:-REMEMBERED_JOBS]:  # a copy, made in one go: other threads may have jobs, too
        if not held.get(oldest):
            held.pop(oldest, None)
