"""Topics, keys, events and tasks in a SQL database."""
