"""A file that was put aside: what it still holds, brought over."""
