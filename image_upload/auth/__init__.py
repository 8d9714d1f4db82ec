"""Authentication and permissions: tokens, sign-in, principals."""
