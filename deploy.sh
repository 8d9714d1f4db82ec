#!/usr/bin/env bash
# From this checkout to a Function URL: image -> stack -> version -> smoke test -> live. docs/deploy.md describes it.
# Runs under bash 3.2 (macOS) and newer.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
export AWS_PAGER="" AWS_CLI_AUTO_PROMPT=off
say() { printf '%s\n' "$*"; }
step() { printf '\n%s\n' "$*"; }
fail() { # one sentence that ends with the remedy
    printf 'deploy.sh: %s\n' "$*" >&2
    exit 1
}
usage() { # the table of docs/deploy.md
    say "usage: ./deploy.sh [options]"
    awk -F ' *[|] *' '/^\| `--/ { gsub(/`/, ""); printf "  %-20s %s\n", $2, $3 }' docs/deploy.md
}

# --- what is asked for ----------------------------------------------------------------------------------------------
name=image-upload-service region="" profile="" env_file="" arch=${ARCH:-arm64} base_image=${BASE_IMAGE:-} canary="" live=""
rebuild="" forget_folders="" image_only="" edge="" dry_run="" yes="" destroy="" delete_bucket="" given=()
while [ $# -gt 0 ]; do
    option=${1#--} option=${option//-/_}
    case $1 in
        --set | --bucket | --origins | --name | --region | --profile | --env-file | --arch | --base-image | --canary | --live)
            [ -n "${2:-}" ] || fail "$1 needs a value; ./deploy.sh --help shows which."
            case $1 in
                --set) given+=("$2") ;;
                --bucket) given+=("ExistingBucketName=$2") ;;
                --origins) given+=("AllowedOrigins=$2") ;;
                *) printf -v "$option" %s "$2" ;;
            esac
            shift ;;
        --rebuild | --edge | --forget-folders | --image-only | --dry-run | --yes | --destroy | --delete-bucket) printf -v "$option" 1 ;;
        -h | --help) usage; exit 0 ;;
        *) fail "There is no option $1; ./deploy.sh --help lists them." ;;
    esac
    shift
done
# A repository's name is the narrowest: lower case, no underscore. Parameter Store keeps the two beginnings for itself.
[[ $name =~ ^[a-z][a-z0-9-]{1,47}$ && ! $name =~ ^(aws|ssm) ]] ||
    fail "--name must be 2 to 48 of a-z, 0-9 and hyphen, and begin with a letter, but not with 'ssm' or 'aws'."
[[ $arch =~ ^(arm64|x86_64)$ ]] || fail "--arch must be arm64 or x86_64."
[[ $canary =~ ^([1-9][0-9]?:[1-9][0-9]*)?$ ]] || fail "--canary takes percent:minutes, such as 10:5."
[[ $live =~ ^([1-9][0-9]*)?$ ]] || fail "--live takes a version: aws lambda list-versions-by-function --function-name $name"
[ -z "$delete_bucket" ] || [ -n "$destroy" ] || fail "--delete-bucket goes with --destroy only."
[ -z "$env_file" ] || [ -r "$env_file" ] || fail "$env_file cannot be read; --env-file names a file of NAME=value lines."
command -v curl >/dev/null || fail "curl is missing; install it."
command -v aws >/dev/null ||
    fail "The AWS CLI is missing; install it: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"

work=$(mktemp -d) template_bucket=""
clean_up() {
    rm -rf "$work"
    [ -z "$template_bucket" ] || aws s3 rb "s3://$template_bucket" --force >/dev/null ||
        say "Delete the bucket $template_bucket, which held the template." >&2
}
trap clean_up EXIT
reason() { tail -n 1 "$work/error"; } # what the AWS CLI said last
[ -z "$profile" ] || export AWS_PROFILE=$profile
region=${region:-${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}}
[ -n "$region" ] || fail "No region is set; add --region, for example --region ap-northeast-2."
export AWS_REGION=$region AWS_DEFAULT_REGION=$region
account=$(aws sts get-caller-identity --query Account --output text 2>"$work/error") ||
    fail "AWS does not accept your credentials ($(reason)); sign in with 'aws configure' or 'aws sso login', or name a --profile."
confirm() {
    [ -z "$yes" ] || return 0
    [ -t 0 ] || fail "No terminal to confirm on. Add --yes."
    read -r -p "$1 [y/N] " answer
    case $answer in y | Y | yes) ;; *) say "Nothing was changed."; exit 1 ;; esac
}
look() { # reads the stack, a line each: state, parameters, outputs; nothing where there is no such stack
    aws cloudformation describe-stacks --stack-name "$name" --output text >"$work/stack" 2>"$work/error" --query \
        "Stacks[0].[[['state', '', StackStatus]], Parameters[].['parameter', ParameterKey, ParameterValue], Outputs[].['output', OutputKey, OutputValue]][]" ||
        grep -q 'does not exist' "$work/error" || fail "The stack $name cannot be looked at: $(reason)"
}
read_out() { awk -F '\t' -v kind="$1" -v key="$2" '$1 == kind && $2 == key { print $3 }' "$work/stack"; }
output() { read_out output "$1"; }
deployed() { read_out parameter "$1"; }
settled() { # -> the stack's state once nothing changes any more; empty where it is gone
    local state=_IN_PROGRESS
    while [[ $state == *_IN_PROGRESS ]]; do
        sleep 1
        look
        state=$(read_out state "")
        printf . >&2
    done
    printf ' %s\n' "$state" >&2
    say "$state"
}

