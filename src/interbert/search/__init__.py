"""Search: rank the images of a catalogue for a text."""
