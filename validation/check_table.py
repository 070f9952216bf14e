"""Table of the audit's checks: what each holds against which limit, why there, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass

from spark_jobs.contracts import (
    ACTIONS,
    DOMAINS,
    ENCODED,
    INTERACTIONS,
    ITEM_EMBEDDINGS,
    ITEMS,
    PUBLISHED,
    QUARANTINE,
    SPU_EVENTS,
    SPU_MEMBERS,
    SPU_SEMANTIC_IDS,
    SPUS,
    USER_EMBEDDINGS,
)
from validation.measurements.rows import LEVELS
from validation.measurements.vectors import CHANGED_FLOORS, POPULATION_FLOORS

# A limit, or the setting that holds it, such as "audit.min_coverage".
Limit = float | str | None


@dataclass(frozen=True)
class Check:
    """A row of the table: one check of one or several tables.

    Attributes:
        name: in ``audit_results``.
        tables: names of the checked tables.
        column: of the row profile (``measurements/rows.py``): each staged row is checked.
        figures: of the night (``measurements/``), for checks of no rows.
        at_least: the column or figure is at least this.
        at_most: and at most this. A figure may bring a limit of its own.
        below: the column is below this.
        values: those that the column may have. Without values and limits it must be null.
        mostly: least share of the rows that must pass.
        measure: of a row check, in ``audit_results``; ``{column}`` and ``{keys}`` are filled in.
        expected: for people. ``{at_least}``, ``{at_most}``, ``{column}``, ``{values}`` and
            ``{noun}`` (what the table's rows are) are filled in; ``{limit}`` is ``at_most`` of a
            figure with three decimals.
        advice: what to do where the check fails.
        evidence: why the limit is where it is.
    """

    name: str
    tables: Sequence[str]
    column: str = ""
    figures: Sequence[str] = ()
    at_least: Limit = None
    at_most: Limit = None
    below: float | None = None
    values: Sequence[str | bool] = ()
    mostly: float = 1.0
    measure: str = ""
    expected: str = ""
    advice: str = ""
    evidence: str = ""


_EVERY = [table.name for table in PUBLISHED]
_OF_DOMAINS = [table.name for table in PUBLISHED if "domain" in table.keys]
_VECTORS = [table.name for table in PUBLISHED if table.vectors]
_WITHOUT_ORPHANS = [name for name in ENCODED if name != USER_EMBEDDINGS.name]
_CODES, _PAGES = [SPU_SEMANTIC_IDS.name], [SPU_MEMBERS.name]
_DRIFT = [f"drift_{e}" for e in POPULATION_FLOORS] + [f"changed_drift_{e}" for e in CHANGED_FLOORS]

_BLANK = "An input of the encoder went blank: compare pictures and titles of rows that share a "
_COLLAPSED = (
    "The encoder collapsed or its input is blank: do not promote it; look at metrics.json and some "
    "inputs."
)
_NOT_ENCODED = (
    "Look in quarantine for what could not be encoded; if nothing is there, run the embedding "
    "stages again."
)
_TRAIN_CODES = "Train the semantic ids again on the current vectors, as part of a new release."


def _known_values(tables: Sequence[str], column: str, values: Sequence[str]) -> Check:
    expected = "{column} is one of {values}"
    advice = (
        "The contract does not list the value: mend the stage, or add the value to "
        "spark_jobs/contracts.py."
    )
    return Check(
        "known_values", tables, column, measure="{column}", values=values, expected=expected,
        advice=advice,
    )  # fmt: skip


def _in_range(table: str, column: str, least: Limit, most: Limit, expected: str) -> Check:
    advice = (
        "Find the rows by their keys in the staged table, and the stage or feed that wrote the "
        "number."
    )
    return Check(
        "in_range", [table], column, measure="{column}", at_least=least, at_most=most,
        expected=expected, advice=advice,
    )  # fmt: skip


def _references(table: str, figures: Sequence[str], expected: str) -> Check:
    advice = "The stages ran on different nights or inputs: run the night again from the spu stage."
    return Check(
        "references_kept", [table], figures=figures, at_most=0, expected=expected, advice=advice
    )


# Laid out by hand: a check's name, tables, measure and limits stand on its first line.
# fmt: off
CHECKS = (
    # Every table.
    Check("schema_kept", _EVERY, figures=["schema_differences"], at_most=0,
          expected="the columns of spark_jobs/contracts.py, with their types",
          advice="The staged table is of another version of the contract: see CHANGELOG for how to "
                 "carry it over."),
    Check("unique_keys", _EVERY, "rows_of_key", measure="{keys}", at_least=1, at_most=1,
          expected="one row a key",
          advice="Two rows of one key and night: the stage that wrote them must choose one."),
    Check("no_nulls", _EVERY, "nulls",
          expected="no null in a column that the contract declares NOT NULL",
          advice="Find the stage that wrote the table: it must fill these columns in or quarantine "
                 "the row."),
    Check("fresh", _EVERY, "seconds_off", at_least=0, at_most=0,
          expected="event_timestamp is the end of the night",
          advice="Rows of another night were staged: run the night again from the stage that wrote "
                 "them."),
    _known_values(_OF_DOMAINS, "domain", DOMAINS),

    # Items, interactions and SPUs.
    Check("not_empty", [ITEMS.name, SPUS.name], figures=["rows"], at_least=1,
          expected="at least one active row",
          advice="A night without rows is not published: check the feeds, and that the stages "
                 "before ran for this night."),
    Check("volume_kept", [ITEMS.name, SPUS.name], figures=["row_drop"],
          at_most="audit.max_row_drop",
          expected="at most {at_most:.0%} fewer {noun} than the night before",
          advice="A snapshot feed may have come cut short: compare its size with yesterday's. If "
                 "the loss is meant, raise audit.max_row_drop for this night."),
    Check("few_changes", [ITEMS.name], figures=["changed"], at_most=0.2,
          expected="at most {at_most:.0%} of the rows of the night before change content",
          advice="Look at some changed rows beside yesterday's: are pictures or titles those of "
                 "the item?",
          evidence="The demo's night two changes 1.3%, its broken feed with half of the pictures "
                   "grey 30%. A catalogue that changes by a fifth in one night is being migrated, "
                   "and deserves a look."),
    Check("few_shared_pictures", [ITEMS.name], figures=["shared_pictures"], at_most=0.1,
          expected="at most {at_most:.0%} of new or changed items show a picture that many others "
                   "show",
          advice="Open the picture: a grey or 'no image' placeholder means that the feed's picture "
                 "export is broken.",
          evidence="A placeholder stands where pictures could not be delivered: all 227 changed "
                   "items of the demo's broken night show one, none of its other nights' 749 and "
                   "41 do."),
    _in_range(ITEMS.name, "price", 0, "ingest.max_price",
              "price between {at_least} and {at_most:,.0f}, where there is one"),
    _known_values([INTERACTIONS.name], "action", ACTIONS),
    Check("no_future_events", [INTERACTIONS.name], "seconds_late", below=0,
          expected="occurred_at is before the end of the night",
          advice="Ingest should have quarantined these events: check the clock and the time zone "
                 "of their feed."),
    _references(INTERACTIONS.name, ["unknown_items"],
                "every event is about an item that some night has taken in"),
    _in_range(SPUS.name, "n_items", 1, None, "every SPU has a member"),
    _references(SPUS.name, ["miscounted"], "n_items is the number of the SPU's members"),
    _known_values(_PAGES, "assigned_by", ("attributes", "link")),
    _in_range(SPU_MEMBERS.name, "confidence", 0, 1, "confidence between 0 and 1"),
    Check("coverage", _PAGES, figures=["grouped_pages"], at_least="audit.min_coverage",
          expected="at least {at_least:.0%} of active pages have an SPU", advice=_NOT_ENCODED),
    _references(SPU_MEMBERS.name, ["no_item", "no_spu"],
                "every member is an active item of an active SPU"),
    _known_values([SPU_EVENTS.name], "event", ("created", "merged", "split", "retired")),
    _references(SPU_EVENTS.name, ["contradicting", "unexplained"],
                "SPUs come and go as their events say"),
    Check("little_churn", [SPU_EVENTS.name], figures=["churn"], at_most=0.25,
          expected="at most {at_most:.0%} of the SPUs of the night before are merged or retired",
          advice="Compare spu_events with the items that changed; a new cut or a broken attribute "
                 "regroups everything.",
          evidence="Ids outlive items by design: the demo's nights merge and retire none of 202 "
                   "SPUs, though 7% of items change, come or go. A grouping gone wrong, by a "
                   "changed cut, takes a large part."),

    # Vectors.
    Check("vector_fits", _VECTORS, "vector_fits", values=[True],
          expected="a vector in active rows, none in tombstones",
          advice="The stage must write a tombstone where there is no vector, and null vectors in "
                 "tombstones."),
    Check("dimension", _VECTORS, "dimension",
          expected="as many numbers as the encoder says",
          advice="The encoder's folder is not the one that made the vectors, or no served release "
                 "has it: restore it, or run the stage again."),
    Check("no_nan", _VECTORS, "has_nan", values=[False],
          expected="no NaN, infinity or null within a vector",
          advice="An encoder overflowed or divided by zero: try encoding.precision = float32, and "
                 "look at the rows' input."),
    Check("unit_norm", _VECTORS, "norm", at_least=0.999, at_most=1.001,
          expected="L2 norm between {at_least} and {at_most}",
          advice="The encoder must normalise in float32, as its last step.",
          evidence="float32 rounding leaves 1e-6; norms of vectors normalised in bfloat16 came out "
                   "at 1.003."),
    Check("part_vectors_fit", [ITEM_EMBEDDINGS.name], "part_misfit", at_least=0, at_most=0.001,
          expected="vectors of parts as wide as the encoder says, of an L2 norm within {at_most} "
                   "of 1, and none in tombstones",
          advice="The stage must run parts of scenes through the encoder of the whole, and leave "
                 "out those that have no vector.",
          evidence="As unit_norm."),
    Check("few_duplicates", _VECTORS, "same_as_other", values=[False], mostly=0.8,
          expected="at most 20% of vectors are also the vector of another content",
          advice=f"{_BLANK}vector.",
          evidence="Contents that differ in what an encoder does not read (text past its 32 "
                   "tokens) share vectors; none of the demo's do. An input that went blank gives "
                   "half of the rows the same, or all."),
    Check("canaries", _VECTORS, "cosine_to_last", at_least=0.999,
          expected="cosine of at least {at_least} with the last published vector where the content "
                   "is the same",
          advice="The encoder is not the one its version names: check library versions, device "
                 "and precision.",
          evidence="Batches of other make-up move a float32 vector by 1e-6, bfloat16 by up to 3e-4 "
                   "in cosine."),
    Check("coverage", list(ENCODED), figures=["coverage"], at_least="audit.min_coverage",
          expected="at least {at_least:.0%} of {noun} have a vector of their present content",
          advice=_NOT_ENCODED),
    Check("no_orphans", _WITHOUT_ORPHANS, figures=["orphans"], at_most=0,
          expected="no vector of a key that is gone",
          advice="Tombstones are missing: run the night again from the stage of this table."),
    Check("spread", _VECTORS, figures=["mean_cosine"], at_most=0.95,
          expected="mean cosine of two vectors at most {at_most}", advice=_COLLAPSED,
          evidence="Raw states of the language model, of no use for comparing, lie above 0.99 "
                   "(135M parameters). The demo's vectors: 0.00 (COPE) and 0.53 (LEARN)."),
    Check("effective_rank", _VECTORS, figures=["effective_rank"], at_least=3,
          expected="at least {at_least} directions in use", advice=_COLLAPSED,
          evidence="Identical vectors give 1, two clumps of them little more. The demo's vectors: "
                   "53 (COPE of 751 items, 128-d), 43 (202 SPUs), 22 (LEARN, 202 SPUs, 64-d), 21 "
                   "(1,000 users)."),
    Check("few_near_identical", _VECTORS, figures=["near_identical"], at_most=0.2,
          expected="at most {at_most:.0%} of vectors point where one of another content does "
                   "(cosine above 0.9999)",
          advice=f"{_BLANK}direction.",
          evidence="None of the demo's vectors is that close to one of other content; a collapsed "
                   "space is 100%."),
    Check("no_drift", _VECTORS, figures=_DRIFT, expected="effect size at most {limit}",
          advice="The encoder is the same, so its input changed: look at some changed rows beside "
                 "yesterday's. If the change is meant, release a new encoder version on it.",
          evidence="The larger of what is of no consequence and what two random parts of the "
                   "published vectors differ by: see validation/measurements/drift.py."),

    # Semantic ids.
    *[Check("code_in_codebook", _CODES, level, measure="{column}",
            expected="{column} of the codebook, or null in tombstones",
            advice="Find the rows by their keys in the staged table, and run the stage "
                   "spu_embeddings again.")
      for level in LEVELS],
    Check("codebook_used", _CODES, figures=["codebook_use"], at_least=0.5,
          expected="at least {at_least:.0%} of the first codes that this many SPUs can reach are "
                   "in use",
          advice=_TRAIN_CODES,
          evidence="k-means leaves no cell empty on the vectors it was made from; half empty means "
                   "that SPUs moved away from it."),
    Check("codes_balanced", _CODES, figures=["code_entropy"], at_least=0.5,
          expected="entropy of the first code at least {at_least:.0%} of the most it can be",
          advice=_TRAIN_CODES,
          evidence="Cells of k-means on clustered data differ in size, but not by much: 0.97 in "
                   "the demo."),
    Check("few_collisions", _CODES, figures=["collisions"], at_most="audit.max_collisions",
          expected="at most {at_most:.0%} of SPUs share their code with one of other content",
          advice="Train the semantic ids again with a larger semantic_ids.codebook_size, as part "
                 "of a new release. Where products are that much alike, raise "
                 "audit.max_collisions.",
          evidence="A ranker reads codes as ids: where half of the SPUs share theirs, ids say no "
                   "more than a category. A night gives no two contents the same codes while there "
                   "are triples left; those that shared theirs before December 2026 keep them."),

    # Feeds and stages.
    Check("few_refused", [QUARANTINE.name], figures=["refused", "unreadable_parts"],
          at_most="audit.max_quarantined",
          expected="at most {at_most:.0%} of rows go to quarantine (lower end of the 95% interval)",
          advice="Read payload and reason in the quarantine table; ask the source for a new feed, "
                 "then run the night again."),
)
# fmt: on
