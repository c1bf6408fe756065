"""Compiles what is compiled, where there is a C compiler; without one the package is whole, but slower.

Everything else about the package stands in pyproject.toml.
"""

from Cython.Build import cythonize
from setuptools import Extension, setup

COMPILED = ["khupho/wire/rtp/packet_loop.py"]

extensions = cythonize(
    [Extension(path.removesuffix(".py").replace("/", "."), [path]) for path in COMPILED],
    build_dir="build",
)
for extension in extensions:
    extension.optional = True  # cythonize makes new ones, and drops that

setup(ext_modules=extensions)
