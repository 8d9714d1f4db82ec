"""The way of an arrival on an emulated AWS: bucket, queue, the function that verifies; bucket, queue, the live version.

MiniStack runs no image without a container engine. So each function of the stack is replaced by a few lines that pass
each event on to environments of the real one: awslambdaric with its handler, one event at a time, as on Lambda. The
queues, the rules, their policies and the event sources are those of the template.
"""

import contextlib
import copy
import json
import queue
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import httpx
import pytest

from image_upload.cli import bucket_rules
from image_upload.database.records import Records
from image_upload.database.values import Record
from image_upload.limits import ARRIVAL_MAX_CHARS
from infra.queues import ATTEMPTS
from tests.completion.stores import expected_object
from tests.contract.test_publish import PHOTO
from tests.database.databases import Place, empty, migrated
from tests.database.postgres import Postgres
from tests.in_thread import answering
from tests.infra.ministack import REGION, ministack, template_url
from tests.infra.template import TEMPLATE, VERIFIED
from tests.infra.test_deploy import Cloud
from tests.runtime.api import Outcome
from tests.runtime.process import HANDLER, Function, function

pytestmark = [pytest.mark.needs("ministack"), pytest.mark.needs("postgres")]

WITHIN_S = 400.0
# What fails is waited for most of a minute, and each question takes 20 ms of CPU.
POLL_S = 0.5
# Twenty full batches for the two environments of a function.
COUNT = 200
AT_ONCE = 2
JPEG = {"Content-Type": "image/jpeg"}
SCRIPT = b"<script>alert('uploaded')</script>".ljust(len(PHOTO))
KEYS = {"AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": ""}
# How long a message that failed stays hidden: of the stack's half an hour as much as five attempts fit into a test.
HIDDEN_S = 8

PASS_ON = """
import http.client, json
def handler(event, context):
    connection = http.client.HTTPConnection("127.0.0.1", {port}, timeout=60)
    connection.request("POST", "/", json.dumps(event))
    answer = connection.getresponse()
    document = json.loads(answer.read())
    if answer.status != 200:
        raise RuntimeError(document)
    return document
"""


class Environments:
    """The environments of the function, each for one event at a time. It counts how many are asked for at once."""

    def __init__(self) -> None:
        self.port = 0
        self.most = 0
        self.answers: list[dict[str, Any]] = []
        self._free: queue.Queue[Function] = queue.Queue()
        self._busy = 0
        self._lock = threading.Lock()

    def add(self, *running: Function) -> None:
        for each in running:
            self._free.put(each)

    def invoke(self, event: bytes) -> Outcome:
        with self._lock:
            self._busy += 1
            self.most = max(self.most, self._busy)
        environment = self._free.get()
        try:
            outcome = environment.api.invoke(event)
        finally:
            self._free.put(environment)
            with self._lock:
                self._busy -= 1
        self.answers.append({"event": json.loads(event), "answer": outcome.answer, "error": outcome.error})
        return outcome


