"""Search: rank the pictures of a catalogue for a text."""
