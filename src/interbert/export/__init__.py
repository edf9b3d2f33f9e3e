"""Models as files that run without torch."""
