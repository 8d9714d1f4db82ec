#!/usr/bin/env bash
# From this checkout to a Function URL: image -> ECR -> CloudFormation -> smoke test.
# Runs under bash 3.2 (macOS) and newer. docs/deploy.md describes it.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
export AWS_PAGER="" AWS_CLI_AUTO_PROMPT=off

usage() {
    cat <<'END'
usage: ./deploy.sh [options]

The first run makes everything, every later one brings it up to date. What is already as it should be stays untouched.

  --name NAME         the stack, the function and the image repository (image-upload-service)
  --region REGION     the AWS region (that of the profile)
  --profile PROFILE   the profile of the AWS CLI (the default one)
  --env-file FILE     settings of the service, NAME=value a line, such as JWT_SECRET=... (docs/settings.md)
  --set NAME=VALUE    a parameter of the stack, such as Cdn=true or AlarmEmail=ops@example.com (docs/stack.md)
  --bucket NAME       store into this existing bucket instead of one that the stack makes
  --origins LIST      front ends that may call, such as https://app.example.com,https://www.example.com
  --arch ARCH         arm64 (the default; costs less) or x86_64; also as ARCH in the environment
  --base-image IMAGE  what the image is built on (that of the Dockerfile); also as BASE_IMAGE in the environment
  --rebuild           build the image even if its sources did not change: takes in a newer base image
  --dry-run           say what would be done, do none of it
  --yes               ask nothing
  --destroy           delete the stack and the images; the bucket is kept
  --delete-bucket     with --destroy: the bucket too, and everything in it
  -h, --help          this text
END
}

say() { printf '%s\n' "$*"; }
step() { printf '\n%s\n' "$*"; }
fail() { # one sentence that ends with the remedy
    printf 'deploy.sh: %s\n' "$*" >&2
    exit 1
}

# --- what is asked for --------------------------------------------------------------------------

name=image-upload-service region="" profile="" env_file="" bucket="" arch=${ARCH:-arm64} base_image=${BASE_IMAGE:-}
rebuild="" dry_run="" yes="" destroy="" delete_bucket="" overrides=()

value_of() { [ $# -ge 2 ] && [ -n "$2" ] || fail "$1 needs a value; ./deploy.sh --help shows which."; }

while [ $# -gt 0 ]; do
    case $1 in
        --name) value_of "$@"; name=$2; shift ;;
        --region) value_of "$@"; region=$2; shift ;;
        --profile) value_of "$@"; profile=$2; shift ;;
        --env-file) value_of "$@"; env_file=$2; shift ;;
        --set) value_of "$@"; overrides+=("$2"); shift ;;
        --bucket) value_of "$@"; bucket=$2; shift ;;
        --origins) value_of "$@"; overrides+=("AllowedOrigins=$2"); shift ;;
        --arch) value_of "$@"; arch=$2; shift ;;
        --base-image) value_of "$@"; base_image=$2; shift ;;
        --rebuild) rebuild=1 ;;
        --dry-run) dry_run=1 ;;
        --yes) yes=1 ;;
        --destroy) destroy=1 ;;
        --delete-bucket) delete_bucket=1 ;;
        -h | --help) usage; exit 0 ;;
        *) fail "There is no option $1; ./deploy.sh --help lists them." ;;
    esac
    shift
done

# A repository's name is the narrowest of the three: lower case, no underscore.
[[ $name =~ ^[a-z][a-z0-9-]{1,47}$ ]] || fail "--name must be 2 to 48 of a-z, 0-9 and hyphen, and begin with a letter."
case $arch in arm64 | x86_64) ;; *) fail "--arch must be arm64 or x86_64." ;; esac
[ -z "$delete_bucket" ] || [ -n "$destroy" ] || fail "--delete-bucket goes with --destroy only."
[ -z "$env_file" ] || [ -r "$env_file" ] || fail "$env_file cannot be read; --env-file names a file of NAME=value lines."
[ -z "$bucket" ] || overrides+=("ExistingBucketName=$bucket")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- tools and credentials ----------------------------------------------------------------------

command -v aws >/dev/null || fail "The AWS CLI is missing; install it: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"

