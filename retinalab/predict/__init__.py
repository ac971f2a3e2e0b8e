"""A finished run's networks applied to photographs that nobody has graded."""