@contextlib.contextmanager
def environments() -> Iterator[Environments]:
    """Reached by HTTP; nothing is added yet."""
    found = Environments()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # http.server's own name
            outcome = found.invoke(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(outcome.error if outcome.answer is None else outcome.answer).encode()
            self.send_response(200 if outcome.answer is not None else 500)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    with answering(server):
        yield found


class Functions(NamedTuple):
    """The environments of both functions, by their logical names."""

    Function: Environments
    Verifier: Environments


@pytest.fixture(scope="module")
def functions() -> Iterator[Functions]:
    with environments() as function_, environments() as verifier:
        yield Functions(function_, verifier)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with ministack() as url:
        yield url


@pytest.fixture(scope="module")
def cloud(endpoint: str, functions: Functions) -> Cloud:
    def client(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    template = copy.deepcopy(TEMPLATE)
    for name, each in functions._asdict().items():
        properties = template["Resources"][name]["Properties"]
        properties.pop("ImageConfig", None)
        properties |= {
            "PackageType": "Zip",
            "Code": {"ZipFile": PASS_ON.format(port=each.port)},
            "Runtime": "python3.13",
            "Handler": "index.handler",
        }
    return Cloud(client, template_url(client("s3"), json.dumps(template)))


def until(holds: Callable[[], bool], what: Callable[[], Any]) -> None:
    """Wait until something holds; else say what does."""
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(POLL_S)  # before it is asked again


def waiting(sqs: Any, url: str) -> int:
    """Messages of a queue, seen and hidden."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    return sum(map(int, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()))


def received(sqs: Any, url: str, count: int) -> list[str]:
    """The bodies of so many messages."""
    bodies: list[str] = []

    def enough() -> bool:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600)
        bodies.extend(each["Body"] for each in answer.get("Messages", ()))
        return len(bodies) >= count

    until(enough, lambda: bodies)
    return bodies


def about(key: str, bucket: str) -> str:
    """EventBridge's event of a new object."""
    event = json.loads(Path("events/s3-object-created.json").read_text(encoding="utf-8"))
    event["detail"] |= {"bucket": {"name": bucket}, "object": {"key": key}}
    return json.dumps(event)


def poisons(bucket: str) -> list[str]:
    return [
        "no JSON",
        "[" * 20_000,
        json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": {}}),
        about("uploads/a.jpg", "somebody-elses-bucket"),
        about("uploads/a.jpg", bucket) + " " * ARRIVAL_MAX_CHARS,
    ]


def test_two_hundred_arrivals_are_published_once_and_the_poisoned_ones_end_in_the_dead_letters(
    cloud: Cloud, endpoint: str, functions: Functions, postgres: Postgres, tmp_path: Path
) -> None:
    place = migrated(empty("postgres", lambda: postgres, tmp_path))
    limits = {"EventConcurrency": str(AT_ONCE), "VerifierConcurrency": str(AT_ONCE), "TimeoutSeconds": "60"}
    # With versions each write leaves a trace; without the clock each event is one of these.
    traced = {"Versioning": "true", "SweepSchedule": "off"}
    outputs = cloud.create("upload", **VERIFIED, **limits, **traced, Database="true")
    bucket, sqs, s3 = outputs["BucketName"], cloud.client("sqs"), cloud.client("s3")
    waits = {name: sqs.get_queue_url(QueueName=f"upload-{name}")["QueueUrl"] for name in ("verifications", "arrivals")}
    dead = {"verifications": outputs["VerificationsDeadUrl"], "arrivals": outputs["ArrivalsDeadUrl"]}
    for queue_url in waits.values():
        sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"VisibilityTimeout": str(HIDDEN_S)})
    count_in_numbers(cloud.client("lambda"))
    poisoned = poisons(bucket)

    def left() -> list[int]:
        return [waiting(sqs, url) for url in (*waits.values(), *dead.values())]

    async def insert(records: Records) -> list[Record]:
        return [await records.insert("post", expected_object(size_bytes=len(PHOTO))) for _ in range(COUNT)]

    rows = place.ask(insert)
    faulty = {row.expected_object.key for number, row in enumerate(rows) if number % 50 == 10}
    good = {row.expected_object.key for row in rows} - faulty

    def arrive(number: int) -> None:
        key = rows[number].expected_object.key
        content = SCRIPT if key in faulty else PHOTO
        # Not by the SDK, which takes longer than the rest of the way: MiniStack asks for no signature.
        web.put(f"{endpoint}/{bucket}/incoming/{key}", content=content, headers=JPEG).raise_for_status()
        if number % 20 == 0:  # what S3 tells of twice
            sqs.send_message(QueueUrl=waits["verifications"], MessageBody=about(f"incoming/{key}", bucket))
            sqs.send_message(QueueUrl=waits["arrivals"], MessageBody=about(key, bucket))
        if number % 40 == 20:
            for queue_url in waits.values():
                sqs.send_message(QueueUrl=queue_url, MessageBody=poisoned[number // 40])

    with contextlib.ExitStack() as stack:
        stores = {**KEYS, "S3_BUCKET_NAME": bucket, "AWS_S3_ENDPOINT_URL": endpoint, "VERIFY": "publish"}
        start(stack, functions, tmp_path, stores, place.url)
        web = stack.enter_context(httpx.Client(trust_env=False))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(arrive, range(COUNT)))
        settled = [("rejected", len(faulty)), ("stored", len(good))]
        until(lambda: states(place) == settled, lambda: (states(place), [each.answers[-3:] for each in functions]))
        noted = place.sql("SELECT id, updated_at FROM uploads ORDER BY id")
        until(lambda: left() == [0, 0, len(poisoned), len(poisoned)], left)

    for url in dead.values():
        assert sorted(received(sqs, url, len(poisoned))) == sorted(poisoned)
    assert place.sql("SELECT id, updated_at FROM uploads ORDER BY id") == noted
    # Every file was published or rejected, and no arrival is left.
    written = s3.get_paginator("list_object_versions").paginate(Bucket=bucket).build_full_result()["Versions"]
    found = Counter(each["Key"] for each in written if not each["Key"].startswith("incoming/"))
    assert found.keys() == good | {f"rejected/{key}" for key in faulty}
    assert not s3.list_objects_v2(Bucket=bucket, Prefix="incoming/").get("Contents")
    # Once: except where two environments were told of one file at the same moment, because MiniStack's CopyObject
    # takes no If-None-Match. tests/contract/test_publish.py has servers that do.
    twice = {row.expected_object.key for row in rows[::20]}
    assert {key.removeprefix("rejected/") for key, count in found.items() if count > 1} <= twice
    for each in functions:
        assert each.most == AT_ONCE
        assert failed_by(each) == sorted(poisoned * ATTEMPTS)
        assert max(len(one["event"]["Records"]) for one in each.answers) == 10
    # What was published came back to the other function alone.
    bodies = {it["body"] for one in functions.Verifier.answers for it in one["event"]["Records"]} - set(poisoned)
    assert {json.loads(body)["detail"]["object"]["key"].partition("/")[0] for body in bodies} == {"incoming"}


def start(stack: contextlib.ExitStack, functions: Functions, home: Path, stores: dict[str, str], database: str) -> None:
    """Start as many environments of each function as the stack lets run at once."""
    own = {
        "Function": (HANDLER, {"DATABASE_URL": database, "VERIFIER": "function"}),
        "Verifier": ("image_upload.verifying_function.handler", {"VERIFIER": "self"}),
    }
    for name, (handler, environ) in own.items():
        for number in range(AT_ONCE):
            folder = home / f"{name}{number}"
            folder.mkdir()
            running = stack.enter_context(function(folder, stores | environ, handler=handler))
            getattr(functions, name).add(running)


def failed_by(environments: Environments) -> list[str]:
    """The messages that came back, as often as they did. No invocation failed as a whole."""
    answers = environments.answers
    assert [each["error"] for each in answers if each["error"]] == []
    bodies = {it["messageId"]: it["body"] for each in answers for it in each["event"]["Records"]}
    return sorted(bodies[it["itemIdentifier"]] for each in answers for it in each["answer"]["batchItemFailures"])


def count_in_numbers(functions: Any) -> None:
    """What the template says again, by Lambda's API: MiniStack compares the text of a parameter with a number."""
    for each in functions.list_event_source_mappings()["EventSourceMappings"]:
        most = int(each["ScalingConfig"]["MaximumConcurrency"])
        functions.update_event_source_mapping(UUID=each["UUID"], ScalingConfig={"MaximumConcurrency": most})


def states(place: Place) -> list[tuple[Any, ...]]:
    return place.sql("SELECT state, count(*) FROM uploads GROUP BY state")


def test_the_queues_are_made_as_the_template_says(cloud: Cloud) -> None:
    cloud.create("described", Database="true")
    sqs, functions = cloud.client("sqs"), cloud.client("lambda")
    arrivals = sqs.get_queue_url(QueueName="described-arrivals")["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=arrivals, AttributeNames=["All"])["Attributes"]
    assert (found["VisibilityTimeout"], found["SqsManagedSseEnabled"]) == ("1800", "true")
    assert json.loads(found["RedrivePolicy"])["maxReceiveCount"] in (ATTEMPTS, str(ATTEMPTS))
    (mapping,) = [
        each
        for each in functions.list_event_source_mappings()["EventSourceMappings"]
        if each["EventSourceArn"] == found["QueueArn"]
    ]
    assert mapping["FunctionArn"].endswith(":described:live")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert int(mapping["ScalingConfig"]["MaximumConcurrency"]) == 5
    targets = cloud.client("events").list_rule_names_by_target(TargetArn=mapping["FunctionArn"])["RuleNames"]
    assert [each.partition("-SweepRule")[0] for each in targets] == ["described"]


def test_an_existing_bucket_tells_of_its_objects_once_its_rules_are_set(
    cloud: Cloud, endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket = f"existing-{secrets.token_hex(6)}"
    s3, sqs = cloud.client("s3"), cloud.client("sqs")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    theirs = sqs.create_queue(QueueName="theirs")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=theirs, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    told = [{"Id": "theirs", "QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": told}, SkipDestinationValidation=True
    )
    formation = cloud.client("cloudformation")
    # Without a live version the queue keeps what arrives.
    formation.create_stack(
        StackName="existing", **cloud.template, **cloud.asked(Database="true", ExistingBucketName=bucket)
    )
    command = cloud.outputs("existing", "CREATE_COMPLETE")["BucketRulesCommand"].split()
    assert command[3:] == ["bucket-rules", "--bucket", bucket, "--events"]
    s3.put_object(Bucket=bucket, Key="uploads/before.jpg", Body=b"x")

    monkeypatch.chdir(tmp_path)
    for name, value in {**KEYS, "AWS_S3_ENDPOINT_URL": endpoint, "ENVIRONMENT": "local"}.items():
        monkeypatch.setenv(name, value)
    assert bucket_rules.run([*command[4:], "--apply"]) == 0
    s3.put_object(Bucket=bucket, Key="uploads/after.jpg", Body=b"x")

    arrivals = sqs.get_queue_url(QueueName="existing-arrivals")["QueueUrl"]
    (event,) = [json.loads(body) for body in received(sqs, arrivals, 1)]
    assert (event["detail-type"], event["detail"]["object"]["key"]) == ("Object Created", "uploads/after.jpg")
    # Earlier receivers are still told, and get no test event.
    others = [json.loads(body)["Records"][0]["s3"]["object"]["key"] for body in received(sqs, theirs, 2)]
    assert sorted(others) == ["uploads/after.jpg", "uploads/before.jpg"]
