"""Which pictures of a chat a model means by its words: "2", "the last two", "1 and 3", "photo.png".

`split_words` parts what may name several, and `pick_pictures` says which numbers one part means. The first picture of a
chat has the number 1, as results tell a model. Words are taken in nine languages, since models write what the user
said:

    split_words("1 and 3", ...)  == ["1", "3"]
    pick_pictures("die letzten zwei", ...) == [4, 5]          of five pictures
    pick_pictures("photo.png", ...) == [2]                    as Open WebUI names it in `<attached_files>`
"""

import contextlib
import re
from collections.abc import Sequence

from ..bounds import MOST_WORD_CHARACTERS
from ..errors import BadArgument
from ..names import base_name, shortened
from ..spelling import number_in_words, plain_words
from .messages import ChatFile

MOST_NAMED = 12  # pictures that a refusal lists
NO_PICTURE = (
    "There is no picture in this chat.",
    "Ask the user to attach one, or make one with generate_image.",
)

# What people call the files of a chat that are no pictures.
OTHER_KINDS = {
    "video": re.compile(r"\b(?:video|clip|film|movie|animation)s?\b|视频|動画|영상"),
    "audio": re.compile(r"\b(?:audio|sound|song|music|recording|track)s?\b|音频|音声|오디오"),
}

# Between two pictures. A word stands between spaces; in Japanese, Korean and Chinese it stands
# between the numbers.
BETWEEN = re.compile(
    r"[,;&+\n、，；]| (?:and|und|et|y|e|ed|plus|と|和|跟|및|와|과) |(?<=\d)(?:と|和|跟|與|与|와|과)(?=\d)"
)
NUMBERS = re.compile(r"\d{1,5}(?: \d{1,5})+")
RANGE = re.compile(r"(\d{1,5}) ?(?:-|–|to|through|bis|à|a|~|から|到) ?(\d{1,5})")

