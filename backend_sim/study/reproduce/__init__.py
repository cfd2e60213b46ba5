"""Published figures computed again, one file each."""
