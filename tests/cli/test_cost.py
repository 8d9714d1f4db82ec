"""The estimate: each part is its amount times its price, and a wrong number gives one sentence."""

import math
import re

import pytest

from image_upload.cli.cost import PRICES, Traffic, bill, run, total_usd
from tests.test_docs import ROOT


def usd(traffic: Traffic) -> dict[str, float]:
    return {line.what: line.usd for line in bill(traffic)}


def test_a_month_by_hand() -> None:
    found = usd(Traffic(uploads=100_000, mb=3, reads=0, verify=False))
    assert math.isclose(found["Lambda, a request"], 200_000 * 0.20e-6)
    assert math.isclose(found["S3, a PUT, COPY, POST or LIST"], 0.5)
    assert math.isclose(found["S3 Standard, a GB for a month"], 100_000 * 3 / 1024 * 0.023)
    assert "CloudFront, a request" not in found
    assert "SQS, a request" not in found


def test_each_option_adds_what_it_uses_and_nothing_else() -> None:
    plain = usd(Traffic(uploads=1_000, mb=3, verify=False))
    added = {
        "verify": {"SQS, a request"},
        "malware": {"GuardDuty, a file scanned", "GuardDuty, a GB scanned"},
        "edge": {"CloudFront, a request", "WAF, a request", "WAF, the web ACL and its four rules for a month"},
        "cdn": {"CloudFront, a GB to the Internet", "CloudFront, a request"},
    }
    for option, expected in added.items():
        found = usd(Traffic(uploads=1_000, mb=3, verify=False)._replace(**{option: True}))
        assert found.keys() - plain.keys() == expected, option
    assert total_usd(Traffic(uploads=1_000, mb=3, months=12)) > total_usd(Traffic(uploads=1_000, mb=3))
    # 100 MiB in parts of 8 MiB or more: each part is a PUT.
    in_parts = usd(Traffic(uploads=1_000, mb=100, multipart=1, verify=False))["S3, a PUT, COPY, POST or LIST"]
    assert 5 <= in_parts / (1_000 * PRICES["S3, a PUT, COPY, POST or LIST"].usd) <= 25


def test_the_page_says_of_each_price_where_aws_has_it_and_how_to_compare() -> None:
    text = (ROOT / "docs/costs.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| ([\d.]+) \| \[\w+\]\((\S+)\) \| `prices (\S+) ?(\S*)` \|$", text, re.MULTILINE)
    told = {what: (float(usd), page, service, usage) for what, usd, page, service, usage in rows}
    assert told == {
        what: (price.usd, f"https://aws.amazon.com/{price.page}/pricing/", price.service, price.usage)
        for what, price in PRICES.items()
    }


def test_the_command_prints_each_part_and_their_sum(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--uploads", "100000", "--mb", "3"]) == 0
    head, _, *lines, together = capsys.readouterr().out.splitlines()
    assert head.startswith("A month of 100,000 uploads of 3 MB")
    amounts = [float(line.split()[-1].replace(",", "")) for line in lines]
    printed = float(together.partition("(")[0].split()[-1].replace(",", ""))
    assert math.isclose(printed, total_usd(Traffic(uploads=100_000, mb=3)), abs_tol=0.01)
    assert math.isclose(sum(amounts), printed, abs_tol=0.01 * len(lines))
    assert run(["--uploads", "0", "--mb", "0"]) == 0


@pytest.mark.parametrize("wrong", [["-1", "3"], ["x", "3"], ["1.5", "3"], ["9" * 20, "3"], ["1", "nan"], ["1", "1e99"]])
def test_a_wrong_number_gives_one_sentence(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run([f"--uploads={wrong[0]}", f"--mb={wrong[1]}"])
    assert stopped.value.code == 2
    assert "error: argument --" in capsys.readouterr().err
