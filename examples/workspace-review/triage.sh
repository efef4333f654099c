#!/bin/sh
# Triage: what has changed in the repository at $REVIEW_PATH lately? Prints one JSON object.
set -eu
cd "$REVIEW_PATH"

# `git status` would refresh the index under a lock, and a kill would leave the lock behind.
export GIT_OPTIONAL_LOCKS=0

# 66 is EX_NOINPUT: trying again will not help.
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || {
    echo "$REVIEW_PATH is not under git; give another directory with --input path=DIR" >&2
    exit 66
}

# Reads tab-separated fields and prints them as JSON strings in an array of arrays.
to_json='
BEGIN { FS = "\t"; printf "[" }
{
    printf "%s[", (NR > 1 ? "," : "")
    for (i = 1; i <= NF; i++) {
        gsub(/\\/, "\\\\", $i); gsub(/"/, "\\\"", $i); gsub(/[[:cntrl:]]/, " ", $i)
        printf "%s\"%s\"", (i > 1 ? "," : ""), $i
    }
    printf "]"
}
END { printf "]" }'

history() { git log -n 50 "$@" 2>/dev/null || true; }

echo "reading the last 50 commits" >&2
commits=$(history --format='%h%x09%cI%x09%an%x09%s' | awk "$to_json")
churn=$(history --name-only --format= | sed '/^$/d' | sort | uniq -c | sort -rn | head -n 20 |
    awk '{ count = $1; $1 = ""; sub(/^ /, ""); print count "\t" $0 }' | awk "$to_json")
branch=$(git symbolic-ref --short -q HEAD | sed 's|"|\\"|g')
uncommitted=$(git status --porcelain | wc -l | tr -d ' ')

printf '{"branch": "%s", "uncommitted": %s, "commits": %s, "churn": %s}\n' \
    "$branch" "$uncommitted" "$commits" "$churn"
