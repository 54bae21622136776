"""The tool as a command: `generate` and `convert` as a person runs them, and `install` with whatever Open WebUI
answers."""

import asyncio
import importlib
import io
import json
import os
import pty
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aioresponses import aioresponses
from PIL import Image

import comfyui_tool as tool
from tests.support import ROOT, SOURCE
from tests.support.command_line import command, start
from tests.support.conversion import definitions, digest, digests, template
from tests.support.serving import Response
from tests.support.stand_in import StandIn
from tests.support.watching import until

pytestmark = pytest.mark.real_clock

WEBUI = "http://webui:3000"
API = f"{WEBUI}/api/v1"


# --- generate ---


async def test_generate_writes_the_picture_and_prints_where(tmp_path: Path) -> None:
    async with StandIn() as comfy:
        arguments = ("a red fox", "-o", "fox.png", "--endpoint", comfy.url, "--size", "96x64", "--seed", "5")
        status, out, err = await command("generate", *arguments, cwd=tmp_path)
    assert (status, out) == (0, "fox.png\n")
    assert Image.open(tmp_path / "fox.png").size == (96, 64)
    assert "seed 5" in err


async def test_generate_finds_the_server_by_itself_and_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with StandIn() as comfy:
        monkeypatch.setenv("COMFYUI_BASE_URL", comfy.url)
        status, out, _ = await command("generate", "a red fox", "--size", "64", "--seed", "5", cwd=tmp_path)
    assert (status, out) == (0, "a-red-fox-5.png\n")


async def test_several_pictures_are_numbered(tmp_path: Path) -> None:
    async with StandIn() as comfy:
        arguments = ("x", "-o", "x.png", "--endpoint", comfy.url, "--size", "64", "--count", "3")
        _, out, _ = await command("generate", *arguments, cwd=tmp_path)
    assert out.split() == ["x.png", "x-2.png", "x-3.png"]
    assert {path.name for path in tmp_path.iterdir()} == set(out.split())


async def test_the_file_is_what_its_name_promises(tmp_path: Path) -> None:
    async with StandIn() as comfy:
        arguments = ("x", "-o", "x.jpg", "--endpoint", comfy.url, "--size", "64x64")
        await command("generate", *arguments, cwd=tmp_path)
    assert Image.open(tmp_path / "x.jpg").format == "JPEG"


async def test_a_terminal_shows_a_bar_that_is_gone_at_the_end(tmp_path: Path) -> None:
    async with StandIn(step_seconds=0.02) as comfy:
        primary, secondary = pty.openpty()
        process = await start("generate", "x", "--size", "64", "--endpoint", comfy.url, cwd=tmp_path, stderr=secondary)
        os.close(secondary)
        await asyncio.wait_for(process.wait(), 30)
        seen = await asyncio.to_thread(os.read, primary, 65536)
        os.close(primary)
    assert "█" in seen.decode()
    assert "%" in seen.decode()
    assert b"\r\x1b[2K" in seen.rpartition("█".encode())[2]


async def test_a_server_that_is_down_is_exit_status_one_with_one_line(tmp_path: Path) -> None:
    status, out, err = await command("generate", "x", "--endpoint", "127.0.0.1:9", cwd=tmp_path)
    assert (status, out) == (1, "")
    last = err.splitlines()[-1]
    assert last.startswith("ComfyUI does not answer (connection refused). Its address is http://127.0.0.1:9.")
    assert "into --endpoint" in last
    assert "valve" not in last
    assert "Traceback" not in err


async def test_the_key_is_taken_from_the_environment_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYUI_API_KEY", "s3cret-s3cret")
    async with StandIn(api_key="s3cret-s3cret") as comfy:
        good = await command("generate", "x", "--size", "64", "--endpoint", comfy.url, cwd=tmp_path)
        wrong = await command("generate", "x", "--endpoint", comfy.url, "--api-key", "wrong-key", cwd=tmp_path)
    assert (good[0], wrong[0]) == (0, 1)
    assert "s3cret" not in "".join(good[1:])
    assert "wrong-key" not in "".join(wrong[1:])


@pytest.mark.parametrize(
    "arguments",
    [["x", "--steps", "many"], ["  "], ["x", "-o", "no/such/folder/x.png"], ["x", "-o", "."], ["x", "--size", "huge"]],
)
async def test_a_call_that_cannot_be_understood_is_exit_status_two(tmp_path: Path, arguments: list[str]) -> None:
    async with StandIn() as comfy:
        status, _, err = await command("generate", *arguments, "--endpoint", comfy.url, cwd=tmp_path)
    assert status == 2
    assert "Traceback" not in err


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
async def test_stopping_the_command_stops_the_job(tmp_path: Path, stop: signal.Signals) -> None:
    async with StandIn() as comfy:
        comfy.misbehave.hold_at_step = 2
        process = await start("generate", "x", "--size", "64", "--endpoint", comfy.url, cwd=tmp_path)
        await comfy.until_held()
        process.send_signal(stop)
        _, err = await asyncio.wait_for(process.communicate(), 20)
        comfy.release()
        await until(lambda: not comfy.running)
    assert process.returncode == 130
    assert err.decode().endswith("Stopped.\n")
    assert not list(tmp_path.iterdir())


