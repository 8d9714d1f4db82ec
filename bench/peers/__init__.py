"""The peers that the service is compared with."""
