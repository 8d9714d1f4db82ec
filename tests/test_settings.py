from pathlib import Path

import pytest

from image_upload.settings import SECTIONS, SettingsError, load, load_section, read_dotenv, secret_settings
from image_upload.settings.auth import AuthSettings

MINIMUM = {"S3_BUCKET_NAME": "photos", "AWS_REGION": "ap-northeast-2", "ENVIRONMENT": "test"}
PRODUCTION = MINIMUM | {"ENVIRONMENT": "production", "JWT_SECRET": "x" * 32}


def test_every_fault_is_in_one_message() -> None:
    wrong = {
        "ENVIRONMENT": "staging",
        "S3_BUCKET_NAME": "No_Bucket",
        "UPLOAD_URL_EXPIRES_SECONDS": "0",
        "TIMEOUT_SECONDS": "soon",
        "LOG_LEVEL": "loud",
    }
    with pytest.raises(SettingsError) as caught:
        load(wrong)
    message = str(caught.value)
    for name in (*wrong, "AWS_REGION"):
        assert f"  {name}: " in message
    assert "6 settings are" in message
    assert "docs/settings.md" in message
    assert message.count("Expected: ") == 6


def test_the_environment_is_production_unless_said_otherwise() -> None:
    settings = load({name: value for name, value in PRODUCTION.items() if name != "ENVIRONMENT"})
    assert settings.service.environment == "production"
    assert settings.auth.auth_required is True


@pytest.mark.parametrize("secret", [None, "", "short", "x" * 31])
def test_production_does_not_start_without_a_long_secret(secret: str | None) -> None:
    environ = PRODUCTION | {"JWT_SECRET": secret or ""}
    with pytest.raises(SettingsError, match="JWT_SECRET"):
        load(environ)


def test_a_secret_is_never_repeated_in_a_message() -> None:
    with pytest.raises(SettingsError) as caught:
        load(PRODUCTION | {"JWT_SECRET": "hunter2", "AWS_SECRET_ACCESS_KEY": "hunter3"})
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("REDIS_URL", "rediss://:hunter/2@host"),  # what stands before the slash is taken for a port
        ("REDIS_URL", "rediss://:hunter\u2100@host"),
        ("DATABASE_URL", "postgresql://u:hunter/2@host/db"),
        ("DATABASE_URL", "postgresql://u:hunter\u2100@host/db"),
        ("DATABASE_URL", "postgresql://u:hunter[@host/db"),
        ("DATABASE_URL", "mysql://u:hunter@host/db"),
    ],
)
def test_a_password_with_characters_that_are_not_encoded_is_not_repeated_either(name: str, url: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: ") as caught:
        load(PRODUCTION | {name: url})
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_S3_USE_SSL", "false"),
        ("AWS_S3_VERIFY_SSL", "false"),
        ("AWS_S3_ENDPOINT_URL", "http://s3.internal:9000"),
        ("S3_PUBLIC_ENDPOINT_URL", "http://localhost:9000"),
    ],
)
def test_what_is_unsafe_is_possible_only_outside_production(name: str, value: str) -> None:
    load(MINIMUM | {name: value})
    with pytest.raises(SettingsError, match=name):
        load(PRODUCTION | {name: value})


def test_both_names_of_a_setting_work_and_the_first_one_wins() -> None:
    assert (
        load({"AWS_S3_BUCKET": "photos", "AWS_REGION": "us-east-1", "ENV": "test"}).storage.s3_bucket_name == "photos"
    )
    assert load(MINIMUM | {"AWS_S3_BUCKET": "other"}).storage.s3_bucket_name == "photos"


def test_localstack_is_asked_only_in_a_local_run() -> None:
    endpoint = {"LOCALSTACK_ENDPOINT": "http://localstack:4566"}
    assert load(MINIMUM | endpoint | {"ENVIRONMENT": "local"}).storage.s3_endpoint_url == "http://localstack:4566"
    assert load(MINIMUM | endpoint).storage.s3_endpoint_url is None


