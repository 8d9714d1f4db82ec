"""What clamd's answers mean, also those of a server that is none."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from image_upload.cli.doctor import malware
from image_upload.limits import CLAMD_ANSWER_MAX_BYTES
from image_upload.settings import SettingsError, load
from image_upload.settings.verification import VerificationSettings
from image_upload.verification import clamd
from local.ports import claim_port

REQUIRED = {"S3_BUCKET_NAME": "photos", "AWS_REGION": "us-east-1", "ENVIRONMENT": "test"}
SCANS = {"VERIFY": "publish", "MALWARE_SCANNER": "clamd"}


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("stream: OK", "clean"),
        ("stream: Win.Test.EICAR_HDB-1 FOUND", "infected"),
        ("stream: OK FOUND", "infected"),
        ("stream: Heuristics.Limits.Exceeded.MaxRecursion FOUND", "unscannable"),
        ("stream: Heuristics.Encrypted.Zip FOUND", "unscannable"),
        ("stream: Can't allocate memory ERROR", "unscannable"),
        ("INSTREAM size limit exceeded. ERROR", "unscannable"),
        ("COMMAND READ TIMED OUT", "waiting"),
        ("UNKNOWN COMMAND", "waiting"),
        ("OK", "waiting"),
        ("stream: ", "waiting"),
        ("stream: OK ", "waiting"),
        ("other: OK", "waiting"),
        ("", "waiting"),
    ],
)
def test_only_an_answer_about_the_file_is_a_verdict(answer: str, result: str) -> None:
    assert clamd.verdict(answer).result == result


@pytest.mark.parametrize(
    "url", ["tcp://127.0.0.1:3310", "tcp://[::1]:3310", "tcp://clamd.internal:1", "unix:///a.sock"]
)
def test_an_address_of_clamd_is_taken(url: str) -> None:
    assert load({**REQUIRED, **SCANS, "CLAMD_URL": url}).verification.clamd_url == url


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({"MALWARE_SCANNER": "clamd", "CLAMD_URL": "tcp://a:1"}, "MALWARE_SCANNER: without VERIFY=publish"),
        ({"VERIFY": "report", "MALWARE_SCANNER": "guardduty"}, "MALWARE_SCANNER: without VERIFY=publish"),
        (SCANS, "CLAMD_URL: missing"),
        ({**SCANS, "CLAMD_URL": "tcp://a:0"}, "CLAMD_URL: no port"),
        ({**SCANS, "CLAMD_URL": "tcp://a:65536"}, "CLAMD_URL: no port"),
        ({**SCANS, "CLAMD_URL": "tcp://user@a:1"}, "CLAMD_URL: not of this form"),
        ({**SCANS, "CLAMD_URL": "http://a:3310"}, "CLAMD_URL: not of this form"),
        ({**SCANS, "CLAMD_URL": "unix://relative"}, "CLAMD_URL: not of this form"),
    ],
)
def test_a_scanner_that_could_not_scan_stops_the_start(environ: dict[str, str], fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        load({**REQUIRED, **environ})


def test_what_another_process_scans_with_is_not_needed_here() -> None:
    assert load({**REQUIRED, **SCANS, "VERIFIER": "function"}).verification.clamd_url is None


# --- the doctor -----------------------------------------------------------------------------------


def found(answers: dict[bytes, bytes]) -> tuple[str, str]:
    """State and text of the doctor's finding about a server that gives these answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = await reader.readuntil(b"\0")
        writer.write(answers[command])
        await writer.drain()
        writer.close()

    return _with_server(serve, lambda url: asyncio.to_thread(_finding, url))


def _finding(url: str) -> tuple[str, str]:
    settings = VerificationSettings.read({**REQUIRED, **SCANS, "CLAMD_URL": url}, serving=False)[0]
    (finding,) = malware.checks(settings)
    return finding.state, finding.seen


def _with_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    work: Callable[[str], Awaitable[tuple[str, str]]],
) -> tuple[str, str]:
    async def go() -> tuple[str, str]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            return await work(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("ping", "scan", "state", "seen"),
    [
        (b"PONG\0", b"stream: Test.EICAR FOUND\0", "ok", "Test.EICAR"),
        (b"PONG\0", b"stream: OK\0", "FAIL", "does not find the EICAR test file"),
        (b"HTTP/1.1 400 Bad Request\0", b"", "FAIL", "is no clamd"),
        (b"x" * 2 * CLAMD_ANSWER_MAX_BYTES, b"", "FAIL", "does not answer"),
        (b"", b"", "FAIL", "does not answer"),
        (b"PONG\0", b"stream: cut", "FAIL", "does not answer"),
    ],
)
def test_the_doctor_asks_clamd(ping: bytes, scan: bytes, state: str, seen: str) -> None:
    told, text = found({b"zPING\0": ping, b"zINSTREAM\0": scan})
    assert told == state
    assert seen in text


def test_the_doctor_says_where_nothing_listens() -> None:
    with claim_port("127.0.0.1", 0, "PORT") as claimed:
        port = claimed.getsockname()[1]
    state, seen = _finding(f"tcp://127.0.0.1:{port}")
    assert state == "FAIL"
    assert "ConnectionRefusedError" in seen
