"""Fixed knowledge that the report prints: attacks with their papers, families, access, metrics, terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from privaudit.results import Subject


@dataclass(frozen=True)
class Note:
    """An attack in plain words, with where it comes from. guess: what stands for not having the
    release."""

    label: str
    title: str
    how: str
    sources: tuple[str, ...]
    guess: str = ""


ATTACKS: dict[str, Note] = {
    "threshold": Note(
        "Threshold",
        "how sure the model is",
        "Asks the model once about a patient. A model is often surer about patients it has learnt "
        "from, so a very sure and correct answer is read as “was in the training data”.",
        (
            "Yeom et al. 2018, Privacy Risk in Machine Learning, arXiv 1709.01604, section 3",
            "Salem et al. 2019, ML-Leaks, arXiv 1806.01246, section V",
        ),
    ),
    "shadow": Note(
        "Shadow models",
        "learning from copies",
        "Trains copies of the model on other patients, so that it is known who was in. A second "
        "model learns from those copies how answers for training patients look, and is then asked "
        "about the model under audit.",
        ("Shokri et al. 2017, Membership Inference Attacks, arXiv 1610.05820, section V",),
    ),
    "lira": Note(
        "LiRA",
        "likelihood ratio",
        "Trains copies with and without each patient and asks whether the answer of the model "
        "under audit looks more like the copies that saw the patient or like those that did not.",
        (
            "Carlini et al. 2022, Membership Inference Attacks From First Principles, "
            "arXiv 2112.03570, sections V and VI",
        ),
    ),
    "rmia": Note(
        "RMIA",
        "relative likelihood",
        "Compares how likely the model finds the patient’s true outcome with how likely other "
        "models, trained the same way, find it on average.",
        (
            "Zarifzadeh et al. 2024, Low-Cost High-Power Membership Inference Attacks, "
            "arXiv 2312.03262",
        ),
    ),
    "few_shadow_lira": Note(
        "Few-shadow Bayes",
        "likelihood ratio with few copies",
        "The likelihood ratio, made to work with few copies: what is learnt about all patients "
        "together steadies the estimate for each one.",
        (
            "Smyth 2004, Linear models and empirical Bayes methods (the variance prior), "
            "Stat. Appl. Genet. Mol. Biol. 3",
            "Carlini et al. 2022, arXiv 2112.03570, section V (the likelihood ratio)",
            "Zarifzadeh et al. 2024, arXiv 2312.03262, section 3 (the ratio, where it does better)",
        ),
    ),
    "fgsm": Note(
        "FGSM",
        "one step along the gradient",
        "Moves every input by one small step in the direction that hurts the model’s answer most.",
        (
            "Goodfellow et al. 2015, Explaining and Harnessing Adversarial Examples, arXiv 1412.6572",
        ),
    ),
    "pgd": Note(
        "PGD",
        "many steps along the gradient",
        "Takes many small harmful steps, each time staying within the allowed change and within "
        "values that a patient can have.",
        (
            "Madry et al. 2018, Towards Deep Learning Models Resistant to Adversarial Attacks, arXiv 1706.06083",
        ),
    ),
    "square": Note(
        "Decision search",
        "a search that only sees answers",
        "Only looks at the model’s answers, not inside it. It tries changes at random and keeps "
        "those that make the model less sure of the true outcome.",
        (
            "Andriushchenko et al. 2020, Square Attack, arXiv 1912.00049, section 3, with groups "
            "of values in place of squares",
        ),
    ),
    "one_run": Note(
        "One-run bound",
        "a lower bound on epsilon from one training run",
        "Who was trained on was decided by the toss of a coin for each patient. The attack guesses "
        "the coins that it is surest about. The more it gets right, the larger the epsilon that must "
        "be admitted: a promise of a smaller one would be broken.",
        (
            "Steinke, Nasr and Jagielski 2023, Privacy Auditing with One (1) Training Run, "
            "arXiv 2305.08846",
            "Mahloujifar, Melis and Chaudhuri 2024, Auditing f-Differential Privacy in One Run, "
            "arXiv 2410.22235",
        ),
    ),
    "gradient_inversion": Note(
        "Gradient inversion",
        "records back from a hospital’s update",
        "Takes what a hospital sent to the server and works out which records produce it: exactly "
        "where the arithmetic allows, and by search elsewhere.",
        (
            "Zhu et al. 2019, Deep Leakage from Gradients, arXiv 1906.08935",
            "Geiping et al. 2020, Inverting Gradients, arXiv 2003.14053",
            "Vero et al. 2023, TabLeak, arXiv 2210.01785",
        ),
        "a real record of another patient",
    ),
    "attribute": Note(
        "Attribute inference",
        "a hidden value from the model’s answers",
        "Knows a patient’s record but for one sensitive value. Asks the model about every value that "
        "it could be, and takes the one that fits the known outcome best.",
        (
            "Fredrikson et al. 2015, Model Inversion Attacks that Exploit Confidence Information, CCS",
            "Yeom et al. 2018, arXiv 1709.01604, section 4",
            "Jayaraman and Evans 2022, Are Attribute Inference Attacks Just Imputation?, "
            "arXiv 2209.01292 (the guess beside it)",
        ),
        "filling the value in from the other values alone",
    ),
    "label_leakage": Note(
        "Label leakage",
        "outcomes from what crosses the cut",
        "The gradients sent back across the cut are larger, or point elsewhere, for patients with "
        "the rarer outcome. Reads the outcomes off them.",
        (
            "Li et al. 2022, Label Leakage and Protection in Two-party Split Learning, "
            "arXiv 2102.08504",
        ),
        "the best that can be said of everybody alike",
    ),
    "split_inversion": Note(
        "Split inversion",
        "records from what crosses the cut",
        "Learns, on its own patients, to turn the values that cross the cut back into records, and "
        "then does so with the traffic of the training patients.",
        (
            "He et al. 2019, Model Inversion Attacks Against Collaborative Inference, ACSAC",
            "Pasquini et al. 2021, Unleashing the Tiger, arXiv 2012.02670",
        ),
        "the one row that fits the attacker’s own patients best",
    ),
    "key_recovery": Note(
        "Key recovery",
        "the key from decrypted sums",
        "The encryption computes with small errors. Whoever sees both an encrypted sum and its "
        "decryption in full precision can work the key out from the error, and then reads each "
        "hospital’s update.",
        (
            "Li and Micciancio 2021, On the Security of Homomorphic Encryption on Approximate Numbers, "
            "eprint 2020/1533",
        ),
    ),
    "sign_flip": Note(
        "Sign flip",
        "updates turned round",
        "Malicious hospitals send the opposite of what they learnt, so that the shared model "
        "unlearns.",
        (
            "Blanchard et al. 2017, Machine Learning with Adversaries, arXiv 1703.02757",
            "Li et al. 2019, RSA, arXiv 1811.03761, section 5",
        ),
    ),
    "label_flip": Note(
        "Label flip",
        "training on wrong outcomes",
        "Malicious hospitals train on their own patients with the outcomes swapped.",
        (
            "Tolpegin et al. 2020, Data Poisoning Attacks Against Federated Learning Systems, "
            "arXiv 2007.08432",
        ),
    ),
    "backdoor": Note(
        "Backdoor",
        "a mark that turns the answer",
        "Malicious hospitals put a rare mark on their patients, train the model to answer it with "
        "an outcome of their choice, and enlarge their update. All other answers stay as they were.",
        ("Bagdasaryan et al. 2020, How To Backdoor Federated Learning, arXiv 1807.00459",),
    ),
    "byzantine": Note(
        "Byzantine clients",
        "updates made to pass as honest",
        "Malicious hospitals who know what the honest ones send, and choose their own updates to do "
        "harm without standing out.",
        (
            "Baruch et al. 2019, A Little Is Enough, arXiv 1902.06156",
            "Xie et al. 2020, Fall of Empires, arXiv 1903.03936",
        ),
    ),
    "singling_out": Note(
        "Singling out",
        "descriptions that fit one patient",
        "Reads descriptions off the synthetic table that fit exactly one of its records, such as "
        "“older than 92 and creatinine never measured”, and checks how many fit exactly one real patient. "
        "Some descriptions fit one of any group of patients; the control tells how many.",
        (
            "Giomi et al. 2023, A Unified Framework for Quantifying Privacy Risk in Synthetic Data, "
            "arXiv 2211.10459, section 4.1",
            "Cohen and Nissim 2020, Towards Formalizing the GDPR’s Notion of Singling Out, "
            "arXiv 1904.06009",
        ),
        "a description drawn at random from values of the attacker’s own records",
    ),
    "linkability": Note(
        "Linkability",
        "joining two halves of a record",
        "Two people hold different columns about a patient. Each looks up the synthetic records most "
        "like what he holds; when both find the same one, the two halves are joined.",
        (
            "Giomi et al. 2023, A Unified Framework for Quantifying Privacy Risk in Synthetic Data, "
            "arXiv 2211.10459, section 4.2",
        ),
        "the chance that two blind draws from the table meet",
    ),
    "synthetic_attribute_inference": Note(
        "Inference",
        "a secret read off the look-alike",
        "Knows a patient’s record but for one value, finds the synthetic record most like it, and "
        "takes the missing value from there.",
        (
            "Giomi et al. 2023, A Unified Framework for Quantifying Privacy Risk in Synthetic Data, "
            "arXiv 2211.10459, section 4.3",
        ),
        "the commonest value among the attacker’s own records",
    ),
    "copies": Note(
        "Copies",
        "real records in the table",
        "Counts the patients whose record stands in the synthetic table, word for word or with a few "
        "cells changed, blanked or rounded. A cell missing in both counts for nothing.",
        ("Yao et al. 2025, The DCR Delusion, arXiv 2505.01524",),
    ),
    "domias": Note(
        "Density (DOMIAS)",
        "where the table is thicker than people are",
        "Compares how dense synthetic records lie around a patient with how dense real ones do. A "
        "generator that has learnt a patient by heart puts too many records there.",
        (
            "van Breugel et al. 2023, Membership Inference Attacks against Synthetic Data through "
            "Overfitting Detection, arXiv 2302.12580, section 3",
        ),
    ),
    "distance": Note(
        "Nearest record",
        "a synthetic record too close",
        "Measures how near the closest synthetic record is to a patient, against how near the "
        "closest real one is among records of the attacker’s own.",
        (
            "Chen et al. 2020, GAN-Leaks: A Taxonomy of Membership Inference Attacks against Generative "
            "Models, arXiv 1909.03935, section 4",
        ),
    ),
    "shadow_generator": Note(
        "Shadow generators",
        "tables made with and without the patient",
        "Trains the generator again many times, with and without each patient, and asks whether the "
        "released table comes as near to the patient as tables of generators that knew him.",
        (
            "Stadler et al. 2022, Synthetic Data: Anonymisation Groundhog Day, arXiv 2011.07018, section 4",
            "Carlini et al. 2022, arXiv 2112.03570, section V (the likelihood ratio)",
        ),
    ),
    "stored_records": Note(
        "Stored rows",
        "training records in the file itself",
        "Opens the file in which the generator is handed out, without running anything in it, and "
        "looks for arrays that give the training patients’ values back, in order or as a set.",
        (
            "Observed in files of the ctgan package (0.12.1), whose sampler keeps the training rows; the "
            "class of leak is that of Balle et al. 2022, Reconstructing Training Data with Informed "
            "Adversaries, arXiv 2201.04845",
        ),
        "the commonest value of each column",
    ),
}

FAMILIES: dict[str, tuple[str, str]] = {
    "membership": (
        "Was a patient in the training data?",
        "Membership inference. Being in the data of an intensive-care model tells that somebody "
        "was in intensive care.",
    ),
    "attribute": (
        "Can a hidden value of a patient be guessed?",
        "Attribute inference: learning a sensitive value with the model better than without it.",
    ),
    "evasion": (
        "Can small changes of inputs turn the answer?",
        "Evasion. It touches the care of future patients, not the privacy of training patients.",
    ),
    "poisoning": (
        "Can a bad training site spoil the model?",
        "Poisoning: one taker-part in training sends harmful contributions.",
    ),
    "reconstruction": (
        "Can records be rebuilt?",
        "Reconstruction: getting training records back from what is released.",
    ),
    "synthetic": (
        "Does the synthetic table give patients away?",
        "Singling out, linking and inferring, the three risks that Opinion 05/2014 names (Article "
        "29 Working Party), and copies of real records.",
    ),
    "epsilon": (
        "How large must epsilon at least be?",
        "A lower bound on the privacy loss, from one training run: a promise below it is broken.",
    ),
}


@dataclass(frozen=True)
class Way:
    """A way of training in plain words. kind: which others it is set beside."""

    label: str
    kind: Literal["pooled", "local", "federated", "split", "dp", "synthetic"]
    how: str


WAYS: dict[str, Way] = {
    "baseline": Way("pooled", "pooled", "all records in one place, with no promise"),
    "local_only": Way(
        "hospitals alone", "local", "every hospital trains on its own records and shares nothing"
    ),
    "federated": Way(
        "federated",
        "federated",
        "records stay in each hospital; a server averages what each learnt",
    ),
    "federated_robust": Way(
        "federated, robust",
        "federated",
        "as federated, with a rule in place of the average that outvotes a few bad hospitals",
    ),
    "federated_secure": Way(
        "federated, masked sums",
        "federated",
        "as federated, with masks that cancel in the sum, so that the server reads the sum alone",
    ),
    "federated_encrypted": Way(
        "federated, encrypted sums",
        "federated",
        "as federated, with updates added up under encryption",
    ),
    "federated_private": Way(
        "federated, with a promise",
        "federated",
        "as federated, with every patient’s or hospital’s part clipped and noise added",
    ),
    "federated_trees": Way(
        "federated trees", "federated", "every hospital grows trees, and all trees vote together"
    ),
    "split": Way(
        "split",
        "split",
        "the first layers run in the hospital, the rest at a server; values cross the cut",
    ),
    "split_u": Way(
        "split, U-shaped", "split", "as split, with the last layer and the outcomes in the hospital"
    ),
    "splitfed": Way(
        "split and federated", "split", "split, with the hospitals’ first layers averaged"
    ),
    "dp_sgd": Way(
        "DP-SGD", "dp", "each step of training is clipped for every patient, and noise is added"
    ),
    "dp_sgd_lstm": Way(
        "DP-SGD, recurrent",
        "dp",
        "as DP-SGD, for a recurrent network that reads the stay hour by hour",
    ),
    "dp_linear": Way("DP linear", "dp", "a weighted sum of the inputs, with noise in its training"),
    "dp_ebm": Way("DP additive", "dp", "a sum of curves, one for each input, from noisy counts"),
    "dp_forest": Way("DP forest", "dp", "random trees whose leaves hold noisy outcomes"),
    "dp_output": Way(
        "DP answers", "dp", "an ordinary model whose answers are given with noise, a limited number"
    ),
    "synthetic": Way(
        "synthetic records",
        "synthetic",
        "a generator learns the records and draws new ones, which are released; a model is trained "
        "on the drawn ones alone",
    ),
}


def kind_of(subject: Subject) -> str:
    """How a model was trained, in a word; a promise goes before all else."""
    return "dp" if subject.claim.epsilon is not None else kind(subject.method)


def kind(method: str) -> str:
    """Which others a way of training is set beside; nothing for one that is not known here."""
    return WAYS[method].kind if method in WAYS else ""


ACCESS: dict[str, tuple[str, str]] = {
    "ANSWERS": ("ask the model for probabilities", "anyone who may use the model"),
    "WEIGHTS": ("read the parameters and take gradients", "anyone who is given the model file"),
    "UPDATES": ("read each client's update, as the server does", "whoever runs the joint training"),
    "CUT": ("read the traffic at a split model's cut", "whoever sees the line between two parts"),
    "CIPHER": (
        "hold the encrypted updates and their sums, as the server does",
        "whoever runs the joint training",
    ),
    "TABLE": ("read the synthetic records", "anyone who is given the synthetic table"),
    "FILE": (
        "open the file that the generator is saved in",
        "anyone who is given the generator’s file",
    ),
    "SEAT": ("take part in training as one client", "a hospital taking part in joint training"),
    "RERUN": (
        "train again the same way on other records",
        "an expert who knows how the model was made and has similar patients",
    ),
}

LEARNERS: dict[str, str] = {
    "logreg": "logistic regression: a weighted sum of the inputs",
    "mlp": "neural network on summary values of each stay",
    "lstm": "recurrent neural network that reads the stay hour by hour",
    "boosted": "gradient-boosted decision trees",
}

METRICS: dict[str, tuple[str, str]] = {
    "auroc": ("AUROC", "higher is better; 0.5 is guessing"),
    "auprc": ("AUPRC", "higher is better; guessing gives the share of patients with the outcome"),
    "brier": ("Brier score", "lower is better"),
    "log_loss": ("Log loss", "lower is better"),
    "calibration_slope": ("Calibration slope", "1 is right; below 1 the model is too sure"),
    "calibration_intercept": (
        "Calibration intercept",
        "0 is right; below 0 the model predicts too much risk",
    ),
    "accuracy": ("Accuracy", "higher is better"),
}


def label(attack: str) -> str:
    """The attack's name for a reader; an unknown one keeps its own."""
    return ATTACKS[attack].label if attack in ATTACKS else attack
