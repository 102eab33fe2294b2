"""Softmax over sampled items with the logQ correction (Bengio and Senecal, 2008; Yi et al., RecSys 2019)."""

import torch


def sampled_softmax(
    positive: torch.Tensor, negative: torch.Tensor, same: torch.Tensor, log_expected: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy of T positives of each of S users [S, T] against N shared negatives [S, N].

    same: marks the negatives that are the positive itself, [S, T, N]
    log_expected: log of how often a negative is expected among the N draws; subtracting it makes the loss an estimate
    of the softmax over the catalogue, [N]
    """
    corrected = (negative - log_expected).unsqueeze(1)
    log_negatives = corrected.masked_fill(same, -torch.inf).logsumexp(-1)
    return (torch.logaddexp(positive, log_negatives) - positive).mean()
