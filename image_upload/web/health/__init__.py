"""Is the service up, and what do its error codes mean."""
