import { uploader } from './documented-v6.mjs'
import { expose } from './page.mjs'

expose(({ companion, token }, options) =>
  uploader(companion, token, token ? options : { ...options, companionEndpoint: companion }),
)