[ -z "$profile" ] || export AWS_PROFILE=$profile
region=${region:-${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}}
[ -n "$region" ] || fail "No region is set; add --region, for example --region ap-northeast-2."
export AWS_REGION=$region AWS_DEFAULT_REGION=$region

account=$(aws sts get-caller-identity --query Account --output text 2>"$work/error") ||
    fail "AWS does not accept your credentials ($(tail -n 1 "$work/error")); sign in with 'aws configure' or 'aws sso login', or name a profile with --profile."

engine=""
need_engine() {
    [ -z "$engine" ] || return 0
    local each
    for each in ${CONTAINER_ENGINE:-docker podman}; do
        if command -v "$each" >/dev/null && "$each" info >/dev/null 2>&1; then
            engine=$each
            return 0
        fi
    done
    fail "No container engine answers; start Docker, or install it (https://docs.docker.com/get-docker/) or podman."
}

# --- small tools --------------------------------------------------------------------------------

sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1; }

json_string() { # text -> a JSON string
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

parameter_name() { # JWT_SECRET -> JwtSecret, as infra/generate.py names parameters
    printf '%s' "$1" | awk -F _ '{ for (i = 1; i <= NF; i++) printf "%s%s", toupper(substr($i, 1, 1)), tolower(substr($i, 2)) }'
}

confirm() { # a question; ends the script unless it is answered with yes
    [ -z "$yes" ] || return 0
    [ -t 0 ] || fail "Nobody is there to answer; add --yes."
    local answer
    read -r -p "$1 [y/N] " answer
    case $answer in y | Y | yes) ;; *) say "Nothing was changed."; exit 1 ;; esac
}

until_over() { # a command that prints a state -> the first state that is not on its way; AWS CLI's own waiters look every 30 s
    local state
    while :; do
        state=$("$@") || return 1
        case $state in *_IN_PROGRESS | *_PENDING) sleep 2 ;; *) printf '%s' "$state"; return 0 ;; esac
    done
}

stack() { # a JMESPath below the stack's description -> text; empty where there is no such stack
    local found
    if found=$(aws cloudformation describe-stacks --stack-name "$name" --query "Stacks[0].$1" --output text 2>"$work/error"); then
        [ "$found" = None ] || printf '%s' "$found"
    else
        grep -q 'does not exist' "$work/error" || fail "The stack $name cannot be looked at: $(tail -n 1 "$work/error")"
    fi
}

delete_stack() {
    aws cloudformation delete-stack --stack-name "$name"
    [ -z "$(until_over stack StackStatus)" ] ||
        fail "The stack could not be deleted; see what holds it: aws cloudformation describe-stack-events --stack-name $name"
}

output() { stack "Outputs[?OutputKey=='$1'].OutputValue | [0]"; }
environment() { # what the deployed function has in a variable
    local found
    found=$(aws lambda get-function-configuration --function-name "$(output FunctionName)" --query "Environment.Variables.$1" --output text)
    [ "$found" = None ] || printf '%s' "$found"
}
deployed() { stack "Parameters[?ParameterKey=='$1'].ParameterValue | [0]"; }

# --- --destroy ----------------------------------------------------------------------------------

empty_bucket() { # every version of every object, a thousand at a time
    local what
    for what in Versions DeleteMarkers; do
        while :; do
            aws s3api list-object-versions --bucket "$1" --max-items 1000 --output json \
                --query "{Objects: ${what}[].{Key: Key, VersionId: VersionId}, Quiet: \`true\`}" >"$work/objects.json"
            grep -q '"Key"' "$work/objects.json" || break
            aws s3api delete-objects --bucket "$1" --delete "file://$work/objects.json" --query Errors --output text >"$work/error"
            grep -qv '^None$' "$work/error" && fail "Objects of $1 cannot be deleted: $(head -n 1 "$work/error")"
            say "  deleted $(grep -c '"Key"' "$work/objects.json") objects"
        done
    done
}

