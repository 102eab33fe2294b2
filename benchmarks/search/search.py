"""Precision and latency of text search on the demo shop, against scikit-learn baselines.

python -m benchmarks.search.search. Precision is the share of relevant items among the first 20, or among as many as
there are. Types: queries are the words of a product type; typos: the same with one random edit in one word.
Categories: queries are words of a category that are in no title, where the category of half of the items is hidden,
and only these count.
"""

import string
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from benchmarks.shop_data import ShopData
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.text import item_texts, tokenize
from tierrec_core.search.index import SearchIndex

_TYPES, _FEWEST, _FIRST, _DEEP = 300, 5, 20, 5_000
_LARGE, _NEW_WORDS = 100_000, 20_000
Search = Callable[[str, int], IntArray]
Make = Callable[[pd.DataFrame], Search]


@dataclass(frozen=True)
class Query:
    """A query text, and its relevant items, [I]."""

    text: str
    relevant: BoolArray


def type_queries(items: pd.DataFrame, rng: np.random.Generator) -> list[Query]:
    """Words of random product types with at least a few items."""
    kinds = items["product_type"].fillna("")
    count = kinds[kinds != ""].value_counts()
    chosen = rng.choice(sorted(count.index[count >= _FEWEST]), _TYPES, replace=False)
    return [Query(" ".join(tokenize(one)), (kinds == one).to_numpy()) for one in chosen]


def with_typos(queries: Sequence[Query], rng: np.random.Generator) -> list[Query]:
    """Edit one word of at least 4 letters in each query that has one."""
    changed = []
    for query in queries:
        typed = query.text.split()
        long = [place for place, word in enumerate(typed) if len(word) >= 4 and word.isalpha()]
        if long:
            place = rng.choice(long)
            typed[place] = with_edit(typed[place], rng)
            changed.append(Query(" ".join(typed), query.relevant))
    return changed


def with_edit(word: str, rng: np.random.Generator) -> str:
    """Insert, delete, replace or swap letters of a word at random."""
    at, letter = int(rng.integers(len(word) - 1)), str(rng.choice(list(string.ascii_lowercase)))
    edits = (
        word[:at] + letter + word[at:],
        word[:at] + word[at + 1 :],
        word[:at] + letter + word[at + 1 :],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    )
    return edits[rng.integers(4)]


def category_queries(items: pd.DataFrame, hidden: BoolArray) -> list[Query]:
    """Words of categories that are in no title; relevant are the hidden items of the category."""
    titled = {word for title in items["title"].fillna("") for word in tokenize(title)}
    category, found = items["category"].fillna(""), []
    for one in sorted(set(category) - {"", "unknown"}):
        untitled = [word for word in tokenize(one) if len(word) > 2 and word not in titled]
        relevant = (category == one).to_numpy() & hidden
        if untitled and relevant.sum() >= _FEWEST:
            found.append(Query(" ".join(untitled), relevant))
    return found


def precision(search: Search, queries: Sequence[Query], counted: BoolArray | None = None) -> float:
    """Mean precision among the first items, of those that count."""
    shares = []
    for query in queries:
        columns = search(query.text, _FIRST if counted is None else _DEEP)
        columns = columns if counted is None else columns[counted[columns]]
        size = min(_FIRST, int(query.relevant.sum()))
        shares.append(query.relevant[columns[:size]].sum() / size)
    return float(np.mean(shares))


def p50_ms(search: Search, queries: Sequence[Query]) -> float:
    """Median time of a query for 100 items, in milliseconds."""
    seconds = []
    for query in queries:
        started = time.perf_counter()
        search(query.text, 100)
        seconds.append(time.perf_counter() - started)
    return 1e3 * float(np.median(seconds))


def tfidf(**options: object) -> Make:
    """Cosine of TF-IDF by scikit-learn."""

    def make(items: pd.DataFrame) -> Search:
        vectoriser = TfidfVectorizer(dtype=np.float32, **options)
        table = vectoriser.fit_transform(item_texts(items))
        return lambda text, k: _first((vectoriser.transform([text]) @ table.T).toarray()[0], k)

    return make


