"""Open listening sockets, with a clear message if a port is not available."""

import errno
import random
import socket


class PortUnavailable(Exception):
    """The port cannot be listened on. The message says what to do."""


def claim_port(host: str, port: int, setting: str) -> socket.socket:
    """Return a listening socket; for 0, on a free port. `setting` is the variable that chooses another port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the protocol is TCP explicitly. Without it every answer in two pieces waits
    # 40 ms for the client's delayed acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # The port of a server that has just ended can be reused, although its last connections linger.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
    except (OSError, OverflowError) as error:
        listening.close()
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            reason = "is in use by another program"
        elif getattr(error, "errno", None) == errno.EACCES:
            reason = "needs administrator rights"
        else:
            reason = f"cannot be listened on at {host}"
        raise PortUnavailable(f"Port {port} {reason}. Choose another one, for example: {setting}=8123") from None
    return listening


def port_from(text: str, setting: str) -> int:
    """Return a port number from the environment or the command line."""
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise PortUnavailable(f"{setting} is {text!r}, which is no port. Expected: a number from 0 to 65535.")
    return int(text)


def free_ports(count: int) -> list[int]:
    """Return unused random ports of loopback, below the kernel's range for outgoing connections.

    A port of that range could be taken by another connection, or by a readiness check that connects to itself,
    before the server binds it.
    """
    free: list[int] = []
    for port in random.sample(range(20_000, 32_000), 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        free.append(port)
        if len(free) == count:
            return free
    raise PortUnavailable("There is no free port on 127.0.0.1.")
