"""What a model is fine-tuned and judged on: data, scores and metrics of each task."""