if [ -n "$destroy" ]; then
    kept=$(output BucketName)
    say "This deletes the stack $name and the images of account $account in $region."
    if [ -n "$delete_bucket" ]; then
        say "It also deletes the bucket ${kept:-of the stack} with everything in it. That cannot be undone."
    else
        say "It keeps the bucket ${kept:-of the stack}."
    fi
    [ -z "$dry_run" ] || exit 0
    confirm "Delete?"
    if [ -n "$(stack StackStatus)" ]; then
        say "Deleting the stack ..."
        delete_stack
    fi
    if aws ecr delete-repository --repository-name "$name" --force >/dev/null 2>"$work/error"; then
        say "Deleted the images."
    else
        grep -q RepositoryNotFound "$work/error" || fail "The images cannot be deleted: $(tail -n 1 "$work/error")"
    fi
    if [ -n "$kept" ] && [ -n "$delete_bucket" ]; then
        say "Emptying $kept ..."
        empty_bucket "$kept"
        aws s3api delete-bucket --bucket "$kept"
        say "Deleted the bucket."
    elif [ -n "$kept" ]; then
        say "The bucket is kept. A new deployment uses it with: ./deploy.sh --name $name --bucket $kept"
    fi
    exit 0
fi

# --- the parameters of the stack ----------------------------------------------------------------

template=infra/template.yaml
known=$(awk '/^Parameters:/ { inside = 1; next } /^[A-Za-z]/ { inside = 0 } inside && /^  [A-Za-z0-9]+:/ { sub(/:.*/, ""); print $1 }' "$template")

given=() # Name=value
add_parameter() {
    printf '%s\n' "$known" | grep -qxF -- "${1%%=*}" ||
        fail "${2:-${1%%=*}} is no setting of a deployment; docs/settings.md and docs/stack.md list them."
    given+=("$1")
}

if [ -n "$env_file" ]; then
    while IFS= read -r line || [ -n "$line" ]; do
        line=${line%$'\r'}
        case $line in '' | '#'*) continue ;; *=*) ;; *) fail "$env_file has a line that is not NAME=value: ${line%%[= ]*}" ;; esac
        line=${line#export }
        setting=${line%%=*} text=${line#*=}
        case $text in \"*\") text=${text#\"} text=${text%\"} ;; \'*\') text=${text#\'} text=${text%\'} ;; esac
        # Lambda and the stack set these themselves; a file that also serves local runs may hold them.
        case $setting in AWS_REGION | AWS_DEFAULT_REGION | AWS_ACCESS_KEY_ID | AWS_SECRET_ACCESS_KEY | AWS_SESSION_TOKEN | ENVIRONMENT | ENV)
            say "  left out: $setting, which the stack or Lambda sets (--set Environment=... for another than production)"
            continue
            ;;
        esac
        [ "$setting" != CORS_ALLOW_ORIGINS ] || { add_parameter "AllowedOrigins=$text"; continue; }
        case $setting in S3_BUCKET_NAME | AWS_S3_BUCKET) add_parameter "ExistingBucketName=$text"; continue ;; esac
        add_parameter "$(parameter_name "$setting")=$text" "$setting"
    done <"$env_file"
fi
for each in ${overrides[@]+"${overrides[@]}"}; do
    case $each in *=*) add_parameter "$each" ;; *) fail "--set takes NAME=VALUE, not $each." ;; esac
done

value_given() { # the last one counts
    local each found=""
    for each in ${given[@]+"${given[@]}"}; do [ "${each%%=*}" != "$1" ] || found=${each#*=}; done
    printf '%s' "$found"
}

# --- what is there, what will be done -----------------------------------------------------------

status=$(stack StackStatus)
case $status in
    # A first creation that failed leaves a stack that can only be deleted; it holds nothing.
    ROLLBACK_COMPLETE | REVIEW_IN_PROGRESS) fresh=1 ;;
    '') fresh=1 ;;
    *_IN_PROGRESS) fail "The stack $name is being changed right now ($status); wait until it is done and run this again." ;;
    *) fresh="" ;;
esac

sources=$(find upload.py image_upload -type f ! -path '*__pycache__*' | LC_ALL=C sort)
# The tag is the hash of everything the image is made of: the same sources need no second build.
tag=$( { printf '%s\n' "$arch" "$base_image"; cat Dockerfile entrypoint.sh requirements.txt; for each in $sources; do printf '%s\n' "$each"; cat "$each"; done; } | sha256 | cut -c 1-16)
registry=$account.dkr.ecr.$region.amazonaws.com
case $region in cn-*) registry=$registry.cn ;; esac
digest_of() { aws ecr describe-images --repository-name "$name" --image-ids "imageTag=$1" --query 'imageDetails[0].imageDigest' --output text 2>/dev/null || true; }
digest=$(digest_of "$tag")
[ "$digest" != None ] || digest=""
[ -z "$rebuild" ] || digest=""

