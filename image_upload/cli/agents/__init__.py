"""`mcp`: tools for an agent, over the Model Context Protocol.

`command.py` starts the server, `tools.py` is what the agent calls, `service.py` asks the running service, and `curl.py`
writes the lines that move a file between the agent's machine and S3. Only `tools.py` needs the SDK.
"""
