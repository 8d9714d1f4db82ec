"""infra/terraform is HCL, and hands the stack only what the template knows."""

import re
from pathlib import Path
from typing import Any

import hcl2
import pytest

from tests.infra.template import TEMPLATE

MAIN = Path(__file__).parents[2] / "infra/terraform/main.tf"


def read() -> dict[str, Any]:
    with MAIN.open(encoding="utf-8") as file:
        found: dict[str, Any] = hcl2.load(file)
        return found


@pytest.mark.full
def test_the_module_is_one_stack_that_gets_parameters_and_gives_outputs_of_the_template() -> None:
    module = read()
    (resource,) = module["resource"]
    stack = resource['"aws_cloudformation_stack"']['"this"']
    assert set(re.findall(r"(\w+) = ", stack["parameters"])) == {"ImageUri", "LiveVersion", "VerifierImageUri"}
    assert {"ImageUri", "LiveVersion", "VerifierImageUri"} <= TEMPLATE["Parameters"].keys()
    used = set(re.findall(r"var\.(\w+)", str(stack)))
    assert {f'"{each}"' for each in used} == {name for variable in module["variable"] for name in variable}
    outputs = set(re.findall(r'outputs\["(\w+)"\]', str(module["output"])))
    assert outputs == {"EdgeUrl", "FunctionUrl"}
    assert outputs <= TEMPLATE["Outputs"].keys()


def test_everything_that_a_user_sets_or_reads_says_what_it_is() -> None:
    module = read()
    for block in (*module["variable"], *module["output"]):
        ((name, body),) = block.items()
        assert body["description"].strip('"'), name
