"""What is found against what is wanted: nothing of others is lost, nothing of ours is overlooked."""

from typing import Any

import pytest

from image_upload.bucket_config import rules
from image_upload.bucket_config.diff import (
    Diff,
    cors,
    encryption,
    events,
    lifecycle,
    policy,
    single_value,
)
from image_upload.domain.shipped_purposes import PURPOSES

EVERY = PURPOSES.every()
WANTED = rules.lifecycle_rules(EVERY)
CORS = rules.cors_rules(["https://app.example.com"])


def states(found: Diff) -> dict[str, str]:
    return {line.what: line.state for line in found.lines}


def test_a_rule_of_others_that_comes_first_hides_ours() -> None:
    """S3 answers by the first rule that matches, and theirs exposes no ETag."""
    theirs = {"AllowedOrigins": ["*"], "AllowedMethods": ["PUT"]}
    found = cors({"CORSRules": [theirs, *CORS]}, CORS)
    assert states(found) == {
        "image-upload-browsers": "ok",
        "a rule without a name": "kept",
        "a rule without a name stands before ours, and S3 takes the first that matches": "differs",
    }
    assert found.put == {"CORSRules": [*CORS, theirs]}
    assert cors(found.put, CORS).put is None


def test_other_origins_than_wanted_are_a_difference() -> None:
    assert states(cors({"CORSRules": rules.cors_rules(["https://old.example.com"])}, CORS)) == {
        "image-upload-browsers": "differs"
    }


def test_the_order_in_which_a_server_lists_does_not_matter() -> None:
    (rule,) = CORS
    shuffled = rule | {"AllowedMethods": rule["AllowedMethods"][::-1], "ExposeHeaders": rule["ExposeHeaders"][::-1]}
    assert cors({"CORSRules": [shuffled]}, CORS).put is None
    assert lifecycle({"Rules": WANTED[::-1]}, WANTED, EVERY).put is None


@pytest.mark.parametrize("empty", [{"Prefix": ""}, {"Filter": {}}, {"Filter": {"Prefix": ""}}])
def test_the_whole_bucket_is_the_same_however_a_server_writes_it(empty: dict[str, Any]) -> None:
    there = [{name: value for name, value in rule.items() if name != "Filter"} | empty for rule in WANTED[-1:]]
    assert lifecycle({"Rules": [*WANTED[:-1], *there]}, WANTED, EVERY).put is None


def test_a_rule_of_the_old_form_is_put_back_with_a_filter() -> None:
    """S3 refuses a configuration with both forms in it."""
    old = {"ID": "old", "Status": "Enabled", "Prefix": "logs/", "Expiration": {"Days": 9}}
    put = lifecycle({"Rules": [old]}, WANTED, EVERY).put
    assert put is not None
    assert put["Rules"][-1] == {
        "ID": "old",
        "Status": "Enabled",
        "Filter": {"Prefix": "logs/"},
        "Expiration": {"Days": 9},
    }


