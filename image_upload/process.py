"""What is set for the whole process, each line with what it is worth. It imports nothing, because it comes first.

What only one place can set stands there: the byte code in `Dockerfile`, uvloop in `web/server.py` (uvicorn takes it),
glibc's threshold in `s3/bucket.py` (before the first stream).
"""

import gc
import sys


def before_imports(*, on_lambda: bool) -> None:
    """Call before anything else is imported."""
    # 7 % of the CPU time of `import upload`: the collector would go 128 times through objects that all stay.
    gc.disable()
    if on_lambda:
        # FastAPI asks of every model whether it is one of pydantic's old kind, and imports that for 17 ms to find
        # out. Nothing here is, and FastAPI takes a failing import for a no.
        sys.modules.setdefault("pydantic.v1", None)  # type: ignore[arg-type]  # None is how Python writes "not there"


def after_imports() -> None:
    """Call once everything that stays is there."""
    # What is there now is never looked at again: a full collection later takes no time in place of 6 ms.
    gc.freeze()
    gc.enable()
