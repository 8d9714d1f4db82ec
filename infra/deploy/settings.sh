# shellcheck shell=bash
# Part of deploy.sh: what --env-file, --set, --bucket and --origins ask for. Secrets go into Parameter Store, the others into the stack.

template=infra/template.yaml
overrides=() # Name=value, for the stack
secrets=()   # NAME=value
parameters=$(awk '/^Parameters:/ { on = 1; next } /^[A-Z]/ { on = 0 } on && /^  [A-Za-z0-9]+:/ { sub(/:.*/, ""); print $1 }' $template)
secret_settings=$(awk '/^  SecretSettings:/ { on = 1; next } on && /^    - / { print $2; next } { on = 0 }' $template)

take() { # NAME=value: JWT_SECRET is a secret, LOG_LEVEL becomes the parameter LogLevel, MemoryMb is one already
    local setting=${1%%=*} text=${1#*=}
    [[ $1 == *=* ]] || fail "This is not NAME=value: $setting"
    case $text in \"*\") text=${text#\"} text=${text%\"} ;; \'*\') text=${text#\'} text=${text%\'} ;; esac
    case $setting in
        # A file that also serves local runs may hold them.
        AWS_REGION | AWS_DEFAULT_REGION | AWS_ACCESS_KEY_ID | AWS_SECRET_ACCESS_KEY | AWS_SESSION_TOKEN | ENVIRONMENT | ENV)
            say "  left out: $setting, which Lambda or the stack sets (--set Environment=... for another than production)"
            return ;;
        CORS_ALLOW_ORIGINS) setting=AllowedOrigins ;;
        S3_BUCKET_NAME | AWS_S3_BUCKET) setting=ExistingBucketName ;;
        *[a-z]*) ;;
        *)
            if grep -qxF -- "$setting" <<<"$secret_settings"; then
                secrets+=("$setting=$text")
                return
            fi
            setting=$(awk -F _ '{ for (i = 1; i <= NF; i++) printf "%s%s", substr($i, 1, 1), tolower(substr($i, 2)) }' <<<"$setting") ;;
    esac
    grep -qxF -- "$setting" <<<"$parameters" ||
        fail "${1%%=*} is no setting of a deployment; docs/settings.md and docs/stack.md list them."
    overrides+=("$setting=$text")
}

while IFS= read -r line || [ -n "$line" ]; do
    line=${line%$'\r'}
    case $line in '' | '#'*) ;; *) take "${line#export }" ;; esac
done <"${env_file:-/dev/null}"
for each in ${given[@]+"${given[@]}"}; do take "$each"; done

all_given() { printf '%s\n' ${overrides[@]+"${overrides[@]}"} ${secrets[@]+"${secrets[@]}"}; }
is_given() { all_given | grep -q -- "^$1=." || [ -n "$(deployed "$1")" ]; } # now or before, and other than empty

store_secrets() { # One that is there stays, because users have signed in with it. docs/deploy.md, "Secrets", says how to change it.
    local each key kind elsewhere
    [ ${#secrets[@]} -eq 0 ] || for each in SecretsFrom SecretArn; do
        elsewhere=$(all_given | sed -n "s/^$each=//p")$(deployed $each)
        [ -z "$elsewhere" ] || fail "The secrets of this stack are elsewhere ($each). Set ${secrets[0]%%=*} there, not here."
    done
    for each in ${secrets[@]+"${secrets[@]}"}; do
        key=/$name/${each%%=*} kind=SecureString
        # CloudFormation hands CloudFront nothing else, and whoever may read the distribution sees the secret there anyway.
        [ "${each%%=*}" != EDGE_SECRET ] || kind=String
        printf %s "${each#*=}" >"$work/secret" # not an argument, which every process of this machine could read
        if aws ssm put-parameter --name "$key" --type "$kind" --value "file://$work/secret" >/dev/null 2>"$work/error"; then
            say "  stored  the secret $key"
        elif grep -q ParameterAlreadyExists "$work/error"; then
            say "  kept    the secret $key as it is"
        else
            fail "The secret $key cannot be stored: $(reason)"
        fi
    done
}
edge_version() { # -> the version of EDGE_SECRET in Parameter Store
    local version
    version=$(aws ssm get-parameters-by-path --path "/$name/" --query "Parameters[?Name=='/$name/EDGE_SECRET'].Version" --output text)
    [[ $version =~ ^[1-9][0-9]*$ ]] || fail "/$name/EDGE_SECRET is not in Parameter Store, so CloudFront has nothing to send; add --edge."
    printf %s "$version"
}
