"""Files on this machine: replaced whole, read up to a limit, gone with their process."""
