"""One AWS for all stories, in namespaces that `make e2e` opens.

Each module is the story of one stack, its `STACK`, and has a worker of the run to itself: most of a deployment waits.
"""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import httpx
import pytest

from tests.contract import servers
from tests.e2e.prepare import prepared
from tests.e2e.world import World, cloned, is_isolated, world
from tests.needs import unavailable

# How a user with an AWS account calls it: environment variables.
ENVIRON: Final = pytest.StashKey[dict[str, str]]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Start the AWS before the first worker, and tell every worker of it."""
    config: pytest.Config = node.config
    if ENVIRON not in config.stash and is_isolated():
        stack = ExitStack()
        config.add_cleanup(stack.close)
        scratch = stack.enter_context(servers._scratch("e2e"))
        config.stash[ENVIRON] = stack.enter_context(world(prepared(), scratch))
    node.workerinput["aws"] = config.stash.get(ENVIRON, None)


@pytest.fixture(scope="module")
def aws(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    environ = getattr(request.config, "workerinput", {}).get("aws")
    if environ is None:
        unavailable("namespaces", "this run has no network of its own")
    return World(environ, cloned(tmp_path_factory.mktemp("clone")), request.module.STACK)


@pytest.fixture(scope="module")
def web(aws: World) -> Iterator[httpx.Client]:
    with httpx.Client(
        trust_env=False, verify=ssl.create_default_context(cafile=aws.environ["SSL_CERT_FILE"]), timeout=60
    ) as client:
        yield client
