"""What the shipper asks of the log: batches leased, settled, cut, sent again; whose log it is, where it goes."""
