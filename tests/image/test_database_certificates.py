"""Whose certificate the image accepts of a database: handshakes of its own libpq with a real PostgreSQL."""

import json

import pytest

from tests.database.postgres import Postgres
from tests.image import engine
from tests.image.engine import AS_ON_LAMBDA

pytestmark = [pytest.mark.needs("image"), pytest.mark.needs("postgres")]

# One connection, as the service and the command that migrates make it; what came of it.
CONNECT = """
import asyncio, os, psycopg
from image_upload.database.engine import Target
from image_upload.settings import load
parameters = asyncio.run(Target(load(os.environ, serving=False).database).parameters())
try:
    with psycopg.connect(**parameters) as connection:
        print(connection.execute("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()[0])
except psycopg.OperationalError as error:
    print(error)
"""
WHERE_FILES_ARE = """
import certifi, json, ssl
from image_upload.database import authorities
print(json.dumps([str(authorities.RDS), certifi.where(), ssl.get_default_verify_paths().openssl_cafile]))
"""
LIBPQS_OWN = """
import os, psycopg
try:
    psycopg.connect(os.environ["DATABASE_URL"]).close()
except psycopg.OperationalError as error:
    print(error)
"""
# The handshake has passed then: the token was sent, and this server knows no tokens.
SIGN_IN_ASKED = 'password authentication failed for user "iam"'


@pytest.fixture(scope="module")
def files(image: str) -> dict[str, str]:
    """Where the image has which authorities."""
    said = engine.run(image, "--network=none", *AS_ON_LAMBDA, command=["python", "-c", WHERE_FILES_ARE])
    return dict(zip(("rds", "certifi", "system"), json.loads(said), strict=True))


def connect(
    image: str,
    url: str,
    auth: str = "password",
    *,
    script: str = CONNECT,
    ca: str = "",
    path: str = "",
    environ: str = "",
) -> str:
    """What the image says of a connection; `ca` of this machine lies at `path`, which `environ` may name."""
    settings = {
        "ENVIRONMENT": "production",
        "S3_BUCKET_NAME": "bucket",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
        "DATABASE_URL": url,
        "DATABASE_AUTH": auth,
        **({environ: path} if environ else {}),
    }
    mounted = [f"--volume={ca}:{path}:ro"] if path else []
    return engine.run(
        image, "--network=host", *AS_ON_LAMBDA, *mounted, command=["python", "-c", script], environ=settings
    )


@pytest.mark.parametrize(
    ("auth", "query", "place"),
    [("rds-iam", "", "rds"), ("dsql-iam", "", "certifi"), ("rds-iam", "?sslrootcert=/ca.pem", "/ca.pem")],
)
def test_a_token_is_sent_to_a_server_whose_authority_is_in_the_bundle(
    image: str, postgres: Postgres, files: dict[str, str], auth: str, query: str, place: str
) -> None:
    url = f"postgresql://iam@localhost:{postgres.port}/postgres{query}"
    said = connect(image, url, auth, ca=str(postgres.ca), path=files.get(place, place))
    assert SIGN_IN_ASKED in said


@pytest.mark.parametrize("place", ["system", "/ca.pem"])
def test_the_systems_authorities_are_found_and_ssl_cert_file_names_others(
    image: str, postgres: Postgres, files: dict[str, str], place: str
) -> None:
    """The OpenSSL of libpq, in psycopg's wheel, looks for them where this image has nothing."""
    url = f"{postgres.url().replace('127.0.0.1', 'localhost')}?sslrootcert=system"
    environ = "SSL_CERT_FILE" if place == "/ca.pem" else ""
    there = {"ca": str(postgres.ca), "path": files.get(place, place), "environ": environ}
    assert connect(image, url, **there).startswith("TLSv1.")
    if not environ:
        assert "certificate verify failed" in connect(image, url, script=LIBPQS_OWN, **there)


@pytest.mark.parametrize(
    ("auth", "query"),
    [("rds-iam", ""), ("dsql-iam", ""), ("rds-iam", "?sslrootcert=system"), ("password", "?sslrootcert=system")],
)
def test_a_server_of_another_authority_is_sent_nothing(image: str, postgres: Postgres, auth: str, query: str) -> None:
    said = connect(image, f"postgresql://iam@localhost:{postgres.port}/postgres{query}", auth)
    assert "certificate verify failed" in said


@pytest.mark.parametrize("auth", ["rds-iam", "dsql-iam"])
def test_a_server_of_another_name_is_sent_nothing(
    image: str, postgres: Postgres, files: dict[str, str], auth: str
) -> None:
    place = files["rds" if auth == "rds-iam" else "certifi"]
    url = f"postgresql://iam@127.0.0.1:{postgres.port}/postgres"
    said = connect(image, url, auth, ca=str(postgres.ca), path=place)
    assert 'does not match host name "127.0.0.1"' in said
