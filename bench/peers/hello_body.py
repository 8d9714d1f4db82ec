"""Hello again, as a POST with a body that pydantic checks: what FastAPI itself takes for our kind of route."""

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
    """The least that a route with a body can do."""
    return {"hello": wanted.filename}


handler = Mangum(app, lifespan="off")
