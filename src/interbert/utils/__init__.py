"""Parts without knowledge of the field: files, locks, what is shown, what is published."""
