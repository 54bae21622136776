"""Keys: in addresses that are refused, in workflows that are described, in what is printed of valves, in what a
server says, and on the way to a server."""

import json
import logging
from typing import Any

import pytest

import comfyui_tool as tool
from tests.attacks.hostile import HostileServer, echoing, status
from tests.attacks.house import ADMINISTRATOR, OWNER, House, valves
from tests.attacks.table import each, told

KEY = "sk-very-secret-1234567890"

# --- addresses that are refused ---

ADDRESSES: dict[str, str] = {
    "a user and a password": f"http://user:{KEY}@host:8188",
    "a password with a space": f"http://user:{KEY} x@host:8188",
    "a password with an at": f"http://user:{KEY}@x@host:8188",
    "a password and no scheme": f"user:{KEY}@host",
    "a user alone": f"http://{KEY}@host:8188",
    "a password of another scheme": f"ftp://user:{KEY}@host",
    "a token in the query": f"http://host:8188/?token={KEY}",
    "a token in the fragment": f"http://host:8188/#access_token={KEY}",
    "a token in the path": f"http://host:8188/a b/{KEY}",
    "a token where the port is": f"http://host:{KEY}",
    "a token behind a host that is none": f"http://[host/{KEY}",
    "a token for another scheme": f"comfy://host/?api_key={KEY}",
    "an escaped at": f"http://user:{KEY}%40host:8188 x",
    "a backslash": f"http://user:{KEY}\\@host",
}


@pytest.mark.parametrize("where", ["the administrator's valve", "the user's valve"])
@pytest.mark.parametrize("key", ["", "a b"], ids=["no key", "a key that is refused"])
@pytest.mark.parametrize("address", each(ADDRESSES))
async def test_an_address_that_is_refused_does_not_tell_what_is_in_it(
    home: House, caplog: pytest.LogCaptureFixture, address: str, key: str, where: str
) -> None:
    caplog.set_level(logging.DEBUG)
    if where == "the user's valve":
        arguments = {"valves": {"allow_user_endpoints": True}, "mine": {"endpoint": address, "api_key": key}}
    else:
        arguments = {"valves": {"endpoint": address, "api_key": key}}
    for who in (OWNER, ADMINISTRATOR):
        answer = await home.call("comfyui_status", who, **arguments)
        assert KEY not in told(answer) + home.shown + caplog.text


@pytest.mark.parametrize("key", [f"{KEY} x", f"{KEY}\nx", f"é{KEY}"])
async def test_a_key_that_is_refused_is_not_shown(home: House, caplog: pytest.LogCaptureFixture, key: str) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await home.call("comfyui_status", ADMINISTRATOR, valves={"endpoint": "http://host:8188", "api_key": key})
    assert answer["status"] == "error"
    assert KEY not in told(answer) + home.shown + caplog.text


# --- workflows ---

SECRET_INPUTS = (
    *("api_key", "apiKey", "token", "secret", "password"),
    *("authToken", "auth_token", "Authorization", "authorization", "bearer", "bearer_token", "passwd", "pwd"),
    *("passphrase", "webhook_url", "webhook", "credentials", "credential", "api_key_2", "apikey1", "accessKeyId"),
    *("access_key", "secretAccessKey", "private_key", "client_secret", "hf_token", "openai_key", "x-api-key", "cookie"),
)
PLAIN_INPUTS = ("keyframe", "keywords", "tokens_per_frame", "monkey", "author", "passes")


def service(name: str, title: str = "Service") -> dict[str, Any]:
    return {"1": {"class_type": "Maker", "inputs": {"text": "a", name: KEY}, "_meta": {"title": title}}}


@pytest.mark.parametrize("name", SECRET_INPUTS)
async def test_a_secret_in_a_workflow_is_not_described(home: House, server: HostileServer, name: str) -> None:
    server.inputs[name] = ["STRING", {"default": KEY}]
    answer = await home.call("describe_workflow", workflow="w", valves=valves(server, service(name)))
    assert answer["status"] == "done"
    assert KEY not in told(answer)
    assert "is set" in told(answer)


