"""What docker-compose.yml promises, read from the file itself."""

import json
import re
from urllib.parse import urlsplit

import pytest

from image_upload.__main__ import COMMANDS
from image_upload.settings import every_setting, load
from tests.compose.stack import ROOT, example, filled, services, settings_names, variables, volumes
from tests.test_docs import code_in, read, table

# The ports that the documents print; on this machine only.
PORTS = {
    "api": [8080],
    "s3": [9000, 9001],
    "localstack": [4566],
    "postgres": [5432],
    "pgadmin": [5050],
    "clamd": [3310],
}
PROFILES = {
    "s3": {"infra", "test"},
    "bucket": {"infra", "test"},
    "bucket-rules": {"infra"},
    "localstack": {"infra"},
    "postgres": {"infra"},
    "migrate": {"infra"},
    "pgadmin": {"infra"},
    "clamd": {"scan"},
    "api": {"api"},
    "api-under-test": {"test"},
    "api-test": {"test"},
}
OURS = ("api", "api-under-test", "api-test", "bucket-rules", "migrate")
# What may talk to the local S3 and to no other, whatever the env file says.
LOCAL = ("api-under-test", "bucket-rules")
SECRETS = re.compile("PASSWORD|SECRET|TOKEN|KEY")


def test_every_port_is_the_documents_and_reaches_this_machine_only() -> None:
    published: dict[str, list[int]] = {}
    for name, service in services().items():
        for port in service.get("ports", ()):
            match = re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z0-9_]+_PORT:-(\d+)\}:\1", port)
            assert match, f"{name} publishes {port}"
            published.setdefault(name, []).append(int(match[1]))
    assert published == PORTS


def test_nothing_starts_without_a_profile_and_each_profile_starts_what_it_is_for() -> None:
    assert {name: set(service.get("profiles", ())) for name, service in services().items()} == PROFILES


def test_a_profile_alone_has_everything_that_its_services_wait_for() -> None:
    missing = [
        (name, needed)
        for name, service in services().items()
        for needed, how in service.get("depends_on", {}).items()
        if how.get("required", True) and not PROFILES[name] <= PROFILES[needed]
    ]
    assert missing == []


def test_who_waits_waits_for_a_condition_that_can_come_true() -> None:
    for service in services().values():
        for needed, how in service.get("depends_on", {}).items():
            lasting = services()[needed]["restart"] != "no" or "healthcheck" in services()[needed]
            assert how["condition"] == ("service_healthy" if lasting else "service_completed_successfully")


def test_what_is_to_keep_running_is_restarted_and_has_a_health_check() -> None:
    lasting = {name for name, service in services().items() if service["restart"] == "unless-stopped"}
    assert lasting == set(PORTS)
    assert {name for name in lasting if not services()[name]["healthcheck"]["test"]} == set()
    assert {service["restart"] for name, service in services().items() if name not in lasting} == {"no"}


def test_foreign_images_are_pinned_by_tag_and_digest() -> None:
    for name, service in services().items():
        if name in OURS:
            assert (service["image"], service["build"]) == ("image-upload:local", ".")
        else:
            assert re.fullmatch(r"docker\.io/[\w/-]+:[\w.-]+@sha256:[0-9a-f]{64}", service["image"]), name
            assert ":latest" not in service["image"]


def test_no_password_has_a_default_that_a_server_would_start_with() -> None:
    for name, rest in variables():
        if SECRETS.search(name):
            assert rest in {":-", ":-unset"}, f"{name}{rest}"


def test_no_secret_is_written_into_the_file() -> None:
    for service in services().values():
        for name, value in service["environment"].items():
            if SECRETS.search(name):
                assert value == "" or value.startswith("${"), name


def test_our_own_containers_can_write_nothing_but_tmp_and_gain_nothing() -> None:
    for name in OURS:
        service = services()[name]
        assert service["read_only"] is True
        (writable,) = service["tmpfs"]
        assert writable.startswith("/tmp:size=")  # the name of the one that is there for all
        assert service["cap_drop"] == ["ALL"]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
        assert "volumes" not in service


def test_no_container_gains_privileges_or_holds_the_hosts_keys() -> None:
    for name, service in services().items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(service), name


