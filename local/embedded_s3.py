"""An S3 server in this process: moto's, with its objects in memory, gone at exit.

moto stores and returns what it is given, but it does not check a presigned URL's signature, length or type.
Tests of what S3 refuses run on strict servers, never on this one.
"""

import contextlib
import functools
import hashlib
import io
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from local.ports import claim_port

BUCKET = "local-uploads"
REGION = "us-east-1"
ACCESS_KEY = "local"
SECRET_KEY = "local-secret"

# What a browser needs to PUT to a presigned URL and to read the ETag of the answer.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManageCorsUsing.html
CORS_RULE: dict[str, Any] = {
    "AllowedOrigins": ["*"],
    "AllowedMethods": ["GET", "HEAD", "PUT", "POST", "DELETE"],
    "AllowedHeaders": ["*"],
    "ExposeHeaders": ["ETag", "Location", "x-amz-checksum-sha256", "x-amz-request-id"],
    "MaxAgeSeconds": 3000,
}


@dataclass(frozen=True, slots=True)
class EmbeddedS3:
    """A running server, and the service's settings for it."""

    endpoint_url: str

    @property
    def environ(self) -> dict[str, str]:
        """The service's settings. They replace AWS credentials of the shell."""
        return {
            "S3_BUCKET_NAME": BUCKET,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_SESSION_TOKEN": "",
            "AWS_S3_ENDPOINT_URL": self.endpoint_url,
            "S3_PUBLIC_ENDPOINT_URL": "",
        }


@contextlib.contextmanager
def embedded_s3(port: int = 0) -> Iterator[EmbeddedS3]:
    """Run moto's server on loopback (a free port for 0), with the bucket and its CORS rules in place."""
    # A second of imports that `event` and `test --url` do not need.
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    dispatcher = DomainDispatcherApplication(create_backend_app)
    # It lists the folder of moto's services for each request, which takes a third of a small one's CPU.
    dispatcher.get_backend_for_host = functools.lru_cache(maxsize=100)(dispatcher.get_backend_for_host)
    # Not moto's ThreadedMotoServer, which waits for ever if its port is in use.
    with claim_port("127.0.0.1", port, "S3_PORT") as listening:
        server = make_server(
            "127.0.0.1",
            listening.getsockname()[1],
            _mended(dispatcher),
            threaded=True,
            request_handler=MotoRequestHandler,
            fd=listening.fileno(),
        )
    thread = threading.Thread(target=server.serve_forever, name="embedded-s3", daemon=True)
    thread.start()
    try:
        running = EmbeddedS3(f"http://127.0.0.1:{server.port}")
        make_bucket(running.endpoint_url)
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _mended(app: Any) -> Any:
    """Wrap moto's application and correct two answers that clients cannot handle.

    A PUT that is typed as a form (what curl sends without -H) is read as one. A form's answer lacks ETag and
    Location, without which Uppy 4 and 5 never end.
    https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
    """

    def mended(environ: dict[str, Any], start_response: Any) -> Any:
        form = "form" in environ.get("CONTENT_TYPE", "")
        if environ["REQUEST_METHOD"] == "PUT" and form:
            environ["CONTENT_TYPE"] = "binary/octet-stream"  # S3's own default
        if environ["REQUEST_METHOD"] == "POST" and form:
            return _form_answer(app, environ, start_response)
        return app(environ, start_response)

    return mended


def _form_answer(app: Any, environ: dict[str, Any], start_response: Any) -> Any:
    """Return moto's answer to a form, with the headers of S3's answer, readable for pages of other origins."""
    from werkzeug.formparser import parse_form_data

    sent = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    _, fields, files = parse_form_data(environ | {"wsgi.input": io.BytesIO(sent)})
    etag = hashlib.md5(files["file"].read() if "file" in files else b"", usedforsecurity=False).hexdigest()
    for file in files.values():
        file.close()

    def with_headers(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        if status.startswith("2"):
            path = quote(f"{environ['PATH_INFO'].encode('latin-1').decode().rstrip('/')}/{fields.get('key', '')}")
            headers = [
                *headers,
                ("ETag", f'"{etag}"'),
                ("Location", f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}{path}"),
                ("Access-Control-Expose-Headers", ", ".join(CORS_RULE["ExposeHeaders"])),
            ]
        return start_response(status, headers, *rest)

    return app(environ | {"wsgi.input": io.BytesIO(sent)}, with_headers)


def make_bucket(endpoint_url: str, name: str = BUCKET) -> None:
    """Create a bucket if it does not exist, and set its CORS rules. Raises boto3's errors."""
    import boto3  # a second of imports that `event` and `test --url` do not need
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, proxies={"http": ""}),
    )
    with contextlib.closing(client):
        if name not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=name)
        client.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": [CORS_RULE]})
