"""The files of the page, read once: its HTML in each language, with the style sheet inside, and its modules.

The first paint takes one request: the style sheet is in the HTML, allowed by its hash. Scripts come from files alone.
"""

import base64
import functools
import gzip
import hashlib
import html
import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any, Final

from image_upload import __version__
from image_upload.languages.negotiation import Language

_FOLDER: Final = Path(__file__).resolve().parent


@functools.cache
def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


@functools.cache
def client_module() -> bytes:
    """Return `client/upload.js`: of the checkout or the image; in a wheel it is beside this module."""
    beside = _FOLDER / "upload.js"
    return (beside if beside.is_file() else _FOLDER.parents[1] / "client" / "upload.js").read_bytes()


@functools.cache
def modules() -> dict[str, bytes]:
    """Return the page's own modules by file name. They import each other by relative paths."""
    return {file.name: file.read_bytes() for file in sorted(_FOLDER.glob("modules/*.js"))}


@functools.cache
def compressed(script: bytes) -> bytes:
    """Return a script of ours in gzip, the same bytes each time."""
    return gzip.compress(script, mtime=0)


@functools.cache
def modules_version() -> str:
    """Return a version of all modules. The contents of a URL with it never change."""
    return hashlib.sha256(b"\0".join(modules().values())).hexdigest()[:12]


def content_security_policy(origins: list[str]) -> str:
    """Return the policy: files go to these origins, and pictures, sound and films come from them; all else is ours.

    https://www.w3.org/TR/CSP3/
    """
    digest = base64.b64encode(hashlib.sha256(_read("page.css").encode()).digest()).decode()
    stored = " ".join(origins)
    return (
        f"default-src 'none'; script-src 'self'; style-src 'sha256-{digest}'; img-src 'self' {stored}; "
        f"media-src {stored}; connect-src 'self' {stored}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def page(language: Language, facts: Mapping[str, Any]) -> bytes:
    """Return the HTML in a language. `facts` are what its modules have to know of the settings."""
    texts: dict[str, Any] = json.loads(_read(f"{language}.json"))
    setup = {**facts, "language": language, "texts": texts}
    return (
        Template(_read("page.html"))
        .substitute(
            {name: html.escape(text) for name, text in texts.items() if isinstance(text, str)},
            language=language,
            version=__version__,
            modules=f"page/{modules_version()}",
            # Asked for at once, and not one after the other as they name each other.
            preloads="\n".join(
                f'<link rel="modulepreload" href="page/{modules_version()}/{name}">' for name in modules()
            ),
            style=_read("page.css"),
            # Data and no script, so the policy is not concerned. It cannot end its element.
            setup=json.dumps(setup, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        )
        .encode()
    )
