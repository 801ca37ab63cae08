"""Files, columns, labels, the data set, its split, and tables written."""