@pytest.mark.parametrize("name", PLAIN_INPUTS)
async def test_what_is_no_secret_is_described(home: House, server: HostileServer, name: str) -> None:
    server.inputs[name] = ["STRING", {}]
    answer = await home.call("describe_workflow", workflow="w", valves=valves(server, service(name)))
    assert KEY in told(answer)


@pytest.mark.parametrize(
    "held", ["http://user:{}@host/x", "Bearer {}", "Authorization: Bearer {}", "https://h/?api_key={}"]
)
async def test_a_secret_in_an_input_of_any_name_is_not_described(home: House, server: HostileServer, held: str) -> None:
    server.inputs["target"] = ["STRING", {}]
    graph = service("target")
    graph["1"]["inputs"]["target"] = held.format(KEY)
    answer = await home.call("describe_workflow", workflow="w", valves=valves(server, graph))
    assert KEY not in told(answer)


@pytest.mark.parametrize(
    "held",
    [
        *("the standard bearer of the regiment", "lighting key: backlit", "a token of love = a ring"),
        *("see https://example.org/?page=2", "mail me@example.org", "16:9 key=value"),
    ],
)
async def test_a_text_that_only_sounds_like_a_secret_is_described(
    home: House, server: HostileServer, held: str
) -> None:
    server.inputs["target"] = ["STRING", {}]
    graph = service("target")
    graph["1"]["inputs"]["target"] = held
    answer = await home.call("describe_workflow", workflow="w", valves=valves(server, graph))
    assert held in told(answer)


@pytest.mark.parametrize("title", ["API Key", "OpenAI API key", "Password", "Token"])
async def test_a_secret_in_a_node_that_is_called_so_is_not_described(
    home: House, server: HostileServer, title: str
) -> None:
    server.inputs["value"] = ["STRING", {}]
    answer = await home.call("describe_workflow", workflow="w", valves=valves(server, service("value", title)))
    assert KEY not in told(answer)


@pytest.mark.parametrize("name", ["api_key", "authToken", "webhook_url"])
async def test_a_secret_that_is_refused_is_not_shown(home: House, server: HostileServer, name: str) -> None:
    server.inputs[name] = [["one", "two"], {}]
    answer = await home.call(
        "run_workflow", workflow="w", inputs={f"Service.{name}": "three"}, valves=valves(server, service(name))
    )
    assert answer["status"] == "error"
    assert KEY not in told(answer) + home.shown


# --- valves ---


@pytest.mark.parametrize("kind", [tool.Valves, tool.UserValves])
@pytest.mark.parametrize("print_", [repr, str, "{!r}".format, "{}".format])
def test_what_is_printed_of_valves_holds_no_key(kind: Any, print_: Any) -> None:
    held = kind(api_key=KEY, endpoint=f"http://user:{KEY}@host", workflows=json.dumps(service("api_key")))
    assert KEY not in print_(held)


def test_the_settings_and_servers_of_a_call_hold_no_key_when_printed() -> None:
    settings = tool.resolve(tool.Valves(endpoint="http://host:8188", api_key=KEY), {"id": OWNER})
    assert KEY not in repr(settings) + repr(settings.endpoints) + str(settings.fleet)


# --- what a server says ---

ECHOES: dict[str, dict[str, Any]] = {
    "refusing a workflow": {"/prompt": echoing(400, lambda sent: {"error": {"message": sent}, "node_errors": {}})},
    "refusing a value": {
        "/prompt": echoing(
            400,
            lambda sent: {
                "error": {"type": "x"},
                "node_errors": {"1": {"errors": [{"type": "x", "message": sent, "details": sent}]}},
            },
        )
    },
    "leaving an output out": {
        "/prompt": echoing(200, lambda sent: {"prompt_id": "x", "node_errors": {"1": {"errors": [{"message": sent}]}}})
    },
    "telling its version": {"/system_stats": echoing(200, lambda sent: {"system": {"comfyui_version": sent}})},
    "telling its devices": {
        "/system_stats": echoing(
            200, lambda sent: {"system": {}, "devices": [{"name": sent[-70:]}, {"name": sent[:80]}]}
        )
    },
    "listing models": {"/models": echoing(200, lambda sent: [sent])},
    "listing workflows": {"/userdata": echoing(200, lambda sent: [{"path": f"{sent}.json"}])},
    "listing templates": {
        "/templates": echoing(200, lambda sent: [{"templates": [{"name": sent[:99], "title": sent, "tags": [sent]}]}])
    },
    "defining nodes": {
        "/object_info": echoing(
            200,
            lambda sent: {"Maker": {"input": {"required": {"text": [[sent], {}]}}, "output_node": True, "output": []}},
        )
    },
}


