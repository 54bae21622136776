"""Which inputs of a workflow hold a key, a password or the like: their values are told to nobody.

An input is known by its own name, one that holds a text also by the title of its node, and any text
by what stands in it: a header with a credential, or an address with a password or a key.

    "api_key"    a node called "OpenAI API key"    "Bearer eyJhbGciOiJIUzI1NiJ9"    "https://host/?token=abc"
"""

import re
from typing import Any

from ..graph.definitions import last_part
from ..names import shortened

# Words in the names of inputs whose values are not told to anybody: anywhere in a name, or as its
# last word, before a number or "id". "apiKey2", "accessKeyId" and "webhook_url" are secrets;
# "max_tokens" and "key_frames" are none.
SECRET_WORDS = frozenset(
    {
        *(
            "secret",
            "secrets",
            "password",
            "passwd",
            "passphrase",
            "pwd",
            "authorization",
            "bearer",
            "cookie",
        ),
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
    """Whether something holds what nobody may read, by its name: "api_key", "Node title.authToken",
    "API Key".
    """
    words = [word.lower() for word in NAME_WORD.findall(last_part(name))]
    if words[-1:] == ["id"]:
        words.pop()
    return not SECRET_WORDS.isdisjoint(words) or not SECRET_ENDS.isdisjoint(words[-1:])


def holds_secret(name: str, title: str, value: Any) -> bool:
    """Whether the value of an input of this name, in a node of this title, is one that nobody may
    read.
    """
    if is_secret(name):
        return True
    if not isinstance(value, str):
        return False
    return is_secret(title.replace(".", " ")) or _holds_credential(
        shortened(value, CHARACTERS_JUDGED)
    )


def _holds_credential(text: str) -> bool:
    if LOGIN_IN_ADDRESS.search(text) or CREDENTIAL_OF_HEADER.search(text):
        return True
    names = NAME_IN_QUERY.findall(text) + NAME_OF_LONG_WORD.findall(text)
    return any(map(is_secret, names))
