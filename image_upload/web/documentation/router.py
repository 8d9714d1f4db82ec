"""The way to what is read about the service: it is built by the first request for any of it."""

from fastapi import APIRouter

from image_upload.web.routing import LazyRouter


def router() -> LazyRouter:
    """The page `/docs`, the text for language models, the icon."""

    def build() -> APIRouter:
        from image_upload.web.documentation import routes  # 2 ms

        return routes.router()

    return LazyRouter(("/docs", "/llms.txt", "/favicon.ico"), build)
