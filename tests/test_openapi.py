"""The OpenAPI document keeps its word: whatever is sent, there is no 5xx and no answer that it does not name."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.internal.conjecture import engine

from local.database import local_database
from local.embedded_s3 import EmbeddedS3
from tests.conftest import serving, settings_for
from tests.test_docs import operations
from tests.tiers import FIRST

# For each operation, of what the document allows and of what it forbids; in the first tier and in the others.
EXAMPLES = 1, 15
# After so many without an example there is none: hypothesis tries 459, which took most of this file's time.
TRIES = 60


def no_fault_of_ours(_: Any, response: Any, __: Any) -> None:
    """No 5xx, but for a way of signing in that is not set up here, which the document names."""
    if response.status_code >= 500:
        assert response.json()["code"] == "sign-in-not-configured", response.text


def checks() -> list[Any]:
    """What schemathesis looks at. Its import takes 0.7 s of CPU: only the process pays that which runs these tests."""
    from schemathesis.specs.openapi import checks

    return [
        no_fault_of_ours,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]


@pytest.fixture(scope="session")
def described(s3: EmbeddedS3) -> Iterator[Any]:
    """The document as a running service gives it, with a database behind that."""
    import schemathesis

    # Imports are refused: their examples lead to servers of the outside.
    with local_database() as database, serving(settings_for(s3, **database, FROM_URL="false")) as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("operation", sorted(operations()))
def test_every_answer_is_one_that_the_document_names(
    described: Any, operation: str, mode: str, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the document allows, and what it forbids."""
    from schemathesis import GenerationMode

    monkeypatch.setattr(engine, "INVALID_THRESHOLD_BASE", TRIES)
    method, path = operation.split()

    @settings(
        max_examples=EXAMPLES[tier != FIRST],
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(described[path][method].as_strategy(generation_mode=GenerationMode(mode)))
    def answer(case: Any) -> None:
        case.call_and_validate(checks=checks())

    try:
        answer()
    except Unsatisfiable:
        assert mode == "negative"
        pytest.skip("whatever is sent here is allowed: there is nothing to get wrong that schemathesis knows of")
