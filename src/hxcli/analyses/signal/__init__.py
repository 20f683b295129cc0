"""How much alike relatives are: K and lambda."""
