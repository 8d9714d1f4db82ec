"""The examples in a real browser, beside a service and a strict S3."""

from tests.client.conftest import browser, open_tab, origin, workshop

__all__ = ["browser", "open_tab", "origin", "workshop"]
