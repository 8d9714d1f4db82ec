"""Getting to the database and in: addresses, TLS, tokens, one connection, and a server that goes away."""

import asyncio
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import text

from image_upload.aws.sigv4 import Credentials
from image_upload.database import iam_auth
from image_upload.database.engine import Target
from image_upload.database.migration import migrate
from image_upload.database.records import Records
from image_upload.errors import DatabaseUnavailable
from image_upload.limits import DATABASE_TIMEOUT_S, DATABASE_TOKEN_EXPIRES_S
from image_upload.settings import SettingsError
from image_upload.settings.database import DatabaseSettings
from tests.database.databases import POSTGRES, Place, settings_with
from tests.database.postgres import Postgres
from tests.database.test_records import expected_object

ROOT = Path(__file__).resolve().parents[2]
KEY = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG")
KEYS = {"AWS_ACCESS_KEY_ID": KEY[0], "AWS_SECRET_ACCESS_KEY": KEY[1]}
PRODUCTION = {"ENVIRONMENT": "production", "JWT_SECRET": "s" * 32}
RDS = "db.abcdefghijkl.ap-northeast-2.rds.amazonaws.com"
DSQL = "foo0bar1baz2quux3quuux4.dsql.eu-west-1.on.aws"


def parameters(url: str, **environ: str) -> dict[str, Any]:
    return asyncio.run(Target(settings_with(url, **environ)).parameters())


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_an_address_is_taken_in_both_of_its_spellings(scheme: str) -> None:
    found = parameters(f"{scheme}://me:p%40ss@db.example.com:6543/records?target_session_attrs=read-write")
    assert (found["host"], found["port"], found["user"], found["password"], found["dbname"]) == (
        "db.example.com", 6543, "me", "p@ss", "records",
    )  # fmt: skip
    assert found["target_session_attrs"] == "read-write"
    assert found["connect_timeout"] == 5
    assert "sslmode" not in found


def test_in_production_nothing_goes_over_the_wire_in_the_clear() -> None:
    url = "postgresql://me:secret@db.example.com/records"
    assert parameters(url, **PRODUCTION)["sslmode"] == "require"
    assert parameters(f"{url}?sslmode=verify-full", **PRODUCTION)["sslmode"] == "verify-full"
    for mode in ("disable", "allow", "prefer"):
        with pytest.raises(SettingsError, match="DATABASE_URL: in production sslmode is one of") as refused:
            settings_with(f"{url}?sslmode={mode}", **PRODUCTION)
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "environ", "wrong"),
    [
        ("sqlite:///records.sqlite3", PRODUCTION, "DATABASE_URL: SQLite is possible only outside production"),
        ("mysql://me:hidden@host/db", {}, "DATABASE_URL: not a URL of PostgreSQL"),
        (f"postgresql://me:hidden@{RDS}/db", {"DATABASE_AUTH": "rds-iam"}, "DATABASE_AUTH: a token needs"),
        ("sqlite:///x", {"DATABASE_AUTH": "rds-iam"}, "DATABASE_AUTH: a token needs"),
        (f"postgresql://{RDS}/db", {"DATABASE_AUTH": "dsql-iam"}, "DATABASE_AUTH: a token needs"),
        (f"postgresql://me@{RDS}/db?sslmode=require", {"DATABASE_AUTH": "rds-iam"}, "DATABASE_AUTH: a token is sent"),
        (f"postgresql://me@{RDS}/db?sslmode=verify-ca", {"DATABASE_AUTH": "rds-iam"}, "DATABASE_AUTH: a token is sent"),
    ],
)
def test_an_address_that_cannot_be_right_stops_the_start(url: str, environ: dict[str, str], wrong: str) -> None:
    with pytest.raises(SettingsError, match=wrong) as refused:
        settings_with(url, **environ)
    assert "hidden" not in str(refused.value)


def test_a_token_takes_the_place_of_the_password_and_goes_to_a_verified_server_only() -> None:
    found = parameters(f"postgresql://me@{RDS}/records", DATABASE_AUTH="rds-iam", **KEYS)
    assert found["password"].startswith(f"{RDS}:5432/?Action=connect&DBUser=me&X-Amz-Algorithm=AWS4-HMAC-SHA256")
    # The region of the database, not of the bucket.
    assert "%2Fap-northeast-2%2Frds-db%2Faws4_request" in found["password"]
    assert found["sslmode"] == "verify-full"
    own = parameters(f"postgresql://me@{RDS}/db?sslrootcert=/rds.pem", DATABASE_AUTH="rds-iam", **KEYS)
    assert (own["sslmode"], own["sslrootcert"]) == ("verify-full", "/rds.pem")


