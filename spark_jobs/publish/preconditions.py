"""Preconditions of publishing: staged rows that the audit has passed, of every served release."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Row

from spark_jobs.contracts import AUDIT_RESULTS, ENCODED, NIGHTS
from spark_jobs.night import Night
from spark_jobs.publish.commit import StagedRows
from spark_jobs.releases.release import Release
from spark_jobs.warehouse.ledgers import CHECK_PARTS, check_label
from spark_jobs.warehouse.tables import Tables


class NotAudited(ValueError):
    """Tonight's staged rows have not passed the audit."""


class NotEncoded(ValueError):
    """Tonight's stages have not encoded for a release that is served."""


class NotPublished(ValueError):
    """The night's rows are not in the served tables."""


class NothingToPublish(ValueError):
    """There are no rows at all, and there never were."""


def check_publishable(tables: Tables, night: Night, rows: Sequence[StagedRows]) -> None:
    """Pass if the audit of the night has read all staged rows and passed them.

    Args:
        rows: tonight's staged rows, an entry for each table.

    Raises:
        NotAudited: the night has no audit, a check failed, or rows were staged after the audit.
        NothingToPublish: no table has a staged row, and none was ever published.
    """
    of_tonight = tables.recorded(AUDIT_RESULTS, night, "validation")
    results = of_tonight.orderBy("table_name", *CHECK_PARTS).collect()
    if not results:
        raise NotAudited(
            f"night {night} has no results in {tables.path(AUDIT_RESULTS)}. "
            "Run the validation stage first."
        )
    failed = [result for result in results if not result["success"]]
    if failed:
        raise NotAudited(
            f"night {night} failed its audit: {'; '.join(_described(check) for check in failed)}. "
            "Nothing was published. Mend the input and run the night again."
        )
    audited_at = min(result["created_timestamp"] for result in results)
    late = [table.name for table in rows if table.newest is not None and table.newest > audited_at]
    if late:
        raise NotAudited(
            f"night {night}: rows of {', '.join(late)} were staged after the audit ({audited_at}). "
            "Run the validation stage again."
        )
    if not any(table.rows for table in rows) and tables.last_published() is None:
        raise NothingToPublish(
            f"night {night} staged no row in any table, and nothing was ever published. "
            "Check that the sources of the configuration are the ones you mean."
        )


def check_encoded(
    night: Night, served: Sequence[Release], versions: Mapping[str, Sequence[str]]
) -> None:
    """Pass if tonight's stages have encoded for every release that is served.

    One that was validated after they ran would miss the night for good: a later night encodes only
    its own changes.

    Args:
        versions: table -> encoder versions that the stages encoded with.

    Raises:
        NotEncoded: they have not; the message names the releases and the tables.
    """
    missed = [
        f"{release.name} in {table}"
        for release in served
        for table, kind in ENCODED.items()
        if release.encoders[kind] not in versions[table]
    ]
    if missed:
        raise NotEncoded(
            f"releases were validated after night {night} was encoded: it has no vectors of "
            f"{', '.join(missed)}. Run it again from item_embeddings (embedmill run "
            f"--config CONFIG --ds {night} --from item_embeddings; under Airflow, clear "
            "item_embeddings with all downstream). Nothing was published."
        )


def check_published(tables: Tables, night: Night) -> None:
    """Pass if publish has copied the night's rows.

    Raises:
        NotPublished: it has not.
    """
    if tables.recorded(NIGHTS, night, "publish").isEmpty():
        raise NotPublished(f"night {night} is not published yet. Run the publish stage first.")


def _described(result: Row) -> str:
    check = check_label(*(result[name] for name in CHECK_PARTS))
    return f"{result['table_name']}, {check}: expected {result['expected']}, seen {result['seen']}"
