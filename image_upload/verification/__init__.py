"""What arrived is looked at: its true type, its facts, its limits. It is cleaned, and pictures are made of it."""
