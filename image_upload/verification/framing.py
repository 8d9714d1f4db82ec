"""How a request and its answer are framed between this process and a child."""

import struct
from typing import Final

REQUEST: Final = struct.Struct(">II")
"""Bytes of the JSON that describes the job, bytes of the file. Both follow."""
ANSWER: Final = struct.Struct(">I")
"""Bytes of the JSON. It follows, and behind it the pictures that it lists."""
BEGUN: Final = b"!"
"""What an answer begins with: the child has the file. If there is no more, the file has ended the child."""
