"""FastAPI and Mangum alone: the lower limit of a FastAPI service."""

from fastapi import FastAPI
from mangum import Mangum

app = FastAPI()


@app.get("/")
async def hello() -> dict[str, str]:
    """Answer with a constant."""
    return {"hello": "world"}


handler = Mangum(app, lifespan="off")
