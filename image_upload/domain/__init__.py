"""Rules for purposes, keys, media types and metadata. Pure functions: no I/O, no settings."""
