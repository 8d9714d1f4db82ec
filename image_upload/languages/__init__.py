"""The language of an answer, and its texts."""
