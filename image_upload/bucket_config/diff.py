"""What a bucket has against what it must have: the differences, and what to put so that there are none.

Rules of others are kept as they are. Ours are known by their id, which begins with `rules.OURS`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

from image_upload.bucket_config.rules import OURS, Rule
from image_upload.domain.purposes import Purpose

# `missing`, `differs` and `unwanted` are to be put right; the others are as they should be, or none of our business.
State = Literal["ok", "missing", "differs", "unwanted", "kept"]
TO_DO: Final = frozenset({"missing", "differs", "unwanted"})


class Line(NamedTuple):
    """One rule: what was seen."""

    state: State
    what: str


class Diff(NamedTuple):
    """One part of the configuration: a line a rule, and the value to put; None where nothing is to be done."""

    lines: list[Line]
    put: Any | None


def fit_cors(found: Any | None, wanted: Sequence[Rule]) -> Diff:
    """Ours first: S3 answers by the first rule that matches.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html
    """
    there = (found or {}).get("CORSRules", [])
    lines = _lines(there, wanted, "ID")
    ahead = [rule for rule in there[: _last_of_ours(there) + 1] if not _is_ours(rule, "ID")]
    if ahead:
        lines.append(
            Line("differs", f"{_name(ahead[0], 'ID')} stands before ours, and S3 takes the first that matches")
        )
    return _fit(lines, {"CORSRules": [*wanted, *_foreign(there, "ID")]})


def fit_lifecycle(found: Any | None, wanted: Sequence[Rule], purposes: Iterable[Purpose]) -> Diff:
    """Rules of others that cover a purpose's folder too are named: S3 does whatever comes first.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-conflicts.html
    """
    found = found or {}
    there = [_with_filter(rule) for rule in found.get("Rules", [])]
    every = list(purposes)
    lines = _lines(there, wanted, "ID", lambda rule: _overlap(rule, every))
    return _fit(lines, {**found, "Rules": [*wanted, *_foreign(there, "ID")]})


def fit_policy(found: Any | None, wanted: Sequence[Rule], *, keep: Sequence[str] = ()) -> Diff:
    """Statements of a bucket policy; of ours those whose Sid is in `keep` stay although they are not wanted now."""
    document = found or {"Version": "2012-10-17"}
    statements = document.get("Statement", [])
    there = [statements] if isinstance(statements, dict) else list(statements)
    kept = [rule for rule in there if rule.get("Sid") in keep and rule["Sid"] not in {each["Sid"] for each in wanted}]
    wanted = [*wanted, *kept]
    return _fit(_lines(there, wanted, "Sid"), {**document, "Statement": [*_foreign(there, "Sid"), *wanted]})


def fit_whole(found: Any | None, wanted: Rule, what: str) -> Diff:
    """Return a part that is one value: every member that is wanted must be there with its value; others stay."""
    if found is None:
        return Diff([Line("missing", what)], wanted)
    if all(_same(found.get(name), value) for name, value in wanted.items()):
        return Diff([Line("ok", what)], None)
    return Diff([Line("differs", what)], {**found, **wanted})


def fit_events(found: Any | None, wanted: Rule) -> Diff:
    """Those who are told of new objects, with EventBridge among them. S3 takes them all in one document.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html
    """
    found = found or {}
    told: State = "ok" if wanted.keys() <= found.keys() else "missing"
    others = [rule for name, rules in found.items() if name not in wanted for rule in rules]
    return _fit([Line(told, "EventBridge"), *(Line("kept", _name(rule, "Id")) for rule in others)], {**found, **wanted})


def fit_encryption(found: Any | None, wanted: Rule) -> Diff:
    """Return the bucket's default encryption. Where no key of KMS is asked for, one that is there is not taken away."""
    rule = ((found or {}).get("Rules") or [{}])[0]
    default = rule.get("ApplyServerSideEncryptionByDefault", {})
    algorithm, key = default.get("SSEAlgorithm"), str(default.get("KMSMasterKeyID", ""))
    (target,) = wanted["Rules"]
    asked = target["ApplyServerSideEncryptionByDefault"]
    asked_key = str(asked.get("KMSMasterKeyID", ""))
    # S3 may give a key back by its ARN that was named by its id or alias.
    same_key = key == asked_key or key.endswith((f"/{asked_key}", f":{asked_key}"))
    if algorithm and (not asked_key or (same_key and rule.get("BucketKeyEnabled"))):
        return Diff([Line("ok", f"{algorithm} {key}".rstrip())], None)
    what = f"{asked['SSEAlgorithm']} {asked_key}".rstrip()
    seen = " ".join(filter(None, (algorithm, key, "" if rule.get("BucketKeyEnabled") else "without a bucket key")))
    line = Line("differs", f"{what}, not {seen}") if algorithm else Line("missing", what)
    return Diff([line], {"Rules": [{**rule, **target}]})


def _fit(lines: list[Line], put: Any) -> Diff:
    return Diff(lines, put if any(line.state in TO_DO for line in lines) else None)


def _lines(
    there: Sequence[Rule], wanted: Sequence[Rule], name: str, about: Callable[[Rule], str] = lambda _: ""
) -> list[Line]:
    """One line for each rule that is wanted, then for what is there beside them; `about` ends those of others."""
    found = {rule[name]: rule for rule in there if _is_ours(rule, name)}
    lines = []
    for rule in wanted:
        state: State = "missing" if rule[name] not in found else "ok" if _same(found[rule[name]], rule) else "differs"
        lines.append(Line(state, rule[name]))
    unwanted = found.keys() - {rule[name] for rule in wanted}
    lines += [Line("unwanted", one) for one in sorted(unwanted)]
    return [*lines, *(Line("kept", f"{_name(rule, name)}{about(rule)}") for rule in _foreign(there, name))]


def _is_ours(rule: Rule, name: str) -> bool:
    return str(rule.get(name, "")).startswith(OURS)


def _foreign(rules: Sequence[Rule], name: str) -> list[Rule]:
    return [rule for rule in rules if not _is_ours(rule, name)]


def _name(rule: Rule, name: str) -> str:
    return str(rule.get(name) or "a rule without a name")


def _last_of_ours(rules: Sequence[Rule]) -> int:
    return max((index for index, rule in enumerate(rules) if _is_ours(rule, "ID")), default=-1)


def _with_filter(rule: Rule) -> Rule:
    """Return the prefix in a filter: S3 takes no configuration that has it in some rules and beside them in others."""
    if "Filter" in rule:
        return rule
    return {name: value for name, value in rule.items() if name != "Prefix"} | {
        "Filter": {"Prefix": rule.get("Prefix", "")}
    }


def _overlap(rule: Rule, purposes: Sequence[Purpose]) -> str:
    """Return what a foreign rule may do to our folders, as the end of a line."""
    if rule.get("Status") != "Enabled":
        return ""
    where = rule["Filter"].get("And", rule["Filter"]).get("Prefix", "")
    folders = [
        purpose.prefix for purpose in purposes if where.startswith(purpose.prefix) or purpose.prefix.startswith(where)
    ]
    return f" (covers {', '.join(folders)} too; S3 does what comes first)" if folders else ""


def _same(one: Any, other: Any) -> bool:
    return bool(_plain(one) == _plain(other))


def _plain(value: Any) -> Any:
    """Return a value without what servers write differently: the order of lists, a list of one, an empty prefix."""
    if isinstance(value, dict):
        return {name: plain for name, each in value.items() if (plain := _plain(each)) not in ("", [], {})}
    if isinstance(value, list | tuple):
        return _plain(value[0]) if len(value) == 1 else sorted((_plain(each) for each in value), key=repr)
    return value
