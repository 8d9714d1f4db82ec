"""The settings: their tables in docs/settings.md, .env.example, and what docker-compose.yml hands on."""

from generate.blocks import fill
from image_upload.settings import Settings, aliases

# Lambda alone sets it.
_LAMBDAS_OWN = "lambda_function_name"


def compose(text: str) -> str:
    """docker-compose.yml, whose services are handed every variable of an env file that is a setting."""
    variables = [alias for field in Settings.model_fields if field != _LAMBDAS_OWN for alias in aliases(field)]
    return fill(text, {"settings": "".join(f"{variable}: ${{{variable}:-}}\n" for variable in variables)})
