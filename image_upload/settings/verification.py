"""The settings of what happens to files that arrived."""

from typing import Literal

from image_upload.domain.purposes import Variant
from image_upload.settings.section import Known, Section, setting


def _variants(value: tuple[str, ...], _known: Known) -> tuple[Variant, ...]:
    """Return the variants that entries such as `thumb:320` name. Raises `ValueError`."""
    if not value:
        return ()
    from image_upload.domain import purpose_file  # milliseconds, with the TOML parser

    return purpose_file.variants(",".join(value))


def _published_after_it(scanner: str, known: Known) -> str:
    """Raise `ValueError` for a scanner that would have nothing to scan: files that never are under `incoming/`."""
    if scanner != "off" and known.get("verify", "publish") != "publish":
        raise ValueError("without VERIFY=publish files are readable before they are scanned")
    return scanner


def _wanted_by_clamd(url: str | None, known: Known) -> str | None:
    """Raise `ValueError` where clamd's address is missing, or impossible. Where a function verifies, it has one."""
    if url is None and known.get("malware_scanner") == "clamd" and known.get("verifier") == "self":
        raise ValueError("missing; MALWARE_SCANNER is clamd")
    if url is not None and url.startswith("tcp:") and not 0 < int(url.rpartition(":")[2]) <= 65_535:
        raise ValueError("no port")
    return url


class VerificationSettings(Section):
    """Whether files are looked at, what of pictures is allowed, and what is made of them."""

    # --- Verification ----------------------------------------------------------------------------------

    verify: Literal["off", "report", "publish"] = setting(
        "VERIFY",
        default="off",
        description="off, report or publish",
    )
    """Look at each file of a checked purpose when it has arrived: docs/verification.md. `publish` takes files in under
    `incoming/` and copies those that pass to their key. `report` leaves them where they are, and only notes what they
    are. `off` looks at their length and declared type alone."""

    verifier: Literal["self", "function"] = setting(
        "VERIFIER",
        default="self",
        description="self or function",
    )
    """Who looks at arrivals: this process, or a function of its own, which S3 tells of them. With `function` this
    process reads only what became of them, so that hostile bytes are decoded where there are no secrets."""

    image_max_pixels: int = setting(
        "IMAGE_MAX_PIXELS",
        default=50_000_000,
        least=1,
        most=500_000_000,
        description="a whole number of pixels, 1 to 500000000",
    )
    """Width times height of a picture. Above: it is refused by its header. Decoding takes some 10 bytes of memory a
    pixel, here and in each browser that shows it. The largest cameras of phones have 50 to 200 million."""

    image_max_frames: int = setting(
        "IMAGE_MAX_FRAMES",
        default=100,
        least=1,
        most=1_000,
        description="a whole number of frames, 1 to 1000",
    )
    """Frames of an animation. Above: it is refused."""

    strip_location: Literal["off", "lossless", "all"] = setting(
        "STRIP_LOCATION",
        default="lossless",
        description="off, lossless or all",
    )
    """What happens to the place where a picture was taken. `lossless` blanks it in its metadata, and leaves pixels,
    orientation and everything else as they are. `all` also cuts off what a phone puts behind a picture: the film of a
    motion photo, which has its own location. `off` keeps it. It counts where `VERIFY` is `publish`."""

    variants: tuple[Variant, ...] = setting(
        "VARIANTS",
        default=(),
        description="name:width or name:width:format separated by commas, such as thumb:320,card:1280:avif",
        check=_variants,
    )
    """Smaller pictures to make of each picture of a checked purpose that has no `variants` of its own: at most so many
    pixels wide, never enlarged, turned upright, in the colours of sRGB, without metadata, as WebP or AVIF. Empty, none
    is made, and a picture is not decoded."""

    # --- Malware ---------------------------------------------------------------------------------------

    malware_scanner: Literal["off", "guardduty", "clamd"] = setting(
        "MALWARE_SCANNER",
        default="off",
        check=_published_after_it,
        description="off, guardduty or clamd",
    )
    """What scans every file before it is published, also those of purposes that are not checked: docs/malware.md.
    `clamd` is the server of ClamAV, to which each file is sent. `guardduty` is Amazon GuardDuty, which puts a tag on
    what arrives under `incoming/`."""

    clamd_url: str | None = setting(
        "CLAMD_URL",
        default=None,
        pattern=r"tcp://([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}|unix:///[^\s\x00]{1,100}",
        check=_wanted_by_clamd,
        description="tcp://host:port, or unix:///path of a socket",
    )
    """Where clamd listens. Files go there unencrypted: keep it in a network of your own."""

    malware_unscannable: Literal["quarantine", "reject", "publish"] = setting(
        "MALWARE_UNSCANNABLE",
        default="quarantine",
        description="quarantine, reject or publish",
    )
    """What becomes of a file that the scanner cannot look into: it is encrypted, larger than the scanner takes, or
    nested too deeply. `quarantine` keeps it under `quarantine/` for an operator, `reject` removes it, `publish`
    publishes it as if it was clean, and its facts say `unscannable`."""
