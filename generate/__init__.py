"""What documents and configuration repeat of the code, written from it: `make generate`.

`files.FILES` says which files, and which module writes each. A new table is a module here and a row there.
"""
