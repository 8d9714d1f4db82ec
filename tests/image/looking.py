"""Runs inside the image, from standard input's place on the command line: what was imported, and from what.

Prints each module whose byte code is missing or was made from another source.
"""

import importlib
import importlib.util
import os
import sys
from pathlib import Path

for name in sys.argv[1:]:
    importlib.import_module(name)

for _, module in sorted(sys.modules.items()):
    source = getattr(getattr(module, "__spec__", None), "origin", None)
    if not source or not source.endswith(".py"):
        continue
    compiled = Path(importlib.util.cache_from_source(source))
    state = os.stat(source)  # noqa: PTH116  as the importer does
    # PEP 552: magic number, flags (0: by date), modification time, length.
    wanted = importlib.util.MAGIC_NUMBER + b"".join(
        (number & 0xFFFF_FFFF).to_bytes(4, "little") for number in (0, int(state.st_mtime), state.st_size)
    )
    if not compiled.exists() or compiled.read_bytes()[:16] != wanted:
        print(source)