@pytest.mark.parametrize(("user", "action"), [("admin", "DbConnectAdmin"), ("uploads", "DbConnect")])
def test_a_token_for_dsql_names_the_action_of_its_user(user: str, action: str) -> None:
    found = parameters(f"postgresql://{user}@{DSQL}/postgres", DATABASE_AUTH="dsql-iam", **KEYS)
    assert found["password"].startswith(f"{DSQL}/?Action={action}&X-Amz-")
    assert "%2Feu-west-1%2Fdsql%2Faws4_request" in found["password"]


@given(
    user=st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
    port=st.integers(1, 65535),
    session_token=st.none() | st.just("IQoJb3JpZ2luX2VjE+/=" * 40),
)
@example(user="uploads", port=443, session_token=None)
def test_tokens_are_botocores_byte_for_byte(user: str, port: int, session_token: str | None) -> None:
    def theirs(service: str) -> Any:
        return boto3.client(
            service,
            region_name="eu-west-1",
            aws_access_key_id=KEY[0],
            aws_secret_access_key=KEY[1],
            aws_session_token=session_token,
            config=Config(signature_version="v4"),
        )

    signed: dict[str, Any] = {"region": "eu-west-1", "credentials": Credentials(*KEY, session_token)}
    expected = theirs("rds").generate_db_auth_token(DBHostname=RDS, Port=port, DBUsername=user)
    assert iam_auth.rds(RDS, port, user, now=_moment_of(expected), **signed) == expected
    expected = theirs("dsql").generate_db_connect_auth_token(Hostname=DSQL)
    assert iam_auth.dsql(DSQL, "uploads", now=_moment_of(expected), **signed) == expected
    expected = theirs("dsql").generate_db_connect_admin_auth_token(Hostname=DSQL)
    assert iam_auth.dsql(DSQL, "admin", now=_moment_of(expected), **signed) == expected
    assert f"X-Amz-Expires={DATABASE_TOKEN_EXPIRES_S}&" in expected


def _moment_of(token: str) -> datetime:
    """When botocore signed it."""
    stamp = token.partition("X-Amz-Date=")[2].partition("&")[0]
    return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


