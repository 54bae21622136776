"""Rules on who may use which servers, workflows and models, and bring workflows and addresses of their own.

They are held against the user, the role and Open WebUI's groups at every call, whatever is stored in the user's valves.
What a user may not use is as what is not there.
"""

import json
from typing import Any

import pytest
from aiohttp import web

import comfyui_tool as tool
from tests.attacks.hostile import HostileServer
from tests.attacks.house import ADMINISTRATOR, GRAPH, OWNER, STRANGER, House, valves
from tests.attacks.table import told
from tests.support.pictures import png

MODELS = ["flux1-dev.safetensors", "folder/Secret-XL.safetensors"]


def with_model(name: str) -> dict[str, Any]:
    inputs = {"text": "a fox", "seed": 1, "ckpt_name": name}
    return {"1": {"class_type": "Maker", "inputs": inputs, "_meta": {"title": "Maker"}}}


@pytest.fixture
def models(server: HostileServer) -> HostileServer:
    """A server with two checkpoints."""
    server.inputs["ckpt_name"] = [MODELS, {}]
    server.answers["/models/checkpoints"] = MODELS
    return server


async def run(home: House, who: str, server: HostileServer | str, rights: str, **asked: Any) -> Any:
    more = asked.pop("more", {})
    return await home.call(
        "run_workflow", who, **{"workflow": "w", **asked}, valves=valves(server, rights=rights, **more)
    )


# --- whom a rule is about ---

ABOUT: dict[str, tuple[str, bool]] = {
    "everybody": ("everybody: workflows = other", False),
    "everybody, and a group of the user": ("everybody: workflows = other\ngroup design: workflows = w", True),
    "everybody, and another group": ("everybody: workflows = other\ngroup Sales: workflows = w", False),
    "a group by its id": ("everybody: workflows = none\ngroup id-of-Design: workflows = *", True),
    "a user by address": ("everybody: workflows = none\nuser Owner@example.org: workflows = w", True),
    "a user by id": ("everybody: workflows = none\nuser owner: workflows = w", True),
    "another user": ("everybody: workflows = none\nuser stranger: workflows = w", False),
    "the role": ("everybody: workflows = none\nrole user: workflows = W", True),
    "another role": ("everybody: workflows = none\nrole pending: workflows = w", False),
    "nobody": ("group Sales: workflows = none", True),
    "several names": ("everybody: workflows = a, b, w", True),
    "a pattern": ("everybody: workflows = w*", True),
    "a remark": ("# everybody: workflows = none\n\neverybody: workflows = w", True),
    "nothing": ("", True),
}


@pytest.mark.parametrize(("rights", "may"), ABOUT.values(), ids=ABOUT)
async def test_a_rule_counts_for_whom_it_is_about(home: House, server: HostileServer, rights: str, may: bool) -> None:
    home.groups = {OWNER: ["Design"], STRANGER: ["Sales"]}
    answer = await run(home, OWNER, server, rights)
    assert bool(server.prompts) is may
    if not may:
        assert answer["code"] == "unknown_workflow"
        assert "rules" in answer["hint"]


STRICT = "everybody: workflows = none\ngroup Design: workflows = w"


@pytest.mark.parametrize("groups", [["Drawing"], [], ["design team"]], ids=str)
async def test_a_group_that_was_renamed_or_deleted_gives_nothing_more(
    home: House, server: HostileServer, groups: list[str]
) -> None:
    home.groups = {OWNER: ["Design"]}
    await run(home, OWNER, server, STRICT)
    assert len(server.prompts) == 1
    home.groups = {OWNER: groups}
    answer = await run(home, OWNER, server, STRICT)
    assert (answer["code"], len(server.prompts)) == ("unknown_workflow", 1)


async def test_who_leaves_a_group_during_a_job_still_gets_what_it_made(home: House, server: HostileServer) -> None:
    home.groups = {OWNER: ["Design"]}

    async def leaving(_: web.Request) -> web.StreamResponse:
        home.groups = {}
        return web.Response(body=png())

    server.outputs = {"1": {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}}
    server.files["a.png"] = leaving
    answer = await run(home, OWNER, server, STRICT)
    assert (answer["status"], len(home.stored)) == ("done", 1)
    answer = await run(home, OWNER, server, STRICT)
    assert (answer["code"], len(server.prompts)) == ("unknown_workflow", 1)


async def test_an_administrator_may_everything(home: House, server: HostileServer) -> None:
    await run(home, ADMINISTRATOR, server, "everybody: workflows = none; servers = none; models = none\nnonsense")
    assert server.prompts


