"""Reads botocore's data and AWS's configuration files without keeping botocore in the serving process."""
