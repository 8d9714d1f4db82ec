"""What was stored: list it, read it, describe it, delete it. Over HTTP in `routes`, without HTTP by `Library`.

from image_upload.library import Library
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from image_upload.library.objects import Library as Library

__all__ = ["Library"]


def __getattr__(name: str) -> Any:
    """PEP 562: importing the package costs nothing, the class is loaded by its first use."""
    if name == "Library":
        from image_upload.library.objects import Library

        return Library
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
