"""What a purpose, a key and an upload may be. Pure: no I/O, no settings."""
