"""Deploys an environment: image, CloudFormation stack, smoke test. Run by deploy.sh."""
