import itertools
import json
import os
import subprocess
import sys

import numpy as np

from interbert.data.sampling import sample_generator

SCRIPT = """
import json
from interbert.data.sampling import sample_generator
print(json.dumps([sample_generator(3, 1, sample, "match").random(4).tolist() for sample in (0, 17, "shoe-4")]))
"""


def test_another_process_draws_the_same():
    environment = os.environ | {"PYTHONHASHSEED": "99", "OMP_NUM_THREADS": "1"}
    printed = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, check=True
    )
    ours = [sample_generator(3, 1, sample, "match").random(4).tolist() for sample in (0, 17, "shoe-4")]
    assert json.loads(printed.stdout) == ours


def test_seed_epoch_sample_and_purpose_each_change_the_draws():
    keys = list(itertools.product((0, 1), (0, 1), (0, 1, 10, 11), ("match", "text mask")))
    draws = {key: sample_generator(*key).random() for key in keys}
    assert len(set(draws.values())) == len(keys)


def test_neighbouring_numbers_are_not_confused():
    assert sample_generator(1, 11, 1, "a").random() != sample_generator(11, 1, 1, "a").random()
    assert sample_generator(1, 1, 11, "a").random() != sample_generator(1, 11, 1, "a").random()


def test_purposes_and_samples_are_independent_of_each_other():
    first = np.array([sample_generator(0, 0, sample, "match").random() for sample in range(3000)])
    second = np.array([sample_generator(0, 0, sample, "text mask").random() for sample in range(3000)])
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.06
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.06
    np.testing.assert_allclose(np.quantile(first, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.03)
