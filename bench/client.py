"""Measure the client for pages in Chromium beside a bare loop, the AWS CLI, Uppy, and one file after the other.

Everything goes into one Ceph on this machine, whose objects are in memory.
"""

import functools
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.measuring import NotMeasured, Result, free_port, interleaved, process_serving
from bench.proxy_ceph import GARBAGE_COLLECTED_S, running_ceph
from bench.run import Bench, Plan, run
from bench.surroundings import BENCH, ROOT, SERVICE, environment
from bench.ways import MIB, UPLOAD, WARM_UP_BYTES, Store, files_for

LARGE_BYTES = 512 * MIB
LARGE_ROUNDS = 3
MANY, MANY_BYTES = 200, 100_000
MANY_ROUNDS = 2
PAINTS = 3
FIRST_PAINT_MAX_BYTES = 30_000
CLIENT, BARE = "the client in Chromium", "a bare XMLHttpRequest loop in Chromium"
CLI, UPPY = "aws s3 cp", "@uppy/aws-s3 6 in Chromium"
AT_ONCE, ONE_BY_ONE = "all files added at once", "one file after the other"
_BUCKET = SERVICE["S3_BUCKET_NAME"]


class _Surroundings:
    """Chromium, the page with client and Uppy, and Ceph with a bucket that the page may send to."""

    def __init__(self, bench: Bench) -> None:
        # Playwright and Uppy are those of the tests in a browser.
        from tests.browser import conftest as browser
        from tests.npm import NPM_SECONDS, installed
        from tests.pages import served

        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
        if chromium is None or shutil.which("npm") is None:
            raise NotMeasured("there is no Chromium, or no npm")
        self._bench = bench
        work, dist = bench.home / "work", bench.home / "dist"
        work.mkdir()
        dist.mkdir()
        for name in ("browse.mjs", "uppy.mjs"):
            shutil.copy(BENCH / "peers" / name, work)
        shutil.copy(BENCH / "peers" / "client.html", dist)
        shutil.copy(ROOT / "client" / "upload.js", dist)
        (work / "node_modules").symlink_to(installed(browser.HERE, "uppy"))
        options = ["--bundle", "--format=iife", "--log-level=error", f"--outfile={dist / 'uppy.js'}"]
        options += [f"--alias:@uppy/{name}=uppy-{name}-6" for name in ("core", "aws-s3")]
        command = [str(work / "node_modules" / ".bin" / "esbuild"), "uppy.mjs", *options]
        subprocess.run(command, cwd=work, check=True, timeout=NPM_SECONDS)
        self._origin = bench.stack.enter_context(served(dist))
        self._browser = bench.stack.enter_context(browser.driven("browse.mjs", chromium, work))
        print("  starting Ceph (its packages are fetched once)", flush=True)
        self.store: Store = bench.stack.enter_context(running_ceph())
        self._s3 = self.store.client()
        self._s3.create_bucket(Bucket=_BUCKET)
        rule = {
            "AllowedOrigins": ["*"],
            "AllowedMethods": ["PUT", "POST"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": ["ETag"],
        }
        self._s3.put_bucket_cors(Bucket=_BUCKET, CORSConfiguration={"CORSRules": [rule]})

    def service(self, **more: str) -> int:
        """Start a service before the bucket; return its port."""
        settings = {**self.store.settings(), "CORS_ALLOW_ORIGINS": self._origin, **more}
        return self.start(UPLOAD, **settings)

    def delayed(self, target: int) -> int:
        """Put 20 ms before a port; return the port that has them."""
        node = ["node", str(BENCH / "peers" / "delay.mjs")]
        return self.start(lambda _: node, BENCH_TARGET_PORT=str(target))

    def start(self, command: Callable[[int], list[str]], **settings: str) -> int:
        port = free_port()
        environ = environment(self._bench.home, **settings, PORT=str(port))
        serves = process_serving(command(port), environ, self._bench.home, port=port, path="/")
        self._bench.stack.enter_context(serves)
        return port

    def asked(self, task: str, **given: Any) -> dict[str, Any]:
        """Return the outcome of a task of browse.mjs."""
        try:
            return self._browser.run({"task": task, **given})
        except AssertionError as error:
            raise NotMeasured(f"Chromium: {error}") from None

    def on_page(self, task: str, call: str, **given: Any) -> dict[str, Any]:
        """Return the outcome of a call of client.html."""
        return self.asked(task, page=f"{self._origin}/client.html", call=call, **given)

    def emptied(self, *sizes: int) -> None:
        """Check that the bucket holds objects of these sizes alone; delete them."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=_BUCKET)
        found = [each for page in pages for each in page.get("Contents", ())]
        if sorted(each["Size"] for each in found) != sorted(sizes):
            raise NotMeasured(f"{len(found)} objects were stored, and not {len(sizes)} of the right sizes")
        for each in found:
            self._s3.delete_object(Bucket=_BUCKET, Key=each["Key"])


def large(bench: Bench) -> list[Result]:
    """Send a file of 512 MiB in each way in turn, and watch the tab's memory and Chromium's CPU time."""
    from tests.aws_cli import aws_cli

    around = _Surroundings(bench)
    service = f"http://127.0.0.1:{around.service()}"
    files = files_for(bench, around.store, LARGE_BYTES)
    bench.stack.enter_context(aws_cli(bench.home))
    grown: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {}

    def cli(path: Path) -> float:
        # On plain http the CLI's checksums are in headers; in a trailer, as on https, Ceph 16 refuses them.
        keys = {"AWS_ACCESS_KEY_ID": around.store.access_key, "AWS_SECRET_ACCESS_KEY": around.store.secret_key}
        environ = environment(bench.home, **keys, AWS_SESSION_TOKEN="", AWS_ENDPOINT_URL=around.store.url)
        command = [str(bench.home / "aws"), "s3", "cp", "--quiet", str(path), f"s3://{_BUCKET}/uploads/cli.bin"]
        began = time.perf_counter()
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise NotMeasured(f"aws: {done.stderr.strip()[:300]}")
        return time.perf_counter() - began

    def sent(name: str, function: str, path: Path) -> float:
        found = around.on_page("send", f"{function}({service!r})", path=str(path))
        grown.setdefault(f"{name}, {path.stat().st_size // MIB} MiB", []).append(found["peak"] - found["before"])
        if path == files.large:
            cpu.setdefault(name, []).append(sum(found["cpu"].values()))
            for process, used in found["cpu"].items():
                cpu.setdefault(f"{name}: {process}", []).append(used)
        return float(found["seconds"])

    ways = {
        CLIENT: functools.partial(sent, CLIENT, "client"),
        BARE: functools.partial(sent, BARE, "bare"),
        CLI: cli,
        UPPY: functools.partial(sent, UPPY, "uppy"),
    }
    turns: list[str] = []

    def checked(send: Callable[[Path], float], path: Path, size: int) -> float:
        seconds = send(path)
        turns.append("")
        if len(turns) % len(ways) == 0:
            around.emptied(*[size] * len(ways))
            time.sleep(GARBAGE_COLLECTED_S)  # Ceph frees the objects meanwhile, which would be measured
        return seconds

    for send in ways.values():
        checked(send, files.small, WARM_UP_BYTES)
    takes = {name: functools.partial(checked, send, files.large, LARGE_BYTES) for name, send in ways.items()}
    values = interleaved(takes, LARGE_ROUNDS)
    speeds = {name: [LARGE_BYTES / MIB / seconds for seconds in each] for name, each in values.items()}
    result = Result("large", "1. A file of 512 MiB into Ceph", "MiB a second", speeds)
    result.compare("the throughput of the bare loop", CLIENT, BARE, 0.95)
    result.compare("that of aws s3 cp", CLIENT, CLI, 0.95)
    result.compare("that of Uppy", CLIENT, UPPY, 2)
    memory = Result("memory", "2. By how much the memory of the tab has grown meanwhile, at most", "MiB", grown)
    spent = Result("cpu", "2b. The CPU time of Chromium's processes for 512 MiB", "seconds", cpu)
    spent.compare("that of the bare loop", CLIENT, BARE)
    spent.compare("that of Uppy", CLIENT, UPPY)
    return [result, memory, spent]


def many(bench: Bench) -> list[Result]:
    """Send 200 files of 100 kB, at once and one after the other: on loopback, and with 20 ms a round trip."""
    around = _Surroundings(bench)
    s3_port = int(around.store.url.rpartition(":")[2])
    far_s3 = around.delayed(s3_port)
    far = around.delayed(around.service(S3_PUBLIC_ENDPOINT_URL=f"http://127.0.0.1:{far_s3}"))
    near = around.service()

    def sent(port: int, *, at_once: bool) -> float:
        found = around.on_page("run", f"many('http://127.0.0.1:{port}', {str(at_once).lower()}, {MANY}, {MANY_BYTES})")
        around.emptied(*[MANY_BYTES] * MANY)
        print(f"  {AT_ONCE if at_once else ONE_BY_ONE}: {found['seconds']:.1f} s", flush=True)
        return float(found["seconds"])

    results = []
    for name, port, title in (("many far", far, "20 ms a round trip"), ("many near", near, "loopback")):
        around.on_page("run", f"many('http://127.0.0.1:{port}', true, 5, {MANY_BYTES})")
        around.emptied(*[MANY_BYTES] * 5)
        takes = {
            AT_ONCE: functools.partial(sent, port, at_once=True),
            ONE_BY_ONE: functools.partial(sent, port, at_once=False),
        }
        result = Result(name, f"3. {MANY} files of 100 kB, {title}", "seconds", interleaved(takes, MANY_ROUNDS))
        result.compare("as fast as one after the other", ONE_BY_ONE, AT_ONCE, 3 if port == far else None)
        results.append(result)
    return results


def paint(bench: Bench) -> Result:
    """Open the page of `GET /` in a fresh profile: what its first paint has waited for."""
    around = _Surroundings(bench)
    url = f"http://127.0.0.1:{around.service()}/"
    found = [around.asked("paint", url=url) for _ in range(PAINTS)]
    paints = {"first paint": [each["paint"] for each in found]}
    result = Result("paint", "4. The first paint of the page", "milliseconds", paints)
    # https://developer.mozilla.org/docs/Web/API/PerformanceResourceTiming/renderBlockingStatus
    needed = [[each["bytes"] for each in one["requests"] if each["address"] in one["needed"]] for one in found]
    result.limit("requests that it waits for", max(map(len, needed)), 1)
    result.limit("their bytes, headers among them", max(map(sum, needed)), FIRST_PAINT_MAX_BYTES)
    for each in found[-1]["requests"]:
        result.notes.append(f"{each['bytes']:>8,} bytes: {each['address'].removeprefix(url.rstrip('/'))}")
    return result


PLAN = Plan(
    program="python -m bench.client",
    about=__doc__,
    duration="five minutes",
    deadline_s=1_200,
    measurements={"large": large, "many": many, "paint": paint},
    with_node=frozenset(),
    packages=("fastapi", "uvicorn", "uvloop", "httptools"),
    node_packages=(),
)

if __name__ == "__main__":
    run(PLAN)
