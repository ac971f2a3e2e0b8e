"""What is wrong with a copy of a data set: files, labels, duplicates, masks, patients, shortcuts."""

from retinalab.data.check.check import Shortcut, check_set
from retinalab.data.check.findings import KINDS, Check, Finding, Kind, as_json
from retinalab.data.check.photographs import Glance
from retinalab.data.check.thumbnails import thumbnails

__all__ = ["KINDS", "Check", "Finding", "Glance", "Kind", "Shortcut", "as_json", "check_set", "thumbnails"]
