"""The demo: InterBERT learns OpenMoji, or your own pictures, in minutes on a laptop, and shows what it learnt."""
