"""Refuse an image in ECR that has a known vulnerability: `python3 infra/scan_gate.py IMAGE`.

A step of .github/workflows/deploy.yml. It needs Python 3.11 and the AWS CLI only. It waits for the end of the scan, and
ends with 1 for a finding of severity CRITICAL or HIGH that infra/scan_allow.toml does not allow. `--pip-audit` prints
that list as options of pip-audit, for the step that runs it.
"""

import argparse
import datetime as dt
import json
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

ALLOWED: Final = Path(__file__).with_name("scan_allow.toml")
REFUSED_SEVERITIES: Final = ("CRITICAL", "HIGH")
COMMAND: Final = ("aws", "ecr", "describe-image-scan-findings")
WITHIN_S: Final = 600.0
POLL_S: Final = 5.0
_IMAGE: Final = re.compile(
    r"(?P<registry>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?"
    r"/(?P<repository>[a-z0-9/_.-]+)@(?P<digest>sha256:[0-9a-f]{64})"
)
# https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageScanStatus.html. ACTIVE belongs to enhanced
# scanning, which scans again when a new vulnerability becomes known.
_UNDER_WAY: Final = ("IN_PROGRESS", "PENDING")
_FINISHED: Final = ("COMPLETE", "ACTIVE")


class GateError(Exception):
    """The gate cannot decide. The message says why and what to do."""


class Finding(NamedTuple):
    """A vulnerability of a package in an image."""

    name: str
    severity: str
    package: str
    fixed_in: str


class Exemption(NamedTuple):
    """A finding that is allowed up to and including a day."""

    until: dt.date
    reason: str


def findings(answer: Mapping[str, Any]) -> list[Finding]:
    """Return the findings in an answer of DescribeImageScanFindings, of basic and of enhanced scanning.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImageScanFindings.html
    """
    scan = answer["imageScanFindings"]
    found = []
    for each in scan.get("findings") or ():
        facts = {fact["key"]: fact.get("value", "") for fact in each.get("attributes", ())}
        package = f"{facts.get('package_name', '')} {facts.get('package_version', '')}".strip()
        found.append(Finding(each["name"], each["severity"], package, facts.get("fixed_in_version", "")))
    for each in scan.get("enhancedFindings") or ():
        details = each.get("packageVulnerabilityDetails", {})
        packages = details.get("vulnerablePackages", ())
        named = ", ".join(f"{package['name']} {package.get('version', '')}".strip() for package in packages)
        fixes = ", ".join(sorted({package.get("fixedInVersion", "") for package in packages} - {"", "NotAvailable"}))
        found.append(Finding(details.get("vulnerabilityId", each.get("title", "")), each["severity"], named, fixes))
    return found


def exemptions(text: str) -> dict[str, Exemption]:
    """Parse infra/scan_allow.toml: the name of a finding → until when, and why.

    Raises `GateError` for an entry with missing or unknown members.
    """
    made: dict[str, Exemption] = {}
    for each in tomllib.loads(text).get("finding", ()):
        match each:
            # In Python a TOML date-time is an instance of date too.
            case {"name": str(name), "until": dt.date() as until, "reason": str(reason)} if (
                len(each) == len(Exemption._fields) + 1 and reason and not isinstance(until, dt.datetime)
            ):
                made[name] = Exemption(until, reason)
            case _:
                raise GateError(
                    f"{ALLOWED.name}: each finding has name, until (a date) and reason, not {sorted(each)}."
                )
    return made


def verdict(found: list[Finding], allowed: Mapping[str, Exemption], today: dt.date) -> tuple[list[str], list[str]]:
    """Return the refused findings and the notes, a line each."""
    refused, said = [], []
    for each in sorted(set(found), key=lambda finding: (REFUSED_SEVERITIES.index(finding.severity), finding.name)):
        line = f"{each.severity:<8} {each.name} in {each.package or 'the image'}"
        line += f", fixed in {each.fixed_in}" if each.fixed_in else ", no fix known"
        exemption = allowed.get(each.name)
        if exemption and today <= exemption.until:
            said.append(f"let through until {exemption.until}: {line} ({exemption.reason})")
        else:
            refused.append(f"{line}; it was let through until {exemption.until}" if exemption else line)
    gone = sorted(allowed.keys() - {each.name for each in found})
    said += [f"{name} is not found any more: take it out of {ALLOWED.name}" for name in gone]
    return refused, said


def scanned(image: str) -> dict[str, Any]:
    """Wait for the end of an image's scan; return ECR's answer.

    Raises `GateError` if there is no scan, or if it does not end within ten minutes.
    """
    named = _IMAGE.fullmatch(image)
    if not named:
        raise GateError(f"{image} is no image in ECR by digest; hand over what ./deploy.sh --image-only prints last.")
    place = ["--region", named["region"], "--registry-id", named["registry"], "--repository-name", named["repository"]]
    command = [*COMMAND, *place, "--image-id", f"imageDigest={named['digest']}", "--output", "json"]
    deadline = time.monotonic() + WITHIN_S
    while True:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  from a checked name
        if done.returncode == 0:
            answer: dict[str, Any] = json.loads(done.stdout)
            status = answer.get("imageScanStatus") or {}
            # The CLI writes null for missing members.
            if status.get("status") in _FINISHED and "imageScanCompletedAt" in (answer.get("imageScanFindings") or {}):
                return answer
            if status.get("status") not in (*_FINISHED, *_UNDER_WAY):
                raise GateError(f"ECR has not scanned the image: {status}. Build on a base that ECR knows.")
        # The scan starts a moment after the push.
        elif "ScanNotFoundException" not in done.stderr:
            raise GateError(f"ECR does not tell what it found: {done.stderr.strip()}")
        if time.monotonic() >= deadline:
            raise GateError(
                "The scan did not end in time; look whether the repository scans on push: "
                f"aws ecr describe-repositories --repository-names {named['repository']}"
            )
        time.sleep(POLL_S)  # before it is asked again


def main(arguments: list[str] | None = None) -> int:
    """Check an image. Return 1 if it is refused, 2 if that cannot be decided."""
    parser = argparse.ArgumentParser(prog="scan_gate.py", description="Refuse an image with known vulnerabilities.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("image", nargs="?", help="ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME@sha256:...")
    what.add_argument("--pip-audit", action="store_true", help="print what is let through as options of pip-audit")
    given = parser.parse_args(arguments)
    today = dt.datetime.now(tz=dt.UTC).date()
    try:
        allowed = exemptions(ALLOWED.read_text(encoding="utf-8"))
        if given.pip_audit:
            print(" ".join(f"--ignore-vuln {name}" for name, each in allowed.items() if today <= each.until))
            return 0
        found = findings(scanned(given.image))
    except GateError as error:
        print(f"scan_gate.py: {error}", file=sys.stderr)
        return 2
    severe = [each for each in found if each.severity in REFUSED_SEVERITIES]
    refused, said = verdict(severe, allowed, today)
    print(f"{len(found)} findings, {len(severe)} of them CRITICAL or HIGH, {len(refused)} refused")
    for line in [*refused, *said]:
        print(f"  {line}")
    if refused:
        print(
            "Take in newer packages with ./deploy.sh --rebuild. Where there is no fix yet and the service does not use "
            f"what is broken, add the finding to infra/{ALLOWED.name} with a date and the reason."
        )
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
