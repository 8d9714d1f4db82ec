"""HTTP to the outside: only to addresses that were checked, in constant memory, with retry."""
