"""Whether something new may take the place of what is searched."""
