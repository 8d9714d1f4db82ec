"""Benchmarks of the service and its peers, such as `python -m bench.mint`."""
