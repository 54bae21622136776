"""Numbers as people and models write them, and those that stand for leaving an argument out.

`read_number` takes a number with its unit or its name around it, or in words of nine languages;
graph/fitting reads every number with it. `read_strength` knows also how strongly in words:

    read_number("20 steps") == 20     read_number("4x") == 4     read_number("zwei Bilder") == 2
    read_strength("50 %") == 0.5      read_strength("low") == 0.3

A model that has nothing to say of a number often gives 0 or -1: `says_no_number` tells. A seed may
be left open (`says_random`), or be that of the result before (`says_same_seed`).
"""

import re
from typing import Any

from .bounds import MOST_WORD_CHARACTERS
from .spelling import NUMBER_WORDS, plain_words
from .values import as_number, unwrapped

# A number among words. A comma with one or two digits behind it is a decimal one; "1,000" may mean
# a thousand.
AMOUNT = re.compile(r"(?<![\d.,])[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:,\d+)?(?:e[+-]?\d+)?")
DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d{1,2})")
# Units that make another number of it; nobody knows whether "5m" means minutes, metres or millions.
OTHER_UNITS = re.compile(
    r"(?<![a-z])(?:k|m|mio|million|thousand|ms|min|mins|minutes?|minuten|h|hours?|or|to|bis)(?![a-z])"
)
PERCENT = re.compile(
    r"%|percent|prozent|por ?ciento|pour ?cent|per ?cento|por ?cento|パーセント|퍼센트|百分之"
)
FACTORS = {
    "half": 0.5,
    "halb": 0.5,
    "double": 2,
    "twice": 2,
    "doppelt": 2,
    "triple": 3,
    "thrice": 3,
    "quadruple": 4,
}
JOINED_HALF = frozenset({"and", "und"})  # of "three and a half" it is 3.5
SIGNS = re.compile(r"[\s:=×*~≈%#().,;!张張枚个個幅步장개단-]+|(?<![a-z])x(?![a-z])")


def read_number(value: Any) -> float | None:
    """The finite number that a value means, or None: a number, or a text with just one in it, in
    digits or words.
    """
    value = unwrapped(value)
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
    """The number that a text without digits has among its words: of "two pictures" and "a couple of
    them" it is 2.
    """
    words = [word for word in SIGNS.split(text) if word]
    factors = [FACTORS[word] for word in words if word in FACTORS]
    numbers = [NUMBER_WORDS[word] for word in words if word in NUMBER_WORDS]
    if factors == [0.5] and len(numbers) == 1 and not JOINED_HALF.isdisjoint(words):
        return numbers[0] + 0.5
    found = {*factors, *numbers} - ({1} if len({*factors, *numbers}) > 1 else set())
    return found.pop() if len(found) == 1 else None


# How strongly a picture is painted anew, 0 to 1, in words.
_STRENGTHS = (
    (0.2, "subtle subtly slight slightly little minimal leicht minimal sutil légère legger"),
    (
        0.3,
        "low weak weakly light faible bajo baja baixo baixa basso bassa schwach niedrig gering 低 弱 낮음 약하게",
    ),
    (0.5, "medium mid moderate moderately mittel medio media moyen moyenne médio média 中 중간"),
    (0.8, "high strong strongly stark hoch alto alta fort forte élevé fuerte 高 強 强 높음 강하게"),
    (0.9, "very completely extreme heavy heavily max maximum full voll 最大 최대"),
)
STRENGTH_WORDS = {word: strength for strength, words in _STRENGTHS for word in words.split()}
# a strength of so much and more is one of ten, above that in percent, since it goes from 0 to 1
LOWEST_OF_TEN = 2.0


def read_strength(value: Any) -> float | None:
    """The strength that a value means, from 0 to 1, or None. "7" is 7 of 10, and "70" 70
    percent.
    """
    number = read_number(value)
    if number is None and isinstance(value, str):
        words = [word for word in SIGNS.split(plain_words(value)) if word in STRENGTH_WORDS]
        number = max((STRENGTH_WORDS[word] for word in words), default=None)
    if number is not None and LOWEST_OF_TEN <= number <= 100:
        return number / (10 if number <= 10 else 100)
    return number


# What says nothing.

_ABOVE_ZERO = (
    "steps count batch_size size scale strength denoise guidance width height length seconds fps"
)
ABOVE_ZERO = frozenset(_ABOVE_ZERO.split())
_RANDOM = (
    "random randomize new different any zufällig zufall aleatorio aleatoria aléatoire aleatório casuale "
    "ランダム 랜덤 무작위 随机 隨機"
)
_SAME = (
    "last same previous prev before again reuse repeat keep gleich gleiche gleicher derselbe letzte letzter vorige "
    "mismo misma último última anterior même dernier dernière précédent mesmo mesma stesso stessa ultimo precedente "
    "同じ 前回 前と同じ 같은 이전 相同 一样 一樣 上次"
)
RANDOM, SAME = frozenset(_RANDOM.split()), frozenset(_SAME.split())


def says_no_number(name: str, value: Any) -> bool:
    """Whether a value stands for leaving out an argument that has to be above 0: steps, count,
    scale, strength...
    """
    number = read_number(value)
    return name in ABOVE_ZERO and number is not None and number <= 0


def says_random(value: Any) -> bool:
    """Whether a seed is left to chance: "random", or any number below 0."""
    value = unwrapped(value)
    if isinstance(value, str) and not RANDOM.isdisjoint(SIGNS.split(plain_words(value))):
        return True
    number = read_number(value)
    return number is not None and number < 0


def says_same_seed(value: Any) -> bool:
    """Whether a seed is to be that of the result before: "last", "the same"."""
    value = unwrapped(value)
    return isinstance(value, str) and not SAME.isdisjoint(SIGNS.split(plain_words(value)))
