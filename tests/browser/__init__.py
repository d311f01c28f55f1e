"""The status page in a real browser: ``make browser-test`` installs what this needs and runs it."""
