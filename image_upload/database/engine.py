"""Connect to the database: addresses, passwords or tokens, TLS, timeouts, the connection pool.

https://docs.sqlalchemy.org/en/21/core/pooling.html
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from image_upload.aws.credentials import CredentialSource
from image_upload.database import authorities, iam_auth
from image_upload.limits import (
    DATABASE_CONNECT_TIMEOUT_S,
    DATABASE_CONNECTIONS,
    DATABASE_KEEPALIVE_S,
    DATABASE_TIMEOUT_S,
)
from image_upload.settings.database import DatabaseSettings

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import AdaptedConnection
    from sqlalchemy.pool import ConnectionPoolEntry

_PORT = 5432


class Target:
    """The database of DATABASE_URL, and the parameters to connect to it."""

    def __init__(self, settings: DatabaseSettings) -> None:
        if settings.database_url is None:
            raise ValueError("there is no DATABASE_URL")
        text = settings.database_url.get_secret_value()
        self.url: URL = make_url("postgresql" + text[len("postgres") :] if text.startswith("postgres:") else text)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.is_dsql = settings.database_auth == "dsql-iam"
        self._settings = settings
        self._credentials = CredentialSource(settings)

    async def parameters(self) -> dict[str, Any]:
        """Return psycopg's parameters, with the password or a fresh token. Raises `CredentialsUnavailable`."""
        url, auth = self.url, self._settings.database_auth
        parameters: dict[str, Any] = {
            "connect_timeout": DATABASE_CONNECT_TIMEOUT_S,
            # The kernel detects dead connections: idle ones, and those whose data is not acknowledged.
            "keepalives_idle": DATABASE_KEEPALIVE_S,
            "keepalives_interval": DATABASE_CONNECT_TIMEOUT_S,
            "tcp_user_timeout": DATABASE_CONNECT_TIMEOUT_S * 1000,
            "application_name": "image-upload",
            # A prepared statement pins a session of RDS Proxy or PgBouncer to one database connection.
            "prepare_threshold": None,
            **url.translate_connect_args(username="user", database="dbname"),
            **url.query,
            **self._tls(),
        }
        if auth != "password":
            host, user, now = url.host or "", url.username or "", datetime.now(UTC).replace(microsecond=0)
            signed: dict[str, Any] = {
                "region": iam_auth.region_of(host, self._settings.aws_region),
                "credentials": await self._credentials.current(),
                "now": now,
            }
            parameters["password"] = (
                iam_auth.dsql(host, user, **signed)
                if auth == "dsql-iam"
                else iam_auth.rds(host, url.port or _PORT, user, **signed)
            )
        return parameters

    def _tls(self) -> dict[str, Any]:
        """Return libpq's TLS parameters: verified for tokens, at least encrypted for passwords, or those of the URL."""
        query, auth = self.url.query, self._settings.database_auth
        roots = query.get("sslrootcert")
        if roots == authorities.SYSTEM:
            # libpq refuses a weaker sslmode with this one, and so do the settings.
            return {"sslmode": "verify-full", "sslrootcert": authorities.of_system()}
        if auth != "password":
            return {"sslmode": "verify-full", "sslrootcert": roots or authorities.of_aws(self.url.host or "", auth)}
        return {"sslmode": "require"} if self._settings.production and "sslmode" not in query else {}

    def session_set_up(self, timeout_s: float) -> str:
        """Return the SET statements for the server's timeouts: Lambda may freeze this process inside a transaction.

        SET, because RDS Proxy takes no such startup options. Aurora DSQL ends transactions itself.
        """
        names = () if self.is_dsql else ("statement_timeout", "idle_in_transaction_session_timeout")
        return "; ".join(f"SET {name} = {timeout_s * 1000:.0f}" for name in names)


def open_engine(target: Target, *, on_lambda: bool, timeout_s: float) -> AsyncEngine:
    """Return the engine for the routes. On Lambda it holds one connection: an environment serves one request at a time.

    Waiting for a free connection, a lock or a statement takes at most `timeout_s`.
    """
    pool: dict[str, Any] = {
        "pool_size": 1 if on_lambda else DATABASE_CONNECTIONS,
        "max_overflow": 0,
        "pool_timeout": timeout_s,
        # Errors are logged, but not the values that users sent.
        "hide_parameters": True,
    }
    if target.is_sqlite:
        url = target.url.set(drivername="sqlite+aiosqlite")
        return create_async_engine(url, connect_args={"timeout": timeout_s}, **pool)

    from image_upload.database.connection import BoundedConnection  # SQLite needs no psycopg

    set_up = target.session_set_up(timeout_s).encode()

    async def connect() -> "psycopg.AsyncConnection[Any]":
        connection = await BoundedConnection.connect(**await target.parameters())
        if set_up:
            await connection.set_autocommit(True)
            await connection.execute(set_up)
            await connection.set_autocommit(False)
        return connection

    # hstore is not used. Without it SQLAlchemy does not query its types, which needs a savepoint that DSQL lacks.
    engine = create_async_engine("postgresql+psycopg://", async_creator=connect, use_native_hstore=False, **pool)
    _ping_before_use(engine)
    return engine


def _ping_before_use(engine: AsyncEngine) -> None:
    """Replace all connections of the pool if the one that is checked out does not answer a ping.

    After Lambda has thawed an environment, its connections may be closed or dead. SQLAlchemy's own ping
    (`pool_pre_ping`) would wait for these as long as for any statement.
    """
    from psycopg import Error  # SQLite needs no psycopg

    from image_upload.database.connection import ping  # the same

    @event.listens_for(engine.sync_engine, "checkin")
    def note(_: Any, record: "ConnectionPoolEntry") -> None:
        record.info["used"] = True

    @event.listens_for(engine.sync_engine, "checkout")
    def ask(connection: "AdaptedConnection", record: "ConnectionPoolEntry", _: Any) -> None:
        if record.info.pop("used", False):
            try:
                connection.run_async(ping)
            except (Error, OSError, TimeoutError) as error:
                raise InvalidatePoolError from error


def open_for_migrations(target: Target, parameters: dict[str, Any], within_s: float | None = None) -> Engine:
    """Return a synchronous engine for migrations. On SQLite every transaction begins with an exclusive lock.

    Waiting for a lock, and a statement, take at most `within_s` seconds; with None there is no limit.
    """
    if not target.is_sqlite:
        import psycopg  # see `open_engine`

        # Aurora DSQL allows one DDL statement in a transaction.
        isolation = {"isolation_level": "AUTOCOMMIT"} if target.is_dsql else {}
        set_up = b"" if within_s is None else target.session_set_up(within_s).encode()

        def connect() -> "psycopg.Connection[Any]":
            connection = psycopg.connect(**parameters, autocommit=True)
            if set_up:
                connection.execute(set_up)
            connection.autocommit = False
            return connection

        return create_engine(
            "postgresql+psycopg://",
            creator=connect,
            use_native_hstore=False,
            hide_parameters=True,
            **isolation,
        )
    timeout_s = DATABASE_TIMEOUT_S if within_s is None else min(DATABASE_TIMEOUT_S, within_s)
    engine = create_engine(target.url, connect_args={"timeout": timeout_s}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def lock(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN EXCLUSIVE")

    return engine
