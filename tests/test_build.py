"""How the one file is built: in which order, what is refused and where, and where a line of it comes from."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import build
import comfyui_tool as tool
from tests.support import ROOT, SOURCE

pytestmark = pytest.mark.usefixtures("no_collection")

PACKAGE = ROOT / "src" / "comfyui_chat"
IMPORTS = re.compile(r"^ *(?:from|import) ([a-zA-Z_]\w*)", re.MULTILINE)

# What one flat file cannot hold, and what Open WebUI would change: the module that gets it, its text, and what the
# refusal says of it.
REFUSED = [
    ("names", "from .values import Size", "values does not stand above names in the order"),
    ("graph/nodes", "from ..server.client import ComfyUIServer", "server/client does not stand above graph/nodes"),
    ("run/job", "from .job import Job", "run/job does not stand above run/job"),
    ("run/job", "def late():\n    from .owner import Owner", "run/owner is imported inside a definition"),
    ("run/job", "import asyncio as loop", "cannot be imported under another"),
    ("run/job", "from ..names import quoted as said", "cannot be imported under another"),
    ("run/job", "from math import *", "import by name"),
    ("run/job", "from __future__ import annotations", "__future__"),
    ("run/job", "def late():\n    match 1:\n        case _:\n            pass", "match"),
    ("run/job", "PLAIN = 'it came from main'", 'would rewrite "from main"'),
    ("run/job", "# read from config", 'would rewrite "from config"'),
    (
        "run/job",
        "def quoted():\n    pass",
        "quoted is defined a second time; the first is in src/comfyui_chat/names.py",
    ),
    ("run/job", "asyncio = None", "asyncio is defined a second time; the first is in an import"),
    ("run/job", "Job = None", "Job is defined a second time; the first is in src/comfyui_chat/run/job.py"),
    ("run/job", "def list():\n    pass", "list is defined a second time; the first is in Python itself"),
]

# What the modules of a floor must not import, for it would tie them to what they know nothing of.
FORBIDDEN = {
    "": {"aiohttp", "yarl", "PIL", "pydantic", "open_webui", "time"},
    "graph": {"aiohttp", "yarl", "PIL", "pydantic", "open_webui", "asyncio", "time", "secrets", "os"},
    "media": {"aiohttp", "yarl", "pydantic", "open_webui", "asyncio", "time", "os"},
    "server": {"pydantic", "open_webui"},
    "catalogue": {"pydantic", "open_webui"},
    "run": {"pydantic", "open_webui"},
    "webui": set[str](),
}


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of everything that is built from, to be spoiled."""
    for name in ("src", "workflows"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manifest.json", tmp_path)
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "PACKAGE", tmp_path / "src" / "comfyui_chat")
    monkeypatch.setattr(build, "BUILT", tmp_path / "comfyui_tool.py")
    monkeypatch.setattr(build, "IMPORTABLE", tmp_path / "comfyui_tool.json")
    return tmp_path


def add(house: Path, module: str, text: str) -> int:
    """Put lines at the end of a module; the number of the first one."""
    path = house / "src" / "comfyui_chat" / f"{module}.py"
    before = path.read_text(encoding="utf-8")
    path.write_text(f"{before}{text}\n", encoding="utf-8")
    return before.count("\n") + 1


def test_a_copy_of_the_modules_makes_the_same_bytes(house: Path) -> None:
    assert build.main([]) == 0
    assert (house / "comfyui_tool.py").read_text(encoding="utf-8") == SOURCE


@pytest.mark.parametrize(("module", "text", "message"), REFUSED)
def test_what_one_file_cannot_hold_is_refused_with_its_place(
    house: Path, capsys: pytest.CaptureFixture[str], module: str, text: str, message: str
) -> None:
    (house / "comfyui_tool.py").write_text("as it was")
    line = add(house, module, text)
    assert build.main([]) == 1
    (refusal,) = capsys.readouterr().err.splitlines()
    place, _, reason = refusal.partition(": ")
    assert re.fullmatch(rf"src/comfyui_chat/{module}\.py:(\d+)", place)
    assert line <= int(place.rpartition(":")[2]) <= line + text.count("\n")
    assert message in reason
    assert (house / "comfyui_tool.py").read_text() == "as it was"


