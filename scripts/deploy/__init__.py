"""Deploys one environment: the image, the stack around it, and the check that it serves. Started by deploy.sh."""
