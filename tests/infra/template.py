"""infra/template.yaml as CloudFormation reads it: parsed, and resolved for given parameters.

Only what the template uses; anything else is an error, so that nothing is passed over in silence.
"""

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

PATH = Path(__file__).parents[2] / "infra/template.yaml"
IMAGE = f"123456789012.dkr.ecr.eu-north-1.amazonaws.com/upload@sha256:{'a' * 64}"
REQUIRED = {"ImageUri": IMAGE, "LiveVersion": "1"}
# What deploy.sh adds: files are verified, by the image of the live version.
LIVE_IMAGE = IMAGE.replace("a" * 64, "b" * 64)
VERIFIED = {"Verify": "publish", "VerifierImageUri": LIVE_IMAGE}
PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-north-1",
    "AWS::AccountId": "123456789012",
    "AWS::StackName": "upload",
    "AWS::URLSuffix": "amazonaws.com",
}
_NOTHING = object()


# In C, where PyYAML was built with it: in Python it takes half a second, in every worker of a run.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # PyYAML brings no types
    pass


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    """`!Sub x` → `{"Fn::Sub": x}`, as the JSON form of a template has it."""
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _function)


@functools.cache
def parse(text: str) -> dict[str, Any]:
    """A template with its short tags written out."""
    template: dict[str, Any] = yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
    return template


TEMPLATE = parse(PATH.read_text(encoding="utf-8"))


class Stack:
    """The template for some parameters: conditions decided, references filled in.

    A resource's attribute becomes a text such as `<Function.Arn>`, so that a test can see who refers to what.
    """

    def __init__(self, template: Mapping[str, Any] = TEMPLATE, /, **parameters: str) -> None:
        self._template = template
        given = (REQUIRED if template is TEMPLATE else {}) | parameters
        if unknown := given.keys() - template["Parameters"].keys():
            raise KeyError(f"no such parameter: {sorted(unknown)}")
        self._parameters = {
            name: self._value(each, given.get(name, each.get("Default")))
            for name, each in self._template["Parameters"].items()
        }
        self.resources: dict[str, dict[str, Any]] = {
            name: self.resolve(resource)
            for name, resource in self._template["Resources"].items()
            if self.condition(resource.get("Condition"))
        }
        self.outputs: dict[str, Any] = {
            name: self.resolve(output["Value"])
            for name, output in self._template["Outputs"].items()
            if self.condition(output.get("Condition"))
        }

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of every resource of a type, by logical name."""
        return {name: each["Properties"] for name, each in self.resources.items() if each["Type"] == kind}

    def broken_rules(self) -> list[str]:
        """What the `Rules` of the template say against these parameters."""
        return [
            assertion["AssertDescription"]
            for rule in self._template["Rules"].values()
            if self._holds(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self._holds(assertion["Assert"])
        ]

    def condition(self, name: str | None) -> bool:
        """Whether a condition of the template holds; without a name it does."""
        return name is None or self._holds(self._template["Conditions"][name])

    @staticmethod
    def _value(parameter: Mapping[str, Any], given: Any) -> str:
        if given is None:
            raise KeyError("a parameter has neither a value nor a default")
        text = str(given)
        if "AllowedValues" in parameter and text not in [str(value) for value in parameter["AllowedValues"]]:
            raise ValueError(f"{text} is not an allowed value")
        if not re.search(parameter.get("AllowedPattern", ""), text):
            raise ValueError(f"{text} does not match {parameter['AllowedPattern']}")
        if parameter["Type"] == "Number" and not (
            parameter.get("MinValue", float("-inf")) <= float(text) <= parameter.get("MaxValue", float("inf"))
        ):
            raise ValueError(f"{text} is out of range")
        return text

    def _holds(self, test: Mapping[str, Any]) -> bool:
        ((kind, operands),) = test.items()
        match kind:
            case "Condition":
                return self.condition(operands)
            case "Fn::Not":
                return not self._holds(operands[0])
            case "Fn::Or":
                return any(self._holds(each) for each in operands)
            case "Fn::And":
                return all(self._holds(each) for each in operands)
            case "Fn::Equals":
                left, right = (self.resolve(each) for each in operands)
                return bool(str(left) == str(right))
        raise NotImplementedError(kind)

    def resolve(self, value: Any) -> Any:
        """A value with its functions replaced by what they give; `AWS::NoValue` removes the member."""
        if isinstance(value, list):
            return [each for each in map(self.resolve, value) if each is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((kind, operand),) = value.items()
            if kind == "Ref":
                return self._ref(operand)
            if kind.startswith("Fn::"):
                return self._call(kind, operand)
        resolved = {name: self.resolve(member) for name, member in value.items()}
        return {name: member for name, member in resolved.items() if member is not _NOTHING}

    def _call(self, function: str, operand: Any) -> Any:
        match function:
            case "Fn::If":
                condition, yes, no = operand
                return self.resolve(yes if self.condition(condition) else no)
            case "Fn::Join":
                separator, parts = operand
                return separator.join(self.resolve(parts))
            case "Fn::Select":
                # An attribute is known by its name alone, and so is a part of it.
                index, parts = operand[0], self.resolve(operand[1])
                return parts[index] if len(parts) > 1 else f"{parts[0]}[{index}]"
            case "Fn::Split":
                separator, text = operand
                return self.resolve(text).split(separator)
            case "Fn::ImportValue":
                return f"<{self.resolve(operand)}>"
            case "Fn::GetAtt":
                return f"<{'.'.join(operand)}>"
            case "Fn::Sub":
                text, values = operand if isinstance(operand, list) else (operand, {})
                names = self.resolve(values)
                return re.sub(r"\$\{([\w:.]+)\}", lambda match: names.get(match[1]) or self._ref(match[1]), text)
        raise NotImplementedError(function)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self._parameters:
            return self._parameters[name]
        resource = name.partition(".")[0]
        if not self.condition(self._template["Resources"][resource].get("Condition")):
            raise LookupError(f"{name} is used where {resource} is not made")
        return f"<{name}>"
