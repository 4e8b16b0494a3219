"""live/ judged again: inventory, cases and their clocks, reactions, proposals."""
