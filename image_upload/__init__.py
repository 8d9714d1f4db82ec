"""Uploads into S3 from browsers and scripts: mint signed URLs, proxy forms, serve what was stored."""

__version__ = "0.1.0"
