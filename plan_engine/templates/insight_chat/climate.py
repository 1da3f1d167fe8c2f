"""What the insights are about: how warm and how wet the months are in a few cities (means of many years, rounded)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["CLIMATE", "MEASURES", "MONTHS", "SEASONS"]

MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
SEASONS: Final[Mapping[str, tuple[int, int, int]]] = {
    "winter": (11, 0, 1),
    "spring": (2, 3, 4),
    "summer": (5, 6, 7),
    "autumn": (8, 9, 10),
    "fall": (8, 9, 10),
}
MEASURES: Final[Mapping[str, str]] = {"temperature": "°C", "rain": "days of rain"}
CLIMATE: Final[Mapping[str, Mapping[str, Sequence[float]]]] = {
    "Lisbon": {
        "temperature": (11.6, 12.7, 14.9, 15.9, 18.0, 21.2, 23.1, 23.5, 22.1, 18.8, 15.0, 12.4),
        "rain": (10, 9, 8, 9, 6, 2, 1, 1, 4, 8, 10, 10),
    },
    "Rome": {
        "temperature": (7.5, 8.2, 10.9, 13.8, 18.3, 22.3, 25.2, 25.4, 21.4, 16.9, 12.0, 8.4),
        "rain": (7, 7, 7, 8, 5, 3, 2, 3, 6, 8, 10, 8),
    },
    "Paris": {
        "temperature": (5.4, 6.0, 9.2, 12.2, 15.6, 18.8, 20.9, 20.8, 17.2, 13.2, 8.7, 5.9),
        "rain": (10, 9, 9, 8, 9, 8, 7, 8, 7, 9, 10, 11),
    },
    "Tokyo": {
        "temperature": (5.4, 6.1, 9.4, 14.3, 18.8, 21.9, 25.7, 26.9, 23.3, 18.0, 12.5, 7.7),
        "rain": (5, 6, 10, 10, 11, 13, 11, 9, 12, 11, 8, 5),
    },
    "Helsinki": {
        "temperature": (-3.1, -3.8, -0.7, 4.4, 10.4, 14.9, 18.1, 16.9, 12.3, 6.6, 2.4, -0.7),
        "rain": (9, 8, 7, 7, 7, 9, 8, 10, 9, 11, 12, 12),
    },
    "Cairo": {
        "temperature": (14.1, 15.3, 18.1, 22.0, 25.6, 27.9, 28.9, 28.8, 27.1, 24.3, 19.3, 15.4),
        "rain": (3, 3, 2, 1, 1, 0, 0, 0, 0, 1, 1, 3),
    },
}
"""By city and measure: twelve months."""
