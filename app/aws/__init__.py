"""Reads what botocore and AWS's configuration files say, without keeping botocore in the serving process."""
