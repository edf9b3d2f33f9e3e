"""Topics: a short text becomes a page of the catalogue's products (SPEC part 5)."""
