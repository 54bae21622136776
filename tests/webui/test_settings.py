"""Valves as they are stored, by the administrator and by each user, and what they mean for one call."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import comfyui_tool as tool
from tests.support.runs import key_of

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.lists(st.integers()),
    st.dictionaries(st.text(), st.text()),
)
MINE = {"endpoint": "http://mine:8188", "api_key": "my-key"}


def of_page(url: str) -> tool.ImageSettings:
    """Open WebUI's image settings with this address alone."""
    return tool.ImageSettings(tool.PictureSettings(url=url))


def settings(user: dict[str, Any] | None = None, *, own: str = "", role: str = "user", **valves: Any) -> tool.Settings:
    return tool.resolve(
        tool.Valves(**valves), {"id": "u", "role": role, "valves": tool.UserValves(**(user or {}))}, of_page(own)
    )


def addresses(found: tool.Settings) -> list[tuple[str, str]]:
    return [(endpoint.url, key_of(endpoint)) for endpoint in found.endpoints]


# --- what is stored never breaks a chat ---


@pytest.mark.parametrize("model", [tool.Valves, tool.UserValves])
@given(data=st.data())
def test_any_stored_value_is_taken(model: type[tool.Tolerant], data: st.DataObject) -> None:
    stored = {name: data.draw(JUNK) for name in [*model.model_fields, "a_valve_of_another_version"]}
    held = model(**stored)
    user = {"role": "admin", "valves": held if model is tool.UserValves else stored}
    try:
        found = tool.resolve(held if isinstance(held, tool.Valves) else tool.Valves(), user)
    except tool.BadArgument:  # an address that is none: explained in the chat
        return
    assert 1 <= found.limits.count <= 64
    assert 1 <= found.limits.steps <= 10_000
    assert 0.07 <= found.limits.megapixels <= 256
    assert 6 <= found.limits.wait_seconds <= 86_400


@pytest.mark.parametrize("stored", [None, {}, {"model": "x", "gone": 1}, tool.UserValves(model="x")])
def test_user_valves_may_come_in_any_form(stored: Any) -> None:
    assert tool.resolve(tool.Valves(), {"valves": stored})


@pytest.mark.parametrize(
    ("mine", "everybodys", "format"),
    [
        ({}, {}, tool.Format("", 90, True)),
        ({}, {"picture_format": "webp", "quality": 500}, tool.Format("WebP", 100, True)),
        ({"picture_format": "JPEG"}, {"picture_format": "WebP", "quality": 50}, tool.Format("JPEG", 50, True)),
        ({"picture_format": "as made"}, {"picture_format": "WebP"}, tool.Format("", 90, True)),
        ({"picture_format": "bitmap"}, {"picture_format": "PNG"}, tool.Format("PNG", 90, True)),
        ({"strip_metadata": True}, {}, tool.Format("", 90, False)),
        ({}, {"strip_metadata": True}, tool.Format("", 90, False)),
    ],
)
def test_the_users_format_comes_first_and_metadata_go_when_either_wants_it(
    mine: dict[str, Any], everybodys: dict[str, Any], format: tool.Format
) -> None:
    assert settings(mine, **everybodys).format == format


@pytest.mark.parametrize(("stored", "held"), [("true", True), ("on", True), ("no", False), (None, True), (3, True)])
def test_a_switch_stored_as_text_is_read(stored: Any, held: bool) -> None:
    assert tool.Valves(previews=stored).previews is held


@pytest.mark.parametrize("stored", [{"fox": {"1": {"class_type": "A"}}}, [{"1": {"class_type": "A"}}]])
def test_workflows_stored_as_they_are_are_read(stored: Any) -> None:
    assert len(tool.resolve(tool.Valves(workflows=stored), None).catalogue.given) == 1


def test_a_number_beyond_all_numbers_is_the_default() -> None:
    assert tool.Valves(max_count=10**400).max_count == 4


def test_numbers_stored_as_text_are_read() -> None:
    valves = tool.Valves(max_count="8", max_megapixels="1.5")
    assert (valves.max_count, valves.max_megapixels) == (8, 1.5)


# --- what does not count as it is stored ---


@pytest.mark.parametrize("value", [-5, 10**9])
@pytest.mark.parametrize("name", tool.RANGES)
def test_a_number_out_of_its_range_is_told_with_what_counts(name: str, value: int) -> None:
    low, high = tool.RANGES[name]
    kind = tool.Valves if name in tool.Valves.model_fields else tool.UserValves
    title = kind.model_fields[name].title
    counts = low if value < 0 else high
    expected = f'The valve "{title}" is {value:g}, and takes {low:g} to {high:g}: {counts:g} counts.'
    assert kind(**{name: value}).problems == (expected,)


