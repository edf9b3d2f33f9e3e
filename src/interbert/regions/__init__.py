"""Regions of images and the store that keeps them."""
