"""What an operator does rarely and must not fail at, done here on purpose: on installations that are thrown away."""
