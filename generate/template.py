"""The blocks of infra/template.yaml: settings, rights of the role, rules of the bucket, CORS of the Function URL."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from generate import purposes
from generate.blocks import fill, table
from image_upload.app import create_app
from image_upload.bucket_config import rules
from image_upload.limits import S3_IA_MIN_DAYS
from image_upload.settings import every_setting, load, secret_settings
from image_upload.settings.section import Setting
from image_upload.settings.service import ServiceSettings
from image_upload.settings.storage import StorageSettings
from image_upload.settings.telemetry import TelemetrySettings
from image_upload.settings.verification import VerificationSettings
from image_upload.web.routing import every_route
from infra import verifier
from infra.cloudformation import (
    Tag,
    as_yaml,
    cors_rule,
    encryption_rule,
    lifecycle_rule,
    only_if,
    ref,
    substituted,
)
from infra.events import event_conditions, events

# From a bucket: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
TEMPLATE_MAX_BYTES: Final = 1_000_000

# Settings that are no parameter of their own, and why: docs/stack.md has the table.
NOT_PARAMETERS: Final[Mapping[str, str]] = {
    "ENVIRONMENT": "It is `Environment`, whose default is production.",
    "S3_BUCKET_NAME": "It is the bucket of the stack.",
    "TIMEOUT_SECONDS": "It is `TimeoutSeconds`, which is Lambda's too.",
    "CORS_ALLOW_ORIGINS": "It is `AllowedOrigins`, which is the Function URL's too: only the URL answers CORS, because "
    "browsers refuse two answers. It takes no `https://*.example.com`: name each origin.",
    "AWS_LAMBDA_FUNCTION_NAME": "Lambda sets it.",
    "AWS_REGION": "Lambda sets it.",
    "AWS_ACCESS_KEY_ID": "Lambda sets it, from the role.",
    "AWS_SECRET_ACCESS_KEY": "Lambda sets it, from the role.",
    "AWS_SESSION_TOKEN": "Lambda sets it, from the role.",
    "AWS_S3_USE_SSL": "False is for local servers.",
    "AWS_S3_VERIFY_SSL": "False is for local servers.",
    "AWS_ENDPOINT_URL_LAMBDA": "Other addresses are for local runs.",
    "AWS_ENDPOINT_URL_EVENTBRIDGE": "Other addresses are for local runs.",
    "PURPOSES_FILE": "The image has `purposes.toml`, and the rules of the bucket are made from that file.",
    "VERIFIER": "With `VERIFY=publish` it is `function`, and `self` in [the function that verifies](#verification).",
    "MALWARE_SCANNER": "It is `MalwareScanner`: [GuardDuty](#malware), or none.",
    "CLAMD_URL": "The functions are in no network of yours. The service in [a container](container.md) reaches clamd.",
    "SECRETS_FROM": "It is `SecretsFrom`, whose default is the stack's own path, or `SecretArn`.",
}
# Lists that the Function URL needs too.
LISTS_OF_THE_URL: Final = {"CORS_ALLOW_HEADERS"}

# Set by the template itself in one case, from the parameter in the other.
ELSEWHERE_IN_THE_ENVIRONMENT: Final = {"CDN_BASE_URL"}
# What the function that verifies is told; the others are for routes and for secrets, which it has none of.
_OF_THE_VERIFIER: Final = (StorageSettings, VerificationSettings, ServiceSettings, TelemetrySettings)
_NOT_OF_THE_VERIFIER: Final = {
    "S3_PUBLIC_ENDPOINT_URL",
    "S3_FORM_POST",
    "UPLOAD_URL_EXPIRES_SECONDS",
    "SECRETS_REFRESH_SECONDS",
}


# --- settings -------------------------------------------------------------------------------------


def parameter_of(variable: str) -> str:
    """`JWT_SECRET` → `JwtSecret`."""
    return "".join(word.capitalize() for word in variable.split("_"))


def setting_parameters() -> dict[str, dict[str, Any]]:
    """Return a parameter for each setting that an operator of a stack may decide."""
    return {parameter_of(variable): _parameter(variable, field) for variable, field in _settings().items()}


def environment() -> dict[str, Any]:
    """Return the function's variables, each from its parameter."""
    return {
        variable: ref(parameter_of(variable))
        for variable in _settings()
        if variable not in ELSEWHERE_IN_THE_ENVIRONMENT
    }


