"""PostgreSQL and Redis of Debian, started for a test on the loopback address and gone after it."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.ports import kept_port

NAME = "openwebui"
#: PostgreSQL refuses to run as root; Debian's package makes this account.
ACCOUNT = "postgres"
START_SECONDS = 60
#: A test's data need not outlive a power cut.
QUICKLY = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"


def postgres_folder() -> Path | None:
    """Where the programs of the newest PostgreSQL are, None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def lacking() -> str:
    """What is not installed of both, for `apt-get install`; "" where nothing is."""
    wanted = {"postgresql": postgres_folder(), "redis-server": shutil.which("redis-server")}
    return " ".join(package for package, found in wanted.items() if not found)


@contextlib.contextmanager
def running_postgres() -> Iterator[str]:
    """A server with one empty database; its address, for the driver that Open WebUI brings along."""
    programs = postgres_folder()
    assert programs, "postgresql is not installed"
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    before: list[str] = []
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam(ACCOUNT).pw_uid, pwd.getpwnam(ACCOUNT).pw_gid)
        before = ["runuser", "-u", ACCOUNT, "--"]

    def run(program: str, *arguments: str) -> None:
        command = [*before, str(programs / program), *arguments]
        subprocess.run(command, cwd=folder, check=True, timeout=START_SECONDS, stdout=subprocess.DEVNULL)

    data = str(folder / "data")
    with kept_port() as kept:
        port = kept.getsockname()[1]
    try:
        run("initdb", "-D", data, "-U", ACCOUNT, "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 {QUICKLY}"
        run("pg_ctl", "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "start")
        try:
            run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", ACCOUNT, NAME)
            yield f"postgresql+psycopg://{ACCOUNT}@127.0.0.1:{port}/{NAME}"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running_redis() -> Iterator[str]:
    """A server that keeps nothing; its address."""
    with kept_port() as kept:
        port = kept.getsockname()[1]
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
