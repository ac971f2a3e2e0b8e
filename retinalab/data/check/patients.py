"""Patients: who is on two sides of the official parts, and who was photographed more than once."""

from __future__ import annotations

import pandas as pd

from retinalab.data.check.findings import Finding
from retinalab.records import Records

__all__ = ["patient_facts", "patients_on_two_sides"]


def patients_on_two_sides(records: Records) -> list[Finding]:
    """One finding per named patient whose photographs lie in several official parts."""
    table = _named(records)
    table = table[table["part"] != ""]
    sides = table.groupby("patient")["part"].nunique()
    both = table[table["patient"].isin(sides.index[sides > 1])]
    found = []
    for patient, mine in both.groupby("patient", sort=False):
        counts = mine["part"].value_counts(sort=False)
        listed = ", ".join(f"{count} in {part}" for part, count in counts.items())
        images = tuple(mine["image"].astype(str))
        found.append(Finding("patient-split", images, f"patient {patient}: {listed}"))
    return found


def patient_facts(records: Records) -> dict[str, int]:
    """Numbers of patients, of those with both eyes and of those with several views of one eye."""
    table = _named(records)
    if table.empty:
        return {}
    patients = table.groupby("patient")
    with_eye = table[table["eye"] != ""]
    eyes = with_eye.groupby("patient")["eye"].nunique()
    views = with_eye.groupby(["patient", "eye"]).size()
    several = views[views > 1].reset_index()["patient"].nunique()
    return {
        "patients": int(patients.ngroups),
        "patients with both eyes": int((eyes > 1).sum()),
        "patients with several views of an eye": int(several),
        "photographs of a patient, at most": int(patients.size().max()),
    }


def _named(records: Records) -> pd.DataFrame:
    table = records.table
    return table[table["patient"] != ""]
