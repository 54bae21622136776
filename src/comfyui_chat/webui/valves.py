"""The valves: what the administrator and each user can set, as Open WebUI shows it.

`Valves` are the administrator's, `UserValves` each user's own. They stand in the order in which the
page shows them: where ComfyUI is, what is made, how it looks, limits, sharing, keys and credits.
Titles and descriptions are what people read there, and docs/valves.md lists both. The page shows
no default, so the descriptions of numbers tell it. What both kinds of valves have is written once,
above them.

How stored values are read is in webui/tolerant.py. Addresses and rights are checked where the
valves are resolved for a call: `resolve` in webui/settings.py.

What may hold a key or a password is left out of what is printed of valves.
"""

import re
from typing import Any, Literal

from pydantic import Field, field_validator

from .menus import WithMenus

# How a valve is told to hide what is typed.
SECRET: Any = {"input": {"type": "password"}}


def menu(method: str) -> Any:
    """How a valve is told to be a menu of what a method of `WithMenus` finds. While nothing is
    chosen the page shows the valve's description in the menu, as in the field of a password: so
    these begin in plain words that read well there.
    """
    return {"input": {"type": "select", "options": method}}


KEY_FORMS = (
    "Or `user:password`, a header such as `X-Auth: secret`, several as JSON, `token=secret` for every address, or "
    "`login user:password` for ComfyUI-Login."
)
PARTNER_NODES = "Pays for partner nodes (Veo, Kling, GPT Image …)"
CALL_DOLLARS = "Most US dollars of a call"
PaidRuns = Literal["never", "ask", "up to the amount", "always"]  # the words of run/credits


# What both kinds of valves have.

MODEL_VALVE: Any = Field(
    default="",
    title="Model",
    json_schema_extra=menu("model_menu"),
    description="One of those installed, where none is asked for and none is chosen here.",
)
WORKFLOW_VALVE: Any = Field(
    default="",
    title="Workflow for new pictures",
    json_schema_extra=menu("workflow_menu"),
    description="One that has its models, where none is asked for and none is chosen here.",
)
EDIT_WORKFLOW_VALVE: Any = Field(
    default="",
    title="Workflow for changing pictures",
    json_schema_extra=menu("edit_workflow_menu"),
    description="One that has its models, where none is asked for in an edit and none is chosen here.",
)
SIZE_VALVE: Any = Field(
    default="auto",
    title="Size in pixels, or aspect ratio",
    description="Used for new pictures when none is asked for: `1216x832`, `16:9`, or `auto` for what suits the model.",
)
NEGATIVE_VALVE: Any = Field(
    default="",
    title="Negative prompt",
    description="What to keep out of pictures when the call does not say, such as `text, watermark`; for models that "
    "take a negative prompt.",
)
PREVIEWS_VALVE: Any = Field(
    default=True,
    title="Live previews",
    description="Show the picture coming up, on unless switched off. Nothing of it is stored.",
)
STRIP_VALVE: Any = Field(
    default=False,
    title="Remove metadata",
    description="Take workflow, prompt and seed out of every file. ComfyUI's own output folder keeps them.",
)
TRACES_VALVE: Any = Field(
    default=False,
    title="Remove prompts from ComfyUI's history",
    description="A prompt is deleted there once all of its files are stored here; what check_job then shows of it is "
    "only what is stored. The files stay in ComfyUI's output folder: it has no route to delete them. Comfy Cloud keeps "
    "both.",
)
WORKFLOWS_VALVE: Any = Field(
    default="",
    title="Workflows",
    description="JSON of one workflow, as ComfyUI saves or exports it, or of several by their names: "
    '`{"portrait": {…}, "logo": {…}}`. Users need the administrator\'s leave to bring their own.',
    repr=False,
)


