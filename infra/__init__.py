"""The CloudFormation template that `deploy.sh` deploys, and the code for its generated blocks."""
