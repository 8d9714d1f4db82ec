"""Have the server run the AWS CLI with these arguments, environment and open files; end as it ends.

It is run by Python without its site packages, with ADDRESS replaced.
"""

import os
import socket
import sys

with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("ADDRESS")
    umask = os.umask(0)
    os.umask(umask)
    words = [b"%d" % umask, b"%d" % len(sys.argv), *map(os.fsencode, sys.argv)]
    # Neither a word nor a variable can hold a NUL.
    body = b"\0".join([*words, *(b"%b=%b" % pair for pair in os.environb.items())])
    socket.send_fds(connection, [len(body).to_bytes(4, "big")], [0, 1, 2, os.open(".", os.O_RDONLY)])
    connection.sendall(body)
    status = connection.recv(1)
sys.exit(status[0] if status else "the AWS CLI ended without a status")
