"""What S3 answered when it did not answer well.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

import re

_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")


class S3Failure(Exception):
    """A call to S3 failed. `status` None: no answer came; `code` None: the answer named none."""

    def __init__(self, operation: str, status: int | None, code: str | None = None) -> None:
        super().__init__(f"{operation}: {status} {code}")
        self.operation = operation
        self.status = status
        self.code = code

    @property
    def is_missing(self) -> bool:
        """S3 says that there is no such thing. A 403 never says that."""
        return self.status == 404  # noqa: PLR2004


def error_code(document: bytes) -> str | None:
    """The Code of S3's XML error document, None if there is none."""
    match = _CODE.search(document)
    return match[1].decode() if match else None
