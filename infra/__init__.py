"""What `deploy.sh` deploys: the CloudFormation template, and what its generated blocks are made with."""
