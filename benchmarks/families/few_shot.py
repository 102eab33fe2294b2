"""A factor model with a softmax over the catalogue, taught to take few steps: Reptile, ANIL and joint training.

A user is a vector, an item a vector and a bias, and what was popular at the moment is the prior. One task is one user
at one moment: the support is what they are known by, the query what they took next.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.families.adaptation import Parameters, Steps, adapted, maml, reptile
from tierrec_core.base.contracts import FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.support_sets import SupportEpisode, newest_items
from tierrec_core.neural.trainer import reproducible, shuffled_batches

SIZE, MAX_SUPPORT, BATCH = 32, 8, 128
HEAD = Steps(("user", "bias"), count=3, rate=1.0)
EVERYTHING = Steps(("user", "items", "bias"), count=5, rate=0.3)
FINE = Steps(("user", "bias"), count=5, rate=0.03)


class Taken(NamedTuple):
    """What B users took, as weights of the items [B, I], and the popularity of the moment [I]."""

    weight: torch.Tensor
    popularity: torch.Tensor


@dataclass(frozen=True)
class FewShot:
    """Scores histories after a few steps on them from the learned start."""

    start: Parameters
    popularity: FloatArray
    steps: Steps

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Logits of every item, [U, I]; where more than the user moves, one user is adapted to at a time."""
        alone = self.steps == EVERYTHING
        rows = np.array_split(np.arange(history.num_users), history.num_users if alone else 1)
        return np.concatenate([self._score(history.select_users(part)) for part in rows])

    def _score(self, history: Interactions) -> FloatArray:
        support = _taken(history, self.popularity)
        if self.steps == EVERYTHING:  # learned on shares
            total = support.weight.sum(-1, keepdim=True).clamp(min=1)
            support = support._replace(weight=support.weight / total)
        end = adapted(_copied(self.start, support), _loss, support, self.steps)
        logits: FloatArray = _logits(end, support.popularity).numpy()
        return logits


def anil(episodes: list[SupportEpisode], popularity: FloatArray, seed: int, epochs: int = 1) -> FewShot:
    """Only the head moves in a task, the user and the biases; items and the start are learned through the steps."""
    rng = np.random.default_rng(seed)
    with reproducible(seed):
        tasks = (task for _ in range(epochs) for task in _tasks(episodes, rng))
        start = maml(_start(episodes), _loss, tasks, HEAD, 0.003, _copied)
    return FewShot(start, popularity, HEAD)


def reptiled(episodes: list[SupportEpisode], popularity: FloatArray, seed: int, batches: int = 40) -> FewShot:
    """Everything moves in a task, and the start follows the mean of where tasks end."""
    rng = np.random.default_rng(seed)

    def tasks() -> Iterator[list[Taken]]:
        for _ in range(batches):
            episode = episodes[rng.integers(len(episodes))]
            rows = rng.choice(episode.history.num_users, 16, replace=False)
            yield [_of(episode, np.array([row])) for row in rows]

    with reproducible(seed):
        start = reptile(_start(episodes), _loss, tasks(), EVERYTHING, meta_rate=0.3)
    return FewShot(start, popularity, EVERYTHING)


def joint(episodes: list[SupportEpisode], popularity: FloatArray, seed: int, epochs: int = 2) -> FewShot:
    """All users are learned together with the items; a newcomer begins at their mean and is fine-tuned."""
    rng = np.random.default_rng(seed)
    users = {
        user: row for row, user in enumerate(sorted({one for part in episodes for one in part.history.users}))
    }
    with reproducible(seed):
        learned = {name: value.requires_grad_() for name, value in _start(episodes).items()}
        learned["user"] = torch.zeros(len(users), SIZE, requires_grad=True)
        optimiser = torch.optim.AdamW(list(learned.values()), lr=0.003, weight_decay=0.01)
        for _ in range(epochs):
            for episode, rows in _batches(episodes, rng):
                mine = [users[one] for one in episode.history.users[rows]]
                value = _loss(learned | {"user": learned["user"][mine]}, _of(episode, rows))
                optimiser.zero_grad()
                value.backward()
                optimiser.step()
    start = {name: value.detach() for name, value in learned.items()}
    return FewShot(start | {"user": start["user"].mean(0)}, popularity, FINE)


def _start(episodes: list[SupportEpisode]) -> Parameters:
    num_items = len(episodes[0].popularity)
    return {
        "user": torch.zeros(SIZE),
        "items": torch.randn(num_items, SIZE) * SIZE**-0.5,
        "bias": torch.zeros(num_items),
    }


def _copied(parameters: Parameters, data: Taken) -> Parameters:
    """With a vector and biases for each user of the data, all at the start."""
    own = {name: parameters[name].expand(len(data.weight), -1) for name in HEAD.moved}
    return parameters | own


def _logits(parameters: Parameters, popularity: torch.Tensor) -> torch.Tensor:
    return parameters["user"] @ parameters["items"].T + parameters["bias"] + popularity


def _loss(parameters: Parameters, data: Taken) -> torch.Tensor:
    """Negative log-likelihood of what was taken, added up over users."""
    return -(data.weight * _logits(parameters, data.popularity).log_softmax(-1)).sum()


def _taken(history: Interactions, popularity: FloatArray) -> Taken:
    return Taken(torch.from_numpy(history.binary_matrix().toarray()), torch.from_numpy(popularity))


def _of(episode: SupportEpisode, rows: FloatArray) -> Taken:
    """What these users of the episode took, as shares."""
    weight = episode.taken[rows].toarray()
    share = weight / weight.sum(axis=1, keepdims=True)
    return Taken(torch.from_numpy(share), torch.from_numpy(episode.popularity))


def _batches(
    episodes: list[SupportEpisode], rng: np.random.Generator
) -> Iterator[tuple[SupportEpisode, FloatArray]]:
    """Every user of every episode once."""
    jobs = [
        (episode, rows)
        for episode in episodes
        for rows in shuffled_batches(episode.history.num_users, BATCH, rng)
    ]
    for place in rng.permutation(len(jobs)):
        yield jobs[place]


def _tasks(episodes: list[SupportEpisode], rng: np.random.Generator) -> Iterator[tuple[Taken, Taken]]:
    """Supports of none to MAX_SUPPORT items, and what was taken next."""
    for episode, rows in _batches(episodes, rng):
        count = rng.integers(0, MAX_SUPPORT + 1, len(rows))
        support = newest_items(episode.history.select_users(rows), count, rng)
        yield _taken(support, episode.popularity), _of(episode, rows)
