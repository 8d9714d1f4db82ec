"""`/llms.txt`: the service in plain text for language models and people, generated from the OpenAPI document.

https://llmstxt.org describes the form: a title, a summary, sections with links.
"""

from typing import Any

# Each `{id}` is the path of the operation with this id; `{auth}` is the header with the token, where one is required.
_FLOWS = """\
The lines are for a POSIX shell. `SERVICE` is the address of this service without a slash at its end.{token}

## Store a file, straight to S3

Say what you want to store, then PUT the file to the presigned URL. S3 takes only that type and that length.

```bash
PLAN=$(curl -sS -X POST "$SERVICE{createUpload}"{auth} -H 'Content-Type: application/json' \\
  -d "{{\\"filename\\":\\"photo.jpg\\",\\"contentType\\":\\"image/jpeg\\",\\"size\\":$(wc -c < photo.jpg)}}")
of() {{ printf %s "$PLAN" | python3 -c "import json,sys; print(json.load(sys.stdin)['$1'])"; }}
curl -sS --fail -X PUT "$(of presignedUrl)" -H 'Content-Type: image/jpeg' --data-binary @photo.jpg
```

With `"accepts": ["put", "post", "multipart", "proxy"]` in the JSON the answer's `strategy` says which plan it is:

- `put`: PUT the file to `presignedUrl` with all of `headers`.
- `post`: POST a form to `presignedUrl`: all of `fields`, then `file`, last.
- `multipart`: PUT each of `parts` to its `url`, then POST to {completeUpload}. GET {getUpload} says what is missing.
- `proxy`: POST a form to `formUrl` of this service: all of `fields`, then `file`.

## Store a file, through the service

For clients that cannot reach S3: a form with a presigned URL. It needs no token, the URL is the permission.

```bash
curl -sS --fail -X POST "$SERVICE{forwardFormWithRetry}" -F "uploadUrl=$(of presignedUrl)" \\
  -F 'file=@photo.jpg;type=image/jpeg'
```

## Read a file

```bash
curl -sS --fail "$SERVICE{read}$(of objectKey)"{auth}
```

The answer's `url` is a presigned GET. Add `?as_download=true&filename=cat.jpg` to make browsers save the file.
"""


def text(document: dict[str, Any]) -> str:
    """Return the text, with every operation of an OpenAPI document."""
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    paths = {operation["operationId"]: path for _, path, operation in operations}
    needs_token = any(
        operation["operationId"] == "createUpload" and {} not in operation["security"] for *_, operation in operations
    )
    flows = _FLOWS.format(
        **paths,
        read=paths["getImageUrl"].partition("{")[0],
        auth=' -H "Authorization: Bearer $TOKEN"' if needs_token else "",
        token=" `TOKEN` is a JWT of the user." if needs_token else "",
    )
    head, _, rest = document["info"]["description"].strip().partition("\n")
    return "\n".join(
        [
            f"# {document['info']['title']} {document['info']['version']}",
            "",
            f"> {head}",
            rest,
            "",
            flows,
            "## More",
            "",
            "- [OpenAPI document](/openapi.json): every route, member and error, for generators",
            "- [Error codes](/errors): what each means, and what to do",
            "- [Routes to try in a browser](/docs)",
            *(line for tag in document["tags"] for line in _section(tag, operations)),
            "",
        ]
    )


def _section(tag: dict[str, str], operations: list[tuple[str, str, dict[str, Any]]]) -> list[str]:
    lines = []
    for method, path, operation in operations:
        if tag["name"] in operation["tags"]:
            token = "; needs a token" if operation["security"] and {} not in operation["security"] else ""
            link = f"/docs#/{tag['name'].replace(' ', '%20')}/{operation['operationId']}"
            lines.append(f"- [{method} {path}]({link}): {operation['summary']}{token}")
    return ["", f"## {tag['name']}", "", tag["description"], "", *lines]
