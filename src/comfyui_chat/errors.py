"""Every way in which a call can fail: a code, what happened, and what to do next.

Whatever goes wrong with a call ends as one of these classes, and as this answer for the model; any
other exception is a mistake in the tool and is reported as an `InternalError`.

    {"status": "error", "code": "server_busy", "error": "what happened", "hint": "Try again in a minute."}

No message and no hint tells where a server is: that is added with `at`, and only administrators get
to know it.

A code is the name of its class in snake case. Only the leaves of this tree, `WorkflowRefused` and
`RunFailed` are raised. `StillRunning` alone is not a failure. The table in docs/errors.md repeats
the first sentences of the classes that are raised.

    ComfyUIError
    ├── BadArgument
    ├── LimitExceeded
    ├── NotPermitted
    ├── EndpointRefused
    ├── CreditsRefused
    ├── NotAnswered
    ├── RunDeclined
    ├── UnknownWorkflow
    ├── UnknownJob
    ├── ServerError
    │   ├── ServerUnreachable
    │   ├── AccessRefused
    │   ├── ServerTooOld
    │   ├── ServerGone
    │   ├── UnexpectedAnswer
    │   ├── PaymentRequired
    │   └── ServerBusy
    ├── WorkflowRefused
    │   ├── NodeNotInstalled
    │   ├── ModelNotInstalled
    │   └── ValueOutOfRange
    ├── RunFailed
    │   ├── OutOfMemory
    │   ├── ModelUnusable
    │   ├── NodeFailed
    │   ├── NothingMade
    │   ├── PictureMissed
    │   ├── RunInterrupted
    │   └── JobLost
    ├── StillRunning
    ├── StorageRefused
    ├── TookTooLong
    └── InternalError
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Self

# For a job that was executing when its server went away.
DIED_HINT = (
    "Probably it ran out of memory, so do not run the job again unchanged: a smaller size, fewer pictures at once or "
    "another model may do. Tell the user."
)


@dataclass(frozen=True)
class SeveralNames:
    """A name that fits several things equally well: what was asked for, and what it could be."""

    argument: str  # which argument says it, as messages call it: "The argument model"
    value: str
    names: tuple[str, ...]


class ComfyUIError(Exception):
    """Something went wrong, said so that a person or a model can act on it."""

    code: ClassVar[str] = "error"
    default_hint: ClassVar[str] = ""
    several: SeveralNames | None = None  # where it is that a name fits several things

    def __init__(self, message: str, hint: str = "") -> None:
        """`message` says what happened, `hint` what to do next; both are plain text, and hold
        neither a secret nor an address of a server.
        """
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        self.where = ""

    def at(self, where: str) -> Self:
        """This error, with a sentence that tells administrators where it happened."""
        self.where = where
        return self

    @property
    def with_place(self) -> str:
        """What happened, and where: for administrators."""
        return f"{self.message} {self.where}".rstrip()

    def as_result(self) -> dict[str, Any]:
        """The dictionary that the model receives; its `error` key marks the call as failed in the
        chat.

        Notes that were added with `add_note` follow the hint.
        """
        hint = " ".join([self.hint, *getattr(self, "__notes__", ())])
        return {"status": "error", "code": self.code, "error": self.message, "hint": hint}


class BadArgument(ComfyUIError):
    """An argument or a valve holds something that cannot be understood."""

    code = "bad_argument"
    default_hint = "Call again with a value that fits."


class LimitExceeded(ComfyUIError):
    """More was asked for than the administrator allows."""

    code = "limit_exceeded"
    default_hint = "Call again within the limit."


class NotPermitted(ComfyUIError):
    """Open WebUI, or the administrator's rules, do not permit this to the user."""

    code = "not_permitted"
    default_hint = "Tell the user to ask an administrator."


class EndpointRefused(ComfyUIError):
    """The user's own ComfyUI address is not allowed or cannot be used."""

    code = "endpoint_refused"


class CreditsRefused(ComfyUIError):
    """It would cost credits, and nobody who may has said that they are spent on it."""

    code = "credits_refused"
    default_hint = "Ask the user, or name a workflow that costs nothing."
    is_final = False  # whether no other server is tried: a person said no
    task = ""  # what the workflow is for, so that a free one can be named


