"""What is wrong with a copy of a data set: files, labels, duplicates, masks, patients, shortcuts."""

from retinalab.data.check.findings import KINDS, Check, Finding, Kind

__all__ = ["KINDS", "Check", "Finding", "Kind"]
