"""Raw images to regions."""
