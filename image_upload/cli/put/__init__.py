"""`put`: store files by a running service, as a browser does. docs/put.md is its manual.

command     the files that are named, so many at once; the exit code
arguments   the options
token       the bearer token
connection  requests to the service and to the store, with retry
upload      one file on its way; source reads it
senders     a function for each strategy of a plan
storing     one file to its end: go on or begin, send, wait for the verdict
state       what a killed upload goes on with
report      progress, and a line for each file

It needs no settings of the service, and no credentials of AWS.
"""

from collections.abc import Mapping
from typing import Any


class Failed(Exception):
    """A file was not stored. `code` is the service's, or one of docs/put.md; the message says what to do.

    `may_pass`: the same command may succeed later, with what was sent so far. `facts` are the rest of the service's
    answer, such as `fault`.
    """

    def __init__(
        self, code: str, detail: str, *, may_pass: bool = False, facts: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.may_pass = may_pass
        self.facts = facts or {}


class AllFail(Failed):
    """The reason is not the file: all further ones would fail too."""
