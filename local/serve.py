"""`make dev`: run the service and its S3 until Ctrl-C, and print commands to paste."""

import contextlib
import os
from pathlib import Path

from image_upload.app import create_app
from image_upload.settings import load, read_dotenv
from image_upload.telemetry import logs
from local.ports import claim_port
from local.service import WIRED, local_environ, server_for
from local.state import kept_folder, kept_secret
from local.stores import opened_stores, unused_bucket
from local.terminal_logs import write_for_a_person

PICTURE = "examples/photo.jpg"


def curl_lines(url: str) -> list[str]:
    """Return three shell lines that store a picture, one for each way."""
    spec = '{\\"filename\\":\\"photo.jpg\\",\\"contentType\\":\\"image/jpeg\\",\\"size\\":$(wc -c < ' + PICTURE + ")}"
    mint = (
        f"URL=$(curl -sS -X POST {url}/uploads -H 'Content-Type: application/json' -d \"{spec}\" "
        "| python3 -c 'import json,sys; print(json.load(sys.stdin)[\"presignedUrl\"])')"
    )
    stored = "-w 'stored: %{http_code}\\n'"
    put = f"curl -sS -X PUT \"$URL\" -H 'Content-Type: image/jpeg' --data-binary @{PICTURE} {stored}"
    form = f'-F "file=@{PICTURE}" -F "uploadUrl=$URL"'
    return [
        f"{mint} && {put}",
        f"{mint} && curl -sS -X POST {url}/upload-with-presigned {form}",
        f"{mint} && curl -sS -X POST {url}/upload-with-presigned-retry {form} -F max_retries=3",
    ]


def serve(host: str, port: int, s3: str, s3_port: int, folder: Path) -> None:
    """Serve until interrupted, on the S3 that `local.stores` opens.

    Raises `PortUnavailable`, `FolderUnavailable`, `ServerError`, `SettingsError`.
    """
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(claim_port(host, port, "PORT"))
        kept = stack.enter_context(kept_folder(folder))
        environ = read_dotenv(os.environ)
        stores = stack.enter_context(opened_stores(s3, environ, kept, s3_port))
        settings = load(WIRED | local_environ(environ, stores.environ, kept_secret(kept)))
        logs.configure(settings.service)
        write_for_a_person()
        app = create_app(settings)
        shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::") else host  # noqa: S104  only printed
        url = f"http://{shown}:{listening.getsockname()[1]}"
        first, second, third = curl_lines(url)
        print(
            f"""
Service    {url}
API docs   {url}/docs
S3         {stores.s3}
{unused_bucket(os.environ, environ, settings)}Database   {stores.database}

Store a picture, straight to S3 with a presigned URL:

{first}

Through the service, for clients that cannot reach S3:

{second}

The same with retry:

{third}

Ctrl-C stops.
""",
            flush=True,
        )
        with contextlib.suppress(KeyboardInterrupt):
            server_for(app).run(sockets=[listening])
    print("Stopped.", flush=True)
