import numpy as np
import pytest
import torch

from interbert.training.arguments import ReferenceAdam


def by_hand(weight, gradients, rate, decay, norm):
    """The update written out for one number after the other."""
    mean = square = np.zeros_like(weight)
    for gradient in gradients:
        length = np.sqrt((gradient**2).sum())
        clipped = gradient * min(1.0, norm / (length + 1e-6))
        mean = 0.9 * mean + 0.1 * clipped
        square = 0.999 * square + 0.001 * clipped**2
        weight = weight - rate * (mean / (np.sqrt(square) + 1e-6) + decay * weight)
    return weight


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_updates_are_those_written_out(decay):
    generator = np.random.default_rng(0)
    start = [generator.standard_normal((3, 2)), generator.standard_normal(4)]
    gradients = [[generator.standard_normal(one.shape) * scale for one in start] for scale in (5.0, 0.01, 1.0)]
    parameters = [torch.nn.Parameter(torch.tensor(one)) for one in start]
    optimizer = ReferenceAdam(parameters, lr=0.1, weight_decay=decay, max_grad_norm=1.0)
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
    for index, parameter in enumerate(parameters):
        expected = by_hand(start[index], [step[index] for step in gradients], 0.1, decay, 1.0)
        assert np.allclose(parameter.detach().numpy(), expected, atol=1e-12)


def test_a_parameter_without_a_gradient_stays():
    parameter = torch.nn.Parameter(torch.ones(3))
    ReferenceAdam([parameter], lr=0.1, weight_decay=0.5).step()
    assert parameter.tolist() == [1, 1, 1]
