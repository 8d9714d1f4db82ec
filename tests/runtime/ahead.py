"""`upload.handler` under a clock that a test puts forward: by the seconds in the file that CLOCK_AHEAD names."""

import os
import time
from pathlib import Path
from unittest.mock import patch

import upload


def _now() -> float:
    return time.time() + float(Path(os.environ["CLOCK_AHEAD"]).read_text(encoding="utf-8"))


patch("image_upload.live_app.wall_clock", _now).start()
handler = upload.handler
