"""The one file that ships: what Open WebUI asks of it, and that what is written about it is true."""

import ast
import inspect
import json
import re
import subprocess
import sys
import tomllib
from typing import Literal, get_args, get_origin

import pytest
import yaml
from pydantic.fields import FieldInfo

import comfyui_tool as tool
from tests.support import ROOT, SOURCE
from tests.support.contract import METHODS, all_errors

pytestmark = pytest.mark.usefixtures("no_collection")

PAGES = (
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
)
# What a model is told besides the prompt and the docstring's names are Open WebUI's own, and stay hidden.
RESERVED = {"__user__", "__request__", "__event_emitter__", "__metadata__", "__chat_id__", "__message_id__"}
RESERVED |= {"__messages__", "__event_call__", "__id__"}


def test_the_front_matter_stands_where_open_webui_reads_it() -> None:
    first, *rest = SOURCE.splitlines()
    fields = dict(re.findall(r"^([a-z_]+): (.+)$", "\n".join(rest[: rest.index('"""')]), re.MULTILINE))
    assert first == '"""'
    assert fields["required_open_webui_version"] == "0.9.6"
    assert fields["version"] == tool.VERSION
    assert "requirements" not in fields


def test_the_versions_agree() -> None:
    assert f'version = "{tool.VERSION}"' in (ROOT / "pyproject.toml").read_text()
    assert json.loads((ROOT / "manifest.json").read_text())["id"] == tool.TOOL_ID


@pytest.mark.parametrize("name", ["utils", "apps", "main", "config"])
def test_nothing_stands_in_it_that_open_webui_would_rewrite(name: str) -> None:
    assert f"from {name}" not in SOURCE


def test_it_is_what_the_modules_make() -> None:
    assert subprocess.run([sys.executable, "build.py", "--check"], cwd=ROOT, check=False).returncode == 0