@pytest.mark.parametrize(
    "endpoint",
    [
        "ftp://s3.internal",
        "http://user@s3.internal",
        "http://s3.internal/path",
        "http://s3.internal:99999",
        "http://",
        "http://s3.internal?x=y",
    ],
)
def test_an_endpoint_that_is_none_stops_the_start(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="AWS_S3_ENDPOINT_URL"):
        load(MINIMUM | {"AWS_S3_ENDPOINT_URL": endpoint})


def test_an_endpoint_without_scheme_gets_the_one_of_use_ssl() -> None:
    environ = MINIMUM | {"AWS_S3_ENDPOINT_URL": "minio:9000"}
    assert load(environ).storage.s3_endpoint_url == "https://minio:9000"
    assert load(environ | {"AWS_S3_USE_SSL": "false"}).storage.s3_endpoint_url == "http://minio:9000"


def test_half_a_key_pair_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="go together"):
        load(MINIMUM | {"AWS_ACCESS_KEY_ID": "AKIA"})


def test_empty_values_count_as_not_set() -> None:
    settings = load(MINIMUM | {"CDN_BASE_URL": "", "AUTH_REQUIRED": " ", "CORS_ALLOW_ORIGINS": ""})
    assert settings.storage.cdn_base_url is None
    assert settings.auth.auth_required is False
    assert settings.web.cors_allow_origins == ()


def test_lists_are_separated_by_commas() -> None:
    settings = load(MINIMUM | {"CORS_ALLOW_ORIGINS": "https://a.example, https://b.example,"})
    assert settings.web.cors_allow_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("origin", "should_read"),
    [
        ("https://app.example.com/", "write https://app.example.com."),
        ("https://app.example.com/path?x", "write https://app.example.com."),
        ("https://App.Example.com", "write https://app.example.com."),
        ("HTTPS://app.example.com", "write https://app.example.com."),
        ("https://app.example.com:443", "write https://app.example.com."),
        ("http://app.example.com:80/", "write http://app.example.com."),
        ("https://me:pw@app.example.com", "write https://app.example.com."),
        ("localhost:3000", "write http://localhost:3000."),
        ("app.example.com", "write https://app.example.com."),
        ("https://bücher.example", "write https://xn--bcher-kva.example."),
        ("https://app-*.example.com", "https://*.example.com for every host below a domain"),
        ("https://*example.com", "https://*.example.com for every host below a domain"),
        ("*.example.com", "https://*.example.com for every host below a domain"),
        ("https://*", "https://*.example.com for every host below a domain"),
        ("https://*.com", "too wide"),
        ("null", "never matches"),
        ("https://", "never matches"),
        ("https://a b", "never matches"),
    ],
)
def test_an_origin_that_could_never_match_stops_the_start_and_says_how_it_should_read(
    origin: str, should_read: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(MINIMUM | {"CORS_ALLOW_ORIGINS": f"https://good.example.com,{origin}"})
    assert "CORS_ALLOW_ORIGINS" in str(caught.value)
    assert should_read in str(caught.value)


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "https://app.example.com",
        "https://*.example.com",
        "http://*.localhost:3000",
        "http://localhost:3000",
        "http://127.0.0.1:8080",
        "http://[::1]:3000",
        "capacitor://localhost",
        "chrome-extension://abcdefghijklmnop",
    ],
)
def test_an_origin_as_browsers_write_it_is_taken(origin: str) -> None:
    assert load(MINIMUM | {"CORS_ALLOW_ORIGINS": origin}).web.cors_allow_origins == (origin,)


@pytest.mark.parametrize("names", ["X Tenant", "X-Tenant:", "*, X-Tenant", "X-*", "한글"])
def test_a_header_name_that_is_none_stops_the_start(names: str) -> None:
    with pytest.raises(SettingsError, match=r"CORS_ALLOW_HEADERS: .*no name of a header"):
        load(MINIMUM | {"CORS_ALLOW_HEADERS": names})


def test_debug_raises_the_log_level() -> None:
    assert load(MINIMUM | {"DEBUG": "true"}).service.log_level == "DEBUG"
    assert load(MINIMUM | {"LOG_LEVEL": "warning"}).service.log_level == "WARNING"


