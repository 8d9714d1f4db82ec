"""The environment of every measured process: settings, an empty home, and none of this machine's configuration."""

import base64
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

BENCH = Path(__file__).parent
ROOT = BENCH.parent
NODE_MODULES = BENCH / "node_modules"

# The length of the session tokens of Lambda's roles. The token also has characters that a URL must escape.
TOKEN_CHARS = 900
SESSION_TOKEN = "".join(
    base64.b64encode(hashlib.sha512(str(number).encode()).digest()).decode() for number in range(12)
)[:TOKEN_CHARS]

WANTED = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 123456}
BODY = json.dumps(WANTED)
JWT_SECRET = "a secret of the benchmark, longer than thirty-two bytes"

# AWS's own example keys: https://docs.aws.amazon.com/IAM/latest/UserGuide/security-creds.html
AWS = {
    "AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": SESSION_TOKEN,
    "AWS_REGION": "ap-northeast-2",
    "AWS_DEFAULT_REGION": "ap-northeast-2",
    "AWS_EC2_METADATA_DISABLED": "true",
}
# No peer authenticates its callers, so by default the service does not either. A row with a token shows the cost.
SERVICE = {
    "S3_BUCKET_NAME": "example-bucket",
    "ENVIRONMENT": "production",
    "AUTH_REQUIRED": "false",
    "JWT_SECRET": JWT_SECRET,
    # Requests are counted as in production, but the limit is never reached.
    "RATE_LIMIT_PER_USER": "999999999/minute",
    "RATE_LIMIT_PER_ADDRESS": "999999999/minute",
}
ON_LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "image-upload", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024"}
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH", "NODE_EXTRA_CA_CERTS")


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a measured process that starts in `home`, without .env and ~/.aws."""
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**passed, "HOME": str(home), "PYTHONPATH": str(ROOT), **AWS, **SERVICE, **more}


def companion_settings(home: Path, port: int) -> Mapping[str, str]:
    """Return the settings that Companion's standalone server needs to answer GET /s3/params."""
    return {
        "NODE_ENV": "production",
        "PORT": str(port),
        "COMPANION_DOMAIN": f"127.0.0.1:{port}",
        "COMPANION_DATADIR": str(home),
        "COMPANION_SECRET": "a secret of the benchmark",
        "COMPANION_PREAUTH_SECRET": "another one",
        "COMPANION_CLIENT_ORIGINS": "true",
        "COMPANION_UPLOAD_URLS": "https://example.com/",
        "COMPANION_AWS_KEY": AWS["AWS_ACCESS_KEY_ID"],
        "COMPANION_AWS_SECRET": AWS["AWS_SECRET_ACCESS_KEY"],
        "COMPANION_AWS_BUCKET": SERVICE["S3_BUCKET_NAME"],
        "COMPANION_AWS_REGION": AWS["AWS_REGION"],
        "COMPANION_AWS_EXPIRES": "300",
    }


def install_node_peers() -> str | None:
    """Run `npm ci` unless it was done for this lock file. Return why there are no Node.js peers, or None."""
    if shutil.which("node") is None:
        return "there is no node"
    done, lock = NODE_MODULES / ".package-lock.json", BENCH / "package-lock.json"
    if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
        return None
    if shutil.which("npm") is None:
        return "there is no npm to install them with"
    print("  npm ci in bench/, once", flush=True)
    try:
        # Install scripts of packages are not needed here.
        subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=BENCH,
            check=True,
            timeout=150,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        return f"npm ci failed ({type(error).__name__})"
    done.touch()
    return None


def versions(packages: Iterable[str], node_packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of all measured packages, and of Node.js if any of its packages is measured."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    for name in node_packages:
        if "node" not in found:
            said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
            found["node"] = said.strip()
        found[name] = json.loads((NODE_MODULES / name / "package.json").read_text())["version"]
    return found


def machine() -> dict[str, object]:
    """Return the machine's cores, its kind, and its load."""
    kind = f"{platform.system()} {platform.machine()}"
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {"cores": os.cpu_count(), "kind": kind, "load_before": load}
