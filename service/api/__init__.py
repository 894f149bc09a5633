"""HTTP: what a client may say, what it is told, and what is written down about both. No torch."""
