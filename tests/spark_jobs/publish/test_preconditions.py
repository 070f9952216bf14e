"""Preconditions of publishing: the error of each night that is refused."""

from datetime import datetime
from types import ModuleType

import pytest

from spark_jobs.night import Night
from spark_jobs.publish.commit import StagedRows
from spark_jobs.publish.preconditions import NotAudited, NothingToPublish, check_publishable
from spark_jobs.warehouse.tables import Tables

EARLIER, LATER = datetime(2000, 1, 1), datetime(3000, 1, 1)


def test_a_night_without_an_audit_is_refused(tables: Tables, night: Night) -> None:
    with pytest.raises(NotAudited, match=r"night 2026-01-31 has no results in .*audit_results"):
        check_publishable(tables, night, [StagedRows("items", 3, EARLIER)])


def test_a_failed_audit_is_refused_and_named(
    tables: Tables, night: Night, staging: ModuleType
) -> None:
    staging.audit(tables, night, success=False)
    with pytest.raises(
        NotAudited,
        match=r"item_embeddings, unit_norm\(embedding\): expected norm 1, seen norm 7",
    ):
        check_publishable(tables, night, [StagedRows("items", 3, EARLIER)])


def test_rows_staged_after_the_audit_are_not_published(
    tables: Tables, night: Night, staging: ModuleType
) -> None:
    staging.audit(tables, night)
    check_publishable(tables, night, [StagedRows("items", 3, EARLIER)])
    late = [StagedRows("items", 3, EARLIER), StagedRows("spus", 1, LATER)]
    with pytest.raises(NotAudited, match="rows of spus were staged after the audit"):
        check_publishable(tables, night, late)
    with pytest.raises(NothingToPublish, match="staged no row in any table"):
        check_publishable(tables, night, [StagedRows("items", 0, None)])
