"""MiniStack whose warm containers belong to one version of a function each, and whose queues have a limit.

MiniStack keeps containers by the image alone, so a version would answer with the settings of another one of the same
image. And it compares the limit of an event source with a number, which is text where a parameter of a stack says it.
It parses templates in C, which takes half a second less each time, of three in a change. This is run by MiniStack's own
Python.
"""

import runpy
from typing import Any

import yaml
from ministack.services import lambda_svc

by_image = lambda_svc._warm_pool_key


def by_version(name: str, config: dict[str, Any]) -> str:
    return f"{by_image(name, config)}:{config.get('Version')}"


def in_numbers(source: dict[str, Any], *rest: Any) -> int:
    scaling = source.get("ScalingConfig") or {}
    counted = {name: int(each) for name, each in scaling.items()}
    limit: int = at_once(source | {"ScalingConfig": counted}, *rest)
    return limit


at_once = lambda_svc._sqs_esm_concurrency
yaml.SafeLoader = yaml.CSafeLoader
lambda_svc._warm_pool_key = by_version
lambda_svc._sqs_esm_concurrency = in_numbers
runpy.run_module("ministack", run_name="__main__")
