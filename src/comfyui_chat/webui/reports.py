"""What the model is told of results and servers, and the status that the user reads.

`keep_and_report` stores what a run made and tells of it with `report`; `status_report` tells of servers. Both give back
the dictionary for the model and the status, such as "Done in 8 s · seed 7":

    {"status": "done", "images": [{"number": 3, "id": "5f0c...", "url": "/api/v1/files/5f0c.../content"}],
     "seed": 7, "model": "sd_xl_base_1.0.safetensors", "workflow": "sdxl", "size": "1024x1024", "seconds": 8.1,
     "note": "The user already sees the picture in the chat; do not show or link it again. ..."}

Open WebUI sends a result to the model again in every later turn, so it is short.
"""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from ..media.pictures import small_copy
from ..names import duration, shortened
from ..run.fleet import ServerStatus
from ..run.make import RunResult
from ..server.endpoint import Endpoint
from ..server.record import Record
from .chat import Chat, player
from .settings import Settings

MOST_COPIES = 4  # pictures of one result that the model is shown


async def keep_and_report(chat: Chat, settings: Settings, made: RunResult, stem: str) -> tuple[dict[str, Any], str]:
    """What was made, stored as the user's files and reported; `stem` is what the files are called after. Raises
    `StorageRefused`."""
    files = await chat.keep(made.products, stem)
    result, text = report(made, files, chat.shown, await chat.numbers(files))
    if settings.show_to_model and chat.seen_by_model:
        pictures = [product.data for product in made.products if product.size][:MOST_COPIES]
        copies = [await asyncio.to_thread(small_copy, data) for data in pictures]
        result["copies"] = [copy for copy in copies if copy]
    return result, text


def report(
    made: RunResult, files: Sequence[Mapping[str, Any]], shown: bool, numbers: Mapping[str, int] | None = None
) -> tuple[dict[str, Any], str]:
    """What the model gets to know of finished files, and the last status.

    `files` are what a message holds of them, `shown` tells whether the user sees them, `numbers` the pictures' numbers
    in the chat by id. Files that are no pictures come as "files", those that can be played also as "players", which the
    model copies into its answer; texts that nodes showed come as "text", and notes as "adjusted".
    """
    pictures = [item for item in files if item["type"] == "image"]
    others = [item for item in files if item["type"] != "image"]
    thing = "picture" if pictures else "file"
    several = len(files) != 1
    seen = f"The user already sees the {thing}{'s' if several else ''} in the chat; do not show or link " + (
        "them" if several else "it"
    )
    again = f"The same prompt, seed, size and count give the same {'set' if several else thing} again."
    again = again if made.seed is not None else ""
    players = [
        player(kind, item["url"])
        for item in others
        if (kind := item["content_type"].partition("/")[0]) in ("video", "audio")
    ]
    note = f"{seen} again. {again}" if shown else f"Stored as files of the user. {again}"
    if players and shown:
        note = f"Copy `players` into the answer as it is, between empty lines: there the user plays it. {again}"
    elif made.texts and not pictures:
        note = "`text` holds what it says; the user can open it as a file."
    result: dict[str, Any] = {
        "status": "done",
        "images": [
            ({"number": number} if (number := (numbers or {}).get(item["id"])) else {})
            | {"id": item["id"], "url": item["url"]}
            for item in pictures
        ],
        "seed": made.seed,
        "model": made.model,
        "workflow": made.workflow,
        "size": ", ".join(dict.fromkeys(str(product.size) for product in made.products if product.size)),
        "seconds": round(made.seconds, 1),
        "note": note.strip(),
    }
    if others:
        result["files"] = [{"id": item["id"], "url": item["url"], "name": item["name"]} for item in others]
    if players and shown:
        result["players"] = "\n\n".join(players)
    if made.texts:
        result["text"] = [shortened(text, 4000) for text in made.texts[:8]]
    if made.notes:
        result["adjusted"] = list(made.notes)
    if made.running:
        result["still_running"] = made.running
    took = f" in {duration(made.seconds)}" if made.seconds >= 0.5 else ""
    return result, f"Done{took}" + (f" · seed {made.seed}" if made.seed is not None else "")


# What comfyui_status tells of each server.


