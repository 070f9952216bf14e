"""``embedmill report``: write the report of a night again."""

from spark_jobs.commands.progress import working
from spark_jobs.commands.session import ConfigOption, NightOption, console, open_tables
from spark_jobs.config import load_config
from spark_jobs.night import Night


def report(config: ConfigOption, ds: NightOption) -> None:
    """Write the report of a night again, even of one that the audit stopped; print its path."""
    from spark_jobs.report.job import run

    settings, night = load_config(config), Night.parse(ds)
    tables = open_tables(settings)
    with working(console, f"report of {night}"):
        run(tables, settings, night)
    console.print(tables.layout.report(night), highlight=False, soft_wrap=True)
