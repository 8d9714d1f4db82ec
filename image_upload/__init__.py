"""Uploads into S3 from browsers and scripts: mint presigned URLs, proxy forms, list and read stored files."""

__version__ = "0.1.0"
