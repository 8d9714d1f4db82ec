"""A model of everything that may happen to an upload between two calls to S3, around the real engine.

Its processes are coroutines that one schedule drives by hand: each call to the store is one moment, and between two
moments any other process may act, or this one may die. A client waits no longer for an answer, and the process that it
left behind goes on (a zombie); an append begins with a state that any process has seen at any time; answers are lost;
two clients send two files to one upload; one cancels; the rule of the bucket aborts the multipart upload; and the ETag
of a part is another one each time, as under KMS.

Numbers are small: a part has 16 bytes, an append up to 20.
"""

import random
from collections.abc import AsyncIterator, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from image_upload.errors import OffsetMismatch, UploadBusy, UploadGone
from image_upload.resumable.engine import Engine, Part, State

PART_BYTES: Final = 16
APPEND_MAX_BYTES: Final = 20
LENGTH_MAX_BYTES: Final = 70
# What S3 demands of all parts but the last.
PART_MIN_BYTES: Final = 10
MOMENTS_MAX: Final = 5_000


class Moment:
    """What a process waits for before each of its calls: its turn."""

    def __await__(self) -> Generator[None, None, None]:
        yield


@dataclass
class World:
    """S3, as far as one upload sees it. `parts` is None where there is no such multipart upload."""

    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[int, tuple[bytes, str]] | None = field(default_factory=dict)
    whole: bytes | None = None
    etags: int = 0


