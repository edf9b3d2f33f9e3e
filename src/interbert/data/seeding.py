"""Random draws that belong to a sample and an epoch, not to a process."""

from __future__ import annotations

import hashlib

import numpy as np


def sample_generator(seed: int, epoch: int, sample: int | str, purpose: str) -> np.random.Generator:
    """A generator that gives the same draws in any process, worker or order, and after any restart.

    Args:
        seed: seed of the run.
        epoch: passes over the data so far.
        sample: which sample.
        purpose: which decision ("text mask", "match", ...), so that decisions are independent of each other.
    """
    key = f"{seed}\x1f{epoch}\x1f{sample}\x1f{purpose}".encode()
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "little"))
