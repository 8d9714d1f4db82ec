// Bundles the pages. conftest.py puts the code of docs/uppy.md beside them as documented-v5.mjs and -v6.mjs, and that of
// docs/sign-in.md as documented-sign-in.mjs.
// node build.mjs OUT makes OUT/v5.html, v5.js, v6.html and v6.js, sign-in.html, callback.html and sign-in.js.
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import * as esbuild from 'esbuild'

const out = path.resolve(process.argv[2] ?? 'dist')
await mkdir(out, { recursive: true })

for (const major of [5, 6]) {
  await esbuild.build({
    entryPoints: [`page-v${major}.mjs`],
    outfile: path.join(out, `v${major}.js`),
    bundle: true,
    format: 'iife',
    logLevel: 'warning',
    // Both majors are installed side by side. The plugins, too, import "@uppy/core" and its subpaths.
    alias: { '@uppy/core': `uppy-core-${major}`, '@uppy/aws-s3': `uppy-aws-s3-${major}` },
  })
  const html = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script src="v${major}.js"></script>\n`
  await writeFile(path.join(out, `v${major}.html`), html)
}

await esbuild.build({
  entryPoints: ['page-sign-in.mjs'],
  outfile: path.join(out, 'sign-in.js'),
  bundle: true,
  format: 'iife',
  logLevel: 'warning',
})
const buttons = '<button id="google">Google</button><button id="github">GitHub</button>'
// As docs/sign-in.md says: not even the front end's own server is told the code by what the page loads.
const referrer = '<meta name="referrer" content="no-referrer">'
const head = `<!doctype html><meta charset="utf-8">${referrer}<link rel="icon" href="data:,">`
for (const name of ['sign-in', 'callback']) {
  await writeFile(path.join(out, `${name}.html`), `${head}<body>${buttons}<script src="sign-in.js"></script>\n`)
}
