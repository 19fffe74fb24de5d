"""Glyphs of three by five pixels: the smallest print of the picture world.

They are small on purpose. At the full view a stroke is one pixel wide and can be read; in the quarter view one pixel
covers four of them and the stroke is gone; `tests/property/world/test_generate.py` measures that on rendered pixels.
Only letters whose five rows differ from every other glyph's in at least two pixels are used.
"""

from typing import Final

WIDTH: Final = 3
HEIGHT: Final = 5

DIGITS: Final = "0123456789"
LETTERS: Final = "ACEFHJKLPTUX"

_ROWS: Final[dict[str, str]] = {
    "0": "### #.# #.# #.# ###",
    "1": ".#. ##. .#. .#. ###",
    "2": "### ..# ### #.. ###",
    "3": "### ..# .## ..# ###",
    "4": "#.# #.# ### ..# ..#",
    "5": "### #.. ### ..# ###",
    "6": "#.. #.. ### #.# ###",
    "7": "### ..# ..# .#. .#.",
    "8": "### #.# ### #.# ###",
    "9": "### #.# ### ..# ..#",
    "A": ".#. #.# ### #.# #.#",
    "C": ".## #.. #.. #.. .##",
    "E": "### #.. ##. #.. ###",
    "F": "### #.. ##. #.. #..",
    "H": "#.# #.# ### #.# #.#",
    "J": "..# ..# ..# #.# .#.",
    "K": "#.# ##. #.. ##. #.#",
    "L": "#.. #.. #.. #.. ###",
    "P": "##. #.# ##. #.. #..",
    "T": "### .#. .#. .#. .#.",
    "U": "#.# #.# #.# #.# ###",
    "X": "#.# #.# .#. #.# #.#",
}


def pixels(character: str) -> tuple[tuple[int, int], ...]:
    """The inked pixels (x, y) of a character, origin at its top left; KeyError for one that has no glyph."""
    return tuple((x, y) for y, row in enumerate(_ROWS[character].split()) for x, ink in enumerate(row) if ink == "#")
