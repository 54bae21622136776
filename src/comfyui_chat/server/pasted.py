"""What people paste for a key, without what stands around it.

A key is copied out of a console, a page, a command line or a file of settings, and much comes with
it. `plain` takes that off and leaves what `read_auth` (server/auth.py) reads:

    curl -H 'X-Auth: secret' https://host      X-Auth: secret
    -u fox:secret                              Basic fox:secret
    export COMFYUI_API_KEY="sk-1234"           sk-1234
    https://host/prompt?token=secret           ?token=secret
    https://fox:secret@host                    Basic fox:secret
    user: fox, password: secret                Basic fox:secret
    'X-Auth': 'secret',                        X-Auth: secret

What it does not know stays as it is.
"""

import re
import shlex
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

# What may stand round something that is pasted, and by pairs.
ROUND_PASTED = " \t\r\n<>\"'`\u2018\u2019\u201c\u201d"
BLANKS = " \t\r\n"
CLOSED_BY = {"<": ">", '"': '"', "'": "'", "`": "`", "\u2018": "\u2019", "\u201c": "\u201d"}
# signs that nobody sees: colours of a console, marks at the beginning of a file
UNSEEN = re.compile(r"\x1b\[[0-9;]*m|[\ufeff\u200b-\u200f\u2060]")

COMMAND_LINE = re.compile(r"curl\s|(?:-H|-u|-b|--header|--user|--cookie)\b", re.IGNORECASE)
LABELLED = re.compile(
    r"(?:your\s+)?(?:api[ _-]?key(?:_comfy_org)?|key|token|bearer)\s*(?:is\s|:)\s*(?!//)(\S+)"
    r"|headers?\s*[:=]\s*(\S.*)",
    re.IGNORECASE | re.DOTALL,
)
ENVIRONMENT = re.compile(r"(?:export\s+|set\s+|\$env:)?[A-Z][A-Z0-9_]*\s*=\s*(\S+)")
BEARER_KEY = re.compile(r"bearer(?:%20|=)(\S+)", re.IGNORECASE)
SET_COOKIE_LINE = re.compile(r"set-cookie:\s*([^;\s]+)(?:;.*)?", re.IGNORECASE)
COOKIE_LINE = re.compile(r"(?:cookie=|document\.cookie\s*=\s*)(\S.*)", re.IGNORECASE)
LOGIN_FORM = re.compile(r"login[:=](\S+:\S.*)", re.IGNORECASE)
PASTED_ADDRESS = re.compile(r"(?:https?://|/)\S*|[\w.-]+(?::\d+)?/\S*\?\S+")
# "name": "value", with quotes around both or one of them
QUOTED_PAIR = re.compile(
    r"""\s*(?P<open>["'])(?P<name>[\w-]{1,60})(?P=open)\s*:\s*(?P<quote>["'])(?P<value>.*?)(?P=quote)\s*(?:,|$)""",
)
USER_AND_PASSWORD = re.compile(
    r"(?:user(?:name)?|login)\s*[:=]\s*([^\s,;]+(?:[,;]+[^\s,;]+)*)[\s,;]+pass(?:word)?\s*[:=]\s*(\S+)",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """What was pasted, without what stands around it."""
    text = bare(UNSEEN.sub("", text))
    if COMMAND_LINE.match(text):
        return _of_command(text)
    pairs = _pairs(text)
    if pairs:
        return pairs
    named = USER_AND_PASSWORD.fullmatch(text)
    if named:
        return f"Basic {bare(named[1])}:{bare(named[2])}"
    for pattern, form in (
        (ENVIRONMENT, "{}"),
        (LABELLED, "{}"),
        (BEARER_KEY, "Bearer {}"),
        (SET_COOKIE_LINE, "Cookie: {}"),
        (COOKIE_LINE, "Cookie: {}"),
        (LOGIN_FORM, "login {}"),
    ):
        found = pattern.fullmatch(text)
        if found:
            (value,) = filter(None, found.groups())
            return form.format(bare(value))
    return _of_address(text) if PASTED_ADDRESS.fullmatch(text) else text


def bare(text: str) -> str:
    """A text without spaces, quotes and brackets around it; a comma may follow them."""
    text = text.strip(BLANKS)
    while _is_closed(text.rstrip(",;")):
        text = text.rstrip(",;")[1:-1].strip(BLANKS)
    # one that was left over when the rest was copied
    for sign in CLOSED_BY:
        ends = (sign, CLOSED_BY[sign])
        if sum(map(text.count, set(ends))) == 1:
            text = text.strip("".join(ends)).strip(BLANKS)
    return text


def _is_closed(text: str) -> bool:
    """Whether a text stands in one pair of quotes or brackets, and not in several."""
    closing = CLOSED_BY.get(text[:1])
    is_pair = closing is not None and len(text) > 1 and text[-1] == closing
    return is_pair and not {text[0], text[-1]}.intersection(text[1:-1])


def _of_command(text: str) -> str:
    """The headers, the user and the cookies in a command line, one a line."""
    try:
        words = shlex.split(text.replace("\\\r\n", " ").replace("\\\n", " "))
    except ValueError:  # a quote is not closed
        return text
    return "\n".join(_options(words)) or text


def _options(words: list[str]) -> Iterator[str]:
    options = {"-H": "{}", "--header": "{}", "-u": "Basic {}", "--user": "Basic {}"}
    options |= {"-b": "Cookie: {}", "--cookie": "Cookie: {}"}
    waiting = ""
    for word in words:
        if waiting:
            yield options[waiting].format(word)
            waiting = ""
            continue
        name, equals, value = word.partition("=")
        if word in options:
            waiting = word
        elif equals and name in options:
            yield options[name].format(value)
        elif word[:2] in options:
            yield options[word[:2]].format(word[2:])


def _pairs(text: str) -> str:
    """Pairs in quotes, as JSON and other languages write them; "" for anything else."""
    inner = text.removeprefix("{").removesuffix("}").strip(BLANKS)
    found: dict[str, str] = {}
    place = 0
    while place < len(inner):
        pair = QUOTED_PAIR.match(inner, place)
        if not pair:
            return ""
        found[pair["name"]] = pair["value"]
        place = pair.end()
    names = {name.lower(): value for name, value in found.items()}
    user = names.get("username", names.get("user"))
    if user and "password" in names:
        return f"Basic {user}:{names['password']}"
    if len(names) == 1 and LABELLED.fullmatch(f"{next(iter(names))}: x"):
        return next(iter(names.values()))
    return "\n".join(f"{name}: {value}" for name, value in found.items())


def _of_address(text: str) -> str:
    """What lets a caller in of an address that was pasted whole; the address itself where nothing
    does.
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    if parts.username:
        return f"Basic {unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"?{parts.query}" if parts.query else text
