"""Choose the strategy of an upload by its size, the client and the store."""

from collections.abc import Sequence

from image_upload.errors import NoStrategy
from image_upload.languages.wording import human_bytes
from image_upload.limits import (
    MULTIPART_FROM_BYTES,
    PLAN_PART_MIN_BYTES,
    PLAN_PART_WANTED_BYTES,
    PLAN_PARTS_WANTED,
    RESUMABLE_MAX_BYTES,
    S3_PUT_MAX_BYTES,
)
from image_upload.s3 import multipart
from image_upload.uploads.plans import Strategy


def choose(
    size_bytes: int | None,
    accepts: Sequence[Strategy] | None,
    *,
    form_max_bytes: int,
    has_sha256: bool = False,
    has_metadata: bool = False,
    no_overwrite: bool = False,
    form_post: bool = True,
    resumable: bool = False,
    form_first: bool = False,
) -> Strategy:
    """Return the best strategy that the client accepts and that can carry the file with all that it needs.

    A client without `accepts` is a version 1 client, which supports a presigned PUT only. It gets another plan if no
    PUT can carry the file. `form_post` False: the store takes no presigned forms. `resumable`: the service takes
    appends. `form_first`: only a form's policy can hold the file to its limit.
    Raises `NoStrategy`.
    """
    in_one = size_bytes is None or size_bytes <= S3_PUT_MAX_BYTES
    possible: list[Strategy] = ["put"] if in_one else []
    if in_one and form_post and not no_overwrite:  # a policy cannot have If-None-Match
        possible.insert(0 if form_first and accepts is not None else len(possible), "post")
    large = size_bytes is None or size_bytes >= MULTIPART_FROM_BYTES
    if size_bytes is not None and not has_sha256:  # S3 checks the digest of a whole file in a single request only
        possible.insert(0 if large and accepts is not None else len(possible), "multipart")
    if (size_bytes or 0) <= min(form_max_bytes, S3_PUT_MAX_BYTES) and not (has_sha256 or has_metadata):
        possible.append("proxy")  # its form cannot carry the headers that those two sign
    if resumable and accepts is not None and (size_bytes or 0) <= RESUMABLE_MAX_BYTES and not has_sha256:
        # A form is one request, which a broken line costs whole.
        possible.insert(possible.index("proxy") if large and "proxy" in possible else len(possible), "resumable")
    for strategy in possible:
        if accepts is None or strategy in accepts:
            return strategy
    hint = (
        f"Accept one of: {', '.join(possible)}"
        if possible
        else "S3 checks a SHA-256 of the whole file only up to 5 GiB; leave sha256 out and accept multipart"
    )
    if accepts is not None and "post" in accepts and not form_post:
        hint = f"The store of this service takes no form POST. {hint}"
    if size_bytes is None:
        raise NoStrategy(
            f"No strategy you accept can carry a file of unknown size. {hint}, or send its size.", possible=possible
        )
    size = human_bytes(size_bytes, up=True)
    raise NoStrategy(f"No strategy you accept can carry this file of {size}. {hint}.", possible=possible)


def part_length(size_bytes: int) -> int:
    """Return the length of each part but the last in bytes: few parts, but small enough to send one again."""
    length = PLAN_PART_MIN_BYTES
    while length < PLAN_PART_WANTED_BYTES and size_bytes > length * PLAN_PARTS_WANTED:
        length *= 2
    return multipart.part_length(size_bytes, length)
