"""What a shop knows of its users, and how they are made known and forgotten."""

import numpy as np

from services.recommend.user import RequestUser, person_of
from services.schemas import Acknowledged, Erasure, TierAnswer, UserBatch
from services.store import PostedUser
from services.tenants.served_model import ServedModel
from services.tenants.shop import Shop


def tier(shop: Shop, user_id: str) -> TierAnswer:
    """Tier, interests and churn risk as of now; of somebody unknown, what holds for newcomers."""
    shop.refresh()
    model, _ = shop.model_for(user_id, None)
    person = person_of(model, shop.live, user_id)
    pack = model.pack
    if person.row is not None:
        interests = pack.people.interests[person.row]
    else:
        interests = pack.tiering.interests_of(model.visitor(person.visit))[0]
    return TierAnswer(
        tier=person.tier,
        known_user=person.known,
        interests={
            name: round(float(share), 6) for name, share in zip(pack.facts.layers, interests, strict=True)
        },
        churn_risk=_churn_risk(shop, model, person),
        churn_days=pack.churn.horizon_days,
        churn_calibration_error=pack.facts.churn_calibration_error,
        model_version=model.release.model_version,
    )


def _churn_risk(shop: Shop, model: ServedModel, person: RequestUser) -> float | None:
    """None while the models, which hold the histories of known users, cannot be read."""
    try:
        known = None if person.row is None else model.bundle.history.rows(np.array([person.row]))
    except Exception:
        version = model.release.model_version
        shop.journal.failure(None, person.user_id, part="churn", model=version)
        return None
    history = model.visitor(person.visit) if known is None else known
    return round(float(model.pack.churn.probability(history)[0]), 6)


def post(shop: Shop, batch: UserBatch) -> Acknowledged:
    """Keep users' attributes over those posted before."""
    shop.store.put_users([PostedUser(one.user_id, one.attributes) for one in batch.users], merge=True)
    shop.live.refresh()
    return Acknowledged(accepted=len(batch.users), duplicates=0)


def erase(shop: Shop, user_id: str) -> Erasure:
    """Delete all rows of the user and remember, by a keyed hash, that the model's memory of them is not to be used."""
    erased = shop.store.erase_user(user_id, shop.hash_of(user_id))
    shop.live.refresh()
    return Erasure(events=erased.events, impressions=erased.impressions, users=erased.users)
