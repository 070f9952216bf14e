"""Compare what rankers are worth with and without embedmill's features, on the shop's last months.

    python docs/guides/ranking-teams-example/compare.py ../shared/datasets/online_retail_ii \
        --release r1 --nights 2011-06-30 2011-07-31 ... --test-from 2011-10-01

Nights are those that ``build_warehouse.sh`` ran; EMBEDMILL_WAREHOUSE names the warehouse.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from candidates import Candidates, sampled_candidates
from feast_features import fetched_products, fetched_users
from feature_sets import SETS, FeaturedCandidates, featured
from network_ranker import Inputs, network, prefix_rows
from numpy.typing import NDArray
from purchases import MINUTES_A_DAY, Purchases, read_online_retail
from rankers import boosted_trees, logistic, scaled
from ranking_metrics import Judged, auc_draws, ndcg_draws, relative

from encoders.resampling import Difference

SEEDS = (0, 1, 2)
FEW = 5
# Draws of what a table of all rows shows.
FIGURES = (auc_draws, ndcg_draws)
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
# Scores of the test's rows, by ranker and set of features.
Scores = Mapping[tuple[str, str], Floats]


@dataclass(frozen=True)
class Comparison:
    """One seed's candidates of the test, and what each ranker made of them.

    Attributes:
        groups: which rows, by name of the group.
    """

    judged: Judged
    groups: Mapping[str, Flags]
    scores: Scores

    def has_both_labels(self, group: str) -> bool:
        """Return whether some rows of a group were bought, and some not."""
        return len(np.unique(self.judged.label[self.groups[group]])) == 2


def compared(rows: FeaturedCandidates, *, test_from: int, seed: int) -> Comparison:
    """Train every ranker on what lies before a minute; return its scores of what lies after it."""
    candidates = rows.candidates
    is_test = candidates.minute >= test_from
    scores = {
        (ranker, name): of_rows
        for name, parts in SETS.items()
        for ranker, of_rows in _scores(rows, parts, is_test, seed)
    }
    judged = Judged(candidates.bought, candidates.request, candidates.user).rows(is_test)
    groups = {name: of_rows[is_test] for name, of_rows in _groups(rows).items()}
    return Comparison(judged, groups, scores)


def _scores(
    rows: FeaturedCandidates, parts: tuple[str, ...], is_test: Flags, seed: int
) -> Iterator[tuple[str, Floats]]:
    table, label = rows.table(parts), rows.candidates.bought[~is_test]
    train, test = table[~is_test], table[is_test]
    yield "logistic regression", logistic(train, label, test, seed)
    yield "boosted trees", boosted_trees(train, label, test, seed)
    # The network reads vectors and codes themselves, and not what is made of them for the others.
    plain = rows.table(tuple(part for part in parts if part in ("histograms", "transitions")))
    known = scaled(plain[~is_test], plain[is_test])
    inputs = [
        _inputs(rows, parts, features, kept)
        for features, kept in zip(known, (~is_test, is_test), strict=True)
    ]
    yield "network", network(inputs[0], label, inputs[1], seed)


def _inputs(
    rows: FeaturedCandidates, parts: tuple[str, ...], features: NDArray[np.float32], kept: Flags
) -> Inputs:
    served, size = rows.served, int(kept.sum())
    codes = {"cope_codes": served.codes_CV, "learn_codes": rows.learn_codes_CV}
    chosen = [codes[part] for part in parts if part in codes]
    nothing = np.zeros((size, 0), np.float32)
    with_vectors = "vectors" in parts
    return Inputs(
        features,
        np.nan_to_num(served.user_CD[kept]) if with_vectors else nothing,
        np.nan_to_num(served.spu_CD[kept]) if with_vectors else nothing,
        prefix_rows(chosen[0][kept], chosen[0]) if chosen else np.zeros((size, 0), np.int64),
    )


def _groups(rows: FeaturedCandidates) -> dict[str, Flags]:
    """Return rows by events of the product and baskets of the user, both before the request."""
    few, negative = rows.events <= FEW, ~rows.candidates.bought
    return {
        "all": np.ones(len(few), np.bool_),
        f"products with at most {FEW} events": few,
        "such products bought, among all that were not": few | negative,
        "other products": ~few,
        "users without a basket": rows.baskets == 0,
        f"users with 1 to {FEW} baskets": (rows.baskets > 0) & (rows.baskets <= FEW),
        "other users": rows.baskets > FEW,
    }


def report(runs: Sequence[Comparison]) -> str:
    """Return the figures as tables of Markdown: means over seeds, and what each set adds."""
    rankers = list(dict.fromkeys(ranker for ranker, _ in runs[0].scores))
    parts = [_sizes(runs[0])]
    for ranker in rankers:
        parts += [f"### {ranker}", _in_all(runs, ranker), _by_group(runs, ranker)]
    return "\n\n".join(parts)


def _in_all(runs: Sequence[Comparison], ranker: str) -> str:
    judged = [run.judged for run in runs]
    figures = {
        name: [draws([run.scores[ranker, name] for run in runs], judged) for draws in FIGURES]
        for name in SETS
    }
    own = figures["own features"]
    lines = ["| | AUC | more than own features | nDCG | more |", "|---|---:|---:|---:|---:|"]
    for name, of_set in figures.items():
        cells = [
            (f"{ours[0]:.4f}", "" if of_set is own else _shown(relative(ours, theirs)))
            for ours, theirs in zip(of_set, own, strict=True)
        ]
        lines.append(f"| {name} | " + " | ".join(cell for pair in cells for cell in pair) + " |")
    return "\n".join(lines)


def _sizes(run: Comparison) -> str:
    lines = ["| rows of the test, seed 0 | rows | bought |", "|---|---:|---:|"]
    lines += [
        f"| {name} | {rows.sum():,} | {run.judged.label[rows].sum():,} |"
        for name, rows in run.groups.items()
    ]
    return "\n".join(lines)


def _by_group(runs: Sequence[Comparison], ranker: str) -> str:
    names = [name for name in SETS if name != "own features"]
    lines = [
        "| AUC, and how much more | own features | " + " | ".join(names) + " |",
        "|---|" + "---:|" * (1 + len(names)),
    ]
    for group in list(runs[0].groups)[1:]:
        if not all(run.has_both_labels(group) for run in runs):
            continue
        judged = [run.judged.rows(run.groups[group]) for run in runs]
        figures = {
            name: auc_draws([run.scores[ranker, name][run.groups[group]] for run in runs], judged)
            for name in SETS
        }
        own = figures["own features"]
        cells = [f"{own[0]:.4f}", *(_shown(relative(figures[name], own)) for name in names)]
        lines.append(f"| {group} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _shown(more: Difference) -> str:
    return f"{more.mean:+.2%} [{more.low:+.2%}, {more.high:+.2%}]"


def night_ends(nights: Sequence[str]) -> NDArray[np.int64]:
    """Return the ends of nights, in minutes since 1970: 00:00 UTC of the day after."""
    return np.array(nights, "datetime64[m]").astype(np.int64) + MINUTES_A_DAY


def main() -> None:
    """Fetch, train and print."""
    from feast import FeatureStore

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--release", default="r1")
    parser.add_argument("--nights", nargs="+", required=True)
    parser.add_argument("--until", required=True, help="day that the last requests lie before")
    parser.add_argument("--test-from", required=True)
    given = parser.parse_args()
    purchases = Purchases.of_frame(read_online_retail(given.data))
    nights = night_ends(given.nights)
    until = int(np.datetime64(given.until, "m").astype(np.int64))
    test_from = int(np.datetime64(given.test_from, "m").astype(np.int64))
    store = FeatureStore(repo_path="feature_repo")
    products = fetched_products(store, purchases, nights, release=given.release)
    draws: list[Candidates] = [
        sampled_candidates(purchases, np.append(nights, until), seed=seed) for seed in SEEDS
    ]
    users = fetched_users(store, purchases, draws[0], release=given.release)
    runs = [
        compared(
            featured(purchases, candidates, products, users, nights=nights),
            test_from=test_from,
            seed=seed,
        )
        for seed, candidates in zip(SEEDS, draws, strict=True)
    ]
    print(report(runs))


if __name__ == "__main__":
    main()
