# shellcheck shell=bash
# Part of deploy.sh: the image in the registry.

sha=(sha256sum)
command -v sha256sum >/dev/null || sha=(shasum -a 256)
hash() { "${sha[@]}" | cut -c 1-16; }
image_tag() { # the hash of everything the image is made of: the same sources need no second build
    {
        say "$arch $base_image"
        # shellcheck disable=SC2046  # a name without spaces, or nothing
        find Dockerfile entrypoint.sh requirements.txt purposes.toml upload.py $([ ! -f authorize.py ] || say authorize.py) \
            image_upload client/upload.js -type f ! -path '*__pycache__*' -exec "${sha[@]}" {} + | LC_ALL=C sort
    } | hash
}
digest_of() { # a tag -> the digest of its image, empty where there is none
    aws ecr describe-images --repository-name "$name" --image-ids "imageTag=$1" --query 'imageDetails[].imageDigest' \
        --output text 2>/dev/null || true
}
build_and_push() {
    local engine no_index=""
    for engine in ${CONTAINER_ENGINE:-docker podman} ""; do
        [ -z "$engine" ] || ! "$engine" info >/dev/null 2>&1 || break
    done
    [ -n "$engine" ] ||
        fail "No container engine answers; start Docker, or install it (https://docs.docker.com/get-docker/) or podman."
    step "Image: built with $engine, pushed to $registry/$name"
    aws ecr create-repository --repository-name "$name" --image-scanning-configuration scanOnPush=true >/dev/null 2>"$work/error" ||
        grep -q RepositoryAlreadyExists "$work/error" || fail "The image repository cannot be made: $(reason)"
    aws ecr put-lifecycle-policy --repository-name "$name" --lifecycle-policy-text file://infra/deploy/ecr-lifecycle.json >/dev/null
    # Lambda takes one image, not an index; newer builders add an index of attestations unless told not to.
    [ "$engine" != docker ] || ! docker buildx version >/dev/null 2>&1 || no_index=--provenance=false
    "$engine" build --platform "linux/${arch/x86_64/amd64}" ${no_index:+"$no_index"} \
        ${base_image:+--build-arg "BASE_IMAGE=$base_image"} \
        --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || say unknown)" --tag "$registry/$name:$tag" . ||
        fail "The image could not be built; if this machine cannot build for $arch, name the other one with --arch."
    aws ecr get-login-password | "$engine" login --username AWS --password-stdin "$registry" >/dev/null
    "$engine" push "$registry/$name:$tag"
    digest=$(digest_of "$tag")
    [ -n "$digest" ] || fail "The registry does not know the image that was just pushed; run this again."
}
image_of() { # version -> its image, by digest
    aws lambda get-function --function-name "$name" --qualifier "$1" --query Code.ImageUri --output text
}
keep_image() { # tag version: names the image of a version, so that ecr-lifecycle.json keeps it
    local image manifest
    image=$(image_of "$2")
    manifest=$(aws ecr batch-get-image --repository-name "$name" --image-ids "imageDigest=${image#*@}" \
        --query 'images[0].imageManifest' --output text)
    aws ecr put-image --repository-name "$name" --image-tag "$1" --image-digest "${image#*@}" --image-manifest "$manifest" \
        >/dev/null 2>"$work/error" || grep -q ImageAlreadyExists "$work/error" ||
        fail "The image of version $2 cannot be tagged $1, and would be deleted one day: $(reason)"
}
