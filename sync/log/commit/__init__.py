"""One thread, one transaction at a time: what waits, carried out and committed, whatever the disk does."""
