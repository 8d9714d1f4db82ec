"""Uppy's protocol over `uploads`."""
