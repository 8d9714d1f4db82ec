"""The operator's commands: `python -m image_upload COMMAND`. docs/commands.md describes each.

A command is a module with `run(arguments) -> exit code`; its own `--help` says what it takes. 0 is all well,
1 a command that did its work and found something wrong, 2 a command that could not begin.
"""
