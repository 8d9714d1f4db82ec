"""What people and programs read about the service: the page `/docs`, `/llms.txt` and the icon."""
