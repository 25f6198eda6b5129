"""What pyproject.toml cannot say: `assets/` lies beside the packages in a checkout and inside `app` in a wheel."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["app*", "kdcore*"]), "app.assets"],
    package_dir={"app.assets": "assets"},
)
