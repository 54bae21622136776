"""Ways in to a protected ComfyUI: whatever stands before it, all routes and the websocket are reached with what people
paste into the valve for the key or into the address, and nobody is shown it."""

import json
import logging

import pytest
from aiohttp import web

import comfyui_tool as tool
from tests.support.runs import make, small_wish
from tests.support.stand_in import StandIn
from tests.support.stand_in.gates import Gate, LoginGate, basic_gate, header_gate, path_gate, query_gate
from tests.support.watching import Watcher

PASSWORD, TOKEN = "correct:horse/battery", "$2b$12$abcdefghijklmnopqrstuv/ABC.def"
PRINTED = f"INFO:root:For direct API calls, use token={TOKEN}"
SEVERAL = {"CF-Access-Client-Id": "one.access", "CF-Access-Client-Secret": "two-and-two"}


def all_gates(*gates: Gate) -> Gate:
    """All of them, one behind the other."""

    async def gate(request: web.Request) -> web.Response | None:
        for one in gates:
            answer = await one(request)
            if answer:
                return answer
        return None

    return gate


SEVERAL_GATE = all_gates(*(header_gate(name, value) for name, value in SEVERAL.items()))
# What stands before it, the address ("HOST" is where it is), and what stands in the valve for the key.
WAYS: dict[str, tuple[Gate, str, str]] = {
    "a bearer": (header_gate("Authorization", "Bearer sk-12345678"), "HOST", "sk-12345678"),
    "a bearer with its scheme": (header_gate("Authorization", "Bearer sk-12345678"), "HOST", "Bearer sk-12345678"),
    "a bearer as a header": (
        header_gate("Authorization", "Bearer sk-12345678"),
        "HOST",
        '"Authorization: Bearer sk-12345678"',
    ),
    "a header of a command line": (header_gate("X-Auth", "abc"), "HOST", "-H 'X-Auth: abc'"),
    "a token with its scheme": (header_gate("Authorization", "Token 12345678"), "HOST", "Token 12345678"),
    "a login in the address": (basic_gate("ann", "p@ss word"), "http://ann:p%40ss%20word@HOST/", ""),
    "a login as a key": (basic_gate("ann", "p@ssword"), "HOST", "ann:p@ssword"),
    "a login with its scheme": (basic_gate("ann", "p@ss word"), "HOST", "Basic ann:p@ss word"),
    "a login as it is sent": (basic_gate("ann", "p"), "HOST", "Basic YW5uOnA="),
    "a header": (header_gate("X-Auth", "a secret"), "HOST", "X-Auth: a secret"),
    "a cookie": (header_gate("Cookie", "a=b; session=12345678"), "HOST", "Cookie: a=b; session=12345678"),
    "several headers": (SEVERAL_GATE, "HOST", "; ".join(f"{name}: {value}" for name, value in SEVERAL.items())),
    "several headers as JSON": (SEVERAL_GATE, "HOST", json.dumps(SEVERAL)),
    "a token in the address": (query_gate("token", TOKEN), f"<http://HOST/?token={TOKEN}>", ""),
    "a token as a key": (query_gate("token", TOKEN), "HOST", f"token={TOKEN}"),
    "a token behind its question mark": (query_gate("api_key", "12345678"), "HOST", "?api_key=12345678"),
    "a login and a token": (
        all_gates(basic_gate("ann", "pass"), query_gate("token", "12345678")),
        "http://ann:pass@HOST",
        "token=12345678",
    ),
    "the line of ComfyUI-Login": (LoginGate(PASSWORD, TOKEN), "HOST", PRINTED),
    "the form of ComfyUI-Login": (LoginGate(PASSWORD, TOKEN), "HOST", f"login ann:{PASSWORD}"),
    "only the routes of the API": (path_gate("/api/"), "http://HOST/api/", ""),
    "only the websocket's path": (path_gate("/api/"), "ws://HOST/api/ws", ""),
}


def behind(comfy: StandIn, gate: Gate, address: str, key: str) -> tool.Endpoint:
    comfy.gate = gate
    return tool.Endpoint.parse(address.replace("HOST", comfy.url.removeprefix("http://")), key)


