"""Are printed numbers possible: whole photographs, confusion matrices, means, sizes, held against each other."""

from retinalab.audit.finding import Answer, Verdict
from retinalab.audit.rounding import Printed, printed
from retinalab.audit.shares import possible_counts
from retinalab.audit.table import CHECKS, COLUMNS, Check, read_checks
from retinalab.audit.verdicts import Finding, as_json, audit, judge, summed

__all__ = [
    "CHECKS",
    "COLUMNS",
    "Answer",
    "Check",
    "Finding",
    "Printed",
    "Verdict",
    "as_json",
    "audit",
    "judge",
    "possible_counts",
    "printed",
    "read_checks",
    "summed",
]
