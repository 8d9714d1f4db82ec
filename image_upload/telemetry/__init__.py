"""Logs and the audit log, both without secrets."""
