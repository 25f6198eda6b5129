"""A run as data, without torch: its record, its bill, its ledger, and which rows are private."""
