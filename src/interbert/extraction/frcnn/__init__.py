"""The paper's detector: bottom-up attention, a Faster R-CNN with ResNet-101 C4 trained on Visual Genome."""
