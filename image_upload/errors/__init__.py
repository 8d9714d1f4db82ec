"""The one tree of errors: a class for each code, by who or what causes it.

The docstring of a class says when the error comes, then what to do. `GET /errors` answers with it, and docs/errors.md
is made of it: `make generate`. `detail` is a sentence for the person who reads it. No problem ever carries a presigned
URL's query, a token or a secret.
"""

from image_upload.errors.problem import *
from image_upload.errors.requests import *
from image_upload.errors.resumable import *
from image_upload.errors.service import *
from image_upload.errors.uploads import *