@pytest.mark.parametrize("unmigrated", [POSTGRES], indirect=True)
class TestPostgres:
    """What only a server can do to us."""

    def test_a_verified_connection_needs_the_right_certificate(self, place: Place, postgres: Postgres) -> None:
        async def work(records: Records) -> str:
            return (await records.insert("post", expected_object())).state

        named = place.url.replace("127.0.0.1", "localhost")
        right = Place(f"{named}?sslmode=verify-full&sslrootcert={postgres.ca}")
        assert right.ask(work) == "pending"
        other_host = Place(f"{place.url}?sslmode=verify-full&sslrootcert={postgres.ca}")
        unknown_ca = Place(f"{named}?sslmode=verify-full&sslrootcert=system")
        for wrong in (other_host, unknown_ca):
            with pytest.raises(DatabaseUnavailable):
                wrong.ask(work)

    def test_on_lambda_one_connection_serves_everything(self, place: Place) -> None:
        async def most() -> int:
            records = Records(settings_with(place.url, AWS_LAMBDA_FUNCTION_NAME="f"))
            try:
                await asyncio.gather(*(records.insert("post", expected_object()) for _ in range(30)))
                ((count,),) = await asyncio.to_thread(
                    place.sql,
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE application_name = 'image-upload' AND datname = current_database()",
                )
                return int(count)
            finally:
                await records.aclose()

        assert asyncio.run(most()) == 1

    def test_the_server_ends_abandoned_statements(self, place: Place) -> None:
        async def work(records: Records) -> list[str]:
            async def show(connection: Any) -> list[str]:
                names = ("statement_timeout", "idle_in_transaction_session_timeout")
                return [(await connection.execute(text(f"SHOW {name}"))).scalar() for name in names]

            return await records.run(show)

        assert place.ask(work) == ["10s", "10s"]

    def test_a_connection_that_was_dropped_between_two_calls_is_replaced(self, place: Place) -> None:
        async def work(records: Records) -> tuple[int, str]:
            row = await records.insert("post", expected_object())
            ended = await asyncio.to_thread(
                place.sql,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'image-upload' AND datname = current_database()",
            )
            return len(ended), (await records.store(row, 5, '"a"')).state

        assert place.ask(work) == (1, "stored")

    def test_a_wrong_password_is_no_secret_told(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        async def work(records: Records) -> None:
            await records.insert("post", expected_object())

        password = place.url.partition("owner:")[2].partition("@")[0]
        with pytest.raises(DatabaseUnavailable) as problem:
            Place(place.url.replace(password, "open-sesame")).ask(work)
        said = f"{problem.value} {problem.value.__cause__} {[vars(line) for line in caplog.records]}"
        assert "password authentication failed" in said
        assert "open-sesame" not in said


@pytest.mark.needs("postgres")
def test_two_that_collide_begin_anew_until_one_is_through(postgres: Postgres) -> None:
    """As Aurora DSQL does it: the second of two that wrote one row learns of it at the end."""
    postgres.run("CREATE DATABASE collide")
    place = Place(postgres.url("collide") + "?options=-c default_transaction_isolation=serializable")
    migrate(settings_with(place.url))

    async def work(records: Records) -> list[str]:
        row = await records.insert("post", expected_object())
        ends = await asyncio.gather(*(records.store(row, number, '"a"') for number in range(1, 4)))
        return [f"{end.state} {end.size_bytes}" for end in ends]

    assert len(set(place.ask(work))) == 1


@pytest.mark.needs("postgres")
def test_a_role_with_a_schema_of_its_own_needs_no_other_right(postgres: Postgres) -> None:
    """As docs/records.md makes it on Aurora DSQL, where `AWS IAM GRANT` stands for the password."""
    page = (ROOT / "docs/records.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```sql\n(CREATE ROLE.*?)```", page, re.DOTALL | re.MULTILINE)
    statements = [each for each in shown.splitlines() if not each.startswith("AWS IAM GRANT uploads TO 'arn:aws:iam::")]
    assert len(statements) == 3
    postgres.run("CREATE DATABASE own_schema")
    admin = Place(postgres.url("own_schema"))
    for statement in (*statements, "ALTER ROLE uploads PASSWORD 'known'", "REVOKE ALL ON SCHEMA public FROM PUBLIC"):
        admin.sql(statement)
    place = Place(admin.url.replace(f"owner:{postgres.password}", "uploads:known"))
    migrate(settings_with(place.url))

    async def work(records: Records) -> str:
        return (await records.insert("post", expected_object())).state

    assert place.ask(work) == "pending"
    assert admin.sql("SELECT DISTINCT schemaname, tableowner FROM pg_tables WHERE tablename = 'uploads'") == [
        ("uploads", "uploads")
    ]


@pytest.mark.needs("postgres")
def test_a_database_that_stops_and_comes_back(own_postgres: Postgres) -> None:
    place = Place(own_postgres.url())
    migrate(settings_with(place.url))

    async def work(records: Records) -> list[str]:
        row = await records.insert("post", expected_object())
        own_postgres.stop()
        with pytest.raises(DatabaseUnavailable):
            await records.again(row)
        own_postgres.start()
        return [(await records.again(row)).state]

    assert place.ask(work) == ["pending"]


# A process that starts, to see what it imports.
@pytest.mark.full
def test_importing_the_service_imports_nothing_of_a_database() -> None:
    program = (
        "import sys, upload; "
        "print([name for name in sys.modules if name.partition('.')[0] in ('sqlalchemy', 'psycopg', 'alembic', "
        "'aiosqlite', 'greenlet')])"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
        "ENVIRONMENT": "test",
        "S3_BUCKET_NAME": "bucket",
        "AWS_REGION": "us-east-1",
        "DATABASE_URL": "postgresql://me:secret@127.0.0.1:9/records",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


@pytest.mark.needs("postgres")
class TestFrozen:
    """PostgreSQL stands still, as a machine that swaps does: it accepts connections and says nothing."""

    def settings(self, own_postgres: Postgres) -> DatabaseSettings:
        settings = settings_with(own_postgres.url())
        migrate(settings)
        return settings

    @pytest.mark.parametrize("warm", [True, False], ids=["connected before", "not yet connected"])
    def test_it_is_a_503_within_the_one_bound(self, own_postgres: Postgres, warm: bool) -> None:
        records = Records(self.settings(own_postgres))

        async def work() -> list[float]:
            took_s = []
            try:
                if warm:
                    await asyncio.gather(*(records.insert("post", expected_object()) for _ in range(5)))
                with own_postgres.frozen():
                    for _ in range(2):
                        began = time.monotonic()
                        with pytest.raises(DatabaseUnavailable):
                            await records.insert("post", expected_object())
                        took_s.append(time.monotonic() - began)
                assert (await records.insert("post", expected_object())).state == "pending"
            finally:
                await records.aclose()
            return took_s

        assert max(asyncio.run(work())) < DATABASE_TIMEOUT_S + 1

    def test_it_freezes_in_the_middle_of_a_transaction(self, own_postgres: Postgres) -> None:
        timeout_s = 2.0
        records = Records(self.settings(own_postgres), timeout_s=timeout_s)

        async def work() -> float:
            async def frozen(connection: Any) -> None:
                await connection.execute(text("SELECT 1"))
                with own_postgres.frozen():
                    await connection.execute(text("SELECT 2"))

            try:
                began = time.monotonic()
                with pytest.raises(DatabaseUnavailable):
                    await records.run(frozen)
                took_s = time.monotonic() - began
                assert (await records.insert("post", expected_object())).state == "pending"
            finally:
                await records.aclose()
            return took_s

        assert asyncio.run(work()) < timeout_s + 1
