"""docs/documents.md claims only what is there: each thing that it names is looked for in the code."""

import inspect
import re
from collections.abc import Callable, Iterator

import httpx
import pytest

from image_upload import s3_service
from image_upload.__main__ import COMMANDS
from image_upload.domain.shipped_purposes import PURPOSES
from image_upload.errors import every_problem
from image_upload.limits import S3_PUT_MAX_BYTES
from image_upload.s3_service import S3Service
from image_upload.settings import every_setting
from tests.conftest import Start
from tests.infra.template import TEMPLATE
from tests.test_docs import ROOT, code_in, operations, read, request_and_answer, table

PAGE = "docs/documents.md"


def claims() -> Iterator[tuple[str, str]]:
    """(row, name): what the second column names, and what the first one names where the second says "the same"."""
    for asked, here in table(PAGE, "The document"):
        for name in code_in(here) + (code_in(asked) if here.startswith("the same") else []):
            yield asked, name


def fields() -> set[str]:
    """Every member of a request's or an answer's JSON."""
    return {name for operation in operations().values() for side in request_and_answer(operation) for name in side}


def is_option_of_deploy(text: str) -> bool:
    """Options of ./deploy.sh, for each of which its loop has a pattern, and parameters of the stack."""
    words = text.removeprefix("./deploy.sh").split()
    parameters = [word.partition("=")[0] for word in words if "=" in word]
    return all(re.search(rf"[ |]{word}[ )]", read("deploy.sh")) for word in words if word.startswith("--")) and all(
        name in TEMPLATE["Parameters"] for name in parameters
    )


def is_command(text: str) -> bool:
    name, *options = text.removeprefix("python -m image_upload ").split()
    return name in COMMANDS and all(option in read("image_upload/cli/bucket_rules.py") for option in options)


def is_function(text: str) -> bool:
    return text == s3_service.__name__ or inspect.isfunction(getattr(S3Service, text.removeprefix("s3_service."), None))


# What a name looks like → whether there is such a thing.
KINDS: dict[str, Callable[[str], bool]] = {
    r"(GET|POST|PUT|DELETE) /.*": lambda text: text in operations(),
    r"[A-Z][A-Z0-9_]+(=\w+)?": lambda text: (
        text.partition("=")[0] in {name for field in every_setting().values() for name in field.variables}
    ),
    r"[A-Z][a-z]+[A-Za-z]*": lambda text: text in TEMPLATE["Parameters"],
    r"[A-Z][a-z]+( [a-z]+)+": lambda text: text in {problem.title for problem in every_problem()},
    r"(\./deploy\.sh|--name).*": is_option_of_deploy,
    r"(docker compose .*|--env-file.*|infra|api)": lambda text: text in read("docs/local-stacks.md"),
    r"make \w+": lambda text: f"\n{text.removeprefix('make ')}: " in read("Makefile"),
    r"python test_local\.py.*": lambda text: text in read("test_local.py"),
    r"(python -m image_upload|bucket-rules) .*": is_command,
    r"\w+_file|s3_service\.\w+|get_file_url|generate_download_url|image_upload\..*": is_function,
    r"[a-z]+-[a-z-]+": lambda text: text in {problem.code for problem in every_problem()},
    r"\.[\w./]+": lambda text: (ROOT / text).exists() or f"\n{text}\n" in f"\n{read('.gitignore')}",
    r"/docs": lambda text: text == "/docs",
    r"/aws/lambda/.*": lambda text: (
        f"LogGroupName: !Sub {text.replace('image-upload-service', '${AWS::StackName}')}\n"
        in read("infra/template.yaml")
    ),
    r"curl": lambda text: text in read("README.md"),
    r".*\{id\}.*": lambda text: (
        text == "{id}" or text.replace("{date}", "{yyyymmdd}") in {purpose.key for purpose in PURPOSES.every()}
    ),
    r"[a-z_]+": lambda text: text in fields() | {purpose.name for purpose in PURPOSES.every()},
}


@pytest.mark.parametrize(("asked", "name"), list(claims()))
def test_everything_that_the_page_names_is_there(asked: str, name: str) -> None:
    there = [there(name) for looks_like, there in KINDS.items() if re.fullmatch(looks_like, name)]
    assert there, f"{asked}: no test knows what kind of thing {name} is"
    assert any(there), f"{asked}: there is no {name}"


def test_the_page_names_enough_for_this_to_mean_something() -> None:
    assert len(list(claims())) > 60


# --- what it says in words ------------------------------------------------------------------------


def signed_headers(plan: dict[str, str], url: str) -> set[str]:
    return set(httpx.URL(plan[url]).params["X-Amz-SignedHeaders"].split(";"))


def test_type_and_length_are_signed_as_it_says(start: Start, web: httpx.Client) -> None:
    service = start()
    spec = {"content_type": "image/jpeg"}
    without = web.post(f"{service}/images/presigned-url", json=spec).json()
    assert signed_headers(without, "upload_url") == {"host", "content-type"}
    sized = web.post(f"{service}/images/presigned-url", json=spec | {"size": 3}).json()
    assert signed_headers(sized, "upload_url") == {"host", "content-type", "content-length"}
    assert httpx.URL(sized["upload_url"]).params["X-Amz-Expires"] == str(sized["expires_in"]) == "300"
    assert web.post(f"{service}/images/presigned-url", json={"content_type": "image/tiff"}).status_code == 400
    assert f"{S3_PUT_MAX_BYTES // 1024**3} GiB" in read(PAGE)


def test_metadata_is_stored_as_it_says(start: Start, web: httpx.Client) -> None:
    service = start()
    spec = {"filename": "a.jpg", "contentType": "image/jpeg", "size": 3}
    plain = web.post(f"{service}/uploads", json=spec).json()
    assert [name for name in plain["headers"] if name.lower().startswith("x-amz-meta-")] == []
    told = web.post(f"{service}/uploads", json=spec | {"metadata": {"class_id": "c1"}}).json()
    (row,) = (row for row in table(PAGE, "The document") if row[0].startswith("metadata "))
    named = {name.removeprefix("x-amz-meta-").replace("-", "_") for name in told["headers"]}
    assert set(code_in(row[0])) <= named
