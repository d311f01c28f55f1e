"""What a Pod is to be, and what it says of its worker. Pure, apart from the reading of template files."""
