"""The settings: their tables in docs/settings.md, .env.example, and what docker-compose.yml hands on."""

from generate.blocks import fill
from image_upload.settings import every_setting

# Lambda alone sets it.
_LAMBDAS_OWN = "AWS_LAMBDA_FUNCTION_NAME"


def compose(text: str) -> str:
    """docker-compose.yml, whose services are handed every variable of an env file that is a setting."""
    variables = [name for field in every_setting().values() for name in field.variables if name != _LAMBDAS_OWN]
    return fill(text, {"settings": "".join(f"{variable}: ${{{variable}:-}}\n" for variable in variables)})
