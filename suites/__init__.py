"""What it is measured on: data sets, referees and suite definitions."""
