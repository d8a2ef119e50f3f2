"""The ladder of attackers: who re-identifies people on released images, and how often."""
