// Bundles the page. The code of docs/resumable.md stands beside it as documented-tus.mjs and documented-uppy.mjs.
import { mkdir, writeFile } from 'node:fs/promises'
import * as esbuild from 'esbuild'

await mkdir('dist', { recursive: true })
await esbuild.build({
  entryPoints: ['page.mjs'],
  outfile: 'dist/page.js',
  bundle: true,
  format: 'iife',
  logLevel: 'warning',
  define: { 'process.env.NEXT_PUBLIC_UPLOAD_SERVICE_URL': 'globalThis.serviceUrl' },
})
const head = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">'
const service = '<script>globalThis.serviceUrl = new URLSearchParams(location.search).get("service")</script>'
await writeFile('dist/index.html', `${head}${service}<script src="page.js"></script>\n`)
