"""Two-tower network: users from history and features, items from content features and an id embedding."""

from typing import TYPE_CHECKING, NamedTuple, Self

import torch
from torch import nn
from torch.nn import functional

from tierrec_core.base.contracts import FloatArray
from tierrec_core.neural.sampled_softmax import sampled_softmax

if TYPE_CHECKING:
    from tierrec_core.models.two_tower import TwoTower


class ItemInputs(NamedTuple):
    """V items and their content features.

    items: their columns, [V]
    features: of all items, concatenated, [E]; weight: of each feature, [E]
    offsets: start of each item's features, [V]
    """

    items: torch.Tensor
    features: torch.Tensor
    weight: torch.Tensor
    offsets: torch.Tensor


class UserInputs(NamedTuple):
    """B users: rows of their history's items among V items and their weights [B, L], and features [B, P]."""

    items: torch.Tensor
    weight: torch.Tensor
    dense: torch.Tensor


class TowerBatch(NamedTuple):
    """Users, and all V items that are in their histories, targets or candidates, by their rows among the V.

    targets: of each user, [B, T]; candidates: shared negatives, [N]
    log_expected: log of how often each candidate is expected among them, [N]
    """

    items: ItemInputs
    users: UserInputs
    targets: torch.Tensor
    candidates: torch.Tensor
    log_expected: torch.Tensor


class TwoTowerNetwork(nn.Module):  # type: ignore[misc]
    """Both towers end in F + 1 numbers: the last is an item's bias, and 1 for a user."""

    def __init__(self, num_items: int, num_features: int, num_dense: int, config: "TwoTower.Config") -> None:
        super().__init__()
        self.config, size = config, config.embedding_size
        self.register_buffer("centre", torch.zeros(num_dense))
        self.register_buffer("spread", torch.ones(num_dense))
        self.item, self.feature = nn.Embedding(num_items, size + 1), nn.Embedding(num_features, size + 1)
        self.dense = nn.Linear(num_dense, size)
        dropout = nn.Dropout(config.dropout)
        self.hidden = nn.Sequential(
            nn.LayerNorm(size), nn.Linear(size, 2 * size), nn.ReLU(), dropout, nn.Linear(2 * size, size)
        )
        with torch.no_grad():  # training starts from the sum of the history
            for table in (self.item, self.feature):
                nn.init.normal_(table.weight, std=0.5 * size**-0.5)
                table.weight[:, -1] = 0.0
            nn.init.zeros_(self.hidden[-1].weight)

    def standardized(self, dense: FloatArray) -> Self:
        """Set the mean and spread that standardize the users' features, from [L, P]."""
        self.centre, self.spread = torch.from_numpy(dense.mean(0)), torch.from_numpy(dense.std(0) + 1e-3)
        return self

    def items(self, inputs: ItemInputs) -> torch.Tensor:
        """Item vectors, [V, F + 1]; in training id embeddings are dropped at random."""
        vectors = functional.embedding_bag(
            inputs.features, self.feature.weight, inputs.offsets, mode="sum", per_sample_weights=inputs.weight
        )
        if not self.training:
            return vectors + self.item(inputs.items)
        keep = torch.rand(len(vectors), 1, device=vectors.device) >= self.config.id_dropout
        return vectors + self.item(inputs.items) * keep.float()

    def users(self, items: torch.Tensor, users: UserInputs) -> torch.Tensor:
        """User vectors from item vectors [V, F + 1], [B, F + 1]."""
        weight = functional.dropout(users.weight, self.config.history_dropout, self.training)
        history = functional.embedding_bag(users.items, items[:, :-1], per_sample_weights=weight, mode="sum")
        x = history + self.dense((users.dense - self.centre) / self.spread)
        x = x + self.hidden(x)
        return torch.cat([x, x.new_ones(len(x), 1)], dim=1)

    def loss(self, batch: TowerBatch) -> torch.Tensor:
        """Sampled softmax of each target against the other candidates."""
        items = self.items(batch.items)
        users = self.users(items, batch.users)
        positive = (users.unsqueeze(1) * items[batch.targets]).sum(-1)
        same = batch.targets.unsqueeze(2) == batch.candidates
        return sampled_softmax(positive, users @ items[batch.candidates].T, same, batch.log_expected)
