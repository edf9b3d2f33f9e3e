"""Raw pictures to regions."""
