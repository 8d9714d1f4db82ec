"""The table of gaps of each S3 server, in docs/stores.md and in the page of the contract's tests."""

from generate.blocks import fill, table
from tests.contract.gaps import GAPS, PROMISES

_TITLES = {"ceph": "Ceph", "seaweedfs": "SeaweedFS", "localstack": "LocalStack", "moto": "moto"}


def page(text: str) -> str:
    """Write the table of docs/stores.md, or of tests/contract/README.md."""
    rows = [
        (f"`{gap}`", asked, answer, *(GAPS[server].get(gap, "") for server in _TITLES))
        for gap, (asked, answer) in PROMISES.items()
    ]
    return fill(text, {"gaps": table(("Gap", "What is asked of S3", "AWS", *_TITLES.values()), rows)})
