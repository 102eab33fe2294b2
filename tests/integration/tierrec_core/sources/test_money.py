"""Money as shops write it: `init` finds the column, and `ingest` reads the true amounts."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.files import read_files
from tierrec_core.sources.schema_inference import propose_settings

AMOUNTS = [75.64, 1275.64, -12.5, 1234567.89, 68.9, 0.5, None, 300.0] * 25


def german(amount):
    return f"{amount:,.2f}".translate(str.maketrans(",.", ".,"))


WAYS = {
    "thousands": lambda amount: f"{amount:,.2f}",
    "dollars": lambda amount: f"${amount:,.2f}".replace("$-", "-$"),
    "a code": lambda amount: f"{amount:.2f} USD",
    "accounting": lambda amount: f"({-amount:,.2f})" if amount < 0 else f"{amount:,.2f}",
    "a minus behind": lambda amount: f"{-amount:.2f}-" if amount < 0 else f"{amount:.2f}",
    "swiss": lambda amount: f"{amount:,.2f}".replace(",", "'"),
    "german": german,
    "reais": lambda amount: "R$ " + german(amount),
    "rupiah": lambda amount: "Rp" + german(amount),
    "yen": lambda amount: f"{amount:.2f}円",
    "euros": lambda amount: german(amount) + " €",
    "french": lambda amount: f"{amount:,.2f}".replace(",", "\u202f").replace(".", ","),
    "plain comma": lambda amount: f"{amount:.2f}".replace(".", ","),
    "a typographic minus": lambda amount: f"{amount:.2f}".replace("-", "−"),
}


def test_dots_part_thousands_where_all_smaller_numbers_have_none(tmp_path):
    rng = np.random.default_rng(3)
    amounts = rng.integers(100, 4000, 300)
    log = pd.DataFrame({"user_id": rng.integers(0, 30, 300), "item_id": rng.integers(0, 20, 300)})
    log["timestamp"] = pd.Timestamp("2024-01-05") + pd.to_timedelta(np.arange(300), unit="D")
    log["total"] = [german(amount).partition(",")[0] for amount in amounts]
    log.to_csv(tmp_path / "log.csv", sep=";", index=False)
    source = parse(FilesSource, propose_settings([tmp_path / "log.csv"], {}).patch["source"], "tests")
    assert read_files(source, tmp_path).events["value"].tolist() == amounts.tolist()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_true_amounts_are_read(way, tmp_path):
    rng = np.random.default_rng(3)
    log = pd.DataFrame({"user_id": rng.integers(0, 30, len(AMOUNTS)), "item_id": rng.integers(0, 20, len(AMOUNTS))})
    log["timestamp"] = pd.Timestamp("2024-01-05") + pd.to_timedelta(np.arange(len(log)), unit="D")
    log["Umsatz"] = ["-" if amount is None else way(amount) for amount in AMOUNTS]
    log.to_csv(tmp_path / "log.csv", sep=";", index=False)
    source = parse(FilesSource, propose_settings([tmp_path / "log.csv"], {}).patch["source"], "tests")
    assert source.columns.value == "Umsatz"
    values = read_files(source, tmp_path).events["value"]
    assert values.astype(object).where(values.notna(), None).tolist() == AMOUNTS
