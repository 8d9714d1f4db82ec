"""The settings of what may be uploaded."""

from image_upload.settings.section import Section, setting


class UploadSettings(Section):
    """What the table of purposes takes."""

    # --- Uploads ---------------------------------------------------------------------------------------

    allow_gif: bool = setting(
        "ALLOW_GIF",
        default=False,
        description="true or false: GIF as an image type",
    )
    """GIF as one more image type. Off, because an animated GIF is a video in a costly format."""
