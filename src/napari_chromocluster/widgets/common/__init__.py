"""Code shared by the docks."""
