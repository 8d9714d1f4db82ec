"""What docs/runbooks.md has an operator type: commands that the AWS CLI has, and patterns of lines that the log has."""

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import httpx
import pytest
from botocore import xform_name
from botocore.exceptions import UnknownServiceError
from botocore.model import ServiceModel

from image_upload.telemetry.logs import JsonFormatter
from infra.dashboard import QUERIES
from tests.conftest import Start
from tests.infra.template import TEMPLATE
from tests.test_docs import ROOT

RUNBOOKS = (ROOT / "docs/runbooks.md").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "docs").glob("*.md"))
# What every command takes. The last two are of version 2, as are the commands below.
# https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-options.html
GLOBAL = {
    "query",
    "output",
    "profile",
    "region",
    "endpoint-url",
    "cli-read-timeout",
    "no-cli-pager",
    "cli-binary-format",
}
# Commands that are the CLI's own, which no model of a service has.
OWN = re.compile(r"(s3|configure|sso) \w+|ecr get-login-password|logs tail|cloudformation deploy|\w+ wait")
# What Lambda and its runtime write themselves, by the schema of the Telemetry API and by awslambdaric.
# https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
LAMBDA: list[dict[str, Any]] = [
    {"type": "platform.report", "record": {"requestId": "a", "status": "success"}},
    {"type": "platform.report", "record": {"requestId": "b", "status": "timeout"}},
    {"type": "platform.report", "record": {"requestId": "c", "status": "error", "errorType": "Runtime.ExitError"}},
    {"level": "ERROR", "errorType": "SettingsError", "errorMessage": "The service cannot start: …", "requestId": ""},
]


_COMMAND = re.compile(r"\baws (?:--(?:profile|endpoint-url)[ =]\S+ )?([a-z][^|;&\n]*)")


def commands(text: str) -> Iterator[str]:
    """Each call of the AWS CLI in the code of a page, from its service on; one in another's argument by itself."""
    code = re.findall(r"^```(?:text|bash|sh)\n(.*?)^```|`(aws [^`]+)`", text, re.MULTILINE | re.DOTALL)
    for block, span in code:
        rest = re.sub(r"\\\n", " ", block or span)
        rest = re.sub(r"'[^']*'", "''", rest)
        while inner := re.search(r"\$?\(([^()]*)\)", rest):
            rest = rest[: inner.start()] + "X" + rest[inner.end() :]
            yield from _COMMAND.findall(inner[1])
        yield from _COMMAND.findall(rest)


@functools.cache
def model_of(service: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(service)


def fault(command: str) -> str | None:
    """What the AWS CLI would not take of a command."""
    service, operation, *_ = *command.split(), ""
    if not operation or OWN.match(f"{service} {operation}"):
        return None
    try:
        model = model_of({"s3api": "s3"}.get(service, service))
    except UnknownServiceError:
        return f"no service {service}"
    names = {xform_name(name, "-"): name for name in model.operation_names}
    if operation not in names:
        return f"{service} has no {operation}"
    shape = model.operation_model(names[operation]).input_shape
    members = {xform_name(name, "-") for name in (shape.members if shape else ())}
    given = set(re.findall(r"\s--(?:no-)?([a-z][a-z-]*)", command))
    unknown = given - members - GLOBAL - {"max-items", "page-size", "max-results"}
    return f"{service} {operation} has no {sorted(unknown)}" if unknown else None


@pytest.mark.full
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_aws_cli_has_each_command_and_option_of_a_page(page: Path) -> None:
    found = [(each, fault(each)) for each in commands(page.read_text(encoding="utf-8"))]
    assert [each for each in found if each[1]] == []


def test_a_runbook_asks_nothing_that_only_one_version_of_the_cli_has() -> None:
    calls = list(commands(RUNBOOKS))
    assert len(calls) > 10
    assert [each for each in calls if OWN.match(each) or "--cli-binary-format" in each] == []


def test_what_a_command_would_be_refused_for_is_found() -> None:
    assert fault("sqs receive-message --queue-url X --visibility-timeout 0") is None
    assert fault("sqs receive-message --queue-uri X") == "sqs receive-message has no ['queue-uri']"
    assert fault("sqs recieve-message --queue-url X") == "sqs has no recieve-message"
    assert fault("sqss receive-message --queue-url X") == "no service sqss"
    assert list(commands('```text\na "$(aws sqs x --b "$(of A)")" --c\n```')) == ['sqs x --b "X"']


def matches(pattern: str, line: dict[str, Any]) -> bool:
    """Whether CloudWatch's pattern of JSON takes a line, for what the runbooks use of its grammar.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    """

    def compare(term: re.Match[str]) -> str:
        value: Any = line
        for name in term[1].split("."):
            value = value.get(name) if isinstance(value, dict) else None
        wanted = json.loads(term[3])
        return str(value is not None and (value == wanted if term[2] == "=" else value >= wanted))

    text = re.sub(r'\$\.([\w.]+) (>?=) ("[^"]*"|\d+)', compare, pattern.strip("{} "))
    assert re.fullmatch(r"[()\s]*(?:(?:True|False|&&|\|\|)[()\s]*)+", text), text
    return bool(eval(text.replace("&&", " and ").replace("||", " or ")))  # noqa: S307  what is left was checked above


@pytest.mark.full
def test_the_patterns_and_queries_find_the_lines_that_the_service_and_lambda_write(
    start: Start, web: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    service = start(
        AWS_S3_ENDPOINT_URL="http://127.0.0.1:9", JWT_SECRET="s" * 32, DATABASE_URL="postgresql://u@127.0.0.1:9/x"
    )
    web.get(f"{service}/errors").raise_for_status()
    spec = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 5}
    assert web.post(f"{service}/posts", json=spec).json()["code"] == "database-unavailable"
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records] + LAMBDA
    patterns = dict(re.findall(r"^(\w+)\(\) \{ said '(\{.*?\})'", RUNBOOKS, re.MULTILINE))
    errors = [line for line in lines if matches(patterns["errors"], line)]
    assert [line.get("code") for line in errors if "status" in line] == ["database-unavailable"]
    assert [line["database_error"] != "" for line in errors if "database_error" in line] == [True]
    assert [line for line in errors if line in LAMBDA] == LAMBDA[1:]
    assert all(matches(patterns["warnings"], line) for line in errors if line.get("level") == "ERROR")
    counted = TEMPLATE["Resources"]["ServerErrors"]["Properties"]["FilterPattern"]
    assert len([line for line in lines if matches(counted, line)]) == 1
    known = {name for line in lines for name in line} | {
        f"record.{name}" for line in LAMBDA for name in line.get("record", ())
    }
    # Of a request with a token, a line that gives a reason, and one with a traceback.
    known |= {"user_id", "reason", "exception"}
    for query in QUERIES.values():
        assert fields(query) <= known | {"@timestamp"}


# Of the language of queries.
_WORDS = {"filter", "and", "or", "in", "parse", "stats", "as", "by", "sort", "desc", "limit", "fields"}


def fields(query: str) -> set[str]:
    """The fields of a line that a query asks for; not what it makes itself."""
    text = re.sub(r'"[^"]*"|/\^.*?/\s', " ", query)
    made = set(re.findall(r"as (\w+)", text)) | {"route"}
    words = re.findall(r"(?<![\w@.])(@?[a-z][\w.]*)\b(?!\()", text, re.IGNORECASE)
    return set(words) - made - _WORDS
