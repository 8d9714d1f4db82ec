"""What `deploy.sh` deploys: the CloudFormation template, and the program that keeps it in step with the code."""
