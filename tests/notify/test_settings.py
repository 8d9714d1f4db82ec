"""Settings of webhooks and event buses: what is refused at the start, and said without the secret."""

import base64

import pytest

from image_upload.settings import SettingsError, load
from tests.notify.receiver import ENVIRON, new_secret

PRODUCTION = ENVIRON | {"ENVIRONMENT": "production", "JWT_SECRET": "x" * 32}
URL = "https://app.example.com/hooks"


def whsec(size: int) -> str:
    return "whsec_" + base64.b64encode(b"h" * size).decode()


@pytest.mark.parametrize("url", [URL, "https://app.example.com:8443/a?b=c", "https://93.184.215.14/"])
def test_an_address_with_a_secret_is_enough(url: str) -> None:
    for size in (24, 64):
        settings = load(PRODUCTION | {"WEBHOOK_URL": url, "WEBHOOK_SECRET": new_secret(size)}).notify
        assert settings.webhook_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://app.example.com/hooks",
        "ftp://app.example.com/",
        "app.example.com/hooks",
        "https://user:pass@app.example.com/",
        "https://app.example.com/#part",
        "https:///hooks",
        "https://app.example.com/h ooks",
        "https://app.example.com/훅",
        "https://app.example.com/" + "x" * 2_048,
        "https://app.example.com:99999/",
    ],
)
def test_another_address_stops_the_start(url: str) -> None:
    with pytest.raises(SettingsError, match="  WEBHOOK_URL: "):
        load(PRODUCTION | {"WEBHOOK_URL": url, "WEBHOOK_SECRET": new_secret()})


def test_an_address_without_a_secret_stops_a_service_but_no_command() -> None:
    with pytest.raises(SettingsError, match="  WEBHOOK_SECRET: missing"):
        load(PRODUCTION | {"WEBHOOK_URL": URL})
    assert load(PRODUCTION | {"WEBHOOK_URL": URL}, serving=False).notify.webhook_secret is None


@pytest.mark.parametrize("name", ["WEBHOOK_SECRET", "WEBHOOK_PREVIOUS_SECRET"])
@pytest.mark.parametrize(
    ("secret", "wrong"),
    [
        ("hunter2", "does not begin with whsec_"),
        ("whsec_hunter2!", "base64"),
        (base64.b64encode(b"hunter" * 5).decode(), "does not begin with whsec_"),
        (whsec(23), "24 to 64"),
        (whsec(65), "24 to 64"),
        ("whsec_", "24 to 64"),
    ],
)
def test_a_secret_of_another_form_is_refused_and_not_repeated(name: str, secret: str, wrong: str) -> None:
    with pytest.raises(SettingsError, match=f"  {name}: .*{wrong}") as caught:
        load(PRODUCTION | {"WEBHOOK_URL": URL, "WEBHOOK_SECRET": new_secret(), name: secret})
    if secret != "whsec_":
        assert secret not in str(caught.value)


def test_a_previous_secret_goes_with_a_secret() -> None:
    with pytest.raises(SettingsError, match="  WEBHOOK_PREVIOUS_SECRET: it goes together"):
        load(PRODUCTION | {"WEBHOOK_PREVIOUS_SECRET": new_secret()})


@pytest.mark.parametrize(
    ("bus", "region"),
    [
        ("uploads", "eu-north-1"),
        ("default", "eu-north-1"),
        ("arn:aws:events:us-west-2:123456789012:event-bus/uploads", "us-west-2"),
        ("arn:aws-cn:events:cn-north-1:123456789012:event-bus/a/b.c", "cn-north-1"),
    ],
)
def test_a_bus_is_a_name_or_an_arn(bus: str, region: str) -> None:
    assert load(PRODUCTION | {"EVENT_BUS": bus}).notify.event_bus_region == region


@pytest.mark.parametrize("bus", ["a bus", "x" * 257, "arn:aws:sqs:eu-north-1:123456789012:q", "arn:aws:events:::bus"])
def test_another_text_is_no_bus(bus: str) -> None:
    with pytest.raises(SettingsError, match="  EVENT_BUS: "):
        load(PRODUCTION | {"EVENT_BUS": bus})


def test_an_emulated_event_bus_is_possible_only_outside_production() -> None:
    given = {"AWS_ENDPOINT_URL_EVENTBRIDGE": "http://localhost:4566"}
    assert load(ENVIRON | given).notify.events_endpoint == "http://localhost:4566"
    with pytest.raises(SettingsError, match="  AWS_ENDPOINT_URL_EVENTBRIDGE: "):
        load(PRODUCTION | given)