# A number that is joined to its noun, also as if it were a file's name: "image1", "img_2.png".
JOINED_NUMBER = re.compile(
    r"^(?:image|img|picture|pic|photo|bild|foto|file)[_-]?(\d{1,4})(?:\.[a-z]{3,4})?$"
)
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
    "attached attachment uploaded upload sent provided given user user's original input source "
    "angehängte angehängten hochgeladene hochgeladenen original adjunta adjuntas jointe allegata anexada"
)
_MINE = "my mine mein meine meinem meiner mi mon ma mes meu minha mio mia miei"
OWNED = frozenset(_MINE.split())  # "my photo" is one that was sent, where there is any
LAST, ALL, BOTH, SENT = (frozenset(words.split()) for words in (_LAST, _ALL, _BOTH, _SENT))
BEFORE_LAST = frozenset(
    {"second to last", "second last", "last but one", "penultimate", "vorletzte", "one before last"}
)
_ORDINALS = {
    1: (
        "first 1st oldest earliest erste erstes ersten erster primera primero primer premier première prima primo "
        "primeira primeiro"
    ),
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
    """The parts of a text that name a picture or a few each. A text that is the name of a picture
    stays whole.
    """
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
    """The numbers of the pictures that a part of a text means, of all `pictures` of a chat in their
    order.

        "2", "#2", "image 2", "the second one"  -> the second     "last", "the latest picture", "it"  -> the last
        "last 2", "les deux dernières"          -> the last two   "all"  -> all    "both"  -> the last two
        "2-4"                                   -> three of them  "photo.png"  -> the one of that name

    Raises `BadArgument`, with a list of the pictures, for other words and for a number that the
    chat does not have.
    """
    named = _by_name(words, pictures)
    if named:
        return [_newest_of(named, words, pictures)]
    text = JOINED_NUMBER.sub(r"\1", plain_words(words)).replace("_", " ")
    spaced = UNSPACED.sub(r" \g<0> ", text).split()
    tokens = [token for token in spaced if token.strip("#'.") not in NOTHING | OWNED]
    if not tokens and not OWNED.isdisjoint(spaced) and any(file.attached for file in pictures):
        tokens = ["sent"]
    meant = _meant(text.removeprefix("the "), tokens, pictures)
    if meant is None:
        raise _not_a_picture(words, pictures)
    if not pictures:
        raise BadArgument(*NO_PICTURE)
    if not meant or not all(1 <= number <= len(pictures) for number in meant):
        raise _no_such_picture(words, pictures)
    return meant


def pick_others(words: str, media: Sequence[ChatFile]) -> list[ChatFile]:
    """The videos and sounds that words mean which mean no picture: "the last video"; also "last" in
    a chat that has no pictures. None for other words.
    """
    for kind, names in OTHER_KINDS.items():
        files = [file for file in media if file.kind == kind]
        called = names.sub("image", words.lower())
        if files and called != words.lower():
            return _picked(called, files)
    if any(file.kind == "image" for file in media):
        return []
    return _picked(words, media)


def _picked(words: str, files: Sequence[ChatFile]) -> list[ChatFile]:
    with contextlib.suppress(BadArgument):
        return [files[number - 1] for number in pick_pictures(words, files)]
    return []


def _meant(text: str, tokens: list[str], pictures: Sequence[ChatFile]) -> list[int] | None:
    """The numbers that the words mean, which the chat may not have; None where they mean none.
    `tokens` are those words of the text that tell something.
    """
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


def _of_kinds(
    kinds: list[frozenset[str]], numbers: list[int], pictures: Sequence[ChatFile]
) -> list[int]:
    """The numbers that "last", "all" and the like mean, with the number that stands beside them, if
    there is one.
    """
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
    """The pictures whose files have that name, also without its ending or its folder."""
    wanted = base_name(plain_words(words))
    if not wanted or wanted.isdigit():
        return []
    names = [plain_words(file.name) for file in pictures]
    stems = [name.rpartition(".")[0] for name in names]
    for candidates in (names, stems):
        numbers = [number for number, name in enumerate(candidates, 1) if name == wanted]
        if numbers:
            return numbers
    return []


def _newest_of(numbers: Sequence[int], words: str, pictures: Sequence[ChatFile]) -> int:
    """The last of these numbers, whose pictures have one name. Raises `BadArgument` where the user
    sent two at once.
    """
    newest = pictures[numbers[-1] - 1]
    alike = [number for number in numbers if pictures[number - 1].turn == newest.turn]
    if newest.attached and len(alike) > 1:
        raise BadArgument(
            f'{len(alike)} pictures are called "{shortened(words)}".', _listed(pictures)
        )
    return numbers[-1]


# A file's name or address, an id, or a number: a slip of the model's, and nothing to ask the user.
OF_A_MASK = ("paint", "same", "mask", "transparency")
NO_DESCRIPTION = re.compile(r"\d|/|\.\w{2,4}$")
LONGEST_DESCRIPTION = 100  # characters


def left_open(words: str, pictures: Sequence[ChatFile]) -> list[int]:
    """Among which pictures the user could point at the one that is meant, where `pick_pictures`
    refuses the words: those of one name, else the chat's newest. None where there is nothing to
    choose, or where the words are no description.
    """
    if "://" in words or plain_words(words) in OF_A_MASK:
        return []
    numbers = _by_name(words, pictures)
    is_description = len(words) <= LONGEST_DESCRIPTION and not NO_DESCRIPTION.search(words)
    if not numbers and is_description:
        numbers = list(range(1, len(pictures) + 1))
    return numbers[-MOST_NAMED:] if len(numbers) > 1 else []


# Refusals, which list what there is.


def _listed(pictures: Sequence[ChatFile]) -> str:
    """What a chat holds: "2 pictures: 1 photo.png, 2 mask.png.", the newest ones of many."""
    if not pictures:
        return (
            "The chat has no pictures: ask the user to attach one, or make one with generate_image."
        )
    numbered = [
        f"{number} {shortened(file.name, 40)}".strip() for number, file in enumerate(pictures, 1)
    ]
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