say "Account $account, region $region, stack $name"
if [ -n "$digest" ]; then
    say "  image   already in the registry (tag $tag)"
else
    say "  image   will be built for $arch and pushed to $registry/$name (tag $tag)"
fi
if [ -n "$fresh" ]; then
    say "  stack   will be created: function, Function URL, role, logs, alarms$([ -n "$(value_given ExistingBucketName)" ] || printf ', bucket')"
else
    say "  stack   will be compared with $template and changed where it differs"
fi
for each in ${given[@]+"${given[@]}"}; do say "  set     ${each%%=*}"; done
[ -z "$dry_run" ] || [ -n "$digest" ] || { say "Nothing was changed (--dry-run)."; exit 0; }
[ -n "$dry_run" ] || confirm "Go on?"

# --- the image ----------------------------------------------------------------------------------

if [ -z "$digest" ]; then
    need_engine
    step "1. Image repository"
    if aws ecr describe-repositories --repository-names "$name" >/dev/null 2>"$work/error"; then
        say "  is there"
    else
        grep -q RepositoryNotFound "$work/error" || fail "The image repository cannot be looked at: $(tail -n 1 "$work/error")"
        aws ecr create-repository --repository-name "$name" --image-scanning-configuration scanOnPush=true >/dev/null
        say "  made $registry/$name"
    fi
    aws ecr put-lifecycle-policy --repository-name "$name" --lifecycle-policy-text '{"rules": [{"rulePriority": 1,
        "description": "keep the last ten images", "action": {"type": "expire"},
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 10}}]}' >/dev/null

    step "2. Build, with $engine"
    platform=linux/$([ "$arch" = arm64 ] && printf arm64 || printf amd64)
    # Lambda takes one image, not an index; newer builders add an index of attestations unless told not to.
    [ "$engine" != docker ] || ! docker buildx version >/dev/null 2>&1 || no_index=--provenance=false
    "$engine" build --platform "$platform" ${no_index:+"$no_index"} ${base_image:+--build-arg "BASE_IMAGE=$base_image"} \
        --tag "$registry/$name:$tag" . ||
        fail "The image could not be built; if this machine cannot build for $arch, try --arch $([ "$arch" = arm64 ] && printf x86_64 || printf arm64)."

    step "3. Push to $registry"
    aws ecr get-login-password | "$engine" login --username AWS --password-stdin "$registry" >/dev/null
    "$engine" push "$registry/$name:$tag"
    digest=$(digest_of "$tag")
    [ -n "$digest" ] && [ "$digest" != None ] || fail "The registry does not know the image that was just pushed; run this again."
fi
image=$registry/$name@$digest
given+=("ImageUri=$image" "Architecture=$arch")

# --- the stack ----------------------------------------------------------------------------------

