"""`check`: what it says of servers in every state, and of the tool in a real Open WebUI."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

import comfyui_tool as tool
from tests.support.command_line import command
from tests.support.open_webui import OpenWebUI
from tests.support.runs import endpoint, models_of
from tests.support.serving import serving
from tests.support.stand_in import StandIn
from tests.support.watching import until

pytestmark = pytest.mark.real_clock


@pytest.fixture(autouse=True)
async def closed(closed_servers: None) -> AsyncIterator[None]:
    yield


async def found(comfy: StandIn, key: str | None = None) -> list[tool.Verdict]:
    """What is found of a server."""
    return [verdict async for verdict in tool.examine_server(endpoint(comfy, key=key))]


def levels(verdicts: list[tool.Verdict], word: str) -> list[str]:
    """The levels of the verdicts whose texts hold a word."""
    return [verdict.level for verdict in verdicts if word in verdict.text]


# --- a server that works ---


async def test_every_point_of_a_server_that_works_passes_or_tells_what_to_install(quick_comfy: StandIn) -> None:
    verdicts = await found(quick_comfy)
    assert not [verdict for verdict in verdicts if verdict.level == tool.FAIL]
    for word in ("answers", "previews", "websocket", "text_to_image", "upscale", "was sent, worked on"):
        assert levels(verdicts, word) == [tool.PASS], word
    assert levels(verdicts, "text_to_audio") == [tool.WARN]
    assert all(verdict.remedy for verdict in verdicts if verdict.level == tool.WARN)


async def test_the_tiny_job_leaves_nothing_in_the_queue_and_in_the_history(quick_comfy: StandIn) -> None:
    await found(quick_comfy)
    assert not quick_comfy.running
    assert not quick_comfy.history


async def test_a_second_examination_comes_to_the_same(quick_comfy: StandIn) -> None:
    first = [verdict.level for verdict in await found(quick_comfy)]
    assert [verdict.level for verdict in await found(quick_comfy)] == first


# --- a server that lacks something ---


async def test_a_server_without_any_model_fails_with_the_files_to_install() -> None:
    async with StandIn(models={}) as comfy:
        verdicts = await found(comfy)
        (first,) = [verdict for verdict in verdicts if "text_to_image" in verdict.text]
        assert first.level == tool.FAIL
        assert "checkpoints/sd_xl_base_1.0.safetensors" in first.remedy
        assert levels(verdicts, "was sent, worked on") == [tool.PASS]


async def test_a_task_is_done_by_what_somebody_saved_or_installed() -> None:
    async with StandIn(models=models_of("ace-step")) as comfy:
        assert levels(await found(comfy), "text_to_audio: ace-step") == [tool.PASS]


async def test_an_old_server_that_sends_no_previews_is_warned_of() -> None:
    async with StandIn(release="0.3.64") as comfy:
        (verdict,) = [one for one in await found(comfy) if "previews" in one.text]
    assert (verdict.level, "--preview-method auto" in verdict.remedy) == (tool.WARN, True)


@pytest.mark.parametrize(
    ("version", "arguments", "level"),
    [
        ("0.3.64", ["main.py", "--preview-method", "auto"], tool.PASS),
        ("0.3.64", ["main.py", "--preview-method=taesd"], tool.PASS),
        ("0.3.64", ["main.py", "--preview-method", "none"], tool.WARN),
        ("0.3.64", ["main.py", "--preview-method"], tool.WARN),
        ("0.3.64", "no list", tool.WARN),
        ("0.33.0", ["main.py"], tool.PASS),
        ("", [], tool.WARN),
    ],
)
def test_whether_previews_come_is_told_by_the_version_and_how_it_was_started(
    version: str, arguments: object, level: str
) -> None:
    stats = tool.parse_stats({"system": {"comfyui_version": version, "argv": arguments}})
    verdicts = list(tool.stats_verdicts(stats, tool.Endpoint("http://a:1")))
    assert levels(verdicts, "previews") == [level]


def test_a_server_that_is_too_old_fails() -> None:
    verdicts = list(tool.stats_verdicts(tool.Stats("0.3.40", ()), tool.Endpoint("http://a:1")))
    assert levels(verdicts, "too old") == [tool.FAIL]


async def test_a_websocket_that_a_proxy_refuses_is_a_warning_with_what_the_proxy_needs(quick_comfy: StandIn) -> None:
    quick_comfy.misbehave.refuse_websocket = 400
    verdicts = await found(quick_comfy)
    (verdict,) = [one for one in verdicts if "websocket" in one.text]
    assert (verdict.level, "Upgrade" in verdict.remedy) == (tool.WARN, True)
    assert levels(verdicts, "was sent, worked on") == [tool.PASS]


async def test_a_job_that_makes_nothing_fails_and_says_why(quick_comfy: StandIn) -> None:
    quick_comfy.misbehave.no_outputs = True
    assert levels(await found(quick_comfy), "A tiny job") == [tool.FAIL]


async def test_a_job_that_hangs_is_withdrawn_after_its_time(
    quick_comfy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "STEP_SECONDS", 0.8)
    quick_comfy.misbehave.hold_before = "PreviewImage"
    (verdict,) = [one for one in await found(quick_comfy) if "A tiny job" in one.text]
    assert (verdict.level, "longer than" in verdict.text) == (tool.FAIL, True)
    quick_comfy.release()
    await until(lambda: not quick_comfy.running)
    assert not quick_comfy.pending


async def test_comfy_cloud_is_given_no_job_that_would_cost_something(quick_comfy: StandIn) -> None:
    async with tool.open_server(dataclasses.replace(endpoint(quick_comfy), cloud=True)) as server:
        (verdict,) = await tool.job_verdicts(server)
    assert verdict.level == tool.WARN


# --- a server that is none ---


async def test_a_wrong_key_fails_and_neither_key_is_shown(tmp_path: Path) -> None:
    async with StandIn(api_key="s3cret-s3cret") as comfy:
        good = await command("check", "--endpoint", comfy.url, "--api-key", "s3cret-s3cret", cwd=tmp_path)
        bad = await command("check", "--endpoint", comfy.url, "--api-key", "wrong-wrong", cwd=tmp_path)
    assert (good[0], bad[0]) == (0, 1)
    assert "--api-key" in bad[1]
    assert "s3cret-s3cret" not in "".join(good[1:])
    assert "wrong-wrong" not in "".join(bad[1:])


async def test_a_closed_port_fails_and_names_the_option(tmp_path: Path) -> None:
    status, out, err = await command("check", "--endpoint", "http://127.0.0.1:9", cwd=tmp_path)
    assert (status, err) == (1, "")
    assert "connection refused" in out
    assert "--endpoint" in out
    assert "valve" not in out


async def test_another_service_at_the_address_fails(tmp_path: Path) -> None:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<html>Welcome</html>", content_type="text/html")

    async with serving("/{path:.*}", page) as url:
        status, out, _ = await command("check", "--endpoint", url, cwd=tmp_path)
    assert status == 1
    assert "FAIL" in out
    assert "Traceback" not in out


async def test_each_of_several_servers_is_examined(tmp_path: Path) -> None:
    async with StandIn() as comfy:
        status, out, _ = await command("check", "--endpoint", f"fast = {comfy.url}, http://127.0.0.1:9", cwd=tmp_path)
    assert status == 1
    assert f"fast: {comfy.url}" in out
    assert "was sent, worked on" in out
    assert "connection refused" in out


async def test_without_an_address_the_one_that_the_tool_finds_is_examined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with StandIn() as comfy:
        monkeypatch.setenv("COMFYUI_BASE_URL", comfy.url)
        status, out, _ = await command("check", cwd=tmp_path)
    assert (status, out.splitlines()[0]) == (0, comfy.url)


# --- the tool in an Open WebUI ---


@pytest.mark.open_webui
async def test_what_is_set_in_an_open_webui_is_examined(webui: OpenWebUI, tmp_path: Path) -> None:
    token = (await webui.admin()).token
    arguments = ("check", "--url", webui.url, "--token", token)
    await webui.delete_tool("comfyui", missing_ok=True)
    missing = await command(*arguments, cwd=tmp_path)
    assert missing[0] == 1
    assert "not installed" in missing[1]
    async with StandIn(api_key="s3cret-s3cret") as comfy:
        await command("install", "--url", webui.url, "--token", token, "--endpoint", comfy.url, cwd=tmp_path)
        await webui.set_valves("comfyui", endpoint=f"gpu = {comfy.url}", api_key="s3cret-s3cret", quality=900)
        status, out, err = await command(*arguments, cwd=tmp_path)
    assert (status, err) == (0, "")
    assert f"gpu: {comfy.url}" in out
    for words in ("takes the token", "installed (version", "Nobody but administrators", "takes 1 to 100", "worked on"):
        assert words in out
    assert "s3cret-s3cret" not in out
    assert token not in out
    assert (await command(*arguments[:-1], "no-token", cwd=tmp_path))[0] == 1
    await webui.set_valves("comfyui", endpoint="ftp://gpu")
    status, out, err = await command(*arguments, cwd=tmp_path)
    assert (status, err) == (1, "")
    assert 'FAIL  The valve "ComfyUI address" is not an http address.' in out
