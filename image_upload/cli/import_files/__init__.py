"""`python -m image_upload import`: from local storage into the bucket. docs/moving-in.md is its manual.

command   the arguments, the phases, the exit code
walking   the files of a folder, opened without following a link out of it
fitting   what a file becomes: its key and headers, or why it is refused
journal   what was decided and what S3 confirmed, so that a killed import goes on where it was
sending   one file to its end; parts.py for those that go in parts; patience.py for what may pass
finishing the rewrite list, and removing what S3 has
database  old paths in a column of a database → keys
report    progress and summary
"""
