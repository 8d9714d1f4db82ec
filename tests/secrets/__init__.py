"""Secrets that the settings only refer to."""
