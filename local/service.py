"""The service under uvicorn, with a local S3."""

import contextlib
import os
import secrets
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import FastAPI

from image_upload.app import create_app
from image_upload.settings import load
from image_upload.web.server import Configuration, Server
from local.ports import claim_port
from local.stores import opened_stores

# The origins of development servers: Next.js and Create React App, Vite.
DEVELOPMENT_ORIGINS = "http://localhost:3000,http://localhost:5173"

# What this project wires itself has verification on: docs/verification.md.
WIRED = {"VERIFY": "publish"}


def local_environ(
    environ: Mapping[str, str], stores: Mapping[str, str], jwt_secret: str | None = None
) -> dict[str, str]:
    """Return the environment of a local run: the developer's variables, and those that must be local.

    A developer's shell often has production settings. So ENVIRONMENT and the settings for S3 and the database are
    replaced by `stores` (without a database in them, there is none), and Lambda's variables are removed. If JWT_SECRET
    is not set, tokens and tickets are signed with `jwt_secret`, or with a random secret of this run.
    """
    kept = {
        name: value for name, value in environ.items() if not name.startswith(("AWS_LAMBDA_", "DATABASE_", "SECRETS_"))
    }
    made_up = {
        "CORS_ALLOW_ORIGINS": DEVELOPMENT_ORIGINS,
        "JWT_SECRET": jwt_secret or secrets.token_hex(32),
        # The curl lines of the documents import from there, so that they need no other server.
        "FROM_URL_PRIVATE_HOSTS": urlsplit(stores.get("AWS_S3_ENDPOINT_URL", "")).netloc,
    }
    return {**made_up, **{name: value for name, value in kept.items() if value}, "ENVIRONMENT": "local", **stores}


def server_for(app: FastAPI) -> Server:
    """Return the same server as a deployment, but with a shorter wait at its end, for a developer at the keyboard."""
    return Server(Configuration(app, timeout_graceful_shutdown=5))


@contextlib.contextmanager
def running(app: FastAPI, listening: socket.socket) -> Iterator[str]:
    """Run the app in a thread on a listening socket; yield its base URL. It has ended when the block is left."""
    server = server_for(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="service", daemon=True)
    thread.start()
    host, port = listening.getsockname()[:2]
    try:
        # No readiness check: the socket listens already, and requests wait until uvicorn accepts them.
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@contextlib.contextmanager
def local_service(environ: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run service, S3 and a temporary database on free ports of loopback; yield the base URL."""
    with (
        tempfile.TemporaryDirectory(prefix="image-upload-", ignore_cleanup_errors=True) as folder,
        opened_stores("auto", {}, Path(folder)) as stores,
    ):
        settings = load(WIRED | local_environ(os.environ if environ is None else environ, stores.environ))
        with running(create_app(settings), claim_port("127.0.0.1", 0, "PORT")) as url:
            yield url
