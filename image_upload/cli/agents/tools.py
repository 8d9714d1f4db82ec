"""The tools that an agent calls. Each returns a curl line or facts about files, never the bytes of one.

https://modelcontextprotocol.io/specification/2025-11-25/server/tools
"""

import os
import stat
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from image_upload import __version__
from image_upload.cli.agents.curl import download_line, upload_line
from image_upload.cli.agents.service import Refused, Service
from image_upload.domain.checks import usual_type
from image_upload.domain.keys import NOT_TEXT

READ_EXPIRES_S: Final = 900
_FILES: Final = "/api/v1/s3/file"

_INSTRUCTIONS: Final = """Store files in S3 and read them again. `upload` and `read_url` return one curl line: run it
unchanged in a POSIX shell on the machine of this server. Never print a file to send it. The line holds a presigned URL,
which is a secret until it expires: do not show it to others."""

Key = Annotated[str, Field(description="the object key, as `upload` or `list_files` returned it")]


def server(service: Service, *, may_delete: bool) -> MCPServer:
    """Return the MCP server of these tools; with `delete_file` only where that is allowed."""
    made = MCPServer("image-upload", version=__version__, instructions=_INSTRUCTIONS, log_level="WARNING")
    tools = _Tools(service)
    reads = ToolAnnotations(read_only_hint=True)
    made.add_tool(tools.upload, annotations=ToolAnnotations(destructive_hint=False), structured_output=False)
    made.add_tool(tools.read_url, annotations=reads, structured_output=False)
    made.add_tool(tools.list_files, annotations=reads)
    made.add_tool(tools.describe_file, annotations=reads)
    if may_delete:
        deletes = ToolAnnotations(destructive_hint=True, idempotent_hint=True)
        made.add_tool(tools.delete_file, annotations=deletes, structured_output=False)
    return made


class _Tools:
    """The tools, on one service. The docstrings are for the model."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def upload(
        self,
        path: Annotated[str, Field(description="absolute path of the file on this machine")],
        purpose: Annotated[
            str, Field(description="what the file is for; `upload` takes pictures, `file` any type of file")
        ] = "upload",
        content_type: Annotated[
            str | None, Field(description="media type of the file; without it, the usual one of the name's extension")
        ] = None,
        metadata: Annotated[dict[str, str] | None, Field(description="text to store with the file")] = None,
    ) -> str:
        """Return a curl line that stores a file of this machine in S3, its object key, and when the line expires.

        Run the line in a POSIX shell on this machine. The file is stored if its exit code is 0.
        """
        file = _local(path)
        plan = self._ask(
            "POST",
            "/uploads",
            {
                "filename": file.name,
                "contentType": content_type or usual_type(file.name) or "application/octet-stream",
                "size": _size_bytes(file),
                "purpose": purpose,
                "metadata": metadata,
                "accepts": ["put"],
            },
        )
        line = upload_line(str(file), plan["presignedUrl"], plan["headers"])
        return f"{line}\nObject key: {plan['objectKey']}\nThe line works until {plan['expiresAt']}."

    def read_url(
        self, key: Key, save_as: Annotated[str, Field(description="absolute path of the file to write; a new one")]
    ) -> str:
        """Return a curl line that downloads a stored file to this machine, and when the line expires.

        Run the line in a POSIX shell on this machine. The file is there if its exit code is 0.
        """
        file = _local(save_as)
        if os.path.lexists(file):
            raise ToolError(f"{save_as!r} exists. Choose another path for save_as.")
        made = self._ask("GET", f"{_FILES}/{quote(key)}/url?expires_in={READ_EXPIRES_S}")
        return f"{download_line(made['url'], str(file))}\nThe line works for {made['expires_in']} seconds."

    def list_files(
        self,
        prefix: Annotated[str, Field(description="what the keys begin with")] = "",
        limit: Annotated[int, Field(ge=1, le=1000, description="the most files to return")] = 100,
        continuation_token: Annotated[str, Field(description="`next_token` of the page before")] = "",
    ) -> dict[str, Any]:
        """Return a page of stored files: key, size in bytes, ETag and time of each; `next_token` leads to the next."""
        given = {"prefix": prefix, "max_keys": limit, "continuation_token": continuation_token}
        query = urlencode({name: value for name, value in given.items() if value})
        page: dict[str, Any] = self._ask("GET", f"/api/v1/s3/files?{query}")
        return page

    def describe_file(self, key: Key) -> dict[str, Any]:
        """Return what is known of a stored file: size in bytes, media type, time and metadata."""
        facts: dict[str, Any] = self._ask("GET", f"{_FILES}/{quote(key)}/metadata")
        return facts

    def delete_file(self, key: Key) -> str:
        """Delete a stored file. It is no error if there is none."""
        self._ask("DELETE", f"{_FILES}/{quote(key)}")
        return f"Deleted: {key}"

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        try:
            return self._service.ask(method, path, body)
        except Refused as refused:
            raise ToolError(str(refused)) from None


def _local(path: str) -> Path:
    """Return a path of this machine that means the same in the agent's shell and fits one line. Raises `ToolError`."""
    if NOT_TEXT.search(path):
        raise ToolError(f"{path!r} holds control characters, which do not fit one line. Rename the file or its folder.")
    file = Path(path)
    if not file.is_absolute():
        raise ToolError(f"{path!r} is not an absolute path. The shell's folder may be another one than this server's.")
    return file


def _size_bytes(file: Path) -> int:
    """Return the length of a regular file. Raises `ToolError` for anything else."""
    try:
        found = file.stat()
    except OSError as error:
        raise ToolError(f"{str(file)!r} cannot be read: {error.strerror}.") from None
    if not stat.S_ISREG(found.st_mode):
        raise ToolError(f"{str(file)!r} is not a regular file.")
    return found.st_size
