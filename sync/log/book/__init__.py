"""The content of the open file as memory has it, and how each part of it is read from the file."""