write_parameters() { # file, then Name=value ...: those as given, the others as they are
    local file=$1 each key last
    shift
    {
        printf '['
        last=""
        while IFS= read -r key; do
            local found="" is_given=""
            for each in "$@"; do [ "${each%%=*}" != "$key" ] || { found=${each#*=}; is_given=1; }; done
            if [ -n "$is_given" ]; then
                printf '%s{"ParameterKey": "%s", "ParameterValue": %s}' "$last" "$key" "$(json_string "$found")"
            elif printf '%s\n' "$existing" | grep -qx -- "$key"; then
                printf '%s{"ParameterKey": "%s", "UsePreviousValue": true}' "$last" "$key"
            else
                continue # the template's default
            fi
            last=$',\n'
        done <<<"$known"
        printf ']\n'
    } >"$file"
}

change_set() { aws cloudformation describe-change-set --stack-name "$name" --change-set-name "$1" --query "$2" --output text; }

change_stack() { # template parameters -> 0 changed, 3 nothing to change; anything else has been said
    local kind=UPDATE set reason
    set=deploy-$(date -u +%Y%m%d%H%M%S)-$$
    case $(stack StackStatus) in '' | REVIEW_IN_PROGRESS) kind=CREATE ;; esac
    aws cloudformation create-change-set --stack-name "$name" --change-set-name "$set" --change-set-type "$kind" \
        --template-body "file://$1" --parameters "file://$2" --capabilities CAPABILITY_IAM \
        --tags "Key=project,Value=$name" >/dev/null || return 1
    if [ "$(until_over change_set "$set" Status)" != CREATE_COMPLETE ]; then
        reason=$(change_set "$set" StatusReason)
        aws cloudformation delete-change-set --stack-name "$name" --change-set-name "$set" >/dev/null
        case $reason in *"didn't contain changes"* | *"No updates are to be performed"*) return 3 ;; esac
        say "CloudFormation refuses the change: $reason" >&2
        return 1
    fi
    change_set "$set" 'Changes[].ResourceChange.[Action, ResourceType, LogicalResourceId, Replacement]' >"$work/changes"
    if [ ! -s "$work/changes" ] || [ "$(cat "$work/changes")" = None ]; then
        aws cloudformation delete-change-set --stack-name "$name" --change-set-name "$set" >/dev/null
        return 3
    fi
    awk -F '\t' '{ printf "  %-7s %-36s %s%s\n", tolower($1), $2, $3, ($4 == "True" ? "  (replaced)" : "") }' "$work/changes"
    if [ -n "$dry_run" ]; then
        aws cloudformation delete-change-set --stack-name "$name" --change-set-name "$set" >/dev/null
        return 0
    fi
    say "  ... working, some minutes the first time"
    aws cloudformation execute-change-set --stack-name "$name" --change-set-name "$set"
    watch_stack
}

watch_stack() { # says what happens until it is over; 0 when the stack is as wanted
    local began now id state kind resource why
    began=$(date -u +%Y-%m-%dT%H:%M:%S)
    while :; do
        now=$(stack StackStatus)
        aws cloudformation describe-stack-events --stack-name "$name" --max-items 40 --output text \
            --query "reverse(StackEvents[?Timestamp>='$began'] || \`[]\`)[].[EventId, ResourceStatus, ResourceType, LogicalResourceId, ResourceStatusReason]" |
            while IFS=$'\t' read -r id state kind resource why; do
                grep -qxF -- "$id" "$work/seen" 2>/dev/null && continue
                printf '%s\n' "$id" >>"$work/seen"
                case $state in
                    *FAILED) say "  FAILED  $kind $resource: $why" ;;
                    *COMPLETE) say "  done    $kind $resource" ;;
                esac
            done
        case $now in
            *_IN_PROGRESS) sleep 3 ;;
            CREATE_COMPLETE | UPDATE_COMPLETE) return 0 ;;
            *) say "The stack ended as $now; CloudFormation took the change back." >&2; return 1 ;;
        esac
    done
}

step "4. Stack $name"
if [ -n "$fresh" ] && [ -z "$(value_given JwtSecret)$(value_given JwtJwksUrl)" ]; then
    # Without it nobody could sign in. It stays with the stack, and a later deployment keeps it.
    given+=("JwtSecret=$(LC_ALL=C od -An -N 32 -tx1 /dev/urandom | tr -d ' \n')")
    say "  made a JWT_SECRET"
fi
existing=$([ -n "$fresh" ] || stack 'Parameters[].ParameterKey' | tr '\t' '\n')
write_parameters "$work/parameters.json" "${given[@]}"
if [ -n "$fresh" ] && [ -n "$status" ] && [ -z "$dry_run" ]; then
    delete_stack
fi

# What the smoke test may have to bring back. Secrets come out of CloudFormation as asterisks, so those that
# change now are taken from the function, which the person who deploys may read.
if [ -z "$fresh" ]; then
    aws cloudformation get-template --stack-name "$name" --template-stage Original --query TemplateBody --output text >"$work/previous.yaml"
    previous=()
    while IFS=$'\t' read -r key text; do
        # JwtSecret -> JWT_SECRET
        [ "$text" != '****' ] || text=$(environment "$(printf '%s' "$key" | sed 's/\([A-Z]\)/_\1/g; s/^_//' | tr '[:lower:]' '[:upper:]')")
        previous+=("$key=$text")
    done < <(aws cloudformation describe-stacks --stack-name "$name" --query 'Stacks[0].Parameters[].[ParameterKey, ParameterValue]' --output text)
