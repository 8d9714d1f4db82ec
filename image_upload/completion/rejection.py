"""The problem of an upload that was not kept, from its fault."""

from image_upload.domain.faults import SENTENCES, Fault
from image_upload.errors import UploadRejected
from image_upload.languages.wording import Sentence


def rejection(fault: Fault, why: Sentence | None = None) -> UploadRejected:
    """Return the problem. Its text is for the person who sent the file: `why`, where the reason is known exactly."""
    if why is not None:
        return UploadRejected(why.template, facts=why.facts, fault=fault)
    if fault in ("size", "type", "checksum"):
        return UploadRejected(
            "What arrived is not what was promised: its {fault} differs. It was removed. Start a new upload.",
            facts={"fault": Sentence(fault)},
            fault=fault,
        )
    return UploadRejected(SENTENCES[fault], fault=fault)
