"""Where a request comes from; and everything that clients say about it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mangum.handlers import HTTPGateway

from image_upload.settings import Settings, SettingsError, load
from image_upload.usage.addresses import UNKNOWN, address_of, counted
from tests.test_lambda import ROOT

GIVEN = {"S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1", "ENVIRONMENT": "test"}
PROXIES = "10.0.0.0/8, 192.168.1.1, fd00::/8"


def found(peer: str | None, *forwarded: str, **environ: str) -> str:
    headers = [(b"x-forwarded-for", value.encode("latin-1", "replace")) for value in forwarded]
    scope = {"type": "http", "client": (peer, 5) if peer is not None else None, "headers": headers}
    return address_of(load(GIVEN | environ).usage)(scope)


def test_without_trusted_proxies_nothing_that_a_client_says_counts() -> None:
    assert found("203.0.113.7") == "203.0.113.7"
    for header in ("198.51.100.1", "127.0.0.1", "10.0.0.1, 198.51.100.1", "203.0.113.8", "", ",", "x" * 9000):
        assert found("203.0.113.7", header) == "203.0.113.7"
        assert found("10.0.0.1", header) == "10.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        # What the client itself wrote stands left of what the proxy wrote about the client.
        (["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        (["10.0.0.9, 198.51.100.1"], "198.51.100.1"),
        (["1.1.1.1, 198.51.100.1, 10.2.3.4"], "198.51.100.1"),
        (["1.1.1.1, 198.51.100.1, 10.2.3.4,192.168.1.1"], "198.51.100.1"),
        # Several headers are one list, in their order.
        (["198.51.100.1", "10.2.3.4"], "198.51.100.1"),
        (["10.2.3.4", "198.51.100.1"], "198.51.100.1"),
        # A proxy that is not ours is a client.
        (["198.51.100.1, 192.168.1.2"], "192.168.1.2"),
        # Nothing but ourselves.
        (["10.2.3.4"], "10.2.3.4"),
        ([], "10.0.0.1"),
        ([""], "10.0.0.1"),
        # What is not an address ends the search: only a client writes such things.
        (["198.51.100.1, unknown"], "10.0.0.1"),
        (["198.51.100.1, unknown, 10.2.3.4"], "10.2.3.4"),
        (["198.51.100.1, "], "10.0.0.1"),
        (["198.51.100.1:443"], "10.0.0.1"),
        (["[2001:db8::1]"], "10.0.0.1"),
        (["0198.51.100.1"], "10.0.0.1"),
        (["198.51.100.1/32"], "10.0.0.1"),
        (["3325256705"], "10.0.0.1"),
        (["198.51.100.1\t"], "198.51.100.1"),
        (["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        (["1.1.1.1, fd00::1"], "1.1.1.1"),
        (["::ffff:10.1.1.1"], "10.1.1.1"),
        (["1.1.1.1, ::ffff:198.51.100.1"], "198.51.100.1"),
        ([", ".join(["9.9.9.9"] * 500 + ["198.51.100.1"])], "198.51.100.1"),
        ([", ".join(["9.9.9.9"] + ["10.0.0.1"] * 500)], "10.0.0.1"),
    ],
)  # fmt: skip
def test_behind_trusted_proxies_the_rightmost_other_address_counts(forwarded: list[str], address: str) -> None:
    assert found("10.0.0.1", *forwarded, TRUSTED_PROXIES=PROXIES) == address
    # The same header from an untrusted peer is ignored.
    assert found("203.0.113.7", *forwarded, TRUSTED_PROXIES=PROXIES) == "203.0.113.7"


def test_a_host_with_ipv6_is_its_64() -> None:
    assert counted("2001:db8:1:2::1") == counted("2001:db8:1:2:ffff:ffff:ffff:ffff") == "2001:db8:1:2::/64"
    assert counted("2001:db8:1:3::1") != counted("2001:db8:1:2::1")
    assert counted("::ffff:203.0.113.7") == counted("203.0.113.7") == "203.0.113.7"


@pytest.mark.parametrize("peer", ["", "testclient", "unix:", "203.0.113.7.", "203.0.113", "0x7f.1", None])
def test_a_peer_without_an_address_is_unknown_to_all(peer: str | None) -> None:
    assert found(peer) == found(peer, "198.51.100.1", TRUSTED_PROXIES=PROXIES) == UNKNOWN


@given(st.text(max_size=60), st.lists(st.text(st.characters(max_codepoint=255), max_size=60), max_size=3))
def test_nothing_makes_it_fail(peer: str, forwarded: list[str]) -> None:
    assert found(peer, *forwarded)
    assert found(peer, *forwarded, TRUSTED_PROXIES=PROXIES)
    assert found("10.0.0.1", *forwarded, TRUSTED_PROXIES=PROXIES)


def on_lambda(**environ: str) -> Settings:
    return load(GIVEN | {"AWS_LAMBDA_FUNCTION_NAME": "f"} | environ)


def test_on_lambda_it_is_the_function_urls_own_source_and_no_header() -> None:
    event: dict[str, Any] = json.loads((ROOT / "events/mint.json").read_text())
    source = event["requestContext"]["http"]["sourceIp"]
    assert source != event["headers"]["x-forwarded-for"].split(",")[0] or "," not in event["headers"]["x-forwarded-for"]
    event["headers"]["x-forwarded-for"] = "127.0.0.1"
    event["headers"]["forwarded"] = "for=127.0.0.1"
    event["headers"]["cloudfront-viewer-address"] = "127.0.0.1:443"
    scope = HTTPGateway(event, None, {"api_gateway_base_path": "/", "text_mime_types": [], "exclude_headers": []}).scope  # type: ignore[arg-type]
    assert address_of(on_lambda().usage)(dict(scope)) == source


def test_proxies_on_lambda_stop_the_start() -> None:
    with pytest.raises(SettingsError, match="TRUSTED_PROXIES: a Function URL passes on only"):
        on_lambda(TRUSTED_PROXIES="10.0.0.0/8")


@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy.internal", "10.0.0.0/33", "*", "10.0.0.0/8 192.168.0.0/16"])
def test_what_is_no_network_stops_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match="TRUSTED_PROXIES: one of them is no address"):
        load(GIVEN | {"TRUSTED_PROXIES": text})
