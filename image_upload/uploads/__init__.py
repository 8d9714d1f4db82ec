"""Minting: from what a client wants to upload to the signed plan that lets it."""