look
[ -z "$destroy" ] || . infra/deploy/destroy.sh # ends the script
. infra/deploy/settings.sh
. infra/deploy/image.sh
. infra/deploy/folders.sh
check_purposes
. infra/deploy/canary.sh

# --- what is there, what will be done ---------------------------------------------------------------------------------

status=$(read_out state "") fresh=""
case $status in
    '' | ROLLBACK_COMPLETE | REVIEW_IN_PROGRESS) fresh=1 ;; # a creation that failed holds nothing and can only be deleted
    *_IN_PROGRESS) fail "The stack $name is being changed right now ($status); wait until it is done and run this again." ;;
esac
registry=$account.dkr.ecr.$region.amazonaws.com
[[ $region != cn-* ]] || registry=$registry.cn
tag=$(image_tag)
digest=$([ -n "$rebuild" ] || digest_of "$tag")

say "Account $account, region $region, stack $name"
if [ -n "$live" ]; then
    [ -z "$fresh" ] || fail "There is no stack $name, and so no version $live; deploy it without --live."
    say "  live    version $live, if it passes"
else
    [ -n "$digest" ] && plan="already in the registry" || plan="will be built for $arch and pushed"
    say "  image   $plan (tag $tag)"
    [ -n "$fresh" ] && plan="created: function, Function URL, role, logs, alarms" || plan="compared with $template and changed where it differs"
    say "  stack   will be $plan"
fi
all_given | sed -n 's/^\([^=]*\)=.*/  set     \1/p'
unchanged() { say "Nothing was changed (--dry-run)."; exit; }
[ -z "$dry_run" ] || { [ -n "$digest" ] && [ -z "$fresh$live" ]; } || unchanged
[ -n "$dry_run" ] || confirm "Go on?"

[ -n "$digest$live" ] || build_and_push
[ -z "$image_only" ] || { say "$registry/$name@$digest"; exit; }

# --- the stack --------------------------------------------------------------------------------------------------------

make_template_bucket() { # CloudFormation takes longer templates than 51,200 bytes from S3 alone. clean_up deletes it
    local own where=()
    [ -z "$template_bucket" ] || return 0
    # No bucket of another account can have this name already.
    own=${name:0:40}-template-$(LC_ALL=C od -An -N 6 -tx1 /dev/urandom | tr -d ' \n')
    [ "$region" = us-east-1 ] || where=(--create-bucket-configuration "LocationConstraint=$region")
    aws s3api create-bucket --bucket "$own" ${where[@]+"${where[@]}"} >/dev/null 2>"$work/error" ||
        fail "The bucket for the template cannot be made: $(reason)"
    template_bucket=$own
}
change_stack() { # NAME=value ...: what is not named keeps its value
    local began state set
    make_template_bucket
    write_template
    aws cloudformation deploy --stack-name "$name" --template-file "$work/template.yaml" --s3-bucket "$template_bucket" --capabilities CAPABILITY_IAM --tags "project=$name" \
        --no-execute-changeset --no-fail-on-empty-changeset --parameter-overrides "$@" >"$work/set" 2>"$work/error" ||
        fail "CloudFormation refuses the change: $(reason)"
    set=$(grep -o 'arn:[^ ]*:changeSet/[^ ]*' "$work/set") || {
        say "  no changes"
        return
    }
    aws cloudformation describe-change-set --change-set-name "$set" --output text \
        --query 'Changes[].ResourceChange.[Action, ResourceType, LogicalResourceId, Replacement]' |
        awk -F '\t' '{ printf "  %-7s %-36s %s%s\n", tolower($1), $2, $3, ($4 == "True" ? "  (replaced)" : "") }'
    [ -z "$dry_run" ] || { aws cloudformation delete-change-set --change-set-name "$set"; return; }
    began=$(date -u +%Y-%m-%dT%H:%M:%S)
    aws cloudformation execute-change-set --change-set-name "$set"
    state=$(settled)
    [[ ! $state =~ ^(CREATE|UPDATE)_COMPLETE$ ]] || return 0
    aws cloudformation describe-stack-events --stack-name "$name" --max-items 100 --output text \
        --query "StackEvents[?Timestamp>='$began' && contains(ResourceStatus, 'FAILED')].[LogicalResourceId, ResourceStatusReason]" >&2
    fail "CloudFormation took the change back, and users noticed nothing; mend what is said above and run this again."
}

