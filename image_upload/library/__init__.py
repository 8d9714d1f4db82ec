"""What was stored: read it."""
