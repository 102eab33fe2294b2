"""Exports of orders, a row for each line, under the column names of several shops, and the true lines."""

import numpy as np
import pandas as pd

from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.schema_inference import propose_settings

OF_ORDER = ("status", "sum", "user")
NUM_ORDERS, NUM_ITEMS, NUM_USERS = 300, 30, 40
SHOPIFY = {
    "order": "Name",
    "user": "Email",
    "time": "Created at",
    "status": "Financial Status",
    "sum": "Total",
    "quantity": "Lineitem quantity",
    "title": "Lineitem name",
    "item": "Lineitem sku",
    "price": "Lineitem price",
}
GERMAN = {
    "order": "Bestellnummer",
    "user": "Kundennummer",
    "time": "Bestelldatum",
    "status": "Zahlung",
    "sum": "Bestellsumme",
    "quantity": "Menge",
    "title": "Artikelname",
    "item": "Artikelnummer",
    "price": "Preis",
}


def order_lines(names, *, blank=(), line_total=False, seed=3):
    """Orders of one to three lines under these column names, and the EVENTS that they are; later lines are blank."""
    rng = np.random.default_rng(seed)
    prices = np.round(rng.uniform(1, 99, NUM_ITEMS), 2)
    rows = []
    for number in range(NUM_ORDERS):
        at = pd.Timestamp("2024-01-05 08:30", tz="UTC") + pd.Timedelta(hours=9 * number)
        for place, item in enumerate(rng.choice(NUM_ITEMS, rng.integers(1, 4), replace=False)):
            quantity = int(rng.integers(1, 4))
            price = prices[item] * (quantity if line_total else 1)
            row = {
                "order": f"#{1000 + number}",
                "user": f"p{number % NUM_USERS}@shop.test",
                "time": at,
                "status": "paid",
            }
            row |= {"sum": 99.5, "quantity": quantity, "title": f"T{item}", "item": f"SKU{item}"}
            rows.append(row | {"price": round(price, 2), "place": place, "worth": round(prices[item] * quantity, 2)})
    frame = pd.DataFrame(rows)
    written = frame.assign(time=frame["time"].dt.strftime("%Y-%m-%d %H:%M:%S %z")).astype(object)
    written.loc[frame["place"] > 0, list(blank)] = None
    return written[list(names)].rename(columns=names), frame


def proposed(written, folder):
    path = folder / "orders.csv"
    written.to_csv(path, index=False)
    proposal = propose_settings([path], {})
    return proposal, parse(FilesSource, proposal.patch["source"], "tests")


def key(frame):
    return sorted(frame.itertuples(index=False, name=None))
