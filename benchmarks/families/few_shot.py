"""Few-shot learning of a factor model with a softmax over the catalogue: Reptile, ANIL and joint training.

A user is a vector, an item a vector and a bias, with current popularity as the prior. A task is a user at a time, with
past items as the support and later items as the query.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.families.adaptation import Parameters, Steps, adapt, maml, reptile
from tierrec_core.base.contracts import FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.support_sets import SupportEpisode, newest_items
from tierrec_core.neural.trainer import reproducible, shuffled_batches

SIZE, MAX_SUPPORT, BATCH = 32, 8, 128
HEAD = Steps(("user", "bias"), count=3, rate=1.0)
EVERYTHING = Steps(("user", "items", "bias"), count=5, rate=0.3)
FINE = Steps(("user", "bias"), count=5, rate=0.03)


class ItemWeights(NamedTuple):
    """Item weights of B users [B, I], and current popularity [I]."""

    weight: torch.Tensor
    popularity: torch.Tensor


@dataclass(frozen=True)
class FewShot:
    """Scores histories after a few gradient steps on them from a learned initialization."""

    start: Parameters
    popularity: FloatArray
    steps: Steps

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Logits of every item, [U, I]; where items adapt as well, users are adapt one at a time."""
        one_by_one = self.steps == EVERYTHING
        rows = np.array_split(np.arange(history.num_users), history.num_users if one_by_one else 1)
        return np.concatenate([self._score(history.select_users(part)) for part in rows])

    def _score(self, history: Interactions) -> FloatArray:
        support = _support_weights(history, self.popularity)
        if self.steps == EVERYTHING:  # as in training
            total = support.weight.sum(-1, keepdim=True).clamp(min=1)
            support = support._replace(weight=support.weight / total)
        end = adapt(_expand_users(self.start, support), _loss, support, self.steps)
        logits: FloatArray = _logits(end, support.popularity).numpy()
        return logits


def fit_anil(episodes: list[SupportEpisode], popularity: FloatArray, seed: int, epochs: int = 1) -> FewShot:
    """Adapt the user and biases within a task; items and the initialization are meta-learned (ANIL)."""
    rng = np.random.default_rng(seed)
    with reproducible(seed):
        tasks = (task for _ in range(epochs) for task in _tasks(episodes, rng))
        start = maml(_initial(episodes), _loss, tasks, HEAD, 0.003, _expand_users)
    return FewShot(start, popularity, HEAD)


def fit_reptile(episodes: list[SupportEpisode], popularity: FloatArray, seed: int, batches: int = 40) -> FewShot:
    """Adapt all parameters within a task; the initialization moves to the tasks' mean (Reptile)."""
    rng = np.random.default_rng(seed)

    def tasks() -> Iterator[list[ItemWeights]]:
        for _ in range(batches):
            episode = episodes[rng.integers(len(episodes))]
            rows = rng.choice(episode.history.num_users, 16, replace=False)
            yield [_query_weights(episode, np.array([row])) for row in rows]

    with reproducible(seed):
        start = reptile(_initial(episodes), _loss, tasks(), EVERYTHING, meta_rate=0.3)
    return FewShot(start, popularity, EVERYTHING)


def fit_joint(episodes: list[SupportEpisode], popularity: FloatArray, seed: int, epochs: int = 2) -> FewShot:
    """Train all users and items jointly; a cold user starts at the users' mean and is fine-tuned."""
    rng = np.random.default_rng(seed)
    users = {user: row for row, user in enumerate(sorted({one for part in episodes for one in part.history.users}))}
    with reproducible(seed):
        learned = {name: value.requires_grad_() for name, value in _initial(episodes).items()}
        learned["user"] = torch.zeros(len(users), SIZE, requires_grad=True)
        optimiser = torch.optim.AdamW(list(learned.values()), lr=0.003, weight_decay=0.01)
        for _ in range(epochs):
            for episode, rows in _batches(episodes, rng):
                mine = [users[one] for one in episode.history.users[rows]]
                value = _loss(learned | {"user": learned["user"][mine]}, _query_weights(episode, rows))
                optimiser.zero_grad()
                value.backward()
                optimiser.step()
    start = {name: value.detach() for name, value in learned.items()}
    return FewShot(start | {"user": start["user"].mean(0)}, popularity, FINE)


def _initial(episodes: list[SupportEpisode]) -> Parameters:
    num_items = len(episodes[0].popularity)
    return {
        "user": torch.zeros(SIZE),
        "items": torch.randn(num_items, SIZE) * SIZE**-0.5,
        "bias": torch.zeros(num_items),
    }


def _expand_users(parameters: Parameters, data: ItemWeights) -> Parameters:
    """Parameters with an own user vector and biases for each user of the data."""
    own = {name: parameters[name].expand(len(data.weight), -1) for name in HEAD.moved}
    return parameters | own


def _logits(parameters: Parameters, popularity: torch.Tensor) -> torch.Tensor:
    return parameters["user"] @ parameters["items"].T + parameters["bias"] + popularity


def _loss(parameters: Parameters, data: ItemWeights) -> torch.Tensor:
    """Negative log-likelihood of the weighted items, summed over users."""
    return -(data.weight * _logits(parameters, data.popularity).log_softmax(-1)).sum()


def _support_weights(history: Interactions, popularity: FloatArray) -> ItemWeights:
    return ItemWeights(torch.from_numpy(history.binary_matrix().toarray()), torch.from_numpy(popularity))


def _query_weights(episode: SupportEpisode, rows: FloatArray) -> ItemWeights:
    """Query items of these users of the episode, as shares."""
    weight = episode.targets[rows].toarray()
    share = weight / weight.sum(axis=1, keepdims=True)
    return ItemWeights(torch.from_numpy(share), torch.from_numpy(episode.popularity))


def _batches(episodes: list[SupportEpisode], rng: np.random.Generator) -> Iterator[tuple[SupportEpisode, FloatArray]]:
    """Batches with every user of every episode once, in random order."""
    jobs = [(episode, rows) for episode in episodes for rows in shuffled_batches(episode.history.num_users, BATCH, rng)]
    for place in rng.permutation(len(jobs)):
        yield jobs[place]


def _tasks(episodes: list[SupportEpisode], rng: np.random.Generator) -> Iterator[tuple[ItemWeights, ItemWeights]]:
    """Supports of up to MAX_SUPPORT items, and queries."""
    for episode, rows in _batches(episodes, rng):
        count = rng.integers(0, MAX_SUPPORT + 1, len(rows))
        support = newest_items(episode.history.select_users(rows), count, rng)
        yield _support_weights(support, episode.popularity), _query_weights(episode, rows)
