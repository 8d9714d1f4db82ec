"""The SDK's own client starts the server as a process, and a shell runs the lines that the tools return."""

import contextlib
import http.server
import json
import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from image_upload.cli.agents.service import Refused, Service
from tests.cli.test_commands import SECRET, run
from tests.conftest import Start
from tests.in_thread import answering
from tests.test_readme import blocks

# Each starts a process with the packages of MCP.
pytestmark = pytest.mark.full

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import Tool

ROOT = Path(__file__).resolve().parents[2]
TOOLS = {"upload", "read_url", "list_files", "describe_file"}
# Each is one name of a file, and most would be more than that to a shell or to curl.
HOSTILE_NAMES = [
    "photo.jpg",
    "my cat.jpg",
    'it\'s "a" cat.jpg',
    "$(touch pwned) `touch pwned` $HOME.jpg",
    "; touch pwned; #.jpg",
    "-o pwned.jpg",
    "--next.jpg",
    "@photo.jpg",
    "{a,b}[1-3]*?.jpg",
    "~=%0a&!<>|.jpg",
    "고양이 사진.jpg",
]


class Said(NamedTuple):
    """What a tool answered: whether it is an error, its text, and its data."""

    refused: bool
    text: str
    data: Any

    @property
    def line(self) -> str:
        assert not self.refused, self.text
        return self.text.splitlines()[0]

    @property
    def key(self) -> str:
        return self.text.splitlines()[1].removeprefix("Object key: ")


class Agent(NamedTuple):
    """A client that is connected to a server of its own. `log` is what the server writes to standard error."""

    portal: BlockingPortal
    client: "Client"
    log: Path

    def tools(self) -> dict[str, "Tool"]:
        return {tool.name: tool for tool in self.portal.call(self.client.list_tools).tools}

    def call(self, tool: str, **arguments: Any) -> Said:
        result = self.portal.call(self.client.call_tool, tool, arguments)
        text = "\n".join(part.text for part in result.content if part.type == "text")
        return Said(bool(result.is_error), text, result.structured_content)


@contextlib.contextmanager
def connected(log: Path, **parameters: Any) -> Iterator[Agent]:
    """A client with the server that these parameters start."""
    # It takes 0.6 s, and every worker of a run imports this module.
    from mcp import Client, StdioServerParameters, stdio_client

    with log.open("w", encoding="utf-8") as errors, start_blocking_portal() as portal:
        client = Client(stdio_client(StdioServerParameters(**parameters), errlog=errors))
        with portal.wrap_async_context_manager(client):
            yield Agent(portal, client, log)


def serving(url: str, log: Path, *options: str, **environ: str) -> contextlib.AbstractContextManager[Agent]:
    arguments = ["-m", "image_upload", "mcp", "--url", url, *options]
    return connected(log, command=sys.executable, args=arguments, env=environ, cwd=ROOT)


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line as an agent runs it: in a shell, in some folder."""
    assert "\n" not in line
    return subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def agent(service: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent as the documentation sets it up, whose server starts in a folder that is not the checkout."""
    (block,) = blocks("docs/agents.md", "json")
    example = json.loads(block.replace("/path/to/checkout", str(ROOT)).replace("http://localhost:8000", service))
    (configured,) = example["mcpServers"].values()
    assert configured["command"] == f"{ROOT}/.venv/bin/python"
    folder = tmp_path_factory.mktemp("agent")
    # This environment's Python, wherever it is.
    with connected(folder / "server.log", **configured | {"command": sys.executable, "cwd": folder}) as agent:
        yield agent


@pytest.fixture
def picture(tmp_path: Path, jpeg: bytes) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg)
    return path


def read_only(tools: Mapping[str, "Tool"]) -> set[str]:
    return {name for name, tool in tools.items() if tool.annotations and tool.annotations.read_only_hint}


def test_the_tools_say_what_they_do_and_none_deletes(agent: Agent) -> None:
    tools = agent.tools()
    assert set(tools) == TOOLS
    assert all(tool.description for tool in tools.values())
    assert read_only(tools) == TOOLS - {"upload"}


def test_a_file_of_any_name_is_stored_and_read_by_lines_in_which_nothing_else_runs(
    agent: Agent, tmp_path: Path, jpeg: bytes
) -> None:
    folder = tmp_path / "-d 'q' {x,y} $(touch pwned)"
    elsewhere = tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    for number, name in enumerate(HOSTILE_NAMES):
        (folder / name).write_bytes(jpeg)
        stored = agent.call("upload", path=str(folder / name))
        done = shell(stored.line, elsewhere)
        assert (done.returncode, done.stdout) == (0, "HTTP 200\n"), (name, done)
        back = folder / f"back {number} {name}"
        done = shell(agent.call("read_url", key=stored.key, save_as=str(back)).line, elsewhere)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), name
        assert back.read_bytes() == jpeg

        described = agent.call("describe_file", key=stored.key).data
        assert (described["size"], described["content_type"]) == (len(jpeg), "image/jpeg")
        listed = agent.call("list_files", prefix=stored.key, limit=1).data
        assert [file["key"] for file in listed["files"]] == [stored.key]
    assert list(elsewhere.iterdir()) == []
    assert len(list(folder.iterdir())) == 2 * len(HOSTILE_NAMES)


