"""Fixed words of the pages."""

SKIP = "Skip to the content"
FOOTER = "This page is made of the files in this folder, and can be opened on this computer alone."
READ = "Read"
REFRESHES = "This page is read again every {} seconds."
PAUSED = "This page stays as it is."
PAUSE = "Pause"
AGAIN = "Read again"
KEEP_ON = "Read again every 10 seconds"
RUNS = "Runs"
PROGRESS = "Rounds made"
SETTINGS = "Settings of the run"
DECIDE = "This run waits for your consent"
DECIDE_HOW = "See what would leave, and decide, with this command. DIR is the folder of this page:"
ABOUT = "About the run"
LOSS = "Loss"
LOSS_DRAWN = "Mean loss in each round"
LOSS_TABLE = "Loss by round"
LOSS_COLUMNS = ("Round", "Loss")
ROUND = "round"
WITHDRAW_LINK = "Withdraw consent …"
WITHDRAW_NOW = "Withdraw consent now"
KEEP = "Keep the consent"
BACK = "Back to the status"
WITHDRAWN = "The consent is withdrawn. Nothing more of this run leaves."
NOT_WITHDRAWN = "The consent was not withdrawn"
NOT_WITHDRAWN_LINES = (
    "It could not be written down that the consent ends: the run may go on. Withdraw it with this "
    "command, or stop the program.",
)
REFUSED = {
    400: "This request cannot be read",
    403: "This request was refused: it came from another page, or the page was too old",
    404: "There is no such page: the address is printed when the page starts",
    405: "This page can be read, and a consent withdrawn: nothing else",
    411: "A form without its length",
    413: "A form that is too large",
    415: "A form of another kind",
    500: "This page could not be made. Look with: privaudit federation status DIR",
    421: "This page is served under another name",
}
