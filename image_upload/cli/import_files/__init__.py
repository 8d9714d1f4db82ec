"""`python -m image_upload import`: move files from local storage into the bucket. docs/moving-in.md is its manual.

command   the phases, the exit code; arguments has the options
tree      the files of a folder, opened without following a link out of it
rules     the key and headers of a file, or why it is refused; inspection looks at its bytes, with `--verify`
journal   what was decided and what S3 confirmed, so that a killed import continues
sender    one file to its end, by `s3.transfer`; storage says which failures may pass
cleanup   the rewrite list, and removing what S3 has
database  old paths in a column of a database → keys
report    progress and summary
"""


class Stop(Exception):
    """The import cannot begin or continue. The message says why and what to do."""
