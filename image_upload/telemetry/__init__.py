"""Logs without secrets, and the audit log."""
