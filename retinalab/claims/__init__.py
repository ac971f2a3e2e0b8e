"""What papers printed, cell by cell, as data: value, protocol, and what reproduces it."""

from retinalab.claims.claim import Claim, Place
from retinalab.claims.file import Cell, ClaimsFile, Column, Details, Origin, PublishedProtocol, Row, Table
from retinalab.claims.load import check_experiments, claims_file, load_claims

__all__ = [
    "Cell",
    "Claim",
    "ClaimsFile",
    "Column",
    "Details",
    "Origin",
    "Place",
    "PublishedProtocol",
    "Row",
    "Table",
    "check_experiments",
    "claims_file",
    "load_claims",
]
