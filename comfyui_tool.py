"""
title: ComfyUI
author: The ComfyUI tool's authors
description: Any ComfyUI workflow from any model in any chat: queue position, percentage and live preview on the way.
version: 0.1.0
licence: MIT
required_open_webui_version: 0.9.6
"""

# The lines above are the front matter that Open WebUI reads: they have to be the first of the built file.
#
# MIT License. See LICENSE beside this file in its repository; the notice and the permission stay with every copy.
#
# Built by build.py from the modules in src/comfyui_chat, and not to be edited: change those, and run `python build.py`.
# `python build.py --where N` tells which line of which module line N of this file is.
#
#   errors              errors.
#   logs                logs.
#   tasks               tasks.
#   names               names.
#   values              values.
#   graph/definitions   graph/definitions.
#   graph/nodes         graph/nodes.
#   graph/prompts       graph/prompts.
#   graph/fitting       graph/fitting.
#   graph/editor        graph/editor.
#   graph/reading       graph/reading.
#   graph/search        graph/search.
#   graph/discovery     graph/discovery.
#   graph/workflow      graph/workflow.
#   graph/links         graph/links.
#   graph/loras         graph/loras.
#   graph/facts         graph/facts.
#   graph/mermaid       graph/mermaid.
#   media/kinds         media/kinds.
#   media/pictures      media/pictures.
#   media/metadata      media/metadata.
#   media/delivery      media/delivery.
#   server/endpoint     server/endpoint.
#   server/protocol     server/protocol.
#   server/record       server/record.
#   server/connection   server/connection.
#   server/client       server/client.
#   server/cloud        server/cloud.
#   server/pool         server/pool.
#   catalogue/entries   catalogue/entries.
#   catalogue/choosing  catalogue/choosing.
#   catalogue/listings  catalogue/listings.
#   run/owner           run/owner.
#   run/job             run/job.
#   run/fleet           run/fleet.
#   run/follow          run/follow.
#   run/inputs          run/inputs.
#   run/planning        run/planning.
#   run/make            run/make.
#   run/earlier         run/earlier.
#   webui/ollama        webui/ollama.
#   webui/references    webui/references.
#   webui/display       webui/display.
#   webui/chat          webui/chat.
#   webui/valves        webui/valves.
#   webui/settings      webui/settings.
#   webui/reports       webui/reports.
#   webui/jobs          webui/jobs.
#   webui/tools         webui/tools.
#   command_line        command_line.
#   bundled             The workflows that come with the tool, as data.

# fmt: off

import argparse
import asyncio
import base64
import contextlib
import difflib
import functools
import getpass
import hashlib
import hmac
import io
import itertools
import json
import logging
import math
import mimetypes
import os
import random
import re
import secrets
import signal
import sys
import time
import unicodedata
import uuid
import weakref
import zlib
from collections import deque
from collections.abc import (
    AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence,
)
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal, Protocol, TypeVar, get_args, get_origin
from urllib.parse import quote, urlsplit

import aiohttp
from PIL import Image, ImageChops, ImageOps, ImageStat, PngImagePlugin
from pydantic import BaseModel, ConfigDict, Field, field_validator
from yarl import URL


# ======================================================================================================================
# src/comfyui_chat/errors.py
#
# errors.
# ======================================================================================================================


#
# ComfyUIError
# ├── BadArgument          bad_argument        ├── StorageRefused       storage_refused
# ├── LimitExceeded        limit_exceeded      ├── WorkflowRefused      workflow_refused
# ├── EndpointRefused      endpoint_refused    │   ├── NodeNotInstalled     node_not_installed
# ├── UnknownWorkflow      unknown_workflow    │   ├── ModelNotInstalled    model_not_installed
# ├── UnknownJob           unknown_job         │   └── ValueOutOfRange      value_out_of_range
# ├── ServerError          server_error        ├── RunFailed            run_failed
# │   ├── ServerUnreachable    server_…        │   ├── OutOfMemory          out_of_memory
# │   ├── AccessRefused        access_refused  │   ├── NodeFailed           node_failed
# │   ├── ServerTooOld         server_too_old  │   ├── NothingMade          nothing_made
# │   ├── ServerGone           server_gone     │   ├── PictureMissed        picture_missed
# │   ├── UnexpectedAnswer     unexpected_…    │   ├── RunInterrupted       run_interrupted
# │   ├── PaymentRequired      payment_…       │   └── JobLost              job_lost
# │   └── ServerBusy           server_busy     │
# ├── StillRunning         still_running       └── InternalError        internal_error


class ComfyUIError(Exception):
    """Something went wrong, said so that a person or a model can act on it."""

    code: ClassVar[str] = "error"
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, hint: str = "") -> None:
        """`message` says what happened, `hint` what to do next; both are plain text and never hold a secret."""
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint

    def as_result(self) -> dict[str, Any]:
        """The dictionary that the model receives; its `error` key marks the call as failed in the chat."""
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


class EndpointRefused(ComfyUIError):
    """The user's own ComfyUI address is not allowed or cannot be used."""

    code = "endpoint_refused"


class UnknownWorkflow(ComfyUIError):
    """There is no workflow of that name."""

    code = "unknown_workflow"
    default_hint = "Leave `workflow` out to have one chosen."


class UnknownJob(ComfyUIError):
    """No server knows such a job of this user."""

    code = "unknown_job"
    default_hint = "check_job without job_id tells the user's jobs."


class ServerError(ComfyUIError):
    """ComfyUI could not be reached or answered in a way that cannot be used."""

    code = "server_error"
    untaken = False  # whether a job was about to be posted and the server certainly did not take it


class ServerUnreachable(ServerError):
    """No ComfyUI answers at the address."""

    code = "server_unreachable"
    default_hint = 'ComfyUI has to be started, or the valve "ComfyUI address" of this tool corrected.'

    def __init__(self, message: str, hint: str = "", refused: bool = False) -> None:
        """`refused` says that no connection could be made, so that the server cannot have heard anything."""
        super().__init__(message, hint)
        self.refused = refused


class AccessRefused(ServerError):
    """The server, or the proxy before it, wants other credentials."""

    code = "access_refused"
    default_hint = "The API key valve that belongs to this address is missing or wrong; only a person can correct it."


class ServerTooOld(ServerError):
    """The server ignores the prompt id that the tool chose: it is older than about 0.3.45."""

    code = "server_too_old"
    default_hint = "ComfyUI has to be updated to 0.3.45 or later."


class ServerGone(ServerError):
    """ComfyUI stopped answering in the middle of the run."""

    code = "server_gone"
    default_hint = "Try once more in a minute; if it fails again, ComfyUI has to be looked at."

    def __init__(self, message: str, hint: str = "", refused: bool = False) -> None:
        """`refused` says that no connection could be made all the while, so that the job may be run elsewhere."""
        super().__init__(message, hint)
        self.refused = refused


class UnexpectedAnswer(ServerError):
    """What answers is not ComfyUI, or it answered with something that ComfyUI never says."""

    code = "unexpected_answer"
    default_hint = "The address may belong to something else, or a proxy stands before ComfyUI; a person has to look."


class PaymentRequired(ServerError):
    """The account at Comfy Cloud lacks credits, or a plan that includes this."""

    code = "payment_required"
    default_hint = "Only a person can settle this, at Comfy Cloud; until then every call ends like this one."


class ServerBusy(ServerError):
    """The server takes no more jobs at the moment."""

    code = "server_busy"
    default_hint = "Try again in a minute."

    def __init__(self, message: str, hint: str = "", seconds: float | None = None) -> None:
        """`seconds` is how long the server wants to be left alone, where it says."""
        told = "" if seconds is None else f"Try again in {max(math.ceil(seconds), 1)} seconds, not earlier."
        super().__init__(message, hint or told)
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


class OutOfMemory(RunFailed):
    """The graphics card ran out of memory."""

    code = "out_of_memory"
    default_hint = "Try again with a smaller size or a lower count."


class NodeFailed(RunFailed):
    """A node of the workflow raised an error."""

    code = "node_failed"
    default_hint = "Another model or other values may work; tell the user the reason."


class NothingMade(RunFailed):
    """The run ended well and saved nothing."""

    code = "nothing_made"
    default_hint = "The workflow needs a node that saves what it makes, such as Save Image."


class PictureMissed(RunFailed):
    """A picture that is only sent over the websocket was sent while the connection was down."""

    code = "picture_missed"
    default_hint = "It was not saved anywhere, so run it again; a Save Image node in the workflow avoids this."


class RunInterrupted(RunFailed):
    """Somebody stopped the run on the ComfyUI server."""

    code = "run_interrupted"
    default_hint = "Ask the user before running it again."


class JobLost(RunFailed):
    """ComfyUI no longer knows the job: it was restarted, or the job was deleted there."""

    code = "job_lost"
    default_hint = "Run it again."

    def __init__(self, message: str, arrived: bool = True) -> None:
        """`arrived` says that the server is known to have had it."""
        super().__init__(message)
        self.arrived = arrived


class StillRunning(ComfyUIError):
    """The longest wait is over and ComfyUI is still at work; the job goes on there."""

    code = "still_running"
    default_hint = "Do not start it again. Tell the user; check_job brings it when they ask."

    def __init__(self, message: str, job_id: str) -> None:
        super().__init__(message)
        self.job_id = job_id

    def as_result(self) -> dict[str, Any]:
        """No failure: the job's id, and that it goes on."""
        return {"status": "running", "code": self.code, "job_id": self.job_id, "note": f"{self.message} {self.hint}"}


class StorageRefused(ComfyUIError):
    """Open WebUI did not take the finished file."""

    code = "storage_refused"
    default_hint = "Tell the user; the picture is still in ComfyUI's output folder."


class InternalError(ComfyUIError):
    """A mistake in this tool; the log has the details."""

    code = "internal_error"
    default_hint = "Trying again may help. The administrator finds the details in Open WebUI's log."


# ======================================================================================================================
# src/comfyui_chat/logs.py
#
# logs.
# ======================================================================================================================


log = logging.getLogger("comfyui_tool")  # Open WebUI gives the module a new name at every load; this one stays


# ======================================================================================================================
# src/comfyui_chat/tasks.py
#
# tasks.
# ======================================================================================================================


ANSWER_SECONDS = 60.0  # for one HTTP answer; validating a large prompt takes a while
CLEAN_UP_SECONDS = 3.0  # for everything that a Stop still does
T = TypeVar("T")


async def gather(most: int, work: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """All results in order, at most so many at a time; the first failure, or a cancellation, cancels the rest."""
    gate = asyncio.Semaphore(most)

    async def one(ask: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await ask()

    tasks = [asyncio.create_task(one(ask)) for ask in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def finish(work: Awaitable[Any], seconds: float) -> bool:
    """Do a short clean-up to its end, or to the end of its time, however often the caller is cancelled meanwhile; a
    cancellation is raised again afterwards. Returns whether it went well; its failure is logged and goes no further.
    """

    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await work

    task = asyncio.create_task(bounded())
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    failure = None if task.cancelled() else task.exception()
    if failure:
        log.warning("clean-up: %s: %s", type(failure).__name__, failure)
    if cancelled:
        raise cancelled
    return not (failure or task.cancelled())


# ======================================================================================================================
# src/comfyui_chat/names.py
#
# names.
# ======================================================================================================================


MODEL_FILE = re.compile(r"\.(safetensors|sft|ckpt|pth?|bin|gguf|onnx)$", re.IGNORECASE)


def simplified(name: str) -> str:
    """A name for comparing: without case, spaces and underscores."""
    return re.sub(r"[\s_]+", "", name).casefold()


# Names, numbers and sizes that somebody asks for, made to fit.


def base_name(name: str) -> str:
    """A file's name without its folder, whichever way the slashes go."""
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def plain_name(name: str) -> str:
    """A model's name without folder, extension, case and punctuation, for comparing."""
    stem = MODEL_FILE.sub("", base_name(name))
    return re.sub(r"[\W_]+", "", stem.lower())


def find_name(wanted: str, choices: Sequence[str]) -> str | None:
    """The one of `choices` that is meant: exactly, else whatever its case, folder, slash direction or extension."""
    tidy, plain = wanted.strip().replace("\\", "/").lower(), plain_name(wanted[-4096:])
    return next(
        (
            choice
            for same in (
                lambda choice: choice == wanted,
                lambda choice: choice.replace("\\", "/").lower() == tidy,
                lambda choice: bool(plain) and plain_name(choice) == plain,
            )
            for choice in choices
            if same(choice)
        ),
        None,
    )


LONGEST_NAME, MOST_NAMES = 120, 2000  # that are compared: what somebody writes may have no end


def closest(wanted: str, choices: Sequence[str], count: int = 3) -> list[str]:
    """The names most like the wanted one, best first; with none alike, simply the first ones."""
    plain = {choice: plain_name(choice)[:LONGEST_NAME] for choice in choices[:MOST_NAMES]}
    want = plain_name(wanted[-LONGEST_NAME:])

    def likeness(choice: str) -> float:
        inside = 1.0 if want and (want in plain[choice] or (plain[choice] and plain[choice] in want)) else 0.0
        return inside + difflib.SequenceMatcher(None, want, plain[choice]).ratio()

    return sorted(plain, key=likeness, reverse=True)[:count]


def quoted(names: Iterable[str]) -> str:
    """Names in a sentence."""
    return ", ".join(f'"{name}"' for name in names)


def shortened(text: Any, length: int = 80) -> str:
    """A value as it may stand in a message: one line, cut when long."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def file_stem(prompt: str, seed: int | None) -> str:
    """A telling file name without extension: the first words of the prompt, in any script, and the seed."""
    plain = unicodedata.normalize("NFC", prompt)
    words = re.sub(r"[^\w]+", "-", plain, flags=re.UNICODE).strip("-_")[:48].rstrip("-_")
    return f"{words or 'picture'}-{seed}" if seed is not None else words or "picture"


# ======================================================================================================================
# src/comfyui_chat/values.py
#
# values.
# ======================================================================================================================


NOT_GIVEN = ("", "auto", "default", "none", "null")  # what models write when they mean to leave an argument out


def same_value(one: Any, other: Any) -> bool:
    """Whether two values are the same to ComfyUI: 1 and 1.0 are, 1 and true are not."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def as_number(value: Any) -> float | None:
    """The number that a value is to ComfyUI, which takes "7" for one, or None."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    return value if is_number(value) and math.isfinite(value) else None


def share(value: Any, part: float) -> Any:
    """A part of a number of steps, at least one; what is no number stays as it is."""
    return max(1, round(value * part)) if part != 1.0 and is_number(value) else value


def is_number(value: Any) -> bool:
    """Whether a value is a number; JSON's true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True)
class Wanted:
    """A value somebody asked for, with who it was: `name` for messages, `level` 0 argument, 1 user, 2 administrator."""

    value: Any
    name: str
    level: int = 0


def as_text(wanted: Wanted) -> str:
    """A text; a list of texts is joined. Raises `BadArgument` for anything else."""
    value = wanted.value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if not isinstance(value, str):
        raise BadArgument(f"{wanted.name} is no text: {shortened(value)}.", "Give a text.")
    return value


YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def megapixels(self) -> float:
        """Millions of pixels."""
        return self.width * self.height / 1e6

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


NAMED_RATIOS = {"square": (1.0, 1.0), "landscape": (3.0, 2.0), "portrait": (2.0, 3.0), "wide": (16.0, 9.0)}
SMALLEST_SIDE = 64  # smaller numbers are an aspect ratio, as in "16x9"


def read_size(wanted: Wanted | None) -> Size | tuple[float, float]:
    """What somebody means by a size: pixels, or an aspect ratio (across, down); nothing and "auto" mean a square.

    Raises `BadArgument` for what is neither.
    """
    text = str(wanted.value).strip().lower() if wanted else "auto"
    if wanted is None or text in NOT_GIVEN:
        return 1.0, 1.0
    if text in NAMED_RATIOS:
        return NAMED_RATIOS[text]
    pixels = re.fullmatch(r"(\d{1,6})(?:\s*(?:x|×|\*|by)\s*(\d{1,6}))?\s*(?:px|pixels)?", text)
    if pixels and max(int(pixels[1]), int(pixels[2] or 0)) >= SMALLEST_SIDE:
        return Size(int(pixels[1]), int(pixels[2] or pixels[1]))
    ratio = re.fullmatch(r"(\d+(?:\.\d+)?)\s*[:/x×]\s*(\d+(?:\.\d+)?)", text)
    if not ratio:
        raise BadArgument(
            f'{wanted.name} is "{shortened(wanted.value)}", which is no size.',
            'Give "auto", an aspect ratio such as "16:9", or width and height in pixels such as "1216x832".',
        )
    across, down = float(ratio[1]), float(ratio[2])
    if not (across and down and 1 / 8 <= across / down <= 8):
        raise BadArgument(f'{wanted.name} is "{text}".', "Give an aspect ratio between 1:8 and 8:1.")
    return across, down


def words_of(value: Any, name: str) -> str:
    """A text argument that may be left out. Raises `BadArgument`."""
    return as_text(Wanted(value, f"The argument {name}")) if is_given(name, value) else ""


def as_yes(value: Any, name: str) -> bool:
    """A switch, also when it is written as a word. Raises `BadArgument`."""
    plain = str(value).strip().lower()
    if plain in ("true", "yes", "on", "1"):
        return True
    if plain in ("false", "no", "off", "0", *NOT_GIVEN):
        return False
    raise BadArgument(f"The argument {name} is {shortened(value)}.", "Give true or false.")


def is_given(name: str, value: Any) -> bool:
    """Whether a caller means a value, or wrote something that stands for leaving it out."""
    if value is None or value == [] or (name == "seed" and str(value).strip().lower() in ("-1", "random")):
        return False
    return not (isinstance(value, str) and value.strip().lower() in (("",) if name == "negative_prompt" else NOT_GIVEN))


def clamp(value: float, low: float, high: float) -> float:
    """The nearest value in the range."""
    return min(max(value, low), high)


# ======================================================================================================================
# src/comfyui_chat/graph/__init__.py
#
# graph.
# ======================================================================================================================


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/definitions.py
#
# graph/definitions.
# ----------------------------------------------------------------------------------------------------------------------


SEED_INPUTS = ("seed", "noise_seed")


@dataclass(frozen=True)
class InputSpec:
    """What a node accepts at one input: `type` is ComfyUI's (INT, FLOAT, STRING, BOOLEAN, COMBO, MODEL, …)."""

    type: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[Any, ...] = ()  # nearly always texts
    default: Any = None
    required: bool = True
    file: str = ""  # what kind of file it names: "image", "video", "audio", or "" when it names none
    options: Mapping[str, Mapping[str, "InputSpec"]] = field(default_factory=dict)  # of a dynamic combo: by choice
    least: int = 0  # so many of the inputs that an autogrowing one stands for must be there

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The choices that are texts: names of files, mostly."""
        return tuple(choice for choice in self.choices if isinstance(choice, str))

    @classmethod
    def parse(cls, kind: Any, options: Mapping[str, Any], required: bool = True) -> "InputSpec":
        """Read the type and the options that `/object_info` lists for an input."""
        branches = {key: parse_inputs(inputs) for key, inputs in combo_branches(kind, options).items()}
        choices = list(branches) or combo_choices(kind, options)
        numbers = (options.get(key) for key in ("min", "max", "step"))
        low, high, step = (value if isinstance(value, (int, float)) else None for value in numbers)
        file = next((kind for kind in ("image", "video", "audio") if options.get(f"{kind}_upload")), "")
        name = "COMBO" if isinstance(kind, list) else str(kind)
        default = options.get("default", choices[0] if choices else None)
        least = autogrow_least(kind, options)
        return cls(name, low, high, step, tuple(choices), default, required, file, branches, least)


DYNAMIC_COMBO, AUTOGROW = "COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3"


def combo_choices(kind: Any, options: Mapping[str, Any]) -> list[Any]:
    """What a combo offers, in both its shapes: the older one has the list where the type's name would stand."""
    listed = kind if isinstance(kind, list) else options.get("options") if kind == "COMBO" else None
    return listed if isinstance(listed, list) else []


def combo_branches(kind: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The `input` sections that each choice of a dynamic combo brings."""
    listed = options.get("options") if kind == DYNAMIC_COMBO else None
    entries = [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []
    return {str(entry.get("key")): entry.get("inputs") for entry in entries}


def autogrow_least(kind: Any, options: Mapping[str, Any]) -> int:
    """How many inputs an autogrowing one has to have; 0 for any other input."""
    template = options.get("template") if kind == AUTOGROW else None
    inner = template.get("input") if isinstance(template, Mapping) else None
    least = template.get("min") if isinstance(template, Mapping) else None
    return least if isinstance(inner, Mapping) and inner.get("required") and isinstance(least, int) else 0


def input_sections(sections: Any) -> Iterator[tuple[str, str, Any, Mapping[str, Any]]]:
    """(section, name, type, options) of every input in `input` of a node definition; hidden inputs are left out, and
    so is what has no known shape."""
    for section in ("required", "optional"):
        specs = sections.get(section) if isinstance(sections, Mapping) else None
        for name, spec in specs.items() if isinstance(specs, Mapping) else ():
            if isinstance(spec, list) and spec:
                yield section, name, spec[0], spec[1] if len(spec) > 1 and isinstance(spec[1], Mapping) else {}


def parse_inputs(sections: Any) -> dict[str, InputSpec]:
    """The inputs in `input` of a node definition, by name."""
    return {
        name: InputSpec.parse(kind, options, section == "required")
        for section, name, kind, options in input_sections(sections)
    }


@dataclass(frozen=True)
class NodeDefinition:
    """One node class as the server describes it. The only place that knows the shapes of `/object_info`."""

    class_type: str
    inputs: Mapping[str, InputSpec]
    title: str = ""  # the name that ComfyUI's page shows
    outputs: tuple[str, ...] = ()  # their types
    is_output: bool = False  # runs for its own sake: saves or shows something
    widgets: tuple["Widget", ...] = ()  # as the page draws them, for `convert`

    @classmethod
    def parse(cls, class_type: str, raw: Mapping[str, Any]) -> "NodeDefinition":
        """Read one entry of `/object_info`."""
        outputs = raw.get("output")
        return cls(
            class_type,
            parse_inputs(raw.get("input")),
            str(raw.get("display_name") or class_type),
            tuple(str(kind) for kind in outputs) if isinstance(outputs, list) else (),
            bool(raw.get("output_node")),
            parse_widgets(raw.get("input"), raw.get("input_order")),
        )

    def spec(self, name: str, held: Mapping[str, Any]) -> InputSpec | None:
        """What an input accepts, or None when the class has none of that name. "format.codec" is the input that the
        choice of the dynamic combo "format" brings; `held` tells the choices."""
        specs, path = self.inputs, ""
        *outer, last = name.split(".")
        for part in outer:
            path += part
            found = specs.get(part)
            if found is None:
                return self.inputs.get(name)
            specs = found.options.get(str(held.get(path)), {})
            path += "."
        return specs.get(last)


Definitions = Mapping[str, NodeDefinition]  # by class_type


# What a link carries where no definition tells, by the name of the input that it feeds, without its number.
GUESSED_TYPES: Mapping[str, str] = {
    name: kind
    for kind, names in {
        "MODEL": "model model_negative base_model",
        "CLIP": "clip",
        "VAE": "vae audio_vae",
        "CONDITIONING": "positive negative conditioning cond conditioning_to conditioning_from",
        "LATENT": "latent latent_image samples video_latent audio_latent av_latent image_embeds",
        "IMAGE": "image images pixels start_image end_image control_image reference_image input_image",
        "MASK": "mask masks",
        "NOISE": "noise",
        "GUIDER": "guider",
        "SAMPLER": "sampler",
        "SIGMAS": "sigmas",
        "AUDIO": "audio",
        "VIDEO": "video",
        "CONTROL_NET": "control_net",
        "CLIP_VISION": "clip_vision",
        "CLIP_VISION_OUTPUT": "clip_vision_output",
        "STYLE_MODEL": "style_model",
        "UPSCALE_MODEL": "upscale_model",
        "MODEL_PATCH": "model_patch",
    }.items()
    for name in names.split()
}


ANY_TYPE = ("", "*", "COMFY_MATCHTYPE_V3", AUTOGROW, DYNAMIC_COMBO)
KNOWN_TYPES = {*GUESSED_TYPES.values(), "STRING", "INT", "FLOAT", "BOOLEAN", "COMBO", "MESH", "SVG"}
MEDIA = ("IMAGE", "VIDEO", "AUDIO", "MESH", "SVG")
VALUE_TYPES = ("INT", "FLOAT", "COMBO")


@functools.lru_cache(4096)
def guessed_type(name: str) -> str:
    """What an input takes by its name, or ""."""
    return GUESSED_TYPES.get(re.sub(r"[\d_]+$", "", name.rsplit(".", 1)[-1].lower()), "")


MAX_DEPTH = 32  # subgraphs in subgraphs; people nest three deep
PLAIN_WIDGETS: Mapping[str, Any] = {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}  # and the first value


# Widgets that only the front end knows, and what it sends for them when the file holds nothing.
FRONT_END_WIDGETS: Mapping[str, Any] = {
    "AUDIO_RECORD": "",
    "AUDIO_UI": "",
    "BOUNDING_BOX": {"x": 0, "y": 0, "width": 512, "height": 512},
    "BOUNDING_BOXES": [],
    "COLOR": "#000000",
    "COLORS": [],
    "COMPOSITOR": {},
    "CURVE": {"points": [[0, 0], [1, 1]], "interpolation": "monotone_cubic"},
    "IMAGECOMPARE": ["", ""],  # two pictures that do not exist yet; saved ones are not kept (golden files)
    "LOAD_3D": "",
    "LOAD_3D_ANIMATION": "",
    "MARKDOWN": "",
    "PREVIEW_3D": "",
    "WEBCAM": "",
}


@dataclass(frozen=True)
class Widget:
    """One input of a node class that has a value of its own in the UI, and the slots of `widgets_values` it takes.

    `after` counts the slots behind it that exist only in the UI (buttons, control_after_generate); when `loose`, they
    are there only if they hold what such slots hold. `options` are those of a dynamic combo: each choice brings inputs
    of its own. `grows` is what each input of an autogrowing one is like. `made_anew` values are never read from the
    file. `drawn` ones are made in the browser, and only there.
    """

    name: str
    default: Any = None
    after: int = 0
    loose: bool = False
    options: Mapping[str, tuple["Widget", ...]] | None = None
    grows: "Widget | None" = None
    dynamic_prompts: bool = False
    made_anew: bool = False
    drawn: bool = False


def parse_widgets(sections: Any, order: Any = None, depth: int = 0) -> tuple[Widget, ...]:
    """The widgets of `input` of a node definition, in the order in which the front end makes them.

    `input_order` tells it where the server gives it: JSON objects keep no order on their way through every program.
    """
    if depth > MAX_DEPTH:
        return ()
    widgets: list[Widget] = []
    for section in ("required", "optional"):
        specs = {name: (kind, options) for where, name, kind, options in input_sections(sections) if where == section}
        named = order.get(section) if isinstance(order, Mapping) else None
        names = [name for name in named if name in specs] if isinstance(named, list) else []
        buttons = 0
        for name in dict.fromkeys([*names, *specs]):
            widgets.extend(_widget(name, *specs[name], depth))
            buttons += _buttons(*specs[name])
        if buttons and section == "required":  # the front end adds its upload buttons behind the required inputs
            widgets.append(Widget("", after=buttons))
    return tuple(widgets)


def _buttons(kind: Any, options: Mapping[str, Any]) -> int:
    if not isinstance(kind, list) and kind != "COMBO":  # a Painter's picture is uploaded as well, without a button
        return 0
    if options.get("audio_upload"):
        return 2  # the player and the button
    return 1 if options.get("image_upload") or options.get("video_upload") else 0


def _widget(name: str, kind: Any, options: Mapping[str, Any], depth: int) -> Iterator[Widget]:
    """The widget of one input, or none when it takes links only."""
    if options.get("forceInput") or options.get("defaultInput"):
        return
    kind = options.get("widgetType") or kind
    dynamic = bool(options.get("dynamicPrompts"))
    control = options.get("control_after_generate")
    if isinstance(kind, list) or kind == "COMBO":
        first = next(iter(combo_choices(kind, options)), None)
        remote = options.get("remote")
        # A list that is fetched has a switch and a button of its own (corpus: LoadImageOutput).
        fetched = len({"control_after_refresh", "refresh_button"} & remote.keys()) if isinstance(remote, Mapping) else 0
        yield Widget(name, options.get("default", first), after=(2 if control else 0) + fetched)
    elif kind == DYNAMIC_COMBO:
        inner_sections = combo_branches(kind, options).items()
        branches = {key: parse_widgets(inputs, None, depth + 1) for key, inputs in inner_sections}
        yield Widget(name, options.get("default", next(iter(branches), None)), options=branches)
    elif kind == AUTOGROW:
        template = options.get("template")
        inner = parse_widgets(template.get("input"), None, depth + 1) if isinstance(template, Mapping) else ()
        if inner:  # most of them grow links only
            yield Widget(name, grows=inner[0])
    elif not isinstance(kind, str):
        return
    elif kind in PLAIN_WIDGETS:
        # A seed inside a dynamic combo has no control of its own: its full name is "mode.seed" (golden files).
        seed = kind == "INT" and name in SEED_INPUTS and control is not False and depth == 0
        default = options.get("default", PLAIN_WIDGETS[kind])
        yield Widget(name, default, after=int(bool(control) or seed), loose=depth > 0, dynamic_prompts=dynamic)
    elif kind in FRONT_END_WIDGETS or options.get("socketless"):
        # Load3D's picture comes behind three buttons (golden files); every other one stands alone.
        default = options.get("default", FRONT_END_WIDGETS.get(kind))
        drawn = name == "image" and kind in ("LOAD_3D", "LOAD_3D_ANIMATION", "WEBCAM")
        yield Widget(name, default, made_anew=kind == "IMAGECOMPARE", drawn=drawn)


# What a graph needs and makes, the LoRAs that somebody wants in it, how it looks as a drawing, and what the front end
# replaces in its texts. Graphs come from anybody: what has not the right shape is passed over here, and the server
# refuses it.

OPEN_TYPES = tuple(kind for kind in ANY_TYPE if kind)  # of inputs and outputs that carry what they are given


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/nodes.py
#
# graph/nodes.
# ----------------------------------------------------------------------------------------------------------------------


Graph = Mapping[str, Any]  # ComfyUI's API format: node id -> {"class_type", "inputs", "_meta"}
NO_DEFINITIONS: Definitions = {}


@dataclass(frozen=True)
class Target:
    """One widget of a graph: the input of a node, or one placeholder in the text that the input holds."""

    node_id: str
    input: str
    part: float = 1.0  # the widget holds this much of the value: the step at which one sampler hands over to the next
    token: str = ""  # the placeholder that the value takes the place of
    reader: "Target | None" = field(default=None, compare=False)  # where the value goes over links: its range counts

    @property
    def widget(self) -> "Target":
        """The whole widget."""
        return Target(self.node_id, self.input)


def node_inputs(node: Any) -> Mapping[str, Any]:
    """The inputs of a node, whatever stands in their place."""
    inputs = node.get("inputs") if isinstance(node, Mapping) else None
    return inputs if isinstance(inputs, Mapping) else {}


def given_title(node: Any) -> str:
    """The title that the file holds for a node, or nothing."""
    meta = node.get("_meta") if isinstance(node, Mapping) else None
    title = meta.get("title") if isinstance(meta, Mapping) else None
    return " ".join(title.split()) if isinstance(title, str) else ""


def plain_title(node: Any) -> str:
    """A node's title, or its class, as it can stand between quotes in a message."""
    return (given_title(node) or str(node["class_type"])).replace('"', "'")


def node_title(graph: Graph, node_id: str) -> str:
    """How a person knows a node: its title and class, or only its id when the graph does not hold it."""
    node = graph.get(node_id)
    if not node:
        return f"node {node_id}"
    title, class_type = given_title(node), node["class_type"]
    return f'"{title}" ({class_type})' if title and title != class_type else f'"{class_type}"'


def is_link(value: Any) -> bool:
    """Whether an input holds a link to another node's output instead of a value."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


# What people keep workflows in: files, valves, pictures.

EXPECTED = "Expected is a workflow as ComfyUI saves it, or as it exports it for its API."


def graph_nodes(graph: Graph) -> dict[str, Mapping[str, Any]]:
    """The nodes of a graph, without what is none."""
    return {
        node_id: node
        for node_id, node in graph.items()
        if isinstance(node_id, str) and isinstance(node, Mapping) and isinstance(node.get("class_type"), str)
    }


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/prompts.py
#
# graph/prompts.
# ----------------------------------------------------------------------------------------------------------------------


COMMENT = re.compile(r"/\*|//[^\n\r\u2028\u2029]*")
CHOICE = re.compile(r"(?<!\\)\{((?:\\.|[^{}\\])*)\}", re.DOTALL)  # with no other choice inside
MAX_CHOICE_DEPTH = 32


def without_comments(text: str) -> str:
    """A text without its `/*…*/` and `//…`, in a time that grows with its length only."""
    kept: list[str] = []
    place = 0
    while found := COMMENT.search(text, place):
        end = found.end()
        if found[0] == "/*":
            close = text.find("*/", end)
            if close < 0:
                kept.append(text[place:end])
                kept.append(re.sub(r"//[^\n\r\u2028\u2029]*", "", text[end:]))
                return "".join(kept)
            end = close + 2
        kept.append(text[place : found.start()])
        place = end
    return "".join(kept) + text[place:]


def dynamic_prompt(text: str, rng: random.Random | None = None) -> str:
    """A text as the front end sends it: without comments, one of each `{a|b}` chosen; `\\{` stands for a brace.

    Without `rng` it is the first of them, so that converting twice gives the same.
    """

    def choose(found: re.Match[str]) -> str:
        choices = re.split(r"(?<!\\)\|", found[1])
        return rng.choice(choices) if rng else choices[0]

    text = without_comments(text)
    for _ in range(MAX_CHOICE_DEPTH):  # the innermost ones first
        text, count = CHOICE.subn(choose, text)
        if not count:
            break
    return re.sub(r"\\([{}|])", r"\1", text)


DATE_PART = re.compile(r"dd?|MM?|hh?|mm?|ss?|yyy?y?")
REPLACED = re.compile(r"%([^%]+)%")
NOT_IN_FILE_NAMES = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')


def as_sent(graph: Graph, dynamic: frozenset[Target], rng: random.Random, now: datetime) -> dict[str, Any]:
    """The graph as the front end sends it this time: a choice made in each text of `dynamic` (see `read_ui`), and the
    date and other nodes' values written into the names of files. The server's own `%year%` and the like stay."""
    nodes = graph_nodes(graph)
    named: dict[str, str] = {}  # nodes by class and by title; a class goes before a title, and the first before others
    for node_id, node in nodes.items():
        named.setdefault(node["class_type"], node_id)
    for node_id, node in nodes.items():
        named.setdefault(plain_title(node), node_id)

    def value(found: re.Match[str]) -> str:
        name, dot, widget = found[1].partition(".")
        if not dot or "." in widget:
            return format_date(found[1][5:], now) if name.startswith("date:") else found[0]
        held = node_inputs(nodes.get(named.get(name, ""))).get(widget)
        # A link or a list has no text, and neither has a widget that the node lacks.
        return NOT_IN_FILE_NAMES.sub("_", as_shown(held)) if isinstance(held, (str, int, float)) else found[0]

    changed: dict[str, dict[str, Any]] = {}
    for target in sorted(dynamic, key=lambda target: (target.node_id, target.input)):
        text = node_inputs(nodes.get(target.node_id)).get(target.input)
        if isinstance(text, str):
            changed.setdefault(target.node_id, {})[target.input] = dynamic_prompt(text, rng)
    for node_id, node in nodes.items():
        prefix = node_inputs(node).get("filename_prefix")
        if isinstance(prefix, str) and "%" in prefix:
            changed.setdefault(node_id, {})["filename_prefix"] = REPLACED.sub(value, prefix)
    return {
        node_id: {**node, "inputs": {**node_inputs(node), **changed[node_id]}} if node_id in changed else node
        for node_id, node in graph.items()
    }


def format_date(pattern: str, now: datetime) -> str:
    """A date as the front end writes it: yyyy yy MM M dd d hh h (of 24) mm m ss s; every other letter stays."""
    parts = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}

    def write(found: re.Match[str]) -> str:
        part = found[0]
        if part[0] != "y":
            return str(parts[part[0]]).zfill(len(part))
        return {"yyyy": str(now.year), "yy": str(now.year)[2:]}.get(part, part)

    return DATE_PART.sub(write, pattern)


def as_shown(value: str | float) -> str:
    """A widget's value as JavaScript writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/fitting.py
#
# graph/fitting.
# ----------------------------------------------------------------------------------------------------------------------


def fit_number(wanted: Wanted, spec: InputSpec) -> tuple[float, str]:
    """A number as the node takes it, and a note when it had to be changed to fit; text with a number in it will do.

    INT gives an `int`, FLOAT a `float`. Raises `BadArgument` for anything that is no finite number.
    """
    whole = spec.type == "INT"
    value = wanted.value
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            text = re.sub(r"^(\d+),(\d{1,2})$", r"\1.\2", value.strip())  # a decimal comma; "1,000" is left to fail
            value = int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
    low, high = spec.minimum, spec.maximum
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or abs(value) > sys.float_info.max or value != value:
        kind = "a whole number" if whole else "a number"
        span = f" from {low:g} to {high:g}" if low is not None and high is not None else ""
        raise BadArgument(f'{wanted.name} is "{shortened(wanted.value)}", which is no number.', f"Give {kind}{span}.")
    fitted: float = value if low is None else max(value, low)
    fitted = fitted if high is None else min(fitted, high)
    fitted = round(fitted) if whole else float(fitted)
    note = f"{wanted.name} {shortened(wanted.value, 20)} was changed to {fitted}" if fitted != value else ""
    return fitted, note


def fit_value(wanted: Wanted, spec: InputSpec) -> tuple[Any, str]:
    """A value as the node's input takes it, and a note when it had to be changed to fit.

    Raises `BadArgument` for the wrong kind of value, and `ValueOutOfRange` with the closest choices for one that is
    not on offer.
    """
    value, text = wanted.value, str(wanted.value).strip()
    if spec.type in ("INT", "FLOAT"):
        return fit_number(wanted, spec)
    if spec.type == "BOOLEAN":
        if text.lower() not in YES + NO:
            raise BadArgument(f'{wanted.name} is "{shortened(text)}", which is neither true nor false.')
        return text.lower() in YES, ""
    if spec.choices:
        names = [str(choice) for choice in spec.choices]
        name = find_name(text, names)
        if name is None:
            more = f" Of {len(names)} choices these are like it: " if len(names) > 8 else " There are: "
            raise ValueOutOfRange(
                f'{wanted.name} is "{shortened(text)}", which is not on offer.',
                more.strip() + f" {quoted(closest(text, names, 8))}.",
            )
        return spec.choices[names.index(name)], ""
    if spec.type in ("STRING", "COMBO"):
        return (text if isinstance(value, (int, float)) and not isinstance(value, bool) else as_text(wanted)), ""
    return {"__value__": value} if isinstance(value, list) else value, ""


def fit_size(asked: Size | tuple[float, float], megapixels: float, width: InputSpec, height: InputSpec) -> Size:
    """The size that the nodes take: pixels to their steps and ranges, an aspect ratio at about `megapixels` millions
    of pixels in multiples of 64."""
    if isinstance(asked, Size):
        return Size(on_step(asked.width, width), on_step(asked.height, height))
    side, stretch = math.sqrt(megapixels * 1e6), math.sqrt(asked[0] / asked[1])
    return Size(on_step(side * stretch, width, 64), on_step(side / stretch, height, 64))


def on_step(length: float, spec: InputSpec, step: int = 0) -> int:
    """The length nearest to this one that an input takes: a multiple of its step, or of `step`, within its range."""
    step = max(step, int(spec.step or 1))
    low, high = int(spec.minimum or step), int(spec.maximum or 16384)
    return min(max(round(length / step) * step, math.ceil(low / step) * step), high // step * step)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/editor.py
#
# graph/editor.
# ----------------------------------------------------------------------------------------------------------------------


# What follows reads the format in which ComfyUI's own editor saves workflows, and sends what its front end would send.
# Where a rule is known only by what the front end made of official templates, it says "golden files".

MUTED, BYPASSED = 2, 4  # a node's `mode`; every other one runs


SUBGRAPH_INPUT, SUBGRAPH_OUTPUT = "-10", "-20"  # what stands for a subgraph's own sockets in its links


NOTES = ("Note", "MarkdownNote")


# Switches and remarks of common packages that exist on the page only; what they switched is in the nodes' modes.
PAGE_ONLY = re.compile(
    r"(Label|Bookmark|Node Combiner|Node Collector|Random Unmuter|Fast Actions Button"
    r"|Fast (Groups )?(Muter|Bypasser)|Mute / Bypass (Repeater|Relay)) \(rgthree\)|Note Plus \(mtb\)"
)


VIRTUAL = (*NOTES, "PrimitiveNode", "Reroute", "GetNode", "SetNode")  # resolved before anything is sent
EVERYWHERE = re.compile(r"(Anything|Prompts|Seed) Everywhere")  # links without lines, of a common package


# Classes that were renamed long ago; the front end corrects them when it opens a file, and so do we.
RENAMED: Mapping[str, str] = {
    "T2IAdapterLoader": "ControlNetLoader",
    "ConditioningAverage ": "ConditioningAverage",
    "SDV_img2vid_Conditioning": "SVD_img2vid_Conditioning",
    # Nodes of common packages that exist on the page only and do what the usual ones do.
    "Reroute (rgthree)": "Reroute",
    "easy setNode": "SetNode",
    "easy getNode": "GetNode",
}


SUBGRAPH_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
MAX_CONVERTED_NODES = 20_000  # of subgraphs that hold each other twice, 20 levels would make a million
BUTTONS_3D = ("upload3dmodel", "uploadExtraResources", "clear")  # Load3D's buttons; they come before its picture
CONTROL_VALUES = ("fixed", "increment", "decrement", "randomize")


@dataclass(frozen=True)
class Socket:
    """An input or output of a node in the UI format."""

    name: str
    type: str
    link: str | None = None
    widget: bool = False


@dataclass(frozen=True)
class Link:
    """A line between two nodes, `slot` counting the outputs of `origin` and the inputs of `target`."""

    origin: str
    slot: int
    target: str
    target_slot: int


@dataclass(frozen=True)
class UINode:
    """A node as the UI format holds it."""

    id: str
    type: str
    title: str
    mode: int
    inputs: tuple[Socket, ...]
    outputs: tuple[Socket, ...]
    values: list[Any] | Mapping[str, Any]
    properties: Mapping[str, Any]

    def __str__(self) -> str:
        kind = shortened(self.type)
        name = f'"{shortened(self.title)}" ({kind})' if self.title not in ("", self.type) else f'"{kind}"'
        return f"{name}, node {shortened(self.id)}"


@dataclass(frozen=True)
class Port:
    """An input or output of a subgraph, with the links inside that belong to it."""

    name: str
    links: tuple[str, ...]


@dataclass(frozen=True)
class Promoted:
    """The first widget inside a subgraph that hangs on one of its inputs, and its place among all such inputs."""

    place: int
    node: UINode
    socket: Socket


@dataclass(frozen=True)
class UIGraph:
    """The nodes and links of a workflow, or of one subgraph definition."""

    nodes: Mapping[str, UINode]
    links: Mapping[str, Link]
    inputs: tuple[Port, ...]
    promoted: Mapping[int, Promoted]  # by input
    exits: Mapping[int, str]  # by output: the link that ends there
    setters: Mapping[str, UINode]  # the SetNodes by the name that they set
    everywhere: bool  # whether the file tells where "Anything Everywhere" nodes send what they get


def is_ui_format(value: Any) -> bool:
    """Whether a value is a workflow as ComfyUI's editor saves it."""
    return isinstance(value, Mapping) and isinstance(value.get("nodes"), list) and "links" in value


def shown_value(value: Any) -> str:
    """A value in a message; of a list or an object only that it is one, for it may be endless."""
    if isinstance(value, (list, Mapping)):
        return "a list" if isinstance(value, list) else "an object"
    return f'"{shortened(value)}"'


def _items(value: Any, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise WorkflowRefused(f"The workflow's {what} are no list.")
    return value


def _objects(value: Any, what: str) -> list[Mapping[str, Any]]:
    for item in _items(value, what):
        if not isinstance(item, Mapping):
            raise WorkflowRefused(f"One of the workflow's {what} is {shown_value(item)} instead of an object.")
    return _items(value, what)


def text_of(value: Any, default: str = "") -> str:
    """A text from a file that may hold anything in its place; the default for what is no text, and for an empty one."""
    return value if isinstance(value, str) and value else default


def _count(value: Any, what: str) -> int:
    """A number that counts from 0: a slot, a mode."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0 or value != value // 1:
        raise WorkflowRefused(f"{what} of the workflow is {shown_value(value)}, which is no number of that kind.")
    return int(value)


def _id(value: Any, what: str) -> str:
    """Ids are numbers in most files and texts in some; a whole number may have come as 3.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)) or (isinstance(value, int) and abs(value) > 2**63):
        raise WorkflowRefused(
            f"{what} of the workflow has the id {shown_value(value)}, which is neither number nor text."
        )
    return str(value)


def _socket(raw: Mapping[str, Any]) -> Socket:
    link = raw.get("link")
    kind = text_of(raw.get("type"), "*")  # LiteGraph also writes 0 and -1 for "anything"
    return Socket(
        text_of(raw.get("name")), kind, None if link is None else _id(link, "A link"), bool(raw.get("widget"))
    )


def _node(raw: Mapping[str, Any]) -> UINode:
    kind = raw.get("type")
    if not isinstance(kind, str):
        raise WorkflowRefused(f"Node {shown_value(raw.get('id'))} of the workflow has no type.")
    kind = RENAMED.get(kind, kind)
    values = raw.get("widgets_values")
    properties = raw.get("properties")
    return UINode(
        _id(raw.get("id"), f'A node "{shortened(kind)}"'),
        kind,
        text_of(raw.get("title")),
        _count(raw.get("mode"), f'The mode of a node "{shortened(kind)}"'),
        tuple(_socket(item) for item in _objects(raw.get("inputs"), "inputs")),
        tuple(_socket(item) for item in _objects(raw.get("outputs"), "outputs")),
        values if isinstance(values, (list, Mapping)) else [],
        properties if isinstance(properties, Mapping) else {},
    )


def _link(raw: Any) -> tuple[str, Link] | None:
    """A link in either of its shapes; `None` in the list is a link that was deleted."""
    if raw is None:
        return None
    if isinstance(raw, Mapping):
        raw = [raw.get(key) for key in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
    if not isinstance(raw, list) or len(raw) < 5:
        raise WorkflowRefused("One of the workflow's links has no origin and target.")
    origin, target = _id(raw[1], "The origin of a link"), _id(raw[3], "The target of a link")
    return _id(raw[0], "A link"), Link(origin, _count(raw[2], "A link's slot"), target, _count(raw[4], "A link's slot"))


def _ports(raw: Any) -> tuple[Port, ...]:
    return tuple(
        Port(
            text_of(port.get("name")),
            tuple(_id(link, "A link") for link in _items(port.get("linkIds"), "subgraph links")),
        )
        for port in _objects(raw, "subgraph inputs and outputs")
    )


def parse_graph(raw: Mapping[str, Any]) -> UIGraph:
    """Read the nodes and links of a workflow or of a subgraph definition."""
    nodes: dict[str, UINode] = {}
    for item in _objects(raw.get("nodes"), "nodes"):
        node = _node(item)
        if node.id in nodes:
            raise WorkflowRefused(f"Two nodes of the workflow have the id {node.id}: {nodes[node.id]} and {node}.")
        nodes[node.id] = node
    links = dict(pair for item in _items(raw.get("links"), "links") if (pair := _link(item)))
    unseen = _unseen_links(raw, nodes)
    for key, link in unseen.items():
        node, sockets = nodes[link.target], list(nodes[link.target].inputs)
        sockets[link.target_slot] = replace(sockets[link.target_slot], link=key)
        nodes[node.id] = replace(node, inputs=tuple(sockets))
    links.update(unseen)
    ports = _ports(raw.get("inputs"))
    exits = {link.target_slot: key for key, link in links.items() if link.target == SUBGRAPH_OUTPUT}
    exits.update((slot, port.links[0]) for slot, port in enumerate(_ports(raw.get("outputs"))) if port.links)
    setters = {text_of(_first(node.values)): node for node in reversed(nodes.values()) if node.type == "SetNode"}
    return UIGraph(nodes, links, ports, _promotions(nodes, links, ports), exits, setters, bool(unseen))


def _unseen_links(raw: Mapping[str, Any], nodes: Mapping[str, UINode]) -> dict[str, Link]:
    """The links that "Anything Everywhere" nodes stand for, which their page notes in `extra`."""
    extra = raw.get("extra")
    told = extra.get("ue_links") if isinstance(extra, Mapping) else None
    found: dict[str, Link] = {}
    for item in told if isinstance(told, list) else ():
        if not isinstance(item, Mapping):
            continue
        ends = [item.get(key) for key in ("upstream", "upstream_slot", "downstream", "downstream_slot")]
        with contextlib.suppress(WorkflowRefused):
            link = Link(_id(ends[0], ""), _count(ends[1], ""), _id(ends[2], ""), _count(ends[3], ""))
            sockets = nodes[link.target].inputs if link.target in nodes else ()
            free = link.target_slot < len(sockets) and sockets[link.target_slot].link is None
            if free and link.origin in nodes:
                found[f"everywhere-{len(found)}"] = link
    return found


def _promotions(nodes: Mapping[str, UINode], links: Mapping[str, Link], ports: tuple[Port, ...]) -> dict[int, Promoted]:
    found: dict[int, Promoted] = {}
    for slot, port in enumerate(ports):
        for link in (links[key] for key in port.links if key in links):
            node = nodes.get(link.target)
            if node and link.target_slot < len(node.inputs) and node.inputs[link.target_slot].widget:
                found[slot] = Promoted(len(found), node, node.inputs[link.target_slot])
                break
    return found


def _first(values: list[Any] | Mapping[str, Any]) -> Any:
    return next(iter(values.values() if isinstance(values, Mapping) else values), None)


def parse_ui(ui: Any) -> tuple[UIGraph, Mapping[str, UIGraph]]:
    """The workflow's own graph and its subgraph definitions by id."""
    if not is_ui_format(ui):
        raise WorkflowRefused("This is no workflow in the format in which ComfyUI saves it.")
    definitions = ui.get("definitions")
    raws = _objects(definitions.get("subgraphs") if isinstance(definitions, Mapping) else None, "subgraphs")
    return parse_graph(ui), {_id(raw.get("id"), "A subgraph"): parse_graph(raw) for raw in raws}


@dataclass(frozen=True)
class Held:
    """What a widget holds in the file."""

    value: Any
    widget: Widget = Widget("")

    def sent(self) -> Any:
        """The value as it stands in the API format, where a bare list would be a link."""
        return {"__value__": self.value} if isinstance(self.value, list) else self.value


class Slots:
    """`widgets_values`, read from the front."""

    def __init__(self, values: list[Any] | Mapping[str, Any]) -> None:
        self.by_name = values if isinstance(values, Mapping) else None
        self.left = deque(values if isinstance(values, list) else ())

    def take(self, name: str, widget: Widget) -> Any:
        """The widget's value, past the slots that exist only in the UI."""
        while self.left and self.left[0] in BUTTONS_3D:
            self.left.popleft()
        if not widget.name or self.by_name is not None:
            value = (self.by_name or {}).get(name, widget.default)
        else:
            value = self.left.popleft() if self.left else widget.default
        for _ in range(min(widget.after, len(self.left))):
            if not widget.loose or self.left[0] in CONTROL_VALUES:
                self.left.popleft()
        return value


def read_values(node: UINode, known: NodeDefinition) -> dict[str, Held]:
    """What a node's widgets hold, by name; a dynamic combo's choice brings widgets that follow at once."""
    slots = Slots(node.values)
    held: dict[str, Held] = {}
    waiting = [("", widget) for widget in reversed(known.widgets)]
    while waiting:
        prefix, widget = waiting.pop()
        name = prefix + widget.name
        if widget.grows:  # as many as the node has grown
            grown = [key.name for key in node.inputs if key.widget and key.name.startswith(name + ".")]
            waiting.extend(("", replace(widget.grows, name=key)) for key in reversed(grown))
            continue
        value = slots.take(name, widget)
        if widget.options is not None:
            waiting.extend((name + ".", inner) for inner in reversed(_branch(node, name, widget.options, value)))
        if widget.name and not (value is None and widget.default is None):
            held[name] = Held(widget.default if widget.made_anew else value, widget)
    if known.class_type == "CustomCombo":  # its second output needs these, which no definition lists
        for count, value in enumerate(slots.left):
            held[f"option{count}" if count else "index"] = Held(value)
    return held


def _branch(node: UINode, name: str, options: Mapping[str, tuple[Widget, ...]], choice: Any) -> tuple[Widget, ...]:
    """The widgets that a choice of a dynamic combo brings; without them every later value would be read wrongly."""
    found = options.get(str(choice)) if isinstance(choice, (str, int, float)) else None
    if found is not None:
        return found
    raise WorkflowRefused(
        f'{node}: "{name}" is {shown_value(choice)}, which its class does not offer.',
        "Open the workflow in ComfyUI, choose again and save it; on offer: " + shortened(", ".join(options), 300),
    )


@dataclass(frozen=True)
class Scope:
    """One graph at work: the workflow itself, or one instance of a subgraph inside it. `path` begins its nodes' ids."""

    path: str
    graph: UIGraph
    outer: "Scope | None" = None
    instance: UINode | None = None
    entries: Mapping[str, Socket] = field(default_factory=dict)  # the instance's own inputs; it may list only some

    def enter(self, node: UINode, graph: UIGraph) -> "Scope":
        """The scope of an instance in this one."""
        entries = {socket.name: socket for socket in reversed(node.inputs)}
        return Scope(f"{self.path}{node.id}:", graph, self, node, entries)

    @property
    def depth(self) -> int:
        """How many instances this one stands in."""
        return 0 if self.outer is None else self.outer.depth + 1


@dataclass(frozen=True)
class Source:
    """Where an input gets its value from: an output of a node that is sent."""

    node: str
    slot: int


@dataclass(frozen=True)
class Constant:
    """A value that comes over a link: from a PrimitiveNode or a promoted widget."""

    value: Any


@dataclass(frozen=True)
class Nothing:
    """A link that ends in a muted node: the input is not sent at all, not even with its widget's value."""


@dataclass(frozen=True)
class Live:
    """Every scope of a workflow by its path, and every node that is sent: neither muted, bypassed nor virtual."""

    scopes: Mapping[str, Scope]
    nodes: Sequence[tuple[Scope, UINode]]


def live_nodes(ui: Any) -> Live:
    """What of a workflow in the UI format is sent. Raises `WorkflowRefused`."""
    root, subgraphs = parse_ui(ui)
    scopes: dict[str, Scope] = {}
    found: list[tuple[Scope, UINode]] = []
    waiting = deque([Scope("", root)])
    count = 0
    while waiting:
        scope = waiting.popleft()
        scopes[scope.path] = scope
        count += len(scope.graph.nodes) + 1
        if count > MAX_CONVERTED_NODES:
            raise WorkflowRefused(f"The workflow has more than {MAX_CONVERTED_NODES} nodes.")
        for node in scope.graph.nodes.values():
            if node.mode in (MUTED, BYPASSED) or node.type in VIRTUAL or PAGE_ONLY.fullmatch(node.type):
                continue
            if EVERYWHERE.match(node.type):
                if not scope.graph.everywhere and any(socket.link for socket in node.inputs):
                    raise WorkflowRefused(
                        f"{node} sends what it gets to other nodes without a line, and the file does not say to which.",
                        "Open the workflow in ComfyUI, turn these into real links in the node's menu, and save it.",
                    )
                continue
            if node.type not in subgraphs:
                found.append((scope, node))
                continue
            if scope.depth >= MAX_DEPTH:
                raise WorkflowRefused(f"The subgraph {node} holds itself, or subgraphs are nested too deep.")
            waiting.append(scope.enter(node, subgraphs[node.type]))
    return Live(scopes, found)


def class_types(live: Live) -> set[str]:
    """The node classes whose definitions `read_ui` needs, those inside subgraphs with them."""
    return {name for _, node in live.nodes for name in class_names(node)}


def strange_types(live: Live, definitions: Definitions) -> list[str]:
    """The classes of nodes that the server does not have, without what is refused for other reasons."""
    found = set()
    for _, node in live.nodes:
        try:
            known_class(node, definitions)
        except NodeNotInstalled:
            found.add(node.type)
        except WorkflowRefused:  # a group node, say: it is named when it is read
            pass
    return sorted(found)


def class_names(node: UINode) -> list[str]:
    """The names under which a server may know a node's class, likeliest first."""
    other = node.properties.get("Node name for S&R")  # the class's name, in files of programs that set another type
    return [node.type, other] if isinstance(other, str) and other != node.type else [node.type]


def fits(one: str, other: str) -> bool:
    """Whether two socket types can be joined, as LiteGraph decides it: `*` fits all, and commas list alternatives."""
    if "*" in (one, other):
        return True
    return bool(set(one.lower().split(",")) & set(other.lower().split(",")))


def same_slot(node: UINode, slot: int, wanted: str) -> Socket | None:
    """The input of a bypassed node that stands beside an output, when it may pass through to it."""
    if slot >= len(node.inputs):
        return None
    made = node.outputs[slot].type if slot < len(node.outputs) else "*"
    socket = node.inputs[slot]
    return socket if wanted == "*" or (fits(socket.type, made) and fits(socket.type, wanted)) else None


def any_slot(node: UINode, wanted: str) -> Socket | None:
    """The first input of a bypassed node that may pass through to any output: never one whose type does not fit."""
    if wanted == "*":
        return node.inputs[0] if node.inputs else None
    exact = next((socket for socket in node.inputs if socket.type == wanted), None)
    return exact or next((socket for socket in node.inputs if fits(socket.type, wanted)), None)


Outcome = Source | Constant | Nothing | None


@dataclass(frozen=True)
class Tracer:
    """Follows links back to what is sent, through everything that is not."""

    scopes: Mapping[str, Scope]
    values: Mapping[str, Mapping[str, Held]]  # of every node that is sent, by its full id: what its widgets hold
    known: dict[tuple[str, str, str], Outcome] = field(default_factory=dict)  # long chains are walked once
    passing: dict[tuple[str, str, str], Socket | None] = field(default_factory=dict)  # and wide nodes searched once

    def source(self, scope: Scope, socket: Socket) -> Outcome:
        """What an input gets over its link; None when nothing comes, so that its widget's own value stays."""
        steps: dict[tuple[str, str, str], None] = {}
        crossed: tuple[Scope, int] | None = None  # the outermost subgraph input on the way, and the steps up to it
        inside = 0
        link_id, outcome = socket.link, None
        while link_id is not None and link_id in scope.graph.links:
            link, key = scope.graph.links[link_id], (scope.path, link_id, socket.type)
            if key in self.known:
                outcome = self.known[key]
                break
            if key in steps:
                raise WorkflowRefused(f"The links of the workflow run in a circle at link {shortened(link_id)}.")
            steps[key] = None
            if link.origin == SUBGRAPH_INPUT:
                if scope.outer is None or link.slot >= len(scope.graph.inputs):
                    break
                crossed, inside = (scope, link.slot), len(steps)
                entry = scope.entries.get(scope.graph.inputs[link.slot].name)
                scope, link_id = scope.outer, entry.link if entry else None
                continue
            node = scope.graph.nodes.get(link.origin)
            step = self._through(scope, node, link.slot, socket.type) if node else None
            if not isinstance(step, tuple):
                outcome = step
                break
            scope, link_id = step
        found = self._promoted(*crossed) if outcome is None and crossed else outcome
        self.known.update({key: found if place < inside else outcome for place, key in enumerate(steps)})
        return found

    def _through(self, scope: Scope, node: UINode, slot: int, wanted: str) -> tuple[Scope, str | None] | Outcome:
        """One step back from an output: to the link that it passes through, or to the end."""
        if node.type == "PrimitiveNode":  # whatever its mode: the front end resolves it, not the server
            return Constant(_first(node.values)) if node.values else None
        if node.mode == MUTED:
            return Nothing()
        if node.type in ("Reroute", "SetNode"):
            through = node.inputs[min(slot, len(node.inputs) - 1)] if node.inputs else None
            return scope, through.link if through else None
        if node.mode == BYPASSED:
            key = (scope.path, node.id, wanted)
            passed = same_slot(node, slot, wanted)
            if passed is None:
                passed = self.passing[key] = self.passing[key] if key in self.passing else any_slot(node, wanted)
            return scope, passed.link if passed else None
        if node.type == "GetNode":
            return self._setter(scope, node)
        inner = self.scopes.get(f"{scope.path}{node.id}:")
        return (inner, inner.graph.exits.get(slot)) if inner else Source(scope.path + node.id, slot)

    def _promoted(self, scope: Scope, slot: int) -> Constant | None:
        """The value of a subgraph input that nothing is linked to: all inputs inside that hang on it get the same.

        It is the value that the instance holds, or else that of the first widget inside (golden files: also where
        the others hold another value or have no widget). Texts come as they are: `{a|b}` is left alone in them.
        """
        while True:
            held, promoted = self._held(scope, slot), scope.graph.promoted.get(slot)
            if held is not None or promoted is None:
                return held
            inner = self.scopes.get(f"{scope.path}{promoted.node.id}:")
            if inner is None:
                value = self.values.get(scope.path + promoted.node.id, {}).get(promoted.socket.name)
                return Constant(value.value) if value else None
            names = [port.name for port in inner.graph.inputs]
            if promoted.socket.name not in names:
                return None
            scope, slot = inner, names.index(promoted.socket.name)

    @staticmethod
    def _held(scope: Scope, slot: int) -> Constant | None:
        """The value that an instance holds for one of its inputs, in place of the widget inside.

        With `proxyWidgets` the values are kept inside; without, they stand in the order of those inputs that end in
        a widget.
        """
        if scope.instance is None or scope.instance.properties.get("proxyWidgets"):
            return None
        values, promoted = scope.instance.values, scope.graph.promoted.get(slot)
        if isinstance(values, Mapping):
            value = values.get(scope.graph.inputs[slot].name)
        else:
            value = values[promoted.place] if promoted and promoted.place < len(values) else None
        return None if value is None else Constant(value)

    @staticmethod
    def _setter(scope: Scope, getter: UINode) -> tuple[Scope, str | None]:
        """The input of the SetNode of the same name: in the same graph, else in one around it."""
        name = text_of(_first(getter.values))
        around: Scope | None = scope
        while around is not None:
            if setter := around.graph.setters.get(name):
                return around, setter.inputs[0].link if setter.inputs else None
            around = around.outer
        raise WorkflowRefused(f'{getter}: the workflow has no SetNode of the name "{shortened(name)}".')


def convert(ui: Any, definitions: Definitions) -> dict[str, Any]:
    """The workflow in ComfyUI's API format; `definitions` holds those of `class_types` that the server has."""
    graph, dynamic = read_ui(live_nodes(ui), definitions)
    for target in dynamic:
        inputs = graph[target.node_id]["inputs"]
        inputs[target.input] = dynamic_prompt(inputs[target.input])
    return graph


def read_ui(live: Live, definitions: Definitions) -> tuple[dict[str, Any], frozenset[Target]]:
    """The workflow in ComfyUI's API format with its texts as they were saved, and which of them the front end passes
    through `dynamic_prompt` before every run."""
    values: dict[str, dict[str, Held]] = {}
    for scope, node in live.nodes:
        values[scope.path + node.id] = read_values(node, known_class(node, definitions))
    tracer = Tracer(live.scopes, values)
    graph: dict[str, Any] = {}
    dynamic: set[Target] = set()
    for scope, node in live.nodes:
        node_id = scope.path + node.id
        known = known_class(node, definitions)
        held = values[node_id]
        inputs = {name: value.sent() for name, value in held.items()}
        rewritten = {name for name in held if held[name].widget.dynamic_prompts and isinstance(inputs[name], str)}
        for socket in node.inputs:
            source = tracer.source(scope, socket)
            if source is not None:
                rewritten.discard(socket.name)
            if isinstance(source, Source):
                inputs[socket.name] = [source.node, source.slot]
            elif isinstance(source, Constant):
                inputs[socket.name] = Held(source.value).sent()
            elif isinstance(source, Nothing):
                inputs.pop(socket.name, None)
        _check(node, inputs, held)
        title = node.title or known.title
        graph[node_id] = {"class_type": known.class_type, "inputs": inputs, "_meta": {"title": title}}
        dynamic.update(Target(node_id, name) for name in rewritten)
    return graph, frozenset(dynamic)


def _check(node: UINode, inputs: Mapping[str, Any], held: Mapping[str, Held]) -> None:
    """Refuse what cannot be sent as it is."""
    for name, value in inputs.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise WorkflowRefused(f'{node}: "{name}" is {value}, which is no number that can be sent.')
        if name in held and held[name].widget.drawn and not value:
            raise WorkflowRefused(
                f'{node}: "{name}" is a picture that ComfyUI\'s page makes in the browser at the moment of sending.',
                "Put a Load Image node in its place.",
            )


def known_class(node: UINode, definitions: Definitions) -> NodeDefinition:
    """The node's class as the server knows it; raises `NodeNotInstalled` when it knows none."""
    for name in class_names(node):
        if name in definitions:
            return definitions[name]
    if node.type.startswith(("workflow/", "workflow>")):
        raise WorkflowRefused(
            f"{node} is a group node of an old kind, which cannot be converted.",
            "Open the workflow in ComfyUI, turn the group node into a subgraph, and save it.",
        )
    if SUBGRAPH_ID.fullmatch(node.type):
        raise WorkflowRefused(f"{node} is a subgraph that the file does not hold.", "Save the whole workflow.")
    pack = text_of(node.properties.get("cnr_id"))
    where = f' It belongs to the package "{shortened(pack)}".' if pack else ""
    raise NodeNotInstalled(f"This ComfyUI does not have the node {node}.{where}")


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/reading.py
#
# graph/reading.
# ----------------------------------------------------------------------------------------------------------------------


# What people put a workflow into: a body for /prompt, a template's envelope, what graphToPrompt gives, runpod's input.
WRAPPERS = ("prompt", "workflow", "output", "input", "workflow_api", "workflow_json")


def read_json(text: str) -> Any:
    """JSON as people paste it. Raises `WorkflowRefused` for what is none, and for an object that names a node twice:
    one of the two would be lost."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            for name, value in pairs:
                if name in seen and isinstance(value, dict) and "class_type" in value:
                    raise WorkflowRefused(f'Two nodes of the workflow have the id "{shortened(name)}".')
                if name in seen and (is_ui_format(value) or is_api_format(value)):
                    raise WorkflowRefused(f'Two workflows have the name "{shortened(name)}".', "Rename one of them.")
                seen.add(name)
        return found

    plain = re.sub(r"\A\s*```\w*|```\s*\Z", "", text.strip().removeprefix("\ufeff"))
    try:
        try:
            return json.loads(plain, object_pairs_hook=unique)
        except json.JSONDecodeError:
            return json.loads(tidied(plain), object_pairs_hook=unique)
    except RecursionError:
        raise WorkflowRefused("This JSON is nested too deep to be a workflow.", EXPECTED) from None
    except ValueError as error:
        place = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise WorkflowRefused(f"This is no JSON: it breaks off or goes wrong{place}.", EXPECTED) from None


# What is told apart in JSON that a person wrote: where a string or a comment begins, a placeholder, a comma, a closing
# bracket, and everything else. None of these looks beyond its own end, so that the time it takes to read a text grows
# with its length only, whatever stands in it.
JSON_PART = re.compile(r'"|/\*|//[^\n]*|%\w+%|[,}\]]|[^\s"/%,}\]]+|[/%]')
REST_OF_STRING = re.compile(r'(?:[^"\\]++|\\.)*+"', re.DOTALL)


def tidied(text: str) -> str:
    """JSON without what people write into it by hand: comments, a comma behind the last item, a bare placeholder.

    `{"steps": %steps%, /* few */}` becomes `{"steps": "%steps%" }`. Where a string or a comment never ends, the rest of
    the text stays as it is: it is not JSON in any case.
    """
    kept: list[str] = []
    comma: int | None = None  # its place in `kept`, as long as nothing but white space and comments came after it
    place = 0
    while part := JSON_PART.search(text, place):
        kept.append(text[place : part.start()])
        place, token = part.end(), part[0]
        if token.startswith("//"):
            continue
        if token == "/*":
            close = text.find("*/", place)
            if close < 0:
                return "".join(kept) + text[part.start() :]
            place = close + 2
            continue
        if token == '"':
            rest = REST_OF_STRING.match(text, place)
            if rest is None:
                return "".join(kept) + text[part.start() :]
            place, token = rest.end(), token + rest[0]
        elif token[0] == "%" and len(token) > 1:
            token = f'"{token}"'
        elif token in ("}", "]") and comma is not None:
            kept[comma] = ""
        comma = len(kept) if token == "," else None
        kept.append(token)
    return "".join(kept) + text[place:]


def is_api_format(value: Any) -> bool:
    """Whether a value is a graph as ComfyUI's API takes it, perhaps with remarks of its author beside the nodes."""
    nodes = value.values() if isinstance(value, Mapping) else ()
    return any(isinstance(node, Mapping) and isinstance(node.get("class_type"), str) for node in nodes)


def unwrap(value: Any) -> Graph:
    """A workflow in either format without what stands around it. Raises `WorkflowRefused` saying what it is instead."""
    inner = value
    for _ in range(4):
        if is_ui_format(inner) or is_api_format(inner):
            return dict(inner)
        if isinstance(inner, str) and inner.lstrip().startswith("{"):
            inner = read_json(inner)
        elif isinstance(inner, Mapping):
            inner = next((inner[key] for key in WRAPPERS if isinstance(inner.get(key), (Mapping, str))), None)
    raise WorkflowRefused(f"This is {_what_it_is(value)}, and no workflow of ComfyUI.", EXPECTED)


def _what_it_is(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"an object with {quoted(shortened(key, 20) for key in [*value][:4])}" if value else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"the text {shown_value(value)}" if isinstance(value, str) else shortened(json.dumps(value), 40)


def clean(graph: Graph) -> dict[str, Any]:
    """A graph in the API format with what the server reads of it, and nothing else: remarks beside the nodes and what
    it once noted in them are left out. Raises `WorkflowRefused` naming the node that cannot be sent."""
    nodes: dict[str, Any] = {}
    for node_id, node in graph.items():
        if not isinstance(node, Mapping) or not {"class_type", "inputs"} & node.keys():
            continue
        where = f"Node {shortened(node_id, 30)} of the workflow"
        kind, inputs, meta = node.get("class_type"), node.get("inputs", {}), node.get("_meta")
        if not isinstance(kind, str) or not isinstance(inputs, Mapping):
            raise WorkflowRefused(f"{where} has no {'inputs' if isinstance(kind, str) else 'class_type'}.", EXPECTED)
        for name, value in inputs.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise WorkflowRefused(f'{where}: "{shortened(name)}" is {value}, which cannot be sent.')
        title = meta.get("title") if isinstance(meta, Mapping) else None
        about = {"title": title} if isinstance(title, str) else {}
        held = {str(name): _as_link(value, graph) for name, value in inputs.items()}
        nodes[str(node_id)] = {"class_type": kind, "inputs": held, "_meta": about}
    return nodes


def _as_link(value: Any, graph: Graph) -> Any:
    """Some programs write a link's node id as a number, which the server does not find."""
    if isinstance(value, list) and len(value) == 2 and type(value[0]) is int and str(value[0]) in graph:
        return [str(value[0]), value[1]]
    return value


def check_links(graph: Graph, definitions: Definitions) -> None:
    """Find what the server would refuse without a reason: links that end nowhere or run in a circle, on the way to
    anything that is saved or shown. Raises `WorkflowRefused` naming a node."""
    state: dict[str, bool] = {}  # a node is there while it is on the way, with True once all before it are done
    ends = [node_id for node_id, node in graph.items() if _is_end(node["class_type"], definitions)]
    for end in ends:
        way = [(end, iter(_links(graph[end])))] if end not in state else []
        state.setdefault(end, False)
        while way:
            node_id, links = way[-1]
            source = next(links, None)
            if source is None:
                state[node_id] = True
                way.pop()
            elif source not in graph:
                where = node_title(graph, node_id)
                raise WorkflowRefused(f'{where} is linked to a node "{shortened(source)}", which is not there.')
            elif source not in state:
                state[source] = False
                way.append((source, iter(_links(graph[source]))))
            elif not state[source]:
                raise WorkflowRefused(f"The links of the workflow run in a circle through {node_title(graph, source)}.")


def _links(node: Mapping[str, Any]) -> Iterator[str]:
    return (value[0] for value in node["inputs"].values() if is_link(value))


def _is_end(class_type: str, definitions: Definitions) -> bool:
    return class_type not in definitions or definitions[class_type].is_output


def read_workflow_file(data: bytes) -> Graph:
    """The workflow in a JSON file, in any encoding of Unicode. Raises `WorkflowRefused`. Blocks: call it in a
    thread."""
    return unwrap(read_json(data.decode(json.detect_encoding(data), "replace")))


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/search.py
#
# graph/search.
# ----------------------------------------------------------------------------------------------------------------------


# Parameters are found, not mapped by hand: first what the author said in titles and placeholders, then what tracing the
# graph back from its outputs over the samplers tells.

# parameter -> the inputs that hold it, likeliest first
PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt", "positive", "positive_prompt"),
    "negative_prompt": ("negative_prompt", "negative"),
    "lyrics": ("lyrics",),
    "seed": SEED_INPUTS,
    "steps": ("steps", "num_steps", "num_inference_steps"),
    "guidance": ("guidance", "cfg", "guidance_scale", "cfg_scale", "cfg_conds", "true_gs"),
    "sampler": ("sampler_name", "sampler"),
    "scheduler": ("scheduler", "scheduler_name"),
    "denoise": ("denoise", "denoise_strength"),
    "width": ("width", "empty_latent_width", "resize_type.width", "target_width"),
    "height": ("height", "empty_latent_height", "resize_type.height", "target_height"),
    "aspect_ratio": ("aspect_ratio", "ratio"),
    "resolution": ("resolution",),
    "size": ("size", "size_preset"),
    "batch_size": ("batch_size", "num_images", "number_of_images", "n"),
    "length": ("length", "num_frames", "video_frames", "frames", "frames_number", "frame_count", "video_length"),
    "fps": ("fps", "frame_rate"),
    "seconds": ("seconds", "duration", "duration_seconds", "max_duration", "seconds_total"),
    "model": ("ckpt_name", "unet_name", "model_name", "base_ckpt_name", "model_path", "model", "checkpoint"),
}


TEXTS = ("prompt", "negative_prompt", "lyrics")
CHOICES = ("sampler", "scheduler", "aspect_ratio", "resolution", "size", "model")  # texts, but nobody's own words


# other names of a parameter -> its name
ALIASES: Mapping[str, str] = {
    "positive": "prompt",
    "positive_prompt": "prompt",
    "user_prompt": "prompt",
    "negative": "negative_prompt",
    "noise_seed": "seed",
    "cfg": "guidance",
    "cfg_scale": "guidance",
    "guidance_scale": "guidance",
    "sampler_name": "sampler",
    "scheduler_name": "scheduler",
    "denoising_strength": "denoise",
    "batch": "batch_size",
    "count": "batch_size",
    "frames": "length",
    "num_frames": "length",
    "frame_count": "length",
    "video_length": "length",
    "frame_rate": "fps",
    "duration": "seconds",
    "ckpt": "model",
    "ckpt_name": "model",
    "unet_name": "model",
    "checkpoint": "model",
}


# `%name%` is common text, so only these names count; "scale" is what SillyTavern calls guidance.
PLACEHOLDER_NAMES = {**ALIASES, **{name: name for name in (*PARAMETERS, "clip_skip", "vae")}, "scale": "guidance"}
PLACEHOLDER = re.compile(r"\{\{\s*([^\W\d]\w*)\s*\}\}|%%([^\W\d]\w*)%%|%([^\W\d]\w*)%")
NO_PLACEHOLDER = ("find", "search", "pattern", "regex_pattern", "old")  # they name what the graph itself replaces
PARAM_TITLE = re.compile(r"param\s*:\s*(.*\S)", re.IGNORECASE)
KIND_IN_TITLE = re.compile(  # "Int (Steps)", "Text String (Prompt)", "Frame Rate(int)"
    r"(?:int|float|number|text|string|multiline|value|\s)+\((?P<a>[^()]+)\)"
    r"|(?P<b>[^()]+)\((?:int|float|number|text|string)\)",
    re.IGNORECASE,
)


SHOWN_ONCE = re.compile(r"text_\d+")  # what a node showed last, in files of its page; the server does not read it
CONTEXT_INPUT = re.compile(r"base_ctx|ctx_\d+")  # rgthree's bundles of everything
VALUE_INPUTS = ("value", "text", "string", "int", "float", "number")  # of a node that only holds a value
MAIN_INPUTS = (*VALUE_INPUTS, "seed", "prompt", "tags")  # of a node that is about one thing


# What inputs are called that hold somebody's words.
PROMPT_INPUT = re.compile(
    r"(?!(system|structured|style|extra|texture)_)([a-z0-9]+_)?prompts?(_(text|positive|[gl]|[0-9]+))?"
    r"|(positive_|user_|main_)?(text|caption|tags|string)(_?([gl]|[0-9]+|positive))?"
    r"|positive|clip_[lg]|t5xxl|llama|bert|mt5xl|wildcard_text|populated_text|description"
)


NEGATIVE_INPUT = re.compile(r"(^|_)neg(ative)?(_|$)")
STRING_INPUT = re.compile(r"value|string_?[a-z0-9]?|text_?[a-z0-9]?|str|input|replace|content|[a-d]")
OTHER_STRING = re.compile(
    r"find|.*pattern.*|delimiter|separator|.*json.*|(.*_)?key|mode|system.*|.*file.*|.*path|option\d+|.*url"
    r"|(.*_)?model(_name)?|language|device"
)


OTHERS_WORDS = re.compile(r"system|template|instruction|rewrite|prefix|suffix|trigger|style", re.IGNORECASE)
USERS_WORDS = re.compile(r"\buser\b|\bdescri", re.IGNORECASE)
PROMPT_WORDS = re.compile(r"prompt|positive|negative", re.IGNORECASE)
SELECTORS = ("switch", "boolean", "condition", "select", "index", "Input", "input")  # say what a switch lets through
CONDITIONING_SOUGHT = ("positive", "negative", "embedded guidance")
SAMPLING = ("NOISE", "GUIDER", "SAMPLER", "SIGMAS")  # what a sampler in parts is made of


# What classes are called that do something to be known of. Class names are all that a graph tells of custom nodes.
ZEROED = re.compile(r"zero_?out", re.IGNORECASE)
REGIONAL = re.compile(r"conditioning.*(area|mask)|regional|gligen", re.IGNORECASE)
SETS_SIZE = re.compile(r"TotalPixels|LongerEdge|MaxDimension|KontextImageScale|Megapixels", re.IGNORECASE)
DETAILER = re.compile(r"detailer", re.IGNORECASE)
GENERATES = re.compile(r"generate", re.IGNORECASE)
SAVES = re.compile(r"save|export|VideoCombine|websocket|send", re.IGNORECASE)
SHOWS = re.compile(r"preview|show|display|view|compare", re.IGNORECASE)
SHOWS_TEXT = re.compile(r"(save|show|preview|display).*(text|string|any)", re.IGNORECASE)
PARTS = 24  # so many nodes at most make up one sampler
ASIDE = 3  # what a part of the picture counts less than the whole of it
STRANGE = 2  # what a link of unknown type counts less
Known = TypeVar("Known")


def once(method: Callable[[Any, str], Known]) -> Callable[[Any, str], Known]:
    """A method that works out its answer about a node only once; many paths of a graph lead over the same nodes."""

    def answer(self: Any, node_id: str) -> Known:
        known: dict[str, Known] = self.__dict__.setdefault(f"known {method.__name__}", {})
        if node_id not in known:
            known[node_id] = method(self, node_id)
        return known[node_id]

    return functools.wraps(method)(answer)


@functools.lru_cache(4096)
def words_in(name: str) -> str:
    """Whose words an input takes by its name: those of the "positive" or "negative" side, or "" for none."""
    last = name.rsplit(".", 1)[-1].lower()
    return "negative" if NEGATIVE_INPUT.search(last) else "positive" if PROMPT_INPUT.fullmatch(last) else ""


@dataclass(frozen=True, slots=True)
class Wire:
    """A link as its reader sees it."""

    name: str  # the input that it feeds
    node_id: str  # where it comes from
    slot: int
    types: tuple[str, ...]  # what it may carry
    is_strange: bool  # it may carry anything, for all that is known

    def carries(self, *types: str) -> bool:
        """Whether it carries one of these types, or one that only custom nodes know."""
        return self.is_strange or not set(types).isdisjoint(self.types)

    def fits(self, *types: str) -> bool:
        """Whether it surely carries one of these types."""
        return not set(types).isdisjoint(self.types)


@dataclass(frozen=True, slots=True)
class Step:
    """Where a search stands: at the output of a node, looking for something upstream."""

    node_id: str
    slot: int
    sought: str

    @classmethod
    def over(cls, wire: "Wire", sought: str) -> "Step":
        """The step over a link. Only conditioning comes in sides, so only there the output matters."""
        return cls(wire.node_id, wire.slot if sought in CONDITIONING_SOUGHT else 0, sought)


Finds = list[tuple[int, Target]]  # what a node offers a search, with how good it is
Onward = list[tuple[int, Step]]  # where a search goes on, with what that costs


class Flow:
    """A graph read against its links. Every search goes over a node and purpose once, however many ask."""

    def __init__(self, graph: Graph, definitions: Definitions) -> None:
        self.nodes = {node_id: node for node_id, node in graph.items() if isinstance(node, Mapping)}
        self._inputs = {node_id: node_inputs(node) for node_id, node in self.nodes.items()}
        self._definitions = {
            node_id: definitions.get(str(node.get("class_type"))) for node_id, node in self.nodes.items()
        }
        self._looked: dict[Step, tuple[Finds, Onward]] = {}
        self._settled: dict[Step, tuple[int, Target] | None] = {}

    # --- what stands in the graph ---

    def inputs(self, node_id: str) -> Mapping[str, Any]:
        """The inputs of a node; of one that is not there none."""
        return self._inputs.get(node_id, {})

    def class_type(self, node_id: str) -> str:
        """The class of a node."""
        return str(self.nodes[node_id].get("class_type"))

    def definition(self, node_id: str) -> NodeDefinition | None:
        """What the server says of a node's class, if it was asked."""
        return self._definitions[node_id]

    @once
    def _named_wires(self, node_id: str) -> dict[str, Wire]:
        named = {}
        let_through = self._let_through(node_id)
        for name, value in self.inputs(node_id).items():
            reads = let_through is None or name == let_through
            if reads and is_link(value) and self._is_there(value[0], value[1]):
                types = tuple(self._type(node_id, name, value[0], value[1]).split(","))
                named[name] = Wire(name, value[0], value[1], types, KNOWN_TYPES.isdisjoint(types))
        return named

    @once
    def wires(self, node_id: str) -> tuple[Wire, ...]:
        """The links that a node reads, without those that lead nowhere or that a switch holds back."""
        return tuple(self._named_wires(node_id).values())

    def wire(self, node_id: str, name: str) -> Wire | None:
        """The link that one input reads."""
        return self._named_wires(node_id).get(name)

    def _is_there(self, node_id: str, slot: int) -> bool:
        if node_id not in self.nodes:
            return False
        definition = self.definition(node_id)
        return slot >= 0 and (definition is None or not definition.outputs or slot < len(definition.outputs))

    def _type(self, node_id: str, name: str, source: str, slot: int) -> str:
        """What a link carries, as the definition of either end says, else as the input's name lets guess."""
        giver, taker = self.definition(source), self.definition(node_id)
        if giver and slot < len(giver.outputs) and giver.outputs[slot] not in ANY_TYPE:
            return giver.outputs[slot]
        spec = taker.spec(name, self.inputs(node_id)) if taker else None
        if spec and spec.type not in ANY_TYPE:
            return spec.type
        return "" if taker and spec else guessed_type(name)

    def holds(self, name: str, node_id: str, key: str) -> bool:
        """Whether an input holds a value that the parameter could have."""
        value = self.inputs(node_id).get(key)
        if name in TEXTS or name in CHOICES:
            return isinstance(value, str)
        return is_number(value) or (isinstance(value, str) and self._takes_number(node_id, key, value))

    def _takes_number(self, node_id: str, key: str, text: str) -> bool:
        """Whether a text stands where a number belongs: "7", or a mark that somebody's program puts one in for."""
        definition = self.definition(node_id)
        spec = definition.spec(key, self.inputs(node_id)) if definition else None
        return spec.type in ("INT", "FLOAT") if spec else key in SEED_INPUTS and text.strip().isdigit()

    def held(self, target: Target) -> Any:
        """What a widget holds."""
        return self.inputs(target.node_id).get(target.input)

    # --- searching upstream ---

    def best(self, wire: Wire | None, sought: str) -> Target | None:
        """The best find upstream of a link; of equals, the one that comes first."""
        if wire is None:
            return None
        start = Step.over(wire, sought)
        waiting = [start]
        while waiting:
            step = waiting[-1]
            if step not in self._looked:
                self._looked[step] = self._look(step)
                waiting += [after for _, after in self._looked[step][1] if after not in self._looked]
                continue
            waiting.pop()
            if step not in self._settled:
                finds, onward = self._looked[step]
                far = [(found[0] - cost, found[1]) for cost, after in onward if (found := self._settled.get(after))]
                self._settled[step] = max(finds + far, key=lambda found: found[0], default=None)
        found = self._settled[start]
        return found[1] if found else None

    def _look(self, step: Step) -> tuple[Finds, Onward]:
        """What a node offers a search and where it goes on."""
        kinds = {
            **dict.fromkeys(CONDITIONING_SOUGHT, self._look_for_encoder),
            "positive text": self._look_for_text,
            "negative text": self._look_for_text,
            "image width": self._look_for_image_size,
            "image height": self._look_for_image_size,
            "model": self._look_for_model,
            "latent": self._look_for_latent,
            "maker": self._look_for_maker,
            "earlier maker": self._look_for_maker,
        }
        return kinds.get(step.sought, self._look_for_value)(step)

    def _on(self, step: Step, wires: Sequence[Wire], *types: str, sought: str = "") -> Onward:
        """The steps over those links that carry one of the types; what surely carries them comes first."""
        sure = any(wire.fits(*types) for wire in wires)
        return [
            (STRANGE * (sure and not wire.fits(*types)), Step.over(wire, sought or step.sought))
            for wire in wires
            if not types or wire.carries(*types)
        ]

    @once
    def _let_through(self, node_id: str) -> str | None:
        """Of a switch whose position is known, the input that it lets through."""
        inputs = self.inputs(node_id)
        for selector in SELECTORS:
            position = self._constant(node_id, selector)
            if isinstance(position, bool):
                pattern = rf"((on|if|when)_?)?{position}(_value)?"
            elif isinstance(position, int):
                pattern = rf"[a-z]+_?0*{position}"
            else:
                continue
            return next((name for name in inputs if re.fullmatch(pattern, name, re.IGNORECASE)), None)
        return None

    def _constant(self, node_id: str, name: str) -> Any:
        """What an input holds, also over links from nodes that only hold a value."""
        value: Any = self.inputs(node_id).get(name)
        for _ in range(8):
            if not is_link(value) or value[0] not in self.nodes:
                break
            value = self.inputs(value[0]).get("value")
        return value

    def _look_for_encoder(self, step: Step) -> tuple[Finds, Onward]:
        """Follow conditioning to the node that turns the main text into it; what follows ConditioningZeroOut is none
        any more. A find names the encoder and the side of its texts."""
        node_id, class_type = step.node_id, self.class_type(step.node_id)
        if ZEROED.search(class_type):
            return [], []
        side = self._side(step)
        inputs = self.inputs(node_id)
        sought = step.sought if side == "positive" and step.sought != "negative" else side
        here: Finds = []
        if step.sought != "embedded guidance":
            here = [(0, Target(node_id, side))] if self.texts(node_id, side) else []
        elif "guidance" in inputs:
            return [(0, Target(node_id, "guidance"))], []
        if side in inputs:
            wire = self.wire(node_id, side)
            return here, self._on(step, [wire] if wire else [], sought=sought)
        if (
            side == "negative"
            and "GUIDER" in (self._output(step), "")
            and "conditioning" in inputs
            and "model" in inputs
        ):
            return here, []  # a guider without a negative side
        wires = [wire for wire in self.wires(node_id) if (words_in(wire.name) == "negative") == (side == "negative")]
        wires = wires or [wire for wire in self.wires(node_id) if words_in(wire.name) == ""]
        wires.sort(key=lambda wire: wire.name not in ("conditioning_to", "cond1"))
        onward = self._on(step, wires, "CONDITIONING", "GUIDER", sought=sought)
        if any(wire.fits("CONDITIONING") for wire in wires):
            here = [(score - ASIDE, found) for score, found in here]
            onward = [(cost, after) for cost, after in onward if cost < STRANGE]
        aside = ASIDE if REGIONAL.search(class_type) and "conditioning_to" not in inputs else 0
        return here, [(cost + aside, after) for cost, after in onward]

    def _output(self, step: Step) -> str:
        definition = self.definition(step.node_id)
        return definition.outputs[step.slot] if definition and step.slot < len(definition.outputs) else ""

    def _side(self, step: Step) -> str:
        """Which side of a node with two sides an output is."""
        side = "negative" if step.sought.startswith("negative") else "positive"
        names = self.inputs(step.node_id).keys()
        if not any(words_in(name) == "negative" for name in names):
            return side
        definition = self.definition(step.node_id)
        if definition and definition.outputs:
            ends = [slot for slot, kind in enumerate(definition.outputs) if kind == "CONDITIONING"]
        else:  # ControlNets and their like put the two sides first; what takes a model too does not
            both = self.wire(step.node_id, "positive") and self.wire(step.node_id, "negative")
            ends = [0, 1] if both and "model" not in names else []
        if len(ends) < 2 or step.slot not in ends[:2]:
            return side
        return "positive" if step.slot == ends[0] else "negative"

    def texts(self, node_id: str, side: str) -> list[str]:
        """The inputs that hold the words of one side."""
        positive: list[str] = []
        negative: list[str] = []
        for name in self.inputs(node_id):
            whose = words_in(name)
            if whose and self._takes_words(node_id, name):
                (negative if whose == "negative" else positive).append(name)
        numbered = [name for name in positive if name[-1].isdigit()]  # of a row of texts only the first
        positive = [name for name in positive if name not in numbered[1:]]
        return negative if side == "negative" and negative else positive if side == "positive" or not negative else []

    def _takes_words(self, node_id: str, name: str) -> bool:
        """Whether an input takes any text: no number, no choice, no conditioning."""
        definition, value = self.definition(node_id), self.inputs(node_id)[name]
        spec = definition.spec(name, self.inputs(node_id)) if definition else None
        if spec and spec.type not in ("STRING", *ANY_TYPE):
            return False
        if definition and not spec and SHOWN_ONCE.fullmatch(name):
            return False
        if isinstance(value, str):
            return True
        wire = self.wire(node_id, name)
        return wire is not None and wire.carries("STRING")

    def words(self, node_id: str, side: str) -> list[Target]:
        """The widgets where a person types the words of an encoder's side, also over links; the filled ones first."""
        found = []
        for name in self.texts(node_id, side):
            if isinstance(self.inputs(node_id)[name], str):
                found.append(Target(node_id, name))
            elif target := self.best(self.wire(node_id, name), f"{side} text"):
                found.append(target)
        return sorted(dict.fromkeys(found), key=lambda target: not self.held(target))

    def _look_for_text(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a text to the widget that a person would type it into: not the template around it, not the system
        prompt of a model that rewrites it."""
        node_id = step.node_id
        inputs = self.inputs(node_id)
        sided = self.texts(node_id, step.sought.removesuffix(" text"))
        wires = [
            wire
            for wire in self.wires(node_id)
            if wire.carries("STRING")
            and not OTHER_STRING.fullmatch(wire.name.rsplit(".", 1)[-1].lower())
            and words_in(wire.name) in ("", step.sought.removesuffix(" text"))
        ]
        let_through = self._let_through(node_id)
        own = [name for name in inputs if isinstance(inputs[name], str) and self._takes_words(node_id, name)]
        likely = [
            name
            for name in own
            if name in sided or name == let_through or STRING_INPUT.fullmatch(name.rsplit(".", 1)[-1].lower())
        ]
        if not likely and len(own) == 1 and not wires and not OTHER_STRING.fullmatch(own[0].lower()):
            likely = own
        title = given_title(self.nodes[node_id])
        wording = 2 * bool(USERS_WORDS.search(title)) + bool(PROMPT_WORDS.search(title))
        replaces = any("find" in name or "pattern" in name for name in inputs)
        wording -= ASIDE * (replaces or bool(OTHERS_WORDS.search(title))) + bool(wires)
        finds: Finds = [
            (wording - (2 if not inputs[name].strip() else 0), Target(node_id, name))
            for name in likely
            if let_through in (None, name)
        ]
        words = [wire for wire in wires if replaces and wire.name == "replace"]
        frames = [wire for wire in wires if wire not in words]
        around = ASIDE * replaces  # a text that something is put into is not what a person types
        onward = [(cost + around, after) for cost, after in self._on(step, frames, "STRING")]
        return finds, self._on(step, words, "STRING") + onward

    def _look_for_value(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a number or choice to the node that holds it. Arithmetic on the way ends the search."""
        node_id, name = step.node_id, step.sought
        inputs, wires = self.inputs(node_id), self.wires(node_id)
        if "expression" in inputs and name not in CHOICES:  # "a" alone only turns one kind of number into another
            same = len(wires) == 1 and inputs["expression"] == wires[0].name.rsplit(".", 1)[-1]
            return [], self._on(step, wires) if same else []
        for key in (*PARAMETERS[name], *(key for key in inputs if key.lower() in VALUE_INPUTS)):
            if self.holds(name, node_id, key):
                return [(0, Target(node_id, key))], []
            if wire := self.wire(node_id, key):
                return [], self._on(step, [wire])
        values = [wire for wire in wires if not OTHER_STRING.fullmatch(wire.name.lower())]
        if contexts := [wire for wire in wires if CONTEXT_INPUT.fullmatch(wire.name)]:
            return [], self._on(step, contexts)
        if self._let_through(node_id):
            return [], self._on(step, values, *VALUE_TYPES)
        if name in ("width", "height") and len(wires) == 1 and wires[0].carries("IMAGE", "LATENT"):
            return [], self._on(step, wires, sought=f"image {name}")
        only = next(iter(inputs)) if len(inputs) == 1 else ""
        if name not in CHOICES and self.holds(name, node_id, only):
            return [(0, Target(node_id, only))], []
        passes = len(wires) == 1 and not any(map(is_number, inputs.values()))
        return [], self._on(step, values, *VALUE_TYPES) if passes else []

    def _look_for_image_size(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a picture to the node that gives it its size."""
        node_id = step.node_id
        name = step.sought.removeprefix("image ")
        if pair := self.size_inputs(node_id):
            key = pair[name == "height"]
            if self.holds(name, node_id, key):
                return [(0, Target(node_id, key))], []
            wire = self.wire(node_id, key)
            return [], self._on(step, [wire] if wire else [], sought=name)
        if SETS_SIZE.search(self.class_type(node_id)) or self.is_maker(node_id):
            return [], []
        pictures = [wire for wire in self.wires(node_id) if wire.carries("IMAGE", "LATENT")]
        return [], self._on(step, pictures[:1], "IMAGE", "LATENT")

    def size_inputs(self, node_id: str) -> tuple[str, str] | None:
        """The inputs of a node's width and height, if it has both and neither is 0: "as it comes"."""
        inputs = self.inputs(node_id)
        for pair in zip(PARAMETERS["width"], PARAMETERS["height"], strict=True):
            if all(self.holds("width", node_id, key) or self.wire(node_id, key) for key in pair):
                return None if any(inputs.get(key) == 0 for key in pair) else pair
        return None

    def _look_for_model(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a model over LoRAs and patches to the node that loads it."""
        node_id = step.node_id
        wires = sorted(self.wires(node_id), key=lambda wire: wire.name != "model")
        if any(wire.fits("MODEL") for wire in wires):
            return [], self._on(step, [wire for wire in wires if wire.fits("MODEL")])
        for key in PARAMETERS["model"]:
            if isinstance(self.inputs(node_id).get(key), str):
                return [(0, Target(node_id, key))], []
        return [], self._on(step, wires, "MODEL")

    def _look_for_latent(self, step: Step) -> tuple[Finds, Onward]:
        """Follow a latent to the node that makes it, empty or of a picture."""
        node_id = step.node_id
        if self.is_sampler(node_id):
            return [], []
        wires = [wire for wire in self.wires(node_id) if wire.fits("LATENT")]
        if wires:
            wires.sort(key=lambda wire: "audio" in wire.name)
            return [], [(cost + index, after) for index, (cost, after) in enumerate(self._on(step, wires))]
        inputs = self.inputs(node_id)
        if any(key in inputs for name in ("width", "length", "seconds", "batch_size") for key in PARAMETERS[name]):
            return [(1, Target(node_id, ""))], []
        if any(wire.fits("IMAGE", "AUDIO") for wire in self.wires(node_id)):
            return [(1, Target(node_id, ""))], []
        return [], self._on(step, self.wires(node_id), "LATENT")

    def _look_for_maker(self, step: Step) -> tuple[Finds, Onward]:
        """Follow what is made to the node that makes it: a sampler or a service."""
        node_id = step.node_id
        if self.is_maker(node_id):
            return [(0, Target(node_id, ""))], []
        wires = self.wires(node_id)
        if step.sought == "maker" and self.size_inputs(node_id) and any(wire.fits("VAE") for wire in wires):
            return [], []  # it begins a new latent, whatever picture it begins with
        media = [wire for wire in wires if wire.carries("LATENT", *MEDIA)]
        return [], self._on(step, media, "LATENT", *MEDIA)

    # --- what makes pictures, and what of it is set ---

    @once
    def is_sampler(self, node_id: str) -> bool:
        """Whether a node samples, by its inputs."""
        names = self.inputs(node_id).keys()
        if {"guider", "sigmas"} <= names:
            return True
        seeded = not names.isdisjoint(SEED_INPUTS)
        if {"positive", "negative"} <= names:
            return seeded or "steps" in names or "sigmas" in names
        definition = self.definition(node_id)
        samples = "latent_image" in names or (definition is not None and "LATENT" in definition.outputs)
        usual = not names.isdisjoint(("cfg", "sampler_name", "scheduler", "denoise"))
        return seeded and "steps" in names and (usual or samples)

    @once
    def is_service(self, node_id: str) -> bool:
        """Whether a node makes something of a prompt or seed all by itself."""
        if self.is_sampler(node_id):
            return False
        names = self.inputs(node_id)
        definition = self.definition(node_id)
        if definition and definition.outputs:
            if not any(kind.startswith((*MEDIA, "STRING", "FILE_3D")) for kind in definition.outputs):
                return False
        elif "clip" in names and not GENERATES.search(self.class_type(node_id)):
            return False  # an encoder
        asked = any("prompt" in name for name in self.texts(node_id, "positive"))
        seeded = any(key.lower() == "seed" and self.holds("seed", node_id, key) for key in names)
        return asked or (seeded and len(names) > 1)

    @once
    def is_maker(self, node_id: str) -> bool:
        """Whether a node makes what the workflow is for."""
        return self.is_sampler(node_id) or self.is_service(node_id)

    @once
    def parts(self, node_id: str) -> list[str]:
        """A sampler and the nodes that hold its noise, guider, sampler and sigmas, nearest first."""
        found = [node_id]
        for part in found:
            for wire in self.wires(part):
                if wire.fits(*SAMPLING) and wire.node_id not in found and len(found) < PARTS:
                    found.append(wire.node_id)
        return found

    def target(self, name: str, *node_ids: str) -> Target | None:
        """The widget of a parameter in the first of these nodes that has it, also over links."""
        for node_id in node_ids:
            for key in PARAMETERS[name]:
                if self.holds(name, node_id, key):
                    return Target(node_id, key)
                wire = self.wire(node_id, key)
                if wire and not wire.fits(*SAMPLING) and (found := self.best(wire, name)):
                    return replace(found, reader=Target(node_id, key))
        return None


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/discovery.py
#
# graph/discovery.
# ----------------------------------------------------------------------------------------------------------------------


Found = dict[str, dict[Target, None]]  # parameter -> its widgets, the one that tells the value first


class Tracing:
    """Which widgets are what, told by what feeds the outputs."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.live, self.lines = self._lines()

    def _outputs(self) -> list[list[str]]:
        """The nodes that a run is for, by rank: what saves media or texts, then what only shows them. Without
        definitions those are the ones that nothing reads, if their class's name says so for any of them. Among equals
        the lowest id comes first: the order in the file is that of whoever wrote it."""
        flow = self.flow
        read = {wire.node_id for node_id in flow.nodes for wire in flow.wires(node_id)}
        ranks: list[list[str]] = [[], [], [], []]
        others = []
        in_order = sorted(flow.nodes, key=lambda node_id: [int(number) for number in re.findall(r"\d{1,18}", node_id)])
        for node_id in in_order:
            class_type, definition = flow.class_type(node_id), flow.definition(node_id)
            if definition and not definition.is_output:
                continue
            if definition is None and node_id in read:
                continue
            text = 1 if SHOWS_TEXT.search(class_type) else 0
            if SAVES.search(class_type):
                ranks[text].append(node_id)
            elif SHOWS.search(class_type):
                ranks[2 + text].append(node_id)
            else:
                others.append(node_id)
                if definition:
                    ranks[0].append(node_id)
        return ranks if any(ranks) else [others or [node_id for node_id in in_order if node_id not in read]]

    def _lines(self) -> tuple[dict[str, int], list[list[str]]]:
        """The nodes that feed the outputs of the best rank that something is made for, with their place in the order
        of the flow; and the rows of makers there, each from its first to its last, in that order."""
        order: dict[str, int] = {}
        for outputs in self._outputs():
            for output in outputs:
                self._number(output, order)
            rows: list[list[str]] = []
            inner: set[str] = set()
            for end in sorted(self._nearest_makers(outputs), key=lambda node_id: -order[node_id]):
                if end not in inner:
                    rows.append(self._line(end))
                    inner.update(rows[-1][:-1])
            if rows:
                return order, sorted((row for row in rows if row[-1] not in inner), key=lambda row: order[row[0]])
        return order, []

    def _number(self, output: str, order: dict[str, int]) -> None:
        """Number what feeds an output, each node after all that feeds it."""
        waiting, opened = [output], set()
        while waiting:
            node_id = waiting[-1]
            if node_id in order or node_id in opened:
                order.setdefault(waiting.pop(), len(order))
                continue
            opened.add(node_id)
            waiting += [wire.node_id for wire in self.flow.wires(node_id) if wire.node_id not in order]

    def _nearest_makers(self, outputs: list[str]) -> list[str]:
        """The makers that outputs' media come from, without those before them; else those of their texts."""
        found: list[str] = []
        for types in ((*MEDIA, "LATENT"), (*MEDIA, "LATENT", "STRING")):
            waiting, seen = list(outputs), set(outputs)
            for node_id in waiting:
                if self.flow.is_maker(node_id):
                    found.append(node_id)
                    continue
                wires = [wire for wire in self.flow.wires(node_id) if wire.carries(*types)]
                waiting += dict.fromkeys(wire.node_id for wire in wires if wire.node_id not in seen)
                seen.update(wire.node_id for wire in wires)
            if found:
                break
        return found

    def _line(self, end: str) -> list[str]:
        """The makers of one result, first to last: a sampler and those it takes its latent from, or the last service
        whose prompt says something."""
        row, flow = [self._asked(end)], self.flow
        while (before := self._before(row[0])) and before not in row and len(row) < PARTS:
            row.insert(0, before)
        asked = [index for index, node_id in enumerate(row) if self._prompt_text(node_id)]
        last = asked[-1] if asked else len(row) - 1
        first = last
        while flow.is_sampler(row[last]) and first > 0 and flow.is_sampler(row[first - 1]):
            first -= 1
        while first < last and not flow.is_service(row[first]) and not self._words(row[first], "positive"):
            first += 1  # it only prepares the picture: depth, say
        return [row[last]] if flow.is_service(row[last]) else [part for part in row[first:] if flow.is_sampler(part)]

    def _asked(self, end: str) -> str:
        """A maker that takes words, or the nearest one before it: a video of a picture that was made of words."""
        at = end
        for _ in range(PARTS):
            before = self._before(at) or self._earlier(at)
            if self._words(at, "positive") or before is None:
                break
            at = before
        return at if self._words(at, "positive") else end

    @once
    def _before(self, node_id: str) -> str | None:
        """The maker whose result another one takes up."""
        return self._maker_before(node_id, "maker")

    @once
    def _earlier(self, node_id: str) -> str | None:
        """The maker whose result another one begins anew with."""
        return self._maker_before(node_id, "earlier maker")

    def _maker_before(self, node_id: str, sought: str) -> str | None:
        flow = self.flow
        media = [wire for wire in flow.wires(node_id) if wire.carries("LATENT", *MEDIA) and not wire.fits(*SAMPLING)]
        media.sort(key=lambda wire: (not wire.fits("LATENT"), not wire.fits(*MEDIA)))
        return next((found.node_id for wire in media if (found := flow.best(wire, sought))), None)

    # --- one maker ---

    @once
    def _prompt_text(self, node_id: str) -> str:
        words = self._words(node_id, "positive")
        return str(self.flow.held(words[0])).strip() if words else ""

    def _encoder(self, node_id: str, side: str) -> Target | None:
        """The encoder of a sampler's main text on one side, however its conditioning comes."""
        flow = self.flow
        for part in flow.parts(node_id):
            wires = flow.wires(part)
            names = (side, "neg_conditioning") if side == "negative" else (side, "cond1", "conditioning")
            named = [wire for name in names if (wire := flow.wire(part, name))]
            if not named and not {"positive", "negative", "guider", *names} & flow.inputs(part).keys():
                named = [wire for wire in wires if wire.is_strange or "embeds" in wire.name]
            if found := next((found for wire in named if (found := flow.best(wire, side))), None):
                return found
        return None

    def _words(self, node_id: str, side: str) -> list[Target]:
        """The widgets of a maker's prompt or negative prompt."""
        if not self.flow.is_sampler(node_id):
            return self.flow.words(node_id, side)
        found = self._encoder(node_id, side)
        return self.flow.words(found.node_id, found.input) if found else []

    @once
    def _latent(self, node_id: str) -> str | None:
        """The node that makes the latent that a sampler starts from."""
        flow = self.flow
        wires = [wire for wire in flow.wires(node_id) if wire.carries("LATENT", "IMAGE")]
        wires.sort(key=lambda wire: (wire.name != "latent_image", not wire.fits("LATENT")))
        return next((found.node_id for wire in wires if (found := flow.best(wire, "latent"))), None)

    def _size(self, name: str, latent: str) -> Target | None:
        """The width or height of a latent, also of the picture that it is made of."""
        if pair := self.flow.size_inputs(latent):
            return self.flow.target(name, latent) if pair[0] == "width" else self._pair(name, latent, pair)
        pictures = [wire for wire in self.flow.wires(latent) if wire.fits("IMAGE")]
        return self.flow.best(pictures[0], f"image {name}") if pictures else None

    def _pair(self, name: str, node_id: str, pair: tuple[str, str]) -> Target | None:
        key = pair[name == "height"]
        if self.flow.holds(name, node_id, key):
            return Target(node_id, key)
        return self.flow.best(self.flow.wire(node_id, key), name)

    # --- a line of them ---

    def found(self) -> Found:
        """All parameters. What belongs to other lines than the first follows where it holds the same."""
        read = [self._read(line) for line in self.lines]
        if not read:
            return self._scaled()
        first, *others = read
        for name, targets in first.items():
            values = [self.flow.held(next(iter(found[name]))) for found in others if found.get(name)]
            if targets and all(same_value(value, self.flow.held(next(iter(targets)))) for value in values):
                for found in others:
                    targets.update(found.get(name, {}))
        self._follow(first)
        for name in ("negative_prompt", "lyrics"):
            for target in first.get("prompt", {}):
                first.get(name, {}).pop(target, None)
        return {name: targets for name, targets in first.items() if targets}

    def _scaled(self) -> Found:
        """Where nothing is made, pictures are only changed: all that can be set is the size of what is saved."""
        for output in itertools.chain(*self._outputs()):
            for wire in self.flow.wires(output):
                size = {name: self.flow.best(wire, f"image {name}") for name in ("width", "height")}
                if wire.fits("IMAGE") and all(size.values()):
                    return {name: {target: None} for name, target in size.items() if target}
        return {}

    def _read(self, line: list[str]) -> Found:
        return self._read_samplers(line) if self.flow.is_sampler(line[0]) else self._read_service(line[-1])

    def _read_service(self, node_id: str) -> Found:
        """What can be set of a service: all its inputs that are called like a parameter."""
        flow = self.flow
        found: Found = {
            "prompt": dict.fromkeys(flow.words(node_id, "positive")),
            "negative_prompt": dict.fromkeys(flow.words(node_id, "negative") if self._has_negative(node_id) else []),
        }
        keys = {key.rsplit(".", 1)[-1].lower(): key for key in reversed(list(flow.inputs(node_id)))}
        presets = [str(flow.inputs(node_id)[keys[key]]) for key in PARAMETERS["size"] if key in keys]
        preset = any("custom" not in size.lower() for size in presets)  # then no other size counts
        for name, spellings in PARAMETERS.items():
            if name in found or (preset and name in ("width", "height")):
                continue
            for key in (keys[spelling] for spelling in spellings if spelling in keys):
                if flow.holds(name, node_id, key):
                    found[name] = {Target(node_id, key): None}
                elif target := flow.best(flow.wire(node_id, key), name):
                    found[name] = {target: None}
                else:
                    continue
                break
        return found

    def _has_negative(self, node_id: str) -> bool:
        return any(words_in(name) == "negative" for name in self.flow.texts(node_id, "negative"))

    def _read_samplers(self, line: list[str]) -> Found:
        flow, head = self.flow, line[0]
        found: Found = {}

        def note(name: str, *targets: Target | None) -> None:
            found.setdefault(name, {}).update(dict.fromkeys(target for target in targets if target))

        for node_id in line:
            goes_on = node_id != head and self._goes_on(node_id, head)
            for name, side in (("prompt", "positive"), ("negative_prompt", "negative")):
                words = self._words(node_id, side)
                if self._shares(words, found.get(name, {}), node_id, goes_on or node_id == head):
                    note(name, *words)
            note("seed", flow.target("seed", *flow.parts(node_id)))
            for name in ("sampler", "scheduler", "guidance"):
                self._note_alike(
                    found, name, self._guidance(node_id) if name == "guidance" else self._own(name, node_id)
                )
            if node_id == head or goes_on:
                note("steps", self._own("steps", node_id))
        note("denoise", self._own("denoise", head))
        note("steps", *self._hand_overs(line, found["steps"]))
        note("model", flow.best(self._model_wire(head), "model"))
        if encoder := self._encoder(head, "positive"):
            note("lyrics", flow.target("lyrics", encoder.node_id))
            note("seed", flow.target("seed", encoder.node_id))
        if latent := self._latent(head):
            size = {name: self._size(name, latent) for name in ("width", "height")}
            if all(size.values()):
                for name, target in size.items():
                    note(name, target)
            else:
                note("aspect_ratio", self._aspect_ratio(latent))
            for name in ("batch_size", "length", "seconds"):
                note(name, flow.target(name, latent))
        return found

    def _own(self, name: str, node_id: str) -> Target | None:
        parts = self.flow.parts(node_id)
        if name in ("steps", "denoise"):  # what only splits a schedule does not make it
            parts = [part for part in parts if part == node_id or not self.flow.wire(part, "sigmas")]
        return self.flow.target(name, *parts)

    def _model_wire(self, node_id: str) -> Wire | None:
        """Where a sampler's model comes from, also over its guider or a pipe."""
        parts = self.flow.parts(node_id)
        named = [wire for part in parts if (wire := self.flow.wire(part, "model"))]
        strange = [wire for part in parts for wire in self.flow.wires(part) if wire.is_strange]
        return next(iter(named + strange), None)

    @once
    def _guidance(self, node_id: str) -> Target | None:
        """A distilled model takes its guidance with the text and runs at cfg 1, which must stay."""
        flow = self.flow
        for part in flow.parts(node_id):
            for name in ("positive", "conditioning", "cond1"):
                embedded = flow.best(flow.wire(part, name), "embedded guidance")
                if embedded and (target := flow.target("guidance", embedded.node_id)):
                    return target
        return self._own("guidance", node_id)

    def _note_alike(self, found: Found, name: str, target: Target | None) -> None:
        """Later samplers follow the first in what they hold the same."""
        held = found.setdefault(name, {})
        if target and (not held or same_value(self.flow.held(target), self.flow.held(next(iter(held))))):
            held[target] = None

    def _shares(self, words: list[Target], first: Iterable[Target], node_id: str, same_schedule: bool) -> bool:
        """Whether a sampler's text is that of the first one: the same, none, or the same picture's."""
        texts = [self.flow.held(target) for target in words]
        firsts = [self.flow.held(target) for target in first]
        if same_schedule or not firsts or texts[:1] == firsts[:1]:
            return same_schedule or texts[:1] == firsts[:1]
        return not any(texts) and not DETAILER.search(self.flow.class_type(node_id))

    def _goes_on(self, node_id: str, head: str) -> bool:
        """Whether a sampler goes on with the schedule of the first one instead of having its own."""
        start = self._own_step("start_at_step", node_id)
        noise = self.flow.inputs(node_id).get("add_noise")
        if start and self.flow.held(start) and noise in ("disable", False, None):
            return True
        steps = self._own("steps", node_id)
        return steps is not None and steps == self._own("steps", head) and start is None

    def _own_step(self, key: str, node_id: str) -> Target | None:
        """A number of steps that is not the whole schedule."""
        if is_number(self.flow.inputs(node_id).get(key)):
            return Target(node_id, key)
        return self.flow.best(self.flow.wire(node_id, key), "steps")

    def _hand_overs(self, line: list[str], steps: Iterable[Target]) -> Iterator[Target]:
        """The steps at which one sampler hands over to the next; they move with the number of steps."""
        whole = next((float(held) for target in steps if is_number(held := self.flow.held(target))), 0.0)
        for node_id in line:
            if node_id != line[0] and not self._goes_on(node_id, line[0]):
                continue
            for part in self.flow.parts(node_id):
                for key in ("start_at_step", "end_at_step", "step"):
                    target = self._own_step(key, part)
                    held = self.flow.held(target) if target else 0
                    if target and is_number(held) and 0 < held < whole:
                        yield replace(target, part=held / whole)

    def _aspect_ratio(self, latent: str) -> Target | None:
        """What chooses a latent's size where no numbers do."""
        flow = self.flow
        return flow.target("aspect_ratio", latent) or flow.best(flow.wire(latent, "width"), "aspect_ratio")

    # --- what must agree with it ---

    def _follow(self, found: Found) -> None:
        """Add the widgets that must hold the same as a parameter: the size given to a scheduler or encoder, the
        frames of the sound beside the frames of the picture, the same file loaded once more."""
        flow = self.flow
        held = {name: flow.held(next(iter(targets))) for name, targets in found.items() if targets}
        live = sorted(self.live, key=lambda node_id: -self.live[node_id])
        rates = (flow.target("fps", node_id) for node_id in live)
        found.setdefault("fps", {}).update(dict.fromkeys(target for target in rates if target))
        for node_id in live:
            inputs = flow.inputs(node_id)
            for pair in zip(PARAMETERS["width"], PARAMETERS["height"], strict=True):
                sizes = [inputs.get(key) for key in pair]
                if "width" in held and "height" in held and sizes == [held["width"], held["height"]]:
                    found["width"][Target(node_id, pair[0])] = None
                    found["height"][Target(node_id, pair[1])] = None
            for name in ("length", "seconds", "model"):
                for key in PARAMETERS[name]:
                    alike = name in held and flow.holds(name, node_id, key) and same_value(inputs[key], held[name])
                    if alike and held[name] not in (0, 1):
                        found[name][Target(node_id, key)] = None


def parameter_name(text: str) -> str:
    """The parameter that somebody's spelling means; one that is not known keeps its name."""
    plain = re.sub(r"[\s_-]+", "_", text.strip().casefold()).strip("_")
    return ALIASES.get(plain, plain)


def discover(graph: Graph, definitions: Definitions = NO_DEFINITIONS) -> dict[str, tuple[Target, ...]]:
    """Find the parameters of a graph; one that stands in several widgets is set in all of them.

    What the author named counts first: nodes titled "param: <name>" or by nothing but a parameter's name, and
    placeholders {{name}}, %%name%% or %name%. The rest is found by tracing the graph: see `PARAMETERS`.
    """
    flow = Flow(graph, definitions)
    traced = Tracing(flow)
    found = {name: tuple(targets) for name, targets in traced.found().items()}
    named = titled(flow, found, traced.live)
    mentioned: dict[str, list[Target]] = {}  # numbers and choices inside texts: beside the widget that they are set in
    for name, target in placeholders(flow, found):
        inside = flow.held(target) != target.token and name in PARAMETERS and name not in TEXTS
        (mentioned if inside else named).setdefault(name, []).append(target)
    names = sorted(
        {**found, **named, **mentioned}, key=lambda name: list(PARAMETERS).index(name) if name in PARAMETERS else 99
    )
    return {name: (*(named.get(name) or found.get(name, ())), *mentioned.get(name, ())) for name in names}


def titled(flow: Flow, traced: Mapping[str, tuple[Target, ...]], live: Iterable[str]) -> dict[str, list[Target]]:
    """The parameters that node titles name. Where bare titles contradict one another, only those that tracing
    reaches too count: two nodes "Steps" before a switch."""
    explicit: dict[str, dict[Target, None]] = {}
    bare: dict[str, dict[Target, None]] = {}
    live = set(live)
    for node_id, node in flow.nodes.items():
        title = given_title(node)
        kind, asked = KIND_IN_TITLE.fullmatch(title), PARAM_TITLE.fullmatch(title)
        name = parameter_name((kind["a"] or kind["b"]) if kind else title)
        definition = flow.definition(node_id)
        unnamed = title in (flow.class_type(node_id), definition.title if definition else "")
        if asked:
            name = parameter_name(asked[1])
            explicit.setdefault(name, {}).update(dict.fromkeys(titled_widgets(flow, node_id, name)))
        elif name in PARAMETERS and node_id in live and not unnamed:
            bare.setdefault(name, {}).update(dict.fromkeys(titled_widgets(flow, node_id, name)))
    for name, targets in bare.items():
        differ = any(not same_value(flow.held(target), flow.held(next(iter(targets)))) for target in targets)
        reached = [target for target in traced.get(name, ()) if target in targets]
        explicit.setdefault(name, dict.fromkeys(reached if differ and reached else [*reached, *targets]))
    for name, targets in explicit.items():
        if not targets.keys().isdisjoint(traced.get(name, ())):  # where to hand over is no setting of its own
            targets.update(dict.fromkeys(target for target in traced[name] if target.part != 1.0))
    return {name: list(targets) for name, targets in explicit.items() if targets}


def titled_widgets(flow: Flow, node_id: str, name: str) -> list[Target]:
    """The widgets of a node that its title means: those of that name, else its only or its main one."""
    inputs = flow.inputs(node_id)
    side = "negative" if name == "negative_prompt" else "positive"
    if name in ("prompt", "negative_prompt") and (words := flow.words(node_id, side)):
        return words
    spellings = [key for key in inputs if parameter_name(key) == name or key in PARAMETERS.get(name, ())]
    plain = [key for key in inputs if not is_link(inputs[key])]
    main = [key for wanted in MAIN_INPUTS for key in inputs if key.lower() == wanted]
    for key in [*spellings, *(plain if len(plain) == 1 else []), *main]:
        if key in plain and (name not in PARAMETERS or flow.holds(name, node_id, key)):
            return [Target(node_id, key)]
        wire = flow.wire(node_id, key)
        sought = f"{side} text" if name in TEXTS or name not in PARAMETERS else name
        if wire and not wire.fits(*SAMPLING) and (found := flow.best(wire, sought)):
            return [found]
    return []


def placeholders(flow: Flow, traced: Mapping[str, tuple[Target, ...]]) -> Iterator[tuple[str, Target]]:
    """Every placeholder with the parameter that it names. `%name%` is common text, in file names above all: inside a
    longer text it only counts where somebody's words stand."""
    words = {target.widget for name in TEXTS for target in traced.get(name, ())}
    texts = [
        (Target(node_id, key), value)
        for node_id in flow.nodes
        for key, value in flow.inputs(node_id).items()
        if isinstance(value, str) and ("{{" in value or "%" in value)
    ]
    replaced = {value for at, value in texts if at.input in NO_PLACEHOLDER}  # by nodes of the graph itself
    for at, text in texts:
        for found in PLACEHOLDER.finditer(text):
            token, common = found[0], found[3]
            spoken = text == token or at in words or words_in(at.input)
            if common and (common.lower() not in PLACEHOLDER_NAMES or at.input == "filename_prefix" or not spoken):
                continue
            if token not in replaced:
                name = (found[1] or found[2] or common).lower()
                yield PLACEHOLDER_NAMES.get(name, name), replace(at, token=token)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/workflow.py
#
# graph/workflow.
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Workflow:
    """A graph in ComfyUI's API format and the parameters found in it. Never changed: `bind` gives a new one."""

    name: str
    graph: Graph
    parameters: Mapping[str, tuple[Target, ...]]
    templates: Mapping[Target, str] = field(default_factory=dict)  # widgets with placeholders, as they were saved
    given: Mapping[str, Any] = field(default_factory=dict)  # what was bound to placeholders
    dynamic: frozenset[Target] = frozenset()  # texts that `dynamic_prompt` rewrites before every run

    @classmethod
    def parse(
        cls,
        name: str,
        graph: Any,
        definitions: Definitions = NO_DEFINITIONS,
        dynamic: frozenset[Target] = frozenset(),
    ) -> "Workflow":
        """A workflow of an API-format graph; raises `WorkflowRefused` when it is none. The more definitions of its
        node classes there are, the better are its parameters found; without any it is done by names."""
        nodes = graph.values() if isinstance(graph, dict) else ()
        if not nodes or not all(isinstance(node, dict) and isinstance(node.get("class_type"), str) for node in nodes):
            what = "This is no graph in ComfyUI's API format" if graph else "The workflow has no nodes"
            raise WorkflowRefused(f"{what}.", EXPECTED)
        parameters = discover(graph, definitions)
        marked = {target.widget for targets in parameters.values() for target in targets if target.token}
        templates = {at: graph[at.node_id]["inputs"][at.input] for at in marked}
        return cls(name, graph, parameters, templates, dynamic=dynamic)

    @functools.cached_property
    def widgets(self) -> Mapping[str, Target]:
        """Every input that holds a value and no link, by "<node title>.<input>", in the graph's order. Where several
        nodes have the title, the node's id tells them apart: "<node title> (<id>).<input>"."""
        titles = {node_id: plain_title(node) for node_id, node in self.graph.items()}
        counts: dict[str, int] = {}
        for title in titles.values():
            counts[simplified(title)] = counts.get(simplified(title), 0) + 1
        named: dict[str, Target] = {}
        for node_id, title in titles.items():
            label = title if counts[simplified(title)] == 1 else f"{title} ({node_id})"
            for key, value in node_inputs(self.graph[node_id]).items():
                if not is_link(value):
                    name = f"{label}.{key}"
                    named[name if name not in named else f"{title} ({node_id}).{key}"] = Target(node_id, key)
        return named

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Everything that can be set: the parameters, then the widgets."""
        return (*self.parameters, *self.widgets)

    @functools.cached_property
    def _lookup(self) -> Mapping[str, tuple[Target, ...] | None]:
        """What each simplified name means; None for one that could mean several things."""
        classes: dict[str, tuple[Target, ...] | None] = {}
        titles: dict[str, tuple[Target, ...] | None] = {}
        ids: dict[str, tuple[Target, ...] | None] = {}
        for name, at in self.widgets.items():
            node_class = self.graph[at.node_id]["class_type"]
            for known, spelling in ((classes, f"{node_class}.{at.input}"), (titles, name)):
                plain = simplified(spelling)
                known[plain] = None if plain in known else (at,)
            ids[simplified(f"{at.node_id}.{at.input}")] = (at,)
        aliases = {simplified(alias): self.parameters.get(name) for alias, name in ALIASES.items()}
        parameters = {simplified(name): targets for name, targets in self.parameters.items()}
        return {**aliases, **ids, **classes, **titles, **parameters}

    def find(self, name: str) -> tuple[Target, ...] | None:
        """The widgets that a name means, whatever its case, spaces and underscores: that of a parameter, of a widget,
        "<node id>.<input>", or "<class>.<input>" when only one node fits. None for what is not there."""
        exact = self.parameters.get(name) or ((self.widgets[name],) if name in self.widgets else None)
        return exact or self._lookup.get(simplified(name))

    def _targets(self, name: str) -> tuple[Target, ...]:
        found = self.find(name)
        if found is None:
            hint = f"The closest are: {quoted(closest(name, self.names))}."
            raise BadArgument(f'The workflow "{self.name}" has no "{shortened(name)}".', hint)
        return found

    def bind(self, values: Mapping[str, Any]) -> "Workflow":
        """The same workflow with these set; each is a name that `find` knows, else `BadArgument` is raised. A value
        that the workflow holds already changes nothing, not even where a parameter's widgets differ."""
        given = dict(self.given)
        widgets: dict[Target, Any] = {}
        for name, value in values.items():
            targets = self._targets(name)
            if same_value(value, self._held(targets)):
                for target in targets:  # the last word counts, also when it is what the workflow holds
                    widgets.pop(target, None)
                continue
            for target in targets:
                if target.token:
                    given[target.token] = value
                else:
                    widgets[target] = share(value, target.part)
        own = {
            at: {token: given[token] for token in self._tokens.get(at, ()) if token in given} for at in self.templates
        }
        filled = {at: fill(text, own[at]) for at, text in self.templates.items() if given != self.given}
        return replace(self.set(filled), given=given, templates=self.templates).set(widgets)

    @functools.cached_property
    def _tokens(self) -> Mapping[Target, set[str]]:
        """The placeholders of each widget; what looks like one elsewhere is none."""
        tokens: dict[Target, set[str]] = {}
        for target in (target for targets in self.parameters.values() for target in targets if target.token):
            tokens.setdefault(target.widget, set()).add(target.token)
        return tokens

    def set(self, widgets: Mapping[Target, Any]) -> "Workflow":
        """The same workflow with these widgets set."""
        graph = dict(self.graph)
        for target, value in widgets.items():
            node = graph[target.node_id]
            graph[target.node_id] = {**node, "inputs": {**node_inputs(node), target.input: value}}
        changed = {target.widget for target in widgets}
        return replace(
            self, graph=graph, templates={at: text for at, text in self.templates.items() if at not in changed}
        )

    def filled(self, definitions: Definitions = NO_DEFINITIONS) -> "Workflow":
        """The same workflow with no placeholder left: one that was not bound gives way to what the node takes by
        default when it is the whole value, and to nothing inside a text."""
        left: dict[Target, Any] = {}
        for at, text in self.templates.items():
            tokens = {
                target.token: "" if (value := self.value(name)) is None else value
                for name, targets in self.parameters.items()
                for target in targets
                if target.token and target.widget == at
            }
            if text in tokens and text not in self.given:
                left[at] = default_value(self.widget_spec(at, definitions))
            elif text not in tokens:
                left[at] = fill(text, {**tokens, **self.given})
        return self.set(left)

    def chosen(self, rng: random.Random) -> "Workflow":
        """The same workflow with one of each `{a|b}` chosen in the saved texts that have placeholders in them. What is
        put in for those later is left as it is."""
        templates = dict(self.templates)
        for at in sorted(self.dynamic & templates.keys(), key=lambda at: (at.node_id, at.input)):
            tokens = [target.token for targets in self.parameters.values() for target in targets if target.widget == at]
            shields = {token: f"\ue000{place}\ue001" for place, token in enumerate(filter(None, tokens))}
            text = dynamic_prompt(str(fill(templates[at], shields)), rng)
            templates[at] = str(fill(text, {shield: token for token, shield in shields.items()}))
        return replace(self, templates=templates)

    @property
    def open(self) -> tuple[str, ...]:
        """The parameters without a value: placeholders that nothing was bound to."""
        return tuple(
            name
            for name, targets in self.parameters.items()
            if all(target.token and target.token not in self.given for target in targets)
        )

    def value(self, name: str) -> Any:
        """What the graph holds under a name, or None when it has no such name or only a placeholder there."""
        return self._held(self.find(name) or ())

    def _held(self, targets: Sequence[Target]) -> Any:
        for target in sorted(targets, key=lambda target: bool(target.token)):
            if target.token:
                return self.given.get(target.token)
            return node_inputs(self.graph[target.node_id]).get(target.input)
        return None

    def spec(self, name: str, definitions: Definitions) -> InputSpec:
        """What the server accepts under a name; an unknown class accepts any text. Raises `BadArgument`."""
        target = self._targets(name)[0]
        return InputSpec("STRING") if self._is_inside(target) else self.widget_spec(target, definitions)

    def _is_inside(self, target: Target) -> bool:
        """Whether a placeholder has text around it."""
        return bool(target.token) and self.templates.get(target.widget) != target.token

    def widget_spec(self, target: Target, definitions: Definitions) -> InputSpec:
        """What the server accepts in a widget; an unknown class accepts any text."""
        for place in (target.reader, target):
            node = self.graph[place.node_id] if place else {}
            definition = definitions.get(node.get("class_type", ""))
            if place and definition and (spec := definition.spec(place.input, node_inputs(node))):
                return spec
        return InputSpec("STRING")


def fill(text: str, given: Mapping[str, Any]) -> Any:
    """A text with its placeholders replaced by what is given; one that is the whole text becomes the value itself."""
    if text in given:
        return given[text]
    marks = "|".join(re.escape(token) for token in sorted(given, key=len, reverse=True))
    return re.sub(marks, lambda found: str(given[found[0]]), text) if marks else text


def default_value(spec: InputSpec) -> Any:
    """What an input holds when nobody says anything."""
    if spec.default is not None:
        return spec.default
    return spec.minimum or 0 if spec.type in ("INT", "FLOAT") else False if spec.type == "BOOLEAN" else ""


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/links.py
#
# graph/links.
# ----------------------------------------------------------------------------------------------------------------------


# Classes that run for their own sake, and that sample, where no definition tells.
OUTPUT_CLASS = re.compile(
    r"^(Save|Preview|Display|Show)|VideoCombine|SaveImage|ImageCompare|MaskPreview|^(Checkpoint|CLIP|VAE|Model|Lora)Save$",
    re.IGNORECASE,
)


SAMPLER_CLASS = re.compile(r"sampler|guider|detailer|UltimateSDUpscale", re.IGNORECASE)


@dataclass(frozen=True)
class Edge:
    """A link of a graph, from a node's output to an input of another; `type` is "" where nothing tells it."""

    source: str
    slot: int
    node: str
    input: str
    type: str = ""

    @property
    def origin(self) -> tuple[str, int]:
        """The output that it comes from."""
        return self.source, self.slot


@dataclass(frozen=True)
class Wiring:
    """A graph's links by both their ends, each with its type as far as the definitions tell it."""

    nodes: Mapping[str, Mapping[str, Any]]
    definitions: Definitions
    into: Mapping[str, Sequence[Edge]]
    out_of: Mapping[str, Sequence[Edge]]

    @classmethod
    def of(cls, graph: Graph, definitions: Definitions) -> "Wiring":
        """Read the links of a graph; one to a node that does not exist is none."""
        nodes = graph_nodes(graph)
        into: dict[str, list[Edge]] = {node_id: [] for node_id in nodes}
        out_of: dict[str, list[Edge]] = {node_id: [] for node_id in nodes}
        for edge in typed_edges(nodes, definitions):
            into[edge.node].append(edge)
            out_of[edge.source].append(edge)
        return cls(nodes, definitions, into, out_of)

    def class_type(self, node_id: str) -> str:
        """A node's class."""
        return str(self.nodes[node_id]["class_type"])

    def definition(self, node_id: str) -> NodeDefinition | None:
        """A node's class as the server describes it, if it does."""
        return self.definitions.get(self.class_type(node_id))

    def inputs(self, node_id: str) -> Mapping[str, Any]:
        """A node's inputs."""
        return node_inputs(self.nodes[node_id])

    def fed_by(self, origin: tuple[str, int], kind: str) -> list[Edge]:
        """The links of a type that start at an output."""
        return [edge for edge in self.out_of[origin[0]] if edge.slot == origin[1] and edge.type == kind]

    def takes(self, node_id: str, kind: str) -> bool:
        """Whether a link of a type ends at a node."""
        return any(edge.type == kind for edge in self.into[node_id])

    def is_output(self, node_id: str) -> bool:
        """Whether a node runs for its own sake."""
        known = self.definition(node_id)
        return known.is_output if known else bool(OUTPUT_CLASS.search(self.class_type(node_id)))

    def is_sampler(self, node_id: str) -> bool:
        """Whether a node makes something with a diffusion model, alone or, as a guider, for a sampler behind it."""
        if not self.takes(node_id, "MODEL"):
            return False
        known, name = self.definition(node_id), self.class_type(node_id)
        if known is None:
            return bool(SAMPLER_CLASS.search(name)) or any(edge.input == "positive" for edge in self.into[node_id])
        if {"LATENT", "GUIDER"} & set(known.outputs) or any("PIPE" in kind for kind in known.outputs):
            return True
        return "IMAGE" in known.outputs and self.takes(node_id, "CONDITIONING")

    def before(self, nodes: Iterable[str], kinds: Sequence[str] = (), barred: Iterable[str] = ()) -> dict[str, None]:
        """These nodes and all that feed them, over links of these types or of any; nothing is looked for behind
        `barred` nodes."""
        found = dict.fromkeys(nodes)
        waiting, closed = list(found), frozenset(barred)
        while waiting:
            for edge in self.into[waiting.pop()]:
                if edge.source not in found and (not kinds or edge.type in kinds):
                    found[edge.source] = None
                    if edge.source not in closed:
                        waiting.append(edge.source)
        return found

    def behind(self, nodes: Iterable[str], kinds: Sequence[str] = ()) -> dict[str, None]:
        """These nodes and all that they feed, over links of these types or of any."""
        found = dict.fromkeys(nodes)
        waiting = list(found)
        while waiting:
            for edge in self.out_of[waiting.pop()]:
                if edge.node not in found and (not kinds or edge.type in kinds):
                    found[edge.node] = None
                    waiting.append(edge.node)
        return found

    def needed(self) -> dict[str, None]:
        """The nodes that run: output nodes and all that feed them."""
        return self.before(node_id for node_id in self.nodes if self.is_output(node_id))


def typed_edges(nodes: Mapping[str, Mapping[str, Any]], definitions: Definitions) -> Iterator[Edge]:
    """The links with their types: from the output, else the input, else what comes in where a switch passes it on."""
    links: list[tuple[tuple[str, int], str, str]] = []
    types: dict[tuple[str, int], str] = {}
    by_name: dict[tuple[str, int], str] = {}
    passing: dict[str, list[tuple[str, int]]] = {}  # a switch's outputs, which carry what it is given
    onward: dict[tuple[str, int], list[str]] = {}  # the switches that an output goes to
    for node_id, node in nodes.items():
        inputs, taker = node_inputs(node), definitions.get(node["class_type"])
        for name, value in inputs.items():
            if not isinstance(name, str) or not is_link(value) or value[0] not in nodes:
                continue
            origin = (value[0], value[1])
            links.append((origin, node_id, name))
            if origin not in types:
                made = output_type(nodes[origin[0]], origin[1], definitions)
                if made in OPEN_TYPES and origin not in passing.setdefault(origin[0], []):
                    passing[origin[0]].append(origin)
                types[origin] = told_type(made)
            spec = taker.spec(name, inputs) if taker else None
            types[origin] = types[origin] or (told_type(spec.type) if spec else "")
            if spec and spec.type in OPEN_TYPES:
                onward.setdefault(origin, []).append(node_id)
            if taker is None and (kind := guessed_type(name)):
                by_name.setdefault(origin, kind)
    for origin, kind in by_name.items():
        types[origin] = types[origin] or kind
    waiting = [origin for origin, kind in types.items() if kind]
    while waiting:
        origin = waiting.pop()
        for node_id in onward.pop(origin, ()):
            for output in passing.pop(node_id, ()):
                if not types[output]:
                    types[output] = types[origin]
                    waiting.append(output)
    return (Edge(*origin, node_id, name, types[origin]) for origin, node_id, name in links)


def output_type(node: Mapping[str, Any], slot: int, definitions: Definitions) -> str:
    """The type of a node's output as its definition has it, or ""."""
    known = definitions.get(node["class_type"])
    return known.outputs[slot] if known and 0 <= slot < len(known.outputs) else ""


def told_type(kind: str) -> str:
    """A type, or "" when it does not tell what a link carries."""
    return "" if kind in OPEN_TYPES or "," in kind else kind


PASSING = re.compile(r"preview|compare|compositor|^(show|display)|CreateBoundingBoxes", re.IGNORECASE)


def keeps_nothing(wiring: Wiring, node_id: str) -> bool:
    """Whether an output node keeps nothing."""
    return bool(PASSING.search(wiring.class_type(node_id))) or wiring.inputs(node_id).get("save_output") is False


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/loras.py
#
# graph/loras.
# ----------------------------------------------------------------------------------------------------------------------


MAX_STRENGTH = 100.0  # what LoraLoader itself takes; more is a slip
MAX_MODELS = 16  # of one graph that LoRAs go into; people use two
LORA_TAG = re.compile(r"<\s*lora\s*:(?P<inside>[^<>]*)>", re.IGNORECASE)
STRENGTH = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)


# Which of two models a file belongs to that share the steps between them (Wan 2.2), if its name says so.
NOISE_SIDE = re.compile(
    r"(?<![a-z])(?P<side>high|low)"
    r"(?:[-_. ]?noise|(?![a-z])(?![-_. ]?(?:quality|res|detail|poly|key|angle|contrast|def|fps|speed|rank|vram)))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Lora:
    """A LoRA to put into a graph: its exact name in the server's list, and how strongly it works."""

    file: str
    strength: float = 1.0


def parse_lora(text: str) -> tuple[str, float]:
    """Name and strength of "name", "name:0.8" or "<lora:name:0.8>"; a name may hold colons itself."""
    tag = LORA_TAG.fullmatch(text.strip())
    name, strength = (tag["inside"] if tag else text).strip(), 1.0
    # Some programs write a second strength behind the first, for the text encoder; the first one counts.
    for _ in range(2):
        front, colon, last = name.rpartition(":")
        if not colon or not STRENGTH.fullmatch(last.strip()):
            break
        name, strength = front.strip(), float(last)
        if not abs(strength) <= MAX_STRENGTH:
            raise BadArgument(
                f'"{shortened(last.strip())}" is no strength for the LoRA "{shortened(name)}".',
                "Give a number such as 0.8; most LoRAs work between 0.5 and 1.",
            )
    if not name:
        raise BadArgument(f'"{shortened(text)}" names no LoRA.', 'Write "name" or "name:0.8".')
    return name, strength


def with_loras(graph: Graph, loras: Sequence[Lora], definitions: Definitions) -> dict[str, Any]:
    """The graph with these LoRAs in every main diffusion model, in this order, right behind the loader and the LoRAs
    that are there already. Raises `WorkflowRefused` when it has no model that takes one."""
    if not loras:
        return dict(graph)
    wiring = Wiring.of(graph, definitions)
    models = main_models(wiring)
    names = node_numbers(graph)
    result = dict(graph)
    taken: set[tuple[str, int]] = set()  # text encoders that have them; of two models that share one, one brings it
    for model in sorted(models, key=lambda model: model.clip is None or model.clip[0] != model.loader[0]):
        chosen = [lora for lora in loras if belongs(lora, model, models)]
        clip = None if model.clip in taken else model.clip
        if not chosen:
            continue
        if clip:
            taken.add(clip)
        _put(result, wiring, model, clip, chosen, names)
    return result


def _put(
    result: dict[str, Any],
    wiring: Wiring,
    model: "DiffusionModel",
    clip: tuple[str, int] | None,
    loras: Sequence[Lora],
    names: Iterator[str],
) -> None:
    """Write a chain of LoRA nodes behind one model into `result`."""
    start, clip = behind_loras(wiring, model, clip)
    last, last_clip = start, clip
    for lora in loras:
        node_id = next(names)
        inputs: dict[str, Any] = {"lora_name": lora.file, "strength_model": lora.strength, "model": [*last]}
        last = (node_id, 0)
        if last_clip:
            inputs |= {"strength_clip": lora.strength, "clip": [*last_clip]}
            last_clip = (node_id, 1)
        kind = "LoraLoader" if last_clip else "LoraLoaderModelOnly"
        name = MODEL_FILE.sub("", base_name(lora.file))
        result[node_id] = {"class_type": kind, "inputs": inputs, "_meta": {"title": f"LoRA: {name}"}}
    # Links to what no sampler needs stay: such a node may read from the LoRA before it (GetICLoRAParameters).
    moved: dict[str, dict[str, Any]] = {}
    for edge in wiring.fed_by(start, "MODEL"):
        if edge.node in model.way:
            moved.setdefault(edge.node, {})[edge.input] = [*last]
    if clip and last_clip:
        for edge in wiring.fed_by(clip, "CLIP"):
            moved.setdefault(edge.node, {})[edge.input] = [*last_clip]
    for node_id, inputs in moved.items():
        result[node_id] = {**result[node_id], "inputs": {**node_inputs(result[node_id]), **inputs}}


@dataclass(frozen=True)
class DiffusionModel:
    """A model of a graph: the output that it is loaded by, the samplers that use it, all nodes on the way to them, and
    the output of the one text encoder that writes their conditioning, if it is one."""

    loader: tuple[str, int]
    samplers: tuple[str, ...]
    way: frozenset[str]
    clip: tuple[str, int] | None
    side: str = ""  # "high" or "low" when the name of its file says so
    refiner: bool = False


def main_models(wiring: Wiring) -> list[DiffusionModel]:
    """The models that a LoRA goes to: all that feed samplers, but a refiner only when nothing else does."""
    samplers = [node_id for node_id in wiring.nodes if wiring.is_sampler(node_id)]
    useful = wiring.before(samplers, ("MODEL",))
    loaders = dict.fromkeys(
        edge.origin
        for node_id in wiring.nodes
        if node_id in useful and not wiring.takes(node_id, "MODEL")
        for edge in wiring.out_of[node_id]
        if edge.type == "MODEL" and edge.node in useful
    )
    if not loaders:
        raise WorkflowRefused(
            "The workflow has no model that takes a LoRA.",
            "Call again without LoRAs, or with a workflow that loads a diffusion model.",
        )
    if len(loaders) > MAX_MODELS:
        raise WorkflowRefused(f"The workflow has {len(loaders)} models; LoRAs go into at most {MAX_MODELS} of them.")
    models = [_model(wiring, loader, samplers, useful) for loader in loaders]
    return [model for model in models if not model.refiner] or models


def _model(
    wiring: Wiring, loader: tuple[str, int], samplers: Sequence[str], useful: Mapping[str, None]
) -> DiffusionModel:
    starts = [edge.node for edge in wiring.fed_by(loader, "MODEL") if edge.node in useful]
    way = frozenset(node_id for node_id in wiring.behind(starts, ("MODEL",)) if node_id in useful)
    own = tuple(node_id for node_id in samplers if node_id in way)
    side = noise_side(" ".join(model_names(wiring, loader[0])))
    return DiffusionModel(
        loader, own, way, _clip(wiring, loader, own, samplers), side, not side and _refines(wiring, loader, own)
    )


def model_names(wiring: Wiring, node_id: str) -> list[str]:
    """The model files that a node names."""
    return [value for value in wiring.inputs(node_id).values() if isinstance(value, str) and MODEL_FILE.search(value)]


def noise_side(name: str) -> str:
    """ "high" or "low" when a file's name says for which part of the steps it is, else ""."""
    found = NOISE_SIDE.search(name)
    return found["side"].lower() if found else ""


def belongs(lora: Lora, model: DiffusionModel, models: Sequence[DiffusionModel]) -> bool:
    """Whether a LoRA goes to a model: one for a side of the steps goes to the model of that side, if there is one."""
    side = noise_side(base_name(lora.file))
    return not side or side == model.side or all(other.side != side for other in models)


def _clip(
    wiring: Wiring, loader: tuple[str, int], own: Sequence[str], samplers: Sequence[str]
) -> tuple[str, int] | None:
    """The text encoder of a model: the loader's own when it is used, else the only one behind its conditioning."""
    beside = [edge.origin for edge in wiring.out_of[loader[0]] if edge.type == "CLIP"]
    if beside:
        return beside[0]
    before = wiring.before(own, ("CONDITIONING", "CLIP", ""), barred=samplers)
    found = {
        edge.origin
        for node_id in before
        for edge in wiring.into[node_id]
        if edge.type == "CLIP" and not wiring.takes(edge.source, "CLIP")
    }
    return found.pop() if len(found) == 1 else None


def _refines(wiring: Wiring, loader: tuple[str, int], own: Sequence[str]) -> bool:
    """Whether a model only finishes what another one began, as SDXL's refiner does: its name, its text encoder or its
    samplers say so."""
    values = wiring.inputs(loader[0]).values()
    if any("refiner" in value.lower() for value in values if isinstance(value, str)):
        return True
    encoders = wiring.behind([loader[0]], ("CLIP",))
    if any(wiring.class_type(node_id) == "CLIPTextEncodeSDXLRefiner" for node_id in encoders):
        return True
    return any(edge.type == "CLIP" for edge in wiring.out_of[loader[0]]) and all(
        wiring.inputs(node_id).get("add_noise") == "disable" and _continues(wiring, node_id, own) for node_id in own
    )


def _continues(wiring: Wiring, node_id: str, own: Sequence[str]) -> bool:
    """Whether a sampler starts from the noise that a sampler of another model leaves over."""
    return any(
        edge.type == "LATENT"
        and edge.source not in own
        and wiring.inputs(edge.source).get("return_with_leftover_noise") == "enable"
        for edge in wiring.into[node_id]
    )


def behind_loras(
    wiring: Wiring, model: DiffusionModel, clip: tuple[str, int] | None
) -> tuple[tuple[str, int], tuple[str, int] | None]:
    """Where LoRAs go in: the model's output and the text encoder's, moved behind those LoRA nodes that all samplers of
    the model have before them. Both move together, or the new nodes would stand in a circle."""
    point, seen = model.loader, set()
    while True:
        users = {edge.node for edge in wiring.fed_by(point, "MODEL") if edge.node in model.way}
        node_id = users.pop() if len(users) == 1 else ""
        if not node_id or node_id in seen or not is_lora(wiring, node_id):
            return point, clip
        seen.add(node_id)
        made = {edge.slot for edge in wiring.out_of[node_id] if edge.type == "MODEL" and edge.node in model.way}
        texts = {edge.origin for edge in wiring.into[node_id] if edge.type == "CLIP"}
        if len(made) != 1:
            return point, clip
        if clip and texts:
            slots = {edge.slot for edge in wiring.out_of[node_id] if edge.type == "CLIP"}
            if texts != {clip} or len(slots) != 1 or {edge.node for edge in wiring.fed_by(clip, "CLIP")} != {node_id}:
                return point, clip
            clip = (node_id, slots.pop())
        point = (node_id, made.pop())


def is_lora(wiring: Wiring, node_id: str) -> bool:
    """Whether a node puts LoRAs into a model that passes through it."""
    return "lora" in wiring.class_type(node_id).lower() and not wiring.is_sampler(node_id)


def node_numbers(graph: Graph) -> Iterator[str]:
    """Ids for new nodes: the numbers above the largest that the graph uses, or that a link to nothing names."""
    taken = {link[0] for node in graph.values() for link in node_inputs(node).values() if is_link(link)}
    taken.update(key for key in graph if isinstance(key, str))
    # Longer numbers are somebody's own scheme; they only must not be met again.
    used = [int(key) for key in taken if re.fullmatch(r"[0-9]{1,12}", key)]
    return (str(number) for number in itertools.count(max(used, default=0) + 1) if str(number) not in taken)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/facts.py
#
# graph/facts.
# ----------------------------------------------------------------------------------------------------------------------


# The widgets of known classes that name a file somebody uploads, and what it is.
FILE_WIDGETS: Mapping[str, tuple[str, str]] = {
    "LoadImage": ("image", "image"),
    "LoadImageMask": ("image", "mask"),
    "LoadImageOutput": ("image", "image"),
    "LoadVideo": ("file", "video"),
    "LoadAudio": ("audio", "audio"),
    "Load3D": ("model_file", "3d"),
    "Load3DAdvanced": ("model_file", "3d"),
    "Load3DAnimation": ("model_file", "3d"),
    "Painter": ("mask", "mask"),
    "VHS_LoadVideo": ("video", "video"),
    "VHS_LoadVideoFFmpeg": ("video", "video"),
    "VHS_LoadAudioUpload": ("audio", "audio"),
}


@dataclass(frozen=True)
class FileInput:
    """A widget that names a file to upload: "image", "mask", "video", "audio" or "3d"; `held` is what it names now.
    Nothing needs one that feeds no output. Of one that is `masked` the transparency is used as a mask as well."""

    target: Target
    kind: str
    title: str
    held: str = ""
    needed: bool = field(default=True, compare=False)
    masked: bool = field(default=False, compare=False)

    @property
    def takes_mask(self) -> bool:
        """Whether a mask goes here: as a file of its own, or as the picture's transparency."""
        return self.kind == "mask" or self.masked


def file_inputs(graph: Graph, definitions: Definitions) -> tuple[FileInput, ...]:
    """The files that a graph reads, in its own order; those that nothing needs come last."""
    return _file_inputs(Wiring.of(graph, definitions))


def _file_inputs(wiring: Wiring) -> tuple[FileInput, ...]:
    needed = wiring.needed()
    found = []
    for node_id, node in wiring.nodes.items():
        for name, kind in _file_widgets(wiring, node_id).items():
            if isinstance(held := wiring.inputs(node_id).get(name, ""), str):
                own = _file_kind(wiring, node_id, kind)
                masked = own == "image" and _has_mask(wiring, node_id)
                found.append(FileInput(Target(node_id, name), own, plain_title(node), held, node_id in needed, masked))
    return tuple(sorted(found, key=lambda file: not file.needed))


def _has_mask(wiring: Wiring, node_id: str) -> bool:
    """Whether a picture's transparency, which LoadImage gives as its second output, is used as a mask."""
    return wiring.class_type(node_id) == "LoadImage" and any(edge.slot == 1 for edge in wiring.out_of[node_id])


def _file_widgets(wiring: Wiring, node_id: str) -> dict[str, str]:
    """The widgets of a node that name files, and of what kind each is."""
    known = wiring.definition(node_id)
    told = {name: spec.file for name, spec in known.inputs.items() if spec.file} if known else {}
    name, kind = FILE_WIDGETS.get(wiring.class_type(node_id), ("", ""))
    return {**told, name: kind} if name else told


def _file_kind(wiring: Wiring, node_id: str, kind: str) -> str:
    """The kind of a file; a picture of which only the mask is used is a mask."""
    pictured = any(edge.slot != 1 for edge in wiring.out_of[node_id])
    return "mask" if kind == "image" and _has_mask(wiring, node_id) and not pictured else kind


PLAIN_TYPES = ("", "STRING", "BOOLEAN", *VALUE_TYPES)  # of what a node works out and none can stand in for


def with_files_named(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The same graph where a server gave its input files other names: name that was sent -> name that it has there."""

    def named(value: Any) -> Any:
        return names.get(value, value) if isinstance(value, str) else value

    return {
        node_id: {**node, "inputs": {key: named(value) for key, value in node["inputs"].items()}}
        for node_id, node in graph.items()
    }


def without_files(graph: Graph, targets: Iterable[Target], definitions: Definitions) -> Graph | None:
    """The graph without the nodes that load these files, for which nothing was given, or None when it needs one of
    them. An optional input only loses its link; a node that cannot do without passes on what else of the kind it is
    given, or goes as well. So does what then leads to no output any more."""
    wiring, flow = Wiring.of(graph, definitions), Flow(graph, definitions)
    needed = wiring.needed()
    ends = [node_id for node_id in wiring.nodes if wiring.is_output(node_id)]
    kept = [node_id for node_id in ends if not keeps_nothing(wiring, node_id)] or ends
    gone = dict.fromkeys(target.node_id for target in targets if target.node_id in wiring.nodes)
    passed: dict[tuple[str, int], tuple[str, int]] = {}  # what stands in for the outputs of nodes that went
    changed: dict[str, dict[str, Any]] = {}
    for node_id in _in_order(wiring, wiring.behind(gone)):
        lost = [edge for edge in wiring.into[node_id] if edge.source in gone and edge.origin not in passed]
        if node_id not in gone and not _needs(wiring, node_id, lost):
            changed[node_id] = _relinked(wiring, node_id, lost, passed)
            continue
        if node_id in kept or (node_id in needed and (wiring.is_sampler(node_id) or flow.is_maker(node_id))):
            return None
        if node_id not in gone:
            gone[node_id] = None
            for edge in wiring.out_of[node_id]:
                if instead := _passed_on(wiring, edge, lost):
                    passed[edge.origin] = passed.get(instead.origin, instead.origin)
    left = {
        node_id: {**node, "inputs": changed[node_id]} if node_id in changed else node
        for node_id, node in graph.items()
        if node_id not in gone
    }
    after = Wiring.of(left, definitions)
    still = after.needed()
    useless = after.behind(node_id for node_id in needed if node_id in left and node_id not in still)
    return {node_id: node for node_id, node in left.items() if node_id not in useless} if still else None


def _in_order(wiring: Wiring, nodes: Iterable[str]) -> list[str]:
    """These nodes, each after those of them that feed it; of a circle, which the server refuses, any comes first."""
    wanted, order, opened = dict.fromkeys(nodes), dict[str, None](), set[str]()
    for start in wanted:
        waiting = [start]
        while waiting:
            node_id = waiting[-1]
            if node_id in opened:
                order.setdefault(waiting.pop())
                continue
            opened.add(node_id)
            sources = (edge.source for edge in wiring.into[node_id])
            waiting += [source for source in sources if source in wanted and source not in opened]
    return list(order)


def _grown(wiring: Wiring, edge: Edge) -> tuple[str, int] | None:
    """The autogrowing input that a link's input belongs to, with how many of its kind must be there."""
    known, (group, _, _) = wiring.definition(edge.node), edge.input.rpartition(".")
    spec = known.spec(group, wiring.inputs(edge.node)) if known and group else None
    return (group, spec.least) if spec and spec.type == AUTOGROW else None


def _needs(wiring: Wiring, node_id: str, lost: Sequence[Edge]) -> bool:
    """Whether a node cannot do without these links. One of an unknown class needs all, and an expression its values."""
    known = wiring.definition(node_id)
    for edge in lost:
        if known and (grown := _grown(wiring, edge)):
            others = [one for one in wiring.into[node_id] if one not in lost and _grown(wiring, one) == grown]
            if len(others) < grown[1] or edge.type in PLAIN_TYPES:
                return True
        elif known is None or ((spec := known.spec(edge.input, wiring.inputs(node_id))) and spec.required):
            return True
    return False


def _relinked(
    wiring: Wiring, node_id: str, lost: Sequence[Edge], passed: Mapping[tuple[str, int], tuple[str, int]]
) -> dict[str, Any]:
    """The inputs of a node without these links; of an autogrowing input the others move up, the first ones must be
    there."""
    inputs = {name: value for name, value in wiring.inputs(node_id).items() if name not in {at.input for at in lost}}
    inputs |= {edge.input: [*passed[edge.origin]] for edge in wiring.into[node_id] if edge.origin in passed}
    for grown in dict.fromkeys(_grown(wiring, edge) for edge in lost):
        names = [edge.input for edge in wiring.into[node_id] if grown and _grown(wiring, edge) == grown]
        values = [inputs.pop(name) for name in names if name in inputs]
        inputs |= dict(zip(names, values, strict=False))
    return inputs


def _passed_on(wiring: Wiring, edge: Edge, lost: Sequence[Edge]) -> Edge | None:
    """The link into a node that can take the place of one out of it, when the node has lost these: of the same type,
    and on the same side where the node has several outputs of it. A number or a text that is worked out of others is
    none of them, nor is one of two latents both: one may be film and the other sound."""
    known = wiring.definition(edge.source)
    if known is None or edge.type in PLAIN_TYPES or (edge.type == "LATENT" and "LATENT" in {at.type for at in lost}):
        return None
    order = list(known.inputs)
    alike = [one for one in wiring.into[edge.source] if one.type == edge.type]
    alike.sort(key=lambda one: order.index(one.input) if one.input in order else len(order))
    sides = [slot for slot, kind in enumerate(known.outputs) if kind == edge.type]
    if len(sides) > 1:
        place = sides.index(edge.slot) if edge.slot in sides else len(alike)
        alike = alike[place : place + 1]
    return next((one for one in alike if one not in lost), None)


# What output nodes make: by class first, then by the type of what they take or give.
OUTPUT_KINDS: Mapping[str, str] = {
    "SaveAnimatedPNG": "animation",
    "SaveAnimatedWEBP": "animation",
    "SaveWEBM": "video",
    "VHS_VideoCombine": "video",
    "SaveText": "text",
    "PreviewAny": "text",
    "ShowText|pysssss": "text",
    "SAM3_TrackPreview": "video",
    "Preview3D": "3d",
    "Preview3DAnimation": "3d",
    "SaveTrainingDataset": "other",
}


TYPE_KINDS = (
    (re.compile(r"VIDEO$"), "video"),
    (re.compile(r"FILE_3D|MESH|VOXEL|_TASK_ID|POINT_CLOUD|SPLAT"), "3d"),
    (re.compile(r"AUDIO$"), "audio"),
    (re.compile(r"IMAGE$|MASK$|SVG$"), "image"),
    (re.compile(r"STRING$"), "text"),
    (re.compile(r"LATENT$"), "latent"),
)


NAME_KINDS = (
    (re.compile(r"video|webm", re.IGNORECASE), "video"),
    (re.compile(r"anim|gif|webp", re.IGNORECASE), "animation"),
    (re.compile(r"3d|glb|mesh|splat|pointcloud", re.IGNORECASE), "3d"),
    (re.compile(r"audio", re.IGNORECASE), "audio"),
    (re.compile(r"image|mask|svg|picture", re.IGNORECASE), "image"),
    (re.compile(r"text|string|any", re.IGNORECASE), "text"),
    (re.compile(r"latent", re.IGNORECASE), "latent"),
)


MODEL_SAVERS = re.compile(r"^(Checkpoint|CLIP|VAE|Model|Lora|ImageOnlyCheckpoint)Save|^SaveLoRA", re.IGNORECASE)


def outputs(graph: Graph, definitions: Definitions) -> tuple[tuple[str, str], ...]:
    """What a graph makes: the titles of its output nodes, each with "image", "animation", "video", "audio", "3d",
    "text", "latent" or "other". What is only shown counts when nothing is saved."""
    return _outputs(Wiring.of(graph, definitions))


def _outputs(wiring: Wiring) -> tuple[tuple[str, str], ...]:
    found = [node_id for node_id in wiring.nodes if wiring.is_output(node_id)]
    saved = [node_id for node_id in found if not keeps_nothing(wiring, node_id)]
    return tuple((plain_title(wiring.nodes[node_id]), _made(wiring, node_id)) for node_id in saved or found)


def _made(wiring: Wiring, node_id: str) -> str:
    name, known = wiring.class_type(node_id), wiring.definition(node_id)
    if name in OUTPUT_KINDS or MODEL_SAVERS.search(name):
        return OUTPUT_KINDS.get(name, "other")
    # A node that makes something itself tells it by its outputs; one that only saves, by what it is given.
    own = [kind for kind in known.outputs if TYPE_KINDS[1][0].search(kind)] if known else []
    given = [edge.type for edge in wiring.into[node_id]]
    taken = [spec.type for spec in known.inputs.values()] if known and not any(given) else []
    told = (what for kinds in (own, given) for pattern, what in TYPE_KINDS for kind in kinds if pattern.search(kind))
    named = (what for pattern, what in NAME_KINDS if pattern.search(name))
    least = (what for pattern, what in TYPE_KINDS for kind in taken if kind != "STRING" and pattern.search(kind))
    return next(told, "") or next(named, "") or next(least, "other")


# Which of the server's folders a widget's file lies in, by the widget's name or, where that is not enough, by
# "Class.name"; a number at its end is left away.
MODEL_FOLDERS: Mapping[str, str] = {
    "audio_encoder_name": "audio_encoders",
    "bg_removal_name": "background_removal",
    "ckpt_name": "checkpoints",
    "clip_name": "text_encoders",
    "control_net_name": "controlnet",
    "gligen_name": "gligen",
    "hypernetwork_name": "hypernetworks",
    "instantid_file": "instantid",
    "ipadapter_file": "ipadapter",
    "lora": "loras",
    "lora_name": "loras",
    "photomaker_model_name": "photomaker",
    "pulid_file": "pulid",
    "style_model_name": "style_models",
    "text_encoder": "text_encoders",
    "unet_name": "diffusion_models",
    "vae_name": "vae",
    "ADE_LoadAnimateDiffModel.model_name": "animatediff_models",
    "CLIPVisionLoader.clip_name": "clip_vision",
    "DiffusersLoader.model_path": "diffusers",
    "FrameInterpolationModelLoader.model_name": "frame_interpolation",
    "LatentUpscaleModelLoader.model_name": "latent_upscale_models",
    "LoadDA3Model.model_name": "geometry_estimation",
    "LoadMediaPipeFaceLandmarker.model_name": "detection",
    "LoadMoGeModel.model_name": "geometry_estimation",
    "LoadWanVideoT5TextEncoder.model_name": "text_encoders",
    "ModelPatchLoader.name": "model_patches",
    "OpticalFlowLoader.model_name": "optical_flow",
    "SAMLoader.model_name": "sams",
    "UltralyticsDetectorProvider.model_name": "ultralytics",
    "UpscaleModelLoader.model_name": "upscale_models",
    "WanVideoModelLoader.model": "diffusion_models",
    "WanVideoVAELoader.model_name": "vae",
}


NO_MODEL_FILE = (*NOT_GIVEN, "pixel_space")  # what such a widget may hold without naming a file
MAX_NAME = 300  # a longer text is no file's name
EMBEDDING = re.compile(r"embedding:([^\s,():|<>\"]+)", re.IGNORECASE)


@dataclass(frozen=True)
class ModelFile:
    """A model file that a graph names, and the folder it belongs in ("" when nothing tells). `installed` is None when
    the server has not said what it has."""

    target: Target
    folder: str
    file: str
    installed: bool | None = None


def model_files(graph: Graph, definitions: Definitions) -> tuple[ModelFile, ...]:
    """Every model file that a graph names: in widgets for such files, and embeddings in its texts."""
    found: list[ModelFile] = []
    about: dict[tuple[str, str], bool] = {}  # whether a class's widget is for model files
    answers: dict[tuple[str, str, str], bool] = {}

    def installed(class_type: str, name: str, spec: InputSpec | None, file: str) -> bool | None:
        if spec is None or spec.type != "COMBO":
            return None
        key = (class_type, name, file)
        if key not in answers:
            answers[key] = find_name(file, spec.names) is not None
        return answers[key]

    for node_id, node in graph_nodes(graph).items():
        class_type, known = node["class_type"], definitions.get(node["class_type"])
        for name, value in node_inputs(node).items():
            target = Target(node_id, str(name))
            if isinstance(value, Mapping) and isinstance(value.get("lora"), str) and value.get("on") is not False:
                if value["lora"].lower() not in NO_MODEL_FILE:  # a stack of LoRAs, one a row
                    found.append(ModelFile(target, "loras", value["lora"]))
                continue
            if not isinstance(value, str):
                continue
            found += [ModelFile(target, "embeddings", file) for file in dict.fromkeys(EMBEDDING.findall(value))]
            if len(value) > MAX_NAME or "\n" in value or "://" in value or value.strip().lower() in NO_MODEL_FILE:
                continue
            spec = known.spec(target.input, node_inputs(node)) if known else None
            folder = model_folder(class_type, target.input)
            key = (class_type, target.input)
            if key not in about:
                about[key] = bool(folder) or (spec is not None and lists_models(spec))
            if about[key] or MODEL_FILE.search(value):
                found.append(ModelFile(target, folder, value, installed(*key, spec, value)))
    return tuple(found)


def model_folder(class_type: str, name: str) -> str:
    """The folder that a widget's file lies in, or ""."""
    plain = re.sub(r"_?[0-9]+$", "", name)
    usual = MODEL_FOLDERS.get(plain, "") if "load" in class_type.lower() else ""
    return MODEL_FOLDERS.get(f"{class_type}.{plain}", usual)


def lists_models(spec: InputSpec) -> bool:
    """Whether what a widget offers is mostly model files."""
    return 2 * sum(bool(MODEL_FILE.search(name)) for name in spec.names) > len(spec.choices)


def missing_nodes(graph: Graph, definitions: Definitions) -> tuple[str, ...]:
    """The classes that a graph uses and the server does not have."""
    nodes = graph_nodes(graph).values()
    return tuple(sorted({node["class_type"] for node in nodes if node["class_type"] not in definitions}))


EDITING = re.compile(r"edit|kontext(?!ImageScale)|reference|omnigen|ipadapter", re.IGNORECASE)
CONTROLLING = re.compile(r"controlnet|canny|depth|lotus|pose|lllite", re.IGNORECASE)  # follows its outlines only
UPSCALERS = re.compile(r"seedvr|UltimateSDUpscale|SUPIR", re.IGNORECASE)  # that work with a sampler
UPSCALING = re.compile(r"upscale|enhance|ImageScaleBy|ImageFix|seedvr", re.IGNORECASE)  # where there is no sampler
SHOWN_TO_MODEL = ("IMAGE", "MASK", "LATENT", "CLIP_VISION_OUTPUT", "")  # what a picture becomes on its way


def guess_task(graph: Graph, definitions: Definitions) -> str:
    """What a graph is for: "text_to_image", "image_to_image", "image_edit", "inpaint", "upscale", "text_to_video",
    "image_to_video", "video_to_video", "text_to_audio", "image_to_3d", "text" or "other"."""
    wiring = Wiring.of(graph, definitions)
    made = {kind for _, kind in _outputs(wiring)}
    needed = wiring.needed()
    files = [file for file in _file_inputs(wiring) if file.needed]
    given = {file.kind for file in files}
    if made & {"video", "animation"}:
        return "video_to_video" if "video" in given else "image_to_video" if "image" in given else "text_to_video"
    if "3d" in made:
        return "image_to_3d" if "image" in given else "other"
    if "audio" in made:
        return "other" if given else "text_to_audio"
    if "image" in made:
        return _picture_task(wiring, needed, files)
    return "text" if "text" in made else "other"


def _picture_task(wiring: Wiring, needed: Mapping[str, None], files: Sequence[FileInput]) -> str:
    """What a graph that makes pictures is for."""
    sampled = any(wiring.is_sampler(node_id) for node_id in needed)
    asked = any(name.rsplit(".", 1)[-1] == "prompt" for node_id in needed for name in map(str, wiring.inputs(node_id)))
    if not files:
        return "text_to_image" if sampled or asked else "other"
    if not {file.kind for file in files} <= {"image", "mask"}:
        return "other"
    used = [node_id for node_id in wiring.behind(file.target.node_id for file in files) if node_id in needed]
    names = [wiring.class_type(node_id) for node_id in used]
    if any(map(UPSCALERS.search, names)) or (not sampled and any(map(UPSCALING.search, names))):
        return "upscale"
    if not sampled and not asked:
        return "other"
    if masked(wiring, files, needed):
        return "inpaint"
    edits = not sampled or any(map(EDITING.search, names))
    return "image_edit" if edits or _conditions(wiring, files, names) else "image_to_image"


def _conditions(wiring: Wiring, files: Sequence[FileInput], names: Sequence[str]) -> bool:
    """Whether a picture goes to the model as a whole, beside the text: neither as its outlines nor as the start."""
    if any(map(CONTROLLING.search, names)):
        return False
    shown = wiring.behind((file.target.node_id for file in files), SHOWN_TO_MODEL)
    return any(edge.type == "CONDITIONING" for node_id in shown for edge in wiring.out_of[node_id])


def masked(wiring: Wiring, files: Sequence[FileInput], needed: Mapping[str, None]) -> bool:
    """Whether a mask that somebody draws or uploads is used."""
    drawn = {file.target.node_id for file in files}
    return any(edge.type == "MASK" and edge.node in needed for node_id in drawn for edge in wiring.out_of[node_id])


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/mermaid.py
#
# graph/mermaid.
# ----------------------------------------------------------------------------------------------------------------------


MAX_DRAWN = 60
MAX_DRAWING = 6000  # characters
MAX_LABEL = 40
MAX_TOLD_LINKS = 45  # with more of them, what each carries only hides the rest
MAX_WIDE = 7  # steps from left to right; a longer way goes from top to bottom


# Fill, border and text go together, so that a node can be read on a light and on a dark page.
DRAWN_STYLES: Mapping[str, str] = {
    "loader": "fill:#dbeafe,stroke:#2563eb,color:#111827",
    "sampler": "fill:#fef3c7,stroke:#d97706,color:#111827",
    "output": "fill:#dcfce7,stroke:#16a34a,color:#111827",
}


def mermaid(graph: Graph, definitions: Definitions) -> str:
    """The graph as a Mermaid flowchart: its most telling nodes, no more than are readable (`MAX_DRAWN`)."""
    wiring = Wiring.of(graph, definitions)
    ranked = _ranked(wiring)
    text = ""
    for count in (MAX_DRAWN, 45, 30, 20, 12, 6):
        for told in (True, False):
            text = _drawing(wiring, ranked, count, told)
            if len(text) <= MAX_DRAWING:
                return text
    return text


def _ranked(wiring: Wiring) -> list[str]:
    """The nodes, most telling first: ends and samplers, what lies between them, then numbers and what is unused."""
    needed = wiring.needed()

    def rank(node_id: str) -> int:
        if node_id not in needed:
            return 3
        if _role(wiring, node_id):
            return 0
        kinds = {edge.type for edge in wiring.out_of[node_id]}
        return 1 if kinds - {"", "INT", "FLOAT", "STRING", "BOOLEAN"} else 2

    return sorted(wiring.nodes, key=rank)


def _role(wiring: Wiring, node_id: str) -> str:
    """The part a node has in its graph, when it is one that is marked."""
    if wiring.is_output(node_id):
        return "output"
    if wiring.is_sampler(node_id) or wiring.takes(node_id, "GUIDER"):
        return "sampler"
    name = wiring.class_type(node_id).lower()
    return "loader" if "load" in name and not wiring.takes(node_id, "MODEL") else ""


def _drawing(wiring: Wiring, ranked: Sequence[str], count: int, told: bool) -> str:
    chosen = set(ranked[:count])
    if len(ranked) > count:  # the node that stands for the rest counts as well
        chosen.discard(ranked[count - 1])
    names = {node_id: f"n{place}" for place, node_id in enumerate((key for key in wiring.nodes if key in chosen), 1)}
    links: dict[tuple[str, str], dict[str, None]] = {}
    for node_id in names:
        for edge in wiring.into[node_id]:
            if edge.source in names:
                links.setdefault((edge.source, node_id), {})[edge.type] = None
    told = told and len(links) <= MAX_TOLD_LINKS
    lines = ["flowchart " + ("TD" if _steps(links) > MAX_WIDE else "LR")]
    for node_id, name in names.items():
        lines.append(f'    {name}["{drawn_label(wiring, node_id)}"]')
    if len(ranked) > len(names):
        lines.append(f'    rest["… and {len(ranked) - len(names)} more"]')
    for (source, target), kinds in links.items():
        what = ", ".join(kind for kind in kinds if kind) if told else ""
        arrow = f'-->|"{drawn_text(what)}"|' if what else "-->"
        lines.append(f"    {names[source]} {arrow} {names[target]}")
    roles = {node_id: _role(wiring, node_id) for node_id in names}
    for role, style in DRAWN_STYLES.items():
        marked = [names[node_id] for node_id in names if roles[node_id] == role]
        if marked:
            lines += [f"    classDef {role} {style}", f"    class {','.join(marked)} {role}"]
    return "\n".join(lines)


def _steps(links: Iterable[tuple[str, str]]) -> int:
    """How many nodes the longest way through has; one that runs in a circle ends there."""
    onward: dict[str, list[str]] = {}
    missing: dict[str, int] = {}
    for source, target in links:
        onward.setdefault(source, []).append(target)
        missing[target] = missing.get(target, 0) + 1
    length = {source: 1 for source in onward if source not in missing}
    waiting = list(length)
    while waiting:
        source = waiting.pop()
        for target in onward.get(source, ()):
            length[target] = max(length.get(target, 0), length[source] + 1)
            missing[target] -= 1
            if not missing[target]:
                waiting.append(target)
    return max(length.values(), default=0)


def drawn_label(wiring: Wiring, node_id: str) -> str:
    """A node's title and, on a second line, its class when that says something else."""
    title, name = plain_title(wiring.nodes[node_id]), wiring.class_type(node_id)
    return drawn_text(title) + ("" if title == name else "<br/>" + drawn_text(name))


# What Mermaid takes for markup even where it is written by numbers: its own sign for a numbered character, icons,
# formulas, line breaks. A space of no width keeps the parts of them apart.
APART = (("ﬂ", "fl"), (":fa-", ":\u200bfa-"), ("$$", "$\u200b$"), ("\\n", "\\\u200bn"))


def drawn_text(text: str) -> str:
    """A text inside a drawing's quotes, where it is nothing but text: neither Mermaid, Markdown, HTML nor an icon."""
    shown = "".join(char for char in text if char.isspace() or unicodedata.category(char)[0] != "C")
    line = shortened(shown, MAX_LABEL) or "?"
    for markup, plain in APART:
        line = line.replace(markup, plain)
    # "#34;" is how Mermaid writes a character by its number.
    safe = "".join(char if _harmless(line, place) else f"#{ord(char)};" for place, char in enumerate(line))
    return safe.replace("direction", "#100;irection")  # with "LR" behind it, it is a command even inside quotes


def _harmless(line: str, place: int) -> bool:
    char = line[place]
    if char in "-_":  # inside a word they mean nothing
        return 0 < place < len(line) - 1 and line[place - 1].isalnum() and line[place + 1].isalnum()
    return char.isalnum() or char in " ,()/" or ord(char) > 160


# ======================================================================================================================
# src/comfyui_chat/media/__init__.py
#
# media.
# ======================================================================================================================


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/media/kinds.py
#
# media/kinds.
# ----------------------------------------------------------------------------------------------------------------------


MAX_INPUT_BYTES = 256 * 2**20
MAX_INPUT_FILES = 16  # of one call


#
# Pictures that come in, masks, and the files that go out, all as bytes. They come from anybody, and Pillow's readers
# raise whatever they stumble over, so every exception of theirs is caught and becomes an error or a note.

MAX_INPUT_MEGAPIXELS = 50.0
MAX_INPUT_SIDE = 16_384


# Not read: what Pillow only recognizes, what starts another program, draws vectors, opens other formats inside or
# unpacks without a bound (FITS).
NOT_READ = {"BUFR", "EPS", "FITS", "FPX", "GRIB", "HDF5", "IPTC", "MIC", "MPEG", "QOI", "WMF"}
ENDINGS = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg", "WEBP": "webp"}  # what every ComfyUI reads
PLAIN_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
TURNED = range(2, 9)  # values of EXIF's orientation; 1 is upright
ORIENTATION = 0x0112
PAGED = ("GIF", "PNG", "WEBP", "AVIF", "TIFF", "FLI")  # formats whose further pictures are as good as the first
FAINT = 8  # of 255: no more than a trace of white in a mask
ONE_COLOUR = 16.0  # of 255: how much each channel of a stroke's colour may spread
GREY = 12.0  # of 255: how far apart the channels of something grey may be on average
PICTURE_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}


PICTURE_TYPES |= {"AVIF": "image/avif", "TIFF": "image/tiff", "BMP": "image/bmp", "MPO": "image/jpeg"}


# What the operating system's own table of endings may lack.
OTHER_TYPES = {"mp4": "video/mp4", "webm": "video/webm", "mp3": "audio/mpeg", "flac": "audio/flac", "opus": "audio/ogg"}


OTHER_TYPES |= {"ogg": "audio/ogg", "wav": "audio/wav", "m4a": "audio/mp4", "mov": "video/quicktime"}


OTHER_TYPES |= {"mkv": "video/x-matroska", "glb": "model/gltf-binary", "gltf": "model/gltf+json", "obj": "model/obj"}


OTHER_TYPES |= {"stl": "model/stl", "ply": "model/ply", "svg": "image/svg+xml", "json": "application/json"}


OTHER_TYPES |= {"txt": "text/plain", "md": "text/markdown", "latent": "application/octet-stream"}


# How the files of a kind begin.
BEGINNINGS = tuple(
    (re.compile(start, re.DOTALL), kind)
    for start, kind in (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF.{4}WEBP", "image/webp"),
        (rb"RIFF.{4}WAVE", "audio/wav"),
        (rb"RIFF.{4}AVI ", "video/x-msvideo"),
        (rb".{4}ftypavi[fs]", "image/avif"),
        (rb".{4}ftyp(?:hei[cmsx]|hev[cx]|mif1|msf1)", "image/heic"),
        (rb".{4}ftypM4[AB] ", "audio/mp4"),
        (rb".{4}ftypqt  ", "video/quicktime"),
        (rb".{4}ftyp", "video/mp4"),
        (rb"\x1aE\xdf\xa3.{0,60}webm", "video/webm"),
        (rb"\x1aE\xdf\xa3", "video/x-matroska"),
        (rb"fLaC", "audio/flac"),
        (rb"OggS.{24,28}\x80theora", "video/ogg"),
        (rb"OggS", "audio/ogg"),
        (rb"glTF", "model/gltf-binary"),
        (rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][^\xf0-\xff]", "audio/mpeg"),
    )
)


def content_type_of(data: bytes, name: str) -> tuple[str, Size | None, bool]:
    """What a file is: its content type, the size in pixels of a picture, and whether it moves (or has pages).
    Told by its own bytes, of which only the head is decoded, else by the name's ending. Blocks: call it in a thread."""
    with contextlib.suppress(Exception), open_picture(data, PICTURE_TYPES) as image:
        return PICTURE_TYPES[str(image.format)], Size(*image.size), _is_paged(image)
    ending = name.rpartition(".")[2].lower()
    start = data[behind_id3(data) :][:80]
    kind = next((kind for begins, kind in BEGINNINGS if begins.match(start)), "")
    if kind == "video/mp4" and ending == "m4a":  # most programs give both the same brand
        kind = "audio/mp4"
    if not kind and data.startswith(b"ID3"):
        kind = "audio/mpeg"
    if not kind and is_drawing(data):
        kind = "image/svg+xml"
    kind = kind or OTHER_TYPES.get(ending) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return kind, None, kind.startswith("video/")


def is_drawing(data: bytes) -> bool:
    """Whether a file is an SVG."""
    head = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return head.startswith(b"<") and not head.startswith((b"<html", b"<!doctype html")) and b"<svg" in head


def open_picture(data: bytes, formats: Iterable[str] = ()) -> Image.Image:
    """A picture whose head is decoded. Raises anything."""
    Image.init()
    names = [kind for kind in Image.OPEN if kind not in NOT_READ and (not formats or kind in formats)]
    return Image.open(io.BytesIO(data), formats=names)


def _is_paged(image: Image.Image) -> bool:
    with contextlib.suppress(Exception):
        return image.format in PAGED and bool(getattr(image, "is_animated", False))
    return False


def behind_id3(data: bytes) -> int:
    """Where a file goes on behind ID3 tags at its start."""
    at = 0
    for _ in range(8):  # there is rarely a second one
        if data[at : at + 3] != b"ID3" or len(data) < at + 10:
            break
        length = functools.reduce(lambda total, byte: total << 7 | byte & 0x7F, data[at + 6 : at + 10], 0)
        at += 10 + length + (10 if data[at + 5] & 0x10 else 0)
    return at


USUAL_ENDINGS = {"jpeg": "jpg", "plain": "txt", "svg+xml": "svg"}  # where a type is not called as its files end


@dataclass(frozen=True)
class Product:
    """A finished file, nearly always a picture."""

    data: bytes = field(repr=False)
    content_type: str
    size: Size | None  # of a picture
    source: str  # its name on the ComfyUI server, or "" when it came over the websocket, or is a text
    prompt_id: str = ""  # of the run that made it,
    of: int = 0  # and how many files that made

    @property
    def ending(self) -> str:
        """What a name of such a file ends in: "png"."""
        kind = self.content_type.rpartition("/")[2]
        ending = self.source.rpartition(".")[2].lower() if self.size is None and "." in self.source else kind
        ending = USUAL_ENDINGS.get(ending, ending)
        return ending if re.fullmatch(r"[a-z0-9]{1,8}", ending) else "bin"


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/media/pictures.py
#
# media/pictures.
# ----------------------------------------------------------------------------------------------------------------------


PICTURE_KEYS = ("prompt", "workflow")  # what ran comes before what was drawn: it needs no conversion


def read_picture_workflow(data: bytes, name: str) -> Graph:
    """The workflow that ComfyUI put into a picture that it made: PNG text, or the EXIF data of other formats. Raises
    `WorkflowRefused` when there is none. Blocks: call it in a thread."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "WEBP", "JPEG"]) as image:
            held = {key: value for key, value in image.info.items() if key in PICTURE_KEYS and isinstance(value, str)}
            for value in image.getexif().values():
                key, _, text = value.partition(":") if isinstance(value, str) else ("", "", "")
                held.setdefault(key.strip().lower(), text.strip("\0 "))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise WorkflowRefused(f'"{name}" is no picture that can be read.', EXPECTED) from None
    for key in PICTURE_KEYS:
        with contextlib.suppress(WorkflowRefused):
            return unwrap(read_json(held.get(key, "")))
    raise WorkflowRefused(
        f'The picture "{name}" holds no workflow of ComfyUI.',
        "Pictures lose it when they are edited, compressed or sent by a messenger: attach the file that ComfyUI saved.",
    )


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation, 0 when its EXIF data cannot be read. What holds its EXIF data at the end is loaded."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:
        return 0
    return found if found in TURNED else 1


def turn_upright(image: Image.Image) -> None:
    """Turn a picture, in place, as its EXIF data asks for."""
    if orientation_of(image) in TURNED:
        ImageOps.exif_transpose(image, in_place=True)


def _is_see_through(image: Image.Image) -> bool:
    if not image.has_transparency_data or image.mode[0] in "IF":
        return False
    alpha = image if "A" in image.getbands() else image.convert("RGBA")
    return alpha.getchannel("A").getextrema()[0] != 255


def plain_picture(image: Image.Image) -> Image.Image:
    """A decoded picture as RGB with 8 bits a channel, or as RGBA when something in it is see-through."""
    mode = "RGBA" if _is_see_through(image) else "RGB"
    if mode == "RGB":
        image.info.pop("transparency", None)  # Pillow would warn of it
    if image.mode[0] in "IF":
        image = _eight_bits(image)
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey picture of 16 or 32 bits or of fractions as one of 8. 16 bits lose the lower half, which ComfyUI would
    clip to white; white in others is the brightest pixel, in fractions at least 1, and 255 when it is above 1."""
    if image.mode == "F":
        top = _brightest(image)
        top = max(top, 255.0) if top > 1 else 1.0
    else:
        image = image.convert("I")
        top = _brightest(image)
        if top <= 0xFFFF:
            return image.point([value >> 8 for value in range(0x10000)], "L")
    return image.point(lambda value: value * (255 / top) + 0).convert("L")


def _brightest(image: Image.Image) -> float:
    """The highest value in a picture of one channel."""
    return float(image.getextrema()[1])  # type: ignore[arg-type]


def rgb_profile(image: Image.Image) -> bytes | None:
    """A picture's colour profile, if it is one for RGB."""
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and profile[16:20] == b"RGB " else None


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file of Pillow's format `kind`, with the options that Pillow takes for it."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@dataclass(frozen=True)
class InputFile:
    """A file for a workflow to work on, as ComfyUI reads it."""

    data: bytes = field(repr=False)
    ending: str  # of its name: "png"
    size: Size | None = None  # of a picture, upright
    transparent: bool = False  # whether any part of it is see-through
    notes: tuple[str, ...] = ()
    kind: str = "image"  # or "video" or "audio"

    @functools.cached_property
    def stored_name(self) -> str:
        """Its name in the server's input folder, made from its content: the same file is kept once, and nodes that
        read it are not run again."""
        return f"open-webui-{hashlib.sha256(self.data).hexdigest()[:24]}.{self.ending}"


@contextlib.contextmanager
def _reading(data: bytes, name: str) -> Iterator[Image.Image]:
    """A picture within the bounds, not yet decoded. Raises `BadArgument` and `LimitExceeded` for whatever goes wrong
    with it inside."""
    try:
        with open_picture(data) as image:
            _check_bounds(image, name)
            yield image
    except ComfyUIError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name, "far too many pixels") from None
    except Exception:
        raise _unreadable(data, name) from None


def _check_bounds(image: Image.Image, name: str) -> None:
    size = Size(*image.size)
    if size.megapixels > MAX_INPUT_MEGAPIXELS or max(image.size) > MAX_INPUT_SIDE:
        raise _too_large(name, f"{size} pixels")


def _too_large(name: str, found: str) -> LimitExceeded:
    return LimitExceeded(
        f'The picture "{shortened(name)}" has {found}.',
        f"Give one of at most {MAX_INPUT_MEGAPIXELS:g} megapixels and {MAX_INPUT_SIDE} pixels a side.",
    )


def _unreadable(data: bytes, name: str) -> BadArgument:
    if is_drawing(data):
        return BadArgument(f'"{shortened(name)}" is a drawing (SVG), no picture of pixels.', "Export it as PNG first.")
    if content_type_of(data, "")[0] in {kind for name, kind in PICTURE_TYPES.items() if name in Image.OPEN}:
        return BadArgument(f'The picture "{shortened(name)}" ends too early or is damaged.', "Save or send it anew.")
    return BadArgument(
        f'"{shortened(name)}" is no picture that can be read.', "Pictures may be PNG, JPEG, WebP, GIF, TIFF or AVIF."
    )


def read_still(data: bytes, name: str) -> InputFile:
    """A picture of any common format, decoded once as a proof, for ComfyUI: its own bytes where every ComfyUI reads
    them rightly, else encoded anew. Raises `BadArgument`, and `LimitExceeded` beyond the bounds. Blocks."""
    with _reading(data, name) as image:
        ending = ENDINGS.get(str(image.format), "")
        if ending == "jpg" and image.mode in PLAIN_MODES and orientation_of(image) == 1:
            size = Size(*image.size)
            image.draft(image.mode, (1, 1))  # decodes at an eighth of the size, and reads all of the file all the same
            image.load()
            return InputFile(data, ending, size, False)
        count = int(getattr(image, "n_frames", 1)) if _is_paged(image) else 1
        image.load()
        _check_bounds(image, name)  # some formats tell their size only now
        transparent = _is_see_through(image)
        hidden = transparent and image.mode in ("1", "L", "RGB")  # a colour that stands for nothing: ComfyUI shows it
        if ending and image.mode in PLAIN_MODES and orientation_of(image) == count == 1 and not hidden:
            return InputFile(data, ending, Size(*image.size), transparent)
        notes = (f"only the first of {count} pictures in it is used",) if count > 1 else ()
        turn_upright(image)
        # Turned, or with EXIF data that ComfyUI would fail at.
        if ending == "jpg" and image.mode in ("L", "RGB"):
            profile = image.info.get("icc_profile")
            encoded = encode(image, "JPEG", quality=95, subsampling="4:4:4", icc_profile=profile)
            return InputFile(encoded, ending, Size(*image.size), False, notes)
        profile = rgb_profile(image)
        plain = plain_picture(image)
        encoded = encode(plain, "PNG", compress_level=1, icc_profile=profile)
        return InputFile(encoded, "png", Size(*plain.size), transparent, notes)


def read_mask(data: bytes, name: str) -> Image.Image:
    """A mask (mode L, white is what is painted anew) from a picture that somebody drew: what is bright in it, drawn on
    nothing, or, in a picture with holes, the holes. Raises as `read_still` does, and `BadArgument` when nothing is
    white. Blocks."""
    with _reading(data, name) as image:
        image.load()
        _check_bounds(image, name)
        turn_upright(image)
        mask = _mask_in(plain_picture(image))
    if _brightest(mask) < FAINT:
        raise BadArgument(
            f'In "{shortened(name)}" the mask has no white part, so nothing would be painted anew.',
            "Give a mask that is white where the picture is to change.",
        )
    return mask


def _mask_in(picture: Image.Image) -> Image.Image:
    colours = picture.convert("RGB")
    red, green, blue = colours.split()
    brightest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    if picture.mode == "RGB":
        return brightest
    alpha = picture.getchannel("A")
    half = _brightest(alpha) / 2
    drawn = alpha.point([255 * (value >= half) for value in range(256)])  # without the soft edges
    if max(ImageStat.Stat(colours, drawn).stddev) < ONE_COLOUR:
        return alpha
    darkest = ImageChops.darker(ImageChops.darker(red, green), blue)
    if ImageStat.Stat(ImageChops.subtract(brightest, darkest), drawn).mean[0] < GREY:
        return ImageChops.multiply(brightest, alpha)
    return ImageChops.invert(alpha)


def mask_of(still: InputFile) -> Image.Image | None:
    """What is see-through in a picture as a mask (mode L), or None when nothing is. Blocks."""
    if not still.transparent:
        return None
    with _reading(still.data, "picture") as image:
        return ImageChops.invert(image.convert("RGBA").getchannel("A"))


def with_mask(still: InputFile, mask: Image.Image) -> InputFile:
    """A picture whose see-through part is the mask's white part, as ComfyUI's LoadImage takes it; its colours stay
    there too. Blocks."""
    mask, notes = _scaled(mask, still.size or Size(*mask.size))
    with _reading(still.data, "picture") as image:
        image.load()
        image.info.pop("transparency", None)
        picture, profile = image.convert("RGB"), rgb_profile(image)
    picture.putalpha(ImageChops.invert(mask))
    encoded = encode(picture, "PNG", compress_level=1, icc_profile=profile)
    return InputFile(encoded, "png", still.size, _brightest(mask) > 0, still.notes + notes)


def mask_file(mask: Image.Image, size: Size) -> InputFile:
    """A mask as a file of its own that all loaders of ComfyUI understand alike: those that read a colour, and those
    that read what is see-through. Blocks."""
    mask, notes = _scaled(mask, size)
    picture = Image.merge("RGBA", (mask, mask, mask, ImageChops.invert(mask)))
    return InputFile(encode(picture, "PNG", compress_level=1), "png", size, _brightest(mask) > 0, notes)


def _scaled(mask: Image.Image, size: Size) -> tuple[Image.Image, tuple[str, ...]]:
    mask, own = mask.convert("L"), Size(*mask.size)
    if own == size:
        return mask, ()
    # Bilinear, for it adds no rings around hard edges.
    scaled = mask.resize((size.width, size.height), Image.Resampling.BILINEAR)
    return scaled, (f"the mask of {own} was scaled to {size}",)


def small_jpeg(data: bytes, steps: Sequence[tuple[int, int]], most: int, pixels: float) -> str | None:
    """A picture as a JPEG data URI: the first of `steps` (longer side, quality) with at most `most` bytes of JPEG, else
    the last; None for what is no picture or has more than so many `pixels`. Blocks."""
    try:
        with open_picture(data) as image:
            if image.width * image.height > pixels:
                return None
            image.draft("RGB", (steps[0][0], steps[0][0]))
            image.load()
            turn_upright(image)
            small = plain_picture(image)
        encoded = b""
        for side, quality in steps:
            small.thumbnail((side, side))
            encoded = encode(over_white(small), "JPEG", quality=quality)
            if len(encoded) <= most:
                break
    except Exception:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"


def glance(data: bytes, side: int = 768, most: int = 100_000) -> str | None:
    """A picture as a JPEG data URI for a model to look at, its longer side at most `side` pixels and of about `most`
    bytes; None for what is no picture or too large to decode. Blocks."""
    steps = (side, 80), (side, 60), (side * 2 // 3, 60), (side // 2, 50), (side // 3, 40)
    return small_jpeg(data, steps, most, MAX_INPUT_MEGAPIXELS * 2e6)


def over_white(image: Image.Image) -> Image.Image:
    """A picture without transparency: what was see-through shows white."""
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def read_input(data: bytes, name: str) -> InputFile:
    """A file as a workflow's input. Raises `BadArgument` for a kind that none takes, and as `read_still` does. Blocks:
    call it in a thread."""
    content_type = content_type_of(data, name)[0]
    kind = content_type.partition("/")[0]
    if kind in ("video", "audio") and data:
        return InputFile(data, Product(data, content_type, None, name).ending, kind=kind)
    return read_still(data, name)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/media/metadata.py
#
# media/metadata.
# ----------------------------------------------------------------------------------------------------------------------


# Taking texts out of files without decoding them. Wherever something refers to places in the file, what was there is
# overwritten in its length. All raise ValueError or LookupError for a file that is not as it should be.


def without_metadata(data: bytes, content_type: str) -> bytes:
    """A file without the texts that tell how it was made; all else stays, bit by bit. Raises `ValueError`,
    `LookupError` or `RecursionError` when it cannot be told where they are."""
    own = content_type_of(data, "")[0]
    kind = own if own in BARE else content_type
    if kind in BARE:
        return BARE[kind](data)
    if SAFETENSORS.match(data):
        return _bare_safetensors(data)
    if kind.partition("/")[0] in ("image", "video", "audio") and kind != "image/bmp":  # which has no place for texts
        raise ValueError(kind)
    return data


def _number(data: bytes | bytearray, at: int, length: int, order: Literal["big", "little"] = "big") -> int:
    if at < 0 or at + length > len(data):
        raise ValueError("the file ends too early")
    return int.from_bytes(data[at : at + length], order)


def _only_orientation(exif: bytes) -> bytes:
    """EXIF data (as in TIFF) that tell nothing but how a picture is turned; empty when it is upright."""
    held, only = Image.Exif(), Image.Exif()
    try:
        held.load(exif)
        turned = held.get(ORIENTATION)
    except Exception:
        return b""
    if turned not in TURNED:
        return b""
    only[ORIENTATION] = turned
    return only.tobytes().removeprefix(b"Exif\0\0")


def _bare_png(data: bytes) -> bytes:
    parts, at = [data[:8]], 8
    while at < len(data):
        end = at + 12 + _number(data, at, 4)
        if end > len(data):
            raise ValueError("the file ends too early")
        chunk, kind = data[at:end], data[at + 4 : at + 8]
        if kind == b"eXIf":
            exif = _only_orientation(chunk[8:-4])
            chunk = len(exif).to_bytes(4) + kind + exif + zlib.crc32(kind + exif).to_bytes(4) if exif else b""
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"comf"):  # the last is ComfyUI's own, in animations
            parts.append(chunk)
        at = end
        if kind == b"IEND":
            parts.append(data[at:])
            break
    return b"".join(parts)


JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # in the compressed data any other 0xFF is followed by these
JPEG_KEPT = (0xE0, 0xE2, 0xEE)  # JFIF, colour profile, Adobe's colour transform


def _bare_jpeg(data: bytes) -> bytes:
    parts, at = [data[:2]], 2
    while data[at] == 0xFF:
        code = data[at + 1]
        if code == 0xFF:  # filling
            at += 1
            continue
        if code == 0xD9:
            return b"".join([*parts, data[at:]])
        length = _number(data, at + 2, 2)
        end = at + 2 + length
        if length < 2 or end > len(data):
            break
        segment = data[at:end]
        if code == 0xDA:
            following = JPEG_MARKER.search(data, end)
            end = following.start() if following else len(data)
            parts.append(data[at:end])
            if not following:
                return b"".join(parts)
        elif code == 0xE1 and segment[4:10] == b"Exif\0\0":
            if exif := _only_orientation(segment[10:]):
                parts.append(b"\xff\xe1" + (len(exif) + 8).to_bytes(2) + b"Exif\0\0" + exif)
        elif code != 0xFE and (code in JPEG_KEPT or not 0xE0 <= code <= 0xEF):
            parts.append(segment)
        at = end
    raise ValueError("no JPEG marker")


def _riff(data: bytes, bare: Callable[[bytes], bytes]) -> bytes:
    """A RIFF file with each of its chunks (head and filling with it, the last may be cut) replaced."""
    own, at, chunks = _number(data, 4, 4, "little"), 12, list[bytes]()
    told = own not in (0, 0xFFFFFFFF)  # by a program that writes to a pipe the length is never filled in
    stop = min(8 + own, len(data)) if told else len(data)
    while at < stop:
        length = _number(data, at + 4, 4, "little") if at + 8 <= stop else 0
        end = at + 8 + length + length % 2
        chunks.append(bare(data[at : min(end, stop)]))
        at = end
    body = b"".join(chunks)
    length = 4 + len(body) if told else own
    return data[:4] + length.to_bytes(4, "little") + data[8:12] + body + data[stop:]


def _bare_webp(data: bytes) -> bytes:
    gone = 0x04  # flags in the file's head: it has XMP, it has EXIF

    def bare(chunk: bytes) -> bytes:
        nonlocal gone
        if chunk[:4] == b"EXIF":
            exif = _only_orientation(chunk[8:])
            gone |= 0 if exif else 0x08
            return chunk[:4] + len(exif).to_bytes(4, "little") + exif + bytes(len(exif) % 2) if exif else b""
        return b"" if chunk[:4] == b"XMP " else chunk

    file = bytearray(_riff(data, bare))
    if file[12:16] == b"VP8X":
        file[20] &= ~gone
    return bytes(file)


def _bare_wav(data: bytes) -> bytes:
    def tells(chunk: bytes) -> bool:
        return chunk[:4].lower() in (b"id3 ", b"_pmx", b"ixml") or (chunk[:4] == b"LIST" and chunk[8:12] == b"INFO")

    return _riff(data, lambda chunk: b"" if tells(chunk) else chunk)


def _bare_gif(data: bytes) -> bytes:
    def behind_table(at: int) -> int:  # of colours, if the byte of flags at `at` says that there is one
        return (3 << (data[at] & 7) + 1) if data[at] & 0x80 else 0

    def behind_blocks(at: int) -> int:
        while data[at]:
            at += data[at] + 1
        return at + 1

    at = 13 + behind_table(10)
    parts = [data[:at]]
    while data[at] != 0x3B:
        kind, start = data[at : at + 2], at
        if kind[0] == 0x2C:
            at = behind_blocks(at + 11 + behind_table(at + 9))
        elif kind[0] == 0x21:
            at = behind_blocks(at + 2)
        else:
            raise ValueError("no block of a GIF")
        xmp = kind == b"\x21\xff" and data[start + 3 : start + 14] == b"XMP DataXMP"
        if kind != b"\x21\xfe" and not xmp:  # a comment
            parts.append(data[start:at])
    return b"".join([*parts, data[at:]])


def _bare_mp4(data: bytes) -> bytes:
    file = bytearray(data)
    _free_boxes(file, 0, len(file))
    return bytes(file)


def _free_boxes(file: bytearray, at: int, end: int) -> None:
    while at < end:
        length, kind, head = _number(file, at, 4), bytes(file[at + 4 : at + 8]), 8
        if length == 1:
            length, head = _number(file, at + 8, 8), 16
        stop = at + length if length else end
        if stop > end or stop < at + head:
            raise ValueError("a box ends where it cannot")
        if kind in (b"udta", b"meta", b"uuid"):
            file[at + 4 : at + 8] = b"free"
            file[at + head : stop] = bytes(stop - at - head)
        elif kind in (b"moov", b"trak"):
            _free_boxes(file, at + head, stop)
        at = stop


MATROSKA_ENTERED = (b"\x18\x53\x80\x67", b"\x15\x49\xa9\x66")  # Segment, Info
MATROSKA_CLUSTER = b"\x1f\x43\xb6\x75"
MATROSKA_TEXTS = (b"\x12\x54\xc3\x67", b"\x7b\xa9", b"\xbf")  # Tags, Title, and the check sum over it


def _bare_matroska(data: bytes) -> bytes:
    file, at = bytearray(data), 0
    while at < len(file):
        sizes = at + 9 - file[at].bit_length()
        body = sizes + 9 - file[sizes].bit_length()
        if not file[at] or not file[sizes]:
            raise ValueError("no element")
        kind, bits = bytes(file[at:sizes]), 7 * (body - sizes)
        length = _number(file, sizes, body - sizes) & ((1 << bits) - 1)
        unknown = length == (1 << bits) - 1  # of one that was written to a pipe: it ends where what follows begins
        end = body + length
        if kind in MATROSKA_ENTERED or (unknown and kind == MATROSKA_CLUSTER):
            at = body
            continue
        if unknown or end > len(file):
            raise ValueError("an element ends where it cannot")
        if kind in MATROSKA_TEXTS:  # a void element of the same length
            rest, width = (end - at - 9, 8) if end - at > 8 else (end - at - 2, 1)
            file[at:end] = b"\xec" + (rest | 1 << 7 * width).to_bytes(width) + bytes(rest)
        at = end
    return bytes(file)


def _bare_mp3(data: bytes) -> bytes:
    start, end = behind_id3(data), len(data)
    if start > end:
        raise ValueError("a tag ends where it cannot")
    while True:
        if data[max(start, end - 128) : end].startswith(b"TAG"):
            end -= 128
        elif data[max(start, end - 32) : end].startswith(b"APETAGEX"):
            head = 32 if _number(data, end - 12, 4, "little") & 1 << 31 else 0
            end -= max(_number(data, end - 20, 4, "little"), 32) + head
        else:
            return data[start:end]
        if end < start:
            raise ValueError("a tag begins where it cannot")


def _bare_flac(data: bytes) -> bytes:
    file, at, last = bytearray(data[behind_id3(data) :]), 4, False
    if file[:4] != b"fLaC":
        raise ValueError("no FLAC")
    while not last:
        last, end = file[at] > 0x7F, at + 4 + _number(file, at + 1, 3)
        if end > len(file):
            raise ValueError("the file ends too early")
        if file[at] & 0x7F == 4:  # the comments; 1 is padding
            file[at] = file[at] & 0x80 | 1
            file[at + 4 : end] = bytes(end - at - 4)
        at = end
    return bytes(file)


# How the packet of comments begins in each codec, and what follows when there are none: two counts of 0, and a bit.
OGG_COMMENTS = (b"OpusTags" + bytes(8), b"\x03vorbis" + bytes(8) + b"\x01", b"\x81theora" + bytes(8))
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _bare_ogg(data: bytes) -> bytes:
    """In place: the second packet of each stream holds the comments, over as many pages as they need."""
    file, at = bytearray(data), 0
    open_streams: dict[bytes, tuple[int, list[tuple[int, int, int]]]] = {}  # packets so far; page, start, end
    while at < len(data):
        serial, lengths = data[at + 14 : at + 18], data[at + 27 : at + 27 + data[at + 26]]
        place = at + 27 + data[at + 26]
        end = place + sum(lengths)
        if data[at : at + 4] != b"OggS" or end > len(data):
            raise ValueError("no page")
        if data[at + 5] & 2:  # the first page of a stream
            open_streams[serial] = 0, []
        if serial in open_streams:
            packets, spans = open_streams.pop(serial)
            starts = [place]  # where the page's packets start, and where the page ends
            for length in lengths:
                place += length
                if length < 255:
                    starts.append(place)
            pieces = itertools.pairwise([*starts, end] if place > starts[-1] else starts)
            spans += [(at, *piece) for count, piece in enumerate(pieces, packets) if count == 1]
            packets += len(starts) - 1
            if packets < 2:
                open_streams[serial] = packets, spans
            else:
                _empty_comments(file, spans)
        at = end
    if open_streams or file[:4] != b"OggS":
        raise ValueError("a stream without comments")
    return bytes(file)


def _empty_comments(file: bytearray, spans: Sequence[tuple[int, int, int]]) -> None:
    packet = b"".join(file[start:end] for _, start, end in spans)
    empty = next((empty for empty in OGG_COMMENTS if packet.startswith(empty[:7])), packet[:4] + bytes(8))
    if len(packet) < len(empty) or (empty not in OGG_COMMENTS and packet[0] & 0x7F != 4):  # FLAC's block of comments
        raise ValueError("no comments")
    filled, done = empty.ljust(len(packet), b"\0"), 0
    for page, start, end in spans:
        file[start:end] = filled[done : done + end - start]
        done += end - start
        head = page + 27 + file[page + 26]
        file[page + 22 : page + 26] = bytes(4)
        whole = file[page : head + sum(file[page + 27 : head])]
        # Ogg's check sum is zlib's with the bits of all bytes mirrored, and without its inversions.
        found = zlib.crc32(whole.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
        file[page + 22 : page + 26] = found.to_bytes(4).translate(MIRRORED)


def _bare_glb(data: bytes) -> bytes:
    length = _number(data, 12, 4, "little")
    if data[16:20] != b"JSON" or 20 + length > len(data):
        raise ValueError("no JSON")
    model = json.loads(data[20 : 20 + length])
    if not isinstance(model, dict):
        raise ValueError("no object")
    asset = model.get("asset")
    held = [part for part in (model, asset) if isinstance(part, dict) and "extras" in part]
    if not held:
        return data
    for part in held:
        del part["extras"]
    text = json.dumps(model, ensure_ascii=False, separators=(",", ":")).encode()
    text = text.ljust(max(length, -(-len(text) // 4) * 4))
    rest = data[20 + length :]
    total = (20 + len(text) + len(rest)).to_bytes(4, "little")
    return data[:8] + total + len(text).to_bytes(4, "little") + b"JSON" + text + rest


def _bare_svg(data: bytes) -> bytes:
    parts, at = [], 0
    while (start := data.find(b"<metadata", at)) >= 0:
        end = data.index(b"</metadata", start)
        inside = data.find(b"<![CDATA[", start, end)
        if inside >= 0:  # where "</metadata" may stand as a text
            end = data.index(b"</metadata", data.index(b"]]>", inside))
        parts.append(data[at:start])
        at = data.index(b">", end) + 1
    return b"".join([*parts, data[at:]])


SAFETENSORS = re.compile(rb".{4}\0{4}\{\s*\"", re.DOTALL)  # latents and models


def _bare_safetensors(data: bytes) -> bytes:
    length = _number(data, 0, 8, "little")
    head = json.loads(data[8 : 8 + length])
    if head.pop("__metadata__", None) is None:
        return data
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode().ljust(length)
    if len(text) > length:
        raise ValueError("it grew")
    return data[:8] + text + data[8 + length :]


BARE: dict[str, Callable[[bytes], bytes]] = {
    "image/png": _bare_png,
    "image/jpeg": _bare_jpeg,
    "image/webp": _bare_webp,
    "image/gif": _bare_gif,
    "image/svg+xml": _bare_svg,
    "video/mp4": _bare_mp4,
    "video/quicktime": _bare_mp4,
    "audio/mp4": _bare_mp4,
    "video/webm": _bare_matroska,
    "video/x-matroska": _bare_matroska,
    "audio/flac": _bare_flac,
    "audio/mpeg": _bare_mp3,
    "audio/ogg": _bare_ogg,
    "video/ogg": _bare_ogg,
    "audio/wav": _bare_wav,
    "model/gltf-binary": _bare_glb,
}


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/media/delivery.py
#
# media/delivery.
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """How a finished file is handed over."""

    kind: str = ""  # "" as made, "PNG", "WebP" or "JPEG"; of still pictures
    quality: int = 90  # 1 to 100, of WebP and JPEG
    metadata: bool = True  # whether it may tell its prompt and workflow


LONGEST_SIDE = {"PNG": 2**31 - 1, "WEBP": 16_383, "JPEG": 65_535}  # in pixels, of what is made
MAX_JPEG_EXIF = 65_000  # bytes; the length of a segment has 16 bits
TEXT_KEY = re.compile(r"[^\0:]{1,79}")
PROMPT_TAG = 0x0110  # of EXIF, where ComfyUI writes the prompt


# Where it writes the other texts, and where nothing stands when there are more of them.
TEXT_TAGS = (*range(0x010F, 0x010A, -1), *range(0x00FD, 0x0080, -1))


def delivered(data: bytes, content_type: str, wanted: Format) -> tuple[bytes, str, tuple[str, ...]]:
    """A finished file as it is wanted: its bytes, its content type, and what could not be done. Blocks."""
    notes: tuple[str, ...] = ()
    kind = wanted.kind.upper()
    own, size, moves = content_type_of(data, "")
    picture = size is not None or (content_type.startswith("image/") and "image/svg+xml" not in (own, content_type))
    if kind in LONGEST_SIDE and picture and not moves and own != PICTURE_TYPES[kind]:
        if size and max(size.width, size.height) > LONGEST_SIDE[kind]:
            notes = (f"a picture of {size} cannot be a {wanted.kind} and stays as it was made",)
        else:
            try:
                encoded, notes = _converted(data, kind, wanted)
                return encoded, PICTURE_TYPES[kind], notes
            except Exception:
                notes = (f"the picture could not be made a {wanted.kind} and stays as it was made",)
    if not wanted.metadata:
        try:
            data = without_metadata(data, content_type)
        except (ValueError, LookupError, RecursionError):
            notes += ("its metadata could not be removed",)
    return data, content_type, notes


def _converted(data: bytes, kind: str, wanted: Format) -> tuple[bytes, tuple[str, ...]]:
    """A picture in another format, and what was lost. Raises anything."""
    with open_picture(data) as image:
        image.load()
        texts = _texts(image) if wanted.metadata else {}
        turn_upright(image)
        options: dict[str, Any] = {"icc_profile": rgb_profile(image)}
        picture = plain_picture(image)
    if kind == "PNG":
        chunks = PngImagePlugin.PngInfo()
        for key, text in texts.items():
            chunks.add_text(key, text)
        return encode(picture, kind, compress_level=4, pnginfo=chunks, **options), ()
    options |= {"quality": min(max(wanted.quality, 1), 100)}
    if kind == "WEBP":
        return encode(picture, kind, method=4, exif=_exif(texts), **options), ()
    lost: list[str] = []
    while len(_exif(texts)) > MAX_JPEG_EXIF:
        lost.append(next(key for key in ("workflow", "prompt", *texts) if key in texts))
        del texts[lost[-1]]
    notes = tuple(f"the {shortened(key)} was too long to be kept in a JPEG" for key in lost)
    return encode(over_white(picture), kind, exif=_exif(texts), **options), notes


def _texts(image: Image.Image) -> dict[str, str]:
    """The texts in a picture, where ComfyUI puts them: PNG text, or "key:text" in EXIF data."""
    if isinstance(image, PngImagePlugin.PngImageFile):
        held = {key: str(text) for key, text in image.text.items()}
    else:
        exif = image.getexif() if orientation_of(image) else Image.Exif()
        values = [exif[tag] for tag in (PROMPT_TAG, *TEXT_TAGS) if isinstance(exif.get(tag), str)]
        parts = (value.partition(":") for value in values)
        held = {key.strip(): text.strip("\0 ") for key, colon, text in parts if colon}
    return {key: text for key, text in held.items() if TEXT_KEY.fullmatch(key)}


def _exif(texts: Mapping[str, str]) -> bytes:
    """Texts as ComfyUI writes them into EXIF data, which holds ASCII only: other characters as JSON escapes them."""
    exif = Image.Exif()
    rest = iter(TEXT_TAGS)
    for key, text in texts.items():
        if tag := PROMPT_TAG if key == "prompt" else next(rest, None):
            exif[tag] = re.sub(r"[^\0-\x7f]", lambda found: json.dumps(found[0])[1:-1], f"{key}:{text}")
    return exif.tobytes() if texts else b""


def deliver(data: bytes, source: str, wanted: Format) -> tuple[Product, tuple[str, ...]]:
    """A file in the format that is wanted, and notes where that could not be. Blocks: call it in a thread."""
    product = read_product(data, source)
    changed, content_type, notes = delivered(data, product.content_type, wanted)
    size = product.size if content_type == product.content_type else content_type_of(changed, "")[1]
    return replace(product, data=changed, content_type=content_type, size=size), notes


def text_product(text: str) -> Product:
    """A text that a node showed, as a file."""
    kind = "text/plain"
    if text.lstrip()[:1] in ("{", "["):
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(text)
            kind = "application/json"
    return Product(text.encode("utf-8", "replace"), kind, None, "")


def read_product(data: bytes, source: str) -> Product:
    """A finished file with what it is, told by its bytes or its name. Blocks: call it in a thread."""
    content_type, size, _ = content_type_of(data, source)
    return Product(data, content_type, size, source)


# ======================================================================================================================
# src/comfyui_chat/server/__init__.py
#
# server.
# ======================================================================================================================


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/endpoint.py
#
# server/endpoint.
# ----------------------------------------------------------------------------------------------------------------------


CLOUD_HOST = "cloud.comfy.org"
CLOUD_PREFIX = "cloud+"


@dataclass(frozen=True)
class Endpoint:
    """The address of one ComfyUI and the credential that belongs to it, and to no other address."""

    url: str
    api_key: str = field(default="", repr=False)
    label: str = field(default="", compare=False)  # what people call it
    cloud: bool = False  # Comfy Cloud, or what speaks like it
    guessed: bool = field(default=False, compare=False)  # one of several places where the one server may be

    @classmethod
    def parse(cls, text: str, api_key: str = "", name: str = "The ComfyUI address", label: str = "") -> "Endpoint":
        """An address as people write it: the scheme may be missing, and a slash, `/api` or `/ws` may follow. Comfy
        Cloud is known by its host; `cloud+` before another address says that it speaks like it.

        Raises `BadArgument`, naming `name`, for what is no http address.
        """
        url = text.strip()
        cloud = url.lower().startswith(CLOUD_PREFIX)
        url = url[len(CLOUD_PREFIX) :] if cloud else url
        if not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", url):
            url = f"http://{url}"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urlsplit("")
        scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
        if not host or scheme not in ("http", "https") or not re.fullmatch(r"[\w.:-]+", host):
            shown = "" if "@" in text else f': "{shortened(text)}"'  # what stands before an @ may be a password
            raise BadArgument(f"{name} is not an http address{shown}.", "It looks like http://host:8188.")
        if re.search(r"[^\x21-\x7e]", api_key.strip()):
            raise BadArgument(f"The API key for {url} holds a space, a line break or the like.", "Enter it once more.")
        if parts.username or parts.password:
            raise BadArgument(f"{name} holds a user name or password.", "Put the credential into the API key valve.")
        scheme = "https" if host == CLOUD_HOST else scheme  # the key must not go there in the open
        host = f"[{host}]" if ":" in host else host
        path = re.sub(r"/(api|ws)?/*$", "", parts.path)
        url = f"{scheme}://{host}" + (f":{port}" if port else "") + path
        return cls(url, api_key.strip(), label.strip(), cloud or host == CLOUD_HOST)

    @property
    def name(self) -> str:
        """What people call it, or its host and port."""
        return self.label or urlsplit(self.url).netloc

    def headers(self) -> dict[str, str]:
        """What every request and the websocket's handshake carry."""
        if not self.api_key:
            return {}
        return {"X-API-Key": self.api_key} if self.cloud else {"Authorization": f"Bearer {self.api_key}"}


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/protocol.py
#
# server/protocol.
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Output:
    """A file that a run made, as `/view` wants it named; `type` is "output", or "temp" for a preview node's. A text
    that a node only shows has no name and the type "text"."""

    node_id: str
    filename: str
    subfolder: str
    type: str
    text: str = ""


@dataclass(frozen=True)
class Event:
    """Something that happened to one prompt, told by the websocket or by a look-up."""


@dataclass(frozen=True)
class QueueMoved(Event):
    """The server's queue changed; where our prompt stands now has to be looked up."""


@dataclass(frozen=True)
class Waiting(Event):
    """The prompt is in the queue, with `ahead` prompts before it, the running one counted."""

    ahead: int


@dataclass(frozen=True)
class Started(Event):
    """The prompt runs."""


@dataclass(frozen=True)
class Cached(Event):
    """These nodes are not run again, since their inputs are the same as before."""

    nodes: frozenset[str]


@dataclass(frozen=True)
class Executing(Event):
    """A node begins."""

    node_id: str


@dataclass(frozen=True)
class Progress(Event):
    """How far nodes are: node id -> (value, max, finished). Others keep what was last said of them."""

    nodes: Mapping[str, tuple[float, float, bool]]


@dataclass(frozen=True)
class Executed(Event):
    """A node reported these files."""

    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class SentPicture(Event):
    """A picture that came over the websocket itself, from a node that saves it nowhere."""

    node_id: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Failed(Event):
    """A node raised an error. The run may still go on, when the node only blocked its branch."""

    node_id: str
    exception_type: str
    message: str


@dataclass(frozen=True)
class Interrupted(Event):
    """Somebody stopped the run."""


@dataclass(frozen=True)
class Succeeded(Event):
    """All nodes are done; the history entry may not be written yet."""


@dataclass(frozen=True)
class Ended(Event):
    """The last frame of a run, whatever its end; the history entry is written."""


@dataclass(frozen=True)
class Recorded(Event):
    """The history entry: the truth about how the run ended."""

    success: bool
    outputs: tuple[Output, ...]
    failure: Failed | None
    interrupted: bool


@dataclass(frozen=True)
class Absent(Event):
    """The prompt is neither in the queue nor in the history."""


@dataclass(frozen=True)
class Silence(Event):
    """The server does not answer look-ups; `reason` says why, `refused` that no connection could be made."""

    reason: str
    refused: bool = False


@dataclass(frozen=True)
class Gap(Event):
    """The websocket was down for a while, so frames may be missing."""


@dataclass(frozen=True)
class LookedUp(Event):
    """What a look-up found, in line with the frames."""

    answer: Event


@dataclass(frozen=True)
class Prompt:
    """A prompt as its server knows it: `state` is `Started`, `Waiting` or `Recorded`. `number` is its place in the
    order of all posts; `ended` when it ended, in seconds since 1970, by the server's clock."""

    prompt_id: str
    state: Event
    number: float = 0.0
    graph: Graph = field(default_factory=dict, repr=False)
    extra_data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    ended: float | None = None


@dataclass(frozen=True)
class Queue:
    """The server's queue: ids of the running prompts and of the pending ones, in the order they will run; and what it
    tells of each of them, in the same order."""

    running: tuple[str, ...]
    pending: tuple[str, ...]
    prompts: tuple[Prompt, ...] = ()

    def __len__(self) -> int:
        return len(self.running) + len(self.pending)

    def find(self, prompt_id: str) -> Event | None:
        """`Started`, `Waiting` or, when the prompt is not in the queue, None."""
        if prompt_id in self.running:
            return Started()
        if prompt_id in self.pending:
            return Waiting(len(self.running) + self.pending.index(prompt_id))
        return None


@dataclass(frozen=True)
class Device:
    """What a server computes on, and its memory in bytes as far as the server tells."""

    name: str
    memory_total: int | None
    memory_free: int | None


@dataclass(frozen=True)
class Stats:
    """What a server tells of itself; a version that it does not tell is empty."""

    version: str
    devices: tuple[Device, ...]


TEXT_KEYS = ("text", "string")  # under which nodes that show a text put it
MODEL_PATH = re.compile(r"(?!/)[^:\\]{1,300}\.(?:glb|gltf|obj|stl|fbx|ply|spz|splat|ksplat)", re.IGNORECASE)


def parse_outputs(outputs: Any) -> tuple[Output, ...]:
    """The files in `outputs` (node id -> key -> list), under whatever key a node puts them, and the texts it shows."""
    found = []
    for node_id, output in (outputs or {}).items():
        for key, items in (output or {}).items():
            for item in items if isinstance(items, list) else [items] if isinstance(items, str) else ():
                if isinstance(item, dict) and isinstance(item.get("filename"), str):
                    place = str(item.get("subfolder") or ""), str(item.get("type") or "output")
                    found.append(Output(str(node_id), item["filename"], *place))
                elif isinstance(item, str) and item.strip() and key in TEXT_KEYS:
                    found.append(Output(str(node_id), "", "", "text", item))
                elif isinstance(item, str) and key == "result" and MODEL_PATH.fullmatch(item):
                    folder, _, name = item.rpartition("/")  # nodes for 3D tell the path of what they saved
                    found.append(Output(str(node_id), name, folder, "output"))
    return tuple(found)


def parse_failure(data: Mapping[str, Any]) -> Failed:
    """An `execution_error`, of a frame or of the history, without the inputs and the traceback that it carries."""
    message = str(data.get("exception_message") or "").strip()
    return Failed(str(data.get("node_id")), str(data.get("exception_type") or ""), message)


def parse_history(entry: Mapping[str, Any]) -> Recorded:
    """One entry of `/history`. Interrupted runs are recorded as errors, too; their messages tell them apart."""
    status = entry.get("status") or {}
    messages = dict(status.get("messages") or ())
    failure = parse_failure(messages["execution_error"]) if "execution_error" in messages else None
    success = status.get("status_str", "success") == "success"
    return Recorded(success, parse_outputs(entry.get("outputs")), failure, "execution_interrupted" in messages)


def parse_prompt(item: Sequence[Any], state: Event, entry: Mapping[str, Any] | None = None) -> Prompt:
    """An item of the queue, or of a history `entry`: number, prompt id, graph, extra_data."""
    graph, extra_data = (item[index] if len(item) > index and isinstance(item[index], dict) else {} for index in (2, 3))
    messages = ((entry or {}).get("status") or {}).get("messages") or ()
    times = [message[1].get("timestamp") for message in messages if isinstance(message[1], dict)]
    ended = max((float(at) / 1000 for at in times if isinstance(at, (int, float))), default=None)
    number = float(item[0]) if isinstance(item[0], (int, float)) else 0.0
    return Prompt(str(item[1]), state, number, graph, extra_data, ended)


def parse_stats(raw: Mapping[str, Any]) -> Stats:
    """An answer of `/system_stats`."""
    devices = raw.get("devices")
    found = [parse_device(item) for item in (devices if isinstance(devices, list) else ()) if isinstance(item, dict)]
    return Stats(shortened(raw["system"].get("comfyui_version") or "", 40), tuple(found))


def parse_device(raw: Mapping[str, Any]) -> Device:
    """One of its devices; of "cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync" the middle is the name."""

    def amount(key: str) -> int | None:
        value = raw.get(key)
        return int(value) if isinstance(value, (int, float)) and 0 <= value < 2**63 else None  # no NaN either

    name = re.sub(r"^\w+:\d+ | : \w+$", "", str(raw.get("name") or raw.get("type") or "device"))
    return Device(shortened(name), amount("vram_total"), amount("vram_free"))


def parse_frame(kind: str, data: Mapping[str, Any]) -> Event | None:
    """A text frame's meaning for the prompt that it names; None for types that mean nothing here."""
    if kind == "execution_start":
        return Started()
    if kind == "execution_cached":
        return Cached(frozenset(map(str, data["nodes"])))
    if kind == "executing":
        return Ended() if data["node"] is None else Executing(str(data.get("display_node") or data["node"]))
    if kind == "progress":
        return Progress({str(data.get("node")): (float(data["value"]), float(data["max"]), False)})
    if kind == "progress_state":
        nodes = (node for node in data["nodes"].values() if node.get("state") != "pending")
        return Progress(
            {
                str(node.get("display_node_id") or node["node_id"]): (
                    float(node["value"]),
                    float(node["max"]),
                    node["state"] == "finished",
                )
                for node in nodes
            }
        )
    if kind == "executed":
        return Executed(parse_outputs({str(data["node"]): data.get("output")}))
    if kind == "execution_error":
        return parse_failure(data)
    if kind == "execution_interrupted":
        return Interrupted()
    if kind == "execution_success":
        return Succeeded()
    return None


@dataclass(frozen=True)
class Frame:
    """A picture that came as a binary frame; the old layout names neither prompt nor node."""

    data: bytes = field(repr=False)
    prompt_id: str | None = None
    node_id: str | None = None


def parse_binary(frame: bytes) -> Frame | None:
    """A binary frame: 4 bytes event, then by event 1 (format, picture) or 4 (length of a JSON, JSON, picture)."""
    event, second = int.from_bytes(frame[:4], "big"), int.from_bytes(frame[4:8], "big")
    if event == 1:
        return Frame(frame[8:])
    if event == 4:
        about = json.loads(frame[8 : 8 + second])
        node = about.get("display_node_id") or about.get("node_id")
        return Frame(frame[8 + second :], str(about["prompt_id"]), str(node))
    return None


def parse_refusal(body: Mapping[str, Any], graph: Graph, definitions: Definitions) -> WorkflowRefused:
    """The answer 400 of `POST /prompt` as an error: the first reason that a person can act on."""
    error = body.get("error") or {}
    error = error if isinstance(error, dict) else {"message": str(error)}
    kind, message = error.get("type"), shortened(error.get("message") or "no reason given", 300)
    if kind in ("invalid_prompt", "missing_node_type"):
        missing = re.search(r"node (\S+) does not exist", message)
        class_type = (error.get("extra_info") or {}).get("class_type") or (missing[1] if missing else None)
        if class_type:
            return NodeNotInstalled(f'This ComfyUI has no node "{class_type}".')
    for node_id, refused in (body.get("node_errors") or {}).items():
        for reason in refused.get("errors") or ():
            return _refused_value(node_id, reason, graph, definitions)
    return WorkflowRefused(f"ComfyUI refused the workflow: {message}")


def _refused_value(node_id: str, reason: Mapping[str, Any], graph: Graph, definitions: Definitions) -> WorkflowRefused:
    extra = reason.get("extra_info") or {}
    name, value = str(extra.get("input_name") or ""), extra.get("received_value")
    where = f"{name} of node {node_title(graph, node_id)}"
    definition = definitions.get(graph[node_id]["class_type"]) if node_id in graph else None
    spec = definition.inputs.get(name) if definition else None
    kind = reason.get("type")
    if kind == "value_not_in_list":
        listed = (extra.get("input_config") or [None])[0]  # left out by the server when it is long
        known = closest(str(value), listed if isinstance(listed, list) else spec.choices if spec else ())
        hint = f"Installed are, among others: {quoted(known)}." if known else ""
        if MODEL_FILE.search(str(value)):
            return ModelNotInstalled(f'The model "{value}" is not installed ({where}).', hint)
        return ValueOutOfRange(
            f'"{shortened(value)}" is not a choice for {where}.', hint.replace("Installed", "Choices")
        )
    if kind in ("value_smaller_than_min", "value_bigger_than_max"):
        low, high = (spec.minimum, spec.maximum) if spec else (None, None)
        hint = f"Give a value from {low:g} to {high:g}." if low is not None and high is not None else ""
        return ValueOutOfRange(f"{shortened(value)} is out of range for {where}.", hint)
    if kind == "invalid_input_type":
        return ValueOutOfRange(f'"{shortened(value)}" has the wrong type for {where}.')
    details = shortened(reason.get("details") or "", 200)
    return WorkflowRefused(f"ComfyUI refused {where}: {reason.get('message')}" + (f" ({details})" if details else ""))


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read to its end; `length` is what it says of its own body."""

    status: int
    content_type: str
    body: bytes = field(repr=False)
    length: int | None = None
    location: str = ""  # of a redirect


@dataclass(frozen=True)
class Accepted:
    """A prompt that was posted, with notes on outputs that the server dropped. It is not `certain` when the answer was
    lost: whether the server took it in is to be looked up."""

    prompt_id: str
    notes: tuple[str, ...] = ()
    certain: bool = True


UNPAID = frozenset({"InsufficientFundsError", "InactiveSubscriptionError"})  # why a run of Comfy Cloud's may end


def parse_job(job: Mapping[str, Any]) -> Event:
    """A job of Comfy Cloud's as a look-up's answer: `Waiting`, `Started` or `Recorded`."""
    status = job["status"]
    if status == "pending":
        return Waiting(int(job.get("queue_position") or 0))
    if status == "in_progress":
        return Started()
    if status in ("completed", "failed", "cancelled"):
        error = job.get("execution_error")
        failure = parse_failure(error) if error else None
        return Recorded(status == "completed", parse_outputs(job.get("outputs")), failure, status == "cancelled")
    raise ValueError(status)


def read_retry_after(text: str | None) -> float | None:
    """Seconds from now, of a header that holds them or a date; None where it holds neither."""
    text = (text or "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    return None


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/record.py
#
# server/record.
# ----------------------------------------------------------------------------------------------------------------------


REST_SECONDS = 5.0  # a server that failed is left alone so long, then twice as long, up to
LONGEST_REST_SECONDS = 300.0
REMEMBERED_PACES = 50  # workflows of a server whose pace is remembered


@dataclass
class Record:
    """What this process has seen of a server: what a choice between servers rests on, and the metrics."""

    runs: int = 0  # that were posted
    done: int = 0
    failed: int = 0  # the workflow's own errors, and refusals
    lost: int = 0  # that the server forgot, or took with it
    run_seconds: float = 0.0  # of all that are done
    bytes: int = 0  # downloaded
    sockets: int = 0  # websockets opened
    paces: dict[str, float] = field(default_factory=dict)  # workflow -> seconds of a run, the latest counting most
    coming: int = 0  # calls on their way here, which its queue does not show yet
    faults: int = 0  # in a row
    fault: str = ""  # the last one
    fault_at: float = 0.0  # in seconds since 1970
    resting_until: float = 0.0  # of `time.monotonic`
    silent: bool = False  # whether it did not answer when it was last asked

    def rest(self, reason: str, silent: bool = False) -> None:
        """It does not answer, or lost a job: leave it alone for a while, longer each time."""
        self.fault, self.fault_at, self.silent = reason, time.time(), silent
        if self.resting:
            return  # all calls that were there noticed the same
        self.faults += 1
        self.resting_until = time.monotonic() + min(REST_SECONDS * 2 ** min(self.faults - 1, 10), LONGEST_REST_SECONDS)

    def recover(self) -> None:
        """It answers."""
        self.faults, self.resting_until = 0, 0.0

    @property
    def resting(self) -> bool:
        """Whether it is left alone for now."""
        return time.monotonic() < self.resting_until

    @contextlib.contextmanager
    def expecting(self) -> Iterator[None]:
        """A call is on its way here."""
        self.coming += 1
        try:
            yield
        finally:
            self.coming -= 1

    def ran(self, workflow: str, seconds: float) -> None:
        """A run of a workflow took so long, waiting not counted."""
        self.recover()
        self.done += 1
        self.run_seconds += seconds
        before = self.paces.pop(workflow, seconds)
        self.paces[workflow] = before + 0.4 * (seconds - before)
        for oldest in list(self.paces)[:-REMEMBERED_PACES]:
            del self.paces[oldest]

    def pace(self, workflow: str = "") -> float | None:
        """Seconds that a run of the workflow takes, or a run in general, as far as that is known."""
        return self.paces.get(workflow) or (self.run_seconds / self.done if self.done else None)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/connection.py
#
# server/connection.
# ----------------------------------------------------------------------------------------------------------------------


CONNECT_SECONDS = 10.0  # to open a connection or the websocket
DEAF_SECONDS = 20.0  # without any frame while a job runs, before the websocket is opened anew


class Subscription:
    """What the websocket tells about one prompt."""

    def __init__(self, picture_nodes: frozenset[str], on_preview: Callable[[bytes], None]) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.picture_nodes = picture_nodes
        self.on_preview = on_preview
        self.connected = False  # whether frames arrive at the moment

    def picture(self, node_id: str, data: bytes) -> None:
        """Hand over a binary frame: a result when the node saves its picture nowhere else, a preview otherwise."""
        if node_id in self.picture_nodes:
            self.events.put_nowait(SentPicture(node_id, data))
        else:
            self.on_preview(data)


class Host(Protocol):
    """What a connection needs of the server that it belongs to."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it is."""

    @property
    def record(self) -> Record:
        """What has been seen of it."""

    def later(self, chore: Coroutine[Any, Any, None]) -> None:
        """Do something beside everything else, for as long as the server is open."""

    def websocket(self, client_id: str) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
        """A new websocket of the client with this id."""


class Connection:
    """The one websocket of a server and credential, shared by all prompts in flight and owned by none of them.

    The reader only parses and hands over, since a client that stops reading stalls every other client of the server.
    It reconnects with the same client id, and never before the old socket is closed: the server drops the
    registration of the newer one when the older one goes.
    """

    def __init__(self, server: Host) -> None:
        self.client_id = uuid.uuid4().hex
        self._server = server
        self._subscriptions: dict[str, Subscription] = {}
        self._listeners = 0
        self._reader: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()  # set while it is known whether the socket is open
        self._hurry = asyncio.Event()  # somebody waits for the socket: try again now
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._heard = 0.0  # when the last frame came
        self._refusal: AccessRefused | None = None
        self._flags = False  # the server puts the prompt's id on previews
        self._at = ("", "")  # prompt and node that run, as far as our frames tell
        self.is_open = False

    @contextlib.asynccontextmanager
    async def listen(
        self, prompt_id: str, picture_nodes: frozenset[str], on_preview: Callable[[bytes], None]
    ) -> AsyncIterator[Subscription]:
        """Everything about a prompt, from before it is posted. Without a websocket (a proxy may refuse it) the
        subscription stays silent and look-ups have to do. Raises `AccessRefused`."""
        self._listeners += 1
        subscription: Subscription | None = None
        try:
            if not self.is_open:
                self._settled.clear()
                self._hurry.set()
                if self._reader is None or self._reader.done():
                    self._reader = asyncio.create_task(self._read_on())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CONNECT_SECONDS):
                        await self._settled.wait()
            if self._refusal:
                self._refusal.untaken = True
                raise self._refusal
            subscription = self._subscriptions[prompt_id] = Subscription(picture_nodes, on_preview)
            subscription.connected = self.is_open
            yield subscription
        finally:
            self._subscriptions = {key: one for key, one in self._subscriptions.items() if one is not subscription}
            self._listeners -= 1

    def rename(self, prompt_id: str, accepted_id: str) -> None:
        """A prompt that is listened to got another id from its server; what was told of it before is missing."""
        if prompt_id != accepted_id and (subscription := self._subscriptions.pop(prompt_id, None)):
            self._subscriptions[accepted_id] = subscription
            subscription.events.put_nowait(Gap())

    def renew(self) -> bool:
        """Open a new socket when nothing at all came for a while: a server goes on sending to nobody when it believes
        that the client with this id has left, and a connection may be cut without a word. Returns whether it does."""
        if self._socket is None or time.monotonic() - self._heard < DEAF_SECONDS:
            return False
        self._heard = time.monotonic()
        self._server.later(self._hang_up(self._socket))
        return True

    async def _hang_up(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            await socket.close()

    async def close(self) -> None:
        """Close the socket and end the reader; it may be opened again."""
        reader, self._reader = self._reader, None
        if reader:
            reader.cancel()
            await asyncio.wait({reader})

    async def _read_on(self) -> None:
        pause = 0.5
        while self._listeners:
            self._refusal = None
            try:
                self._hurry.clear()
                async with asyncio.timeout(CONNECT_SECONDS) as limit, self._server.websocket(self.client_id) as socket:
                    limit.reschedule(None)
                    # Only the first message sent may be this one, and a new socket knows nothing of the old one's.
                    await socket.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
                    self._flags, self._at, self.is_open = False, ("", ""), True
                    self._socket, self._heard = socket, time.monotonic()
                    self._server.record.sockets += 1
                    self._settled.set()
                    self._tell_all(Gap())
                    async for message in socket:
                        pause, self._heard = 0.5, time.monotonic()  # not before a frame: a proxy may close it at once
                        self._take(message)
            except AccessRefused as refused:
                self._refusal = refused
            except (aiohttp.ClientError, OSError, ValueError, ComfyUIError) as error:
                log.debug("websocket of %s: %s", self._server.endpoint.url, type(error).__name__)
            finally:
                was_open, self.is_open, self._socket = self.is_open, False, None
                if was_open:
                    self._tell_all(Gap())
                self._settled.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._hurry.wait()
            pause = min(pause * 2, 10.0)

    def _tell_all(self, event: Event) -> None:
        for subscription in self._subscriptions.values():
            subscription.connected = self.is_open
            subscription.events.put_nowait(event)

    def _take(self, message: aiohttp.WSMessage) -> None:
        try:
            if message.type is aiohttp.WSMsgType.TEXT:
                frame = json.loads(message.data)
                self._take_text(frame["type"], frame.get("data") or {})
            elif message.type is aiohttp.WSMsgType.BINARY and (picture := parse_binary(message.data)):
                self._take_picture(picture)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            log.debug("unreadable frame: %s", type(error).__name__)  # custom nodes send whatever they like

    def _take_text(self, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "feature_flags":
            self._flags = bool(data.get("supports_preview_metadata"))
        elif kind == "status":
            self._tell_all(QueueMoved())
        elif subscription := self._subscriptions.get(str(data.get("prompt_id"))):
            if kind == "executing":
                self._at = (str(data["prompt_id"]), str(data.get("display_node") or data["node"]))
            if event := parse_frame(kind, data):
                subscription.events.put_nowait(event)

    def _take_picture(self, picture: Frame) -> None:
        if picture.prompt_id is not None:
            if subscription := self._subscriptions.get(picture.prompt_id):
                subscription.picture(str(picture.node_id), picture.data)
            return
        # The old layout: it belongs to the node that runs. With the flags accepted it is somebody else's preview,
        # broadcast to all, unless one of our nodes is just sending its result.
        prompt_id, node_id = self._at
        running = self._subscriptions.get(prompt_id)
        if running and (not self._flags or node_id in running.picture_nodes):
            running.picture(node_id, picture.data)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/client.py
#
# server/client.
# ----------------------------------------------------------------------------------------------------------------------


PROBE_SECONDS = 4.0  # to find out whether a server answers at all
UPLOAD_SECONDS = 300.0  # for a file sent to the server
DOWNLOAD_SECONDS = 600.0  # for a file from it
STALL_SECONDS = 30.0  # without a byte in the middle of an answer, before it counts as broken off
HEARTBEAT_SECONDS = 30.0  # between two pings: the server sends none, and a dead connection shows by them
RECENT_PROMPTS = 200  # of the history, that are looked through for a user's own jobs
LOOK_UP_SECONDS = 10.0  # for one look-up of a running job; the next one comes anyway
DEFINITION_SECONDS = 300.0  # how long a node definition is believed
MANY_CLASSES = 100  # of more than so many at once all are asked for in one request
FREE_AGAIN_SECONDS = 10.0  # before ComfyUI's memory is freed after all, when others had jobs in the queue after a run
DOUBT_SECONDS = 10.0  # how long it is believed when it lacks what is looked for: files are added all the time
MAX_JSON_BYTES = 64 * 2**20
MAX_OUTPUT_BYTES = 512 * 2**20
REDIRECTS = (301, 302, 303, 307, 308)


class ComfyUIServer:
    """One ComfyUI: its HTTP routes and its websocket, in typed values and room 2's errors. Use `open_server`.

    It outlives its connections: what it learned (definitions, pace, faults) stays when they are closed.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.connection = Connection(self)
        self.definitions: dict[str, NodeDefinition] = {}
        self._asked: dict[str, float] = {}  # when a class was last asked for
        self._metadata: dict[tuple[str, str], tuple[float, Mapping[str, Any] | None]] = {}
        self._names: dict[str, tuple[float, list[str] | None]] = {}  # by path
        self._session: aiohttp.ClientSession | None = None
        self._queue: tuple[float, asyncio.Task[Queue]] | None = None  # the newest look at it, and when it began
        self._questions: dict[str, asyncio.Task[Any]] = {}  # under way, each asked once for all who wait for it
        self._chores: set[asyncio.Task[None]] = set()
        self.record = Record()
        self.free_at: float | None = None  # of `time.monotonic`: when ComfyUI's memory is due to be freed
        self._free_again = 0.0  # seconds after that, when it could not be
        self.users = 0
        self.idle_since = 0.0  # of `time.monotonic`
        self.door = asyncio.Lock()  # nobody comes in while it closes

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP session, made at first use. It keeps no cookies and no credential, and follows no redirect: the
        credential belongs to this address alone, and is given with each request."""
        if self._session is None or self._session.closed:
            trace = aiohttp.TraceConfig()
            trace.on_request_redirect.append(self._refuse_redirect)
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[trace],
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS / 2),  # `call` bounds the whole
            )
        return self._session

    async def _refuse_redirect(self, _session: Any, _context: Any, params: aiohttp.TraceRequestRedirectParams) -> None:
        raise self._redirected(params.response.headers.get("Location", ""))

    def _redirected(self, location: str) -> UnexpectedAnswer:
        parts = urlsplit(location)
        where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "another path"
        return UnexpectedAnswer(
            f"{self.endpoint.url} sends on to {where}, which is not followed.",
            "If ComfyUI is really there, set the address valve to it; a login page means that a key is missing.",
        )

    def later(self, chore: Coroutine[Any, Any, None]) -> None:
        """Do something beside everything else, for as long as the server is open."""
        task = asyncio.create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chore_done)

    def _chore_done(self, task: "asyncio.Task[None]") -> None:
        self._chores.discard(task)
        self.idle_since = time.monotonic()
        if not task.cancelled() and (error := task.exception()):
            reason = error.message if isinstance(error, ComfyUIError) else type(error).__name__
            log.info("%s: a chore failed: %s", self.endpoint.url, reason)

    async def together(self, question: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """One answer for all who ask the same at the same time. Whoever is cancelled leaves it to the others."""
        task = self._questions.get(question)
        if task is None:
            task = self._questions[question] = asyncio.create_task(ask())
            task.add_done_callback(functools.partial(self._answered, question))
        answer: T = await asyncio.shield(task)
        return answer

    def _answered(self, question: str, task: "asyncio.Task[Any]") -> None:
        self._questions.pop(question, None)
        if not task.cancelled():
            task.exception()  # those who asked may be gone

    @property
    def in_use(self) -> bool:
        """Whether a call or a chore still needs it."""
        return bool(self.users or self._chores)

    @property
    def is_open(self) -> bool:
        """Whether it has anything to close."""
        return self.in_use or self._session is not None

    @property
    def is_watched(self) -> bool:
        """Whether there is anything to do for it still, though nobody calls."""
        return self.is_open or self.free_at is not None

    async def close(self) -> None:
        """Close the websocket and all connections, and end what is under way. They are opened again when needed."""
        tasks = [*self._chores, *self._questions.values(), *([self._queue[1]] if self._queue else [])]
        session, self._session, self._queue = self._session, None, None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.connection.close()
        if session:
            await session.close()

    @contextlib.asynccontextmanager
    async def websocket(self, client_id: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """The websocket. No limit on a frame's size: results may come as frames. The server sends no pings."""
        try:
            socket = await self.session.ws_connect(
                f"{self.endpoint.url}/ws",
                params=self._websocket_query(client_id),
                headers=self.endpoint.headers(),
                max_msg_size=0,
                heartbeat=HEARTBEAT_SECONDS,
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403, 407):
                raise self._access_refused(error.status) from None
            raise
        try:
            yield socket
        finally:
            await socket.close()

    def _websocket_query(self, client_id: str) -> dict[str, str]:
        return {"clientId": client_id}

    def _address(self, path: str) -> str:
        """Where a route of ComfyUI is."""
        return self.endpoint.url + path

    def _access_refused(self, status: int) -> AccessRefused:
        sent = "refused the API key" if self.endpoint.api_key else "wants an API key, and none is set"
        return AccessRefused(f"{self.endpoint.url} {sent} (HTTP {status}).")

    async def call(
        self,
        method: str,
        path: str | URL,
        *,
        body: Any = None,
        form: aiohttp.FormData | None = None,
        params: Mapping[str, str] | None = None,
        seconds: float = ANSWER_SECONDS,
        silent: float = math.inf,
        most: int = MAX_JSON_BYTES,
        redirects: bool = False,
    ) -> Answer:
        """One HTTP exchange, within `seconds`, beginning within `silent` seconds, and of at most `most` bytes; `body`
        is sent as JSON, `form` as it is. A whole address for `path` is another place: it gets no credential, and its
        statuses are the caller's.

        Raises `ServerUnreachable`, `AccessRefused`, or `UnexpectedAnswer` for oversized answers and, unless the caller
        takes `redirects`, for these; any other status is the caller's to judge.
        """
        address: str | URL
        if isinstance(path, str):
            url, address, headers = self.endpoint.url, self._address(path), self.endpoint.headers()
            shown = url + path
        else:
            url = shown = str(path.origin())  # what else stands in it may be a credential, too
            address, headers = path, {}
        try:
            loop = asyncio.get_running_loop()
            end = loop.time() + seconds
            async with asyncio.timeout_at(min(end, loop.time() + silent)) as limit:
                sent = {"data": form} if form else {"json": body}
                request = self.session.request(
                    method, address, params=params, headers=headers, allow_redirects=False, **sent
                )
                async with request as response:
                    if isinstance(path, str):
                        await self._check(response)
                    location = response.headers.get("Location", "")
                    if response.status in REDIRECTS and not redirects:
                        raise self._redirected(location)
                    data = bytearray()
                    async for chunk in response.content.iter_any():
                        data += chunk
                        limit.reschedule(min(end, loop.time() + STALL_SECONDS))
                        if len(data) > most:
                            raise UnexpectedAnswer(f"{shown} answers with more than {most // 2**20} MB.")
                    length = response.content_length
                    return Answer(response.status, response.content_type, bytes(data), length, location)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
                raise ServerUnreachable(f"ComfyUI at {url} did not answer within {min(seconds, silent):g} s.") from None
            refused = isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError))
            raise ServerUnreachable(
                f"ComfyUI at {url} does not answer ({connection_fault(error)}).", refused=refused
            ) from None

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        """Raise for the statuses that mean the same on every route."""
        if response.status in (401, 403, 407):
            raise self._access_refused(response.status)
        if response.status in (502, 503, 504):
            url = self.endpoint.url
            raise ServerUnreachable(f"The proxy at {url} answers {response.status}: no ComfyUI behind it.")
        if response.status == 429:
            after = read_retry_after(response.headers.get("Retry-After"))
            raise ServerBusy(f"The proxy at {self.endpoint.url} is asked too often.", seconds=after)

    async def get(self, path: str, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """A JSON object of a route that ComfyUI always has; raises as `call` does."""
        answer = await self.call("GET", path, seconds=seconds)
        if len(answer.body) < 2**20:
            return self._json(path, answer)
        return await asyncio.to_thread(self._json, path, answer)  # definitions of many custom nodes are tens of MB

    def _json(self, path: str, answer: Answer) -> dict[str, Any]:
        with contextlib.suppress(ValueError):
            value = json.loads(answer.body) if answer.status == 200 and "json" in answer.content_type else None
            if isinstance(value, dict):
                return value
        raise UnexpectedAnswer(
            f"{self.endpoint.url}{path} answers {answer.status} {answer.content_type}, which ComfyUI does not."
        )

    @contextlib.contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        """Turns what goes wrong with an answer of the wrong shape into the error that it is."""
        try:
            yield
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError):
            raise UnexpectedAnswer(f"{self.endpoint.url}{path} answers in a shape that ComfyUI does not.") from None

    async def probe(self) -> None:
        """Find out whether a ComfyUI answers here; raises room 2's errors when none does."""
        await self.stats()

    async def stats(self) -> Stats:
        """Its version, devices and memory, as they are now. Raises as `call` does."""
        path = "/system_stats"
        raw = await self.get(path, PROBE_SECONDS)
        if "system" not in raw:
            raise UnexpectedAnswer(f"What answers at {self.endpoint.url} is not ComfyUI.")
        with self._reading(path):
            return parse_stats(raw)

    async def define(self, class_type: str, believe: float = DEFINITION_SECONDS) -> NodeDefinition | None:
        """A node's definition, or None when this server has no such node. What is known and no older than `believe`
        seconds is not asked for again."""
        if class_type in (".", ".."):  # in an address these would lead elsewhere
            return None
        asked = self._asked.get(class_type, -math.inf)
        if class_type not in self.definitions or time.monotonic() - asked >= believe:
            await self.together(f"define {class_type}", functools.partial(self._define, class_type))
        return self.definitions.get(class_type)

    async def _define(self, class_type: str) -> None:
        path = f"/object_info/{quote(class_type, safe='')}"
        raw = (await self.get(path)).get(class_type)
        with self._reading(path):
            self._take_definition(class_type, raw)

    async def everything(self) -> dict[str, Any]:
        """All node definitions as the server tells them, some megabytes."""
        return await self.together("define all", functools.partial(self.get, "/object_info"))

    async def define_all(self, class_types: Iterable[str]) -> Definitions:
        """The definitions of those classes that this server has."""
        wanted = sorted(set(class_types))
        strange = [name for name in wanted if time.monotonic() - self._asked.get(name, -math.inf) >= DEFINITION_SECONDS]
        if len(strange) > MANY_CLASSES:
            everything = await self.everything()
            with self._reading("/object_info"):
                for name in strange:
                    self._take_definition(name, everything.get(name))
        found = await gather(8, [functools.partial(self.define, name) for name in wanted])
        return {name: definition for name, definition in zip(wanted, found, strict=True) if definition}

    async def define_anew(self, known: Definitions, class_types: Iterable[str], believe: float) -> Definitions:
        """`known` with definitions of these classes that are no older than `believe` seconds: files are added to the
        lists in them all the time."""
        fresh = {name: await self.define(name, believe) for name in sorted(set(class_types))}
        return {**known, **{name: definition for name, definition in fresh.items() if definition}}

    def _take_definition(self, class_type: str, raw: Any) -> None:
        self._asked[class_type] = time.monotonic()
        self.definitions.pop(class_type, None)
        if raw:
            self.definitions[class_type] = NodeDefinition.parse(class_type, raw)

    async def names(
        self, path: str, believe: float = DOUBT_SECONDS, read: Callable[[Any], str] = str
    ) -> list[str] | None:
        """A list of names: of the folders for models (`/models`), of the files in one (`/models/loras`), of the
        embeddings (`/embeddings`). None where the server has no such list. What is no older than `believe` seconds is
        not asked for again; `read` makes a name of an item."""
        asked, held = self._names.get(path, (-math.inf, None))
        if time.monotonic() - asked >= believe:
            return await self.together(f"names {path}", functools.partial(self._ask_names, path, read))
        return held

    async def _ask_names(self, path: str, read: Callable[[Any], str]) -> list[str] | None:
        answer, held = await self.call("GET", path), None
        if answer.status != 404:
            with self._reading(path.partition("?")[0]):
                held = [read(item) for item in json.loads(answer.body)]
        self._names[path] = time.monotonic(), held
        return held

    async def saved_workflows(self, believe: float = DOUBT_SECONDS) -> list[str]:
        """The paths of the workflows saved on this server, those in folders with them, below its folder "workflows";
        none (404) while nothing was ever saved."""
        path = "/userdata?dir=workflows&recurse=true&split=false&full_info=true"
        listed = await self.names(path, believe, lambda item: str(item["path"]).replace("\\", "/")) or []
        hidden = re.compile(r"(^|/)\.|[\ud800-\udfff]")  # or no Unicode: such a name cannot be asked for
        return sorted((name for name in listed if name.endswith(".json") and not hidden.search(name)), key=str.lower)

    async def saved_workflow(self, name: str) -> Graph:
        """A workflow saved on this server, in the format in which it is. Raises `WorkflowRefused` for what is none."""
        # The slash has to be escaped, too: the server takes what stands behind /userdata/ as one name.
        answer = await self.call("GET", f"/userdata/{quote(f'workflows/{name}', safe='')}")
        if answer.status != 200:
            raise UnknownWorkflow(f'The workflow "{name}" is not on the ComfyUI server any more.')
        return await asyncio.to_thread(read_workflow_file, answer.body)

    async def model_metadata(self, folder: str, name: str) -> Mapping[str, Any] | None:
        """What a model file says of itself ({} when nothing), or None when the server itself cannot read it: files
        cut short while they were fetched are common. Cached."""
        asked, metadata = self._metadata.get((folder, name), (-math.inf, None))
        if time.monotonic() - asked > DEFINITION_SECONDS:
            ask = functools.partial(self._ask_metadata, folder, name)
            return await self.together(f"metadata {folder}/{name}", ask)
        return metadata

    async def _ask_metadata(self, folder: str, name: str) -> Mapping[str, Any] | None:
        path = f"/view_metadata/{quote(folder, safe='')}"
        answer = await self.call("GET", path, params={"filename": name})
        metadata: Mapping[str, Any] | None = None if answer.status == 500 else {}
        if answer.status == 200:
            with contextlib.suppress(ValueError, TypeError):
                metadata = dict(json.loads(answer.body))
        self._metadata[folder, name] = time.monotonic(), metadata
        return metadata

    async def submit(self, prompt_id: str, graph: Graph, extra_data: Mapping[str, Any]) -> Accepted:
        """Post a prompt under our own id, once; whether it arrived when the answer is lost has to be looked up.

        Raises `WorkflowRefused` and its kin, `ServerTooOld`, and as `call` does, `ServerUnreachable` only where no
        connection could be made.
        """
        body = {
            "prompt": graph,
            "prompt_id": prompt_id,
            "client_id": self.connection.client_id,
            "extra_data": dict(extra_data),
        }
        try:
            answer = await self.call("POST", "/prompt", body=body)
        except ServerUnreachable as error:
            if error.refused:
                raise
            return Accepted(prompt_id, certain=False)
        accepted = self._read_accepted(graph, answer)
        if accepted.get("prompt_id") != prompt_id:
            await self.call("POST", "/queue", body={"delete": [accepted.get("prompt_id")]}, seconds=CLEAN_UP_SECONDS)
            raise ServerTooOld(f"ComfyUI at {self.endpoint.url} gave the job an id of its own.")
        return Accepted(prompt_id, self._dropped(graph, accepted))

    def _read_accepted(self, graph: Graph, answer: Answer) -> dict[str, Any]:
        """What the server says of a prompt that it took; raises its refusal."""
        if answer.status == 400:
            self._asked.clear()  # it refuses what was taken from them, so they are out of date
            with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
                raise parse_refusal(json.loads(answer.body), graph, self.definitions)
        if answer.status >= 500:
            raise WorkflowRefused("ComfyUI failed while it read the workflow; its log says why.")
        return self._json("/prompt", answer)

    def _dropped(self, graph: Graph, accepted: Mapping[str, Any]) -> tuple[str, ...]:
        """Notes on the outputs that the server left out of a prompt which it took."""
        with self._reading("/prompt"):
            return tuple(
                f"{node_title(graph, node_id)} was left out: {shortened(reason.get('message'), 120)}"
                for node_id, refused in (accepted.get("node_errors") or {}).items()
                for reason in (refused.get("errors") or ({"message": "refused"},))[:1]
            )

    async def queue(self, since: float) -> Queue:
        """The queue as it was at `since` (of `time.monotonic`) or later. Everybody who asks at about the same time
        shares one request, and its failure."""
        if self._queue is None or self._queue[0] < since:
            task = asyncio.create_task(self._ask_queue(LOOK_UP_SECONDS))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # its waiters may be gone
            self._queue = time.monotonic(), task
        return await asyncio.shield(self._queue[1])

    async def queue_soon(self, since: float) -> Queue:
        """The same within `PROBE_SECONDS`, for a choice between servers. Raises `ServerUnreachable` after that."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await self.queue(since)
        except TimeoutError:
            url = self.endpoint.url
            raise ServerUnreachable(f"ComfyUI at {url} did not answer within {PROBE_SECONDS:g} s.") from None

    async def _ask_queue(self, seconds: float) -> Queue:
        raw = await self.get("/queue", seconds)
        with self._reading("/queue"):
            running, pending = raw.get("queue_running") or (), raw.get("queue_pending") or ()
            in_order = sorted(pending, key=lambda item: (item[0], item[1]))  # the server sends a raw heap
            first = [parse_prompt(item, Started()) for item in running]
            then = [parse_prompt(item, Waiting(len(first) + index)) for index, item in enumerate(in_order)]
            ids, waiting = tuple(item.prompt_id for item in first), tuple(item.prompt_id for item in then)
            return Queue(ids, waiting, (*first, *then))

    async def look_up(self, prompt_id: str, since: float) -> Event:
        """Where a prompt stands: `Started`, `Waiting`, `Recorded` or `Absent`. The queue is asked first and the
        history second, so that a prompt that ends in between is not missed."""
        if found := (await self.queue(since)).find(prompt_id):
            return found
        path = f"/history/{prompt_id}"
        entry = (await self.get(path, LOOK_UP_SECONDS)).get(prompt_id)
        with self._reading(path):
            return parse_history(entry) if entry else Absent()

    async def find(self, prompt_id: str) -> Prompt | None:
        """A prompt with its graph and `extra_data`, wherever it stands, or None when the server does not know it."""
        for item in (await self.queue(time.monotonic())).prompts:
            if item.prompt_id == prompt_id:
                return item
        path = f"/history/{prompt_id}"
        entry = (await self.get(path)).get(prompt_id)
        with self._reading(path):
            return parse_prompt(entry["prompt"], parse_history(entry), entry) if entry else None

    async def recent(self) -> list[Prompt]:
        """What is in the queue, and the newest `RECENT_PROMPTS` of the history, in the order of their posts."""
        queue = await self.queue(time.monotonic())
        path = f"/history?max_items={RECENT_PROMPTS}"
        entries = await self.get(path)
        with self._reading("/history"):
            done = [parse_prompt(entry["prompt"], parse_history(entry), entry) for entry in entries.values()]
        return [*done, *queue.prompts]

    def free_after(self, seconds: float) -> None:
        """Free ComfyUI's memory so many seconds from now unless this is said again before; at once for 0. Waiting for
        it keeps nothing open: the keeper of the servers counts the time."""
        self.free_at, self._free_again = time.monotonic() + seconds, seconds or FREE_AGAIN_SECONDS
        if not seconds:
            self.later(self.free_when_due())

    async def free_when_due(self) -> None:
        """Free ComfyUI's memory; when anybody has a job in the queue, some time later."""
        self.free_at = None
        if not await self.free() and self.free_at is None:
            self.free_at = time.monotonic() + self._free_again

    async def free(self) -> bool:
        """Have ComfyUI unload its models and forget its results, unless anybody has a job in its queue; returns whether
        it was told to. Raises as `call` does."""
        if len(await self.queue(time.monotonic())):
            return False
        path, body = "/free", {"unload_models": True, "free_memory": True}
        answer = await self.call("POST", path, body=body, seconds=LOOK_UP_SECONDS)
        if answer.status != 200:
            raise UnexpectedAnswer(f"{self.endpoint.url}{path} answers {answer.status}, which ComfyUI does not.")
        return True

    async def cancel(self, prompt_id: str, seconds: float = CLEAN_UP_SECONDS) -> None:
        """Take a prompt out of the queue or, if it is the running one, interrupt it; never anybody else's.

        Current servers do both in one route; where that is missing, or a proxy refuses it, the old routes do. The
        interrupt is sent only while the prompt runs, since a server too old to know the field would stop whatever is
        running. Raises a `ServerError` when the server could not be told.
        """
        ask = functools.partial(self.call, seconds=seconds)
        with contextlib.suppress(ServerError):
            answer = await ask("POST", f"/api/jobs/{prompt_id}/cancel")
            if answer.status == 200 and self._json("", answer).get("cancelled"):
                return
        await ask("POST", "/queue", body={"delete": [prompt_id]})
        if prompt_id in (await self._ask_queue(seconds)).running:
            await ask("POST", "/interrupt", body={"prompt_id": prompt_id})

    async def upload(self, file: InputFile) -> str:
        """Put a file into the server's input folder, unless it lies there already; returns the name that it has there,
        its `stored_name` as a rule."""
        return file.stored_name if await self._has(file) else await self._send(file, overwrite="true")

    async def _send(self, file: InputFile, **fields: str) -> str:
        form, path = aiohttp.FormData(fields), "/upload/image"
        form.add_field("image", file.data, filename=file.stored_name, content_type="application/octet-stream")
        answer = await self.call("POST", path, form=form, seconds=UPLOAD_SECONDS)
        self._check_upload(file, answer)
        taken = self._json(path, answer)
        with self._reading(path):
            name, folder = str(taken["name"]), str(taken.get("subfolder") or "")
        return f"{folder}/{name}" if folder else name

    def _check_upload(self, file: InputFile, answer: Answer) -> None:
        """Raise when the file is larger than the server takes."""
        if answer.status == 413:
            size = f"{len(file.data) / 2**20:.0f} MB"
            raise LimitExceeded(f"The file has {size}, which is more than ComfyUI takes.", "Give a smaller one.")

    async def _has(self, file: InputFile) -> bool:
        """Whether a file lies in the server's input folder; when that cannot be told it is taken for not there."""
        with contextlib.suppress(ServerError):
            params = {"filename": file.stored_name, "subfolder": "", "type": "input"}
            answer = await self.call("HEAD", "/view", params=params)
            return answer.status == 200 and answer.length == len(file.data)
        return False

    async def view(self, output: Output) -> bytes:
        """An output's bytes. Raises `UnexpectedAnswer` when it is not there, and as `call` does."""
        params = {"filename": output.filename, "subfolder": output.subfolder, "type": output.type}
        answer = await self._download(params)
        if answer.status != 200:
            raise UnexpectedAnswer(f'ComfyUI does not give out its file "{output.filename}" (HTTP {answer.status}).')
        return answer.body

    async def _download(self, params: Mapping[str, str]) -> Answer:
        return await self.call(
            "GET", "/view", params=params, seconds=DOWNLOAD_SECONDS, silent=STALL_SECONDS, most=MAX_OUTPUT_BYTES
        )


def connection_fault(error: BaseException) -> str:
    """A connection error in two words; the library's own text would repeat the address, or name internals."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name is not known"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientSSLError):
        return "it does not speak https"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "connection refused" if isinstance(error.os_error, ConnectionRefusedError) else "no connection"
    return "the connection broke off"


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/cloud.py
#
# server/cloud.
# ----------------------------------------------------------------------------------------------------------------------


CLOUD_DEFINITION_SECONDS = 3600.0  # the same where all of them come at once, and how long an upload is relied on
BILLING = re.compile(r"PAYMENT_REQUIRED|SUBSCRIPTION_REQUIRED|FREE_TIER_(EXHAUSTED|NOT_ALLOWED)")
MAX_REFUSAL_BYTES = 2**16
REMEMBERED_UPLOADS = 1000
WHOLE = "/object_info"  # under which it is noted when all definitions were asked for


class CloudConnection(Connection):
    """Every frame of the account comes here, whoever posted the prompt, and none says that nothing runs any more."""

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
            if subscription := self._subscriptions.get(str(prompt_id)):
                subscription.events.put_nowait(Gap())  # look it up at once: there is no frame to wait for
        elif prompt_id is not None:
            self._running.add(str(prompt_id))

    def _take_picture(self, picture: Frame) -> None:
        if picture.prompt_id is None and self._running != {self._at[0]}:
            return  # it does not say whose it is, and the account may be that of many people
        super()._take_picture(picture)


class ComfyCloud(ComfyUIServer):
    """Comfy Cloud, version 1 of its API, as its makers document it. Everything in which it is no ComfyUI of one's own
    is here:

    - The key is sent as `X-API-Key`, and as the token of the websocket's address; all routes but the websocket's are
      below `/api`. Only `/user` proves a key.
    - A prompt gets its id from the service. Frames that come before that id is known are made up for by a look-up. A
      post whose answer is lost can neither be looked up nor repeated.
    - The key goes with the prompt, too: nodes of partners are paid with it.
    - 402 means that money or a plan is missing, 429 and 503 that the service is busy; some 429 are of the first kind.
    - A job is looked up as a job, not in queue and history. The queue is that of the account and shows no extra_data,
      so that what one user has in it cannot be told; a single job shows it.
    - A run may fail for want of money as well, and want of memory has a name of its own (`run_error`).
    - No frame says that a run is recorded, so every end is looked up. Frames and pictures of the whole account come
      over every websocket.
    - Files are kept by their content: an upload gets another name, and one that was sent before is not looked for.
      A download is a redirect to a signed address elsewhere, which is asked without the key, and only by https if the
      service is.
    - Definitions come only all at once, and are believed for an hour; model files say nothing of themselves.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.connection = CloudConnection(self)
        self._texts: dict[str, str] = {}  # class -> its definition as JSON: as objects, all of them take much memory
        self._uploads: dict[str, tuple[float, str]] = {}  # by our names: when they were sent, and their names there

    def _address(self, path: str) -> str:
        return super()._address(path if path.startswith("/api/") else f"/api{path}")

    def _websocket_query(self, client_id: str) -> dict[str, str]:
        return {**super()._websocket_query(client_id), "token": self.endpoint.api_key}

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status not in (402, 403, 429, 503):
            return await super()._check(response)
        kind, reason = self._reason_in(await response.content.read(MAX_REFUSAL_BYTES))
        said = f": {reason}" if reason else f" (HTTP {response.status})."
        if response.status == 402 or BILLING.search(kind):
            raise PaymentRequired(f"Comfy Cloud wants to be paid{said}")
        if response.status == 403 and kind and response.method == "POST":
            raise WorkflowRefused(f"Comfy Cloud does not allow this{said}")
        if response.status == 403:
            raise self._access_refused(response.status)
        raise ServerBusy(f"Comfy Cloud is busy{said}", seconds=read_retry_after(response.headers.get("Retry-After")))

    def _reason_in(self, body: bytes) -> tuple[str, str]:
        """The type and the message of an error; "" for what it does not tell."""
        with contextlib.suppress(ValueError, AttributeError):
            told = json.loads(body)
            error = told.get("error") if isinstance(told.get("error"), dict) else told
            return str(error.get("type") or ""), shortened(error.get("message") or "", 200)
        return "", ""

    async def probe(self) -> None:
        """Find out whether the service answers and takes the key; raises room 2's errors when not."""
        if "status" not in await self.get("/user", PROBE_SECONDS):
            raise UnexpectedAnswer(f"What answers at {self.endpoint.url} is not Comfy Cloud.")

    async def define(self, class_type: str, believe: float = DEFINITION_SECONDS) -> NodeDefinition | None:
        """A node's definition, or None when there is no such node; at most an hour old, whatever `believe` says."""
        if time.monotonic() - self._asked.get(WHOLE, -math.inf) >= CLOUD_DEFINITION_SECONDS:
            await self.together("all definitions", self._learn)
        if class_type not in self.definitions and class_type in self._texts:
            with self._reading(WHOLE):
                self._take_definition(class_type, json.loads(self._texts[class_type]))
        return self.definitions.get(class_type)

    async def _learn(self) -> None:
        everything = await self.get(f"{WHOLE}?include_user_models=true")
        self._texts = await asyncio.to_thread(lambda: {name: json.dumps(raw) for name, raw in everything.items()})
        self.definitions = {}
        self._asked = {WHOLE: time.monotonic()}

    async def define_all(self, class_types: Iterable[str]) -> Definitions:
        """The definitions of those classes that the service has."""
        found = {name: await self.define(name) for name in sorted(set(class_types))}
        return {name: definition for name, definition in found.items() if definition}

    async def names(
        self, path: str, believe: float = DOUBT_SECONDS, read: Callable[[Any], str] = str
    ) -> list[str] | None:
        """A list of names, as a ComfyUI of one's own has it under this path."""
        if path == "/embeddings":
            return [name.rpartition(".")[0] or name for name in await self.names("/models/embeddings", believe) or ()]
        if path.startswith("/models"):
            return await super().names(f"/experiment{path}", believe, lambda item: str(item["name"]))
        return await super().names(path, believe, read)

    async def model_metadata(self, folder: str, name: str) -> Mapping[str, Any] | None:
        """What a model file says of itself: here they say nothing."""
        return {}

    async def submit(self, prompt_id: str, graph: Graph, extra_data: Mapping[str, Any]) -> Accepted:
        """Post a prompt once; its id is the answer's. Raises `WorkflowRefused` and its kin, `PaymentRequired`,
        `ServerBusy`, and as `call` does; `ServerUnreachable` says whether it may have been taken."""
        key = {"api_key_comfy_org": self.endpoint.api_key} if self.endpoint.api_key else {}
        body = {
            "prompt": graph,
            "client_id": self.connection.client_id,
            "extra_data": {**extra_data, **key},
        }
        try:
            answer = await self.call("POST", "/prompt", body=body)
        except ServerUnreachable as error:
            if error.refused:
                raise
            raise ServerUnreachable(
                "The answer of Comfy Cloud to the job was lost, so it cannot be told whether it runs there.",
                "Look at the account's jobs before it is run again: it may be running, and is paid for then.",
            ) from None
        if answer.status == 413:
            raise WorkflowRefused("The workflow is larger than Comfy Cloud takes.")
        accepted = self._read_accepted(graph, answer)
        with self._reading("/prompt"):
            return Accepted(str(accepted["prompt_id"]), self._dropped(graph, accepted))

    async def _job(self, prompt_id: str, seconds: float) -> dict[str, Any] | None:
        path = f"/jobs/{quote(prompt_id, safe='')}"
        answer = await self.call("GET", path, seconds=seconds)
        return None if answer.status == 404 else self._json(path, answer)

    async def look_up(self, prompt_id: str, since: float) -> Event:
        """Where a prompt stands: `Started`, `Waiting`, `Recorded` or `Absent`."""
        job = await self._job(prompt_id, LOOK_UP_SECONDS)
        if job is None:
            return Absent()
        with self._reading("/jobs"):
            event = parse_job(job)
        if isinstance(event, Waiting) and job.get("queue_position") is None:
            return (await self.queue(since)).find(prompt_id) or event
        return event

    async def find(self, prompt_id: str) -> Prompt | None:
        """A prompt with its graph and `extra_data`, wherever it stands, or None when the account has none such."""
        job = await self._job(prompt_id, ANSWER_SECONDS)
        with self._reading("/jobs"):
            return None if job is None else self._prompt(job)

    def _prompt(self, job: Mapping[str, Any]) -> Prompt:
        workflow = job.get("workflow") or {}
        ended = job.get("execution_end_time")  # in milliseconds
        return Prompt(
            str(job["id"]),
            parse_job(job),
            float(job.get("create_time") or 0.0),
            workflow.get("prompt") or {},
            workflow.get("extra_data") or {},
            None if ended is None else float(ended) / 1000,
        )

    async def recent(self) -> list[Prompt]:
        """None: whose they are cannot be told of the account's jobs."""
        return []

    async def cancel(self, prompt_id: str, seconds: float = CLEAN_UP_SECONDS) -> None:
        """Cancel a prompt, wherever it stands. Raises a `ServerError` when the service could not be told."""
        path = f"/jobs/{quote(prompt_id, safe='')}/cancel"
        answer = await self.call("POST", path, seconds=seconds)
        if answer.status not in (200, 404):  # an id that it does not know is that of a prompt that it did not take
            raise UnexpectedAnswer(f"Comfy Cloud did not cancel the job (HTTP {answer.status}).")

    async def upload(self, file: InputFile) -> str:
        """Send a file, unless that was done a short while ago; returns the name that it has there."""
        sent, name = self._uploads.get(file.stored_name, (-math.inf, ""))
        if time.monotonic() - sent >= CLOUD_DEFINITION_SECONDS:
            name = await self._send(file, type="input", overwrite="true")
            self._uploads[file.stored_name] = time.monotonic(), name
            for oldest in list(self._uploads)[:-REMEMBERED_UPLOADS]:
                del self._uploads[oldest]
        return name

    def _check_upload(self, file: InputFile, answer: Answer) -> None:
        if answer.status == 400:
            reason = self._reason_in(answer.body)[1] or "it gives no reason"
            raise LimitExceeded(f"Comfy Cloud did not take the file: {reason}", "Give a smaller one.")
        super()._check_upload(file, answer)

    async def _download(self, params: Mapping[str, str]) -> Answer:
        ask = functools.partial(self.call, "GET", seconds=DOWNLOAD_SECONDS, silent=STALL_SECONDS, most=MAX_OUTPUT_BYTES)
        answer = await ask("/view", params=params, redirects=True)
        if answer.status not in REDIRECTS:
            return answer
        with self._reading("/view"):
            signed = URL(self._address("/view")).join(URL(answer.location, encoded=True))
            safe = signed.scheme == "https" or signed.scheme == URL(self.endpoint.url).scheme
            if not safe or not signed.host:
                raise self._redirected(answer.location)
        return await ask(signed)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/pool.py
#
# server/pool.
# ----------------------------------------------------------------------------------------------------------------------


IDLE_SECONDS = 60.0  # how long the websocket outlives its last job
IDLE_SERVERS = 100  # that are remembered without being in use


class Pool:
    """The servers of one event loop, and the task that looks after them.

    The keeper closes what has been idle for `IDLE_SECONDS`, so that nothing stays behind when Open WebUI loads the file
    anew, and frees ComfyUI's memory where that is due. It closes everything when the event loop ends: that cancels all
    of its tasks, while a Stop cancels one call. So the keeper also tells the two apart.
    """

    def __init__(self) -> None:
        self._servers: dict[Endpoint, ComfyUIServer] = {}
        self._keeper: asyncio.Task[None] | None = None

    @classmethod
    def here(cls) -> "Pool":
        """The one of this event loop."""
        for loop in [reference() for reference in _POOLS.keyrefs()]:  # a copy: other threads have loops, too
            if loop and loop.is_closed():
                _POOLS.pop(loop, None)
        return _POOLS.setdefault(asyncio.get_running_loop(), cls())

    @property
    def ending(self) -> bool:
        """Whether the event loop ends, as when Open WebUI is shut down."""
        return self._keeper is not None and self._keeper.cancelling() > 0

    def server(self, endpoint: Endpoint) -> ComfyUIServer:
        """The server of an endpoint, whether or not it is open."""
        server = self._servers.pop(endpoint, None) or (ComfyCloud if endpoint.cloud else ComfyUIServer)(endpoint)
        server.endpoint = endpoint  # by another name, perhaps
        for forgotten in [one for one, other in self._servers.items() if not other.is_watched][:-IDLE_SERVERS]:
            del self._servers[forgotten]
        self._servers[endpoint] = server
        return server

    @contextlib.asynccontextmanager
    async def open(self, endpoint: Endpoint) -> AsyncIterator[ComfyUIServer]:
        """The server of an endpoint, which is not closed meanwhile."""
        server = self.server(endpoint)
        async with server.door:
            server.users += 1
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep())
        try:
            yield server
        finally:
            server.users -= 1
            server.idle_since = time.monotonic()

    async def close(self) -> None:
        """Close everything at once."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})

    async def _keep(self) -> None:
        try:
            while watched := [server for server in self._servers.values() if server.is_watched]:
                for server in watched:
                    now = time.monotonic()
                    if server.free_at is not None and now >= server.free_at and not server.in_use:
                        server.later(server.free_when_due())
                    elif server.is_open and not server.in_use and now - server.idle_since >= IDLE_SECONDS:
                        async with server.door:
                            if not server.in_use:
                                await server.close()
                await asyncio.sleep(IDLE_SECONDS / 10)
        finally:  # each as far as its time allows; what is open after that ends with the process
            closing = [asyncio.create_task(server.close()) for server in self._servers.values() if server.is_open]
            if closing:
                await asyncio.wait(closing, timeout=CLEAN_UP_SECONDS)


_POOLS: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Pool]" = weakref.WeakKeyDictionary()


def open_server(endpoint: Endpoint) -> contextlib.AbstractAsyncContextManager[ComfyUIServer]:
    """The server of an endpoint, one for all calls of this event loop."""
    return Pool.here().open(endpoint)


async def close_servers() -> None:
    """Close everything at once, for the command line and for tests."""
    if pool := _POOLS.pop(asyncio.get_running_loop(), None):
        await pool.close()


# ======================================================================================================================
# src/comfyui_chat/catalogue/__init__.py
#
# catalogue.
# ======================================================================================================================


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/catalogue/entries.py
#
# catalogue/entries.
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """How models whose names match are best run."""

    name: str
    match: str  # regular expression over path, name and what the file says of itself, any case; "" matches all
    megapixels: float | None  # None: the size that the graph holds is right
    defaults: Mapping[str, Any]  # parameter -> value, instead of the graph's own


@dataclass(frozen=True)
class ModelNeed:
    """A model file that a workflow loads: where it is named in the graph, and which files will do."""

    target: Target
    folder: str
    file: str  # the one to fetch, and the best one to have
    match: str
    avoid: str
    source: str = ""  # the repository on Hugging Face that has `file`

    def rank(self, choices: Iterable[str]) -> list[str]:
        """The installed files that will do, best first."""
        fitting = [name for name in choices if self.fits(name)]
        return sorted(fitting, key=lambda name: (plain_name(name) != plain_name(self.file), name.lower()))

    def __str__(self) -> str:
        return f"{self.folder}/{self.file}" + (f" ({self.source})" if self.source else "")

    def fits(self, name: str, about: str = "") -> bool:
        """Whether a file will do, by its name or by what it says of itself."""
        texts = [base_name(name), *([about] if about else [])]
        avoided = self.avoid and any(re.search(self.avoid, text, re.IGNORECASE) for text in texts)
        return not avoided and any(re.search(self.match, text, re.IGNORECASE) for text in texts)


SOURCES = ("attached", "user", "administrator", "server", "bundled")  # in the order in which they are searched


@dataclass(frozen=True)
class Entry:
    """One workflow of the catalogue, in either of ComfyUI's formats.

    Bundled ones say which models they run with; the first need is the main model, the one that `model` names. A graph
    that is None is still on the server.
    """

    name: str
    source: str  # one of `SOURCES`
    graph: Graph | None = None
    task: str = ""
    description: str = ""
    path: str = ""  # on the server
    families: tuple[Family, ...] = ()
    needs: tuple[ModelNeed, ...] = ()

    @functools.cached_property
    def workflow(self) -> Workflow:
        """A bundled one's graph with its parameters, whatever the server."""
        return Workflow.parse(self.name, self.graph)

    @functools.cached_property
    def files(self) -> tuple[FileInput, ...]:
        """The files that a bundled one takes, whatever the server."""
        return file_inputs(self.workflow.graph, NO_DEFINITIONS)


@functools.cache
def bundled_entries() -> tuple[Entry, ...]:
    """The workflows at the end of this file, in the manifest's order of preference."""
    items = json.loads(MANIFEST)["workflows"]
    families = {item["name"]: item["families"] for item in items if "families" in item}
    return tuple(
        Entry(
            name=item["name"],
            source="bundled",
            graph=json.loads(BUNDLED[item["name"]]),
            task=item["task"],
            description=item["description"],
            families=tuple(Family(**family) for family in families[item.get("families_of", item["name"])]),
            needs=tuple(
                ModelNeed(
                    Target(need["node"], need["input"]),
                    need["folder"],
                    need["file"],
                    need["match"],
                    need.get("avoid", ""),
                    need.get("source", ""),
                )
                for need in item["models"]
            ),
        )
        for item in items
    )


@dataclass(frozen=True)
class Pasted:
    """The workflows that somebody pasted into a valve, and what is wrong with the others."""

    entries: tuple[Entry, ...] = ()
    problems: tuple[str, ...] = ()


def is_envelope(value: Mapping[str, Any]) -> bool:
    """Whether an object holds one workflow and things about it, and not several by their names."""
    others = (item for key, item in value.items() if key not in WRAPPERS)
    return not value.keys().isdisjoint(WRAPPERS) and not any(
        is_ui_format(item) or is_api_format(item) for item in others
    )


def without_json(name: str) -> str:
    """A workflow's name without its file's ending."""
    return re.sub(r"\.json$", "", name.strip(), flags=re.IGNORECASE)


@functools.lru_cache(maxsize=32)
def read_pasted(text: str, source: str, valve: str) -> Pasted:
    """What a valve holds: one workflow, an object of name -> workflow, or a list of them; each as ComfyUI saves or
    exports it, or as {"name", "description", "task", "workflow"}. Cached: it is read with every call."""
    try:
        value = read_json(text) if text.strip() else {}
    except WorkflowRefused as refused:
        return Pasted(problems=(f"{valve}: {refused.message}",))
    if is_ui_format(value) or is_api_format(value) or (isinstance(value, dict) and is_envelope(value)):
        value = [value]
    if not isinstance(value, (dict, list)):
        return Pasted(problems=(f"{valve} holds no workflow. {EXPECTED}",))
    entries, problems = [], []
    for place, (key, item) in enumerate(value.items() if isinstance(value, dict) else enumerate(value)):
        about = item if isinstance(item, dict) and not is_ui_format(item) and not is_api_format(item) else {}
        fallback = f"{source}-{place + 1}" if len(value) > 1 else source
        name = shortened(text_of(about.get("name"), fallback if isinstance(value, list) else str(key)))
        name = without_json(name) or fallback
        try:
            graph = unwrap(item)
        except WorkflowRefused as refused:
            problems.append(f'{valve}, "{shortened(name)}": {refused.message}')
            continue
        task, description = (shortened(text_of(about.get(field)), 200) for field in ("task", "description"))
        entries.append(Entry(name, source, graph, task, description))
    return Pasted(tuple(entries), tuple(problems))


@dataclass(frozen=True)
class Catalogue:
    """Where workflows are looked for by name: those attached and pasted, then those saved on the server, then the
    bundled ones."""

    given: tuple[Entry, ...] = ()
    saved: bool = True  # whether those on the ComfyUI server may be used
    problems: tuple[str, ...] = ()  # why some are not there

    async def entries(self, server: ComfyUIServer, believe: float = DOUBT_SECONDS) -> "Listing":
        """All of them, in the order in which they are searched. Of two with one name the later one carries its source
        in its name. What the server has saved is no older than `believe` seconds."""
        paths, problems = list[str](), list(self.problems)
        if self.saved:
            try:
                paths = await server.saved_workflows(believe)
            except (ServerUnreachable, ServerGone):
                raise
            except ServerError as error:  # a proxy that lets only the other routes through, or a server of many users
                problems.append(f"What is saved on the ComfyUI server cannot be listed. {error.message}")
        saved = [Entry(without_json(path), "server", path=path) for path in paths]
        return await asyncio.to_thread(self._named, [*self.given, *saved, *bundled_entries()], tuple(problems))

    @staticmethod
    def _named(found: Sequence[Entry], problems: tuple[str, ...]) -> "Listing":
        entries: dict[str, Entry] = {}
        counts: dict[str, int] = {}
        for entry in found:
            name = entry.name if entry.name not in entries else f"{entry.name} ({entry.source})"
            while name in entries:
                counts[entry.name] = counts.get(entry.name, 1) + 1
                name = f"{entry.name} {counts[entry.name]}"
            entries[name] = entry if name == entry.name else replace(entry, name=name)
        return Listing(tuple(entries.values()), problems)

    async def find(self, server: ComfyUIServer, wanted: Wanted) -> Entry:
        """The workflow of a name, whatever its case, folder or extension. Raises `UnknownWorkflow`."""
        name = str(wanted.value).strip()
        for believe in (DOUBT_SECONDS, 0.0):  # it may have been saved a moment ago
            listing = await self.entries(server, believe)
            if entry := await asyncio.to_thread(listing.find, name):
                return entry
        like = await asyncio.to_thread(closest, name, [entry.name for entry in listing.entries], 8)
        hints = [f"There are, among others: {quoted(like)}.", *listing.problems]
        message = f'{wanted.name} is "{shortened(wanted.value)}", and no workflow is called so.'
        raise UnknownWorkflow(message, " ".join(hints))


@dataclass(frozen=True)
class Listing:
    """What a catalogue holds on a server, and why some may not be there."""

    entries: tuple[Entry, ...]
    problems: tuple[str, ...]

    def find(self, name: str) -> Entry | None:
        """The first source's that has it; in each its very name comes first."""
        for source in SOURCES:
            names = {entry.name: entry for entry in self.entries if entry.source == source}
            found = find_name(name, list(names)) or find_name(without_json(name), list(names))
            if found is not None:
                return names[found]
        return None


ATTACHED = "attached"  # what the workflow in one of them is called


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/catalogue/choosing.py
#
# catalogue/choosing.
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """A workflow that this server can run, with its model files set."""

    workflow: Workflow
    family: Family
    model: str
    definitions: Definitions
    notes: tuple[str, ...] = ()
    absent: Mapping[Target, str] = field(default_factory=dict)  # model files that it names and the server does not have
    wanting: Mapping[Target, str] = field(default_factory=dict)  # pictures and the like that it still has to be given
    task: str = ""  # of a bundled one
    picture: Size | None = None  # of the first picture that it works on

    @property
    def saved(self) -> bool:
        """Whether somebody saved it as it is; what its author chose then stays unless the call says otherwise."""
        return self.family.megapixels is None


async def read_entry(server: ComfyUIServer, entry: Entry) -> tuple[Workflow, Definitions]:
    """A workflow of the catalogue in the API format with its parameters, and the definitions of its nodes, as far as
    the server has them. Raises `WorkflowRefused` and its kin, naming the workflow, and as the server does."""
    try:
        raw = entry.graph if entry.graph is not None else await server.saved_workflow(entry.path)
        if is_ui_format(raw):
            live = await asyncio.to_thread(live_nodes, raw)
            definitions = await server.define_all(class_types(live))
            if missing := strange_types(live, definitions):
                raise _nodes_missing(missing)
            graph, dynamic = await asyncio.to_thread(read_ui, live, definitions)
        else:
            graph, dynamic = clean(raw), frozenset()
            definitions = await server.define_all(node["class_type"] for node in graph.values())
        return await asyncio.to_thread(Workflow.parse, entry.name, graph, definitions, dynamic), definitions
    except WorkflowRefused as refused:
        message = f'The workflow "{entry.name}" cannot be used. {refused.message}'
        raise type(refused)(message, refused.hint) from None


def _nodes_missing(names: Sequence[str]) -> NodeNotInstalled:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return NodeNotInstalled(
        f"It needs nodes that this ComfyUI does not have: {quoted(shortened(name) for name in names[:5])}{more}."
    )


async def fit_saved(server: ComfyUIServer, entry: Entry, model: Wanted | None) -> Choice:
    """A workflow that is not bundled, as its author saved it, with names of model files made to fit this server's and
    the model that was asked for. Raises `NodeNotInstalled`, `ModelNotInstalled`, `WorkflowRefused`."""
    workflow, definitions = await read_entry(server, entry)
    if missing := missing_nodes(workflow.graph, definitions):
        refused = _nodes_missing(missing)
        raise NodeNotInstalled(f'The workflow "{entry.name}" cannot be used. {refused.message}')
    check_links(workflow.graph, definitions)
    try:
        choice = await asyncio.to_thread(_fit_files, workflow, definitions, model)
        places: Iterable[Target | None] = choice.absent
    except ModelNotInstalled:
        places = [place for target in workflow.parameters["model"] for place in (target, target.reader)]
    if stale := {workflow.graph[place.node_id]["class_type"] for place in places if place}:
        definitions = await server.define_anew(definitions, stale, DOUBT_SECONDS)
        choice = await asyncio.to_thread(_fit_files, workflow, definitions, model)
    return choice


AS_SAVED = Family("", "", None, {})


def _fit_files(workflow: Workflow, definitions: Definitions, model: Wanted | None) -> Choice:
    """The workflow with the files that are installed; of what no output needs nothing is expected. Raises
    `ModelNotInstalled` when the model that was asked for is not there."""
    notes: list[str] = []
    files: dict[Target, str] = {}
    if model and "model" in workflow.parameters:
        choices = workflow.spec("model", definitions).names
        named = find_name(str(model.value), choices)
        if named is None:
            raise _model_missing(model, choices)
        files.update((target.widget, named) for target in workflow.parameters["model"])
    elif model:
        notes.append(f'the workflow "{workflow.name}" has no model to choose; {model.name} was left out')
    absent: dict[Target, str] = {}
    needed = Wiring.of(workflow.graph, definitions).needed()
    for file in model_files(workflow.graph, definitions):
        if file.target in files or file.installed is None or file.target in workflow.templates:
            continue
        choices = workflow.widget_spec(file.target, definitions).names
        name = find_name(file.file, choices)
        if name is not None:
            files |= {file.target: name} if name != file.file else {}
        elif file.target.node_id in needed:
            like = closest(file.file, choices) if len(absent) < 5 else []
            absent[file.target] = f"{file.folder}/{file.file}" + (f" (installed: {quoted(like)})" if like else "")
    fitted = workflow.set(files)
    return Choice(fitted, AS_SAVED, str(fitted.value("model") or ""), definitions, tuple(notes), absent)


TEXT_TO_IMAGE = ("text_to_image",)
CHANGING = ("image_edit", "image_to_image")
Offer = Callable[[], Awaitable[InputFile]]  # reads a file that may be used


@dataclass(frozen=True)
class Wish:
    """What somebody wants, not yet understood; None is for what is best, or for what the workflow's author saved."""

    prompt: str | None = None
    tasks: tuple[str, ...] = TEXT_TO_IMAGE  # for one of these a workflow is chosen when none is named; the first wins
    negative_prompt: Wanted | None = None
    size: Wanted | None = None
    count: Wanted | None = None
    seed: Wanted | None = None
    steps: Wanted | None = None
    guidance: Wanted | None = None
    model: Wanted | None = None
    workflow: Wanted | None = None
    loras: Wanted | None = None
    strength: Wanted | None = None  # how much of a picture is painted anew, 0 to 1
    scale: Wanted | None = None  # how many times as wide and high a picture becomes
    inputs: Mapping[str, Wanted] = field(default_factory=dict)  # any other input of the workflow, by name
    files: tuple[InputFile | None, ...] = ()  # for its file inputs, in order; None keeps the author's
    mask: Image.Image | None = field(default=None, repr=False)  # of mode "L": white is painted anew
    offers: Mapping[str, Offer] = field(default_factory=dict)  # kind -> the chat's newest, for when none is given

    @property
    def pictures(self) -> int:
        """How many pictures are given to work on; the last one may be the mask."""
        return sum(file is not None and file.kind == "image" for file in self.files)

    def room_in(self, inputs: Sequence[FileInput]) -> int:
        """How many pictures these inputs have room for, a mask as the last one if none is given apart."""
        masked = self.mask is None and any(item.takes_mask for item in inputs)
        return sum(item.kind == "image" for item in inputs) + masked

    @property
    def called(self) -> str:
        """What files of it are named after: the prompt, wherever it stands, or the workflow."""
        named = self.inputs.get("prompt") or self.workflow
        return str(self.prompt or (named.value if named else ""))

    def insisting(self) -> "Wish":
        """The wish that does without no model or workflow of a valve, for choosing a server that has it."""
        model, workflow = self.model, self.workflow
        if workflow is None and model:
            return replace(self, model=replace(model, level=0))
        return replace(self, workflow=replace(workflow, level=0)) if workflow and not model else self

    def against_author(self) -> "Wish":
        """The wish for a workflow as its author saved it: valves of less right than what named it change nothing."""
        level = self.workflow.level if self.workflow else 0
        size, negative_prompt = (
            None if wanted and wanted.level > level else wanted for wanted in (self.size, self.negative_prompt)
        )
        return replace(self, size=size, negative_prompt=negative_prompt)


FETCH = (
    "Files go into ComfyUI's models folder, and others whose names are alike will do; "
    "in brackets is the repository on Hugging Face."
)


async def choose(server: ComfyUIServer, wish: Wish, catalogue: Catalogue = Catalogue()) -> Choice:
    """The workflow that is asked for by name, else the first bundled one that fits the wish's tasks, its pictures, the
    model asked for and what is installed. A task's name, where no workflow is called so, stands for its workflows.

    When a model and a workflow do not go together, the one asked for with less right (a valve against an argument)
    gives way. Raises `UnknownWorkflow`, `ModelNotInstalled`, `NodeNotInstalled`, `BadArgument`, and as the server does.
    """
    if wish.workflow:
        try:
            named = await catalogue.find(server, wish.workflow)
        except UnknownWorkflow:
            task = re.sub(r"[\s-]+", "_", str(wish.workflow.value).strip().lower())
            if task not in {entry.task for entry in bundled_entries()}:
                raise
            return await _choose_for(server, replace(wish, tasks=(task,)))
        return await _choose_named(server, wish, named)
    return await _choose_for(server, wish)


async def _choose_named(server: ComfyUIServer, wish: Wish, named: Entry) -> Choice:
    """The workflow that is named, with the model that is named."""
    model, level = wish.model, wish.workflow.level if wish.workflow else 0
    fit = fit_entry if named.needs else fit_saved
    if not named.needs and model and model.level > level:
        model = None  # a valve does not change what somebody saved
    try:
        choice = await fit(server, named, model)
    except ModelNotInstalled:
        if model is None or model.level == level:
            raise
        if model.level < level:
            return await _choose_for(server, wish)
        choice = await fit(server, named, None)
        other = f'"{shortened(model.value)}" does not go with the workflow "{named.name}" and was left out'
        choice = replace(choice, notes=(*choice.notes, f"{model.name} {other}"))
    if level and wish.workflow and not _takes(choice, wish):  # a valve does not stand in the way of what was given
        choice = await _choose_for(server, wish)
        note = f'{wish.workflow.name} names "{named.name}", which does not take what was given, and was left out'
        choice = replace(choice, notes=(*choice.notes, note))
    return choice


def _takes(choice: Choice, wish: Wish) -> bool:
    """Whether a workflow has room for the wish's pictures and a place for its mask."""
    inputs = file_inputs(choice.workflow.graph, choice.definitions)
    if wish.mask and not any(item.takes_mask for item in inputs):
        return False
    return wish.pictures <= wish.room_in(inputs)


async def _choose_for(server: ComfyUIServer, wish: Wish) -> Choice:
    """The first bundled workflow of the first task for which everything is installed."""
    entries = [entry for task in wish.tasks for entry in bundled_entries() if entry.task == task]
    pictures = wish.pictures
    taking = [entry for entry in entries if wish.room_in(entry.files) >= pictures]
    if not taking:
        most = max((wish.room_in(entry.files) for entry in entries), default=0)
        given = "A picture was" if pictures == 1 else f"{pictures} pictures were"
        hint = f"Give at most {most}." if most else "Leave it out, or name a workflow that takes pictures."
        raise BadArgument(f"{given} given, which no workflow takes.", hint)
    model, began = wish.model, time.monotonic()
    # For pictures to work on, a model out of a valve is one to prefer; it may be made for something else.
    models = [model, None] if model and model.level and wish.tasks != TEXT_TO_IMAGE else [model]
    refusals: dict[str, None] = {}
    for readable in (True, False):  # a file that the server cannot read is still better than none
        for task in wish.tasks:
            for one, entry in itertools.product(models, taking):
                if entry.task != task:
                    continue
                try:
                    return await fit_entry(server, entry, one, strict=True, readable=readable, began=began)
                except WorkflowRefused as refused:
                    refusals |= {refused.message: None} if one is None else {}
    if model and len(models) == 1:
        raise await _no_such_model(server, entries, model, f" that takes {pictures} pictures" if pictures > 1 else "")
    purpose = "a picture could be made with" if wish.tasks == TEXT_TO_IMAGE else "could do this"
    raise ModelNotInstalled(
        f"No model is installed that {purpose}.", f"One set of files is enough. {FETCH} {' '.join(refusals)}"
    )


async def fit_entry(
    server: ComfyUIServer,
    entry: Entry,
    model: Wanted | None,
    *,
    strict: bool = False,
    readable: bool = False,
    began: float | None = None,
) -> Choice:
    """A bundled workflow with the model files of this server. `strict` takes a named model only where its name or its
    metadata say that it belongs; `readable` passes over files that the server cannot read. Lists of files that lack a
    named model are asked for anew unless that was done since `began`. Raises `NodeNotInstalled`, `ModelNotInstalled`.
    """
    began = time.monotonic() if began is None else began
    graph = entry.workflow.graph
    definitions = dict(await server.define_all(node["class_type"] for node in graph.values()))
    if missing_classes := missing_nodes(graph, definitions):
        raise NodeNotInstalled(f'The workflow "{entry.name}" needs the node "{missing_classes[0]}".')
    files: dict[Target, str] = {}
    missing: dict[str, None] = {}
    for index, need in enumerate(entry.needs):
        alike = [other.target for other in entry.needs[:index] if str(other) == str(need) and other.target in files]
        if alike:  # several nodes read the one file
            files[need.target] = files[alike[0]]
            continue
        wanted = model if index == 0 else None
        search = FileSearch(server, need, graph[need.target.node_id]["class_type"], index == 0)
        if wanted:
            files[need.target] = await search.named(wanted, strict, began)
        elif name := await search.best(readable and not missing):
            files[need.target] = name
        else:
            missing[str(need)] = None
    if missing:
        raise ModelNotInstalled(f'The workflow "{entry.name}" lacks {", ".join(missing)}.', FETCH)
    main = files[entry.needs[0].target]
    known = f"{main} {await architecture(server, entry.needs[0].folder, main) or ''}"
    family = next(family for family in entry.families if re.search(family.match, known, re.IGNORECASE))
    return Choice(entry.workflow.set(files), family, main, definitions, task=entry.task)


async def architecture(server: ComfyUIServer, folder: str, name: str) -> str | None:
    """The kind of model that a file says it is: "stable-diffusion-xl-v1-base"; "" when it does not say, None when the
    server itself cannot read the file."""
    about = await server.model_metadata(folder, name)
    keys = ("modelspec.architecture", "ss_base_model_version")
    return None if about is None else next((str(about[key]) for key in keys if about.get(key)), "")


STRANGE_FILES = 24  # with names that tell nothing, whose metadata is looked at


@dataclass(frozen=True)
class FileSearch:
    """The search for one model file of a bundled workflow in what a loader of this server lists."""

    server: ComfyUIServer
    need: ModelNeed
    loader: str  # the class_type
    main: bool  # whether it is the workflow's main model

    async def _names(self, believe: float) -> tuple[str, ...]:
        definition = await self.server.define(self.loader, believe)
        spec = definition.inputs.get(self.need.target.input) if definition else None
        return spec.names if spec else ()

    async def named(self, model: Wanted, strict: bool, began: float) -> str:
        """The file of that name; `strict` and `began` are those of `fit_entry`. Raises `ModelNotInstalled`."""
        names: tuple[str, ...] = ()
        for believe in (DEFINITION_SECONDS, time.monotonic() - began):
            names = await self._names(believe)
            name = find_name(str(model.value), names)
            if name and (not strict or self.need.fits(name, await self._kind(name) or "")):
                return name
        raise _model_missing(model, names)

    async def best(self, readable: bool) -> str | None:
        """The best installed file. Of main models also what they say of themselves counts; one that the server cannot
        read would only fail in the middle of the run."""
        for believe in (DEFINITION_SECONDS, DOUBT_SECONDS):
            if name := await self._best_of(await self._names(believe), readable):
                return name
        return None

    async def _best_of(self, names: Sequence[str], readable: bool) -> str | None:
        by_name = self.need.rank(names)
        for name in by_name:
            if not readable and not self.main:
                return name
            about = await self._kind(name)
            if (about is not None or not readable) and self.need.fits(name, about or ""):
                return name
        strange = [name for name in names if name not in by_name and self.need.match] if self.main else []
        for name in strange[:STRANGE_FILES]:
            if (about := await self._kind(name)) and self.need.fits(name, about):
                return name
        return None

    async def _kind(self, name: str) -> str | None:
        return await architecture(self.server, self.need.folder, name)


def _model_missing(model: Wanted, choices: Sequence[str]) -> ModelNotInstalled:
    known = closest(str(model.value), choices)
    hint = f"Installed are: {quoted(known)}." if known else "No model is installed for this workflow."
    return ModelNotInstalled(f'{model.name} is "{shortened(model.value)}", and no such model is installed.', hint)


async def _no_such_model(
    server: ComfyUIServer, entries: Sequence[Entry], model: Wanted, taking: str
) -> ModelNotInstalled:
    """No workflow (of those `taking` so many pictures) takes the model: it is not there, or of no kind they know."""
    installed: list[str] = []
    for entry in entries:
        target = entry.needs[0].target
        definition = await server.define(entry.workflow.graph[target.node_id]["class_type"])
        installed += definition.inputs[target.input].names if definition else ()
    if name := find_name(str(model.value), installed):
        return ModelNotInstalled(
            f'The model "{name}" is installed, but no workflow{taking} is made for it, or a file beside it is missing.',
            f"Name one of the workflows {quoted(entry.name for entry in entries)} with it to try it all the same.",
        )
    return _model_missing(model, list(dict.fromkeys(installed)))


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/catalogue/listings.py
#
# catalogue/listings.
# ----------------------------------------------------------------------------------------------------------------------


LISTED = 40  # workflows that are looked into for one list
NAMED = 60  # model names in one answer
SHOWN_CHOICES = 8


async def list_workflows(server: ComfyUIServer, catalogue: Catalogue, search: str) -> dict[str, Any]:
    """The workflows whose names or descriptions hold all words of `search`, and whether this server can run them."""
    listing = await catalogue.entries(server)
    entries = listing.entries
    words = search.lower().split()
    found = [entry for entry in entries if all(word in f"{entry.name} {entry.description}".lower() for word in words)]
    looked_at = await gather(4, [functools.partial(look_into, server, entry) for entry in found[:LISTED]])
    answer: dict[str, Any] = {"workflows": looked_at}
    if len(found) > LISTED:
        answer["more"] = f"{len(found) - LISTED} more: {quoted(entry.name for entry in found[LISTED : 2 * LISTED])}"
    if not found:
        answer["closest"] = closest(search, [entry.name for entry in entries], 5)
    if listing.problems:
        answer["problems"] = list(listing.problems)
    return answer


async def look_into(server: ComfyUIServer, entry: Entry) -> dict[str, str]:
    """One line about a workflow: name, task, source, description, and why this server cannot run it if so."""
    task, about, problem = entry.task, entry.description, ""
    try:
        if entry.needs:
            await fit_entry(server, entry, None)
        else:
            choice = await fit_saved(server, entry, None)
            graph = choice.workflow.graph
            task = task or guess_task(graph, choice.definitions)
            about = about or " with ".join(filter(None, [task.replace("_", " "), choice.model]))
            missing = list(choice.absent.values())
            problem = f"needs {'; '.join(missing[:3])}" if missing else ""
    except (ServerUnreachable, ServerGone):
        raise
    except ComfyUIError as error:
        problem = error.message.removeprefix(f'The workflow "{entry.name}" ')
    line = {"name": entry.name, "task": task, "source": entry.source, "about": shortened(about, 200)}
    return line | ({"cannot run": shortened(problem, 160)} if problem else {})


async def describe_workflow(server: ComfyUIServer, entry: Entry) -> dict[str, Any]:
    """Everything that a caller has to know of a workflow, as far as this server knows its nodes."""
    try:
        workflow, definitions = await read_entry(server, entry)
    except NodeNotInstalled as refused:  # of a graph that cannot be converted there is no more to tell
        return {"name": entry.name, "source": entry.source, "cannot run": refused.message}
    graph = workflow.graph
    inputs = {name: _input_line(workflow, name, definitions) for name in workflow.parameters}
    taken = {target.widget for targets in workflow.parameters.values() for target in targets}
    files = file_inputs(graph, definitions)
    taken |= {file.target for file in files}
    others = [name for name, target in workflow.widgets.items() if target not in taken]
    other_lines = {name: _input_line(workflow, name, definitions) for name in others[:NAMED]}
    if len(others) > NAMED:
        other_lines["…"] = f"{len(others) - NAMED} more"
    answer = {
        "name": entry.name,
        "source": entry.source,
        "task": entry.task or guess_task(graph, definitions),
        "about": entry.description,
        "inputs": inputs,
        "other inputs": other_lines,
        "files": await asyncio.to_thread(_file_lines, graph, files, definitions),
        "makes": [f'{kind} ("{title}")' for title, kind in outputs(graph, definitions)],
        "models": await _model_lines(server, entry, workflow),
        "missing nodes": list(missing_nodes(graph, definitions)),
    }
    answer = {name: value for name, value in answer.items() if value}
    note = "To show the user the graph, copy `diagram` into the answer as it is."
    return answer | {"diagram": f"```mermaid\n{mermaid(graph, definitions)}\n```", "note": note}


SECRET_INPUT = re.compile(r"(^|[._ ])(api_?)?(key|token|secret|password)$", re.IGNORECASE)


def _input_line(workflow: Workflow, name: str, definitions: Definitions) -> str:
    """An input's type, range or choices and present value: "INT, 1 to 10000, now 20"."""
    spec = workflow.spec(name, definitions)
    if name == "seed":
        return f"{spec.type}, random unless given"
    parts = [spec.type]
    if spec.choices:
        more = f" and {len(spec.choices) - SHOWN_CHOICES} more" if len(spec.choices) > SHOWN_CHOICES else ""
        parts.append(f"one of {quoted(shortened(choice, 60) for choice in spec.choices[:SHOWN_CHOICES])}{more}")
    elif spec.minimum is not None and spec.maximum is not None:
        parts.append(f"{spec.minimum:g} to {spec.maximum:g}")
    value = workflow.value(name)
    if SECRET_INPUT.search(name):
        parts.append("is set" if value else "is not set")
    elif value is None:
        parts.append("has to be given")
    else:
        parts.append(f'now "{shortened(value, 120)}"' if isinstance(value, str) else f"now {shortened(value, 40)}")
    return ", ".join(parts)


def _file_lines(graph: Graph, files: Sequence[FileInput], definitions: Definitions) -> list[str]:
    """What files a graph takes, and which of them it can do without: 'image and mask for "Photo", optional'."""
    lines = []
    for file in files[:MAX_INPUT_FILES]:
        optional = without_files(graph, [file.target], definitions) is not None
        lines.append(f'{file.kind}{" and mask" * file.masked} for "{file.title}"{", optional" * optional}')
    return lines


async def _model_lines(server: ComfyUIServer, entry: Entry, workflow: Workflow) -> dict[str, str]:
    """Model file -> whether it is installed. For a bundled workflow files with names alike will do."""
    lines = {}
    needs = {need.target: need for need in entry.needs}
    loaders = {workflow.graph[file.target.node_id]["class_type"] for file in model_files(workflow.graph, {})}
    definitions = await server.define_anew({}, loaders, DOUBT_SECONDS)
    for file in model_files(workflow.graph, definitions):
        choices = workflow.widget_spec(file.target, definitions).names
        like = needs[file.target].rank(choices) if file.target in needs else []
        name = next(iter(like), None) or find_name(file.file, choices)
        state = "not known" if file.installed is None else "not installed"
        if name:
            state = "installed" if name == file.file else f'installed as "{name}"'
        lines[f"{file.folder}/{file.file}"] = state
    return lines


MODEL_KINDS: Mapping[str, str] = {  # what people call them -> ComfyUI's folder
    "checkpoint": "checkpoints",
    "unet": "diffusion_models",
    "diffusion_model": "diffusion_models",
    "lora": "loras",
    "clip": "text_encoders",
    "text_encoder": "text_encoders",
    "upscaler": "upscale_models",
    "upscale_model": "upscale_models",
    "controlnets": "controlnet",
    "vaes": "vae",
    "embedding": "embeddings",
    "sampler": "samplers",
    "scheduler": "schedulers",
}


USUAL_KINDS = ("checkpoints", "diffusion_models", "loras", "vae", "text_encoders", "upscale_models", "controlnet")
SAMPLING_KINDS = {"samplers": "sampler_name", "schedulers": "scheduler"}  # the input of KSampler that lists them


async def list_models(server: ComfyUIServer, kind: str, search: str) -> dict[str, Any]:
    """The installed models of a kind whose names hold all words of `search`; without a kind how many there are of
    each, or where `search` is found. Raises `BadArgument` for a kind that there is not."""
    folders = await server.names("/models") or list(USUAL_KINDS)
    kinds = [*USUAL_KINDS, "embeddings", *SAMPLING_KINDS]
    kinds += [name for name in folders if name not in kinds and name not in ("configs", "custom_nodes")]
    plain = {simplified(name.replace("-", "_")): name for name in [*MODEL_KINDS, *kinds]}
    asked = plain.get(simplified(kind.replace("-", "_")), kind.strip())
    asked = MODEL_KINDS.get(asked, asked)
    if asked and asked not in kinds:
        raise BadArgument(f'There is no kind of model "{shortened(kind)}".', f"There are: {quoted(kinds)}.")
    words = search.lower().split()
    found: dict[str, list[str]] = {}
    for name in [asked] if asked else kinds:
        names = await _models_of(server, name)
        found[name] = [model for model in names if all(word in model.lower() for word in words)]
        if asked and words and not found[name] and names:
            return {"kind": name, "found": 0, "closest": closest(search, names, 5), "installed": len(names)}
    if not asked and not words:
        return {"installed": {name: len(names) for name, names in found.items() if names}}
    if not asked:
        found = {name: names for name, names in found.items() if names}
    answer: dict[str, Any] = {name: names[:NAMED] for name, names in found.items()}
    cut = {name: len(names) - NAMED for name, names in found.items() if len(names) > NAMED}
    return answer | ({"more": cut} if cut else {})


async def _models_of(server: ComfyUIServer, kind: str) -> list[str]:
    if kind in SAMPLING_KINDS:
        sampler = await server.define("KSampler")
        spec = sampler.inputs.get(SAMPLING_KINDS[kind]) if sampler else None
        return [str(choice) for choice in spec.choices] if spec else []
    return await server.names("/embeddings" if kind == "embeddings" else f"/models/{quote(kind, safe='')}") or []


# ======================================================================================================================
# src/comfyui_chat/run/__init__.py
#
# run.
# ======================================================================================================================


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/owner.py
#
# run/owner.
# ----------------------------------------------------------------------------------------------------------------------


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


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/job.py
#
# run/job.
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One prompt's life. `advance` makes the next state of it from what happened; nothing here does any I/O."""

    prompt_id: str
    weights: Mapping[str, float]  # node id -> share of the work; a sampler counts as many as it has steps
    complete: bool = True  # whether no frame can have been missed
    away: bool = False  # whether the server may have ended and come back since the post
    taken: bool = True  # whether the server is known to have had it
    ahead: int | None = None  # prompts before ours in the queue, while it waits
    started: bool = False
    sampling: bool = False
    succeeded: bool = False
    ended: bool = False  # the server is done with it
    cached: frozenset[str] = frozenset()
    nodes: Mapping[str, tuple[float, float, bool]] = field(default_factory=dict)
    current: str | None = None
    fraction: float = 0.0  # 0 to 1, never falling
    mark: tuple[float, float] | None = None  # (time, fraction) of the first sampling step
    began: float | None = None  # when it was first seen to run
    outputs: tuple[Output, ...] = ()
    sent: tuple[SentPicture, ...] = ()
    failure: Failed | None = None
    interrupted: bool = False
    recorded: bool = False  # outputs and end are those of the history
    absent: int = 0  # look-ups in a row that found it nowhere
    silent_since: float | None = None  # when look-ups began to fail
    refused_since: float | None = None  # when they began to find no connection

    @classmethod
    def posted(cls, prompt_id: str, graph: Graph) -> "Job":
        """The job of a prompt that was just posted."""
        return cls(prompt_id, {node_id: _weight(node.get("inputs") or {}) for node_id, node in graph.items()})

    @property
    def good(self) -> bool:
        """Whether all nodes are done and there is something to show, whatever the look-ups say."""
        return self.succeeded and bool(self.outputs or self.sent)

    @property
    def lost(self) -> bool:
        """Whether two look-ups in a row found it neither in the queue nor in the history."""
        return self.absent >= 2

    def seconds_left(self, now: float) -> float | None:
        """How long it will take at the speed of the steps so far, or None while that is not known."""
        if self.mark is None or self.fraction <= self.mark[1] or now <= self.mark[0]:
            return None
        return (1 - self.fraction) * (now - self.mark[0]) / (self.fraction - self.mark[1])


def _weight(inputs: Mapping[str, Any]) -> float:
    steps = inputs.get("steps")
    sampler = any(key in inputs for key in SEED_INPUTS)
    return float(steps) if sampler and isinstance(steps, (int, float)) and steps > 1 else 1.0


def _advanced(job: Job, event: Event, now: float) -> Job:
    if not isinstance(event, (Silence, QueueMoved, Gap)):
        found = not isinstance(event, Absent)
        job = replace(job, silent_since=None, refused_since=None, absent=0 if found else job.absent)
        job = replace(job, taken=job.taken or found)
    if isinstance(event, Waiting):
        return job if job.started else replace(job, ahead=event.ahead)
    if isinstance(event, Started):
        return replace(job, started=True, ahead=None)
    if isinstance(event, Cached):
        return replace(job, started=True, ahead=None, cached=event.nodes)
    if isinstance(event, Executing):
        before = job.nodes.get(job.current or "", (0.0, 1.0, False))
        done = {job.current: (before[1], before[1], True)} if job.current not in (None, event.node_id) else {}
        return _moved(replace(job, current=event.node_id), done, now)
    if isinstance(event, Progress):
        return _moved(job, event.nodes, now)
    if isinstance(event, Executed):
        return replace(job, outputs=(*job.outputs, *event.outputs))
    if isinstance(event, SentPicture):
        return replace(job, sent=(*job.sent, event))
    if isinstance(event, Failed):
        return replace(job, failure=event)
    if isinstance(event, Interrupted):
        return replace(job, interrupted=True)
    if isinstance(event, Succeeded):
        return replace(job, succeeded=True)
    if isinstance(event, Ended):
        return replace(job, ended=True)
    if isinstance(event, Recorded):
        return replace(
            job,
            ended=True,
            recorded=True,
            succeeded=event.success,
            outputs=event.outputs,
            failure=event.failure or job.failure,
            interrupted=event.interrupted,
        )
    if isinstance(event, Absent):
        return replace(job, absent=job.absent + 1)
    if isinstance(event, Silence):
        silent_since = now if job.silent_since is None else job.silent_since
        refused_since = (now if job.refused_since is None else job.refused_since) if event.refused else None
        return replace(job, away=True, silent_since=silent_since, refused_since=refused_since)
    if isinstance(event, Gap):
        return replace(job, complete=False, away=True)
    return job


def advance(job: Job, event: Event, now: float) -> Job:
    """The job after an event; `now` is in seconds of any steady clock."""
    job = _advanced(job, event, now)
    return replace(job, began=now) if job.started and job.began is None else job


def _moved(job: Job, news: Mapping[Any, tuple[float, float, bool]], now: float) -> Job:
    nodes = {**job.nodes, **news}
    planned = {node_id: weight for node_id, weight in job.weights.items() if node_id not in job.cached}
    done = sum(
        weight * (1.0 if finished else min(value / most, 1.0) if most > 0 else 0.0)
        for node_id, weight in planned.items()
        for value, most, finished in [nodes.get(node_id, (0.0, 1.0, False))]
    )
    fraction = max(job.fraction, done / (sum(planned.values()) or 1.0))
    sampling = job.sampling or any(value and most > 1 for value, most, _ in nodes.values())
    mark = job.mark or ((now, fraction) if sampling else None)
    return replace(job, started=True, ahead=None, nodes=nodes, fraction=fraction, sampling=sampling, mark=mark)


def describe(job: Job, now: float) -> tuple[str, str]:
    """The job's phase and what the user reads about it."""
    if not job.started:
        if job.ahead is None:
            return "connecting", "Sent to ComfyUI"
        return "waiting", f"Waiting, {job.ahead} ahead" if job.ahead else "Waiting, next in line"
    if not job.sampling:
        # Without a websocket there are no steps to count, and no way to tell loading from running.
        return "loading", "Loading the model" if job.complete or job.nodes else "Running"
    left = job.seconds_left(now)
    text = f"{min(job.fraction, 0.99):.0%}".replace("%", " %")
    return "running", text if left is None else f"{text} · {duration(max(left, 1))} left"


def duration(seconds: float) -> str:
    """A time span as people say it: "12 s", "3 min", "1 h 20 min"."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def judge(job: Job, graph: Graph) -> Job:
    """The job when it ended well, else its error."""
    if job.lost and not job.good and job.taken and (not job.away or job.prompt_id in CANCELLED):
        raise RunInterrupted("The job was taken out of the queue on the ComfyUI server.")
    if job.lost and not job.good:
        message = "ComfyUI no longer knows the job: it was restarted, or the job was deleted there."
        raise JobLost(message if job.taken else "ComfyUI does not know the job: its post never arrived.", job.taken)
    if job.interrupted:
        raise RunInterrupted("The run was stopped on the ComfyUI server.")
    # A node that only blocks its branch reports an error, too, and the run goes on to a good end.
    if job.failure and not job.good:
        raise run_error(job.failure, graph)
    if job.recorded and not job.succeeded:
        raise RunFailed("ComfyUI says that the run failed, and gives no reason; its log has one.")
    return job


def run_error(failure: Failed, graph: Graph) -> RunFailed | PaymentRequired:
    """A node's own error, by its title and reason; its inputs and stack trace stay on the server."""
    text = failure.message.splitlines()[0] if failure.message else ""
    kind = failure.exception_type.rsplit(".", 1)[-1]
    where = node_title(graph, failure.node_id)
    if kind in UNPAID:
        return PaymentRequired(f"Comfy Cloud stopped the run: {shortened(text or kind, 300)}")
    if "OutOfMemory" in kind or kind == "OOMError" or "out of memory" in failure.message.lower():
        return OutOfMemory(f"The graphics card ran out of memory in {where}.")
    return NodeFailed(f"{where} failed: {shortened(text or kind or 'no reason given', 300)}")


def missed_pictures(job: Job, graph: Graph) -> tuple[str, ...]:
    """A note when some of the pictures that are only sent over the websocket did not arrive."""
    senders = [node_id for node_id, node in graph.items() if node["class_type"] == "SaveImageWebsocket"]
    told = [job.nodes[node_id][1] for node_id in senders if node_id in job.nodes]
    sent = sum(int(number) for number in told if 0 < number < 10_000)
    missing = sent - len(job.sent)
    return (f"{missing} of {sent} pictures were missed: the connection was down when they were sent",) * (missing > 0)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/fleet.py
#
# run/fleet.
# ----------------------------------------------------------------------------------------------------------------------


SHARED_SECONDS = 0.1  # how old an answer about the queue may be that several jobs share


@dataclass(frozen=True)
class Patience:
    """How long a follower waits, in seconds."""

    first: float = 0.3  # after the post, before the first look-up for the place in the queue
    look_up: float = 5.0  # without a frame of the job, before the first look-up
    longest: float = 30.0  # between two look-ups; they grow apart up to this
    polling: float = 1.0  # between look-ups while there is no websocket; grows to `look_up`
    settle: float = 1.0  # between the last good frame and the history entry, and between two rounds that find nothing
    gone: float = 60.0  # without a connection, before the server is given up and its job with it
    again: float = 0.5  # between posting and counting a user's jobs on all servers once more


@dataclass(frozen=True)
class Limits:
    """What the administrator allows for one call."""

    count: int = 4
    steps: int = 100
    megapixels: float = 4.2
    upscaled_megapixels: float = 34.0
    video_seconds: float = 30.0
    wait_seconds: float = 3600.0
    jobs: int = 0  # of one user at once, on all servers; 0 is for any number
    queue: int = 0  # prompts in a queue that is joined, at most; 0 is for any number


USUAL_PACE = 10.0  # seconds of a run, where none was measured on any server


@dataclass(frozen=True)
class Sight:
    """What was seen of a server: its queue, or why it cannot be used."""

    endpoint: Endpoint
    record: Record
    queue: Queue = Queue((), ())
    error: ServerError | None = None

    def seconds_until_done(self, workflow: str, usual: float) -> float:
        """How long a run of the workflow would take here, waiting and all, by the pace that was measured."""
        pace = self.record.pace() or usual
        return (len(self.queue) + self.record.coming) * pace + (self.record.pace(workflow) or pace)


@dataclass(frozen=True)
class Standing:
    """How a server stands at the moment, as far as it tells; `error` says why not."""

    endpoint: Endpoint
    record: Record
    stats: Stats | None = None
    queue: Queue | None = None
    mine: int = 0  # jobs in its queue that are the caller's
    error: ServerError | None = None

    @property
    def health(self) -> str:
        """In a word or two; "resting" while no runs are sent there, since it failed."""
        if isinstance(self.error, ServerUnreachable):
            return "unreachable"
        if self.error:
            return self.error.code.replace("_", " ")
        if self.record.resting:
            return "resting"
        return "busy" if self.queue else "ready"

    @property
    def usable(self) -> bool:
        """Whether a run can be sent there."""
        return self.health in ("ready", "busy")


@dataclass(frozen=True)
class Fleet:
    """The servers of a call, used as one, and by what rules. All that several workers have to agree on is read from the
    servers' own queues."""

    endpoints: tuple[Endpoint, ...]  # in the administrator's order
    limits: Limits = Limits()
    owner: Owner = field(default_factory=Owner)
    patience: Patience = Patience()
    others: tuple[Endpoint, ...] = ()  # that the user does not want now; their jobs there count, and are found

    @property
    def known(self) -> tuple[Endpoint, ...]:
        """All servers on which the user may have jobs."""
        return (*self.endpoints, *self.others)

    async def survey(self, also: Endpoint | None = None) -> list[Sight]:
        """What all servers have to do now, asked at the same time. One that rests because it did not answer is not
        asked, unless it is `also` wanted or all do."""
        records = {endpoint: Pool.here().server(endpoint).record for endpoint in self.known}
        wanted = self.known if self.limits.jobs else self.endpoints
        asked = [one for one in wanted if one == also or not (records[one].resting and records[one].silent)]
        asked = asked if set(asked) & set(self.endpoints) else [*self.endpoints, *asked]
        since = time.monotonic()

        async def look(endpoint: Endpoint) -> Sight:
            record = records[endpoint]
            try:
                async with open_server(endpoint) as server:
                    queue = await server.queue_soon(since)
            except ServerError as error:
                record.rest(error.message, silent=True)
                return Sight(endpoint, record, error=error)
            if record.silent:
                record.recover()
            return Sight(endpoint, record, queue)

        return await gather(len(asked), [functools.partial(look, endpoint) for endpoint in asked])

    async def in_order(self, workflow: str, gone: Collection[Endpoint] = ()) -> list[Endpoint]:
        """The servers to try, the one that will be done soonest first, those that rest last; not those that are `gone`.

        Raises `LimitExceeded` when the user has as many jobs as allowed, or all queues are as long as allowed, and
        `ServerError` when none can be asked.
        """
        endpoints = [endpoint for endpoint in self.endpoints if endpoint not in gone]
        if len(self.endpoints) == 1 and not self.limits.jobs and not self.limits.queue:
            return endpoints
        sights = await self.survey()
        good = [sight for sight in sights if not sight.error]
        able = [sight for sight in good if sight.endpoint in endpoints and not sight.record.resting]
        resting = [one for one in endpoints if one not in {sight.endpoint for sight in sights if sight not in good}]
        resting = [one for one in resting if one not in {sight.endpoint for sight in able}]
        if not able and not resting:
            raise self.none_answers([sight.error for sight in sights if sight.error])
        if self.limits.jobs:
            able = self._with_room(good, able)
        usual = self._usual_pace(able)
        short = [sight for sight in able if not self.limits.queue or len(sight.queue) < self.limits.queue]
        if able and not short:
            shortest = min(able, key=lambda sight: len(sight.queue))
            raise self._too_long(shortest, len(shortest.queue), usual)
        short.sort(key=lambda sight: sight.seconds_until_done(workflow, usual))  # a tie keeps the order
        return [*(sight.endpoint for sight in short), *resting]

    def _with_room(self, sights: Sequence[Sight], able: Sequence[Sight]) -> list[Sight]:
        """The servers of `able` on which the user may have one job more. An account of Comfy Cloud is full by itself,
        since it does not tell whose jobs it has. Raises `LimitExceeded`."""
        mine = [(sight, prompt) for sight in sights if not sight.endpoint.cloud for prompt in self._own(sight)]
        full = [sight for sight in able if sight.endpoint.cloud and len(mine) + len(sight.queue) >= self.limits.jobs]
        if len(mine) >= self.limits.jobs or (full and len(full) == len(able)):
            jobs = [*mine, *((sight, prompt) for sight in full[:1] for prompt in sight.queue.prompts)]
            raise self._too_many(len(jobs), jobs)
        return [sight for sight in able if sight not in full]

    def _own(self, sight: Sight) -> list[Prompt]:
        return self.owner.among(sight.endpoint, sight.queue)

    async def found(self) -> "Fleet":
        """The same fleet; of guesses at where the one server may be, only the first at which a ComfyUI answers.

        Raises `ServerUnreachable` naming all that were tried, or the `AccessRefused` of one that does answer.
        """
        if len(self.endpoints) < 2 or not all(endpoint.guessed for endpoint in self.endpoints):
            return self
        failures: list[ServerError] = []
        for endpoint in self.endpoints:
            async with open_server(endpoint) as server:
                try:
                    await server.probe()
                    return replace(self, endpoints=(endpoint,))
                except ServerError as error:
                    failures.append(error)
        raise self.none_answers(failures)

    async def standings(self) -> list[Standing]:
        """How all servers stand, in their order, also those that rest, asked at the same time and each within
        `PROBE_SECONDS`. Of guesses at where the one server may be, only the first at which a ComfyUI answers, if any.
        """
        looks = [functools.partial(self._standing, endpoint) for endpoint in self.endpoints]
        standings = await gather(len(looks), looks)
        answering = [standing for standing in standings if not standing.error]
        return answering[:1] or standings if all(endpoint.guessed for endpoint in self.endpoints) else standings

    async def _standing(self, endpoint: Endpoint) -> Standing:
        async with open_server(endpoint) as server:
            standing = Standing(endpoint, server.record)
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    standing = replace(standing, stats=await server.stats())
                    queue = await server.queue(time.monotonic())
                    return replace(standing, queue=queue, mine=len(self.owner.among(endpoint, queue)))
            except TimeoutError:
                late = f"ComfyUI at {endpoint.url} did not answer within {PROBE_SECONDS:g} s."
                return replace(standing, error=ServerUnreachable(late))
            except ServerError as error:
                return replace(standing, error=error)

    def none_answers(self, errors: Sequence[ServerError]) -> ServerError:
        """The error of a fleet of which no server can be used."""
        for error in errors:
            if len(errors) == 1 or isinstance(error, AccessRefused):
                return error
        tried = ", ".join(endpoint.url for endpoint in self.endpoints)
        return ServerUnreachable(
            f"No ComfyUI answers. Tried: {tried}.",
            'ComfyUI has to be started, or the valve "ComfyUI address" of this tool set by the administrator.',
        )

    @staticmethod
    def _usual_pace(sights: Sequence[Sight]) -> float:
        paces = [pace for sight in sights if (pace := sight.record.pace())]
        return sum(paces) / len(paces) if paces else USUAL_PACE

    def _too_many(self, count: int, jobs: Sequence[tuple[Sight, Prompt]]) -> LimitExceeded:
        ends = [
            ((prompt.state.ahead if isinstance(prompt.state, Waiting) else 0) + 1) * pace
            for sight, prompt in jobs
            if (pace := sight.record.pace())
        ]
        when = f"in about {duration(max(min(ends), 1))}" if ends else "later"
        return LimitExceeded(
            f"The user has {count} job{'s' * (count != 1)} in the queue already, and the administrator allows "
            f"{self.limits.jobs} at once.",
            f"Try again {when}, when one is done; check_job tells how they stand.",
        )

    def _too_long(self, sight: Sight, count: int, usual: float) -> LimitExceeded:
        seconds = (count - self.limits.queue + 1) * (sight.record.pace() or usual)
        return LimitExceeded(
            f"{count} jobs wait in the queue, and the administrator allows joining one of fewer than "
            f"{self.limits.queue}.",
            f"Try again in about {duration(max(seconds, 1))}.",
        )

    async def admit(self, endpoint: Endpoint, prompt_id: str, posted: float, settled: float = 0.0) -> None:
        """Read the queues again after a post, since others may have posted at the same time; the later one over a limit
        raises `LimitExceeded` and has to be withdrawn. `posted` is in seconds since 1970.

        On one server the order is that of its own numbers, between servers that of the times in the marks: one or the
        other for all jobs, or three of them might each find another one before it. What was posted before `settled` and
        is still there counts as earlier in any case.
        """
        if not self.limits.jobs and not self.limits.queue:
            return
        sights = [sight for sight in await self.survey(endpoint) if not sight.error]
        here = next((sight for sight in sights if sight.endpoint == endpoint), None)
        own = next((prompt for prompt in here.queue.prompts if prompt.prompt_id == prompt_id), None) if here else None
        if here is None or own is None:  # it is done already, or nobody can say
            return
        ahead = own.state.ahead if isinstance(own.state, Waiting) else 0
        if self.limits.queue and ahead >= self.limits.queue:
            raise self._too_long(here, ahead, self._usual_pace(sights))
        if not self.limits.jobs:
            return
        before = []
        for sight in [sight for sight in sights if sight is here or not sight.endpoint.cloud]:
            for prompt in self._own(sight):
                if sight is here and (len(self.known) == 1 or endpoint.cloud):  # which shows no marks
                    earlier = prompt.number < own.number
                else:
                    at = marked_time(prompt, "at")
                    earlier = at < settled or (at, prompt.prompt_id) < (posted, prompt_id)
                if prompt.prompt_id != prompt_id and earlier:
                    before.append((sight, prompt))
        if len(before) >= self.limits.jobs:
            raise self._too_many(len(before), before)


async def everywhere(endpoints: Sequence[Endpoint], ask: Callable[[ComfyUIServer], Awaitable[T]]) -> list[T]:
    """What each server that can answers, in the administrator's order. Raises as the first one does when none can."""
    fleet = await Fleet(tuple(endpoints)).found()

    async def of(endpoint: Endpoint) -> T | ComfyUIError:
        async with open_server(endpoint) as server:
            try:
                if len(fleet.endpoints) > 1:
                    await server.queue_soon(time.monotonic() - SHARED_SECONDS)  # one that hangs holds nobody up
                return await ask(server)
            except ComfyUIError as error:
                return error

    answers = await gather(len(fleet.endpoints), [functools.partial(of, endpoint) for endpoint in fleet.endpoints])
    good = [answer for answer in answers if not isinstance(answer, ComfyUIError)]
    errors = [answer for answer in answers if isinstance(answer, ComfyUIError)]
    if not good:
        refusals = [error for error in errors if not isinstance(error, ServerError)]
        raise refusals[0] if refusals else fleet.none_answers([one for one in errors if isinstance(one, ServerError)])
    return good


def one_list(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What several servers list, as one: of a workflow the line of the first that can run it, of models all names."""
    merged: dict[str, Any] = {}
    for answer in sorted(answers, key=lambda one: one.get("found") == 0):
        for key, value in answer.items():
            held = merged.get(key)
            if key == "workflows":
                lines = {line["name"]: line for line in held or ()}
                for line in value:
                    if "cannot run" in lines.get(line["name"], {"cannot run": ""}):
                        lines[line["name"]] = line
                merged[key] = list(lines.values())
            elif isinstance(held, list) and isinstance(value, list):
                merged[key] = list(dict.fromkeys([*held, *value]))
            elif isinstance(held, dict) and isinstance(value, dict):
                merged[key] = {name: max(held.get(name, 0), value.get(name, 0)) for name in {**held, **value}}
            elif key != "found" or not merged:
                merged.setdefault(key, value)
    return merged


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/follow.py
#
# run/follow.
# ----------------------------------------------------------------------------------------------------------------------


WITHDRAW_PAUSES = (0.0, 2.0, 5.0, 10.0, 20.0, 30.0, *(60.0,) * 58)  # seconds; for an hour


class Audience(Protocol):
    """Whoever watches a run. Both methods return at once and never raise."""

    def status(self, phase: str, text: str, fraction: float | None = None) -> None:
        """What happens now."""

    def preview(self, data: bytes) -> None:
        """The picture so far, encoded."""


SLOW_POST_SECONDS = 0.25  # a post that takes longer gives way to others of its user
STILL_AT_WORK = "ComfyUI could not be told and may still be at work."
GOES_ON = "Open WebUI was shut down; the job goes on in ComfyUI, and check_job brings it"


async def follow(
    server: ComfyUIServer,
    graph: Graph,
    audience: Audience,
    part: str,
    wait: float,
    previews: bool,
    patience: Patience,
    fleet: Fleet | None = None,
    about: Mapping[str, Any] | None = None,
    posted: Callable[[], None] | None = None,
) -> tuple[Job, tuple[str, ...]]:
    """Post a prompt and follow it to its end; returns the ended job and notes.

    The websocket tells early, the server's queue and history tell the truth: they are asked after a while of
    silence, after every gap, and in the end whenever something may have been missed. Raises room 2's errors. When it
    is cancelled, or fails, the job is withdrawn from the server first; an error carries a note when that failed. Only
    the end of the wait, or of Open WebUI itself, leaves the job at work.

    `about` is what the mark tells a later call of the run; `posted` is called once the server's queue shows it.
    """
    fleet = fleet or Fleet((server.endpoint,), patience=patience)
    prompt_id, at = str(uuid.uuid4()), round(time.time(), 6)  # as the mark tells it, for others and for us
    mark = {"mark": fleet.owner.mark(prompt_id), "at": at, "until": round(at + wait, 3), **(about or {})}
    extra_data = {"preview_method": "auto" if previews else "none", MARK: mark}
    on_preview = audience.preview if previews else ignore_preview
    rechecking: asyncio.Task[None] | None = None
    async with server.connection.listen(prompt_id, picture_nodes(graph), on_preview) as subscription:
        attend(prompt_id)
        posting = asyncio.create_task(server.submit(prompt_id, graph, extra_data))
        try:
            accepted = await asyncio.shield(posting)
            server.record.runs += 1
            server.connection.rename(prompt_id, accepted.prompt_id)
            leave(prompt_id)
            attend(accepted.prompt_id)
            prompt_id, took = accepted.prompt_id, time.time() - at
            await fleet.admit(server.endpoint, prompt_id, at)
            if posted:
                posted()
            if len(fleet.known) > 1 and fleet.limits.jobs:
                rechecking = asyncio.create_task(_check_again(fleet, server, prompt_id, at, took, subscription))
            if not accepted.certain:
                subscription.events.put_nowait(Gap())
            job = Job.posted(prompt_id, graph)
            job = replace(job, complete=subscription.connected, taken=accepted.certain)
            job = await watch(server, job, subscription, audience, part, wait, fleet)
            job = judge(job, graph)
        except BaseException as error:
            leave(prompt_id)
            if isinstance(error, ServerError) and posting.done():
                error.untaken = _was_not_taken(error)
            server.record.failed += isinstance(error, (RunFailed, WorkflowRefused)) and not isinstance(error, JobLost)
            if _leaves_it(error):
                raise
            if isinstance(error, asyncio.CancelledError) and _shutting_down(error):
                error.add_note(f"{GOES_ON}: job {fleet.owner.job_id(server.endpoint, prompt_id)}")
                raise
            # a Stop, or a failure after which nobody would collect the result
            if not await finish(_withdraw(server, prompt_id, posting), CLEAN_UP_SECONDS):
                server.later(_withdraw_late(server, prompt_id, posting))
                error.add_note(STILL_AT_WORK)
            raise
        finally:
            if rechecking:
                rechecking.cancel()
                await asyncio.gather(rechecking, return_exceptions=True)
    if job.began is not None and not job.cached >= set(graph):
        server.record.ran(str((about or {}).get("workflow") or ""), time.monotonic() - job.began)
    if OWN_CALL.get() is None:  # nobody stores anything
        leave(prompt_id)
    return job, accepted.notes


def picture_nodes(graph: Graph) -> frozenset[str]:
    """The nodes that send their pictures over the websocket and save them nowhere."""
    return frozenset(key for key, node in graph.items() if node["class_type"] == "SaveImageWebsocket")


def ignore_preview(_data: bytes) -> None:
    """Previews are off."""


def _was_not_taken(error: ServerError) -> bool:
    """Whether a server that answered a post so, or could not be reached for it, certainly has no job of it."""
    if isinstance(error, ServerUnreachable):
        return error.refused
    return isinstance(error, (AccessRefused, PaymentRequired, ServerBusy, ServerTooOld))


def _leaves_it(error: BaseException) -> bool:
    """Whether there is nothing to withdraw after an error: the job goes on, was never taken, or has ended."""
    left = (StillRunning, WorkflowRefused, RunFailed, PaymentRequired, ServerBusy)
    return isinstance(error, left) and not isinstance(error, JobLost)


def _shutting_down(error: asyncio.CancelledError) -> bool:
    """Whether a cancellation is no Stop but the end of Open WebUI: of its event loop, or (uvicorn says so in words) of
    requests that take too long to end."""
    return Pool.here().ending or any("shutdown" in str(argument) for argument in error.args)


@dataclass(frozen=True)
class Overruled(Event):
    """The job has to be withdrawn."""

    error: LimitExceeded


async def _check_again(
    fleet: Fleet, server: ComfyUIServer, prompt_id: str, at: float, took: float, subscription: Subscription
) -> None:
    """Count the user's jobs once more: one that was posted elsewhere at the same time may have come into sight.

    A post that took long may itself have come into sight only after others had looked for the last time. It gives way
    to them, once all who can still see it have had the time to give way to it.
    """
    again = fleet.patience.again
    try:
        await asyncio.sleep(again)
        await fleet.admit(server.endpoint, prompt_id, at)
        if took > SLOW_POST_SECONDS:
            await asyncio.sleep(2 * again)
            await fleet.admit(server.endpoint, prompt_id, at, time.time() - 2 * again - SLOW_POST_SECONDS)
    except LimitExceeded as error:
        subscription.events.put_nowait(Overruled(error))


async def _withdraw(server: ComfyUIServer, prompt_id: str, posting: "asyncio.Task[Accepted]") -> None:
    """Cancel a prompt on the server, also one whose post is still under way: the server may take it in afterwards."""
    await asyncio.wait({posting}, timeout=CLEAN_UP_SECONDS / 2)
    if not posting.done():
        server.later(_withdraw_late(server, prompt_id, posting))
    await server.cancel(_posted_as(prompt_id, posting))


def _posted_as(prompt_id: str, posting: "asyncio.Task[Accepted]") -> str:
    """The id that a prompt has on its server, which may have given it one of its own."""
    accepted = posting.done() and not posting.cancelled() and posting.exception() is None
    return posting.result().prompt_id if accepted else prompt_id


async def _withdraw_late(server: ComfyUIServer, prompt_id: str, posting: "asyncio.Task[Accepted]") -> None:
    """The same with more patience, when nobody waits for it any more: a server that was away may come back with its
    queue, and would run a job that nobody collects or that was run elsewhere."""
    await asyncio.gather(posting, return_exceptions=True)
    for pause in WITHDRAW_PAUSES:
        await asyncio.sleep(pause)
        with contextlib.suppress(ServerError):
            await server.cancel(_posted_as(prompt_id, posting), ANSWER_SECONDS)
            return


class Pace:
    """When a job is looked up next: soon after the post for its place in the queue, after silence, after every gap,
    and when the queue moves while it waits. Look-ups that bring nothing new grow apart."""

    def __init__(self, patience: Patience, connected: bool, now: float) -> None:
        self._patience = patience
        self._interval = patience.look_up if connected else patience.polling
        self._looked = now
        self.due = now + patience.first

    def looking(self, now: float) -> None:
        """A look-up begins; its answer says when the next one is due."""
        self._looked, self.due = now, math.inf

    def answered(self, answer: Event, connected: bool, now: float) -> None:
        """A look-up found this."""
        most = self._patience.longest if connected else self._patience.look_up
        self._interval = self._patience.settle if isinstance(answer, Absent) else min(self._interval * 1.5, most)
        self.due = now + self._interval * random.uniform(0.8, 1.2)  # not all jobs at the same moment

    def heard(self, event: Event, started: bool, now: float) -> None:
        """The websocket told this of a job that runs already, or not."""
        if isinstance(event, QueueMoved):
            if not started:
                self.due = min(self.due, self._looked + self._patience.settle)
        elif isinstance(event, Gap):
            self._interval, self.due = self._patience.polling, now
        elif isinstance(event, (Succeeded, Failed, Interrupted)):
            self.due = now + self._patience.settle
        else:
            self._interval = self._patience.look_up
            self.due = now + self._interval


async def watch(
    server: ComfyUIServer,
    job: Job,
    subscription: Subscription,
    audience: Audience,
    part: str,
    wait: float,
    fleet: Fleet,
) -> Job:
    """Feed the job with frames and look-ups until it ended, is lost, or the server is gone."""
    now, patience = time.monotonic(), fleet.patience
    deadline, pace = now + wait, Pace(patience, subscription.connected, now)
    known_since = now  # the queue as it was before the post, or at the last look-up, tells nothing new
    looking: asyncio.Task[None] | None = None
    renewed = False
    try:
        while not job.ended and not job.lost:
            now = time.monotonic()
            if now >= deadline:
                at_work = "is still at work" if job.silent_since is None else "does not answer at the moment"
                message = f"The longest wait ({duration(wait)}) is over and ComfyUI {at_work}."
                raise StillRunning(message, fleet.owner.job_id(server.endpoint, job.prompt_id))
            idle = looking is None or looking.done()
            if idle and now >= pace.due:
                pace.looking(now)  # its answer comes in line with the frames
                since = max(known_since, now - SHARED_SECONDS)
                looking, idle = asyncio.create_task(_look(server, job.prompt_id, subscription, since)), False
            try:
                async with asyncio.timeout((min(pace.due, deadline) if idle else deadline) - now):
                    event = await subscription.events.get()
            except TimeoutError:
                continue
            now = time.monotonic()
            if isinstance(event, Overruled):
                raise event.error
            if isinstance(event, LookedUp):
                event, known_since = event.answer, now
                pace.answered(event, subscription.connected, now)
                if isinstance(event, (Waiting, Started)):
                    job = replace(job, away=False)  # it is there, whatever happened before
                if isinstance(event, Started) and not renewed:
                    renewed = server.connection.renew()
            else:
                pace.heard(event, job.started, now)
            job = advance(job, event, now)
            if job.good and isinstance(event, (Absent, Silence)):
                break  # the last frame was missed, and nobody can say more
            _tell(job, event, audience, part, patience)
    finally:
        if looking:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
    if job.ended and not job.recorded and (not job.complete or not (job.outputs or job.sent) or job.failure):
        job = advance(job, await _recorded(server, job.prompt_id, patience), time.monotonic())
    return job


def _tell(job: Job, event: Event, audience: Audience, part: str, patience: Patience) -> None:
    """Show how the job stands. Raises `ServerGone` when no connection could be made for too long, or nothing was heard
    of a job that the server may never have got."""
    now = time.monotonic()
    if isinstance(event, Silence) and job.silent_since is not None:
        since = job.refused_since if job.taken else job.silent_since
        if since is not None and now - since >= patience.gone:
            refused = job.refused_since is not None and now - job.refused_since >= patience.gone
            raise ServerGone(f"ComfyUI stopped answering in the middle of the run. {event.reason}", refused=refused)
        audience.status("silent", f"{part}ComfyUI does not answer at the moment")
    else:
        phase, text = describe(job, now)
        audience.status(phase, part + text, job.fraction)


async def _look(server: ComfyUIServer, prompt_id: str, subscription: Subscription, since: float) -> None:
    """Look a job up and put the answer in line behind the frames that came meanwhile."""
    answer: Event = Silence("The look-up failed.")
    try:
        answer = await _look_up(server, prompt_id, since)
    except Exception:
        log.exception("a mistake in the ComfyUI tool")
    subscription.events.put_nowait(LookedUp(answer))


async def _look_up(server: ComfyUIServer, prompt_id: str, since: float) -> Event:
    try:
        return await server.look_up(prompt_id, since)
    except ServerError as error:  # also a proxy that answers for a server that restarts
        return Silence(error.message, isinstance(error, ServerUnreachable) and error.refused)


async def _recorded(server: ComfyUIServer, prompt_id: str, patience: Patience) -> Event:
    """The history entry of a run that has ended; it may take a moment to appear."""
    for pause in (0.0, 0.1, 0.2, 0.4, patience.settle):
        await asyncio.sleep(pause)
        event = await _look_up(server, prompt_id, time.monotonic())
        if isinstance(event, Recorded):
            return event
    return Gap()


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/inputs.py
#
# run/inputs.
# ----------------------------------------------------------------------------------------------------------------------


async def freshen(server: ComfyUIServer, choice: Choice, wish: Wish) -> Choice:
    """The choice with the definitions that the wish's LoRAs need, and with new ones where those at hand do not offer
    what the wish names: files are added all the time."""
    workflow, definitions = choice.workflow, choice.definitions
    stale = set(LORA_LOADERS) if wish.loras or "loras" in wish.inputs else set()
    for name, wanted in wish.inputs.items():
        names = workflow.spec(name, definitions).names if workflow.find(name) else ()
        if names and find_name(str(wanted.value), names) is None:
            stale.update(workflow.graph[target.node_id]["class_type"] for target in workflow.find(name) or ())
    return replace(choice, definitions=await server.define_anew(definitions, stale, DOUBT_SECONDS))


async def place_files(server: ComfyUIServer, choice: Choice, wish: Wish) -> tuple[Choice, list[InputFile]]:
    """The choice with the wish's files named in the workflow's inputs of their kinds, in order, and what has to be
    uploaded for it. Where nothing is given for a kind, what the chat offers is taken.

    An input that gets nothing keeps its author's file; where the server does not have that, the input is left out if
    the workflow can do without it, and else noted as wanting. Raises `BadArgument`.
    """
    inputs = file_inputs(choice.workflow.graph, choice.definitions)
    files, mask = await _with_offers(wish, inputs), wish.mask
    pictures = [item for item in inputs if item.kind == "image"]
    masks = [item for item in inputs if item.takes_mask]
    given = [file for file in files if file is None or file.kind == "image"]
    if mask is None and masks and len(given) == len(pictures) + 1 and given[-1]:
        del files[max(index for index, file in enumerate(files) if file is given[-1])]  # the last one is the mask
        mask = await asyncio.to_thread(read_mask, given[-1].data, "the mask")
    placed, waiting = _placed(choice, inputs, files)
    notes = [note for file in files if file for note in file.notes]
    if choice.saved:
        kinds = [file.kind for file in files[len(wish.files) :] if file]
        kept = '"saved" in `images` keeps the workflow\'s own'
        notes += [f"no {kind} was given and the newest of the chat was taken; {kept}" for kind in kinds]
    if mask:
        if not masks:
            raise BadArgument(f'The workflow "{choice.workflow.name}" takes no mask.', "Leave the mask out.")
        carried = await asyncio.to_thread(_masked, mask, masks, placed)
        if not carried:
            raise BadArgument(
                f'The mask for the workflow "{choice.workflow.name}" goes with a picture, and none was given.',
                "Give the picture too, in place of the workflow's own, or leave the mask out.",
            )
        placed |= carried
        waiting = [item for item in waiting if item.target not in placed]
    notes += [note for file in placed.values() for note in file.notes]
    if mask is None:
        notes += _check_unmasked(choice, masks, placed)
    names = dict(zip(placed, await asyncio.to_thread(_stored_names, placed.values()), strict=True))
    choice = replace(choice, workflow=choice.workflow.set(names), picture=_first_size(pictures, placed))
    choice = await _without_absent(server, choice, waiting, bool(placed), notes)
    uploads = {file.stored_name: file for file in placed.values()}
    return replace(choice, notes=(*choice.notes, *dict.fromkeys(notes))), list(uploads.values())


async def _with_offers(wish: Wish, inputs: Sequence[FileInput]) -> list[InputFile | None]:
    """The wish's files, and of each kind of which it has none the one that the chat offers."""
    files = list(wish.files)
    for kind, offer in wish.offers.items():
        wanted = any(item.kind == kind and item.needed for item in inputs)
        if wanted and not any(file is None or file.kind == kind for file in files):
            files.append(await offer())
    return files


def _placed(
    choice: Choice, inputs: Sequence[FileInput], files: Sequence[InputFile | None]
) -> tuple[dict[Target, InputFile], list[FileInput]]:
    """Which input gets which file, and the inputs that get none."""
    free, placed = list(inputs), dict[Target, InputFile]()
    for file in files:
        kind = file.kind if file else "image"
        place = next((item for item in free if item.kind == kind), None)
        if place is None and file is None and free:  # the author's film, sound or mask
            place = free[0]
        if place is None:
            taken = sum(item.kind == kind for item in inputs)
            count = sum((other.kind if other else "image") == kind for other in files)
            raise BadArgument(
                f'The workflow "{choice.workflow.name}" takes {taken or "no"} {kind}{"s" * (taken != 1)}, and '
                f"{count} {'was' if count == 1 else 'were'} given.",
                "describe_workflow tells what it takes.",
            )
        free.remove(place)
        if file:
            placed[place.target] = file
    return placed, [item for item in inputs if item.needed and item.target not in placed]


def _check_unmasked(choice: Choice, masks: Sequence[FileInput], placed: Mapping[Target, InputFile]) -> list[str]:
    """Notes of the pictures that should bring a mask and have no transparent part; raises `BadArgument` for those of a
    bundled workflow, which would paint nothing."""
    bare = [item for item in masks if item.masked and item.target in placed and not placed[item.target].transparent]
    if bare and not choice.saved:
        raise BadArgument(
            f'The workflow "{choice.workflow.name}" needs a mask.',
            "Give a picture that is white where it is to be painted anew: as `mask` of edit_image, or as the last of "
            "`images` of run_workflow.",
        )
    return [f'no mask was given for "{item.title}", and the picture has no transparent part' for item in bare]


def _masked(
    mask: Image.Image, masks: Sequence[FileInput], placed: Mapping[Target, InputFile]
) -> dict[Target, InputFile]:
    """The files that carry the mask: those of their own, and pictures that have it as their transparency. Blocks."""
    sizes = [file.size for file in placed.values() if file.size]
    return {
        item.target: with_mask(placed[item.target], mask)
        if item.masked
        else mask_file(mask, sizes[0] if sizes else Size(*mask.size))
        for item in masks
        if not item.masked or item.target in placed
    }


def _stored_names(files: Iterable[InputFile]) -> list[str]:
    return [file.stored_name for file in files]  # digests of what may be large


def _first_size(pictures: Sequence[FileInput], placed: Mapping[Target, InputFile]) -> Size | None:
    return next((placed[item.target].size for item in pictures if item.target in placed), None)


async def _without_absent(
    server: ComfyUIServer, choice: Choice, waiting: Sequence[FileInput], some: bool, notes: list[str]
) -> Choice:
    """The choice without the inputs that got no file and whose author's file the server does not have. What cannot be
    left out is wanting; of a saved workflow that got no file at all nothing is left out."""
    workflow, definitions = choice.workflow, choice.definitions
    absent: list[FileInput] = []
    for item in waiting:
        spec = workflow.widget_spec(item.target, definitions)
        if choice.saved and spec.choices and item.held not in spec.choices:
            definitions = await server.define_anew(
                definitions, [workflow.graph[item.target.node_id]["class_type"]], 0.0
            )
            spec = workflow.widget_spec(item.target, definitions)
        # Names with a folder or a note of it stand in no list. A bundled workflow's own picture is nobody's.
        unknown = spec.choices and item.held not in spec.choices and not re.search(r"[/\\\[]", item.held)
        if unknown or not choice.saved:
            absent.append(item)
    graph, wanting = workflow.graph, dict[Target, str]()
    for item in reversed(absent):
        fewer = without_files(graph, [item.target], definitions) if some or not choice.saved else None
        if fewer is None:
            wanting[item.target] = f'the {item.kind} for "{item.title}"'
            continue
        graph = fewer
        notes += [f'the workflow was run without the {item.kind} for "{item.title}"'] if choice.saved else []
    if graph is not workflow.graph:
        workflow = await asyncio.to_thread(Workflow.parse, workflow.name, graph, definitions, workflow.dynamic)
    wanting = dict(reversed(wanting.items()))
    return replace(choice, workflow=workflow, definitions=definitions, wanting=wanting)


LORA_LOADERS = ("LoraLoader", "LoraLoaderModelOnly")


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/planning.py
#
# run/planning.
# ----------------------------------------------------------------------------------------------------------------------


MAX_SEED = 2**32 - 1  # random seeds stay short enough for a person, or a model, to repeat


@dataclass(frozen=True)
class Plan:
    """The prompts that make up a call, bound and ready to post."""

    workflows: tuple[Workflow, ...]
    seed: int | None
    model: str
    notes: tuple[str, ...]


EXTRAS = ("size", "count", "loras", "strength", "scale")  # what a workflow takes beside its own inputs


def prepare(choice: Choice, wish: Wish, limits: Limits, random_seed: int, now: datetime) -> Plan:
    """Turn a wish into bound graphs, by the ranges of the server's own nodes and within the limits.

    Raises `BadArgument` and `ValueOutOfRange` for what cannot be understood, `ModelNotInstalled` for files that are
    not there, and `LimitExceeded` for what the administrator does not allow.
    """
    workflow, definitions, notes = choice.workflow, choice.definitions, [*choice.notes]
    if choice.task == "upscale":
        limits = replace(limits, megapixels=limits.upscaled_megapixels)
    extras: dict[str, Any] = {
        name: wanted for name, wanted in wish.inputs.items() if name in EXTRAS and not workflow.find(name)
    }
    wish = replace(wish, **extras)
    values = {name: value for name, value in choice.family.defaults.items() if name in workflow.parameters}
    if not choice.saved and "steps" in workflow.parameters:
        values["steps"] = min(values.get("steps", workflow.value("steps")), limits.steps)
    values |= _plan_scale(choice, wish, limits, notes) or _plan_size(choice, wish.size, limits, notes)
    values |= _plan_arguments(choice, wish, limits, notes)
    values |= _plan_inputs(choice, {name: wish.inputs[name] for name in wish.inputs if name not in extras}, notes)
    prompted = any(workflow.find(name) == workflow.parameters.get("prompt") for name in values)
    if "prompt" in (workflow.open if choice.saved else workflow.parameters) and not prompted:
        raise BadArgument(f'The workflow "{workflow.name}" needs a prompt.', 'Give {"prompt": "…"} in `inputs`.')
    touched = {target.widget for name in values for target in workflow.find(name) or ()}
    _check_absent(choice, touched)
    count = _plan_count(wish.count, limits, notes)
    runs = _plan_runs(choice, values, count if wish.count else None, random_seed, notes)
    loras = read_loras(wish.loras, definitions, notes) if wish.loras else []
    ready = []
    for seed, run in runs:
        rng = random.Random(seed)
        bound = workflow.chosen(rng).bind(run)
        filled = replace(bound, graph=with_loras(bound.graph, loras, definitions)).filled(definitions)
        texts = workflow.dynamic - touched - workflow.templates.keys()
        ready.append(replace(filled, graph=as_sent(filled.graph, texts, rng, now)))
    makes = {kind for _, kind in outputs(ready[0].graph, definitions)}
    for one in ready:
        check_limits(one, limits, touched, makes)
    return Plan(tuple(ready), runs[0][0], str(ready[0].value("model") or choice.model), tuple(notes))


def _plan_inputs(choice: Choice, inputs: Mapping[str, Wanted], notes: list[str]) -> dict[str, Any]:
    """What is asked for by name, made to fit. Files are given as files and never by a name: the server's folders hold
    everybody's."""
    workflow, definitions, values = choice.workflow, choice.definitions, dict[str, Any]()
    files = {item.target for item in file_inputs(workflow.graph, definitions)}
    for name, wanted in inputs.items():
        targets = workflow.find(name)
        if targets is None:
            like = closest(name, [*workflow.names, *EXTRAS], 5)
            raise BadArgument(
                f'The workflow "{workflow.name}" has no input "{shortened(name)}".', f"It has, like it: {quoted(like)}."
            )
        if not files.isdisjoint(target.widget for target in targets):
            raise BadArgument(f"{wanted.name} is a file.", "Give the file itself in `images`: its number, id or URL.")
        values[name], note = fit_value(wanted, workflow.spec(name, definitions))
        notes += [note] if note else []
    return values


def _plan_runs(
    choice: Choice, values: Mapping[str, Any], count: int | None, random_seed: int, notes: list[str]
) -> list[tuple[int | None, dict[str, Any]]]:
    """Seed and values of each prompt that the call takes: one with a batch, or so many with seeds in a row."""
    workflow, values, seed, span = choice.workflow, dict(values), None, MAX_SEED + 1
    if "seed" in workflow.parameters:
        spec = workflow.spec("seed", choice.definitions)
        low = max(int(spec.minimum or 0), 0)
        span = max(int(min(spec.maximum if spec.maximum is not None else MAX_SEED, 2**64 - 1)) - low + 1, 1)
        asked = [name for name in values if workflow.find(name) == workflow.parameters["seed"]]
        seed = values.pop(asked[-1]) if asked else low + random_seed % span
        if not isinstance(seed, int):  # it only stands in a text
            return [(None, {"seed": seed, **values})]
    # A seed of one sampler alone, given by its own name, comes after the seed of all.
    first = values if seed is None else {"seed": seed, **values}
    if "batch_size" in workflow.parameters:
        return [(seed, {**first, "batch_size": count} if count else first)]
    if seed is None:  # the same prompt again would only give the same picture
        notes += [f'the workflow "{workflow.name}" cannot make several; count was left out'] if (count or 1) > 1 else []
        return [(None, first)]
    seeds = [low + (seed - low + index) % span for index in range(count or 1)]
    return [(one, {**first, "seed": one, **values}) for one in seeds]


def _check_absent(choice: Choice, touched: set[Target]) -> None:
    """Raise an error for the files that a workflow names, nobody replaced, and the server does not have."""
    name = f'The workflow "{choice.workflow.name}" needs'
    if choice.wanting:
        raise BadArgument(
            f"{name} {' and '.join(choice.wanting.values())}.", "Give them in `images` of edit_image or run_workflow."
        )
    if absent := [what for target, what in choice.absent.items() if target not in touched]:
        raise ModelNotInstalled(
            f"{name} model files that are not installed: {'; '.join(absent[:5])}.",
            "They have to be put into ComfyUI's models folder, or others named in `inputs`.",
        )


def _plan_arguments(choice: Choice, wish: Wish, limits: Limits, notes: list[str]) -> dict[str, Any]:
    """What the arguments that every workflow may have come to; what this one has not is left out, and said."""
    workflow, values = choice.workflow, dict[str, Any]()
    prompt = None if wish.prompt is None else Wanted(wish.prompt, "The argument prompt")
    if prompt and "prompt" not in workflow.parameters:
        raise BadArgument(
            f'The workflow "{workflow.name}" takes no prompt.',
            "describe_workflow tells what it takes, and run_workflow runs it.",
        )
    asked = {"prompt": prompt, "negative_prompt": wish.negative_prompt}
    asked |= {"steps": wish.steps, "guidance": wish.guidance, "seed": wish.seed, "strength": wish.strength}
    for name, wanted in asked.items():
        if wanted is None:
            continue
        own = "denoise" if name == "strength" else name
        if own in workflow.parameters and (name != "strength" or choice.picture):
            values[own], note = fit_value(wanted, workflow.spec(own, choice.definitions))
            notes += [note] if note else []
        elif name != "negative_prompt":
            notes.append(f'the workflow "{workflow.name}" has no {name}; it was left out')
        elif wanted.level == 0:
            notes.append(f'the workflow "{workflow.name}" takes no negative prompt; it was left out')
    if wish.steps and (as_number(values.get("steps")) or 0) > limits.steps:
        raise _over_limit(wish.steps, values["steps"], f"at most {limits.steps} steps")
    return values


def read_loras(wanted: Wanted, definitions: Definitions, notes: list[str]) -> list[Lora]:
    """LoRAs given as "name" or "name:0.8", several in a list or behind commas, as files that are installed.

    Raises `BadArgument`, `ModelNotInstalled`, `NodeNotInstalled`.
    """
    value = wanted.value
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BadArgument(f"{wanted.name} is {shortened(value)}.", 'Give names such as ["name", "other:0.8"].')
    loader = next((definitions[name] for name in LORA_LOADERS if name in definitions), None)
    if loader is None:
        raise NodeNotInstalled('This ComfyUI has no node "LoraLoader".')
    choices, strength = loader.inputs["lora_name"].names, loader.inputs["strength_model"]
    loras = []
    for text in (text.strip() for text in texts):
        if not is_given("loras", text):
            continue
        name, asked = parse_lora(text)
        file = find_name(name, choices)
        if file is None:
            like = closest(name, choices)
            hint = f"Installed are, among others: {quoted(like)}." if like else "No LoRA is installed."
            raise ModelNotInstalled(f'{wanted.name} has "{shortened(name)}", and no such LoRA is installed.', hint)
        fitted, note = fit_number(Wanted(asked, f'the strength of the LoRA "{file}"', wanted.level), strength)
        notes += [note] if note else []
        loras.append(Lora(file, fitted))
    return loras


def number_in(graph: Graph, value: Any) -> float | None:
    """The number that an input gets: its own, written as text or wrapped, or that of a node that only holds one."""
    for _ in range(8):
        if isinstance(value, Mapping):
            value = value.get("__value__")
        if not is_link(value):
            break
        inputs = node_inputs(graph.get(value[0]))
        held = [inputs["value"]] if "value" in inputs else list(inputs.values())
        value = held[0] if len(held) == 1 else None
    return as_number(value)


def check_limits(workflow: Workflow, limits: Limits, touched: set[Target], makes: set[str]) -> None:
    """Raise `LimitExceeded` when a prompt would do more than the administrator allows, whoever put it there. `makes`
    are the kinds of its `outputs`, `touched` the widgets that the call set."""
    graph = workflow.graph
    moving = bool(makes) and makes <= {"video", "animation"}  # then a batch is its frames
    base = None
    seconds = video_seconds(graph) if makes & {"video", "animation"} else 0.0
    if seconds > limits.video_seconds:
        raise LimitExceeded(
            f"The video would have {seconds:.1f} seconds, and the administrator allows {limits.video_seconds:g}.",
            f"Ask for at most {limits.video_seconds:g} seconds, or for fewer frames.",
        )
    for node_id, node in graph.items():
        inputs = {
            name: number for name, value in node["inputs"].items() if (number := number_in(graph, value)) is not None
        }
        last = {name.rsplit(".", 1)[-1]: number for name, number in inputs.items()}
        takes = {name.rsplit(".", 1)[-1] for name in node["inputs"]}
        asked: list[tuple[str, float, float]] = [("steps", last.get("steps", 0), limits.steps)]
        if {"width", "height"} <= last.keys() and MAKES_PIXELS & takes:
            sides = [last["width"] or last["height"], last["height"] or last["width"]]  # 0 is for "in proportion"
            pixels = sides[0] * sides[1] / 1e6
            base = base or pixels
            asked.append(("width x height in megapixels", round(pixels, 2), limits.megapixels))
        if not moving and (PICTURE_MAKER & takes or node["class_type"].startswith("Repeat")):
            asked += [(name, last.get(name, 1), limits.count) for name in ("batch_size", "amount")]
        if Target(node_id, "megapixels") in touched:
            asked.append(("megapixels", last.get("megapixels", 0), limits.megapixels))
        if Target(node_id, "scale_by") in touched:
            asked.append(
                ("scale_by in megapixels", round((base or 1.05) * last.get("scale_by", 1) ** 2, 2), limits.megapixels)
            )
        for name, value, allowed in asked:
            if value > allowed:
                raise LimitExceeded(
                    f"{node_title(graph, node_id)} has {value:g} as {name}, and the administrator allows {allowed:g}.",
                    f"Ask for at most {allowed:g}.",
                )


USUAL_FPS = 24.0  # where a graph does not say
MOST_FPS = 30.0  # a higher one does not make more frames pass for less of a video


def video_seconds(graph: Graph) -> float:
    """How long the longest video is that a graph makes, in seconds: by its frames and their rate, or as it says."""
    found: dict[str, list[float]] = {"length": [], "fps": [], "seconds": []}
    for node in graph.values():
        for key, value in node["inputs"].items():
            kind = next((kind for kind in found if key.rsplit(".", 1)[-1] in PARAMETERS[kind]), "")
            number = number_in(graph, value) if kind else None
            if number:
                found[kind].append(number)
    rate = min(found["fps"], default=USUAL_FPS)
    return max(
        [*found["seconds"], *(frames / min(max(rate, 1.0), MOST_FPS) for frames in found["length"])], default=0.0
    )


# Inputs beside width and height of nodes that make pixels of them, and not only tell a model or a text.
MAKES_PIXELS = {"batch_size", "length", "upscale_method", "scale_method", "resize_type"}
PICTURE_MAKER = {"width", "height", "seconds"}  # inputs beside a batch size that counts pictures
SCALE = InputSpec("FLOAT", 1.0, 8.0)  # how many times as wide and high a picture may become
FOLLOWED = (0.2, 1.5)  # of a model's usual number of pixels: between these a picture keeps its very size


GRAIN, FILM_GRAIN = 16, 64  # pixels; sides in multiples of them suit every model, and every one for video


def _plan_scale(choice: Choice, wish: Wish, limits: Limits, notes: list[str]) -> dict[str, int]:
    """The size of an enlarged picture, exactly so many times its own; nothing when it is asked for otherwise."""
    workflow, picture = choice.workflow, choice.picture
    sized = {"width", "height"} <= set(workflow.parameters) and picture is not None
    if wish.scale is None and (choice.task != "upscale" or wish.size or not sized):
        return {}
    if not sized or picture is None:
        notes.append(f'the workflow "{workflow.name}" has a scale of its own; scale was left out')
        return {}
    if wish.scale is None and (sides := _sides_named(choice, wish)):
        if len(sides) == 2:
            return {}
        ((name, length),) = sides.items()
        scale = length / getattr(picture, name)
        return {"width": max(round(picture.width * scale), 1), "height": max(round(picture.height * scale), 1)}
    wanted = wish.scale or Wanted(2, "scale")
    if isinstance(wanted.value, str):  # "4x"
        wanted = replace(wanted, value=wanted.value.strip().lower().strip("x×"))
    scale, note = fit_number(wanted, SCALE)
    notes += [note] if note else []
    notes += ["scale was followed, and size left out"] if wish.size else []
    size = Size(round(picture.width * scale), round(picture.height * scale))
    longest, side = (max(one.width, one.height) for one in (size, picture))
    bound = workflow.spec("width" if picture.width > picture.height else "height", choice.definitions).maximum
    if bound and longest > bound:
        raise LimitExceeded(
            f"The picture would have {size} pixels, and ComfyUI makes at most {bound:g} a side.",
            f"Ask for a scale of at most {math.floor(10 * bound / side) / 10:g}.",
        )
    if size.megapixels > limits.megapixels:
        most = math.floor(10 * math.sqrt(limits.megapixels / picture.megapixels)) / 10
        raise LimitExceeded(
            f"The picture would have {size}, {size.megapixels:.1f} megapixels, and the administrator allows "
            f"{limits.megapixels:g}.",
            f"Ask for a scale of at most {most:g}." if most > 1 else "It is as large as it may become.",
        )
    return {"width": size.width, "height": size.height}


def _sides_named(choice: Choice, wish: Wish) -> dict[str, float]:
    """The width and height that the inputs of a call name; 0 is for "in proportion"."""
    workflow, sides = choice.workflow, dict[str, float]()
    for name, wanted in wish.inputs.items():
        for side in ("width", "height"):
            if workflow.find(name) == workflow.parameters[side]:
                length, _ = fit_number(wanted, workflow.spec(side, choice.definitions))
                sides |= {side: length} if length else {}
    return sides


def followed(picture: Size, megapixels: float, most: float, grain: int = GRAIN) -> Size:
    """The size in which a model that is best at `megapixels` works on a picture: the picture's own where the model
    can, else one of its proportions, of at most `most` megapixels; in multiples of `grain` pixels."""
    usual = FOLLOWED[0] <= picture.megapixels / megapixels <= FOLLOWED[1]
    factor = 1.0 if usual else math.sqrt(megapixels / picture.megapixels)
    allowed = math.sqrt(most / picture.megapixels)
    sides = [side * min(factor, allowed) / grain for side in (picture.width, picture.height)]
    rounded = Size(*(max(round(side), 1) * grain for side in sides))
    if rounded.megapixels <= most:
        return rounded
    return Size(*(max(math.floor(side), 1) * grain for side in sides))


def _plan_size(choice: Choice, size: Wanted | None, limits: Limits, notes: list[str]) -> dict[str, int]:
    workflow = choice.workflow
    if not {"width", "height"} <= set(workflow.parameters):
        notes += [f'the workflow "{workflow.name}" has no size of its own; size was left out'] if size else []
        return {}
    sides = [workflow.value(name) for name in ("width", "height")]
    saved = Size(*sides) if all(isinstance(side, int) and side > 0 for side in sides) else Size(1024, 1024)
    megapixels = choice.family.megapixels or saved.megapixels
    if size is None and choice.saved:
        return {}
    width, height = (workflow.spec(name, choice.definitions) for name in ("width", "height"))
    if (width.type, height.type) != ("INT", "INT") and choice.saved:
        notes.append(f'the workflow "{workflow.name}" has no size in pixels; size was left out')
        return {}
    asked = read_size(size) if size else (float(saved.width), float(saved.height))
    if size is None and choice.picture:
        grain = FILM_GRAIN if "length" in workflow.parameters else GRAIN
        grain = max(grain, int(width.step or 1), int(height.step or 1))
        own = followed(choice.picture, megapixels, limits.megapixels, grain)
        return {"width": on_step(own.width, width), "height": on_step(own.height, height)}
    fitted = fit_size(asked, megapixels, width, height)
    if size is None and 0.9 <= saved.megapixels / megapixels <= 1.1:
        fitted = saved
    if size and isinstance(asked, Size):
        if asked.megapixels > limits.megapixels:
            raise _over_limit(size, asked, f"at most {limits.megapixels:g} megapixels")
        notes += [f"size {asked} was changed to {fitted}, which the node takes"] if fitted != asked else []
    while fitted.megapixels > limits.megapixels and megapixels > 0.01:  # nobody asked for just this many
        megapixels *= 0.95
        fitted = fit_size(asked, megapixels, width, height)
    return {"width": fitted.width, "height": fitted.height}


def _plan_count(count: Wanted | None, limits: Limits, notes: list[str]) -> int:
    if count is None:
        return 1
    fitted, note = fit_number(count, InputSpec("INT", 1))
    if fitted > limits.count:
        raise _over_limit(count, fitted, f"at most {limits.count} pictures in one call")
    notes += [note] if note else []
    return int(fitted)


def _over_limit(wanted: Wanted, value: Any, limit: str) -> LimitExceeded:
    return LimitExceeded(
        f"{wanted.name} is {shortened(value, 20)}, and the administrator allows {limit}.", f"Ask for {limit}."
    )


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/make.py
#
# run/make.
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """What became of a wish."""

    products: tuple[Product, ...]
    seed: int | None
    model: str
    workflow: str
    seconds: float
    notes: tuple[str, ...]
    texts: tuple[str, ...] = ()  # that nodes showed
    running: str = ""  # the id of a job that outlived its wait after others had brought their files


@dataclass(frozen=True)
class Memory:
    """How a graphics card is shared with a language model; by default nothing is done for that."""

    unload: Callable[[], Awaitable[None]] | None = None  # sends the language model away, and never raises
    free_seconds: float | None = None  # after a run, before ComfyUI's memory is freed; None for never

    @contextlib.asynccontextmanager
    async def shared(self, server: ComfyUIServer) -> AsyncIterator[None]:
        """The runs of a call on a server, with room made before and left behind. Comfy Cloud shares nothing."""
        if self.unload and not server.endpoint.cloud:
            await self.unload()
        try:
            yield
        finally:
            if self.free_seconds is not None and not server.endpoint.cloud and not Pool.here().ending:
                server.free_after(self.free_seconds)


PARALLEL_FILES = 10  # files that go to or come from a server at once
CACHED_NOTE = "ComfyUI had this very picture already: prompt, seed and settings are those of an earlier one"
LOST_POSTS = 2  # that never arrived, after which the post is tried again


@dataclass(frozen=True)
class Assignment:
    """A call's prompts, ready to post on the server that was chosen for them."""

    server: ComfyUIServer
    choice: Choice
    plan: Plan
    posted: Callable[[], None]  # to be called when the server's queue shows it


async def make(
    wish: Wish,
    endpoints: Sequence[Endpoint],
    limits: Limits,
    audience: Audience,
    *,
    catalogue: Catalogue = Catalogue(),
    previews: bool = True,
    wanted: Format = Format(),
    patience: Patience = Patience(),
    owner: Owner | None = None,
    memory: Memory = Memory(),
    elsewhere: Sequence[Endpoint] = (),
) -> Made:
    """From a wish to finished files on the server that will be done soonest. Cancelling it cancels the job there.

    A job that its server lost is run once more: on another server, or on the same one where that answers again. One
    that a server did not take goes to the next. On servers `elsewhere` nothing is run, but the user's jobs count.
    """
    audience.status("connecting", "Connecting to ComfyUI")
    fleet = await Fleet(tuple(endpoints), limits, owner or Owner(), patience, tuple(elsewhere)).found()
    random_seed, moment = secrets.randbelow(MAX_SEED + 1), datetime.now()
    harvest, gone, again, posts = Harvest(wish.called), set[Endpoint](), False, 0
    failed: tuple[Assignment, ComfyUIError] | None = None  # why another server is needed
    while True:
        async with contextlib.AsyncExitStack() as stack:
            choosing = assign(fleet, wish, catalogue, gone, random_seed, moment, audience)
            try:
                assigned = await stack.enter_async_context(choosing)
            except ComfyUIError:
                if failed is None:
                    raise
                if not harvest.collected:
                    raise failed[1] from None
                harvest.note_missing(failed[1].message)
                return harvest.made(failed[0])
            await stack.enter_async_context(memory.shared(assigned.server))
            server = assigned.server
            try:
                await harvest.reap(fleet, assigned, audience, previews, wanted)
            except ComfyUIError as error:
                lost = isinstance(error, JobLost) or (isinstance(error, ServerGone) and error.refused)
                untaken = isinstance(error, ServerError) and error.untaken
                others = set(fleet.endpoints) - gone - {server.endpoint}
                server.record.lost += lost
                failed = assigned, error
                if lost or untaken:
                    server.record.rest(error.message, silent=isinstance(error, (ServerGone, ServerUnreachable)))
                if untaken and others:
                    gone.add(server.endpoint)
                    continue
                if isinstance(error, JobLost) and not error.arrived and posts < LOST_POSTS:
                    posts += 1
                    continue
                if lost and not again and (others or isinstance(error, JobLost)):
                    again = True
                    gone |= {server.endpoint} if isinstance(error, ServerGone) else set()
                    harvest.notes.append(f"{server.endpoint.name} lost the job, and it was run again")
                    audience.status("connecting", "ComfyUI lost the job; it is run again")
                    continue
                if not harvest.collected:
                    if isinstance(error, StillRunning) and harvest.parts > 1:
                        error.message += f" It makes 1 of {harvest.parts}; the others were not begun."
                    raise
                harvest.note_missing(error.message)
                harvest.running = error.job_id if isinstance(error, StillRunning) else ""
            return harvest.made(assigned)


@dataclass
class Harvest:
    """What a call has made so far, of all its prompts and on all the servers that it came to."""

    name: str  # what files are called after
    collected: list["Collected"] = field(default_factory=list)  # one for each prompt
    notes: list[str] = field(default_factory=list)
    parts: int = 0  # prompts that the call takes
    begun: float = 0.0  # of `time.monotonic`
    running: str = ""  # the id of the job that outlived the wait

    async def reap(
        self, fleet: Fleet, assigned: Assignment, audience: Audience, previews: bool, wanted: Format
    ) -> None:
        """Run the prompts that are left on the server that was chosen for them. Raises as `follow` and `collect` do."""
        server, plan = assigned.server, assigned.plan
        self.begun = self.begun or time.monotonic()
        self.notes += plan.notes
        if self.collected and len(plan.workflows) != self.parts:
            self.note_missing("the other server makes them differently")
            return
        self.parts = len(plan.workflows)
        for index in range(len(self.collected), self.parts):
            graph = plan.workflows[index].graph
            part = f"{index + 1} of {self.parts} · " if self.parts > 1 else ""
            wait = max(fleet.limits.wait_seconds - (time.monotonic() - self.begun), 0.0)
            if self.collected and not wait:
                self.note_missing("the longest wait is over; the others were not begun")
                return
            seed = None if plan.seed is None else plan.seed + index
            name, stem = assigned.choice.workflow.name, file_stem(self.name, seed)
            about = {"workflow": name, "model": plan.model, "seed": seed, "name": stem}
            job, dropped = await follow(
                server, graph, audience, part, wait, previews, fleet.patience, fleet, about, assigned.posted
            )
            audience.status("saving", f"{part}Saving")
            try:
                collected = await collect(server, job, graph, wanted, fleet.patience)
            except BaseException as error:
                leave(job.prompt_id)
                if not isinstance(error, ServerGone):
                    raise
                job_id = fleet.owner.job_id(server.endpoint, job.prompt_id)
                error.add_note(f"When ComfyUI is back, check_job may bring them: job_id {job_id}.")
                raise
            cached = (CACHED_NOTE,) if job.cached >= set(graph) else ()
            self.notes += [*dropped, *missed_pictures(job, graph), *collected.notes, *cached]
            self.collected.append(collected)

    def note_missing(self, reason: str) -> None:
        """Say that not all were made, and why."""
        self.notes.append(f"only {len(self.collected)} of {self.parts} were made: {reason}")

    def made(self, assigned: Assignment) -> Made:
        """All of it, with what was chosen in the end."""
        plan, name = assigned.plan, assigned.choice.workflow.name
        products = tuple(product for one in self.collected for product in one.products)
        texts = tuple(text for one in self.collected for text in one.texts)
        seconds, notes = time.monotonic() - self.begun, tuple(dict.fromkeys(self.notes))
        return Made(products, plan.seed, plan.model, name, seconds, notes, texts, self.running)


@contextlib.asynccontextmanager
async def assign(
    fleet: Fleet,
    wish: Wish,
    catalogue: Catalogue,
    gone: Collection[Endpoint],
    random_seed: int,
    moment: datetime,
    audience: Audience,
) -> AsyncIterator[Assignment]:
    """The soonest server of those that have what the wish needs, with the files in place and the prompts bound.

    Where one server has the model or workflow of a valve and another has not, the one that has it is taken. Raises as
    `Fleet.in_order` does, and what the first server said where none can do it.
    """
    errors: list[ComfyUIError] = []
    order = await fleet.in_order(str(wish.workflow.value) if wish.workflow else "", gone)
    strict = wish.insisting() if len(order) > 1 else wish
    async with contextlib.AsyncExitStack() as stack:
        for endpoint, asked in [*((one, strict) for one in order), *((one, wish) for one in order if strict != wish)]:
            server = await stack.enter_async_context(open_server(endpoint))
            coming = stack.enter_context(contextlib.ExitStack())
            coming.enter_context(server.record.expecting())
            try:
                choice, plan = await _ready(server, asked, catalogue, fleet.limits, random_seed, moment, audience)
            except (ServerError, WorkflowRefused, UnknownWorkflow) as error:
                coming.close()
                errors.append(error)
                if isinstance(error, (ServerUnreachable, ServerGone)):
                    server.record.rest(error.message, silent=True)
                if len(order) == 1:
                    raise
            else:
                yield Assignment(server, choice, plan, coming.close)
                return
    refusals = [error for error in errors if not isinstance(error, ServerError)]
    if refusals:
        raise refusals[0]
    raise fleet.none_answers([error for error in errors if isinstance(error, ServerError)])


async def _ready(
    server: ComfyUIServer,
    wish: Wish,
    catalogue: Catalogue,
    limits: Limits,
    random_seed: int,
    moment: datetime,
    audience: Audience,
) -> tuple[Choice, Plan]:
    """A wish bound for one server, with its files there."""
    choice = await choose(server, wish, catalogue)
    choice, files = await place_files(server, await freshen(server, choice, wish), wish)
    if choice.saved:
        wish = wish.against_author()
    plan = await asyncio.to_thread(prepare, choice, wish, limits, random_seed, moment)
    if files:  # not before everything else about the call is known to be right
        audience.status("uploading", "Sending the files to ComfyUI")
        names = await gather(PARALLEL_FILES, [functools.partial(server.upload, file) for file in files])
        renamed = {file.stored_name: name for file, name in zip(files, names, strict=True) if file.stored_name != name}
        if renamed:
            workflows = (replace(one, graph=with_files_named(one.graph, renamed)) for one in plan.workflows)
            plan = replace(plan, workflows=tuple(workflows))
    return choice, plan


@dataclass(frozen=True)
class Collected:
    """What one run made."""

    products: tuple[Product, ...]
    texts: tuple[str, ...]
    notes: tuple[str, ...]


async def collect(
    server: ComfyUIServer, job: Job, graph: Graph, wanted: Format = Format(), patience: Patience = Patience()
) -> Collected:
    """The run's files, in the order of the graph's nodes, as they are wanted. What is only shown (by preview nodes)
    counts only when nothing was saved. Raises `NothingMade`, or `PictureMissed` when only the websocket could have
    brought it, and `ServerGone` when the server stays away."""
    order = {node_id: index for index, node_id in enumerate(graph)}
    found = sorted(job.outputs, key=lambda output: order.get(output.node_id, len(order)))
    saved = [output for output in found if output.type == "output"]
    places = {replace(output, node_id=""): output for output in saved or (() if job.sent else found)}
    taken = list(places.values())  # several nodes may tell of one file
    texts = tuple(dict.fromkeys(output.text for output in found if output.type == "text"))

    async def bring(output: Output) -> tuple[Product, tuple[str, ...]]:
        if output.type == "text":
            return text_product(output.text), ()
        data = await fetch(server, output, patience)
        return await asyncio.to_thread(deliver, data, output.filename, wanted)

    brought = await gather(PARALLEL_FILES, [functools.partial(bring, output) for output in taken])
    brought += [await asyncio.to_thread(deliver, sent.data, "", wanted) for sent in job.sent]
    if brought:
        notes = dict.fromkeys(note for _, notes in brought for note in notes)
        return Collected(
            tuple(replace(one, prompt_id=job.prompt_id, of=len(brought)) for one, _ in brought), texts, tuple(notes)
        )
    if any(node["class_type"] == "SaveImageWebsocket" for node in graph.values()):
        raise PictureMissed("The picture was sent over the websocket while the connection was down, and is gone.")
    raise NothingMade("The run ended well, but saved nothing.")


async def fetch(server: ComfyUIServer, output: Output, patience: Patience) -> bytes:
    """A file's bytes, asked for again and again while the server does not answer: it has outlived its run, and outlives
    a restart. Raises `ServerGone` after `patience.gone` seconds of that, and as `ComfyUIServer.view` does."""
    pause = patience.settle
    failed_at = refused_at = math.inf  # when it began to fail, and when to find no connection
    while True:
        try:
            data = await server.view(output)
            server.record.bytes += len(data)
            return data
        except ServerUnreachable as error:
            now = time.monotonic()
            failed_at, refused_at = min(failed_at, now), min(refused_at, now) if error.refused else math.inf
            if now - (refused_at if error.refused else failed_at) >= patience.gone:
                raise ServerGone(
                    f"ComfyUI stopped answering before its files were fetched. {error.message}",
                    f'"{output.filename}" is in ComfyUI\'s output folder.',
                    error.refused,
                ) from None
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))
        pause = min(pause * 2, patience.longest)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/earlier.py
#
# run/earlier.
# ----------------------------------------------------------------------------------------------------------------------


CHECK_SECONDS = 20.0  # that check_job waits for a job which is still at work
COLLECT_SECONDS = 24 * 3600.0  # how old a finished job may be that is brought without being named
PROMPT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def find_job(fleet: Fleet, job_id: str) -> tuple[Endpoint, Prompt]:
    """The user's job of an id, on whichever server knows it.

    Raises `BadArgument` for what is no id, `UnknownJob` where no server knows it or it is somebody else's, and
    `ServerUnreachable` where one that does not answer may know it.
    """
    prompt_id, _, signature = job_id.strip().lower().partition(".")
    if not PROMPT_ID.fullmatch(prompt_id):
        raise BadArgument(
            f'The argument job_id is "{shortened(job_id)}".', 'It is told by a result "still running"; or leave it out.'
        )

    async def ask(server: ComfyUIServer) -> Prompt | None:
        return await server.find(prompt_id)

    found, silent = await _ask_all(fleet, ask)
    signed = hmac.compare_digest(signature.encode(errors="replace"), fleet.owner.mark(prompt_id)[:16].encode())
    for endpoint, prompt in found:
        if prompt and (signed if endpoint.cloud else fleet.owner.owns(prompt)):
            return endpoint, prompt
    if silent:
        raise ServerUnreachable(
            f"No server that answers knows this job, and {quoted(silent)} {'do' if len(silent) > 1 else 'does'} not.",
            "Try again later.",
        )
    raise UnknownJob("No ComfyUI server knows such a job of this user.")


async def own_jobs(fleet: Fleet) -> tuple[list[tuple[Endpoint, Prompt]], list[str]]:
    """The user's jobs on all servers, as far as these remember, the oldest first; and the names of the servers that do
    not answer. Jobs on Comfy Cloud are not among them: it keeps no marks."""

    async def ask(server: ComfyUIServer) -> list[Prompt]:
        return [prompt for prompt in await server.recent() if fleet.owner.owns(prompt)]

    found, silent = await _ask_all(fleet, ask)
    jobs = [(endpoint, prompt) for endpoint, prompts in found for prompt in prompts]
    return sorted(jobs, key=lambda job: marked_time(job[1], "at")), silent


async def _ask_all(
    fleet: Fleet, ask: Callable[[ComfyUIServer], Awaitable[T]]
) -> tuple[list[tuple[Endpoint, T]], list[str]]:
    """What each server answers, and the names of those that do not, a look-up's time given."""
    found: list[tuple[Endpoint, T]] = []
    silent: list[str] = []

    async def one(endpoint: Endpoint) -> None:
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS), open_server(endpoint) as server:
                found.append((endpoint, await ask(server)))
        except (ServerError, TimeoutError):
            silent.append(endpoint.name)

    await gather(len(fleet.known), [functools.partial(one, endpoint) for endpoint in fleet.known])
    return found, silent


async def bring(
    fleet: Fleet,
    endpoint: Endpoint,
    prompt: Prompt,
    audience: Audience,
    *,
    previews: bool = True,
    wanted: Format = Format(),
    wait: float = CHECK_SECONDS,
) -> Made:
    """What a job made that an earlier call started, waited for a while if need be; a Stop ends only the waiting.

    Raises `StillRunning` after `wait` seconds, and for a job that another call is following, and the job's own errors.
    """
    job_id = fleet.owner.job_id(endpoint, prompt.prompt_id)
    if ATTENDED.get(prompt.prompt_id):
        raise StillRunning("Another call is following this job and brings it.", job_id)
    graph, about = prompt.graph, mark_of(prompt)
    job = replace(Job.posted(prompt.prompt_id, graph), complete=False, away=True)
    job = advance(job, prompt.state, time.monotonic())
    on_preview = audience.preview if previews else ignore_preview
    attend(prompt.prompt_id)
    try:
        async with open_server(endpoint) as server:
            if not job.ended:
                async with server.connection.listen(prompt.prompt_id, picture_nodes(graph), on_preview) as subscription:
                    job = await watch(server, job, subscription, audience, "", wait, fleet)
            job = judge(job, graph)
            audience.status("saving", "Saving")
            collected = await collect(server, job, graph, wanted, fleet.patience)
    except BaseException:
        leave(prompt.prompt_id)
        raise
    seed = about.get("seed") if isinstance(about.get("seed"), int) else None
    model, workflow = (str(about.get(name) or "") for name in ("model", "workflow"))
    notes = (*collected.notes, *missed_pictures(job, graph))
    return Made(collected.products, seed, model, workflow, 0.0, notes, collected.texts)


def job_line(fleet: Fleet, endpoint: Endpoint, prompt: Prompt) -> dict[str, str]:
    """How a job stands, in a line for the model."""
    about = mark_of(prompt)
    line = {"job_id": fleet.owner.job_id(endpoint, prompt.prompt_id), "state": "running"}
    if isinstance(prompt.state, Waiting):
        line["state"] = f"waiting, {prompt.state.ahead} ahead"
    if isinstance(prompt.state, Recorded):
        line["state"] = "done, its own call is bringing it" if prompt.state.success else "failed"
    line |= {"workflow": shortened(about.get("workflow") or ""), "name": shortened(about.get("name") or "")}
    return {key: value for key, value in line.items() if value}


# ======================================================================================================================
# src/comfyui_chat/webui/__init__.py
#
# webui.
# ======================================================================================================================


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/ollama.py
#
# webui/ollama.
# ----------------------------------------------------------------------------------------------------------------------


UNLOAD_SECONDS = 5.0  # for Ollama to take its models off the graphics card, all of it together
UNLOAD_PAUSE_SECONDS = 0.2  # between two looks at whether they are gone


@dataclass(frozen=True)
class Ollama:
    """One of Open WebUI's connections to Ollama, and the key that belongs to it."""

    url: str
    api_key: str = field(default="", repr=False)

    @classmethod
    def all_of(cls, enabled: Any, urls: Any, configs: Any) -> "list[Ollama]":
        """Those that are switched on, as Open WebUI's settings hold them: `configs` by the place in `urls` or, in older
        ones, by the address."""
        known: Mapping[str, Any] = configs if isinstance(configs, Mapping) else {}
        found = []
        for index, url in enumerate(urls if enabled and isinstance(urls, (list, tuple)) else ()):
            parts = urlsplit(str(url))
            origin = f"{parts.scheme}://{parts.netloc}"
            held = [known[key] for key in (str(index), url, origin) if isinstance(known.get(key), Mapping)]
            config: Mapping[str, Any] = held[0] if held else {}
            if parts.hostname and config.get("enable", True):
                found.append(cls(str(url).rstrip("/"), str(config.get("key") or "")))
        return found

    async def unload(self) -> None:
        """Have it unload all models, and wait until they are gone, for `UNLOAD_SECONDS` at most. Whatever goes wrong is
        logged and goes no further; only a cancellation is raised."""
        headers, jar = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}, aiohttp.DummyCookieJar()
        try:
            async with (
                asyncio.timeout(UNLOAD_SECONDS),
                aiohttp.ClientSession(headers=headers, cookie_jar=jar, raise_for_status=True) as session,
            ):
                names = sorted(await self._loaded(session))
                asked = (self._send_away(session, name) for name in names)
                failures = await asyncio.gather(*asked, return_exceptions=True)
                going = {name for name, failure in zip(names, failures, strict=True) if failure is None}
                while going:  # it answers at once, and the memory is free later
                    await asyncio.sleep(UNLOAD_PAUSE_SECONDS)
                    going &= await self._loaded(session)
                for failure in filter(None, failures):
                    raise failure
        except Exception as error:
            reason = f"{type(error).__name__} {getattr(error, 'status', '')}".strip()
            log.info("Ollama at %s did not unload its models: %s", urlsplit(self.url).netloc.rpartition("@")[2], reason)

    async def _loaded(self, session: aiohttp.ClientSession) -> set[str]:
        """The names of the models in its memory."""
        async with session.get(f"{self.url}/api/ps", allow_redirects=False) as response:
            return {str(model.get("model") or model["name"]) for model in (await response.json())["models"]}

    async def _send_away(self, session: aiohttp.ClientSession, name: str) -> None:
        """Ask for one model to be unloaded: an empty prompt that is kept for no time."""
        body = {"model": name, "keep_alive": 0}
        async with session.post(f"{self.url}/api/generate", json=body, allow_redirects=False) as response:
            await response.read()


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/references.py
#
# webui/references.
# ----------------------------------------------------------------------------------------------------------------------


# A file's id, alone or in its address.
FILE_REFERENCE = re.compile(r"(?:\S{0,500}/api/v1/files/)?([0-9a-fA-F-]{36})(?:/content(?:/\S{0,500})?)?")
DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.-]+)*;base64,")
LAST = re.compile(
    r"(?:the )?(?:last|latest|newest|most recent)(?: (\d{1,2}|two|three))?(?: (?:picture|image|photo|one)s?)?"
)


NUMBERED = re.compile(r"(?:the )?(?:(?:picture|image|photo|number|no\.?) ?)?#? ?(\d{1,5})(?:\.0)?")
ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}
OF_AUTHOR = ("saved", "author", "keep")  # in place of a file: the one that the workflow names
OF_IMAGE = ("transparency", "transparent", "alpha")  # in place of a mask: the picture's own


def read_references(value: Any, name: str = "images") -> list[str]:
    """The pictures that the argument `name` gives: a list, one text, several behind commas, or a list in a text.

    Raises `BadArgument`.
    """
    if isinstance(value, str) and value.strip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value)
    listed = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(item, (str, int, float)) and not isinstance(item, bool) for item in listed):
        raise BadArgument(
            f"The argument {name} is {shortened(value)}.", 'Give numbers, "last", or ids or URLs of files of this chat.'
        )
    texts = [str(item) for item in listed]
    parts = [part for text in texts for part in ([text] if DATA_URI.match(text) else text.split(","))]
    return [part.strip() for part in parts if is_given("images", part)]


def pick_pictures(words: str, pictures: Sequence[str]) -> list[str]:
    """The pictures of a chat that a number, "last" or "last 2" means, of all in their order. Raises `BadArgument`."""
    text = " ".join(words.lower().split())
    last, numbered = LAST.fullmatch(text), NUMBERED.fullmatch(text)
    ordinal = ORDINALS.get(text.removeprefix("the ").partition(" ")[0])
    if not last and not numbered and not ordinal:
        raise BadArgument(
            f'"{shortened(words)}" is no picture of this chat.',
            'Give a number from 1, "last", "last 2", or the id or URL of a file of this chat.',
        )
    if not pictures:
        raise BadArgument(
            "There is no picture in this chat.", "Ask the user to attach one, or make one with generate_image."
        )
    if last:
        count = {"two": 2, "three": 3}.get(last[1]) or int(last[1] or 1)
        if 1 <= count <= len(pictures):
            return list(pictures[-count:])
    else:
        number = ordinal or int(numbered[1] if numbered else 0)
        if 1 <= number <= len(pictures):
            return [pictures[number - 1]]
    raise BadArgument(
        f'There is no "{shortened(words)}" in this chat: it has {len(pictures)} picture{"s" * (len(pictures) != 1)}.',
        f"Give a number from 1 to {len(pictures)}.",
    )


def read_data_uri(uri: str) -> tuple[str, bytes]:
    """A name and the content of a data URI. Raises `BadArgument` and `LimitExceeded`. Blocks."""
    if len(uri) * 3 / 4 > MAX_INPUT_BYTES:
        raise LimitExceeded(f"A file of the chat is larger than {MAX_INPUT_BYTES // 2**20} MB.", "Give a smaller one.")
    try:
        return "the attached file", base64.b64decode(uri.partition(",")[2], validate=True)
    except ValueError:
        raise BadArgument("A file of the chat is no proper data URI.", "Have it attached again.") from None


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/display.py
#
# webui/display.
# ----------------------------------------------------------------------------------------------------------------------


PREVIEW_BYTES = 40_000
PREVIEW_PIXELS = 512  # longer side of a preview in the chat
STATUS_SECONDS = 2.0  # between two texts of the same phase: the chat lists every one of them
PREVIEW_SECONDS = 0.5
Emit = Callable[[dict[str, Any]], Awaitable[Any]]


class Display:
    """Shows a run in the message, live only: nothing of it is written to the database.

    Only the newest text and the newest preview are kept, so a slow chat never holds anything up. A text of the same
    phase follows another after `STATUS_SECONDS` at the earliest, a preview after `PREVIEW_SECONDS`.
    """

    def __init__(self, emit: Emit | None, real_files: Sequence[Mapping[str, Any]], previews: bool) -> None:
        self._emit = emit
        self._real_files = real_files
        self.previews = previews  # whether one can be shown, and taken away again
        self._status: tuple[str, str] | None = None
        self._preview: bytes | None = None
        self._news = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self.preview_shown = False

    def status(self, phase: str, text: str, fraction: float | None = None) -> None:
        """Show a text as soon as its turn comes, unless a newer one comes first."""
        self._status = phase, text
        self._news.set()

    def preview(self, data: bytes) -> None:
        """Show a preview as soon as its turn comes, unless a newer one comes first."""
        if self.previews:
            self._preview = data
            self._news.set()

    def start(self) -> None:
        """Begin to show things."""
        if self._emit:
            self._pump = asyncio.create_task(self._run(self._emit))

    async def stop(self) -> None:
        """Show nothing any more; what is just being sent is dropped."""
        if self._pump:
            self._pump.cancel()
            await asyncio.wait({self._pump}, timeout=CLEAN_UP_SECONDS / 3)

    async def _run(self, emit: Emit) -> None:
        shown: tuple[str, str] | None = None
        text_due = preview_due = 0.0
        while True:
            self._news.clear()  # before looking, so that what comes during a send is looked at at once
            now = time.monotonic()
            phase_changed = shown is None or (self._status is not None and self._status[0] != shown[0])
            if self._status and self._status != shown and (phase_changed or now >= text_due):
                shown, text_due = self._status, now + STATUS_SECONDS
                await self._send(emit, {"type": "status", "data": {"description": shown[1], "done": False}})
            if self._preview is not None and now >= preview_due:
                data, self._preview, preview_due = self._preview, None, now + PREVIEW_SECONDS
                if url := await asyncio.to_thread(shrink_preview, data):
                    files = [*map(dict, self._real_files), {"type": "image", "url": url}]
                    self.preview_shown = True
                    await self._send(emit, {"type": "chat:message:files", "data": {"files": files}})
            dues = [due for due, waits in ((text_due, self._status != shown), (preview_due, self._preview)) if waits]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(_loop_time(min(dues))) if dues else contextlib.nullcontext():
                    await self._news.wait()

    async def _send(self, emit: Emit, event: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await emit(event)
        except Exception as error:  # a picture must not fail because a progress text could not be shown
            log.debug("event %s: %s", event["type"], type(error).__name__)


def _loop_time(monotonic: float) -> float:
    return asyncio.get_running_loop().time() + monotonic - time.monotonic()


def shrink_preview(data: bytes) -> str | None:
    """A preview as a small JPEG data URI of at most about `PREVIEW_BYTES`, or None when it is no picture. Blocks."""
    steps = (PREVIEW_PIXELS, 75), (PREVIEW_PIXELS, 55), (PREVIEW_PIXELS // 2, 60)
    return small_jpeg(data, steps, PREVIEW_BYTES, 2**24)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/chat.py
#
# webui/chat.
# ----------------------------------------------------------------------------------------------------------------------


REMEMBERED_CHATS = 200
REMEMBERED_MESSAGES = 200  # of each; a channel has no end
ELSEWHERE: dict[str, dict[str, "Passing"]] = {}  # chat id -> message id -> what was made for it, where nothing is saved
STORED_AT_ONCE = 4
ATTACHMENTS = 20  # that are looked into for a workflow


# A picture in a text. What is between brackets holds none, so that no text is gone through again and again.
SHOWN_FILE = re.compile(r"!\[[^\[\]]*\]\(\s*[^\s()]*?/api/v1/files/([0-9a-fA-F-]{36})/content")
TOOL_PICTURES = "Here are the images from the tool results above"  # how Open WebUI shows a model what tools return


# What the page's browser draws as a picture; others are offered for download.
DRAWN = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/avif", "image/bmp", "image/svg+xml")


@dataclass(frozen=True)
class Passing:
    """What was made in a chat that is not in the database: in which turn of the user, and as a message holds it."""

    turn: int
    files: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class ChatFile:
    """A picture, video or sound that stands in a chat."""

    kind: str  # "image", "video" or "audio"
    reference: str  # its id in Open WebUI, or a data URI

    @classmethod
    def of(cls, item: Any) -> "ChatFile | None":
        """What an item of a message's files is, or None for anything else."""
        if not isinstance(item, Mapping):
            return None
        inner = item.get("file")
        meta = inner.get("meta") if isinstance(inner, Mapping) else None
        named = item.get("content_type") or (meta.get("content_type") if isinstance(meta, Mapping) else None)
        kind = str(named or mimetypes.guess_type(str(item.get("name") or ""))[0] or "").partition("/")[0]
        kind = "image" if item.get("type") == "image" else kind
        for place in (item.get("id"), item.get("url")):
            found = FILE_REFERENCE.fullmatch(str(place or ""))
            if kind in ("image", "video", "audio") and (found or DATA_URI.match(str(place or ""))):
                return cls(kind, found[1] if found else str(place))
        return None


JOB_KEY = "comfyui_job"  # under which a stored file tells of the run that made it


KEPT_PAGE, KEPT_PAGES = 100, 20  # how many of a user's files are looked through for those of a job


def message_file(item: Any, drawn: bool) -> dict[str, Any]:
    """What a message holds of a file of Open WebUI's: pictures are `drawn`, all else is offered."""
    meta = item.meta or {}
    name, content_type = str(meta.get("name") or item.filename), str(meta.get("content_type") or "")
    url = f"/api/v1/files/{item.id}/content"
    kept = {"id": item.id, "url": url, "name": name, "content_type": content_type}
    if drawn:
        return {"type": "image", **kept}
    return {"type": "file", **kept, "size": int(meta.get("size") or 0)}


@dataclass
class Kept:
    """What is stored of a job that made `of` files: as messages hold it, and what each is called on its server."""

    of: int
    files: list[dict[str, Any]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is missing; a user may have deleted what is not there."""
        return len(self.files) >= self.of


class Chat:
    """The message that a call belongs to, in Open WebUI's terms. One object a call."""

    def __init__(
        self,
        request: Any = None,
        user: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        emit: Emit | None = None,
        chat_id: str | None = None,
        message_id: str | None = None,
        messages: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """What Open WebUI hands to a tool; all of it may be missing."""
        metadata = metadata or {}
        self.request = request
        self.user = user or {}
        self.chat_id = chat_id or metadata.get("chat_id") or ""
        self.message_id = message_id or metadata.get("message_id") or ""
        self._metadata = metadata
        self._messages = messages or ()
        self._emit = emit
        self._files: list[dict[str, Any]] = []  # what the message really holds
        self._media: list[ChatFile] | None = None  # what the chat holds, once that is known
        self._display: Display | None = None
        self.shown = bool(self.message_id)  # whether the user sees what is kept

    @property
    def saved(self) -> bool:
        """Whether the chat is in the database."""
        passing = self.chat_id.startswith(("local:", "temporary:", "channel:"))
        return bool(self.chat_id and self.message_id and not passing)

    @property
    def channel(self) -> bool:
        """Whether the message stands in a channel: no status is shown there, and every picture sent there stays."""
        return self.chat_id.startswith("channel:")

    def _adds(self) -> bool:
        """Whether files that are sent are added to the message instead of replacing what it shows: in channels, and
        in temporary chats since 0.12.0."""
        if self.channel or self.saved or not self.message_id:
            return self.channel
        from open_webui import env

        return tuple(int(part) for part in re.findall(r"\d+", str(env.VERSION))[:2]) >= (0, 12)

    async def _begin(self) -> Display:
        """Where the run is shown. Previews only go where they can be taken away again."""
        self._files = await self._real_files()
        shown = bool(self.message_id) and not self.channel
        self._display = Display(await self._live() if shown else None, self._files, shown and not self._adds())
        self._display.start()
        return self._display

    async def _live(self) -> Emit | None:
        """An emitter that reaches the user's browser and writes nothing to the database."""
        if self._emit is None:
            return None
        from open_webui.socket.main import get_event_emitter

        about = {"chat_id": self.chat_id, "message_id": self.message_id, "user_id": self.user.get("id")}
        emit: Emit = await get_event_emitter({**about, "internal": self._metadata.get("internal")}, update_db=False)
        return emit

    async def _real_files(self) -> list[dict[str, Any]]:
        """The files that the message holds already, from an earlier call in the same answer."""
        if not self.saved:
            made = ELSEWHERE.get(self.chat_id, {}).get(self.message_id)
            return [dict(item) for item in made.files] if made else []
        from open_webui.models.chats import Chats

        message = await Chats.get_message_by_id_and_message_id(self.chat_id, self.message_id)
        return list((message or {}).get("files") or ())

    async def comfyui_address(self) -> str:
        """The address of ComfyUI in Open WebUI's own image settings, or ""."""
        with contextlib.suppress(ImportError, AttributeError):
            from open_webui.models.config import Config

            return str(await Config.get("image_generation.comfyui.base_url") or "")
        with contextlib.suppress(AttributeError):  # before 0.10 the settings hang on the application
            return str(self.request.app.state.config.COMFYUI_BASE_URL or "")
        return ""

    @property
    def owner(self) -> Owner:
        """Whose jobs this call's are. The key comes from Open WebUI's own secret, so that all of its workers agree, and
        still do after a restart."""
        env = sys.modules.get("open_webui.env")
        secret = str(getattr(env, "WEBUI_SECRET_KEY", "") or "")
        user = str(self.user.get("id") or "")
        if not secret:
            return Owner(user)
        # Several processes, or machines, need Redis to tell one another of their chats.
        shared = getattr(env, "REDIS_URL", "") or getattr(env, "WEBSOCKET_MANAGER", "")
        alone = getattr(env, "UVICORN_WORKERS", None) == 1 and not shared
        return Owner(user, hmac.new(secret.encode(), b"comfyui_tool: whose job", "sha256").digest(), alone)

    async def ollamas(self) -> list[Ollama]:
        """The Ollamas in Open WebUI's own settings."""
        with contextlib.suppress(ImportError, AttributeError):
            from open_webui.models.config import Config

            keys = ("ollama.enable", "ollama.base_urls", "ollama.api_configs")
            return Ollama.all_of(*[await Config.get(key) for key in keys])
        with contextlib.suppress(AttributeError):  # before 0.10 the settings hang on the application
            config = self.request.app.state.config
            return Ollama.all_of(config.ENABLE_OLLAMA_API, config.OLLAMA_BASE_URLS, config.OLLAMA_API_CONFIGS)
        return []

    async def unload_ollama(self) -> None:
        """Have every Ollama unload its models, all at once. As `Ollama.unload` it fails in silence."""
        try:
            await asyncio.gather(*(ollama.unload() for ollama in await self.ollamas()))
        except Exception as error:
            log.info("Open WebUI does not tell of its Ollamas: %s", type(error).__name__)

    async def keep(self, products: Sequence[Product], stem: str) -> list[dict[str, Any]]:
        """Store files as the user's own, under telling names, and show them in the message, in their order.

        Returns what a message holds of each. What was stored before a failure is shown all the same; raises
        `StorageRefused` for it, naming what is still on the ComfyUI server.
        """
        gate = asyncio.Semaphore(STORED_AT_ONCE)

        async def store(index: int, product: Product) -> dict[str, Any]:
            name = f"{stem}-{index + 1}" if len(products) > 1 else stem
            async with gate:
                return await self._upload(f"{name}.{product.ending}", product)

        tasks = [asyncio.create_task(store(*item)) for item in enumerate(products)]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            failures = [None if task.cancelled() else task.exception() for task in tasks]
            fine = [not task.cancelled() and failure is None for task, failure in zip(tasks, failures, strict=True)]
            stored = [task.result() for task, good in zip(tasks, fine, strict=True) if good]
            if stored:
                self.shown = await finish(self._attach(stored), ANSWER_SECONDS) and self.shown
        error = next((failure for failure in failures if failure), None)
        if error is None:
            return stored
        reason = getattr(error, "detail", None) or type(error).__name__  # an HTTPException, or the storage's own
        left = quoted(item.source for item, good in zip(products, fine, strict=True) if item.source and not good)
        hint = f"In ComfyUI's output folder: {left}." if left else "Nothing is left of it on the ComfyUI server."
        hint += f" The other {len(stored)} are stored{' and shown' * self.shown}." if stored else ""
        raise StorageRefused(f"Open WebUI did not store the file: {shortened(reason, 200)}", hint)

    async def _upload(self, name: str, product: Product) -> dict[str, Any]:
        from fastapi import UploadFile
        from open_webui.models.files import Files
        from open_webui.models.users import Users
        from open_webui.routers.files import upload_file_handler
        from starlette.datastructures import Headers

        if self.saved:
            about = {"chat_id": self.chat_id, "message_id": self.message_id}
        elif self.channel:
            about = {"channel_id": self.chat_id.removeprefix("channel:"), "message_id": self.message_id}
        else:
            about = {}
        if product.prompt_id:
            about[JOB_KEY] = {"prompt_id": product.prompt_id, "source": product.source, "of": product.of}
        upload = UploadFile(
            file=io.BytesIO(product.data), filename=name, headers=Headers({"content-type": product.content_type})
        )
        user = await Users.get_user_by_id(str(self.user.get("id")))
        # process=False: without it Open WebUI would try to read text out of the picture
        item = await upload_file_handler(self.request, file=upload, metadata=about, process=False, user=user)
        kept = message_file(item, bool(product.size) and product.content_type in DRAWN)
        if kept["type"] == "file":
            await Files.update_file_data_by_id(item.id, {"content": file_page(product, kept["url"])})
        return kept

    async def kept(self, jobs: Mapping[str, float]) -> "dict[str, Kept]":
        """What is stored already of the user's jobs: `jobs` tells for each prompt id when it was posted, in seconds
        since 1970. Nothing is where the user has deleted it."""
        from open_webui.models.files import Files

        found: dict[str, Kept] = {}
        since = min(jobs.values(), default=math.inf)
        for page in range(KEPT_PAGES):
            files = await Files.search_files(str(self.user.get("id")), skip=page * KEPT_PAGE, limit=KEPT_PAGE)
            for item in files:
                told = ((item.meta or {}).get("data") or {}).get(JOB_KEY) or {}
                job = str(told.get("prompt_id"))
                if job in jobs:
                    kept = found.setdefault(job, Kept(int(told["of"])))
                    kept.sources.append(str(told["source"]))
                    kept.files.append(message_file(item, "content" not in (item.data or {})))
            if len(files) < KEPT_PAGE or (files[-1].created_at or 0) < since:
                break
        for kept in found.values():
            kept.files.sort(key=lambda file: (len(file["name"]), file["name"]))  # "-2" before "-10"
        return found

    async def show_again(self, items: list[dict[str, Any]]) -> None:
        """Show files in the message that are stored already."""
        self.shown = await finish(self._attach(items), ANSWER_SECONDS) and self.shown

    async def read_file(self, reference: str) -> tuple[str, bytes]:
        """Name and content of a file that the user may read, by its id or its address in this Open WebUI, or of a data
        URI. Raises `BadArgument` for any other: one that the user may not read cannot be told from one that is not
        there."""
        if DATA_URI.match(reference):
            return await asyncio.to_thread(read_data_uri, reference)
        from open_webui.models.files import Files
        from open_webui.models.users import Users
        from open_webui.storage.provider import Storage
        from open_webui.utils.access_control.files import has_access_to_file

        found = FILE_REFERENCE.fullmatch(reference.strip())
        user = await Users.get_user_by_id(str(self.user.get("id")))
        item = await Files.get_file_by_id(found[1]) if found and user else None
        mine = item is not None and (item.user_id == user.id or user.role == "admin")  # as for Open WebUI itself
        if item is None or not (mine or await has_access_to_file(item.id, "read", user)):
            raise BadArgument(
                f'There is no file "{shortened(reference)}".',
                'Give a picture\'s number in this chat, "last", or the id or URL of one of its files.',
            )

        def content() -> bytes:
            path = Path(Storage.get_file(item.path))
            if path.stat().st_size > MAX_INPUT_BYTES:
                raise LimitExceeded(f'The file "{item.filename}" is larger than {MAX_INPUT_BYTES // 2**20} MB.')
            return path.read_bytes()

        try:
            return str(item.filename), await asyncio.to_thread(content)
        except ComfyUIError:
            raise
        except Exception:  # whatever the storage provider raises
            raise BadArgument(f'The file "{item.filename}" is not in the storage of Open WebUI any more.') from None

    async def media(self) -> list[ChatFile]:
        """The pictures, videos and sounds of the chat along the branch that ends in this message, oldest first; the
        user's and generated ones alike. One counts anew where the user sends it again, but not where an answer shows
        it again."""
        if self._media is not None:
            return self._media
        found: list[ChatFile] = []
        for message in await self._branch():
            here = [ChatFile.of(item) for item in message.get("files") or ()]
            known: set[str] = set()
            if message.get("role") == "assistant":
                known = {file.reference for file in found}
                if isinstance(text := message.get("content"), str):
                    here += [ChatFile("image", shown) for shown in SHOWN_FILE.findall(text)]
            for file in here:
                if file and file.reference not in known:  # a text may show a video as if it were a picture
                    known.add(file.reference)
                    found.append(file)
        self._media = found
        return found

    async def _branch(self) -> list[Mapping[str, Any]]:
        """The messages up to this one, oldest first."""
        asked = {"role": "user", "files": (self._metadata.get("user_message") or {}).get("files")}
        if self.saved:
            from open_webui.models.chats import Chats

            messages = await Chats.get_messages_map_by_chat_id(self.chat_id) or {}
            at = self.message_id if self.message_id in messages else str(self._metadata.get("user_message_id") or "")
            branch, seen = list[Mapping[str, Any]](), set[str]()
            while (message := messages.get(at)) and at not in seen:
                seen.add(at)
                branch.insert(0, message)
                at = message.get("parentId") or ""
            own: list[Mapping[str, Any]] = []
            if self.message_id in seen:  # before 0.12 the map does not have what was just stored with it
                own = [{**branch.pop(), "files": await self._real_files()}]
            if branch and branch[-1].get("role") == "user":
                asked["files"] = [*(branch.pop().get("files") or ()), *(asked["files"] or ())]
            return [*branch, asked, *own]
        made, said = self._made(), self._said()
        branch = [{"role": "assistant", "files": one.files} for one in made if one.turn == 0]
        for turn, files in enumerate(said, 1):
            # A model without vision is sent no pictures.
            branch.append({"role": "user", "files": files or (asked["files"] if turn == len(said) else ())})
            branch += [{"role": "assistant", "files": one.files} for one in made if one.turn == turn]
        return branch if said else [asked, *branch]

    def _made(self) -> list[Passing]:
        """What was made on the branch of a chat that is not in the database. Which of several answers to one message
        the user went on with, the results in the messages tell."""
        made = ELSEWHERE.get(self.chat_id, {})
        if self.channel:
            return list(made.values())
        told = " ".join(str(message.get("content")) for message in self._messages if message.get("role") != "user")
        on = {key for key, one in made.items() if any(str(item.get("id")) in told for item in one.files)}
        settled, now = {made[key].turn for key in on}, len(self._said())
        on |= {
            key for key, one in made.items() if key == self.message_id or (one.turn < now and one.turn not in settled)
        }
        return [one for key, one in made.items() if key in on]

    def _said(self) -> list[list[dict[str, str]]]:
        """The pictures of each of the user's messages, as they are sent to the model."""
        turns: list[list[dict[str, str]]] = []
        for message in self._messages:
            parts = message.get("content")
            parts = [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
            shown_to_model = any(str(part.get("text", "")).startswith(TOOL_PICTURES) for part in parts)
            if message.get("role") == "user" and not shown_to_model:
                urls = [part.get("image_url") for part in parts]
                urls = [url.get("url") if isinstance(url, Mapping) else url for url in urls]
                turns.append([{"type": "image", "url": url} for url in urls if isinstance(url, str)])
        return turns

    async def numbers(self, files: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """The number in the chat of each of these pictures, by id; none when the chat cannot be read."""
        try:
            pictures = [file.reference for file in await self.media() if file.kind == "image"] if self.shown else []
        except Exception as error:  # the pictures themselves are stored and shown
            log.warning("the pictures of the chat could not be counted: %s", type(error).__name__)
            return {}
        return {item["id"]: pictures.index(item["id"]) + 1 for item in files if item["id"] in pictures}

    async def input_files(self, references: Any, keep: bool = False, name: str = "images") -> list[InputFile | None]:
        """Files of the chat as a workflow's inputs, given as a list, as one text, or as a list in a text: by numbers,
        "last", "last 2", ids or addresses. With `keep` the word "saved" stands for the workflow's own file, as None.
        Raises `BadArgument`, and `LimitExceeded` for more than a workflow could take."""
        wanted: list[str | None] = []
        for words in read_references(references, name):
            wanted += [None] if keep and words.lower() in OF_AUTHOR else await self._meant(words)
        if len(wanted) > MAX_INPUT_FILES:
            raise LimitExceeded(f"{len(wanted)} files were given.", f"Give at most {MAX_INPUT_FILES}.")
        files: list[InputFile | None] = []
        for one in wanted:
            files.append(await self._input_file(one) if one is not None else None)
            if sum(len(file.data) for file in files if file) > MAX_INPUT_BYTES:
                raise LimitExceeded(f"The files have more than {MAX_INPUT_BYTES // 2**20} MB.", "Give smaller ones.")
        return files

    async def _meant(self, words: str) -> list[str]:
        """The ids, addresses or data URIs that one word of a call means. Raises `BadArgument`."""
        if FILE_REFERENCE.fullmatch(words) or DATA_URI.match(words):
            return [words]
        return pick_pictures(words, [file.reference for file in await self.media() if file.kind == "image"])

    async def _input_file(self, reference: str) -> InputFile:
        """A file as a workflow's input. Raises as `read_file` does, and `BadArgument` for a kind that none takes."""
        name, data = await self.read_file(reference)
        return await asyncio.to_thread(read_input, data, name)

    async def newest(self) -> InputFile:
        """The newest picture of the chat, whoever made it. Raises `BadArgument` when there is none."""
        offer = (await self.offers()).get("image")
        if offer is None:
            raise BadArgument(
                "There is no picture in this chat.", "Ask the user to attach one, or make one with generate_image."
            )
        return await offer()

    async def offers(self) -> dict[str, Offer]:
        """The chat's newest file of each kind."""
        return {file.kind: functools.partial(self._input_file, file.reference) for file in await self.media()}

    async def mask(self, value: Any, picture: InputFile) -> Image.Image | None:
        """A mask for a picture, given as one of the chat's pictures or as the word "transparency"; white is painted
        anew. Raises `BadArgument`."""
        words = read_references(value, "mask")
        if not words:
            return None
        if words[0].lower() in OF_IMAGE:
            own = await asyncio.to_thread(mask_of, picture)
            if own is None:
                raise BadArgument("The picture has no transparent part.", "Give a mask of its own, or none.")
            return own
        references = [reference for word in words for reference in await self._meant(word)]
        if len(references) != 1:
            raise BadArgument("The argument mask names several pictures.", "Give one.")
        name, data = await self.read_file(references[0])
        return await asyncio.to_thread(read_mask, data, name)

    @property
    def seen_by_model(self) -> bool:
        """Whether the model gets to see pictures in a result: it has to have vision, call natively, and Open WebUI has
        to take them out of the text (since 0.11.4)."""
        model = self._metadata.get("model") or {}
        about = ((model.get("info") or {}).get("meta") or {}).get("capabilities") or {}
        native = (self._metadata.get("params") or {}).get("function_calling") != "legacy"
        takes = hasattr(sys.modules.get("open_webui.utils.middleware"), "extract_base64_images")
        return takes and native and about.get("vision") is not False

    async def attached_workflow(self) -> Entry:
        """The newest workflow among the files that the user attached to this chat: inside a picture that ComfyUI made,
        or as a JSON file. Raises `UnknownWorkflow` or, when there is none in what is attached, `WorkflowRefused`."""
        refusal: ComfyUIError | None = None
        for reference in (await self._attachments())[:ATTACHMENTS]:
            try:
                name, data = await self.read_file(reference)
                if name.lower().endswith(".json"):
                    graph = await asyncio.to_thread(read_workflow_file, data)
                else:
                    graph = await asyncio.to_thread(read_picture_workflow, data, shortened(name))
                return Entry(ATTACHED, ATTACHED, graph)
            except ComfyUIError as error:
                refusal = refusal or error
        raise refusal or UnknownWorkflow(
            "No file is attached to this chat.", "Ask the user to attach a picture that ComfyUI made, or its JSON file."
        )

    async def _attachments(self) -> list[str]:
        """The addresses of the files that the user attached, newest first: of this turn, then of the earlier ones."""
        turns = [message.get("files") or () for message in await self._branch() if message.get("role") == "user"]
        items = [item for turn in turns for item in turn if isinstance(item, Mapping)]
        items += [item for item in self._metadata.get("files") or () if isinstance(item, Mapping)]
        references = [str(item.get("id") or item.get("url") or "") for item in reversed(items)]
        return list(dict.fromkeys(filter(None, references)))

    async def _attach(self, stored: list[dict[str, Any]]) -> None:
        """Add files to the message, in the database and in the browser."""
        if self._display:  # no preview may come after the pictures
            await self._display.stop()
        shown = [*self._files, *stored]
        if self.saved:
            from open_webui.models.chats import Chats

            ids = [item["id"] for item in stored]
            await Chats.insert_chat_files(self.chat_id, self.message_id, ids, str(self.user.get("id")))
            shown = await Chats.add_message_files_by_id_and_message_id(self.chat_id, self.message_id, stored) or shown
        elif self.chat_id:
            made = ELSEWHERE.setdefault(self.chat_id, {})
            made[self.message_id] = Passing(len(self._said()), tuple(map(dict, shown)))
            for remembered, most in ((made, REMEMBERED_MESSAGES), (ELSEWHERE, REMEMBERED_CHATS)):
                for oldest in list(remembered)[:-most]:
                    del remembered[oldest]
            shown = stored if self._adds() else shown
        self._files, self._media = shown, None
        await self._say("chat:message:files", {"files": [dict(item) for item in shown]})
        if self._display:
            self._display.preview_shown = False

    async def _say(self, kind: str, data: dict[str, Any]) -> None:
        if self._emit:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._emit({"type": kind, "data": data})

    async def answer(self, work: Callable[[Display], Awaitable[tuple[dict[str, Any], str]]]) -> dict[str, Any]:
        """Do a call's work and see that the chat is left in order whatever happens: the last status is written, no
        preview stays, the model gets a dictionary. `work` returns it and the last status.

        A cancellation is raised again after the clean-up.
        """
        try:
            result, text = await work(await self._begin())
        except asyncio.CancelledError as stop:
            notes = getattr(stop, "__notes__", ())
            text = f"Stopped. {notes[0]}" if notes else "Stopped"
            text = notes[0] if notes and notes[0].startswith(GOES_ON) else text
            await finish(self._close(text), CLEAN_UP_SECONDS)
            raise
        except ComfyUIError as error:
            log.info("%s: %s", error.code, error.message)
            result, text = error.as_result(), error.message
        except Exception as error:
            log.exception("a mistake in the ComfyUI tool")
            result, text = InternalError(f"The tool failed ({type(error).__name__}).").as_result(), "The tool failed"
        await finish(self._close(text), ANSWER_SECONDS)
        return result

    async def _close(self, text: str) -> None:
        """Take the preview away and write the last status, the one whether or not the other succeeds."""
        try:
            if self._display:
                await self._display.stop()
            if self._display and self._display.preview_shown and (emit := await self._live()):
                files = [dict(item) for item in self._files]
                async with asyncio.timeout(CLEAN_UP_SECONDS / 2):
                    await emit({"type": "chat:message:files", "data": {"files": files}})
        except Exception as error:
            log.warning("the preview could not be taken away: %s", type(error).__name__)
        await self._say("status", {"description": text, "done": True})


TEXT_SHOWN = 100_000  # characters of a text that its dialog shows


def file_page(product: Product, url: str) -> str:
    """What Open WebUI's dialog shows of a file that is no picture: a player, the text, or a way to download it. It is
    kept with the file, in Markdown."""
    kind, _, detail = product.content_type.partition("/")
    if kind in ("video", "audio"):
        return player(kind, url, ' style="max-width:100%;max-height:20rem"')  # the dialog is not high
    if kind == "text" or detail == "json":
        text = product.data[: 4 * TEXT_SHOWN].decode("utf-8", "replace")[:TEXT_SHOWN]
        return f"```json\n{text}\n```" if detail == "json" else text
    return f"[Download]({url})"


def player(kind: str, url: str, style: str = "") -> str:
    """A player in the one form that the page draws in an answer's text, where the inner text counts, as well as in a
    file's dialog, where the attribute does: a block of HTML of its own."""
    return f'<p><{kind} src="{url}" controls{style}>{url}</{kind}></p>'


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/valves.py
#
# webui/valves.
# ----------------------------------------------------------------------------------------------------------------------


class Tolerant(BaseModel):
    """A model that takes whatever is stored: an unreadable valve would otherwise break every chat of the tool."""

    model_config = ConfigDict(extra="ignore")

    @field_validator("*", mode="before")
    @classmethod
    def _tidy(cls, value: Any, info: Any) -> Any:
        known = cls.model_fields[info.field_name]
        if get_origin(known.annotation) is Literal:
            plain = str(value).strip().lower()
            return next((choice for choice in get_args(known.annotation) if choice.lower() == plain), known.default)
        if known.annotation is bool:
            if isinstance(value, str):
                value = {"true": True, "1": True, "on": True, "yes": True}.get(value.strip().lower(), False)
            return value if isinstance(value, bool) else known.default
        if known.annotation is str and isinstance(value, (dict, list)):
            return json.dumps(value)  # workflows that a program set as they are
        if known.annotation is str:
            return value if isinstance(value, str) else known.default if value is None else str(value)
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return known.default
        return known.default if not math.isfinite(number) else known.annotation(number) if known.annotation else number


SECRET = {"input": {"type": "password"}}
MODEL_VALVE = "File name of the model to use when none is asked for. Leave empty to have an installed one chosen."
SIZE_VALVE = 'Used when no size is asked for: "auto", an aspect ratio such as "16:9", or pixels such as "1216x832".'
NEGATIVE_VALVE = "What to keep out of pictures when the call does not say; used by models that take a negative prompt."
WORKFLOW_VALVE = (
    "Name of the workflow to use when none is asked for. Leave empty to have one chosen by installed models."
)


EDIT_WORKFLOW_VALVE = "The same for edit_image. Leave empty to have one chosen by installed models."
FORMAT_VALVE = "What pictures are kept as; animations, videos and all else stay as made."
WORKFLOWS_VALVE = (
    "JSON of one workflow, as ComfyUI saves or exports it, or of several: an object of name and workflow, or a list."
)


class Valves(Tolerant):
    """What the administrator sets for everybody."""

    endpoint: str = Field(
        default="",
        title="ComfyUI address",
        description="For example `http://127.0.0.1:8188`. Several, one a line or behind commas, are used as one, the "
        "first ones first, and may have names: `fast = http://10.0.0.5:8188`. Leave empty to look at "
        "`COMFYUI_BASE_URL`, at the address in Open WebUI's own image settings, at `http://127.0.0.1:8188` and at "
        "`http://host.docker.internal:8188`.",
    )
    api_key: str = Field(
        default="",
        title="ComfyUI API key",
        description="Sent as `Authorization: Bearer` (to Comfy Cloud as `X-API-Key`), and to the administrator's "
        "addresses only. For several addresses: one for all, or one each behind commas, in their order.",
        json_schema_extra=SECRET,  # type: ignore[arg-type]
    )
    model: str = Field(default="", title="Model", description=MODEL_VALVE)
    workflow: str = Field(default="", title="Workflow", description=WORKFLOW_VALVE)
    edit_workflow: str = Field(default="", title="Workflow for edits", description=EDIT_WORKFLOW_VALVE)
    size: str = Field(default="auto", title="Size", description=SIZE_VALVE)
    negative_prompt: str = Field(default="", title="Negative prompt", description=NEGATIVE_VALVE)
    previews: bool = Field(
        default=True, title="Live previews", description="Show the picture coming up. Nothing of it is stored."
    )
    picture_format: Literal["as made", "PNG", "WebP", "JPEG"] = Field(
        default="as made", title="Format of pictures", description=FORMAT_VALVE
    )
    quality: int = Field(default=90, title="Quality of WebP and JPEG", description="1 to 100.")
    strip_metadata: bool = Field(
        default=False,
        title="Remove metadata",
        description="Take workflow, prompt and seed out of every file. ComfyUI's own output folder keeps them.",
    )
    allow_user_endpoints: bool = Field(
        default=False,
        title="Users may set their own ComfyUI address",
        description="The server of Open WebUI connects to whatever address a user enters. Administrators always may.",
    )
    workflows: str = Field(default="", title="Workflows", description=WORKFLOWS_VALVE)
    server_workflows: bool = Field(
        default=True,
        title="Workflows saved in ComfyUI",
        description="Whatever is saved on the ComfyUI server can be run by its name.",
    )
    allow_user_workflows: bool = Field(
        default=False,
        title="Users may bring their own workflows",
        description="Pasted into their valve, or inside a picture in the chat. They may use every node of the server. "
        "Administrators always may.",
    )
    max_count: int = Field(default=4, title="Most pictures in one call", description="1 to 64.")
    max_steps: int = Field(default=100, title="Most sampling steps", description="1 to 10000.")
    max_megapixels: float = Field(
        default=4.2, title="Largest picture in megapixels", description="0.07 to 256; 4.2 allows 2048x2048."
    )
    max_upscaled_megapixels: float = Field(
        default=34.0, title="Largest upscaled picture in megapixels", description="0.07 to 256; 34 allows 7680x4320."
    )
    max_video_seconds: float = Field(
        default=30.0,
        title="Longest video in seconds",
        description="0.1 to 3600, counted at no more than 30 frames a second.",
    )
    max_jobs: int = Field(
        default=4,
        title="Most jobs of one user at once",
        description="1 to 1000 on all servers together, waiting ones counted; 0 for any number.",
    )
    max_queue: int = Field(
        default=0,
        title="Longest queue that is joined",
        description="1 to 10000 jobs of everybody, ComfyUI's own page included; 0 for any number.",
    )
    max_wait_minutes: float = Field(
        default=60.0,
        title="Longest wait in minutes",
        description="0.1 to 1440. The job goes on in ComfyUI after it, and check_job brings it.",
    )
    lost_after_seconds: float = Field(
        default=60.0,
        title="Seconds until a server is given up",
        description="5 to 3600, without a connection to it; its job is run on another one then, if there is one.",
    )
    unload_ollama: bool = Field(
        default=False,
        title="Unload Ollama's models before a run",
        description="For Ollama and ComfyUI on one graphics card. All models of all of Open WebUI's Ollamas.",
    )
    free_memory: Literal["never", "after each run", "when idle"] = Field(
        default="never",
        title="Free ComfyUI's memory",
        description="Its models are unloaded, but never while anybody has a job in its queue.",
    )
    idle_minutes: float = Field(
        default=10.0,
        title="Minutes until idle",
        description="0.1 to 1440 without a run, after which ComfyUI's memory is freed when idle.",
    )


class UserValves(Tolerant):
    """What each user sets for themselves."""

    endpoint: str = Field(
        default="",
        title="Your ComfyUI address",
        description="Your own ComfyUI instead of the administrator's, if the administrator allows it.",
    )
    api_key: str = Field(
        default="",
        title="API key for your address",
        description="Sent as `Authorization: Bearer` (to Comfy Cloud as `X-API-Key`) to your own address only.",
        json_schema_extra=SECRET,  # type: ignore[arg-type]
    )
    server: str = Field(
        default="",
        title="Server",
        description="Name of the one to use, where the administrator has set several. Leave empty to have the soonest "
        "chosen.",
    )
    model: str = Field(default="", title="Model", description=MODEL_VALVE)
    workflow: str = Field(default="", title="Workflow", description=WORKFLOW_VALVE)
    edit_workflow: str = Field(default="", title="Workflow for edits", description=EDIT_WORKFLOW_VALVE)
    size: str = Field(default="auto", title="Size", description=SIZE_VALVE)
    negative_prompt: str = Field(default="", title="Negative prompt", description=NEGATIVE_VALVE)
    previews: bool = Field(default=True, title="Live previews", description="Show the picture coming up.")
    picture_format: Literal["default", "as made", "PNG", "WebP", "JPEG"] = Field(
        default="default", title="Format of pictures", description=f"{FORMAT_VALVE} The default is the administrator's."
    )
    quality: int = Field(
        default=0, title="Quality of WebP and JPEG", description="1 to 100; 0 for the administrator's."
    )
    strip_metadata: bool = Field(
        default=False, title="Remove metadata", description="Take workflow, prompt and seed out of every file."
    )
    show_to_model: bool = Field(
        default=False,
        title="The model sees its pictures",
        description="It gets small copies, so that it can judge them and try again; for models with vision, in native "
        "function calling, since Open WebUI 0.11.4. They cost tokens in every later turn.",
    )
    workflows: str = Field(
        default="", title="Workflows", description=f"{WORKFLOWS_VALVE} Used if the administrator allows it."
    )


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/settings.py
#
# webui/settings.
# ----------------------------------------------------------------------------------------------------------------------


USUAL_ADDRESSES = ("http://127.0.0.1:8188", "http://host.docker.internal:8188")


@dataclass(frozen=True)
class Settings:
    """What both valves and the caller's rights come to, for one call."""

    endpoints: tuple[Endpoint, ...]  # in the order in which they are preferred
    limits: Limits
    previews: bool
    preferences: Mapping[str, Wanted]  # argument -> what holds when the call does not say
    catalogue: Catalogue = Catalogue()
    own_workflows: bool = False  # whether the caller may bring workflows
    format: Format = Format()
    show_to_model: bool = False
    owner: Owner = field(default_factory=Owner)
    patience: Patience = Patience()
    unload_ollama: bool = False
    free_seconds: float | None = None  # after a run, before ComfyUI's memory is freed; None for never
    others: tuple[Endpoint, ...] = ()  # of the administrator's, while the user names one of them

    @property
    def fleet(self) -> Fleet:
        """The servers of this call, and by what rules they are used."""
        return Fleet(self.endpoints, self.limits, self.owner, self.patience, self.others)

    def wish(self, prompt: Any, **arguments: Any) -> Wish:
        """The wish of a call: its arguments first, then the user's valves, then the administrator's.

        Raises `BadArgument` when there is no prompt.
        """
        preferences = {name: wanted for name, wanted in self.preferences.items() if name != "edit_workflow"}
        wanted: dict[str, Any] = {**preferences, **_given(arguments)}
        return Wish(_prompt(prompt), **wanted)

    def edit(self, prompt: Any, files: Sequence[InputFile | None], mask: Image.Image | None, **arguments: Any) -> Wish:
        """The same for a change of pictures: size and workflow of the valves are for new ones and do not hold.

        Raises `BadArgument` when there is no prompt.
        """
        names = {"model": "model", "negative_prompt": "negative_prompt", "edit_workflow": "workflow"}
        preferences = {names[name]: wanted for name, wanted in self.preferences.items() if name in names}
        wanted: dict[str, Any] = {**preferences, **_given(arguments)}
        tasks = ("inpaint",) if mask else CHANGING
        return Wish(_prompt(prompt), tasks, files=tuple(files), mask=mask, **wanted)

    def enlarge(self, picture: InputFile | None, **arguments: Any) -> Wish:
        """The wish for a larger copy of a picture."""
        wanted: dict[str, Any] = _given(arguments)
        return Wish(None, ("upscale",), files=(picture,), **wanted)

    def order(
        self,
        workflow: Any,
        inputs: Any,
        files: Sequence[InputFile | None] = (),
        offers: Mapping[str, Offer] | None = None,
    ) -> Wish:
        """The wish of a call that names a workflow and its inputs; all others stay as its author saved them. Without a
        name one is chosen that makes pictures, or changes those that are given. Raises `BadArgument`.
        """
        name = words_of(workflow, "workflow").strip()
        if isinstance(inputs, str):
            with contextlib.suppress(ValueError, RecursionError):
                inputs = json.loads(inputs) if is_given("inputs", inputs) else None
        if inputs and not isinstance(inputs, dict):
            raise BadArgument(f"The argument inputs is {shortened(inputs)}.", 'Give an object such as {"seed": 7}.')
        wanted = {
            str(key): Wanted(value, f"The input {shortened(key, 60)}")
            for key, value in (inputs or {}).items()
            if value is not None
            and (str(key) not in EXTRAS or is_given(str(key), value))
            and (parameter_name(str(key)) != "seed" or is_given("seed", value))
        }
        if not name:
            wish = Wish(inputs=wanted, files=tuple(files))
            return replace(wish, tasks=CHANGING) if wish.pictures else wish
        about = Wanted(name, "The argument workflow")
        return Wish(workflow=about, inputs=wanted, files=tuple(files), offers=offers or {})

    async def including(self, chat: "Chat", workflow: Any) -> Catalogue:
        """The catalogue, with the workflow attached to the chat when that is the one which is named."""
        if not isinstance(workflow, str) or workflow.strip().lower() != ATTACHED:
            return self.catalogue
        if not self.own_workflows:
            raise UnknownWorkflow(
                "The administrator does not allow users to bring workflows of their own.",
                "Name one of list_workflows.",
            )
        return replace(self.catalogue, given=(await chat.attached_workflow(), *self.catalogue.given))


def _prompt(prompt: Any) -> str:
    text = as_text(Wanted(prompt, "The argument prompt"))
    if not text.strip():
        raise BadArgument("The argument prompt is empty.", "Call again with a text that says what to show.")
    return text


def _given(arguments: Mapping[str, Any]) -> dict[str, Wanted]:
    return {name: Wanted(value, f"The argument {name}") for name, value in arguments.items() if is_given(name, value)}


def resolve(
    valves: Valves, user: Mapping[str, Any] | None, own_address: str = "", owner: Owner | None = None
) -> Settings:
    """Both valves, clamped, and the caller's rights as one value.

    `user` is Open WebUI's `__user__`, with the user's valves; `own_address` the one in Open WebUI's image settings;
    `owner` says whose the jobs are.
    Raises `EndpointRefused` and `BadArgument`.
    """
    user = user or {}
    stored = user.get("valves")
    mine = UserValves(**(stored.model_dump() if isinstance(stored, BaseModel) else dict(stored or {})))
    others: list[Endpoint] = []
    preferences: dict[str, Wanted] = {}
    for level, whose, held in ((2, "The administrator's valve", valves), (1, "Your valve", mine)):
        for name in ("model", "workflow", "edit_workflow", "size", "negative_prompt"):
            value = getattr(held, name).strip()
            if is_given(name, value):
                preferences[name] = Wanted(value, f'{whose} "{type(held).model_fields[name].title}"', level)
    if mine.endpoint.strip():
        if not valves.allow_user_endpoints and user.get("role") != "admin":
            raise EndpointRefused(
                "You set a ComfyUI address of your own, and the administrator does not allow that.",
                'Tell the user to empty the valve "Your ComfyUI address" of this tool.',
            )
        endpoints = [Endpoint.parse(mine.endpoint, mine.api_key, 'The valve "Your ComfyUI address"')]
    else:
        everybodys = administrators_endpoints(valves, own_address)
        endpoints = pinned(everybodys, mine.server)
        others = [one for one in everybodys if one not in endpoints and not one.guessed]
    limits = Limits(
        count=int(clamp(valves.max_count, 1, 64)),
        steps=int(clamp(valves.max_steps, 1, 10_000)),
        megapixels=clamp(valves.max_megapixels, 0.07, 256),
        upscaled_megapixels=clamp(valves.max_upscaled_megapixels, 0.07, 256),
        video_seconds=clamp(valves.max_video_seconds, 0.1, 3600),
        wait_seconds=60 * clamp(valves.max_wait_minutes, 0.1, 1440),
        jobs=int(clamp(valves.max_jobs, 0, 1000)),
        queue=int(clamp(valves.max_queue, 0, 10_000)),
    )
    own = valves.allow_user_workflows or user.get("role") == "admin"
    kind = valves.picture_format if mine.picture_format == "default" else mine.picture_format
    quality = int(clamp(mine.quality or valves.quality, 1, 100))
    kept = not (valves.strip_metadata or mine.strip_metadata)
    return Settings(
        tuple(endpoints),
        limits,
        valves.previews and mine.previews,
        preferences,
        _catalogue(valves, mine, own),
        own,
        Format("" if kind == "as made" else kind, quality, kept),
        mine.show_to_model,
        owner or Owner(str(user.get("id") or "")),
        Patience(gone=clamp(valves.lost_after_seconds, 5, 3600)),
        valves.unload_ollama and not mine.endpoint.strip(),
        _free_seconds(valves) if not mine.endpoint.strip() else None,
        tuple(others),
    )


def _free_seconds(valves: Valves) -> float | None:
    idle = 60 * clamp(valves.idle_minutes, 0.1, 1440)
    return {"after each run": 0.0, "when idle": idle}.get(valves.free_memory)


def _catalogue(valves: Valves, mine: UserValves, own: bool) -> Catalogue:
    """The workflows of both valves, and what is wrong with them; the user's if they may bring their own."""
    pasted = [read_pasted(mine.workflows, "user", 'Your valve "Workflows"')] if own else []
    pasted.append(read_pasted(valves.workflows, "administrator", 'The administrator\'s valve "Workflows"'))
    problems = [problem for one in pasted for problem in one.problems]
    if mine.workflows.strip() and not own:
        problems.append('Your valve "Workflows" is not used: the administrator does not allow that.')
    given = tuple(entry for one in pasted for entry in one.entries)
    return Catalogue(given, valves.server_workflows or bool(mine.endpoint.strip()), tuple(problems))


async def settle(valves: Valves, user: Mapping[str, Any] | None, chat: Chat) -> Settings:
    """The settings of a call. Workflows in a valve may be megabytes, so they are read beside the event loop."""
    return await asyncio.to_thread(resolve, valves, user, await chat.comfyui_address(), chat.owner)


def administrators_endpoints(valves: Valves, own_address: str) -> list[Endpoint]:
    """The addresses to try for everybody. The key goes to those that an administrator set, not to guesses."""
    if valves.endpoint.strip():
        return read_endpoints(valves.endpoint, valves.api_key)
    named = (
        (os.environ.get("COMFYUI_BASE_URL", ""), "The environment variable COMFYUI_BASE_URL"),
        (own_address, "The ComfyUI address in Open WebUI's image settings"),
    )
    endpoints = [Endpoint.parse(url, valves.api_key, name) for url, name in named if url.strip()]
    known = {endpoint.url for endpoint in endpoints}
    guesses = [*endpoints, *(Endpoint(url) for url in USUAL_ADDRESSES if url not in known)]
    return [replace(endpoint, guessed=True) for endpoint in dict.fromkeys(guesses)]


def read_endpoints(addresses: str, keys: str) -> list[Endpoint]:
    """The administrator's servers: addresses behind commas or one a line, each with a name before it ("fast = http://…")
    or not, and one key for all or one each in the same order. Raises `BadArgument`."""
    texts = [text.strip() for text in re.split(r"[,;\n]+", addresses) if text.strip()]
    if not texts:
        raise BadArgument('The valve "ComfyUI address" holds no address.', "It looks like http://host:8188.")
    named = [re.fullmatch(r"(?:([^=:/]{1,60}?)\s*=\s*)?(.*)", text, re.DOTALL) for text in texts]
    labels = [(found[1] or "").strip() if found else "" for found in named]
    given = [keys.strip()] if len(texts) == 1 else [key.strip() for key in re.split(r"[,;\n]", keys.rstrip())]
    given = given * len(texts) if len(given) == 1 else given  # a place left empty is a server without a key
    while len(given) > len(texts) and not given[-1]:
        given.pop()
    if len(given) != len(texts):
        raise BadArgument(
            f'The valve "ComfyUI API key" holds {len(given)} keys for {len(texts)} addresses.',
            "Give one for all, or one each behind commas, in the order of the addresses.",
        )
    name = 'The valve "ComfyUI address"'
    endpoints = [
        Endpoint.parse(found[2] if found else text, key, name, label)
        for text, found, key, label in zip(texts, named, given, labels, strict=True)
    ]
    return list(dict.fromkeys(endpoints))


def pinned(endpoints: list[Endpoint], name: str) -> list[Endpoint]:
    """The server of a name or address, or all of them when none is named. Raises `BadArgument`."""
    wanted = name.strip().lower()
    if not wanted:
        return endpoints
    found = [one for one in endpoints if wanted in (one.name.lower(), urlsplit(one.url).netloc, one.url)]
    if not found:
        raise BadArgument(
            f'Your valve "Server" is "{shortened(name)}", and no server is called so.',
            f"Tell the user to empty it, or to name one of: {quoted(one.name for one in endpoints)}.",
        )
    return found[:1]


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/reports.py
#
# webui/reports.
# ----------------------------------------------------------------------------------------------------------------------


def report(
    made: Made, files: Sequence[Mapping[str, Any]], shown: bool, numbers: Mapping[str, int] | None = None
) -> tuple[dict[str, Any], str]:
    """What the model gets to know of finished files, and the last status. `shown` tells whether the user sees them,
    `numbers` the pictures' numbers in the chat by id."""
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


def status_report(standings: Sequence[Standing], admin: bool) -> tuple[dict[str, Any], str]:
    """What the model gets to know of the servers, and the last status. Their addresses and the metrics of this process
    are for administrators; all others get a number for a server that has no name."""
    servers, lines = [], []
    for index, one in enumerate(standings, 1):
        plain = "ComfyUI" if len(standings) == 1 else f"ComfyUI {index}"
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
        result["metrics"] = "\n".join(_metrics_line(one) for one in standings)
    waiting = sum(len(one.queue) for one in standings if one.queue is not None)
    usable = sum(one.usable for one in standings)
    text = f"{usable} of {len(standings)} servers ready" if len(standings) > 1 else f"ComfyUI: {standings[0].health}"
    return result, f"{text} · {waiting} in the queue" if any(one.queue is not None for one in standings) else text


def _without_address(text: str, endpoint: Endpoint, name: str) -> str:
    """A text with a server's name in place of every address."""
    return re.sub(r"\w+://[^\s,;()]+", lambda _: name, text).replace(urlsplit(endpoint.url).netloc, name)


def _last_fault(record: Record) -> str:
    """What went wrong last, and how long ago."""
    ago = duration(max(time.time() - record.fault_at, 0.0))
    return f"{record.fault.rstrip('.')} ({ago} ago)" if record.fault else ""


def _megabytes(**amounts: int | None) -> dict[str, int]:
    return {f"memory_{name}_mb": value // 2**20 for name, value in amounts.items() if value is not None}


def _status_line(name: str, standing: Standing, fault: str) -> str:
    """A server in words for the user."""
    said = [f"{name}: {standing.health}"]
    if queue := standing.queue:
        said.append(f"{len(queue.running)} running and {len(queue.pending)} waiting")
        said[-1] += f", {standing.mine} of them yours" if standing.mine else ""
    for device in standing.stats.devices if standing.stats else ():
        free, total = (value and value / 2**30 for value in (device.memory_free, device.memory_total))
        said.append(device.name if free is None or not total else f"{free:.3g} of {total:.3g} GB free on {device.name}")
    if (pace := standing.record.pace()) is not None:
        said.append(f"a run takes about {duration(max(pace, 1))}")
    if standing.stats and standing.stats.version:
        said.append(f"ComfyUI {standing.stats.version}")
    if fault and not standing.usable:
        said.append(fault.rstrip("."))
    return "; ".join(said) + "."


def _metrics_line(standing: Standing) -> str:
    """What this process has seen of a server since it started, or since the tool was loaded, for a log or a grep."""
    record = standing.record
    mean = record.run_seconds / record.done if record.done else 0.0
    return (
        f"server={quote(standing.endpoint.name)} url={standing.endpoint.url} runs={record.runs} done={record.done} "
        f"failed={record.failed} lost={record.lost} mean_seconds={mean:.1f} mb={record.bytes / 2**20:.1f} "
        f"websockets={record.sockets} faults={record.faults}"
    )


GLANCES = 4  # pictures of one result that the model is shown


async def keep_and_report(chat: Chat, settings: Settings, made: Made, stem: str) -> tuple[dict[str, Any], str]:
    """What was made, stored and reported."""
    files = await chat.keep(made.products, stem)
    result, text = report(made, files, chat.shown, await chat.numbers(files))
    if settings.show_to_model and chat.seen_by_model:
        pictures = [product.data for product in made.products if product.size][:GLANCES]
        copies = [await asyncio.to_thread(glance, data) for data in pictures]
        result["copies"] = [copy for copy in copies if copy]
    return result, text


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/jobs.py
#
# webui/jobs.
# ----------------------------------------------------------------------------------------------------------------------


async def check_jobs(
    chat: Chat, display: Display, settings: Settings, job_id: str, cancel: bool
) -> tuple[dict[str, Any], str]:
    """A job of an earlier call brought, cancelled, or told of; without an id all of the user's."""
    fleet = await settings.fleet.found()
    if job_id:
        endpoint, prompt = await find_job(fleet, job_id)
        return await (_cancel(fleet, endpoint, prompt) if cancel else _bring(chat, display, settings, endpoint, prompt))
    jobs, silent = await own_jobs(fleet)
    at_work = [job for job in jobs if not isinstance(job[1].state, Recorded)]
    if cancel and len(at_work) != 1:
        ids = quoted(fleet.owner.job_id(endpoint, prompt.prompt_id) for endpoint, prompt in at_work)
        raise BadArgument(f"{len(at_work) or 'No'} jobs of the user are at work.", f"Name one: {ids}." if ids else "")
    if cancel:
        return await _cancel(fleet, *at_work[0])
    recent = time.time() - COLLECT_SECONDS
    ended = [job for job in jobs if job not in at_work and (job[1].ended or time.time()) >= recent]
    done = [job for job in ended if isinstance(job[1].state, Recorded) and job[1].state.success]
    kept = await chat.kept({prompt.prompt_id: marked_time(prompt, "at") for _, prompt in done}) if done else {}
    waiting = [job for job in done if not (held := kept.get(job[1].prompt_id)) or not held.whole]
    ready = [job for job in waiting if not is_attended(fleet.owner, job[1])]
    if len(at_work) == 1 and not waiting:  # there is only one that can be meant
        return await _bring(chat, display, settings, *at_work[0])
    failed = [line for job in ended if job not in done and (line := _failure(fleet, *job))][-MOST_BROUGHT:]
    brought = []
    for endpoint, prompt in ready[-MOST_BROUGHT:]:
        try:
            brought.append((await _bring(chat, display, settings, endpoint, prompt))[0])
        except ComfyUIError as error:
            failed.append({**job_line(fleet, endpoint, prompt), "state": "failed", "error": error.message})
    lines = [job_line(fleet, *job) for job in [*at_work, *(job for job in waiting if job not in ready)]]
    parts = {"brought": brought, "jobs": lines, "failed": failed, "no answer from": silent}
    result: dict[str, Any] = {"status": "running" if at_work else "done"}
    result |= {name: value for name, value in parts.items() if value}
    if len(ready) > MOST_BROUGHT:
        result["more"] = f"{len(ready) - MOST_BROUGHT} older ones are done; call again"
    if len(result) == 1:
        result["note"] = "No job of the user is at work or waits to be brought, among the newest of each server."
    counts = ((brought, "brought"), (at_work, "at work"), (failed, "failed"))
    text = ", ".join(f"{len(items)} {what}" for items, what in counts if items)
    return result, f"Jobs: {text}" if text else "No jobs"


def _failure(fleet: Fleet, endpoint: Endpoint, prompt: Prompt) -> dict[str, str] | None:
    """A job that failed, in a line, unless somebody stopped it or the failure was told: by its own call, or here."""
    own_call_told = (prompt.ended or 0.0) <= marked_time(prompt, "until") and prompt.prompt_id in ATTENDED
    if prompt.prompt_id in TOLD or own_call_told or is_attended(fleet.owner, prompt):
        return None
    remember(TOLD, prompt.prompt_id)
    try:
        judge(advance(Job.posted(prompt.prompt_id, prompt.graph), prompt.state, 0.0), prompt.graph)
    except RunInterrupted:
        return None
    except ComfyUIError as error:
        return {**job_line(fleet, endpoint, prompt), "error": error.message}
    return None


MOST_BROUGHT = 8  # jobs that one call brings


async def _bring(
    chat: Chat, display: Display, settings: Settings, endpoint: Endpoint, prompt: Prompt
) -> tuple[dict[str, Any], str]:
    """A job's files in the chat: stored now, or shown again when they are stored already."""
    job = {prompt.prompt_id: marked_time(prompt, "at")}
    stored = (await chat.kept(job)).get(prompt.prompt_id) if isinstance(prompt.state, Recorded) else None
    if stored and stored.whole:
        return await _show_again(chat, stored)
    previews = settings.previews and display.previews
    with attending():
        made = await bring(settings.fleet, endpoint, prompt, display, previews=previews, wanted=settings.format)
        held = (await chat.kept(job)).get(prompt.prompt_id) or Kept(0)  # another worker may have been quicker
        new = tuple(one for one in made.products if not one.source or one.source not in held.sources)
        if not new:
            return await _show_again(chat, held)
        if held.files:
            await chat.show_again(held.files)
        name = str(mark_of(prompt).get("name") or made.workflow)
        return await keep_and_report(chat, settings, replace(made, products=new), file_stem(name, None))


async def _show_again(chat: Chat, kept: Kept) -> tuple[dict[str, Any], str]:
    """What is stored of a job already, in this message as well."""
    await chat.show_again(kept.files)
    links = [{"id": item["id"], "url": item["url"]} for item in kept.files]
    return {"status": "done", "files": links, "note": "It was brought before, and is shown again."}, "Shown again"


async def _cancel(fleet: Fleet, endpoint: Endpoint, prompt: Prompt) -> tuple[dict[str, Any], str]:
    """A job taken out of its queue, or interrupted."""
    job_id = fleet.owner.job_id(endpoint, prompt.prompt_id)
    if isinstance(prompt.state, Recorded):
        return {"status": "done", "job_id": job_id, "note": "It had ended already."}, "The job had ended already"
    remember(CANCELLED, prompt.prompt_id)  # before it is told: the job's own call has to know
    async with open_server(endpoint) as server:
        await server.cancel(prompt.prompt_id, LOOK_UP_SECONDS)
    return {"status": "cancelled", "job_id": job_id}, "Job cancelled"


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/tools.py
#
# webui/tools.
# ----------------------------------------------------------------------------------------------------------------------


class Tools:
    """What Open WebUI loads: every public method here is offered to the model."""

    Valves = Valves
    UserValves = UserValves

    def __init__(self) -> None:
        self.valves = Valves()

    async def generate_image(
        self,
        prompt: str,
        negative_prompt: str = "",
        size: str = "auto",
        count: float | None = None,
        seed: float | None = None,
        steps: float | None = None,
        guidance: float | None = None,
        model: str = "",
        loras: list[str] | None = None,
        workflow: str = "",
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
        __messages__: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Make pictures from a description with ComfyUI and show them to the user in the chat.

        Leave optional arguments out unless the user asks for them. The result holds the seed: give it again with
        another prompt to vary a picture.

        :param prompt: What the pictures show, described in detail
        :param negative_prompt: What must not be in them
        :param size: "auto", an aspect ratio such as "16:9", or pixels such as "1216x832"
        :param count: How many pictures, a whole number from 1
        :param seed: The seed of an earlier result, a whole number
        :param steps: Sampling steps, a whole number
        :param guidance: How strictly the prompt is followed (CFG)
        :param model: Name of an installed model
        :param loras: Names of installed LoRAs, with a strength if need be: "name:0.8"
        :param workflow: Name of a workflow; without it the best one is chosen
        """
        arguments = {
            "negative_prompt": negative_prompt,
            "size": size,
            "count": count,
            "seed": seed,
            "steps": steps,
            "guidance": guidance,
            "model": model,
            "loras": loras,
            "workflow": workflow,
        }
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__, __messages__)
        valves = self.valves  # another request may replace it meanwhile

        async def work(display: Display) -> tuple[dict[str, Any], str]:
            settings = await settle(valves, __user__, chat)
            wish = settings.wish(prompt, **arguments)
            return await _run(chat, display, settings, wish, await settings.including(chat, workflow))

        return await chat.answer(work)

    async def edit_image(
        self,
        prompt: str,
        images: list[str] | None = None,
        mask: str = "",
        strength: float | None = None,
        size: str = "auto",
        count: float | None = None,
        seed: float | None = None,
        model: str = "",
        workflow: str = "",
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
        __messages__: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Change pictures of this chat as a prompt says, or combine several, and show the user the result.

        :param prompt: What to change; with several pictures they are "image 1", "image 2"
        :param images: Pictures by their number in this chat ("1"), "last", "last 2", id or URL; without it the newest
        :param mask: A picture, white where to paint anew, or "transparency" for the image's own
        :param strength: How much is painted anew, 0 to 1, for models that paint over pictures
        :param size: As in generate_image; without it that of the picture
        :param count: How many results
        :param seed: As in generate_image
        :param model: Name of an installed model
        :param workflow: Name of a workflow that takes pictures
        """
        arguments = {
            "strength": strength,
            "size": size,
            "count": count,
            "seed": seed,
            "model": model,
            "workflow": workflow,
        }
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__, __messages__)
        valves = self.valves

        async def work(display: Display) -> tuple[dict[str, Any], str]:
            settings = await settle(valves, __user__, chat)
            files = await chat.input_files(images) or [await chat.newest()]
            painted = await chat.mask(mask, files[0]) if files[0] else None
            wish = settings.edit(prompt, files, painted, **arguments)
            return await _run(chat, display, settings, wish, await settings.including(chat, workflow))

        return await chat.answer(work)

    async def upscale_image(
        self,
        image: str = "",
        scale: float | None = None,
        model: str = "",
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
        __messages__: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Enlarge a picture of this chat with an upscale model, without changing what it shows.

        :param image: As edit_image takes it; without it the newest
        :param scale: How many times as wide and high, 1 to 8; without it 2
        :param model: Name of an installed upscale model
        """
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__, __messages__)
        valves = self.valves

        async def work(display: Display) -> tuple[dict[str, Any], str]:
            settings = await settle(valves, __user__, chat)
            files = await chat.input_files(image, name="image") or [await chat.newest()]
            if len(files) > 1:
                raise BadArgument("The argument image names several pictures.", "Call once for each.")
            wish = settings.enlarge(files[0], scale=scale, model=model)
            return await _run(chat, display, settings, wish, settings.catalogue)

        return await chat.answer(work)

    async def run_workflow(
        self,
        workflow: str = "",
        inputs: dict[str, Any] | None = None,
        images: list[str] | None = None,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
        __messages__: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Run any ComfyUI workflow by its name: pictures, edits, video, sound, anything saved there.

        Ask describe_workflow for its inputs first.

        :param workflow: A name or task of list_workflows, "attached" for the one in an attached picture; else the best
        :param inputs: Values by input name, such as {"prompt": "a fox", "seed": 7}; all others stay as saved
        :param images: What to work on, a mask last, as edit_image takes it; "saved" is the workflow's own
        """
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__, __messages__)
        valves = self.valves

        async def work(display: Display) -> tuple[dict[str, Any], str]:
            settings = await settle(valves, __user__, chat)
            wish = settings.order(workflow, inputs, await chat.input_files(images, keep=True), await chat.offers())
            return await _run(chat, display, settings, wish, await settings.including(chat, workflow))

        return await chat.answer(work)

    async def list_workflows(
        self,
        search: str = "",
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
    ) -> dict[str, Any]:
        """List the workflows that can be run, with what each is for.

        :param search: Words that the name or the description holds; empty lists all
        """
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__)
        valves = self.valves

        async def work(_display: Display) -> tuple[dict[str, Any], str]:
            settings = await settle(valves, __user__, chat)
            words, catalogue = words_of(search, "search"), settings.catalogue
            answers = await everywhere(settings.endpoints, lambda server: list_workflows(server, catalogue, words))
            answer = one_list(answers)
            return {"status": "done", **answer}, f"{len(answer['workflows'])} workflows"

        return await chat.answer(work)

    async def describe_workflow(
        self,
        workflow: str,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
    ) -> dict[str, Any]:
        """Tell a workflow's inputs, models, missing nodes and outputs, with a diagram of its graph.

        :param workflow: A name of list_workflows, or "attached" for the one in a picture that the user attached
        """
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__)
        valves = self.valves

        async def work(_display: Display) -> tuple[dict[str, Any], str]:
            settings = await settle(valves, __user__, chat)
            name = words_of(workflow, "workflow").strip()
            if not name:
                raise BadArgument("The argument workflow is empty.", "list_workflows tells the names.")
            catalogue = await settings.including(chat, workflow)
            about = Wanted(name, "The argument workflow")

            async def describe(server: ComfyUIServer) -> dict[str, Any]:
                return await describe_workflow(server, await catalogue.find(server, about))

            answers = await everywhere(settings.endpoints, describe)
            answer = min(answers, key=lambda one: "cannot run" in one or "missing nodes" in one)
            return {"status": "done", **answer}, f'Looked at "{answer["name"]}"'

        return await chat.answer(work)

    async def list_models(
        self,
        kind: str = "",
        search: str = "",
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
    ) -> dict[str, Any]:
        """List what is installed in ComfyUI: models of a kind, LoRAs, embeddings, samplers, schedulers.

        :param kind: Such as "checkpoints", "loras", "samplers"; empty counts all kinds
        :param search: Words that the name holds
        """
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__)
        valves = self.valves

        async def work(_display: Display) -> tuple[dict[str, Any], str]:
            settings = await settle(valves, __user__, chat)
            of, words = words_of(kind, "kind"), words_of(search, "search")
            answer = one_list(await everywhere(settings.endpoints, lambda server: list_models(server, of, words)))
            return {"status": "done", **answer}, "Looked up what is installed"

        return await chat.answer(work)

    async def check_job(
        self,
        job_id: str = "",
        cancel: bool = False,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
        __messages__: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Bring what a job made that was "still running" into the chat, or cancel it.

        :param job_id: As told by that result; without it all of the user's jobs
        :param cancel: true cancels it
        """
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__, __messages__)
        valves = self.valves

        async def work(display: Display) -> tuple[dict[str, Any], str]:
            settings = await settle(valves, __user__, chat)
            name, stop = words_of(job_id, "job_id"), as_yes(cancel, "cancel")
            return await check_jobs(chat, display, settings, name, stop)

        return await chat.answer(work)

    async def comfyui_status(
        self,
        __user__: dict[str, Any] | None = None,
        __request__: Any = None,
        __event_emitter__: Any = None,
        __metadata__: dict[str, Any] | None = None,
        __chat_id__: str | None = None,
        __message_id__: str | None = None,
    ) -> dict[str, Any]:
        """Tell ComfyUI's health and load."""
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__)
        valves = self.valves

        async def work(_display: Display) -> tuple[dict[str, Any], str]:
            settings = await settle(valves, __user__, chat)
            standings = await settings.fleet.standings()
            return status_report(standings, chat.user.get("role") == "admin")

        return await chat.answer(work)


async def _run(
    chat: Chat, display: Display, settings: Settings, wish: Wish, catalogue: Catalogue
) -> tuple[dict[str, Any], str]:
    """A wish made, stored and reported."""
    with attending():
        made = await make(
            wish,
            settings.endpoints,
            settings.limits,
            display,
            catalogue=catalogue,
            previews=settings.previews and display.previews,
            wanted=settings.format,
            patience=settings.patience,
            owner=settings.owner,
            memory=Memory(chat.unload_ollama if settings.unload_ollama else None, settings.free_seconds),
            elsewhere=settings.others,
        )
        return await keep_and_report(chat, settings, made, file_stem(wish.called or made.workflow, made.seed))


# ======================================================================================================================
# src/comfyui_chat/command_line.py
#
# command_line.
# ======================================================================================================================


VERSION = "0.1.0"
TOOL_ID = "comfyui"


class TerminalDisplay:
    """Shows a run on a terminal's last line, or one line a phase where the output is no terminal."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._phase = ""

    def status(self, phase: str, text: str, fraction: float | None = None) -> None:
        """Show a text, and a bar once there is something to fill it."""
        if self._live:
            filled = round(30 * (fraction or 0.0))
            bar = f"{'█' * filled}{'░' * (30 - filled)} " if phase == "running" else ""
            self._stream.write(f"\r\x1b[2K{bar}{text}")
        elif phase != self._phase:
            self._stream.write(f"{text}\n")
        self._phase = phase
        self._stream.flush()

    def preview(self, data: bytes) -> None:
        """A terminal shows none."""

    def end(self) -> None:
        """Take the last line away."""
        if self._live:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()


def check_target(target: Path) -> None:
    """Find out before the work whether its result can be written; raises `BadArgument`."""
    folder = target.absolute().parent
    if not folder.is_dir():
        raise BadArgument(f'There is no folder "{target.parent}".', "Make it first, or give another -o.")
    if target.is_dir():
        raise BadArgument(f'"{target}" is a folder.', "Give the name of a file to -o.")
    if not os.access(target if target.exists() else folder, os.W_OK):
        raise BadArgument(f'"{target}" cannot be written.', "Give another -o.")


async def command_generate(options: argparse.Namespace) -> int:
    """`generate`: make pictures and write them to files."""
    target = Path(options.output) if options.output else None
    if target:
        check_target(target)
    valves = Valves(
        endpoint=options.endpoint or "",
        api_key=options.api_key or "",
        max_count=64,
        max_steps=10_000,
        max_megapixels=64,
    )
    settings = resolve(valves, None)
    names = ("negative_prompt", "size", "count", "seed", "steps", "guidance", "model", "loras", "workflow")
    wish = settings.wish(options.prompt, **{name: getattr(options, name) for name in names})
    kinds = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WebP", ".png": "PNG"}
    wanted = Format(kinds.get(target.suffix.lower(), "") if target else "", 95)
    display = TerminalDisplay(sys.stderr)
    try:
        made = await make(
            wish,
            settings.endpoints,
            settings.limits,
            display,
            catalogue=settings.catalogue,
            previews=False,
            wanted=wanted,
        )
    finally:
        display.end()
    target = target or Path(f"{file_stem(str(wish.prompt), made.seed)}.{made.products[0].ending}")
    for index, product in enumerate(made.products):
        path = target.with_stem(f"{target.stem}-{index + 1}") if index else target
        await asyncio.to_thread(path.write_bytes, product.data)
        print(path)
    for note in made.notes:
        print(f"Note: {note}", file=sys.stderr)
    print(f"{made.workflow}, {made.model}, seed {made.seed}, {duration(made.seconds)}", file=sys.stderr)
    return 0


async def command_convert(options: argparse.Namespace) -> int:
    """`convert`: turn workflows as ComfyUI saves them into the format that its API takes, one file each."""
    folder = Path(options.out) if options.out else None
    if folder and not folder.is_dir():
        raise BadArgument(f'There is no folder "{folder}".', "Make it first, or give another --out.")
    definitions = await node_definitions(options)
    failed = 0
    for name in options.files:
        source = Path(name)
        target = (folder or source.parent) / (source.name.removesuffix(".json").removesuffix(".ui") + ".api.json")
        try:
            graph = convert(json.loads(await asyncio.to_thread(source.read_text, encoding="utf-8")), definitions)
        except (ComfyUIError, OSError, ValueError, RecursionError) as error:
            reason = f"{error.message} {error.hint}" if isinstance(error, ComfyUIError) else str(error)
            print(f"{source}: {reason}", file=sys.stderr)
            failed += 1
            continue
        text = json.dumps(graph, indent=2, ensure_ascii=False)
        await asyncio.to_thread(target.write_text, text + "\n", encoding="utf-8")
        print(target)
    return 1 if failed else 0


async def node_definitions(options: argparse.Namespace) -> Definitions:
    """All node definitions, from a file or from the first ComfyUI that answers."""
    if options.definitions:
        try:
            found = json.loads(await asyncio.to_thread(Path(options.definitions).read_text, encoding="utf-8"))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise BadArgument(f'"{options.definitions}" holds no node definitions.', "Give what /object_info answers.")
    else:
        valves = Valves(endpoint=options.endpoint or "", api_key=options.api_key or "")
        found = (await everywhere(resolve(valves, None).endpoints, lambda server: server.everything()))[0]
    return {name: NodeDefinition.parse(name, raw) for name, raw in found.items() if isinstance(raw, Mapping)}


class OpenWebUI:
    """The REST interface of a running Open WebUI, as far as installing needs it."""

    def __init__(self, url: str, token: str, session: aiohttp.ClientSession) -> None:
        self.url = Endpoint.parse(url, name="The address of Open WebUI").url
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One exchange; raises `ServerUnreachable`, `AccessRefused` or `UnexpectedAnswer` with the server's reason."""
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                self._session.request(
                    method, f"{self.url}/api/v1{path}", json=body, headers=self._headers, allow_redirects=False
                ) as response,
            ):
                text = await response.text()
                status = response.status
        except TimeoutError:
            raise ServerUnreachable(f"Open WebUI at {self.url} did not answer in time.", "Is it running?") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ServerUnreachable(
                f"Open WebUI at {self.url} does not answer ({connection_fault(error)}).", "Is it running?"
            ) from None
        answer = None
        with contextlib.suppress(ValueError):
            answer = json.loads(text)
        if status in (401, 403):
            raise AccessRefused(f"Open WebUI refused the token (HTTP {status}).", "It has to be an administrator's.")
        if status != 200 or (answer is None and text.strip() != "null"):
            detail = answer.get("detail") if isinstance(answer, dict) else None
            raise UnexpectedAnswer(
                f"Open WebUI answers {status} to {method} {path}: {shortened(detail or 'no reason given', 300)}",
                "Is this the address of Open WebUI itself, and is it version 0.9.6 or later?",
            )
        return answer


async def command_install(options: argparse.Namespace) -> int:
    """`install`: create or update the tool in a running Open WebUI, set its valve, and check what came of it."""
    token = options.token or os.environ.get("OPEN_WEBUI_TOKEN") or ask_secretly("Token or API key of Open WebUI: ")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        webui = OpenWebUI(options.url, token, session)
        try:
            await _install(webui, options)
        except (LookupError, TypeError, AttributeError):
            raise UnexpectedAnswer(f"What answers at {webui.url} is not Open WebUI as it is known.") from None
    return 0


def ask_secretly(question: str) -> str:
    """What a person types, unseen; raises `BadArgument` where nobody can be asked."""
    try:
        return getpass.getpass(question)
    except EOFError:
        raise BadArgument("There is nobody to ask for the token.", "Give --token or set OPEN_WEBUI_TOKEN.") from None


def front_matter(source: str) -> dict[str, str]:
    """The fields that a tool's first lines say of it."""
    return dict(re.findall(r"^([a-z_]+): *(.+?) *$", source.partition('"""')[2].partition('"""')[0], re.MULTILINE))


async def _install(webui: OpenWebUI, options: argparse.Namespace) -> None:
    source = await asyncio.to_thread(Path(__file__).read_text, encoding="utf-8")
    about = front_matter(source)
    meta = {"description": about["description"], "manifest": {}}
    form = {"id": TOOL_ID, "name": about["title"], "content": source, "meta": meta}
    path = f"/tools/id/{TOOL_ID}"
    known = {tool["id"] for tool in await webui.call("GET", "/tools/")}
    held = str((await webui.call("GET", path)).get("content")) if TOOL_ID in known else source
    if front_matter(held).get("author") != about["author"] and not options.replace:
        raise BadArgument(
            f'There is another tool with the id "{TOOL_ID}" in this Open WebUI.',
            "Rename that one, or give --replace to put this one in its place.",
        )
    if TOOL_ID not in known:
        await webui.call("POST", "/tools/create", form)
        print(f'Created the tool "{TOOL_ID}".')
    elif held != source:
        await webui.call("POST", f"{path}/update", form)
        print(f'Updated the tool "{TOOL_ID}" to version {VERSION}.')
    else:
        print(f'The tool "{TOOL_ID}" is up to date (version {VERSION}).')
    await _install_valves(webui, path, options)
    tool = await webui.call("GET", path)
    if options.public:
        await _install_grant(webui, path, tool.get("access_grants") or [])
    methods = sorted(spec["name"] for spec in tool.get("specs") or ())
    if methods != (expected := sorted(name for name in vars(Tools) if name[0] != "_" and name[0].islower())):
        raise UnexpectedAnswer(f"Open WebUI reads {methods} from the tool; expected were {expected}.")
    print(f"A model can call: {', '.join(methods)}.")


async def _install_valves(webui: OpenWebUI, path: str, options: argparse.Namespace) -> None:
    """Set the valves that were given. An update replaces all of them, so the others are sent along."""
    wanted = {"endpoint": options.endpoint and as_valve(options.endpoint), "api_key": options.api_key}
    wanted = {name: value for name, value in wanted.items() if value}
    held = await webui.call("GET", f"{path}/valves") or {}
    changed = {name: value for name, value in wanted.items() if held.get(name) != value}
    if changed:
        await webui.call("POST", f"{path}/valves/update", {**held, **changed})
        titles = quoted(str(Valves.model_fields[name].title) for name in changed)
        print(f"Set the valve {titles}.")


def as_valve(addresses: str) -> str:
    """Addresses as the valve takes them, tidied. Raises `BadArgument`."""
    endpoints = read_endpoints(addresses, "")
    tidy = ((f"{one.label} = " if one.label else "") + CLOUD_PREFIX * one.cloud + one.url for one in endpoints)
    return ", ".join(tidy)


async def _install_grant(webui: OpenWebUI, path: str, grants: list[dict[str, Any]]) -> None:
    """Let all users use the tool; the grants that are there stay."""
    keys = ("principal_type", "principal_id", "permission")
    held = [{key: grant.get(key) for key in keys} for grant in grants]
    everybody = {"principal_type": "user", "principal_id": "*", "permission": "read"}
    if everybody not in held:
        await webui.call("POST", f"{path}/access/update", {"access_grants": [*held, everybody]})
        print("All users can use it now.")


def command_parser() -> argparse.ArgumentParser:
    """The command line's own description of itself."""
    parser = argparse.ArgumentParser(prog="comfyui_tool.py", description="ComfyUI for Open WebUI, and for a terminal.")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True)
    generate = commands.add_parser("generate", help="make pictures from a description")
    generate.add_argument("prompt")
    generate.add_argument("-o", "--output", metavar="FILE", help="where the picture goes; others get a number")
    for name in ("negative-prompt", "size", "count", "seed", "steps", "guidance", "model", "workflow"):
        generate.add_argument(f"--{name}")
    generate.add_argument("--loras", metavar="NAME[:STRENGTH],…", help="LoRAs to use, behind commas")
    generate.set_defaults(run=command_generate)
    converting = commands.add_parser("convert", help="turn saved workflows into the format of ComfyUI's API")
    converting.add_argument("files", nargs="+", metavar="FILE", help="x.json or x.ui.json; x.api.json is written")
    converting.add_argument("--definitions", metavar="FILE", help="what /object_info answered, instead of a ComfyUI")
    converting.add_argument("--out", metavar="DIR", help="where the results go; else beside the files")
    converting.set_defaults(run=command_convert)
    install = commands.add_parser("install", help="put this tool into a running Open WebUI")
    install.add_argument("--url", required=True, help="address of Open WebUI")
    install.add_argument("--token", help="an administrator's token or API key; else OPEN_WEBUI_TOKEN, else asked for")
    install.add_argument("--replace", action="store_true", help="also in place of another tool with the same id")
    install.add_argument("--public", action="store_true", help="let all users use it")
    install.set_defaults(run=command_install)
    for command in (generate, converting, install):
        command.add_argument("--endpoint", metavar="URL", help="address of ComfyUI")
        command.add_argument(
            "--api-key", metavar="KEY", default=os.environ.get("COMFYUI_API_KEY"), help="ComfyUI's key"
        )
    return parser


async def _run_command(options: argparse.Namespace) -> int:
    task = asyncio.current_task()
    if task:
        with contextlib.suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return int(await options.run(options))
    finally:
        await close_servers()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Exit status: 0 done, 1 failed, 2 called wrongly, 130 stopped."""
    options = command_parser().parse_args(arguments)
    try:
        return asyncio.run(_run_command(options))
    except ComfyUIError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return 2 if isinstance(error, BadArgument) else 1
    except OSError as error:
        print(f"{error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("Stopped.", file=sys.stderr)
        return 130
    except Exception as error:
        print(f"A mistake in this tool: {type(error).__name__}: {error}", file=sys.stderr)
        return 1


# ======================================================================================================================
# src/comfyui_chat/bundled.py
#
# The workflows that come with the tool, as data.
#
# Each is a file of the folder `workflows/`, a graph in ComfyUI's API format as ComfyUI exports it, and has an entry in
# `manifest.json`: its task, the model families that it fits, the files that it needs, their defaults and one line of
# description. In the repository both are read from there. The file that ships has nothing beside it, so `build.py` writes
# the same data into its last lines, one line a workflow, in place of the code below.
# ======================================================================================================================

MANIFEST = r"""{"id": "comfyui", "title": "ComfyUI", "workflows": [{"name": "z-image-turbo", "task": "text_to_image", "description": "Z-Image Turbo: photographs and readable text in 8 steps; no negative prompt", "template": "image_z_image_turbo", "validated": ["0.3.64", "0.33.0"], "nodes": ["CLIPLoader", "CLIPTextEncode", "ConditioningZeroOut", "EmptySD3LatentImage", "KSampler", "ModelSamplingAuraFlow", "SaveImage", "UNETLoader", "VAEDecode", "VAELoader"], "families": [{"name": "Z-Image Turbo", "match": "", "megapixels": 1.05, "defaults": {}}], "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "file": "z_image_turbo_bf16.safetensors", "match": "z[-_. ]?image[-_. ]?turbo", "avoid": "controlnet|lora|svdq|nf4|int4|ip[-_. ]?adapter|fun|gguf", "source": "Comfy-Org/z_image_turbo"}, {"node": "2", "input": "clip_name", "folder": "text_encoders", "file": "qwen_3_4b.safetensors", "match": "qwen[-_. ]?3[-_. ]?4b", "avoid": "gguf", "source": "Comfy-Org/z_image_turbo"}, {"node": "3", "input": "vae_name", "folder": "vae", "file": "ae.safetensors", "match": "^ae\\.|flux(?![-_. ]?2).*vae", "source": "Comfy-Org/z_image_turbo"}]}, {"name": "flux2", "task": "text_to_image", "description": "Flux 2 dev: the finest detail and the closest reading of long descriptions, slow; no negative prompt", "template": "image_flux2", "validated": ["0.33.0"], "nodes": ["CLIPLoader", "CLIPTextEncode", "ConditioningZeroOut", "EmptyFlux2LatentImage", "EmptyImage", "Flux2Scheduler", "FluxGuidance", "GetImageSize", "KSamplerSelect", "SamplerCustom", "SaveImage", "UNETLoader", "VAEDecode", "VAELoader"], "families": [{"name": "Flux 2 dev, few steps", "match": "turbo|lightning|lightx2v|[48][-_. ]?steps?", "megapixels": 1.05, "defaults": {"steps": 8}}, {"name": "Flux 2 dev", "match": "", "megapixels": 1.05, "defaults": {}}], "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "file": "flux2_dev_fp8mixed.safetensors", "match": "flux[-_. ]?2[-_. ]?dev", "avoid": "controlnet|lora|svdq|nf4|int4|gguf|ip[-_. ]?adapter|klein|(?<![a-z])fun", "source": "Comfy-Org/flux2-dev"}, {"node": "2", "input": "clip_name", "folder": "text_encoders", "file": "mistral_3_small_flux2_fp8.safetensors", "match": "mistral.*(flux[-_. ]?2|small)", "avoid": "gguf", "source": "Comfy-Org/flux2-dev"}, {"node": "3", "input": "vae_name", "folder": "vae", "file": "flux2-vae.safetensors", "match": "flux[-_. ]?2.*(vae|[-_. ]ae)|full[-_. ]encoder[-_. ]small[-_. ]decoder", "source": "Comfy-Org/flux2-dev"}]}, {"name": "qwen-image", "task": "text_to_image", "description": "Qwen-Image: text in the picture, also Chinese, and many things at their places; takes a negative prompt", "template": "image_qwen_Image_2512, image_qwen_image", "validated": ["0.3.64", "0.33.0"], "nodes": ["CLIPLoader", "CLIPTextEncode", "EmptySD3LatentImage", "KSampler", "ModelSamplingAuraFlow", "SaveImage", "UNETLoader", "VAEDecode", "VAELoader"], "families": [{"name": "Qwen-Image, few steps", "match": "lightning|lightx2v|[48][-_. ]?steps?", "megapixels": 1.76, "defaults": {"steps": 8, "guidance": 1.0}}, {"name": "Qwen-Image distilled", "match": "distill", "megapixels": 1.76, "defaults": {"steps": 15, "guidance": 1.0}}, {"name": "Qwen-Image 2512", "match": "2512", "megapixels": 1.76, "defaults": {"steps": 50}}, {"name": "Qwen-Image", "match": "", "megapixels": 1.76, "defaults": {}}], "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "file": "qwen_image_2512_fp8_e4m3fn.safetensors", "match": "qwen[-_. ]?image", "avoid": "controlnet|lora|svdq|nf4|int4|gguf|ip[-_. ]?adapter|edit|layered|inpaint|union|control|patch", "source": "Comfy-Org/Qwen-Image_ComfyUI"}, {"node": "2", "input": "clip_name", "folder": "text_encoders", "file": "qwen_2.5_vl_7b_fp8_scaled.safetensors", "match": "qwen[-_. ]?2[-_. ]?5[-_. ]?vl[-_. ]?7b", "avoid": "mmproj|gguf", "source": "Comfy-Org/Qwen-Image_ComfyUI"}, {"node": "3", "input": "vae_name", "folder": "vae", "file": "qwen_image_vae.safetensors", "match": "qwen[-_. ]?image.*vae", "avoid": "layered", "source": "Comfy-Org/Qwen-Image_ComfyUI"}]}, {"name": "flux2-klein", "task": "text_to_image", "description": "Flux 2 klein 4B: good pictures in 4 steps on a small graphics card; no negative prompt", "template": "image_flux2_klein_text_to_image", "validated": ["0.33.0"], "nodes": ["CLIPLoader", "CLIPTextEncode", "ConditioningZeroOut", "EmptyFlux2LatentImage", "EmptyImage", "Flux2Scheduler", "GetImageSize", "KSamplerSelect", "SamplerCustom", "SaveImage", "UNETLoader", "VAEDecode", "VAELoader"], "families": [{"name": "Flux 2 klein", "match": "", "megapixels": 1.05, "defaults": {}}], "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "file": "flux-2-klein-4b.safetensors", "match": "flux[-_. ]?2[-_. ]?klein[-_. ]?4b", "avoid": "controlnet|lora|svdq|nf4|int4|gguf|ip[-_. ]?adapter|base|[-_. ]kv", "source": "Comfy-Org/flux2-klein"}, {"node": "2", "input": "clip_name", "folder": "text_encoders", "file": "qwen_3_4b.safetensors", "match": "qwen[-_. ]?3[-_. ]?4b", "avoid": "gguf", "source": "Comfy-Org/flux2-klein"}, {"node": "3", "input": "vae_name", "folder": "vae", "file": "flux2-vae.safetensors", "match": "flux[-_. ]?2.*(vae|[-_. ]ae)|full[-_. ]encoder[-_. ]small[-_. ]decoder", "source": "Comfy-Org/flux2-dev"}]}, {"name": "flux", "task": "text_to_image", "description": "Flux dev and schnell: follows long descriptions closely; no negative prompt", "template": "flux_dev_full_text_to_image, flux_schnell_full_text_to_image", "validated": ["0.3.64", "0.33.0"], "nodes": ["CLIPTextEncode", "ConditioningZeroOut", "DualCLIPLoader", "EmptySD3LatentImage", "FluxGuidance", "KSampler", "SaveImage", "UNETLoader", "VAEDecode", "VAELoader"], "families": [{"name": "Flux schnell", "match": "schnell", "megapixels": 1.05, "defaults": {"steps": 4}}, {"name": "Flux dev", "match": "", "megapixels": 1.05, "defaults": {}}], "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "file": "flux1-dev.safetensors", "match": "flux[-_. ]?1?[-_. ]?(dev|schnell|krea)", "avoid": "kontext|fill|canny|depth|redux|controlnet|lora|svdq|nf4|int4|ip[-_. ]?adapter|gguf", "source": "Comfy-Org/flux1-dev"}, {"node": "2", "input": "clip_name1", "folder": "text_encoders", "file": "clip_l.safetensors", "match": "clip[-_. ]?l(?![a-z])", "avoid": "hidream|gguf", "source": "comfyanonymous/flux_text_encoders"}, {"node": "2", "input": "clip_name2", "folder": "text_encoders", "file": "t5xxl_fp8_e4m3fn_scaled.safetensors", "match": "(?<![a-z])t5[-_. ]?xxl", "avoid": "gguf", "source": "comfyanonymous/flux_text_encoders"}, {"node": "3", "input": "vae_name", "folder": "vae", "file": "ae.safetensors", "match": "^ae\\.|flux(?![-_. ]?2).*vae", "source": "Comfy-Org/Lumina_Image_2.0_Repackaged"}]}, {"name": "sd3.5", "task": "text_to_image", "description": "Stable Diffusion 3.5 with text encoders in files of their own; takes a negative prompt", "template": "sd3.5_simple_example", "validated": ["0.3.64", "0.33.0"], "nodes": ["CLIPTextEncode", "CheckpointLoaderSimple", "EmptySD3LatentImage", "KSampler", "SaveImage", "TripleCLIPLoader", "VAEDecode"], "families": [{"name": "Stable Diffusion 3.5 Turbo", "match": "turbo", "megapixels": 1.05, "defaults": {"steps": 4, "guidance": 1.0}}, {"name": "Stable Diffusion 3.5", "match": "", "megapixels": 1.05, "defaults": {}}], "models": [{"node": "1", "input": "ckpt_name", "folder": "checkpoints", "file": "sd3.5_large.safetensors", "match": "(sd|stable[-_. ]?diffusion)[-_. ]?3[-_. ]?5", "avoid": "controlnet|lora|svdq|nf4|int4|gguf|ip[-_. ]?adapter|inpaint|blur|canny|depth", "source": "stabilityai/stable-diffusion-3.5-large"}, {"node": "2", "input": "clip_name1", "folder": "text_encoders", "file": "clip_l.safetensors", "match": "clip[-_. ]?l(?![a-z])", "avoid": "hidream|gguf", "source": "comfyanonymous/flux_text_encoders"}, {"node": "2", "input": "clip_name2", "folder": "text_encoders", "file": "clip_g.safetensors", "match": "clip[-_. ]?g(?![a-z])", "avoid": "hidream|gguf", "source": "Comfy-Org/stable-diffusion-3.5-fp8"}, {"node": "2", "input": "clip_name3", "folder": "text_encoders", "file": "t5xxl_fp8_e4m3fn_scaled.safetensors", "match": "(?<![a-z])t5[-_. ]?xxl", "avoid": "gguf", "source": "comfyanonymous/flux_text_encoders"}]}, {"name": "checkpoint", "task": "text_to_image", "description": "Any Stable Diffusion checkpoint (1.5, SDXL, 3.5 and their relatives) in one file; takes a negative prompt", "template": "sdxl_simple_example, sd3.5_simple_example", "validated": ["0.3.64", "0.33.0"], "nodes": ["CLIPTextEncode", "CheckpointLoaderSimple", "EmptyLatentImage", "KSampler", "SaveImage", "VAEDecode"], "families": [{"name": "SDXL, few steps", "match": "(xl|pony|illustrious|noob).*(turbo|lightning|lcm|hyper|dmd)|(turbo|lightning|lcm|hyper|dmd).*(xl|pony|illustrious|noob)", "megapixels": 1.05, "defaults": {"steps": 8, "guidance": 1.5, "sampler": "euler", "scheduler": "sgm_uniform"}}, {"name": "SDXL", "match": "(xl|pony|illustrious|noob)", "megapixels": 1.05, "defaults": {}}, {"name": "Flux schnell", "match": "flux.*schnell", "megapixels": 1.05, "defaults": {"steps": 4, "guidance": 1.0, "sampler": "euler", "scheduler": "simple"}}, {"name": "Flux", "match": "flux", "megapixels": 1.05, "defaults": {"steps": 20, "guidance": 1.0, "sampler": "euler", "scheduler": "simple"}}, {"name": "Z-Image Turbo", "match": "z[-_. ]?image", "megapixels": 1.05, "defaults": {"steps": 8, "guidance": 1.0, "sampler": "res_multistep", "scheduler": "simple"}}, {"name": "Stable Diffusion 3.5 Turbo", "match": "sd[-_. ]?3.*turbo|stable[-_. ]?diffusion[-_. ]?3.*turbo", "megapixels": 1.05, "defaults": {"steps": 4, "guidance": 1.0, "scheduler": "sgm_uniform"}}, {"name": "Stable Diffusion 3.5", "match": "sd[-_. ]?3|stable[-_. ]?diffusion[-_. ]?3", "megapixels": 1.05, "defaults": {"guidance": 4.5, "scheduler": "sgm_uniform"}}, {"name": "Stable Diffusion, few steps", "match": "sd[-_. ]?turbo|lcm[-_. ]?dreamshaper|dreamshaper.*lcm", "megapixels": 0.26, "defaults": {"steps": 6, "guidance": 1.5, "sampler": "lcm", "scheduler": "sgm_uniform"}}, {"name": "Stable Diffusion 1.5", "match": "sd[-_. ]?1[-_. ]?[45]|(^|[^0-9a-z])v1[-_.][45][-_.](pruned|inpaint|ema)|stable[-_. ]?diffusion[-_. ]?v?1|dreamshaper_?[78]|realistic[-_. ]?vision|deliberate|majicmix|anything[-_. ]?v|abyss[-_. ]?orange|aom[23]|meina|rev[-_. ]?animated|epic[-_. ]?realism|absolute[-_. ]?reality|photon|counterfeit|ghostmix|chilloutmix|cyberrealistic", "megapixels": 0.26, "defaults": {}}, {"name": "Any other", "match": "", "megapixels": 1.05, "defaults": {}}], "models": [{"node": "1", "input": "ckpt_name", "folder": "checkpoints", "file": "sd_xl_base_1.0.safetensors", "match": "", "avoid": "refiner|inpaint|kontext|svd|video|ltx|wan[-_. ]?2|hunyuan|ace[-_. ]?step|audio|zero123|stable[-_. ]?zero|upscal|(^|[^a-z])sam[-_. ]?[23]|omnigen|cascade|cosmos|mochi|controlnet", "source": "stabilityai/stable-diffusion-xl-base-1.0"}]}, {"name": "flux2-edit", "task": "image_edit", "description": "Flux 2 dev: changes a picture as the prompt says and keeps the rest, slow; one to three pictures; no negative prompt", "template": "image_flux2, image_flux2_fp8", "validated": ["0.33.0"], "nodes": ["CLIPLoader", "CLIPTextEncode", "ConditioningZeroOut", "EmptyFlux2LatentImage", "Flux2Scheduler", "FluxGuidance", "GetImageSize", "ImageScale", "ImageScaleToTotalPixels", "KSamplerSelect", "LoadImage", "ReferenceLatent", "SamplerCustom", "SaveImage", "UNETLoader", "VAEDecode", "VAEEncode", "VAELoader"], "families": [{"name": "Flux 2 dev, few steps", "match": "turbo|lightning|lightx2v|[48][-_. ]?steps?", "megapixels": 1.05, "defaults": {"steps": 8}}, {"name": "Flux 2 dev", "match": "", "megapixels": 1.05, "defaults": {}}], "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "file": "flux2_dev_fp8mixed.safetensors", "match": "flux[-_. ]?2[-_. ]?dev", "avoid": "controlnet|lora|svdq|nf4|int4|gguf|ip[-_. ]?adapter|klein|(?<![a-z])fun", "source": "Comfy-Org/flux2-dev"}, {"node": "2", "input": "clip_name", "folder": "text_encoders", "file": "mistral_3_small_flux2_fp8.safetensors", "match": "mistral.*(flux[-_. ]?2|small)", "avoid": "gguf", "source": "Comfy-Org/flux2-dev"}, {"node": "3", "input": "vae_name", "folder": "vae", "file": "flux2-vae.safetensors", "match": "flux[-_. ]?2.*(vae|[-_. ]ae)|full[-_. ]encoder[-_. ]small[-_. ]decoder", "source": "Comfy-Org/flux2-dev"}]}, {"name": "qwen-image-edit", "task": "image_edit", "description": "Qwen-Image-Edit: changes a picture as the prompt says, also the text in it; one to three pictures; takes a negative prompt", "template": "image_qwen_image_edit_2511, image_qwen_image_edit_2509", "validated": ["0.3.64", "0.33.0"], "nodes": ["CFGNorm", "CLIPLoader", "EmptySD3LatentImage", "GetImageSize", "ImageScale", "KSamplerAdvanced", "LoadImage", "ModelSamplingAuraFlow", "SaveImage", "TextEncodeQwenImageEditPlus", "UNETLoader", "VAEDecode", "VAELoader"], "families": [{"name": "Qwen-Image-Edit, few steps", "match": "lightning|lightx2v|[48][-_. ]?steps?", "megapixels": 1.05, "defaults": {"steps": 4, "guidance": 1.0}}, {"name": "Qwen-Image-Edit 2511", "match": "2511", "megapixels": 1.05, "defaults": {}}, {"name": "Qwen-Image-Edit", "match": "", "megapixels": 1.05, "defaults": {"steps": 20}}], "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "file": "qwen_image_edit_2511_fp8mixed.safetensors", "match": "qwen[-_. ]?image[-_. ]?edit", "avoid": "controlnet|lora|svdq|nf4|int4|gguf|ip[-_. ]?adapter|layered|inpaint|union|control|patch", "source": "Comfy-Org/Qwen-Image-Edit_ComfyUI"}, {"node": "2", "input": "clip_name", "folder": "text_encoders", "file": "qwen_2.5_vl_7b_fp8_scaled.safetensors", "match": "qwen[-_. ]?2[-_. ]?5[-_. ]?vl[-_. ]?7b", "avoid": "mmproj|gguf", "source": "Comfy-Org/Qwen-Image_ComfyUI"}, {"node": "3", "input": "vae_name", "folder": "vae", "file": "qwen_image_vae.safetensors", "match": "qwen[-_. ]?image.*vae", "avoid": "layered", "source": "Comfy-Org/Qwen-Image_ComfyUI"}]}, {"name": "flux2-klein-edit", "task": "image_edit", "description": "Flux 2 klein 4B: changes a picture as the prompt says in 4 steps; one to three pictures; no negative prompt", "template": "image_flux2_klein_image_edit_4b_distilled", "validated": ["0.33.0"], "nodes": ["CLIPLoader", "CLIPTextEncode", "ConditioningZeroOut", "EmptyFlux2LatentImage", "Flux2Scheduler", "GetImageSize", "ImageScale", "ImageScaleToTotalPixels", "KSamplerSelect", "LoadImage", "ReferenceLatent", "SamplerCustom", "SaveImage", "UNETLoader", "VAEDecode", "VAEEncode", "VAELoader"], "families": [{"name": "Flux 2 klein", "match": "", "megapixels": 1.05, "defaults": {}}], "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "file": "flux-2-klein-4b.safetensors", "match": "flux[-_. ]?2[-_. ]?klein[-_. ]?4b", "avoid": "controlnet|lora|svdq|nf4|int4|gguf|ip[-_. ]?adapter|base|[-_. ]kv", "source": "Comfy-Org/flux2-klein"}, {"node": "2", "input": "clip_name", "folder": "text_encoders", "file": "qwen_3_4b.safetensors", "match": "qwen[-_. ]?3[-_. ]?4b", "avoid": "gguf", "source": "Comfy-Org/z_image_turbo"}, {"node": "3", "input": "vae_name", "folder": "vae", "file": "flux2-vae.safetensors", "match": "flux[-_. ]?2.*(vae|[-_. ]ae)|full[-_. ]encoder[-_. ]small[-_. ]decoder", "source": "Comfy-Org/flux2-dev"}]}, {"name": "flux-kontext", "task": "image_edit", "description": "Flux Kontext dev: changes a picture as the prompt says and keeps faces and things alike; one or two pictures; no negative prompt", "template": "flux_kontext_dev_basic", "validated": ["0.3.64", "0.33.0"], "nodes": ["CLIPTextEncode", "ConditioningZeroOut", "DualCLIPLoader", "EmptySD3LatentImage", "FluxGuidance", "GetImageSize", "ImageScale", "ImageScaleToTotalPixels", "KSamplerAdvanced", "LoadImage", "ReferenceLatent", "SaveImage", "UNETLoader", "VAEDecode", "VAEEncode", "VAELoader"], "families": [{"name": "Flux Kontext", "match": "", "megapixels": 1.05, "defaults": {}}], "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "file": "flux1-dev-kontext_fp8_scaled.safetensors", "match": "flux(?![-_. ]?2).*kontext", "avoid": "controlnet|lora|svdq|nf4|int4|gguf|ip[-_. ]?adapter", "source": "Comfy-Org/flux1-kontext-dev_ComfyUI"}, {"node": "2", "input": "clip_name1", "folder": "text_encoders", "file": "clip_l.safetensors", "match": "clip[-_. ]?l(?![a-z])", "avoid": "hidream|gguf", "source": "comfyanonymous/flux_text_encoders"}, {"node": "2", "input": "clip_name2", "folder": "text_encoders", "file": "t5xxl_fp8_e4m3fn_scaled.safetensors", "match": "(?<![a-z])t5[-_. ]?xxl", "avoid": "gguf", "source": "comfyanonymous/flux_text_encoders"}, {"node": "3", "input": "vae_name", "folder": "vae", "file": "ae.safetensors", "match": "^ae\\.|flux(?![-_. ]?2).*vae", "source": "Comfy-Org/Lumina_Image_2.0_Repackaged"}]}, {"name": "flux-image-to-image", "task": "image_to_image", "description": "Flux dev and schnell: paints a picture anew after the prompt and keeps its layout; no negative prompt", "template": "", "validated": ["0.3.64", "0.33.0"], "nodes": ["CLIPTextEncode", "ConditioningZeroOut", "DualCLIPLoader", "FluxGuidance", "ImageScale", "KSampler", "LoadImage", "SaveImage", "UNETLoader", "VAEDecode", "VAEEncode", "VAELoader"], "families": [{"name": "Flux schnell", "match": "schnell", "megapixels": 1.05, "defaults": {"steps": 4}}, {"name": "Flux dev", "match": "", "megapixels": 1.05, "defaults": {}}], "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "file": "flux1-dev.safetensors", "match": "flux[-_. ]?1?[-_. ]?(dev|schnell|krea)", "avoid": "controlnet|lora|svdq|nf4|int4|gguf|ip[-_. ]?adapter|kontext|fill|canny|depth|redux", "source": "Comfy-Org/flux1-dev"}, {"node": "2", "input": "clip_name1", "folder": "text_encoders", "file": "clip_l.safetensors", "match": "clip[-_. ]?l(?![a-z])", "avoid": "hidream|gguf", "source": "comfyanonymous/flux_text_encoders"}, {"node": "2", "input": "clip_name2", "folder": "text_encoders", "file": "t5xxl_fp8_e4m3fn_scaled.safetensors", "match": "(?<![a-z])t5[-_. ]?xxl", "avoid": "gguf", "source": "comfyanonymous/flux_text_encoders"}, {"node": "3", "input": "vae_name", "folder": "vae", "file": "ae.safetensors", "match": "^ae\\.|flux(?![-_. ]?2).*vae", "source": "Comfy-Org/Lumina_Image_2.0_Repackaged"}]}, {"name": "checkpoint-image-to-image", "task": "image_to_image", "description": "Any Stable Diffusion checkpoint: paints a picture anew after the prompt and keeps its layout; takes a negative prompt", "template": "image2image", "validated": ["0.3.64", "0.33.0"], "nodes": ["CLIPTextEncode", "CheckpointLoaderSimple", "ImageScale", "KSampler", "LoadImage", "SaveImage", "VAEDecode", "VAEEncode"], "families_of": "checkpoint", "models": [{"node": "1", "input": "ckpt_name", "folder": "checkpoints", "file": "sd_xl_base_1.0.safetensors", "match": "", "avoid": "refiner|inpaint|kontext|svd|video|ltx|wan[-_. ]?2|hunyuan|ace[-_. ]?step|audio|zero123|stable[-_. ]?zero|upscal|(^|[^a-z])sam[-_. ]?[23]|omnigen|cascade|cosmos|mochi|controlnet", "source": "stabilityai/stable-diffusion-xl-base-1.0"}]}, {"name": "flux-inpaint", "task": "inpaint", "description": "Flux Fill: paints what the mask covers so that it fits its surroundings, and keeps the rest; no negative prompt", "template": "flux_fill_inpaint_example", "validated": ["0.3.64", "0.33.0"], "nodes": ["CLIPTextEncode", "ConditioningZeroOut", "DualCLIPLoader", "FluxGuidance", "GetImageSize", "ImageCompositeMasked", "ImageScale", "ImageToMask", "InpaintModelConditioning", "KSampler", "LoadImage", "MaskToImage", "SaveImage", "UNETLoader", "VAEDecode", "VAELoader"], "families": [{"name": "Flux Fill", "match": "", "megapixels": 1.05, "defaults": {}}], "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "file": "flux1-fill-dev.safetensors", "match": "flux(?![-_. ]?2).*fill", "avoid": "controlnet|lora|svdq|nf4|int4|gguf|ip[-_. ]?adapter", "source": "Comfy-Org/flux1-dev"}, {"node": "2", "input": "clip_name1", "folder": "text_encoders", "file": "clip_l.safetensors", "match": "clip[-_. ]?l(?![a-z])", "avoid": "hidream|gguf", "source": "comfyanonymous/flux_text_encoders"}, {"node": "2", "input": "clip_name2", "folder": "text_encoders", "file": "t5xxl_fp8_e4m3fn_scaled.safetensors", "match": "(?<![a-z])t5[-_. ]?xxl", "avoid": "gguf", "source": "comfyanonymous/flux_text_encoders"}, {"node": "3", "input": "vae_name", "folder": "vae", "file": "ae.safetensors", "match": "^ae\\.|flux(?![-_. ]?2).*vae", "source": "Comfy-Org/Lumina_Image_2.0_Repackaged"}]}, {"name": "checkpoint-inpaint", "task": "inpaint", "description": "Any Stable Diffusion checkpoint, made for inpainting or not: paints what the mask covers and keeps the rest; takes a negative prompt", "template": "inpaint_example", "validated": ["0.3.64", "0.33.0"], "nodes": ["CLIPTextEncode", "CheckpointLoaderSimple", "DifferentialDiffusion", "GetImageSize", "ImageCompositeMasked", "ImageScale", "ImageToMask", "InpaintModelConditioning", "KSampler", "LoadImage", "MaskToImage", "SaveImage", "VAEDecode"], "families_of": "checkpoint", "models": [{"node": "1", "input": "ckpt_name", "folder": "checkpoints", "file": "sd_xl_base_1.0.safetensors", "match": "", "avoid": "refiner|kontext|svd|video|ltx|wan[-_. ]?2|hunyuan|ace[-_. ]?step|audio|zero123|stable[-_. ]?zero|upscal|(^|[^a-z])sam[-_. ]?[23]|omnigen|cascade|cosmos|mochi|controlnet", "source": "stabilityai/stable-diffusion-xl-base-1.0"}]}, {"name": "upscale", "task": "upscale", "description": "Enlarges a picture by an upscale model to the size that is asked for, without a prompt", "template": "utility-gan_upscaler", "validated": ["0.3.64", "0.33.0"], "nodes": ["ImageScale", "ImageUpscaleWithModel", "LoadImage", "SaveImage", "UpscaleModelLoader"], "families": [{"name": "Upscale model", "match": "", "megapixels": 1.05, "defaults": {}}], "models": [{"node": "1", "input": "model_name", "folder": "upscale_models", "file": "RealESRGAN_x4plus.safetensors", "match": "", "avoid": "latent|spatial|temporal|^1x|gguf", "source": "Comfy-Org/Real-ESRGAN_repackaged"}]}, {"name": "wan-text-to-video", "task": "text_to_video", "description": "Wan 2.2 14B: five seconds of film that moves well, slow; takes a negative prompt", "template": "video_wan2_2_14B_t2v", "validated": ["0.3.64", "0.33.0"], "nodes": ["BasicScheduler", "CLIPLoader", "CLIPTextEncode", "CreateVideo", "EmptyHunyuanLatentVideo", "KSamplerSelect", "ModelSamplingSD3", "SamplerCustom", "SaveVideo", "SplitSigmasDenoise", "UNETLoader", "VAEDecode", "VAELoader"], "families": [{"name": "Wan 2.2 14B, few steps", "match": "lightning|lightx2v|[48][-_. ]?steps?", "megapixels": 0.41, "defaults": {"steps": 4, "guidance": 1.0}}, {"name": "Wan 2.2 14B", "match": "", "megapixels": 0.41, "defaults": {}}], "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "file": "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors", "match": "wan[-_. ]?2[-_. ]?2(?=.*t2v)(?=.*(?<![a-z])high)", "avoid": "controlnet|lora|svdq|nf4|int4|gguf|ip[-_. ]?adapter|vace|animate|camera|(?<![a-z])fun|s2v|control|humo|(?<![a-z])ovi|scail|alpha|5b|(?<!t)i2v", "source": "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"}, {"node": "2", "input": "unet_name", "folder": "diffusion_models", "file": "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors", "match": "wan[-_. ]?2[-_. ]?2(?=.*t2v)(?=.*(?<![a-z])low)", "avoid": "controlnet|lora|svdq|nf4|int4|gguf|ip[-_. ]?adapter|vace|animate|camera|(?<![a-z])fun|s2v|control|humo|(?<![a-z])ovi|scail|alpha|5b|(?<!t)i2v", "source": "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"}, {"node": "3", "input": "clip_name", "folder": "text_encoders", "file": "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "match": "umt5[-_. ]?xxl", "avoid": "[-_. ]enc[-_. ]|gguf", "source": "Comfy-Org/Wan_2.1_ComfyUI_repackaged"}, {"node": "4", "input": "vae_name", "folder": "vae", "file": "wan_2.1_vae.safetensors", "match": "wan[-_. ]?2[-_. ]?1.*vae|^wan[-_. ]?vae", "avoid": "2[-_. ]2|upscale", "source": "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"}]}, {"name": "ltx2-text-to-video", "task": "text_to_video", "description": "LTX-2 distilled: five seconds of film with sound in a few steps; no negative prompt", "template": "video_ltx2_t2v_distilled", "validated": ["0.33.0"], "nodes": ["CLIPTextEncode", "CheckpointLoaderSimple", "ConditioningZeroOut", "CreateVideo", "EmptyImage", "EmptyLTXVLatentVideo", "GetImageSize", "ImageScaleBy", "KSamplerSelect", "LTXAVTextEncoderLoader", "LTXVAudioVAEDecode", "LTXVAudioVAELoader", "LTXVConcatAVLatent", "LTXVConditioning", "LTXVEmptyLatentAudio", "LTXVLatentUpsampler", "LTXVSeparateAVLatent", "LatentUpscaleModelLoader", "ManualSigmas", "PrimitiveInt", "SamplerCustom", "SaveVideo", "VAEDecodeTiled"], "families": [{"name": "LTX-2", "match": "", "megapixels": 0.9, "defaults": {}}], "models": [{"node": "1", "input": "ckpt_name", "folder": "checkpoints", "file": "ltx-2-19b-distilled.safetensors", "match": "ltx[-_. ]?2[-_. ]19b.*distilled", "avoid": "lora|gguf", "source": "Lightricks/LTX-2"}, {"node": "2", "input": "ckpt_name", "folder": "checkpoints", "file": "ltx-2-19b-distilled.safetensors", "match": "ltx[-_. ]?2[-_. ]19b.*distilled", "avoid": "lora|gguf", "source": "Lightricks/LTX-2"}, {"node": "2", "input": "text_encoder", "folder": "text_encoders", "file": "gemma_3_12B_it_fp4_mixed.safetensors", "match": "gemma[-_. ]?3[-_. ]?12b", "avoid": "lora|gguf", "source": "Comfy-Org/ltx-2"}, {"node": "3", "input": "ckpt_name", "folder": "checkpoints", "file": "ltx-2-19b-distilled.safetensors", "match": "ltx[-_. ]?2[-_. ]19b.*distilled", "avoid": "lora|gguf", "source": "Lightricks/LTX-2"}, {"node": "4", "input": "model_name", "folder": "latent_upscale_models", "file": "ltx-2-spatial-upscaler-x2-1.0.safetensors", "match": "ltx[-_. ]?2[-_. ](19b[-_. ])?spatial[-_. ]?upscal", "source": "Lightricks/LTX-2"}]}, {"name": "wan-5b-text-to-video", "task": "text_to_video", "description": "Wan 2.2 5B: five seconds of film in 720p on a small graphics card; takes a negative prompt", "template": "video_wan2_2_5B_ti2v", "validated": ["0.3.64", "0.33.0"], "nodes": ["CLIPLoader", "CLIPTextEncode", "CreateVideo", "KSampler", "ModelSamplingSD3", "SaveVideo", "UNETLoader", "VAEDecode", "VAELoader", "Wan22ImageToVideoLatent"], "families": [{"name": "Wan 2.2 5B, few steps", "match": "turbo|fastwan|lightning|lightx2v|[48][-_. ]?steps?", "megapixels": 0.9, "defaults": {"steps": 4, "guidance": 1.0}}, {"name": "Wan 2.2 5B", "match": "", "megapixels": 0.9, "defaults": {}}], "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "file": "wan2.2_ti2v_5B_fp16.safetensors", "match": "wan[-_. ]?2[-_. ]?2(?=.*ti2v)(?=.*5b)", "avoid": "controlnet|lora|svdq|nf4|int4|gguf|ip[-_. ]?adapter|(?<![a-z])fun|control|vace|camera|(?<![a-z])ovi", "source": "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"}, {"node": "2", "input": "clip_name", "folder": "text_encoders", "file": "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "match": "umt5[-_. ]?xxl", "avoid": "[-_. ]enc[-_. ]|gguf", "source": "Comfy-Org/Wan_2.1_ComfyUI_repackaged"}, {"node": "3", "input": "vae_name", "folder": "vae", "file": "wan2.2_vae.safetensors", "match": "wan[-_. ]?2[-_. ]?2.*vae", "avoid": "upscale", "source": "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"}]}, {"name": "ltx-text-to-video", "task": "text_to_video", "description": "LTX-Video: four seconds of film, quick; takes a negative prompt", "template": "ltxv_text_to_video", "validated": ["0.3.64", "0.33.0"], "nodes": ["CLIPLoader", "CLIPTextEncode", "CheckpointLoaderSimple", "CreateVideo", "EmptyLTXVLatentVideo", "KSamplerSelect", "LTXVConditioning", "LTXVScheduler", "SamplerCustom", "SaveVideo", "VAEDecode"], "families": [{"name": "LTX-Video distilled", "match": "distilled", "megapixels": 0.4, "defaults": {"steps": 8, "guidance": 1.0}}, {"name": "LTX-Video", "match": "", "megapixels": 0.4, "defaults": {}}], "models": [{"node": "1", "input": "ckpt_name", "folder": "checkpoints", "file": "ltx-video-2b-v0.9.5.safetensors", "match": "ltx(v|[-_. ]?video)[-_. ]?(2b|13b)", "avoid": "lora|upscal|gguf|vae", "source": "Lightricks/LTX-Video"}, {"node": "2", "input": "clip_name", "folder": "text_encoders", "file": "t5xxl_fp16.safetensors", "match": "(?<![a-z])t5[-_. ]?xxl", "avoid": "gguf", "source": "comfyanonymous/flux_text_encoders"}]}, {"name": "wan-image-to-video", "task": "image_to_video", "description": "Wan 2.2 14B: five seconds of film that begin with a picture and move well, slow; takes a negative prompt", "template": "video_wan2_2_14B_i2v", "validated": ["0.3.64", "0.33.0"], "nodes": ["BasicScheduler", "CLIPLoader", "CLIPTextEncode", "CreateVideo", "GetImageSize", "ImageScale", "KSamplerSelect", "LoadImage", "ModelSamplingSD3", "SamplerCustom", "SaveVideo", "SplitSigmasDenoise", "UNETLoader", "VAEDecode", "VAELoader", "WanImageToVideo"], "families": [{"name": "Wan 2.2 14B, few steps", "match": "lightning|lightx2v|[48][-_. ]?steps?", "megapixels": 0.41, "defaults": {"steps": 4, "guidance": 1.0}}, {"name": "Wan 2.2 14B", "match": "", "megapixels": 0.41, "defaults": {}}], "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "file": "wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors", "match": "wan[-_. ]?2[-_. ]?2(?=.*(?<!t)i2v)(?=.*(?<![a-z])high)", "avoid": "controlnet|lora|svdq|nf4|int4|gguf|ip[-_. ]?adapter|vace|animate|camera|(?<![a-z])fun|s2v|control|humo|(?<![a-z])ovi|scail|alpha|5b|t2v", "source": "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"}, {"node": "2", "input": "unet_name", "folder": "diffusion_models", "file": "wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors", "match": "wan[-_. ]?2[-_. ]?2(?=.*(?<!t)i2v)(?=.*(?<![a-z])low)", "avoid": "controlnet|lora|svdq|nf4|int4|gguf|ip[-_. ]?adapter|vace|animate|camera|(?<![a-z])fun|s2v|control|humo|(?<![a-z])ovi|scail|alpha|5b|t2v", "source": "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"}, {"node": "3", "input": "clip_name", "folder": "text_encoders", "file": "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "match": "umt5[-_. ]?xxl", "avoid": "[-_. ]enc[-_. ]|gguf", "source": "Comfy-Org/Wan_2.1_ComfyUI_repackaged"}, {"node": "4", "input": "vae_name", "folder": "vae", "file": "wan_2.1_vae.safetensors", "match": "wan[-_. ]?2[-_. ]?1.*vae|^wan[-_. ]?vae", "avoid": "2[-_. ]2|upscale", "source": "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"}]}, {"name": "ltx2-image-to-video", "task": "image_to_video", "description": "LTX-2 distilled: five seconds of film with sound that begin with a picture, in a few steps; no negative prompt", "template": "video_ltx2_i2v_distilled", "validated": ["0.33.0"], "nodes": ["CLIPTextEncode", "CheckpointLoaderSimple", "ConditioningZeroOut", "CreateVideo", "EmptyLTXVLatentVideo", "GetImageSize", "ImageScale", "ImageScaleBy", "KSamplerSelect", "LTXAVTextEncoderLoader", "LTXVAudioVAEDecode", "LTXVAudioVAELoader", "LTXVConcatAVLatent", "LTXVConditioning", "LTXVEmptyLatentAudio", "LTXVImgToVideoInplace", "LTXVLatentUpsampler", "LTXVPreprocess", "LTXVSeparateAVLatent", "LatentUpscaleModelLoader", "LoadImage", "ManualSigmas", "PrimitiveInt", "SamplerCustom", "SaveVideo", "VAEDecodeTiled"], "families": [{"name": "LTX-2", "match": "", "megapixels": 0.9, "defaults": {}}], "models": [{"node": "1", "input": "ckpt_name", "folder": "checkpoints", "file": "ltx-2-19b-distilled.safetensors", "match": "ltx[-_. ]?2[-_. ]19b.*distilled", "avoid": "lora|gguf", "source": "Lightricks/LTX-2"}, {"node": "2", "input": "ckpt_name", "folder": "checkpoints", "file": "ltx-2-19b-distilled.safetensors", "match": "ltx[-_. ]?2[-_. ]19b.*distilled", "avoid": "lora|gguf", "source": "Lightricks/LTX-2"}, {"node": "2", "input": "text_encoder", "folder": "text_encoders", "file": "gemma_3_12B_it_fp4_mixed.safetensors", "match": "gemma[-_. ]?3[-_. ]?12b", "avoid": "lora|gguf", "source": "Comfy-Org/ltx-2"}, {"node": "3", "input": "ckpt_name", "folder": "checkpoints", "file": "ltx-2-19b-distilled.safetensors", "match": "ltx[-_. ]?2[-_. ]19b.*distilled", "avoid": "lora|gguf", "source": "Lightricks/LTX-2"}, {"node": "4", "input": "model_name", "folder": "latent_upscale_models", "file": "ltx-2-spatial-upscaler-x2-1.0.safetensors", "match": "ltx[-_. ]?2[-_. ](19b[-_. ])?spatial[-_. ]?upscal", "source": "Lightricks/LTX-2"}]}, {"name": "wan-5b-image-to-video", "task": "image_to_video", "description": "Wan 2.2 5B: five seconds of film that begin with a picture, on a small graphics card; takes a negative prompt", "template": "video_wan2_2_5B_ti2v", "validated": ["0.3.64", "0.33.0"], "nodes": ["CLIPLoader", "CLIPTextEncode", "CreateVideo", "GetImageSize", "ImageScale", "KSampler", "LoadImage", "ModelSamplingSD3", "SaveVideo", "UNETLoader", "VAEDecode", "VAELoader", "Wan22ImageToVideoLatent"], "families": [{"name": "Wan 2.2 5B, few steps", "match": "turbo|fastwan|lightning|lightx2v|[48][-_. ]?steps?", "megapixels": 0.9, "defaults": {"steps": 4, "guidance": 1.0}}, {"name": "Wan 2.2 5B", "match": "", "megapixels": 0.9, "defaults": {}}], "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "file": "wan2.2_ti2v_5B_fp16.safetensors", "match": "wan[-_. ]?2[-_. ]?2(?=.*ti2v)(?=.*5b)", "avoid": "controlnet|lora|svdq|nf4|int4|gguf|ip[-_. ]?adapter|(?<![a-z])fun|control|vace|camera|(?<![a-z])ovi", "source": "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"}, {"node": "2", "input": "clip_name", "folder": "text_encoders", "file": "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "match": "umt5[-_. ]?xxl", "avoid": "[-_. ]enc[-_. ]|gguf", "source": "Comfy-Org/Wan_2.1_ComfyUI_repackaged"}, {"node": "3", "input": "vae_name", "folder": "vae", "file": "wan2.2_vae.safetensors", "match": "wan[-_. ]?2[-_. ]?2.*vae", "avoid": "upscale", "source": "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"}]}, {"name": "ltx-image-to-video", "task": "image_to_video", "description": "LTX-Video: four seconds of film that begin with a picture, quick; takes a negative prompt", "template": "ltxv_image_to_video", "validated": ["0.3.64", "0.33.0"], "nodes": ["CLIPLoader", "CLIPTextEncode", "CheckpointLoaderSimple", "CreateVideo", "GetImageSize", "ImageScale", "KSamplerSelect", "LTXVConditioning", "LTXVImgToVideo", "LTXVScheduler", "LoadImage", "SamplerCustom", "SaveVideo", "VAEDecode"], "families": [{"name": "LTX-Video distilled", "match": "distilled", "megapixels": 0.4, "defaults": {"steps": 8, "guidance": 1.0}}, {"name": "LTX-Video", "match": "", "megapixels": 0.4, "defaults": {}}], "models": [{"node": "1", "input": "ckpt_name", "folder": "checkpoints", "file": "ltx-video-2b-v0.9.5.safetensors", "match": "ltx(v|[-_. ]?video)[-_. ]?(2b|13b)", "avoid": "lora|upscal|gguf|vae", "source": "Lightricks/LTX-Video"}, {"node": "2", "input": "clip_name", "folder": "text_encoders", "file": "t5xxl_fp16.safetensors", "match": "(?<![a-z])t5[-_. ]?xxl", "avoid": "gguf", "source": "comfyanonymous/flux_text_encoders"}]}, {"name": "ace-step-1.5", "task": "text_to_audio", "description": "ACE-Step 1.5: two minutes of music from a style, sung if there are lyrics, in 8 steps; no negative prompt", "template": "audio_ace_step_1_5_checkpoint", "validated": ["0.33.0"], "nodes": ["CheckpointLoaderSimple", "ConditioningZeroOut", "EmptyAceStep1.5LatentAudio", "KSampler", "ModelSamplingAuraFlow", "PrimitiveFloat", "SaveAudioAdvanced", "TextEncodeAceStepAudio1.5", "VAEDecodeAudio"], "families": [{"name": "ACE-Step 1.5 in full", "match": "sft|base", "megapixels": 1.05, "defaults": {"steps": 50, "guidance": 7.0}}, {"name": "ACE-Step 1.5", "match": "", "megapixels": 1.05, "defaults": {}}], "models": [{"node": "1", "input": "ckpt_name", "folder": "checkpoints", "file": "ace_step_1.5_turbo_aio.safetensors", "match": "ace[-_. ]?step.*1[-_. ]5", "avoid": "lora|gguf|vae", "source": "Comfy-Org/ace_step_1.5_ComfyUI_files"}]}, {"name": "ace-step", "task": "text_to_audio", "description": "ACE-Step: two minutes of music from a style, sung if there are lyrics; no negative prompt", "template": "audio_ace_step_1_t2a_song, audio_ace_step_1_t2a_instrumentals", "validated": ["0.3.64", "0.33.0"], "nodes": ["CheckpointLoaderSimple", "ConditioningZeroOut", "EmptyAceStepLatentAudio", "KSampler", "LatentApplyOperationCFG", "LatentOperationTonemapReinhard", "ModelSamplingSD3", "SaveAudioMP3", "TextEncodeAceStepAudio", "VAEDecodeAudio"], "families": [{"name": "ACE-Step", "match": "", "megapixels": 1.05, "defaults": {}}], "models": [{"node": "1", "input": "ckpt_name", "folder": "checkpoints", "file": "ace_step_v1_3.5b.safetensors", "match": "ace[-_. ]?step", "avoid": "1[-_. ]5|lora|gguf|vae", "source": "Comfy-Org/ACE-Step_ComfyUI_repackaged"}]}]}"""
BUNDLED = {
    "z-image-turbo": r"""{"1": {"inputs": {"unet_name": "z_image_turbo_bf16.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load Diffusion Model"}}, "2": {"inputs": {"clip_name": "qwen_3_4b.safetensors", "type": "lumina2"}, "class_type": "CLIPLoader", "_meta": {"title": "Load Text Encoder"}}, "3": {"inputs": {"vae_name": "ae.safetensors"}, "class_type": "VAELoader", "_meta": {"title": "Load VAE"}}, "4": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "5": {"inputs": {"conditioning": ["4", 0]}, "class_type": "ConditioningZeroOut", "_meta": {"title": "No negative prompt"}}, "6": {"inputs": {"shift": 3.0, "model": ["1", 0]}, "class_type": "ModelSamplingAuraFlow", "_meta": {"title": "Shift"}}, "7": {"inputs": {"width": 1024, "height": 1024, "batch_size": 1}, "class_type": "EmptySD3LatentImage", "_meta": {"title": "Size"}}, "8": {"inputs": {"seed": 0, "steps": 8, "cfg": 1.0, "sampler_name": "res_multistep", "scheduler": "simple", "denoise": 1.0, "model": ["6", 0], "positive": ["4", 0], "negative": ["5", 0], "latent_image": ["7", 0]}, "class_type": "KSampler", "_meta": {"title": "Sampler"}}, "9": {"inputs": {"samples": ["8", 0], "vae": ["3", 0]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "10": {"inputs": {"filename_prefix": "open-webui/picture", "images": ["9", 0]}, "class_type": "SaveImage", "_meta": {"title": "Save"}}}""",
    "flux2": r"""{"1": {"inputs": {"unet_name": "flux2_dev_fp8mixed.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load Diffusion Model"}}, "2": {"inputs": {"clip_name": "mistral_3_small_flux2_fp8.safetensors", "type": "flux2"}, "class_type": "CLIPLoader", "_meta": {"title": "Load Text Encoder"}}, "3": {"inputs": {"vae_name": "flux2-vae.safetensors"}, "class_type": "VAELoader", "_meta": {"title": "Load VAE"}}, "4": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "5": {"inputs": {"guidance": 4.0, "conditioning": ["4", 0]}, "class_type": "FluxGuidance", "_meta": {"title": "Guidance"}}, "6": {"inputs": {"conditioning": ["4", 0]}, "class_type": "ConditioningZeroOut", "_meta": {"title": "No negative prompt"}}, "7": {"inputs": {"width": 1024, "height": 1024, "batch_size": 1, "color": 0}, "class_type": "EmptyImage", "_meta": {"title": "Size"}}, "8": {"inputs": {"image": ["7", 0]}, "class_type": "GetImageSize", "_meta": {"title": "Width and height"}}, "9": {"inputs": {"batch_size": 1, "width": ["8", 0], "height": ["8", 1]}, "class_type": "EmptyFlux2LatentImage", "_meta": {"title": "Empty latent"}}, "10": {"inputs": {"steps": 20, "width": ["8", 0], "height": ["8", 1]}, "class_type": "Flux2Scheduler", "_meta": {"title": "Scheduler"}}, "11": {"inputs": {"sampler_name": "euler"}, "class_type": "KSamplerSelect", "_meta": {"title": "Sampling method"}}, "12": {"inputs": {"add_noise": true, "noise_seed": 0, "cfg": 1.0, "model": ["1", 0], "positive": ["5", 0], "negative": ["6", 0], "sampler": ["11", 0], "sigmas": ["10", 0], "latent_image": ["9", 0]}, "class_type": "SamplerCustom", "_meta": {"title": "Sampler"}}, "13": {"inputs": {"samples": ["12", 0], "vae": ["3", 0]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "14": {"inputs": {"filename_prefix": "open-webui/picture", "images": ["13", 0]}, "class_type": "SaveImage", "_meta": {"title": "Save"}}}""",
    "qwen-image": r"""{"1": {"inputs": {"unet_name": "qwen_image_2512_fp8_e4m3fn.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load Diffusion Model"}}, "2": {"inputs": {"clip_name": "qwen_2.5_vl_7b_fp8_scaled.safetensors", "type": "qwen_image"}, "class_type": "CLIPLoader", "_meta": {"title": "Load Text Encoder"}}, "3": {"inputs": {"vae_name": "qwen_image_vae.safetensors"}, "class_type": "VAELoader", "_meta": {"title": "Load VAE"}}, "4": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "5": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Negative prompt"}}, "6": {"inputs": {"shift": 3.1, "model": ["1", 0]}, "class_type": "ModelSamplingAuraFlow", "_meta": {"title": "Shift"}}, "7": {"inputs": {"width": 1328, "height": 1328, "batch_size": 1}, "class_type": "EmptySD3LatentImage", "_meta": {"title": "Size"}}, "8": {"inputs": {"seed": 0, "steps": 20, "cfg": 4.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0, "model": ["6", 0], "positive": ["4", 0], "negative": ["5", 0], "latent_image": ["7", 0]}, "class_type": "KSampler", "_meta": {"title": "Sampler"}}, "9": {"inputs": {"samples": ["8", 0], "vae": ["3", 0]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "10": {"inputs": {"filename_prefix": "open-webui/picture", "images": ["9", 0]}, "class_type": "SaveImage", "_meta": {"title": "Save"}}}""",
    "flux2-klein": r"""{"1": {"inputs": {"unet_name": "flux-2-klein-4b.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load Diffusion Model"}}, "2": {"inputs": {"clip_name": "qwen_3_4b.safetensors", "type": "flux2"}, "class_type": "CLIPLoader", "_meta": {"title": "Load Text Encoder"}}, "3": {"inputs": {"vae_name": "flux2-vae.safetensors"}, "class_type": "VAELoader", "_meta": {"title": "Load VAE"}}, "4": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "5": {"inputs": {"conditioning": ["4", 0]}, "class_type": "ConditioningZeroOut", "_meta": {"title": "No negative prompt"}}, "6": {"inputs": {"width": 1024, "height": 1024, "batch_size": 1, "color": 0}, "class_type": "EmptyImage", "_meta": {"title": "Size"}}, "7": {"inputs": {"image": ["6", 0]}, "class_type": "GetImageSize", "_meta": {"title": "Width and height"}}, "8": {"inputs": {"batch_size": 1, "width": ["7", 0], "height": ["7", 1]}, "class_type": "EmptyFlux2LatentImage", "_meta": {"title": "Empty latent"}}, "9": {"inputs": {"steps": 4, "width": ["7", 0], "height": ["7", 1]}, "class_type": "Flux2Scheduler", "_meta": {"title": "Scheduler"}}, "10": {"inputs": {"sampler_name": "euler"}, "class_type": "KSamplerSelect", "_meta": {"title": "Sampling method"}}, "11": {"inputs": {"add_noise": true, "noise_seed": 0, "cfg": 1.0, "model": ["1", 0], "positive": ["4", 0], "negative": ["5", 0], "sampler": ["10", 0], "sigmas": ["9", 0], "latent_image": ["8", 0]}, "class_type": "SamplerCustom", "_meta": {"title": "Sampler"}}, "12": {"inputs": {"samples": ["11", 0], "vae": ["3", 0]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "13": {"inputs": {"filename_prefix": "open-webui/picture", "images": ["12", 0]}, "class_type": "SaveImage", "_meta": {"title": "Save"}}}""",
    "flux": r"""{"1": {"inputs": {"unet_name": "flux1-dev.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load Diffusion Model"}}, "2": {"inputs": {"clip_name1": "clip_l.safetensors", "clip_name2": "t5xxl_fp8_e4m3fn_scaled.safetensors", "type": "flux"}, "class_type": "DualCLIPLoader", "_meta": {"title": "Load Text Encoders"}}, "3": {"inputs": {"vae_name": "ae.safetensors"}, "class_type": "VAELoader", "_meta": {"title": "Load VAE"}}, "4": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "5": {"inputs": {"guidance": 3.5, "conditioning": ["4", 0]}, "class_type": "FluxGuidance", "_meta": {"title": "Guidance"}}, "6": {"inputs": {"conditioning": ["4", 0]}, "class_type": "ConditioningZeroOut", "_meta": {"title": "No negative prompt"}}, "7": {"inputs": {"width": 1024, "height": 1024, "batch_size": 1}, "class_type": "EmptySD3LatentImage", "_meta": {"title": "Size"}}, "8": {"inputs": {"seed": 0, "steps": 20, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0, "model": ["1", 0], "positive": ["5", 0], "negative": ["6", 0], "latent_image": ["7", 0]}, "class_type": "KSampler", "_meta": {"title": "Sampler"}}, "9": {"inputs": {"samples": ["8", 0], "vae": ["3", 0]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "10": {"inputs": {"filename_prefix": "open-webui/picture", "images": ["9", 0]}, "class_type": "SaveImage", "_meta": {"title": "Save"}}}""",
    "sd3.5": r"""{"1": {"inputs": {"ckpt_name": "sd3.5_large.safetensors"}, "class_type": "CheckpointLoaderSimple", "_meta": {"title": "Load Checkpoint"}}, "2": {"inputs": {"clip_name1": "clip_l.safetensors", "clip_name2": "clip_g.safetensors", "clip_name3": "t5xxl_fp8_e4m3fn_scaled.safetensors"}, "class_type": "TripleCLIPLoader", "_meta": {"title": "Load Text Encoders"}}, "3": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "4": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Negative prompt"}}, "5": {"inputs": {"width": 1024, "height": 1024, "batch_size": 1}, "class_type": "EmptySD3LatentImage", "_meta": {"title": "Size"}}, "6": {"inputs": {"seed": 0, "steps": 20, "cfg": 4.0, "sampler_name": "euler", "scheduler": "sgm_uniform", "denoise": 1.0, "model": ["1", 0], "positive": ["3", 0], "negative": ["4", 0], "latent_image": ["5", 0]}, "class_type": "KSampler", "_meta": {"title": "Sampler"}}, "7": {"inputs": {"samples": ["6", 0], "vae": ["1", 2]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "8": {"inputs": {"filename_prefix": "open-webui/picture", "images": ["7", 0]}, "class_type": "SaveImage", "_meta": {"title": "Save"}}}""",
    "checkpoint": r"""{"1": {"inputs": {"ckpt_name": "sd_xl_base_1.0.safetensors"}, "class_type": "CheckpointLoaderSimple", "_meta": {"title": "Load Checkpoint"}}, "2": {"inputs": {"text": "", "clip": ["1", 1]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "3": {"inputs": {"text": "", "clip": ["1", 1]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Negative prompt"}}, "4": {"inputs": {"width": 1024, "height": 1024, "batch_size": 1}, "class_type": "EmptyLatentImage", "_meta": {"title": "Size"}}, "5": {"inputs": {"seed": 0, "steps": 25, "cfg": 6.5, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1.0, "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0]}, "class_type": "KSampler", "_meta": {"title": "Sampler"}}, "6": {"inputs": {"samples": ["5", 0], "vae": ["1", 2]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "7": {"inputs": {"filename_prefix": "open-webui/picture", "images": ["6", 0]}, "class_type": "SaveImage", "_meta": {"title": "Save"}}}""",
    "flux2-edit": r"""{"1": {"inputs": {"unet_name": "flux2_dev_fp8mixed.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load Diffusion Model"}}, "2": {"inputs": {"clip_name": "mistral_3_small_flux2_fp8.safetensors", "type": "flux2"}, "class_type": "CLIPLoader", "_meta": {"title": "Load Text Encoder"}}, "3": {"inputs": {"vae_name": "flux2-vae.safetensors"}, "class_type": "VAELoader", "_meta": {"title": "Load VAE"}}, "4": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image"}}, "5": {"inputs": {"upscale_method": "lanczos", "width": 1024, "height": 1024, "crop": "center", "image": ["4", 0]}, "class_type": "ImageScale", "_meta": {"title": "Scale"}}, "6": {"inputs": {"image": ["5", 0]}, "class_type": "GetImageSize", "_meta": {"title": "Width and height"}}, "7": {"inputs": {"pixels": ["5", 0], "vae": ["3", 0]}, "class_type": "VAEEncode", "_meta": {"title": "Encode"}}, "8": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "9": {"inputs": {"guidance": 4.0, "conditioning": ["8", 0]}, "class_type": "FluxGuidance", "_meta": {"title": "Guidance"}}, "10": {"inputs": {"conditioning": ["9", 0], "latent": ["7", 0]}, "class_type": "ReferenceLatent", "_meta": {"title": "Reference"}}, "11": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image 2"}}, "12": {"inputs": {"upscale_method": "lanczos", "megapixels": 1.0, "resolution_steps": 16, "image": ["11", 0]}, "class_type": "ImageScaleToTotalPixels", "_meta": {"title": "Scale 2"}}, "13": {"inputs": {"pixels": ["12", 0], "vae": ["3", 0]}, "class_type": "VAEEncode", "_meta": {"title": "Encode 2"}}, "14": {"inputs": {"conditioning": ["10", 0], "latent": ["13", 0]}, "class_type": "ReferenceLatent", "_meta": {"title": "Reference 2"}}, "15": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image 3"}}, "16": {"inputs": {"upscale_method": "lanczos", "megapixels": 1.0, "resolution_steps": 16, "image": ["15", 0]}, "class_type": "ImageScaleToTotalPixels", "_meta": {"title": "Scale 3"}}, "17": {"inputs": {"pixels": ["16", 0], "vae": ["3", 0]}, "class_type": "VAEEncode", "_meta": {"title": "Encode 3"}}, "18": {"inputs": {"conditioning": ["14", 0], "latent": ["17", 0]}, "class_type": "ReferenceLatent", "_meta": {"title": "Reference 3"}}, "19": {"inputs": {"conditioning": ["18", 0]}, "class_type": "ConditioningZeroOut", "_meta": {"title": "No negative prompt"}}, "20": {"inputs": {"batch_size": 1, "width": ["6", 0], "height": ["6", 1]}, "class_type": "EmptyFlux2LatentImage", "_meta": {"title": "Empty latent"}}, "21": {"inputs": {"steps": 20, "width": ["6", 0], "height": ["6", 1]}, "class_type": "Flux2Scheduler", "_meta": {"title": "Scheduler"}}, "22": {"inputs": {"sampler_name": "euler"}, "class_type": "KSamplerSelect", "_meta": {"title": "Sampling method"}}, "23": {"inputs": {"add_noise": true, "noise_seed": 0, "cfg": 1.0, "model": ["1", 0], "positive": ["18", 0], "negative": ["19", 0], "sampler": ["22", 0], "sigmas": ["21", 0], "latent_image": ["20", 0]}, "class_type": "SamplerCustom", "_meta": {"title": "Sampler"}}, "24": {"inputs": {"samples": ["23", 0], "vae": ["3", 0]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "25": {"inputs": {"filename_prefix": "open-webui/picture", "images": ["24", 0]}, "class_type": "SaveImage", "_meta": {"title": "Save"}}}""",
    "qwen-image-edit": r"""{"1": {"inputs": {"unet_name": "qwen_image_edit_2511_fp8mixed.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load Diffusion Model"}}, "2": {"inputs": {"clip_name": "qwen_2.5_vl_7b_fp8_scaled.safetensors", "type": "qwen_image"}, "class_type": "CLIPLoader", "_meta": {"title": "Load Text Encoder"}}, "3": {"inputs": {"vae_name": "qwen_image_vae.safetensors"}, "class_type": "VAELoader", "_meta": {"title": "Load VAE"}}, "4": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image"}}, "5": {"inputs": {"upscale_method": "lanczos", "width": 1024, "height": 1024, "crop": "center", "image": ["4", 0]}, "class_type": "ImageScale", "_meta": {"title": "Scale"}}, "6": {"inputs": {"image": ["5", 0]}, "class_type": "GetImageSize", "_meta": {"title": "Width and height"}}, "7": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image 2"}}, "8": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image 3"}}, "9": {"inputs": {"prompt": "", "clip": ["2", 0], "vae": ["3", 0], "image1": ["5", 0], "image2": ["7", 0], "image3": ["8", 0]}, "class_type": "TextEncodeQwenImageEditPlus", "_meta": {"title": "Prompt"}}, "10": {"inputs": {"prompt": "", "clip": ["2", 0], "vae": ["3", 0], "image1": ["5", 0], "image2": ["7", 0], "image3": ["8", 0]}, "class_type": "TextEncodeQwenImageEditPlus", "_meta": {"title": "Negative prompt"}}, "11": {"inputs": {"batch_size": 1, "width": ["6", 0], "height": ["6", 1]}, "class_type": "EmptySD3LatentImage", "_meta": {"title": "Empty latent"}}, "12": {"inputs": {"shift": 3.1, "model": ["1", 0]}, "class_type": "ModelSamplingAuraFlow", "_meta": {"title": "Shift"}}, "13": {"inputs": {"strength": 1.0, "model": ["12", 0]}, "class_type": "CFGNorm", "_meta": {"title": "Guidance normalisation"}}, "14": {"inputs": {"add_noise": "enable", "noise_seed": 0, "steps": 40, "cfg": 4.0, "sampler_name": "euler", "scheduler": "simple", "start_at_step": 0, "end_at_step": 10000, "return_with_leftover_noise": "disable", "model": ["13", 0], "positive": ["9", 0], "negative": ["10", 0], "latent_image": ["11", 0]}, "class_type": "KSamplerAdvanced", "_meta": {"title": "Sampler"}}, "15": {"inputs": {"samples": ["14", 0], "vae": ["3", 0]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "16": {"inputs": {"filename_prefix": "open-webui/picture", "images": ["15", 0]}, "class_type": "SaveImage", "_meta": {"title": "Save"}}}""",
    "flux2-klein-edit": r"""{"1": {"inputs": {"unet_name": "flux-2-klein-4b.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load Diffusion Model"}}, "2": {"inputs": {"clip_name": "qwen_3_4b.safetensors", "type": "flux2"}, "class_type": "CLIPLoader", "_meta": {"title": "Load Text Encoder"}}, "3": {"inputs": {"vae_name": "flux2-vae.safetensors"}, "class_type": "VAELoader", "_meta": {"title": "Load VAE"}}, "4": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image"}}, "5": {"inputs": {"upscale_method": "lanczos", "width": 1024, "height": 1024, "crop": "center", "image": ["4", 0]}, "class_type": "ImageScale", "_meta": {"title": "Scale"}}, "6": {"inputs": {"image": ["5", 0]}, "class_type": "GetImageSize", "_meta": {"title": "Width and height"}}, "7": {"inputs": {"pixels": ["5", 0], "vae": ["3", 0]}, "class_type": "VAEEncode", "_meta": {"title": "Encode"}}, "8": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "9": {"inputs": {"conditioning": ["8", 0], "latent": ["7", 0]}, "class_type": "ReferenceLatent", "_meta": {"title": "Reference"}}, "10": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image 2"}}, "11": {"inputs": {"upscale_method": "lanczos", "megapixels": 1.0, "resolution_steps": 16, "image": ["10", 0]}, "class_type": "ImageScaleToTotalPixels", "_meta": {"title": "Scale 2"}}, "12": {"inputs": {"pixels": ["11", 0], "vae": ["3", 0]}, "class_type": "VAEEncode", "_meta": {"title": "Encode 2"}}, "13": {"inputs": {"conditioning": ["9", 0], "latent": ["12", 0]}, "class_type": "ReferenceLatent", "_meta": {"title": "Reference 2"}}, "14": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image 3"}}, "15": {"inputs": {"upscale_method": "lanczos", "megapixels": 1.0, "resolution_steps": 16, "image": ["14", 0]}, "class_type": "ImageScaleToTotalPixels", "_meta": {"title": "Scale 3"}}, "16": {"inputs": {"pixels": ["15", 0], "vae": ["3", 0]}, "class_type": "VAEEncode", "_meta": {"title": "Encode 3"}}, "17": {"inputs": {"conditioning": ["13", 0], "latent": ["16", 0]}, "class_type": "ReferenceLatent", "_meta": {"title": "Reference 3"}}, "18": {"inputs": {"conditioning": ["17", 0]}, "class_type": "ConditioningZeroOut", "_meta": {"title": "No negative prompt"}}, "19": {"inputs": {"batch_size": 1, "width": ["6", 0], "height": ["6", 1]}, "class_type": "EmptyFlux2LatentImage", "_meta": {"title": "Empty latent"}}, "20": {"inputs": {"steps": 4, "width": ["6", 0], "height": ["6", 1]}, "class_type": "Flux2Scheduler", "_meta": {"title": "Scheduler"}}, "21": {"inputs": {"sampler_name": "euler"}, "class_type": "KSamplerSelect", "_meta": {"title": "Sampling method"}}, "22": {"inputs": {"add_noise": true, "noise_seed": 0, "cfg": 1.0, "model": ["1", 0], "positive": ["17", 0], "negative": ["18", 0], "sampler": ["21", 0], "sigmas": ["20", 0], "latent_image": ["19", 0]}, "class_type": "SamplerCustom", "_meta": {"title": "Sampler"}}, "23": {"inputs": {"samples": ["22", 0], "vae": ["3", 0]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "24": {"inputs": {"filename_prefix": "open-webui/picture", "images": ["23", 0]}, "class_type": "SaveImage", "_meta": {"title": "Save"}}}""",
    "flux-kontext": r"""{"1": {"inputs": {"unet_name": "flux1-dev-kontext_fp8_scaled.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load Diffusion Model"}}, "2": {"inputs": {"clip_name1": "clip_l.safetensors", "clip_name2": "t5xxl_fp8_e4m3fn_scaled.safetensors", "type": "flux"}, "class_type": "DualCLIPLoader", "_meta": {"title": "Load Text Encoders"}}, "3": {"inputs": {"vae_name": "ae.safetensors"}, "class_type": "VAELoader", "_meta": {"title": "Load VAE"}}, "4": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image"}}, "5": {"inputs": {"upscale_method": "lanczos", "width": 1024, "height": 1024, "crop": "center", "image": ["4", 0]}, "class_type": "ImageScale", "_meta": {"title": "Scale"}}, "6": {"inputs": {"image": ["5", 0]}, "class_type": "GetImageSize", "_meta": {"title": "Width and height"}}, "7": {"inputs": {"pixels": ["5", 0], "vae": ["3", 0]}, "class_type": "VAEEncode", "_meta": {"title": "Encode"}}, "8": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "9": {"inputs": {"conditioning": ["8", 0], "latent": ["7", 0]}, "class_type": "ReferenceLatent", "_meta": {"title": "Reference"}}, "10": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image 2"}}, "11": {"inputs": {"upscale_method": "lanczos", "megapixels": 1.0, "resolution_steps": 16, "image": ["10", 0]}, "class_type": "ImageScaleToTotalPixels", "_meta": {"title": "Scale 2"}}, "12": {"inputs": {"pixels": ["11", 0], "vae": ["3", 0]}, "class_type": "VAEEncode", "_meta": {"title": "Encode 2"}}, "13": {"inputs": {"conditioning": ["9", 0], "latent": ["12", 0]}, "class_type": "ReferenceLatent", "_meta": {"title": "Reference 2"}}, "14": {"inputs": {"guidance": 2.5, "conditioning": ["13", 0]}, "class_type": "FluxGuidance", "_meta": {"title": "Guidance"}}, "15": {"inputs": {"conditioning": ["13", 0]}, "class_type": "ConditioningZeroOut", "_meta": {"title": "No negative prompt"}}, "16": {"inputs": {"batch_size": 1, "width": ["6", 0], "height": ["6", 1]}, "class_type": "EmptySD3LatentImage", "_meta": {"title": "Empty latent"}}, "17": {"inputs": {"add_noise": "enable", "noise_seed": 0, "steps": 20, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "start_at_step": 0, "end_at_step": 10000, "return_with_leftover_noise": "disable", "model": ["1", 0], "positive": ["14", 0], "negative": ["15", 0], "latent_image": ["16", 0]}, "class_type": "KSamplerAdvanced", "_meta": {"title": "Sampler"}}, "18": {"inputs": {"samples": ["17", 0], "vae": ["3", 0]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "19": {"inputs": {"filename_prefix": "open-webui/picture", "images": ["18", 0]}, "class_type": "SaveImage", "_meta": {"title": "Save"}}}""",
    "flux-image-to-image": r"""{"1": {"inputs": {"unet_name": "flux1-dev.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load Diffusion Model"}}, "2": {"inputs": {"clip_name1": "clip_l.safetensors", "clip_name2": "t5xxl_fp8_e4m3fn_scaled.safetensors", "type": "flux"}, "class_type": "DualCLIPLoader", "_meta": {"title": "Load Text Encoders"}}, "3": {"inputs": {"vae_name": "ae.safetensors"}, "class_type": "VAELoader", "_meta": {"title": "Load VAE"}}, "4": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image"}}, "5": {"inputs": {"upscale_method": "lanczos", "width": 1024, "height": 1024, "crop": "center", "image": ["4", 0]}, "class_type": "ImageScale", "_meta": {"title": "Scale"}}, "6": {"inputs": {"pixels": ["5", 0], "vae": ["3", 0]}, "class_type": "VAEEncode", "_meta": {"title": "Encode"}}, "7": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "8": {"inputs": {"guidance": 3.5, "conditioning": ["7", 0]}, "class_type": "FluxGuidance", "_meta": {"title": "Guidance"}}, "9": {"inputs": {"conditioning": ["7", 0]}, "class_type": "ConditioningZeroOut", "_meta": {"title": "No negative prompt"}}, "10": {"inputs": {"seed": 0, "steps": 20, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 0.75, "model": ["1", 0], "positive": ["8", 0], "negative": ["9", 0], "latent_image": ["6", 0]}, "class_type": "KSampler", "_meta": {"title": "Sampler"}}, "11": {"inputs": {"samples": ["10", 0], "vae": ["3", 0]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "12": {"inputs": {"filename_prefix": "open-webui/picture", "images": ["11", 0]}, "class_type": "SaveImage", "_meta": {"title": "Save"}}}""",
    "checkpoint-image-to-image": r"""{"1": {"inputs": {"ckpt_name": "sd_xl_base_1.0.safetensors"}, "class_type": "CheckpointLoaderSimple", "_meta": {"title": "Load Checkpoint"}}, "2": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image"}}, "3": {"inputs": {"upscale_method": "lanczos", "width": 1024, "height": 1024, "crop": "center", "image": ["2", 0]}, "class_type": "ImageScale", "_meta": {"title": "Scale"}}, "4": {"inputs": {"pixels": ["3", 0], "vae": ["1", 2]}, "class_type": "VAEEncode", "_meta": {"title": "Encode"}}, "5": {"inputs": {"text": "", "clip": ["1", 1]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "6": {"inputs": {"text": "", "clip": ["1", 1]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Negative prompt"}}, "7": {"inputs": {"seed": 0, "steps": 25, "cfg": 6.5, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 0.6, "model": ["1", 0], "positive": ["5", 0], "negative": ["6", 0], "latent_image": ["4", 0]}, "class_type": "KSampler", "_meta": {"title": "Sampler"}}, "8": {"inputs": {"samples": ["7", 0], "vae": ["1", 2]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "9": {"inputs": {"filename_prefix": "open-webui/picture", "images": ["8", 0]}, "class_type": "SaveImage", "_meta": {"title": "Save"}}}""",
    "flux-inpaint": r"""{"1": {"inputs": {"unet_name": "flux1-fill-dev.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load Diffusion Model"}}, "2": {"inputs": {"clip_name1": "clip_l.safetensors", "clip_name2": "t5xxl_fp8_e4m3fn_scaled.safetensors", "type": "flux"}, "class_type": "DualCLIPLoader", "_meta": {"title": "Load Text Encoders"}}, "3": {"inputs": {"vae_name": "ae.safetensors"}, "class_type": "VAELoader", "_meta": {"title": "Load VAE"}}, "4": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image and mask"}}, "5": {"inputs": {"upscale_method": "lanczos", "width": 1024, "height": 1024, "crop": "center", "image": ["4", 0]}, "class_type": "ImageScale", "_meta": {"title": "Scale"}}, "6": {"inputs": {"image": ["5", 0]}, "class_type": "GetImageSize", "_meta": {"title": "Width and height"}}, "7": {"inputs": {"mask": ["4", 1]}, "class_type": "MaskToImage", "_meta": {"title": "Mask to picture"}}, "8": {"inputs": {"upscale_method": "bilinear", "crop": "center", "image": ["7", 0], "width": ["6", 0], "height": ["6", 1]}, "class_type": "ImageScale", "_meta": {"title": "Scale the mask"}}, "9": {"inputs": {"channel": "red", "image": ["8", 0]}, "class_type": "ImageToMask", "_meta": {"title": "Picture to mask"}}, "10": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "11": {"inputs": {"guidance": 30.0, "conditioning": ["10", 0]}, "class_type": "FluxGuidance", "_meta": {"title": "Guidance"}}, "12": {"inputs": {"conditioning": ["10", 0]}, "class_type": "ConditioningZeroOut", "_meta": {"title": "No negative prompt"}}, "13": {"inputs": {"noise_mask": false, "positive": ["11", 0], "negative": ["12", 0], "vae": ["3", 0], "pixels": ["5", 0], "mask": ["9", 0]}, "class_type": "InpaintModelConditioning", "_meta": {"title": "Mask"}}, "14": {"inputs": {"seed": 0, "steps": 20, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0, "model": ["1", 0], "positive": ["13", 0], "negative": ["13", 1], "latent_image": ["13", 2]}, "class_type": "KSampler", "_meta": {"title": "Sampler"}}, "15": {"inputs": {"samples": ["14", 0], "vae": ["3", 0]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "16": {"inputs": {"x": 0, "y": 0, "resize_source": true, "destination": ["5", 0], "source": ["15", 0], "mask": ["9", 0]}, "class_type": "ImageCompositeMasked", "_meta": {"title": "Keep the rest"}}, "17": {"inputs": {"filename_prefix": "open-webui/picture", "images": ["16", 0]}, "class_type": "SaveImage", "_meta": {"title": "Save"}}}""",
    "checkpoint-inpaint": r"""{"1": {"inputs": {"ckpt_name": "sd_xl_base_1.0.safetensors"}, "class_type": "CheckpointLoaderSimple", "_meta": {"title": "Load Checkpoint"}}, "2": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image and mask"}}, "3": {"inputs": {"upscale_method": "lanczos", "width": 1024, "height": 1024, "crop": "center", "image": ["2", 0]}, "class_type": "ImageScale", "_meta": {"title": "Scale"}}, "4": {"inputs": {"image": ["3", 0]}, "class_type": "GetImageSize", "_meta": {"title": "Width and height"}}, "5": {"inputs": {"mask": ["2", 1]}, "class_type": "MaskToImage", "_meta": {"title": "Mask to picture"}}, "6": {"inputs": {"upscale_method": "bilinear", "crop": "center", "image": ["5", 0], "width": ["4", 0], "height": ["4", 1]}, "class_type": "ImageScale", "_meta": {"title": "Scale the mask"}}, "7": {"inputs": {"channel": "red", "image": ["6", 0]}, "class_type": "ImageToMask", "_meta": {"title": "Picture to mask"}}, "8": {"inputs": {"text": "", "clip": ["1", 1]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "9": {"inputs": {"text": "", "clip": ["1", 1]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Negative prompt"}}, "10": {"inputs": {"noise_mask": true, "positive": ["8", 0], "negative": ["9", 0], "vae": ["1", 2], "pixels": ["3", 0], "mask": ["7", 0]}, "class_type": "InpaintModelConditioning", "_meta": {"title": "Mask"}}, "11": {"inputs": {"model": ["1", 0]}, "class_type": "DifferentialDiffusion", "_meta": {"title": "Soft mask"}}, "12": {"inputs": {"seed": 0, "steps": 25, "cfg": 6.5, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1.0, "model": ["11", 0], "positive": ["10", 0], "negative": ["10", 1], "latent_image": ["10", 2]}, "class_type": "KSampler", "_meta": {"title": "Sampler"}}, "13": {"inputs": {"samples": ["12", 0], "vae": ["1", 2]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "14": {"inputs": {"x": 0, "y": 0, "resize_source": true, "destination": ["3", 0], "source": ["13", 0], "mask": ["7", 0]}, "class_type": "ImageCompositeMasked", "_meta": {"title": "Keep the rest"}}, "15": {"inputs": {"filename_prefix": "open-webui/picture", "images": ["14", 0]}, "class_type": "SaveImage", "_meta": {"title": "Save"}}}""",
    "upscale": r"""{"1": {"inputs": {"model_name": "RealESRGAN_x4plus.safetensors"}, "class_type": "UpscaleModelLoader", "_meta": {"title": "Load Upscale Model"}}, "2": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image"}}, "3": {"inputs": {"upscale_model": ["1", 0], "image": ["2", 0]}, "class_type": "ImageUpscaleWithModel", "_meta": {"title": "Upscale"}}, "4": {"inputs": {"upscale_method": "lanczos", "width": 2048, "height": 2048, "crop": "disabled", "image": ["3", 0]}, "class_type": "ImageScale", "_meta": {"title": "Scale"}}, "5": {"inputs": {"filename_prefix": "open-webui/picture", "images": ["4", 0]}, "class_type": "SaveImage", "_meta": {"title": "Save"}}}""",
    "wan-text-to-video": r"""{"1": {"inputs": {"unet_name": "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load High Noise Model"}}, "2": {"inputs": {"unet_name": "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load Low Noise Model"}}, "3": {"inputs": {"clip_name": "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "type": "wan"}, "class_type": "CLIPLoader", "_meta": {"title": "Load Text Encoder"}}, "4": {"inputs": {"vae_name": "wan_2.1_vae.safetensors"}, "class_type": "VAELoader", "_meta": {"title": "Load VAE"}}, "5": {"inputs": {"text": "", "clip": ["3", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "6": {"inputs": {"text": "overexposed, washed out, still picture, blurry details, subtitles, watermark, low quality, compression artifacts, deformed hands, extra fingers, badly drawn faces, fused limbs, cluttered background, walking backwards", "clip": ["3", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Negative prompt"}}, "7": {"inputs": {"width": 832, "height": 480, "length": 81, "batch_size": 1}, "class_type": "EmptyHunyuanLatentVideo", "_meta": {"title": "Size and length"}}, "8": {"inputs": {"shift": 5.0, "model": ["1", 0]}, "class_type": "ModelSamplingSD3", "_meta": {"title": "Shift of the high noise model"}}, "9": {"inputs": {"shift": 5.0, "model": ["2", 0]}, "class_type": "ModelSamplingSD3", "_meta": {"title": "Shift of the low noise model"}}, "10": {"inputs": {"scheduler": "simple", "steps": 20, "denoise": 1.0, "model": ["8", 0]}, "class_type": "BasicScheduler", "_meta": {"title": "Scheduler"}}, "11": {"inputs": {"denoise": 0.5, "sigmas": ["10", 0]}, "class_type": "SplitSigmasDenoise", "_meta": {"title": "First half and second half"}}, "12": {"inputs": {"sampler_name": "euler"}, "class_type": "KSamplerSelect", "_meta": {"title": "Sampling method"}}, "13": {"inputs": {"add_noise": true, "noise_seed": 0, "cfg": 3.5, "model": ["8", 0], "positive": ["5", 0], "negative": ["6", 0], "sampler": ["12", 0], "sigmas": ["11", 0], "latent_image": ["7", 0]}, "class_type": "SamplerCustom", "_meta": {"title": "High noise sampler"}}, "14": {"inputs": {"add_noise": false, "noise_seed": 0, "cfg": 3.5, "model": ["9", 0], "positive": ["5", 0], "negative": ["6", 0], "sampler": ["12", 0], "sigmas": ["11", 1], "latent_image": ["13", 0]}, "class_type": "SamplerCustom", "_meta": {"title": "Low noise sampler"}}, "15": {"inputs": {"samples": ["14", 0], "vae": ["4", 0]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "16": {"inputs": {"fps": 16.0, "images": ["15", 0]}, "class_type": "CreateVideo", "_meta": {"title": "Frames to video"}}, "17": {"inputs": {"filename_prefix": "open-webui/video", "format": "auto", "codec": "auto", "format.codec": "auto", "video": ["16", 0]}, "class_type": "SaveVideo", "_meta": {"title": "Save"}}}""",
    "ltx2-text-to-video": r"""{"1": {"inputs": {"ckpt_name": "ltx-2-19b-distilled.safetensors"}, "class_type": "CheckpointLoaderSimple", "_meta": {"title": "Load Checkpoint"}}, "2": {"inputs": {"text_encoder": "gemma_3_12B_it_fp4_mixed.safetensors", "ckpt_name": "ltx-2-19b-distilled.safetensors", "device": "default"}, "class_type": "LTXAVTextEncoderLoader", "_meta": {"title": "Load Text Encoder"}}, "3": {"inputs": {"ckpt_name": "ltx-2-19b-distilled.safetensors"}, "class_type": "LTXVAudioVAELoader", "_meta": {"title": "Load Audio VAE"}}, "4": {"inputs": {"model_name": "ltx-2-spatial-upscaler-x2-1.0.safetensors"}, "class_type": "LatentUpscaleModelLoader", "_meta": {"title": "Load Latent Upscale Model"}}, "5": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "6": {"inputs": {"conditioning": ["5", 0]}, "class_type": "ConditioningZeroOut", "_meta": {"title": "No negative prompt"}}, "7": {"inputs": {"frame_rate": 24.0, "positive": ["5", 0], "negative": ["6", 0]}, "class_type": "LTXVConditioning", "_meta": {"title": "Frame rate for the model"}}, "8": {"inputs": {"width": 1280, "height": 704, "batch_size": 1, "color": 0}, "class_type": "EmptyImage", "_meta": {"title": "Size"}}, "9": {"inputs": {"upscale_method": "nearest-exact", "scale_by": 0.5, "image": ["8", 0]}, "class_type": "ImageScaleBy", "_meta": {"title": "Half size"}}, "10": {"inputs": {"image": ["9", 0]}, "class_type": "GetImageSize", "_meta": {"title": "Width and height"}}, "11": {"inputs": {"value": 121}, "class_type": "PrimitiveInt", "_meta": {"title": "Length"}}, "12": {"inputs": {"batch_size": 1, "width": ["10", 0], "height": ["10", 1], "length": ["11", 0]}, "class_type": "EmptyLTXVLatentVideo", "_meta": {"title": "Empty video"}}, "13": {"inputs": {"frame_rate": 24.0, "batch_size": 1, "frames_number": ["11", 0], "audio_vae": ["3", 0]}, "class_type": "LTXVEmptyLatentAudio", "_meta": {"title": "Empty sound"}}, "14": {"inputs": {"video_latent": ["12", 0], "audio_latent": ["13", 0]}, "class_type": "LTXVConcatAVLatent", "_meta": {"title": "Video and sound"}}, "15": {"inputs": {"sigmas": "1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0"}, "class_type": "ManualSigmas", "_meta": {"title": "First stage"}}, "16": {"inputs": {"sampler_name": "euler_ancestral"}, "class_type": "KSamplerSelect", "_meta": {"title": "Sampling method"}}, "17": {"inputs": {"add_noise": true, "noise_seed": 0, "cfg": 1.0, "model": ["1", 0], "positive": ["7", 0], "negative": ["7", 1], "sampler": ["16", 0], "sigmas": ["15", 0], "latent_image": ["14", 0]}, "class_type": "SamplerCustom", "_meta": {"title": "First sampler"}}, "18": {"inputs": {"av_latent": ["17", 0]}, "class_type": "LTXVSeparateAVLatent", "_meta": {"title": "Separate"}}, "19": {"inputs": {"samples": ["18", 0], "upscale_model": ["4", 0], "vae": ["1", 2]}, "class_type": "LTXVLatentUpsampler", "_meta": {"title": "Double size"}}, "20": {"inputs": {"video_latent": ["19", 0], "audio_latent": ["18", 1]}, "class_type": "LTXVConcatAVLatent", "_meta": {"title": "Larger video and sound"}}, "21": {"inputs": {"sigmas": "0.909375, 0.725, 0.421875, 0.0"}, "class_type": "ManualSigmas", "_meta": {"title": "Second stage"}}, "22": {"inputs": {"add_noise": true, "noise_seed": 0, "cfg": 1.0, "model": ["1", 0], "positive": ["7", 0], "negative": ["7", 1], "sampler": ["16", 0], "sigmas": ["21", 0], "latent_image": ["20", 0]}, "class_type": "SamplerCustom", "_meta": {"title": "Second sampler"}}, "23": {"inputs": {"av_latent": ["22", 1]}, "class_type": "LTXVSeparateAVLatent", "_meta": {"title": "Separate again"}}, "24": {"inputs": {"tile_size": 512, "overlap": 64, "temporal_size": 4096, "temporal_overlap": 8, "samples": ["23", 0], "vae": ["1", 2]}, "class_type": "VAEDecodeTiled", "_meta": {"title": "Decode"}}, "25": {"inputs": {"samples": ["23", 1], "audio_vae": ["3", 0]}, "class_type": "LTXVAudioVAEDecode", "_meta": {"title": "Decode sound"}}, "26": {"inputs": {"fps": 24.0, "images": ["24", 0], "audio": ["25", 0]}, "class_type": "CreateVideo", "_meta": {"title": "Frames to video"}}, "27": {"inputs": {"filename_prefix": "open-webui/video", "format": "auto", "codec": "auto", "format.codec": "auto", "video": ["26", 0]}, "class_type": "SaveVideo", "_meta": {"title": "Save"}}}""",
    "wan-5b-text-to-video": r"""{"1": {"inputs": {"unet_name": "wan2.2_ti2v_5B_fp16.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load Diffusion Model"}}, "2": {"inputs": {"clip_name": "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "type": "wan"}, "class_type": "CLIPLoader", "_meta": {"title": "Load Text Encoder"}}, "3": {"inputs": {"vae_name": "wan2.2_vae.safetensors"}, "class_type": "VAELoader", "_meta": {"title": "Load VAE"}}, "4": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "5": {"inputs": {"text": "overexposed, washed out, still picture, blurry details, subtitles, watermark, low quality, compression artifacts, deformed hands, extra fingers, badly drawn faces, fused limbs, cluttered background, walking backwards", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Negative prompt"}}, "6": {"inputs": {"shift": 8.0, "model": ["1", 0]}, "class_type": "ModelSamplingSD3", "_meta": {"title": "Shift"}}, "7": {"inputs": {"width": 1280, "height": 704, "length": 121, "batch_size": 1, "vae": ["3", 0]}, "class_type": "Wan22ImageToVideoLatent", "_meta": {"title": "Size and length"}}, "8": {"inputs": {"seed": 0, "steps": 20, "cfg": 5.0, "sampler_name": "uni_pc", "scheduler": "simple", "denoise": 1.0, "model": ["6", 0], "positive": ["4", 0], "negative": ["5", 0], "latent_image": ["7", 0]}, "class_type": "KSampler", "_meta": {"title": "Sampler"}}, "9": {"inputs": {"samples": ["8", 0], "vae": ["3", 0]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "10": {"inputs": {"fps": 24.0, "images": ["9", 0]}, "class_type": "CreateVideo", "_meta": {"title": "Frames to video"}}, "11": {"inputs": {"filename_prefix": "open-webui/video", "format": "auto", "codec": "auto", "format.codec": "auto", "video": ["10", 0]}, "class_type": "SaveVideo", "_meta": {"title": "Save"}}}""",
    "ltx-text-to-video": r"""{"1": {"inputs": {"ckpt_name": "ltx-video-2b-v0.9.5.safetensors"}, "class_type": "CheckpointLoaderSimple", "_meta": {"title": "Load Checkpoint"}}, "2": {"inputs": {"clip_name": "t5xxl_fp16.safetensors", "type": "ltxv"}, "class_type": "CLIPLoader", "_meta": {"title": "Load Text Encoder"}}, "3": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "4": {"inputs": {"text": "low quality, blurry, distorted, deformed, jittery motion, motion smear, watermark, bad anatomy", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Negative prompt"}}, "5": {"inputs": {"width": 768, "height": 512, "length": 97, "batch_size": 1}, "class_type": "EmptyLTXVLatentVideo", "_meta": {"title": "Size and length"}}, "6": {"inputs": {"frame_rate": 25.0, "positive": ["3", 0], "negative": ["4", 0]}, "class_type": "LTXVConditioning", "_meta": {"title": "Frame rate for the model"}}, "7": {"inputs": {"steps": 30, "max_shift": 2.05, "base_shift": 0.95, "stretch": true, "terminal": 0.1, "latent": ["5", 0]}, "class_type": "LTXVScheduler", "_meta": {"title": "Scheduler"}}, "8": {"inputs": {"sampler_name": "euler"}, "class_type": "KSamplerSelect", "_meta": {"title": "Sampling method"}}, "9": {"inputs": {"add_noise": true, "noise_seed": 0, "cfg": 3.0, "model": ["1", 0], "positive": ["6", 0], "negative": ["6", 1], "sampler": ["8", 0], "sigmas": ["7", 0], "latent_image": ["5", 0]}, "class_type": "SamplerCustom", "_meta": {"title": "Sampler"}}, "10": {"inputs": {"samples": ["9", 0], "vae": ["1", 2]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "11": {"inputs": {"fps": 25.0, "images": ["10", 0]}, "class_type": "CreateVideo", "_meta": {"title": "Frames to video"}}, "12": {"inputs": {"filename_prefix": "open-webui/video", "format": "auto", "codec": "auto", "format.codec": "auto", "video": ["11", 0]}, "class_type": "SaveVideo", "_meta": {"title": "Save"}}}""",
    "wan-image-to-video": r"""{"1": {"inputs": {"unet_name": "wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load High Noise Model"}}, "2": {"inputs": {"unet_name": "wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load Low Noise Model"}}, "3": {"inputs": {"clip_name": "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "type": "wan"}, "class_type": "CLIPLoader", "_meta": {"title": "Load Text Encoder"}}, "4": {"inputs": {"vae_name": "wan_2.1_vae.safetensors"}, "class_type": "VAELoader", "_meta": {"title": "Load VAE"}}, "5": {"inputs": {"text": "", "clip": ["3", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "6": {"inputs": {"text": "overexposed, washed out, still picture, blurry details, subtitles, watermark, low quality, compression artifacts, deformed hands, extra fingers, badly drawn faces, fused limbs, cluttered background, walking backwards", "clip": ["3", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Negative prompt"}}, "7": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image"}}, "8": {"inputs": {"upscale_method": "lanczos", "width": 832, "height": 480, "crop": "center", "image": ["7", 0]}, "class_type": "ImageScale", "_meta": {"title": "Scale"}}, "9": {"inputs": {"image": ["8", 0]}, "class_type": "GetImageSize", "_meta": {"title": "Width and height"}}, "10": {"inputs": {"length": 81, "batch_size": 1, "width": ["9", 0], "height": ["9", 1], "positive": ["5", 0], "negative": ["6", 0], "vae": ["4", 0], "start_image": ["8", 0]}, "class_type": "WanImageToVideo", "_meta": {"title": "Length"}}, "11": {"inputs": {"shift": 5.0, "model": ["1", 0]}, "class_type": "ModelSamplingSD3", "_meta": {"title": "Shift of the high noise model"}}, "12": {"inputs": {"shift": 5.0, "model": ["2", 0]}, "class_type": "ModelSamplingSD3", "_meta": {"title": "Shift of the low noise model"}}, "13": {"inputs": {"scheduler": "simple", "steps": 20, "denoise": 1.0, "model": ["11", 0]}, "class_type": "BasicScheduler", "_meta": {"title": "Scheduler"}}, "14": {"inputs": {"denoise": 0.5, "sigmas": ["13", 0]}, "class_type": "SplitSigmasDenoise", "_meta": {"title": "First half and second half"}}, "15": {"inputs": {"sampler_name": "euler"}, "class_type": "KSamplerSelect", "_meta": {"title": "Sampling method"}}, "16": {"inputs": {"add_noise": true, "noise_seed": 0, "cfg": 3.5, "model": ["11", 0], "positive": ["10", 0], "negative": ["10", 1], "sampler": ["15", 0], "sigmas": ["14", 0], "latent_image": ["10", 2]}, "class_type": "SamplerCustom", "_meta": {"title": "High noise sampler"}}, "17": {"inputs": {"add_noise": false, "noise_seed": 0, "cfg": 3.5, "model": ["12", 0], "positive": ["10", 0], "negative": ["10", 1], "sampler": ["15", 0], "sigmas": ["14", 1], "latent_image": ["16", 0]}, "class_type": "SamplerCustom", "_meta": {"title": "Low noise sampler"}}, "18": {"inputs": {"samples": ["17", 0], "vae": ["4", 0]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "19": {"inputs": {"fps": 16.0, "images": ["18", 0]}, "class_type": "CreateVideo", "_meta": {"title": "Frames to video"}}, "20": {"inputs": {"filename_prefix": "open-webui/video", "format": "auto", "codec": "auto", "format.codec": "auto", "video": ["19", 0]}, "class_type": "SaveVideo", "_meta": {"title": "Save"}}}""",
    "ltx2-image-to-video": r"""{"1": {"inputs": {"ckpt_name": "ltx-2-19b-distilled.safetensors"}, "class_type": "CheckpointLoaderSimple", "_meta": {"title": "Load Checkpoint"}}, "2": {"inputs": {"text_encoder": "gemma_3_12B_it_fp4_mixed.safetensors", "ckpt_name": "ltx-2-19b-distilled.safetensors", "device": "default"}, "class_type": "LTXAVTextEncoderLoader", "_meta": {"title": "Load Text Encoder"}}, "3": {"inputs": {"ckpt_name": "ltx-2-19b-distilled.safetensors"}, "class_type": "LTXVAudioVAELoader", "_meta": {"title": "Load Audio VAE"}}, "4": {"inputs": {"model_name": "ltx-2-spatial-upscaler-x2-1.0.safetensors"}, "class_type": "LatentUpscaleModelLoader", "_meta": {"title": "Load Latent Upscale Model"}}, "5": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "6": {"inputs": {"conditioning": ["5", 0]}, "class_type": "ConditioningZeroOut", "_meta": {"title": "No negative prompt"}}, "7": {"inputs": {"frame_rate": 24.0, "positive": ["5", 0], "negative": ["6", 0]}, "class_type": "LTXVConditioning", "_meta": {"title": "Frame rate for the model"}}, "8": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image"}}, "9": {"inputs": {"upscale_method": "lanczos", "width": 1280, "height": 704, "crop": "center", "image": ["8", 0]}, "class_type": "ImageScale", "_meta": {"title": "Scale"}}, "10": {"inputs": {"img_compression": 33, "image": ["9", 0]}, "class_type": "LTXVPreprocess", "_meta": {"title": "Compress"}}, "11": {"inputs": {"upscale_method": "nearest-exact", "scale_by": 0.5, "image": ["9", 0]}, "class_type": "ImageScaleBy", "_meta": {"title": "Half size"}}, "12": {"inputs": {"image": ["11", 0]}, "class_type": "GetImageSize", "_meta": {"title": "Width and height"}}, "13": {"inputs": {"value": 121}, "class_type": "PrimitiveInt", "_meta": {"title": "Length"}}, "14": {"inputs": {"batch_size": 1, "width": ["12", 0], "height": ["12", 1], "length": ["13", 0]}, "class_type": "EmptyLTXVLatentVideo", "_meta": {"title": "Empty video"}}, "15": {"inputs": {"frame_rate": 24.0, "batch_size": 1, "frames_number": ["13", 0], "audio_vae": ["3", 0]}, "class_type": "LTXVEmptyLatentAudio", "_meta": {"title": "Empty sound"}}, "16": {"inputs": {"strength": 1.0, "bypass": false, "vae": ["1", 2], "image": ["10", 0], "latent": ["14", 0]}, "class_type": "LTXVImgToVideoInplace", "_meta": {"title": "First frame"}}, "17": {"inputs": {"video_latent": ["16", 0], "audio_latent": ["15", 0]}, "class_type": "LTXVConcatAVLatent", "_meta": {"title": "Video and sound"}}, "18": {"inputs": {"sigmas": "1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0"}, "class_type": "ManualSigmas", "_meta": {"title": "First stage"}}, "19": {"inputs": {"sampler_name": "euler"}, "class_type": "KSamplerSelect", "_meta": {"title": "Sampling method"}}, "20": {"inputs": {"add_noise": true, "noise_seed": 0, "cfg": 1.0, "model": ["1", 0], "positive": ["7", 0], "negative": ["7", 1], "sampler": ["19", 0], "sigmas": ["18", 0], "latent_image": ["17", 0]}, "class_type": "SamplerCustom", "_meta": {"title": "First sampler"}}, "21": {"inputs": {"av_latent": ["20", 0]}, "class_type": "LTXVSeparateAVLatent", "_meta": {"title": "Separate"}}, "22": {"inputs": {"samples": ["21", 0], "upscale_model": ["4", 0], "vae": ["1", 2]}, "class_type": "LTXVLatentUpsampler", "_meta": {"title": "Double size"}}, "23": {"inputs": {"strength": 1.0, "bypass": false, "vae": ["1", 2], "image": ["10", 0], "latent": ["22", 0]}, "class_type": "LTXVImgToVideoInplace", "_meta": {"title": "First frame in full size"}}, "24": {"inputs": {"video_latent": ["23", 0], "audio_latent": ["21", 1]}, "class_type": "LTXVConcatAVLatent", "_meta": {"title": "Larger video and sound"}}, "25": {"inputs": {"sigmas": "0.909375, 0.725, 0.421875, 0.0"}, "class_type": "ManualSigmas", "_meta": {"title": "Second stage"}}, "26": {"inputs": {"sampler_name": "gradient_estimation"}, "class_type": "KSamplerSelect", "_meta": {"title": "Second sampling method"}}, "27": {"inputs": {"add_noise": true, "noise_seed": 0, "cfg": 1.0, "model": ["1", 0], "positive": ["7", 0], "negative": ["7", 1], "sampler": ["26", 0], "sigmas": ["25", 0], "latent_image": ["24", 0]}, "class_type": "SamplerCustom", "_meta": {"title": "Second sampler"}}, "28": {"inputs": {"av_latent": ["27", 1]}, "class_type": "LTXVSeparateAVLatent", "_meta": {"title": "Separate again"}}, "29": {"inputs": {"tile_size": 512, "overlap": 64, "temporal_size": 4096, "temporal_overlap": 8, "samples": ["28", 0], "vae": ["1", 2]}, "class_type": "VAEDecodeTiled", "_meta": {"title": "Decode"}}, "30": {"inputs": {"samples": ["28", 1], "audio_vae": ["3", 0]}, "class_type": "LTXVAudioVAEDecode", "_meta": {"title": "Decode sound"}}, "31": {"inputs": {"fps": 24.0, "images": ["29", 0], "audio": ["30", 0]}, "class_type": "CreateVideo", "_meta": {"title": "Frames to video"}}, "32": {"inputs": {"filename_prefix": "open-webui/video", "format": "auto", "codec": "auto", "format.codec": "auto", "video": ["31", 0]}, "class_type": "SaveVideo", "_meta": {"title": "Save"}}}""",
    "wan-5b-image-to-video": r"""{"1": {"inputs": {"unet_name": "wan2.2_ti2v_5B_fp16.safetensors", "weight_dtype": "default"}, "class_type": "UNETLoader", "_meta": {"title": "Load Diffusion Model"}}, "2": {"inputs": {"clip_name": "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "type": "wan"}, "class_type": "CLIPLoader", "_meta": {"title": "Load Text Encoder"}}, "3": {"inputs": {"vae_name": "wan2.2_vae.safetensors"}, "class_type": "VAELoader", "_meta": {"title": "Load VAE"}}, "4": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "5": {"inputs": {"text": "overexposed, washed out, still picture, blurry details, subtitles, watermark, low quality, compression artifacts, deformed hands, extra fingers, badly drawn faces, fused limbs, cluttered background, walking backwards", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Negative prompt"}}, "6": {"inputs": {"shift": 8.0, "model": ["1", 0]}, "class_type": "ModelSamplingSD3", "_meta": {"title": "Shift"}}, "7": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image"}}, "8": {"inputs": {"upscale_method": "lanczos", "width": 1280, "height": 704, "crop": "center", "image": ["7", 0]}, "class_type": "ImageScale", "_meta": {"title": "Scale"}}, "9": {"inputs": {"image": ["8", 0]}, "class_type": "GetImageSize", "_meta": {"title": "Width and height"}}, "10": {"inputs": {"length": 121, "batch_size": 1, "width": ["9", 0], "height": ["9", 1], "vae": ["3", 0], "start_image": ["8", 0]}, "class_type": "Wan22ImageToVideoLatent", "_meta": {"title": "Length"}}, "11": {"inputs": {"seed": 0, "steps": 20, "cfg": 5.0, "sampler_name": "uni_pc", "scheduler": "simple", "denoise": 1.0, "model": ["6", 0], "positive": ["4", 0], "negative": ["5", 0], "latent_image": ["10", 0]}, "class_type": "KSampler", "_meta": {"title": "Sampler"}}, "12": {"inputs": {"samples": ["11", 0], "vae": ["3", 0]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "13": {"inputs": {"fps": 24.0, "images": ["12", 0]}, "class_type": "CreateVideo", "_meta": {"title": "Frames to video"}}, "14": {"inputs": {"filename_prefix": "open-webui/video", "format": "auto", "codec": "auto", "format.codec": "auto", "video": ["13", 0]}, "class_type": "SaveVideo", "_meta": {"title": "Save"}}}""",
    "ltx-image-to-video": r"""{"1": {"inputs": {"ckpt_name": "ltx-video-2b-v0.9.5.safetensors"}, "class_type": "CheckpointLoaderSimple", "_meta": {"title": "Load Checkpoint"}}, "2": {"inputs": {"clip_name": "t5xxl_fp16.safetensors", "type": "ltxv"}, "class_type": "CLIPLoader", "_meta": {"title": "Load Text Encoder"}}, "3": {"inputs": {"text": "", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Prompt"}}, "4": {"inputs": {"text": "low quality, blurry, distorted, deformed, jittery motion, motion smear, watermark, bad anatomy", "clip": ["2", 0]}, "class_type": "CLIPTextEncode", "_meta": {"title": "Negative prompt"}}, "5": {"inputs": {"image": "example.png"}, "class_type": "LoadImage", "_meta": {"title": "Image"}}, "6": {"inputs": {"upscale_method": "lanczos", "width": 768, "height": 512, "crop": "center", "image": ["5", 0]}, "class_type": "ImageScale", "_meta": {"title": "Scale"}}, "7": {"inputs": {"image": ["6", 0]}, "class_type": "GetImageSize", "_meta": {"title": "Width and height"}}, "8": {"inputs": {"length": 97, "batch_size": 1, "strength": 1.0, "width": ["7", 0], "height": ["7", 1], "positive": ["3", 0], "negative": ["4", 0], "vae": ["1", 2], "image": ["6", 0]}, "class_type": "LTXVImgToVideo", "_meta": {"title": "Length"}}, "9": {"inputs": {"frame_rate": 25.0, "positive": ["8", 0], "negative": ["8", 1]}, "class_type": "LTXVConditioning", "_meta": {"title": "Frame rate for the model"}}, "10": {"inputs": {"steps": 30, "max_shift": 2.05, "base_shift": 0.95, "stretch": true, "terminal": 0.1, "latent": ["8", 2]}, "class_type": "LTXVScheduler", "_meta": {"title": "Scheduler"}}, "11": {"inputs": {"sampler_name": "euler"}, "class_type": "KSamplerSelect", "_meta": {"title": "Sampling method"}}, "12": {"inputs": {"add_noise": true, "noise_seed": 0, "cfg": 3.0, "model": ["1", 0], "positive": ["9", 0], "negative": ["9", 1], "sampler": ["11", 0], "sigmas": ["10", 0], "latent_image": ["8", 2]}, "class_type": "SamplerCustom", "_meta": {"title": "Sampler"}}, "13": {"inputs": {"samples": ["12", 0], "vae": ["1", 2]}, "class_type": "VAEDecode", "_meta": {"title": "Decode"}}, "14": {"inputs": {"fps": 25.0, "images": ["13", 0]}, "class_type": "CreateVideo", "_meta": {"title": "Frames to video"}}, "15": {"inputs": {"filename_prefix": "open-webui/video", "format": "auto", "codec": "auto", "format.codec": "auto", "video": ["14", 0]}, "class_type": "SaveVideo", "_meta": {"title": "Save"}}}""",
    "ace-step-1.5": r"""{"1": {"inputs": {"ckpt_name": "ace_step_1.5_turbo_aio.safetensors"}, "class_type": "CheckpointLoaderSimple", "_meta": {"title": "Load Checkpoint"}}, "2": {"inputs": {"value": 120.0}, "class_type": "PrimitiveFloat", "_meta": {"title": "Seconds"}}, "3": {"inputs": {"tags": "", "lyrics": "[Instrumental]", "seed": 0, "bpm": 120, "timesignature": "4", "language": "en", "keyscale": "C major", "generate_audio_codes": true, "cfg_scale": 2.0, "temperature": 0.85, "top_p": 0.9, "top_k": 0, "min_p": 0.0, "clip": ["1", 1], "duration": ["2", 0]}, "class_type": "TextEncodeAceStepAudio1.5", "_meta": {"title": "Prompt"}}, "4": {"inputs": {"conditioning": ["3", 0]}, "class_type": "ConditioningZeroOut", "_meta": {"title": "No negative prompt"}}, "5": {"inputs": {"batch_size": 1, "seconds": ["2", 0]}, "class_type": "EmptyAceStep1.5LatentAudio", "_meta": {"title": "Empty sound"}}, "6": {"inputs": {"shift": 3.0, "model": ["1", 0]}, "class_type": "ModelSamplingAuraFlow", "_meta": {"title": "Shift"}}, "7": {"inputs": {"seed": 0, "steps": 8, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0, "model": ["6", 0], "positive": ["3", 0], "negative": ["4", 0], "latent_image": ["5", 0]}, "class_type": "KSampler", "_meta": {"title": "Sampler"}}, "8": {"inputs": {"samples": ["7", 0], "vae": ["1", 2]}, "class_type": "VAEDecodeAudio", "_meta": {"title": "Decode"}}, "9": {"inputs": {"filename_prefix": "open-webui/sound", "format": "mp3", "format.quality": "V0", "audio": ["8", 0]}, "class_type": "SaveAudioAdvanced", "_meta": {"title": "Save"}}}""",
    "ace-step": r"""{"1": {"inputs": {"ckpt_name": "ace_step_v1_3.5b.safetensors"}, "class_type": "CheckpointLoaderSimple", "_meta": {"title": "Load Checkpoint"}}, "2": {"inputs": {"tags": "", "lyrics": "[instrumental]", "lyrics_strength": 0.99, "clip": ["1", 1]}, "class_type": "TextEncodeAceStepAudio", "_meta": {"title": "Prompt"}}, "3": {"inputs": {"conditioning": ["2", 0]}, "class_type": "ConditioningZeroOut", "_meta": {"title": "No negative prompt"}}, "4": {"inputs": {"seconds": 120.0, "batch_size": 1}, "class_type": "EmptyAceStepLatentAudio", "_meta": {"title": "Seconds"}}, "5": {"inputs": {"shift": 5.0, "model": ["1", 0]}, "class_type": "ModelSamplingSD3", "_meta": {"title": "Shift"}}, "6": {"inputs": {"multiplier": 1.0}, "class_type": "LatentOperationTonemapReinhard", "_meta": {"title": "Tone map"}}, "7": {"inputs": {"model": ["5", 0], "operation": ["6", 0]}, "class_type": "LatentApplyOperationCFG", "_meta": {"title": "Apply tone map"}}, "8": {"inputs": {"seed": 0, "steps": 50, "cfg": 5.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0, "model": ["7", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0]}, "class_type": "KSampler", "_meta": {"title": "Sampler"}}, "9": {"inputs": {"samples": ["8", 0], "vae": ["1", 2]}, "class_type": "VAEDecodeAudio", "_meta": {"title": "Decode"}}, "10": {"inputs": {"filename_prefix": "open-webui/sound", "quality": "V0", "audio": ["9", 0]}, "class_type": "SaveAudioMP3", "_meta": {"title": "Save"}}}""",
}


# ======================================================================================================================
# src/comfyui_chat/__main__.py
#
# `python -m comfyui_chat`, with `src` on the path, is what `python comfyui_tool.py` is for the built file.
# ======================================================================================================================


if __name__ == "__main__":
    sys.exit(main())
