"""What a test may make the server do wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

# What torch raises, newer and older, for `fail_node`.
OUT_OF_MEMORY = ("torch.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory. (out of memory)")
OUT_OF_MEMORY_OLDER = ("torch.cuda.OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.25 GiB.")


@dataclass
class Misbehaviour:
    """Everything is off at first and may be set at any time."""

    fail_node: dict[str, tuple[str, str]] = field(default_factory=dict)  # class -> (exception type, message)
    unusable_files: dict[str, tuple[str, str]] = field(
        default_factory=dict
    )  # model file -> the same, when it is loaded
    hold_before: str | None = None  # a node class: execution waits before it until `release`
    hold_at_step: int | None = None  # the sampler waits at this step until `release`
    drop_sockets_at_step: int | None = None  # all sockets are cut at this sampling step, once
    mute_frames: set[str] = field(default_factory=set)  # frame types never sent; "binary" for the binary ones
    history_delay: float = 0.0  # seconds from the last frame to the history entry
    ignore_prompt_id: bool = False  # mint an id though the client sent one
    lose_post_answer: bool = False  # accept the prompt and cut the connection, once
    post_answer: tuple[int, str, str] | None = (
        None  # accept the prompt and answer this instead, once: status, type, body
    )
    refuse_websocket: int | None = None  # HTTP status of the handshake
    status_for: dict[str, int] = field(default_factory=dict)  # path prefix -> HTTP status
    json_for: dict[str, object] = field(default_factory=dict)  # path prefix -> what is answered, with 200
    retry_after: str | None = None  # what such answers say about when to come back
    view_delay: float = 0.0  # seconds before each answer of /view
    view_answers: list[tuple[int, str, str]] = field(default_factory=list)  # in place of the next files: as above
    view_missing: Collection[str] | Callable[[str], bool] = ()  # names of files that /view does not find
    object_info_delay: float = 0.0
    truncate_view: bool = False  # /view breaks off in the middle
    redirect_to: str | None = None  # every route answers 302 to this origin
    garbage_frames: bool = False  # malformed and unknown frames among the real ones
    no_outputs: bool = False  # the save nodes report no images
    hang: bool = False  # a prompt starts and never goes on

    def misses(self, name: str) -> bool:
        missing = self.view_missing
        return missing(name) if callable(missing) else name in missing
