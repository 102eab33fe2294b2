"""All contracts on the feed, checked on one window."""

from collections.abc import Callable, Iterator

import pandas as pd

from monitoring.drift.feed.catalogue import CatalogueSnapshot
from monitoring.drift.feed.clock import moved_clock
from monitoring.drift.feed.comparison import FeedComparison, FeedSpan
from monitoring.drift.feed.event_counts import changed_ratios, repeated_events
from monitoring.drift.feed.fault import FeedFault
from monitoring.drift.feed.feed_log import FeedLog
from monitoring.drift.feed.identities import lost_users, relisted_items, replaced_users
from monitoring.drift.feed.lost_parts import lost_parts
from monitoring.drift.feed.machines import machines
from monitoring.drift.feed.prices import catalogue_prices, price_factors
from monitoring.drift.feed.taxonomy import changed_categories

# causes before their consequences: machines change the ratios between kinds of events
_CONTRACTS: tuple[Callable[[FeedComparison], Iterator[FeedFault]], ...] = (
    replaced_users,
    lost_users,
    machines,
    price_factors,
    repeated_events,
    moved_clock,
    lost_parts,
    changed_ratios,
)


def find_contract_faults(
    events: pd.DataFrame, items: pd.DataFrame, known: CatalogueSnapshot, span: FeedSpan
) -> Iterator[FeedFault]:
    """The faults of the current window, from raw EVENTS and the catalogue as of the cut and as it is now."""
    now = CatalogueSnapshot.of(items["item_id"], items)
    width, lag = span.end - span.start, span.start - span.before
    first = span.cut - width - max(lag, width) - span.num_past * span.step
    comparison = FeedComparison(FeedLog.of(events, now, known, first, span.end), span)
    if comparison.after.num_rows:
        yield from changed_categories(comparison.after, now, known, span.cut)
        yield from catalogue_prices(now, known, span.cut)
    if comparison.after.num_rows and comparison.before.num_rows:
        yield from relisted_items(comparison, now.content_of(comparison.log.items))
        for contract in _CONTRACTS:
            yield from contract(comparison)
