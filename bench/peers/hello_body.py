"""A hello that is a POST with a pydantic body: the cost of FastAPI itself for a route such as POST /uploads."""

from fastapi import FastAPI
from mangum import Mangum
from pydantic import BaseModel, Field

app = FastAPI()


class Wanted(BaseModel):
    """The fields that the naive mint reads."""

    filename: str
    contentType: str
    size: int = Field(ge=1)


@app.post("/uploads")
async def hello(wanted: Wanted) -> dict[str, str]:
    """Answer with a constant, after the body was checked."""
    return {"hello": wanted.filename}


handler = Mangum(app, lifespan="off")