@pytest.mark.parametrize("answers", each(ECHOES))
async def test_a_server_that_says_the_key_again_does_not_have_it_shown(
    home: House, server: HostileServer, caplog: pytest.LogCaptureFixture, answers: dict[str, Any]
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers = answers
    for method, arguments in (
        ("run_workflow", {"workflow": "w"}),
        ("describe_workflow", {"workflow": "w"}),
        ("list_workflows", {}),
        ("list_models", {"kind": "loras"}),
        ("list_models", {}),
        ("comfyui_status", {}),
    ):
        answer = await home.call(method, ADMINISTRATOR, **arguments, valves=valves(server, api_key=KEY))
        assert KEY not in told(answer) + home.shown + caplog.text
    assert server.requests


@pytest.mark.parametrize("way", ["an error", "a text", "a file's name"])
async def test_a_run_that_says_the_key_again_does_not_have_it_shown(
    home: House, server: HostileServer, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    caplog.set_level(logging.DEBUG)
    if way == "an error":
        messages = [["execution_error", {"node_id": "1", "exception_message": f"401 for Bearer {KEY}"}]]
        server.entry = {"status": {"status_str": "error", "messages": messages}}
    elif way == "a text":
        server.outputs = {"1": {"text": [f"x {KEY} y"]}}
    else:
        server.outputs = {"1": {"images": [{"filename": f"{KEY}.png", "subfolder": KEY, "type": "output"}]}}
    answer = await home.call("run_workflow", workflow="w", valves=valves(server, api_key=KEY))
    assert KEY not in told(answer) + home.shown + caplog.text
    assert KEY not in told([(one.filename, one.page, one.metadata) for one in home.stored])


# --- on the way ---


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_key_follows_no_redirect(home: House, server: HostileServer, code: int) -> None:
    with HostileServer() as elsewhere:
        server.answers = {"": status(code, Location=f"{elsewhere.url}/x?token=y")}
        for method in ("generate_image", "list_models", "check_job", "comfyui_status"):
            arguments = {"prompt": "x"} if method == "generate_image" else {}
            await home.call(method, ADMINISTRATOR, **arguments, valves=valves(server, api_key=KEY))
        await tool.close_servers()
        assert elsewhere.requests == []
    assert any(KEY in str(headers) for _, _, headers in server.requests)


@pytest.mark.parametrize("path", ["/prompt", "/ws", "/view", "/history/", "/object_info"])
async def test_a_key_follows_no_redirect_in_the_middle_of_a_run(home: House, server: HostileServer, path: str) -> None:
    server.outputs = {"1": {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}}
    with HostileServer() as elsewhere:
        server.answers = {path: status(307, Location=f"{elsewhere.url}{path}")}
        await home.call("run_workflow", ADMINISTRATOR, workflow="w", valves=valves(server, api_key=KEY))
        await tool.close_servers()
        assert elsewhere.requests == []
    assert server.asked(path)


@pytest.mark.parametrize(
    "address",
    [
        *("cloud.comfy.org", "http://cloud.comfy.org", "HTTP://Cloud.Comfy.Org/", "ws://cloud.comfy.org/ws"),
        *("http://cloud.comfy.org:443", "http://cloud.comfy.org:80"),
        *("cloud.comfy.org.", "http://cloud.comfy.org.", "http://cloud.comfy.org./api", "http://CLOUD.comfy.org.:80"),
        *(
            "http://cloud。comfy。org",
            "http://cloud.comfy.org..",
            "http://ｃloud.comfy.org",
            "http://cloud．comfy．org",
        ),
    ],
)
def test_a_key_for_comfy_cloud_goes_there_encrypted_or_nowhere(address: str) -> None:
    try:
        endpoint = tool.Endpoint.parse(address, KEY)
    except tool.BadArgument:
        return
    assert endpoint.cloud
    assert endpoint.url.startswith("https://")
