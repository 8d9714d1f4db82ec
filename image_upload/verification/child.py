"""Decode pictures in child processes. `serve` runs in a process of its own, `python -I`, and reads no file itself.

It imports the decoders once. For each file it gets a socket, and forks a process that reads the file from it, answers
and ends: so a file that takes its decoder over finds neither another file, nor secrets, nor a way out (`sandbox`).
"""

import contextlib
import gc
import io
import json
import os
import select
import signal
import socket
import time
import warnings
from collections.abc import Mapping
from typing import Any, Final

from PIL import AvifImagePlugin, Image, ImageCms, MpoImagePlugin

from image_upload.verification import pictures, sandbox, thumbhash
from image_upload.verification.framing import ANSWER, BEGUN, REQUEST

with contextlib.suppress(ImportError):  # the dependency group `heic`
    import pillow_heif

    pillow_heif.options.DECODE_THREADS = 1
    pillow_heif.register_heif_opener()

# A JPEG with further pictures in it is opened by a module that Pillow imports on demand, when a child no longer can.
_ON_DEMAND: Final = (MpoImagePlugin,)
_PLACEHOLDER_SIDE: Final = 32
_WEBP_SIDE_MAX: Final = 16_383
_SRGB: Final = ImageCms.createProfile("sRGB")
# Orientation of Exif → what to do with the stored pixels.
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SAVED: Final[Mapping[str, Mapping[str, Any]]] = {
    "webp": {"format": "WEBP", "quality": 75, "method": 4},
    "avif": {"format": "AVIF", "quality": 65, "speed": 8, "max_threads": 1},
    "whole": {"format": "WEBP", "quality": 85, "method": 2},
}


# --- the server -----------------------------------------------------------------------------------


def serve(control_fd: int, timeout_s: float) -> None:
    """Fork a process for each socket that comes through `control_fd`, and kill it after `timeout_s`.

    When the other side is gone, it waits for those that run, and ends.
    """
    control = socket.socket(fileno=control_fd)
    Image.preinit()
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    sandbox.prepare()
    _warm_up()
    running: dict[int, float] = {}
    is_open = True
    while is_open or running:
        left_s = min(running.values()) - time.monotonic() if running else None
        ready, _, _ = select.select([control] if is_open else [], [], [], None if left_s is None else max(left_s, 0.01))
        if ready:
            message, given, _, _ = socket.recv_fds(control, 1, 1)
            is_open = bool(message)
            for fd in given:
                pid = os.fork()
                if pid == 0:
                    control.close()
                    _answer_and_end(fd)
                os.close(fd)
                running[pid] = time.monotonic() + timeout_s
        for pid, ends_at in list(running.items()):
            if time.monotonic() >= ends_at:
                os.kill(pid, signal.SIGKILL)
            # A process keeps its number until it is waited for.
            if os.waitpid(pid, os.WNOHANG)[0]:
                del running[pid]


