"""The gate lets an image through or refuses it, by ECR's answer and the list of exemptions."""

import datetime as dt
import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters

from infra import scan_gate
from infra.scan_gate import Exemption, Finding, GateError, exemptions, findings, verdict
from tests.in_thread import answering

TODAY = dt.date(2026, 11, 24)
DIGEST = f"sha256:{'a' * 64}"
IMAGE = f"123456789012.dkr.ecr.eu-north-1.amazonaws.com/upload@{DIGEST}"

BASIC = {
    "registryId": "123456789012",
    "repositoryName": "upload",
    "imageId": {"imageDigest": DIGEST},
    "imageScanStatus": {"status": "COMPLETE", "description": "The scan was completed successfully."},
    "imageScanFindings": {
        "imageScanCompletedAt": 1795500000,
        "vulnerabilitySourceUpdatedAt": 1795400000,
        "findingSeverityCounts": {"CRITICAL": 1, "HIGH": 1, "LOW": 1},
        "findings": [
            {
                "name": "CVE-2026-0001",
                "severity": "HIGH",
                "uri": "https://example.com/CVE-2026-0001",
                "attributes": [
                    {"key": "package_name", "value": "openssl"},
                    {"key": "package_version", "value": "3.0.1"},
                    {"key": "fixed_in_version", "value": "3.0.2"},
                ],
            },
            {"name": "CVE-2026-0002", "severity": "CRITICAL"},
            {"name": "CVE-2026-0003", "severity": "LOW"},
        ],
    },
}
ENHANCED = BASIC | {
    "imageScanStatus": {"status": "ACTIVE"},
    "imageScanFindings": {
        "imageScanCompletedAt": 1795500000,
        "enhancedFindings": [
            {
                "title": "CVE-2026-0001 - openssl",
                "severity": "HIGH",
                "status": "ACTIVE",
                "fixAvailable": "YES",
                "packageVulnerabilityDetails": {
                    "vulnerabilityId": "CVE-2026-0001",
                    "vulnerablePackages": [
                        {"name": "openssl", "version": "3.0.1", "fixedInVersion": "3.0.2"},
                        {"name": "openssl-libs", "version": "3.0.1", "fixedInVersion": "NotAvailable"},
                    ],
                },
            }
        ],
    },
}


@pytest.mark.parametrize("answer", [BASIC, ENHANCED])
def test_the_recorded_answers_have_the_shape_of_ecrs(answer: dict[str, Any]) -> None:
    shape = botocore.session.get_session().get_service_model("ecr").shape_for("DescribeImageScanFindingsResponse")
    unknown: list[str] = []

    def known(value: Any, shape: Any, path: str = "") -> None:
        if shape.type_name == "structure":
            unknown.extend(f"{path}.{name}" for name in value.keys() - shape.members.keys())
            for name in value.keys() & shape.members.keys():
                known(value[name], shape.members[name], f"{path}.{name}")
        elif shape.type_name == "list":
            for each in value:
                known(each, shape.member, path)

    known(answer, shape)
    assert unknown == []
    validate_parameters(answer, shape)


def test_basic_and_enhanced_findings_are_read_alike() -> None:
    assert findings(BASIC) == [
        Finding("CVE-2026-0001", "HIGH", "openssl 3.0.1", "3.0.2"),
        Finding("CVE-2026-0002", "CRITICAL", "", ""),
        Finding("CVE-2026-0003", "LOW", "", ""),
    ]
    assert findings(ENHANCED) == [Finding("CVE-2026-0001", "HIGH", "openssl 3.0.1, openssl-libs 3.0.1", "3.0.2")]


HIGH = Finding("CVE-2026-0001", "HIGH", "openssl 3.0.1", "3.0.2")


def test_an_exemption_lets_a_finding_through_up_to_its_day_and_no_longer() -> None:
    refused, said = verdict([HIGH], {HIGH.name: Exemption(TODAY, "not reached")}, TODAY)
    assert (refused, said) == (
        [],
        ["let through until 2026-11-24: HIGH     CVE-2026-0001 in openssl 3.0.1, fixed in 3.0.2 (not reached)"],
    )
    refused, said = verdict([HIGH], {HIGH.name: Exemption(TODAY - dt.timedelta(days=1), "not reached")}, TODAY)
    assert refused == [
        "HIGH     CVE-2026-0001 in openssl 3.0.1, fixed in 3.0.2; it was let through until 2026-11-23",
    ]


def test_an_exemption_of_one_finding_lets_no_other_through_and_is_named_when_it_is_of_no_use() -> None:
    refused, said = verdict([HIGH], {"CVE-2026-0009": Exemption(TODAY, "gone")}, TODAY)
    assert refused == ["HIGH     CVE-2026-0001 in openssl 3.0.1, fixed in 3.0.2"]
    assert said == ["CVE-2026-0009 is not found any more: take it out of scan_allow.toml"]


