"""Lead to the documentation's routes, and build them at the first request."""

from fastapi import APIRouter

from image_upload.web.routing import LazyRouter


def router() -> LazyRouter:
    """Return the router of the page `/docs`, the text for language models and the icon."""

    def build() -> APIRouter:
        from image_upload.web.documentation import routes  # 2 ms

        return routes.router()

    return LazyRouter(("/docs", "/llms.txt", "/favicon.ico"), build)
