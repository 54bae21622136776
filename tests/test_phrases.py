"""What users read of a call, in their languages: every text in every language, with the same values."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.datastructures import Headers

import comfyui_tool as tool
from tests.support import SOURCE
from tests.support.contract import all_errors

FOREIGN = [language for language in tool.LANGUAGES if language != tool.ENGLISH]


def values_in(text: str) -> list[str]:
    return sorted(re.findall(r"\{(\w+)\}", text))


# --- the table ---


@pytest.mark.parametrize("name", tool.STATUS_TEXTS)
def test_a_text_stands_in_every_language_with_the_same_values(name: str) -> None:
    texts = tool.STATUS_TEXTS[name]
    assert tuple(texts) == tool.LANGUAGES
    assert all(text == text.strip() != "" for text in texts.values())
    assert {language: values_in(text) for language, text in texts.items()} == dict.fromkeys(
        texts, values_in(texts[tool.ENGLISH])
    )


@pytest.mark.parametrize("language", FOREIGN)
def test_a_language_has_words_of_its_own(language: str) -> None:
    sentences = {name: texts for name, texts in tool.STATUS_TEXTS.items() if len(texts[tool.ENGLISH].split()) > 2}
    same = [name for name, texts in sentences.items() if texts[language] == texts[tool.ENGLISH]]
    assert same in ([], ["hours"])


def test_the_dialogs_in_the_page_speak_every_language() -> None:
    for language in tool.LANGUAGES:
        assert all(tool.dialog_words(language).values())
    assert {tuple(texts) for texts in tool.DIALOG_TEXTS.values()} == {tool.LANGUAGES}


def test_every_error_has_a_text() -> None:
    assert {error.code for error in all_errors()} <= set(tool.STATUS_TEXTS)


def test_every_text_is_used_and_every_text_that_is_used_is_there() -> None:
    names = {name.removesuffix("_1") for name in tool.STATUS_TEXTS}
    assert set(re.findall(r'(?:Phrase|_said)\(\s*"(\w+)"', SOURCE)) <= names
    assert [name for name in names if SOURCE.count(f'"{name}"') < 2] == []


# --- phrases ---


def test_a_phrase_is_its_english_as_a_string_and_is_said_in_other_languages() -> None:
    text = tool.Phrase("ahead", count=2)
    assert text == "Waiting, 2 ahead"
    assert f"{text}." == "Waiting, 2 ahead."
    assert tool.in_language(text, "de") == "Wartet, 2 davor"
    assert tool.in_language(text, "ja") == "待機中（前に 2 件）"


def test_a_text_that_is_no_phrase_stays_as_it_is() -> None:
    assert tool.in_language("Anything", "de") == "Anything"


def test_what_stands_side_by_side_is_said_in_one_language() -> None:
    text = tool.joined(tool.Phrase("part", number=2, all=4), tool.Phrase("saving"))
    assert text == "2 of 4 · Saving"
    assert tool.in_language(text, "de") == "2 von 4 · Wird gespeichert"
    within = tool.Phrase("jobs", told=tool.joined(tool.Phrase("brought", count=1), tool.Phrase("failed", count=2)))
    assert within == "Jobs: 1 brought · 2 failed"
    assert tool.in_language(within, "fr") == "Tâches : 1 récupérées · 2 en échec"


def test_nothing_is_joined_to_nothing() -> None:
    saving = tool.Phrase("saving")
    assert tool.joined("", saving) is saving


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "48%"), ("de", "48\u00a0%"), ("fr", "48\u202f%"), ("es", "48\u00a0%"), ("ja", "48%"), ("pt", "48%")],
)
def test_percent_are_written_as_in_the_language(language: str, said: str) -> None:
    assert tool.Share(0.479).said_in(language) == said


@pytest.mark.parametrize(
    ("seconds", "english", "german", "japanese"),
    [
        (0.4, "0 s", "0 s", "0秒"),
        (12, "12 s", "12 s", "12秒"),
        (99.4, "99 s", "99 s", "99秒"),
        (100, "2 min", "2 min", "2分"),
        (4800, "1 h 20 min", "1 h 20 min", "1時間20分"),
    ],
)
def test_times_are_told_as_people_say_them(seconds: float, english: str, german: str, japanese: str) -> None:
    span = tool.Span(seconds)
    assert [span.said_in(language) for language in ("en", "de", "ja")] == [english, german, japanese]
    assert tool.duration(seconds) == english


@pytest.mark.parametrize(
    ("count", "english", "german"),
    [(1, "1 file left out", "1 Datei fehlt"), (2, "2 files left out", "2 Dateien fehlen")],
)
def test_a_single_thing_has_its_own_form(count: int, english: str, german: str) -> None:
    text = tool.Phrase("left_out", count=count)
    assert (str(text), tool.in_language(text, "de")) == (english, german)


def test_a_name_with_braces_stays_as_it_is() -> None:
    text = tool.Phrase("workflow_read", name="{seed} {0}")
    assert text == 'Looked at "{seed} {0}"'
    assert tool.in_language(text, "zh") == "已查看“{seed} {0}”"


def test_a_failure_is_told_in_english_as_it_was_said_and_in_other_languages_by_its_code() -> None:
    error = tool.ModelNotInstalled('The model "x" is not installed.')
    _, text = tool.told_failure(error, False)
    assert text == 'The model "x" is not installed.'
    assert tool.in_language(text, "de") == "Eine benötigte Modelldatei ist nicht installiert."


# --- whose language ---


@pytest.mark.parametrize(
    ("told", "accepted", "language"),
    [
        ("de-DE", "fr", "de"),
        ("pt-BR", None, "pt"),
        ("zh-TW", None, "zh"),
        ("ja", None, "ja"),
        ("nl-NL", "de", "en"),
        (None, "ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("", "IT", "it"),
        (None, None, "en"),
        (7, None, "en"),
        ({"a": 1}, None, "en"),
        ("x" * 10_000, None, "en"),
    ],
)
def test_the_language_is_the_pages_else_what_the_request_accepts(
    told: Any, accepted: str | None, language: str
) -> None:
    request = SimpleNamespace(headers=Headers({"accept-language": accepted} if accepted else {}))
    assert tool.language_of({"variables": {"{{USER_LANGUAGE}}": told}}, request) == language


@pytest.mark.parametrize("metadata", [{}, {"variables": None}, {"variables": []}])
def test_a_call_that_tells_nothing_of_a_language_is_english(metadata: dict[str, Any]) -> None:
    assert tool.language_of(metadata, None) == "en"