def _warm_up() -> None:
    """Decode and encode every format once, so that all is imported that a child can import no more."""
    small = Image.new("RGB", (8, 8))
    metadata = Image.Exif()
    metadata[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(_SRGB).tobytes()
    for form in ("JPEG", "PNG", "WEBP", "AVIF", "GIF"):
        out = io.BytesIO()
        small.save(out, form, exif=metadata, icc_profile=profile)
        variants = [{"name": each, "width": 4, "format": each} for each in ("webp", "avif")]
        _decoded(
            out.getvalue(),
            {
                "format": form,
                "width": 8,
                "height": 8,
                "orientation": 6,
                "max_frames": 1,
                "variants": variants,
                "replace": False,
            },
        )
    gc.collect()
    gc.freeze()


def _answer_and_end(fd: int) -> None:
    """Read a request, enter the sandbox, answer it, and end this process."""
    status = 1
    try:
        with socket.socket(fileno=fd) as stream:
            job_bytes, data_bytes = REQUEST.unpack(_exactly(stream, REQUEST.size))
            job = json.loads(_exactly(stream, job_bytes))
            data = _exactly(stream, data_bytes)
            stream.sendall(BEGUN)
            sandbox.enter(job["memory_bytes"], job["cpu_s"])
            try:
                found, made = _decoded(data, job)
            except Exception as error:  # noqa: BLE001  whatever a decoder raises, the file cannot be decoded
                found, made = {"error": type(error).__name__}, []
            answer = json.dumps(found).encode()
            for each in (ANSWER.pack(len(answer)), answer, *made):
                stream.sendall(each)
        status = 0
    finally:
        os._exit(status)


def _exactly(stream: socket.socket, length: int) -> bytes:
    data = bytearray(length)
    view, at = memoryview(data), 0
    while at < length:
        count = stream.recv_into(view[at:])
        if not count:
            raise EOFError
        at += count
    return bytes(data)


# --- one picture ----------------------------------------------------------------------------------


def _decoded(data: bytes, job: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    """Return the answer to a job, and the pictures that it lists. Raises whatever a decoder raises."""
    frames = pictures.gif_frames(data, job["max_frames"]) if job["format"] == "GIF" else None
    if frames is not None and frames > job["max_frames"]:
        return {"frames": frames, "placeholder": None, "made": []}, []
    Image.MAX_IMAGE_PIXELS = job["width"] * job["height"]
    image = Image.open(io.BytesIO(data), formats=[job["format"]])
    # pillow-heif turns what it opens.
    is_turned = job["format"] == "HEIF"
    stored = (job["width"], job["height"])
    if image.size != stored and not (is_turned and sorted(image.size) == sorted(stored)):
        raise ValueError("another size than the header's")
    turn = None if is_turned else _TURNS.get(job["orientation"])
    asked = [(each["name"], each["width"], each["format"]) for each in job["variants"]]
    if not job["replace"]:
        image.draft("RGB", _fitting(image.size, turn, max([64, *(width for _, width, _ in asked)])))
    image.load()
    shown = _plain(image)
    made = [(name, form, _saved(shown, turn, width, form)) for name, width, form in asked]
    if job["replace"]:
        made.append(("", "webp", _saved(shown, turn, _WEBP_SIDE_MAX, "whole")))
    listed = [{"name": name, "format": form, "bytes": len(saved)} for name, form, saved in made]
    found = {"frames": frames, "placeholder": _placeholder(shown, turn), "made": listed}
    return found, [saved for _, _, saved in made]


def _plain(image: Image.Image) -> Image.Image:
    """Return a picture in RGB, with alpha where it has some."""
    if image.mode in ("RGB", "RGBA"):
        return image
    if image.mode.startswith("I;16"):
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _fitting(size: tuple[int, int], turn: Image.Transpose | None, width: int) -> tuple[int, int]:
    """Return the stored size of a picture that is shown at most `width` pixels wide: never larger than it is."""
    is_on_its_side = turn is not None and turn.name in ("TRANSPOSE", "TRANSVERSE", "ROTATE_90", "ROTATE_270")
    across, down = reversed(size) if is_on_its_side else size
    scale = min(1.0, width / across, _WEBP_SIDE_MAX / down)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _saved(image: Image.Image, turn: Image.Transpose | None, width: int, how: str) -> bytes:
    """Return a picture of at most this width, as it is shown, without metadata, in the colours of sRGB."""
    size = _fitting(image.size, turn, width)
    # A copy is no file any more: saving one asks for the working directory, which is out of reach.
    smaller = image.copy() if size == image.size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    smaller = _in_srgb(smaller, image.info.get("icc_profile"))
    shown = smaller if turn is None else smaller.transpose(turn)
    shown.info = {}
    out = io.BytesIO()
    shown.save(out, **_SAVED[how])
    return out.getvalue()


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a picture in sRGB; one with a broken profile, or one of another colour model, as it is."""
    if not profile:
        return image
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        found = ImageCms.profileToProfile(image, source, _SRGB)
        return image if found is None else found
    return image


def _placeholder(image: Image.Image, turn: Image.Transpose | None) -> str:
    side = _PLACEHOLDER_SIDE
    small = image.copy() if max(image.size) <= side else image.resize(_within(image.size, side), reducing_gap=2.0)
    small = (small if turn is None else small.transpose(turn)).convert("RGBA")
    return thumbhash.encode(*small.size, small.tobytes())


def _within(size: tuple[int, int], side: int) -> tuple[int, int]:
    return max(1, size[0] * side // max(size)), max(1, size[1] * side // max(size))