wanted=("ImageUri=$registry/$name@$digest" "Architecture=$arch" ${overrides[@]+"${overrides[@]}"})
step "Stack $name"
[ -z "$dry_run" ] || { change_stack "${wanted[@]}"; unchanged; }
if [ -n "$fresh" ]; then
    if [ -n "$status" ]; then
        aws cloudformation delete-stack --stack-name "$name"
        status=$(settled)
        [ -z "$status" ] || fail "What is left of a failed creation cannot be deleted; delete the stack $name and run this again."
    fi
    # AWS leaves 100 of the account's concurrency to other functions; a new account may have 10 in all.
    room=$(aws lambda get-account-settings --query AccountLimit.UnreservedConcurrentExecutions --output text)
    is_given ReservedConcurrency || [ "$room" -ge 200 ] || wanted+=("ReservedConcurrency=-1")
fi
# Without it no user could sign in. One that is there stays.
[ -n "$(deployed LiveVersion)" ] || is_given JWT_SECRET || is_given JwtJwksUrl || is_given SecretsFrom || is_given SecretArn ||
    secrets+=("JWT_SECRET=$(LC_ALL=C od -An -N 32 -tx1 /dev/urandom | tr -d ' \n')")
[ -z "$edge" ] || is_given EDGE_SECRET || secrets+=("EDGE_SECRET=$(LC_ALL=C od -An -N 32 -tx1 /dev/urandom | tr -d ' \n')")
! is_given DATABASE_URL || wanted+=("Database=true")
# An existing bucket tells of new files only after bucket-rules --events, so there the operator decides.
is_given Verify || is_given ExistingBucketName || wanted+=("Verify=publish")
store_secrets
# CloudFront sends the newest version: the run after a rotation hands it over.
if all_given | grep -q '^EdgeSecretFrom='; then edge=""; elif [[ $(deployed EdgeSecretFrom) == "ssm:/$name/"* ]]; then edge=1; fi
[ -z "$edge" ] || wanted+=("EdgeSecretFrom=ssm:/$name/EDGE_SECRET:$(edge_version)")
[ -n "$live" ] || change_stack "${wanted[@]}"

# --- the version ------------------------------------------------------------------------------------------------------

version=${live:-$(aws lambda publish-version --function-name "$name" --query Version --output text)}
before=$(deployed LiveVersion)
operate() { # operation [more JSON] -> its lines; ends the script unless it passed. Users meet $before in any case
    printf '{"operation": "%s"%s}' "$1" "${2:-}" >"$work/payload"
    aws lambda invoke --function-name "$name" --qualifier "$version" --cli-read-timeout 0 --payload "fileb://$work/payload" \
        "$work/answer" >/dev/null 2>"$work/error" ||
        fail "Version $version could not be tested ($(reason)), so it is not live; mend that and run this again."
    awk '{ sub(/^.*"lines": *\["?/, ""); sub(/"?\]}?$/, ""); gsub(/", *"/, "\n"); gsub(/\\"/, "\""); print }' "$work/answer"
    ! grep -q '"passed": *true' "$work/answer" || return 0
    aws logs filter-log-events --log-group-name "/aws/lambda/$name" --start-time "$(($(date +%s) - 300))000" \
        --query 'events[-20:].message' --output text 2>/dev/null | tr '\t' '\n' | sed 's/^/  log     /' || true
    fail "Version $version did not pass and is not live${before:+; users still meet version $before}. Mend what is said above and run this again."
}
step "Version $version"
aws lambda wait published-version-active --function-name "$name" --qualifier "$version"
if [ "$(deployed Database)" = true ] && [ -z "$live" ]; then
    operate migrate ', "check": true'
    operate migrate ', "check": false'
fi
operate smoke

# --- live -------------------------------------------------------------------------------------------------------------

step "Live"
if [ -n "$before" ] && [ "$before" != "$version" ]; then
    keep_image previous "$before"
    [ -z "$canary" ] || run_canary "${canary%:*}" "${canary#*:}"
fi
keep_image live "$version"
change_stack "LiveVersion=$version" "VerifierImageUri=$(image_of "$version")"
url=$(output EdgeUrl)
url=${url:-$(output FunctionUrl)} deadline=$((SECONDS + 90)) # a new URL's permission takes its time to arrive everywhere
until curl -fsS -o /dev/null --max-time 10 "$url" 2>"$work/error"; do
    [ "$SECONDS" -lt "$deadline" ] || fail "$url does not answer ($(reason)), though version $version passed; see python -m image_upload doctor --url $url"
    sleep 2
done

cat <<END

Version $version is live$([ -z "$before" ] || [ "$before" = "$version" ] || say "; the way back: ./deploy.sh --name $name --live $before").

  Address       $url
  Bucket        $(output BucketName)$(cdn=$(output CdnUrl); [ -z "$cdn" ] || printf '\n  CDN           %s' "$cdn")
  Logs          aws logs tail $(output LogGroupName) --follow --region $region

Next.js: put this line into .env.local. The code for your page is in README.md, "Your page".

  NEXT_PUBLIC_UPLOAD_SERVICE_URL=${url%/}
END
[ -z "$(deployed ExistingBucketName)" ] ||
    step "The bucket is not the stack's. See what it lacks, and add --apply to set it: $(output BucketRulesCommand)"
