"""Every number that S3, Lambda or HTTP imposes, with what breaks on either side of it and its source.

The unit is the last part of each name. The text below a number says what it means; the source is its second paragraph,
and a number without one is our own choice. docs/limits.md is made of both: `make generate`.

A number that an operator may change is a setting (`settings`), one that belongs to a purpose is in `domain.purposes`.
"""

from image_upload.limits.from_url import *
from image_upload.limits.jobs import *
from image_upload.limits.notify import *
from image_upload.limits.requests import *
from image_upload.limits.storage import *
from image_upload.limits.telemetry import *
from image_upload.limits.verification import *
