import { uploader } from './documented-v5.mjs'
import { expose } from './page.mjs'

expose(({ companion, token }, options) =>
  uploader(companion, token, token ? options : { ...options, headers: undefined }),
)
