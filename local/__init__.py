"""For a developer's machine only: embedded S3, smoke test, event replay. Not part of the image."""
