"""The model: configuration, the models themselves (``modeling``), processor, scoring and attention kernels."""
