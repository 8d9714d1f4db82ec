"""The settings of what the service measures: metrics and traces."""

from pydantic import SecretStr

from image_upload.limits import METRICS_TOKEN_MIN_CHARS
from image_upload.settings.section import Known, Section, setting
from image_upload.settings.values import checked_url


def _metrics(value: bool | None, known: Known) -> bool:
    # CloudWatch bills metrics, so there they are asked for.
    return not (known.production or known.on_lambda) if value is None else value


def _metrics_token(value: SecretStr | None, known: Known) -> SecretStr | None:
    if value is not None and not value.get_secret_value().isascii():
        raise ValueError("no header can hold it: use ASCII alone")
    if known.production and known.serving and known.get("metrics") and not known.on_lambda:
        if value is None:
            raise ValueError("missing; in production METRICS goes together with it")
        if len(value.get_secret_value()) < METRICS_TOKEN_MIN_CHARS:
            raise ValueError(f"shorter than {METRICS_TOKEN_MIN_CHARS} characters")
    return value


def _traces_endpoint(value: str | None, _: Known) -> str | None:
    if value is not None:
        parts = checked_url(value, ("https", "http"))
        if parts.username is not None or parts.query:
            raise ValueError("neither a user name nor a query belongs into it")
    return value


class TelemetrySettings(Section):
    """What is measured, and who may read it."""

    # --- Metrics and traces ----------------------------------------------------------------------------

    metrics: bool = setting(
        "METRICS",
        default=None,
        description="true or false",
        check=_metrics,
    )
    """Measures requests, calls of S3 and the database, uploads and what waits: docs/metrics.md. Outside Lambda `GET
    /metrics` shows it to Prometheus; where it is false there is no such route. On Lambda it is in the log's lines, of
    which CloudWatch makes metrics that AWS bills."""

    metrics_token: SecretStr | None = setting(
        "METRICS_TOKEN",
        default=None,
        description="at least 32 ASCII characters in production",
        check=_metrics_token,
    )
    """The bearer token that `GET /metrics` asks for. It is required in production. Elsewhere the route needs none
    without it. Lambda has no such route and ignores it."""

    traces_endpoint: str | None = setting(
        "TRACES_ENDPOINT",
        default=None,
        description="a URL such as http://127.0.0.1:4318",
        check=_traces_endpoint,
    )
    """A collector that takes OTLP over HTTP in binary form, as OpenTelemetry's own does on port 4318; `/v1/traces` is
    added. With it every request becomes a span, with one for each call of S3 and the database below it:
    docs/metrics.md#traces."""

    traces_ratio: float = setting(
        "TRACES_RATIO",
        default=1.0,
        least=0,
        most=1,
        description="a number from 0 to 1",
    )
    """The share of traces that are sent. A trace's id decides, so services with the same ratio send the same traces.
    What a client says of sampling is ignored."""
