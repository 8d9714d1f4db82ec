"""The form proxy as tutorials write it: FastAPI reads the form, httpx sends the file.

It checks nothing, neither the form nor where it sends it; it is what the form routes would be without this project.
"""

from typing import Annotated

import httpx
from fastapi import FastAPI, Form, UploadFile
from mangum import Mangum

app = FastAPI()


@app.get("/")
async def hello() -> dict[str, str]:
    """Show that the server runs."""
    return {"hello": "world"}


@app.post("/upload-with-presigned")
async def upload(file: UploadFile, upload_url: Annotated[str, Form(alias="uploadUrl")]) -> dict[str, object]:
    """Read the file, put it."""
    content = await file.read()
    headers = {"Content-Type": file.content_type} if file.content_type else {}
    # No timeout: slow stores are not measured here.
    async with httpx.AsyncClient(timeout=None) as client:  # noqa: S113  the usual code sets none
        response = await client.put(upload_url, content=content, headers=headers)
    response.raise_for_status()
    return {"success": True, "status": response.status_code, "file_size": len(content)}


@app.post("/read")
async def read(file: UploadFile, upload_url: Annotated[str, Form(alias="uploadUrl")]) -> dict[str, object]:
    """Read the file, and no more."""
    return {"file_size": len(await file.read()), "url": upload_url}


handler = Mangum(app, lifespan="off")
