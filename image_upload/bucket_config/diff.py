"""Compare a bucket's configuration with the rules that the service needs, and build the value to put.

Rules of others are kept. Rules of the service have an id that begins with `rules.OURS`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

from image_upload.bucket_config.rules import OURS, Rule
from image_upload.domain.purposes import Purpose

# `missing`, `differs` and `unwanted` need a change; `kept` is a rule of others.
State = Literal["ok", "missing", "differs", "unwanted", "kept"]
TO_DO: Final = frozenset({"missing", "differs", "unwanted"})


class Line(NamedTuple):
    """The state of one rule, and its name."""

    state: State
    what: str


class Diff(NamedTuple):
    """The differences of one subresource: a line for each rule, and the value to put, None if it needs no change."""

    lines: list[Line]
    put: Any | None


def cors(found: Any | None, wanted: Sequence[Rule]) -> Diff:
    """Compare CORS rules. The service's rules must come first: S3 answers by the first rule that matches.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html
    """
    existing = (found or {}).get("CORSRules", [])
    lines = _lines(existing, wanted, "ID")
    ahead = [rule for rule in existing[: _last_of_ours(existing) + 1] if not _is_ours(rule, "ID")]
    if ahead:
        lines.append(
            Line("differs", f"{_name(ahead[0], 'ID')} stands before ours, and S3 takes the first that matches")
        )
    return _diff(lines, {"CORSRules": [*wanted, *_foreign(existing, "ID")]})


def lifecycle(
    found: Any | None, wanted: Sequence[Rule], purposes: Iterable[Purpose], *, forget_folders: bool = False
) -> Diff:
    """Compare lifecycle rules. Name rules of others that also cover a purpose's folder: the earliest action wins.

    A rule of the service for a folder without a purpose is kept, because its purpose was removed and its files are
    still there. With `forget_folders` it is unwanted.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-conflicts.html
    """
    found = found or {}
    existing = [_with_filter(rule) for rule in found.get("Rules", [])]
    every = list(purposes)
    folders = {"", *(purpose.prefix for purpose in every), *(_folder(rule) for rule in wanted)}
    left = [rule for rule in existing if not forget_folders and _is_ours(rule, "ID") and _folder(rule) not in folders]
    lines = _lines([rule for rule in existing if rule not in left], wanted, "ID", lambda rule: _overlap(rule, every))
    lines += [Line("kept", f"{rule['ID']} ({_folder(rule)} has no purpose; --forget-folders ends it)") for rule in left]
    # The purpose of a folder may have got another one, and S3 takes an id once.
    taken = {rule["ID"] for rule in wanted}
    kept = [rule | {"ID": f"{OURS}kept-{_folder(rule).strip('/')}"} if rule["ID"] in taken else rule for rule in left]
    return _diff(lines, {**found, "Rules": [*wanted, *kept, *_foreign(existing, "ID")]})


def policy(found: Any | None, wanted: Sequence[Rule], *, keep: Sequence[str] = ()) -> Diff:
    """Compare the statements of a bucket policy. Statements of the service whose Sid is in `keep` are not unwanted."""
    document = found or {"Version": "2012-10-17"}
    statements = document.get("Statement", [])
    existing = [statements] if isinstance(statements, dict) else list(statements)
    kept = [
        rule for rule in existing if rule.get("Sid") in keep and rule["Sid"] not in {each["Sid"] for each in wanted}
    ]
    wanted = [*wanted, *kept]
    return _diff(_lines(existing, wanted, "Sid"), {**document, "Statement": [*_foreign(existing, "Sid"), *wanted]})


def single_value(found: Any | None, wanted: Rule, what: str) -> Diff:
    """Compare a subresource that is one object: it must have all wanted members. Other members are kept."""
    if found is None:
        return Diff([Line("missing", what)], wanted)
    if all(_same(found.get(name), value) for name, value in wanted.items()):
        return Diff([Line("ok", what)], None)
    return Diff([Line("differs", what)], {**found, **wanted})


def events(found: Any | None, wanted: Rule) -> Diff:
    """Compare the event notifications: EventBridge must be on. Others are kept, as S3 takes all in one document.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html
    """
    found = found or {}
    state: State = "ok" if wanted.keys() <= found.keys() else "missing"
    others = [rule for name, rules in found.items() if name not in wanted for rule in rules]
    return _diff(
        [Line(state, "EventBridge"), *(Line("kept", _name(rule, "Id")) for rule in others)], {**found, **wanted}
    )


def encryption(found: Any | None, wanted: Rule) -> Diff:
    """Compare the default encryption. An existing KMS key is kept if none is wanted."""
    rule = ((found or {}).get("Rules") or [{}])[0]
    default = rule.get("ApplyServerSideEncryptionByDefault", {})
    algorithm, key = default.get("SSEAlgorithm"), str(default.get("KMSMasterKeyID", ""))
    (target,) = wanted["Rules"]
    wanted_default = target["ApplyServerSideEncryptionByDefault"]
    wanted_key = str(wanted_default.get("KMSMasterKeyID", ""))
    # S3 may return the ARN of a key that was named by its id or alias.
    same_key = key == wanted_key or key.endswith((f"/{wanted_key}", f":{wanted_key}"))
    if algorithm and (not wanted_key or (same_key and rule.get("BucketKeyEnabled"))):
        return Diff([Line("ok", f"{algorithm} {key}".rstrip())], None)
    what = f"{wanted_default['SSEAlgorithm']} {wanted_key}".rstrip()
    seen = " ".join(filter(None, (algorithm, key, "" if rule.get("BucketKeyEnabled") else "without a bucket key")))
    line = Line("differs", f"{what}, not {seen}") if algorithm else Line("missing", what)
    return Diff([line], {"Rules": [{**rule, **target}]})


def _diff(lines: list[Line], put: Any) -> Diff:
    return Diff(lines, put if any(line.state in TO_DO for line in lines) else None)


def _lines(
    existing: Sequence[Rule], wanted: Sequence[Rule], name: str, about: Callable[[Rule], str] = lambda _: ""
) -> list[Line]:
    """Return a line for each wanted rule, then for all others. `about` returns the end of a foreign rule's line."""
    found = {rule[name]: rule for rule in existing if _is_ours(rule, name)}
    lines = []
    for rule in wanted:
        state: State = "missing" if rule[name] not in found else "ok" if _same(found[rule[name]], rule) else "differs"
        lines.append(Line(state, rule[name]))
    unwanted = found.keys() - {rule[name] for rule in wanted}
    lines += [Line("unwanted", one) for one in sorted(unwanted)]
    return [*lines, *(Line("kept", f"{_name(rule, name)}{about(rule)}") for rule in _foreign(existing, name))]