def test_a_dotenv_file_completes_the_environment_and_never_overrides_it(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text('AWS_REGION="ap-northeast-2"\nENV=local  # a comment\nS3_BUCKET_NAME=from-file\n', encoding="utf-8")
    merged = read_dotenv({"S3_BUCKET_NAME": "from-environment"}, str(file))
    assert merged == {"AWS_REGION": "ap-northeast-2", "ENV": "local", "S3_BUCKET_NAME": "from-environment"}


def test_the_example_file_is_a_working_set() -> None:
    example = read_dotenv({}, str(Path(__file__).parents[1] / ".env.example"))
    assert load(example).storage.s3_bucket_name == "your-bucket"


AT_REST = {"S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1", "ENVIRONMENT": "test"}


def test_storage_classes_are_named_by_purpose() -> None:
    settings = load(AT_REST | {"S3_STORAGE_CLASSES": " audio:STANDARD_IA, user-file:INTELLIGENT_TIERING ,"})
    assert settings.storage.storage_class_of("audio") == "STANDARD_IA"
    assert settings.storage.storage_class_of("user-file") == "INTELLIGENT_TIERING"
    assert settings.storage.storage_class_of("upload") is None
    assert load(AT_REST).storage.storage_class_of("audio") is None


@pytest.mark.parametrize(
    "value",
    ["audio", "audio:", "audio:GLACIER", "audio:standard_ia", "music:STANDARD_IA", "audio:STANDARD,audio:STANDARD_IA"],
)
def test_a_storage_class_that_cannot_be_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="S3_STORAGE_CLASSES"):
        load(AT_REST | {"S3_STORAGE_CLASSES": value})


@pytest.mark.parametrize(
    "key_id",
    ["11112222-3333-4444-5555-666677778888", "alias/uploads", "arn:aws:kms:eu-north-1:111122223333:key/mrk-1234"],
)
def test_a_key_of_kms_is_an_id_an_alias_or_an_arn(key_id: str) -> None:
    assert load(AT_REST | {"S3_SSE": "aws:kms", "S3_SSE_KMS_KEY_ID": key_id}).storage.s3_sse_kms_key_id == key_id


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"S3_SSE": "aes256"}, "S3_SSE"),
        ({"S3_SSE_KMS_KEY_ID": "alias/uploads"}, "S3_SSE_KMS_KEY_ID"),
        ({"S3_SSE": "AES256", "S3_SSE_KMS_KEY_ID": "alias/uploads"}, "S3_SSE_KMS_KEY_ID"),
        ({"S3_SSE": "aws:kms", "S3_SSE_KMS_KEY_ID": "a b"}, "S3_SSE_KMS_KEY_ID"),
    ],
)
def test_an_encryption_that_cannot_be_is_refused(given: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=f"{named}:"):
        load(AT_REST | given)


# --- what answers no HTTP -------------------------------------------------------------------------

SECRETS_OF_SERVING = (
    {"ENVIRONMENT": "production"},
    {"AUTH_REQUIRED": "true"},
    {"JWT_JWKS_URL": "https://idp.example.com/keys"},
    {"ENVIRONMENT": "production", "GOOGLE_CLIENT_ID": "id"},
    {"ENVIRONMENT": "production", "GITHUB_CLIENT_ID": "id", "GITHUB_CLIENT_SECRET": "secret"},
    {"JWT_PREVIOUS_SECRET": "x" * 32},
)


@pytest.mark.parametrize("given", SECRETS_OF_SERVING)
def test_only_what_serves_needs_the_secrets_of_tokens_and_sign_in(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="The service cannot start"):
        load(MINIMUM | given)
    assert load(MINIMUM | given, serving=False).storage.s3_bucket_name == "photos"


def test_what_does_not_serve_is_still_told_of_every_other_fault() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"ENVIRONMENT": "production", "JWT_SECRET": "short", "S3_BUCKET_NAME": "photos"}, serving=False)
    message = str(caught.value)
    assert message.startswith("The command cannot begin: 2 settings are")
    assert "JWT_SECRET: shorter than 32 bytes" in message
    assert "AWS_REGION: missing" in message


