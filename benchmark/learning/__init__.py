"""The small networks and the one training loop that referees, attackers and learned anonymizers share."""