def test_a_module_that_the_order_does_not_know_is_refused(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (house / "src" / "comfyui_chat" / "graph" / "attic.py").write_text('"""Things."""\n')
    assert build.main([]) == 1
    assert "graph/attic" in capsys.readouterr().err


def test_a_module_that_does_not_say_what_it_is_for_is_refused(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (house / "src" / "comfyui_chat" / "logs.py").write_text("import logging\n\nlog = logging.getLogger('x')\n")
    assert build.main([]) == 1
    assert "src/comfyui_chat/logs.py:1: a docstring" in capsys.readouterr().err


def test_a_stale_file_is_told_and_left(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main([]) == 0
    add(house, "run/job", "# one thought more")
    before = (house / "comfyui_tool.py").read_text(encoding="utf-8")
    assert build.main(["--check"]) == 1
    assert "python build.py" in capsys.readouterr().err
    assert (house / "comfyui_tool.py").read_text(encoding="utf-8") == before
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0


def test_the_file_to_import_holds_the_built_file_and_what_its_front_matter_says(house: Path) -> None:
    assert build.main([]) == 0
    (imported,) = json.loads((house / "comfyui_tool.json").read_text(encoding="utf-8"))
    source = (house / "comfyui_tool.py").read_text(encoding="utf-8")
    about = tool.front_matter(source)
    meta = {"description": about["description"], "manifest": {}}
    assert imported == {"id": tool.TOOL_ID, "name": about["title"], "meta": meta, "content": source}


def test_a_stale_file_to_import_is_told(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main([]) == 0
    (house / "comfyui_tool.json").write_text("[]")
    assert build.main(["--check"]) == 1
    assert capsys.readouterr().err.startswith("comfyui_tool.json ")


def test_a_workflow_is_a_line_of_plain_json_at_the_end(house: Path) -> None:
    (house / "workflows" / "checkpoint.json").write_text(
        '{"1": {"class_type": "Odd", "inputs": {"text": "a \\"b\\""}}}'
    )
    assert build.main([]) == 0
    lines = (house / "comfyui_tool.py").read_text(encoding="utf-8").splitlines()
    where = lines.index('    "checkpoint": r"""{"1": {"class_type": "Odd", "inputs": {"text": "a \\"b\\""}}}""",')
    assert where > len(lines) - 60


def test_every_line_is_the_line_that_it_is_said_to_come_from() -> None:
    texts = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8").splitlines() for path in PACKAGE.rglob("*.py")}
    lines = build.built_lines()
    assert [line.text for line in lines] == SOURCE.splitlines()
    for line in lines:
        if line.origin:
            path, number = line.origin
            assert texts[path][number - 1] == line.text


def test_a_line_of_a_traceback_is_told_by_its_module_and_line() -> None:
    number = SOURCE.splitlines().index("class Job:") + 1
    answer = subprocess.run(
        [sys.executable, "build.py", "--where", str(number)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    path, line = answer.stdout.strip().split(":")
    assert path == "src/comfyui_chat/run/job.py"
    assert (ROOT / path).read_text(encoding="utf-8").splitlines()[int(line) - 1] == "class Job:"


@pytest.mark.parametrize("number", ["0", str(SOURCE.count("\n") + 1)])
def test_a_line_that_no_module_has_is_told_so(capsys: pytest.CaptureFixture[str], number: str) -> None:
    assert build.main(["--where", number]) == 0
    assert "no module" in capsys.readouterr().out


def test_the_modules_run_as_a_package_too() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "comfyui_chat", "--help"],
        cwd=ROOT / "src",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "generate" in answer.stdout


@pytest.mark.parametrize("floor", FORBIDDEN)
def test_a_floor_knows_nothing_of_what_is_above_it(floor: str) -> None:
    on_top = ("installation", "checkup", "command_line", "__main__")
    modules = [path for path in (PACKAGE / floor).glob("*.py") if path.stem not in on_top]
    assert modules
    for module in modules:
        used = set(IMPORTS.findall(module.read_text(encoding="utf-8")))
        assert not used & FORBIDDEN[floor], module.name


def test_the_order_is_that_of_the_floors() -> None:
    floors = [name.rpartition("/")[0] for name in build.ORDER]
    assert [floor for floor, before in zip(floors, ["none", *floors], strict=False) if floor != before] == [
        *("", "graph", "media", "server", "catalogue", "run", "webui"),
        "",
    ]


def test_definitions_alone_run_when_it_is_loaded() -> None:
    body = ast.parse(SOURCE).body
    allowed = (
        ast.Import,
        ast.ImportFrom,
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
        ast.Assign,
        ast.AnnAssign,
        ast.AugAssign,
    )
    docstring, *rest, last = body
    assert isinstance(docstring, ast.Expr)
    assert [type(node).__name__ for node in rest if not isinstance(node, allowed)] == []
    assert ast.unparse(last).startswith("if __name__ == '__main__':")