async def test_a_reader_that_has_seen_enough_is_no_failure_to_tell_of(tmp_path: Path) -> None:
    """As in `... check | head -1`."""
    reading, writing = os.pipe()
    async with StandIn() as comfy:
        process = await start("check", "--endpoint", comfy.url, cwd=tmp_path, stdout=writing)
        os.close(reading)
        os.close(writing)
        _, err = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, err) == (1, b"")


# --- convert ---


async def test_convert_writes_one_file_for_each_and_names_what_it_could_not(tmp_path: Path) -> None:
    good, bad = tmp_path / "image2image.ui.json", tmp_path / "not.json"
    good.write_text(json.dumps(template("0.3.64", "image2image")))
    bad.write_text("{")
    known = tmp_path / "object_info.json"
    known.write_text(json.dumps(definitions("0.3.64")))
    (tmp_path / "out").mkdir()
    status, out, err = await command(
        "convert", str(good), str(bad), "--definitions", str(known), "--out", "out", cwd=tmp_path
    )
    assert (status, out) == (1, "out/image2image.api.json\n")
    assert str(bad) in err
    assert "Traceback" not in err
    graph = json.loads((tmp_path / "out/image2image.api.json").read_text())
    assert digest(graph, definitions("0.3.64")) == digests("0.3.64")["image2image"]


async def test_convert_asks_a_comfyui_for_its_definitions(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(template("0.3.64", "image2image")))
    async with StandIn(release="0.3.64") as comfy:
        status, out, err = await command("convert", "x.json", "--endpoint", comfy.url, cwd=tmp_path)
    assert (status, out, err) == (0, "x.api.json\n", "")


# --- install, against what no server should have to play ---

OLDER = SOURCE[:1000]  # aioresponses cannot give long answers


@pytest.fixture
def webui() -> Iterator[Callable[..., None]]:
    """Sets the answer of a route: `webui("get", "/tools/", status=401)`."""
    with aioresponses() as routes:

        def answer(method: str, path: str, **answer: Any) -> None:
            getattr(routes, method)(API + path, response_class=Response, **answer)

        answer.routes = routes  # type: ignore[attr-defined]
        yield answer


async def install(*arguments: str) -> int:
    options = tool.command_parser().parse_args(["install", "--url", WEBUI, "--token", "t0ken", *arguments])
    return await tool.command_install(options)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ({"status": 401, "payload": {"detail": "no"}}, tool.AccessRefused, "administrator"),
        ({"status": 403, "payload": {"detail": "no"}}, tool.AccessRefused, "administrator"),
        ({"status": 500, "body": "oops"}, tool.UnexpectedAnswer, "500"),
        ({"status": 200, "body": "<html>a page</html>"}, tool.UnexpectedAnswer, "200"),
        ({"status": 302, "headers": {"Location": "http://login/"}}, tool.UnexpectedAnswer, "302"),
        ({"exception": ConnectionRefusedError()}, tool.ServerUnreachable, "does not answer"),
        ({"exception": TimeoutError()}, tool.ServerUnreachable, "did not answer within"),
    ],
    ids=lambda value: str(value.get("status", value.get("exception"))) if isinstance(value, dict) else None,
)
async def test_install_says_what_open_webui_answered(
    webui: Callable[..., None], answer: dict[str, Any], error: type[tool.ComfyUIError], words: str
) -> None:
    webui("get", "/tools/", **answer)
    with pytest.raises(error) as raised:
        await install()
    assert words in raised.value.message + raised.value.hint
    assert "t0ken" not in str(raised.value.as_result())


async def test_install_reports_the_reason_for_which_open_webui_refuses_the_tool(webui: Callable[..., None]) -> None:
    webui("get", "/tools/", payload=[{"id": "comfyui"}])
    webui("get", "/tools/id/comfyui", payload={"content": OLDER})
    webui("post", "/tools/id/comfyui/update", status=400, payload={"detail": "valves do not fit"})
    with pytest.raises(tool.UnexpectedAnswer, match="valves do not fit"):
        await install()


async def test_install_notices_a_specification_that_is_not_the_tools(webui: Callable[..., None]) -> None:
    webui("get", "/tools/", payload=[])
    webui("post", "/tools/create", payload={})
    webui("get", "/tools/id/comfyui/valves", body="null")
    webui("get", "/tools/id/comfyui", payload={"specs": [{"name": "something_else"}]})
    with pytest.raises(tool.UnexpectedAnswer, match="something_else"):
        await install()


async def test_install_does_not_put_itself_in_the_place_of_another_tool(webui: Any) -> None:
    webui("get", "/tools/", payload=[{"id": "comfyui"}])
    webui("get", "/tools/id/comfyui", payload={"content": '"""\ntitle: Mine\nauthor: Bob\n"""'})
    with pytest.raises(tool.BadArgument, match="another tool"):
        await install()
    assert {method for method, _ in webui.routes.requests} == {"GET"}


