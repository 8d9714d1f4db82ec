"""The examples of docs/webhooks.md, as its readers copy them."""

import re

from tests.test_docs import read


def example(language: str, holds: str) -> str:
    """The one block of code in this language that holds a text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", read("docs/webhooks.md"), re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if holds in block]
    return str(found)
