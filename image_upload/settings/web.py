"""The settings of the answers to browsers."""

from typing import Literal

from pydantic import SecretStr

from image_upload.settings import origins
from image_upload.settings.section import Known, Section, setting
from image_upload.settings.values import CORS_HEADERS, CommaList, header_names


def _origins(value: tuple[str, ...], _: Known) -> tuple[str, ...]:
    return tuple(origins.check(each) for each in value)


def _headers(value: tuple[str, ...], _: Known) -> tuple[str, ...]:
    return header_names(value)


def _previous_secret(value: SecretStr | None, known: Known) -> SecretStr | None:
    if known.serving and value is not None and known.get("edge_secret") is None:
        raise ValueError("it goes together with an EDGE_SECRET")
    return value


# What a header can carry, within CloudFront's limit for the value of one (1,783 characters).
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html
_EDGE_SECRET = r"[!-~]{32,512}"


class WebSettings(Section):
    """Which front ends may call, what they may send, and which edge is in front of the service."""

    # --- Front ends ------------------------------------------------------------------------------------

    cors_allow_origins: CommaList = setting(
        "CORS_ALLOW_ORIGINS",
        default=(),
        description="origins such as https://app.example.com or https://*.example.com separated by commas, or *",
        check=_origins,
    )
    """Front ends that may call from a browser. An origin is written as browsers send it: scheme and host in lower
    case, a port only if it is not the scheme's own, no path and no slash at the end; one that could never match
    stops the start. `https://*.example.com` stands for every host below `example.com`, at any depth, and not for
    `example.com` itself. A form's `success_url` may lead to these origins too (`*` names none). The app answers CORS
    outside Lambda only: behind a Function URL the URL's own CORS settings answer, and two answers make browsers
    refuse both."""

    cors_allow_headers: CommaList = setting(
        "CORS_ALLOW_HEADERS",
        default=CORS_HEADERS,
        description="names of headers separated by commas, in place of the default ones; or *",
        check=_headers,
    )
    """What those front ends may send beside what browsers always allow. It replaces the default, so repeat what you
    need of it. The default has what axios, Dropzone, Uppy and clients of resumable uploads send, and what OpenTelemetry
    and Sentry add to each request of a page. `*` allows what the browser asks for. The stack gives the same list to the
    Function URL."""

    # --- The edge in front -----------------------------------------------------------------------------

    edge_secret: SecretStr | None = setting(
        "EDGE_SECRET",
        default=None,
        pattern=_EDGE_SECRET,
        description="32 to 512 visible ASCII characters, such as the output of: openssl rand -hex 32",
    )
    """With it each request must carry it in the header `X-Edge-Secret`, which the CDN or firewall in front adds; any
    other gets 403 `edge-required` before anything else is done. So the service's own address is no way around:
    docs/security.md#the-edge. Outside Lambda `GET /` and `GET /metrics` answer without it, for the
    platform's probes and Prometheus."""

    edge_previous_secret: SecretStr | None = setting(
        "EDGE_PREVIOUS_SECRET",
        default=None,
        pattern=_EDGE_SECRET,
        description="as EDGE_SECRET: the secret of before, during a rotation",
        check=_previous_secret,
    )
    """A request with it passes too, while the edge learns the new one."""

    trusted_edge: Literal["cloudfront"] | None = setting(
        "TRUSTED_EDGE",
        default=None,
        description="cloudfront; empty if the edge does not name the client's address",
    )
    """Where the client's address comes from, for rate limits and the audit log: of a request with the right
    `EDGE_SECRET` it is what CloudFront writes into `CloudFront-Viewer-Address`. Without `EDGE_SECRET` the header is
    ignored, because any client could send it."""
