"""How much of a score hangs on the camera: grades of changed photographs against those of the same ones as they are.

Faults of photographs, the ways in which a photograph is shown to a network, what the networks of a finished run answer,
and how far that agrees with itself and with the reference.
"""
