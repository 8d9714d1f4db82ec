"""Forms to S3, for clients that cannot talk to S3 themselves."""
