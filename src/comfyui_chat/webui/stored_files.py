"""What Open WebUI holds of a file that was made: how a message names it, and what its dialog shows.

A picture that a browser draws is an "image" in the message, and any other a "file" that is offered for download and
opens a dialog. Both look like this (`message_file`); the metadata of the stored file tells under `JOB_KEY` which job
made it, so that `Chat.kept` finds it again:

    {"type": "image", "id": "5f0c...", "url": "/api/v1/files/5f0c.../content", "name": "a-red-fox-7.png",
     "content_type": "image/png"}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import StorageRefused
from ..media.kinds import OutputFile
from ..names import quoted, shortened

JOB_KEY = "comfyui_job"  # under which a stored file tells of the run that made it
# What the page's browser draws as a picture; others are offered for download.
DRAWN = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/avif", "image/bmp", "image/svg+xml")
TEXT_SHOWN = 100_000  # characters of a text that its dialog shows


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

    def add(self, item: Any, source: str) -> None:
        """Take in a stored file (`item` as Open WebUI's `Files` gives it). One that a browser does not draw has a page
        (`file_page`) as its content."""
        drawn = "content" not in (item.data or {})
        self.sources.append(source)
        self.files.append(message_file(item, drawn))


def run_of(item: Any) -> Mapping[str, Any]:
    """What a stored file tells of the run that made it; empty for a file that none made.

    {"prompt_id": "0c6d...", "source": "ComfyUI_00007_.png", "of": 2}
    """
    data = (item.meta or {}).get("data") or {}
    run: Mapping[str, Any] = data.get(JOB_KEY) or {}
    return run


def message_file(item: Any, drawn: bool) -> dict[str, Any]:
    """What a message holds of a stored file (`item` as Open WebUI's `Files` gives it): a picture that is `drawn`, or a
    file that is offered for download."""
    meta = item.meta or {}
    entry = {
        "id": item.id,
        "url": f"/api/v1/files/{item.id}/content",
        "name": str(meta.get("name") or item.filename),
        "content_type": str(meta.get("content_type") or ""),
    }
    if drawn:
        return {"type": "image", **entry}
    return {"type": "file", **entry, "size": int(meta.get("size") or 0)}


def file_page(product: OutputFile, url: str) -> str:
    """What Open WebUI's dialog shows of a file that is not a picture, in Markdown: a player, the text, or a link to
    download it. It is stored with the file."""
    kind, _, detail = product.content_type.partition("/")
    if kind in ("video", "audio"):
        return player(kind, url, ' style="max-width:100%;max-height:20rem"')  # the dialog is not high
    if kind != "text" and detail != "json":
        return f"[Download]({url})"
    start = product.data[: 4 * TEXT_SHOWN]  # a character has up to 4 bytes
    text = start.decode("utf-8", "replace")[:TEXT_SHOWN]
    if detail == "json":
        return f"```json\n{text}\n```"
    return text


def player(kind: str, url: str, style: str = "") -> str:
    """A player in the one form that the page draws in an answer's text, where the inner text counts, as well as in a
    file's dialog, where the attribute does: a block of HTML of its own."""
    return f'<p><{kind} src="{url}" controls{style}>{url}</{kind}></p>'


def storage_refused(error: Exception, left: Sequence[str], stored: int, *, shown: bool) -> StorageRefused:
    """The error for files that are not stored: what those that are `left` are called on the ComfyUI server, "" for one
    that is not there, and how many others are stored, and `shown`."""
    reason = getattr(error, "detail", None) or type(error).__name__  # an HTTPException, or the storage's own
    sources = [source for source in left if source]
    hint = "Nothing is left of it on the ComfyUI server."
    if sources:
        hint = f"In ComfyUI's output folder: {quoted(sources)}."
    where = "stored and shown" if shown else "stored"
    if stored == 1:
        hint += f" The other file is {where}."
    elif stored:
        hint += f" The other {stored} files are {where}."
    return StorageRefused(f"Open WebUI did not store the file: {shortened(reason, 200)}", hint)
