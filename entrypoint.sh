#!/bin/sh
# What the container runs. docs/container.md has the table.
#
#   (nothing)        the handler on Lambda, or on its emulator; anywhere else a plain server on PORT
#   upload.handler   the handler, as AWS's own base images are told
#   anything else    that command
set -eu

# Lambda's emulator (the RIE), where AWS's base images have it.
EMULATOR=/usr/local/bin/aws-lambda-rie

case ${1-} in
    '')
        # Lambda names both. What emulates it may name the function only, and expect the emulator inside.
        if [ -z "${AWS_LAMBDA_RUNTIME_API-}${AWS_LAMBDA_FUNCTION_NAME-}" ]; then
            set -- python -m image_upload serve --host 0.0.0.0
            if [ "$(id -u)" = 0 ]; then
                # Not as root, and as no user of the system. The port needs no right, and nothing is written.
                export HOME=/tmp
                exec python -c '
import os, sys
try:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
except PermissionError:
    print("Still root: this container may not change its user. Run it with --user 65534:65534.", file=sys.stderr)
os.execvp(sys.argv[1], sys.argv[1:])
' "$@"
            fi
            exec "$@"
        fi
        set -- upload.handler
        ;;
    *.handler) ;;
    *) exec "$@" ;;
esac

if [ -n "${AWS_LAMBDA_RUNTIME_API-}" ]; then
    exec python -m awslambdaric "$@"
fi
if [ -x "$EMULATOR" ]; then
    # The emulator reads this one too, and stops at an empty value, which a stack's unset parameter is.
    [ -n "${LOG_LEVEL-}" ] || unset LOG_LEVEL
    exec "$EMULATOR" python -m awslambdaric "$@"
fi
echo "There is no Lambda here: AWS_LAMBDA_RUNTIME_API is not set, and this image has no emulator at $EMULATOR." >&2
echo "Build it on AWS's base image, or run a plain server: no command, and AWS_LAMBDA_FUNCTION_NAME not set." >&2
exit 1