class Valves(WithMenus):
    """What the administrator sets for everybody."""

    everybodys = True

    # Where ComfyUI is.
    endpoint: str = Field(
        default="",
        repr=False,
        title="ComfyUI address",
        description="For example `http://127.0.0.1:8188`; its key is further down. Several, one a line or behind "
        "commas, are used as one, the first ones first, and may have names: `fast = http://10.0.0.5:8188`. Leave empty "
        "to look at `COMFYUI_BASE_URL`, at the address in Open WebUI's own image settings, at `http://127.0.0.1:8188` "
        "and at `http://host.docker.internal:8188`.",
    )
    use_proxy: bool = Field(
        default=False,
        title="Proxy of the environment",
        description="The administrator's addresses are reached by `HTTP_PROXY` and `HTTPS_PROXY`, but for what is in "
        "`NO_PROXY`. Users' own addresses never are.",
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

    # What is made.
    model: str = MODEL_VALVE
    workflow: str = WORKFLOW_VALVE
    edit_workflow: str = EDIT_WORKFLOW_VALVE
    size: str = SIZE_VALVE
    negative_prompt: str = NEGATIVE_VALVE
    server_workflows: bool = Field(
        default=True,
        title="Workflows saved in ComfyUI",
        description="Whatever is saved on the ComfyUI server, or came with it as a template, can be run by its name. "
        "On unless switched off.",
    )
    workflows: str = WORKFLOWS_VALVE

    # How it looks.
    previews: bool = PREVIEWS_VALVE
    picture_format: Literal["as made", "PNG", "WebP", "JPEG"] = Field(
        default="as made",
        title="Format of pictures",
        description="What pictures are kept as; animations, videos and all else stay as made.",
    )
    quality: int = Field(
        default=90,
        title="Quality of WebP and JPEG",
        description="1 to 100; 90 unless set.",
    )
    strip_metadata: bool = STRIP_VALVE
    remove_prompts: bool = TRACES_VALVE

    # Limits.
    max_count: int = Field(
        default=4, title="Most pictures in one call", description="1 to 64; 4 unless set."
    )
    max_steps: int = Field(
        default=100, title="Most sampling steps", description="1 to 10000; 100 unless set."
    )
    max_megapixels: float = Field(
        default=4.2,
        title="Largest picture in megapixels",
        description="0.07 to 256; 4.2 unless set, which allows 2048x2048.",
    )
    max_upscaled_megapixels: float = Field(
        default=34.0,
        title="Largest upscaled picture in megapixels",
        description="0.07 to 256; 34 unless set, which allows 7680x4320.",
    )
    max_video_seconds: float = Field(
        default=30.0,
        title="Longest video in seconds",
        description="0.1 to 3600, counted at no more than 30 frames a second; 30 unless set.",
    )
    max_wait_minutes: float = Field(
        default=60.0,
        title="Longest wait in minutes",
        description="0.1 to 1440; 60 unless set. The job goes on in ComfyUI after it, and check_job brings it.",
    )
    max_jobs: int = Field(
        default=4,
        title="Most jobs of one user at once",
        description="1 to 1000 on all servers together, waiting ones counted, or 0 for any number; 4 unless set.",
    )
    max_queue: int = Field(
        default=0,
        title="Longest queue that is joined, in jobs",
        description="1 to 10000 jobs of everybody, ComfyUI's own page included, or 0 for any number; 0 unless set.",
    )

    # Sharing: what other users may do, and a graphics card that is shared with Ollama.
    rights: str = Field(
        default="",
        title="Rights",
        description="Who may use what, a rule a line: `everybody: workflows = flux*, upscale; own workflows = no`, "
        "`group Design: models = *; servers = fast`, `user ann@example.org: own address = yes`. Rules about a user add "
        "up; what none of them names is as the other valves say. Administrators may do everything.",
    )
    require_image_permission: bool = Field(
        default=False,
        title="Require the permission to make images",
        description="Only users with Open WebUI's permission Image Generation (`features.image_generation`), and "
        "administrators, can make or change anything. Off, whoever may use this tool can.",
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
    unload_ollama: bool = Field(
        default=False,
        title="Unload Ollama's models before a run",
        description="For Ollama and ComfyUI on one graphics card. All models of all of Open WebUI's Ollamas.",
    )
    free_memory: Literal["never", "after each run", "when idle"] = Field(
        default="never",
        title="Free ComfyUI's memory",
        description="Its models are unloaded, but never while anybody has a job in its queue. Idle is a server after "
        "10 minutes without a run.",
    )

    # Keys and credits.
    api_key: str = Field(
        default="",
        title="ComfyUI API key",
        description="Goes to the administrator's addresses only, never to a user's own. Sent as `Authorization: "
        f"Bearer` (to Comfy Cloud as `X-API-Key`). {KEY_FORMS} For several addresses: one for all, or one each behind "
        "commas, in their order.",
        repr=False,
        json_schema_extra=SECRET,
    )
    account_key: str = Field(
        default="",
        title="Key of a Comfy account",
        description=f"{PARTNER_NODES} on the administrator's own servers. Sent to these with prompts that have such "
        "nodes. A user's own key goes before it.",
        repr=False,
        json_schema_extra=SECRET,
    )
    paid_runs: PaidRuns = Field(
        default="never",
        title="Runs that cost credits",
        description="Whether users may spend the administrator's credits: on partner nodes, and on anything at Comfy "
        'Cloud. "ask" asks them in the chat each time, and asks administrators where it is "never".',
    )
    paid_run_dollars: float = Field(
        default=0.5,
        title=CALL_DOLLARS,
        description='0.01 to 1000, without asking, for "up to the amount"; 0.5 unless set. What has no known price is '
        "refused then.",
    )
    paid_day_dollars: float = Field(
        default=0.0,
        title="Most US dollars of a user in a day",
        description="0.01 to 10000 of the administrator's credits, in days of UTC, or 0 for any amount; 0 unless set. "
        "With a limit, what has no known price is refused, so all of Comfy Cloud.",
    )

    @field_validator("paid_run_dollars", "paid_day_dollars", mode="before")
    @classmethod
    def _read_dollars(cls, value: Any, info: Any) -> Any:
        """An amount as people write it: "$5", "5 USD". What is none allows nothing worth
        mentioning, and not any.
        """
        text = str(value if value is not None else "").replace(",", ".").strip()
        if not text:
            return cls.model_fields[info.field_name].default
        found = re.search(r"-?\d+(?:\.\d+)?", text)
        return found[0] if found else 0.01


class UserValves(WithMenus):
    """What each user sets for themselves."""

    # Where ComfyUI is.
    server: str = Field(
        default="",
        title="Server",
        json_schema_extra=menu("server_menu"),
        description="Whichever will be done soonest, where none of the administrator's is chosen here.",
    )
    endpoint: str = Field(
        default="",
        repr=False,
        title="Your ComfyUI address",
        description="Your own ComfyUI, such as `https://comfy.example.org`, instead of the administrator's, if the "
        "administrator allows it.",
    )

    # What is made.
    model: str = MODEL_VALVE
    workflow: str = WORKFLOW_VALVE
    edit_workflow: str = EDIT_WORKFLOW_VALVE
    size: str = SIZE_VALVE
    negative_prompt: str = NEGATIVE_VALVE
    workflows: str = WORKFLOWS_VALVE

    # How it looks.
    previews: bool = PREVIEWS_VALVE
    picture_format: Literal["default", "as made", "PNG", "WebP", "JPEG"] = Field(
        default="default",
        title="Format of pictures",
        description="What your pictures are kept as; the default is the administrator's.",
    )
    strip_metadata: bool = STRIP_VALVE
    remove_prompts: bool = TRACES_VALVE
    ask_minutes: float = Field(
        default=15.0,
        title="Minutes a run may take unasked",
        description="0 to 1440, by how long the workflow took before; 15 unless set, and 0 to be never asked. The "
        "question is a dialog in the chat: run it, smaller, or not. Without an answer it is run.",
    )
    buttons: bool = Field(
        default=True,
        title="Buttons under results",
        description="Again, larger, to video …: each writes the message for you. Under the newest result of a chat, "
        "since Open WebUI 0.11.4.",
    )
    show_to_model: bool = Field(
        default=False,
        title="The model sees its pictures",
        description="It gets small copies, so that it can judge them and try again; for models with vision, in native "
        "function calling, since Open WebUI 0.11.4. They cost tokens in every later turn.",
    )

    # Keys and credits.
    api_key: str = Field(
        default="",
        title="API key for your address",
        description="Goes to your own address only, never to the administrator's. Sent as `Authorization: Bearer` (to "
        "Comfy Cloud as `X-API-Key`). "
        f"{KEY_FORMS}",
        repr=False,
        json_schema_extra=SECRET,
    )
    account_key: str = Field(
        default="",
        title="Key of your Comfy account",
        description=f"{PARTNER_NODES} in your runs, instead of the administrator's.",
        repr=False,
        json_schema_extra=SECRET,
    )
    paid_runs: PaidRuns = Field(
        default="ask",
        title="Runs that cost credits",
        description='Whether your own credits may be spent. "never" counts for the administrator\'s, too.',
    )
    paid_run_dollars: float = Field(
        default=0.5,
        title=CALL_DOLLARS,
        description='0.01 to 1000, of your own credits without asking, for "up to the amount"; 0.5 unless set.',
    )