class NotAnswered(ComfyUIError):
    """The user was to answer in the chat's page, and did not."""

    code = "not_answered"
    default_hint = "Do not ask again by yourself."
    was_asked = False  # whether the question was shown
    was_declined = False  # whether the user closed it


class RunDeclined(ComfyUIError):
    """The user was asked whether to run it, and chose not to."""

    code = "run_declined"
    default_hint = "Do not call it again unless the user asks for it."


class UnknownWorkflow(ComfyUIError):
    """There is no workflow of that name."""

    code = "unknown_workflow"
    default_hint = "list_workflows tells which there are."

    def __init__(self, message: str, hint: str = "", name: str = "") -> None:
        """`name` is what no workflow is called."""
        super().__init__(message, hint)
        self.name = name


class UnknownJob(ComfyUIError):
    """No server knows such a job of this user."""

    code = "unknown_job"
    default_hint = "check_job without job_id lists the user's jobs."


class ServerError(ComfyUIError):
    """ComfyUI could not be reached or answered in a way that cannot be used."""

    code = "server_error"
    # True where a job was posted, or about to be, and the server certainly did not take it: another
    # one may.
    untaken = False
    # True where a job was posted, the server answered something else, and two look-ups did not find
    # it there.
    unfound = False


class ServerUnreachable(ServerError):
    """No ComfyUI answers at the address."""

    code = "server_unreachable"
    default_hint = (
        'ComfyUI has to be started, or the valve "ComfyUI address" of this tool corrected.'
    )

    def __init__(self, message: str, hint: str = "", refused: bool = False) -> None:
        """`refused` means that no connection could be made, so the server cannot have heard
        anything.
        """
        super().__init__(message, hint)
        self.refused = refused
        self.nothing_set = False  # whether nobody set an address, and none was found


class AccessRefused(ServerError):
    """The server, or the proxy in front of it, wants other credentials."""

    code = "access_refused"
    default_hint = "The API key valve that belongs to this address is missing or wrong; only a person can correct it."


class ServerTooOld(ServerError):
    """The server ignores the prompt id that the tool chose: it is older than about 0.3.45."""

    code = "server_too_old"
    default_hint = "ComfyUI has to be updated to 0.3.45 or later."


class ServerGone(ServerError):
    """ComfyUI stopped answering in the middle of the run."""

    code = "server_gone"
    default_hint = "Try once more in a minute; if it fails again, a person has to look at ComfyUI."

    def __init__(
        self, message: str, hint: str = "", refused: bool = False, executing: bool = False
    ) -> None:
        """`refused` means that no connection could be made in all that time, `executing` that it
        was the job's turn. The job may be run elsewhere where the first is so and the second is
        not.
        """
        super().__init__(message, DIED_HINT if executing else hint)
        self.refused = refused
        self.executing = executing


class UnexpectedAnswer(ServerError):
    """What answers is not ComfyUI, or it answered with something that ComfyUI never says."""

    code = "unexpected_answer"
    default_hint = (
        "The address may belong to something else, or a proxy stands in front of ComfyUI; "
        "a person has to look."
    )

    def __init__(self, message: str, hint: str = "", status: int = 0) -> None:
        """`status` is the one with which a file was withheld, 0 for everything else."""
        super().__init__(message, hint)
        self.status = status


class PaymentRequired(ServerError):
    """The account at Comfy Cloud lacks credits, or a plan that includes this."""

    code = "payment_required"
    default_hint = (
        "Only a person can settle this, at Comfy Cloud; until then every call ends like this one."
    )


class ServerBusy(ServerError):
    """The server takes no more jobs at the moment."""

    code = "server_busy"
    default_hint = "Try again in a minute."

    def __init__(self, message: str, hint: str = "", seconds: float | None = None) -> None:
        """`seconds` is how long the server asks to be left alone; None when it does not say."""
        if seconds is not None and not hint:
            whole = max(math.ceil(seconds), 1)
            hint = f"Try again in {whole} seconds, not earlier."
        super().__init__(message, hint)
        self.seconds = seconds


class WorkflowRefused(ComfyUIError):
    """ComfyUI did not accept the workflow."""

    code = "workflow_refused"
    default_hint = "The workflow itself has to be corrected."


