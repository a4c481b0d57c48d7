"""The description for PyPI, where files of the repository are out of reach: README.md without links to them."""

import re
from pathlib import Path

from setuptools import setup

text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
text = re.sub(r"^<!--.*?-->\n|^!\[[^\]]*\]\((?!https?:)[^)]*\)\n+\([^)]*\)\n+", "", text, flags=re.M | re.S)
text = re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text)

setup(long_description=text, long_description_content_type="text/markdown")
