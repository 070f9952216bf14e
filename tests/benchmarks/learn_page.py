"""The page of LEARN's results, from the pieces that were measured."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from kept_pieces import KeptPieces, Piece
from result_tables import table

_SHOPS: Mapping[str, str] = {
    "amazon_beauty14": "Amazon Beauty",
    "online_retail_ii": "Online Retail II",
}
_METRICS: Mapping[str, str] = {
    "recall@10": "R@10",
    "ndcg@10": "N@10",
    "recall@10_unmasked": "R@10, repeats count",
    "ndcg@10_unmasked": "N@10, repeats count",
    "recall@10_rare": "R@10, items of at most 5 events",
    "ndcg@10_debiased": "N@10, debiased",
    "coverage@10": "coverage@10",
    "recall@10_shuffled": "R@10, days shuffled",
    "ndcg@10_shuffled": "N@10, days shuffled",
}
_PAPER_METRICS: Mapping[str, str] = {
    "watched": "watched N@10",
    "recall@10": "R@10",
    "ndcg@10": "N@10",
    "recall@100": "R@100",
}
_RULES = (
    *("popularity", "recent_popularity", "own_items_again", "nearest_text"),
    *("neighbour_blend", "history_blend"),
)
Figures = Mapping[str, float]

# From here on a page is written by hand, and goes from the last page into the next.
BY_HAND = "## The constants of the rule"


def sections_by_hand(pages: Iterable[Path], begin: str = BY_HAND) -> list[str]:
    """Return what was written by hand in the newest of some pages, from a heading on."""
    newest = max(pages, default=None)
    _, head, rest = ("", "", "") if newest is None else newest.read_text().partition(begin)
    return [f"{head}{rest}".rstrip()] if head else []


def page_sections(pieces: KeptPieces, *, parts: Sequence[str], paper: Sequence[str]) -> list[str]:
    """Return the sections that pieces are there for."""
    sections = [_shop_section(pieces, shop) for shop in _SHOPS]
    sections += [_train_only(pieces), _runs_shuffled(pieces)]
    sections += [_parts_section(pieces, shop, parts) for shop in _SHOPS]
    sections += [_paper_section(pieces, shop, paper) for shop in _SHOPS]
    return [section for section in sections if section]


def _shop_section(pieces: KeptPieces, shop: str) -> str:
    seeds = pieces.find(f"{shop}.learn.")
    sasrec = _rows(pieces.find(f"{shop}.sasrec.").values(), "sasrec")
    smollm2 = _rows(pieces.find(f"{shop}.smollm2.").values(), "vectors")
    rows = {
        **_rule_rows(pieces, f"{shop}.rules"),
        "SASRec": sasrec,
        **_learn_rows(seeds),
        "LEARN, vectors alone, from SmolLM2": smollm2,
    }
    return "\n\n".join([f"## {_SHOPS[shop]}", _table(rows), _runs(seeds)])


def _train_only(pieces: KeptPieces) -> str:
    seeds = pieces.find("amazon_beauty14.train-only.")
    rows = {**_rule_rows(pieces, "amazon_beauty14.train-only-rules"), **_learn_rows(seeds)}
    if not any(rows.values()):
        return ""
    head = "## Amazon Beauty, counts and training without the last item but one"
    return "\n\n".join([head, _table(rows), _runs(seeds)])


def _rule_rows(pieces: KeptPieces, name: str) -> dict[str, list[Figures]]:
    """Return the rows of what needs no gradient; none where it has not been measured."""
    rules = pieces.find(name).get("")
    if rules is None:
        return {}
    rows = {rule: [rules["rows"][rule]] for rule in _RULES}
    rows[f"EASE, ridge {rules['ridge']:g}"] = [rules["rows"]["ease"]]
    return rows


def _learn_rows(seeds: Mapping[str, Piece]) -> dict[str, list[Figures]]:
    return {
        "the rule that LEARN learned from": _rows(seeds.values(), "rule"),
        "**LEARN, vectors alone**": _rows(seeds.values(), "vectors"),
        "**LEARN + rule**": _rows(seeds.values(), "both"),
    }


def _runs_shuffled(pieces: KeptPieces) -> str:
    share, seeds = pieces.find("runs-shuffled.share").get(""), pieces.find("runs-shuffled.learn.")
    if share is None:
        return ""
    head = "## Amazon Beauty, runs of rising ASINs shuffled before the split"
    rising = (
        f"{share['rising']:.1%} of the users' last two items stand in the order of their ASINs."
    )
    rows = {**_rule_rows(pieces, "runs-shuffled.rules"), **_learn_rows(seeds)}
    return "\n\n".join([head, rising, _table(rows)])


def _parts_section(pieces: KeptPieces, shop: str, parts: Sequence[str]) -> str:
    rows = {"all": _rows(pieces.find(f"{shop}.learn.").values(), "vectors")}
    for part in parts:
        rows[part] = _rows(pieces.find(f"{shop}.part.{part}.").values(), "vectors")
    if not any(rows[part] for part in parts):
        return ""
    return f"## {_SHOPS[shop]}: parts of LEARN left out or changed, vectors alone\n\n{_table(rows)}"


def _paper_section(pieces: KeptPieces, shop: str, paper: Sequence[str]) -> str:
    found = {name: pieces.find(f"{shop}.paper.{name}.") for name in paper}
    if not any(found.values()):
        return ""
    rows = {"no alignment: content as is, both sides": _rows(found[paper[0]].values(), "untrained")}
    for name, seeds in found.items():
        rows[name] = _rows(seeds.values(), "best")
    for name, seeds in found.items():
        rows[f"{name}, last epoch"] = _rows(seeds.values(), "last")
    head = f"## {_SHOPS[shop]}: the paper's towers, by the order of its ablations"
    return f"{head}\n\n{_table(rows, _PAPER_METRICS)}"


def _runs(seeds: Mapping[str, Piece]) -> str:
    """Return the course of each training, as a table; nothing where there is none."""
    if not seeds:
        return ""
    columns = ["seed", "watched N@10 by epoch", "rule there", "rule", "weight"]
    columns += ["vectors - rule, held out", "both - rule, held out", "seconds", "commit"]
    return table(
        columns,
        [
            [
                seed,
                ", ".join(f"{figure:.4f}" for figure in piece["curve"]),
                f"{piece['watched_rule']:.4f}",
                piece["teacher"],
                f"{piece['weight']:g}",
                *(_lead(piece["leads"][name]) for name in ("vectors", "both")),
                f"{piece['seconds']:.0f}",
                piece["commit"],
            ]
            for seed, piece in seeds.items()
        ],
    )


def _lead(lead: Figures) -> str:
    return f"{lead['mean']:+.4f} ({lead['low']:+.4f} to {lead['high']:+.4f})"


def _rows(pieces: Iterable[Piece], name: str) -> list[Figures]:
    return [piece["rows"][name] for piece in pieces]


def _table(rows: Mapping[str, Sequence[Figures]], metrics: Mapping[str, str] = _METRICS) -> str:
    """Return a table of means over seeds with their spread; rows without a seed are left out."""
    there = {name: seeds for name, seeds in rows.items() if seeds}
    if not there:
        return "Not measured yet."
    shown = [m for m in metrics if all(m in seeds[0] for seeds in there.values())]
    cells = [
        [name, len(seeds), *(_cell([its[metric] for its in seeds]) for metric in shown)]
        for name, seeds in there.items()
    ]
    return table(["", "seeds", *(metrics[metric] for metric in shown)], cells)


def _cell(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{spread}"
