"""The tests that need a real Open WebUI, on every release of it that is in use.

    python -m tests.support.releases                    each release of `RELEASES`, and the newest there is
    python -m tests.support.releases 0.9.6              this one alone
    python -m tests.support.releases --python 3.12      on another Python, which uv fetches
    python -m tests.support.releases 0.11.4 --browser   the tests in the release's own page, in Chromium, instead
    python -m tests.support.releases 0.9.6 -- -k stop   what stands behind the dashes is pytest's

Each release lives in an environment of its own under `.releases/`, made by uv with the overrides of pyproject.toml
on the first run and kept. The tests themselves run here; only Open WebUI is started from there. The table at the end
is the one in docs/versions.md. The exit status is 1 where a test failed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT
from tests.support.open_webui import PYTHON_OF_A_RELEASE

RELEASES = ("0.9.6", "0.10.2", "0.11.4", "0.12.4")
NEWEST = "newest"
FOLDER = ROOT / ".releases"
#: Loaded at the start by releases before 0.12, so that these overrides are not taken over.
LOADED_BY_OLDER = ("azure-", "chromadb", "google-cloud-storage")
#: What starts a server, and what its pages need, though a release does not ask for it, or what asks for it is left out.
ALSO_NEEDED = ("numpy", "python-dateutil", "typer")
MARKS = "open_webui and not browser"
IN_A_BROWSER = "open_webui and browser"
NOT_OF_A_RELEASE = "tests/test_sandbox.py"  # it starts the Open WebUI beside the tests


@dataclass(frozen=True)
class Result:
    """How the tests ended on one release."""

    version: str
    python: str
    passed: int
    skipped: int
    failed: tuple[str, ...]
    seconds: float

    @property
    def row(self) -> str:
        """Its line of the table."""
        counts = f"{self.passed} | {self.skipped} | {len(self.failed)} | {self.seconds:.0f}"
        return f"| {self.version} | {self.python} | {counts} |"


def uv() -> str:
    """The command uv: the one on the path, or the one that `.ci/run` installs."""
    found = shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")
    if not Path(found).exists():
        raise SystemExit("uv is needed: pip install uv")
    return found


def environment(release: str, python: str) -> Path:
    """The Python of the environment that holds a release, made where there is none. The newest is looked for anew."""
    folder = FOLDER / f"{release}-python{python}"
    interpreter = folder / "bin" / "python"
    made = interpreter.exists()
    if made and release != NEWEST:
        return interpreter
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    overrides = FOLDER / "overrides.txt"
    FOLDER.mkdir(exist_ok=True)
    left_out = [line for line in project["tool"]["uv"]["override-dependencies"] if not line.startswith(LOADED_BY_OLDER)]
    overrides.write_text("\n".join(left_out) + "\n", encoding="utf-8")
    package = "open-webui" if release == NEWEST else f"open-webui=={release}"
    if not made:
        run(uv(), "venv", "--quiet", "--python", python, str(folder))
    try:
        run(
            *(uv(), "pip", "install", "--no-config", "--quiet", "--upgrade", "--python", str(interpreter)),
            *("--override", str(overrides), package, *ALSO_NEEDED),
        )
    except subprocess.CalledProcessError:
        shutil.rmtree(folder)
        raise
    return interpreter


def run(*command: str) -> None:
    """Run a command; what it writes is seen."""
    subprocess.run(command, check=True, timeout=1200)


def about(interpreter: Path) -> tuple[str, str]:
    """The versions of Open WebUI and of Python in an environment."""
    program = (
        "import importlib.metadata, json, platform;"
        "print(json.dumps([importlib.metadata.version('open-webui'), platform.python_version()]))"
    )
    done = subprocess.run([interpreter, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    version, python = json.loads(done.stdout)
    return version, python


def tried(interpreter: Path, marks: str, further: list[str]) -> Result:
    """Run the tests with these marks on one release."""
    version, python = about(interpreter)
    report = FOLDER / f"{version}-python{python}.xml"
    report.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n0",
        "-m",
        marks,
        f"--ignore={NOT_OF_A_RELEASE}",
        f"--junit-xml={report}",
        *further,
    ]
    subprocess.run(command, cwd=ROOT, env=os.environ | {PYTHON_OF_A_RELEASE: str(interpreter)}, check=False)
    return read(version, python, report)


def read(version: str, python: str, report: Path) -> Result:
    """What pytest's report says."""
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None, "a report holds one suite"
    cases = suite.findall("testcase")
    failed = [
        f"{case.get('classname')}.{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    passed = len(cases) - len(failed) - skipped
    return Result(version, python, passed, skipped, tuple(failed), float(suite.get("time", "0")))


def main(arguments: list[str]) -> int:
    """Try each release, and write the table; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.releases", description=__doc__.split("\n")[0])
    parser.add_argument("releases", nargs="*", default=[], help="such as 0.9.6, or newest")
    parser.add_argument("--python", default="3.11")
    parser.add_argument("--browser", action="store_true", help="the tests in its page, instead of the others")
    own, _, further = "\0".join(arguments).partition("\0--\0") if "--" in arguments else ("\0".join(arguments), "", "")
    options = parser.parse_args([word for word in own.split("\0") if word])
    words = [word for word in further.split("\0") if word]
    results: list[Result] = []
    for release in options.releases or (*RELEASES, NEWEST):
        interpreter = environment(release, options.python)
        if any(result.version == about(interpreter)[0] for result in results):
            continue  # the newest is one of those that were tried
        results.append(tried(interpreter, IN_A_BROWSER if options.browser else MARKS, words))
    print("\n| Open WebUI | Python | passed | skipped | failed | seconds |\n|---|---|---|---|---|---|")
    for result in results:
        print(result.row)
        for name in result.failed:
            print(f"    {name}")
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
