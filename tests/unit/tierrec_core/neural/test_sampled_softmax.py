"""The sampled softmax against the softmax over the catalogue."""

import numpy as np
import torch

from tierrec_core.neural.sampled_softmax import sampled_softmax


def test_sampled_softmax_over_the_whole_catalogue_is_the_softmax():
    """Each item drawn once is expected once: the correction is zero and the loss is the cross-entropy."""
    logits = torch.randn(6, 9, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0, 3, 3, 8, 1, 5])
    same = target[:, None, None] == torch.arange(9)
    loss = sampled_softmax(logits.gather(1, target[:, None]), logits, same, torch.zeros(9))
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, target))


def test_correction_makes_the_sample_agree_with_the_catalogue():
    """With skewed draws the mean of the sampled partition function is that of the catalogue."""
    rng = np.random.default_rng(0)
    logits, share = torch.tensor(rng.normal(size=40)), rng.dirichlet(np.ones(40))
    drawn = rng.choice(40, 200_000, p=share)
    expected = torch.tensor(np.log(share[drawn] * len(drawn)))
    positive = logits[:1]
    same = torch.zeros(1, 1, len(drawn), dtype=torch.bool)
    loss = sampled_softmax(positive[None], logits[drawn][None], same, expected)
    exact = torch.logaddexp(positive[0], logits.logsumexp(0)) - positive[0]
    torch.testing.assert_close(loss, exact, rtol=0.02, atol=0)
