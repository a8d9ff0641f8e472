"""What to type and what the answer means: the appliance's language as pure text."""
