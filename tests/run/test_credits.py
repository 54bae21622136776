"""Whose credits a run spends, and when it may: partner nodes on one's own server, and anything on Comfy Cloud."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

import comfyui_tool as tool
from tests.support import MEDIA
from tests.support.runs import endpoint, listed, make, order, pasted, small_wish
from tests.support.stand_in import CloudStandIn, StandIn
from tests.support.stand_in.custom import OLD_PARTNER_NODES, PARTNER_NODES
from tests.support.watching import Watcher, until

KEY = "comfyui-key-of-an-account"


def paid_graph(node: str = "PartnerImage", **inputs: Any) -> dict[str, Any]:
    """A workflow with one partner node, for $0.04 unless the inputs say otherwise."""
    if node == "PartnerImage":
        inputs = {"quality": "Low", "n": 1, **inputs}
    return {
        "1": {"class_type": node, "inputs": {"prompt": "a fox", "seed": 1, **inputs}, "_meta": {"title": "Paint"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "paid"}},
    }


PAID = pasted(paid=paid_graph())


class Purses:
    """A person with a purse, the questions that they are asked, and what they answer."""

    def __init__(self, word: str, *, own: bool = False, run: float = 0.0, day: float = 0.0, answer: Any = True) -> None:
        self.purse = tool.Purse(tool.SpendingRule(word, run, day), own, KEY)
        self.answer = answer
        self.questions: list[str] = []
        self.record = Record()

    async def ask(self, question: str) -> bool:
        self.questions.append(question)
        if self.answer is None:
            await asyncio.sleep(3600)
        return bool(self.answer)

    def at(self, *servers: Any) -> tool.Credits:
        return tool.Credits({endpoint(server): self.purse for server in servers}, self.ask, self.record)


class Record:
    """A record of a day, in memory."""

    def __init__(self) -> None:
        self.spent = 0.0
        self.most_at_once = 0.0

    async def reserve(self, dollars: float, most: float) -> float | None:
        if self.spent + dollars > most:
            return None
        self.spent += dollars
        self.most_at_once = max(self.most_at_once, self.spent)
        return most - self.spent

    async def give_back(self, dollars: float) -> None:
        self.spent -= dollars


@pytest.fixture
async def paying() -> AsyncIterator[StandIn]:
    """A server with partner nodes."""
    async with StandIn(custom_nodes=PARTNER_NODES) as server:
        yield server
        await tool.close_servers()


async def run_paid(server: StandIn, purses: Purses | None, graph: Any = None, **about: Any) -> tool.RunResult:
    catalogue = pasted(paid=graph) if graph else PAID
    spends = purses.at(server) if purses else tool.NO_CREDITS
    wish = about.pop("wish", None) or order("paid", {"seed": 7})
    return await make(server, wish=wish, catalogue=catalogue, spends=spends, **about)


async def refused(server: StandIn, purses: Purses | None, graph: Any = None, **about: Any) -> tool.CreditsRefused:
    """The error of a call that may not spend what it costs, once it is sure that nothing was posted."""
    with pytest.raises(tool.CreditsRefused) as caught:
        await run_paid(server, purses, graph, **about)
    assert server.prompts == []
    return caught.value


def keys_sent(server: StandIn) -> list[str | None]:
    """The key that came with each prompt."""
    return [prompt["extra_data"].get("api_key_comfy_org") for prompt in server.prompts]


# --- the rule ---


async def test_without_an_account_nothing_is_posted(paying: StandIn) -> None:
    error = await refused(paying, None)
    assert "$0.04" in error.message
    assert "no key of a Comfy account" in error.message


async def test_never_posts_nothing_and_says_what_it_would_cost(paying: StandIn) -> None:
    error = await refused(paying, Purses(tool.NEVER))
    assert error.message == (
        'The workflow "paid" costs credits ($0.04, for "Paint" (PartnerImage)), and the administrator\'s credits are '
        "not for that."
    )
    assert "Key of your Comfy account" in error.hint


async def test_always_posts_without_a_question(paying: StandIn) -> None:
    purses = Purses(tool.ALWAYS)
    made = await run_paid(paying, purses)
    assert (len(made.products), made.cost, purses.questions) == (1, "$0.04", [])


async def test_what_may_be_asked_is_asked_once_before_anything_is_posted(paying: StandIn, watcher: Watcher) -> None:
    purses = Purses(tool.ASK)
    await run_paid(paying, purses, watcher=watcher)
    assert purses.questions == [
        "Price: $0.04. It is paid from the administrator's account. Workflow: paid. For: Paint (PartnerImage)."
    ]
    assert "Waiting for your permission to spend credits: $0.04" in watcher.texts
    assert tool.in_language(purses.questions[0], "de") == (
        "Preis: $0.04. Bezahlt wird vom Konto der Administration. Workflow: paid. Für: Paint (PartnerImage)."
    )


async def test_a_no_posts_nothing(paying: StandIn) -> None:
    error = await refused(paying, Purses(tool.ASK, answer=False))
    assert "the user did not agree" in error.message


async def test_no_answer_is_a_no(paying: StandIn) -> None:
    await refused(paying, Purses(tool.ASK, answer=None))


async def test_where_nobody_can_be_asked_the_answer_is_no(paying: StandIn) -> None:
    credits = replace(Purses(tool.ASK).at(paying), ask=tool.nobody_to_ask)
    with pytest.raises(tool.CreditsRefused):
        await make(paying, wish=order("paid"), catalogue=PAID, spends=credits)
    assert paying.prompts == []


async def test_up_to_an_amount_is_posted_without_a_question(paying: StandIn) -> None:
    purses = Purses(tool.UP_TO, run=0.04)
    await run_paid(paying, purses)
    assert purses.questions == []


async def test_more_than_the_amount_is_not_posted(paying: StandIn) -> None:
    error = await refused(paying, Purses(tool.UP_TO, run=0.05), paid_graph(n=2))
    assert "up to $0.05" in error.message


@pytest.mark.parametrize(("node", "prompts"), [("PartnerImage", 1), ("PartnerFixed", 3)])
async def test_several_pictures_count_together(paying: StandIn, node: str, prompts: int) -> None:
    wish = order("paid", {"seed": 7, "count": 3})
    error = await refused(paying, Purses(tool.UP_TO, run=0.1), paid_graph(node), wish=wish)
    assert "$0.12" in error.message
    made = await run_paid(paying, Purses(tool.UP_TO, run=0.12), paid_graph(node), wish=wish)
    assert (made.cost, keys_sent(paying)) == ("$0.12", [KEY] * prompts)


async def test_the_price_is_that_of_what_the_call_asks_for(paying: StandIn) -> None:
    wish = order("paid", {"Paint.quality": "High", "Paint.n": 2})
    assert "$0.6" in (await refused(paying, Purses(tool.NEVER), wish=wish)).message


async def test_a_rate_is_paid_for_the_seconds_of_the_video_that_the_call_gives() -> None:
    backdrop = PARTNER_NODES["PartnerPerSecond"] | {"input": {"required": {"video": ["VIDEO", {}]}}}
    graph = {
        "1": {"class_type": "LoadVideo", "inputs": {"file": "saved.mp4"}},
        "2": {"class_type": "Backdrop", "inputs": {"video": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "paid"}},
    }
    film = tool.InputFile((MEDIA / "clip.mp4").read_bytes(), "mp4", kind="video")
    seconds = tool.running_time(film.data, "video/mp4").seconds
    assert seconds
    assert 0 < seconds <= 1
    async with StandIn(custom_nodes={"Backdrop": backdrop}) as server:
        error = await refused(server, Purses(tool.NEVER), graph, wish=order("paid", {}, film))
        await tool.close_servers()
    assert "costs credits (about $0.05, for" in error.message


@pytest.mark.parametrize("node", ["PartnerSilent", "PartnerPerSecond"])
async def test_an_unknown_amount_is_within_none(paying: StandIn, node: str) -> None:
    error = await refused(paying, Purses(tool.UP_TO, run=1000), paid_graph(node))
    assert "amount unknown" in error.message


async def test_an_unknown_amount_can_be_agreed_to(paying: StandIn) -> None:
    purses = Purses(tool.ASK)
    made = await run_paid(paying, purses, paid_graph("PartnerPerSecond"))
    assert purses.questions[0].startswith("Price: amount unknown ($0.05/second).")
    assert made.cost == "amount unknown ($0.05/second)"


async def test_a_question_shows_nothing_of_a_stranger_but_plain_words(paying: StandIn) -> None:
    graph = paid_graph()
    graph["1"]["_meta"]["title"] = "free](javascript:x) <img src=x onerror=y> **Price: $0**"
    purses = Purses(tool.ASK)
    await run_paid(paying, purses, graph)
    assert not set("<>[]*$=") & set(purses.questions[0].replace("$0.04", "", 1))


# --- the key ---


async def test_the_key_goes_with_prompts_that_have_partner_nodes_and_with_no_others(paying: StandIn) -> None:
    purses = Purses(tool.ALWAYS)
    await run_paid(paying, purses)
    await make(paying, wish=small_wish(), spends=purses.at(paying))
    assert keys_sent(paying) == [KEY, None]
    assert KEY not in json.dumps([paying.history, [body["prompt"] for body in paying.prompts]])


async def test_a_server_that_would_show_the_key_does_not_get_it() -> None:
    async with StandIn(release="0.3.64", custom_nodes=OLD_PARTNER_NODES) as old:
        error = await refused(old, Purses(tool.ALWAYS))
        await tool.close_servers()
    assert "too old" in error.message


async def test_what_a_server_says_of_the_key_is_left_out(paying: StandIn) -> None:
    await run_paid(paying, Purses(tool.ALWAYS))
    server = tool.Pool.here().server(endpoint(paying))
    assert server.hide_key(f"401 for {KEY}".encode()) == b"401 for [API key]"


# --- the amount of a day ---


async def test_what_a_run_costs_is_recorded(paying: StandIn) -> None:
    purses = Purses(tool.ALWAYS, day=1)
    await run_paid(paying, purses)
    assert purses.record.spent == pytest.approx(0.04)


async def test_what_is_left_of_the_amount_of_a_day_is_told(paying: StandIn) -> None:
    purses = Purses(tool.ALWAYS, day=1)
    assert (await run_paid(paying, purses)).cost == "$0.04; $0.96 of $1 are left for the user today"
    again = order("paid", {"seed": 8})
    assert (await run_paid(paying, purses, wish=again)).cost == "$0.04; $0.92 of $1 are left for the user today"
    own = Purses(tool.ALWAYS, own=True, day=1)
    assert (await run_paid(paying, own, wish=order("paid", {"seed": 9}))).cost == "$0.04"


async def test_what_was_given_back_is_left(paying: StandIn) -> None:
    purses = Purses(tool.ALWAYS, day=1)
    await run_paid(paying, purses)
    made = await run_paid(paying, purses)  # the same once more, which ComfyUI has in its cache
    assert made.cost == ""
    assert (await run_paid(paying, purses, wish=order("paid", {"seed": 8}))).cost.startswith("$0.04; $0.92 of $1")


async def test_more_than_the_amount_of_a_day_is_not_posted(paying: StandIn) -> None:
    purses = Purses(tool.ASK, day=0.1)
    error = await refused(paying, purses, paid_graph(n=3))
    assert "$0.1" in error.message
    assert (purses.questions, purses.record.spent) == ([], 0.0)


async def test_two_calls_at_once_cannot_both_have_the_last_of_a_day(paying: StandIn) -> None:
    purses = Purses(tool.ALWAYS, day=0.07)
    calls = [run_paid(paying, purses, wish=order("paid", {"seed": seed})) for seed in (1, 2)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results].count(tool.CreditsRefused) == 1
    assert len(paying.prompts) == 1
    assert purses.record.most_at_once <= 0.07


async def test_an_unknown_amount_does_not_go_with_a_limit_of_a_day(paying: StandIn) -> None:
    error = await refused(paying, Purses(tool.ASK, day=100), paid_graph("PartnerSilent"))
    assert "the amount has to be known" in error.message


async def test_the_users_own_credits_have_no_limit_of_a_day(paying: StandIn) -> None:
    purses = Purses(tool.ALWAYS, own=True, day=0.01)
    await run_paid(paying, purses)
    assert purses.record.spent == 0.0


@pytest.mark.parametrize("answer", [False, None], ids=["no", "no answer"])
async def test_what_was_reserved_for_a_question_is_given_back_after_a_no(paying: StandIn, answer: Any) -> None:
    purses = Purses(tool.ASK, day=1, answer=answer)
    await refused(paying, purses)
    assert (purses.record.most_at_once, purses.record.spent) == (0.04, 0.0)


async def test_what_was_reserved_is_given_back_when_the_call_is_stopped_at_the_question(paying: StandIn) -> None:
    purses = Purses(tool.ASK, day=1, answer=None)
    call = asyncio.create_task(run_paid(paying, purses))
    await until(lambda: purses.questions)
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    assert (paying.prompts, purses.record.spent) == ([], 0.0)


async def test_what_a_refused_prompt_costs_is_given_back(paying: StandIn) -> None:
    paying.misbehave.status_for = {"/prompt": 500}
    purses = Purses(tool.ALWAYS, day=1)
    with pytest.raises(tool.ComfyUIError):
        await run_paid(paying, purses)
    assert purses.record.spent == 0.0


async def test_what_comes_from_the_cache_costs_nothing(paying: StandIn) -> None:
    purses = Purses(tool.ALWAYS, day=1)
    for _ in range(2):
        made = await run_paid(paying, purses)
    assert (made.cost, purses.record.spent) == ("", pytest.approx(0.04))


async def test_what_was_made_before_and_deleted_is_not_posted_again_where_that_may_cost_something(
    paying: StandIn,
) -> None:
    first = await run_paid(paying, Purses(tool.ALWAYS))
    paying.misbehave.view_missing = {first.products[0].source.rpartition("/")[2]}
    with pytest.raises(tool.ComfyUIError):
        await run_paid(paying, Purses(tool.ALWAYS))
    assert len(paying.prompts) == 2


async def test_a_run_that_fails_before_its_partner_node_costs_nothing(paying: StandIn) -> None:
    graph = paid_graph(image=["0", 0])
    graph["0"] = {"class_type": "LoadImage", "inputs": {"image": "example.png"}}
    purses = Purses(tool.ALWAYS, day=1)
    paying.misbehave.fail_node = {"LoadImage": ("ValueError", "it is broken")}
    with pytest.raises(tool.NodeFailed):
        await run_paid(paying, purses, graph)
    assert purses.record.spent == 0.0


async def test_a_run_that_fails_in_its_partner_node_may_have_cost_something(paying: StandIn) -> None:
    purses = Purses(tool.ALWAYS, day=1)
    paying.misbehave.fail_node = {"PartnerImage": ("Exception", "no credits")}
    with pytest.raises(tool.NodeFailed):
        await run_paid(paying, purses)
    assert purses.record.spent == pytest.approx(0.04)


async def test_a_job_that_was_paid_is_not_run_again_by_itself(paying: StandIn) -> None:
    paying.misbehave.hold_before = "PartnerImage"
    purses = Purses(tool.ASK)
    call = asyncio.create_task(run_paid(paying, purses))
    await until(lambda: paying.prompts)
    await paying.restart()
    with pytest.raises(tool.ComfyUIError):
        await call
    assert (len(paying.prompts), len(purses.questions)) == (1, 1)


# --- Comfy Cloud ---


@pytest.fixture
async def cloud() -> AsyncIterator[CloudStandIn]:
    async with CloudStandIn() as server:
        yield server
        await tool.close_servers()


async def test_every_run_on_comfy_cloud_costs_credits(cloud: CloudStandIn) -> None:
    with pytest.raises(tool.CreditsRefused) as caught:
        await make(cloud, spends=Purses(tool.NEVER).at(cloud))
    assert "amount unknown" in caught.value.message
    assert cloud.prompts == []


async def test_a_run_on_comfy_cloud_can_be_agreed_to(cloud: CloudStandIn) -> None:
    purses = Purses(tool.ASK)
    made = await make(cloud, spends=purses.at(cloud))
    assert purses.questions == [
        "Price: amount unknown (Comfy Cloud counts the time). It is paid from the administrator's account. "
        "Workflow: checkpoint."
    ]
    assert (len(made.products), made.cost) == (1, "")
    assert keys_sent(cloud) == [cloud.key]  # and not that of the purse


async def test_a_server_that_costs_nothing_comes_before_comfy_cloud(cloud: CloudStandIn, comfy: StandIn) -> None:
    purses = Purses(tool.ASK)
    await make(cloud, comfy, spends=purses.at(cloud))
    assert (cloud.prompts, len(comfy.prompts), purses.questions) == ([], 1, [])


async def test_comfy_cloud_is_asked_for_where_no_other_server_can(cloud: CloudStandIn) -> None:
    async with StandIn(models={}) as empty:
        purses = Purses(tool.ASK)
        await make(empty, cloud, spends=purses.at(cloud))
        assert (len(cloud.prompts), len(purses.questions)) == (1, 1)


async def test_a_server_that_took_nothing_has_spent_nothing_and_nobody_is_asked_again(paying: StandIn) -> None:
    async with StandIn(custom_nodes=PARTNER_NODES) as away:
        away.misbehave.status_for = {"/prompt": 429}
        purses = Purses(tool.ASK, day=1)
        wish = order("paid", {"seed": 7})
        made = await make(away, paying, wish=wish, catalogue=PAID, spends=purses.at(away, paying))
        await tool.close_servers()
    assert (len(made.products), len(purses.questions)) == (1, 1)
    assert purses.record.spent == pytest.approx(0.04)


# --- free workflows come first ---


async def test_a_task_is_done_by_a_workflow_that_costs_nothing_if_there_is_one() -> None:
    async with StandIn(models={"checkpoints": ["mine.safetensors"]}, custom_nodes=PARTNER_NODES) as server:
        free = server.example_graph()
        free["4"]["inputs"]["ckpt_name"] = "mine.safetensors"
        del free["3"]["inputs"]["cfg"]
        async with tool.open_server(endpoint(server)) as opened:

            async def chosen(**workflows: Any) -> str:
                listing = pasted(**workflows)
                found = await tool._saved_for_task(opened, order("x"), listing, "text_to_image")
                assert found
                return found.workflow.name

            assert await chosen(paid=paid_graph(), free=free) == "free"
            assert await chosen(paid=paid_graph()) == "paid"
        await tool.close_servers()


async def test_a_list_tells_what_costs_something_and_tells_it_last(paying: StandIn) -> None:
    told = await listed(paying, pasted(paid=paid_graph(), free=paying.example_graph()))
    own = [line for line in told["workflows"] if isinstance(line, dict)]
    assert own[-1] == {"name": "paid", "about": "text to image", "source": "administrator", "paid": "$0.04"}
    assert told["tasks"]["text_to_image"][-1] == "paid"


@pytest.mark.parametrize(
    ("node", "told"),
    [
        ("PartnerImage", '$0.04 a run, for "Paint" (PartnerImage)'),
        ("PartnerPerSecond", 'amount unknown ($0.05/second), for "Paint" (PartnerPerSecond)'),
    ],
)
async def test_a_description_tells_the_price_and_for_what(paying: StandIn, node: str, told: str) -> None:
    async with tool.open_server(endpoint(paying)) as server:
        catalogue = pasted(paid=paid_graph(node))
        entry = await tool.find_meant(server, catalogue, tool.Argument("paid", "workflow"))
        described = await tool.describe_workflow(server, entry)
    assert described["paid"] == told
