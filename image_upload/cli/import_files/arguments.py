"""The options of `import`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from image_upload.limits import IMPORT_JOBS, IMPORT_JOBS_MAX

_EPILOG: Final = (
    "Bucket, region, credentials and DATABASE_URL come from the environment or .env, as for the service. The exit code "
    "is 0 when every file is in the bucket, 1 when some are not, 2 when it could not begin. docs/moving-in.md has more."
)


def _jobs(text: str) -> int:
    jobs = int(text)
    if not 1 <= jobs <= IMPORT_JOBS_MAX:
        raise ValueError
    return jobs


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the options. End the process with 2 if they contradict each other."""
    parser = argparse.ArgumentParser(
        prog="python -m image_upload import",
        description="Move files from local storage into the bucket. It can be stopped at any point; the same command "
        "then goes on where it was, and no file is stored twice or left out.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("folder", metavar="DIR", help="the folder whose files are moved, with everything below it")
    add(
        "--purpose",
        default="file",
        help="decides key, types and largest size (%(default)s)",
    )
    add("--prefix", help="keep relative paths: keys are PREFIX/path instead of those of the purpose")
    add("--user", default="anonymous", help="user id for keys and metadata (%(default)s)")
    add("--class-id", help="class id for keys and metadata; the purpose audio needs it")
    add("--jobs", type=_jobs, default=IMPORT_JOBS, help=f"files at once, 1 to {IMPORT_JOBS_MAX} (%(default)s)")
    add("--journal", metavar="FILE", help="what is done already (DIR.import-journal)")
    add("--exclude", action="append", default=[], metavar="GLOB", help="leave out names (with a slash: paths)")
    add("--follow-symlinks", action="store_true", help="move what symbolic links lead to, wherever it is")
    add("--verify", action="store_true", help="refuse files that are not what their names say, or damaged pictures")
    add("--dry-run", action="store_true", help="read and check everything, write nothing anywhere")
    add("--delete-after", action="store_true", help="at the end remove each file that S3 confirms once more")
    add("--rewrite-list", metavar="FILE.csv", help="write a list of all paths and their keys")
    add("--update-db", metavar="TABLE.COLUMN", help="replace old paths in this column of DATABASE_URL by keys")
    paths = parser.add_mutually_exclusive_group()
    paths.add_argument(
        "--db-path-style",
        choices=("relative", "absolute"),
        default="relative",
        help="old paths in the database are relative to DIR, or absolute (%(default)s)",
    )
    paths.add_argument("--db-prefix", metavar="TEXT", help="old paths are TEXT and the relative path, such as /media/")
    options = parser.parse_args(arguments)
    if options.delete_after and options.follow_symlinks:
        parser.error("--delete-after would remove links and leave their files; it does not go with --follow-symlinks")
    absolute = Path(options.folder).absolute()
    if options.journal is None:
        options.journal = f"{absolute}.import-journal"
    if options.prefix is not None:
        options.prefix = options.prefix.strip("/")
    if options.db_prefix is None:
        options.db_prefix = f"{absolute}/" if options.db_path_style == "absolute" else ""
    return options
