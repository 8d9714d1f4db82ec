"""Which language an answer is in, and its texts."""
