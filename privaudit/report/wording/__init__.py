"""Every sentence of the report, in one place: short words, natural frequencies, always an interval.

Templates and sections hold none. A sentence here never calls a model by one of the words in
`FORBIDDEN`; only `DISCLAIMER`, which is fixed, names them. One file a topic; all are read as
`from privaudit.report import sentences as say`.
"""

from __future__ import annotations

from privaudit.report.wording.about import *  # noqa: F403
from privaudit.report.wording.answer import *  # noqa: F403
from privaudit.report.wording.cohort import *  # noqa: F403
from privaudit.report.wording.contents import *  # noqa: F403
from privaudit.report.wording.coverage import *  # noqa: F403
from privaudit.report.wording.criteria import *  # noqa: F403
from privaudit.report.wording.dpia import *  # noqa: F403
from privaudit.report.wording.findings import *  # noqa: F403
from privaudit.report.wording.frame import *  # noqa: F403
from privaudit.report.wording.joint import *  # noqa: F403
from privaudit.report.wording.officer import *  # noqa: F403
from privaudit.report.wording.promises import *  # noqa: F403
from privaudit.report.wording.reduce import *  # noqa: F403
from privaudit.report.wording.rules import *  # noqa: F403
from privaudit.report.wording.synthetic import *  # noqa: F403
from privaudit.report.wording.tradeoff import *  # noqa: F403
from privaudit.report.wording.training import *  # noqa: F403
from privaudit.report.wording.words import *  # noqa: F403
