"""Ids in their normal form, in which those of all sources are compared."""

import pandas as pd
import pytest

from tierrec_core.base.ids import normal_id, text_ids

FORMS = {
    "Anna@Shop.DE": "anna@shop.de",
    " anna@shop.de\u200b": "anna@shop.de",
    "A\u00a0 1": "A 1",
    "\ufeff7": "7",
    "SKU-7A": "SKU-7A",
    "@Anna": "@Anna",
    "A@1.5": "A@1.5",
    "Größe  XL": "Größe XL",
    "": "",
}


@pytest.mark.parametrize(("written", "normal"), FORMS.items())
def test_an_id_has_one_form(written, normal):
    assert normal_id(written) == normal
    assert normal_id(normal) == normal


def test_a_column_of_ids_has_that_of_each(tmp_path):
    ids = pd.Series([*FORMS, None, "12.0"], index=range(5, 7 + len(FORMS)))
    expected = [*FORMS.values(), None, "12"]
    found = text_ids(ids)
    assert found.index.equals(ids.index)
    assert [None if pd.isna(value) else value for value in found] == expected
    assert text_ids(ids.iloc[4:7]).tolist() == expected[4:7]
