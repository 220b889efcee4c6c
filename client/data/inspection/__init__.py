"""What a folder of scans holds, what is wrong with it, and how to cure that."""
