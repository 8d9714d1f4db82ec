"""The programs of a machine that has Python, make and curl: `python3 -m tests.bare_machine FOLDER` is a PATH.

The first tier of the tests sees no others, wherever it runs. It needs the standard library alone, because `.ci/run`
makes the folder before anything is set up.
"""

import os
import shlex
import shutil
import sys
from pathlib import Path

# With what every system brings, git for the checkout, and setpriv of Linux.
PROGRAMS = (
    *("bash", "curl", "git", "make", "setpriv", "sh"),
    *("awk", "basename", "cat", "chmod", "cmp", "cp", "cut", "date", "dd", "dirname", "env", "expr", "false", "find"),
    *("grep", "head", "id", "kill", "ln", "ls", "mkdir", "mktemp", "mv", "od", "printf", "ps", "pwd", "readlink", "rm"),
    *(
        "rmdir",
        "sed",
        "seq",
        "sha256sum",
        "sleep",
        "sort",
        "split",
        "stat",
        "tail",
        "tee",
        "test",
        "timeout",
        "touch",
        "tr",
    ),
    *("true", "uname", "uniq", "wc", "xargs"),
)


def path_of_a_bare_machine(folder: Path) -> str:
    """Link the programs that this machine has, and this Python, into a folder; the PATH that names it alone."""
    for name in PROGRAMS:
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    # Not a link: Python looks for its library, and for an environment's, beside the name that it was called by.
    for name in ("python3", "python"):
        (folder / name).write_text(f'#!/bin/sh\nexec {shlex.quote(str(Path(sys.executable).resolve()))} "$@"\n')
        (folder / name).chmod(0o755)
    return str(folder)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    sys.stdout.write(f"{path_of_a_bare_machine(target.absolute())}{os.linesep}")
