"""The values of purposes.toml. Written by `make generate`: a start need not parse the file."""

# fmt: off
# ruff: noqa: E501, RUF100  a line has all of a purpose, however long

from typing import Final

from image_upload.domain.purposes import ANY_TYPE, AUDIO_TYPES, DOCUMENT_TYPES, IMAGE_TYPES, Purpose, Purposes

# Of the bytes of the file.
SHA256: Final = "8f7beda3c10428842c164660c953d1229f9c494803c9b5b6eb48fda20d704f33"

PURPOSES: Final = Purposes.of(
    Purpose(name="upload", key="uploads/{id}.{ext}", kept_days=None, types=IMAGE_TYPES, max_bytes=10485760, cdn=True, cools=False, scope=None, checked=True, variants=(), task=None, files_per_day=None),
    Purpose(name="scan", key="scans/{yyyymmdd}/{user}/{id}", kept_days=30, types=IMAGE_TYPES, max_bytes=10485760, cdn=True, cools=False, scope=None, checked=True, variants=(), task=None, files_per_day=None),
    Purpose(name="profile", key="profiles/{user}/{id}", kept_days=None, types=IMAGE_TYPES, max_bytes=10485760, cdn=True, cools=False, scope=None, checked=True, variants=(), task=None, files_per_day=None),
    Purpose(name="chat", key="chat/{yyyymmdd}/{user}/{id}", kept_days=7, types=IMAGE_TYPES, max_bytes=10485760, cdn=True, cools=False, scope=None, checked=True, variants=(), task=None, files_per_day=None),
    Purpose(name="misc", key="misc/{yyyymmdd}/{id}", kept_days=None, types=IMAGE_TYPES, max_bytes=10485760, cdn=True, cools=False, scope=None, checked=True, variants=(), task=None, files_per_day=None),
    Purpose(name="audio", key="audio/{class_id}/{id}.{ext}", kept_days=None, types=AUDIO_TYPES, max_bytes=5368709120, cdn=False, cools=True, scope=None, checked=True, variants=(), task=None, files_per_day=None),
    Purpose(name="document", key="documents/{user}/{id}.{ext}", kept_days=None, types=DOCUMENT_TYPES, max_bytes=5368709120, cdn=False, cools=True, scope=None, checked=True, variants=(), task=None, files_per_day=None),
    Purpose(name="file", key="files/{user}/{id}.{ext}", kept_days=None, types=ANY_TYPE, max_bytes=53687091200000, cdn=False, cools=True, scope=None, checked=False, variants=(), task=None, files_per_day=None),
)
