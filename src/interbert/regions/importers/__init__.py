"""Region files that years of research left behind, read into a region store: one file per foreign format."""
