"""Every sentence that the package can answer with, read from its sources."""

import ast
import functools
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from image_upload import errors

ROOT = Path(errors.__file__).parents[1]
VERDICT = "verdict"
KINDS = {kind.__name__: kind for kind in errors.every_problem()}


def _texts(node: ast.expr, names: Mapping[str, Any]) -> Iterator[str | None]:
    """What an expression can be; None where the source alone does not say it."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp():
            yield from _texts(node.body, names)
            yield from _texts(node.orelse, names)
        case ast.Name() if isinstance(names.get(node.id), str):
            yield names[node.id]
        case ast.Subscript(value=ast.Name(id=name)) if isinstance(names.get(name), dict):
            yield from names[name].values()
        case _:
            yield None


@functools.cache
def details() -> tuple[tuple[str, str | None, str], ...]:
    """Code, template and place of every problem that is made anywhere; of verdicts about files as VERDICT."""
    return tuple(_details())


def _details() -> Iterator[tuple[str, str | None, str]]:
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(("image_upload", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name == "Sentence" and module == "image_upload.verification.sentences":
                for text in _texts(node.args[0], {}):
                    yield VERDICT, text, f"{module}:{node.lineno}"
            # Repeats a verdict, which was read where it is made.
            if name in KINDS and ast.unparse(node.args[0]) != "why.template":
                for text in _texts(node.args[0], vars(importlib.import_module(module))):
                    yield KINDS[name].code, text, f"{module}:{node.lineno}"
