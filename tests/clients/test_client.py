"""What others make of the OpenAPI document: two linters, and a generated TypeScript client that stores a file."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from local.embedded_s3 import EmbeddedS3
from tests.conftest import serving, settings_for
from tests.npm import installed, tool
from tests.test_docs import ROOT

pytestmark = pytest.mark.needs("node")

HERE = Path(__file__).resolve().parent
PICTURE = ROOT / "examples" / "photo.jpg"
WITHIN_S = 300
TSC = [
    "--strict",
    "--noUncheckedIndexedAccess",
    "--target",
    "es2022",
    "--lib",
    "es2022,dom,dom.iterable",
    "--module",
    "nodenext",
    "--types",
    "node",
    # Those of the packages; the generated schema is a module of ours and checked.
    "--skipLibCheck",
]


class Workshop:
    """A folder with the document of a service and the packages of the lock file."""

    def __init__(self, folder: Path, service: str) -> None:
        self.folder = folder
        self.service = service

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A program of the packages, or `node` itself."""
        node = tool("node", "node")
        script = [] if program == "node" else [str((self.folder / "node_modules" / ".bin" / program).resolve())]
        return subprocess.run(
            [node, *script, *arguments],
            cwd=self.folder,
            env=os.environ | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )

    def compile(self, name: str, code: str) -> subprocess.CompletedProcess[str]:
        """TypeScript to JavaScript, as strictly as the compiler can."""
        (self.folder / name).write_text(code, encoding="utf-8")
        return self.run("tsc", *TSC, name)


@pytest.fixture(scope="module")
def workshop(service: str, s3: EmbeddedS3, tmp_path_factory: pytest.TempPathFactory, web: httpx.Client) -> Workshop:
    """With the document as it is where tokens are optional, and as `strict.json` where they are required."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "node_modules").symlink_to(installed(HERE, "clients"))
    shutil.copy(HERE / ".spectral.yaml", folder)
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    (folder / "openapi.json").write_text(web.get(f"{service}/openapi.json").text, encoding="utf-8")
    with serving(settings_for(s3, AUTH_REQUIRED="true", JWT_SECRET="s" * 32)) as strict:
        (folder / "strict.json").write_text(web.get(f"{strict}/openapi.json").text, encoding="utf-8")
    return Workshop(folder, service)


def test_redocly_finds_no_error(workshop: Workshop) -> None:
    done = workshop.run(
        "redocly", "lint", "--extends", "recommended", "--format", "json", "openapi.json", "strict.json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # One JSON value a document.
    assert re.findall(r'^    "errors": (\d+)', done.stdout, re.MULTILINE) == ["0", "0"]


def test_spectral_finds_no_error(workshop: Workshop) -> None:
    documents = ("openapi.json", "strict.json")
    done = workshop.run("spectral", "lint", "--ruleset", ".spectral.yaml", "--format", "json", *documents)
    assert done.returncode == 0, done.stdout + done.stderr
    # Severity 0 is an error; warnings that we know are named here, so that a new one is looked at.
    assert {(found["severity"], found["code"]) for found in json.loads(done.stdout)} <= {(1, "info-contact")}


def test_a_linter_would_find_an_error(workshop: Workshop) -> None:
    """The linters read the document and know its version: one mistake each, and they complain."""
    document = json.loads((workshop.folder / "openapi.json").read_text(encoding="utf-8"))
    document["paths"]["/uploads"]["post"]["responses"]["401"] = {"$ref": "#/components/responses/nothing"}
    (workshop.folder / "wrong.json").write_text(json.dumps(document), encoding="utf-8")
    assert workshop.run("redocly", "lint", "--extends", "recommended", "wrong.json").returncode != 0
    assert workshop.run("spectral", "lint", "--ruleset", ".spectral.yaml", "wrong.json").returncode != 0


def test_a_generated_client_stores_a_file_by_every_plan_without_a_cast(workshop: Workshop, web: httpx.Client) -> None:
    code = (HERE / "client.ts").read_text(encoding="utf-8")
    spoken = re.sub(r"//.*|\"[^\"]*\"|`[^`]*`", "", code)
    assert re.findall(r"\bas\b|\bany\b|\bunknown\b|@ts-|\w!", spoken) == []

    generated = workshop.run("openapi-typescript", "openapi.json", "--default-non-nullable=false", "-o", "schema.ts")
    assert generated.returncode == 0, generated.stderr
    compiled = workshop.compile("client.ts", code)
    assert compiled.returncode == 0, compiled.stdout

    done = workshop.run("node", "client.js", workshop.service, str(PICTURE))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert set(said["stored"]) == {"put", "post", "multipart", "resumable", "proxy"}
    assert len(set(said["stored"].values())) == 5
    assert said["refused"] == "unsupported-file-type"
    for key in said["stored"].values():
        url = web.get(f"{workshop.service}/images/{key}").json()["url"]
        assert web.get(url).content == PICTURE.read_bytes()

    # The compiler knows which member belongs to which plan.
    wrong = ("plan.ticket", "plan.fields", "plan.presignedUrl.length", 'plan.strategy === "put" && plan.fields')
    head = 'import type { components } from "./schema.js";\ntype Plan = components["schemas"]["MintedUpload"];\n'
    lines = [f"export const read{number} = (plan: Plan) => {each};\n" for number, each in enumerate(wrong)]
    refused = workshop.compile("wrong.ts", head + "".join(lines))
    assert re.findall(r"^wrong\.ts\((\d+),", refused.stdout, re.MULTILINE) == ["3", "4", "5", "6"]
