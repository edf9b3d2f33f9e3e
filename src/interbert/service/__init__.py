"""Search and topic recommendation as an HTTP service: routes, queues of work, and what is kept in a database."""
