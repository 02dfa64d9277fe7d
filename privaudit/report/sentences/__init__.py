"""Every sentence of the report, in one place: short words, natural frequencies, always an interval.

Templates and sections hold none. A sentence here never calls a model by one of the words in
`FORBIDDEN`; only `DISCLAIMER`, which is fixed, names them. One file a topic; all are read as
`from privaudit.report import sentences as say`.
"""

from __future__ import annotations

from privaudit.report.sentences.about import *  # noqa: F403
from privaudit.report.sentences.answer import *  # noqa: F403
from privaudit.report.sentences.cohort import *  # noqa: F403
from privaudit.report.sentences.contents import *  # noqa: F403
from privaudit.report.sentences.coverage import *  # noqa: F403
from privaudit.report.sentences.criteria import *  # noqa: F403
from privaudit.report.sentences.dpia import *  # noqa: F403
from privaudit.report.sentences.findings import *  # noqa: F403
from privaudit.report.sentences.frame import *  # noqa: F403
from privaudit.report.sentences.joint import *  # noqa: F403
from privaudit.report.sentences.officer import *  # noqa: F403
from privaudit.report.sentences.promises import *  # noqa: F403
from privaudit.report.sentences.reduce import *  # noqa: F403
from privaudit.report.sentences.rules import *  # noqa: F403
from privaudit.report.sentences.synthetic import *  # noqa: F403
from privaudit.report.sentences.tradeoff import *  # noqa: F403
from privaudit.report.sentences.training import *  # noqa: F403
from privaudit.report.sentences.words import *  # noqa: F403
