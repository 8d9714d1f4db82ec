"""The blocks of a file that are generated; everything around them is written by hand.

<!-- generated: errors -->          # generated: environment
<!-- end -->                        # end
"""

import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

_BLOCK: Final = re.compile(r"^( *)(<!--|#) generated: (.+?)( -->)?\n(?s:.*?)^\1\2 end(?: -->)?\n", re.MULTILINE)


class BlockError(Exception):
    """A file lacks a block, or has one that the code knows nothing of."""


def names(text: str) -> list[str]:
    """Return the names of a file's blocks, in their order."""
    return [match[3] for match in _BLOCK.finditer(text)]


def fill(text: str, blocks: Mapping[str, str]) -> str:
    """Return a file with each of its blocks written anew, indented as its marks are.

    Raises `BlockError` unless the file has exactly these blocks, each once.
    """
    there, expected = Counter(names(text)), Counter(blocks.keys())
    if there != expected:
        lacks, has = sorted(expected - there), sorted(there - expected)
        raise BlockError(f"it lacks the blocks {lacks}, and has these that the code does not have, or twice: {has}")

    def write(match: re.Match[str]) -> str:
        indent, mark, name, end = match[1], match[2], match[3], match[4] or ""
        body = textwrap.indent(blocks[name], indent)
        return f"{indent}{mark} generated: {name}{end}\n{body}{indent}{mark} end{end}\n"

    return _BLOCK.sub(write, text)


def table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table in Markdown between blank lines, which separate it from the comments around it."""
    head, *body = (f"| {' | '.join(cells)} |\n" for cells in (titles, *rows))
    return "".join(["\n", head, "|---" * len(titles), "|\n", *body, "\n"])
