"""Tune the process: collector and imports, each line with its measured figure. It is called before all other imports.

What only another place can set is set there: the byte code in `Dockerfile`, uvloop in `web/server.py`, for uvicorn, and
glibc's threshold in `s3/bucket.py`, before the first stream.
"""

import gc
import importlib
import sys


def before_imports(*, on_lambda: bool) -> None:
    """Call before anything else is imported."""
    # Saves 7 % of the CPU time of `import upload`: 128 collections of objects that all stay.
    gc.disable()
    if on_lambda:
        # FastAPI asks of every model whether it is one of pydantic's old kind, and imports that for 17 ms to find
        # out. Nothing here is, and FastAPI takes a failing import for a no.
        sys.modules.setdefault("pydantic.v1", None)  # type: ignore[arg-type]  # None is how Python writes "not there"


def imported(*modules: str) -> None:
    """Import modules below a frame that has room for the frames of all that they import."""
    for module in modules:
        importlib.import_module(module)


# CPython keeps frames in blocks of 16 KiB, and unmaps a block when the last frame leaves it. Calls across a border map
# it anew each time: 1,500 times in these imports. A frame larger than a block gets one with room for those below it.
# That saves 15 % of the start's page faults. https://github.com/python/cpython/blob/3.13/Python/pystate.c
imported.__code__ = imported.__code__.replace(co_stacksize=2**14)


def after_imports() -> None:
    """Call once everything that stays is there."""
    # Saves 6 ms at each full collection, which now skips these objects.
    gc.freeze()
    gc.enable()
