"""The documents say what the code does: every name in both, every value the same."""

import functools
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from generate.settings import described
from generate.template import setting_parameters
from image_upload import limits
from image_upload.__main__ import COMMANDS
from image_upload.app import create_app
from image_upload.domain.shipped_purposes import PURPOSES
from image_upload.errors import every_problem
from image_upload.settings import load
from image_upload.uploads.strategy import part_length
from tests.infra.template import TEMPLATE

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
_UNITS = {"MiB": limits.MIB, "GiB": limits.GIB, "TiB": 1024 * limits.GIB}


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def prose(text: str) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def table(path: str, first: str) -> list[list[str]]:
    """The rows of every table of a document whose first column has this title, cells stripped."""
    tables = tables_in(read(path), first)
    rows = [row for each in tables for row in each]
    assert rows, f"{path} has no table that begins with {first}"
    assert len({len(row) for row in rows}) == 1, f"{path}: a row has more or fewer cells than the others"
    return rows


def tables_in(text: str, first: str) -> list[list[list[str]]]:
    """The tables of a text whose first column has this title, each as its rows, cells stripped."""
    tables: list[list[list[str]]] = []
    inside = False
    for line in prose(text).splitlines():
        cells = [cell.strip() for cell in line.strip()[1:-1].split("|")] if line.startswith("|") else []
        if cells and cells[0] == first and not inside:
            tables.append([])
        elif cells and inside and not set("".join(cells)) <= set("-:"):
            tables[-1].append(cells)
        inside = bool(cells) and (inside or cells[0] == first)
    return tables


def code_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def no_row_twice(names: list[Any]) -> None:
    assert len(names) == len(set(names)), f"documented twice: {sorted(name for name in names if names.count(name) > 1)}"


# --- settings -------------------------------------------------------------------------------------

LOCAL_SETTINGS = dict(re.findall(r'os\.environ\.get\("(\w+)", "([\w.]+)"\)', read("test_local.py")))


def test_the_settings_of_the_local_runner_are_documented_with_their_defaults() -> None:
    documented = {tuple(code_in(row[0])): row[1] for row in table("docs/settings.md", "Setting")}
    assert {(name,): f"`{default}`" for name, default in LOCAL_SETTINGS.items()}.items() <= documented.items()


def test_the_local_runner_reads_a_port_and_an_s3_port() -> None:
    assert set(LOCAL_SETTINGS) == {"PORT", "S3_PORT", "S3", "LOCAL_DIR"}


def test_auth_is_required_in_production_and_nowhere_else_unless_it_is_set() -> None:
    given = {"S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1", "JWT_SECRET": "s" * 32}
    required = {
        name: load(given | {"ENVIRONMENT": name}).auth.auth_required
        for name in ("local", "development", "test", "production")
    }
    assert required == {"local": False, "development": False, "test": False, "production": True}


def test_settings_in_the_readme_agree_with_the_code() -> None:
    shown = {tuple(code_in(row[0])): row[1].replace("`", "") for row in table("README.md", "Setting")}
    code = {each.setting.variables: each.default.replace("`", "") for each in described()}
    assert shown.items() <= code.items()
    assert {names for names, default in code.items() if default == "required"} <= shown.keys()


# --- routes ---------------------------------------------------------------------------------------


# What stands in a curl line for a parameter of the path.
PATH_EXAMPLES = {
    "code": r"[\w-]+",
    "key": r"\$KEY",
    "ticket": r"\$TICKET",
    "job_id": r"\$JOB",
    "upload_id": r"\$UPLOAD",
    "number": r"\d+",
    "post_id": r"\$POST",
    "file_id": r"\$FILE",
}


@cache
def openapi() -> dict[str, Any]:
    settings = load({"ENVIRONMENT": "test", "S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1"})
    return create_app(settings).openapi()


