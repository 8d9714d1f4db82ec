"""The project's own measurements against its peers: `python -m bench.mint`."""
