"""The page `/docs` and the files of Swagger UI, from the package `fastapi-offline`, without any other host.

All URLs in the page are relative, so that it works below any prefix.
"""

import functools
import gzip
import hashlib
import html
import importlib.util
from pathlib import Path
from typing import Final, NamedTuple

# Located, but not imported: importing the package would create a FastAPI app.
_PACKAGE: Final = "fastapi_offline"

# The page loads from this service only, has no inline scripts, and cannot be framed.
# https://www.w3.org/TR/CSP3/ ; `data:` are the icons in Swagger UI's style sheet.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# Without `validatorUrl` Swagger UI would send the document's URL to a validator on another host.
_START: Final = b"""SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: "none",
});
"""

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="favicon.ico">
<link rel="stylesheet" href="docs/{version}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/{version}/swagger-ui-bundle.js"></script>
<script src="docs/{version}/start.js"></script>
</body>
</html>
"""


class Asset(NamedTuple):
    """A file of the page, plain and compressed (RFC 1952)."""

    media_type: str
    plain: bytes
    gzipped: bytes


@functools.cache
def assets() -> dict[str, Asset]:
    """Return the files by name. The first call reads and compresses 1.7 MB, in a tenth of a second."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("The package fastapi-offline is not installed. Run: pip install -r requirements.txt")
    folder = Path(found.submodule_search_locations[0]) / "static"
    files = {
        "swagger-ui-bundle.js": ("text/javascript", (folder / "swagger-ui-bundle.js").read_bytes()),
        "swagger-ui.css": ("text/css", (folder / "swagger-ui.css").read_bytes()),
        "start.js": ("text/javascript", _START),
    }
    return {
        name: Asset(f"{media_type}; charset=utf-8", plain, gzip.compress(plain, 6, mtime=0))
        for name, (media_type, plain) in files.items()
    }


@functools.cache
def version() -> str:
    """Return a version of all files' contents. The contents of a URL with it never change."""
    digest = hashlib.sha256()
    for name, asset in sorted(assets().items()):
        digest.update(f"{name} {len(asset.plain)}\n".encode())
        digest.update(asset.plain)
    return digest.hexdigest()[:12]


def page(title: str) -> str:
    """Return the page as HTML."""
    return _PAGE.format(title=html.escape(title), version=version())
