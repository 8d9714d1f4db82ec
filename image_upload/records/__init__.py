"""Posts and file records over HTTP."""
