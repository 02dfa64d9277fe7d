"""An audit document as a page."""
