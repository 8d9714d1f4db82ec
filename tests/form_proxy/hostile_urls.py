"""A corpus of hostile upload URLs, made by rules: each is a good presigned URL with one thing about it changed.

None of them may make the service open a connection. Rules, not a list: hosts times the places of a URL where a parser
could see another host, addresses times their spellings, query parameters times their spellings.
"""

from collections.abc import Iterator
from urllib.parse import quote

# Addresses inside: this machine, private networks, metadata services of clouds.
_INSIDE = ("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.100.100.200", "168.63.129.16")
_NAMES_INSIDE = ("localhost", "localhost.", "metadata.google.internal", "instance-data", "kubernetes.default.svc")
_STRANGERS = ("evil.example", "s3.amazonaws.com.evil.example", "evil.example.", "s3-amazonaws.com", "amazonaws.com")


def _spellings(address: str) -> Iterator[str]:
    """An IPv4 address as parsers of different strictness take it."""
    parts = [int(part) for part in address.split(".")]
    number = int.from_bytes(bytes(parts))
    yield address
    yield address + "."
    yield str(number)
    yield hex(number)
    yield f"0{number:o}"
    yield ".".join(f"0{part:o}" for part in parts)
    yield ".".join(hex(part) for part in parts)
    yield ".".join(f"{part:03d}" for part in parts)
    yield f"{parts[0]}.{number & 0xFFFFFF}"
    yield f"{parts[0]}.{parts[1]}.{number & 0xFFFF}"
    yield f"[::ffff:{address}]"
    yield f"[::{address}]"
    yield f"[::ffff:0:{address}]"
    yield f"[64:ff9b::{address}]"
    yield f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::]"
    yield "".join(chr(0xFF10 + int(digit)) if digit.isdigit() else digit for digit in address)
    yield address.replace(".", "\u3002")
    yield quote(address.replace(".", "%2e"), safe="%")
    yield f"{address}.nip.io"


def _hosts() -> Iterator[str]:
    for address in _INSIDE:
        yield from _spellings(address)
    yield from ("[::1]", "[::]", "[fe80::1%25lo]", "[fd00:ec2::254]", "[0:0:0:0:0:0:0:1]", "0", "0.0.0.0", "127.1")
    yield from (*_NAMES_INSIDE, *_STRANGERS)


def _places(good: str, own: str, port: int) -> Iterator[str]:
    """Each host at each place where a parser could find the host."""
    for host in _hosts():
        for scheme in ("https", "http"):
            yield good.replace(own, f"{scheme}://{host}", 1)
            yield good.replace(own, f"{scheme}://{host}:{port}", 1)
        bare = own.partition("://")[2]
        yield good.replace(own, f"https://{bare}@{host}", 1)
        yield good.replace(own, f"https://{bare}:443@{host}:{port}", 1)
        yield good.replace(own, f"https://{host}\\@{bare}", 1)
        yield good.replace(own, f"https://{host}#{bare}", 1)
        yield good.replace(own, f"https://{host}?{bare}", 1)
        yield good.replace(own, f"https://{host}%2f{bare}", 1)
        yield good.replace(own, f"https://{bare}.{host}", 1)


def _wrong_schemes(good: str) -> Iterator[str]:
    rest = good.partition("://")[2]
    for scheme in ("file", "ftp", "gopher", "dict", "ldap", "data", "jar", "HTTPS+unix", "ws", "s3", "javascript", ""):
        yield f"{scheme}://{rest}"
    yield from (f"//{rest}", rest, f"https:{rest}", f"https:/{rest}", f"https:///{rest}", f"\thttps://{rest}x y")


def _queries(good: str) -> Iterator[str]:
    """Another operation, another time, a parameter twice, a signature of another kind."""
    names = (
        "acl tagging uploads policy cors lifecycle versionId=1 response-content-type=text/html partNumber=1 uploadId=a"
    )
    signed = "X-Amz-Acl=public-read x-amz-copy-source=%2Fa%2Fb x-amz-grant-read=a x-amz-tagging=a"
    for name in f"{names} x-id=DeleteObject delete restore legal-hold torrent select {signed}".split():
        yield f"{good}&{name}"
        yield good.replace("?", f"?{name}&", 1)
        yield f"{good}&{name.upper()}"
        yield f"{good}&%{ord(name[0]):02x}{name[1:]}"
    for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"):
        start = good.index(f"X-Amz-{name}=")
        end = good.find("&", start)
        value = good[start + len(f"X-Amz-{name}=") : end if end >= 0 else None]
        for other in ("", "x", value[:-1] + "\u0663", value + "%00", value + "%0d%0aHost:%20evil.example"):
            yield good.replace(f"X-Amz-{name}={value}", f"X-Amz-{name}={quote(other, safe='%')}", 1)
        yield good.replace(f"X-Amz-{name}={value}&", "", 1) if f"{value}&" in good else good[:start]
        yield f"{good}&X-Amz-{name}={value}"
        yield f"{good}&x-amz-{name.lower()}={value}"
    for date in ("19700101T000000Z", "99991231T235959Z", "20261301T000000Z", "00000000T000000Z", "20261120"):
        start = good.index("X-Amz-Date=") + len("X-Amz-Date=")
        yield good[:start] + date + good[start + 16 :]


def _paths(good: str, own: str) -> Iterator[str]:
    for path in ("", "/", "/..", "/../b", "/a/../b", "/./a", "/%2e%2e/b", "/a/%2e%2e/b", "/a%00b", "/a\\b"):
        yield f"{own}{path}?{good.partition('?')[2]}"


def hostile_urls(good: str, port: int) -> list[str]:
    """The corpus around one good URL, each once. `port` is where a listener waits on loopback."""
    own = good[: good.index("/", len("https://"))]
    rules = (_places(good, own, port), _wrong_schemes(good), _queries(good), _paths(good, own))
    return list(dict.fromkeys(url for rule in rules for url in rule if url != good))
