"""``embedmill similar``: the SPUs nearest to a text, a picture, an SPU or a user."""

from typing import Annotated, Literal

import typer

from spark_jobs.commands.output import FormatOption, give
from spark_jobs.commands.session import ConfigOption, open_to_read
from spark_jobs.config import load_config
from spark_jobs.runs.night_run import import_ahead

Domain = Literal["page", "video", "live"]
_MOST = 1000


def similar(
    config: ConfigOption,
    text: Annotated[str | None, typer.Option(help="words, as a title has them")] = None,
    image: Annotated[
        list[str] | None, typer.Option(help="picture file; may be repeated, and go with --text")
    ] = None,
    spu: Annotated[str | None, typer.Option(help="spu_id; a merged one is its survivor")] = None,
    user: Annotated[str | None, typer.Option(help="user_id: SPUs to the user's taste")] = None,
    domain: Annotated[
        Domain | None, typer.Option(help="what --text and --image are of", show_default="page")
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=_MOST, help="how many SPUs")] = 10,
    form: FormatOption = "table",
) -> None:
    """Rank the SPUs of the last published night by cosine, with the live release's vectors."""
    from spark_jobs.queries.ranking import similar_spus
    from spark_jobs.queries.similar import Question, check_usable
    from spark_jobs.queries.views import Catalog

    is_item = text is not None or bool(image)
    if is_item + (spu is not None) + (user is not None) != 1:
        raise typer.BadParameter("give one of --text and/or --image, --spu, --user")
    if domain is not None and not is_item:
        raise typer.BadParameter("--domain says what --text and --image are of; leave it out")
    settings = load_config(config)
    question = Question(text, image or (), domain or "page", spu, user)
    check_usable(question, settings.ingest)
    if is_item:  # torch takes as long to import as Spark to start
        import_ahead(["encoders.loading", "encoders.cope.features", "transformers"])
    catalog = Catalog(open_to_read(settings))
    give(similar_spus(catalog, settings, question, top), form, limit=top)
