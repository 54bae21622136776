"""Builds comfyui_tool.py, the one file that people paste into Open WebUI, from the modules in src/comfyui_chat.

    python build.py              write comfyui_tool.py and comfyui_tool.json
    python build.py --check      write nothing; exit with 1 if one of them is not what the modules make
    python build.py --where N    tell which line of which module became line N of comfyui_tool.py, as in a traceback

The modules are put one behind the other in the order below, which is the order to read them in. A module may import
from those above it only: whatever runs while the file is loaded finds what it needs, and the floors stay floors.
What Python understands in a package but not in one flat file, and what Open WebUI would change in it, is refused with
its place.

comfyui_tool.json holds the same file as Workspace -> Tools -> Import of Open WebUI takes it, which formats nothing.

The file begins with the front matter, which is the docstring of the package. The bundled workflows stand at its end as
plain JSON, one line each, so that everything before them can be read without scrolling past them.
"""

import ast
import builtins
import json
import os
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PACKAGE = ROOT / "src" / "comfyui_chat"
BUILT = ROOT / "comfyui_tool.py"
IMPORTABLE = ROOT / "comfyui_tool.json"
TOOL_ID = "comfyui"  # of the tool in Open WebUI
WIDTH = 120

# The floors from the ground up, and the modules of each in reading order; "" is the package's own folder.
FLOORS = (
    (
        "",
        "bounds errors logs tasks extents threads bounded names spelling values sizes counts "
        "lengths prompt_tags json_pieces status_texts phrases",
    ),
    (
        "graph",
        "price_expressions definitions link_types nodes price_rates prices remarks replacements "
        "prompts fitting group_nodes ui_file old_files ui_values ui_links editor reading links "
        "input_names facts roles search following makers tracing discovery workflow paths "
        "own_workflows loras pruning mermaid",
    ),
    (
        "media",
        "file_bytes parts kinds pictures overwriting sound_metadata metadata running_times "
        "delivery",
    ),
    (
        "server",
        "pasted auth transport allowed endpoint protocol refusals posting long_answers stats faults "
        "record incoming background connection login http files templates model_files "
        "replaced_nodes known_definitions client cloud pool",
    ),
    (
        "catalogue",
        "task_words secret_inputs entries missing request small_files naming entry_reading fitted "
        "lora_facts model_list last_seen gallery choosing searching workflow_list listings",
    ),
    (
        "run",
        "owner failures job monitor fleet follow ranges written amount_names amounts limits "
        "sizing used findings duration asked_inputs inputs estimates planning collecting early_files "
        "credits options traces make earlier",
    ),
    (
        "webui",
        "releases message_writes monitoring ollama permission spending_record language telling references "
        "display messages picking stored_files stored_before chat_files buttons chat first_start dialog_texts "
        "user_pages page_dialog picture_choice mask_editor painting tolerant menus valves "
        "arguments given_pictures image_settings rights servers settings asking long_run "
        "model_choice transparency reports jobs tools",
    ),
    ("", "installation checkup command_line __main__"),
)
ORDER = [f"{floor}/{name}".lstrip("/") for floor, names in FLOORS for name in names.split()]
DATA = "bundled"  # read from files in the repository, written into the built file; any module may import it

NOTICE = """\
# Built by build.py from the modules in src/comfyui_chat, and not to be edited: change those, and run `python build.py`.
# `python build.py --where N` tells which line of which module line N of this file is.
#
"""
# As a command the file needs what Open WebUI has. From here `uv run comfyui_tool.py` and `pipx run` know it (PEP 723).
NEEDED = """
# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp", "pillow", "pydantic"]
# ///
"""
# Open WebUI runs black over what is saved in its editor, on the event loop that serves everybody. Switched off, black
# still parses the file, once, and gives it back unchanged: less work, and the line numbers of a traceback stay ours.
FORMATTING_OFF = "\n# fmt: off\n\n"
# Open WebUI replaces these texts wherever they stand, and stores the file so.
REWRITTEN = ("from utils", "from apps", "from main", "from config")


class Refused(Exception):
    """A module cannot become a part of the one file. The text begins with its place."""


