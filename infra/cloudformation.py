"""CloudFormation's dialect: its tags in YAML, and its names for S3's settings."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import yaml

# The longest line, without its indentation.
LINE_CHARS: Final = 118
LIST_IN_A_LINE_CHARS: Final = 80
# CloudFormation limits a template's bytes, and half of a small mapping would be indentation.
MAPPING_IN_A_LINE_CHARS: Final = 105


class Tag(NamedTuple):
    """A function in its short form: `!Ref`, `!Sub`, `!If`."""

    name: str
    value: Any


NO_VALUE: Final = Tag("!Ref", "AWS::NoValue")
# The name of the bucket, the stack's own or an existing one.
BUCKET: Final = Tag("!If", ["MakesBucket", Tag("!Ref", "Bucket"), Tag("!Ref", "ExistingBucketName")])


def ref(name: str) -> Tag:
    """Return a reference to a parameter's value, or to a resource's name."""
    return Tag("!Ref", name)


def only_if(condition: str, value: Any) -> Tag:
    """Return the value under a condition of the template; without it, the member is absent."""
    return Tag("!If", [condition, value, NO_VALUE])


def substituted(value: Any) -> Any:
    """Replace every text with `${…}` in a value by a `!Sub`. `${Name}` is the bucket's name."""
    if isinstance(value, Mapping):
        return {name: substituted(member) for name, member in value.items()}
    if isinstance(value, list | tuple) and not isinstance(value, Tag):
        return [substituted(member) for member in value]
    if isinstance(value, str) and "${Name}" in value:
        return Tag("!Sub", [value, {"Name": BUCKET}])
    if isinstance(value, str) and re.fullmatch(r"\$\{[\w:]+\}", value):
        return ref(value[2:-1])
    return Tag("!Sub", value) if isinstance(value, str) and "${" in value else value


def as_yaml(value: Any) -> str:
    """Return a value as lines of a template."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=LINE_CHARS)
    return text


class _Dumper(yaml.SafeDumper):
    """Indent lists below their key, and write tagged words without quotes."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002  PyYAML's signature
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def choose_scalar_style(self) -> Any:
        style = super().choose_scalar_style()
        tagged = self.event.tag and self.event.tag.startswith("!")
        plain = self.analysis.allow_flow_plain if self.flow_level else self.analysis.allow_block_plain
        return "" if tagged and plain and not self.analysis.multiline else style


def _represent(dumper: yaml.SafeDumper, tag: Tag) -> yaml.Node:
    if isinstance(tag.value, str):
        return dumper.represent_scalar(tag.name, tag.value)
    flow = tag.name == "!Sub" or all(isinstance(each, str | Tag) for each in tag.value)
    flow = flow or _chars(tag) <= MAPPING_IN_A_LINE_CHARS
    return dumper.represent_sequence(tag.name, tag.value, flow_style=flow)


def _represent_list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
    short = all(isinstance(each, str | int) for each in values) and len(str(values)) < LIST_IN_A_LINE_CHARS
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=short)


def _represent_dict(dumper: yaml.SafeDumper, values: dict[str, Any]) -> yaml.Node:
    # Parameters and resources are never written in one line.
    short = "Type" not in values and _chars(values) <= MAPPING_IN_A_LINE_CHARS
    return dumper.represent_mapping("tag:yaml.org,2002:map", values, flow_style=short)


def _chars(value: Any) -> int:
    """Return about how many characters a value has in one line."""
    match value:
        case Tag(name, inner):
            return len(name) + 1 + _chars(inner)
        case dict():
            return sum(len(name) + 4 + _chars(member) for name, member in value.items())
        case list():
            return 2 + sum(2 + _chars(member) for member in value)
    return len(str(value))


_Dumper.add_representer(Tag, _represent)
_Dumper.add_representer(dict, _represent_dict)
_Dumper.add_representer(list, _represent_list)


# --- S3's API → AWS::S3::Bucket -------------------------------------------------------------------
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-bucket.html


def cors_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule of PutBucketCors in CloudFormation's form."""
    return _renamed(rule, {"ExposeHeaders": "ExposedHeaders", "MaxAgeSeconds": "MaxAge", "ID": "Id"})


def lifecycle_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule of PutBucketLifecycleConfiguration in CloudFormation's form.

    An unknown member is an error, because a rule without it could delete files.
    """
    rule = dict(rule)
    made = {"Id": rule.pop("ID"), "Status": rule.pop("Status")}
    # For all objects CloudFormation leaves the prefix out.
    if prefix := rule.pop("Filter").pop("Prefix"):
        made["Prefix"] = prefix
    if expiration := rule.pop("Expiration", None):
        made |= _renamed(
            expiration,
            {"Days": "ExpirationInDays", "ExpiredObjectDeleteMarker": "ExpiredObjectDeleteMarker"},
            complete=True,
        )
    if transitions := rule.pop("Transitions", None):
        made["Transitions"] = [_renamed(each, {"Days": "TransitionInDays"}) for each in transitions]
    for same in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"):
        if same in rule:
            made[same] = rule.pop(same)
    if rule:
        raise ValueError(f"CloudFormation's name for {sorted(rule)} is not known here")
    return made


def encryption_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule of PutBucketEncryption in CloudFormation's form."""
    return _renamed(rule, {"ApplyServerSideEncryptionByDefault": "ServerSideEncryptionByDefault"})


def _renamed(members: Mapping[str, Any], names: Mapping[str, str], *, complete: bool = False) -> dict[str, Any]:
    """Return the members under CloudFormation's names. With `complete` every one must be in the table."""
    if complete and (unknown := members.keys() - names.keys()):
        raise ValueError(f"CloudFormation's name for {sorted(unknown)} is not known here")
    return {names.get(name, name): value for name, value in members.items()}
