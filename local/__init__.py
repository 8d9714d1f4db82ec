"""Local runs on a developer's machine: S3, database, event replay. Not part of the image."""
