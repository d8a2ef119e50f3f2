"""What is compared: one module or package per anonymization method."""
