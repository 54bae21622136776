"""Who may use what: the administrator's valve "Rights", read, and held against the user of a call.

The valve has a rule a line: whom it is about, and what they may use.

    everybody: workflows = z-image-turbo, flux*; own workflows = no
    group Design: workflows = *; models = *; servers = fast
    user ann@example.org: own address = yes; own workflows = yes

`read_rules` reads it. `rights_of` adds up the rules that are about a user: of lists, what any of
them names; of yes and no, a yes. What none of them says is as the other valves have it. Rules are
asked at every call, and groups are Open WebUI's own, by name or id; a user is named by address or
id, since names can be chosen. Administrators may everything.

A rule that cannot be read might be one that forbids something, so nobody but administrators may do
anything until it is corrected. The same goes for groups that Open WebUI does not tell.
"""

import asyncio
import functools
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import NotPermitted
from ..logs import log
from ..names import shortened
from ..server.allowed import ALL_ALLOWED, Allowed
from ..server.endpoint import Endpoint
from ..spelling import plain_words
from ..tasks import ANSWER_SECONDS

LISTS = {
    "servers": "servers",
    "server": "servers",
    "workflows": "workflows",
    "workflow": "workflows",
}
LISTS |= {"models": "models", "model": "models"}
SWITCHES = {
    "own workflows": "own_workflows",
    "own workflow": "own_workflows",
    "own address": "own_address",
}
SWITCHES |= {"own addresses": "own_address"}
WHO = re.compile(r"(everybody|everyone|group|user|role)\b\s*(.*)", re.IGNORECASE)
MOST_RULES = 500


@dataclass(frozen=True)
class Rule:
    """One line of the valve: whom it is about, by kind and name in small letters, and what it
    says.
    """

    kind: str
    name: str
    lists: Mapping[str, tuple[str, ...]]
    switches: Mapping[str, bool]


@dataclass(frozen=True)
class Rules:
    """The valve, read, and the lines that cannot be."""

    rules: tuple[Rule, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rights:
    """What one user may use. None stands for what no rule says."""

    servers: tuple[str, ...] | None = None
    allowed: Allowed = ALL_ALLOWED
    own_workflows: bool | None = None
    own_address: bool | None = None

    def server(self, endpoint: Endpoint) -> bool:
        """Whether the user may use one of the administrator's servers, by its name or address."""
        if self.servers is None:
            return True
        names = Allowed(workflows=self.servers)
        host = endpoint.url.partition("://")[2]
        return any(map(names.workflow, (endpoint.name, endpoint.url, host)))


EVERY_RIGHT = Rights()


@functools.lru_cache(maxsize=8)
def read_rules(text: str) -> Rules:
    """The rules in the valve. Cached, since every call reads it."""
    rules: list[Rule] = []
    problems: list[str] = []
    lines = [line.strip() for line in text.splitlines()]
    for line in [line for line in lines if line and not line.startswith("#")]:
        rule = _read_rule(line)
        if rule is None or len(rules) >= MOST_RULES:
            problems.append(
                f'The valve "Rights" has a line that cannot be read: "{shortened(line, 80)}".'
            )
        else:
            rules.append(rule)
    return Rules(tuple(rules), tuple(problems))


def _read_rule(line: str) -> Rule | None:
    """One line, None where it is no rule."""
    whom, colon, what = line.partition(":")
    about = WHO.fullmatch(whom.strip())
    if about is None or not colon:
        return None
    kind = about[1].lower().replace("everyone", "everybody")
    name = about[2].strip().strip("\"'").lower()
    if (kind == "everybody") == bool(name):
        return None
    lists: dict[str, tuple[str, ...]] = {}
    switches: dict[str, bool] = {}
    for part in [part.strip() for part in what.split(";") if part.strip()]:
        word, equals, value = part.partition("=")
        right = plain_words(word)
        if right in LISTS and equals:
            names = tuple(one.strip().lower() for one in value.split(",") if one.strip())
            lists[LISTS[right]] = () if names == ("none",) else names
        elif right in SWITCHES and value.strip().lower() in ("yes", "no"):
            switches[SWITCHES[right]] = value.strip().lower() == "yes"
        else:
            return None
    return Rule(kind, name, lists, switches) if lists or switches else None


async def rights_of(text: str, user: Mapping[str, Any]) -> Rights:
    """What a user may use, by the valve's text and Open WebUI's `__user__`. Raises `NotPermitted`
    where that cannot be told.
    """
    read = read_rules(text)
    if user.get("role") == "admin" or not text.strip():
        return EVERY_RIGHT
    if read.problems:
        raise NotPermitted(
            "The administrator's rules on who may use what cannot be read, so nothing is permitted.",
            'An administrator has to correct the valve "Rights"; comfyui_status tells them which line it is.',
        )
    groups: set[str] = set()
    if any(rule.kind == "group" for rule in read.rules):
        groups = await _groups_of(str(user.get("id") or ""))
    names = {
        "everybody": {""},
        "group": groups,
        "user": {str(user.get(key) or "").lower() for key in ("id", "email")} - {""},
        "role": {str(user.get("role") or "").lower()},
    }
    return _added_up([rule for rule in read.rules if rule.name in names[rule.kind]])


def _added_up(rules: list[Rule]) -> Rights:
    lists: dict[str, tuple[str, ...]] = {}
    switches: dict[str, bool] = {}
    for rule in rules:
        for right, named in rule.lists.items():
            lists[right] = lists.get(right, ()) + named
        for right, says_yes in rule.switches.items():
            switches[right] = switches.get(right, False) or says_yes
    return Rights(
        servers=lists.get("servers"),
        allowed=Allowed(
            lists.get("workflows", ALL_ALLOWED.workflows), lists.get("models", ALL_ALLOWED.models)
        ),
        own_workflows=switches.get("own_workflows"),
        own_address=switches.get("own_address"),
    )


async def _groups_of(user_id: str) -> set[str]:
    """The names and ids of a user's groups in Open WebUI, in small letters. Raises
    `NotPermitted`.
    """
    try:
        from open_webui.models.groups import Groups

        async with asyncio.timeout(ANSWER_SECONDS):
            ask = Groups.get_groups_by_member_id
            inherited = (
                {"include_inherited": True}
                if "include_inherited" in inspect.signature(ask).parameters
                else {}
            )
            groups = await ask(user_id, **inherited)
        return {str(word).lower() for group in groups for word in (group.id, group.name)}
    except Exception as error:  # whatever another release has in its place
        log.warning("Open WebUI does not tell who is in which group: %s", type(error).__name__)
        raise NotPermitted(
            "Open WebUI does not tell in which groups the user is, and the administrator's rules depend on that.",
            "An administrator can write rules without groups, or update Open WebUI or this tool.",
        ) from None
