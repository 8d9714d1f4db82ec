"""Count instructions in place of time: other processes do not disturb them, and two counts differ by up to 2 %."""

import re
import shutil
import subprocess
import sys

from bench.measuring import NotMeasured, Result
from bench.run import Bench
from bench.surroundings import ON_LAMBDA, environment

CALLS = 100
METRICS = {"METRICS": "on", "METRICS_TOKEN": "a token of the benchmark, long enough"}


def instructions(bench: Bench) -> Result:
    """Count those of the imports and of warm invocations, in user space, with valgrind's callgrind."""
    if shutil.which("valgrind") is None:
        raise NotMeasured("there is no valgrind")
    bench.python("handler service", **ON_LAMBDA, **METRICS).close()  # compiles to .pyc

    def count(*arguments: str, calls: int = 0, **settings: str) -> float:
        """Return millions of one process, which reads from its input how many calls it does."""
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, *arguments]
        # Python's hashes are the same in each process, and with them the collisions in its tables.
        environ = environment(bench.home, **ON_LAMBDA, **settings, PYTHONHASHSEED="0")
        done = subprocess.run(
            command,
            env=environ,
            cwd=bench.home,
            input=f"{CALLS}\n{calls}\n",
            capture_output=True,
            text=True,
            check=True,
            timeout=600,
        )
        return float(re.findall(r"refs:\s+([\d,]+)", done.stderr)[-1].replace(",", "")) / 1e6

    def call(subject: str, **settings: str) -> float:
        few, many = (count("-m", "bench.worker", subject, calls=CALLS * times, **settings) for times in (1, 2))
        return (many - few) / CALLS

    ours, bare = "import upload", "import fastapi, mangum"
    mint, measured, hello = "POST /uploads, warm", "the same, with metrics", "GET hello, warm"
    values = {
        ours: [count("-c", ours)],
        bare: [count("-c", bare)],
        mint: [call("handler service")],
        measured: [call("handler service", **METRICS)],
        hello: [call("handler hello")],
    }
    title = "7. Instructions on Lambda's path, by valgrind's callgrind"
    result = Result("instructions", title, "millions of instructions", values)
    result.compare(f"those of `{bare}`", ours, bare, 1.07, at_least=False)
    result.compare("those of GET hello", mint, hello, 1.85, at_least=False)
    result.compare("those of a mint without metrics", measured, mint, 1.05, at_least=False)
    return result