@pytest.mark.parametrize("model", [tool.Valves, tool.UserValves])
def test_titles_leave_room_for_the_button_beside_them(model: type[tool.Tolerant]) -> None:
    """In the panel beside a chat a longer one breaks the word Default in two."""
    longest = max((str(field.title) for field in model.model_fields.values()), key=len)
    assert len(longest) < 40, longest


@pytest.mark.parametrize("model", [tool.Valves, tool.UserValves])
def test_the_range_and_the_default_of_a_number_stand_in_its_description(model: type[tool.Tolerant]) -> None:
    for name, (low, high) in tool.RANGES.items():
        if name in model.model_fields:
            description = model.model_fields[name].description or ""
            least = 1 if name in ("max_jobs", "max_queue") else low
            assert f"{least:g} to {high:g}" in description, name
            assert f"{model.model_fields[name].default:g} unless set" in description, name


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        ({"max_steps": "many"}, 'The valve "Most sampling steps" is "many", which is no number: 100 counts.'),
        ({"max_steps": []}, 'The valve "Most sampling steps" is a list, which is no number: 100 counts.'),
        ({"max_count": "nan"}, 'The valve "Most pictures in one call" is "nan", which is no number: 4 counts.'),
        ({"previews": "maybe"}, 'The valve "Live previews" is "maybe", which is neither on nor off: false counts.'),
        (
            {"free_memory": "now"},
            'The valve "Free ComfyUI\'s memory" is "now", which is none of "never", "after each run", "when idle": '
            '"never" counts.',
        ),
    ],
)
def test_what_cannot_be_read_is_told_with_what_counts(stored: dict[str, Any], problem: str) -> None:
    assert tool.Valves(**stored).problems == (problem,)


@pytest.mark.parametrize(
    "stored", [{}, {"max_jobs": 0, "quality": "80", "previews": "OFF", "free_memory": "WHEN IDLE"}]
)
def test_what_counts_as_it_is_stored_is_no_problem(stored: dict[str, Any]) -> None:
    assert tool.Valves(**stored).problems == ()


@pytest.mark.parametrize("model", [tool.Valves, tool.UserValves])
@pytest.mark.parametrize("blank", ["", "  "])
def test_a_valve_that_is_left_empty_is_as_if_it_were_not_set(model: type[tool.Tolerant], blank: str) -> None:
    held = model(**dict.fromkeys(model.model_fields, blank))
    unset = {name: str(value).strip() for name, value in model().model_dump().items()}
    texts = {"size", "reachable"}  # an empty one means what the default says
    assert {name: str(value).strip() for name, value in held.model_dump().items() if name not in texts} == {
        name: value for name, value in unset.items() if name not in texts
    }
    assert held.problems == ()
    assert isinstance(held, tool.UserValves) or list(tool.valve_problems(held)) == []


def test_a_stored_value_of_a_valve_that_is_gone_is_no_problem() -> None:
    held = tool.Valves(lost_after_seconds=5, idle_minutes=0, max_count=3)
    assert (held.max_count, held.problems) == (3, ())
    assert tool.UserValves(quality=900).problems == ()


def test_an_administrator_is_told_of_all_valves_and_a_user_of_their_own() -> None:
    bad = {"max_steps": 0, "reachable": "some", "rights": "nonsense", "unchecked_certificates": True}
    user = {"paid_run_dollars": 5000}
    for role, expected in (("admin", 5), ("user", 1)):
        found = tool.resolve(tool.Valves(**bad), {"id": "u", "role": role, "valves": tool.UserValves(**user)})
        assert len(found.valve_problems) == expected
        assert "US dollars" in found.valve_problems[-1]


# --- whose server, whose key ---


def test_without_a_valve_the_addresses_are_tried_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_BASE_URL", "http://env:1/")
    assert addresses(settings(own="http://own:2", api_key="key")) == [
        ("http://env:1", "key"),
        ("http://own:2", "key"),
        ("http://127.0.0.1:8188", ""),
        ("http://host.docker.internal:8188", ""),
    ]


def test_an_address_that_is_named_twice_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_BASE_URL", "127.0.0.1:8188")
    found = addresses(settings(own="http://127.0.0.1:8188/", api_key="key"))
    assert found == [("http://127.0.0.1:8188", "key"), ("http://host.docker.internal:8188", "")]


def test_the_administrators_valve_stands_alone() -> None:
    assert addresses(settings(own="http://own:2", endpoint="comfy:8188", api_key="k")) == [("http://comfy:8188", "k")]


def test_a_users_own_address_is_refused_unless_allowed() -> None:
    with pytest.raises(tool.EndpointRefused, match="administrator"):
        settings(MINE)


