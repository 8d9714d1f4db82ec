"""Decide what becomes of arrivals: the bytes of checked purposes, which S3 takes under `incoming/`.

    incoming/{key} ──┬─ good ──────► {key}, with its true type and facts (and its variants, before it)
                     ├─ faulty ────► rejected/{key}: no bytes, but the fault
                     ├─ malware ───► quarantine/{key}
                     └─ undecided ─► stays, until the scan is over

A scanner scans every file, also those of purposes that are not checked. What fails never was under its key, so no CDN
can serve it. Each step is one conditional write, and the arrival is deleted last: any number of processes may settle
one arrival at once, and each may end at any moment. The next one finds the arrival again, or what became of it.
docs/decisions/publish.md, docs/malware.md
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from image_upload.domain import keys, metadata, purposes
from image_upload.domain.faults import Fault
from image_upload.domain.purposes import Purpose
from image_upload.languages.wording import Sentence
from image_upload.limits import ARRIVAL_ATTEMPTS, ARRIVAL_LEFT_S, S3_OBJECT_MAX_BYTES
from image_upload.s3 import copies, objects, transfer
from image_upload.s3.bucket import Bucket
from image_upload.s3.checksums import digest_of
from image_upload.s3.errors import S3Failure
from image_upload.s3.objects import StoredObject
from image_upload.settings.verification import VerificationSettings

if TYPE_CHECKING:
    from image_upload.verification.inspection import Inspection
    from image_upload.verification.scanner import Scanner
    from image_upload.verification.verdict import Verdict

log = logging.getLogger(__name__)

# S3's answers if the arrival was replaced or settled meanwhile, or its key has an object.
_OVERTAKEN: Final = frozenset({404, 409, 412})

# A browser runs what it finds in these, on the bucket's host.
_RUN_BY_BROWSERS: Final = frozenset(
    {"text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml"}
)

# A verdict is metadata, of which S3 stores 2 KiB. A longer reason is left out; the fault has a sentence of its own.
_WHY_MAX_CHARS: Final = 1_500

# The name of a signature; it shares the room of the facts.
_FOUND_MAX_CHARS: Final = 200

# Compares an arrival with what was promised; returns the property that differs.
Compare = Callable[[StoredObject], Awaitable[Fault | None]]


class Published(NamedTuple):
    """The object under its key. `now`: this call has published it. Not `verified`: it was stored without a check."""

    stored: StoredObject
    verified: bool = True
    now: bool = False


class Removed(NamedTuple):
    """An arrival that was not published, as S3 described it. `why` is for the person who sent it.

    `quarantined`: it was kept for an operator.
    """

    arrival: StoredObject
    fault: Fault
    why: Sentence | None = None
    quarantined: bool = False
    now: bool = False


class Undecided(NamedTuple):
    """The arrival is there, and its scan or another process has yet to decide."""

    arrival: StoredObject


Outcome = Published | Removed | Undecided


class Arrivals:
    """The arrivals of one bucket."""

    def __init__(self, bucket: Bucket, settings: VerificationSettings) -> None:
        self._bucket = bucket
        self._settings = settings
        self._reports = settings.verify == "report" and settings.verifier == "self"
        # Whether there are any.
        self.are_taken = settings.verify == "publish"
        # Whether this process decides about them.
        self.verify_here = self.are_taken and settings.verifier == "self"
        # Whether every file is scanned, here or in another process.
        self._are_scanned = settings.malware_scanner != "off"
        self._scanner: Scanner | None = None
        if self._are_scanned and self.verify_here:
            from image_upload.verification.scanner import scanner_of  # most services have none

            self._scanner = scanner_of(bucket, settings)

    @property
    def scans_when_asked(self) -> bool:
        """Whether a scan begins when an arrival is confirmed. What waits has to be confirmed again: no event comes."""
        return self._scanner is not None and self._scanner.answers_at_once

    def takes(self, key: str) -> bool:
        """Return whether what is uploaded for this key arrives under `incoming/`: it is verified, or scanned."""
        if self._are_scanned:
            return not key.startswith(keys.OWN_FOLDERS)
        return self.are_taken and self._purpose(key) is not None

    def upload_key(self, key: str) -> str:
        """Return the key that a client may write: the key itself, or the one under `incoming/`."""
        return keys.INCOMING + key if self.takes(key) else key

    def _purpose(self, key: str) -> Purpose | None:
        """Return the key's purpose, if its files are verified."""
        purpose = purposes.of_key(key, self._bucket.purposes.every())
        return purpose if purpose is not None and purpose.checked else None

    async def settle(self, key: str, compare: Compare, *, scan_s: float) -> Outcome | None:
        """Publish or remove the arrival of a key; return what became of it, also earlier. None: there is nothing.

        A scan that takes more than `scan_s` seconds is given up: `Undecided`.

        Raises `S3Failure`; then nothing was decided.
        """
        if not self.verify_here:
            found = await self._earlier(key)
            if found is not None:
                return found
            waiting = await objects.head(self._bucket, keys.INCOMING + key)
            # Decided between the two questions.
            return await self._earlier(key) if waiting is None else Undecided(waiting)
        for left in reversed(range(ARRIVAL_ATTEMPTS)):
            arrival, before = await self._look(key)
            if arrival is None:
                return await self._earlier(key)
            if before is not None:
                await objects.delete(self._bucket, arrival.key, etag=arrival.etag)
                return _published(before)
            try:
                return await self._decide(key, arrival, compare, scan_s)
            except S3Failure as failure:
                if failure.status not in _OVERTAKEN or not left:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _look(self, key: str) -> tuple[StoredObject | None, StoredObject | None]:
        """Return the arrival of a key, and where a copy would replace it the object that is there already."""
        # Its SHA-256 becomes one of the facts.
        arrival = objects.head(self._bucket, keys.INCOMING + key, checksums=True)
        if self._bucket.copies_once:
            return await arrival, None
        # Both end before a failure is raised, so that none is left behind.
        both = await asyncio.gather(arrival, objects.head(self._bucket, key), return_exceptions=True)
        for each in both:
            if isinstance(each, BaseException):
                raise each
        return cast("tuple[StoredObject | None, StoredObject | None]", tuple(both))

    async def _decide(self, key: str, arrival: StoredObject, compare: Compare, scan_s: float) -> Outcome:
        purpose = self._purpose(key)
        most_bytes = S3_OBJECT_MAX_BYTES if purpose is None else purpose.max_bytes
        fault: Fault | None = "size" if arrival.size_bytes > most_bytes else await compare(arrival)
        if fault is not None:
            return await self._reject(key, arrival, fault)
        scanned = None if self._scanner is None else await self._scanner.scan(arrival, scan_s)
        if scanned is not None and scanned.result != "clean":
            if scanned.result == "waiting":
                return Undecided(arrival)
            fault = "malware" if scanned.result == "infected" else "unscannable"
            fields = {"fault": fault, "reason": scanned.reason, "size": arrival.size_bytes}
            log.warning("an arrival is not clean", extra={"fields": fields})
            if fault == "malware" or self._settings.malware_unscannable == "quarantine":
                return await self._quarantine(key, arrival, fault, scanned)
            if self._settings.malware_unscannable == "reject":
                return await self._reject(key, arrival, fault)
        inspection = await self._inspect(arrival, purpose)
        if inspection.fault is not None:
            return await self._reject(key, arrival, inspection.fault, inspection.why)
        return await self._publish(key, arrival, inspection, scanned)

    async def _inspect(self, arrival: StoredObject, purpose: Purpose | None) -> "Inspection":
        from image_upload.verification.inspection import Inspection, Wanted, inspect  # only arrivals need these tables

        if purpose is None:
            return Inspection(None)
        settings = self._settings
        wanted = Wanted(
            types=frozenset(purpose.types),
            declared=arrival.content_type,
            max_pixels=settings.image_max_pixels,
            max_frames=settings.image_max_frames,
            strip_location=settings.strip_location,
            variants=purpose.variants or (settings.variants if purpose.holds_pictures else ()),
        )
        return await inspect(_Source(self._bucket, arrival), wanted)

    async def _publish(
        self, key: str, arrival: StoredObject, inspection: "Inspection", scanned: "Verdict | None"
    ) -> Outcome:
        bucket = self._bucket
        for name, (data, media_type) in inspection.variants.items():
            variant = keys.variant(key, name, media_type.partition("/")[2])
            await transfer.put(bucket, variant, data, await digest_of(data), {"Content-Type": media_type})
        facts, headers = _described(arrival, inspection, scanned)
        headers |= bucket.storage_headers(key)
        try:
            if inspection.replacement is None:
                etag, size_bytes = await self._copy(key, arrival, headers), arrival.size_bytes
            else:
                etag, size_bytes = await self._put(key, inspection.replacement, headers), len(inspection.replacement)
        except S3Failure as failure:
            # Published before, or replaced since it was read. What is under the key tells which.
            before = await objects.head(bucket, key) if failure.status in _OVERTAKEN else None
            if before is None:
                raise
            outcome = _published(before)
        else:
            stored = arrival._replace(
                key=key,
                size_bytes=size_bytes,
                etag=etag,
                content_type=headers["Content-Type"],
                sha256=arrival.sha256 if inspection.replacement is None else None,
                metadata={**arrival.metadata, metadata.FACTS: facts},
                in_parts="-" in etag,
            )
            outcome = Published(stored, now=True)
        await objects.delete(bucket, arrival.key, etag=arrival.etag)
        return outcome

    async def _copy(self, key: str, arrival: StoredObject, headers: dict[str, str]) -> str:
        """Copy exactly what was looked at. Raises `S3Failure` 412 if the arrival was replaced since."""
        etag = await copies.copy(self._bucket, arrival, key, headers)
        if not self._bucket.copies_once:
            # Such stores ignore the condition on the source, too. What was copied in place of it does not stay.
            now = await objects.head(self._bucket, arrival.key)
            if now is not None and now.etag != arrival.etag:
                await objects.delete(self._bucket, key, etag=etag)
                raise S3Failure("CopyObject", 412)
        return etag

    async def _put(self, key: str, data: bytes, headers: dict[str, str]) -> str:
        once = {**headers, "If-None-Match": "*"}
        return (await transfer.put(self._bucket, key, data, await digest_of(data), once)).etag

    async def _reject(self, key: str, arrival: StoredObject, fault: Fault, why: Sentence | None = None) -> Outcome:
        """Write the verdict, then delete the arrival."""
        verdict: dict[str, Any] = {"fault": fault, "size": arrival.size_bytes}
        if why is not None and len(why.template) + len(str(why.facts)) <= _WHY_MAX_CHARS:
            verdict["why"] = [why.template, dict(why.facts)]
        headers = metadata.encoded({metadata.FACTS: json.dumps(verdict, separators=(",", ":"))})
        await transfer.put(self._bucket, keys.REJECTED + key, b"", await digest_of(b""), headers)
        return await self._removed(key, Removed(arrival, fault, why, now=True))

    async def _quarantine(self, key: str, arrival: StoredObject, fault: Fault, scanned: "Verdict") -> Outcome:
        """Copy the arrival to where only an operator reads it, then delete it."""
        verdict = {"fault": fault, "size": arrival.size_bytes, "found": (scanned.reason or "")[:_FOUND_MAX_CHARS]}
        facts = json.dumps(verdict, separators=(",", ":"))
        headers = {
            # Not the client's: no program opens it by its type. Some stores name that of the extension all the same.
            "Content-Type": "application/octet-stream",
            "Content-Disposition": "attachment",
            **metadata.encoded({**arrival.metadata, metadata.FACTS: facts}),
            **self._bucket.storage_headers(keys.QUARANTINE + key),
        }
        try:
            await self._copy(keys.QUARANTINE + key, arrival, headers)
        except S3Failure as failure:
            # Another process was first, or an earlier file of this key is there. Else the arrival was replaced.
            if failure.status not in _OVERTAKEN or await objects.head(self._bucket, keys.QUARANTINE + key) is None:
                raise
        return await self._removed(key, Removed(arrival, fault, quarantined=True, now=True))

    async def _removed(self, key: str, removed: Removed) -> Outcome:
        """Delete the arrival. If it was a second one for its key, the object that was published is the outcome."""
        await objects.delete(self._bucket, removed.arrival.key, etag=removed.arrival.etag)
        before = await objects.head(self._bucket, key)
        return removed if before is None else _published(before)

    async def _earlier(self, key: str) -> Outcome | None:
        """Return what became of an arrival that is not there any more."""
        stored = await objects.head(self._bucket, key)
        if stored is not None:
            return _published(stored)
        verdict = await objects.head(self._bucket, keys.REJECTED + key)
        if verdict is not None:
            found = json.loads(verdict.metadata[metadata.FACTS])
            why = Sentence(*found["why"]) if "why" in found else None
            return Removed(verdict._replace(key=key, size_bytes=found["size"]), found["fault"], why)
        if self._are_scanned and (kept := await objects.head(self._bucket, keys.QUARANTINE + key)) is not None:
            fault = json.loads(kept.metadata[metadata.FACTS])["fault"]
            return Removed(kept._replace(key=key), fault, quarantined=True)
        return None

    async def report(self, stored: StoredObject) -> None:
        """With VERIFY=report, log the fault for which a stored object would not have been published. Change nothing.

        Raises `S3Failure`.
        """
        purpose = self._purpose(stored.key)
        if not self._reports or purpose is None:
            return
        inspection = await self._inspect(stored, purpose)
        fields = {"purpose": purpose.name, "fault": inspection.fault}
        log.log(logging.WARNING if inspection.fault else logging.INFO, "verified", extra={"fields": fields})

    async def left_over(self, most: int) -> AsyncIterator[list[str]]:
        """Yield the keys of what lies under `incoming/` for a while, `most` at once. Raises `S3Failure`."""
        after, more = "", True
        before = datetime.now(UTC) - timedelta(seconds=ARRIVAL_LEFT_S)
        while more:
            page = await objects.page(self._bucket, keys.INCOMING, after=after, max_keys=most)
            yield [
                keys.published(each.key) for each in page.objects if datetime.fromisoformat(each.last_modified) < before
            ]
            after, more = page.objects[-1].key if page.objects else "", page.more

    async def forget(self, key: str) -> None:
        """Delete what belongs to a key beside its object: an arrival, so that it is not published, and variants."""
        await objects.delete(self._bucket, keys.INCOMING + key)
        page = await objects.page(self._bucket, f"{keys.VARIANTS}{key}/", after="", max_keys=100)
        for each in page.objects:
            await objects.delete(self._bucket, each.key)


