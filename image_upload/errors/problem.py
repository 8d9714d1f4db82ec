"""What every error has in common, and the one function that turns it into an RFC 9457 problem document."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from image_upload.languages.wording import Sentence

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer that is not a success.

    `detail` says what happened and what to do next, and `facts` are the values for the names in its braces, so that
    `korean.details` can say the same; `extras` become members of the document (RFC 9457 section 3.2); `headers` go onto
    the response. `concealed_key` is the key of another user's object that is answered as missing. It goes into the
    audit log, and never into the answer.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(
        self,
        detail: str,
        *,
        facts: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        concealed_key: str | None = None,
        **extras: Any,
    ) -> None:
        self.detail = Sentence(detail, facts)
        super().__init__(self.detail)
        self.headers = dict(headers or {})
        self.extras = extras
        self.concealed_key = concealed_key


def every_problem(root: type[Problem] = Problem) -> Iterator[type[Problem]]:
    """Yield all kinds of problem, parents first: the list behind `/errors`, the documentation and its test."""
    for kind in root.__subclasses__():
        yield kind
        yield from every_problem(kind)


def as_document(kind: type[Problem], detail: str, request_id: str, **extras: Any) -> dict[str, Any]:
    """Return a problem as an RFC 9457 document. `request_id` is the one in the log and in X-Request-Id."""
    return {
        "type": f"/errors/{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": kind.code,
        "request_id": request_id,
        **extras,
    }
