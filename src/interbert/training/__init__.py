"""Pretraining and fine-tuning on a thin Hugging Face Trainer."""
