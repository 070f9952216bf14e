"""``embedmill similar``: the SPUs nearest to a text, a picture, an item, an SPU or a user."""

from typing import Annotated, Literal

import typer

from spark_jobs.commands.output import FormatOption, print_result
from spark_jobs.commands.session import ConfigOption, open_to_read
from spark_jobs.config import load_config
from spark_jobs.runs.night_run import import_ahead

Domain = Literal["page", "video", "live"]
_MOST = 1000


def similar(
    config: ConfigOption,
    text: Annotated[str | None, typer.Option(help="words, such as a title")] = None,
    image: Annotated[
        list[str] | None, typer.Option(help="picture file; repeat it for more, or add --text")
    ] = None,
    item: Annotated[
        str | None,
        typer.Option(help="item_id in --domain; of a scene, its parts are looked up too"),
    ] = None,
    spu: Annotated[
        str | None, typer.Option(help="spu_id; of a merged one, its survivor is used")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="user_id: the SPUs nearest to the user's vector")
    ] = None,
    domain: Annotated[
        Domain | None,
        typer.Option(
            help="domain of --text, --image or --item", show_default="page; of a --scene, live"
        ),
    ] = None,
    scene: Annotated[
        bool, typer.Option("--scene", help="--image shows several products: look up its parts too")
    ] = False,
    top: Annotated[int, typer.Option(min=1, max=_MOST, help="number of SPUs")] = 10,
    form: FormatOption = "table",
) -> None:
    """Rank the SPUs of the last published night by cosine, with the live release's vectors."""
    from spark_jobs.queries.similar import Query, check_usable, similar_spus
    from spark_jobs.queries.views import Catalog

    is_new = text is not None or bool(image)
    if is_new + (item is not None) + (spu is not None) + (user is not None) != 1:
        raise typer.BadParameter("give one of --text and/or --image, --item, --spu, --user")
    if domain is not None and not is_new and item is None:
        raise typer.BadParameter("--domain goes with --text, --image or --item alone; leave it out")
    if scene and (text is not None or not image):
        raise typer.BadParameter("--scene goes with --image alone; leave out the others")
    settings = load_config(config)
    default = "live" if scene else "page"
    query = Query(text, image or (), domain or default, item, spu, user, is_scene=scene)
    check_usable(query, settings.ingest)
    if is_new:  # torch takes as long to import as Spark to start
        import_ahead(["encoders.loading", "encoders.cope.features", "transformers"])
    catalog = Catalog(open_to_read(settings))
    print_result(similar_spus(catalog, settings, query, top), form, limit=top)
