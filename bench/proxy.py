"""Measure the form proxy against its peers, all in one run on one machine: `python -m bench.proxy`.

Nothing here is a test: a slow machine fails nothing. What cannot be installed is reported as not measured.
docs/performance.md says what the numbers mean.
"""

from collections.abc import Callable, Mapping

from bench.measuring import Result
from bench.proxy_ceph import ceph
from bench.proxy_lambda import on_lambda
from bench.proxy_sink import sink
from bench.run import Bench, Plan, run

MEASUREMENTS: Mapping[str, Callable[[Bench], list[Result]]] = {"sink": sink, "ceph": ceph, "lambda": on_lambda}

PLAN = Plan(
    program="python -m bench.proxy",
    about=__doc__,
    duration="four minutes",
    deadline_s=600,
    measurements=MEASUREMENTS,
    with_node=frozenset({"ceph"}),
    packages=(
        "fastapi", "starlette", "python-multipart", "mangum", "pybase64", "uvicorn", "uvloop", "httptools", "httpx",
        "granian", "boto3",
    ),
    node_packages=("@tus/server", "@tus/s3-store"),
)  # fmt: skip

if __name__ == "__main__":
    run(PLAN)
