"""The style-based generator of AnonFACES: network, files, training, projection, mixing."""
