"""An import that is killed, wherever it is, and repeated: every file in S3 once, none missing, nothing left open."""

import os
import random
import signal
import threading
import time

import pytest

from tests.cli.importing import MIB, Import, noise
from tests.cli.meddling import Answer, Call, Cut, Meddler
from tests.forked import Forked

pytestmark = pytest.mark.full

KILLS = 20
END_WITHIN_S = 60


class Killer:
    """Kills the import at a moment of the server's choosing."""

    def __init__(self, move: Import) -> None:
        self._move = move
        self._armed = threading.Event()
        self._process: Forked

    def start(self, *options: str) -> None:
        self._process = self._move.fork(*options)
        self._armed.set()

    def strike(self) -> None:
        assert self._armed.wait(END_WITHIN_S)
        os.kill(self._process.pid, signal.SIGKILL)
        # Not before it is dead may anything more happen.
        assert self.ended() is not None

    def ended(self) -> int | None:
        return self._process.wait(END_WITHIN_S)


@pytest.mark.parametrize(
    ("operation", "behind", "prefix"),
    [
        ("Head", False, ()),
        ("Put", False, ()),
        ("Put", True, ()),
        ("Put", True, ("--prefix", "media")),
        ("Create", False, ()),
        ("Create", True, ()),
        ("Part", False, ()),
        ("Part", True, ()),
        ("Complete", False, ()),
        ("Complete", True, ()),
        ("Complete", True, ("--prefix", "media")),
    ],
)
def test_killed_before_or_behind_a_call(
    move: Import, meddler: Meddler, operation: str, behind: bool, prefix: tuple[str, ...]
) -> None:
    for number in range(5):
        move.write(f"{number}.jpg", noise(number, 1000))
    move.write("large.bin", noise(99, 20 * MIB))
    killer, struck = Killer(move), threading.Event()

    def kill(call: Call) -> Answer | None:
        # The look at the bucket comes first and is none at a file.
        if call.operation == operation and call.key and not struck.is_set():
            struck.set()
            if behind:
                call.pass_on(call)
            killer.strike()
            raise Cut
        return None

    meddler.meddle = kill
    killer.start(*prefix, "--jobs", "1")
    assert killer.ended() == -signal.SIGKILL
    meddler.meddle = lambda _: None
    meddler.calls.clear()
    assert move.run(*prefix).code == 0
    move.everything_once()
    if operation == "Part" and behind:
        assert meddler.count("Part") < 3, "the part that S3 had was not sent again"


@pytest.mark.full
def test_killed_twenty_times_at_random_moments(move: Import, meddler: Meddler) -> None:
    seed = int(os.environ.get("IMPORT_KILL_SEED") or random.SystemRandom().randrange(2**32))
    moments = random.Random(seed)  # to be repeated by its seed
    print(f"IMPORT_KILL_SEED={seed}")  # shown when it fails
    for number in range(200):
        move.write(f"{number % 7}/{number}.jpg", noise(number, 50 + number * 50))
    for number in range(3):
        move.write(f"large{number}.bin", noise(1000 + number, 18 * MIB + number))
    killer, left = Killer(move), [0]
    lock = threading.Lock()

    def kill_at_the_last(call: Call) -> Answer | None:
        with lock:
            left[0] -= 1
            now = left[0] == 0
        if now:
            if moments.random() < 0.5:
                call.pass_on(call)
            time.sleep(moments.random() / 100)  # somewhere between two steps of the importer, while others go on
            killer.strike()
            raise Cut
        return None

    meddler.meddle = kill_at_the_last
    for _ in range(KILLS):
        # Some die before they have asked S3 anything; together they must not come to the end.
        early = moments.random() < 0.2
        left[0] = 10**9 if early else moments.randrange(2, 14)
        killer.start("--jobs", "8")
        if early:
            time.sleep(moments.random() * 0.1)  # the moment of the kill is what varies
            killer.strike()
        assert killer.ended() == -signal.SIGKILL, f"seed {seed}: it came to its end"
    left[0] = 10**9
    done = move.run()
    assert done.code == 0, done.said
    move.everything_once()
    assert len(move.objects()) == 203
    assert move.run().summary == {"already there": 203}