@pytest.mark.parametrize("allowed", [{"allow_user_endpoints": True}, {"role": "admin"}])
def test_a_users_own_address_gets_the_users_key_only(allowed: dict[str, Any]) -> None:
    found = settings(MINE, endpoint="http://shared:8188", api_key="admin-key", **allowed)
    assert addresses(found) == [("http://mine:8188", "my-key")]


def test_the_administrators_key_stays_away_from_the_same_address_typed_by_a_user() -> None:
    user = {"endpoint": "http://shared:8188"}
    found = settings(user, endpoint="http://shared:8188", api_key="admin-key", allow_user_endpoints=True)
    assert addresses(found) == [("http://shared:8188", "")]


def test_a_users_key_without_an_address_goes_nowhere() -> None:
    assert addresses(settings({"api_key": "my-key"}, endpoint="http://shared:8188")) == [("http://shared:8188", "")]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("host:8188", "http://host:8188"),
        (" https://host/ ", "https://host"),
        ("http://host:8188/ws", "http://host:8188"),
        ("http://host:8188/prompt", "http://host:8188"),
        ("http://host/comfy/system_stats/", "http://host/comfy"),
        ("http://host/comfy/api/", "http://host/comfy/api"),  # where a proxy forwards only that
        ("<http://host:8188>", "http://host:8188"),
        ('"http://host:8188/"', "http://host:8188"),
        ("To see the GUI go to: http://0.0.0.0:8188", "http://0.0.0.0:8188"),
        ("http://me:secret@host/x", "http://host/x"),
        ("http://host:8188/api/ws", "http://host:8188/api"),
        ("ws://host:1", "http://host:1"),
        ("http://[::1]:8188", "http://[::1]:8188"),
        ("HTTP://Host:8188?x=1#y", "http://host:8188"),
    ],
)
def test_addresses_are_taken_as_people_write_them(text: str, url: str) -> None:
    assert tool.Endpoint.parse(text).url == url


@pytest.mark.parametrize("text", ["file:///etc/passwd", "http://", "ht!tp://x", "http://a b", "http://x:99999", "::"])
def test_what_is_no_http_address_is_refused_by_the_valves_name(text: str) -> None:
    with pytest.raises(tool.BadArgument, match="ComfyUI address"):
        settings(endpoint=text)


@pytest.mark.parametrize("text", [",", " ; ,", ",\n,"])
def test_a_list_that_holds_no_address_is_refused_by_the_valves_name(text: str) -> None:
    with pytest.raises(tool.BadArgument, match="ComfyUI address"):
        settings(endpoint=text)


@pytest.mark.parametrize("text", ["http://me:hun/hunter2@host", "ftp://me:hunter2@host", "http://m:hunter2#s@h:x"])
def test_a_password_in_an_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(tool.BadArgument) as error:
        settings(endpoint=text)
    assert "hunter2" not in str(error.value.as_result())


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(tool.BadArgument) as error:
        settings(endpoint="http://host", api_key=key)
    assert key not in str(error.value.as_result())


def test_keys_do_not_show_when_settings_are_printed() -> None:
    found = settings(MINE, role="admin")
    assert "my-key" not in repr(found)


# --- precedence ---


def test_the_argument_comes_first_then_the_user_then_the_administrator() -> None:
    found = settings({"model": "users", "size": "1:1"}, model="admins", size="2:1", negative_prompt="blurry")
    wish = found.request("x", model="models")
    assert (wish.model.value, wish.model.level) == ("models", 0)
    assert (wish.size.value, wish.size.level) == ("1:1", 1)
    assert (wish.negative_prompt.value, wish.negative_prompt.level) == ("blurry", 2)
    assert found.request("x").model.value == "users"
    assert wish.steps is None


@pytest.mark.parametrize("left_out", ["", "auto", "default", "none", "NULL", None, "  "])
def test_words_that_stand_for_leaving_it_out_leave_it_out(left_out: Any) -> None:
    wish = settings(model="admins").request("x", model=left_out, size=left_out, steps=left_out)
    assert (wish.model.value, wish.size, wish.steps) == ("admins", None, None)


@pytest.mark.parametrize("seed", [-1, "-1", "random", None])
def test_a_random_seed_may_be_asked_for_in_words(seed: Any) -> None:
    assert settings().request("x", seed=seed).seed is None


@pytest.mark.parametrize("prompt", ["", "  \n", None, 5, {"a": 1}, [], [1]])
def test_a_call_without_a_prompt_is_refused(prompt: Any) -> None:
    with pytest.raises(tool.BadArgument, match="prompt"):
        settings().request(prompt)


def test_previews_need_both_switches() -> None:
    found = [settings({"previews": user}, previews=admin).previews for admin in (True, False) for user in (True, False)]
    assert found == [True, False, False, False]


