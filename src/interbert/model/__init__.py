"""The model: configuration, embeddings, encoder, heads, the front door and the processor."""
