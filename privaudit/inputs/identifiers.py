"""What a column's name and the shape of its values say about it: identifiers, dates, what is sensitive.

The identifiers are those of the HIPAA Privacy Rule's safe harbour, 45 CFR 164.514(b)(2)(i).
"""

from __future__ import annotations

import re

PATIENT = (
    "subject_id", "patient_id", "patient_nbr", "patientid", "patient", "patient_number", "person_id",
    "mrn", "medical_record_number", "pat_id", "patient_key", "participant_id", "subject", "pid",
)  # fmt: skip

OUTCOME = (
    "target", "outcome", "label", "died", "death", "dead", "mortality", "hospital_expire_flag",
    "readmitted", "readmission", "y", "class", "diagnosis",
)  # fmt: skip

# (what the safe harbour calls it, words of a column's name)
_IDENTIFIERS: tuple[tuple[str, str], ...] = (
    ("a name", r"(first|last|middle|full|maiden|sur|given|family|patient|subject|physician|doctor|nurse)_?names?|names?|initials"),
    ("a geographic unit below the state", r"address|street|city|town|county|precinct|zip|zip_?code|postal|post_?code|geocode|latitude|longitude|lat|lon|lng|census_?tract|neighbou?rhood"),
    ("a date", r"date|datetime|dob|dod|birth_?date|date_of_birth|birthday|admittime|dischtime|deathtime|charttime|storetime|timestamp|.*_(date|dt|datetime|timestamp)|(admit|admission|discharge|death|visit|event|index)_?(date|time|dt)"),
    ("a telephone or fax number", r"phone|telephone|mobile|cell_?phone|fax|.*_(phone|fax|tel)|tel"),
    ("an e-mail address", r"e_?mails?|.*_e_?mail"),
    ("a social security number", r"ssn|social_?security(_?(number|no|nbr))?|nhs_?(number|no)|national_?id"),
    ("a medical record or other number of a person", r"mrn|medical_?record(_?(number|no|nbr))?|(subject|patient|person|participant|hadm|stay|icustay|encounter|visit|admission|account|member|beneficiary|insurance|policy|claim|case|record|row|study|sample|specimen|provider|caregiver|physician|license|certificate)_?(id|no|nbr|number|key|uuid)|id|uuid|guid|pid|unnamed.*|index|row_?(nr|num|number)|account"),
    ("a vehicle's or device's number", r"(vehicle|device|serial|plate|imei|vin)_?(id|no|nbr|number|serial)?|udi"),
    ("a web address", r"url|uri|website|web_?page|homepage|link"),
    ("an internet address", r"ip|ip_?address|mac_?address"),
    ("a biometric or picture", r"fingerprint|retina|voice_?print|photo|image|picture|face"),
)  # fmt: skip

# (what it is, the whole cell)
SHAPES: tuple[tuple[str, str], ...] = (
    ("an e-mail address", r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$"),
    ("a web address", r"^(https?|ftp)://\S+$"),
    ("an internet address", r"^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$"),
    ("a social security number", r"^\d{3}-\d{2}-\d{4}$"),
    ("a date", r"^(\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2}))([ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"),
    ("a telephone or fax number", r"^(\+\d{1,3}[ -]?)?(\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}$|^\+\d{8,15}$"),
    ("a medical record or other number of a person", r"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"),
    ("a geographic unit below the state", r"^\d{5}-\d{4}$"),
)  # fmt: skip

_SENSITIVE = re.compile(
    r"(^|_)(sex|gender|race|ethnic\w*|age|aged|age_?(band|group|years)|insur\w*|payer|payor|payer_code|medicaid|medicare|"
    r"religion|language|marital\w*|nationality|country|income|education|zip\w*|post_?code|hiv\w*|aids|"
    r"pregnan\w*|disab\w*|psych\w*|mental\w*|depress\w*|suicid\w*|substance|alcohol\w*|drug_?abuse|smok\w*|tobacco|"
    r"sexual\w*|genetic\w*|veteran|homeless\w*|orientation)($|_)"
)  # fmt: skip
_FIXED = re.compile(
    r"(^|_)(age|age_?(band|group|years)|sex|gender|race|ethnic\w*|birth\w*|blood_?(type|group)|height|nationality|country)($|_)"
)

# What is possible in a living or just deceased adult or child, in the units most used: (words, low, high).
_RANGES: tuple[tuple[str, float, float], ...] = (
    (r"age|age_?years|anchor_age", 0, 120),
    (r"heart_?rate|hr|pulse", 0, 350),
    (r"(systolic|sbp|sys_?bp|sysbp|nisysabp|sysabp)\w*", 0, 375),
    (r"(diastolic|dbp|dias_?bp|diasbp|nidiasabp|diasabp)\w*", 0, 375),
    (r"(map|mean_?bp|meanbp|mbp|nimap)\w*", 0, 375),
    (r"(resp|respiratory)_?rate|rr|resprate", 0, 300),
    (r"spo2|sao2|o2_?sat\w*|oxygen_?saturation|fio2_?percent", 0, 100),
    (r"fio2", 0, 1),
    (r"bmi", 5, 150),
    (r"height(_cm)?", 0, 275),
    (r"weight(_kg)?", 0, 700),
    (r"gcs|gcs_?total", 3, 15),
    (r"ph", 6, 8.5),
    (r"glucose\w*|blood_?sugar", 0, 2500),
    (r"cr?eatinine", 0, 150),
    (r"sodium|na", 50, 250),
    (r"potassium|k", 0, 30),
    (r"lactate", 0, 60),
    (r"bilirubin\w*", 0, 100),
    (r"platelets?", 0, 2500),
    (r"wbc", 0, 1000),
    (r"haemoglobin|hemoglobin|hgb|hb", 0, 30),
    (r"haematocrit|hematocrit|hct", 0, 100),
    (r"bun|urea", 0, 400),
    (r"time_in_hospital|los(_days)?|length_of_stay", 0, 3650),
)


def normal(name: str) -> str:
    """A column's name in lower case with underscores: patientName and `Patient name` are patient_name."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


def identifier(name: str) -> str:
    """What of the safe harbour's list a column of this name may hold; "" for nothing."""
    plain = normal(name)
    for what, words in _IDENTIFIERS:
        if re.fullmatch(words, plain):
            return what
    return ""


def sensitive(name: str) -> bool:
    """Whether a column of this name is worth inferring about a patient."""
    return bool(_SENSITIVE.search(normal(name)))


def fixed(name: str) -> bool:
    """Whether what a column of this name holds cannot be changed about a patient."""
    return bool(_FIXED.search(normal(name)))


def possible(name: str) -> tuple[float, float] | None:
    """The range of a well known measurement of this name."""
    plain = normal(name)
    for words, low, high in _RANGES:
        if re.fullmatch(words, plain):
            return float(low), float(high)
    return None


def patient(names: tuple[str, ...]) -> str:
    """The column that names patients, if exactly one name says so best."""
    by_name = {normal(name): name for name in reversed(names)}
    for word in PATIENT:
        if word in by_name:
            return by_name[word]
    return ""


__all__ = ["OUTCOME", "SHAPES", "fixed", "identifier", "normal", "patient", "possible", "sensitive"]
