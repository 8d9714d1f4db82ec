"""The answers in Korean."""