def test_the_least_size_that_moves_stays_what_it_was() -> None:
    put = lifecycle({"Rules": [], "TransitionDefaultMinimumObjectSize": "varies_by_storage_class"}, WANTED, EVERY).put
    assert put is not None
    assert put["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"


@pytest.mark.parametrize(
    ("where", "covers"),
    [
        ({"Filter": {"Prefix": "scans/2026"}}, ["scans/"]),
        ({"Filter": {"And": {"Prefix": "chat/", "Tags": [{"Key": "a", "Value": "b"}]}}}, ["chat/"]),
        ({"Filter": {"Tag": {"Key": "a", "Value": "b"}}}, [purpose.prefix for purpose in EVERY]),
        ({"Prefix": ""}, [purpose.prefix for purpose in EVERY]),
        ({"Filter": {"Prefix": "logs/"}}, []),
        ({"Filter": {"Prefix": ""}, "Status": "Disabled"}, []),
    ],
)
def test_a_rule_of_others_is_shown_with_the_folders_it_covers(where: dict[str, Any], covers: list[str]) -> None:
    theirs = {"ID": "theirs", "Status": "Enabled", "Expiration": {"Days": 1}} | where
    (line,) = [line for line in lifecycle({"Rules": [theirs]}, WANTED, EVERY).lines if line.state == "kept"]
    expected = f"theirs (covers {', '.join(covers)} too; S3 does what comes first)" if covers else "theirs"
    assert line.what == expected


def test_cheaper_storage_that_is_no_longer_wanted_is_taken_back() -> None:
    cooled = rules.lifecycle_rules(EVERY, ia_after_days=30)
    found = lifecycle({"Rules": cooled}, WANTED, EVERY)
    assert states(found)["image-upload-cool-audio"] == "unwanted"
    assert found.put == {"Rules": WANTED}


def test_the_life_time_of_a_removed_purpose_is_kept_until_its_folder_is_forgotten() -> None:
    kept = [purpose for purpose in EVERY if purpose.name != "scan"]
    wanted = rules.lifecycle_rules(kept)
    (gone,) = [rule for rule in WANTED if rule["ID"] == "image-upload-expire-scan"]
    found = lifecycle({"Rules": WANTED}, wanted, kept)
    assert states(found)["image-upload-expire-scan (scans/ has no purpose; --forget-folders ends it)"] == "kept"
    assert found.put is None
    changed = lifecycle({"Rules": [gone]}, wanted, kept)
    assert changed.put == {"Rules": [*wanted, gone]}
    forgotten = lifecycle({"Rules": WANTED}, wanted, kept, forget_folders=True)
    assert states(forgotten)["image-upload-expire-scan"] == "unwanted"
    assert forgotten.put == {"Rules": wanted}


def test_a_purpose_that_moves_to_another_folder_leaves_the_life_time_of_the_old_one() -> None:
    moved = [purpose._replace(key="scans-2/{id}") if purpose.name == "scan" else purpose for purpose in EVERY]
    wanted = rules.lifecycle_rules(moved)
    (old,) = [rule for rule in WANTED if rule["Filter"] == {"Prefix": "scans/"}]
    (variants,) = [rule for rule in WANTED if rule["Filter"] == {"Prefix": "variants/scans/"}]
    put = lifecycle({"Rules": WANTED}, wanted, moved).put
    left = [old | {"ID": "image-upload-kept-scans"}, variants | {"ID": "image-upload-kept-variants/scans"}]
    assert put == {"Rules": [*wanted, *left]}
    again = lifecycle(put, wanted, moved)
    assert again.put is None
    assert states(again)["image-upload-kept-scans (scans/ has no purpose; --forget-folders ends it)"] == "kept"


def test_a_life_time_of_a_folder_that_has_another_purpose_now_is_not_kept() -> None:
    other = [
        purpose._replace(name="papers", kept_days=None) if purpose.name == "scan" else purpose for purpose in EVERY
    ]
    found = lifecycle({"Rules": WANTED}, rules.lifecycle_rules(other), other)
    assert states(found)["image-upload-expire-scan"] == "unwanted"


def test_a_single_statement_is_a_list_of_one() -> None:
    theirs = {"Sid": "theirs", "Effect": "Deny"}
    wanted = rules.bucket_policy("aws", "b", EVERY)
    found = policy({"Version": "2008-10-17", "Id": "x", "Statement": theirs}, wanted)
    assert found.put == {"Version": "2008-10-17", "Id": "x", "Statement": [theirs, *wanted]}
    assert policy(None, wanted).put == {"Version": "2012-10-17", "Statement": wanted}


def test_a_policy_as_s3_writes_it_back_is_the_same() -> None:
    (wanted,) = rules.bucket_policy("aws", "b", EVERY)
    written = wanted | {"Action": ["s3:*"], "Resource": wanted["Resource"][::-1]}
    assert policy({"Statement": [written]}, [wanted]).put is None


def test_one_block_that_is_off_is_a_difference() -> None:
    wanted = rules.public_access_block()
    assert single_value(wanted, wanted, "all").put is None
    assert single_value(wanted | {"BlockPublicPolicy": False}, wanted, "all").put == wanted
    assert single_value(None, wanted, "all").put == wanted


def kms(key: str, *, bucket_key: bool = True) -> dict[str, Any]:
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    return {"Rules": [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": bucket_key}]}


def test_a_key_of_kms_is_not_taken_away_where_none_was_asked_for() -> None:
    assert encryption(kms("arn:aws:kms:eu-north-1:1:key/k"), rules.encryption()).put is None
    assert encryption(rules.encryption(), rules.encryption()).put is None
    assert encryption(None, rules.encryption()).put == rules.encryption()


@pytest.mark.parametrize("asked", ["arn:aws:kms:eu-north-1:1:key/1234", "1234"])
def test_the_key_that_was_asked_for_is_known_by_its_arn_and_its_id(asked: str) -> None:
    assert encryption(kms("arn:aws:kms:eu-north-1:1:key/1234"), rules.encryption(asked)).put is None


@pytest.mark.parametrize("found", [kms("other"), kms("1234", bucket_key=False), rules.encryption(), None])
def test_another_key_or_none_or_no_bucket_key_is_a_difference(found: dict[str, Any] | None) -> None:
    put = encryption(found, rules.encryption("1234")).put
    assert put == rules.encryption("1234")


def test_eventbridge_comes_beside_those_who_are_told_already() -> None:
    theirs: dict[str, Any] = {
        "QueueConfigurations": [{"Id": "theirs", "QueueArn": "arn", "Events": ["s3:ObjectRemoved:*"]}]
    }
    found = events(theirs, rules.events())
    assert states(found) == {"EventBridge": "missing", "theirs": "kept"}
    assert found.put == theirs | {"EventBridgeConfiguration": {}}
    assert events(found.put, rules.events()).put is None
    assert events(None, rules.events()).put == events({}, rules.events()).put == {"EventBridgeConfiguration": {}}
