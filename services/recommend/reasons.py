"""Why each item of a page is there, in words that a person can read; the numbers add up to the blend's score."""

import numpy as np

from services.recommend.request import RequestContext, ResultPage
from services.recommend.user import split
from tierrec_core.base.contracts import IntArray
from tierrec_core.bundle.explain import PEERS, TREND, reasons

JUST_NOW = "it fits what you did just now"
FITS_WORDS = "it fits what you typed"
ALIKE = "it is like the item you look at"
COUPONS = "people like you redeem it"

_BY_PATH = {
    "cf": PEERS,
    "cold": TREND,
    "tier_prior": TREND,
    "popularity": TREND,
    "search": FITS_WORDS,
    "similar": ALIKE,
    "campaigns": COUPONS,
}


def reasons_of(scene: RequestContext, page: ResultPage) -> list[dict[str, float]]:
    """For each item of the page its reasons, strongest first."""
    path, columns = page.climbed.path, page.order.columns
    scores = page.order.scores.tolist()
    if path not in ("blend", "fold") or scene.asked.surface == "campaigns":
        return [{_BY_PATH[path]: score} for score in scores]
    found = _of_the_blend(scene, columns)
    if len(scene.person.fresh.columns):
        items, lifted = scene.model.fold.lift(scene.person.fresh)
        moved = dict(zip(items.tolist(), (scene.model.fold.strength * lifted).tolist(), strict=True))
        found = [
            ({JUST_NOW: moved[column]} if column in moved else {}) | why
            for column, why in zip(columns.tolist(), found, strict=True)
        ]
    return [why or {PEERS: score} for why, score in zip(found, scores, strict=True)]


def _of_the_blend(scene: RequestContext, columns: IntArray) -> list[dict[str, float]]:
    """What the blend says of each column; nothing of items that it does not know or did not choose."""
    try:
        return [reasons(one) if one else {} for one in _shares(scene, columns)]
    except Exception:  # a list without good reasons is better than none
        version = scene.model.release.model_version
        scene.shop.journal.failure(None, scene.asked.user_id, part="reasons", model=version)
        return [{} for _ in columns]


def _shares(scene: RequestContext, columns: IntArray) -> list[dict[str, float]]:
    """What each feature adds to the score of each column."""
    person = scene.person
    if person.row is None and not person.visit:
        return [{} for _ in columns]
    bundle = scene.model.bundle
    if person.row is not None:
        history = bundle.history.rows(np.array([person.row]))
    else:
        history = bundle.visitor(*split(person.visit))
    return bundle.explain(scene.task, history, columns)
