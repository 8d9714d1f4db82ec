"""Completion of uploads: the one `confirm` that every path calls, the sweep, and Lambda's events."""
