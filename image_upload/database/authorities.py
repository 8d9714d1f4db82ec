"""The certificate authorities for a database's certificate, as files for libpq.

The OpenSSL in psycopg's wheels has the certificate path of the machine that built it, so libpq's
`sslrootcert=system` finds none. So libpq always gets a file:

- RDS and Aurora: `rds-global-bundle.pem` beside this module, with AWS's three roots of each region. It is
  https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem of 2026, byte for byte; `RDS_SHA256`
  is its digest. https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html
  For China and GovCloud, name their bundles by `sslrootcert` in DATABASE_URL.
- Aurora DSQL and RDS Proxy: certifi's public authorities, Amazon's among them.
  https://docs.aws.amazon.com/aurora-dsql/latest/userguide/configure-root-certificates.html
  https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.howitworks.html#rds-proxy-security
"""

import re
import ssl
from pathlib import Path
from typing import Final

import certifi

SYSTEM: Final = "system"
RDS: Final = Path(__file__).with_name("rds-global-bundle.pem")
RDS_SHA256: Final = "e5bb2084ccf45087bda1c9bffdea0eb15ee67f0b91646106e466714f9de3c7e3"

# name.proxy-id.REGION.rds.amazonaws.com, also behind endpoint-name.endpoint.
_RDS_PROXY = re.compile(r"\.proxy-[0-9a-z-]+\.[a-z0-9-]+\.rds\.amazonaws\.com(?:\.cn)?$")


def of_system() -> str:
    """Return the CA file that Python's OpenSSL uses (SSL_CERT_FILE), else certifi's."""
    return ssl.get_default_verify_paths().cafile or certifi.where()


def of_aws(host: str, auth: str) -> str:
    """Return the CA file for an AWS database at `host` that takes the tokens of `auth` (DATABASE_AUTH)."""
    return certifi.where() if auth == "dsql-iam" or _RDS_PROXY.search(host) else str(RDS)
