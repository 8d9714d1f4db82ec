"""Webhooks over real sockets: what a receiver gets, and what each of its answers leads to."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from image_upload.limits import DELIVERY_RETRY_AFTER_MAX_S
from image_upload.notify.delivery import Delivery, Outcome
from image_upload.notify.webhook import WebhookTarget
from image_upload.settings.notify import NotifySettings
from tests.notify.receiver import SECRET, Receiver, answer, event, new_secret, settings_for


def deliver(settings: NotifySettings, timeout_s: float = 10, **options: Any) -> Outcome:
    """Deliver one event; return what came of it."""

    async def whole() -> Sequence[Outcome]:
        target = WebhookTarget(settings, **options)
        about = event()
        try:
            return await target.deliver([Delivery(str(about.id), "webhook", about.type, about.body, 1)], timeout_s)
        finally:
            await target.aclose()

    (outcome,) = asyncio.run(whole())
    return outcome


def test_a_receiver_verifies_an_event_with_the_reference_library(hooks: Receiver) -> None:
    assert deliver(settings_for(f"{hooks.url}?tenant=1")) == Outcome("delivered", "204")
    (came,) = hooks.received
    assert came.path == "/hooks/uploads?tenant=1"
    assert came.headers["content-type"] == "application/json"
    assert came.headers["webhook-id"] == str(event().id)
    assert Webhook(SECRET).verify(came.body, came.headers) == came.event
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(came.body.replace(b'"size":5', b'"size":6'), came.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(came.body, came.headers)


def test_while_the_secret_changes_a_receiver_may_have_either(hooks: Receiver) -> None:
    before, after = new_secret(), new_secret(64)
    deliver(settings_for(hooks.url, WEBHOOK_SECRET=after, WEBHOOK_PREVIOUS_SECRET=before))
    (came,) = hooks.received
    for secret in (before, after):
        assert Webhook(secret).verify(came.body, came.headers) == came.event


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_success(hooks: Receiver, status: int) -> None:
    hooks.usual = answer(status)
    assert deliver(settings_for(hooks.url)) == Outcome("delivered", str(status))


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_an_error_is_a_failure_and_its_retry_after_does_not_count(hooks: Receiver, status: int) -> None:
    hooks.usual = answer(status, Retry_After="7")
    assert deliver(settings_for(hooks.url)) == Outcome("failed", str(status))


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize(
    ("given", "pause_s"), [("7", 7.0), ("99999999999", float(DELIVERY_RETRY_AFTER_MAX_S)), ("soon", None)]
)
def test_a_busy_receiver_is_left_alone_as_long_as_it_asks(
    hooks: Receiver, status: int, given: str, pause_s: float | None
) -> None:
    hooks.usual = answer(status, Retry_After=given)
    assert deliver(settings_for(hooks.url)) == Outcome("failed", str(status), pause_s)


def test_410_ends_all_attempts(hooks: Receiver) -> None:
    hooks.usual = answer(410)
    outcome = deliver(settings_for(hooks.url))
    assert outcome == Outcome("gone", "410")
    assert outcome.next_pause_s(1) is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(hooks: Receiver, status: int) -> None:
    hooks.usual = answer(status, Location=f"{hooks.url}/elsewhere")
    assert deliver(settings_for(hooks.url)) == Outcome("failed", str(status))
    assert len(hooks.received) == 1


def test_a_receiver_that_hangs_costs_no_more_than_the_timeout(hooks: Receiver) -> None:
    hooks.usual = hooks.hang
    assert deliver(settings_for(hooks.url), timeout_s=0.3) == Outcome("failed", "timeout")


def test_a_head_that_comes_a_byte_at_a_time_costs_no_more_either(hooks: Receiver) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        while not hooks.closed.wait(0.02):
            handler.wfile.write(b"H")

    hooks.usual = drip
    outcome = deliver(settings_for(hooks.url), timeout_s=0.5)
    assert outcome.verdict == "failed"


def test_an_endless_answer_is_not_read(hooks: Receiver) -> None:
    sent = 0

    def flood(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while not hooks.closed.is_set():
                sent += handler.connection.send(bytes(65536))

    hooks.usual = flood
    assert deliver(settings_for(hooks.url)) == Outcome("delivered", "200")
    # What fits into the buffers of two sockets, not what a receiver likes to send.
    assert sent < 16 * 1024 * 1024


def test_a_receiver_that_breaks_off_is_a_failure(hooks: Receiver) -> None:
    hooks.usual = lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)
    outcome = deliver(settings_for(hooks.url))
    assert outcome == Outcome("failed", outcome.status)
    assert outcome.status in {"ReadError", "RemoteProtocolError"}


def test_where_nothing_listens_it_is_a_failure() -> None:
    assert deliver(settings_for("http://127.0.0.1:1/hooks")) == Outcome("failed", "ConnectError")


@pytest.mark.parametrize("host", ["a" * 64, "a..b", "-a-.invalid", "xn--a", "[::1%25lo]", "1.2.3.4.5", "a_b"])
def test_a_host_that_is_no_name_is_a_failure(host: str) -> None:
    async def resolve(name: str, port: int) -> list[str]:
        name.encode("idna")  # as the system's own does, before it asks
        raise OSError(name, port)

    assert deliver(settings_for(f"http://{host}:1/hooks"), resolver=resolve).verdict == "failed"


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "[fd00:ec2::254]", "0.0.0.0", "100.100.100.200", "2852039166", "0xA9FEA9FE", "168.63.129.16"],
)
def test_a_metadata_service_is_never_a_receiver(host: str) -> None:
    assert deliver(settings_for(f"http://{host}/latest/meta-data/")) == Outcome("failed", "address not public")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.0.9", "::1", "169.254.169.254", "fd00::1"])
def test_in_production_a_receiver_has_a_public_address(address: str) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        assert (host, port) == ("app.example.com", 443)
        return [address]

    url = "https://app.example.com/hooks"
    settings = settings_for(url, ENVIRONMENT="production", JWT_SECRET="x" * 32)
    assert deliver(settings, resolver=resolve) == Outcome("failed", "address not public")


def test_outside_production_a_name_may_lead_into_the_own_network_but_not_to_a_metadata_service() -> None:
    found: list[str] = []

    async def resolve(*_: Any) -> list[str]:
        return found

    settings = settings_for("http://receiver:1/hooks")
    for address in ("169.254.169.254", "100.100.100.200", "fd00:ec2::254", "127.0.0.1"):
        found[:] = [address]
        assert deliver(settings, resolver=resolve) == Outcome("failed", "address not public")
