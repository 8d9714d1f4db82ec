"""Imports from a URL: the service fetches a file and stores it; a job where that takes longer than a request."""
