"""A ComfyUI behind a real nginx, as people put it there: under a path, with a password, over TLS, with `/api` alone."""

import asyncio
import base64
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import comfyui_tool as tool
from tests.support.runs import QUICK, small_wish
from tests.support.stand_in import StandIn
from tests.support.watching import Watcher

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
pytestmark = [
    pytest.mark.real_clock,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
]

PASSWORD = "correct-horse-9"
CONFIGURATION = """
user root; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{}}
http {{
    access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder}; client_max_body_size 64m;
    map $http_upgrade $connection_upgrade {{ default upgrade; "" close; }}
    proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade; proxy_set_header Authorization "";
    server {{
        listen 127.0.0.1:{plain};
        location /comfy/ {{ proxy_pass {comfy}/; auth_basic "x"; auth_basic_user_file {folder}/passwords; }}
        location /only/api/ {{ proxy_pass {comfy}/api/; }}
        location /only/ws {{ proxy_pass {comfy}/ws; }}
    }}
    server {{
        listen 127.0.0.1:{encrypted} ssl; ssl_certificate {certificate}; ssl_certificate_key {certificate};
        location / {{ proxy_pass {comfy}; auth_basic "x"; auth_basic_user_file {folder}/passwords; }}
    }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """The addresses of the two servers that it is."""

    plain: str
    encrypted: str


@pytest.fixture
async def nginx(quick_comfy: StandIn, certificate: Path, tmp_path: Path) -> AsyncIterator[Nginx]:
    """One before a ComfyUI. Its user is ann."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        plain, encrypted = one.getsockname()[1], other.getsockname()[1]
    (tmp_path / "passwords").write_text(f"ann:{{PLAIN}}{PASSWORD}\n")
    file = tmp_path / "nginx.conf"
    file.write_text(
        CONFIGURATION.format(
            folder=tmp_path, comfy=quick_comfy.url, plain=plain, encrypted=encrypted, certificate=certificate
        )
    )
    assert NGINX
    process = await asyncio.create_subprocess_exec(NGINX, "-c", str(file), "-p", str(tmp_path))
    try:
        await _listening(process, encrypted)
        yield Nginx(f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{encrypted}")
    finally:
        await tool.close_servers()
        process.terminate()
        await process.wait()


async def _listening(process: asyncio.subprocess.Process, port: int) -> None:
    """Wait until it takes connections."""
    async with asyncio.timeout(20):
        while True:
            assert process.returncode is None, "nginx ended"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return


async def draw_at(valves: tool.Valves) -> Watcher:
    """A picture with what the administrator typed into the valves; what the user saw of it."""
    settings = tool.resolve(valves, None)
    fleet = tool.Fleet(settings.endpoints, timing=QUICK)
    watcher = Watcher()
    made = await tool.make(small_wish(steps=4), fleet, watcher, tool.RunOptions())
    assert made.products
    return watcher


BASIC = "Basic " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode()


@pytest.mark.parametrize("key", [f"ann:{PASSWORD}", BASIC], ids=["name and password", "header"])
async def test_under_a_path_with_a_password_it_draws_and_shows_previews(nginx: Nginx, key: str) -> None:
    watcher = await draw_at(tool.Valves(endpoint=f"{nginx.plain}/comfy/", api_key=key))
    assert watcher.pictures, "the websocket was let in as well"


async def test_a_wrong_password_is_said_to_be_refused(nginx: Nginx) -> None:
    with pytest.raises(tool.AccessRefused):
        await draw_at(tool.Valves(endpoint=f"{nginx.plain}/comfy/", api_key="ann:another-horse"))


async def test_over_tls_it_draws_once_the_certificate_is_known(nginx: Nginx, certificate: Path) -> None:
    valves = tool.Valves(endpoint=nginx.encrypted, api_key=f"ann:{PASSWORD}")
    with pytest.raises(tool.ServerUnreachable, match="certificate is not trusted"):
        await draw_at(valves)
    await draw_at(valves.model_copy(update={"ca_file": str(certificate)}))


async def test_where_only_api_is_forwarded_it_draws_as_well(nginx: Nginx) -> None:
    await draw_at(tool.Valves(endpoint=f"{nginx.plain}/only/api/"))


async def test_check_says_that_the_password_is_wrong_and_passes_with_the_right_one(nginx: Nginx) -> None:
    for key, levels in ((f"ann:{PASSWORD}", {tool.PASS, tool.WARN}), ("ann:wrong-wrong", {tool.FAIL})):
        endpoint = tool.Endpoint.parse(f"{nginx.plain}/comfy", key)
        findings = [finding async for finding in tool.examine_server(endpoint)]
        assert {finding.level for finding in findings} == levels
        assert key.partition(":")[2] not in str(findings)
