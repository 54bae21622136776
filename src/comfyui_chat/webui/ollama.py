"""Sends Ollama's models off a graphics card that ComfyUI shares with it.

`configured_ollamas` reads the connections out of Open WebUI's settings, and `Ollama.unload` sends
one's models away before a run. It talks to Ollama's own API:

    GET  /api/ps                                                 -> {"models": [{"name": "llama3.2:3b", ...}]}
    POST /api/generate {"model": "llama3.2:3b", "keep_alive": 0} -> answers at once; the memory is free a little later

A run must not fail, or wait long, because of this: failures are logged, and it takes five seconds
at most.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ..logs import log
from .releases import stored_settings

UNLOAD_SECONDS = 5.0  # for all that is done to get Ollama's models off the graphics card
UNLOAD_PAUSE_SECONDS = 0.2  # between two looks whether they are gone
# What `Ollama.all_of` takes, in its order: a key of Open WebUI's settings, and its name before 0.10.
OLLAMA_SETTINGS = {
    "ollama.enable": "ENABLE_OLLAMA_API",
    "ollama.base_urls": "OLLAMA_BASE_URLS",
    "ollama.api_configs": "OLLAMA_API_CONFIGS",
}


@dataclass(frozen=True)
class Ollama:
    """One of Open WebUI's connections to Ollama, and the key that belongs to it."""

    url: str
    api_key: str = field(default="", repr=False)

    @classmethod
    def all_of(cls, enabled: Any, urls: Any, configs: Any) -> "list[Ollama]":
        """The connections that are switched on, as Open WebUI's settings hold them: addresses in
        `urls`, and what belongs to each in `configs`, by its place in `urls` or, in older settings,
        by its address.

            {"0": {"enable": true, "key": "secret"}}  or  {"http://localhost:11434": {"key": "secret"}}

        Whatever has another shape is passed over.
        """
        if not enabled or not isinstance(urls, (list, tuple)):
            return []
        known: Mapping[str, Any] = configs if isinstance(configs, Mapping) else {}
        connections = []
        for index, url in enumerate(urls):
            address = str(url)
            parts = urlsplit(address)
            config: Mapping[str, Any] = {}
            for key in (str(index), url, f"{parts.scheme}://{parts.netloc}"):
                if isinstance(known.get(key), Mapping):
                    config = known[key]
                    break
            if parts.hostname and config.get("enable", True):
                api_key = config.get("key") or ""
                connections.append(cls(address.rstrip("/"), str(api_key)))
        return connections

    async def unload(self) -> None:
        """Have it unload all models, and wait until they are gone, for `UNLOAD_SECONDS` at most.
        Whatever goes wrong is logged and goes no further; only a cancellation is raised.
        """
        headers = {}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        jar = aiohttp.DummyCookieJar()
        try:
            async with (
                asyncio.timeout(UNLOAD_SECONDS),
                aiohttp.ClientSession(
                    headers=headers, cookie_jar=jar, raise_for_status=True
                ) as session,
            ):
                await self._unload_all(session)
        except Exception as error:
            status = getattr(error, "status", "")
            reason = f"{type(error).__name__} {status}".strip()
            _, _, host = urlsplit(self.url).netloc.rpartition("@")
            log.info("Ollama at %s did not unload its models: %s", host, reason)

    async def _unload_all(self, session: aiohttp.ClientSession) -> None:
        """Ask for all loaded models to be unloaded, and wait for those that will be. Raises the
        first failure then.
        """
        names = sorted(await self._loaded(session))
        requests = [self._send_away(session, name) for name in names]
        failures = await asyncio.gather(*requests, return_exceptions=True)
        going = {name for name, failure in zip(names, failures, strict=True) if failure is None}
        while going:  # it answers at once, and the memory is free later
            await asyncio.sleep(UNLOAD_PAUSE_SECONDS)
            going &= await self._loaded(session)
        for failure in failures:
            if failure is not None:
                raise failure

    async def _loaded(self, session: aiohttp.ClientSession) -> set[str]:
        """The names of the models in its memory."""
        async with session.get(f"{self.url}/api/ps", allow_redirects=False) as response:
            answer = await response.json()
        return {str(model.get("model") or model["name"]) for model in answer["models"]}

    async def _send_away(self, session: aiohttp.ClientSession, name: str) -> None:
        """Ask for one model to be unloaded: without a prompt, and to be kept for no time after
        it.
        """
        body = {"model": name, "keep_alive": 0}
        async with session.post(
            f"{self.url}/api/generate", json=body, allow_redirects=False
        ) as response:
            await response.read()


async def configured_ollamas(request: Any) -> list[Ollama]:
    """The Ollamas in Open WebUI's own settings. `request` is the one that a call belongs to."""
    try:
        stored = await stored_settings(request, OLLAMA_SETTINGS)
    except AttributeError:
        return []
    return Ollama.all_of(*(stored[key] for key in OLLAMA_SETTINGS))
