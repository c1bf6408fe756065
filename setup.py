"""Compiles what is compiled, where there is a C compiler; without one the package is whole, but slower.

Everything else about the package stands in pyproject.toml.
"""

from Cython.Build import cythonize
from setuptools import Extension, setup

COMPILED = ["khupho/wire/rtp/packet_loop.py"]

setup(
    ext_modules=cythonize(
        [
            Extension(path.removesuffix(".py").replace("/", "."), [path], optional=True)
            for path in COMPILED
        ],
        build_dir="build",
    )
)
