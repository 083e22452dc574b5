"""``python -m currgym``."""

from currgym.cli import main

if __name__ == "__main__":
    main()
