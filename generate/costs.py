"""docs/costs.md: three levels of traffic, and the prices."""

from typing import Final

from generate.blocks import fill, table
from image_upload.cli.cost import AS_OF, PRICES, REGION, Traffic, bill, total_usd

_LEVELS: Final = {
    "a small app": Traffic(uploads=10_000, mb=3, reads=5),
    "a product": Traffic(uploads=100_000, mb=3, reads=5, cdn=True, months=12),
    "a platform": Traffic(uploads=10_000_000, mb=5, reads=10, multipart=0.05, cdn=True, months=12, edge=True),
}


def page(text: str) -> str:
    """docs/costs.md."""
    bills = [{line.what: line.usd for line in bill(traffic)} for traffic in _LEVELS.values()]
    titles = (f"US dollars a month ({REGION}, {AS_OF})", *_LEVELS)
    asked = [
        ("uploads", *(f"{each.uploads:,}" for each in _LEVELS.values())),
        ("MB of each; reads of each; months that it stays", *map(_in_words, _LEVELS.values())),
    ]
    parts = [
        (what, *(f"{each[what]:,.2f}" if what in each else "" for each in bills))
        for what in PRICES
        if any(what in each for each in bills)
    ]
    sums = ("**together**", *(f"**{total_usd(each):,.2f}**" for each in _LEVELS.values()))
    prices = [
        (
            what,
            f"{price.usd:.10f}".rstrip("0").rstrip("."),
            f"[{price.page}](https://aws.amazon.com/{price.page}/pricing/)",
            f"`{f'prices {price.service} {price.usage}'.rstrip()}`",
        )
        for what, price in PRICES.items()
    ]
    return fill(
        text,
        {
            "levels": table(titles, [*asked, *parts, sums]),
            "prices": table(("What", f"US dollars, {REGION}, {AS_OF}", "AWS's page", "Compare"), prices),
        },
    )


def _in_words(traffic: Traffic) -> str:
    options = [name for name in ("cdn", "edge", "malware") if getattr(traffic, name)]
    in_parts = [f"{traffic.multipart:.0%} in parts"] if traffic.multipart else []
    return ", ".join(
        [f"{traffic.mb:g}; {traffic.reads:g}; {traffic.months:g}", *in_parts, *(f"`--{each}`" for each in options)]
    )
