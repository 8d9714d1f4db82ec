"""MiniStack whose warm containers belong to one version of a function each. It is run by MiniStack's own Python.

MiniStack keeps them by the image alone, so a version would answer with the settings of another one of the same image.
"""

import runpy
from typing import Any

from ministack.services import lambda_svc  # type: ignore[import-not-found]  # not of this environment

by_image = lambda_svc._warm_pool_key


def by_version(name: str, config: dict[str, Any]) -> str:
    return f"{by_image(name, config)}:{config.get('Version')}"


lambda_svc._warm_pool_key = by_version
runpy.run_module("ministack", run_name="__main__")
