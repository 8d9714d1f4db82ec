"""The bucket's rules and the role's rights: what they are for, and what they never allow."""

import re
from fnmatch import fnmatchcase
from typing import Any

import pytest

from image_upload import limits
from image_upload.bucket_config import rules
from image_upload.domain import purposes
from image_upload.domain.shipped_purposes import PURPOSES
from image_upload.s3.errors import _ACTIONS

EVERY = PURPOSES.every()
CDN = "arn:aws:cloudfront::111122223333:distribution/E2ABC"


def lifecycle(**days: int) -> dict[str, dict[str, Any]]:
    return {rule["ID"]: rule for rule in rules.lifecycle_rules(EVERY, **days)}


def granted(statements: list[dict[str, Any]], action: str, arn: str) -> bool:
    return any(
        each["Effect"] == "Allow"
        and action in each["Action"]
        and any(fnmatchcase(arn, resource) for resource in each["Resource"])
        for each in statements
    )


# --- purposes -------------------------------------------------------------------------------------


def test_no_two_purposes_share_a_folder_and_every_key_is_in_its_own() -> None:
    prefixes = [purpose.prefix for purpose in EVERY]
    assert len(set(prefixes)) == len(prefixes)
    for purpose in EVERY:
        assert re.fullmatch(r"[a-z]+/", purpose.prefix)
        assert purposes.of_key(purpose.key, EVERY) is purpose


def test_a_key_in_no_folder_has_no_purpose() -> None:
    assert [purposes.of_key(key, EVERY) for key in ("", "scans", "other/a.jpg", "Scans/a", "x/scans/a")] == [None] * 5


def test_what_ends_by_itself_does_not_cool() -> None:
    assert [purpose.name for purpose in EVERY if purpose.cools and purpose.kept_days is not None] == []


# --- CORS -----------------------------------------------------------------------------------------


def test_a_browser_may_do_what_plans_ask_of_it_and_read_the_etag() -> None:
    (rule,) = rules.cors_rules(["https://app.example.com"])
    assert rule["AllowedOrigins"] == ["https://app.example.com"]
    assert set(rule["AllowedMethods"]) == {"PUT", "POST", "GET", "HEAD", "DELETE"}
    assert rule["AllowedHeaders"] == ["*"]
    assert "ETag" in rule["ExposeHeaders"]


def test_no_exposed_header_is_a_wildcard() -> None:
    """S3 refuses the whole configuration for one."""
    assert [name for name in rules.EXPOSED_HEADERS if "*" in name] == []


def test_without_origins_no_browser_is_let_in() -> None:
    assert rules.cors_rules([]) == []


# --- life times -----------------------------------------------------------------------------------


def test_what_ends_ends_after_its_days_and_nothing_else_does() -> None:
    ends = {
        rule["Filter"]["Prefix"]: rule["Expiration"]["Days"]
        for rule in lifecycle().values()
        if "Days" in rule.get("Expiration", {})
    }
    of_purposes = {"scans/": 30, "chat/": 7}
    own = {"incoming/": 1, "rejected/": 1, "quarantine/": 30, "jobs/": 7, "resumable/": 2}
    assert ends == of_purposes | own | {f"variants/{prefix}": days for prefix, days in of_purposes.items()}


def test_an_unfinished_upload_outlives_no_ticket_and_no_ticket_outlives_it() -> None:
    rule = lifecycle()["image-upload-abort-unfinished"]
    assert rule["Filter"] == {"Prefix": ""}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert limits.TICKET_EXPIRES_S == 86_400


def test_in_a_versioned_bucket_nothing_that_was_removed_stays_for_ever() -> None:
    rule = lifecycle()["image-upload-old-versions"]
    assert rule["Filter"] == {"Prefix": ""}
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert rule["Expiration"] == {"ExpiredObjectDeleteMarker": True}
    assert lifecycle()["image-upload-expire-chat"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}


def test_every_rule_is_on_and_known_as_ours() -> None:
    every = lifecycle(ia_after_days=30, glacier_after_days=90)
    assert [
        name for name, rule in every.items() if not name.startswith(rules.OURS) or rule["Status"] != "Enabled"
    ] == []
    assert all(len(name) <= 255 for name in every)


def test_only_what_cools_moves_to_cheaper_storage_and_only_where_it_is_wanted() -> None:
    assert [rule for rule in lifecycle().values() if "Transitions" in rule] == []
    moved = {
        rule["Filter"]["Prefix"]: rule["Transitions"]
        for rule in lifecycle(ia_after_days=30, glacier_after_days=60).values()
        if "Transitions" in rule
    }
    steps = [{"Days": 30, "StorageClass": "STANDARD_IA"}, {"Days": 60, "StorageClass": "GLACIER_IR"}]
    assert moved == dict.fromkeys(("audio/", "documents/", "files/", "users/"), steps)