def verifier_environment() -> dict[str, Any]:
    """Return the variables of the function that verifies: of the bucket, of verification, and of the log."""
    needed = {field.variables[0] for section in _OF_THE_VERIFIER for field in section.fields.values()}
    left_out = {*ELSEWHERE_IN_THE_ENVIRONMENT, *_NOT_OF_THE_VERIFIER}
    return {
        variable: ref(parameter_of(variable))
        for variable in _settings()
        if variable in needed and variable not in left_out
    }


def _settings() -> dict[str, Setting]:
    """Return the settings by their environment variables, in their order. No secret: the stack never has one."""
    named = every_setting()
    if gone := NOT_PARAMETERS.keys() - named.keys():
        raise SystemExit(f"generate/template.py: NOT_PARAMETERS names settings that are gone: {sorted(gone)}")
    left_out = {*NOT_PARAMETERS, *secret_settings()}
    return {variable: field for variable, field in named.items() if variable not in left_out}


def secrets() -> dict[str, Any]:
    """Return the settings that `deploy.sh` puts where SECRETS_FROM leads, and nowhere else."""
    return {"SecretSettings": list(secret_settings())}


def _parameter(variable: str, field: Setting) -> dict[str, Any]:
    parameter: dict[str, Any] = {"Type": "String", "Description": field.description, "Default": ""}
    if field.choices:
        parameter["AllowedValues"] = ["", *field.choices]
    if variable in LISTS_OF_THE_URL:
        # The Function URL has no default of its own, and would take the space behind a comma for part of a name.
        parameter |= {"Default": ",".join(field.default), "AllowedPattern": r"^[^\s,]+(,[^\s,]+)*$"}
    return parameter


# --- the Function URL -----------------------------------------------------------------------------


def url_cors() -> dict[str, Any]:
    """Return what the app would answer outside Lambda, as settings of the URL, with the methods that it has.

    OPTIONS is not among them: the URL answers a preflight itself, and refuses a name of seven characters.
    """
    app = create_app(
        load({"ENVIRONMENT": "test", "S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1", "CORS_ALLOW_ORIGINS": "*"})
    )
    (own,) = (layer.kwargs for layer in app.user_middleware if getattr(layer.cls, "__name__", "") == "Cors")
    methods = {method for route in every_route(app.routes) for method in getattr(route, "methods", None) or ()}
    return {
        "AllowMethods": sorted(methods - {"OPTIONS"}),
        "AllowHeaders": Tag("!Split", [",", ref("CorsAllowHeaders")]),
        "ExposeHeaders": own["expose_headers"],
        "MaxAge": own["max_age"],
    }


# --- the bucket -----------------------------------------------------------------------------------

_PARTITION = "${AWS::Partition}"
_DISTRIBUTION = "arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/${Distribution}"


def role_statements() -> list[Any]:
    """Return what the function may do in the bucket, and with its key if there is one."""
    every = purposes.declared().every()
    plain = rules.statements(_PARTITION, "${Name}", every)
    with_key = rules.statements(_PARTITION, "${Name}", every, kms_key_arn="${KmsKeyArn}")
    return _only_where("HasKmsKey", plain, with_key)


def verifier_statements() -> list[Any]:
    """Return what the function that verifies may do in the bucket: below the folders of what it publishes alone."""
    every = purposes.declared().every()
    plain = verifier.statements(_PARTITION, "${Name}", every)
    with_key = verifier.statements(_PARTITION, "${Name}", every, kms_key_arn="${KmsKeyArn}")
    scanned = only_if("ScansByGuardDuty", substituted(verifier.scanned(_PARTITION, "${Name}", every)))
    return [*_only_where("HasKmsKey", plain, with_key), scanned]


