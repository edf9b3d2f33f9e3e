"""What a model is trained by, as pure functions of its outputs and labels."""
