"""The auditor's part: checks that logs are whole and rebuilds what was made of them. It reads; it changes nothing."""