def _is_ours(rule: Rule, name: str) -> bool:
    return str(rule.get(name, "")).startswith(OURS)


def _foreign(rules: Sequence[Rule], name: str) -> list[Rule]:
    return [rule for rule in rules if not _is_ours(rule, name)]


def _name(rule: Rule, name: str) -> str:
    return str(rule.get(name) or "a rule without a name")


def _last_of_ours(rules: Sequence[Rule]) -> int:
    return max((index for index, rule in enumerate(rules) if _is_ours(rule, "ID")), default=-1)


def _with_filter(rule: Rule) -> Rule:
    """Move a rule's prefix into its filter: S3 refuses a configuration that mixes both forms."""
    if "Filter" in rule:
        return rule
    return {name: value for name, value in rule.items() if name != "Prefix"} | {
        "Filter": {"Prefix": rule.get("Prefix", "")}
    }


def _folder(rule: Rule) -> str:
    """Return the prefix of a rule with a filter."""
    return str(rule["Filter"].get("And", rule["Filter"]).get("Prefix", ""))


def _overlap(rule: Rule, purposes: Sequence[Purpose]) -> str:
    """Return the end of a foreign rule's line: the purposes' folders that it also covers."""
    if rule.get("Status") != "Enabled":
        return ""
    where = _folder(rule)
    folders = [
        purpose.prefix for purpose in purposes if where.startswith(purpose.prefix) or purpose.prefix.startswith(where)
    ]
    return f" (covers {', '.join(folders)} too; S3 does what comes first)" if folders else ""


def _same(one: Any, other: Any) -> bool:
    return bool(_plain(one) == _plain(other))


def _plain(value: Any) -> Any:
    """Normalise what servers write differently: the order of lists, a list of one, an empty prefix."""
    if isinstance(value, dict):
        return {name: plain for name, each in value.items() if (plain := _plain(each)) not in ("", [], {})}
    if isinstance(value, list | tuple):
        return _plain(value[0]) if len(value) == 1 else sorted((_plain(each) for each in value), key=repr)
    return value
