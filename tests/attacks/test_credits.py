"""Credits: what users, models, pages and servers try in order to spend somebody's, or to see the key that pays."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

import comfyui_tool as tool
from tests.attacks.house import ADMINISTRATOR, OWNER, House
from tests.attacks.table import each, told
from tests.run.test_credits import KEY, keys_sent, paid_graph
from tests.support.stand_in import CloudStandIn, StandIn
from tests.support.stand_in.custom import PARTNER_NODES, partner

OTHER = "comfyui-key-of-the-user"


@pytest.fixture
async def paying() -> AsyncIterator[StandIn]:
    async with StandIn(step_seconds=0.0, custom_nodes=PARTNER_NODES) as server:
        yield server
        await tool.close_servers()


def valves(server: StandIn, graph: Any = None, **more: Any) -> dict[str, Any]:
    workflows = json.dumps({"paid": graph or paid_graph()})
    return {"endpoint": server.url, "account_key": KEY, "workflows": workflows, **more}


async def spent(home: House, server: StandIn, who: str = OWNER, **about: Any) -> Any:
    """What a call of the paid workflow answers."""
    return await home.call("run_workflow", who, workflow="paid", **about)


# --- rights ---

MINE: dict[str, dict[str, Any]] = {
    "the word always": {"paid_runs": "always"},
    "any amount": {"paid_runs": "up to the amount", "paid_run_dollars": 1e300},
    "the administrator's own valves": {"paid_runs": "always", "paid_day_dollars": 0, "require": False},
    "a word that there is not": {"paid_runs": "ALWAYS!"},
    "no text": {"paid_runs": ["always"], "account_key": {"key": "x"}},
}


@pytest.mark.parametrize("mine", each(MINE))
async def test_a_user_without_rights_posts_nothing(home: House, paying: StandIn, mine: dict[str, Any]) -> None:
    mine = {name: value for name, value in mine.items() if name != "account_key"}

    async def yes(_dialog: Any) -> bool:
        return True

    answer = await spent(home, paying, valves=valves(paying), mine=mine, __event_call__=yes)
    assert (answer["code"], paying.prompts) == ("credits_refused", [])


async def test_a_user_without_rights_posts_nothing_to_comfy_cloud(home: House) -> None:
    async with CloudStandIn() as cloud:
        at_cloud = {"endpoint": f"cloud+{cloud.url}", "api_key": cloud.key}
        for method, arguments in (
            ("generate_image", {"prompt": "a fox"}),
            ("run_workflow", {"workflow": "checkpoint", "prompt": "a fox"}),
        ):
            answer = await home.call(method, valves=at_cloud, mine={"paid_runs": "always"}, **arguments)
            assert answer["code"] == "credits_refused"
        await tool.close_servers()
    assert cloud.prompts == []


ANSWERS: dict[str, Any] = {
    "nothing": None,
    "a no": False,
    "a word": "true",
    "a number": 1,
    "an error": {"error": "Client session disconnected."},
    "a list": [True],
}


@pytest.mark.parametrize("given", each(ANSWERS))
async def test_whatever_a_page_answers_but_true_is_a_no(home: House, paying: StandIn, given: Any) -> None:
    async def answering(_dialog: Any) -> Any:
        return given

    answer = await spent(home, paying, valves=valves(paying, paid_runs="ask"), __event_call__=answering)
    assert (answer["code"], paying.prompts) == ("credits_refused", [])


async def test_a_page_that_fails_and_a_call_without_a_page_are_a_no(home: House, paying: StandIn) -> None:
    async def failing(_dialog: Any) -> Any:
        raise RuntimeError("no session")

    for page in (failing, None):
        answer = await spent(home, paying, ADMINISTRATOR, valves=valves(paying), __event_call__=page)
        assert (answer["code"], paying.prompts) == ("credits_refused", [])


async def test_after_a_no_a_model_that_tries_again_does_not_have_the_user_asked_again(
    home: House, paying: StandIn
) -> None:
    questions: list[Any] = []

    async def no_and_then_yes(dialog: Any) -> bool:
        questions.append(dialog)
        return len(questions) > 1

    calls = [spent(home, paying, valves=valves(paying, paid_runs="ask"), __event_call__=no_and_then_yes) for _ in "abc"]
    answers = [await calls[0], *await asyncio.gather(*calls[1:])]
    assert [answer["code"] for answer in answers] == ["credits_refused"] * 3
    assert (len(questions), paying.prompts) == (1, [])


async def test_questions_at_the_same_moment_wait_for_one_another(home: House, paying: StandIn) -> None:
    open_now = most = 0

    async def yes(_dialog: Any) -> bool:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(1)
        open_now -= 1
        return True

    calls = [spent(home, paying, valves=valves(paying, paid_runs="ask"), __event_call__=yes) for _ in "ab"]
    answers = await asyncio.gather(*calls)
    assert [answer["status"] for answer in answers] == ["done", "done"]
    assert most == 1


async def test_without_a_record_a_limited_amount_is_not_spent(home: House, paying: StandIn) -> None:
    limited = valves(paying, paid_runs="always", paid_day_dollars=5)  # this Open WebUI has no database
    answer = await spent(home, paying, valves=limited)
    assert (answer["code"], paying.prompts) == ("credits_refused", [])


# --- prices ---

PRICES: dict[str, Any] = {
    "nothing to read": "",
    "brackets without end": "(" * 5000,
    "a negative one": '{"type":"usd","usd": 0 - 100}',
    "no number": '{"type":"usd","usd": "0"}',
    "not finite": '{"type":"usd","usd": 1e308 * 10}',
    "a lower end of nothing": '{"type":"range_usd","min_usd": 0, "max_usd": 0 - 1}',
    "a text that doubles": '($a := "xxxxxxxx";' + "$a := $a & $a;" * 200 + '{"type":"usd","usd": 0})',
    "calls of calls": "($f0 := function($x){$x};"
    + "".join(f"$f{n} := function($x){{$f{n - 1}($x) + $f{n - 1}($x)}};" for n in range(1, 60))
    + '{"type":"usd","usd": $f59(0)})',
    "very long": '{"type":"usd","usd": ' + "0+" * 200_000 + "0}",
    "a loop over many": '{"type":"usd","usd": $sum([1..1000000000])}',
    "no text": {"expr": 0},
}


@pytest.mark.parametrize("expression", each(PRICES))
async def test_a_price_that_is_an_attack_is_an_unknown_amount(home: House, expression: Any) -> None:
    nodes = {"PartnerFixed": partner(expression, seed=["INT", {"default": 0}])}
    async with StandIn(custom_nodes=nodes) as server:
        about = valves(server, paid_graph("PartnerFixed"), paid_runs="up to the amount", paid_run_dollars=1000)
        answer = await spent(home, server, valves=about)
        await tool.close_servers()
    assert "amount unknown" in answer["error"]
    assert server.prompts == []


# --- the key ---


async def test_the_key_arrives_in_the_prompts_that_it_pays_for_and_stands_nowhere_else(
    home: House, paying: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    everything = valves(paying, paid_runs="always")
    said = [
        await spent(home, paying, valves=everything),
        await home.call("generate_image", prompt="a fox", size="64x64", steps=1, valves=everything),
        await home.call("describe_workflow", workflow="paid", valves=everything),
        await home.call("list_workflows", valves=everything),
        await home.call("comfyui_status", ADMINISTRATOR, valves=everything),
        await home.call("check_job", valves=everything),
    ]
    assert keys_sent(paying) == [KEY, None]
    posted = [request for request in paying.requests if KEY in json.dumps(request.json) + str(request.headers)]
    assert [request.path for request in posted] == ["/prompt"]
    stored = [(file.filename, file.page, file.metadata, KEY.encode() in file.data) for file in home.stored]
    assert KEY not in told(said) + home.shown + caplog.text + told(stored) + told(paying.history)
    assert not any(one[-1] for one in stored)


async def test_the_users_own_key_pays_for_the_users_runs(home: House, paying: StandIn) -> None:
    mine = {"account_key": OTHER, "paid_runs": "always"}
    answer = await spent(home, paying, valves=valves(paying), mine=mine)
    assert (answer["status"], keys_sent(paying)) == ("done", [OTHER])


async def test_the_administrators_key_goes_to_no_server_that_a_user_typed_in(home: House, paying: StandIn) -> None:
    async with StandIn(custom_nodes=PARTNER_NODES) as theirs:
        allowed = {"allow_user_endpoints": True, "allow_user_workflows": True, "reachable": "any"}
        about = valves(paying, paid_runs="always", **allowed)
        mine = {"endpoint": theirs.url, "paid_runs": "always", "workflows": json.dumps({"paid": paid_graph()})}
        answer = await spent(home, paying, valves=about, mine=mine)
        await tool.close_servers()
    assert answer["code"] == "credits_refused"
    assert KEY not in json.dumps([[request.json, request.headers] for request in theirs.requests])


async def test_a_node_that_says_the_key_again_does_not_have_it_shown(
    home: House, paying: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    paying.misbehave.fail_node = {"PartnerImage": ("Exception", f"401 for {KEY} and {OTHER}")}
    mine = {"account_key": OTHER, "paid_runs": "always"}
    answer = await spent(home, paying, valves=valves(paying), mine=mine)
    assert answer["code"] == "node_failed"
    assert "401 for" in answer["error"]
    for key in (KEY, OTHER):
        assert key not in told(answer) + home.shown + caplog.text


@pytest.mark.parametrize("print_", [repr, str, "{!r}".format])
def test_what_is_printed_of_valves_and_settings_holds_no_key(print_: Any) -> None:
    held = tool.Valves(account_key=KEY, endpoint="http://host:8188", paid_runs="always")
    mine = tool.UserValves(account_key=OTHER)
    settings = tool.resolve(held, {"id": OWNER, "valves": mine})
    spends = tool.Credits(settings.purses)
    assert not {KEY, OTHER} & set(print_([held, mine, settings, settings.purses, spends]).split("'"))
    assert KEY not in print_([held, mine, settings, spends])
    assert OTHER not in print_([held, mine, settings, spends])