def test_a_line_sends_every_signed_header_also_an_empty_one(agent: Agent, picture: Path) -> None:
    note = 'it\'s "mine" $(touch pwned)'
    stored = agent.call(
        "upload",
        path=str(picture),
        purpose="file",
        content_type="text/plain; charset=utf-8",
        metadata={"note": note, "empty": ""},
    )
    assert "x-amz-meta-empty;" in shlex.split(stored.line)
    assert shell(stored.line, picture.parent).stdout == "HTTP 200\n"
    described = agent.call("describe_file", key=stored.key).data
    assert described["content_type"] == "text/plain; charset=utf-8"
    assert (described["metadata"]["note"], described["metadata"]["original_filename"]) == (note, "photo.jpg")
    assert [path.name for path in picture.parent.iterdir()] == ["photo.jpg"]


def test_no_line_is_made_for_what_is_no_file_or_has_no_clear_name(agent: Agent, picture: Path) -> None:
    folder = picture.parent
    os.mkfifo(folder / "pipe.jpg")
    for path, words in (
        ("photo.jpg", "is not an absolute path"),
        ("~/photo.jpg", "is not an absolute path"),
        ("-", "is not an absolute path"),
        (str(folder / "none.jpg"), "cannot be read: No such file"),
        (str(folder), "is not a regular file"),
        (str(folder / "pipe.jpg"), "is not a regular file"),
        ("/dev/zero", "is not a regular file"),
        (f"{folder}/new\nline/photo.jpg", "control characters"),
        (f"{picture}\n; touch pwned", "control characters"),
        (f"{picture}\0", "control characters"),
    ):
        said = agent.call("upload", path=path)
        assert said.refused, path
        assert words in said.text
        assert "curl" not in said.text
    for path, words in ((str(picture), "exists"), ("back.jpg", "absolute"), (f"{picture}\n", "control")):
        said = agent.call("read_url", key="uploads/x.jpg", save_as=path)
        assert said.refused, path
        assert words in said.text


def test_a_refusal_is_the_services_code_and_detail(agent: Agent, picture: Path) -> None:
    large, huge, program = (picture.parent / name for name in ("large.jpg", "huge.bin", "run.exe"))
    program.write_bytes(b"MZ")
    for path, size_bytes in ((large, 10 * 1024**2 + 1), (huge, 5 * 1024**3 + 1)):
        path.touch()
        os.truncate(path, size_bytes)  # takes no room on the disk
    for arguments, words in (
        ({"path": str(large)}, "file-too-large: The file has 10.1 MiB; the purpose upload takes at most 10 MiB"),
        ({"path": str(program)}, "unsupported-file-type: "),
        ({"path": str(picture), "purpose": "photos"}, "validation-failed: There is no such purpose here."),
        ({"path": str(huge), "purpose": "file"}, "no-strategy: "),
        ({"path": str(huge), "purpose": "file"}, "docs/multipart.md"),
    ):
        said = agent.call("upload", **arguments)
        assert said.refused, arguments
        assert words in said.text
    for key, words in (("../x", "invalid-key: "), ("a\\b", "invalid-key: "), ("uploads/none.jpg", "object-missing: ")):
        said = agent.call("describe_file", key=key)
        assert said.refused, key
        assert words in said.text
    assert agent.call("list_files", limit=1001).refused


def test_a_line_for_an_object_that_is_not_there_fails_and_writes_no_file(agent: Agent, tmp_path: Path) -> None:
    done = shell(agent.call("read_url", key="uploads/none.jpg", save_as=str(tmp_path / "none.jpg")).line, tmp_path)
    assert (done.returncode, done.stdout) == (22, "")
    assert "404" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_listing_goes_on_where_the_page_before_ended(agent: Agent, tmp_path: Path) -> None:
    recording, lesson = tmp_path / "lesson.mp3", secrets.token_hex(8)
    recording.write_bytes(b"ID3")
    keys = []
    for _ in range(3):
        stored = agent.call("upload", path=str(recording), purpose="audio", metadata={"class_id": lesson})
        assert shell(stored.line, tmp_path).returncode == 0
        keys.append(stored.key)
    first = agent.call("list_files", prefix=f"audio/{lesson}/", limit=2).data
    rest = agent.call("list_files", prefix=f"audio/{lesson}/", continuation_token=first["next_token"]).data
    assert [file["key"] for page in (first, rest) for file in page["files"]] == sorted(keys)
    assert rest["next_token"] is None