class ModelStore:
    """`Store` over a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def listed(self, after: str, most: int) -> Sequence[tuple[str, int]]:
        await Moment()
        names = sorted(name for name in self.world.objects if name > after)
        return [(name, len(self.world.objects[name])) for name in names[:most]]

    async def put_new(self, name: str, data: bytes | memoryview) -> bool:
        await Moment()
        if name in self.world.objects:
            return False
        self.world.objects[name] = bytes(data)
        return True

    async def get(self, name: str) -> bytes | None:
        await Moment()
        return self.world.objects.get(name)

    async def delete(self, names: Sequence[str]) -> None:
        await Moment()
        for name in names:
            self.world.objects.pop(name, None)

    async def upload_part(self, number: int, data: bytes | memoryview) -> Part | None:
        await Moment()
        if self.world.parts is None:
            return None
        self.world.etags += 1
        self.world.parts[number] = (bytes(data), str(self.world.etags))
        return Part(number, str(self.world.etags), len(data))

    async def list_parts(self) -> Mapping[int, Part] | None:
        await Moment()
        if self.world.parts is None:
            return None
        return {number: Part(number, etag, len(data)) for number, (data, etag) in self.world.parts.items()}

    async def complete(self, parts: Sequence[Part], length: int) -> bool:
        await Moment()
        there = self.world.parts
        if there is None or any(there.get(each.number, (b"", ""))[1] != each.etag for each in parts):
            return False
        joined = [there[each.number][0] for each in parts]
        if any(len(data) < PART_MIN_BYTES for data in joined[:-1]) or sum(map(len, joined)) != length:
            return False
        self.world.whole, self.world.parts = b"".join(joined), None
        return True

    async def put_object(self, data: bytes | memoryview) -> None:
        await Moment()
        if self.world.whole is None:
            self.world.whole = bytes(data)

    async def exists(self) -> bool:
        await Moment()
        return self.world.whole is not None

    async def abort(self) -> None:
        await Moment()
        self.world.parts = None


class Chances(NamedTuple):
    """What may happen beside processes that die and answers that are lost.

    `two`: two clients with two files. `cancels`: one of them cancels. `aborts`: the bucket's rule aborts the multipart
    upload. `deferred`: the length is not known before an append declares it, or ends the upload.
    """

    two: bool = False
    cancels: bool = False
    aborts: bool = False
    deferred: bool = False


EVERY: Final = tuple(
    Chances(two, cancels, aborts, deferred)
    for two, cancels, aborts in (
        (False, False, False),
        (True, False, False),
        (False, True, False),
        (True, True, False),
        (False, False, True),
        (False, True, True),
    )
    for deferred in (False, True)
)


async def pieces(offset: int, data: bytes) -> AsyncIterator[memoryview]:
    """A body as it arrives, cut where parts end."""
    while data:
        await Moment()
        left = PART_BYTES - offset % PART_BYTES
        yield memoryview(data[:left])
        offset, data = offset + left, data[left:]


class Request(NamedTuple):
    """A request, the process that answers it, and the greatest offset that was answered before it began."""

    kind: str
    process: Coroutine[None, None, Any]
    floor: int
    offset: int = 0
    data: bytes = b""


class Schedule:
    """One upload from its begin to its end, as the seed decides."""

    def __init__(
        self, seed: int, chances: Chances, engine: type[Engine] = Engine, store: type[ModelStore] = ModelStore
    ) -> None:
        self.random = random.Random(seed)
        self.chances = chances
        self.length = self.random.randint(1, LENGTH_MAX_BYTES)
        one = self.random.randbytes(self.length)
        self.files = (one, self.random.randbytes(self.length)) if chances.two else (one,)
        self.world = World()
        in_parts = chances.deferred or self.length > PART_BYTES
        if not in_parts:
            self.world.parts = None
        self.engine = engine(
            store(self.world),
            length=None if chances.deferred else self.length,
            part_bytes=PART_BYTES,
            most_bytes=LENGTH_MAX_BYTES,
            in_parts=in_parts,
        )
        self.known = self.floor = 0
        self.states = [State(0, None if chances.deferred else self.length)]
        self.acknowledged: dict[int, int] = {}
        self.cancelled = self.aborted = False
        self.end: str | None = None
        self.processes: list[Request] = []
        self.waited_for: Request | None = None

    def run(self) -> str:
        """Run to the end, then let all zombies end, too. Raises `AssertionError` for every promise that is broken."""
        for _ in range(MOMENTS_MAX):
            if self.end is not None:
                break
            if self.chances.aborts and self.world.parts is not None and self.random.random() < 0.002:
                self.world.parts, self.aborted = None, True
            if self.waited_for is None:
                self.waited_for = self._request()
                self.processes.append(self.waited_for)
            self._step(self.random.choice(self.processes))
        for zombie in self.random.sample(self.processes, len(self.processes)):
            while self._moment(zombie) is None:
                pass
        self._check_end()
        return self.end or "unfinished"

    def _step(self, request: Request) -> None:
        chance, is_heard = self.random.random, request is self.waited_for
        dies = chance() < 0.02
        answer = None if dies else self._moment(request)
        if dies:
            request.process.close()
        if dies or answer is not None:
            self.processes.remove(request)
        # A dead process does not answer, and after a while a client does not wait.
        if is_heard and (dies or answer is not None or chance() < 0.03):
            self.waited_for = None
            if answer is not None and chance() >= 0.05:  # else it is lost
                self._hear(request, *answer)

    def _request(self) -> Request:
        chance = self.random.random()
        if self.chances.cancels and not self.cancelled and chance < 0.02:
            self.cancelled = True
            return Request("cancel", self.engine.cancel(), self.floor)
        if (self.known >= self.length and not self.chances.deferred) or chance < 0.3:
            return Request("head", self.engine.head(), self.floor)
        offset = self.known if self.random.random() < 0.95 else self.random.randrange(self.length)
        most = min(APPEND_MAX_BYTES, self.length - offset)
        data = self.random.choice(self.files)[offset : offset + self.random.randint(min(1, most), most)]
        ends = self.chances.deferred and offset + len(data) == self.length
        declared = self.length if self.chances.deferred and self.random.random() < 0.1 else None
        seen = [state for state in self.states if state.offset == offset]
        known = self.random.choice(seen) if seen and self.random.random() < 0.5 else None
        append = self.engine.append(
            offset, pieces(offset, data), announced_bytes=len(data), length=declared, ends=ends, known=known
        )
        return Request("append", append, self.floor, offset, data)

    def _moment(self, request: Request) -> tuple[int, int, bool] | None:
        """Let a process act once; return status, offset and whether the upload is complete, if it has answered."""
        try:
            request.process.send(None)
        except StopIteration as stopped:
            if request.kind == "cancel":
                return (204 if stopped.value else 404), 0, False
            state: State = stopped.value
            self.states.append(state._replace(held=None))
            return 200, state.offset, state.is_whole
        except OffsetMismatch as mismatch:
            return 409, mismatch.extras["expected_offset"], False
        except UploadGone:
            return 410, 0, False
        except UploadBusy:
            return 503, 0, False
        return None

    def _hear(self, request: Request, status: int, offset: int, is_complete: bool) -> None:
        if request.kind == "cancel" and status == 204:
            self.end = "gone"
        elif status == 410:
            assert self.cancelled or self.aborted, "an upload is gone that was not cancelled"
            self.end = "gone"
        elif status in (200, 409) and request.kind != "cancel":
            assert offset >= request.floor, "the offset fell"
            self.known, self.floor = offset, max(self.floor, offset)
            if request.kind == "append" and status == 200:
                assert offset == request.offset + len(request.data)
                for at, byte in enumerate(request.data, request.offset):
                    assert self.acknowledged.setdefault(at, byte) == byte, "two bytes were acknowledged for one place"
            if is_complete:
                assert offset == self.length, "complete before its end"
                assert self.world.whole is not None, "complete without the object"
                self.end = "done"

    def _check_end(self) -> None:
        whole = self.world.whole
        if self.end == "done":
            assert whole is not None
            assert len(whole) == self.length
            assert all(whole[at] == byte for at, byte in self.acknowledged.items()), "an acknowledged byte is lost"
            assert self.chances.two or whole == self.files[0], "the object is not the file"
        if self.end == "gone" and not self.aborted:
            assert whole is None, "an object after the upload was cancelled"
