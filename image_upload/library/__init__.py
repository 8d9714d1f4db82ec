"""List, read, describe and delete stored files: over HTTP in `routes`, without HTTP by `Library`.

from image_upload.library import Library
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from image_upload.library.objects import Library as Library

__all__ = ["Library"]


def __getattr__(name: str) -> Any:
    """Import `Library` at its first use (PEP 562), so that importing the package is cheap."""
    if name == "Library":
        from image_upload.library.objects import Library

        return Library
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
