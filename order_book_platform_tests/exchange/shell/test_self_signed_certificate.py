"""The certificate that the exchange makes: for loopback, signed by itself, its key readable by its owner only."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from order_book_platform.exchange.shell.self_signed_certificate import server_context, write_certificate
from order_book_platform_tests.exchange.clients import START_NS


def test_a_certificate_is_for_loopback_and_a_month(tmp_path: Path) -> None:
    """It names localhost and the loopback addresses, and is valid from a day before; a second one replaces it."""
    for _ in range(2):
        certificate_file, key_file = write_certificate(tmp_path / "new", START_NS)
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        server_context(certificate_file, key_file)
    found = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    now = datetime.fromtimestamp(START_NS / 1e9, tz=UTC)
    assert found.not_valid_before_utc <= now - timedelta(hours=23)
    assert found.not_valid_after_utc >= now + timedelta(days=29)
