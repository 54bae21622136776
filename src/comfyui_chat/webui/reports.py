"""What the model is told of results and servers, and the status that the user reads.

`keep_and_report` stores what a run made and tells of it with `report`; `status_report` tells of servers. Both give back
the dictionary for the model and the status, such as "Done in 8 s · seed 7":

    {"status": "done", "images": [{"number": 3, "id": "5f0c...", "url": "/api/v1/files/5f0c.../content"}],
     "seed": 7, "model": "sd_xl_base_1.0.safetensors", "workflow": "sdxl", "size": "1024x1024", "seconds": 8.1,
     "note": "The user already sees the picture in the chat; do not show or link it again. ..."}

Open WebUI sends a result to the model again in every later turn, so it is short.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ..media.pictures import small_copy
from ..names import duration, shortened
from ..run.fleet import ServerStatus
from ..run.make import RunResult
from ..server.protocol import Device
from ..threads import PICTURES
from .chat import Chat
from .settings import Settings
from .stored_files import player

MOST_COPIES = 4  # pictures of one result that the model is shown


async def keep_and_report(chat: Chat, settings: Settings, made: RunResult, stem: str) -> tuple[dict[str, Any], str]:
    """What was made, stored as the user's files and reported; `stem` is what the files are called after. Raises
    `StorageRefused`."""
    files = await chat.keep(made.products, stem)
    numbers = await chat.numbers(files)
    result, text = report(made, files, chat.shown, numbers)
    if settings.show_to_model and chat.seen_by_model:
        result["copies"] = await _copies(made)
    return result, text


async def _copies(made: RunResult) -> list[str]:
    """Small copies of the first pictures, as data URIs, for the model to look at."""
    pictures = [product.data.buffer for product in made.products if product.size]
    copies = []
    for data in pictures[:MOST_COPIES]:
        copy = await PICTURES.run(small_copy, data)
        if copy:
            copies.append(copy)
    return copies


def report(
    made: RunResult, files: Sequence[Mapping[str, Any]], shown: bool, numbers: Mapping[str, int] | None = None
) -> tuple[dict[str, Any], str]:
    """What the model gets to know of finished files, and the last status.

    `files` are what a message holds of them, `shown` tells whether the user sees them, `numbers` the pictures' numbers
    in the chat by id. Files that are not pictures come as "files", those that can be played also as "players", which
    the model copies into its answer; texts that nodes showed come as "text", and notes as "adjusted".
    """
    pictures = [item for item in files if item["type"] == "image"]
    others = [item for item in files if item["type"] != "image"]
    players = _players(others) if shown else []
    sizes = dict.fromkeys(str(product.size) for product in made.products if product.size)
    result: dict[str, Any] = {
        "status": "done",
        "images": [_picture(item, numbers or {}) for item in pictures],
        "seed": made.seed,
        "model": made.model,
        "workflow": made.workflow,
        "size": ", ".join(sizes),
        "seconds": round(made.seconds, 1),
        "note": _note(made, files, shown=shown, has_pictures=bool(pictures), has_players=bool(players)),
    }
    further = {
        "files": [{"id": item["id"], "url": item["url"], "name": item["name"]} for item in others],
        "players": "\n\n".join(players),
        "text": [shortened(text, 4000) for text in made.texts[:8]],
        "adjusted": list(made.notes),
        "still_running": made.running,
    }
    result |= {name: value for name, value in further.items() if value}
    return result, _done_text(made)


def _done_text(made: RunResult) -> str:
    """The last status of a run: "Done in 8 s · seed 7"; of one of which files are missing it says how many."""
    text = "Done"
    if made.seconds >= 0.5:
        text += f" in {duration(made.seconds)}"
    if made.seed is not None:
        text += f" · seed {made.seed}"
    if made.left_out:
        files = "file" if made.left_out == 1 else "files"
        text += f" · {made.left_out} {files} left out"
    return text


def _picture(item: Mapping[str, Any], numbers: Mapping[str, int]) -> dict[str, Any]:
    """A picture for the model: {"number": 3, "id": "5f0c...", "url": "..."}, the number only where it is known."""
    picture: dict[str, Any] = {}
    number = numbers.get(item["id"])
    if number:
        picture["number"] = number
    picture["id"] = item["id"]
    picture["url"] = item["url"]
    return picture


def _players(others: Sequence[Mapping[str, Any]]) -> list[str]:
    """A player for each of the files that are videos or sounds."""
    players = []
    for item in others:
        kind = item["content_type"].partition("/")[0]
        if kind in ("video", "audio"):
            players.append(player(kind, item["url"]))
    return players


def _note(
    made: RunResult, files: Sequence[Mapping[str, Any]], *, shown: bool, has_pictures: bool, has_players: bool
) -> str:
    """What the model is told to do, or not to do, about these files."""
    if made.texts and not has_pictures and not has_players:
        return "`text` holds what it says; the user can open it as a file."
    several = len(files) != 1
    thing = "picture" if has_pictures else "file"
    if has_players:
        note = "Copy `players` into the answer as it is, between empty lines: there the user plays it."
    elif not shown:
        note = "Stored as files of the user."
    elif several:
        note = f"The user already sees the {thing}s in the chat; do not show or link them again."
    else:
        note = f"The user already sees the {thing} in the chat; do not show or link it again."
    if made.seed is not None:
        same = "set" if several else thing
        note += f" The same prompt, seed, size and count give the same {same} again."
    return note


# What comfyui_status tells of each server.


def status_report(statuses: Sequence[ServerStatus], admin: bool) -> tuple[dict[str, Any], str]:
    """What the model gets to know of the servers, and the last status.

    Their addresses, and the metrics of this process, are for administrators.
    """
    servers: list[dict[str, Any]] = []
    lines: list[str] = []
    for status in statuses:
        fault = _fault(status, admin)
        servers.append(_server_entry(status, fault, admin))
        lines.append(_status_line(status, fault))
    result: dict[str, Any] = {"status": "done", "servers": servers, "summary": "\n".join(lines)}
    if admin:
        metrics = [_metrics_line(status) for status in statuses]
        result["metrics"] = "\n".join(metrics)
    return result, _servers_text(statuses)


def _servers_text(statuses: Sequence[ServerStatus]) -> str:
    """The last status of comfyui_status: "2 of 3 servers ready · 4 in the queue"."""
    text = f"ComfyUI: {statuses[0].health}"
    if len(statuses) > 1:
        usable = sum(status.usable for status in statuses)
        text = f"{usable} of {len(statuses)} servers ready"
    queues = [status.queue for status in statuses if status.queue is not None]
    if queues:
        jobs = sum(map(len, queues))
        at_least = "" if all(queue.is_whole for queue in queues) else "at least "
        text += f" · {at_least}{jobs} in the queue"
    return text


def _server_entry(status: ServerStatus, fault: str, admin: bool) -> dict[str, Any]:
    """A server in numbers for the model. What is not known is left out.

    {"name": "fast", "health": "busy", "queue": {"running": 1, "pending": 2}, "your_jobs": 2,
     "devices": [{"name": "NVIDIA L4", "memory_total_mb": 23040, "memory_free_mb": 22528}], "seconds_per_run": 12.5}
    """
    entry: dict[str, Any] = {"name": status.endpoint.name, "health": status.health}
    if admin:
        entry["url"] = status.endpoint.url
    if status.stats:
        entry["version"] = status.stats.version
        entry["devices"] = [_device_entry(device) for device in status.stats.devices]
    if status.queue is not None:
        entry["queue"] = {"running": len(status.queue.running), "pending": len(status.queue.pending)}
        entry["your_jobs"] = status.mine
        if not status.queue.is_whole:
            entry["queue"]["note"] = "There are more than were read, and more of them may be the user's."
    pace = status.record.pace()
    if pace is not None:
        entry["seconds_per_run"] = round(pace, 1)
    if fault:
        entry["last_fault"] = fault
    return entry


def _device_entry(device: Device) -> dict[str, Any]:
    """A graphics card, with its memory in megabytes (2**20 bytes) as far as that is known."""
    entry: dict[str, Any] = {"name": device.name}
    if device.memory_total is not None:
        entry["memory_total_mb"] = device.memory_total // 2**20
    if device.memory_free is not None:
        entry["memory_free_mb"] = device.memory_free // 2**20
    return entry


def _status_line(status: ServerStatus, fault: str) -> str:
    """A server in words for the user."""
    said = [f"{status.endpoint.name}: {status.health}"]
    queue = status.queue
    if queue:
        at_least = "" if queue.is_whole else "at least "
        load = f"{len(queue.running)} running and {at_least}{len(queue.pending)} waiting"
        if status.mine:
            load += f", {status.mine} of them yours"
        said.append(load)
    stats = status.stats
    if stats:
        said += [_memory_line(device) for device in stats.devices]
    pace = status.record.pace()
    if pace is not None:
        usual = duration(max(pace, 1))
        said.append(f"a run takes about {usual}")
    if stats and stats.version:
        said.append(f"ComfyUI {stats.version}")
    if fault and not status.usable:
        said.append(fault.rstrip("."))
    return "; ".join(said) + "."


def _memory_line(device: Device) -> str:
    """A device's free memory: "6 of 24 GB free on NVIDIA GeForce RTX 4090"; only its name where that is not known."""
    if device.memory_free is None or not device.memory_total:
        return device.name
    free = device.memory_free / 2**30
    total = device.memory_total / 2**30
    return f"{free:.3g} of {total:.3g} GB free on {device.name}"


def _metrics_line(status: ServerStatus) -> str:
    """What this process has seen of a server since it started, or since the tool was loaded, for a log or a grep."""
    record = status.record
    mean_seconds = 0.0
    if record.done:
        mean_seconds = record.run_seconds / record.done
    megabytes = record.bytes / 2**20
    parts = (
        f"server={quote(status.endpoint.name)}",
        f"url={status.endpoint.url}",
        f"runs={record.runs}",
        f"done={record.done}",
        f"failed={record.failed}",
        f"lost={record.lost}",
        f"mean_seconds={mean_seconds:.1f}",
        f"mb={megabytes:.1f}",
        f"websockets={record.sockets}",
        f"faults={record.faults}",
    )
    return " ".join(parts)


def _fault(status: ServerStatus, admin: bool) -> str:
    """Why a server gives no status, else what went wrong last and how long ago; empty where nothing did."""
    if status.error:
        return status.error.with_place if admin else status.error.message
    record = status.record
    if not record.fault:
        return ""
    seconds = max(time.time() - record.fault_at, 0.0)
    return f"{record.fault.rstrip('.')} ({duration(seconds)} ago)"
