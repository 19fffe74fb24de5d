"""A real MLflow server for the trainings of this folder; the S3 server is that of all contract tests."""

from tests.contract.tracking.conftest import empty_database, server_uri

__all__ = ["empty_database", "server_uri"]
