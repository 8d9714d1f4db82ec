"""docs/metrics.md: the table of what is measured."""

from generate.blocks import fill, table
from image_upload.telemetry.metrics import TABLE
from image_upload.telemetry.prometheus import PREFIX


def page(text: str) -> str:
    """docs/metrics.md."""
    rows = [
        (
            f"`{PREFIX}{metric.name}`",
            metric.kind,
            ", ".join(f"`{label}`" for label in metric.labels) or "none",
            metric.meaning,
        )
        for metric in TABLE
    ]
    return fill(text, {"metrics": table(("Metric", "Kind", "Labels", "What it says"), rows)})