class NodeNotInstalled(WorkflowRefused):
    """The workflow needs a node that this ComfyUI does not have."""

    code = "node_not_installed"
    default_hint = "Name another workflow, or have the node installed in ComfyUI."


class ModelNotInstalled(WorkflowRefused):
    """A model file that is needed, or was asked for, is not installed."""

    code = "model_not_installed"
    default_hint = "Name a model that is installed, or leave `model` out to have one chosen."


class ValueOutOfRange(WorkflowRefused):
    """ComfyUI refused a value."""

    code = "value_out_of_range"
    default_hint = "Call again with a value in the range."


class RunFailed(ComfyUIError):
    """The run was accepted and did not come to a good end."""

    code = "run_failed"
    # the ids of the nodes that began to run; None where that is not known
    ran: frozenset[str] | None = None
    prompt_id = ""  # under which the server knows it


class OutOfMemory(RunFailed):
    """The graphics card, or the computer that it is in, ran out of memory."""

    code = "out_of_memory"
    default_hint = "Try again with a smaller size, a lower count or a smaller model."


class ModelUnusable(RunFailed):
    """A model file could not be loaded: it is damaged, not completely downloaded, or of another
    kind.
    """

    code = "model_unusable"
    default_hint = "Name another model that list_models lists; a person has to replace the file on the ComfyUI server."

    def __init__(
        self, message: str, predicate: str = "", files: Mapping[Any, str] = MappingProxyType({})
    ) -> None:
        """`predicate` says what the file is, as the end of a sentence; `files` are those that the
        node should have loaded, by the inputs that name them.
        """
        super().__init__(message)
        self.predicate = predicate
        self.files = files


class NodeFailed(RunFailed):
    """A node of the workflow raised an error."""

    code = "node_failed"
    default_hint = "Another model or other values may work; tell the user the reason."


class NothingMade(RunFailed):
    """The run ended well, and no node told of a file that it saved."""

    code = "nothing_made"
    default_hint = "The workflow needs a node that saves what it makes, such as Save Image."


class PictureMissed(RunFailed):
    """A picture that is only sent over the websocket was sent while the connection was down."""

    code = "picture_missed"
    default_hint = (
        "It was not saved anywhere, so run it again; a Save Image node in the workflow avoids this."
    )


class RunInterrupted(RunFailed):
    """Somebody stopped the run on the ComfyUI server."""

    code = "run_interrupted"
    default_hint = "Ask the user before running it again."


class JobLost(RunFailed):
    """ComfyUI no longer knows the job: it was restarted, or the job was deleted there."""

    code = "job_lost"
    default_hint = "Run it again."

    def __init__(self, message: str, arrived: bool = True, executing: bool = False) -> None:
        """`arrived` means that the server is known to have had the job, `executing` that it was its
        turn: then the job itself may have brought the server down, and is not run again without
        being asked for.
        """
        super().__init__(message, DIED_HINT if executing else "")
        self.arrived = arrived
        self.executing = executing


class StillRunning(ComfyUIError):
    """The longest wait is over and ComfyUI is still at work; the job goes on there."""

    code = "still_running"
    default_hint = (
        "It goes on; do not start it again. Tell the user; check_job brings it when they ask."
    )

    def __init__(self, message: str, job_id: str) -> None:
        super().__init__(message)
        self.job_id = job_id

    def as_result(self) -> dict[str, Any]:
        """The dictionary that the model receives: not a failure, but the job's id and a note that
        it goes on.
        """
        note = f"{self.message} {self.hint}"
        return {"status": "running", "code": self.code, "job_id": self.job_id, "note": note}


class StorageRefused(ComfyUIError):
    """Open WebUI did not take the finished file."""

    code = "storage_refused"
    default_hint = "Tell the user; the picture is still in ComfyUI's output folder."


class TookTooLong(ComfyUIError):
    """Work on files or texts took Open WebUI longer than is allowed."""

    code = "took_too_long"
    default_hint = "Try again in a minute, with fewer or smaller files if there are any."


class InternalError(ComfyUIError):
    """A mistake in this tool; the log has the details."""

    code = "internal_error"
    default_hint = "Trying again may help. The administrator finds the details in Open WebUI's log."