async def test_a_user_who_takes_anothers_name_has_not_their_rights(home: House, server: HostileServer) -> None:
    answer = await run(home, STRANGER, server, "everybody: workflows = none\nuser Owner: workflows = w")
    assert (answer["code"], server.prompts) == ("unknown_workflow", [])


@pytest.mark.parametrize(
    "line",
    [
        *("nonsense", "everybody workflows = w", "group: workflows = w", "everybody x: models = y", "everybody:"),
        *("everybody: own = yes", "everybody: own workflows = perhaps", "everybody: wokflows = w", "group A: models"),
    ],
)
async def test_a_line_that_cannot_be_read_permits_nothing(home: House, server: HostileServer, line: str) -> None:
    answer = await run(home, OWNER, server, f"everybody: workflows = *\n{line}")
    assert (answer["code"], server.requests) == ("not_permitted", [])


async def test_groups_that_are_not_told_permit_nothing(
    home: House, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("open_webui.models.groups.Groups")
    answer = await run(home, OWNER, server, "group Design: workflows = *")
    assert (answer["code"], server.requests) == ("not_permitted", [])


# --- servers ---


@pytest.mark.parametrize("mine", [{}, {"server": "fast"}, {"server": "127.0.0.1"}])
async def test_a_server_that_a_user_may_not_use_is_asked_nothing(
    home: House, server: HostileServer, mine: dict[str, str]
) -> None:
    async with HostileServer().on_this_loop() as other:
        both = f"fast = {other.url}, slow = {server.url}"
        rights = "everybody: servers = slow\ngroup Design: servers = fast"
        for method in ("run_workflow", "list_models", "comfyui_status", "check_job"):
            asked = {"workflow": "w"} if method == "run_workflow" else {}
            answer = await home.call(method, OWNER, **asked, valves=valves(both, rights=rights), mine=mine)
            assert "fast" not in told(answer).replace('\\"fast\\", and no server', "")
        assert other.requests == []
        home.groups = {OWNER: ["Design"]}
        await home.call("list_models", OWNER, valves=valves(both, rights=rights))
        assert other.requests
        await tool.close_servers()


async def test_who_may_use_no_server_is_told_so(home: House, server: HostileServer) -> None:
    answer = await run(home, OWNER, server, "everybody: servers = none")
    assert (answer["code"], server.requests) == ("not_permitted", [])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_own_address_does_not_lead_to_a_server_that_one_may_not_use(
    home: House, server: HostileServer, host: str
) -> None:
    more = {"allow_user_endpoints": True, "reachable": "any", "rights": "everybody: servers = slow"}
    both = f"slow = http://127.0.0.1:9, fast = {server.url}"
    mine = {"endpoint": f"http://{host}:{server.port}/"}
    answer = await home.call("run_workflow", OWNER, workflow="w", valves=valves(both, **more), mine=mine)
    assert (answer["code"], server.requests) == ("endpoint_refused", [])


# --- workflows ---


@pytest.mark.parametrize("name", ["private", "x/private", "PRIVATE.json", "flux", "text_to_image"])
async def test_a_workflow_that_a_user_may_not_use_is_not_there(home: House, server: HostileServer, name: str) -> None:
    server.answers["/userdata"] = [{"path": "x/private.json"}]
    server.answers["/userdata/workflows/x/private.json"] = GRAPH
    rights = "everybody: workflows = w"
    answer = await run(home, OWNER, server, rights, workflow=name)
    assert (answer["status"], server.prompts) == ("error", [])
    answer = await home.call("list_workflows", OWNER, all=True, valves=valves(server, rights=rights))
    assert [item["name"] for item in answer["workflows"]] == ["w"]
    assert "flux" not in told(answer)
    answer = await home.call("describe_workflow", OWNER, workflow=name, valves=valves(server, rights=rights))
    assert answer["code"] == "unknown_workflow"


async def test_a_valves_workflow_that_a_user_may_not_use_is_left_out(home: House, server: HostileServer) -> None:
    more = {"workflow": "private"}
    mine = {"workflow": "private"}
    rights = "everybody: workflows = w"
    answer = await home.call(
        "generate_image", OWNER, prompt="a", mine=mine, valves=valves(server, rights=rights, **more)
    )
    assert (answer["status"], server.prompts) == ("error", [])


# --- models ---


async def test_a_model_that_a_user_may_not_use_is_neither_listed_nor_taken(home: House, models: HostileServer) -> None:
    rights = "everybody: models = flux*"
    for method, asked in (("describe_workflow", {"workflow": "w"}), ("list_models", {"kind": "checkpoints"})):
        graph = valves(models, with_model(MODELS[0]), rights=rights)
        answer = await home.call(method, OWNER, **asked, valves=graph)
        assert "flux1-dev" in told(answer)
        assert "Secret" not in told(answer)
    for inputs in ({"Maker.ckpt_name": MODELS[1]}, {"model": "Secret-XL"}, {"1.ckpt_name": "secret"}):
        answer = await home.call(
            "run_workflow",
            OWNER,
            workflow="w",
            inputs=inputs,
            valves=valves(models, with_model(MODELS[0]), rights=rights),
        )
        assert (answer["status"], models.prompts) == ("error", [])


async def test_a_model_of_a_saved_workflow_is_not_used_either(home: House, models: HostileServer) -> None:
    asked = {"workflow": "w", "valves": valves(models, with_model(MODELS[1]), rights="everybody: models = flux*")}
    answer = await home.call("run_workflow", OWNER, **asked)
    assert (answer["code"], models.prompts) == ("model_not_installed", [])
    own = {"allow_user_workflows": True, "rights": "everybody: models = flux*"}
    mine = {"workflows": json.dumps({"own": with_model(MODELS[1])})}
    answer = await home.call("run_workflow", OWNER, workflow="own", valves=valves(models, **own), mine=mine)
    assert (answer["code"], models.prompts) == ("model_not_installed", [])


@pytest.mark.parametrize("pattern", ["*", "secret-xl", "secret*", "folder/*", "*XL.safetensors"])
async def test_a_model_that_a_user_may_use_is_used(home: House, models: HostileServer, pattern: str) -> None:
    asked = valves(models, with_model(MODELS[1]), rights=f"everybody: models = {pattern}")
    await home.call("run_workflow", OWNER, workflow="w", valves=asked)
    assert models.prompts


async def test_users_of_different_rights_do_not_share_what_is_remembered(home: House, models: HostileServer) -> None:
    home.groups = {STRANGER: ["Design"]}
    rights = "everybody: models = flux*\ngroup Design: models = *"
    said = []
    for who in (OWNER, STRANGER, OWNER):
        answer = await home.call("list_models", who, kind="checkpoints", valves=valves(models, rights=rights))
        said.append("Secret" in told(answer))
    assert said == [False, True, False]


# --- what users bring ---


@pytest.mark.parametrize(
    ("valve", "rights", "may"),
    [
        (False, "group Design: own workflows = yes", True),
        (False, "group Sales: own workflows = yes", False),
        (True, "everybody: own workflows = no", False),
        (True, "everybody: own workflows = no\ngroup Design: own workflows = yes", True),
        (True, "everybody: workflows = none", True),
        (False, "", False),
    ],
)
async def test_who_may_bring_a_workflow(
    home: House, server: HostileServer, valve: bool, rights: str, may: bool
) -> None:
    home.groups = {OWNER: ["Design"]}
    mine = {"workflows": json.dumps({"own": GRAPH})}
    more = {"allow_user_workflows": valve, "rights": rights}
    await home.call("run_workflow", OWNER, workflow="own", valves=valves(server, **more), mine=mine)
    assert bool(server.prompts) is may


@pytest.mark.parametrize(
    ("valve", "rights", "may"),
    [(False, "user owner: own address = yes", True), (True, "role user: own address = no", False), (True, "", True)],
)
async def test_who_may_have_an_address_of_their_own(
    home: House, server: HostileServer, valve: bool, rights: str, may: bool
) -> None:
    more = {"allow_user_endpoints": valve, "reachable": "any", "rights": rights}
    await home.call("comfyui_status", OWNER, valves=valves("http://127.0.0.1:9", **more), mine={"endpoint": server.url})
    assert bool(server.requests) is may


# --- what is told of valves that do not count as they are stored ---


async def test_an_administrator_is_told_of_a_line_that_cannot_be_read(home: House, server: HostileServer) -> None:
    more = {"rights": "nonsense", "max_steps": 10**6, "reachable": "perhaps"}
    answer = await home.call("comfyui_status", ADMINISTRATOR, valves=valves(server, **more))
    said = told(answer["valves"])
    assert all(words in said for words in ("nonsense", "Most sampling steps", "10000 counts", "Addresses that others"))


async def test_a_user_is_told_nothing_of_the_administrators_valves(home: House, server: HostileServer) -> None:
    answer = await home.call("comfyui_status", OWNER, valves=valves(server, max_steps=10**6, reachable="perhaps"))
    assert "valves" not in answer
