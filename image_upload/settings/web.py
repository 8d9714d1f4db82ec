"""The settings of the answers to browsers."""

from image_upload.settings import origins
from image_upload.settings.section import Known, Section, setting
from image_upload.settings.values import CORS_HEADERS, CommaList, header_names


def _origins(value: tuple[str, ...], _: Known) -> tuple[str, ...]:
    return tuple(origins.check(each) for each in value)


def _headers(value: tuple[str, ...], _: Known) -> tuple[str, ...]:
    return header_names(value)


class WebSettings(Section):
    """Which front ends may call, and what they may send."""

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
