// The documented functions, and `send` around them: a file whose bytes follow from its size, sent by one of the clients.
import * as tus from 'tus-js-client'
import { uploadResumably } from './documented-tus.mjs'
import { resumableUppy } from './documented-uppy.mjs'

function fileOf(size) {
  const bytes = new Uint8Array(size)
  let state = 1
  for (let at = 0; at < size; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[at] = state >>> 24
  }
  return new File([bytes], '사진 1.bin', { type: 'application/octet-stream', lastModified: 0 })
}

async function sha256(blob) {
  const digest = await crypto.subtle.digest('SHA-256', await blob.arrayBuffer())
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

const clients = {
  documented: (file, options) => uploadResumably(file, options),
  parallel: (file, { token }) =>
    new Promise((resolve, reject) => {
      const upload = new tus.Upload(file, {
        endpoint: `${globalThis.serviceUrl}/resumable`,
        chunkSize: 4 * 1024 * 1024,
        parallelUploads: 3,
        headers: { Authorization: `Bearer ${token}` },
        metadata: { filename: file.name, purpose: 'file' },
        onError: reject,
        onSuccess: () => resolve(upload.url),
      })
      upload.start()
    }),
  uppy: async (file, options) => {
    const uppy = resumableUppy(options)
    uppy.addFile({ name: file.name, type: file.type, data: file })
    const { successful, failed } = await uppy.upload()
    if (failed.length > 0) throw new Error(failed[0].error)
    return successful[0].tus?.uploadUrl ?? successful[0].uploadURL
  },
}

globalThis.send = async ({ client, size, token, stopAtBytes }) => {
  const file = fileOf(size)
  const options = { token, purpose: 'file' }
  if (stopAtBytes) {
    // The page is gone in the middle of the upload.
    options.onProgress = (sent) => sent >= stopAtBytes && globalThis.reached()
  }
  return { url: await clients[client](file, options), sha256: await sha256(file) }
}
