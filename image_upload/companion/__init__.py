"""Uppy's Companion protocol over `uploads`."""
