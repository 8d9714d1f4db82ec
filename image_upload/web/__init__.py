"""The plain HTTP server: uvicorn, with a bound for everything that a client may send before a route answers."""
