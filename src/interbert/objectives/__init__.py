"""The pretraining objectives, one file each: what is hidden, and the loss for guessing it."""