@pytest.mark.parametrize("answer", [{"a": 1}, ["text"], [[1]], 5, "text"])
async def test_install_takes_an_answer_of_the_wrong_shape_for_what_it_is(webui: Any, answer: Any) -> None:
    webui("get", "/tools/", payload=answer)
    with pytest.raises(tool.UnexpectedAnswer):
        await install()


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line as `python -m comfyui_chat` runs it, out of the package."""
    monkeypatch.syspath_prepend(ROOT / "src")
    return importlib.import_module("comfyui_chat.command_line")


@pytest.fixture
def installation(package: Any) -> Any:
    """The module of the package that finds the file to install."""
    return importlib.import_module("comfyui_chat.installation")


def test_install_sends_the_built_file_from_wherever_it_runs(installation: Any) -> None:
    assert tool.built_file() == installation.built_file() == ROOT / "comfyui_tool.py"


def test_install_from_the_package_says_that_the_file_has_to_be_built_first(
    package: Any,
    installation: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    webui: Any,
) -> None:
    monkeypatch.setattr(installation, "__file__", str(tmp_path / "src/comfyui_chat/installation.py"))
    assert package.main(["install", "--url", WEBUI, "--token", "t0ken"]) == 2
    assert "python build.py" in capsys.readouterr().err
    assert not webui.routes.requests


def test_an_answer_of_something_else_ends_in_whole_sentences(webui: Any, capsys: pytest.CaptureFixture[str]) -> None:
    webui("get", "/tools/", status=404, payload={"detail": "Not Found"})
    webui("get", "/tools/", status=404, payload=[])
    for reason in ("Not Found", "no reason given"):
        assert tool.main(["install", "--url", WEBUI, "--token", "t0ken"]) == 1
        assert f"404 to GET /tools/: {reason}. Is this the address" in capsys.readouterr().err


def test_install_without_anybody_to_ask_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nobody() -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    assert tool.main(["install", "--url", WEBUI]) == 2
    assert "--token" in capsys.readouterr().err


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Has a person type something seen, and then something unseen."""

    def types(seen: str, unseen: str) -> None:
        monkeypatch.setattr("builtins.input", lambda: seen)
        monkeypatch.setattr(tool.getpass, "getpass", lambda _: unseen)

    return types


def test_install_without_a_token_asks_for_address_and_password(
    webui: Any, typing: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    typing("ann@example.org", "pass-word")
    webui("post", "/auths/signin", payload={"token": "t0ken"})
    webui("get", "/tools/", status=401)
    assert tool.main(["install", "--url", WEBUI]) == 1
    signing_in, listing = (calls[0].kwargs for calls in webui.routes.requests.values())
    assert signing_in["json"] == {"email": "ann@example.org", "password": "pass-word"}
    assert listing["headers"] == {"Authorization": "Bearer t0ken"}
    assert "pass-word" not in capsys.readouterr().err


def test_a_wrong_password_is_told_and_not_repeated(
    webui: Any, typing: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    typing("ann@example.org", "pass-word")
    webui("post", "/auths/signin", status=400, payload={"detail": "The email or password provided is incorrect."})
    assert tool.main(["check", "--url", WEBUI]) == 1
    said = capsys.readouterr().err
    assert "does not let ann@example.org in" in said
    assert "pass-word" not in said


def test_instead_of_an_address_a_token_may_be_typed(
    webui: Any, typing: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    typing("", "typed-token")
    webui("get", "/tools/", status=401)
    assert tool.main(["install", "--url", WEBUI]) == 1
    ((_, calls),) = webui.routes.requests.items()
    assert calls[0].kwargs["headers"] == {"Authorization": "Bearer typed-token"}
    assert "typed-token" not in capsys.readouterr().err


async def test_ctrl_c_ends_the_question(tmp_path: Path) -> None:
    process = await start("install", "--url", WEBUI, cwd=tmp_path, stdin=asyncio.subprocess.PIPE)
    assert process.stderr
    await asyncio.wait_for(process.stderr.readuntil(b": "), 20)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 130
    assert err.endswith(b"Stopped.\n")


# --- export ---


async def test_export_writes_the_same_file_for_import_as_the_build(tmp_path: Path) -> None:
    status, out, err = await command("export", cwd=tmp_path)
    assert (status, out, err) == (0, "comfyui_tool.json\n", "")
    assert (tmp_path / "comfyui_tool.json").read_bytes() == (ROOT / "comfyui_tool.json").read_bytes()


async def test_export_to_a_folder_that_is_not_there_is_exit_status_two(tmp_path: Path) -> None:
    status, out, err = await command("export", "-o", "no/such/folder/x.json", cwd=tmp_path)
    assert (status, out) == (2, "")
    assert "There is no folder" in err


# --- what is shown while it runs ---


def test_the_output_of_a_pipe_is_one_line_a_phase() -> None:
    stream = io.StringIO()
    display = tool.TerminalDisplay(stream)
    for phase, text in [("loading", "Loading"), ("running", "10 %"), ("running", "20 %"), ("saving", "Saving")]:
        display.status(phase, text, 0.1)
    display.end()
    assert stream.getvalue() == "Loading\n10 %\nSaving\n"
