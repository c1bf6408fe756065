"""The commands of `khupho`, one module a family; imported only when one is asked for."""