def test_the_documentation_shows_the_words_that_a_line_begins_with(agent: Agent, picture: Path) -> None:
    said = agent.call("upload", path=str(picture))
    (shown,) = (block.splitlines() for block in blocks("docs/agents.md", "text"))
    assert shlex.split(shown[0])[:-2] == shlex.split(said.line)[:-2]
    assert [line.split(" ")[0] for line in shown[1:]] == [line.split(" ")[0] for line in said.text.splitlines()[1:]]


def test_the_token_reaches_the_service_and_no_output(start: Start, tmp_path: Path, picture: Path) -> None:
    url = start(AUTH_REQUIRED="true", JWT_SECRET=SECRET)
    token = run("token", "--sub", "agent-1", JWT_SECRET=SECRET).stdout.strip()
    with serving(url, tmp_path / "server.log", "--allow-delete", UPLOAD_TOKEN=token) as agent:
        assert set(agent.tools()) == TOOLS | {"delete_file"}
        assert read_only(agent.tools()) == TOOLS - {"upload"}
        stored = agent.call("upload", path=str(picture))
        # The environment of the agent's shell does not have the token.
        done = shell(stored.line, tmp_path)
        assert done.stdout == "HTTP 200\n"
        read = agent.call("read_url", key=stored.key, save_as=str(tmp_path / "back.jpg"))
        assert shell(read.line, tmp_path).returncode == 0
        listed = agent.call("list_files")
        assert [file["key"] for file in listed.data["files"]] == [stored.key]
        described = agent.call("describe_file", key=stored.key)
        deleted = agent.call("delete_file", key=stored.key)
        gone = agent.call("describe_file", key=stored.key)
        assert (deleted.refused, gone.refused) == (False, True)
        assert "object-missing: " in gone.text
        tools = str(agent.tools())
    log = agent.log.read_text(encoding="utf-8")
    for text in (log, tools, *map(str, (stored, read, listed, described, deleted, gone))):
        assert token not in text
        assert "Bearer" not in text
    assert "X-Amz-" not in log


def test_a_service_that_wants_a_token_says_how_the_agents_server_gets_one(start: Start) -> None:
    url = start(AUTH_REQUIRED="true", JWT_SECRET=SECRET)
    for token, code in (("", "token-missing"), ("a.b.c", "token-invalid")):
        with pytest.raises(Refused, match=rf"^{code}: .*docs/agents\.md#tokens"):
            Service(url, token).ask("GET", "/api/v1/s3/files")


@pytest.mark.parametrize(
    ("options", "environ"),
    [
        (["--token-env", "MINE"], {}),
        (["--token-env", "MINE"], {"MINE": ""}),
        ([], {"UPLOAD_TOKEN": "secret-one\nX-Other: header"}),
        (["--url", "ftp://host"], {}),
        (["--url", "https://ana:secret-one@host"], {}),
        (["--url", "localhost:8000"], {}),
    ],
)
def test_a_token_or_an_address_that_is_none_ends_it_at_once(options: list[str], environ: Mapping[str, str]) -> None:
    done = run("mcp", *options, **environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert "holds no bearer token" in done.stderr or "no base URL" in done.stderr
    assert "secret-one" not in done.stderr


@pytest.fixture
def redirecting() -> Iterator[tuple[http.server.ThreadingHTTPServer, list[Mapping[str, str]]]]:
    """A server that redirects every request to itself, under another name; and the headers of what came."""
    came: list[Mapping[str, str]] = []

    class Redirecting(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append(dict(self.headers))
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{server.server_port}/there")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirecting)
    with answering(server):
        yield server, came


def test_a_redirect_takes_no_token_along_and_a_service_that_is_gone_is_named(
    redirecting: tuple[http.server.ThreadingHTTPServer, list[Mapping[str, str]]], tmp_path: Path
) -> None:
    server, came = redirecting
    url = f"http://127.0.0.1:{server.server_port}"
    with serving(url, tmp_path / "server.log", "--token-env", "MINE", MINE="a.b.c") as agent:
        said = agent.call("list_files")
        assert said.refused
        assert f"{url} answered 302, but not as this service does" in said.text
        assert [headers["Authorization"] for headers in came] == ["Bearer a.b.c"]

        server.shutdown()
        server.server_close()
        said = agent.call("list_files")
        assert said.refused
        assert f"no answer from {url}: " in said.text
