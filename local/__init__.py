"""For a developer's machine only: embedded S3, event replay. Not part of the image."""
