"""Firefox and WebKit, driven by the commands of WebDriver.

https://www.w3.org/TR/webdriver2/
Firefox takes them over a socket of its own (Marionette), so it needs no geckodriver, which no package index has.
"""

import base64
import contextlib
import itertools
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import httpx

from local.ports import free_ports
from local.processes import running
from tests.faults.watching import eventually

SCRIPT_MS = 120_000
START_S = 60
# A statement's value, or the text of what it threw. The last argument is WebDriver's callback.
_ASYNC = (
    "const done = arguments[arguments.length - 1];"
    "(async () => {{ {} }})()"
    ".then((value) => done({{ value: value ?? null }}), (error) => done({{ error: `${{error}}` }}));"
)


class Tab(Protocol):
    """One window of a browser."""

    def open(self, url: str) -> None:
        """Load a page, and wait for it."""

    def run(self, code: str) -> Any:
        """What the statements return; they may await."""

    def choose(self, *files: Path) -> None:
        """Choose pictures of this machine, JPEGs, in the page's first input for files."""


def _value(answer: dict[str, Any]) -> Any:
    assert "error" not in answer, answer["error"]
    return answer["value"]


def _connected(port: int) -> socket.socket:
    opened: list[socket.socket] = []

    def connects() -> bool:
        with contextlib.suppress(OSError):
            opened.append(socket.create_connection(("127.0.0.1", port), timeout=SCRIPT_MS / 1000))
        return bool(opened)

    eventually(connects, f"nothing listens on port {port}", within_s=START_S)
    return opened[0]


class Firefox:
    """A `Tab` of Firefox.

    https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html
    """

    def __init__(self, connection: socket.socket) -> None:
        self._stream = connection.makefile("rwb")
        self._numbers = itertools.count(1)
        self._read()  # who it is
        self._do("WebDriver:NewSession")
        self._do("WebDriver:SetTimeouts", script=SCRIPT_MS, pageLoad=SCRIPT_MS)

    def _read(self) -> Any:
        """A message: its length, a colon, JSON."""
        length = b"".join(iter(lambda: self._stream.read(1), b":"))
        return json.loads(self._stream.read(int(length)))

    def _do(self, command: str, **parameters: Any) -> Any:
        message = json.dumps([0, next(self._numbers), command, parameters]).encode()
        self._stream.write(b"%d:%b" % (len(message), message))
        self._stream.flush()
        _, _, error, result = self._read()
        assert error is None, error
        return result.get("value", result)

    def open(self, url: str) -> None:
        """See `Tab`."""
        self._do("WebDriver:Navigate", url=url)

    def run(self, code: str) -> Any:
        """See `Tab`."""
        return _value(self._do("WebDriver:ExecuteAsyncScript", script=_ASYNC.format(code), args=[]))

    def choose(self, *files: Path) -> None:
        """See `Tab`."""
        found = self._do("WebDriver:FindElement", using="css selector", value="input[type=file]")
        (element,) = found.values()
        self._do("WebDriver:ElementSendKeys", id=element, text="\n".join(map(str, files)))


class WebKit:
    """A `Tab` of WebKitGTK's small browser: the engine of Safari."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        (program,) = Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser")
        options = {"binary": str(program), "args": ["--automation"]}
        wanted = {"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": options}}}
        self._session = ""
        self._session = f"/{self._do('', wanted)['sessionId']}"
        self._do("/timeouts", {"script": SCRIPT_MS, "pageLoad": SCRIPT_MS})

    def _do(self, path: str, body: dict[str, Any]) -> Any:
        value = self._client.post(f"/session{self._session}{path}", json=body).json()["value"]
        assert not (isinstance(value, dict) and "stacktrace" in value), value
        return value

    def open(self, url: str) -> None:
        """See `Tab`."""
        self._do("/url", {"url": url})

    def run(self, code: str) -> Any:
        """See `Tab`."""
        return _value(self._do("/execute/async", {"script": _ASYNC.format(code), "args": []}))

    def choose(self, *files: Path) -> None:
        """See `Tab`. The driver's own way answers that it did, and no file is chosen (WebKitGTK 2.50)."""
        chosen = [[each.name, base64.b64encode(each.read_bytes()).decode()] for each in files]
        self.run(f"""
          const input = document.querySelector("input[type=file]");
          const chosen = new DataTransfer();
          for (const [name, text] of {json.dumps(chosen)}) {{
            const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
            chosen.items.add(new File([bytes], name, {{ type: "image/jpeg" }}));
          }}
          input.files = chosen.files;
          input.dispatchEvent(new Event("change", {{ bubbles: true }}));
        """)


def _started(folder: Path, *command: str, **environ: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """A program with an empty home. It ends with the block, and all that it has started does."""
    passed = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **environ}
    return running(command, passed, folder / f"{command[0]}.log")


@contextlib.contextmanager
def firefox(folder: Path) -> Iterator[Tab]:
    """Run Firefox without a window."""
    (port,), profile = free_ports(1), folder / "profile"
    profile.mkdir()
    preferences = {"marionette.port": port, "browser.shell.checkDefaultBrowser": False, "app.update.enabled": False}
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in preferences.items()]
    (profile / "user.js").write_text("".join(lines), encoding="utf-8")
    command = ("firefox-esr", "--headless", "--marionette", "--no-remote", "--profile", str(profile))
    with _started(folder, *command), _connected(port) as connection:
        yield Firefox(connection)


@contextlib.contextmanager
def webkit(folder: Path) -> Iterator[Tab]:
    """Run WebKit's browser on a display of its own; it has no mode without one."""
    (port,) = free_ports(1)
    with _started(folder, "Xvfb", "-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp"):
        shown = folder / "Xvfb.log"
        eventually(lambda: b"\n" in shown.read_bytes(), "no display", within_s=START_S)
        display = f":{shown.read_text(encoding='utf-8').splitlines()[-1]}"
        drawn = {"WEBKIT_DISABLE_COMPOSITING_MODE": "1", "WEBKIT_DISABLE_DMABUF_RENDERER": "1"}
        # A container has no user namespaces for its sandbox, and the only page that it opens is ours.
        drawn["WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS"] = "1"
        driver = ("WebKitWebDriver", f"--port={port}", "--host=127.0.0.1")
        with _started(folder, *driver, DISPLAY=display, **drawn):
            _connected(port).close()
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=SCRIPT_MS / 1000, trust_env=False) as client:
                yield WebKit(client)
