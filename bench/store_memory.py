"""Measure memory and throughput of `POST /api/v1/s3/upload` by simultaneous uploads: `python -m bench.store_memory`.

The service runs in a process of its own before a store that keeps nothing. Nothing here is a test: the bounded form of
it is `tests/faults/test_buffers.py`.
"""

import time
from concurrent.futures import ThreadPoolExecutor

from image_upload.limits import UPLOADS_AT_ONCE
from local.embedded_s3 import EmbeddedS3
from tests.faults.hostile import hostile_store
from tests.faults.process import service_process
from tests.faults.storing import Forgetful, upload
from tests.faults.watching import peak_rss_bytes, rss_bytes

MB = 1_000_000
MIB = 1 << 20
CASES = ((1, 5 * MB), (10, 5 * MB), (50, 5 * MB), (200, 5 * MB), (100, 50 * MB))
CONNECTIONS_MOST = 20_000
# After the last answer the service releases memory; what it holds after this time, it retains.
SETTLES_S = 2.0


def measure(at_once: int, size_bytes: int) -> str:
    """Return a row of the table: uploads, the size of each, peak, retained memory, and bytes a second."""
    with hostile_store() as store:
        store.play(*[Forgetful().act] * CONNECTIONS_MOST)
        environ = EmbeddedS3(store.endpoint_url).environ
        with service_process(environ, UPLOADS_PER_ADDRESS=str(UPLOADS_AT_ONCE)) as process:
            assert upload(process.url, 5 * MB) == 200
            started = time.perf_counter()
            with ThreadPoolExecutor(at_once) as clients:
                answers = list(clients.map(lambda _: upload(process.url, size_bytes), range(at_once)))
            seconds = time.perf_counter() - started
            assert answers == [200] * at_once
            time.sleep(SETTLES_S)  # what it measures is what is kept after this time
            peak, left = peak_rss_bytes(process.pid) / MIB, rss_bytes(process.pid) / MIB
    rate = at_once * size_bytes / MB / seconds
    return f"{at_once:>7}   {size_bytes // MB:>5} MB   {peak:>6.0f} MiB   {left:>6.0f} MiB   {rate:>6.0f} MB/s"


if __name__ == "__main__":
    print("at once   each        peak         left         stored", flush=True)
    for case in CASES:
        print(measure(*case), flush=True)