class _Source:
    """The bytes of exactly this arrival."""

    def __init__(self, bucket: Bucket, arrival: StoredObject) -> None:
        self._bucket = bucket
        self._arrival = arrival
        self.size = arrival.size_bytes

    async def read(self, first: int, length: int) -> bytes:
        """Return up to `length` bytes from `first` on. Raises `S3Failure`: 412 if the arrival was replaced."""
        return await objects.read_range(self._bucket, self._arrival, first, length)


def _published(stored: StoredObject) -> Published:
    return Published(stored, verified=metadata.FACTS in stored.metadata)


def _described(
    arrival: StoredObject, inspection: "Inspection", scanned: "Verdict | None"
) -> tuple[str, dict[str, str]]:
    """Return the facts as JSON, and the headers of the published object: type and metadata, nothing of the client's."""
    facts = _facts(inspection, scanned)
    media_type = inspection.replacement_type or (inspection.facts.media_type if inspection.facts else None)
    if media_type is None or media_type == arrival.content_type.partition(";")[0].strip().lower():
        media_type = arrival.content_type  # with its charset
    headers = {"Content-Type": media_type, **metadata.encoded({**arrival.metadata, metadata.FACTS: facts})}
    if media_type.partition(";")[0] in _RUN_BY_BROWSERS:
        headers["Content-Disposition"] = "attachment"
    return facts, headers


def _facts(inspection: "Inspection", scanned: "Verdict | None") -> str:
    """Return what is known of the file as JSON. The placeholder is left out where there is no room for it."""
    facts = inspection.facts
    found: dict[str, Any] = {}
    if facts is not None:
        found = {
            "type": facts.media_type,
            "width": facts.width,
            "height": facts.height,
            "orientation": facts.orientation,
            "frames": facts.frames,
            "had_location": facts.has_location,
            "location_is_left": facts.location_is_left or None,
            "placeholder": facts.placeholder,
        }
    found["scan"] = None if scanned is None else scanned.result
    found["changed"] = inspection.replacement is not None or None
    found["variants"] = {name: kind.partition("/")[2] for name, (_, kind) in inspection.variants.items()} or None
    known = {name: value for name, value in found.items() if value is not None}
    text = json.dumps(known, separators=(",", ":"))
    if len(metadata.FACTS) + len(text) > metadata.FACTS_MAX_BYTES:
        text = json.dumps({**known, "placeholder": None}, separators=(",", ":"))
    return text