def test_it_needs_only_what_ships_with_open_webui() -> None:
    imported = {
        (node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else alias.name.split(".")[0]
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    allowed = {"aiohttp", "yarl", "PIL", "pydantic", "open_webui", "fastapi", "starlette"}
    allowed.add("opentelemetry")  # where Open WebUI exports by it, and only then
    assert imported - allowed <= set(sys.stdlib_module_names)


def test_what_the_command_needs_stands_where_uv_and_pipx_read_it() -> None:
    (block,) = re.findall(r"^# /// script$\n((?:^#(?:| .*)$\n)+?)^# ///$", SOURCE, re.MULTILINE)
    about = tomllib.loads(re.sub(r"^# ?", "", block, flags=re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pinned = [needed.partition("==")[0] for needed in project["dependencies"]]
    assert sorted(about["dependencies"]) == sorted(pinned)


def test_open_webui_is_imported_on_its_own_floor_only() -> None:
    modules = (ROOT / "src" / "comfyui_chat").rglob("*.py")
    using = {
        module.parent.name for module in modules if re.search(r"(from|import) open_webui", module.read_text("utf-8"))
    }
    assert using == {"webui"}


def test_the_tool_does_not_need_open_webui_to_be_imported() -> None:
    program = "import sys, comfyui_tool; sys.exit('open_webui' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


def test_every_public_function_says_what_it_does() -> None:
    body = ast.parse(SOURCE).body
    methods = [item for node in body if isinstance(node, ast.ClassDef) for item in node.body]
    silent = [
        node.name
        for node in [*body, *methods]
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert silent == []


def test_only_the_methods_are_offered_to_a_model() -> None:
    offered = [name for name in dir(tool.Tools()) if not name.startswith("_") and callable(getattr(tool.Tools(), name))]
    assert [name for name in offered if not isinstance(getattr(tool.Tools, name), type)] == sorted(METHODS)


def test_every_argument_is_described_in_one_line() -> None:
    for name in METHODS:
        method = getattr(tool.Tools, name)
        described = re.findall(r":param (\w+): (.+)$", method.__doc__, re.MULTILINE)
        assert [argument for argument, _ in described] == [
            argument for argument in inspect.signature(method).parameters if argument not in {"self", *RESERVED}
        ]
        assert len(method.__doc__.split(".")[0]) < 100, "a deferred tool shows a hundred characters"


# --- the documentation ---


def table(page: str, heading: str) -> list[list[str]]:
    """The rows of the table under a heading of a page in docs/, without its head."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    section = text.split(f"# {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def valve_row(name: str, field: FieldInfo, administrators: dict[str, FieldInfo]) -> list[str]:
    """A valve's row in docs/valves.md: its title, default and description, with its choices; what a user has just as
    the administrator does is said once."""
    default = field.default
    shown = f"`{default:g}`" if isinstance(default, (int, float)) else f"`{default}`"
    if isinstance(default, bool):
        shown = "on" if default else "off"
    said = str(field.description)
    if get_origin(field.annotation) is Literal:
        said = f"{' · '.join(f'`{choice}`' for choice in get_args(field.annotation))}. {said}"
    if name in administrators and field.description == administrators[name].description:
        said = "The same for yourself."
    return [str(field.title), shown if default != "" else "empty", said]


@pytest.mark.parametrize(
    ("heading", "model", "administrators"),
    [
        ("Valves of the administrator", tool.Valves, {}),
        ("Valves of each user", tool.UserValves, tool.Valves.model_fields),
    ],
)
def test_the_documentation_lists_the_valves(
    heading: str, model: type[tool.Tolerant], administrators: dict[str, FieldInfo]
) -> None:
    assert table("valves.md", heading) == [
        valve_row(name, field, administrators) for name, field in model.model_fields.items()
    ]


def test_a_valve_that_the_documentation_names_is_one() -> None:
    titles = {field.title for kind in (tool.Valves, tool.UserValves) for field in kind.model_fields.values()}
    for page in (ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")):
        words = " ".join(page.read_text("utf-8").split())
        named = re.findall(r'valve "([^"]+)"', words)
        assert [title for title in named if title not in titles] == [], page.name


def test_the_documentation_lists_the_methods() -> None:
    assert [row[0].strip("`") for row in table("methods.md", "Methods")] == METHODS


def test_the_documentation_lists_every_error() -> None:
    listed = {row[0].strip("`"): row[1] for row in table("errors.md", "Errors, and what helps")}
    raised = {error.code: (error.__doc__ or "").split(".\n")[0] for error in all_errors() if not error.__subclasses__()}
    raised |= {error.code: error.__doc__ or "" for error in (tool.WorkflowRefused, tool.RunFailed)}
    assert listed == {code: " ".join(text.split()).removesuffix(".") + "." for code, text in raised.items()}


def test_the_documentation_lists_the_workflows() -> None:
    listed = {row[0].strip("`"): row[1] for row in table("models.md", "Bundled workflows")}
    assert listed == {entry.name: entry.description for entry in tool.bundled_entries()}


def test_the_readme_can_be_read_at_a_sitting() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def test_every_page_of_the_documentation_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"(docs/{page.name})" not in readme] == []


def heading_link(heading: str) -> str:
    """What GitHub calls a heading in a link: "What can be set" is "what-can-be-set"."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


def test_what_the_documentation_links_to_exists() -> None:
    missing = []
    for page in (*PAGES, *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
            path, _, heading = link.partition("#")
            if path.startswith("http"):
                continue
            target = (page.parent / path) if path else page
            headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE) if heading else []
            if not target.exists() or (heading and heading not in map(heading_link, headings)):
                missing.append(f"{page.name}: {link}")
    assert missing == []


def test_the_compose_file_lets_the_tool_find_comfyui() -> None:
    services = yaml.safe_load((ROOT / "docs" / "compose.yaml").read_text("utf-8"))["services"]
    address = services["open-webui"]["environment"]["COMFYUI_BASE_URL"]
    assert address == "http://comfyui:8188"
    assert "comfyui" in services
    assert "ports" not in services["comfyui"], "whoever reaches ComfyUI can run any node"


# --- SECURITY.md ---


def test_what_security_md_links_to_and_names_exists() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    assert all((ROOT / link).exists() for link in links)
    titles = [str(field.title) for field in tool.Valves.model_fields.values()]
    assert {"Require the permission to make images", "Remove metadata"} <= {title for title in titles if title in text}
