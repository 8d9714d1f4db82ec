# shellcheck shell=bash
# Part of deploy.sh: some requests meet the new version first, and an alarm takes it back.

ringing() { # the alarms of the stack that ring now
    # shellcheck disable=SC2086  # several names, none of which has a space
    aws cloudwatch describe-alarms --alarm-names $alarms --state-value ALARM --query 'MetricAlarms[].AlarmName' --output text
}
weigh() { # "version": share, or nothing: what `live` sends elsewhere
    aws lambda update-alias --function-name "$name" --name live --routing-config "{\"AdditionalVersionWeights\": {${1:-}}}" >/dev/null
}
run_canary() { # percent minutes
    local until alarms rang
    alarms=$(aws cloudformation describe-stack-resources --stack-name "$name" --output text \
        --query "StackResources[?ResourceType=='AWS::CloudWatch::Alarm'].PhysicalResourceId")
    [ -n "$alarms" ] || fail "A canary needs alarms to be watched by; set Alarms=true, or deploy without --canary."
    rang=$(ringing)
    [ -z "$rang" ] || fail "An alarm rings already ($rang), so a canary would show nothing; look into it, or deploy without --canary."
    trap 'weigh; clean_up' EXIT # whatever ends this, also Ctrl-C, leaves all requests with the old version
    weigh "\"$version\": $(awk -v percent="$1" 'BEGIN { print percent / 100 }')"
    say "  $1 % of the requests meet version $version for $2 min"
    until=$((SECONDS + 60 * $2))
    while [ "$SECONDS" -lt "$until" ]; do
        rang=$(ringing)
        [ -z "$rang" ] || fail "An alarm rings ($rang): version $version was taken back, all requests meet version $before. Look into its logs."
        printf .
        sleep 5
    done
    say " no alarm"
    # All of it at once. The stack, which knows no weights, is told afterwards.
    aws lambda update-alias --function-name "$name" --name live --function-version "$version" \
        --routing-config '{"AdditionalVersionWeights": {}}' >/dev/null
    trap clean_up EXIT
}