@pytest.mark.parametrize("valves", [tool.Valves(api_key="s3cret"), tool.UserValves(api_key="s3cret")])
def test_what_is_printed_of_the_valves_holds_no_key(valves: tool.Valves | tool.UserValves) -> None:
    assert "s3cret" not in repr(valves) + str(valves)


# --- whose credits are spent ---


def purse(user: dict[str, Any] | None = None, *, own: str = "", role: str = "user", **valves: Any) -> Any:
    """The purse of the first server."""
    found = settings(user, own=own, role=role, **{"endpoint": "http://a:1", **valves})
    return found.purses.get(found.endpoints[0])


ACCOUNT = {"account_key": "an-account"}


def test_without_a_key_of_an_account_nobody_pays() -> None:
    assert purse() is None


def test_by_default_users_may_not_spend_the_administrators_credits_and_administrators_are_asked() -> None:
    found = purse(**ACCOUNT)
    assert (found.key, found.is_own, found.rule.word) == ("an-account", False, "never")
    assert purse(**ACCOUNT, role="admin").rule.word == "ask"


def test_the_users_own_key_goes_before_the_administrators() -> None:
    found = purse({"account_key": "mine"}, **ACCOUNT)
    assert (found.key, found.is_own, found.rule) == ("mine", True, tool.SpendingRule("ask", 0.5))


@pytest.mark.parametrize("word", ["ask", "up to the amount", "always"])
def test_what_a_user_sets_loosens_nothing_of_the_administrators(word: str) -> None:
    mine = {"paid_runs": word, "paid_run_dollars": 1e9, "paid_day_dollars": 0, "word": "always"}
    found = purse(mine, **ACCOUNT, paid_run_dollars=0.2, paid_day_dollars=1)
    assert (found.is_own, found.rule) == (False, tool.SpendingRule("never", 0.2, 1.0))


def test_a_user_who_never_wants_to_spend_anything_does_not() -> None:
    assert purse({"paid_runs": "never"}, **ACCOUNT, paid_runs="always").rule.word == "never"


def test_the_administrators_key_goes_to_no_server_of_a_users_own() -> None:
    found = settings({"endpoint": "http://mine:1"}, role="admin", endpoint="http://a:1", **ACCOUNT, paid_runs="always")
    assert found.purses == {}


def test_the_key_goes_to_no_address_that_nobody_set() -> None:
    found = settings(own="http://127.0.0.1:8188", **ACCOUNT)
    assert {endpoint.url: bool(found.purses.get(endpoint)) for endpoint in found.endpoints} == {
        "http://127.0.0.1:8188": True,
        "http://host.docker.internal:8188": False,
    }


def test_at_comfy_cloud_whoevers_key_the_server_has_pays() -> None:
    cloud = "https://cloud.comfy.org"
    found = purse({"account_key": "mine", "paid_runs": "always"}, endpoint=cloud, api_key="k")
    assert (found.is_own, found.key, found.rule.word) == (False, "", "never")
    own = {"endpoint": cloud, "api_key": "k", "paid_runs": "always"}
    found = purse(own, allow_user_endpoints=True, paid_runs="never")
    assert (found.is_own, found.rule.word) == (True, "always")


@pytest.mark.parametrize("written", ["http://proxy:1", "cloud+http://proxy:1"])
def test_a_users_way_to_the_administrators_proxy_before_comfy_cloud_spends_the_administrators(written: str) -> None:
    proxy = tool.Endpoint("http://proxy:1", cloud=True)
    mine = tool.UserValves(endpoint=written, paid_runs="always")
    valves = tool.Valves(endpoint="cloud+http://proxy:1", allow_user_endpoints=True, reachable="any")
    found = tool.resolve(valves, {"id": "u", "valves": mine}, copied=proxy)
    (endpoint,) = found.endpoints
    assert endpoint.cloud
    assert (found.purses[endpoint].is_own, found.purses[endpoint].rule.word) == (False, "never")


@pytest.mark.parametrize(
    ("stored", "dollars"),
    [(5, 5), ("5", 5), ("$5", 5), ("5 USD", 5), ("0,50", 0.5), (0, 0), ("", 0), (None, 0), ("five", 0.01), (-3, 0.01)],
)
def test_a_limit_of_a_day_that_cannot_be_read_is_no_permission(stored: Any, dollars: float) -> None:
    assert purse(**ACCOUNT, paid_day_dollars=stored).rule.day_dollars == dollars


def test_a_key_that_cannot_be_one_is_refused_without_being_shown() -> None:
    with pytest.raises(tool.BadArgument) as refused:
        settings(account_key="a secret\nkey", endpoint="http://a:1")
    assert "secret" not in refused.value.message