@pytest.mark.parametrize(("gate", "address", "key"), WAYS.values(), ids=WAYS)
async def test_what_people_paste_lets_them_in_everywhere(
    quick_comfy: StandIn, caplog: pytest.LogCaptureFixture, gate: Gate, address: str, key: str
) -> None:
    caplog.set_level(logging.DEBUG)
    watcher = Watcher()
    endpoint = behind(quick_comfy, gate, address, key)
    made = await make(endpoint, watcher=watcher)
    assert made.products
    assert watcher.pictures  # which come over the websocket
    for secret in ("sk-12345678", PASSWORD, TOKEN, "p@ss", "12345678", "two-and-two"):
        assert secret not in endpoint.url + repr(endpoint) + endpoint.place + endpoint.written + caplog.text


@pytest.mark.parametrize("key", ["", "wrong-key-of-mine", "login ann:wrong-password", "Basic x", "X-Other: mine"])
async def test_a_way_that_does_not_lead_in_is_said_to_be_refused(quick_comfy: StandIn, key: str) -> None:
    with pytest.raises(tool.AccessRefused) as refused:
        await make(behind(quick_comfy, LoginGate(PASSWORD, TOKEN), "HOST", key))
    said = str(refused.value.as_result()) + refused.value.with_place
    assert "wrong-" not in said


async def test_one_login_does_for_all_requests(quick_comfy: StandIn) -> None:
    gate = LoginGate(PASSWORD, TOKEN)
    endpoint = behind(quick_comfy, gate, "HOST", f"login ann:{PASSWORD}")
    await make(endpoint)
    await make(endpoint, wish=small_wish(seed=2))
    assert gate.logins == [PASSWORD]


async def test_a_login_that_counts_no_longer_is_done_again(quick_comfy: StandIn) -> None:
    gate = LoginGate(PASSWORD, TOKEN)
    endpoint = behind(quick_comfy, gate, "HOST", f"login ann:{PASSWORD}")
    await make(endpoint)
    gate.renew()
    assert (await make(endpoint, wish=small_wish(seed=2))).products
    assert gate.logins == [PASSWORD, PASSWORD]


async def test_a_cookie_that_a_server_says_again_is_not_shown(quick_comfy: StandIn) -> None:
    gate = LoginGate(PASSWORD, TOKEN)
    async with tool.open_server(behind(quick_comfy, gate, "HOST", f"login ann:{PASSWORD}")) as server:
        await server.probe()
        assert server.hide_key(f"you sent {gate.cookie}".encode()) == b"you sent [API key]"


@pytest.mark.parametrize(
    ("address", "key", "said"),
    [
        ("HOST", f"token={TOKEN}", TOKEN),
        ("HOST", f"token={TOKEN}", "%242b%2412%24abcdefghijklmnopqrstuv%2FABC.def"),
        ("http://ann:a-long-password@HOST", "", "a-long-password"),
        ("http://ann:a-long-password@HOST", "", "YW5uOmEtbG9uZy1wYXNzd29yZA=="),
        ("HOST", '{"X-One": "aaaaaaaa", "X-Two": "bbbbbbbb"}', "bbbbbbbb"),
        ("HOST", "Cookie: a=b; session=cccccccc", "cccccccc"),
        ("HOST", "login ann:a-long-password", "a-long-password"),
    ],
)
def test_what_lets_a_caller_in_is_taken_out_of_what_a_server_says(
    quick_comfy: StandIn, address: str, key: str, said: str
) -> None:
    endpoint = behind(quick_comfy, path_gate("/"), address, key)
    assert endpoint.auth.hide(f"<{said}>".encode()) == b"<[API key]>"


@pytest.mark.parametrize("key", ["Content-Length: 5", "Connection: close", '{"a b": "c"}', "login ann", "{"])
def test_what_cannot_be_sent_is_refused(key: str) -> None:
    with pytest.raises(tool.BadArgument):
        tool.Endpoint.parse("http://host", key)


def test_an_address_and_its_key_may_not_both_name_a_user() -> None:
    with pytest.raises(tool.BadArgument, match="contains a user name"):
        tool.Endpoint.parse("http://ann:secret-word@host", "sk-12345678")


async def test_the_keys_of_several_servers_may_be_several_headers_each() -> None:
    found = tool.read_endpoints("http://a, http://b", '{"X-One": "1", "X-Two": "2"}, Bearer x')
    assert [dict(one.auth.headers) for one in found] == [{"X-One": "1", "X-Two": "2"}, {"Authorization": "Bearer x"}]
