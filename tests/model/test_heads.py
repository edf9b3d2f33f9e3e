import pytest
import torch
from torch import nn

from interbert.model.modeling import predict_at


class Counting(nn.Linear):
    """A head that remembers how many rows it saw."""

    rows = 0

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        self.rows = len(hidden)
        return super().forward(hidden)


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33])
def test_a_head_at_some_positions_says_what_it_says_there_with_the_same_gradients(count: int) -> None:
    head = Counting(5, 7)
    hidden = torch.randn(4, 9, 5, requires_grad=True)
    positions = torch.randperm(36)[:count].sort().values
    found = predict_at(head, hidden, positions)
    assert head.rows % 32 == 0
    assert head.rows < count + 32
    torch.testing.assert_close(found, nn.Linear.forward(head, hidden.flatten(0, 1)[positions]))
    found.square().sum().backward()
    ours = [hidden.grad, head.weight.grad, head.bias.grad]
    hidden.grad = head.weight.grad = head.bias.grad = None
    nn.Linear.forward(head, hidden.flatten(0, 1)[positions]).square().sum().backward()
    for mine, wanted in zip(ours, [hidden.grad, head.weight.grad, head.bias.grad], strict=True):
        torch.testing.assert_close(mine, wanted)
