"""Addresses that lead inside: those that users enter as their own, and those that a server sends a download on to.

What is judged is the address that would be connected to, however it is written and whatever its name stands for at that
moment. Nothing at all is asked there when it is not allowed.
"""

import socket
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

import comfyui_tool as tool
from tests.attacks.hostile import HostileServer, status
from tests.attacks.house import ADMINISTRATOR, OWNER, House, valves
from tests.attacks.table import told
from tests.support.pictures import png

KEY = "sk-very-secret-1234567890"
LOOPBACK = (
    *("127.0.0.1", "localhost", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1"),
    *("0.0.0.0", "0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:1]"),
    *("[64:ff9b::7f00:1]", "[::ffff:0:127.0.0.1]", "[2002:7f00:1::]", "localhost.", "LOCALHOST", "127.0.0.1."),
    *("\uff11\uff12\uff17.0.0.1", "\u24712\u24360.0.1", "127\uff0e0\uff0e0\uff0e1", "127\u30020\u30020\u30021"),
)
INSIDE = (
    *("10.0.0.5", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "[fe80::1]", "[fd00::5]"),
    *("[fd00:ec2::254]", "224.0.0.1", "198.18.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16", "[fec0::1]"),
)
OUTSIDE = ("1.1.1.1", "93.184.216.34", "[2606:4700::1111]")
NEVER = ("169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16", "[::ffff:169.254.1.1]")


@pytest.fixture(autouse=True)
def open_webuis_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are looked up as they are in Open WebUI, which knows more spellings of addresses."""
    monkeypatch.setattr(aiohttp.connector, "DefaultResolver", aiohttp.resolver.ThreadedResolver)


@pytest.fixture
def made_sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The places for which a socket was made; none of them is connected to."""
    made: list[Any] = []
    guard = tool.guarded_sockets

    def guarded(reach: tool.Reach) -> Any:
        make = guard(reach)

        def remember(address: Any) -> socket.socket:
            make(address).close()
            made.append(address[4][0])
            raise OSError("it would be connected to")

        return remember

    monkeypatch.setattr(tool, "guarded_sockets", guarded)
    yield made


async def ask(home: House, address: str, rule: str, who: str = OWNER) -> Any:
    asked = {"endpoint": "http://127.0.0.1:9", "allow_user_endpoints": True, "reachable": rule}
    return await home.call("comfyui_status", who, valves=asked, mine={"endpoint": address, "api_key": KEY})


@pytest.mark.parametrize("host", [*LOOPBACK, *INSIDE])
async def test_an_address_inside_is_not_connected_to_where_only_public_ones_are_allowed(
    home: House, made_sockets: list[Any], host: str
) -> None:
    answer = await ask(home, f"http://{host}:8188", "public")
    assert made_sockets == []
    assert "ready" not in told(answer)


@pytest.mark.parametrize("host", OUTSIDE)
async def test_a_public_address_is_connected_to(home: House, made_sockets: list[Any], host: str) -> None:
    await ask(home, f"http://{host}:8188", "public")
    assert host.strip("[]") in made_sockets


@pytest.mark.parametrize("host", NEVER)
@pytest.mark.parametrize("who", [OWNER, ADMINISTRATOR])
async def test_where_clouds_tell_secrets_is_never_connected_to(
    home: House, made_sockets: list[Any], who: str, host: str
) -> None:
    for rule in ("any", f"http://{host}:80"):
        await ask(home, f"http://{host}", rule, who)
    assert made_sockets == []


@pytest.mark.parametrize("rule", ["", "public", "everything", "http://", "http://10.0.0.5:8188"])
async def test_a_server_inside_hears_nothing_unless_the_rule_names_it(
    home: House, server: HostileServer, rule: str
) -> None:
    answer = await ask(home, server.url, rule)
    assert server.requests == []
    assert "endpoint_refused" in told(answer) or "endpoint refused" in told(answer)
    assert KEY not in told(answer)


@pytest.mark.parametrize("rule", ["any", "ANY", "{}", "https://gpu.example, {}/", "{}\nhttp://10.0.0.5"])
async def test_a_server_that_the_rule_names_is_used(home: House, server: HostileServer, rule: str) -> None:
    await ask(home, server.url, rule.format(server.url))
    assert server.asked("/system_stats")


async def test_an_administrators_own_address_may_be_anywhere(home: House, server: HostileServer) -> None:
    await ask(home, server.url, "public", ADMINISTRATOR)
    assert server.asked("/system_stats")


async def test_a_name_that_leads_inside_a_moment_later_is_not_connected_to(
    home: House, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["93.184.216.34", "127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1"])

    def look_up(_host: Any, port: Any, *_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers, "127.0.0.1"), server.port or port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(tool, "PROBE_SECONDS", 0.3)
    for _ in range(3):
        await ask(home, f"http://rebinding.example:{server.port}", "public")
        await tool.close_servers()
    assert server.requests == []


async def test_an_own_address_that_is_refused_in_a_run_is_told_so(home: House, server: HostileServer) -> None:
    asked = {"allow_user_endpoints": True}
    answer = await home.call("generate_image", prompt="a fox", valves=asked, mine={"endpoint": server.url})
    assert (answer["code"], server.requests) == ("endpoint_refused", [])
    assert "administrator" in answer["error"]
    assert "empty" in answer["hint"]


# --- the administrator's servers under an address of one's own ---


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0", "0", "127.9.9.9", "[::ffff:0:0]", "[::]"],
)
@pytest.mark.parametrize("path", ["", "/", "/api", "/x/.."])
async def test_the_rules_for_an_administrators_server_hold_however_a_user_calls_it(
    home: House, server: HostileServer, host: str, path: str
) -> None:
    server.answers["/userdata"] = [{"path": "private.json"}]
    server.answers["/api/userdata"] = [{"path": "private.json"}]
    more = {"allow_user_endpoints": True, "reachable": "any", "server_workflows": False}
    mine = {"endpoint": f"http://{host}:{server.port}{path}"}
    answer = await home.call("list_workflows", valves=valves(server, **more), mine=mine)
    assert "private" not in told(answer)
    assert not server.asked("/userdata")


