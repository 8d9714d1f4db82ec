"""The operator's commands: `python -m image_upload COMMAND`. docs/commands.md describes each.

A command is a module with `run(arguments) -> exit code`, and its `--help` lists its options. Exit codes: 0 is success,
1 means that the command ran and found a fault, 2 that it could not start.
"""
