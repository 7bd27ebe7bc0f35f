"""From a live failure, or from a printed one, to plain data: `gather` reads the living program, `log` reads text and needs no torch."""
