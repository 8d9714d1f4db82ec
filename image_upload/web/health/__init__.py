"""Health and the error codes."""
