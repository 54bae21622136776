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
#   bounds                   How much of what comes from outside is taken: the greatest sizes, counts and depths, in …
#   errors                   Every way in which a call can fail: a code, what happened, and what to do next.
#   logs                     The tool's logger.
#   tasks                    Asyncio helpers: a bounded gather, and a clean-up that no cancellation cuts short.
#   threads                  The tool's own threads: whatever blocks runs in one of these few, and never in those that …
#   bounded                  Dictionaries that do not grow without end, for all that a process remembers.
#   names                    Names of files and models, compared and looked up; names and values put into messages.
#   spelling                 How people and models spell what they mean: signs of any width, quotes, JSON in a text, …
#   values                   Values that somebody asks for: whether one was given, and what is meant by it.
#   sizes                    What people and models write for a size: pixels, proportions, megapixels, a screen's …
#   counts                   Numbers as people and models write them, and those that stand for leaving an argument out.
#   graph/definitions        What each class of nodes takes and makes, read from ComfyUI's `/object_info`.
#   graph/link_types         Types of links: which of them say what a link carries, and how an input's name tells its …
#   graph/nodes              ComfyUI's API format: what a graph looks like, and how to read its nodes.
#   graph/prompts            A prompt's texts as ComfyUI's page sends them: choices made, file names filled in.
#   graph/fitting            A value that somebody asks for, made to fit an input of a node.
#   graph/ui_file            The file that ComfyUI's editor saves, as typed values.
#   graph/ui_values          What the widgets of a saved node hold, and the definition of its class.
#   graph/ui_links           Where an input of a saved node gets its value from: links followed back to nodes that are …
#   graph/editor             Workflows as ComfyUI's editor saves them, turned into what its front end would send.
#   graph/reading            Workflows read from JSON as people paste it, unwrapped and checked.
#   graph/links              A graph's links by both their ends, each with its types: what feeds what.
#   graph/input_names        What inputs are called that hold a parameter, somebody's words, or a value for another …
#   graph/search             Follow links upstream to the widget that holds a prompt, a seed, a size or a model.
#   graph/tracing            Trace a graph back from its outputs to what made them, and read what can be set there.
#   graph/discovery          Find what can be set in a graph, and in which widgets: prompt, seed, size and so on.
#   graph/workflow           A workflow as a value that never changes: a graph, and what can be set in it by name.
#   graph/paths              What a caller may set at an input that is a path on the server.
#   graph/loras              Put LoRAs into a graph, right behind the model that its samplers use.
#   graph/facts              What a graph needs, what it makes, and what it is for.
#   graph/pruning            Make a graph do with the files that there are: renamed by the server, or never given.
#   graph/mermaid            Draw a graph as a Mermaid flowchart that Open WebUI shows in a message.
#   media/parts              Count what a picture is made of, before a library reads it.
#   media/kinds              Tell what a file is by its bytes: its type, a picture's size, whether it moves.
#   media/pictures           Make files of the chat ready for a workflow: pictures, masks, videos and sounds.
#   media/metadata           Strip files of the texts that tell how they were made, without decoding them.
#   media/delivery           Hand a finished file over as it is wanted: in which format, with or without metadata.
#   server/endpoint          The address of a ComfyUI as people write it, with the credential that belongs to it.
#   server/json_pieces       JSON that a server sent, decoded piece by piece, within bounds of depth, values and time.
#   server/protocol          What ComfyUI's answers and frames say, as values, and how they are read.
#   server/long_answers      Answers that may be long, read row by row or class by class, so that never all of one is …
#   server/record            What this process has seen of a server: its pace, its faults, its rests.
#   server/connection        The one websocket to a server, shared by all prompts in flight.
#   server/http              HTTP with one ComfyUI: its routes' answers, within bounds of time and size, and its …
#   server/client            One ComfyUI server: its HTTP routes and its websocket as methods with typed results.
#   server/cloud             Everything in which Comfy Cloud differs from a ComfyUI of one's own.
#   server/pool              The servers of an event loop: opened on demand, shared by all, closed when idle.
#   catalogue/entries        The workflows that can be asked for by name, from all the places where they may be.
#   catalogue/choosing       From what somebody wants to a workflow and model files that this server has.
#   catalogue/secret_inputs  Which inputs of a workflow hold a key, a password or the like: their values are told to …
#   catalogue/listings       Answers about what a server has: its workflows, one of them in detail, its models.
#   run/owner                Whose jobs they are, and what this process remembers of jobs.
#   run/job                  One prompt's life from post to end: a `Job`, and what each event makes of it.
#   run/fleet                Several ComfyUI servers used as one: which takes a run, and how much a user may post.
#   run/follow               Posts one prompt and follows it to its end.
#   run/inputs               Puts the files of a call into the inputs of a workflow that take files.
#   run/limits               What the administrator allows, checked on a finished graph, whoever put the number there.
#   run/sizing               In which width and height a request is made.
#   run/planning             Binds a request to its workflow: prompts, ready to post, within all ranges and limits.
#   run/collecting           Fetches what a run made, within bounds, and says what did not come.
#   run/make                 From a request to finished files: a server chosen, prompts run, what they made fetched.
#   run/earlier              Finds jobs of earlier calls on the servers, and brings what they made.
#   webui/ollama             Sends Ollama's models off a graphics card that ComfyUI shares with it.
#   webui/permission         Open WebUI's own permission to make images, for the valve that has it count here as well.
#   webui/telling            What leaves a call for the chat: how its failure is told, and what ordinary users and …
#   webui/references         Takes apart what a model writes to name files of the chat: a list, a text, an object, or …
#   webui/display            Shows a run in the message: queue position, percentage, and the picture coming up.
#   webui/messages           Which messages a chat has up to now, and which pictures, videos and sounds they hold.
#   webui/picking            Which pictures of a chat a model means by its words: "2", "the last two", "1 and 3", …
#   webui/stored_files       What Open WebUI holds of a file that was made: how a message names it, and what its …
#   webui/chat               The message that a call belongs to: how the call ends there, and the chat's files.
#   webui/valves             The valves: what the administrator and each user can set, as Open WebUI shows it.
#   webui/arguments          What a call says: its arguments as values with their names, without those that stand for …
#   webui/settings           Resolves the valves: what administrator, user and call say becomes one set of `Settings`.
#   webui/reports            What the model is told of results and servers, and the status that the user reads.
#   webui/jobs               check_job: jobs of earlier calls brought into the chat, cancelled, or told of.
#   webui/tools              The methods that a model can call, as Open WebUI offers them: the class `Tools`.
#   command_line             The command line: `generate` pictures, `convert` workflows, `install` this tool.
#   bundled                  The workflows that come with the tool, as data.

# fmt: off

import argparse
import asyncio
import base64
import codecs
import contextlib
import contextvars
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
import struct
import sys
import threading
import time
import unicodedata
import uuid
import weakref
import zlib
from collections import Counter, deque
from collections.abc import (
    AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal, NamedTuple, ParamSpec, Protocol, Self, TypeVar, cast, get_args, get_origin
from urllib.parse import quote, urlsplit

import aiohttp
from PIL import Image, ImageChops, ImageOps, ImageStat, PngImagePlugin
from pydantic import BaseModel, ConfigDict, Field, field_validator
from yarl import URL


# ======================================================================================================================
# src/comfyui_chat/bounds.py
#
# How much of what comes from outside is taken: the greatest sizes, counts and depths, in one table.
#
# Nothing outside is trusted, so everything that is read has a bound here. Each one lies well above what real servers,
# files and people send, and low enough that reaching it neither fills Open WebUI's memory nor stops its event loop.
# How long things may take stands beside the code that waits for them; only that of collecting a run's files stands here.
#
# A bound of bytes counts what comes over the network, before it is decoded.
# ======================================================================================================================


KB = 2**10
MB = 2**20

# Answers of a server. A queue of 300 whole workflows has tens of megabytes, and so have the definitions of 3,725 node
# classes. A list of 20,000 models has a few; all other answers have kilobytes.
MOST_JSON_BYTES = 64 * MB
MOST_LIST_BYTES = 16 * MB  # of names
MOST_DEFINITION_BYTES = 16 * MB  # of one node class; one that lists 20,000 models has 2 MB
MOST_SHORT_ANSWER_BYTES = 4 * MB  # of an answer to a post; a refusal may list every model
MOST_STATUS_BYTES = 256 * KB  # of what a server tells of itself
MOST_WORKFLOW_BYTES = 32 * MB  # of a workflow saved on a server; with pictures inside, some reach 10 MB
MOST_REFUSAL_BYTES = 64 * KB  # of the reason that Comfy Cloud gives for a refusal

# JSON is decoded in pieces. One call of Python's decoder holds the interpreter's lock and so stops the event loop, from
# whatever thread it is made: a piece of 64 kB costs 6 ms at most, and half a millisecond as a rule. A longer one that
# holds little but texts, such as the names of 20,000 models, costs no more.
FIRST_PIECE_BYTES = 16 * KB
MOST_PIECE_BYTES = 64 * KB
MOST_LIGHT_PIECE_BYTES = 4 * MB  # of a piece that weighs less than `MOST_PIECE_WEIGHT`
MOST_PIECE_WEIGHT = 100_000  # the number of its commas, and four times that of its brackets
MOST_TEXT_BYTES = 16 * MB  # of one text within JSON, which cannot be decoded in parts; some hold a picture
MOST_DEPTH_OF_JSON = 100  # of brackets in brackets; the deepest that ComfyUI sends has about 30
# In one value that is handed on: a list of all models in a definition, a workflow in a row of the queue.
MOST_VALUES_OF_JSON = 500_000
MOST_CONTAINERS_OF_JSON = 100_000  # lists and objects, which take most of the memory

# The websocket. A picture of 34 megapixels may come as a frame of 60 MB; a text is never longer than what a node shows.
MOST_FRAME_BYTES = 96 * MB
MOST_TEXT_FRAME_BYTES = 4 * MB
MOST_PREVIEW_BYTES = 16 * MB  # of a picture that is only shown while the run goes on
MOST_NODES_IN_FRAME = 3000  # nodes whose progress one frame tells; a graph of 1,000 nodes is a large one
MOST_WAITING_EVENTS = 500  # of one prompt that nobody has taken yet; then a look-up takes their place
MOST_FRAMES_A_SECOND = 2000  # of a server that sends more, the socket is closed; busy ones send some hundred
MOST_RUNNING_PROMPTS = 10_000  # of an account at Comfy Cloud, that are counted
MOST_SENT_BYTES = 512 * MB  # of all pictures that come as frames for one prompt

# What a run made. Beyond these bounds what came is handed over, and a note says what was left out.
MOST_FILES_OF_CALL = 100  # that are brought of one run; check_job brings as many more
MOST_FILES_OF_RUN = 1000  # that are ever brought; all others stay in ComfyUI's output folder
MOST_COLLECTING_SECONDS = 900.0
MOST_NAMES_IN_NOTE = 5  # files that a note names

# What is read of a server's own lists; the rest is known to be there, and no more.
MOST_QUEUE_ROWS = 10_000
MOST_ROW_BYTES_KEPT = 32 * MB  # of the workflows in the queue's rows; of later rows only the ids are kept
MOST_DEVICES = 64  # that a server computes on
MOST_NOTES = 20  # on outputs that a server left out of a prompt
MOST_NAMES_IN_LIST = 60_000  # models of a kind, saved workflows
MOST_OUTPUTS_READ = 20_000  # files that one history entry or frame names
MOST_MESSAGE_CHARACTERS = 20_000  # of an error's text, or of any other that a server means for people
MOST_NAME_CHARACTERS = 1000  # of a node's id, or of a name that stands in a message

# What a process remembers of a server.
MOST_DEFINITION_BYTES_KEPT = 128 * MB  # of one that is in use
MOST_LIST_BYTES_KEPT = 64 * MB  # of its lists of names
MOST_IDLE_BYTES_KEPT = 64 * MB  # of all that are not in use
REMEMBERED_LISTS = 300  # of names: one for each folder with models, and some more
REMEMBERED_METADATA = 1000  # model files
MOST_METADATA_TEXTS = 500  # that one model file has
MOST_METADATA_BYTES = 16 * MB  # of one model file: training notes fill some of them

# Names in a workflow are compared with many patterns. Longer ones are not in use, and megabytes of one would hold the
# process up.
MOST_NODE_NAME_CHARACTERS = 250  # of a class, an input or a type
MOST_TITLE_CHARACTERS = 250  # of a node; a longer title is cut

# Arguments of a call, as a model writes them. A data URI is longer; its bound is that of the files of a call.
MOST_ARGUMENT_CHARACTERS = 200_000  # of a list or an object that is written as JSON in a text
MOST_WORD_CHARACTERS = 500  # of what has to be understood: a picture, a size, a number
MOST_ARGUMENT_ITEMS = 500  # of a list, with all that is in it
MOST_ARGUMENT_DEPTH = 5  # of lists and objects in one another

# Names of models, of which a server may list as many as `MOST_NAMES_IN_LIST`.
MOST_MATCHED_CHARACTERS = 500  # of a file and what it says of itself, that the patterns of bundled workflows see
MOST_COMPARED_CHARACTERS = 2 * MB  # of all names together that one is compared with, or of which the best is chosen
MOST_LIKENED_CHARACTERS = 60 * KB  # of all names together among which the most similar ones are looked for
MOST_FOLDERS = 200  # with models

# An address as people write it.
MOST_ADDRESS_CHARACTERS = 2000
# A key is hidden where it has so many characters; a shorter one would tear other words apart.
LEAST_KEY_CHARACTERS = 8

# Pictures, from users and from servers. Decoded, one of 50 megapixels takes 200 MB, and twice to four times as much
# while it is made another: such ones are worked on one after another.
MOST_MEGAPIXELS = 50.0  # of a picture that is decoded
MOST_SIDE = 16_384  # pixels
MOST_SMALL_MEGAPIXELS = 9.0  # of one that is worked on beside others
MOST_PICTURE_TEXT_CHARACTERS = 4_000_000  # in a picture that is converted, which keeps them
# What pictures are made of. Pillow's own chunks have 64 kB, those of other programs 8 kB and more: so many are 240 MB.
MOST_PICTURE_PARTS = 30_000  # chunks, segments, or pictures in an animation
MOST_PAGES = 1000
MOST_PICTURES_INSIDE = 64  # of an icon, which is there in some sizes
MOST_ENTRIES_IN_DIRECTORY = 1000  # of EXIF data or a TIFF; cameras write less than a hundred
MOST_STRIPS = 100_000  # that a TIFF is cut into: at most one for each row of each colour
MOST_JPEG_SCANS = 100  # programs write some ten
MOST_JPEG_TEXT_BYTES = 16 * MB  # what programs write beside the picture: colour profiles, the depth of a phone's
MOST_JPEG_EXIF_BYTES = MB  # of these; they are joined like those of a GIF
MOST_GIF_BLOCKS = 2_000_000  # of 255 bytes as a rule
MOST_GIF_TEXT_BYTES = MB  # joined block by block, in a time that grows with their square
MOST_UNCOUNTED_BYTES = 32 * MB  # of a picture whose parts are not counted
# Files whose metadata is removed.
MOST_FILE_PARTS = 500_000  # boxes, elements, pages or chunks
MOST_COMMENT_BYTES = 16 * MB  # of the comments in a sound
MOST_HEAD_BYTES = 2 * MB  # of the JSON in a model; it is read in one go


# ======================================================================================================================
# src/comfyui_chat/errors.py
#
# Every way in which a call can fail: a code, what happened, and what to do next.
#
# Whatever goes wrong with a call ends as one of these classes, and as this answer for the model; any other exception is
# a mistake in the tool and is reported as an `InternalError`.
#
#     {"status": "error", "code": "server_busy", "error": "what happened", "hint": "Try again in a minute."}
#
# No message and no hint tells where a server is: that is added with `at`, and only administrators get to know it.
#
# A code is the name of its class in snake case. Only the leaves of this tree, `WorkflowRefused` and `RunFailed` are
# raised. `StillRunning` alone is not a failure. The README's table of errors repeats the first sentences of the classes
# that are raised.
#
#     ComfyUIError
#     ├── BadArgument
#     ├── LimitExceeded
#     ├── NotPermitted
#     ├── EndpointRefused
#     ├── UnknownWorkflow
#     ├── UnknownJob
#     ├── ServerError
#     │   ├── ServerUnreachable
#     │   ├── AccessRefused
#     │   ├── ServerTooOld
#     │   ├── ServerGone
#     │   ├── UnexpectedAnswer
#     │   ├── PaymentRequired
#     │   └── ServerBusy
#     ├── WorkflowRefused
#     │   ├── NodeNotInstalled
#     │   ├── ModelNotInstalled
#     │   └── ValueOutOfRange
#     ├── RunFailed
#     │   ├── OutOfMemory
#     │   ├── NodeFailed
#     │   ├── NothingMade
#     │   ├── PictureMissed
#     │   ├── RunInterrupted
#     │   └── JobLost
#     ├── StillRunning
#     ├── StorageRefused
#     ├── TookTooLong
#     └── InternalError
# ======================================================================================================================


class ComfyUIError(Exception):
    """Something went wrong, said so that a person or a model can act on it."""

    code: ClassVar[str] = "error"
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, hint: str = "") -> None:
        """`message` says what happened, `hint` what to do next; both are plain text, and hold neither a secret nor an
        address of a server."""
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
        """The dictionary that the model receives; its `error` key marks the call as failed in the chat.

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
    """Open WebUI does not permit the user to make images, and the administrator requires that it does."""

    code = "not_permitted"
    default_hint = "Tell the user to ask an administrator."


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
    default_hint = "check_job without job_id lists the user's jobs."


class ServerError(ComfyUIError):
    """ComfyUI could not be reached or answered in a way that cannot be used."""

    code = "server_error"
    # True where a job was posted, or about to be, and the server certainly did not take it: another one may.
    untaken = False


class ServerUnreachable(ServerError):
    """No ComfyUI answers at the address."""

    code = "server_unreachable"
    default_hint = 'ComfyUI has to be started, or the valve "ComfyUI address" of this tool corrected.'

    def __init__(self, message: str, hint: str = "", refused: bool = False) -> None:
        """`refused` means that no connection could be made, so the server cannot have heard anything."""
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
    default_hint = "Try once more in a minute; if it fails again, a person has to look at ComfyUI."

    def __init__(self, message: str, hint: str = "", refused: bool = False) -> None:
        """`refused` means that no connection could be made in all that time, so the job may be run elsewhere."""
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
        """`arrived` means that the server is known to have had the job."""
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
        """The dictionary that the model receives: not a failure, but the job's id and a note that it goes on."""
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


# ======================================================================================================================
# src/comfyui_chat/logs.py
#
# The tool's logger.
#
# Open WebUI loads the tool under a new module name every time; the logger's name stays the same.
# ======================================================================================================================


log = logging.getLogger("comfyui_tool")


# ======================================================================================================================
# src/comfyui_chat/tasks.py
#
# Asyncio helpers: a bounded gather, and a clean-up that no cancellation cuts short.
#
# `gather` awaits many requests, a few at a time. `finish` brings a clean-up to its end, within a time limit, even when
# the call that it belongs to is cancelled meanwhile: Stop in Open WebUI's chat cancels the call's task. The two constants
# are time limits, in seconds, for waiting in many parts of the tool.
# ======================================================================================================================


ANSWER_SECONDS = 60.0  # for one HTTP answer; ComfyUI takes a while to validate a large prompt
CLEAN_UP_SECONDS = 3.0  # for everything that is still done after a Stop
T = TypeVar("T")


async def gather(most: int, work: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Call each function in `work` and await its result, at most `most` at a time; returns the results in order.

    The first failure, or a cancellation, cancels the rest; it is raised when they have ended.
    """
    gate = asyncio.Semaphore(most)

    async def when_free(start: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await start()

    tasks = [asyncio.create_task(when_free(start)) for start in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def finish(work: Awaitable[Any], seconds: float) -> bool:
    """Await a short clean-up to its end, for at most `seconds`, however often the caller is cancelled meanwhile.

    Returns whether it went well. A failure is logged and not raised; a cancellation of the caller is raised afterwards.
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
    return not task.cancelled() and failure is None


# ======================================================================================================================
# src/comfyui_chat/threads.py
#
# The tool's own threads: whatever blocks runs in one of these few, and never in those that Open WebUI shares.
#
#     still = await PICTURES.run(read_input, data, name)
#
# There are three sorts, so that one sort of work cannot hold up another: `FILES` reads texts and workflows, `PICTURES`
# decodes and encodes, which takes memory, and `STORAGE` waits for Open WebUI's storage, which may be a disk or a service
# far away. A user gets all but a part of the threads of a sort, whatever they ask for; what more they ask for waits
# until one of theirs is done. Whose work it is, `WORKS_FOR` tells, which a call sets at its beginning.
#
# A thread cannot be stopped. So a call that takes too long ends with `TookTooLong` while its thread goes on, and counts
# as its user's until it is done: work must be bounded by itself, by the table in bounds.py.
#
# Open WebUI loads a tool anew whenever it is saved, and may have it twice. So the threads belong to the process: they are
# kept by a name among Python's modules, where every load of this file finds them. They are started when they are needed.
# ======================================================================================================================


P = ParamSpec("P")
R = TypeVar("R")

HOME = "comfyui_tool_threads"  # the module that keeps the threads
WORKS_FOR: contextvars.ContextVar[str] = contextvars.ContextVar("works_for", default="")  # the id of a user

# How much each user may have done at the same time: a gate for each sort of threads and user. A semaphore belongs to an
# event loop, and is forgotten when nobody is behind it.
_Gates = weakref.WeakValueDictionary[tuple[str, str], asyncio.Semaphore]
_GATES: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Gates]" = weakref.WeakKeyDictionary()


def _of_process(name: str, first: R) -> R:
    """What this process keeps by a name, the same for every load of this file; `first` where there is nothing yet."""
    home = sys.modules.setdefault(HOME, ModuleType(HOME))
    kept: R = vars(home).setdefault(name, first)
    return kept


def one_at_a_time() -> contextlib.AbstractContextManager[Any]:
    """Within this only one thread of the process is at a time: for work that takes much memory. Blocks."""
    return _of_process("one_at_a_time", threading.Lock())


@dataclass(frozen=True)
class Threads:
    """Threads for one sort of work."""

    name: str
    count: int  # how many there are in this process
    most_for_one: int  # of them, for one user
    seconds: float  # that a call may take, with its wait for a thread

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function in one of the threads, with the context of the caller, and return or raise what it does.

        Raises `TookTooLong`. What was given up, or cancelled, before its turn came is not begun any more.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.seconds
        gate = self._gate(loop)
        try:
            async with asyncio.timeout_at(end):
                await gate.acquire()
        except TimeoutError:
            raise self._too_long() from None
        given_up = threading.Event()
        in_context = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)

        def work() -> R | None:
            return None if given_up.is_set() else in_context()

        def done(future: asyncio.Future[R | None]) -> None:
            gate.release()
            future.exception()  # it is known now, though nobody may wait for it any more

        future = loop.run_in_executor(self._executor(), work)
        future.add_done_callback(done)
        try:
            await asyncio.wait({future}, timeout=end - loop.time())
        finally:
            given_up.set()
        if not future.done():
            raise self._too_long()
        return cast(R, future.result())

    def _gate(self, loop: asyncio.AbstractEventLoop) -> asyncio.Semaphore:
        """The gate of the user whom this call is for."""
        gates = _GATES.setdefault(loop, weakref.WeakValueDictionary())
        key = self.name, WORKS_FOR.get()
        gate = gates.get(key)
        if gate is None:
            gate = gates[key] = asyncio.Semaphore(self.most_for_one)
        return gate

    def _executor(self) -> ThreadPoolExecutor:
        """The threads themselves."""
        name = f"{HOME}_{self.name}_{self.count}"
        return _of_process(name, ThreadPoolExecutor(self.count, name))

    def _too_long(self) -> TookTooLong:
        return TookTooLong(f"Open WebUI did not get it done within {self.seconds:g} seconds ({self.name}).")


FILES = Threads("files", count=3, most_for_one=2, seconds=60.0)
PICTURES = Threads("pictures", count=2, most_for_one=1, seconds=120.0)
STORAGE = Threads("storage", count=4, most_for_one=2, seconds=180.0)


# ======================================================================================================================
# src/comfyui_chat/bounded.py
#
# Dictionaries that do not grow without end, for all that a process remembers.
#
# Open WebUI runs for months, and what the tool learns of servers, jobs, files and chats must not fill its memory.
# ======================================================================================================================


K = TypeVar("K")
V = TypeVar("V")


class BoundedDict(dict[K, V]):
    """A dictionary that keeps its newest `most` entries, and besides them all whose value `is_needed`.

    An entry is as old as its key: setting it again makes it no newer, unless it was taken out before.
    """

    def __init__(self, most: int, is_needed: Callable[[V], bool] | None = None) -> None:
        super().__init__()
        self._most = most
        self._is_needed = is_needed

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        forget_oldest(self, self._most, self._is_needed)


def forget_oldest(entries: dict[K, V], most: int, is_needed: Callable[[V], bool] | None = None) -> None:
    """Drop all but the newest `most` entries, and none whose value `is_needed`."""
    if len(entries) <= most:
        return
    copied = entries.copy()  # in one go: other threads may set entries, too
    spare = [key for key, value in copied.items() if is_needed is None or not is_needed(value)]
    for oldest in spare[:-most]:
        entries.pop(oldest, None)


# ======================================================================================================================
# src/comfyui_chat/names.py
#
# Names of files and models, compared and looked up; names and values put into messages.
#
# People and models rarely write a name as ComfyUI lists it. `find_name` takes "detail tweaker" for
# "SDXL\Detail_Tweaker.safetensors", since both have the same `plain_name`; `closest` suggests names where there is none.
# `quoted`, `shortened`, `shown_value` and `duration` put names, values from anywhere and times into a message, and
# `file_stem` names the files that are made.
# ======================================================================================================================


# The most characters of a name that are compared, with its folder and without. Names may come in any length.
LONGEST_PATH, LONGEST_NAME = 4096, 120
# The endings of model files.
MODEL_FILE = re.compile(r"\.(safetensors|sft|ckpt|pth?|bin|gguf|onnx)$", re.IGNORECASE)


def find_name(wanted: str, choices: Sequence[str]) -> str | None:
    """The one of `choices` that `wanted` means, or None.

    That is the one that is exactly alike; else the first that differs in case, slashes or outer spaces only; else the
    first with the same `plain_name`.
    """
    if wanted in choices:
        return wanted
    wanted = wanted.strip()[-LONGEST_PATH:]
    tidy_names, plain_names = _names_to_compare(tuple(choices))
    return tidy_names.get(_tidy_name(wanted)) or plain_names.get(plain_name(wanted))


@functools.lru_cache(maxsize=4)
def _names_to_compare(choices: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """The first of `choices` for each tidy name and for each plain one. Cached, since many names may be looked up in
    one list, and a list may have tens of thousands."""
    tidy_names: dict[str, str] = {}
    plain_names: dict[str, str] = {}
    for choice in first_names(choices, MOST_COMPARED_CHARACTERS):
        end = choice[-LONGEST_PATH:]
        tidy_names.setdefault(_tidy_name(end), choice)
        plain_names.setdefault(plain_name(end), choice)
    plain_names.pop("", None)
    return tidy_names, plain_names


def _tidy_name(name: str) -> str:
    """A name without regard to case and the direction of slashes."""
    return name.replace("\\", "/").lower()


def plain_name(name: str) -> str:
    """A model's name for comparing, without folder, extension, case and punctuation.

    "SDXL/Detail_Tweaker-XL v1.safetensors" becomes "detailtweakerxlv1".
    """
    stem = MODEL_FILE.sub("", base_name(name))
    return re.sub(r"[\W_]+", "", stem.lower())


def base_name(name: str) -> str:
    """A file's name without its folder, with slashes of either direction."""
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def without_number(name: str) -> str:
    """The name of an input without the number at its end: "lora_name" for "lora_name_2"."""
    plain = name.rstrip("0123456789")
    return plain if plain == name else plain.removesuffix("_")


def simplified(name: str) -> str:
    """A name for comparing, without case, spaces and underscores; unlike `plain_name` it keeps all else."""
    return re.sub(r"[\s_]+", "", name).casefold()


def first_names(names: Iterable[str], most_characters: int) -> list[str]:
    """The first names that together are no longer than that."""
    first: list[str] = []
    characters = 0
    for name in names:
        characters += len(name)
        if characters > most_characters:
            break
        first.append(name)
    return first


def closest(wanted: str, choices: Sequence[str], count: int = 3) -> list[str]:
    """The `count` names most like the wanted one, best first; where none is alike, simply the first ones.

    A name that contains the wanted one, or is contained in it, comes before all others.
    """
    some = first_names(choices, MOST_LIKENED_CHARACTERS)
    plain_names = {choice: plain_name(choice[-LONGEST_NAME:]) for choice in some}
    plain_wanted = plain_name(wanted[-LONGEST_NAME:])
    matcher = difflib.SequenceMatcher(None, "", plain_wanted, autojunk=False)  # it learns the second text only once

    def likeness(choice: str) -> float:
        plain = plain_names[choice]
        matcher.set_seq1(plain)
        ratio = matcher.ratio()
        if plain and plain_wanted and (plain_wanted in plain or plain in plain_wanted):
            return 1.0 + ratio
        return ratio

    return sorted(plain_names, key=likeness, reverse=True)[:count]


def quoted(names: Iterable[str]) -> str:
    """Names as a list within a sentence, each in double quotes."""
    return ", ".join(f'"{name}"' for name in names)


def shortened(text: Any, length: int = 80) -> str:
    """A value as it can stand in a message: on one line, of at most `length` characters."""
    line = " ".join(str(text).split())
    if len(line) <= length:
        return line
    return line[: length - 1] + "…"


# A file is named after so many characters of the prompt at most. Its name is shorter by far, but in some scripts one
# letter takes several characters.
STEM_PROMPT = 500


def file_stem(prompt: str, seed: int | None) -> str:
    """A file name without extension: the first words of the prompt, in any script, and the seed: "a-red-fox-7"."""
    plain = unicodedata.normalize("NFC", prompt[:STEM_PROMPT])
    words = re.sub(r"[^\w]+", "-", plain).strip("-_")
    stem = words[:48].rstrip("-_") or "picture"
    if seed is None:
        return stem
    return f"{stem}-{seed}"


def shown_value(value: Any) -> str:
    """A value in a message; of a list or an object, which may be long, only that it is one."""
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Mapping):
        return "an object"
    return f'"{shortened(value)}"'


def duration(seconds: float) -> str:
    """A time span as people say it: "12 s", "3 min", "1 h 20 min"."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    hours, minutes = divmod(round(whole / 60), 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min"


# ======================================================================================================================
# src/comfyui_chat/spelling.py
#
# How people and models spell what they mean: signs of any width, quotes, JSON in a text, numbers in words.
#
# The readers of pictures, sizes, counts and lengths begin here. `plain_words` makes one spelling of many, `parsed_json`
# takes a list or an object out of a text, and `number_in_words` knows the small numbers of nine languages:
#
#     plain_words(' "１６：９" ') == "16:9"      parsed_json('["1", 2]') == ["1", 2]      number_in_words("zwei") == 2
# ======================================================================================================================


QUOTES = "\"'`´‘’“”„«»「」『』"


def plain_words(value: Any) -> str:
    """The text of a value for comparing: signs of usual width, in lower case, one space between words, no quotes around
    it. Of a very long text only the beginning."""
    text = unicodedata.normalize("NFKC", str(value)[:MOST_WORD_CHARACTERS])
    words = " ".join(text.casefold().split())
    return words.strip(QUOTES).strip()


def parsed_json(value: Any) -> Any:
    """The list or object that a text holds as JSON, also with single quotes as Python writes it; any other value as it
    is. A text beyond `MOST_ARGUMENT_CHARACTERS` is left alone."""
    if not isinstance(value, str) or len(value) > MOST_ARGUMENT_CHARACTERS:
        return value
    text = value.strip()
    if not text.startswith(("[", "{")):
        return value
    candidates = [text]
    if '"' not in text:
        candidates.append(text.replace("'", '"'))
    for candidate in candidates:
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):
            continue
    return value


# The numbers from one to ten as they are written in words.
_WORDS = {
    1: "one single un una uno une um uma ein eine einen eins 一 一つ ひとつ 하나 한 일",
    2: "two couple pair both zwei dos deux dois duas due 二 二つ ふたつ 两 兩 둘 두 이",
    3: "three drei tres trois três tre 三 三つ みっつ 셋 세 삼",
    4: "four vier cuatro quatre quatro quattro 四 四つ よっつ 넷 네 사",
    5: "five fünf cinco cinq cinque 五 五つ いつつ 다섯 오",
    6: "six sechs seis sei 六 六つ むっつ 여섯 육",
    7: "seven sieben siete sept sete sette 七 七つ ななつ 일곱 칠",
    8: "eight acht ocho huit oito otto 八 八つ やっつ 여덟 팔",
    9: "nine neun nueve neuf nove 九 九つ ここのつ 아홉 구",
    10: "ten zehn diez dix dez dieci 十 とお 열 십",
    12: "dozen",
}
NUMBER_WORDS = {word: number for number, words in _WORDS.items() for word in words.split()}
DIGITS = re.compile(r"\d{1,9}")


def number_in_words(word: str) -> int | None:
    """The whole number that a word is, in digits or one of nine languages; None for any other. The word comes out of
    `plain_words`."""
    if DIGITS.fullmatch(word):
        return int(word)
    return NUMBER_WORDS.get(word)


# ======================================================================================================================
# src/comfyui_chat/values.py
#
# Values that somebody asks for: whether one was given, and what is meant by it.
#
# Open WebUI passes on a model's arguments unchecked, and valves hold whatever was typed, so values come in any type and
# spelling. `is_given` tells whether one is meant at all. An `Argument` is a value together with who asked for it, so that
# an error can name the argument or valve. `as_text`, `words_of` and `as_yes` read what may be given for a text and a
# switch; sizes, counts and lengths have modules of their own. What depends on a workflow's own ranges and choices is made
# to fit later, in graph/fitting.
#
# The functions at the end read JSON values of files and answers: `text_of`, `list_of` and `object_of` where anything may
# stand, `is_number` and those after it as ComfyUI understands numbers.
# ======================================================================================================================


# What models write when they mean to leave an argument out.
NOT_GIVEN = ("", "auto", "default", "none", "null")
ALSO_NOT_GIVEN = frozenset(
    {"undefined", "n/a", "unspecified", "not specified", "not given", "optional", "unset", "nil"}
)


def is_given(name: str, value: Any) -> bool:
    """Whether a value was given for the argument `name`, and not something that stands for leaving it out.

    None, false, an empty list or object and the texts in `NOT_GIVEN` stand for leaving it out. A negative prompt is
    only left out when it is empty: "none" may be meant.
    """
    if value is None or value is False or value == [] or value == {}:
        return False
    if not isinstance(value, str):
        return True
    word = value.strip().lower()
    if name == "negative_prompt":
        return word != ""
    return word not in NOT_GIVEN and word not in ALSO_NOT_GIVEN


@dataclass(frozen=True)
class Argument:
    """A value that somebody asked for, and who it was."""

    value: Any
    name: str  # in messages: "The argument size"
    level: int = 0  # 0 an argument of the call, 1 a valve of the user, 2 a valve of the administrator


def as_text(wanted: Argument) -> str:
    """A text; a list of texts is joined by commas. Raises `BadArgument` for anything else."""
    value = wanted.value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if not isinstance(value, str):
        raise BadArgument(f"{wanted.name} is not a text: {shortened(value)}.", "Give a text.")
    return value


def words_of(value: Any, name: str) -> str:
    """The text of an argument, or "" where none was given. Raises `BadArgument` for what is not a text."""
    if not is_given(name, value):
        return ""
    return as_text(Argument(value, f"The argument {name}"))


# What a switch may be written as, in lower case.
SWITCH_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def as_yes(value: Any, name: str) -> bool:
    """A switch, also one written as a word; one that is not given is off. Raises `BadArgument`."""
    word = str(value).strip().lower()
    if word in NOT_GIVEN:
        return False
    if word in SWITCH_WORDS:
        return SWITCH_WORDS[word]
    raise BadArgument(f"The argument {name} is {shortened(value)}.", "Give true or false.")


# JSON values of files and answers, which may hold anything in each other's place.


def text_of(value: Any, default: str = "") -> str:
    """A text; `default` for anything else, and for an empty text."""
    return value if isinstance(value, str) and value else default


def list_of(value: Any) -> list[Any]:
    """A list; an empty one for anything else."""
    return value if isinstance(value, list) else []


def object_of(value: Any) -> Mapping[str, Any]:
    """A JSON object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def is_number(value: Any) -> bool:
    """Whether a value is a number; true and false are not, although Python takes them for 1 and 0."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def as_number(value: Any) -> float | None:
    """The finite number that a value is to ComfyUI, which also takes the text "7" for one; None for all else.

    A whole number in a text becomes an `int`: as a `float`, a seed of 64 bits would lose its last digits.
    """
    if isinstance(value, str):
        text = value.strip()
        read = int if re.fullmatch(r"[+-]?\d+", text) else float
        try:
            value = read(text)
        except ValueError:
            return None
    if not is_number(value) or not abs(value) <= sys.float_info.max:  # "not <=", since NaN is not
        return None
    number: float = value
    return number


def same_value(one: Any, other: Any) -> bool:
    """Whether two values are the same to ComfyUI: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    return bool(one == other)


def share(value: Any, part: float) -> Any:
    """A share of a number of steps, such as 0.5 of 20, and at least 1; what is not a number stays as it is."""
    if part == 1.0 or not is_number(value):
        return value
    return max(1, round(value * part))


def clamp(value: float, low: float, high: float) -> float:
    """The nearest value from `low` to `high`."""
    return min(max(value, low), high)


# ======================================================================================================================
# src/comfyui_chat/sizes.py
#
# What people and models write for a size: pixels, proportions, megapixels, a screen's name, a word for a format.
#
# `read_size` makes an `AskedSize` of an argument, which says only what was said. What is left open is settled where the
# workflow and its picture are known (run/sizing.py):
#
#     "1216x832", [1216, 832], {"width": 1216, "height": 832}, "1216,832"     pixels
#     "16:9", "16対9", "wide", "portrait", "Hochformat", "横長"                 proportions
#     "2 megapixels", "16:9 2MP"                                              so many millions of pixels
#     "1080p", "HD", "4k", "720p portrait"                                    pixels of a screen, `named`
#
# Words for formats are understood in English, German, French, Spanish, Portuguese, Italian, Japanese, Korean and Chinese.
# ======================================================================================================================


@dataclass(frozen=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def megapixels(self) -> float:
        """The area in millions of pixels."""
        return self.width * self.height / 1e6

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


Ratio = tuple[float, float]  # across, down


@dataclass(frozen=True)
class AskedSize:
    """A size as it was asked for; None stands for what was not said."""

    pixels: Size | None = None
    ratio: Ratio | None = None
    megapixels: float | None = None
    named: bool = False  # whether the pixels are those of a screen, such as "1080p", and not to be met exactly


SMALLEST_SIDE = 64  # in pixels; two smaller numbers are an aspect ratio, as in "16x9"
WIDEST_RATIO = 8.0  # of an aspect ratio, across to down or down to across
LARGEST_MEGAPIXELS = 1000.0  # that are understood; an administrator allows far fewer

# The pixels of screens by their names; a number before "p" is that of their lines.
SCREENS = {
    "full hd": Size(1920, 1080),
    "fullhd": Size(1920, 1080),
    "fhd": Size(1920, 1080),
    "ultra hd": Size(3840, 2160),
    "uhd": Size(3840, 2160),
    "qhd": Size(2560, 1440),
    "hd": Size(1280, 720),
    "xga": Size(1024, 768),
    "vga": Size(640, 480),
    "8k": Size(7680, 4320),
    "4k": Size(3840, 2160),
    "2k": Size(2560, 1440),
    "1k": Size(1024, 1024),
}
LINES = {240: 426, 360: 640, 480: 854, 540: 960, 576: 1024, 720: 1280, 1080: 1920, 1440: 2560, 2160: 3840, 4320: 7680}

# Words for formats, and the proportions that they mean.
SQUARE, LANDSCAPE, PORTRAIT, WIDE, TALL = (1.0, 1.0), (3.0, 2.0), (2.0, 3.0), (16.0, 9.0), (9.0, 16.0)
_FORMATS: tuple[tuple[Ratio, str], ...] = (
    (
        SQUARE,
        "square squared quadrat quadratisch quadratisches carré carrée carre cuadrado cuadrada quadrado quadrada "
        "quadrato quadrata 正方形 方形 スクエア 四角 정사각형 정방형 스퀘어",
    ),
    (
        PORTRAIT,
        "portrait vertical upright hochformat hochkant retrato verticale ritratto 縦長 縦向き 縦 "
        "ポートレート 세로형 세로 竖版 竖屏 竖向 竖 纵向 縱向 直式 直向",
    ),
    (
        LANDSCAPE,
        "landscape horizontal querformat quer paysage horizontale paisaje apaisado apaisada paisagem paesaggio "
        "orizzontale 横長 横向き 横向 横 橫向 橫式 ランドスケープ 가로형 가로 横版 横屏",
    ),
    (
        WIDE,
        "wide widescreen breitbild panorámico panorámica panorâmico panoramico panoramique "
        "ワイド 와이드 宽屏 寬屏 宽银幕",
    ),
    (TALL, "tall story phone smartphone handy"),
    ((21.0, 9.0), "ultrawide cinematic"),
)
FORMATS = {word: ratio for ratio, words in _FORMATS for word in words.split()}

# What may stand beside them and says nothing.
_FILLERS = (
    "format size resolution aspect ratio mode orientation image picture video px pixel pixels in im a an the of about "
    "at formato formati größe auflösung seitenverhältnis en au le de résolution taille tamaño tamanho proporción "
    "proporção proporzioni relación rapporto com con mit und and with or "
    "比率 比 の で サイズ 画像 해상도 비율 이미지 尺寸 比例 画面 图片"
)
FILLERS = frozenset(_FILLERS.split())

# The parts of a text that say a size, each by the name of its group.
NUMBER = r"\d{1,6}(?:\.\d{1,6})?"
WIDTH = r"(?:width|breite|ancho|largeur|largura|larghezza|wide|w|幅|宽|寬|너비|가로)"
HEIGHT = r"(?:height|höhe|alto|altura|hauteur|altezza|high|tall|h|高さ|高|높이|세로)"
BETWEEN_SIDES = r"(?:x|×|✕|✖|\*|,|;|by|auf|por|par|per| )"
BETWEEN_RATIO = r"(?:∶|:|/|to|zu|対|比|대)"  # between two numbers that are proportions whatever they are
_SCREENS = "|".join(sorted(SCREENS, key=len, reverse=True))
_UNSPACED = "|".join(sorted((word for word in {*FORMATS, *FILLERS} if not word.isascii()), key=len, reverse=True))
PART = re.compile(
    rf"(?P<megapixels>\d{{1,6}}(?:[.,]\d{{1,6}})?) ?(?:mega ?pixels?|megapíxel(?:es)?|mégapixels?|mpx?|メガピクセル"
    rf"|메가픽셀|百万像素)(?![a-z])"
    rf"|(?P<lines>\d{{3,4}}) ?p(?![a-z])"
    rf"|(?P<screen>{_SCREENS})(?![a-z0-9])"
    rf"|{WIDTH} ?[:=]? ?(?P<width>{NUMBER}),? ?{HEIGHT} ?[:=]? ?(?P<height>{NUMBER})"
    rf"|(?P<wide>{NUMBER}) ?{WIDTH},? ?(?P<high>{NUMBER}) ?{HEIGHT}(?![a-z])"
    rf"|(?P<much>{NUMBER}) ?{BETWEEN_RATIO} ?(?P<to>{NUMBER})"
    rf"|(?P<across>{NUMBER}) ?(?:px)? ?{BETWEEN_SIDES} ?(?P<down>{NUMBER})"
    rf"|(?P<number>{NUMBER})"
    rf"|(?P<word>{_UNSPACED}|[^\W\d_]+)"
    r"|(?P<nothing>[\s,;().]+)"
    r"|(?P<strange>.)"
)


def read_size(wanted: Argument | None) -> AskedSize:
    """What somebody means by a size; nothing at all for None and "auto".

    Raises `BadArgument` for what is not a size, and for proportions beyond `WIDEST_RATIO`.
    """
    if wanted is None:
        return AskedSize()
    text = plain_words(_as_one_text(wanted, parsed_json(wanted.value)))
    if text in NOT_GIVEN:
        return AskedSize()
    asked = _read_text(text)
    if asked is None:
        raise _no_size(wanted)
    if asked.ratio and not 1 / WIDEST_RATIO <= asked.ratio[0] / asked.ratio[1] <= WIDEST_RATIO:
        raise BadArgument(f'{wanted.name} is "{shortened(wanted.value)}".', "Give an aspect ratio between 1:8 and 8:1.")
    return asked


def says_pixels(value: Any) -> bool:
    """Whether a value says how many pixels something is to have, and not only its proportions."""
    try:
        asked = read_size(Argument(value, ""))
    except BadArgument:
        return False
    return asked.pixels is not None or asked.megapixels is not None


def _no_size(wanted: Argument) -> BadArgument:
    return BadArgument(
        f'{wanted.name} is "{shortened(wanted.value)}", which is not a size.',
        'Give an aspect ratio such as "16:9", or width and height in pixels such as "1216x832".',
    )


# The keys under which an object says a size, or parts of it.
SIDE_KEYS = (("width", "w"), ("height", "h"))
OTHER_KEYS = ("size", "resolution", "aspect_ratio", "aspectratio", "ratio", "orientation", "format")


def _as_one_text(wanted: Argument, value: Any) -> str:
    """A size in any shape as one text: [1024, 768] and {"width": 1024, "height": 768} as "1024 x 768". Raises
    `BadArgument`."""
    joint = " "
    parts: list[Any] = [value]
    if isinstance(value, list):
        parts = value
        joint = " " if any(isinstance(part, str) and not part.strip().isdigit() for part in value) else " x "
    elif isinstance(value, Mapping):
        keys = {str(key).lower(): part for key, part in value.items() if part}
        parts = [keys[key] for names in SIDE_KEYS for key in names if key in keys]
        joint = " x "
        if not parts:
            joint = " "
            parts = [keys[key] for key in OTHER_KEYS if key in keys]
            parts += [f"{part} mp" for key, part in keys.items() if key == "megapixels"]
        elif len(parts) != 2:
            parts = []
    if not 1 <= len(parts) <= 3 or not all(map(_is_written, parts)):
        raise _no_size(wanted)
    return joint.join(map(_written, parts))


def _is_written(value: Any) -> bool:
    """Whether a value is a text or a number."""
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _written(value: Any) -> str:
    """A text, or a number as it is written: of 1024.0 it is "1024"."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)[:MOST_WORD_CHARACTERS]


# The groups of `PART` that hold the second of two numbers, each with that of the first.
PAIRS = {"height": "width", "high": "wide", "down": "across"}


@dataclass
class _Said:
    """The parts of a size that a text says, as far as it was read."""

    pixels: set[Size] = field(default_factory=set)
    ratios: set[Ratio] = field(default_factory=set)
    formats: set[Ratio] = field(default_factory=set)  # of words
    megapixels: set[float] = field(default_factory=set)
    screens: set[Size] = field(default_factory=set)


def _read_text(text: str) -> AskedSize | None:
    """What one text in `plain_words` says, or None where some of it is not understood or two parts disagree."""
    said = _Said()
    for part in PART.finditer(text):
        kind = str(part.lastgroup)
        if kind in PAIRS:
            understood = _take_pair(said, float(part[PAIRS[kind]]), float(part[kind]))
        elif kind == "to":
            said.ratios.add((float(part["much"]), float(part["to"])))
            understood = all(map(all, said.ratios))
        elif kind == "number":
            understood = _take_number(said, float(part["number"]))
        elif kind == "word":
            understood = _take_word(said, part["word"])
        elif kind == "megapixels":
            millions = float(part["megapixels"].replace(",", "."))
            said.megapixels.add(millions)
            understood = 0 < millions <= LARGEST_MEGAPIXELS
        elif kind == "lines":
            lines = int(part["lines"])
            said.screens.add(Size(LINES.get(lines, round(lines * 16 / 18) * 2), lines))
            understood = lines >= SMALLEST_SIDE
        elif kind == "screen":
            said.screens.add(SCREENS[part["screen"]])
            understood = True
        else:
            understood = kind == "nothing"
        if not understood:
            return None
    return _settled(said)


def _take_pair(said: _Said, across: float, down: float) -> bool:
    """Take in two numbers: pixels if one is large enough for it, else proportions. Returns whether they are either."""
    if max(across, down) >= SMALLEST_SIDE and across.is_integer() and down.is_integer() and across and down:
        said.pixels.add(Size(int(across), int(down)))
        return True
    said.ratios.add((across, down))
    return bool(across and down)


def _take_number(said: _Said, number: float) -> bool:
    """Take in a number alone: the side of a square, or proportions such as 1.78."""
    if number.is_integer():
        said.pixels.add(Size(int(number), int(number)))
        return number >= SMALLEST_SIDE
    said.ratios.add((number, 1.0))
    return bool(number)


def _take_word(said: _Said, word: str) -> bool:
    """Take in a word for a format; one that says nothing is passed over."""
    if word in FORMATS:
        said.formats.add(FORMATS[word])
        return True
    return word in FILLERS


def _settled(said: _Said) -> AskedSize | None:
    """What the parts of a text say together; None where two disagree, or nothing is said."""
    parts = (said.pixels, said.ratios, said.formats, said.megapixels, said.screens)
    if any(len(part) > 1 for part in parts):
        return None
    pixels, screen = _only(said.pixels), _only(said.screens)
    ratio, form, megapixels = _only(said.ratios), _only(said.formats), _only(said.megapixels)
    if ratio and form and _leans(*ratio) != _leans(*form):
        return None
    ratio = ratio or form
    if pixels is None and screen is None:
        return AskedSize(None, ratio, megapixels) if ratio or megapixels else None
    if pixels is None and screen:
        asked = AskedSize(_screen_in(screen, ratio)) if ratio else AskedSize(screen, named=True)
        return None if megapixels else asked
    return _agreed(pixels, screen, ratio, megapixels)


def _agreed(
    pixels: Size | None, screen: Size | None, ratio: Ratio | None, megapixels: float | None
) -> AskedSize | None:
    """The pixels that are said, where whatever else is said agrees with them: "4k (3840x2160)"; else None."""
    if pixels is None:
        return None
    if ratio and _leans(*ratio) != _leans(pixels.width, pixels.height):
        return None
    if screen and {screen.width, screen.height} != {pixels.width, pixels.height}:
        return None
    if megapixels and not 0.8 <= pixels.megapixels / megapixels <= 1.25:
        return None
    return AskedSize(pixels)


Only = TypeVar("Only")


def _only(values: set[Only]) -> Only | None:
    """The one value that there is, or None."""
    return next(iter(values), None)


def _leans(across: float, down: float) -> int:
    """1 for what is wide, -1 for what is high, 0 for a square."""
    return (across > down) - (across < down)


def _screen_in(screen: Size, ratio: Ratio) -> Size:
    """A screen's pixels in other proportions: its shorter side stays, so that "1080p portrait" is 1080x1920."""
    across, down = ratio
    if ratio in (PORTRAIT, TALL):
        return Size(screen.height, screen.width)
    if ratio in (LANDSCAPE, WIDE):
        return screen
    if across >= down:
        return Size(round(screen.height * across / down), screen.height)
    return Size(screen.height, round(screen.height * down / across))


# ======================================================================================================================
# src/comfyui_chat/counts.py
#
# Numbers as people and models write them, and those that stand for leaving an argument out.
#
# `read_number` takes a number with its unit or its name around it, or in words of nine languages; graph/fitting reads
# every number with it. `read_strength` knows also how strongly in words:
#
#     read_number("20 steps") == 20     read_number("4x") == 4     read_number("zwei Bilder") == 2
#     read_strength("50 %") == 0.5      read_strength("low") == 0.3
#
# A model that has nothing to say of a number often gives 0 or -1: `says_no_number` tells. A seed may be left open
# (`says_random`), or be that of the result before (`says_same_seed`).
# ======================================================================================================================


# A number among words. A comma with one or two digits behind it is a decimal one; "1,000" may mean a thousand.
AMOUNT = re.compile(r"(?<![\d.,])[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:,\d+)?(?:e[+-]?\d+)?")
DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d{1,2})")
# Units that make another number of it; nobody knows whether "5m" means minutes, metres or millions.
OTHER_UNITS = re.compile(
    r"(?<![a-z])(?:k|m|mio|million|thousand|ms|min|mins|minutes?|minuten|h|hours?|or|to|bis)(?![a-z])"
)
PERCENT = re.compile(r"%|percent|prozent|por ?ciento|pour ?cent|per ?cento|por ?cento|パーセント|퍼센트|百分之")
FACTORS = {"half": 0.5, "halb": 0.5, "double": 2, "twice": 2, "doppelt": 2, "triple": 3, "thrice": 3, "quadruple": 4}
SIGNS = re.compile(r"[\s:=×*~≈%#().,;!张張枚个個幅步장개단-]+|(?<![a-z])x(?![a-z])")


def read_number(value: Any) -> float | None:
    """The finite number that a value means, or None: a number, or a text with just one in it, in digits or words."""
    number = as_number(value)
    if number is not None or not isinstance(value, str) or len(value) > MOST_WORD_CHARACTERS:
        return number
    text = plain_words(value)
    amounts = AMOUNT.findall(text)
    if OTHER_UNITS.search(text) or len(amounts) > 1:
        return None
    if not amounts:
        return _said_in_words(text)
    written = DECIMAL_COMMA.fullmatch(amounts[0])
    digits = f"{written[1]}.{written[2]}" if written else amounts[0]
    rest = text.replace(amounts[0], " ")
    number = as_number(digits)
    if number is None or any(map(str.isdigit, rest)):
        return None
    return number / 100 if PERCENT.search(rest) else number


def _said_in_words(text: str) -> float | None:
    """The number that a text without digits has among its words: of "two pictures" and "a couple of them" it is 2."""
    words = [word for word in SIGNS.split(text) if word]
    factors = [FACTORS[word] for word in words if word in FACTORS]
    numbers = [NUMBER_WORDS[word] for word in words if word in NUMBER_WORDS]
    found = {*factors, *numbers} - ({1} if len({*factors, *numbers}) > 1 else set())
    return found.pop() if len(found) == 1 else None


# How strongly a picture is painted anew, 0 to 1, in words.
_STRENGTHS = (
    (0.2, "subtle subtly slight slightly little minimal leicht minimal sutil légère legger"),
    (0.3, "low weak weakly light faible bajo baja baixo baixa basso bassa schwach niedrig gering 低 弱 낮음 약하게"),
    (0.5, "medium mid moderate moderately mittel medio media moyen moyenne médio média 中 중간"),
    (0.8, "high strong strongly stark hoch alto alta fort forte élevé fuerte 高 強 强 높음 강하게"),
    (0.9, "very completely extreme heavy heavily max maximum full voll 最大 최대"),
)
STRENGTH_WORDS = {word: strength for strength, words in _STRENGTHS for word in words.split()}
PERCENT_FROM = 5.0  # a strength of so much and more is meant in percent, since it goes from 0 to 1


def read_strength(value: Any) -> float | None:
    """The strength that a value means, from 0 to 1, or None. A number from `PERCENT_FROM` on is in percent."""
    number = read_number(value)
    if number is None and isinstance(value, str):
        words = [word for word in SIGNS.split(plain_words(value)) if word in STRENGTH_WORDS]
        number = max((STRENGTH_WORDS[word] for word in words), default=None)
    if number is not None and PERCENT_FROM <= number <= 100:
        return number / 100
    return number


# What says nothing.

_ABOVE_ZERO = "steps count batch_size scale strength denoise guidance width height length seconds fps"
ABOVE_ZERO = frozenset(_ABOVE_ZERO.split())
_RANDOM = (
    "random randomize new different any zufällig zufall aleatorio aleatoria aléatoire aleatório casuale "
    "ランダム 랜덤 무작위 随机 隨機"
)
_SAME = (
    "last same previous prev before again gleich gleiche gleicher derselbe letzte letzter vorige mismo misma último "
    "última anterior même dernier dernière précédent mesmo mesma stesso stessa ultimo precedente 同じ 前回 前と同じ "
    "같은 이전 相同 一样 一樣 上次"
)
RANDOM, SAME = frozenset(_RANDOM.split()), frozenset(_SAME.split())


def says_no_number(name: str, value: Any) -> bool:
    """Whether a value stands for leaving out an argument that has to be above 0: steps, count, scale, strength..."""
    number = read_number(value)
    return name in ABOVE_ZERO and number is not None and number <= 0


def says_random(value: Any) -> bool:
    """Whether a seed is left to chance: "random", or any number below 0."""
    if isinstance(value, str) and not RANDOM.isdisjoint(SIGNS.split(plain_words(value))):
        return True
    number = read_number(value)
    return number is not None and number < 0


def says_same_seed(value: Any) -> bool:
    """Whether a seed is to be that of the result before: "last", "the same"."""
    return isinstance(value, str) and not SAME.isdisjoint(SIGNS.split(plain_words(value)))


# ======================================================================================================================
# src/comfyui_chat/graph/__init__.py
#
# A workflow as a pure value: read, converted, its parameters found and set.
#
# Nothing on this floor does I/O, reads a clock, or is random other than by a `random.Random` that it is given. A graph
# is never changed in place: setting something in it gives a new one.
#
# `definitions` says what each node class takes, `link_types` what the types of its links mean, `nodes` what a graph in
# ComfyUI's API format looks like. `prompts` and `fitting` treat single values: texts as ComfyUI's page sends them, and
# what somebody asks for as a node takes it.
#
# `editor` turns a workflow as ComfyUI saves it into a graph, with `ui_file`, `ui_values` and `ui_links`; `reading` gets
# either of them out of JSON. `links` is the one index of a graph's links. Along it `search` and `tracing` follow inputs
# back, `discovery` finds what can be set (prompt, seed, size, ...), and `workflow` holds the graph with these
# parameters and sets them. `paths` keeps what a caller sets inside ComfyUI's folders. `loras`, `facts`, `pruning` and
# `mermaid` use the same index: to insert LoRAs, to tell what a graph needs and makes, to cut out what got no file, and
# to draw it.
# ======================================================================================================================


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/definitions.py
#
# What each class of nodes takes and makes, read from ComfyUI's `/object_info`.
#
# `NodeDefinition.parse` reads one entry of the answer, and leaves out what is not of a known shape. No other module knows
# these shapes:
#
#     "KSampler": {"input": {"required": {"model": ["MODEL", {}],
#                                         "steps": ["INT", {"default": 20, "min": 1, "max": 10000}],
#                                         "sampler_name": [["euler", "dpm_2"], {}]}},
#                  "input_order": {"required": ["model", "steps", "sampler_name"]},
#                  "display_name": "KSampler", "output": ["LATENT"], "output_node": false}
#
# Every input becomes an `InputSpec`: what the server accepts there. One that shows a value on ComfyUI's page becomes a
# `Widget` as well, which tells which of a saved node's `widgets_values` belong to it; only graph/ui_values needs that.
#
# Inputs of two types stand for others. Each choice of a dynamic combo brings inputs of its own: where "format" is "mp4"
# there is "format.codec". An autogrow input opens a group of inputs of one kind: "images.image0", "images.image1".
#
# The shapes are those of ComfyUI 0.3.64 and 0.33.0, the slots of widgets those of its front ends 1.27.10 and 1.49.6.
# "Golden files" marks what is known only from the prompts that these made of 338 official templates.
# ----------------------------------------------------------------------------------------------------------------------


def last_part(name: str) -> str:
    """The name of an input without that of the group that it is in: "width" of "resize_type.width"."""
    return name.rsplit(".", 1)[-1]


@dataclass(frozen=True)
class InputSpec:
    """What a node accepts at one input; `type` is ComfyUI's: INT, FLOAT, STRING, BOOLEAN, COMBO, MODEL, ..."""

    type: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[Any, ...] = ()  # of a combo; nearly always texts
    default: Any = None
    required: bool = True
    file: str = ""  # the kind of file that it names: "image", "video" or "audio"; "" when it names none
    options: Mapping[str, Mapping[str, "InputSpec"]] = field(default_factory=dict)  # of a dynamic combo, by choice
    least: int = 0  # minimum number of inputs in the group that an autogrow input opens

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The choices that are texts: names of files, mostly."""
        return tuple(choice for choice in self.choices if isinstance(choice, str))

    @classmethod
    def parse(cls, kind: Any, options: Mapping[str, Any], required: bool = True) -> "InputSpec":
        """Read what `/object_info` lists for an input: its type and its options."""
        branches = {choice: parse_inputs(inputs) for choice, inputs in combo_branches(kind, options).items()}
        choices = list(branches) or combo_choices(kind, options)
        first_choice = next(iter(choices), None)
        numbers = {key: options[key] for key in ("min", "max", "step") if is_number(options.get(key))}
        return cls(
            type="COMBO" if isinstance(kind, list) else str(kind),
            minimum=numbers.get("min"),
            maximum=numbers.get("max"),
            step=numbers.get("step"),
            choices=tuple(choices),
            default=options.get("default", first_choice),
            required=required,
            file=uploaded_kind(options),
            options=branches,
            least=autogrow_least(kind, options),
        )


@dataclass(frozen=True)
class NodeDefinition:
    """A class of nodes as the server describes it."""

    class_type: str
    inputs: Mapping[str, InputSpec]
    title: str = ""  # the name that ComfyUI's page shows for it
    outputs: tuple[str, ...] = ()  # their types
    is_output: bool = False  # runs for its own sake: saves or shows something
    widgets: tuple["Widget", ...] = ()  # in the order of their slots, for graph/ui_values

    @classmethod
    def parse(cls, class_type: str, raw: Mapping[str, Any]) -> "NodeDefinition":
        """Read one entry of `/object_info`."""
        return cls(
            class_type=class_type,
            inputs=parse_inputs(raw.get("input")),
            title=str(raw.get("display_name") or class_type),
            outputs=tuple(str(kind) for kind in list_of(raw.get("output"))),
            is_output=bool(raw.get("output_node")),
            widgets=parse_widgets(raw.get("input"), raw.get("input_order")),
        )

    def spec(self, name: str, held: Mapping[str, Any]) -> InputSpec | None:
        """What an input accepts; None when the class has none of that name.

        "format.codec" is the input "codec" that the choice of the dynamic combo "format" brings; `held` is what the
        node's inputs hold, and so tells the choice.
        """
        *outer, last = name.split(".")
        specs = self.inputs
        path = ""
        for part in outer:
            combo = specs.get(part)
            if combo is None:
                return self.inputs.get(name)
            path += part
            choice = str(held.get(path))
            specs = combo.options.get(choice, {})
            path += "."
        return specs.get(last)


Definitions = Mapping[str, NodeDefinition]  # by class_type


# What a definition has under `input`. `InputSpec.parse` and `parse_widgets` both read it with these functions, and both
# call themselves for the inputs that a dynamic combo brings.


def input_sections(sections: Any) -> Iterator[tuple[str, str, Any, Mapping[str, Any]]]:
    """(section, name, type, options) of every input that a definition has under `input`.

    Hidden inputs, which the server fills itself, are left out, and so is what is not of a known shape.
    """
    for section in ("required", "optional"):
        specs = object_of(object_of(sections).get(section))
        for name, spec in specs.items():
            if not isinstance(spec, list) or not spec:
                continue
            options = spec[1] if len(spec) > 1 else None
            yield section, name, spec[0], object_of(options)


def parse_inputs(sections: Any) -> dict[str, InputSpec]:
    """The inputs that a definition has under `input`, by name."""
    specs: dict[str, InputSpec] = {}
    for section, name, kind, options in input_sections(sections):
        specs[name] = InputSpec.parse(kind, options, section == "required")
    return specs


def uploaded_kind(options: Mapping[str, Any]) -> str:
    """The kind of file that people upload for an input: "image", "video" or "audio"; "" for other inputs."""
    for media in ("image", "video", "audio"):
        if options.get(f"{media}_upload"):
            return media
    return ""


def combo_choices(kind: Any, options: Mapping[str, Any]) -> list[Any]:
    """What a combo offers, in both its shapes: ["COMBO", {"options": ["a", "b"]}] and the older [["a", "b"], {}]. Of
    more than `MOST_NAMES_IN_LIST` the first."""
    choices = options.get("options") if kind == "COMBO" else kind
    return list_of(choices)[:MOST_NAMES_IN_LIST]


DYNAMIC_COMBO, AUTOGROW = "COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3"


def combo_branches(kind: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The choices of a dynamic combo, each with the sections of inputs that it brings; nothing for other types.

    ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "mp4", "inputs": {"required": {"codec": [...]}}}, ...]}]
    """
    if kind != DYNAMIC_COMBO:
        return {}
    entries = [entry for entry in list_of(options.get("options")) if isinstance(entry, Mapping)]
    return {str(entry.get("key")): entry.get("inputs") for entry in entries}


def autogrow_least(kind: Any, options: Mapping[str, Any]) -> int:
    """The minimum number of inputs in the group that an autogrow input opens; 0 for other types.

    ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 1}}]
    """
    template = object_of(options.get("template"))
    least = template.get("min")
    required = object_of(template.get("input")).get("required")
    if kind != AUTOGROW or not required or not isinstance(least, int):
        return 0
    return least


# Widgets, in the order of their slots. A saved node lists its values by position alone, and the page puts slots of its
# own between them: a rule that is missing here shifts every value that follows.


@dataclass(frozen=True)
class Widget:
    """An input that shows a value on ComfyUI's page, and the slots that it takes in a node's `widgets_values`.

    A KSampler saves [7, "randomize", 20, 8.0, "euler", "simple", 1.0]. The slot after the seed, "randomize", exists on
    the page only.
    """

    name: str  # "" for slots after the required inputs that belong to no input
    default: Any = None  # where the file holds no value
    page_slots: int = 0  # how many slots after it exist on the page only: buttons, control_after_generate
    may_lack_slots: bool = False  # those slots are there only where they hold what such a control can hold
    options: Mapping[str, tuple["Widget", ...]] | None = None  # of a dynamic combo: the widgets that each choice brings
    group: "Widget | None" = None  # of an autogrow input: the widget of each input in its group
    dynamic_prompts: bool = False  # a text that goes through `dynamic_prompt` before every run
    ignores_saved: bool = False  # the default is sent, whatever the file holds
    drawn: bool = False  # a picture that the page draws when it sends, and only there


# Integers of these names have a slot for control_after_generate after them, unless their options set that to false.
SEED_INPUTS = ("seed", "noise_seed")
# Types that always have a widget, with its first value.
PLAIN_WIDGETS: Mapping[str, Any] = {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}
# Types of widgets that only the front end knows, with what it sends where the file holds nothing.
FRONT_END_WIDGETS: Mapping[str, Any] = {
    "AUDIO_RECORD": "",
    "AUDIO_UI": "",
    "BOUNDING_BOX": {"x": 0, "y": 0, "width": 512, "height": 512},
    "BOUNDING_BOXES": [],
    "COLOR": "#000000",
    "COLORS": [],
    "COMPOSITOR": {},
    "CURVE": {"points": [[0, 0], [1, 1]], "interpolation": "monotone_cubic"},
    "IMAGECOMPARE": ["", ""],  # two pictures that do not exist yet, whatever was saved (golden files)
    "LOAD_3D": "",
    "LOAD_3D_ANIMATION": "",
    "MARKDOWN": "",
    "PREVIEW_3D": "",
    "WEBCAM": "",
}
# How deep dynamic combos, and in graph/editor subgraphs, may be nested; people nest subgraphs three deep.
MAX_DEPTH = 32


def parse_widgets(sections: Any, order: Any = None, depth: int = 0) -> tuple[Widget, ...]:
    """The widgets of what a definition has under `input`, in the order in which the front end makes them.

    `order` is the definition's `input_order`, where the server gives one: not every program keeps the order of JSON
    objects. `depth` counts the dynamic combos around these inputs.
    """
    if depth > MAX_DEPTH:
        return ()
    inputs = list(input_sections(sections))
    widgets: list[Widget] = []
    for section in ("required", "optional"):
        specs = {name: (kind, options) for where, name, kind, options in inputs if where == section}
        upload_slots = 0
        for name in _names_in_order(specs, object_of(order).get(section)):
            kind, options = specs[name]
            widget = _widget(name, kind, options, depth)
            if widget:
                widgets.append(widget)
            upload_slots += _upload_slots(kind, options)
        if upload_slots and section == "required":  # the front end puts all upload buttons after the required inputs
            widgets.append(Widget("", page_slots=upload_slots))
    return tuple(widgets)


def _names_in_order(specs: Mapping[str, Any], order: Any) -> list[str]:
    """The names of inputs, those first that `order` lists."""
    listed = [name for name in list_of(order) if name in specs]
    return list(dict.fromkeys([*listed, *specs]))


def _upload_slots(kind: Any, options: Mapping[str, Any]) -> int:
    """How many slots the upload buttons of an input take."""
    if not isinstance(kind, list) and kind != "COMBO":  # a Painter uploads its picture too, without a button
        return 0
    if options.get("audio_upload"):
        return 2  # the player and the button
    if options.get("image_upload") or options.get("video_upload"):
        return 1
    return 0


def _widget(name: str, kind: Any, options: Mapping[str, Any], depth: int) -> Widget | None:
    """The widget of an input; None where it takes links only."""
    if options.get("forceInput") or options.get("defaultInput"):
        return None
    kind = options.get("widgetType") or kind
    if isinstance(kind, list) or kind == "COMBO":
        return _combo_widget(name, kind, options)
    if not isinstance(kind, str):
        return None
    if kind == DYNAMIC_COMBO:
        return _dynamic_combo_widget(name, options, depth)
    if kind == AUTOGROW:
        return _autogrow_widget(name, options, depth)
    if kind in PLAIN_WIDGETS:
        return _plain_widget(name, kind, options, depth)
    if kind in FRONT_END_WIDGETS or options.get("socketless"):
        return _front_end_widget(name, kind, options)
    return None


def _combo_widget(name: str, kind: Any, options: Mapping[str, Any]) -> Widget:
    first_choice = next(iter(combo_choices(kind, options)), None)
    # A list that is fetched has a switch and a button of its own, as LoadImageOutput has in public workflows.
    remote = object_of(options.get("remote"))
    page_slots = len({"control_after_refresh", "refresh_button"} & remote.keys())
    if options.get("control_after_generate"):
        page_slots += 2
    return Widget(name, options.get("default", first_choice), page_slots)


def _dynamic_combo_widget(name: str, options: Mapping[str, Any], depth: int) -> Widget:
    widgets: dict[str, tuple[Widget, ...]] = {}
    for choice, sections in combo_branches(DYNAMIC_COMBO, options).items():
        widgets[choice] = parse_widgets(sections, None, depth + 1)
    first_choice = next(iter(widgets), None)
    return Widget(name, options.get("default", first_choice), options=widgets)


def _autogrow_widget(name: str, options: Mapping[str, Any], depth: int) -> Widget | None:
    """The widget of an input that opens a group of inputs; None where they take links only, as most do."""
    template = object_of(options.get("template"))
    widgets = parse_widgets(template.get("input"), None, depth + 1)
    if not widgets:
        return None
    return Widget(name, group=widgets[0])


def _plain_widget(name: str, kind: str, options: Mapping[str, Any], depth: int) -> Widget:
    control = options.get("control_after_generate")
    # A seed inside a dynamic combo has no control of its own: its full name is "mode.seed" (golden files).
    is_seed = kind == "INT" and name in SEED_INPUTS and depth == 0
    has_control = bool(control) or (is_seed and control is not False)
    return Widget(
        name,
        options.get("default", PLAIN_WIDGETS[kind]),
        page_slots=int(has_control),
        may_lack_slots=depth > 0,
        dynamic_prompts=bool(options.get("dynamicPrompts")),
    )


def _front_end_widget(name: str, kind: str, options: Mapping[str, Any]) -> Widget:
    return Widget(
        name,
        options.get("default", FRONT_END_WIDGETS.get(kind)),
        ignores_saved=kind == "IMAGECOMPARE",
        # Load3D's picture comes behind three buttons, which reading skips (golden files); the others stand alone.
        drawn=name == "image" and kind in ("LOAD_3D", "LOAD_3D_ANIMATION", "WEBCAM"),
    )


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/link_types.py
#
# Types of links: which of them say what a link carries, and how an input's name tells its type.
#
# A node's definition gives every input and output a type ("MODEL", "LATENT", "*"). Some types say nothing (`ANY_TYPE`),
# and a custom node may call its own what it likes (`KNOWN_TYPES` are the others). Where the server gives no definition,
# `guessed_type` goes by the input's name: "latent_image2" takes a LATENT. The names are those of ComfyUI's own nodes and
# of common custom ones.
# ----------------------------------------------------------------------------------------------------------------------


# The names of inputs, in lower case and without their numbers, that take a type of link.
_NAMES_BY_TYPE = {
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
}
GUESSED_TYPES: Mapping[str, str] = {name: kind for kind, names in _NAMES_BY_TYPE.items() for name in names.split()}


@functools.lru_cache(4096)
def guessed_type(name: str) -> str:
    """The type of link that an input takes, judging by its name; "" where that tells nothing."""
    last = last_part(name).lower()
    return GUESSED_TYPES.get(last.rstrip("0123456789_"), "")


# Types that do not tell what a link carries; all but "" are types of inputs and outputs that carry what they are given.
ANY_TYPE = ("", "*", "COMFY_MATCHTYPE_V3", AUTOGROW, DYNAMIC_COMBO)
OPEN_TYPES = tuple(kind for kind in ANY_TYPE if kind)
# Types whose meaning is known here; any other may be a custom node's name for anything.
KNOWN_TYPES = {*GUESSED_TYPES.values(), "STRING", "INT", "FLOAT", "BOOLEAN", "COMBO", "MESH", "SVG"}
# Types of what a run makes, and of numbers and choices.
MEDIA = ("IMAGE", "VIDEO", "AUDIO", "MESH", "SVG")
VALUE_TYPES = ("INT", "FLOAT", "COMBO")


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/nodes.py
#
# ComfyUI's API format: what a graph looks like, and how to read its nodes.
#
# A graph maps node ids to nodes; this is what the server runs. An input holds a value, or a link to another node's
# output as [node id, number of the output from 0]:
#
#     {"4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
#      "3": {"class_type": "KSampler", "inputs": {"seed": 7, "model": ["4", 0]}, "_meta": {"title": "Sampler"}}}
#
# The other format is that of ComfyUI's editor, which graph/editor reads; `is_api_format` and `is_ui_format` tell the two
# apart. Graphs come from anybody, so most functions here take whatever stands in a node's place; `plain_title` and
# `node_title` want the nodes that `graph_nodes` lets through. A `Target` is a place where a value can be set.
# ----------------------------------------------------------------------------------------------------------------------


Graph = Mapping[str, Any]  # node id -> {"class_type", "inputs", "_meta"}
NO_DEFINITIONS: Definitions = {}  # for what is done to a graph without asking a server


@dataclass(frozen=True)
class Target:
    """A place in a graph for a value: a widget (an input of a node without a link), or a placeholder in its text."""

    node_id: str
    input: str
    # The share of the value that is set here: 0.5 where one sampler hands over to the next half-way through the steps.
    part: float = 1.0
    token: str = ""  # the placeholder that the value replaces, such as "{{style}}"; "" where it is the whole widget
    # The input that links carry the value to, where it is another one: its range counts first.
    reader: "Target | None" = field(default=None, compare=False)

    @property
    def widget(self) -> "Target":
        """The whole widget that it is in."""
        return Target(self.node_id, self.input)


def check_names(where: str, *names: str) -> None:
    """Raise `WorkflowRefused` for a name that is too long to be one; `where` says whose it is."""
    for name in names:
        if len(name) > MOST_NODE_NAME_CHARACTERS:
            raise WorkflowRefused(
                f'{where} has a name of {len(name)} characters: "{shortened(name, 40)}".',
                f"Names of nodes and of their inputs may have {MOST_NODE_NAME_CHARACTERS}.",
            )


def is_ui_format(value: Any) -> bool:
    """Whether a value is a workflow as ComfyUI's editor saves it, by its outermost keys."""
    if not isinstance(value, Mapping):
        return False
    return isinstance(value.get("nodes"), list) and "links" in value


def is_api_format(value: Any) -> bool:
    """Whether a value is a graph in the API format; its author may have put remarks beside the nodes."""
    if not isinstance(value, Mapping):
        return False
    return any(_has_class(node) for node in value.values())


def _has_class(node: Any) -> bool:
    class_type = object_of(node).get("class_type")
    return isinstance(class_type, str)


def graph_nodes(graph: Graph) -> dict[str, Mapping[str, Any]]:
    """The entries of a graph that are nodes: those with a text as id and a `class_type`."""
    nodes: dict[str, Mapping[str, Any]] = {}
    for node_id, node in graph.items():
        if isinstance(node_id, str) and _has_class(node):
            nodes[node_id] = node
    return nodes


def node_inputs(node: Any) -> Mapping[str, Any]:
    """The inputs of a node; none where something else stands in the node's or in their place."""
    inputs = object_of(node).get("inputs")
    return object_of(inputs)


def is_link(value: Any) -> bool:
    """Whether an input holds a link to another node's output instead of a value."""
    if not isinstance(value, list) or len(value) != 2:
        return False
    node_id, slot = value
    return isinstance(node_id, str) and isinstance(slot, int)


def input_value(value: Any) -> Any:
    """A value as an input holds it: a list is wrapped, since ComfyUI would take it for a link."""
    if isinstance(value, list):
        return {"__value__": value}
    return value


def given_title(node: Any) -> str:
    """The title that a workflow gives a node, on one line, or ""."""
    meta = object_of(object_of(node).get("_meta"))
    words = text_of(meta.get("title")).split()
    return " ".join(words)


def plain_title(node: Any) -> str:
    """A node's title, or else its class, without double quotes: it can stand between them in a message."""
    title = given_title(node) or str(node["class_type"])
    return title.replace('"', "'")


def node_title(graph: Graph, node_id: str) -> str:
    """A node in a message: "Sampler" (KSampler); its id alone where the graph does not have it."""
    node = graph.get(node_id)
    if not node:
        return f"node {node_id}"
    title = given_title(node)
    class_type = node["class_type"]
    if title in ("", class_type):
        return f'"{class_type}"'
    return f'"{title}" ({class_type})'


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/prompts.py
#
# A prompt's texts as ComfyUI's page sends them: choices made, file names filled in.
#
# The page changes some texts every time it sends a workflow, so a client that posts the workflow itself has to do the
# same. `as_sent` does it to a graph in the API format:
#
#     "a {red|blue} fox // draft"                         becomes  "a blue fox "      in texts with `dynamicPrompts`
#     "%date:yyyy-MM-dd%/%KSampler.seed%" (a file name)   becomes  "2026-03-04/7"
#
# `random.Random` and the time are passed in. `dynamic_prompt` is the first of these rules alone, as graph/editor uses it.
# ----------------------------------------------------------------------------------------------------------------------


def as_sent(graph: Graph, dynamic: frozenset[Target], rng: random.Random, now: datetime) -> dict[str, Any]:
    """The graph as the front end would send it now.

    A choice is made in each text of `dynamic` (see `read_ui`), and the date and other nodes' values are written into
    every `filename_prefix`. Any other placeholder, such as the server's own %year%, stays.
    """
    nodes = graph_nodes(graph)
    changed: dict[str, dict[str, str]] = {}  # the new texts, by node id and input
    for target in sorted(dynamic, key=lambda target: (target.node_id, target.input)):
        node = nodes.get(target.node_id)
        text = node_inputs(node).get(target.input)
        if isinstance(text, str):
            texts = changed.setdefault(target.node_id, {})
            texts[target.input] = dynamic_prompt(text, rng)
    named = _nodes_by_name(nodes)
    for node_id, node in nodes.items():
        prefix = node_inputs(node).get("filename_prefix")
        if isinstance(prefix, str) and "%" in prefix:
            texts = changed.setdefault(node_id, {})
            texts["filename_prefix"] = _file_prefix(prefix, named, now)
    sent = dict(graph)
    for node_id, texts in changed.items():
        node = nodes[node_id]
        inputs = {**node_inputs(node), **texts}
        sent[node_id] = {**node, "inputs": inputs}
    return sent


def _nodes_by_name(nodes: Graph) -> dict[str, Mapping[str, Any]]:
    """Nodes by class and by title: a class counts before a title, and of nodes with the same one the first."""
    named: dict[str, Mapping[str, Any]] = {}
    for node in nodes.values():
        named.setdefault(node["class_type"], node)
    for node in nodes.values():
        named.setdefault(plain_title(node), node)
    return named


def _file_prefix(text: str, named: Graph, now: datetime) -> str:
    """A `filename_prefix` with the date, and the values of the nodes that it names, written into it."""

    def replacement(found: re.Match[str]) -> str:
        as_written, inside = found[0], found[1]
        name, dot, widget = inside.partition(".")
        if dot and "." not in widget:
            value = node_inputs(named.get(name)).get(widget)
            if not isinstance(value, (str, int, float)):  # a link, a list, or a widget that the node does not have
                return as_written
            return NOT_IN_FILE_NAMES.sub("_", as_shown(value))
        if name.startswith("date:"):
            return format_date(inside.removeprefix("date:"), now)
        return as_written

    return REPLACED.sub(replacement, text)


# In file names: what may be replaced, and the characters of a value that become "_" there.
REPLACED = re.compile(r"%([^%]+)%")
NOT_IN_FILE_NAMES = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')
# The parts of a date's pattern; "yyy" is matched so that it stays as it is.
DATE_PART = re.compile(r"dd?|MM?|hh?|mm?|ss?|yyy?y?")


def format_date(pattern: str, now: datetime) -> str:
    """A date as the front end writes it: yyyy yy MM M dd d hh h mm m ss s, hours from 0 to 23; all else stays."""
    parts = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}

    def written(found: re.Match[str]) -> str:
        part = found[0]
        year = str(now.year)
        if part == "yyyy":
            return year
        if part == "yy":
            return year[2:]
        if part == "yyy":
            return part
        number = str(parts[part[0]])
        return number.zfill(len(part))

    return DATE_PART.sub(written, pattern)


def as_shown(value: str | float) -> str:
    """A widget's value as JavaScript writes it: 1 for 1.0, and true for True."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)


LINE_COMMENT = re.compile(r"//[^\n\r\u2028\u2029]*")
# The beginning of a comment, or a whole comment to the end of its line.
COMMENT = re.compile(r"/\*|" + LINE_COMMENT.pattern)
CHOICE = re.compile(r"(?<!\\)\{((?:\\.|[^{}\\])*)\}", re.DOTALL)  # {a|b} with no other choice inside
MAX_CHOICE_DEPTH = 32  # choices inside choices


def dynamic_prompt(text: str, rng: random.Random | None = None) -> str:
    """A text as the front end sends it: without comments, and with one of each `{a|b}` chosen; `\\{` is a plain brace.

    Without `rng` the first is chosen, so that converting twice gives the same.
    """

    def choose(found: re.Match[str]) -> str:
        choices = re.split(r"(?<!\\)\|", found[1])
        if rng is None:
            return choices[0]
        return rng.choice(choices)

    text = without_comments(text)
    for _ in range(MAX_CHOICE_DEPTH):  # the innermost ones first
        text, count = CHOICE.subn(choose, text)
        if not count:
            break
    return re.sub(r"\\([{}|])", r"\1", text)


def without_comments(text: str) -> str:
    """A text without its comments, `/* ... */` and `// ...`, in a time that is linear in its length.

    A `/*` that is never closed stays.
    """
    parts: list[str] = []  # the text between the comments
    place = 0
    while True:
        comment = COMMENT.search(text, place)
        if comment is None:
            break
        end = comment.end()
        if comment[0] == "/*":
            close = text.find("*/", end)
            if close < 0:
                parts.append(text[place:end])
                rest = text[end:]
                parts.append(LINE_COMMENT.sub("", rest))
                return "".join(parts)
            end = close + 2
        parts.append(text[place : comment.start()])
        place = end
    parts.append(text[place:])
    return "".join(parts)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/fitting.py
#
# A value that somebody asks for, made to fit an input of a node.
#
# Models and people give numbers as text, sizes that a node does not take, and names that are nearly right. `fit_value`
# and `fit_number` turn an `Argument` into what the input's `InputSpec` accepts: a number out of range becomes the nearest
# in it, with a note that says so; a name is looked up, and refused with the closest ones where there is none. `fit_size`
# finds the width and height for a size or an aspect ratio.
#
# A number's step is kept for sizes only: ComfyUI does not check it (seen with 0.3.64).
# ----------------------------------------------------------------------------------------------------------------------


def fit_value(wanted: Argument, spec: InputSpec) -> tuple[Any, str]:
    """A value as the input takes it, and a note where it had to be changed to fit, else "".

    Raises `BadArgument` for the wrong kind of value, and `ValueOutOfRange`, with the closest choices, for one that is
    not on offer.
    """
    if spec.type in ("INT", "FLOAT"):
        return fit_number(wanted, spec)
    if spec.type == "BOOLEAN":
        return _fit_switch(wanted), ""
    if spec.choices:
        return _fit_choice(wanted, spec.choices), ""
    if spec.type not in ("STRING", "COMBO"):
        return input_value(wanted.value), ""
    if is_number(wanted.value):
        return str(wanted.value), ""
    return as_text(wanted), ""


def _fit_switch(wanted: Argument) -> bool:
    text = str(wanted.value).strip()
    word = text.lower()
    if word not in SWITCH_WORDS:
        raise BadArgument(f'{wanted.name} is "{shortened(text)}", which is neither true nor false.')
    return SWITCH_WORDS[word]


def _fit_choice(wanted: Argument, choices: Sequence[Any]) -> Any:
    text = str(wanted.value).strip()
    names = [str(choice) for choice in choices]
    name = find_name(text, names)
    if name is not None:
        place = names.index(name)
        return choices[place]
    message = f'{wanted.name} is "{shortened(text)}", which is not on offer.'
    offered = quoted(closest(text, names, 8))
    if len(names) <= 8:
        raise ValueOutOfRange(message, f"There are: {offered}.")
    raise ValueOutOfRange(message, f"The closest of {len(names)} choices are: {offered}.")


def fit_number(wanted: Argument, spec: InputSpec) -> tuple[float, str]:
    """A number as the input takes it, and a note where it had to be changed to fit, else ""; "7", "7,5" and "20 steps"
    will do.

    INT gives an `int`, FLOAT a `float`. Raises `BadArgument` for anything that is not a finite number.
    """
    number = read_number(wanted.value)
    if number is None:
        raise BadArgument(
            f'{wanted.name} is "{shortened(wanted.value)}", which is not a number.',
            f"Give {_expected_number(spec)}.",
        )
    fitted = number
    if spec.minimum is not None:
        fitted = max(fitted, spec.minimum)
    if spec.maximum is not None:
        fitted = min(fitted, spec.maximum)
    fitted = round(fitted) if spec.type == "INT" else float(fitted)
    if fitted == number:
        return fitted, ""
    given = shortened(wanted.value, 20)
    return fitted, f"{wanted.name} {given} was changed to {fitted}"


def _expected_number(spec: InputSpec) -> str:
    """What to give instead of what is not a number: "a whole number from 1 to 100"."""
    kind = "a number"
    if spec.type == "INT":
        kind = "a whole number"
    if spec.minimum is None or spec.maximum is None:
        return kind
    return f"{kind} from {spec.minimum:g} to {spec.maximum:g}"


def fit_size(asked: Size | Ratio, megapixels: float, width: InputSpec, height: InputSpec) -> Size:
    """The size that inputs for width and height take: `asked` in pixels, on their steps and in their ranges.

    An aspect ratio (across, down) becomes a size of about `megapixels` million pixels, in multiples of 64.
    """
    if isinstance(asked, Size):
        return Size(on_step(asked.width, width), on_step(asked.height, height))
    across, down = asked
    side = math.sqrt(megapixels * 1e6)
    stretch = math.sqrt(across / down)
    return Size(on_step(side * stretch, width, 64), on_step(side / stretch, height, 64))


def on_step(length: float, spec: InputSpec, step: int = 0) -> int:
    """The length in pixels nearest to this one that an input takes: in its range, a multiple of its step or of `step`.

    Of the two the larger counts. An input without a maximum takes 16384, as those of ComfyUI's own nodes do.
    """
    step = max(step, int(spec.step or 1), 1)
    lowest = math.ceil(int(spec.minimum or step) / step) * step
    highest = int(spec.maximum or 16384) // step * step
    nearest = round(length / step) * step
    return min(max(nearest, lowest), highest)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/ui_file.py
#
# The file that ComfyUI's editor saves, as typed values.
#
# The editor saves its page, the UI format: values by position, lines between numbered sockets, subgraphs, and nodes that
# are never sent. A link is [id, from node, its output, to node, its input, type]:
#
#     {"nodes": [{"id": 3, "type": "KSampler", "mode": 0, "widgets_values": [7, "randomize", 20, ...],
#                 "inputs": [{"name": "model", "type": "MODEL", "link": 1}, ...], "outputs": [...]}, ...],
#      "links": [[1, 4, 0, 3, 0, "MODEL"], ...], "definitions": {"subgraphs": [...]}}
#
# `parse_ui` reads it. Lists, ids and links of a wrong shape are refused here, so that graph/ui_values, graph/ui_links and
# graph/editor can rely on them.
# ----------------------------------------------------------------------------------------------------------------------


SUBGRAPH_INPUT, SUBGRAPH_OUTPUT = "-10", "-20"  # what stands for a subgraph's own sockets in its links
# The type of a subgraph's instance is the id of its definition.
SUBGRAPH_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
MUTED, BYPASSED = 2, 4  # as a node's `mode`
RENAMED: Mapping[str, str] = {
    # Classes that were renamed long ago; the front end corrects them when it opens a file.
    "T2IAdapterLoader": "ControlNetLoader",
    "ConditioningAverage ": "ConditioningAverage",
    "SDV_img2vid_Conditioning": "SVD_img2vid_Conditioning",
    # Nodes of common packages that exist on the page only and do what the usual ones do.
    "Reroute (rgthree)": "Reroute",
    "easy setNode": "SetNode",
    "easy getNode": "GetNode",
}


@dataclass(frozen=True)
class Socket:
    """An input or output of a node in the UI format; `widget` tells whether the input has a widget too."""

    name: str
    type: str
    link: str | None = None
    widget: bool = False


@dataclass(frozen=True)
class UILink:
    """A line from an output of the node `origin` to an input of the node `target`; slots count these from 0."""

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
    mode: int  # `MUTED`, `BYPASSED`, or any other, which runs
    inputs: tuple[Socket, ...]
    outputs: tuple[Socket, ...]
    values: list[Any] | Mapping[str, Any]  # `widgets_values`; some packages save them by name
    properties: Mapping[str, Any]

    @property
    def first_value(self) -> Any:
        """The value of its first widget, or None."""
        values = self.values
        if isinstance(values, Mapping):
            values = list(values.values())
        return next(iter(values), None)

    def __str__(self) -> str:
        """The node in a message: "Sampler" (KSampler), node 3."""
        kind = shortened(self.type)
        node_id = shortened(self.id)
        if self.title in ("", self.type):
            return f'"{kind}", node {node_id}'
        return f'"{shortened(self.title)}" ({kind}), node {node_id}'


@dataclass(frozen=True)
class Port:
    """An input or output of a subgraph, with the ids of the links inside that belong to it."""

    name: str
    links: tuple[str, ...]


@dataclass(frozen=True)
class Promoted:
    """The first widget inside a subgraph that is linked to one of its inputs; `place` counts such inputs from 0."""

    place: int
    node: UINode
    socket: Socket


@dataclass(frozen=True)
class UIGraph:
    """The nodes and links of a workflow, or of one subgraph definition."""

    nodes: Mapping[str, UINode]
    links: Mapping[str, UILink]  # by id
    inputs: tuple[Port, ...]  # of a subgraph, as the next two
    promoted: Mapping[int, Promoted]  # by the number of the input
    exits: Mapping[int, str]  # by the number of the output: the link that ends there
    setters: Mapping[str, UINode]  # the SetNodes, by the name that they set
    everywhere: bool  # whether the file tells where "Anything Everywhere" nodes send what they get


def parse_ui(ui: Any) -> tuple[UIGraph, Mapping[str, UIGraph]]:
    """The workflow's own graph, and those of its subgraphs by id. Raises `WorkflowRefused`."""
    if not is_ui_format(ui):
        raise WorkflowRefused("This is not a workflow in the format in which ComfyUI saves it.")
    root = parse_graph(ui)
    definitions = object_of(ui.get("definitions"))
    subgraphs: dict[str, UIGraph] = {}
    for raw in _objects(definitions.get("subgraphs"), "subgraphs"):
        subgraph_id = _id(raw.get("id"), "A subgraph")
        subgraphs[subgraph_id] = parse_graph(raw)
    return root, subgraphs


def parse_graph(raw: Mapping[str, Any]) -> UIGraph:
    """Read the nodes and links of a workflow, or of the definition of a subgraph. Raises `WorkflowRefused`."""
    nodes = _nodes_by_id(raw.get("nodes"))
    links = _links_by_id(raw.get("links"))
    noted = _noted_links(raw.get("extra"), nodes)
    for link_id, link in noted.items():
        node = nodes[link.target]
        sockets = list(node.inputs)
        sockets[link.target_slot] = replace(sockets[link.target_slot], link=link_id)
        nodes[node.id] = replace(node, inputs=tuple(sockets))
    links.update(noted)
    inputs = _ports(raw.get("inputs"))
    setters: dict[str, UINode] = {}
    for node in nodes.values():
        if node.type == "SetNode":
            setters.setdefault(text_of(node.first_value), node)
    return UIGraph(
        nodes=nodes,
        links=links,
        inputs=inputs,
        promoted=_promoted_widgets(nodes, links, inputs),
        exits=_exits(links, _ports(raw.get("outputs"))),
        setters=setters,
        everywhere=bool(noted),
    )


def _exits(links: Mapping[str, UILink], outputs: Sequence[Port]) -> dict[int, str]:
    """The link that ends at each output of a subgraph: the one that the output names, else one that names it."""
    exits = {link.target_slot: link_id for link_id, link in links.items() if link.target == SUBGRAPH_OUTPUT}
    for slot, port in enumerate(outputs):
        if port.links:
            exits[slot] = port.links[0]
    return exits


def _nodes_by_id(raw: Any) -> dict[str, UINode]:
    nodes: dict[str, UINode] = {}
    for item in _objects(raw, "nodes"):
        node = _node(item)
        if node.id in nodes:
            raise WorkflowRefused(f"Two nodes of the workflow have the id {node.id}: {nodes[node.id]} and {node}.")
        nodes[node.id] = node
    return nodes


def _links_by_id(raw: Any) -> dict[str, UILink]:
    """The links by id, each in either of its shapes, a list or an object; a deleted one may be there as null."""
    links: dict[str, UILink] = {}
    for item in _items(raw, "links"):
        if item is None:
            continue
        if isinstance(item, Mapping):
            item = [item.get(key) for key in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
        if not isinstance(item, list) or len(item) < 5:
            raise WorkflowRefused("One of the workflow's links has no origin and target.")
        link = UILink(
            origin=_id(item[1], "The origin of a link"),
            target=_id(item[3], "The target of a link"),
            slot=_count(item[2], "A link's slot"),
            target_slot=_count(item[4], "A link's slot"),
        )
        links[_id(item[0], "A link")] = link
    return links


def _noted_links(extra: Any, nodes: Mapping[str, UINode]) -> dict[str, UILink]:
    """The links that "Anything Everywhere" nodes stand for, as their package notes them in the file.

    {"ue_links": [{"upstream": "4", "upstream_slot": 2, "downstream": 8, "downstream_slot": 1, "type": "VAE"}, ...]}
    """
    links: dict[str, UILink] = {}
    for item in list_of(object_of(extra).get("ue_links")):
        link = _noted_link(item)
        if link is None or link.origin not in nodes or link.target not in nodes:
            continue
        sockets = nodes[link.target].inputs
        if link.target_slot < len(sockets) and sockets[link.target_slot].link is None:
            links[f"everywhere-{len(links)}"] = link
    return links


def _noted_link(raw: Any) -> UILink | None:
    if not isinstance(raw, Mapping):
        return None
    try:
        return UILink(
            origin=_id(raw.get("upstream"), ""),
            slot=_count(raw.get("upstream_slot"), ""),
            target=_id(raw.get("downstream"), ""),
            target_slot=_count(raw.get("downstream_slot"), ""),
        )
    except WorkflowRefused:
        return None


def _promoted_widgets(
    nodes: Mapping[str, UINode], links: Mapping[str, UILink], inputs: tuple[Port, ...]
) -> dict[int, Promoted]:
    """For each input of a subgraph, by number, the first widget inside that is linked to it, if any."""
    promoted: dict[int, Promoted] = {}
    for slot, port in enumerate(inputs):
        for link_id in port.links:
            link = links.get(link_id)
            node = nodes.get(link.target) if link else None
            if link is None or node is None or link.target_slot >= len(node.inputs):
                continue
            socket = node.inputs[link.target_slot]
            if socket.widget:
                promoted[slot] = Promoted(len(promoted), node, socket)
                break
    return promoted


def _node(raw: Mapping[str, Any]) -> UINode:
    kind = raw.get("type")
    if not isinstance(kind, str):
        raise WorkflowRefused(f"Node {shown_value(raw.get('id'))} of the workflow has no type.")
    check_names("A node of the workflow", kind)
    kind = RENAMED.get(kind, kind)
    name = f'node "{shortened(kind)}"'
    values = raw.get("widgets_values")
    return UINode(
        id=_id(raw.get("id"), f"A {name}"),
        type=kind,
        title=text_of(raw.get("title"))[:MOST_TITLE_CHARACTERS],
        mode=_count(raw.get("mode"), f"The mode of a {name}"),
        inputs=_sockets(raw.get("inputs"), "inputs"),
        outputs=_sockets(raw.get("outputs"), "outputs"),
        values=values if isinstance(values, (list, Mapping)) else [],
        properties=object_of(raw.get("properties")),
    )


def _sockets(raw: Any, what: str) -> tuple[Socket, ...]:
    return tuple(_socket(item) for item in _objects(raw, what))


def _socket(raw: Mapping[str, Any]) -> Socket:
    link = raw.get("link")
    if link is not None:
        link = _id(link, "A link")
    name = text_of(raw.get("name"))
    kind = text_of(raw.get("type"), "*")  # LiteGraph also writes 0 and -1 for "anything"
    check_names("A node of the workflow", name, kind)
    return Socket(
        name=name,
        type=kind,
        link=link,
        widget=bool(raw.get("widget")),
    )


def _ports(raw: Any) -> tuple[Port, ...]:
    ports: list[Port] = []
    for item in _objects(raw, "subgraph inputs and outputs"):
        name = text_of(item.get("name"))
        check_names("A subgraph of the workflow", name)
        link_ids = _items(item.get("linkIds"), "subgraph links")
        ports.append(Port(name, tuple(_id(link_id, "A link") for link_id in link_ids)))
    return tuple(ports)


# Parts of the file, checked. `what` names the part in the error.


def _items(value: Any, what: str) -> list[Any]:
    """A list from the file; None counts as an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise WorkflowRefused(f"The workflow's {what} are not a list.")
    return value


def _objects(value: Any, what: str) -> list[Mapping[str, Any]]:
    """A list of objects from the file; None counts as an empty one."""
    items = _items(value, what)
    for item in items:
        if not isinstance(item, Mapping):
            raise WorkflowRefused(f"One of the workflow's {what} is {shown_value(item)} instead of an object.")
    return items


def _count(value: Any, what: str) -> int:
    """A number that counts from 0, such as a slot or a mode; None counts as 0."""
    if value is None:
        return 0
    if not is_number(value) or value < 0 or value != value // 1:
        raise WorkflowRefused(f"{what} of the workflow is {shown_value(value)}, which is not a whole number from 0 up.")
    return int(value)


def _id(value: Any, what: str) -> str:
    """An id as text: in most files they are numbers, in some texts, and a whole number may have become 3.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        return value
    if isinstance(value, int) and is_number(value) and abs(value) <= 2**63:
        return str(value)
    raise WorkflowRefused(
        f"{what} of the workflow has the id {shown_value(value)}, which is neither a number nor a text."
    )


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/ui_values.py
#
# What the widgets of a saved node hold, and the definition of its class.
#
# The file has the values of widgets by position, with slots between them that exist on the page only: a KSampler saves
# [7, "randomize", 20, 8.0, "euler", "simple", 1.0]. `known_class` finds what the server says of a node's class, and with
# it `read_values` tells which value belongs to which widget:
#
#     {"seed": SavedValue(7), "steps": SavedValue(20), "cfg": SavedValue(8.0), ...}
#
# Like graph/definitions, this keeps to the rules of the front ends 1.27.10 and 1.49.6.
# ----------------------------------------------------------------------------------------------------------------------


def class_names(node: UINode) -> list[str]:
    """The names under which a server may know a node's class, the likeliest first."""
    other = node.properties.get("Node name for S&R")  # the class's name, in files of programs that set another type
    if isinstance(other, str) and other != node.type:
        return [node.type, other]
    return [node.type]


def known_class(node: UINode, definitions: Definitions) -> NodeDefinition:
    """The definition of a node's class.

    Raises `NodeNotInstalled` where the server has none, and `WorkflowRefused` for a node that no server could have.
    """
    for name in class_names(node):
        if name in definitions:
            return definitions[name]
    if node.type.startswith(("workflow/", "workflow>")):
        raise WorkflowRefused(
            f"{node} is a group node of an old kind, which cannot be converted.",
            "Open the workflow in ComfyUI, turn the group node into a subgraph, and save it.",
        )
    if SUBGRAPH_ID.fullmatch(node.type):
        raise WorkflowRefused(f"{node} is a subgraph that the file does not contain.", "Save the whole workflow.")
    package = text_of(node.properties.get("cnr_id"))
    where = f' It belongs to the package "{shortened(package)}".' if package else ""
    raise NodeNotInstalled(f"This ComfyUI does not have the node {node}.{where}")


@dataclass(frozen=True)
class SavedValue:
    """What a widget holds in the file, and what kind of widget it is."""

    value: Any
    widget: Widget = Widget("")


# Load3D saves its three buttons by name, before its picture.
BUTTONS_3D = ("upload3dmodel", "uploadExtraResources", "clear")
# What a control_after_generate can hold.
CONTROL_VALUES = ("fixed", "increment", "decrement", "randomize")


class Slots:
    """A node's `widgets_values`, taken one by one from the front, or by name where the file has names."""

    def __init__(self, values: list[Any] | Mapping[str, Any]) -> None:
        self.by_name = values if isinstance(values, Mapping) else None
        self.left = deque(list_of(values))

    def take(self, name: str, widget: Widget) -> Any:
        """The value of the next widget; the slots around it that exist on the page only are passed over."""
        while self.left and self.left[0] in BUTTONS_3D:
            self.left.popleft()
        value = self._take_value(name, widget)
        for _ in range(min(widget.page_slots, len(self.left))):
            if not widget.may_lack_slots or self.left[0] in CONTROL_VALUES:
                self.left.popleft()
        return value

    def _take_value(self, name: str, widget: Widget) -> Any:
        if self.by_name is not None:
            return self.by_name.get(name, widget.default)
        if widget.name and self.left:
            return self.left.popleft()
        return widget.default


def read_values(node: UINode, known: NodeDefinition) -> dict[str, SavedValue]:
    """What a node's widgets hold, by name.

    The widgets that the choice of a dynamic combo brings have their slots right after it: ["mp4", "h264"] are
    {"format": SavedValue("mp4"), "format.codec": SavedValue("h264")}.
    """
    slots = Slots(node.values)
    saved: dict[str, SavedValue] = {}
    waiting = deque(("", widget) for widget in known.widgets)  # each with what its name begins with
    while waiting:
        prefix, widget = waiting.popleft()
        name = prefix + widget.name
        if widget.group:
            members = _group_widgets(node, name, widget.group)
            waiting.extendleft(("", member) for member in reversed(members))
            continue
        value = slots.take(name, widget)
        if widget.options is not None:
            brought = _chosen_widgets(node, name, widget.options, value)
            waiting.extendleft((f"{name}.", inner) for inner in reversed(brought))
        is_empty = value is None and widget.default is None
        if not widget.name or is_empty:
            continue
        if widget.ignores_saved:
            value = widget.default
        saved[name] = SavedValue(value, widget)
    if known.class_type == "CustomCombo":
        saved.update(_custom_combo_values(slots))
    return saved


def _custom_combo_values(slots: Slots) -> dict[str, SavedValue]:
    """What a CustomCombo holds after its choice: "index", "option1", "option2" and so on, which no definition lists.

    Its second output needs them.
    """
    saved: dict[str, SavedValue] = {}
    for number, value in enumerate(slots.left):
        name = f"option{number}" if number else "index"
        saved[name] = SavedValue(value)
    return saved


def _group_widgets(node: UINode, name: str, widget: Widget) -> list[Widget]:
    """The widgets of an autogrow input: as many as the node has inputs of its group."""
    members = [socket for socket in node.inputs if socket.name.startswith(f"{name}.")]
    return [replace(widget, name=socket.name) for socket in members if socket.widget]


def _chosen_widgets(
    node: UINode, name: str, options: Mapping[str, tuple[Widget, ...]], choice: Any
) -> tuple[Widget, ...]:
    """The widgets that a choice of a dynamic combo brings. Raises `WorkflowRefused` for one that is not on offer.

    Without them every later value would be read wrongly.
    """
    if isinstance(choice, (str, int, float)) and str(choice) in options:
        return options[str(choice)]
    offered = shortened(", ".join(options), 300)
    raise WorkflowRefused(
        f'{node}: "{name}" is {shown_value(choice)}, which its class does not offer.',
        f"Open the workflow in ComfyUI, choose again and save it; on offer: {offered}",
    )


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/ui_links.py
#
# Where an input of a saved node gets its value from: links followed back to nodes that are sent.
#
# In the file a link may lead through a Reroute, a pair of SetNode and GetNode, a bypassed node, or into and out of
# subgraphs, none of which is sent. `Tracer.source` goes back over all of them, to a `Source`, a `Constant` or `Nothing`.
# Where the way leads to none of them, the value of the input's own widget stays.
#
# The rules are those of the front ends 1.27.10 and 1.49.6. "Golden files" marks what is known only from the prompts that
# these made of official templates.
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scope:
    """A graph at work: the workflow itself, or one instance of a subgraph; `path` begins its nodes' full ids: "12:"."""

    path: str
    graph: UIGraph
    outer: "Scope | None" = None
    instance: UINode | None = None
    entries: Mapping[str, Socket] = field(default_factory=dict)  # the instance's inputs, maybe not all
    depth: int = 0  # how many subgraphs are around its nodes

    def full_id(self, node: UINode) -> str:
        """The id of a node in this scope in the graph that is sent, such as "12:3"."""
        return self.path + node.id

    def inner_path(self, node: UINode) -> str:
        """The path of the scope of a subgraph, whose instance in this scope is `node`."""
        return f"{self.path}{node.id}:"

    def enter(self, node: UINode, graph: UIGraph) -> "Scope":
        """The scope of a subgraph, whose instance in this scope is `node`. Raises `WorkflowRefused` if too deep."""
        if self.depth >= MAX_DEPTH:
            raise WorkflowRefused(f"The subgraph {node} contains itself, or subgraphs are nested too deep.")
        entries = {socket.name: socket for socket in reversed(node.inputs)}
        return Scope(self.inner_path(node), graph, self, node, entries, self.depth + 1)


@dataclass(frozen=True)
class Source:
    """An input gets its value from an output of a node that is sent; `node` is its full id."""

    node: str
    slot: int


@dataclass(frozen=True)
class Constant:
    """An input gets this value over its link, from a PrimitiveNode or a promoted widget."""

    value: Any


@dataclass(frozen=True)
class Nothing:
    """A link that ends at a muted node: the input is not sent at all, not even with its widget's value."""


Outcome = Source | Constant | Nothing | None
# One step back: the scope and the id of the link that leads on, or where the way ends.
StepBack = tuple[Scope, str | None] | Outcome


@dataclass(frozen=True)
class Tracer:
    """Follows links back, through everything that is not sent, to what is."""

    scopes: Mapping[str, Scope]
    values: Mapping[str, Mapping[str, SavedValue]]  # of every node that is sent, by its full id
    # Long chains are walked once, and wide bypassed nodes searched once.
    known: dict[tuple[str, str, str], Outcome] = field(default_factory=dict)  # by scope, link, and type of the input
    passing: dict[tuple[str, str, str], Socket | None] = field(default_factory=dict)  # by scope, node, and type

    def source(self, scope: Scope, socket: Socket) -> Outcome:
        """What an input gets over its link; None where nothing comes, so that the value of its own widget stays.

        Raises `WorkflowRefused` for a circle.
        """
        followed: dict[tuple[str, str, str], None] = {}  # in order; the keys of `known`
        crossed: tuple[Scope, int] | None = None  # the outermost input of a subgraph on the way
        inside = 0  # the number of links followed up to it
        outcome: Outcome = None
        link_id = socket.link
        while link_id is not None and link_id in scope.graph.links:
            link = scope.graph.links[link_id]
            key = (scope.path, link_id, socket.type)
            if key in self.known:
                outcome = self.known[key]
                break
            if key in followed:
                raise WorkflowRefused(f"The links of the workflow run in a circle at link {shortened(link_id)}.")
            followed[key] = None
            step = self._step(scope, link, socket.type)
            if not isinstance(step, tuple):
                outcome = step
                break
            if link.origin == SUBGRAPH_INPUT:
                crossed = (scope, link.slot)
                inside = len(followed)
            scope, link_id = step
        result = outcome
        if outcome is None and crossed:
            # Inside that subgraph its promoted value counts; the links outside, if any, lead to nothing.
            result = self._promoted_value(*crossed)
        for place, key in enumerate(followed):
            self.known[key] = result if place < inside else outcome
        return result

    def _step(self, scope: Scope, link: UILink, wanted: str) -> StepBack:
        """One step back over a link, for an input of the type `wanted`."""
        if link.origin != SUBGRAPH_INPUT:
            return self._through(scope, link, wanted)
        ports = scope.graph.inputs
        if scope.outer is None or link.slot >= len(ports):
            return None
        entry = scope.entries.get(ports[link.slot].name)
        return scope.outer, _link_of(entry)

    def _through(self, scope: Scope, link: UILink, wanted: str) -> StepBack:
        """One step back through the node that a link comes from."""
        node = scope.graph.nodes.get(link.origin)
        if node is None:
            return None
        if node.type == "PrimitiveNode":  # whatever its mode: the front end resolves it, not the server
            return Constant(node.first_value) if node.values else None
        if node.mode == MUTED:
            return Nothing()
        if node.type in ("Reroute", "SetNode"):
            if not node.inputs:
                return scope, None
            last = len(node.inputs) - 1
            return scope, node.inputs[min(link.slot, last)].link
        if node.mode == BYPASSED:
            passed_on = self._passed_on(scope, node, link.slot, wanted)
            return scope, _link_of(passed_on)
        if node.type == "GetNode":
            return _setter_link(scope, node)
        inner = self.scopes.get(scope.inner_path(node))
        if inner:
            return inner, inner.graph.exits.get(link.slot)
        return Source(scope.full_id(node), link.slot)

    def _passed_on(self, scope: Scope, node: UINode, slot: int, wanted: str) -> Socket | None:
        """The input that a bypassed node passes on to one of its outputs, if any."""
        socket = same_slot(node, slot, wanted)
        if socket:
            return socket
        key = (scope.path, node.id, wanted)
        if key not in self.passing:
            self.passing[key] = any_slot(node, wanted)
        return self.passing[key]

    def _promoted_value(self, scope: Scope, slot: int) -> Constant | None:
        """The value of a subgraph's input that nothing is linked to; all inputs inside that are linked to it get it.

        It is the value that the instance holds, or else that of the first widget inside, also where the other inputs
        hold another value or have no widget (golden files). A text comes as it is: no choice is made in its `{a|b}`.
        """
        while True:
            own = _instance_value(scope, slot)
            promoted = scope.graph.promoted.get(slot)
            if own is not None or promoted is None:
                return own
            inner = self.scopes.get(scope.inner_path(promoted.node))
            if inner is None:
                saved = self.values.get(scope.full_id(promoted.node), {}).get(promoted.socket.name)
                return Constant(saved.value) if saved else None
            names = [port.name for port in inner.graph.inputs]
            if promoted.socket.name not in names:
                return None
            scope, slot = inner, names.index(promoted.socket.name)


def _link_of(socket: Socket | None) -> str | None:
    """The link that ends at a socket, if there are both."""
    if socket is None:
        return None
    return socket.link


def _instance_value(scope: Scope, slot: int) -> Constant | None:
    """The value that an instance of a subgraph holds for one of its inputs, in place of the widget inside.

    Where the instance has `proxyWidgets`, the values are kept inside. Otherwise it lists them in the order of those
    inputs that lead to a widget.
    """
    if scope.instance is None or scope.instance.properties.get("proxyWidgets"):
        return None
    values = scope.instance.values
    promoted = scope.graph.promoted.get(slot)
    value = None
    if isinstance(values, Mapping):
        value = values.get(scope.graph.inputs[slot].name)
    elif promoted and promoted.place < len(values):
        value = values[promoted.place]
    if value is None:
        return None
    return Constant(value)


def _setter_link(scope: Scope, getter: UINode) -> tuple[Scope, str | None]:
    """The scope and link of what the SetNode of the same name gets: in the same graph, else in one around it."""
    name = text_of(getter.first_value)
    around: Scope | None = scope
    while around is not None:
        setter = around.graph.setters.get(name)
        if setter:
            first_input = next(iter(setter.inputs), None)
            return around, _link_of(first_input)
        around = around.outer
    raise WorkflowRefused(f'{getter}: the workflow has no SetNode of the name "{shortened(name)}".')


def same_slot(node: UINode, slot: int, wanted: str) -> Socket | None:
    """The input of a bypassed node with the number of the output, if its type may pass through; else None."""
    if slot >= len(node.inputs):
        return None
    socket = node.inputs[slot]
    if wanted == "*":
        return socket
    if not can_join(socket.type, wanted):
        return None
    if slot < len(node.outputs) and not can_join(socket.type, node.outputs[slot].type):
        return None
    return socket


def any_slot(node: UINode, wanted: str) -> Socket | None:
    """The first input of a bypassed node that may pass through, of exactly this type or else one that fits; or None."""
    for socket in node.inputs:
        if wanted in ("*", socket.type):
            return socket
    for socket in node.inputs:
        if can_join(socket.type, wanted):
            return socket
    return None


def can_join(one: str, other: str) -> bool:
    """Whether sockets of two types can be joined, as LiteGraph decides it: "*" fits all, commas list alternatives."""
    if "*" in (one, other):
        return True
    alternatives = set(one.lower().split(","))
    return not alternatives.isdisjoint(other.lower().split(","))


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/editor.py
#
# Workflows as ComfyUI's editor saves them, turned into what its front end would send.
#
# The server takes the API format only (graph/nodes). `live_nodes` reads the file (graph/ui_file) and finds the nodes that
# are sent, with those inside subgraphs; `class_types` tells whose definitions to ask the server for. With these,
# `read_ui` gives each widget its value (graph/ui_values), follows each link back to a node that is sent (graph/ui_links),
# and puts the graph together. `convert` does it all at once. What cannot be converted faithfully is refused, naming the
# node.
# ----------------------------------------------------------------------------------------------------------------------


def convert(ui: Any, definitions: Definitions) -> dict[str, Any]:
    """The workflow in the API format, with the first of the choices in its texts taken.

    `definitions` holds those of `class_types` that the server has. Raises `WorkflowRefused`, `NodeNotInstalled`.
    """
    graph, dynamic = read_ui(live_nodes(ui), definitions)
    for target in dynamic:
        inputs = graph[target.node_id]["inputs"]
        inputs[target.input] = dynamic_prompt(inputs[target.input])
    return graph


# A node is sent if it is neither muted nor bypassed and exists on the server, not only on the page. In place of each
# instance of a subgraph the nodes inside it are sent; their ids begin with that of the instance: "12:3".

NOTES = ("Note", "MarkdownNote")
VIRTUAL = (*NOTES, "PrimitiveNode", "Reroute", "GetNode", "SetNode")  # followed or dropped, never sent
# Switches and remarks of common packages that exist on the page only. What they switched is in the modes of the nodes.
PAGE_ONLY = re.compile(
    r"(Label|Bookmark|Node Combiner|Node Collector|Random Unmuter|Fast Actions Button"
    r"|Fast (Groups )?(Muter|Bypasser)|Mute / Bypass (Repeater|Relay)) \(rgthree\)|Note Plus \(mtb\)"
)
EVERYWHERE = re.compile(r"(Anything|Prompts|Seed) Everywhere")  # links without lines, from a common package
MAX_CONVERTED_NODES = 20_000  # 20 levels of subgraphs that each contain the next one twice make a million


@dataclass(frozen=True)
class Live:
    """Every scope of a workflow by its path, and every node that is sent, with its scope."""

    scopes: Mapping[str, Scope]
    nodes: Sequence[tuple[Scope, UINode]]


def live_nodes(ui: Any) -> Live:
    """What is sent of a workflow in the UI format, found without any definition. Raises `WorkflowRefused`."""
    root, subgraphs = parse_ui(ui)
    scopes: dict[str, Scope] = {}
    sent: list[tuple[Scope, UINode]] = []
    waiting = deque([Scope("", root)])
    count = 0
    while waiting:
        scope = waiting.popleft()
        scopes[scope.path] = scope
        nodes = scope.graph.nodes
        count += len(nodes) + 1
        if count > MAX_CONVERTED_NODES:
            raise WorkflowRefused(f"The workflow has more than {MAX_CONVERTED_NODES} nodes.")
        for node in nodes.values():
            if _is_left_out(node):
                continue
            if EVERYWHERE.match(node.type):
                _check_everywhere(node, scope.graph)
            elif node.type in subgraphs:
                inside = scope.enter(node, subgraphs[node.type])
                waiting.append(inside)
            else:
                sent.append((scope, node))
    return Live(scopes, sent)


def _is_left_out(node: UINode) -> bool:
    """Whether a node is switched off, or one that exists on the page only."""
    if node.mode in (MUTED, BYPASSED) or node.type in VIRTUAL:
        return True
    return PAGE_ONLY.fullmatch(node.type) is not None


def _check_everywhere(node: UINode, graph: UIGraph) -> None:
    """Raise `WorkflowRefused` for a node with links that have no lines, where the file does not note these links."""
    if not graph.everywhere and any(socket.link for socket in node.inputs):
        raise WorkflowRefused(
            f"{node} sends what it gets to other nodes without a line, and the file does not say to which.",
            "Open the workflow in ComfyUI, turn these into real links in the node's menu, and save it.",
        )


def class_types(live: Live) -> set[str]:
    """The names of the node classes whose definitions `read_ui` needs, inside subgraphs too."""
    names: set[str] = set()
    for _, node in live.nodes:
        names.update(class_names(node))
    return names


def strange_types(live: Live, definitions: Definitions) -> list[str]:
    """The classes that the server does not have, sorted; without what `read_ui` refuses for other reasons."""
    strange: set[str] = set()
    for _, node in live.nodes:
        try:
            known_class(node, definitions)
        except NodeNotInstalled:
            strange.add(node.type)
        except WorkflowRefused:  # such as a group node: `read_ui` names it
            pass
    return sorted(strange)


def read_ui(live: Live, definitions: Definitions) -> tuple[dict[str, Any], frozenset[Target]]:
    """The workflow in the API format, with its texts as they were saved.

    Also returns which of these the front end passes through `dynamic_prompt` before every run. Raises
    `WorkflowRefused`, `NodeNotInstalled`.
    """
    saved: dict[str, dict[str, SavedValue]] = {}  # by the full id of the node
    for scope, node in live.nodes:
        saved[scope.full_id(node)] = read_values(node, known_class(node, definitions))
    tracer = Tracer(live.scopes, saved)
    graph: dict[str, Any] = {}
    dynamic: set[Target] = set()
    for scope, node in live.nodes:
        node_id = scope.full_id(node)
        values = saved[node_id]
        inputs, linked = _sent_inputs(scope, node, values, tracer)
        _check_inputs(node, inputs, values)
        known = known_class(node, definitions)
        title = node.title or known.title
        graph[node_id] = {"class_type": known.class_type, "inputs": inputs, "_meta": {"title": title}}
        for name, held in values.items():
            is_text = isinstance(held.value, str) and name not in linked
            if is_text and held.widget.dynamic_prompts:
                dynamic.add(Target(node_id, name))
    return graph, frozenset(dynamic)


def _sent_inputs(
    scope: Scope, node: UINode, saved: Mapping[str, SavedValue], tracer: Tracer
) -> tuple[dict[str, Any], set[str]]:
    """The inputs of a node as they are sent, and the names of those whose links override what their widgets hold."""
    inputs = {name: input_value(held.value) for name, held in saved.items()}
    linked: set[str] = set()
    for socket in node.inputs:
        name = socket.name
        source = tracer.source(scope, socket)
        if source is None:
            continue
        linked.add(name)
        if isinstance(source, Source):
            inputs[name] = [source.node, source.slot]
        elif isinstance(source, Constant):
            inputs[name] = input_value(source.value)
        else:
            inputs.pop(name, None)
    return inputs, linked


def _check_inputs(node: UINode, inputs: Mapping[str, Any], saved: Mapping[str, SavedValue]) -> None:
    """Raise `WorkflowRefused` for a value that cannot be sent as it is."""
    for name, value in inputs.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise WorkflowRefused(f'{node}: "{name}" is {value}, which cannot be sent.')
        held = saved.get(name)
        if held and held.widget.drawn and not value:
            raise WorkflowRefused(
                f'{node}: "{name}" is a picture that ComfyUI\'s page makes in the browser at the moment of sending.',
                "Put a Load Image node in its place.",
            )


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/reading.py
#
# Workflows read from JSON as people paste it, unwrapped and checked.
#
# `read_workflow_file` takes a file's bytes, `read_json` a text: also one in a Markdown code block, with comments, with a
# comma after the last item, or with bare placeholders. `unwrap` takes a workflow out of its envelope:
#
#     {"prompt": {"3": {"class_type": "KSampler", ...}}, "client_id": "..."}
#
# What comes out is in either of ComfyUI's formats; graph/editor converts that of its editor. `clean` makes a graph in the
# API format ready to send, and `check_links` finds what the server would refuse without telling where.
# ----------------------------------------------------------------------------------------------------------------------


def read_workflow_file(data: bytes) -> Graph:
    """The workflow in a JSON file, in any Unicode encoding. Raises `WorkflowRefused`. Blocks: call it in a thread."""
    return unwrap(read_json(data.decode(json.detect_encoding(data), "replace")))


def read_json(text: str) -> Any:
    """JSON as people paste it.

    Raises `WorkflowRefused` for what is not JSON, and for an object that has a node or a workflow twice under one name:
    one of the two would be lost.
    """
    plain = re.sub(r"\A\s*```\w*|```\s*\Z", "", text.strip().removeprefix("\ufeff"))
    try:
        try:
            return json.loads(plain, object_pairs_hook=_without_twins)
        except json.JSONDecodeError:
            return json.loads(tidied(plain), object_pairs_hook=_without_twins)
    except RecursionError:
        raise WorkflowRefused("This JSON is nested too deep to be a workflow.", EXPECTED) from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise WorkflowRefused(f"This is not valid JSON: it breaks off or goes wrong at {place}.", EXPECTED) from None
    except ValueError:  # such as a number of more than 4300 digits
        raise WorkflowRefused("This is not valid JSON: it breaks off or goes wrong.", EXPECTED) from None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a JSON text. Raises `WorkflowRefused` for two nodes, or two workflows, of one name."""
    merged = dict(pairs)
    if len(merged) == len(pairs):
        return merged
    seen: set[str] = set()
    for name, value in pairs:
        if name not in seen:
            seen.add(name)
            continue
        if isinstance(value, dict) and "class_type" in value:
            raise WorkflowRefused(f'Two nodes of the workflow have the id "{shortened(name)}".')
        if is_ui_format(value) or is_api_format(value):
            raise WorkflowRefused(f'Two workflows have the name "{shortened(name)}".', "Rename one of them.")
    return merged


# The parts of JSON that a person wrote: the beginning of a string or a comment, a placeholder, a comma, a closing
# bracket, and everything else. None of these patterns looks beyond its own end, so the time to read a text is linear in
# its length, whatever it holds.
JSON_PART = re.compile(r'"|/\*|//[^\n]*|%\w+%|[,}\]]|[^\s"/%,}\]]+|[/%]')
# What follows the beginning of a string and of a comment, to its end.
RESTS = {
    '"': re.compile(r'(?:[^"\\]++|\\.)*+"', re.DOTALL),
    "/*": re.compile(r".*?\*/", re.DOTALL),
}


def tidied(text: str) -> str:
    """Text without what people write into JSON by hand: comments, a comma after the last item, bare placeholders.

    `{"steps": %steps%, /* few */}` becomes `{"steps": "%steps%" }`. Where a string or a comment never ends, the rest of
    the text stays as it is: it is not JSON in any case.
    """
    parts: list[str] = []
    comma: int | None = None  # its place in `parts`, while only white space and comments have followed it
    place = 0
    while True:
        part = JSON_PART.search(text, place)
        if part is None:
            break
        token = part[0]
        end = part.end()
        if token in RESTS:
            rest = RESTS[token].match(text, end)
            if rest is None:
                break
            token += rest[0]
            end = rest.end()
        parts.append(text[place : part.start()])
        place = end
        if token.startswith(("/*", "//")):
            continue
        if token in ("}", "]") and comma is not None:
            parts[comma] = ""
        comma = len(parts) if token == "," else None
        is_placeholder = token.startswith("%") and token != "%"
        parts.append(f'"{token}"' if is_placeholder else token)
    parts.append(text[place:])
    return "".join(parts)


# A hint for whatever is given as a workflow and is not one.
EXPECTED = "Expected is a workflow as ComfyUI saves it, or as it exports it for its API."

# The keys of what people put a workflow into: a body for /prompt, a template's envelope, the result of the front end's
# graphToPrompt, the input of a job at RunPod.
WRAPPERS = ("prompt", "workflow", "output", "input", "workflow_api", "workflow_json")


def unwrap(value: Any) -> Graph:
    """A workflow in either format, without what stands around it, to a depth of four.

    Raises `WorkflowRefused` for anything else, saying what it is.
    """
    inner = value
    for _ in range(4):
        if is_ui_format(inner) or is_api_format(inner):
            return dict(inner)
        if isinstance(inner, str) and inner.lstrip().startswith("{"):
            inner = read_json(inner)
        elif isinstance(inner, Mapping):
            inner = _wrapped(inner)
    raise WorkflowRefused(f"This is {_what_it_is(value)}, and not a workflow of ComfyUI.", EXPECTED)


def _wrapped(envelope: Mapping[str, Any]) -> Any:
    """What an object holds under the first of `WRAPPERS` that may be a workflow, or None."""
    for key in WRAPPERS:
        inner = envelope.get(key)
        if isinstance(inner, (Mapping, str)):
            return inner
    return None


def _what_it_is(value: Any) -> str:
    if isinstance(value, Mapping):
        if not value:
            return "an empty object"
        first_keys = [*value][:4]
        return "an object with " + quoted(shortened(key, 20) for key in first_keys)
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return f"the text {shown_value(value)}"
    return shortened(json.dumps(value), 40)


def clean(graph: Graph) -> dict[str, Any]:
    """A graph in the API format, with the class, inputs and title of each node and nothing else.

    Remarks beside the nodes, and what a server noted in them, are left out. Raises `WorkflowRefused`, naming the node,
    for one that cannot be sent.
    """
    nodes: dict[str, Any] = {}
    for node_id, node in graph.items():
        if isinstance(node, Mapping) and ("class_type" in node or "inputs" in node):
            nodes[str(node_id)] = _clean_node(node_id, node, graph)
    return nodes


def _clean_node(node_id: Any, node: Mapping[str, Any], graph: Graph) -> dict[str, Any]:
    where = f"Node {shortened(node_id, 30)} of the workflow"
    class_type = node.get("class_type")
    if not isinstance(class_type, str):
        raise WorkflowRefused(f"{where} has no class_type.", EXPECTED)
    inputs = node.get("inputs", {})
    if not isinstance(inputs, Mapping):
        raise WorkflowRefused(f"{where} has no inputs.", EXPECTED)
    check_names(where, class_type, *map(str, inputs))
    clean_inputs: dict[str, Any] = {}
    for name, value in inputs.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise WorkflowRefused(f'{where}: "{shortened(name)}" is {value}, which cannot be sent.')
        clean_inputs[str(name)] = _with_text_id(value, graph)
    meta: dict[str, str] = {}
    title = object_of(node.get("_meta")).get("title")
    if isinstance(title, str):
        meta["title"] = title[:MOST_TITLE_CHARACTERS]
    return {"class_type": class_type, "inputs": clean_inputs, "_meta": meta}


def _with_text_id(value: Any, graph: Graph) -> Any:
    """The value, with the node id of a link as text: some programs write a number, which the server does not find."""
    if not isinstance(value, list) or len(value) != 2:
        return value
    node_id, slot = value
    if type(node_id) is not int or str(node_id) not in graph:
        return value
    return [str(node_id), slot]


def check_links(graph: Graph, definitions: Definitions) -> None:
    """Raise `WorkflowRefused`, naming a node, for a link to a node that is not there, and for links in a circle.

    The server refuses both without a reason that helps. Like it, this only looks at what leads to an output node.
    """
    done: dict[str, bool] = {}  # by the id of every node that was reached: whether all before it were too
    for node_id, node in graph.items():
        class_type = node["class_type"]
        if class_type not in definitions or definitions[class_type].is_output:
            _follow_back(node_id, graph, done)


def _follow_back(start: str, graph: Graph, done: dict[str, bool]) -> None:
    """Follow all links that lead to a node, depth first, and note in `done` what was reached."""
    if start in done:
        return
    done[start] = False
    path = [(start, _linked_ids(graph[start]))]
    while path:
        node_id, sources = path[-1]
        source = next(sources, None)
        if source is None:
            done[node_id] = True
            path.pop()
        elif source not in graph:
            where = node_title(graph, node_id)
            raise WorkflowRefused(f'{where} is linked to a node "{shortened(source)}", which is not there.')
        elif source not in done:
            done[source] = False
            path.append((source, _linked_ids(graph[source])))
        elif not done[source]:
            raise WorkflowRefused(f"The links of the workflow run in a circle through {node_title(graph, source)}.")


def _linked_ids(node: Mapping[str, Any]) -> Iterator[str]:
    """The ids of the nodes that a node is linked to."""
    for value in node["inputs"].values():
        if is_link(value):
            yield value[0]


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/links.py
#
# A graph's links by both their ends, each with its types: what feeds what.
#
# In the API format a link stands only where it ends, and without a type. `Wiring.of` reads
#
#     {"3": {"class_type": "KSampler", "inputs": {"model": ["4", 0], ...}},
#      "4": {"class_type": "CheckpointLoaderSimple", ...}}
#
# as a `TypedLink` from output 0 of node "4" to the input "model" of node "3", of the type "MODEL": in `into` under "3",
# and in `out_of` under "4". `before` and `behind` follow such links in either direction, if wanted over those of given
# types only; `is_output`, `uses_diffusion_model` and `keeps_nothing` tell what a node is. All that reads a graph rests
# on this: the search for its parameters, LoRAs, facts, pruning and drawings.
#
# Types come from the server's definitions: from the output, else from the input. Where both ends take anything, as at
# reroutes and switches, the type of what comes in is passed on. Where a class is unknown, the name of the input has to
# do. Graphs come from anybody: what does not have the right shape is passed over here, and the server refuses it.
# ----------------------------------------------------------------------------------------------------------------------


# Names of classes that run for their own sake, and of classes that sample, for where no definition tells.
OUTPUT_CLASS = re.compile(
    r"^(Save|Preview|Display|Show)|VideoCombine|SaveImage|ImageCompare|MaskPreview|^(Checkpoint|CLIP|VAE|Model|Lora)Save$",
    re.IGNORECASE,
)
SAMPLER_CLASS = re.compile(r"sampler|guider|detailer|UltimateSDUpscale", re.IGNORECASE)

# Inputs that may hold the position of a switch.
SELECTORS = ("switch", "boolean", "condition", "select", "index", "Input", "input")

# Names of output nodes that only show what they are given, or only pass it on.
KEEPS_NOTHING = re.compile(r"preview|compare|compositor|^(show|display)|CreateBoundingBoxes", re.IGNORECASE)

# Names that rank output nodes by what they do with what they are given: see `output_rank`.
SAVES = re.compile(r"save|export|VideoCombine|websocket|send", re.IGNORECASE)
SHOWS = re.compile(r"preview|show|display|view|compare", re.IGNORECASE)
TAKES_TEXT = re.compile(r"(save|show|preview|display).*(text|string|any)", re.IGNORECASE)

Origin = tuple[str, int]  # an output of a node in a graph: the node's id, and the number of the output


class TypedLink(NamedTuple):
    """A link of a graph, from output number `slot` of the node `source` to the input `input` of the node `node`.

    `type` is the one type that it carries ("MODEL", "IMAGE"), or "" where nothing tells it: where both its ends take
    anything, it is passed on from the links before. `declared` are the types that its ends allow: ("IMAGE", "MASK") for
    an output "IMAGE,MASK", and ("",) where nothing tells.
    """

    source: str
    slot: int
    node: str
    input: str
    type: str
    declared: tuple[str, ...]

    @property
    def origin(self) -> Origin:
        """The output that it comes from."""
        return self.source, self.slot

    @property
    def is_strange(self) -> bool:
        """Whether none of its declared types is one of ComfyUI's common ones, so that it may carry anything."""
        return KNOWN_TYPES.isdisjoint(self.declared)

    def may_carry(self, *types: str) -> bool:
        """Whether it is declared as one of these types, or may carry them since it is strange."""
        return self.is_strange or self.surely_carries(*types)

    def surely_carries(self, *types: str) -> bool:
        """Whether it is declared as one of these types."""
        return not set(types).isdisjoint(self.declared)


Known = TypeVar("Known")


def once(method: Callable[[Any, str], Known]) -> Callable[[Any, str], Known]:
    """Decorate a method so that it works out its answer about a node only once for each object: many paths of a graph
    lead over the same nodes."""

    def answer(self: Any, node_id: str) -> Known:
        known: dict[str, Known] = self.__dict__.setdefault(f"known {method.__name__}", {})
        if node_id not in known:
            known[node_id] = method(self, node_id)
        return known[node_id]

    return functools.wraps(method)(answer)


@dataclass(frozen=True)
class Wiring:
    """The nodes of a graph, and its links by both their ends: `into` has those that end at a node, `out_of` those that
    start there, each under the node's id. `links` has those of `into` that count in a run."""

    nodes: Mapping[str, Mapping[str, Any]]
    definitions: Definitions
    into: Mapping[str, Sequence[TypedLink]]
    out_of: Mapping[str, Sequence[TypedLink]]

    @classmethod
    def of(cls, graph: Graph, definitions: Definitions) -> Self:
        """Read the links of a graph, without those from nodes that do not exist."""
        nodes = graph_nodes(graph)
        into: dict[str, list[TypedLink]] = {node_id: [] for node_id in nodes}
        out_of: dict[str, list[TypedLink]] = {node_id: [] for node_id in nodes}
        for link in typed_links(nodes, definitions):
            into[link.node].append(link)
            out_of[link.source].append(link)
        return cls(nodes, definitions, into, out_of)

    # A node and its links.

    def class_type(self, node_id: str) -> str:
        """A node's class."""
        return str(self.nodes[node_id]["class_type"])

    def definition(self, node_id: str) -> NodeDefinition | None:
        """What the server says of a node's class, or None when it does not know it or was not asked."""
        return self.definitions.get(self.class_type(node_id))

    def inputs(self, node_id: str) -> Mapping[str, Any]:
        """The inputs of a node, by name; none for a node that is not there."""
        return self._inputs.get(node_id, {})

    @functools.cached_property
    def _inputs(self) -> Mapping[str, Mapping[str, Any]]:
        """The inputs of each node."""
        return {node_id: node_inputs(node) for node_id, node in self.nodes.items()}

    def spec(self, node_id: str, name: str) -> InputSpec | None:
        """What the server says of an input, or None when it does not know it or was not asked."""
        definition = self.definition(node_id)
        if definition is None:
            return None
        return definition.spec(name, self.inputs(node_id))

    def fed_by(self, origin: Origin, kind: str) -> list[TypedLink]:
        """The links of the type `kind` that start at an output."""
        node_id, slot = origin
        return [link for link in self.out_of[node_id] if link.slot == slot and link.type == kind]

    def takes(self, node_id: str, kind: str) -> bool:
        """Whether a link of the type `kind` ends at a node."""
        return any(link.type == kind for link in self.into[node_id])

    # The links that count in a run.

    @once
    def links(self, node_id: str) -> tuple[TypedLink, ...]:
        """The links that a node reads, without those that lead nowhere or that a switch does not let through."""
        return tuple(self._links_by_input(node_id).values())

    def link(self, node_id: str, name: str) -> TypedLink | None:
        """The link that one input reads, or None when it reads none."""
        return self._links_by_input(node_id).get(name)

    @once
    def _links_by_input(self, node_id: str) -> dict[str, TypedLink]:
        """The links that a node reads, by the inputs that they feed."""
        chosen = self.chosen_input(node_id)
        links: dict[str, TypedLink] = {}
        for link in self.into.get(node_id, ()):
            is_let_through = chosen is None or chosen == link.input
            if is_let_through and self._has_output(link.source, link.slot):
                links[link.input] = link
        return links

    def _has_output(self, node_id: str, slot: int) -> bool:
        """Whether a node has an output of that number, as far as is known."""
        definition = self.definition(node_id)
        if definition is None or not definition.outputs:
            return slot >= 0
        return 0 <= slot < len(definition.outputs)

    @once
    def chosen_input(self, node_id: str) -> str | None:
        """The input that a switch lets through, or None for a node that is not a switch or whose position is unknown.

        With the position true it is "on_true" or "true", say, with the position 2 "input2", "image_2" or the like.
        """
        for selector in SELECTORS:
            position = self._constant(node_id, selector)
            if isinstance(position, bool):
                pattern = rf"((on|if|when)_?)?{position}(_value)?"
            elif isinstance(position, int):
                pattern = rf"[a-z]+_?0*{position}"
            else:
                continue
            for name in self.inputs(node_id):
                if re.fullmatch(pattern, name, re.IGNORECASE):
                    return name
            return None
        return None

    def _constant(self, node_id: str, name: str) -> Any:
        """What an input holds, looked up over at most 8 links to nodes that hold it as their `value`."""
        value: Any = self.inputs(node_id).get(name)
        for _ in range(8):
            if not is_link(value) or value[0] not in self.nodes:
                break
            value = self.inputs(value[0]).get("value")
        return value

    # What a node is.

    def is_output(self, node_id: str) -> bool:
        """Whether a node runs for its own sake: it saves or shows something."""
        known = self.definition(node_id)
        if known:
            return known.is_output
        return bool(OUTPUT_CLASS.search(self.class_type(node_id)))

    def keeps_nothing(self, node_id: str) -> bool:
        """Whether an output node keeps nothing: it only shows what it is given, or is set not to save it."""
        if KEEPS_NOTHING.search(self.class_type(node_id)):
            return True
        return self.inputs(node_id).get("save_output") is False

    def output_rank(self, node_id: str) -> int | None:
        """The rank of an output node by the name of its class: 0 saves media, 1 saves texts, 2 shows media, 3 shows
        texts; None where the name says neither."""
        class_type = self.class_type(node_id)
        takes_text = 1 if TAKES_TEXT.search(class_type) else 0
        if SAVES.search(class_type):
            return takes_text
        if SHOWS.search(class_type):
            return 2 + takes_text
        return None

    def uses_diffusion_model(self, node_id: str) -> bool:
        """Whether a node makes something with the diffusion model that it is given, itself or, as a guider or a pipe,
        for a sampler behind it."""
        if not self.takes(node_id, "MODEL"):
            return False
        known = self.definition(node_id)
        if known is None:
            inputs = {link.input for link in self.into[node_id]}
            return "positive" in inputs or bool(SAMPLER_CLASS.search(self.class_type(node_id)))
        for kind in known.outputs:
            if kind in ("LATENT", "GUIDER") or "PIPE" in kind:
                return True
        return "IMAGE" in known.outputs and self.takes(node_id, "CONDITIONING")

    # What lies before and behind nodes.

    def before(self, nodes: Iterable[str], kinds: Sequence[str] = (), barred: Iterable[str] = ()) -> dict[str, None]:
        """These nodes and all that feed them, over links of the types `kinds`, or of any type when there are none. What
        feeds `barred` nodes is not looked for, unless they are among the first."""
        reached = dict.fromkeys(nodes)
        waiting = list(reached)
        closed = frozenset(barred)
        while waiting:
            for link in self.into[waiting.pop()]:
                if link.source in reached or (kinds and link.type not in kinds):
                    continue
                reached[link.source] = None
                if link.source not in closed:
                    waiting.append(link.source)
        return reached

    def behind(self, nodes: Iterable[str], kinds: Sequence[str] = ()) -> dict[str, None]:
        """These nodes and all that they feed, over links of the types `kinds`, or of any type when there are none."""
        reached = dict.fromkeys(nodes)
        waiting = list(reached)
        while waiting:
            for link in self.out_of[waiting.pop()]:
                if link.node in reached or (kinds and link.type not in kinds):
                    continue
                reached[link.node] = None
                waiting.append(link.node)
        return reached

    def needed(self) -> dict[str, None]:
        """The nodes that run: output nodes and all that feed them."""
        outputs = filter(self.is_output, self.nodes)
        return self.before(outputs)


# How links get their types.


class UntypedLink(NamedTuple):
    """A link as it stands in a graph, and what the definitions say of its ends."""

    origin: Origin
    node: str
    input: str
    output_type: str  # "" when no definition tells it
    input_type: str | None  # None when no definition has the input
    is_reader_known: bool  # the server defines the class of `node`, though perhaps not this input


def typed_links(nodes: Mapping[str, Mapping[str, Any]], definitions: Definitions) -> Iterator[TypedLink]:
    """The links of a graph with their types."""
    links = list(untyped_links(nodes, definitions))
    types = carried_types(links)
    for link in links:
        declared = declared_types(link.output_type, link.input_type, link.input)
        yield TypedLink(*link.origin, link.node, link.input, types[link.origin], declared)


def untyped_links(nodes: Mapping[str, Mapping[str, Any]], definitions: Definitions) -> Iterator[UntypedLink]:
    """The links of a graph, without those from nodes that do not exist."""
    output_types: dict[Origin, str] = {}
    for node_id, node in nodes.items():
        inputs = node_inputs(node)
        reader = definitions.get(node["class_type"])
        for name, value in inputs.items():
            if not isinstance(name, str) or not is_link(value):
                continue
            source, slot = value
            if source not in nodes:
                continue
            origin = (source, slot)
            if origin not in output_types:
                output_types[origin] = output_type(nodes[source], slot, definitions)
            spec = reader.spec(name, inputs) if reader else None
            input_type = spec.type if spec else None
            yield UntypedLink(origin, node_id, name, output_types[origin], input_type, reader is not None)


@functools.lru_cache(4096)
def declared_types(output_type: str, input_type: str | None, name: str) -> tuple[str, ...]:
    """The types that the ends of a link allow; several stand in one text, with commas between them. Where no definition
    has the input, its `name` has to do."""
    if output_type not in ANY_TYPE:
        return tuple(output_type.split(","))
    if input_type is None:
        return (guessed_type(name),)
    if input_type in ANY_TYPE:
        return ("",)
    return tuple(input_type.split(","))


def carried_types(links: Sequence[UntypedLink]) -> dict[Origin, str]:
    """The type of what comes out of each output that a link reads.

    It is that of the output, else of an input that reads it, else, by its name, of an input of an unknown class. What
    is known then spreads over the nodes that pass on what they are given.
    """
    types: dict[Origin, str] = {}
    for link in links:
        if not types.get(link.origin):
            types[link.origin] = told_type(link.output_type) or told_type(link.input_type or "")
    for link in links:
        if not types[link.origin] and not link.is_reader_known:
            types[link.origin] = guessed_type(link.input)
    spread_types(types, links)
    return types


def spread_types(types: dict[Origin, str], links: Sequence[UntypedLink]) -> None:
    """Fill in, in `types`, what reroutes, switches and their like pass on: an output that carries anything has the type
    of what comes into its node by an input that takes anything."""
    open_outputs: dict[str, dict[Origin, None]] = {}  # by node
    passing_nodes: dict[Origin, list[str]] = {}  # by output: the nodes that pass it on
    for link in links:
        if link.output_type in OPEN_TYPES:
            open_outputs.setdefault(link.origin[0], {})[link.origin] = None
        if link.input_type in OPEN_TYPES:
            passing_nodes.setdefault(link.origin, []).append(link.node)
    waiting = [output for output, kind in types.items() if kind]
    while waiting:
        known = waiting.pop()
        for node_id in passing_nodes.pop(known, ()):
            for output in open_outputs.pop(node_id, ()):
                if not types[output]:
                    types[output] = types[known]
                    waiting.append(output)


def output_type(node: Mapping[str, Any], slot: int, definitions: Definitions) -> str:
    """The type of a node's output by its definition, or "" when that is unknown or has no such output."""
    known = definitions.get(node["class_type"])
    if known is None or not 0 <= slot < len(known.outputs):
        return ""
    return known.outputs[slot]


def told_type(kind: str) -> str:
    """A type, or "" for one that does not tell what a link carries: one that stands for anything or for several."""
    if kind in OPEN_TYPES or "," in kind:
        return ""
    return kind


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/input_names.py
#
# What inputs are called that hold a parameter, somebody's words, or a value for another node.
#
# `PARAMETERS` lists for each parameter the names of its inputs, in ComfyUI's own and in common custom nodes. Where the
# server's node definitions do not tell what an input takes, its name has to: `words_in` tells by it which side's words
# it takes.
#
#     words_in("model.Positive_Prompt") == "positive"
#     words_in("neg_text") == "negative"
#     words_in("steps") == ""
# ----------------------------------------------------------------------------------------------------------------------


# For each parameter the names of the inputs that hold it, likeliest first.
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


# The inputs for width and height that belong together, and all by which a node that makes an empty latent is known.
SIZE_INPUTS = tuple(zip(PARAMETERS["width"], PARAMETERS["height"], strict=True))
LATENT_INPUTS = {*PARAMETERS["width"], *PARAMETERS["length"], *PARAMETERS["seconds"], *PARAMETERS["batch_size"]}

# Parameters that hold somebody's words, and those that hold a text but one out of a list.
TEXTS = ("prompt", "negative_prompt", "lyrics")
CHOICES = ("sampler", "scheduler", "aspect_ratio", "resolution", "size", "model")

# What inputs are called that hold somebody's words, and those of the negative side.
PROMPT_INPUT = re.compile(
    r"(?!(system|structured|style|extra|texture)_)([a-z0-9]+_)?prompts?(_(text|positive|[gl]|[0-9]+))?"
    r"|(positive_|user_|main_)?(text|caption|tags|string)(_?([gl]|[0-9]+|positive))?"
    r"|positive|clip_[lg]|t5xxl|llama|bert|mt5xl|wildcard_text|populated_text|description"
)
NEGATIVE_INPUT = re.compile(r"(^|_)neg(ative)?(_|$)")

# Other inputs that hold texts: those that may be part of a prompt, and those that never are.
STRING_INPUT = re.compile(r"value|string_?[a-z0-9]?|text_?[a-z0-9]?|str|input|replace|content|[a-d]")
OTHER_STRING = re.compile(
    r"find|.*pattern.*|delimiter|separator|.*json.*|(.*_)?key|mode|system.*|.*file.*|.*path|option\d+|.*url"
    r"|(.*_)?model(_name)?|language|device"
)
SHOWN_ONCE = re.compile(r"text_\d+")  # what a node showed last, kept in files; the server does not read it

# Inputs that stand out on the way upstream.
VALUE_INPUTS = ("value", "text", "string", "int", "float", "number")  # of a node that only holds a value
CONTEXT_INPUT = re.compile(r"base_ctx|ctx_\d+")  # rgthree's contexts, which carry everything at once


@functools.lru_cache(4096)
def words_in(name: str) -> str:
    """The side whose words an input takes, told by its name: "positive", "negative", or "" when it takes none."""
    last = last_part(name).lower()
    if NEGATIVE_INPUT.search(last):
        return "negative"
    if PROMPT_INPUT.fullmatch(last):
        return "positive"
    return ""


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/search.py
#
# Follow links upstream to the widget that holds a prompt, a seed, a size or a model.
#
# Parameters are found, not mapped by hand. In this graph the sampler reads its seed from node "4" and its prompt from
# node "6"; what a person would change are the widgets `value` and `text` there:
#
#     {"3": {"class_type": "KSampler", "inputs": {"seed": ["4", 0], "positive": ["6", 0], "steps": 20, ...}},
#      "4": {"class_type": "PrimitiveInt", "inputs": {"value": 7}},
#      "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", ...}}, ...}
#
# A `Flow` is a graph read against its links (see graph/links). `Flow.target("seed", "3")` answers `Target("4", "value")`,
# and `Flow.words` finds the widgets of a prompt. Both rest on `Flow.best`, which walks upstream in `Step`s. For each
# thing that can be sought, a `_look_for_...` method says what a node offers (`Finds`) and where the search goes on
# (`Onward`). Finds have scores, ways have costs, and the best balance wins. All searches share what they learned about a
# node, so that dense graphs are read in linear time.
#
# Types come from the server's node definitions; without them, the names of inputs and classes have to do.
# ----------------------------------------------------------------------------------------------------------------------


# Words in a node's title that tell whose text the node holds.
OTHERS_WORDS = re.compile(r"system|template|instruction|rewrite|prefix|suffix|trigger|style", re.IGNORECASE)
USERS_WORDS = re.compile(r"\buser\b|\bdescri", re.IGNORECASE)
PROMPT_WORDS = re.compile(r"prompt|positive|negative", re.IGNORECASE)

# Types that stand out on the way upstream.
SAMPLING = ("NOISE", "GUIDER", "SAMPLER", "SIGMAS")  # types that SamplerCustomAdvanced and its like are fed with
CONDITIONING_SOUGHT = ("positive", "negative", "embedded guidance")
SERVICE_MAKES = (*MEDIA, "STRING", "FILE_3D")  # how the types begin of what a service makes

# Parts of class names by which nodes are told. Of a custom node its class name is often all that a graph tells.
ZEROED = re.compile(r"zero_?out", re.IGNORECASE)
REGIONAL = re.compile(r"conditioning.*(area|mask)|regional|gligen", re.IGNORECASE)
SETS_SIZE = re.compile(r"TotalPixels|LongerEdge|MaxDimension|KontextImageScale|Megapixels", re.IGNORECASE)
GENERATES = re.compile(r"generate", re.IGNORECASE)

# Bounds, and what is taken off a find's score.
PARTS = 24  # the most nodes that make up one sampler, or makers in a row
# For what stands beside the main thing: the text for a part of the picture, a template around a text.
BESIDE_PENALTY = 3
EMPTY_PENALTY = 2  # for an empty text
UNKNOWN_TYPE_PENALTY = 2  # for a link of unknown type, where another surely carries what is sought


@dataclass(frozen=True, slots=True)
class Step:
    """Where a search stands: at an output of a node, looking for something there or upstream.

    `sought` is one of

    - a name in `PARAMETERS`: the widget that holds its value;
    - "positive", "negative": the encoder of the main text of that side, as `Target(encoder, side)`;
    - "embedded guidance": the guidance that a distilled model takes with its text (FluxGuidance);
    - "positive text", "negative text": the widget that a person types the text into;
    - "image width", "image height": the number that a picture gets its size by;
    - "latent": the node that makes the latent, as `Target(node_id, "")`;
    - "maker", "earlier maker": the sampler or service that makes what comes over the link, as `Target(node_id, "")`.
      An "earlier maker" is also looked for behind a node that begins a new latent with the picture it is given.
    """

    node_id: str
    slot: int
    sought: str

    @classmethod
    def over(cls, link: TypedLink, sought: str) -> "Step":
        """The step over a link. Its output only matters for conditioning, since there it tells the side."""
        return cls(link.source, link.slot if sought in CONDITIONING_SOUGHT else 0, sought)


Find = tuple[int, Target]  # with its score: higher is better
Finds = list[Find]  # what a node offers a search
Onward = list[tuple[int, Step]]  # where the search goes on, each with the cost, which is taken off the scores there
Look = tuple[Finds, Onward]  # what a step comes to


def dearer(onward: Onward, cost: int) -> Onward:
    """The same steps, each at a higher cost."""
    return [(old + cost, step) for old, step in onward]


class Flow(Wiring):
    """The links of a graph, and searches against their direction.

    What one search learned about a `Step` is kept for all later ones.
    """

    @functools.cached_property
    def _looks(self) -> dict[Step, Look]:
        """What the node of each step offers, and where the search goes on."""
        return {}

    @functools.cached_property
    def _best_finds(self) -> dict[Step, Find | None]:
        """The best find of each step."""
        return {}

    # What stands in the inputs of nodes, and whether it could be a parameter's value.

    def value(self, target: Target) -> Any:
        """The value that a widget holds, or None for one that is not there."""
        return self.inputs(target.node_id).get(target.input)

    def holds(self, name: str, node_id: str, key: str) -> bool:
        """Whether an input holds a value, not a link, of the kind that the parameter `name` has."""
        value = self.inputs(node_id).get(key)
        if name in TEXTS or name in CHOICES:
            return isinstance(value, str)
        if isinstance(value, str):
            return self._takes_number(node_id, key, value)
        return is_number(value)

    def _takes_number(self, node_id: str, key: str, text: str) -> bool:
        """Whether a text stands where a number belongs: "7", or a placeholder such as "%seed%"."""
        spec = self.spec(node_id, key)
        if spec:
            return spec.type in ("INT", "FLOAT")
        return key in SEED_INPUTS and text.strip().isdigit()

    # What a node is in its graph, as far as its inputs and outputs tell.

    @once
    def is_maker(self, node_id: str) -> bool:
        """Whether a node makes what the workflow is for: it samples, or it is a service."""
        return self.is_sampler(node_id) or self.is_service(node_id)

    @once
    def is_sampler(self, node_id: str) -> bool:
        """Whether a node samples and has the settings for it, or is given them: told by its inputs. It may be without a
        diffusion model of its own, unlike a node that `uses_diffusion_model`."""
        names = self.inputs(node_id).keys()
        if {"guider", "sigmas"} <= names:
            return True
        is_seeded = not names.isdisjoint(SEED_INPUTS)
        if {"positive", "negative"} <= names:
            return is_seeded or "steps" in names or "sigmas" in names
        if not is_seeded or "steps" not in names:
            return False
        if "latent_image" in names or not names.isdisjoint(("cfg", "sampler_name", "scheduler", "denoise")):
            return True
        definition = self.definition(node_id)
        return definition is not None and "LATENT" in definition.outputs

    @once
    def is_service(self, node_id: str) -> bool:
        """Whether a node makes a picture, a video, sound or a text all by itself, from a prompt or a seed: a node that
        calls somebody's service, or a language model."""
        if self.is_sampler(node_id) or not self._may_be_service(node_id):
            return False
        if any("prompt" in name for name in self.texts(node_id, "positive")):
            return True
        names = self.inputs(node_id)
        seeds = [name for name in names if name.lower() == "seed"]
        is_seeded = any(self.holds("seed", node_id, name) for name in seeds)
        return is_seeded and len(names) > 1

    def _may_be_service(self, node_id: str) -> bool:
        """Whether a node's outputs are such as a service has. Where they are unknown, a node with a CLIP model is an
        encoder, unless its class says that it generates."""
        definition = self.definition(node_id)
        if definition and definition.outputs:
            return any(kind.startswith(SERVICE_MAKES) for kind in definition.outputs)
        if "clip" in self.inputs(node_id):
            return bool(GENERATES.search(self.class_type(node_id)))
        return True

    @once
    def parts(self, node_id: str) -> list[str]:
        """A sampler and the nodes that give it noise, guider, sampler and sigmas, nearest first; `PARTS` at most."""
        parts = [node_id]
        for part in parts:
            for link in self.links_surely_carrying(part, *SAMPLING):
                if link.source not in parts and len(parts) < PARTS:
                    parts.append(link.source)
        return parts

    def links_carrying(self, node_id: str, *types: str) -> list[TypedLink]:
        """The links that a node reads which may carry one of these types."""
        return [link for link in self.links(node_id) if link.may_carry(*types)]

    def links_surely_carrying(self, node_id: str, *types: str) -> list[TypedLink]:
        """The links that a node reads which are declared as one of these types."""
        return [link for link in self.links(node_id) if link.surely_carries(*types)]

    def texts(self, node_id: str, side: str) -> list[str]:
        """The inputs of a node that take the words of a side, "positive" or "negative". A node that has none for
        the negative side names those of the positive one."""
        texts: dict[str, list[str]] = {"positive": [], "negative": []}
        for name in self.inputs(node_id):
            its_side = words_in(name)
            if its_side and self._takes_words(node_id, name):
                texts[its_side].append(name)
        if side == "negative" and texts["negative"]:
            return texts["negative"]
        numbered = [name for name in texts["positive"] if name[-1].isdigit()]
        later = numbered[1:]  # of "prompt_1", "prompt_2" and so on only the first counts
        return [name for name in texts["positive"] if name not in later]

    def _takes_words(self, node_id: str, name: str) -> bool:
        """Whether an input takes free text and not a number, a choice or conditioning."""
        spec = self.spec(node_id, name)
        if spec and spec.type not in ("STRING", *ANY_TYPE):
            return False
        if spec is None and SHOWN_ONCE.fullmatch(name) and self.definition(node_id):
            return False
        if isinstance(self.inputs(node_id)[name], str):
            return True
        link = self.link(node_id, name)
        return link is not None and link.may_carry("STRING")

    def size_inputs(self, node_id: str) -> dict[str, str]:
        """A node's inputs for the size: {"width": "target_width", "height": "target_height"}. Empty when it does not
        have both, or one of them is 0, by which such nodes mean "as it comes"."""
        inputs = self.inputs(node_id)
        for width, height in SIZE_INPUTS:
            if not self._takes_length(node_id, width) or not self._takes_length(node_id, height):
                continue
            if inputs[width] == 0 or inputs[height] == 0:
                return {}
            return {"width": width, "height": height}
        return {}

    def _takes_length(self, node_id: str, key: str) -> bool:
        """Whether a node has such an input, with a number or a link."""
        return self.holds("width", node_id, key) or self.link(node_id, key) is not None

    # The three questions that a flow answers: which widget holds a parameter of these nodes, which widgets hold the
    # words of an encoder, and, for both, what is the best find upstream of a link.

    def target(self, name: str, *node_ids: str) -> Target | None:
        """The widget that holds a parameter of the first of these nodes that has it, or None. Of one that is found over
        a link, `reader` is the input of the node itself, whose range counts."""
        for node_id in node_ids:
            for key in PARAMETERS[name]:
                if self.holds(name, node_id, key):
                    return Target(node_id, key)
                link = self.link(node_id, key)
                if link is None or link.surely_carries(*SAMPLING):
                    continue
                widget = self.best(link, name)
                if widget:
                    return replace(widget, reader=Target(node_id, key))
        return None

    def words(self, node_id: str, side: str) -> list[Target]:
        """The widgets that a person types the words of a node's side into, also over links; those that are not empty
        come first."""
        widgets: dict[Target, None] = {}
        inputs = self.inputs(node_id)
        for name in self.texts(node_id, side):
            if isinstance(inputs[name], str):
                widgets[Target(node_id, name)] = None
                continue
            link = self.link(node_id, name)
            typed = self.best(link, f"{side} text")
            if typed:
                widgets[typed] = None
        return sorted(widgets, key=lambda target: not self.value(target))

    def best(self, link: TypedLink | None, sought: str) -> Target | None:
        """The best find upstream of a link, or None; of equal ones, the first.

        The steps wait on a stack of its own instead of Python's, as a graph may be thousands of links deep. Each is
        first looked at, then, after all that it leads to, given its best find. A way that runs in a circle adds
        nothing.
        """
        if link is None:
            return None
        start = Step.over(link, sought)
        waiting = [start]
        while waiting:
            step = waiting[-1]
            if step not in self._looks:
                self._looks[step] = self._look(step)
                _, onward = self._looks[step]
                waiting += [after for _, after in onward if after not in self._looks]
                continue
            waiting.pop()
            if step not in self._best_finds:
                self._best_finds[step] = self._best_find(step)
        best = self._best_finds[start]
        if best is None:
            return None
        _, target = best
        return target

    def _best_find(self, step: Step) -> Find | None:
        """The best of what the node of a step offers and what was found where the search went on."""
        here, onward = self._looks[step]
        finds = list(here)
        for cost, after in onward:
            best = self._best_finds.get(after)
            if best:
                score, target = best
                finds.append((score - cost, target))
        return max(finds, key=lambda find: find[0], default=None)

    def _look(self, step: Step) -> Look:
        """What the node of a step offers, and where the search goes on, by the rule for what is sought."""
        sought = step.sought
        if sought in CONDITIONING_SOUGHT:
            return self._look_for_encoder(step)
        if sought.endswith(" text"):
            return self._look_for_text(step)
        if sought.startswith("image "):
            return self._look_for_image_size(step)
        if sought.endswith("maker"):
            return self._look_for_maker(step)
        if sought == "model":
            return self._look_for_model(step)
        if sought == "latent":
            return self._look_for_latent(step)
        return self._look_for_value(step)

    def _on(self, step: Step, links: Sequence[TypedLink], *types: str, sought: str = "") -> Onward:
        """The steps over those links that carry one of the types, or any link when no types are given. Where one surely
        carries them, the strange ones cost `UNKNOWN_TYPE_PENALTY`. `sought` is what to look for from there, if it
        changes."""
        is_sure = any(link.surely_carries(*types) for link in links)
        onward: Onward = []
        for link in links:
            if types and not link.may_carry(*types):
                continue
            is_doubtful = is_sure and not link.surely_carries(*types)
            cost = UNKNOWN_TYPE_PENALTY if is_doubtful else 0
            onward.append((cost, Step.over(link, sought or step.sought)))
        return onward

    # One rule for each thing that can be sought: what the node of a step offers, and over which of its links the search
    # goes on.

    def _look_for_encoder(self, step: Step) -> Look:
        """Follow conditioning to the node that turns the main text into it, or gives it a guidance. What comes out of
        ConditioningZeroOut is not a text any more. A find names the encoder and the side of its texts."""
        node_id = step.node_id
        inputs = self.inputs(node_id)
        if ZEROED.search(self.class_type(node_id)):
            return [], []
        seeks_guidance = step.sought == "embedded guidance"
        if seeks_guidance and "guidance" in inputs:
            return [(0, Target(node_id, "guidance"))], []
        side = self._side(step)
        sought = side
        if seeks_guidance and side == "positive":
            sought = step.sought
        finds: Finds = []
        if not seeks_guidance and self.texts(node_id, side):
            finds = [(0, Target(node_id, side))]
        if side in inputs:
            return finds, self._on_over(step, side, sought)
        if side == "negative" and self._is_one_sided_guider(step):
            return finds, []
        links = self._conditioning_links(node_id, side)
        sure = [link for link in links if link.surely_carries("CONDITIONING", "GUIDER")]
        if any(link.surely_carries("CONDITIONING") for link in sure):  # to which the node adds its text
            finds = [(score - BESIDE_PENALTY, target) for score, target in finds]
            links = sure
        onward = self._on(step, links, "CONDITIONING", "GUIDER", sought=sought)
        if REGIONAL.search(self.class_type(node_id)) and "conditioning_to" not in inputs:
            onward = dearer(onward, BESIDE_PENALTY)
        return finds, onward

    def _on_over(self, step: Step, name: str, sought: str) -> Onward:
        """The step over the link that an input of the node reads, if it reads one."""
        link = self.link(step.node_id, name)
        if link is None:
            return []
        return [(0, Step.over(link, sought))]

    def _conditioning_links(self, node_id: str, side: str) -> list[TypedLink]:
        """The links of a node that may carry the conditioning of a side, those of the main text first: those that are
        called so, else those whose names tell no side."""
        negative: list[TypedLink] = []
        others: list[TypedLink] = []
        for link in self.links(node_id):
            if words_in(link.input) == "negative":
                negative.append(link)
            else:
                others.append(link)
        links = negative if side == "negative" else others
        if not links:
            links = [link for link in others if words_in(link.input) == ""]
        return sorted(links, key=lambda link: link.input not in ("conditioning_to", "cond1"))

    def _is_one_sided_guider(self, step: Step) -> bool:
        """Whether a step stands at a guider without a negative side."""
        is_guider = self._output_type(step) in ("GUIDER", "")
        return is_guider and {"conditioning", "model"} <= self.inputs(step.node_id).keys()

    def _output_type(self, step: Step) -> str:
        """The type of the output that a step stands at, or "" when nothing tells."""
        definition = self.definition(step.node_id)
        if definition is None or step.slot >= len(definition.outputs):
            return ""
        return definition.outputs[step.slot]

    def _side(self, step: Step) -> str:
        """The side that a step looks for inside its node: that of the output, where the node has two sides."""
        slots = self._side_slots(step.node_id)
        is_negative = step.sought == "negative"
        if step.slot in slots:
            is_negative = step.slot != slots[0]
        return "negative" if is_negative else "positive"

    def _side_slots(self, node_id: str) -> list[int]:
        """The outputs for the positive and the negative side, of a node that has two sides; else nothing."""
        names = self.inputs(node_id).keys()
        if not any(words_in(name) == "negative" for name in names):
            return []
        definition = self.definition(node_id)
        if definition and definition.outputs:
            slots = [slot for slot, kind in enumerate(definition.outputs) if kind == "CONDITIONING"]
            return slots[:2] if len(slots) > 1 else []
        # ControlNets and their like put the two sides first; what takes a model too does not.
        if "model" in names or not self.link(node_id, "positive") or not self.link(node_id, "negative"):
            return []
        return [0, 1]

    def _look_for_text(self, step: Step) -> Look:
        """Follow a text to the widget that a person would type it into: neither the template around it nor the system
        prompt of a language model that rewrites it."""
        node_id = step.node_id
        inputs = self.inputs(node_id)
        side = step.sought.removesuffix(" text")
        links = self._text_links(node_id, side)
        replaces = any("find" in name or "pattern" in name for name in inputs)  # it puts a text into another one
        score = self._title_score(node_id, replaces)
        if links:
            score -= 1
        finds: Finds = []
        for name in self._likely_texts(node_id, side, links):
            if self.chosen_input(node_id) not in (None, name):
                continue
            is_empty = not inputs[name].strip()
            penalty = EMPTY_PENALTY if is_empty else 0
            finds.append((score - penalty, Target(node_id, name)))
        if not replaces:
            return finds, self._on(step, links, "STRING")
        words = [link for link in links if link.input == "replace"]
        frames = [link for link in links if link.input != "replace"]  # not what a person types
        to_words = self._on(step, words, "STRING")
        to_frames = self._on(step, frames, "STRING")
        return finds, to_words + dearer(to_frames, BESIDE_PENALTY)

    def _text_links(self, node_id: str, side: str) -> list[TypedLink]:
        """The links of a node that may carry a text of that side."""
        links = []
        for link in self.links_carrying(node_id, "STRING"):
            is_other = OTHER_STRING.fullmatch(last_part(link.input).lower())
            if not is_other and words_in(link.input) in ("", side):
                links.append(link)
        return links

    def _likely_texts(self, node_id: str, side: str, links: Sequence[TypedLink]) -> list[str]:
        """The inputs of a node that hold a text which may be a part of a prompt: by their names, or its only text."""
        held = [name for name, value in self.inputs(node_id).items() if isinstance(value, str)]
        own = [name for name in held if self._takes_words(node_id, name)]
        expected = (*self.texts(node_id, side), self.chosen_input(node_id))
        likely = [name for name in own if name in expected or STRING_INPUT.fullmatch(last_part(name).lower())]
        if likely or links or len(own) != 1:
            return likely
        (only,) = own
        return [] if OTHER_STRING.fullmatch(only.lower()) else own

    def _title_score(self, node_id: str, replaces: bool) -> int:
        """How likely the texts in a node are a person's own, by its title; less so in one that `replaces` texts."""
        title = given_title(self.nodes[node_id])
        score = 0
        if USERS_WORDS.search(title):
            score += 2
        if PROMPT_WORDS.search(title):
            score += 1
        if replaces or OTHERS_WORDS.search(title):
            score -= BESIDE_PENALTY
        return score

    def _look_for_value(self, step: Step) -> Look:
        """Follow a number or a choice to the widget that holds it. Arithmetic on the way ends the search, since the
        result is not what the widget holds."""
        node_id, name = step.node_id, step.sought
        inputs = self.inputs(node_id)
        if "expression" in inputs and name not in CHOICES:
            return [], self._on_through_expression(step)
        value_inputs = [key for key in inputs if key.lower() in VALUE_INPUTS]
        for key in (*PARAMETERS[name], *value_inputs):
            if self.holds(name, node_id, key):
                return [(0, Target(node_id, key))], []
            if self.link(node_id, key):
                return [], self._on_over(step, key, name)
        if len(inputs) == 1 and name not in CHOICES:
            (only,) = inputs
            if self.holds(name, node_id, only):
                return [(0, Target(node_id, only))], []
        return [], self._on_to_value(step)

    def _on_through_expression(self, step: Step) -> Onward:
        """Where the search for a number goes on over a formula. "a" alone only turns one kind of number into another;
        any other is arithmetic."""
        links = self.links(step.node_id)
        if len(links) != 1:
            return []
        *_, variable = links[0].input.split(".")
        if self.inputs(step.node_id)["expression"] != variable:
            return []
        return self._on(step, links)

    def _on_to_value(self, step: Step) -> Onward:
        """Where the search for a value goes on, over a node that has no input for it: a context, a switch, a picture
        with that size, or a node that passes on the one thing that it is given."""
        node_id, name = step.node_id, step.sought
        links = self.links(node_id)
        contexts = [link for link in links if CONTEXT_INPUT.fullmatch(link.input)]
        if contexts:
            return self._on(step, contexts)
        values = [link for link in links if not OTHER_STRING.fullmatch(link.input.lower())]
        if self.chosen_input(node_id):
            return self._on(step, values, *VALUE_TYPES)
        if len(links) != 1:
            return []
        (link,) = links
        if name in ("width", "height") and link.may_carry("IMAGE", "LATENT"):
            return self._on(step, links, sought=f"image {name}")
        if any(is_number(value) for value in self.inputs(node_id).values()):
            return []
        return self._on(step, values, *VALUE_TYPES)

    def _look_for_image_size(self, step: Step) -> Look:
        """Follow a picture to the number that it gets its width or height by."""
        node_id = step.node_id
        name = step.sought.removeprefix("image ")
        size = self.size_inputs(node_id)
        if size:
            key = size[name]
            if self.holds(name, node_id, key):
                return [(0, Target(node_id, key))], []
            return [], self._on_over(step, key, name)
        if SETS_SIZE.search(self.class_type(node_id)) or self.is_maker(node_id):
            return [], []
        pictures = self.links_carrying(node_id, "IMAGE", "LATENT")
        return [], self._on(step, pictures[:1])

    def _look_for_model(self, step: Step) -> Look:
        """Follow a model over LoRAs and patches to the widget that names its file."""
        node_id = step.node_id
        models = self.links_surely_carrying(node_id, "MODEL")
        if not models:
            for key in PARAMETERS["model"]:
                if self.holds("model", node_id, key):
                    return [(0, Target(node_id, key))], []
            models = self.links_carrying(node_id, "MODEL")
        models.sort(key=lambda link: link.input != "model")
        return [], self._on(step, models)

    def _look_for_latent(self, step: Step) -> Look:
        """Follow a latent to the node that makes it, empty or from a picture or sound."""
        node_id = step.node_id
        if self.is_sampler(node_id):
            return [], []
        latents = self.links_surely_carrying(node_id, "LATENT")
        if latents:
            latents.sort(key=lambda link: "audio" in link.input)
            return [], [(place, Step.over(link, "latent")) for place, link in enumerate(latents)]
        makes_empty = not LATENT_INPUTS.isdisjoint(self.inputs(node_id))
        if makes_empty or self.links_surely_carrying(node_id, "IMAGE", "AUDIO"):
            return [(1, Target(node_id, ""))], []
        return [], self._on(step, self.links_carrying(node_id, "LATENT"))

    def _look_for_maker(self, step: Step) -> Look:
        """Follow a picture, film or sound to the sampler or service that makes it."""
        node_id = step.node_id
        if self.is_maker(node_id):
            return [(0, Target(node_id, ""))], []
        begins_latent = self.size_inputs(node_id) and self.links_surely_carrying(node_id, "VAE")
        if begins_latent and step.sought == "maker":
            return [], []  # whatever picture the latent begins with
        return [], self._on(step, self.links(node_id), "LATENT", *MEDIA)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/tracing.py
#
# Trace a graph back from its outputs to what made them, and read what can be set there.
#
# `Tracing` begins at the nodes that save or show something and goes back to what made it. A "maker" is a sampler, or a
# "service": a node that makes something all by itself, such as one that calls somebody's API. Samplers of which each
# takes up the result of the one before form a "line": base and refiner, or a second pass at a larger size. From the
# makers of a line, `Flow` in graph/search follows each input to the widget that holds it. In
#
#     {"3": {"class_type": "KSampler", "inputs": {"seed": 7, "positive": ["6", 0], ...}},
#      "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", ...}},
#      "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], ...}},
#      "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], ...}}}
#
# it goes from "9" over "8" to the only line, ["3"], and `parameters` answers
#
#     {"prompt": {Target("6", "text"): None}, "seed": {Target("3", "seed"): None}, ...}
# ----------------------------------------------------------------------------------------------------------------------


ParameterWidgets = dict[str, dict[Target, None]]  # for each parameter its widgets, in order; the first tells the value
Line = list[str]  # makers of which each goes on with the result of the one before, first to last

# The inputs of a sampler, or of its guider, that take the conditioning of a side.
CONDITIONING_INPUTS = {
    "positive": ("positive", "cond1", "conditioning"),
    "negative": ("negative", "neg_conditioning"),
}
DETAILER = re.compile(r"detailer", re.IGNORECASE)  # in the name of a class: it samples once more by itself


def add_targets(parameters: ParameterWidgets, name: str, *targets: Target | None) -> None:
    """Add widgets to a parameter, those that are not None."""
    widgets = parameters.setdefault(name, {})
    for target in targets:
        if target:
            widgets[target] = None


def id_numbers(node_id: str) -> list[int]:
    """The numbers in a node's id, to sort by: [12, 3] for "12:3"."""
    return [int(number) for number in re.findall(r"\d{1,18}", node_id)]


class Tracing:
    """The parameters of a graph as its links tell them.

    `live` numbers the nodes that feed the outputs which count, each after all that feeds it. `lines` are the rows of
    makers among them, each from its first to its last: [["3", "10"]] for a base and a refiner.
    """

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.live, self.lines = self._lines()

    def parameters(self) -> ParameterWidgets:
        """All parameters with their widgets: those of the first line, and of others where they hold the same."""
        if not self.lines:
            return self._scaled()
        parameters, *others = [self._read(line) for line in self.lines]
        self._add_other_lines(parameters, others)
        self._follow(parameters)
        for name in ("negative_prompt", "lyrics"):
            widgets = parameters.get(name, {})
            for prompt in parameters.get("prompt", {}):
                widgets.pop(prompt, None)
        return {name: widgets for name, widgets in parameters.items() if widgets}

    def _add_other_lines(self, parameters: ParameterWidgets, others: list[ParameterWidgets]) -> None:
        """Add the widgets that other lines have for a parameter, if all of them hold the same."""
        for name, widgets in parameters.items():
            added = [other[name] for other in others if other.get(name)]
            if widgets and all(self._first_alike(widgets, more) for more in added):
                for more in added:
                    widgets.update(more)

    def _first_alike(self, widgets: Iterable[Target], others: Iterable[Target]) -> bool:
        """Whether the first widgets of both hold the same."""
        return same_value(self._first_value(others), self._first_value(widgets))

    def _first_value(self, widgets: Iterable[Target]) -> Any:
        """What the first of these widgets holds."""
        first = next(iter(widgets))
        return self.flow.value(first)

    # From the outputs to the makers, and to the lines that they form.

    def _lines(self) -> tuple[dict[str, int], list[Line]]:
        """`live` and `lines`, read from the best rank of outputs that something is made for.

        `live` also holds what feeds the better ranks. A row whose last maker feeds another row is part of that one.
        """
        order: dict[str, int] = {}
        for outputs in self._outputs():
            for output in outputs:
                self._number(output, order)
            ends = self._nearest_makers(outputs)
            if ends:
                ends.sort(key=lambda node_id: -order[node_id])
                lines = self._lines_to(ends)
                lines.sort(key=lambda line: order[line[0]])
                return order, lines
        return order, []

    def _lines_to(self, ends: Iterable[str]) -> list[Line]:
        """The lines that end with these makers, without those that are only the beginning of another one."""
        lines: list[Line] = []
        inner: set[str] = set()  # makers whose result another one goes on with
        for end in ends:
            if end not in inner:
                line = self._line(end)
                lines.append(line)
                inner.update(line[:-1])
        return [line for line in lines if line[-1] not in inner]

    def _outputs(self) -> list[list[str]]:
        """The nodes that a run is for, in ranks: those that save media, save texts, show media, show texts. What the
        server calls an output node and whose name says neither counts as saving media.

        Where definitions are missing, nodes count whose outputs nothing reads, by the names of their classes; if no
        name says anything, all of them make up one rank. In a rank the lowest id comes first, as the order in the file
        depends on the program that wrote it.
        """
        flow = self.flow
        node_ids = sorted(flow.nodes, key=id_numbers)
        read = {link.source for node_id in node_ids for link in flow.links(node_id)}
        unread = [node_id for node_id in node_ids if node_id not in read]
        ranks: list[list[str]] = [[], [], [], []]
        unnamed = []
        for node_id in node_ids:
            definition = flow.definition(node_id)
            is_end = node_id not in read
            if definition:
                is_end = definition.is_output
            if not is_end:
                continue
            rank = flow.output_rank(node_id)
            if rank is not None:
                ranks[rank].append(node_id)
            elif definition:
                ranks[0].append(node_id)
            else:
                unnamed.append(node_id)
        if any(ranks):
            return ranks
        return [unnamed or unread]

    def _number(self, output: str, order: dict[str, int]) -> None:
        """Number an output and all that feeds it, each node after those that feed it."""
        waiting = [output]
        opened: set[str] = set()
        while waiting:
            node_id = waiting[-1]
            if node_id in order or node_id in opened:
                waiting.pop()
                order.setdefault(node_id, len(order))
                continue
            opened.add(node_id)
            for link in self.flow.links(node_id):
                if link.source not in order:
                    waiting.append(link.source)

    def _nearest_makers(self, outputs: list[str]) -> list[str]:
        """The makers that the outputs' media come from, not those before them; else the makers of their texts."""
        makers = self._makers_over(outputs, "LATENT", *MEDIA)
        if makers:
            return makers
        return self._makers_over(outputs, "LATENT", "STRING", *MEDIA)

    def _makers_over(self, outputs: list[str], *types: str) -> list[str]:
        """The first makers that are met on the ways back from these outputs, over links of these types."""
        makers: list[str] = []
        waiting = list(outputs)
        seen = set(outputs)
        for node_id in waiting:
            if self.flow.is_maker(node_id):
                makers.append(node_id)
                continue
            for link in self.flow.links_carrying(node_id, *types):
                if link.source not in seen:
                    seen.add(link.source)
                    waiting.append(link.source)
        return makers

    def _line(self, end: str) -> Line:
        """The makers of one result that share its settings, first to last: a sampler and those that it takes its latent
        from, or, alone, the last service whose prompt says something."""
        maker = self._asked(end)
        row = self._makers_up_to(maker)
        last = len(row) - 1
        asked = [index for index, node_id in enumerate(row) if self._prompt_text(node_id)]
        if asked:
            last = asked[-1]
        if self.flow.is_service(row[last]):
            return [row[last]]
        first = last
        while first > 0 and self.flow.is_sampler(row[first - 1]):
            first -= 1
        while first < last and not self._words(row[first], "positive"):
            first += 1  # it only prepares the picture, as a depth map, say
        return [node_id for node_id in row[first:] if self.flow.is_sampler(node_id)]

    def _makers_up_to(self, end: str) -> Line:
        """The makers of which each goes on with the result of the one before, first to last; `PARTS` at most."""
        row = [end]
        while len(row) < PARTS:
            before = self._before(row[0])
            if before is None or before in row:
                break
            row.insert(0, before)
        return row

    def _asked(self, end: str) -> str:
        """The maker itself if it takes words, else the nearest one before it that does, as where a video is made of a
        picture that was made of words; the maker itself when there is none."""
        maker: str | None = end
        for _ in range(PARTS + 1):
            if maker is None:
                break
            if self._words(maker, "positive"):
                return maker
            maker = self._before(maker) or self._earlier(maker)
        return end

    @once
    def _before(self, node_id: str) -> str | None:
        """The maker whose result a maker goes on with, in its latent or as a picture, or None."""
        return self._maker_before(node_id, "maker")

    @once
    def _earlier(self, node_id: str) -> str | None:
        """The same, also where the maker begins a new latent with that result: a film that starts from a picture."""
        return self._maker_before(node_id, "earlier maker")

    def _maker_before(self, node_id: str, sought: str) -> str | None:
        """The maker behind a node's links, latents first; `sought` is "maker" or "earlier maker"."""
        links = self.flow.links_carrying(node_id, "LATENT", *MEDIA)
        media = [link for link in links if not link.surely_carries(*SAMPLING)]
        media.sort(key=lambda link: (not link.surely_carries("LATENT"), not link.surely_carries(*MEDIA)))
        maker = self._first_found(media, sought)
        return maker.node_id if maker else None

    def _first_found(self, links: Iterable[TypedLink], sought: str) -> Target | None:
        """The best find upstream of the first of these links that leads to one."""
        for link in links:
            target = self.flow.best(link, sought)
            if target:
                return target
        return None

    # What can be set of one line.

    def _read(self, line: Line) -> ParameterWidgets:
        """The parameters of one line."""
        if self.flow.is_sampler(line[0]):
            return self._read_samplers(line)
        return self._read_service(line[-1])

    def _read_service(self, node_id: str) -> ParameterWidgets:
        """What can be set of a service: all its inputs that are called as a parameter is."""
        flow = self.flow
        parameters: ParameterWidgets = {"prompt": {}, "negative_prompt": {}}
        add_targets(parameters, "prompt", *flow.words(node_id, "positive"))
        if any(words_in(name) == "negative" for name in flow.texts(node_id, "negative")):
            add_targets(parameters, "negative_prompt", *flow.words(node_id, "negative"))
        keys: dict[str, str] = {}  # the inputs by their names without their group's: "width" -> "model.width"
        for key in flow.inputs(node_id):
            keys.setdefault(last_part(key).lower(), key)
        passed_over = {"prompt", "negative_prompt"}
        if self._has_size_preset(node_id, keys):
            passed_over |= {"width", "height"}
        for name, spellings in PARAMETERS.items():
            if name in passed_over:
                continue
            named = [keys[spelling] for spelling in spellings if spelling in keys]
            target = self._first_widget(name, node_id, named)
            if target:
                parameters[name] = {target: None}
        return parameters

    def _has_size_preset(self, node_id: str, keys: dict[str, str]) -> bool:
        """Whether a service goes by a size out of a list, unless that says "custom": its width and height are idle."""
        inputs = self.flow.inputs(node_id)
        for spelling in PARAMETERS["size"]:
            if spelling in keys:
                size = str(inputs[keys[spelling]])
                if "custom" not in size.lower():
                    return True
        return False

    def _first_widget(self, name: str, node_id: str, keys: Iterable[str]) -> Target | None:
        """The widget that holds a parameter under the first of these inputs that has it, in the node or over a link."""
        for key in keys:
            if self.flow.holds(name, node_id, key):
                return Target(node_id, key)
            link = self.flow.link(node_id, key)
            target = self.flow.best(link, name)
            if target:
                return target
        return None

    def _read_samplers(self, line: Line) -> ParameterWidgets:
        """What can be set of a line of samplers: by its first one, and in the later ones what they share with it."""
        head = line[0]
        parameters: ParameterWidgets = {name: {} for name in ("prompt", "negative_prompt", "seed")}
        for node_id in line:
            self._read_sampler(node_id, head, parameters)
        steps = parameters.setdefault("steps", {})
        model_link = self._model_link(head)
        add_targets(parameters, "denoise", self._own("denoise", head))
        add_targets(parameters, "steps", *self._hand_overs(line, steps))
        add_targets(parameters, "model", self.flow.best(model_link, "model"))
        encoder = self._encoder(head, "positive")
        if encoder:
            for name in ("lyrics", "seed"):
                add_targets(parameters, name, self.flow.target(name, encoder.node_id))
        latent = self._latent(head)
        if latent:
            self._read_latent(latent, parameters)
        return parameters

    def _read_sampler(self, node_id: str, head: str, parameters: ParameterWidgets) -> None:
        """Add to `parameters` what can be set of a sampler: of the first of its line, `head`, everything, and of a
        later one what it shares with that."""
        is_same_schedule = node_id == head or self._goes_on(node_id, head)
        for name, side in (("prompt", "positive"), ("negative_prompt", "negative")):
            words = self._words(node_id, side)
            if is_same_schedule or self._shares_text(node_id, words, parameters[name]):
                add_targets(parameters, name, *words)
        add_targets(parameters, "seed", self._own("seed", node_id))
        for name in ("sampler", "scheduler"):
            self._add_alike(parameters, name, self._own(name, node_id))
        self._add_alike(parameters, "guidance", self._guidance(node_id))
        if is_same_schedule:
            add_targets(parameters, "steps", self._own("steps", node_id))

    def _read_latent(self, latent: str, parameters: ParameterWidgets) -> None:
        """Add to `parameters` what can be set of the latent that a line of samplers starts from."""
        width = self._size("width", latent)
        height = self._size("height", latent)
        if width and height:
            add_targets(parameters, "width", width)
            add_targets(parameters, "height", height)
        else:
            add_targets(parameters, "aspect_ratio", self._aspect_ratio(latent))
        for name in ("batch_size", "length", "seconds"):
            add_targets(parameters, name, self.flow.target(name, latent))

    # The words of a maker, and which samplers of a line share them.

    def _words(self, node_id: str, side: str) -> list[Target]:
        """The widgets of a maker's prompt ("positive") or negative prompt ("negative")."""
        if not self.flow.is_sampler(node_id):
            return self.flow.words(node_id, side)
        encoder = self._encoder(node_id, side)
        if encoder is None:
            return []
        return self.flow.words(encoder.node_id, encoder.input)

    def _encoder(self, node_id: str, side: str) -> Target | None:
        """The encoder of a sampler's main text of a side, as `Target(encoder, side of its texts)`, whether the sampler,
        its guider or a pipe brings the conditioning."""
        for part in self.flow.parts(node_id):
            encoder = self._first_found(self._side_links(part, side), side)
            if encoder:
                return encoder
        return None

    def _side_links(self, part: str, side: str) -> list[TypedLink]:
        """The links that bring a part of a sampler the conditioning of a side; those that may, where it has no inputs
        of the usual names."""
        flow = self.flow
        names = CONDITIONING_INPUTS[side]
        links = [flow.link(part, name) for name in names]
        named = [link for link in links if link]
        usual = {"positive", "negative", "guider", *names}
        if named or not usual.isdisjoint(flow.inputs(part)):
            return named
        return [link for link in flow.links(part) if link.is_strange or "embeds" in link.input]

    @once
    def _prompt_text(self, node_id: str) -> str:
        """What a maker is asked for, or "" when its prompt is empty or it has none."""
        words = self._words(node_id, "positive")
        if not words:
            return ""
        return str(self._first_value(words)).strip()

    def _shares_text(self, node_id: str, words: list[Target], first: Iterable[Target]) -> bool:
        """Whether a sampler's text is set together with that of the first one, as it holds the same, or none. But a
        detailer's empty text stays empty."""
        texts = [self.flow.value(target) for target in words]
        first_texts = [self.flow.value(target) for target in first]
        if texts[:1] == first_texts[:1]:
            return True
        is_detailer = bool(DETAILER.search(self.flow.class_type(node_id)))
        return bool(first_texts) and not any(texts) and not is_detailer

    # The sampling: a parameter of a sampler or its parts, guidance, model, and how one sampler hands over to the next.

    def _own(self, name: str, node_id: str) -> Target | None:
        """The widget that holds a parameter of a sampler, in the sampler itself or in its parts."""
        parts = self.flow.parts(node_id)
        if name in ("steps", "denoise"):  # what only splits a schedule does not make it
            parts = [part for part in parts if part == node_id or not self.flow.link(part, "sigmas")]
        return self.flow.target(name, *parts)

    @once
    def _guidance(self, node_id: str) -> Target | None:
        """The widget of a sampler's guidance. A distilled model takes it with the text and runs at cfg 1, which must
        stay."""
        flow = self.flow
        for part in flow.parts(node_id):
            for name in ("positive", "conditioning", "cond1"):
                embedded = flow.best(flow.link(part, name), "embedded guidance")
                if embedded is None:
                    continue
                target = flow.target("guidance", embedded.node_id)
                if target:
                    return target
        return self._own("guidance", node_id)

    def _add_alike(self, parameters: ParameterWidgets, name: str, target: Target | None) -> None:
        """Add a widget to a parameter if it is the first or holds the same as the first."""
        widgets = parameters.setdefault(name, {})
        if target and (not widgets or self._first_alike(widgets, [target])):
            widgets[target] = None

    def _model_link(self, node_id: str) -> TypedLink | None:
        """The link that brings a sampler's model, also that of its guider or a pipe."""
        parts = self.flow.parts(node_id)
        for part in parts:
            link = self.flow.link(part, "model")
            if link:
                return link
        for part in parts:
            for link in self.flow.links(part):
                if link.is_strange:
                    return link
        return None

    def _goes_on(self, node_id: str, head: str) -> bool:
        """Whether a sampler goes on with the schedule of the first one, `head`, instead of having its own."""
        start = self._own_step("start_at_step", node_id)
        if start is None:
            steps = self._own("steps", node_id)
            return steps is not None and steps == self._own("steps", head)
        noise = self.flow.inputs(node_id).get("add_noise")
        adds_noise = noise not in ("disable", False, None)
        return bool(self.flow.value(start)) and not adds_noise

    def _hand_overs(self, line: Line, steps: Iterable[Target]) -> Iterator[Target]:
        """The widgets of the steps at which one sampler hands over to the next. They move with the number of steps: the
        `part` of each is its share of all steps, 0.8 for step 16 of 20."""
        values = [self.flow.value(target) for target in steps]
        numbers = [value for value in values if is_number(value)]
        if not numbers:
            return
        all_steps = float(numbers[0])
        for target in self._step_widgets(line):
            step = self.flow.value(target)
            if is_number(step) and 0 < step < all_steps:
                yield replace(target, part=step / all_steps)

    def _step_widgets(self, line: Line) -> Iterator[Target]:
        """The widgets that tell where a sampler of a line begins or ends within the schedule of the first one."""
        head = line[0]
        for node_id in line:
            if node_id != head and not self._goes_on(node_id, head):
                continue
            for part in self.flow.parts(node_id):
                for key in ("start_at_step", "end_at_step", "step"):
                    target = self._own_step(key, part)
                    if target:
                        yield target

    def _own_step(self, key: str, node_id: str) -> Target | None:
        """The widget of a step in the schedule, "start_at_step", say, also over a link."""
        if is_number(self.flow.inputs(node_id).get(key)):
            return Target(node_id, key)
        return self.flow.best(self.flow.link(node_id, key), "steps")

    # The latent that sampling starts from, and the size of it.

    @once
    def _latent(self, node_id: str) -> str | None:
        """The node that makes the latent which a sampler starts from, or None."""
        links = self.flow.links_carrying(node_id, "LATENT", "IMAGE")
        links.sort(key=lambda link: (link.input != "latent_image", not link.surely_carries("LATENT")))
        latent = self._first_found(links, "latent")
        return latent.node_id if latent else None

    def _size(self, name: str, latent: str) -> Target | None:
        """The widget that holds a latent's width or height, also that of the picture that it is made from."""
        flow = self.flow
        size = flow.size_inputs(latent)
        if not size:
            pictures = flow.links_surely_carrying(latent, "IMAGE")
            return flow.best(pictures[0], f"image {name}") if pictures else None
        if size["width"] == "width":
            return flow.target(name, latent)
        return self._first_widget(name, latent, [size[name]])

    def _aspect_ratio(self, latent: str) -> Target | None:
        """The widget that chooses a latent's size where no numbers do."""
        target = self.flow.target("aspect_ratio", latent)
        if target:
            return target
        width_link = self.flow.link(latent, "width")
        return self.flow.best(width_link, "aspect_ratio")

    # What is added to the first line, and what there is to set where nothing is made.

    def _follow(self, parameters: ParameterWidgets) -> None:
        """Add the widgets on the way that must hold the same as a parameter: the size given to a scheduler or encoder,
        the frames of the sound beside the frames of the picture, a model file that is loaded twice. Add all frame
        rates."""
        values = {name: self._first_value(widgets) for name, widgets in parameters.items() if widgets}
        followed = [name for name in ("length", "seconds", "model") if values.get(name, 0) not in (0, 1)]
        live = sorted(self.live, key=lambda node_id: -self.live[node_id])
        for node_id in live:
            add_targets(parameters, "fps", self.flow.target("fps", node_id))
            if "width" in values and "height" in values:
                self._follow_size(node_id, values["width"], values["height"], parameters)
            for name in followed:
                self._follow_value(node_id, name, values[name], parameters)

    def _follow_size(self, node_id: str, width: Any, height: Any, parameters: ParameterWidgets) -> None:
        """Add the widgets of a node that hold just this width and height."""
        inputs = self.flow.inputs(node_id)
        for width_key, height_key in SIZE_INPUTS:
            if inputs.get(width_key) == width and inputs.get(height_key) == height:
                add_targets(parameters, "width", Target(node_id, width_key))
                add_targets(parameters, "height", Target(node_id, height_key))

    def _follow_value(self, node_id: str, name: str, value: Any, parameters: ParameterWidgets) -> None:
        """Add the widgets of a node that hold this value of a parameter."""
        inputs = self.flow.inputs(node_id)
        for key in PARAMETERS[name]:
            if self.flow.holds(name, node_id, key) and same_value(inputs[key], value):
                add_targets(parameters, name, Target(node_id, key))

    def _scaled(self) -> ParameterWidgets:
        """What can be set where nothing is made: of pictures that are only changed, the size of what is saved."""
        for outputs in self._outputs():
            for output in outputs:
                for link in self.flow.links(output):
                    if not link.surely_carries("IMAGE"):
                        continue
                    width = self.flow.best(link, "image width")
                    height = self.flow.best(link, "image height")
                    if width and height:
                        return {"width": {width: None}, "height": {height: None}}
        return {}


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/discovery.py
#
# Find what can be set in a graph, and in which widgets: prompt, seed, size and so on.
#
# `discover` takes the index of a graph in the API format and answers, for a plain text-to-image workflow,
#
#     {"prompt": (Target("6", "text"),), "negative_prompt": (Target("7", "text"),), "seed": (Target("3", "seed"),),
#      "width": (Target("5", "width"),), "model": (Target("4", "ckpt_name"),), ...}
#
# A parameter that stands in several widgets is set in all of them, and the first tells its value. What the author
# named counts before what is traced: `titled` reads the titles of nodes ("param: style", "Prompt", "Int (Steps)"), and
# `placeholders` those in texts (`{{style}}`, `%%STEPS%%`, `%prompt%`).
#
# All else is found by tracing the graph back from its outputs (see graph/tracing). The tests read the official templates
# of ComfyUI 0.3.64 and 0.33.0 so, with node definitions and by names alone.
# ----------------------------------------------------------------------------------------------------------------------


def discover(flow: Flow) -> dict[str, tuple[Target, ...]]:
    """The parameters of a graph, in the order of `PARAMETERS` and others last, each with the widgets that hold it.

    What the author named comes before what tracing finds: nodes titled "param: <name>" or by nothing but a parameter's
    name, and placeholders {{name}}, %%name%% or %name%. A placeholder for a number or a choice inside a longer text
    ("a photo, %steps% steps") takes nothing away: it is set besides the widget itself. The more definitions
    there are, the better is the answer.
    """
    tracing = Tracing(flow)
    traced = {name: tuple(targets) for name, targets in tracing.parameters().items()}
    named = titled(flow, traced, tracing.live)
    mentioned: dict[str, list[Target]] = {}  # numbers and choices inside texts, set besides their own widgets
    for name, target in placeholders(flow, traced):
        is_inside = flow.value(target) != target.token
        if is_inside and name in PARAMETERS and name not in TEXTS:
            mentioned.setdefault(name, []).append(target)
        else:
            named.setdefault(name, []).append(target)
    parameters: dict[str, tuple[Target, ...]] = {}
    for name in (*PARAMETERS, *traced, *named, *mentioned):
        targets = named.get(name) or traced.get(name, ())
        widgets = (*targets, *mentioned.get(name, ()))
        if widgets:
            parameters[name] = widgets
    return parameters


# Other names of parameters, as people and nodes write them, and the parameter that each means.
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


def parameter_name(text: str) -> str:
    """The parameter that a spelling means: "CFG scale" is "guidance". An unknown one keeps its name, in lower case with
    underscores."""
    plain = re.sub(r"[\s_-]+", "_", text.strip().casefold()).strip("_")
    return ALIASES.get(plain, plain)


# What the author named, in titles and in placeholders: `{{seed}}`, `%%SEED%%` or `%seed%` in a text, and the titles
# "param: seed", "Int (Steps)", "Text String (Prompt)" or "Frame Rate(int)". `%name%` is common text, so only the names
# here count in it; "scale" is what SillyTavern calls guidance.
PLACEHOLDER_NAMES = {**ALIASES, **{name: name for name in (*PARAMETERS, "clip_skip", "vae")}, "scale": "guidance"}
PLACEHOLDER = re.compile(r"\{\{\s*([^\W\d]\w*)\s*\}\}|%%([^\W\d]\w*)%%|%([^\W\d]\w*)%")
NO_PLACEHOLDER = ("find", "search", "pattern", "regex_pattern", "old")  # inputs: the graph itself replaces these texts
PARAM_TITLE = re.compile(r"param\s*:\s*(.*\S)", re.IGNORECASE)
KIND_IN_TITLE = re.compile(
    r"(?:int|float|number|text|string|multiline|value|\s)+\((?P<inside>[^()]+)\)"
    r"|(?P<before>[^()]+)\((?:int|float|number|text|string)\)",
    re.IGNORECASE,
)
MAIN_INPUTS = (*VALUE_INPUTS, "seed", "prompt", "tags")  # of a node that is about one thing


def titled(flow: Flow, traced: Mapping[str, tuple[Target, ...]], live: Iterable[str]) -> dict[str, list[Target]]:
    """The parameters that node titles name, with their widgets.

    "param: <name>" counts everywhere. A bare title, "Steps" or "Int (Steps)", counts on `live` nodes and for names in
    `PARAMETERS` only. Where bare titles contradict one another (two nodes "Steps" before a switch), those count that
    tracing reaches too.
    """
    named, bare = read_titles(flow, set(live))
    for name, targets in bare.items():
        reached = [target for target in traced.get(name, ()) if target in targets]
        if not reached or all_alike(flow, targets):
            reached += targets
        named.setdefault(name, dict.fromkeys(reached))
    for name, targets in named.items():
        also = traced.get(name, ())
        if targets.keys().isdisjoint(also):
            continue
        hand_overs = [target for target in also if target.part != 1.0]  # steps at which one sampler relieves another
        add_targets(named, name, *hand_overs)
    return {name: list(targets) for name, targets in named.items() if targets}


def read_titles(flow: Flow, live: Collection[str]) -> tuple[ParameterWidgets, ParameterWidgets]:
    """What titles of the form "param: <name>" name, and what bare ones on `live` nodes do."""
    explicit: ParameterWidgets = {}
    bare: ParameterWidgets = {}
    for node_id, node in flow.nodes.items():
        title = given_title(node)
        asked = PARAM_TITLE.fullmatch(title)
        if asked:
            name = parameter_name(asked[1])
            add_targets(explicit, name, *titled_widgets(flow, node_id, name))
            continue
        name = bare_name(title)
        if name in PARAMETERS and node_id in live and not is_class_title(flow, node_id, title):
            add_targets(bare, name, *titled_widgets(flow, node_id, name))
    return explicit, bare


def bare_name(title: str) -> str:
    """The parameter that a title without "param:" would name: "Steps" and "Int (Steps)" are both "steps"."""
    with_kind = KIND_IN_TITLE.fullmatch(title)
    if with_kind:
        title = with_kind["inside"] or with_kind["before"]
    return parameter_name(title)


def is_class_title(flow: Flow, node_id: str, title: str) -> bool:
    """Whether a title is only that of the node's class."""
    definition = flow.definition(node_id)
    if definition and title == definition.title:
        return True
    return title == flow.class_type(node_id)


def all_alike(flow: Flow, targets: Iterable[Target]) -> bool:
    """Whether all these widgets hold the same."""
    values = [flow.value(target) for target in targets]
    return all(same_value(value, values[0]) for value in values)


def titled_widgets(flow: Flow, node_id: str, name: str) -> list[Target]:
    """The widgets of a node that its title means: those of that name, else its only or its main one, or what these
    read over a link."""
    side = "negative" if name == "negative_prompt" else "positive"
    if name in ("prompt", "negative_prompt"):
        words = flow.words(node_id, side)
        if words:
            return words
    is_known = name in PARAMETERS
    sought = name
    if name in TEXTS or not is_known:
        sought = f"{side} text"
    for key in titled_inputs(flow, node_id, name):
        is_widget = not is_link(flow.inputs(node_id)[key])
        if is_widget and (not is_known or flow.holds(name, node_id, key)):
            return [Target(node_id, key)]
        link = flow.link(node_id, key)
        if link is None or link.surely_carries(*SAMPLING):
            continue
        widget = flow.best(link, sought)
        if widget:
            return [widget]
    return []


def titled_inputs(flow: Flow, node_id: str, name: str) -> list[str]:
    """The inputs of a node that its title may mean, likeliest first: those of that name, its only widget, its main
    ones."""
    inputs = flow.inputs(node_id)
    spellings = PARAMETERS.get(name, ())
    keys = [key for key in inputs if parameter_name(key) == name or key in spellings]
    widgets = [key for key, value in inputs.items() if not is_link(value)]
    if len(widgets) == 1:
        keys += widgets
    for wanted in MAIN_INPUTS:
        keys += [key for key in inputs if key.lower() == wanted]
    return keys


def placeholders(flow: Flow, traced: Mapping[str, tuple[Target, ...]]) -> Iterator[tuple[str, Target]]:
    """Every placeholder as a `Target` with its `token`, and the parameter that it names.

    `%name%` is common text, above all in file names ("%year%-%month%"). It counts for the names in `PLACEHOLDER_NAMES`,
    and inside a longer text only where somebody's words stand. What nodes of the graph replace themselves is left out.
    """
    prompts: set[Target] = set()
    for name in TEXTS:
        prompts.update(target.widget for target in traced.get(name, ()))
    texts = marked_texts(flow)
    replaced = {text for widget, text in texts if widget.input in NO_PLACEHOLDER}  # by nodes of the graph itself
    for widget, text in texts:
        is_prompt = widget in prompts or bool(words_in(widget.input))
        for match in PLACEHOLDER.finditer(text):
            token = match[0]
            name = (match[1] or match[2] or match[3]).lower()
            is_common = match[3] is not None  # written as %name%
            stands_alone = text == token
            if is_common and not (common_counts(name, widget) and (stands_alone or is_prompt)):
                continue
            if token not in replaced:
                parameter = PLACEHOLDER_NAMES.get(name, name)
                yield parameter, replace(widget, token=token)


def common_counts(name: str, widget: Target) -> bool:
    """Whether `%name%` can be a placeholder in a widget, by the name and by the widget."""
    return name in PLACEHOLDER_NAMES and widget.input != "filename_prefix"


def marked_texts(flow: Flow) -> list[tuple[Target, str]]:
    """All widgets with texts that may have placeholders in them, and these texts."""
    texts = []
    for node_id in flow.nodes:
        for key, value in flow.inputs(node_id).items():
            if isinstance(value, str) and ("{{" in value or "%" in value):
                texts.append((Target(node_id, key), value))
    return texts


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/workflow.py
#
# A workflow as a value that never changes: a graph, and what can be set in it by name.
#
# `Workflow.parse` takes a graph in ComfyUI's API format and finds its parameters (see graph/discovery). Besides them
# every widget has a name, "<node title>.<input>". `bind` sets values by such names and gives a new workflow:
#
#     graph = {"6": {"class_type": "CLIPTextEncode", "inputs": {"text": "{{who}}, in oil", "clip": ["4", 1]}}, ...}
#     workflow = Workflow.parse("portrait", graph)
#     workflow.bind({"who": "a fox", "seed": 7, "KSampler.cfg": 3.5}).filled().graph
#
# Placeholders need more care than widgets, since texts can be bound again: `templates` keeps the texts as they were
# saved, `given` what was bound to their placeholders, and the graph always holds what follows from both. Before a run
# come `chosen`, which settles `{a|b}` in the saved texts, `bind`, and `filled`, which leaves no placeholder. `spec`
# tells the type, range and choices of what stands under a name, by the server's node definitions; `flow` is the index of
# the graph's links, which everything that reads the graph shares.
# ----------------------------------------------------------------------------------------------------------------------


Targets = tuple[Target, ...]  # the widgets of one parameter
Meanings = dict[str, Targets | None]  # what names mean; None where one could mean several things


def is_node(value: Any) -> bool:
    """Whether a value is a node of a graph in the API format."""
    return isinstance(value, dict) and isinstance(value.get("class_type"), str)


@dataclass(frozen=True)
class Workflow:
    """A graph in ComfyUI's API format, and the parameters found in it.

    A parameter's `Target`s are the widgets that hold it; all of them are set together. Nothing here changes an object:
    `bind`, `set`, `chosen` and `filled` give new ones, which share what has not changed.
    """

    name: str
    graph: Graph
    parameters: Mapping[str, Targets]
    templates: Mapping[Target, str] = field(default_factory=dict)  # texts with placeholders, as they were saved
    given: Mapping[str, Any] = field(default_factory=dict)  # what was bound to placeholders: {"{{who}}": "a fox"}
    dynamic: frozenset[Target] = frozenset()  # texts that `dynamic_prompt` rewrites before every run
    definitions: Definitions = field(default_factory=dict, compare=False, repr=False)  # of its nodes, where known

    @classmethod
    def parse(
        cls,
        name: str,
        graph: Any,
        definitions: Definitions = NO_DEFINITIONS,
        dynamic: frozenset[Target] = frozenset(),
    ) -> "Workflow":
        """A workflow from a graph in the API format. Raises `WorkflowRefused` when it is not one.

        The more definitions of its node classes there are, the better its parameters are found; without any, names
        have to do. `dynamic` are the texts that the front end would rewrite before each run.
        """
        if not graph:
            raise WorkflowRefused("The workflow has no nodes.", EXPECTED)
        if not isinstance(graph, dict) or not all(map(is_node, graph.values())):
            raise WorkflowRefused("This is not a graph in ComfyUI's API format.", EXPECTED)
        flow = Flow.of(graph, definitions)
        parameters = discover(flow)
        templates: dict[Target, str] = {}
        for target in itertools.chain(*parameters.values()):
            if target.token:
                inputs = graph[target.node_id]["inputs"]
                templates[target.widget] = inputs[target.input]
        workflow = cls(name, graph, parameters, templates, dynamic=dynamic, definitions=definitions)
        workflow.__dict__["flow"] = flow  # as if the cached property had been read
        return workflow

    @functools.cached_property
    def flow(self) -> Flow:
        """The index of the graph's links, made when it is first read. A workflow with another graph, or with other
        definitions, makes its own."""
        return Flow.of(self.graph, self.definitions)

    # What can be set, and what each name means.

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The names of everything that can be set: the parameters, then the widgets."""
        return (*self.parameters, *self.widgets)

    @functools.cached_property
    def widgets(self) -> Mapping[str, Target]:
        """Every input that holds a value and not a link, by "<node title>.<input>", in the graph's order. Where several
        nodes share a title, their ids tell them apart: "<node title> (<id>).<input>"."""
        titles = {node_id: plain_title(node) for node_id, node in self.graph.items()}
        counts = Counter(map(simplified, titles.values()))
        named: dict[str, Target] = {}
        for node_id, title in titles.items():
            with_id = f"{title} ({node_id})"
            is_shared = counts[simplified(title)] > 1
            label = with_id if is_shared else title
            for key, value in node_inputs(self.graph[node_id]).items():
                if is_link(value):
                    continue
                name = f"{label}.{key}"
                if name in named:
                    name = f"{with_id}.{key}"
                named[name] = Target(node_id, key)
        return named

    def find(self, name: str) -> Targets | None:
        """The widgets that a name means, or None when it means nothing or could mean several things.

        It may name a parameter or an alias of one, a widget, "<node id>.<input>", or "<class>.<input>" when only one
        node fits. Case, spaces and underscores do not matter.
        """
        if self.parameters.get(name):
            return self.parameters[name]
        if name in self.widgets:
            return (self.widgets[name],)
        return self._lookup.get(simplified(name))

    @functools.cached_property
    def _lookup(self) -> Meanings:
        """What each simplified name means, None where it could mean several things. What names a parameter
        counts first, then titles, classes, ids, and aliases last."""
        classes: Meanings = {}
        titles: Meanings = {}
        ids: Meanings = {}
        for name, widget in self.widgets.items():
            class_type = self.graph[widget.node_id]["class_type"]
            by_title = simplified(name)
            by_class = simplified(f"{class_type}.{widget.input}")
            by_id = simplified(f"{widget.node_id}.{widget.input}")
            titles[by_title] = None if by_title in titles else (widget,)
            classes[by_class] = None if by_class in classes else (widget,)
            ids[by_id] = (widget,)
        aliases = {simplified(alias): self.parameters.get(name) for alias, name in ALIASES.items()}
        parameters = {simplified(name): targets for name, targets in self.parameters.items()}
        return {**aliases, **ids, **classes, **titles, **parameters}

    def _targets(self, name: str) -> Targets:
        """The widgets that a name means. Raises `BadArgument` with the closest names when there are none."""
        targets = self.find(name)
        if targets is None:
            similar = quoted(closest(name, self.names))
            message = f'The workflow "{self.name}" has no "{shortened(name)}".'
            raise BadArgument(message, f"The closest are: {similar}.")
        return targets

    # The values of a workflow, and what the server accepts.

    def value(self, name: str) -> Any:
        """What the graph holds under a name, or None when it has no such name or only an unbound placeholder there."""
        return self._held(self.find(name) or ())

    def _held(self, targets: Sequence[Target]) -> Any:
        """What the first of these widgets holds; a placeholder only counts where there are no plain ones."""
        for target in targets:
            if not target.token:
                node = self.graph[target.node_id]
                return node_inputs(node).get(target.input)
        if targets:
            return self.given.get(targets[0].token)
        return None

    @property
    def open(self) -> tuple[str, ...]:
        """The parameters that have no value: all their widgets are placeholders that nothing was bound to."""
        return tuple(name for name, targets in self.parameters.items() if all(map(self._is_unbound, targets)))

    def _is_unbound(self, target: Target) -> bool:
        """Whether a target is a placeholder that nothing was bound to."""
        return bool(target.token) and target.token not in self.given

    def spec(self, name: str) -> InputSpec:
        """What the server accepts under a name: any text where it does not know the class, or inside a text. Raises
        `BadArgument` for an unknown name."""
        target = self._targets(name)[0]
        if self._is_inside(target):
            return InputSpec("STRING")
        return self.widget_spec(target)

    def widget_spec(self, target: Target) -> InputSpec:
        """What the server accepts in a widget: any text where it does not know the class. The range of the input that
        reads the widget over a link comes before the widget's own."""
        for place in (target.reader, target):
            if place is None:
                continue
            node = self.graph[place.node_id]
            definition = self.definitions.get(node["class_type"])
            if definition is None:
                continue
            spec = definition.spec(place.input, node_inputs(node))
            if spec:
                return spec
        return InputSpec("STRING")

    def _is_inside(self, target: Target) -> bool:
        """Whether a target is a placeholder with text around it."""
        return bool(target.token) and self.templates.get(target.widget) != target.token

    # New workflows out of this one.

    def bind(self, values: Mapping[str, Any]) -> "Workflow":
        """The same workflow with these values, each under a name that `find` knows; raises `BadArgument` for another.

        A value that the workflow holds already changes nothing, not even where a parameter's widgets differ.
        """
        given = dict(self.given)
        widgets: dict[Target, Any] = {}
        for name, value in values.items():
            targets = self._targets(name)
            is_held = same_value(value, self._held(targets))
            for target in targets:
                if is_held:
                    widgets.pop(target, None)  # an earlier name for the same widget does not count any more
                elif target.token:
                    given[target.token] = value
                else:
                    widgets[target] = share(value, target.part)
        bound = self
        if given != self.given:
            bound = replace(self.set(self._texts(given)), given=given, templates=self.templates)
        return bound.set(widgets)

    def _texts(self, given: Mapping[str, Any]) -> dict[Target, Any]:
        """The texts with placeholders, as they are when these values are given for them."""
        texts: dict[Target, Any] = {}
        for widget, text in self.templates.items():
            tokens = self._tokens.get(widget, set()) & given.keys()
            texts[widget] = fill(text, {token: given[token] for token in tokens})
        return texts

    @functools.cached_property
    def _tokens(self) -> Mapping[Target, set[str]]:
        """The placeholders in each text that counts as having some. What looks like one elsewhere is plain text."""
        tokens: dict[Target, set[str]] = {}
        for target in itertools.chain(*self.parameters.values()):
            if target.token:
                tokens.setdefault(target.widget, set()).add(target.token)
        return tokens

    def set(self, widgets: Mapping[Target, Any]) -> "Workflow":
        """The same workflow with these widgets set. One with placeholders becomes a plain one: its saved text is
        forgotten."""
        if not widgets:
            return self
        graph = dict(self.graph)
        for target, value in widgets.items():
            node = graph[target.node_id]
            inputs = {**node_inputs(node), target.input: value}
            graph[target.node_id] = {**node, "inputs": inputs}
        changed = {target.widget for target in widgets}
        templates = {widget: text for widget, text in self.templates.items() if widget not in changed}
        return replace(self, graph=graph, templates=templates)

    def chosen(self, rng: random.Random) -> "Workflow":
        """The same workflow with one of each `{a|b}` chosen in those `dynamic` texts that have placeholders.

        What is put in for the placeholders later is not chosen from: texts of private characters stand in for them.
        """
        templates = dict(self.templates)
        dynamic = self.dynamic & templates.keys()
        for widget in sorted(dynamic, key=lambda target: (target.node_id, target.input)):
            tokens = [token for token, _ in self._placeholders(widget)]
            shields = {token: f"\ue000{place}\ue001" for place, token in enumerate(tokens)}
            shielded = str(fill(templates[widget], shields))
            text = dynamic_prompt(shielded, rng)
            tokens_back = {shield: token for token, shield in shields.items()}
            templates[widget] = str(fill(text, tokens_back))
        return replace(self, templates=templates)

    def _placeholders(self, widget: Target) -> Iterator[tuple[str, str]]:
        """The placeholders in a widget's text, each with the name of its parameter."""
        for name, targets in self.parameters.items():
            for target in targets:
                if target.token and target.widget == widget:
                    yield target.token, name

    def filled(self) -> "Workflow":
        """The same workflow with no placeholder left.

        One that nothing was bound to gives way to the node's default where it is the whole text. Inside a text it gives
        way to what the parameter holds in another widget, or to nothing.
        """
        widgets: dict[Target, Any] = {}
        for widget, text in self.templates.items():
            values: dict[str, Any] = {}
            for token, name in self._placeholders(widget):
                value = self.value(name)
                if value is None:
                    value = ""
                values[token] = value
            if text not in values:
                widgets[widget] = fill(text, {**values, **self.given})
            elif text not in self.given:
                widgets[widget] = default_value(self.widget_spec(widget))
        return self.set(widgets)


def fill(text: str, given: Mapping[str, Any]) -> Any:
    """A text with its placeholders replaced by what is given for them.

    With {"%steps%": 20} the text "%steps% steps" becomes "20 steps", and "%steps%" alone the number 20 itself.
    """
    if text in given:
        return given[text]
    if not given:
        return text
    longest_first = sorted(given, key=len, reverse=True)
    tokens = "|".join(re.escape(token) for token in longest_first)
    return re.sub(tokens, lambda match: str(given[match[0]]), text)


def default_value(spec: InputSpec) -> Any:
    """What an input holds when nobody says anything: its default, else its minimum or 0, False, or an empty text."""
    if spec.default is not None:
        return spec.default
    if spec.type in ("INT", "FLOAT"):
        return spec.minimum or 0
    if spec.type == "BOOLEAN":
        return False
    return ""


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/paths.py
#
# What a caller may set at an input that is a path on the server.
#
# Nodes write where their path says, and some of them do not check it: with `../../..` in its folder a dataset saver of
# ComfyUI 0.33.0 leaves ComfyUI's own folders, and ComfyUI 0.3.64 reads absolute paths. What an administrator saved in a
# workflow stays as it is. What a caller sets is kept inside: `check_paths` refuses a value that leads elsewhere.
#
# An input is a path by its name (`filename_prefix`, `output_dir`), by the value that it was saved with
# (`video/ComfyUI`), or by its use: a text that links lead to such an input, also through nodes that join texts. A
# person's words, such as a prompt, count as a path only where they stand in one.
#
# Choices may be files too: `LoadLatent` lists what everybody has uploaded. `lists_users_files` tells them from models and
# styles, so that they are neither listed nor taken by name.
# ----------------------------------------------------------------------------------------------------------------------


# Words in the names of inputs that are paths, between underscores or at a change of case.
PATH_WORDS = {"path", "paths", "dir", "directory", "folder", "subfolder", "file", "filename", "prefix", "location"}
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
# A value that can only be a path: names with slashes between them and no white space, "video/ComfyUI" or "C:\\out\\a".
SAVED_PATH = re.compile(r"(?:[A-Za-z]:)?[^\s/\\:]*[/\\][^\s:]*")
DRIVE = re.compile(r"[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]{0,30}:/|file:", re.IGNORECASE)  # and what begins an address
FOLDER_TAG = re.compile(r"\[(?:output|input|temp)\]$", re.IGNORECASE)  # how ComfyUI names one of its own folders
PATH_PIECE = re.compile(r"[/\\:]|^\.|\.$")  # what could lead elsewhere where texts are joined

# Choices of nodes that load something, where they list what people have put into ComfyUI's folders: the names of such
# inputs, and how files of people end. Models are chosen by inputs of other names, such as `ckpt_name`.
USERS_INPUTS = {"folder", "folder_name", "directory", "latent"}
USERS_FILE = re.compile(
    r"\.(png|jpe?g|webp|gif|bmp|avif|mp4|webm|mov|mkv|wav|mp3|flac|ogg|opus|m4a|latent|glb|gltf|obj|txt|csv|json)"
    r"( \[(output|input|temp)\])?$",
    re.IGNORECASE,
)


def check_paths(workflow: Workflow, values: Mapping[str, Any], said: Mapping[str, str]) -> None:
    """Raise `BadArgument` for a value that leads out of ComfyUI's folders, where the input is a path.

    `values` are what a caller sets, by names that `Workflow.find` knows, and `said` what each is called in an error.
    """
    for name, value in values.items():
        if not isinstance(value, str):
            continue
        for target in workflow.find(name) or ():
            if _leads_out(workflow, target, value, is_words=name in TEXTS):
                raise BadArgument(
                    f'{said.get(name, name)} is "{shortened(value, 60)}", which leads out of the folder that ComfyUI '
                    "keeps such files in.",
                    'Give a name without "..", without a drive, and not beginning with a slash, such as "video/fox".',
                )


def _leads_out(workflow: Workflow, target: Target, value: str, *, is_words: bool) -> bool:
    """Whether a value leads elsewhere where it is used as a path: here, where it is linked to, or, unless it is a
    person's words, where other nodes may have joined it with other texts."""
    flow = workflow.flow
    links = flow.out_of[target.node_id]
    is_used_as_path = is_path_input(target.input) or any(is_path_input(link.input) for link in links)
    if is_used_as_path:
        return leads_elsewhere(value)
    if is_words:
        return False
    if _held_a_path(workflow, target):
        return leads_elsewhere(value)
    return bool(PATH_PIECE.search(value.strip())) and _becomes_path(flow, target.node_id)


def _becomes_path(flow: Wiring, node_id: str) -> bool:
    """Whether a node's text goes through other nodes into a path."""
    behind = flow.behind([node_id], ("STRING", ""))
    return any(is_path_input(link.input) for reached in behind for link in flow.out_of[reached])


def _held_a_path(workflow: Workflow, target: Target) -> bool:
    """Whether an input was saved with a value that can only be a path."""
    saved = node_inputs(workflow.graph[target.node_id]).get(target.input)
    return isinstance(saved, str) and len(saved) < 1000 and bool(SAVED_PATH.fullmatch(saved))


def is_path_input(name: str) -> bool:
    """Whether an input is a path by its name: "filename_prefix", "outputDir"."""
    words = {word.lower() for word in WORD.findall(last_part(name))}
    return words.isdisjoint({"prompt", "text"}) and not words.isdisjoint(PATH_WORDS)


def leads_elsewhere(value: str) -> bool:
    """Whether a path leaves the folder that it is meant to be in: upward, absolute, on a drive, or by the tag of
    another of ComfyUI's folders."""
    text = value.strip()
    parts = [part.strip() for part in re.split(r"[/\\]", text)]
    if ".." in parts or any(ord(character) < 32 for character in text):
        return True
    return text[:1] in ("/", "\\", "~") or bool(DRIVE.match(text) or FOLDER_TAG.search(text))


def lists_users_files(workflow: Workflow, target: Target) -> bool:
    """Whether an input's choices are files or folders that people have put on the server."""
    class_type = workflow.graph[target.node_id]["class_type"]
    if "load" not in class_type.lower():
        return False
    if last_part(target.input) in USERS_INPUTS:
        return True
    some = workflow.widget_spec(target).names[:50]
    return 2 * sum(bool(USERS_FILE.search(name)) for name in some) > len(some)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/loras.py
#
# Put LoRAs into a graph, right behind the model that its samplers use.
#
# `parse_lora` reads what people write, "detail:0.8" or "<lora:detail:0.8>". `with_loras` adds a node for each `Lora`,
# and what used the model then uses the last of them:
#
#     {"4": {"class_type": "CheckpointLoaderSimple", ...},
#      "3": {"class_type": "KSampler", "inputs": {"model": ["11", 0], ...}},                    # was ["4", 0]
#      "11": {"class_type": "LoraLoader", "inputs": {"lora_name": "detail.safetensors", "strength_model": 0.8,
#                                                    "strength_clip": 0.8, "model": ["4", 0], "clip": ["4", 1]}}}
#
# Where they go is told by the graph's links (see graph/links). `main_models` finds the models that feed samplers, each
# with its text encoder. Of two models that share the steps (Wan 2.2: high and low noise) a LoRA goes into the one that
# its file's name speaks of, else into both. `behind_loras` finds the place behind the LoRAs that are there already and
# before everything else that changes the model.
# ----------------------------------------------------------------------------------------------------------------------


LORA_LOADERS = ("LoraLoader", "LoraLoaderModelOnly")  # their definitions list the LoRAs that are installed


@dataclass(frozen=True)
class Lora:
    """A LoRA to put into a graph: its exact name in the server's list, and its strength, 1.0 as it was trained."""

    file: str
    strength: float = 1.0


# What people write for a LoRA: a name, perhaps with a strength, perhaps as the tag that other programs use.
MAX_STRENGTH = 100.0  # up or down, as LoraLoader itself takes it; more is a typing error
LORA_TAG = re.compile(r"<\s*lora\s*:(?P<inside>[^<>]*)>", re.IGNORECASE)
STRENGTH = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)


def parse_lora(text: str) -> tuple[str, float]:
    """The name and strength in "name", "name:0.8" or "<lora:name:0.8>"; a name may hold colons itself.

    The strength is 1 when it is left out. Raises `BadArgument` for "nan" or one beyond `MAX_STRENGTH`, and where no
    name is left.
    """
    name = text.strip()
    tag = LORA_TAG.fullmatch(name)
    if tag:
        name = tag["inside"].strip()
    strength = 1.0
    # Some programs write a second strength behind the first, for the text encoder; the first one counts.
    for _ in range(2):
        front, colon, last = name.rpartition(":")
        if not colon or not STRENGTH.fullmatch(last.strip()):
            break
        name = front.strip()
        strength = float(last)
        if not abs(strength) <= MAX_STRENGTH:
            raise BadArgument(
                f'"{shortened(last.strip())}" is not a strength for the LoRA "{shortened(name)}".',
                "Give a number such as 0.8; most LoRAs work between 0.5 and 1.",
            )
    if not name:
        raise BadArgument(f'"{shortened(text)}" does not name a LoRA.', 'Write "name" or "name:0.8".')
    return name, strength


def with_loras(graph: Graph, loras: Sequence[Lora], definitions: Definitions) -> dict[str, Any]:
    """The graph with these LoRAs in every main diffusion model, in this order, right behind the loader and the LoRAs
    that are there already.

    Raises `WorkflowRefused` when the graph has no model that takes a LoRA, or more than `MAX_MODELS`.
    """
    if not loras:
        return dict(graph)
    wiring = Wiring.of(graph, definitions)
    models = main_models(wiring)
    new_ids = unused_ids(graph)
    result = dict(graph)
    # Of models that share a text encoder only one takes it along, or it would have each LoRA twice.
    clips_done: set[Origin] = set()
    for model in sorted(models, key=lambda model: not model.has_own_clip):
        own_loras = [lora for lora in loras if belongs(lora, model, models)]
        if not own_loras:
            continue
        if model.clip in clips_done:
            model = replace(model, clip=None)
        if model.clip:
            clips_done.add(model.clip)
        _insert(own_loras, result, wiring, model, new_ids)
    return result


# Which models of a graph LoRAs go into: those that samplers use, or the one of two that the LoRA was made for.
MAX_MODELS = 16  # in one graph; people use two

# Which of two models a file belongs to that share the steps between them (Wan 2.2), if its name says so.
NOISE_SIDE = re.compile(
    r"(?<![a-z])(?P<side>high|low)"
    r"(?:[-_. ]?noise|(?![a-z])(?![-_. ]?(?:quality|res|detail|poly|key|angle|contrast|def|fps|speed|rank|vram)))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class DiffusionModel:
    """A model of a graph that samplers use."""

    loader: Origin  # the output that it comes out of
    way: frozenset[str]  # all nodes between the loader and the samplers, these included
    clip: Origin | None  # the output of the one text encoder behind their conditioning; None for several
    side: str = ""  # "high" or "low" when the name of its file says so

    @property
    def has_own_clip(self) -> bool:
        """Whether its text encoder comes out of the same loader."""
        return self.clip is not None and self.clip[0] == self.loader[0]


def main_models(wiring: Wiring) -> list[DiffusionModel]:
    """The models that LoRAs go into: all that feed samplers. Raises `WorkflowRefused` for none, and for more than
    `MAX_MODELS`."""
    samplers = [node_id for node_id in wiring.nodes if wiring.uses_diffusion_model(node_id)]
    useful = wiring.before(samplers, ("MODEL",))
    loaders = _loaders(wiring, useful)
    if not loaders:
        raise WorkflowRefused(
            "The workflow has no model that takes a LoRA.",
            "Call again without LoRAs, or with a workflow that loads a diffusion model.",
        )
    if len(loaders) > MAX_MODELS:
        raise WorkflowRefused(f"The workflow has {len(loaders)} models; LoRAs go into at most {MAX_MODELS} of them.")
    return [_model(wiring, loader, samplers, useful) for loader in loaders]


def _loaders(wiring: Wiring, useful: Mapping[str, None]) -> list[Origin]:
    """The outputs where models begin. `useful` are all nodes that bring models to samplers."""
    loaders: dict[Origin, None] = {}
    for node_id in wiring.nodes:
        if node_id not in useful or wiring.takes(node_id, "MODEL"):
            continue
        for link in wiring.out_of[node_id]:
            if link.type == "MODEL" and link.node in useful:
                loaders[link.origin] = None
    return list(loaders)


def _model(wiring: Wiring, loader: Origin, samplers: Sequence[str], useful: Mapping[str, None]) -> DiffusionModel:
    """The model that comes out of a loader. `useful` are all nodes that bring models to samplers."""
    starts = [link.node for link in wiring.fed_by(loader, "MODEL") if link.node in useful]
    reached = wiring.behind(starts, ("MODEL",))
    way = frozenset(node_id for node_id in reached if node_id in useful)
    clip = _clip(wiring, loader, way, samplers)
    file_names = model_names(wiring, loader[0])
    return DiffusionModel(loader, way, clip, noise_side(" ".join(file_names)))


def model_names(wiring: Wiring, node_id: str) -> list[str]:
    """The model files that a node names in its widgets."""
    texts = [value for value in wiring.inputs(node_id).values() if isinstance(value, str)]
    return [text for text in texts if MODEL_FILE.search(text)]


def noise_side(name: str) -> str:
    """The part of the steps that a file is for if its name says so: "high" or "low" noise, else ""."""
    match = NOISE_SIDE.search(name)
    if match is None:
        return ""
    return match["side"].lower()


def belongs(lora: Lora, model: DiffusionModel, models: Sequence[DiffusionModel]) -> bool:
    """Whether a LoRA goes into a model: one for a part of the steps goes into that part's model, if there is one."""
    side = noise_side(base_name(lora.file))
    sides = {other.side for other in models}
    return side in ("", model.side) or side not in sides


def _clip(wiring: Wiring, loader: Origin, way: frozenset[str], samplers: Sequence[str]) -> Origin | None:
    """The output of a model's text encoder: the loader's own when it is used, else the only one behind the conditioning
    of its samplers, or None."""
    for link in wiring.out_of[loader[0]]:
        if link.type == "CLIP":
            return link.origin
    own_samplers = [node_id for node_id in samplers if node_id in way]
    conditioning = wiring.before(own_samplers, ("CONDITIONING", "CLIP", ""), barred=samplers)
    clips: set[Origin] = set()
    for node_id in conditioning:
        for link in wiring.into[node_id]:
            if link.type == "CLIP" and not wiring.takes(link.source, "CLIP"):
                clips.add(link.origin)
    return single(clips)


# Where behind such a model the new nodes go, and how they are written.

ModelAndClip = tuple[Origin, Origin | None]  # the outputs of a model and of its text encoder, if it has one
Item = TypeVar("Item")


def _insert(
    loras: Sequence[Lora], result: dict[str, Any], wiring: Wiring, model: DiffusionModel, new_ids: Iterator[str]
) -> None:
    """Write a chain of LoRA nodes behind one model into `result`, and lead what used the model, and its text encoder if
    there is one, to the end of the chain."""
    start, start_clip = behind_loras(wiring, model)
    end, end_clip = start, start_clip
    for lora in loras:
        node_id = next(new_ids)
        result[node_id] = lora_node(lora, end, end_clip)
        end = (node_id, 0)
        if end_clip:
            end_clip = (node_id, 1)
    for link in wiring.fed_by(start, "MODEL"):
        # Links to what no sampler needs stay: such a node may read from the LoRA before it (GetICLoRAParameters).
        if link.node in model.way:
            _lead(result, link, end)
    if start_clip and end_clip:
        for link in wiring.fed_by(start_clip, "CLIP"):
            _lead(result, link, end_clip)


def _lead(result: dict[str, Any], link: TypedLink, origin: Origin) -> None:
    """Have the input that a link feeds read from another output."""
    node = result[link.node]
    inputs = {**node_inputs(node), link.input: [*origin]}
    result[link.node] = {**node, "inputs": inputs}


def lora_node(lora: Lora, model: Origin, clip: Origin | None) -> dict[str, Any]:
    """The node that puts a LoRA into a model, and into a text encoder if there is one."""
    class_type = "LoraLoaderModelOnly"
    inputs: dict[str, Any] = {"lora_name": lora.file, "strength_model": lora.strength, "model": [*model]}
    if clip:
        class_type = "LoraLoader"
        inputs["strength_clip"] = lora.strength
        inputs["clip"] = [*clip]
    name = MODEL_FILE.sub("", base_name(lora.file))
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": f"LoRA: {name}"}}


def behind_loras(wiring: Wiring, model: DiffusionModel) -> ModelAndClip:
    """Where LoRAs go in: the outputs of the model and of its text encoder, moved on behind those LoRA nodes that all
    samplers of the model have before them. Both move together, or the new nodes could close a circle."""
    place: ModelAndClip = (model.loader, model.clip)
    passed: set[str] = set()
    while True:
        model_output, clip = place
        users = {link.node for link in wiring.fed_by(model_output, "MODEL") if link.node in model.way}
        node_id = single(users)
        if node_id is None or node_id in passed or not is_lora(wiring, node_id):
            return place
        passed.add(node_id)
        next_place = _behind_lora(wiring, model, node_id, clip)
        if next_place is None:
            return place
        place = next_place


def _behind_lora(wiring: Wiring, model: DiffusionModel, node_id: str, clip: Origin | None) -> ModelAndClip | None:
    """The outputs of the model and of its text encoder `clip` behind a LoRA node that the model passes through, or None
    when it is not clear that both pass through it."""
    slots = {link.slot for link in wiring.out_of[node_id] if link.type == "MODEL" and link.node in model.way}
    slot = single(slots)
    if slot is None:
        return None
    if not clip or not wiring.takes(node_id, "CLIP"):
        return (node_id, slot), clip
    clip_behind = _clip_behind_lora(wiring, node_id, clip)
    if clip_behind is None:
        return None
    return (node_id, slot), clip_behind


def _clip_behind_lora(wiring: Wiring, node_id: str, clip: Origin) -> Origin | None:
    """The output of a LoRA node that passes on the text encoder `clip`; None unless this node alone reads it."""
    clips_read = {link.origin for link in wiring.into[node_id] if link.type == "CLIP"}
    readers = {link.node for link in wiring.fed_by(clip, "CLIP")}
    if clips_read != {clip} or readers != {node_id}:
        return None
    return single({link.origin for link in wiring.out_of[node_id] if link.type == "CLIP"})


def single(values: set[Item]) -> Item | None:
    """The one value of a set; None where there is none, or several."""
    if len(values) != 1:
        return None
    return next(iter(values))


def is_lora(wiring: Wiring, node_id: str) -> bool:
    """Whether a node puts LoRAs into a model that passes through it."""
    is_called_so = "lora" in wiring.class_type(node_id).lower()
    return is_called_so and not wiring.uses_diffusion_model(node_id)


def unused_ids(graph: Graph) -> Iterator[str]:
    """Ids for new nodes, without end: the numbers above the largest one that a node has or a link names."""
    used = {key for key in graph if isinstance(key, str)}
    for node in graph.values():
        used.update(value[0] for value in node_inputs(node).values() if is_link(value))
    # Longer numbers follow somebody's own scheme; a new id only must not be one of them.
    numbers = [int(key) for key in used if re.fullmatch(r"[0-9]{1,12}", key)]
    highest = max(numbers, default=0)
    for number in itertools.count(highest + 1):
        if str(number) not in used:
            yield str(number)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/facts.py
#
# What a graph needs, what it makes, and what it is for.
#
# All of it is read from a graph in the API format and the server's node definitions. Where the server gives none, tables
# of the classes and widgets of ComfyUI's own nodes, and of common custom ones, stand in for them:
#
# - `file_inputs`: the widgets that name a picture, mask, video or sound to upload, such as `image` of LoadImage;
# - `outputs`: the output nodes, each with the kind of file that it makes;
# - `guess_task`: what the graph is for, "text_to_image" or "inpaint", say;
# - `model_files`: the checkpoints, LoRAs, embeddings and so on that it names, and whether they are installed;
# - `missing_nodes`: the node classes that the server does not have;
# - `picture_nodes`: the nodes that send their pictures over the websocket and save them nowhere.
# ----------------------------------------------------------------------------------------------------------------------


# Files to work on. The widgets of known classes that name a file which somebody uploads, and the kind of that file.
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
    """A widget that names a file to upload."""

    target: Target
    kind: str  # of the file: "image", "mask", "video", "audio" or "3d"
    title: str  # of the node
    held: str = ""  # the file that it names now
    needed: bool = field(default=True, compare=False)  # some output depends on it
    masked: bool = field(default=False, compare=False)  # the picture's transparency is used as a mask as well

    @property
    def takes_mask(self) -> bool:
        """Whether a mask goes here: as a file of its own, or as the picture's transparency."""
        return self.kind == "mask" or self.masked


def file_inputs(wiring: Wiring) -> tuple[FileInput, ...]:
    """The widgets of a graph that name files to upload, in the graph's order; those that nothing needs come last."""
    needed = wiring.needed()
    files: list[FileInput] = []
    for node_id in wiring.nodes:
        files += _files_of_node(wiring, node_id, node_id in needed)
    return tuple(sorted(files, key=lambda file: not file.needed))


def _files_of_node(wiring: Wiring, node_id: str, is_needed: bool) -> Iterator[FileInput]:
    """The widgets of one node that name files."""
    used_slots = {link.slot for link in wiring.out_of[node_id]}
    # The second output of LoadImage is the picture's transparency, as a mask.
    uses_mask = wiring.class_type(node_id) == "LoadImage" and 1 in used_slots
    for name, kind in _file_widgets(wiring, node_id).items():
        held = wiring.inputs(node_id).get(name, "")
        if not isinstance(held, str):
            continue
        if kind == "image" and uses_mask and used_slots == {1}:
            kind = "mask"
        target = Target(node_id, name)
        title = plain_title(wiring.nodes[node_id])
        masked = kind == "image" and uses_mask
        yield FileInput(target, kind, title, held, is_needed, masked)


def _file_widgets(wiring: Wiring, node_id: str) -> dict[str, str]:
    """The widgets of a node that name files, each with the kind of file."""
    widgets: dict[str, str] = {}
    known = wiring.definition(node_id)
    if known:
        widgets = {name: spec.file for name, spec in known.inputs.items() if spec.file}
    class_type = wiring.class_type(node_id)
    if class_type in FILE_WIDGETS:
        name, kind = FILE_WIDGETS[class_type]
        widgets[name] = kind
    return widgets


# What output nodes make. Their class tells it first, then the types of what they give or are given, then words in the
# name of their class. The first match in each table counts.
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

TYPES_3D = re.compile(r"FILE_3D|MESH|VOXEL|_TASK_ID|POINT_CLOUD|SPLAT")
TYPE_KINDS = (
    (re.compile(r"VIDEO$"), "video"),
    (TYPES_3D, "3d"),
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


def outputs(wiring: Wiring) -> tuple[tuple[str, str], ...]:
    """What a graph makes: the titles of its output nodes, each with "image", "animation", "video", "audio", "3d",
    "text", "latent" or "other". What is only shown counts only when nothing is saved."""
    shown = [node_id for node_id in wiring.nodes if wiring.is_output(node_id)]
    saved = [node_id for node_id in shown if not wiring.keeps_nothing(node_id)]
    made: list[tuple[str, str]] = []
    for node_id in saved or shown:
        title = plain_title(wiring.nodes[node_id])
        made.append((title, _made(wiring, node_id)))
    return tuple(made)


def _made(wiring: Wiring, node_id: str) -> str:
    """The kind of what an output node makes."""
    class_type = wiring.class_type(node_id)
    if class_type in OUTPUT_KINDS:
        return OUTPUT_KINDS[class_type]
    if MODEL_SAVERS.search(class_type):
        return "other"
    known = wiring.definition(node_id)
    # A node that makes a model in 3D itself tells so by its outputs; one that only saves, by what it is given.
    if known and any_named(TYPES_3D, known.outputs):
        made_3d = [kind for kind in known.outputs if TYPES_3D.search(kind)]
        return _first_kind(made_3d, TYPE_KINDS)
    given = [link.type for link in wiring.into[node_id]]
    kind = _first_kind(given, TYPE_KINDS) or _first_kind([class_type], NAME_KINDS)
    if not kind and known and not any(given):
        taken = [spec.type for spec in known.inputs.values() if spec.type != "STRING"]
        kind = _first_kind(taken, TYPE_KINDS)
    return kind or "other"


def _first_kind(texts: Sequence[str], kinds: Sequence[tuple[re.Pattern[str], str]]) -> str:
    """The kind of the first pattern that any of these types or names matches, or ""."""
    for pattern, kind in kinds:
        if any_named(pattern, texts):
            return kind
    return ""


# What a graph is for. Words in the names of classes that a picture passes on its way through the graph:
EDITING = re.compile(r"edit|kontext(?!ImageScale)|reference|omnigen|ipadapter", re.IGNORECASE)  # it is changed as asked
CONTROLLING = re.compile(r"controlnet|canny|depth|lotus|pose|lllite", re.IGNORECASE)  # its outlines are kept
UPSCALERS = re.compile(r"seedvr|UltimateSDUpscale|SUPIR", re.IGNORECASE)  # it grows, by a sampler
UPSCALING = re.compile(r"upscale|enhance|ImageScaleBy|ImageFix|seedvr", re.IGNORECASE)  # it grows, without one

SHOWN_TO_MODEL = ("IMAGE", "MASK", "LATENT", "CLIP_VISION_OUTPUT", "")  # the types by which a picture may reach a model


def guess_task(wiring: Wiring) -> str:
    """What a graph is for, told by what it makes, the files it needs, and what lies between them.

    One of "text_to_image", "image_to_image", "image_edit", "inpaint", "upscale", "text_to_video", "image_to_video",
    "video_to_video", "text_to_audio", "image_to_3d", "text" and "other".
    """
    made = {kind for _, kind in outputs(wiring)}
    needed = wiring.needed()
    files = [file for file in file_inputs(wiring) if file.needed]
    given = {file.kind for file in files}
    if made & {"video", "animation"}:
        return _video_task(given)
    if "3d" in made and "image" in given:
        return "image_to_3d"
    if "3d" in made:
        return "other"
    if "audio" in made:
        return "other" if given else "text_to_audio"
    if "image" in made:
        return _picture_task(wiring, needed, files)
    if "text" in made:
        return "text"
    return "other"


def _video_task(given: set[str]) -> str:
    """What a graph that makes videos is for, by the kinds of the files that it needs."""
    if "video" in given:
        return "video_to_video"
    if "image" in given:
        return "image_to_video"
    return "text_to_video"


def _picture_task(wiring: Wiring, needed: Mapping[str, None], files: Sequence[FileInput]) -> str:
    """What a graph that makes pictures is for; `files` are the inputs that it needs."""
    is_sampled = any(wiring.uses_diffusion_model(node_id) for node_id in needed)
    makes_own = is_sampled or any(_has_prompt(wiring, node_id) for node_id in needed)
    if not files:
        return "text_to_image" if makes_own else "other"
    if any(file.kind not in ("image", "mask") for file in files):
        return "other"
    names = _classes_behind(wiring, needed, files)
    if _enlarges(names, is_sampled):
        return "upscale"
    if not makes_own:
        return "other"
    if masked(wiring, files, needed):
        return "inpaint"
    if not is_sampled or any_named(EDITING, names) or _conditions(wiring, files, names):
        return "image_edit"
    return "image_to_image"


def _classes_behind(wiring: Wiring, needed: Mapping[str, None], files: Sequence[FileInput]) -> list[str]:
    """The classes of the needed nodes that these files reach, with those that load them."""
    reached = wiring.behind(file.target.node_id for file in files)
    return [wiring.class_type(node_id) for node_id in reached if node_id in needed]


def _enlarges(names: Sequence[str], is_sampled: bool) -> bool:
    """Whether nodes of these classes are there to make a picture larger. Before a sampler, that is only a step."""
    if any_named(UPSCALERS, names):
        return True
    return not is_sampled and any_named(UPSCALING, names)


def any_named(pattern: re.Pattern[str], names: Iterable[str]) -> bool:
    """Whether any of these names has a part that matches."""
    return any(pattern.search(name) for name in names)


def _has_prompt(wiring: Wiring, node_id: str) -> bool:
    """Whether a node has an input called "prompt", or "model.prompt" and the like."""
    return any(last_part(str(name)) == "prompt" for name in wiring.inputs(node_id))


def masked(wiring: Wiring, files: Sequence[FileInput], needed: Mapping[str, None]) -> bool:
    """Whether a mask is used that one of these files brings, drawn, uploaded or as a picture's transparency."""
    for file in files:
        for link in wiring.out_of[file.target.node_id]:
            if link.type == "MASK" and link.node in needed:
                return True
    return False


def _conditions(wiring: Wiring, files: Sequence[FileInput], names: Sequence[str]) -> bool:
    """Whether pictures are shown to the model as a whole, beside the text, not only as outlines or to start from."""
    if any_named(CONTROLLING, names):
        return False
    shown = wiring.behind((file.target.node_id for file in files), SHOWN_TO_MODEL)
    return any(_gives(wiring, node_id, "CONDITIONING") for node_id in shown)


def _gives(wiring: Wiring, node_id: str, kind: str) -> bool:
    """Whether a link of the type `kind` starts at a node."""
    return any(link.type == kind for link in wiring.out_of[node_id])


# Model files. The folder on the server that a widget's file lies in, by the widget's name or, where that is not enough,
# by "Class.name"; a number at the end of the name is left out ("lora_name_2").
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

NO_MODEL_FILE = (*NOT_GIVEN, "pixel_space")  # what a widget for model files may hold without naming one
MAX_NAME = 300  # characters; a longer text is not the name of a file
EMBEDDING = re.compile(r"embedding:([^\s,():|<>\"]+)", re.IGNORECASE)  # in a prompt, as "(embedding:easy:1.2)"


@dataclass(frozen=True)
class ModelFile:
    """A model file that a graph names."""

    target: Target  # the widget that names it
    folder: str  # of the server that it belongs in: "loras"; "" when nothing tells
    file: str
    installed: bool | None = None  # None when the server has not said what it has


def model_files(graph: Graph, definitions: Definitions) -> tuple[ModelFile, ...]:
    """Every model file that a graph names, in widgets for such files, in rows of LoRAs, and as embeddings in texts."""
    files: list[ModelFile] = []
    reader = ModelFileReader(definitions)
    for node_id, node in graph_nodes(graph).items():
        inputs = node_inputs(node)
        for name, value in inputs.items():
            target = Target(node_id, str(name))
            if isinstance(value, str):
                embeddings = dict.fromkeys(EMBEDDING.findall(value))
                files += [ModelFile(target, "embeddings", file) for file in embeddings]
                files += reader.named(node["class_type"], target, value, inputs)
            elif isinstance(value, Mapping):
                files += _row_lora(target, value)
    return tuple(files)


def _row_lora(target: Target, row: Mapping[str, Any]) -> list[ModelFile]:
    """The LoRA of such a row: {"on": true, "lora": "a.safetensors", "strength": 1}; none of one that is off."""
    file = row.get("lora")
    if not isinstance(file, str) or file.lower() in NO_MODEL_FILE:
        return []
    if row.get("on") is False:
        return []
    return [ModelFile(target, "loras", file)]


class ModelFileReader:
    """Finds the model files that widgets name. Nodes of one class have the same widgets, so it looks each up once."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self._is_for_models: dict[tuple[str, str], bool] = {}  # by class and widget
        self._installed: dict[tuple[str, str, str], bool] = {}  # by class, widget and file

    def named(self, class_type: str, target: Target, value: str, inputs: Mapping[str, Any]) -> list[ModelFile]:
        """The model file that a widget with this value names, if it names one."""
        if not _may_name_file(value):
            return []
        known = self.definitions.get(class_type)
        spec = known.spec(target.input, inputs) if known else None
        folder = model_folder(class_type, target.input)
        widget = (class_type, target.input)
        if widget not in self._is_for_models:
            self._is_for_models[widget] = bool(folder) or lists_models(spec)
        if not self._is_for_models[widget] and not MODEL_FILE.search(value):
            return []
        is_installed = self._is_installed(widget, spec, value)
        return [ModelFile(target, folder, value, is_installed)]

    def _is_installed(self, widget: tuple[str, str], spec: InputSpec | None, file: str) -> bool | None:
        """Whether the server has a file, or None when it has not said what it has."""
        if spec is None or spec.type != "COMBO":
            return None
        key = (*widget, file)
        if key not in self._installed:
            self._installed[key] = find_name(file, spec.names) is not None
        return self._installed[key]


def _may_name_file(value: str) -> bool:
    """Whether a widget's text may be the name of a file, by its looks."""
    if len(value) > MAX_NAME or "\n" in value or "://" in value:
        return False
    return value.strip().lower() not in NO_MODEL_FILE


def model_folder(class_type: str, name: str) -> str:
    """The folder that a widget's model file lies in, or "" when it is not known to name one."""
    plain = without_number(name)
    full_name = f"{class_type}.{plain}"
    if full_name in MODEL_FOLDERS:
        return MODEL_FOLDERS[full_name]
    if "load" not in class_type.lower():
        return ""
    return MODEL_FOLDERS.get(plain, "")


def lists_models(spec: InputSpec | None) -> bool:
    """Whether what a widget offers is mostly model files."""
    if spec is None:
        return False
    files = [name for name in spec.names if MODEL_FILE.search(name)]
    return 2 * len(files) > len(spec.choices)


def missing_nodes(graph: Graph, definitions: Definitions) -> tuple[str, ...]:
    """The classes that a graph uses and the server does not have, in alphabetical order."""
    used = {node["class_type"] for node in graph_nodes(graph).values()}
    return tuple(sorted(used - definitions.keys()))


def picture_nodes(graph: Graph) -> frozenset[str]:
    """The nodes that send their pictures over the websocket and save them nowhere."""
    return frozenset(key for key, node in graph.items() if node["class_type"] == "SaveImageWebsocket")


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/pruning.py
#
# Make a graph do with the files that there are: renamed by the server, or never given.
#
# `with_files_named` writes in the names under which a server stored what was uploaded. `without_files` cuts out the nodes
# that load files which nobody gave, with whatever cannot run without them, or says that the graph needs them.
# ----------------------------------------------------------------------------------------------------------------------


def with_files_named(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The same graph with every value in `names` replaced: a server may store an upload under another name than the one
    that was sent."""

    def stored(value: Any) -> Any:
        if isinstance(value, str):
            return names.get(value, value)
        return value

    renamed: dict[str, Any] = {}
    for node_id, node in graph.items():
        inputs = {key: stored(value) for key, value in node["inputs"].items()}
        renamed[node_id] = {**node, "inputs": inputs}
    return renamed


PLAIN_TYPES = ("", "STRING", "BOOLEAN", *VALUE_TYPES)  # what a node works out, so that nothing can stand in for it


def without_files(flow: Flow, targets: Iterable[Target]) -> Graph | None:
    """The graph without the nodes that load these files, or None when it cannot do without one of them.

    An optional input that is fed by such a node only loses its link. A node that needs its input goes as well, and
    what used it is given, if there is one, another of the node's inputs of the same type: without a second picture to
    stitch to it, the first goes on alone. What then leads to no output any more goes as well. The graph cannot do
    without a file if a sampler, a service or an output that keeps something would have to go for it.
    """
    loaders = [target.node_id for target in targets if target.node_id in flow.nodes]
    pruning = Pruning(flow, dict.fromkeys(loaders))
    if not pruning.run():
        return None
    left: dict[str, Any] = {}
    for node_id, node in flow.nodes.items():
        if node_id in pruning.changed:
            left[node_id] = {**node, "inputs": pruning.changed[node_id]}
        elif node_id not in pruning.gone:
            left[node_id] = node
    return without_useless(left, pruning.needed, flow.definitions)


def without_useless(graph: Graph, needed: Iterable[str], definitions: Definitions) -> Graph | None:
    """The graph without the nodes that lead to no output any more, of those that were `needed` before, and without what
    uses them; None when no output is left."""
    wiring = Wiring.of(graph, definitions)
    still_needed = wiring.needed()
    if not still_needed:
        return None
    idle = [node_id for node_id in needed if node_id in graph and node_id not in still_needed]
    useless = wiring.behind(idle)
    return {node_id: node for node_id, node in graph.items() if node_id not in useless}


class Pruning:
    """Which nodes of a graph go when some of them have to, and what the others are given instead."""

    def __init__(self, flow: Flow, gone: dict[str, None]) -> None:
        self.flow = flow
        self.gone = gone
        self.changed: dict[str, dict[str, Any]] = {}  # new inputs of nodes that stay
        self.needed = flow.needed()
        outputs = [node_id for node_id in flow.nodes if flow.is_output(node_id)]
        keeping = [node_id for node_id in outputs if not flow.keeps_nothing(node_id)]
        self._results = keeping or outputs
        self._stand_ins: dict[Origin, Origin] = {}  # for outputs of nodes that went

    def run(self) -> bool:
        """Decide about all nodes behind those that go first. Whether the graph can do without them."""
        flow = self.flow
        for node_id in _in_order(flow, flow.behind(self.gone)):
            lost = self._lost(node_id)
            goes_first = node_id in self.gone
            if not goes_first and not _needs(flow, node_id, lost):
                self.changed[node_id] = _relinked(flow, node_id, lost, self._stand_ins)
                continue
            if self._is_indispensable(node_id):
                return False
            if not goes_first:
                self._remove(node_id, lost)
        return True

    def _lost(self, node_id: str) -> list[TypedLink]:
        """The links into a node from nodes that went, without those that another link stands in for."""
        links = [link for link in self.flow.into[node_id] if link.source in self.gone]
        return [link for link in links if link.origin not in self._stand_ins]

    def _is_indispensable(self, node_id: str) -> bool:
        """Whether a node is a sampler or service that an output needs, or an output that keeps something, or any output
        when none does."""
        if node_id in self._results:
            return True
        if node_id not in self.needed:
            return False
        return self.flow.uses_diffusion_model(node_id) or self.flow.is_maker(node_id)

    def _remove(self, node_id: str, lost: Sequence[TypedLink]) -> None:
        """Let a node go that has lost these links, with other links into it in place of those out of it."""
        self.gone[node_id] = None
        for link in self.flow.out_of[node_id]:
            instead = _passed_on(self.flow, link, lost)
            if instead:
                self._stand_ins[link.origin] = self._stand_ins.get(instead.origin, instead.origin)


def _in_order(wiring: Wiring, nodes: Iterable[str]) -> list[str]:
    """These nodes, each after those of them that feed it; in a circle, which the server refuses, any comes first."""
    wanted = dict.fromkeys(nodes)
    order: dict[str, None] = {}
    opened: set[str] = set()
    for start in wanted:
        waiting = [start]
        while waiting:
            node_id = waiting[-1]
            if node_id in opened:
                order.setdefault(waiting.pop())
                continue
            opened.add(node_id)
            for link in wiring.into[node_id]:
                if link.source in wanted and link.source not in opened:
                    waiting.append(link.source)
    return list(order)


def _needs(wiring: Wiring, node_id: str, lost: Sequence[TypedLink]) -> bool:
    """Whether a node cannot do without these links. A node of an unknown class needs all, and one that computes with a
    group of numbers or texts needs each of them."""
    if wiring.definition(node_id) is None:
        return bool(lost)
    left = [link for link in wiring.into[node_id] if link not in lost]
    for link in lost:
        group = _group(wiring, link)
        if group is None:
            spec = wiring.spec(node_id, link.input)
            if spec and spec.required:
                return True
            continue
        _, minimum = group
        others = [other for other in left if _group(wiring, other) == group]
        if len(others) < minimum or link.type in PLAIN_TYPES:
            return True
    return False


def _group(wiring: Wiring, link: TypedLink) -> tuple[str, int] | None:
    """The autogrow input whose group a link's input belongs to ("images" for "images.image2"), and the minimum number
    of inputs in it; None for any other input."""
    name, _, _ = link.input.rpartition(".")
    if not name:
        return None
    spec = wiring.spec(link.node, name)
    if spec is None or spec.type != AUTOGROW:
        return None
    return name, spec.least


def _relinked(
    wiring: Wiring, node_id: str, lost: Sequence[TypedLink], stand_ins: Mapping[Origin, Origin]
) -> dict[str, Any]:
    """The inputs of a node without these links, and with those that stand in for others. In the group of an autogrow
    input the rest moves up, since its first inputs must be there."""
    links = wiring.into[node_id]
    inputs = dict(wiring.inputs(node_id))
    for link in lost:
        del inputs[link.input]
    for link in links:
        if link.origin in stand_ins:
            inputs[link.input] = [*stand_ins[link.origin]]
    groups = dict.fromkeys(_group(wiring, link) for link in lost)
    for group in groups:
        if group is None:
            continue
        names = [link.input for link in links if _group(wiring, link) == group]
        _move_up(inputs, names)
    return inputs


def _move_up(inputs: dict[str, Any], names: Sequence[str]) -> None:
    """Put the values that are left under these names to the first of them: those of "image1" and "image3", to "image1"
    and "image2"."""
    values = [inputs.pop(name) for name in names if name in inputs]
    first = zip(names, values, strict=False)
    inputs.update(first)


def _passed_on(wiring: Wiring, link: TypedLink, lost: Sequence[TypedLink]) -> TypedLink | None:
    """The link into a node that can stand in for `link`, a link out of it, when the node has lost the links `lost`.

    It has the same type and, where the node has several outputs of that type, the same place among them. Nothing stands
    in for a number or a text, which the node works out, nor one of two latents for both: one may be film, one sound.
    """
    known = wiring.definition(link.source)
    if known is None or link.type in PLAIN_TYPES:
        return None
    if link.type == "LATENT" and any(other.type == "LATENT" for other in lost):
        return None
    order = {name: place for place, name in enumerate(known.inputs)}
    candidates = [other for other in wiring.into[link.source] if other.type == link.type]
    candidates.sort(key=lambda other: order.get(other.input, len(order)))
    slots = [slot for slot, kind in enumerate(known.outputs) if kind == link.type]
    for place, other in enumerate(candidates):
        if other in lost:
            continue
        is_same_place = place < len(slots) and slots[place] == link.slot
        if len(slots) < 2 or is_same_place:
            return other
    return None


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/graph/mermaid.py
#
# Draw a graph as a Mermaid flowchart that Open WebUI shows in a message.
#
# `mermaid` reads the graph's links (see graph/links) and gives
#
#     flowchart LR
#         n1["Load Checkpoint<br/>CheckpointLoaderSimple"]
#         n2["KSampler"]
#         rest["… and 5 more"]
#         n1 -->|"MODEL"| n2
#         classDef loader fill:#dbeafe,stroke:#2563eb,color:#111827
#         class n1 loader
#
# In a large graph, loaders, samplers and outputs come first. A drawing that is too long is drawn again without the types
# of its links, then with fewer nodes. Titles are somebody else's text in a language full of markup: `drawn_text` leaves
# nothing of them but text.
# ----------------------------------------------------------------------------------------------------------------------


# How much is drawn.
MAX_DRAWN = 60  # nodes
MAX_DRAWING = 6000  # characters of the whole drawing
MAX_LABEL = 40  # characters of a title or class
MAX_TOLD_LINKS = 45  # with more links, their types would hide the rest
MAX_WIDE = 7  # nodes from left to right; a longer way goes from top to bottom

# Fill, border and text colour are set together, so that a node can be read on a light and on a dark page.
DRAWN_STYLES: Mapping[str, str] = {
    "loader": "fill:#dbeafe,stroke:#2563eb,color:#111827",
    "sampler": "fill:#fef3c7,stroke:#d97706,color:#111827",
    "output": "fill:#dcfce7,stroke:#16a34a,color:#111827",
}


def mermaid(wiring: Wiring) -> str:
    """The graph as a Mermaid flowchart: its most telling nodes, `MAX_DRAWN` at most, and fewer where it gets longer
    than `MAX_DRAWING`."""
    ranked = _ranked(wiring)
    text = ""
    for count in (MAX_DRAWN, 45, 30, 20, 12, 6):
        for shows_types in (True, False):
            text = _drawing(wiring, ranked, count, shows_types)
            if len(text) <= MAX_DRAWING:
                return text
    return text


def _ranked(wiring: Wiring) -> list[str]:
    """The nodes, most telling first: outputs, samplers and loaders, what lies between them, nodes that only give
    numbers or texts, and last what no output needs."""
    needed = wiring.needed()

    def rank(node_id: str) -> int:
        if node_id not in needed:
            return 3
        if _role(wiring, node_id):
            return 0
        kinds = {link.type for link in wiring.out_of[node_id]}
        if kinds <= {"", "INT", "FLOAT", "STRING", "BOOLEAN"}:
            return 2
        return 1

    return sorted(wiring.nodes, key=rank)


def _role(wiring: Wiring, node_id: str) -> str:
    """The part that a node plays, if it is one that has a colour: "output", "sampler", "loader", else ""."""
    if wiring.is_output(node_id):
        return "output"
    if wiring.uses_diffusion_model(node_id) or wiring.takes(node_id, "GUIDER"):
        return "sampler"
    if "load" in wiring.class_type(node_id).lower() and not wiring.takes(node_id, "MODEL"):
        return "loader"
    return ""


def _drawing(wiring: Wiring, ranked: Sequence[str], count: int, shows_types: bool) -> str:
    """The drawing of the first `count` of the ranked nodes, with the types of the links if `shows_types`."""
    names = _drawn_names(wiring, ranked, count)
    links = _drawn_links(wiring, names)
    direction = "TD" if _steps(links) > MAX_WIDE else "LR"
    lines = [f"flowchart {direction}"]
    for node_id, name in names.items():
        label = drawn_label(wiring, node_id)
        lines.append(f'    {name}["{label}"]')
    left_out = len(ranked) - len(names)
    if left_out:
        lines.append(f'    rest["… and {left_out} more"]')
    shows_types = shows_types and len(links) <= MAX_TOLD_LINKS
    for (source, target), types in links.items():
        arrow = _arrow(types) if shows_types else "-->"
        lines.append(f"    {names[source]} {arrow} {names[target]}")
    lines += _style_lines(wiring, names)
    return "\n".join(lines)


def _drawn_names(wiring: Wiring, ranked: Sequence[str], count: int) -> dict[str, str]:
    """The names, n1, n2 and so on, of the nodes that are drawn, in the graph's order."""
    if len(ranked) > count:  # the node that stands for the rest counts as well
        count -= 1
    drawn = set(ranked[:count])
    names: dict[str, str] = {}
    for node_id in wiring.nodes:
        if node_id in drawn:
            names[node_id] = f"n{len(names) + 1}"
    return names


def _arrow(types: Iterable[str]) -> str:
    """An arrow with the types of its links: -->|"MODEL"|; without any where nothing tells them."""
    label = ", ".join(kind for kind in types if kind)
    if not label:
        return "-->"
    return f'-->|"{drawn_text(label)}"|'


def _drawn_links(wiring: Wiring, nodes: Mapping[str, str]) -> dict[tuple[str, str], dict[str, None]]:
    """The types of the links between each two of these nodes, by (source, target)."""
    types: dict[tuple[str, str], dict[str, None]] = {}
    for node_id in nodes:
        for link in wiring.into[node_id]:
            if link.source not in nodes:
                continue
            between = types.setdefault((link.source, node_id), {})
            between[link.type] = None
    return types


def _style_lines(wiring: Wiring, names: Mapping[str, str]) -> list[str]:
    """The lines that colour nodes by their roles; `names` are those of the nodes in the drawing."""
    by_role: dict[str, list[str]] = {}
    for node_id, name in names.items():
        role = _role(wiring, node_id)
        by_role.setdefault(role, []).append(name)
    lines: list[str] = []
    for role, style in DRAWN_STYLES.items():
        if role in by_role:
            members = ",".join(by_role[role])
            lines.append(f"    classDef {role} {style}")
            lines.append(f"    class {members} {role}")
    return lines


def _steps(links: Iterable[tuple[str, str]]) -> int:
    """How many nodes the longest way over these links (source, target) has; a way ends where it runs into a circle."""
    onward: dict[str, list[str]] = {}
    missing: dict[str, int] = {}  # by target: links from nodes whose length is not known yet
    for source, target in links:
        onward.setdefault(source, []).append(target)
        missing[target] = missing.get(target, 0) + 1
    length = {source: 1 for source in onward if source not in missing}
    waiting = list(length)
    while waiting:
        source = waiting.pop()
        longer = length[source] + 1
        for target in onward.get(source, ()):
            length[target] = max(length.get(target, 0), longer)
            missing[target] -= 1
            if missing[target] == 0:
                waiting.append(target)
    return max(length.values(), default=0)


def drawn_label(wiring: Wiring, node_id: str) -> str:
    """A node's title and, on a second line, its class if that is another."""
    title = plain_title(wiring.nodes[node_id])
    class_type = wiring.class_type(node_id)
    if title == class_type:
        return drawn_text(title)
    return f"{drawn_text(title)}<br/>{drawn_text(class_type)}"


# What Mermaid takes for markup even where its characters are written as numbers: its own sign for such a character,
# icons, formulas, line breaks. A space of no width keeps their parts apart.
APART = (("ﬂ", "fl"), (":fa-", ":\u200bfa-"), ("$$", "$\u200b$"), ("\\n", "\\\u200bn"))


def drawn_text(text: str) -> str:
    """A text as it can stand between quotes in a drawing, where it is nothing but text: neither Mermaid, Markdown, HTML
    nor an icon. `cost: "5"` becomes `cost#58; #34;5#34;`."""
    shown = "".join(char for char in text if not _is_control(char))
    line = shortened(shown, MAX_LABEL) or "?"
    for markup, plain in APART:
        line = line.replace(markup, plain)
    safe = ""
    for place, char in enumerate(line):
        if _is_harmless(line, place):
            safe += char
        else:
            safe += f"#{ord(char)};"  # how Mermaid writes a character by its number
    return safe.replace("direction", "#100;irection")  # with "LR" behind it, it is a command even inside quotes


def _is_control(char: str) -> bool:
    """Whether a character draws nothing and is no white space either."""
    category = unicodedata.category(char)
    return category.startswith("C") and not char.isspace()


def _is_harmless(line: str, place: int) -> bool:
    """Whether a character of a line can stand in a drawing as it is."""
    char = line[place]
    if char in "-_":  # inside a word they mean nothing
        is_inside = 0 < place < len(line) - 1
        return is_inside and line[place - 1].isalnum() and line[place + 1].isalnum()
    return char.isalnum() or char in " ,()/" or ord(char) > 160


# ======================================================================================================================
# src/comfyui_chat/media/__init__.py
#
# Files as bytes: kinds, pictures and masks, metadata, formats; never the network.
#
# Every module takes bytes and gives bytes or what is known of them. Decoding and encoding block, so callers do it in a
# thread. The modules follow one another so:
#
#     parts     how many parts a picture is made of, before anything reads it
#     kinds     what a file is, by its first bytes: its content type, the size of a picture, whether it moves
#     pictures  files of the chat made ready for a workflow: pictures, masks, videos and sounds
#     metadata  what tells how a file was made, taken out of it
#     delivery  finished files handed over in the format that somebody wants, with or without metadata
# ======================================================================================================================


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/media/parts.py
#
# Count what a picture is made of, before a library reads it.
#
# A file of a few megabytes may have a million parts that say nothing, and may bring each of them again and again. Pillow
# takes a while over each, and for some a time that grows with the square of their number. So `check_parts` counts them
# first, in a time that grows with the length of the file only, and refuses a picture that has more than any program
# writes:
#
#     PNG           chunks
#     JPEG          segments up to the first scan, what programs wrote there, and scans
#     GIF           pictures and extensions, blocks, and what the extensions hold
#     WebP          chunks
#     ICO, ICNS     the same of each PNG inside, and the pixels of that, which their own heads do not tell
#     TIFF          directories (pages), what each lists, and strips; the same for the EXIF data in the others
#     BMP, packed   bytes; so too for all formats that are not counted here
#
# AVIF is read by a library with bounds of its own. What is damaged is not refused here, but by whoever reads it.
# ----------------------------------------------------------------------------------------------------------------------


# What reading beyond the end of a file raises.
ENDS_TOO_EARLY = (IndexError, OverflowError, struct.error)


class TooManyParts(ValueError):
    """A file is made of more parts than any program writes."""


class Count:
    """How many parts were met. Raises `TooManyParts` beyond the `most`."""

    def __init__(self, most: int) -> None:
        self._left = most

    def add(self, number: int = 1) -> None:
        """Count a part, or several, or as many bytes."""
        self._left -= number
        if self._left < 0:
            raise TooManyParts("too many parts")


def check_parts(data: bytes) -> None:
    """Raise `TooManyParts` for a picture that is made of too many parts to be read."""
    with contextlib.suppress(*ENDS_TOO_EARLY):
        for start, check in CHECKS.items():
            if data.startswith(start):
                check(data)
                return
        is_avif = data[4:8] == b"ftyp"
        if not is_avif:
            Count(MOST_UNCOUNTED_BYTES).add(len(data))
            _check_inside(data)


PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG2000_START = b"\xff\x4f\xff\x51"  # then length (2), abilities (2), width (4), height (4)


def _check_inside(data: bytes) -> None:
    """Check the pictures that stand in a picture of another format."""
    count = Count(MOST_PICTURES_INSIDE)
    for start, size_at, check in ((PNG_START, 16, _check_png), (JPEG2000_START, 8, None)):
        at = data.find(start)
        while at >= 0:
            count.add()
            width, height = struct.unpack_from(">II", data, at + size_at)
            Count(int(MOST_MEGAPIXELS * 1e6)).add(width * height)
            if check:
                check(data, at)
            at = data.find(start, at + 1)


def _check_png(data: bytes, start: int = 0) -> None:
    count = Count(MOST_PICTURE_PARTS)
    at = start + 8
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        count.add()
        if kind == b"eXIf":
            check_directory(data[at + 8 : at + 8 + length])
        at += 12 + length


# Codes of JPEG that stand alone, without a length and content: cuts, start and end, and one that means nothing.
JPEG_BARE = (0x01, *range(0xD0, 0xDA))
JPEG_SCAN, JPEG_END = 0xDA, 0xD9


def _check_jpeg(data: bytes) -> None:
    """Segments of 0xFF, code, length (2) and content; bytes between them are skipped, one by one. Behind a scan its
    compressed data goes on to the next marker."""
    count, scans, texts = Count(MOST_PICTURE_PARTS), Count(MOST_JPEG_SCANS), Count(MOST_JPEG_TEXT_BYTES)
    exif = b""
    at = 2
    code = 0
    while code != JPEG_END:
        count.add()
        if data[at] != 0xFF or data[at + 1] in (0x00, 0xFF):
            at += 1
            continue
        code = data[at + 1]
        start = at + 4  # of the content
        at += 2
        if code in JPEG_BARE:
            continue
        (length,) = struct.unpack_from(">H", data, at)
        at += length
        if code >= 0xE0:
            texts.add(length)
        if code == JPEG_SCAN:
            scans.add()
            at = next_jpeg_marker(data, at)
        elif code == 0xE1 and data.startswith(b"Exif\0\0", start):
            exif += data[start + 6 : at]  # Pillow joins them
            Count(MOST_JPEG_EXIF_BYTES).add(len(exif))
        elif code == 0xE2 and data.startswith(b"MPF\0", start):
            check_directory(data[start + 4 : at])
    check_directory(exif)


# A marker in a JPEG is 0xFF and a code. In the compressed data 0xFF may stand too, followed by 0x00, by a code that
# only cuts the data into parts (0xD0 to 0xD7), or by another 0xFF.
JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
SEARCHED_AT_ONCE = 2**20  # bytes: a search holds the interpreter's lock


def next_jpeg_marker(data: bytes, at: int) -> int:
    """The place of the next marker behind compressed data, or the length of the file where there is none."""
    while at < len(data):
        marker = JPEG_MARKER.search(data, at, at + SEARCHED_AT_ONCE + 1)
        if marker:
            return marker.start()
        at += SEARCHED_AT_ONCE
    return len(data)


def _check_gif(data: bytes) -> None:
    """A head with a table of colours, then pictures (0x2C) and extensions (0x21), each with blocks of length (1) and
    content, up to an empty one."""
    count, blocks, texts = Count(MOST_PICTURE_PARTS), Count(MOST_GIF_BLOCKS), Count(MOST_GIF_TEXT_BYTES)
    at = 13 + gif_table_length(data[10])
    while data[at] != 0x3B:
        count.add()
        is_picture = data[at] == 0x2C
        if is_picture:
            at += 11 + gif_table_length(data[at + 9])
        elif data[at] == 0x21:
            at += 2
        else:
            at += 1
            continue
        start = at
        at = behind_gif_blocks(data, at, blocks)
        if not is_picture:
            texts.add(at - start)


def gif_table_length(flags: int) -> int:
    """How many bytes the table of colours of a GIF has: 0 when the flags say that there is none."""
    if not flags & 0x80:
        return 0
    colours = 2 << (flags & 7)
    return 3 * colours


def behind_gif_blocks(data: bytes, at: int, count: Count) -> int:
    """The place behind the blocks of a GIF that begin at a place, and behind the empty one that ends them."""
    blocks = 0
    while data[at]:
        at += data[at] + 1
        blocks += 1
        if blocks == 1000:
            count.add(blocks)
            blocks = 0
    count.add(blocks)
    return at + 1


def _check_webp(data: bytes) -> None:
    count = Count(MOST_PICTURE_PARTS)
    (length,) = struct.unpack_from("<I", data, 4)
    end = 8 + length
    at = 12
    while at < end:
        kind, length = struct.unpack_from("<4sI", data, at)
        count.add()
        if kind == b"EXIF":
            check_directory(data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2


def _check_bmp(data: bytes) -> None:
    (packing,) = struct.unpack_from("<I", data, 30)
    if packing in (1, 2):  # run lengths, which Pillow unpacks one by one
        Count(MOST_UNCOUNTED_BYTES // 8).add(len(data))


# Directories, of a TIFF and of EXIF data: "II" or "MM" for the order of bytes, 42 (2), and where the first directory
# is (4). It has the number of entries (2), entries of tag (2), type (2), number of values (4), and the value or where
# it is (4), and then where the next directory is (4). With 43 instead of 42 most of them are twice as long.
VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
STRIPS = (273, 324)  # the tags for where strips and tiles are


def _check_tiff(data: bytes) -> None:
    _check_directories(data, MOST_PAGES)


def check_directory(exif: bytes) -> None:
    """Raise `TooManyParts` for EXIF data that lists too much in its first directory; no other is read."""
    with contextlib.suppress(*ENDS_TOO_EARLY):
        _check_directories(exif.removeprefix(b"Exif\0\0"), 1)


def _check_directories(data: bytes, most: int) -> None:
    """Check the first directories. Those beyond the `most` are too many, unless that is one."""
    order: Literal["<", ">"] = "<" if data.startswith(b"II") else ">"
    is_big = data[2:4] in (b"\x2b\0", b"\0\x2b")
    head, counted, entry = ("Q", "Q", "HHQQ") if is_big else ("I", "H", "HHII")
    (at,) = struct.unpack_from(order + head, data, 8 if is_big else 4)
    count = Count(most)
    seen: set[int] = set()
    taken = Count(len(data) + MOST_UNCOUNTED_BYTES)
    while at and at not in seen:
        count.add()
        seen.add(at)
        (entries,) = struct.unpack_from(order + counted, data, at)
        Count(MOST_ENTRIES_IN_DIRECTORY).add(entries)
        at += struct.calcsize(order + counted)
        for tag, kind, number, _ in struct.iter_unpack(order + entry, _entries(data, at, entries, order + entry)):
            taken.add(min(number * VALUE_BYTES.get(kind, 0), len(data)))
            if tag in STRIPS:
                Count(MOST_STRIPS).add(number)
        if most == 1:
            return
        (at,) = struct.unpack_from(order + head, data, at + entries * struct.calcsize(order + entry))


def _entries(data: bytes, at: int, number: int, entry: str) -> bytes:
    """The entries of a directory, as many as there are whole ones."""
    size = struct.calcsize(entry)
    rows = data[at : at + number * size]
    return rows[: len(rows) // size * size]


# What counts the parts of files that begin so.
CHECKS: dict[bytes, Callable[[bytes], None]] = {
    b"\x89PNG": _check_png,
    b"\xff\xd8\xff": _check_jpeg,
    b"GIF8": _check_gif,
    b"RIFF": _check_webp,
    b"BM": _check_bmp,
    b"II\x2a\0": _check_tiff,
    b"MM\0\x2a": _check_tiff,
    b"II\x2b\0": _check_tiff,
    b"MM\0\x2b": _check_tiff,
}


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/media/kinds.py
#
# Tell what a file is by its bytes: its type, a picture's size, whether it moves.
#
# `content_type_of` answers ("image/png", Size(1024, 768), False), say. Pictures are opened by Pillow (`open_picture`),
# which decodes only their heads, after their parts were counted (media/parts). For other files `BEGINNINGS` lists how
# each kind begins; failing that, the ending of the name tells. What a server or a browser says of a file is not asked.
# An `OutputFile` is a finished file and its type.
#
# Files come from anybody, and Pillow's readers raise whatever they stumble over. So in `media/` every exception of
# theirs is caught and becomes an error of this tool or a note, and formats that could do harm are not read.
# ----------------------------------------------------------------------------------------------------------------------


MAX_INPUT_BYTES = 256 * 2**20  # of a file, and of all files of a call together
MAX_INPUT_FILES = 16  # of a call

# Content types: of what Pillow reads, by its names for the formats, and by the endings of names, where the operating
# system's own table may lack them.
PICTURE_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
}
OTHER_TYPES = {
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
    "mkv": "video/x-matroska",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "opus": "audio/ogg",
    "ogg": "audio/ogg",
    "wav": "audio/wav",
    "m4a": "audio/mp4",
    "glb": "model/gltf-binary",
    "gltf": "model/gltf+json",
    "obj": "model/obj",
    "stl": "model/stl",
    "ply": "model/ply",
    "svg": "image/svg+xml",
    "json": "application/json",
    "txt": "text/plain",
    "md": "text/markdown",
    "latent": "application/octet-stream",
}

# How files of each content type begin; the first match counts.
BEGINNINGS = tuple(
    (re.compile(start, re.DOTALL), content_type)
    for start, content_type in (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF.{4}WEBP", "image/webp"),
        (rb"II[*+]\0|MM\0[*+]", "image/tiff"),
        (rb"RIFF.{4}WAVE", "audio/wav"),
        (rb"RIFF.{4}AVI ", "video/x-msvideo"),
        (rb".{4}ftypavi[fs]", "image/avif"),
        (rb".{4}ftyp(?:hei[cmsx]|hev[cx]|mif1|msf1)", "image/heic"),
        (rb".{4}ftypM4[AB] ", "audio/mp4"),
        (rb".{4}ftypqt  ", "video/quicktime"),
        (rb".{4}ftyp", "video/mp4"),
        (rb".{4}(?:moov|mdat|wide|free|skip).{4}", "video/quicktime"),  # of before there was ftyp
        (rb"\x1aE\xdf\xa3.{0,60}webm", "video/webm"),
        (rb"\x1aE\xdf\xa3", "video/x-matroska"),
        (rb"fLaC", "audio/flac"),
        (rb"OggS.{24,28}\x80theora", "video/ogg"),
        (rb"OggS", "audio/ogg"),
        (rb"glTF", "model/gltf-binary"),
        (rb"\xff[\xf0\xf1\xf8\xf9][\x40-\xbf]", "audio/aac"),
        (rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][^\xf0-\xff]", "audio/mpeg"),
    )
)

# Formats that are not read: those that Pillow only recognizes, start another program, draw vectors, open other formats
# inside, unpack without a bound (FITS), or are unpacked pixel by pixel, which takes minutes (the last row).
NOT_READ = {
    *("BUFR", "EPS", "FITS", "FPX", "GRIB", "HDF5", "IPTC", "MIC", "MPEG", "WMF"),
    *("BLP", "DDS", "MSP", "QOI"),
}

# Formats whose further pictures are as good as the first. In others they only go with it, as in a phone's MPO.
PAGED = ("GIF", "PNG", "WEBP", "AVIF", "TIFF", "FLI")

# EXIF's tag for how a picture is turned, and the values of it that ask for turning; 1 is upright.
ORIENTATION = 0x0112
TURNED = range(2, 9)


def content_type_of(data: bytes, name: str) -> tuple[str, Size | None, bool]:
    """What a file is: its content type, a picture's size in pixels (None for other files), and whether it moves or has
    pages.

    Told by its own bytes, of which only the head is decoded, else by the ending of its name; what nothing tells is
    "application/octet-stream". Blocks: call it in a thread.
    """
    with contextlib.suppress(Exception), open_picture(data, PICTURE_TYPES) as image:
        return PICTURE_TYPES[str(image.format)], Size(*image.size), is_paged(image)
    _, _, ending = name.lower().rpartition(".")
    content_type = _type_by_beginning(data)
    if content_type == "video/mp4" and ending == "m4a":  # most programs give both the same brand
        content_type = "audio/mp4"
    if not content_type:
        guess, _ = mimetypes.guess_type(name)
        content_type = OTHER_TYPES.get(ending) or guess or "application/octet-stream"
    return content_type, None, content_type.startswith("video/")


def _type_by_beginning(data: bytes) -> str:
    """The content type of a file that is not a picture, "" where its first bytes do not tell it."""
    at = behind_id3(data)
    start = data[at : at + 80]
    for beginning, content_type in BEGINNINGS:
        if beginning.match(start):
            return content_type
    if data.startswith(b"ID3"):
        return "audio/mpeg"
    if is_drawing(data):
        return "image/svg+xml"
    return ""


def open_picture(data: bytes, formats: Iterable[str] = ()) -> Image.Image:
    """A picture of which only the head is decoded, in one of Pillow's `formats`, or in any that is read when there are
    none. May raise any exception, and raises `TooManyParts`."""
    check_parts(data)
    Image.init()
    names = [name for name in Image.OPEN if name not in NOT_READ]
    if formats:
        names = [name for name in names if name in formats]
    return Image.open(io.BytesIO(data), formats=names)


def is_paged(image: Image.Image) -> bool:
    """Whether a picture is an animation or has pages."""
    with contextlib.suppress(Exception):
        return image.format in PAGED and bool(getattr(image, "is_animated", False))
    return False


def is_drawing(data: bytes) -> bool:
    """Whether a file is a drawing (SVG)."""
    head = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    is_page = head.startswith((b"<html", b"<!doctype html"))
    return head.startswith(b"<") and b"<svg" in head and not is_page


def behind_id3(data: bytes) -> int:
    """The place behind the ID3 tags that a file begins with, 0 when it has none.

    A tag is a head (10 bytes: "ID3", version, flags, and the length in 4 bytes of 7 bits each), the content and, if a
    flag says so, a foot (10 bytes).
    """
    at = 0
    for _ in range(8):  # there is rarely a second one
        head = data[at : at + 10]
        if head[:3] != b"ID3" or len(head) < 10:
            break
        length = 0
        for byte in head[6:]:
            length = length << 7 | byte & 0x7F
        at += 10 + length
        if head[5] & 0x10:
            at += 10
    return at


# How files end whose content type has another name for it: image/jpeg, say.
USUAL_ENDINGS = {"jpeg": "jpg", "plain": "txt", "svg+xml": "svg"}


@dataclass(frozen=True)
class OutputFile:
    """A finished file, nearly always a picture, with what is known of it."""

    data: bytes = field(repr=False)
    content_type: str
    size: Size | None  # of a picture in pixels
    source: str  # its name on the ComfyUI server; "" for a text, and for what came over the websocket
    prompt_id: str = ""  # of the run that made it
    of: int = 0  # how many files that run made
    seed: int | None = None  # of the call that made it: the same call with it makes the same again

    @property
    def ending(self) -> str:
        """How the name of such a file ends, without the dot: "png". It is "bin" where nothing sensible is known."""
        _, _, ending = self.content_type.rpartition("/")
        if self.size is None and "." in self.source:
            _, _, ending = self.source.lower().rpartition(".")
        ending = USUAL_ENDINGS.get(ending, ending)
        if re.fullmatch(r"[a-z0-9]{1,12}", ending):
            return ending
        return "bin"


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/media/pictures.py
#
# Make files of the chat ready for a workflow: pictures, masks, videos and sounds.
#
# `read_input` makes an `InputFile` of a file's bytes. A picture keeps its bytes where every ComfyUI reads them correctly.
# Otherwise it is encoded again: upright, with 8 bits a channel, and only the first of several pictures.
#
# Until it is sent, a mask is a Pillow picture of mode L, white where something is repainted: `read_mask` finds it in what
# somebody drew, `mask_of` in what is see-through in a picture. It goes to ComfyUI as the transparency of a picture
# (`with_mask`), which is how LoadImage takes it, or as a file of its own (`mask_file`).
#
# `small_copy` and `small_jpeg` shrink a picture to a JPEG data URI, for models to look at and for live previews.
# `read_picture_workflow` takes the workflow out of a picture that ComfyUI saved:
#
#     PNG   a text "prompt" with the graph in the API format, a text "workflow" with the one in the UI format
#     WebP  the same in EXIF data, as "prompt:{...}" and "workflow:{...}"
#
# All of this decodes or encodes pictures and blocks: call it in a thread.
# ----------------------------------------------------------------------------------------------------------------------


# Pictures that every ComfyUI reads correctly as they are: their formats, with the usual endings, and their modes.
ENDINGS = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg", "WEBP": "webp"}
PLAIN_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
# How a drawing is recognized as a mask; all of these are of 255.
LEAST_WHITE = 8  # the brightest pixel of a mask has to have
ONE_COLOUR_SPREAD = 16.0  # each channel of strokes in one colour may vary by so much, as a standard deviation
GREY_SPREAD = 12.0  # the channels of something grey may be so far apart on average


@dataclass(frozen=True)
class InputFile:
    """A file for a workflow to work on, as ComfyUI reads it."""

    data: bytes = field(repr=False)
    ending: str  # of its name, without the dot: "png"
    size: Size | None = None  # of a picture, upright; None for a video or sound
    transparent: bool = False  # whether any part of it is see-through
    notes: tuple[str, ...] = ()  # for the user: "only the first of 3 pictures in it is used"
    kind: str = "image"  # or "video" or "audio"

    @functools.cached_property
    def stored_name(self) -> str:
        """Its name in the server's input folder, made from a digest of its content: a file is kept only once, and nodes
        that read it need not run again."""
        digest = hashlib.sha256(self.data).hexdigest()
        return f"open-webui-{digest[:24]}.{self.ending}"


def read_input(data: bytes, name: str) -> InputFile:
    """A file as a workflow's input: a video or sound as it is, a picture by `read_still`. Raises `BadArgument` for a
    file of another kind, and as `read_still` does. Blocks: call it in a thread."""
    content_type, _, _ = content_type_of(data, name)
    kind, _, _ = content_type.partition("/")
    if kind in ("video", "audio") and data:
        ending = OutputFile(data, content_type, None, name).ending
        return InputFile(data, ending, kind=kind)
    return read_still(data, name)


def read_still(data: bytes, name: str) -> InputFile:
    """A picture of any common format for ComfyUI: its own bytes where every ComfyUI reads them correctly, else encoded
    again, as a JPEG if it was one, else as a PNG.

    It is decoded once in any case, so that a damaged file is found here. Raises `BadArgument` for what is not a
    picture, and `LimitExceeded` beyond the bounds. Blocks.
    """
    with _open_input(data, name) as image:
        ending = ENDINGS.get(str(image.format), "")
        if ending == "jpg" and _is_plain(image):
            return _plain_jpeg(image, data)
        page_count = _page_count(image)
        image.load()
        _check_bounds(image, name)  # some formats tell their size only now
        transparent = _is_see_through(image)
        # Where one colour stands for nothing, ComfyUI shows it.
        is_hidden_colour = transparent and image.mode in ("1", "L", "RGB")
        if ending and page_count == 1 and not is_hidden_colour and _is_plain(image):
            return InputFile(data, ending, Size(*image.size), transparent)
        notes: tuple[str, ...] = ()
        if page_count > 1:
            notes = (f"only the first of {page_count} pictures in it is used",)
        return _reencoded(image, transparent, notes)


def _is_plain(image: Image.Image) -> bool:
    """Whether every ComfyUI reads the pixels of a picture correctly: in a usual mode, and upright."""
    return image.mode in PLAIN_MODES and orientation_of(image) == 1


def _page_count(image: Image.Image) -> int:
    if not is_paged(image):
        return 1
    return int(getattr(image, "n_frames", 1))  # `check_parts` bounds it, where it takes time


def _plain_jpeg(image: Image.Image, data: bytes) -> InputFile:
    """A JPEG as it is, decoded at an eighth of its size, for which all of the file is read all the same."""
    size = Size(*image.size)
    image.draft(image.mode, (1, 1))
    image.load()
    return InputFile(data, "jpg", size)


def _reencoded(image: Image.Image, transparent: bool, notes: tuple[str, ...]) -> InputFile:
    """A decoded picture upright and with 8 bits a channel: a JPEG as a JPEG, all else as a PNG."""
    turn_upright(image)
    # A JPEG gets here if it was turned, or has EXIF data that ComfyUI would fail on.
    if ENDINGS.get(str(image.format)) == "jpg" and image.mode in ("L", "RGB"):
        profile = image.info.get("icc_profile")
        encoded = encode(image, "JPEG", quality=95, subsampling="4:4:4", icc_profile=profile)
        return InputFile(encoded, "jpg", Size(*image.size), notes=notes)
    profile = rgb_profile(image)
    plain = plain_picture(image)
    encoded = encode(plain, "PNG", compress_level=1, icc_profile=profile)
    return InputFile(encoded, "png", Size(*plain.size), transparent=transparent, notes=notes)


# Opening a picture within bounds, and the errors for what cannot be opened.


@contextlib.contextmanager
def _open_input(data: bytes, name: str) -> Iterator[Image.Image]:
    """Open a picture within the bounds; it is not decoded yet. Whatever goes wrong then or inside the block is raised
    as `BadArgument` or `LimitExceeded`."""
    try:
        with open_picture(data) as image:
            _check_bounds(image, name)
            with room_for(image):
                yield image
    except ComfyUIError:
        raise
    except TooManyParts:
        content_type, _, _ = content_type_of(data, "")
        if not content_type.startswith("image/"):
            raise _unreadable(data, name) from None
        message = f'The picture "{shortened(name)}" is made of too many parts.'
        raise LimitExceeded(message, "Save it anew in an image program.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name, "far too many pixels") from None
    except Exception:
        raise _unreadable(data, name) from None


def _check_bounds(image: Image.Image, name: str) -> None:
    """Raise `LimitExceeded` for a picture with too many pixels or too long a side."""
    if is_too_large(Size(*image.size)):
        raise _too_large(name, f"{Size(*image.size)} pixels")


def _too_large(name: str, what_it_has: str) -> LimitExceeded:
    """The error for a picture that is too large: it has "9000x9000 pixels", say."""
    return LimitExceeded(
        f'The picture "{shortened(name)}" has {what_it_has}.',
        f"Give one of at most {MOST_MEGAPIXELS:g} megapixels and {MOST_SIDE} pixels a side.",
    )


def _unreadable(data: bytes, name: str) -> BadArgument:
    """The error for a file that Pillow cannot read: a drawing, a damaged picture, or none at all."""
    if is_drawing(data):
        return BadArgument(
            f'"{shortened(name)}" is a drawing (SVG), not a picture made of pixels.', "Export it as PNG first."
        )
    readable_types = [content_type for kind, content_type in PICTURE_TYPES.items() if kind in Image.OPEN]
    content_type, _, _ = content_type_of(data, "")
    if content_type in readable_types:
        return BadArgument(f'The picture "{shortened(name)}" ends too early or is damaged.', "Save or send it again.")
    return BadArgument(
        f'"{shortened(name)}" is not a picture that can be read.',
        "Pictures may be PNG, JPEG, WebP, GIF, TIFF or AVIF.",
    )


# Masks. White is what is repainted. ComfyUI takes a mask from a picture's transparency, where see-through is what is
# repainted, or from one of the colours of a file.


def read_mask(data: bytes, name: str) -> Image.Image:
    """A mask (mode L, white is what is repainted) from a picture that somebody drew.

    It may be white on black, drawn on nothing in any one colour, or a picture with holes, which are the mask then.
    Raises as `read_still` does, and `BadArgument` when nothing is white. Blocks.
    """
    with _open_input(data, name) as image:
        image.load()
        _check_bounds(image, name)
        turn_upright(image)
        mask = _mask_in(plain_picture(image))
    if _brightest(mask) < LEAST_WHITE:
        raise BadArgument(
            f'In "{shortened(name)}" the mask has no white part, so nothing would be repainted.',
            "Give a mask that is white where the picture is to change.",
        )
    return mask


def _mask_in(picture: Image.Image) -> Image.Image:
    """The mask in a plain picture. Without transparency it is the brightness; else the strokes if they have one colour,
    their brightness if they are grey, and what is see-through if they are a picture."""
    colours = picture.convert("RGB")
    red, green, blue = colours.split()
    brightest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    if picture.mode == "RGB":
        return brightest
    alpha = picture.getchannel("A")
    half = _brightest(alpha) / 2
    strokes = alpha.point([255 if value >= half else 0 for value in range(256)])  # without their soft edges
    spreads = ImageStat.Stat(colours, strokes).stddev
    if max(spreads) < ONE_COLOUR_SPREAD:
        return alpha
    darkest = ImageChops.darker(ImageChops.darker(red, green), blue)
    colourfulness = ImageChops.subtract(brightest, darkest)
    (mean,) = ImageStat.Stat(colourfulness, strokes).mean
    if mean < GREY_SPREAD:
        return ImageChops.multiply(brightest, alpha)
    return ImageChops.invert(alpha)


def mask_of(still: InputFile) -> Image.Image | None:
    """What is see-through in a picture as a mask (mode L, white is see-through), or None when nothing is. Blocks."""
    if not still.transparent:
        return None
    with _open_input(still.data, "picture") as image:
        alpha = image.convert("RGBA").getchannel("A")
        return ImageChops.invert(alpha)


def with_mask(still: InputFile, mask: Image.Image) -> InputFile:
    """The picture, see-through where the mask is white, as ComfyUI's LoadImage takes it; under the mask its colours
    stay as well. A mask of another size is scaled, which is noted. Blocks."""
    size = still.size or Size(*mask.size)
    mask, notes = _scaled(mask, size)
    with _open_input(still.data, "picture") as image:
        image.load()
        image.info.pop("transparency", None)
        picture = image.convert("RGB")
        profile = rgb_profile(image)
        picture.putalpha(ImageChops.invert(mask))
        encoded = encode(picture, "PNG", compress_level=1, icc_profile=profile)
    has_holes = _brightest(mask) > 0
    return InputFile(encoded, "png", still.size, transparent=has_holes, notes=still.notes + notes)


def mask_file(mask: Image.Image, size: Size) -> InputFile:
    """A mask as a PNG of its own, scaled to `size`, that all of ComfyUI's loaders understand alike: those that read a
    colour, and those that read what is see-through. Blocks."""
    mask, notes = _scaled(mask, size)
    alpha = ImageChops.invert(mask)
    picture = Image.merge("RGBA", (mask, mask, mask, alpha))
    encoded = encode(picture, "PNG", compress_level=1)
    has_holes = _brightest(mask) > 0
    return InputFile(encoded, "png", size, transparent=has_holes, notes=notes)


def _scaled(mask: Image.Image, size: Size) -> tuple[Image.Image, tuple[str, ...]]:
    """The mask in mode L and this size, with a note if its size was another."""
    mask_size = Size(*mask.size)
    mask = mask.convert("L")
    if mask_size == size:
        return mask, ()
    # Bilinear, since that adds no rings around hard edges.
    scaled = mask.resize((size.width, size.height), Image.Resampling.BILINEAR)
    note = f"the mask of {mask_size} was scaled to {size}"
    return scaled, (note,)


# Small pictures to look at.


def small_copy(data: bytes, side: int = 768, most: int = 100_000) -> str | None:
    """A picture as a JPEG data URI for a model to look at, of at most `side` pixels on its longer side and about `most`
    bytes; None for what is not a picture or is too large to decode. Blocks."""
    steps = (
        (side, 80),
        (side, 60),
        (side * 2 // 3, 60),
        (side // 2, 50),
        (side // 3, 40),
    )
    return small_jpeg(data, steps, most, MOST_MEGAPIXELS)


def small_jpeg(data: bytes, steps: Sequence[tuple[int, int]], most: int, megapixels: float) -> str | None:
    """A picture as a JPEG data URI, or None for what is not a picture or has more than so many megapixels.

    `steps` are tried in turn: (longer side in pixels, JPEG quality). The first that gives at most `most` bytes of JPEG
    is taken, else the last. Blocks.
    """
    try:
        with open_picture(data) as image:
            if Size(*image.size).megapixels > megapixels:
                return None
            largest_side, _ = steps[0]
            image.draft("RGB", (largest_side, largest_side))
            with room_for(image):
                image.load()
                if image.width * image.height > megapixels * 1e6:
                    return None
                turn_upright(image)
                small = plain_picture(image)
                small.thumbnail((largest_side, largest_side))
        jpeg = b""
        for side, quality in steps:
            small.thumbnail((side, side))
            jpeg = encode(over_white(small), "JPEG", quality=quality)
            if len(jpeg) <= most:
                break
    except Exception:
        return None
    text = base64.b64encode(jpeg).decode()
    return f"data:image/jpeg;base64,{text}"


# What is done with a picture that Pillow opened.


def is_too_large(size: Size) -> bool:
    """Whether a picture of this size is not decoded."""
    return size.megapixels > MOST_MEGAPIXELS or max(size.width, size.height) > MOST_SIDE


def room_for(image: Image.Image) -> contextlib.AbstractContextManager[Any]:
    """Within this a picture may be decoded: a large one when no other large one is, in the whole process. Blocks."""
    if Size(*image.size).megapixels > MOST_SMALL_MEGAPIXELS:
        return one_at_a_time()
    return contextlib.nullcontext()


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation: 1 for upright, 2 to 8 for turned, 0 when the EXIF data cannot be read. A picture that holds
    its EXIF data at its end is decoded for it."""
    try:
        orientation: int = image.getexif().get(ORIENTATION, 1)
    except Exception:
        return 0
    if orientation in TURNED:
        return orientation
    return 1


def turn_upright(image: Image.Image) -> None:
    """Turn a picture in place as its EXIF data says."""
    if orientation_of(image) in TURNED:
        ImageOps.exif_transpose(image, in_place=True)


def plain_picture(image: Image.Image) -> Image.Image:
    """A decoded picture as RGB with 8 bits a channel, or as RGBA when something in it is see-through."""
    mode = "RGBA"
    if not _is_see_through(image):
        mode = "RGB"
        image.info.pop("transparency", None)  # Pillow would warn of it
    if _has_deep_grey(image):
        image = _eight_bits(image)
    if image.mode == mode:
        return image
    return image.convert(mode)


def _is_see_through(image: Image.Image) -> bool:
    """Whether any pixel of a decoded picture is not fully opaque."""
    if not image.has_transparency_data or _has_deep_grey(image):
        return False
    if "A" not in image.getbands():
        image = image.convert("RGBA")
    least_opaque, _ = image.getchannel("A").getextrema()
    return least_opaque != 255


def _has_deep_grey(image: Image.Image) -> bool:
    """Whether a picture is grey, with 16 or 32 bits or with fractions: modes "I", "I;16" and its kin, and "F"."""
    return image.mode[0] in "IF"


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey picture of 16 or 32 bits, or of fractions, as one of 8 bits.

    Of 16 bits the upper 8 are kept; ComfyUI itself would clip what is above 255 to white. In 32 bits the brightest
    pixel becomes white. In fractions 1.0 is white if none is brighter, else 255 or the brightest pixel.
    """
    if image.mode == "F":
        brightest = _brightest(image)
        white = 1.0
        if brightest > 1:
            white = max(brightest, 255.0)
    else:
        image = image.convert("I")
        white = _brightest(image)
        if white <= 0xFFFF:
            return image.point([value >> 8 for value in range(0x10000)], "L")
    return image.point(lambda value: value * (255 / white) + 0).convert("L")


def _brightest(image: Image.Image) -> float:
    """The highest value in a picture that has one channel."""
    return float(image.getextrema()[1])  # type: ignore[arg-type]


def rgb_profile(image: Image.Image) -> bytes | None:
    """A picture's colour profile (ICC), or None when it has none or one that is not for RGB."""
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and profile[16:20] == b"RGB ":
        return profile
    return None


def over_white(image: Image.Image) -> Image.Image:
    """The picture without transparency: what was see-through shows white."""
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def encode(image: Image.Image, pillow_format: str, **options: Any) -> bytes:
    """A picture as the bytes of a file, in one of Pillow's formats ("PNG", say) and with Pillow's options for that."""
    stream = io.BytesIO()
    image.save(stream, pillow_format, **options)
    return stream.getvalue()


# The workflow in a picture. What ran counts before what was drawn, since it needs no conversion.
PICTURE_KEYS = ("prompt", "workflow")


def read_picture_workflow(data: bytes, name: str) -> Graph:
    """The workflow that ComfyUI put into a picture that it made, in PNG texts or in the EXIF data of WebP and JPEG.
    Raises `WorkflowRefused` when there is none. Blocks: call it in a thread."""
    try:
        texts = _comfyui_texts(data)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise WorkflowRefused(f'There is no picture that can be read in "{name}".', EXPECTED) from None
    for key in PICTURE_KEYS:
        with contextlib.suppress(WorkflowRefused):
            content = read_json(texts.get(key, ""))
            return unwrap(content)
    raise WorkflowRefused(
        f'The picture "{name}" holds no workflow of ComfyUI.',
        "Pictures lose it when they are edited, compressed or sent by a messenger: attach the file that ComfyUI saved.",
    )


def _comfyui_texts(data: bytes) -> dict[str, str]:
    """The texts in a picture by their keys, those in EXIF data among them. May raise what Pillow raises."""
    with open_picture(data, ("PNG", "WEBP", "JPEG")) as image:
        texts = {}
        for key in PICTURE_KEYS:
            text = image.info.get(key)
            if isinstance(text, str):
                texts[key] = text
        # Of a PNG only what stands before the pixels, which would be decoded for the rest.
        exif = {} if image.format == "PNG" and "exif" not in image.info else image.getexif()
        for value in exif.values():
            if isinstance(value, str):
                key, _, text = value.partition(":")
                texts.setdefault(key.strip().lower(), text.strip("\0 "))
    return texts


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/media/metadata.py
#
# Strip files of the texts that tell how they were made, without decoding them.
#
# ComfyUI writes the prompt and the workflow into nearly every file that it saves. `without_metadata` takes them out: by
# the file's type it calls one of the `_strip_...` functions, each of which knows the layout of one format (see
# `STRIPPERS` at the end). Those are the formats that the savers of ComfyUI and of widespread custom nodes write. Pixels,
# sound and film stay as they are, bit by bit, and so do colour profiles and how a picture is turned.
#
# Some formats are rows of pieces, and are rewritten without some of them (PNG, JPEG, WebP, GIF, SVG, GLB). In others
# something refers to places in the file, and so what is removed is overwritten in its length (MP4, Matroska, FLAC, Opus,
# safetensors). A file that is not as its format demands raises `ValueError` or `LookupError`, or `RecursionError` where
# it is nested without end: rather an error than a file that may still tell. So does one of more parts than any program
# writes. Everything takes a time that grows with the length of the file only, and no more memory than the file again.
# ----------------------------------------------------------------------------------------------------------------------


def without_metadata(data: bytes, content_type: str) -> bytes:
    """A file without the texts that tell how it was made; all else stays, bit by bit.

    Its own bytes tell its type; `content_type` counts where they do not. Raises `ValueError`, `LookupError` or
    `RecursionError` for a damaged file, and for a picture, video or sound of a format that cannot be stripped. Other
    files of such formats come back as they are.
    """
    file_type, _, _ = content_type_of(data, "")
    if file_type not in STRIPPERS:
        file_type = content_type
    if file_type in STRIPPERS:
        return STRIPPERS[file_type](data)
    if SAFETENSORS.match(data):
        return _strip_safetensors(data)
    has_place_for_texts = file_type.startswith(("image/", "video/", "audio/")) and file_type != "image/bmp"
    if has_place_for_texts:
        raise ValueError(file_type)
    return data


# Helpers for several formats.

# What is overwritten: where, and by what of the same length, in the order of the file.
Changes = list[tuple[int, bytes]]
ZEROS = bytes(2**20)


def _zeros(start: int, end: int) -> Changes:
    """Zeros between two places, which take no memory."""
    return [(at, ZEROS[: end - at]) for at in range(start, end, len(ZEROS))]


def _overwritten(data: bytes, changes: Changes) -> bytes:
    """A file with these places overwritten."""
    view = memoryview(data)
    parts: list[memoryview | bytes] = []
    at = 0
    for start, content in changes:
        parts += [view[at:start], content]
        at = start + len(content)
    return b"".join([*parts, view[at:]])


def _number(data: bytes, at: int, length: int, order: Literal["big", "little"] = "big") -> int:
    """The number in `length` bytes at a place. Raises `ValueError` where the file ends before."""
    end = at + length
    if at < 0 or end > len(data):
        raise ValueError("the file ends too early")
    return int.from_bytes(data[at:end], order)


def _only_orientation(exif: bytes) -> bytes:
    """EXIF data (as in TIFF) that tells nothing but how a picture is turned; empty when that is upright or unknown."""
    full = Image.Exif()
    try:
        check_directory(exif)
        full.load(exif)
        orientation = full.get(ORIENTATION)
    except Exception:
        return b""
    if orientation not in TURNED:
        return b""
    stripped = Image.Exif()
    stripped[ORIENTATION] = orientation
    return stripped.tobytes().removeprefix(b"Exif\0\0")


# Pictures.


PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"comf")  # kinds of chunks; the last is ComfyUI's own, in animations


def _strip_png(data: bytes) -> bytes:
    """A PNG: a signature of 8 bytes, then chunks of length (4), kind (4), content and check sum (4).

    89504e470d0a1a0a  0000000d IHDR ...  0000002f tEXt prompt\\0{"3": ...} <check sum>  ...  00000000 IEND ae426082
    """
    parts = [data[:8]]
    count = Count(MOST_FILE_PARTS)
    at = 8
    kind = b""
    while at < len(data) and kind != b"IEND":
        count.add()
        length = _number(data, at, 4)
        kind = data[at + 4 : at + 8]
        content = at + 8
        content_end = content + length
        end = content_end + 4
        if end > len(data):
            raise ValueError("the file ends too early")
        if kind == b"eXIf":
            exif = data[content:content_end]
            parts.append(_png_exif(exif))
        elif kind not in PNG_TEXTS:
            parts.append(data[at:end])
        at = end
    parts.append(data[at:])
    return b"".join(parts)


def _png_exif(exif: bytes) -> bytes:
    """The chunk of EXIF data that only tells how the picture is turned; empty when that is upright."""
    stripped = _only_orientation(exif)
    if not stripped:
        return b""
    length = len(stripped).to_bytes(4)
    content = b"eXIf" + stripped
    check_sum = zlib.crc32(content).to_bytes(4)
    return length + content + check_sum


JPEG_PROGRAMS = range(0xE0, 0xF0)  # codes of the segments in which programs write what they like
JPEG_KEPT = (0xE0, 0xE2, 0xEE)  # of these: JFIF, colour profile, Adobe's colour transform


def _strip_jpeg(data: bytes) -> bytes:
    """A JPEG: segments of marker (2), length (2, itself included) and content; behind each start of a scan (0xDA)
    compressed data up to the next marker; 0xD9 is the end."""
    parts = [data[:2]]
    count = Count(MOST_FILE_PARTS)
    at = 2
    while data[at] == 0xFF:
        count.add()
        code = data[at + 1]
        if code == 0xFF:  # a byte that fills up
            at += 1
            continue
        if code == JPEG_END:
            parts.append(data[at:])
            return b"".join(parts)
        length = _number(data, at + 2, 2)
        end = at + 2 + length
        if length < 2 or end > len(data):
            break
        if code == JPEG_SCAN:
            end = next_jpeg_marker(data, end)
            parts.append(data[at:end])
            if end == len(data):  # the file is cut short
                return b"".join(parts)
        else:
            segment = data[at:end]
            parts.append(_jpeg_segment(code, segment))
        at = end
    raise ValueError("no JPEG marker")


def _jpeg_segment(code: int, segment: bytes) -> bytes:
    """What stays of a segment, which is empty when it only holds texts."""
    if code == 0xE1 and segment[4:10] == b"Exif\0\0":
        exif = _only_orientation(segment[10:])
        if not exif:
            return b""
        content = b"Exif\0\0" + exif
        length = (2 + len(content)).to_bytes(2)
        return b"\xff\xe1" + length + content
    is_comment = code == 0xFE
    is_of_program = code in JPEG_PROGRAMS and code not in JPEG_KEPT
    if is_comment or is_of_program:
        return b""
    return segment


WEBP_HAS_EXIF = 0x08  # in the flags of a WebP
WEBP_HAS_XMP = 0x04


def _strip_webp(data: bytes) -> bytes:
    """A WebP: "RIFF", length of the rest (4, little-endian), "WEBP", then chunks: kind (4), length (4), content, and a
    byte that fills up to an even length; the last one may be cut short. Texts are in the chunks "EXIF" and "XMP ", and
    the flags in "VP8X" say whether there are any."""
    riff_length = _number(data, 4, 4, "little")
    if data[:4] != b"RIFF" or riff_length < 4:
        raise ValueError("not a WebP")
    stop = min(8 + riff_length, len(data))
    removed = WEBP_HAS_XMP  # flags
    chunks = []
    count = Count(MOST_FILE_PARTS)
    at = 12
    while at < stop:
        count.add()
        content_length = 0
        if at + 8 <= stop:
            content_length = _number(data, at + 4, 4, "little")
        filling = content_length % 2
        end = at + 8 + content_length + filling
        chunk = data[at : min(end, stop)]
        kind = chunk[:4]
        if kind == b"EXIF":
            exif = _only_orientation(chunk[8:])
            if exif:
                chunks.append(_webp_exif(exif))
            else:
                removed |= WEBP_HAS_EXIF
        elif kind != b"XMP ":
            chunks.append(chunk)
        at = end
    if chunks and chunks[0].startswith(b"VP8X"):
        head = bytearray(chunks[0])
        head[8] &= ~removed
        chunks[0] = bytes(head)
    new_length = (4 + sum(map(len, chunks))).to_bytes(4, "little")
    return b"".join([b"RIFF", new_length, data[8:12], *chunks, data[stop:]])


def _webp_exif(exif: bytes) -> bytes:
    """A chunk of EXIF data."""
    length = len(exif).to_bytes(4, "little")
    filling = bytes(len(exif) % 2)
    return b"EXIF" + length + exif + filling


def _strip_gif(data: bytes) -> bytes:
    """A GIF: a head (13 bytes) with a table of colours, then pictures (0x2C, 10 bytes, a table of colours, 1 byte) and
    extensions (0x21, 2 bytes), each followed by blocks of length (1) and content, up to an empty one; 0x3B is the
    end."""
    at = 13 + gif_table_length(data[10])
    parts = [data[:at]]
    count, blocks = Count(MOST_FILE_PARTS), Count(MOST_GIF_BLOCKS)
    while data[at] != 0x3B:
        count.add()
        if data[at] == 0x2C:
            start = at + 11 + gif_table_length(data[at + 9])
        elif data[at] == 0x21:
            start = at + 2
        else:
            raise ValueError("not a part of a GIF")
        end = behind_gif_blocks(data, start, blocks)
        part = data[at:end]
        is_comment = part.startswith(b"\x21\xfe")
        is_xmp = part.startswith(b"\x21\xff") and part[3:14] == b"XMP DataXMP"
        if not is_comment and not is_xmp:
            parts.append(part)
        at = end
    parts.append(data[at:])
    return b"".join(parts)


def _strip_svg(data: bytes) -> bytes:
    """An SVG: text, in which the elements <metadata> are cut out.

    <svg><metadata><![CDATA[{"prompt": {"3": ...}}]]></metadata><path .../></svg>  ->  <svg><path .../></svg>
    """
    parts = []
    count = Count(MOST_FILE_PARTS)
    at = 0
    start = data.find(b"<metadata")
    while start >= 0:
        count.add()
        end = data.index(b"</metadata", start)
        quoted = data.find(b"<![CDATA[", start, end)
        if quoted >= 0:  # where "</metadata" may stand as a text
            quote_end = data.index(b"]]>", quoted)
            end = data.index(b"</metadata", quote_end)
        parts.append(data[at:start])
        at = data.index(b">", end) + 1
        start = data.find(b"<metadata", at)
    parts.append(data[at:])
    return b"".join(parts)


# Film and sound.


def _strip_mp4(data: bytes) -> bytes:
    """An MP4, M4A or MOV: boxes in boxes."""
    changes: Changes = []
    _free_boxes(data, 0, len(data), changes, Count(MOST_FILE_PARTS))
    return _overwritten(data, changes)


MP4_TEXTS = (b"udta", b"meta", b"uuid")  # kinds of boxes for texts
MP4_ENTERED = (b"moov", b"trak")  # the boxes of the film and of its tracks, which may hold such


def _free_boxes(file: bytes, at: int, end: int, changes: Changes, count: Count) -> None:
    """Make "free" boxes, full of zeros, of the boxes for texts between two places: these are the `changes`.

    A box is length (4, all of it; 1 when 8 more bytes hold it, 0 when it goes on to the end), kind (4) and content.
    """
    while at < end:
        count.add()
        length = _number(file, at, 4)
        kind = file[at + 4 : at + 8]
        content = at + 8
        if length == 1:
            length = _number(file, at + 8, 8)
            content = at + 16
        stop = end
        if length:
            stop = at + length
        if stop > end or stop < content:
            raise ValueError("a box ends where it cannot")
        if kind in MP4_TEXTS:
            changes += [(at + 4, b"free"), *_zeros(content, stop)]
        elif kind in MP4_ENTERED:
            _free_boxes(file, content, stop, changes, count)
        at = stop


# Ids of Matroska's elements.
MATROSKA_ENTERED = (b"\x18\x53\x80\x67", b"\x15\x49\xa9\x66")  # Segment, Info
MATROSKA_CLUSTER = b"\x1f\x43\xb6\x75"
MATROSKA_TEXTS = (b"\x12\x54\xc3\x67", b"\x7b\xa9", b"\xbf")  # Tags, Title, and the check sum over that


def _strip_matroska(data: bytes) -> bytes:
    """A Matroska or WebM file: elements of id, length and content, in elements. The texts become void elements."""
    changes: Changes = []
    count = Count(MOST_FILE_PARTS)
    at = 0
    while at < len(data):
        count.add()
        kind, length, content = _matroska_element(data, at)
        if kind in MATROSKA_ENTERED or (length is None and kind == MATROSKA_CLUSTER):
            at = content
            continue
        if length is None or content + length > len(data):
            raise ValueError("an element ends where it cannot")
        end = content + length
        if kind in MATROSKA_TEXTS:
            head = _matroska_void(end - at)
            changes += [(at, head), *_zeros(at + len(head), end)]
        at = end
    return _overwritten(data, changes)


def _matroska_element(file: bytes, at: int) -> tuple[bytes, int | None, int]:
    """An element's id, the length of its content, and where that begins. The length is None in a file that was written
    to a pipe: the element ends where the next one begins.

    Ids and lengths have 1 to 8 bytes, told by the number of zeros at the start of the first: the length 0x4005 is 5,
    0xFF is unknown.
    """
    length_at = at + 9 - file[at].bit_length()
    content = length_at + 9 - file[length_at].bit_length()
    if not file[at] or not file[length_at]:
        raise ValueError("not an element")
    kind = file[at:length_at]
    width = content - length_at
    unknown = (1 << 7 * width) - 1
    length = _number(file, length_at, width) & unknown
    if length == unknown:
        return kind, None, content
    return kind, length, content


def _matroska_void(total: int) -> bytes:
    """The id and the length of a void element of `total` bytes, these included."""
    width = 8 if total > 8 else 1  # of its length
    length = total - 1 - width
    marked_length = length | 1 << 7 * width
    return b"\xec" + marked_length.to_bytes(width)


APE_HAS_HEAD = 1 << 31  # in the flags of an APE tag: 32 more bytes in front of it


def _strip_mp3(data: bytes) -> bytes:
    """An MP3: ID3 tags in front, and behind the sound tags of ID3v1 (128 bytes) and of APE (told by their last 32)."""
    start = behind_id3(data)
    end = len(data)
    if start > end:
        raise ValueError("a tag ends where it cannot")
    count = Count(MOST_FILE_PARTS)
    while True:
        count.add()
        if data[max(start, end - 128) : end].startswith(b"TAG"):
            end -= 128
        elif data[max(start, end - 32) : end].startswith(b"APETAGEX"):
            length = _number(data, end - 20, 4, "little")
            flags = _number(data, end - 12, 4, "little")
            end -= max(length, 32)
            if flags & APE_HAS_HEAD:
                end -= 32
        else:
            return data[start:end]
        if end < start:
            raise ValueError("a tag begins where it cannot")


FLAC_PADDING = 1  # kinds of blocks
FLAC_COMMENTS = 4


def _strip_flac(data: bytes) -> bytes:
    """A FLAC: "fLaC", then blocks of kind (1, its highest bit marks the last), length (3) and content, then the
    sound. The block of comments becomes padding."""
    data = data[behind_id3(data) :]
    if data[:4] != b"fLaC":
        raise ValueError("not a FLAC")
    changes: Changes = []
    count = Count(MOST_FILE_PARTS)
    at = 4
    is_last = False
    while not is_last:
        count.add()
        is_last = data[at] > 0x7F
        end = at + 4 + _number(data, at + 1, 3)
        if end > len(data):
            raise ValueError("the file ends too early")
        kind = data[at] & 0x7F
        if kind == FLAC_COMMENTS:
            last_bit = data[at] & 0x80
            changes += [(at, bytes([last_bit | FLAC_PADDING])), *_zeros(at + 4, end)]
        at = end
    return _overwritten(data, changes)


OPUS_NO_COMMENTS = b"OpusTags" + bytes(8)  # a name of no length, and no comments

# For each byte the one with its bits in the opposite order.
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _strip_opus(data: bytes) -> bytes:
    """An Opus file: a stream of packets in the pages of Ogg. The second packet holds the comments, over as many pages
    as they need. They are overwritten in place, filled up with zeros."""
    pieces = _ogg_pieces(data, packet=1)
    comments = b"".join(data[start:end] for _, start, end in pieces)
    if not comments.startswith(b"OpusTags") or len(comments) < len(OPUS_NO_COMMENTS):
        raise ValueError("no comments of Opus")
    stripped = OPUS_NO_COMMENTS.ljust(len(comments), b"\0")
    stream = io.BytesIO(stripped)
    pages = {page: bytearray(data[page : _ogg_page_end(data, page)]) for page, _, _ in pieces}
    for page, start, end in pieces:
        pages[page][start - page : end - page] = stream.read(end - start)
    for content in pages.values():
        _set_ogg_check_sum(content)
    return _overwritten(data, [(page, bytes(content)) for page, content in pages.items()])


def _ogg_pieces(data: bytes, packet: int) -> list[tuple[int, int, int]]:
    """The pieces of a packet of an Ogg file, counted from 0: where the page of each begins, and where it itself begins
    and ends. Raises `ValueError` where the file ends within it."""
    pieces: list[tuple[int, int, int]] = []
    size = Count(MOST_COMMENT_BYTES)
    ended = 0  # packets
    for page, lengths in _ogg_pages(data):
        start = page + 27 + len(lengths)
        for length in lengths:
            end = start + length
            if ended == packet:
                pieces.append((page, start, end))
                size.add(length)
            if length < 255:
                ended += 1
            start = end
    if ended <= packet:
        raise ValueError("the file ends too early")
    return pieces


def _ogg_pages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Where each page of an Ogg file with a single stream begins, and the lengths of its pieces.

    A page is a head (27 bytes, with the stream's number and a check sum), the lengths of its pieces (1 byte each), and
    the pieces. A piece of 255 bytes goes on in the next one, also over pages; together they are a packet.
    """
    count = Count(MOST_FILE_PARTS)
    at = 0
    while at < len(data):
        count.add()
        content = at + 27 + data[at + 26]
        head = data[at:content]
        lengths = head[27:]
        end = _ogg_page_end(data, at)
        if not head.startswith(b"OggS") or end > len(data):
            raise ValueError("not a page")
        is_other_stream = head[14:18] != data[14:18]
        begins_stream = head[5] & 2
        if is_other_stream or (begins_stream and at > 0):
            raise ValueError("more than one stream")
        yield at, lengths
        at = end


def _ogg_page_end(data: bytes, page: int) -> int:
    """The place behind a page of Ogg."""
    content = page + 27 + data[page + 26]
    return content + sum(data[page + 27 : content])


def _set_ogg_check_sum(page: bytearray) -> None:
    """Put the check sum of a page right. It is zlib's with the bits of all bytes mirrored, and without its
    inversions."""
    place = slice(22, 26)  # of the check sum, which is 0 while it is calculated
    page[place] = bytes(4)
    check_sum = zlib.crc32(page.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    page[place] = check_sum.to_bytes(4).translate(MIRRORED)


# Models in 3D, saved latents and models.


def _strip_glb(data: bytes) -> bytes:
    """A GLB: a head (12, with the length of all), then JSON (length, "JSON", and the text, filled up to a multiple of
    4), where ComfyUI writes into "extras", and the rest.

    {"asset": {"version": "2.0", "extras": {"prompt": {...}}}, "extras": {"workflow": {...}}, "nodes": [...]}
    """
    length = _number(data, 12, 4, "little")
    text_end = 20 + length
    if data[16:20] != b"JSON" or text_end > len(data):
        raise ValueError("no JSON")
    Count(MOST_HEAD_BYTES).add(length)
    model = json.loads(data[20:text_end])
    if not isinstance(model, dict):
        raise ValueError("not an object")
    has_extras = False
    for part in (model, model.get("asset")):
        if isinstance(part, dict) and "extras" in part:
            del part["extras"]
            has_extras = True
    if not has_extras:
        return data
    text = _short_json(model)
    filling = -len(text) % 4
    text = text.ljust(max(length, len(text) + filling))
    rest = memoryview(data)[text_end:]
    total_length = (20 + len(text) + len(rest)).to_bytes(4, "little")
    text_length = len(text).to_bytes(4, "little")
    return b"".join([data[:8], total_length, text_length, b"JSON", text, rest])


def _short_json(value: Any) -> bytes:
    """A value as JSON without spaces."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


# How such a file begins: with the length of its head, less than 4 GB, and the JSON in that.
SAFETENSORS = re.compile(rb".{4}\0{4}\{\s*\"", re.DOTALL)


def _strip_safetensors(data: bytes) -> bytes:
    """A safetensors file: the length (8, little-endian) of a head in JSON, the head, and the numbers. The head keeps
    its length, filled up with spaces.

    {"__metadata__": {"prompt": "..."}, "latent_tensor": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    """
    length = _number(data, 0, 8, "little")
    Count(MOST_HEAD_BYTES).add(length)
    end = 8 + length
    head = json.loads(data[8:end])
    if head.pop("__metadata__", None) is None:
        return data
    text = _short_json(head).ljust(length)
    if len(text) > length:
        raise ValueError("it grew")
    return _overwritten(data, [(8, text)])


# What strips the files of each content type. What is not here is told by its beginning (safetensors) or cannot be
# stripped.
STRIPPERS: dict[str, Callable[[bytes], bytes]] = {
    "image/png": _strip_png,
    "image/jpeg": _strip_jpeg,
    "image/webp": _strip_webp,
    "image/gif": _strip_gif,
    "image/svg+xml": _strip_svg,
    "video/mp4": _strip_mp4,
    "video/quicktime": _strip_mp4,
    "audio/mp4": _strip_mp4,
    "video/webm": _strip_matroska,
    "video/x-matroska": _strip_matroska,
    "audio/flac": _strip_flac,
    "audio/mpeg": _strip_mp3,
    "audio/ogg": _strip_opus,
    "model/gltf-binary": _strip_glb,
}


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/media/delivery.py
#
# Hand a finished file over as it is wanted: in which format, with or without metadata.
#
# `deliver` makes an `OutputFile` of the bytes that a server gave, in the `Format` that somebody chose, and notes what
# could not be done; the file then stays as it was made. Only still pictures are converted. The prompt and the workflow
# that ComfyUI wrote into them move to where it would write them in the new format, so that a picture can still be
# dropped into its editor:
#
#     PNG         text chunks: "prompt", "workflow" and others
#     WebP, JPEG  EXIF data: "prompt:{...}" in tag 0x0110, "workflow:{...}" and others in 0x010F, 0x010E and so on down
#
# Without metadata a converted picture tells nothing, and any other file is stripped by media/metadata. `text_product`
# makes a file of a text that a node showed.
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """How a finished file is wanted."""

    kind: str = ""  # of still pictures: "PNG", "WebP", "JPEG", or "" for as they were made
    quality: int = 90  # 1 to 100, of a WebP or JPEG that is made
    metadata: bool = True  # whether the file may tell its prompt and workflow


def deliver(data: bytes, source: str, wanted: Format) -> tuple[OutputFile, tuple[str, ...]]:
    """A finished file as it is wanted, and notes of what could not be done. `source` is its name on the server. Blocks:
    call it in a thread."""
    product = read_product(data, source)
    changed, content_type, notes = delivered(data, product.content_type, wanted)
    size = product.size
    if content_type != product.content_type:
        _, size, _ = content_type_of(changed, "")
    if size is None and content_type in PICTURE_TYPES.values() and not notes:
        notes = ("a picture could not be read, and is handed over as a file",)
    product = replace(product, data=changed, content_type=content_type, size=size)
    return product, notes


def read_product(data: bytes, source: str) -> OutputFile:
    """A finished file with its type and size, told by its bytes, else by its name. Blocks: call it in a thread."""
    content_type, size, _ = content_type_of(data, source)
    return OutputFile(data, content_type, size, source)


# The longest side, in pixels, that a picture of each format may have.
LONGEST_SIDE = {"PNG": 2**31 - 1, "WEBP": 16_383, "JPEG": 65_535}


def delivered(data: bytes, content_type: str, wanted: Format) -> tuple[bytes, str, tuple[str, ...]]:
    """A finished file as it is wanted: its bytes, its content type, and notes of what could not be done. Blocks.

    `content_type` is what is known of the file; its own bytes count more.
    """
    pillow_format = wanted.kind.upper()
    notes: tuple[str, ...] = ()
    if pillow_format in LONGEST_SIDE:
        wanted_type = PICTURE_TYPES[pillow_format]
        own_type, size, moves = content_type_of(data, "")
        is_still = not moves and (size is not None or _is_called_picture(own_type, content_type))
        if is_still and own_type != wanted_type:
            converted, notes = _try_to_convert(data, size, wanted)
            if converted is not None:
                return converted, wanted_type, notes
    if not wanted.metadata:
        try:
            data = without_metadata(data, content_type)
        except (ValueError, LookupError, RecursionError):
            notes += ("its metadata could not be removed",)
    return data, content_type, notes


def _is_called_picture(own_type: str, content_type: str) -> bool:
    """Whether a file that could not be opened is called a picture: one that is damaged, or that Pillow does not know.
    It cannot be converted, which is noted."""
    is_drawing = "image/svg+xml" in (own_type, content_type)
    return content_type.startswith("image/") and not is_drawing


def _try_to_convert(data: bytes, size: Size | None, wanted: Format) -> tuple[bytes | None, tuple[str, ...]]:
    """A picture in the format that is wanted, or None if that cannot be, with notes either way."""
    pillow_format = wanted.kind.upper()
    if size and max(size.width, size.height) > LONGEST_SIDE[pillow_format]:
        note = f"a picture of {size} cannot be a {wanted.kind} and stays as it was made"
        return None, (note,)
    if size and is_too_large(size):
        note = f"a picture of {size} is too large to be made a {wanted.kind} and stays as it was made"
        return None, (note,)
    try:
        return _converted(data, pillow_format, wanted)
    except Exception:
        note = f"the picture could not be made a {wanted.kind} and stays as it was made"
        return None, (note,)


# Texts in pictures: what their keys look like, and the tags of EXIF data that they stand in. That is one for the
# prompt; the others go first where ComfyUI writes them, then, if there are more, where nothing else stands.
TEXT_KEY = re.compile(r"[^\0:]{1,79}")
PROMPT_TAG = 0x0110
TEXT_TAGS = (*range(0x010F, 0x010A, -1), *range(0x00FD, 0x0080, -1))

MAX_JPEG_EXIF = 65_000  # bytes; the length of its segment has 16 bits


def _converted(data: bytes, pillow_format: str, wanted: Format) -> tuple[bytes, tuple[str, ...]]:
    """A picture as a file of another format, and notes of what was lost. May raise any exception."""
    with open_picture(data) as image, room_for(image):
        image.load()
        if is_too_large(Size(*image.size)):  # some formats tell it only now
            raise ValueError("too large")
        return _encoded(image, pillow_format, wanted)


def _encoded(image: Image.Image, pillow_format: str, wanted: Format) -> tuple[bytes, tuple[str, ...]]:
    """A decoded picture as a file of another format, and notes of what was lost."""
    texts = _texts(image) if wanted.metadata else {}
    notes = _notes_on(_cut_to_bounds(texts), "")
    turn_upright(image)
    profile = rgb_profile(image)
    picture = plain_picture(image)
    if pillow_format == "PNG":
        chunks = PngImagePlugin.PngInfo()
        for key, text in texts.items():
            chunks.add_text(key, text)
        return encode(picture, "PNG", compress_level=4, pnginfo=chunks, icc_profile=profile), notes
    quality = min(max(wanted.quality, 1), 100)
    if pillow_format == "WEBP":
        exif = _exif(texts)
        return encode(picture, "WEBP", method=4, quality=quality, exif=exif, icc_profile=profile), notes
    removed = _cut_for_jpeg(texts)
    exif = _exif(texts)
    encoded = encode(over_white(picture), "JPEG", quality=quality, exif=exif, icc_profile=profile)
    return encoded, notes + _notes_on(removed, " in a JPEG")


MOST_NOTES_ON_TEXTS = 5


def _notes_on(removed: Sequence[str], where: str) -> tuple[str, ...]:
    """Notes on the texts, by their keys, that were taken out of a picture."""
    notes = [f"the {shortened(key)} was too long to be kept{where}" for key in removed[:MOST_NOTES_ON_TEXTS]]
    if more := len(removed) - len(notes):
        notes.append(f"{more} more texts were too many to be kept{where}")
    return tuple(notes)


def _cut_to_bounds(texts: dict[str, str]) -> list[str]:
    """Take texts out until the rest is within the bounds, in the same order. Returns the keys of those taken out."""
    removed: list[str] = []
    length = sum(map(len, texts.values()))
    for key in ("workflow", "prompt", *texts):
        if length <= MOST_PICTURE_TEXT_CHARACTERS and len(texts) <= len(TEXT_TAGS):
            break
        if key in texts:
            length -= len(texts.pop(key))
            removed.append(key)
    return removed


def _cut_for_jpeg(texts: dict[str, str]) -> list[str]:
    """Take texts out until the rest fits into a JPEG: first the workflow, then the prompt, then the others. Returns the
    keys of those taken out."""
    removed: list[str] = []
    for key in ("workflow", "prompt", *texts):
        if len(_exif(texts)) <= MAX_JPEG_EXIF:
            break
        if key in texts:
            del texts[key]
            removed.append(key)
    return removed


def _texts(image: Image.Image) -> dict[str, str]:
    """The texts in a picture by their keys, from where ComfyUI puts them: PNG texts, or "key:text" in EXIF data."""
    texts: dict[str, str] = {}
    if isinstance(image, PngImagePlugin.PngImageFile):
        texts = {key: str(text) for key, text in image.text.items()}
    elif orientation_of(image):  # 0 where the EXIF data cannot be read
        exif = image.getexif()
        for tag in (PROMPT_TAG, *TEXT_TAGS):
            value = exif.get(tag)
            if isinstance(value, str) and ":" in value:
                key, _, text = value.partition(":")
                texts[key.strip()] = text.strip("\0 ")
    return {key: text for key, text in texts.items() if TEXT_KEY.fullmatch(key)}


def _exif(texts: Mapping[str, str]) -> bytes:
    """Texts as ComfyUI writes them into EXIF data, which holds ASCII only: other characters become JSON escapes."""
    if not texts:
        return b""
    exif = Image.Exif()
    free_tags = iter(TEXT_TAGS)
    for key, text in texts.items():
        tag: int | None = PROMPT_TAG
        if key != "prompt":
            tag = next(free_tags, None)
        if tag:
            exif[tag] = re.sub(r"[^\0-\x7f]+", _json_escape, f"{key}:{text}")
    return exif.tobytes()


def _json_escape(character: re.Match[str]) -> str:
    """Characters as JSON writes them in ASCII: "\\u65e5"."""
    literal = json.dumps(character[0])
    return literal.strip('"')


def text_product(text: str) -> OutputFile:
    """A text that a node showed, as a file: JSON if it is that, else plain text."""
    content_type = "text/plain"
    if text.lstrip()[:1] in ("{", "["):
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(text)
            content_type = "application/json"
    return OutputFile(text.encode("utf-8", "replace"), content_type, None, "")


# ======================================================================================================================
# src/comfyui_chat/server/__init__.py
#
# One ComfyUI endpoint, HTTP and the shared websocket, in typed values.
#
# `endpoint` is an address with the credential that belongs to it. `protocol` has the values that a server's answers and
# frames become, and the functions that read them; `record` is what this process has seen of a server so far.
# `connection` is the websocket, shared by all prompts in flight. `http` is one exchange over HTTP with its bounds and
# faults, and `client` the routes: `ComfyUIServer` is the whole server. `cloud` has all of Comfy Cloud's exceptions.
# `pool` keeps one server for each endpoint and event loop; the floors above begin with its `open_server`.
#
# Nothing here knows of chats, or chooses what runs where.
# ======================================================================================================================


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/endpoint.py
#
# The address of a ComfyUI as people write it, with the credential that belongs to it.
#
# `Endpoint.parse` reads what stands in a valve or on the command line:
#
#     gpu-box:8188/                  http://gpu-box:8188
#     wss://example.org/comfy/ws     https://example.org/comfy
#     cloud.comfy.org                https://cloud.comfy.org, as Comfy Cloud
#     cloud+http://proxy:8189        http://proxy:8189, spoken to as if it were Comfy Cloud
#
# The key stays with its address: it is not part of the repr, and only `Endpoint.headers` hands it out. Endpoints serve as
# keys of dictionaries; two that differ only in what people call them are the same.
# ----------------------------------------------------------------------------------------------------------------------


CLOUD_HOST = "cloud.comfy.org"
ADDRESS_BEGINNING = re.compile(r"\s*(?:[a-zA-Z!+.-]{1,20}://)?[\w.-]{1,60}")
HIDDEN_KEY = b"[API key]"  # what is shown in its place
CLOUD_PREFIX = "cloud+"  # before the address of anything else that speaks as Comfy Cloud does


@dataclass(frozen=True)
class Endpoint:
    """The address of one ComfyUI and the credential that belongs to it, and to no other address."""

    url: str  # without a slash at its end
    api_key: str = field(default="", repr=False)
    label: str = field(default="", compare=False)  # what people call it
    cloud: bool = False  # Comfy Cloud, or what speaks as it does
    guessed: bool = field(default=False, compare=False)  # one of several places where the one server may be

    @classmethod
    def parse(cls, text: str, api_key: str = "", name: str = "The ComfyUI address", label: str = "") -> "Endpoint":
        """An address as people write it: the scheme may be missing, and a slash, `/api` or `/ws` may follow. Comfy
        Cloud is known by its host, and anything that speaks as it does by `cloud+` before the address.

        Raises `BadArgument` for what is not an http address, for one that holds a user name or a password, and for a
        key that cannot stand in a header. `name` is what the message calls the address.
        """
        if len(text) > MOST_ADDRESS_CHARACTERS:
            raise BadArgument(f"{name} is too long: {len(text)} characters.", "It looks like http://host:8188.")
        address = text.strip()
        is_cloud = address.lower().startswith(CLOUD_PREFIX)
        if is_cloud:
            address = address[len(CLOUD_PREFIX) :]
        if not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", address):
            address = f"http://{address}"
        url, has_login = _read_url(address)
        if not url:
            refused = BadArgument(f"{name} is not an http address.", "It looks like http://host:8188.")
            raise refused.at(_shown(text))
        key = api_key.strip()
        if re.search(r"[^\x21-\x7e]", key):
            message = "The API key that belongs to an address contains a space, a line break or the like."
            raise BadArgument(message, "Enter it again.").at(f"It is the key for {url}.")
        if has_login:
            raise BadArgument(f"{name} contains a user name or password.", "Put the credential into the API key valve.")
        return cls(url, key, label.strip(), is_cloud or urlsplit(url).hostname == CLOUD_HOST)

    @property
    def name(self) -> str:
        """What people call it; without a name "ComfyUI", or "Comfy Cloud"."""
        return self.label or ("Comfy Cloud" if self.cloud else "ComfyUI")

    @property
    def place(self) -> str:
        """Where it is, as a sentence for administrators."""
        return f"Its address is {self.url}."

    @property
    def shows_marks(self) -> bool:
        """Whether its queue shows the marks that prompts carry, so that it can be told whose they are."""
        return not self.cloud

    @property
    def shares_card(self) -> bool:
        """Whether its graphics card may also have a language model to serve."""
        return not self.cloud

    @property
    def written(self) -> str:
        """The address as `parse` reads it back."""
        return CLOUD_PREFIX + self.url if self.cloud else self.url

    def hide_key(self, data: bytes) -> bytes:
        """What the server sent, without the key where it repeats it: as it is, and as JSON writes it. A key of less
        than `LEAST_KEY_CHARACTERS` is left, since it may be part of any word."""
        if len(self.api_key) < LEAST_KEY_CHARACTERS:
            return data
        in_json = json.dumps(self.api_key)[1:-1]
        for written in {self.api_key, in_json, in_json.replace("/", "\\/")}:
            data = data.replace(written.encode(), HIDDEN_KEY)
        return data

    def headers(self) -> dict[str, str]:
        """What every request and the websocket's handshake carry; nothing without a key."""
        if not self.api_key:
            return {}
        if self.cloud:
            return {"X-API-Key": self.api_key}
        return {"Authorization": f"Bearer {self.api_key}"}


def _shown(text: str) -> str:
    """The beginning of an address that is refused, for administrators: its scheme and host. What follows them may be a
    token, and what stands before an @ a password."""
    beginning = ADDRESS_BEGINNING.match(text)
    if not beginning or "@" in text:
        return ""
    cut = "" if beginning[0] == text else "…"
    return f'It begins with "{beginning[0]}{cut}".'


def _read_url(address: str) -> tuple[str, bool]:
    """An address without what may follow the path of ComfyUI, and whether a user name or a password stands in it. It is
    "" for what is not an http address."""
    if re.search(r"\s", address):
        return "", False
    try:
        parts = urlsplit(address)
        # As the request will be sent: in its letters' plain forms, and a dot at its end makes no difference.
        host = unicodedata.normalize("NFKC", parts.hostname or "").lower().rstrip(".")
        port = parts.port
    except ValueError:
        return "", False
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    if not host or scheme not in ("http", "https") or not re.fullmatch(r"[\w.:-]+", host):
        return "", False
    if host == CLOUD_HOST:
        scheme = "https"  # the key must not go there unencrypted
    url = f"{scheme}://[{host}]" if ":" in host else f"{scheme}://{host}"
    if port:
        url += f":{port}"
    path = parts.path.rstrip("/")
    for route in ("/api", "/ws"):
        if path.endswith(route):
            path = path.removesuffix(route)
            break
    return url + path, "@" in parts.netloc


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/json_pieces.py
#
# JSON that a server sent, decoded piece by piece, within bounds of depth, values and time.
#
# Python's own decoder takes a text as a whole. It holds the interpreter's lock all the while, so 60 MB stop the event
# loop for seconds, even from a thread; and some megabytes of `[[],[],` become gigabytes of lists. `JsonText` decodes what
# is at most `MOST_PIECE_BYTES` long in one call, and goes into whatever is longer. Between two calls others get the lock.
#
#     text = JsonText(b'{"queue_running": [], "queue_pending": [[4, "d15c525b", {}], ...]}')
#     for key in text.each_key():                   # each key; what it names has to be read before the next one
#         rows = [row[1] for row in text.each_item()]
#
# Whoever goes through a long list by `each_key` and `each_item`, and keeps little of each, never has all of it in memory.
# Everything here blocks, so a long text is for a thread. Raises `ValueError` for what is not JSON and for what is beyond
# a bound, and `CutOff` where the text ends too early.
# ----------------------------------------------------------------------------------------------------------------------


WHITE_SPACE = re.compile(r"[ \t\n\r]*+")
JSON_DECODER = json.JSONDecoder()


class CutOff(ValueError):
    """A JSON text ends in the middle."""


class JsonText:
    """A JSON text and the place in it that was read to. Its window is what is decoded of the bytes and not yet read."""

    def __init__(self, data: bytes) -> None:
        self._data = data.removeprefix(codecs.BOM_UTF8)
        self._taken = 0  # bytes that went into the window
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._window = ""
        self._place = 0  # in the window
        self._values = 0
        self._containers = 0
        self._retried = 0  # characters that were decoded in vain, since the window ended too early

    @property
    def place(self) -> int:
        """About how many bytes are read."""
        return self._taken - (len(self._window) - self._place)

    def value(self) -> Any:
        """The value at the place, decoded."""
        self._values = 0
        self._containers = 0
        return self._value(0)

    def each_key(self) -> Iterator[str]:
        """The keys of the object at the place; each time, the value is to be read before the next key."""
        for _ in self._places("{", "}"):
            key = self._value(0) if self._next() == '"' else None
            if not isinstance(key, str):
                raise ValueError("a key of an object has to be a text")
            self._take(":")
            yield key

    def begins_with(self, bracket: str) -> bool:
        """Whether the value at the place begins with this bracket."""
        return self._next() == bracket

    def each_item(self) -> Iterator[Any]:
        """The items of the list at the place, each decoded."""
        for _ in self._places("[", "]"):
            yield self.value()

    def end(self) -> None:
        """Make sure that nothing follows."""
        if self._next():
            raise ValueError("something follows the JSON")

    def _value(self, depth: int) -> Any:
        if depth > MOST_DEPTH_OF_JSON:
            raise ValueError("nested too deep")
        first = self._next()
        while True:
            try:
                value, end = JSON_DECODER.raw_decode(self._window, self._place)
            except RecursionError:
                raise ValueError("nested too deep") from None
            except json.JSONDecodeError:
                self._count_retry()
                if not self._may_grow(first):
                    return self._in_parts(first, depth)
                if not self._more():
                    raise CutOff("the JSON ends too early, or is none") from None
            else:
                # A number may go on in what follows the window.
                if end < len(self._window) or first in '[{"' or not self._more():
                    self._place = end
                    if isinstance(value, (dict, list)):
                        self._count(value, depth)
                    return value

    def _may_grow(self, first: str) -> bool:
        """Whether more of the text may be decoded in one call, for a value that begins with this character."""
        size = len(self._window) - self._place
        if size < MOST_PIECE_BYTES:
            return True
        if first == '"':
            return size < MOST_TEXT_BYTES
        if size >= MOST_LIGHT_PIECE_BYTES:
            return False
        brackets = self._window.count("[", self._place) + self._window.count("{", self._place)
        return 4 * brackets + self._window.count(",", self._place) < MOST_PIECE_WEIGHT

    def _in_parts(self, first: str, depth: int) -> Any:
        """What is too long to be decoded at once: a list or an object, value by value."""
        self._containers += 1
        if first == "[":
            values = []
            for _ in self._places("[", "]"):
                self._count_values(1)
                values.append(self._value(depth + 1))
            return values
        if first == "{":
            members = {}
            for key in self.each_key():
                self._count_values(1)
                members[key] = self._value(depth + 1)
            return members
        raise ValueError("not JSON")

    def _places(self, opening: str, closing: str) -> Iterator[None]:
        """Go through a list or an object: yields at the place of each item, which is to be read before the next."""
        self._take(opening)
        if self._next() == closing:
            self._place += 1
            return
        while True:
            yield
            following = self._next()
            if following not in (",", closing):
                raise ValueError("not JSON") if following else CutOff("the JSON ends too early")
            self._place += 1
            if following == closing:
                return

    def _take(self, character: str) -> None:
        """Go past this character, which has to come next."""
        found = self._next()
        if found != character:
            raise ValueError("not JSON") if found else CutOff("the JSON ends too early")
        self._place += 1

    def _next(self) -> str:
        """The next character that is not white space, to which the place is moved; "" at the end."""
        while True:
            following = self._window[self._place : self._place + 1]
            if following and following not in " \t\n\r":
                return following
            space = WHITE_SPACE.match(self._window, self._place)
            if space and space.end() < len(self._window):
                self._place = space.end()
                return self._window[self._place]
            self._place = len(self._window)
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Double what is unread in the window, or begin a new one. Returns whether there was more to take."""
        size = max(FIRST_PIECE_BYTES, len(self._window) - self._place)
        piece = self._data[self._taken : self._taken + size]
        self._taken += len(piece)
        self._window = self._window[self._place :] + self._utf8.decode(piece, final=not piece)
        self._place = 0
        return bool(piece)

    def _count_retry(self) -> None:
        """Bound what is decoded in vain: a text could be made such that every bracket in it costs a whole piece. A list
        of 10 MB in a definition costs 44, for each of the five objects around it is tried as a whole."""
        self._retried += len(self._window) - self._place
        if self._retried > 8 * (len(self._data) + MOST_LIGHT_PIECE_BYTES):
            raise ValueError("nested too deep")

    def _count_values(self, number: int) -> None:
        self._values += number
        if self._values > MOST_VALUES_OF_JSON or self._containers > MOST_CONTAINERS_OF_JSON:
            raise ValueError("too many values")

    def _count(self, value: Any, depth: int) -> None:
        """Count a value and all in it, level by level. Raises `ValueError` beyond a bound."""
        level = [value] if isinstance(value, (dict, list)) else []
        while level:
            if depth > MOST_DEPTH_OF_JSON:
                raise ValueError("nested too deep")
            self._containers += len(level)
            self._count_values(sum(map(len, level)))
            depth += 1
            below: list[Any] = []
            for container in level:
                inner = container.values() if isinstance(container, dict) else container
                below += [item for item in inner if isinstance(item, (dict, list))]
            level = below


def read_json_text(text: JsonText) -> Any:
    """The one value that a JSON text holds."""
    value = text.value()
    text.end()
    return value


def read_json_members(text: JsonText) -> dict[str, Any]:
    """An object of which each member may be as large as a value may be."""
    return {key: text.value() for key in text.each_key()}


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/protocol.py
#
# What ComfyUI's answers and frames say, as values, and how they are read.
#
# In reading order: what happens to one prompt (`Event` and its kinds); the frames of the websocket that tell it; look-ups
# in the queue, the history and Comfy Cloud's jobs, which tell the same with authority; the answer to a post, and a
# refusal as an error; what a server tells of itself. A look-up's answer and a frame are both an `Event`, so that one
# reducer (`run/job.py`) can follow a job by either.
#
# Nothing here does any I/O. What a server means for people is cut to `MOST_MESSAGE_CHARACTERS`. The functions trust the
# shape of what they read, and raise whatever Python raises for another one; their callers (`Connection._take`,
# `HttpServer._reading`) deal with that.
#
# The shapes are those recorded from ComfyUI 0.3.64 and 0.33.0, and of Comfy Cloud those that its documentation shows.
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Output:
    """A file that a run made, with the three names that `/view` wants; `type` is "output", or "temp" for a file of a
    node that only previews. A text that a node only shows has no file name and the type "text"."""

    node_id: str
    filename: str
    subfolder: str
    type: str
    text: str = ""


# What happens to one prompt, in the order of a run's life. Frames tell everything from Started to Ended, look-ups tell
# Waiting, Started, Recorded and Absent. QueueMoved and Gap say that it is time for a look-up. Silence stands for one
# that failed, and LookedUp wraps the answer of any, so that it waits its turn among the frames.


@dataclass(frozen=True)
class Event:
    """Something that happened to one prompt, told by the websocket or by a look-up."""


@dataclass(frozen=True)
class QueueMoved(Event):
    """The server's queue changed: it is time to look up where our prompt stands."""


@dataclass(frozen=True)
class Waiting(Event):
    """The prompt is in the queue, with `ahead` prompts before it, the running one counted."""

    ahead: int


@dataclass(frozen=True)
class Started(Event):
    """The prompt is running."""


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
    """How far nodes are: node id -> (value, max, finished). Nodes not named are as far as they were."""

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
    """The last frame of a run, however it ended; the history entry is written."""


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
    """Frames may have been missed, as while the websocket is down: it is time to look up where the prompt stands."""


@dataclass(frozen=True)
class LookedUp(Event):
    """What a look-up found, in its place among the frames."""

    answer: Event


# The frames of the websocket. Text frames are JSON, {"type": "progress", "data": {"prompt_id": "...", ...}}, binary
# ones carry a picture. Nodes that others made while the graph ran have ids of their own; `display_node` is then the
# node of our graph that they stand for.


def parse_frame(kind: str, data: Mapping[str, Any]) -> Event | None:
    """A text frame's meaning for the prompt that it names; None for types that mean nothing here.

    execution_cached  {"nodes": ["4", "5"]}
    executing         {"node": "3", "display_node": "3"}, and with node null when the run has ended
    progress          {"node": "3", "value": 1, "max": 20}
    progress_state    {"nodes": {"3": {"value": 1, "max": 20, "state": "running", "node_id": "3", ...}, ...}}
    executed          {"node": "9", "output": {"images": [...]}}, of nodes that report something
    """
    if kind == "execution_start":
        return Started()
    if kind == "execution_cached":
        return Cached(frozenset(map(str, data["nodes"])))
    if kind == "executing":
        if data["node"] is None:
            return Ended()
        return Executing(str(data.get("display_node") or data["node"]))
    if kind == "progress":
        node_id = str(data.get("node"))
        return Progress({node_id: (float(data["value"]), float(data["max"]), False)})
    if kind == "progress_state":
        return _parse_progress_state(data["nodes"])
    if kind == "executed":
        return Executed(parse_outputs({str(data["node"]): data.get("output")}))
    if kind == "execution_error":
        return parse_failure(data)
    if kind == "execution_interrupted":
        return Interrupted()
    if kind == "execution_success":
        return Succeeded()
    return None


def _parse_progress_state(nodes: Mapping[str, Mapping[str, Any]]) -> Progress:
    progress = {}
    for node in itertools.islice(nodes.values(), MOST_NODES_IN_FRAME):
        if node.get("state") != "pending":
            node_id = str(node.get("display_node_id") or node["node_id"])
            is_finished = node["state"] == "finished"
            progress[node_id] = (float(node["value"]), float(node["max"]), is_finished)
    return Progress(progress)


TEXT_KEYS = ("text", "string")  # under which nodes that show a text put it
MODEL_PATH = re.compile(r"(?!/)[^:\\]{1,300}\.(?:glb|gltf|obj|stl|fbx|ply|spz|splat|ksplat)", re.IGNORECASE)


def parse_outputs(outputs: Any) -> tuple[Output, ...]:
    """The files in `outputs` (node id -> key -> list), under whatever key a node puts them, and the texts it shows.

    {"9": {"images": [{"filename": "cat_00001_.png", "subfolder": "", "type": "output"}]},
     "12": {"text": ["a cat"]},
     "15": {"result": ["mesh/cat_00001_.glb", {...}]}}
    """
    found: list[Output] = []
    for node_id, output in (outputs or {}).items():
        for key, items in (output or {}).items():
            if isinstance(items, str):
                items = [items]
            for item in list_of(items)[:MOST_OUTPUTS_READ]:
                parsed = _parse_output(str(node_id), key, item)
                if parsed and len(found) < MOST_OUTPUTS_READ:
                    found.append(parsed)
    return tuple(found)


def _parse_output(node_id: str, key: str, item: Any) -> Output | None:
    """One item that a node reports under a key; None when it is neither a file nor a text for people."""
    if isinstance(item, dict) and isinstance(item.get("filename"), str):
        subfolder = str(item.get("subfolder") or "")
        return Output(node_id, item["filename"], subfolder, str(item.get("type") or "output"))
    if not isinstance(item, str):
        return None
    if key in TEXT_KEYS and item.strip():
        return Output(node_id, "", "", "text", item)
    if key == "result" and MODEL_PATH.fullmatch(item):  # nodes for 3D tell the path of what they saved
        subfolder, _, filename = item.rpartition("/")
        return Output(node_id, filename, subfolder, "output")
    return None


def parse_failure(data: Mapping[str, Any]) -> Failed:
    """An `execution_error`, from a frame or from the history, without the inputs and the traceback that it carries."""
    message = str(data.get("exception_message") or "")[:MOST_MESSAGE_CHARACTERS].strip()
    exception_type = str(data.get("exception_type") or "")[:MOST_NAME_CHARACTERS]
    return Failed(str(data.get("node_id"))[:MOST_NAME_CHARACTERS], exception_type, message)


@dataclass(frozen=True)
class Frame:
    """A picture that came as a binary frame; the old layout names neither prompt nor node."""

    data: bytes = field(repr=False)
    prompt_id: str | None = None
    node_id: str | None = None


def parse_binary(frame: bytes) -> Frame | None:
    """A binary frame's picture; None for events that are not pictures. All numbers are big-endian:

    4 bytes: 1   4 bytes: format             the picture
    4 bytes: 4   4 bytes: length of the JSON {"prompt_id": "...", "node_id": "3", ...}   the picture
    """
    event = int.from_bytes(frame[:4], "big")
    if event == 1:
        return Frame(frame[8:])
    if event == 4:
        picture_at = 8 + int.from_bytes(frame[4:8], "big")
        if picture_at > FIRST_PIECE_BYTES:  # real ones have 200 bytes
            return None
        metadata = read_json_text(JsonText(frame[8:picture_at]))
        node_id = metadata.get("display_node_id") or metadata.get("node_id")
        return Frame(frame[picture_at:], str(metadata["prompt_id"]), str(node_id))
    return None


# Look-ups. `/queue` and `/history` tell of a prompt by the same row, [number, prompt id, graph, extra_data, outputs];
# Comfy Cloud tells of its jobs, and shows the graph but no extra_data in its queue's rows.


@dataclass(frozen=True)
class Prompt:
    """A prompt as its server knows it: `state` is `Started`, `Waiting` or `Recorded`. `number` is its place in the
    order of all posts; `ended` when it ended, in seconds since 1970 by the server's clock, None as long as it has not
    or nobody says."""

    prompt_id: str
    state: Event
    number: float = 0.0
    graph: Graph = field(default_factory=dict, repr=False)
    extra_data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    ended: float | None = None


@dataclass(frozen=True)
class Queue:
    """The server's queue: ids of the running prompts and of the pending ones, in the order they will run; and what it
    tells of each of them, in the same order. Where it is longer than what is read of an answer, `is_whole` is False."""

    running: tuple[str, ...]
    pending: tuple[str, ...]
    prompts: tuple[Prompt, ...] = ()
    is_whole: bool = True

    def __len__(self) -> int:
        return len(self.running) + len(self.pending)

    def prompt(self, prompt_id: str) -> Prompt | None:
        """What is told of a prompt, None when it is not in the queue."""
        for prompt in self.prompts:
            if prompt.prompt_id == prompt_id:
                return prompt
        return None

    def find(self, prompt_id: str) -> Event | None:
        """`Started`, `Waiting` or, when the prompt is not in the queue, None."""
        if prompt_id in self.running:
            return Started()
        if prompt_id in self.pending:
            return Waiting(len(self.running) + self.pending.index(prompt_id))
        return None


# Where ComfyUI keeps the workflow as its editor saved it, the largest part of most rows. Nothing here needs it.
EXTRA_PNGINFO = "extra_pnginfo"


def parse_prompt(item: Sequence[Any], state: Event, entry: Mapping[str, Any] | None = None) -> Prompt:
    """A row of the queue, or that of a history `entry`, whose messages tell when the run ended."""
    number, prompt_id = item[:2]
    if not isinstance(number, (int, float)):
        number = 0.0
    return Prompt(
        prompt_id=str(prompt_id),
        state=state,
        number=float(number),
        graph=dictionary_at(item, 2),
        extra_data={key: value for key, value in dictionary_at(item, 3).items() if key != EXTRA_PNGINFO},
        ended=_last_timestamp(entry or {}),
    )


def dictionary_at(row: Sequence[Any], index: int) -> dict[str, Any]:
    """The object that stands in a row at this index; an empty one for anything else, and where the row is shorter."""
    if len(row) > index and isinstance(row[index], dict):
        found: dict[str, Any] = row[index]
        return found
    return {}


def _last_timestamp(entry: Mapping[str, Any]) -> float | None:
    """The time of a history entry's last message in seconds, None when no message has one."""
    seconds = []
    status = entry.get("status") or {}
    for _, content in status.get("messages") or ():
        milliseconds = object_of(content).get("timestamp")
        if isinstance(milliseconds, (int, float)):
            seconds.append(float(milliseconds) / 1000)
    return max(seconds, default=None)


def parse_history(entry: Mapping[str, Any]) -> Recorded:
    """One entry of `/history`. Interrupted runs are recorded as errors, too; their messages tell them apart.

    {"prompt": [4, "<prompt id>", {<graph>}, {<extra_data>}, ["9"]],
     "outputs": {"9": {"images": [...]}},
     "status": {"status_str": "error", "completed": false,
                "messages": [["execution_start", {"timestamp": 1795334496974, ...}],
                             ["execution_interrupted", {...}]]}}
    """
    status = entry.get("status") or {}
    messages = dict(status.get("messages") or ())
    failure = None
    if "execution_error" in messages:
        failure = parse_failure(messages["execution_error"])
    return Recorded(
        success=status.get("status_str", "success") == "success",
        outputs=parse_outputs(entry.get("outputs")),
        failure=failure,
        interrupted="execution_interrupted" in messages,
    )


def parse_job(job: Mapping[str, Any]) -> Event:
    """One of Comfy Cloud's jobs as a look-up's answer: `Waiting`, `Started` or `Recorded`. Raises `ValueError` for a
    status that is not known."""
    status = job["status"]
    if status == "pending":
        return Waiting(int(job.get("queue_position") or 0))
    if status == "in_progress":
        return Started()
    if status in ("completed", "failed", "cancelled"):
        error = job.get("execution_error")
        failure = None
        if error:
            failure = parse_failure(error)
        return Recorded(
            success=status == "completed",
            outputs=parse_outputs(job.get("outputs")),
            failure=failure,
            interrupted=status == "cancelled",
        )
    raise ValueError(status)


# Answers over HTTP, above all those to a post.


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read to its end; `length` is its header's Content-Length, None where that says nothing."""

    status: int
    content_type: str
    body: bytes = field(repr=False)
    length: int | None = None
    location: str = ""  # of a redirect
    is_whole: bool = True  # whether nothing was left out because it is too long


def read_retry_after(text: str | None) -> float | None:
    """Seconds from now, as a `Retry-After` header gives them or by the date in it; None where it holds neither."""
    text = (text or "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    return None


@dataclass(frozen=True)
class Accepted:
    """A prompt that was posted, with notes on outputs that the server dropped. It is not `certain` when the answer was
    lost: whether the server took it has to be looked up."""

    prompt_id: str
    notes: tuple[str, ...] = ()
    certain: bool = True


def parse_refusal(body: Mapping[str, Any], graph: Graph, definitions: Definitions) -> WorkflowRefused:
    """The answer 400 of `POST /prompt` as an error: the first reason that a person can act on.

        {"error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", ...},
         "node_errors": {"4": {"class_type": "CheckpointLoaderSimple", "errors": [
            {"type": "value_not_in_list", "message": "Value not in list", "details": "...",
             "extra_info": {"input_name": "ckpt_name", "received_value": "x.safetensors",
                            "input_config": [["a.safetensors", "b.safetensors"], {}]}}]}}}

    An unknown node stands in `error` itself, by its class (0.33.0) or in the message's words (0.3.64).
    """
    error = body.get("error") or {}
    if not isinstance(error, dict):
        error = {"message": str(error)}
    message = _short(error.get("message") or "no reason given", 300)
    if class_type := _unknown_class(error, message):
        return NodeNotInstalled(f'This ComfyUI has no node "{class_type}".')
    for node_id, node_error in (body.get("node_errors") or {}).items():
        for reason in node_error.get("errors") or ():
            return _refused_value(node_id, reason, graph, definitions)
    return WorkflowRefused(f"ComfyUI refused the workflow: {message}")


def _unknown_class(error: Mapping[str, Any], message: str) -> str | None:
    """The class of the node that the server does not have, None where that is not what an error is about."""
    if error.get("type") not in ("invalid_prompt", "missing_node_type"):
        return None
    class_type: str | None = (error.get("extra_info") or {}).get("class_type")
    if class_type:
        return _short(class_type, 200)
    in_words = re.search(r"node (\S+) does not exist", message)
    if in_words:
        return in_words[1]
    return None


def _short(text: Any, length: int) -> str:
    """A text that a server means for people, as it can stand in a message; it may be of any length."""
    return shortened(str(text)[:MOST_MESSAGE_CHARACTERS], length)


def _refused_value(node_id: str, reason: Mapping[str, Any], graph: Graph, definitions: Definitions) -> WorkflowRefused:
    """The error for one of a node's `errors`: what is wrong with which input."""
    extra = reason.get("extra_info") or {}
    name = str(extra.get("input_name") or "")[:MOST_NAME_CHARACTERS]
    value = extra.get("received_value")
    where = f"{name} of node {node_title(graph, node_id)}"
    spec = _spec_of_input(name, node_id, graph, definitions)
    kind = reason.get("type")
    if kind == "value_not_in_list":
        return _unknown_choice(where, value, _choices_in(extra, spec))
    if kind in ("value_smaller_than_min", "value_bigger_than_max"):
        return ValueOutOfRange(f"{shortened(value)} is out of range for {where}.", _range_hint(spec))
    if kind == "invalid_input_type":
        return ValueOutOfRange(f'"{shortened(value)}" has the wrong type for {where}.')
    message = f"ComfyUI refused {where}: {_short(reason.get('message'), 300)}"
    details = _short(reason.get("details") or "", 200)
    if details:
        message += f" ({details})"
    return WorkflowRefused(message)


def _spec_of_input(name: str, node_id: str, graph: Graph, definitions: Definitions) -> InputSpec | None:
    if node_id not in graph:
        return None
    definition = definitions.get(graph[node_id]["class_type"])
    if definition is None:
        return None
    return definition.inputs.get(name)


def _choices_in(extra: Mapping[str, Any], spec: InputSpec | None) -> Sequence[Any]:
    """The choices of an input: as the refusal tells them, or where there are so many that it does not, by the input's
    definition."""
    config = extra.get("input_config") or [None]
    if isinstance(config[0], list):
        return config[0]
    if spec is None:
        return ()
    return spec.choices


def _range_hint(spec: InputSpec | None) -> str:
    if spec is None or spec.minimum is None or spec.maximum is None:
        return ""
    return f"Give a value from {spec.minimum:g} to {spec.maximum:g}."


def _unknown_choice(where: str, value: Any, choices: Sequence[Any]) -> WorkflowRefused:
    value = str(value)[:MOST_MESSAGE_CHARACTERS]
    is_model = MODEL_FILE.search(value)
    hint = ""
    if choices:
        first_words = "Installed are" if is_model else "Choices are"
        names = [choice for choice in choices if isinstance(choice, str)]
        hint = f"{first_words}, among others: {quoted(closest(value, names))}."
    if is_model:
        return ModelNotInstalled(f'The model "{shortened(value, 200)}" is not installed ({where}).', hint)
    return ValueOutOfRange(f'"{shortened(value)}" is not a choice for {where}.', hint)


# What a server tells of itself, in `/system_stats`.


@dataclass(frozen=True)
class Device:
    """What a server computes on, and its memory in bytes, None where the server does not tell it."""

    name: str
    memory_total: int | None
    memory_free: int | None


@dataclass(frozen=True)
class Stats:
    """What a server tells of itself; a version that it does not tell is empty."""

    version: str
    devices: tuple[Device, ...]


def parse_stats(raw: Mapping[str, Any]) -> Stats:
    """An answer of `/system_stats`: {"system": {"comfyui_version": "0.33.0"}, "devices": [{...}]}."""
    version = raw["system"].get("comfyui_version") or ""
    devices = [device for device in list_of(raw.get("devices"))[:MOST_DEVICES] if isinstance(device, dict)]
    return Stats(_short(version, 40), tuple(map(parse_device, devices)))


def parse_device(raw: Mapping[str, Any]) -> Device:
    """One of its devices; of "cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync" the middle is the name."""
    full_name = str(raw.get("name") or raw.get("type") or "device")[:MOST_NAME_CHARACTERS]
    return Device(
        name=shortened(re.sub(r"^\w+:\d+ | : \w+$", "", full_name)),
        memory_total=_memory_in(raw.get("vram_total")),
        memory_free=_memory_in(raw.get("vram_free")),
    )


def _memory_in(value: Any) -> int | None:
    if isinstance(value, (int, float)) and 0 <= value < 2**63:  # NaN is not in this range either
        return int(value)
    return None


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/long_answers.py
#
# Answers that may be long, read row by row or class by class, so that never all of one is in memory.
#
# What is asked for is kept and the rest let go while a `JsonText` is decoded: of the queue and the history what tells
# whose a prompt is and how it stands, of all node definitions those that are needed. Everything here blocks, and is
# called in a thread by `HttpServer.read`. Raises as `JsonText` does, and whatever Python raises for another shape.
# ----------------------------------------------------------------------------------------------------------------------


def read_queue(text: JsonText, is_cut: bool = False) -> Queue:
    """The queue as `/queue` tells it, row by row; with `is_cut` the text ends somewhere in it.

    {"queue_running": [[4, "<prompt id>", {<graph>}, {<extra_data>}, ["9"]]], "queue_pending": [...]}

    At most `MOST_QUEUE_ROWS` are read. What the rows hold is kept of the first `MOST_ROW_BYTES_KEPT`, of later ones
    only what tells whose they are.
    """
    rows: dict[str, list[list[Any]]] = {"queue_running": [], "queue_pending": []}
    is_whole = True
    try:
        for key in text.each_key():
            if key not in rows or not text.begins_with("["):
                text.value()
                continue
            for row in text.each_item():
                if sum(map(len, rows.values())) >= MOST_QUEUE_ROWS:
                    is_whole = False
                    break
                rows[key].append(_slim(row, text.place > MOST_ROW_BYTES_KEPT))
            if not is_whole:
                break
    except CutOff:
        if not is_cut:
            raise
        is_whole = False
    running = [parse_prompt(row, Started()) for row in rows["queue_running"]]
    # They come as the server holds them, a heap, and not in the order of the queue: by number, then by id.
    heap = sorted(rows["queue_pending"], key=lambda row: (row[0], row[1]))
    pending = [parse_prompt(row, Waiting(ahead)) for ahead, row in enumerate(heap, start=len(running))]
    return Queue(
        running=tuple(prompt.prompt_id for prompt in running),
        pending=tuple(prompt.prompt_id for prompt in pending),
        prompts=(*running, *pending),
        is_whole=is_whole,
    )


def _slim(row: Sequence[Any], is_late: bool) -> list[Any]:
    """A row without what is large and not needed; of a late one, of which there are many, without its graph as well."""
    number, prompt_id = row[:2]
    graph = {} if is_late else dictionary_at(row, 2)
    extra_data = dictionary_at(row, 3)
    if is_late:
        extra_data = {key: value for key, value in extra_data.items() if len(str(value)) <= MOST_NAME_CHARACTERS}
    extra_data.pop(EXTRA_PNGINFO, None)
    return [number, str(prompt_id)[:MOST_NAME_CHARACTERS], graph, extra_data]


def read_history(text: JsonText) -> list[Prompt]:
    """The prompts in an answer of `/history`, prompt id -> entry, in its order. What the rows hold is kept of the last
    `MOST_ROW_BYTES_KEPT`, which are the newest; entries that cannot be read are left out."""
    prompts: list[Prompt] = []
    sizes: list[int] = []
    for _ in text.each_key():
        begin = text.place
        entry = text.value()
        with contextlib.suppress(LookupError, TypeError, AttributeError, ValueError, ArithmeticError):
            prompts.append(parse_prompt(entry["prompt"], parse_history(entry), entry))
            sizes.append(text.place - begin)
    kept = 0
    for index in reversed(range(len(prompts))):
        kept += sizes[index]
        if kept > MOST_ROW_BYTES_KEPT:
            prompts[index] = replace(prompts[index], graph={})
    return prompts


def read_history_entry(text: JsonText, prompt_id: str) -> Prompt | None:
    """The prompt of this id in an answer of `/history/<id>`; None when it is not there."""
    entry = _entry(text, prompt_id)
    if not entry:
        return None
    return parse_prompt(entry["prompt"], parse_history(entry), entry)


def read_record(text: JsonText, prompt_id: str) -> Recorded | None:
    """How the run of this id ended, by an answer of `/history/<id>`; None when it is not there."""
    entry = _entry(text, prompt_id)
    if not entry:
        return None
    return parse_history(entry)


def _entry(text: JsonText, prompt_id: str) -> Any:
    """What stands under an id in an answer of `/history/<id>`; None when it is not there, or empty."""
    found = None
    for key in text.each_key():
        entry = text.value()
        if key == prompt_id:
            found = entry or found
    return found


def read_definitions(text: JsonText, wanted: Collection[str]) -> dict[str, tuple[NodeDefinition, int]]:
    """Those of these classes that are in an answer of `/object_info`, each with the length of its JSON. One that cannot
    be read is left out when there are others."""
    found: dict[str, tuple[NodeDefinition, int]] = {}
    for class_type in text.each_key():
        begin = text.place
        raw = text.value()
        if class_type not in wanted or not raw:
            continue
        try:
            found[class_type] = NodeDefinition.parse(class_type, raw), text.place - begin
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError):
            if len(wanted) == 1:
                raise
    return found


def read_names(text: JsonText, read: Callable[[Any], str]) -> list[str]:
    """The names in a list of at most `MOST_NAMES_IN_LIST`; `read` makes a name out of an item."""
    items = read_json_text(text)
    if len(items) > MOST_NAMES_IN_LIST:
        raise ValueError("too many names")
    return [read(item) for item in items]


def read_short_members(text: JsonText) -> dict[str, Any]:
    """The texts in an object that are no longer than a name."""
    members: dict[str, Any] = {}
    for key in text.each_key():
        value = text.value()
        if isinstance(value, str) and len(value) <= MOST_NAME_CHARACTERS and len(members) < MOST_METADATA_TEXTS:
            members[key] = value
    return members


# The name of a file that is hidden, or that holds half a surrogate pair and so cannot be sent.
UNUSABLE_NAME = re.compile(r"(^|/)\.|[\ud800-\udfff]")


def workflows_among(paths: Iterable[str]) -> list[str]:
    """Those of these files that may be workflows, sorted."""
    workflows = [name for name in paths if name.endswith(".json") and not UNUSABLE_NAME.search(name)]
    return sorted(workflows, key=str.lower)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/record.py
#
# What this process has seen of a server: its pace, its faults, its rests.
#
# `ComfyUIServer` holds one `Record`, which outlives its connections. The `run` floor writes into it what happened:
# `expecting` while a call is on its way, `ran` after a good run, `rest` after a fault, `recover` when the server answers
# again. A choice between servers reads `pace`, `coming` and `resting`; status reports and log lines show the rest.
#
# Each process of Open WebUI has records of its own; nothing is stored, and nothing here needs to agree with the others.
# ----------------------------------------------------------------------------------------------------------------------


# How long a server is left alone after a fault: twice as long after each further one in a row, up to the longest.
REST_SECONDS = 5.0
LONGEST_REST_SECONDS = 300.0
REMEMBERED_PACES = 50  # how many workflows of one server have their pace remembered


@dataclass
class Record:
    """What this process has seen of a server: what a choice between servers rests on, and the metrics."""

    runs: int = 0  # that were posted
    done: int = 0
    failed: int = 0  # the workflow's own errors, and refusals
    lost: int = 0  # jobs that the server forgot, or that were on it when it went away
    run_seconds: float = 0.0  # of all that are done
    bytes: int = 0  # downloaded
    sockets: int = 0  # websockets opened
    # Workflow -> seconds of a run, the latest counting most.
    paces: BoundedDict[str, float] = field(default_factory=lambda: BoundedDict(REMEMBERED_PACES))
    coming: int = 0  # calls on their way here, which its queue does not show yet
    faults: int = 0  # in a row
    fault: str = ""  # the message of the last one
    fault_at: float = 0.0  # in seconds since 1970
    resting_until: float = 0.0  # of `time.monotonic`
    silent: bool = False  # whether the last fault was that it did not answer

    @contextlib.contextmanager
    def expecting(self) -> Iterator[None]:
        """Count a call that is on its way here."""
        self.coming += 1
        try:
            yield
        finally:
            self.coming -= 1

    def ran(self, workflow: str, seconds: float) -> None:
        """Note that a run of a workflow took this many seconds, waiting not counted."""
        self.recover()
        self.done += 1
        self.run_seconds += seconds
        earlier_pace = self.paces.pop(workflow, seconds)
        self.paces[workflow] = earlier_pace + 0.4 * (seconds - earlier_pace)

    def pace(self, workflow: str = "") -> float | None:
        """Seconds that a run of the workflow takes; where that is not known, or no workflow is named, those of an
        average run. None when nothing has run yet."""
        if pace := self.paces.get(workflow):
            return pace
        return self.run_seconds / self.done if self.done else None

    def rest(self, reason: str, silent: bool = False) -> None:
        """Leave it alone for a while, longer after each fault in a row: it lost a job or, if `silent`, did not
        answer."""
        self.fault = reason
        self.fault_at = time.time()
        self.silent = silent
        if self.resting:
            return  # all calls that were there noticed the same
        self.faults += 1
        seconds = min(REST_SECONDS * 2 ** min(self.faults - 1, 10), LONGEST_REST_SECONDS)
        self.resting_until = time.monotonic() + seconds

    def recover(self) -> None:
        """Stop leaving it alone: it answers."""
        self.faults = 0
        self.resting_until = 0.0

    @property
    def resting(self) -> bool:
        """Whether it is left alone for now."""
        return time.monotonic() < self.resting_until


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/connection.py
#
# The one websocket to a server, shared by all prompts in flight.
#
# Whoever follows a prompt enters `Connection.listen` before it is posted and gets a `Subscription`: a queue of events, a
# callback for previews, and whether the socket is open. A reader task opens the socket (`_read_on`) and hands every frame
# to the subscription of the prompt that it names (`_take`). A frame is JSON such as
#
#     {"type": "progress", "data": {"value": 3, "max": 20, "prompt_id": "d15c525b-...", "node": "3"}}
#
# or a picture in bytes; `protocol` reads both. The socket stays open between prompts until `close`. When it breaks, it is
# reopened as long as anybody listens, and every subscription gets a `Gap`. Frames only make things known earlier: what
# they leave out, look-ups find.
#
# Order and scope of frames, feature flags and what becomes of sockets with one client id were recorded from ComfyUI
# 0.3.64 and 0.33.0.
# ----------------------------------------------------------------------------------------------------------------------


CONNECT_SECONDS = 10.0  # to open a connection or the websocket
READING_SECONDS = 0.02  # how long frames are read at a stretch
SHORTEST_PAUSE = 0.5  # seconds before a websocket that broke is opened again
DEAF_SECONDS = 20.0  # how long no frame comes while a job runs, before the websocket is reopened


class Subscription:
    """What the websocket tells about one prompt: `events` in the order in which they came, previews to `on_preview`.

    Pictures of `picture_nodes`, which send their results over the websocket and save them nowhere, are events as well.
    """

    def __init__(self, picture_nodes: frozenset[str], on_preview: Callable[[bytes], None]) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.picture_nodes = picture_nodes
        self.on_preview = on_preview
        self.connected = False  # whether frames arrive at the moment
        self._sent_bytes = 0  # of pictures

    def tell(self, event: Event) -> None:
        """Hand over an event. When too many wait to be taken, frames are missed, and a `Gap` says so."""
        waiting = self.events.qsize()
        if waiting < MOST_WAITING_EVENTS:
            self.events.put_nowait(event)
        elif waiting == MOST_WAITING_EVENTS:
            self.events.put_nowait(Gap())

    def picture(self, node_id: str, data: bytes) -> None:
        """Hand over a binary frame: a result when the node saves its picture nowhere else, a preview otherwise. Results
        beyond `MOST_SENT_BYTES` are missed, and told as the node's failure."""
        if node_id not in self.picture_nodes:
            if len(data) <= MOST_PREVIEW_BYTES:
                self.on_preview(data)
            return
        self._sent_bytes += len(data)
        if self._sent_bytes <= MOST_SENT_BYTES:
            self.tell(SentPicture(node_id, data))
        else:
            self.tell(Failed(node_id, "", f"It sends more than {MOST_SENT_BYTES // MB} MB of pictures."))


class Flood:
    """Counts frames, to tell when a server sends more than anybody needs: they come faster than they can be read."""

    def __init__(self) -> None:
        self._count = 0
        self._since = time.monotonic()
        self._paused = self._since

    def rises(self) -> bool:
        """Count a frame. Whether that is one more than `MOST_FRAMES_A_SECOND`."""
        now = time.monotonic()
        if now - self._since >= 1:
            self._count = 0
            self._since = now
        self._count += 1
        return self._count > MOST_FRAMES_A_SECOND

    def lasts(self) -> bool:
        """Whether frames have been read for so long that it is time for a pause."""
        now = time.monotonic()
        if now - self._paused < READING_SECONDS:
            return False
        self._paused = now
        return True


class Host(Protocol):
    """What a connection needs of the server that it belongs to; `ComfyUIServer` has it."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it is."""

    @property
    def record(self) -> Record:
        """What has been seen of it."""

    def later(self, chore: Coroutine[Any, Any, None]) -> None:
        """Do something in the background, for as long as the server is open."""

    def websocket(self, client_id: str) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
        """A new websocket of the client with this id."""


class Connection:
    """The one websocket of a server and credential, shared by all prompts in flight and owned by none of them.

    The reader only parses and hands over, since a client that stops reading stalls every other client of the server.
    It reconnects with the same client id, under which the prompts were posted, and never before the old socket is
    closed: when the older of two sockets with one id closes, the server forgets the newer one.
    """

    def __init__(self, server: Host) -> None:
        self.client_id = uuid.uuid4().hex
        self._server = server
        self._subscriptions: dict[str, Subscription] = {}
        self._listeners = 0
        self._reader: asyncio.Task[None] | None = None
        self._attempted = asyncio.Event()  # set when an attempt to open the socket is over
        self._hurry = asyncio.Event()  # set when somebody waits for the socket: try again now
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._pause = SHORTEST_PAUSE  # before the next attempt
        self._heard = 0.0  # of `time.monotonic`: when the last frame came
        self._refusal: AccessRefused | None = None
        self._previews_have_ids = False  # whether the server says of a preview which prompt it belongs to
        self._current = ("", "")  # ids of the prompt and of the node that run, as far as our frames tell
        self.is_open = False

    @contextlib.asynccontextmanager
    async def listen(
        self, prompt_id: str, picture_nodes: frozenset[str], on_preview: Callable[[bytes], None]
    ) -> AsyncIterator[Subscription]:
        """Listen to a prompt, from before it is posted. Where no websocket can be opened (a proxy may refuse it) the
        subscription stays silent and look-ups have to do. Raises `AccessRefused`."""
        self._listeners += 1
        subscription: Subscription | None = None
        try:
            if not self.is_open:
                self._attempted.clear()
                self._hurry.set()
                if self._reader is None or self._reader.done():
                    self._reader = asyncio.create_task(self._read_on())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CONNECT_SECONDS):
                        await self._attempted.wait()
            if self._refusal:
                self._refusal.untaken = True
                raise self._refusal
            subscription = self._subscriptions[prompt_id] = Subscription(picture_nodes, on_preview)
            subscription.connected = self.is_open
            yield subscription
        finally:
            # It may have another id by now, and another subscription its first one.
            for its_id in [its_id for its_id, other in self._subscriptions.items() if other is subscription]:
                del self._subscriptions[its_id]
            self._listeners -= 1

    def rename(self, prompt_id: str, accepted_id: str) -> None:
        """Note that a prompt that is listened to got another id from its server; what was told under that id until now
        has been missed."""
        if prompt_id == accepted_id:
            return
        if subscription := self._subscriptions.pop(prompt_id, None):
            self._subscriptions[accepted_id] = subscription
            subscription.tell(Gap())

    def renew(self) -> bool:
        """Close the socket, so that the reader opens a new one, when no frame at all came for `DEAF_SECONDS`: a server
        that believes that the client with this id has left sends to nobody, and a connection may be cut without a word.
        Returns whether it does so."""
        if self._socket is None or time.monotonic() - self._heard < DEAF_SECONDS:
            return False
        self._heard = time.monotonic()
        self._server.later(self._hang_up(self._socket))
        return True

    async def _hang_up(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            await socket.close()

    async def close(self) -> None:
        """Close the socket and end the reader; `listen` opens it again."""
        if reader := self._reader:
            self._reader = None
            reader.cancel()
            await asyncio.wait({reader})

    async def _read_on(self) -> None:
        """The reader: opens the socket and reads it, again and again as long as anybody listens. The pause between two
        attempts doubles from 0.5 to 10 seconds. It works for all who listen, whoever came first."""
        WORKS_FOR.set("")
        self._pause = SHORTEST_PAUSE
        while self._listeners:
            self._refusal = None
            try:
                self._hurry.clear()
                async with asyncio.timeout(CONNECT_SECONDS) as limit, self._server.websocket(self.client_id) as socket:
                    limit.reschedule(None)
                    await self._greet(socket)
                    await self._read_frames(socket)
            except AccessRefused as refused:
                self._refusal = refused
            except (aiohttp.ClientError, OSError, ValueError, ComfyUIError) as error:
                log.debug("websocket of %s: %s", self._server.endpoint.name, type(error).__name__)
            finally:
                was_open = self.is_open
                self.is_open = False
                self._socket = None
                if was_open:
                    self._tell_all(Gap())
                self._attempted.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause):
                    await self._hurry.wait()
            self._pause = min(self._pause * 2, 10.0)

    async def _read_frames(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Take every frame until the socket ends. A server that floods us is cut off."""
        flood = Flood()
        async for message in socket:
            if message.type is aiohttp.WSMsgType.ERROR:
                return
            if flood.rises():
                _cut(socket)
                return
            self._pause = SHORTEST_PAUSE  # only now: a proxy may open the socket and close it at once
            self._heard = time.monotonic()
            if message.type is aiohttp.WSMsgType.PING:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await socket.pong(message.data)
            await self._take(message)
            if flood.lasts():
                await asyncio.sleep(0)  # aiohttp gives out what is there without a pause for others

    async def _greet(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Begin with a socket that was just opened. Feature flags count only in the first message that is sent, and
        each socket has its own."""
        await socket.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
        self._previews_have_ids = False
        self._current = ("", "")
        self._socket = socket
        self._heard = time.monotonic()
        self._server.record.sockets += 1
        self.is_open = True
        self._attempted.set()
        self._tell_all(Gap())

    def _tell_all(self, event: Event) -> None:
        """Hand an event to all subscriptions, and whether the socket is open."""
        for subscription in self._subscriptions.values():
            subscription.connected = self.is_open
            subscription.tell(event)

    async def _take(self, message: aiohttp.WSMessage) -> None:
        """Read a frame and hand it on; whatever cannot be read is passed over. What a text too long would have told is
        to be looked up."""
        try:
            if message.type is aiohttp.WSMsgType.TEXT:
                if len(message.data) > MOST_TEXT_FRAME_BYTES:
                    self._tell_all(Gap())
                    return
                frame = await self._decoded(message.data)
                self._take_text(frame["type"], frame.get("data") or {})
            elif message.type is aiohttp.WSMsgType.BINARY:
                picture = parse_binary(message.data)
                if picture:
                    self._take_picture(picture)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            log.debug("unreadable frame: %s", type(error).__name__)  # custom nodes send whatever they like

    async def _decoded(self, text: str) -> Any:
        """The JSON in a frame, without the key, should the server repeat it; of a long one decoded in a thread."""
        frame = JsonText(self._server.endpoint.hide_key(text.encode()))
        if len(text) <= FIRST_PIECE_BYTES:
            return read_json_text(frame)
        return await FILES.run(read_json_text, frame)

    def _take_text(self, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "feature_flags":
            self._previews_have_ids = bool(data.get("supports_preview_metadata"))
        elif kind == "status":
            self._tell_all(QueueMoved())
        else:
            prompt_id = str(data.get("prompt_id"))
            subscription = self._subscriptions.get(prompt_id)
            if subscription is None:
                return
            if kind == "executing":
                self._current = (prompt_id, str(data.get("display_node") or data["node"]))
            if event := parse_frame(kind, data):
                subscription.tell(event)

    def _take_picture(self, picture: Frame) -> None:
        if picture.prompt_id is not None:
            if subscription := self._subscriptions.get(picture.prompt_id):
                subscription.picture(str(picture.node_id), picture.data)
            return
        # In the old layout a picture belongs to the node that runs. Once the server has accepted the flags, one of that
        # layout is somebody else's preview, broadcast to all, unless one of our nodes is just sending its result.
        prompt_id, node_id = self._current
        running = self._subscriptions.get(prompt_id)
        if running and (not self._previews_have_ids or node_id in running.picture_nodes):
            running.picture(node_id, picture.data)


def _cut(socket: aiohttp.ClientWebSocketResponse) -> None:
    """End a socket at once, with all that came and is not read yet. A polite close would read on until the server
    agrees, which one that floods us never does."""
    socket._response.close()


def connection_fault(error: BaseException) -> str:
    """A connection error in a few words; the library's own text would repeat the address, or name internals."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name is not known"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientSSLError):
        return "it does not speak https"
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return "no connection"
    return "the connection broke off"


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/http.py
#
# HTTP with one ComfyUI: its routes' answers, within bounds of time and size, and its websocket's handshake.
#
# `HttpServer` knows an endpoint and nothing of what its routes mean; `ComfyUIServer` in `client` adds that. All HTTP goes
# through `call`, which turns what fails into a `ServerError` and hides the key where a server repeats it. `read` and
# `understand` make a value of an answer's JSON, off the event loop where it is long, `get` and `_json` an object. Within
# `_reading` an answer of the wrong shape becomes an error. The credential goes to the endpoint's address and nowhere
# else.
# ----------------------------------------------------------------------------------------------------------------------


STALL_SECONDS = 30.0  # without a byte in the middle of an answer, before it counts as broken off
HEARTBEAT_SECONDS = 30.0  # between two pings: the server sends none, and they show when a connection is dead
# The HTTP statuses that send a client elsewhere.
REDIRECTS = (301, 302, 303, 307, 308)


class HttpServer:
    """What answers at an endpoint, over HTTP."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._session: aiohttp.ClientSession | None = None

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
        target = "another path"
        with contextlib.suppress(ValueError):
            parts = urlsplit(location)
            if parts.netloc:
                target = shortened(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", 200)  # without a password
        return UnexpectedAnswer(
            f"{self.endpoint.name} sends on to another address, which is not followed.",
            "If ComfyUI is really there, set the address valve to it; a login page means that a key is missing.",
        ).at(f"{self.endpoint.url} sends on to {target}.")

    @contextlib.asynccontextmanager
    async def websocket(self, client_id: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A new websocket of the client with this id. A frame of more than `MOST_FRAME_BYTES` closes it. Its pings are
        for the caller to answer: aiohttp would do so without end, and without a pause for others. Raises
        `AccessRefused`, and what aiohttp raises otherwise."""
        try:
            socket = await self.session.ws_connect(
                f"{self.endpoint.url}/ws",
                params=self._websocket_query(client_id),
                headers=self.endpoint.headers(),
                max_msg_size=MOST_FRAME_BYTES,
                autoping=False,
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
        sent = "refused the API key" if self.endpoint.api_key else "needs an API key, and none is set"
        return AccessRefused(f"{self.endpoint.name} {sent} (HTTP {status}).").at(self.endpoint.place)

    async def call(
        self,
        method: str,
        path: str | URL,
        *,
        body: Any = None,
        form: aiohttp.FormData | None = None,
        params: Mapping[str, str] | None = None,
        seconds: float = ANSWER_SECONDS,
        first_byte_seconds: float = math.inf,
        max_bytes: int = MOST_SHORT_ANSWER_BYTES,
        cut: bool = False,
        redirects: bool = False,
    ) -> Answer:
        """One HTTP exchange within `seconds`. The answer's first byte has to come within `first_byte_seconds`, and it
        may have at most `max_bytes`: with `cut`, what is beyond them is left out. `body` is sent as JSON, `form` as it
        is. A `URL` in place of a path is an address elsewhere: it gets no credential, and what its statuses mean is for
        the caller to judge.

        Raises `ServerUnreachable`, `AccessRefused`, `ServerBusy`, and `UnexpectedAnswer` for an answer that is too
        large or, unless the caller takes `redirects`, a redirect. Any other status is for the caller to judge.
        """
        address: str | URL
        if isinstance(path, str):
            asked, place = path, self.endpoint.place
            address = self._address(path)
            headers = self.endpoint.headers()
        else:
            asked = "a download"
            place = f"Its address is {path.origin()}."  # what else stands in it may be a credential, too
            address = path
            headers = {}
        content = {"data": form} if form else {"json": body}
        try:
            loop = asyncio.get_running_loop()
            end = loop.time() + seconds
            async with asyncio.timeout_at(min(end, loop.time() + first_byte_seconds)) as limit:
                request = self.session.request(
                    method, address, params=params, headers=headers, allow_redirects=False, **content
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
                        if len(data) <= max_bytes:
                            continue
                        if cut:
                            break
                        raise UnexpectedAnswer(
                            f"{self.endpoint.name} answers {shortened(asked)} with more than {_amount(max_bytes)}."
                        ).at(place)
                    is_whole = len(data) <= max_bytes
                    del data[max_bytes:]
                    return Answer(
                        status=response.status,
                        content_type=response.content_type,
                        body=self._without_key(data),
                        length=response.content_length,
                        location=location,
                        is_whole=is_whole,
                    )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise no_answer(self.endpoint.name, error, min(seconds, first_byte_seconds)).at(place) from None

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        """Raise an error for the statuses that mean the same on every route."""
        if response.status in (401, 403, 407):
            raise self._access_refused(response.status)
        if response.status in (502, 503, 504):
            raise ServerUnreachable(
                f"The proxy before {self.endpoint.name} answers {response.status}: it reaches nothing behind it."
            ).at(self.endpoint.place)
        if response.status == 429:
            after = read_retry_after(response.headers.get("Retry-After"))
            busy = ServerBusy(f"The proxy before {self.endpoint.name} gets too many requests.", seconds=after)
            raise busy.at(self.endpoint.place)

    def _without_key(self, data: bytearray) -> bytes:
        """An answer without the key, should the server repeat it. What is longer than all JSON is a file."""
        if len(data) > MOST_JSON_BYTES:
            return bytes(data)
        return self.endpoint.hide_key(bytes(data))

    async def get(
        self, path: str, seconds: float = ANSWER_SECONDS, max_bytes: int = MOST_SHORT_ANSWER_BYTES
    ) -> dict[str, Any]:
        """The JSON object that a route answers which every ComfyUI has. Raises as `call` does, and `UnexpectedAnswer`
        for anything else."""
        answer = await self.call("GET", path, seconds=seconds, max_bytes=max_bytes)
        return await self._json(path, answer)

    async def read(
        self,
        path: str,
        take: Callable[[JsonText], T],
        seconds: float = ANSWER_SECONDS,
        max_bytes: int = MOST_JSON_BYTES,
    ) -> T:
        """What `take` makes of the JSON that a route answers which every ComfyUI has. Raises as `get` does."""
        answer = await self.call("GET", path, seconds=seconds, max_bytes=max_bytes)
        return await self.understand(path, answer, take)

    async def understand(self, path: str, answer: Answer, take: Callable[[JsonText], T]) -> T:
        """What `take` makes of the JSON in an answer; of a long one, in a thread. Raises `UnexpectedAnswer` when it
        holds none, or not what `take` expects."""
        if answer.status != 200 or "json" not in answer.content_type:
            raise self._strange_answer(path, f"HTTP {answer.status}, {shortened(answer.content_type)}")
        return await self._taken(path, answer.body, take)

    async def _taken(self, path: str, body: bytes, take: Callable[[JsonText], T]) -> T:
        """What `take` makes of a text of JSON. Raises `UnexpectedAnswer`, naming the path."""
        with self._reading(path):
            if len(body) <= FIRST_PIECE_BYTES:
                return take(JsonText(body))
            try:
                return await FILES.run(take, JsonText(body))
            except TookTooLong:
                raise UnexpectedAnswer(f"{self.endpoint.url}{path} answers with what takes too long to read.") from None

    async def _json(self, path: str, answer: Answer) -> dict[str, Any]:
        """The JSON object in an answer. Raises `UnexpectedAnswer` when it holds none."""
        value = await self.understand(path, answer, read_json_text)
        if isinstance(value, dict):
            return value
        raise self._strange_answer(path, shown_value(value))

    @contextlib.contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        """Raise `UnexpectedAnswer` where the code inside fails because an answer does not have the expected shape."""
        try:
            yield
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError):
            raise self._strange_answer(path, "it cannot be read") from None

    def _another_program(self) -> UnexpectedAnswer:
        """The error for something else that answers where the server should."""
        message = f"What answers at the address of {self.endpoint.name} is something else."
        return UnexpectedAnswer(message).at(self.endpoint.place)

    def _strange_answer(self, path: str, what: str) -> UnexpectedAnswer:
        """The error for an answer of a route that no ComfyUI gives, and what it is."""
        message = f"{self.endpoint.name} gives an answer to {shortened(path)} that is not known: {what}."
        return UnexpectedAnswer(message).at(self.endpoint.place)


def _amount(size: int) -> str:
    """A number of bytes as people say it."""
    return f"{size // MB} MB" if size >= MB else f"{size // KB} kB"


def no_answer(server: str, error: Exception, seconds: float, hint: str = "") -> ServerUnreachable:
    """The error for a request that failed, or that took longer than these seconds. `server` is what people call it."""
    no_connection = isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError))
    if isinstance(error, TimeoutError) and not no_connection:
        return ServerUnreachable(f"{server} did not answer within {seconds:g} s.", hint)
    return ServerUnreachable(f"{server} does not answer ({connection_fault(error)}).", hint, no_connection)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/client.py
#
# One ComfyUI server: its HTTP routes and its websocket as methods with typed results.
#
# `ComfyUIServer` is what `open_server` gives out. It stands on `HttpServer`, and has, in the order of the class: what the
# server is and has (`stats`, `define`, `names`, `saved_workflows`, `model_metadata`), a prompt's life (`submit`, `queue`,
# `look_up`, `find`, `recent`, `cancel`), files (`upload`, `view`) and memory (`free`). `connection` is its websocket.
#
# What rarely changes is remembered. Whoever asks for it says how old it may be (`believe`, in seconds), and those who
# ask the same at the same time share one request (`together`).
#
# What routes take and answer was recorded from ComfyUI 0.3.64 and 0.33.0. `cloud` overrides what is different on
# Comfy Cloud.
# ----------------------------------------------------------------------------------------------------------------------


# How long things may take, in seconds; see also ANSWER_SECONDS and CLEAN_UP_SECONDS.
PROBE_SECONDS = 4.0  # to find out whether a server answers at all
LOOK_UP_SECONDS = 10.0  # for one look-up of a running job; the next one comes anyway
UPLOAD_SECONDS = 300.0  # for a file sent to the server
DOWNLOAD_SECONDS = 600.0  # for a file from it
FREE_AGAIN_SECONDS = 10.0  # before ComfyUI's memory is freed after all, when others had jobs in the queue after a run
# How long what a server said is believed.
DEFINITION_SECONDS = 300.0  # of a node definition
DOUBT_SECONDS = 10.0  # of a list that lacks what is looked for: files are added all the time
MANY_CLASSES = 100  # node definitions asked for one by one; when more are needed, all are fetched in one request
RECENT_PROMPTS = 200  # of the history, that are searched, the newest first
REMEMBERED_PROMPTS = 1000  # whoever posted them, with when they were first seen
MAX_OUTPUT_BYTES = 512 * 2**20


class ComfyUIServer(HttpServer):
    """One ComfyUI: its HTTP routes and its websocket, in typed values and this tool's errors. Use `open_server`.

    It outlives its connections: what it learned (definitions, pace, faults) stays when they are closed.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.connection = Connection(self)
        self.definitions: dict[str, NodeDefinition] = {}
        self._asked: dict[str, float] = {}  # class -> when it was last asked for; all times are of `time.monotonic`
        self._definition_bytes: dict[str, int] = {}  # class -> length of its definition as JSON
        # By folder and name.
        self._metadata = BoundedDict[tuple[str, str], tuple[float, Mapping[str, Any] | None]](REMEMBERED_METADATA)
        self._names = BoundedDict[str, tuple[float, list[str] | None]](REMEMBERED_LISTS)  # by path
        self._list_bytes: dict[str, int] = {}  # path -> length of the list as JSON
        self._queue: tuple[float, asyncio.Task[Queue]] | None = None  # when the newest look at it began, and that look
        self._first_seen = BoundedDict[str, float](REMEMBERED_PROMPTS)  # prompt id -> since when it is known to be here
        self._questions: dict[str, asyncio.Task[Any]] = {}  # under way, each asked once for all who wait for it
        self._chores: set[asyncio.Task[None]] = set()  # what goes on in the background
        self.record = Record()
        self.free_at: float | None = None  # when ComfyUI's memory is due to be freed
        self._free_again = 0.0  # how many seconds later that is tried again
        self.users = 0  # calls that have it open
        self.idle_since = 0.0  # when the last call or chore ended
        self.door = asyncio.Lock()  # held while it closes, so that nobody comes in

    # Open and closed: the background, and what the pool asks before it closes a server.

    def later(self, chore: Coroutine[Any, Any, None]) -> None:
        """Do something in the background, for as long as the server is open. Its failure is logged."""
        task = asyncio.create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chore_done)

    def _chore_done(self, task: "asyncio.Task[None]") -> None:
        self._chores.discard(task)
        self.idle_since = time.monotonic()
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        reason = type(error).__name__
        if isinstance(error, ComfyUIError):
            reason = error.message
        log.info("%s: a chore failed: %s", self.endpoint.name, reason)

    async def together(self, question: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """One answer for all who ask the same `question` at the same time. When one of them is cancelled, the request
        goes on for the others."""
        task = self._questions.get(question)
        if task is None:
            task = asyncio.create_task(ask())
            task.add_done_callback(functools.partial(self._answered, question))
            self._questions[question] = task
        answer: T = await asyncio.shield(task)
        return answer

    def _answered(self, question: str, task: "asyncio.Task[Any]") -> None:
        self._questions.pop(question, None)
        if not task.cancelled():
            task.exception()  # those who asked may be gone, and asyncio would complain that nobody looked

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
        """Whether the pool's keeper still has to look after it, though nobody calls."""
        return self.is_open or self.free_at is not None

    async def close(self) -> None:
        """Close the websocket and all connections, and cancel what is under way. They are opened again when needed."""
        tasks: list[asyncio.Task[Any]] = [*self._chores, *self._questions.values()]
        if self._queue:
            _, look = self._queue
            tasks.append(look)
        self._queue = None
        session = self._session
        self._session = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.connection.close()
        if session:
            await session.close()

    # What the server is and has.

    async def probe(self) -> None:
        """Find out whether a ComfyUI answers here. Raises a `ServerError` when none does."""
        await self.stats()

    async def stats(self) -> Stats:
        """Its version, devices and memory, as they are now. Raises as `get` does."""
        path = "/system_stats"
        raw = await self.get(path, PROBE_SECONDS, MOST_STATUS_BYTES)
        if "system" not in raw:
            raise self._another_program()
        with self._reading(path):
            return parse_stats(raw)

    async def define(self, class_type: str, believe: float = DEFINITION_SECONDS) -> NodeDefinition | None:
        """The definition of a node class, or None when this server has no such node. A definition no older than
        `believe` seconds is not asked for again; that a node is missing is never believed."""
        if class_type in (".", ".."):  # in an address these would lead elsewhere
            return None
        is_known = class_type in self.definitions
        if not is_known or self._definition_age(class_type) >= believe:
            await self.together(f"define {class_type}", functools.partial(self._define, class_type))
        return self.definitions.get(class_type)

    async def _define(self, class_type: str) -> None:
        path = f"/object_info/{quote(class_type, safe='')}"
        take = functools.partial(read_definitions, wanted={class_type})
        self._take_definitions([class_type], await self.read(path, take, max_bytes=MOST_DEFINITION_BYTES))

    def _definition_age(self, class_type: str) -> float:
        """Seconds since the definition was asked for; infinite where it never was."""
        return time.monotonic() - self._asked.get(class_type, -math.inf)

    async def everything(self) -> dict[str, Any]:
        """All node definitions as the server tells them, some megabytes of JSON: class -> its definition."""
        return await self.together("define all", functools.partial(self.read, "/object_info", read_json_members))

    async def define_all(self, class_types: Iterable[str]) -> Definitions:
        """The definitions of those of these classes that this server has."""
        names = sorted(set(class_types))
        outdated = [name for name in names if self._definition_age(name) >= DEFINITION_SECONDS]
        if len(outdated) > MANY_CLASSES:
            take = functools.partial(read_definitions, wanted=set(outdated))
            found = await self.read("/object_info", take)
            self._take_definitions([name for name in outdated if name in found], found)
        answers = await gather(8, [functools.partial(self.define, name) for name in names])
        definitions: dict[str, NodeDefinition] = {}
        for name, definition in zip(names, answers, strict=True):
            if definition:
                definitions[name] = definition
        return definitions

    async def define_anew(self, known: Definitions, class_types: Iterable[str], believe: float) -> Definitions:
        """`known` with definitions of these classes that are no older than `believe` seconds: files are added to the
        lists in them all the time."""
        definitions = dict(known)
        for name in sorted(set(class_types)):
            definition = await self.define(name, believe)
            if definition:
                definitions[name] = definition
        return definitions

    def _take_definitions(self, asked: Iterable[str], found: Mapping[str, tuple[NodeDefinition, int]]) -> None:
        """Note what was found of the classes that were asked for."""
        now = time.monotonic()
        for name in asked:
            self._asked[name] = now
            self.definitions.pop(name, None)
            self._definition_bytes.pop(name, None)
        if self.bytes_kept + sum(size for _, size in found.values()) > MOST_DEFINITION_BYTES_KEPT:
            self.forget()
        for name, (definition, size) in found.items():
            self.definitions[name] = definition
            self._definition_bytes[name] = size

    @property
    def bytes_kept(self) -> int:
        """How much the server sent of what is remembered of it, about."""
        return sum(self._definition_bytes.values())

    def forget(self) -> None:
        """Forget what can be asked for again."""
        self.definitions = {}
        self._definition_bytes = {}
        self._asked = {}
        self.forget_lists()

    def forget_lists(self) -> None:
        """Forget what is believed for a short time only."""
        self._names.clear()
        self._list_bytes = {}
        self._metadata.clear()

    async def names(
        self, path: str, believe: float = DOUBT_SECONDS, read: Callable[[Any], str] = str
    ) -> list[str] | None:
        """A list of names: of the folders for models (`/models`), of the files in one (`/models/loras`), of the
        embeddings (`/embeddings`). None where the server has no such list. What is no older than `believe` seconds is
        not asked for again; `read` makes a name out of an item of the answer."""
        asked, names = self._names.get(path, (-math.inf, None))
        age = time.monotonic() - asked
        if age < believe:
            return names
        ask = functools.partial(self._ask_names, path, read)
        return await self.together(f"names {path}", ask)

    async def _ask_names(self, path: str, read: Callable[[Any], str]) -> list[str] | None:
        answer = await self.call("GET", path, max_bytes=MOST_LIST_BYTES)
        names = None
        if answer.status != 404:
            names = await self._taken(path.partition("?")[0], answer.body, functools.partial(read_names, read=read))
        if sum(self._list_bytes.values()) + len(answer.body) > MOST_LIST_BYTES_KEPT:
            self.forget_lists()
        self._list_bytes[path] = len(answer.body)
        self._names.pop(path, None)  # so that it is the newest
        self._names[path] = time.monotonic(), names
        return names

    async def saved_workflows(self, believe: float = DOUBT_SECONDS) -> list[str]:
        """The paths of the workflows saved on this server, such as "portraits/fox.json", below its folder "workflows".
        Until something was saved for the first time the server answers 404, and there are none."""
        path = "/userdata?dir=workflows&recurse=true&split=false&full_info=true"

        def read_path(item: Any) -> str:
            return str(item["path"]).replace("\\", "/")

        paths = await self.names(path, believe, read_path)
        return await FILES.run(workflows_among, paths or ())

    async def saved_workflow(self, name: str) -> Graph:
        """A workflow saved on this server, in either of ComfyUI's formats. Raises `UnknownWorkflow` when it is not
        there, and `WorkflowRefused` for a file that is not a workflow."""
        # The slash has to be escaped, too: the server takes everything after /userdata/ as one name.
        file = quote(f"workflows/{name}", safe="")
        answer = await self.call("GET", f"/userdata/{file}", max_bytes=MOST_WORKFLOW_BYTES)
        if answer.status != 200:
            raise UnknownWorkflow(f'The workflow "{name}" is no longer on the ComfyUI server.')
        return await FILES.run(read_workflow_file, answer.body)

    async def model_metadata(self, folder: str, name: str) -> Mapping[str, Any] | None:
        """What a model file says of itself: the metadata of a safetensors file, {} when there is none. None when the
        server itself cannot read the file: files cut short while they were downloaded are common. Longer texts than a
        name are left out. Remembered for `DEFINITION_SECONDS`."""
        asked, metadata = self._metadata.get((folder, name), (-math.inf, None))
        age = time.monotonic() - asked
        if age <= DEFINITION_SECONDS:
            return metadata
        ask = functools.partial(self._ask_metadata, folder, name)
        return await self.together(f"metadata {folder}/{name}", ask)

    async def _ask_metadata(self, folder: str, name: str) -> Mapping[str, Any] | None:
        path = f"/view_metadata/{quote(folder, safe='')}"
        answer = await self.call("GET", path, params={"filename": name}, max_bytes=MOST_METADATA_BYTES)
        metadata: Mapping[str, Any] | None = {}
        if answer.status == 500:
            metadata = None
        elif answer.status == 200:
            with contextlib.suppress(UnexpectedAnswer):
                metadata = await self._taken(path, answer.body, read_short_members)
        self._metadata[folder, name] = time.monotonic(), metadata
        return metadata

    # A prompt's life: posted, waiting, running, recorded.

    async def submit(self, prompt_id: str, graph: Graph, extra_data: Mapping[str, Any]) -> Accepted:
        """Post a prompt under our own id, once. When the answer is lost the result is not `certain`, and whether the
        prompt arrived has to be looked up.

        Raises `WorkflowRefused` and its kin, `ServerTooOld`, and as `call` does, but `ServerUnreachable` only where no
        connection could be made.
        """
        body = {
            "prompt": graph,
            "prompt_id": prompt_id,
            "client_id": self.connection.client_id,
            "extra_data": dict(extra_data),
        }
        try:
            answer = await self.call("POST", "/prompt", body=body, max_bytes=MOST_LIST_BYTES)
        except ServerUnreachable as error:
            if error.refused:
                raise
            return Accepted(prompt_id, certain=False)
        accepted = await self._read_accepted(graph, answer)
        its_id = accepted.get("prompt_id")
        if its_id != prompt_id:
            await self.call("POST", "/queue", body={"delete": [its_id]}, seconds=CLEAN_UP_SECONDS)
            raise ServerTooOld(f"{self.endpoint.name} gave the job an id of its own.").at(self.endpoint.place)
        self._note_prompts([prompt_id])
        return Accepted(prompt_id, self._dropped(graph, accepted))

    async def _read_accepted(self, graph: Graph, answer: Answer) -> dict[str, Any]:
        """What the server says of a prompt that it took. Raises `WorkflowRefused` and its kin when it did not."""
        if answer.status == 400:
            self._asked.clear()  # it refuses what our definitions allow, so they are out of date
            refusal = None

            def take(text: JsonText) -> WorkflowRefused:
                return parse_refusal(read_json_text(text), graph, self.definitions)

            with contextlib.suppress(UnexpectedAnswer):
                refusal = await self._taken("/prompt", answer.body, take)
            if refusal:
                raise refusal
        if answer.status >= 500:
            raise WorkflowRefused("ComfyUI failed while it read the workflow; its log says why.")
        return await self._json("/prompt", answer)

    def _dropped(self, graph: Graph, accepted: Mapping[str, Any]) -> tuple[str, ...]:
        """Notes on the outputs that the server left out of a prompt which it took."""
        notes = []
        with self._reading("/prompt"):
            node_errors = accepted.get("node_errors") or {}
            for node_id, node_error in itertools.islice(node_errors.items(), MOST_NOTES):
                errors = node_error.get("errors")
                reason = "refused"
                if errors:
                    reason = errors[0].get("message")
                title = node_title(graph, node_id)
                notes.append(f"{title} was left out: {shortened(str(reason)[:MOST_MESSAGE_CHARACTERS], 120)}")
            if len(node_errors) > MOST_NOTES:
                notes.append(f"{len(node_errors) - MOST_NOTES} more were left out.")
        return tuple(notes)

    async def queue(self, since: float) -> Queue:
        """The queue as it was at `since` (of `time.monotonic`) or later. All who ask at about the same time share one
        request, and its failure. Raises as `get` does."""
        if self._queue is None or self._queue[0] < since:
            look = asyncio.create_task(self._ask_queue(LOOK_UP_SECONDS))
            look.add_done_callback(lambda done: done.cancelled() or done.exception())  # its waiters may be gone
            self._queue = time.monotonic(), look
        _, look = self._queue
        return await asyncio.shield(look)

    async def queue_soon(self, since: float) -> Queue:
        """`queue`, for a choice between servers: within `PROBE_SECONDS`, or it raises `ServerUnreachable`."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await self.queue(since)
        except TimeoutError as error:
            raise no_answer(self.endpoint.name, error, PROBE_SECONDS).at(self.endpoint.place) from None

    async def _ask_queue(self, seconds: float) -> Queue:
        answer = await self.call("GET", "/queue", seconds=seconds, max_bytes=MOST_JSON_BYTES, cut=True)
        queue = await self.understand("/queue", answer, functools.partial(read_queue, is_cut=not answer.is_whole))
        self._note_prompts([*queue.running, *queue.pending][:REMEMBERED_PROMPTS])
        return queue

    def _note_prompts(self, prompt_ids: Iterable[str]) -> None:
        """Note that the server has these prompts, for `has_run_since`."""
        now = time.monotonic()
        for prompt_id in prompt_ids:
            if prompt_id not in self._first_seen:
                self._first_seen[prompt_id] = now

    async def has_run_since(self, moment: float) -> bool:
        """Whether the server has certainly not been restarted since then (of `time.monotonic`): a restart empties its
        queue and its history, and it still knows a prompt that it had by then. Raises as `get` does."""
        prompts = await self.together("recent prompts", self.recent)
        return any(self._first_seen.get(prompt.prompt_id, math.inf) <= moment for prompt in prompts)

    async def look_up(self, prompt_id: str, since: float) -> Event:
        """Where a prompt stands: `Started`, `Waiting`, `Recorded` or `Absent`. The queue is asked first and the
        history second, so that a prompt that ends in between is not missed. What is in neither, where the queue is too
        long to be read whole, waits behind what was read."""
        queue = await self.queue(since)
        in_queue = queue.find(prompt_id)
        if in_queue:
            return in_queue
        path = f"/history/{prompt_id}"
        take = functools.partial(read_record, prompt_id=prompt_id)
        recorded = await self.read(path, take, LOOK_UP_SECONDS)
        if recorded:
            return recorded
        return Absent() if queue.is_whole else Waiting(len(queue))

    async def find(self, prompt_id: str) -> Prompt | None:
        """A prompt with its graph and `extra_data`, wherever it stands, or None when the server does not know it."""
        queue = await self.queue(time.monotonic())
        in_queue = queue.prompt(prompt_id)
        if in_queue:
            return in_queue
        path = f"/history/{prompt_id}"
        return await self.read(path, functools.partial(read_history_entry, prompt_id=prompt_id))

    async def recent(self) -> list[Prompt]:
        """The newest `RECENT_PROMPTS` of the history, oldest first, and then all that is in the queue."""
        queue = await self.queue(time.monotonic())
        done: list[Prompt] = []
        for count in (RECENT_PROMPTS, RECENT_PROMPTS // 10):  # fewer where so many are too long
            path = f"/history?max_items={count}"
            answer = await self.call("GET", path, max_bytes=MOST_JSON_BYTES, cut=True)
            if answer.is_whole:
                done = await self.understand("/history", answer, read_history)
                break
        return [*done, *queue.prompts]

    async def cancel(self, prompt_id: str, seconds: float = CLEAN_UP_SECONDS) -> None:
        """Take a prompt out of the queue or, if it is the running one, interrupt it; never anybody else's.

        Current servers (0.33.0) do both in one route; where that is missing, or a proxy refuses it, the old routes are
        used. The interrupt is sent only while the prompt runs, since a server too old to know its `prompt_id` would
        stop whatever is running. Raises a `ServerError` when the server could not be told.
        """
        ask = functools.partial(self.call, seconds=seconds)
        with contextlib.suppress(ServerError):
            answer = await ask("POST", f"/api/jobs/{prompt_id}/cancel")
            if answer.status == 200:
                said = await self._json("", answer)
                if said.get("cancelled"):
                    return
        await ask("POST", "/queue", body={"delete": [prompt_id]})
        queue = await self._ask_queue(seconds)
        if prompt_id in queue.running:
            await ask("POST", "/interrupt", body={"prompt_id": prompt_id})

    # Files.

    async def upload(self, file: InputFile) -> str:
        """Put a file into the server's input folder, unless it is there already. Returns the name that it has there, as
        a rule its `stored_name`."""
        if await self._has(file):
            return file.stored_name
        return await self._send(file, overwrite="true")

    async def _send(self, file: InputFile, **fields: str) -> str:
        path = "/upload/image"
        form = aiohttp.FormData(fields)
        form.add_field("image", file.data, filename=file.stored_name, content_type="application/octet-stream")
        answer = await self.call("POST", path, form=form, seconds=UPLOAD_SECONDS)
        self._check_upload(file, answer)
        taken = await self._json(path, answer)
        with self._reading(path):
            name = str(taken["name"])
            folder = str(taken.get("subfolder") or "")
        if folder:
            return f"{folder}/{name}"
        return name

    def _check_upload(self, file: InputFile, answer: Answer) -> None:
        """Raise when the file is larger than the server takes."""
        if answer.status == 413:
            megabytes = len(file.data) / 2**20
            raise LimitExceeded(
                f"The file has {megabytes:.0f} MB, which is more than ComfyUI accepts.", "Give a smaller one."
            )

    async def _has(self, file: InputFile) -> bool:
        """Whether a file is in the server's input folder, by its name and length; no when that cannot be told."""
        with contextlib.suppress(ServerError):
            params = {"filename": file.stored_name, "subfolder": "", "type": "input"}
            answer = await self.call("HEAD", "/view", params=params)
            return answer.status == 200 and answer.length == len(file.data)
        return False

    async def view(self, output: Output) -> bytes:
        """An output's bytes. Raises `UnexpectedAnswer` when the server does not give it out, and as `call` does."""
        params = {"filename": output.filename, "subfolder": output.subfolder, "type": output.type}
        answer = await self._download(params)
        if answer.status != 200:
            raise UnexpectedAnswer(f'ComfyUI does not give out its file "{output.filename}" (HTTP {answer.status}).')
        return answer.body

    async def _download(self, params: Mapping[str, str]) -> Answer:
        return await self.call(
            "GET",
            "/view",
            params=params,
            seconds=DOWNLOAD_SECONDS,
            first_byte_seconds=STALL_SECONDS,
            max_bytes=MAX_OUTPUT_BYTES,
        )

    # ComfyUI's memory.

    def free_after(self, seconds: float) -> None:
        """Free ComfyUI's memory this many seconds from now, at once for 0. Said again before then, only the new
        time counts. Waiting for it keeps nothing open: the pool's keeper watches the time."""
        self.free_at = time.monotonic() + seconds
        self._free_again = seconds or FREE_AGAIN_SECONDS
        if seconds == 0:
            self.later(self.free_when_due())

    async def free_when_due(self) -> None:
        """Free ComfyUI's memory or, when anybody has a job in the queue, try again some time later."""
        self.free_at = None
        was_freed = await self.free()
        if not was_freed and self.free_at is None:
            self.free_at = time.monotonic() + self._free_again

    async def free(self) -> bool:
        """Have ComfyUI unload its models and forget its results, unless anybody has a job in its queue. Returns whether
        it was told to. Raises as `call` does, and `UnexpectedAnswer` when it refuses."""
        queue = await self.queue(time.monotonic())
        if len(queue):
            return False
        path = "/free"
        body = {"unload_models": True, "free_memory": True}
        answer = await self.call("POST", path, body=body, seconds=LOOK_UP_SECONDS)
        if answer.status != 200:
            raise self._strange_answer(path, f"HTTP {answer.status}")
        return True


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/cloud.py
#
# Everything in which Comfy Cloud differs from a ComfyUI of one's own.
#
# `ComfyCloud` is a `ComfyUIServer` with other answers to the same questions, and `CloudConnection` a `Connection` to a
# websocket that brings the frames of the whole account. `pool` makes them for an endpoint that is marked as `cloud`. To
# the floors above it is a server like any other, except that its queue does not tell whose jobs it holds, and that its
# memory is not theirs to free.
#
# The facts are those of version 1 of its API, as its makers document it; the class lists them. No recording of the real
# service stands behind them.
# ----------------------------------------------------------------------------------------------------------------------


CLOUD_DEFINITION_SECONDS = 3600.0  # how long definitions are believed, which come all at once, and uploads relied on
UNPAID = frozenset({"InsufficientFundsError", "InactiveSubscriptionError"})  # exception types: why Cloud ended a run

BILLING = re.compile(r"PAYMENT_REQUIRED|SUBSCRIPTION_REQUIRED|FREE_TIER_(EXHAUSTED|NOT_ALLOWED)")
REMEMBERED_UPLOADS = 1000
WHOLE = "/object_info"  # its path, and the name under which it is noted when all definitions were asked for


class ComfyCloud(ComfyUIServer):
    """Comfy Cloud. What is different from a ComfyUI of one's own:

    - The key is sent as `X-API-Key`, and in the websocket's address as `token`; all routes but the websocket's are
      below `/api`. Only `/user` shows whether a key is good.
    - The service chooses a prompt's id. Frames that come before the id is known are lost, and a look-up makes up for
      them. A post whose answer is lost can neither be looked up nor repeated.
    - The key goes with the prompt, too: partners' nodes are paid with it.
    - 402 means that money or a plan is missing, 429 and 503 that the service is busy; but some 429 are really about
      money, as the error's type shows (`BILLING`).
    - A job is looked up as a job, not in queue and history. The queue is that of the account and shows no extra_data,
      so that it cannot be told what one user has in it; a single job shows its own.
    - A run may also fail for want of money (`UNPAID`), and running out of memory has a name of its own (`OOMError`).
    - No frame says that a run is recorded, so every end is looked up. Frames and pictures of the whole account come
      over every websocket.
    - Files are kept by their content, under names that the service chooses. So before an upload nobody asks whether the
      file is there; the name of one sent within the last hour is remembered. A download is a redirect to a signed
      address elsewhere. It is followed without the key, and to http only where the service itself is spoken to by http.
    - Definitions come only all at once, and are believed for an hour. Model files say nothing of themselves.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.connection = CloudConnection(self)
        self._texts: dict[str, bytes] = {}  # class -> {class: its definition} as JSON: parsed, they take much memory
        # Our name of a file -> when it was sent, and its name there.
        self._uploads = BoundedDict[str, tuple[float, str]](REMEMBERED_UPLOADS)

    def _address(self, path: str) -> str:
        if not path.startswith("/api/"):
            path = f"/api{path}"
        return super()._address(path)

    def _websocket_query(self, client_id: str) -> dict[str, str]:
        return {**super()._websocket_query(client_id), "token": self.endpoint.api_key}

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status not in (402, 403, 429, 503):
            return await super()._check(response)
        body = await response.content.read(MOST_REFUSAL_BYTES)
        error_type, message = self._reason_in(self.endpoint.hide_key(body))
        reason = f" (HTTP {response.status})."
        if message:
            reason = f": {message}"
        if response.status == 402 or BILLING.search(error_type):
            raise PaymentRequired(f"Comfy Cloud requires payment{reason}")
        if response.status == 403 and error_type and response.method == "POST":
            raise WorkflowRefused(f"Comfy Cloud does not allow this{reason}")
        if response.status == 403:
            raise self._access_refused(response.status)
        seconds = read_retry_after(response.headers.get("Retry-After"))
        raise ServerBusy(f"Comfy Cloud is busy{reason}", seconds=seconds)

    def _reason_in(self, body: bytes) -> tuple[str, str]:
        """The type and the message in an error's body, {"error": {"type": "...", "message": "..."}} or the inner object
        alone; "" for what is missing."""
        with contextlib.suppress(ValueError, AttributeError):
            error = read_json_text(JsonText(body[:MOST_REFUSAL_BYTES]))
            if isinstance(error.get("error"), dict):
                error = error["error"]
            return str(error.get("type") or ""), shortened(error.get("message") or "", 200)
        return "", ""

    async def probe(self) -> None:
        """Find out whether the service answers and accepts the key. Raises a `ServerError` when not."""
        user = await self.get("/user", PROBE_SECONDS, MOST_STATUS_BYTES)
        if "status" not in user:
            raise self._another_program()

    async def define(self, class_type: str, believe: float = DEFINITION_SECONDS) -> NodeDefinition | None:
        """The definition of a node class, or None when there is no such node. Whatever `believe` says, all definitions
        are asked for again once they are an hour old."""
        if self._definition_age(WHOLE) >= CLOUD_DEFINITION_SECONDS:
            await self.together("all definitions", self._learn)
        text = self._texts.get(class_type)
        if text and class_type not in self.definitions:
            take = functools.partial(read_definitions, wanted={class_type})
            self._take_definitions([class_type], await self._taken(WHOLE, text, take))
        return self.definitions.get(class_type)

    async def _learn(self) -> None:
        def to_texts(text: JsonText) -> dict[str, bytes]:
            return {name: json.dumps({name: text.value()}).encode() for name in text.each_key()}

        texts = await self.read(f"{WHOLE}?include_user_models=true", to_texts)
        self.forget()
        self._texts = texts
        self._asked = {WHOLE: time.monotonic()}

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
            return await super().names(f"/experiment{path}", believe, lambda item: str(item["name"]))
        return await super().names(path, believe, read)

    async def model_metadata(self, folder: str, name: str) -> Mapping[str, Any] | None:
        """What a model file says of itself: nothing, here."""
        return {}

    async def submit(self, prompt_id: str, graph: Graph, extra_data: Mapping[str, Any]) -> Accepted:
        """Post a prompt once; its id is the one in the answer, not `prompt_id`. Raises `WorkflowRefused` and its kin,
        `PaymentRequired`, `ServerBusy`, and as `call` does. After `ServerUnreachable` it may have been taken, unless
        that is `refused`."""
        extra_data = dict(extra_data)
        if self.endpoint.api_key:
            extra_data["api_key_comfy_org"] = self.endpoint.api_key
        body = {"prompt": graph, "client_id": self.connection.client_id, "extra_data": extra_data}
        try:
            answer = await self.call("POST", "/prompt", body=body, max_bytes=MOST_LIST_BYTES)
        except ServerUnreachable as error:
            if error.refused:
                raise
            raise ServerUnreachable(
                "The answer of Comfy Cloud to the job was lost, so it is not known whether the job runs there.",
                "Check the account's jobs before you run it again: it may be running, and you would pay for it twice.",
            ) from None
        if answer.status == 413:
            raise WorkflowRefused("The workflow is larger than Comfy Cloud accepts.")
        accepted = await self._read_accepted(graph, answer)
        with self._reading("/prompt"):
            return Accepted(str(accepted["prompt_id"]), self._dropped(graph, accepted))

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
        """A prompt with its graph and `extra_data`, wherever it stands, or None when the account has no such job."""
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

    async def recent(self) -> list[Prompt]:
        """No prompts at all, since it cannot be told whose the account's jobs are."""
        return []

    async def has_run_since(self, moment: float) -> bool:
        """Always: its jobs do not end with one of its machines."""
        return True

    async def cancel(self, prompt_id: str, seconds: float = CLEAN_UP_SECONDS) -> None:
        """Cancel a prompt, waiting or running. Raises a `ServerError` when the service could not be told."""
        path = f"/jobs/{quote(prompt_id, safe='')}/cancel"
        answer = await self.call("POST", path, seconds=seconds)
        if answer.status not in (200, 404):  # 404: it never took a prompt of this id
            raise UnexpectedAnswer(f"Comfy Cloud did not cancel the job (HTTP {answer.status}).")

    async def upload(self, file: InputFile) -> str:
        """Send a file, unless that was done within the last hour. Returns the name that it has there."""
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
            raise LimitExceeded(f"Comfy Cloud did not accept the file: {reason}", "Give a smaller one.")
        super()._check_upload(file, answer)

    async def _download(self, params: Mapping[str, str]) -> Answer:
        download = functools.partial(
            self.call, "GET", seconds=DOWNLOAD_SECONDS, first_byte_seconds=STALL_SECONDS, max_bytes=MAX_OUTPUT_BYTES
        )
        answer = await download("/view", params=params, redirects=True)
        if answer.status not in REDIRECTS:
            return answer
        with self._reading("/view"):
            asked = URL(self._address("/view"))
            signed = asked.join(URL(answer.location, encoded=True))
            is_safe = signed.scheme in ("https", URL(self.endpoint.url).scheme)
            if not is_safe or not signed.host:
                raise self._redirected(answer.location)
        return await download(signed)


def _without_extension(file: str) -> str:
    stem, _, _ = file.rpartition(".")
    return stem or file


class CloudConnection(Connection):
    """The websocket of an account: every frame comes here, whoever posted the prompt, and none says that a run is
    recorded. The client's id makes no difference."""

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


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/server/pool.py
#
# The servers of an event loop: opened on demand, shared by all, closed when idle.
#
# `open_server` is the way in. It asks the `Pool` of the running event loop for the endpoint's one `ComfyUIServer`
# (`ComfyCloud` where the endpoint says so), which then is not closed before the `async with` ends:
#
#     async with open_server(endpoint) as server:
#         queue = await server.queue(time.monotonic())
#
# A pool belongs to one event loop, since its sockets and tasks do; a process may have several, in turn or in threads.
# ----------------------------------------------------------------------------------------------------------------------


IDLE_SECONDS = 60.0  # how long connections outlive the last call that needed them
IDLE_SERVERS = 100  # how many servers are remembered without being in use
_POOLS: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Pool]" = weakref.WeakKeyDictionary()


def open_server(endpoint: Endpoint) -> contextlib.AbstractAsyncContextManager[ComfyUIServer]:
    """The server of an endpoint, one for all calls of this event loop."""
    return Pool.here().open(endpoint)


async def close_servers() -> None:
    """Close everything at once, for the command line and for tests."""
    if pool := _POOLS.pop(asyncio.get_running_loop(), None):
        await pool.close()


class Pool:
    """The servers of one event loop, and the keeper: the task that looks after them.

    The keeper closes what has been idle for `IDLE_SECONDS`, so that nothing stays behind when Open WebUI loads the file
    anew, and frees ComfyUI's memory where that is due. It closes everything when the event loop ends, which cancels all
    of the loop's tasks. A Stop cancels one call only, and never the keeper; so `ending` tells the two apart.
    """

    def __init__(self) -> None:
        self._servers = BoundedDict[Endpoint, ComfyUIServer](IDLE_SERVERS, lambda server: server.is_watched)
        self._keeper: asyncio.Task[None] | None = None

    @classmethod
    def here(cls) -> "Pool":
        """The pool of the running event loop. Those of closed loops are forgotten."""
        for reference in _POOLS.keyrefs():  # a copy: other threads have loops, too
            loop = reference()
            if loop and loop.is_closed():
                _POOLS.pop(loop, None)
        return _POOLS.setdefault(asyncio.get_running_loop(), cls())

    def server(self, endpoint: Endpoint) -> ComfyUIServer:
        """The server of an endpoint, whether or not it is open."""
        server = self._servers.pop(endpoint, None)
        if server is None:
            server = ComfyCloud(endpoint) if endpoint.cloud else ComfyUIServer(endpoint)
        server.endpoint = endpoint  # an equal one, but its label may be new
        self._servers[endpoint] = server  # the last one is the latest used
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

    @property
    def ending(self) -> bool:
        """Whether the event loop is about to end, as when Open WebUI is shut down."""
        return self._keeper is not None and self._keeper.cancelling() > 0

    async def close(self) -> None:
        """Close everything at once."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})

    async def _keep(self) -> None:
        """The keeper: looks at all servers every few seconds, and ends when none needs that any longer."""
        try:
            while watched := [server for server in self._servers.values() if server.is_watched]:
                for server in watched:
                    await self._look_after(server)
                await asyncio.sleep(IDLE_SECONDS / 10)
        finally:  # each as far as its time allows; what is open after that ends with the process
            closing = [asyncio.create_task(server.close()) for server in self._servers.values() if server.is_open]
            if closing:
                await asyncio.wait(closing, timeout=CLEAN_UP_SECONDS)

    async def _look_after(self, server: ComfyUIServer) -> None:
        """Free the memory of a server, or close it, when it is time for that."""
        if server.in_use:
            return
        now = time.monotonic()
        if server.free_at is not None and now >= server.free_at:
            server.later(server.free_when_due())
        elif server.is_open and now - server.idle_since >= IDLE_SECONDS:
            async with server.door:
                if not server.in_use:
                    await server.close()
                    server.forget_lists()
            self._forget_idle()

    def _forget_idle(self) -> None:
        """Keep no more than `MOST_IDLE_BYTES_KEPT` of what was learned of servers that are closed: the newest."""
        kept = 0
        for server in reversed([*self._servers.values()]):
            if server.is_open:
                continue
            kept += server.bytes_kept
            if kept > MOST_IDLE_BYTES_KEPT:
                kept -= server.bytes_kept
                server.forget()


# ======================================================================================================================
# src/comfyui_chat/catalogue/__init__.py
#
# Which workflows and models there are, and which fit a request on a server.
#
# `entries` gathers workflows from everywhere they may be - attached, pasted, saved on the server, bundled - and finds one
# by its name. `choosing` takes what somebody wants (`Request`), and picks a workflow and model files that this server has
# (`FittedWorkflow`). `listings` answers questions about what there is: lists of workflows and models, one workflow
# described.
#
# All of it depends on one server at a time, since what is installed differs from server to server.
# ======================================================================================================================


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/catalogue/entries.py
#
# The workflows that can be asked for by name, from all the places where they may be.
#
# An `Entry` is one of them. They come from the chat (an attached file), from valves (`read_pasted`), from what is saved
# on the server, and from the manifest (`bundled_entries`). A `Catalogue` holds the first two, and with a server in hand
# puts all of them into one `Listing`; `Catalogue.find` looks a name up in it.
#
# Bundled entries know more than a graph tells: each `ModelNeed` says by regular expressions which installed files will
# do, and each `Family` how models of a kind are best run. Their data is the manifest's:
#
#     {"name": "flux2", "task": "text_to_image", "description": "Flux 2 dev: the finest detail ...",
#      "models": [{"node": "1", "input": "unet_name", "folder": "diffusion_models", "source": "Comfy-Org/...",
#                  "file": "flux2_dev_fp8mixed.safetensors", "match": "flux[-_. ]?2[-_. ]?dev", "avoid": "lora|gguf"}],
#      "families": [{"name": "Flux 2 dev, few steps", "match": "turbo|lightning", "megapixels": 1.05,
#                    "defaults": {"steps": 8}}]}
# ----------------------------------------------------------------------------------------------------------------------


SOURCES = ("attached", "user", "administrator", "server", "bundled")  # in the order in which they are searched
ATTACHED = "attached"  # the name, and the source, of the workflow in a file that is attached to the chat


@dataclass(frozen=True)
class Family:
    """How models whose names match are best run."""

    name: str
    match: str  # regular expression over path, name and what the file says of itself, any case; "" matches all
    megapixels: float | None  # how large its pictures are best; None where the size in the graph is right
    defaults: Mapping[str, Any]  # parameter -> value, instead of the graph's own


def matches(pattern: str, text: str) -> bool:
    """Whether one of the manifest's patterns fits a text. Many of them say "this, and somewhere behind it that", which
    takes a time that grows with the square of the length, so only the beginning is looked at."""
    return re.search(pattern, text[:MOST_MATCHED_CHARACTERS], re.IGNORECASE) is not None


@dataclass(frozen=True)
class ModelNeed:
    """A model file that a workflow loads: where it is named in the graph, and which files will do."""

    target: Target
    folder: str
    file: str  # the one to download, and the best one to have
    match: str  # regular expression over a file's name, any case, that finds what will do; "" finds all
    avoid: str  # the same for what will not do, although `match` finds it; "" is for nothing
    source: str = ""  # the repository on Hugging Face that has `file`

    def fits(self, name: str, about: str = "") -> bool:
        """Whether a file will do, by its name or by what it says of itself (`about`)."""
        texts = [base_name(name)]
        if about:
            texts.append(about)
        if self.avoid and any(matches(self.avoid, text) for text in texts):
            return False
        return any(matches(self.match, text) for text in texts)

    def rank(self, choices: Iterable[str]) -> list[str]:
        """Those of the installed files that will do by their names, best first. Blocks, where there are many."""
        fitting = [name for name in first_names(choices, MOST_COMPARED_CHARACTERS) if self.fits(name)]
        best = plain_name(self.file)
        return sorted(fitting, key=lambda name: (plain_name(name) != best, name.lower()))

    def __str__(self) -> str:
        path = f"{self.folder}/{self.file}"
        if self.source:
            path += f" ({self.source})"
        return path


@dataclass(frozen=True)
class Entry:
    """One workflow of the catalogue, in either of ComfyUI's formats.

    Bundled ones say which models they run with; the first need is the main model, the one that `model` names. Where
    `graph` is None, the workflow is still to be fetched from the server, by its `path`.
    """

    name: str
    source: str  # one of `SOURCES`
    graph: Graph | None = None
    task: str = ""
    description: str = ""
    path: str = ""  # of one that is saved on the server, below its folder for workflows
    families: tuple[Family, ...] = ()
    needs: tuple[ModelNeed, ...] = ()

    @property
    def bundled(self) -> bool:
        """Whether it is one of the tool's own."""
        return self.source == "bundled"

    @functools.cached_property
    def workflow(self) -> Workflow:
        """A bundled workflow's graph with its parameters, as they are on any server."""
        return Workflow.parse(self.name, self.graph)

    @functools.cached_property
    def files(self) -> tuple[FileInput, ...]:
        """The files that a bundled workflow takes, on any server."""
        return file_inputs(self.workflow.flow)


@functools.cache
def bundled_entries() -> tuple[Entry, ...]:
    """The bundled workflows, in the manifest's order of preference. Those that run with the same models share the
    families of the one that the manifest names as `families_of`."""
    items = json.loads(MANIFEST)["workflows"]
    families = {item["name"]: item["families"] for item in items if "families" in item}
    entries: list[Entry] = []
    for item in items:
        families_of = item.get("families_of", item["name"])
        entries.append(_bundled_entry(item, families[families_of]))
    return tuple(entries)


def _bundled_entry(item: Mapping[str, Any], families: Sequence[Mapping[str, Any]]) -> Entry:
    """One workflow of the manifest, in the form that the top of this module shows."""
    needs = [
        ModelNeed(
            target=Target(need["node"], need["input"]),
            folder=need["folder"],
            file=need["file"],
            match=need["match"],
            avoid=need.get("avoid", ""),
            source=need.get("source", ""),
        )
        for need in item["models"]
    ]
    return Entry(
        name=item["name"],
        source="bundled",
        graph=json.loads(BUNDLED[item["name"]]),
        task=item["task"],
        description=item["description"],
        families=tuple(Family(**family) for family in families),
        needs=tuple(needs),
    )


# Workflows that somebody pasted into a valve. What cannot be read is reported, and the call goes on: the valve may have
# been saved long ago, and by somebody else.


@dataclass(frozen=True)
class Pasted:
    """The workflows that somebody pasted into a valve, and what is wrong with the others."""

    entries: tuple[Entry, ...] = ()
    problems: tuple[str, ...] = ()


@functools.lru_cache(maxsize=32)
def read_pasted(text: str, source: str, valve: str) -> Pasted:
    """What the valve of that title holds: one workflow, an object of name -> workflow, or a list of them; each as
    ComfyUI saves or exports it, or in an envelope that tells more about it:

        {"name": "portrait", "description": "A face in studio light", "task": "text_to_image", "workflow": {...}}

    One without a name is called after its `source`: "user", or "user-2" where there are several. Cached, since every
    call reads the valves.
    """
    try:
        items = _pasted_items(text)
    except WorkflowRefused as refused:
        return Pasted(problems=(f"{valve}: {refused.message}",))
    if items is None:
        return Pasted(problems=(f"{valve} holds no workflow. {EXPECTED}",))
    entries: list[Entry] = []
    problems: list[str] = []
    for place, (key, item) in enumerate(items, 1):
        about: dict[str, Any] = {}
        if isinstance(item, dict) and not is_workflow(item):
            about = item
        name = without_json(shortened(text_of(about.get("name"), key)))
        if not name:
            name = source
            if len(items) > 1:
                name += f"-{place}"
        try:
            graph = unwrap(item)
        except WorkflowRefused as refused:
            problems.append(f'{valve}, "{shortened(name)}": {refused.message}')
            continue
        task = shortened(text_of(about.get("task")), 200)
        description = shortened(text_of(about.get("description")), 200)
        entries.append(Entry(name, source, graph, task, description))
    return Pasted(tuple(entries), tuple(problems))


def _pasted_items(text: str) -> list[tuple[str, Any]] | None:
    """The workflows in a text, each with the key that it has in an object, or with ""; None where the text can hold
    none. Raises `WorkflowRefused` for what is not JSON."""
    if not text.strip():
        return []
    value = read_json(text)
    if is_workflow(value) or (isinstance(value, dict) and is_envelope(value)):
        return [("", value)]
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list):
        return [("", item) for item in value]
    return None


def is_workflow(value: Any) -> bool:
    """Whether a value is a workflow, in either of ComfyUI's formats."""
    return is_ui_format(value) or is_api_format(value)


def is_envelope(value: Mapping[str, Any]) -> bool:
    """Whether an object is the envelope of one workflow, and not several workflows by their names: one of its keys is a
    usual one for a workflow (`WRAPPERS`), and under no other key there is one."""
    if value.keys().isdisjoint(WRAPPERS):
        return False
    others = [item for key, item in value.items() if key not in WRAPPERS]
    return not any(map(is_workflow, others))


def without_json(name: str) -> str:
    """A workflow's name without the ending ".json" of its file."""
    return re.sub(r"\.json$", "", name.strip(), flags=re.IGNORECASE)


@dataclass(frozen=True)
class Catalogue:
    """Where workflows are looked for by name: those attached and pasted, then those saved on the server, then the
    bundled ones."""

    given: tuple[Entry, ...] = ()  # attached and pasted
    saved: bool = True  # whether those on the ComfyUI server may be used
    problems: tuple[str, ...] = ()  # why some that were pasted are not there

    async def entries(self, server: ComfyUIServer, believe: float = DOUBT_SECONDS) -> "Listing":
        """All of them, in the order in which they are searched. Of two with one name the later one carries its source
        in its name: "portrait (server)". The list of what is saved on the server is at most `believe` seconds old.
        Raises `ServerUnreachable` and `ServerGone`; any other failure to list that becomes a problem of the listing."""
        paths: list[str] = []
        problems = list(self.problems)
        if self.saved:
            try:
                paths = await server.saved_workflows(believe)
            except (ServerUnreachable, ServerGone):
                raise
            except ServerError as error:  # a proxy that lets only the other routes through, or a server of many users
                problems.append(f"What is saved on the ComfyUI server cannot be listed. {error.message}")
        entries = await FILES.run(_all_entries, self.given, paths)
        return Listing(entries, tuple(problems))

    async def find(self, server: ComfyUIServer, wanted: Argument) -> Entry:
        """The workflow of a name, whatever its case, folder or extension. Raises `UnknownWorkflow`, naming those with
        the most similar names."""
        name = str(wanted.value).strip()
        for believe in (DOUBT_SECONDS, 0.0):  # it may have been saved a moment ago
            listing = await self.entries(server, believe)
            entry = await FILES.run(listing.find, name)
            if entry:
                return entry
        names = [entry.name for entry in listing.entries]
        similar = await FILES.run(closest, name, names, 8)
        hints = [f"There are, among others: {quoted(similar)}.", *listing.problems]
        message = f'{wanted.name} is "{shortened(wanted.value)}", and no workflow has that name.'
        raise UnknownWorkflow(message, " ".join(hints))


def _all_entries(given: Iterable[Entry], paths: Iterable[str]) -> tuple[Entry, ...]:
    """Those given, those saved on the server at these paths, and the bundled ones. Blocks."""
    saved = [Entry(without_json(path), "server", path=path) for path in paths]
    return _with_different_names([*given, *saved, *bundled_entries()])


def _with_different_names(found: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries in their order, those after the first of a name renamed: "mine", "mine (user)", "mine 2", "mine 3".
    Blocks."""
    entries: dict[str, Entry] = {}
    counts: dict[str, int] = {}  # how often a name was counted up, so that thousands of one name do not count anew
    for entry in found:
        name = entry.name
        if name in entries:
            name = f"{entry.name} ({entry.source})"
        while name in entries:
            counts[entry.name] = counts.get(entry.name, 1) + 1
            name = f"{entry.name} {counts[entry.name]}"
        if name != entry.name:
            entry = replace(entry, name=name)
        entries[name] = entry
    return tuple(entries.values())


@dataclass(frozen=True)
class Listing:
    """What a catalogue holds on a server, and why some may not be there."""

    entries: tuple[Entry, ...]
    problems: tuple[str, ...]

    def find(self, name: str) -> Entry | None:
        """The workflow of that name from the first source that has one, or None; in each source an exact match comes
        before one without regard to case, folder or extension."""
        for source in SOURCES:
            entries = {entry.name: entry for entry in self.entries if entry.source == source}
            names = list(entries)
            full_name = find_name(name, names) or find_name(without_json(name), names)
            if full_name is not None:
                return entries[full_name]
        return None


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/catalogue/choosing.py
#
# From what somebody wants to a workflow and model files that this server has.
#
# `choose` takes a `Request` and answers with a `FittedWorkflow`. A workflow that is named is found in the catalogue.
# Where none is named, the first bundled one is taken that does one of the request's tasks, has room for its pictures, and
# whose model files are installed (`_choose_for`). Two functions then make a workflow fit the server:
#
# - `fit_entry` a bundled one, for each of whose needs a `FileSearch` picks the best file that is installed;
# - `fit_saved` any other, which stays as its author saved it, apart from the names of model files.
#
# When a model and a workflow do not go together, their levels decide which gives way (`Argument.level`: 0 argument, 1 the
# user's valve, 2 the administrator's valve): the higher one has less right. Prompt, seed and the like are left to
# `run/planning.py`, input files to `run/inputs.py`.
#
# Lists of files come from the server's node definitions, which may be minutes old. When a file is not in them, they are
# asked for once more before anybody hears that it is missing.
# ----------------------------------------------------------------------------------------------------------------------


TEXT_TO_IMAGE = ("text_to_image",)  # the tasks of a request for a new picture
CHANGING = ("image_edit", "image_to_image")  # those of a request to change pictures, the preferred one first
MAX_METADATA_FILES = 24  # how many files, whose names say nothing, have their metadata read
AS_SAVED = Family("", "", None, {})  # the family of a workflow that is not bundled: nothing of its own to set
MISSING_FILES_HINT = (  # after a list of missing model files
    "Files go into ComfyUI's models folder, and others with similar names will do; "
    "the repository on Hugging Face is in brackets."
)
Offer = Callable[[], Awaitable[InputFile]]  # reads a file that may be used; it is not read until it is needed


@dataclass(frozen=True)
class Request:
    """What somebody wants, not yet understood. None leaves a value to what is best, or to what the workflow's author
    saved."""

    prompt: str | None = None
    tasks: tuple[str, ...] = TEXT_TO_IMAGE  # when no workflow is named, one for the first of these that can be done
    negative_prompt: Argument | None = None
    size: Argument | None = None
    count: Argument | None = None
    seed: Argument | None = None
    steps: Argument | None = None
    guidance: Argument | None = None
    model: Argument | None = None
    workflow: Argument | None = None
    loras: Argument | None = None
    strength: Argument | None = None  # how much of a picture is painted anew, 0 to 1
    scale: Argument | None = None  # how many times as wide and high a picture becomes
    inputs: Mapping[str, Argument] = field(default_factory=dict)  # any other input of the workflow, by name
    files: tuple[InputFile | None, ...] = ()  # for its file inputs, in order; None keeps the author's
    mask: Image.Image | None = field(default=None, repr=False)  # of mode "L": white is painted anew
    offers: Mapping[str, Offer] = field(default_factory=dict)  # kind -> the chat's newest file, for when none is given
    notes: tuple[str, ...] = ()  # on how the call was understood, for the model that called

    @property
    def pictures(self) -> int:
        """How many pictures are given to work on; the last one may be the mask."""
        kinds = [file.kind for file in self.files if file]
        return kinds.count("image")

    def room_in(self, inputs: Sequence[FileInput]) -> int:
        """How many pictures these inputs have room for. Where they take a mask and none is given by itself, there is
        room for one more: the last picture may be the mask."""
        room = sum(item.kind == "image" for item in inputs)
        if self.mask is None and any(item.takes_mask for item in inputs):
            room += 1
        return room

    @property
    def called(self) -> str:
        """What the files that come of it are named after: the prompt, wherever it was given, or the workflow."""
        if self.prompt:
            return self.prompt
        named = self.inputs.get("prompt") or self.workflow
        return str(named.value) if named else ""

    def insisting(self) -> "Request":
        """The same request, insisting on the model or the workflow of a valve as if it were an argument, so that a
        server that has it is found first."""
        model, workflow = self.model, self.workflow
        if model and not workflow:
            return replace(self, model=replace(model, level=0))
        if workflow and not model:
            return replace(self, workflow=replace(workflow, level=0))
        return self

    def against_author(self) -> "Request":
        """The same request for a workflow that stays as its author saved it: size and negative prompt of a valve with
        less right than what named the workflow are dropped."""
        level = self.workflow.level if self.workflow else 0
        size = self.size
        if size and size.level > level:
            size = None
        negative_prompt = self.negative_prompt
        if negative_prompt and negative_prompt.level > level:
            negative_prompt = None
        return replace(self, size=size, negative_prompt=negative_prompt)


@dataclass(frozen=True)
class FittedWorkflow:
    """A workflow that this server can run, with its definitions of the nodes, and with its model files set.
    `run/inputs.py` adds `wanting` and `picture`."""

    workflow: Workflow
    family: Family
    model: str  # the main model's file
    notes: tuple[str, ...] = ()
    absent: Mapping[Target, str] = field(default_factory=dict)  # model files that it names and the server does not have
    wanting: Mapping[Target, str] = field(default_factory=dict)  # input files that it still has to be given
    task: str = ""  # of a bundled one
    picture: Size | None = None  # of the first picture that it works on

    @property
    def saved(self) -> bool:
        """Whether it is to run as somebody saved it: what its author chose stays unless the call says otherwise."""
        return self.family.megapixels is None

    def noting(self, note: str) -> "FittedWorkflow":
        """The same with one more note."""
        return replace(self, notes=(*self.notes, note))


async def choose(server: ComfyUIServer, request: Request, catalogue: Catalogue = Catalogue()) -> FittedWorkflow:
    """The workflow that is asked for by name, else the first bundled one that fits the request's tasks, its pictures,
    the model asked for and what is installed. The name of a task, where no workflow has that name, stands for any
    bundled workflow that does the task.

    When a model and a workflow do not go together, the one asked for with less right (a valve against an argument)
    gives way. Raises `UnknownWorkflow`, `ModelNotInstalled`, `NodeNotInstalled`, `BadArgument`, and as the server does.
    """
    workflow = request.workflow
    if workflow is None:
        return await _choose_for(server, request)
    try:
        entry = await catalogue.find(server, workflow)
    except UnknownWorkflow:
        asked_name = str(workflow.value).strip().lower()
        task = re.sub(r"[\s-]+", "_", asked_name)
        if task not in {entry.task for entry in bundled_entries()}:
            raise
        return await _choose_for(server, replace(request, tasks=(task,)))
    return await _choose_named(server, request, workflow, entry)


async def _choose_named(server: ComfyUIServer, request: Request, workflow: Argument, entry: Entry) -> FittedWorkflow:
    """The entry that the argument `workflow` names, with the model that is named. Where the two do not go together, the
    one with less right is left out. A workflow of a valve is also left out when it does not take the files that were
    given."""
    fit = fit_entry if entry.bundled else fit_saved
    model = request.model
    if model and not entry.bundled and model.level > workflow.level:
        model = None  # a valve does not change what somebody saved
    try:
        fitted = await fit(server, entry, model)
    except ModelNotInstalled:
        if model is None or model.level == workflow.level:
            raise
        if model.level < workflow.level:
            return await _choose_for(server, request)
        fitted = await fit(server, entry, None)
        model_name = f'{model.name} "{shortened(model.value)}"'
        fitted = fitted.noting(f'{model_name} does not go with the workflow "{entry.name}" and was left out')
    if workflow.level == 0 or _has_room(fitted, request):
        return fitted
    fitted = await _choose_for(server, request)  # the files that were given go before a valve
    return fitted.noting(f'{workflow.name} names "{entry.name}", which does not take what was given, and was left out')


def _has_room(fitted: FittedWorkflow, request: Request) -> bool:
    """Whether a workflow has room for the request's pictures and a place for its mask."""
    inputs = file_inputs(fitted.workflow.flow)
    if request.mask and not any(item.takes_mask for item in inputs):
        return False
    return request.pictures <= request.room_in(inputs)


async def _choose_for(server: ComfyUIServer, request: Request) -> FittedWorkflow:
    """The first bundled workflow of the first task for which everything is installed. A file that the server itself
    cannot read counts as installed only when nothing else is."""
    entries: list[Entry] = []
    for task in request.tasks:
        entries += _entries_for(task)
    with_room = [entry for entry in entries if request.room_in(entry.files) >= request.pictures]
    if not with_room:
        raise _too_many_pictures(request, entries)
    began = time.monotonic()
    candidates = _candidates(request, with_room)
    refusals: dict[str, None] = {}  # of workflows for which any model would have done
    for readable in (True, False):  # a file that the server cannot read is still better than none
        for model, entry in candidates:
            try:
                return await fit_entry(server, entry, model, strict=True, readable=readable, began=began)
            except WorkflowRefused as refused:
                if model is None:
                    refusals[refused.message] = None
    if request.model and not refusals:
        raise await _no_such_model(server, request, request.model, entries)
    purpose = "a picture could be made with" if request.tasks == TEXT_TO_IMAGE else "could do this"
    raise ModelNotInstalled(
        f"No model is installed that {purpose}.",
        f"One set of files is enough. {MISSING_FILES_HINT} {' '.join(refusals)}",
    )


def _entries_for(task: str) -> list[Entry]:
    """The bundled workflows that do a task."""
    return [entry for entry in bundled_entries() if entry.task == task]


def _candidates(request: Request, entries: Sequence[Entry]) -> list[tuple[Argument | None, Entry]]:
    """The models and workflows to try, the preferred ones first; the model None stands for any that is installed."""
    models = [request.model]
    if request.model and request.model.level and request.tasks != TEXT_TO_IMAGE:
        models.append(None)  # to work on pictures, since the model of the valve may be made for something else
    candidates: list[tuple[Argument | None, Entry]] = []
    for task in request.tasks:
        doing_task = [entry for entry in entries if entry.task == task]
        candidates += itertools.product(models, doing_task)
    return candidates


def _too_many_pictures(request: Request, entries: Sequence[Entry]) -> BadArgument:
    """The error if none of the workflows has room for the pictures that were given."""
    most = max((request.room_in(entry.files) for entry in entries), default=0)
    given = "A picture was"
    if request.pictures > 1:
        given = f"{request.pictures} pictures were"
    hint = "Leave it out, or name a workflow that takes pictures."
    if most:
        hint = f"Give at most {most}."
    return BadArgument(f"{given} given, which no workflow takes.", hint)


async def _no_such_model(
    server: ComfyUIServer, request: Request, model: Argument, entries: Sequence[Entry]
) -> ModelNotInstalled:
    """The error if no workflow takes the model: it is not installed, or not of a kind that any of them runs with."""
    installed: list[str] = []
    for entry in entries:
        target = entry.needs[0].target
        loader = entry.workflow.graph[target.node_id]
        definition = await server.define(loader["class_type"])
        if definition:
            installed += definition.inputs[target.input].names
    name = find_name(str(model.value), installed)
    if not name:
        return _model_missing(model, list(dict.fromkeys(installed)))
    workflow = "workflow"
    if request.pictures > 1:
        workflow = f"workflow that takes {request.pictures} pictures"
    return ModelNotInstalled(
        f'The model "{name}" is installed, but no {workflow} is made for it, or another file that it needs is missing.',
        f"Name one of the workflows {quoted(entry.name for entry in entries)} with it to try it anyway.",
    )


# Bundled workflows: which of the installed files they run with.


async def fit_entry(
    server: ComfyUIServer,
    entry: Entry,
    model: Argument | None,
    *,
    strict: bool = False,
    readable: bool = False,
    began: float | None = None,
) -> FittedWorkflow:
    """A bundled workflow with model files that this server has, and the family that its main model belongs to.

    `strict` takes a named model only when its name or its metadata say that it belongs to the workflow; `readable`
    passes over files that the server cannot read. Lists of files that lack a named model are asked for again unless
    that was done after `began` (of `time.monotonic`; None is now). Raises `NodeNotInstalled`, `ModelNotInstalled`.
    """
    if began is None:
        began = time.monotonic()
    graph = entry.workflow.graph
    definitions = dict(await server.define_all(node["class_type"] for node in graph.values()))
    missing_classes = missing_nodes(graph, definitions)
    if missing_classes:
        raise NodeNotInstalled(f'The workflow "{entry.name}" needs the node "{missing_classes[0]}".')
    main_need = entry.needs[0]
    files: dict[str, str] = {}  # a need as a text -> its file: several nodes may read the same one
    missing: dict[str, None] = {}
    for need in entry.needs:
        wanted_file = str(need)
        if wanted_file in files:
            continue
        loader = graph[need.target.node_id]["class_type"]
        search = FileSearch(server, need, loader, main=need is main_need)
        if model and need is main_need:
            files[wanted_file] = await search.named(model, strict, began)
        elif name := await search.best(readable and not missing):
            files[wanted_file] = name
        else:
            missing[wanted_file] = None
    if missing:
        lacks = ", ".join(missing)
        raise ModelNotInstalled(f'The workflow "{entry.name}" lacks {lacks}.', MISSING_FILES_HINT)
    model_file = files[str(main_need)]
    family = await _family(server, entry, model_file)
    workflow = replace(entry.workflow, definitions=definitions)
    workflow = workflow.set({need.target: files[str(need)] for need in entry.needs})
    return FittedWorkflow(workflow, family, model_file, task=entry.task)


async def _family(server: ComfyUIServer, entry: Entry, model_file: str) -> Family:
    """The family that the main model belongs to, by its name and what it says of itself."""
    about = await architecture(server, entry.needs[0].folder, model_file)
    known = f"{model_file} {about or ''}"
    fitting = [family for family in entry.families if matches(family.match, known)]
    return fitting[0]  # the last one of each workflow fits all


@dataclass(frozen=True)
class FileSearch:
    """The search for one model file of a bundled workflow, among those that its loader node lists on this server."""

    server: ComfyUIServer
    need: ModelNeed
    loader: str  # the loader's class
    main: bool  # whether it is the workflow's main model

    async def named(self, model: Argument, strict: bool, began: float) -> str:
        """The file of the name that somebody asked for; `strict` and `began` are those of `fit_entry`. Raises
        `ModelNotInstalled`."""
        names: tuple[str, ...] = ()
        for believe in (DEFINITION_SECONDS, time.monotonic() - began):
            names = await self._names(believe)
            name = find_name(str(model.value), names)
            if name and not strict:
                return name
            if name:
                about = await self._architecture(name)
                if self.need.fits(name, about or ""):
                    return name
        raise _model_missing(model, names)

    async def best(self, readable: bool) -> str | None:
        """The best installed file, or None. A main model may also be found by what it says of itself. `readable` passes
        over files that the server cannot read, which would only fail in the middle of the run."""
        for believe in (DEFINITION_SECONDS, DOUBT_SECONDS):
            names = await self._names(believe)
            name = await self._best_of(names, readable)
            if name:
                return name
        return None

    async def _best_of(self, names: Sequence[str], readable: bool) -> str | None:
        """The best of these files: first by name, then, for a main model, by the metadata of files whose names tell
        nothing."""
        by_name = await FILES.run(self.need.rank, names)
        for name in by_name:
            if not readable and not self.main:
                return name
            about = await self._architecture(name)
            if readable and about is None:
                continue
            if self.need.fits(name, about or ""):
                return name
        if self.main and self.need.match:
            known = set(by_name)
            others = [name for name in names if name not in known]
            return await self._by_metadata(others)
        return None

    async def _by_metadata(self, names: Sequence[str]) -> str | None:
        """The first file that will do by what it says of itself."""
        for name in names[:MAX_METADATA_FILES]:
            about = await self._architecture(name)
            if about and self.need.fits(name, about):
                return name
        return None

    async def _names(self, believe: float) -> tuple[str, ...]:
        definition = await self.server.define(self.loader, believe)
        widget = self.need.target.input
        if definition is None or widget not in definition.inputs:
            return ()
        return definition.inputs[widget].names

    async def _architecture(self, name: str) -> str | None:
        return await architecture(self.server, self.need.folder, name)


async def architecture(server: ComfyUIServer, folder: str, name: str) -> str | None:
    """The kind of model that a file says it is, such as "stable-diffusion-xl-v1-base"; "" when it does not say, None
    when the server itself cannot read the file."""
    about = await server.model_metadata(folder, name)
    if about is None:
        return None
    kind = about.get("modelspec.architecture") or about.get("ss_base_model_version")
    return str(kind or "")


def _model_missing(model: Argument, choices: Sequence[str]) -> ModelNotInstalled:
    similar = closest(str(model.value), choices)
    hint = "No model is installed for this workflow."
    if similar:
        hint = f"Installed are: {quoted(similar)}."
    return ModelNotInstalled(f'{model.name} is "{shortened(model.value)}", and no such model is installed.', hint)


# All other workflows, read and left as their authors saved them.


async def fit_saved(server: ComfyUIServer, entry: Entry, model: Argument | None) -> FittedWorkflow:
    """A workflow that is not bundled, as its author saved it, with the model that was asked for, and with its other
    model files under the names that they have on this server. Files that are not there are noted as `absent`. Raises
    `NodeNotInstalled`, `ModelNotInstalled`, `WorkflowRefused`, and as the server does."""
    workflow = await read_entry(server, entry)
    missing = missing_nodes(workflow.graph, workflow.definitions)
    if missing:
        reason = _nodes_missing(missing).message
        raise NodeNotInstalled(f'The workflow "{entry.name}" cannot be used. {reason}')
    check_links(workflow.graph, workflow.definitions)
    try:
        fitted = await FILES.run(_fit_files, workflow, model)
        doubtful = list(fitted.absent)
    except ModelNotInstalled:
        doubtful = list(workflow.parameters["model"])
        doubtful += [target.reader for target in doubtful if target.reader]
    stale = {workflow.graph[target.node_id]["class_type"] for target in doubtful}
    if stale:
        definitions = await server.define_anew(workflow.definitions, stale, DOUBT_SECONDS)
        fitted = await FILES.run(_fit_files, replace(workflow, definitions=definitions), model)
    return fitted


async def read_entry(server: ComfyUIServer, entry: Entry) -> Workflow:
    """A workflow of the catalogue with its parameters, converted to the API format where it is not in it, and with the
    definitions of its nodes, as far as the server has them. Raises `WorkflowRefused` and its kin, naming the workflow,
    and as the server does."""
    try:
        raw = entry.graph
        if raw is None:
            raw = await server.saved_workflow(entry.path)
        if is_ui_format(raw):
            live = await FILES.run(live_nodes, raw)
            definitions = await server.define_all(class_types(live))
            missing = strange_types(live, definitions)
            if missing:
                raise _nodes_missing(missing)
            graph, dynamic = await FILES.run(read_ui, live, definitions)
        else:
            graph = clean(raw)
            dynamic = frozenset()
            definitions = await server.define_all(node["class_type"] for node in graph.values())
        return await FILES.run(Workflow.parse, entry.name, graph, definitions, dynamic)
    except WorkflowRefused as refused:
        message = f'The workflow "{entry.name}" cannot be used. {refused.message}'
        raise type(refused)(message, refused.hint) from None


def _nodes_missing(names: Sequence[str]) -> NodeNotInstalled:
    listed = quoted(shortened(name) for name in names[:5])
    if len(names) > 5:
        listed += f" and {len(names) - 5} more"
    return NodeNotInstalled(f"It needs nodes that this ComfyUI does not have: {listed}.")


def _fit_files(workflow: Workflow, model: Argument | None) -> FittedWorkflow:
    """The workflow with the files that are installed, by its definitions. A file that no output needs may be missing
    without a word. Raises `ModelNotInstalled` when the model that was asked for is not there."""
    notes: tuple[str, ...] = ()
    chosen: dict[Target, str] = {}
    if model and "model" in workflow.parameters:
        choices = workflow.spec("model").names
        name = find_name(str(model.value), choices)
        if name is None:
            raise _model_missing(model, choices)
        chosen = {target.widget: name for target in workflow.parameters["model"]}
    elif model:
        notes = (f'the workflow "{workflow.name}" has no model to choose; {model.name} was left out',)
    renamed, absent = _other_files(workflow, chosen)
    workflow = workflow.set(renamed | chosen)
    model_file = str(workflow.value("model") or "")
    return FittedWorkflow(workflow, AS_SAVED, model_file, notes, absent)


def _other_files(workflow: Workflow, chosen: Mapping[Target, str]) -> tuple[dict[Target, str], dict[Target, str]]:
    """The model files that were not `chosen`: those which are installed under another name, by their names on this
    server, and those which are not installed, as a message names them.

        {Target("4", "ckpt_name"): "SDXL/base.safetensors"}
        {Target("7", "vae_name"): 'vae/ae.safetensors (installed: "flux-ae.safetensors")'}
    """
    renamed: dict[Target, str] = {}
    absent: dict[Target, str] = {}
    needed = workflow.flow.needed()
    for file in model_files(workflow.graph, workflow.definitions):
        if file.target in chosen or file.installed is None or file.target in workflow.templates:
            continue
        choices = workflow.widget_spec(file.target).names
        name = find_name(file.file, choices)
        if name == file.file:
            continue
        if name is not None:
            renamed[file.target] = name
        elif file.target.node_id in needed:
            path = f"{file.folder}/{file.file}"
            similar: list[str] = []
            if len(absent) < 5:
                similar = closest(file.file, choices)
            if similar:
                path += f" (installed: {quoted(similar)})"
            absent[file.target] = path
    return renamed, absent


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/catalogue/secret_inputs.py
#
# Which inputs of a workflow hold a key, a password or the like: their values are told to nobody.
#
# An input is known by its own name, one that holds a text also by the title of its node, and any text by what stands in
# it: a header with a credential, or an address with a password or a key.
#
#     "api_key"    a node called "OpenAI API key"    "Bearer eyJhbGciOiJIUzI1NiJ9"    "https://host/?token=abc"
# ----------------------------------------------------------------------------------------------------------------------


# Words in the names of inputs whose values are not told to anybody: anywhere in a name, or as its last word, before a
# number or "id". "apiKey2", "accessKeyId" and "webhook_url" are secrets; "max_tokens" and "key_frames" are none.
SECRET_WORDS = frozenset(
    {
        *("secret", "secrets", "password", "passwd", "passphrase", "pwd", "authorization", "bearer", "cookie"),
        *("credential", "credentials", "webhook", "apikey", "authtoken", "accesskey"),
    }
)
SECRET_ENDS = frozenset({"key", "token", "auth"})
NAME_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# Each of these takes a bounded number of characters, so that the time stays linear.
LOGIN_IN_ADDRESS = re.compile(r"://[^\s/@]{1,300}@")
CREDENTIAL_OF_HEADER = re.compile(r"\b(?:bearer|basic)\s{1,8}[\w.~+/=-]{16}", re.IGNORECASE)
NAME_IN_QUERY = re.compile(r"[?&;#]([\w.-]{1,60})=")
NAME_OF_LONG_WORD = re.compile(r"""([\w-]{1,60})["']?\s{0,3}[:=]\s{0,3}["']?[\w.~+/=-]{16}""")
CHARACTERS_JUDGED = 4000  # of a text, of which less is shown


def is_secret(name: str) -> bool:
    """Whether something holds what nobody may read, by its name: "api_key", "Node title.authToken", "API Key"."""
    words = [word.lower() for word in NAME_WORD.findall(last_part(name))]
    if words[-1:] == ["id"]:
        words.pop()
    return not SECRET_WORDS.isdisjoint(words) or not SECRET_ENDS.isdisjoint(words[-1:])


def holds_secret(name: str, title: str, value: Any) -> bool:
    """Whether the value of an input of this name, in a node of this title, is one that nobody may read."""
    if is_secret(name):
        return True
    if not isinstance(value, str):
        return False
    return is_secret(title.replace(".", " ")) or _holds_credential(shortened(value, CHARACTERS_JUDGED))


def _holds_credential(text: str) -> bool:
    if LOGIN_IN_ADDRESS.search(text) or CREDENTIAL_OF_HEADER.search(text):
        return True
    names = NAME_IN_QUERY.findall(text) + NAME_OF_LONG_WORD.findall(text)
    return any(map(is_secret, names))


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/catalogue/listings.py
#
# Answers about what a server has: its workflows, one of them in detail, its models.
#
# Three functions answer, for one server, the methods of the same names in `webui/tools.py`, and `one_list` merges the
# answers of several servers. Answers are cut to a length that a model can read, and say how much was left out.
#
#     list_workflows     {"workflows": [{"name": "flux2", "task": "text_to_image", "source": "bundled", "about": "...",
#                                        "cannot run": "lacks diffusion_models/..."}], "more": "..."}
#     describe_workflow  {"name": ..., "inputs": {"steps": "INT, 1 to 10000, now 20"}, "files": [...], "makes": [...],
#                         "models": {"vae/ae.safetensors": "installed"}, "diagram": "```mermaid ...", ...}
#     list_models        {"installed": {"checkpoints": 3, "loras": 12}}, or {"loras": ["a.safetensors", ...]} for a kind
# ----------------------------------------------------------------------------------------------------------------------


MAX_WORKFLOWS = 40  # how many workflows one answer describes
MAX_NAMES = 60  # how many models of a kind, or other inputs of a workflow, one answer names
MAX_CHOICES = 8  # how many choices of an input are named


async def list_workflows(server: ComfyUIServer, catalogue: Catalogue, search: str) -> dict[str, Any]:
    """The workflows whose names or descriptions hold all words of `search`, and whether this server can run them. When
    none does, the most similar names."""
    listing = await catalogue.entries(server)
    words = search.lower().split()
    matching = [entry for entry in listing.entries if _has_words(f"{entry.name} {entry.description}", words)]
    described, more = matching[:MAX_WORKFLOWS], matching[MAX_WORKFLOWS:]
    checks = [functools.partial(look_into, server, entry) for entry in described]
    answer: dict[str, Any] = {"workflows": await gather(4, checks)}
    if more:
        next_names = quoted(entry.name for entry in more[:MAX_WORKFLOWS])
        answer["more"] = f"{len(more)} more: {next_names}"
    if not matching:
        answer["closest"] = closest(search, [entry.name for entry in listing.entries], 5)
    if listing.problems:
        answer["problems"] = list(listing.problems)
    return answer


def _has_words(text: str, words: Sequence[str]) -> bool:
    """Whether a text holds all of these words, which are in lower case."""
    lower = text.lower()
    return all(word in lower for word in words)


async def look_into(server: ComfyUIServer, entry: Entry) -> dict[str, str]:
    """A few words about a workflow: name, task, source, description, and if this server cannot run it, why. Raises
    `ServerUnreachable` and `ServerGone`; any other error is the reason."""
    task, about = entry.task, entry.description
    problem = ""
    try:
        if entry.bundled:
            await fit_entry(server, entry, None)
        else:
            fitted = await fit_saved(server, entry, None)
            task = task or guess_task(fitted.workflow.flow)
            about = about or _in_words(task, fitted.model)
            absent = list(fitted.absent.values())
            if absent:
                problem = "needs " + "; ".join(absent[:3])
    except (ServerUnreachable, ServerGone):
        raise
    except ComfyUIError as error:
        problem = error.message.removeprefix(f'The workflow "{entry.name}" ')
    line = {
        "name": entry.name,
        "task": task,
        "source": entry.source,
        "about": shortened(about, 200),
    }
    if problem:
        line["cannot run"] = shortened(problem, 160)
    return line


def _in_words(task: str, model: str) -> str:
    """What a workflow is about that nobody has described: "text to image with sdxl.safetensors"."""
    words = task.replace("_", " ")
    if not model:
        return words
    return f"{words} with {model}"


async def describe_workflow(server: ComfyUIServer, entry: Entry) -> dict[str, Any]:
    """Everything that a caller has to know about a workflow, as far as this server knows its nodes. Raises as
    `read_entry` does, except for nodes that are missing."""
    try:
        workflow = await read_entry(server, entry)
    except NodeNotInstalled as refused:  # there is no more to tell about a graph that cannot be converted
        return {"name": entry.name, "source": entry.source, "cannot run": refused.message}
    flow = workflow.flow
    files = file_inputs(flow)
    answer = {
        "name": entry.name,
        "source": entry.source,
        "task": entry.task or guess_task(flow),
        "about": entry.description,
        "inputs": {name: _input_line(workflow, name) for name in workflow.parameters},
        "other inputs": _other_input_lines(workflow, files),
        "files": await FILES.run(_file_lines, flow, files),
        "makes": [f'{kind} ("{title}")' for title, kind in outputs(flow)],
        "models": await _model_lines(server, entry, workflow),
        "missing nodes": list(missing_nodes(workflow.graph, workflow.definitions)),
    }
    answer = {name: value for name, value in answer.items() if value}  # nothing is said of what it does not have
    answer["diagram"] = f"```mermaid\n{mermaid(flow)}\n```"
    answer["note"] = "To show the user the graph, copy `diagram` into the answer as it is."
    return answer


def _other_input_lines(workflow: Workflow, files: Sequence[FileInput]) -> dict[str, str]:
    """The lines of the first inputs that neither a parameter sets nor a file goes into, and how many more there are."""
    taken = {file.target for file in files}
    for targets in workflow.parameters.values():
        taken.update(target.widget for target in targets)
    names = [name for name, target in workflow.widgets.items() if target not in taken]
    lines = {name: _input_line(workflow, name) for name in names[:MAX_NAMES]}
    more = len(names) - MAX_NAMES
    if more > 0:
        lines["…"] = f"{more} more"
    return lines


def _input_line(workflow: Workflow, name: str) -> str:
    """An input's type, its range or choices, and its present value: "INT, 1 to 10000, now 20"."""
    spec = workflow.spec(name)
    if name == "seed":
        return f"{spec.type}, random unless given"
    if any(lists_users_files(workflow, target) for target in workflow.find(name) or ()):
        return "a file on the server, as it was saved"
    parts = [spec.type]
    if spec.choices:
        shown = [shortened(choice, 60) for choice in spec.choices[:MAX_CHOICES]]
        choices = f"one of {quoted(shown)}"
        more = len(spec.choices) - MAX_CHOICES
        if more > 0:
            choices += f" and {more} more"
        parts.append(choices)
    elif spec.minimum is not None and spec.maximum is not None:
        parts.append(f"{spec.minimum:g} to {spec.maximum:g}")
    parts.append(_value_now(workflow, name))
    return ", ".join(parts)


def _value_now(workflow: Workflow, name: str) -> str:
    """What an input holds, as far as anybody may know: "now 20", 'now "a red fox"', "is set"."""
    value = workflow.value(name)
    nodes = [workflow.graph[target.node_id] for target in workflow.find(name) or ()]
    if any(holds_secret(name, given_title(node) or node["class_type"], value) for node in nodes):
        return "is set" if value else "is not set"
    if value is None:
        return "has to be given"
    if isinstance(value, str):
        return f'now "{shortened(value, 120)}"'
    return f"now {shortened(value, 40)}"


def _file_lines(flow: Flow, files: Sequence[FileInput]) -> list[str]:
    """The files that a graph takes, and which of them it can do without: 'image and mask for "Photo", optional'."""
    lines = []
    for file in files[:MAX_INPUT_FILES]:
        line = file.kind
        if file.masked:
            line += " and mask"
        line += f' for "{file.title}"'
        if without_files(flow, [file.target]) is not None:
            line += ", optional"
        lines.append(line)
    return lines


async def _model_lines(server: ComfyUIServer, entry: Entry, workflow: Workflow) -> dict[str, str]:
    """Model file -> whether it is installed: "installed", 'installed as "other.safetensors"', "not installed" or "not
    known". For a bundled workflow any file will do that its need matches."""
    graph = workflow.graph
    loaders = [graph[file.target.node_id] for file in model_files(graph, {})]
    class_types = [loader["class_type"] for loader in loaders]
    definitions = await server.define_anew({}, class_types, DOUBT_SECONDS)
    workflow = replace(workflow, definitions=definitions)
    needs = {need.target: need for need in entry.needs}
    lines: dict[str, str] = {}
    for file in model_files(graph, definitions):
        choices = workflow.widget_spec(file.target).names
        installed = find_name(file.file, choices)
        if file.target in needs:
            fitting = await FILES.run(needs[file.target].rank, choices)
            installed = fitting[0] if fitting else installed
        lines[f"{file.folder}/{file.file}"] = _model_state(file, installed)
    return lines


def _model_state(file: ModelFile, installed: str | None) -> str:
    """Whether a model file is installed, and under which name."""
    if installed == file.file:
        return "installed"
    if installed:
        return f'installed as "{installed}"'
    return "not known" if file.installed is None else "not installed"


# What people call a kind of model -> ComfyUI's folder for it, or one of `SAMPLING_KINDS`.
MODEL_KINDS: Mapping[str, str] = {
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
    """The installed models of a kind whose names hold all words of `search`. Without a kind: how many there are of
    each, or those that `search` finds in all of them. Raises `BadArgument` for a kind that does not exist."""
    kinds = await _model_kinds(server)
    words = search.lower().split()
    asked_kind = _read_kind(kind, kinds)
    if asked_kind:
        names = await _models_of(server, asked_kind)
        return _models_of_one_kind(asked_kind, names, search)
    models: dict[str, list[str]] = {}
    for each_kind in kinds:
        names = await _models_of(server, each_kind)
        matching = [name for name in names if _has_words(name, words)]
        if matching:
            models[each_kind] = matching
    if not words:
        counts = {each_kind: len(names) for each_kind, names in models.items()}
        return {"installed": counts}
    return _first_models(models)


def _models_of_one_kind(kind: str, names: Sequence[str], search: str) -> dict[str, Any]:
    """The answer that names the models of one kind; if none holds all words of `search`, the most similar ones."""
    words = search.lower().split()
    matching = [name for name in names if _has_words(name, words)]
    if names and not matching:
        return {
            "kind": kind,
            "found": 0,
            "closest": closest(search, names, 5),
            "installed": len(names),
        }
    return _first_models({kind: matching})


async def _model_kinds(server: ComfyUIServer) -> list[str]:
    """All kinds that can be asked for: ComfyUI's usual ones, then the other folders of this server."""
    folders = await server.names("/models") or USUAL_KINDS
    kinds = dict.fromkeys([*USUAL_KINDS, "embeddings", *SAMPLING_KINDS, *folders[:MOST_FOLDERS]])
    return [kind for kind in kinds if kind not in ("configs", "custom_nodes")]


def _read_kind(kind: str, kinds: Sequence[str]) -> str:
    """The one of `kinds` that somebody means by "LoRA" or "text-encoder"; "" for all. Raises `BadArgument`."""
    known = {_plain_kind(name): name for name in [*MODEL_KINDS, *kinds]}
    name = known.get(_plain_kind(kind), kind.strip())
    name = MODEL_KINDS.get(name, name)
    if name and name not in kinds:
        message = f'There is no kind of model "{shortened(kind)}".'
        raise BadArgument(message, f"There are: {quoted(shortened(kind, 60) for kind in kinds)}.")
    return name


def _plain_kind(kind: str) -> str:
    """A kind for comparing, without case, spaces, dashes and underscores."""
    return simplified(kind.replace("-", "_"))


async def _models_of(server: ComfyUIServer, kind: str) -> list[str]:
    """All names of a kind; none where the server does not have the kind."""
    if kind in SAMPLING_KINDS:
        sampler = await server.define("KSampler")
        name = SAMPLING_KINDS[kind]
        if sampler is None or name not in sampler.inputs:
            return []
        return [str(choice) for choice in sampler.inputs[name].choices]
    if kind == "embeddings":
        return await server.names("/embeddings") or []
    folder = quote(kind, safe="")
    return await server.names(f"/models/{folder}") or []


def _first_models(models: Mapping[str, list[str]]) -> dict[str, Any]:
    """The answer that names models by their kinds, `MAX_NAMES` of each; "more" tells how many were cut off."""
    answer: dict[str, Any] = {}
    cut: dict[str, int] = {}
    for kind, names in models.items():
        answer[kind] = names[:MAX_NAMES]
        more = len(names) - MAX_NAMES
        if more > 0:
            cut[kind] = more
    if cut:
        answer["more"] = cut
    return answer


Lines = list[dict[str, str]]  # of workflows, as `look_into` gives them


def one_list(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What several servers list, as one answer.

        {"workflows": [{"name": "mine", "cannot run": "..."}]}  and  {"workflows": [{"name": "mine"}]}  ->  the latter
        {"loras": ["a", "b"]}                                   and  {"loras": ["b", "c"]}              ->  a, b and c
        {"installed": {"loras": 3}}                             and  {"installed": {"loras": 5}}        ->  5

    Of a workflow the line of the first server that can run it is taken. An answer that found nothing ("found": 0) only
    fills in what no other has, and that nothing was found is only said where no server found anything.
    """
    found_nothing = [answer for answer in answers if answer.get("found") == 0]
    found_some = [answer for answer in answers if answer not in found_nothing]
    merged: dict[str, Any] = {}
    for answer in [*found_some, *found_nothing]:
        for key, value in answer.items():
            if key == "workflows":
                merged[key] = _merged_lines(merged.get(key, []), value)
            elif key in merged:
                merged[key] = _merged_values(merged[key], value)
            else:
                merged[key] = value
    if found_some and merged.get("found") == 0:
        del merged["found"]
    return merged


def _merged_values(earlier: Any, value: Any) -> Any:
    """Two lists of names without duplicates, or the higher one of two counts for each name; of all else the first."""
    if isinstance(earlier, list) and isinstance(value, list):
        return list(dict.fromkeys([*earlier, *value]))
    if isinstance(earlier, dict) and isinstance(value, dict):
        highest = dict(earlier)
        for name, count in value.items():
            highest[name] = max(count, earlier.get(name, 0))
        return highest
    return earlier


def _merged_lines(lines: Lines, others: Lines) -> Lines:
    """The lines of two lists of workflows, one for each name: the first by which it can run, or the last."""
    by_name = {line["name"]: line for line in lines}
    for line in others:
        name = line["name"]
        if name not in by_name or "cannot run" in by_name[name]:
            by_name[name] = line
    return list(by_name.values())


# ======================================================================================================================
# src/comfyui_chat/run/__init__.py
#
# From a request to finished files: planning, running and following jobs.
#
# A request (what somebody wants) becomes a plan (prompts, ready to post), each prompt becomes a job on a server, and what
# the jobs saved becomes files; several servers are used as one. The modules follow one another so:
#
#     owner     whose jobs they are: the mark in each prompt, and what this process remembers of jobs
#     job       one prompt's life: `Job`, a pure reducer over events; how it stands, and how it ended
#     fleet     several servers used as one: limits, queues, and which server will be done soonest
#     follow    one prompt posted, and followed to its end or withdrawn
#     inputs    the files of a call put into the workflow's inputs
#     planning  a request bound to a workflow, as prompts within the nodes' ranges and the administrator's limits
#     limits    those limits, read off a finished graph
#     make      all of this in turn for one call; a job that its server lost is run once more
#     earlier   jobs of earlier calls found on the servers, and what they made brought
#
# Whoever watches a run is a `ProgressListener`: a message in Open WebUI, or a terminal. Nothing on this floor knows of
# chats.
# ======================================================================================================================


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/owner.py
#
# Whose jobs they are, and what this process remembers of jobs.
#
# Every prompt that is posted carries a mark in its `extra_data`, which ComfyUI keeps in its queue and its history and
# shows to everybody who may look there:
#
#     {"comfyui_tool": {"mark": "9f2c41d07be85a36c1f0d2e4b7a89356", "at": 1767225600.123456, "until": 1767229200.123,
#                       "workflow": "sdxl", "model": "sd_xl_base_1.0.safetensors", "seed": 7, "name": "a-red-fox-7"}}
#
# By it an `Owner` knows their jobs again, in every worker of Open WebUI and after a restart, without a database of its
# own; the other keys tell a later call what was run. Comfy Cloud shows no marks in its queue: a job's id is signed there
# instead (`Owner.job_id`).
#
# `JOBS` is memory of this process only: which jobs a call is about to bring, so that check_job does not store the same
# files a second time, which ones check_job took out, and whose failure it has told.
# ----------------------------------------------------------------------------------------------------------------------


MARK = "comfyui_tool"  # the key in `extra_data` under which our prompts carry their mark
MARK_LENGTH = 32  # hexadecimal digits


@dataclass(frozen=True)
class Owner:
    """Whose jobs they are. The mark of a prompt is a keyed digest of the user and the prompt id: it says nothing to
    others, and copied to another prompt it no longer fits."""

    user: str = ""
    key: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)
    alone: bool = False  # whether this is the only process that has calls

    def mark(self, prompt_id: str) -> str:
        """The mark of a prompt of this user: 32 hexadecimal digits."""
        return hmac.digest(self.key, f"{self.user}\n{prompt_id}".encode(errors="replace"), "sha256").hex()[:MARK_LENGTH]

    def owns(self, prompt: Prompt) -> bool:
        """Whether the prompt is this user's, by its mark."""
        mark = mark_of(prompt).get("mark")
        if not isinstance(mark, str) or len(mark) != MARK_LENGTH:  # most prompts have none
            return False
        return hmac.compare_digest(mark.encode(errors="replace"), self.mark(prompt.prompt_id).encode())

    def among(self, endpoint: Endpoint, queue: Queue) -> list[Prompt]:
        """This user's prompts in a queue, each id once: whoever posts a copy, with its id and its mark, adds none.
        Comfy Cloud's queue shows no marks, but only the account's own prompts, so there it is all of them."""
        if not endpoint.shows_marks:
            return list(queue.prompts)
        own: dict[str, Prompt] = {}
        for prompt in queue.prompts:
            if self.owns(prompt):
                own.setdefault(prompt.prompt_id, prompt)
        return list(own.values())

    def job_id(self, endpoint: Endpoint, prompt_id: str) -> str:
        """The name by which the user can ask for the job later: the prompt id, and where the server shows no mark, half
        of the mark as its signature: "<prompt id>.<16 hexadecimal digits>"."""
        if endpoint.shows_marks:
            return prompt_id
        return f"{prompt_id}.{self.mark(prompt_id)[:16]}"


def mark_of(prompt: Prompt) -> Mapping[str, Any]:
    """What a prompt's mark says, with all its keys; empty for a prompt that is not ours."""
    return object_of(prompt.extra_data.get(MARK))


def marked_time(prompt: Prompt, what: str) -> float:
    """A time in a prompt's mark, in seconds since 1970: when it was posted ("at"), or when its call stops waiting for
    it ("until"). 0 where the mark does not tell."""
    at = mark_of(prompt).get(what)
    if isinstance(at, (int, float)) and abs(at) < 1e12:
        return float(at)
    return 0.0


# What this process remembers of jobs.


REMEMBERED_JOBS = 1000  # in each of the memories below
OTHERS_SECONDS = 60.0  # after a job's end, when no other process can still be about to bring it


class JobMemory:
    """What this process remembers of jobs, by their prompt ids.

    A call that makes or brings files runs inside `attending`: `attend` says that it brings a job's files, `leave` that
    nobody does any more, and `attended` is asked before anybody else takes them. The oldest jobs are forgotten beyond
    `REMEMBERED_JOBS`, but none that is still attended to.
    """

    def __init__(self) -> None:
        # True while a call is going to bring the job's files, False once none is. It hangs on a module of its own, for
        # it has to outlive the tool's being loaded anew, as the calls under way do; and it is a plain dictionary, since
        # an object of a class would keep all of the older tool in memory.
        shared = sys.modules.setdefault("comfyui_tool_jobs", ModuleType("comfyui_tool_jobs"))
        self._attended: dict[str, bool] = vars(shared).setdefault("attended", {})
        self._own_call: ContextVar[set[str] | None] = ContextVar("own_call", default=None)  # what this call attends to
        self._calls: dict[Owner, list[set[str]]] = {}  # what each call under way attends to, in the order they began
        self._cancelled = BoundedDict[str, bool](REMEMBERED_JOBS)  # by the ids of the jobs
        self._told = BoundedDict[str, bool](REMEMBERED_JOBS)

    @contextlib.contextmanager
    def attending(self, owner: Owner | None = None) -> Iterator[None]:
        """A call that makes or brings files and stores them. Until it ends its jobs are attended to, so that nobody
        else stores the same files; and with an `owner` it is one of the calls that they have under way."""
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
        """The calls that this user had under way in this process when the one that asks began: what each attends to."""
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
        """No call of this process brings the job's files any more. That it once did is remembered."""
        self._attended.pop(prompt_id, None)  # so that it is the newest when it is set again
        self._attended[prompt_id] = False
        forget_oldest(self._attended, REMEMBERED_JOBS, is_needed=bool)

    def attended(self, prompt_id: str) -> bool | None:
        """Whether a call of this process is going to bring the job's files; None where none ever was."""
        return self._attended.get(prompt_id)

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

    Of calls in this process `JOBS` tells. Of those in others the mark and the clocks do, roughly: such a call has left
    when its wait is over, and is done at most `OTHERS_SECONDS` after the job's end.
    """
    attended = JOBS.attended(prompt.prompt_id)
    if attended is not None:
        return attended
    if owner.alone or marked_time(prompt, "until") < time.time():
        return False
    return prompt.ended is None or abs(time.time() - prompt.ended) < OTHERS_SECONDS


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/job.py
#
# One prompt's life from post to end: a `Job`, and what each event makes of it.
#
# `Job.posted` begins one, and `advance` makes its next state out of every event that the websocket or a look-up brings
# (server/protocol.py). Nothing here does any I/O or looks at a clock:
#
#     job = Job.posted("0c6d...", graph)
#     for event in (Waiting(2), Started(), Executing("3"), Progress({"3": (4.0, 20.0, False)})):
#         job = advance(job, event, now)
#     describe(job, now)  ->  ("running", "18 %")
#
# `describe` is where the queue position is told ("Waiting, 2 ahead"), and the percentage and the time left after it;
# webui/display.py shows them in the chat.
#
# `Job.lost` decides that a job is lost: two look-ups in a row found it neither in the queue nor in the history. Where the
# server may have been restarted meanwhile (`Job.away`) that is `JobLost`, and it is run again; else somebody took it out
# of the queue. `judge` says how a job ended: it gives back one that ended well, and for any other raises the error:
# `JobLost`, `RunInterrupted`, or what the node that failed reported.
#
# Frames may be missing, and the history entry (`Recorded`) overrules them all. A node's error is only remembered until
# then: a node that blocks its own branch reports one too, and the run goes on. Events and their order are those recorded
# from ComfyUI 0.3.64 and 0.33.0.
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One prompt's life, as far as it is known. `advance` makes the next state."""

    prompt_id: str
    weights: Mapping[str, float]  # node id -> its share of the work (`_weight`)
    complete: bool = True  # whether no frame can have been missed
    away: bool = False  # whether the server may have been restarted since it was last known to have the prompt
    seen: float = 0.0  # when that was
    taken: bool = True  # whether the server is known to have had the prompt
    ahead: int | None = None  # prompts before it in the queue, while it waits; None when that is not known
    started: bool = False
    sampling: bool = False  # whether some node has counted steps
    succeeded: bool = False  # whether all nodes are done
    ended: bool = False  # whether the server is done with it, in whatever way
    cached: frozenset[str] = frozenset()  # nodes that are not run, since their results are there from before
    nodes: Mapping[str, tuple[float, float, bool]] = field(default_factory=dict)  # id -> (value, most, finished)
    current: str | None = None  # the node that runs
    fraction: float = 0.0  # of the work that is done, 0 to 1; it never falls
    first_step: tuple[float, float] | None = None  # (time, fraction) of the first sampling step
    began: float | None = None  # when it was first seen to run
    outputs: tuple[Output, ...] = ()
    sent: tuple[SentPicture, ...] = ()  # pictures that came over the websocket alone
    failure: Failed | None = None  # the last error that a node reported
    interrupted: bool = False
    recorded: bool = False  # whether outputs and end are those of the history entry
    absent: int = 0  # look-ups in a row that found it nowhere
    silent_since: float | None = None  # when look-ups began to fail
    refused_since: float | None = None  # when they began to find no connection

    @classmethod
    def posted(cls, prompt_id: str, graph: Graph) -> "Job":
        """The job of a prompt that was just posted."""
        weights = {node_id: _weight(node.get("inputs") or {}) for node_id, node in graph.items()}
        return cls(prompt_id, weights)

    @property
    def good(self) -> bool:
        """Whether all nodes are done and there is something to show, whatever look-ups say afterwards."""
        return self.succeeded and bool(self.outputs or self.sent)

    @property
    def lost(self) -> bool:
        """Whether the job is lost: two look-ups in a row found it neither in the queue nor in the history."""
        return self.absent >= 2

    def seconds_left(self, now: float) -> float | None:
        """Seconds that it will still take at the pace since the first sampling step; None while that is not known."""
        if self.first_step is None:
            return None
        begun, fraction = self.first_step
        if self.fraction <= fraction or now <= begun:
            return None
        return (1 - self.fraction) * (now - begun) / (self.fraction - fraction)


def advance(job: Job, event: Event, now: float) -> Job:
    """The job after an event; `now` is in seconds of any clock that never goes back.

    Whatever is heard of the job ends a silence, and whatever but `Absent` shows that the server has it. `away` is set
    by whatever may hide a restart; only whoever knows of the websocket can tell that there was none (run/follow.py).
    """
    if isinstance(event, Absent):
        job = replace(job, silent_since=None, refused_since=None)
    elif not isinstance(event, (Silence, QueueMoved, Gap)):
        job = replace(job, silent_since=None, refused_since=None, absent=0, taken=True, seen=now)
    if isinstance(event, (Recorded, Absent, Silence, Gap)):
        job = _after_look_up(job, event, now)
    else:
        job = _after_frame(job, event, now)
    if job.started and job.began is None:
        return replace(job, began=now)
    return job


def _after_frame(job: Job, event: Event, now: float) -> Job:
    """The job after what the websocket tells; a look-up may tell of `Waiting` and `Started` as well."""
    if isinstance(event, Waiting) and not job.started:
        return replace(job, ahead=event.ahead)
    if isinstance(event, Started):
        return replace(job, started=True, ahead=None)
    if isinstance(event, Cached):
        return replace(job, started=True, ahead=None, cached=event.nodes)
    if isinstance(event, Executing):
        return _executing(job, event.node_id, now)
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
    return job


def _after_look_up(job: Job, event: Event, now: float) -> Job:
    """The job after what a look-up found, or where frames may have been missed."""
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
        return _silent(job, event.refused, now)
    return replace(job, complete=False, away=True)


def _silent(job: Job, refused: bool, now: float) -> Job:
    """The job after a look-up that failed; `refused` where no connection could be made."""
    silent_since, refused_since = job.silent_since, job.refused_since
    if silent_since is None:
        silent_since = now
    if not refused:
        refused_since = None
    elif refused_since is None:
        refused_since = now
    return replace(job, away=True, silent_since=silent_since, refused_since=refused_since)


NOT_BEGUN = (0.0, 1.0, False)  # the value, the most and the end of a node of which nothing was heard


def _executing(job: Job, node_id: str, now: float) -> Job:
    """The job when a node begins, which ends the one before it."""
    finished = {}
    if job.current is not None and job.current != node_id:
        _, most, _ = job.nodes.get(job.current, NOT_BEGUN)
        finished[job.current] = (most, most, True)
    return _moved(replace(job, current=node_id), finished, now)


def _moved(job: Job, news: Mapping[str, tuple[float, float, bool]], now: float) -> Job:
    """The job after news of its nodes, in the form of `Progress`. Its fraction is the share of the work that is done,
    of the nodes that are not cached, and never falls."""
    nodes = {**job.nodes, **news}
    fraction = max(job.fraction, _work_done(job, nodes))
    sampling = job.sampling or any(value and most > 1 for value, most, _ in nodes.values())
    first_step = job.first_step
    if sampling and first_step is None:
        first_step = (now, fraction)
    return replace(
        job, started=True, ahead=None, nodes=nodes, fraction=fraction, sampling=sampling, first_step=first_step
    )


def _work_done(job: Job, nodes: Mapping[str, tuple[float, float, bool]]) -> float:
    """The share of the work that is done, 0 to 1, with these nodes as far as they are."""
    done = total = 0.0
    for node_id, weight in job.weights.items():
        if node_id in job.cached:
            continue
        value, most, finished = nodes.get(node_id, NOT_BEGUN)
        done += weight * _part_done(value, most, finished)
        total += weight
    return done / (total or 1.0)


def _part_done(value: float, most: float, finished: bool) -> float:
    """How much of a node's work is done, 0 to 1."""
    if finished:
        return 1.0
    if most <= 0:
        return 0.0
    return min(value / most, 1.0)


def _weight(inputs: Mapping[str, Any]) -> float:
    """A node's share of the work: a sampler counts as many as it has steps, any other node 1."""
    steps = inputs.get("steps")
    sampler = any(name in inputs for name in SEED_INPUTS)
    if sampler and isinstance(steps, (int, float)) and steps > 1:
        return float(steps)
    return 1.0


# What is said of a job: while it is under way to the user, and at its end to whoever waits for it.


def describe(job: Job, now: float) -> tuple[str, str]:
    """The job's phase, and what the user reads about it. This is where the queue position is told.

        ("connecting", "Sent to ComfyUI")       its place in the queue is not known yet
        ("waiting", "Waiting, 2 ahead")         so many prompts come before it, the running one counted
        ("waiting", "Waiting, next in line")
        ("loading", "Loading the model")        it runs, and no node has counted a step yet
        ("running", "18 % · 40 s left")

    The percentage stops at 99 until the job has ended.
    """
    if not job.started:
        if job.ahead is None:
            return "connecting", "Sent to ComfyUI"
        if job.ahead == 0:
            return "waiting", "Waiting, next in line"
        return "waiting", f"Waiting, {job.ahead} ahead"
    if not job.sampling:
        if job.complete or job.nodes:
            return "loading", "Loading the model"
        return "loading", "Running"  # without a websocket nobody can tell the two apart
    text = f"{100 * min(job.fraction, 0.99):.0f} %"
    left = job.seconds_left(now)
    if left is not None:
        text += f" · {duration(max(left, 1))} left"
    return "running", text


def judge(job: Job, graph: Graph) -> Job:
    """The job, when it ended well; for any other this raises the error.

    Of a lost job: `RunInterrupted` when somebody took it out of the queue, that is when its server had it and cannot
    have been restarted since, or check_job cancelled it; else `JobLost`, which also tells whether the post ever
    arrived. Of one that ended badly: `RunInterrupted`, the error of the node that failed (`run_error`), or `RunFailed`
    without a reason.
    """
    if job.lost and not job.good:
        raise _lost_error(job)
    if job.interrupted:
        raise RunInterrupted("The run was stopped on the ComfyUI server.")
    # A node that only blocks its branch reports an error too, and the run goes on to a good end.
    if job.failure and not job.good:
        raise run_error(job.failure, graph)
    if job.recorded and not job.succeeded:
        raise RunFailed("ComfyUI says that the run failed, and gives no reason; its log has one.")
    return job


def _lost_error(job: Job) -> JobLost | RunInterrupted:
    if not job.taken:
        return JobLost("ComfyUI does not know the job: its post never arrived.", False)
    if not job.away or JOBS.cancelled(job.prompt_id):
        return RunInterrupted("The job was taken out of the queue on the ComfyUI server.")
    return JobLost("ComfyUI no longer knows the job: it was restarted, or the job was deleted there.", True)


def run_error(failure: Failed, graph: Graph) -> RunFailed | PaymentRequired:
    """The error of the node that failed, by its title and reason. Its inputs and stack trace, which may hold prompts
    and paths, stay on the server."""
    lines = failure.message.splitlines()
    text = lines[0] if lines else ""
    kind = failure.exception_type.rsplit(".", 1)[-1]
    where = node_title(graph, failure.node_id)
    if kind in UNPAID:
        return PaymentRequired(f"Comfy Cloud stopped the run: {shortened(text or kind, 300)}")
    says_so = "out of memory" in failure.message.lower()
    if says_so or "OutOfMemory" in kind or kind == "OOMError":
        return OutOfMemory(f"The graphics card ran out of memory in {where}.")
    return NodeFailed(f"{where} failed: {shortened(text or kind or 'no reason given', 300)}")


def missed_pictures(job: Job, graph: Graph) -> tuple[str, ...]:
    """A note, or none: how many of the pictures that are sent over the websocket alone did not arrive. The nodes' own
    progress told how many there would be."""
    sent = 0
    for node_id, node in graph.items():
        if node["class_type"] == "SaveImageWebsocket":
            _, pictures, _ = job.nodes.get(node_id, (0.0, 0.0, False))
            if 0 < pictures < 10_000:
                sent += int(pictures)
    missing = sent - len(job.sent)
    if missing <= 0:
        return ()
    return (f"{missing} of {sent} pictures were missed: the connection was down when they were sent",)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/fleet.py
#
# Several ComfyUI servers used as one: which takes a run, and how much a user may post.
#
# A `Fleet` is the servers of one call with the rules for them: the administrator's `Limits`, the `Owner` of the jobs, and
# `Timing`, which says how long to wait for what. In the order of a call:
#
# - `admission` lets a call in, before any file of the user is read, if they may have one more.
# - `found` settles, where the address was only guessed, which of the guesses answers.
# - `in_order` asks all queues at once (`survey`, which makes a `QueueSnapshot` of each server) and sorts the servers by
#   when the run would be done there. It refuses what is over a limit already.
# - `admit` counts once more after the post: somebody may have posted elsewhere at the same moment.
#
# `statuses` is what comfyui_status tells. `everywhere` asks every server the same, for lists. Whatever one server sends,
# or does not send, spoils no other's answer: all are asked through `ask_one`.
#
# All that several workers have to agree on is read from the servers' own queues: there is no other record of who has how
# many jobs. A server's pace and faults (server/record.py) are what this process alone has seen of it.
# ----------------------------------------------------------------------------------------------------------------------


SHARED_SECONDS = 0.1  # how old a look at a queue may be that jobs share with one another
USUAL_PACE = 10.0  # seconds of a run, where no server has a measured pace


@dataclass(frozen=True)
class Timing:
    """How long to wait for what, in seconds."""

    first: float = 0.3  # from the post to the first look-up, for the place in the queue
    look_up: float = 5.0  # without a frame of the job, until it is looked up
    longest: float = 30.0  # between two look-ups at most; they grow apart up to this
    polling: float = 1.0  # between look-ups while there is no websocket; grows to `look_up`
    settle: float = 1.0  # from the last good frame to the history entry, and between two look-ups that find nothing
    gone: float = 60.0  # without a connection, until the server is given up and its job with it


@dataclass(frozen=True)
class Limits:
    """What the administrator allows for one call."""

    count: int = 4  # pictures in one call
    steps: int = 100
    megapixels: float = 4.2  # of a picture
    upscaled_megapixels: float = 34.0  # of an enlarged one
    video_seconds: float = 30.0
    wait_seconds: float = 3600.0  # then the call ends, and the job goes on
    jobs: int = 0  # of one user at once, on all servers together; 0 for any number
    queue: int = 0  # prompts; a queue of so many is not joined; 0 for any number

    @property
    def need_queues(self) -> bool:
        """Whether it takes a look at the queues to keep them."""
        return bool(self.jobs or self.queue)


@dataclass(frozen=True)
class QueueSnapshot:
    """What was seen of a server when the queues were asked: its queue, or why it cannot be used."""

    endpoint: Endpoint
    record: Record
    queue: Queue = Queue((), ())
    error: ComfyUIError | None = None

    def seconds_until_done(self, workflow: str, usual: float) -> float:
        """In how many seconds a run of the workflow would be done here, its wait in the queue counted, at the pace that
        was measured; `usual` is the pace where none was."""
        pace = self.record.pace() or usual
        runs_before = len(self.queue) + self.record.coming
        own_seconds = self.record.pace(workflow) or pace
        return runs_before * pace + own_seconds


@dataclass(frozen=True)
class ServerStatus:
    """How a server stands at the moment, for comfyui_status. `error` says why it could not be asked."""

    endpoint: Endpoint
    record: Record
    stats: Stats | None = None
    queue: Queue | None = None
    mine: int = 0  # jobs in its queue that are the caller's
    error: ComfyUIError | None = None

    @property
    def health(self) -> str:
        """In a word or two: "ready", "busy", "unreachable", the code of another error ("access refused"), or "resting"
        while no runs are sent there since it failed."""
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
    """The servers of a call, used as one, and the rules for them."""

    endpoints: tuple[Endpoint, ...]  # in the administrator's order
    limits: Limits = Limits()
    owner: Owner = field(default_factory=Owner)
    timing: Timing = Timing()
    others: tuple[Endpoint, ...] = ()  # get no runs now, but the user's jobs there count and are found

    @property
    def known(self) -> tuple[Endpoint, ...]:
        """All servers on which the user may have jobs, those included that take none now."""
        return (*self.endpoints, *self.others)

    async def found(self) -> "Fleet":
        """The fleet with its address settled: of guesses at where the one server may be, only the first stays at which
        a ComfyUI answers. Any other fleet is the same as before.

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

    @contextlib.asynccontextmanager
    async def admission(self) -> AsyncIterator["Fleet"]:
        """A call that makes something, from before anything of it is read until what it made is stored; gives out the
        fleet as it is `found`. Raises `LimitExceeded` when the user has as many jobs as allowed, and as `found` does.

        The calls that they have under way in this process count, whether or not their jobs are posted yet, and the jobs
        in the queues that are none of theirs. Of calls at the same moment those that began first are let in.
        """
        with JOBS.attending(self.owner):
            fleet = self
            if self.limits.jobs:
                fleet = await self._with_room_for_call()
            yield fleet

    async def _with_room_for_call(self) -> "Fleet":
        """The fleet as it is `found`, with room for this call. Raises `LimitExceeded`."""
        calls = JOBS.calls_before(self.owner)
        if len(calls) >= self.limits.jobs:
            raise self._too_many([], len(calls))
        fleet = await self.found()
        snapshots = await fleet.survey()
        posted_here = set[str]().union(*calls)  # also by calls that have ended meanwhile
        calls = JOBS.calls_before(self.owner)
        posted_here = posted_here.union(*calls)
        jobs = [job for job in self._marked_jobs(snapshots) if job[1].prompt_id not in posted_here]
        if len(calls) + len(jobs) >= self.limits.jobs:
            raise self._too_many(jobs, len(calls))
        return fleet

    async def in_order(self, workflow: str, gone: Collection[Endpoint] = ()) -> list[Endpoint]:
        """The servers to try for a run of the workflow of this name ("" for any): the one that will be done soonest
        first, those that rest last, none of those that are `gone`. One server without limits is not asked anything.

        Raises `LimitExceeded` when the user has as many jobs as allowed, or all queues are as long as allowed, and
        `ServerError` when none can be asked.
        """
        endpoints = [endpoint for endpoint in self.endpoints if endpoint not in gone]
        if len(self.endpoints) == 1 and not self.limits.need_queues:
            return endpoints
        snapshots = await self.survey()
        able, resting = _able_and_resting(endpoints, snapshots)
        if not able and not resting:
            raise self.none_answers([snapshot.error for snapshot in snapshots if snapshot.error])
        if self.limits.jobs:
            able = self._with_room(snapshots, able)
        usual = self._usual_pace(able)
        joined = self._short_enough(able, usual)
        joined.sort(key=lambda one: one.seconds_until_done(workflow, usual))  # a tie keeps the administrator's order
        return [*(snapshot.endpoint for snapshot in joined), *resting]

    async def survey(self, also: Endpoint | None = None) -> list[QueueSnapshot]:
        """The queues of all servers, asked at the same time; those of `others` only where the number of jobs is
        limited.

        A server that rests because it did not answer is left out, unless it is `also`, or there would be none left of
        the call's own.
        """
        asked: list[Endpoint] = []
        wanted = self.known if self.limits.jobs else self.endpoints
        for endpoint in wanted:
            record = Pool.here().server(endpoint).record
            is_silent = record.resting and record.silent
            if endpoint == also or not is_silent:
                asked.append(endpoint)
        if not set(asked) & set(self.endpoints):
            asked = [*self.endpoints, *asked]
        since = time.monotonic()
        return await gather(len(asked), [functools.partial(self._look, endpoint, since) for endpoint in asked])

    @staticmethod
    async def _look(endpoint: Endpoint, since: float) -> QueueSnapshot:
        """The server's queue as it was at `since` or later. One that does not answer is left to rest."""
        record = Pool.here().server(endpoint).record
        queue = await ask_one(endpoint, lambda server: server.queue_soon(since))
        if isinstance(queue, ComfyUIError):
            record.rest(queue.message, silent=True)
            return QueueSnapshot(endpoint, record, error=queue)
        if record.silent:
            record.recover()
        return QueueSnapshot(endpoint, record, queue)

    def _with_room(self, snapshots: Sequence[QueueSnapshot], able: Sequence[QueueSnapshot]) -> list[QueueSnapshot]:
        """The servers of `able` on which the user may have one job more. An account of Comfy Cloud is full by itself:
        whose jobs it has is not told, so all of them count there and none elsewhere. Raises `LimitExceeded`."""
        jobs = self._marked_jobs(snapshots)
        full: list[QueueSnapshot] = []
        for snapshot in able:
            if not snapshot.endpoint.shows_marks and len(jobs) + len(snapshot.queue) >= self.limits.jobs:
                full.append(snapshot)
        none_left = bool(full) and len(full) == len(able)
        if len(jobs) >= self.limits.jobs or none_left:
            for snapshot in full[:1]:
                jobs += [(snapshot, prompt) for prompt in snapshot.queue.prompts]
            raise self._too_many(jobs)
        return [snapshot for snapshot in able if snapshot not in full]

    def _marked_jobs(self, snapshots: Sequence[QueueSnapshot]) -> list[tuple[QueueSnapshot, Prompt]]:
        """The user's jobs in all queues that show whose they are, each id once."""
        jobs: dict[str, tuple[QueueSnapshot, Prompt]] = {}
        for snapshot in snapshots:
            if snapshot.endpoint.shows_marks:
                for prompt in self._own(snapshot):
                    jobs.setdefault(prompt.prompt_id, (snapshot, prompt))
        return list(jobs.values())

    def _short_enough(self, able: Sequence[QueueSnapshot], usual: float) -> list[QueueSnapshot]:
        """The servers whose queues are short enough to be joined. Raises `LimitExceeded` where none is."""
        if not self.limits.queue:
            return list(able)
        short = [snapshot for snapshot in able if len(snapshot.queue) < self.limits.queue]
        if able and not short:
            shortest = min(able, key=lambda snapshot: len(snapshot.queue))
            raise self._too_long(shortest, len(shortest.queue), usual)
        return short

    def _own(self, snapshot: QueueSnapshot) -> list[Prompt]:
        """The user's jobs in the queue that was seen."""
        return self.owner.among(snapshot.endpoint, snapshot.queue)

    async def admit(self, endpoint: Endpoint, prompt_id: str, posted: float) -> None:
        """Count again after a post, since others may have posted at the same time. The later one over a limit raises
        `LimitExceeded`, and its prompt has to be withdrawn. Without a limit nothing is asked.

        `posted` is when the prompt was posted, in seconds since 1970, as its mark tells. On one server the order of
        posts is that of the server's own numbers, between servers that of the times in the marks. It has to be one or
        the other for all jobs, else each of three might find another one before it.

        On one server the limit holds exactly. Of two jobs posted on different servers at the same moment, the one with
        the earlier mark may come into sight only after the other one has looked; then both go on. One job too many is
        no harm, and nobody looks again.
        """
        if not self.limits.need_queues:
            return
        snapshots = {snapshot.endpoint: snapshot for snapshot in await self.survey(endpoint) if not snapshot.error}
        here = snapshots.get(endpoint)
        if here is None:  # nobody can say
            return
        posted_job = here.queue.prompt(prompt_id)
        if posted_job is None:  # done already
            return
        ahead = _ahead(posted_job)
        if self.limits.queue and ahead >= self.limits.queue:
            raise self._too_long(here, ahead, self._usual_pace(snapshots.values()))
        if self.limits.jobs:
            earlier = self._earlier(posted_job, posted, here, snapshots.values())
            if len(earlier) >= self.limits.jobs:
                raise self._too_many(earlier)

    def _earlier(
        self, job: Prompt, posted: float, here: QueueSnapshot, snapshots: Iterable[QueueSnapshot]
    ) -> list[tuple[QueueSnapshot, Prompt]]:
        """The user's jobs that come before one that was `posted` at this time and is in the queue of `here`."""
        by_number = len(self.known) == 1 or not here.endpoint.shows_marks
        earlier: dict[str, tuple[QueueSnapshot, Prompt]] = {}
        for snapshot in snapshots:
            if not snapshot.endpoint.shows_marks and snapshot is not here:
                continue
            for other in self._own(snapshot):
                if by_number and snapshot is here:
                    comes_before = other.number < job.number
                else:
                    comes_before = (marked_time(other, "at"), other.prompt_id) < (posted, job.prompt_id)
                if comes_before and other.prompt_id != job.prompt_id:
                    earlier.setdefault(other.prompt_id, (snapshot, other))
        return list(earlier.values())

    def none_answers(self, errors: Sequence[ComfyUIError]) -> ComfyUIError:
        """The error of a fleet of which no server can be used: the only one there is, else that of a server which wants
        other credentials, else one that names all that were tried."""
        for error in errors:
            if len(errors) == 1 or isinstance(error, AccessRefused):
                return error
        tried = ", ".join(endpoint.url for endpoint in self.endpoints)
        return ServerUnreachable(
            "No ComfyUI answers.",
            'ComfyUI has to be started, or the valve "ComfyUI address" of this tool set by the administrator.',
        ).at(f"Tried: {tried}.")

    def _too_many(self, jobs: Sequence[tuple[QueueSnapshot, Prompt]], calls: int = 0) -> LimitExceeded:
        """The error of a user who has these jobs and calls already, and when the first of the jobs will be done."""
        seconds_left = []
        for snapshot, prompt in jobs:
            pace = snapshot.record.pace()
            if pace:
                runs = _ahead(prompt) + 1
                seconds_left.append(runs * pace)
        when = "later"
        if seconds_left:
            when = f"in about {duration(max(min(seconds_left), 1))}"
        count = len(jobs) + calls
        has = "1 job" if count == 1 else f"{count} jobs"
        where = "under way" if calls else "in the queue"
        return LimitExceeded(
            f"The user has {has} {where} already, and the administrator allows {self.limits.jobs} at once.",
            f"Try again {when}, when one is done; check_job tells how they stand.",
        )

    def _too_long(self, snapshot: QueueSnapshot, count: int, usual: float) -> LimitExceeded:
        """The error of a queue that already has `count` jobs, and when there will be room in it."""
        runs = count - self.limits.queue + 1
        seconds = runs * (snapshot.record.pace() or usual)
        return LimitExceeded(
            f"{count} jobs wait in the queue, and the administrator allows joining one of fewer than "
            f"{self.limits.queue}.",
            f"Try again in about {duration(max(seconds, 1))}.",
        )

    @staticmethod
    def _usual_pace(snapshots: Iterable[QueueSnapshot]) -> float:
        """Seconds of a run on average over the servers where that was measured, else `USUAL_PACE`."""
        paces = [snapshot.record.pace() for snapshot in snapshots]
        measured = [pace for pace in paces if pace]
        if not measured:
            return USUAL_PACE
        return sum(measured) / len(measured)

    async def statuses(self) -> list[ServerStatus]:
        """How all servers stand, also those that rest, in the administrator's order; asked at the same time and each
        within `PROBE_SECONDS`. Of guesses at where the one server may be, only the first at which a ComfyUI answers, if
        any does."""
        looks = [functools.partial(self._status_of, endpoint) for endpoint in self.endpoints]
        statuses = await gather(len(looks), looks)
        answering = [status for status in statuses if not status.error]
        if answering and all(endpoint.guessed for endpoint in self.endpoints):
            return answering[:1]
        return statuses

    async def _status_of(self, endpoint: Endpoint) -> ServerStatus:
        status = ServerStatus(endpoint, Pool.here().server(endpoint).record)

        async def look(server: ComfyUIServer) -> None:
            nonlocal status
            status = replace(status, stats=await server.stats())
            queue = await server.queue(time.monotonic())
            status = replace(status, queue=queue, mine=len(self.owner.among(endpoint, queue)))

        error = await ask_one(endpoint, look, PROBE_SECONDS)
        return replace(status, error=error)


def _able_and_resting(
    endpoints: Sequence[Endpoint], snapshots: Sequence[QueueSnapshot]
) -> tuple[list[QueueSnapshot], list[Endpoint]]:
    """Those of the servers that answered and can take a run, and those that rest; one that was not asked rests, too."""
    asked = {snapshot.endpoint: snapshot for snapshot in snapshots}
    able: list[QueueSnapshot] = []
    resting: list[Endpoint] = []
    for endpoint in endpoints:
        snapshot = asked.get(endpoint)
        if snapshot is None:
            resting.append(endpoint)
        elif snapshot.error is None:
            if snapshot.record.resting:
                resting.append(endpoint)
            else:
                able.append(snapshot)
    return able, resting


def _ahead(prompt: Prompt) -> int:
    """How many prompts come before it in its queue."""
    if isinstance(prompt.state, Waiting):
        return prompt.state.ahead
    return 0


async def ask_one(
    endpoint: Endpoint, ask: Callable[[ComfyUIServer], Awaitable[T]], seconds: float = ANSWER_SECONDS
) -> T | ComfyUIError:
    """What one server of several answers within so many seconds, or why it does not. What nobody foresaw in its answer
    is an error of this server alone."""
    try:
        async with open_server(endpoint) as server, asyncio.timeout(seconds):
            return await ask(server)
    except ComfyUIError as error:
        return error
    except TimeoutError as error:
        return no_answer(endpoint.name, error, seconds).at(endpoint.place)
    except Exception:
        log.exception("an answer of %s cannot be read", endpoint.name)
        return UnexpectedAnswer(f"An answer of {endpoint.name} cannot be read.").at(endpoint.place)


async def ask_each(
    endpoints: Sequence[Endpoint], ask: Callable[[ComfyUIServer], Awaitable[T]], seconds: float = ANSWER_SECONDS
) -> list[tuple[Endpoint, T | ComfyUIError]]:
    """What each of several servers answers within so many seconds, all asked at once, or why it does not."""
    questions = [functools.partial(ask_one, endpoint, ask, seconds) for endpoint in endpoints]
    return list(zip(endpoints, await gather(len(questions), questions), strict=True))


async def everywhere(
    endpoints: Sequence[Endpoint], ask: Callable[[ComfyUIServer], Awaitable[T]]
) -> tuple[list[T], list[str]]:
    """The answers of all servers that can give one, in the administrator's order, and the names of those that do not
    answer as a ComfyUI does. When none can, raises the first refusal that is about the question itself, else as
    `Fleet.none_answers`."""
    fleet = await Fleet(tuple(endpoints)).found()

    async def ask_soon(server: ComfyUIServer) -> T:
        if len(fleet.endpoints) > 1:
            await server.queue_soon(time.monotonic() - SHARED_SECONDS)  # one that hangs holds nobody up
        return await ask(server)

    answers: list[T] = []
    left_out: list[str] = []
    refusals: list[ComfyUIError] = []
    server_errors: list[ServerError] = []
    for endpoint, result in await ask_each(fleet.endpoints, ask_soon):
        if isinstance(result, ServerError):
            server_errors.append(result)
            left_out.append(endpoint.name)
        elif isinstance(result, ComfyUIError):
            refusals.append(result)
        else:
            answers.append(result)
    if answers:
        return answers, left_out
    if refusals:
        raise refusals[0]
    raise fleet.none_answers(server_errors)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/follow.py
#
# Posts one prompt and follows it to its end.
#
# `follow` is the way of a call's own prompt: listen to the websocket, post, have `Fleet.admit` count the user's jobs,
# `watch`, and `judge` how it ended (run/job.py). Jobs that an earlier call posted are only watched (run/earlier.py).
#
# `watch` feeds a `Job` out of one line of events in which frames and look-ups take turns. The websocket tells early, and
# may drop, hang or be refused by a proxy; ComfyUI's queue and history are the truth, and `LookUps` asks them. So
# everything works, only later, without a websocket. When frames come and the history entry is written is recorded from
# ComfyUI 0.3.64 and 0.33.0.
#
# A job that is found nowhere was lost in a restart, and is run again; or somebody took it out of the queue, and it is
# not. There was no restart where the websocket has been open all the time, since the post or since before a look-up that
# found the job; nor where the server still knows another prompt that it had when the job was last seen
# (`has_run_since`). A job that waits has another one before it, so that is mostly known.
#
# A call ends in exactly one of these ways: the ended job, a named error, a cancellation, or `StillRunning` with its id.
# After an error or a Stop nobody would collect the result, so the job is withdrawn from its server, with patience where
# that does not answer. The end of the longest wait, and of Open WebUI itself, leave it at work for check_job to bring.
# ----------------------------------------------------------------------------------------------------------------------


class ProgressListener(Protocol):
    """Whoever watches a run: a message in a chat, or a terminal. Both methods return at once and never raise."""

    def status(self, phase: str, text: str, fraction: float | None = None) -> None:
        """What happens now: the phase (of `describe`, or another word), its text, and the share of the work that is
        done, 0 to 1."""

    def preview(self, data: bytes) -> None:
        """The picture so far: the bytes of a JPEG or PNG."""


WITHDRAW_PAUSES = (0.0, 2.0, 5.0, 10.0, 20.0, 30.0, *(60.0,) * 58)  # seconds before each try; an hour in all
STILL_AT_WORK = "ComfyUI could not be told and may still be at work."  # a note of an error or a Stop
GOES_ON = "Open WebUI was shut down; the job goes on in ComfyUI, and check_job brings it"


async def follow(
    server: ComfyUIServer,
    fleet: Fleet,
    graph: Graph,
    listener: ProgressListener,
    *,
    wait: float,
    part: str = "",
    previews: bool = True,
    about: Mapping[str, Any] | None = None,
    posted: Callable[[], None] | None = None,
) -> tuple[Job, tuple[str, ...]]:
    """Post a prompt and follow it to its end; returns the ended job, and notes on outputs that the server left out.

    `wait` is in seconds, `part` stands before every text ("2 of 4 · "), `about` is what the mark tells a later call of
    the run, and `posted` is called once the server's queue shows the prompt.

    Raises `ServerError`, `WorkflowRefused`, `RunFailed` and their kin, `LimitExceeded`, and `StillRunning` when the
    wait is over. When it is cancelled, or fails, the job is first withdrawn from the server; the error carries a note
    when that failed. Only the end of the wait, or of Open WebUI itself, leaves the job at work.
    """
    about = about or {}
    prompt_id = str(uuid.uuid4())
    at = round(time.time(), 6)  # as the mark tells it, so that all compare the same
    mark = {"mark": fleet.owner.mark(prompt_id), "at": at, "until": round(at + wait, 3), **about}
    extra_data = {"preview_method": "auto" if previews else "none", MARK: mark}
    on_preview = listener.preview if previews else ignore_preview
    async with server.connection.listen(prompt_id, picture_nodes(graph), on_preview) as subscription:
        JOBS.attend(prompt_id)
        posting = asyncio.create_task(server.submit(prompt_id, graph, extra_data))
        try:
            accepted = await asyncio.shield(posting)
            server.record.runs += 1
            server.connection.rename(prompt_id, accepted.prompt_id)
            JOBS.leave(prompt_id)
            JOBS.attend(accepted.prompt_id)
            prompt_id = accepted.prompt_id
            is_heard = subscription.connected
            job = Job.posted(prompt_id, graph)
            job = replace(job, complete=is_heard, away=not is_heard, taken=accepted.certain, seen=time.monotonic())
            await fleet.admit(server.endpoint, prompt_id, at)
            if posted:
                posted()
            if not accepted.certain:
                subscription.events.put_nowait(Gap())
            job = await watch(server, fleet, job, subscription, listener, wait=wait, part=part)
            job = judge(job, graph)
        except BaseException as error:
            JOBS.leave(prompt_id)
            if isinstance(error, ServerError) and posting.done():
                error.untaken = _was_not_taken(error)
            if _is_failure(error):
                server.record.failed += 1
            if _shutting_down(error):
                error.add_note(f"{GOES_ON}: job {fleet.owner.job_id(server.endpoint, prompt_id)}")
            elif not _leaves_it(error):  # a Stop, or a failure after which nobody would collect the result
                await _clean_up(server, prompt_id, posting, error)
            raise
    was_cached = job.cached >= set(graph)
    if job.began is not None and not was_cached:
        server.record.ran(str(about.get("workflow") or ""), time.monotonic() - job.began)
    if not JOBS.stored_by_call:
        JOBS.leave(prompt_id)
    return job, accepted.notes


def ignore_preview(_data: bytes) -> None:
    """What is done with previews when they are switched off."""


# What an error means for the job on its server.


def _was_not_taken(error: ServerError) -> bool:
    """Whether the server certainly has no job of a post that this error was the answer to."""
    if isinstance(error, ServerUnreachable):
        return error.refused
    return isinstance(error, (AccessRefused, PaymentRequired, ServerBusy, ServerTooOld))


def _is_failure(error: BaseException) -> bool:
    """Whether it is the workflow that failed, and not its server."""
    return isinstance(error, (RunFailed, WorkflowRefused)) and not isinstance(error, JobLost)


def _leaves_it(error: BaseException) -> bool:
    """Whether there is nothing to withdraw after an error: the job goes on, was never taken, or has ended."""
    return _is_failure(error) or isinstance(error, (StillRunning, PaymentRequired, ServerBusy))


def _shutting_down(error: BaseException) -> bool:
    """Whether this is a cancellation that comes from the end of Open WebUI and not from a Stop: its event loop ends, or
    uvicorn cuts off requests that take too long to end, and says so in words."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    if Pool.here().ending:
        return True
    return any("shutdown" in str(argument) for argument in error.args)


# Withdrawing: within the few seconds that a Stop has, and after that in the background.


async def _clean_up(
    server: ComfyUIServer, prompt_id: str, posting: "asyncio.Task[Accepted]", error: BaseException
) -> None:
    """Withdraw a prompt after an error, which gets a note where the server could not be told in time."""
    if not await finish(_withdraw(server, prompt_id, posting), CLEAN_UP_SECONDS):
        server.later(_withdraw_late(server, prompt_id, posting))
        error.add_note(STILL_AT_WORK)


async def _withdraw(server: ComfyUIServer, prompt_id: str, posting: "asyncio.Task[Accepted]") -> None:
    """Cancel a prompt on the server, also one whose post is still under way, which the server may yet take in. Raises a
    `ServerError` when the server could not be told."""
    await asyncio.wait({posting}, timeout=CLEAN_UP_SECONDS / 2)
    if not posting.done():
        server.later(_withdraw_late(server, prompt_id, posting))
    await server.cancel(_posted_as(prompt_id, posting))


async def _withdraw_late(server: ComfyUIServer, prompt_id: str, posting: "asyncio.Task[Accepted]") -> None:
    """The same with more patience, when nobody waits for it any more: a server that was away may come back with its
    queue, and would run a job that nobody collects, or that was run elsewhere."""
    await asyncio.gather(posting, return_exceptions=True)
    for pause in WITHDRAW_PAUSES:
        await asyncio.sleep(pause)
        with contextlib.suppress(ServerError):
            await server.cancel(_posted_as(prompt_id, posting), ANSWER_SECONDS)
            return


def _posted_as(prompt_id: str, posting: "asyncio.Task[Accepted]") -> str:
    """The id that a prompt has on its server: Comfy Cloud gives it one of its own."""
    was_answered = posting.done() and not posting.cancelled()
    if was_answered and not posting.exception():
        return posting.result().prompt_id
    return prompt_id


# Watching: frames and look-ups in one line, until the job has ended, is lost, or its server is gone.


async def watch(
    server: ComfyUIServer,
    fleet: Fleet,
    job: Job,
    subscription: Subscription,
    listener: ProgressListener,
    *,
    wait: float,
    part: str = "",
) -> Job:
    """Feed the job with frames and look-ups until it has ended or is lost; then with its history entry, where that may
    know more. A job of which all nodes are done, by the frames, ends well though look-ups find nothing more.

    Raises `StillRunning` after `wait` seconds, and `ServerGone`.
    """
    deadline = time.monotonic() + wait
    look_ups = LookUps(server, job.prompt_id, subscription, fleet.timing)
    try:
        while not job.ended and not job.lost:
            now = time.monotonic()
            if now >= deadline:
                raise _still_running(job, fleet.owner.job_id(server.endpoint, job.prompt_id), wait)
            look_ups.begin_if_due(now)
            event = await _next_event(subscription, min(look_ups.next_at, deadline) - now)
            if event is None:
                continue
            now = time.monotonic()
            if isinstance(event, LookedUp):
                event = event.answer
                look_ups.answered(event, now)
                if isinstance(event, (Waiting, Started)):  # it is there, whatever happened before
                    job = replace(job, away=not look_ups.heard_throughout)
            else:
                look_ups.heard(event, job.started, now)
            job = advance(job, event, now)
            if job.good and isinstance(event, (Absent, Silence)):
                break  # the last frame was missed, and nobody can say more
            _tell(job, event, listener, part, fleet.timing)
    finally:
        await look_ups.end()
    if job.ended and _entry_may_know_more(job):
        job = advance(job, await _recorded(server, job.prompt_id, fleet.timing), time.monotonic())
    if job.lost and await _was_taken_out(server, job):
        job = replace(job, away=False)
    return job


async def _next_event(subscription: Subscription, seconds: float) -> Event | None:
    """What is told next, None when nothing is within so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            return await subscription.events.get()
    except TimeoutError:
        return None


async def _was_taken_out(server: ComfyUIServer, job: Job) -> bool:
    """Whether a lost job certainly did not go with a restart of its server."""
    if not job.taken:
        return False
    if not job.away:
        return True
    with contextlib.suppress(ServerError):
        return await server.has_run_since(job.seen)
    return False


def _still_running(job: Job, job_id: str, wait: float) -> StillRunning:
    at_work = "is still at work"
    if job.silent_since is not None:
        at_work = "does not answer at the moment"
    return StillRunning(f"The longest wait ({duration(wait)}) is over and ComfyUI {at_work}.", job_id)


def _entry_may_know_more(job: Job) -> bool:
    """Whether the history entry may know more of a job than its frames told."""
    if job.recorded:
        return False
    has_made = job.outputs or job.sent
    return not job.complete or not has_made or job.failure is not None


class LookUps:
    """The look-ups of a job, one at a time: soon after the post for its place in the queue, after silence, after every
    gap, and when the queue moves while it waits. Those that bring nothing new grow apart. Their answers come as
    `LookedUp`, in line with the frames. Times are those of `time.monotonic`."""

    def __init__(self, server: ComfyUIServer, prompt_id: str, subscription: Subscription, timing: Timing) -> None:
        now = time.monotonic()
        self._server = server
        self._prompt_id = prompt_id
        self._subscription = subscription
        self._timing = timing
        self._interval = timing.look_up if subscription.connected else timing.polling
        self._due = now + timing.first
        self._begun = now  # when the last one began
        self.heard_throughout = False  # whether the websocket has been open ever since
        self._known_since = now  # a look at the queue from before the post, or the last answer, tells nothing new
        self._task: asyncio.Task[None] | None = None
        self._renewed = False  # whether the websocket was opened anew

    @property
    def next_at(self) -> float:
        """When the next look-up is due; infinite while one is under way."""
        if self._task and not self._task.done():
            return math.inf
        return self._due

    def begin_if_due(self, now: float) -> None:
        """Begin a look-up if one is due. Its answer will say when the next one is."""
        if now < self.next_at:
            return
        self._begun, self._due = now, math.inf
        self.heard_throughout = self._subscription.connected
        since = max(self._known_since, now - SHARED_SECONDS)
        self._task = asyncio.create_task(_look(self._server, self._prompt_id, self._subscription, since))

    def answered(self, answer: Event, now: float) -> None:
        """A look-up found this."""
        timing = self._timing
        self._known_since = now
        if isinstance(answer, Absent):
            self._interval = timing.settle
        else:
            longest = timing.longest if self._subscription.connected else timing.look_up
            self._interval = min(self._interval * 1.5, longest)
        self._due = now + self._interval * random.uniform(0.8, 1.2)  # not all jobs at the same moment
        if isinstance(answer, Started) and not self._renewed:
            self._renewed = self._server.connection.renew()

    def heard(self, event: Event, started: bool, now: float) -> None:
        """The websocket told this of a job that has `started` or waits still."""
        timing = self._timing
        if isinstance(event, QueueMoved):
            if not started:
                self._due = min(self._due, self._begun + timing.settle)
        elif isinstance(event, Gap):
            self._interval, self._due = timing.polling, now
            self.heard_throughout = False
        elif isinstance(event, (Succeeded, Failed, Interrupted)):
            self._due = now + timing.settle
        else:
            self._interval = timing.look_up
            self._due = now + self._interval

    async def end(self) -> None:
        """Cancel the look-up that is under way."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _tell(job: Job, event: Event, listener: ProgressListener, part: str, timing: Timing) -> None:
    """Show how the job stands. Raises `ServerGone` when for `timing.gone` seconds no connection could be made, or, of
    a job that the server may never have got, nothing was heard."""
    now = time.monotonic()
    if not isinstance(event, Silence) or job.silent_since is None:
        phase, text = describe(job, now)
        listener.status(phase, part + text, job.fraction)
        return
    too_long_ago = now - timing.gone
    refused = job.refused_since is not None and job.refused_since <= too_long_ago
    never_heard = not job.taken and job.silent_since <= too_long_ago
    if refused or never_heard:
        raise ServerGone(f"ComfyUI stopped answering in the middle of the run. {event.reason}", refused=refused)
    listener.status("silent", f"{part}ComfyUI does not answer at the moment")


async def _look(server: ComfyUIServer, prompt_id: str, subscription: Subscription, since: float) -> None:
    """Look a job up and put the answer in line behind the frames that came meanwhile."""
    answer: Event = Silence("The look-up failed.")
    try:
        answer = await _look_up(server, prompt_id, since)
    except Exception:
        log.exception("a mistake in the ComfyUI tool")
    subscription.events.put_nowait(LookedUp(answer))


async def _look_up(server: ComfyUIServer, prompt_id: str, since: float) -> Event:
    """What a look-up found; `Silence` where the server gives no answer."""
    try:
        return await server.look_up(prompt_id, since)
    except ServerError as error:  # also a proxy that answers for a server that restarts
        return Silence(error.message, isinstance(error, ServerUnreachable) and error.refused)


async def _recorded(server: ComfyUIServer, prompt_id: str, timing: Timing) -> Event:
    """The history entry of a run that has ended, which may take a moment to appear; `Gap` when it does not."""
    for pause in (0.0, 0.1, 0.2, 0.4, timing.settle):
        await asyncio.sleep(pause)
        event = await _look_up(server, prompt_id, time.monotonic())
        if isinstance(event, Recorded):
            return event
    return Gap()


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/inputs.py
#
# Puts the files of a call into the inputs of a workflow that take files.
#
# `place_files` goes by kinds: the first picture into the first picture input, the first film into the first input for
# films, and so on. A mask goes into the mask inputs, or becomes the transparency of the picture that it belongs to, which
# ComfyUI's LoadImage gives out as a mask. Where nothing is given for a kind, what the chat offers of it is taken.
#
# The workflow then names each file by its `stored_name`, which is made from its content. So the files need not be sent
# before all else about the call is known to be right: `place_files` returns them, and run/make.py uploads them.
#
# An input that gets nothing keeps its author's file where the server has that. Else it is cut out of the graph, or, where
# the workflow cannot do without it, written down in `FittedWorkflow.wanting` for run/planning.py to refuse.
#
# `freshen` comes before all that: it asks anew for the definitions of nodes whose lists lack what the call names.
# ----------------------------------------------------------------------------------------------------------------------


async def freshen(server: ComfyUIServer, choice: FittedWorkflow, request: Request) -> FittedWorkflow:
    """The choice with the definitions of the nodes that load LoRAs, if the request has any, and with new definitions of
    nodes that do not offer what the request names: files are added all the time."""
    workflow = choice.workflow
    stale = set[str]()
    if request.loras or "loras" in request.inputs:
        stale.update(LORA_LOADERS)
    for name, wanted in request.inputs.items():
        targets = workflow.find(name)
        if not targets:
            continue
        names = workflow.spec(name).names
        if names and find_name(str(wanted.value), names) is None:
            loaders = [workflow.graph[target.node_id] for target in targets]
            stale.update(loader["class_type"] for loader in loaders)
    if not stale:
        return choice
    definitions = await server.define_anew(workflow.definitions, stale, DOUBT_SECONDS)
    return replace(choice, workflow=replace(workflow, definitions=definitions))


async def place_files(
    server: ComfyUIServer, choice: FittedWorkflow, request: Request
) -> tuple[FittedWorkflow, list[InputFile]]:
    """The choice with the request's files named in the workflow's inputs of their kinds, in order, and the files that
    have to be uploaded for it. Where nothing is given for a kind, what the chat offers is taken. Where the workflow
    takes a mask and none is given, but one picture more than it has inputs for pictures, the last picture is the mask.

    An input that gets nothing keeps its author's file; where the server does not have that, the input is left out if
    the workflow can do without it, and else noted as wanting.

    Raises `BadArgument` for more files of a kind than the workflow takes, for a mask without a place, and for a missing
    mask without which a bundled workflow would paint nothing.
    """
    workflow = choice.workflow
    inputs = file_inputs(workflow.flow)
    pictures = [item for item in inputs if item.kind == "image"]
    mask_inputs = [item for item in inputs if item.takes_mask]
    offered = await _offered(request, inputs)
    files = [*request.files, *offered]
    mask = request.mask
    if mask is None and mask_inputs:
        mask = await _take_mask(files, len(pictures))

    placed = _placed(workflow.name, inputs, files)
    notes = _notes_of(files)
    if choice.saved:
        notes += map(_taken_note, offered)
    if mask:
        placed |= await _carry_mask(workflow.name, mask, mask_inputs, placed)
    notes += _notes_of(placed.values())
    if mask is None:
        notes += _check_unmasked(choice, mask_inputs, placed)

    names = await FILES.run(_stored_names, placed)
    choice = replace(choice, workflow=workflow.set(names), picture=_first_size(pictures, placed))
    unfilled = [item for item in inputs if item.needed and item.target not in placed]
    choice, left_out = await _without_absent(server, choice, unfilled, some_placed=bool(placed))
    notes += left_out
    uploads = {names[target]: file for target, file in placed.items()}
    choice = replace(choice, notes=(*choice.notes, *dict.fromkeys(notes)))
    return choice, list(uploads.values())


def _notes_of(files: Iterable[InputFile | None]) -> list[str]:
    notes: list[str] = []
    for file in files:
        if file:
            notes += file.notes
    return notes


def _taken_note(file: InputFile) -> str:
    kept = '"saved" in `images` keeps the workflow\'s own'
    return f"no {file.kind} was given and the newest of the chat was taken; {kept}"


def _kind(file: InputFile | None) -> str:
    """The kind of inputs that a file is for. None, which keeps the author's file, counts as a picture."""
    if file is None:
        return "image"
    return file.kind


async def _offered(request: Request, inputs: Sequence[FileInput]) -> list[InputFile]:
    """What the chat offers, of each kind that an input needs and of which no file is given."""
    if None in request.files:  # what the author chose is to be kept
        return []
    given = set(map(_kind, request.files))
    wanted = {item.kind for item in inputs if item.needed} - given
    return [await offer() for kind, offer in request.offers.items() if kind in wanted]


async def _take_mask(files: list[InputFile | None], pictures: int) -> Image.Image | None:
    """The mask, whose picture is taken out of the files: the last one, where there is just one more than the workflow
    has inputs for pictures. Else None."""
    places = [index for index, file in enumerate(files) if _kind(file) == "image"]
    if len(places) != pictures + 1:
        return None
    last = files[places[-1]]
    if last is None:
        return None
    del files[places[-1]]
    return await PICTURES.run(read_mask, last.data, "the mask")


def _placed(workflow: str, inputs: Sequence[FileInput], files: Sequence[InputFile | None]) -> dict[Target, InputFile]:
    """Which input gets which file. A file that is None keeps the author's in its input. `workflow` is the name for
    messages. Raises `BadArgument` for more files of a kind than there are inputs."""
    free = list(inputs)
    placed = dict[Target, InputFile]()
    for file in files:
        kind = _kind(file)
        places = [item for item in free if item.kind == kind]
        if file is None and not places:
            places = free  # what is kept is a film, a sound or a mask
        if not places:
            raise _too_many_files(workflow, inputs, files, kind)
        place = places[0]
        free.remove(place)
        if file:
            placed[place.target] = file
    return placed


def _too_many_files(
    workflow: str, inputs: Sequence[FileInput], files: Sequence[InputFile | None], kind: str
) -> BadArgument:
    taken = sum(item.kind == kind for item in inputs)
    given = sum(_kind(file) == kind for file in files)
    takes = f"{taken} {kind}s"
    if taken == 1:
        takes = f"1 {kind}"
    elif taken == 0:
        takes = f"no {kind}s"
    were = "was" if given == 1 else "were"
    message = f'The workflow "{workflow}" takes {takes}, and {given} {were} given.'
    return BadArgument(message, "describe_workflow tells what it takes.")


async def _carry_mask(
    workflow: str, mask: Image.Image, mask_inputs: Sequence[FileInput], placed: Mapping[Target, InputFile]
) -> dict[Target, InputFile]:
    """The files that carry the mask, by input. `workflow` is the name for messages. Raises `BadArgument` where there is
    no place for the mask."""
    if not mask_inputs:
        raise BadArgument(f'The workflow "{workflow}" takes no mask.', "Leave the mask out.")
    carried = await PICTURES.run(_masked, mask, mask_inputs, placed)
    if not carried:
        raise BadArgument(
            f'The mask for the workflow "{workflow}" goes with a picture, and none was given.',
            "Give the picture too, in place of the workflow's own, or leave the mask out.",
        )
    return carried


def _masked(
    mask: Image.Image, mask_inputs: Sequence[FileInput], placed: Mapping[Target, InputFile]
) -> dict[Target, InputFile]:
    """The files that carry the mask, by input: files of its own, as large as the first picture, and pictures that have
    it as their transparency. Blocks."""
    sizes = [file.size for file in placed.values() if file.size]
    size = sizes[0] if sizes else Size(*mask.size)
    carried = dict[Target, InputFile]()
    for item in mask_inputs:
        if not item.masked:
            carried[item.target] = mask_file(mask, size)
        elif item.target in placed:
            carried[item.target] = with_mask(placed[item.target], mask)
    return carried


def _check_unmasked(
    choice: FittedWorkflow, mask_inputs: Sequence[FileInput], placed: Mapping[Target, InputFile]
) -> list[str]:
    """Notes on pictures that should bring a mask and have no transparent part. Raises `BadArgument` for those of a
    bundled workflow, which would paint nothing."""
    with_picture = [item for item in mask_inputs if item.masked and item.target in placed]
    bare = [item for item in with_picture if not placed[item.target].transparent]
    if bare and not choice.saved:
        raise BadArgument(
            f'The workflow "{choice.workflow.name}" needs a mask.',
            "Give a picture that is white where it is to be painted anew: as `mask` of edit_image, or as the last of "
            "`images` of run_workflow.",
        )
    return [f'no mask was given for "{item.title}", and the picture has no transparent part' for item in bare]


def _stored_names(placed: Mapping[Target, InputFile]) -> dict[Target, str]:
    """The names that the files will have on the server. Blocks: they are digests of what may be large."""
    return {target: file.stored_name for target, file in placed.items()}


def _first_size(pictures: Sequence[FileInput], placed: Mapping[Target, InputFile]) -> Size | None:
    """The size of the first picture that the workflow gets to work on."""
    for item in pictures:
        if item.target in placed:
            return placed[item.target].size
    return None


async def _without_absent(
    server: ComfyUIServer, choice: FittedWorkflow, unfilled: Sequence[FileInput], *, some_placed: bool
) -> tuple[FittedWorkflow, list[str]]:
    """The choice without the inputs that got no file (`unfilled`) and whose author's file the server does not have, and
    notes on them. What cannot be left out is wanting; nothing is left out of a saved workflow that got no file at
    all."""
    whole, absent = await _absent(server, choice, unfilled)
    can_leave_out = some_placed or not choice.saved
    workflow = whole
    notes: list[str] = []
    wanting: dict[Target, str] = {}
    for item in reversed(absent):
        called = f'the {item.kind} for "{item.title}"'
        fewer = None
        if can_leave_out:
            fewer = without_files(workflow.flow, [item.target])
        if fewer is None:
            wanting[item.target] = called
            continue
        workflow = replace(workflow, graph=fewer)
        if choice.saved:
            notes.append(f"the workflow was run without {called}")
    if workflow is not whole:
        workflow = await FILES.run(
            Workflow.parse, workflow.name, workflow.graph, workflow.definitions, workflow.dynamic
        )
    wanting = dict(reversed(wanting.items()))
    return replace(choice, workflow=workflow, wanting=wanting), notes


async def _absent(
    server: ComfyUIServer, choice: FittedWorkflow, unfilled: Sequence[FileInput]
) -> tuple[Workflow, list[FileInput]]:
    """The workflow with the definitions that were asked for anew, and its inputs whose author's file the server does
    not have by them."""
    workflow = choice.workflow
    if not choice.saved:  # the file that a bundled workflow names is nobody's
        return workflow, list(unfilled)
    absent: list[FileInput] = []
    for item in unfilled:
        if _is_listed(workflow, item):
            continue
        loader = workflow.graph[item.target.node_id]
        definitions = await server.define_anew(workflow.definitions, [loader["class_type"]], 0.0)
        workflow = replace(workflow, definitions=definitions)
        # A name with a folder, or with "[output]" behind it, stands in no list though the file may be there.
        is_elsewhere = re.search(r"[/\\\[]", item.held)
        if not is_elsewhere and not _is_listed(workflow, item):
            absent.append(item)
    return workflow, absent


def _is_listed(workflow: Workflow, item: FileInput) -> bool:
    """Whether the server lists the file that an input names, or lists none at all."""
    files = workflow.widget_spec(item.target).choices
    return not files or item.held in files


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/limits.py
#
# What the administrator allows, checked on a finished graph, whoever put the number there.
#
# `check_limits` looks at every node for more steps, pixels or pictures than are allowed, and at the whole graph for the
# seconds of its videos. A node is not known by its class but by its inputs: one with `width`, `height` and `batch_size`
# makes pictures, say. A number may also come over a link, from a node that only holds it (`number_in`):
#
#     {"5": {"class_type": "EmptyLatentImage", "inputs": {"width": ["7", 0], "height": 1024, "batch_size": 1}},
#      "7": {"class_type": "PrimitiveInt", "inputs": {"value": 8192}}}
#
# has 8192 x 1024 pixels, 8.39 megapixels, and is refused where 4.2 are allowed.
# ----------------------------------------------------------------------------------------------------------------------


# Inputs beside width and height that show a node to make pixels of them, and not only to tell a model or a text.
MAKES_PIXELS = {"batch_size", "length", "upscale_method", "scale_method", "resize_type"}
PICTURE_MAKER = {"width", "height", "seconds"}  # inputs beside a batch size that show it to count pictures
SIDES = ("width", "height")
FILMS = {"video", "animation"}  # kinds of outputs
USUAL_FPS = 24.0  # where a graph does not say
MOST_FPS = 30.0  # a higher rate does not let more frames pass as a shorter video


def check_limits(workflow: Workflow, limits: Limits, touched: set[Target], makes: set[str]) -> None:
    """Raise `LimitExceeded` when a prompt would do more than the administrator allows, whoever put it there: steps,
    pixels, pictures and seconds of video.

    `touched` are the widgets that the call set, `makes` the kinds of what the graph saves. Where these are films alone,
    a batch is their frames, and counts by its seconds. "megapixels" and "scale_by" count only where the call set them.
    """
    graph = workflow.graph
    if makes & FILMS:
        _check_video(graph, limits)
    makes_only_films = bool(makes) and makes <= FILMS
    first_megapixels = 0.0  # of the first size in the graph
    for node_id, node in graph.items():
        takes = {last_part(name) for name in node["inputs"]}
        numbers = _numbers_in(graph, node)
        megapixels = _megapixels_made(takes, numbers)
        first_megapixels = first_megapixels or megapixels
        title = node_title(graph, node_id)
        _check(title, "steps", numbers.get("steps", 0), limits.steps)
        _check(title, "width x height in megapixels", round(megapixels, 2), limits.megapixels)
        counts_pictures = PICTURE_MAKER & takes or node["class_type"].startswith("Repeat")
        if counts_pictures and not makes_only_films:
            _check(title, "batch_size", numbers.get("batch_size", 1), limits.count)
            _check(title, "amount", numbers.get("amount", 1), limits.count)
        if Target(node_id, "megapixels") in touched:
            _check(title, "megapixels", numbers.get("megapixels", 0), limits.megapixels)
        if Target(node_id, "scale_by") in touched:
            scaled = (first_megapixels or 1.05) * numbers.get("scale_by", 1) ** 2
            _check(title, "scale_by in megapixels", round(scaled, 2), limits.megapixels)


def _check(title: str, name: str, value: float, allowed: float) -> None:
    """Raise `LimitExceeded` where a node has a higher value under a name than is allowed."""
    if value > allowed:
        message = f"{title} has {value:g} as {name}, and the administrator allows {allowed:g}."
        raise LimitExceeded(message, f"Ask for at most {allowed:g}.")


def _megapixels_made(takes: set[str], numbers: Mapping[str, float]) -> float:
    """How many megapixels a node makes that takes these inputs, by the numbers in them; 0 for one that makes none."""
    if MAKES_PIXELS.isdisjoint(takes) or not numbers.keys() >= set(SIDES):
        return 0.0
    width, height = numbers["width"], numbers["height"]
    return (width or height) * (height or width) / 1e6  # a side of 0 is for "in proportion"


def _numbers_in(graph: Graph, node: Mapping[str, Any]) -> dict[str, float]:
    """The inputs of a node that get a number, by the last part of their names: {"width": 1024.0, "steps": 20.0}."""
    numbers = {}
    for name, value in node["inputs"].items():
        number = number_in(graph, value)
        if number is not None:
            numbers[last_part(name)] = number
    return numbers


def _check_video(graph: Graph, limits: Limits) -> None:
    seconds, allowed = video_seconds(graph), limits.video_seconds
    if seconds > allowed:
        raise LimitExceeded(
            f"The video would have {seconds:.1f} seconds, and the administrator allows {allowed:g}.",
            f"Ask for at most {allowed:g} seconds, or for fewer frames.",
        )


def video_seconds(graph: Graph) -> float:
    """How long the longest video is that a graph makes, in seconds: by its frames and their rate, or as it says."""
    fps = min(_numbers_of("fps", graph), default=USUAL_FPS)
    fps = min(max(fps, 1.0), MOST_FPS)
    by_frames = [frames / fps for frames in _numbers_of("length", graph)]
    return max([*_numbers_of("seconds", graph), *by_frames], default=0.0)


def _numbers_of(parameter: str, graph: Graph) -> list[float]:
    """The numbers, without zeros, in all inputs of a graph whose names are those of the parameter."""
    numbers: list[float] = []
    for node in graph.values():
        for name, value in node["inputs"].items():
            number = None
            if last_part(name) in PARAMETERS[parameter]:
                number = number_in(graph, value)
            if number:
                numbers.append(number)
    return numbers


def number_in(graph: Graph, value: Any) -> float | None:
    """The number that an input gets, or None: its own, also written as text or wrapped in `__value__`, or that of the
    node it is linked to, if that only holds one."""
    for _ in range(8):
        if isinstance(value, Mapping):
            value = value.get("__value__")
        if not is_link(value):
            break
        inputs = node_inputs(graph.get(value[0]))
        if "value" in inputs:
            value = inputs["value"]
        elif len(inputs) == 1:
            (value,) = inputs.values()
        else:
            value = None
    return as_number(value)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/sizing.py
#
# In which width and height a request is made.
#
# `Sizing.values` gives the values for the workflow's inputs. They follow from what is asked for (`AskedSize`), else from
# the picture that is worked on, else from what the model makes best:
#
#     asked for 1000x600           {"width": 1000, "height": 600}, or what the node takes that is nearest
#     asked for 16:9               of the model's usual megapixels, or fewer if the limit is lower
#     a picture of 800x600         {"width": 800, "height": 608}, in multiples of `GRAIN`
#     nothing, saved as 1024x1024  {"width": 1024, "height": 1024}
#
# A picture that is enlarged keeps its proportions: a size is what it is to fit into, and "4k" says how long its longer
# side is to be.
# ----------------------------------------------------------------------------------------------------------------------


SCALE = InputSpec("FLOAT", 1.0, 8.0)  # how many times as wide and high a picture may become
USUAL_SCALE = 2  # of a picture that is enlarged, where nothing is said
FOLLOWED = (0.2, 1.5)  # parts of a model's usual number of pixels; between them a picture keeps its very size
GRAIN, FILM_GRAIN = 16, 64  # pixels; sides in multiples of these suit every model, and every one for video


class Sizing:
    """The size of one request in its workflow; `notes` say what had to be changed or left out for it."""

    def __init__(self, choice: FittedWorkflow, request: Request, limits: Limits) -> None:
        self._choice = choice
        self._workflow = choice.workflow
        self._request = request
        self._limits = limits
        self._title = f'the workflow "{self._workflow.name}"'  # in notes
        self.notes: list[str] = []

    def values(self) -> dict[str, int]:
        """The width and height, by those names; empty where the workflow has none, or where what its author saved
        stays. Raises `BadArgument` and `LimitExceeded`."""
        return self._scaled() or self._size()

    def _spec(self, name: str) -> InputSpec:
        return self._workflow.spec(name)

    @property
    def _has_sides(self) -> bool:
        return all(side in self._workflow.parameters for side in SIDES)

    # So many times as large as a picture.

    def _scaled(self) -> dict[str, int]:
        """The width and height of an enlarged picture: exactly so many times its own as `scale` says, or as the size
        that is asked for says; twice where an upscale workflow is told nothing. Empty for any other. Raises
        `BadArgument` and `LimitExceeded`."""
        request, picture = self._request, self._choice.picture
        if not self._has_sides:
            picture = None
        enlarges = self._choice.task == "upscale"
        if request.scale is None:
            if picture is None or not enlarges:
                return {}
            if request.size:
                return self._checked(picture, self._enlarged_to(picture, request.size))
            sides = self._sides_named()
            if len(sides) == 2:
                return {}
            if sides:
                return in_proportion(picture, sides)
        if picture is None:
            self.notes.append(f"{self._title} has a scale of its own; scale was left out")
            return {}
        return self._checked(picture, scaled(picture, self._scale()))

    def _scale(self) -> float:
        """How many times as wide and high the picture becomes."""
        wanted = self._request.scale or Argument(USUAL_SCALE, "scale")
        if isinstance(wanted.value, str):  # "4x"
            times = wanted.value.strip().lower()
            wanted = replace(wanted, value=times.strip("x×"))
        factor, note = fit_number(wanted, SCALE)
        if note:
            self.notes.append(note)
        if self._request.size:
            self.notes.append("scale was followed, and size left out")
        return factor

    def _enlarged_to(self, picture: Size, wanted: Argument) -> Size:
        """The size of an enlarged picture of which a size is asked for: its own proportions, as large as fits. Raises
        `BadArgument` for a size that would not enlarge it."""
        asked = read_size(wanted)
        if asked.pixels is None and asked.megapixels is None:
            raise BadArgument(
                f'{wanted.name} is "{shortened(wanted.value)}", and a picture that is enlarged keeps its proportions.',
                'Give pixels such as "3840x2160", "4k", or a scale; edit_image extends a picture.',
            )
        factor = _enlargement(picture, asked)
        if factor < 1:
            raise BadArgument(
                f'{wanted.name} is "{shortened(wanted.value)}", and the picture has {picture} pixels already.',
                "Ask for a larger size, or for a scale.",
            )
        most = SCALE.maximum or factor
        size = scaled(picture, min(factor, most))
        if factor > most:
            self.notes.append(f"a picture becomes at most {most:g} times as wide and high, here {size}")
        elif asked.pixels and not asked.named and size != asked.pixels:
            self.notes.append(f"a picture that is enlarged keeps its proportions: {size} fits into {asked.pixels}")
        return size

    def _checked(self, picture: Size, size: Size) -> dict[str, int]:
        """The size as values. Raises `LimitExceeded`, with the largest scale that is left, for a size beyond the node
        or the limits."""
        longer_side = "width" if picture.width > picture.height else "height"
        maximum = self._spec(longer_side).maximum
        if maximum and max(size.width, size.height) > maximum:
            longest = max(picture.width, picture.height)
            tenths = math.floor(10 * maximum / longest)
            raise LimitExceeded(
                f"The picture would have {size} pixels, and ComfyUI makes at most {maximum:g} a side.",
                f"Ask for a scale of at most {tenths / 10:g}.",
            )
        allowed = self._limits.megapixels
        if size.megapixels > allowed:
            scale = math.sqrt(allowed / picture.megapixels)
            tenths = math.floor(10 * scale)
            hint = "It is as large as it may become."
            if tenths > 10:
                hint = f"Ask for a scale of at most {tenths / 10:g}."
            raise LimitExceeded(
                f"The picture would have {size}, {size.megapixels:.1f} megapixels, and the administrator allows "
                f"{allowed:g}.",
                hint,
            )
        return _as_values(size)

    def _sides_named(self) -> dict[str, float]:
        """The width and height that the `inputs` of the call name, without those of 0, which stands for "in
        proportion": {"width": 1500.0}."""
        inputs = self._request.inputs
        sides: dict[str, float] = {}
        for side in SIDES:
            for name in names_of(self._workflow, side, inputs):
                length, _ = fit_number(inputs[name], self._spec(side))
                if length:
                    sides[side] = length
        return sides

    # As asked for, as the picture, or as saved.

    def _size(self) -> dict[str, int]:
        """The width and height in which the workflow works, as the top of this module says. Raises `LimitExceeded` for
        more pixels than allowed, but only where just so many were asked for."""
        choice, wanted = self._choice, self._request.size
        if not self._has_sides:
            if wanted:
                self.notes.append(f"{self._title} has no size of its own; size was left out")
            return {}
        if choice.saved and wanted is None:
            return {}
        types = {self._spec(side).type for side in SIDES}
        if choice.saved and types != {"INT"}:
            self.notes.append(f"{self._title} has no size in pixels; size was left out")
            return {}
        if wanted:
            size = self._asked_size(wanted)
        elif choice.picture:
            size = self._size_for(choice.picture, self._usual_megapixels())
        else:
            size = self._usual_size()
        return _as_values(size)

    def _own_size(self) -> Size:
        """The size that the workflow was saved with."""
        sides = [self._workflow.value(side) for side in SIDES]
        if all(isinstance(side, int) and side > 0 for side in sides):
            return Size(*sides)
        return Size(1024, 1024)

    def _usual_megapixels(self) -> float:
        """Those that the model makes best."""
        return self._choice.family.megapixels or self._own_size().megapixels

    def _fit_size(self, asked: Size | Ratio, megapixels: float) -> Size:
        """The nearest size that the workflow's nodes take."""
        return fit_size(asked, megapixels, self._spec("width"), self._spec("height"))

    def _asked_size(self, wanted: Argument) -> Size:
        """The size that is asked for. Raises `BadArgument` and `LimitExceeded`."""
        asked = read_size(wanted)
        allowed = self._limits.megapixels
        pixels = asked.pixels
        megapixels = asked.megapixels or (pixels.megapixels if pixels else 0.0)
        if megapixels > allowed:
            value = pixels or f"{megapixels:g} megapixels"
            raise over_limit(wanted, value, f"at most {allowed:g} megapixels")
        if asked.named and self._choice.picture:
            return self._size_for(self._choice.picture, megapixels, exactly=True)
        if pixels:
            size = self._fit_size(pixels, megapixels)
            if size != pixels:
                self.notes.append(f"size {pixels} was changed to {size}, which the node takes")
            return size
        ratio = asked.ratio or self._usual_ratio()
        megapixels = megapixels or self._usual_megapixels()
        return self._within_limit(self._fit_size(ratio, megapixels), ratio, megapixels)

    def _usual_ratio(self) -> Ratio:
        """The proportions of the picture that is worked on, or those of the workflow."""
        size = self._choice.picture or self._own_size()
        return float(size.width), float(size.height)

    def _size_for(self, picture: Size, megapixels: float, *, exactly: bool = False) -> Size:
        """The size in which the model works on a picture, which is best at so many megapixels. With `exactly` the
        picture is brought to these."""
        width_spec, height_spec = self._spec("width"), self._spec("height")
        makes_film = "length" in self._workflow.parameters
        grain = FILM_GRAIN if makes_film else GRAIN
        for spec in (width_spec, height_spec):
            grain = max(grain, int(spec.step or 1))
        size = followed(picture, megapixels, self._limits.megapixels, grain, exactly=exactly)
        return Size(on_step(size.width, width_spec), on_step(size.height, height_spec))

    def _usual_size(self) -> Size:
        """The workflow's own size where the model is good at it, else one of its proportions."""
        size, megapixels = self._own_size(), self._usual_megapixels()
        ratio = float(size.width), float(size.height)
        if not 0.9 <= size.megapixels / megapixels <= 1.1:
            size = self._fit_size(ratio, megapixels)
        return self._within_limit(size, ratio, megapixels)

    def _within_limit(self, size: Size, ratio: Ratio, megapixels: float) -> Size:
        """The size, or a smaller one of the same proportions where it is over the limit: nobody asked for just so many
        pixels."""
        while size.megapixels > self._limits.megapixels and megapixels > 0.01:
            megapixels *= 0.95
            size = self._fit_size(ratio, megapixels)
        return size


def names_of(workflow: Workflow, parameter: str, names: Iterable[str]) -> list[str]:
    """Those of these names that mean the parameter: "positive" and "Positive.text" for "prompt"."""
    targets = workflow.parameters[parameter]
    return [name for name in names if workflow.find(name) == targets]


def scaled(picture: Size, factor: float) -> Size:
    """The size of a picture, so many times as wide and high."""
    return Size(max(round(picture.width * factor), 1), max(round(picture.height * factor), 1))


def _enlargement(picture: Size, asked: AskedSize) -> float:
    """How many times as wide and high a picture has to become for the size that is asked for."""
    pixels = asked.pixels
    if pixels is None:
        return math.sqrt((asked.megapixels or 0.0) / picture.megapixels)
    if asked.named:
        return max(pixels.width, pixels.height) / max(picture.width, picture.height)
    return min(pixels.width / picture.width, pixels.height / picture.height)


def in_proportion(picture: Size, sides: Mapping[str, float]) -> dict[str, int]:
    """The width and height of a picture of which one side gets a length: with {"width": 1500.0} a picture of 1000x600
    becomes {"width": 1500, "height": 900}."""
    ((side, length),) = sides.items()
    return _as_values(scaled(picture, length / getattr(picture, side)))


def _as_values(size: Size) -> dict[str, int]:
    return {"width": size.width, "height": size.height}


def followed(picture: Size, megapixels: float, most: float, grain: int = GRAIN, *, exactly: bool = False) -> Size:
    """The size in which a model that is best at `megapixels` works on a picture: the picture's own where the model can,
    else one of its proportions, of at most `most` megapixels; in multiples of `grain` pixels. With `exactly` it has
    those megapixels in any case."""
    lowest, highest = FOLLOWED
    factor = 1.0
    if exactly or not lowest <= picture.megapixels / megapixels <= highest:
        factor = math.sqrt(megapixels / picture.megapixels)
    factor = min(factor, math.sqrt(most / picture.megapixels))
    columns = picture.width * factor / grain
    rows = picture.height * factor / grain
    nearest = _in_grains(round(columns), round(rows), grain)
    if nearest.megapixels <= most:
        return nearest
    return _in_grains(math.floor(columns), math.floor(rows), grain)


def _in_grains(columns: int, rows: int, grain: int) -> Size:
    """The size of so many grains across and down, at least one of them."""
    return Size(max(columns, 1) * grain, max(rows, 1) * grain)


def over_limit(wanted: Argument, value: object, limit: str) -> LimitExceeded:
    """The error of an argument that asks for more than is allowed."""
    message = f"{wanted.name} is {shortened(value, 20)}, and the administrator allows {limit}."
    return LimitExceeded(message, f"Ask for {limit}.")


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/planning.py
#
# Binds a request to its workflow: prompts, ready to post, within all ranges and limits.
#
# `prepare` makes the `BoundPrompts`. A `_Binding` gathers the values, each over those before it: the defaults of the
# model's family, the size or scale, the arguments that every workflow may have (prompt, steps, guidance...), and what is
# named in `inputs`. Then they are spread over the prompts that the call takes (one with a batch, or several with seeds in
# a row), the LoRAs are put in, and texts and file names are changed as ComfyUI's front end changes them before a run.
#
# Three rules for a value that does not fit. A number outside the range of its node is moved into it, with a note. A name
# that does not exist is refused, with those most like it. What the administrator does not allow is refused with the
# limit: `check_limits` (run/limits.py) reads it off the finished graph, whoever put the number there.
#
# Nothing here does any I/O: the node definitions come with the `FittedWorkflow`, the seed and the time as arguments.
# ----------------------------------------------------------------------------------------------------------------------


MAX_SEED = 2**32 - 1  # of random seeds: they stay short enough for a person, or a model, to repeat
EXTRAS = ("size", "count", "loras", "strength", "scale")  # what `inputs` may name beside the workflow's own inputs


@dataclass(frozen=True)
class BoundPrompts:
    """The prompts that make up a call, bound and ready to post."""

    workflows: tuple[Workflow, ...]
    seed: int | None  # of the first one; None where the workflow has none
    model: str
    notes: tuple[str, ...]  # on what was changed or left out, for the model that called


def prepare(choice: FittedWorkflow, request: Request, limits: Limits, random_seed: int, now: datetime) -> BoundPrompts:
    """Turn a request into bound graphs, by the ranges of the server's own nodes and within the limits. `random_seed` is
    used where none is asked for, `now` for the dates in file names. Blocks: call it in a thread.

    Raises `BadArgument` and `ValueOutOfRange` for what cannot be understood, `ModelNotInstalled` for files that are not
    there, and `LimitExceeded` for what the administrator does not allow.
    """
    workflow = choice.workflow
    if choice.task == "upscale":
        limits = replace(limits, megapixels=limits.upscaled_megapixels)
    binding = _Binding(choice, _with_extras(request, workflow), limits)
    values = binding.values()
    touched: set[Target] = set()
    for name in values:
        touched.update(target.widget for target in workflow.find(name) or ())
    _check_absent(choice, touched)
    check_paths(workflow, values, {name: wanted.name for name, wanted in request.inputs.items()})
    runs = binding.runs(values, random_seed)
    loras = binding.loras()

    texts = workflow.dynamic - touched - workflow.templates.keys()
    ready: list[Workflow] = []
    for seed, run in runs:
        rng = random.Random(seed)
        bound = workflow.chosen(rng).bind(run)
        graph = with_loras(bound.graph, loras, workflow.definitions)
        filled = replace(bound, graph=graph).filled()
        sent = as_sent(filled.graph, texts, rng, now)
        ready.append(replace(filled, graph=sent))
    first = ready[0]
    makes = {kind for _, kind in outputs(first.flow)}
    for one in ready:
        check_limits(one, limits, touched, makes)
    first_seed, _ = runs[0]
    model = first.value("model") or choice.model
    notes = (*request.notes, *choice.notes, *binding.notes)
    return BoundPrompts(tuple(ready), first_seed, str(model), notes)


def _with_extras(request: Request, workflow: Workflow) -> Request:
    """The request with those `EXTRAS` as arguments that its `inputs` name and that are not inputs of the workflow."""
    extras: dict[str, Any] = {}
    inputs = {}
    for name, wanted in request.inputs.items():
        if name in EXTRAS and not workflow.find(name):
            extras[name] = wanted
        else:
            inputs[name] = wanted
    return replace(request, inputs=inputs, **extras)


def _check_absent(choice: FittedWorkflow, touched: set[Target]) -> None:
    """Raises `BadArgument` for pictures and the like, and `ModelNotInstalled` for model files, that the workflow names,
    the server does not have, and the call did not replace."""
    needs = f'The workflow "{choice.workflow.name}" needs'
    if choice.wanting:
        files = " and ".join(choice.wanting.values())
        raise BadArgument(f"{needs} {files}.", "Give them in `images` of edit_image or run_workflow.")
    absent = [what for target, what in choice.absent.items() if target not in touched]
    if absent:
        models = "; ".join(absent[:5])
        raise ModelNotInstalled(
            f"{needs} model files that are not installed: {models}.",
            "They have to be put into ComfyUI's models folder, or others named in `inputs`.",
        )


Run = tuple[int | None, dict[str, Any]]  # the seed of one prompt, and all its values by their names


class _Binding:
    """A request on its way into its workflow: `values`, `runs` and `loras` say what goes in, and `notes` what had to be
    changed or left out for it."""

    def __init__(self, choice: FittedWorkflow, request: Request, limits: Limits) -> None:
        self._choice = choice
        self._workflow = choice.workflow
        self._parameters = choice.workflow.parameters
        self._request = request
        self._limits = limits
        self._title = f'the workflow "{self._workflow.name}"'  # in notes
        self._sizing = Sizing(choice, request, limits)
        self.notes: list[str] = []

    def _spec(self, name: str) -> InputSpec:
        return self._workflow.spec(name)

    def _fit(self, wanted: Argument, spec: InputSpec) -> Any:
        """The value as the input takes it, with a note where it had to be changed."""
        value, note = fit_value(wanted, spec)
        self._note(note)
        return value

    def _note(self, note: str) -> None:
        if note:
            self.notes.append(note)

    def values(self) -> dict[str, Any]:
        """The values that go into every prompt, by the names of parameters and inputs. Raises `BadArgument` where the
        workflow needs a prompt and none is given."""
        choice, workflow, parameters = self._choice, self._workflow, self._parameters
        values = {name: value for name, value in choice.family.defaults.items() if name in parameters}
        if not choice.saved and "steps" in parameters:
            usual_steps = values.get("steps", workflow.value("steps"))
            values["steps"] = min(usual_steps, self._limits.steps)
        values |= self._sizing.values()
        self.notes += self._sizing.notes
        values |= self._arguments()
        values |= self._named_inputs()
        needs_prompt = "prompt" in parameters
        if choice.saved:
            needs_prompt = "prompt" in workflow.open
        if needs_prompt and not names_of(workflow, "prompt", values):
            raise BadArgument(f'The workflow "{workflow.name}" needs a prompt.', 'Give {"prompt": "…"} in `inputs`.')
        return values

    # What is asked for by an argument or by the name of an input.

    def _arguments(self) -> dict[str, Any]:
        """The values of the arguments that every workflow may have. What this one does not have is left out, with a
        note. Raises `BadArgument` for a prompt that it does not take, and `LimitExceeded` for too many steps."""
        request = self._request
        asked = {
            "prompt": self._prompt(),
            "negative_prompt": request.negative_prompt,
            "steps": request.steps,
            "guidance": request.guidance,
            "seed": request.seed,
            "denoise": request.strength,
        }
        values: dict[str, Any] = {}
        for name, wanted in asked.items():
            if wanted is None:
                continue
            has_no_use = name == "denoise" and self._choice.picture is None
            if has_no_use or name not in self._parameters:
                self._leave_out(name, wanted)
            else:
                values[name] = self._fit(wanted, self._spec(name))
        steps, allowed = as_number(values.get("steps")) or 0, self._limits.steps
        if request.steps and steps > allowed:
            raise over_limit(request.steps, values["steps"], f"at most {allowed} steps")
        return values

    def _prompt(self) -> Argument | None:
        """The prompt as an argument. Raises `BadArgument` where the workflow takes none."""
        if self._request.prompt is None:
            return None
        if "prompt" not in self._parameters:
            raise BadArgument(
                f'The workflow "{self._workflow.name}" takes no prompt.',
                "describe_workflow tells what it takes, and run_workflow runs it.",
            )
        return Argument(self._request.prompt, "The argument prompt")

    def _leave_out(self, name: str, wanted: Argument) -> None:
        """Note that the workflow does not have what an argument asks for. A valve may name a negative prompt for all
        workflows, also for those that take none."""
        if name == "denoise":
            name = "strength"
        if name != "negative_prompt":
            self.notes.append(f"{self._title} has no {name}; it was left out")
        elif wanted.level == 0:
            self.notes.append(f"{self._title} takes no negative prompt; it was left out")

    def _named_inputs(self) -> dict[str, Any]:
        """The values of what is asked for by name, made to fit. Files are given as files and never by a name: the
        server's folders hold everybody's. Raises `BadArgument` for a name that the workflow does not have."""
        workflow = self._workflow
        if not self._request.inputs:
            return {}
        files = {item.target for item in file_inputs(workflow.flow)}
        values: dict[str, Any] = {}
        for name, wanted in self._request.inputs.items():
            targets = workflow.find(name)
            if targets is None:
                raise _no_such_input(workflow, name)
            if not files.isdisjoint(target.widget for target in targets):
                hint = "Give the file itself in `images`: its number, id or URL."
                raise BadArgument(f"{wanted.name} is a file.", hint)
            if any(lists_users_files(workflow, target) for target in targets):
                raise BadArgument(
                    f"{wanted.name} is a file on the server, which cannot be chosen by name.",
                    "Leave it out: the workflow uses the file that it was saved with.",
                )
            values[name] = self._fit(wanted, self._spec(name))
        return values

    # How many pictures, and with which seeds and LoRAs.

    def _count(self) -> int | None:
        """How many pictures are asked for; None where that is not said. Raises `LimitExceeded`."""
        wanted = self._request.count
        if wanted is None:
            return None
        allowed = self._limits.count
        count, note = fit_number(wanted, InputSpec("INT", 1))
        if count > allowed:
            raise over_limit(wanted, count, f"at most {allowed} pictures in one call")
        self._note(note)
        return int(count)

    def runs(self, values: Mapping[str, Any], random_seed: int) -> list[Run]:
        """The seed and the values of each prompt that the call takes: one prompt with a batch, or one for each picture,
        with seeds in a row.

            a batch size, count 3:  [(7, {"seed": 7, "batch_size": 3})]
            only a seed, count 3:   [(7, {"seed": 7}), (8, {"seed": 8}), (9, {"seed": 9})]

        Without either a second picture would be the same, so the count is left out, with a note.
        """
        values = dict(values)
        count = self._count()
        has_batch = "batch_size" in self._parameters
        batch: dict[str, Any] = {}
        if has_batch and count:
            batch["batch_size"] = count
        if "seed" not in self._parameters:
            if not has_batch and count and count > 1:
                self.notes.append(f"{self._title} cannot make several; count was left out")
            return [(None, {**values, **batch})]
        low, span = self._seed_range()
        seed = low + random_seed % span
        seed_names = names_of(self._workflow, "seed", values)
        if seed_names:
            seed = values.pop(seed_names[-1])
        # A seed of one sampler alone, given by its own name, comes after the seed of all.
        if not isinstance(seed, int):  # it only stands in a text
            return [(None, {"seed": seed, **values})]
        if has_batch:
            return [(seed, {"seed": seed, **values, **batch})]
        runs: list[Run] = []
        for index in range(count or 1):
            own_seed = low + (seed - low + index) % span
            runs.append((own_seed, {"seed": own_seed, **values}))
        return runs

    def _seed_range(self) -> tuple[int, int]:
        """The lowest seed that the workflow takes, and how many there are."""
        spec = self._spec("seed")
        low = max(int(spec.minimum or 0), 0)
        high = MAX_SEED
        if spec.maximum is not None:
            high = int(min(spec.maximum, 2**64 - 1))
        return low, max(high - low + 1, 1)

    def loras(self) -> list[Lora]:
        """LoRAs given as "name" or "name:0.8", several in a list or behind commas, as files that are installed.
        Strengths are made to fit, with a note. Raises `BadArgument`, `ModelNotInstalled`, `NodeNotInstalled`."""
        wanted, definitions = self._request.loras, self._workflow.definitions
        if wanted is None:
            return []
        texts = _lora_texts(wanted)
        loaders = [definitions[name] for name in LORA_LOADERS if name in definitions]
        if not loaders:
            raise NodeNotInstalled('This ComfyUI has no node "LoraLoader".')
        widgets = loaders[0].inputs
        installed = widgets["lora_name"].names
        loras: list[Lora] = []
        for text in texts:
            name, asked = parse_lora(text)
            file = find_name(name, installed)
            if file is None:
                raise _no_such_lora(wanted, name, installed)
            strength = Argument(asked, f'the strength of the LoRA "{file}"', wanted.level)
            fitted, note = fit_number(strength, widgets["strength_model"])
            self._note(note)
            loras.append(Lora(file, fitted))
        return loras


def _no_such_input(workflow: Workflow, name: str) -> BadArgument:
    like = closest(name, [*workflow.names, *EXTRAS], 5)
    message = f'The workflow "{workflow.name}" has no input "{shortened(name)}".'
    return BadArgument(message, f"It has, like it: {quoted(like)}.")


def _lora_texts(wanted: Argument) -> list[str]:
    """What is asked for, one LoRA a text: ["name", "other:0.8"]. Raises `BadArgument`."""
    value = texts = wanted.value
    if isinstance(value, str):
        texts = value.split(",")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        hint = 'Give names such as ["name", "other:0.8"].'
        raise BadArgument(f"{wanted.name} is {shortened(value)}.", hint)
    stripped = [text.strip() for text in texts]
    return [text for text in stripped if is_given("loras", text)]


def _no_such_lora(wanted: Argument, name: str, choices: Sequence[str]) -> ModelNotInstalled:
    like = closest(name, choices)
    hint = "No LoRA is installed."
    if like:
        hint = f"Installed are, among others: {quoted(like)}."
    return ModelNotInstalled(f'{wanted.name} has "{shortened(name)}", and no such LoRA is installed.', hint)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/collecting.py
#
# Fetches what a run made, within bounds, and says what did not come.
#
# `collect` brings a run's files in the order of the graph's nodes, each in the format that is wanted. A run may name
# 20,000 files, or one that is missing: what comes is handed over, and everything else is a note that says how many files
# and why. `Collected.left` counts those of them that a later call may bring, by check_job, which gives `collect` what is
# stored already; `later_note` tells of it.
#
# Bounded are (bounds.py) the number of files of a call and of a run, and the seconds. `fetch` asks again and again for
# one file while its server does not answer.
# ----------------------------------------------------------------------------------------------------------------------


PARALLEL_FILES = 10  # sent to a server, or fetched, at the same time


@dataclass(frozen=True)
class Collected:
    """What came of what one run made: its files, the texts that nodes showed, and notes on both."""

    products: tuple[OutputFile, ...]
    texts: tuple[str, ...]
    notes: tuple[str, ...]
    left_out: int = 0  # files that did not come
    left: int = 0  # how many of those a later call may bring


@dataclass(frozen=True)
class Missing:
    """A file that did not come, and why."""

    name: str
    error: ComfyUIError


async def collect(
    server: ComfyUIServer,
    job: Job,
    graph: Graph,
    wanted: Format = Format(),
    timing: Timing = Timing(),
    stored: Sequence[str] = (),
) -> Collected:
    """The run's files, in the order of the graph's nodes, in the format that is `wanted`, but for those that are
    `stored` already, by their sources. What is only shown (by preview nodes) counts only when nothing was saved, and
    pictures of the websocket come last.

    Raises, where nothing at all came, `NothingMade`, `PictureMissed` when only the websocket could have brought it,
    `ServerGone` when the server stays away, and as `ComfyUIServer.view` does.
    """
    places = {node_id: place for place, node_id in enumerate(graph)}
    outputs = sorted(job.outputs, key=lambda output: places.get(output.node_id, len(places)))
    made = _outputs_to_fetch(outputs, bool(job.sent))
    if not made and not job.sent:
        raise _nothing_made(graph)
    of_run = made[:MOST_FILES_OF_RUN]
    new = _not_stored(of_run, stored)
    begun = new[:MOST_FILES_OF_CALL]
    collecting = Collecting(server, wanted, timing)
    work = [functools.partial(collecting.bring, output) for output in begun]
    outcomes = await gather(PARALLEL_FILES, work)
    for sent in job.sent:
        outcomes.append(await PICTURES.run(deliver, sent.data, "", wanted))
    products: list[OutputFile] = []
    notes: list[str] = []
    missing: list[Missing] = []
    for outcome in outcomes:
        if isinstance(outcome, Missing):
            missing.append(outcome)
            continue
        product, its_notes = outcome
        products.append(replace(product, prompt_id=job.prompt_id, of=len(of_run) + len(job.sent)))
        notes += its_notes
    if missing and not products:
        raise missing[0].error
    never = len(made) - len(of_run)
    unbegun = len(new) - len(begun)
    notes += _missing_notes(missing, len(made) + len(job.sent))
    if unbegun:
        notes.append(f"{unbegun} more files were left out, since one call brings {MOST_FILES_OF_CALL}")
    if never:
        notes.append(f"{never} more files stay in ComfyUI's output folder: of a run {MOST_FILES_OF_RUN} are brought")
    return Collected(
        products=tuple(products),
        texts=tuple(dict.fromkeys(output.text for output in outputs if output.type == "text")),
        notes=tuple(dict.fromkeys(notes)),
        left_out=len(missing) + unbegun + never,
        left=len(missing) + unbegun,
    )


def later_note(left: int, job_id: str) -> tuple[str, ...]:
    """A note, or none: how a job's files come that are `left`."""
    if not left:
        return ()
    what = "the file that is missing" if left == 1 else f"the {left} files that are missing"
    return (f"check_job tries once more to bring {what}: job_id {job_id}",)


class Collecting:
    """The files of one run on their way, within the bound of seconds."""

    def __init__(self, server: ComfyUIServer, wanted: Format, timing: Timing) -> None:
        self._server = server
        self._wanted = wanted
        self._timing = timing
        self._end = asyncio.get_running_loop().time() + MOST_COLLECTING_SECONDS
        self._gone: ServerGone | None = None  # what there is to say of a server that does not answer any more

    async def bring(self, output: Output) -> tuple[OutputFile, tuple[str, ...]] | Missing:
        """A file as it is wanted, with notes of what could not be done; or why it does not come."""
        if output.type == "text":
            return text_product(output.text), ()
        source = source_of(output)
        if self._gone:
            return Missing(source, self._gone)
        try:
            async with asyncio.timeout_at(self._end):
                data = await fetch(self._server, output, self._timing)
                product, notes = await PICTURES.run(deliver, data, output.filename, self._wanted)
                return replace(product, source=source), notes
        except TimeoutError:
            return Missing(source, _too_slow())
        except ServerGone as error:
            self._gone = error
            return Missing(source, error)
        except ComfyUIError as error:
            return Missing(source, error)


def _too_slow() -> ServerError:
    return ServerGone(
        f"The files did not come within {duration(MOST_COLLECTING_SECONDS)}.", "They are in ComfyUI's output folder."
    )


def source_of(output: Output) -> str:
    """What a file is called on its server: its name below ComfyUI's folder; "" for a text."""
    if output.subfolder:
        return f"{output.subfolder}/{output.filename}"
    return output.filename


def _outputs_to_fetch(outputs: Sequence[Output], was_sent: bool) -> list[Output]:
    """What is handed over of a run's outputs, each file once: what was saved, or where nothing was saved, nor sent over
    the websocket, everything."""
    saved = [output for output in outputs if output.type == "output"]
    if not saved and not was_sent:
        saved = list(outputs)
    distinct = {replace(output, node_id=""): output for output in saved}  # several nodes may tell of one file
    return list(distinct.values())


def _not_stored(outputs: Sequence[Output], stored: Sequence[str]) -> list[Output]:
    """Those that are not stored yet. Of texts, which have no name, the first are taken to be stored, as many as are."""
    sources = set(stored)
    texts = stored.count("")
    new: list[Output] = []
    for output in outputs:
        source = source_of(output)
        if not source and texts:
            texts -= 1
        elif not source or source not in sources:
            new.append(output)
    return new


def _missing_notes(missing: Sequence[Missing], of: int) -> list[str]:
    """Notes that name the files which did not come, those with a reason of one kind together: '2 of 10 files are
    missing ("a.png", "b.png"): ComfyUI does not give out its file "a.png" (HTTP 404)'."""
    kinds: dict[str, list[Missing]] = {}
    for file in missing:
        kinds.setdefault(file.error.code, []).append(file)
    notes: list[str] = []
    for files in kinds.values():
        names = quoted(shortened(file.name) for file in files[:MOST_NAMES_IN_NOTE])
        if len(files) > MOST_NAMES_IN_NOTE:
            names += f" and {len(files) - MOST_NAMES_IN_NOTE} more"
        reason = files[0].error.message.rstrip(".")
        verb = "is" if len(files) == 1 else "are"
        notes.append(f"{len(files)} of {of} files {verb} missing ({names}): {reason}")
    return notes


def _nothing_made(graph: Graph) -> NothingMade | PictureMissed:
    class_types = {node["class_type"] for node in graph.values()}
    if "SaveImageWebsocket" in class_types:
        return PictureMissed("The picture was sent over the websocket while the connection was down, and is gone.")
    return NothingMade("The run ended well, but saved nothing.")


async def fetch(server: ComfyUIServer, output: Output, timing: Timing) -> bytes:
    """A file's bytes, asked for again and again while the server does not answer: the file has outlived its run, and
    outlives a restart. Raises `ServerGone` after `timing.gone` seconds of that, and as `ComfyUIServer.view` does."""
    pause = timing.settle
    failed_since = refused_since = math.inf  # when it began to fail, and when to find no connection
    while True:
        try:
            data = await server.view(output)
            server.record.bytes += len(data)
            return data
        except ServerUnreachable as error:
            now = time.monotonic()
            since = failed_since = min(failed_since, now)
            if error.refused:
                since = refused_since = min(refused_since, now)
            else:
                refused_since = math.inf
            if now - since >= timing.gone:
                raise ServerGone(
                    f"ComfyUI stopped answering before its files were fetched. {error.message}",
                    f'"{output.filename}" is in ComfyUI\'s output folder.',
                    error.refused,
                ) from None
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))
        pause = min(pause * 2, timing.longest)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/make.py
#
# From a request to finished files: a server chosen, prompts run, what they made fetched.
#
# `make` goes around until the files are there or nothing helps. A round of its `RunProgress`:
#
# - `assign` chooses server and workflow together, since what is installed differs from server to server, puts the files
#   of the call in place and binds the prompts.
# - `run_prompts` has each prompt followed to its end (run/follow.py), and `collect` (run/collecting.py) fetches what it
#   made.
#
# A failure that another server may mend begins the next round, which binds anew out of the request as it was given. What
# was made before stays, and is handed over in the end, with a note on what is missing. The result is `RunResult`.
#
# `Memory` is what is done where ComfyUI shares its graphics card with a language model.
# ----------------------------------------------------------------------------------------------------------------------


CACHED_NOTE = "ComfyUI had this very picture already: prompt, seed and settings are those of an earlier one"


@dataclass(frozen=True)
class RunResult:
    """What became of a request: files, and what there is to tell of them."""

    products: tuple[OutputFile, ...]
    seed: int | None  # of the first prompt; None where the workflow has none
    model: str
    workflow: str
    seconds: float  # from the first post to the last file; 0 for an earlier job
    notes: tuple[str, ...]
    texts: tuple[str, ...] = ()  # that nodes showed
    running: str = ""  # the id of a job that outlived its wait after others had brought their files
    left_out: int = 0  # files that the runs made and that did not come; `notes` says why


@dataclass(frozen=True)
class Memory:
    """How a graphics card is shared with a language model; by default nothing is done about it."""

    unload: Callable[[], Awaitable[None]] | None = None  # sends the language model away, and never raises
    free_seconds: float | None = None  # after a run, before ComfyUI's memory is freed; None for never

    @contextlib.asynccontextmanager
    async def shared(self, server: ComfyUIServer) -> AsyncIterator[None]:
        """Around the runs of a call on a server: the language model is sent away before them, and ComfyUI's memory is
        freed after them. Comfy Cloud shares no card with anybody."""
        if self.unload and server.endpoint.shares_card:
            await self.unload()
        try:
            yield
        finally:
            is_wanted = server.endpoint.shares_card and not Pool.here().ending
            if self.free_seconds is not None and is_wanted:
                server.free_after(self.free_seconds)


@dataclass(frozen=True)
class RunOptions:
    """What the runs of a call choose from, show, and leave behind."""

    catalogue: Catalogue = Catalogue()
    previews: bool = True  # whether the listener gets them
    format: Format = Format()  # in which the files are handed over
    memory: Memory = Memory()


async def make(
    request: Request, fleet: Fleet, listener: ProgressListener, options: RunOptions = RunOptions()
) -> RunResult:
    """From a request to finished files, on the server that will be done soonest. Cancelling it cancels the job there.

    A post that a server certainly did not take goes to the next server. A job that its server lost is posted once more,
    to another server, or to the same one where that answers again; so is one whose post, as far as anybody can tell,
    never arrived, since a server that restarts forgets what it took. So no more than two servers ever take a prompt.

    Raises as `RunProgress.assign`, `follow` and `collect` do, unless some files of the call are there: then these are
    the result.
    """
    listener.status("connecting", "Connecting to ComfyUI")
    progress = RunProgress(request, await fleet.found(), listener, options)
    result = None
    while result is None:
        result = await progress.run_round()
    return result


@dataclass(frozen=True)
class Assignment:
    """A call's prompts, ready to post on the server that was chosen for them."""

    server: ComfyUIServer
    fitted: FittedWorkflow
    prompts: BoundPrompts
    posted: Callable[[], None]  # to be called when the server's queue shows the first of them


class RunProgress:
    """A call under way: what it is to make, and what it has made so far, of all its prompts and on all the servers that
    it came to."""

    def __init__(self, request: Request, fleet: Fleet, listener: ProgressListener, options: RunOptions) -> None:
        self.request = request
        self.fleet = fleet
        self.listener = listener
        self.options = options
        # The same in every round, so that another server makes the same.
        self.random_seed = secrets.randbelow(MAX_SEED + 1)
        self.moment = datetime.now()
        self.collected: list[Collected] = []  # one for each prompt that is done
        self.notes: list[str] = []
        self.parts = 0  # prompts that the call takes
        self.begun = 0.0  # when the first was posted, of `time.monotonic`; 0 before
        self.running = ""  # the id of the job that outlived the wait
        self.gone: set[Endpoint] = set()  # servers that are not tried any more
        self.ran_again = False  # whether a lost job was posted once more
        self.failed: tuple[Assignment, ComfyUIError] | None = None  # why another server is needed

    async def run_round(self) -> RunResult | None:
        """Run what is left of the call on the server that will be done soonest. None where that failed in a way that
        the next round may mend."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                assigned = await stack.enter_async_context(self.assign())
            except ComfyUIError:
                if self.failed is None:
                    raise
                before, error = self.failed
                if not self.collected:
                    raise error from None
                self.note_missing(error.message)
                return self.result(before)
            await stack.enter_async_context(self.options.memory.shared(assigned.server))
            try:
                await self.run_prompts(assigned)
            except ComfyUIError as error:
                self.failed = assigned, error
                if self.prepare_next_round(assigned.server, error):
                    return None
                if not self.collected:
                    if isinstance(error, StillRunning) and self.parts > 1:
                        error.message += f" It makes 1 of {self.parts}; the others were not begun."
                    raise
                self.note_missing(error.message)
                if isinstance(error, StillRunning):
                    self.running = error.job_id
            return self.result(assigned)

    def prepare_next_round(self, server: ComfyUIServer, error: ComfyUIError) -> bool:
        """Note what a failure says of its server. Returns whether another round may mend it: on another server, or on
        the same one where that only lost the job."""
        is_lost = isinstance(error, JobLost) or (isinstance(error, ServerGone) and error.refused)
        is_untaken = isinstance(error, ServerError) and error.untaken
        if is_lost:
            server.record.lost += 1
        if is_lost or is_untaken:
            server.record.rest(error.message, silent=isinstance(error, (ServerGone, ServerUnreachable)))
        others = set(self.fleet.endpoints) - self.gone - {server.endpoint}
        if is_untaken and others:
            self.gone.add(server.endpoint)
            return True
        if is_lost and not self.ran_again:
            return self.run_lost_job_again(server, error, bool(others))
        return False

    def run_lost_job_again(self, server: ComfyUIServer, error: ComfyUIError, others: bool) -> bool:
        """Whether a job that this server lost is run again: on the same one where that answers again, else where there
        are `others`."""
        is_away = isinstance(error, ServerGone)
        if is_away and not others:
            return False
        if is_away:
            self.gone.add(server.endpoint)
        self.ran_again = True
        if not isinstance(error, JobLost) or error.arrived:
            self.notes.append(f"{server.endpoint.name} lost the job, and it was run again")
            self.listener.status("connecting", "ComfyUI lost the job; it is run again")
        return True

    def note_missing(self, reason: str) -> None:
        """Note that not all were made, and why."""
        self.notes.append(f"only {len(self.collected)} of {self.parts} were made: {reason}")

    def result(self, assigned: Assignment) -> RunResult:
        """All that was made as the result of the call, with what was chosen in the end."""
        products: list[OutputFile] = []
        texts: list[str] = []
        for collected in self.collected:
            products += collected.products
            texts += collected.texts
        seed = assigned.prompts.seed
        return RunResult(
            products=tuple(replace(product, seed=seed) for product in products),
            seed=seed,
            model=assigned.prompts.model,
            workflow=assigned.fitted.workflow.name,
            seconds=time.monotonic() - self.begun,
            notes=tuple(dict.fromkeys(self.notes)),
            texts=tuple(texts),
            running=self.running,
            left_out=sum(collected.left_out for collected in self.collected),
        )

    # Choosing a server, and everything that has to be right before a prompt is posted there.

    @contextlib.asynccontextmanager
    async def assign(self) -> AsyncIterator[Assignment]:
        """The server that will be done soonest of those that have what the request needs, with the files in place and
        the prompts bound. None of those that are `gone`.

        Where one server has the model or workflow of a valve and another has not, the one that has it is taken. Raises
        as `Fleet.in_order` does, and what the first server said where none can do it.
        """
        name = ""
        if self.request.workflow:
            name = str(self.request.workflow.value)
        order = await self.fleet.in_order(name, self.gone)
        requests = [self.request]
        insisting = self.request.insisting()
        if len(order) > 1 and insisting != self.request:
            requests = [insisting, self.request]
        refusals: list[ComfyUIError] = []
        server_errors: list[ServerError] = []
        async with contextlib.AsyncExitStack() as stack:
            for request, endpoint in itertools.product(requests, order):
                server = await stack.enter_async_context(open_server(endpoint))
                coming = stack.enter_context(contextlib.ExitStack())
                coming.enter_context(server.record.expecting())
                try:
                    fitted, prompts = await self.bind(server, request)
                except (WorkflowRefused, UnknownWorkflow) as error:
                    refusals.append(error)
                except ServerError as error:
                    server_errors.append(error)
                    if isinstance(error, (ServerUnreachable, ServerGone)):
                        server.record.rest(error.message, silent=True)
                else:
                    yield Assignment(server, fitted, prompts, coming.close)
                    return
                coming.close()
        if refusals:
            raise refusals[0]
        raise self.fleet.none_answers(server_errors)

    async def bind(self, server: ComfyUIServer, request: Request) -> tuple[FittedWorkflow, BoundPrompts]:
        """The request bound for one server, with its files there. These are sent last: not before everything else
        about the call is known to be right."""
        fitted = await choose(server, request, self.options.catalogue)
        fitted = await freshen(server, fitted, request)
        fitted, files = await place_files(server, fitted, request)
        if fitted.saved:
            request = request.against_author()
        limits = self.fleet.limits
        prompts = await FILES.run(prepare, fitted, request, limits, self.random_seed, self.moment)
        if files:
            self.listener.status("uploading", "Sending the files to ComfyUI")
            prompts = await _with_uploads(server, prompts, files)
        return fitted, prompts

    # Running the prompts and fetching what they made.

    async def run_prompts(self, assigned: Assignment) -> None:
        """Run the prompts that are left on the server that was chosen for them, one after the other. Raises as `follow`
        and `collect` do; what was made before stays."""
        self.begun = self.begun or time.monotonic()
        self.notes += assigned.prompts.notes
        parts = len(assigned.prompts.workflows)
        if self.collected and parts != self.parts:
            self.note_missing("the other server makes them differently")
            return
        self.parts = parts
        for index in range(len(self.collected), self.parts):
            waited = time.monotonic() - self.begun
            wait = max(self.fleet.limits.wait_seconds - waited, 0.0)
            if self.collected and not wait:
                self.note_missing("the longest wait is over; the others were not begun")
                return
            await self.run_prompt(assigned, index, wait)

    async def run_prompt(self, assigned: Assignment, index: int, wait: float) -> None:
        """Run one of the prompts, for at most `wait` seconds, and fetch what it made."""
        server = assigned.server
        prompts = assigned.prompts
        graph = prompts.workflows[index].graph
        seed = None if prompts.seed is None else prompts.seed + index
        part = ""
        if self.parts > 1:
            part = f"{index + 1} of {self.parts} · "
        job, dropped = await follow(
            server,
            self.fleet,
            graph,
            self.listener,
            wait=wait,
            part=part,
            previews=self.options.previews,
            about={
                "workflow": assigned.fitted.workflow.name,
                "model": prompts.model,
                "seed": seed,
                "name": file_stem(self.request.called, seed),
            },
            posted=assigned.posted,
        )
        self.listener.status("saving", f"{part}Saving")
        job_id = self.fleet.owner.job_id(server.endpoint, job.prompt_id)
        try:
            collected = await collect(server, job, graph, self.options.format, self.fleet.timing)
        except BaseException as error:
            JOBS.leave(job.prompt_id)
            if isinstance(error, ServerGone):
                error.add_note(f"When ComfyUI is back, check_job may bring them: job_id {job_id}.")
            raise
        self.notes += [*dropped, *missed_pictures(job, graph), *collected.notes, *later_note(collected.left, job_id)]
        if job.cached >= set(graph):
            self.notes.append(CACHED_NOTE)
        self.collected.append(collected)


async def _with_uploads(server: ComfyUIServer, prompts: BoundPrompts, files: Sequence[InputFile]) -> BoundPrompts:
    """Send the files to the server; the prompts then name them as the server does, which may have chosen other
    names."""
    names = await gather(PARALLEL_FILES, [functools.partial(server.upload, file) for file in files])
    renamed: dict[str, str] = {}
    for file, name in zip(files, names, strict=True):
        if name != file.stored_name:
            renamed[file.stored_name] = name
    if not renamed:
        return prompts
    workflows = [replace(one, graph=with_files_named(one.graph, renamed)) for one in prompts.workflows]
    return replace(prompts, workflows=tuple(workflows))


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/run/earlier.py
#
# Finds jobs of earlier calls on the servers, and brings what they made.
#
# A job may outlive its call: the longest wait was over, or Open WebUI was restarted. `find_job` looks for one by its id,
# `own_jobs` for all of a user's, by the marks in their prompts (run/owner.py), in ComfyUI's queues and in the newest part
# of its histories. `bring` follows one to its end and fetches its files, and `job_line` tells in a line how one stands.
#
# Nothing is kept of jobs on this side. So a job is gone for good once ComfyUI, which forgets its history when it
# restarts, no longer knows it. Comfy Cloud does not show whose its jobs are: there a job is found by its id only, which
# is signed for that.
# ----------------------------------------------------------------------------------------------------------------------


CHECK_SECONDS = 20.0  # how long check_job waits for a job that is still at work
COLLECT_SECONDS = 24 * 3600.0  # since a job's end, after which it is only brought when it is named
PROMPT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def find_job(fleet: Fleet, job_id: str) -> tuple[Endpoint, Prompt]:
    """The user's job with this id (`Owner.job_id`), on whichever server knows it.

    Raises `BadArgument` for what is not an id, `UnknownJob` where no server knows it or it is somebody else's, and
    `ServerUnreachable` where one that does not answer may know it.
    """
    prompt_id, _, signature = job_id.strip().lower().partition(".")
    if not PROMPT_ID.fullmatch(prompt_id):
        raise BadArgument(
            f'The argument job_id is "{shortened(job_id)}".', 'It is told by a result "still running"; or leave it out.'
        )

    async def ask(server: ComfyUIServer) -> Prompt | None:
        return await server.find(prompt_id)

    answers, silent = await _ask_all(fleet, ask)
    signed = hmac.compare_digest(signature.encode(errors="replace"), fleet.owner.mark(prompt_id)[:16].encode())
    for endpoint, prompt in answers:
        if prompt is None:
            continue
        is_theirs = signed
        if endpoint.shows_marks:
            is_theirs = fleet.owner.owns(prompt)
        if is_theirs:
            return endpoint, prompt
    if silent:
        do_not = "does not" if len(silent) == 1 else "do not"
        raise ServerUnreachable(
            f"No server that answers knows this job, and {quoted(silent)} {do_not}.", "Try again later."
        )
    raise UnknownJob("No ComfyUI server knows such a job of this user.")


async def own_jobs(fleet: Fleet) -> tuple[list[tuple[Endpoint, Prompt]], list[str]]:
    """The user's jobs on all servers, as far as these remember, the oldest first; and the names of the servers that do
    not answer. Jobs on Comfy Cloud are not among them: it does not show whose they are."""

    async def ask(server: ComfyUIServer) -> list[Prompt]:
        return await server.recent()

    answers, silent = await _ask_all(fleet, ask)
    jobs: dict[str, tuple[Endpoint, Prompt]] = {}  # each id once, whoever else posts copies
    for endpoint, prompts in answers:
        for prompt in prompts:
            if fleet.owner.owns(prompt):
                jobs.setdefault(prompt.prompt_id, (endpoint, prompt))
    return sorted(jobs.values(), key=lambda job: marked_time(job[1], "at")), silent


async def _ask_all(
    fleet: Fleet, ask: Callable[[ComfyUIServer], Awaitable[T]]
) -> tuple[list[tuple[Endpoint, T]], list[str]]:
    """What each server answers, and the names of those that do not within the time of a look-up."""
    answers: list[tuple[Endpoint, T]] = []
    silent: list[str] = []
    for endpoint, answer in await ask_each(fleet.known, ask, LOOK_UP_SECONDS):
        if isinstance(answer, ComfyUIError):
            silent.append(endpoint.name)
        else:
            answers.append((endpoint, answer))
    return answers, silent


async def bring(
    fleet: Fleet,
    endpoint: Endpoint,
    prompt: Prompt,
    listener: ProgressListener,
    *,
    previews: bool = True,
    wanted: Format = Format(),
    wait: float = CHECK_SECONDS,
    stored: Sequence[str] = (),
) -> RunResult:
    """What a job made that an earlier call started, after a while of waiting if need be; but for the files that are
    `stored` already, by their sources. A Stop ends only the waiting.

    Raises `StillRunning` after `wait` seconds, and at once for a job that another call is following; and the job's own
    errors, as `judge` and `collect` do.
    """
    job_id = fleet.owner.job_id(endpoint, prompt.prompt_id)
    if JOBS.attended(prompt.prompt_id):
        raise StillRunning("Another call is following this job and brings it.", job_id)
    graph = prompt.graph
    job = replace(Job.posted(prompt.prompt_id, graph), complete=False, away=True)
    job = advance(job, prompt.state, time.monotonic())
    on_preview = listener.preview if previews else ignore_preview
    JOBS.attend(prompt.prompt_id)
    try:
        async with open_server(endpoint) as server:
            if not job.ended:
                async with server.connection.listen(prompt.prompt_id, picture_nodes(graph), on_preview) as subscription:
                    job = await watch(server, fleet, job, subscription, listener, wait=wait)
            job = judge(job, graph)
            listener.status("saving", "Saving")
            collected = await collect(server, job, graph, wanted, fleet.timing, stored)
    except BaseException:
        JOBS.leave(prompt.prompt_id)
        raise
    about = mark_of(prompt)
    seed = about.get("seed")
    if not isinstance(seed, int):
        seed = None
    return RunResult(
        products=tuple(replace(product, seed=seed) for product in collected.products),
        seed=seed,
        model=str(about.get("model") or ""),
        workflow=str(about.get("workflow") or ""),
        seconds=0.0,
        notes=(*collected.notes, *later_note(collected.left, job_id), *missed_pictures(job, graph)),
        texts=collected.texts,
        left_out=collected.left_out,
    )


def job_line(fleet: Fleet, endpoint: Endpoint, prompt: Prompt) -> dict[str, str]:
    """How a job stands, for the model. What is not known is left out.

        {"job_id": "0c6d...", "state": "waiting, 2 ahead", "workflow": "sdxl", "name": "a-red-fox-7"}

    The states are "running", "waiting, 2 ahead", "failed", and "done, its own call is bringing it".
    """
    state = "running"
    if isinstance(prompt.state, Waiting):
        state = f"waiting, {prompt.state.ahead} ahead"
    elif isinstance(prompt.state, Recorded):
        state = "failed"
        if prompt.state.success:
            state = "done, its own call is bringing it"
    about = mark_of(prompt)
    line = {
        "job_id": fleet.owner.job_id(endpoint, prompt.prompt_id),
        "state": state,
        "workflow": shortened(about.get("workflow") or ""),
        "name": shortened(about.get("name") or ""),
    }
    return {key: value for key, value in line.items() if value}


# ======================================================================================================================
# src/comfyui_chat/webui/__init__.py
#
# Everything that touches Open WebUI: the chat, its display, valves, methods for models.
#
# A call comes in at `Tools` (tools), makes a `Chat` of what Open WebUI hands over (chat), resolves both kinds of valves
# (settings), has the floors below do the work while a `Display` shows it in the message (display), and goes out as a
# dictionary for the model (reports).
#
#     ollama        Open WebUI's Ollamas, sent off a graphics card that they share with ComfyUI
#     references    what a model writes when it means a file of the chat: "2", "last", an id, a data URI
#     display       status texts and previews in the message, shown live and never stored
#     messages      which messages a chat has up to now, and which files they hold
#     stored_files  a file that was made, as a message names it and its dialog shows it
#     chat          the message of a call: its files, where results are stored, and how a call ends in it
#     valves        what the administrator and each user can set
#     settings      valves, rights and arguments resolved to what holds for one call
#     reports       what the model is told of results and of servers
#     jobs          check_job: jobs of earlier calls brought, cancelled, or told of
#     tools         the methods that a model can call
#
# `open_webui` is imported inside functions only, so that the file loads, and the command line works, without it. What is
# imported is there, under the same names, in Open WebUI 0.9.6 to 0.12.4, but for the places that say otherwise.
# ======================================================================================================================


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/ollama.py
#
# Sends Ollama's models off a graphics card that ComfyUI shares with it.
#
# `configured_ollamas` reads the connections out of Open WebUI's settings, and `Ollama.unload` sends one's models away
# before a run. It talks to Ollama's own API:
#
#     GET  /api/ps                                                 -> {"models": [{"name": "llama3.2:3b", ...}]}
#     POST /api/generate {"model": "llama3.2:3b", "keep_alive": 0} -> answers at once; the memory is free a little later
#
# A run must not fail, or wait long, because of this: failures are logged, and it takes five seconds at most.
# ----------------------------------------------------------------------------------------------------------------------


UNLOAD_SECONDS = 5.0  # for all that is done to get Ollama's models off the graphics card
UNLOAD_PAUSE_SECONDS = 0.2  # between two looks whether they are gone


@dataclass(frozen=True)
class Ollama:
    """One of Open WebUI's connections to Ollama, and the key that belongs to it."""

    url: str
    api_key: str = field(default="", repr=False)

    @classmethod
    def all_of(cls, enabled: Any, urls: Any, configs: Any) -> "list[Ollama]":
        """The connections that are switched on, as Open WebUI's settings hold them: addresses in `urls`, and what
        belongs to each in `configs`, by its place in `urls` or, in older settings, by its address.

            {"0": {"enable": true, "key": "secret"}}  or  {"http://localhost:11434": {"key": "secret"}}

        Whatever has another shape is passed over.
        """
        if not enabled or not isinstance(urls, (list, tuple)):
            return []
        known: Mapping[str, Any] = configs if isinstance(configs, Mapping) else {}
        connections = []
        for index, url in enumerate(urls):
            address = str(url)
            parts = urlsplit(address)
            config: Mapping[str, Any] = {}
            for key in (str(index), url, f"{parts.scheme}://{parts.netloc}"):
                if isinstance(known.get(key), Mapping):
                    config = known[key]
                    break
            if parts.hostname and config.get("enable", True):
                api_key = config.get("key") or ""
                connections.append(cls(address.rstrip("/"), str(api_key)))
        return connections

    async def unload(self) -> None:
        """Have it unload all models, and wait until they are gone, for `UNLOAD_SECONDS` at most. Whatever goes wrong is
        logged and goes no further; only a cancellation is raised."""
        headers = {}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        jar = aiohttp.DummyCookieJar()
        try:
            async with (
                asyncio.timeout(UNLOAD_SECONDS),
                aiohttp.ClientSession(headers=headers, cookie_jar=jar, raise_for_status=True) as session,
            ):
                await self._unload_all(session)
        except Exception as error:
            status = getattr(error, "status", "")
            reason = f"{type(error).__name__} {status}".strip()
            _, _, host = urlsplit(self.url).netloc.rpartition("@")
            log.info("Ollama at %s did not unload its models: %s", host, reason)

    async def _unload_all(self, session: aiohttp.ClientSession) -> None:
        """Ask for all loaded models to be unloaded, and wait for those that will be. Raises the first failure then."""
        names = sorted(await self._loaded(session))
        requests = [self._send_away(session, name) for name in names]
        failures = await asyncio.gather(*requests, return_exceptions=True)
        going = {name for name, failure in zip(names, failures, strict=True) if failure is None}
        while going:  # it answers at once, and the memory is free later
            await asyncio.sleep(UNLOAD_PAUSE_SECONDS)
            going &= await self._loaded(session)
        for failure in failures:
            if failure is not None:
                raise failure

    async def _loaded(self, session: aiohttp.ClientSession) -> set[str]:
        """The names of the models in its memory."""
        async with session.get(f"{self.url}/api/ps", allow_redirects=False) as response:
            answer = await response.json()
        return {str(model.get("model") or model["name"]) for model in answer["models"]}

    async def _send_away(self, session: aiohttp.ClientSession, name: str) -> None:
        """Ask for one model to be unloaded: without a prompt, and to be kept for no time after it."""
        body = {"model": name, "keep_alive": 0}
        async with session.post(f"{self.url}/api/generate", json=body, allow_redirects=False) as response:
            await response.read()


async def configured_ollamas(request: Any) -> list[Ollama]:
    """The Ollamas in Open WebUI's own settings. `request` is the one that a call belongs to."""
    with contextlib.suppress(ImportError, AttributeError):
        from open_webui.models.config import Config

        enabled = await Config.get("ollama.enable")
        urls = await Config.get("ollama.base_urls")
        configs = await Config.get("ollama.api_configs")
        return Ollama.all_of(enabled, urls, configs)
    with contextlib.suppress(AttributeError):  # before 0.10 the settings hang on the application
        config = request.app.state.config
        return Ollama.all_of(config.ENABLE_OLLAMA_API, config.OLLAMA_BASE_URLS, config.OLLAMA_API_CONFIGS)
    return []


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/permission.py
#
# Open WebUI's own permission to make images, for the valve that has it count here as well.
#
# Administrators give it to all users (Admin Panel > Users > Groups > Default permissions > Image Generation), or to
# groups. Open WebUI's `has_permission` tells whether a user has it; the defaults for all users are handed to it, and
# stand in its settings under `user.permissions`, before 0.10 at the application. Facts are those of Open WebUI 0.9.6 to
# 0.12.4; what cannot be found in another release is no permission.
# ----------------------------------------------------------------------------------------------------------------------


IMAGE_PERMISSION = "features.image_generation"
WHERE_GIVEN = (
    f"Only an administrator can give it ({IMAGE_PERMISSION}): Admin Panel > Users > Groups, in the default permissions "
    "or in a group of the user."
)


async def require_image_permission(request: Any, user: Mapping[str, Any]) -> None:
    """Raise `NotPermitted` unless Open WebUI lets the user make images. Administrators always may."""
    if user.get("role") == "admin":
        return
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            is_permitted = await _has_permission(request, str(user.get("id") or ""))
    except Exception as error:  # whatever another release has in its place
        log.warning("Open WebUI does not tell who may make images: %s", type(error).__name__)
        raise NotPermitted(
            f"Open WebUI does not tell whether the user has its permission {IMAGE_PERMISSION}, which is required here.",
            "The administrator can switch off the valve that requires it, or update Open WebUI or this tool.",
        ) from None
    if not is_permitted:
        raise NotPermitted('The user lacks Open WebUI\'s permission "Image Generation".', WHERE_GIVEN)


async def _has_permission(request: Any, user_id: str) -> bool:
    from open_webui.utils.access_control import has_permission

    try:
        from open_webui.models.config import Config
    except ImportError:  # before 0.10
        for_all = request.app.state.config.USER_PERMISSIONS
    else:
        for_all = await Config.get("user.permissions")
    return bool(await has_permission(user_id, IMAGE_PERMISSION, for_all or {}))


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/telling.py
#
# What leaves a call for the chat: how its failure is told, and what ordinary users and their models are not told.
#
# Where the servers are is for administrators only. Messages of this tool never say it (`ComfyUIError.at`), but a node, a
# server or a workflow may: so every text that leaves a call goes through `Hiding`, which puts the server's name there.
# ----------------------------------------------------------------------------------------------------------------------


def told_failure(error: Exception, is_admin: bool) -> tuple[dict[str, Any], str]:
    """What the model is told of a call that failed, and the last status: to an administrator also where."""
    if not isinstance(error, ComfyUIError):
        log.error("a mistake in the ComfyUI tool", exc_info=error)
        mistake = InternalError(f"The tool failed ({type(error).__name__}).")
        return mistake.as_result(), "The tool failed"
    log.info("%s: %s", error.code, error.message)
    result, text = error.as_result(), error.message
    if is_admin and "error" in result:
        result["error"] = text = error.with_place
    return result, text


def stop_text(stop: asyncio.CancelledError) -> str:
    """The last status of a call that was stopped. A note of the cancellation tells what became of the job."""
    notes = getattr(stop, "__notes__", ())
    if not notes:
        return "Stopped"
    note = str(notes[0])
    if note.startswith(GOES_ON):
        return note
    return f"Stopped. {note}"


@dataclass(frozen=True)
class Hiding:
    """Puts the names of servers in the place of their addresses."""

    endpoints: tuple[Endpoint, ...] = ()

    def of(self, value: Any) -> Any:
        """A text, or all texts in a value of JSON, without these servers' addresses."""
        if isinstance(value, str):
            for endpoint in self.endpoints:
                value = hide_address(value, endpoint)
        elif isinstance(value, dict):
            value = {self.of(key): self.of(item) for key, item in value.items()}
        elif isinstance(value, list):
            value = [self.of(item) for item in value]
        return value


def hide_address(text: str, endpoint: Endpoint) -> str:
    """A text in which a server's name stands wherever its address does: with or without its scheme, port and path, and
    in the words of libraries, such as "host='gpu', port=8188" and "('10.0.0.5', 8188)"."""
    pattern = _address_pattern(endpoint.url)
    return pattern.sub(_naming(endpoint.name), text) if pattern else text


def _naming(name: str) -> Callable[[re.Match[str]], str]:
    def named(match: re.Match[str]) -> str:
        rest = match[0][len(match[0].rstrip(".,:;!?")) :]  # a sentence may end behind the address
        return name + rest

    return named


# An address by numbers, of version 4, or of version 6 in brackets.
ADDRESS_IN_NUMBERS = r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]{2,45}\])"
NUMBERS_IN_QUOTES = r"[0-9a-f:.]{2,45}"
LEAST_PATH = 5  # characters; a shorter path may be part of anything


@functools.lru_cache(maxsize=256)
def _address_pattern(url: str) -> re.Pattern[str] | None:
    """Finds a server's address in a text; None for Comfy Cloud's, which everybody knows.

    A host of a single word, such as "flux", may mean anything: it counts only behind a scheme or before the port. So
    does an address by numbers, which the host's name may stand for, before the port.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in ("", CLOUD_HOST):
        return None
    name = rf"\[?{re.escape(host)}\]?"
    port = parts.port or (443 if parts.scheme == "https" else 80)
    end = r"(?![\w-]|\.\w)"
    places = [
        rf"[a-z][a-z0-9+.-]{{0,20}}://(?:[^\s/@]{{1,100}}@)?{name}(?::\d{{1,5}})?{end}",
        rf"{name}(?::|%3a){port}{end}",
        rf"""["']{name}["'],\s?(?:port=)?{port}{end}""",
    ]
    if "." in host or ":" in host:
        places.append(rf"{name}(?::\d{{1,5}})?{end}")
    if parts.port:
        places.append(rf"{ADDRESS_IN_NUMBERS}(?::|%3a){port}{end}")
        places.append(rf"""["']{NUMBERS_IN_QUOTES}["'],\s?(?:port=)?{port}{end}""")
    if len(parts.path) >= LEAST_PATH and not parts.path.startswith("/api/"):  # as files of Open WebUI do
        places.append(re.escape(parts.path) + end)
    path = r"""(?:[/?#][^\s"'<>()]*)?"""
    return re.compile(rf"(?:(?<![\w.-])|(?<=%2f))(?:{'|'.join(places)}){path}", re.IGNORECASE)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/references.py
#
# Takes apart what a model writes to name files of the chat: a list, a text, an object, or several of them in one.
#
# `read_references` gives one text for each item, whatever it is wrapped in:
#
#     ["1", "last 2"]      "1, last 2"      '["1", "last 2"]'      1      {"images": [{"number": 3, "id": "5f0c..."}]}
#     "![a fox](/api/v1/files/5f0c.../content)"      '<file type="image" id="5f0c..." name="photo.png"/>'
#
# A text that is an id, an address or a data URI (`file_reference`) names its file. For any other webui/picking.py says
# which pictures of the chat it means. webui/chat.py, which knows the chat, puts these together and reads the files; of
# data URIs `read_data_uri` gives the content.
# ----------------------------------------------------------------------------------------------------------------------


# A file's id, alone or in its address: "/api/v1/files/<id>/content", with or without the host before it.
FILE_REFERENCE = re.compile(r"(?:\S{0,500}/api/v1/files/)?([0-9a-fA-F-]{36})(?:/content(?:/\S{0,500})?)?")
FILE_ID = re.compile(r"(?<![0-9a-f-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f-])", re.IGNORECASE)
DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.-]+)*;base64,")
OF_AUTHOR = ("saved", "author", "keep")  # written in place of a file: the one that the workflow names
OF_IMAGE = ("transparency", "transparent", "alpha")  # written in place of a mask: the picture's own

# Under which keys an object names its file, the most certain first, and under which it holds several.
ONE_FILE = ("id", "file_id", "url", "image_url", "src", "number", "name", "filename", "image", "file", "path", "index")
SEVERAL_FILES = ("images", "pictures", "files", "image_urls", "urls", "ids")


def read_references(value: Any, name: str = "images") -> list[str]:
    """What the argument called `name` says, one text for each file or few. What stands for leaving the argument out
    ("none", "auto") is dropped, and a data URI is kept whole.

    Raises `BadArgument`.
    """
    texts: list[str] = []
    for item in _items_of(parsed_json(value), 0):
        if item is None:
            raise _no_reference(name, value)
        for text in _texts_of(item):
            if is_given("images", text):
                texts.append(text)
            if len(texts) > MOST_ARGUMENT_ITEMS:
                raise _no_reference(name, value)
    return texts


def _no_reference(name: str, value: Any) -> BadArgument:
    hint = 'Give numbers, "last", "all", or names, ids or URLs of files of this chat.'
    return BadArgument(f"The argument {name} is {shortened(value)}.", hint)


def _items_of(value: Any, depth: int) -> Iterator[str | None]:
    """The texts in a list or an object, however deep; None stands for something that can name no file."""
    if value is None and depth == 0:
        return
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, (list, tuple)) and depth <= MOST_ARGUMENT_DEPTH:
        for item in value:
            yield from _items_of(item, depth + 1)
    elif isinstance(value, Mapping) and depth <= MOST_ARGUMENT_DEPTH:
        yield from _items_of(_named_in(value), depth + 1)
    else:
        yield None


def _named_in(item: Mapping[str, Any]) -> Any:
    """What an object says of its file or files; None where it says nothing."""
    for key in SEVERAL_FILES:
        if item.get(key):
            return item[key]
    for key in ONE_FILE:
        value = item.get(key)
        if value is not None and value != "":
            return value
    return None


# What stands around an address: Markdown's brackets, of which the address is within the round ones, or a tag.
MARKDOWN = re.compile(r"!?\[[^\[\]]*\]\(([^()]*)\)")
TAG = re.compile(r"<(?:file|img|image)\b([^<>]*)>", re.IGNORECASE)
TAG_NAME = re.compile(r'\b(?:id|src|url|name)="([^"]+)"')


def _texts_of(item: str) -> list[str]:
    """What one text says: the addresses within Markdown or tags where it has some, else the text itself. Words around
    those count only if they hold a number, as in "![a fox](...) and 2"."""
    text = item.strip()
    if DATA_URI.match(text):
        return [text]
    addresses: list[str] = []

    def noted(address: str) -> str:
        addresses.append(address)
        return ","

    around = MARKDOWN.sub(lambda found: noted(_address_in(found[1])), text)
    around = TAG.sub(lambda found: noted(_named_in_tag(found[1])), around)
    if not addresses:
        return [text]
    others = [words.strip() for words in around.split(",")]
    return addresses + [words for words in others if any(map(str.isdigit, words))]


def _address_in(brackets: str) -> str:
    """The address in Markdown's round brackets, without the title that may follow it."""
    words = brackets.split()
    return words[0].strip("<>") if words else ""


def _named_in_tag(attributes: str) -> str:
    """What a tag says of its file: its id, its address or its name."""
    named = TAG_NAME.search(attributes)
    return named[1] if named else ""


def file_references(text: str) -> list[str]:
    """The files of Open WebUI, or the data URI, that a text names by itself; none where it has to be understood."""
    if DATA_URI.match(text) or FILE_REFERENCE.fullmatch(text):
        return [text]
    return list(dict.fromkeys(FILE_ID.findall(text)))


def read_data_uri(uri: str) -> tuple[str, bytes]:
    """A name for messages, and the content of a data URI. Raises `BadArgument` and `LimitExceeded`. Blocks."""
    if len(uri) * 3 / 4 > MAX_INPUT_BYTES:
        raise LimitExceeded(f"A file of the chat is larger than {MAX_INPUT_BYTES // 2**20} MB.", "Give a smaller one.")
    _, _, encoded = uri.partition(",")
    try:
        return "the attached file", base64.b64decode(encoded, validate=True)
    except ValueError:
        raise BadArgument("A file of the chat is not a valid data URI.", "Ask the user to attach it again.") from None


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/display.py
#
# Shows a run in the message: queue position, percentage, and the picture coming up.
#
# The texts are those of run/job.py's `describe`. A `Display` is the `ProgressListener` of a run in Open WebUI, and sends
# two kinds of events, both live only (`Chat._live`), so that nothing of them is written to the database:
#
#     {"type": "status", "data": {"description": "Waiting, 2 ahead", "done": False}}
#     {"type": "chat:message:files", "data": {"files": [<the message's own files>, {"type": "image", "url": "data:..."}]}}
#
# Every status stays in a list that the user can open, and every files event replaces what the message shows, so both are
# sent seldom, and previews are shrunk first. The last status of a call, and taking the preview away, are not done here
# but by `Chat.answer`.
# ----------------------------------------------------------------------------------------------------------------------


PREVIEW_BYTES = 40_000  # of a preview in the chat, about
MOST_PREVIEW_MEGAPIXELS = 16.8  # of one that is made small; others are not shown
PREVIEW_PIXELS = 512  # its longer side
STATUS_SECONDS = 2.0  # between two texts of the same phase: the chat lists every one of them
PREVIEW_SECONDS = 0.5  # between two previews
Emit = Callable[[dict[str, Any]], Awaitable[Any]]  # Open WebUI's event emitter


class Display:
    """What a run shows in the message, live only.

    Only the newest text and the newest preview are kept, so a slow chat never holds anything up. A text of the same
    phase follows another after `STATUS_SECONDS` at the earliest, a preview after `PREVIEW_SECONDS`.
    """

    def __init__(
        self,
        emit: Emit | None,
        real_files: Sequence[Mapping[str, Any]],
        previews: bool,
        told: Callable[[str], str] = str,
    ) -> None:
        """`emit` sends an event, and is None where nothing is shown; `real_files` are those that the message holds
        already; `previews` says whether they can be shown, and `told` what of a text is told to the user."""
        self._emit = emit
        self._told = told
        self._real_files = real_files
        self.previews = previews  # whether one can be shown, and taken away again
        self.preview_shown = False
        self._status: tuple[str, str] | None = None  # the newest phase and text
        self._sent_status: tuple[str, str] | None = None
        self._preview: bytes | None = None  # the newest one, until it is sent
        self._status_due = 0.0  # when the next text of the same phase may be sent, by `time.monotonic`
        self._preview_due = 0.0
        self._news = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to show what comes."""
        if self._emit:
            self._pump = asyncio.create_task(self._run(self._emit))

    async def stop(self) -> None:
        """Show nothing any more; what is just being sent is dropped."""
        if self._pump:
            self._pump.cancel()
            await asyncio.wait({self._pump}, timeout=CLEAN_UP_SECONDS / 3)

    def status(self, phase: str, text: str, fraction: float | None = None) -> None:
        """Show a text as soon as its turn comes, unless a newer one comes first."""
        self._status = phase, text
        self._news.set()

    def preview(self, data: bytes) -> None:
        """Show a preview as soon as its turn comes, unless a newer one comes first."""
        if self.previews:
            self._preview = data
            self._news.set()

    async def _run(self, emit: Emit) -> None:
        """Send what is new when it is due, and sleep until something is new or due."""
        while True:
            self._news.clear()  # before looking, so that what comes during a send is looked at at once
            now = time.monotonic()
            await self._send_status(emit, now)
            await self._send_preview(emit, now)
            await self._sleep()

    async def _send_status(self, emit: Emit, now: float) -> None:
        """Send the newest text if it is new and due; a new phase is always due."""
        status, sent = self._status, self._sent_status
        if status is None or status == sent:
            return
        same_phase = sent is not None and status[0] == sent[0]
        if same_phase and now < self._status_due:
            return
        self._sent_status = status
        self._status_due = now + STATUS_SECONDS
        text = self._told(status[1])
        await self._send(emit, {"type": "status", "data": {"description": text, "done": False}})

    async def _send_preview(self, emit: Emit, now: float) -> None:
        """Send the newest preview, made small, if there is one and it is due."""
        data = self._preview
        if data is None or now < self._preview_due:
            return
        self._preview = None
        self._preview_due = now + PREVIEW_SECONDS
        url = await PICTURES.run(shrink_preview, data)
        if url:
            files = [*map(dict, self._real_files), {"type": "image", "url": url}]
            self.preview_shown = True
            await self._send(emit, {"type": "chat:message:files", "data": {"files": files}})

    async def _sleep(self) -> None:
        """Wait until something new comes, or until what is there already is due."""
        dues = []
        if self._status != self._sent_status:
            dues.append(self._status_due)
        if self._preview:
            dues.append(self._preview_due)
        seconds = None
        if dues:
            seconds = min(dues) - time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    async def _send(self, emit: Emit, event: dict[str, Any]) -> None:
        """Send one event, within its time. A failure is logged and goes no further."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await emit(event)
        except Exception as error:  # a run must not fail because a text could not be shown
            log.debug("event %s: %s", event["type"], type(error).__name__)


def shrink_preview(data: bytes) -> str | None:
    """A preview as a small JPEG data URI of about `PREVIEW_BYTES` at most, or None when it is not a picture. Blocks."""
    steps = (PREVIEW_PIXELS, 75), (PREVIEW_PIXELS, 55), (PREVIEW_PIXELS // 2, 60)
    return small_jpeg(data, steps, PREVIEW_BYTES, MOST_PREVIEW_MEGAPIXELS)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/messages.py
#
# Which messages a chat has up to now, and which pictures, videos and sounds they hold.
#
# Nothing here asks Open WebUI: webui/chat.py reads the messages out of it, and these functions say what follows from
# them. `saved_branch` picks the messages of a chat that is in the database; `unsaved_branch` puts together those of any
# other chat, out of what was sent to the model and what this process remembers of its own answers (`ELSEWHERE`).
# `media_in` lists the files of such a branch. As far as they are read here, a message and its files look like this:
#
#     {"role": "assistant", "parentId": "9b1d...", "content": "Here it is.", "files": [
#         {"type": "image", "id": "5f0c...", "url": "/api/v1/files/5f0c.../content", "content_type": "image/png"}]}
# ----------------------------------------------------------------------------------------------------------------------


# A picture in a text, in Markdown. Between its brackets are none, so that no text is gone through again and again.
SHOWN_FILE = re.compile(r"!\[[^\[\]]*\]\(\s*[^\s()]*?/api/v1/files/([0-9a-fA-F-]{36})/content")
TOOL_PICTURES = "Here are the images from the tool results above"  # how Open WebUI shows a model what tools return
Message = Mapping[str, Any]


# The files of messages.


@dataclass(frozen=True)
class ChatFile:
    """A picture, video or sound that stands in a chat."""

    kind: str  # "image", "video" or "audio"
    reference: str  # its id in Open WebUI, or a data URI
    name: str = ""  # of the file, as Open WebUI shows it to the model in `<attached_files>`
    turn: int = 0  # of the user's messages the one that it stands in or below, from 1
    attached: bool = False  # whether it came with the user's message, and not with an answer

    @classmethod
    def of(cls, item: Any) -> "ChatFile | None":
        """What an item of a message's files is, or None for anything else."""
        if not isinstance(item, Mapping):
            return None
        kind = _kind_of(item)
        if kind not in ("image", "video", "audio"):
            return None
        for place in (item.get("id"), item.get("url")):
            text = str(place or "")
            stored = FILE_REFERENCE.fullmatch(text)
            if stored:
                return cls(kind, stored[1], _name_of(item))
            if DATA_URI.match(text):
                return cls(kind, text, _name_of(item))
        return None


def _name_of(item: Mapping[str, Any]) -> str:
    """A file's name, as far as its item tells it."""
    name = item.get("name")
    record = item.get("file")
    if not name and isinstance(record, Mapping):
        name = record.get("filename")
    return name[:MOST_NAME_CHARACTERS] if isinstance(name, str) else ""


def _kind_of(item: Mapping[str, Any]) -> str:
    """The first half of a file's content type, as far as its item tells: "video"."""
    if item.get("type") == "image":
        return "image"
    content_type = item.get("content_type")
    record = item.get("file")
    if not content_type and isinstance(record, Mapping):
        meta = record.get("meta")
        if isinstance(meta, Mapping):
            content_type = meta.get("content_type")
    if not content_type:
        name = str(item.get("name") or "")
        content_type, _ = mimetypes.guess_type(name)
    kind, _, _ = str(content_type or "").partition("/")
    return kind


def media_in(branch: Iterable[Message]) -> list[ChatFile]:
    """The pictures, videos and sounds of these messages, in their order. What the user sends again is listed again;
    what an answer shows again is not."""
    media: list[ChatFile] = []
    turn = 0
    for message in branch:
        attached = message.get("role") == "user"
        turn += attached
        files = [ChatFile.of(item) for item in message.get("files") or ()]
        known: set[str] = set()
        if message.get("role") == "assistant":
            known = {file.reference for file in media}
            text = message.get("content")
            if isinstance(text, str):
                files += [ChatFile("image", file_id) for file_id in SHOWN_FILE.findall(text)]
        for file in files:
            if file and file.reference not in known:  # a text may show a video as if it were a picture
                known.add(file.reference)
                media.append(replace(file, turn=turn, attached=attached))
    return media


# The messages up to the one that a call belongs to.


def saved_branch(messages: Mapping[str, Message], newest: str) -> list[Message]:
    """The messages of a saved chat from the first to the `newest`, each the parent of the next."""
    branch: list[Message] = []
    seen: set[str] = set()
    message_id = newest
    while message_id not in seen:  # parents may go round in a circle
        message = messages.get(message_id)
        if not message:
            break
        seen.add(message_id)
        branch.append(message)
        message_id = message.get("parentId") or ""
    branch.reverse()
    return branch


@dataclass(frozen=True)
class UnsavedMessage:
    """What was made for a message in a chat that is not in the database."""

    turn: int  # of the user's messages, from 1; 0 where none is known
    files: tuple[Mapping[str, Any], ...]  # as a message holds them


REMEMBERED_CHATS = 200  # that are not in the database
REMEMBERED_MESSAGES = 200  # of each; a channel has no end
# Chat id -> message id -> what was made for it, in chats that are not in the database.
ELSEWHERE = BoundedDict[str, dict[str, UnsavedMessage]](REMEMBERED_CHATS)


def remember_unsaved(chat_id: str, message_id: str, message: UnsavedMessage) -> None:
    """Remember what a message of a chat that is not in the database holds now; the oldest are forgotten."""
    if chat_id not in ELSEWHERE:
        ELSEWHERE[chat_id] = BoundedDict(REMEMBERED_MESSAGES)
    ELSEWHERE[chat_id][message_id] = message


def unsaved_branch(sent: Sequence[Message], made: Iterable[UnsavedMessage], asked: Message) -> list[Message]:
    """The messages of a chat that is not in the database: those that were `sent` to the model, with what was `made` in
    the answers between them. `asked` is the user's newest message, with the files that it really has."""
    answers: dict[int, list[Message]] = {}
    for one in made:
        answers.setdefault(one.turn, []).append({"role": "assistant", "files": one.files})
    branch = answers.get(0, [])
    turns = sent_pictures(sent)
    if not turns:
        return [asked, *branch]
    for turn, pictures in enumerate(turns, 1):
        if pictures or turn < len(turns):
            branch.append({"role": "user", "files": pictures})
        else:  # a model without vision is sent no pictures
            branch.append(asked)
        branch += answers.get(turn, [])
    return branch


def made_on_branch(
    remembered: Mapping[str, UnsavedMessage], sent: Sequence[Message], message_id: str
) -> list[UnsavedMessage]:
    """What was made on this branch of a chat that is not in the database, of all that is `remembered` of it. With which
    of several answers to one message the user went on, the results in the messages tell: these hold the ids."""
    results = [str(message.get("content")) for message in sent if message.get("role") != "user"]
    told = " ".join(results)
    mentioned = set()
    for key, message in remembered.items():
        ids = [str(item.get("id")) for item in message.files]
        if any(file_id in told for file_id in ids):
            mentioned.add(key)
    decided_turns = {remembered[key].turn for key in mentioned}
    turns = len(sent_pictures(sent))
    branch = []
    for key, message in remembered.items():
        undecided = message.turn < turns and message.turn not in decided_turns
        if undecided or key in mentioned or key == message_id:
            branch.append(message)
    return branch


def sent_pictures(sent: Sequence[Message]) -> list[list[dict[str, str]]]:
    """The pictures of each of the user's messages, as they are sent to the model:

    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}}]}
    """
    turns: list[list[dict[str, str]]] = []
    for message in sent:
        if message.get("role") != "user":
            continue
        content = message.get("content")
        if not isinstance(content, list):
            content = []
        parts = [part for part in content if isinstance(part, Mapping)]
        if not any(str(part.get("text", "")).startswith(TOOL_PICTURES) for part in parts):
            turns.append(_pictures_in(parts))
    return turns


def _pictures_in(parts: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The pictures among the parts of a message's content, as items of a message's files."""
    pictures = []
    for part in parts:
        url = part.get("image_url")
        if isinstance(url, Mapping):
            url = url.get("url")
        if isinstance(url, str):
            pictures.append({"type": "image", "url": url})
    return pictures


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/picking.py
#
# Which pictures of a chat a model means by its words: "2", "the last two", "1 and 3", "photo.png".
#
# `split_words` parts what may name several, and `pick_pictures` says which numbers one part means. The first picture of a
# chat has the number 1, as results tell a model. Words are taken in nine languages, since models write what the user
# said:
#
#     split_words("1 and 3", ...)  == ["1", "3"]
#     pick_pictures("die letzten zwei", ...) == [4, 5]          of five pictures
#     pick_pictures("photo.png", ...) == [2]                    as Open WebUI names it in `<attached_files>`
# ----------------------------------------------------------------------------------------------------------------------


MOST_NAMED = 12  # pictures that a refusal lists
NO_PICTURE = ("There is no picture in this chat.", "Ask the user to attach one, or make one with generate_image.")

# Between two pictures. A word stands between spaces; in Japanese, Korean and Chinese it stands between the numbers.
BETWEEN = re.compile(
    r"[,;&+\n、，；]| (?:and|und|et|y|e|ed|plus|と|和|跟|및|와|과) |(?<=\d)(?:と|和|跟|與|与|와|과)(?=\d)"
)
NUMBERS = re.compile(r"\d{1,5}(?: \d{1,5})+")
RANGE = re.compile(r"(\d{1,5}) ?(?:-|–|to|through|bis|à|a|~|から|到) ?(\d{1,5})")

# Words that tell nothing of which picture is meant.
_NOTHING = (
    "the a an my our your this that these those of from in it its please "
    "picture pictures image images photo photos photograph photographs pic pics img file files number no no. nr nr. # "
    "der die das den dem bild bilder foto fotos nummer "
    "el la los las imagen imágenes número de "
    "le les l' du image images photo photos numéro "
    "o os as do da imagem imagens fotografia fotografias "
    "il lo i gli immagine immagini numero fra "
    "画像 写真 枚 枚目 番 番目 の 이미지 사진 그림 번 번째 장 图片 圖片 图像 照片 张 張 号 號 第 的 这 那"
)
NOTHING = frozenset({"", *_NOTHING.split()})
# Signs of scripts without spaces, which are set apart: "最後の2枚" becomes "最後 の 2 枚".
UNSPACED = re.compile(
    r"枚目|番目|画像|写真|번째|이미지|사진|그림|图片|圖片|图像|照片|最後|最新|最后|最近|直前|마지막|최근|全部|すべて|全て|所有"
    r"|모두|모든|両方|둘 다|둘다|两|兩|二|三|四|五|一|枚|番|张|張|号|號|第|의|の|的|장|번|개|个|つ"
)
_LAST = (
    "last latest newest recent most previous prior current final new letzte letzten letztes letzter neueste neuesten "
    "neuestes aktuelle aktuellen vorige vorherige último última últimos últimas ultimo ultima ultimi ultime reciente "
    "dernier dernière derniers dernières derniere récent récente recente 最後 最新 最后 最近 直前 마지막 최근"
)
_ALL = (
    "all every each everything them alle alles allen todo toda todos todas tout tous toutes tutti tutte "
    "全部 すべて 全て 所有 모두 모든"
)
_BOTH = "both beide beiden ambos ambas entrambi entrambe deux 両方 둘다 둘"
_SENT = (
    "attached attachment uploaded upload sent provided given user's original input source "
    "angehängte angehängten hochgeladene hochgeladenen original adjunta adjuntas jointe allegata anexada"
)
LAST, ALL, BOTH, SENT = (frozenset(words.split()) for words in (_LAST, _ALL, _BOTH, _SENT))
BEFORE_LAST = frozenset(
    {"second to last", "second last", "last but one", "penultimate", "vorletzte", "one before last"}
)
_ORDINALS = {
    1: "first 1st erste erstes ersten erster primera primero primer premier première prima primo primeira primeiro",
    2: "second 2nd zweite zweites zweiten segunda segundo deuxième seconde seconda secondo",
    3: "third 3rd dritte drittes dritten tercera tercero tercer troisième terza terzo terceira terceiro",
    4: "fourth 4th vierte viertes vierten cuarta cuarto quatrième quarta quarto",
    5: "fifth 5th fünfte fünftes fünften quinta quinto cinquième",
    6: "sixth 6th sechste sechstes sexta sexto sixième sesta sesto",
    7: "seventh 7th siebte siebtes séptima séptimo septième settima settimo sétima sétimo",
    8: "eighth 8th achte achtes octava octavo huitième ottava ottavo oitava oitavo",
    9: "ninth 9th neunte neuntes novena noveno neuvième nona nono",
    10: "tenth 10th zehnte zehntes décima décimo dixième decima decimo",
}
ORDINALS = {word: number for number, words in _ORDINALS.items() for word in words.split()}


def split_words(text: str, pictures: Sequence[ChatFile]) -> list[str]:
    """The parts of a text that name a picture or a few each. A text that is the name of a picture stays whole."""
    if len(text) > MOST_WORD_CHARACTERS or _by_name(text, pictures):
        return [text]
    parts: list[str] = []
    for part in BETWEEN.split(text):
        words = part.strip()
        if NUMBERS.fullmatch(words):
            parts += words.split()
        elif words:
            parts.append(words)
    return parts


def pick_pictures(words: str, pictures: Sequence[ChatFile]) -> list[int]:
    """The numbers of the pictures that a part of a text means, of all `pictures` of a chat in their order.

        "2", "#2", "image 2", "the second one"  -> the second     "last", "the latest picture", "it"  -> the last
        "last 2", "les deux dernières"          -> the last two   "all"  -> all    "both"  -> the last two
        "2-4"                                   -> three of them  "photo.png"  -> the one of that name

    Raises `BadArgument`, with a list of the pictures, for other words and for a number that the chat does not have.
    """
    named = _by_name(words, pictures)
    if named:
        return named
    text = plain_words(words)
    spaced = UNSPACED.sub(r" \g<0> ", text).split()
    tokens = [token for token in spaced if token.strip("#'.") not in NOTHING]
    meant = _meant(text.removeprefix("the "), tokens, pictures)
    if meant is None:
        raise _not_a_picture(words, pictures)
    if not pictures:
        raise BadArgument(*NO_PICTURE)
    if not meant or not all(1 <= number <= len(pictures) for number in meant):
        raise _no_such_picture(words, pictures)
    return meant


def _meant(text: str, tokens: list[str], pictures: Sequence[ChatFile]) -> list[int] | None:
    """The numbers that the words mean, which the chat may not have; None where they mean none. `tokens` are those words
    of the text that tell something."""
    total = len(pictures)
    span = RANGE.fullmatch(text)
    if span:
        low, high = int(span[1]), int(span[2])
        return list(range(low, min(high, low + MOST_NAMED * 10) + 1))
    if text in BEFORE_LAST:
        return [total - 1]
    if text == "-1":
        return [total]
    if len(tokens) > 1 and tokens[-1] in ("one", "ones"):
        tokens = tokens[:-1]
    if not tokens:  # "the picture", "it"
        return [total] if text else None
    kinds = [kind for kind in (LAST, ALL, BOTH, SENT) if not kind.isdisjoint(tokens)]
    others = [token for token in tokens if not any(token in kind for kind in kinds)]
    numbers = [number for number in map(_number_in, others) if number is not None]
    if len(numbers) != len(others) or len(numbers) > 1:
        return None
    return _of_kinds(kinds, numbers, pictures)


def _of_kinds(kinds: list[frozenset[str]], numbers: list[int], pictures: Sequence[ChatFile]) -> list[int]:
    """The numbers that "last", "all" and the like mean, with the number that stands beside them, if there is one."""
    total = len(pictures)
    if not kinds:
        return numbers
    count = numbers[0] if numbers else 0
    if BOTH in kinds:
        count = 2
    numbered = range(1, total + 1)
    if SENT in kinds:
        numbered_attached = [number for number in numbered if pictures[number - 1].attached]
        newest_turn = max((pictures[number - 1].turn for number in numbered_attached), default=0)
        return [number for number in numbered_attached if pictures[number - 1].turn == newest_turn]
    if ALL in kinds and not count:
        return list(numbered)
    if numbers == [0] or count > total:
        return []
    return list(numbered)[-(count or 1) :]


def _number_in(token: str) -> int | None:
    """The number that one word tells: of "2", "2.0", "#2", "second" and "zwei" it is 2."""
    plain = token.strip("#().:").removesuffix(".0")
    ordinal = ORDINALS.get(plain)
    return number_in_words(plain) if ordinal is None else ordinal


def _by_name(words: str, pictures: Sequence[ChatFile]) -> list[int]:
    """The picture whose file has that name, also without its ending or its folder: the newest of several. Raises
    `BadArgument` where two of one message have it."""
    wanted = base_name(plain_words(words))
    if not wanted or wanted.isdigit():
        return []
    names = [plain_words(file.name) for file in pictures]
    stems = [name.rpartition(".")[0] for name in names]
    for candidates in (names, stems):
        numbers = [number for number, name in enumerate(candidates, 1) if name == wanted]
        if numbers:
            return [_newest_of(numbers, words, pictures)]
    return []


def _newest_of(numbers: Sequence[int], words: str, pictures: Sequence[ChatFile]) -> int:
    """The last of these numbers, whose pictures have one name. Raises `BadArgument` where the user sent two at once."""
    newest = pictures[numbers[-1] - 1]
    alike = [number for number in numbers if pictures[number - 1].turn == newest.turn]
    if newest.attached and len(alike) > 1:
        raise BadArgument(f'{len(alike)} pictures are called "{shortened(words)}".', _listed(pictures))
    return numbers[-1]


# Refusals, which list what there is.


def _listed(pictures: Sequence[ChatFile]) -> str:
    """What a chat holds: "2 pictures: 1 photo.png, 2 mask.png.", the newest ones of many."""
    if not pictures:
        return "The chat has no pictures: ask the user to attach one, or make one with generate_image."
    numbered = [f"{number} {shortened(file.name, 40)}".strip() for number, file in enumerate(pictures, 1)]
    amount = f"{len(pictures)} pictures"
    if len(pictures) == 1:
        amount = "1 picture"
    if len(numbered) > MOST_NAMED:
        amount += ", the newest"
    return f"There are {amount}: {', '.join(numbered[-MOST_NAMED:])}.".replace("are 1 ", "is 1 ")


def _not_a_picture(words: str, pictures: Sequence[ChatFile]) -> BadArgument:
    """The error for words that name no picture."""
    listed = _listed(pictures)
    if "://" in words:
        hint = f"Pictures of other addresses are not fetched: ask the user to attach it. {listed}"
        return BadArgument(f'"{shortened(words)}" is not a picture of this chat.', hint)
    hint = f'{listed} Give a number, "last", "last 2", "all", or the name, id or URL of a file of this chat.'
    return BadArgument(f'"{shortened(words)}" is not a picture of this chat.', hint)


def _no_such_picture(words: str, pictures: Sequence[ChatFile]) -> BadArgument:
    """The error for a number that the chat does not have."""
    return BadArgument(f'There is no picture "{shortened(words)}" in this chat.', _listed(pictures))


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/stored_files.py
#
# What Open WebUI holds of a file that was made: how a message names it, and what its dialog shows.
#
# A picture that a browser draws is an "image" in the message, and any other a "file" that is offered for download and
# opens a dialog. Both look like this (`message_file`); the metadata of the stored file tells under `JOB_KEY` which job
# made it, so that `Chat.kept` finds it again:
#
#     {"type": "image", "id": "5f0c...", "url": "/api/v1/files/5f0c.../content", "name": "a-red-fox-7.png",
#      "content_type": "image/png"}
#
# Open WebUI serves a file by the type that it was stored with, and on one of its routes by the ending of its name, in
# its own origin: a page, a drawing (SVG) or a script of a hostile server would run there with the session of whoever
# opens it (seen with 0.12.4). So `as_served` lets only pictures, videos and sounds keep their type, and tells them
# by their own bytes. Everything else becomes plain text or plain bytes, and keeps its ending only where no browser runs
# files that end so.
#
# `read_stored_file` reads a file of this Open WebUI for a call, if the user may read it.
# ----------------------------------------------------------------------------------------------------------------------


JOB_KEY = "comfyui_job"  # under which a stored file tells of the run that made it
# What the page's browser draws as a picture; others are offered for download.
DRAWN = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/avif", "image/bmp")
TEXT_SHOWN = 100_000  # characters of a text that its dialog shows
TEXT_JUDGED = 4096  # bytes of a file by which it is told whether it is a text
# How files end that no browser runs: texts and tables, subtitles, 3D models, and what ComfyUI itself writes.
INERT_ENDINGS = frozenset(
    {
        *("txt", "md", "log", "csv", "tsv", "json", "jsonl", "yaml", "yml", "srt", "vtt", "ass", "lrc"),
        *("obj", "stl", "ply", "glb", "gltf", "fbx", "usd", "usdz", "splat", "ksplat", "spz", "exr", "hdr"),
        *("latent", "safetensors", "npy", "npz", "mid", "zip", "bin"),
    }
)


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


def run_record(product: OutputFile) -> dict[str, Any]:
    """What a stored file tells of the run that made it, as `run_of` reads it again."""
    record = {"prompt_id": product.prompt_id, "source": product.source, "of": product.of}
    if product.seed is not None:
        record["seed"] = product.seed
    return record


async def stored_seed(file_id: str) -> int | None:
    """The seed of the call that made a stored file; None for a file that none made."""
    from open_webui.models.files import Files

    item = await Files.get_file_by_id(file_id)
    seed = run_of(item).get("seed") if item else None
    return seed if isinstance(seed, int) else None


def run_of(item: Any) -> Mapping[str, Any]:
    """What a stored file tells of the run that made it; empty for a file that none made.

    {"prompt_id": "0c6d...", "source": "ComfyUI_00007_.png", "of": 2, "seed": 7}
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


def as_served(product: OutputFile) -> tuple[OutputFile, str]:
    """A file with the content type that it is stored with, which no browser runs, and the ending of its name: a page
    that a server calls "a.html", or "a.png", becomes text/plain and "txt". Blocks: call it in a thread."""
    content_type, _, _ = content_type_of(product.data, "")
    kind, _, detail = content_type.partition("/")
    if kind in ("image", "video", "audio") and detail != "svg+xml":
        return replace(product, content_type=content_type), _media_ending(content_type, product.ending)
    content_type, ending = "application/octet-stream", "bin"
    if _is_text(product.data[:TEXT_JUDGED]):
        content_type, ending = "text/plain", "txt"
    if product.ending in INERT_ENDINGS:
        ending = product.ending
    return replace(product, content_type=content_type), ending


def _media_ending(content_type: str, ending: str) -> str:
    """How the name of a picture, video or sound ends: as it does where that fits its type, else as is usual."""
    if OTHER_TYPES.get(ending) == content_type:
        return ending
    for usual, its_type in OTHER_TYPES.items():
        if its_type == content_type:
            return usual
    return OutputFile(b"", content_type, None, "").ending


def _is_text(start: bytes) -> bool:
    """Whether a file that begins so is a text in UTF-8; its last character may be cut off."""
    if b"\0" in start:
        return False
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(start) - 4 and error.reason == "unexpected end of data"
    return True


def file_page(product: OutputFile, url: str) -> str:
    """What Open WebUI's dialog shows of a file that is not a picture, in Markdown: a player, the text, or a link to
    download it. It is stored with the file."""
    kind, _, _ = product.content_type.partition("/")
    if kind in ("video", "audio"):
        return player(kind, url, ' style="max-width:100%;max-height:20rem"')  # the dialog is not high
    if kind != "text":
        return f"[Download]({url})"
    start = product.data[: 4 * TEXT_SHOWN]  # a character has up to 4 bytes
    return fenced(start.decode("utf-8", "replace")[:TEXT_SHOWN])


def fenced(text: str) -> str:
    """A text in a code block of Markdown, which shows it as it is. Its fence is longer than any inside, so that the
    text cannot end it: what stands behind would be read as Markdown, with addresses that the browser loads."""
    inside = [len(run) for run in re.findall("`+", text)]
    fence = "`" * max([2, *inside]) + "`"
    return f"{fence}text\n{text}\n{fence}"


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


# Files of this Open WebUI, read for a call.


async def read_stored_file(reference: str, user_id: str) -> tuple[str, bytes]:
    """Name and content of a file that a user may read, by its id or its address in this Open WebUI, or of a data URI.

    Raises `BadArgument` for any other: one that the user may not read cannot be told from one that is not there.
    Raises `LimitExceeded` for one that is too large.
    """
    if DATA_URI.match(reference):
        return await FILES.run(read_data_uri, reference)
    from open_webui.storage.provider import Storage

    item = await _readable_file(reference, user_id)
    if item is None:
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
        return str(item.filename), await STORAGE.run(content)
    except ComfyUIError:
        raise
    except Exception:  # whatever the storage provider raises
        raise BadArgument(f'The file "{item.filename}" is no longer in the storage of Open WebUI.') from None


async def _readable_file(reference: str, user_id: str) -> Any:
    """Open WebUI's record of a file, by its id or address; None where there is none that the user may read."""
    from open_webui.models.files import Files
    from open_webui.models.users import Users
    from open_webui.utils.access_control.files import has_access_to_file

    match = FILE_REFERENCE.fullmatch(reference.strip())
    user = await Users.get_user_by_id(user_id)
    if not match or not user:
        return None
    item = await Files.get_file_by_id(match[1])
    if item is None or item.user_id == user.id or user.role == "admin":  # as for Open WebUI itself
        return item
    is_shared = await has_access_to_file(item.id, "read", user)
    return item if is_shared else None


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/chat.py
#
# The message that a call belongs to: how the call ends there, and the chat's files.
#
# A `Chat` is made for each call of what Open WebUI hands to a tool. Every call runs inside `answer`, which leaves the
# message in order whatever happens. `keep` stores what was made as the user's own files and shows it; `kept` finds it
# again. `media` lists what stands in the chat (webui/messages.py says how it is read); `input_files`, `mask`, `offers`
# and `attached_workflow` take from it what a call works on. The rest reads Open WebUI's own settings.
#
# There are three kinds of chats. A saved one is in the database, with all its messages and their files. A temporary one
# ("local:...", since Open WebUI 0.11 "temporary:...") is not, and the messages of a channel ("channel:...") are not read:
# what was made in these two is remembered by this process, in `ELSEWHERE`. A preview could not be taken away again in
# channels, and since 0.12 in temporary chats, so there is none. Facts are those of Open WebUI 0.9.6 to 0.12.4.
# ----------------------------------------------------------------------------------------------------------------------


ATTACHMENTS = 20  # files of a user that are looked into for a workflow
STORED_AT_ONCE = 4  # files
KEPT_PAGE, KEPT_PAGES = 100, 20  # of a user's newest files, that are looked through for those of a job


class Chat:
    """The message that a call belongs to, in Open WebUI's terms. One object for each call."""

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
        self._user_id = str(self.user.get("id"))
        self.chat_id = chat_id or metadata.get("chat_id") or ""
        self.message_id = message_id or metadata.get("message_id") or ""
        self._metadata = metadata
        self._messages = messages or ()
        self._emit = emit
        self._files: list[dict[str, Any]] = []  # what the message really holds
        self._media: list[ChatFile] | None = None  # what the chat holds, once that is known
        self._display: Display | None = None
        self._hiding = Hiding()
        self.shown = bool(self.message_id)  # whether the user sees what is stored

    @property
    def is_admin(self) -> bool:
        """Whether an administrator asks."""
        return self.user.get("role") == "admin"

    @property
    def saved(self) -> bool:
        """Whether the chat is in the database."""
        unsaved = self.chat_id.startswith(("local:", "temporary:", "channel:"))
        return bool(self.chat_id and self.message_id and not unsaved)

    @property
    def channel(self) -> bool:
        """Whether the message stands in a channel: no status is shown there, and every picture sent there stays."""
        return self.chat_id.startswith("channel:")

    # A call from its beginning to its end.

    async def answer(self, work: Callable[[Display], Awaitable[tuple[dict[str, Any], str]]]) -> dict[str, Any]:
        """Do a call's work and see that the message is left in order whatever happens: the last status is written, no
        preview stays, and the model gets a dictionary, of an error too. `work` returns that dictionary and the last
        status.

        A cancellation is raised again after the clean-up.
        """
        try:
            result, text = await work(await self._begin())
        except asyncio.CancelledError as stop:
            await finish(self._close(stop_text(stop)), CLEAN_UP_SECONDS)
            raise
        except Exception as error:
            result, text = told_failure(error, self.is_admin)
        await finish(self._close(text), ANSWER_SECONDS)
        answer: dict[str, Any] = self._hiding.of(result)
        return answer

    def hide(self, endpoints: Sequence[Endpoint]) -> None:
        """Tell nobody but administrators where these servers are, from now on."""
        if not self.is_admin:
            self._hiding = Hiding(tuple(endpoints))

    async def _begin(self) -> Display:
        """Begin to show the run. Previews only go where they can be taken away again."""
        self._files = await self._real_files()
        emit = None
        previews = False
        if self.message_id and not self.channel:
            emit = await self._live()
            previews = not self._adds()
        self._display = Display(emit, self._files, previews, lambda text: str(self._hiding.of(text)))
        self._display.start()
        return self._display

    async def _close(self, text: str) -> None:
        """Take the preview away and write the last status, the one whether or not the other succeeds."""
        try:
            await self._remove_preview()
        except Exception as error:
            log.warning("the preview could not be taken away: %s", type(error).__name__)
        await self._say("status", {"description": self._hiding.of(text), "done": True})

    async def _remove_preview(self) -> None:
        """Show the message's own files alone again, if a preview is among them."""
        if self._display is None:
            return
        await self._display.stop()
        if not self._display.preview_shown:
            return
        emit = await self._live()
        if emit:
            files = [dict(item) for item in self._files]
            async with asyncio.timeout(CLEAN_UP_SECONDS / 2):
                await emit({"type": "chat:message:files", "data": {"files": files}})

    async def _live(self) -> Emit | None:
        """An emitter that reaches the user's browser and writes nothing to the database."""
        if self._emit is None:
            return None
        from open_webui.socket.main import get_event_emitter

        about = {
            "chat_id": self.chat_id,
            "message_id": self.message_id,
            "user_id": self.user.get("id"),
            "internal": self._metadata.get("internal"),
        }
        emit: Emit = await get_event_emitter(about, update_db=False)
        return emit

    async def _real_files(self) -> list[dict[str, Any]]:
        """The files that the message holds already, of an earlier call in the same answer."""
        if not self.saved:
            remembered = ELSEWHERE.get(self.chat_id, {})
            if self.message_id not in remembered:
                return []
            return [dict(item) for item in remembered[self.message_id].files]
        from open_webui.models.chats import Chats

        message = await Chats.get_message_by_id_and_message_id(self.chat_id, self.message_id)
        if not message:
            return []
        return list(message.get("files") or ())

    def _adds(self) -> bool:
        """Whether files that are sent are added to what the message shows, instead of replacing it: in channels, and in
        temporary chats since 0.12.0."""
        if self.channel:
            return True
        if self.saved or not self.message_id:
            return False
        from open_webui import env

        numbers = re.findall(r"\d+", str(env.VERSION))
        return tuple(int(number) for number in numbers[:2]) >= (0, 12)

    async def _say(self, kind: str, data: dict[str, Any]) -> None:
        """Send an event by the emitter of the call, which also writes some kinds to the database."""
        if self._emit:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._emit({"type": kind, "data": data})

    # What was made: stored as the user's files, and shown in the message.

    async def keep(self, products: Sequence[OutputFile], stem: str) -> list[dict[str, Any]]:
        """Store files as the user's own, in names that begin with `stem`, and show them in the message in their order.

        Returns what a message holds of each. What was stored before a failure is shown all the same; raises
        `StorageRefused` for it, naming what is still on the ComfyUI server.
        """
        gate = asyncio.Semaphore(STORED_AT_ONCE)

        async def store(product: OutputFile, name: str) -> dict[str, Any]:
            served, ending = await PICTURES.run(as_served, product)
            async with gate:
                return await self._upload(f"{name}.{ending}", served)

        names = [stem]
        if len(products) > 1:
            names = [f"{stem}-{number}" for number in range(1, len(products) + 1)]
        tasks = [asyncio.create_task(store(*pair)) for pair in zip(products, names, strict=True)]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            stored = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
            if stored:
                await self.show_again(stored)
        failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if failures:
            pairs = zip(products, outcomes, strict=True)
            left = [product.source for product, outcome in pairs if isinstance(outcome, BaseException)]
            raise storage_refused(failures[0], left, len(stored), shown=self.shown)
        return stored

    async def _upload(self, name: str, product: OutputFile) -> dict[str, Any]:
        """Store one file; returns what a message holds of it. Its metadata tells which job made it, for `kept`."""
        from fastapi import UploadFile
        from open_webui.models.files import Files
        from open_webui.models.users import Users
        from open_webui.routers.files import upload_file_handler
        from starlette.datastructures import Headers

        about: dict[str, Any] = {}
        if self.saved:
            about = {"chat_id": self.chat_id, "message_id": self.message_id}
        elif self.channel:
            about = {"channel_id": self.chat_id.removeprefix("channel:"), "message_id": self.message_id}
        if product.prompt_id:
            about[JOB_KEY] = run_record(product)
        headers = Headers({"content-type": product.content_type})
        upload = UploadFile(file=io.BytesIO(product.data), filename=name, headers=headers)
        user = await Users.get_user_by_id(self._user_id)
        # without process=False Open WebUI would try to read text out of the picture
        item = await upload_file_handler(self.request, file=upload, metadata=about, process=False, user=user)
        drawn = product.size is not None and product.content_type in DRAWN
        stored = message_file(item, drawn)
        if not drawn:
            page = self._hiding.of(file_page(product, stored["url"]))
            await Files.update_file_data_by_id(item.id, {"content": page})
        return stored

    async def _attach(self, stored: list[dict[str, Any]]) -> None:
        """Add files to the message, in the database or the memory of this process, and in the browser."""
        if self._display:  # no preview may come after the pictures
            await self._display.stop()
        shown = [*self._files, *stored]
        if self.saved:
            from open_webui.models.chats import Chats

            ids = [item["id"] for item in stored]
            await Chats.insert_chat_files(self.chat_id, self.message_id, ids, self._user_id)
            shown = await Chats.add_message_files_by_id_and_message_id(self.chat_id, self.message_id, stored) or shown
        elif self.chat_id:
            message = UnsavedMessage(len(sent_pictures(self._messages)), tuple(map(dict, shown)))
            remember_unsaved(self.chat_id, self.message_id, message)
            if self._adds():
                shown = stored
        self._files = shown
        self._media = None
        await self._say("chat:message:files", {"files": [dict(item) for item in shown]})
        if self._display:
            self._display.preview_shown = False

    async def kept(self, jobs: Mapping[str, float]) -> "dict[str, StoredOutputs]":
        """What is stored already of the user's jobs, by prompt id. `jobs` tells for each when it was posted, in seconds
        since 1970: no older files are looked at. A job of which the user has deleted everything is not in it."""
        from open_webui.models.files import Files

        outputs: dict[str, StoredOutputs] = {}
        since = min(jobs.values(), default=math.inf)
        for page in range(KEPT_PAGES):
            files = await Files.search_files(self._user_id, skip=page * KEPT_PAGE, limit=KEPT_PAGE)
            for item in files:
                run = run_of(item)
                prompt_id = str(run.get("prompt_id"))
                if prompt_id not in jobs:
                    continue
                if prompt_id not in outputs:
                    outputs[prompt_id] = StoredOutputs(int(run["of"]))
                outputs[prompt_id].add(item, str(run["source"]))
            if len(files) < KEPT_PAGE:
                break
            oldest = files[-1].created_at or 0
            if oldest < since:
                break
        for job in outputs.values():
            job.files.sort(key=lambda file: (len(file["name"]), file["name"]))  # "-2" before "-10"
        return outputs

    async def show_again(self, items: list[dict[str, Any]]) -> None:
        """Show files in the message that are stored already."""
        attached = await finish(self._attach(items), ANSWER_SECONDS)
        self.shown = self.shown and attached

    # What stands in the chat, and what is said of it by number.

    async def media(self) -> list[ChatFile]:
        """The pictures, videos and sounds of the chat up to this message, oldest first; their place among the pictures
        is the number that a model gives."""
        if self._media is None:
            self._media = media_in(await self._branch())
        return self._media

    async def _pictures(self) -> list[ChatFile]:
        """The chat's pictures, oldest first."""
        return [file for file in await self.media() if file.kind == "image"]

    async def numbers(self, files: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """The numbers that these files have in the chat if they are pictures, by id; none when the chat cannot be
        read."""
        if not self.shown:
            return {}
        try:
            pictures = [file.reference for file in await self._pictures()]
        except Exception as error:  # the pictures themselves are stored and shown
            log.warning("the pictures of the chat could not be counted: %s", type(error).__name__)
            return {}
        ids = [item["id"] for item in files]
        return {file_id: pictures.index(file_id) + 1 for file_id in ids if file_id in pictures}

    async def _branch(self) -> list[Message]:
        """The messages up to this one, oldest first: of a saved chat as they are, of any other put together from what
        is known."""
        attached = (self._metadata.get("user_message") or {}).get("files") or ()
        if self.saved:
            return await self._saved_branch(attached)
        remembered = ELSEWHERE.get(self.chat_id, {})
        made = list(remembered.values())
        if not self.channel:
            made = made_on_branch(remembered, self._messages, self.message_id)
        return unsaved_branch(self._messages, made, {"role": "user", "files": attached})

    async def _saved_branch(self, attached: Sequence[Any]) -> list[Message]:
        """The messages of a saved chat up to this one. `attached` are the files of the user's newest message; the
        database may not have that one yet, or not with all of its files."""
        from open_webui.models.chats import Chats

        messages = await Chats.get_messages_map_by_chat_id(self.chat_id) or {}
        newest = self.message_id
        if newest not in messages:
            newest = str(self._metadata.get("user_message_id") or "")
        branch = saved_branch(messages, newest)
        own: list[Message] = []
        if branch and newest == self.message_id:
            message = branch.pop()
            files = await self._real_files()  # before 0.12 the map lacks what was just stored with the message
            own.append({**message, "files": files})
        if branch and branch[-1].get("role") == "user":
            question = branch.pop()
            attached = [*(question.get("files") or ()), *attached]
        branch.append({"role": "user", "files": attached})
        return branch + own

    # What a call works on.

    async def input_files(
        self, references: Any, allow_saved: bool = False, name: str = "images"
    ) -> list[InputFile | None]:
        """Files of the chat as a workflow's inputs, given by the argument called `name`, as webui/references.py reads
        it. With `allow_saved` the word "saved" stands for the workflow's own file, as None.

        Raises `BadArgument`, and `LimitExceeded` for more, or larger ones, than a workflow could take.
        """
        wanted: list[str | None] = []
        for words in await self._words(references, name):
            if allow_saved and words.lower() in OF_AUTHOR:
                wanted.append(None)
            else:
                wanted += await self._meant(words)
        if len(wanted) > MAX_INPUT_FILES:
            raise LimitExceeded(f"{len(wanted)} files were given.", f"Give at most {MAX_INPUT_FILES}.")
        files: list[InputFile | None] = []
        size = 0
        for reference in wanted:
            if reference is None:
                files.append(None)
                continue
            file = await self._input_file(reference)
            files.append(file)
            size += len(file.data)
            if size > MAX_INPUT_BYTES:
                raise LimitExceeded(f"The files have more than {MAX_INPUT_BYTES // 2**20} MB.", "Give smaller ones.")
        return files

    async def _words(self, references: Any, name: str) -> list[str]:
        """The argument called `name`, taken apart: an id, an address or words for each file or few."""
        texts = read_references(references, name)
        if not texts:
            return []
        pictures = await self._pictures()
        words: list[str] = []
        for text in texts:
            words += [text] if text in file_references(text) else split_words(text, pictures)
        return words

    async def _meant(self, words: str) -> list[str]:
        """The ids, addresses or data URIs that one word of a call means. Raises `BadArgument`."""
        named = file_references(words)
        if named:
            return named
        pictures = await self._pictures()
        return [pictures[number - 1].reference for number in pick_pictures(words, pictures)]

    async def _input_file(self, reference: str) -> InputFile:
        """A file as a workflow's input. Raises as `read_file` does, and `BadArgument` for a kind that none takes."""
        name, data = await self.read_file(reference)
        return await PICTURES.run(read_input, data, name)

    async def newest(self) -> InputFile:
        """The newest picture of the chat, whoever made it. Raises `BadArgument` when there is none."""
        offer = (await self.offers()).get("image")
        if offer is None:
            raise BadArgument(*NO_PICTURE)
        return await offer()

    async def offers(self) -> dict[str, Offer]:
        """The chat's newest file of each kind, to be read when it is needed."""
        offers: dict[str, Offer] = {}
        for file in await self.media():
            offers[file.kind] = functools.partial(self._input_file, file.reference)
        return offers

    async def mask(self, value: Any, picture: InputFile) -> Image.Image | None:
        """A mask for a picture (mode L, white is painted anew), given as one of the chat's pictures, or by the word
        "transparency" for the see-through part of the picture itself; None when none is given. Raises `BadArgument`."""
        words = await self._words(value, "mask")
        if not words:
            return None
        if words[0].lower() in OF_IMAGE:
            transparency = await PICTURES.run(mask_of, picture)
            if transparency is None:
                raise BadArgument(
                    "The picture has no transparent part.", "Give a separate picture as the mask, or none."
                )
            return transparency
        references: list[str] = []
        for word in words:
            references += await self._meant(word)
        if len(references) != 1:
            raise BadArgument("The argument mask names several pictures.", "Give one.")
        name, data = await self.read_file(references[0])
        return await PICTURES.run(read_mask, data, name)

    async def read_file(self, reference: str) -> tuple[str, bytes]:
        """Name and content of a file that the user may read, or of a data URI. Raises as `read_stored_file` does."""
        return await read_stored_file(reference, self._user_id)

    async def earlier_seed(self) -> int | None:
        """The seed of the newest picture, video or sound of this chat that this tool made; None where there is none."""
        for file in reversed(await self.media()):
            seed = None if file.attached else await stored_seed(file.reference)
            if seed is not None:
                return seed
        return None

    async def attached_workflow(self) -> Entry:
        """The newest workflow among the files that the user attached to this chat: inside a picture that ComfyUI made,
        or as a JSON file.

        Raises `UnknownWorkflow` when nothing is attached; when none of what is attached holds a workflow, the error of
        the newest file.
        """
        refusal: ComfyUIError | None = None
        attachments = await self._attachments()
        for reference in attachments[:ATTACHMENTS]:
            try:
                name, data = await self.read_file(reference)
                if name.lower().endswith(".json"):
                    graph = await FILES.run(read_workflow_file, data)
                else:
                    graph = await PICTURES.run(read_picture_workflow, data, shortened(name))
                return Entry(ATTACHED, ATTACHED, graph)
            except ComfyUIError as error:
                refusal = refusal or error
        raise refusal or UnknownWorkflow(
            "No file is attached to this chat.", "Ask the user to attach a picture that ComfyUI made, or its JSON file."
        )

    async def _attachments(self) -> list[str]:
        """The ids or addresses of the files that the user attached, newest first: of this turn, then of the earlier
        ones."""
        items: list[Any] = []
        for message in await self._branch():
            if message.get("role") == "user":
                items += message.get("files") or ()
        items += self._metadata.get("files") or ()
        references: list[str] = []
        for item in reversed(items):
            if isinstance(item, Mapping):
                references.append(str(item.get("id") or item.get("url") or ""))
        return [reference for reference in dict.fromkeys(references) if reference]

    # What Open WebUI's settings, and the model, say about the call.

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
        key = hmac.digest(secret.encode(), b"comfyui_tool: whose job", "sha256")
        return Owner(user, key, alone)

    @property
    def seen_by_model(self) -> bool:
        """Whether the model gets to see pictures in a result. It has to have vision and to call natively, and Open
        WebUI has to take pictures out of a result's text (since 0.11.4)."""
        model = self._metadata.get("model") or {}
        meta = (model.get("info") or {}).get("meta") or {}
        capabilities = meta.get("capabilities") or {}
        if capabilities.get("vision") is False:
            return False
        params = self._metadata.get("params") or {}
        if params.get("function_calling") == "legacy":
            return False
        return hasattr(sys.modules.get("open_webui.utils.middleware"), "extract_base64_images")

    async def comfyui_address(self) -> str:
        """The address of ComfyUI in Open WebUI's own image settings, or ""."""
        with contextlib.suppress(ImportError, AttributeError):
            from open_webui.models.config import Config

            return str(await Config.get("image_generation.comfyui.base_url") or "")
        with contextlib.suppress(AttributeError):  # before 0.10 the settings hang on the application
            return str(self.request.app.state.config.COMFYUI_BASE_URL or "")
        return ""

    async def unload_ollama(self) -> None:
        """Have every Ollama in Open WebUI's own settings unload its models, all at the same time. Like `Ollama.unload`
        it never raises."""
        try:
            ollamas = await configured_ollamas(self.request)
            await asyncio.gather(*[ollama.unload() for ollama in ollamas])
        except Exception as error:
            log.info("Open WebUI does not tell of its Ollamas: %s", type(error).__name__)


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/valves.py
#
# The valves: what the administrator and each user can set, as Open WebUI shows it.
#
# `Valves` are the administrator's, `UserValves` each user's own. Titles and descriptions are what people read on the page
# of the tool, and the README lists both tables.
#
# No value is refused here. Open WebUI hands over whatever is stored, and a user may have stored anything at all, past
# every check; but an error here would break every chat that has the tool. So `Tolerant` converts each value to its type,
# or takes the default, and no more. Ranges, addresses and rights are checked where the valves are resolved for a call:
# `resolve` in webui/settings.py.
#
# What may hold a key or a password is left out of what is printed of valves.
# ----------------------------------------------------------------------------------------------------------------------


class Tolerant(BaseModel):
    """A model that takes whatever is stored: an unreadable valve would otherwise break every chat of the tool."""

    model_config = ConfigDict(extra="ignore")

    @field_validator("*", mode="before")
    @classmethod
    def _tidy(cls, value: Any, info: Any) -> Any:
        """A stored value in the type of its field: words for a choice or a switch, numbers as text; the default for
        what cannot be read."""
        field = cls.model_fields[info.field_name]
        kind = field.annotation
        if get_origin(kind) is Literal:
            return _stored_choice(value, field.default, get_args(kind))
        if kind is bool:
            return _stored_switch(value, field.default)
        if kind is str:
            return _stored_text(value, field.default)
        number = _stored_number(value, field.default)
        if kind is int:
            return int(number)
        return number


def _stored_choice(value: Any, default: str, choices: Sequence[str]) -> str:
    word = str(value).strip().lower()
    for choice in choices:
        if choice.lower() == word:
            return choice
    return default


def _stored_switch(value: Any, default: bool) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in ("true", "1", "on", "yes")
    if isinstance(value, bool):
        return value
    return default


def _stored_text(value: Any, default: str) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value)  # workflows that a program set as they are
    if value is None:
        return default
    return str(value)


def _stored_number(value: Any, default: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    if math.isfinite(number):
        return number
    return default


# Descriptions that both kinds of valves have, and how a valve is told to hide what is typed.
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
        repr=False,
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
        repr=False,
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
    workflows: str = Field(default="", title="Workflows", description=WORKFLOWS_VALVE, repr=False)
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
    require_image_permission: bool = Field(
        default=False,
        title="Require the permission to make images",
        description="Only users with Open WebUI's permission Image Generation (`features.image_generation`), and "
        "administrators, can make or change anything. Off, whoever may use this tool can.",
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
        repr=False,
        title="Your ComfyUI address",
        description="Your own ComfyUI instead of the administrator's, if the administrator allows it.",
    )
    api_key: str = Field(
        default="",
        title="API key for your address",
        description="Sent as `Authorization: Bearer` (to Comfy Cloud as `X-API-Key`) to your own address only.",
        repr=False,
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
        default="", title="Workflows", description=f"{WORKFLOWS_VALVE} Used if the administrator allows it.", repr=False
    )


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/arguments.py
#
# What a call says: its arguments as values with their names, without those that stand for leaving one out.
#
# Models fill in arguments that nobody asked for: 0 steps, a seed of 0 or -1, a negative prompt that is empty. Taken at
# their word they would make another picture than was meant, and say that all went well. So `read_arguments` and
# `read_inputs` leave them out, and put a note to those where somebody may have meant it.
#
#     read_arguments({"steps": 0, "seed": 0, "size": "16:9"}).values == {"size": Argument("16:9", "The argument size")}
#     read_inputs('{"seed": -1, "steps": 8}').values == {"steps": Argument(8, "The input steps")}
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """What a call says, each value by the name of its argument or input, and notes on how it was understood."""

    values: Mapping[str, Argument] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_prompt(prompt: Any) -> str:
    """The prompt as a text. Raises `BadArgument` when it is not a text, or empty."""
    text = as_text(Argument(prompt, "The argument prompt"))
    if not text.strip():
        raise BadArgument("The argument prompt is empty.", "Call again with a text that says what to show.")
    return text


def read_arguments(arguments: Mapping[str, Any]) -> Said:
    """The arguments that the caller means."""
    given = {name: value for name, value in arguments.items() if is_given(name, value)}
    return _understood(given, "argument")


def read_inputs(inputs: Any) -> Said:
    """The argument inputs, an object or one written as JSON in a text. Raises `BadArgument`."""
    inputs = parsed_json(inputs)
    if not is_given("inputs", inputs):
        return Said()
    if not isinstance(inputs, Mapping):
        raise BadArgument(f"The argument inputs is {shortened(inputs)}.", 'Give an object such as {"seed": 7}.')
    named = {str(key): value for key, value in inputs.items()}
    return _understood({name: value for name, value in named.items() if _is_said(name, value)}, "input")


def _is_said(name: str, value: Any) -> bool:
    """Whether the value of an input is said. Words such as "none" stand for nothing only where no workflow means them:
    for the seed, and for what is not an input of its own."""
    if value is None or value == "":
        return False
    if name in EXTRAS or parameter_name(name) == "seed":
        return is_given(name, value)
    return True


def _understood(given: Mapping[str, Any], kind: str) -> Said:
    """The values that are meant, of all that are given as an "argument" or an "input"."""
    unset = [name for name, value in given.items() if says_no_number(parameter_name(name), value)]
    values: dict[str, Argument] = {}
    notes: list[str] = []
    for name, value in given.items():
        parameter = parameter_name(name)
        if parameter == "seed" and (says_random(value) or (unset and read_number(value) == 0)):
            continue
        if name in unset:
            if parameter in ("strength", "denoise"):
                notes.append(f"{shortened(name, 60)} {shortened(value, 20)} was taken for not given")
            continue
        if name == "strength":
            value = _strength(value)
        values[name] = Argument(value, f"The {kind} {shortened(name, 60)}")
    return Said(values, tuple(notes))


def _strength(value: Any) -> Any:
    """The number that a strength means; what cannot be understood is refused where its range is known."""
    strength = read_strength(value)
    return value if strength is None else strength


async def with_earlier_seed(chat: Chat, arguments: Any) -> Any:
    """The arguments with the seed of the chat's newest result where theirs is "last" or "same": in the older way of
    calling tools a model no longer sees what it was. Raises `BadArgument` where nothing was made yet."""
    if not isinstance(arguments, Mapping):
        return arguments
    read = dict(arguments)
    for name, value in arguments.items():
        if parameter_name(str(name)) != "seed" or not says_same_seed(value):
            continue
        seed = await chat.earlier_seed()
        if seed is None:
            raise BadArgument(
                f'The argument seed is "{shortened(value)}", and nothing in this chat tells its seed.',
                "Leave it out for a random one, or give a number.",
            )
        read[name] = seed
    return read


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/settings.py
#
# Resolves the valves: what administrator, user and call say becomes one set of `Settings`.
#
# `settle` is what a call asks, and `resolve` is the one place where the valves are resolved: numbers are clamped to their
# ranges, the user's valves go before the administrator's, and what a user has no right to is refused or left out. The
# addresses are read here too, each with the key that belongs to it:
#
#     addresses: "fast = http://10.0.0.5:8188, http://10.0.0.6:8188"        keys: "first, second", or one for both
#
# A key goes to its own address only: the administrator's never to one that a user typed in, nor the other way round.
#
# `Settings.request`, `edit`, `enlarge` and `order` then make the `Request` of a call out of its arguments, which go
# before all valves. Each value carries whose it is (`Argument`: level 0 for the call, 1 for the user, 2 for the
# administrator), so that errors can name it and, of two that do not go together, the one with less right gives way.
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What both kinds of valves and the caller's rights amount to, for one call."""

    endpoints: tuple[Endpoint, ...]  # in the order in which they are preferred
    limits: Limits
    previews: bool
    preferences: Mapping[str, Argument]  # argument -> what a valve says for when the call does not
    catalogue: Catalogue = Catalogue()
    own_workflows: bool = False  # whether the caller may bring their own
    format: Format = Format()
    show_to_model: bool = False  # whether the model gets small copies of its pictures
    owner: Owner = field(default_factory=Owner)
    timing: Timing = Timing()
    unload_ollama: bool = False
    free_seconds: float | None = None  # after a run, until ComfyUI's memory is freed; None for never
    others: tuple[Endpoint, ...] = ()  # the administrator's other servers, while the user names one

    @property
    def fleet(self) -> Fleet:
        """The servers of this call, and the rules for them."""
        return Fleet(self.endpoints, self.limits, self.owner, self.timing, self.others)

    def request(self, prompt: Any, **arguments: Any) -> Request:
        """The request of a call for new pictures: its arguments first, then the user's valves, then the
        administrator's.

        Raises `BadArgument` when there is no prompt.
        """
        said = read_arguments(arguments)
        wanted: dict[str, Any] = {**self.preferences, **said.values}
        wanted.pop("edit_workflow", None)
        return Request(read_prompt(prompt), notes=said.notes, **wanted)

    def edit(
        self, prompt: Any, files: Sequence[InputFile | None], mask: Image.Image | None, **arguments: Any
    ) -> Request:
        """The request of a call that changes pictures. The valves "Size" and "Workflow" are for new pictures and do not
        apply; "Workflow for edits" does. With a mask only workflows that paint into one are chosen.

        Raises `BadArgument` when there is no prompt.
        """
        wanted: dict[str, Any] = {}
        for valve, preference in self.preferences.items():
            if valve in ("model", "negative_prompt"):
                wanted[valve] = preference
            elif valve == "edit_workflow":
                wanted["workflow"] = preference
        said = read_arguments(arguments)
        wanted.update(said.values)
        tasks = ("inpaint",) if mask else CHANGING
        text = read_prompt(prompt)
        return Request(text, tasks, files=tuple(files), mask=mask, notes=said.notes, **wanted)

    def enlarge(self, picture: InputFile | None, **arguments: Any) -> Request:
        """The request for a larger copy of a picture. No valve applies. A scale of pixels, such as "4k" or 3840, is a
        size."""
        said = read_arguments(arguments)
        wanted: dict[str, Any] = dict(said.values)
        scale = wanted.get("scale")
        if scale and "size" not in wanted and says_pixels(scale.value):
            wanted["size"] = wanted.pop("scale")
        return Request(tasks=("upscale",), files=(picture,), notes=said.notes, **wanted)

    def order(
        self,
        workflow: Any,
        inputs: Any,
        files: Sequence[InputFile | None] = (),
        offers: Mapping[str, Offer] | None = None,
    ) -> Request:
        """The request of a call that names a workflow and its inputs, such as {"prompt": "a fox", "seed": 7}, also
        written as JSON in a text. All other inputs stay as the workflow's author saved them. Without a name a workflow
        is chosen that makes pictures, or that changes those which are given.

        Raises `BadArgument`.
        """
        name = words_of(workflow, "workflow").strip()
        said = read_inputs(inputs)
        request = Request(inputs=said.values, files=tuple(files), notes=said.notes)
        if name:
            named = Argument(name, "The argument workflow")
            return replace(request, workflow=named, offers=offers or {})
        if request.pictures:
            return replace(request, tasks=CHANGING)
        return request

    async def including(self, chat: "Chat", workflow: Any) -> Catalogue:
        """The catalogue, with the workflow attached to the chat when that is the one which is named. Raises
        `UnknownWorkflow` where the caller may not bring one, and as `Chat.attached_workflow` does."""
        if not isinstance(workflow, str) or workflow.strip().lower() != ATTACHED:
            return self.catalogue
        if not self.own_workflows:
            raise UnknownWorkflow(
                "The administrator does not allow users to bring workflows of their own.",
                "Name one that list_workflows lists.",
            )
        attached = await chat.attached_workflow()
        return replace(self.catalogue, given=(attached, *self.catalogue.given))


# Resolving: both kinds of valves and the caller's rights, as one value.


async def settle(valves: Valves, user: Mapping[str, Any] | None, chat: Chat) -> Settings:
    """The settings of a call. Workflows in a valve may be megabytes, so they are read beside the event loop."""
    own_address = await chat.comfyui_address()
    return await FILES.run(resolve, valves, user, own_address, chat.owner)


def resolve(
    valves: Valves, user: Mapping[str, Any] | None, own_address: str = "", owner: Owner | None = None
) -> Settings:
    """Both kinds of valves and the caller's rights as one value: this is where valves are resolved.

    `user` is Open WebUI's `__user__`, with the user's valves in it, and None on the command line; `own_address` is the
    one in Open WebUI's image settings, or ""; `owner` says whose the jobs are.

    Raises `EndpointRefused` for an address of their own that the user may not have, and `BadArgument`.
    """
    user = user or {}
    mine = _user_valves(user.get("valves"))
    is_admin = user.get("role") == "admin"
    has_own_server = bool(mine.endpoint.strip())
    if has_own_server:
        everybodys = []
        endpoints = [_own_endpoint(mine, valves.allow_user_endpoints or is_admin)]
    else:
        everybodys = administrators_endpoints(valves, own_address)
        endpoints = pinned(everybodys, mine.server)
    others = [endpoint for endpoint in everybodys if endpoint not in endpoints and not endpoint.guessed]
    own_workflows = valves.allow_user_workflows or is_admin
    return Settings(
        endpoints=tuple(endpoints),
        limits=_limits(valves),
        previews=valves.previews and mine.previews,
        preferences={
            **_preferences(valves, 2, "The administrator's valve"),
            **_preferences(mine, 1, "Your valve"),
        },
        catalogue=_catalogue(valves, mine, own_workflows),
        own_workflows=own_workflows,
        format=_format(valves, mine),
        show_to_model=mine.show_to_model,
        owner=owner or Owner(str(user.get("id") or "")),
        timing=Timing(gone=clamp(valves.lost_after_seconds, 5, 3600)),
        unload_ollama=valves.unload_ollama and not has_own_server,
        free_seconds=None if has_own_server else _free_seconds(valves),
        others=tuple(others),
    )


def _user_valves(stored: Any) -> UserValves:
    """The user's valves as Open WebUI hands them over: as an object of any class, as a dictionary, or not at all."""
    if isinstance(stored, BaseModel):
        return UserValves(**stored.model_dump())
    return UserValves(**dict(stored or {}))


def _preferences(valves: Valves | UserValves, level: int, whose: str) -> dict[str, Argument]:
    """What these valves prefer for arguments that a call leaves out."""
    preferences: dict[str, Argument] = {}
    for name in ("model", "workflow", "edit_workflow", "size", "negative_prompt"):
        value = getattr(valves, name).strip()
        if is_given(name, value):
            title = type(valves).model_fields[name].title
            preferences[name] = Argument(value, f'{whose} "{title}"', level)
    return preferences


def _own_endpoint(mine: UserValves, allowed: bool) -> Endpoint:
    """The server of the user's own valve. Raises `EndpointRefused` where that is not allowed, and `BadArgument`."""
    if not allowed:
        raise EndpointRefused(
            "You set a ComfyUI address of your own, and the administrator does not allow that.",
            'Tell the user to empty the valve "Your ComfyUI address" of this tool.',
        )
    return Endpoint.parse(mine.endpoint, mine.api_key, 'The valve "Your ComfyUI address"')


def _limits(valves: Valves) -> Limits:
    """What the administrator allows, in the ranges that the descriptions of the valves name."""
    return Limits(
        count=int(clamp(valves.max_count, 1, 64)),
        steps=int(clamp(valves.max_steps, 1, 10_000)),
        megapixels=clamp(valves.max_megapixels, 0.07, 256),
        upscaled_megapixels=clamp(valves.max_upscaled_megapixels, 0.07, 256),
        video_seconds=clamp(valves.max_video_seconds, 0.1, 3600),
        wait_seconds=60 * clamp(valves.max_wait_minutes, 0.1, 1440),
        jobs=int(clamp(valves.max_jobs, 0, 1000)),
        queue=int(clamp(valves.max_queue, 0, 10_000)),
    )


def _format(valves: Valves, mine: UserValves) -> Format:
    """How files are wanted. Metadata is removed when either of the two valves says so."""
    kind: str = mine.picture_format
    if kind == "default":
        kind = valves.picture_format
    if kind == "as made":
        kind = ""
    return Format(
        kind=kind,
        quality=int(clamp(mine.quality or valves.quality, 1, 100)),
        metadata=not (valves.strip_metadata or mine.strip_metadata),
    )


def _free_seconds(valves: Valves) -> float | None:
    """How long after a run ComfyUI's memory is freed; None for never."""
    if valves.free_memory == "after each run":
        return 0.0
    if valves.free_memory == "when idle":
        return 60 * clamp(valves.idle_minutes, 0.1, 1440)
    return None


def _catalogue(valves: Valves, mine: UserValves, own_workflows: bool) -> Catalogue:
    """The workflows of both valves, the user's if they may bring their own, and what is wrong with them."""
    pasted = read_pasted(valves.workflows, "administrator", 'The administrator\'s valve "Workflows"')
    entries, problems = pasted.entries, pasted.problems
    if own_workflows:
        own = read_pasted(mine.workflows, "user", 'Your valve "Workflows"')
        entries = own.entries + entries
        problems = own.problems + problems
    elif mine.workflows.strip():
        problems += ('Your valve "Workflows" is not used: the administrator does not allow that.',)
    saved = valves.server_workflows or bool(mine.endpoint.strip())
    return Catalogue(entries, saved, problems)


# The addresses of ComfyUI.


USUAL_ADDRESSES = ("http://127.0.0.1:8188", "http://host.docker.internal:8188")  # looked at where nobody set one


def administrators_endpoints(valves: Valves, own_address: str) -> list[Endpoint]:
    """The servers for everybody, by the administrator's valve. If that is empty, guesses at where the one server may
    be; the key goes to those that an administrator set elsewhere, but not to the usual addresses.

    Raises `BadArgument`.
    """
    if valves.endpoint.strip():
        return numbered(read_endpoints(valves.endpoint, valves.api_key))
    configured = (
        (os.environ.get("COMFYUI_BASE_URL", ""), "The environment variable COMFYUI_BASE_URL"),
        (own_address, "The ComfyUI address in Open WebUI's image settings"),
    )
    endpoints = [Endpoint.parse(url, valves.api_key, name) for url, name in configured if url.strip()]
    known = {endpoint.url for endpoint in endpoints}
    endpoints += [Endpoint(url) for url in USUAL_ADDRESSES if url not in known]
    return [replace(endpoint, guessed=True) for endpoint in dict.fromkeys(endpoints)]


# An address with or without a name before it: "fast = http://10.0.0.5:8188".
NAMED_ADDRESS = re.compile(r"(?:([^=:/]{1,60}?)\s*=\s*)?(.*)", re.DOTALL)


def read_endpoints(addresses: str, keys: str) -> list[Endpoint]:
    """The administrator's servers: addresses behind commas or one a line, each with a name before it ("fast =
    http://...") or not, and one key for all or one each in the same order, where an empty place is a server without a
    key.

    Raises `BadArgument`.
    """
    texts = [text.strip() for text in re.split(r"[,;\n]+", addresses) if text.strip()]
    if not texts:
        raise BadArgument('The valve "ComfyUI address" holds no address.', "It looks like http://host:8188.")
    keys_in_order = _read_keys(keys, len(texts))
    endpoints = []
    for text, key in zip(texts, keys_in_order, strict=True):
        label, address = NAMED_ADDRESS.findall(text)[0]
        endpoint = Endpoint.parse(address, key, 'The valve "ComfyUI address"', label.strip())
        endpoints.append(endpoint)
    return list(dict.fromkeys(endpoints))


def numbered(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Several servers, each with a name: "ComfyUI 2" for the second one if it has none."""
    if len(endpoints) == 1:
        return list(endpoints)
    return [
        replace(endpoint, label=endpoint.label or f"{endpoint.name} {number}")
        for number, endpoint in enumerate(endpoints, 1)
    ]


def _read_keys(keys: str, count: int) -> list[str]:
    """The keys of so many servers, in their order: "first,,third", or "one" for all. Raises `BadArgument`."""
    if count == 1:
        return [keys.strip()]
    read = [key.strip() for key in re.split(r"[,;\n]", keys.rstrip())]
    if len(read) == 1:
        return read * count
    while len(read) > count and not read[-1]:
        read.pop()
    if len(read) != count:
        raise BadArgument(
            f'The valve "ComfyUI API key" holds {len(read)} keys for {count} addresses.',
            "Give one for all, or one each behind commas, in the order of the addresses.",
        )
    return read


def pinned(endpoints: list[Endpoint], name: str) -> list[Endpoint]:
    """The server of this name or address, as the user's valve names it, or all of them when it is empty. Raises
    `BadArgument`."""
    wanted = name.strip().lower()
    if not wanted:
        return endpoints
    for endpoint in endpoints:
        if wanted in (endpoint.name.lower(), urlsplit(endpoint.url).netloc, endpoint.url):
            return [endpoint]
    names = quoted(endpoint.name for endpoint in endpoints)
    raise BadArgument(
        f'Your valve "Server" is "{shortened(name)}", and no server has that name.',
        f"Tell the user to empty it, or to name one of: {names}.",
    )


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/reports.py
#
# What the model is told of results and servers, and the status that the user reads.
#
# `keep_and_report` stores what a run made and tells of it with `report`; `status_report` tells of servers. Both give back
# the dictionary for the model and the status, such as "Done in 8 s · seed 7":
#
#     {"status": "done", "images": [{"number": 3, "id": "5f0c...", "url": "/api/v1/files/5f0c.../content"}],
#      "seed": 7, "model": "sd_xl_base_1.0.safetensors", "workflow": "sdxl", "size": "1024x1024", "seconds": 8.1,
#      "note": "The user already sees the picture in the chat; do not show or link it again. ..."}
#
# Open WebUI sends a result to the model again in every later turn, so it is short.
# ----------------------------------------------------------------------------------------------------------------------


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
    pictures = [product.data for product in made.products if product.size]
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
        text += f" · {made.left_out} files left out"
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
        text += f" · {jobs} in the queue"
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
        load = f"{len(queue.running)} running and {len(queue.pending)} waiting"
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


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/jobs.py
#
# check_job: jobs of earlier calls brought into the chat, cancelled, or told of.
#
# With an id `check_jobs` brings that job, or cancels it. Without one it looks at all jobs of the user that the servers
# still know (run/earlier.py) and at what is stored of them already (`Chat.kept`), and brings those that are done and not
# stored whole.
#
# No result is to be stored twice, and none is to be missed. So a job that its own call is about to bring is only told of
# (`is_attended`), what is stored already is shown again instead, and after the files were fetched it is looked once more
# whether another worker stored them meanwhile.
# ----------------------------------------------------------------------------------------------------------------------


MOST_BROUGHT = 8  # jobs that one call brings, or whose failures it tells
OwnJob = tuple[Endpoint, Prompt]  # a job of the user, and the server that has it


async def check_jobs(
    chat: Chat, display: Display, settings: Settings, job_id: str, cancel: bool
) -> tuple[dict[str, Any], str]:
    """The job of an earlier call with this id brought or, with `cancel`, cancelled; without an id all of the user's
    jobs. Returns what the model gets, and the last status.

    Raises as `_check_all`, `find_job`, `bring` and `keep_and_report` do.
    """
    fleet = await settings.fleet.found()
    if not job_id:
        return await _check_all(chat, display, settings, fleet, cancel)
    job = await find_job(fleet, job_id)
    if cancel:
        return await _cancel(fleet, *job)
    try:
        return await _bring(chat, display, settings, *job)
    except ServerError as error:
        _, prompt = job
        stored = await _stored_of(chat, prompt)
        if not stored.files:
            raise
        return await _show_again(chat, stored, f" The rest could not be brought: {error.message}")


async def _check_all(
    chat: Chat, display: Display, settings: Settings, fleet: Fleet, cancel: bool
) -> tuple[dict[str, Any], str]:
    """All of the user's jobs: those that are done and not stored yet are brought, `MOST_BROUGHT` at a time and only of
    the last 24 hours (`COLLECT_SECONDS`); of the others it tells how they stand. Where one is at work and no other
    waits to be brought, it is waited for a while. `cancel` takes the one job that is at work.

        {"status": "running", "brought": [<as `report` tells it>], "jobs": [<as `job_line` does>], "failed": [...],
         "no answer from": ["old"], "more": "2 older ones are done; call again"}

    Raises `BadArgument` when there is not just one to cancel.
    """
    jobs, silent = await own_jobs(fleet)
    at_work = [(endpoint, prompt) for endpoint, prompt in jobs if not isinstance(prompt.state, Recorded)]
    if cancel:
        job = _only_one(fleet, at_work)
        return await _cancel(fleet, *job)
    succeeded, unsuccessful = _lately_ended(jobs)
    unstored = await _not_stored_whole(chat, succeeded)
    if len(at_work) == 1 and not unstored:  # there is only one that can be meant
        return await _bring(chat, display, settings, *at_work[0])
    attended: list[OwnJob] = []  # left to their own calls
    ready: list[OwnJob] = []
    for endpoint, prompt in unstored:
        if is_attended(fleet.owner, prompt):
            attended.append((endpoint, prompt))
        else:
            ready.append((endpoint, prompt))
    failed = _untold_failures(fleet, unsuccessful)
    brought, not_brought = await _bring_each(chat, display, settings, fleet, ready[-MOST_BROUGHT:])
    return _overview(
        brought=brought,
        lines=[job_line(fleet, *job) for job in at_work + attended],
        failed=failed + not_brought,
        silent=silent,
        at_work=len(at_work),
        more=len(ready) - MOST_BROUGHT,
    )


def _overview(
    *,
    brought: Sequence[dict[str, Any]],
    lines: Sequence[dict[str, str]],
    failed: Sequence[dict[str, str]],
    silent: Sequence[str],
    at_work: int,
    more: int,
) -> tuple[dict[str, Any], str]:
    """What the model gets of all jobs, and the last status: "Jobs: 2 brought, 1 at work". `more` are done, but were
    too many for this call."""
    parts = {"brought": brought, "jobs": lines, "failed": failed, "no answer from": silent}
    answer: dict[str, Any] = {name: part for name, part in parts.items() if part}
    if more > 0:
        answer["more"] = f"{more} older ones are done; call again"
    if not answer:
        answer["note"] = "Among the newest jobs of each server none of this user's is at work or waits to be brought."
    status = "running" if at_work else "done"
    text = _overview_text(brought=len(brought), at_work=at_work, failed=len(failed))
    return {"status": status, **answer}, text


def _overview_text(*, brought: int, at_work: int, failed: int) -> str:
    counts = {"brought": brought, "at work": at_work, "failed": failed}
    said = [f"{count} {what}" for what, count in counts.items() if count]
    if not said:
        return "No jobs"
    return f"Jobs: {', '.join(said)}"


def _only_one(fleet: Fleet, at_work: Sequence[OwnJob]) -> OwnJob:
    """The one job that is at work. Raises `BadArgument` where there are several, naming them, or none."""
    if not at_work:
        raise BadArgument("No jobs of the user are at work.")
    if len(at_work) > 1:
        ids = [fleet.owner.job_id(endpoint, prompt.prompt_id) for endpoint, prompt in at_work]
        raise BadArgument(f"{len(at_work)} jobs of the user are at work.", f"Name one: {quoted(ids)}.")
    return at_work[0]


def _lately_ended(jobs: Sequence[OwnJob]) -> tuple[list[OwnJob], list[OwnJob]]:
    """The jobs that ended within `COLLECT_SECONDS`: those that succeeded, and all others."""
    succeeded: list[OwnJob] = []
    unsuccessful: list[OwnJob] = []
    now = time.time()
    for job in jobs:
        _, prompt = job
        if not isinstance(prompt.state, Recorded):
            continue
        ended = prompt.ended or now
        if ended < now - COLLECT_SECONDS:
            continue
        if prompt.state.success:
            succeeded.append(job)
        else:
            unsuccessful.append(job)
    return succeeded, unsuccessful


async def _not_stored_whole(chat: Chat, succeeded: Sequence[OwnJob]) -> list[OwnJob]:
    """Those of which files are missing in Open WebUI."""
    if not succeeded:
        return []
    posted = {prompt.prompt_id: marked_time(prompt, "at") for _, prompt in succeeded}
    stored = await chat.kept(posted)
    missing: list[OwnJob] = []
    for endpoint, prompt in succeeded:
        outputs = stored.get(prompt.prompt_id)
        if outputs is None or not outputs.whole:
            missing.append((endpoint, prompt))
    return missing


def _untold_failures(fleet: Fleet, unsuccessful: Sequence[OwnJob]) -> list[dict[str, str]]:
    """The newest `MOST_BROUGHT` failures that nobody was told of yet, each in a line, the oldest first. Those beyond
    them are left for the next call."""
    lines: list[dict[str, str]] = []
    for endpoint, prompt in reversed(unsuccessful):
        if len(lines) == MOST_BROUGHT:
            break
        error = _untold_failure(fleet, prompt)
        if error:
            JOBS.tell(prompt.prompt_id)
            line = job_line(fleet, endpoint, prompt)
            lines.append({**line, "error": error.message})
    lines.reverse()
    return lines


def _untold_failure(fleet: Fleet, prompt: Prompt) -> ComfyUIError | None:
    """Why a job failed; None when somebody stopped it, or its failure was told already: by its own call, or here."""
    if JOBS.told(prompt.prompt_id) or is_attended(fleet.owner, prompt):
        return None
    once_attended = JOBS.attended(prompt.prompt_id) is not None
    call_ended = marked_time(prompt, "until")
    if once_attended and (prompt.ended or 0.0) <= call_ended:
        return None
    posted = Job.posted(prompt.prompt_id, prompt.graph)
    ended = advance(posted, prompt.state, 0.0)
    try:
        judge(ended, prompt.graph)
    except RunInterrupted:
        return None
    except ComfyUIError as error:
        return error
    return None


async def _bring(
    chat: Chat, display: Display, settings: Settings, endpoint: Endpoint, prompt: Prompt
) -> tuple[dict[str, Any], str]:
    """A job's files in the chat: stored now, or shown again when they are stored already. What the user deleted of it
    meanwhile is stored anew. Raises as `bring` and `keep_and_report` do."""
    stored = StoredOutputs(0)
    if isinstance(prompt.state, Recorded):
        stored = await _stored_of(chat, prompt)
        if stored.files and stored.whole:
            return await _show_again(chat, stored)
    previews = settings.previews and display.previews
    with JOBS.attending():
        made = await bring(
            settings.fleet,
            endpoint,
            prompt,
            display,
            previews=previews,
            wanted=settings.format,
            stored=stored.sources,
        )
        stored = await _stored_of(chat, prompt)  # another worker may have been quicker
        missing = tuple(product for product in made.products if not _is_stored(product, stored))
        if not missing:
            return await _show_again(chat, stored)
        if stored.files:
            await chat.show_again(stored.files)
        rest = replace(made, products=missing)
        name = mark_of(prompt).get("name") or made.workflow
        stem = file_stem(str(name), None)
        return await keep_and_report(chat, settings, rest, stem)


def _is_stored(product: OutputFile, stored: StoredOutputs) -> bool:
    """Whether a file is stored already. One that has no name on the server cannot be recognized."""
    return product.source != "" and product.source in stored.sources


async def _stored_of(chat: Chat, prompt: Prompt) -> StoredOutputs:
    """What Open WebUI holds of a job already."""
    posted = {prompt.prompt_id: marked_time(prompt, "at")}
    stored = await chat.kept(posted)
    return stored.get(prompt.prompt_id, StoredOutputs(0))


async def _bring_each(
    chat: Chat, display: Display, settings: Settings, fleet: Fleet, jobs: Sequence[OwnJob]
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """These jobs brought one after the other: what `_bring` tells of each, and a line for each that failed."""
    brought: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for endpoint, prompt in jobs:
        try:
            result, _ = await _bring(chat, display, settings, endpoint, prompt)
            brought.append(result)
        except ComfyUIError as error:
            line = job_line(fleet, endpoint, prompt)
            failed.append({**line, "state": "failed", "error": error.message})
    return brought, failed


async def _show_again(chat: Chat, stored: StoredOutputs, more: str = "") -> tuple[dict[str, Any], str]:
    """What is stored of a job already, in this message as well; `more` is what else there is to say."""
    await chat.show_again(stored.files)
    links = [{"id": item["id"], "url": item["url"]} for item in stored.files]
    answer = {"status": "done", "files": links, "note": f"It was brought before, and is shown again.{more}"}
    return answer, "Shown again"


async def _cancel(fleet: Fleet, endpoint: Endpoint, prompt: Prompt) -> tuple[dict[str, Any], str]:
    """A job taken out of its queue, or interrupted."""
    job_id = fleet.owner.job_id(endpoint, prompt.prompt_id)
    if isinstance(prompt.state, Recorded):
        answer = {"status": "done", "job_id": job_id, "note": "It had ended already."}
        return answer, "The job had ended already"
    JOBS.cancel(prompt.prompt_id)  # before it is told: the job's own call has to know
    async with open_server(endpoint) as server:
        await server.cancel(prompt.prompt_id, LOOK_UP_SECONDS)
    return {"status": "cancelled", "job_id": job_id}, "Job cancelled"


# ----------------------------------------------------------------------------------------------------------------------
# src/comfyui_chat/webui/tools.py
#
# The methods that a model can call, as Open WebUI offers them: the class `Tools`.
#
# Open WebUI reads the specification of a method out of its signature and docstring when the tool is saved: the text
# before the first `:param` says what it does, each `:param` describes an argument. So these docstrings are written for
# models. Arguments whose names begin with two underscores are Open WebUI's own, and hidden from the model.
#
# All methods go the same way: make the `Chat` of the call, and have `_answer` do the work in it, which gets the call's
# settings, makes a request of the arguments, and has it done. Open WebUI does not validate arguments: a list may come as
# a text, a switch as a word. Numbers are annotated as `float`, also whole ones, since at `int` Open WebUI (0.10 and
# later) would fail at a text itself, before anything here could read it or say what is wrong.
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

        async def work(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
            request = settings.request(prompt, **await with_earlier_seed(chat, arguments))
            return await _run(chat, display, settings, request, await settings.including(chat, workflow))

        return await _make(chat, self.valves, work)

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

        async def work(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
            files = await chat.input_files(images) or [await chat.newest()]
            painted = await chat.mask(mask, files[0]) if files[0] else None
            request = settings.edit(prompt, files, painted, **await with_earlier_seed(chat, arguments))
            return await _run(chat, display, settings, request, await settings.including(chat, workflow))

        return await _make(chat, self.valves, work)

    async def upscale_image(
        self,
        images: list[str] | None = None,
        scale: float | None = None,
        size: str = "",
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

        :param images: As edit_image takes them; without it the newest
        :param scale: How many times as wide and high, 1 to 8; without it 2
        :param size: Instead of scale: "4k" or pixels such as "3840x2160"
        :param model: Name of an installed upscale model
        """
        chat = Chat(__request__, __user__, __metadata__, __event_emitter__, __chat_id__, __message_id__, __messages__)

        async def work(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
            files = await chat.input_files(images) or [await chat.newest()]
            if len(files) > 1:
                raise BadArgument("The argument images names several pictures.", "Call once for each.")
            request = settings.enlarge(files[0], scale=scale, size=size, model=model)
            return await _run(chat, display, settings, request, settings.catalogue)

        return await _make(chat, self.valves, work)

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

        async def work(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
            files = await chat.input_files(images, allow_saved=True)
            named = await with_earlier_seed(chat, parsed_json(inputs))
            request = settings.order(workflow, named, files, await chat.offers())
            return await _run(chat, display, settings, request, await settings.including(chat, workflow))

        return await _make(chat, self.valves, work)

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

        async def work(settings: Settings, _display: Display) -> tuple[dict[str, Any], str]:
            words = words_of(search, "search")
            catalogue = settings.catalogue
            answers, silent = await everywhere(
                settings.endpoints, lambda server: list_workflows(server, catalogue, words)
            )
            answer = one_list(answers) | _left_out(silent)
            return {"status": "done", **answer}, f"{len(answer['workflows'])} workflows"

        return await _answer(chat, self.valves, work)

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

        async def work(settings: Settings, _display: Display) -> tuple[dict[str, Any], str]:
            name = words_of(workflow, "workflow").strip()
            if not name:
                raise BadArgument("The argument workflow is empty.", "list_workflows tells the names.")
            catalogue = await settings.including(chat, workflow)
            about = Argument(name, "The argument workflow")

            async def describe(server: ComfyUIServer) -> dict[str, Any]:
                return await describe_workflow(server, await catalogue.find(server, about))

            answers, silent = await everywhere(settings.endpoints, describe)
            answer = min(answers, key=lambda answer: "cannot run" in answer or "missing nodes" in answer)
            answer |= _left_out(silent)
            return {"status": "done", **answer}, f'Looked at "{answer["name"]}"'

        return await _answer(chat, self.valves, work)

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

        async def work(settings: Settings, _display: Display) -> tuple[dict[str, Any], str]:
            kind_name = words_of(kind, "kind")
            words = words_of(search, "search")
            answers, silent = await everywhere(settings.endpoints, lambda server: list_models(server, kind_name, words))
            answer = one_list(answers) | _left_out(silent)
            return {"status": "done", **answer}, "Looked up what is installed"

        return await _answer(chat, self.valves, work)

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

        async def work(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
            return await check_jobs(chat, display, settings, words_of(job_id, "job_id"), as_yes(cancel, "cancel"))

        return await _answer(chat, self.valves, work)

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

        async def work(settings: Settings, _display: Display) -> tuple[dict[str, Any], str]:
            statuses = await settings.fleet.statuses()
            return status_report(statuses, chat.is_admin)

        return await _answer(chat, self.valves, work)


async def _answer(
    chat: Chat, valves: Valves, work: Callable[[Settings, Display], Awaitable[tuple[dict[str, Any], str]]]
) -> dict[str, Any]:
    """What a call answers: `work` done with the call's settings, inside `Chat.answer`. `valves` are those of the call's
    beginning; another request may replace them meanwhile."""

    async def with_settings(display: Display) -> tuple[dict[str, Any], str]:
        settings = await settle(valves, chat.user, chat)
        chat.hide(settings.fleet.known)
        return await work(settings, display)

    WORKS_FOR.set(str(chat.user.get("id") or ""))
    return await chat.answer(with_settings)


async def _make(
    chat: Chat, valves: Valves, work: Callable[[Settings, Display], Awaitable[tuple[dict[str, Any], str]]]
) -> dict[str, Any]:
    """`_answer` for a call that makes something: it is let in before `work` reads anything, if the user may make images
    at all, and until it ends its jobs are attended to, so that check_job leaves them."""

    async def when_admitted(settings: Settings, display: Display) -> tuple[dict[str, Any], str]:
        if valves.require_image_permission:
            await require_image_permission(chat.request, chat.user)
        async with settings.fleet.admission() as fleet:
            return await work(replace(settings, endpoints=fleet.endpoints), display)

    return await _answer(chat, valves, when_admitted)


def _left_out(silent: Sequence[str]) -> dict[str, Any]:
    """What a list of several servers says of those that are not in it."""
    return {"no answer from": list(silent)} if silent else {}


async def _run(
    chat: Chat, display: Display, settings: Settings, request: Request, catalogue: Catalogue
) -> tuple[dict[str, Any], str]:
    """A request made, stored as files of the user, and reported."""
    memory = Memory(chat.unload_ollama if settings.unload_ollama else None, settings.free_seconds)
    options = RunOptions(catalogue, settings.previews and display.previews, settings.format, memory)
    made = await make(request, settings.fleet, display, options)
    return await keep_and_report(chat, settings, made, file_stem(request.called or made.workflow, made.seed))


# ======================================================================================================================
# src/comfyui_chat/command_line.py
#
# The command line: `generate` pictures, `convert` workflows, `install` this tool.
#
# `main` parses what follows `python comfyui_tool.py` and runs one command, an `async` function of the options:
#
# - `generate` makes pictures as generate_image does (run/make.py), with a progress bar on the terminal, and writes them
#   to files.
# - `convert` turns workflows as ComfyUI's editor saves them into the format of its API.
# - `install` creates or updates the tool in a running Open WebUI through its REST interface, as Open WebUI 0.9.6 to
#   0.12.4 has it. It sends the very file that it runs from; run from the package, the one that build.py wrote last.
#
# Exit status: 0 done, 1 failed, 2 called wrongly, 130 stopped.
# ======================================================================================================================


VERSION = "0.1.0"  # as in the front matter
TOOL_ID = "comfyui"  # under which Open WebUI keeps the tool
# Options of `generate` that are passed on as they are typed: --negative-prompt is generate_image's negative_prompt.
PLAIN_OPTIONS = ("negative_prompt", "size", "count", "seed", "steps", "guidance", "model", "workflow")
PICTURE_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WebP", ".png": "PNG"}  # by the endings of names


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. `arguments` are those of the process when None. Returns the exit status: 0 done, 1 failed, 2
    called wrongly, 130 stopped."""
    options = command_parser().parse_args(arguments)
    try:
        return asyncio.run(_run_command(options))
    except ComfyUIError as error:
        print(f"{error.with_place} {error.hint}", file=sys.stderr)
        if isinstance(error, BadArgument):
            return 2
        return 1
    except OSError as error:
        print(f"{error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("Stopped.", file=sys.stderr)
        return 130
    except Exception as error:
        print(f"A mistake in this tool: {type(error).__name__}: {error}", file=sys.stderr)
        return 1


async def _run_command(options: argparse.Namespace) -> int:
    """Run one command, so that SIGTERM cancels it as Ctrl+C does, and close all connections after it."""
    task = asyncio.current_task()
    if task:
        with contextlib.suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return int(await options.run(options))
    finally:
        await close_servers()


def command_parser() -> argparse.ArgumentParser:
    """The command line's own description of itself. Each command sets `run`, the function that does it."""
    parser = argparse.ArgumentParser(prog="comfyui_tool.py", description="ComfyUI for Open WebUI, and for a terminal.")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True)

    generate = commands.add_parser("generate", help="make pictures from a description")
    generate.add_argument("prompt")
    generate.add_argument("-o", "--output", metavar="FILE", help="where the picture goes; others get a number")
    for name in PLAIN_OPTIONS:
        option = name.replace("_", "-")
        generate.add_argument(f"--{option}")
    generate.add_argument("--loras", metavar="NAME[:STRENGTH],…", help="LoRAs to use, separated by commas")
    generate.set_defaults(run=command_generate)

    converting = commands.add_parser("convert", help="turn saved workflows into the format of ComfyUI's API")
    converting.add_argument("files", nargs="+", metavar="FILE", help="x.json or x.ui.json; x.api.json is written")
    converting.add_argument(
        "--definitions", metavar="FILE", help="what /object_info answered; without it a ComfyUI is asked"
    )
    converting.add_argument("--out", metavar="DIR", help="where the results go; without it beside the files")
    converting.set_defaults(run=command_convert)

    install = commands.add_parser("install", help="put this tool into a running Open WebUI")
    install.add_argument("--url", required=True, help="address of Open WebUI")
    install.add_argument("--token", help="an administrator's token or API key; else OPEN_WEBUI_TOKEN, else asked for")
    install.add_argument("--replace", action="store_true", help="also in place of another tool with the same id")
    install.add_argument("--public", action="store_true", help="let all users use it")
    install.set_defaults(run=command_install)

    comfyui_key = os.environ.get("COMFYUI_API_KEY")
    for command in (generate, converting, install):
        command.add_argument("--endpoint", metavar="URL", help="address of ComfyUI")
        command.add_argument("--api-key", metavar="KEY", default=comfyui_key, help="ComfyUI's key")
    return parser


# `generate`: pictures from a description, without a chat. The limits are wide, since whoever types the command may use
# the server as they like.


async def command_generate(options: argparse.Namespace) -> int:
    """`generate`: make pictures and write them to files."""
    target = None
    picture_format = ""
    if options.output:
        target = Path(options.output)
        check_target(target)
        picture_format = PICTURE_FORMATS.get(target.suffix.lower(), "")
    valves = Valves(
        endpoint=options.endpoint or "",
        api_key=options.api_key or "",
        max_count=64,
        max_steps=10_000,
        max_megapixels=64,
    )
    settings = resolve(valves, None)
    arguments = {name: getattr(options, name) for name in (*PLAIN_OPTIONS, "loras")}
    request = settings.request(options.prompt, **arguments)
    wanted = Format(picture_format, quality=95)
    run_options = RunOptions(settings.catalogue, previews=False, format=wanted)
    display = TerminalDisplay(sys.stderr)
    try:
        made = await make(request, settings.fleet, display, run_options)
    finally:
        display.end()
    if target is None:
        stem = file_stem(str(request.prompt), made.seed)
        target = Path(f"{stem}.{made.products[0].ending}")
    await _write_products(made.products, target)
    for note in made.notes:
        print(f"Note: {note}", file=sys.stderr)
    print(f"{made.workflow}, {made.model}, seed {made.seed}, {duration(made.seconds)}", file=sys.stderr)
    return 0


async def _write_products(products: Sequence[OutputFile], target: Path) -> None:
    """Write finished files, and print where they are: fox.png, fox-2.png, fox-3.png."""
    path = target
    for number, product in enumerate(products, 1):
        if number > 1:
            path = target.with_stem(f"{target.stem}-{number}")
        await FILES.run(path.write_bytes, product.data)
        print(path)


def check_target(target: Path) -> None:
    """Find out before the work whether its result can be written. Raises `BadArgument`."""
    folder = target.absolute().parent
    if not folder.is_dir():
        raise BadArgument(f'There is no folder "{target.parent}".', "Create it first, or give another -o.")
    if target.is_dir():
        raise BadArgument(f'"{target}" is a folder.', "Give the name of a file to -o.")
    changed = folder
    if target.exists():
        changed = target
    if not os.access(changed, os.W_OK):
        raise BadArgument(f'"{target}" cannot be written.', "Give another -o.")


BAR_WIDTH = 30  # characters
CLEAR_LINE = "\r\x1b[2K"  # what has a terminal go to the beginning of its line and clear it


class TerminalDisplay:
    """The `ProgressListener` of a run on a terminal: its last line, or one line a phase where the output goes
    elsewhere."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._phase = ""

    def status(self, phase: str, text: str, fraction: float | None = None) -> None:
        """Show a text, on a terminal with a bar before it while ComfyUI is at work."""
        if self._live and phase == "running":
            text = f"{_bar(fraction or 0.0)} {text}"
        if self._live:
            self._stream.write(CLEAR_LINE + text)
        elif phase != self._phase:
            self._stream.write(f"{text}\n")
        self._phase = phase
        self._stream.flush()

    def preview(self, data: bytes) -> None:
        """A terminal shows none."""

    def end(self) -> None:
        """Take the last line away."""
        if self._live:
            self._stream.write(CLEAR_LINE)
            self._stream.flush()


def _bar(fraction: float) -> str:
    filled = round(fraction * BAR_WIDTH)
    empty = BAR_WIDTH - filled
    return "█" * filled + "░" * empty


# `convert`: workflows from ComfyUI's editor into the format of its API.


async def command_convert(options: argparse.Namespace) -> int:
    """`convert`: turn workflows as ComfyUI saves them into the format that its API takes, one file each. What cannot be
    converted is reported, and the others are done all the same."""
    folder = None
    if options.out:
        folder = Path(options.out)
        if not folder.is_dir():
            raise BadArgument(f'There is no folder "{folder}".', "Create it first, or give another --out.")
    definitions = await node_definitions(options)
    status = 0
    for name in options.files:
        source = Path(name)
        try:
            workflow = await _read_json(source)
            graph = convert(workflow, definitions)
        except ComfyUIError as error:
            print(f"{source}: {error.message} {error.hint}", file=sys.stderr)
            status = 1
        except (OSError, ValueError, RecursionError) as error:
            print(f"{source}: {error}", file=sys.stderr)
            status = 1
        else:
            stem = source.name.removesuffix(".json").removesuffix(".ui")
            target = (folder or source.parent) / f"{stem}.api.json"
            text = json.dumps(graph, indent=2, ensure_ascii=False)
            await FILES.run(target.write_text, text + "\n", encoding="utf-8")
            print(target)
    return status


async def node_definitions(options: argparse.Namespace) -> Definitions:
    """All node definitions, out of a file with what `/object_info` answers, or of the first ComfyUI that answers.
    Raises `BadArgument` and as `everywhere` does."""
    if options.definitions:
        answer = await _read_object_info(Path(options.definitions))
    else:
        valves = Valves(endpoint=options.endpoint or "", api_key=options.api_key or "")
        endpoints = resolve(valves, None).endpoints
        answers, _ = await everywhere(endpoints, lambda server: server.everything())
        answer = answers[0]
    definitions = {}
    for class_type, raw in answer.items():
        if isinstance(raw, Mapping):
            definitions[class_type] = NodeDefinition.parse(class_type, raw)
    return definitions


async def _read_object_info(path: Path) -> dict[str, Any]:
    """What `/object_info` answered, out of a file. Raises `BadArgument`."""
    answer = None
    with contextlib.suppress(ValueError):
        answer = await _read_json(path)
    if not isinstance(answer, dict):
        raise BadArgument(f'"{path}" holds no node definitions.', "Give what /object_info answers.")
    return answer


async def _read_json(path: Path) -> Any:
    """What a JSON file holds. Raises `OSError`, and `ValueError` where it is not valid JSON."""
    text = await FILES.run(path.read_text, encoding="utf-8")
    return json.loads(text)


# `install`: this very file, put into a running Open WebUI.


def built_file() -> Path:
    """The file to install: the one that this runs from, or, where that is a module of the package, comfyui_tool.py in
    the root of the repository. Raises `BadArgument` where it was not built."""
    running = Path(__file__).resolve()
    if running.name != "command_line.py":
        return running
    root = running.parents[2]
    built = root / "comfyui_tool.py"
    if not built.is_file():
        raise BadArgument(f"There is no {built.name} in {root} to install.", "Run `python build.py` there first.")
    return built


async def command_install(options: argparse.Namespace) -> int:
    """`install`: create or update the tool in a running Open WebUI, set its valves, and check what came of it."""
    token = options.token or os.environ.get("OPEN_WEBUI_TOKEN")
    if not token:
        token = ask_secretly("Token or API key of Open WebUI: ")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        webui = OpenWebUI(options.url, token, session)
        try:
            await _install(webui, options)
        except (LookupError, TypeError, AttributeError):
            raise UnexpectedAnswer(f"What answers at {webui.url} does not behave like Open WebUI.") from None
    return 0


def ask_secretly(question: str) -> str:
    """What a person types, unseen. Raises `BadArgument` where nobody can be asked."""
    try:
        return getpass.getpass(question)
    except EOFError:
        raise BadArgument("There is nobody to ask for the token.", "Give --token or set OPEN_WEBUI_TOKEN.") from None


class OpenWebUI:
    """The REST interface of a running Open WebUI, as far as installing needs it."""

    def __init__(self, url: str, token: str, session: aiohttp.ClientSession) -> None:
        self.url = Endpoint.parse(url, name="The address of Open WebUI").url
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One exchange: `method` and `path` below /api/v1, and a body that is sent as JSON. Raises `ServerUnreachable`,
        `AccessRefused` or `UnexpectedAnswer` with the server's reason."""
        status, text = await self._exchange(method, f"{self.url}/api/v1{path}", body)
        answer = None
        with contextlib.suppress(ValueError):
            answer = json.loads(text)
        if status in (401, 403):
            raise AccessRefused(f"Open WebUI refused the token (HTTP {status}).", "Give an administrator's token.")
        is_json = answer is not None or text.strip() == "null"
        if status == 200 and is_json:
            return answer
        reason = "no reason given"
        if isinstance(answer, dict):
            reason = answer.get("detail") or reason
        raise UnexpectedAnswer(
            f"Open WebUI answers {status} to {method} {path}: {shortened(reason, 300)}",
            "Is this the address of Open WebUI itself, and is it version 0.9.6 or later?",
        )

    async def _exchange(self, method: str, url: str, body: Any) -> tuple[int, str]:
        """The status and the text of an answer. Raises `ServerUnreachable`."""
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                self._session.request(method, url, json=body, headers=self._headers, allow_redirects=False) as response,
            ):
                return response.status, await response.text()
        except (aiohttp.ClientError, OSError) as error:
            raise no_answer(f"Open WebUI at {self.url}", error, ANSWER_SECONDS, "Is it running?") from None


async def _install(webui: OpenWebUI, options: argparse.Namespace) -> None:
    """Create the tool, or update it where its content differs; then its valves and access, and look whether Open WebUI
    finds the methods in it. Raises `BadArgument` rather than replace another tool with the same id."""
    path = f"/tools/id/{TOOL_ID}"
    await _install_source(webui, path, replace=options.replace)
    await _install_valves(webui, path, options)
    tool = await webui.call("GET", path)
    if options.public:
        grants = tool.get("access_grants") or []
        await _install_grant(webui, path, grants)
    specs = tool.get("specs") or []
    methods = sorted(spec["name"] for spec in specs)
    expected = sorted(name for name in vars(Tools) if name[0].islower())
    if methods != expected:
        raise UnexpectedAnswer(f"Open WebUI reads {methods} from the tool; expected were {expected}.")
    print(f"A model can call: {', '.join(methods)}.")


async def _install_source(webui: OpenWebUI, path: str, *, replace: bool) -> None:
    """Create the tool with the content of this file, or update the one at `path` whose content differs. Raises
    `BadArgument` for another author's tool, unless it is to be replaced."""
    file = built_file()
    source = await FILES.run(file.read_text, encoding="utf-8")
    about = front_matter(source)
    meta = {"description": about["description"], "manifest": {}}
    form = {"id": TOOL_ID, "name": about["title"], "content": source, "meta": meta}
    tools = await webui.call("GET", "/tools/")
    if TOOL_ID not in [tool["id"] for tool in tools]:
        await webui.call("POST", "/tools/create", form)
        print(f'Created the tool "{TOOL_ID}".')
        return
    tool = await webui.call("GET", path)
    installed = str(tool.get("content"))
    author = front_matter(installed).get("author")
    if author != about["author"] and not replace:
        raise BadArgument(
            f'There is another tool with the id "{TOOL_ID}" in this Open WebUI.',
            "Rename that one, or give --replace to put this one in its place.",
        )
    if installed == source:
        print(f'The tool "{TOOL_ID}" is up to date (version {VERSION}).')
        return
    await webui.call("POST", f"{path}/update", form)
    print(f'Updated the tool "{TOOL_ID}" to version {VERSION}.')


def front_matter(source: str) -> dict[str, str]:
    """The fields in a tool's first lines, as Open WebUI reads them: {"title": "ComfyUI", "version": "0.1.0", ...}."""
    _, _, behind_quotes = source.partition('"""')
    head, _, _ = behind_quotes.partition('"""')
    fields = re.findall(r"^([a-z_]+): *(.+?) *$", head, re.MULTILINE)
    return dict(fields)


async def _install_valves(webui: OpenWebUI, path: str, options: argparse.Namespace) -> None:
    """Set the valves that were given. An update replaces all of them, so the others are sent along."""
    given: dict[str, str] = {}
    if options.endpoint:
        given["endpoint"] = as_valve(options.endpoint)
    if options.api_key:
        given["api_key"] = options.api_key
    current = await webui.call("GET", f"{path}/valves") or {}
    titles = []
    for name, value in given.items():
        if current.get(name) != value:
            title = Valves.model_fields[name].title
            titles.append(str(title))
    if titles:
        await webui.call("POST", f"{path}/valves/update", {**current, **given})
        print(f"Set the valve {quoted(titles)}.")


def as_valve(addresses: str) -> str:
    """Addresses as the valve takes them, tidied. Raises `BadArgument`."""
    tidied = []
    for endpoint in read_endpoints(addresses, ""):
        label = f"{endpoint.label} = " if endpoint.label else ""
        tidied.append(label + endpoint.written)
    return ", ".join(tidied)


async def _install_grant(webui: OpenWebUI, path: str, grants: list[dict[str, Any]]) -> None:
    """Let all users use the tool; the grants that are there stay."""
    everybody: dict[str, Any] = {"principal_type": "user", "principal_id": "*", "permission": "read"}
    granted = [{key: grant.get(key) for key in everybody} for grant in grants]
    if everybody in granted:
        return
    granted.append(everybody)
    await webui.call("POST", f"{path}/access/update", {"access_grants": granted})
    print("All users can use it now.")


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
# `python -m comfyui_chat`, with `src` on the path, does what `python comfyui_tool.py` does.
#
# `install` sends the built file all the same, as `build.py` wrote it last.
# ======================================================================================================================


if __name__ == "__main__":
    sys.exit(main())
