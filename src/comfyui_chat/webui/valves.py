"""The valves: what the administrator and each user can set, as Open WebUI shows it.

`Valves` are the administrator's, `UserValves` each user's own. Titles and descriptions are what
people read on the page of the tool, and docs/valves.md lists both tables.

No value is refused here. Open WebUI hands over whatever is stored, and a user may have stored
anything at all, past every check; but an error here would break every chat that has the tool. So
`Tolerant` converts each value to its type, or takes the default, and `number` moves one into its
range. What was done so is in `problems`, which comfyui_status and the command `install` tell.
Addresses and rights are checked where the valves are resolved for a call: `resolve` in
webui/settings.py.

What may hold a key or a password is left out of what is printed of valves.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    field_validator,
    model_validator,
)

from ..names import quoted, shown_value
from ..values import clamp

SWITCHED_ON, SWITCHED_OFF = ("true", "1", "on", "yes"), ("false", "0", "off", "no", "")
# What the numbers may be, in the administrator's valves and in the user's; their descriptions say
# the same.
RANGES: Mapping[str, tuple[float, float]] = {
    "quality": (1, 100),
    "max_count": (1, 64),
    "max_steps": (1, 10_000),
    "max_megapixels": (0.07, 256),
    "max_upscaled_megapixels": (0.07, 256),
    "max_video_seconds": (0.1, 3600),
    "max_jobs": (0, 1000),
    "max_queue": (0, 10_000),
    "max_wait_minutes": (0.1, 1440),
    "lost_after_seconds": (5, 3600),
    "idle_minutes": (0.1, 1440),
    "paid_run_dollars": (0.01, 1000),
    "paid_day_dollars": (0.01, 10_000),
}


class Tolerant(BaseModel):
    """A model that takes whatever is stored: an unreadable valve would otherwise break every chat
    of the tool.
    """

    model_config = ConfigDict(extra="ignore")
    # what was stored and could not be read, as sentences
    _misread: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _noting(cls, stored: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        """The valves, with what could not be read of them."""
        held = read(stored)
        if isinstance(stored, Mapping):
            held._misread = tuple(held._unreadable(stored))
        return held

    def _unreadable(self, stored: Mapping[str, Any]) -> Iterator[str]:
        for name, valve in type(self).model_fields.items():
            value = stored.get(name)
            if value is None or valve.annotation is str:
                continue
            kind = valve.annotation
            said = f'The valve "{valve.title}" is {shown_value(value)}'
            counts = f"{json.dumps(getattr(self, name))} counts"
            if get_origin(kind) is Literal:
                choices = get_args(kind)
                if str(value).strip().lower() not in [choice.lower() for choice in choices]:
                    yield f"{said}, which is none of {quoted(choices)}: {counts}."
            elif kind is bool:
                if (
                    not isinstance(value, bool)
                    and str(value).strip().lower() not in SWITCHED_ON + SWITCHED_OFF
                ):
                    yield f"{said}, which is neither on nor off: {counts}."
            elif _stored_number(value, math.nan) != _stored_number(value, math.nan):
                yield f"{said}, which is no number: {counts}."

    def number(self, name: str) -> float:
        """A number in its range; the default stays, which may stand for something else."""
        value: float = getattr(self, name)
        if value == type(self).model_fields[name].default:
            return value
        return clamp(value, *RANGES[name])

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with what is stored, and what counts in its place, a sentence each."""
        found = list(self._misread)
        for name, (low, high) in RANGES.items():
            valve = type(self).model_fields.get(name)
            if valve is None or self.number(name) == getattr(self, name):
                continue
            value = getattr(self, name)
            found.append(
                f'The valve "{valve.title}" is {value:g}, and takes {low:g} to {high:g}: {self.number(name):g} counts.'
            )
        return tuple(found)

    @field_validator("*", mode="before")
    @classmethod
    def _tidy(cls, value: Any, info: Any) -> Any:
        """A stored value in the type of its field: words for a choice or a switch, numbers as text;
        the default for what cannot be read.
        """
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
        return value.strip().lower() in SWITCHED_ON
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
KEY_FORMS = (
    "Also `user:password`, a header such as `X-Auth: secret`, several as JSON, `token=secret` for every address, or "
    "`login user:password` for ComfyUI-Login."
)
MODEL_VALVE = "File name of the model to use when none is asked for. Leave empty to have an installed one chosen."
SIZE_VALVE = 'Used when no size is asked for: "auto", an aspect ratio such as "16:9", or pixels such as "1216x832".'
NEGATIVE_VALVE = "What to keep out of pictures when the call does not say; used by models that take a negative prompt."
WORKFLOW_VALVE = (
    "Name of the workflow to use when none is asked for. "
    "Leave empty to have one chosen by installed models."
)
EDIT_WORKFLOW_VALVE = "The same for edit_image. Leave empty to have one chosen by installed models."
FORMAT_VALVE = "What pictures are kept as; animations, videos and all else stay as made."
TRACES_VALVE = (
    "A prompt is deleted there once all of its files are stored here; what check_job then shows of it is only what is "
    "stored. The files stay in ComfyUI's output folder: it has no route to delete them. Comfy Cloud keeps both."
)
WORKFLOWS_VALVE = (
    "JSON of one workflow, as ComfyUI saves or exports it, or of several: "
    "an object of name and workflow, or a list."
)


