"""The service's endpoints, one module for each group."""
