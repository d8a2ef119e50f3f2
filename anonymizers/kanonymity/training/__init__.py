"""How the generator is trained and measured. No released byte depends on it but through the generator's file."""

__apart__ = True
