"""``embedmill dictionary``: the data dictionary, made from the contracts."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from spark_jobs.commands.progress import working
from spark_jobs.commands.session import notes
from spark_jobs.config import FeatureStoreConfig, SparkConfig


def dictionary(
    output: Annotated[Path, typer.Option(help="file to write; - is stdout")] = Path(
        "docs/data-dictionary.md"
    ),
    repo: Annotated[
        str, typer.Option(help="folder of Feast's definitions")
    ] = FeatureStoreConfig().repo,
) -> None:
    """Write the data dictionary: every table and column. Needs no warehouse."""
    from spark_jobs.engine.session import build_session
    from spark_jobs.publish.feast_definitions import views_by_table
    from spark_jobs.queries.data_dictionary import data_dictionary

    log = Path(tempfile.gettempdir()) / "embedmill-dictionary.log"
    with working(notes, "read the contracts"):
        build_session(SparkConfig(driver_memory="1g"), log=log, quick=True)  # it reads their DDL
        page = data_dictionary(views_by_table(repo))
    if str(output) == "-":
        print(page, end="")
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page, encoding="utf-8")
    notes.print(f"wrote {output}", highlight=False)
