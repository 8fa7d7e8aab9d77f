"""What the commands that administer teams and keys have in common: two clients, options and output."""