def lsa(items: pd.DataFrame) -> Search:
    """Latent semantic analysis in 256 dimensions by scikit-learn."""
    vectoriser, svd = TfidfVectorizer(dtype=np.float32), TruncatedSVD(256, random_state=0)
    table = normalize(svd.fit_transform(vectoriser.fit_transform(item_texts(items))))
    return lambda text, k: _first(table @ svd.transform(vectoriser.transform([text]))[0], k)


def search_index(vectors: FloatArray | None) -> Make:
    """The served index."""

    def make(items: pd.DataFrame) -> Search:
        index = SearchIndex.fit(items, vectors)
        return lambda text, k: index.query(text, k)[0]

    return make


def _first(scores: FloatArray, k: int) -> IntArray:
    order = np.argsort(-scores, kind="stable")[:k]
    return order[scores[order] > 0]


def quality(data: ShopData) -> Table:
    """Precision and time of each method."""
    rng = np.random.default_rng(42)
    hidden = rng.random(len(data.items)) < 0.5
    partly = data.items.assign(category=data.items["category"].where(~hidden))
    types, categories = type_queries(data.items, rng), category_queries(data.items, hidden)
    typos = with_typos(types, rng)
    methods: dict[str, Make] = {
        "TF-IDF of words": tfidf(),
        "TF-IDF of character 3-grams": tfidf(analyzer="char_wb", ngram_range=(3, 3)),
        "LSA, 256 dimensions": lsa,
        "SearchIndex without vectors": search_index(None),
        "SearchIndex": search_index(data.vectors),
    }
    table = Table(title=f"{len(types)} types, {len(typos)} typos, {len(categories)} categories")
    for name in ("method", "types", "typos", "categories", "p50 ms", "p50 ms of typos"):
        table.add_column(name, justify="left" if name == "method" else "right")
    for name, make in methods.items():
        whole, half = make(data.items), make(partly)
        shares = precision(whole, types), precision(whole, typos), precision(half, categories, hidden)
        times = p50_ms(whole, types), p50_ms(whole, typos)
        table.add_row(name, *(f"{share:.3f}" for share in shares), *(f"{ms:.2f}" for ms in times))
    return table


def large(data: ShopData) -> str:
    """Times for 100,000 items: copies of the shop's, each with one of 20,000 further words in its title."""
    rng = np.random.default_rng(0)
    copied = rng.integers(len(data.items), size=_LARGE)
    letters = rng.choice(list(string.ascii_lowercase), (_NEW_WORDS, 7))
    extra = np.array(["".join(row) for row in letters], dtype=object)[rng.integers(_NEW_WORDS, size=_LARGE)]
    items = data.items.iloc[copied].reset_index(drop=True)
    items["title"] = items["title"].fillna("").astype(object) + " " + extra
    index = SearchIndex.fit(items, data.vectors[copied])
    types = type_queries(data.items, rng)
    times = [p50_ms(lambda text, k: index.query(text, k)[0], one) for one in (types, with_typos(types, rng))]
    started = time.perf_counter()
    grown = index.with_items(items.iloc[[0]].assign(title="zebra biscuits"), np.array([_LARGE]))
    found = grown.query("zebra", 1)[0].tolist() == [_LARGE]
    return (
        f"{_LARGE} items, {len(index.vocabulary)} words: p50 {times[0]:.2f} ms, of typos {times[1]:.2f} ms; "
        f"a posted item is found: {found}, after {1e3 * (time.perf_counter() - started):.1f} ms"
    )


def main() -> None:
    """Print the table and the times."""
    with threadpool_limits(1):
        data, console = ShopData.read(), Console(width=120)
        console.print(quality(data))
        console.print(large(data))


if __name__ == "__main__":
    main()