# --- the bucket's name ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ab", "too short or too long"),
        ("a" * 64, "too short or too long"),
        ("Photos", "a character other than lowercase"),
        ("my_photos", "a character other than lowercase"),
        ("my photos", "a character other than lowercase"),
        ("photos\u0661", "a character other than lowercase"),
        ("photos\nphotos", "a character other than lowercase"),
        ("-photos", "begin and end with a letter or a digit"),
        ("photos.", "begin and end with a letter or a digit"),
        ("my..photos", "two dots side by side"),
        ("192.168.5.4", "the form of an IP address"),
        ("xn--photos", "xn--"),
        ("sthree-photos", "sthree-"),
        ("amzn-s3-demo-bucket", "amzn-s3-demo-"),
        ("photos-abc-s3alias", "-s3alias"),
        ("photos--ol-s3", "--ol-s3"),
        ("photos.mrap", ".mrap"),
        ("photos--use1-az4--x-s3", "--x-s3"),
        ("photos--table-s3", "--table-s3"),
    ],
)
def test_a_bucket_name_that_s3_would_refuse_is_refused_with_the_rule(name: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({"ENVIRONMENT": "test", "S3_BUCKET_NAME": name})
    (line,) = (line for line in str(caught.value).splitlines() if line.startswith("  S3_BUCKET_NAME: "))
    assert said in line
    assert "Expected: the bucket's name: 3 to 63 of a-z, 0-9, dot and hyphen" in line
    assert "AWS_REGION: missing" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["abc", "a" * 63, "my.photos", "my--photos", "1.2.3", "1.2.3.4a", "192.168.5.4.5", "0-photos-9", "x-s3"]
)
def test_a_bucket_name_that_s3_takes_is_taken(name: str) -> None:
    assert load(MINIMUM | {"S3_BUCKET_NAME": name}).storage.s3_bucket_name == name


# --- secrets by reference -------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["ssm:/upload/", "secretsmanager:upload"])
def test_a_reference_to_secrets_is_for_lambda_alone(reference: str) -> None:
    environ = MINIMUM | {"SECRETS_FROM": reference}
    assert load(environ | {"AWS_LAMBDA_FUNCTION_NAME": "f"}).service.secrets_from == reference
    with pytest.raises(SettingsError, match=r"SECRETS_FROM: only Lambda reads it; here set the plain variables"):
        load(environ)


def test_the_secret_of_before_may_still_be_the_one_of_now() -> None:
    """Two parameters of a store cannot change at one moment, and a process may start in between."""
    assert load(PRODUCTION | {"JWT_PREVIOUS_SECRET": PRODUCTION["JWT_SECRET"]}).auth.jwt_previous_secret is not None


def test_a_reference_that_leads_nowhere_stops_the_start() -> None:
    with pytest.raises(SettingsError, match=r"SECRETS_FROM: no path such as /upload/.*Expected: ssm:/path/"):
        load(MINIMUM | {"AWS_LAMBDA_FUNCTION_NAME": "f", "SECRETS_FROM": "ssm:upload"})


def test_the_secrets_are_the_settings_whose_values_are_hidden() -> None:
    assert set(secret_settings()) == {
        "DATABASE_URL",
        "GITHUB_CLIENT_SECRET",
        "GOOGLE_CLIENT_SECRET",
        "JWT_PREVIOUS_SECRET",
        "JWT_SECRET",
        "METRICS_TOKEN",
        "QUEUE_URL",
        "REDIS_URL",
        "SESSION_SECRET",
        "WEBHOOK_PREVIOUS_SECRET",
        "WEBHOOK_SECRET",
    }


# --- sections -------------------------------------------------------------------------------------


def test_a_fault_between_sections_is_told_beside_those_within_them() -> None:
    wrong = {"GOOGLE_CLIENT_ID": "id", "GOOGLE_CLIENT_SECRET": "secret", "TIMEOUT_SECONDS": "0", "REDIS_URL": "x"}
    with pytest.raises(SettingsError, match="3 settings are") as caught:
        load(MINIMUM | wrong)
    assert "  JWT_SECRET: missing; who signs in gets a token that is signed with it. Expected: " in str(caught.value)


def test_a_secret_that_two_sections_miss_is_one_fault() -> None:
    with pytest.raises(SettingsError) as caught:
        load(MINIMUM | {"ENVIRONMENT": "production", "GITHUB_CLIENT_ID": "id"})
    assert str(caught.value).count("JWT_SECRET: ") == 1


