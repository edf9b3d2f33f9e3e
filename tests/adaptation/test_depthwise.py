import pytest
import torch
from torch import nn

from interbert.adaptation.depthwise import Depthwise, learn_quickly


def grown(kernel, stride, padding, channels=6):
    torch.manual_seed(0)
    return nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels)


def gradients(conv, maps, drawn):
    conv.zero_grad()
    inputs = maps.clone().requires_grad_()
    found = conv(inputs)
    (found * drawn[: found.numel()].view(found.shape)).sum().backward()
    return [found.detach(), inputs.grad, *(one.grad.clone() for one in conv.parameters())]


@pytest.mark.parametrize("size", [(12, 9), (5, 4), (7, 7)])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(3, 1, 1), (5, 1, 2), (5, 2, 0), (3, 2, 1), (5, 2, 2), (7, 1, 3), ((3, 5), (2, 1), (1, 2)), (4, 1, 0)],
)
def test_numbers_and_gradients_are_the_convolutions(kernel, stride, padding, size):
    conv = grown(kernel, stride, padding)
    if min(size) + 2 * max(conv.padding) < max(conv.kernel_size):
        pytest.skip("the kernel is larger than the map")
    maps, drawn = torch.randn(4, 6, *size), torch.randn(4000)
    wanted = gradients(conv, maps, drawn)
    for one, other in zip(wanted, gradients(Depthwise(conv), maps, drawn), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)


def test_in_bf16_they_are_the_same_but_for_its_digits():
    conv = grown(5, 2, 2)
    maps, drawn = torch.randn(8, 6, 12, 9), torch.randn(8 * 6 * 12 * 9)
    wanted = gradients(conv, maps, drawn)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(Depthwise(conv), maps, drawn)
    assert found[0].dtype == torch.bfloat16
    assert all(one.dtype == torch.float32 for one in found[1:])
    for one, other in zip(wanted, found, strict=True):
        assert (other.float() - one).norm() < 0.01 * one.norm()


def test_a_networks_names_and_weights_stay():
    network = nn.Sequential(nn.Conv2d(6, 6, 1), grown(5, 1, 2), nn.Sequential(grown(3, 1, 1)))
    before = network.state_dict()
    maps = torch.randn(2, 6, 8, 8)
    said = network(maps)
    learn_quickly(network)
    assert list(network.state_dict()) == list(before)
    assert all(value.data_ptr() == before[name].data_ptr() for name, value in network.state_dict().items())
    assert [isinstance(one, Depthwise) for one in (network[0], network[1], network[2][0])] == [False, True, True]
    torch.testing.assert_close(network(maps), said)
