"""FastAPI and Mangum, and nothing else: the floor below which no FastAPI service gets."""

from fastapi import FastAPI
from mangum import Mangum

app = FastAPI()


@app.get("/")
async def hello() -> dict[str, str]:
    """The least that a route can do."""
    return {"hello": "world"}


handler = Mangum(app, lifespan="off")