def status_report(statuses: Sequence[ServerStatus], admin: bool) -> tuple[dict[str, Any], str]:
    """What the model gets to know of the servers, and the last status.

    Their addresses, and the metrics of this process, are for administrators; for all others a server that has no name
    gets a number.
    """
    servers, lines = [], []
    for index, one in enumerate(statuses, 1):
        plain = "ComfyUI" if len(statuses) == 1 else f"ComfyUI {index}"
        name = one.endpoint.name if admin else one.endpoint.label or plain
        fault = one.error.message if one.error else _last_fault(one.record)
        fault = fault if admin else _without_address(fault, one.endpoint, name)
        numbers: dict[str, Any] = {"name": name, "health": one.health}
        if admin:
            numbers["url"] = one.endpoint.url
        if one.stats:
            numbers["version"] = one.stats.version
            numbers["devices"] = [
                {"name": device.name, **_megabytes(total=device.memory_total, free=device.memory_free)}
                for device in one.stats.devices
            ]
        if one.queue is not None:
            numbers["queue"] = {"running": len(one.queue.running), "pending": len(one.queue.pending)}
            numbers["your_jobs"] = one.mine
        if (pace := one.record.pace()) is not None:
            numbers["seconds_per_run"] = round(pace, 1)
        if fault:
            numbers["last_fault"] = fault
        servers.append(numbers)
        lines.append(_status_line(name, one, fault))
    result: dict[str, Any] = {"status": "done", "servers": servers, "summary": "\n".join(lines)}
    if admin:
        result["metrics"] = "\n".join(_metrics_line(one) for one in statuses)
    waiting = sum(len(one.queue) for one in statuses if one.queue is not None)
    usable = sum(one.usable for one in statuses)
    text = f"{usable} of {len(statuses)} servers ready" if len(statuses) > 1 else f"ComfyUI: {statuses[0].health}"
    return result, f"{text} · {waiting} in the queue" if any(one.queue is not None for one in statuses) else text


def _status_line(name: str, status: ServerStatus, fault: str) -> str:
    """A server in words for the user."""
    said = [f"{name}: {status.health}"]
    if queue := status.queue:
        said.append(f"{len(queue.running)} running and {len(queue.pending)} waiting")
        said[-1] += f", {status.mine} of them yours" if status.mine else ""
    for device in status.stats.devices if status.stats else ():
        free, total = (value and value / 2**30 for value in (device.memory_free, device.memory_total))
        said.append(device.name if free is None or not total else f"{free:.3g} of {total:.3g} GB free on {device.name}")
    if (pace := status.record.pace()) is not None:
        said.append(f"a run takes about {duration(max(pace, 1))}")
    if status.stats and status.stats.version:
        said.append(f"ComfyUI {status.stats.version}")
    if fault and not status.usable:
        said.append(fault.rstrip("."))
    return "; ".join(said) + "."


def _metrics_line(status: ServerStatus) -> str:
    """What this process has seen of a server since it started, or since the tool was loaded, for a log or a grep."""
    record = status.record
    mean = record.run_seconds / record.done if record.done else 0.0
    return (
        f"server={quote(status.endpoint.name)} url={status.endpoint.url} runs={record.runs} done={record.done} "
        f"failed={record.failed} lost={record.lost} mean_seconds={mean:.1f} mb={record.bytes / 2**20:.1f} "
        f"websockets={record.sockets} faults={record.faults}"
    )


def _last_fault(record: Record) -> str:
    """What went wrong last, and how long ago; empty where nothing did."""
    ago = duration(max(time.time() - record.fault_at, 0.0))
    return f"{record.fault.rstrip('.')} ({ago} ago)" if record.fault else ""


def _without_address(text: str, endpoint: Endpoint, name: str) -> str:
    """A text with a server's name in place of every address."""
    return re.sub(r"\w+://[^\s,;()]+", lambda _: name, text).replace(urlsplit(endpoint.url).netloc, name)


def _megabytes(**amounts: int | None) -> dict[str, int]:
    """Amounts of memory, given in bytes, in megabytes (2**20 bytes), each under its name; without those that are not
    known."""
    return {f"memory_{name}_mb": value // 2**20 for name, value in amounts.items() if value is not None}
