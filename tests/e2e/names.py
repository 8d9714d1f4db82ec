"""A name server that answers every question with one address. RFC 1035."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

_TYPE_A = 1
_CLASS_IN = 1
_RESPONSE = 0x8180  # a response, recursion desired and available, no error
_POINTER_TO_QUESTION = 0xC00C
_HEADER_BYTES = 12


def answer(question: bytes, address: IPv4Address) -> bytes:
    """The response to a query: an A record for questions of type A, none for others."""
    end = question.index(b"\0", _HEADER_BYTES) + 5  # the name's end, its type and class
    (kind,) = struct.unpack(">H", question[end - 4 : end - 2])
    record = b""
    if kind == _TYPE_A:
        record = struct.pack(">HHHIH", _POINTER_TO_QUESTION, _TYPE_A, _CLASS_IN, 60, 4) + address.packed
    counts = struct.pack(">HHHH", 1, 1 if record else 0, 0, 0)
    return question[:2] + struct.pack(">H", _RESPONSE) + counts + question[_HEADER_BYTES:end] + record


@contextmanager
def name_server(address: IPv4Address) -> Iterator[None]:
    """Serve on port 53 of the address until the block is left."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind((str(address), 53))

        def serve() -> None:
            while True:
                question, sender = listening.recvfrom(4096)
                if not question:
                    return
                listening.sendto(answer(question, address), sender)

        thread = threading.Thread(target=serve, name="names")
        thread.start()
        try:
            yield
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", (str(address), 53))
            thread.join()