PaidRuns = Literal["never", "ask", "up to the amount", "always"]  # the words of run/credits


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
        description=f"Sent as `Authorization: Bearer` (to Comfy Cloud as `X-API-Key`), and to the administrator's "
        f"addresses only. {KEY_FORMS} For several addresses: one for all, or one each behind commas, in their order.",
        repr=False,
        json_schema_extra=SECRET,  # type: ignore[arg-type]
    )
    model: str = Field(default="", title="Model", description=MODEL_VALVE)
    workflow: str = Field(default="", title="Workflow", description=WORKFLOW_VALVE)
    edit_workflow: str = Field(
        default="", title="Workflow for edits", description=EDIT_WORKFLOW_VALVE
    )
    size: str = Field(default="auto", title="Size", description=SIZE_VALVE)
    negative_prompt: str = Field(default="", title="Negative prompt", description=NEGATIVE_VALVE)
    previews: bool = Field(
        default=True,
        title="Live previews",
        description="Show the picture coming up. Nothing of it is stored.",
    )
    picture_format: Literal["as made", "PNG", "WebP", "JPEG"] = Field(
        default="as made", title="Format of pictures", description=FORMAT_VALVE
    )
    quality: int = Field(default=90, title="Quality of WebP and JPEG", description="1 to 100.")
    remove_prompts: bool = Field(
        default=False, title="Remove prompts from ComfyUI's history", description=TRACES_VALVE
    )
    strip_metadata: bool = Field(
        default=False,
        title="Remove metadata",
        description="Take workflow, prompt and seed out of every file. ComfyUI's own output folder keeps them.",
    )
    allow_user_endpoints: bool = Field(
        default=False,
        title="Users may set their own ComfyUI address",
        description="Open WebUI's machine then connects to what a user enters. Administrators always may.",
    )
    reachable: str = Field(
        default="public",
        title="Addresses that others may name",
        description="Users as their own, and servers where a download is sent on: `public`, `any`, or a list such as "
        "`http://10.0.0.5:8188, https://gpu.example`. Link-local addresses and those of clouds' metadata never.",
    )
    ca_file: str = Field(
        default="",
        title="Certificate authority file",
        description="Its certificates count besides the system's: the path of a PEM file on Open WebUI's machine, such "
        "as `/etc/ssl/our-ca.pem`. Leave empty to do as Open WebUI does (`AIOHTTP_CLIENT_SESSION_SSL`).",
    )
    unchecked_certificates: bool = Field(
        default=False,
        title="Do not check certificates (unsafe)",
        description="Whoever is on the way can then read keys and pictures and pose as ComfyUI. For the "
        "administrator's addresses only; a certificate authority file does the same safely.",
    )
    use_proxy: bool = Field(
        default=False,
        title="Proxy of the environment",
        description="The administrator's addresses are reached by `HTTP_PROXY` and `HTTPS_PROXY`, but for what is in "
        "`NO_PROXY`. Users' own addresses never are.",
    )
    workflows: str = Field(default="", title="Workflows", description=WORKFLOWS_VALVE, repr=False)
    server_workflows: bool = Field(
        default=True,
        title="Workflows saved in ComfyUI",
        description="Whatever is saved on the ComfyUI server, or came with it as a template, can be run by its name.",
    )
    allow_user_workflows: bool = Field(
        default=False,
        title="Users may bring their own workflows",
        description="Pasted into their valve, or inside a picture in the chat. Administrators always may.",
    )
    own_nodes: str = Field(
        default="",
        title="Nodes of users' own workflows",
        description="Names of their classes, `*` for any letters: `KSampler*, CLIPTextEncode, VAE*, Save*Image`. Leave "
        "empty for every node of the server. Administrators may use all.",
    )
    rights: str = Field(
        default="",
        title="Rights",
        description="Who may use what, a rule a line: `everybody: workflows = flux*, upscale; own workflows = no`, "
        "`group Design: models = *; servers = fast`, `user ann@example.org: own address = yes`. Rules about a user add "
        "up; what none of them names is as the other valves say. Administrators may everything.",
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
        default=4.2,
        title="Largest picture in megapixels",
        description="0.07 to 256; 4.2 allows 2048x2048.",
    )
    max_upscaled_megapixels: float = Field(
        default=34.0,
        title="Largest upscaled picture in megapixels",
        description="0.07 to 256; 34 allows 7680x4320.",
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
    account_key: str = Field(
        default="",
        title="Key of a Comfy account",
        description="Pays for partner nodes (Veo, Kling, GPT Image …) on the administrator's own servers. Sent to "
        "these with prompts that have such nodes. A user's own key goes before it.",
        repr=False,
        json_schema_extra=SECRET,  # type: ignore[arg-type]
    )
    paid_runs: PaidRuns = Field(
        default="never",
        title="Runs that cost credits",
        description="Whether users may spend the administrator's credits: on partner nodes, and on anything at Comfy "
        'Cloud. "ask" asks them in the chat each time, and asks administrators where it is "never".',
    )
    paid_run_dollars: float = Field(
        default=0.5,
        title="Most US dollars of a call",
        description='0.01 to 1000, without asking, for "up to the amount". What has no known price is refused then.',
    )
    paid_day_dollars: float = Field(
        default=0.0,
        title="Most US dollars of a user in a day",
        description="0.01 to 10000 of the administrator's credits, in days of UTC; 0 for any amount. With a limit, "
        "what has no known price is refused, so all of Comfy Cloud.",
    )

    @field_validator("paid_run_dollars", "paid_day_dollars", mode="before")
    @classmethod
    def _read_dollars(cls, value: Any) -> Any:
        """An amount as people write it: "$5", "5 USD". What is none allows nothing worth
        mentioning, and not any.
        """
        text = str(value or 0).replace(",", ".")
        found = re.search(r"-?\d+(?:\.\d+)?", text)
        return found[0] if found else 0.01

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
        description="Sent as `Authorization: Bearer` (to Comfy Cloud as `X-API-Key`) to your own address only. "
        f"{KEY_FORMS}",
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
    edit_workflow: str = Field(
        default="", title="Workflow for edits", description=EDIT_WORKFLOW_VALVE
    )
    size: str = Field(default="auto", title="Size", description=SIZE_VALVE)
    negative_prompt: str = Field(default="", title="Negative prompt", description=NEGATIVE_VALVE)
    previews: bool = Field(
        default=True, title="Live previews", description="Show the picture coming up."
    )
    picture_format: Literal["default", "as made", "PNG", "WebP", "JPEG"] = Field(
        default="default",
        title="Format of pictures",
        description=f"{FORMAT_VALVE} The default is the administrator's.",
    )
    quality: int = Field(
        default=0,
        title="Quality of WebP and JPEG",
        description="1 to 100; 0 for the administrator's.",
    )
    remove_prompts: bool = Field(
        default=False, title="Remove prompts from ComfyUI's history", description=TRACES_VALVE
    )
    strip_metadata: bool = Field(
        default=False,
        title="Remove metadata",
        description="Take workflow, prompt and seed out of every file.",
    )
    account_key: str = Field(
        default="",
        title="Key of your Comfy account",
        description="Pays for partner nodes (Veo, Kling, GPT Image …) in your runs, instead of the administrator's.",
        repr=False,
        json_schema_extra=SECRET,  # type: ignore[arg-type]
    )
    paid_runs: PaidRuns = Field(
        default="ask",
        title="Runs that cost credits",
        description='Whether your own credits may be spent. "never" counts for the administrator\'s, too.',
    )
    paid_run_dollars: float = Field(
        default=0.5,
        title="Most US dollars of a call",
        description='0.01 to 1000, of your own credits without asking, for "up to the amount".',
    )
    show_to_model: bool = Field(
        default=False,
        title="The model sees its pictures",
        description="It gets small copies, so that it can judge them and try again; for models with vision, in native "
        "function calling, since Open WebUI 0.11.4. They cost tokens in every later turn.",
    )
    workflows: str = Field(
        default="",
        title="Workflows",
        description=f"{WORKFLOWS_VALVE} Used if the administrator allows it.",
        repr=False,
    )