@dataclass(frozen=True)
class Module:
    """A module of the package, read: its name as in `ORDER`, its lines, and what they mean."""

    name: str
    path: Path
    lines: list[str]
    tree: ast.Module

    @property
    def shown_path(self) -> str:
        """Its path from the root of the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def docstring(self) -> str:
        """What it says of itself."""
        text = ast.get_docstring(self.tree)
        if not text:
            raise Refused(f"{self.shown_path}:1: a docstring has to say what the module is for")
        return text

    def refuse(self, node: ast.stmt | int, why: str) -> Refused:
        """An error with the place of a statement, or the line, in it."""
        return Refused(f"{self.shown_path}:{node if isinstance(node, int) else node.lineno}: {why}")

    def body(self) -> Iterator[int]:
        """The numbers of the lines that go into the built file: all but the docstring and the imports."""
        left_out = {
            number
            for node in self.tree.body
            if isinstance(node, (ast.Import, ast.ImportFrom)) or node is self.tree.body[0]
            for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        }
        numbers = [number for number in range(1, len(self.lines) + 1) if number not in left_out]
        while numbers and not self.lines[numbers[0] - 1].strip():
            numbers.pop(0)
        while numbers and not self.lines[numbers[-1] - 1].strip():
            numbers.pop()
        yield from numbers


@dataclass(frozen=True)
class Line:
    """A line of the built file, and where it comes from: a module's path and the line there, or nowhere."""

    text: str
    origin: tuple[str, int] | None = None


def read_module(name: str) -> Module:
    """A module by its name in `ORDER`, or the package of a floor by its folder."""
    path = (
        PACKAGE / f"{name}.py" if not (PACKAGE / name).is_dir() else PACKAGE / name / "__init__.py"
    )
    text = path.read_text(encoding="utf-8")
    return Module(name, path, text.splitlines(), ast.parse(text))


def imported_module(module: Module, node: ast.ImportFrom) -> str:
    """The name of the module that a relative import is from: `..names` in graph/editor is `names`."""
    folder = module.name.split("/")[:-1]
    above = folder[: len(folder) - (node.level - 1)]
    return "/".join([*above, *(node.module or "").split(".")])


def defined_names(node: ast.stmt) -> list[str]:
    """The names that a statement at the top of a module defines."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return [
        part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)
    ]


def check_module(module: Module, above: set[str]) -> None:
    """Refuse what would not work, or not mean the same, in one flat file. `above` are the modules before this one."""
    for number, line in enumerate(module.lines, 1):
        if found := [text for text in REWRITTEN if text in line]:
            raise module.refuse(number, f'Open WebUI would rewrite "{found[0]}" here')
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Match):
            raise module.refuse(
                node, "black parses a file with a match statement twice; use if and elif"
            )
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        if any(alias.asname for alias in node.names):
            raise module.refuse(
                node, "a name cannot be imported under another one: in one file there is only one"
            )
        if any(alias.name == "*" for alias in node.names):
            raise module.refuse(node, "import by name, not *")
        if isinstance(node, ast.Import):
            continue
        if node.module == "__future__":
            raise module.refuse(node, "a __future__ import would hold for all modules")
        if node.level:
            home = imported_module(module, node)
            if node not in module.tree.body:
                raise module.refuse(
                    node,
                    f"{home} is imported inside a definition, where the build cannot remove it",
                )
            if home not in above:
                raise module.refuse(
                    node, f"{home} does not stand above {module.name} in the order of build.py"
                )


def check_names(modules: list[Module]) -> None:
    """Refuse a name that two modules define, or one defines and another imports from elsewhere."""
    homes = dict.fromkeys(dir(builtins), "Python itself")
    for module in modules:
        for node in module.tree.body:
            if isinstance(node, ast.Import) or (
                isinstance(node, ast.ImportFrom) and not node.level
            ):
                homes |= {alias.name: "an import" for alias in node.names}
    for module in modules:
        for node in module.tree.body:
            for name in defined_names(node):
                if name in homes:
                    raise module.refuse(
                        node, f"{name} is defined a second time; the first is in {homes[name]}"
                    )
                homes[name] = module.shown_path


def merged_imports(modules: list[Module]) -> str:
    """What all modules import from outside the package, once: the standard library first."""
    plain: set[str] = set()
    named: dict[str, set[str]] = {}
    for node in (node for module in modules for node in module.tree.body):
        if isinstance(node, ast.Import):
            plain |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            named.setdefault(node.module or "", set()).update(alias.name for alias in node.names)
    statements = [(name, f"import {name}") for name in sorted(plain)]
    for origin, names in sorted(named.items()):
        statement = f"from {origin} import {', '.join(sorted(names))}"
        if len(statement) > WIDTH:
            rows = textwrap.wrap(", ".join(sorted(names)) + ",", WIDTH - 4)
            statement = "\n".join([f"from {origin} import (", *(f"    {row}" for row in rows), ")"])
        statements.append((origin, statement))
    groups: list[list[str]] = [[], []]
    for origin, statement in statements:
        groups[origin.split(".")[0] not in sys.stdlib_module_names].append(statement)
    return "\n\n".join("\n".join(group) for group in groups if group)


def banner(module: Module, rule: str) -> str:
    """A module's path and docstring as a comment that stands out."""
    text = [f"# {line}".rstrip() for line in module.docstring.splitlines()]
    return "\n".join(
        ["# " + rule * (WIDTH - 2), f"# {module.shown_path}", "#", *text, "# " + rule * (WIDTH - 2)]
    )


