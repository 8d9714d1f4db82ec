"""The service's documentation over HTTP: the page `/docs`, `/llms.txt` and the icon."""
