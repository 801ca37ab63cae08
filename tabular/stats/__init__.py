"""Arrays in, numbers out: metrics, paired comparisons, intervals, two samples."""
