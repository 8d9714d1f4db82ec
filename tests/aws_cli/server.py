"""Load the AWS CLI, then run it once for each call at a socket, in a fork: `python server.py SOCKET`.

The CLI's own Python runs it, with nothing of this project. A fork has the caller's arguments, environment, working
folder, umask and standard files.
"""

import functools
import gc
import os
import signal
import socket
import sys
from pathlib import Path

import yaml
from awscli import clidriver
from botocore import session  # the CLI's own

# The services that deploy.sh asks most, each with a call. What this process has called, a fork finds loaded.
ASKED = {
    "cloudformation": "describe-stacks",
    "ecr": "get-authorization-token",
    "lambda": "list-functions",
    "s3api": "list-buckets",
    "ssm": "describe-parameters",
}


def run(connection: socket.socket) -> int:
    """Be the program that the caller has called; its exit status."""
    head, files, _, _ = socket.recv_fds(connection, 4, 4)
    with connection.makefile("rb") as reader:
        umask, count, *rest = reader.read(int.from_bytes(head, "big")).split(b"\0")
    *standard, folder = files
    for number, file in enumerate(standard):
        os.dup2(file, number)
        os.close(file)
    os.fchdir(folder)
    os.close(folder)
    os.umask(int(umask))
    # Set by the import of the CLI, for itself.
    data = os.environ["AWS_DATA_PATH"]
    os.environb.clear()
    given = (pair.partition(b"=") for pair in rest[int(count) :])
    os.environb.update({name: value for name, _, value in given})
    os.environ.setdefault("AWS_DATA_PATH", data)
    sys.argv = [os.fsdecode(word) for word in rest[: int(count)]]
    try:
        return int(clidriver.main() or 0)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1


def serve(address: Path) -> None:
    """Answer calls until killed."""
    with socket.socket(socket.AF_UNIX) as listening:
        # Listens before it can be seen.
        hidden = address.with_suffix(".new")
        listening.bind(str(hidden))
        listening.listen(64)
        hidden.rename(address)
        while True:
            connection, _ = listening.accept()
            with connection:
                if os.fork():
                    continue
                listening.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                status = run(connection)
                sys.stdout.flush()
                sys.stderr.flush()
                connection.sendall(bytes([status & 0xFF]))
                os._exit(0)


if __name__ == "__main__":
    # The models of the services, which every call would look for and load: more than half of its time.
    session.create_loader = functools.cache(session.create_loader)
    # The same parser in C: the one in Python takes half a second for the template.
    yaml.SafeLoader = yaml.CSafeLoader
    for service, operation in ASKED.items():
        clidriver.create_clidriver().main(
            [service, operation, "--no-sign-request", "--region=eu-north-1", "--endpoint-url=http://127.0.0.1:9"]
        )
    # The kernel reaps the forks.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    serve(Path(sys.argv[1]))
