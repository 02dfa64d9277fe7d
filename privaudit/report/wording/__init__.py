"""Every sentence of the report, one file a section, and the facts of an audit in words.

Templates and sections hold no text. A sentence here never calls a model by one of the words in
`page.FORBIDDEN`; only `page.DISCLAIMER`, which is fixed, names them.
"""
