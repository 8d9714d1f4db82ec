// What both pages share: `window.harness`, which drive.mjs calls.

// Byte i depends on all of i's low 24 bits, so a lost, doubled or swapped part changes the digest.
function makeBytes(size) {
  const bytes = new Uint8Array(size)
  for (let i = 0; i < size; i++) bytes[i] = i ^ (i >> 8) ^ (i >> 16)
  return bytes
}

async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

const plainFile = (file) => ({
  uploadURL: file.uploadURL ?? null,
  key: file.response?.body?.key ?? null,
  error: file.error ?? null,
})

const plainResult = (result) => ({
  successful: (result?.successful ?? []).map(plainFile),
  failed: (result?.failed ?? []).map(plainFile),
})

// Uppy's own promise; a rejected one becomes {error}.
const settled = (promise) => promise.then(plainResult, (error) => ({ error: String(error?.message ?? error) }))

// `make(spec, options)` gives the documented Uppy; `options` are further options of its plugin.
export function expose(make) {
  let uppy
  let running
  let didAct
  const acted = new Promise((resolve) => (didAct = resolve))

  async function prepare(spec) {
    uppy = make(spec, {
      shouldUseMultipart: spec.multipart,
      ...(spec.chunkSize && { getChunkSize: () => spec.chunkSize }),
      ...spec.plugin,
    })
    uppy.setOptions({ logger: console })
    if (spec.action) uppy.on('upload-progress', (_file, progress) => actOnce(spec, progress.bytesUploaded))

    const bytes = makeBytes(spec.size)
    const file = uppy.addFile({ name: spec.name, type: spec.type, data: new File([bytes], spec.name, { type: spec.type }) })
    uppy.setFileMeta(file, spec.meta ?? {})
    return sha256(bytes)
  }

  // Done here, not by the driver, so that it happens at the same point of the upload every time.
  function actOnce(spec, bytesUploaded) {
    if (!didAct || bytesUploaded < spec.actAtBytes) return
    didAct()
    didAct = undefined
    if (spec.action === 'pause') uppy.pauseAll()
    if (spec.action === 'cancel') uppy.cancelAll()
    if (spec.action === 'remove') uppy.removeFile(uppy.getFiles()[0].id)
  }

  window.harness = {
    prepare,
    acted,
    start: () => void (running = settled(uppy.upload())),
    result: () => running,
    resume: () => uppy.resumeAll(),
    retry: () => settled(uppy.retryAll()),
  }
}
