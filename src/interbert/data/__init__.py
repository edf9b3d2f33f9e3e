"""Captions and regions to training batches."""
