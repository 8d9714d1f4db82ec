"""The service under uvicorn, with the embedded S3 behind it."""

import contextlib
import os
import secrets
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from fastapi import FastAPI

from image_upload.app import create_app
from image_upload.settings import load
from image_upload.web.server import Configuration, Server
from local.ports import claim_port
from local.stores import opened_stores

# Where front ends run in development: Next.js and Create React App, Vite.
DEVELOPMENT_ORIGINS = "http://localhost:3000,http://localhost:5173"


def local_environ(
    environ: Mapping[str, str], stores: Mapping[str, str], jwt_secret: str | None = None
) -> dict[str, str]:
    """Return the environment of a local run: what the developer set, then what must not come from outside.

    A shell on a developer's machine often holds production settings: ENVIRONMENT and the ways to S3 and to the
    database are replaced (`stores` are those of this run; without a database in them there is none). What makes
    a process believe to run on Lambda is taken out. Where no JWT_SECRET is set, tokens and tickets are signed with
    `jwt_secret`, or with a secret that ends with the run: so a user can sign in without any set-up.
    """
    kept = {
        name: value for name, value in environ.items() if not name.startswith(("AWS_LAMBDA_", "DATABASE_", "SECRETS_"))
    }
    made_up = {"CORS_ALLOW_ORIGINS": DEVELOPMENT_ORIGINS, "JWT_SECRET": jwt_secret or secrets.token_hex(32)}
    return {**made_up, **{name: value for name, value in kept.items() if value}, "ENVIRONMENT": "local", **stores}


def server_for(app: FastAPI) -> Server:
    """Return the server of a deployment, but nobody at a keyboard waits longer than this for it to end."""
    return Server(Configuration(app, timeout_graceful_shutdown=5))


@contextlib.contextmanager
def running(app: FastAPI, listening: socket.socket) -> Iterator[str]:
    """The app in a thread on a listening socket; yields its base URL, and has ended when the block is left."""
    server = server_for(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="service", daemon=True)
    thread.start()
    host, port = listening.getsockname()[:2]
    try:
        # No waiting for readiness: the socket listens already, a request is answered once uvicorn accepts.
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@contextlib.contextmanager
def local_service(environ: Mapping[str, str] | None = None) -> Iterator[str]:
    """Service, S3 and database on free ports of loopback that leave nothing behind; yields the base URL."""
    with (
        tempfile.TemporaryDirectory(prefix="image-upload-", ignore_cleanup_errors=True) as folder,
        opened_stores("auto", {}, Path(folder)) as stores,
    ):
        settings = load(local_environ(os.environ if environ is None else environ, stores.environ))
        with running(create_app(settings), claim_port("127.0.0.1", 0, "PORT")) as url:
            yield url
