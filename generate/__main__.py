"""`python -m generate`: write every file that repeats the code. The test that finds one stale is in tests/generate."""

from generate.files import ROOT, stale


def main() -> None:
    """Write what has changed, and say so."""
    for path, text in stale().items():
        (ROOT / path).write_text(text, encoding="utf-8")
        print(f"{path} is written")


if __name__ == "__main__":
    main()
