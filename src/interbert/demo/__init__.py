"""The demo: InterBERT learns OpenMoji, or your own images, in minutes, and shows what it learnt."""
