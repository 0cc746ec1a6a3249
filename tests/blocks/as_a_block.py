"""What Prefect asks of every block, with a logo that needs no internet."""

from pathlib import Path

import prefect
from prefect.testing.standard_test_suites import BlockStandardTestSuite

from deployments.block_documents import LOGO


class AsABlock(BlockStandardTestSuite):
    def test_has_a_valid_image(self) -> None:
        """Prefect's own test reads the logo from the internet; a deploy takes one that every server has."""
        picture = Path(prefect.__ui_static_path__) / LOGO
        assert picture.read_bytes().startswith(b"\x89PNG")
