# shellcheck shell=bash
# Part of deploy.sh: --destroy.

empty_bucket() { # every version of every object, a thousand at a time
    local what refused
    for what in Versions DeleteMarkers; do
        while
            aws s3api list-object-versions --bucket "$1" --max-items 1000 --output json >"$work/objects" \
                --query "{Objects: ${what}[].{Key: Key, VersionId: VersionId}, Quiet: \`true\`}"
            grep -q '"Key"' "$work/objects"
        do
            refused=$(aws s3api delete-objects --bucket "$1" --delete "file://$work/objects" --query 'Errors[0].Message' --output text)
            [ "$refused" = None ] || fail "Objects of $1 cannot be deleted: $refused"
            say "  deleted $(grep -c '"Key"' "$work/objects") objects"
        done
    done
}
destroy() {
    local bucket each state fate=kept
    [ -z "$delete_bucket" ] || fate="deleted as well, with everything in it. That cannot be undone"
    bucket=$(output BucketName)
    say "This deletes the stack $name, its images and its secrets (/$name/) of account $account in $region."
    say "The bucket $bucket is $fate."
    [ -z "$dry_run" ] || return 0
    confirm "Delete?"
    aws cloudformation delete-stack --stack-name "$name"
    state=$(settled)
    [ -z "$state" ] || fail "The stack could not be deleted; see what holds it: aws cloudformation describe-stack-events --stack-name $name"
    aws ecr delete-repository --repository-name "$name" --force >/dev/null 2>"$work/error" ||
        grep -q RepositoryNotFound "$work/error" || fail "The images cannot be deleted: $(reason)"
    for each in $(aws ssm get-parameters-by-path --path "/$name/" --query 'Parameters[].Name' --output text); do
        aws ssm delete-parameter --name "$each"
    done
    if [ -n "$bucket" ] && [ -n "$delete_bucket" ]; then
        empty_bucket "$bucket"
        aws s3api delete-bucket --bucket "$bucket"
    elif [ -n "$bucket" ]; then
        say "The bucket is kept. A new deployment uses it with: ./deploy.sh --name $name --bucket $bucket"
    fi
    say "Deleted."
}

destroy
exit
