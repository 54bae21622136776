"""How people and models spell what they mean: signs of any width, quotes, JSON in a text, numbers
in words.

The readers of pictures, sizes, counts and lengths begin here. `plain_words` makes one spelling of
many, `parsed_json` takes a list or an object out of a text, and `number_in_words` knows the small
numbers of nine languages:

    plain_words(' "１６：９" ') == "16:9"      parsed_json('["1", 2]') == ["1", 2]      number_in_words("zwei") == 2
"""

import json
import re
import unicodedata
from typing import Any

from .bounds import MOST_ARGUMENT_CHARACTERS, MOST_WORD_CHARACTERS

QUOTES = "\"'`´‘’“”„«»「」『』"


def plain_words(value: Any) -> str:
    """The text of a value for comparing: signs of usual width, in lower case, one space between
    words, no quotes around it. Of a very long text only the beginning.
    """
    text = unicodedata.normalize("NFKC", str(value)[:MOST_WORD_CHARACTERS])
    words = " ".join(text.casefold().split())
    return words.strip(QUOTES).strip()


def parsed_json(value: Any) -> Any:
    """The list or object that a text holds as JSON, also with single quotes as Python writes it;
    any other value as it is. A text beyond `MOST_ARGUMENT_CHARACTERS` is left alone.
    """
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


# The numbers from one to ten as they are written in words, and those that people say of steps.
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
    20: "twenty zwanzig veinte vingt vinte venti 二十 스물 이십",
    30: "thirty dreißig treinta trente trinta trenta 三十 서른 삼십",
    40: "forty vierzig cuarenta quarante quarenta quaranta 四十 마흔 사십",
    50: "fifty fünfzig cincuenta cinquante cinquenta cinquanta 五十 쉰 오십",
}
NUMBER_WORDS = {
    word: number for number, words in _WORDS.items() for word in words.casefold().split()
}
DIGITS = re.compile(r"\d{1,9}")


def number_in_words(word: str) -> int | None:
    """The whole number that a word is, in digits or one of nine languages; None for any other. The
    word comes out of `plain_words`.
    """
    if DIGITS.fullmatch(word):
        return int(word)
    return NUMBER_WORDS.get(word)
