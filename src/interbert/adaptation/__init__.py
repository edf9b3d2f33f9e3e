"""Teaching the image network of an extractor a catalogue's own images and words."""