def test_data_lives_in_named_volumes_and_files_of_the_checkout_are_read_only() -> None:
    named = set()
    for service in services().values():
        for mount in service.get("volumes", ()):
            source, _, mode = mount.split(":")[0], mount.split(":")[1], mount.split(":")[2:]
            if source.startswith("./"):
                assert (ROOT / source).is_file()
                assert mode == ["ro"]
            else:
                named.add(source)
    assert named == volumes()


# --- what the service is told ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["api", "migrate", *LOCAL])
def test_every_name_that_the_service_is_given_is_a_setting_of_it(name: str) -> None:
    assert set(services()[name]["environment"]) - {"PORT"} <= settings_names()


def test_every_setting_of_an_env_file_reaches_the_service() -> None:
    given = services()["api"]["environment"]
    # Lambda alone sets its own.
    assert settings_names() - {"AWS_LAMBDA_FUNCTION_NAME"} - set(given) == set()
    assert {name for name in given if name != "PORT" and not given[name].startswith(f"${{{name}:")} == set()


def test_every_command_that_our_image_is_told_is_one_of_its_own() -> None:
    told = [services()[name]["command"] for name in OURS if "command" in services()[name]]
    assert all(command[:3] == ["python", "-m", "image_upload"] for command in told)
    assert {command[3] for command in told} == {"smoke", "bucket-rules", "migrate-db"} <= set(COMMANDS)


def environment_of(name: str, given: dict[str, str]) -> dict[str, str]:
    return {key: filled(value, given) for key, value in services()[name]["environment"].items()}


def test_the_example_leads_the_service_to_s3_inside_and_browsers_to_it_outside() -> None:
    settings = load(environment_of("api", example()))
    assert settings.service.environment == "local"
    assert settings.storage.s3_endpoint_url == "http://s3:9000"
    assert settings.storage.s3_public_endpoint_url == f"http://localhost:{PORTS['s3'][0]}"
    assert settings.storage.aws_access_key_id == example()["S3_ROOT_USER"]
    assert settings.storage.aws_secret_access_key is not None
    assert settings.storage.aws_secret_access_key.get_secret_value() == example()["S3_ROOT_PASSWORD"]


def test_the_lines_that_are_commented_out_lead_it_to_localstack() -> None:
    commented = re.findall(r"^# (AWS_\w+|S3_PUBLIC_\w+)=(.*)$", read(".env.local.example"), re.MULTILINE)
    settings = load(environment_of("api", example() | dict(commented)))
    assert settings.storage.s3_endpoint_url == "http://localstack:4566"
    assert settings.storage.s3_public_endpoint_url == f"http://localhost:{PORTS['localstack'][0]}"
    assert settings.storage.aws_access_key_id == "test"


# Every setting that has two names, by the second one.
SECOND_NAMES = {
    "ENV": "local",
    "AWS_S3_BUCKET": "uploads",
    "AWS_DEFAULT_REGION": "eu-north-1",
    "LOCALSTACK_ENDPOINT": "http://localstack:4566",
}


def test_an_env_file_may_use_the_second_name_of_every_setting() -> None:
    assert set(SECOND_NAMES) == {name for field in every_setting().values() for name in field.variables[1:]}
    settings = load(environment_of("api", SECOND_NAMES))
    assert (settings.service.environment, settings.storage.s3_bucket_name) == ("local", "uploads")
    assert (settings.storage.aws_region, settings.storage.s3_endpoint_url) == ("eu-north-1", "http://localstack:4566")
    for name in ("bucket-rules", "migrate"):
        others = load(environment_of(name, SECOND_NAMES), serving=False)
        assert (others.storage.s3_bucket_name, others.storage.aws_region) == ("uploads", "eu-north-1")
    assert filled(services()["bucket"]["command"][-1], SECOND_NAMES) == "local/uploads"
    assert environment_of("localstack", SECOND_NAMES)["S3_BUCKET_NAME"] == "uploads"
    assert environment_of("localstack", SECOND_NAMES)["AWS_DEFAULT_REGION"] == "eu-north-1"


