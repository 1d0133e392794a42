"""Questions that the paper does not ask, in the same form as its tables: data, one file each."""
