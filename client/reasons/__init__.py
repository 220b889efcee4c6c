"""Why a scan has its place in the reading order: in words, in pictures, on one page."""
