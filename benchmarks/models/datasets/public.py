"""The data sets, each with its models, search ranges, targets and published figures."""

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.models.added import fit_added
from benchmarks.models.datasets.beauty import BEAUTY
from benchmarks.models.datasets.complete_journey import DISCOVERY, NEXT
from benchmarks.models.datasets.given_split import GivenSplit
from benchmarks.models.datasets.taobao import TAOBAO
from benchmarks.models.peers import lenskit
from benchmarks.models.peers.implicit import bm25, cosine
from benchmarks.models.task import Dataset, DatasetNotes, Entry, Target
from tierrec_core.settings import SearchRange

_BINARY: Mapping[str, object] = {"values": "binary"}
_R, _N = "recall@20", "ndcg@20"
_PAIRS = "{}.parquet: user_id, item_id, split (train or test), a row per pair in the publisher's order"


def _published(**figures: tuple[float, float]) -> Mapping[str, Mapping[str, float]]:
    return {name.replace("_", "-"): {_R: recall, _N: ndcg} for name, (recall, ndcg) in figures.items()}


_ITEM_KNN = Entry(
    "item_knn",
    "item_knn",
    fixed=_BINARY,
    space={
        "neighbours": SearchRange(100, 800, log=True),
        "alpha": SearchRange(0.2, 0.8),
        "shrinkage": SearchRange(0.0, 50.0),
        "user_exponent": SearchRange(0.0, 1.0),
    },
    trials=6,
    first=[{"neighbours": 400, "alpha": 0.5, "shrinkage": 0.5, "user_exponent": 0.5}],
)
_ALS = Entry(
    "als",
    "als",
    fixed={"iterations": 12},
    space={
        "factors": SearchRange(32, 128, log=True),
        "l2": SearchRange(0.3, 100.0, log=True),
        "confidence": SearchRange(0.5, 20.0, log=True),
    },
    trials=6,
)
_GF_CF = Entry(  # as published: symmetric normalisation, 256 ideal frequencies of weight .3
    "gf_cf",
    "graph_filter",
    fixed=_BINARY
    | {"user_exponent": 0.5, "item_exponent": 0.5, "tilt": 0.0, "rank": 256}
    | {"low_pass": 0.3, "low_pass_tilt": 0.5, "softness": 0.0, "sharpening": 0.0},
    is_peer=True,
)
_GRAPH_FILTER = Entry(
    "graph_filter",
    "graph_filter",
    fixed=_BINARY | {"rank": 512},
    space={
        "user_exponent": SearchRange(0.1, 0.6),
        "item_exponent": SearchRange(0.2, 0.6),
        "tilt": SearchRange(-0.2, 0.4),
        "low_pass": SearchRange(0.01, 0.5, log=True),
        "low_pass_tilt": SearchRange(0.2, 0.7),
        "softness": SearchRange(0.003, 0.3, log=True),
        "sharpening": SearchRange(0.0, 1.0),
    },
    trials=8,
    first=[
        {"user_exponent": 0.5, "item_exponent": 0.5, "tilt": 0.0, "low_pass": 0.3}
        | {"low_pass_tilt": 0.5, "softness": 0.003, "sharpening": 0.0},
        {"user_exponent": 0.32, "item_exponent": 0.42, "tilt": 0.12, "low_pass": 0.12}
        | {"low_pass_tilt": 0.5, "softness": 0.02, "sharpening": 0.35},
        {"user_exponent": 0.4, "item_exponent": 0.45, "tilt": 0.05, "low_pass": 0.2}
        | {"low_pass_tilt": 0.45, "softness": 0.02, "sharpening": 0.2},
    ],
)
_FILTER_AND_FACTORS = Entry(
    "graph_filter_and_als",
    "added",
    fixed={"first.kind": "graph_filter", "first.rank": 1024, "first.values": "binary"}
    | {"first.user_exponent": 0.4, "first.item_exponent": 0.45, "first.low_pass": 0.2}
    | {"first.low_pass_tilt": 0.45, "first.softness": 0.02, "first.sharpening": 0.2}
    | {"second.kind": "als", "second.iterations": 12},
    space={
        "weight": SearchRange(0.1, 0.7),
        "first.tilt": SearchRange(-0.05, 0.15),
        "second.factors": SearchRange(192, 384, log=True),
        "second.l2": SearchRange(1.0, 30.0, log=True),
        "second.confidence": SearchRange(4.0, 30.0, log=True),
    },
    trials=14,
    first=[{"weight": 0.3, "first.tilt": 0.05, "second.factors": 256, "second.l2": 5.0, "second.confidence": 10.0}],
    build=fit_added,
)
_AUTOENCODER = Entry(
    "linear_autoencoder",
    "linear_autoencoder",
    fixed=_BINARY,
    space={
        "l2": SearchRange(0.1, 20.0, log=True),
        "dropout": SearchRange(0.0, 1.0),
        "user_exponent": SearchRange(0.0, 0.6),
        "item_exponent": SearchRange(0.0, 0.5),
        "tilt": SearchRange(-0.3, 0.5),
    },
    trials=60,
    first=[{"l2": 3.0, "dropout": 0.6, "user_exponent": 0.3, "item_exponent": 0.15, "tilt": 0.0}],
)
_BM25 = Entry("implicit_bm25", "implicit", fixed={"neighbours": 500}, is_peer=True, build=bm25)
_COSINE = Entry("implicit_cosine", "implicit", fixed={"neighbours": 500}, is_peer=True, build=cosine)
_LENSKIT_KNN = Entry(
    "lenskit_item_knn",
    "lenskit",
    fixed={"save_nbrs": 500},
    space={"max_nbrs": SearchRange(20, 400, log=True)},
    trials=4,
    is_peer=True,
    build=lenskit.item_knn,
)
_LENSKIT_ALS = Entry(
    "lenskit_als",
    "lenskit",
    space={
        "embedding_size": SearchRange(32, 128, log=True),
        "regularization": SearchRange(0.01, 10.0, log=True),
        "weight": SearchRange(2.0, 80.0, log=True),
    },
    trials=6,
    is_peer=True,
    build=lenskit.implicit_mf,
)
_POPULARITY = Entry("popularity", "popularity")

