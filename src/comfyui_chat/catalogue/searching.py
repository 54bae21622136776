"""Which workflows a search finds, the best first.

One is found by its name, else by its task, else by its words. People have other words than authors,
and of a search with four words a description seldom has all. So words are weighed: one counts the
more, the fewer workflows it stands in ("splat" says more than "video"); one in a name, a title or
a tag counts more than one in a description, a part of a word less, and one that is only meant, by
a word for the same thing or by the task, least. Two words that stand together in the search and in
the text, "depth map", count for more than the two.

    found_lines(lines, "smooth slow motion", ["smooth", "slow", "motion"])
        ->  the template for frame interpolation, "to generate smooth slow-motion video"

What all words mean is found; beside it, or where there is none, what weighs at least half of the
best. In what order they stand is decided in three steps of weight, so that within a step somebody's
own stays before what is bundled and the most used template before others.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .task_words import SEVERAL, names_task, search_words, single_words, singular, stands_for

TITLE = "title"  # the key of what its author calls a workflow
PAID = "paid"  # the key of the price in words, of one that costs something
TOPICS = "topics"  # the key of the tags of a template, as its gallery writes them
AS_WORD, AS_BEGINNING, AS_PART, AS_MEANT = 1.0, 0.8, 0.3, 0.4  # how a word stands in a text
IN_DESCRIPTION = 0.7  # of the weight that a word has in a name, a title or a tag
TOGETHER = 0.5  # of the weight of two words, where they stand together
CLOSE_TO_BEST, WORTH_TELLING = 0.8, 0.5  # of the weight of the best
LEAST_PART = 4  # letters of a word that is looked for within others

# Endings that people and authors use differently, with the least length of what stays: "colorize"
# finds "colored", "smoother" finds "smooth", and "caption" stays as it is.
_ENDINGS = (
    (re.compile(r"(?:izations?|isations?|iz(?:e|es|ed|ing)|is(?:e|es|ed|ing))$"), 4),
    (re.compile(r"ations?$"), 5),
    (re.compile(r"ions?$"), 5),
    (re.compile(r"(?:ings?|ed)$"), 4),
    (re.compile(r"(?:ers?|e)$"), 5),
    (re.compile(r"s$"), 3),
)

WorkflowLine = dict[str, str]  # a few words about a workflow, as `look_into` gives them


@dataclass(frozen=True)
class SoughtWord:
    """A word of a search, and how it is looked for."""

    word: str
    beginning: str  # of all that the patterns find
    patterns: tuple[tuple[re.Pattern[str], float], ...]  # with what finding it counts, best first

    @classmethod
    def of(cls, word: str) -> "SoughtWord":
        """For a word in lower case. Letters and digits part words, so "flux" is in "flux2"; a word
        of a script that does not part words may stand anywhere.
        """
        if not re.match(r"[a-z0-9]", word):
            return cls(word, word, ((re.compile(re.escape(word)), AS_WORD),))
        before = "(?<![a-z])" if word[0].isalpha() else "(?<![a-z0-9])"
        after = "(?![a-z])" if word[-1].isalpha() else "(?![a-z0-9])"
        whole = f"{before}{re.escape(singular(word))}(?:s|es)?{after}"
        beginning = f"{before}{re.escape(stem(word))}"
        patterns = [(re.compile(whole), AS_WORD), (re.compile(beginning), AS_BEGINNING)]
        if len(word) >= LEAST_PART:
            patterns.append((re.compile(re.escape(singular(word))), AS_PART))
        return cls(word, min(stem(word), singular(word), key=len), tuple(patterns))

    def weight_in(self, text: str) -> float:
        """How it stands in a text in lower case; 0 where it does not."""
        if self.beginning not in text:
            return 0.0
        for pattern, weight in self.patterns:
            if pattern.search(text):
                return weight
        return 0.0

    def weight_of(self, called: str, about: str, words: frozenset[str], task: str) -> float:
        """How it stands for a workflow that is called so, described so, in these words, and does a
        task.
        """
        found = max(self.weight_in(called), IN_DESCRIPTION * self.weight_in(about))
        if found < AS_MEANT and stands_for(self.word, words, task):
            return AS_MEANT
        return found


def stem(word: str) -> str:
    """A word without its ending."""
    for ending, least in _ENDINGS:
        short = ending.sub("", word)
        if short != word and len(short) >= least:
            return short
    return word


def found_lines(
    lines: Sequence[WorkflowLine], search: str, words: Sequence[str]
) -> list[WorkflowLine]:
    """The line of that name; else those of that task; else those that the words find, best first;
    all without words. Of a search for several things, "video, audio", those of each. Blocks.
    """
    parts = [part for part in SEVERAL.split(search) if part.strip()]
    if len(parts) > 1:
        each = [line for part in parts for line in found_lines(lines, part, search_words(part))]
        names = {line["name"] for line in each}
        return [line for line in lines if line["name"] in names]
    named = _named(lines, search)
    if named:
        return named
    return _found_by_words(lines, words) if words else list(lines)


def _named(lines: Sequence[WorkflowLine], search: str) -> list[WorkflowLine]:
    """The line of that name; else those of the task that is called so."""
    by_name = [line for line in lines if line["name"].lower() == search.strip().lower()]
    if by_name:
        return by_name
    task = "_".join(search.lower().split())
    return [line for line in lines if task and line.get("task") == task]


def _found_by_words(lines: Sequence[WorkflowLine], words: Sequence[str]) -> list[WorkflowLine]:
    """The lines that words find, best first. Blocks."""
    weighed = weigh(lines, words)
    best = max((each.weight for each in weighed), default=0.0)
    by_all = [each for each in weighed if each.has_all]
    if any(each.weight >= CLOSE_TO_BEST * best and PAID not in each.line for each in by_all):
        weighed = by_all
    worth = [each for each in weighed if each.has_all or each.weight >= WORTH_TELLING * best]
    worth.sort(key=lambda each: each.step(best))
    return [each.line for each in worth]


@dataclass(frozen=True)
class Weighed:
    """A workflow, and how well the words of a search find it."""

    line: WorkflowLine
    weight: float
    has_all: bool  # whether all words mean it

    def step(self, best: float) -> int:
        """How close it comes to the best: 0 for close."""
        if self.weight >= CLOSE_TO_BEST * best:
            return 0
        return 1 if self.weight >= WORTH_TELLING * best else 2


def weigh(lines: Sequence[WorkflowLine], words: Sequence[str]) -> list[Weighed]:
    """The lines in which any of the words is found, in their order. Blocks."""
    sought = [SoughtWord.of(word) for word in words]
    rows: list[list[float]] = []
    for line in lines:
        called, about, task = called_by(line), line.get("about", "").lower(), line.get("task", "")
        own = single_words(f"{called} {about}")
        rows.append([word.weight_of(called, about, own, task) for word in sought])
    columns = range(len(sought))
    rarity = [_rarity(sum(row[column] > 0 for row in rows), len(rows)) for column in columns]
    pairs = [_side_by_side(*pair) for pair in itertools.pairwise(words)]
    weighed: list[Weighed] = []
    for line, row in zip(lines, rows, strict=True):
        if not any(row):
            continue
        weights = [row[column] * rarity[column] for column in columns]
        text = f"{called_by(line)} {line.get('about', '').lower()}"
        for place, pattern in enumerate(pairs):
            if row[place] and row[place + 1] and pattern.search(text):
                weights.append(TOGETHER * (weights[place] + weights[place + 1]))
        weighed.append(Weighed(line, sum(weights), all(row)))
    return weighed


def _side_by_side(first: str, second: str) -> re.Pattern[str]:
    """Finds two words, with any endings, next to one another."""
    return re.compile(rf"{re.escape(stem(first))}[a-z]{{0,8}}[\W_]{{1,3}}{re.escape(stem(second))}")


def called_by(line: WorkflowLine) -> str:
    """What a workflow is called, by name, task, title and tags, in lower case."""
    task = line.get("task", "").replace("_", " ")
    return f"{line['name']} {task} {line.get(TITLE, '')} {line.get('tags', '')}".lower()


def _rarity(count: int, among: int) -> float:
    """How much a word says that so many of the workflows have."""
    return math.log(1 + among / max(count, 1))


def topics(lines: Sequence[WorkflowLine], most: int) -> list[str]:
    """The tags of these workflows that most of them have, so many at most, without those that only
    name a task: what can be searched for in the words of their authors.
    """
    counts = Counter(topic for line in lines for topic in line.get(TOPICS, "").split(", ") if topic)
    telling = [topic for topic in counts if not names_task(topic)]
    return sorted(telling, key=lambda topic: -counts[topic])[:most]