def test_the_example_has_a_database_that_is_migrated_before_the_service_starts() -> None:
    url = load(environment_of("api", example())).database.database_url
    assert url is not None
    parts = urlsplit(url.get_secret_value())
    assert (parts.hostname, parts.port, parts.username) == ("postgres", PORTS["postgres"][0], "postgres")
    assert (parts.password, parts.path) == (example()["POSTGRES_PASSWORD"], f"/{example()['POSTGRES_DB']}")
    assert environment_of("migrate", example())["DATABASE_URL"] == url.get_secret_value()
    assert services()["api"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert services()["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_only_the_database_of_the_file_is_migrated_whatever_the_env_file_says() -> None:
    environ = environment_of(
        "migrate", {"DATABASE_URL": "postgresql://admin@db.example.com/real", "S3_BUCKET_NAME": "b"}
    )
    assert "example.com" not in json.dumps(environ)
    assert "postgres:5432" in environ["DATABASE_URL"]


@pytest.mark.parametrize("name", LOCAL)
def test_what_belongs_to_the_local_s3_never_leaves_the_network_whatever_the_env_file_says(name: str) -> None:
    production = {
        "ENVIRONMENT": "production",
        "S3_BUCKET_NAME": "bucket",
        "AWS_REGION": "eu-north-1",
        "AWS_ACCESS_KEY_ID": "real",
        "AWS_SECRET_ACCESS_KEY": "real-secret",
        "AWS_SESSION_TOKEN": "real-token",
        "S3_ROOT_USER": "root",
        "S3_ROOT_PASSWORD": "root-secret",
    }
    environ = environment_of(name, production)
    settings = load(environ)
    assert settings.storage.s3_endpoint_url == "http://s3:9000"
    assert settings.storage.s3_public_endpoint_url in {None, "http://s3:9000"}
    assert "real" not in " ".join(environ.values())


def test_an_env_file_for_production_reaches_no_other_container_than_the_services() -> None:
    for name, service in services().items():
        if name not in OURS:
            text = json.dumps({key: service.get(key) for key in ("environment", "command")})
            assert not re.search(r"\$\{(AWS_ACCESS|AWS_SECRET|AWS_SESSION|JWT)", text), name


# --- the example and the documents ----------------------------------------------------------------


def test_the_example_names_only_variables_that_are_read_and_all_that_are_no_settings() -> None:
    used = {variable.name for variable in variables()}
    named = set(example(all_lines=True))
    assert named - {"COMPOSE_PROFILES"} <= used
    assert used - settings_names() <= named
    assert re.findall(r"^COMPOSE_PROFILES=(.*)$", read(".env.example"), re.MULTILINE) == ["api"]
    assert example()["COMPOSE_PROFILES"].split(",") == ["infra", "api"]


def test_pgadmin_knows_the_server() -> None:
    (server,) = json.loads(read("infra/pgadmin/servers.json"))["Servers"].values()
    assert (server["Host"], server["Port"], server["Username"]) == ("postgres", PORTS["postgres"][0], "postgres")


def test_the_table_of_services_is_what_the_file_says() -> None:
    rows = table("docs/local-stacks.md", "Service")
    assert {code_in(row[0])[0]: set(code_in(row[1])) for row in rows} == PROFILES
    ports = {code_in(row[0])[0]: [int(port) for port in re.findall(r"localhost:(\d+)", row[2])] for row in rows}
    assert {name: found for name, found in ports.items() if found} == PORTS
    for row in rows:
        image = services()[code_in(row[0])[0]]["image"]
        assert code_in(row[3]) == [image.partition("@")[0].removeprefix("docker.io/")]


def test_the_credentials_of_the_document_are_those_of_the_example() -> None:
    cells = " ".join(row[1] for row in table("docs/local-stacks.md", "Credentials of"))
    shown = dict(re.findall(r"`(\w+)=([^`]*)`", cells))
    assert shown.items() <= example().items()
    assert {name for name in example() if SECRETS.search(name) and not name.startswith("AWS_")} <= set(shown)


@pytest.mark.parametrize(
    "command",
    [
        "docker compose up -d",
        "docker compose --env-file .env.local up -d",
        "docker compose --profile infra up -d",
        "docker compose --profile api up -d --build api",
        "docker compose up -d localstack",
        "docker compose restart api",
        "docker compose stop api",
        "docker compose rm -f api",
        "docker compose build api && docker compose up -d api",
        "docker compose --profile test run --rm api-test",
        "docker logs local-s3-stack",
    ],
)
def test_the_commands_that_users_know_are_documented(command: str) -> None:
    assert re.search(rf"^{re.escape(command)}(\s+#.*)?$", read("docs/local-stacks.md"), re.MULTILINE)
    for service in re.findall(r" (?:api|localstack|api-test|local-s3-stack)$", command):
        names = set(services()) | {each["container_name"] for each in services().values() if "container_name" in each}
        assert service.strip() in names
