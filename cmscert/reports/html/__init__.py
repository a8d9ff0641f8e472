"""Reports as one HTML file each, for the change board and the auditor."""
