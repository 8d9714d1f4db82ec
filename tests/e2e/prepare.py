"""What the tests of the deployment need from outside, fetched before the network is closed: `make e2e` runs this.

MiniStack, the AWS CLI, certificates, and in the engine's storage the image's base and every layer of the image
that comes from a package index. They stay in the cache of the tests' servers.
"""

MINISTACK_VERSION = "1.5.33"
AWS_CLI_VERSION = "1.46.2"
REGION = "ap-northeast-2"
BASE_IMAGE = "localhost/e2e-base:latest"
# Every name that the deployment, the service and its clients call.
HOSTS = [
    "*.amazonaws.com",
    f"*.{REGION}.amazonaws.com",
    f"api.ecr.{REGION}.amazonaws.com",
    f"*.dkr.ecr.{REGION}.amazonaws.com",
    f"*.s3.{REGION}.amazonaws.com",
    f"*.lambda-url.{REGION}.on.aws",
    "*.cloudfront.net",
]
