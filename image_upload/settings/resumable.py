"""The settings of uploads that go on after an interruption."""

from image_upload.settings.section import Section, setting


class ResumableSettings(Section):
    """Whether the service takes files in appends."""

    # --- Uploads ---------------------------------------------------------------------------------------

    resumable: bool = setting(
        "RESUMABLE",
        default=True,
        description="true or false: /resumable, for tus and the IETF protocol",
    )
    """Whether clients may send a file through the service in any number of requests, and go on after an interruption:
    docs/resumable.md. A direct upload is cheaper, where a client can reach S3."""
