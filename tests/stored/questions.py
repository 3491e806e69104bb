"""What is asked of a store, as words of the command line, which no version changes."""

QUESTIONS = [
    ["query", "kinds", "--every", "all"],
    ["query", "kinds", "--every", "1h", "--by", "site"],
    ["query", "kinds", "--every", "1m", "--from", "2024-03-31T21:00Z", "--to", "2024-04-01T12:00Z"],
    [
        "query", "kinds", "--every", "day", "--zone", "Europe/Berlin",
        "--item", "of_user=u3", "--item", "of_age=21", "--item", "saw_user=u3",
        "--item", "saw_age=99",
    ],
    ["query", "kinds:error", "--every", "all", "--by", "measure,cause,since"],
    ["query", "places", "--every", "1h", "--by", "site,device,class,ok,day,hour,adult"],
    ["query", "places", "--every", "day", "--by", "site,ok"],
    ["query", "places", "--every", "day", "--rolling", "3d", "--by", "day"],
    ["query", "places", "--every", "month"],
    ["query", "codes", "--every", "1m", "--by", "device"],
    ["query", "codes", "--every", "1m", "--by", "device", "--item", "of=17", "--item", "saw=17"],
    ["query", "codes", "--every", "day", "--to", "2024-04-01"],
    ["query", "ages", "--every", "day", "--by", "decade"],
    ["query", "levels", "--every", "1h", "--by", "sensor"],
    ["query", "levels", "--every", "day"],
    ["query", "paths", "--every", "1h", "--by", "path"],
    ["compare", "kinds", "user_set", "--every", "day", "--left", "site=a", "--right", "site=b"],
    ["compare", "codes", "name_set", "--every", "day", "--left", "device=PC",
     "--right", "device=PHONE"],
]  # fmt: skip
EXPORTS = [
    ["export", "kinds", "--bounds"],
    ["export", "places", "--every", "day", "--by", "site,ok"],
    ["export", "levels", "--every", "1d"],
]