def contents(modules: list[Module]) -> str:
    """The list of the modules, each with the first sentence of its docstring."""
    widest = max(len(module.name) for module in modules)
    rows = [
        (module.name.ljust(widest), module.docstring.split("\n\n")[0].replace("\n", " "))
        for module in modules
    ]
    return "".join(
        f"#   {name}  {textwrap.shorten(text, WIDTH - widest - 6, placeholder=' …')}\n"
        for name, text in rows
    )


def literal(value: object, place: str) -> str:
    """A JSON value as a raw string, so that its line can be read, and copied, as JSON."""
    text = json.dumps(value, ensure_ascii=False)
    if '"""' in text:
        raise Refused(f"{place}: three quotes in a row cannot stand in a raw string")
    return f'r"""{text}"""'


def bundled_workflows() -> str:
    """The manifest and the workflows that it names, one line each."""
    manifest = json.loads((ROOT / "manifest.json").read_text(encoding="utf-8"))
    rows = [f"MANIFEST = {literal(manifest, 'manifest.json')}", "BUNDLED = {"]
    for name in (entry["name"] for entry in manifest["workflows"]):
        graph = json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
        rows.append(f'    "{name}": {literal(graph, f"workflows/{name}.json")},')
    return "\n".join([*rows, "}"])


def built_lines() -> list[Line]:
    """All lines of comfyui_tool.py. Raises `Refused` for a module that cannot stand in it."""
    written = {
        path.relative_to(PACKAGE).with_suffix("").as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    }
    if strangers := written.symmetric_difference([*ORDER, DATA]):
        raise Refused(
            f"build.py:1: the order and the folder do not agree about {', '.join(sorted(strangers))}"
        )
    package, data = read_module(""), read_module(DATA)
    modules = [read_module(name) for name in ORDER]
    for number, module in enumerate(modules):
        check_module(module, {DATA, *ORDER[:number]})
    check_names([*modules, data])

    lines: list[Line] = []

    def add(text: str) -> None:
        lines.extend(Line(line) for line in text.split("\n"))

    def add_module(module: Module, rule: str) -> None:
        add("\n\n" + banner(module, rule) + "\n\n")
        lines.extend(
            Line(module.lines[number - 1], (module.shown_path, number)) for number in module.body()
        )

    lines.extend(
        Line(line, (package.shown_path, number)) for number, line in enumerate(package.lines, 1)
    )
    add(
        "#\n"
        + NOTICE
        + contents([*modules[:-1], data])
        + NEEDED
        + FORMATTING_OFF
        + merged_imports(modules)
    )
    floor = ""
    for module in modules:
        if module.name == "__main__":
            add("\n\n" + banner(data, "=") + "\n\n" + bundled_workflows())
        folder = module.name.rpartition("/")[0]
        if folder and folder != floor:
            add("\n\n" + banner(read_module(folder), "="))
        floor = folder
        add_module(module, "-" if folder else "=")
    return lines


def importable(text: str) -> str:
    """The built file as Open WebUI imports tools, a list of one: [{"id": "comfyui", "name": ..., "content": ...}]."""
    front_matter = text.split('"""')[1]
    about = dict(line.split(": ", 1) for line in front_matter.strip().splitlines())
    meta = {"description": about["description"], "manifest": {}}
    tool = {"id": TOOL_ID, "name": about["title"], "meta": meta, "content": text}
    return json.dumps([tool], ensure_ascii=False, indent=1) + "\n"


def write(path: Path, text: str) -> None:
    """Write a file as a whole, so that nobody reads half of it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def main(arguments: list[str]) -> int:
    """Do what the command line says; returns the exit status."""
    try:
        lines = built_lines()
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    text = "\n".join(line.text for line in lines) + "\n"
    files = {BUILT: text, IMPORTABLE: importable(text)}
    changed = [
        path
        for path, made in files.items()
        if not path.exists() or path.read_text(encoding="utf-8") != made
    ]
    if arguments[:1] == ["--where"] and arguments[1:] and arguments[1].isdecimal():
        number = int(arguments[1])
        origin = lines[number - 1].origin if 0 < number <= len(lines) else None
        print(
            ":".join(map(str, origin))
            if origin
            else f"line {number} comes of no module: build.py writes it, or there is none"
        )
    elif arguments == ["--check"]:
        for path in changed:
            print(
                f"{path.name} is not what the modules in src/ make. Run: python build.py",
                file=sys.stderr,
            )
        return 1 if changed else 0
    elif arguments:
        print(__doc__, file=sys.stderr)
        return 2
    else:
        for path in changed:
            write(path, files[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
