"""Teaching the picture network of an extractor a catalogue's own pictures and words."""
