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

    cors_allow_origins: CommaList = setting(
        "CORS_ALLOW_ORIGINS",
        default=(),
        description="origins such as https://app.example.com or https://*.example.com separated by commas, or *",
        check=_origins,
    )
    cors_allow_headers: CommaList = setting(
        "CORS_ALLOW_HEADERS",
        default=CORS_HEADERS,
        description="names of headers separated by commas, in place of the default ones; or *",
        check=_headers,
    )
