"""Hostile URLs as sources: the corpus of the form proxy, and more. None leads to a connection."""

import asyncio
import socket
import string
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_upload.errors import Problem, SourceUrlInvalid, SourceUrlRefused
from image_upload.from_url.source_rule import SourceRule, filename_in
from image_upload.outbound.client import Destinations
from image_upload.outbound.download import Downloader
from tests.form_proxy.hostile_urls import hostile_urls

GOOD = (
    "https://photos.s3.amazonaws.com/uploads/a.jpg?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a"
    "&X-Amz-Date=20261130T000000Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature=" + "0" * 64
)
RULE = SourceRule((), production=True)
LOOSE = SourceRule((), production=False)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A listener on loopback that nothing may connect to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server
        with pytest.raises(BlockingIOError):
            server.accept()


async def inside(host: str, port: int) -> list[str]:
    """The addresses that a spelling of an address has; names lead to this machine, as a hostile DNS would say it."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except (OSError, UnicodeError):
        return ["127.0.0.1"]
    return [str(sockaddr[0]) for *_, sockaddr in found]


def refused(rule: SourceRule, urls: list[str]) -> list[tuple[str, Problem | None]]:
    """What each URL is answered with."""

    async def fetch() -> list[tuple[str, Problem | None]]:
        downloader = Downloader(Destinations(frozenset(), resolver=inside))
        answers: list[tuple[str, Problem | None]] = []
        for url in urls:
            try:
                async with downloader.opened(url, rule.check):
                    answers.append((url, None))
            except Problem as problem:
                answers.append((url, problem))
        await downloader.aclose()
        return answers

    return asyncio.run(fetch())


@pytest.mark.parametrize("rule", [RULE, LOOSE], ids=["production", "elsewhere"])
def test_no_hostile_url_leads_to_a_connection(silent: socket.socket, rule: SourceRule) -> None:
    urls = hostile_urls(GOOD, silent.getsockname()[1])
    assert len(urls) >= 1_000
    answers = refused(rule, urls)
    assert [(url, problem) for url, problem in answers if not isinstance(problem, SourceUrlInvalid)] == []
    codes = Counter(problem.code for _, problem in answers if problem)
    assert min(codes["source-url-invalid"], codes["source-url-refused"]) > 100, codes


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://www.example.com/a.jpg", SourceUrlRefused),
        ("https://www.example.com:8443/a.jpg", SourceUrlRefused),
        ("https://www.example.com:80/a.jpg", SourceUrlRefused),
        ("https://www.example.com:22/a.jpg", SourceUrlRefused),
        ("https://user@www.example.com/a.jpg", SourceUrlRefused),
        ("https://user:password@www.example.com/a.jpg", SourceUrlRefused),
        ("https://www.example.com@127.0.0.1/", SourceUrlRefused),
        ("https://www.example.com\\@127.0.0.1/", SourceUrlInvalid),
        ("https://www.example.com:99999/", SourceUrlRefused),
        ("https://www.example.com:/", SourceUrlInvalid),
        ("https://\u0431\u0430\u043d\u043a.example/", SourceUrlInvalid),
        ("https://\uff11\uff12\uff17.0.0.1/", SourceUrlInvalid),
        ("https://127\u30020\u30020\u30021/", SourceUrlInvalid),
        ("https://www.example.com/a b.jpg", SourceUrlInvalid),
        ("https://www.example.com/a\r\nHost: inside", SourceUrlInvalid),
        ("https://www.example.com/\0", SourceUrlInvalid),
        ("https://www.example.com/\ud800", SourceUrlInvalid),
        (" https://www.example.com/", SourceUrlInvalid),
        ("https://www.example.com/\n", SourceUrlInvalid),
        ("https:///a.jpg", SourceUrlInvalid),
        ("https://", SourceUrlInvalid),
        ("https:/www.example.com/a", SourceUrlInvalid),
        ("//www.example.com/a", SourceUrlInvalid),
        ("www.example.com/a.jpg", SourceUrlInvalid),
        ("file:///etc/passwd", SourceUrlInvalid),
        ("gopher://127.0.0.1:6379/_INFO", SourceUrlInvalid),
        ("data:image/png;base64,AAAA", SourceUrlInvalid),
        ("javascript:alert(1)", SourceUrlInvalid),
        ("ftp://www.example.com/a.jpg", SourceUrlInvalid),
        ("blob:https://www.example.com/1", SourceUrlInvalid),
        ("", SourceUrlInvalid),
    ],
)
def test_what_is_no_public_https_url_is_refused_by_its_text(url: str, kind: type[Problem]) -> None:
    with pytest.raises(kind) as raised:
        RULE.check(url)
    assert type(raised.value) is kind
    assert raised.value.detail.endswith(".")


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://www.example.com", "https://www.example.com/"),
        ("HTTPS://WWW.Example.COM/A.jpg", "https://www.example.com/A.jpg"),
        ("https://www.example.com?a=1#part", "https://www.example.com/?a=1"),
        ("https://www.example.com:443/a%20b.jpg", "https://www.example.com:443/a%20b.jpg"),
        ("https://www.example.com/고양이.jpg", "https://www.example.com/%EA%B3%A0%EC%96%91%EC%9D%B4.jpg"),
        ("https://93.184.216.34/a", "https://93.184.216.34/a"),
        ("https://[2600:1fa0:a000::1]/a", "https://[2600:1fa0:a000::1]/a"),
    ],
)
def test_a_good_url_is_sent_as_browsers_send_it(url: str, sent: str) -> None:
    assert RULE.check(url) == sent
    assert RULE.check(sent) == sent


@given(st.text(alphabet=st.sampled_from(string.printable + "\\@#\uff1f\uff0f\u3002\u339c\u0000"), max_size=60))
def test_whatever_passes_is_read_alike_by_the_http_client(rest: str) -> None:
    try:
        sent = RULE.check(f"https://www.example.com{rest}")
    except Problem:
        return
    url = httpx.URL(sent)
    assert (url.scheme, url.userinfo, url.port, url.fragment) == ("https", b"", None, "")
    assert sent.startswith(f"https://{url.netloc.decode()}")


def test_an_own_server_may_have_any_port_and_no_other_host_may() -> None:
    rule = SourceRule([("media.internal", 9000)], production=True)
    assert rule.check("https://media.internal:9000/a") == "https://media.internal:9000/a"
    for url in ("https://media.internal:9001/a", "https://other.internal:9000/a", "http://media.internal:9000/a"):
        with pytest.raises(SourceUrlRefused):
            rule.check(url)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.example/b/%EA%B3%A0%EC%96%91%EC%9D%B4.jpg?c=d.png", "고양이.jpg"),
        ("https://a.example/b/", None),
        ("https://a.example/", None),
        ("https://a.example/photo", None),
        ("https://a.example/..%2Fb.jpg", None),
        ("https://a.example/%00.jpg", None),
        ("https://a.example/%FF.jpg", None),
        ("https://a.example/" + "a" * 300 + ".jpg", None),
    ],
)
def test_the_name_of_a_file_is_the_last_part_of_its_path(url: str, name: str | None) -> None:
    assert filename_in(url) == name
