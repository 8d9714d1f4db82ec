"""No schedule of processes, however they die, overlap and are forgotten, breaks a promise of the engine."""

import os
from collections import Counter
from collections.abc import Mapping

import pytest

from image_upload.errors import OffsetMismatch
from image_upload.resumable.chunks import END, Chunk
from image_upload.resumable.engine import Engine, Part, State
from tests.resumable.model import EVERY, Chances, ModelStore, Schedule

# Schedules of each kind, of which there are twelve: 2,004 in the first tier, 24,000 in all tests, 120,000 by
# `make model`. The rarest of the mutants below is seen after 6,304, the next after 117.
SEEDS = int(os.environ.get("MODEL_SEEDS") or "2000")
FIRST_SEEDS = 167


def run(seeds: range, chances: Chances) -> Counter[str]:
    return Counter(Schedule(seed, chances).run() for seed in seeds)


@pytest.mark.parametrize("chances", EVERY, ids=str)
def test_nothing_acknowledged_is_lost_and_every_upload_ends(chances: Chances) -> None:
    ends = run(range(FIRST_SEEDS), chances)
    assert ends["unfinished"] == 0
    assert ends["done"] > 0
    assert (ends["gone"] > 0) == (chances.cancels or chances.aborts)


@pytest.mark.full
@pytest.mark.parametrize("chances", EVERY, ids=str)
def test_nothing_acknowledged_is_lost_in_any_of_many_schedules(chances: Chances) -> None:
    assert run(range(FIRST_SEEDS, SEEDS), chances)["unfinished"] == 0


class Overwriting(ModelStore):
    """Writes every chunk, whether or not it exists."""

    async def put_new(self, name: str, data: bytes | memoryview) -> bool:
        await super().put_new(name, data)
        self.world.objects[name] = bytes(data)
        return True


class TakingAMissingUploadForDone(ModelStore):
    """Says that the object is there when S3 has no such multipart upload."""

    async def exists(self) -> bool:
        return await super().exists() or self.world.parts is None


class NotRecording(ModelStore):
    """Completes without writing down before that nothing can cancel any more."""

    async def put_new(self, name: str, data: bytes | memoryview) -> bool:
        return (name == END and bytes(data).startswith(b"commit")) or await super().put_new(name, data)


class Impatient(Engine):
    """Deletes the chunks of a part once S3 has the part."""

    async def _sent(self, state: State, number: int) -> Part | None:
        part = await super()._sent(state, number)
        if part is not None:
            first, end = self._bounds(number, state.offset)
            listed = await self._store.listed("", 1_000)
            found = [(name, Chunk.read(name, size)) for name, size in listed]
            await self._store.delete([name for name, chunk in found if chunk and first <= chunk.start < end])
        return part


class Hasty(Engine):
    """Answers how far the upload is without making the object where all bytes are there."""

    async def head(self) -> State:
        return await self.look()


class Believing(Engine):
    """Counts a chunk that exists with the same bytes, whatever was appended behind it."""

    async def _written(self, state: State, piece: bytes | memoryview) -> State:
        try:
            return await super()._written(state, piece)
        except OffsetMismatch:
            chunk = Chunk(state.offset, state.offset, len(piece))
            if await self._store.get(chunk.name) != piece:
                raise
            return state._replace(offset=chunk.end, recent=(chunk, *state.recent), held=piece)


class Trusting(Engine):
    """Acknowledges what it has written without looking whether another process has ended the upload meanwhile."""

    async def _acknowledged(self, state: State, offset: int) -> State:
        return await self._finish(state) if state.is_whole else state


MUTANTS: Mapping[str, tuple[type[Engine], type[ModelStore]]] = {
    "a chunk is overwritten": (Engine, Overwriting),
    "chunks are deleted with their part": (Impatient, ModelStore),
    "no such upload is taken for done": (Engine, TakingAMissingUploadForDone),
    "the end is not recorded": (Engine, NotRecording),
    "looking does not complete": (Hasty, ModelStore),
    "a chunk that exists is taken for the newest": (Believing, ModelStore),
    "the end is not looked for": (Trusting, ModelStore),
}
# Those that take thousands of schedules.
RARE = ("a chunk that exists is taken for the newest", "the end is not looked for")


@pytest.mark.parametrize(
    "mutant", [pytest.param(each, marks=pytest.mark.full) if each in RARE else each for each in MUTANTS]
)
def test_the_model_catches_an_engine_that_breaks_a_promise(mutant: str) -> None:
    engine, store = MUTANTS[mutant]
    for seed in range(SEEDS):
        for chances in EVERY:
            try:
                end = Schedule(seed, chances, engine, store).run()
            except AssertionError:
                return
            if end == "unfinished":
                return
    pytest.fail(f"{SEEDS} schedules of each kind, and none of them showed that {mutant}")
