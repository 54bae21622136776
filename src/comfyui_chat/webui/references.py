"""Takes apart what a model writes to name files of the chat: a list, a text, an object, or several
of them in one.

`read_references` gives one text for each item, whatever it is wrapped in:

    ["1", "last 2"]      "1, last 2"      '["1", "last 2"]'      1      {"images": [{"number": 3, "id": "5f0c..."}]}
    "![a fox](/api/v1/files/5f0c.../content)"      '<file type="image" id="5f0c..." name="photo.png"/>'

A text that is an id, an address or a data URI (`file_reference`) names its file. For any other
webui/picking.py says which pictures of the chat it means. webui/chat.py, which knows the chat, puts
these together and reads the files; of data URIs `read_data_uri` gives the content.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..bounds import MOST_ARGUMENT_CHARACTERS, MOST_ARGUMENT_DEPTH, MOST_ARGUMENT_ITEMS
from ..errors import BadArgument, LimitExceeded
from ..media.kinds import MAX_INPUT_BYTES
from ..names import shortened
from ..spelling import parsed_json
from ..values import is_given

# A file's id, alone or in its address: "/api/v1/files/<id>/content", with or without the host
# before it.
FILE_REFERENCE = re.compile(
    r"(?:\S{0,500}/api/v1/files/)?([0-9a-fA-F-]{36})(?:/content(?:/\S{0,500})?)?"
)
FILE_ID = re.compile(
    r"(?<![0-9a-f-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f-])", re.IGNORECASE
)
DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.-]+)*;base64,")
# written in place of a file: the one that the workflow names
OF_AUTHOR = ("saved", "author", "keep")
# Written in place of a workflow's name: the one that is in a file of the chat.
OF_CHAT = re.compile(
    r"(?:the |this |my )?attach(?:ed|ment)(?: (?:image|picture|photo|file|workflow|one|json))?"
)
# the same, where a file is attached
OF_PICTURE = re.compile(r"(?:the )?(?:image|picture|photo) ?#?\d{1,3}")
# Written in place of a mask: the picture's own see-through part, and whichever picture of the chat
# is a mask.
_PART = r"(?: (?:areas?|parts?|regions?|pixels|channel|background|mask|bereich|teil|hintergrund|fondo|zone))?"
_THE = r"(?:the |a |its |der |das |die |el |la |le )?"
OF_IMAGE = re.compile(rf"{_THE}(?:tran?sparen\w{{0,9}}|alpha|透明\w{{0,4}}|투명\w{{0,4}}){_PART}")
SOME_MASK = re.compile(
    rf"{_THE}(?:mask(?:ed)?|maske|masque|máscara|maschera|マスク|마스크|蒙版|遮罩|white|black and white|true){_PART}"
    r"(?: (?:image|picture))?"
)

# The user is to paint the mask; beginnings of words, which no picture is named by.
_PAINT = (
    "paint|draw|brush|sketch|scribbl|select|interactive|manual|by hand|show you|show where|ask the user|ask user"
    "|malen|malt|gemalt|zeichn|markier|zeig|pint|dibuj|selec|muestr|dessin|peind|peign|montr|desenh|dipin|disegn"
)
_PAINT_UNSPACED = "塗|描|绘|涂|그리|그려|칠하|표시"
TO_BE_PAINTED = re.compile(
    rf"(?!.*(?:\d|\.[a-z]{{3,4}}$))(?:(?:.*\W)?(?:{_PAINT})|.*(?:{_PAINT_UNSPACED})).*"
)
# The same where it stands among pictures.
PAINTED_LAST = re.compile(r"(?:to be )?paint(?:ed)?(?: (?:it|mask|by (?:the )?user))?")
# The mask that was painted or given for an earlier result.
_MASK = r"(?:mask\w{0,2}|maske|masque|máscara|maschera|マスク|마스크|蒙版|遮罩)"
_SAME_ONE = rf"(?:same|gleiche|selbe|misma|même|mesma|stessa|同じ|같은|同样|相同|一样)\w{{0,2}}(?:[ の的]?{_MASK})?"
_EARLIER = "last|previous|earlier|first|painted|letzte|vorige|última|anterior|dernière|ultima|前の|이전|上次的"
SAME_MASK = re.compile(
    rf"{_THE}(?:{_SAME_ONE}|(?:{_EARLIER})\w{{0,2}}[ _-]?{_MASK}(?:\.png)?)(?: as .{{0,30}})?"
)

# Under which keys an object names its file, the most certain first, and under which it holds
# several.
_ONE_FILE = "id file_id url image_url src number name filename image file path index"
ONE_FILE = tuple(_ONE_FILE.split())
SEVERAL_FILES = ("images", "pictures", "files", "image_urls", "urls", "ids")


def read_references(value: Any, name: str = "images") -> list[str]:
    """What the argument called `name` says, one text for each file or few. What stands for leaving
    the argument out ("none", "auto") is dropped, and a data URI is kept whole.

    Raises `BadArgument`.
    """
    texts: list[str] = []
    for item in _items_of(parsed_json(value), 0):
        if item is None or (len(item) > MOST_ARGUMENT_CHARACTERS and not DATA_URI.match(item)):
            raise _no_reference(name, value)
        for text in _texts_of(item):
            if is_given(text):
                texts.append(text)
            if len(texts) > MOST_ARGUMENT_ITEMS:
                raise _no_reference(name, value)
    return texts


def _no_reference(name: str, value: Any) -> BadArgument:
    hint = 'Give numbers, "last", "all", or names, ids or URLs of files of this chat.'
    return BadArgument(f"The argument {name} is {shortened(value)}, which names no file.", hint)


def _items_of(value: Any, depth: int) -> Iterator[str | None]:
    """The texts in a list or an object, however deep; None stands for something that can name no
    file.
    """
    if value is None and depth == 0:
        return
    if depth and isinstance(value, str):
        value = parsed_json(value)
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
    """What an object says of its file or files, as {"person": "1", "place": "2"} does under keys of
    its own; None where it says nothing.
    """
    for key in SEVERAL_FILES:
        if item.get(key):
            return item[key]
    for key in ONE_FILE:
        value = item.get(key)
        if value is not None and value != "":
            return value
    return list(item.values()) if len(item) > 1 else None


# What stands around an address: Markdown's brackets, of which the address is within the round ones,
# or a tag.
MARKDOWN = re.compile(r"!?\[[^\[\]]*\]\(([^()]*)\)")
TAG = re.compile(r"<(?:file|img|image)\b([^<>]*)>", re.IGNORECASE)
TAG_NAME = re.compile(r'\b(?:id|src|url|name)="([^"]+)"')


def _texts_of(item: str) -> list[str]:
    """What one text says: the addresses within Markdown or tags where it has some, else the text
    itself. Words around those count only if they hold a number, as in "![a fox](...) and 2".
    """
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
    """The files of Open WebUI, or the data URI, that a text names by itself; none where it has to
    be understood.
    """
    if DATA_URI.match(text) or FILE_REFERENCE.fullmatch(text):
        return [text]
    return list(dict.fromkeys(FILE_ID.findall(text)))


def read_data_uri(uri: str) -> tuple[str, bytes]:
    """A name for messages, and the content of a data URI. Raises `BadArgument` and `LimitExceeded`.
    Blocks.
    """
    if len(uri) * 3 / 4 > MAX_INPUT_BYTES:
        raise LimitExceeded(
            f"A file of the chat is larger than {MAX_INPUT_BYTES // 2**20} MB.",
            "Give a smaller one.",
        )
    _, _, encoded = uri.partition(",")
    try:
        return "the attached file", base64.b64decode(encoded, validate=True)
    except ValueError:
        raise BadArgument(
            "A file of the chat is not a valid data URI.", "Ask the user to attach it again."
        ) from None
