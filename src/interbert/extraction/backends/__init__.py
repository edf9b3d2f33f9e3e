"""Where extraction runs: in this process, or on the workers of a Ray cluster."""