def test_glacier_is_the_kind_that_a_presigned_get_reads_at_once() -> None:
    (steps,) = {str(rule["Transitions"]) for rule in lifecycle(glacier_after_days=0).values() if "Transitions" in rule}
    assert steps == "[{'Days': 0, 'StorageClass': 'GLACIER_IR'}]"


@pytest.mark.parametrize(
    "days",
    [{"ia_after_days": 29}, {"ia_after_days": 30, "glacier_after_days": 59}, {"glacier_after_days": -1}],
)
def test_days_that_s3_refuses_are_refused_before(days: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="S3"):
        rules.lifecycle_rules(EVERY, **days)


# --- rights ---------------------------------------------------------------------------------------


def test_every_right_that_a_refusal_names_is_granted() -> None:
    statements = rules.statements("aws", "pictures", EVERY)
    # The stack grants the tags of arrivals to the function that asks GuardDuty's verdict: infra/verifier.py.
    for operation, named in (each for each in _ACTIONS.items() if each[0] != "GetObjectTagging"):
        for action in named.split(" and "):
            arn = (
                "arn:aws:s3:::pictures" if action.startswith("s3:ListBucket") else "arn:aws:s3:::pictures/uploads/a.jpg"
            )
            assert granted(statements, action, arn), (operation, action)


@pytest.mark.parametrize("purpose", EVERY, ids=lambda purpose: purpose.name)
def test_the_role_may_write_read_and_remove_what_a_purpose_holds(purpose: purposes.Purpose) -> None:
    statements = rules.statements("aws", "pictures", EVERY)
    for action in ("s3:PutObject", "s3:GetObject", "s3:DeleteObject"):
        assert granted(statements, action, f"arn:aws:s3:::pictures/{purpose.prefix}a")


def test_the_role_may_touch_no_other_folder_and_no_other_bucket() -> None:
    statements = rules.statements("aws", "pictures", EVERY)
    for arn in ("pictures/other/a", "pictures/scans", "pictures2/scans/a", "pictures"):
        assert not granted(statements, "s3:PutObject", f"arn:aws:s3:::{arn}"), arn
    assert granted(
        rules.statements("aws", "pictures", EVERY, folders=["other"]), "s3:PutObject", "arn:aws:s3:::pictures/other/a"
    )


def test_health_can_ask_for_the_bucket() -> None:
    """HeadBucket names no prefix: a condition on one would refuse it."""
    (listing,) = [each for each in rules.statements("aws", "b", EVERY) if "s3:ListBucket" in each["Action"]]
    assert "Condition" not in listing


def test_no_right_is_a_wildcard_and_no_name_is_one_that_iam_refuses() -> None:
    for each in rules.statements("aws-cn", "b", EVERY, kms_key_arn="arn:aws-cn:kms:cn-north-1:1:key/k"):
        assert not any("*" in action for action in each["Action"])
        assert re.fullmatch("[A-Za-z0-9]+", each["Sid"])
        assert all(resource.startswith("arn:aws-cn:") for resource in each["Resource"])


def test_a_key_of_kms_can_be_used_for_writing_in_parts_and_reading_and_for_nothing_else() -> None:
    (key,) = [
        each for each in rules.statements("aws", "b", EVERY, kms_key_arn="arn:k") if each["Resource"] == ["arn:k"]
    ]
    assert set(key["Action"]) == {"kms:GenerateDataKey", "kms:Decrypt"}


# --- the bucket's own policy ----------------------------------------------------------------------


def test_requests_without_tls_are_denied() -> None:
    (deny,) = rules.bucket_policy("aws", "pictures", EVERY)
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", "s3:*")
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert deny["Resource"] == ["arn:aws:s3:::pictures", "arn:aws:s3:::pictures/*"]


def test_the_cdn_reads_pictures_for_one_distribution_and_nothing_else() -> None:
    _, cdn = rules.bucket_policy("aws", "pictures", EVERY, CDN)
    assert cdn["Action"] == "s3:GetObject"
    assert cdn["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    assert cdn["Condition"] == {"StringEquals": {"AWS:SourceArn": CDN}}
    assert cdn["Resource"] == [
        f"arn:aws:s3:::pictures/{own}{folder}/*"
        for folder in ("uploads", "scans", "profiles", "chat", "misc")
        for own in ("", "variants/")
    ]


def test_nothing_can_be_made_public() -> None:
    assert set(rules.public_access_block().values()) == {True}
    assert len(rules.public_access_block()) == 4
    assert rules.public_access_block().keys() - rules.public_access_block(on_aws=False).keys() == {"BlockPublicAcls"}
    assert rules.ownership() == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def test_what_is_stored_is_encrypted() -> None:
    (rule,) = rules.encryption()["Rules"]
    assert rule == {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    (rule,) = rules.encryption("alias/uploads")["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/uploads"}
    assert rule["BucketKeyEnabled"] is True
