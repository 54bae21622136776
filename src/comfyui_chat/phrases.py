"""What the user reads of a call while it runs and when it ends, in the user's language.

A `Phrase` is one of the texts in status_texts.py with its values. As a string it is its English,
which is what a model, a log and the command line get; `in_language` says any text as the user
speaks, as far as it is a phrase:

    text = Phrase("ahead", count=2)                 "Waiting, 2 ahead"
    in_language(text, "de")                         "Wartet, 2 davor"
    in_language(joined(Phrase("part", number=1, all=4), text), "fr")    "1 sur 4 · En attente, 2 avant"

Numbers and names stand in a text as they are, phrases are said in its language, and so are the
values that depend on it: a `Share`, "48%" or "48 %", and a `Span` of time.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .names import duration_parts
from .status_texts import ENGLISH, LANGUAGES, STATUS_TEXTS

# What stands before the sign, where anything does: a space that no line is broken at.
BEFORE_PERCENT: Mapping[str, str] = {
    "de": "\N{NO-BREAK SPACE}",
    "fr": "\N{NARROW NO-BREAK SPACE}",
    "es": "\N{NO-BREAK SPACE}",
}
JOINT = " · "  # between what is told side by side


class Phrase(str):
    """A text of `STATUS_TEXTS` with its values: in English as a string, and in other languages by
    `said_in`.
    """

    name: str
    values: Mapping[str, Any]

    def __new__(cls, name: str, /, **values: Any) -> "Phrase":
        self = super().__new__(cls, _said(name, values, ENGLISH))
        self.name = name
        self.values = values
        return self

    def said_in(self, language: str) -> str:
        """The text in one of `LANGUAGES`."""
        return _said(self.name, self.values, language)


class JoinedPhrase(Phrase):
    """Texts side by side: "2 of 4 · Saving"."""

    def __new__(cls, *parts: str) -> "JoinedPhrase":
        self = str.__new__(cls, JOINT.join(parts))
        self.name = ""
        self.values = {str(place): part for place, part in enumerate(parts)}
        return self

    def said_in(self, language: str) -> str:
        """The texts in one of `LANGUAGES`."""
        return JOINT.join(in_language(part, language) for part in self.values.values())


class FailurePhrase(Phrase):
    """Why something failed: in English as it was said, and in other languages what its code means."""

    def __new__(cls, english: str, code: str) -> "FailurePhrase":
        self = str.__new__(cls, english)
        self.name = code
        self.values = {}
        return self

    def said_in(self, language: str) -> str:
        """What became of the call, in one of `LANGUAGES`."""
        return str(self) if language == ENGLISH else super().said_in(language)


@dataclass(frozen=True)
class Share:
    """A part of a whole, 0 to 1, told in percent."""

    of_whole: float

    def said_in(self, language: str) -> str:
        """It in percent, as it is written in a language."""
        return f"{100 * self.of_whole:.0f}{BEFORE_PERCENT.get(language, '')}%"


@dataclass(frozen=True)
class Span:
    """A time span."""

    seconds: float

    def said_in(self, language: str) -> str:
        """It as people say it: "12 s", "3 min", "1 h 20 min"."""
        hours, minutes, seconds = duration_parts(self.seconds)
        if hours:
            return _said("hours", {"hours": hours, "minutes": minutes}, language)
        if minutes:
            return _said("minutes", {"minutes": minutes}, language)
        return _said("seconds", {"seconds": seconds}, language)


def joined(*parts: str) -> str:
    """Texts side by side, without those that are empty."""
    told = [part for part in parts if part]
    return told[0] if len(told) == 1 else JoinedPhrase(*told)


def in_language(text: str, language: str) -> str:
    """A text in one of `LANGUAGES`, as far as it is a phrase."""
    return text.said_in(language) if isinstance(text, Phrase) else text


def known_language(locale: str) -> str:
    """Which of `LANGUAGES` a locale such as "pt-BR" or "zh_Hans" means; English for any other."""
    language = re.split(r"[-_]", locale.strip().lower())[0]
    return language if language in LANGUAGES else ENGLISH


def _said(name: str, values: Mapping[str, Any], language: str) -> str:
    if values.get("count") == 1 and f"{name}_1" in STATUS_TEXTS:
        name = f"{name}_1"
    told = {}
    for key, value in values.items():
        if isinstance(value, (Phrase, Share, Span)):
            value = value.said_in(language)
        told[key] = value
    return STATUS_TEXTS[name][language].format(**told)
