"""Listening sockets, or a sentence that says why there is none."""

import errno
import random
import socket


class PortUnavailable(Exception):
    """The port cannot be listened on. The message says what to do."""


def claim_port(host: str, port: int, setting: str) -> socket.socket:
    """Return a listening socket (a free port for 0). `setting` is the variable by which another port is chosen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named: asyncio sets TCP_NODELAY only where it sees TCP, and without that every answer in two
    # pieces waits 40 ms for the client's delayed acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # A port of a service that ended a moment ago is free, although its last connections linger.
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
    """Unused ports of loopback at random, below those that the kernel gives to outgoing connections.

    From that range another connection, or our own poll connecting to itself, could take the port
    between this look and the server's bind.
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
