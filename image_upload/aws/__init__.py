"""Calls of AWS without its SDK: Signature Version 4, credentials, hosts, secrets by reference."""
