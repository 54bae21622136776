"""Whose credits a run may spend, and whether it may spend them: nobody's are spent unasked.

Two things cost credits: partner nodes, which run on companies' services and are paid from a Comfy
account (graph/prices), and everything on Comfy Cloud, where nobody knows the amount beforehand. A
`Purse` is whose account pays on a server, with the `SpendingRule` of that person: the
administrator's for everybody, or the user's own. The rule is one of four words:

    never               nothing that costs anything is run
    ask                 the user is asked each time, in the chat; no answer in time is a no
    up to the amount    without asking, if the price is known and within an amount of US dollars
    always              without asking

`Spending` is what one call spends. `allow` settles everything before a prompt is posted: it
reserves the price in the `SpendingRecord`, where the administrator limits what a user spends in a
day, and then asks. What a prompt certainly did not spend is given back: it was never posted, the
server did not take it, or it ended before a partner node ran.

Only `Spending.allow` hands out the key of an account, and only for prompts with partner nodes. A
key is never sent to a server that would show it to others: ComfyUI 0.3.64 shows what comes with a
prompt in its queue, 0.33.0 keeps it to itself (`PriceTag`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import ComfyUIError, CreditsRefused, RunFailed, ServerError, WorkflowRefused
from ..graph.prices import MOST_PARTNERS_TOLD, Price, price_of_all
from ..names import shortened
from ..phrases import Phrase
from ..server.endpoint import Endpoint

NEVER, ASK, UP_TO, ALWAYS = "never", "ask", "up to the amount", "always"
ASK_SECONDS = 120.0  # how long a person may think about it
CLOUD_PRICE = Price(most=None, rate="Comfy Cloud counts the time")  # of any run there


@dataclass(frozen=True)
class SpendingRule:
    """What may be spent, by the word of its owner."""

    word: str = NEVER
    run_dollars: float = 0.0  # of one call, for "up to the amount"
    day_dollars: float = 0.0  # of one user in a day; 0 for any amount


@dataclass(frozen=True)
class Purse:
    """Whose credits are spent on a server."""

    rule: SpendingRule
    is_own: bool = False  # the user's, and not the administrator's
    # of the Comfy account, for partner nodes on a server of one's own
    key: str = field(default="", repr=False)

    @property
    def whose(self) -> str:
        """Whose it is, in a message."""
        return "your own" if self.is_own else "the administrator's"


class SpendingRecord(Protocol):
    """What the user has spent today of the administrator's credits: one record for all processes
    that serve users.
    """

    async def reserve(self, dollars: float, most: float) -> float | None:
        """Add an amount to what was spent today, unless it would be more than `most`. Returns what
        is left after that, and None where it was not added. Raises `CreditsRefused` where the
        record cannot be kept.
        """

    async def give_back(self, dollars: float) -> None:
        """Take an amount off again. Never raises."""


# asks the user a question; False for no, or for no answer in time
Asking = Callable[[str], Awaitable[bool]]


async def nobody_to_ask(_question: str) -> bool:
    """Where nobody can be asked: the answer is no."""
    return False


@dataclass(frozen=True)
class Credits:
    """What a call may spend: the purse of each server that has one, whom to ask, and the record of
    a day.
    """

    purses: Mapping[Endpoint, Purse] = field(default_factory=dict)
    ask: Asking = nobody_to_ask
    record: SpendingRecord | None = None

    def last_resort(self, endpoint: Endpoint) -> bool:
        """Whether every run on a server costs something, and is not simply paid: others come before
        it.
        """
        purse = self.purses.get(endpoint)
        return endpoint.cloud and (purse is None or purse.rule.word != ALWAYS)


NO_CREDITS = Credits()  # nothing that costs any is run


class Spending:
    """What one call spends, on all servers that it comes to."""

    def __init__(self, credits: Credits) -> None:
        self._credits = credits
        self._agreed: tuple[Purse, float | None] | None = None  # what the user said yes to
        self._reserved = 0.0  # in the record, for prompts that are not posted yet
        self._day, self._left = 0.0, 0.0  # what a day's limit is, and what is left of it
        self.paid: list[Price] = []  # of the prompts that were posted

    async def allow(
        self,
        endpoint: Endpoint,
        prices: Sequence[Price | None],
        name: str,
        say: Callable[[str], None],
    ) -> str:
        """Settle that prompts of these prices may run on a server, and return the key to send with
        those that have a price. `name` is that of the workflow, and `say` tells the user that an
        answer is awaited.

        Raises `CreditsRefused`.
        """
        await self.give_back_rest()  # of a server that was tried before
        cost = price_of_all(prices)
        if endpoint.cloud:
            cost = price_of_all((CLOUD_PRICE, cost))
        if cost is None:
            return ""
        purse = self._credits.purses.get(endpoint)
        if purse is None:
            raise _no_account(cost, name)
        if not endpoint.cloud and not cost.keeps_keys:
            raise _shows_keys(endpoint, name)
        _check_rule(purse, cost, name)
        await self._reserve(purse, cost, name)
        try:
            await self._settle(purse, cost, name, say)
        except BaseException:
            await self.give_back_rest()
            raise
        return "" if endpoint.cloud else purse.key

    async def _reserve(self, purse: Purse, cost: Price, name: str) -> None:
        """Reserve what the prompts cost at most, where the administrator limits a day. Raises
        `CreditsRefused`.
        """
        self._day, most = 0.0, purse.rule.day_dollars
        if purse.is_own or not most:
            return
        if self._credits.record is None:
            raise CreditsRefused(
                f"{_costs(cost, name)}, and what is spent in a day is limited, but Open WebUI has no secret of its own "
                "(WEBUI_SECRET_KEY) to record it by.",
            )
        if cost.most is None:
            raise CreditsRefused(
                f"{_costs(cost, name)}, and the administrator allows ${most:g} a day, so the amount has to be known.",
            )
        left = await self._credits.record.reserve(cost.most, most)
        if left is None:
            raise CreditsRefused(
                f"{_costs(cost, name)}, which is more than is left of the ${most:g} that the administrator allows you "
                "today.",
                "Tomorrow (UTC) there is the whole amount again.",
            )
        self._reserved += cost.most
        self._left, self._day = left, most

    async def _settle(
        self, purse: Purse, cost: Price, name: str, say: Callable[[str], None]
    ) -> None:
        """Ask the user, where the rule says so and they have not agreed to as much already. Raises
        `CreditsRefused`.
        """
        if purse.rule.word != ASK or self._has_agreed(purse, cost):
            return
        say(Phrase("permission", price=cost.words))
        try:
            async with asyncio.timeout(ASK_SECONDS):
                says_yes = await self._credits.ask(_question(purse, cost, name))
        except TimeoutError:
            says_yes = False
        if not says_yes:
            refused = CreditsRefused(
                f"{_costs(cost, name)}, and the user did not agree to that.",
                "Do not call it again unless the user asks for it. They have to answer the question in the chat "
                f"within {ASK_SECONDS:g} seconds; without a page to answer on it is a no.",
            )
            refused.is_final = True
            raise refused
        self._agreed = purse, cost.most

    def _has_agreed(self, purse: Purse, cost: Price) -> bool:
        if self._agreed is None or self._agreed[0] != purse:
            return False
        most = self._agreed[1]
        return most is None or (cost.most is not None and cost.most <= most)

    async def give_back_rest(self) -> None:
        """Give back what is reserved for prompts that are not posted."""
        rest, self._reserved = self._reserved, 0.0
        await self._give_back(rest)

    async def _give_back(self, dollars: float) -> None:
        if dollars and self._credits.record:
            await self._credits.record.give_back(dollars)
            self._left += dollars

    # What becomes of a prompt.

    def posting(self, price: Price | None) -> float:
        """A prompt is about to be posted; returns what of the reserved amount it may spend."""
        amount = min(price.most or 0.0, self._reserved) if price else 0.0
        self._reserved -= amount
        if price:
            self.paid.append(price)
        return amount

    async def not_spent(self, price: Price | None, amount: float) -> None:
        """A prompt that was posted spent nothing of its amount."""
        if price:
            self.paid.remove(price)
        await self._give_back(amount)

    @property
    def words(self) -> str:
        """What the prompts of the call cost, in words, and where a day is limited, what this call
        knows to be left of it; "" for nothing, and for the time at Comfy Cloud.
        """
        cost = price_of_all(self.paid)
        if not cost or not cost.partners:
            return ""
        if not self._day:
            return cost.words
        return f"{cost.words}; ${self._left:.2f} of ${self._day:g} are left for the user today"


def spent_nothing(price: Price | None, error: BaseException) -> bool:
    """Whether a prompt that failed certainly spent no credits: it was refused, the server did not
    take it or does not have it, or it ended before one of its partner nodes ran.
    """
    if isinstance(error, RunFailed):
        if error.ran is None or price is None:
            return False
        is_cloud = price.rate == CLOUD_PRICE.rate  # where every node costs something
        return not error.ran if is_cloud else error.ran.isdisjoint(price.nodes)
    was_not_taken = isinstance(error, ServerError) and (error.untaken or error.unfound)
    return was_not_taken or isinstance(error, WorkflowRefused)


# What is said of it.


OWN_KEY = 'The user can enter the key of a Comfy account of their own in their valve "Key of your Comfy account".'


def _costs(cost: Price, name: str) -> str:
    """The beginning of a sentence: 'The workflow "x" costs credits ($0.7, for "Kling"
    (KlingNode))'.
    """
    about = cost.words
    partners = cost.partners[:MOST_PARTNERS_TOLD]
    if partners:
        about += f", for {', '.join(shortened(partner, 60) for partner in partners)}"
    return f'The workflow "{shortened(name, 60)}" costs credits ({about})'


def _check_rule(purse: Purse, cost: Price, name: str) -> None:
    """Raise `CreditsRefused` where the rule of a purse alone forbids the cost."""
    word, most = purse.rule.word, purse.rule.run_dollars
    costs = _costs(cost, name)
    if word == NEVER and purse.is_own:
        raise CreditsRefused(
            f'{costs}, and your valve "Runs that cost credits" says never.',
            "The user can change it.",
        )
    if word == NEVER:
        raise CreditsRefused(
            f"{costs}, and the administrator's credits are not for that.",
            f'The administrator can change the valve "Runs that cost credits". {OWN_KEY if purse.key else ""}'.strip(),
        )
    if word != UP_TO or (cost.most is not None and cost.most <= most):
        return
    who = "The user" if purse.is_own else "The administrator"
    raise CreditsRefused(
        f"{costs}, and up to ${most:g} of {purse.whose} credits may be spent on a call.",
        f'{who} can change the valve "Most US dollars of a call".',
    )


def _no_account(cost: Price, name: str) -> ComfyUIError:
    return CreditsRefused(
        f"{_costs(cost, name)}, and no key of a Comfy account is set for this server.",
        f'The administrator can enter one in the valve "Key of a Comfy account". {OWN_KEY}',
    )


def _shows_keys(endpoint: Endpoint, name: str) -> ComfyUIError:
    return CreditsRefused(
        f'The workflow "{shortened(name, 60)}" costs credits, and {endpoint.name} is too old for that: it would show '
        "the key of the account in its queue.",
        "ComfyUI, or the package of the node, has to be updated; 0.33.0 is new enough.",
    )


def _question(purse: Purse, cost: Price, name: str) -> Phrase:
    """What the user is asked. A workflow's name and its nodes' titles come from strangers, and the
    page shows Markdown: only letters, digits and plain signs of them are shown.
    """
    paid = Phrase("paid_by_you" if purse.is_own else "paid_by_administrator")
    workflow = _plainly(name)
    question = Phrase("credits_question", price=cost.words, paid=paid, workflow=workflow)
    if not cost.partners:
        return question
    partners = _plainly(", ".join(cost.partners[:MOST_PARTNERS_TOLD]))
    return Phrase("credits_partners", question=question, partners=partners)


def _plainly(text: str) -> str:
    kept = [
        character if character.isalnum() or character in " -,.()" else " "
        for character in shortened(text, 200)
    ]
    return " ".join("".join(kept).split())
