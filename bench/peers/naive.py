"""Minting with FastAPI and boto3, as tutorials write it. The client is made once.

It checks nothing, logs nothing and knows no users; it is what `POST /uploads` would be without this project.
"""

import os
import uuid

import boto3
from botocore.config import Config
from fastapi import FastAPI
from mangum import Mangum
from pydantic import BaseModel, Field

app = FastAPI()

# Without these two options boto3 signs for the global host, which redirects.
s3 = boto3.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}))
BUCKET = os.environ["S3_BUCKET_NAME"]


class Wanted(BaseModel):
    """What a client wants to store."""

    filename: str
    contentType: str
    size: int = Field(ge=1)


# async, because a plain `def` runs in a thread of FastAPI's pool and is slower.
@app.post("/uploads")
async def mint(wanted: Wanted) -> dict[str, object]:
    """Return a presigned PUT."""
    key = f"uploads/{uuid.uuid4().hex}.{wanted.filename.rpartition('.')[2]}"
    url = s3.generate_presigned_url(
        "put_object",
        Params={"Bucket": BUCKET, "Key": key, "ContentType": wanted.contentType, "ContentLength": wanted.size},
        ExpiresIn=300,
    )
    headers = {"Content-Type": wanted.contentType, "Content-Length": str(wanted.size)}
    return {"presignedUrl": url, "objectKey": key, "method": "PUT", "headers": headers, "expiresIn": 300}


handler = Mangum(app, lifespan="off")
