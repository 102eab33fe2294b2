"""Two-tower network: users from history and features, items from content features and an id embedding."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from tierrec_core.base.contracts import FloatArray


class ItemTower(NamedTuple):
    """V items and their content features.

    items: their columns, [V]
    features: the features of all of them in a row, [E]; weight: what each counts, [E]
    offsets: where each item's features begin, [V]
    """

    items: torch.Tensor
    features: torch.Tensor
    weight: torch.Tensor
    offsets: torch.Tensor


class UserInputs(NamedTuple):
    """B users: places of the items of their history and what each counts [B, L], and features of themselves [B, P]."""

    items: torch.Tensor
    weight: torch.Tensor
    dense: torch.Tensor


class TokenDropout(NamedTuple):
    """Dropout probabilities: of an item's id embedding, of an item of the history, of a hidden unit."""

    ids: float
    history: float
    hidden: float


class TwoTowerNetwork(nn.Module):  # type: ignore[misc]
    """Both towers end in F + 1 numbers: the last is an item's bias, and 1 for a user."""

    def __init__(self, num_items: int, num_features: int, num_dense: int, size: int, drop: TokenDropout) -> None:
        super().__init__()
        self.drop = drop
        self.register_buffer("centre", torch.zeros(num_dense))
        self.register_buffer("spread", torch.ones(num_dense))
        self.item, self.feature = nn.Embedding(num_items, size + 1), nn.Embedding(num_features, size + 1)
        self.dense = nn.Linear(num_dense, size)
        self.hidden = nn.Sequential(
            nn.LayerNorm(size), nn.Linear(size, 2 * size), nn.ReLU(), nn.Dropout(drop.hidden), nn.Linear(2 * size, size)
        )
        self._begin_small(size)

    def _begin_small(self, size: int) -> None:
        """Initialize so that training starts from the sum of the history."""
        with torch.no_grad():
            for table in (self.item, self.feature):
                nn.init.normal_(table.weight, std=0.5 * size**-0.5)
                table.weight[:, -1] = 0.0
            nn.init.zeros_(self.hidden[-1].weight)

    def standardise(self, dense: FloatArray) -> None:
        """Set the mean and spread that standardize the users' features, from [L, P]."""
        self.centre, self.spread = torch.from_numpy(dense.mean(0)), torch.from_numpy(dense.std(0) + 1e-3)

    def items(self, described: ItemTower) -> torch.Tensor:
        """The items' vectors, [V, F + 1]."""
        said = functional.embedding_bag(
            described.features, self.feature.weight, described.offsets, mode="sum", per_sample_weights=described.weight
        )
        return said + self.item(described.items) * self._known(len(said), said.device)

    def _known(self, count: int, device: torch.device) -> torch.Tensor:
        """0 where an item's id embedding is dropped in training, else 1, [V, 1]."""
        if not self.training:
            return torch.ones(count, 1, device=device)
        return (torch.rand(count, 1, device=device) >= self.drop.ids).float()

    def users(self, items: torch.Tensor, users: UserInputs) -> torch.Tensor:
        """User vectors from the vectors of the seen items [V, F + 1], [B, F + 1]."""
        weight = functional.dropout(users.weight, self.drop.history, self.training)
        met = functional.embedding_bag(users.items, items[:, :-1], per_sample_weights=weight, mode="sum")
        x = met + self.dense((users.dense - self.centre) / self.spread)
        x = x + self.hidden(x)
        return torch.cat([x, x.new_ones(len(x), 1)], dim=1)


class TowerBatch(NamedTuple):
    """Users, all items that they concern, and places among these of what they took and of what it is compared with.

    targets: what each user took, [B, T]; candidates: what all are compared with, [N]
    log_expected: log of how often each candidate is expected among them, [N]
    """

    described: ItemTower
    users: UserInputs
    targets: torch.Tensor
    candidates: torch.Tensor
    log_expected: torch.Tensor


def loss(network: TwoTowerNetwork, batch: TowerBatch) -> torch.Tensor:
    """Mean cross-entropy of each target against itself and the candidates that are not it."""
    items = network.items(batch.described)
    users = network.users(items, batch.users)
    positive = (users.unsqueeze(1) * items[batch.targets]).sum(-1)
    others = users @ items[batch.candidates].T - batch.log_expected
    same = batch.targets.unsqueeze(2) == batch.candidates
    rest = others.unsqueeze(1).masked_fill(same, -torch.inf).logsumexp(-1)
    return (torch.logaddexp(positive, rest) - positive).mean()
