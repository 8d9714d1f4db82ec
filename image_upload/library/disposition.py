"""Content-Disposition for file names in any script. RFC 6266, RFC 8187."""

from urllib.parse import quote

# RFC 8187 section 3.2.1 attr-char, beyond the letters and digits that `quote` always keeps.
_ATTR_CHAR = "!#$&+-.^_`|~"


def content_disposition(filename: str | None, *, attachment: bool) -> str | None:
    """Return the header value that makes a browser save or show an object under a name; None without either.

    Old clients read the ASCII `filename`, all others `filename*` (RFC 6266 appendix D).
    """
    kind = "attachment" if attachment else "inline"
    if filename is None:
        return kind if attachment else None
    plain = "".join(char if " " <= char <= "~" and char not in '"\\%' else "_" for char in filename)
    value = f'{kind}; filename="{plain}"'
    return value if plain == filename else f"{value}; filename*=UTF-8''{quote(filename, safe=_ATTR_CHAR)}"
