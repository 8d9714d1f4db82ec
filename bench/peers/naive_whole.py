"""Both halves of the service as tutorials write them, in one file: boto3 signs, httpx sends, tenacity tries again.

Everything is imported and the client is made when the module is, which is what a cold start pays for.
"""

import os
import uuid
from typing import Annotated

import boto3
import httpx
from botocore.config import Config
from fastapi import FastAPI, Form, UploadFile
from mangum import Mangum
from pydantic import BaseModel, Field
from tenacity import retry, stop_after_attempt, wait_random_exponential

app = FastAPI()
s3 = boto3.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}))
BUCKET = os.environ["S3_BUCKET_NAME"]


class Wanted(BaseModel):
    """What a client wants to store."""

    filename: str
    contentType: str
    size: int = Field(ge=1)


@app.post("/uploads")
async def mint(wanted: Wanted) -> dict[str, object]:
    """A presigned PUT."""
    key = f"uploads/{uuid.uuid4().hex}.{wanted.filename.rpartition('.')[2]}"
    params = {"Bucket": BUCKET, "Key": key, "ContentType": wanted.contentType, "ContentLength": wanted.size}
    return {"presignedUrl": s3.generate_presigned_url("put_object", Params=params, ExpiresIn=300), "objectKey": key}


@app.post("/upload-with-presigned-retry")
async def upload(file: UploadFile, upload_url: Annotated[str, Form(alias="uploadUrl")]) -> dict[str, object]:
    """Read the file, put it."""
    content = await file.read()

    @retry(stop=stop_after_attempt(4), wait=wait_random_exponential(max=10))
    async def put() -> None:
        async with httpx.AsyncClient() as client:
            (await client.put(upload_url, content=content)).raise_for_status()

    await put()
    return {"success": True, "file_size": len(content)}


handler = Mangum(app, lifespan="off")
