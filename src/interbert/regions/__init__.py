"""Regions of pictures and the store that keeps them."""
