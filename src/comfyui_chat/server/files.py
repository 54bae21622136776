"""Files on their way to a ComfyUI and from it: `FileServer` is an `HttpServer` with the routes for
them.

`upload` puts a file into the server's input folder, unless it is there already; `view` brings one
that a run made. `cloud` overrides what is different on Comfy Cloud.
"""

import contextlib
from collections.abc import Mapping

import aiohttp

from ..errors import ServerError, UnexpectedAnswer
from ..media.file_bytes import FileBytes, Room
from ..media.kinds import is_another_file
from ..media.pictures import InputFile
from .faults import too_large
from .http import STALL_SECONDS, HttpServer
from .incoming import IncomingFile
from .protocol import Answer, Output

UPLOAD_SECONDS = 300.0  # for a file sent to the server
DOWNLOAD_SECONDS = 600.0  # for a file from it


class FileServer(HttpServer):
    """What answers at an endpoint, with the routes for files."""

    async def upload(self, file: InputFile) -> str:
        """Put a file into the server's input folder, unless it is there already. Returns the name
        that it has there, as a rule its `stored_name`.
        """
        if await self._has(file):
            return file.stored_name
        return await self._send(file, overwrite="true")

    async def _send(self, file: InputFile, **fields: str) -> str:
        path = "/upload/image"

        def form() -> aiohttp.FormData:
            data = aiohttp.FormData(fields)
            data.add_field(
                "image",
                file.data,
                filename=file.stored_name,
                content_type="application/octet-stream",
            )
            return data

        answer = await self.call("POST", path, form=form, seconds=UPLOAD_SECONDS)
        self._check_upload(file, answer)
        taken = await self._json(path, answer)
        with self._reading(path):
            name = str(taken["name"])
            folder = str(taken.get("subfolder") or "")
        if folder:
            return f"{folder}/{name}"
        return name

    def _check_upload(self, file: InputFile, answer: Answer) -> None:
        """Raise when the file is larger than is taken."""
        if answer.status == 413:
            raise too_large(self.endpoint, answer, len(file.data))

    async def _has(self, file: InputFile) -> bool:
        """Whether a file is in the server's input folder, by its name and length; no when that
        cannot be told.
        """
        with contextlib.suppress(ServerError):
            params = {"filename": file.stored_name, "subfolder": "", "type": "input"}
            answer = await self.call("HEAD", "/view", params=params)
            return answer.status == 200 and answer.length == len(file.data)
        return False

    async def view(self, output: Output, room: Room) -> FileBytes:
        """An output's bytes, which `room` has counted. Raises `UnexpectedAnswer` when the server
        does not give it out, or something else in its place, as `IncomingFile.write` does when it
        is too large, and as `call` does.
        """
        params = {"filename": output.filename, "subfolder": output.subfolder, "type": output.type}
        async with IncomingFile(room, self.hide_key) as file:
            answer = await self._download(params, file)
            if answer.status != 200:
                withheld = f'ComfyUI does not give out its file "{output.filename}" (HTTP {answer.status}).'
                raise UnexpectedAnswer(withheld, status=answer.status)
            if is_another_file(output.filename, answer.content_type, file.start):
                raise UnexpectedAnswer(
                    f'In place of ComfyUI\'s file "{output.filename}" something else came.'
                )
            return await file.finish()

    async def _download(self, params: Mapping[str, str], file: IncomingFile) -> Answer:
        """Ask for a file; returns the answer without its body."""
        return await self.call(
            "GET",
            "/view",
            params=params,
            seconds=DOWNLOAD_SECONDS,
            first_byte_seconds=STALL_SECONDS,
            file=file,
        )
