# shellcheck shell=bash
# Part of deploy.sh: the template that is sent. A folder whose purpose was removed keeps its life time and its rights.

check_purposes() { # the template and the values in the image are made of purposes.toml
    grep -q "\"$(hash <purposes.toml)" image_upload/domain/shipped_purposes.py ||
        fail "purposes.toml was edited, and the template is older; run 'make generate', then this again."
}
write_template() { # -> $work/template.yaml, without comments
    grep -v '^ *#' "$template" >"$work/new.yaml"
    if [ -n "$fresh$forget_folders" ]; then
        cat "$work/new.yaml" >"$work/template.yaml"
        return
    fi
    aws cloudformation get-template --stack-name "$name" --query TemplateBody --output text >"$work/deployed.yaml" 2>"$work/error" ||
        fail "The template of the stack $name cannot be looked at: $(reason)"
    : >"$work/kept"
    awk -v kept="$work/kept" '
        function indent(line) { match(line, /^ */); return RLENGTH }
        # The rights of the role name every folder of a purpose, each in a line.
        { is_right = match($0, /[}]\/[A-Za-z0-9_-]+\/[*]/) && /[$][{]Name[}]/; folder = substr($0, RSTART + 2, RLENGTH - 4) }
        part == 1 {
            # A rule belongs to the folder that its prefix ends with: variants/scans/ is of scans.
            if (in_rule && indent($0) <= depth) { rules[++n] = rule; sub(/\/$/, "", path); paths[n] = path; sub(/.*\//, "", path); owners[n] = path; in_rule = 0 }
            if (is_right && !(folder in rights)) { rights[folder] = $0; folders[++count] = folder }
            if (/- Id: image-upload-(expire|kept)-/) { in_rule = 1; depth = indent($0); rule = $0 }
            else if (in_rule) { rule = rule "\n" $0; if ($1 == "Prefix:") path = $2 }
        }
        part == 2 && is_right { there[folder] = 1 }
        part == 2 && /- Id: / { ids[$3] = 1 }
        part == 3 {
            if (is_right && !began++) for (i = 1; i <= count; i++) if (!(folders[i] in there)) { print rights[folders[i]]; print folders[i] "/" >kept }
            if (/- Id: image-upload-abort-unfinished/) for (i = 1; i <= n; i++) if (!(owners[i] in there) && owners[i] in rights) {
                split(rules[i], words)
                if (words[3] in ids) sub(/- Id: [^\n]*/, "- Id: image-upload-kept-" paths[i], rules[i])
                print rules[i]
            }
            print
        }' part=1 "$work/deployed.yaml" part=2 "$work/new.yaml" part=3 "$work/new.yaml" >"$work/template.yaml"
    [ -n "${told:-}" ] || while IFS= read -r each; do
        say "  kept    $each, which has no purpose any more: its life time and rights (--forget-folders ends them)"
    done <"$work/kept"
    told=1
}
