"""Run the shell blocks of the documents as they are printed, and compare the stored bytes."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from image_upload.aws.endpoints import locate
from image_upload.aws.sigv4 import Credentials, Signer
from image_upload.domain.keys import published
from local.embedded_s3 import ACCESS_KEY, BUCKET, REGION, SECRET_KEY
from local.processes import get

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN_S = 60.0
BLOCK_WITHIN_S = 120.0
POLL_S = 0.05
PICTURE = "examples/photo.jpg"
# Its snippets are those of README.md, as a test below says.
KOREAN = pytest.param("README.ko.md", marks=pytest.mark.full)
# Dozens of lines of curl, each a process, and two programs that start; other tests ask the same by name.
LONG = [pytest.param(document, marks=pytest.mark.full) for document in ("docs/routes.md", "docs/local-stacks.md")]
START = "make dev"
TEST = "make test"
# What a block of the shell prints if the service refused it.
REFUSED = '"/errors/'


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def token_chapter(document: str) -> list[str]:
    """The two bash blocks around the second start of `make dev`: one sets a secret, the other uses a token of it."""
    every = blocks(document, "bash")
    first = next((index for index, block in enumerate(every) if ">> .env" in block), len(every))
    return every[first : first + 2]


def commands(document: str) -> list[str]:
    """The bash blocks that are pasted into the second terminal, while `make dev` runs as it comes."""
    left_out = token_chapter(document)
    return [block for block in blocks(document, "bash") if block.strip() != START and block not in left_out]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Terminal:
    """A shell in a copy of the checkout, with a newcomer's environment and nothing else."""

    home: Path
    port: int
    s3_port: int
    local_dir: str = ".local"

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ports = {"PORT": str(self.port), "S3_PORT": str(self.s3_port)}
        kept = {"LOCAL_DIR": self.local_dir}
        return {"PATH": path, "HOME": str(self.home), "LANG": "C.UTF-8", **ports, **kept}

    def run(self, block: str) -> str:
        """What a block prints. Variables stay for the next block, as in one terminal."""
        variables = self.home / ".variables"
        variables.touch()
        script = f"set -euo pipefail; . {variables}; set -a\n{block}\nexport -p > {variables}\n"
        done = subprocess.run(
            ["bash", "-c", script.replace("localhost:8000", f"localhost:{self.port}")],
            cwd=self.home,
            # A port of its own for what a block starts itself; the running service keeps its two.
            env={**self.environ, "PORT": "0", "S3_PORT": "0"},
            capture_output=True,
            text=True,
            timeout=BLOCK_WITHIN_S,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def variable(self, name: str) -> str:
        return self.run(f'printf %s "${{{name}-}}"')

    def get(self, url: str) -> bytes:
        return httpx.get(url, timeout=BLOCK_WITHIN_S, trust_env=False).raise_for_status().content

    def stored(self, key: str) -> bytes:
        """The object's bytes, by way of the service's read URL."""
        url: str = json.loads(self.get(f"{self.url}/images/{key}"))["url"]
        return self.get(url)

    def forget(self, key: str) -> None:
        """Remove the object, so that the next block cannot live on the last one's success."""
        address = locate(BUCKET, REGION, f"http://127.0.0.1:{self.s3_port}")
        signer = Signer(address, Credentials(ACCESS_KEY, SECRET_KEY))
        url = signer.presign("DELETE", key, now=datetime.now(UTC), expires_s=60)
        httpx.delete(url, timeout=BLOCK_WITHIN_S, trust_env=False).raise_for_status()


@dataclass(frozen=True)
class MakeDev:
    """A running `make dev`. `log` and `printed` are the files that its two outputs go to."""

    process: subprocess.Popen[bytes]
    printed: Path
    log: Path

    def service_pid(self) -> int:
        found = re.search(r"Started server process \[(\d+)\]", self.log.read_text(encoding="utf-8"))
        assert found, "the log does not name the service's process"
        return int(found[1])


def copy_of_the_checkout(to: Path) -> Path:
    """What a clone would hold once everything here is committed, and the environment that runs this test."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    (to / ".venv").symlink_to(sys.prefix)
    return to


@contextmanager
def make_dev(terminal: Terminal) -> Iterator[MakeDev]:
    """`make dev` as the documents say it, until the block is left; then Ctrl-C."""
    ready = terminal.home / ".ready"
    ready.touch()  # newer than the requirements: make finds the environment set up and installs nothing
    printed, log = terminal.home / f".printed-{terminal.port}", terminal.home / f".log-{terminal.port}"
    with printed.open("wb") as out, log.open("wb") as err:
        process = subprocess.Popen(
            [*START.split(), f"VENV={sys.prefix}", f"READY={ready}"],
            cwd=terminal.home,
            env=terminal.environ,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    try:
        _wait_until_ready(terminal, process, log)
        yield MakeDev(process, printed, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)  # Ctrl-C reaches the whole group
        try:
            process.wait(READY_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise


def _wait_until_ready(terminal: Terminal, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            # By http.client: for each of these looks, httpx would read all certificates.
            assert json.loads(get(terminal.port, "/"))["bucket"] == "ok"
        except ConnectionError:
            said = log.read_text(encoding="utf-8")
            assert process.poll() is None, f"make dev ended: {said}"
            assert time.monotonic() < deadline, f"make dev is not ready: {said}"
            time.sleep(POLL_S)  # before it is asked again
        else:
            return


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    return Terminal(copy_of_the_checkout(tmp_path_factory.mktemp("checkout")), free_port(), free_port())


@pytest.fixture(scope="module")
def dev(terminal: Terminal) -> Iterator[MakeDev]:
    with make_dev(terminal) as running:
        yield running


@pytest.mark.parametrize("document", ["README.md", "README.ko.md"])
def test_quick_start_begins_with_make_dev(document: str) -> None:
    assert blocks(document, "bash")[0].strip() == START


@pytest.mark.usefixtures("dev")
@pytest.mark.parametrize("document", ["README.md", KOREAN, *LONG])
def test_every_shell_block_works_as_it_is_printed_and_stores_the_picture(document: str, terminal: Terminal) -> None:
    picture = (ROOT / PICTURE).read_bytes()
    (terminal.home / ".variables").unlink(missing_ok=True)
    stores = 0
    for block in commands(document):
        sends = f"@{PICTURE}" in block
        if sends and stores:
            terminal.forget(terminal.variable("KEY"))
        said = terminal.run(block)
        assert REFUSED not in said or "/errors" in block, said
        if sends:
            stores += 1
            assert re.search(r"stored: 20[01]\n", said) or '"success":true' in said or '"etag":' in said, said
            assert terminal.stored(terminal.variable("KEY")) == picture
        assert '"state":"stored"' in said or not re.search(r"\$(POST|FILE)\b", block), said
        if "while read" in block:
            assert said == "part 1: 200\npart 2: 200\n"
        if "-X DELETE" in block:
            assert said in ("given up: 204\n", "deleted: 204\n", "{}\n"), said
        if "cmp " in block:
            assert said == "identical\n"
        if "test_local.py test" in block:
            assert re.search(r"^(\d+) of \1 steps passed", said, re.MULTILINE), said
        if "events/health.json" in block:
            assert json.loads(said)["statusCode"] == 200
    assert stores == {"README.md": 1, "README.ko.md": 1, "docs/routes.md": 9, "docs/local-stacks.md": 0}[document]


def test_the_blocks_that_are_run_compare_a_file_run_the_smoke_test_and_replay_an_event() -> None:
    """The blocks whose output the test above looks at more closely have not gone."""
    routes, local = commands("docs/routes.md"), commands("docs/local-stacks.md")
    assert sum("cmp " in block for block in routes) == 1
    assert [block.strip().removeprefix(".venv/bin/python ") for block in local] == [
        "test_local.py test",
        "test_local.py event events/health.json",
    ]


@pytest.mark.parametrize("document", ["README.md", "README.ko.md"])
def test_the_quick_start_ends_with_a_stored_picture_after_six_lines(document: str) -> None:
    start, store, *_ = blocks(document, "bash")
    assert len(f"{start}{store}".splitlines()) == 6
    assert store.splitlines()[-1].startswith('curl -sS -X PUT "$URL"')


# Two starts, and a copy to compile.
@pytest.mark.full
@pytest.mark.parametrize("document", ["README.md", "README.ko.md"])
def test_the_token_chapter_works_line_by_line_with_a_service_of_that_secret(document: str, tmp_path: Path) -> None:
    terminal = Terminal(copy_of_the_checkout(tmp_path), free_port(), free_port())
    secret, with_a_token = token_chapter(document)
    terminal.run(secret)
    with make_dev(terminal):
        plan = json.loads(terminal.run(with_a_token))
        picture = (ROOT / PICTURE).read_bytes()
        stored = httpx.put(plan["presignedUrl"], content=picture, headers=plan["headers"], trust_env=False)
        assert stored.status_code == 200, stored.text
        unsigned = with_a_token.partition("curl")[2].replace('-H "Authorization: Bearer $TOKEN" ', "")
        assert json.loads(terminal.run(f"curl{unsigned}"))["code"] == "token-missing"
        token = terminal.variable("TOKEN")
        assert token.count(".") == 2
        bearer = {"Authorization": f"Bearer {token}"}
        described = httpx.get(f"{terminal.url}/images/{plan['objectKey']}/metadata", headers=bearer, trust_env=False)
        assert described.json()["size"] == len(picture)


def test_the_lines_that_make_dev_prints_store_the_picture(dev: MakeDev, terminal: Terminal) -> None:
    picture = (ROOT / PICTURE).read_bytes()
    lines = [line for line in dev.printed.read_text(encoding="utf-8").splitlines() if line.startswith("URL=$(")]
    assert len(lines) == 3
    keys = set()
    for line in lines:
        said = terminal.run(line)
        assert "stored: 200" in said or '"success":true' in said, said
        key = published(terminal.variable("URL").partition(f"/{BUCKET}/")[2].partition("?")[0])
        assert terminal.stored(key) == picture
        keys.add(key)
    assert len(keys) == 3


def run_in_node(terminal: Terminal, modules: dict[str, str], script: str) -> Any:
    """What a script prints, as JSON, that imports modules: their files' names and their code."""
    for name, code in modules.items():
        (terminal.home / name).write_text(code, encoding="utf-8")
    (terminal.home / "run.mjs").write_text(script, encoding="utf-8")
    done = subprocess.run(
        ["node", "run.mjs"],
        cwd=terminal.home,
        env={**terminal.environ, "NEXT_PUBLIC_UPLOAD_SERVICE_URL": terminal.url},
        capture_output=True,
        text=True,
        timeout=BLOCK_WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.needs("node")
def test_the_code_for_a_page_stores_a_file_and_reports_a_refusal(dev: MakeDev, terminal: Terminal) -> None:
    assert dev.process.poll() is None
    *_, direct = blocks("docs/client.md", "js")
    through, _ = blocks("docs/forms.md", "js")
    said = run_in_node(
        terminal,
        {"upload.mjs": direct, "through.mjs": through},
        f"""
        import {{ readFileSync }} from "node:fs";
        import {{ File }} from "node:buffer";
        import {{ uploadToS3 }} from "./upload.mjs";
        import {{ uploadThroughService }} from "./through.mjs";

        const file = new File([readFileSync("{PICTURE}")], "고양이.jpg", {{ type: "image/jpeg" }});
        const direct = await uploadToS3(file);
        const minted = await fetch(`${{process.env.NEXT_PUBLIC_UPLOAD_SERVICE_URL}}/uploads`, {{
          method: "POST",
          headers: {{ "Content-Type": "application/json" }},
          body: JSON.stringify({{ filename: file.name, contentType: file.type, size: file.size }}),
        }});
        const {{ presignedUrl, objectKey }} = await minted.json();
        const answer = await uploadThroughService(file, presignedUrl);
        const refusals = [];
        for (const attempt of [
          () => uploadToS3(new File(["x"], "cat.exe", {{ type: "image/jpeg" }})),
          () => uploadToS3(file, "no-token"),
          () => uploadThroughService(file, "https://example.com/?x=y"),
        ]) await attempt().catch((error) => refusals.push(error.message.split(":")[0]));
        console.log(JSON.stringify({{ direct, objectKey, answer, refusals }}));
        """,
    )
    picture = (ROOT / PICTURE).read_bytes()
    assert terminal.stored(said["direct"]) == picture
    assert terminal.stored(said["objectKey"]) == picture
    assert said["answer"]["success"] is True
    assert said["answer"]["file_size"] == len(picture)
    assert said["answer"]["filename"] == "고양이.jpg"
    assert said["refusals"] == ["unsupported-file-type", "token-invalid", "upload-target-refused"]


@pytest.mark.needs("node")
def test_the_guides_code_sends_a_large_file_in_parts_through_a_broken_line_and_goes_on(
    dev: MakeDev, terminal: Terminal
) -> None:
    assert dev.process.poll() is None
    (code,) = blocks("docs/multipart.md", "js")
    closed = free_port()  # no server listens there
    said = run_in_node(
        terminal,
        {"upload.mjs": code},
        f"""
        import {{ createHash }} from "node:crypto";
        import {{ writeFileSync }} from "node:fs";
        import {{ File }} from "node:buffer";
        import {{ uploadInParts, giveUp }} from "./upload.mjs";

        const bytes = Buffer.alloc(20 * 2 ** 20 + 1);
        for (let i = 0; i < bytes.length; i += 4096) bytes.writeUInt32BE(i, Math.min(i, bytes.length - 4));
        writeFileSync("large.bin", bytes);
        const file = new File([bytes], "large.bin");

        // Every PUT and every fresh URL is counted; the PUTs that `breaks` names go to a closed port.
        const real = globalThis.fetch;
        let puts = [], fresh = [];
        let breaks = () => false;
        globalThis.fetch = (url, options = {{}}) => {{
          if (url.endsWith("/parts")) fresh.push(...JSON.parse(options.body).partNumbers);
          if (options.method !== "PUT") return real(url, options);
          const number = Number(new URL(url).searchParams.get("partNumber"));
          const broken = breaks(number, puts.filter((each) => each === number).length);
          puts.push(number);
          return real(broken ? "http://127.0.0.1:{closed}/" : url, options);
        }};
        const outcome = async (run) => {{
          [puts, fresh] = [[], []];
          const value = await run().catch((error) => error.code ?? error.message);
          return {{ value, puts: puts.toSorted(), fresh }};
        }};

        let ticket;
        const progress = [];
        const options = {{ onTicket: (given) => (ticket = given), onProgress: (sent) => progress.push(sent) }};

        breaks = (number, before) => number === 2 && before === 0;
        const once = await outcome(() => uploadInParts(file, options));
        const again = await outcome(() => uploadInParts(file, {{ ticket }}));
        const finished = await outcome(() => giveUp(ticket));

        breaks = (number) => number === 3;
        const broken = await outcome(() => uploadInParts(file, options));
        breaks = () => false;
        const resumed = await outcome(() => uploadInParts(file, {{ ticket }}));

        const other = await outcome(() => uploadInParts(new File(["x"], "x"), {{ ticket }}));
        const image = await outcome(() => uploadInParts(file, {{ purpose: "upload" }}));
        breaks = () => true;
        await outcome(() => uploadInParts(file, options));
        await giveUp(ticket);
        await giveUp(ticket);
        breaks = () => false;
        const given = ticket;
        const gone = await outcome(() => uploadInParts(file, {{ ...options, ticket: given }}));
        const renewed = ticket !== given;
        // As after a restart with another secret: the last digit of the signature is another one.
        const forged = ticket.slice(0, -2) + (ticket.at(-2) === "A" ? "B" : "A") + ticket.at(-1);
        const invalid = await outcome(() => uploadInParts(file, {{ ticket: forged }}));
        const denied = await outcome(() => uploadInParts(file, {{ token: "no-token", ticket }}));
        const anew = {{ gone, renewed, invalid, denied }};
        console.log(JSON.stringify({{ once, again, finished, progress, broken, resumed, other, image, anew }}));
        """,
    )
    large = (terminal.home / "large.bin").read_bytes()
    assert len(large) == said["once"]["value"]["size"]
    assert said["once"]["puts"] == [1, 2, 2, 3]
    assert said["once"]["fresh"] == [2]
    assert said["again"] == {"value": said["once"]["value"], "puts": [], "fresh": []}
    assert said["finished"]["puts"] == []
    assert said["progress"][0] == 0
    assert len(large) in said["progress"]
    assert said["broken"]["value"] == "fetch failed"
    assert said["broken"]["puts"].count(3) == 4
    assert (said["resumed"]["puts"], said["resumed"]["fresh"]) == ([3], [3])
    assert said["other"]["value"] == "This ticket is for another file."
    assert said["image"]["value"] == "unsupported-file-type"
    anew = said["anew"]
    assert (anew["gone"]["puts"], anew["invalid"]["puts"], anew["renewed"]) == ([1, 2, 3], [1, 2, 3], True)
    assert anew["denied"] == {"value": "token-invalid", "puts": [], "fresh": []}
    for stored in (said["once"], said["resumed"], anew["gone"], anew["invalid"]):
        assert terminal.stored(stored["value"]["objectKey"]) == large


def test_the_two_readmes_show_the_same_snippets_and_curl_lines() -> None:
    assert blocks("README.ko.md", "tsx") == blocks("README.md", "tsx") != []
    assert set(blocks("README.ko.md", "bash")) <= set(blocks("README.md", "bash"))


@pytest.mark.full
def test_interrupted_make_dev_says_so_ends_with_0_and_gives_its_port_back(terminal: Terminal) -> None:
    alone = Terminal(terminal.home, free_port(), free_port(), ".local/alone")
    with make_dev(alone) as dev:
        os.kill(dev.service_pid(), signal.SIGINT)
        assert dev.process.wait(READY_WITHIN_S) == 0
        assert dev.printed.read_text(encoding="utf-8").endswith("Stopped.\n")
    for port in (alone.port, alone.s3_port):
        socket.create_server(("127.0.0.1", port)).close()


def test_the_test_command_of_the_contributing_guide_is_what_ci_runs_before_it_installs_anything() -> None:
    """Running it here would never end."""
    assert [block.strip() for block in blocks("CONTRIBUTING.md", "bash")] == [TEST]
    lines = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    assert "set -euo pipefail" in lines
    (bare,) = (number for number, line in enumerate(lines) if line.endswith(f" {TEST}"))
    assert re.match(r"PATH=\$\(python3 -m tests\.bare_machine \S+\) HOME=\$bare/home ", lines[bare])
    (installed,) = (number for number, line in enumerate(lines) if re.fullmatch(r"\s*packages", line))
    assert installed > bare
    assert [line.strip() for line in lines[:bare] if re.search(r"\bpackages\b(?!\()", line)] == [
        "{ apt-get update -qq >/dev/null && packages --download-only ; } &"
    ]
    assert sum("install -y" in line for line in lines) == 1, "that of `packages`"
    assert f"{TEST}-rest" in lines[bare:], "with all that it needs"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    both = r"^test-all: test ##.*\n\t@\$\(MAKE\) --no-print-directory test-rest$"
    assert re.search(both, makefile, re.MULTILINE), "everything"