fi

if [ -n "$dry_run" ]; then
    [ -n "$fresh" ] || change_stack "$template" "$work/parameters.json" || [ $? != 3 ] || say "  no changes"
    say "Nothing was changed (--dry-run)."
    exit 0
fi

changed=0
change_stack "$template" "$work/parameters.json" || changed=$?
case $changed in
    0) ;;
    3) say "  no changes" ;;
    *) fail "The stack $name was not changed; mend what is said above and run this again." ;;
esac

url=$(output FunctionUrl)
bucket=$(output BucketName)

# --- the proof ----------------------------------------------------------------------------------

step "5. Smoke test of $url"
need_engine
JWT_SECRET=$(environment JWT_SECRET) JWT_ALGORITHM=$(environment JWT_ALGORITHM)
JWT_ISSUER=$(environment JWT_ISSUER) JWT_AUDIENCE=$(environment JWT_AUDIENCE)
export JWT_SECRET JWT_ALGORITHM JWT_ISSUER JWT_AUDIENCE
if ! "$engine" run --rm --platform "linux/$([ "$arch" = arm64 ] && printf arm64 || printf amd64)" \
    --env JWT_SECRET --env JWT_ALGORITHM --env JWT_ISSUER --env JWT_AUDIENCE "$image" python -m image_upload smoke "$url"; then
    unset JWT_SECRET JWT_ALGORITHM JWT_ISSUER JWT_AUDIENCE
    step "The smoke test failed. The function's last words:"
    aws logs filter-log-events --log-group-name "$(output LogGroupName)" --start-time "$(($(date +%s) - 900))000" \
        --query 'events[-20:].message' --output text 2>/dev/null | tr '\t' '\n' | sed 's/^/  /' || true
    step "Going back"
    if [ -n "$fresh" ]; then
        delete_stack
        # It was made a moment ago. If something is in it, it is not empty and stays.
        if aws s3api delete-bucket --bucket "$bucket" 2>/dev/null; then say "  the new bucket was empty and is deleted"; else say "  the bucket $bucket is kept"; fi
        fail "The first deployment was taken back; mend what the smoke test says and run this again."
    elif [ "$changed" = 3 ]; then
        fail "Nothing had been changed, so there is nothing to go back to; mend what the smoke test says and run this again."
    fi
    existing=""
    known=$(printf '%s\n' "${previous[@]}" | sed 's/=.*//')
    write_parameters "$work/previous.json" "${previous[@]}"
    change_stack "$work/previous.yaml" "$work/previous.json" ||
        fail "Going back failed as well; see: aws cloudformation describe-stack-events --stack-name $name"
    fail "The deployment was taken back to what it was; mend what the smoke test says and run this again."
fi
unset JWT_SECRET JWT_ALGORITHM JWT_ISSUER JWT_AUDIENCE

cat <<END

Deployed.

  Function URL  $url
  Bucket        $bucket$(cdn=$(output CdnUrl); [ -z "$cdn" ] || printf '\n  CDN           %s' "$cdn")
  Logs          aws logs tail $(output LogGroupName) --follow --region $region

Next.js: put this line into .env.local

  NEXT_PUBLIC_UPLOAD_SERVICE_URL=${url%/}

and these into the page (README.md, "From Next.js", has them with the checks):

  const service = process.env.NEXT_PUBLIC_UPLOAD_SERVICE_URL;
  const minted = await fetch(\`\${service}/uploads\`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: \`Bearer \${token}\` },
    body: JSON.stringify({ filename: file.name, contentType: file.type, size: file.size }),
  });
  const plan = await minted.json();
  await fetch(plan.presignedUrl, { method: plan.method, headers: plan.headers, body: file });
END
if [ -n "$(deployed ExistingBucketName)" ]; then
    say ""
    say "The bucket is not the stack's. See what it lacks, and add --apply to set it:"
    say "  $(output BucketRulesCommand)"
fi