async def test_a_server_of_ones_own_lists_what_is_saved_there(home: House, server: HostileServer) -> None:
    server.answers["/userdata"] = [{"path": "private.json"}]
    more = {"allow_user_endpoints": True, "reachable": "any", "server_workflows": False}
    answer = await home.call(
        "list_workflows", search="private", valves=valves("http://127.0.0.1:9", **more), mine={"endpoint": server.url}
    )
    assert "private" in told(answer)


# --- what a server sends a download on to ---


async def cloud_of(server: HostileServer, location: str) -> None:
    """Have a server speak as Comfy Cloud as far as a download goes."""
    server.answers["/api/view"] = status(302, Location=location)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]", "0x7f.1"])
@pytest.mark.parametrize("rule", ["public", "https://storage.example"])
async def test_a_download_is_not_followed_inside(home: House, server: HostileServer, host: str, rule: str) -> None:
    with HostileServer() as inside:
        inside.answers[""] = png()
        await cloud_of(server, f"http://{host}:{inside.port}/latest/meta-data")
        endpoint = tool.Endpoint.parse(f"cloud+{server.url}", KEY)
        endpoint = tool.replace(endpoint, transport=tool.Transport(downloads=tool.read_reach(rule)))
        async with tool.open_server(endpoint) as opened:
            with pytest.raises(tool.ServerError) as refused:
                await opened.view(tool.Output("1", "a.png", "", "output"), tool.Room(10**9))
        await tool.close_servers()
        assert inside.requests == []
    assert "meta-data" not in str(refused.value.as_result())


@pytest.mark.parametrize("location", ["/files/a.png", "{}/files/a.png"])
async def test_a_download_from_the_same_server_is_followed(home: House, server: HostileServer, location: str) -> None:
    server.answers["/files/"] = png()
    await cloud_of(server, location.format(server.url))
    async with tool.open_server(tool.Endpoint.parse(f"cloud+{server.url}", KEY)) as opened:
        kept = await opened.view(tool.Output("1", "a.png", "", "output"), tool.Room(10**9))
    assert len(kept) == len(png())
    assert not any(KEY in str(headers) for _, _, headers in server.asked("/files/"))
