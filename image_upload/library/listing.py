"""List a user's own files.

Almost all keys of a user begin with a prefix that no other user's keys have, so the listing asks S3 for these prefixes.
Only `audio/` and folders that clients named mix the files of several users; there, others' files are filtered out.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from image_upload.domain import keys
from image_upload.domain.purposes import Purpose, Purposes
from image_upload.library.pages import FilePage, PageTokens
from image_upload.limits import LIST_CALLS_MAX, LIST_MAX_KEYS, LIST_WALK_S
from image_upload.s3 import objects
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import map_s3_errors
from image_upload.s3.objects import Listed

# S3 counts whole days and may take one more day to expire an object. Older objects no longer exist.
_LATE_DAYS = 2


class KeyPrefix(NamedTuple):
    """A prefix to list. `shared`: other users' keys may begin with it too."""

    prefix: str
    shared: bool


async def list_own(
    bucket: Bucket,
    user_id: str,
    prefix: str,
    max_keys: int,
    token: str | None,
    *,
    tokens: PageTokens,
    with_untagged: bool,
) -> FilePage:
    """Return up to `max_keys` of the user's objects below a prefix, in the order of their keys' UTF-8 bytes.

    A page may be short or empty and still have a `next_token`: one request calls S3 at most `LIST_CALLS_MAX` times.
    If several folders match the prefix, only the purposes' folders are listed. `with_untagged`: objects without an
    owner tag count as the user's, and all folders are listed.
    """
    after = tokens.read(token, user_id, prefix) if token is not None else ""
    mine = (keys.owner_tag(user_id), None) if with_untagged else (keys.owner_tag(user_id),)
    prefixes = (
        [KeyPrefix(prefix, shared=False)]
        if with_untagged
        else prefixes_of(user_id, prefix, datetime.now(UTC), bucket.purposes)
    )
    found: list[Listed] = []
    calls, until = 0, time.monotonic() + LIST_WALK_S
    for index, key_prefix in enumerate(prefixes):
        if after > key_prefix.prefix and not after.startswith(key_prefix.prefix):
            continue  # it was on earlier pages
        position, more = (after if after.startswith(key_prefix.prefix) else ""), True
        while more:
            if calls and (calls == LIST_CALLS_MAX or time.monotonic() > until):
                return FilePage(found, tokens.issue(position or key_prefix.prefix, user_id, prefix))
            calls += 1
            wanted = LIST_MAX_KEYS if key_prefix.shared else max_keys - len(found)
            async with map_s3_errors():
                page = await objects.page(bucket, key_prefix.prefix, after=position, max_keys=wanted)
            more = page.more and bool(page.objects)
            for number, each in enumerate(page.objects, 1):
                position = each.key
                if keys.owner_tag_in(each.key) in mine and not each.key.startswith(keys.OWN_FOLDERS):
                    found.append(each)
                if len(found) == max_keys:
                    rest = more or number < len(page.objects) or index + 1 < len(prefixes)
                    return FilePage(found, tokens.issue(position, user_id, prefix) if rest else None)
    return FilePage(found, None)


def prefixes_of(user_id: str, prefix: str, now: datetime, purposes: Purposes) -> list[KeyPrefix]:
    """Return the prefixes that the user's files below a prefix can have, in order, without overlap."""
    own = f"{keys.segment(user_id)}/{keys.owner_tag(user_id)}"
    every = {KeyPrefix(f"{folder}/{own}", shared=False) for folder in (keys.DEFAULT_FOLDER, keys.OTHER_FOLDER)}
    every.update(each for purpose in purposes.every() for each in _prefixes(purpose, user_id, now))
    all_prefixes: list[KeyPrefix] = []
    for each in sorted(every):
        if not (all_prefixes and each.prefix.startswith(all_prefixes[-1].prefix)):
            all_prefixes.append(each)
    for each in all_prefixes:
        if prefix.startswith(each.prefix):
            return [KeyPrefix(prefix, each.shared)]
    below = [each for each in all_prefixes if each.prefix.startswith(prefix)]
    return below or [KeyPrefix(prefix, shared=True)]


def _prefixes(purpose: Purpose, user_id: str, now: datetime) -> Iterator[KeyPrefix]:
    if purpose.kept_days is None and "{yyyymmdd}" in purpose.key:
        # Any number of days: the folder in front of the date is listed.
        yield KeyPrefix(purpose.key.partition("{")[0], shared=True)
        return
    pattern = purpose.key.replace("{user}", keys.segment(user_id)).replace("{id}", keys.owner_tag(user_id) + "{random}")
    days = (now - timedelta(days=back) for back in range(-1, (purpose.kept_days or 0) + _LATE_DAYS + 1))
    for day in days if "{yyyymmdd}" in pattern else [now]:
        head = pattern.replace("{yyyymmdd}", day.strftime("%Y%m%d")).partition("{")[0]
        yield KeyPrefix(head, shared=head == purpose.key.partition("{")[0])
