// tus-js-client in Node, as it is published. One upload: the spec is the first argument, the outcome a line of JSON.
import { createReadStream } from 'node:fs'
import { PassThrough } from 'node:stream'
import * as tus from 'tus-js-client'

const spec = JSON.parse(process.argv[2])
const statuses = []
// Of a file it knows the length, whatever its option says; of another stream it does not.
const file = createReadStream(spec.path)
const source = spec.options.uploadLengthDeferred ? file.pipe(new PassThrough()) : file
const upload = new tus.Upload(source, {
  retryDelays: [0, 100, 200, 500, 1000, 1000],
  metadata: { filename: 'picture.bin', purpose: 'file' },
  metadataForPartialUploads: {},
  ...spec.options,
  onAfterResponse: (request, response) => statuses.push([request.getMethod(), response.getStatus()]),
  onError: (error) => {
    console.log(JSON.stringify({ error: String(error), statuses }))
    process.exit(1)
  },
  onSuccess: () => console.log(JSON.stringify({ url: upload.url, statuses })),
})
upload.start()
