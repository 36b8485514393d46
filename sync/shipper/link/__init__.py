"""The link: whether it is up, who may use it now and for how many bytes."""
