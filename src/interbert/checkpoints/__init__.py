"""Weights in and out: the reference's names and BERT's, mapped to ours and back."""
