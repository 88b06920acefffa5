"""The local stack: real servers as supervised processes of one home folder."""
