"""A migration a module, named after what it brings. Never change one that was released; add another."""
