"""Classes of unittest have no arguments: they find their services as self.real_services."""

import unittest

import pytest

from ledger import balance, book


@pytest.mark.usefixtures("real_services")
class LedgerTest(unittest.TestCase):
    def setUp(self):
        self.db = self.real_services.postgres.connect()

    def test_account_begins_with_nothing(self):
        self.assertEqual(balance(self.db, "ada"), 0)

    def test_account_has_what_was_booked(self):
        book(self.db, "ada", 50)
        book(self.db, "ada", -20)
        self.assertEqual(balance(self.db, "ada"), 30)


@pytest.mark.real_services(template="small")
class FilledLedgerTest(LedgerTest):
    def test_account_begins_with_nothing(self):
        self.assertEqual(balance(self.db, "ada"), 70)

    def test_account_has_what_was_booked(self):
        book(self.db, "ada", -70)
        self.assertEqual(balance(self.db, "ada"), 0)