GOWALLA = GivenSplit(
    name="gowalla",
    targets=(Target(_R, 0.190), Target(_N, 0.160)),
    published=_published(
        ItemCF=(0.1570, 0.1214),
        MF_BPR=(0.1627, 0.1378),
        EASE=(0.1765, 0.1467),
        LightGCN=(0.1820, 0.1547),
        GF_CF=(0.1849, 0.1518),
        UltraGCN=(0.1862, 0.1580),
        SimpleX=(0.1872, 0.1557),
        a_linear_graph_filter_on_this_copy=(0.1862, 0.1563),
    ),
    entries=(
        _POPULARITY,
        _BM25,
        _COSINE,
        _GF_CF,
        _ITEM_KNN,
        replace(_GRAPH_FILTER, trials=24),
        _LENSKIT_KNN,
        _LENSKIT_ALS,
        _ALS,
        _FILTER_AND_FACTORS,
    ),
    notes=DatasetNotes(
        "LightGCN's repository (github.com/gusye1234/LightGCN-PyTorch, data/gowalla)", _PAIRS.format("gowalla")
    ),
    is_test_later=True,
    tuning_users=4000,
)
ML1M = GivenSplit(
    name="ml1m",
    targets=(Target(_R, 0.282), Target(_N, 0.270)),
    published=_published(
        MF_BPR=(0.2532, 0.2440), SVD_GCN=(0.2706, 0.2587), EASE_on_this_copy=(0.2759, 0.2660), UltraGCN=(0.2787, 0.2642)
    ),
    entries=(
        _POPULARITY,
        _BM25,
        _COSINE,
        Entry("ease", "ease", fixed=_BINARY | {"l2": 500.0}, is_peer=True),
        _GF_CF,
        _ITEM_KNN,
        _LENSKIT_KNN,
        _LENSKIT_ALS,
        _GRAPH_FILTER,
        _ALS,
        _AUTOENCODER,
    ),
    notes=DatasetNotes("UltraGCN's repository (github.com/xue-pai/UltraGCN, MovieLens-1M)", _PAIRS.format("ml1m")),
    tuning_users=10_000,
)
DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset for dataset in (GOWALLA, ML1M, BEAUTY, TAOBAO, NEXT, DISCOVERY)
}
