"""The demo: InterBERT learns OpenMoji, or your own pictures, in minutes, and shows what it learnt."""
