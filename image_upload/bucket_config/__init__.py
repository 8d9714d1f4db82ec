"""The bucket's rules: what they are, how they differ from what is set, how they are set."""
