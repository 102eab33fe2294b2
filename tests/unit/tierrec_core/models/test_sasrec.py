"""The network against plain numpy attention; causality, padding and the sampled softmax by definition."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.conftest import NUM_ITEMS
from tierrec_core.base.errors import SettingsError
from tierrec_core.data.interactions import Interactions
from tierrec_core.features.sequences import Sessions
from tierrec_core.models.registry import configure
from tierrec_core.models.sasrec import SasRec, SasRecNetwork, SessionSequences

CONFIG = SasRec.Config(
    embedding_size=16, blocks=1, epochs=20, learning_rate=0.01, batch_size=16, negatives=32, max_length=20, dropout=0.1
)


@pytest.fixture(scope="module")
def model(training):
    return SasRec.fit(training, CONFIG)


def layer_norm(x, weights, name):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def attend(x, weights, heads):
    """Each head of each place in a loop: the softmax over the places up to it."""
    query, key, value = np.split(linear(x, weights, "query_key_value"), 3, axis=-1)
    size = x.shape[1] // heads
    out = np.zeros_like(x)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for place in range(len(x)):
            logits = key[: place + 1, part] @ query[place, part] / np.sqrt(size)
            share = np.exp(logits - logits.max())
            out[place, part] = (share / share.sum()) @ value[: place + 1, part]
    return linear(out, weights, "mix")


def scores_by_hand(weights, heads, baskets):
    """Scores after a newcomer's place and one place a basket, in numpy."""
    steps = [np.zeros(weights["item.weight"].shape[1])] + [weights["item.weight"][basket].mean(0) for basket in baskets]
    x = np.array(steps) + weights["position"][: len(steps)]
    inner = {name.removeprefix("blocks.0."): value for name, value in weights.items() if name.startswith("blocks.0.")}
    x = x + attend(layer_norm(x, inner, "attention_norm"), inner, heads)
    hidden = np.maximum(linear(layer_norm(x, inner, "forward_norm"), inner, "feed_forward.0"), 0)
    x = x + linear(hidden, inner, "feed_forward.3")
    return layer_norm(x, weights, "norm")[-1] @ weights["item.weight"].T + weights["bias"]


def baskets_of(history, user, length):
    steps = Sessions.of(history, "session")
    chosen = range(steps.user_offsets[user], steps.user_offsets[user + 1])[-length:]
    return [history.item[steps.event_offsets[step] : steps.event_offsets[step + 1]] for step in chosen]


@pytest.mark.parametrize("user", [0, 5, 59])
def test_scores_equal_numpy_attention(model, interactions, user):
    expected = scores_by_hand(model.weights, CONFIG.heads, baskets_of(interactions, user, CONFIG.max_length))
    np.testing.assert_allclose(model.score_catalogue(interactions)[user], expected, rtol=1e-3, atol=1e-4)


def sequence(items, length):
    """One user with one item a step, padded to the length."""
    real = torch.arange(length)[None] < len(items)
    return SessionSequences(torch.tensor(items), torch.arange(len(items)), real)


def test_a_later_event_does_not_change_earlier_states():
    network = SasRecNetwork(10, CONFIG).eval()
    one, other = (network.states(sequence(items, 4)) for items in ([1, 2, 3, 4], [1, 2, 3, 9]))
    assert torch.equal(one[:, :4], other[:, :4])
    assert not torch.allclose(one[:, 4], other[:, 4])


def test_padding_does_not_matter():
    network = SasRecNetwork(10, CONFIG).eval()
    bare, padded = network.states(sequence([1, 2, 3], 3)), network.states(sequence([1, 2, 3], 15))
    torch.testing.assert_close(padded[:, :4], bare)


def test_batch_mates_do_not_matter(model, interactions):
    together = model.score_catalogue(interactions)
    alone = model.score_catalogue(interactions.select_users(np.array([3])))
    np.testing.assert_allclose(alone[0], together[3], atol=1e-5)


def test_order_within_a_session_does_not_matter_and_order_of_sessions_does(model, interactions):
    def visitor(sessions, ids=("i01", "i11", "i21")):
        history = Interactions.from_history(ids, interactions.items, interactions.now)
        return model.score_catalogue(dataclasses.replace(history, session=np.array(sessions)))

    backwards = ("i21", "i11", "i01")
    np.testing.assert_allclose(visitor([0, 0, 0]), visitor([0, 0, 0], backwards), atol=1e-5)
    assert np.abs(visitor([0, 1, 2]) - visitor([0, 1, 2], backwards)).max() > 0.01


def test_an_empty_history_gets_one_list_with_the_popular_first(model, interactions):
    scores = model.score_catalogue(Interactions.from_history([], interactions.items, interactions.now))
    popularity = np.bincount(interactions.item, minlength=NUM_ITEMS)
    assert np.isfinite(scores).all()
    assert np.corrcoef(scores[0], np.log(popularity))[0, 1] > 0.5


def test_users_with_a_single_step_teach_what_a_newcomer_takes(training, interactions):
    """Each user's first event alone: nothing comes before any step, and only the bias can learn."""
    first = interactions.where(np.isin(np.arange(len(interactions)), interactions.offsets[:-1]))
    model = SasRec.fit(dataclasses.replace(training, history=first), CONFIG.model_copy(update={"epochs": 60}))
    scores = model.score_catalogue(Interactions.from_history([], first.items, first.now))[0]
    taken = np.bincount(first.item, minlength=NUM_ITEMS)
    assert scores[taken >= 3].min() > scores[taken == 0].max()


def test_heads_must_divide_the_embedding():
    with pytest.raises(SettingsError, match=r"models\.sasrec: .*embedding_size 10 is not a multiple of heads 4"):
        configure("sasrec", {"embedding_size": 10, "heads": 4})