@pytest.mark.parametrize(
    "entry",
    [
        'name = "CVE-1"\nreason = "x"',
        'name = "CVE-1"\nuntil = "2026-12-31"\nreason = "x"',
        'name = "CVE-1"\nuntil = 2026-12-31T00:00:00\nreason = "x"',
        'name = "CVE-1"\nuntil = 2026-12-31\nreason = ""',
        'name = "CVE-1"\nuntil = 2026-12-31\nreason = "x"\nforever = true',
    ],
)
def test_an_exemption_without_a_date_or_a_reason_is_refused(entry: str) -> None:
    with pytest.raises(GateError, match="name, until"):
        exemptions(f"[[finding]]\n{entry}\n")


def test_the_committed_list_can_be_read_and_its_example_is_right() -> None:
    text = scan_gate.ALLOWED.read_text(encoding="utf-8")
    assert exemptions(text) == {}
    example = text[text.index("# [[finding]]") :].replace("# ", "")
    assert exemptions(example)["CVE-2026-12345"].until == dt.date(2026, 12, 31)


def test_pip_audit_gets_what_is_let_through_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    allowed = tmp_path / "scan_allow.toml"
    entry = '[[finding]]\nname = "{}"\nuntil = {}\nreason = "x"\n'
    allowed.write_text(entry.format("GHSA-1", "2999-01-01") + entry.format("GHSA-2", "2020-01-01"))
    monkeypatch.setattr(scan_gate, "ALLOWED", allowed)
    assert scan_gate.main(["--pip-audit"]) == 0
    assert capsys.readouterr().out == "--ignore-vuln GHSA-1\n"


@pytest.mark.parametrize("image", ["upload:latest", f"{IMAGE};x", "--region", "", f"evil.example.com/upload@{DIGEST}"])
def test_only_an_image_in_ecr_by_digest_is_asked_for(image: str) -> None:
    with pytest.raises(GateError, match="by digest"):
        scan_gate.scanned(image)


# --- with the AWS CLI, against a server that answers as ECR does -----------------------------------


class Registry(ThreadingHTTPServer):
    """Answers each call with the next of its answers, the last one for ever."""

    answers: list[tuple[int, dict[str, Any]]]
    asked: list[dict[str, Any]]


class Answering(BaseHTTPRequestHandler):
    server: Registry

    def do_POST(self) -> None:
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        status, answer = self.server.answers[min(len(self.server.asked), len(self.server.answers)) - 1]
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def registry(aws_cli: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    server = Registry(("127.0.0.1", 0), Answering)
    server.asked = []
    monkeypatch.setenv("PATH", f"{aws_cli}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr("infra.scan_gate.time.sleep", lambda _: None)
    with answering(server):
        yield server


def waiting(status: str) -> dict[str, Any]:
    return {key: value for key, value in BASIC.items() if key != "imageScanFindings"} | {
        "imageScanStatus": {"status": status, "description": "because"}
    }


NOT_YET = (400, {"__type": "ScanNotFoundException", "message": "Image scan does not exist"})


@pytest.mark.needs("awscli")
def test_the_gate_waits_for_the_scan_and_refuses_what_is_severe(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.answers = [NOT_YET, (200, waiting("PENDING")), (200, waiting("IN_PROGRESS")), (200, BASIC)]
    assert scan_gate.main([IMAGE]) == 1
    out = capsys.readouterr().out
    assert out.startswith("3 findings, 2 of them CRITICAL or HIGH, 2 refused\n  CRITICAL CVE-2026-0002 in the image")
    assert "CVE-2026-0003" not in out
    assert "--rebuild" in out
    assert len(registry.asked) == 4
    assert registry.asked[0]["imageId"] == {"imageDigest": DIGEST}
    assert (registry.asked[0]["registryId"], registry.asked[0]["repositoryName"]) == ("123456789012", "upload")


@pytest.mark.needs("awscli")
def test_every_page_of_findings_is_read(registry: Registry) -> None:
    first = {"name": "CVE-2026-0005", "severity": "LOW"}
    scan = {"imageScanCompletedAt": 1795500000}
    registry.answers = [
        (200, BASIC | {"imageScanFindings": scan | {"findings": [first]}, "nextToken": "2"}),
        (200, BASIC | {"imageScanFindings": scan | {"findings": [{"name": "CVE-2026-0006", "severity": "HIGH"}]}}),
    ]
    assert scan_gate.main([IMAGE]) == 1
    assert registry.asked[1]["nextToken"] == "2"


@pytest.mark.needs("awscli")
def test_an_image_without_severe_findings_passes(registry: Registry) -> None:
    registry.answers = [(200, BASIC | {"imageScanFindings": {"imageScanCompletedAt": 1795500000, "findings": []}})]
    assert scan_gate.main([IMAGE]) == 0


@pytest.mark.needs("awscli")
@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([(200, waiting("UNSUPPORTED_IMAGE"))], "has not scanned the image"),
        ([(200, waiting("FAILED"))], "has not scanned the image"),
        ([(400, {"__type": "RepositoryNotFoundException", "message": "no upload"})], "does not tell"),
        ([NOT_YET], "did not end in time"),
        ([(200, waiting("COMPLETE"))], "did not end in time"),
    ],
)
def test_what_cannot_be_decided_is_no_pass(
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answers: list[tuple[int, dict[str, Any]]],
    said: str,
) -> None:
    registry.answers = answers
    monkeypatch.setattr(scan_gate, "WITHIN_S", 0.0)
    assert scan_gate.main([IMAGE]) == 2
    assert said in capsys.readouterr().err
