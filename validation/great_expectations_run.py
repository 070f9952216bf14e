"""Runs of Great Expectations over Spark frames, and the site that it makes of them."""

import tempfile
from collections.abc import Sequence
from copy import copy
from typing import Any

import fsspec
import great_expectations as gx
from great_expectations.expectations.expectation import Expectation
from pyspark.sql import DataFrame

# Whether each check passed costs one Spark job a frame; the unexpected values of a failed one cost
# one more each, so only failed ones are run for them.
_VERDICT = "BOOLEAN_ONLY"
_DETAILS = {"result_format": "BASIC", "partial_unexpected_count": 5}

_SITE = "audit"


class ExpectationRuns:
    """The expectations that were run for one night, in memory."""

    def __init__(self, night: str) -> None:
        self._night = night
        self._context = gx.get_context(mode="ephemeral")
        # Nothing of a night leaves the machine.
        self._context.variables.analytics_enabled = False
        self._context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        self._source = self._context.data_sources.add_spark("night", persist=False)

    def on_rows(
        self, name: str, frame: DataFrame, expectations: Sequence[Expectation]
    ) -> list[Any]:
        """Return one result an expectation; a failed one has the first few unexpected values."""
        results = self._run(name, frame, expectations, _VERDICT)
        failed = [result for result in results if not result.success]
        if not failed:
            return results
        names = {result.expectation_config.meta["check"] for result in failed}
        again = [copy(e) for e in expectations if e.meta["check"] in names]
        passed = [result for result in results if result.success]
        return passed + self._run(f"{name}, failures", frame, again, _DETAILS)

    def on_figures(self, frame: DataFrame, expectations: Sequence[Expectation]) -> list[Any]:
        """Return one result an expectation about a frame of one row."""
        return self._run("figures", frame, expectations, "BASIC")

    def write_site(self, folder: str) -> None:
        """Write Great Expectations' own pages, on any file system that fsspec knows.

        They load style and script from servers outside.
        """
        with tempfile.TemporaryDirectory() as local:
            self._context.add_data_docs_site(site_name=_SITE, site_config=_site(local))
            # A context has a site of its own too, whose pages would stay behind in /tmp.
            self._context.build_data_docs(site_names=[_SITE])
            filesystem, root = fsspec.url_to_fs(folder)
            filesystem.put(f"{local}/", f"{root}/", recursive=True)

    def _run(
        self,
        name: str,
        frame: DataFrame,
        expectations: Sequence[Expectation],
        form: str | dict[str, Any],
    ) -> list[Any]:
        asset = self._source.add_dataframe_asset(name)
        batch = asset.add_batch_definition_whole_dataframe(self._night)
        suite = self._context.suites.add(
            gx.ExpectationSuite(name=name, expectations=list(expectations))
        )
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        run = self._context.validation_definitions.add(definition)
        return list(run.run(batch_parameters={"dataframe": frame}, result_format=form).results)


def _site(folder: str) -> dict[str, Any]:
    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": folder},
    }
