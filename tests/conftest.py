"""Shared parts of the tests: an S3 in this process, services on loopback, clients."""
