"""The settings of the upload page."""

from image_upload.settings.section import Known, Section, setting


def _page(value: bool | None, known: Known) -> bool:
    return not known.production if value is None else value


class PageSettings(Section):
    """Whether there is a page for people."""

    # --- The page --------------------------------------------------------------------------------------

    serves_page: bool = setting(
        "PAGE",
        default=None,
        description="true or false",
        check=_page,
    )
    """Whether browsers get a page to upload files on at `GET /`: docs/page.md. Other clients get JSON there, as all
    clients do without the page. `GET /client.js` is served in either case."""
