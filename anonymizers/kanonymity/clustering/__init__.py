"""Ways to divide persons into groups of at least k, one module per family; ``partition`` is the door to all of them."""
