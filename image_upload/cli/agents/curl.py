"""Write lines for a POSIX shell that run curl. The address in them is presigned, so none needs a token.

https://curl.se/docs/manpage.html
"""

import shlex
from collections.abc import Mapping
from typing import Final

# Without --globoff curl reads braces and brackets in the name of a file as patterns. --proto: the service names the
# URL, and curl would also write to file://.
_CURL: Final = ("curl", "-sS", "--globoff", "--proto", "-all,http,https")


def upload_line(path: str, url: str, headers: Mapping[str, str]) -> str:
    """Return the line that streams a file to S3 with these headers, and prints S3's status and error."""
    words = [*_CURL, "--fail-with-body", "-w", r"HTTP %{http_code}\n"]
    for name, value in headers.items():
        # `Name:` would leave the header out.
        words += ["-H", f"{name}: {value}" if value else f"{name};"]
    return shlex.join([*words, "-T", path, url])


def download_line(url: str, path: str) -> str:
    """Return the line that writes an object into a file. A refusal is printed, and writes nothing."""
    return shlex.join([*_CURL, "--fail", "-o", path, url])