def bucket_policy() -> list[Any]:
    """Return the statements of the bucket's policy; that of the CDN only where there is one."""
    every = purposes.declared().every()
    plain = rules.bucket_policy(_PARTITION, "${Bucket}", every)
    with_cdn = rules.bucket_policy(_PARTITION, "${Bucket}", every, _DISTRIBUTION)
    return _only_where("HasCdn", plain, with_cdn)


def _only_where(condition: str, always: list[Any], sometimes: list[Any]) -> list[Any]:
    """Return all of `sometimes`; what is not in `always` only where a condition holds."""
    if any(each not in sometimes for each in always):
        raise ValueError(f"{condition} takes something away, which !If cannot say here")
    return [substituted(each) if each in always else only_if(condition, substituted(each)) for each in sometimes]


def bucket_rules() -> dict[str, Any]:
    """Return the bucket's own settings; those that a parameter decides on depend on it here too."""
    plain, with_key = (
        [encryption_rule(rule) for rule in rules.encryption(key)["Rules"]] for key in (None, "${KmsKeyArn}")
    )
    origins = {"AllowedOrigins": Tag("!Split", [",", ref("AllowedOrigins")])}
    return {
        "PublicAccessBlockConfiguration": rules.public_access_block(),
        "OwnershipControls": rules.ownership(),
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": Tag("!If", ["HasKmsKey", substituted(with_key), plain])
        },
        "CorsConfiguration": only_if(
            "HasOrigins", {"CorsRules": [cors_rule(rule) | origins for rule in rules.cors_rules(["*"])]}
        ),
        "LifecycleConfiguration": {"Rules": _lifecycle()},
    }


# Storage class → the condition and the parameter that decide when objects go there.
_TRANSITIONS: Final = {"STANDARD_IA": ("HasIa", "IaAfterDays"), "GLACIER_IR": ("HasGlacier", "GlacierAfterDays")}


def _lifecycle() -> list[Any]:
    """Return the rules with every transition, each under the condition of its parameter."""
    every = purposes.declared().every()
    always = {rule["ID"] for rule in rules.lifecycle_rules(every)}
    made: list[Any] = []
    for rule in rules.lifecycle_rules(every, ia_after_days=S3_IA_MIN_DAYS, glacier_after_days=2 * S3_IA_MIN_DAYS):
        wanted = lifecycle_rule(rule)
        if "Transitions" in wanted:
            wanted["Transitions"] = [_transition(each) for each in wanted["Transitions"]]
        made.append(wanted if rule["ID"] in always else only_if("Cools", wanted))
    return made


def _transition(transition: Mapping[str, Any]) -> Any:
    condition, parameter = _TRANSITIONS[transition["StorageClass"]]
    return only_if(condition, {**transition, "TransitionInDays": ref(parameter)})


# --- writing --------------------------------------------------------------------------------------

REGIONS: Final[Mapping[str, Callable[[], Any]]] = {
    "secret-settings": secrets,
    "setting-parameters": setting_parameters,
    "event-conditions": event_conditions,
    "role-statements": role_statements,
    "environment": environment,
    "verifier-environment": verifier_environment,
    "verifier-statements": verifier_statements,
    "url-cors": url_cors,
    "events": events,
    "bucket-rules": bucket_rules,
    "bucket-policy": bucket_policy,
}


def page(text: str) -> str:
    """docs/stack.md."""
    rows = [(f"`{name}`", why) for name, why in NOT_PARAMETERS.items()]
    return fill(text, {"settings that are no parameter": table(("Setting", "Why not"), rows)})


def generated(template: str) -> str:
    """Return the template with every block written anew."""
    return fill(template, {name: as_yaml(value) if (value := region()) else "" for name, region in REGIONS.items()})
