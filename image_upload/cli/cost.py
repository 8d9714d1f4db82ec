"""`cost`: what AWS takes in a month for so many uploads, a line for each part of the bill. It asks no server.

The free tier is left out, and so is what does not grow with uploads: a database, Redis, a NAT gateway.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from image_upload.limits import GIB, MIB, S3_OBJECT_MAX_BYTES
from image_upload.uploads.strategy import part_length

REGION: Final = "us-east-1"
AS_OF: Final = "2026-11"


class Price(NamedTuple):
    """US dollars for one, and where AWS says it: its price page, its code and usage type in the price list, if known.

    https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/price-changes.html
    """

    usd: float
    page: str
    service: str
    usage: str = ""


# Written from memory, usage types too: no page of AWS could be read where this was written. AWS's pages count.
PRICES: Final[dict[str, Price]] = {
    "Lambda, a request": Price(0.20e-6, "lambda", "AWSLambda", "Request-ARM"),
    "Lambda on arm64, a GB for a second": Price(0.0000133334, "lambda", "AWSLambda", "Lambda-GB-Second-ARM"),
    "S3, a PUT, COPY, POST or LIST": Price(5e-6, "s3", "AmazonS3", "Requests-Tier1"),
    "S3, a GET or HEAD": Price(0.4e-6, "s3", "AmazonS3", "Requests-Tier2"),
    "S3 Standard, a GB for a month": Price(0.023, "s3", "AmazonS3", "TimedStorage-ByteHrs"),
    "S3, a GB to the Internet": Price(0.09, "s3", "AWSDataTransfer", "DataTransfer-Out-Bytes"),
    "CloudFront, a GB to the Internet": Price(0.085, "cloudfront", "AmazonCloudFront", "US-DataTransfer-Out-Bytes"),
    "CloudFront, a request": Price(1e-6, "cloudfront", "AmazonCloudFront", "US-Requests-Tier2-HTTPS"),
    "EventBridge, an event of S3": Price(1e-6, "eventbridge", "AWSEvents"),
    "SQS, a request": Price(0.40e-6, "sqs", "AWSQueueService"),
    "CloudWatch, a GB of logs": Price(0.50, "cloudwatch", "AmazonCloudWatch", "USE1-DataProcessing-Bytes"),
    "CloudWatch, an alarm for a month": Price(0.10, "cloudwatch", "AmazonCloudWatch", "CW:AlarmMonitorUsage"),
    "GuardDuty, a file scanned": Price(0.22e-3, "guardduty", "AmazonGuardDuty"),
    "GuardDuty, a GB scanned": Price(0.09, "guardduty", "AmazonGuardDuty"),
    "WAF, the web ACL and its four rules for a month": Price(9.0, "waf", "awswaf"),
    "WAF, a request": Price(0.60e-6, "waf", "awswaf"),
}

# Of docs/performance.md and docs/stack.md, rounded up: a request at 1 GB with its share of cold starts, and
# verifying at 1,769 MB.
_REQUEST_S: Final = 0.02
_REQUEST_GB: Final = 1.0
_VERIFY_S_PER_MB: Final = 0.2
_VERIFY_GB: Final = 1.769 / 1.024
_LOGGED_BYTES: Final = 1024
# A message is sent, received and deleted.
_QUEUE_REQUESTS: Final = 3
_ALARMS: Final = 9
_COUNT_MAX: Final = 10**12


class Traffic(NamedTuple):
    """A month: uploads, the size of each in MiB, reads of each, and what of the stack is switched on."""

    uploads: int
    mb: float
    reads: float = 1.0
    multipart: float = 0.0
    """Share of the uploads in parts, 0 to 1."""
    months: float = 1.0
    """How long a file stays, so that this many months of uploads are in store."""
    verify: bool = True
    malware: bool = False
    cdn: bool = False
    edge: bool = False


class Line(NamedTuple):
    """A part of the bill: what it is, how much of it, and its US dollars."""

    what: str
    amount: float
    usd: float


def bill(traffic: Traffic) -> list[Line]:
    """Return the month's bill, a line for each price that it comes to."""
    return [Line(price, amount, amount * PRICES[price].usd) for price, amount in _amounts(traffic) if amount]


def total_usd(traffic: Traffic) -> float:
    """Return the month's sum."""
    return sum(line.usd for line in bill(traffic))