def resolved(found: dict[str, Any]) -> dict[str, Any]:
    """What a reference into the OpenAPI document leads to; anything else itself."""
    while "$ref" in found:
        _, *path = found["$ref"].split("/")
        found = functools.reduce(lambda inside, name: inside[name], path, openapi())
    return found


def operations() -> dict[str, dict[str, Any]]:
    """`METHOD /path` → OpenAPI operation."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in openapi()["paths"].items()
        for method, operation in methods.items()
    }


def sections() -> dict[str, str]:
    """`METHOD /path` → what docs/routes.md says about it."""
    _, *parts = re.split(r"^## ", read("docs/routes.md"), flags=re.MULTILINE)
    titles = [part.partition("\n")[0].strip("`") for part in parts]
    no_row_twice(titles)
    return dict(zip(titles, parts, strict=True))


def written_by_hand() -> dict[str, str]:
    """Of `sections`, what is not generated, for the routes of which it is more than nothing."""
    below = {
        route: text.partition("<!-- end -->")[2].partition("<!-- generated")[0] for route, text in sections().items()
    }
    return {route: text for route, text in below.items() if text.strip()}


def test_a_section_says_what_its_route_expects_and_returns_and_has_a_curl_line() -> None:
    for route, text in written_by_hand().items():
        path = re.escape(route.partition(" ")[2])
        for name, example in PATH_EXAMPLES.items():
            path = path.replace(rf"\{{{name}\}}", example)
        assert "Expects" in text, route
        assert "Returns" in text, route
        assert re.search(rf"```bash\n[^`]*curl[^`]*http://localhost:8000{path}(?=[\s\"?])", text), route


def fields_of(schema: dict[str, Any]) -> set[str]:
    """The names of an object's members, in any of its forms; of a list's, those of what is in it."""
    schema = resolved(schema)
    if "items" in schema:
        return fields_of(schema["items"])
    forms = [form for kind in ("oneOf", "allOf") for form in schema.get(kind, ())]
    return set(schema.get("properties", ())).union(*map(fields_of, forms))


def request_and_answer(operation: dict[str, Any]) -> tuple[set[str], set[str]]:
    """The names that a route reads (from body and query), and those that it writes."""
    bodies = operation.get("requestBody", {}).get("content", {}).values()
    read = {name for body in bodies for name in fields_of(body["schema"])}
    read |= {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"}
    answers = operation["responses"].get("200", {}).get("content", {}).values()
    return read, {name for answer in answers for name in fields_of(answer["schema"])}


def test_every_field_of_the_minting_route_is_documented_and_no_other() -> None:
    tables = tables_in(sections()["POST /uploads"], "Field")
    documented = [[name for row in rows for name in code_in(row[0])] for rows in tables]
    for names in documented:
        no_row_twice(names)
    read, written = request_and_answer(operations()["POST /uploads"])
    assert [set(names) for names in documented] == [read, written]


def test_every_field_that_a_route_reads_or_writes_is_named_in_its_section() -> None:
    unnamed = {}
    for route, text in written_by_hand().items():
        read, written = request_and_answer(operations()[route])
        if missing := (read | written) - set(code_in(prose(text))):
            unnamed[route] = missing
    assert unnamed == {}


def test_every_strategy_is_documented_in_the_order_of_preference() -> None:
    (rows,) = tables_in(sections()["POST /uploads"], "Strategy")
    properties = openapi()["components"]["schemas"]["UploadRequest"]["properties"]
    (accepted,) = (kind["items"]["enum"] for kind in properties["accepts"]["anyOf"] if "items" in kind)
    assert [row[0] for row in rows] == accepted
    assert {row[0]: re.split("[;,]", row[2])[0] for row in rows} == {
        "put": "up to 5 GiB",
        "post": "up to 5 GiB",
        "multipart": "up to 48.8 TiB",
        "resumable": "up to 78.1 GiB",
        "proxy": "up to 5 GiB",
    }
    assert {f"### {name}" for name in accepted} <= set(sections()["POST /uploads"].splitlines())


def test_the_part_lengths_of_the_documents_are_those_of_the_code() -> None:
    documented: dict[str, bool] = {}
    for file, part, parts in table("docs/decisions/part-size.md", "File"):
        number, unit = file.split()
        size = limits.S3_OBJECT_MAX_BYTES if file == "48.8 TiB" else round(float(number) * ({"byte": 1} | _UNITS)[unit])
        length = part_length(size)
        documented[file] = (part, parts) == (f"{length // limits.MIB} MiB", f"{-(-size // length):,}")
    assert documented == dict.fromkeys(documented, True)


# --- errors ---------------------------------------------------------------------------------------


def test_every_error_code_is_documented_wherever_its_class_is() -> None:
    rows = table("docs/errors.md", "Code")
    assert {code_in(row[0])[0] for row in rows} == {kind.code for kind in every_problem()}


def test_the_example_of_an_error_is_one_the_service_could_send() -> None:
    block = re.search(r"^```json\n(.*?)^```", read("docs/errors.md"), re.MULTILINE | re.DOTALL)
    assert block
    example = json.loads(block[1])
    kind = {kind.code: kind for kind in every_problem()}[example["code"]]
    assert (example["type"], example["title"], example["status"]) == (f"/errors/{kind.code}", kind.title, kind.status)
    assert example["max_bytes"] == PURPOSES.named["upload"].max_bytes


# --- commands -------------------------------------------------------------------------------------


def test_every_command_is_documented_and_no_other() -> None:
    rows = table("docs/commands.md", "Command")
    no_row_twice([row[0] for row in rows])
    assert {code_in(row[0])[0].split()[0] for row in rows} == set(COMMANDS)


# --- the stack ------------------------------------------------------------------------------------


def test_every_parameter_of_the_stack_is_documented_with_its_default_and_no_other() -> None:
    rows = table("docs/stack.md", "Parameter")
    no_row_twice([row[0] for row in rows])
    defaults = {name: each.get("Default") for name, each in TEMPLATE["Parameters"].items()}
    written = {None: "required", "": "empty"}
    assert {code_in(row[0])[0]: row[1] for row in rows} == {
        name: written.get(default, f"`{default}`")
        for name, default in defaults.items()
        if name not in setting_parameters()
    }


def test_every_resource_and_output_of_the_stack_is_documented_and_no_other() -> None:
    for section, first in (("Resources", "Resource"), ("Outputs", "Output")):
        named = [name for row in table("docs/stack.md", first) for name in code_in(row[0])]
        no_row_twice(named)
        assert set(named) == set(TEMPLATE[section])


# --- limits, events, modules, targets -------------------------------------------------------------


def test_every_limit_but_the_units_is_documented_and_says_what_it_means() -> None:
    rows = table("docs/limits.md", "Constant")
    assert {code_in(row[0])[0] for row in rows} == {name for name in vars(limits) if name.isupper()} - {
        "KIB",
        "MIB",
        "GIB",
    }
    assert [row[0] for row in rows if not all(row)] == []


def test_every_sample_event_is_documented_and_no_other() -> None:
    named = set(re.findall(r"[\w-]+\.json", read("events/README.md")))
    assert named == {path.name for path in (ROOT / "events").glob("*.json")}


def test_every_module_has_its_place_in_the_architecture() -> None:
    package = ROOT / "image_upload"
    modules = {path.stem for path in package.glob("*.py")} | {
        path.parent.name for path in package.glob("*/__init__.py")
    }
    rows = [code_in(row[1])[0] for row in table("docs/architecture.md", "Floor")]
    no_row_twice(rows)
    assert set(rows) == modules - {"__init__"}


def test_the_middleware_is_documented_in_its_order() -> None:
    given = {
        "ENVIRONMENT": "test",
        "S3_BUCKET_NAME": "bucket",
        "AWS_REGION": "eu-north-1",
        "CORS_ALLOW_ORIGINS": "http://localhost:3000",
        "RATE_LIMIT_PER_ADDRESS": "1/minute",
    }
    layers = [getattr(layer.cls, "__name__", "") for layer in create_app(load(given)).user_middleware]
    assert [code_in(row[0])[0] for row in table("docs/architecture.md", "Middleware")] == layers


def test_every_make_target_is_in_the_contributing_guide_and_no_other() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):.*## ", read("Makefile"), re.MULTILINE))
    named = {code_in(row[0])[0].removeprefix("make ") for row in table("CONTRIBUTING.md", "Command")}
    assert named == targets


def test_every_path_in_the_contributing_guide_is_there() -> None:
    paths = [path for row in table("CONTRIBUTING.md", "Path") for path in code_in(row[0])]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_error_class_carries_the_name_of_its_code() -> None:
    named = {kind.__name__: "".join(word.capitalize() for word in kind.code.split("-")) for kind in every_problem()}
    assert {name: code for name, code in named.items() if name.lower() != code.lower()} == {}


def test_every_decision_with_a_file_is_in_the_index() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", read("docs/decisions/README.md")))
    assert linked == {path.name for path in (DOCS / "decisions").glob("*.md")} - {"README.md"}


def test_every_decision_has_a_date_and_its_page_a_status() -> None:
    """An entry of the index without a status is in force, as its first paragraph says."""
    _, *entries = re.split(r"^- ", read("docs/decisions/README.md"), flags=re.MULTILINE)
    assert [entry for entry in entries if not re.search(r"\((20\d\d-\d\d-\d\d)[;)]", entry)] == []
    pages = [path for path in (DOCS / "decisions").glob("*.md") if path.name != "README.md"]
    stated = re.compile(r"# .*\n\n(20\d\d-\d\d-\d\d)\. Status: (in force|replaced by .*)\.\n")
    assert [path.name for path in pages if not stated.match(path.read_text(encoding="utf-8"))] == []


def test_every_file_of_the_package_that_a_document_names_is_there() -> None:
    named = {
        (path.name, file)
        for path in documents()
        for file in re.findall(r"(?<![\w/.-])image_upload/[\w/.-]*\w", path.read_text(encoding="utf-8"))
    }
    assert named
    assert [(page, file) for page, file in sorted(named) if not (ROOT / file).exists()] == []


# --- links ----------------------------------------------------------------------------------------


def documents() -> list[Path]:
    """The project's own documents: none of an environment, a cache or a package."""
    outside = {"node_modules"}
    return sorted(
        path
        for path in ROOT.rglob("*.md")
        if not any(part.startswith(".") or part in outside for part in path.relative_to(ROOT).parts)
        and not any((parent / "pyvenv.cfg").exists() for parent in path.parents if parent.is_relative_to(ROOT))
    )


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not (target.is_relative_to(ROOT) and target.exists()) or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_nothing_is_documented_as_working_that_has_no_route() -> None:
    """A path in backticks with a method in front of it is a promise."""
    promised = {
        f"{method} {path}"
        for document in documents()
        if document.parent != ROOT / "events"  # some events are wrong on purpose
        for method, path in re.findall(
            r"`(GET|POST|PUT|PATCH|DELETE|HEAD) (/[^`\s?]*)", prose(document.read_text(encoding="utf-8"))
        )
    }
    frameworks = {"GET /docs", "GET /docs/{version}/{name}", "GET /favicon.ico", "GET /openapi.json"}
    assert promised - frameworks <= set(operations())


def test_actions_are_pinned_by_their_commit() -> None:
    workflows = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / ".github/workflows").iterdir())
    uses = re.findall(r"uses: (\S+)(.*)", workflows)
    assert len(uses) >= 10
    assert [
        each for each, version in uses if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each) or "# v" not in version
    ] == []
