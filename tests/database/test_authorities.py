"""Which authorities are shipped, and which of them is asked of which database."""

import hashlib
import os
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import certifi
import pytest
from cryptography import x509

from image_upload.database import authorities
from image_upload.settings import SettingsError
from tests.database.databases import settings_with
from tests.database.test_engine import DSQL, KEYS, PRODUCTION, RDS, parameters

CERTIFI = certifi.where()
BUNDLE = str(authorities.RDS)
PROXY = "uploads.proxy-abcdefghijkl.us-east-1.rds.amazonaws.com"


def names(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


def test_the_bundle_of_rds_is_the_one_that_was_compared() -> None:
    assert hashlib.sha256(authorities.RDS.read_bytes()).hexdigest() == authorities.RDS_SHA256
    assert f"\n{authorities.RDS_SHA256}  -\n" in Path("docs/unverified.md").read_text(encoding="utf-8")


def test_the_bundle_of_rds_holds_three_living_roots_a_region() -> None:
    roots = x509.load_pem_x509_certificates(authorities.RDS.read_bytes())
    now = datetime.now(UTC)
    for root in roots:
        root.verify_directly_issued_by(root)
        assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert root.not_valid_before_utc < now < root.not_valid_after_utc
        assert names(root).startswith("Amazon RDS ")
    assert len({names(root) for root in roots}) == len(roots) == 36 * 3
    assert {f"Amazon RDS {region} Root CA RSA2048 G1" for region in ("us-east-1", "eu-west-1", "ap-northeast-2")} <= {
        names(root) for root in roots
    }
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authorities.RDS)
    assert context.cert_store_stats()["x509_ca"] == len(roots)


def test_certifi_holds_amazons_public_roots() -> None:
    context = ssl.create_default_context(cafile=CERTIFI)
    subjects = [str(root["subject"]) for root in context.get_ca_certs()]
    for number in range(1, 5):
        assert [subject for subject in subjects if f"'Amazon Root CA {number}'" in subject]


@pytest.mark.parametrize(
    ("host", "auth", "file"),
    [
        (RDS, "rds-iam", BUNDLE),
        ("uploads.cluster-ro-abcdefghijkl.ap-northeast-2.rds.amazonaws.com", "rds-iam", BUNDLE),
        (PROXY, "rds-iam", CERTIFI),
        (f"reads.endpoint.{PROXY.partition('.')[2]}", "rds-iam", CERTIFI),
        (DSQL, "dsql-iam", CERTIFI),
        ("db.example.com", "rds-iam", BUNDLE),
        ("a.proxy-b.us-east-1.rds.amazonaws.com.example.com", "rds-iam", BUNDLE),
    ],
)
def test_a_token_goes_to_a_server_whom_awss_authority_has_named(host: str, auth: str, file: str) -> None:
    found = parameters(f"postgresql://me@{host}/records", DATABASE_AUTH=auth, **KEYS)
    assert (found["sslmode"], found["sslrootcert"]) == ("verify-full", file)


@pytest.mark.parametrize("auth", ["password", "rds-iam", "dsql-iam"])
def test_libpq_is_never_left_alone_with_the_systems_authorities(auth: str) -> None:
    environ: dict[str, Any] = {"DATABASE_AUTH": auth, **KEYS, **PRODUCTION}
    found = parameters("postgresql://me@db.example.com/records?sslrootcert=system", **environ)
    assert found["sslmode"] == "verify-full"
    assert Path(found["sslrootcert"]).is_file()


def test_ssl_cert_file_says_what_the_systems_authorities_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.pem"
    own.write_bytes(authorities.RDS.read_bytes())
    monkeypatch.setitem(os.environ, "SSL_CERT_FILE", str(own))
    assert authorities.of_system() == str(own)
    monkeypatch.setitem(os.environ, "SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    assert authorities.of_system() == CERTIFI


@pytest.mark.parametrize("mode", ["require", "verify-ca", "disable"])
def test_nothing_weaker_stands_beside_the_systems_authorities(mode: str) -> None:
    url = f"postgresql://me:hidden@db.example.com/records?sslmode={mode}&sslrootcert=system"
    with pytest.raises(SettingsError, match="DATABASE_URL: with sslrootcert=system sslmode is verify-full") as refused:
        settings_with(url)
    assert "hidden" not in str(refused.value)
