# exports win over the .env
export SECRET_TOKEN_VERSION=v9
export ENTRYPOINT_VERSION='v2' # bumped
