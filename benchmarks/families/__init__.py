"""What each family of models is worth on the demo shop, beyond one line of accuracy.

A family is one module with a TITLE, `measure` and `lines` (see `family.Family`) and one name in `family.NAMES`; where
there is something to tell of attempts, `NAME.md` is put below its section of results.md.
"""
