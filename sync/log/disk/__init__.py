"""What lies on the disk: the file's tables and blocks, what stands beside the file, what an error says."""
