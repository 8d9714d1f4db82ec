"""Outgoing HTTP: connections to checked addresses only, in constant memory, with retry."""