def _amounts(asked: Traffic) -> Iterator[tuple[str, float]]:
    """Yield each price and how much of it. An upload is minted, sent, confirmed; a read is asked for and fetched."""
    uploads, reads = asked.uploads, asked.uploads * asked.reads
    in_parts = uploads * asked.multipart
    parts = math.ceil(asked.mb * MIB / part_length(max(1, int(asked.mb * MIB))))
    # Beginning, completing, and the request of the parts' URLs; a CDN's address needs no request.
    requests = 2 * uploads + in_parts + (0 if asked.cdn else reads)
    verified = uploads if asked.verify else 0
    # What the verifier publishes is a new object.
    objects = uploads + verified
    stored_gb = uploads * asked.mb * MIB / GIB
    read_gb = reads * asked.mb * MIB / GIB

    yield "Lambda, a request", requests + verified
    request_s, verify_s = requests * _REQUEST_S * _REQUEST_GB, verified * asked.mb * _VERIFY_S_PER_MB * _VERIFY_GB
    yield "Lambda on arm64, a GB for a second", request_s + verify_s
    yield "S3, a PUT, COPY, POST or LIST", uploads - in_parts + in_parts * (parts + 2) + verified
    yield "S3, a GET or HEAD", uploads + 2 * verified + reads
    yield "S3 Standard, a GB for a month", stored_gb * asked.months
    yield "CloudFront, a GB to the Internet" if asked.cdn else "S3, a GB to the Internet", read_gb
    yield "CloudFront, a request", (reads if asked.cdn else 0) + (requests if asked.edge else 0)
    yield "EventBridge, an event of S3", objects
    yield "SQS, a request", verified * _QUEUE_REQUESTS
    yield "CloudWatch, a GB of logs", (requests + verified) * _LOGGED_BYTES / GIB
    yield "CloudWatch, an alarm for a month", _ALARMS
    yield "GuardDuty, a file scanned", uploads if asked.malware else 0
    yield "GuardDuty, a GB scanned", stored_gb if asked.malware else 0
    yield "WAF, the web ACL and its four rules for a month", int(asked.edge)
    yield "WAF, a request", requests if asked.edge else 0


def run(arguments: Sequence[str]) -> int:
    """Run `cost`: print the bill. Return 0."""
    asked = _parsed(arguments)
    traffic = Traffic(**vars(asked))
    lines = bill(traffic)
    width = max(len(line.what) for line in lines)
    print(f"A month of {traffic.uploads:,} uploads of {traffic.mb:g} MB, US dollars, {REGION}, prices of {AS_OF}\n")
    for line in lines:
        print(f"  {line.what:{width}}  {line.amount:>16,.1f}  {line.usd:>12,.2f}")
    sum_usd = total_usd(traffic)
    each = f"   (${sum_usd / traffic.uploads * 1000:,.2f} a thousand uploads)" if traffic.uploads else ""
    print(f"  {'together':{width}}  {'':16}  {sum_usd:>12,.2f}{each}")
    return 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m image_upload cost",
        description=f"Estimate what AWS takes in a month, by the prices of {REGION} of {AS_OF}, without the free tier.",
        epilog="docs/costs.md says what is in it and what is not.",
    )
    parser.add_argument("--uploads", type=_within(_COUNT_MAX, int), required=True, help="uploads in the month")
    parser.add_argument("--mb", type=_within(S3_OBJECT_MAX_BYTES / MIB, float), required=True, help="MiB of each")
    parser.add_argument("--reads", type=_within(_COUNT_MAX, float), default=1.0, help="reads of each file; 1")
    parser.add_argument("--multipart", type=_within(1, float), default=0.0, help="share sent in parts, 0 to 1; 0")
    parser.add_argument("--months", type=_within(1200, float), default=1.0, help="months that a file stays; 1")
    parser.add_argument("--no-verify", dest="verify", action="store_false", help="without VERIFY=publish")
    parser.add_argument("--malware", action="store_true", help="with MalwareScanner=guardduty")
    parser.add_argument("--cdn", action="store_true", help="reads through the CDN")
    parser.add_argument("--edge", action="store_true", help="with the edge and its managed firewall")
    return parser.parse_args(arguments)


def _within(most: float, kind: type[int] | type[float]) -> Callable[[str], float]:
    """Return what reads a number from 0 to `most`, for argparse."""

    def read(text: str) -> float:
        value = kind(text)
        if not 0 <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not from 0 to {most:g}")
        return value

    read.__name__ = "number"  # argparse names it in its message about a text that is none
    return read
