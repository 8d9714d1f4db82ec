"""A throw-away PostgreSQL on loopback, with TLS, from the binaries of this machine or of Debian's packages."""

import datetime as dt
import functools
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.contract import servers

STOP_WITHIN_S = 20.0
# PostgreSQL refuses to run as root: Debian's nobody and nogroup.
NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server. Its only user may do everything; its certificate is for localhost and signed by `ca`."""

    port: int
    password: str
    ca: Path
    stop: Callable[[], None]
    start: Callable[[], None]
    pid: Callable[[], int]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """No process of the server runs inside the block; connections stay open, and new ones are accepted."""
        pid = self.pid()
        # Their parent first: it starts no others then.
        every = [pid, *(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        for each in every:
            os.kill(each, signal.SIGSTOP)
        try:
            yield
        finally:
            for each in reversed(every):
                os.kill(each, signal.SIGCONT)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://owner:{self.password}@127.0.0.1:{self.port}/{database}"

    def run(self, *statements: str) -> None:
        """Run statements as the owner, each by itself."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run one until the block is left. Raises `servers.UnsupportedError` where none can be had."""
    binaries = _binaries()
    (port,) = servers._free_ports(1)
    password = secrets.token_hex()
    with servers._scratch("postgres") as scratch:
        (scratch / "password").write_text(password, encoding="ascii")
        ca = _certificates(scratch)
        as_nobody: list[str] = []
        if os.geteuid() == 0:
            as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            for path in (scratch, *scratch.iterdir()):
                os.chown(path, NOBODY, NOBODY)
        # Where they were unpacked, their libraries lie beside them.
        libraries = str(binaries.parents[2] / "x86_64-linux-gnu")
        environ = servers._without(("PG",)) | {"LC_ALL": "C", "TZ": "Asia/Seoul", "LD_LIBRARY_PATH": libraries}
        data = str(scratch / "data")
        initdb = ["initdb", "-D", data, "-U", "owner", "-A", "scram-sha-256", "-E", "UTF8", "--no-sync"]
        initdb += ["--pwfile", str(scratch / "password")]
        servers._run([*as_nobody, str(binaries / initdb[0]), *initdb[1:]], environ, scratch / "initdb.log", 60)
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(scratch),
            "fsync": "off",
            "max_connections": "40",
            "ssl": "on",
            "ssl_cert_file": str(scratch / "server.crt"),
            "ssl_key_file": str(scratch / "server.key"),
        }
        guard = [*as_nobody, "--pdeathsig", "KILL"] if as_nobody else []
        command = [*guard, str(binaries / "postgres"), "-D", data]
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        processes: list[subprocess.Popen[bytes]] = []

        def answers() -> bool:
            try:
                server.run("SELECT 1")
            except psycopg.OperationalError:
                return False
            return True

        def start() -> None:
            with (scratch / "postgres.log").open("ab") as log:
                processes.append(
                    subprocess.Popen(
                        command,
                        env=environ,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )
            servers._await(answers, processes[-1:], scratch)

        def stop() -> None:
            # In order: a killed server leaves its shared memory behind.
            processes[-1].send_signal(signal.SIGINT)
            processes[-1].wait(STOP_WITHIN_S)

        server = Postgres(port, password, ca, stop, start, lambda: processes[-1].pid)
        start()
        try:
            yield server
        finally:
            if processes[-1].returncode is None:
                stop()


def _binaries() -> Path:
    """The folder of `initdb` and `postgres`."""
    servers.must_be_wanted("postgres")
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    if installed := sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return installed[-1].parent
    if servers._release() != "debian12":
        raise servers.UnsupportedError("there is no PostgreSQL on this machine, and it is not Debian 12")
    install = functools.partial(servers.install_packages, ("postgresql-15",))
    return servers._installed("postgres-debian12", install) / "usr/lib/postgresql/15/bin"


def _certificates(folder: Path) -> Path:
    """An authority of our own, and the server's certificate for localhost; the authority's."""
    now = dt.datetime.now(dt.UTC)

    def certificate(
        name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey, *, is_ca: bool
    ) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        )
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = folder / "ca.crt"
    ca.write_bytes(certificate("Test CA", authority, "Test CA", authority, is_ca=True))
    (folder / "server.crt").write_bytes(certificate("localhost", server, "Test CA", authority, is_ca=False))
    key = server.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.key").touch(mode=0o600)
    (folder / "server.key").write_bytes(key)
    return ca