def test_a_section_alone_is_told_of_its_own_faults_only() -> None:
    assert load_section(AuthSettings, {"JWT_AUDIENCE": "a, b"}, serving=False).jwt_audience == ("a", "b")
    with pytest.raises(SettingsError, match="1 setting is") as caught:
        load_section(AuthSettings, {"JWT_SECRET": "short", "REDIS_URL": "x"}, serving=False)
    assert "JWT_SECRET: shorter than 32 bytes" in str(caught.value)


def test_what_sections_share_is_the_same_in_each_also_when_it_is_replaced() -> None:
    settings = load(MINIMUM)
    later = settings.replaced(environment="production", aws_region="eu-north-1", log_level="ERROR")
    assert {section.environment for section in later} == {"production"}
    assert later.storage.aws_region == later.database.aws_region == "eu-north-1"
    assert (later.service.log_level, later.usage) == ("ERROR", settings.usage.replaced(environment="production"))
    with pytest.raises(TypeError, match="no_such_setting"):
        settings.replaced(no_such_setting=1)


def test_a_setting_has_one_home() -> None:
    homes: dict[str, set[int]] = {}
    for section in SECTIONS.values():
        for field in section.fields.values():
            for variable in field.variables:
                homes.setdefault(variable, set()).add(id(field))
    assert {variable for variable, fields in homes.items() if len(fields) > 1} == set()


def test_settings_cannot_be_changed() -> None:
    settings = load(MINIMUM)
    with pytest.raises(AttributeError):
        settings.storage.use_ssl = False
    with pytest.raises(AttributeError):
        settings.storage = settings.storage  # type: ignore[misc]  # what is tried


@pytest.mark.parametrize("word", ["true", "True", "yes", "on", "1", "Y"])
def test_each_word_for_yes_is_understood(word: str) -> None:
    assert load(MINIMUM | {"ALLOW_GIF": word}).uploads.allow_gif is True


@pytest.mark.parametrize("word", ["false", "FALSE", "no", "off", "0", "n"])
def test_each_word_for_no_is_understood(word: str) -> None:
    assert load(MINIMUM | {"S3_FORM_POST": word}).storage.s3_form_post is False


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("ALLOW_GIF", "maybe", "neither true nor false"),
        ("UPLOAD_URL_EXPIRES_SECONDS", "5.5", "not a whole number"),
        ("UPLOAD_URL_EXPIRES_SECONDS", "0", "below 1"),
        ("UPLOAD_URL_EXPIRES_SECONDS", "604801", "above 604800"),
        ("TIMEOUT_SECONDS", "soon", "not a number"),
        ("TIMEOUT_SECONDS", "0", "no time at all"),
        ("TIMEOUT_SECONDS", "nan", "below 0"),
        ("TIMEOUT_SECONDS", "inf", "above 86400"),
        ("AWS_REGION", "EU North", "not of this form"),
        ("CDN_BASE_URL", "https://cdn.example.com/?a", "not of this form"),
        ("DATABASE_AUTH", "token", "not one of them"),
        ("GITHUB_URL", "https://example.com/" + "x" * 300, "longer than"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_what_is_wrong(name: str, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(MINIMUM | {name: text})
    (line,) = (line for line in str(caught.value).splitlines() if line.startswith(f"  {name}: "))
    assert line.startswith(f"  {name}: {said}")
    assert text not in line.partition("Expected: ")[0]


# --- verification ---------------------------------------------------------------------------------


def test_variants_are_read_as_a_purpose_names_them() -> None:
    found = load({**MINIMUM, "VARIANTS": "thumb:320, card:1280:avif"}, serving=False).verification
    assert [tuple(each) for each in found.variants] == [("thumb", 320, "webp"), ("card", 1280, "avif")]
    assert load(MINIMUM, serving=False).verification.variants == ()


@pytest.mark.parametrize("text", ["thumb", "thumb:1", "thumb:320:gif", "thumb:320,thumb:640", "Thumb:320"])
def test_a_wrong_variant_is_told_with_what_is_expected(text: str) -> None:
    with pytest.raises(SettingsError, match=r"VARIANTS: .*thumb:320,card:1280:avif"):
        load({**MINIMUM, "VARIANTS": text}, serving=False)
